//! The error texts of `pct`, `qm`, `lxc-attach` and the guest agent.
//!
//! Only whole lines are believed, and only those of the program that was run. Below `pct exec` the command in the
//! container writes to the same stream and could print the same line: there a text is a claim, which
//! [`crate::state`] confirms or refutes.

use phoenix_core::manifest::{Guest, GuestKind};
use phoenix_core::reason::Reason;

/// What `qm` or `pct` itself said about why nothing happened, if it is something known.
pub fn of_program(stderr: &str, kind: GuestKind, guest: Option<Guest>) -> Option<Reason> {
    let id = guest.map(|guest| guest.id.to_string());
    stderr.lines().map(str::trim).find_map(|line| match kind {
        GuestKind::Lxc => of_pct(line, id.as_deref()),
        GuestKind::Vm => of_qm(line, id.as_deref()),
    })
}

/// The line is these two parts with the number of the guest between them.
fn says(line: &str, before: &str, id: Option<&str>, after: &str) -> bool {
    let number = line.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    number.is_some_and(|number| match id {
        Some(id) => number == id,
        None => !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()),
    })
}

/// `PVE::AbstractConfig`: the configuration belongs to another node, or to nobody.
fn is_absent(line: &str, folder: &str, id: Option<&str>) -> bool {
    let Some(path) =
        line.strip_prefix("Configuration file '").and_then(|rest| rest.strip_suffix("' does not exist"))
    else {
        return false;
    };
    path.rsplit_once(folder).is_some_and(|(_, file)| says(file, "/", id, ".conf"))
}

/// `PVE::AbstractConfig`: a lock in the configuration, or somebody who is changing it.
fn is_locked(line: &str, what: &str) -> bool {
    let config =
        line.strip_prefix(what).is_some_and(|rest| rest.starts_with(" is locked (") && rest.ends_with(')'));
    config || (line.starts_with("can't lock file '") && line.ends_with("got timeout"))
}

fn of_pct(line: &str, id: Option<&str>) -> Option<Reason> {
    if is_absent(line, "lxc", id) {
        return Some(Reason::GuestAbsent);
    }
    if says(line, "container '", id, "' not running!")
        || says(line, "unable to get PID for CT ", id, " (not running?)")
        || line == "can only push files to a running CT"
    {
        return Some(Reason::GuestOff);
    }
    is_locked(line, "CT").then_some(Reason::GuestLocked)
}

fn of_qm(line: &str, id: Option<&str>) -> Option<Reason> {
    if is_absent(line, "qemu-server", id) {
        return Some(Reason::GuestAbsent);
    }
    if says(line, "VM ", id, " is not running") || says(line, "VM ", id, " not running") {
        return Some(Reason::GuestOff);
    }
    if is_locked(line, "VM") {
        return Some(Reason::GuestLocked);
    }
    if let Some(error) = line.strip_prefix("Agent error: ") {
        return of_agent(error);
    }
    let silent = ["QEMU guest agent is not running", "No QEMU guest agent configured"].contains(&line);
    (silent || is_unanswered(line, id)).then_some(Reason::AgentMissing)
}

/// `VM 1001 qmp command 'guest-exec' failed - got timeout`: the agent did not answer, or its socket is gone.
fn is_unanswered(line: &str, id: Option<&str>) -> bool {
    line.split_once(" qmp command 'guest-")
        .is_some_and(|(machine, rest)| says(machine, "VM ", id, "") && rest.contains("' failed - "))
}

/// What the agent itself answered (`qmp_dispatch` of QEMU, `guest-exec` of its agent).
fn of_agent(error: &str) -> Option<Reason> {
    if error.contains("has been disabled") && error.contains("frozen") {
        // For as long as a backup or a snapshot keeps the file systems still.
        return Some(Reason::GuestLocked);
    }
    let refused = ["has been disabled", "is not allowed", "has not been found"];
    if refused.iter().any(|words| error.contains(words)) {
        return Some(Reason::AgentBlocked);
    }
    error.starts_with("Failed to execute child process").then_some(Reason::CommandNotStarted)
}

/// What `lxc-attach` said, if it is what failed and not the command in the container.
pub fn of_attach(stderr: &str) -> Option<Reason> {
    const GONE: [&str; 4] =
        ["Failed to get init pid", "Connection refused", "No such process", "Failed to get attach context"];
    let own: Vec<&str> = stderr.lines().filter(|line| line.starts_with("lxc-attach: ")).collect();
    if own.is_empty() {
        return None;
    }
    let gone = own.iter().any(|line| GONE.iter().any(|text| line.contains(text)));
    Some(if gone { Reason::GuestOff } else { Reason::CommandNotStarted })
}

/// Advice for a reason, where there is any.
pub fn advice(reason: Reason, guest: Option<Guest>) -> Option<String> {
    let id = guest.map_or_else(|| "ID".to_owned(), |guest| guest.id.to_string());
    let lxc = guest.is_none_or(|guest| guest.kind == GuestKind::Lxc);
    let program = if lxc { "pct" } else { "qm" };
    Some(match reason {
        Reason::GuestAbsent => "it is not on this node".to_owned(),
        Reason::GuestOff => format!("start it with `{program} start {id}`"),
        Reason::GuestLocked => {
            format!("a backup or a migration holds its lock; if neither runs, `{program} unlock {id}`")
        }
        Reason::AgentMissing => format!(
            "install and start qemu-guest-agent in the guest and enable it with `qm set {id} --agent enabled=1`"
        ),
        Reason::AgentBlocked => "allow guest-exec in the guest agent's configuration \
             (/etc/sysconfig/qemu-ga or /etc/qemu/qemu-ga.conf in the guest)"
            .to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: Option<Guest> = Some(Guest { kind: GuestKind::Vm, id: 1001 });
    const LXC: Option<Guest> = Some(Guest { kind: GuestKind::Lxc, id: 102 });

    #[test]
    fn known_texts_of_qm_have_their_reason() {
        let cases = [
            ("No QEMU guest agent configured", Some(Reason::AgentMissing)),
            ("VM 1001 is not running", Some(Reason::GuestOff)),
            ("VM 1001 not running", Some(Reason::GuestOff)),
            ("VM 1002 is not running", None),
            ("VM 11001 is not running", None),
            ("QEMU guest agent is not running", Some(Reason::AgentMissing)),
            ("VM 1001 qmp command 'guest-ping' failed - got timeout", Some(Reason::AgentMissing)),
            (
                "VM 1001 qmp command 'guest-exec' failed - unable to connect to VM 1001 qga socket - timeout after 31 retries",
                Some(Reason::AgentMissing),
            ),
            ("VM 1001 qmp command 'stop' failed - got timeout", None),
            ("Agent error: Command guest-exec has been disabled", Some(Reason::AgentBlocked)),
            (
                "Agent error: Command guest-exec has been disabled: the command is not allowed",
                Some(Reason::AgentBlocked),
            ),
            (
                "Agent error: The command guest-exec has been disabled for this instance",
                Some(Reason::AgentBlocked),
            ),
            ("Agent error: The command guest-exec has not been found", Some(Reason::AgentBlocked)),
            (
                "Agent error: Command guest-exec has been disabled: the agent is in frozen state",
                Some(Reason::GuestLocked),
            ),
            (
                "Agent error: Failed to execute child process “foo” (No such file or directory)",
                Some(Reason::CommandNotStarted),
            ),
            ("Agent error: Invalid parameter 'pid'", None),
            (
                "Configuration file 'nodes/pve/qemu-server/1001.conf' does not exist",
                Some(Reason::GuestAbsent),
            ),
            ("Configuration file 'nodes/pve/qemu-server/1002.conf' does not exist", None),
            ("Configuration file 'nodes/pve/lxc/1001.conf' does not exist", None),
            ("VM is locked (backup)", Some(Reason::GuestLocked)),
            ("VM is locked", None),
            (
                "can't lock file '/var/lock/qemu-server/lock-1001.conf' - got timeout",
                Some(Reason::GuestLocked),
            ),
            ("container '1001' not running!", None),
            ("noise\n  VM 1001 is not running\n", Some(Reason::GuestOff)),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(of_program(text, GuestKind::Vm, VM), expected, "{text}");
        }
        for (text, expected) in [
            ("VM 7 is not running", Some(Reason::GuestOff)),
            ("VM x is not running", None),
            ("VM  is not running", None),
        ] {
            assert_eq!(of_program(text, GuestKind::Vm, None), expected, "{text}");
        }
    }

    #[test]
    fn known_texts_of_pct_have_their_reason() {
        let cases = [
            ("Configuration file 'nodes/pve/lxc/102.conf' does not exist", Some(Reason::GuestAbsent)),
            ("container '102' not running!", Some(Reason::GuestOff)),
            ("can only push files to a running CT", Some(Reason::GuestOff)),
            ("unable to get PID for CT 102 (not running?)", Some(Reason::GuestOff)),
            ("CT is locked (migrate)", Some(Reason::GuestLocked)),
            ("container '103' not running!", None),
            ("my log: container '102' not running!", None),
            ("container '102' not running! starting it", None),
            ("nginx is not running", None),
            ("QEMU guest agent is not running", None),
            ("VM 102 is not running", None),
            ("Agent error: Command guest-exec has been disabled", None),
            ("Configuration file '/etc/nginx/nginx.conf' does not exist", None),
            ("the database is locked (backup)", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(of_program(text, GuestKind::Lxc, LXC), expected, "{text}");
        }
    }

    #[test]
    fn an_attach_that_failed_is_told_from_a_command_that_did() {
        let stopped = "lxc-attach: 102: ../src/lxc/attach.c: get_attach_context: 405 Connection refused - \
                       Failed to get init pid\nlxc-attach: 102: attach.c: lxc_attach: 1469 x";
        let missing = "lxc-attach: 102: attach.c: lxc_attach_run_command: 1841 No such file or directory - \
                       Failed to exec \"foo\"";
        assert_eq!(of_attach(stopped), Some(Reason::GuestOff));
        assert_eq!(of_attach(missing), Some(Reason::CommandNotStarted));
        assert_eq!(of_attach("Job for traefik.service failed"), None);
    }
}
