//! What the end of a piece of work means for what is remembered.

use std::time::Duration;

use super::{
    Context, Event, Memory, Offer, RefusedAnswers, Stage, State, Work, delivered_by_command, rollback, verify,
};
use crate::facts::Observation;
use crate::reason::{Reason, RetryClass, Trouble};
use crate::time::Timestamp;

/// Takes in the end of work that was begun before the newest order: it neither fails nor fulfils that order.
pub(super) fn absorb_overruled(
    state: &mut State,
    context: &Context<'_>,
    event: Event,
    now: Timestamp,
) -> Option<Offer> {
    let ordered = state.memory.clone();
    let exchanges =
        matches!(event, Event::Installed(Ok(_)) | Event::RolledBack(Ok(_)) | Event::Reinstated(Ok(_)));
    let offer = absorb(state, context, event, now);
    let memory = &mut state.memory;
    // What failed with the pair before is over with it, whoever asked for what meanwhile.
    if !exchanges {
        memory.failures = ordered.failures;
    }
    memory.redeliver |= ordered.redeliver;
    memory.reactivate |= ordered.reactivate;
    memory.reverify |= ordered.reverify;
    memory.roll_back = ordered.roll_back;
    memory.order = ordered.order;
    offer
}

/// Takes in the end of some work. Returns what is to be installed, if that comes next whatever the facts say.
pub(super) fn absorb(
    state: &mut State,
    context: &Context<'_>,
    event: Event,
    now: Timestamp,
) -> Option<Offer> {
    match event {
        Event::Look
        | Event::Sweep
        | Event::Rewritten
        | Event::IssuerBack
        | Event::IssuerChanged
        | Event::Invited
        | Event::Withdrawn
        | Event::Ordered(_)
        | Event::OrderedBack => {}
        Event::Issued(Ok(offer)) => {
            // Whether the answer is of any use shows when it is installed: until then its failures stay counted.
            state.memory.reachable = offer.reachable.or(state.memory.reachable);
            state.memory.ailing = offer.ailing;
            state.offered_by = Some(offer.issuer.clone());
            return Some(offer);
        }
        Event::Issued(Err((stage, trouble))) => failed(state, stage, trouble, now),
        Event::Installed(Ok((seen, warnings))) => {
            note_issuance(state, context, &seen, now);
            state.memory.warnings = warnings;
            succeeded(state, Work::Install, seen, now);
        }
        Event::Observed(Ok(seen)) => succeeded(state, Work::Observe, seen, now),
        Event::Adopted(Ok(seen)) => succeeded(state, Work::Adopt, seen, now),
        Event::Restored(Ok(seen)) => succeeded(state, Work::Restore, seen, now),
        Event::Delivered(Ok(seen)) => {
            state.memory.redeliver = false;
            if context.entry.command.is_none() {
                told(&mut state.memory);
            }
            succeeded(state, Work::Deliver, seen, now);
        }
        Event::Activated(Ok(seen)) => {
            state.memory.reactivate = false;
            told(&mut state.memory);
            // What was urgent has been done; the runs of later renewals keep to window and budget again. A certificate
            // that is still to be issued has its run before it.
            if let Some(order) = state.memory.order.as_mut().filter(|_| !state.memory.reissue) {
                order.hurry = None;
            }
            if delivered_by_command(context.entry) {
                state.memory.redeliver = false;
            }
            succeeded(state, Work::Activate, seen, now);
        }
        Event::Observed(Err(trouble)) => failed(state, Stage::Observe, trouble, now),
        // What the issuer gave is at fault, not the place where it was to be written.
        Event::Installed(Err(trouble)) if trouble.reason.refuses_the_answer() => {
            note_refusal(state, context, trouble.reason, now);
            failed(state, Stage::Issue, trouble, now);
        }
        Event::Installed(Err(trouble)) => {
            state.memory.overcome(Stage::Issue);
            failed(state, Stage::Write, trouble, now);
        }
        Event::Adopted(Err(trouble)) | Event::Restored(Err(trouble)) => {
            failed(state, Stage::Write, trouble, now);
        }
        Event::Delivered(Err(trouble)) => failed(state, Stage::Deliver, trouble, now),
        Event::Activated(Err(trouble)) | Event::Rechecked(Err(trouble)) => {
            failed(state, Stage::Activate, trouble, now);
        }
        Event::Verified(seen) => verify::absorb(state, context, *seen, now),
        Event::Rechecked(Ok(seen)) => rechecked(state, context, seen, now),
        Event::RolledBack(Ok(seen)) => exchanged(state, Work::Rollback, seen, now),
        Event::Reinstated(Ok(seen)) => exchanged(state, Work::Reinstate, seen, now),
        Event::RolledBack(Err(trouble)) | Event::Reinstated(Err(trouble)) => {
            if !rollback::refused(state, &trouble) {
                failed(state, Stage::Write, trouble, now);
            }
        }
    }
    None
}

/// The consumer was told to use the certificate, whatever it used before: that it does is to be seen.
fn told(memory: &mut Memory) {
    memory.rerun = false;
    memory.verified = None;
}

/// What the guest no longer has is delivered again, and its command is run again.
fn rechecked(state: &mut State, context: &Context<'_>, seen: Observation, now: Timestamp) {
    state.memory.rechecked = Some(now);
    // A pair that was taken over has no record of a delivery: there is nothing that could have been taken out.
    let had = state.seen.as_ref().is_some_and(|before| before.ledger.delivered.is_some());
    if had && seen.ledger.delivered.is_none() {
        state.memory.reactivate |= context.entry.command.is_some();
    }
    succeeded(state, Work::Recheck, seen, now);
}

/// The other of the two pairs is in place: a new beginning for everything after writing.
fn exchanged(state: &mut State, work: Work, seen: Observation, now: Timestamp) {
    state.memory.failures.clear();
    state.memory.verified = None;
    succeeded(state, work, seen, now);
}

fn succeeded(state: &mut State, work: Work, seen: Observation, now: Timestamp) {
    if work == Work::Observe {
        super::notice::fulfil_unnoted(&mut state.memory, &seen);
    }
    super::notice::compare(&mut state.memory, work, &seen, now);
    state.memory.overcome(Stage::Observe);
    // That the guest still has its files does not make a command succeed that failed: its attempts stay counted.
    if work != Work::Recheck {
        state.memory.overcome(work.stage());
    }
    if matches!(work, Work::Install) {
        state.memory.failures.clear();
    }
    forget_target_trouble(state, &seen);
    let fingerprint = |seen: &Observation| seen.own.as_ref().map(|own| own.leaf.fingerprint.clone());
    if state.seen.as_ref().is_some_and(|before| fingerprint(before) != fingerprint(&seen)) {
        // What was seen was seen of another certificate.
        state.memory.rerun = false;
    }
    state.seen = Some(seen);
    shorten_waits(state, now);
}

/// Waits no longer than after the same failure now. Time alone never makes a difference, since what is left
/// shrinks faster than its share; but files may have vanished since, or the clock was wrong then.
fn shorten_waits(state: &mut State, now: Timestamp) {
    // Where retrying is not what is waited for, the time was not chosen by spacing.
    let spaced = |reason: Reason| {
        reason.class() != RetryClass::Waiting
            && !matches!(reason, Reason::DriftLoop | Reason::ForeignWriter | Reason::ManifestError)
    };
    let failures = state.memory.failures.iter().filter(|(_, failure)| spaced(failure.trouble.reason));
    for stage in failures.map(|(stage, _)| *stage).collect::<Vec<_>>() {
        let deadline = deadline(state, stage, now);
        state.memory.shorten(stage, deadline, now);
    }
}

/// A trouble that the last observation reported is over when an observation no longer does. One of the same name that
/// writing met is not: what lies in the way of a pair hides nothing from whoever looks.
fn forget_target_trouble(state: &mut State, seen: &Observation) {
    let before = state.seen.as_ref().and_then(|before| before.target_trouble.as_ref());
    let told = before.filter(|_| seen.target_trouble.is_none()).map(|trouble| trouble.reason);
    let known = state.memory.failures.get(&Stage::Write).map(|failure| failure.trouble.reason);
    if told.is_some() && told == known {
        state.memory.overcome(Stage::Write);
    }
}

/// What bounds the waits of `stage`.
fn deadline(state: &State, stage: Stage, now: Timestamp) -> Option<Timestamp> {
    match stage {
        Stage::Observe | Stage::Issue | Stage::Write => valid_until(state),
        Stage::Deliver | Stage::Activate | Stage::Verify => {
            // Where nothing was ever in use, the consumer waits: at least every five minutes.
            let first = now.plus(crate::backoff::LONGEST_EXPIRED * 10);
            let own = state.seen.as_ref().and_then(|seen| seen.own.as_ref());
            let in_use = state.memory.in_use_until.or(own.map(|own| own.leaf.not_after.min(first)));
            // What is really served may be older than what was meant to be.
            let served = state.memory.served.as_ref().map(|served| served.not_after);
            served.map_or(in_use, |served| in_use.map(|until| until.min(served)))
        }
    }
}

/// Until when the pair on the live paths is valid; none when consumers find nothing there that they could use.
/// While the paths cannot be looked at, our own copy tells what lies there.
pub fn valid_until(state: &State) -> Option<Timestamp> {
    let seen = state.seen.as_ref()?;
    let leaf = if seen.target_trouble.is_some() {
        seen.own.as_ref().map(|own| &own.leaf)
    } else {
        seen.live.leaf.as_ref().filter(|_| seen.live.matches())
    };
    leaf.map(|leaf| leaf.not_after)
}

pub(super) fn failed(state: &mut State, stage: Stage, trouble: Trouble, now: Timestamp) {
    if matches!(trouble.reason, Reason::Stale | Reason::UnknownEntry) {
        return;
    }
    let deadline = deadline(state, stage, now);
    state.memory.fail(stage, trouble, deadline, now);
}

/// Where the clocks differ, the issuer's breaker bounds how often it is asked.
fn note_refusal(state: &mut State, context: &Context<'_>, reason: Reason, now: Timestamp) {
    /// The lifetime of a certificate of which nothing is known.
    const USUAL: Duration = Duration::from_secs(86_400);
    let Some(issuer) = state.offered_by.take().filter(|_| reason != Reason::ClockDiffers) else { return };
    let own = state.seen.as_ref().and_then(|seen| seen.own.as_ref());
    let lifetime = own.map(|own| own.leaf.lifetime()).or(context.entry.validity).unwrap_or(USUAL);
    let deadline = deadline(state, Stage::Issue, now);
    state.memory.refused.note(issuer, lifetime, deadline, now);
}

fn note_issuance(state: &mut State, context: &Context<'_>, seen: &Observation, now: Timestamp) {
    let memory = &mut state.memory;
    if !memory.reissue {
        memory.issued.push(now);
    }
    if let Some(own) = &seen.own {
        let lifetime = own.leaf.lifetime();
        memory.issued.retain(|at| at.plus(lifetime) > now);
    }
    // A scheduled renewal ends an old hold; an order sets its own when it is fulfilled.
    memory.hold = None;
    memory.reissue = false;
    memory.refused = RefusedAnswers::default();
    if context.entry.command.is_none() {
        memory.reactivate = false;
    }
}
