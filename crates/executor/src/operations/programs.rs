//! Public facts of the programs that commands may name: how they are confined on this machine, as measured.

use phoenix_core::settings::ProgramSettings;
use phoenix_protocol::executor::ProgramFacts;
use phoenix_sandbox::{CommandSpec, Confinement, Ended, Finished};

use super::profiles::Profiles;
use super::{Executor, allowed};

/// Is run under each profile to see what of it is in force.
const HARMLESS: &str = "/bin/true";

impl Executor {
    /// Facts of all programs. What is in force is measured once: it depends on the kernel and on how the executor
    /// was started.
    pub(super) fn program_facts(&self) -> Vec<ProgramFacts> {
        let executor = &self.settings.executor;
        let measured =
            self.measured.get_or_init(|| executor.programs.iter().map(|one| self.measure(one)).collect());
        let now = |facts: &ProgramFacts| ProgramFacts {
            refused: allowed::check(&facts.path, &executor.commands).err().map(|trouble| trouble.message),
            ..facts.clone()
        };
        measured.iter().map(now).collect()
    }

    fn measure(&self, program: &ProgramSettings) -> ProgramFacts {
        let in_force = self.authority.in_force();
        let profile = Profiles::new(&self.settings, &in_force, &self.store, &[]).of(program.path.as_str());
        let all = profile.measures();
        let lacking = |why: String| all.iter().map(|measure| format!("{measure}: {why}")).collect();
        let outcome = self.runner.run(&CommandSpec::new([HARMLESS]).profile(profile.clone()), &self.cancel);
        let not_started = |finished: &Finished| match &finished.ended {
            Ended::NotStarted { text, .. } => Some(text.clone()),
            _ => None,
        };
        let (in_force, missing) = match outcome {
            Err(error) => (Vec::new(), lacking(error.to_string())),
            Ok(finished) => match not_started(&finished) {
                Some(why) => (Vec::new(), lacking(why)),
                None => told(&finished.confinement),
            },
        };
        ProgramFacts {
            path: program.path.to_string(),
            profile: profile.name().to_owned(),
            in_force,
            missing,
            refused: None,
        }
    }
}

/// What is in force and what is missing, for the protocol.
fn told(confinement: &Confinement) -> (Vec<String>, Vec<String>) {
    let missing = confinement.missing.iter().map(|one| format!("{}: {}", one.measure, one.why));
    (confinement.in_force.iter().map(ToString::to_string).collect(), missing.collect())
}
