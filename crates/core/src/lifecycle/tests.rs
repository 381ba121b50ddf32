mod answers;
mod back;
mod corners;
mod gates;
mod looks;
mod orders;
mod outages;
mod proof;
mod reaches;
mod rollback;

use std::time::Duration;

use super::*;
use crate::facts::{Deed, FileFact, LeafFacts};
use crate::manifest::{Entry, StageError};
use crate::reason::Reason;
use crate::samples;
use crate::schedule::Jitter;

const NOW: Timestamp = Timestamp::from_unix(1_000_000);
const DAY: Duration = Duration::from_secs(86_400);

/// One entry with a scripted edge.
struct Bench {
    entry: Entry,
    availability: Availability,
    last_run: Option<Timestamp>,
    invited: bool,
    state: State,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        Self {
            entry: samples::entry("one"),
            availability: Availability::Ready,
            last_run: None,
            invited: false,
            state: State::default(),
            now: NOW,
        }
    }

    /// The same, to be tried in another way.
    fn again(&self) -> Self {
        let Self { entry, availability, last_run, invited, state, now } = self;
        Self {
            entry: entry.clone(),
            availability: availability.clone(),
            last_run: *last_run,
            invited: *invited,
            state: state.clone(),
            now: *now,
        }
    }

    fn send(&mut self, event: Event) -> Vec<Action> {
        let context = Context {
            entry: &self.entry,
            jitter: Jitter::default(),
            availability: &self.availability,
            last_run: self.last_run,
            invited: self.invited,
        };
        let (state, actions) = step(std::mem::take(&mut self.state), &context, event, self.now);
        self.state = state;
        actions.into_iter().filter(|action| *action != Action::Remember).collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn leaf(&self) -> LeafFacts {
        samples::leaf(&self.entry, self.now.minus(Duration::from_secs(60)), self.now.plus(DAY))
    }

    fn written(&self, leaf: &LeafFacts) -> Observation {
        samples::installed(&self.entry, leaf, self.now)
    }

    fn deployed(&self, leaf: &LeafFacts) -> Observation {
        let mut seen = self.written(leaf);
        let deed =
            |of: &str| Some(Deed { fingerprint: leaf.fingerprint.clone(), of: of.into(), at: self.now });
        seen.ledger.activated = deed("command");
        seen.ledger.delivered = self.entry.delivery.as_ref().and_then(|_| deed("delivery"));
        seen
    }

    fn offer(&self) -> Offer {
        Offer {
            stage: "s".into(),
            issuer: self.entry.issuers[0].clone(),
            chain: "PEM".into(),
            reachable: None,
            ailing: None,
        }
    }

    /// Brings a fresh entry to rest with a deployed certificate.
    fn settle(&mut self) -> LeafFacts {
        let leaf = self.leaf();
        self.send(Event::Look);
        self.send(Event::Observed(Ok(self.deployed(&leaf))));
        leaf
    }
}

fn command_failed() -> Trouble {
    Trouble::new(Reason::CommandFailed, "exit code 1")
}

#[test]
fn an_empty_directory_goes_from_issue_to_activation() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(Event::Look), [Action::Observe]);
    let blank = samples::blank(&bench.entry, NOW);
    assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::Issue]);
    assert_eq!(bench.state.finding.as_ref().unwrap().reason, Reason::Missing);
    let offer = bench.offer();
    assert_eq!(bench.send(Event::Issued(Ok(offer.clone()))), [Action::Install(offer)]);
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    assert_eq!(bench.send(Event::Installed(Ok((written, vec![])))), [Action::Activate]);
    let deployed = bench.deployed(&leaf);
    let renewal = schedule_of(&bench, &leaf);
    assert_eq!(bench.send(Event::Activated(Ok(deployed))), [Action::WakeAt(Some(renewal))]);
    assert!(bench.state.memory.failures.is_empty());
    assert_eq!(bench.state.memory.in_use_until, Some(leaf.not_after));
}

fn schedule_of(bench: &Bench, leaf: &LeafFacts) -> Timestamp {
    crate::schedule::renew_at(leaf, &bench.entry, Jitter::default())
}

#[test]
fn a_valid_pair_without_history_is_adopted_without_issue_or_command() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let mut seen = samples::blank(&bench.entry, NOW);
    seen.live = samples::live(&leaf);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Adopt]);
    let mut adopted = bench.written(&leaf);
    adopted.own.as_mut().unwrap().adopted = true;
    let renewal = schedule_of(&bench, &leaf);
    assert_eq!(bench.send(Event::Adopted(Ok(adopted))), [Action::WakeAt(Some(renewal))]);
}

#[test]
fn a_valid_pair_is_left_alone_while_no_root_is_known() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let mut seen = samples::blank(&bench.entry, NOW);
    seen.live = samples::live(&leaf);
    seen.live.trusted = None;
    bench.send(Event::Look);
    let later = NOW.plus(crate::backoff::LONGEST_EXPIRED);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::WakeAt(Some(later))]);
}

#[test]
fn a_failed_command_is_retried_with_growing_spacing_until_it_succeeds() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written.clone()))), [Action::Activate]);
    let mut spacings = Vec::new();
    for attempt in 1..=4 {
        let actions = bench.send(Event::Activated(Err(command_failed())));
        let [Action::WakeAt(Some(at))] = actions[..] else { panic!("{actions:?}") };
        spacings.push(at.since(bench.now).as_secs());
        assert_eq!(bench.state.memory.failures[&Stage::Activate].attempts, attempt);
        bench.now = at;
        assert_eq!(bench.send(Event::Look), [Action::Observe]);
        assert_eq!(bench.send(Event::Observed(Ok(written.clone()))), [Action::Activate]);
    }
    assert_eq!(spacings, [5, 10, 20, 40]);
    let deployed = bench.deployed(&leaf);
    bench.send(Event::Activated(Ok(deployed)));
    assert!(bench.state.memory.failures.is_empty());
}

#[test]
fn a_look_before_the_next_attempt_does_not_run_the_command() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(written.clone())));
    let actions = bench.send(Event::Activated(Err(command_failed())));
    bench.pass(1);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written))), actions);
}

#[test]
fn a_failing_command_does_not_hold_up_the_next_renewal() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(written.clone())));
    bench.send(Event::Activated(Err(command_failed())));
    bench.now = schedule_of(&bench, &leaf);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Issue]);
    assert_eq!(bench.state.finding.as_ref().unwrap().reason, Reason::Due);
}

#[test]
fn a_certificate_that_became_due_before_its_command_ran_is_put_to_use_first() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.now = schedule_of(&bench, &leaf);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Activate]);
    let deployed = bench.deployed(&leaf);
    assert_eq!(bench.send(Event::Activated(Ok(deployed))), [Action::Issue]);
}

#[test]
fn a_deleted_file_is_put_back_without_asking_the_ca() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let mut seen = bench.deployed(&leaf);
    seen.live.key = FileFact::Missing;
    seen.live.key_public = None;
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Restore]);
    let deployed = bench.deployed(&leaf);
    let renewal = schedule_of(&bench, &leaf);
    assert_eq!(bench.send(Event::Restored(Ok(deployed))), [Action::WakeAt(Some(renewal))]);
}

#[test]
fn an_older_pair_from_outside_is_replaced_three_times_and_then_left_alone() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let older = samples::leaf(&bench.entry, NOW.minus(DAY / 2), NOW.plus(DAY / 2));
    let mut foreign = bench.deployed(&leaf);
    foreign.live = samples::live(&older);
    for count in 0..FOREIGN_WRITES {
        foreign.ledger.foreign_writes = count;
        bench.send(Event::Look);
        assert_eq!(bench.send(Event::Observed(Ok(foreign.clone()))), [Action::Restore]);
        let deployed = bench.deployed(&leaf);
        bench.send(Event::Restored(Ok(deployed)));
    }
    foreign.ledger.foreign_writes = FOREIGN_WRITES;
    bench.send(Event::Look);
    let actions = bench.send(Event::Observed(Ok(foreign)));
    assert!(matches!(actions[..], [Action::WakeAt(Some(_))]), "{actions:?}");
    assert_eq!(bench.state.memory.failure().unwrap().1.trouble.reason, Reason::ForeignWriter);
}

#[test]
fn a_later_valid_pair_from_outside_is_adopted() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    let later = samples::leaf(&bench.entry, NOW, NOW.plus(DAY * 2));
    let mut seen = bench.deployed(&leaf);
    seen.live = samples::live(&later);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Adopt]);
}

#[test]
fn an_unavailable_issuer_is_reported_and_left_when_it_is_back() {
    let mut bench = Bench::new();
    bench.availability = Availability::Unavailable {
        trouble: Trouble::new(Reason::IssuerNotReady, "no root file"),
        next_look: NOW.plus(Duration::from_secs(10)),
    };
    bench.send(Event::Look);
    let blank = samples::blank(&bench.entry, NOW);
    assert_eq!(bench.send(Event::Observed(Ok(blank.clone()))), [Action::WakeAt(None)]);
    let (_, failure) = bench.state.memory.failure().unwrap();
    assert_eq!(failure.attempts, 0);
    assert_eq!(failure.next_attempt_at, NOW.plus(Duration::from_secs(10)));
    bench.availability = Availability::Ready;
    assert_eq!(bench.send(Event::IssuerBack), [Action::Observe]);
    assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::Issue]);
}

#[test]
fn an_absent_target_costs_no_certificate() {
    let mut bench = Bench::new();
    let mut seen = samples::blank(&bench.entry, NOW);
    seen.target_trouble = Some(Trouble::new(Reason::StorageAbsent, "not mounted"));
    bench.send(Event::Look);
    let actions = bench.send(Event::Observed(Ok(seen)));
    assert!(matches!(actions[..], [Action::WakeAt(Some(_))]), "{actions:?}");
    bench.send(Event::Look);
    let blank = samples::blank(&bench.entry, NOW);
    assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::Issue]);
}

fn renew(reach: Reach) -> Event {
    Event::Ordered(Request { reissue: true, redeploy: false, reverify: false, urgent: true, reach })
}

#[test]
fn what_happens_during_work_is_looked_at_afterwards() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    bench.send(Event::Look);
    let written = bench.written(&leaf);
    bench.send(Event::Observed(Ok(written)));
    assert_eq!(bench.send(Event::Rewritten), []);
    let deployed = bench.deployed(&leaf);
    assert_eq!(bench.send(Event::Activated(Ok(deployed))), [Action::Observe]);
}

#[test]
fn a_command_that_the_manifest_has_wrong_blocks_its_stage_and_not_the_certificate() {
    let mut bench = Bench::new();
    bench.entry.command = None;
    bench.entry.stage_errors =
        vec![StageError { stage: crate::manifest::Stage::Activate, message: "not allowed".into() }];
    bench.send(Event::Look);
    let blank = samples::blank(&bench.entry, NOW);
    assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::Issue]);
    let offer = bench.offer();
    bench.send(Event::Issued(Ok(offer)));
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    let renewal = schedule_of(&bench, &leaf);
    let actions = bench.send(Event::Installed(Ok((written.clone(), vec![]))));
    assert_eq!(actions, [Action::WakeAt(Some(renewal))]);
    let (stage, failure) = bench.state.memory.failure().unwrap();
    assert_eq!((stage, failure.trouble.reason), (Stage::Activate, Reason::ManifestError));
    bench.now = renewal;
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Issue]);
}

#[test]
fn a_paused_entry_rests() {
    let mut bench = Bench::new();
    bench.entry.paused = true;
    bench.send(Event::Look);
    let blank = samples::blank(&bench.entry, NOW);
    assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::WakeAt(None)]);
}

#[test]
fn work_that_the_manifest_overtook_is_no_failure_and_not_begun_again_at_once() {
    let mut bench = Bench::new();
    let leaf = bench.leaf();
    let written = bench.written(&leaf);
    bench.send(Event::Look);
    assert_eq!(bench.send(Event::Observed(Ok(written))), [Action::Activate]);
    let stale = Event::Activated(Err(Trouble::new(Reason::Stale, "changed")));
    assert!(stale.is_overtaken());
    assert_eq!(bench.send(stale), [Action::WakeAt(Some(NOW.plus(Duration::from_secs(1))))]);
    assert!(bench.state.memory.failures.is_empty());
}

#[test]
fn an_entry_that_waits_for_an_issuer_is_woken_whatever_the_issuer_was_blamed_for() {
    for reason in [Reason::CaError, Reason::CaAnswer, Reason::WrongRoot, Reason::IssuerNotReady] {
        let mut bench = Bench::new();
        let trouble = Trouble::new(reason, "bad gateway");
        bench.availability = Availability::Unavailable { trouble, next_look: NOW };
        bench.send(Event::Look);
        let blank = samples::blank(&bench.entry, NOW);
        assert_eq!(bench.send(Event::Observed(Ok(blank))), [Action::WakeAt(None)]);
        assert_eq!(bench.send(Event::IssuerBack), [Action::Observe]);
    }
}
