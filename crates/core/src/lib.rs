//! What is true and what should happen.
//!
//! Pure decisions only: no disk, network, process or clock. The edges gather [`facts`], this crate decides,
//! the edges act. `clippy.toml` of this crate makes a reach for the outside world a lint error.
//!
//! | module | duty |
//! |---|---|
//! | [`manifest`] | `certificate-manifest.json`: parsing with located diagnostics, the validated [`manifest::Entry`] |
//! | [`settings`] | `certd.toml` |
//! | [`facts`] | what the edges observed: the pair on disk, the executor's ledger, the CA's answer |
//! | [`reason`] | stable reason codes and their retry class |
//! | [`rules`] | ordered chains of named rules over facts |
//! | [`schedule`] | when a certificate is due |
//! | [`backoff`] | how long to wait after a failure |
//! | [`scheme`] | signature schemes of a TLS handshake |
//! | [`breaker`] | whether an issuer can be asked, and when it is looked at again |
//! | [`lifecycle`] | one entry's state machine |
//! | [`account`] | how an entry is told: its state in one word, the reason, how far its certificate has come |
//! | [`explanation`] | why an entry is as it is and what happens next |
//! | [`window`] | when a maintenance window is open, daylight-saving time included |
//! | [`waves`] | equal commands of several entries run once |

pub mod account;
pub mod backoff;
pub mod breaker;
pub mod diagnostic;
pub mod explanation;
pub mod facts;
pub mod lifecycle;
pub mod manifest;
pub mod name;
pub mod reason;
pub mod rules;
#[cfg(test)]
mod samples;
pub mod schedule;
pub mod scheme;
pub mod settings;
pub mod time;
pub mod waves;
pub mod window;
