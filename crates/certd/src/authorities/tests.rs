use async_trait::async_trait;
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
    let names: Vec<String> = authorities.doors(entry).iter().map(|door| door.name.to_string()).collect();
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
        authorities.begin_trials(&entry, later(at));
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
    let queued = authorities.doors(&asks(&["first"])).remove(0);
    assert!(!queued.closed_meanwhile());
    let trouble = Trouble::new(Reason::ClockDiffers, "it is valid from tomorrow.");
    authorities.clock_differs(&issuer("first"), &trouble, None, NOW);
    assert!(queued.closed_meanwhile());
}

#[test]
fn a_trial_that_ended_without_news_of_the_clock_is_anothers_at_once() {
    let due = later(5);
    for (event, gave, asked, free) in [
        ("no request could be made", None, false, true),
        ("the CA refused", None, true, true),
        ("another issuer gave a certificate", Some("second"), true, true),
        ("it gave one, which is still to be installed", Some("first"), true, false),
    ] {
        let (mut authorities, entry) = (differing(&["first"]), asks(&["first", "second"]));
        authorities.begin_trials(&entry, due);
        assert_eq!(authorities.due_calls(due), [], "{event}: one is trying");
        authorities.end_trials(&entry.key_path, gave.map(issuer).as_ref(), asked, due);
        assert_eq!(tried(&authorities).is_empty(), free, "{event}");
        assert_eq!(authorities.due_calls(due), if free { vec![issuer("first")] } else { vec![] }, "{event}");
    }
}

#[test]
fn the_end_of_others_work_ends_no_trial() {
    let (mut authorities, entry) = (differing(&["first"]), asks(&["first"]));
    authorities.begin_trials(&entry, later(5));
    let other: AbsolutePath = "/mnt/other/key.pem".parse().unwrap();
    authorities.end_trials(&other, None, true, later(5));
    assert_eq!(tried(&authorities), "first");
    authorities.end_trials(&entry.key_path, None, true, later(5));
    assert_eq!(tried(&authorities), "");
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
