//! Users and directories of this machine, for the manifest's warnings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use phoenix_core::manifest::Host;
use phoenix_core::name::AbsolutePath;

/// How long one look at a directory may take. A mount that hangs costs a warning, not the manifest.
const PATIENCE: Duration = Duration::from_secs(2);

/// This machine.
pub(super) struct RealHost {
    lookups: RefCell<Lookups>,
}

#[derive(Default)]
struct Lookups {
    owners: HashMap<PathBuf, Option<u32>>,
    worker: Option<(Sender<PathBuf>, Receiver<Option<u32>>)>,
    hangs: bool,
}

impl RealHost {
    pub(super) fn new() -> Self {
        Self { lookups: RefCell::default() }
    }
}

impl Host for RealHost {
    fn has_user(&self, name: &str) -> bool {
        matches!(nix::unistd::User::from_name(name), Ok(Some(_)))
    }

    fn has_group(&self, name: &str) -> bool {
        matches!(nix::unistd::Group::from_name(name), Ok(Some(_)))
    }

    fn directory_owner(&self, file: &AbsolutePath) -> Option<u32> {
        self.lookups.borrow_mut().owner(file.parent())
    }
}

impl Lookups {
    fn owner(&mut self, directory: PathBuf) -> Option<u32> {
        if let Some(known) = self.owners.get(&directory) {
            return *known;
        }
        if self.hangs {
            return None;
        }
        let (ask, answers) = self.worker.get_or_insert_with(start);
        let owner = ask.send(directory.clone()).ok().and_then(|()| answers.recv_timeout(PATIENCE).ok());
        self.hangs = owner.is_none();
        let owner = owner.flatten();
        self.owners.insert(directory, owner);
        owner
    }
}

/// A thread that looks; it ends with its asker, or when the mount answers at last.
fn start() -> (Sender<PathBuf>, Receiver<Option<u32>>) {
    let (ask, asked) = channel::<PathBuf>();
    let (answer, answers) = channel();
    // Without a thread the sender finds nobody at the other end, and the owner is unknown.
    let _ = std::thread::Builder::new().name("owners".to_owned()).spawn(move || {
        for directory in asked {
            if answer.send(nearest_owner(&directory)).is_err() {
                return;
            }
        }
    });
    (ask, answers)
}

fn nearest_owner(directory: &Path) -> Option<u32> {
    directory.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|facts| facts.uid())
}
