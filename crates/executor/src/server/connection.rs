//! One connection: frames in, answers out, in any order.

use std::collections::HashSet;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, Operation, Request, Response, VERSION};
use phoenix_protocol::frame::{self, FrameError, MAX_REQUEST, MAX_RESPONSE};

use super::{LaneKind, Lanes, Owner};
use crate::operations::{Executor, Trail};

/// Open requests for files and keys; over it nothing more is read until one is answered.
const MAX_OPEN_FILES: usize = 256;
/// Open deliveries and commands; over it a further one is refused, because waiting for these would hold up
/// everything else.
const MAX_OPEN_COMMANDS: usize = 4096;
/// How long the daemon may leave an answer unread before it is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Ids of the requests that are not answered yet.
#[derive(Default)]
struct Open {
    files: HashSet<u64>,
    commands: HashSet<u64>,
}

/// What reader and workers of a connection share.
struct Link {
    writer: Mutex<UnixStream>,
    open: Mutex<Open>,
    answered: Condvar,
}

impl Link {
    fn send(&self, response: Response) {
        let Some(bytes) = encoded(response) else { return };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = std::io::Write::write_all(&mut *writer, &bytes) {
            tracing::debug!(%error, "an answer could not be delivered");
            // Half a frame may have gone out: nothing sensible can follow it.
            let _ = writer.shutdown(Shutdown::Both);
        }
    }

    /// A daemon that has greeted may have nothing to ask for a long time.
    fn allow_silence(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writer.set_read_timeout(None) {
            tracing::warn!(%error, "the connection will end when the daemon keeps silent");
        }
    }

    fn finish(&self, kind: LaneKind, response: Response) {
        // First free, then send: the daemon may reuse the id as soon as it has the answer.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            LaneKind::Files => open.files.remove(&response.id),
            LaneKind::Commands => open.commands.remove(&response.id),
        };
        drop(open);
        self.answered.notify_all();
        self.send(response);
    }

    /// Makes room for a request and records its id.
    fn begin(&self, id: u64, kind: LaneKind) -> Result<(), Trouble> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.files.contains(&id) || open.commands.contains(&id) {
            let message = format!("The request id {id} is still in use on this connection.");
            return Err(Trouble::new(Reason::BadRequest, message));
        }
        if kind == LaneKind::Commands {
            if open.commands.len() >= MAX_OPEN_COMMANDS {
                let message = format!("{MAX_OPEN_COMMANDS} commands are waiting already.");
                return Err(Trouble::new(Reason::CommandNotStarted, message));
            }
            open.commands.insert(id);
            return Ok(());
        }
        while open.files.len() >= MAX_OPEN_FILES {
            open = self.answered.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        open.files.insert(id);
        Ok(())
    }
}

/// An answer to a request for which no program was run.
fn answer(id: u64, result: Result<Answer, Trouble>) -> Response {
    Response { id, result, runs: Vec::new() }
}

/// The frame of an answer. What does not fit is left out, the runs first, so that the request is always answered.
fn encoded(mut response: Response) -> Option<Vec<u8>> {
    let encode = |response: &Response| frame::encode(response, MAX_RESPONSE);
    let mut bytes = encode(&response);
    if bytes.is_err() {
        response.runs.clear();
        bytes = encode(&response);
    }
    bytes
        .or_else(|error| {
            let message = format!("The executor's answer cannot be sent: {error}.");
            encode(&answer(response.id, Err(Trouble::new(Reason::Internal, message))))
        })
        .ok()
}

/// Serves one connection until it ends or breaks the rules.
pub(super) fn serve(executor: Arc<Executor>, lanes: Lanes, stream: UnixStream) {
    let outcome = Connection::new(executor, lanes, &stream).and_then(|mut it| it.read_all(stream));
    match outcome {
        Ok(()) | Err(FrameError::Closed) => tracing::debug!("the daemon closed the connection"),
        Err(error) => tracing::warn!(%error, "the connection is closed"),
    }
}

struct Connection {
    executor: Arc<Executor>,
    lanes: Lanes,
    link: Arc<Link>,
    owner: Owner,
    greeted: bool,
}

impl Connection {
    fn new(executor: Arc<Executor>, lanes: Lanes, stream: &UnixStream) -> Result<Self, FrameError> {
        let writer = stream.try_clone()?;
        writer.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let link = Link { writer: Mutex::new(writer), open: Mutex::default(), answered: Condvar::new() };
        let owner = lanes.new_owner();
        Ok(Self { executor, lanes, link: Arc::new(link), owner, greeted: false })
    }

    fn read_all(&mut self, mut stream: UnixStream) -> Result<(), FrameError> {
        let outcome = loop {
            match frame::read::<Request>(&mut stream, MAX_REQUEST) {
                Ok(request) => self.take(request),
                Err(error) => break error,
            }
        };
        // The writer's descriptor lives on in the workers: without this the other side would never see the end.
        let _ = stream.shutdown(Shutdown::Both);
        self.lanes.forget(self.owner);
        Err(outcome)
    }

    fn take(&mut self, Request { id, operation }: Request) {
        if let Operation::Hello { version } = operation {
            self.link.send(answer(id, greet(version)));
            if version == VERSION {
                self.greeted = true;
                self.link.allow_silence();
            }
            return;
        }
        if !self.greeted {
            let message = "The first request on a connection must be `hello` with the version.";
            return self.link.send(answer(id, Err(Trouble::new(Reason::BadRequest, message))));
        }
        if let Err(trouble) = self.queue(id, operation) {
            self.link.send(answer(id, Err(trouble)));
        }
    }

    fn queue(&self, id: u64, operation: Operation) -> Result<(), Trouble> {
        let (kind, keys) = self.executor.placement(&operation)?;
        self.link.begin(id, kind)?;
        let (executor, link) = (Arc::clone(&self.executor), Arc::clone(&self.link));
        let accepted = self.lanes.of(kind).submit(self.owner, keys, move || {
            let trail = Trail::default();
            let work = std::panic::AssertUnwindSafe(|| executor.perform(operation, &trail));
            let result = std::panic::catch_unwind(work).unwrap_or_else(|_| Err(defect()));
            link.finish(kind, Response { id, result, runs: trail.into_runs() });
        });
        if !accepted {
            let trouble = Trouble::new(Reason::ExecutorGone, "The executor is ending.");
            self.link.finish(kind, answer(id, Err(trouble)));
        }
        Ok(())
    }
}

fn defect() -> Trouble {
    Trouble::new(
        Reason::Internal,
        "The executor met a defect in itself while it worked on this; its log has the place.",
    )
}

fn greet(version: u32) -> Result<Answer, Trouble> {
    if version == VERSION {
        return Ok(Answer::Hello { version, package: env!("CARGO_PKG_VERSION").to_owned() });
    }
    Err(Trouble::new(
        Reason::BadRequest,
        format!(
            "The daemon speaks version {version} of the executor protocol, the executor version {VERSION}. \
             Restart both services after an upgrade."
        ),
    ))
}
