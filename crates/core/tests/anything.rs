//! Whatever happens, in whatever order: the state machine goes on, keeps its rules, and comes to rest in order.
//!
//! The world of the scenarios checks every step: at most one piece of work at a time, no timer in the past, what is
//! decided is what is explained, what is remembered is remembered first, a failed stage has a next attempt.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::OnceLock;
use std::time::Duration;

use phoenix_core::account::{self, CertificateState, Subject};
use phoenix_core::facts::Observation;
use phoenix_core::lifecycle::{
    Action, Availability, Context, Event, Offer, Phase, Reach, Request, Stage, State, Verification, step,
};
use phoenix_core::manifest::Entry;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_scenario::{Golden, Interruption, Played, play};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Entries of every shape.
const ENTRIES: [&str; 7] = [
    "entry web",
    r#"entry web {"post_renewal_command": null}"#,
    r#"entry web {"verify": {"tls": "10.0.0.102:443"}}"#,
    r#"entry web {"verify": {"tls": "10.0.0.102:443"}, "rollback": true}"#,
    r#"entry web {"guest_id": 102, "guest_type": "lxc"}"#,
    r#"entry web {"guest_id": 102, "guest_type": "lxc", "deliver": {"cert": "/etc/a.pem", "key": "/etc/a.key"}, "verify": {"tls": "10.0.0.102:443"}, "rollback": true}"#,
    r#"entry web {"window": {"cron": "0 3 * * *", "duration": "1h", "timezone": "UTC"}, "command": {"min_interval": "1h"}}"#,
];

/// Everything that can happen.
const WORDS: &[&str] = &[
    "wait 1s",
    "wait 30s",
    "wait 10m",
    "wait 3h",
    "wait 17h",
    "off 2d",
    "clock +2d",
    "clock -2d",
    "clock -30s",
    "restart",
    "die",
    "look",
    "sweep",
    "renew",
    "renew generate-only",
    "sync",
    "sync force",
    "sync until written",
    "verify",
    "ca up",
    "ca down",
    "ca ca-forbids it is forbidden",
    "ca ca-error it answers 500",
    "ca lifetime 5m",
    "ca lifetime 24h",
    "ca unready issuer-not-ready no root",
    "ca ready",
    "root changes",
    "root unknown",
    "root known",
    "storage disk-full no space",
    "storage storage-absent not mounted",
    "storage ok",
    "guest guest-off it is off",
    "guest agent-missing no agent",
    "guest ok",
    "command command-failed exit code 1",
    "command command-refused no",
    "command ok",
    "command leaves 640",
    "delivery delivery-differs something else",
    "delivery ok",
    "consumer stubborn",
    "consumer follows",
    "consumer down",
    "consumer up",
    "consumer serves-default its own",
    "consumer accepts-anyone all",
    "consumer unreachable nobody",
    "consumer ok",
    "executor executor-gone gone",
    "executor ok",
    "stale",
    "takes issue 20s",
    "takes activate 20s",
    "takes install 5s",
    "takes verify 20s",
    "takes observe 2s",
    "put {\"not_after\": \"+9d\"}",
    "put {\"trusted\": false}",
    "put {\"not_before\": \"-9d\", \"not_after\": \"-8d\"}",
    "put certificate {}",
    "delete key",
    "delete pair",
    "garble cert",
    "swap",
    "chmod key 666",
    "chown cert 7:7",
    "companion",
    "revoke",
    "guest-loses",
    "lose-other",
    "forget executor",
    "forget daemon",
    "forget both",
    "edit {\"paused\": true}",
    "edit {\"paused\": null}",
    "edit {\"sans\": [\"10.0.0.103\"]}",
    "edit {\"sans\": null}",
    "edit {\"key_type\": \"rsa-4096\"}",
    "edit {\"permissions\": \"0640\"}",
];

/// What an operator sees to in the end.
const MENDED: &[&str] = &[
    "ca up",
    "ca ready",
    "ca lifetime 24h",
    "root known",
    "storage ok",
    "guest ok",
    "command ok",
    "delivery ok",
    "consumer up",
    "consumer ok",
    "consumer follows",
    "executor ok",
    "takes issue 0s",
    "takes activate 0s",
    "takes install 0s",
    "takes verify 0s",
    "takes observe 0s",
    "edit {\"paused\": null}",
    "wait 1m",
    "sync",
    "wait 4d",
];

fn run(entry: &'static str, words: &[&'static str], after: &[&'static str]) -> Played {
    let script: Vec<&str> = [&[entry, "start"][..], words, after].concat();
    let golden = Golden::made("Whatever happens, nothing panics and no rule is broken.", &script);
    play(&golden, None, Interruption::None).unwrap()
}

fn ends(played: &Played) -> (CertificateState, Option<Reason>) {
    let tracked = &played.world.entries["web"];
    let availability = played.world.availability();
    let (entry, state) = (&tracked.entry, &tracked.state);
    let subject = Subject { entry, state, jitter: Jitter::default(), availability: &availability };
    account::condition(&subject, played.world.now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_it_is_in_order_once_everything_works(
        entry in select(ENTRIES.to_vec()), words in prop::collection::vec(select(WORDS.to_vec()), 0..25),
    ) {
        let played = run(entry, &words, MENDED);
        let (state, reason) = ends(&played);
        let by_rule = matches!(reason, Some(Reason::WindowClosed | Reason::RestartBudget));
        prop_assert!(state == CertificateState::Ok || by_rule, "{:?} {:?}\n{}", state, reason, played.text);
    }
}

/// Facts and states that real histories have led to.
fn histories() -> &'static [(Entry, State, Timestamp)] {
    static HISTORIES: OnceLock<Vec<(Entry, State, Timestamp)>> = OnceLock::new();
    HISTORIES.get_or_init(|| {
        let words =
            |seed: usize| (0..12).map(move |number| WORDS[(seed * 31 + number * (seed + 7)) % WORDS.len()]);
        let all = (0..60).map(|seed| {
            let words: Vec<&str> = words(seed).collect();
            let played = run(ENTRIES[seed % ENTRIES.len()], &words, &[]);
            let tracked = &played.world.entries["web"];
            (tracked.entry.clone(), tracked.state.clone(), played.world.now)
        });
        all.filter(|(_, state, _)| state.seen.is_some()).collect()
    })
}

fn trouble(reason: Reason) -> Trouble {
    Trouble::new(reason, "it went wrong")
}

/// Any event at all, whether somebody waits for it or not.
fn event(kind: usize, seen: &Observation, reason: Reason, well: bool) -> Event {
    let end = || if well { Ok(seen.clone()) } else { Err(trouble(reason)) };
    let offer = Offer {
        stage: "s".into(),
        issuer: "phoenix".parse().unwrap(),
        chain: "c".into(),
        reachable: None,
        ailing: None,
    };
    let order = |reissue, redeploy, reverify, reach| {
        Event::Ordered(Request { reissue, redeploy, reverify, urgent: reissue, reach })
    };
    match kind {
        0 => Event::Look,
        1 => Event::Sweep,
        2 => Event::Rewritten,
        3 => Event::IssuerBack,
        4 => Event::Invited,
        5 => order(true, false, false, Reach::Verified),
        6 => order(false, true, false, Reach::Delivered),
        7 => order(false, false, true, Reach::Verified),
        8..=10 => Event::Observed(end()),
        11 => Event::Issued(if well { Ok(offer) } else { Err((Stage::Issue, trouble(reason))) }),
        12 => Event::Installed(end().map(|seen| (seen, Vec::new()))),
        13 => Event::Adopted(end()),
        14 => Event::Restored(end()),
        15 => Event::Delivered(end()),
        16 => Event::Activated(end()),
        17 => Event::Rechecked(end()),
        18 => Event::RolledBack(end()),
        19 => Event::Reinstated(end()),
        _ => Event::Verified(Box::new(Verification {
            of: None,
            served: None,
            takes: well,
            remarks: Vec::new(),
            result: if well { Ok(()) } else { Err(trouble(reason)) },
        })),
    }
}

fn works(actions: &[Action]) -> usize {
    actions.iter().filter(|action| !matches!(action, Action::Remember | Action::WakeAt(_))).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Ends of work that nobody waits for, facts of another time, clocks that run back: every step is taken.
    #[test]
    fn every_event_is_taken_in_every_state(
        begin in any::<Index>(),
        events in prop::collection::vec(
            (0_usize..22, any::<Index>(), select(Reason::ALL.to_vec()), any::<bool>(), -4_000_i64..90_000), 1..30),
        ready in any::<bool>(),
    ) {
        let (entry, state, now) = begin.get(histories()).clone();
        let trouble = trouble(Reason::CaUnreachable);
        let (mut state, mut now) = (state, now);
        for (kind, seen, reason, well, later) in events {
            let next_look = now.plus(Duration::from_secs(7));
            let away = Availability::Unavailable { trouble: trouble.clone(), next_look };
            let availability = if ready { &Availability::Ready } else { &away };
            let context = Context { entry: &entry, jitter: Jitter::default(), availability, last_run: None, invited: well };
            let seen = seen.get(histories()).1.seen.clone().unwrap();
            let (next, actions) = step(state, &context, event(kind, &seen, reason, well), now);
            prop_assert!(works(&actions) <= 1, "{:?}", actions);
            let working = matches!(next.phase, Phase::Working { .. });
            prop_assert!(works(&actions) == 0 || working);
            for action in &actions {
                if let Action::WakeAt(Some(at)) = action {
                    prop_assert!(*at > now, "woken at {} although it is {}", at, now);
                }
            }
            let kept = serde_json::to_string(&next.memory).unwrap();
            prop_assert_eq!(&serde_json::from_str::<phoenix_core::lifecycle::Memory>(&kept).unwrap(), &next.memory);
            for failure in next.memory.failures.values() {
                prop_assert!(failure.at <= now, "{:?} lies ahead of {}", failure, now);
            }
            state = next;
            now = Timestamp::from_unix(now.unix() + later);
        }
    }

    /// Looking again at the same facts at the same time decides the same and forgets nothing.
    #[test]
    fn a_second_look_at_the_same_facts_decides_the_same(begin in any::<Index>(), ready in any::<bool>()) {
        let (entry, state, now) = begin.get(histories()).clone();
        let away = Availability::Unavailable { trouble: trouble(Reason::CaUnreachable), next_look: now };
        let availability = if ready { &Availability::Ready } else { &away };
        let context = Context { entry: &entry, jitter: Jitter::default(), availability, last_run: None, invited: false };
        let seen = state.seen.clone().unwrap();
        let look = |state: State| {
            let (state, _) = step(State { phase: Phase::Idle, ..state }, &context, Event::Look, now);
            let (state, actions) = step(state, &context, Event::Observed(Ok(seen.clone())), now);
            (state, actions.into_iter().filter(|action| *action != Action::Remember).collect::<Vec<_>>())
        };
        let (once, first) = look(State { survey: State::default().survey, ..state });
        let (twice, second) = look(once.clone());
        prop_assert_eq!(first, second);
        prop_assert_eq!(once.memory, twice.memory);
    }
}
