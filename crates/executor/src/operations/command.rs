//! Running the programs that the configuration allows, and leaving a trace of each run in the log.

use phoenix_core::manifest::GuestKind;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Trouble;
use phoenix_guests::excerpt::excerpt;
use phoenix_guests::{Hypervisor, Programs, Said};
use phoenix_sandbox::{Cancel, CommandSpec, Finished, Runner, SandboxError};

use super::{Executor, allowed};

impl Executor {
    /// Runs a command of the manifest to its true end.
    pub(super) fn run_command(&self, spec: &CommandSpec) -> Result<Said, Trouble> {
        allowed::check(spec.program(), &self.settings.executor.commands)?;
        self.with_hypervisor(|hypervisor| hypervisor.run(spec))
    }

    /// Lets `work` reach into a guest of this kind.
    pub(super) fn reach_guest<T>(
        &self,
        kind: GuestKind,
        work: impl FnOnce(&Hypervisor<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let programs = programs(&self.settings.executor.commands);
        let program = match kind {
            GuestKind::Lxc => &programs.pct,
            GuestKind::Vm => &programs.qm,
        };
        allowed::check(program, &self.settings.executor.commands)?;
        self.with_hypervisor(work)
    }

    fn with_hypervisor<T>(&self, work: impl FnOnce(&Hypervisor<'_>) -> T) -> T {
        let programs = programs(&self.settings.executor.commands);
        let audited = Audited(&*self.runner);
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

/// Tells the log about every command: what ran, how it ended, what it said.
struct Audited<'a>(&'a dyn Runner);

impl Runner for Audited<'_> {
    fn run(&self, spec: &CommandSpec, cancel: &Cancel) -> Result<Finished, SandboxError> {
        let finished = self.0.run(spec, cancel)?;
        let command = excerpt(&spec.argv.join(" "));
        tracing::info!(
            %command,
            ended = ?finished.ended,
            milliseconds = finished.duration.as_millis() as u64,
            survivors_killed = finished.survivors_killed,
            stdout = excerpt(&finished.stdout.text()),
            stderr = excerpt(&finished.stderr.text()),
            "command ended"
        );
        if finished.survivors_left > 0 {
            tracing::warn!(%command, count = finished.survivors_left, "processes of it could not be killed");
        }
        Ok(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_programs_are_those_of_the_allow_list() {
        let list: Vec<AbsolutePath> =
            ["/opt/pve/qm", "/usr/bin/true"].map(|path| path.parse().unwrap()).into();
        let found = programs(&list);
        assert_eq!((found.qm.as_str(), found.pct.as_str()), ("/opt/pve/qm", "/usr/sbin/pct"));
    }
}
