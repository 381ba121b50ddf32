//! Embedded CA that speaks Step-CA's JWK API on loopback, for the demo and for faults that a real CA cannot be
//! asked for. Never linked into the daemon or the executor.
//!
//! It keeps the rules that were measured on step-ca 0.30.2: a token is spent before it is verified, audience
//! hosts, leeway, names, duration limits and the texts of refusals. Where it differs, it does less: no mTLS
//! renewal, revocation, ACME or templates.
//!
//! | module | duty |
//! |---|---|
//! | [`builder`] | how a CA is made |
//! | [`ca`] | the running CA: start, stop, faults, counters |
//! | [`fault`] | what can go wrong on purpose |
//! | `authority` | root, intermediate and what they sign |
//! | `clock` | the CA's time, which can be wrong |
//! | `goduration` | durations as Go reads and writes them |
//! | `names` | subject alternative names: what was asked, what may be certified |
//! | `provisioner` | JWK provisioners |
//! | `refusal` | errors in Step-CA's words |
//! | `routes` | the HTTP interface |
//! | `serve` | TLS and connections |
//! | `sign` | `POST /1.0/sign` |
//! | `sabotage` | faults that strike the answer as a whole |
//! | `token` | one-time tokens |
//! | `validity` | durations: defaults and limits |

mod authority;
pub mod builder;
pub mod ca;
mod clock;
pub mod fault;
mod goduration;
mod names;
mod provisioner;
mod refusal;
mod routes;
mod sabotage;
mod serve;
mod sign;
mod token;
mod validity;

pub use builder::Builder;
pub use ca::{Counters, DevCa};
pub use fault::Fault;
