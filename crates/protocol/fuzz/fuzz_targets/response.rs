//! Any bytes from an executor: no panic, and what is understood means the same when it is said again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phoenix_protocol::executor::Response;
use phoenix_protocol::frame::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(response) = decode::<Response>(bytes) {
        let again = encode(&response, usize::MAX).expect("an answer can be written");
        assert_eq!(decode::<Response>(&again[4..]).expect("and read again"), response);
    }
});
