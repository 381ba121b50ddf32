//! The way from a target root to a directory, one component at a time.

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::disk::{Attributes, Dir, Disk};
use crate::errno::{Attempt, Failure};

/// First id of the range that Proxmox maps into unprivileged containers (`root:100000:65536` in
/// subuid(5)).
pub(crate) const FIRST_MAPPED: u32 = 100_000;

/// How far a walk came.
#[derive(Debug)]
pub(crate) struct Walked {
    /// The deepest directory that exists.
    pub(crate) dir: Dir,
    /// Its owner and mode.
    pub(crate) attributes: Attributes,
    /// Components below it that do not exist.
    pub(crate) missing: Vec<String>,
    /// User id of the deepest directory on the way that belongs to a mapped id.
    pub(crate) mapped: Option<u32>,
}

impl Walked {
    /// The directory itself, when all of it exists.
    pub(crate) fn complete(&self) -> Option<&Dir> {
        self.missing.is_empty().then_some(&self.dir)
    }
}

/// Walks from `root` down `components`. Stops at the first one that does not exist; a symlink or a file on the
/// way is a failure that names it.
pub(crate) fn walk(root: Dir, components: &[&str]) -> Result<Walked, Failure> {
    let attributes = root.attributes()?;
    let mut walked = Walked { dir: root, attributes, missing: Vec::new(), mapped: mapped(attributes.uid) };
    for (index, name) in components.iter().enumerate() {
        let Some(next) = walked.dir.enter(name).map_err(|failure| blame(&walked.dir, name, failure))? else {
            walked.missing = components.iter().skip(index).map(|name| (*name).to_owned()).collect();
            break;
        };
        walked.attributes = next.attributes()?;
        walked.mapped = mapped(walked.attributes.uid).or(walked.mapped);
        walked.dir = next;
    }
    Ok(walked)
}

/// The directory at the end of `components`, if all of them are directories: the kernel walks, by the same rules.
pub(crate) fn leap(root: &Dir, components: &[&str]) -> Option<Walked> {
    let dir = root.enter(&components.join("/")).ok()??;
    let attributes = dir.attributes().ok()?;
    Some(Walked { dir, attributes, missing: Vec::new(), mapped: mapped(attributes.uid) })
}

fn mapped(uid: u32) -> Option<u32> {
    (uid >= FIRST_MAPPED).then_some(uid)
}

/// The kernel says ENOTDIR for a link to a file where a directory is asked for: say what it is.
fn blame(dir: &Dir, name: &str, failure: Failure) -> Failure {
    let link = failure.errno == Errno::NOTDIR
        && matches!(dir.look(name), Ok(Some(found)) if found.kind == FileType::Symlink);
    if link { Failure { errno: Errno::LOOP, ..failure } } else { failure }
}

/// Makes what is missing: mode 0755, owner of the nearest directory that exists. Each one is made under the
/// name `temp` and appears complete.
pub(crate) fn create_missing(disk: &Disk, walked: Walked, temp: &str) -> Result<Dir, Failure> {
    let Attributes { uid, gid, .. } = walked.attributes;
    let mut dir = walked.dir;
    for name in &walked.missing {
        let fresh = disk.make_private_dir(&dir, temp)?;
        disk.dress_dir(&fresh, uid, gid, 0o755)?;
        if !disk.rename_new(&dir, temp, name)? {
            disk.remove(&dir, temp)?;
        }
        disk.sync_dir(&dir)?;
        dir = dir.enter(name)?.ok_or_else(|| Failure::new(Attempt::Enter, &dir.join(name), Errno::NOENT))?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fault::NoFaults;

    #[test]
    fn a_directory_that_was_put_in_the_place_of_a_new_one_is_not_given_away() {
        let scratch = tempfile::tempdir().unwrap();
        let disk = Disk::new(Arc::new(NoFaults));
        let dress = |name: &str| {
            let path = scratch.path().join(name);
            let outcome = disk.dress_dir(&Dir::open(&path).unwrap(), 100_000, 100_000, 0o755);
            (outcome.map_err(|failure| failure.errno), fs::metadata(path).unwrap().uid())
        };
        fs::create_dir_all(scratch.path().join("held/secret")).unwrap();
        fs::create_dir(scratch.path().join("new")).unwrap();
        assert_eq!(dress("held"), (Err(Errno::NOTEMPTY), 0));
        assert_eq!(dress("new"), (Ok(()), 100_000));
    }

    #[derive(Clone, Debug)]
    enum Made {
        Directory,
        Link,
        File,
    }

    fn made() -> impl Strategy<Value = Made> {
        prop_oneof![4 => Just(Made::Directory), 1 => Just(Made::Link), 1 => Just(Made::File)]
    }

    /// Builds `parts` below `root` until something that is no directory; gives how many directories there are
    /// and what came after them.
    fn build(root: &Path, parts: &[(String, Made)]) -> (usize, Option<Made>) {
        let mut at = root.to_path_buf();
        for (index, (name, made)) in parts.iter().enumerate() {
            at.push(name);
            match made {
                Made::Directory => fs::create_dir(&at).unwrap(),
                Made::Link => symlink("/", &at).unwrap(),
                Made::File => fs::write(&at, "").unwrap(),
            }
            if !matches!(made, Made::Directory) {
                return (index, Some(made.clone()));
            }
        }
        (parts.len(), None)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_walk_sees_what_is_there_and_never_leaves_the_root(
            parts in vec(("[a-z. ]{1,8}x", made()), 0..5),
            beyond in vec("[a-z]{1,4}", 0..3),
        ) {
            let scratch = tempfile::tempdir().unwrap();
            let root = fs::canonicalize(scratch.path()).unwrap();
            let (depth, stop) = build(&root, &parts);
            let names: Vec<&str> =
                parts.iter().map(|(name, _)| name.as_str()).chain(beyond.iter().map(String::as_str)).collect();
            let walked = walk(Dir::open(&root).unwrap(), &names);
            match (stop, walked) {
                (None, Ok(walked)) => {
                    prop_assert_eq!(walked.missing.len(), beyond.len());
                    let expected = parts.iter().fold(root, |path, (name, _)| path.join(name));
                    prop_assert_eq!(walked.dir.path(), expected);
                }
                (Some(what), Err(failure)) => {
                    let errno = if matches!(what, Made::Link) { Errno::LOOP } else { Errno::NOTDIR };
                    prop_assert_eq!(failure.errno, errno);
                    let expected = parts.iter().take(depth + 1).fold(root, |path, (name, _)| path.join(name));
                    prop_assert_eq!(failure.path, expected);
                }
                (stop, walked) => prop_assert!(false, "{:?} gave {:?}", stop, walked),
            }
        }
    }
}
