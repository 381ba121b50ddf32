//! Running, stopped or absent, locked or not: as `pct status` and `qm status` tell it.

use std::time::Duration;

use phoenix_core::manifest::Guest;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_sandbox::CommandSpec;

use crate::hypervisor::Hypervisor;

/// `status` reads a file and asks no guest.
const TIMEOUT: Duration = Duration::from_secs(15);

/// State of a guest.
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

/// What the hypervisor tells about a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its state.
    pub state: GuestState,
    /// What holds its lock (`backup`, `migrate`, `snapshot`), if anything does.
    pub lock: Option<String>,
}

impl Condition {
    const ABSENT: Self = Self { state: GuestState::Absent, lock: None };

    /// Why nothing can be done in the guest now, in words after "the guest"; none while it runs.
    pub fn hindrance(&self) -> Option<(Reason, String)> {
        let off = |what: String| match &self.lock {
            Some(lock) => (Reason::GuestLocked, format!("{what} and locked ({lock})")),
            None => (Reason::GuestOff, what),
        };
        match &self.state {
            GuestState::Running => None,
            GuestState::Absent => Some((Reason::GuestAbsent, "is not on this node".to_owned())),
            GuestState::Stopped => Some(off("is stopped".to_owned())),
            GuestState::Other(word) => Some(off(format!("is {word}"))),
        }
    }
}

/// Asks for the condition of a guest.
///
/// # Errors
/// The program failed, or said nothing that could be understood.
pub fn of(hypervisor: &Hypervisor<'_>, guest: Guest) -> Result<Condition, Trouble> {
    let program = hypervisor.program(guest.kind).to_owned();
    let argv = [program, "status".into(), guest.id.to_string(), "--verbose".into()];
    match hypervisor.run(&CommandSpec::new(argv).timeout(TIMEOUT)) {
        Ok(said) => parse(&said.stdout).ok_or_else(|| {
            Trouble::new(
                Reason::CommandFailed,
                format!("the state of {guest} is not in the answer of `status`"),
            )
        }),
        Err(trouble) if trouble.reason == Reason::GuestAbsent => Ok(Condition::ABSENT),
        Err(trouble) => Err(trouble),
    }
}

/// Reads `status: running` and `lock: backup` among lines that do not matter. A machine that is stopped for a moment
/// says so in `qmpstatus`; what is indented belongs to something else.
fn parse(stdout: &str) -> Option<Condition> {
    let value = |name: &str| {
        let values = stdout.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.map(str::trim).find(|value| !value.is_empty())
    };
    let status = value("status")?;
    let state = match (status, value("qmpstatus").unwrap_or(status)) {
        ("running", "running") => GuestState::Running,
        ("stopped", _) => GuestState::Stopped,
        (_, other) => GuestState::Other(other.to_owned()),
    };
    Some(Condition { state, lock: value("lock").map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_is_read_from_its_lines() {
        let other = |word: &str| GuestState::Other(word.to_owned());
        let cases = [
            ("status: running\n", Some((GuestState::Running, None))),
            ("name: x\nstatus: stopped\nvmid: 5\n", Some((GuestState::Stopped, None))),
            (
                "lock: backup\nqmpstatus: running\nstatus: running\n",
                Some((GuestState::Running, Some("backup"))),
            ),
            ("lock: \nqmpstatus: paused\nstatus: running\n", Some((other("paused"), None))),
            ("qmpstatus: stopped\nstatus: stopped\n", Some((GuestState::Stopped, None))),
            ("balloon:\n\tlock: x\n\tstatus: stopped\nstatus: running\n", Some((GuestState::Running, None))),
            ("status: prelaunch", Some((other("prelaunch"), None))),
            ("status:\n", None),
            ("running", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(state, lock)| Condition { state, lock: lock.map(str::to_owned) });
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_guest_that_does_not_run_is_off_locked_or_elsewhere() {
        let reason = |state, lock: Option<&str>| {
            let condition = Condition { state, lock: lock.map(str::to_owned) };
            condition.hindrance().map(|(reason, _)| reason)
        };
        assert_eq!(reason(GuestState::Running, Some("backup")), None);
        assert_eq!(reason(GuestState::Stopped, None), Some(Reason::GuestOff));
        assert_eq!(reason(GuestState::Stopped, Some("migrate")), Some(Reason::GuestLocked));
        assert_eq!(reason(GuestState::Other("paused".into()), None), Some(Reason::GuestOff));
        assert_eq!(reason(GuestState::Absent, None), Some(Reason::GuestAbsent));
    }
}
