//! The root certificates of the issuers.
//!
//! A root file usually lies in the CA guest's directory. The executor keeps (pins) what it first saw there and
//! goes on trusting that and nothing else, until an operator accepts a change.
//!
//! | module | duty |
//! |---|---|
//! | [`guarded`] | files in directories that others can write |
//! | [`password`] | provisioner passwords |
//! | [`patience`] | files on storage that may hang |
//! | [`pins`] | the pinned roots in the state directory |

pub(crate) mod guarded;
pub(crate) mod password;
mod patience;
mod pins;

use std::collections::BTreeSet;
use std::sync::Arc;

use phoenix_core::name::{AbsolutePath, IssuerName};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{IssuerSettings, TrustAnchor};
use phoenix_protocol::executor::IssuerFacts;
use phoenix_store::StateDir;
use phoenix_x509::Roots;

use guarded::{GuardedError, GuardedFile};
use patience::patiently;
use pins::{Pinned, Pins};

/// Warning that goes with a root or password file that others can change.
const WRITABLE: &str = "trust-anchor-writable";

/// What is known about the roots of an issuer now.
#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    /// The pinned roots.
    pub(crate) roots: Option<Arc<Roots>>,
    /// Why the issuer must not be used now.
    pub(crate) trouble: Option<Trouble>,
    /// For people.
    pub(crate) warnings: Vec<String>,
}

/// The issuers' roots.
pub(crate) struct Anchors {
    issuers: Vec<IssuerSettings>,
    pins: Pins,
}

impl Anchors {
    /// For these issuers, pinned in the executor's state.
    pub(crate) fn new(issuers: Vec<IssuerSettings>, state: StateDir) -> Self {
        Self { issuers, pins: Pins::new(state) }
    }

    /// Settings of an issuer.
    pub(crate) fn settings(&self, name: &IssuerName) -> Result<&IssuerSettings, Trouble> {
        self.issuers.iter().find(|issuer| issuer.name == *name).ok_or_else(|| {
            Trouble::new(Reason::BadRequest, format!("The configuration has no issuer called `{name}`."))
        })
    }

    /// Looks at an issuer's root, pinning it when it is seen for the first time.
    pub(crate) fn look(&self, name: &IssuerName) -> Result<Anchor, Trouble> {
        let issuer = self.settings(name)?;
        let pinned = self.pins.load(name)?;
        let mut anchor = match &issuer.trust {
            TrustAnchor::File(path) => self.look_at_file(issuer, path, pinned),
            TrustAnchor::Fingerprint(wanted) => by_fingerprint(issuer, wanted, pinned.roots()),
        };
        let used = anchor.roots.as_ref().map_or_else(|| "none".to_owned(), |roots| list(&set(roots)));
        anchor.warnings.extend(self.pins.damage(name, &used));
        Ok(anchor)
    }

    /// The roots to judge a chain by; none while there are none. The root file is only looked at while nothing
    /// is pinned.
    pub(crate) fn pinned(&self, name: &IssuerName) -> Option<Arc<Roots>> {
        match self.pins.load(name) {
            Ok(Pinned::Roots(roots)) if self.fits_configuration(name, &roots) => Some(roots),
            Ok(_) => self.roots(name).ok(),
            Err(_) => None,
        }
    }

    fn fits_configuration(&self, name: &IssuerName, roots: &Roots) -> bool {
        match self.settings(name).map(|issuer| &issuer.trust) {
            Ok(TrustAnchor::Fingerprint(wanted)) => {
                set(roots) == BTreeSet::from([wanted.to_ascii_lowercase()])
            }
            Ok(TrustAnchor::File(_)) => true,
            Err(_) => false,
        }
    }

    /// The pinned roots of an issuer, or why there are none.
    pub(crate) fn roots(&self, name: &IssuerName) -> Result<Arc<Roots>, Trouble> {
        let anchor = self.look(name)?;
        match (anchor.roots, anchor.trouble) {
            (Some(roots), _) => Ok(roots),
            (None, Some(trouble)) => Err(trouble),
            (None, None) => Err(Trouble::new(Reason::Internal, format!("Issuer `{name}` has no roots."))),
        }
    }

    /// Public facts of all issuers.
    pub(crate) fn facts(&self) -> Vec<IssuerFacts> {
        self.issuers.iter().map(|issuer| self.facts_of(&issuer.name)).collect()
    }

    fn facts_of(&self, name: &IssuerName) -> IssuerFacts {
        let anchor = self.look(name).unwrap_or_else(|trouble| Anchor {
            roots: None,
            trouble: Some(trouble),
            warnings: Vec::new(),
        });
        IssuerFacts {
            name: name.clone(),
            roots: anchor.roots.as_ref().map(|roots| roots.pem()),
            fingerprints: anchor.roots.map(|roots| roots.fingerprints()).unwrap_or_default(),
            trouble: anchor.trouble,
            warnings: anchor.warnings,
            version: String::new(),
        }
    }

    /// Takes over a root that the daemon fetched by its configured fingerprint. A root that comes from a file is
    /// none of the daemon's business.
    pub(crate) fn trust(&self, name: &IssuerName, pem: &str) -> Result<(), Trouble> {
        let issuer = self.settings(name)?;
        let offered = Roots::from_pem(pem).map_err(|error| {
            Trouble::new(
                Reason::WrongRoot,
                format!("The root offered for issuer `{name}` is unusable: {error}."),
            )
        })?;
        let prints = set(&offered);
        match &issuer.trust {
            TrustAnchor::Fingerprint(wanted) => {
                if prints != BTreeSet::from([wanted.to_ascii_lowercase()]) {
                    return Err(wrong_fingerprint(name, wanted, &prints));
                }
            }
            TrustAnchor::File(path) => {
                let message =
                    format!("The root of issuer `{name}` comes from `{path}`, not from the daemon.");
                return Err(Trouble::new(Reason::BadRequest, message));
            }
        }
        self.pins.store(name, &offered)
    }

    fn look_at_file(&self, issuer: &IssuerSettings, path: &AbsolutePath, pinned: Pinned) -> Anchor {
        let mut warnings = writable_warning("root certificate", path);
        let (roots, trouble) = match (read_roots(&issuer.name, path), pinned) {
            (Ok(found), pinned) => self.compare(&issuer.name, path, found, pinned),
            (Err(trouble), Pinned::Roots(pinned)) => {
                // What is pinned is all that is needed; the file is only watched for a change.
                warnings.push(format!("{} The copy that was pinned earlier is used.", trouble.message));
                (Some(pinned), None)
            }
            (Err(trouble), Pinned::Nothing | Pinned::Fingerprints(_)) => (None, Some(trouble)),
        };
        Anchor { roots, trouble, warnings }
    }

    /// The roots to go on with, and why the issuer must not be used.
    fn compare(
        &self,
        name: &IssuerName,
        path: &AbsolutePath,
        found: Roots,
        pinned: Pinned,
    ) -> (Option<Arc<Roots>>, Option<Trouble>) {
        let expected = match &pinned {
            Pinned::Nothing => set(&found),
            Pinned::Fingerprints(prints) => prints.clone(),
            Pinned::Roots(roots) => set(roots),
        };
        let stored = match pinned.roots() {
            Some(pinned) if set(&found) == expected => {
                self.pins.use_up(name, &pinned);
                return (Some(pinned), None);
            }
            None if set(&found) == expected => self.pins.store(name, &found),
            pinned => match self.pins.replace(name, &found) {
                Ok(false) => return (pinned, Some(changed(name, path, &expected, &found))),
                Err(trouble) => return (pinned, Some(trouble)),
                Ok(true) => Ok(()),
            },
        };
        stored.map_or_else(|trouble| (None, Some(trouble)), |()| (Some(Arc::new(found)), None))
    }
}

fn by_fingerprint(issuer: &IssuerSettings, wanted: &str, pinned: Option<Arc<Roots>>) -> Anchor {
    let expected = BTreeSet::from([wanted.to_ascii_lowercase()]);
    let roots = pinned.filter(|roots| set(roots) == expected);
    let trouble = roots.is_none().then(|| {
        Trouble::new(
            Reason::IssuerNotReady,
            format!(
                "The root certificate of issuer `{}` with fingerprint {wanted} has not been fetched from the CA yet.",
                issuer.name
            ),
        )
    });
    Anchor { roots, trouble, warnings: Vec::new() }
}

fn read_roots(name: &IssuerName, path: &AbsolutePath) -> Result<Roots, Trouble> {
    let trouble = |reason, why: String| {
        Trouble::new(reason, format!("The root certificate `{path}` of issuer `{name}` {why}."))
    };
    let wanted = path.as_path().to_owned();
    let bytes = patiently(path.as_path(), move || {
        GuardedFile::open(&wanted).and_then(|file| file.read(Roots::MAX_BYTES as u64))
    })
    .map_err(|error: GuardedError| trouble(error.reason(), error.to_string()))?;
    Roots::from_pem(bytes.as_slice())
        .map_err(|error| trouble(Reason::IssuerNotReady, format!("is unusable: {error}")))
}

/// The permanent warning for a file that others can change.
pub(crate) fn writable_warning(what: &str, path: &AbsolutePath) -> Vec<String> {
    let wanted = path.as_path().to_owned();
    let why = patiently(path.as_path(), move || Ok(guarded::writable_by_others(&wanted)));
    // Storage that hangs is reported by whoever reads the file.
    why.ok()
        .flatten()
        .map(|why| format!("{WRITABLE}: the {what} file `{path}` can be changed by others: {why}."))
        .into_iter()
        .collect()
}

fn set(roots: &Roots) -> BTreeSet<String> {
    roots.fingerprints().into_iter().collect()
}

fn list(prints: &BTreeSet<String>) -> String {
    prints.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn changed(name: &IssuerName, path: &AbsolutePath, pinned: &BTreeSet<String>, found: &Roots) -> Trouble {
    let accept: Vec<String> = set(found).iter().map(|print| format!("--accept {print}")).collect();
    let accept = accept.join(" ");
    let (pinned, found) = (list(pinned), list(&set(found)));
    Trouble::new(
        Reason::TrustChanged,
        format!(
            "The root certificate file `{path}` of issuer `{name}` changed: it was {pinned} when it was first \
             accepted and is {found} now. If this is meant, run `phoenix-certctl trust {accept}`; if not, \
             put the old file back and find out who changed it."
        ),
    )
}

fn wrong_fingerprint(name: &IssuerName, wanted: &str, offered: &BTreeSet<String>) -> Trouble {
    Trouble::new(
        Reason::WrongRoot,
        format!(
            "The root offered for issuer `{name}` has the fingerprint {}, but {wanted} is configured.",
            list(offered)
        ),
    )
}

#[cfg(test)]
mod tests;
