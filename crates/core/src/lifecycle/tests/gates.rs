//! Maintenance windows, restart budgets and commands that several entries share.

use proptest::prelude::*;

use super::*;
use crate::manifest::Window;
use crate::window::Opening;

/// Open in the first quarter of every hour.
fn quarter() -> Window {
    Window { cron: "0 * * * *".into(), duration: Duration::from_secs(900), timezone: None }
}

/// A tenth of the lifetime of the certificate of [`written`], in seconds.
const MARGIN: u64 = 8_646;

/// A bench at so many seconds past a full hour, whose renewed certificate is written and whose old one is good for so
/// long.
fn written(past: i64, in_use_for: u64) -> (Bench, Observation) {
    let mut bench = Bench::new();
    bench.now = Timestamp::from_unix(1_000_000 / 3600 * 3600 + past);
    bench.state.memory.in_use_until = Some(bench.now.plus(Duration::from_secs(in_use_for)));
    let leaf = bench.leaf();
    let seen = bench.written(&leaf);
    (bench, seen)
}

fn look(bench: &mut Bench, seen: &Observation) -> Vec<Action> {
    bench.send(Event::Look);
    bench.send(Event::Observed(Ok(seen.clone())))
}

#[test]
fn a_command_waits_for_its_window_and_says_so() {
    let (mut bench, seen) = written(1800, 86_400);
    bench.entry.window = Some(quarter());
    let opens = bench.now.plus(Duration::from_secs(1800));
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(opens))]);
    let failure = &bench.state.memory.failures[&Stage::Activate];
    assert_eq!((failure.trouble.reason, failure.attempts), (Reason::WindowClosed, 0));
    assert_eq!(failure.next_attempt_at, opens);
    bench.now = opens;
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
}

#[test]
fn a_window_gives_way_before_what_is_in_use_expires() {
    for (in_use_for, runs) in [(86_400, false), (MARGIN + 1 + 1800, false), (MARGIN, true), (0, true)] {
        let (mut bench, seen) = written(1800, in_use_for);
        bench.entry.window = Some(quarter());
        let actions = look(&mut bench, &seen);
        assert_eq!(actions == [Action::Activate], runs, "in use for {in_use_for} s: {actions:?}");
    }
    let (mut bench, seen) = written(1800, MARGIN + 600);
    bench.entry.window = Some(quarter());
    let gives_way = bench.now.plus(Duration::from_secs(600));
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(gives_way))], "sooner than the window opens");
}

/// A command that has run for the present certificate and is to run again, because its consumer goes on with another one
/// that is good for so long.
fn in_vain(in_use_for: u64) -> (Bench, Observation) {
    let (mut bench, mut seen) = written(1800, in_use_for);
    let own = seen.own.as_ref().unwrap().leaf.fingerprint.clone();
    seen.ledger.activated = Some(Deed { fingerprint: own, of: "command".into(), at: bench.now });
    bench.state.memory.reactivate = true;
    (bench, seen)
}

#[test]
fn a_command_without_effect_keeps_to_its_budget_once_what_is_in_use_has_expired() {
    for (in_use_for, runs) in [(MARGIN, true), (0, false)] {
        let (mut bench, seen) = in_vain(in_use_for);
        bench.entry.command.as_mut().unwrap().min_interval = Some(Duration::from_secs(3600));
        bench.last_run = Some(bench.now.minus(Duration::from_secs(1800)));
        let spent = bench.now.plus(Duration::from_secs(1800));
        let expected = if runs { Action::Activate } else { Action::WakeAt(Some(spent)) };
        assert_eq!(look(&mut bench, &seen), [expected], "in use for {in_use_for} s");

        bench.state.phase = Phase::Idle;
        let order = Request {
            reissue: false,
            redeploy: false,
            reverify: false,
            urgent: true,
            reach: Reach::Verified,
        };
        bench.send(Event::Ordered(order));
        assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Activate], "an operator does not wait");
    }
}

#[test]
fn a_command_without_effect_is_repeated_once_an_hour_outside_of_its_window_when_what_is_in_use_has_expired() {
    let (mut bench, mut seen) = in_vain(0);
    let daily = Window { cron: "0 0 1 1 *".into(), ..quarter() };
    bench.entry.window = Some(daily);
    for _ in 0..3 {
        let ran = seen.ledger.activated.as_ref().unwrap().at;
        let next = ran.plus(Duration::from_secs(3600));
        assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(next))]);
        assert_eq!(bench.state.memory.failures[&Stage::Activate].next_attempt_at, next, "and says so");
        bench.now = next;
        assert_eq!(look(&mut bench, &seen), [Action::Activate]);
        seen.ledger.activated.as_mut().unwrap().at = bench.now;
        bench.state.phase = Phase::Idle;
    }
}

#[test]
fn a_run_that_failed_counts_for_the_hour_and_a_window_that_opens_sooner_is_used() {
    let (mut bench, seen) = in_vain(0);
    bench.entry.window = Some(quarter());
    let opens = bench.now.plus(Duration::from_secs(1800));
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(opens))]);
    bench.now = opens;
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
    // It failed near the end of the window: the next one opens within the hour.
    bench.state.phase = Phase::Idle;
    bench.pass(1000);
    bench.state.memory.fail(Stage::Activate, command_failed(), None, bench.now);
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(opens.plus(Duration::from_secs(3600))))]);
    bench.state.phase = Phase::Idle;
    bench.entry.window = Some(Window { cron: "0 0 1 1 *".into(), ..quarter() });
    let hour = bench.now.plus(Duration::from_secs(3600));
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(hour))]);
}

#[test]
fn the_hourly_repetition_keeps_to_a_budget_that_is_longer() {
    let (mut bench, seen) = in_vain(0);
    bench.entry.window = Some(Window { cron: "0 0 1 1 *".into(), ..quarter() });
    bench.entry.command.as_mut().unwrap().min_interval = Some(Duration::from_secs(7200));
    bench.last_run = Some(bench.now);
    let until = bench.now.plus(Duration::from_secs(7200));
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(until))]);
    bench.now = until;
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
}

#[test]
fn while_a_command_waits_for_its_window_no_earlier_look_at_its_consumer_is_told_of() {
    let (mut bench, seen) = in_vain(86_400);
    bench.entry.window = Some(quarter());
    let serves_other = Trouble::new(Reason::ServesOther, "another one");
    bench.entry.verify = super::proof::tls();
    bench.state.memory.rerun = true;
    bench.state.memory.fail(Stage::Verify, serves_other, None, bench.now);
    let opens = bench.now.plus(Duration::from_secs(1800));
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(opens))]);
    let told = bench.state.memory.failures.values().map(|failure| failure.next_attempt_at);
    assert_eq!(told.collect::<Vec<_>>(), [opens, opens]);
    bench.now = opens;
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
}

#[test]
fn a_run_that_lies_in_the_future_holds_nothing_back() {
    let (mut bench, mut seen) = in_vain(0);
    bench.entry.window = Some(quarter());
    seen.ledger.activated.as_mut().unwrap().at = bench.now.plus(DAY);
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
}

#[test]
fn who_ordered_a_new_certificate_is_in_no_hurry_to_see_the_present_one_used() {
    for (reissue, runs) in [(false, true), (true, false)] {
        let (mut bench, seen) = written(1800, 86_400);
        bench.entry.window = Some(quarter());
        bench.state.memory.reissue = reissue;
        bench.state.memory.order = Some(Order {
            hurry: Some(Reach::Verified),
            ..Order::new(Reach::Verified, bench.now.minus(Duration::from_secs(9)))
        });
        // The issuer was asked, and is away.
        let away = Trouble::new(Reason::CaUnreachable, "refused");
        let next_look = bench.now.plus(Duration::from_secs(10));
        bench.state.memory.fail(Stage::Issue, away.clone(), None, bench.now);
        bench.availability = Availability::Unavailable { trouble: away, next_look };
        let actions = look(&mut bench, &seen);
        assert_eq!(actions == [Action::Activate], runs, "reissue {reissue}: {actions:?}");
    }
}

#[test]
fn renew_does_not_wait_for_a_window_and_sync_does() {
    for urgent in [true, false] {
        let (mut bench, seen) = written(1800, 86_400);
        bench.entry.window = Some(quarter());
        let request =
            Request { reissue: false, redeploy: true, reverify: false, urgent, reach: Reach::Verified };
        assert_eq!(bench.send(Event::Ordered(request)), [Action::Observe]);
        let actions = bench.send(Event::Observed(Ok(seen)));
        assert_eq!(actions == [Action::Activate], urgent, "{actions:?}");
    }
}

#[test]
fn a_command_that_failed_in_its_window_says_so_until_the_next_one() {
    let (mut bench, seen) = written(899, 86_400);
    bench.entry.window = Some(quarter());
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
    bench.pass(5);
    let opens = Timestamp::from_unix(bench.now.unix() / 3600 * 3600 + 3600);
    assert_eq!(bench.send(Event::Activated(Err(command_failed()))), [Action::WakeAt(Some(opens))]);
    let failure = &bench.state.memory.failures[&Stage::Activate];
    assert_eq!((failure.trouble.reason, failure.attempts), (Reason::CommandFailed, 1));
}

#[test]
fn a_renewal_is_not_put_off_by_a_command_that_waits() {
    let (mut bench, seen) = written(1800, 86_400 * 9);
    bench.entry.window = Some(Window { cron: "0 0 1 1 *".into(), ..quarter() });
    let leaf = &seen.own.as_ref().unwrap().leaf;
    let renewal = schedule_of(&bench, leaf);
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(renewal))]);
    bench.now = renewal;
    assert_eq!(look(&mut bench, &seen), [Action::Issue]);
}

#[test]
fn a_restart_budget_counts_from_the_last_run_of_the_command_line() {
    let (mut bench, seen) = written(0, 86_400);
    bench.entry.command.as_mut().unwrap().min_interval = Some(Duration::from_secs(3600));
    bench.last_run = Some(bench.now.minus(Duration::from_secs(600)));
    let until = bench.now.plus(Duration::from_secs(3000));
    assert_eq!(look(&mut bench, &seen), [Action::WakeAt(Some(until))]);
    assert_eq!(bench.state.memory.failures[&Stage::Activate].trouble.reason, Reason::RestartBudget);
    // When the command runs for others anyway, it may come along.
    bench.invited = true;
    assert_eq!(bench.send(Event::Invited), [Action::Observe]);
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Activate]);
}

#[test]
fn an_invitation_that_came_too_late_changes_nothing() {
    let (mut bench, seen) = written(0, 86_400);
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
    let Some(Action::WakeAt(next)) = bench.send(Event::Activated(Err(command_failed()))).pop() else {
        panic!()
    };
    bench.invited = true;
    assert_eq!(bench.send(Event::Invited), [Action::Observe]);
    bench.invited = false;
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::WakeAt(next)]);
}

#[test]
fn a_command_that_was_not_begun_is_decided_on_anew() {
    let (mut bench, seen) = written(0, 86_400);
    assert_eq!(look(&mut bench, &seen), [Action::Activate]);
    assert_eq!(bench.send(Event::Withdrawn), [Action::Observe]);
    bench.send(Event::Rewritten);
    assert_eq!(
        bench.send(Event::Observed(Ok(seen.clone()))),
        [Action::Observe],
        "something happened meanwhile"
    );
    assert_eq!(bench.send(Event::Observed(Ok(seen))), [Action::Activate]);
}

#[test]
fn an_edit_is_no_loop() {
    let mut bench = Bench::new();
    bench.settle();
    bench.state.memory.issued = vec![NOW; ISSUANCES_PER_LIFETIME];
    bench.send(Event::Rewritten);
    assert!(bench.state.memory.issued.is_empty());
}

#[test]
fn records_that_are_older_than_what_was_done_are_noticed() {
    let mut bench = Bench::new();
    let leaf = bench.settle();
    bench.pass(3600);
    let newer = samples::leaf(&bench.entry, bench.now, bench.now.plus(DAY));
    bench.state.memory.own = Some(KnownCopy {
        fingerprint: newer.fingerprint.clone(),
        installed_at: bench.now,
        delivered_at: None,
        activated_at: None,
    });
    let mut restored = bench.deployed(&leaf);
    restored.own.as_mut().unwrap().installed_at = NOW;
    look(&mut bench, &restored);
    let notices = |bench: &Bench| {
        bench.state.memory.notices.iter().map(|notice| notice.text.clone()).collect::<Vec<_>>()
    };
    assert!(notices(&bench)[0].contains("restored from an older copy"), "{:?}", notices(&bench));
    look(&mut bench, &restored);
    assert_eq!(notices(&bench).len(), 1, "it is said once");
    let blank = samples::blank(&bench.entry, bench.now);
    look(&mut bench, &blank);
    assert!(notices(&bench)[1].contains("has forgotten the pair"), "{:?}", notices(&bench));
    bench.pass(8 * 86_400);
    bench.state.phase = Phase::Idle;
    look(&mut bench, &blank);
    assert!(notices(&bench).is_empty(), "after a week");
}

proptest! {
    /// Whatever the window, the budget and what is in use: a command that is held back has a time when it is not, and
    /// that time leaves several attempts before what is in use expires.
    #[test]
    fn nothing_holds_a_command_back_beyond_what_is_in_use(
        past in 0..3600_i64, in_use_for in 0..60_000_u64, hour in 0..24_u8, length in 1..200_u64,
        interval in prop::option::of(1..100_000_u64), ran in prop::option::of(0..100_000_u64),
    ) {
        let (mut bench, seen) = written(past, in_use_for);
        let window = Window {
            cron: format!("17 {hour} * * *"),
            duration: Duration::from_secs(length * 60),
            timezone: Some("Europe/Amsterdam".parse().unwrap()),
        };
        bench.entry.window = Some(window.clone());
        bench.entry.command.as_mut().unwrap().min_interval = interval.map(Duration::from_secs);
        bench.last_run = ran.map(|ago| bench.now.minus(Duration::from_secs(ago)));
        let expiry = bench.state.memory.in_use_until.unwrap();
        let gives_way = expiry.minus(Duration::from_secs(MARGIN));
        let spent = interval.zip(ran).is_some_and(|(interval, ran)| interval > ran);
        let free = window.opening(bench.now) == Opening::Open && !spent;
        match look(&mut bench, &seen)[..] {
            [Action::Activate] => prop_assert!(free || gives_way <= bench.now),
            [Action::WakeAt(Some(_))] => {
                let until = bench.state.memory.failures[&Stage::Activate].next_attempt_at;
                prop_assert!(!free && until > bench.now && until <= gives_way);
                bench.now = until;
                prop_assert_eq!(look(&mut bench, &seen), [Action::Activate]);
            }
            ref other => prop_assert!(false, "{other:?}"),
        }
    }
}
