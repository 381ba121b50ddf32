//! What everyone may read of a directory of settings. Root's own secrets there are known by their mode.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bounds of the walk. What lies beyond is not public.
const DEPTH: u32 = 6;
const ENTRIES: usize = 20_000;

/// The paths below `root` that are public with all that they contain; together they hold everything public.
/// Symbolic links lead where other rules decide; other file systems are not entered.
pub(super) fn parts_of(root: &Path) -> Vec<PathBuf> {
    let Ok(metadata) = fs::symlink_metadata(root) else { return Vec::new() };
    let mut walk = Walk { device: metadata.dev(), left: ENTRIES, parts: Vec::new() };
    if walk.directory(root, DEPTH) {
        return vec![root.to_owned()];
    }
    walk.parts
}

struct Walk {
    device: u64,
    left: usize,
    parts: Vec<PathBuf>,
}

impl Walk {
    /// True if everything in it is public. Otherwise its public parts were noted.
    fn directory(&mut self, path: &Path, depth: u32) -> bool {
        let (Some(depth), Ok(entries)) = (depth.checked_sub(1), fs::read_dir(path)) else { return false };
        let (mut whole, mut public) = (true, Vec::new());
        for entry in entries {
            let Some(left) = self.left.checked_sub(1) else { return false };
            self.left = left;
            let path = match entry.as_ref().map(|entry| (entry.path(), entry.metadata())) {
                Ok((_, Ok(metadata))) if metadata.is_symlink() => continue,
                Ok((path, Ok(metadata))) if self.may_read(&metadata) => {
                    if metadata.is_file() || (metadata.is_dir() && self.directory(&path, depth)) {
                        Some(path)
                    } else {
                        None
                    }
                }
                _ => None,
            };
            whole &= path.is_some();
            public.extend(path);
        }
        if !whole {
            self.parts.extend(public);
        }
        whole
    }

    fn may_read(&self, metadata: &Metadata) -> bool {
        let wanted = if metadata.is_dir() { 0o005 } else { 0o004 };
        metadata.dev() == self.device && metadata.permissions().mode() & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[(&str, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                fs::create_dir_all(&path).unwrap();
            } else {
                fs::write(&path, "x").unwrap();
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        dir
    }

    fn parts(dir: &tempfile::TempDir) -> Vec<String> {
        let mut parts: Vec<String> = parts_of(dir.path())
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        parts.sort();
        parts
    }

    #[test]
    fn a_tree_without_secrets_is_public_as_a_whole() {
        assert_eq!(parts(&tree(&[("a", 0o644), ("b/c/d", 0o604), ("e/", 0o755)])), [""]);
    }

    #[test]
    fn secrets_and_all_directories_above_them_are_left_out_but_their_neighbours_are_not() {
        let dir = tree(&[
            ("passwd", 0o644),
            ("shadow", 0o640),
            ("ssl/certs/ca.pem", 0o644),
            ("ssl/openssl.cnf", 0o644),
            ("ssl/private/", 0o710),
            ("ssl/private/key.pem", 0o644),
            ("ssh/moduli", 0o644),
            ("ssh/host_key", 0o600),
        ]);
        assert_eq!(parts(&dir), ["passwd", "ssh/moduli", "ssl/certs", "ssl/openssl.cnf"]);
    }

    #[test]
    fn links_are_not_followed() {
        let (dir, secret) = (tree(&[("a", 0o644)]), tree(&[("key", 0o600)]));
        symlink(secret.path(), dir.path().join("link")).unwrap();
        assert_eq!(parts(&dir), [""]);
        assert_eq!(parts_of(&dir.path().join("link")), Vec::<PathBuf>::new());
    }

    #[test]
    fn nothing_below_the_bounds_is_public() {
        let deep = format!("{}x", "d/".repeat(DEPTH as usize + 1));
        assert_eq!(parts(&tree(&[(&deep, 0o644), ("a", 0o644)])), ["a"]);
    }
}
