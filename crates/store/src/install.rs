//! What a commit consists of: a new pair, the own copy put back, or a pair that is there already.

use phoenix_core::facts::Baseline;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;

use crate::commit::Bench;
use crate::generations::{self, Generation, Other};
use crate::intent::{Intent, Kind, PlannedFile};
use crate::ledger::{self, Book};
use crate::pair::{LiveFile, LiveFiles, NewPair};
use crate::parts::{Meta, Parts};
use crate::record::Record;
use crate::state::{NEW, StateDir};
use crate::survey::{self, Seen};
use crate::target::{Role, Target};
use crate::token::Token;

/// Commits a new pair with the owner and mode that the manifest asks for.
pub(crate) fn install(bench: Bench<'_>, target: &Target, pair: &NewPair) -> Result<(), Trouble> {
    let seen = survey::unobstructed(bench.roots, target)?;
    let wanted = survey::wanted(&seen)?;
    let parts = Parts::of(pair);
    let meta = meta(pair, &parts, false, (wanted.clone(), wanted.clone()));
    let plan = plan(seen, &meta, &wanted);
    if plan.files.is_empty() && is_newest(bench.entry, &meta)? {
        return Ok(());
    }
    commit_new(bench, target, &parts, &meta, &plan)
}

/// Commits the newest generation with other roots in its place. Of the live files only the roots bundle is written.
/// What was delivered and run is to be done again: guests and consumers have the old roots. False when nothing was to
/// be done.
pub(crate) fn exchange_roots(bench: Bench<'_>, target: &Target, roots_pem: &[u8]) -> Result<bool, Trouble> {
    let own = generations::load(bench.entry, 0, target.combined())?.ok_or_else(|| {
        Trouble::new(Reason::Missing, format!("there is no pair of our own for `{}`", target.key_path))
    })?;
    let parts = Parts { ca: Some(roots_pem.to_vec()), ..own.parts()? };
    let meta = Meta { sums: parts.sums(), ..own.meta().clone() };
    let book = ledger::read(bench.entry, Some(&own))?;
    let mut seen = survey::unobstructed(bench.roots, target)?;
    seen.retain(|seen| seen.file.role == Role::Ca);
    let access = book.ledger.baseline.clone().unwrap_or_else(|| own.meta().baseline.clone());
    let plan = plan(seen, &meta, &access);
    if plan.files.is_empty() && meta.sums == own.meta().sums {
        return Ok(false);
    }
    if meta.sums != own.meta().sums {
        forget_deeds(bench, &own)?;
    }
    let intent = intent(target, Kind::Roots, &plan, (meta.wanted.clone(), meta.baseline.clone()))?;
    bench.commit(&intent, &parts, &meta, &plan.old)?;
    Ok(true)
}

/// Commits the generation before the newest one as a new generation, and the newest becomes the one before it:
/// both stay. A pair that was taken over gets the owner and mode that it had then, for as long as the manifest
/// asks for the same as then.
pub(crate) fn swap(bench: Bench<'_>, target: &Target, to: Other, at: Timestamp) -> Result<(), Trouble> {
    let (newest, other) = both(bench.entry, target, to)?;
    let seen = survey::unobstructed(bench.roots, target)?;
    let wanted = survey::wanted(&seen)?;
    let (parts, was) = (other.parts()?, other.meta());
    let keeps = was.adopted && was.wanted == wanted;
    let baseline = if keeps { was.baseline.clone() } else { wanted.clone() };
    let instead_of = (to == Other::Previous).then(|| newest.leaf().fingerprint.clone());
    let meta = Meta { installed_at: at, wanted, baseline, instead_of, ..was.clone() };
    let plan = plan(seen, &meta, &meta.baseline);
    // The pair may come back by another exchange, to consumers that have read this one meanwhile.
    forget_deeds(bench, &newest)?;
    commit_new(bench, target, &parts, &meta, &plan)
}

/// Takes out of the ledger what was done for the newest generation. To be called before the commit: should the process
/// die between the two, deeds are repeated and none is missing.
fn forget_deeds(bench: Bench<'_>, newest: &Generation) -> Result<(), Trouble> {
    let _records = bench.locks.records();
    // Read now: a command may have ended while the files were looked at.
    let mut book = ledger::read(bench.entry, Some(newest))?;
    let ledger = &mut book.ledger;
    (ledger.delivered, ledger.activated, ledger.settled) = (None, None, None);
    ledger::write(bench.entry, &book)
}

/// The newest generation and the one that is to take its place.
fn both(entry: &StateDir, target: &Target, to: Other) -> Result<(Generation, Generation), Trouble> {
    let load = |back| generations::load(entry, back, target.combined());
    let (newest, other) = (load(0)?, load(1)?);
    let found = newest.zip(other).filter(|(newest, _)| newest.other() == to);
    found.ok_or_else(|| {
        let which = match to {
            Other::Previous => "earlier pair to go back to",
            Other::Newer => "newer pair that was taken back",
        };
        Trouble::new(Reason::Missing, format!("there is no {which} for `{}`", target.key_path))
    })
}

fn commit_new(
    bench: Bench<'_>,
    target: &Target,
    parts: &Parts,
    meta: &Meta,
    plan: &Plan,
) -> Result<(), Trouble> {
    let access = (meta.wanted.clone(), meta.baseline.clone());
    let intent = intent(target, Kind::Install, plan, access)?;
    bench.commit(&intent, parts, meta, &plan.old)
}

/// The very pair was installed already: by a call that was given up and finished all the same.
fn is_newest(entry: &StateDir, meta: &Meta) -> Result<bool, Trouble> {
    Ok(generations::load(entry, 0, false)?.is_some_and(|own| own.meta().sums == meta.sums))
}

/// Commits the newest generation again. Nothing is written when everything is right.
pub(crate) fn restore(bench: Bench<'_>, target: &Target) -> Result<(), Trouble> {
    let own = generations::load(bench.entry, 0, target.combined())?.ok_or_else(|| {
        Trouble::new(
            Reason::Missing,
            format!("there is no copy of our own of `{}` to put back", target.key_path),
        )
    })?;
    let book = ledger::read(bench.entry, Some(&own))?;
    let parts = own.parts()?;
    let seen = survey::unobstructed(bench.roots, target)?;
    let (wanted, baseline) = access(target, &own, &book, survey::wanted(&seen))?;
    let plan = plan(seen, own.meta(), &baseline);
    if plan.files.is_empty() {
        return Ok(());
    }
    let intent = intent(target, Kind::Restore, &plan, (wanted, baseline))?;
    bench.commit(&intent, &parts, own.meta(), &plan.old)
}

/// Records a pair that is on the live paths.
pub(crate) fn adopt(
    entry: &StateDir,
    pair: &NewPair,
    live: &LiveFiles,
    baseline: Baseline,
) -> Result<(), Trouble> {
    let wanted = live.wanted.clone().unwrap_or_else(|_| baseline.clone());
    let parts = Parts::of(pair);
    let meta = meta(pair, &parts, true, (wanted, baseline));
    let temp = format!("{NEW}{}", Token::random()?);
    let bytes = Record::encode(None, &meta, &parts)?;
    let done = entry.write_new(&temp, &bytes).and_then(|()| generations::record(entry, &temp));
    if done.is_err() {
        entry.try_remove(&temp);
    }
    done
}

/// What is asked for, and what the files get: what a command or an adopted pair settled on counts as long as
/// the manifest asks for the same as when the files were last written.
fn access(
    target: &Target,
    own: &Generation,
    book: &Book,
    wanted: Result<Baseline, Trouble>,
) -> Result<(Baseline, Baseline), Trouble> {
    let settled = book.ledger.baseline.clone();
    let wanted = match (wanted, &settled) {
        (Ok(wanted), _) => wanted,
        (Err(_), Some(settled)) => return Ok((settled.clone(), settled.clone())),
        (Err(trouble), None) => return Err(trouble),
    };
    let keeps = (target.has_command || own.adopted()) && book.wanted.as_ref() == Some(&wanted);
    let baseline = settled.filter(|_| keeps).unwrap_or_else(|| wanted.clone());
    Ok((wanted, baseline))
}

/// Files to write, and what they replace.
struct Plan {
    files: Vec<PlannedFile>,
    old: Vec<LiveFile>,
}

/// Leaves out what is right already: a roots bundle that entries share is not rewritten by each.
fn plan(seen: Vec<Seen>, meta: &Meta, access: &Baseline) -> Plan {
    let mut plan = Plan { files: Vec::new(), old: Vec::new() };
    for Seen { file, live, ids, .. } in seen {
        let Some(sum) = meta.sums.of(file.role) else { continue };
        let (uid, gid, mode) = match file.role {
            Role::Key | Role::Pair => access.key,
            Role::Cert => access.cert,
            Role::Chain | Role::Ca => {
                let (uid, gid) = ids.unwrap_or((access.cert.0, access.cert.1));
                (uid, gid, file.mode)
            }
        };
        let right = matches!(&live, LiveFile::Present(found)
            if found.sha256 == sum && (found.uid, found.gid, found.mode) == (uid, gid, mode));
        if !right {
            plan.files.push(PlannedFile { role: file.role, path: file.path, uid, gid, mode });
            plan.old.push(live);
        }
    }
    plan
}

fn intent(
    target: &Target,
    kind: Kind,
    plan: &Plan,
    (wanted, baseline): (Baseline, Baseline),
) -> Result<Intent, Trouble> {
    let (token, key_path) = (Token::random()?, target.key_path.clone());
    Ok(Intent { token, kind, key_path, files: plan.files.clone(), wanted, baseline })
}

fn meta(pair: &NewPair, parts: &Parts, adopted: bool, (wanted, baseline): (Baseline, Baseline)) -> Meta {
    let (leaf, sums) = (pair.leaf.clone(), parts.sums());
    let vouched = Some(pair.vouched.clone());
    Meta { leaf, adopted, installed_at: pair.at, sums, wanted, baseline, instead_of: None, vouched }
}
