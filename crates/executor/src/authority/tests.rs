//! The manifest in force, whatever happens to the file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use phoenix_core::name::CertName;

use super::*;
use crate::samples;

/// Long after every file of these tests was written, so that its time stamps have settled.
fn later() -> Timestamp {
    crate::clock::now().plus(Duration::from_secs(3600))
}

struct Rig {
    dir: tempfile::TempDir,
    settings: Arc<Settings>,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = samples::settings(dir.path());
        Self { dir, settings }
    }

    fn path(&self) -> &Path {
        self.settings.manifest.as_path()
    }

    fn write(&self, names: &[&str]) {
        let entries: Vec<_> = names.iter().map(|name| entry(self.dir.path(), name)).collect();
        self.write_text(&format!("[{}]", entries.join(",")));
    }

    fn write_text(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn open(&self) -> Authority {
        let (_store, state) = samples::state(self.dir.path());
        Authority::open(Arc::clone(&self.settings), Kept::new(state), later())
    }
}

fn entry(dir: &Path, name: &str) -> String {
    let dir = dir.display();
    format!(
        r#"{{"common_name": "{name}.example", "cert_path": "{dir}/{name}.pem", "key_path": "{dir}/{name}-key.pem"}}"#
    )
}

fn names(authority: &Authority) -> Vec<String> {
    authority.in_force().entries().iter().map(|known| known.entry.name.to_string()).collect()
}

fn state(authority: &Authority) -> ManifestState {
    authority.snapshot(0, Vec::new()).manifest.state
}

#[test]
fn a_broken_file_keeps_the_last_good_manifest_also_over_a_restart() {
    let rig = Rig::new();
    rig.write(&["a", "b"]);
    let authority = rig.open();
    assert_eq!((names(&authority), state(&authority)), (vec!["a".into(), "b".into()], ManifestState::Loaded));
    let loaded_at = authority.snapshot(0, Vec::new()).manifest.loaded_at;

    for broken in ["", "[{\"common_name\": ", "\u{0}", "{\"certificates\": 7}"] {
        rig.write_text(broken);
        authority.refresh(later());
        assert_eq!(state(&authority), ManifestState::Stale, "{broken:?}");
        assert!(authority.snapshot(0, Vec::new()).manifest.error.is_some());
        assert_eq!(names(&authority), ["a", "b"]);
    }
    drop(authority);
    let authority = rig.open();
    assert_eq!((names(&authority), state(&authority)), (vec!["a".into(), "b".into()], ManifestState::Stale));
    assert_eq!(authority.snapshot(0, Vec::new()).manifest.loaded_at, loaded_at);

    rig.write(&["c"]);
    authority.refresh(later());
    assert_eq!((names(&authority), state(&authority)), (vec!["c".into()], ManifestState::Loaded));
    assert_eq!(authority.snapshot(0, Vec::new()).manifest.error, None);
}

#[test]
fn what_is_kept_already_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let rig = Rig::new();
    let home = samples::state(rig.dir.path()).1.path().join("manifest");
    let inodes = || ["current.json", "meta.json"].map(|name| fs::metadata(home.join(name)).unwrap().ino());
    rig.write(&["a"]);
    drop(rig.open());
    let first = inodes();
    drop(rig.open());
    assert_eq!(inodes(), first);
    fs::write(home.join("meta.json"), "{}").unwrap();
    drop(rig.open());
    let mended = inodes();
    assert_ne!(mended, first);
    rig.write(&["a", "b"]);
    drop(rig.open());
    assert_ne!(inodes(), mended);
}

#[test]
fn a_file_that_goes_and_comes_back_changes_nothing() {
    let rig = Rig::new();
    rig.write(&["a"]);
    let authority = rig.open();
    fs::rename(rig.path(), rig.dir.path().join("aside")).unwrap();
    authority.refresh(later());
    assert_eq!((names(&authority), state(&authority)), (vec!["a".into()], ManifestState::Missing));
    fs::rename(rig.dir.path().join("aside"), rig.path()).unwrap();
    authority.refresh(later());
    assert_eq!((names(&authority), state(&authority)), (vec!["a".into()], ManifestState::Loaded));
}

#[test]
fn a_file_that_others_can_write_is_not_read() {
    let rig = Rig::new();
    rig.write(&["a"]);
    let authority = rig.open();
    rig.write(&["evil"]);
    fs::set_permissions(rig.path(), fs::Permissions::from_mode(0o666)).unwrap();
    authority.refresh(later());
    assert_eq!((names(&authority), state(&authority)), (vec!["a".into()], ManifestState::Untrusted));
    let error = authority.snapshot(0, Vec::new()).manifest.error.unwrap();
    assert!(error.contains("chmod go-w"), "{error}");
}

#[test]
fn nothing_is_in_force_where_there_never_was_a_manifest() {
    let rig = Rig::new();
    let authority = rig.open();
    let facts = authority.snapshot(0, Vec::new());
    assert_eq!((facts.total, facts.manifest.state), (0, ManifestState::Missing));
    assert_eq!(facts.manifest.loaded_at, None);
}

#[test]
fn another_manifest_path_does_not_revive_the_old_manifest() {
    let mut rig = Rig::new();
    rig.write(&["a"]);
    drop(rig.open());
    let mut settings = (*rig.settings).clone();
    settings.manifest = rig.dir.path().join("other.json").display().to_string().parse().unwrap();
    rig.settings = Arc::new(settings);
    assert_eq!(names(&rig.open()), Vec::<String>::new());
}

#[test]
fn requests_for_another_version_or_name_are_refused() {
    let rig = Rig::new();
    rig.write(&["a"]);
    let authority = rig.open();
    let name: CertName = "a".parse().unwrap();
    let digest = authority.in_force().get(&name).unwrap().digest.clone();
    let wanted = EntryRef { name: name.clone(), digest };
    authority.entry(&wanted).unwrap();
    let other = EntryRef { name: name.clone(), digest: "0".repeat(64) };
    assert_eq!(authority.entry(&other).unwrap_err().reason, Reason::Stale);
    let unknown = EntryRef { name: "b".parse().unwrap(), digest: wanted.digest.clone() };
    assert_eq!(authority.entry(&unknown).unwrap_err().reason, Reason::UnknownEntry);

    let dir = rig.dir.path();
    rig.write_text(&format!("[{}]", entry(dir, "a").replace("a.pem", "elsewhere.pem")));
    authority.refresh(later());
    assert_eq!(authority.entry(&wanted).unwrap_err().reason, Reason::Stale);
}

#[test]
fn an_entry_keeps_its_digest_while_others_change() {
    let rig = Rig::new();
    rig.write(&["a", "b"]);
    let authority = rig.open();
    let before = authority.in_force().entries()[0].digest.clone();
    rig.write(&["c", "a"]);
    authority.refresh(later());
    assert_eq!(authority.in_force().entries()[1].digest, before);
}

#[test]
fn pages_hold_every_entry_once_and_fit_a_frame() {
    let rig = Rig::new();
    let all: Vec<String> = (0..1000).map(|number| format!("entry-{number:04}")).collect();
    rig.write(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let authority = rig.open();
    let mut seen = Vec::new();
    loop {
        let page = authority.snapshot(seen.len(), Vec::new());
        assert_eq!(page.total, 1000);
        if page.entries.is_empty() {
            break;
        }
        phoenix_protocol::frame::encode(&page, phoenix_protocol::frame::MAX_RESPONSE).unwrap();
        seen.extend(page.entries.into_iter().map(|one| one.entry.name.to_string()));
    }
    assert_eq!(seen, all);
}

#[test]
fn texts_are_cut_at_characters() {
    let mut text = "äää".to_owned();
    bound(&mut text, 3);
    assert_eq!(text, "ä\n[cut]");
}

#[test]
fn an_entry_that_fits_no_frame_hides_no_other() {
    let rig = Rig::new();
    let dir = rig.dir.path();
    let names: Vec<String> =
        (0..40_000).map(|number| format!("\"a-rather-long-name-{number}.example\"")).collect();
    let large = entry(dir, "large").replace('{', &format!("{{\"sans\": [{}],", names.join(",")));
    rig.write_text(&format!("[{},{large},{}]", entry(dir, "a"), entry(dir, "b")));
    let authority = rig.open();
    assert_eq!(self::names(&authority), ["a", "b"]);
    let page = authority.snapshot(0, Vec::new());
    assert!(page.invalid.iter().any(|one| one.name.as_deref() == Some("large")), "{:?}", page.invalid);
}
