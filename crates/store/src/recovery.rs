//! Finishing what a dead process, a power cut or a failing disk interrupted.

use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Trouble;

use crate::commit::Bench;
use crate::generations;
use crate::intent;
use crate::stages;
use crate::state::StateDir;

/// Something that recovery found half-done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The entry's key path; none when the record was too damaged to tell.
    pub key_path: Option<AbsolutePath>,
    /// It is finished, or why it cannot be finished now. Each later use of the entry tries again first.
    pub outcome: Result<(), Trouble>,
}

/// Finishes the unfinished work of one entry. Nothing else may be done with it before.
pub(crate) fn settle(bench: Bench<'_>) -> Result<(), Trouble> {
    if let Some(traces) = intent::noted_traces(bench.entry)? {
        bench.clean(&traces)?;
        intent::forget_traces(bench.entry)?;
    }
    let Some(unfinished) = intent::pending(bench.entry)? else { return Ok(()) };
    let path = unfinished.plan.key_path.clone();
    bench.finish_interrupted(unfinished).map_err(|trouble| {
        let message = format!("an interrupted installation of `{path}` cannot be finished now: {trouble}");
        Trouble::new(trouble.reason, message)
    })
}

/// Removes unfinished records, and pairs that are not kept any longer, from the state directory of an entry.
pub(crate) fn sweep(entry: &StateDir) -> Result<(), Trouble> {
    entry.sweep()?;
    generations::sweep(entry)?;
    stages::sweep(entry)
}
