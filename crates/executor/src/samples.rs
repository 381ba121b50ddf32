//! What unit tests start from.

use std::path::Path;
use std::sync::Arc;

use phoenix_core::manifest::{Context, Entry, Manifest};
use phoenix_core::settings::Settings;
use phoenix_store::{StateDir, StateLock, Store};

/// A configuration whose files all lie in `dir`.
pub(crate) fn settings(dir: &Path) -> Arc<Settings> {
    let text = r#"
manifest = "DIR/manifest.json"
state_dir = "DIR/certd"
control_socket = "DIR/certd/control.sock"

[executor]
socket = "DIR/run/executor.sock"
state_dir = "DIR/state"
target_roots = ["DIR"]
commands = []

[[issuer]]
name = "phoenix"
type = "step-ca"
url = "https://ca.internal.example:9000"
root = "DIR/root.pem"
provisioner = "admin@example"
password_file = "DIR/password"
client_provisioner = "clients"
client_password_file = "DIR/client-password"

[[issuer]]
name = "fetched"
type = "step-ca"
url = "https://fetched.internal.example:9000"
fingerprint = "0000000000000000000000000000000000000000000000000000000000000000"
provisioner = "admin@example"
password_file = "DIR/password"
"#;
    let text = text.replace("DIR", &dir.display().to_string());
    Arc::new(Settings::parse(&text, "certd.toml").unwrap_or_else(|error| panic!("{error}")))
}

/// An entry of a manifest under this configuration.
pub(crate) fn entry(settings: &Settings) -> Entry {
    let root = &settings.executor.target_roots[0];
    let text = format!(
        r#"[{{"common_name": "web.internal.example", "cert_path": "{root}/cert.pem", "key_path": "{root}/key.pem"}}]"#
    );
    Manifest::parse(&text, &Context::of(settings)).manifest.unwrap().entries.remove(0)
}

/// A state directory below `dir`. The store keeps its lock.
pub(crate) fn state(dir: &Path) -> (Store, StateDir) {
    let lock = StateLock::acquire(&dir.join("state"), || ()).unwrap();
    let store = Store::open(lock, phoenix_store::Options::new(Vec::new())).unwrap();
    let state = store.state().clone();
    (store, state)
}

/// PEM of a new root certificate.
pub(crate) fn root() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}
