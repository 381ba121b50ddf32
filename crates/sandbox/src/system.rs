//! The system calls that have no safe form elsewhere. The only module of the workspace with unsafe code.
#![expect(unsafe_code, reason = "process set-up needs calls that no safe interface offers")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Highest signal number of Linux (signal(7): real-time signals end at 64).
const LAST_SIGNAL: libc::c_int = 64;

/// Gives every signal its default meaning and lets every one through, whatever was inherited. Does not allocate.
pub(crate) fn default_signals() {
    // The kernel's `struct sigaction` with everything zero: SIG_DFL, no flags, empty mask. The C library's own
    // call is not used, for it refuses the two signals that it keeps to itself, which are inherited as well.
    const DEFAULT: [u64; 4] = [0; 4];
    const NONE: [u64; 1] = [0];
    const MASK_SIZE: usize = 8;
    let nowhere = std::ptr::null_mut::<libc::c_void>();
    for number in 1..=LAST_SIGNAL {
        // SAFETY: rt_sigaction(2) reads the structure, at most 32 bytes of it on any architecture, and writes
        // nothing as the old one is not asked for. SIG_DFL installs no handler, so no code of ours can run in
        // signal context. KILL and STOP are refused, which changes nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, DEFAULT.as_ptr(), nowhere, MASK_SIZE) };
    }
    // SAFETY: rt_sigprocmask(2) reads the 8 bytes of the set, and writes nothing as the old one is not asked for.
    // A caller that takes its signals in one thread blocks them in all, and a blocked signal stays so over exec.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, NONE.as_ptr(), nowhere, MASK_SIZE) };
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

/// Moves this process into new name spaces: unshare(2).
pub(crate) fn unshare(kinds: UnshareFlags) -> io::Result<()> {
    // A table of descriptors is shared with other threads only, of which a supervisor has none; keeping it shared
    // rules out the one danger of this call altogether.
    let kinds = kinds.difference(UnshareFlags::FILES);
    // SAFETY: the table of descriptors stays as it is.
    Ok(unsafe { unshare_unsafe(kinds) }?)
}

/// Makes a mount read-only or writable, with `below` all mounts in it too: mount_setattr(2). An empty path means
/// `directory` itself.
pub(crate) fn set_read_only(
    directory: impl AsFd,
    path: &Path,
    read_only: bool,
    below: bool,
) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut flags = libc::AT_EMPTY_PATH;
    if below {
        flags |= libc::AT_RECURSIVE;
    }
    let (set, clear) = if read_only { (libc::MOUNT_ATTR_RDONLY, 0) } else { (0, libc::MOUNT_ATTR_RDONLY) };
    let change = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    // SAFETY: the path ends with NUL and the structure has the size that is told; both outlive the call, which
    // only reads them. The descriptor is open for as long as `directory` is borrowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory.as_fd().as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
