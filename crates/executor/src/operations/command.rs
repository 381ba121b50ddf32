//! Running the programs that the configuration allows, each confined as the configuration says, and leaving a trace
//! of each run in the log and in the trail of the request.

use phoenix_core::manifest::{Entry, GuestKind};
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Trouble;
use phoenix_core::settings::Confined;
use phoenix_core::time::Timestamp;
use phoenix_guests::excerpt::excerpt;
use phoenix_guests::{Hypervisor, Programs, Said};
use phoenix_sandbox::{Cancel, CommandSpec, Finished, Runner, SandboxError};

use super::advice::advised;
use super::profiles::Profiles;
use super::trail::Trail;
use super::{Executor, allowed};
use crate::clock;

impl Executor {
    /// Runs a command of these entries to its true end. It may read their files and no others.
    pub(super) fn run_command(
        &self,
        spec: &CommandSpec,
        entries: &[&Entry],
        trail: &Trail,
    ) -> Result<Said, Trouble> {
        allowed::check(spec.program(), &self.settings.executor.commands)?;
        let done = self.with_hypervisor(entries, trail, |hypervisor| hypervisor.run(spec));
        let confined = self.settings.executor.program(spec.program()).map(|program| &program.confined);
        match confined {
            Some(Confined::Strict(_)) => done.map_err(|trouble| advised(trouble, spec.program())),
            _ => done,
        }
    }

    /// Lets `work` reach into a guest of this kind. What is sent there goes over standard input: no file of any entry
    /// is visible meanwhile.
    pub(super) fn reach_guest<T>(
        &self,
        kind: GuestKind,
        trail: &Trail,
        work: impl FnOnce(&Hypervisor<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let programs = programs(&self.settings.executor.commands);
        let program = match kind {
            GuestKind::Lxc => &programs.pct,
            GuestKind::Vm => &programs.qm,
        };
        allowed::check(program, &self.settings.executor.commands)?;
        self.with_hypervisor(&[], trail, work)
    }

    fn with_hypervisor<T>(
        &self,
        entries: &[&Entry],
        trail: &Trail,
        work: impl FnOnce(&Hypervisor<'_>) -> T,
    ) -> T {
        let programs = programs(&self.settings.executor.commands);
        let in_force = self.authority.in_force();
        let profiles = Profiles::new(&self.settings, &in_force, &self.store, entries);
        let audited = Audited { runner: &*self.runner, profiles, trail };
        work(&Hypervisor::new(&audited, &programs, &self.cancel))
    }
}

/// `pct` and `qm` as the allow-list names them; where it does not, nothing but the usual place is meant.
fn programs(allowed: &[AbsolutePath]) -> Programs {
    let usual = Programs::default();
    let listed = |name: &str| {
        allowed.iter().find(|path| path.file_name() == name).map(|path| path.as_str().to_owned())
    };
    Programs { pct: listed("pct").unwrap_or(usual.pct), qm: listed("qm").unwrap_or(usual.qm) }
}

/// Confines every command by its program, and tells log and trail about it: what ran, under which measures, how it
/// ended, what it said.
struct Audited<'a> {
    runner: &'a dyn Runner,
    profiles: Profiles<'a>,
    trail: &'a Trail,
}

impl Runner for Audited<'_> {
    fn run(&self, spec: &CommandSpec, cancel: &Cancel) -> Result<Finished, SandboxError> {
        let at = clock::now();
        let spec = spec.clone().profile(self.profiles.of(spec.program()));
        let outcome = self.runner.run(&spec, cancel);
        self.trail.add(at, &spec, outcome.as_ref());
        log(at, &spec, outcome.as_ref());
        outcome
    }
}

fn log(at: Timestamp, spec: &CommandSpec, outcome: Result<&Finished, &SandboxError>) {
    let command = in_a_line(&spec.argv);
    let finished = match outcome {
        Ok(finished) => finished,
        Err(error) => {
            tracing::error!(%command, began = %at, profile = spec.profile.name(), "command lost: {error}");
            return;
        }
    };
    tracing::info!(
        %command,
        began = %at,
        ended = ?finished.ended,
        confinement = %finished.confinement,
        milliseconds = finished.duration.as_millis() as u64,
        survivors_killed = finished.survivors_killed,
        stdout = excerpt(&finished.stdout.text()),
        stderr = excerpt(&finished.stderr.text()),
        "command ended"
    );
    if finished.survivors_left > 0 {
        tracing::warn!(%command, count = finished.survivors_left, "processes of it could not be killed");
    }
}

/// A command line for people: of a word with several lines, such as a script, no more than its length.
fn in_a_line(argv: &[String]) -> String {
    let word = |word: &String| match word.lines().count() {
        0 | 1 => word.clone(),
        lines => format!("[script of {lines} lines]"),
    };
    excerpt(&argv.iter().map(word).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_does_not_hide_the_command_line_that_it_is_part_of() {
        let argv =
            ["/usr/sbin/pct", "exec", "102", "--", "/bin/sh", "-c", "umask 077\ncat > /etc/x\nexit 0\n"];
        assert_eq!(
            in_a_line(&argv.map(str::to_owned)),
            "/usr/sbin/pct exec 102 -- /bin/sh -c [script of 3 lines]"
        );
    }

    #[test]
    fn guest_programs_are_those_of_the_allow_list() {
        let list: Vec<AbsolutePath> =
            ["/opt/pve/qm", "/usr/bin/true"].map(|path| path.parse().unwrap()).into();
        let found = programs(&list);
        assert_eq!((found.qm.as_str(), found.pct.as_str()), ("/opt/pve/qm", "/usr/sbin/pct"));
    }
}
