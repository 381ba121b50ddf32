//! `certificate-manifest.json`: the contract of section 4 of the design.

mod entry;

pub use entry::*;
