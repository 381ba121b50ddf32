//! The built binary as an operator runs it, against a daemon that plays a script.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemon;
mod files;
mod inspect;
mod integrate;
mod pki;
mod request;
mod status;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A scratch directory with room for a configuration, a manifest and a socket.
struct Scene {
    dir: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Scene {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// `phoenix-certctl` with this scene's configuration, which need not exist, and socket.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phoenix-certctl"));
        command.arg("--config").arg(self.path("certd.toml"));
        command.arg("--socket").arg(self.socket());
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as one JSON document.
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A copy of the binary that any user may run.
fn public_binary(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let copy = dir.join("phoenix-certctl");
    std::fs::copy(env!("CARGO_BIN_EXE_phoenix-certctl"), &copy).unwrap();
    for path in [dir, &copy] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = Scene::new().run(&["completions", shell]);
        assert_eq!(ended.code, Some(0), "{shell}");
        assert!(ended.stdout.contains("phoenix-certctl"), "{shell}");
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    for arguments in [
        &[][..],
        &["renew"],
        &["renew", "--all", "a"],
        &["renew", "--all", "--name", "a"],
        &["renew", "a", "--timeout", "5"],
        &["renew", "a", "--timeout", "0s"],
        &["sync", "--until", "written", "--generate-only"],
        &["sync", "--until", "finished"],
        &["status", "--nonsense"],
        &["inspect"],
        &["completions", "tcsh"],
        &["nonsense"],
    ] {
        let ended = Scene::new().run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert_ne!(ended.stderr, "", "{arguments:?}");
    }
}
