//! Finishing what a dead process, a power cut or a failing disk interrupted.

use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Trouble;

use crate::commit::Bench;
use crate::generations;
use crate::intent::{self, Kind};
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

/// Gives up unfinished work that cannot be finished now, if some of its places are not among those that the manifest
/// names: they may never work again, and must not hold up the present ones. A new pair is kept as our own copy, to
/// be put in its present place from there. Otherwise the trouble stands.
pub(crate) fn give_up(bench: Bench<'_>, named: &[AbsolutePath], trouble: Trouble) -> Result<(), Trouble> {
    let paths = intent::unfinished(bench.entry)?;
    let Some(old) = paths.iter().find(|path| !named.contains(path)) else { return Err(trouble) };
    tracing::warn!("given up, since the manifest no longer names `{old}`: {trouble}");
    intent::forget_traces(bench.entry)?;
    match intent::pending(bench.entry)?.map(|unfinished| unfinished.plan.kind) {
        None => {}
        Some(Kind::Install) => {
            let _records = bench.locks.records();
            generations::record(bench.entry, intent::INTENT)?;
        }
        Some(Kind::Restore | Kind::Roots) => intent::drop_intent(bench.entry),
    }
    Ok(())
}

/// Removes unfinished records, and pairs that are not kept any longer, from the state directory of an entry. True when
/// there may be work of it that is unfinished.
pub(crate) fn sweep(entry: &StateDir) -> Result<bool, Trouble> {
    let names = entry.sweep()?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has(generations::GENERATIONS) {
        generations::sweep(entry)?;
    }
    if has(stages::STAGED) {
        stages::sweep(entry)?;
    }
    Ok(has(intent::INTENT) || has(intent::TRACES))
}
