//! The built executor behind its listening socket, and a daemon that says to it whatever it likes.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use phoenix_protocol::executor::VERSION;
use phoenix_protocol::frame::{self, MAX_REQUEST, MAX_RESPONSE};
use phoenix_testkit::https::post;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::process::{Group, bin};
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{openssl, patience};
use serde_json::{Value, json};

/// The executor with a real CA and three entries: `web` with a command, a check and a roots bundle; `client`, which
/// `web` shows somewhere; `plain`, which nobody does.
pub(crate) struct Prey {
    pub(crate) executor: Group,
    pub(crate) ca: StepCa,
    pub(crate) kid: String,
    pub(crate) encrypted_key: String,
    pub(crate) scratch: Scratch,
    /// Everything that the executor ever answered.
    heard: RefCell<String>,
}

impl Prey {
    pub(crate) fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
        let settings: Value = serde_json::from_slice(&fs::read(ca.dir.join("config/ca.json"))?)?;
        let jwk = &settings["authority"]["provisioners"][0];
        let text = |value: &Value| value.as_str().map(str::to_owned).context("the CA has no such key");
        let (kid, encrypted_key) = (text(&jwk["key"]["kid"])?, text(&jwk["encryptedKey"])?);
        for directory in ["target", "bin", "gate"] {
            fs::create_dir(scratch.join(directory))?;
        }
        let hook = scratch.join("bin/hook");
        fs::write(&hook, HOOK)?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        fs::write(scratch.join("manifest.json"), manifest(&scratch).to_string())?;
        fs::write(scratch.join("certd.toml"), configuration(&scratch, &ca))?;
        let executor = start(&scratch)?;
        Ok(Self { executor, ca, kid, encrypted_key, scratch, heard: RefCell::default() })
    }

    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.scratch.join("target").join(name)
    }

    /// A connection that has greeted. One that ended a moment ago may still count as open: then this one is one too
    /// many, and is tried again.
    pub(crate) fn session(&self) -> Result<Session<'_>> {
        let greeted = || {
            let mut session = self.silent().ok()?;
            let hello = session.ask(json!({"op": "hello", "version": VERSION})).ok()?;
            Some((session, hello))
        };
        let (session, hello) = patience::until(greeted).with_context(|| self.log())?;
        ensure!(hello["result"]["Ok"]["hello"].is_object(), "{hello}");
        Ok(session)
    }

    /// A connection that has said nothing.
    pub(crate) fn silent(&self) -> Result<Session<'_>> {
        let stream = UnixStream::connect(self.scratch.join("executor.sock"))?;
        Ok(Session { prey: self, stream, next: 0 })
    }

    /// The fields of a token request in the name of the JWK provisioner.
    pub(crate) fn token(&self, entry: &Value, more: &Value) -> Value {
        let mut operation = json!({
            "op": "token", "entry": entry, "issuer": "phoenix", "kid": self.kid,
            "encrypted_key": self.encrypted_key, "ca_time": null,
        });
        merge(&mut operation, more);
        operation
    }

    /// What the executor has logged.
    fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("log")).unwrap_or_default()
    }

    /// Nothing that the executor ever said, logged, or kept where others read has a secret in it.
    pub(crate) fn told_no_secret(&self) -> Result<()> {
        let mut secrets = vec!["PRIVATE KEY".to_owned(), self.ca.password()?.trim().to_owned()];
        for name in ["web", "client", "plain"] {
            let key = self.target(name).join("key.pem");
            if let Ok(lines) = openssl::pem_lines(&key) {
                secrets.extend(lines.into_iter().filter(|line| line.len() > 20));
            }
        }
        ensure!(secrets.len() > 2, "there was no key to be told");
        let log = self.log();
        for secret in secrets {
            ensure!(
                !self.heard.borrow().contains(&secret),
                "an answer has {} bytes of a secret",
                secret.len()
            );
            ensure!(!log.contains(&secret), "the log has {} bytes of a secret", secret.len());
        }
        Ok(())
    }
}

/// Has a request signed by the CA.
pub(crate) fn signed_by(ca: &StepCa, csr: &Value, ott: &Value) -> Result<String> {
    let (status, answer) = post(ca, "/1.0/sign", &[], &json!({"csr": csr, "ott": ott}))?;
    ensure!(status == 201, "{answer}: {}", ca.log());
    let chain = answer["certChain"].as_array().context("no chain")?;
    Ok(chain.iter().filter_map(Value::as_str).collect())
}

/// Says how it was called, and what it must not: the key. The check prints it as well.
const HOOK: &str = "#!/bin/sh\ncat \"$PHOENIX_KEY_PATH\"\ncat \"$PHOENIX_KEY_PATH\" >&2\n\
                    case $1 in slow) while [ ! -e \"$2\" ]; do sleep 0.05; done;; fail) exit 1;; esac\n";

fn manifest(scratch: &Scratch) -> Value {
    let hook = scratch.join("bin/hook");
    let entry = |name: &str| {
        let file = |part: &str| scratch.join(format!("target/{name}/{part}.pem"));
        json!({
            "name": name, "common_name": format!("{name}.internal.example"), "cert_type": "peer",
            "cert_path": file("cert"), "key_path": file("key"), "ca_path": file("ca"),
        })
    };
    let mut web = entry("web");
    let go = scratch.join("gate/go");
    merge(
        &mut web,
        &json!({
            "post_renewal_command": [hook, "slow", go],
            "verify": [
                {"tls": "127.0.0.1:1", "client": "client"},
                {"command": [hook, "check"], "expect": "{serial}", "deadline": "10s"},
            ],
        }),
    );
    json!([web, entry("client"), entry("plain")])
}

fn configuration(scratch: &Scratch, ca: &StepCa) -> String {
    let at = |name: &str| scratch.join(name).display().to_string();
    format!(
        "manifest = \"{}\"\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\n\n[executor]\nsocket = \"{}\"\n\
         state_dir = \"{}\"\ntarget_roots = [\"{}\"]\ncommands = [\"{}\"]\n\n[[executor.program]]\npath = \"{}\"\nreads = [\"{}\"]\n\n[[issuer]]\nname = \"phoenix\"\n\
         type = \"step-ca\"\nurl = \"{}\"\nroot = \"{}\"\nprovisioner = \"{}\"\npassword_file = \"{}\"\n",
        at("manifest.json"),
        at("certd"),
        at("certd/control.sock"),
        at("run/executor.sock"),
        at("state"),
        at("target"),
        at("bin/hook"),
        at("bin/hook"),
        at("gate"),
        ca.url,
        ca.root.display(),
        ca.provisioner,
        ca.password_file.display(),
    )
}

/// As systemd starts it: the listening socket is descriptor 3.
fn start(scratch: &Scratch) -> Result<Group> {
    let listener = UnixListener::bind(scratch.join("executor.sock"))?;
    let log = fs::File::create(scratch.join("log"))?;
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" --config \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).arg(bin("phoenix-executor")?).arg(scratch.join("certd.toml"));
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(log.try_clone()?).stderr(log);
    Group::spawn(&mut command)
}

pub(crate) fn merge(into: &mut Value, more: &Value) {
    if let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
}

/// One connection.
pub(crate) struct Session<'a> {
    prey: &'a Prey,
    pub(crate) stream: UnixStream,
    next: u64,
}

impl Session<'_> {
    /// Sends an operation and gives its id.
    pub(crate) fn send(&mut self, mut operation: Value) -> Result<u64> {
        self.next += 1;
        if operation.get("id").is_none() {
            merge(&mut operation, &json!({"id": self.next}));
        }
        self.raw(&frame::encode(&operation, MAX_REQUEST)?)?;
        Ok(operation["id"].as_u64().unwrap_or_default())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// The next answer; none when the executor has closed the connection.
    pub(crate) fn receive(&mut self) -> Result<Option<Value>> {
        let mut prefix = [0; 4];
        if self.stream.read_exact(&mut prefix).is_err() {
            return Ok(None);
        }
        let mut body = vec![0; frame::body_length(prefix, MAX_RESPONSE)?];
        self.stream.read_exact(&mut body)?;
        self.prey.heard.borrow_mut().push_str(std::str::from_utf8(&body)?);
        Ok(Some(serde_json::from_slice(&body)?))
    }

    pub(crate) fn ask(&mut self, operation: Value) -> Result<Value> {
        let id = self.send(operation)?;
        let closed = || format!("the executor closed the connection: {}", self.prey.log());
        let answer = self.receive()?.with_context(closed)?;
        ensure!(answer["id"] == id, "another request was answered: {answer}");
        Ok(answer)
    }

    /// What went well.
    pub(crate) fn granted(&mut self, operation: Value) -> Result<Value> {
        let shown = operation.to_string();
        let answer = self.ask(operation)?;
        // An answer is under its own name.
        match answer["result"]["Ok"].as_object().and_then(|named| named.values().next()) {
            Some(granted) => Ok(granted.clone()),
            None => bail!("refused: {shown}: {answer}"),
        }
    }

    /// The reason of a refusal.
    pub(crate) fn refused(&mut self, operation: Value) -> Result<String> {
        let shown = operation.to_string();
        let answer = self.ask(operation)?;
        let reason = answer["result"]["Err"]["reason"].as_str();
        Ok(reason.with_context(|| format!("granted: {shown}: {answer}"))?.to_owned())
    }

    /// An entry of the manifest in force.
    pub(crate) fn entry(&mut self, name: &str) -> Result<Value> {
        let page = self.granted(json!({"op": "snapshot", "refresh": true, "offset": 0}))?;
        let entries = page["entries"].as_array().context("no entries")?;
        let found = entries.iter().find(|one| one["entry"]["name"] == name).context("no such entry")?;
        Ok(json!({"name": name, "digest": found["digest"]}))
    }

    /// The whole way to a certificate. Gives what is then observed.
    pub(crate) fn issue(&mut self, name: &str) -> Result<Value> {
        let entry = self.entry(name)?;
        let prepared = self.granted(json!({"op": "prepare", "entry": entry}))?;
        let purpose = json!({"purpose": "sign", "stage": prepared["stage"]});
        let token = self.granted(self.prey.token(&entry, &purpose))?;
        let chain = signed_by(&self.prey.ca, &prepared["csr"], &token["token"])?;
        let install = json!({
            "op": "install", "entry": entry, "stage": prepared["stage"], "issuer": "phoenix", "chain": chain,
        });
        Ok(self.granted(install)?["observation"].clone())
    }
}

/// Every operation about `entry`, with `text` wherever the protocol has a text of the daemon's choice.
pub(crate) fn operations(entry: &Value, text: &str) -> Vec<Value> {
    let mut all: Vec<Value> =
        ["observe", "prepare", "adopt", "restore", "deliver", "recheck", "rollback", "install_roots"]
            .map(|op| json!({"op": op, "entry": entry}))
            .into();
    all.push(json!({"op": "activate", "entries": [entry]}));
    all.push(json!({"op": "run_check", "entry": entry, "check": 1}));
    all.extend(with_text(entry, text));
    all
}

/// Those of them that have such a text.
pub(crate) fn with_text(entry: &Value, text: &str) -> Vec<Value> {
    let install = |stage: &str, chain: &str| json!({"op": "install", "entry": entry, "stage": stage, "issuer": "phoenix", "chain": chain});
    let token = |purpose: &str| {
        json!({
            "op": "token", "entry": entry, "issuer": "phoenix", "purpose": purpose, "stage": text,
            "serial": text, "kid": text, "encrypted_key": text, "ca_time": null,
        })
    };
    let zeros = "0".repeat(32);
    let mut all: Vec<Value> = ["sign", "x5c", "renew", "revoke"].map(token).into();
    all.extend([
        install(text, text),
        install(&zeros, text),
        json!({"op": "sign", "entry": entry, "fingerprint": text, "scheme": "ECDSA_NISTP256_SHA256", "message": text}),
        json!({"op": "trust", "issuer": "phoenix", "root": text}),
        json!({
            "op": "challenge", "entry": entry, "issuer": "phoenix", "step": "present", "domain": text, "value": text,
        }),
    ]);
    all
}
