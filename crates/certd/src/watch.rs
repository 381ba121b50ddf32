//! Hints that the manifest may have changed.
//!
//! Only hints: the executor reads the file and decides what is in force. The folder of the manifest and the
//! folder of what it resolves to are watched, because a watch on a file is blind after the first `mv`, and one
//! folder alone misses a symlink's target. Watches are renewed after every hint, since folders get replaced
//! too. What no watch sees (a bind mount, a network file system) the poll finds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::engine::Message;

/// How long to let a burst of changes settle before the executor looks.
const SETTLE: Duration = Duration::from_millis(150);
/// Longest time that a stream of changes may put the look off.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);

/// Watches until `stop`.
pub(crate) async fn watch(manifest: PathBuf, messages: mpsc::Sender<Message>, stop: CancellationToken) {
    let (hints, mut hinted) = mpsc::channel(1);
    let handler = move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| matters(event.kind)) {
            let _ = hints.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(handler) {
        Ok(watcher) => watcher,
        Err(error) => return warn!("cannot watch the manifest ({error}); it is polled instead"),
    };
    let mut watched = BTreeSet::new();
    loop {
        arm(&mut watcher, &mut watched, &manifest);
        tokio::select! {
            () = stop.cancelled() => return,
            hint = hinted.recv() => if hint.is_none() { return },
        }
        settle(&mut hinted).await;
        // What is watched may be gone and something else in its place.
        for folder in std::mem::take(&mut watched) {
            let _ = watcher.unwatch(&folder);
        }
        arm(&mut watcher, &mut watched, &manifest);
        if messages.send(Message::Hint).await.is_err() {
            return;
        }
    }
}

/// Reading the file raises events too (an open, an access): following those would never end.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

async fn settle(hinted: &mut mpsc::Receiver<()>) {
    let quiet = async { while let Ok(Some(())) = tokio::time::timeout(SETTLE, hinted.recv()).await {} };
    // Both ends are fine: quiet, or changing for so long that it is time to look anyway.
    let _ = tokio::time::timeout(LONGEST_SETTLE, quiet).await;
}

/// Folders in which a change may change what the manifest's path leads to: one for each symlink on the way, the
/// nearest existing one when there is nothing.
fn folders(manifest: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut path = manifest.to_path_buf();
    for _ in 0..8 {
        let Some(parent) = path.parent() else { break };
        let mut folder = parent;
        while !folder.is_dir() {
            match folder.parent() {
                Some(above) => folder = above,
                None => break,
            }
        }
        found.insert(folder.to_path_buf());
        if let Ok(real) = folder.canonicalize() {
            found.insert(real);
        }
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = parent.join(target);
    }
    found
}

fn arm(watcher: &mut RecommendedWatcher, watched: &mut BTreeSet<PathBuf>, manifest: &Path) {
    for folder in folders(manifest) {
        if watched.contains(&folder) {
            continue;
        }
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                watched.insert(folder);
            }
            Err(error) => debug!("cannot watch {}: {error}", folder.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_symlink_on_the_way_has_its_folder_watched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        symlink("../b/real.json", root.join("a/manifest.json")).unwrap();
        std::fs::write(root.join("b/real.json"), "[]").unwrap();
        let found = folders(&root.join("a/manifest.json"));
        assert!(found.contains(&root.join("a")) && found.contains(&root.join("b")), "{found:?}");
    }

    #[test]
    fn a_missing_folder_is_watched_from_above() {
        let dir = tempfile::tempdir().unwrap();
        assert!(folders(&dir.path().join("x/y/manifest.json")).contains(dir.path()));
    }

    #[tokio::test]
    async fn each_way_to_change_a_file_gives_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = dir.path().join("manifest.json");
        std::fs::write(&manifest, "[]").unwrap();
        let (messages, mut inbox) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(manifest.clone(), messages, stop.clone()));
        let mut hint = async |change: &dyn Fn()| {
            // The watch is armed by the task; until it is, a change goes unseen and is made again.
            for _ in 0..100 {
                change();
                let wait = Duration::from_millis(600);
                if let Ok(Some(Message::Hint)) = tokio::time::timeout(wait, inbox.recv()).await {
                    return;
                }
            }
            panic!("no hint");
        };
        hint(&|| std::fs::write(&manifest, "[1]").unwrap()).await;
        let other = dir.path().join("other");
        hint(&|| {
            std::fs::write(&other, "[2]").unwrap();
            std::fs::rename(&other, &manifest).unwrap();
        })
        .await;
        hint(&|| {
            let _ = std::fs::remove_file(&manifest);
        })
        .await;
        hint(&|| {
            let _ = std::fs::remove_file(&manifest);
            symlink("elsewhere", &manifest).unwrap();
        })
        .await;
        stop.cancel();
        task.await.unwrap();
    }
}
