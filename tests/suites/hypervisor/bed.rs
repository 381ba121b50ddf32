//! The product installed in the box as a package would install it, beside a real CA.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use phoenix_protocol::control::{CertificateStatus, StatusDocument};
use phoenix_testkit::hypervisor::{Guest, Hypervisor};
use phoenix_testkit::peers::{self, StepCaVersion};
use phoenix_testkit::{control, manifest, patience, process};
use phoenix_tests::is_done;
use serde_json::Value;

const PROGRAMS: [(&str, &str); 3] = [
    ("phoenix-certd", "/usr/bin/phoenix-certd"),
    ("phoenix-certctl", "/usr/bin/phoenix-certctl"),
    ("phoenix-executor", "/usr/libexec/phoenix-certd/phoenix-executor"),
];
const FILES: [(&str, &str); 6] = [
    ("systemd/phoenix-certd.service", "/usr/lib/systemd/system/phoenix-certd.service"),
    ("systemd/phoenix-executor.service", "/usr/lib/systemd/system/phoenix-executor.service"),
    ("systemd/phoenix-executor.socket", "/usr/lib/systemd/system/phoenix-executor.socket"),
    ("systemd/sysusers.conf", "/usr/lib/sysusers.d/phoenix-certd.conf"),
    ("systemd/tmpfiles.conf", "/usr/lib/tmpfiles.d/phoenix-certd.conf"),
    ("config/certd.toml", "/etc/phoenix-certd/certd.toml"),
];
const MANIFEST: &str = "/usr/local/phoenix_hypervisor/etc/certificate-manifest.json";
const CA: &str = "/var/lib/step-ca";
/// Where `config/certd.toml` expects root and password.
const CA_SHARE: &str = "/mnt/pve/quickOS/lxc-persistent-data/103/ssl";

/// Where `LoadCredential=` of the executor's unit finds the password.
const CREDENTIAL: &str = "/etc/credstore/phoenix-certd.provisioner-password";
/// What an operator adds to the unit to take the password from elsewhere.
const DROP_IN: &str = "[Service]\nLoadCredential=ca-password:/root/ca-password\n";
const DROP_IN_PATH: &str = "/etc/systemd/system/phoenix-executor.service.d/password.conf";
/// Where the machine of the tests may raise no limit, systemd in the box may neither, and `LimitMEMLOCK=` of the unit is
/// without effect. There this capability stands in for it, so that the executor's memory is locked as on a hypervisor.
const LOCK_MEMORY: &str = r"(ulimit -l unlimited) 2>/dev/null || {
    install -d /etc/systemd/system/phoenix-executor.service.d
    printf '[Service]\nCapabilityBoundingSet=CAP_IPC_LOCK\n' >/etc/systemd/system/phoenix-executor.service.d/memory.conf
}";

/// How the executor comes by the provisioner's password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Password {
    /// From the file that `config/certd.toml` names.
    File,
    /// From the systemd credential that the unit provides for. There is no such file.
    Credential,
    /// From another credential, which a drop-in of the unit names. There is no such file either.
    DropIn,
}

/// The units under test.
pub(crate) const UNITS: [&str; 2] = ["phoenix-certd.service", "phoenix-executor.service"];

/// Members of this user's group may read status.
pub(crate) const MEMBER: &str = "viewer";
/// Not in the group.
pub(crate) const STRANGER: &str = "nobody";

/// The box with everything in it.
pub(crate) struct Bed {
    pub(crate) hypervisor: Hypervisor,
    /// The provisioner's password: a secret.
    pub(crate) password: String,
}

impl Bed {
    /// With these entries; CA and units have been started.
    pub(crate) fn with(entries: &[Value], password: Password) -> Result<Self> {
        process::require_root()?;
        let bed = Self { hypervisor: Hypervisor::start()?, password: "correct horse battery".to_owned() };
        bed.start_ca()?;
        bed.install()?;
        match password {
            Password::File => {}
            Password::Credential => bed.use_credential("provisioner-password", CREDENTIAL)?,
            Password::DropIn => {
                bed.sh(&format!("install -d $(dirname {DROP_IN_PATH})"))?;
                bed.hypervisor.write(DROP_IN_PATH, DROP_IN, 0o644)?;
                bed.use_credential("ca-password", "/root/ca-password")?;
            }
        }
        bed.replace_manifest(entries)?;
        bed.sh("systemctl start phoenix-executor.socket phoenix-certd")?;
        Ok(bed)
    }

    fn start_ca(&self) -> Result<()> {
        let Self { hypervisor, password } = self;
        hypervisor.install(&StepCaVersion::V0_30_2.binary()?, "/usr/local/bin/step-ca", 0o755)?;
        hypervisor.install(&peers::scripts().join("stepca-setup.sh"), "/root/stepca-setup.sh", 0o755)?;
        self.sh(&format!(
            "echo 127.0.0.1 localhost ca.internal.thinkheads.ai >/etc/hosts
             /root/stepca-setup.sh --dir {CA} --port 9000 --host ca.internal.thinkheads.ai --password '{password}'
             install -d {CA_SHARE}
             install -m 644 {CA}/certs/root_ca.crt {CA_SHARE}/phoenix_root_ca.crt
             install -m 600 {CA}/secrets/provisioner_password {CA_SHARE}/provisioner_password.txt
             systemctl start step-ca"
        ))
        .map(drop)
    }

    fn install(&self) -> Result<()> {
        for (name, place) in PROGRAMS {
            self.hypervisor.install(&process::bin(name)?, place, 0o755)?;
        }
        for (source, place) in FILES {
            self.hypervisor.install(&peers::tree().join(source), place, 0o644)?;
        }
        self.sh(&format!(
            "{LOCK_MEMORY}
             systemctl daemon-reload
             systemd-sysusers
             systemd-tmpfiles --create phoenix-certd.conf
             useradd --groups phoenix-certd {MEMBER}"
        ))
        .map(drop)
    }

    fn use_credential(&self, name: &str, source: &str) -> Result<()> {
        self.sh(&format!(
            "install -D -m 600 {CA_SHARE}/provisioner_password.txt {source}
             rm {CA_SHARE}/provisioner_password.txt
             sed -i '/^password_file/s/.*/credential = \"{name}\"/' /etc/phoenix-certd/certd.toml
             systemctl daemon-reload"
        ))
        .map(drop)
    }

    /// Replaces the manifest as an editor would.
    pub(crate) fn replace_manifest(&self, entries: &[Value]) -> Result<()> {
        let fresh = format!("{MANIFEST}.new");
        self.hypervisor.write(&fresh, serde_json::to_vec_pretty(entries)?, 0o644)?;
        self.sh(&format!("mv {fresh} {MANIFEST}")).map(drop)
    }

    /// A shell script in the box, which must succeed.
    pub(crate) fn sh(&self, script: &str) -> Result<String> {
        self.hypervisor.sh(script)
    }

    /// `phoenix-certctl` as root, which must succeed.
    pub(crate) fn certctl<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let words: Vec<&str> = words.into_iter().collect();
        let output = self.hypervisor.run(["phoenix-certctl"].into_iter().chain(words.iter().copied()))?;
        ensure!(output.status.success(), "phoenix-certctl {words:?}: {output:?}\n{}", self.journal()?);
        Ok(())
    }

    /// `phoenix-certctl` as another user.
    pub(crate) fn certctl_as(&self, user: &str, words: &[&str]) -> Result<Output> {
        self.run_as(user, &[&["phoenix-certctl"], words].concat())
    }

    /// A program as another user with all of its groups.
    pub(crate) fn run_as(&self, user: &str, words: &[&str]) -> Result<Output> {
        let reuid = format!("--reuid={user}");
        let regid = format!("--regid={}", self.sh(&format!("id --group {user}"))?.trim());
        let su = ["setpriv", &reuid, &regid, "--init-groups"];
        self.hypervisor.run(su.into_iter().chain(words.iter().copied()))
    }

    /// `GET /v1/status`.
    pub(crate) fn status(&self) -> Result<StatusDocument> {
        control::status(&self.hypervisor.path("/run/phoenix-certd/control.sock"))
    }

    /// The status of one entry.
    pub(crate) fn entry(&self, name: &str) -> Result<CertificateStatus> {
        let found = self.status()?.certificates.into_iter().find(|entry| entry.name == name);
        found.with_context(|| format!("the status holds no entry {name}"))
    }

    /// Waits until the status is as wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&StatusDocument) -> bool) -> Result<()> {
        let mut last = None;
        let reached = patience::until(|| {
            last = self.status().ok().or(last.take());
            last.as_ref().is_some_and(&wanted).then_some(())
        });
        let Some(()) = reached else {
            let status = last.map(|status| serde_json::to_string_pretty(&status).unwrap_or_default());
            anyhow::bail!("never {what}:\n{}\n{}", status.unwrap_or_default(), self.journal()?);
        };
        Ok(())
    }

    /// Waits until one entry is as wanted.
    pub(crate) fn wait_entry(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&CertificateStatus) -> bool,
    ) -> Result<()> {
        self.wait(&format!("{name} {what}"), |status| {
            status.certificates.iter().any(|entry| entry.name == name && wanted(entry))
        })
    }

    /// Waits until every entry is issued, delivered and activated.
    pub(crate) fn wait_all_done(&self, entries: usize) -> Result<()> {
        self.wait("all done", |status| {
            status.certificates.len() == entries && status.certificates.iter().all(is_done)
        })
    }

    /// What both units have logged.
    pub(crate) fn journal(&self) -> Result<String> {
        self.sh(
            "journalctl --no-pager --all --output=short-precise -u phoenix-certd -u phoenix-executor -n 200",
        )
    }

    /// How many commands have been run so far, deliveries included.
    pub(crate) fn commands_run(&self) -> Result<usize> {
        let journal = self.sh("journalctl --no-pager --all --output=cat -u phoenix-executor")?;
        Ok(journal.matches("command ended").count())
    }

    /// The pairs of these entries, as seen from here, are good by OpenSSL's word.
    pub(crate) fn check_pairs(&self, entries: &[Value]) -> Result<()> {
        for place in manifest::places(entries)? {
            let [cert, key] = [place.cert, place.key].map(|path| path.display().to_string());
            self.sh(&format!(
                "openssl verify -x509_strict -CAfile {CA}/certs/root_ca.crt -untrusted {cert} {cert}
                 [ \"$(openssl x509 -in {cert} -noout -pubkey)\" = \"$(openssl pkey -in {key} -pubout)\" ]"
            ))?;
        }
        Ok(())
    }

    /// A path of the box, as seen from here.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.hypervisor.path(&inside.as_ref().display().to_string())
    }

    /// Owner, mode and hash of a file in a guest, as the guest sees them.
    pub(crate) fn guest_file(&self, guest: Guest, path: &str) -> Result<String> {
        let said =
            self.hypervisor.in_guest(guest, &format!("stat -c '%U:%G %a' {path}; sha256sum <{path}"))?;
        Ok(said.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
    }

    /// SHA-256 of a file of the box, hexadecimal.
    pub(crate) fn hash(&self, path: &str) -> Result<String> {
        let said = self.sh(&format!("sha256sum <{path}"))?;
        Ok(said.split_whitespace().next().context("sha256sum said nothing")?.to_owned())
    }
}
