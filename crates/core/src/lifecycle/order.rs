//! What an operator asks for: taken in, kept while it is open, and closed when it is fulfilled.
//!
//! An order reaches as far as it says. Stages beyond that go on as if it had not been given: what is held stays held,
//! what is retried keeps its spacing, and nothing is done again.

use serde::{Deserialize, Serialize};

use super::decide::is_as_wanted;
use super::{
    Context, Hold, Memory, Reach, Request, Stage, State, delivered_by_command, is_rolled_back, rollback,
    standing, verify,
};
use crate::facts::{Observation, OwnCopy};
use crate::reason::Reason;
use crate::time::Timestamp;

/// What operators asked for and what is not fulfilled yet. Several orders become one, and each keeps to its own reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// How far to go: as far as the farthest of them.
    pub reach: Reach,
    /// Up to there windows and spacing do not hold it back (`renew`).
    #[serde(default)]
    pub hurry: Option<Reach>,
    /// How far the farthest goes of those that end before the look at the consumer.
    #[serde(default)]
    pub nearer: Option<Reach>,
    /// When the newest was given.
    pub at: Timestamp,
    /// Certificates that were installed since then came by it.
    #[serde(default)]
    pub brings_from: Option<Timestamp>,
    /// Those that were installed since then came because their time had come, and are not held for its sake.
    #[serde(default)]
    pub brings_until: Option<Timestamp>,
}

impl Order {
    /// An order that is in no hurry.
    pub const fn new(reach: Reach, at: Timestamp) -> Self {
        let nearer = if matches!(reach, Reach::Verified) { None } else { Some(reach) };
        Self { reach, hurry: None, nearer, at, brings_from: Some(at), brings_until: None }
    }

    /// The newest order, given while `open` is. Who asks for another certificate says how far that one goes, whatever was
    /// asked for the one that it replaces.
    fn following(open: Option<Self>, request: &Request, is_another: bool, now: Timestamp) -> Self {
        let order = Self { hurry: request.urgent.then_some(request.reach), ..Self::new(request.reach, now) };
        let Some(open) = open.filter(|_| !is_another) else { return order };
        Self {
            reach: open.reach.max(order.reach),
            hurry: open.hurry.max(order.hurry),
            nearer: open.nearer.max(order.nearer),
            brings_from: open.brings_from.filter(|_| open.brings_until.is_none()).or(order.brings_from),
            ..order
        }
    }

    /// The times that it is counted from.
    pub(super) fn times(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        [Some(&mut self.at), self.brings_from.as_mut(), self.brings_until.as_mut()].into_iter().flatten()
    }

    /// The wishes that end there are fulfilled.
    fn reached(&mut self, reached: Option<Reach>) {
        for wish in [&mut self.hurry, &mut self.nearer] {
            wish.take_if(|reach| Some(*reach) <= reached);
        }
    }

    /// The certificate that was installed at that time would not be there without it.
    fn brought(&self, installed_at: Timestamp) -> bool {
        installed_at >= self.brings_from.unwrap_or(self.at)
            && self.brings_until.is_none_or(|until| installed_at < until)
    }
}

/// Takes in what an operator asks for.
pub(super) fn accept(memory: &mut Memory, request: &Request, now: Timestamp) {
    if request.is_look() {
        memory.reverify = true;
        if let Some(failure) = memory.failures.get_mut(&Stage::Verify) {
            failure.next_attempt_at = failure.next_attempt_at.min(now);
        }
        return;
    }
    let reach = request.reach;
    let is_another = request.reissue && !memory.reissue;
    memory.order = Some(Order::following(memory.order.take(), request, is_another, now));
    memory.reissue |= request.reissue;
    memory.redeliver |= request.redeploy && reach.covers(Stage::Deliver);
    memory.reactivate |= request.redeploy && reach.covers(Stage::Activate);
    memory.reverify |= (request.redeploy || request.reverify) && reach.covers(Stage::Verify);
    memory.hold = memory.hold.take().and_then(|hold| widened(hold, reach));
    memory.failures.retain(|stage, _| !reach.covers(*stage));
    memory.refused.ask_again();
    rollback::hurry(memory, now);
}

/// The certificate that is being installed is one whose time had come, and nobody's order: it goes all the way, whatever
/// is still open from before.
pub(super) fn note_schedule(state: &mut State, now: Timestamp) {
    let due = state.finding.as_ref().is_some_and(|finding| finding.reason == Reason::Due);
    if let Some(order) = state.memory.order.as_mut().filter(|_| due && !state.memory.reissue) {
        order.brings_until.get_or_insert(now);
    }
}

/// A certificate that is held goes on as far as an order reaches, and no farther because of it.
fn widened(hold: Hold, reach: Reach) -> Option<Hold> {
    let reach = hold.reach.max(reach);
    (reach < Reach::Verified).then_some(Hold { reach, ..hold })
}

/// An operator's wish to do again what is not configured is fulfilled: left standing, it would take effect when a
/// delivery or command is configured one day.
pub(super) fn drop_empty_wishes(context: &Context<'_>, seen: &Observation, memory: &mut Memory) {
    let standing = standing(context.entry, seen, memory);
    // Copies for the command go with the command, and only with it.
    let delivers = !delivered_by_command(context.entry) || memory.reactivate;
    memory.redeliver &= standing.delivered.is_some() && delivers;
    memory.reactivate &= standing.activated.is_some();
    memory.reverify &= standing.verified.is_some();
    memory.rerun &= standing.delivered.is_some() || standing.activated.is_some();
    if standing.verified.is_none() {
        verify::forget(memory);
    }
}

/// Closes an order that is fulfilled and notes what consumers use now. Returns how far the entry has come; none
/// while a rule wants something of the files themselves.
pub(super) fn settle(
    memory: &mut Memory,
    context: &Context<'_>,
    seen: &Observation,
    now: Timestamp,
) -> Option<Reach> {
    let standing = standing(context.entry, seen, memory);
    let own = seen.own.as_ref()?;
    let by_command = delivered_by_command(context.entry);
    let reached = [Reach::Verified, Reach::Activated, Reach::Delivered, Reach::Written]
        .into_iter()
        .find(|reach| standing.reached(*reach))
        // Copies for the command go with the command: up to there nothing is to be delivered.
        .map(|reach| if by_command { reach.max(Reach::Delivered) } else { reach });
    if reached == Some(Reach::Verified)
        || (reached == Some(Reach::Activated) && verify::is_taken_to_be_in_use(memory, own))
    {
        memory.in_use_until = Some(own.leaf.not_after);
    }
    let settled = !is_rolled_back(&seen.ledger) || rollback::is_as_ordered(memory);
    let reached = reached.filter(|_| is_as_wanted(context, seen, memory, now) && settled);
    if let Some(order) = &mut memory.order {
        order.reached(reached);
    }
    if let Some(order) = memory.order.take_if(|order| Some(order.reach) <= reached) {
        memory.hold =
            if reached < Some(Reach::Verified) { hold_after(&order, memory.hold.take(), own) } else { None };
    }
    reached
}

/// How far the certificate goes once an order is fulfilled. One that came by the order, or was held before it, goes no
/// farther; what had begun before the order goes on.
fn hold_after(order: &Order, before: Option<Hold>, own: &OwnCopy) -> Option<Hold> {
    let held = before.filter(|hold| hold.fingerprint == own.leaf.fingerprint);
    let came_by_it = order.brought(own.installed_at);
    let reach = held.map(|hold| hold.reach).into_iter().chain(came_by_it.then_some(order.reach)).max()?;
    (reach < Reach::Verified).then(|| Hold { fingerprint: own.leaf.fingerprint.clone(), reach })
}
