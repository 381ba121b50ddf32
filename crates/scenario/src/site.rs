//! The executor's side of one entry: the files on the live paths, the pairs that it keeps, its ledger.

use phoenix_core::facts::{Baseline, Deed, FileFact, LeafFacts, Ledger, LivePair, Observation, OwnCopy};
use phoenix_core::lifecycle::delivered_by_command;
use phoenix_core::manifest::{Entry, Principal};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;

/// User, group and mode of a file.
pub(crate) type Access = (u32, u32, u16);

/// A certificate, and the root that its chain leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) leaf: LeafFacts,
    pub(crate) root: u32,
}

/// What lies on a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum File<T> {
    #[default]
    Missing,
    Garbled,
    Holds(T),
}

impl<T> File<T> {
    pub(crate) fn held(&self) -> Option<&T> {
        match self {
            Self::Holds(content) => Some(content),
            Self::Missing | Self::Garbled => None,
        }
    }
}

/// A pair that the executor keeps.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) certificate: Certificate,
    pub(crate) adopted: bool,
    pub(crate) installed_at: Timestamp,
}

/// What the executor keeps in its own state directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) own: Option<Kept>,
    pub(crate) other: Option<Kept>,
    pub(crate) ledger: Ledger,
    pub(crate) set_aside: Vec<String>,
}

/// One entry on the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site {
    pub(crate) cert: File<Certificate>,
    pub(crate) key: File<String>,
    pub(crate) cert_access: Access,
    pub(crate) key_access: Access,
    pub(crate) companions_differ: bool,
    pub(crate) records: Records,
    /// Fingerprint of what lies in the guest.
    pub(crate) in_guest: Option<String>,
    /// The roots by which chains are judged; none while none is known.
    pub(crate) root: Option<u32>,
}

/// Owner and mode that the manifest asks for.
pub(crate) fn wanted(entry: &Entry) -> Baseline {
    let id = |principal: &Principal| match principal {
        Principal::Id(id) => *id,
        Principal::Name(_) => 0,
    };
    let (user, group) = entry.owner.as_ref().map_or((0, 0), |owner| (id(&owner.user), id(&owner.group)));
    Baseline { cert: (user, group, entry.cert_mode.0), key: (user, group, entry.key_mode.0) }
}

fn delivery_digest(entry: &Entry) -> Option<String> {
    entry.delivery.as_ref().map(|delivery| format!("{:?} {delivery:?}", entry.guest))
}

fn command_digest(entry: &Entry) -> Option<String> {
    entry.command.as_ref().map(|command| command.argv.join(" "))
}

impl Site {
    /// Puts a pair on the live paths.
    fn show(&mut self, entry: &Entry, certificate: &Certificate) {
        self.show_as(wanted(entry), certificate);
        self.records.ledger.wanted = Some(wanted(entry));
    }

    fn show_as(&mut self, access: Baseline, certificate: &Certificate) {
        self.key = File::Holds(certificate.leaf.public_key.clone());
        self.cert = File::Holds(certificate.clone());
        (self.cert_access, self.key_access) = (access.cert, access.key);
        self.companions_differ = false;
        self.records.ledger.baseline = Some(access);
    }

    fn record(&mut self, kept: Kept) {
        self.records.other = self.records.own.replace(kept);
        self.records.ledger.foreign_writes = 0;
        self.records.ledger.rolled_back = None;
    }

    pub(crate) fn install(&mut self, entry: &Entry, certificate: &Certificate, at: Timestamp) {
        self.show(entry, certificate);
        self.record(Kept { certificate: certificate.clone(), adopted: false, installed_at: at });
    }

    pub(crate) fn adopt(&mut self, entry: &Entry, at: Timestamp) -> Result<(), Trouble> {
        let certificate = self.cert.held().cloned();
        let certificate =
            certificate.ok_or_else(|| Trouble::new(Reason::Unreadable, "nothing to take over"))?;
        self.record(Kept { certificate, adopted: true, installed_at: at });
        self.records.ledger.baseline = Some(self.access());
        self.records.ledger.wanted = Some(wanted(entry));
        Ok(())
    }

    pub(crate) fn restore(&mut self, entry: &Entry) -> Result<(), Trouble> {
        let own = self.records.own.clone();
        let own = own.ok_or_else(|| Trouble::new(Reason::Missing, "there is no copy of ours"))?;
        let others = self.cert.held().is_some_and(|found| *found != own.certificate)
            || self.key.held().is_some_and(|found| *found != own.certificate.leaf.public_key);
        self.records.ledger.foreign_writes += u32::from(others);
        // What a command settled on holds until the manifest asks for something else.
        let settled = self.records.ledger.baseline.clone();
        let keeps = self.records.ledger.wanted.as_ref() == Some(&wanted(entry));
        self.show_as(settled.filter(|_| keeps).unwrap_or_else(|| wanted(entry)), &own.certificate);
        self.records.ledger.wanted = Some(wanted(entry));
        Ok(())
    }

    /// Puts the other of the two kept pairs in place: the newer one again, or the one before it.
    pub(crate) fn exchange(&mut self, entry: &Entry, newer: bool, now: Timestamp) -> Result<(), Trouble> {
        let none = || Trouble::new(Reason::Missing, "there is no other pair that is still good");
        if newer != self.records.ledger.rolled_back.is_some() {
            return Err(none());
        }
        let good = |kept: &Kept| kept.certificate.leaf.not_after > now;
        let other = self.records.other.clone().filter(good).ok_or_else(none)?;
        let present = self.records.own.clone().ok_or_else(none)?;
        let taken_back = (!newer).then(|| present.certificate.leaf.fingerprint.clone());
        self.show(entry, &other.certificate);
        self.record(other);
        let ledger = &mut self.records.ledger;
        (ledger.delivered, ledger.activated, ledger.rolled_back) = (None, None, taken_back);
        Ok(())
    }

    pub(crate) fn deliver(&mut self, entry: &Entry, at: Timestamp) {
        self.in_guest = self.records.own.as_ref().map(|own| own.certificate.leaf.fingerprint.clone());
        self.records.ledger.delivered = self.deed(delivery_digest(entry), at);
    }

    /// What was delivered and is no longer there is forgotten.
    pub(crate) fn recheck(&mut self) {
        let in_guest = self.in_guest.clone();
        self.records.ledger.delivered.take_if(|deed| Some(&deed.fingerprint) != in_guest.as_ref());
    }

    /// The command succeeded.
    pub(crate) fn activate(&mut self, entry: &Entry, at: Timestamp) {
        if delivered_by_command(entry) {
            self.deliver(entry, at);
        }
        self.records.ledger.activated = self.deed(command_digest(entry), at);
        self.records.ledger.baseline = Some(self.access());
    }

    fn deed(&self, of: Option<String>, at: Timestamp) -> Option<Deed> {
        let own = self.records.own.as_ref()?;
        Some(Deed { fingerprint: own.certificate.leaf.fingerprint.clone(), of: of?, at })
    }

    fn access(&self) -> Baseline {
        Baseline { cert: self.cert_access, key: self.key_access }
    }

    fn trusted(&self, certificate: &Certificate) -> Option<bool> {
        self.root.map(|root| root == certificate.root)
    }

    /// The pair on the live paths, if it is one.
    pub(crate) fn live(&self) -> Option<&Certificate> {
        let certificate = self.cert.held()?;
        (self.key.held() == Some(&certificate.leaf.public_key)).then_some(certificate)
    }

    /// What the executor says about the entry.
    pub(crate) fn observe(&self, entry: &Entry, trouble: Option<Trouble>, at: Timestamp) -> Observation {
        let records = &self.records;
        Observation {
            at,
            live: if trouble.is_some() {
                LivePair::unread("it cannot be looked at")
            } else {
                self.live_pair(entry)
            },
            target_trouble: trouble,
            own: records.own.as_ref().map(|own| self.own_copy(own)),
            ledger: records.ledger.clone(),
            delivery_digest: delivery_digest(entry),
            command_digest: command_digest(entry),
            wanted: Some(wanted(entry)),
            set_aside: records.set_aside.clone(),
        }
    }

    fn live_pair(&self, entry: &Entry) -> LivePair {
        LivePair {
            cert: fact(&self.cert, entry.cert_path.as_str(), self.cert_access, cert_sha256),
            key: fact(&self.key, entry.key_path.as_str(), self.key_access, |public| key_sha256(public)),
            leaf: self.cert.held().map(|certificate| certificate.leaf.clone()),
            key_public: self.key.held().cloned(),
            trusted: self.cert.held().and_then(|certificate| self.trusted(certificate)),
            companions_differ: self.companions_differ,
        }
    }

    fn own_copy(&self, own: &Kept) -> OwnCopy {
        OwnCopy {
            leaf: own.certificate.leaf.clone(),
            trusted: self.trusted(&own.certificate),
            cert_sha256: cert_sha256(&own.certificate),
            key_sha256: key_sha256(&own.certificate.leaf.public_key),
            adopted: own.adopted,
            installed_at: own.installed_at,
        }
    }
}

fn cert_sha256(certificate: &Certificate) -> String {
    format!("file of {}", certificate.leaf.fingerprint)
}

fn key_sha256(public: &str) -> String {
    format!("file of {public}")
}

fn fact<T>(file: &File<T>, path: &str, access: Access, sha256: impl Fn(&T) -> String) -> FileFact {
    match file {
        File::Missing => FileFact::Missing,
        File::Garbled => FileFact::Unreadable { why: format!("{path} is not PEM") },
        File::Holds(content) => {
            let (uid, gid, mode) = access;
            FileFact::Present { uid, gid, mode, sha256: sha256(content) }
        }
    }
}
