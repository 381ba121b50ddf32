//! The executor's own records: ledger, stages, generations, and what becomes of damaged ones.

use std::fs;
use std::path::PathBuf;

use phoenix_core::facts::{Deed, Ledger};
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_core::time::Timestamp;
use phoenix_store::{Generation, Other};
use serde_json::json;

use crate::bed::{Bed, everything, live_mark, pair};

fn find(bed: &Bed, end: &str) -> PathBuf {
    everything(&bed.state()).into_iter().find(|path| path.ends_with(end)).unwrap()
}

#[test]
fn the_ledger_survives_and_follows_the_key_path() {
    let bed = Bed::new();
    let mut entry = bed.entry("a");
    let deed = Deed { fingerprint: "f".into(), of: "d".into(), at: Timestamp::from_unix(5) };
    bed.open().entry(&entry).update_ledger(|ledger| ledger.activated = Some(deed.clone())).unwrap();
    entry.name = "renamed".parse().unwrap();
    assert_eq!(bed.open().entry(&entry).ledger().unwrap().activated, Some(deed));
    entry.key_path = bed.path("b/key.pem");
    assert_eq!(bed.open().entry(&entry).ledger().unwrap(), Ledger::default());
}

#[test]
fn a_new_generation_brings_its_own_baseline_and_keeps_the_deeds() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    let first = handle.install(pair("x")).unwrap();
    let written = handle.ledger().unwrap().baseline.unwrap();
    handle
        .update_ledger(|ledger| {
            ledger.baseline = None;
            ledger.foreign_writes = 2;
        })
        .unwrap();
    assert_eq!(handle.ledger().unwrap().baseline, None);
    assert!(handle.install(pair("y")).unwrap().number() > first.number());
    let ledger = handle.ledger().unwrap();
    assert_eq!((ledger.baseline, ledger.foreign_writes), (Some(written), 2));
}

#[test]
fn staged_keys_survive_and_are_dropped_when_told() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let handle = bed.open().entry(&entry);
    let first = handle.stage_key(b"PRIVATE 1", &json!({"names": 1})).unwrap();
    let second = handle.stage_key(b"PRIVATE 2", &json!(null)).unwrap();
    drop(handle);
    let handle = bed.open().entry(&entry);
    let staged = handle.staged(&first).unwrap().unwrap();
    assert_eq!((staged.key_pem.as_slice(), &staged.meta), (b"PRIVATE 1".as_slice(), &json!({"names": 1})));
    assert!(!format!("{staged:?}").contains("PRIVATE"));
    handle.drop_stages(Some(&second)).unwrap();
    assert!(handle.staged(&first).unwrap().is_none());
    assert!(handle.staged(&second).unwrap().is_some());
    handle.drop_stages(None).unwrap();
    assert!(handle.staged(&second).unwrap().is_none());
}

#[test]
fn a_stage_of_another_entry_is_not_found() {
    let bed = Bed::new();
    let store = bed.open();
    let id = store.entry(&bed.entry("a")).stage_key(b"PRIVATE", &json!(null)).unwrap();
    assert!(store.entry(&bed.entry("b")).staged(&id).unwrap().is_none());
}

#[test]
fn a_damaged_ledger_is_set_aside_and_begun_again() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    handle.update_ledger(|ledger| ledger.foreign_writes = 1).unwrap();
    fs::write(find(&bed, "ledger.json"), "{").unwrap();
    assert_eq!(handle.ledger().unwrap(), Ledger::default());
    assert_eq!(fs::read_to_string(find(&bed, "damaged-ledger.json")).unwrap(), "{");
}

#[test]
fn a_damaged_own_copy_is_never_put_back() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let handle = bed.open().entry(&entry);
    handle.install(pair("x")).unwrap();
    let own = find(&bed, "generations/1");
    let text = fs::read_to_string(&own).unwrap();
    fs::write(&own, text.replace("PRIVATE x\n", "PRIVATE y\n")).unwrap();
    fs::remove_file(entry.key_path.as_path()).unwrap();
    let trouble = handle.restore().unwrap_err();
    assert_eq!(trouble.reason, Reason::Internal);
    assert!(trouble.message.contains("damaged"), "{trouble}");
    assert!(handle.current().unwrap().is_none(), "it is not offered again");
    fs::remove_file(entry.cert_path.as_path()).unwrap();
    handle.install(pair("z")).unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("z"));
}

#[test]
fn a_copy_that_newer_ones_have_displaced_is_not_damaged() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    handle.install(pair("x")).unwrap();
    let held = handle.current().unwrap().unwrap();
    handle.install(pair("y")).unwrap();
    assert!(held.key_pem().is_ok());
    handle.install(pair("z")).unwrap();
    let trouble = held.key_pem().unwrap_err();
    assert_eq!((trouble.reason, trouble.reason.class()), (Reason::Stale, RetryClass::Transport), "{trouble}");
    assert_eq!(handle.current().unwrap().unwrap().leaf().serial, "z");
}

#[test]
fn what_interrupted_writes_have_left_is_swept_at_the_next_start() {
    let bed = Bed::new();
    let store = bed.open();
    let issuer = store.state().subdir("issuers").unwrap().subdir("phoenix").unwrap();
    let manifest = store.state().subdir("manifest").unwrap();
    for dir in [store.state(), &manifest, &issuer] {
        fs::write(dir.path().join(".new-0123"), "half").unwrap();
        fs::write(dir.path().join("whole"), "whole").unwrap();
    }
    let places = [store.state().path(), manifest.path(), issuer.path()].map(ToOwned::to_owned);
    drop((store, issuer, manifest));
    bed.open();
    for place in places {
        assert!(place.join("whole").exists() && !place.join(".new-0123").exists(), "{}", place.display());
    }
}

#[test]
fn a_generation_that_is_no_record_is_set_aside() {
    let bed = Bed::new();
    let handle = bed.open().entry(&bed.entry("a"));
    handle.install(pair("x")).unwrap();
    fs::write(find(&bed, "generations/1"), "nonsense").unwrap();
    assert!(handle.current().unwrap().is_none());
    handle.install(pair("y")).unwrap();
    assert_eq!(handle.current().unwrap().unwrap().leaf().serial, "y");
}

#[test]
fn small_files_of_the_caller_are_durable_and_private() {
    let bed = Bed::new();
    let store = bed.open();
    let dir = store.state().subdir("manifest").unwrap();
    assert_eq!(dir.read("last.json").unwrap().map(|bytes| bytes.to_vec()), None);
    dir.write("last.json", b"one").unwrap();
    dir.write("last.json", b"two").unwrap();
    assert_eq!(dir.read("last.json").unwrap().unwrap().as_slice(), b"two");
    assert_eq!(dir.names().unwrap(), ["last.json"]);
    dir.remove("last.json").unwrap();
    dir.remove("last.json").unwrap();
    assert!(dir.names().unwrap().is_empty());
}

fn deed(fingerprint: &str) -> Deed {
    Deed { fingerprint: fingerprint.into(), of: "of".into(), at: Timestamp::default() }
}

#[test]
fn what_was_done_for_a_pair_that_was_taken_back_counts_for_nothing_when_it_comes_again() {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let handle = bed.open().entry(&entry);
    handle.install(pair("old")).unwrap();
    handle.install(pair("new")).unwrap();
    let done = |ledger: &mut Ledger| {
        (ledger.delivered, ledger.activated) = (Some(deed("new")), Some(deed("new")));
        ledger.settled = Some(Vec::new());
    };
    handle.update_ledger(done).unwrap();
    handle.rollback(Other::Previous, Timestamp::default()).unwrap();
    handle.rollback(Other::Newer, Timestamp::default()).unwrap();
    let ledger = handle.ledger().unwrap();
    assert_eq!((ledger.delivered, ledger.activated, ledger.settled), (None, None, None));
}

#[test]
fn a_deed_is_recorded_only_for_what_is_still_in_place() {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let handle = bed.open().entry(&entry);
    let first = handle.install(pair("one")).unwrap();
    let record = |own: &Generation| {
        handle.update_ledger_for(own, |ledger| ledger.activated = Some(deed("one"))).map(|_| ())
    };
    record(&first).unwrap();
    let stale = |own: &Generation| {
        let before = handle.ledger().unwrap();
        assert_eq!(record(own).unwrap_err().reason, Reason::Stale);
        assert_eq!(handle.ledger().unwrap(), before);
    };
    // The same generation with other roots, and another pair.
    assert!(handle.exchange_roots(b"ROOTS z\n".to_vec()).unwrap());
    stale(&first);
    let with_roots = handle.current().unwrap().unwrap();
    record(&with_roots).unwrap();
    handle.install(pair("two")).unwrap();
    stale(&with_roots);
}
