use async_trait::async_trait;
use phoenix_core::lifecycle::{Context, Event, Offer, Phase, Stage, State, Work, step};
use phoenix_core::schedule::Jitter;
use phoenix_issuers::{IssueError, Issued, Order, TokenMinter};
use serde_json::json;

use super::*;
use crate::engine::samples::{entry, issuer, settings};

const NOW: Timestamp = Timestamp::from_unix(1_000_000);

/// A CA that nobody asks.
struct Silent;

#[async_trait]
impl Issuer for Silent {
    async fn issue(&self, _: &Order, _: &dyn TokenMinter) -> Result<Issued, IssueError> {
        unreachable!("nobody asks")
    }

    async fn availability(&self) -> Result<Health, Trouble> {
        unreachable!("nobody asks")
    }
}

/// All issuers of the configuration, ready to be asked.
fn ready() -> Authorities {
    let mut authorities = Authorities::new(&settings().issuers, 4, |_| true);
    for authority in authorities.0.values_mut() {
        authority.client = Some(Arc::new(Silent));
        authority.breaker.approach(true);
        authority.breaker.hinder(None);
    }
    authorities
}

/// The same, but the clocks of these differ.
fn differing(names: &[&str]) -> Authorities {
    let mut authorities = ready();
    let trouble = Trouble::new(Reason::ClockDiffers, "it is valid from tomorrow.");
    for name in names {
        authorities.clock_differs(&issuer(name), &trouble, None, NOW);
    }
    authorities
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW.unix() + seconds)
}

fn asks(issuers: &[&str]) -> Entry {
    entry("web", &json!({ "issuer": issuers }))
}

fn doors(authorities: &Authorities, entry: &Entry) -> String {
    let doors = authorities.doors(entry, &RefusedAnswers::default());
    let names: Vec<String> = doors.iter().map(|door| door.name.to_string()).collect();
    names.join(" ")
}

fn tried(authorities: &Authorities) -> String {
    let tried = authorities.0.iter().filter(|(_, authority)| authority.breaker.is_tried());
    tried.map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_entry_tries_the_first_of_its_issuers_that_is_due_and_none_after_one_that_can_be_asked() {
    for (differ, at, wanted, tries, asked) in [
        (&["first"][..], 5, &["first", "second"][..], "first", "first second"),
        (&["first"], 5, &["second", "first"], "", "second"),
        (&["first"], 4, &["first", "second"], "", "second"),
        (&["first", "second"], 5, &["first", "second", "third"], "first", "first third"),
        (&["first", "second"], 5, &["second", "first"], "second", "second"),
        (&["first", "second"], 4, &["first", "second"], "", "first second"),
    ] {
        let (mut authorities, entry) = (differing(differ), asks(wanted));
        authorities.begin_trials(&entry, &RefusedAnswers::default(), later(at));
        assert_eq!(tried(&authorities), tries, "{differ:?} {at} {wanted:?}");
        assert_eq!(doors(&authorities, &entry), asked, "{differ:?} {at} {wanted:?}");
    }
}

#[test]
fn issuers_out_of_reach_come_after_those_that_can_be_asked() {
    let mut authorities = ready();
    authorities.unreachable(&issuer("first"), Trouble::new(Reason::CaUnreachable, "refused"), NOW);
    assert_eq!(doors(&authorities, &asks(&["first", "second"])), "second first");
    assert_eq!(doors(&authorities, &asks(&["first"])), "first");
    authorities.0.get_mut(&issuer("second")).unwrap().client = None;
    assert_eq!(doors(&authorities, &asks(&["first", "second"])), "first", "nobody knows how to ask it");
}

#[test]
fn requests_that_queue_are_not_sent_once_the_clock_is_known_to_differ() {
    let mut authorities = ready();
    let queued = authorities.doors(&asks(&["first"]), &RefusedAnswers::default()).remove(0);
    assert!(!queued.closed_meanwhile());
    let trouble = Trouble::new(Reason::ClockDiffers, "it is valid from tomorrow.");
    authorities.clock_differs(&issuer("first"), &trouble, None, NOW);
    assert!(queued.closed_meanwhile());
}

#[test]
fn while_one_entry_tries_an_issuer_all_others_ask_those_that_can_be_asked() {
    let (mut authorities, one) = (differing(&["first"]), asks(&["first", "second"]));
    let other = entry("db", &json!({ "issuer": ["first", "second"] }));
    authorities.begin_trials(&one, &RefusedAnswers::default(), later(5));
    authorities.begin_trials(&other, &RefusedAnswers::default(), later(5));
    assert_eq!(doors(&authorities, &one), "first second");
    assert_eq!(doors(&authorities, &other), "second", "its own would be one more certificate in vain");
    authorities.clock_set(later(6));
    assert_eq!(doors(&authorities, &one), "second", "the trial is over");
}

#[test]
fn a_trial_is_over_with_the_work_of_the_entry_that_tries_and_with_no_others() {
    let (mut authorities, entry) = (differing(&["first"]), asks(&["first", "second"]));
    let other: AbsolutePath = "/mnt/other/key.pem".parse().unwrap();
    let refused = Event::Issued(Err((Stage::Issue, Trouble::new(Reason::CaForbids, "403"))));
    authorities.begin_trials(&entry, &RefusedAnswers::default(), later(5));
    assert_eq!(authorities.due_calls(later(5)), [], "one is trying");
    for (key, tries) in [(&other, "first"), (&entry.key_path, "")] {
        authorities.end_trials(key, Ended::of(&refused).unwrap(), later(5));
        assert_eq!(tried(&authorities), tries);
    }
    assert_eq!(authorities.due_calls(later(5)), [issuer("first")], "another one may try at once");
}

#[test]
fn an_issuer_whose_answer_was_of_no_use_is_asked_after_the_others() {
    let key_of_another = Trouble::new(Reason::WrongAnswer, "it is for another key");
    let wanted = asks(&["first", "second"]);
    let state = refused_by(&wanted, "first", &key_of_another);
    let order = |authorities: &Authorities| {
        let doors = authorities.doors(&wanted, &state.memory.refused);
        doors.iter().map(|door| door.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let mut authorities = ready();
    assert_eq!(order(&authorities), "second first");
    authorities.unreachable(&issuer("second"), Trouble::new(Reason::CaUnreachable, "refused"), NOW);
    assert_eq!(order(&authorities), "first second", "it is asked all the same");
    let mut authorities = differing(&["second"]);
    assert_eq!(order(&authorities), "first");
    authorities.begin_trials(&wanted, &state.memory.refused, later(5));
    assert_eq!(order(&authorities), "second first", "one that gives nothing of use is no reason not to try");
}

/// The state of an entry after an answer of this issuer was refused.
fn refused_by(entry: &Entry, name: &str, trouble: &Trouble) -> State {
    let context = Context {
        entry,
        jitter: Jitter::default(),
        availability: &Availability::Ready,
        last_run: None,
        invited: false,
    };
    let offer = Offer {
        stage: "1".into(),
        issuer: issuer(name),
        chain: String::new(),
        reachable: None,
        ailing: None,
    };
    let working = State { phase: Phase::Working { work: Work::Issue, again: false }, ..State::default() };
    let (state, _) = step(working, &context, Event::Issued(Ok(offer)), NOW);
    step(state, &context, Event::Installed(Err(trouble.clone())), NOW).0
}

#[test]
fn an_issuer_for_which_nobody_waits_calls_nobody_until_somebody_does() {
    let (mut authorities, entry) = (differing(&["first"]), asks(&["first", "second"]));
    assert_eq!(authorities.due_calls(later(5)), [issuer("first")]);
    authorities.nobody_waits(&issuer("first"), later(5));
    assert_eq!(authorities.due_calls(later(60)), []);
    assert_eq!(authorities.next_look(), Some(later(305)));
    authorities.awaited(&entry, Some(later(3600)), later(60));
    assert_eq!(authorities.due_calls(later(62)), [issuer("first")]);
    authorities.nobody_waits(&issuer("second"), later(62));
    assert_eq!(authorities.next_look(), Some(later(64)), "what does not differ has no trials");
}
