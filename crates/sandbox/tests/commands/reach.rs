//! Other ways to a secret than its own path.

use std::os::unix::fs::symlink;
use std::process::{Command, exit};

use phoenix_sandbox::{Guest, Profile, Strict};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::attacks::{fails, succeeds};
use crate::lab::shell;
use crate::strict::secret;

crate::tests![
    a_link_to_a_secret_leads_nowhere,
    a_secret_that_is_named_itself_is_not_opened,
    another_mount_of_a_directory_shows_no_secret,
];

/// A directory that no profile replaces by another one, links in it included.
fn elsewhere() -> TempDir {
    let given = std::env::var("PHOENIX_TEST_DIR");
    tempfile::tempdir_in(given.as_deref().unwrap_or("/var/lib")).unwrap()
}

const MOUNTED_ROLE: &str = "--mounted";

/// Reading `path` works with what the profile opens, and no longer when `secret` is one.
fn closed_by(open: Strict, secret: &str, path: &str) {
    let attack = shell(&format!("grep -q hush {path}"));
    succeeds(&attack, Profile::Strict(open.clone()));
    fails(&attack, Profile::Strict(open.secret(secret)));
}

fn a_link_to_a_secret_leads_nowhere() {
    let (dir, other) = (elsewhere(), elsewhere());
    let key = secret(dir.path(), "key");
    let (directory, file) = (other.path().join("directory"), other.path().join("file"));
    symlink(dir.path(), &directory).unwrap();
    symlink(&key, &file).unwrap();
    closed_by(Strict::default().read(&directory), &key, &format!("{}/key", directory.display()));
    closed_by(Strict::default().read(&directory), &key, &key);
    closed_by(Strict::default().write(&directory), &key, &format!("{}/key", directory.display()));
    closed_by(Strict::default().read(&file), &key, &file.display().to_string());
}

fn a_secret_that_is_named_itself_is_not_opened() {
    let dir = elsewhere();
    let key = secret(dir.path(), "key");
    closed_by(Strict::default().read(&key), &key, &key);
    closed_by(Strict::default().write(&key), &key, &key);
    closed_by(Strict::default().read(dir.path()).read(&key), &key, &key);
}

fn another_mount_of_a_directory_shows_no_secret() {
    if !geteuid().is_root() {
        return;
    }
    let (dir, other) = (elsewhere(), elsewhere());
    secret(dir.path(), "key");
    std::fs::create_dir(other.path().join("mnt")).unwrap();
    let mut own = Command::new("unshare");
    let script = r#"mount --bind "$1" "$2/mnt" && exec "$3" "$4" "$1" "$2""#;
    own.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    own.arg(dir.path()).arg(other.path()).arg(std::env::current_exe().unwrap()).arg(MOUNTED_ROLE);
    let output = own.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// In the role of somebody who sees the first directory of the arguments mounted below the second one, too.
pub(crate) fn mounted_main_if_asked() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, dir, other] = &arguments[..] else { return };
    if role != MOUNTED_ROLE {
        return;
    }
    let (key, copy) = (format!("{dir}/key"), format!("{other}/mnt/key"));
    closed_by(Strict::default().read(format!("{other}/mnt")), &key, &copy);
    closed_by(Strict::default().read(other), &key, &copy);
    closed_by(Strict::default().write(other), &key, &copy);
    let attack = shell(&format!("grep -q hush {copy}"));
    let hiding = |path: &str| Profile::Guest(Guest { hidden: vec![path.into()], ..Guest::default() });
    succeeds(&attack, hiding("/var/empty"));
    fails(&attack, hiding(dir));
    exit(0);
}
