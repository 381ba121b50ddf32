//! `pct` and `qm` stand-ins over guests that are directories.
//!
//! Two small scripts take the place of the programs. Each hands its arguments to this module over a socket and
//! does what it is told: so the test itself plays the guests, sees every call as it happens, and a sandbox that
//! would break the real programs' use of sockets breaks these too. A command for a guest really runs, in a
//! mount namespace of its own whose root is the guest's directory, with the host's `/usr` inside; `systemctl`,
//! `docker` and `nginx` in there only answer.
//!
//! Exit codes and words are those of Proxmox VE 8.

mod answer;
mod pct;
mod qm;
mod root;
mod server;

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use crate::machine::Machine;
use crate::patience;
use crate::scratch::Scratch;
use root::GuestRoot;

const SCRIPT: &str = include_str!("standin.py");

/// Kind of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Container.
    Lxc,
    /// Virtual machine.
    Vm,
}

/// How a guest misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is switched off.
    Off,
    /// A backup holds its lock: a container is stopped for it, the file systems of a machine are frozen.
    Locked,
    /// Its agent does not answer (VM only).
    NoAgent,
    /// Commands are not run and end with this exit code.
    Exit(i32),
    /// Commands are not run and are reported as killed by this signal.
    Signal(i32),
    /// Commands are not run and only a process id is reported, as after the agent's time limit (VM only).
    PidOnly,
    /// Commands are not run and never answered.
    Hang,
}

/// One call of a stand-in.
#[derive(Clone, Debug)]
pub struct Call {
    /// `pct` or `qm`.
    pub program: String,
    /// Arguments after the program's name.
    pub argv: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Bytes of input.
    pub stdin_length: usize,
    /// The input, or the pushed file, holds a private key.
    pub carries_key: bool,
    /// The watched files as they were when the call came, by path.
    pub witnessed: BTreeMap<PathBuf, Vec<u8>>,
    /// It was answered as a success of the guest's command; none while it is unanswered.
    pub succeeded: Option<bool>,
}

impl Call {
    /// Program and arguments as one line, for comparison with a manifest's command.
    pub fn line(&self) -> String {
        format!("{} {}", self.program, self.argv.join(" "))
    }
}

/// Guests and the programs that reach them. Everything that still runs in them ends when this is dropped.
#[derive(Debug)]
pub struct Guests {
    shared: Arc<Shared>,
    programs: PathBuf,
    socket: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    guests: BTreeMap<u32, Guest>,
    calls: Vec<Call>,
    witnesses: Vec<PathBuf>,
    closed: bool,
}

#[derive(Debug)]
struct Guest {
    kind: Kind,
    root: GuestRoot,
    /// The fault, and the text that a command must contain to meet it.
    fault: Option<(Fault, String)>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    running: root::Running,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// Writes the two programs into the scratch directory and begins to answer. There are no guests yet.
    pub fn new(scratch: &Scratch) -> Result<Self> {
        let socket = scratch.directory("guests")?.join("standin.sock");
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("cannot bind {}", socket.display()))?;
        for program in ["pct", "qm"] {
            let script =
                SCRIPT.replace("@PROGRAM@", program).replace("@SOCKET@", &socket.display().to_string());
            scratch.file(format!("bin/{program}"), script, 0o755)?;
        }
        let shared = Arc::new(Shared::default());
        server::start(listener, Arc::clone(&shared));
        Ok(Self { shared, programs: scratch.join("bin"), socket })
    }

    /// Path of the `pct` or `qm` stand-in.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Makes a guest and returns the directory that is its root file system.
    pub fn add(&self, id: u32, kind: Kind) -> Result<PathBuf> {
        let parent = self.socket.parent().context("the socket has a directory")?;
        let root = GuestRoot::make(&parent.join(id.to_string()))?;
        let path = root.path().to_path_buf();
        self.shared.state().guests.insert(id, Guest { kind, root, fault: None });
        Ok(path)
    }

    /// Lets a machine that is running be the guest of this number.
    pub fn connect(&self, id: u32, kind: Kind, machine: &Machine) {
        let root = GuestRoot::of(machine);
        self.shared.state().guests.insert(id, Guest { kind, root, fault: None });
    }

    /// Lets a guest misbehave until [`Guests::mend`]. Faults of commands meet only those whose command line
    /// contains `only`.
    pub fn spoil(&self, id: u32, fault: Fault, only: &str) {
        self.set_fault(id, Some((fault, only.to_owned())));
    }

    /// Ends a guest's fault.
    pub fn mend(&self, id: u32) {
        self.set_fault(id, None);
    }

    fn set_fault(&self, id: u32, fault: Option<(Fault, String)>) {
        if let Some(guest) = self.shared.state().guests.get_mut(&id) {
            guest.fault = fault;
        }
    }

    /// From now on every call remembers the content of these files at its beginning.
    pub fn witness(&self, files: impl IntoIterator<Item = PathBuf>) {
        self.shared.state().witnesses.extend(files);
    }

    /// All calls so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Calls whose line contains `text`.
    pub fn calls_with(&self, text: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.line().contains(text)).collect()
    }

    /// Waits for a call whose line contains `text`.
    pub fn wait_for_call(&self, text: &str) -> Result<Call> {
        let call = patience::until(|| self.calls_with(text).into_iter().next());
        call.with_context(|| format!("`{text}` was not called; there were {:?}", self.lines()))
    }

    /// The lines of all calls.
    pub fn lines(&self) -> Vec<String> {
        self.calls().iter().map(Call::line).collect()
    }

    /// Root file system of a guest.
    pub fn root(&self, id: u32) -> Option<PathBuf> {
        self.shared.state().guests.get(&id).map(|guest| guest.root.path().to_path_buf())
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.running.end_all();
        // The listener waits in accept: a last connection lets it see that it is over.
        let _ = std::os::unix::net::UnixStream::connect(&self.socket);
    }
}

/// The words of a missing guest.
fn no_such(kind: Kind, id: u32) -> String {
    let folder = if kind == Kind::Lxc { "lxc" } else { "qemu-server" };
    format!("Configuration file 'nodes/pve/{folder}/{id}.conf' does not exist\n")
}

/// Files of `paths` that can be read.
fn contents(paths: &[PathBuf]) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: &PathBuf| Some((path.clone(), std::fs::read(Path::new(path)).ok()?));
    paths.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests;
