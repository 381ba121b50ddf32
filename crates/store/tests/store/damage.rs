//! Damaged records: a disk that gives other bytes than were written costs no working pair.

use std::fs;
use std::path::{Path, PathBuf};

use phoenix_core::manifest::Entry;
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::io::Errno;
use serde_json::json;

use crate::bed::{At, Bed, What, everything, live_mark, pair};

/// An entry with two pairs, a staged key, a ledger, and an installation that was interrupted before it had changed
/// anything beside the live files.
fn interrupted() -> (Bed, Entry) {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let handle = bed.open().entry(&entry);
    handle.install(pair("older")).unwrap();
    handle.install(pair("old")).unwrap();
    handle.stage_key(b"PRIVATE staged", &json!({})).unwrap();
    handle.update_ledger(|ledger| ledger.foreign_writes = 1).unwrap();
    drop(handle);
    // The intent is written by five deeds; everything fails from the one after them.
    bed.open_with(At::new(6, What::FailOn(Errno::IO))).entry(&entry).install(pair("new")).unwrap_err();
    assert_eq!(records(&bed).len(), 6, "{:?}", records(&bed));
    (bed, entry)
}

/// Every record of the state, by a name that is the same in each bed.
fn records(bed: &Bed) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = everything(&bed.state())
        .into_iter()
        .filter(|path| path.is_file() && !path.ends_with("lock"))
        .collect();
    files.sort_by_key(|path| (path.parent().map(Path::to_path_buf), path.clone()));
    files
}

/// Whatever is in the records: nothing panics, the live pair is whole, and a new one can be installed.
fn holds(bed: &Bed, entry: &Entry) {
    let store = bed.open();
    for recovered in store.recover() {
        assert_eq!(recovered.outcome, Ok(()));
    }
    let handle = store.entry(entry);
    let before = live_mark(entry).unwrap();
    assert!(["old", "new"].contains(&before.as_str()), "{before}");
    handle.read_live().unwrap();
    let _ = handle.ledger().unwrap();
    for own in [handle.current().unwrap(), handle.previous().unwrap()].into_iter().flatten() {
        // A copy that is damaged says so, and is not found again.
        if let Err(trouble) = own.key_pem() {
            assert!(trouble.message.contains("damaged"), "{trouble}");
        }
    }
    match handle.restore() {
        Ok(()) => assert!(live_mark(entry).is_some()),
        Err(trouble) => assert_eq!(live_mark(entry).unwrap(), before, "{trouble}"),
    }
    handle.install(pair("next")).unwrap();
    assert_eq!(live_mark(entry).as_deref(), Some("next"));
    assert_eq!(bed.strays(entry), Vec::<PathBuf>::new());
}

/// What becomes of the bytes of a record.
type Damage = fn(&[u8]) -> Vec<u8>;

#[test]
fn any_record_may_be_empty_cut_or_garbage() {
    let count = records(&interrupted().0).len();
    let damages: [Damage; 6] = [
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| bytes[..bytes.len() - 1].to_vec(),
        |bytes| bytes.iter().map(|_| 0).collect(),
        |_| b"{}\n".to_vec(),
        |_| vec![b'['; 100_000],
    ];
    for index in 0..count {
        for damage in damages {
            let (bed, entry) = interrupted();
            let path = &records(&bed)[index];
            let damaged = damage(&fs::read(path).unwrap());
            fs::write(path, damaged).unwrap();
            holds(&bed, &entry);
        }
    }
}

#[test]
fn all_records_may_be_damaged_at_once() {
    let (bed, entry) = interrupted();
    for path in records(&bed) {
        fs::write(path, "garbage").unwrap();
    }
    holds(&bed, &entry);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_piece_of_any_record_may_be_replaced(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        length in 0_usize..8,
        piece in vec(any::<u8>(), 0..8),
    ) {
        let (bed, entry) = interrupted();
        let files = records(&bed);
        let path = &files[which.index(files.len())];
        let mut bytes = fs::read(path).unwrap();
        let start = at.index(bytes.len());
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, piece);
        fs::write(path, bytes).unwrap();
        holds(&bed, &entry);
    }
}
