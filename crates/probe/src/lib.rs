//! See what a TLS server really serves.
