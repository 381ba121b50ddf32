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
//! | `store`, `entry` | the public handles |
//! | `lock`, `state` | one executor per state directory; durable small files in it |
//! | `roots`, `worker` | which root a path is in, is it there; threads per root, and a deadline |
//! | `walk`, `disk`, `fault` | directories without symlinks; every disk-changing system call |
//! | `target`, `owner`, `survey` | what is to be written where, as whom; what is there now |
//! | `proof` | is a target writable |
//! | `install`, `intent`, `commit`, `recovery` | what is installed, put back or adopted, and how that survives |
//! | `parts`, `record`, `generations`, `stages`, `ledger` | the executor's own records of an entry |
//! | `errno` | system errors as sentences for the operator |
//!
//! State of one entry, below `entries/SHA-256 of its key path/`: `ledger.json`, `staged/ID`, `generations/N`, and
//! while something is unfinished `intent` (a generation to be) or `probe.json`. Names that begin with `.new-` are
//! being written.

mod commit;
mod disk;
mod entry;
mod errno;
mod fault;
mod generations;
mod install;
mod intent;
mod ledger;
mod lock;
mod owner;
mod pair;
mod parts;
mod proof;
mod record;
mod recovery;
mod roots;
mod stages;
mod state;
mod store;
mod survey;
mod target;
mod token;
mod walk;
mod worker;

pub use entry::{EntryStore, Records};
pub use fault::{Deed, Faults, NoFaults};
pub use generations::{Generation, Other};
pub use lock::{OpenError, StateLock};
pub use pair::{LiveContent, LiveFile, LiveFiles, NewPair, Vouched, sha256_hex};
pub use recovery::Recovered;
pub use stages::{StageId, Staged};
pub use state::StateDir;
pub use store::{Options, Store};
pub use token::{NotAToken, Token};
