//! Are key bytes, private PEM blocks or the provisioner's password anywhere but where they belong?

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_testkit::hypervisor::{Guest, Hypervisor};
use phoenix_testkit::{manifest, openssl};
use serde_json::{Value, json};

use crate::DATA;
use crate::bed::Bed;

/// Files that are larger hold no key of ours; the programs themselves are left out by this. So are journals, which
/// are compressed: what is in them is asked of journalctl.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Everything that the process list of the box and its guests ever showed: command lines and environments.
pub(crate) struct Sightings {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<Vec<u8>>>,
}

impl Sightings {
    /// Looks again and again until it is asked.
    pub(crate) fn of(hypervisor: &Hypervisor) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (group, stopped) = (hypervisor.control_group(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                look(&group, &mut seen);
            }
            seen
        });
        Self { stop, thread }
    }

    fn finish(self) -> Result<BTreeSet<Vec<u8>>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread that watches processes panicked"))
    }
}

/// Processes come and go while we look: what cannot be read any more is passed over.
fn look(group: &str, seen: &mut BTreeSet<Vec<u8>>) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let dir = entry.path();
        let ours = || fs::read_to_string(dir.join("cgroup")).is_ok_and(|groups| groups.contains(group));
        if !entry.file_name().as_bytes().first().is_some_and(u8::is_ascii_digit) || !ours() {
            continue;
        }
        seen.extend(["cmdline", "environ"].iter().filter_map(|name| fs::read(dir.join(name)).ok()));
    }
}

/// A secret in one of its forms.
struct Needle {
    what: String,
    bytes: Vec<u8>,
}

/// What is looked for, found quickly by its first two bytes.
#[derive(Default)]
struct Needles(HashMap<[u8; 2], Vec<Needle>>);

impl Needles {
    fn add(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let (what, bytes) = (what.into(), bytes.into());
        let start = *bytes.first_chunk().with_context(|| format!("{what} is too short"))?;
        self.0.entry(start).or_default().push(Needle { what, bytes });
        Ok(())
    }

    /// What of it is in a text, if anything is.
    fn within(&self, text: &[u8]) -> Option<&str> {
        let at = |(place, start): (usize, &[u8])| {
            let needles = self.0.get(start)?;
            needles
                .iter()
                .find(|needle| text.get(place..).is_some_and(|rest| rest.starts_with(&needle.bytes)))
        };
        text.windows(2).enumerate().find_map(at).map(|needle| needle.what.as_str())
    }
}

/// The keys that are in force now, as PEM lines, as bytes and in hexadecimal; the password; and what every private
/// key in PEM has in it.
fn needles(bed: &Bed, entries: &[Value]) -> Result<Needles> {
    let mut needles = Needles::default();
    needles.add("a private PEM block", "PRIVATE KEY-----")?;
    needles.add("the password", bed.password.as_bytes())?;
    for place in manifest::places(entries)? {
        let key = bed.path(&place.key);
        let what = |form: &str| format!("the key of {} as {form}", place.common_name);
        let number = openssl::secret_scalar(&key)?;
        let digits = number.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
        needles.add(what("hexadecimal"), hex.to_uppercase())?;
        needles.add(what("hexadecimal"), hex)?;
        needles.add(what("bytes"), number)?;
        // The start of the first line is the same for all keys of a kind, its end is not.
        for (line, secret) in openssl::pem_lines(&key)?.iter().zip([48.., 0..]) {
            needles.add(what("base64"), line.get(secret).context("a short line")?.as_bytes())?;
        }
    }
    Ok(needles)
}

/// Where secrets belong: the executor's state, the destinations, the guests' services, the CA. As they end.
const BELONG: [&str; 10] = [
    "/var/lib/phoenix-executor/",
    "/var/lib/step-ca/",
    "/103/ssl/provisioner_password.txt",
    "/server-key.pem",
    "/client-key.pem",
    "/mesh-key.pem",
    "/nginx.internal.thinkheads.ai.key",
    "/nginx-mesh-client.key",
    "/mesh-client.key",
    "/portainer.key",
];

/// Adds entries whose commands print their own key on both streams, whole and cut off, and fail: it is in everything
/// that the guests say to both processes, and in what the error texts are made of.
pub(crate) fn add_gossips(bed: &Bed, entries: &[Value]) -> Result<Vec<Value>> {
    let names = [("gossip", 101, "lxc", "pct exec"), ("gossip-machine", 1001, "vm", "qm guest exec")];
    let gossip = |(name, guest, kind, exec): (&str, u32, &str, &str)| {
        let (key, cert) = ("/etc/app/tls/server-key.pem", "/etc/app/tls/server-cert.pem");
        let script = format!("cat {key}; head -n 2 {key}; cat {key} >&2; tail -n 2 {key} >&2; exit 3");
        json!({
            "common_name": format!("{name}.internal.thinkheads.ai"),
            "cert_path": format!("{DATA}/plain/{name}/server-cert.pem"),
            "key_path": format!("{DATA}/plain/{name}/server-key.pem"),
            "guest_id": guest,
            "guest_type": kind,
            "deliver": {"cert": cert, "key": key},
            "post_renewal_command": format!("{exec} {guest} -- /bin/sh -c '{script}'"),
        })
    };
    let all: Vec<Value> = entries.iter().cloned().chain(names.map(gossip)).collect();
    bed.replace_manifest(&all)?;
    for (name, ..) in names {
        let failed = Reason::CommandFailed.code();
        bed.wait_entry(name, "has failed", |entry| entry.reason.as_deref() == Some(failed))?;
        let error = bed.entry(name)?.last_error.context("a failure has words")?.message;
        ensure!(error.contains("[PEM block left out]"), "{name} did not say its key: {error}");
    }
    Ok(all)
}

/// Nothing but what belongs somewhere is there: in files of the box and its guests, in journals, in command lines and
/// environments, in what the operator is told.
pub(crate) fn check(bed: &Bed, entries: &[Value], sightings: Sightings) -> Result<()> {
    let needles = needles(bed, entries)?;
    let seen = sightings.finish()?;
    let watched = |word: &[u8]| seen.iter().any(|line| line.windows(word.len()).any(|window| window == word));
    for word in [&b"lxc-attach"[..], b"guest\0exec", b"PHOENIX_NAME="] {
        let word_text = String::from_utf8_lossy(word);
        ensure!(watched(word), "the watch over processes is blind: it never saw `{word_text}`");
    }
    for line in &seen {
        let secret = needles.within(line);
        ensure!(secret.is_none(), "{secret:?} was in a process list: {}", String::from_utf8_lossy(line));
    }
    check_journals(bed, &needles)?;
    check_answers(bed, &needles, entries)?;
    check_history(bed, &needles)?;
    check_files(bed, &needles, entries.len())
}

fn check_journals(bed: &Bed, needles: &Needles) -> Result<()> {
    let command = "journalctl --no-pager --all --output=export";
    let mut journals = vec![bed.sh(command)?];
    for guest in Guest::ALL {
        journals.push(bed.hypervisor.in_guest(guest, command)?);
    }
    for journal in journals {
        ensure!(!journal.is_empty(), "a journal is empty");
        let line = journal.lines().find_map(|line| Some((needles.within(line.as_bytes())?, line)));
        ensure!(line.is_none(), "in a journal: {line:?}");
    }
    Ok(())
}

/// What an operator is told, as text and as JSON. Every answer names an entry: none is empty.
fn check_answers(bed: &Bed, needles: &Needles, entries: &[Value]) -> Result<()> {
    let places = manifest::places(entries)?;
    let names: Vec<&str> = places.iter().filter_map(|place| place.common_name.split('.').next()).collect();
    let any = *names.first().context("there are no entries")?;
    let all = [&["status"][..], &["events"], &["history"], &["history", "--limit", "100000"]];
    let explained = names.iter().map(|name| (vec!["explain", name], *name));
    for (question, name) in all.into_iter().map(|words| (words.to_vec(), any)).chain(explained) {
        for program in [&["phoenix-certctl"][..], &["phoenix-certctl", "--json"]] {
            let said = bed.hypervisor.run([program, &question].concat())?;
            let told = String::from_utf8_lossy(&said.stdout);
            ensure!(said.status.success() && told.contains(name), "{question:?}: {said:?}");
            let secret = needles.within(&said.stdout).or_else(|| needles.within(&said.stderr));
            ensure!(secret.is_none(), "{question:?} tells {secret:?}: {told}");
        }
    }
    Ok(())
}

/// The daemon's record of what happened, with every program that was run and what it said.
fn check_history(bed: &Bed, needles: &Needles) -> Result<()> {
    let history = fs::read_to_string(bed.path("/var/lib/phoenix-certd/history.jsonl"))?;
    ensure!(history.contains(r#""event":"ran""#), "no program is in the history:\n{history}");
    let line = history.lines().find_map(|line| Some((needles.within(line.as_bytes())?, line)));
    ensure!(line.is_none(), "in the history: {line:?}");
    Ok(())
}

fn check_files(bed: &Bed, needles: &Needles, keys: usize) -> Result<()> {
    let mut places: Vec<PathBuf> =
        ["/etc", "/home", "/mnt", "/opt", "/root", "/run", "/tmp", "/usr/local", "/dev/shm"]
            .map(|place| bed.path(place))
            .into();
    let var = ["backups", "cache", "log", "spool", "tmp", "lib/phoenix-certd", "lib/phoenix-executor"];
    places.extend(var.map(|name| bed.path(format!("/var/{name}"))));
    // Of the guests' roots, what was written; what lies below them is the same for everybody.
    places.extend(["101", "102", "vm1001"].map(|name| bed.path(format!("/var/lib/lxc/{name}/upper"))));
    for guest in Guest::ALL {
        places.extend(bed.hypervisor.volatile(guest)?);
    }
    let (mut belonging, mut strays) = (0, Vec::new());
    for place in places {
        walk(&place, &mut |path| {
            let text = fs::read(path).unwrap_or_default();
            let Some(what) = needles.within(&text) else { return };
            let shown = path.display().to_string();
            if BELONG.iter().any(|place| shown.contains(place)) {
                belonging += 1;
            } else {
                strays.push(format!("{what} in {shown}"));
            }
        });
    }
    ensure!(strays.is_empty(), "{strays:#?}");
    // The scan sees what it looks for: each key at its place, and in the executor's state.
    ensure!(belonging >= 2 * keys, "the scan saw only {belonging} files with a secret in them");
    Ok(())
}

fn walk(directory: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(facts) = entry.metadata() else { continue };
        if facts.is_dir() {
            walk(&entry.path(), look);
        } else if facts.is_file() && facts.len() <= LARGEST && !is_journal(&entry.path()) {
            look(&entry.path());
        }
    }
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "journal")
}
