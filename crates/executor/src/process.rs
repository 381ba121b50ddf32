//! Hardening of the process itself, as far as it can be done from inside.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// No core files, no reading of our memory by processes of the same user, files for nobody else unless their
/// mode is set.
pub(crate) fn harden() -> io::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = rustix::process::setrlimit(Resource::Core, none) {
        // A service's system call filter may forbid it; the line before prevents core files all the same.
        tracing::debug!(%error, "the size limit of core files stays as it is");
    }
    Ok(())
}

/// Requests to end the process, taken by one thread instead of killing it in the middle of something.
pub(crate) struct Endings(SigSet);

impl Endings {
    /// Holds the signals back. To be called while there is only one thread: the others inherit it. Child
    /// processes do too, and the supervisor of a command undoes it.
    pub(crate) fn hold_back() -> io::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.add(Signal::SIGINT);
        signals.thread_block()?;
        Ok(Self(signals))
    }

    /// Waits for such a request and gives its name.
    pub(crate) fn wait(&self) -> io::Result<&'static str> {
        Ok(self.0.wait()?.as_str())
    }
}

/// Leaves the terminal's session: Ctrl-C is for the daemon, which lets the executor finish what it does by closing
/// the connection.
pub(crate) fn leave_terminal() {
    // Refused to the leader of a process group, which a terminal does not signal by surprise.
    let _ = rustix::process::setsid();
}
