use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::lifecycle::{Phase, Stage, State, Work};
use crate::manifest::Delivery;
use crate::reason::{Reason, Trouble};
use crate::samples;

const NOW: Timestamp = Timestamp::from_unix(1_000_000);
const MINUTE: Part = Part::Ready { patience: Duration::from_secs(60) };

fn reload() -> Vec<String> {
    ["/usr/sbin/pct", "exec", "102", "--", "reload"].map(str::to_owned).to_vec()
}

fn at(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// Waves in which these take these parts in one group.
fn with<const N: usize>(members: [(u32, Part); N]) -> Waves<u32> {
    let mut waves = Waves::default();
    for (key, part) in members {
        waves.place(&key, Some(&reload()), part, NOW);
    }
    waves
}

#[test]
fn what_is_ready_departs_together_when_nobody_is_on_the_way() {
    let mut waves = with([(1, MINUTE), (2, MINUTE), (3, Part::Away)]);
    assert!(waves.is_held(&1) && !waves.is_running(&reload()));
    assert_eq!(waves.depart(NOW), [vec![1, 2]]);
    assert!(!waves.is_held(&1) && waves.is_running(&reload()));
    assert!(waves.depart(at(1000)).is_empty(), "they are gone");
}

#[test]
fn those_on_the_way_are_waited_for_until_patience_ends() {
    let mut waves = with([(1, MINUTE), (2, Part::Coming)]);
    waves.place(&3, Some(&reload()), MINUTE, at(10));
    assert!(waves.depart(at(59)).is_empty());
    assert_eq!(waves.next_departure(at(59)), Some(at(60)), "the first one's patience counts");
    assert_eq!(waves.depart(at(60)), [vec![1, 3]]);
}

#[test]
fn nobody_is_held_until_a_time_of_an_old_clock() {
    let mut waves = with([(1, MINUTE), (2, Part::Coming)]);
    let before = Timestamp::from_unix(NOW.unix() - 86_400);
    assert_eq!(waves.next_departure(before), Some(at(60)), "a day from now");
    waves.clock_set(before);
    assert_eq!(waves.depart(before), [vec![1]]);
}

#[test]
fn one_who_gives_up_no_longer_holds_up_the_others() {
    let mut waves = with([(1, MINUTE), (2, Part::Coming)]);
    waves.place(&2, Some(&reload()), Part::Away, at(3));
    assert_eq!(waves.depart(at(3)), [vec![1]]);
}

#[test]
fn a_command_never_runs_twice_at_the_same_time() {
    let mut waves = with([(1, MINUTE)]);
    assert_eq!(waves.depart(NOW), [vec![1]]);
    waves.place(&2, Some(&reload()), MINUTE, at(1));
    waves.place(&1, Some(&reload()), MINUTE, at(2));
    assert!(waves.depart(at(500)).is_empty() && waves.next_departure(at(500)).is_none());
    waves.place(&1, Some(&reload()), Part::Away, at(501));
    assert_eq!(waves.depart(at(501)), [vec![2]]);
}

#[test]
fn other_commands_are_other_waves() {
    let mut waves = with([(1, MINUTE), (2, Part::Coming)]);
    let restart = ["/usr/sbin/pct".to_owned(), "restart".to_owned()];
    waves.place(&3, Some(&restart), MINUTE, NOW);
    assert_eq!(waves.depart(NOW), [vec![3]]);
    // An entry whose command was changed leaves its old group.
    waves.place(&2, Some(&restart), Part::Coming, NOW);
    assert_eq!(waves.depart(NOW), [vec![1]]);
}

#[test]
fn those_who_wait_for_another_attempt_are_invited_once() {
    let mut waves = with([(1, Part::Willing), (2, Part::Willing)]);
    assert!(waves.invite().is_empty(), "nobody goes anywhere");
    waves.place(&1, Some(&reload()), MINUTE, NOW);
    assert_eq!(waves.invite(), [2]);
    assert!(waves.is_invited(&2) && !waves.is_invited(&1));
    waves.place(&2, Some(&reload()), Part::Coming, NOW);
    assert!(waves.depart(NOW).is_empty(), "the invited one is waited for");
    waves.place(&2, Some(&reload()), Part::Willing, NOW);
    assert!(waves.invite().is_empty(), "it has declined");
    assert_eq!(waves.depart(NOW), [vec![1]]);
    assert!(!waves.is_invited(&2), "the invitation was for that wave");
}

#[test]
fn a_wave_has_room_for_as_many_as_one_answer_can_tell_of() {
    let mut waves = Waves::default();
    for key in 0..LARGEST + 10 {
        waves.place(&key, Some(&reload()), MINUTE, at(key as u64));
    }
    waves.place(&9_999, Some(&reload()), Part::Coming, NOW);
    let first = waves.depart(NOW);
    assert_eq!(
        first,
        [(0..LARGEST).collect::<Vec<_>>()],
        "a full one waits for nobody, the first come first"
    );
    for key in 0..LARGEST {
        waves.place(&key, Some(&reload()), Part::Away, NOW);
    }
    waves.remove(&9_999);
    assert_eq!(waves.depart(NOW), [(LARGEST..LARGEST + 10).collect::<Vec<_>>()]);
}

fn state(work: Option<Work>) -> State {
    let phase = work.map_or(Phase::Idle, |work| Phase::Working { work, again: false });
    State { phase, ..State::default() }
}

#[test]
fn what_an_entry_does_tells_its_part() {
    let entry = samples::entry("one");
    let part_of = |state: &State| part(&entry, state, false, NOW);
    for work in [Work::Issue, Work::Install, Work::Deliver] {
        assert_eq!(part_of(&state(Some(work))), Part::Coming, "{work:?}");
    }
    for work in [Some(Work::Observe), Some(Work::Adopt), Some(Work::Restore), None] {
        assert_eq!(part_of(&state(work)), Part::Away, "{work:?}");
    }
    let mut ordered = state(Some(Work::Observe));
    ordered.memory.reissue = true;
    assert_eq!(part_of(&ordered), Part::Coming);

    let mut failed = state(None);
    let trouble = |reason| Trouble::new(reason, "it did not work");
    failed.memory.fail(Stage::Activate, trouble(Reason::CommandFailed), None, NOW);
    assert_eq!(part_of(&failed), Part::Willing);
    failed.phase = Phase::Working { work: Work::Observe, again: false };
    assert_eq!(part_of(&failed), Part::Away, "its next attempt is not due");
    assert_eq!(part(&entry, &failed, true, NOW), Part::Coming, "it was invited");
    assert_eq!(part(&entry, &failed, false, at(3600)), Part::Coming, "its next attempt is due");
    for reason in [Reason::WindowClosed, Reason::CommandRefused, Reason::ManifestError] {
        let mut waits = state(None);
        waits.memory.fail(Stage::Activate, trouble(reason), None, NOW);
        assert_eq!(part_of(&waits), Part::Away, "{reason}");
    }
}

#[test]
fn patience_is_a_fiftieth_of_the_lifetime_and_less_when_consumers_cannot_wait() {
    let entry = samples::entry("one");
    let patience = |lifetime: u64, in_use: Option<u64>| {
        let leaf = samples::leaf(&entry, NOW, at(lifetime));
        let mut state = state(Some(Work::Activate));
        state.seen = Some(samples::installed(&entry, &leaf, NOW));
        state.memory.in_use_until = in_use.map(at);
        match part(&entry, &state, false, NOW) {
            Part::Ready { patience } => patience.as_secs(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(patience(86_400, Some(28_800)), 60);
    assert_eq!(patience(300, Some(100)), 6);
    assert_eq!(patience(86_400, Some(50)), 5);
    assert_eq!(patience(86_400, Some(0)), 5, "it cannot get worse");
    assert_eq!(patience(86_400, None), 60);
}

#[test]
fn copies_for_the_command_are_never_shared() {
    let mut entry = samples::entry("one");
    entry.delivery = Some(Delivery::Legacy { ca: false });
    assert_eq!(part(&entry, &state(Some(Work::Activate)), false, NOW), Part::Away);
    entry.delivery = None;
    entry.command = None;
    assert_eq!(part(&entry, &state(Some(Work::Issue)), false, NOW), Part::Away);
}

#[test]
fn runs_keep_the_newest_and_none_in_the_future() {
    let mut runs = Runs::default();
    assert!(runs.note(&reload(), at(10)) && !runs.note(&reload(), at(5)));
    assert_eq!(runs.last(&reload()), Some(at(10)));
    runs.rewind(at(7));
    assert_eq!(runs.last(&reload()), Some(at(7)));
    runs.retain(|command| command.len() == 1);
    assert_eq!((runs.last(&reload()), runs.len(), runs.is_empty()), (None, 0, true));
}

#[test]
fn only_what_was_started_has_run() {
    let ended = |reason| has_run::<()>(&Err(Trouble::new(reason, "it did not work")));
    assert!(has_run(&Ok(())) && ended(Reason::CommandFailed) && ended(Reason::CommandTimeout));
    assert!(!ended(Reason::GuestOff) && !ended(Reason::Stale) && !ended(Reason::CommandRefused));
}

/// Something that may happen to one of a few entries of one of two groups.
fn happenings() -> impl Strategy<Value = Vec<(u8, bool, Part, u64)>> {
    let part = prop_oneof![
        Just(Part::Away),
        Just(Part::Willing),
        Just(Part::Coming),
        (0..60_u64).prop_map(|seconds| Part::Ready { patience: Duration::from_secs(seconds) }),
    ];
    prop::collection::vec((0..6_u8, any::<bool>(), part, 0..20_u64), 1..120)
}

proptest! {
    #[test]
    fn nobody_is_forgotten_or_run_twice_or_held_beyond_patience(happenings in happenings()) {
        let commands = [reload(), vec!["/usr/sbin/qm".to_owned()]];
        let mut waves = Waves::default();
        let mut now = NOW;
        // What each entry last said of itself: its group and, when ready, until when it may be held.
        let mut held: BTreeMap<u8, (usize, Timestamp)> = BTreeMap::new();
        let mut running: BTreeMap<u8, usize> = BTreeMap::new();
        for (key, second, part, wait) in happenings {
            // An entry keeps its command while that runs.
            let group = running.get(&key).copied().unwrap_or(usize::from(second));
            waves.place(&key, Some(&commands[group]), part, now);
            match part {
                Part::Ready { patience } if !running.contains_key(&key) => {
                    let fresh = (group, now.plus(patience));
                    let same = held.get(&key).copied().filter(|(old, _)| *old == group);
                    held.insert(key, same.unwrap_or(fresh));
                }
                Part::Ready { .. } => {}
                _ => {
                    held.remove(&key);
                    running.remove(&key);
                }
            }
            waves.invite();
            if let Some(next) = waves.next_departure(now) {
                now = now.plus(Duration::from_secs(wait).min(next.since(now)));
            }
            for wave in waves.depart(now) {
                let group = held[&wave[0]].0;
                prop_assert!(!running.values().any(|other| *other == group), "two at a time");
                for key in wave {
                    let (of, _) = held.remove(&key).expect("only who is held departs");
                    prop_assert_eq!(of, group);
                    running.insert(key, of);
                }
            }
            for (key, (group, until)) in &held {
                prop_assert!(waves.is_held(key));
                let busy = running.values().any(|other| other == group);
                prop_assert!(busy || now < *until, "{key} is held beyond its patience");
            }
        }
    }
}
