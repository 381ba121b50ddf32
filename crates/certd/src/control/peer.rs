//! Who is at the other end of a control connection.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

/// The user at the other end, if the kernel told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(Option<u32>);

impl Peer {
    /// Its user id.
    pub(super) fn uid(self) -> Option<u32> {
        self.0
    }

    /// Root and the daemon's own user may command.
    pub(super) fn may_command(self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        self.0.is_some_and(|uid| uid == 0 || uid == own)
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}
