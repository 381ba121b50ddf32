//! The decision: given facts, memory and time, the one next thing to do for an entry.

use crate::backoff::{LONGEST, LONGEST_EXPIRED};
use crate::facts::Observation;
use crate::lifecycle::memory::{Memory, Reach, Stage};
use crate::lifecycle::standing::{Standing, delivered_by_command, is_own, standing};
use crate::manifest::{self, Delivery, Entry};
use crate::reason::{Reason, Trouble};
use crate::rules::{self, FITTING, Finding, Pair, RENEW, TIMELY, USABLE};
use crate::schedule::{self, Jitter};
use crate::time::Timestamp;

/// Issuances without an operator's request that one lifetime may see. Renewing at half of the lifetime with
/// full jitter takes two or three.
pub const ISSUANCES_PER_LIFETIME: usize = 6;
/// After so many replacements another writer is not fought over.
pub const FOREIGN_WRITES: u32 = 3;

/// Whether some issuer of the entry can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// At least one can.
    Ready,
    /// None can.
    Unavailable {
        /// Why.
        trouble: Trouble,
        /// When it is looked at next.
        next_look: Timestamp,
    },
}

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What the manifest wants.
    pub entry: &'a Entry,
    /// Spread of the renewal time.
    pub jitter: Jitter,
    /// Whether an issuer can be asked.
    pub availability: &'a Availability,
}

/// Something that the edges do for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Gather the facts.
    Observe,
    /// Get a certificate.
    Issue,
    /// Put the new pair on the live paths.
    Install,
    /// Take over the pair on the live paths.
    Adopt,
    /// Put our own copy back on the live paths.
    Restore,
    /// Copy the pair into the guest.
    Deliver,
    /// Run the command.
    Activate,
}

impl Work {
    /// The stage that fails when this fails.
    pub const fn stage(self) -> Stage {
        match self {
            Self::Observe => Stage::Observe,
            Self::Issue => Stage::Issue,
            Self::Install | Self::Adopt | Self::Restore => Stage::Write,
            Self::Deliver => Stage::Deliver,
            Self::Activate => Stage::Activate,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This, now.
    Act(Work, Finding),
    /// Nothing before that time.
    Rest(Option<Timestamp>),
    /// It cannot go on: to be recorded as the failure of a stage and looked at again at that time.
    Stuck(Stage, Trouble, Timestamp),
    /// No issuer can be asked before that time. No timer of its own: a thousand entries wait for one issuer,
    /// and it is the issuer that is looked at.
    AwaitIssuer(Trouble, Timestamp),
}

/// When the present pair is renewed.
pub fn renew_at(entry: &Entry, jitter: Jitter, seen: &Observation) -> Option<Timestamp> {
    let leaf = seen.own.as_ref().map(|own| &own.leaf).or(seen.live.leaf.as_ref())?;
    Some(schedule::renew_at(leaf, entry, jitter))
}

/// What the pair on disk needs.
enum Need {
    Nothing,
    Adopt(Finding),
    Restore(Finding),
    Issue(Finding),
    Yield(Trouble),
    /// The pair is good, but for its chain, which cannot be judged without the issuer's root.
    Judge,
}

fn finding(reason: Reason, message: impl Into<String>) -> Finding {
    Finding { reason, message: message.into() }
}

fn need(context: &Context<'_>, seen: &Observation, memory: &Memory, now: Timestamp) -> Need {
    let entry = context.entry;
    let live_renewal = seen.live.leaf.as_ref().map(|leaf| schedule::renew_at(leaf, entry, context.jitter));
    let live = Pair::live(entry, &seen.live, live_renewal, now);
    let live_problem = rules::first(&[USABLE, FITTING], &live);
    let forced = || Need::Issue(finding(Reason::Forced, "an operator asked for a new certificate"));

    let Some(own) = &seen.own else {
        return match live_problem {
            Some(problem) => Need::Issue(problem),
            None if memory.reissue => forced(),
            None if seen.live.trusted == Some(true) => {
                Need::Adopt(finding(Reason::FileChanged, "a valid pair without a history is taken over"))
            }
            None => rules::first(&[TIMELY], &live).map_or(Need::Judge, Need::Issue),
        };
    };
    let own_renewal = schedule::renew_at(&own.leaf, entry, context.jitter);
    let Some(own_pair) = Pair::own(entry, seen, Some(own_renewal), now) else { return Need::Nothing };
    if is_own(seen, own) {
        if let Some(problem) = rules::first(RENEW, &own_pair) {
            return Need::Issue(problem);
        }
        if memory.reissue {
            return forced();
        }
        if seen.live.companions_differ {
            return Need::Restore(finding(
                Reason::FileChanged,
                "the chain or roots file beside the certificate is not the one that was installed",
            ));
        }
        return rules::access_drift(entry, seen).map_or(Need::Nothing, Need::Restore);
    }

    let live_usable = live_problem.is_none() && seen.live.trusted == Some(true);
    let expires_later = seen.live.leaf.as_ref().is_some_and(|leaf| leaf.not_after > own.leaf.not_after);
    if live_usable && expires_later {
        return Need::Adopt(finding(
            Reason::FileChanged,
            "another writer put a valid pair there that expires later than ours: it is taken over",
        ));
    }
    // Something that serves, although it is not what the manifest asks for, is better than nothing for as long as
    // a new certificate takes.
    if let Some(problem) = rules::first(&[USABLE], &live)
        && rules::first(&[USABLE], &own_pair).is_none()
    {
        return Need::Restore(problem);
    }
    if let Some(problem) = rules::first(&[USABLE, FITTING], &own_pair) {
        return Need::Issue(live_problem.unwrap_or(problem));
    }
    if memory.reissue {
        return forced();
    }
    if live_usable && seen.ledger.foreign_writes >= FOREIGN_WRITES {
        return match rules::first(&[TIMELY], &live) {
            Some(due) => Need::Issue(due),
            None => Need::Yield(Trouble::new(
                Reason::ForeignWriter,
                format!(
                    "{} was replaced from outside {} times with an older certificate; it is left alone now. \
                     Find the other writer (an old cron job, a restored backup, a synchronisation), stop it, \
                     then run `phoenix-certctl renew --name {}`",
                    entry.cert_path, seen.ledger.foreign_writes, entry.name
                ),
            )),
        };
    }
    Need::Restore(live_problem.unwrap_or_else(|| {
        finding(Reason::FileChanged, "the pair was replaced from outside with one that expires sooner")
    }))
}

/// The files are as every rule wants them.
pub(super) fn is_as_wanted(
    context: &Context<'_>,
    seen: &Observation,
    memory: &Memory,
    now: Timestamp,
) -> bool {
    matches!(need(context, seen, memory, now), Need::Nothing)
}

/// Stages whose failure is over because nothing is wanted of them any more: the files were mended from outside,
/// or a command ended well although its answer was lost.
pub(super) fn obsolete(
    context: &Context<'_>,
    seen: &Observation,
    memory: &Memory,
    now: Timestamp,
) -> Vec<Stage> {
    let standing = standing(context.entry, seen, memory);
    let need = need(context, seen, memory, now);
    let unseen = seen.target_trouble.is_some();
    [
        (Stage::Issue, !unseen && matches!(need, Need::Nothing | Need::Adopt(_) | Need::Restore(_))),
        (Stage::Write, !unseen && matches!(need, Need::Nothing | Need::Judge)),
        (Stage::Deliver, standing.delivered != Some(false)),
        (Stage::Activate, standing.activated != Some(false)),
        (Stage::Verify, standing.verified != Some(false)),
    ]
    .into_iter()
    .filter_map(|(stage, over)| over.then_some(stage))
    .collect()
}

/// The next thing to do for an entry, given what was seen.
pub fn decide(context: &Context<'_>, seen: &Observation, memory: &Memory, now: Timestamp) -> Decision {
    if context.entry.paused {
        return Decision::Rest(None);
    }
    if let Some(trouble) = &seen.target_trouble {
        let next = now.plus(crate::backoff::WAITING);
        return Decision::Stuck(Stage::Write, trouble.clone(), next);
    }
    match need(context, seen, memory, now) {
        Need::Nothing => deploy(context, seen, memory, now),
        Need::Adopt(why) => gated(memory, Work::Adopt, why, now),
        Need::Restore(why) => gated(memory, Work::Restore, why, now),
        Need::Issue(why) => {
            // A certificate that is merely due is still put to use once: otherwise a slow disk or CA could keep
            // very short-lived ones from ever reaching their consumer.
            if why.reason == Reason::Due
                && let Decision::Act(work, untried) = deploy(context, seen, memory, now)
                && !memory.failures.contains_key(&work.stage())
            {
                return Decision::Act(work, untried);
            }
            issue(context, seen, memory, why, now)
        }
        Need::Judge => match context.availability {
            Availability::Unavailable { trouble, next_look } => {
                Decision::AwaitIssuer(trouble.clone(), *next_look)
            }
            Availability::Ready => Decision::Stuck(
                Stage::Issue,
                Trouble::new(
                    Reason::IssuerNotReady,
                    "the pair cannot be judged while the root of one of the entry's issuers is not known",
                ),
                // Not beyond the time when it is renewed whatever its chain.
                renew_at(context.entry, context.jitter, seen)
                    .map_or(now.plus(LONGEST_EXPIRED), |due| due.min(now.plus(LONGEST_EXPIRED))),
            ),
        },
        Need::Yield(trouble) => {
            let next = renew_at(context.entry, context.jitter, seen).unwrap_or(now);
            Decision::Stuck(Stage::Write, trouble, next.max(now.plus(LONGEST_EXPIRED)))
        }
    }
}

/// `work`, unless an earlier failure of its stage is still being waited out.
fn gated(memory: &Memory, work: Work, why: Finding, now: Timestamp) -> Decision {
    match memory.failures.get(&work.stage()) {
        Some(failure) if failure.next_attempt_at > now => Decision::Rest(Some(failure.next_attempt_at)),
        _ => Decision::Act(work, why),
    }
}

fn issue(
    context: &Context<'_>,
    seen: &Observation,
    memory: &Memory,
    why: Finding,
    now: Timestamp,
) -> Decision {
    let waiting = [Stage::Issue, Stage::Write]
        .iter()
        .filter_map(|stage| memory.failures.get(stage))
        .map(|failure| failure.next_attempt_at)
        .max();
    let urgent = memory.order.as_ref().is_some_and(|order| order.urgent);
    let tried = memory.failures.contains_key(&Stage::Issue);
    if let Availability::Unavailable { trouble, next_look } = context.availability
        && (!urgent || tried)
    {
        return Decision::AwaitIssuer(trouble.clone(), *next_look);
    }
    if let Some(until) = waiting.filter(|until| *until > now) {
        return Decision::Rest(Some(until));
    }
    if !memory.reissue
        && let Some(until) = loop_guard(seen, memory, now)
    {
        return Decision::Stuck(
            Stage::Issue,
            Trouble::new(
                Reason::DriftLoop,
                format!(
                    "{ISSUANCES_PER_LIFETIME} certificates were issued within one lifetime and another is \
                     wanted because {}; something undoes the work. Mend it, then run \
                     `phoenix-certctl renew --name {}`",
                    why.message, context.entry.name
                ),
            ),
            until,
        );
    }
    Decision::Act(Work::Issue, why)
}

/// When the next issuance without an operator's request is allowed, if not now. The guard gives way shortly before
/// the present certificate expires, whatever was counted under a clock that was wrong.
fn loop_guard(seen: &Observation, memory: &Memory, now: Timestamp) -> Option<Timestamp> {
    let leaf = &seen.own.as_ref()?.leaf;
    let lifetime = leaf.lifetime();
    let recent: Vec<Timestamp> = memory.issued.iter().copied().filter(|at| at.plus(lifetime) > now).collect();
    let oldest = recent.len().checked_sub(ISSUANCES_PER_LIFETIME).and_then(|index| recent.get(index))?;
    let newest = recent.last()?;
    let shortly_before = leaf.not_after.minus(lifetime / 20).max(newest.plus(lifetime / 20));
    Some(oldest.plus(lifetime).min(shortly_before)).filter(|until| *until > now)
}

/// The next stage to be done, if the manifest has it wrong.
fn blocked_by_manifest(entry: &Entry, standing: Standing) -> Option<(Stage, &str)> {
    // Copies for the command wait for the command; what is delivered to its own place does not.
    let for_command = matches!(entry.delivery, Some(Delivery::Legacy { .. }));
    let (stage, wrong) = if standing.delivered == Some(false) && !for_command {
        (Stage::Deliver, manifest::Stage::Deliver)
    } else if standing.activated == Some(false) {
        (Stage::Activate, manifest::Stage::Activate)
    } else if standing.delivered != Some(false) {
        (Stage::Verify, manifest::Stage::Verify)
    } else {
        return None;
    };
    entry.stage_error(wrong).map(|error| (stage, error.message.as_str()))
}

fn deploy(context: &Context<'_>, seen: &Observation, memory: &Memory, now: Timestamp) -> Decision {
    let entry = context.entry;
    let renewal = renew_at(entry, context.jitter, seen);
    let Some(own) = &seen.own else { return Decision::Rest(renewal) };
    let standing = standing(entry, seen, memory);
    let by_command = delivered_by_command(entry);
    let reach = match &memory.hold {
        Some(hold) if hold.fingerprint == own.leaf.fingerprint => hold.reach,
        _ => Reach::Verified,
    };
    if let Some((stage, error)) = blocked_by_manifest(entry, standing) {
        let trouble = Trouble::new(Reason::ManifestError, error.to_owned());
        return Decision::Stuck(stage, trouble, renewal.unwrap_or(now.plus(LONGEST)));
    }
    let step = if standing.delivered == Some(false) && !by_command {
        (reach >= Reach::Delivered).then(|| {
            (Work::Deliver, finding(Reason::NotDelivered, "the guest does not have this certificate yet"))
        })
    } else if standing.activated == Some(false) {
        (reach >= Reach::Activated).then(|| {
            (
                Work::Activate,
                finding(Reason::NotActivated, "the command has not run for this certificate yet"),
            )
        })
    } else {
        None
    };
    let Some((work, why)) = step else { return Decision::Rest(renewal) };
    match gated(memory, work, why, now) {
        Decision::Rest(Some(until)) => {
            Decision::Rest(Some(renewal.map_or(until, |renewal| until.min(renewal))))
        }
        other => other,
    }
}
