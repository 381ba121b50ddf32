//! New keys that wait for their certificate.

use std::fmt;

use phoenix_core::reason::Trouble;
use zeroize::Zeroizing;

use crate::state::{NEW, StateDir, to_json};
use crate::token::Token;

const STAGED: &str = "staged";
const KEY: &str = "key.pem";
const META: &str = "meta.json";

/// Names a staged key. Unguessable, and safe to take from another process.
pub type StageId = Token;

/// A key that waits for its certificate.
pub struct Staged {
    /// Private key, PEM.
    pub key_pem: Zeroizing<Vec<u8>>,
    /// What the caller stored with it.
    pub meta: serde_json::Value,
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// Stores a key durably.
pub(crate) fn stage(entry: &StateDir, key_pem: &[u8], meta: &serde_json::Value) -> Result<StageId, Trouble> {
    let id = Token::random()?;
    let home = entry.subdir(STAGED)?;
    let temp = format!("{NEW}{id}");
    let done = fill(&home, &temp, key_pem, meta).and_then(|()| {
        home.disk().rename((home.dir(), &temp), (home.dir(), &id.to_string()))?;
        Ok(home.disk().sync_dir(home.dir())?)
    });
    match done {
        Ok(()) => Ok(id),
        Err(trouble) => {
            home.try_remove(&temp);
            Err(trouble)
        }
    }
}

fn fill(home: &StateDir, temp: &str, key_pem: &[u8], meta: &serde_json::Value) -> Result<(), Trouble> {
    let dir = home.subdir(temp)?;
    dir.write_new(KEY, key_pem)?;
    dir.write_new(META, &to_json(meta)?)?;
    Ok(dir.disk().sync_dir(dir.dir())?)
}

/// The staged key; none when there is none of this id, or it is damaged.
pub(crate) fn load(entry: &StateDir, id: &StageId) -> Result<Option<Staged>, Trouble> {
    let Some(home) = entry.existing(STAGED)? else { return Ok(None) };
    let Some(dir) = home.existing(&id.to_string())? else { return Ok(None) };
    let (Some(key_pem), Some(meta)) = (dir.read(KEY)?, dir.read_json(META)?) else { return Ok(None) };
    Ok(Some(Staged { key_pem, meta }))
}

/// Removes all staged keys but `keep`.
pub(crate) fn drop_all(entry: &StateDir, keep: Option<&StageId>) -> Result<(), Trouble> {
    let Some(home) = entry.existing(STAGED)? else { return Ok(()) };
    let keep = keep.map(ToString::to_string);
    for name in home.names()? {
        if Some(&name) != keep.as_ref() {
            home.remove_tree(&name)?;
        }
    }
    Ok(())
}

/// Removes what an interrupted staging or removal left.
pub(crate) fn sweep(entry: &StateDir) -> Result<(), Trouble> {
    entry.existing(STAGED)?.map_or(Ok(()), |home| home.sweep())
}
