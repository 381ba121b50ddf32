//! Which system calls a command may make.
//!
//! A list of refused calls (EPERM), and everything that is newer than this list is answered with ENOSYS, as an
//! older kernel would: programs are prepared for that, and nothing unknown is let through. The latter also ends
//! the x32 calling convention of x86-64, whose numbers start far above.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};

use crate::profile::Network;

/// `mseal`, the same on all architectures (Linux 6.10).
const NEWEST_KNOWN: u32 = 462;

/// Refused to every command: it would change what this process's family, the caller included, sees of the file system.
const MOUNTS: &[i64] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
];

/// Refused to every confined command: what changes the machine, looks into other processes, or is known for
/// breaking out.
const REFUSED: &[i64] = &[
    // Modules, boot, swap, accounting, quotas, kernel log, host names, other roots.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_nfsservctl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_chroot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Clocks.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_lookup_dcookie,
    // Large attack surface, no use.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
];

/// Calls that exist on x86-64 only.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Name spaces that can be made with clone(2) or unshare(2).
const NAME_SPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];
/// Also a name space, for unshare(2) only: its bit means something else in clone(2).
const NEW_TIME: u64 = 0x80;

/// What a filter lets through.
pub(super) struct Calls {
    /// Making and entering name spaces.
    pub(super) name_spaces: bool,
    /// Sockets beyond unix ones.
    pub(super) network: Network,
}

/// The filter as the kernel takes it.
pub(super) fn filter(calls: &Calls) -> io::Result<BpfProgram> {
    let mut program = unknown_calls();
    program.extend(refusing(rules(calls).map_err(|error| failed(&error))?)?);
    Ok(program)
}

/// The filter of a command that may do everything else.
pub(super) fn no_mounts() -> io::Result<BpfProgram> {
    refusing(MOUNTS.iter().map(|&call| (call, Vec::new())).collect())
}

fn refusing(rules: Rules) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH.try_into().map_err(|error| failed(&error))?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(|error| failed(&error))?;
    BpfProgram::try_from(filter).map_err(|error| failed(&error))
}

fn failed(error: &seccompiler::BackendError) -> io::Error {
    io::Error::other(format!("cannot build the system call filter: {error}"))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules(calls: &Calls) -> Result<Rules, seccompiler::BackendError> {
    // A call without a rule about its arguments is refused whatever they are.
    let refused = MOUNTS.iter().chain(REFUSED).chain(REFUSED_HERE);
    let mut rules: Rules = refused.map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_personality, vec![SeccompRule::new(vec![is_not(0)?, is_not(0xffff_ffff)?])?]);
    let families = allowed_families(calls.network);
    let others = families.iter().map(|&family| is_not(family as u64)).collect::<Result<Vec<_>, _>>()?;
    let others = SeccompRule::new(others)?;
    rules.insert(libc::SYS_socket, vec![others.clone()]);
    rules.insert(libc::SYS_socketpair, vec![others]);
    if calls.name_spaces {
        rules.insert(libc::SYS_unshare, vec![SeccompRule::new(vec![has_bit(NEW_TIME)?])?]);
    } else {
        rules.insert(libc::SYS_setns, Vec::new());
        rules.insert(libc::SYS_unshare, Vec::new());
        let each = NAME_SPACES.iter().map(|&flag| SeccompRule::new(vec![has_bit(flag as u64)?]));
        rules.insert(libc::SYS_clone, each.collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

fn allowed_families(network: Network) -> &'static [libc::c_int] {
    match network {
        Network::None => &[libc::AF_UNIX],
        Network::Host => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
    }
}

fn is_not(value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(0, Length::Dword, Compare::Ne, value)
}

fn has_bit(bit: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(0, Length::Dword, Compare::MaskedEq(bit), bit)
}

/// In front of the rules: what is unknown does not exist, and neither does clone3, whose flags a filter cannot
/// see (programs fall back to clone).
fn unknown_calls() -> BpfProgram {
    let instruction = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    vec![
        // The number of the call is the first word of `struct seccomp_data`.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, 0, NEWEST_KNOWN),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_clone3 as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, absent),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_every_kind_can_be_built_and_are_short_enough() {
        for name_spaces in [false, true] {
            for network in [Network::None, Network::Host] {
                let program = filter(&Calls { name_spaces, network }).unwrap();
                // BPF_MAXINSNS of the kernel.
                assert!(program.len() < 4096, "{} instructions", program.len());
            }
        }
        assert!(no_mounts().unwrap().len() < 100);
    }
}
