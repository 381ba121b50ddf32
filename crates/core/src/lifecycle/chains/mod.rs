//! The chains of rules that decide what happens to an entry. The first finding of a chain wins.
//!
//! | chain | asks |
//! |---|---|
//! | [`FILES`] | what do the files need? |
//! | [`NEXT`] | what is the next thing to do, given that need? |
//! | [`DEPLOY`] | what is the next thing to do when the files need nothing? The last rule of [`NEXT`] asks it. |
//!
//! Chains are data, so that what is decided and what is explained cannot differ: both walk the same lists.

mod case;
mod deploy;
mod files;
mod gate;
mod next;

pub use case::{Case, Need};
pub use deploy::DEPLOY;
pub use files::{FILES, FOREIGN_WRITES};
pub use next::{ISSUANCES_PER_LIFETIME, NEXT};
pub(super) use next::{awaits_issuer, meanwhile};
