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
    Verification { served: None, takes: false, remarks: Vec::new(), result: Ok(()) }
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
    bench.send(renew(Reach::Verified));
    let before = bench.state.seen.clone().unwrap();
    bench.send(Event::Observed(Ok(before)));
    let offer = Offer { reachable, ..bench.offer() };
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
    assert_eq!((deed.fingerprint, Some(deed.of)), (leaf.fingerprint.clone(), verify_digest(&bench.entry)));
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

/// Renews in vain, until the previous pair is in place and in use. Returns old, new and when it is tried again.
fn taken_back(bench: &mut Bench) -> (LeafFacts, LeafFacts, Timestamp) {
    bench.entry.rollback = true;
    let old = proven(bench);
    let new = renewed(bench, Some(true));
    assert_eq!(next(bench, fails(Reason::ServesDefault)), Action::Rollback);
    let back = rolled_back(bench, &old, &new);
    assert_eq!(next(bench, Event::RolledBack(Ok(back.clone()))), Action::Activate);
    let mut deployed = bench.deployed(&old);
    deployed.ledger.rolled_back = back.ledger.rolled_back;
    assert_eq!(next(bench, Event::Activated(Ok(deployed))), Action::Verify);
    let at = wake(&next(bench, passes(&old)));
    (old, new, at)
}

#[test]
fn the_previous_pair_is_put_back_used_and_told_of() {
    let mut bench = verifying();
    let (old, _, at) = taken_back(&mut bench);
    let failure = &bench.state.memory.failures[&Stage::Verify];
    assert_eq!(failure.trouble.reason, Reason::RolledBack);
    assert!(failure.trouble.message.contains("so it was seen"), "{}", failure.trouble.message);
    assert_eq!(bench.state.reached, None, "the order is not fulfilled by the old pair");
    assert!(bench.state.memory.order.is_some());
    // A tenth of what the old pair has left, an hour at most.
    let left = old.not_after.since(bench.now);
    assert_eq!(at, bench.now.plus((left / 10).min(crate::backoff::LONGEST)));
}

#[test]
fn the_new_pair_is_tried_again_and_taken_back_again_with_a_count() {
    let mut bench = verifying();
    let (old, new, at) = taken_back(&mut bench);
    bench.now = at;
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Reinstate);
    let written = bench.written(&new);
    assert_eq!(next(&mut bench, Event::Reinstated(Ok(written))), Action::Activate);
    let deployed = bench.deployed(&new);
    assert_eq!(next(&mut bench, Event::Activated(Ok(deployed.clone()))), Action::Verify);
    assert_eq!(next(&mut bench, fails(Reason::ServesDefault)), Action::Rollback);
    assert_eq!(bench.state.memory.rollback.as_ref().unwrap().attempts, 2);
}

#[test]
fn a_sync_tries_the_new_pair_at_once_and_its_success_ends_the_alarm() {
    let mut bench = verifying();
    let (old, new, _) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.send(Event::Ordered(Request {
        reissue: false,
        redeploy: false,
        reverify: false,
        urgent: false,
        reach: Reach::Verified,
    }));
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Reinstate);
    let (written, deployed) = (bench.written(&new), bench.deployed(&new));
    bench.send(Event::Reinstated(Ok(written)));
    bench.send(Event::Activated(Ok(deployed)));
    bench.send(passes(&new));
    assert_eq!(bench.state.memory.rollback, None);
    assert!(bench.state.memory.failures.is_empty());
    assert_eq!((bench.state.reached, &bench.state.memory.order), (Some(Reach::Verified), &None));
}

#[test]
fn a_renew_while_rolled_back_gets_a_certificate_of_its_own() {
    let mut bench = verifying();
    let (old, new, _) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.send(renew(Reach::Verified));
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Issue);
}

#[test]
fn a_pair_that_was_put_back_stays_although_it_is_due_and_not_although_it_is_expired() {
    let mut bench = verifying();
    let (old, new, at) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.entry.renew_before = crate::manifest::RenewBefore::Percent(50);
    bench.now = at.minus(Duration::from_secs(10));
    bench.send(Event::Look);
    assert!(matches!(next(&mut bench, Event::Observed(Ok(seen.clone()))), Action::WakeAt(Some(_))));
    bench.now = old.not_after.plus(Duration::from_secs(1));
    bench.state.memory.rollback.as_mut().unwrap().step =
        RollbackStep::InPlace { retry_at: bench.now.plus(DAY) };
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(seen))), Action::Issue);
}

#[test]
fn without_a_previous_pair_there_is_the_alarm_and_the_command_again() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    assert_eq!(next(&mut bench, fails(Reason::ServesDefault)), Action::Rollback);
    let none = Trouble::new(Reason::Missing, "no earlier pair of it is kept");
    let deployed = bench.deployed(&leaf);
    bench.now = wake(&next(&mut bench, Event::RolledBack(Err(none))));
    assert_eq!(bench.state.memory.failures[&Stage::Verify].trouble.reason, Reason::ServesDefault);
    bench.send(Event::Look);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed.clone()))), Action::Activate);
    bench.send(Event::Activated(Ok(deployed)));
    // It is not asked for again.
    assert!(matches!(next(&mut bench, fails(Reason::ServesDefault)), Action::WakeAt(_)));
}

#[test]
fn a_storage_that_fails_puts_the_rollback_off() {
    let mut bench = verifying();
    bench.entry.rollback = true;
    proven(&mut bench);
    let leaf = renewed(&mut bench, Some(true));
    bench.send(fails(Reason::Unreachable));
    let full = Trouble::new(Reason::DiskFull, "no space left");
    bench.now = wake(&next(&mut bench, Event::RolledBack(Err(full))));
    bench.send(Event::Look);
    let deployed = bench.deployed(&leaf);
    assert_eq!(next(&mut bench, Event::Observed(Ok(deployed))), Action::Rollback);
}

#[test]
fn a_command_that_failed_and_broke_its_consumer_is_rolled_back_and_one_that_did_not_is_not() {
    for (reason, expected) in
        [(Reason::Unreachable, true), (Reason::ServesDefault, true), (Reason::ServesOther, false)]
    {
        let mut bench = verifying();
        bench.entry.rollback = true;
        let old = proven(&mut bench);
        bench.send(renew(Reach::Verified));
        let before = bench.deployed(&old);
        bench.send(Event::Observed(Ok(before)));
        let offer = Offer { reachable: Some(true), ..bench.offer() };
        bench.send(Event::Issued(Ok(offer)));
        bench.pass(5);
        let leaf = bench.leaf();
        let written = bench.written(&leaf);
        bench.send(Event::Installed(Ok((written, vec![]))));
        // It is looked at once what the consumer does now.
        assert_eq!(next(&mut bench, Event::Activated(Err(command_failed()))), Action::Verify, "{reason}");
        let action = next(&mut bench, fails(reason));
        assert_eq!(action == Action::Rollback, expected, "{reason}: {action:?}");
    }
}

#[test]
fn a_rollback_that_nobody_remembers_is_known_from_the_ledger() {
    let mut bench = verifying();
    let (old, new, _) = taken_back(&mut bench);
    let mut seen = bench.deployed(&old);
    seen.ledger.rolled_back = Some(new.fingerprint.clone());
    bench.state = State::default();
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(seen)));
    bench.send(passes(&old));
    let rollback = bench.state.memory.rollback.as_ref().unwrap();
    assert_eq!(rollback.failed, new.fingerprint);
    assert!(matches!(rollback.step, RollbackStep::InPlace { retry_at } if retry_at > bench.now));
    assert_eq!(bench.state.memory.failures[&Stage::Verify].trouble.reason, Reason::RolledBack);
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
fn everything_about_consumers_is_remembered_across_a_restart() {
    let mut bench = verifying();
    taken_back(&mut bench);
    let json = serde_json::to_string(&bench.state.memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&json).unwrap(), bench.state.memory);
    // Journals of earlier versions know nothing of it.
    assert_eq!(serde_json::from_str::<Memory>("{}").unwrap(), Memory::default());
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
    assert!(bench.state.memory.is_as_good_as(&before));
}
