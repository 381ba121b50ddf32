//! Certificates from Step-CA behind one [`Issuer`] trait.
//!
//! Runs in the unprivileged daemon and holds neither a key nor a password: the certificate request comes from
//! outside, and one-time tokens come from a [`TokenMinter`] (the executor makes them).
//!
//! | module | duty |
//! |---|---|
//! | [`issuer`] | the trait, orders and answers |
//! | [`stepca`] | Step-CA: provisioners, `/1.0/sign`, what its refusals mean |
//! | [`bootstrap`] | a root certificate by its fingerprint, before any root is known |
//! | `exchange` | one HTTP request and its bounded answer |
//! | `tls` | the TLS client that believes exactly the pinned roots |
//! | `transport` | why no answer came, in words |
//! | `clock` | the CA's clock, from `Date` headers |
//! | `goduration` | durations as Go writes them |

pub mod bootstrap;
mod clock;
mod exchange;
mod goduration;
pub mod issuer;
pub mod stepca;
mod tls;
mod transport;

pub use bootstrap::fetch_root;
pub use clock::{clock_warning, describe as describe_clock};
pub use issuer::{Health, IssueError, Issued, Issuer, Order, TokenMinter, TokenRequest};
pub use stepca::StepCa;
