//! Real full, read-only, lost and refusing file systems, and roots that hang.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phoenix_core::manifest::Entry;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Reason;
use phoenix_store::{Deed, Faults, Options, StateLock, Store};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::bed::{Bed, Watch, entry, everything, live_mark, pair};

/// A tmpfs that goes away with the value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let data = std::ffi::CString::new(options).unwrap();
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(data.as_c_str())).unwrap();
        Self(at.to_path_buf())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_found_before_a_key_is_made_and_keeps_the_old_pair() {
    let bed = Bed::new();
    let _disk = Mounted::new(&bed.root(), "size=256k");
    let entry = bed.entry("a");
    let handle = bed.open().entry(&entry);
    handle.install(pair("old")).unwrap();
    fs::write(bed.root().join("filler"), vec![0; 1 << 20]).unwrap_err();
    for trouble in [handle.prove().unwrap_err(), handle.install(pair("new")).unwrap_err()] {
        assert_eq!(trouble.reason, Reason::DiskFull, "{trouble}");
        assert!(trouble.message.contains("free some space"), "{trouble}");
    }
    assert_eq!(live_mark(&entry).as_deref(), Some("old"));
    assert_eq!(bed.strays(&entry), [bed.root().join("filler")]);
    assert!(bed.unfinished().is_empty());
    fs::remove_file(bed.root().join("filler")).unwrap();
    handle.prove().unwrap();
    handle.install(pair("new")).unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("new"));
}

#[test]
fn a_read_only_file_system_is_found_before_a_key_is_made() {
    let bed = Bed::new();
    let _disk = Mounted::new(&bed.root(), "size=1m");
    let entry = bed.entry("a");
    let handle = bed.open().entry(&entry);
    handle.install(pair("old")).unwrap();
    mount_remount(bed.root(), MountFlags::RDONLY, "").unwrap();
    for trouble in [handle.prove().unwrap_err(), handle.install(pair("new")).unwrap_err()] {
        assert_eq!(trouble.reason, Reason::ReadOnly, "{trouble}");
    }
    assert_eq!(handle.read_live().unwrap().key.bytes().unwrap(), b"PRIVATE old\n");
    mount_remount(bed.root(), MountFlags::empty(), "").unwrap();
    handle.install(pair("new")).unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("new"));
}

#[test]
fn a_lost_mount_is_storage_absent_and_nothing_is_written_below_it() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let disk = Mounted::new(&bed.root(), "size=1m");
    bed.open().entry(&entry).install(pair("x")).unwrap();
    drop(disk);
    let handle = bed.open().entry(&entry);
    for trouble in [
        handle.read_live().unwrap_err(),
        handle.prove().unwrap_err(),
        handle.install(pair("y")).unwrap_err(),
        handle.restore().unwrap_err(),
    ] {
        assert_eq!(trouble.reason, Reason::StorageAbsent, "{trouble}");
        assert!(trouble.message.contains("was a mount point"), "{trouble}");
    }
    assert!(everything(&bed.root()).is_empty());
    assert!(handle.current().unwrap().is_some(), "the own copy is still there");
    let _disk = Mounted::new(&bed.root(), "size=1m");
    handle.restore().unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("x"));
}

#[test]
fn the_root_can_be_unmounted_while_the_store_is_open() {
    let bed = Bed::new();
    let disk = Mounted::new(&bed.root(), "size=1m");
    let store = bed.open();
    store.entry(&bed.entry("a")).install(pair("x")).unwrap();
    unmount(&disk.0, UnmountFlags::empty()).unwrap();
    std::mem::forget(disk);
    assert_eq!(store.entry(&bed.entry("a")).prove().unwrap_err().reason, Reason::StorageAbsent);
}

#[test]
fn an_interrupted_installation_on_a_lost_mount_waits_for_it() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let disk = Mounted::new(&bed.root(), "size=1m");
    let crash = |deed: Deed, path: &Path| {
        if deed == Deed::Rename && path.ends_with("a/cert.pem") {
            std::panic::resume_unwind(Box::new("crash"));
        }
    };
    bed.open_with(Arc::new(Watch(Mutex::new(crash)))).entry(&entry).install(pair("x")).unwrap_err();
    drop(disk);
    let store = bed.open();
    let recovered = store.recover();
    assert_eq!(recovered[0].outcome.as_ref().unwrap_err().reason, Reason::StorageAbsent);
    assert_eq!(recovered[0].key_path.as_ref(), Some(&entry.key_path));
    let _disk = Mounted::new(&bed.root(), "size=1m");
    assert_eq!(store.entry(&entry).read_live().unwrap().key.bytes().unwrap(), b"PRIVATE x\n");
    assert_eq!(live_mark(&entry).as_deref(), Some("x"));
}

#[test]
fn a_missing_root_is_storage_absent_and_is_not_created() {
    let bed = Bed::new();
    fs::remove_dir(bed.root()).unwrap();
    let handle = bed.open().entry(&bed.entry("a"));
    let trouble = handle.prove().unwrap_err();
    assert_eq!(trouble.reason, Reason::StorageAbsent);
    assert!(trouble.message.contains("does not exist"), "{trouble}");
    assert!(!bed.root().exists());
    fs::create_dir(bed.root()).unwrap();
    handle.prove().unwrap();
}

#[test]
fn a_root_of_somebody_else_is_refused() {
    let bed = Bed::new();
    chown(bed.root(), Some(1000), None).unwrap();
    let trouble = bed.open().entry(&bed.entry("a")).prove().unwrap_err();
    assert_eq!(trouble.reason, Reason::PermissionDenied);
    assert!(trouble.message.contains("belongs to user 1000"), "{trouble}");
}

#[test]
fn a_mount_point_below_the_root_is_allowed() {
    let bed = Bed::new();
    let _disk = Mounted::new(&bed.root().join("a"), "size=1m");
    let entry = bed.entry("a/b");
    bed.open().entry(&entry).install(pair("x")).unwrap();
    assert_eq!(live_mark(&entry).as_deref(), Some("x"));
}

#[test]
fn a_refused_chown_names_the_export_option_and_costs_nothing() {
    let bed = Bed::new();
    let entry = bed.full_entry("a");
    let store = bed.open();
    let handle = store.entry(&entry);
    // The threads of the store inherit what this one may do.
    let trouble = std::thread::spawn(move || {
        let mut mine = capabilities(None).unwrap();
        mine.effective.remove(CapabilitySet::CHOWN);
        set_capabilities(None, mine).unwrap();
        handle.prove().unwrap_err()
    });
    let trouble = trouble.join().unwrap();
    assert_eq!(trouble.reason, Reason::RootSquash);
    assert!(trouble.message.contains("no_root_squash"), "{trouble}");
    assert_eq!(bed.strays(&entry), Vec::<PathBuf>::new());
}

/// Every deed below a directory waits for the gate.
struct Gate {
    below: PathBuf,
    begun: Mutex<Sender<()>>,
    open: Mutex<Receiver<()>>,
}

impl Faults for Gate {
    fn before(&self, _: Deed, path: &Path) -> Result<(), Errno> {
        if path.starts_with(&self.below) {
            self.begun.lock().unwrap().send(()).ok();
            self.open.lock().unwrap().recv().ok();
        }
        Ok(())
    }
}

/// The deeds of a gate begin to wait; dropping the sender opens it for good.
fn gate(below: PathBuf) -> (Arc<Gate>, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (release, open) = channel();
    (Arc::new(Gate { below, begun: Mutex::new(begun), open: Mutex::new(open) }), has_begun, release)
}

fn two_roots(bed: &Bed, deadline: Duration, faults: Arc<dyn Faults>) -> Store {
    let root = |name: &str| -> AbsolutePath {
        let path = bed.scratch.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path.to_str().unwrap().parse().unwrap()
    };
    let options = Options { target_roots: vec![root("slow"), root("fast")], deadline, faults };
    Store::open(StateLock::acquire(&bed.state(), || ()).unwrap(), options).unwrap()
}

fn entry_in(bed: &Bed, root: &str) -> Entry {
    let path =
        |name: &str| bed.scratch.path().join(root).join("a").join(name).to_str().unwrap().parse().unwrap();
    entry(path("cert.pem"), path("key.pem"))
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn an_entry_on_a_hanging_root_delays_no_other() {
    let bed = Bed::new();
    let (faults, has_begun, release) = gate(bed.scratch.path().join("slow"));
    let store = two_roots(&bed, LONG, faults);
    let (slow, fast) = (entry_in(&bed, "slow"), entry_in(&bed, "fast"));
    let hanging = std::thread::spawn({
        let handle = store.entry(&slow);
        move || handle.install(pair("x")).map(drop)
    });
    has_begun.recv().unwrap();
    store.entry(&fast).install(pair("y")).unwrap();
    assert_eq!((live_mark(&fast).as_deref(), live_mark(&slow)), (Some("y"), None));
    drop(release);
    assert_eq!(hanging.join().unwrap(), Ok(()));
    assert_eq!(live_mark(&slow).as_deref(), Some("x"));
}

#[test]
fn a_hanging_root_is_reported_and_its_work_finishes_when_it_answers() {
    let bed = Bed::new();
    let (faults, has_begun, release) = gate(bed.scratch.path().join("slow"));
    let slow = entry_in(&bed, "slow");
    let store = two_roots(&bed, Duration::from_millis(500), faults);
    let handle = store.entry(&slow);
    let trouble = handle.install(pair("x")).unwrap_err();
    assert_eq!(trouble.reason, Reason::StorageHangs);
    assert!(trouble.message.contains("does not answer"), "{trouble}");
    has_begun.recv().unwrap();
    assert_eq!(handle.read_live().unwrap_err().reason, Reason::StorageHangs);
    assert_eq!(handle.ledger().unwrap().foreign_writes, 0, "records need no target");
    drop(release);
    while handle.current().unwrap().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(live_mark(&slow).as_deref(), Some("x"));
}

#[test]
fn recovery_of_a_hanging_root_delays_no_other() {
    let bed = Bed::new();
    let (slow, fast) = (entry_in(&bed, "slow"), entry_in(&bed, "fast"));
    let crash = |deed: Deed, path: &Path| {
        if deed == Deed::Rename && path.ends_with("a/cert.pem") {
            std::panic::resume_unwind(Box::new("crash"));
        }
    };
    for entry in [&slow, &fast] {
        let store = two_roots(&bed, LONG, Arc::new(Watch(Mutex::new(crash))));
        store.entry(entry).install(pair("x")).unwrap_err();
    }
    let (faults, has_begun, release) = gate(bed.scratch.path().join("slow"));
    let store = two_roots(&bed, LONG, faults);
    let recovery = std::thread::spawn(move || store.recover());
    has_begun.recv().unwrap();
    while !fast.cert_path.as_path().exists() {
        std::thread::yield_now();
    }
    assert!(!slow.cert_path.as_path().exists());
    drop(release);
    assert!(recovery.join().unwrap().iter().all(|recovered| recovered.outcome.is_ok()));
    assert_eq!((live_mark(&fast).as_deref(), live_mark(&slow).as_deref()), (Some("x"), Some("x")));
}
