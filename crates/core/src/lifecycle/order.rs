//! What an operator asks for: taken in, kept while it is open, and closed when it is fulfilled.
//!
//! An order reaches as far as it says. Stages beyond that go on as if it had not been given: what is held stays held,
//! what is retried keeps its spacing, and nothing is done again.

use super::decide::is_as_wanted;
use super::{
    Context, Hold, Memory, Order, Reach, Request, Stage, delivered_by_command, is_rolled_back, rollback,
    standing, verify,
};
use crate::facts::{Observation, OwnCopy};
use crate::time::Timestamp;

/// Takes in what an operator asks for.
pub(super) fn accept(memory: &mut Memory, request: &Request, now: Timestamp) {
    if request.is_look() {
        memory.reverify = true;
        if let Some(failure) = memory.failures.get_mut(&Stage::Verify) {
            failure.next_attempt_at = failure.next_attempt_at.min(now);
        }
        return;
    }
    let open = memory.order.take();
    let reach = open.as_ref().map_or(request.reach, |order| order.reach.max(request.reach));
    memory.order =
        Some(Order { reach, urgent: request.urgent || open.is_some_and(|order| order.urgent), at: now });
    memory.reissue |= request.reissue;
    memory.redeliver |= request.redeploy && reach.covers(Stage::Deliver);
    memory.reactivate |= request.redeploy && reach.covers(Stage::Activate);
    memory.reverify |= (request.redeploy || request.reverify) && reach.covers(Stage::Verify);
    memory.hold = memory.hold.take().and_then(|hold| widened(hold, reach));
    memory.failures.retain(|stage, _| !reach.covers(*stage));
    rollback::hurry(memory, now);
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
    memory.redeliver &= standing.delivered.is_some();
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
    let came_by_it = own.installed_at >= order.at;
    let reach = held.map(|hold| hold.reach).into_iter().chain(came_by_it.then_some(order.reach)).max()?;
    (reach < Reach::Verified).then(|| Hold { fingerprint: own.leaf.fingerprint.clone(), reach })
}
