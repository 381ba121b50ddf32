//! The record of a commit under way. While the directory `intent` exists in an entry's state, the commit in it
//! is not finished.

use phoenix_core::facts::Baseline;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use serde::{Deserialize, Serialize};

use crate::parts::{Meta, Parts};
use crate::state::{NEW, StateDir, to_json};
use crate::target::Role;
use crate::token::Token;

/// The directory of the intent in an entry's state.
pub(crate) const INTENT: &str = "intent";
const PLAN: &str = "intent.json";
const TRACES: &str = "probe.json";

/// What becomes of the intent when its files are in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// It becomes the newest generation.
    Install,
    /// It is a copy of the newest generation and is dropped.
    Restore,
}

/// A live file to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlannedFile {
    pub(crate) role: Role,
    pub(crate) path: AbsolutePath,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
}

/// Where temporary files of ours may lie: under names made of the token, beside these paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traces {
    pub(crate) token: Token,
    pub(crate) paths: Vec<AbsolutePath>,
}

/// A commit under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) token: Token,
    pub(crate) kind: Kind,
    pub(crate) key_path: AbsolutePath,
    /// In the order of their renames.
    pub(crate) files: Vec<PlannedFile>,
    /// What the manifest asked for.
    pub(crate) wanted: Baseline,
    /// What the live files will have.
    pub(crate) baseline: Baseline,
}

/// Temporary name of a live file.
pub(crate) fn temp_name(token: &Token, role: Role) -> String {
    format!(".phoenix-{token}.{}.tmp", role.as_str())
}

/// Temporary name of a directory that is being made.
pub(crate) fn temp_dir_name(token: &Token) -> String {
    format!(".phoenix-{token}.dir.tmp")
}

impl Intent {
    pub(crate) fn traces(&self) -> Traces {
        let paths = self.files.iter().map(|file| file.path.clone()).collect();
        Traces { token: self.token.clone(), paths }
    }

    /// Makes the commit durable: from here on it is finished whatever dies.
    pub(crate) fn begin(&self, entry: &StateDir, parts: &Parts, meta: &Meta) -> Result<(), Trouble> {
        let temp = format!("{NEW}{}", self.token);
        let done = self.fill(entry, &temp, parts, meta).and_then(|()| {
            entry.disk().rename((entry.dir(), &temp), (entry.dir(), INTENT))?;
            Ok(entry.disk().sync_dir(entry.dir())?)
        });
        if done.is_err() {
            entry.try_remove(&temp);
            drop_intent(entry);
        }
        done
    }

    fn fill(&self, entry: &StateDir, temp: &str, parts: &Parts, meta: &Meta) -> Result<(), Trouble> {
        let dir = entry.subdir(temp)?;
        dir.write_new(PLAN, &to_json(self)?)?;
        parts.write(&dir, meta)
    }

    /// Gives a commit that was interrupted new temporary names, since the old ones have been seen.
    pub(crate) fn renew_token(&mut self, entry: &StateDir) -> Result<(), Trouble> {
        self.token = Token::random()?;
        match entry.existing(INTENT)? {
            Some(dir) => dir.write_json(PLAN, self),
            None => Err(gone(entry)),
        }
    }
}

fn gone(entry: &StateDir) -> Trouble {
    let path = entry.path().join(INTENT);
    Trouble::new(Reason::Internal, format!("`{}` disappeared meanwhile", path.display()))
}

/// Drops an intent of which nothing has to be finished. One that stays is finished by recovery.
pub(crate) fn drop_intent(entry: &StateDir) {
    if let Err(trouble) = entry.remove_tree(INTENT) {
        tracing::warn!("left for the next recovery: {trouble}");
    }
}

/// The commit under way with its pair; none when there is none. A damaged one is set aside.
pub(crate) fn pending(entry: &StateDir) -> Result<Option<(Intent, Parts)>, Trouble> {
    let Some(dir) = entry.existing(INTENT)? else { return Ok(None) };
    // A recovery that died may have been replacing the plan.
    dir.sweep()?;
    let plan: Option<Intent> = dir.read_json(PLAN)?;
    let parts = match Parts::read_meta(&dir)? {
        Some(meta) => Parts::read(&dir, &meta.sums)?,
        None => None,
    };
    if let (Some(plan), Some(parts)) = (plan, parts) {
        return Ok(Some((plan, parts)));
    }
    tracing::warn!(path = %dir.path().display(), "a damaged intent is set aside");
    entry.set_aside(INTENT);
    Ok(None)
}

/// Records the temporary names of a proof, so that recovery can remove them.
pub(crate) fn note_traces(entry: &StateDir, traces: &Traces) -> Result<(), Trouble> {
    entry.write_json(TRACES, traces)
}

/// The temporary names of a proof that was interrupted.
pub(crate) fn noted_traces(entry: &StateDir) -> Result<Option<Traces>, Trouble> {
    entry.read_json(TRACES)
}

/// Forgets the temporary names of a proof.
pub(crate) fn forget_traces(entry: &StateDir) -> Result<(), Trouble> {
    entry.remove(TRACES)
}

/// Every path that unfinished work of the entry touches.
pub(crate) fn unfinished(entry: &StateDir) -> Result<Vec<AbsolutePath>, Trouble> {
    let mut paths = noted_traces(entry)?.map(|traces| traces.paths).unwrap_or_default();
    if let Some(dir) = entry.existing(INTENT)? {
        let plan: Option<Intent> = dir.read_json(PLAN)?;
        paths.extend(plan.into_iter().flat_map(|plan| plan.traces().paths));
    }
    Ok(paths)
}
