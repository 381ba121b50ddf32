//! A directory with configuration, manifest, target root and a certificate authority made of OpenSSL, whose state
//! can be saved and brought back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use phoenix_protocol::executor::{Answer, Operation};
use phoenix_testkit::process::run;
use phoenix_testkit::scratch::Scratch;
use serde_json::{Value, json};

use crate::executor::Executor;

/// What belongs to the entry besides its pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Two files.
    Plain,
    /// Two files, chain, roots, an owner, and a key that a group may read.
    Full,
    /// Chain and key in one file.
    Combined,
}

/// The place.
pub(crate) struct Place {
    scratch: Scratch,
}

impl Place {
    /// With one entry.
    pub(crate) fn new(shape: Shape) -> Result<Self> {
        let place = Self { scratch: Scratch::in_memory()? };
        for directory in ["target", "bin"] {
            place.scratch.directory(directory)?;
        }
        place.make_authority()?;
        place.scratch.file("password", "unused", 0o600)?;
        place.scratch.file("bin/hook", "#!/bin/sh\nexit 0\n", 0o755)?;
        place.scratch.file("certd.toml", place.configuration(), 0o644)?;
        place.scratch.file("manifest.json", json!([place.entry(shape)]).to_string(), 0o644)?;
        Ok(place)
    }

    /// Everything.
    pub(crate) fn root(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.scratch.join(below)
    }

    fn text(&self, below: &str) -> String {
        self.path(below).display().to_string()
    }

    fn entry(&self, shape: Shape) -> Value {
        let mut entry = json!({
            "name": "web",
            "common_name": "web.internal.example",
            "cert_path": self.text("target/a/web/cert.pem"),
            "key_path": self.text("target/a/web/key.pem"),
            "post_renewal_command": [self.text("bin/hook")],
        });
        match shape {
            Shape::Plain => {}
            Shape::Full => {
                entry["chain_path"] = self.text("target/a/web/chain.pem").into();
                entry["ca_path"] = self.text("target/a/web/ca.pem").into();
                entry["owner"] = "1234:5678".into();
                entry["permissions"] = "0640".into();
            }
            Shape::Combined => entry["cert_path"] = entry["key_path"].clone(),
        }
        entry
    }

    /// Another text that asks for the same.
    pub(crate) fn edit_manifest(&self) -> Result<()> {
        let path = self.path("manifest.json");
        let mut entries: Value = serde_json::from_slice(&fs::read(&path)?)?;
        entries[0]["_comment"] = "edited".into();
        fs::write(&path, entries.to_string())?;
        Ok(())
    }

    fn configuration(&self) -> String {
        let at = |below: &str| self.text(below);
        format!(
            "manifest = {:?}\nstate_dir = {:?}\ncontrol_socket = {:?}\n\
             [executor]\nsocket = {:?}\nstate_dir = {:?}\ntarget_roots = [{:?}]\ncommands = [{:?}]\n\
             [[issuer]]\nname = \"phoenix\"\ntype = \"step-ca\"\nurl = \"https://127.0.0.1:1\"\nroot = {:?}\n\
             provisioner = \"admin\"\npassword_file = {:?}\n",
            at("manifest.json"),
            at("certd"),
            at("certd/control.sock"),
            at("run/executor.sock"),
            at("state"),
            at("target"),
            at("bin/hook"),
            at("root.pem"),
            at("password"),
        )
    }

    fn make_authority(&self) -> Result<()> {
        let at = |below: &str| self.text(below);
        let new_key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority = ["-days", "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext"];
        let root = ["basicConstraints=critical,CA:TRUE", "-subj", "/CN=Crash Root", "-keyout"];
        let made = [at("root.key"), "-out".into(), at("root.pem")];
        run("openssl", words(&[&new_key, &authority, &root]).chain(made))?;
        let below =
            ["basicConstraints=critical,CA:TRUE,pathlen:0", "-subj", "/CN=Crash Intermediate", "-keyout"];
        let made = [at("intermediate.key"), "-out".into(), at("intermediate.pem")];
        let by = ["-CA".to_owned(), at("root.pem"), "-CAkey".to_owned(), at("root.key")];
        run("openssl", words(&[&new_key, &authority, &below]).chain(made).chain(by))?;
        self.scratch.file(
            "leaf.cnf",
            "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n\
             authorityKeyIdentifier=keyid\nsubjectAltName=DNS:web.internal.example\n",
            0o644,
        )?;
        Ok(())
    }

    /// A chain for the key of this CSR.
    pub(crate) fn sign(&self, csr: &str, serial: u32) -> Result<String> {
        let at = |below: &str| self.text(below);
        self.scratch.file("csr.pem", csr, 0o644)?;
        let given = ["x509", "-req", "-days", "1", "-set_serial", &serial.to_string()].map(str::to_owned);
        let files = [
            ("-in", "csr.pem"),
            ("-CA", "intermediate.pem"),
            ("-CAkey", "intermediate.key"),
            ("-extfile", "leaf.cnf"),
        ];
        let files = files.into_iter().flat_map(|(option, file)| [option.to_owned(), at(file)]);
        let leaf = String::from_utf8(run("openssl", given.into_iter().chain(files))?.stdout)?;
        Ok(leaf + &fs::read_to_string(self.path("intermediate.pem"))?)
    }

    /// The request that installs a certificate for a key that has just been staged.
    pub(crate) fn installation(&self, executor: &mut Executor, serial: u32) -> Result<Operation> {
        let entry = executor.entry()?;
        let (stage, csr) = executor.prepare(&entry)?;
        let chain = self.sign(&csr, serial)?;
        Ok(Operation::Install { entry, stage, issuer: "phoenix".parse()?, chain })
    }

    /// The whole way to a pair that is installed and in use.
    pub(crate) fn issue(&self, executor: &mut Executor, serial: u32) -> Result<()> {
        let install = self.installation(executor, serial)?;
        executor.ask(install)??;
        let entry = executor.entry()?;
        match executor.ask(Operation::Activate { entries: vec![entry] })?? {
            Answer::Done { .. } => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    }

    /// Keeps state and target as they are now.
    pub(crate) fn save(&self) -> Result<()> {
        let kept = self.text("kept");
        let _ = fs::remove_dir_all(&kept);
        fs::create_dir(&kept)?;
        run("cp", ["-a", &self.text("state"), &self.text("target"), &kept])?;
        Ok(())
    }

    /// Brings state and target back as they were kept.
    pub(crate) fn bring_back(&self) -> Result<()> {
        for directory in ["state", "target"] {
            fs::remove_dir_all(self.path(directory)).with_context(|| format!("cannot remove {directory}"))?;
        }
        run("cp", ["-a", &self.text("kept/state"), &self.text("kept/target"), &self.text(".")])?;
        Ok(())
    }

    /// A live file of the entry.
    pub(crate) fn live(&self, name: &str) -> PathBuf {
        self.path("target/a/web").join(name)
    }

    /// The state of the entry.
    pub(crate) fn entry_state(&self) -> Result<PathBuf> {
        let entries = fs::read_dir(self.path("state/entries"))?;
        let mut found = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        let one = found.pop().context("the entry has no state")?;
        anyhow::ensure!(found.is_empty(), "there is state of several entries");
        Ok(one)
    }
}

fn words<'a>(parts: &[&'a [&'a str]]) -> impl Iterator<Item = String> + use<'a> {
    parts.concat().into_iter().map(str::to_owned)
}
