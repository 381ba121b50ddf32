//! Manifest, issuers and tokens as the daemon sees them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use phoenix_core::reason::Reason;
use phoenix_executor::{Options, Source, StartError, serve};
use phoenix_jose::ProvisionerKey;
use phoenix_protocol::executor::{ManifestState, Operation, VERSION};
use phoenix_sandbox::Supervised;
use serde_json::json;

use crate::rig::{PASSWORD, Place, chmod};

#[test]
fn a_snapshot_shows_manifest_and_issuers() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    let snapshot = link.snapshot();
    assert_eq!((snapshot.total, snapshot.manifest.state), (1, ManifestState::Loaded));
    let phoenix = &snapshot.issuers[0];
    assert_eq!((phoenix.trouble.as_ref(), phoenix.fingerprints.len()), (None, 1));
    assert!(phoenix.roots.as_ref().unwrap().contains("BEGIN CERTIFICATE"));

    place.write("manifest.json", "[", 0o644);
    let snapshot = link.snapshot();
    assert_eq!((snapshot.total, snapshot.manifest.state), (1, ManifestState::Stale));
    let error = snapshot.manifest.error.unwrap();
    assert!(error.contains("manifest.json:1:"), "{error}");
}

#[test]
fn an_issuer_without_its_files_is_not_ready_until_they_appear() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    for name in ["root.pem", "password"] {
        fs::rename(place.path(name), place.path(&format!("{name}.away"))).unwrap();
    }
    let mut link = place.start();
    for name in ["root.pem", "password"] {
        let trouble = link.snapshot().issuers[0].trouble.clone().unwrap();
        assert_eq!(trouble.reason, Reason::IssuerNotReady);
        assert!(trouble.message.contains(&format!("/{name}`")), "{trouble}");
        let (stage, _) = link.prepare("web");
        assert_eq!(link.token(&place, &stage).unwrap_err().reason, Reason::IssuerNotReady);
        fs::rename(place.path(&format!("{name}.away")), place.path(name)).unwrap();
    }
    assert_eq!(link.snapshot().issuers[0].trouble, None);
    let (stage, _) = link.prepare("web");
    link.token(&place, &stage).unwrap();
}

#[test]
fn a_wrong_password_is_told_and_a_mended_one_works_at_once() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    place.write("password", "wrong", 0o600);
    let mut link = place.start();
    let (stage, _) = link.prepare("web");
    for _ in 0..5 {
        let trouble = link.token(&place, &stage).unwrap_err();
        assert_eq!(trouble.reason, Reason::WrongPassword);
        assert!(trouble.message.contains(&place.text("password")), "{trouble}");
        assert!(!trouble.message.contains("wrong\n"), "{trouble}");
    }
    place.write("password", &format!("{PASSWORD}\r\n"), 0o600);
    link.token(&place, &stage).unwrap();
}

#[test]
fn a_password_cannot_be_guessed_through_keys_of_ones_own() {
    let place = Place::new(&json!([]));
    place.manifest(&json!([place.web(&json!({}))]));
    let mut link = place.start();
    let (stage, _) = link.prepare("web");
    let own = ProvisionerKey::generate_p256().unwrap();
    let guess = |word: &str| own.encrypt(word.as_bytes(), 100_000).unwrap();
    for word in ["a", "b", "c"] {
        let trouble = link.token_with(&stage, "phoenix", guess(word)).unwrap_err();
        assert_eq!(trouble.reason, Reason::WrongPassword);
    }
    let trouble = link.token_with(&stage, "phoenix", guess(PASSWORD)).unwrap_err();
    assert_eq!(trouble.reason, Reason::PasswordLocked);
}

#[test]
fn a_configuration_that_others_can_write_is_refused() {
    let place = Place::new(&json!([]));
    chmod(&place.path("certd.toml"), 0o646);
    let (_ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let runner = std::sync::Arc::new(Supervised::new(env!("CARGO_BIN_EXE_phoenix-executor")));
    let error = serve(&place.options(), Source::Pair(theirs), runner).unwrap_err();
    assert!(matches!(error, StartError::Configuration(_)), "{error}");
    assert!(error.to_string().contains("chmod go-w"), "{error}");
    assert!(!place.path("state").exists());
}

#[test]
fn command_line_paths_take_the_place_of_configured_ones() {
    let place = Place::new(&json!([]));
    place.write("other.json", &json!([place.web(&json!({"name": "other"}))]).to_string(), 0o644);
    let options = Options {
        manifest: Some(place.path("other.json")),
        state_dir: Some(place.path("elsewhere")),
        ..place.options()
    };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let runner = std::sync::Arc::new(Supervised::new(env!("CARGO_BIN_EXE_phoenix-executor")));
    let thread = std::thread::spawn(move || serve(&options, Source::Pair(theirs), runner));
    let mut link = crate::rig::Link::over(ours, thread);
    link.ask(Operation::Hello { version: VERSION }).unwrap();
    link.entry("other");
    link.end();
    let mode = fs::metadata(place.path("elsewhere")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(!place.path("state").exists());
}
