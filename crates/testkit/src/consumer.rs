//! A consumer of certificates: a real TLS server that reads its files when it is told to, or does not.
//!
//! The server is `openssl s_server`. Like dockerd it holds what it has read: the files are copied when it starts.
//! The program that makes it reload is a script of one line, as a command of a manifest would call it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::patience;
use crate::process::Group;
use crate::scratch::Scratch;

const LOOK: Duration = Duration::from_millis(20);

/// What a consumer does when it is told to read its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temper {
    /// It reads them.
    #[default]
    Obedient,
    /// It goes on with what it has, as dockerd does when it is told to reload.
    Deaf,
    /// It ends and does not come back.
    Dies,
}

/// A TLS server on loopback and the program that makes it read its files. Both end when this is dropped.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// What a command of the manifest calls.
    pub program: PathBuf,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    dir: PathBuf,
    port: u16,
    arguments: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    server: Option<Group>,
    temper: Temper,
    handled: usize,
    cert: PathBuf,
    key: PathBuf,
    ended: bool,
}

impl Consumer {
    /// A consumer of this pair, not started yet. `arguments` are further ones of `openssl s_server`.
    pub fn new(scratch: &Scratch, name: &str, cert: &Path, key: &Path, arguments: &[&str]) -> Result<Self> {
        let dir = scratch.directory(format!("consumers/{name}"))?;
        let script = "#!/bin/sh\necho told >> \"${0%/*}/told\"\n";
        let program = scratch.file(format!("consumers/{name}/reload-{name}"), script, 0o755)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let state = State { cert: cert.into(), key: key.into(), ..State::default() };
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let shared = Arc::new(Shared { state: Mutex::new(state), dir, port, arguments });
        let listening = Arc::clone(&shared);
        let thread = thread::spawn(move || listening.listen());
        Ok(Self { shared, thread: Some(thread), program, address: format!("127.0.0.1:{port}") })
    }

    /// Decides what it does from now on when it is told to read its files.
    pub fn set(&self, temper: Temper) {
        self.shared.lock().temper = temper;
    }

    /// Starts it, or starts it again, with what the files hold now.
    pub fn start(&self) -> Result<()> {
        self.shared.lock().start(&self.shared)
    }

    /// Starts it again with a copy of another pair, as after a restored backup.
    pub fn start_with(&self, cert: &Path, key: &Path) -> Result<()> {
        let mut state = self.shared.lock();
        let files =
            (std::mem::replace(&mut state.cert, cert.into()), std::mem::replace(&mut state.key, key.into()));
        let started = state.start(&self.shared);
        (state.cert, state.key) = files;
        started
    }

    /// Ends it.
    pub fn stop(&self) {
        self.shared.lock().server = None;
    }

    /// How many times its program was called.
    pub fn told(&self) -> usize {
        self.shared.told()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> usize {
        fs::read_to_string(self.dir.join("told")).map_or(0, |text| text.lines().count())
    }

    fn listen(&self) {
        loop {
            let told = self.told();
            {
                let mut state = self.lock();
                if state.ended {
                    state.server = None;
                    return;
                }
                if told > state.handled {
                    state.handled = told;
                    match state.temper {
                        // Where the files are not fit to be served, it is down, and the test will see that.
                        Temper::Obedient => drop(state.start(self)),
                        Temper::Deaf => {}
                        Temper::Dies => state.server = None,
                    }
                }
            }
            thread::sleep(LOOK);
        }
    }
}

impl State {
    fn start(&mut self, shared: &Shared) -> Result<()> {
        self.server = None;
        let held = |name: &str| shared.dir.join(name);
        let text = fs::read_to_string(&self.cert).with_context(|| format!("no {}", self.cert.display()))?;
        // The server takes its own certificate and the intermediates from two files.
        let mark = "-----END CERTIFICATE-----\n";
        let (leaf, rest) = text.split_once(mark).context("the certificate file holds no certificate")?;
        fs::write(held("cert.pem"), format!("{leaf}{mark}"))?;
        fs::write(held("chain.pem"), rest)?;
        fs::copy(&self.key, held("key.pem"))?;
        let mut accept = String::new();
        write!(accept, "127.0.0.1:{}", shared.port)?;
        let log = File::create(held("log"))?;
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-www", "-accept", &accept]);
        for (option, file) in [("-cert", "cert.pem"), ("-key", "key.pem"), ("-cert_chain", "chain.pem")] {
            if file != "chain.pem" || !rest.trim().is_empty() {
                command.arg(option).arg(held(file));
            }
        }
        command.args(&shared.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut group = Group::spawn(&mut command)?;
        let accepts = || TcpStream::connect((Ipv4Addr::LOCALHOST, shared.port)).is_ok();
        let ready = patience::until(|| (accepts() || !group.running()).then(|| group.running()));
        let log = || fs::read_to_string(held("log")).unwrap_or_default();
        ensure!(ready == Some(true), "openssl s_server does not serve: {}", log());
        self.server = Some(group);
        Ok(())
    }
}
