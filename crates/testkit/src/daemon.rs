//! `phoenix-certd --standalone` under test: started, killed and asked as a user would.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use phoenix_protocol::control::{CertificateState, CertificateStatus, StatusDocument};
use rustix::process::Signal;
use serde_json::Value;

use crate::process::{self, Group, Seen};
use crate::scratch::Scratch;
use crate::stepca::StepCa;
use crate::{control, patience};

/// Where files are written in tests, below the scratch directory.
pub const TARGET_ROOT: &str = "mnt/pve/quickOS";

/// The configuration of a daemon under test. Every path lies below the scratch directory.
#[derive(Debug)]
pub struct Setup<'a> {
    scratch: &'a Scratch,
    issuers: Vec<String>,
    programs: Vec<PathBuf>,
    networked: Vec<PathBuf>,
    roots: Vec<PathBuf>,
    extra: String,
}

impl<'a> Setup<'a> {
    /// Without issuers and programs, with one target root that is there.
    pub fn new(scratch: &'a Scratch) -> Result<Self> {
        let roots = vec![scratch.directory(TARGET_ROOT)?];
        let (programs, networked) = (Vec::new(), Vec::new());
        Ok(Self { scratch, issuers: Vec::new(), programs, networked, roots, extra: String::new() })
    }

    /// With an issuer for this CA.
    pub fn step_ca(self, ca: &StepCa) -> Self {
        self.issuer(&issuer_of(ca))
    }

    /// With an `[[issuer]]` section in these words.
    pub fn issuer(mut self, section: &str) -> Self {
        self.issuers.push(section.to_owned());
        self
    }

    /// With these programs on the allow-list. Each may write beside itself, and reach the stand-ins of guests.
    pub fn programs(mut self, programs: impl IntoIterator<Item = PathBuf>) -> Self {
        self.programs.extend(programs);
        self
    }

    /// With a program on the allow-list that may also use the host's network.
    pub fn networked(mut self, program: PathBuf) -> Self {
        self.networked.push(program.clone());
        self.programs([program])
    }

    /// With one more target root, made or not.
    pub fn target_root(mut self, root: PathBuf) -> Self {
        self.roots.push(root);
        self
    }

    /// With these further lines at the end of the file.
    pub fn lines(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self
    }

    /// Writes configuration and manifest and starts the daemon.
    pub fn start(self, manifest: &[Value]) -> Result<Daemon> {
        self.scratch.directory("run/executor")?;
        self.scratch.file("etc/certificate-manifest.json", serde_json::to_vec_pretty(manifest)?, 0o644)?;
        self.scratch.file("etc/certd.toml", self.text()?, 0o644)?;
        let mut daemon = Daemon {
            config: self.scratch.join("etc/certd.toml"),
            manifest: self.scratch.join("etc/certificate-manifest.json"),
            socket: self.scratch.join("run/control.sock"),
            log: self.scratch.join("certd.log"),
            state: self.scratch.join("state"),
            group: None,
        };
        daemon.start()?;
        Ok(daemon)
    }

    /// The text of `certd.toml`.
    pub fn text(&self) -> Result<String> {
        let list = |paths: &[PathBuf]| paths.iter().map(|path| quoted(path)).collect::<Vec<_>>().join(", ");
        let at = |below: &str| self.scratch.join(below).display().to_string();
        let mut text = String::new();
        writeln!(text, "manifest = {:?}", at("etc/certificate-manifest.json"))?;
        writeln!(text, "state_dir = {:?}", at("state/certd"))?;
        writeln!(text, "control_socket = {:?}", at("run/control.sock"))?;
        writeln!(text, "\n[executor]\nsocket = {:?}", at("run/executor/executor.sock"))?;
        writeln!(text, "state_dir = {:?}", at("state/executor"))?;
        writeln!(text, "target_roots = [{}]\ncommands = [{}]", list(&self.roots), list(&self.programs))?;
        for program in &self.programs {
            let beside = program.parent().map(Path::to_path_buf);
            let writes: Vec<_> = beside.into_iter().chain([self.scratch.join("guests")]).collect();
            let (path, writes) = (quoted(program), list(&writes));
            writeln!(text, "\n[[executor.program]]\npath = {path}\nwrites = [{writes}]")?;
            if self.networked.contains(program) {
                writeln!(text, "network = true")?;
            }
        }
        for issuer in &self.issuers {
            writeln!(text, "\n[[issuer]]\n{issuer}")?;
        }
        text.push_str(&self.extra);
        Ok(text)
    }
}

/// The `[[issuer]]` section for a CA, named `phoenix`.
pub fn issuer_of(ca: &StepCa) -> String {
    format!(
        "name = \"phoenix\"\ntype = \"step-ca\"\nurl = {:?}\nroot = {}\nprovisioner = {:?}\npassword_file = {}\n",
        ca.url,
        quoted(&ca.root),
        ca.provisioner,
        quoted(&ca.password_file)
    )
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// A daemon with its executor. Both are killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    /// `certd.toml`.
    pub config: PathBuf,
    /// `certificate-manifest.json`.
    pub manifest: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Directory of the state of both processes.
    pub state: PathBuf,
    log: PathBuf,
    group: Option<Group>,
}

impl Daemon {
    /// Starts the daemon again after its end; returns when it answers on its socket.
    pub fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(process::bin("phoenix-certd")?);
        command.args(["--standalone", "--allow-root", "--config"]).arg(&self.config);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A daemon that is tested on its own must not talk to a service manager of the machine.
        command.env_remove("NOTIFY_SOCKET").env_remove("CREDENTIALS_DIRECTORY");
        let mut group = Group::spawn(&mut command)?;
        let ready = patience::until(|| match control::status(&self.socket) {
            Ok(_) => Some(true),
            Err(_) => (!group.running()).then_some(false),
        });
        match ready {
            Some(true) => self.group = Some(group),
            Some(false) => bail!("phoenix-certd ended instead of starting:\n{}", self.log_tail()),
            None => bail!("phoenix-certd does not answer on its socket:\n{}", self.log_tail()),
        }
        Ok(())
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.group.as_ref().context("the daemon has been killed")?.pid())
    }

    /// Process id of the executor that belongs to the daemon, as soon as it has one.
    pub fn executor_pid(&self) -> Result<u32> {
        let daemon = self.pid()?;
        // The kernel keeps fifteen letters of the name. Its own children, the supervisors of commands, come later.
        let is_executor = |seen: &Seen| seen.comm == "phoenix-executo";
        let executor = || process::descendants(daemon).into_iter().find(is_executor);
        Ok(patience::until(executor).context("the daemon has no executor")?.pid)
    }

    /// `kill -9` for the daemon alone; returns when it is gone.
    pub fn kill9(&mut self) {
        if let Some(mut group) = self.group.take() {
            group.kill_leader();
        }
    }

    /// `kill -9` for the executor alone.
    pub fn kill9_executor(&self) -> Result<()> {
        // It may have ended between the look and the signal: dead is what was asked for.
        let _ = process::signal(self.executor_pid()?, Signal::KILL);
        Ok(())
    }

    /// `kill -9` for the daemon, then start.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9();
        self.start()
    }

    /// SIGTERM; true when the daemon ended by itself with exit code 0.
    pub fn stop(&mut self) -> Result<bool> {
        self.group.take().context("the daemon has been killed")?.terminate()
    }

    /// `GET /v1/status`.
    pub fn status(&self) -> Result<StatusDocument> {
        control::status(&self.socket)
    }

    /// The status of one entry.
    pub fn entry(&self, name: &str) -> Result<CertificateStatus> {
        let found = self.status()?.certificates.into_iter().find(|entry| entry.name == name);
        found.with_context(|| format!("the status holds no entry {name}"))
    }

    /// Waits until the status is as wanted, and returns it.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&StatusDocument) -> bool) -> Result<StatusDocument> {
        let mut last = None;
        let reached = patience::until(|| {
            last = self.status().ok().or(last.take());
            last.clone().filter(&wanted)
        });
        reached.with_context(|| {
            let seen = last.map(|status| serde_json::to_string_pretty(&status).unwrap_or_default());
            format!("never {what}; last status:\n{}\nlog:\n{}", seen.unwrap_or_default(), self.log_tail())
        })
    }

    /// Waits until one entry is as wanted, and returns its status.
    pub fn wait_entry(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&CertificateStatus) -> bool,
    ) -> Result<CertificateStatus> {
        let find =
            |status: &StatusDocument| status.certificates.iter().find(|entry| entry.name == name).cloned();
        let status = self.wait_until(&format!("{name} {what}"), |status| {
            find(status).is_some_and(|entry| wanted(&entry))
        })?;
        find(&status).context("the entry is there")
    }

    /// Waits until every entry of the manifest is `ok`.
    pub fn wait_all_ok(&self, entries: usize) -> Result<StatusDocument> {
        self.wait_until("all ok", |status| {
            let ok = |entry: &CertificateStatus| entry.state == CertificateState::Ok;
            status.certificates.len() == entries && status.certificates.iter().all(ok)
        })
    }

    /// Replaces the manifest by renaming a new file onto it.
    pub fn replace_manifest(&self, manifest: &[Value]) -> Result<()> {
        crate::scratch::replace(&self.manifest, &serde_json::to_vec_pretty(manifest)?, 0o644)
    }

    /// Runs `phoenix-certctl` with this daemon's configuration.
    pub fn certctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        let mut command = Command::new(process::bin("phoenix-certctl")?);
        command.arg("--config").arg(&self.config).args(arguments).stdin(Stdio::null());
        command.output().context("cannot start phoenix-certctl")
    }

    /// Everything that daemon and executor have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// The executor's own state directory.
    pub fn executor_state(&self) -> PathBuf {
        self.state.join("executor")
    }
}

impl Drop for Daemon {
    /// The executor leaves with its daemon; one that does not is killed, so that nothing is left behind.
    fn drop(&mut self) {
        let executors =
            self.group.as_ref().map(|group| process::descendants(group.pid())).unwrap_or_default();
        self.group = None;
        for executor in executors {
            let gone = || (!Path::new(&format!("/proc/{}", executor.pid)).exists()).then_some(());
            if patience::until_or(std::time::Duration::from_secs(5), gone).is_none() {
                let _ = process::signal(executor.pid, Signal::KILL);
            }
        }
    }
}
