//! The delivery script alone, on this machine instead of in a guest.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use phoenix_core::facts::FileFact;
use phoenix_core::manifest::{Guest, GuestKind, Mode, Owner, Principal};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_guests::{Delivery, GuestFile, Hypervisor, Programs, look};
use phoenix_sandbox::{Cancel, Runner};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use crate::runners::{Here, Tampering, With};

const GUEST: Guest = Guest { kind: GuestKind::Lxc, id: 102 };

fn file(path: &Path, content: &[u8]) -> GuestFile {
    GuestFile {
        path: path.to_str().unwrap().parse().unwrap(),
        content: content.to_vec().into(),
        owner: None,
        mode: Mode(0o640),
        exclusive: false,
    }
}

fn deliver(runner: &dyn Runner, files: Vec<GuestFile>) -> Result<Vec<FileFact>, Trouble> {
    let (programs, cancel) = (Programs::default(), Cancel::never());
    Delivery { guest: GUEST, files }.deliver(&Hypervisor::new(runner, &programs, &cancel))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn files_replace_what_is_there_without_a_moment_between() {
    let dir = tempdir().unwrap();
    let (key, cert) = (dir.path().join("key"), dir.path().join("new/sub/cert"));
    fs::write(&key, "old").unwrap();
    let held = fs::File::open(&key).unwrap();
    let owner = Some(Owner { user: Principal::Id(12), group: Principal::Name("daemon".into()) });
    deliver(&Here, vec![GuestFile { owner, ..file(&key, b"new key") }, file(&cert, b"")]).unwrap();
    assert_eq!(fs::read(&key).unwrap(), b"new key");
    assert_eq!(fs::read(&cert).unwrap(), b"");
    assert_eq!(held.metadata().unwrap().nlink(), 0, "the old file was not written to, but replaced");
    let facts = fs::metadata(&key).unwrap();
    assert_eq!((facts.uid(), facts.gid(), mode(&key)), (12, 1, 0o640));
    assert_eq!(mode(cert.parent().unwrap()), 0o755);
    assert_eq!(names(dir.path()), ["key", "new"]);
}

#[test]
fn an_exclusive_file_takes_nothing_over_that_was_put_there() {
    let dir = tempdir().unwrap();
    let (target, victim) = (dir.path().join("key.pem"), dir.path().join("victim"));
    fs::write(&victim, "precious").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o666)).unwrap();
    let fresh = || vec![GuestFile { exclusive: true, mode: Mode(0o600), ..file(&target, b"KEY") }];
    let traps: [&dyn Fn(); 4] = [
        &|| (),
        &|| symlink(&victim, &target).unwrap(),
        &|| fs::hard_link(&victim, &target).unwrap(),
        &|| assert!(Command::new("mkfifo").arg(&target).status().unwrap().success()),
    ];
    for set in traps {
        set();
        deliver(&Here, fresh()).unwrap();
        assert!(fs::symlink_metadata(&target).unwrap().is_file());
        assert_eq!((fs::read(&target).unwrap(), mode(&target)), (b"KEY".to_vec(), 0o600));
        assert_eq!(fs::metadata(&target).unwrap().nlink(), 1);
        assert_eq!((fs::read(&victim).unwrap(), mode(&victim)), (b"precious".to_vec(), 0o666));
        fs::remove_file(&target).unwrap();
    }
    fs::create_dir(&target).unwrap();
    let trouble = deliver(&Here, fresh()).unwrap_err();
    assert_eq!(trouble.reason, Reason::NotDelivered);
    assert!(trouble.message.contains("is a directory"), "{trouble}");
    assert_eq!(names(&target), [""; 0]);
}

#[test]
fn what_a_killed_delivery_left_is_removed_by_a_later_one() {
    let dir = tempdir().unwrap();
    let (left, recent, other) = (".phoenix-aBc123", ".phoenix-zZz999", ".phoenix-my-notes");
    for name in [left, recent, other] {
        fs::write(dir.path().join(name), "KEY").unwrap();
    }
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for name in [left, other] {
        fs::File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(hour_ago).unwrap();
    }
    fs::create_dir(dir.path().join(".phoenix-folder")).unwrap();
    deliver(&Here, vec![file(&dir.path().join("cert"), b"x")]).unwrap();
    assert_eq!(names(dir.path()), [".phoenix-folder", other, recent, "cert"]);
}

/// A small file system of its own, for the life of the value.
struct Mount(TempDir);

impl Mount {
    fn new(options: &str) -> Self {
        let dir = tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path());
        assert!(mount.status().unwrap().success());
        Self(dir)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0.path()).status().unwrap().success());
    }
}

#[test]
fn a_failure_leaves_nothing_behind_and_says_why() {
    let dir = tempdir().unwrap();
    let (full, fixed) = (Mount::new("size=8k"), Mount::new("ro"));
    fs::write(dir.path().join("a"), "old").unwrap();
    fs::write(dir.path().join("plain"), "").unwrap();
    let owner = |name: &str| Some(Owner { user: Principal::Name(name.into()), group: Principal::Id(0) });
    let cases = [
        (file(&full.0.path().join("b"), &vec![7; 20_000]), Reason::DiskFull, "No space left"),
        (file(&fixed.0.path().join("b"), b"x"), Reason::ReadOnly, "Read-only file system"),
        (
            GuestFile { owner: owner("nobody-at-all"), ..file(&dir.path().join("b"), b"x") },
            Reason::MissingOwner,
            "nobody-at-all",
        ),
        (
            GuestFile { owner: owner("two words"), ..file(&dir.path().join("b"), b"x") },
            Reason::MissingOwner,
            "two words",
        ),
        (file(&dir.path().join("plain/b"), b"x"), Reason::NotDelivered, "cannot make the directory"),
        (file(&dir.path().join("big"), &vec![0; 1024 * 1024]), Reason::NotDelivered, "1 MiB"),
    ];
    for (bad, reason, words) in cases {
        let trouble = deliver(&Here, vec![file(&dir.path().join("a"), b"new"), bad]).unwrap_err();
        assert_eq!(trouble.reason, reason, "{trouble}");
        assert!(trouble.message.contains(words), "{trouble}");
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a", "plain"]);
        assert_eq!(names(full.0.path()), [""; 0]);
    }
}

#[test]
fn every_shell_and_every_set_of_tools_does_the_same() {
    let applets = tempdir().unwrap();
    let busybox = Command::new("/usr/bin/busybox").arg("--install").arg("-s").arg(applets.path()).status();
    assert!(busybox.unwrap().success());
    let debian = "/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let kinds = [
        With { shell: "/bin/dash".into(), path: debian.clone() },
        With { shell: "/bin/bash".into(), path: debian },
        With { shell: applets.path().join("sh"), path: applets.path().display().to_string() },
    ];
    for runner in kinds {
        let dir = tempdir().unwrap();
        let (key, cert) = (dir.path().join("key"), dir.path().join("a b/cert"));
        let owner = Some(Owner { user: Principal::Id(12), group: Principal::Name("daemon".into()) });
        let files = |owner| vec![file(&key, b"KEY"), GuestFile { owner, ..file(&cert, b"CERT") }];
        let found = deliver(&runner, files(owner)).unwrap();
        let facts = |name: &Path| {
            let FileFact::Present { uid, gid, mode, .. } = found[usize::from(name == cert)] else { panic!() };
            (uid, gid, mode)
        };
        assert_eq!((facts(&key), facts(&cert)), ((0, 0, 0o640), (12, 1, 0o640)), "{:?}", runner.shell);
        let (programs, cancel) = (Programs::default(), Cancel::never());
        let paths =
            [&key, &cert, &dir.path().join("none")].map(|path| path.to_str().unwrap().parse().unwrap());
        let seen = look(&Hypervisor::new(&runner, &programs, &cancel), GUEST, &paths.each_ref()).unwrap();
        assert_eq!(seen, [found, vec![FileFact::Missing]].concat(), "{:?}", runner.shell);
        let nobody = Some(Owner { user: Principal::Name("nobody-at-all".into()), group: Principal::Id(0) });
        let trouble = deliver(&runner, files(nobody)).unwrap_err();
        assert_eq!(trouble.reason, Reason::MissingOwner, "{:?}: {trouble}", runner.shell);
        assert_eq!(
            (names(dir.path()), names(cert.parent().unwrap())),
            (vec!["a b".into(), "key".into()], vec!["cert".into()])
        );
    }
}

#[test]
fn what_changes_on_its_way_is_not_put_in_place() {
    let tampers: [fn(&mut Vec<u8>); 4] = [
        |input| *input.last_mut().unwrap() ^= 1,
        |input| input.truncate(input.len() - 1),
        |input| input.truncate(40),
        Vec::clear,
    ];
    for (number, tamper) in tampers.into_iter().enumerate() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("cert");
        let trouble = deliver(&Tampering(Here, tamper), vec![file(&path, b"certificate")]).unwrap_err();
        let expected = if number < 2 { Reason::DeliveryDiffers } else { Reason::NotDelivered };
        assert_eq!(trouble.reason, expected, "{trouble}");
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_content_arrives_under_any_name(
        files in prop::collection::btree_map(
            "[a-zA-Z0-9 '\"$`*?\\\\ü;&|<>()!#~-]{1,12}",
            prop::collection::vec(any::<u8>(), 0..2000),
            1..4,
        ),
        exclusive: bool,
    ) {
        let dir = tempdir().unwrap();
        let list = files.iter().map(|(name, content)| {
            GuestFile { exclusive, ..file(&dir.path().join(name), content) }
        });
        deliver(&Here, list.collect()).unwrap();
        for (name, content) in &files {
            prop_assert_eq!(&fs::read(dir.path().join(name)).unwrap(), content);
        }
        prop_assert_eq!(names(dir.path()).len(), files.len());
    }
}
