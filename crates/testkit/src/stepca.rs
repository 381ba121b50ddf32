//! A real step-ca on loopback.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::dice::Dice;
use crate::patience;
use crate::peers::{self, StepCaVersion};
use crate::process::{self, Group};

/// How the CA differs from the usual one.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shortest lifetime, as a Go duration.
    pub min: String,
    /// Lifetime when none is asked for.
    pub default: String,
    /// Longest lifetime.
    pub max: String,
    /// Name of the JWK provisioner.
    pub provisioner: String,
    /// Its password.
    pub password: String,
    /// Further DNS names of the server.
    pub hosts: Vec<String>,
    /// `bbolt`, `badgerv2` (0.19.0 only) or `none`.
    pub database: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min: "5m".into(),
            default: "24h".into(),
            max: "24h".into(),
            provisioner: "admin@thinkheads.ai".into(),
            password: "phoenix-test-provisioner".into(),
            hosts: Vec::new(),
            database: "bbolt".into(),
        }
    }
}

/// A step-ca with its directory. It ends when this is dropped.
#[derive(Debug)]
pub struct StepCa {
    /// Directory of the CA.
    pub dir: PathBuf,
    /// `https://localhost:PORT`.
    pub url: String,
    /// The root certificate.
    pub root: PathBuf,
    /// SHA-256 of the root, hexadecimal.
    pub fingerprint: String,
    /// Name of the JWK provisioner.
    pub provisioner: String,
    /// The file with its password.
    pub password_file: PathBuf,
    version: StepCaVersion,
    port: u16,
    server: Option<Group>,
}

impl StepCa {
    /// Makes a CA in `dir`, which must not exist, and starts it.
    pub fn start_in(dir: &Path, version: StepCaVersion, options: &Options) -> Result<Self> {
        let mut ca = Self::prepare(dir, version, options)?;
        ca.start()?;
        Ok(ca)
    }

    /// Makes a CA in `dir`, which must not exist, without starting it.
    pub fn prepare(dir: &Path, version: StepCaVersion, options: &Options) -> Result<Self> {
        version.binary()?;
        let port = free_port()?;
        process::run("/bin/bash", arguments(dir, port, options))?;
        let text = fs::read(dir.join("env.json")).context("the set-up of the CA left no env.json")?;
        let made: BTreeMap<String, String> = serde_json::from_slice(&text)?;
        let value = |name: &str| made.get(name).cloned().with_context(|| format!("env.json has no {name}"));
        Ok(Self {
            dir: dir.to_path_buf(),
            url: value("CA_URL")?,
            root: value("CA_ROOT")?.into(),
            fingerprint: value("CA_FINGERPRINT")?,
            provisioner: value("CA_PROVISIONER")?,
            password_file: value("CA_PASSWORD_FILE")?.into(),
            version,
            port,
            server: None,
        })
    }

    /// Starts the server; returns when it accepts connections, which it does when it is ready.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "this step-ca is already running");
        let log = File::options().create(true).append(true).open(self.dir.join("ca.log"))?;
        let mut command = Command::new(self.version.binary()?);
        command.env("STEPPATH", &self.dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut server = Group::spawn(&mut command)?;
        let up = patience::until(|| match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            Ok(_) => Some(true),
            Err(_) if server.running() => None,
            Err(_) => Some(false),
        });
        if up != Some(true) {
            bail!("step-ca {} did not start: {}", self.version, self.log());
        }
        self.server = Some(server);
        Ok(())
    }

    /// Ends the server; its port refuses connections afterwards.
    pub fn stop(&mut self) -> Result<()> {
        match self.server.take() {
            Some(mut server) => server.terminate().map(drop),
            None => Ok(()),
        }
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("ca.log")).unwrap_or_default()
    }

    /// How many certificates the server has issued through `/sign`, by its log.
    pub fn issued(&self) -> usize {
        let signed = |line: &&str| line.contains("/sign\"") && line.contains("\"status\":201");
        self.log().lines().filter(signed).count()
    }

    /// The server's version.
    pub fn version(&self) -> StepCaVersion {
        self.version
    }

    /// The intermediate certificate.
    pub fn intermediate(&self) -> PathBuf {
        self.dir.join("certs/intermediate_ca.crt")
    }

    /// The provisioner's password.
    pub fn password(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.password_file)?)
    }
}

fn arguments(dir: &Path, port: u16, options: &Options) -> Vec<String> {
    let script = peers::scripts().join("stepca-setup.sh");
    let mut arguments = vec![script.display().to_string()];
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("--dir", dir.display().to_string());
    add("--port", port.to_string());
    add("--min", options.min.clone());
    add("--default", options.default.clone());
    add("--max", options.max.clone());
    add("--provisioner", options.provisioner.clone());
    add("--password", options.password.clone());
    add("--db", options.database.clone());
    for host in &options.hosts {
        add("--host", host.clone());
    }
    arguments
}

/// A free port below the range from which the kernel gives ports to clients: a CA that is stopped for a while
/// must find its port free again.
fn free_port() -> Result<u16> {
    let mut dice = Dice::fresh();
    let free = (0..1000).find_map(|_| {
        let port = 15_000 + dice.below(15_000) as u16;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    });
    free.context("no free port on loopback")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn both_servers_start_stop_and_start_again() {
        let scratch = Scratch::new().unwrap();
        for version in StepCaVersion::ALL {
            let dir = scratch.join(version.as_str());
            let mut ca = StepCa::start_in(&dir, version, &Options::default()).unwrap();
            assert_eq!(ca.provisioner, "admin@thinkheads.ai");
            assert_eq!(ca.password().unwrap(), "phoenix-test-provisioner");
            assert_eq!(ca.fingerprint.len(), 64);
            ca.stop().unwrap();
            assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, ca.port)).is_err());
            ca.start().unwrap();
            assert!(ca.log().contains("Serving HTTPS on"), "{}", ca.log());
        }
    }
}
