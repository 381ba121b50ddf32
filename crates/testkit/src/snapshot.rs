//! What a directory tree holds, to the byte: has anything been touched?

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A tree at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Thing>);

/// A directory, file or link. Directories have no times here: proving that a directory can be written to changes
/// them and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    Directory {
        mode: u32,
        owner: (u32, u32),
    },
    File {
        mode: u32,
        owner: (u32, u32),
        inode: u64,
        modified: (i64, i64),
        changed: (i64, i64),
        content: Vec<u8>,
    },
    Other {
        mode: u32,
        owner: (u32, u32),
        target: Option<PathBuf>,
    },
}

impl Snapshot {
    /// Everything at and below `root`.
    pub fn of(root: &Path) -> Result<Self> {
        let mut things = BTreeMap::new();
        collect(root, &mut things)?;
        Ok(Self(things))
    }

    /// Nothing differs from `earlier`; an error says what does.
    pub fn same_as(&self, earlier: &Self) -> Result<()> {
        let paths = self.0.keys().chain(earlier.0.keys());
        let differing: Vec<String> = paths
            .filter(|path| self.0.get(*path) != earlier.0.get(*path))
            .map(|path| format!("{}: {} -> {}", path.display(), earlier.shown(path), self.shown(path)))
            .collect();
        ensure!(differing.is_empty(), "the tree has been touched:\n{}", differing.join("\n"));
        Ok(())
    }

    /// Every file, without directories.
    pub fn files(&self) -> Vec<&Path> {
        let is_file = |thing: &Thing| !matches!(thing, Thing::Directory { .. });
        self.0.iter().filter(|(_, thing)| is_file(thing)).map(|(path, _)| path.as_path()).collect()
    }

    /// Contents may be keys: only their lengths are shown.
    fn shown(&self, path: &Path) -> String {
        match self.0.get(path) {
            None => "absent".to_owned(),
            Some(Thing::File { mode, owner, inode, modified, changed, content }) => format!(
                "file of {} bytes, mode {mode:o}, owner {owner:?}, inode {inode}, modified {modified:?}, \
                 changed {changed:?}",
                content.len()
            ),
            Some(other) => format!("{other:?}"),
        }
    }
}

fn collect(path: &Path, things: &mut BTreeMap<PathBuf, Thing>) -> Result<()> {
    let facts = fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let (mode, owner) = (facts.mode() & 0o7777, (facts.uid(), facts.gid()));
    let thing = if facts.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
            collect(&entry?.path(), things)?;
        }
        Thing::Directory { mode, owner }
    } else if facts.is_file() {
        Thing::File {
            mode,
            owner,
            inode: facts.ino(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
            content: fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        }
    } else {
        Thing::Other { mode, owner, target: fs::read_link(path).ok() }
    };
    things.insert(path.to_path_buf(), thing);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn every_touch_is_seen_and_none_is_invented() -> Result<()> {
        type Touch = fn(&Path) -> std::io::Result<()>;
        let touches: [(&str, Touch); 5] = [
            ("content", |file| fs::write(file, "others")),
            ("mode", |file| fs::set_permissions(file, fs::Permissions::from_mode(0o600))),
            ("rewriting", |file| {
                fs::copy(file, file.with_extension("x"))
                    .and_then(|_| fs::rename(file.with_extension("x"), file))
            }),
            ("removal", |file| fs::remove_file(file)),
            ("addition", |file| fs::write(file.with_extension("y"), "")),
        ];
        for (what, touch) in touches {
            let scratch = Scratch::new()?;
            let file = scratch.file("deep/down/file", "things", 0o644)?;
            let before = Snapshot::of(scratch.path())?;
            assert_eq!(before.files(), [file.as_path()]);
            Snapshot::of(scratch.path())?.same_as(&before)?;
            touch(&file)?;
            let error = Snapshot::of(scratch.path())?.same_as(&before).unwrap_err().to_string();
            assert!(error.contains("deep/down/file"), "{what}: {error}");
        }
        Ok(())
    }
}
