//! Is any private key readable by others? Asked all the time while something else happens.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

const MARK: &[u8] = b"PRIVATE KEY-----";
const LARGEST_KEY_FILE: u64 = 128 * 1024;

/// A thread that walks directories and remembers every private key that others could read.
#[derive(Debug)]
pub struct KeyWatch {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    keys_seen: AtomicUsize,
    exposed: Mutex<BTreeSet<String>>,
}

impl KeyWatch {
    /// Watches these directories and everything below them.
    pub fn over(directories: Vec<PathBuf>) -> Self {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            while !shared.stop.load(Ordering::Relaxed) {
                for directory in &directories {
                    shared.walk(directory);
                }
            }
        });
        Self { state, thread: Some(thread) }
    }

    /// Ends the watch: how many times a key was looked at, and what was exposed.
    pub fn finish(mut self) -> (usize, Vec<String>) {
        self.end();
        let exposed = self.state.exposed.lock().unwrap_or_else(PoisonError::into_inner);
        (self.state.keys_seen.load(Ordering::Relaxed), exposed.iter().cloned().collect())
    }

    fn end(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for KeyWatch {
    fn drop(&mut self) {
        self.end();
    }
}

impl State {
    /// Files come and go while we look: what cannot be opened any more is passed over.
    fn walk(&self, directory: &Path) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.walk(&entry.path()),
                Ok(kind) if kind.is_file() => self.look(&entry.path()),
                _ => {}
            }
        }
    }

    fn look(&self, path: &Path) {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let Ok(file) = File::options().read(true).custom_flags(flags.bits() as i32).open(path) else {
            return;
        };
        let mut content = Vec::new();
        if (&file).take(LARGEST_KEY_FILE).read_to_end(&mut content).is_err() {
            return;
        }
        if !content.windows(MARK.len()).any(|window| window == MARK) {
            return;
        }
        self.keys_seen.fetch_add(1, Ordering::Relaxed);
        // The mode is read after the content: a key that is written first and closed off later is still caught
        // while it is open, and one that was never open is never blamed.
        let Ok(facts) = file.metadata() else { return };
        if facts.mode() & 0o007 != 0 {
            let line =
                format!("{} had mode {:04o} with a private key in it", path.display(), facts.mode() & 0o7777);
            self.exposed.lock().unwrap_or_else(PoisonError::into_inner).insert(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patience;
    use crate::scratch::Scratch;

    #[test]
    fn an_open_key_is_seen_and_a_closed_one_is_not_blamed() {
        let scratch = Scratch::new().unwrap();
        let key = "-----BEGIN PRIVATE KEY-----\n";
        scratch.file("deep/down/closed.pem", key, 0o600).unwrap();
        let watch = KeyWatch::over(vec![scratch.path().to_path_buf()]);
        let open = scratch.file("deep/open.pem", "nothing yet", 0o644).unwrap();
        fs::write(open, key).unwrap();
        let caught = || (!watch.state.exposed.lock().unwrap().is_empty()).then_some(());
        patience::until(caught).unwrap();
        let (seen, exposed) = watch.finish();
        assert!(seen >= 2);
        assert_eq!(exposed.len(), 1);
        assert!(exposed[0].contains("deep/open.pem had mode 0644"), "{exposed:?}");
    }
}
