//! Standalone mode started as root: this process keeps root, the daemon does not.
//!
//! The daemon runs as user `phoenix-certd` in a child. It cannot start an executor, which needs root, so it asks
//! this process for one: a byte out, a connection (a descriptor, unix(7) `SCM_RIGHTS`) back. That is all this
//! process ever does for it, and the program it starts is fixed before the daemon exists.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::User;
use phoenix_core::settings::Settings;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, sendmsg,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::executor::Launcher;
use crate::options::{KEPT, Options};

/// The user that the daemon runs as.
const USER: &str = "phoenix-certd";

/// Runs the daemon as its own user and starts executors for it, until the daemon ends.
pub(crate) fn keep(options: &Options, settings: &Settings) -> Result<ExitCode> {
    let user = User::from_name(USER).ok().flatten().with_context(|| {
        format!(
            "started as root, the daemon runs as user {USER}, which does not exist: install \
             /usr/lib/sysusers.d/phoenix-certd.conf and run systemd-sysusers, or say --allow-root"
        )
    })?;
    give(settings.state_dir.as_path(), 0o700, &user)?;
    give(&settings.control_socket.parent(), 0o755, &user)?;
    let launcher = Launcher::new(options, settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(launcher, &user))
}

/// Makes a directory for the daemon, unless it is there. Those above it stay root's.
fn give(dir: &Path, mode: u32, user: &User) -> Result<()> {
    if dir.exists() {
        return Ok(());
    }
    let failed = || format!("cannot make {} for {USER}", dir.display());
    if let Some(above) = dir.parent() {
        std::fs::create_dir_all(above).with_context(failed)?;
    }
    std::fs::DirBuilder::new().mode(mode).create(dir).with_context(failed)?;
    std::os::unix::fs::chown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).with_context(failed)
}

async fn serve(mut launcher: Launcher, user: &User) -> Result<ExitCode> {
    let (ours, theirs) = StdStream::pair().context("cannot make a socket pair")?;
    ours.set_nonblocking(true)?;
    let mut requests = UnixStream::from_std(ours)?;
    let mut daemon = start_daemon(theirs, user)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for signals")?;
    let mut byte = [0];
    loop {
        tokio::select! {
            ended = daemon.wait() => {
                let status = ended.context("cannot wait for the daemon")?;
                launcher.wait().await;
                return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            // The daemon stops when this connection ends, and then its own end is waited for above.
            _ = terminate.recv() => hang_up(&mut requests).await,
            _ = interrupt.recv() => hang_up(&mut requests).await,
            _ = hangup.recv() => {
                if let Some(pid) = daemon.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                    let _ = kill_process(pid, Signal::HUP);
                }
            }
            asked = requests.read(&mut byte) => match asked {
                Ok(1) => answer(&mut launcher, &requests).await?,
                Ok(_) | Err(_) => {
                    let _ = daemon.wait().await;
                }
            }
        }
    }
}

/// Tells the daemon to end. One that is gone already needs no telling.
async fn hang_up(requests: &mut UnixStream) {
    let _ = requests.shutdown().await;
}

fn start_daemon(theirs: StdStream, user: &User) -> Result<Child> {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Options come before a subcommand, and there is none here.
    arguments.push(format!("--{KEPT}").into());
    let child = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .spawn()
        .context("cannot start the daemon")?;
    info!("the daemon runs as {USER}, process {}", child.id().unwrap_or_default());
    Ok(child)
}

/// Starts an executor and sends its connection; a lone byte says that it could not be started.
async fn answer(launcher: &mut Launcher, to: &UnixStream) -> Result<()> {
    let connection = match launcher.launch().await {
        Ok(connection) => Some(connection),
        Err(error) => {
            warn!("{error:#}");
            None
        }
    };
    to.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<_> = connection.iter().map(AsFd::as_fd).collect();
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let sent = sendmsg(to, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(sent)
    })
    .await
    .context("cannot send the executor's connection to the daemon")?;
    Ok(())
}

/// The daemon's end of the connection to its keeper.
pub(crate) struct Keeper(UnixStream);

impl Keeper {
    /// The connection that the keeper gave us as standard input.
    pub(crate) fn from_stdin() -> Result<Self> {
        let fd = std::io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?;
        let stream = StdStream::from(fd);
        stream.set_nonblocking(true)?;
        Ok(Self(UnixStream::from_std(stream).context("standard input is no connection to a keeper")?))
    }

    /// Resolves when the keeper is gone or wants the daemon to end. It never speaks without being asked.
    pub(crate) async fn ended(&self) {
        let peek = || Ok(recv(&self.0, &mut [0_u8; 1], RecvFlags::PEEK)?);
        let _ = self.0.async_io(Interest::READABLE, peek).await;
    }

    /// Asks for an executor and returns the connection to it.
    pub(crate) async fn launch(&mut self) -> Result<UnixStream> {
        self.0.write_all(b"x").await.context("the keeper is gone")?;
        let stream = &self.0;
        let received = stream
            .async_io(Interest::READABLE, || {
                let mut byte = [0];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let flags = RecvFlags::CMSG_CLOEXEC;
                let message = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
                let descriptor = ancillary.drain().find_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                    _ => None,
                });
                Ok((message.bytes, descriptor))
            })
            .await
            .context("the keeper did not answer")?;
        match received {
            (0, _) => bail!("the keeper is gone"),
            (_, None) => bail!("the keeper could not start the executor; its log says why"),
            (_, Some(descriptor)) => {
                let stream = StdStream::from(descriptor);
                stream.set_nonblocking(true)?;
                Ok(UnixStream::from_std(stream)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::executor::{Access, Executor};

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_never_reached_an_executor_ends_with_its_keeper_too() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (up, _ups) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let (_executor, connection) =
            Executor::start(Access::Kept(Keeper(ours)), up, mpsc::channel(1).0, stop.clone());
        connection.await;
        assert!(stop.is_cancelled());
    }
}
