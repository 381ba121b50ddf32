//! Serves the protocol on a socket pair or on a listening socket.
//!
//! | module | duty |
//! |---|---|
//! | [`connection`] | one daemon: frames in, answers out, in any order |
//! | [`lane`] | threads and what may not run at the same time |
//! | [`sockets`] | where the socket comes from and who may use it |

mod connection;
mod lane;
mod sockets;

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::operations::Executor;

pub(crate) use lane::Key;
use lane::{Lane, Owner};
pub use sockets::{SocketError, Source};

/// Connections at a time. One daemon needs one; the others are for its successor during a restart.
const MAX_CONNECTIONS: usize = 4;
/// How long a new connection may keep silent: one that stays so must not take the place of the daemon's.
const GREETING: Duration = Duration::from_secs(10);
/// Threads for operations on files and keys. They wait for disks most of the time.
const FILE_THREADS: usize = 16;
/// Threads for deliveries and commands, each of which mostly waits.
const COMMAND_THREADS: usize = 16;

/// Which threads an operation runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneKind {
    /// Ends soon: files, keys, tokens.
    Files,
    /// May take as long as a command's time limit.
    Commands,
}

/// The two pools of threads, shared by all connections.
#[derive(Clone)]
pub(crate) struct Lanes {
    files: Lane,
    commands: Lane,
    owners: Arc<AtomicU64>,
}

impl Lanes {
    fn new() -> Self {
        let (files, commands) = (Lane::new("files", FILE_THREADS), Lane::new("command", COMMAND_THREADS));
        Self { files, commands, owners: Arc::default() }
    }

    fn new_owner(&self) -> Owner {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    fn of(&self, kind: LaneKind) -> &Lane {
        match kind {
            LaneKind::Files => &self.files,
            LaneKind::Commands => &self.commands,
        }
    }

    /// Drops what a connection left waiting: nobody would get the answers, and without this whoever connects again
    /// and again could fill the queues without limit.
    fn forget(&self, owner: Owner) {
        self.files.forget(owner);
        self.commands.forget(owner);
    }

    fn close(&self) {
        self.files.close();
        self.commands.close();
    }
}

/// The executor with its threads.
pub(crate) struct Server {
    executor: Arc<Executor>,
    lanes: Lanes,
}

impl Server {
    pub(crate) fn new(executor: Executor) -> Self {
        Self { executor: Arc::new(executor), lanes: Lanes::new() }
    }

    /// Serves until the daemon is gone (socket pair) or for ever (listening socket).
    pub(crate) fn serve(&self, source: Source) {
        match source {
            Source::Pair(stream) => {
                connection::serve(Arc::clone(&self.executor), self.lanes.clone(), stream);
                self.end();
            }
            Source::Listener(listener) => listen(&self.executor, &self.lanes, &listener),
        }
    }

    /// Finishes the commit in progress, ends running commands and returns when nothing is being done any more. A
    /// command that was ended counts as failed and is run again by the next executor.
    pub(crate) fn end(&self) {
        self.executor.end_commands();
        self.lanes.close();
    }
}

fn listen(executor: &Arc<Executor>, lanes: &Lanes, listener: &UnixListener) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => admit(executor, lanes, stream, &open),
            Err(error) => {
                // Out of descriptors, say: accepting at once again would be a busy loop.
                tracing::error!(%error, "no connection could be accepted");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

/// Refuses strangers and a fifth connection; serves the others on a thread each.
fn admit(executor: &Arc<Executor>, lanes: &Lanes, stream: UnixStream, open: &Arc<AtomicUsize>) {
    let admitted = stream.set_read_timeout(Some(GREETING)).map_err(Into::into);
    if let Err(error) = admitted.and_then(|()| sockets::check_peer(&stream)) {
        tracing::warn!(%error, "a connection was refused");
        return;
    }
    if open.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
        open.fetch_sub(1, Ordering::SeqCst);
        tracing::warn!("more than {MAX_CONNECTIONS} connections: the newest is refused");
        return;
    }
    let (executor, lanes, count) = (Arc::clone(executor), lanes.clone(), Arc::clone(open));
    let thread = std::thread::Builder::new().name("connection".to_owned()).spawn(move || {
        connection::serve(executor, lanes, stream);
        count.fetch_sub(1, Ordering::SeqCst);
    });
    if let Err(error) = thread {
        open.fetch_sub(1, Ordering::SeqCst);
        tracing::error!(%error, "no thread for a connection");
    }
}
