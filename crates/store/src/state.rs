//! Small durable files in the executor's own state directory.

use std::path::Path;
use std::sync::Arc;

use phoenix_core::reason::{Reason, Trouble};
use rustix::fs::FileType;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::disk::{Dir, Disk, Found};
use crate::token::Token;

/// Prefix of everything unfinished in the state directory; swept by recovery.
pub(crate) const NEW: &str = ".new-";
/// Begins the names of damaged records that were set aside.
const ASIDE: &str = "damaged-";
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
        Ok(self.dir.names()?.into_iter().filter(|name| !name.starts_with(NEW)).collect())
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
        self.replace(name, |temp| self.write_new(temp, bytes))?;
        Ok(self.disk.sync_dir(&self.dir)?)
    }

    /// Replaces the file `name` (0600) for as long as the system runs: after a power cut it may be the old one,
    /// empty or gone.
    pub(crate) fn jot(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        self.replace(name, |temp| {
            let file = self.disk.create(&self.dir, temp)?;
            Ok(self.disk.write(&file, bytes)?)
        })
    }

    fn replace(&self, name: &str, fill: impl FnOnce(&str) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let temp = format!("{NEW}{}", Token::random()?);
        let done = fill(&temp).and_then(|()| Ok(self.disk.rename((&self.dir, &temp), (&self.dir, name))?));
        if done.is_err() {
            self.try_remove(&temp);
        }
        done
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

    /// Removes the file `name`, which a power cut may bring back.
    pub(crate) fn discard(&self, name: &str) -> Result<(), Trouble> {
        self.disk.remove(&self.dir, name)?;
        Ok(())
    }

    /// The value in the JSON file `name`. A file that cannot be understood is set aside and treated as absent:
    /// every record can be rebuilt, and a state that stops all work cannot.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Trouble> {
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

    /// Paths of what [`set_aside`](Self::set_aside) renamed in this directory.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn set_aside_files(&self) -> Result<Vec<String>, Trouble> {
        Ok(self.set_aside_of(&self.listing()?))
    }

    /// Names of everything in it, unfinished things included.
    pub(crate) fn listing(&self) -> Result<Vec<String>, Trouble> {
        Ok(self.dir.names()?)
    }

    /// Paths of what [`set_aside`](Self::set_aside) renamed in this directory, of which these are the names.
    pub(crate) fn set_aside_of(&self, names: &[String]) -> Vec<String> {
        let aside = names.iter().filter(|name| name.starts_with(ASIDE));
        aside.map(|name| self.dir.join(name).display().to_string()).collect()
    }

    /// Renames something damaged so that it is neither used again nor lost to whoever investigates. Best effort.
    pub fn set_aside(&self, name: &str) {
        let aside = format!("{ASIDE}{name}");
        self.try_remove(&aside);
        if let Err(failure) = self.disk.rename((&self.dir, name), (&self.dir, &aside)) {
            tracing::warn!("{failure}");
        }
    }

    /// [Writes](Self::write) a value as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Trouble> {
        self.write(name, &to_json(value)?)
    }

    /// Removes what an interrupted write left in this directory; gives the names of the rest.
    pub(crate) fn sweep(&self) -> Result<Vec<String>, Trouble> {
        let (new, names): (Vec<_>, Vec<_>) =
            self.dir.names()?.into_iter().partition(|name| name.starts_with(NEW));
        new.iter().try_for_each(|name| self.discard(name))?;
        Ok(names)
    }

    /// Does the same here and in all directories below, but for those of the name `except`.
    pub(crate) fn sweep_all(&self, except: &str) -> Result<(), Trouble> {
        for name in self.sweep()?.iter().filter(|name| *name != except) {
            let directory = self.dir.look(name)?.is_some_and(|found| found.kind == FileType::Directory);
            let inner = if directory { self.existing(name)? } else { None };
            inner.map_or(Ok(()), |inner| inner.sweep_all(except))?;
        }
        Ok(())
    }

    /// Best effort: recovery sweeps what stays.
    pub(crate) fn try_remove(&self, name: &str) {
        if let Err(trouble) = self.discard(name) {
            tracing::warn!("left for the next recovery: {trouble}");
        }
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec_pretty(value)
        .map_err(|error| Trouble::new(Reason::Internal, format!("cannot encode a state record: {error}")))
}
