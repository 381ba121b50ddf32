//! Hardening of the process itself, as far as it can be done from inside.

use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// No core files, no reading of our memory by processes of the same user, files for nobody else unless their
/// mode is set.
pub(crate) fn harden() -> io::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Leaves the terminal's session: Ctrl-C is for the daemon, which lets the executor finish what it does by closing
/// the connection.
pub(crate) fn leave_terminal() {
    // Refused to the leader of a process group, which a terminal does not signal by surprise.
    let _ = rustix::process::setsid();
}
