use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::lifecycle::Offer;
use crate::reason::{Reason, Trouble};

const NOW: Timestamp = Timestamp::from_unix(1_000_000);

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// Issuers by their names, each a letter, and what entries, which are called by numbers, make of them.
struct World(BTreeMap<char, (Breaker, Trial<u8>)>);

impl World {
    /// Of these issuers, those in `differ` have another clock and those in `away` are out of reach.
    fn new(names: &str, differ: &str, away: &str) -> Self {
        let of = |name: char| {
            let mut breaker = Breaker::new(true, trouble(Reason::IssuerNotReady));
            breaker.approach(true);
            breaker.hinder(None);
            if differ.contains(name) {
                breaker.clock_differs(trouble(Reason::ClockDiffers), None, NOW);
            }
            if away.contains(name) {
                breaker.unreachable(trouble(Reason::CaUnreachable), NOW);
            }
            (name, (breaker, Trial::default()))
        };
        Self(names.chars().map(of).collect())
    }

    fn begin(&mut self, entry: u8, preferred: &str, at: Timestamp) {
        let _ = preferred.chars().try_for_each(|name| {
            let (breaker, trial) = self.0.get_mut(&name).unwrap();
            trial.begin(breaker, &entry, at)
        });
    }

    fn end(&mut self, entry: u8, event: &Event, at: Timestamp) {
        for (name, (breaker, trial)) in &mut self.0 {
            trial.end(breaker, &entry, &issuer(*name), Ended::of(event).unwrap(), at);
        }
    }

    fn asks(&self, entry: u8, preferred: &str) -> String {
        let of = |name: &char| self.0.get(name).map(|(breaker, trial)| (breaker, trial)).unwrap();
        in_order(&entry, preferred.chars(), of).into_iter().collect()
    }

    fn tried(&self) -> String {
        self.0.iter().filter(|(_, (breaker, _))| breaker.is_tried()).map(|(name, _)| *name).collect()
    }
}

fn trouble(reason: Reason) -> Trouble {
    Trouble::new(reason, "it is as it is.")
}

fn issuer(name: char) -> IssuerName {
    name.to_string().parse().unwrap()
}

fn gave(name: char) -> Event {
    let (stage, chain) = ("1".into(), String::new());
    Event::Issued(Ok(Offer { stage, issuer: issuer(name), chain, reachable: None, ailing: None }))
}

fn refused(stage: Stage) -> Event {
    Event::Issued(Err((stage, trouble(Reason::CaForbids))))
}

#[test]
fn an_entry_tries_the_first_issuer_that_is_due_and_none_after_one_that_can_be_asked() {
    for (differ, away, at, preferred, tries, asks) in [
        ("x", "", 5, "xy", "x", "xy"),
        ("x", "", 5, "yx", "", "y"),
        ("x", "", 4, "xy", "", "y"),
        ("xy", "", 5, "xyz", "x", "xz"),
        ("xy", "", 5, "yx", "y", "y"),
        ("xy", "", 4, "xy", "", "xy"),
        ("x", "x", 5, "xy", "", "y"),
        ("", "x", 5, "xy", "", "yx"),
        ("x", "x", 5, "x", "", "x"),
        ("x", "y", 5, "yx", "x", "xy"),
    ] {
        let mut world = World::new("xyz", differ, away);
        world.begin(1, preferred, later(at));
        assert_eq!(world.tried(), tries, "{differ:?} {away:?} {at} {preferred:?}");
        assert_eq!(world.asks(1, preferred), asks, "{differ:?} {away:?} {at} {preferred:?}");
    }
}

#[test]
fn what_one_entry_tries_no_other_asks() {
    let mut world = World::new("xy", "x", "");
    world.begin(1, "xy", later(5));
    world.begin(2, "xy", later(5));
    assert_eq!((world.asks(1, "xy"), world.asks(2, "xy")), ("xy".into(), "y".into()));
    world.end(2, &gave('y'), later(6));
    assert_eq!(world.tried(), "x", "the end of others' work ends no trial");
    world.begin(2, "xy", later(60));
    assert_eq!(world.asks(2, "xy"), "xy", "the first one takes too long");
    assert_eq!(world.asks(1, "xy"), "y");
    world.end(1, &refused(Stage::Issue), later(61));
    assert_eq!(world.tried(), "x", "it has been another's since");
}

#[test]
fn a_trial_ends_with_the_work_unless_the_issuer_gave_a_certificate_that_is_still_to_be_installed() {
    let installed = Event::Installed(Err(trouble(Reason::WrongAnswer)));
    for (event, tries) in [
        (refused(Stage::Write), ""),
        (refused(Stage::Issue), ""),
        (gave('y'), ""),
        (gave('x'), "x"),
        (installed, ""),
    ] {
        let mut world = World::new("xy", "x", "");
        world.begin(1, "xy", later(5));
        world.end(1, &event, later(5));
        assert_eq!(world.tried(), tries, "{event:?}");
    }
    assert!(Ended::of(&Event::Look).is_none());
}

proptest! {
    /// However many entries ask, and in whatever order their work begins and ends: an issuer whose clock differs is
    /// asked by one at a time, and never while another one can be asked by those who do not try it.
    #[test]
    fn one_entry_at_a_time_asks_an_issuer_whose_clock_differs(
        steps in proptest::collection::vec((0_u8..6, any::<bool>(), 0_u64..9), 1..200)
    ) {
        let mut world = World::new("xy", "x", "");
        let mut now = NOW;
        for (entry, begins, pause) in steps {
            now = now.plus(Duration::from_secs(pause));
            if begins {
                world.begin(entry, "xy", now);
            } else {
                world.end(entry, &refused(Stage::Issue), now);
            }
            let asking = (0..6).filter(|entry| world.asks(*entry, "xy").contains('x')).count();
            prop_assert!(asking <= 1, "{asking} would ask it");
        }
    }
}
