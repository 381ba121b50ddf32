//! See what a TLS server really serves.
//!
//! [`served_chain`] makes one handshake and returns the certificates that the server presented. It trusts
//! nothing and is trusted with nothing: no certificate is refused, none is sent.
//!
//! | module | duty |
//! |---|---|
//! | `address` | `HOST:PORT` as operators write it |
//! | `recorder` | the certificate verifier that accepts everything and remembers it |
//! | `served` | connect, shake hands, read the record |
//! | `error` | why there is nothing to show |

mod address;
mod error;
mod recorder;
mod served;

pub use address::Address;
pub use error::{ProbeError, Step};
pub use served::served_chain;
