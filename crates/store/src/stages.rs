//! New keys that wait for their certificate.

use std::fmt;

use phoenix_core::reason::Trouble;
use zeroize::Zeroizing;

use crate::state::StateDir;
use crate::token::Token;

pub(crate) const STAGED: &str = "staged";

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

/// Stores a key: one line with `meta` in JSON, then the key.
///
/// It outlives this process, but need not outlive a power cut, since whoever knows its id does not: the daemon
/// keeps ids in its memory and asks for another key when it is started again.
pub(crate) fn stage(entry: &StateDir, key_pem: &[u8], meta: &serde_json::Value) -> Result<StageId, Trouble> {
    let id = Token::random()?;
    let line = format!("{meta}\n");
    // One allocation of the final size: a growing vector would leave a copy of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(line.len() + key_pem.len()));
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(key_pem);
    entry.subdir(STAGED)?.jot(&id.to_string(), &bytes)?;
    Ok(id)
}

/// The staged key; none when there is none of this id, or it is damaged.
pub(crate) fn load(entry: &StateDir, id: &StageId) -> Result<Option<Staged>, Trouble> {
    let Some(home) = entry.existing(STAGED)? else { return Ok(None) };
    let Some(bytes) = home.read(&id.to_string())? else { return Ok(None) };
    let Some((line, key_pem)) =
        bytes.iter().position(|byte| *byte == b'\n').and_then(|end| bytes.split_at_checked(end + 1))
    else {
        return Ok(None);
    };
    let Ok(meta) = serde_json::from_slice(line) else { return Ok(None) };
    Ok(Some(Staged { key_pem: Zeroizing::new(key_pem.to_vec()), meta }))
}

/// Removes all staged keys but `keep`. One that a power cut brings back is removed with the next.
pub(crate) fn drop_all(entry: &StateDir, keep: Option<&StageId>) -> Result<(), Trouble> {
    let Some(home) = entry.existing(STAGED)? else { return Ok(()) };
    let keep = keep.map(ToString::to_string);
    for name in home.names()? {
        if Some(&name) != keep.as_ref() {
            home.discard(&name)?;
        }
    }
    Ok(())
}

/// Removes what an interrupted staging left.
pub(crate) fn sweep(entry: &StateDir) -> Result<(), Trouble> {
    entry.existing(STAGED)?.map_or(Ok(()), |home| home.sweep().map(drop))
}
