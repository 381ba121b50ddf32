//! The system calls that have no safe form elsewhere. The only module of the workspace with unsafe code.
#![expect(unsafe_code, reason = "process set-up needs calls that no safe interface offers")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Highest signal number of Linux (signal(7): real-time signals end at 64).
const LAST_SIGNAL: libc::c_int = 64;

/// Gives every signal its default meaning, whatever was inherited.
pub(crate) fn default_signals() {
    for number in 1..=LAST_SIGNAL {
        // SAFETY: SIG_DFL installs no handler, so no code of ours can run in signal context. Numbers that the
        // C library or the kernel refuses (KILL, STOP, 32, 33) only make the call fail.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// Makes this process deaf to what ends a terminal session or a service, so that it is the caller who decides.
pub(crate) fn ignore_requests_to_end() {
    for number in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE] {
        // SAFETY: SIG_IGN installs no handler, so no code of ours can run in signal context.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
}

/// Closes every descriptor above standard error. For a process that just started and owns none of them.
pub(crate) fn close_inherited() -> io::Result<()> {
    close_range(0)
}

/// Marks every descriptor above standard error to be closed by the next exec. Does not allocate.
pub(crate) fn close_on_exec() -> io::Result<()> {
    close_range(libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range(2) takes three integers and touches no memory. With CLOEXEC it closes nothing now.
    // Without it, the only caller is `close_inherited`, which runs first thing in a fresh process: no value of
    // this process owns a descriptor above 2 at that point.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `prepare` between fork and exec. It must make system calls only: no allocation, no locks.
pub(crate) fn between_fork_and_exec(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the supervisor, the only user, is single-threaded, so the child's copy of memory and locks is in
    // a consistent state; and the closure it passes makes system calls only.
    unsafe { command.pre_exec(prepare) };
}
