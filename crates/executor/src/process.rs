//! Hardening of the process itself, as far as it can be done from inside.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use rustix::fs::Mode;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// No key in swap space, no core files, no reading of our memory by processes of the same user, files for nobody else unless their
/// mode is set.
pub(crate) fn harden() -> io::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if let Err(why) = lock_memory() {
        tracing::warn!(
            "keys in memory may be written to swap space: {why}. Set `LimitMEMLOCK=infinity` in \
             phoenix-executor.service, or use no swap space or an encrypted one"
        );
    }
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = rustix::process::setrlimit(Resource::Core, none) {
        // A service's system call filter may forbid it; the line before prevents core files all the same.
        tracing::debug!(%error, "the size limit of core files stays as it is");
    }
    Ok(())
}

/// Lets each command have a control group of its own, if systemd has given this service a part of the tree of groups
/// to itself. Without one the service's limits are the commands' limits, and its end is theirs.
pub(crate) fn make_room_for_commands() {
    match phoenix_sandbox::make_room_for_groups() {
        Ok(true) => {}
        Ok(false) => tracing::debug!("commands have no control groups of their own: none is delegated"),
        Err(error) => tracing::warn!(
            "commands have no control groups of their own ({error}). `ReadWritePaths=` in phoenix-executor.service must \
             name the service's own directory below /sys/fs/cgroup: another one where `Slice=` was changed"
        ),
    }
}

/// Why memory is not locked.
#[derive(Debug, thiserror::Error)]
enum Unlocked {
    #[error("the limit of locked memory is {0} bytes and the capability CAP_IPC_LOCK is missing")]
    Limit(u64),
    #[error("the memory cannot be locked ({0})")]
    System(#[from] rustix::io::Errno),
}

/// Keeps every page in memory once it is there: keys are in buffers of the cryptographic library and of the parsers,
/// too, so that it must be all of them. Programs that are started do not inherit it.
fn lock_memory() -> Result<(), Unlocked> {
    let limit = rustix::process::getrlimit(Resource::Memlock).current;
    let privileged =
        rustix::thread::capabilities(None)?.effective.contains(rustix::thread::CapabilitySet::IPC_LOCK);
    match limit {
        // A limit would make new threads and allocations fail as soon as it is reached.
        Some(bytes) if !privileged => Err(Unlocked::Limit(bytes)),
        _ => Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?),
    }
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
