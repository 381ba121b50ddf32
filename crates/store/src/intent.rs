//! The record of a commit under way. While the file `intent` exists in an entry's state, the commit in it is not
//! finished.

use phoenix_core::facts::Baseline;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Trouble;
use serde::{Deserialize, Serialize};

use crate::parts::{Meta, Parts};
use crate::record::Record;
use crate::state::{StateDir, to_json};
use crate::target::Role;
use crate::token::Token;

/// The intent in an entry's state.
pub(crate) const INTENT: &str = "intent";
/// The temporary names of a proof under way.
pub(crate) const TRACES: &str = "probe.json";

/// What becomes of the intent when its files are in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// It becomes the newest generation.
    Install,
    /// It is a copy of the newest generation and is dropped.
    Restore,
    /// It is the newest generation with other roots, and takes its place.
    Roots,
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
        let done = self.write(entry, parts, meta);
        if done.is_err() {
            drop_intent(entry);
        }
        done
    }

    fn write(&self, entry: &StateDir, parts: &Parts, meta: &Meta) -> Result<(), Trouble> {
        entry.write(INTENT, &Record::encode(Some(self), meta, parts)?)
    }

    /// Gives a commit that was interrupted new temporary names, since the old ones have been seen.
    pub(crate) fn renew_token(
        &mut self,
        entry: &StateDir,
        parts: &Parts,
        meta: &Meta,
    ) -> Result<(), Trouble> {
        self.token = Token::random()?;
        self.write(entry, parts, meta)
    }
}

/// Drops an intent of which nothing has to be finished. One that stays is finished by recovery.
pub(crate) fn drop_intent(entry: &StateDir) {
    if let Err(trouble) = entry.remove(INTENT) {
        tracing::warn!("left for the next recovery: {trouble}");
    }
}

/// A commit under way with its pair.
pub(crate) struct Unfinished {
    pub(crate) plan: Intent,
    pub(crate) parts: Parts,
    pub(crate) meta: Meta,
}

/// The commit under way; none when there is none. A damaged one is set aside.
pub(crate) fn pending(entry: &StateDir) -> Result<Option<Unfinished>, Trouble> {
    let Some(record) = Record::read(entry, INTENT)? else { return Ok(None) };
    if let (Some(plan), Some(parts)) = (record.plan(), record.parts()) {
        return Ok(Some(Unfinished { plan: plan.clone(), parts, meta: record.meta().clone() }));
    }
    tracing::warn!(path = %entry.path().display(), "a damaged intent is set aside");
    entry.set_aside(INTENT);
    Ok(None)
}

/// Notes the temporary names of a proof, so that recovery can remove them.
///
/// The note outlives this process, but need not outlive a power cut: all that such a one can leave in a target
/// then is a file of newlines under one of our names.
pub(crate) fn note_traces(entry: &StateDir, traces: &Traces) -> Result<(), Trouble> {
    entry.jot(TRACES, &to_json(traces)?)
}

/// The temporary names of a proof that was interrupted. A note that a power cut spoiled tells none.
pub(crate) fn noted_traces(entry: &StateDir) -> Result<Option<Traces>, Trouble> {
    Ok(entry.read(TRACES)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Forgets the temporary names of a proof. Should a power cut bring them back, they are looked for in vain.
pub(crate) fn forget_traces(entry: &StateDir) -> Result<(), Trouble> {
    entry.discard(TRACES)
}

/// Every path that unfinished work of the entry touches.
pub(crate) fn unfinished(entry: &StateDir) -> Result<Vec<AbsolutePath>, Trouble> {
    let mut paths = noted_traces(entry)?.map(|traces| traces.paths).unwrap_or_default();
    let record = Record::read(entry, INTENT)?;
    paths.extend(record.iter().filter_map(Record::plan).flat_map(|plan| plan.traces().paths));
    Ok(paths)
}
