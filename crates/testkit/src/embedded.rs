//! The embedded CA, which can be told to lie, from tests that are not asynchronous.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phoenix_devca::{Builder, DevCa};
use tokio::runtime::{self, Runtime};

use crate::process::run;
use crate::scratch::Scratch;

/// Name of the provisioner.
pub const PROVISIONER: &str = "admin@thinkheads.ai";
const PASSWORD: &str = "phoenix-test-provisioner";

/// An embedded CA on loopback with a thread of its own. It ends when this is dropped.
pub struct EmbeddedCa {
    /// The CA: faults, counters, keys.
    pub ca: DevCa,
    /// Name of the issuer in the configuration.
    pub name: String,
    /// Its root certificate.
    pub root: PathBuf,
    password_file: PathBuf,
    runtime: Runtime,
}

impl EmbeddedCa {
    /// A CA whose certificates live a day.
    pub fn start(scratch: &Scratch, name: &str) -> Result<Self> {
        Self::with(scratch, name, |builder| builder)
    }

    /// A CA whose certificates live so long, beginning in the very second in which they are issued.
    pub fn short_lived(scratch: &Scratch, name: &str, lifetime: Duration) -> Result<Self> {
        Self::with(scratch, name, |builder| {
            builder
                .claims(Duration::from_secs(1), lifetime, Duration::from_secs(86_400))
                .backdate(Duration::ZERO)
        })
    }

    fn with(scratch: &Scratch, name: &str, shape: impl FnOnce(Builder) -> Builder) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let builder = shape(DevCa::builder()).provisioner(PROVISIONER, PASSWORD);
        let ca = runtime.block_on(builder.start()).with_context(|| format!("cannot start the CA {name}"))?;
        let root = scratch.file(format!("{name}/root_ca.crt"), ca.root_pem(), 0o644)?;
        let password_file = scratch.file(format!("{name}/password"), PASSWORD, 0o600)?;
        Ok(Self { ca, name: name.to_owned(), root, password_file, runtime })
    }

    /// The `[[issuer]]` section for this CA.
    pub fn issuer(&self) -> String {
        format!(
            "name = {:?}\ntype = \"step-ca\"\nurl = {:?}\nroot = {:?}\nprovisioner = {PROVISIONER:?}\n\
             password_file = {:?}\n",
            self.name,
            self.ca.url(),
            self.root.display().to_string(),
            self.password_file.display().to_string()
        )
    }

    /// OpenSSL finds the pair good: key and leaf belong together, and the chain in the file leads to the root.
    pub fn check_pair(&self, cert: &Path, key: &Path) -> Result<()> {
        let [cert, key, root] = [cert, key, &self.root].map(|path| path.display().to_string());
        run("openssl", ["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &cert, &cert])?;
        let of_cert = run("openssl", ["x509", "-in", &cert, "-noout", "-pubkey"])?.stdout;
        let of_key = run("openssl", ["pkey", "-in", &key, "-pubout"])?.stdout;
        ensure!(of_cert == of_key, "{cert} and {key} do not belong together");
        Ok(())
    }

    /// Closes the listener and every connection: the port refuses from now on.
    pub fn stop(&self) {
        self.runtime.block_on(self.ca.stop());
    }

    /// Serves again on the same port.
    pub fn restart(&self) -> Result<()> {
        self.runtime.block_on(self.ca.restart())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn it_stops_and_serves_again_on_its_port() -> Result<()> {
        let scratch = Scratch::new()?;
        let embedded = EmbeddedCa::start(&scratch, "phoenix")?;
        let connects = || TcpStream::connect(("127.0.0.1", embedded.ca.port())).is_ok();
        assert!(connects());
        embedded.stop();
        assert!(!connects());
        embedded.restart()?;
        assert!(connects());
        assert!(embedded.issuer().contains(&embedded.ca.url()));
        Ok(())
    }
}
