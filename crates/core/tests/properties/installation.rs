//! Entries and leaves to ask questions about.

use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::{Context, Entry, Manifest, Parsed};
use phoenix_core::settings::Settings;
use phoenix_core::time::Timestamp;
use serde_json::{Value, json};

const SETTINGS: &str = "[executor]\ntarget_roots = [\"/srv\"]\ncommands = [\"/usr/sbin/pct\", \"/usr/bin/true\"]\n\
                        [[issuer]]\nname = \"ca\"\ntype = \"step-ca\"\nurl = \"https://ca:9000\"\n\
                        root = \"/root.crt\"\nprovisioner = \"admin\"\n";

pub(crate) fn parse(text: &str) -> Parsed {
    let settings = Settings::parse(SETTINGS, "certd.toml").unwrap();
    Manifest::parse(text, &Context::of(&settings))
}

/// An entry that differs from others by its name, with these further fields.
pub(crate) fn entry(name: &str, further: &Value) -> Entry {
    let mut fields = json!({
        "name": name,
        "common_name": "host.example",
        "cert_path": format!("/srv/{name}/cert.pem"),
        "key_path": format!("/srv/{name}/key.pem"),
    });
    fields.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let parsed = parse(&json!([fields]).to_string());
    let mut entries = parsed.manifest.unwrap_or_else(|| panic!("{}", parsed.diagnostics)).entries;
    entries.pop().unwrap_or_else(|| panic!("{}", parsed.diagnostics))
}

/// A leaf that is valid between these times.
pub(crate) fn leaf(not_before: i64, not_after: i64) -> LeafFacts {
    LeafFacts {
        serial: "1".to_owned(),
        fingerprint: "f".to_owned(),
        common_name: None,
        sans: Vec::new(),
        not_before: Timestamp::from_unix(not_before),
        not_after: Timestamp::from_unix(not_after),
        client_auth: true,
        server_auth: true,
        other_eku: false,
        key_type: None,
        public_key: "k".to_owned(),
        issuer: "CA".to_owned(),
    }
}
