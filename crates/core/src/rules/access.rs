//! Owner and mode of the files: no matter of the certificate, and put right without another one.

use super::Finding;
use crate::facts::{Baseline, FileFact, LivePair, Observation};
use crate::manifest::Entry;
use crate::reason::Reason;

/// Owner and mode of the live files.
pub fn live_baseline(live: &LivePair) -> Option<Baseline> {
    let facts = |file: &FileFact| match file {
        FileFact::Present { uid, gid, mode, .. } => Some((*uid, *gid, *mode)),
        FileFact::Missing | FileFact::Unreadable { .. } => None,
    };
    Some(Baseline { cert: facts(&live.cert)?, key: facts(&live.key)? })
}

/// Owner and mode of the live files and what is asked for, in words.
pub fn access_fact(seen: &Observation) -> String {
    let words = |facts: &Baseline| {
        let file = |(uid, gid, mode): (u32, u32, u16)| format!("{uid}:{gid} {mode:04o}");
        format!("certificate {}, key {}", file(facts.cert), file(facts.key))
    };
    let live = live_baseline(&seen.live)
        .map_or_else(|| "the files are not both there".to_owned(), |live| words(&live));
    match &seen.wanted {
        Some(wanted) => format!("{live}; wanted: {}", words(wanted)),
        None => format!("{live}; what is wanted cannot be told now"),
    }
}

/// Owner or mode of the live files is neither what the manifest asks for nor what a command left behind.
pub fn access_drift(entry: &Entry, seen: &Observation) -> Option<Finding> {
    let live = live_baseline(&seen.live)?;
    if seen.wanted.as_ref() == Some(&live) {
        return None;
    }
    // What a command settled on holds for as long as the manifest asks for what it asked for then.
    let rewritten = seen.ledger.wanted.is_some() && seen.ledger.wanted != seen.wanted;
    let settled = !rewritten && (entry.command.is_some() || seen.own.as_ref().is_some_and(|own| own.adopted));
    if (settled || seen.wanted.is_none()) && seen.ledger.baseline.as_ref() == Some(&live) {
        return None;
    }
    let wanted = seen.wanted.as_ref().or(seen.ledger.baseline.as_ref())?;
    let owners = |facts: &Baseline| (facts.cert.0, facts.cert.1, facts.key.0, facts.key.1);
    let finding = if owners(&live) == owners(wanted) {
        Finding {
            reason: Reason::ModeDrift,
            message: format!(
                "mode of {} is {:04o} and of {} {:04o}, wanted are {:04o} and {:04o}",
                entry.cert_path, live.cert.2, entry.key_path, live.key.2, wanted.cert.2, wanted.key.2
            ),
        }
    } else {
        Finding {
            reason: Reason::OwnerDrift,
            message: format!(
                "owner of {} is {}:{} and of {} {}:{}, wanted are {}:{} and {}:{}",
                entry.cert_path,
                live.cert.0,
                live.cert.1,
                entry.key_path,
                live.key.0,
                live.key.1,
                wanted.cert.0,
                wanted.cert.1,
                wanted.key.0,
                wanted.key.1
            ),
        }
    };
    Some(finding)
}
