//! The control API: HTTP on a unix socket.
//!
//! Who may connect is decided by the socket's mode (owner and group `phoenix-certd`); who may command by the
//! peer's credentials (`SO_PEERCRED`, unix(7)): root and the user that the daemon runs as.

mod past;
mod peer;
mod routes;

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::Message;
use crate::history::History;

/// How long clients may take to finish when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(2);
/// The group whose members may read.
const READERS: &str = "phoenix-certd";

/// Makes the socket. A stale one is replaced; one that answers belongs to another daemon.
pub(crate) async fn listen(path: &Path) -> Result<UnixListener> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    match UnixStream::connect(path).await {
        Ok(_) => bail!("another daemon answers on {}", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => {
            if !std::fs::symlink_metadata(path).is_ok_and(|facts| facts.file_type().is_socket()) {
                bail!("{} is not a socket; move it away or choose another control_socket", path.display());
            }
            std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
        }
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    // A unit's runtime directory gives its files the right group already, and its daemon may not give any away.
    if let Ok(Some(group)) = nix::unistd::Group::from_name(READERS)
        && group.gid.as_raw() != rustix::process::getegid().as_raw()
        && let Err(error) = std::os::unix::fs::chown(path, None, Some(group.gid.as_raw()))
    {
        warn!("members of {READERS} cannot read the status: cannot give them {}: {error}", path.display());
    }
    Ok(listener)
}

/// Serves until `stop`. Answers under way may be finished then, but not for as long as their readers please.
pub(crate) async fn serve(
    listener: UnixListener,
    messages: mpsc::Sender<Message>,
    history: History,
    stop: CancellationToken,
) {
    let service =
        routes::router(messages, history, stop.clone()).into_make_service_with_connect_info::<peer::Peer>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = served => if let Err(error) = served {
            warn!("the control socket failed: {error}");
        },
        () = patience => warn!("a client of the control socket did not finish in time"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_in_the_middle_of_a_request_does_not_hold_up_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = listen(&path).await.unwrap();
        let (messages, _inbox) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let (history, _) = History::start(dir.path()).unwrap();
        let serving = tokio::spawn(serve(listener, messages, history, stop.clone()));
        let mut client = UnixStream::connect(&path).await.unwrap();
        client.write_all(b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").await.unwrap();
        tokio::time::sleep(FAREWELL).await;
        stop.cancel();
        serving.await.unwrap();
        drop(client);
    }
}
