//! The built executor as a process, and the daemon's end of its socket.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use phoenix_core::facts::Observation;
use phoenix_core::reason::Trouble;
use phoenix_protocol::executor::{Answer, EntryRef, Operation, Request, Response, VERSION};
use phoenix_protocol::frame::{self, MAX_REQUEST, MAX_RESPONSE};
use phoenix_testkit::process;

use crate::place::Place;

/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An executor. Killed when this is dropped.
pub(crate) struct Executor {
    child: Child,
    stream: Option<UnixStream>,
    next: u64,
}

impl Executor {
    /// Starts one, without a word to it.
    pub(crate) fn spawn(place: &Place) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let log = fs::File::create(place.path("executor.log"))?;
        let child = Command::new(process::bin("phoenix-executor")?)
            .args(["--stdin-socket", "--config"])
            .arg(place.path("certd.toml"))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(log.try_clone()?)
            .stderr(log)
            .env_remove("NOTIFY_SOCKET")
            .spawn()
            .context("cannot start phoenix-executor")?;
        Ok(Self { child, stream: Some(ours), next: 0 })
    }

    /// Starts one that has finished whatever was interrupted.
    pub(crate) fn start(place: &Place) -> Result<Self> {
        let mut executor = Self::spawn(place)?;
        executor.hello().with_context(|| {
            format!(
                "it does not start:\n{}",
                fs::read_to_string(place.path("executor.log")).unwrap_or_default()
            )
        })?;
        Ok(executor)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Names of its threads.
    pub(crate) fn threads(&self) -> Result<BTreeMap<u32, String>> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let path = task?.path();
            let id = path.file_name().and_then(|id| id.to_str()?.parse().ok());
            // One may end meanwhile.
            if let (Some(id), Ok(name)) = (id, fs::read_to_string(path.join("comm"))) {
                threads.insert(id, name.trim_end().to_owned());
            }
        }
        Ok(threads)
    }

    pub(crate) fn hello(&mut self) -> Result<()> {
        self.ask(Operation::Hello { version: VERSION })??;
        Ok(())
    }

    /// Sends a request and waits for the answer. The outer error: there is none, because the executor is gone.
    pub(crate) fn ask(&mut self, operation: Operation) -> Result<Result<Answer, Trouble>> {
        self.next += 1;
        let stream = self.stream.as_mut().context("the connection has been ended")?;
        frame::write(stream, &Request { id: self.next, operation }, MAX_REQUEST)?;
        let response: Response = frame::read(stream, MAX_RESPONSE)?;
        ensure!(response.id == self.next, "an answer to another request");
        Ok(response.result)
    }

    /// The entry of the manifest.
    pub(crate) fn entry(&mut self) -> Result<EntryRef> {
        match self.ask(Operation::Snapshot { refresh: true, offset: 0 })?? {
            Answer::Snapshot(snapshot) => {
                let found = snapshot.entries.first().context("the manifest has no valid entry")?;
                Ok(EntryRef { name: found.entry.name.clone(), digest: found.digest.clone() })
            }
            other => bail!("{other:?}"),
        }
    }

    pub(crate) fn observe(&mut self, entry: &EntryRef) -> Result<Observation> {
        match self.ask(Operation::Observe { entry: entry.clone() })?? {
            Answer::Observed(observation) => Ok(*observation),
            other => bail!("{other:?}"),
        }
    }

    /// Stage and CSR.
    pub(crate) fn prepare(&mut self, entry: &EntryRef) -> Result<(String, String)> {
        match self.ask(Operation::Prepare { entry: entry.clone() })?? {
            Answer::Prepared { stage, csr } => Ok((stage, csr)),
            other => bail!("{other:?}"),
        }
    }

    /// Ends the connection, upon which it ends by itself.
    pub(crate) fn end(mut self) -> Result<()> {
        self.stream = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "the executor ended with {status}");
        Ok(())
    }

    /// How it died.
    pub(crate) fn death(mut self) -> Result<ExitStatus> {
        self.stream = None;
        Ok(self.child.wait()?)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A second holder of the state directory's lock, for which an executor waits before it does anything.
pub(crate) struct Latch(OwnedFd);

impl Latch {
    pub(crate) fn hold(state: &Path) -> Result<Self> {
        use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
        let file = open(state.join("lock"), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| anyhow!("cannot lock: {error}"))?;
        Ok(Self(file))
    }

    pub(crate) fn open(self) {
        drop(self.0);
    }
}
