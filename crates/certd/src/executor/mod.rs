//! The connection to the executor.
//!
//! [`Executor`] is a handle that any job may use at the same time: requests get ids, answers may come out of
//! order. When the connection ends, every open request fails with `executor-gone`, and the connection is made
//! again (in standalone mode by starting the executor again).

mod connection;
mod spawn;

use std::sync::Arc;
use std::time::Duration;

use phoenix_core::name::CertName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::{Answer, Operation, Run, VERSION};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::keeper::Keeper;
use connection::Pending;
pub(crate) use spawn::Launcher;

/// How the executor is reached.
pub(crate) enum Access {
    /// Its service listens on a socket.
    Socket(std::path::PathBuf),
    /// It is our child.
    Child(Launcher),
    /// It is the child of the process that kept root.
    Kept(Keeper),
}

impl Access {
    /// Resolves when there is no more way to the executor and never will be.
    async fn ended(&self) {
        match self {
            Self::Kept(keeper) => keeper.ended().await,
            Self::Socket(_) | Self::Child(_) => std::future::pending().await,
        }
    }
}

/// Longest wait between two attempts to reach the executor.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the executor may take to greet. It recovers torn pairs first, and a mount may hang meanwhile.
const GREETING: Duration = Duration::from_secs(60);

/// Programs that the executor ran for one request: the audit trail, as it arrives.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Entries that the request was about.
    pub(crate) entries: Vec<CertName>,
    /// What was run, in order.
    pub(crate) runs: Vec<Run>,
}

/// A handle to the executor.
#[derive(Clone)]
pub(crate) struct Executor {
    pending: Arc<Pending>,
}

impl Executor {
    /// A handle, and what keeps the connection while it is polled. `up` gets a message whenever a connection
    /// has been made, `audit` one for every request for which programs were run.
    pub(crate) fn start(
        access: Access,
        up: mpsc::Sender<()>,
        audit: mpsc::Sender<Ran>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let pending = Arc::new(Pending::new(audit));
        let connection = keep(access, pending.clone(), up, stop);
        (Self { pending }, connection)
    }

    /// Asks the executor. Its refusals come back unchanged.
    pub(crate) async fn ask(&self, operation: Operation) -> Result<Answer, Trouble> {
        self.pending.ask(operation).await
    }
}

/// The sentence for a request that could not be answered.
fn gone(why: &str) -> Trouble {
    Trouble::new(
        Reason::ExecutorGone,
        format!("the executor did not answer: {why}. Look at `systemctl status phoenix-executor`"),
    )
}

async fn keep(mut access: Access, pending: Arc<Pending>, up: mpsc::Sender<()>, stop: CancellationToken) {
    let mut pause = Duration::from_millis(100);
    while !stop.is_cancelled() {
        match connect(&mut access).await {
            Ok(stream) => tokio::select! {
                served = serve(stream, &pending, &up, &stop) => match served {
                    Ok(()) => pause = Duration::from_millis(100),
                    Err(trouble) => warn!("{trouble}"),
                },
                () = access.ended() => stop.cancel(),
            },
            Err(error) => {
                warn!("cannot reach the executor: {error:#}");
                pending.refuse(&gone(&format!("{error:#}")));
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = access.ended() => stop.cancel(),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    if let Access::Child(launcher) = &mut access {
        launcher.wait().await;
    }
}

async fn connect(access: &mut Access) -> anyhow::Result<UnixStream> {
    match access {
        Access::Socket(path) => Ok(UnixStream::connect(&path)
            .await
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?),
        Access::Child(launcher) => launcher.launch().await,
        Access::Kept(keeper) => keeper.launch().await,
    }
}

/// Runs one connection until it ends. Err: it never got as far as a greeting.
async fn serve(
    stream: UnixStream,
    pending: &Arc<Pending>,
    up: &mpsc::Sender<()>,
    stop: &CancellationToken,
) -> Result<(), Trouble> {
    let mut running = pending.open(stream);
    let greeting = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        why = &mut running => Err(gone(&why)),
        greeting = tokio::time::timeout(GREETING, pending.hail(Operation::Hello { version: VERSION })) => {
            greeting.unwrap_or_else(|_| Err(gone("no greeting within a minute")))
        }
    };
    let result = match greeting {
        Ok(Answer::Hello { version, package }) if version == VERSION => {
            info!("connected to phoenix-executor {package}");
            pending.ready();
            let _ = up.send(()).await;
            tokio::select! {
                () = stop.cancelled() => {}
                why = &mut running => warn!("lost the connection to the executor: {why}"),
            }
            Ok(())
        }
        Ok(Answer::Hello { version, .. }) => Err(gone(&format!(
            "it speaks version {version} of the protocol, this daemon speaks {VERSION}; install both from the \
             same release"
        ))),
        Ok(_) => Err(gone("its greeting makes no sense")),
        Err(trouble) => Err(trouble),
    };
    pending.close(&gone("the connection ended"));
    result
}
