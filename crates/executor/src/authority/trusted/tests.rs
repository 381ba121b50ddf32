//! What is read, and what is refused by name.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use super::*;

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("etc/manifest.json");
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(&file, "[]").unwrap();
    chmod(&file, 0o644);
    (dir, file)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn refused_at(path: &Path, culprit: &Path) {
    match TrustedFile::open(path) {
        Err(Refusal::Untrusted { path, .. }) => assert_eq!(path, culprit),
        other => panic!("expected {} to be untrusted, got {other:?}", culprit.display()),
    }
}

#[test]
fn a_protected_file_is_read() {
    let (_dir, file) = scratch();
    assert_eq!(TrustedFile::open(&file).unwrap().read().unwrap(), "[]");
}

#[test]
fn writable_files_and_directories_are_refused_by_name() {
    let (dir, file) = scratch();
    chmod(&file, 0o664);
    refused_at(&file, &file);
    chmod(&file, 0o644);
    chmod(&dir.path().join("etc"), 0o777);
    refused_at(&file, &dir.path().join("etc"));
    chmod(&dir.path().join("etc"), 0o1777);
    TrustedFile::open(&file).expect("a sticky directory above a file of ours");
}

#[test]
fn a_foreign_owner_anywhere_on_the_way_is_refused() {
    if !is_root() {
        return;
    }
    let (dir, file) = scratch();
    chown(&file, Some(65534), None).unwrap();
    refused_at(&file, &file);
    chown(&file, Some(0), None).unwrap();
    chown(dir.path().join("etc"), Some(65534), None).unwrap();
    refused_at(&file, &dir.path().join("etc"));
}

#[test]
fn links_are_followed_and_their_targets_judged() {
    let (dir, file) = scratch();
    let link = dir.path().join("link");
    symlink("etc/../etc/manifest.json", &link).unwrap();
    let opened = TrustedFile::open(&link).unwrap();
    assert_eq!(opened.path, file);
    chmod(&file, 0o666);
    refused_at(&link, &file);
}

#[test]
fn a_foreign_link_in_a_sticky_directory_is_refused() {
    if !is_root() {
        return;
    }
    let (dir, file) = scratch();
    chmod(dir.path(), 0o1777);
    let link = dir.path().join("link");
    symlink(&file, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
    refused_at(&link, &link);
}

#[test]
fn what_is_no_regular_file_is_unusable() {
    let (dir, file) = scratch();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let looping = dir.path().join("loop");
    symlink("loop", &looping).unwrap();
    for path in [&fifo, &looping, dir.path(), &file.join("below")] {
        let error = TrustedFile::open(path).unwrap_err();
        assert!(matches!(error, Refusal::Unusable { .. }), "{error}");
    }
    assert!(matches!(TrustedFile::open(&dir.path().join("none")), Err(Refusal::Missing(_))));
}

#[test]
fn size_and_encoding_are_bounded() {
    let (_dir, file) = scratch();
    fs::write(&file, b"\xff\xfe").unwrap();
    assert!(matches!(TrustedFile::open(&file).unwrap().read(), Err(Refusal::Unusable { .. })));
    File::options().write(true).open(&file).unwrap().set_len(MAX_SIZE + 1).unwrap();
    let error = TrustedFile::open(&file).unwrap().read().unwrap_err();
    assert!(error.to_string().contains("larger"), "{error}");
}
