//! Looking at files on mounts that may hang.
//!
//! Root and password files lie on the same storage as the targets. A thread that waits for a dead server cannot
//! be stopped, so each look has a thread of its own, and after one that hangs no other is sent.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::guarded::GuardedError;

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Files at which a look hangs now.
static HANGING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn hanging() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `look` finds out about the file at `path`, unless that takes too long.
pub(super) fn patiently<T: Send + 'static>(
    path: &Path,
    look: impl FnOnce() -> Result<T, GuardedError> + Send + 'static,
) -> Result<T, GuardedError> {
    within(PATIENCE, path, look)
}

fn within<T: Send + 'static>(
    patience: Duration,
    path: &Path,
    look: impl FnOnce() -> Result<T, GuardedError> + Send + 'static,
) -> Result<T, GuardedError> {
    if hanging().contains(path) {
        return Err(GuardedError::Hangs);
    }
    let (answer, found) = sync_channel(1);
    let owned = path.to_owned();
    std::thread::Builder::new().name("look".to_owned()).spawn(move || {
        let found = look();
        // Both under the lock, so that nobody gives up between them.
        let mut hanging = hanging();
        let _ = answer.send(found);
        hanging.remove(&owned);
    })?;
    if let Ok(found) = found.recv_timeout(patience) {
        return found;
    }
    let mut hanging = hanging();
    if let Ok(found) = found.try_recv() {
        return found;
    }
    hanging.insert(path.to_owned());
    Err(GuardedError::Hangs)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_look_that_hangs_is_left_behind_and_no_second_one_is_sent() {
        let path = Path::new("/test/hanging");
        let (release, gate) = channel::<()>();
        let (done, ended) = channel();
        let slow = move || {
            gate.recv().ok();
            done.send(()).ok();
            Ok(1)
        };
        assert!(matches!(within(Duration::ZERO, path, slow), Err(GuardedError::Hangs)));
        assert!(matches!(patiently(path, || Ok(2)), Err(GuardedError::Hangs)));
        assert_eq!(patiently(Path::new("/test/other"), || Ok(3)).unwrap(), 3);
        release.send(()).unwrap();
        ended.recv().unwrap();
        while patiently(path, || Ok(4)).is_err() {
            std::thread::yield_now();
        }
    }
}
