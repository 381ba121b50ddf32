//! Renewed means served: verification, what a sweep looks at, and rollback.

use super::*;
use crate::facts::Served;
use crate::manifest::{Delivery, Mode, Verify};

pub(super) fn tls() -> Vec<Verify> {
    vec![Verify::Tls {
        address: "10.0.0.111:2376".into(),
        server_name: None,
        client: None,
        refuse_without_client: false,
        http_get: None,
        expect_status: None,
        deadline: Duration::from_secs(30),
    }]
}

pub(super) fn explicit() -> Delivery {
    Delivery::Explicit {
        cert: None,
        key: None,
        ca: None,
        owner: None,
        key_mode: Mode(0o600),
        cert_mode: Mode(0o644),
    }
}

pub(super) fn served(leaf: &LeafFacts, at: Timestamp) -> Served {
    Served {
        fingerprint: leaf.fingerprint.clone(),
        serial: leaf.serial.clone(),
        not_after: leaf.not_after,
        at,
    }
}

pub(super) fn passes(leaf: &LeafFacts) -> Event {
    let seen = Verification { served: Some(served(leaf, NOW)), result: Ok(()), ..unseen() };
    Event::Verified(Box::new(seen))
}

pub(super) fn fails(reason: Reason) -> Event {
    let result = Err(Trouble::new(reason, "so it was seen"));
    Event::Verified(Box::new(Verification { result, ..unseen() }))
}

/// The certificate is in use, and something else is wrong.
pub(super) fn amiss(leaf: &LeafFacts, reason: Reason) -> Event {
    let result = Err(Trouble::new(reason, "so it was seen"));
    let seen = Verification { served: Some(served(leaf, NOW)), takes: true, result, ..unseen() };
    Event::Verified(Box::new(seen))
}

pub(super) fn unseen() -> Verification {
    Verification { of: None, served: None, takes: false, remarks: Vec::new(), result: Ok(()) }
}

pub(super) fn verifying() -> Bench {
    let mut bench = Bench::new();
    bench.entry.verify = tls();
    bench
}

pub(super) fn next(bench: &mut Bench, event: Event) -> Action {
    let actions = bench.send(event);
    let [action] = &actions[..] else { panic!("{actions:?}") };
    action.clone()
}

pub(super) fn wake(action: &Action) -> Timestamp {
    let Action::WakeAt(Some(at)) = action else { panic!("{action:?}") };
    *at
}

/// A deployed certificate that was seen at its consumer.
pub(super) fn proven(bench: &mut Bench) -> LeafFacts {
    let leaf = bench.leaf();
    bench.send(Event::Look);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(bench, Event::Observed(Ok(deployed))), Action::Verify);
    let renewal = schedule_of(bench, &leaf);
    assert_eq!(next(bench, passes(&leaf)), Action::WakeAt(Some(renewal)));
    leaf
}

/// Renews: returns the new leaf, installed and with its command run; the consumer is being looked at.
pub(super) fn renewed(bench: &mut Bench, reachable: Option<bool>) -> LeafFacts {
    renewed_by(bench, |offer| Offer { reachable, ..offer })
}

/// The same, with another offer.
pub(super) fn renewed_by(bench: &mut Bench, offer: impl FnOnce(Offer) -> Offer) -> LeafFacts {
    bench.send(renew(Reach::Verified));
    let before = bench.state.seen.clone().unwrap();
    bench.send(Event::Observed(Ok(before)));
    let offer = offer(bench.offer());
    bench.send(Event::Issued(Ok(offer)));
    bench.pass(5);
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    assert_eq!(next(bench, Event::Installed(Ok((written, vec![])))), Action::Activate);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(bench, Event::Activated(Ok(deployed))), Action::Verify);
    leaf
}

#[test]
fn an_entry_is_done_only_when_its_consumer_was_seen_to_use_the_certificate() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    let deed = bench.state.memory.verified.clone().unwrap();
    assert_eq!(
        (deed.fingerprint, Some(deed.of)),
        (leaf.fingerprint.clone(), verify_digest(&bench.entry.verify))
    );
    let new = renewed(&mut bench, Some(true));
    assert!(bench.state.memory.order.is_some());
    assert_eq!(bench.state.memory.in_use_until, Some(leaf.not_after));
    bench.send(passes(&new));
    assert_eq!(bench.state.memory.order, None);
    assert_eq!(bench.state.reached, Some(Reach::Verified));
    assert_eq!(bench.state.memory.in_use_until, Some(new.not_after));
    assert_eq!(bench.state.memory.served, Some(served(&new, NOW)));
}

#[test]
fn without_a_verification_nothing_is_looked_at_and_nothing_is_remembered_of_earlier_ones() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    bench.entry.verify.clear();
    bench.send(Event::Rewritten);
    let deployed = bench.deployed(&leaf);
    assert!(matches!(next(&mut bench, Event::Observed(Ok(deployed))), Action::WakeAt(_)));
    assert_eq!((&bench.state.memory.served, &bench.state.memory.verified), (&None, &None));
}

#[test]
fn another_verification_is_carried_out_although_the_certificate_was_seen_before() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    let Verify::Tls { address, .. } = &mut bench.entry.verify[0] else { panic!() };
    *address = "10.0.0.112:2376".into();
    bench.send(Event::Rewritten);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Verify);
}

#[test]
fn a_command_without_effect_is_run_again_with_growing_spacing_and_looked_at_each_time() {
    let mut bench = verifying();
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    let deployed = bench.deployed(&leaf);
    let mut spacings = Vec::new();
    for attempt in 1..=4 {
        let at = wake(&next(&mut bench, fails(Reason::ServesOther)));
        spacings.push(at.since(bench.now).as_secs());
        assert_eq!(bench.state.memory.failures[&Stage::Verify].attempts, attempt);
        // Nothing happens before that.
        bench.send(Event::Look);
        assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::WakeAt(Some(at)));
        bench.now = at;
        bench.send(Event::Look);
        assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Activate);
        assert_eq!(bench.state.finding.as_ref().unwrap().reason, Reason::NotVerified);
        assert_eq!(next(&mut bench, Event::Activated(Ok(deployed.clone()))), Action::Verify);
    }
    assert_eq!(spacings, [5, 10, 20, 40]);
    bench.send(passes(&leaf));
    assert!(bench.state.memory.failures.is_empty() && !bench.state.memory.rerun);
}

#[test]
fn what_the_command_cannot_mend_does_not_run_it_again() {
    use Reason::{AcceptsAnyone, DemandsClient, ExecutorGone, ManifestError};
    for reason in [AcceptsAnyone, DemandsClient, ExecutorGone, ManifestError] {
        let mut bench = verifying();
        bench.entry.rollback = true;
        proven(&mut bench);
        let leaf = renewed(&mut bench, Some(true));
        bench.now = wake(&next(&mut bench, fails(reason)));
        bench.send(Event::Look);
        let deployed = bench.deployed(&leaf);
        assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Verify, "{reason}");
        assert_eq!(bench.state.memory.rollback, None, "{reason}");
    }
}

#[test]
fn who_could_not_be_reached_before_either_proves_nothing() {
    for reachable in [None, Some(false), Some(true)] {
        let mut bench = verifying();
        bench.entry.rollback = true;
        let blank = samples::blank(&bench.entry, NOW);
        bench.send(Event::Look);
        bench.send(Event::Observed(Ok(blank)));
        let offer = Offer { reachable, ..bench.offer() };
        bench.send(Event::Issued(Ok(offer)));
        let leaf = bench.leaf();
        let (written, deployed) = (bench.written(&leaf), bench.deployed(&leaf));
        bench.send(Event::Installed(Ok((written, vec![]))));
        bench.send(Event::Activated(Ok(deployed.clone())));
        let action = next(&mut bench, fails(Reason::Unreachable));
        let was_there = reachable == Some(true);
        assert_eq!(proves_nothing(&bench.state.memory), !was_there, "{reachable:?}");
        if was_there {
            assert_eq!(action, Action::Rollback);
        } else {
            bench.now = wake(&action);
            bench.send(Event::Look);
            assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Verify, "{reachable:?}");
        }
    }
}

#[test]
fn a_sweep_looks_into_the_guest_and_at_the_consumer_and_then_rests() {
    let mut bench = verifying();
    bench.entry.delivery = Some(explicit());
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(&mut bench, Event::Sweep), Action::Observe);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Recheck);
    assert_eq!(next(&mut bench, Event::Rechecked(Ok(deployed))), Action::Verify);
    assert!(matches!(next(&mut bench, passes(&leaf)), Action::WakeAt(_)));
    // A look that is no sweep does not.
    bench.send(Event::Look);
    let deployed = bench.deployed(&leaf);
    assert!(matches!(next(&mut bench, Event::Observed(Ok(deployed))), Action::WakeAt(_)));
}

#[test]
fn a_sweep_during_an_outage_of_the_issuer_still_looks_at_the_consumer() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    bench.now = schedule_of(&bench, &leaf);
    bench.availability = Availability::Unavailable {
        trouble: Trouble::new(Reason::CaUnreachable, "refused"),
        next_look: bench.now.plus(Duration::from_secs(10)),
    };
    bench.send(Event::Sweep);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Verify);
    assert_eq!(next(&mut bench, passes(&leaf)), Action::WakeAt(None));
    assert!(bench.state.awaits_issuer);
}

#[test]
fn a_sweep_that_could_not_look_changes_nothing() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    bench.send(Event::Sweep);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Observed(Ok(deployed)));
    bench.send(fails(Reason::ExecutorGone));
    assert!(bench.state.memory.failures.is_empty());
    assert_eq!(bench.state.reached, Some(Reach::Verified));
}

#[test]
fn a_consumer_that_fell_back_gets_its_command_again() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Sweep);
    bench.send(Event::Observed(Ok(deployed.clone())));
    bench.now = wake(&next(&mut bench, fails(Reason::ServesExpired)));
    assert_eq!(bench.state.memory.verified, None);
    // It had been in use: nothing is rolled back for it.
    assert_eq!(bench.state.memory.rollback, None);
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Activate);
    assert_eq!(next(&mut bench, Event::Activated(Ok(deployed))), Action::Verify);
}

#[test]
fn a_consumer_that_went_away_by_itself_is_waited_for_without_its_command() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Sweep);
    bench.send(Event::Observed(Ok(deployed.clone())));
    for _ in 0..3 {
        bench.now = wake(&next(&mut bench, fails(Reason::Unreachable)));
        bench.send(Event::Look);
        assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Verify);
    }
    assert_eq!(bench.state.memory.rollback, None);
    // It is back, from a backup.
    bench.now = wake(&next(&mut bench, fails(Reason::ServesOther)));
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Activate);
}

#[test]
fn what_a_guest_no_longer_has_is_delivered_and_run_again() {
    let mut bench = verifying();
    bench.entry.delivery = Some(explicit());
    let leaf = proven(&mut bench);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Sweep);
    bench.send(Event::Observed(Ok(deployed.clone())));
    let mut reverted = deployed.clone();
    reverted.ledger.delivered = None;
    assert_eq!(next(&mut bench, Event::Rechecked(Ok(reverted))), Action::Deliver);
    assert_eq!(next(&mut bench, Event::Delivered(Ok(deployed.clone()))), Action::Activate);
}

#[test]
fn a_command_that_runs_long_after_its_delivery_is_preceded_by_a_look_into_the_guest() {
    let mut bench = verifying();
    bench.entry.delivery = Some(explicit());
    let leaf = bench.leaf();
    let mut delivered = bench.deployed(&leaf);
    delivered.ledger.activated = None;
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(delivered.clone()))), Action::Activate);
    bench.now = wake(&next(&mut bench, Event::Activated(Err(command_failed())))).plus(DAY / 100);
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(delivered.clone()))), Action::Recheck);
    // A guest that cannot be asked holds the command up, with spacing.
    let off = Trouble::new(Reason::GuestOff, "it is off");
    let at = wake(&next(&mut bench, Event::Rechecked(Err(off))));
    assert!(at > bench.now && bench.state.memory.failures.contains_key(&Stage::Activate));
    bench.now = at;
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(delivered.clone()))), Action::Recheck);
    assert_eq!(next(&mut bench, Event::Rechecked(Ok(delivered))), Action::Activate);
}

/// The pair before `leaf` is in place.
pub(super) fn rolled_back(bench: &Bench, old: &LeafFacts, new: &LeafFacts) -> Observation {
    let mut seen = bench.written(old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    seen
}

#[test]
fn what_we_revoked_is_replaced_and_neither_put_back_nor_taken_over() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let mut seen = bench.deployed(&leaf);
    seen.ledger.revoked.push(leaf.serial.clone());
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen.clone()))), Action::Issue);
    assert_eq!(bench.state.finding.as_ref().unwrap().reason, Reason::Revoked);

    let mut bench = Bench::new();
    let mut deleted = seen.clone();
    deleted.live = samples::nothing();
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deleted))), Action::Issue);

    let mut bench = Bench::new();
    let mut foreign = samples::blank(&bench.entry, NOW);
    foreign.live = samples::live(&leaf);
    foreign.ledger.revoked.push(leaf.serial.clone());
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(foreign))), Action::Issue);
}

#[test]
fn a_verification_that_shows_the_same_again_is_not_worth_a_write() {
    let mut bench = verifying();
    let leaf = proven(&mut bench);
    let before = bench.state.memory.clone();
    bench.pass(900);
    bench.send(Event::Sweep);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Observed(Ok(deployed)));
    let seen = Verification { served: Some(served(&leaf, bench.now)), ..unseen() };
    bench.send(Event::Verified(Box::new(seen)));
    assert_ne!(bench.state.memory, before);
    assert!(bench.state.memory.is_as_good_as(before));
}
