//! The last good manifest on disk, so that a broken file after a restart changes nothing.

use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use phoenix_store::StateDir;
use serde::{Deserialize, Serialize};

use super::in_force::sha256_hex;

const DIRECTORY: &str = "manifest";
const TEXT: &str = "current.json";
const META: &str = "meta.json";

/// What belongs to the kept text.
#[derive(Serialize, Deserialize)]
struct Meta {
    path: AbsolutePath,
    sha256: String,
    loaded_at: Timestamp,
}

/// The two files.
struct Files {
    text: Vec<u8>,
    meta: Vec<u8>,
}

impl Files {
    /// Undamaged, and of just this file.
    fn is(&self, path: &AbsolutePath, text: &str) -> bool {
        self.text == text.as_bytes()
            && serde_json::from_slice::<Meta>(&self.meta)
                .is_ok_and(|meta| meta.path == *path && meta.sha256 == sha256_hex(text.as_bytes()))
    }
}

/// The place of the last good manifest.
pub(crate) struct Kept(StateDir);

impl Kept {
    /// In the executor's state directory.
    pub(crate) fn new(state: StateDir) -> Self {
        Self(state)
    }

    /// Keeps a text that was read from `path`. One that is kept already stays as it is: each start reads the manifest,
    /// and what has not changed is not written again.
    pub(crate) fn store(&self, path: &AbsolutePath, text: &str, loaded_at: Timestamp) -> Result<(), Trouble> {
        if self.read().ok().flatten().is_some_and(|kept| kept.is(path, text)) {
            return Ok(());
        }
        let meta = Meta { path: path.clone(), sha256: sha256_hex(text.as_bytes()), loaded_at };
        let meta = serde_json::to_vec(&meta).map_err(|error| {
            Trouble::new(Reason::Internal, format!("cannot encode a state record: {error}"))
        })?;
        let directory = self.0.subdir(DIRECTORY)?;
        // The text first: a crash between the two leaves a meta file that does not fit, and the text of the file
        // itself is the good one.
        directory.write(TEXT, text.as_bytes())?;
        directory.write(META, &meta)
    }

    /// The kept text of the manifest at `path`.
    pub(crate) fn load(&self, path: &AbsolutePath) -> Option<(String, Timestamp)> {
        let Files { text, meta } = match self.read() {
            Ok(found) => found?,
            Err(trouble) => {
                tracing::warn!("the kept manifest cannot be read: {trouble}");
                return None;
            }
        };
        let kept = serde_json::from_slice::<Meta>(&meta).ok().zip(String::from_utf8(text).ok());
        let Some((meta, text)) = kept.filter(|(meta, text)| meta.sha256 == sha256_hex(text.as_bytes()))
        else {
            tracing::warn!("the kept manifest is damaged: only the file itself can be used");
            return None;
        };
        // One that was kept for another file says nothing about this one.
        (meta.path == *path).then_some((text, meta.loaded_at))
    }

    fn read(&self) -> Result<Option<Files>, Trouble> {
        let Some(directory) = self.0.existing(DIRECTORY)? else { return Ok(None) };
        let (text, meta) = (directory.read(TEXT)?, directory.read(META)?);
        Ok(text.zip(meta).map(|(text, meta)| Files { text: text.to_vec(), meta: meta.to_vec() }))
    }
}
