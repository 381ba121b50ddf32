//! Finding and reading the files of a tree.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cron::OLD_SCRIPT;

/// Where the installation lies below the root of a file system or of the repository.
const INSTALLED: &str = "usr/local/phoenix_hypervisor";
/// Largest file that is read.
const LARGEST: u64 = 4 << 20;
/// Largest number of files in one directory.
const MOST: usize = 1000;
/// Directories of cron tables, below the root.
const CRON: &[&str] = &["etc/cron.d", "var/spool/cron/crontabs"];
/// Directories of scripts that cron runs, below the root.
const CRON_SCRIPTS: &[&str] = &["etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly", "etc/cron.monthly"];
/// Cron tables that are single files.
const CRONTAB: &str = "etc/crontab";
/// Directories of scripts that may install a cron job, below the installation.
const SCRIPTS: &[&str] = &["bin", "bin/hypervisor_setup", "bin/managers"];

/// Directories that are searched for what still names the old port, below the installation.
const SEARCHED: &[&str] = &["etc", "bin"];
/// How deep they are searched.
const DEEPEST: usize = 5;

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

impl TreeError {
    /// What is wrong, for whoever names the file before it.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::NotATree(_) => "is no phoenix_hypervisor tree".to_owned(),
            Self::Unreadable { source, .. } => format!("cannot be read: {source}"),
            Self::Odd { why, .. } => (*why).to_owned(),
        }
    }
}

/// Files that name the old renewal script.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Their texts, by path.
    pub(crate) texts: Vec<(PathBuf, String)>,
    /// What could not be looked into, and links to the script: a sentence without its subject, by path.
    pub(crate) odd: Vec<(PathBuf, String)>,
}

/// Texts that name something.
#[derive(Debug, Default)]
pub(crate) struct Naming {
    /// The first line of each, counted from 1, by path.
    pub(crate) lines: Vec<(PathBuf, usize)>,
    /// Directories that could not be searched: a sentence without its subject, by path.
    pub(crate) odd: Vec<(PathBuf, String)>,
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
    pub(crate) fn cron_tables(&self) -> Found {
        let mut found = self.naming_the_old_script(CRON.iter().map(PathBuf::from));
        found.add(self, PathBuf::from(CRONTAB));
        found
    }

    /// Scripts that cron runs and that name it.
    pub(crate) fn cron_scripts(&self) -> Found {
        self.naming_the_old_script(CRON_SCRIPTS.iter().map(PathBuf::from))
    }

    /// Scripts that install a cron job for the old renewal script.
    pub(crate) fn scripts(&self) -> Found {
        let mut found = self.naming_the_old_script(SCRIPTS.iter().map(|directory| self.base.join(directory)));
        let script = |path: &Path| path.extension().is_some_and(|end| end == "sh");
        found
            .texts
            .retain(|(path, text)| script(path) && (text.contains("crontab") || text.contains("/etc/cron")));
        // What lies there besides is none of ours.
        found.odd.clear();
        found
    }

    /// Texts of the installation, whatever they are, in which `word` stands by itself.
    pub(crate) fn naming(&self, word: &str) -> Naming {
        let Naming { mut lines, mut odd } = Naming::default();
        let mut open: Vec<_> = SEARCHED.iter().map(|directory| (self.base.join(directory), 1)).collect();
        while let Some((directory, depth)) = open.pop() {
            let inside = self
                .files(&directory)
                .and_then(|files| Ok((files, self.entries(&directory, FileType::is_dir)?)));
            match inside {
                Ok((files, below)) => {
                    lines.extend(files.into_iter().filter_map(|path| self.line_naming(path, word)));
                    if depth < DEEPEST {
                        open.extend(below.into_iter().map(|path| (path, depth + 1)));
                    }
                }
                Err(error) => {
                    odd.push((directory, format!("was not searched for port {word}: it {}", error.why())));
                }
            }
        }
        lines.sort();
        Naming { lines, odd }
    }

    fn line_naming(&self, path: PathBuf, word: &str) -> Option<(PathBuf, usize)> {
        // What is no text is not configured by hand either.
        let text = self.read(&path).ok()??;
        let line = text.lines().position(|line| stands_alone(line, word))?;
        Some((path, line + 1))
    }

    fn naming_the_old_script(&self, directories: impl Iterator<Item = PathBuf>) -> Found {
        let mut found = Found::default();
        for directory in directories {
            let inside = self
                .files(&directory)
                .and_then(|files| Ok((files, self.entries(&directory, FileType::is_symlink)?)));
            match inside {
                Ok((files, links)) => {
                    for path in files {
                        found.add(self, path);
                    }
                    for path in links {
                        found.add_link(self, path);
                    }
                }
                Err(error) => found.not_searched(directory, &error),
            }
        }
        found
    }

    /// Regular files of a directory, by name; none when there is no such directory.
    fn files(&self, directory: &Path) -> Result<Vec<PathBuf>, TreeError> {
        let mut files = self.entries(directory, FileType::is_file)?;
        files.retain(|path| !path.to_string_lossy().ends_with(crate::apply::BACKUP));
        Ok(files)
    }

    /// What is in a directory and of this kind, by name; nothing when there is no such directory.
    fn entries(&self, directory: &Path, wanted: fn(&FileType) -> bool) -> Result<Vec<PathBuf>, TreeError> {
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
            if wanted(&entry.file_type().map_err(unreadable)?) {
                names.push(directory.join(entry.file_name()));
            }
        }
        names.sort();
        Ok(names)
    }
}

impl Found {
    fn add(&mut self, tree: &Tree, path: PathBuf) {
        match tree.read(&path) {
            Ok(text) => {
                let text = text.filter(|text| text.contains(OLD_SCRIPT));
                self.texts.extend(text.map(|text| (path, text)));
            }
            Err(error) => self.not_searched(path, &error),
        }
    }

    fn not_searched(&mut self, path: PathBuf, error: &TreeError) {
        self.odd.push((path, format!("was not searched for the old renewal job: it {}", error.why())));
    }

    /// Where a link leads to is not looked at: in a working copy that would be another tree.
    fn add_link(&mut self, tree: &Tree, path: PathBuf) {
        let Ok(target) = fs::read_link(tree.root.join(&path)) else { return };
        if target.to_string_lossy().contains(OLD_SCRIPT) {
            let message = "is a link to the old renewal script, a second writer on the same files: remove it"
                .to_owned();
            self.odd.push((path, message));
        }
    }
}

/// The number is in the line, and is no part of another one.
fn stands_alone(line: &str, number: &str) -> bool {
    line.match_indices(number).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + number.len()..).and_then(|text| text.chars().next());
        ![before, after].into_iter().flatten().any(|character| character.is_ascii_digit())
    })
}
