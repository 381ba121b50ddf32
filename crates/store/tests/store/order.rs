//! When the power fails, whatever was not made durable may be gone: in which order things are made durable, so
//! that nothing is built on what is not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use phoenix_store::Deed;

use crate::bed::{Bed, Scenario, Watch, scenarios};

/// What a power cut would take at this moment, and what was built on it.
#[derive(Default)]
struct Volatile {
    root: PathBuf,
    /// Content.
    files: BTreeSet<PathBuf>,
    /// Names in these directories.
    names: BTreeSet<PathBuf>,
    /// Commits that were begun, and ended.
    commits: (usize, usize),
    wrong: Vec<String>,
}

impl Volatile {
    fn see(&mut self, deed: Deed, path: &Path) {
        let live = path.starts_with(&self.root);
        let parent = path.parent().unwrap().to_path_buf();
        match deed {
            Deed::SyncDirectory => drop(self.names.remove(path)),
            Deed::MakeDirectory => drop(self.names.insert(parent)),
            // A new directory: its owner and mode are made durable with its name.
            Deed::Chmod | Deed::Chown if path.is_dir() => {}
            Deed::Create | Deed::Write | Deed::Chmod | Deed::Chown => {
                if live {
                    self.demand("a target is touched", |at, root| !at.starts_with(root));
                }
                self.files.insert(path.to_path_buf());
            }
            Deed::Remove if !live && path.ends_with("intent") => self.end(parent),
            Deed::SyncFile | Deed::Remove => drop(self.files.remove(path)),
            Deed::Rename if parent.ends_with("generations") => self.end(parent),
            Deed::Rename => {
                self.demand_content();
                self.commits.0 += usize::from(!live && path.ends_with("intent"));
                self.names.insert(parent);
            }
        }
    }

    /// The record of the commit goes: all that it is about has to be on the disk.
    fn end(&mut self, names: PathBuf) {
        self.commits.1 += 1;
        self.demand("a commit ends", |_, _| true);
        self.names.insert(names);
    }

    fn demand_content(&mut self) {
        if !self.files.is_empty() {
            self.wrong.push(format!("a file gets its name, and a power cut would empty {:?}", self.files));
        }
    }

    fn demand(&mut self, when: &str, names: impl Fn(&Path, &Path) -> bool) {
        let lost: Vec<_> = self.names.iter().filter(|at| names(at, &self.root)).collect();
        if !lost.is_empty() {
            self.wrong.push(format!("{when}, and a power cut would take what was renamed in {lost:?}"));
        }
    }
}

fn watched(scenario: &Scenario) -> Volatile {
    let bed = Bed::new();
    let entry = (scenario.entry)(&bed);
    (scenario.prepare)(&bed, &bed.open().entry(&entry));
    let seen = Arc::new(Mutex::new(Volatile { root: bed.root(), ..Volatile::default() }));
    let watcher = Arc::clone(&seen);
    let look = move |deed: Deed, path: &Path| watcher.lock().unwrap().see(deed, path);
    (scenario.act)(&bed.open_with(Arc::new(Watch(Mutex::new(look)))).entry(&entry)).unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

#[test]
fn nothing_of_a_commit_is_built_on_what_a_power_cut_would_take() {
    // A proof leaves nothing behind and nothing is built on its notes.
    for scenario in scenarios().iter().filter(|scenario| !scenario.name.starts_with("proof")) {
        let seen = watched(scenario);
        assert_eq!(seen.wrong, Vec::<String>::new(), "{}", scenario.name);
        assert_eq!(seen.commits, (1, 1), "{}", scenario.name);
        assert!(seen.names.is_empty(), "{}: not durable in the end: {:?}", scenario.name, seen.names);
    }
}
