//! A scratch state directory and target root, entries, pairs, and seams that crash, fail or watch.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::{Entry, KeyPolicy, KeyType, Mode, RenewBefore, Usage};
use phoenix_core::name::AbsolutePath;
use phoenix_core::time::Timestamp;
use phoenix_store::{Deed, EntryStore, Faults, NewPair, NoFaults, Options, Other, StateLock, Store, Vouched};
use rustix::io::Errno;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// A scratch directory with a state directory and a target root.
pub(crate) struct Bed {
    pub(crate) scratch: TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        // In memory where there is such a place: thousands of installations, each with a dozen fsyncs.
        let memory = Path::new("/dev/shm");
        let scratch =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        fs::create_dir(scratch.path().join("root")).unwrap();
        Self { scratch }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    pub(crate) fn path(&self, below: &str) -> AbsolutePath {
        self.root().join(below).to_str().unwrap().parse().unwrap()
    }

    pub(crate) fn open(&self) -> Store {
        self.open_with(Arc::new(NoFaults))
    }

    pub(crate) fn open_with(&self, faults: Arc<dyn Faults>) -> Store {
        let root = self.root().to_str().unwrap().parse().unwrap();
        let deadline = Duration::from_secs(60);
        let options = Options { target_roots: vec![root], deadline, faults };
        Store::open(StateLock::acquire(&self.state(), || ()).unwrap(), options).unwrap()
    }

    /// Key and certificate in one directory, without owner or companions.
    pub(crate) fn entry(&self, dir: &str) -> Entry {
        entry(self.path(&format!("{dir}/cert.pem")), self.path(&format!("{dir}/key.pem")))
    }

    /// Chain, roots, an owner, and a key that its group may read.
    pub(crate) fn full_entry(&self, dir: &str) -> Entry {
        let mut entry = self.entry(dir);
        entry.chain_path = Some(self.path(&format!("{dir}/chain.pem")));
        entry.ca_path = Some(self.path(&format!("{dir}/ca.pem")));
        entry.owner = Some(serde_json::from_str(r#"{"user":{"id":1234},"group":{"id":5678}}"#).unwrap());
        entry.key_mode = Mode(0o640);
        entry
    }

    pub(crate) fn combined_entry(&self, dir: &str) -> Entry {
        let mut entry = self.entry(dir);
        entry.cert_path = entry.key_path.clone();
        entry
    }

    /// Every file below the target root that is not a live file of `entry`.
    pub(crate) fn strays(&self, entry: &Entry) -> Vec<PathBuf> {
        let live = live_paths(entry);
        walk(&self.root()).into_iter().filter(|path| !live.contains(path)).collect()
    }

    /// Everything unfinished in the state directory.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let open = |path: &PathBuf| {
            path.components().any(|part| {
                let part = part.as_os_str().to_string_lossy();
                part == "intent" || part == "probe.json" || part.starts_with(".new-")
            })
        };
        everything(&self.state()).into_iter().filter(open).collect()
    }
}

fn live_paths(entry: &Entry) -> Vec<PathBuf> {
    [Some(&entry.cert_path), Some(&entry.key_path), entry.chain_path.as_ref(), entry.ca_path.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| path.as_path().to_path_buf())
        .collect()
}

/// Every file below `dir`.
pub(crate) fn walk(dir: &Path) -> Vec<PathBuf> {
    everything(dir).into_iter().filter(|path| !path.is_dir() || path.is_symlink()).collect()
}

/// Every file and directory below `dir`.
pub(crate) fn everything(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir).into_iter().flatten() {
        let path = item.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything(&path));
        }
        found.push(path);
    }
    found
}

pub(crate) fn entry(cert_path: AbsolutePath, key_path: AbsolutePath) -> Entry {
    Entry {
        name: "sample".parse().unwrap(),
        common_name: "sample.example".into(),
        sans: Vec::new(),
        cert_path,
        key_path,
        chain_path: None,
        ca_path: None,
        owner: None,
        key_mode: Mode(0o600),
        cert_mode: Mode(0o644),
        usage: Usage::Server,
        strict_eku: false,
        guest: None,
        delivery: None,
        command: None,
        validity: None,
        renew_before: RenewBefore::Third,
        issuers: vec!["phoenix".parse().unwrap()],
        key_type: KeyType::EcP256,
        key_policy: KeyPolicy::Rotate,
        verify: Vec::new(),
        rollback: false,
        window: None,
        stage_errors: Vec::new(),
        paused: false,
    }
}

/// A pair whose content tells which it is. Store looks at no byte of it.
pub(crate) fn pair(mark: &str) -> NewPair {
    NewPair {
        key_pem: Zeroizing::new(format!("PRIVATE {mark}\n").into_bytes()),
        cert_pem: format!("CERT {mark}\n").into_bytes(),
        chain_pem: format!("CHAIN {mark}\n").into_bytes(),
        roots_pem: Some(format!("ROOTS {mark}\n").into_bytes()),
        leaf: leaf(mark),
        vouched: Vouched {
            by: format!("roots {mark}"),
            from: Timestamp::from_unix(0),
            until: Timestamp::from_unix(2_000_000_000),
        },
        at: Timestamp::from_unix(1_800_000_000),
    }
}

pub(crate) fn leaf(mark: &str) -> LeafFacts {
    LeafFacts {
        serial: mark.into(),
        fingerprint: format!("print of {mark}"),
        common_name: None,
        sans: Vec::new(),
        not_before: Timestamp::from_unix(0),
        not_after: Timestamp::from_unix(2_000_000_000),
        client_auth: false,
        server_auth: true,
        other_eku: false,
        key_type: None,
        public_key: mark.into(),
        issuer: "an issuer".into(),
    }
}

/// Which pair is live, when it is a whole one with the right owner and mode. Panics on a torn one.
pub(crate) fn live_mark(entry: &Entry) -> Option<String> {
    let read = |path: &AbsolutePath| fs::read_to_string(path.as_path()).ok();
    if entry.combined() {
        let text = read(&entry.key_path)?;
        let mark = text.lines().next().unwrap().strip_prefix("CERT ").unwrap().to_owned();
        assert_eq!(text, format!("CERT {mark}\nPRIVATE {mark}\n"));
        return Some(mark);
    }
    let (cert, key) = (read(&entry.cert_path), read(&entry.key_path));
    assert_eq!(cert.is_some(), key.is_some(), "half a pair");
    let mark = cert?.trim_end().strip_prefix("CERT ").unwrap().to_owned();
    assert_eq!(key.unwrap(), format!("PRIVATE {mark}\n"), "torn pair");
    Some(mark)
}

/// User, group and mode.
pub(crate) fn access(path: &AbsolutePath) -> (u32, u32, u32) {
    let seen = fs::symlink_metadata(path.as_path()).unwrap();
    (seen.uid(), seen.gid(), seen.permissions().mode() & 0o7777)
}

/// Counts the deeds and lets all happen.
#[derive(Default)]
pub(crate) struct Count(pub(crate) AtomicUsize);

impl Faults for Count {
    fn before(&self, _: Deed, _: &Path) -> Result<(), Errno> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// What happens at one deed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// The process dies.
    Crash,
    /// The system call fails.
    Fail(Errno),
    /// It and all that follow fail.
    FailOn(Errno),
    /// It and all that follow of its kind fail.
    FailAlike(Errno),
}

/// Something happens at the n-th deed.
pub(crate) struct At {
    left: AtomicUsize,
    what: What,
    /// The deed that was the n-th.
    met: Mutex<Option<Deed>>,
}

impl At {
    pub(crate) fn new(n: usize, what: What) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(n), what, met: Mutex::new(None) })
    }
}

/// Both are fsync(2).
fn alike(one: Deed, other: Deed) -> bool {
    let is_sync = |deed| matches!(deed, Deed::SyncFile | Deed::SyncDirectory);
    one == other || is_sync(one) && is_sync(other)
}

impl Faults for At {
    fn before(&self, deed: Deed, _: &Path) -> Result<(), Errno> {
        let left = self.left.load(Ordering::SeqCst);
        self.left.store(left.saturating_sub(1), Ordering::SeqCst);
        let mut met = self.met.lock().unwrap();
        if left == 1 {
            *met = Some(deed);
        }
        match (left, self.what) {
            (0 | 1, What::FailAlike(errno)) if met.is_some_and(|met| alike(met, deed)) => Err(errno),
            (1, What::Fail(errno)) | (0 | 1, What::FailOn(errno)) => Err(errno),
            (1, What::Crash) => std::panic::resume_unwind(Box::new("crash")),
            _ => Ok(()),
        }
    }
}

/// Calls a closure before each deed.
pub(crate) struct Watch<F>(pub(crate) Mutex<F>);

impl<F: FnMut(Deed, &Path) + Send> Faults for Watch<F> {
    fn before(&self, deed: Deed, path: &Path) -> Result<(), Errno> {
        (self.0.lock().unwrap())(deed, path);
        Ok(())
    }
}

/// An operation on an entry, for suites that repeat it with a fault at every deed.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Entry below the bed's root.
    pub(crate) entry: fn(&Bed) -> Entry,
    /// Brings the bed into the state before the operation.
    pub(crate) prepare: fn(&Bed, &EntryStore),
    /// The operation.
    pub(crate) act: fn(&EntryStore) -> Result<(), phoenix_core::reason::Trouble>,
    /// Live pairs that may be found afterwards: before and after.
    pub(crate) marks: (Option<&'static str>, Option<&'static str>),
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    fn none(_: &Bed, _: &EntryStore) {}
    fn one(_: &Bed, store: &EntryStore) {
        store.install(pair("old")).unwrap();
    }
    fn two(_: &Bed, store: &EntryStore) {
        store.install(pair("older")).unwrap();
        store.install(pair("old")).unwrap();
    }
    fn many(_: &Bed, store: &EntryStore) {
        for mark in ["oldest", "older", "old"] {
            store.install(pair(mark)).unwrap();
        }
    }
    fn deleted(bed: &Bed, store: &EntryStore) {
        store.install(pair("own")).unwrap();
        fs::remove_dir_all(bed.root().join("a")).unwrap();
    }
    fn foreign(bed: &Bed, store: &EntryStore) {
        store.install(pair("own")).unwrap();
        fs::write(bed.root().join("a/b/cert.pem"), "CERT foreign\n").unwrap();
        fs::write(bed.root().join("a/b/key.pem"), "PRIVATE foreign\n").unwrap();
    }
    fn install(store: &EntryStore) -> Result<(), phoenix_core::reason::Trouble> {
        store.install(pair("new")).map(drop)
    }
    let (old, new) = (Some("old"), Some("new"));
    let scenario = |name, entry, prepare, act, marks| Scenario { name, entry, prepare, act, marks };
    vec![
        scenario("first install", |bed| bed.entry("a/b"), none, install, (None, new)),
        scenario("renewal", |bed| bed.full_entry("a/b"), one, install, (old, new)),
        scenario("third renewal", |bed| bed.full_entry("a/b"), many, install, (old, new)),
        scenario("renewal of a combined file", |bed| bed.combined_entry("a/b"), one, install, (old, new)),
        scenario("proof", |bed| bed.full_entry("a/b"), none, |s| s.prove().map(drop), (None, None)),
        scenario("proof over a pair", |bed| bed.full_entry("a/b"), one, |s| s.prove().map(drop), (old, old)),
        scenario(
            "healing of a deletion",
            |bed| bed.full_entry("a/b"),
            deleted,
            EntryStore::restore,
            (None, Some("own")),
        ),
        scenario(
            "healing of a foreign pair",
            |bed| bed.entry("a/b"),
            foreign,
            EntryStore::restore,
            (Some("foreign"), Some("own")),
        ),
        scenario(
            "other roots",
            |bed| bed.full_entry("a/b"),
            one,
            |s| s.exchange_roots(b"ROOTS new\n".to_vec()).map(drop),
            (old, old),
        ),
        scenario(
            "rollback",
            |bed| bed.full_entry("a/b"),
            two,
            |s| s.rollback(Other::Previous, Timestamp::from_unix(1_900_000_000)).map(drop),
            (old, Some("older")),
        ),
    ]
}
