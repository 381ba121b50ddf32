//! Requests under way on one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phoenix_core::name::CertName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, Operation, Request, Response};
use phoenix_protocol::frame::{self, MAX_REQUEST, MAX_RESPONSE};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::{Ran, gone};

/// What waits for an answer.
struct Waiting {
    reply: oneshot::Sender<Result<Answer, Trouble>>,
    /// Entries that the request is about.
    entries: Vec<CertName>,
}

/// How long a request waits for a connection that is being made.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the executor may say nothing at all while it is asked something that runs no command. It bounds what it does
/// with files by itself; commands take as long as the manifest lets them.
const SILENCE: Duration = Duration::from_secs(300);
/// How much is read, or written, at once where there is so much.
const AT_ONCE: usize = 64 << 10;
/// Frames that may wait to be written.
const QUEUE: usize = 64;

impl Inner {
    /// Takes note of a frame and gives what waits for it.
    fn heard_about(&mut self, id: u64) -> Option<Waiting> {
        self.heard = Some(Instant::now());
        self.waiting.remove(&id)
    }
}

/// Requests under way, whatever the connection.
pub(super) struct Pending {
    inner: Mutex<Inner>,
    ready: watch::Sender<bool>,
    audit: mpsc::Sender<Ran>,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    waiting: HashMap<u64, Waiting>,
    writer: Option<mpsc::Sender<Vec<u8>>>,
    /// When the last frame came.
    heard: Option<Instant>,
}

impl Pending {
    /// Without a connection yet. `audit` is told about every program that was run.
    pub(super) fn new(audit: mpsc::Sender<Ran>) -> Self {
        Self { inner: Mutex::default(), ready: watch::Sender::new(false), audit }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the map consistent: every change to it is a single call.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an audit trail on. It is not waited for: whoever takes it may be waiting for an answer itself, and the
    /// executor's own log has every run too.
    fn tell(&self, ran: Ran) {
        if let Err(mpsc::error::TrySendError::Full(ran)) = self.audit.try_send(ran) {
            warn!(entries = ?ran.entries, runs = ran.runs.len(), "too busy to take note of commands that were run");
        }
    }

    /// Asks once a connection is ready.
    pub(super) async fn ask(&self, operation: Operation) -> Result<Answer, Trouble> {
        let mut ready = self.ready.subscribe();
        let came = tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready))
            .await
            .is_ok_and(|came| came.is_ok());
        if !came {
            return Err(gone("it cannot be reached"));
        }
        self.hail(operation).await
    }

    /// Asks on the present connection, ready or not.
    pub(super) async fn hail(&self, operation: Operation) -> Result<Answer, Trouble> {
        let (reply, answer) = oneshot::channel();
        let runs_commands = runs_commands(&operation);
        let (id, frame, writer) = {
            let mut inner = self.lock();
            inner.next_id += 1;
            let entries = entries_of(&operation);
            let request = Request { id: inner.next_id, operation };
            let frame = frame::encode(&request, MAX_REQUEST).map_err(|error| {
                Trouble::new(Reason::BadRequest, format!("cannot ask the executor: {error}"))
            })?;
            let Some(writer) = inner.writer.clone() else { return Err(gone("there is no connection")) };
            inner.waiting.insert(request.id, Waiting { reply, entries });
            (request.id, frame, writer)
        };
        let ended = |_| Err(gone("the connection ended"));
        match tokio::time::timeout(SILENCE, writer.send(frame)).await {
            Ok(Ok(())) if runs_commands => answer.await.unwrap_or_else(ended),
            Ok(Ok(())) => self
                .before_silence(answer)
                .await
                .map_or_else(|| self.give_up(id), |came| came.unwrap_or_else(ended)),
            Ok(Err(_)) => Err(gone("the connection ended")),
            Err(_) => self.give_up(id),
        }
    }

    /// What comes for a request; none when nothing came for so long, for any request, that nothing will.
    async fn before_silence<T>(
        &self,
        mut answer: oneshot::Receiver<T>,
    ) -> Option<Result<T, oneshot::error::RecvError>> {
        let mut since = Instant::now();
        loop {
            if let Ok(came) = tokio::time::timeout_at(since + SILENCE, &mut answer).await {
                return Some(came);
            }
            since = self.lock().heard.filter(|heard| *heard > since)?;
        }
    }

    fn give_up(&self, id: u64) -> Result<Answer, Trouble> {
        self.lock().waiting.remove(&id);
        Err(gone("it has said nothing for five minutes"))
    }

    /// Takes a new connection into use. The task ends, with the reason, when the connection does.
    pub(super) fn open(self: &Arc<Self>, stream: UnixStream) -> JoinedReason {
        let (read, write) = stream.into_split();
        let (sender, frames) = mpsc::channel(QUEUE);
        self.lock().writer = Some(sender);
        let pending = self.clone();
        JoinedReason(tokio::spawn(async move {
            tokio::select! {
                why = receive(read, &pending) => why,
                why = transmit(write, frames) => why,
            }
        }))
    }

    /// The greeting went well: requests may go out.
    pub(super) fn ready(&self) {
        self.ready.send_replace(true);
    }

    /// The connection is over: every open request gets `trouble`.
    pub(super) fn close(&self, trouble: &Trouble) {
        self.ready.send_replace(false);
        self.lock().writer = None;
        self.refuse(trouble);
    }

    /// Every open request gets `trouble`.
    pub(super) fn refuse(&self, trouble: &Trouble) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        for waiting in waiting.into_values() {
            let _ = waiting.reply.send(Err(trouble.clone()));
        }
    }
}

fn runs_commands(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Activate { .. }
            | Operation::Deliver { .. }
            | Operation::Recheck { .. }
            | Operation::RunCheck { .. }
            | Operation::Challenge { .. }
    )
}

/// The entries that an operation is about.
fn entries_of(operation: &Operation) -> Vec<CertName> {
    match operation {
        Operation::Activate { entries } => entries.iter().map(|entry| entry.name.clone()).collect(),
        Operation::Observe { entry }
        | Operation::Prepare { entry }
        | Operation::Token { entry, .. }
        | Operation::Install { entry, .. }
        | Operation::Adopt { entry }
        | Operation::Restore { entry }
        | Operation::Deliver { entry }
        | Operation::Recheck { entry }
        | Operation::Rollback { entry, .. }
        | Operation::Chain { entry }
        | Operation::InstallRoots { entry }
        | Operation::Challenge { entry, .. }
        | Operation::RunCheck { entry, .. }
        | Operation::Sign { entry, .. } => vec![entry.name.clone()],
        Operation::Hello { .. } | Operation::Snapshot { .. } | Operation::Trust { .. } => Vec::new(),
    }
}

/// The task of a connection; ends it when dropped. Resolves to why the connection ended.
pub(super) struct JoinedReason(JoinHandle<String>);

impl Future for JoinedReason {
    type Output = String;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<String> {
        std::pin::Pin::new(&mut self.0)
            .poll(context)
            .map(|end| end.unwrap_or_else(|error| format!("the task failed: {error}")))
    }
}

impl Drop for JoinedReason {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn receive(from: OwnedReadHalf, pending: &Pending) -> String {
    // Many answers may have come by the time that this is woken.
    let mut from = BufReader::with_capacity(AT_ONCE, from);
    loop {
        match read_frame(&mut from).await {
            Ok(response) => {
                let waiting = pending.lock().heard_about(response.id);
                if let Some(Waiting { reply, entries }) = waiting {
                    if !response.runs.is_empty() {
                        // Before the answer: what follows from it is told after what led to it.
                        pending.tell(Ran { entries, runs: response.runs });
                    }
                    let _ = reply.send(response.result);
                }
            }
            Err(why) => return why,
        }
    }
}

async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> Result<Response, String> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    })?;
    let length = frame::body_length(prefix, MAX_RESPONSE).map_err(|error| error.to_string())?;
    let mut body = vec![0; length];
    from.read_exact(&mut body).await.map_err(|error| error.to_string())?;
    frame::decode(&body).map_err(|error| error.to_string())
}

async fn transmit(mut to: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) -> String {
    let mut bytes = Vec::new();
    while let Some(frame) = frames.recv().await {
        bytes.extend(frame);
        // What waits goes along: each write may wake the executor.
        while bytes.len() < AT_ONCE
            && let Ok(frame) = frames.try_recv()
        {
            bytes.extend(frame);
        }
        if let Err(error) = to.write_all(&bytes).await {
            return error.to_string();
        }
        bytes.clear();
    }
    "the daemon is done with it".into()
}

#[cfg(test)]
mod tests {
    use phoenix_protocol::executor::{EntryRef, Run};

    use super::*;

    async fn answer_one(stream: &mut UnixStream, answer: Answer, runs: Vec<Run>) {
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).await.unwrap();
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        stream.read_exact(&mut body).await.unwrap();
        let request: Request = frame::decode(&body).unwrap();
        let response = Response { id: request.id, result: Ok(answer), runs };
        stream.write_all(&frame::encode(&response, MAX_RESPONSE).unwrap()).await.unwrap();
    }

    fn pending() -> Pending {
        Pending::new(mpsc::channel(1).0)
    }

    fn hello() -> Answer {
        Answer::Hello { version: 1, package: "0".into() }
    }

    #[tokio::test]
    async fn an_answer_finds_its_request() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let pending = Arc::new(pending());
        let _running = pending.open(ours);
        pending.ready();
        let (asked, ()) = tokio::join!(
            pending.ask(Operation::Hello { version: 1 }),
            answer_one(&mut theirs, hello(), Vec::new())
        );
        assert_eq!(asked, Ok(hello()));
    }

    #[tokio::test]
    async fn programs_that_were_run_are_told_with_the_entries_they_were_run_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (audit, mut told) = mpsc::channel(1);
        let pending = Arc::new(Pending::new(audit));
        let _running = pending.open(ours);
        pending.ready();
        let entry = |name: &str| EntryRef { name: name.parse().unwrap(), digest: String::new() };
        let run: Run = serde_json::from_str(
            r#"{"at": "2026-11-21T20:00:00Z", "argv": ["/bin/true"], "profile": "strict", "milliseconds": 1,
                "ended": "exit code 0", "exit_code": 0, "survivors_killed": 0, "stdout": "", "stderr": ""}"#,
        )
        .unwrap();
        let asked = Operation::Activate { entries: vec![entry("a"), entry("b")] };
        let answer = Answer::Done { observations: Vec::new() };
        // The second one finds nobody who takes it, and is answered all the same.
        for _ in 0..2 {
            let answering = answer_one(&mut theirs, answer.clone(), vec![run.clone()]);
            let (asked, ()) = tokio::join!(pending.ask(asked.clone()), answering);
            assert_eq!(asked, Ok(answer.clone()));
        }
        let ran = told.recv().await.unwrap();
        assert_eq!(ran.entries.iter().map(CertName::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(ran.runs, [run]);
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn the_end_of_the_connection_ends_open_requests() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let pending = Arc::new(pending());
        let mut running = pending.open(ours);
        pending.ready();
        let ends = async {
            drop(theirs);
            (&mut running).await;
            pending.close(&gone("over"));
        };
        let (asked, ()) = tokio::join!(pending.ask(Operation::Hello { version: 1 }), ends);
        assert_eq!(asked.unwrap_err().reason, Reason::ExecutorGone);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_connection_a_request_fails_in_the_end() {
        let pending = pending();
        let asked = pending.ask(Operation::Hello { version: 1 }).await;
        assert_eq!(asked.unwrap_err().reason, Reason::ExecutorGone);
    }

    #[tokio::test(start_paused = true)]
    async fn an_executor_that_has_stopped_is_given_up_while_commands_are_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let pending = Arc::new(pending());
        let _running = pending.open(ours);
        pending.ready();
        let before = Instant::now();
        let asked = pending.ask(Operation::Snapshot { refresh: true, offset: 0 }).await.unwrap_err();
        assert_eq!((asked.reason, before.elapsed().as_secs()), (Reason::ExecutorGone, SILENCE.as_secs()));
        assert!(asked.message.contains("five minutes"), "{asked}");
        assert!(pending.lock().waiting.is_empty());
        // The request that was given up is read first.
        answer_one(&mut theirs, hello(), Vec::new()).await;
        let slow = async {
            tokio::time::sleep(SILENCE * 10).await;
            answer_one(&mut theirs, hello(), Vec::new()).await;
        };
        let (ran, ()) = tokio::join!(pending.ask(Operation::Activate { entries: Vec::new() }), slow);
        assert_eq!(ran, Ok(hello()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_executor_that_is_busy_with_others_is_waited_for() {
        let pending = pending();
        let (reply, answer) = oneshot::channel();
        let busy = async {
            for id in 0..20 {
                tokio::time::sleep(SILENCE / 2).await;
                pending.lock().heard_about(id);
            }
            reply.send(()).unwrap();
        };
        let (came, ()) = tokio::join!(pending.before_silence(answer), busy);
        assert_eq!(came, Some(Ok(())));
    }
}
