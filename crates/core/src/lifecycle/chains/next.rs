//! What is the next thing to do, given what the files need?

use super::{Case, DEPLOY, Need};
use crate::backoff::{LONGEST_EXPIRED, WAITING};
use crate::lifecycle::decide::{Availability, Decision, Work};
use crate::lifecycle::memory::Stage;
use crate::lifecycle::rule::{self, Rule};
use crate::reason::{Reason, Trouble};
use crate::rules::{self, Finding, USABLE};
use crate::time::Timestamp;

/// Issuances without an operator's request that one lifetime may see. Renewing at half of the lifetime with
/// full jitter takes two or three.
pub const ISSUANCES_PER_LIFETIME: usize = 6;

/// What is the next thing to do? The last rule always decides.
pub const NEXT: &[Rule<Decision>] = &[
    Rule {
        name: "paused",
        about: "the manifest pauses the entry: nothing is done",
        fact: |case| format!("paused is {}", case.entry.paused),
        test: |case| case.entry.paused.then_some(Decision::Rest(None)),
    },
    Rule {
        name: "storage",
        about: "the paths cannot be looked at: nothing is issued or written there until they can",
        fact: |case| {
            let trouble = case.seen.target_trouble.as_ref();
            trouble.map_or_else(|| "the paths can be looked at".to_owned(), |trouble| trouble.message.clone())
        },
        test: |case| {
            let trouble = case.seen.target_trouble.clone()?;
            Some(Decision::Stuck(Stage::Write, trouble, case.now.plus(WAITING)))
        },
    },
    Rule {
        name: "write-spacing",
        about: "a pair is to be taken over or put back, and an earlier failure of that is still being waited out",
        fact: |case| case.failures_in_words(&[Stage::Write]),
        test: |case| {
            let kept = matches!(
                case.need,
                Need::Adopt(_) | Need::Restore(_) | Need::Rollback(_) | Need::Reinstate(_)
            );
            kept.then_some(())?;
            case.waits_until(&[Stage::Write]).map(|until| Decision::Rest(Some(until)))
        },
    },
    Rule {
        name: "adopt",
        about: "the pair is taken over",
        fact: need_words,
        test: |case| match &case.need {
            Need::Adopt(why) => Some(Decision::Act(Work::Adopt, why.clone())),
            _ => None,
        },
    },
    Rule {
        name: "restore",
        about: "our own copy is put back",
        fact: need_words,
        test: |case| match &case.need {
            Need::Restore(why) => Some(Decision::Act(Work::Restore, why.clone())),
            _ => None,
        },
    },
    Rule {
        name: "exchange",
        about: "the previous pair, or the one that was taken back, is put in place",
        fact: need_words,
        test: |case| match &case.need {
            Need::Rollback(why) => Some(Decision::Act(Work::Rollback, why.clone())),
            Need::Reinstate(why) => Some(Decision::Act(Work::Reinstate, why.clone())),
            _ => None,
        },
    },
    Rule {
        name: "unjudged",
        about: "the pair cannot be judged without the issuer's root: that is waited for",
        fact: issuer_words,
        test: unjudged,
    },
    Rule {
        name: "foreign-writer",
        about: "another program keeps replacing the pair: it is left alone until it is due",
        fact: need_words,
        test: |case| match &case.need {
            Need::Yield(trouble) => {
                let next = case.renewal.unwrap_or(case.now).max(case.now.plus(LONGEST_EXPIRED));
                Some(Decision::Stuck(Stage::Write, trouble.clone(), next))
            }
            _ => None,
        },
    },
    Rule {
        name: "use-first",
        about: "a certificate that is merely due is put to use once before it is replaced",
        fact: |case| {
            format!(
                "the certificate has gone all the way: {}",
                case.standing.reached(crate::lifecycle::Reach::Verified)
            )
        },
        test: use_first,
    },
    Rule {
        name: "use-meanwhile",
        about: "no certificate can be requested now: the one in place is put to use as if none were wanted",
        fact: put_off_words,
        test: use_meanwhile,
    },
    Rule {
        name: "issuer-away",
        about: "a certificate is wanted and no issuer of the entry can be asked: the issuer is waited for",
        fact: issuer_words,
        test: issuer_away,
    },
    Rule {
        name: "issue-spacing",
        about: "a certificate is wanted, and an earlier failure to get or write one is still being waited out",
        fact: |case| case.failures_in_words(&[Stage::Issue, Stage::Write]),
        test: |case| {
            let until = spacing(case)?;
            Some(Decision::Rest(Some(retries_use_at(case).map_or(until, |at| at.min(until)))))
        },
    },
    Rule {
        name: "drift-loop",
        about: "a certificate is wanted, and six were issued within one lifetime without an operator's request",
        fact: |case| format!("{} were issued", recently_issued(case).len()),
        test: drift_loop,
    },
    Rule {
        name: "issue",
        about: "a certificate is requested",
        fact: need_words,
        test: |case| Some(Decision::Act(Work::Issue, wanted(case)?.clone())),
    },
    Rule {
        name: "deploy",
        about: "the files are as they should be: the chain DEPLOY decides",
        fact: need_words,
        test: |case| rule::first(DEPLOY, case),
    },
];

/// Why a certificate is wanted, if one is.
fn wanted<'c>(case: &'c Case<'_>) -> Option<&'c Finding> {
    match &case.need {
        Need::Issue(why) => Some(why),
        _ => None,
    }
}

fn unjudged(case: &Case<'_>) -> Option<Decision> {
    matches!(case.need, Need::Judge).then_some(())?;
    Some(match case.context.availability {
        Availability::Unavailable { trouble, next_look } => {
            Decision::AwaitIssuer(trouble.clone(), *next_look)
        }
        Availability::Ready => {
            let soon = case.now.plus(LONGEST_EXPIRED);
            Decision::Stuck(
                Stage::Issue,
                Trouble::new(
                    Reason::IssuerNotReady,
                    "the pair cannot be judged while the root of one of the entry's issuers is not known",
                ),
                // Not beyond the time when it is renewed whatever its chain.
                case.renewal.map_or(soon, |due| due.min(soon)),
            )
        }
    })
}

/// Otherwise a slow disk or CA could keep very short-lived certificates from ever reaching their consumer. While
/// somebody else's pair lies in place of ours, no command can put ours to use.
fn use_first(case: &Case<'_>) -> Option<Decision> {
    (wanted(case)?.reason == Reason::Due).then_some(())?;
    let next = use_of_present(case)?;
    let untried =
        matches!(&next, Decision::Act(work, _) if !case.memory.failures.contains_key(&work.stage()));
    untried.then_some(next)
}

/// What is the next thing to do with the pair in place, if it serves?
fn use_of_present(case: &Case<'_>) -> Option<Decision> {
    let serves = rules::first(&[USABLE], &case.own_in_place()?.pair).is_none();
    serves.then(|| rule::first(DEPLOY, case)).flatten()
}

/// A dead CA never stops retries of deliveries, commands and looks at consumers.
fn use_meanwhile(case: &Case<'_>) -> Option<Decision> {
    meanwhile(case).filter(|next| matches!(next, Decision::Act(..)))
}

/// Why a certificate that is wanted cannot be requested now.
fn put_off(case: &Case<'_>) -> Option<&'static str> {
    if issuer_away(case).is_some() {
        Some("no issuer can be asked")
    } else if spacing(case).is_some() {
        Some("an earlier failure is being waited out")
    } else {
        drift_loop(case).map(|_| "too many certificates were issued")
    }
}

fn put_off_words(case: &Case<'_>) -> String {
    match (wanted(case), put_off(case)) {
        (None, _) => "no certificate is wanted".to_owned(),
        (Some(_), None) => "a certificate can be requested".to_owned(),
        (Some(_), Some(why)) => why.to_owned(),
    }
}

/// What is decided about the pair in place although another is wanted that cannot be had now.
pub(in crate::lifecycle) fn meanwhile(case: &Case<'_>) -> Option<Decision> {
    put_off(case)?;
    // That of a pair which has gone its whole way is the renewal, and that is what is put off.
    use_of_present(case).filter(|next| *next != Decision::Rest(case.renewal))
}

/// When something is to be done with it.
fn retries_use_at(case: &Case<'_>) -> Option<Timestamp> {
    meanwhile(case).and_then(|next| next.until()).filter(|until| *until > case.now)
}

/// An issuer is waited for, whatever is done meanwhile: it would be asked if it could be.
pub(in crate::lifecycle) fn awaits_issuer(case: &Case<'_>) -> bool {
    let would_ask = !case.entry.paused && case.seen.target_trouble.is_none();
    would_ask && issuer_away(case).is_some()
}

/// Until when an earlier failure keeps a wanted certificate from being requested.
fn spacing(case: &Case<'_>) -> Option<Timestamp> {
    wanted(case)?;
    case.waits_until(&[Stage::Issue, Stage::Write])
}

fn issuer_away(case: &Case<'_>) -> Option<Decision> {
    wanted(case)?;
    let Availability::Unavailable { trouble, next_look } = case.context.availability else { return None };
    let urgent = case.memory.order.as_ref().is_some_and(|order| order.hurry.is_some());
    let tried = case.memory.failures.contains_key(&Stage::Issue);
    (!urgent || tried).then(|| Decision::AwaitIssuer(trouble.clone(), *next_look))
}

fn drift_loop(case: &Case<'_>) -> Option<Decision> {
    let why = wanted(case)?;
    (!case.memory.reissue).then_some(())?;
    let until = loop_guard(case)?;
    let trouble = Trouble::new(
        Reason::DriftLoop,
        format!(
            "{ISSUANCES_PER_LIFETIME} certificates were issued within one lifetime and another is wanted because {}; \
             something undoes the work. Mend it, then run `phoenix-certctl renew --name {}`",
            why.message, case.entry.name
        ),
    );
    Some(Decision::Stuck(Stage::Issue, trouble, until))
}

/// When certificates were issued without an operator's request within the last lifetime.
fn recently_issued(case: &Case<'_>) -> Vec<Timestamp> {
    let Some(own) = &case.seen.own else { return Vec::new() };
    let lifetime = own.leaf.lifetime();
    case.memory.issued.iter().copied().filter(|at| at.plus(lifetime) > case.now).collect()
}

/// When the next issuance without an operator's request is allowed, if not now. The guard gives way shortly before
/// the present certificate expires, whatever was counted under a clock that was wrong.
fn loop_guard(case: &Case<'_>) -> Option<Timestamp> {
    let leaf = &case.seen.own.as_ref()?.leaf;
    let lifetime = leaf.lifetime();
    let recent = recently_issued(case);
    let oldest = recent.len().checked_sub(ISSUANCES_PER_LIFETIME).and_then(|index| recent.get(index))?;
    let newest = recent.last()?;
    let shortly_before = leaf.not_after.minus(lifetime / 20).max(newest.plus(lifetime / 20));
    Some(oldest.plus(lifetime).min(shortly_before)).filter(|until| *until > case.now)
}

fn need_words(case: &Case<'_>) -> String {
    match &case.need {
        Need::Nothing => "the files need nothing".to_owned(),
        Need::Adopt(why)
        | Need::Restore(why)
        | Need::Issue(why)
        | Need::Rollback(why)
        | Need::Reinstate(why) => why.message.clone(),
        Need::Yield(trouble) => trouble.message.clone(),
        Need::Judge => "the chain of the pair cannot be judged".to_owned(),
    }
}

fn issuer_words(case: &Case<'_>) -> String {
    match case.context.availability {
        Availability::Ready => "an issuer of the entry can be asked".to_owned(),
        Availability::Unavailable { trouble, next_look } => {
            format!("{} (it is looked at again at {next_look})", trouble.message)
        }
    }
}
