//! The error texts of `pct`, `qm`, `lxc-attach` and the guest agent.
//!
//! Only whole lines that name the guest itself are believed where the guest's command shares the stream, as it
//! does below `pct exec`: a hook that prints "not running" must not be taken for a guest that is switched off.

use phoenix_core::manifest::{Guest, GuestKind};
use phoenix_core::reason::Reason;

/// What `qm` or `pct` itself said about why nothing happened, if it is something known.
pub fn of_program(stderr: &str, guest: Option<Guest>) -> Option<Reason> {
    stderr.lines().map(str::trim).find_map(|line| of_line(line, guest))
}

fn of_line(line: &str, guest: Option<Guest>) -> Option<Reason> {
    let has = |part: &str| line.contains(part);
    let config = |folder: &str| {
        let file = guest.map_or_else(|| ".conf'".to_owned(), |guest| format!("/{folder}/{}.conf'", guest.id));
        has("Configuration file '") && has(&file) && has("does not exist")
    };
    let about = |before: &str, after: &str| {
        guest.map_or(has(before) && has(after), |guest| has(&format!("{before}{}{after}", guest.id)))
    };
    if config("lxc") || config("qemu-server") {
        return Some(Reason::GuestAbsent);
    }
    if about("container '", "' not running") || about("VM ", " is not running") {
        return Some(Reason::GuestOff);
    }
    if has("can only push files to a running CT") || has("unable to get PID for CT") {
        return Some(Reason::GuestOff);
    }
    if has("CT is locked (") || has("VM is locked (") || has("can't lock file '") {
        return Some(Reason::GuestLocked);
    }
    of_agent(line)
}

/// Texts that only `qm` prints.
fn of_agent(line: &str) -> Option<Reason> {
    let error = line.split_once("Agent error: ").map(|(_, error)| error);
    if let Some(error) = error {
        if error.contains("has been disabled") || error.contains("is not allowed") {
            return Some(Reason::AgentBlocked);
        }
        return error.contains("Failed to execute child process").then_some(Reason::CommandNotStarted);
    }
    let silent = ["QEMU guest agent is not running", "No QEMU guest agent configured", "got timeout"];
    silent.iter().any(|text| line.contains(text)).then_some(Reason::AgentMissing)
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
    fn known_texts_have_their_reason() {
        let cases = [
            ("No QEMU guest agent configured", VM, Some(Reason::AgentMissing)),
            ("VM 1001 is not running", VM, Some(Reason::GuestOff)),
            ("QEMU guest agent is not running", VM, Some(Reason::AgentMissing)),
            ("VM 1001 qmp command 'guest-ping' failed - got timeout", VM, Some(Reason::AgentMissing)),
            ("Agent error: Command guest-exec has been disabled", VM, Some(Reason::AgentBlocked)),
            (
                "Agent error: Command guest-exec has been disabled: the command is not allowed",
                VM,
                Some(Reason::AgentBlocked),
            ),
            (
                "Agent error: Failed to execute child process “foo” (No such file or directory)",
                VM,
                Some(Reason::CommandNotStarted),
            ),
            ("Agent error: Invalid parameter 'pid'", VM, None),
            (
                "Configuration file 'nodes/pve/qemu-server/1001.conf' does not exist",
                VM,
                Some(Reason::GuestAbsent),
            ),
            ("VM is locked (backup)", VM, Some(Reason::GuestLocked)),
            (
                "can't lock file '/var/lock/qemu-server/lock-1001.conf' - got timeout",
                VM,
                Some(Reason::GuestLocked),
            ),
            ("Configuration file 'nodes/pve/lxc/102.conf' does not exist", LXC, Some(Reason::GuestAbsent)),
            ("container '102' not running!", LXC, Some(Reason::GuestOff)),
            ("can only push files to a running CT", LXC, Some(Reason::GuestOff)),
            ("CT is locked (migrate)", LXC, Some(Reason::GuestLocked)),
            ("noise\nVM 1001 is not running\n", VM, Some(Reason::GuestOff)),
            ("VM 1001 is not running", None, Some(Reason::GuestOff)),
            ("container '103' not running!", LXC, None),
            ("nginx is not running", LXC, None),
            ("Configuration file '/etc/nginx/nginx.conf' does not exist", LXC, None),
            ("", LXC, None),
        ];
        for (text, guest, expected) in cases {
            assert_eq!(of_program(text, guest), expected, "{text}");
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
