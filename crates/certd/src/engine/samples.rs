//! Entries and issuers for tests.

use std::sync::Arc;

use phoenix_core::facts::{Baseline, Deed, FileFact, LeafFacts, Ledger, LivePair, Observation, OwnCopy};
use phoenix_core::lifecycle::State;
use phoenix_core::manifest::{Context, Entry, Manifest};
use phoenix_core::name::IssuerName;
use phoenix_core::schedule::Jitter;
use phoenix_core::settings::Settings;
use phoenix_core::time::Timestamp;
use serde_json::{Value, json};

use super::entries::{Entries, Tracked};

/// The configuration: issuers `first`, `second` and `third`.
pub(crate) fn settings() -> Settings {
    let issuer = |name: &str| {
        format!(
            "[[issuer]]\nname = \"{name}\"\ntype = \"step-ca\"\nurl = \"https://{name}:9000\"\n\
             root = \"/etc/{name}.pem\"\nprovisioner = \"p\"\npassword_file = \"/etc/p\"\n"
        )
    };
    let head = "manifest = \"/etc/m.json\"\nstate_dir = \"/var/lib/d\"\ncontrol_socket = \"/run/d/c.sock\"\n\
                [executor]\nsocket = \"/run/e/e.sock\"\nstate_dir = \"/var/lib/e\"\n\
                target_roots = [\"/mnt\"]\ncommands = [\"/usr/sbin/pct\"]\n";
    let issuers: String = ["first", "second", "third"].map(issuer).concat();
    Settings::parse(&format!("{head}{issuers}"), "certd.toml").unwrap()
}

/// The name of an issuer.
pub(crate) fn issuer(name: &str) -> IssuerName {
    name.parse().unwrap()
}

/// The entry of a manifest that says this about it besides what it has to.
pub(crate) fn entry(name: &str, besides: &Value) -> Entry {
    let mut fields = json!({
        "name": name, "common_name": format!("{name}.example.org"),
        "cert_path": format!("/mnt/{name}/cert.pem"), "key_path": format!("/mnt/{name}/key.pem"),
    });
    for (field, value) in besides.as_object().unwrap() {
        fields[field] = value.clone();
    }
    let parsed = Manifest::parse(&json!([fields]).to_string(), &Context::of(&settings()));
    parsed.manifest.unwrap().entries.remove(0)
}

/// The entry in a state.
pub(crate) fn tracked(entry: Entry, state: State) -> Tracked {
    let jitter = Jitter::of(1, &entry);
    Tracked::new(Arc::new(entry), String::new(), Vec::new(), jitter, state)
}

/// Entries in the order of a manifest.
pub(crate) fn entries(all: impl IntoIterator<Item = Tracked>) -> Entries {
    let (mut entries, mut order) = (Entries::default(), Vec::new());
    for tracked in all {
        let key = tracked.entry.key_path.clone();
        order.push(key.clone());
        entries.insert(key, tracked);
    }
    entries.set_order(order);
    entries
}

/// Our pair in place, valid from a day before until then, delivered to nobody and its command run.
pub(crate) fn installed(entry: &Entry, not_after: Timestamp, at: Timestamp) -> State {
    let leaf = LeafFacts {
        serial: "5e".into(),
        fingerprint: "fp".into(),
        common_name: Some(entry.common_name.clone()),
        sans: entry.sans.clone(),
        not_before: not_after.minus(std::time::Duration::from_secs(86_400)),
        not_after,
        client_auth: true,
        server_auth: true,
        other_eku: false,
        key_type: Some(entry.key_type),
        public_key: "spki".into(),
        issuer: "CA".into(),
    };
    let file = |sha256: &str| FileFact::Present { uid: 0, gid: 0, mode: 0o600, sha256: sha256.to_owned() };
    let baseline = Baseline { cert: (0, 0, 0o600), key: (0, 0, 0o600) };
    let own = OwnCopy {
        leaf: leaf.clone(),
        trusted: Some(true),
        cert_sha256: "c".into(),
        key_sha256: "k".into(),
        adopted: false,
        installed_at: leaf.not_before,
    };
    let seen = Observation {
        at,
        target_trouble: None,
        live: LivePair {
            cert: file("c"),
            key: file("k"),
            leaf: Some(leaf),
            key_public: Some("spki".into()),
            trusted: Some(true),
            companions_differ: false,
        },
        own: Some(own),
        ledger: Ledger {
            activated: Some(Deed { fingerprint: "fp".into(), of: "command".into(), at }),
            baseline: Some(baseline.clone()),
            ..Ledger::default()
        },
        delivery_digest: None,
        command_digest: entry.command.as_ref().map(|_| "command".into()),
        wanted: Some(baseline),
        set_aside: Vec::new(),
    };
    State { seen: Some(seen), ..State::default() }
}
