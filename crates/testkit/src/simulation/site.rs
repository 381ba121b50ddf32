//! The executor's side of one entry: live files, own copy, ledger, consumer.

use std::rc::Rc;

use phoenix_core::facts::{Baseline, Deed, FileFact, LeafFacts, Ledger, LivePair, Observation, OwnCopy};
use phoenix_core::lifecycle::delivered_by_command;
use phoenix_core::manifest::Entry;
use phoenix_core::reason::Trouble;
use phoenix_core::time::Timestamp;

use super::clock::Moment;

/// Mode of the live key, as it should be.
pub(super) const MODE: u16 = 0o600;

/// What a version of the manifest says about an entry.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// The entry; none when it is not in the manifest.
    pub(super) entry: Option<Rc<Entry>>,
    /// Differs between versions.
    pub(super) version: u64,
}

/// A certificate with its key. Keys are known by the certificate that they were made for.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The certificate.
    pub(super) leaf: Rc<LeafFacts>,
    /// Taken over from outside.
    pub(super) adopted: bool,
    /// When it was installed or taken over, by the host's clock.
    pub(super) at: Timestamp,
}

/// The files on the live paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// The certificate file.
    pub(super) cert: Option<Rc<LeafFacts>>,
    /// The public half of the key file.
    pub(super) key: Option<String>,
    /// Mode of the key file.
    pub(super) mode: u16,
}

impl Live {
    /// Key and certificate belong together.
    pub(super) fn matches(&self) -> bool {
        self.cert.as_ref().is_some_and(|leaf| self.key.as_ref() == Some(&leaf.public_key))
    }
}

/// What a consumer does when its command has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Habit {
    /// It uses what lies on the live paths.
    #[default]
    Reads,
    /// It goes on with what it has.
    Deaf,
    /// It ends, unless it is given what it used last.
    Picky,
}

/// What really happened at the consumer.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumer {
    /// Certificate that the guest holds, by fingerprint.
    pub(super) has: Option<String>,
    /// Certificate for which the command truly succeeded, and which command.
    pub(super) ran: Option<(String, String)>,
    /// Certificate that it uses.
    pub(super) uses: Option<Rc<LeafFacts>>,
    /// What it used before it ended.
    pub(super) used: Option<Rc<LeafFacts>>,
    /// What it does with a command.
    pub(super) habit: Habit,
    /// Something behind it does not work.
    pub(super) amiss: bool,
    /// When that ends.
    pub(super) until: Moment,
    /// Something happened to it, or to the daemon's memory, since the daemon looked at it last.
    pub(super) unseen: bool,
}

impl Consumer {
    /// Its command has run while this pair lay on the live paths.
    pub(super) fn told(&mut self, live: &Live) {
        let Some(leaf) = live.cert.as_ref().filter(|_| live.matches()) else { return };
        let last = self.uses.as_ref().or(self.used.as_ref());
        match self.habit {
            Habit::Reads => self.starts_with(leaf),
            Habit::Deaf => {}
            Habit::Picky if last.is_some_and(|last| last.fingerprint == leaf.fingerprint) => {
                self.starts_with(leaf);
            }
            Habit::Picky => self.used = self.uses.take().or(self.used.take()),
        }
    }

    /// It uses this from now on.
    pub(super) fn starts_with(&mut self, leaf: &Rc<LeafFacts>) {
        self.uses = Some(leaf.clone());
    }

    /// It uses the certificate with this fingerprint.
    pub(super) fn is_using(&self, fingerprint: &str) -> bool {
        self.uses.as_ref().is_some_and(|leaf| leaf.fingerprint == fingerprint)
    }
}

/// One entry on the host.
pub(super) struct Site {
    /// What the file says.
    pub(super) written: Wish,
    /// What the executor has in force.
    pub(super) force: Wish,
    /// The storage that it lies on.
    pub(super) root: usize,
    /// The guest that its command enters.
    pub(super) guest: usize,
    /// The live files.
    pub(super) live: Live,
    /// The executor's own copy.
    pub(super) own: Option<Pair>,
    /// The other pair that the executor keeps.
    pub(super) other: Option<Pair>,
    /// Pairs from earlier times: what a restored backup holds.
    pub(super) earlier: Vec<Rc<LeafFacts>>,
    /// Deeds.
    pub(super) ledger: Ledger,
    /// Name of the staged key.
    pub(super) stage: Option<u64>,
    /// A pair whose installation was interrupted.
    pub(super) intent: Option<Pair>,
    /// Until then an operation of the executor is under way for it.
    pub(super) lane: Moment,
    /// The truth about its consumer.
    pub(super) consumer: Consumer,
    /// Somebody outside touched the live files since we wrote them.
    pub(super) touched: bool,
    /// The records are from an older copy: what they say was done was done, and then something else was.
    pub(super) outdated: bool,
}

impl Site {
    /// A site without files.
    pub(super) fn new(entry: Entry, root: usize, guest: usize) -> Self {
        let wish = Wish { entry: Some(Rc::new(entry)), version: 0 };
        Self {
            written: wish.clone(),
            force: wish,
            root,
            guest,
            live: Live::default(),
            own: None,
            other: None,
            earlier: Vec::new(),
            ledger: Ledger::default(),
            stage: None,
            intent: None,
            lane: 0,
            consumer: Consumer::default(),
            touched: false,
            outdated: false,
        }
    }

    /// An older copy of the executor's records comes back.
    pub(super) fn restore_records(&mut self, own: Option<Pair>, other: Option<Pair>, ledger: Ledger) {
        (self.own, self.other, self.ledger) = (own, other, ledger);
        (self.stage, self.intent) = (None, None);
        (self.touched, self.outdated) = (true, true);
    }

    /// Finishes an interrupted installation.
    pub(super) fn recover(&mut self) {
        let Some(pair) = self.intent.take() else { return };
        match &self.own {
            // Our own copy was being put back.
            Some(own) if own.leaf.fingerprint == pair.leaf.fingerprint => self.show(&pair.leaf),
            _ => self.commit(pair),
        }
    }

    /// Puts a pair on the live paths and records it.
    pub(super) fn commit(&mut self, pair: Pair) {
        self.show(&pair.leaf);
        self.record(pair);
    }

    /// Puts a pair on the live paths.
    pub(super) fn show(&mut self, leaf: &Rc<LeafFacts>) {
        self.live = Live { cert: Some(leaf.clone()), key: Some(leaf.public_key.clone()), mode: MODE };
        self.touched = false;
    }

    /// Records a pair as the newest generation.
    pub(super) fn record(&mut self, pair: Pair) {
        self.outdated = false;
        if let Some(old) = self.own.take() {
            self.other = Some(old.clone());
            self.earlier.push(old.leaf);
            if self.earlier.len() > 3 {
                self.earlier.remove(0);
            }
        }
        self.own = Some(pair);
        self.ledger.baseline = Some(baseline());
        self.ledger.foreign_writes = 0;
        self.ledger.rolled_back = None;
    }

    /// Puts the own copy back.
    pub(super) fn restore(&mut self) {
        let Some(own) = self.own.clone() else { return };
        let other = |found: Option<&String>, wanted: &str| found.is_some_and(|found| found != wanted);
        let cert = self.live.cert.as_ref().map(|leaf| &leaf.fingerprint);
        if other(cert, &own.leaf.fingerprint) || other(self.live.key.as_ref(), &own.leaf.public_key) {
            self.ledger.foreign_writes += 1;
        }
        self.show(&own.leaf);
    }

    /// Records that the command succeeded for the own copy.
    pub(super) fn record_command(&mut self, entry: &Entry, at: Timestamp) {
        let Some(own) = &self.own else { return };
        let deed = |of| Deed { fingerprint: own.leaf.fingerprint.clone(), of, at };
        self.ledger.activated = command_digest(entry).map(deed);
        if delivered_by_command(entry) {
            self.ledger.delivered = delivery_digest(entry).map(deed);
        }
    }

    /// Records that the own copy was delivered.
    pub(super) fn record_delivery(&mut self, entry: &Entry, at: Timestamp) {
        let Some(own) = &self.own else { return };
        let fingerprint = own.leaf.fingerprint.clone();
        self.ledger.delivered = delivery_digest(entry).map(|of| Deed { fingerprint, of, at });
    }

    /// What the executor says about the entry.
    pub(super) fn observe(
        &self,
        entry: &Entry,
        trouble: Option<Trouble>,
        rooted: bool,
        at: Timestamp,
    ) -> Observation {
        let trusted = rooted.then_some(true);
        Observation {
            at,
            live: if trouble.is_some() {
                LivePair::unread("the storage is not there")
            } else {
                self.live_pair(trusted)
            },
            target_trouble: trouble,
            own: self.own.as_ref().map(|own| own_copy(own, trusted)),
            ledger: self.ledger.clone(),
            delivery_digest: delivery_digest(entry),
            command_digest: command_digest(entry),
            wanted: Some(baseline()),
            set_aside: Vec::new(),
        }
    }

    fn live_pair(&self, trusted: Option<bool>) -> LivePair {
        let file = |sha256: Option<String>, mode| match sha256 {
            Some(sha256) => FileFact::Present { uid: 0, gid: 0, mode, sha256 },
            None => FileFact::Missing,
        };
        let leaf = self.live.cert.as_deref();
        LivePair {
            cert: file(leaf.map(|leaf| leaf.fingerprint.clone()), 0o644),
            key: file(self.live.key.clone(), self.live.mode),
            leaf: leaf.cloned(),
            key_public: self.live.key.clone(),
            trusted: leaf.and(trusted),
            companions_differ: false,
        }
    }
}

fn own_copy(own: &Pair, trusted: Option<bool>) -> OwnCopy {
    OwnCopy {
        leaf: LeafFacts::clone(&own.leaf),
        trusted,
        cert_sha256: own.leaf.fingerprint.clone(),
        key_sha256: own.leaf.public_key.clone(),
        adopted: own.adopted,
        installed_at: own.at,
    }
}

fn baseline() -> Baseline {
    Baseline { cert: (0, 0, 0o644), key: (0, 0, MODE) }
}

/// Digest of the delivery as configured.
fn delivery_digest(entry: &Entry) -> Option<String> {
    entry.delivery.as_ref().map(|_| "d".to_owned())
}

/// Digest of the command as configured.
pub(super) fn command_digest(entry: &Entry) -> Option<String> {
    entry.command.as_ref().and_then(|command| command.argv.last().cloned())
}
