//! Requests of the executor protocol, whole and damaged. The fuzz target `request` does the same without an end.

#![expect(clippy::unwrap_used, reason = "what cannot be written again fails the test")]

use phoenix_protocol::executor::Request;
use phoenix_protocol::frame::{MAX_REQUEST, decode, encode, read};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One request of every kind.
fn samples() -> Vec<Value> {
    let entry = json!({"name": "web", "digest": "0".repeat(64)});
    let token = |purpose: &str| {
        json!({
            "op": "token", "entry": entry, "issuer": "phoenix", "purpose": purpose, "stage": "s", "serial": "0a",
            "kid": "k", "encrypted_key": "e", "ca_time": "2026-01-01T00:00:00Z",
        })
    };
    let mut all: Vec<Value> =
        ["observe", "prepare", "adopt", "restore", "deliver", "recheck", "install_roots"]
            .map(|op| json!({"op": op, "entry": entry}))
            .into();
    all.extend(["sign", "x5c", "renew", "revoke"].map(token));
    all.extend([
        json!({"op": "hello", "version": 3}),
        json!({"op": "snapshot", "refresh": true, "offset": 0}),
        json!({"op": "install", "entry": entry, "stage": "s", "issuer": "phoenix", "chain": "c"}),
        json!({"op": "activate", "entries": [entry, entry]}),
        json!({"op": "rollback", "entry": entry, "to": "newer"}),
        json!({"op": "rollback", "entry": entry}),
        json!({"op": "run_check", "entry": entry, "check": 1}),
        json!({"op": "sign", "entry": entry, "fingerprint": "f", "scheme": "ED25519", "message": "m"}),
        json!({
            "op": "challenge", "entry": entry, "issuer": "acme", "step": "present", "domain": "d", "value": "v",
        }),
        json!({"op": "trust", "issuer": "phoenix", "root": "r"}),
    ]);
    for (sample, id) in all.iter_mut().zip(1..) {
        sample["id"] = json!(id);
    }
    all
}

/// What is understood means the same when it is said again.
fn said_again(body: &[u8]) {
    if let Ok(request) = decode::<Request>(body) {
        let again = encode(&request, usize::MAX).unwrap();
        assert_eq!(decode::<Request>(&again[4..]).unwrap(), request);
    }
}

#[test]
fn every_kind_of_request_is_understood_and_said_again() {
    for sample in samples() {
        let body = sample.to_string();
        decode::<Request>(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
        said_again(body.as_bytes());
    }
}

#[test]
fn a_request_without_one_of_its_fields_is_none() {
    for sample in samples() {
        let fields: Vec<String> = sample.as_object().unwrap().keys().cloned().collect();
        for field in fields.iter().filter(|field| !["to", "ca_time"].contains(&field.as_str())) {
            let mut less = sample.clone();
            less.as_object_mut().unwrap().remove(field);
            let understood = decode::<Request>(less.to_string().as_bytes());
            // A token of one purpose needs nothing of what the others do.
            assert!(understood.is_err() || sample["op"] == "token", "{less}");
        }
    }
}

proptest! {
    #[test]
    fn damaged_requests_are_refused_or_understood_without_a_panic(
        sample in prop::sample::select(samples()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut: prop::sample::Index,
    ) {
        let mut body = sample.to_string().into_bytes();
        for (place, byte) in damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        said_again(&body);
        said_again(&body[..cut.index(body.len())]);
    }

    #[test]
    fn a_stream_of_any_bytes_is_read_within_its_bounds(bytes: Vec<u8>) {
        let mut rest = bytes.as_slice();
        while let Ok(request) = read::<Request>(&mut rest, MAX_REQUEST) {
            said_again(&encode(&request, usize::MAX).unwrap()[4..]);
        }
    }
}
