//! What an installation, a restoration, a rollback and an adoption leave on the live paths.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::{Arc, Mutex};

use phoenix_core::facts::{self, Baseline, FileFact};
use phoenix_core::manifest::{Mode, PostCommand};
use phoenix_core::reason::Reason;
use phoenix_core::time::Timestamp;
use phoenix_store::{Deed, LiveFile, Other, sha256_hex};

use crate::bed::{Bed, Watch, access, everything, live_mark, pair, walk};

#[test]
fn every_file_gets_its_content_owner_and_mode() {
    let bed = Bed::new();
    let entry = bed.full_entry("a/b");
    let handle = bed.open().entry(&entry);
    let generation = handle.install(pair("x")).unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("x"));
    assert_eq!(access(&entry.cert_path), (1234, 5678, 0o644));
    assert_eq!(access(&entry.key_path), (1234, 5678, 0o640));
    let (chain, ca) = (entry.chain_path.as_ref().unwrap(), entry.ca_path.as_ref().unwrap());
    assert_eq!((access(chain), access(ca)), ((1234, 5678, 0o644), (1234, 5678, 0o644)));
    assert_eq!(fs::read_to_string(chain.as_path()).unwrap(), "CHAIN x\n");
    assert_eq!(fs::read_to_string(ca.as_path()).unwrap(), "ROOTS x\n");
    assert_eq!((generation.number(), generation.adopted()), (1, false));
    assert_eq!(generation.own_copy(None).key_sha256, sha256_hex(b"PRIVATE x\n"));
}

#[test]
fn a_combined_file_is_chain_then_key_with_the_keys_mode() {
    let bed = Bed::new();
    let entry = bed.combined_entry("a");
    let handle = bed.open().entry(&entry);
    let generation = handle.install(pair("x")).unwrap();
    assert_eq!(access(&entry.key_path).2, 0o600);
    let text = fs::read(entry.key_path.as_path()).unwrap();
    assert_eq!(text, b"CERT x\nPRIVATE x\n");
    let own = generation.own_copy(Some(true));
    assert_eq!((own.cert_sha256.clone(), own.key_sha256), (sha256_hex(&text), sha256_hex(&text)));
    let live = handle.read_live().unwrap();
    assert_eq!(live.cert.fact(), live.key.fact());
}

#[test]
fn missing_directories_belong_to_the_owner_of_the_nearest_parent() {
    let bed = Bed::new();
    fs::create_dir(bed.root().join("guest")).unwrap();
    chown(bed.root().join("guest"), Some(100_000), Some(100_000)).unwrap();
    let entry = bed.entry("guest/x/y");
    bed.open().entry(&entry).prove().unwrap();
    for dir in ["guest/x", "guest/x/y"] {
        let seen = fs::metadata(bed.root().join(dir)).unwrap();
        assert_eq!((seen.uid(), seen.gid(), seen.mode() & 0o7777), (100_000, 100_000, 0o755), "{dir}");
    }
    assert_eq!(walk(&bed.root()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn without_an_owner_the_files_belong_to_the_directorys() {
    let bed = Bed::new();
    fs::create_dir(bed.root().join("guest")).unwrap();
    chown(bed.root().join("guest"), Some(100_033), Some(100_044)).unwrap();
    let entry = bed.entry("guest");
    bed.open().entry(&entry).install(pair("x")).unwrap();
    assert_eq!(access(&entry.key_path), (100_033, 100_044, 0o600));
}

#[test]
fn names_below_a_mapped_directory_mean_the_containers_ids() {
    let bed = Bed::new();
    fs::create_dir_all(bed.root().join("guest/ssl")).unwrap();
    chown(bed.root().join("guest"), Some(100_000), Some(100_000)).unwrap();
    let mut entry = bed.entry("guest/ssl");
    entry.owner = serde_json::from_str(r#"{"user":{"name":"root"},"group":{"name":"www-data"}}"#).unwrap();
    bed.open().entry(&entry).install(pair("x")).unwrap();
    assert_eq!(access(&entry.key_path), (100_000, 100_033, 0o600));
}

#[test]
fn an_owner_that_does_not_exist_costs_nothing() {
    let bed = Bed::new();
    let mut entry = bed.entry("a");
    entry.owner = serde_json::from_str(r#"{"user":{"name":"no-such-user"},"group":{"id":0}}"#).unwrap();
    let handle = bed.open().entry(&entry);
    let trouble = handle.prove().unwrap_err();
    assert_eq!(trouble.reason, Reason::MissingOwner);
    assert!(trouble.message.contains("user `no-such-user`"), "{trouble}");
    assert_eq!(everything(&bed.root()), Vec::<std::path::PathBuf>::new());
    assert_eq!(handle.read_live().unwrap().wanted.unwrap_err().reason, Reason::MissingOwner);
}

/// Every file below `root` that holds key bytes and that others than its owner may read, or that is another
/// owner's than the final one.
fn exposed(root: &Path, owner: u32) -> Vec<String> {
    let holds_key =
        |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.windows(7).any(|window| window == b"PRIVATE"));
    let open = |path: &Path| {
        let seen = fs::metadata(path).unwrap();
        seen.mode() & 0o077 != 0 || seen.uid() != owner
    };
    walk(root)
        .iter()
        .filter(|path| holds_key(path) && open(path))
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn no_key_is_readable_by_others_at_any_moment() {
    let bed = Bed::new();
    let mut entry = bed.full_entry("a/b");
    entry.key_mode = Mode(0o600);
    bed.open().entry(&entry).install(pair("old")).unwrap();
    let found = Arc::new(Mutex::new(Vec::new()));
    let (live, state) = (bed.root(), bed.state());
    let seen = Arc::clone(&found);
    let look = move |_: Deed, _: &Path| {
        let mut seen = seen.lock().unwrap();
        seen.extend(exposed(&live, 1234));
        seen.extend(exposed(&state, 0));
    };
    let handle = bed.open_with(Arc::new(Watch(Mutex::new(look)))).entry(&entry);
    handle.prove().unwrap();
    handle.stage_key(b"PRIVATE staged", &serde_json::Value::Null).unwrap();
    handle.install(pair("new")).unwrap();
    fs::remove_file(entry.key_path.as_path()).unwrap();
    handle.restore().unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("new"));
    assert_eq!(*found.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_key_appears_with_its_final_mode_and_owner() {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let modes = Arc::new(Mutex::new(BTreeSet::new()));
    let (path, seen) = (entry.key_path.clone(), Arc::clone(&modes));
    let look = move |_: Deed, _: &Path| {
        if path.as_path().exists() {
            seen.lock().unwrap().insert(access(&path));
        }
    };
    bed.open_with(Arc::new(Watch(Mutex::new(look)))).entry(&entry).install(pair("x")).unwrap();
    assert_eq!(*modes.lock().unwrap(), BTreeSet::from([(1234, 5678, 0o640)]));
}

#[test]
fn two_generations_are_kept_and_a_rollback_can_be_rolled_back() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let handle = bed.open().entry(&entry);
    for mark in ["one", "two", "three"] {
        handle.install(pair(mark)).unwrap();
    }
    assert_eq!(handle.previous().unwrap().unwrap().leaf().serial, "two");
    let later = Timestamp::from_unix(1_900_000_000);
    assert_eq!(handle.rollback(Other::Newer, later).unwrap_err().reason, Reason::Missing);
    let back = handle.rollback(Other::Previous, later).unwrap();
    assert_eq!((back.number(), back.installed_at(), back.instead_of()), (4, later, Some("print of three")));
    assert_eq!(live_mark(&entry).as_deref(), Some("two"));
    assert_eq!(handle.ledger().unwrap().rolled_back.as_deref(), Some("print of three"));
    assert_eq!(handle.rollback(Other::Previous, later).unwrap_err().reason, Reason::Missing);
    assert_eq!(live_mark(&entry).as_deref(), Some("two"));
    handle.rollback(Other::Newer, later).unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("three"));
    assert_eq!(handle.ledger().unwrap().rolled_back, None);
    let home = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("generations"));
    assert_eq!(everything(&bed.state()).iter().filter(|path| home(path)).count(), 2);
}

#[test]
fn what_was_done_for_a_pair_does_not_count_after_it_was_put_back() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    let deed = |mark: &str| facts::Deed {
        fingerprint: format!("print of {mark}"),
        of: "command".into(),
        at: Timestamp::default(),
    };
    handle.install(pair("one")).unwrap();
    handle.update_ledger(|ledger| ledger.activated = Some(deed("one"))).unwrap();
    handle.install(pair("two")).unwrap();
    assert_eq!(handle.ledger().unwrap().activated, Some(deed("one")), "the command failed for the second");
    handle.rollback(Other::Previous, Timestamp::default()).unwrap();
    assert_eq!(handle.ledger().unwrap().activated, None);
    handle.update_ledger(|ledger| ledger.activated = Some(deed("one"))).unwrap();
    assert_eq!(handle.ledger().unwrap().activated, Some(deed("one")));
    handle.install(pair("three")).unwrap();
    let ledger = handle.ledger().unwrap();
    assert_eq!((ledger.rolled_back, ledger.activated), (None, Some(deed("one"))));
}

#[test]
fn an_adopted_pair_comes_back_as_it_was() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    fs::create_dir(bed.root().join("a")).unwrap();
    fs::write(entry.cert_path.as_path(), "CERT x\n").unwrap();
    fs::write(entry.key_path.as_path(), "PRIVATE x\n").unwrap();
    fs::set_permissions(entry.key_path.as_path(), fs::Permissions::from_mode(0o640)).unwrap();
    let handle = bed.open().entry(&entry);
    handle.adopt(&pair("x"), &handle.read_live().unwrap()).unwrap();
    handle.install(pair("y")).unwrap();
    let back = handle.rollback(Other::Previous, Timestamp::default()).unwrap();
    assert!(back.adopted());
    assert_eq!(access(&entry.key_path).2, 0o640);
    assert_eq!(handle.ledger().unwrap().baseline, handle.read_live().unwrap().baseline());
}

#[test]
fn without_an_earlier_pair_there_is_no_rollback() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    assert_eq!(handle.rollback(Other::Previous, Timestamp::default()).unwrap_err().reason, Reason::Missing);
    assert_eq!(handle.restore().unwrap_err().reason, Reason::Missing);
    handle.install(pair("x")).unwrap();
    assert_eq!(handle.rollback(Other::Previous, Timestamp::default()).unwrap_err().reason, Reason::Missing);
}

#[test]
fn other_roots_take_the_place_of_the_present_ones_and_nothing_else_changes() {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let handle = bed.open().entry(&entry);
    assert_eq!(handle.exchange_roots(b"ROOTS z\n".to_vec()).unwrap_err().reason, Reason::Missing);
    handle.install(pair("one")).unwrap();
    let newest = handle.install(pair("two")).unwrap();
    let inode = fs::metadata(entry.key_path.as_path()).unwrap().ino();
    let done = facts::Deed { fingerprint: "f".into(), of: "o".into(), at: Timestamp::default() };
    handle.update_ledger(|ledger| ledger.activated = Some(done.clone())).unwrap();
    assert!(!handle.exchange_roots(b"ROOTS two\n".to_vec()).unwrap(), "they are there already");
    assert_eq!(handle.ledger().unwrap().activated, Some(done));

    assert!(handle.exchange_roots(b"ROOTS z\n".to_vec()).unwrap());
    let ca = entry.ca_path.as_ref().unwrap();
    assert_eq!(fs::read_to_string(ca.as_path()).unwrap(), "ROOTS z\n");
    assert_eq!(fs::metadata(entry.key_path.as_path()).unwrap().ino(), inode);
    let own = handle.current().unwrap().unwrap();
    assert_eq!((own.number(), own.roots_pem().unwrap().unwrap()), (newest.number(), b"ROOTS z\n".to_vec()));
    assert!(!own.companions_differ(&handle.read_live().unwrap()));
    assert_eq!(handle.ledger().unwrap().activated, None, "its consumers have the old ones");
    assert_eq!(handle.previous().unwrap().unwrap().leaf().serial, "one");
    // A bundle that somebody removed comes back.
    fs::remove_file(ca.as_path()).unwrap();
    assert!(handle.exchange_roots(b"ROOTS z\n".to_vec()).unwrap());
    assert!(ca.as_path().exists());
}

#[test]
fn adoption_records_the_pair_and_touches_nothing() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    fs::create_dir(bed.root().join("a")).unwrap();
    fs::write(entry.cert_path.as_path(), "CERT x\n").unwrap();
    fs::write(entry.key_path.as_path(), "PRIVATE x\n").unwrap();
    fs::set_permissions(entry.key_path.as_path(), fs::Permissions::from_mode(0o640)).unwrap();
    let inode = fs::metadata(entry.key_path.as_path()).unwrap().ino();
    let handle = bed.open().entry(&entry);
    let live = handle.read_live().unwrap();
    let own = handle.adopt(&pair("x"), &live).unwrap();
    assert!(own.adopted() && own.own_copy(None).adopted);
    assert_eq!(own.own_copy(None).key_sha256, sha256_hex(live.key.bytes().unwrap()));
    assert_eq!(fs::metadata(entry.key_path.as_path()).unwrap().ino(), inode);
    assert_eq!(handle.ledger().unwrap().baseline, live.baseline());
    // Its mode differs from the manifest's and is kept when the own copy is put back.
    fs::remove_file(entry.key_path.as_path()).unwrap();
    handle.restore().unwrap();
    assert_eq!(access(&entry.key_path).2, 0o640);
    handle.install(pair("y")).unwrap();
    assert_eq!(access(&entry.key_path).2, 0o600);
}

#[test]
fn an_adoption_needs_a_whole_pair() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    let live = handle.read_live().unwrap();
    assert_eq!(handle.adopt(&pair("x"), &live).unwrap_err().reason, Reason::Missing);
    assert!(handle.current().unwrap().is_none());
}

#[test]
fn the_own_copy_goes_back_with_the_access_that_a_command_settled_on() {
    let bed = Bed::new();
    let mut entry = bed.entry("a");
    entry.command = Some(PostCommand {
        argv: vec!["/bin/true".into()],
        timeout: std::time::Duration::ZERO,
        min_interval: None,
    });
    let store = bed.open();
    let handle = store.entry(&entry);
    handle.install(pair("x")).unwrap();
    let moved = Baseline { cert: (7, 8, 0o640), key: (7, 8, 0o440) };
    handle.update_ledger(|ledger| ledger.baseline = Some(moved.clone())).unwrap();
    fs::remove_file(entry.key_path.as_path()).unwrap();
    handle.restore().unwrap();
    assert_eq!((access(&entry.cert_path), access(&entry.key_path)), ((7, 8, 0o640), (7, 8, 0o440)));
    assert_eq!(handle.ledger().unwrap().baseline, Some(moved));
    // The manifest asks for something else now, or no longer has a command: that counts.
    entry.key_mode = Mode(0o600);
    entry.cert_mode = Mode(0o600);
    let handle = store.entry(&entry);
    handle.restore().unwrap();
    assert_eq!((access(&entry.cert_path), access(&entry.key_path)), ((0, 0, 0o600), (0, 0, 0o600)));
    handle
        .update_ledger(|ledger| ledger.baseline = Some(Baseline { cert: (7, 8, 0o600), key: (7, 8, 0o600) }))
        .unwrap();
    entry.command = None;
    store.entry(&entry).restore().unwrap();
    assert_eq!(access(&entry.key_path), (0, 0, 0o600));
}

#[test]
fn the_same_pair_twice_is_one_generation() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    handle.install(pair("old")).unwrap();
    handle.install(pair("x")).unwrap();
    assert_eq!(handle.install(pair("x")).unwrap().number(), 2);
    assert_eq!(handle.previous().unwrap().unwrap().leaf().serial, "old");
}

#[test]
fn files_that_are_right_are_not_written_again() {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let handle = bed.open().entry(&entry);
    handle.install(pair("x")).unwrap();
    let inodes = || {
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        (inode(entry.key_path.as_path()), inode(entry.ca_path.as_ref().unwrap().as_path()))
    };
    let before = inodes();
    handle.restore().unwrap();
    assert_eq!(inodes(), before);
    let mut renewed = pair("y");
    renewed.roots_pem = pair("x").roots_pem;
    handle.install(renewed).unwrap();
    assert_ne!(inodes().0, before.0);
    assert_eq!(inodes().1, before.1);
}

#[test]
fn a_lost_or_changed_companion_is_seen() {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let handle = bed.open().entry(&entry);
    let own = handle.install(pair("x")).unwrap();
    let differs = || own.companions_differ(&handle.read_live().unwrap());
    assert!(!differs());
    fs::write(entry.ca_path.as_ref().unwrap().as_path(), "other").unwrap();
    assert!(differs());
    handle.restore().unwrap();
    assert!(!differs());
    fs::remove_file(entry.chain_path.as_ref().unwrap().as_path()).unwrap();
    assert!(differs());
}

#[test]
fn reading_tells_what_is_there() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let handle = bed.open().entry(&entry);
    assert!(matches!(handle.read_live().unwrap().cert, LiveFile::Missing));
    assert!(everything(&bed.root()).is_empty(), "a look makes nothing");
    handle.install(pair("x")).unwrap();
    let live = handle.read_live().unwrap();
    let fact = FileFact::Present { uid: 0, gid: 0, mode: 0o600, sha256: sha256_hex(b"PRIVATE x\n") };
    assert_eq!(live.key.fact(), fact);
    assert!(!format!("{live:?} {:?}", pair("x")).contains("PRIVATE"));
    fs::write(entry.cert_path.as_path(), vec![b'x'; (256 << 10) + 1]).unwrap();
    let LiveFile::Unreadable { why } = handle.read_live().unwrap().cert else { panic!("too large") };
    assert!(why.contains("larger than 256 KiB"), "{why}");
    fs::write(entry.cert_path.as_path(), vec![b'x'; 256 << 10]).unwrap();
    assert_eq!(handle.read_live().unwrap().cert.bytes().unwrap().len(), 256 << 10);
}

#[test]
fn a_path_outside_the_roots_is_refused() {
    let bed = Bed::new();
    let mut entry = bed.entry("a");
    entry.cert_path = "/etc/cert.pem".parse().unwrap();
    let trouble = bed.open().entry(&entry).install(pair("x")).unwrap_err();
    assert_eq!(trouble.reason, Reason::OutsideRoots);
    assert!(trouble.message.contains("target_roots"), "{trouble}");
}
