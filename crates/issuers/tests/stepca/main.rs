//! The Step-CA client against the embedded CA: what goes well, and what the operator reads when it does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bootstrap;
mod issuing;
mod reaching;
mod refusals;
mod support;
