//! Putting the files of an intent on the live paths.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use phoenix_core::reason::{Reason, Trouble};
use rustix::io::Errno;

use crate::disk::{Dir, Disk};
use crate::intent::{self, Intent, Kind, PlannedFile, Traces, Unfinished, temp_dir_name, temp_name};
use crate::pair::LiveFile;
use crate::parts::{Meta, Parts};
use crate::roots::TargetRoots;
use crate::state::StateDir;
use crate::survey::refuse_obstacle;
use crate::target::Role;
use crate::token::Token;
use crate::{generations, ledger};

/// Where and with what a commit works.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) roots: &'a TargetRoots,
    /// The entry's state directory.
    pub(crate) entry: &'a StateDir,
    pub(crate) locks: &'a EntryLocks,
}

/// What keeps two threads from working on one entry at the same time.
#[derive(Debug, Default)]
pub(crate) struct EntryLocks {
    /// Held for a whole operation on the target.
    pub(crate) turn: Mutex<()>,
    /// Held while the records in the state are changed.
    records: Mutex<()>,
    /// This process has found nothing unfinished in the state, and has begun nothing since. Set by who has the turn.
    quiet: AtomicBool,
}

impl EntryLocks {
    pub(crate) fn records(&self) -> MutexGuard<'_, ()> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing of the entry is unfinished: there is no need to look for it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }

    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::SeqCst);
    }
}

/// An interrupted attempt: the first `renamed` files are in place already.
struct Halt {
    trouble: Trouble,
    renamed: usize,
}

impl Bench<'_> {
    /// The whole commit. On failure the files in `old` (in the intent's order) are back in place; where even
    /// that fails, the intent stays and recovery finishes the commit.
    pub(crate) fn commit(
        self,
        intent: &Intent,
        parts: &Parts,
        meta: &Meta,
        old: &[LiveFile],
    ) -> Result<(), Trouble> {
        intent.begin(self.entry, parts, meta)?;
        let halt = match self.apply(intent, parts) {
            Ok(()) => match self.finish(intent) {
                Ok(()) => return Ok(()),
                Err(trouble) => Halt { trouble, renamed: intent.files.len() },
            },
            Err(halt) => halt,
        };
        match self.undo(intent, old, halt.renamed) {
            Ok(()) => {
                intent::drop_intent(self.entry);
                Err(halt.trouble)
            }
            Err(second) => Err(Trouble::new(
                halt.trouble.reason,
                format!(
                    "{}. The old files could not be put back either ({second}): the installation will be \
                     finished as soon as the storage works",
                    halt.trouble
                ),
            )),
        }
    }

    /// Finishes a commit that was interrupted.
    pub(crate) fn finish_interrupted(self, unfinished: Unfinished) -> Result<(), Trouble> {
        let Unfinished { plan: mut intent, parts, meta } = unfinished;
        self.clean(&intent.traces())?;
        intent.renew_token(self.entry, &parts, &meta)?;
        let done = self.apply(&intent, &parts).map_err(|halt| halt.trouble);
        if done.is_err()
            && let Err(trouble) = self.clean(&intent.traces())
        {
            tracing::warn!("left for the next recovery: {trouble}");
        }
        done.and_then(|()| self.finish(&intent))
    }

    fn apply(self, intent: &Intent, parts: &Parts) -> Result<(), Halt> {
        let halt = |renamed| move |trouble| Halt { trouble, renamed };
        let dirs = self.write_temps(intent, parts).map_err(halt(0))?;
        for (index, (file, dir)) in intent.files.iter().zip(&dirs).enumerate() {
            self.put_in_place(dir, file, &intent.token).map_err(halt(index))?;
        }
        self.sync_all(&dirs).map_err(halt(intent.files.len()))
    }

    /// Writes every file under its temporary name; gives the directories in the same order.
    fn write_temps(self, intent: &Intent, parts: &Parts) -> Result<Vec<Dir>, Trouble> {
        let mut dirs = Vec::with_capacity(intent.files.len());
        for file in &intent.files {
            let dir = self.roots.create_to(self.disk, &file.path, &temp_dir_name(&intent.token))?;
            refuse_obstacle(&dir, &file.path)?;
            let content = parts.content(file.role).unwrap_or_default();
            let name = temp_name(&intent.token, file.role);
            write_file(self.disk, &dir, &name, (file.uid, file.gid, file.mode), &content)?;
            dirs.push(dir);
        }
        Ok(dirs)
    }

    fn put_in_place(self, dir: &Dir, file: &PlannedFile, token: &Token) -> Result<(), Trouble> {
        refuse_obstacle(dir, &file.path)?;
        let temp = temp_name(token, file.role);
        Ok(self.disk.rename((dir, &temp), (dir, file.path.file_name()))?)
    }

    fn sync_all(self, dirs: &[Dir]) -> Result<(), Trouble> {
        for (index, dir) in dirs.iter().enumerate() {
            let earlier = dirs.iter().take(index).any(|other| other.path() == dir.path());
            if !earlier {
                self.disk.sync_dir(dir)?;
            }
        }
        Ok(())
    }

    /// Records the commit in the state, which ends it.
    fn finish(self, intent: &Intent) -> Result<(), Trouble> {
        let _records = self.locks.records();
        match intent.kind {
            Kind::Install => generations::record(self.entry, intent::INTENT),
            Kind::Roots => generations::replace(self.entry, intent::INTENT),
            Kind::Restore => {
                let newest = generations::load(self.entry, 0, false)?;
                let mut book = ledger::read(self.entry, newest.as_ref())?;
                book.ledger.baseline = Some(intent.baseline.clone());
                book.wanted = Some(intent.wanted.clone());
                ledger::write(self.entry, &book)?;
                // Everything is done: an intent that stays, or that a power cut brings back, repeats just that. One
                // that is gone although its removal failed would leave what is undone now to nobody.
                intent::drop_intent(self.entry);
                Ok(())
            }
        }
    }

    /// Puts the old files back where new ones are in place already, and removes every temporary file.
    fn undo(self, intent: &Intent, old: &[LiveFile], renamed: usize) -> Result<(), Trouble> {
        // First, because it may free the space that the old files need.
        self.clean(&intent.traces())?;
        let mut dirs = Vec::new();
        for (file, old) in intent.files.iter().zip(old).take(renamed).rev() {
            let dir = self.roots.create_to(self.disk, &file.path, &temp_dir_name(&intent.token))?;
            self.put_back(&dir, file, old, &intent.token)?;
            dirs.push(dir);
        }
        self.sync_all(&dirs)
    }

    fn put_back(self, dir: &Dir, file: &PlannedFile, old: &LiveFile, token: &Token) -> Result<(), Trouble> {
        match old {
            LiveFile::Present(old) => {
                let temp = temp_name(token, file.role);
                write_file(self.disk, dir, &temp, (old.uid, old.gid, old.mode), &old.bytes)?;
                self.put_in_place(dir, file, token)
            }
            LiveFile::Missing => {
                self.disk.remove(dir, file.path.file_name())?;
                Ok(())
            }
            LiveFile::Unreadable { why } => Err(Trouble::new(Reason::NotAFile, why.clone())),
        }
    }

    /// Removes the temporary files of a commit or proof, and nothing else.
    pub(crate) fn clean(self, traces: &Traces) -> Result<(), Trouble> {
        let roles = [Role::Chain, Role::Ca, Role::Key, Role::Cert, Role::Pair];
        for path in &traces.paths {
            let walked = self.roots.walk_to(path)?;
            self.remove_ours(&walked.dir, &temp_dir_name(&traces.token))?;
            for role in roles {
                self.remove_ours(&walked.dir, &temp_name(&traces.token, role))?;
            }
        }
        Ok(())
    }

    /// A directory under one of our names that is not empty was not made by us: it stays.
    fn remove_ours(self, dir: &Dir, name: &str) -> Result<(), Trouble> {
        match self.disk.remove(dir, name) {
            Err(failure) if matches!(failure.errno, Errno::NOTEMPTY | Errno::EXIST) => {
                tracing::warn!("{failure}");
                Ok(())
            }
            other => Ok(other.map(drop)?),
        }
    }
}

/// Writes a complete, durable file: private and with its final owner before it has any content, and with its
/// final mode only afterwards.
fn write_file(
    disk: &Disk,
    dir: &Dir,
    name: &str,
    (uid, gid, mode): (u32, u32, u16),
    content: &[u8],
) -> Result<(), Trouble> {
    let file = disk.create(dir, name)?;
    disk.chown(&file, uid, gid)?;
    disk.write(&file, content)?;
    disk.chmod(&file, mode)?;
    Ok(disk.sync(&file)?)
}
