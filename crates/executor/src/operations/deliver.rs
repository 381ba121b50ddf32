//! `deliver`: the pair into an entry's guest.

use std::time::Instant;

use phoenix_core::facts::{Deed, FileFact};
use phoenix_core::manifest::{Delivery, Entry, Guest, Mode, Owner};
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_guests::{GuestFile, LEGACY_CA, LEGACY_CERT, LEGACY_KEY, delivery};
use phoenix_protocol::executor::Answer;
use phoenix_store::{Generation, sha256_hex};
use zeroize::Zeroizing;

use super::observe::require_own;
use super::{Executor, Trail, activate};
use crate::clock;

/// Mode of the copies in `/tmp`.
const PRIVATE: Mode = Mode(0o600);

/// Where the files of one delivery go.
pub(super) struct Destinations<'a> {
    key: Option<AbsolutePath>,
    cert: Option<AbsolutePath>,
    ca: Option<AbsolutePath>,
    owner: Option<&'a Owner>,
    key_mode: Mode,
    cert_mode: Mode,
    exclusive: bool,
}

impl Executor {
    /// Copies the pair into the guest and records it.
    pub(super) fn deliver(&self, entry: &Entry, trail: &Trail) -> Result<Answer, Trouble> {
        if is_legacy(entry) && entry.command.is_some() {
            let message = format!("The copies for `{}` go to /tmp together with its command.", entry.name);
            return Err(Trouble::new(Reason::BadRequest, message));
        }
        let store = self.store_of(entry);
        let own = require_own(&store, entry)?;
        let settled = self.copy_into_guest(entry, &own, trail)?;
        let delivered = deed(entry, &own);
        store.update_ledger_for(&own, |ledger| {
            ledger.delivered = delivered;
            ledger.settled = Some(settled);
            ledger.settling = false;
        })?;
        Ok(Answer::Done { observations: vec![self.observe(entry)?] })
    }

    /// Copies the executor's own copy of the pair into the guest. Gives what lies there now.
    pub(super) fn copy_into_guest(
        &self,
        entry: &Entry,
        own: &Generation,
        trail: &Trail,
    ) -> Result<Vec<FileFact>, Trouble> {
        let (Some(guest), Some(wanted)) = (entry.guest, &entry.delivery) else {
            let message = format!("Nothing is to be copied into a guest for `{}`.", entry.name);
            return Err(Trouble::new(Reason::BadRequest, message));
        };
        let files = destinations(wanted)?.files(own)?;
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str().to_owned()).collect();
        let sent = delivery::Delivery { guest, files };
        let began = Instant::now();
        let found = self.reach_guest(guest.kind, trail, |hypervisor| sent.deliver(hypervisor))?;
        tracing::info!(
            name = %entry.name,
            serial = %own.leaf().serial,
            "{}: delivered into {guest} in {} ms: {}",
            entry.name,
            began.elapsed().as_millis(),
            paths.join(", ")
        );
        Ok(found)
    }

    /// Removes what a command left of the copies in `/tmp`. A failure costs a warning only: the next delivery
    /// removes them first.
    pub(super) fn remove_copies(&self, entry: &Entry, guest: Guest, trail: &Trail) {
        let paths = [LEGACY_CERT, LEGACY_KEY, LEGACY_CA];
        let removed =
            self.reach_guest(guest.kind, trail, |hypervisor| delivery::remove(hypervisor, guest, &paths));
        if let Err(trouble) = removed {
            tracing::warn!(name = %entry.name, %guest, "copies may be left in /tmp of the guest: {trouble}");
        }
    }
}

/// The copies are picked up in `/tmp` by the command.
pub(super) fn is_legacy(entry: &Entry) -> bool {
    matches!(entry.delivery, Some(Delivery::Legacy { .. }))
}

/// The deed of having delivered this pair.
pub(super) fn deed(entry: &Entry, own: &Generation) -> Option<Deed> {
    let fingerprint = own.leaf().fingerprint.clone();
    activate::delivery_digest(entry).map(|of| Deed { fingerprint, of, at: clock::now() })
}

/// Hashes of what is delivered to places of its own, in the order of [`Destinations::files`].
pub(super) fn hashes(wanted: &Delivery, own: &Generation) -> Result<Vec<String>, Trouble> {
    let files = destinations(wanted)?.files(own)?;
    Ok(files.iter().map(|file| sha256_hex(&file.content)).collect())
}

pub(super) fn destinations(wanted: &Delivery) -> Result<Destinations<'_>, Trouble> {
    let fixed = |path: &str| {
        path.parse().map(Some).map_err(|error| Trouble::new(Reason::Internal, format!("{error}")))
    };
    Ok(match wanted {
        Delivery::Legacy { ca } => Destinations {
            key: fixed(LEGACY_KEY)?,
            cert: fixed(LEGACY_CERT)?,
            ca: if *ca { fixed(LEGACY_CA)? } else { None },
            key_mode: PRIVATE,
            cert_mode: PRIVATE,
            owner: None,
            exclusive: true,
        },
        Delivery::Explicit { cert, key, ca, owner, key_mode, cert_mode } => Destinations {
            key: key.clone(),
            cert: cert.clone(),
            ca: ca.clone(),
            owner: owner.as_ref(),
            key_mode: *key_mode,
            cert_mode: *cert_mode,
            exclusive: false,
        },
    })
}

impl Destinations<'_> {
    /// The places, in the order of [`Destinations::files`].
    pub(super) fn paths(&self) -> Vec<&AbsolutePath> {
        let combined = self.key.is_some() && self.key == self.cert;
        let cert = self.cert.as_ref().filter(|_| !combined);
        self.key.iter().chain(cert).chain(&self.ca).collect()
    }

    /// The files, key first.
    fn files(&self, own: &Generation) -> Result<Vec<GuestFile>, Trouble> {
        let mut files = Vec::new();
        let combined = self.key.is_some() && self.key == self.cert;
        if let Some(path) = &self.key {
            let key = own.key_pem()?;
            let content = if combined { joined(&own.cert_pem()?, &key) } else { key };
            files.push(self.file(path, content, self.key_mode));
        }
        if let Some(path) = self.cert.as_ref().filter(|_| !combined) {
            files.push(self.file(path, Zeroizing::new(own.cert_pem()?), self.cert_mode));
        }
        if let Some(path) = &self.ca {
            let roots = own.roots_pem()?.ok_or_else(|| {
                Trouble::new(Reason::IssuerNotReady, "The issuer's root certificate is not known yet.")
            })?;
            files.push(self.file(path, Zeroizing::new(roots), self.cert_mode));
        }
        Ok(files)
    }

    fn file(&self, path: &AbsolutePath, content: Zeroizing<Vec<u8>>, mode: Mode) -> GuestFile {
        GuestFile { path: path.clone(), content, owner: self.owner.cloned(), mode, exclusive: self.exclusive }
    }
}

/// Chain, then key. Room for both at once: growing would leave a copy of the key in freed memory.
fn joined(cert: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::with_capacity(cert.len() + key.len()));
    content.extend_from_slice(cert);
    content.extend_from_slice(key);
    content
}
