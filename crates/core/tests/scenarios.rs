//! What happens to certificates, told in files that an operator can read: `tests/scenarios/*.txt`.
//!
//! `BLESS=1 cargo test -p phoenix-core --test scenarios` writes the files anew; the difference is to be judged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use phoenix_core::lifecycle::chains::{DEPLOY, FILES, NEXT};
use phoenix_core::reason::Reason;
use phoenix_core::rules::RENEW;
use phoenix_scenario::{Coverage, Golden, Interruption, Played, difference, directory, play};

/// Scenarios that another process tells otherwise, and why that is right.
const TOLD_OTHERWISE: [(&str, &str); 1] =
    [("first-start-one-root-of-two-unknown", "each look puts the next one off by five minutes")];

/// Every scenario with its uninterrupted run.
fn scenarios() -> &'static [(Golden, Result<Run, String>)] {
    static SCENARIOS: OnceLock<Vec<(Golden, Result<Run, String>)>> = OnceLock::new();
    SCENARIOS.get_or_init(|| {
        let all = directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios"));
        all.into_iter()
            .map(|golden| {
                let run = play(&golden, None, Interruption::None).map(|played| Run::of(&golden, &played));
                (golden, run)
            })
            .collect()
    })
}

struct Run {
    text: String,
    without_rests: String,
    coverage: Coverage,
}

impl Run {
    fn of(golden: &Golden, played: &Played) -> Self {
        Self {
            text: played.text.clone(),
            without_rests: played.without_rests(golden),
            coverage: played.coverage(),
        }
    }
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} of the scenarios\n\n{}", problems.len(), problems.join("\n\n"));
}

#[test]
fn every_scenario_leads_to_what_its_file_says() {
    let judged = scenarios().iter().filter_map(|(golden, run)| match run {
        Ok(run) => golden.check(&run.text).err(),
        Err(why) => Some(why.clone()),
    });
    report(&judged.collect::<Vec<_>>());
}

#[test]
fn every_rule_is_the_first_finding_of_some_scenario() {
    let covered = coverage().rules;
    let renew: Vec<&str> =
        RENEW.iter().flat_map(|chain| chain.iter()).map(|rule| rule.reason.code()).collect();
    // What the executor keeps for itself is whole.
    let own = renew.iter().filter(|rule| !matches!(**rule, "missing" | "unreadable" | "key-mismatch"));
    let all: BTreeSet<String> = renew
        .iter()
        .map(|rule| format!("LIVE/{rule}"))
        .chain(own.map(|rule| format!("OWN/{rule}")))
        .chain(FILES.iter().map(|rule| format!("FILES/{}", rule.name)))
        .chain(NEXT.iter().map(|rule| format!("NEXT/{}", rule.name)))
        .chain(DEPLOY.iter().map(|rule| format!("DEPLOY/{}", rule.name)))
        .collect();
    let lacking: Vec<&String> = all.difference(&covered).collect();
    assert!(lacking.is_empty(), "no scenario shows {lacking:?}");
}

#[test]
fn every_reason_is_told_in_some_scenario() {
    let covered = coverage().reasons;
    let lacking: Vec<&Reason> = Reason::ALL.iter().filter(|reason| !covered.contains(reason)).collect();
    assert!(lacking.is_empty(), "no scenario tells {lacking:?}");
}

#[test]
fn a_daemon_that_is_another_process_after_each_line_does_the_same() {
    let mut problems = Vec::new();
    for (golden, run) in scenarios() {
        let (Ok(run), Ok(blinking)) = (run, play(golden, None, Interruption::Blink)) else { continue };
        let blinking = blinking.without_rests(golden);
        let exempt = TOLD_OTHERWISE.iter().any(|(name, _)| *name == golden.name());
        if exempt == (run.without_rests == blinking) {
            problems.push(format!("{}\n{}", golden.name(), difference(&run.without_rests, &blinking)));
        }
    }
    report(&problems);
}

#[test]
fn every_scenario_says_first_what_an_operator_expects() {
    for (golden, _) in scenarios() {
        let words = golden.expectation.split_whitespace().count();
        assert!(golden.expectation.ends_with('.') && words >= 7, "{}: {}", golden.name(), golden.expectation);
    }
    assert!(scenarios().len() >= 100, "{}", scenarios().len());
}

fn coverage() -> Coverage {
    let mut all = Coverage::default();
    for run in scenarios().iter().filter_map(|(_, run)| run.as_ref().ok()) {
        all.add(run.coverage.clone());
    }
    all
}
