//! The scratch directory: CA, configuration, manifest and the commands' own record.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use phoenix_devca::DevCa;
use serde_json::{Value, json};

const PROVISIONER: &str = "admin@thinkheads.ai";
const PASSWORD: &str = "a password of the demonstration";

/// Name, CN, IP address, type, directory below the persistent data, share of the longest lifetime in percent.
const ENTRIES: [(&str, &str, &str, &str, u32); 4] = [
    ("docker-daemon", "10.0.0.111", "server", "vm-persistent-data/1001/docker/certs", 75),
    ("traefik-client", "", "client", "lxc-persistent-data/102/traefik/certs", 60),
    ("nginx", "10.0.0.153", "server", "lxc-persistent-data/101/nginx/certs", 100),
    ("traefik-mesh", "", "peer", "lxc-persistent-data/102/traefik/mesh", 50),
];
/// The entry whose command fails at first.
const FAILING: &str = "nginx";
/// How often it fails.
const FAILURES: u32 = 2;

/// Everything that the demonstration plays with.
pub(crate) struct Scene {
    dir: tempfile::TempDir,
    ca: DevCa,
    lifetimes: BTreeMap<String, Duration>,
}

impl Scene {
    /// Starts the CA and writes configuration and manifest. With a limit, lifetimes are chosen so that
    /// everything is renewed within it.
    pub(crate) async fn build(limit: Option<Duration>) -> Result<Self> {
        let longest = limit.map_or(Duration::from_secs(120), |limit| limit * 4 / 5);
        let longest = longest.clamp(Duration::from_secs(10), Duration::from_secs(120));
        let ca = DevCa::builder()
            .provisioner(PROVISIONER, PASSWORD)
            .claims(Duration::from_secs(1), longest, longest)
            .backdate(Duration::ZERO)
            .start()
            .await
            .context("cannot start the embedded CA")?;
        let dir = scratch().context("cannot make a scratch directory")?;
        let lifetimes = ENTRIES
            .iter()
            .map(|(name, _, _, _, share)| {
                ((*name).to_owned(), (longest * *share / 100).max(Duration::from_secs(6)))
            })
            .collect();
        let scene = Self { dir, ca, lifetimes };
        scene.write()?;
        Ok(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self) -> Result<()> {
        let shell = fs::canonicalize("/bin/sh").context("cannot find /bin/sh")?;
        let data = self.path("persistent-data");
        fs::create_dir(&data)?;
        fs::create_dir(self.path("commands"))?;
        self.ca.write_root(&self.path("root.pem"))?;
        private(&self.path("password.txt"), PASSWORD)?;
        let show = |path: &Path| path.display().to_string();
        let config = format!(
            "manifest = {manifest:?}\nstate_dir = {state:?}\ncontrol_socket = {socket:?}\n\n\
             [executor]\nsocket = {executor:?}\nstate_dir = {executor_state:?}\n\
             target_roots = [{data:?}]\ncommands = [{shell:?}]\n\n\
             [[executor.program]]\npath = {shell:?}\nwrites = [{commands:?}]\n\n\
             [[issuer]]\nname = \"demo\"\ntype = \"step-ca\"\nurl = {url:?}\nroot = {root:?}\n\
             provisioner = {PROVISIONER:?}\npassword_file = {password:?}\n\n\
             [renewal]\npoll = \"5s\"\n",
            manifest = show(&self.path("certificate-manifest.json")),
            state = show(&self.path("certd")),
            socket = show(&self.control_socket()),
            executor = show(&self.path("executor/executor.sock")),
            executor_state = show(&self.path("executor")),
            data = show(&data),
            shell = show(&shell),
            commands = show(&self.path("commands")),
            url = self.ca.url(),
            root = show(&self.path("root.pem")),
            password = show(&self.path("password.txt")),
        );
        private(&self.config_file(), &config)?;
        let entries: Vec<Value> = ENTRIES.iter().map(|entry| self.entry(entry, &data, &shell)).collect();
        let manifest = serde_json::to_string_pretty(&entries)?;
        private(&self.path("certificate-manifest.json"), &manifest)
    }

    fn entry(
        &self,
        (name, address, kind, dir, _): &(&str, &str, &str, &str, u32),
        data: &Path,
        shell: &Path,
    ) -> Value {
        let dir = data.join(dir);
        let record = self.path("commands").join(name);
        let mut script = format!("echo run >> {}", record.display());
        if *name == FAILING {
            // The first runs fail, as a service does whose configuration is being repaired.
            let _ = write!(
                script,
                "; if [ $(wc -l < {}) -le {FAILURES} ]; then echo 'nginx: configuration test failed' >&2; exit 1; fi",
                record.display()
            );
        }
        let lifetime = self.lifetimes.get(*name).map_or(60, Duration::as_secs);
        json!({
            "common_name": format!("{name}.internal.thinkheads.ai"),
            "sans": address,
            "cert_type": kind,
            "cert_path": dir.join("cert.pem"),
            "key_path": dir.join("key.pem"),
            "validity": format!("{lifetime}s"),
            "post_renewal_command": [shell, "-c", script],
        })
    }

    /// The control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// The configuration.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.path("certd.toml")
    }

    /// Where both processes write their log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.path("log.txt")
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The scratch directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// URL of the CA.
    pub(crate) fn ca_url(&self) -> String {
        self.ca.url()
    }

    /// How often each entry's command has been run, by the commands' own record.
    pub(crate) fn commands_run(&self) -> BTreeMap<String, usize> {
        ENTRIES
            .iter()
            .map(|(name, ..)| {
                let record = fs::read_to_string(self.path("commands").join(name)).unwrap_or_default();
                ((*name).to_owned(), record.lines().count())
            })
            .collect()
    }

    /// Ends the CA.
    pub(crate) async fn stop_ca(&self) {
        self.ca.stop().await;
    }

    /// Leaves the scratch directory where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

/// A scratch directory in memory where there is one: certificates that live seconds should not wait for a disk
/// that is busy with a build.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("phoenix-demo-").permissions(fs::Permissions::from_mode(0o700));
    if std::env::var_os("TMPDIR").is_none()
        && let Ok(dir) = builder.tempdir_in("/dev/shm")
    {
        return Ok(dir);
    }
    builder.tempdir()
}

fn private(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}
