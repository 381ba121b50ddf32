//! Requests under way on one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, Operation, Request, Response};
use phoenix_protocol::frame::{self, MAX_REQUEST, MAX_RESPONSE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::gone;

type Waiting = HashMap<u64, oneshot::Sender<Result<Answer, Trouble>>>;

/// How long a request waits for a connection that is being made.
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames that may wait to be written.
const QUEUE: usize = 64;

/// Requests under way, whatever the connection.
pub(super) struct Pending {
    inner: Mutex<Inner>,
    ready: watch::Sender<bool>,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    waiting: Waiting,
    writer: Option<mpsc::Sender<Vec<u8>>>,
}

impl Default for Pending {
    fn default() -> Self {
        Self { inner: Mutex::default(), ready: watch::Sender::new(false) }
    }
}

impl Pending {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the map consistent: every change to it is a single call.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (frame, writer) = {
            let mut inner = self.lock();
            inner.next_id += 1;
            let request = Request { id: inner.next_id, operation };
            let frame = frame::encode(&request, MAX_REQUEST).map_err(|error| {
                Trouble::new(Reason::BadRequest, format!("cannot ask the executor: {error}"))
            })?;
            let Some(writer) = inner.writer.clone() else { return Err(gone("there is no connection")) };
            inner.waiting.insert(request.id, reply);
            (frame, writer)
        };
        if writer.send(frame).await.is_err() {
            return Err(gone("the connection ended"));
        }
        answer.await.unwrap_or_else(|_| Err(gone("the connection ended")))
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
        for reply in waiting.into_values() {
            let _ = reply.send(Err(trouble.clone()));
        }
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

async fn receive(mut from: OwnedReadHalf, pending: &Pending) -> String {
    loop {
        match read_frame(&mut from).await {
            Ok(response) => {
                let reply = pending.lock().waiting.remove(&response.id);
                if let Some(reply) = reply {
                    let _ = reply.send(response.result);
                }
            }
            Err(why) => return why,
        }
    }
}

async fn read_frame(from: &mut OwnedReadHalf) -> Result<Response, String> {
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
    while let Some(frame) = frames.recv().await {
        if let Err(error) = to.write_all(&frame).await {
            return error.to_string();
        }
    }
    "the daemon is done with it".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer_one(stream: &mut UnixStream, answer: Answer) {
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).await.unwrap();
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        stream.read_exact(&mut body).await.unwrap();
        let request: Request = frame::decode(&body).unwrap();
        let response = Response { id: request.id, result: Ok(answer), runs: Vec::new() };
        stream.write_all(&frame::encode(&response, MAX_RESPONSE).unwrap()).await.unwrap();
    }

    fn hello() -> Answer {
        Answer::Hello { version: 1, package: "0".into() }
    }

    #[tokio::test]
    async fn an_answer_finds_its_request() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let pending = Arc::new(Pending::default());
        let _running = pending.open(ours);
        pending.ready();
        let (asked, ()) =
            tokio::join!(pending.ask(Operation::Hello { version: 1 }), answer_one(&mut theirs, hello()));
        assert_eq!(asked, Ok(hello()));
    }

    #[tokio::test]
    async fn the_end_of_the_connection_ends_open_requests() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let pending = Arc::new(Pending::default());
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
        let pending = Pending::default();
        let asked = pending.ask(Operation::Hello { version: 1 }).await;
        assert_eq!(asked.unwrap_err().reason, Reason::ExecutorGone);
    }
}
