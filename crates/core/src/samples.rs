//! Values for this crate's tests.

use std::time::Duration;

use crate::facts::{Baseline, FileFact, LeafFacts, Ledger, LivePair, Observation, OwnCopy};
use crate::manifest::{Entry, KeyType, Mode, PostCommand, RenewBefore, San, Usage};
use crate::time::Timestamp;

/// An entry with a command and every default.
pub(crate) fn entry(name: &str) -> Entry {
    let common_name = format!("{name}.internal.thinkheads.ai");
    Entry {
        name: name.parse().unwrap(),
        sans: vec![San::Dns(common_name.clone())],
        common_name,
        cert_path: format!("/mnt/{name}/cert.pem").parse().unwrap(),
        key_path: format!("/mnt/{name}/key.pem").parse().unwrap(),
        chain_path: None,
        ca_path: None,
        owner: None,
        key_mode: Mode(0o600),
        cert_mode: Mode(0o644),
        usage: Usage::Server,
        strict_eku: false,
        guest: None,
        delivery: None,
        command: Some(PostCommand {
            argv: vec!["/usr/sbin/pct".into(), "exec".into(), "102".into()],
            timeout: Duration::from_secs(60),
            min_interval: None,
        }),
        validity: None,
        renew_before: RenewBefore::Third,
        issuers: vec!["phoenix".parse().unwrap()],
        key_type: KeyType::EcP256,
        key_policy: crate::manifest::KeyPolicy::Rotate,
        verify: Vec::new(),
        rollback: false,
        window: None,
        paused: false,
        stage_errors: Vec::new(),
    }
}

/// A leaf that fits `entry`. Its fingerprint and key are told apart by the times.
pub(crate) fn leaf(entry: &Entry, not_before: Timestamp, not_after: Timestamp) -> LeafFacts {
    LeafFacts {
        serial: format!("{:x}", not_after.unix()),
        fingerprint: format!("fp-{}-{}", not_before.unix(), not_after.unix()),
        common_name: Some(entry.common_name.clone()),
        sans: entry.sans.clone(),
        not_before,
        not_after,
        client_auth: true,
        server_auth: true,
        other_eku: false,
        key_type: Some(entry.key_type),
        public_key: format!("spki-{}-{}", not_before.unix(), not_after.unix()),
        issuer: "Phoenix CA".into(),
    }
}

/// Owner and mode of [`present`] files.
pub(crate) fn baseline() -> Baseline {
    Baseline { cert: (0, 0, 0o644), key: (0, 0, 0o600) }
}

fn present(sha256: String, mode: u16) -> FileFact {
    FileFact::Present { uid: 0, gid: 0, mode, sha256 }
}

/// The live pair that `leaf` makes.
pub(crate) fn live(leaf: &LeafFacts) -> LivePair {
    LivePair {
        cert: present(format!("cert-{}", leaf.fingerprint), 0o644),
        key: present(format!("key-{}", leaf.public_key), 0o600),
        leaf: Some(leaf.clone()),
        key_public: Some(leaf.public_key.clone()),
        trusted: Some(true),
        companions_differ: false,
    }
}

/// No files.
pub(crate) fn nothing() -> LivePair {
    LivePair {
        cert: FileFact::Missing,
        key: FileFact::Missing,
        leaf: None,
        key_public: None,
        trusted: None,
        companions_differ: false,
    }
}

/// Our own copy of `leaf`.
pub(crate) fn own(leaf: &LeafFacts) -> OwnCopy {
    OwnCopy {
        leaf: leaf.clone(),
        trusted: Some(true),
        cert_sha256: format!("cert-{}", leaf.fingerprint),
        key_sha256: format!("key-{}", leaf.public_key),
        adopted: false,
        installed_at: leaf.not_before,
    }
}

/// An observation with nothing on disk.
pub(crate) fn blank(entry: &Entry, at: Timestamp) -> Observation {
    Observation {
        at,
        target_trouble: None,
        live: nothing(),
        own: None,
        ledger: Ledger::default(),
        delivery_digest: entry.delivery.as_ref().map(|_| "delivery".to_owned()),
        command_digest: entry.command.as_ref().map(|_| "command".to_owned()),
        wanted: Some(baseline()),
        set_aside: Vec::new(),
    }
}

/// An observation of `leaf`, installed by us and not yet deployed.
pub(crate) fn installed(entry: &Entry, leaf: &LeafFacts, at: Timestamp) -> Observation {
    let mut seen = blank(entry, at);
    seen.live = live(leaf);
    seen.own = Some(own(leaf));
    seen.ledger.baseline = Some(baseline());
    seen
}
