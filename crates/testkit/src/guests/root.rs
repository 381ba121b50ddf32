//! A guest's root file system, and commands in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::fs::{Gid, MemfdFlags, Mode, OFlags, ResolveFlags, Uid};
use rustix::process::{Pid, Signal};

use super::answer::Ended;
use crate::machine::{self, Machine};

/// Programs that only answer: what they were asked is seen in the calls.
const QUIET: [&str; 3] = ["docker", "nginx", "systemctl"];
const PATH: &str = "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The mounts live in a namespace that ends with the command.
const ENTER: &str = r#"root=$1; shift
mount --bind /usr "$root/usr" && mount --bind /dev "$root/dev" && exec chroot "$root" "$@""#;

/// Where a guest's files are and how its commands are run.
#[derive(Clone, Debug)]
pub(super) struct GuestRoot {
    path: PathBuf,
    /// PID 1 of a machine that is really running; none for a mere directory.
    leader: Option<u32>,
}

impl GuestRoot {
    /// Makes the directory with what a minimal system needs.
    pub(super) fn make(path: &Path) -> Result<Self> {
        for dir in ["usr", "dev", "etc", "opt/bin", "root", "run", "tmp", "var/lib", "var/log", "srv"] {
            fs::create_dir_all(path.join(dir)).with_context(|| format!("cannot make {}", path.display()))?;
        }
        fs::set_permissions(path.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), path.join(link))?;
        }
        for file in ["passwd", "group"] {
            fs::copy(Path::new("/etc").join(file), path.join("etc").join(file))?;
        }
        for program in QUIET {
            let script = path.join("opt/bin").join(program);
            fs::write(&script, "#!/bin/sh\nexit 0\n")?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { path: path.to_path_buf(), leader: None })
    }

    /// A machine that is running.
    pub(super) fn of(machine: &Machine) -> Self {
        Self { path: machine.path(""), leader: Some(machine.leader()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file as `pct push` does: made with mode 0600, then owner and mode, then the content.
    pub(super) fn push(
        &self,
        to: &str,
        content: &[u8],
        mode: u32,
        owner: (Option<&str>, Option<&str>),
    ) -> Result<()> {
        let root = File::open(&self.path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(&root, to, flags, Mode::RUSR | Mode::WUSR, ResolveFlags::IN_ROOT)?;
        let user = owner.0.map(|name| self.number("passwd", name)).transpose()?.map(Uid::from_raw);
        let group = owner.1.map(|name| self.number("group", name)).transpose()?.map(Gid::from_raw);
        rustix::fs::fchown(&file, user, group)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        File::from(file).write_all(content)?;
        Ok(())
    }

    fn command(&self, argv: &[String], env: &BTreeMap<String, String>) -> Command {
        let Some(leader) = self.leader else {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", ENTER, "sh"]);
            command.arg(&self.path).args(argv);
            command.env_clear().envs(env).env("PATH", PATH);
            return command;
        };
        // The last words of it are those of env(1).
        let mut words = machine::enter(leader);
        words.extend(env.iter().map(|(name, value)| format!("{name}={value}")));
        words.extend(argv.iter().cloned());
        let mut command = Command::new("/usr/bin/env");
        command.args(words);
        command
    }

    fn number(&self, table: &str, name: &str) -> Result<u32> {
        if let Ok(number) = name.parse() {
            return Ok(number);
        }
        let text = fs::read_to_string(self.path.join("etc").join(table))?;
        let line = text.lines().find(|line| line.split(':').next() == Some(name));
        let number = line.and_then(|line| line.split(':').nth(2)).and_then(|number| number.parse().ok());
        number.with_context(|| format!("failed to get id for: {name}"))
    }

    /// Runs a command in the guest to its end. With `caller`, the command dies when the caller does, as below
    /// `lxc-attach`; none when it was ended that way.
    pub(super) fn run(
        &self,
        argv: &[String],
        env: &BTreeMap<String, String>,
        stdin: &[u8],
        running: &Running,
        caller: Option<&UnixStream>,
    ) -> Result<Option<Ended>> {
        let (mut out, mut err) = (memory(&[])?, memory(&[])?);
        let mut command = self.command(argv, env);
        command.process_group(0).stdin(memory(stdin)?).stdout(out.try_clone()?).stderr(err.try_clone()?);
        let Some(status) = running.complete(&mut command, caller)? else { return Ok(None) };
        let mut ended = Ended { code: status.code(), signal: status.signal(), ..Ended::default() };
        for (file, text) in [(&mut out, &mut ended.stdout), (&mut err, &mut ended.stderr)] {
            file.rewind()?;
            file.read_to_end(text)?;
        }
        Ok(Some(ended))
    }
}

/// A file in memory: what passes through a guest may be a key, and must not be found on disk.
fn memory(content: &[u8]) -> Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("standin", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// Process groups of the commands that are running in guests.
#[derive(Debug, Default)]
pub(super) struct Running {
    groups: Mutex<Vec<Pid>>,
}

impl Running {
    fn complete(&self, command: &mut Command, caller: Option<&UnixStream>) -> Result<Option<ExitStatus>> {
        let mut child = command.spawn().context("cannot enter the guest")?;
        let group = Pid::from_child(&child);
        self.change(|groups| groups.push(group));
        let ended = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if caller.is_some_and(hung_up) {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
                child.wait()?;
                break None;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        self.change(|groups| groups.retain(|known| *known != group));
        Ok(ended)
    }

    pub(super) fn end_all(&self) {
        self.change(|groups| {
            for group in groups.iter() {
                let _ = rustix::process::kill_process_group(*group, Signal::KILL);
            }
        });
    }

    fn change(&self, with: impl FnOnce(&mut Vec<Pid>)) {
        with(&mut self.groups.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The stand-in at the other end is gone. It sends nothing after its call.
pub(super) fn hung_up(caller: &UnixStream) -> bool {
    let _ = caller.set_nonblocking(true);
    let mut byte = [0];
    let gone = matches!((&mut &*caller).read(&mut byte), Ok(0));
    let _ = caller.set_nonblocking(false);
    gone
}
