//! Run one command confined and report how it ended.
//!
//! Every command runs below a small supervisor process of its own. The calling process re-executes itself in a
//! hidden role for that ([`supervisor_main_if_asked`]), so the supervisor is single-threaded, may be the child
//! subreaper of everything the command leaves behind, and outlives a caller that is killed by just long enough
//! to end the command.
//!
//! ```text
//! caller ── order (argv, environment, stdin) ──> supervisor ── fork, exec ──> command
//!    ^ <──────── report (how it ended, output) ────┘  ^ <─ orphans of the command are reparented to it
//!    └ holds the order pipe open: end of file on it means the caller died, and everything is ended
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`spec`] | what to run: [`CommandSpec`] |
//! | [`profile`] | how far it is confined: [`Profile`] |
//! | [`measure`] | what confined it: [`Confinement`], [`Measure`] |
//! | [`outcome`] | how it ended: [`Finished`], [`Ended`], [`Output`] |
//! | [`cancel`] | ending a command early: [`Cancel`] |
//! | [`runner`] | the caller's side: [`Runner`], [`Supervised`] |
//! | `conversation` | the caller's talk with one supervisor |
//! | `wire` | the two messages between caller and supervisor |
//! | `supervisor` | the supervisor's side: time limit, escalation, report |
//! | `launch` | from fork to exec |
//! | `confine` | applying a profile: what the supervisor prepares, what the command's process does to itself |
//! | `family` | the command's descendants: enumerating, killing, reaping |
//! | `capture` | bounded capture of one output stream |
//! | `system` | the only unsafe code of the workspace |

pub mod cancel;
pub mod measure;
pub mod outcome;
pub mod profile;
pub mod runner;
pub mod spec;

mod capture;
mod confine;
mod conversation;
mod family;
mod launch;
mod supervisor;
mod system;
mod wire;

pub use cancel::Cancel;
pub use confine::make_room_for_groups;
pub use measure::{Confinement, Measure, Missing};
pub use outcome::{Ended, Finished, Output};
pub use profile::{Guest, Limits, Network, Profile, Strict};
pub use runner::{Runner, SandboxError, Supervised};
pub use spec::CommandSpec;
pub use supervisor::{SUPERVISOR_ROLE, supervisor_main_if_asked};
