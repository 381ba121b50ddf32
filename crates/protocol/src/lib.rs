//! What the processes say to each other.
//!
//! [`executor`] is spoken between daemon and executor in [`frame`]s; [`control`] is the HTTP API of the daemon
//! that `phoenix-certctl` and `curl --unix-socket` use, with the documents of [`explain`], [`history`] and [`plan`].

pub mod control;
pub mod executor;
pub mod explain;
pub mod frame;
pub mod history;
pub mod plan;
