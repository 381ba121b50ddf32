//! Commands of the operator through the stand-ins of `pct` and `qm`.

use phoenix_core::manifest::{Guest, GuestKind};
use phoenix_core::reason::Reason;
use phoenix_guests::state::{self, GuestState};
use phoenix_guests::{Hypervisor, Programs};
use phoenix_sandbox::{Cancel, CommandSpec};
use phoenix_testkit::guests::{Fault, Guests, Kind};
use phoenix_testkit::scratch::Scratch;

use crate::runners::Plain;

pub(crate) const LXC: Guest = Guest { kind: GuestKind::Lxc, id: 102 };
pub(crate) const VM: Guest = Guest { kind: GuestKind::Vm, id: 1001 };

/// A hypervisor with one guest of each kind.
pub(crate) struct Bed {
    pub(crate) guests: Guests,
    programs: Programs,
    cancel: Cancel,
    _scratch: Scratch,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let guests = Guests::new(&scratch).unwrap();
        guests.add(LXC.id, Kind::Lxc).unwrap();
        guests.add(VM.id, Kind::Vm).unwrap();
        let path = |name| guests.program(name).to_str().unwrap().to_owned();
        let programs = Programs { pct: path("pct"), qm: path("qm") };
        Self { guests, programs, cancel: Cancel::never(), _scratch: scratch }
    }

    pub(crate) fn hypervisor(&self) -> Hypervisor<'_> {
        Hypervisor::new(&Plain, &self.programs, &self.cancel)
    }

    fn run(&self, program: &str, words: &str) -> Result<String, Reason> {
        let program = if program == "pct" { &self.programs.pct } else { &self.programs.qm };
        let argv = std::iter::once(program.as_str()).chain(words.split(' '));
        let said = self.hypervisor().run(&CommandSpec::new(argv));
        said.map(|said| said.stdout).map_err(|trouble| trouble.reason)
    }
}

#[test]
fn the_plans_commands_run_and_their_true_outcome_is_told() {
    let bed = Bed::new();
    let restart = "-- systemctl restart docker";
    assert_eq!(bed.run("qm", &format!("guest exec 1001 {restart}")), Ok(String::new()));
    assert_eq!(bed.guests.lines(), [format!("qm guest exec 1001 --timeout 60 {restart}")]);
    assert_eq!(bed.run("pct", "exec 102 -- systemctl restart traefik"), Ok(String::new()));
    assert_eq!(bed.run("qm", "guest exec 1001 -- echo hello"), Ok("hello\n".to_owned()));
    assert_eq!(bed.run("pct", "exec 102 -- echo hello"), Ok("hello\n".to_owned()));
    for (program, prefix) in [("pct", "exec 102"), ("qm", "guest exec 1001")] {
        assert_eq!(bed.run(program, &format!("{prefix} -- false")), Err(Reason::CommandFailed));
        assert_eq!(bed.run(program, &format!("{prefix} -- no-such-program")), Err(Reason::CommandNotStarted));
    }
}

#[test]
fn a_killed_command_is_not_a_success_in_either_kind_of_guest() {
    let bed = Bed::new();
    bed.guests.spoil(VM.id, Fault::Signal(9), "systemctl");
    assert_eq!(bed.run("qm", "guest exec 1001 -- systemctl restart docker"), Err(Reason::CommandKilled));
    bed.guests.spoil(LXC.id, Fault::Exit(137), "systemctl");
    assert_eq!(bed.run("pct", "exec 102 -- systemctl restart traefik"), Err(Reason::CommandKilled));
}

#[test]
fn the_state_of_a_guest_is_known() {
    let bed = Bed::new();
    bed.guests.spoil(VM.id, Fault::Off, "");
    let ask = |guest| state::of(&bed.hypervisor(), guest).unwrap().state;
    assert_eq!(ask(LXC), GuestState::Running);
    assert_eq!(ask(VM), GuestState::Stopped);
    assert_eq!(ask(Guest { kind: GuestKind::Lxc, id: 999 }), GuestState::Absent);
}
