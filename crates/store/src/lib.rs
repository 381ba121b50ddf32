//! Puts key pairs on disk so that a working pair is never lost.
//!
//! Two places are written. The **state directory** belongs to the executor alone (0700) and holds everything
//! needed to finish or repeat an installation. The **target roots** hold the live files; below a root every
//! directory may belong to a guest and is treated as hostile.
//!
//! A pair is committed by intent: the whole new pair is made durable in the state directory, written beside
//! the live files under temporary names, renamed into place, and at last the intent itself is renamed into
//! the list of generations. That one rename both records the generation and clears the intent. Whatever
//! dies on the way, [`Store::recover`] finishes from the state directory, never from files found in a target.
//!
//! | module | duty |
//! |---|---|
//! | [`store`], [`entry`] | the public handles |
//! | [`lock`], [`state`] | one executor per state directory; durable small files in it |
//! | [`roots`], [`worker`] | which root a path is in, is it there, and one thread with a deadline per root |
//! | [`walk`], [`disk`], [`fault`] | directories without symlinks; every disk-changing system call |
//! | [`target`], [`owner`], [`survey`] | what is to be written where, as whom; what is there now |
//! | [`intent`], [`commit`], [`recovery`] | the commit |
//! | [`generations`], [`stages`], [`ledger`] | the executor's own records of an entry |
//! | [`proof`] | is a target writable |
//! | [`errno`] | system errors as sentences for the operator |

pub mod disk;
pub mod entry;
pub mod errno;
pub mod fault;
pub mod lock;
pub mod pair;
pub mod state;
pub mod store;
