//! What must be true of disk and executor after whatever happened.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use phoenix_core::facts::{FileFact, Observation};
use phoenix_protocol::executor::EntryRef;

use crate::executor::Executor;
use crate::place::Place;

/// Every file of a tree: content, owner, mode.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, (Vec<u8>, u32, u32, u32)>);

impl Tree {
    /// The live files, and whatever else lies in the target root.
    pub(crate) fn of_target(place: &Place) -> Result<Self> {
        let mut files = BTreeMap::new();
        for path in files_below(&place.path("target"))? {
            let facts = fs::symlink_metadata(&path)?;
            files.insert(path.clone(), (fs::read(&path)?, facts.uid(), facts.gid(), facts.mode() & 0o7777));
        }
        Ok(Self(files))
    }

    /// Names, lengths, owners and modes. Never content: it may be a key.
    pub(crate) fn shown(&self) -> String {
        let show = |(path, (content, uid, gid, mode)): (&PathBuf, &(Vec<u8>, u32, u32, u32))| {
            format!("{} {} bytes {uid}:{gid} {mode:o}", path.display(), content.len())
        };
        self.0.iter().map(show).collect::<Vec<_>>().join("\n")
    }
}

/// The entry before and after the operation, undisturbed.
pub(crate) struct Judge {
    pub(crate) entry: EntryRef,
    pub(crate) before: Tree,
    pub(crate) after: Tree,
    pub(crate) seen_before: Observation,
    pub(crate) seen_after: Observation,
}

impl Judge {
    /// With a new executor: the files are those before or those after, all of them, and nothing else is left.
    pub(crate) fn check(&self, place: &Place, executor: &mut Executor) -> Result<()> {
        let seen = executor.observe(&self.entry)?;
        let tree = Tree::of_target(place)?;
        ensure!(tree == self.before || tree == self.after, "neither before nor after:\n{}", tree.shown());
        let finished = tree == self.after;
        let whole = if finished { &self.seen_after } else { &self.seen_before };
        ensure!(seen.live == whole.live, "the executor sees other files: {:?}", seen.live);
        if finished && self.seen_after.live.cert.is_present() {
            ensure!(is_ours(&seen), "the live pair is not the executor's own: {seen:?}");
        } else if finished || self.before != self.after {
            ensure!(
                seen.own == whole.own || seen.own == self.seen_after.own,
                "the executor's own copy is neither: {:?}",
                seen.own
            );
        }
        self.check_ledger(&seen, finished)?;
        check_state(place)?;
        // What was interrupted stands in the way of nothing.
        executor.prepare(&self.entry).context("prepare")?;
        ensure!(names(&place.entry_state()?.join("staged"))?.len() == 1, "staged keys have been left");
        ensure!(Tree::of_target(place)? == tree, "a proof has changed the live files");
        check_state(place)
    }

    /// The operation is over, and has been done.
    pub(crate) fn is_done(&self, place: &Place) -> Result<bool> {
        Ok(Tree::of_target(place)? == self.after)
    }

    fn check_ledger(&self, seen: &Observation, finished: bool) -> Result<()> {
        let known = [&self.seen_before.ledger.activated, &self.seen_after.ledger.activated];
        ensure!(known.contains(&&seen.ledger.activated) || is_newer_run(seen), "deeds: {:?}", seen.ledger);
        let of_pair = if finished { &self.seen_after } else { &self.seen_before };
        let taken_back = &seen.ledger.rolled_back;
        ensure!(*taken_back == of_pair.ledger.rolled_back, "taken back: {taken_back:?}");
        let settled = &seen.ledger.baseline;
        if finished && self.seen_after.live.cert.is_present() {
            ensure!(*settled == self.seen_after.ledger.baseline, "baseline: {settled:?}");
        }
        Ok(())
    }
}

/// The command ran again for the same certificate: only the time differs.
fn is_newer_run(seen: &Observation) -> bool {
    let live = seen.live.leaf.as_ref().map(|leaf| &leaf.fingerprint);
    seen.ledger.activated.as_ref().map(|deed| &deed.fingerprint) == live
}

/// Key and certificate belong together, and are what the executor has of its own.
fn is_ours(seen: &Observation) -> bool {
    let sum = |file: &FileFact| match file {
        FileFact::Present { sha256, .. } => Some(sha256.clone()),
        _ => None,
    };
    seen.live.matches()
        && !seen.live.companions_differ
        && seen.own.as_ref().is_some_and(|own| {
            Some(&own.cert_sha256) == sum(&seen.live.cert).as_ref()
                && Some(&own.key_sha256) == sum(&seen.live.key).as_ref()
                && Some(&own.leaf) == seen.live.leaf.as_ref()
        })
}

/// Nothing unfinished and nothing damaged in the state, two generations at most, nothing that others may read.
fn check_state(place: &Place) -> Result<()> {
    let unfinished = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "intent" || name == "probe.json" || name.starts_with(".new-") || name.starts_with("damaged-")
    };
    let files = files_below(&place.path("state"))?;
    let left: Vec<&PathBuf> = files.iter().filter(|path| unfinished(path)).collect();
    ensure!(left.is_empty(), "left in the state: {left:?}");
    for path in &files {
        let mode = fs::symlink_metadata(path)?.mode();
        ensure!(mode % 0o100 == 0, "{} is open to others: {mode:o}", path.display());
    }
    if let Ok(entry) = place.entry_state() {
        let kept = names(&entry.join("generations"))?;
        ensure!(kept.len() <= 2, "generations: {kept:?}");
    }
    Ok(())
}

fn names(directory: &Path) -> Result<Vec<String>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(directory)?.map(|item| Ok(item?.file_name().to_string_lossy().into_owned())).collect()
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for item in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = item?.path();
        if path.is_dir() && !path.is_symlink() {
            files.extend(files_below(&path)?);
            // A temporary directory of ours is a leftover as much as a file is.
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".phoenix-")) {
                files.push(path);
            }
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
