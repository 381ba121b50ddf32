//! What do the files need?
//!
//! Three situations, each with rules of its own: there is no copy of ours yet; ours lies on the live paths;
//! something else lies there.

use super::{Case, Need};
use crate::lifecycle::rollback::{self, Step as RollbackStep};
use crate::lifecycle::rule::Rule;
use crate::reason::{Reason, Trouble};
use crate::rules::{self, FITTING, Finding, RENEW, TIMELY, USABLE};

/// After so many replacements another writer is not fought over.
pub const FOREIGN_WRITES: u32 = 3;

/// What do the files need? Without a finding: nothing.
pub const FILES: &[Rule<Need>] = &[
    Rule {
        name: "unfit",
        about: "no copy of ours exists, and what lies there does not serve or fit: a certificate is requested",
        fact: live_words,
        test: unfit,
    },
    Rule {
        name: "roll-back",
        about: "our pair was not seen at its consumer, or an operator wants the one before it: that is put back",
        fact: rollback_words,
        test: roll_back,
    },
    Rule {
        name: "reinstate",
        about: "our previous pair was put back, and its time is over: the newer one is put in place again",
        fact: rollback_words,
        test: reinstate,
    },
    Rule {
        name: "own-unfit",
        about: "our pair is in place and a rule of RENEW wants another: a certificate is requested",
        fact: own_words,
        test: own_unfit,
    },
    Rule {
        name: "newer-foreign",
        about: "another writer's good pair expires later than ours: it is taken over",
        fact: expiries,
        test: newer_foreign,
    },
    Rule {
        name: "damaged",
        about: "what lies there does not serve and our copy does: it is put back",
        fact: live_words,
        test: damaged,
    },
    Rule {
        name: "copy-unfit",
        about: "what lies there is not ours, and our copy does not serve or fit: a certificate is requested",
        fact: own_words,
        test: copy_unfit,
    },
    Rule {
        name: "forced",
        about: "an operator asked for a new certificate",
        fact: |case| if case.memory.reissue { "it was asked for".into() } else { "nobody asked".into() },
        test: |case| {
            let why = "an operator asked for a new certificate";
            case.memory.reissue.then(|| Need::Issue(finding(Reason::Forced, why)))
        },
    },
    Rule {
        name: "adopt",
        about: "no copy of ours exists, and what lies there is good: it is taken over, without request or command",
        fact: live_words,
        test: adopt,
    },
    Rule {
        name: "unjudged-due",
        about: "the chain of what lies there cannot be judged, and the pair is due: a certificate is requested",
        fact: |case| rules::due_fact(&case.live),
        test: |case| {
            case.own.is_none().then_some(())?;
            rules::first(&[TIMELY], &case.live).map(Need::Issue)
        },
    },
    Rule {
        name: "unjudged",
        about: "the chain of what lies there cannot be judged while no root is known: it is left alone",
        fact: live_words,
        test: |case| case.own.is_none().then_some(Need::Judge),
    },
    Rule {
        name: "companions",
        about: "the chain or roots file beside our pair differs: our copy is put back",
        fact: |case| {
            let differ = case.seen.live.companions_differ;
            if differ { "one of them differs".into() } else { "they are as installed".into() }
        },
        test: companions,
    },
    Rule {
        name: "access",
        about: "owner or mode are neither as asked for nor as the command left them: our copy is put back",
        fact: |case| rules::access_fact(case.seen),
        test: |case| {
            case.own_in_place()?;
            rules::access_drift(case.entry, case.seen).map(Need::Restore)
        },
    },
    Rule {
        name: "foreign-writer",
        about: "a good pair was put in place of ours three times: it is left alone until it is due",
        fact: |case| format!("ours was replaced {} times in a row", case.seen.ledger.foreign_writes),
        test: foreign_writer,
    },
    Rule {
        name: "replaced",
        about: "something else lies in place of ours: our copy is put back",
        fact: live_words,
        test: replaced,
    },
];

fn finding(reason: Reason, message: impl Into<String>) -> Finding {
    Finding { reason, message: message.into() }
}

fn unfit(case: &Case<'_>) -> Option<Need> {
    case.own.is_none().then_some(())?;
    case.live_problem.clone().map(Need::Issue)
}

fn own_unfit(case: &Case<'_>) -> Option<Need> {
    rules::first(wishes(case), &case.own_in_place()?.pair).map(Need::Issue)
}

/// A pair that was put back stays as long as it serves.
fn wishes(case: &Case<'_>) -> &'static [&'static [rules::Rule]] {
    if rollback::retry_at(case.memory).is_some() { &[USABLE] } else { RENEW }
}

fn roll_back(case: &Case<'_>) -> Option<Need> {
    let own = &case.own_in_place()?.copy.leaf;
    let known = case.memory.rollback.as_ref().filter(|known| known.failed == own.fingerprint)?;
    (known.step == RollbackStep::Wanted).then(|| {
        let why = if known.ordered {
            "an operator wants the previous pair back"
        } else {
            "the new certificate was not seen at its consumer: the previous pair is put back"
        };
        Need::Rollback(finding(Reason::RolledBack, why))
    })
}

fn reinstate(case: &Case<'_>) -> Option<Need> {
    case.own_in_place()?;
    if case.memory.reissue {
        return None;
    }
    match case.memory.rollback.as_ref()?.step {
        RollbackStep::InPlace { retry_at } if retry_at <= case.now => {
            let why = "the certificate that was taken back is tried again";
            Some(Need::Reinstate(finding(Reason::RolledBack, why)))
        }
        RollbackStep::Lost => {
            let why = "the certificate that was taken back is gone: another is requested";
            Some(Need::Issue(finding(Reason::RolledBack, why)))
        }
        _ => None,
    }
}

fn rollback_words(case: &Case<'_>) -> String {
    let Some(known) = &case.memory.rollback else { return "nothing was taken back".to_owned() };
    let what = match known.step {
        RollbackStep::Wanted => "is to be taken back".to_owned(),
        RollbackStep::Impossible => "cannot be taken back: no earlier pair is left that serves".to_owned(),
        RollbackStep::InPlace { retry_at } if known.ordered => {
            format!("was taken back by an operator and is put in place again at {retry_at}")
        }
        RollbackStep::InPlace { retry_at } => format!("was taken back and is tried again at {retry_at}"),
        RollbackStep::Lost => "was taken back and is gone".to_owned(),
        RollbackStep::Tried => "was taken back and is being tried again".to_owned(),
    };
    format!("the certificate {} {what}", known.failed)
}

fn newer_foreign(case: &Case<'_>) -> Option<Need> {
    let own = case.own_displaced()?;
    let leaf = case.seen.live.leaf.as_ref()?;
    (case.live_is_good() && leaf.not_after > own.copy.leaf.not_after).then(|| {
        Need::Adopt(finding(
            Reason::FileChanged,
            "another writer put a valid pair there that expires later than ours: it is taken over",
        ))
    })
}

/// Something that serves, although it is not what the manifest asks for, is better than nothing for as long as a new
/// certificate takes.
fn damaged(case: &Case<'_>) -> Option<Need> {
    let own = case.own_displaced()?;
    let problem = rules::first(&[USABLE], &case.live)?;
    rules::first(&[USABLE], &own.pair).is_none().then_some(Need::Restore(problem))
}

fn copy_unfit(case: &Case<'_>) -> Option<Need> {
    let problem = rules::first(&[USABLE, FITTING], &case.own_displaced()?.pair)?;
    Some(Need::Issue(case.live_problem.clone().unwrap_or(problem)))
}

fn adopt(case: &Case<'_>) -> Option<Need> {
    (case.own.is_none() && case.seen.live.trusted == Some(true))
        .then(|| Need::Adopt(finding(Reason::FileChanged, "a valid pair without a history is taken over")))
}

fn companions(case: &Case<'_>) -> Option<Need> {
    case.own_in_place()?;
    case.seen.live.companions_differ.then(|| {
        Need::Restore(finding(
            Reason::FileChanged,
            "the chain or roots file beside the certificate is not the one that was installed",
        ))
    })
}

fn foreign_writer(case: &Case<'_>) -> Option<Need> {
    case.own_displaced()?;
    let writes = case.seen.ledger.foreign_writes;
    (case.live_is_good() && writes >= FOREIGN_WRITES).then_some(())?;
    Some(match rules::first(&[TIMELY], &case.live) {
        Some(due) => Need::Issue(due),
        None => Need::Yield(Trouble::new(
            Reason::ForeignWriter,
            format!(
                "{} was replaced from outside {writes} times with an older certificate; it is left alone now. \
                 Find the other writer (an old cron job, a restored backup, a synchronisation), stop it, \
                 then run `phoenix-certctl renew --name {}`",
                case.entry.cert_path, case.entry.name
            ),
        )),
    })
}

fn replaced(case: &Case<'_>) -> Option<Need> {
    case.own_displaced()?;
    Some(Need::Restore(case.live_problem.clone().unwrap_or_else(|| {
        finding(Reason::FileChanged, "the pair was replaced from outside with one that expires sooner")
    })))
}

fn live_words(case: &Case<'_>) -> String {
    let ours = match &case.own {
        None => "there is no copy of ours",
        Some(own) if own.in_place => "ours lies there",
        Some(_) => "ours does not lie there",
    };
    let live = case.live_problem.as_ref().map_or_else(
        || match case.seen.live.trusted {
            Some(_) => "the live pair is good".to_owned(),
            None => "the live pair is good, its chain cannot be judged".to_owned(),
        },
        |problem| problem.message.clone(),
    );
    format!("{ours}; {live}")
}

fn own_words(case: &Case<'_>) -> String {
    match &case.own {
        None => "there is no copy of ours".to_owned(),
        Some(own) => {
            let place = if own.in_place { "ours lies there" } else { "ours does not lie there" };
            let chain = if own.in_place { wishes(case) } else { &[USABLE, FITTING] };
            let problem = rules::first(chain, &own.pair);
            problem.map_or_else(
                || format!("{place}, and no rule wants another"),
                |problem| format!("{place}; {}", problem.message),
            )
        }
    }
}

fn expiries(case: &Case<'_>) -> String {
    let when = |leaf: Option<&crate::facts::LeafFacts>| {
        leaf.map_or_else(|| "is not there".to_owned(), |leaf| format!("expires at {}", leaf.not_after))
    };
    let own = case.own.as_ref().map(|own| &own.copy.leaf);
    format!("the live certificate {}, ours {}", when(case.seen.live.leaf.as_ref()), when(own))
}
