//! Reach LXC and VM guests through `pct` and `qm`, and understand their answers.
//!
//! Neither program tells by its exit status alone what happened in the guest: `qm guest exec` exits with 0
//! whatever the guest's command did, `pct exec` mixes its own failures with those of the command. Every answer is
//! therefore read for what it says, and turned into a [`phoenix_core::reason::Trouble`] whose reason decides how
//! it is retried: a guest that is switched off is waited for, a failed command is tried again, an agent that
//! forbids commands needs a person.
//!
//! | module | duty |
//! |---|---|
//! | [`call`] | what a command line asks for: [`call::Call`]; the time limit that `qm` needs |
//! | [`answer`] | the JSON of `qm guest exec` |
//! | [`words`] | the programs' error texts |
//! | [`verdict`] | from how a command ended to success or trouble |
//! | `review` | from a failure to what it is owed to |
//! | [`excerpt`] | the part of an output that is shown to people |
//! | [`hypervisor`] | running commands, following up those that outlast `qm` |
//! | [`delivery`] | files into a guest |
//! | [`look`] | what lies at places in a guest |
//! | `survivors` | ending what a command left in its guest when its time was up |
//! | [`state`] | running, stopped or absent, locked or not |

pub mod answer;
pub mod call;
pub mod delivery;
pub mod excerpt;
pub mod hypervisor;
pub mod look;
mod review;
pub mod state;
mod survivors;
pub mod verdict;
pub mod words;

pub use delivery::{Delivery, GuestFile, LEGACY_CA, LEGACY_CERT, LEGACY_KEY};
pub use hypervisor::{Hypervisor, Programs, Said};
pub use look::look;
pub use verdict::understand;
