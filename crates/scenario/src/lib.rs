//! Scripts of what happens to certificates, played through the real state machine of `phoenix-core`.
//!
//! A scenario is a text file: a sentence that says what an operator expects, then lines of a small script, and below
//! each line what it leads to. The world around the state machine does what it is told and nothing else; time passes
//! only where the script says so. `docs/development.md` lists the words of the script.
//!
//! | module | duty |
//! |---|---|
//! | `golden` | the files: reading them, comparing, writing them anew |
//! | `play` | one run of a script, with or without restarts in between |
//! | `words` | what the words of the script do to the world |
//! | `amounts` | durations, modes and certificates in a script |
//! | `world` | entries, time, and the daemon's engine in small |
//! | `deeds` | carrying out what was decided |
//! | `site` | the executor's side of one entry |
//! | `authority` | the CA |
//! | `told` | what a line of the script led to, in words |
//! | `coverage` | rules and reasons that a run came by |

mod amounts;
mod authority;
mod coverage;
mod deeds;
mod golden;
mod play;
mod site;
mod told;
mod touch;
mod words;
mod world;

pub use coverage::Coverage;
pub use golden::{Golden, difference, directory};
pub use play::{Interruption, Played, play};
pub use words::settings;
pub use world::{Teller, Tracked, World};
