//! Running, stopped or absent.

use std::time::Duration;

use phoenix_core::manifest::Guest;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_sandbox::CommandSpec;

use crate::hypervisor::Hypervisor;

/// State of a guest as `pct status` and `qm status` tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestState {
    /// It runs.
    Running,
    /// It is switched off.
    Stopped,
    /// There is none of that number on this node.
    Absent,
    /// Another word of the hypervisor (`paused`, `suspended`, `prelaunch`).
    Other(String),
}

/// Asks for the state of a guest.
///
/// # Errors
/// The program failed, or said nothing that could be understood.
pub fn of(hypervisor: &Hypervisor<'_>, guest: Guest) -> Result<GuestState, Trouble> {
    let argv = [hypervisor.program(guest.kind).to_owned(), "status".into(), guest.id.to_string()];
    match hypervisor.run(&CommandSpec::new(argv).timeout(Duration::from_secs(30))) {
        Ok(said) => parse(&said.stdout).ok_or_else(|| {
            Trouble::new(
                Reason::CommandFailed,
                format!("the state of {guest} is not in the answer of `status`"),
            )
        }),
        Err(trouble) if trouble.reason == Reason::GuestAbsent => Ok(GuestState::Absent),
        Err(trouble) => Err(trouble),
    }
}

/// Reads `status: running`. With `--verbose` there are more lines, which do not matter.
fn parse(stdout: &str) -> Option<GuestState> {
    let word = stdout.lines().find_map(|line| line.strip_prefix("status:"))?.trim();
    Some(match word {
        "" => return None,
        "running" => GuestState::Running,
        "stopped" => GuestState::Stopped,
        other => GuestState::Other(other.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_from_its_line() {
        let cases = [
            ("status: running\n", Some(GuestState::Running)),
            ("name: x\nstatus: stopped\nvmid: 5\n", Some(GuestState::Stopped)),
            ("status: paused", Some(GuestState::Other("paused".into()))),
            ("status:\n", None),
            ("running", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
