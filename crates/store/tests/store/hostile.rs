//! Directories that belong to a guest that wants our files somewhere else.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use phoenix_core::reason::Reason;
use phoenix_store::{Deed, LiveFile};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::bed::{Bed, Watch, everything, live_mark, pair};

fn victim(bed: &Bed) -> PathBuf {
    let victim = bed.scratch.path().join("victim");
    fs::create_dir_all(victim.join("b/c")).unwrap();
    victim
}

#[test]
fn a_symlink_at_any_component_is_refused_by_name() {
    for (at, rest) in [("a", "b/c"), ("a/b", "c"), ("a/b/c", "")] {
        let bed = Bed::new();
        let victim = victim(&bed);
        let link = bed.root().join(at);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::create_dir_all(victim.join(rest)).unwrap();
        symlink(&victim, &link).unwrap();
        let before = everything(&victim).len();
        let handle = bed.open().entry(&bed.entry("a/b/c"));
        for trouble in [
            handle.read_live().unwrap_err(),
            handle.prove().unwrap_err(),
            handle.install(pair("x")).unwrap_err(),
        ] {
            assert_eq!(trouble.reason, Reason::Symlink, "{trouble}");
            assert!(trouble.message.contains(&format!("`{}`", link.display())), "{trouble}");
        }
        assert_eq!(everything(&victim).len(), before, "nothing was made behind the link");
        assert!(bed.unfinished().is_empty());
    }
}

#[test]
fn a_file_on_the_way_is_refused() {
    let bed = Bed::new();
    fs::write(bed.root().join("a"), "").unwrap();
    let trouble = bed.open().entry(&bed.entry("a/b")).prove().unwrap_err();
    assert_eq!(trouble.reason, Reason::NotAFile);
}

type Maker = fn(&Path);

#[test]
fn anything_but_a_plain_file_at_a_live_name_is_refused_and_never_opened() {
    let makers: [(&str, Reason, Maker); 5] = [
        ("symlink", Reason::Symlink, |path| symlink("/etc/hostname", path).unwrap()),
        ("directory", Reason::NotAFile, |path| fs::create_dir(path).unwrap()),
        ("FIFO", Reason::NotAFile, |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap()),
        ("socket", Reason::NotAFile, |path| drop(UnixListener::bind(path).unwrap())),
        ("device", Reason::NotAFile, |path| {
            mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, makedev(1, 5)).unwrap();
        }),
    ];
    for (kind, reason, make) in makers {
        for name in ["key.pem", "cert.pem"] {
            let bed = Bed::new();
            fs::create_dir(bed.root().join("a")).unwrap();
            make(&bed.root().join("a").join(name));
            let handle = bed.open().entry(&bed.entry("a"));
            let live = handle.read_live().unwrap();
            let file = if name == "key.pem" { live.key } else { live.cert };
            assert!(matches!(&file, LiveFile::Unreadable { why } if why.contains(kind)), "{file:?}");
            for trouble in [handle.prove().unwrap_err(), handle.install(pair("x")).unwrap_err()] {
                assert_eq!(trouble.reason, reason, "{kind}: {trouble}");
                assert!(trouble.message.contains(name), "{trouble}");
            }
            assert_eq!(everything(&bed.root()).len(), 2, "{kind}");
        }
    }
}

#[test]
fn a_hard_link_to_somebody_elses_file_is_replaced_and_not_written_through() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let other = bed.scratch.path().join("other");
    fs::write(&other, "precious").unwrap();
    fs::create_dir(bed.root().join("a")).unwrap();
    fs::hard_link(&other, entry.key_path.as_path()).unwrap();
    fs::hard_link(&other, entry.cert_path.as_path()).unwrap();
    bed.open().entry(&entry).install(pair("x")).unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    assert_eq!(fs::metadata(&other).unwrap().uid(), 0);
    assert_eq!(live_mark(&entry).as_deref(), Some("x"));
}

/// Before each deed in turn, the guest replaces its directory by a link to a directory of somebody else.
#[test]
fn a_directory_swapped_for_a_link_meanwhile_never_leads_outside() {
    for step in 0..80 {
        let bed = Bed::new();
        let entry = bed.entry("a/b/c");
        bed.open().entry(&entry).install(pair("old")).unwrap();
        let victim = victim(&bed);
        let (from, aside, to) = (bed.root().join("a"), bed.root().join("moved"), victim.clone());
        let mut left = step;
        let swap = move |_: Deed, _: &Path| {
            if left == 0 {
                fs::rename(&from, &aside).unwrap();
                symlink(&to, &from).unwrap();
            }
            left -= 1_i32;
        };
        let store = bed.open_with(Arc::new(Watch(Mutex::new(swap))));
        if let Err(trouble) = store.entry(&entry).install(pair("new")) {
            assert_eq!(trouble.reason, Reason::Symlink, "step {step}: {trouble}");
        }
        let inside = everything(&victim);
        assert_eq!(inside, [victim.join("b/c"), victim.join("b")], "step {step}");
    }
}

#[test]
fn a_name_of_ours_that_the_guest_took_does_not_stop_recovery() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    let note = move |deed: Deed, path: &Path| {
        if deed == Deed::Rename && path.ends_with("a/key.pem") {
            seen.lock()
                .unwrap()
                .extend(fs::read_dir(path.parent().unwrap()).unwrap().map(|item| item.unwrap().path()));
            std::panic::resume_unwind(Box::new("crash"));
        }
    };
    bed.open_with(Arc::new(Watch(Mutex::new(note)))).entry(&entry).install(pair("x")).unwrap_err();
    let taken = names.lock().unwrap().clone();
    assert_eq!(taken.len(), 2);
    for path in &taken {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        fs::write(path.join("stay"), "").unwrap();
    }
    let recovered = bed.open().recover();
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].outcome, Ok(()));
    assert_eq!(live_mark(&entry).as_deref(), Some("x"));
}

#[test]
fn recovery_writes_its_own_copy_and_not_what_lies_in_the_directory() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let tamper = |deed: Deed, path: &Path| {
        if deed == Deed::Rename && path.ends_with("a/cert.pem") {
            for item in fs::read_dir(path.parent().unwrap()).unwrap() {
                fs::write(item.unwrap().path(), "PRIVATE evil\n").unwrap();
            }
            std::panic::resume_unwind(Box::new("crash"));
        }
    };
    bed.open_with(Arc::new(Watch(Mutex::new(tamper)))).entry(&entry).install(pair("x")).unwrap_err();
    assert_eq!(bed.open().recover()[0].outcome, Ok(()));
    assert_eq!(live_mark(&entry).as_deref(), Some("x"));
}
