//! The pinned roots: `issuers/NAME/roots.pem` in the state directory, and what an operator accepted in their
//! place: one file for each issuer and fingerprint in `accepted-roots/`. Only root and the executor itself can write
//! there.
//!
//! The fingerprints are kept a second time, in `issuers/NAME/pinned.json`: where the certificates themselves got
//! damaged, or are no longer those, they are taken from the CA's root file again, as long as it still holds the very
//! same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use phoenix_core::name::IssuerName;
use phoenix_core::reason::Trouble;
use phoenix_store::StateDir;
use phoenix_x509::Roots;

const DIRECTORY: &str = "issuers";
const FILE: &str = "roots.pem";
/// The fingerprints of what is in [`FILE`].
const WITNESS: &str = "pinned.json";
const ACCEPTED: &str = "accepted-roots";

/// What is pinned for an issuer.
pub(super) enum Pinned {
    /// Nothing was ever seen, or nothing is left of it.
    Nothing,
    /// The certificates got damaged; these were their fingerprints.
    Fingerprints(BTreeSet<String>),
    /// The roots.
    Roots(Arc<Roots>),
}

impl Pinned {
    /// The roots, if they are there.
    pub(super) fn roots(self) -> Option<Arc<Roots>> {
        match self {
            Self::Roots(roots) => Some(roots),
            Self::Nothing | Self::Fingerprints(_) => None,
        }
    }
}

/// Pinned roots, read once.
pub(super) struct Pins {
    state: StateDir,
    known: Mutex<BTreeMap<IssuerName, Arc<Roots>>>,
}

impl Pins {
    pub(super) fn new(state: StateDir) -> Self {
        Self { state, known: Mutex::default() }
    }

    /// What is pinned for an issuer. A damaged file is set aside.
    pub(super) fn load(&self, name: &IssuerName) -> Result<Pinned, Trouble> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roots) = known.get(name) {
            return Ok(Pinned::Roots(Arc::clone(roots)));
        }
        let Some(directory) = self.directory(name)? else { return Ok(Pinned::Nothing) };
        let bytes = directory.read(FILE)?;
        let witness = directory.read_json::<BTreeSet<String>>(WITNESS)?;
        let damage = match bytes.map(|bytes| Roots::from_pem(bytes.as_slice())) {
            None => return Ok(witness.map_or(Pinned::Nothing, Pinned::Fingerprints)),
            Some(Err(error)) => error.to_string(),
            Some(Ok(roots)) => {
                let prints: BTreeSet<String> = roots.fingerprints().into_iter().collect();
                if witness.as_ref().is_none_or(|witness| *witness == prints) {
                    if witness.is_none() {
                        directory.write_json(WITNESS, &prints)?;
                    }
                    let roots = Arc::new(roots);
                    known.insert(name.clone(), Arc::clone(&roots));
                    return Ok(Pinned::Roots(roots));
                }
                "they are not those that were pinned".to_owned()
            }
        };
        let place = directory.path().join(FILE);
        tracing::warn!(path = %place.display(), "damaged pinned roots are set aside: {damage}");
        directory.set_aside(FILE);
        Ok(witness.map_or(Pinned::Nothing, Pinned::Fingerprints))
    }

    /// What was set aside, for people who see to it that `used`, the root in use, is the right one.
    pub(super) fn damage(&self, name: &IssuerName, used: &str) -> Vec<String> {
        let aside =
            self.directory(name).ok().flatten().and_then(|directory| directory.set_aside_files().ok());
        let words = |path: String| {
            format!(
                "the record of the pinned root certificates was damaged and set aside as {path}. Compare the root \
                 that is in use ({used}) with a copy that you trust, then remove that file"
            )
        };
        aside.unwrap_or_default().into_iter().map(words).collect()
    }

    fn directory(&self, name: &IssuerName) -> Result<Option<StateDir>, Trouble> {
        let issuers = self.state.existing(DIRECTORY)?;
        issuers.map_or(Ok(None), |issuers| issuers.existing(name.as_str()))
    }

    /// Pins roots in place of others if an operator accepted every one of these fingerprints for this issuer. An
    /// acceptance is good for one change: a root that is rotated out later cannot be put back with it.
    pub(super) fn replace(&self, name: &IssuerName, roots: &Roots) -> Result<bool, Trouble> {
        let Some(accepted) = self.state.existing(ACCEPTED)? else { return Ok(false) };
        let names = accepted.names()?;
        let wanted: Vec<String> =
            roots.fingerprints().iter().map(|print| format!("{name}.{print}")).collect();
        if !wanted.iter().all(|acceptance| names.contains(acceptance)) {
            return Ok(false);
        }
        self.store(name, roots)?;
        self.use_up(name, roots);
        Ok(true)
    }

    /// Removes acceptances of roots that are pinned already: what a crash left, or what was not needed. Best effort.
    pub(super) fn use_up(&self, name: &IssuerName, roots: &Roots) {
        let Ok(Some(accepted)) = self.state.existing(ACCEPTED) else { return };
        for print in roots.fingerprints() {
            if let Err(trouble) = accepted.remove(&format!("{name}.{print}")) {
                tracing::warn!(issuer = %name, "the acceptance of a root that is pinned stays: {trouble}");
            }
        }
    }

    /// Pins roots, durably.
    pub(super) fn store(&self, name: &IssuerName, roots: &Roots) -> Result<(), Trouble> {
        let directory = self.state.subdir(DIRECTORY)?.subdir(name.as_str())?;
        // First the fingerprints: after a crash between the two the certificates are taken from their file again.
        directory.write_json(WITNESS, &roots.fingerprints())?;
        directory.write(FILE, roots.pem().as_bytes())?;
        tracing::info!(issuer = %name, fingerprints = ?roots.fingerprints(), "root certificates pinned");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.clone(), Arc::new(roots.clone()));
        Ok(())
    }
}
