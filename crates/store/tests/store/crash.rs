//! The process dies before every single disk-changing system call; what is found after recovery.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use phoenix_store::{Deed, NoFaults, Options, StateLock, Store};

use crate::bed::{At, Bed, Count, Scenario, Watch, What, access, live_mark, pair, scenarios};

/// How many disk-changing system calls the operation makes.
pub(crate) fn deeds(scenario: &Scenario) -> usize {
    let bed = Bed::new();
    let entry = (scenario.entry)(&bed);
    (scenario.prepare)(&bed, &bed.open().entry(&entry));
    let count = Arc::new(Count::default());
    let store = bed.open_with(count.clone());
    let before = count.0.load(Ordering::SeqCst);
    (scenario.act)(&store.entry(&entry)).unwrap();
    count.0.load(Ordering::SeqCst) - before
}

pub(crate) fn recover(store: &Store) {
    for recovered in store.recover() {
        assert_eq!(recovered.outcome, Ok(()));
    }
}

/// Whatever happened, the bed is clean and the pair is whole, with its owner and mode.
pub(crate) fn check(bed: &Bed, scenario: &Scenario, at: &str) {
    let entry = (scenario.entry)(bed);
    let mark = live_mark(&entry);
    let (before, after) = scenario.marks;
    assert!(mark.as_deref() == before || mark.as_deref() == after, "{at}: live is {mark:?}");
    assert_eq!(bed.strays(&entry), Vec::<std::path::PathBuf>::new(), "{at}");
    assert_eq!(bed.unfinished(), Vec::<std::path::PathBuf>::new(), "{at}");
    let store = bed.open();
    let handle = store.entry(&entry);
    let live = handle.read_live().unwrap();
    if let Some(mark) = mark.filter(|mark| mark != "foreign") {
        assert_eq!(live.baseline(), Some(live.wanted.clone().unwrap()), "{at}");
        assert_eq!(handle.ledger().unwrap().baseline, live.baseline(), "{at}");
        assert_eq!(handle.current().unwrap().unwrap().leaf().serial, mark, "{at}");
        assert!(!handle.current().unwrap().unwrap().companions_differ(&live), "{at}");
    }
    if let Some(current) = handle.current().unwrap() {
        current.key_pem().unwrap();
    }
}

#[test]
fn a_crash_before_any_deed_leaves_a_whole_pair_after_recovery() {
    for scenario in scenarios() {
        let total = deeds(&scenario);
        assert!(total > 5, "{}: only {total} deeds", scenario.name);
        for step in 1..=total {
            let at = format!("{}, deed {step} of {total}", scenario.name);
            let bed = Bed::new();
            let entry = (scenario.entry)(&bed);
            (scenario.prepare)(&bed, &bed.open().entry(&entry));
            let handle = bed.open_with(At::new(step, What::Crash)).entry(&entry);
            (scenario.act)(&handle).expect_err(&at);
            drop(handle);
            recover(&bed.open());
            check(&bed, &scenario, &at);
        }
    }
}

#[test]
fn a_crash_during_recovery_is_recovered_from_too() {
    for scenario in
        scenarios().iter().filter(|scenario| ["renewal", "first install"].contains(&scenario.name))
    {
        let total = deeds(scenario);
        for step in 1..=total {
            for second in 1.. {
                let at = format!("{}, deed {step} of {total}, then {second}", scenario.name);
                let bed = Bed::new();
                let entry = (scenario.entry)(&bed);
                (scenario.prepare)(&bed, &bed.open().entry(&entry));
                (scenario.act)(&bed.open_with(At::new(step, What::Crash)).entry(&entry)).expect_err(&at);
                let crashed =
                    std::panic::catch_unwind(|| bed.open_with(At::new(second, What::Crash)).recover())
                        .map_or(true, |done| done.iter().any(|recovered| recovered.outcome.is_err()));
                recover(&bed.open());
                check(&bed, scenario, &at);
                if !crashed {
                    break;
                }
            }
        }
    }
}

#[test]
fn without_recovery_the_next_use_of_the_entry_finishes_first() {
    let scenario = &scenarios()[1];
    for step in 1..=deeds(scenario) {
        let bed = Bed::new();
        let entry = (scenario.entry)(&bed);
        (scenario.prepare)(&bed, &bed.open().entry(&entry));
        (scenario.act)(&bed.open_with(At::new(step, What::Crash)).entry(&entry)).unwrap_err();
        let live = bed.open_with(Arc::new(NoFaults)).entry(&entry).read_live().unwrap();
        let mark = live_mark(&entry).unwrap();
        assert_eq!(live.key.bytes().unwrap(), format!("PRIVATE {mark}\n").as_bytes());
        assert_eq!(bed.strays(&entry), Vec::<std::path::PathBuf>::new());
        assert_eq!(access(&entry.key_path), (1234, 5678, 0o640));
    }
}

#[test]
fn an_interrupted_installation_outside_the_present_roots_is_dropped() {
    let bed = Bed::new();
    let entry = bed.entry("a");
    let crash = |deed: Deed, path: &Path| {
        if deed == Deed::Rename && path.ends_with("a/cert.pem") {
            std::panic::resume_unwind(Box::new("crash"));
        }
    };
    bed.open_with(Arc::new(Watch(Mutex::new(crash)))).entry(&entry).install(pair("x")).unwrap_err();
    let before = bed.strays(&entry);
    let other = Options::new(vec!["/nowhere".parse().unwrap()]);
    let store = Store::open(StateLock::acquire(&bed.state(), || ()).unwrap(), other).unwrap();
    assert_eq!(store.recover(), []);
    assert!(bed.unfinished().is_empty());
    assert_eq!(bed.strays(&entry), before, "nothing outside the roots is touched");
}

/// The place was corrected in the manifest because the old one is of no use, such as one behind a symbolic link.
#[test]
fn an_old_place_that_fails_for_good_does_not_hold_up_the_present_one() {
    let bed = Bed::new();
    let mut before = bed.entry("keys");
    before.cert_path = bed.path("old/cert.pem");
    let crash = |deed: Deed, path: &Path| {
        if deed == Deed::Rename && path.ends_with("old/cert.pem") {
            std::panic::resume_unwind(Box::new("crash"));
        }
    };
    bed.open_with(Arc::new(Watch(Mutex::new(crash)))).entry(&before).install(pair("x")).unwrap_err();
    let old = bed.path("old");
    std::fs::rename(old.as_path(), bed.path("elsewhere").as_path()).unwrap();
    std::os::unix::fs::symlink("/nowhere", old.as_path()).unwrap();

    let store = bed.open();
    let [recovered] = &store.recover()[..] else { panic!("there is one") };
    assert!(recovered.outcome.is_err());
    // While the manifest names it, it is waited for.
    assert!(store.entry(&before).restore().is_err());
    assert!(!bed.unfinished().is_empty());

    let mut after = before.clone();
    after.cert_path = bed.path("keys/cert.pem");
    store.entry(&after).restore().unwrap();
    assert_eq!(live_mark(&after).as_deref(), Some("x"), "the new pair is not lost");
    assert!(bed.unfinished().is_empty());
}
