//! Why there is no answer from the daemon.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no answer from the daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// There is no socket.
    #[error(
        "the daemon is not running: there is no socket {}; start it (systemctl start phoenix-certd) or name \
         its socket with --socket",
        .socket.display()
    )]
    NoSocket {
        /// Where it was looked for.
        socket: PathBuf,
    },
    /// The socket is left over from a daemon that ended.
    #[error(
        "the daemon is not running: nothing listens on {}; start it (systemctl start phoenix-certd)",
        .socket.display()
    )]
    NobodyListens {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket is for others.
    #[error(
        "permission denied on {}: join the group `phoenix-certd` to read (usermod -aG phoenix-certd USER, then \
         log in again), or use root to command",
        .socket.display()
    )]
    Permission {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection failed otherwise.
    #[error("cannot connect to the daemon on {}: {source}", .socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection broke, or what came over it is not an answer.
    #[error("the connection to the daemon on {} was lost: {why}", .socket.display())]
    Lost {
        /// The socket.
        socket: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Nothing came in time.
    #[error("the daemon on {} does not answer: nothing came within {} s", .socket.display(), .waited.as_secs_f64())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
}

impl Unreachable {
    /// The reason of a failed connect(2).
    pub(super) fn connecting(socket: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoSocket { socket },
            io::ErrorKind::ConnectionRefused => Self::NobodyListens { socket },
            io::ErrorKind::PermissionDenied => Self::Permission { socket },
            _ => Self::Connect { socket, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_socket_names_the_group_to_join() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Unreachable::connecting("/run/x.sock".into(), denied);
        assert_eq!(
            error.to_string(),
            "permission denied on /run/x.sock: join the group `phoenix-certd` to read \
             (usermod -aG phoenix-certd USER, then log in again), or use root to command"
        );
    }
}
