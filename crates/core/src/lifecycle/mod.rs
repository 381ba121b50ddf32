//! One entry's state machine.
//!
//! [`step`] takes a state, an event and the time and returns the next state with the actions that the edges
//! carry out. At most one piece of work is under way for an entry; whatever happens meanwhile makes it look
//! again afterwards. Facts come from the executor with every answer, so a decision never rests on what the
//! daemon believes to have done. What is decided is the first finding of ordered [`chains`] of named rules.

pub mod chains;
mod completion;
mod decide;
mod event;
mod memory;
mod notice;
mod order;
mod refused;
mod rollback;
mod rule;
mod standing;
mod survey;
mod verify;

pub use chains::{FOREIGN_WRITES, ISSUANCES_PER_LIFETIME};
pub use completion::valid_until;
use decide::obsolete;
pub use decide::{Availability, Context, Decision, Work, decide, renew_at};
pub use event::{Action, Event, Offer, Request};
pub use memory::{Failure, Hold, Memory, Reach, Stage};
pub use notice::{KnownCopy, Notice};
pub use order::Order;
pub use refused::RefusedAnswers;
pub use rollback::{Rollback, Step as RollbackStep, is_rolled_back};
pub use rule::Rule;
pub use standing::{Standing, delivered_by_command, is_own, serves, standing};
pub use verify::{Verification, proves_nothing, verify_digest};

use completion::{absorb, absorb_overruled, failed};
use survey::Survey;

use crate::facts::Observation;
use crate::name::IssuerName;
use crate::reason::{Reason, RetryClass, Trouble};
use crate::rules::Finding;
use crate::time::Timestamp;

/// Where an entry stands. Only `memory` is kept across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What is under way.
    pub phase: Phase,
    /// The newest facts.
    pub seen: Option<Observation>,
    /// Why the present work was begun.
    pub finding: Option<Finding>,
    /// It waits for an issuer and has no timer of its own.
    pub awaits_issuer: bool,
    /// The issuer whose certificate is being installed.
    pub offered_by: Option<IssuerName>,
    /// The work under way was begun before the newest order.
    pub overruled: bool,
    /// How far it has come, as seen since the last order.
    pub reached: Option<Reach>,
    /// Why the newest order is not carried out: nothing was changed.
    pub refused: Option<Trouble>,
    /// What of a sweep is still to be done.
    pub survey: Survey,
    /// What is remembered.
    pub memory: Memory,
}

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// This.
    Working {
        /// What.
        work: Work,
        /// Something happened meanwhile: look again afterwards.
        again: bool,
    },
}

/// The next state of an entry and what is to be done.
pub fn step(mut state: State, context: &Context<'_>, event: Event, now: Timestamp) -> (State, Vec<Action>) {
    // A look changes nothing that is remembered.
    let before = (!matches!(event, Event::Look | Event::Sweep)).then(|| state.memory.clone());
    let rewound = state.memory.rewind(now);
    let mut actions = Vec::new();
    match event {
        Event::Look => look(&mut state, &mut actions),
        Event::Sweep => {
            state.survey = Survey::WHOLE;
            look(&mut state, &mut actions);
        }
        Event::Rewritten => {
            state.memory.failures.clear();
            // What an edit asks for is an operator's wish, and no loop.
            state.memory.issued.clear();
            state.memory.refused = RefusedAnswers::default();
            look(&mut state, &mut actions);
        }
        Event::IssuerBack => {
            // Whatever the issuer was blamed for is over. A refusal of this entry's own request is not: it is
            // tried again at its own time.
            if state.awaits_issuer {
                let valid_until = completion::valid_until(&state);
                state.memory.hurry(Stage::Issue, valid_until, now);
                look(&mut state, &mut actions);
            }
        }
        Event::IssuerChanged => {
            if state.memory.unblock(Stage::Issue, now) {
                look(&mut state, &mut actions);
            }
        }
        Event::Invited => {
            if matches!(state.phase, Phase::Idle) {
                look(&mut state, &mut actions);
            }
        }
        Event::Withdrawn => {
            state.phase = Phase::Idle;
            state.overruled = false;
            look(&mut state, &mut actions);
        }
        Event::Ordered(request) => {
            order::accept(&mut state.memory, &request, now);
            begin_order(&mut state, &mut actions, now);
        }
        Event::OrderedBack => {
            rollback::order(&mut state.memory, now);
            begin_order(&mut state, &mut actions, now);
        }
        completion => {
            let again = matches!(state.phase, Phase::Working { again: true, .. });
            let overtaken = completion.is_overtaken();
            let done = match std::mem::take(&mut state.phase) {
                Phase::Idle => None,
                Phase::Working { work, .. } => Some(work),
            };
            let install = if std::mem::take(&mut state.overruled) {
                absorb_overruled(&mut state, context, completion, now)
            } else {
                absorb(&mut state, context, completion, now)
            };
            if let Some(offer) = install {
                order::note_schedule(&mut state, now);
                state.phase = Phase::Working { work: Work::Install, again };
                actions.push(Action::Install(offer));
            } else if overtaken {
                // The edges fetch the manifest; until they have, the same work would be overtaken again.
                rest(&mut state, Some(now.plus(crate::backoff::SHORTEST)), &mut actions);
            } else if again {
                look(&mut state, &mut actions);
            } else {
                proceed(&mut state, context, done, &mut actions, now);
            }
        }
    }
    if before.map_or(rewound, |before| !state.memory.is_as_good_as(before)) {
        actions.insert(0, Action::Remember);
    }
    (state, actions)
}

fn look(state: &mut State, actions: &mut Vec<Action>) {
    match &mut state.phase {
        Phase::Working { again, .. } => *again = true,
        Phase::Idle => {
            state.phase = Phase::Working { work: Work::Observe, again: false };
            actions.push(Action::Observe);
        }
    }
}

/// What is under way was begun before the order, and what was reached was reached before it.
fn begin_order(state: &mut State, actions: &mut Vec<Action>, now: Timestamp) {
    state.reached = None;
    state.refused = None;
    state.overruled = !matches!(state.phase, Phase::Idle);
    if matches!(state.phase, Phase::Working { work: Work::Install, .. }) {
        order::note_schedule(state, now);
    }
    look(state, actions);
}

/// Decides on the newest facts and sets the next work going. `done` is the work that has just ended.
fn proceed(
    state: &mut State,
    context: &Context<'_>,
    done: Option<Work>,
    actions: &mut Vec<Action>,
    now: Timestamp,
) {
    if let Some(failure) = state.memory.failures.get(&Stage::Observe) {
        let until = failure.next_attempt_at.max(now.plus(crate::backoff::SHORTEST));
        // Whom the executor does not answer cannot ask an issuer either.
        state.awaits_issuer = false;
        return rest(state, Some(until), actions);
    }
    rollback::take_order(state, context.entry.paused, now);
    let Some(seen) = &state.seen else {
        return rest(state, Some(now.plus(crate::backoff::SHORTEST)), actions);
    };
    let renewal = renew_at(context.entry, context.jitter, seen);
    rollback::reconcile(&mut state.memory, seen, renewal, now);
    order::drop_empty_wishes(context, seen, &mut state.memory);
    for stage in obsolete(context, seen, &state.memory, now) {
        state.memory.overcome(stage);
    }
    state.reached = order::settle(&mut state.memory, context, seen, now);
    let meanwhile = decide::meanwhile(context, seen, &state.memory, now);
    state.awaits_issuer = meanwhile.awaits_issuer;
    // Of a renewal, which is what is waited for at last, the time has come.
    let retried = meanwhile.present.as_ref().and_then(Decision::until).filter(|until| *until > now);
    let earlier =
        |next: Timestamp| retried.map_or(next, |at| at.min(next)).max(now.plus(crate::backoff::SHORTEST));
    let decision = decide(context, seen, &state.memory, now);
    if let Some(Decision::Stuck(stage, trouble, next)) = meanwhile.present {
        stuck(&mut state.memory, stage, trouble, next, now);
    }
    match decision {
        Decision::Rest(until) => {
            let until = until.map(|at| at.max(now.plus(crate::backoff::SHORTEST)));
            survey_or_rest(state, context, until, actions);
        }
        Decision::Stuck(stage, trouble, next) => {
            let next = next.max(now.plus(crate::backoff::SHORTEST));
            stuck(&mut state.memory, stage, trouble, next, now);
            // What holds one stage up does not put off the renewal.
            let renewal = renew_at(context.entry, context.jitter, seen).filter(|at| *at > now);
            let next = earlier(renewal.map_or(next, |at| at.min(next)));
            survey_or_rest(state, context, Some(next), actions);
        }
        Decision::AwaitIssuer(trouble, next) => {
            stuck(&mut state.memory, Stage::Issue, trouble, next, now);
            state.awaits_issuer = true;
            survey_or_rest(state, context, retried.map(earlier), actions);
        }
        Decision::Act(work, finding) if done == Some(work) || asks_again(done, work, &finding) => {
            // It ended well and changed nothing: doing it again at once would never end.
            let message = format!("what was done about it had no effect: {}", finding.message);
            failed(state, work.stage(), Trouble::new(finding.reason, message), now);
            let next = state.memory.failures.get(&work.stage()).map(|failure| failure.next_attempt_at);
            rest(state, next, actions);
        }
        Decision::Act(work, finding) => begin(state, work, finding, actions),
    }
}

/// A rule refuses the certificate that was just installed: the next one would be like it.
fn asks_again(done: Option<Work>, work: Work, finding: &Finding) -> bool {
    let of_the_pair = !matches!(finding.reason, Reason::Due | Reason::Forced | Reason::Revoked);
    done == Some(Work::Install) && work == Work::Issue && of_the_pair
}

fn begin(state: &mut State, work: Work, finding: Finding, actions: &mut Vec<Action>) {
    state.finding = Some(finding);
    state.phase = Phase::Working { work, again: false };
    actions.push(match work {
        Work::Observe | Work::Install => Action::Observe,
        Work::Issue => Action::Issue,
        Work::Adopt => Action::Adopt,
        Work::Restore => Action::Restore,
        Work::Deliver => Action::Deliver,
        Work::Activate => Action::Activate,
        Work::Verify => Action::Verify,
        Work::Recheck => Action::Recheck,
        Work::Rollback => Action::Rollback,
        Work::Reinstate => Action::Reinstate,
    });
}

/// Nothing has to be done: time for what a sweep looks at.
fn survey_or_rest(
    state: &mut State,
    context: &Context<'_>,
    until: Option<Timestamp>,
    actions: &mut Vec<Action>,
) {
    let next = state.seen.as_ref().and_then(|seen| state.survey.next(context, seen, &state.memory));
    match next {
        Some((work, finding)) => begin(state, work, finding, actions),
        None => rest(state, until, actions),
    }
}

/// Notes what holds an entry up. The same trouble again keeps the time at which it was first met. Where it holds up a
/// command, the look that follows the command comes no sooner.
fn stuck(memory: &mut Memory, stage: Stage, trouble: Trouble, next: Timestamp, now: Timestamp) {
    let counts = trouble.reason.class() != RetryClass::Waiting;
    let old = memory.failures.remove(&stage);
    let same = old.as_ref().is_some_and(|old| old.trouble.reason == trouble.reason);
    let attempts = old.as_ref().map_or(0, |old| old.attempts);
    let failure = Failure {
        at: old.as_ref().filter(|_| same).map_or(now, |old| old.at),
        attempts: if counts { attempts.max(1) } else { attempts },
        next_attempt_at: next,
        trouble,
    };
    memory.failures.insert(stage, failure);
    if let Some(look) = memory.failures.get_mut(&Stage::Verify).filter(|_| stage == Stage::Activate) {
        look.next_attempt_at = look.next_attempt_at.max(next);
    }
}

fn rest(state: &mut State, until: Option<Timestamp>, actions: &mut Vec<Action>) {
    state.finding = None;
    actions.push(Action::WakeAt(until));
}

#[cfg(test)]
mod tests;
