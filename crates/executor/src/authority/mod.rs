//! The one authority on the manifest: reads, judges and keeps the manifest in force.
//!
//! | module | duty |
//! |---|---|
//! | [`trusted`] | reading of files that nobody but root can change |
//! | [`in_force`] | entries with their digests |
//! | [`kept`] | the last good manifest on disk |
//! | [`host`] | users and directories, for warnings |
//! | [`page`] | the snapshot in pages that fit a frame |

mod host;
mod in_force;
mod kept;
mod page;
mod trusted;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phoenix_core::diagnostic::Colour;
use phoenix_core::manifest::{Context, Entry, Manifest};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::Settings;
use phoenix_core::time::Timestamp;
use phoenix_protocol::executor::{EntryRef, IssuerFacts, ManifestFacts, ManifestState, Snapshot};

pub(crate) use in_force::{InForce, Known, digest_of};
pub(crate) use kept::Kept;
pub use trusted::Refusal;
pub(crate) use trusted::{Stamp, TrustedFile};

/// A file whose last change is younger than this may change again without a new time stamp.
const SETTLING: Duration = Duration::from_secs(2);
/// Most bytes of diagnostics that are passed on.
const MAX_ERROR: usize = 64 * 1024;

/// The manifest in force and how the file relates to it.
pub(crate) struct Authority {
    settings: Arc<Settings>,
    kept: Kept,
    inner: Mutex<Inner>,
}

struct Inner {
    in_force: Arc<InForce>,
    state: ManifestState,
    error: Option<String>,
    /// The version of the file that was judged last, unless it may still be changing.
    seen: Option<Stamp>,
}

/// What a look at the file gave.
struct Look {
    state: ManifestState,
    error: Option<String>,
    loaded: Option<InForce>,
    seen: Option<Stamp>,
}

impl Authority {
    /// Reads the manifest; where that fails, the last good one comes into force again.
    pub(crate) fn open(settings: Arc<Settings>, kept: Kept, now: Timestamp) -> Self {
        let empty = Inner {
            in_force: Arc::new(InForce::default()),
            state: ManifestState::Missing,
            error: None,
            seen: None,
        };
        let authority = Self { settings, kept, inner: Mutex::new(empty) };
        let look = authority.look(None, now);
        if look.loaded.is_none()
            && let Some(earlier) = authority.earlier()
        {
            authority.lock().in_force = Arc::new(earlier);
        }
        authority.accept(look);
        authority
    }

    /// Looks at the file again if it changed since the last look.
    pub(crate) fn refresh(&self, now: Timestamp) {
        let seen = self.lock().seen.clone();
        // Without the lock: a file system that hangs must not hold up those who ask for entries.
        let look = self.look(seen.as_ref(), now);
        if look.loaded.is_some() || look.state != ManifestState::Loaded || look.seen != seen {
            self.accept(look);
        }
    }

    /// The manifest in force.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.lock().in_force)
    }

    /// The entry that a request means, if it is still the one that the daemon knows.
    pub(crate) fn entry(&self, wanted: &EntryRef) -> Result<Arc<Known>, Trouble> {
        let in_force = self.in_force();
        let known = in_force.get(&wanted.name).ok_or_else(|| {
            let message = format!("The manifest in force has no certificate called `{}`.", wanted.name);
            Trouble::new(Reason::UnknownEntry, message)
        })?;
        if known.digest != wanted.digest {
            let message = format!("The manifest's entry `{}` has changed meanwhile.", wanted.name);
            return Err(Trouble::new(Reason::Stale, message));
        }
        Ok(Arc::clone(known))
    }

    /// True when `test` holds for a valid entry in force.
    pub(crate) fn any_entry(&self, test: impl Fn(&Entry) -> bool) -> bool {
        self.in_force().entries().iter().any(|known| test(&known.entry))
    }

    /// A page of the manifest in force.
    pub(crate) fn snapshot(&self, offset: usize, issuers: Vec<IssuerFacts>) -> Snapshot {
        let inner = self.lock();
        let (in_force, manifest) = (Arc::clone(&inner.in_force), self.facts(&inner));
        drop(inner);
        page::page(&in_force, manifest, offset, issuers)
    }

    fn facts(&self, inner: &Inner) -> ManifestFacts {
        ManifestFacts {
            path: self.settings.manifest.to_string(),
            digest: inner.in_force.digest().to_owned(),
            loaded_at: inner.in_force.loaded_at(),
            state: inner.state,
            error: inner.error.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, look: Look) {
        let mut inner = self.lock();
        if (inner.state, &inner.error) != (look.state, &look.error) {
            report(self.settings.manifest.as_path(), look.state, look.error.as_deref());
        }
        inner.state = look.state;
        inner.error = look.error;
        inner.seen = look.seen;
        if let Some(loaded) = look.loaded {
            tracing::info!(entries = loaded.len(), digest = loaded.digest(), "manifest in force");
            inner.in_force = Arc::new(loaded);
        }
    }

    fn earlier(&self) -> Option<InForce> {
        let (text, loaded_at) = self.kept.load(&self.settings.manifest)?;
        let manifest = self.parse(&text).0?;
        Some(InForce::new(&text, &manifest, loaded_at))
    }

    fn look(&self, seen: Option<&Stamp>, now: Timestamp) -> Look {
        match TrustedFile::open(self.settings.manifest.as_path()) {
            Ok(file) if seen == Some(file.stamp()) => {
                let inner = self.lock();
                Look {
                    state: inner.state,
                    error: inner.error.clone(),
                    loaded: None,
                    seen: inner.seen.clone(),
                }
            }
            Ok(file) => {
                let stamp = file.stamp().clone();
                let seen = (!stamp.changed_within(SETTLING, now)).then_some(stamp);
                match file.read() {
                    Ok(text) => Look { seen, ..self.judge(&text, now) },
                    Err(refusal) => Look::refused(&refusal),
                }
            }
            Err(refusal) => Look::refused(&refusal),
        }
    }

    /// Puts a text in force if it is good.
    fn judge(&self, text: &str, now: Timestamp) -> Look {
        if self.in_force().is_of(text) {
            return Look { state: ManifestState::Loaded, error: None, loaded: None, seen: None };
        }
        let (manifest, error) = self.parse(text);
        let Some(manifest) = manifest else {
            return Look { state: ManifestState::Stale, error: Some(error), loaded: None, seen: None };
        };
        if let Err(error) = self.kept.store(&self.settings.manifest, text, now) {
            tracing::error!(%error, "the manifest in force could not be kept for the next start");
        }
        let loaded = Some(InForce::new(text, &manifest, now));
        Look { state: ManifestState::Loaded, error: None, loaded, seen: None }
    }

    fn parse(&self, text: &str) -> (Option<Manifest>, String) {
        let host = host::RealHost::new();
        let parsed = Manifest::parse(text, &Context::of(&self.settings).host(&host));
        let mut error = parsed.diagnostics.render(Colour::Plain);
        bound(&mut error, MAX_ERROR);
        (parsed.manifest, error)
    }
}

impl Look {
    fn refused(refusal: &Refusal) -> Self {
        let state = match refusal {
            Refusal::Missing(_) => ManifestState::Missing,
            Refusal::Untrusted { .. } => ManifestState::Untrusted,
            Refusal::Unusable { .. } | Refusal::Io { .. } => ManifestState::Stale,
        };
        Self { state, error: Some(format!("The manifest is not used: {refusal}.")), loaded: None, seen: None }
    }
}

fn report(path: &Path, state: ManifestState, error: Option<&str>) {
    let path = path.display();
    if let Some(error) = error {
        tracing::warn!(%path, ?state, "the manifest file is not in force: {error}");
    } else {
        tracing::info!(%path, ?state, "the manifest file is in force");
    }
}

/// Cuts a text at a character boundary.
fn bound(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n[cut]");
    }
}

#[cfg(test)]
mod tests;
