//! Any bytes in any record of the executor's state: nothing panics, the live pair stays whole, and a new one can be
//! installed.
//!
//! The first byte names the record, the second whether the bytes replace it or are laid over a piece of it.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::{Context, Entry, Manifest};
use phoenix_core::settings::Settings;
use phoenix_core::time::Timestamp;
use phoenix_store::{EntryStore, NewPair, Options, StateLock, Store};
use tempfile::TempDir;
use zeroize::Zeroizing;

const CERTD: &str = include_str!("../../../../config/certd.toml");
const MARKS: [&str; 3] = ["older", "old", "next"];

/// A state with two pairs, a ledger and a staged key, and where its files lie.
struct Scene {
    scratch: TempDir,
    entry: Entry,
    files: Vec<(PathBuf, Vec<u8>)>,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let parent = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let scratch = tempfile::tempdir_in(parent).expect("a scratch directory");
    fs::create_dir(scratch.path().join("root")).expect("a target root");
    let at = |name: &str| scratch.path().join("root").join(name).display().to_string();
    let manifest = serde_json::json!([{
        "common_name": "a.example", "cert_path": at("a/cert.pem"), "key_path": at("a/key.pem"),
    }]);
    let settings = CERTD.replace("/mnt/pve/quickOS\"]", &format!("{}\"]", at("")));
    let settings = Settings::parse(&settings, "certd.toml").expect("the shipped configuration is good");
    let parsed = Manifest::parse(&manifest.to_string(), &Context::of(&settings));
    let entry = parsed.manifest.and_then(|manifest| manifest.entries.into_iter().next()).expect("an entry");
    let store = open(scratch.path()).entry(&entry);
    install(&store, MARKS[0]);
    install(&store, MARKS[1]);
    store.stage_key(b"PRIVATE staged", &serde_json::json!({})).expect("a staged key");
    store.update_ledger(|ledger| ledger.foreign_writes = 1).expect("a ledger");
    drop(store);
    let mut files = Vec::new();
    collect(scratch.path(), &mut files);
    files.sort();
    Scene { scratch, entry, files }
});

fn open(scratch: &Path) -> Store {
    let root = scratch.join("root").display().to_string().parse().expect("a path");
    let lock = StateLock::acquire(&scratch.join("state"), || ()).expect("the lock");
    Store::open(lock, Options::new(vec![root])).expect("the state opens")
}

fn install(store: &EntryStore, mark: &str) {
    let leaf: LeafFacts = serde_json::from_value(serde_json::json!({
        "serial": mark, "fingerprint": mark, "common_name": null, "sans": [],
        "not_before": "1970-01-01T00:00:00Z", "not_after": "2033-01-01T00:00:00Z", "client_auth": false,
        "server_auth": true, "other_eku": false, "key_type": null, "public_key": mark, "issuer": "i",
    }))
    .expect("a leaf");
    let pair = NewPair {
        key_pem: Zeroizing::new(mark.as_bytes().to_vec()),
        cert_pem: mark.as_bytes().to_vec(),
        chain_pem: Vec::new(),
        roots_pem: None,
        leaf,
        at: Timestamp::from_unix(0),
    };
    store.install(pair).expect("a pair can be installed");
}

fn collect(dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for item in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = item.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
}

fn live(entry: &Entry) -> (Vec<u8>, Vec<u8>) {
    let read = |path: &Path| fs::read(path).expect("a live file");
    (read(entry.cert_path.as_path()), read(entry.key_path.as_path()))
}

fn bring_back(scene: &Scene) {
    let mut now = Vec::new();
    collect(scene.scratch.path(), &mut now);
    for (path, _) in now.iter().filter(|(path, _)| !scene.files.iter().any(|(kept, _)| kept == path)) {
        fs::remove_file(path).expect("a file goes");
    }
    for (path, bytes) in scene.files.iter().filter(|file| !now.contains(file)) {
        fs::write(path, bytes).expect("a file comes back");
    }
}

fuzz_target!(|input: (u8, bool, u16, Vec<u8>)| {
    let (which, replaces, at, bytes) = input;
    let scene = &*SCENE;
    bring_back(scene);
    let state = scene.scratch.path().join("state");
    let records: Vec<_> = scene.files.iter().filter(|(path, _)| path.starts_with(&state)).collect();
    // An intent and the note of a proof are there only while something is unfinished.
    let home = records.iter().find(|(path, _)| path.ends_with("ledger.json")).and_then(|(path, _)| path.parent());
    let absent = ["intent", "probe.json"].map(|name| (home.expect("an entry").join(name), Vec::new()));
    let candidates: Vec<&(PathBuf, Vec<u8>)> = records.into_iter().chain(&absent).collect();
    let (path, original) = candidates[usize::from(which) % candidates.len()];
    let damaged = if replaces {
        bytes
    } else {
        let start = usize::from(at).min(original.len());
        let end = (start + bytes.len()).min(original.len());
        [&original[..start], &bytes, &original[end..]].concat()
    };
    fs::write(path, damaged).expect("a record is damaged");
    let store = open(scene.scratch.path());
    store.recover();
    let handle = store.entry(&scene.entry);
    let (cert, key) = live(&scene.entry);
    assert_eq!(cert, key, "a torn pair");
    let _ = (handle.ledger(), handle.current().map(|own| own.map(|own| own.key_pem())), handle.restore());
    let (cert, key) = live(&scene.entry);
    assert!(cert == key && MARKS.iter().any(|mark| mark.as_bytes() == cert), "a torn pair");
    install(&handle, MARKS[2]);
});
