//! Small durable files in the executor's own state directory.

use std::path::Path;
use std::sync::Arc;

use phoenix_core::reason::{Reason, Trouble};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::disk::{Dir, Disk, Found};
use crate::token::Token;

/// Prefix of everything unfinished in the state directory; swept by recovery.
pub(crate) const NEW: &str = ".new-";
/// Prefix of everything that is being removed from the state directory; swept by recovery.
pub(crate) const OLD: &str = ".old-";
/// No file of ours is larger.
const LIMIT: usize = 16 << 20;

/// A directory in the state. Only the executor's own user can enter it, so its content is trusted.
#[derive(Clone, Debug)]
pub struct StateDir {
    dir: Arc<Dir>,
    disk: Disk,
}

impl StateDir {
    pub(crate) fn new(dir: Dir, disk: Disk) -> Self {
        Self { dir: Arc::new(dir), disk }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The directory `name`, made if it is missing.
    pub fn subdir(&self, name: &str) -> Result<Self, Trouble> {
        if let Some(found) = self.existing(name)? {
            return Ok(found);
        }
        let made = self.disk.make_private_dir(&self.dir, name)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(Self::new(made, self.disk.clone()))
    }

    /// The directory `name`; none when there is no such thing.
    pub fn existing(&self, name: &str) -> Result<Option<Self>, Trouble> {
        Ok(self.dir.enter(name)?.map(|dir| Self::new(dir, self.disk.clone())))
    }

    /// Names of everything in it that is finished, in no order.
    pub fn names(&self) -> Result<Vec<String>, Trouble> {
        let unfinished = |name: &String| name.starts_with(NEW) || name.starts_with(OLD);
        Ok(self.dir.names()?.into_iter().filter(|name| !unfinished(name)).collect())
    }

    /// Content of the file `name`; none when there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        match self.dir.read(name, LIMIT)? {
            Found::Missing => Ok(None),
            Found::File { bytes, .. } => Ok(Some(bytes)),
            Found::Odd(_) | Found::TooLarge => Err(Trouble::new(
                Reason::Internal,
                format!(
                    "cannot read `{}`: it is not a plain file of at most {LIMIT} bytes; remove it",
                    self.dir.join(name).display()
                ),
            )),
        }
    }

    /// Replaces the file `name` (0600): whatever dies, it holds the old or the new content.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let temp = format!("{NEW}{}", Token::random()?);
        let done = self.write_new(&temp, bytes).and_then(|()| {
            self.disk.rename((&self.dir, &temp), (&self.dir, name))?;
            Ok(())
        });
        if let Err(trouble) = done {
            self.try_remove(&temp);
            return Err(trouble);
        }
        Ok(self.disk.sync_dir(&self.dir)?)
    }

    /// Writes a file that does not exist yet, durable but for its name.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let file = self.disk.create(&self.dir, name)?;
        self.disk.write(&file, bytes)?;
        Ok(self.disk.sync(&file)?)
    }

    /// Removes the file `name`; nothing happens when there is none.
    pub fn remove(&self, name: &str) -> Result<(), Trouble> {
        if self.disk.remove(&self.dir, name)? {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// The value in the JSON file `name`. A file that cannot be understood is set aside and treated as absent:
    /// every record can be rebuilt, and a state that stops all work cannot.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Trouble> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                tracing::warn!(path = %self.dir.join(name).display(), "a damaged record is set aside: {error}");
                self.set_aside(name);
                Ok(None)
            }
        }
    }

    /// Renames something damaged so that it is neither used again nor lost to whoever investigates.
    pub(crate) fn set_aside(&self, name: &str) {
        let aside = format!("damaged-{name}");
        self.try_remove(&aside);
        if let Err(failure) = self.disk.rename((&self.dir, name), (&self.dir, &aside)) {
            tracing::warn!("{failure}");
        }
    }

    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Trouble> {
        self.write(name, &to_json(value)?)
    }

    /// Removes a directory of ours that holds no directories. It disappears at once, and that alone can fail:
    /// what stays of its content is swept by recovery.
    pub(crate) fn remove_tree(&self, name: &str) -> Result<(), Trouble> {
        let doomed = format!("{OLD}{}", Token::random()?);
        if self.dir.look(name)?.is_none() {
            return Ok(());
        }
        self.disk.rename((&self.dir, name), (&self.dir, &doomed))?;
        if let Err(failure) = self.disk.sync_dir(&self.dir) {
            tracing::warn!("{failure}");
        }
        self.try_remove(&doomed);
        Ok(())
    }

    fn empty_out(&self, name: &str) -> Result<(), Trouble> {
        if let Some(found) = self.dir.look(name)? {
            if found.kind == rustix::fs::FileType::Directory {
                for (dir, file) in self.dir.enter(name)?.into_iter().flat_map(files) {
                    self.disk.remove(&dir, &file)?;
                }
            }
            self.disk.remove(&self.dir, name)?;
        }
        Ok(())
    }

    /// Removes what an interrupted write or removal left in this directory.
    pub(crate) fn sweep(&self) -> Result<(), Trouble> {
        for name in self.dir.names()? {
            if name.starts_with(NEW) || name.starts_with(OLD) {
                self.empty_out(&name)?;
            }
        }
        Ok(())
    }

    /// Best effort: recovery sweeps what stays.
    pub(crate) fn try_remove(&self, name: &str) {
        if let Err(trouble) = self.empty_out(name) {
            tracing::warn!("left for the next recovery: {trouble}");
        }
    }
}

fn files(dir: Dir) -> Vec<(Arc<Dir>, String)> {
    let names = dir.names().unwrap_or_default();
    let dir = Arc::new(dir);
    names.into_iter().map(|name| (Arc::clone(&dir), name)).collect()
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec_pretty(value)
        .map_err(|error| Trouble::new(Reason::Internal, format!("cannot encode a state record: {error}")))
}
