//! Coalescing, against a plain list of who is ready, coming and running.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use phoenix_core::time::Timestamp;
use phoenix_core::waves::{LARGEST, Part, Waves};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_unix(1_700_000_000);

#[derive(Clone, Debug)]
enum Happening {
    /// An entry says which part it takes in the group of a command.
    Says(u8, u8, Part),
    Leaves(u8),
    Waits(u64),
    /// Commands that run come to their end, and whoever ran is at rest.
    Ends,
    Clock(i64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let part = prop_oneof![
        Just(Part::Away),
        Just(Part::Willing),
        Just(Part::Coming),
        (0..60_u64).prop_map(|seconds| Part::Ready { patience: Duration::from_secs(seconds) }),
    ];
    let one = prop_oneof![
        6 => (0..8_u8, 0..3_u8, part).prop_map(|(key, command, part)| Happening::Says(key, command, part)),
        1 => (0..8_u8).prop_map(Happening::Leaves),
        3 => (0..90_u64).prop_map(Happening::Waits),
        2 => Just(Happening::Ends),
        1 => (-100_000_i64..0).prop_map(Happening::Clock),
    ];
    proptest::collection::vec(one, 1..80)
}

fn command(number: u8) -> Vec<String> {
    vec!["/usr/sbin/pct".to_owned(), number.to_string()]
}

/// What the entries said, command by command.
#[derive(Default)]
struct Model {
    /// Ready, with the end of patience.
    ready: BTreeMap<u8, (u8, Timestamp)>,
    coming: BTreeMap<u8, u8>,
    running: BTreeMap<u8, u8>,
}

impl Model {
    fn forget(&mut self, key: u8) {
        self.ready.remove(&key);
        self.coming.remove(&key);
        self.running.remove(&key);
    }

    fn says(&mut self, key: u8, command: u8, part: Part, now: Timestamp) {
        let was = self.ready.get(&key).copied().filter(|(of, _)| *of == command);
        if matches!(part, Part::Ready { .. }) && self.running.get(&key) == Some(&command) {
            return;
        }
        self.forget(key);
        match part {
            Part::Ready { patience } => {
                self.ready.insert(key, was.unwrap_or((command, now.plus(patience))));
            }
            Part::Coming => {
                self.coming.insert(key, command);
            }
            Part::Willing | Part::Away => {}
        }
    }

    /// Who departs now: of each command that does not run, all who are ready, when nobody is coming or the patience
    /// of one of them has ended.
    fn departs(&mut self, now: Timestamp) -> BTreeSet<BTreeSet<u8>> {
        let mut waves = BTreeSet::new();
        for command in 0..3 {
            let members: Vec<u8> =
                self.ready.iter().filter(|(_, (of, _))| *of == command).map(|(key, _)| *key).collect();
            let idle = !self.running.values().any(|of| *of == command);
            let complete = !self.coming.values().any(|of| *of == command);
            let impatient = members.iter().any(|key| self.ready[key].1 <= now);
            if idle && !members.is_empty() && (complete || impatient) {
                for key in &members {
                    self.ready.remove(key);
                    self.running.insert(*key, command);
                }
                waves.insert(members.into_iter().collect());
            }
        }
        waves
    }
}

proptest! {
    #[test]
    fn whoever_is_ready_departs_with_the_others_of_the_command_and_no_later_than_patience_allows(happenings in happenings()) {
        let (mut waves, mut model, mut now) = (Waves::default(), Model::default(), START);
        for happening in happenings {
            match happening {
                Happening::Says(key, number, part) => {
                    waves.place(&key, Some(&command(number)), part, now);
                    model.says(key, number, part, now);
                }
                Happening::Leaves(key) => {
                    waves.remove(&key);
                    model.forget(key);
                }
                Happening::Waits(seconds) => now = now.plus(Duration::from_secs(seconds)),
                Happening::Ends => {
                    for (key, number) in std::mem::take(&mut model.running) {
                        waves.place(&key, Some(&command(number)), Part::Away, now);
                    }
                }
                Happening::Clock(by) => {
                    now = Timestamp::from_unix(now.unix() + by);
                    waves.clock_set(now);
                    for (_, until) in model.ready.values_mut() {
                        *until = (*until).min(now);
                    }
                }
            }
            let departed: BTreeSet<BTreeSet<u8>> =
                waves.depart(now).into_iter().map(|wave| wave.into_iter().collect()).collect();
            prop_assert_eq!(departed, model.departs(now));
            for number in 0..3 {
                prop_assert_eq!(waves.is_running(&command(number)), model.running.values().any(|of| *of == number));
                let held: Vec<u8> = model.ready.iter().filter(|(_, (of, _))| *of == number).map(|(key, _)| *key).collect();
                prop_assert_eq!(waves.held_for(&command(number)), held);
            }
            // A timer for the next departure is neither missed nor late.
            let idle = |of: &u8| !model.running.values().any(|running| running == of);
            let next = model.ready.values().filter(|(of, _)| idle(of)).map(|(_, until)| *until).min();
            prop_assert_eq!(waves.next_departure(now), next);
        }
    }

    #[test]
    fn a_crowd_departs_in_full_waves_and_everybody_once(count in 0_usize..700) {
        let mut waves = Waves::default();
        for key in 0..count {
            waves.place(&key, Some(&command(0)), Part::Ready { patience: Duration::from_secs(60) }, START);
        }
        let (mut gone, mut sizes) = (BTreeSet::new(), Vec::new());
        while let Some(wave) = waves.depart(START).pop() {
            sizes.push(wave.len());
            for key in wave {
                prop_assert!(gone.insert(key), "{key} departs twice");
                waves.place(&key, Some(&command(0)), Part::Away, START);
            }
        }
        prop_assert_eq!(gone.len(), count);
        prop_assert!(sizes.iter().rev().skip(1).all(|size| *size == LARGEST), "{sizes:?}");
    }
}
