//! What a failure is owed to: the guest's condition, or the command.
//!
//! A container that is stopped, moved or frozen by a backup looks like a command that failed, was killed or hangs;
//! and a command in a container can print what `pct` prints for one that is switched off. So after a failure the
//! hypervisor is asked once: a guest that cannot be used now is waited for, and costs no attempts.

use phoenix_core::manifest::{Guest, GuestKind};
use phoenix_core::reason::{Reason, Trouble};

use crate::hypervisor::Hypervisor;
use crate::{state, words};

/// The failure as the guest's condition explains it. `otherwise` is what it is in a container that runs and that
/// nothing holds: there, what looks like the words of `pct` is the command's.
pub(crate) fn reviewed(
    hypervisor: &Hypervisor<'_>,
    guest: Guest,
    trouble: Trouble,
    otherwise: impl FnOnce() -> Option<Trouble>,
) -> Trouble {
    if !is_doubtful(guest.kind, trouble.reason) {
        return trouble;
    }
    // Whoever cannot be asked explains nothing.
    let Ok(condition) = state::of(hypervisor, guest) else { return trouble };
    let held = condition.lock.as_ref().filter(|_| may_be_held_up(trouble.reason));
    let explanation = condition
        .hindrance()
        .or_else(|| held.map(|lock| (Reason::GuestLocked, format!("is locked ({lock})"))));
    match explanation {
        Some((reason, _)) if reason == trouble.reason => trouble,
        Some((reason, what)) => explained(&trouble, guest, reason, &what),
        None => otherwise().unwrap_or(trouble),
    }
}

/// `qm` says on a stream of its own that a machine is off; in a container every failure may be its end.
fn is_doubtful(kind: GuestKind, reason: Reason) -> bool {
    match reason {
        Reason::CommandFailed | Reason::CommandKilled | Reason::CommandTimeout => true,
        Reason::AgentMissing => kind == GuestKind::Vm,
        Reason::CommandNotStarted | Reason::GuestOff | Reason::GuestAbsent | Reason::GuestLocked => {
            kind == GuestKind::Lxc
        }
        _ => false,
    }
}

/// A guest that runs although it is locked may be frozen for a while. A command that came to an end was not.
fn may_be_held_up(reason: Reason) -> bool {
    !matches!(reason, Reason::CommandFailed | Reason::CommandKilled)
}

fn explained(trouble: &Trouble, guest: Guest, reason: Reason, what: &str) -> Trouble {
    let mut message = format!("{}; the guest {what}", trouble.message);
    if let Some(advice) = words::advice(reason, Some(guest)) {
        message = format!("{message}; {advice}");
    }
    Trouble::new(reason, message)
}
