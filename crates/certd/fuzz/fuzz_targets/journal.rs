//! Any bytes as journal: it opens, what is read is read again the same, and what is remembered afterwards is there.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| phoenix_certd::fuzzing::journal(bytes));
