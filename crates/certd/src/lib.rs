//! The daemon: decides what happens when, talks to certificate authorities, serves the control API.
//!
//! Runs without privileges and holds neither keys nor passwords. Everything that needs them is asked of the
//! executor. Decisions are [`phoenix_core::lifecycle`]'s; this crate carries them out.
//!
//! | module | duty |
//! |---|---|
//! | [`options`] | command line |
//! | `configuration` | `certd.toml` with the command line's overrides |
//! | `clock` | the wall clock and a timer that follows it |
//! | `executor` | the connection to the executor, and its process in standalone mode |
//! | `keeper` | the process that keeps root when standalone mode is started as root |
//! | `history` | what happened, durable and as a stream |
//! | `journal` | what is remembered across restarts |
//! | `authorities` | the issuers, whether they answer, and probing those that do not |
//! | `engine` | the one task that owns all entries and turns events into actions |
//! | `jobs` | carries actions out |
//! | `verification` | looks at consumers |
//! | `watch` | hints that the manifest may have changed |
//! | [`report`] | what is told about an entry |
//! | `control` | the control API |
//! | `service` | logging and systemd notifications |

mod authorities;
mod clock;
mod configuration;
mod control;
mod engine;
mod executor;
mod history;
mod jobs;
mod journal;
mod keeper;
pub mod options;
pub mod report;
mod run;
mod service;
mod validate;
mod verification;
mod watch;

/// What the fuzz targets call.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// Any bytes as journal. Panics where something is lost that need not be.
    pub fn journal(bytes: &[u8]) {
        crate::journal::any_bytes::check(bytes);
    }
}

pub use run::run;
