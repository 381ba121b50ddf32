//! Any bytes from a daemon: no panic, never more read than announced and allowed, and what is understood means the
//! same when it is said again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phoenix_protocol::executor::Request;
use phoenix_protocol::frame::{MAX_REQUEST, decode, encode, read};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(request) = read::<Request>(&mut rest, MAX_REQUEST) {
        let again = encode(&request, usize::MAX).expect("a request can be written");
        assert_eq!(decode::<Request>(&again[4..]).expect("and read again"), request);
    }
    // The same without the length, so that mutations reach the content.
    if let Ok(request) = decode::<Request>(bytes) {
        let again = encode(&request, usize::MAX).expect("a request can be written");
        assert_eq!(decode::<Request>(&again[4..]).expect("and read again"), request);
    }
});
