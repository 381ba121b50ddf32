//! The pinned roots: `issuers/NAME/roots.pem` in the state directory, and what an operator accepted in their
//! place: one file for each issuer and fingerprint in `accepted-roots/`. Only root and the executor itself can write
//! there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_store::StateDir;
use phoenix_x509::Roots;

const DIRECTORY: &str = "issuers";
const FILE: &str = "roots.pem";
const ACCEPTED: &str = "accepted-roots";

/// Pinned roots, read once.
pub(super) struct Pins {
    state: StateDir,
    known: Mutex<BTreeMap<IssuerName, Arc<Roots>>>,
}

impl Pins {
    pub(super) fn new(state: StateDir) -> Self {
        Self { state, known: Mutex::default() }
    }

    /// The pinned roots of an issuer.
    pub(super) fn load(&self, name: &IssuerName) -> Result<Option<Arc<Roots>>, Trouble> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roots) = known.get(name) {
            return Ok(Some(Arc::clone(roots)));
        }
        let Some(issuers) = self.state.existing(DIRECTORY)? else { return Ok(None) };
        let Some(directory) = issuers.existing(name.as_str())? else { return Ok(None) };
        let Some(bytes) = directory.read(FILE)? else { return Ok(None) };
        let roots = Roots::from_pem(bytes.as_slice()).map_err(|error| {
            let place = directory.path().join(FILE);
            let message = format!(
                "The pinned root certificates in `{}` are damaged: {error}. Compare the root file of the CA with a \
                 copy that you trust, then remove the damaged one.",
                place.display()
            );
            Trouble::new(Reason::TrustChanged, message)
        })?;
        let roots = Arc::new(roots);
        known.insert(name.clone(), Arc::clone(&roots));
        Ok(Some(roots))
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
        for acceptance in &wanted {
            accepted.remove(acceptance)?;
        }
        Ok(true)
    }

    /// Pins roots, durably.
    pub(super) fn store(&self, name: &IssuerName, roots: &Roots) -> Result<(), Trouble> {
        let directory = self.state.subdir(DIRECTORY)?.subdir(name.as_str())?;
        directory.write(FILE, roots.pem().as_bytes())?;
        tracing::info!(issuer = %name, fingerprints = ?roots.fingerprints(), "root certificates pinned");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.clone(), Arc::new(roots.clone()));
        Ok(())
    }
}
