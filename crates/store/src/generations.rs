//! The last two pairs of an entry, in the executor's own state.

use phoenix_core::facts::{LeafFacts, OwnCopy};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;
use zeroize::Zeroizing;

use crate::pair::{LiveFile, LiveFiles, Vouched};
use crate::parts::{Meta, Parts, damaged};
use crate::record::Record;
use crate::state::StateDir;

pub(crate) const GENERATIONS: &str = "generations";
/// The present pair and the one before it.
const KEPT: usize = 2;

/// What the generation before the newest one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// The pair that was in place before.
    Previous,
    /// The pair that a rollback took back.
    Newer,
}

/// A pair that was installed or adopted.
#[derive(Clone, Debug)]
pub struct Generation {
    number: u64,
    meta: Meta,
    home: StateDir,
    combined: bool,
}

impl Generation {
    /// Counts the installations and adoptions of the entry.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Facts of the leaf.
    pub fn leaf(&self) -> &LeafFacts {
        &self.meta.leaf
    }

    /// Taken over from files that were there before us.
    pub fn adopted(&self) -> bool {
        self.meta.adopted
    }

    /// When it was installed or adopted.
    pub fn installed_at(&self) -> Timestamp {
        self.meta.installed_at
    }

    /// Fingerprint of the newer certificate in whose stead this pair was put back by a rollback.
    pub fn instead_of(&self) -> Option<&str> {
        self.meta.instead_of.as_deref()
    }

    /// What the generation before this one is, if there is one.
    pub fn other(&self) -> Other {
        if self.meta.instead_of.is_some() { Other::Newer } else { Other::Previous }
    }

    /// The same installation with the same content.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.number == other.number && self.meta.sums == other.meta.sums
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The facts for an observation. `trusted` is what the caller found about the chain.
    pub fn own_copy(&self, trusted: Option<bool>) -> OwnCopy {
        let sums = &self.meta.sums;
        let (cert, key) = if self.combined { (&sums.pair, &sums.pair) } else { (&sums.cert, &sums.key) };
        OwnCopy {
            leaf: self.meta.leaf.clone(),
            trusted,
            cert_sha256: cert.clone(),
            key_sha256: key.clone(),
            adopted: self.meta.adopted,
            installed_at: self.meta.installed_at,
        }
    }

    /// What the chain was found to lead to when it was installed or adopted, if the record tells.
    pub fn vouched(&self) -> Option<&Vouched> {
        self.meta.vouched.as_ref()
    }

    /// The live pair is this one, byte for byte: its key belongs to its certificate, which says what [`Self::leaf`]
    /// says.
    pub fn is_live(&self, live: &LiveFiles) -> bool {
        let sums = &self.meta.sums;
        let (cert, key) = if self.combined { (&sums.pair, &sums.pair) } else { (&sums.cert, &sums.key) };
        [(&live.cert, cert), (&live.key, key)]
            .iter()
            .all(|(file, sum)| matches!(file, LiveFile::Present(found) if found.sha256 == **sum))
    }

    /// A companion file (`chain_path`, `ca_path`) is missing or is not the one that belongs to this pair.
    pub fn companions_differ(&self, live: &LiveFiles) -> bool {
        self.chain_differs(live) || self.roots_differ(live)
    }

    /// The file at `chain_path` is missing or is not the one that belongs to this pair.
    pub fn chain_differs(&self, live: &LiveFiles) -> bool {
        differs(live.chain.as_ref(), Some(&self.meta.sums.chain))
    }

    /// The file at `ca_path` is missing or is not the one that belongs to this pair.
    pub fn roots_differ(&self, live: &LiveFiles) -> bool {
        differs(live.ca.as_ref(), self.meta.sums.ca.as_deref())
    }

    /// Leaf and intermediates, PEM.
    pub fn cert_pem(&self) -> Result<Vec<u8>, Trouble> {
        Ok(self.parts()?.cert)
    }

    /// Intermediates alone, PEM.
    pub fn chain_pem(&self) -> Result<Vec<u8>, Trouble> {
        Ok(self.parts()?.chain)
    }

    /// Roots bundle, PEM, when there was one.
    pub fn roots_pem(&self) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(self.parts()?.ca)
    }

    /// Private key, PEM.
    pub fn key_pem(&self) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        Ok(self.parts()?.key)
    }

    /// Everything. A damaged copy is set aside, so that the next look does not find it any more. One that has been
    /// dropped since for newer ones is not damaged: whoever reads it has been overtaken.
    pub(crate) fn parts(&self) -> Result<Parts, Trouble> {
        let name = self.number.to_string();
        if numbers(&self.home)?.first().is_some_and(|oldest| *oldest > self.number) {
            let message =
                format!("certificate {} has been replaced while it was in use", self.meta.leaf.serial);
            return Err(Trouble::new(Reason::Stale, message));
        }
        let record = Record::read(&self.home, &name)?;
        record.and_then(|record| record.parts()).ok_or_else(|| {
            self.home.set_aside(&name);
            damaged(&self.home.path().join(&name))
        })
    }
}

/// The directory of an entry's generations, if there are any.
pub(crate) fn home(entry: &StateDir) -> Result<Option<StateDir>, Trouble> {
    entry.existing(GENERATIONS)
}

/// Numbers of the generations of an entry, in order.
fn numbers(home: &StateDir) -> Result<Vec<u64>, Trouble> {
    Ok(numbers_of(&home.names()?))
}

fn numbers_of(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// The newest of the generations with these names; none when there is none, or it is damaged.
pub(crate) fn newest(
    home: StateDir,
    names: &[String],
    combined: bool,
) -> Result<Option<Generation>, Trouble> {
    numbers_of(names).last().map_or(Ok(None), |number| open(home, *number, combined))
}

fn open(home: StateDir, number: u64, combined: bool) -> Result<Option<Generation>, Trouble> {
    let Some(record) = Record::read(&home, &number.to_string())? else { return Ok(None) };
    Ok(Some(Generation { number, meta: record.into_meta(), home, combined }))
}

/// The generation that is `back` before the newest; none when there is none, or it is damaged.
pub(crate) fn load(entry: &StateDir, back: usize, combined: bool) -> Result<Option<Generation>, Trouble> {
    let Some(home) = entry.existing(GENERATIONS)? else { return Ok(None) };
    let Some(number) = numbers(&home)?.into_iter().rev().nth(back) else { return Ok(None) };
    open(home, number, combined)
}

/// Makes the file `name` of an entry its newest generation. This rename is what ends a commit.
///
/// Its new name is made durable at once, so that nothing that is recorded later can outlive it. Should a power
/// cut bring the old name back, as a file system without a journal might, recovery repeats the commit.
pub(crate) fn record(entry: &StateDir, name: &str) -> Result<(), Trouble> {
    let home = entry.subdir(GENERATIONS)?;
    let next = numbers(&home)?.last().map_or(1, |last| last.saturating_add(1));
    put(entry, name, &home, next)
}

fn differs(file: Option<&LiveFile>, sum: Option<&str>) -> bool {
    match (file, sum) {
        (Some(LiveFile::Present(found)), Some(sum)) => found.sha256 != sum,
        (Some(_), Some(_)) => true,
        (_, None) | (None, _) => false,
    }
}

/// Puts the file `name` of an entry in the place of its newest generation, which has the same pair.
pub(crate) fn replace(entry: &StateDir, name: &str) -> Result<(), Trouble> {
    let home = entry.subdir(GENERATIONS)?;
    let newest = numbers(&home)?.last().copied().unwrap_or(1);
    put(entry, name, &home, newest)
}

fn put(entry: &StateDir, name: &str, home: &StateDir, number: u64) -> Result<(), Trouble> {
    let next = number.to_string();
    entry.disk().rename((entry.dir(), name), (home.dir(), &next))?;
    if let Err(failure) = home.disk().sync_dir(home.dir()) {
        // The rename has happened: should a power cut undo it, recovery repeats the commit too.
        tracing::warn!("{failure}");
    }
    prune(home);
    Ok(())
}

/// Removes what an interrupted commit left behind the last two.
pub(crate) fn sweep(entry: &StateDir) -> Result<(), Trouble> {
    if let Some(home) = entry.existing(GENERATIONS)? {
        prune(&home);
    }
    Ok(())
}

/// Removes all but the last two. What cannot be removed now, or comes back after a power cut, is removed by the
/// next recovery or after the next commit.
fn prune(home: &StateDir) {
    let removed = numbers(home).and_then(|numbers| {
        numbers.iter().rev().skip(KEPT).try_for_each(|number| home.discard(&number.to_string()))
    });
    if let Err(trouble) = removed {
        tracing::warn!("old generations stay: {trouble}");
    }
}
