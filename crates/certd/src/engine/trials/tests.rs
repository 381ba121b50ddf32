use phoenix_core::lifecycle::State;
use serde_json::json;

use super::super::samples::{entries, entry, installed, issuer, tracked};
use super::*;

const NOW: Timestamp = Timestamp::from_unix(1_000_000);

/// Entries that wait for these issuers, with certificates that have so many seconds left; none where there is no
/// certificate.
fn waiting(all: &[(&str, &[&str], Option<i64>)]) -> Entries {
    entries(all.iter().map(|(name, issuers, left)| {
        let entry = entry(name, &json!({ "issuer": issuers }));
        let until = |left: i64| Timestamp::from_unix(NOW.unix() + left);
        let state = left.map_or_else(State::default, |left| installed(&entry, until(left), NOW));
        tracked(entry, State { awaits_issuer: true, ..state })
    }))
}

fn called(calls: &mut Calls, entries: &Entries, name: &str) -> Option<String> {
    let key = calls.next(&issuer(name), entries, NOW)?;
    Some(entries.get(&key).unwrap().entry.name.to_string())
}

fn calls(entries: &Entries, name: &str, times: usize) -> String {
    let mut calls = Calls::default();
    let names: Vec<String> = (0..times).filter_map(|_| called(&mut calls, entries, name)).collect();
    names.join(" ")
}

#[test]
fn the_first_to_expire_is_called_first_and_every_other_time_and_the_others_in_turn_between() {
    let entries = waiting(&[
        ("a", &["first"], Some(500)),
        ("b", &["first"], None),
        ("c", &["first"], Some(50)),
        ("d", &["first"], Some(-50)),
    ]);
    assert_eq!(calls(&entries, "first", 9), "c a c b c d c a c");
}

#[test]
fn where_nothing_is_valid_any_more_all_are_called_in_turn() {
    let entries =
        waiting(&[("a", &["first"], Some(0)), ("b", &["first"], None), ("c", &["first"], Some(-9))]);
    assert_eq!(calls(&entries, "first", 5), "a b c a b");
    let alone = waiting(&[("a", &["first"], Some(9))]);
    assert_eq!(calls(&alone, "first", 3), "a a a");
    assert_eq!(calls(&waiting(&[]), "first", 3), "");
}

#[test]
fn each_issuer_calls_those_that_wait_for_it() {
    let entries = waiting(&[
        ("a", &["first"], Some(10)),
        ("b", &["second", "first"], Some(5)),
        ("c", &["second"], Some(70)),
        ("d", &["third"], None),
    ]);
    let mut calls = Calls::default();
    let mut order = Vec::new();
    for name in ["first", "second", "third", "first", "second", "third", "first", "second"] {
        order.push(called(&mut calls, &entries, name).unwrap());
    }
    assert_eq!(order, ["b", "b", "d", "a", "c", "d", "b", "b"]);
}

#[test]
fn who_waits_no_longer_is_not_called_and_does_not_stop_the_turn() {
    let mut entries = waiting(&[("a", &["first"], None), ("b", &["first"], None), ("c", &["first"], None)]);
    let mut calls = Calls::default();
    assert_eq!(called(&mut calls, &entries, "first").as_deref(), Some("a"));
    let (key, _) = entries.find("b").map(|(key, tracked)| (key.clone(), tracked.incarnation)).unwrap();
    entries.get_mut(&key).unwrap().state.awaits_issuer = false;
    assert_eq!(called(&mut calls, &entries, "first").as_deref(), Some("c"));
    assert_eq!(called(&mut calls, &entries, "first").as_deref(), Some("a"));
}
