//! See what a consumer really serves or accepts.
//!
//! [`served_chain`] makes one handshake and returns the certificates that the server presented. It trusts
//! nothing and is trusted with nothing: no certificate is refused, none is sent. [`look`] compares what is seen with
//! what should be, over and over until it fits or the deadline has come.
//!
//! | module | duty |
//! |---|---|
//! | `look` | one verification: until it passes or its time is over |
//! | `attempt` | one attempt: which connections are made, and what follows from them |
//! | `conversation` | one connection: handshake, request, answer, on a thread of its own |
//! | `finding` | what is wrong, as a reason and a sentence |
//! | `identity` | a client certificate whose key lies elsewhere |
//! | `http`, `wire` | one request; a connection with a deadline |
//! | `address` | `HOST:PORT` as operators write it |
//! | `recorder` | the certificate verifier that accepts everything and remembers it |
//! | `served` | connect, shake hands, read the record |
//! | `error` | why there is nothing to show |

mod address;
mod attempt;
mod conversation;
mod error;
mod finding;
mod http;
mod identity;
mod look;
mod recorder;
mod served;
mod wire;

pub use address::Address;
pub use attempt::{Accepted, Check, Tls};
pub use error::{ProbeError, Step};
pub use finding::{Report, Subject};
pub use http::Http;
pub use identity::{HandshakeSigner, Identity};
pub use look::{can_be_reached, look};
pub use served::served_chain;
