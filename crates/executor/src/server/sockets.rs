//! Where the daemon's connection comes from, and who may use it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::net::AddressFamily;
use rustix::net::sockopt;
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

/// User that the daemon runs as.
const DAEMON_USER: &str = "phoenix-certd";

/// What is served.
#[derive(Debug)]
pub enum Source {
    /// One end of a socket pair; whoever made it is the authority.
    Pair(UnixStream),
    /// A listening socket; peers are checked by their uid.
    Listener(UnixListener),
}

/// Why there is nothing to serve, or not for this peer.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Neither a socket pair nor a socket of systemd.
    #[error(
        "there is no socket to serve: start phoenix-executor through phoenix-executor.socket, or let \
         `phoenix-certd --standalone` start it"
    )]
    NoSocket,
    /// Standard input is not a connected unix socket.
    #[error("standard input is not a unix socket, which --stdin-socket wants: it is meant for phoenix-certd")]
    NotASocket,
    /// The descriptor that systemd passed cannot be taken over.
    #[error(
        "the socket passed by systemd cannot be taken over: {0}. Set `StandardInput=socket` in the unit, or allow \
         the system call pidfd_getfd"
    )]
    Handover(io::Error),
    /// The peer is another user.
    #[error("user {0} may not use the executor: only root, `{DAEMON_USER}` and the executor's own user may")]
    Stranger(u32),
    /// The system refused an operation on the socket.
    #[error("the socket cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Source {
    /// The connected socket on standard input.
    pub fn stdin() -> Result<Self, SocketError> {
        let fd = std::io::stdin().as_fd().try_clone_to_owned()?;
        if sockopt::socket_domain(&fd).ok() != Some(AddressFamily::UNIX)
            || sockopt::socket_acceptconn(&fd).ok() != Some(false)
        {
            return Err(SocketError::NotASocket);
        }
        let stream = UnixStream::from(fd);
        stream.set_nonblocking(false)?;
        Ok(Self::Pair(stream))
    }

    /// The listening socket from systemd: standard input with `StandardInput=socket`, of which nothing else tells
    /// (systemd.exec(5)), else descriptor 3.
    pub fn systemd() -> Result<Self, SocketError> {
        let stdin = std::io::stdin();
        let fd = if sockopt::socket_acceptconn(&stdin).ok() == Some(true) {
            stdin.as_fd().try_clone_to_owned()?
        } else {
            let passed = sd_notify::listen_fds()?.next().ok_or(SocketError::NoSocket)?;
            duplicate(passed).map_err(SocketError::Handover)?
        };
        if sockopt::socket_domain(&fd).ok() != Some(AddressFamily::UNIX)
            || sockopt::socket_acceptconn(&fd).ok() != Some(true)
        {
            return Err(SocketError::NoSocket);
        }
        let listener = UnixListener::from(fd);
        listener.set_nonblocking(false)?;
        Ok(Self::Listener(listener))
    }
}

/// A descriptor known only by its number, owned. The kernel duplicates it, so that no unsafe claim of ownership
/// is needed.
fn duplicate(number: i32) -> io::Result<OwnedFd> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(own, number, PidfdGetfdFlags::empty())?)
}

/// Refuses peers that are neither root nor the daemon's user nor the executor's own.
pub(super) fn check_peer(stream: &UnixStream) -> Result<(), SocketError> {
    let peer = sockopt::socket_peercred(stream).map_err(io::Error::from)?.uid.as_raw();
    let own = rustix::process::geteuid().as_raw();
    if peer == 0 || peer == own || daemon_uid() == Some(peer) {
        return Ok(());
    }
    Err(SocketError::Stranger(peer))
}

/// Looked up for each connection: the user may be made after the executor was started.
fn daemon_uid() -> Option<u32> {
    nix::unistd::User::from_name(DAEMON_USER).ok().flatten().map(|user| user.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_user_is_let_in() {
        let (one, _other) = UnixStream::pair().unwrap();
        check_peer(&one).unwrap();
    }

    #[test]
    fn a_descriptor_known_by_number_is_duplicated() {
        use std::io::{Read, Write};
        use std::os::fd::AsRawFd;
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut copy = UnixStream::from(duplicate(one.as_raw_fd()).unwrap());
        drop(one);
        copy.write_all(b"x").unwrap();
        let mut byte = [0];
        other.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert!(duplicate(1_000_000).is_err());
    }
}
