//! Finding and reading the files of a tree.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the installation lies below the root of a file system or of the repository.
const INSTALLED: &str = "usr/local/phoenix_hypervisor";
/// Largest file that is read.
const LARGEST: u64 = 4 << 20;
/// Largest number of files in one directory.
const MOST: usize = 1000;
/// Directories of cron tables, below the root.
const CRON: &[&str] = &["etc/cron.d", "etc/cron.hourly", "etc/cron.daily", "var/spool/cron/crontabs"];
/// Cron tables that are single files.
const CRONTAB: &str = "etc/crontab";
/// Directories of scripts that may install a cron job, below the installation.
const SCRIPTS: &[&str] = &["bin", "bin/hypervisor_setup", "bin/managers"];

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Neither a root with an installation nor an installation.
    #[error(
        "{0} is no phoenix_hypervisor tree: it has neither {INSTALLED}/etc nor etc with \
         certificate-manifest.json; name the directory that holds usr/, or phoenix_hypervisor itself"
    )]
    NotATree(PathBuf),
    /// A file or directory that cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not what it should be.
    #[error("{path} {why}")]
    Odd {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A tree: the root of a file system or repository, or the installation itself.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    base: PathBuf,
}

impl Tree {
    /// Opens the tree at `root`.
    ///
    /// # Errors
    /// There is no installation in it.
    pub fn open(root: &Path) -> Result<Self, TreeError> {
        for base in [INSTALLED, ""] {
            if root.join(base).join("etc/certificate-manifest.json").is_file() {
                return Ok(Self { root: root.to_owned(), base: PathBuf::from(base) });
            }
        }
        if root.join(INSTALLED).join("etc").is_dir() {
            return Ok(Self { root: root.to_owned(), base: PathBuf::from(INSTALLED) });
        }
        Err(TreeError::NotATree(root.to_owned()))
    }

    /// The directory that all paths of a plan are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The installation, relative to the root.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The text of a file, without following a symlink; none when there is none.
    pub(crate) fn read(&self, path: &Path) -> Result<Option<String>, TreeError> {
        let full = self.root.join(path);
        let unreadable = |source| TreeError::Unreadable { path: full.clone(), source };
        let odd = |why| TreeError::Odd { path: full.clone(), why };
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let file = match File::options().read(true).custom_flags(flags).open(&full) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(odd("is a symlink: edit what it points to"));
            }
            Err(error) => return Err(unreadable(error)),
        };
        let facts = file.metadata().map_err(unreadable)?;
        if !facts.is_file() {
            return Err(odd("is not a regular file"));
        }
        if facts.len() > LARGEST {
            return Err(odd("is larger than 4 MiB: that is no configuration file"));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(unreadable)?;
        String::from_utf8(bytes).map(Some).map_err(|_| odd("is not UTF-8"))
    }

    /// Cron tables that name the old renewal script.
    pub(crate) fn cron_tables(&self) -> Result<Vec<(PathBuf, String)>, TreeError> {
        let mut tables = Vec::new();
        for directory in CRON {
            tables.extend(self.files(Path::new(directory))?);
        }
        tables.push(PathBuf::from(CRONTAB));
        self.naming_the_old_script(tables)
    }

    /// Scripts that install a cron job for the old renewal script.
    pub(crate) fn scripts(&self) -> Result<Vec<(PathBuf, String)>, TreeError> {
        let mut scripts = Vec::new();
        for directory in SCRIPTS {
            let files = self.files(&self.base.join(directory))?;
            scripts.extend(files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "sh")));
        }
        let mut found = self.naming_the_old_script(scripts)?;
        found.retain(|(_, text)| text.contains("crontab") || text.contains("/etc/cron"));
        Ok(found)
    }

    fn naming_the_old_script(&self, paths: Vec<PathBuf>) -> Result<Vec<(PathBuf, String)>, TreeError> {
        let mut found = Vec::new();
        for path in paths {
            if let Some(text) = self.read(&path)?.filter(|text| text.contains(crate::cron::OLD_SCRIPT)) {
                found.push((path, text));
            }
        }
        Ok(found)
    }

    /// Regular files of a directory, by name; none when there is no such directory.
    fn files(&self, directory: &Path) -> Result<Vec<PathBuf>, TreeError> {
        let full = self.root.join(directory);
        let unreadable = |source| TreeError::Unreadable { path: full.clone(), source };
        let entries = match fs::read_dir(&full) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut names = Vec::new();
        for entry in entries.take(MOST) {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let backup = name.to_string_lossy().ends_with(crate::apply::BACKUP);
            if !backup && entry.file_type().map_err(unreadable)?.is_file() {
                names.push(directory.join(name));
            }
        }
        names.sort();
        Ok(names)
    }
}
