//! An executor in a thread, with a scratch directory around it and a socket pair to it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use phoenix_core::facts::Observation;
use phoenix_core::reason::Trouble;
use phoenix_executor::{Options, Source, StartError, serve};
use phoenix_jose::ProvisionerKey;
use phoenix_protocol::executor::{
    Answer, EntryRef, Operation, Request, Response, Snapshot, TokenPurpose, VERSION,
};
use phoenix_protocol::frame::{self, MAX_REQUEST, MAX_RESPONSE};
use phoenix_sandbox::Supervised;
use phoenix_testkit::scratch::Scratch;
use serde_json::{Value, json};

use crate::ca::{Ca, Leaf};

pub(crate) const PASSWORD: &str = "correct horse";

/// A scratch directory with configuration, manifest, CA and target root.
pub(crate) struct Place {
    pub(crate) dir: Scratch,
    pub(crate) ca: Ca,
    pub(crate) provisioner: ProvisionerKey,
    pub(crate) encrypted_key: String,
}

impl Place {
    /// With these manifest entries.
    pub(crate) fn new(entries: &Value) -> Self {
        let dir = Scratch::new().unwrap();
        let provisioner = ProvisionerKey::generate_p256().unwrap();
        let encrypted_key = provisioner.encrypt(PASSWORD.as_bytes(), 100_000).unwrap();
        let place = Self { dir, ca: Ca::new(), provisioner, encrypted_key };
        for directory in ["target", "bin"] {
            fs::create_dir(place.path(directory)).unwrap();
        }
        place.write("root.pem", &place.ca.root_pem(), 0o644);
        place.write("password", &format!("{PASSWORD}\n"), 0o600);
        place.write("certd.toml", &place.configuration(), 0o644);
        place.program("hook", "#!/bin/sh\nprintenv | grep ^PHOENIX_ >>\"$1\"\n");
        place.manifest(entries);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        chmod(&path, mode);
    }

    /// Makes an executable below `bin/`.
    pub(crate) fn program(&self, name: &str, script: &str) {
        self.write(&format!("bin/{name}"), script, 0o755);
    }

    pub(crate) fn manifest(&self, entries: &Value) {
        // Another file each time, as an editor does it.
        self.write("manifest.new", &entries.to_string(), 0o644);
        fs::rename(self.path("manifest.new"), self.path("manifest.json")).unwrap();
    }

    /// The entry `web`, with further fields.
    pub(crate) fn web(&self, more: &Value) -> Value {
        let mut entry = json!({
            "name": "web",
            "common_name": "web.internal.example",
            "sans": ["10.0.0.7"],
            "cert_path": self.text("target/web/cert.pem"),
            "key_path": self.text("target/web/key.pem"),
        });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    }

    fn configuration(&self) -> String {
        let at = |name: &str| self.text(name);
        format!(
            r#"
manifest = "{manifest}"
state_dir = "{certd}"
control_socket = "{control}"

[executor]
socket = "{socket}"
state_dir = "{state}"
target_roots = ["{target}"]
commands = ["{hook}", "{fail}", "{pct}", "{qm}", "{strict}", "{free}"]

[[executor.program]]
path = "{free}"
profile = "plain"

[[executor.program]]
path = "{hook}"
writes = ["{all}"]

[[executor.program]]
path = "{pct}"
writes = ["{guests}"]

[[executor.program]]
path = "{qm}"
writes = ["{guests}"]

[[issuer]]
name = "phoenix"
type = "step-ca"
url = "https://ca.internal.example:9000"
root = "{root}"
provisioner = "admin@example"
password_file = "{password}"

[[issuer]]
name = "other"
type = "step-ca"
url = "https://other.internal.example:9000"
root = "{root}"
provisioner = "admin@example"
password_file = "{password}"
"#,
            manifest = at("manifest.json"),
            certd = at("certd"),
            control = at("certd/control.sock"),
            socket = at("run/executor.sock"),
            state = at("state"),
            target = at("target"),
            all = at("").trim_end_matches('/'),
            guests = at("guests"),
            strict = at("bin/strict"),
            free = at("bin/free"),
            hook = at("bin/hook"),
            fail = at("bin/fail"),
            pct = at("bin/pct"),
            qm = at("bin/qm"),
            root = at("root.pem"),
            password = at("password"),
        )
    }

    pub(crate) fn options(&self) -> Options {
        Options { config: self.path("certd.toml"), manifest: None, state_dir: None, stdin_socket: true }
    }

    /// Starts an executor here.
    pub(crate) fn start(&self) -> Link {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let options = self.options();
        let runner = Arc::new(Supervised::new(env!("CARGO_BIN_EXE_phoenix-executor")));
        let thread = std::thread::spawn(move || serve(&options, Source::Pair(theirs), runner));
        let mut link = Link::over(ours, thread);
        link.ask(Operation::Hello { version: VERSION }).unwrap();
        link
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The daemon's end.
pub(crate) struct Link {
    stream: Option<UnixStream>,
    thread: Option<JoinHandle<Result<(), StartError>>>,
    next: u64,
}

impl Link {
    pub(crate) fn over(stream: UnixStream, thread: JoinHandle<Result<(), StartError>>) -> Self {
        Self { stream: Some(stream), thread: Some(thread), next: 0 }
    }

    /// To an executor that is a process of its own.
    pub(crate) fn alone(stream: UnixStream) -> Self {
        Self { stream: Some(stream), thread: None, next: 0 }
    }

    pub(crate) fn stream(&mut self) -> &mut UnixStream {
        self.stream.as_mut().unwrap()
    }

    pub(crate) fn send(&mut self, operation: Operation) -> u64 {
        self.next += 1;
        let request = Request { id: self.next, operation };
        frame::write(self.stream(), &request, MAX_REQUEST).unwrap();
        self.next
    }

    pub(crate) fn receive(&mut self) -> Response {
        frame::read(self.stream(), MAX_RESPONSE).unwrap()
    }

    pub(crate) fn ask(&mut self, operation: Operation) -> Result<Answer, Trouble> {
        let id = self.send(operation);
        let response = self.receive();
        assert_eq!(response.id, id);
        response.result
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        match self.ask(Operation::Snapshot { refresh: true, offset: 0 }).unwrap() {
            Answer::Snapshot(snapshot) => *snapshot,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn entry(&mut self, name: &str) -> EntryRef {
        let snapshot = self.snapshot();
        let found = snapshot.entries.iter().find(|one| one.entry.name.as_str() == name);
        let found = found.unwrap_or_else(|| panic!("no `{name}` in {snapshot:?}"));
        EntryRef { name: found.entry.name.clone(), digest: found.digest.clone() }
    }

    pub(crate) fn observe(&mut self, name: &str) -> Observation {
        let entry = self.entry(name);
        observed(self.ask(Operation::Observe { entry }))
    }

    pub(crate) fn prepare(&mut self, name: &str) -> (String, String) {
        let entry = self.entry(name);
        match self.ask(Operation::Prepare { entry }).unwrap() {
            Answer::Prepared { stage, csr } => (stage, csr),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn install(&mut self, name: &str, stage: &str, chain: &str) -> Result<Answer, Trouble> {
        let entry = self.entry(name);
        let issuer = "phoenix".parse().unwrap();
        self.ask(Operation::Install { entry, stage: stage.to_owned(), issuer, chain: chain.to_owned() })
    }

    /// The whole way to a certificate for `name`.
    pub(crate) fn issue(&mut self, ca: &Ca, name: &str, leaf: &Leaf) -> Observation {
        let (stage, csr) = self.prepare(name);
        match self.install(name, &stage, &ca.sign(&csr, leaf)).unwrap() {
            Answer::Installed { observation, .. } => *observation,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn activate(&mut self, names: &[&str]) -> Result<Vec<Observation>, Trouble> {
        let entries = names.iter().map(|name| self.entry(name)).collect();
        match self.ask(Operation::Activate { entries })? {
            Answer::Done { observations } => Ok(observations),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn token(&mut self, place: &Place, stage: &str) -> Result<String, Trouble> {
        let key = place.encrypted_key.clone();
        self.token_with(stage, "phoenix", key)
    }

    pub(crate) fn token_with(
        &mut self,
        stage: &str,
        issuer: &str,
        encrypted_key: String,
    ) -> Result<String, Trouble> {
        let stage = stage.to_owned();
        self.token_for(issuer, TokenPurpose::Sign { stage, kid: "kid-1".to_owned(), encrypted_key })
    }

    pub(crate) fn token_for(&mut self, issuer: &str, purpose: TokenPurpose) -> Result<String, Trouble> {
        let (entry, issuer) = (self.entry("web"), issuer.parse().unwrap());
        match self.ask(Operation::Token { entry, issuer, purpose, ca_time: None })? {
            Answer::Token { token, .. } => Ok(token.expose().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    /// Ends the connection and waits for the executor's end.
    pub(crate) fn end(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        drop(self.stream.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.finish();
    }
}

pub(crate) fn observed(answer: Result<Answer, Trouble>) -> Observation {
    match answer.unwrap() {
        Answer::Observed(observation) => *observation,
        other => panic!("{other:?}"),
    }
}
