//! By which paths something can be reached: an opened directory may be a link, or hold a mount of the very file system
//! in which a secret lies. Landlock asks for files, not for names, and so must whoever hides one.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What is mounted where: `/proc/self/mountinfo`, proc_pid_mountinfo(5).
pub(super) struct Mounts(Vec<Mount>);

struct Mount {
    /// Where its file system is shown.
    point: PathBuf,
    root: Place,
}

/// A place in a file system, however that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    device: Vec<u8>,
    path: PathBuf,
}

impl Place {
    /// The way from here to `other`, if it lies below.
    fn way_to<'a>(&self, other: &'a Self) -> Option<&'a Path> {
        other.path.strip_prefix(&self.path).ok().filter(|_| self.device == other.device)
    }
}

impl Mounts {
    /// Those that this process sees.
    ///
    /// # Errors
    /// Nothing can be hidden by whoever does not know what is mounted.
    pub(super) fn seen() -> io::Result<Self> {
        let what = "/proc/self/mountinfo";
        let told = |error| io::Error::other(format!("cannot read what is mounted from {what}: {error}"));
        fs::read(what).map(|text| Self::parse(&text)).map_err(told)
    }

    /// Names of mounts are bytes of anybody's choice.
    fn parse(text: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ').skip(2);
            let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
            let root = Place { device: device.to_owned(), path: unescaped(root) };
            Some(Mount { point: unescaped(point), root })
        };
        Self(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// All paths below what is opened by which these secrets can be reached. Only what is opened is looked at: storage
    /// that holds a secret may hang.
    pub(super) fn ways(&self, opened: &[PathBuf], secrets: &[PathBuf]) -> Vec<PathBuf> {
        let real = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let starts: Vec<_> = opened.iter().map(real).flat_map(|open| self.starts(open)).collect();
        // By its own name in any case: what is mounted over a mount is not told from what lies below.
        let named = |secret: &&PathBuf| {
            let mut tops = opened.iter().chain(starts.iter().map(|(point, _)| point));
            tops.any(|top| secret.starts_with(top))
        };
        let mut ways: Vec<_> = secrets.iter().filter(named).cloned().collect();
        for place in secrets.iter().filter_map(|secret| self.place_of(secret)) {
            ways.extend(
                starts.iter().filter_map(|(point, root)| root.way_to(&place).map(|way| join(point, way))),
            );
        }
        ways.sort();
        ways.dedup();
        ways
    }

    /// An opened path and the mounts below it, each with what it shows.
    fn starts(&self, open: PathBuf) -> Vec<(PathBuf, Place)> {
        let below = self.0.iter().filter(|mount| mount.point.starts_with(&open));
        let mut starts: Vec<_> = below.map(|mount| (mount.point.clone(), mount.root.clone())).collect();
        starts.extend(self.place_of(&open).map(|place| (open, place)));
        starts
    }

    fn place_of(&self, path: &Path) -> Option<Place> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        // Of several mounts at one point the last one is seen.
        let mount = above.max_by_key(|mount| mount.point.as_os_str().len())?;
        let way = path.strip_prefix(&mount.point).ok()?;
        Some(Place { path: join(&mount.root.path, way), ..mount.root.clone() })
    }
}

/// Without a slash at the end, which would ask for a directory.
fn join(path: &Path, way: &Path) -> PathBuf {
    if way.as_os_str().is_empty() { path.to_owned() } else { path.join(way) }
}

/// Spaces and the like stand there as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.split_at_checked(3).filter(|_| first == b'\\');
        let decoded = escaped.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 8).ok()?, after))
        });
        let (byte, after) = decoded.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /nowhere/data rw - zfs rpool/data rw
31 22 0:40 /a/b /nowhere/copy\\040of\\134b rw - zfs rpool/data rw
32 22 8:1 / /nowhere/all rw - ext4 /dev/sda1 rw
garbage
33 22 0:41 / /nowhere/data/inner rw - zfs rpool/inner rw
";

    #[test]
    fn a_secret_is_found_by_every_mount_that_shows_it() {
        let mounts = Mounts::parse(MOUNTS.as_bytes());
        let ways = |open: &str, secret: &str| {
            let ways = mounts.ways(&[PathBuf::from(open)], &[PathBuf::from(secret)]);
            ways.iter().map(|way| way.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let copy = "/nowhere/copy of\\b";
        for (open, secret, expected) in [
            ("/nowhere/data", "/nowhere/data/a/b/key", "/nowhere/data/a/b/key".to_owned()),
            (copy, "/nowhere/data/a/b/key", format!("{copy}/key")),
            ("/nowhere", "/nowhere/data/a/b/key", format!("{copy}/key /nowhere/data/a/b/key")),
            (copy, "/nowhere/data/a/key", String::new()),
            ("/nowhere/data/a/b/key", "/nowhere/data/a/b/key", "/nowhere/data/a/b/key".to_owned()),
            ("/nowhere/data/a", "/nowhere/data/inner/a/key", String::new()),
            ("/nowhere/all/nowhere/x", "/nowhere/x/key", "/nowhere/all/nowhere/x/key".to_owned()),
            ("/nowhere/y", "/nowhere/x/key", String::new()),
        ] {
            assert_eq!(ways(open, secret), expected, "{open} {secret}");
        }
    }

    #[test]
    fn any_field_is_read_without_a_panic() {
        for (field, expected) in [("\\", "\\"), ("\\04", "\\04"), ("\\777x", "\\777x"), ("a\\040", "a ")] {
            assert_eq!(unescaped(field.as_bytes()), Path::new(expected));
        }
    }

    #[test]
    fn a_mount_whose_name_is_not_text_hides_no_other() {
        let odd = [MOUNTS.as_bytes(), b"34 22 0:42 / /var/tmp/\xff rw - fuse odd rw\n"].concat();
        let ways = Mounts::parse(&odd).ways(&["/nowhere/data".into()], &["/nowhere/data/key".into()]);
        assert_eq!(ways, [PathBuf::from("/nowhere/data/key")]);
    }

    #[test]
    fn a_secret_below_what_is_opened_is_hidden_whatever_is_mounted() {
        let ways = Mounts::parse(b"garbage").ways(&["/nowhere".into()], &["/nowhere/a/key".into()]);
        assert_eq!(ways, [PathBuf::from("/nowhere/a/key")]);
    }
}
