//! Test support. Never linked into a product binary.
//!
//! | module | gives |
//! |---|---|
//! | [`scratch`] | a directory that is removed, with everything started in it |
//! | [`peers`] | where the real step-ca servers lie and how they are built |
//! | [`stepca`] | a running step-ca on loopback |
//! | [`embedded`] | the embedded CA, which can be told to lie |
//! | [`guests`] | `pct` and `qm` stand-ins over guests that are directories |
//! | [`hypervisor`] | a box with systemd, real LXC containers and a real guest agent |
//! | [`network`] | a network namespace of a test's own, with the hypervisor's bridge |
//! | [`machine`] | a machine with systemd, nginx, Docker and Traefik on that bridge |
//! | [`daemon`] | `phoenix-certd --standalone` under test, killed at will |
//! | [`control`] | a small HTTP client for the control socket |
//! | [`https`] | one request to a CA, made with openssl |
//! | [`openssl`] | what an independent program says about keys and certificates |
//! | [`manifest`] | the operator's manifest, moved below a scratch root |
//! | [`snapshot`] | what a tree holds, to the byte |
//! | [`watch`] | is any private key readable by others, all the time |
//! | [`mounts`] | file systems that refuse |
//! | [`memory`] | what a process holds in memory |
//! | [`process`] | programs, process groups, `/proc` |
//! | [`patience`] | waiting for something to become true |
//! | [`simulation`] | the real lifecycle under virtual time, with everything around it failing |
//! | [`dice`] | random numbers that can be repeated |
//!
//! Failures here are `anyhow` errors or panics with a sentence: this crate's reader is the one who reads a
//! failed test.

pub mod consumer;
pub mod control;
pub mod daemon;
pub mod dice;
pub mod embedded;
pub mod guests;
pub mod https;
pub mod hypervisor;
mod keeper;
pub mod machine;
pub mod manifest;
pub mod memory;
pub mod mounts;
pub mod network;
pub mod openssl;
pub mod patience;
pub mod peers;
pub mod process;
pub mod scratch;
pub mod simulation;
pub mod snapshot;
pub mod stepca;
pub mod watch;
