//! What `explain` and `plan` tell an operator, as text: `tests/told/explain/*.txt` and `tests/told/plan/*.txt`.
//!
//! Each file is a [scenario](phoenix_scenario) that ends in the command; its first sentence says who asks. The rules that
//! had nothing to say are shown by `explain whole` only, so that another rule does not change every file.
//! `BLESS=1 cargo test -p phoenix-certctl --test told` writes the files anew; the difference is to be judged.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use phoenix_certctl::{explain, plan};
use phoenix_certd::report;
use phoenix_core::lifecycle::Availability;
use phoenix_core::manifest::{Context, Manifest};
use phoenix_core::schedule::Jitter;
use phoenix_core::settings::Settings;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{IssuerStatus, SCHEMA};
use phoenix_protocol::plan::{PlanDocument, Planned};
use phoenix_scenario::{Golden, Interruption, Teller, Tracked, World, directory, play, settings};

/// Lines that are read at three in the morning.
const FIRST_LINES: usize = 10;
/// Columns of the terminal on which they are read; longer lines wrap.
const LONGEST: usize = 420;

/// The two commands, without the socket between daemon and command line.
struct Commands(Settings);

impl Teller for Commands {
    fn explain(&self, world: &World, name: &str, whole: bool) -> String {
        let Some(tracked) = world.entries.get(name) else { return format!("no entry {name}") };
        let availability = world.availability();
        let problem = world.ca_problem();
        let known = report::explain::Known {
            subject: subject(tracked, &availability),
            last_run: world.last_run(name),
            looks_at: tracked.wake,
            settings: &self.0,
            issuers: vec![IssuerStatus {
                name: "phoenix".into(),
                ready: problem.is_none(),
                problem: problem.map(|problem| problem.message.clone()),
                clock_skew: None,
            }],
            confinement: None,
        };
        let text = plain(&explain::render(&report::explain::explain(known, world.now), false));
        let idle = |line: &&str| {
            let verdict = line.trim_start();
            line.starts_with("  ") && (verdict.starts_with("silent ") || verdict.starts_with("not reached "))
        };
        let shown = text.lines().filter(|line| whole || !idle(line));
        shown.flat_map(|line| [line, "\n"]).collect()
    }

    fn plan(&self, world: &World, candidate: Option<&serde_json::Value>) -> String {
        let manifest = candidate.cloned().unwrap_or_else(|| {
            serde_json::Value::Array(world.manifest.iter().map(|(_, entry)| entry.clone()).collect())
        });
        let parsed = Manifest::parse(&manifest.to_string(), &Context::of(&self.0));
        let manifest = parsed.manifest.expect("a manifest");
        let mut certificates: Vec<Planned> = Vec::new();
        let kept: Vec<_> = manifest.entries.iter().map(|entry| entry.key_path.clone()).collect();
        for entry in &manifest.entries {
            certificates.push(planned(world, entry));
        }
        certificates.extend(manifest.invalid.iter().map(report::plan::invalid));
        let wrong = |tracked: &Tracked| {
            let name = Some(tracked.entry.name.to_string());
            manifest.invalid.iter().any(|entry| entry.name == name)
        };
        let gone = world.entries.values().filter(|tracked| !kept.contains(&tracked.entry.key_path));
        let gone = gone.filter(|tracked| !wrong(tracked));
        certificates.extend(gone.map(|tracked| report::plan::removed(&tracked.entry)));
        plain(&plan::render(&PlanDocument { schema: SCHEMA, generated_at: world.now, certificates }))
    }
}

fn planned(world: &World, entry: &phoenix_core::manifest::Entry) -> Planned {
    let known = world.entries.values().find(|tracked| tracked.entry.key_path == entry.key_path);
    let wish = report::plan::Wish {
        entry,
        present: known.map(|tracked| (&tracked.entry, &tracked.state)),
        name_taken: world.entries.contains_key(entry.name.as_str()),
        last_run: world.last_run(entry.name.as_str()),
        jitter: Jitter::default(),
        availability: &world.availability(),
    };
    report::plan::planned(&wish, world.now)
}

fn subject<'a>(tracked: &'a Tracked, availability: &'a Availability) -> report::Subject<'a> {
    report::Subject {
        entry: &tracked.entry,
        warnings: &[],
        state: &tracked.state,
        jitter: Jitter::default(),
        availability,
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn cases(of: &str) -> Vec<(Golden, Vec<Vec<String>>)> {
    let teller = Commands(settings().unwrap());
    let all = directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/told").join(of));
    let told = all.into_iter().map(|golden| {
        let played = play(&golden, Some(&teller), Interruption::None).unwrap();
        if let Err(difference) = golden.check(&played.text) {
            panic!("{difference}");
        }
        (golden, played.outcomes)
    });
    told.collect()
}

#[test]
fn an_explanation_begins_with_what_a_tired_operator_needs() {
    let cases = cases("explain");
    assert!(cases.len() >= 40, "{}", cases.len());
    for (golden, outcomes) in cases {
        let name = golden.name();
        let told = outcomes.iter().rfind(|outcome| !outcome.is_empty()).expect("an explanation");
        let first: Vec<&str> = told.iter().map(String::as_str).take_while(|line| !line.is_empty()).collect();
        assert!(first.len() <= FIRST_LINES, "{name}: {} lines", first.len());
        for line in &first {
            assert!(line.chars().count() <= LONGEST, "{name}: a line of {} columns", line.chars().count());
            let repeats = line.match_indices("(in ").count() > 1;
            assert!(!repeats && !line.contains('{'), "{name}: {line}");
        }
        let says = |label: &str| first.iter().any(|line| line.trim_start().starts_with(label));
        let quiet = ["is in order", "is paused", "web waits"];
        let in_order = first.first().is_some_and(|line| quiet.iter().any(|words| line.ends_with(words)));
        assert!(says("next") || says("now"), "{name}: what happens next");
        assert!(in_order || (says("cause") && says("to do")), "{name}: why, and what to do");
    }
}

#[test]
fn a_plan_says_what_happens_why_and_when() {
    let cases = cases("plan");
    assert!(cases.len() >= 15, "{}", cases.len());
    for (golden, outcomes) in cases {
        let told = outcomes.iter().rfind(|outcome| !outcome.is_empty()).expect("a plan");
        assert!(told.len() >= 3, "{}", golden.name());
    }
}

/// The times of a document are those of its world.
#[test]
fn nothing_is_told_of_another_time() {
    let begin: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
    for (golden, outcomes) in cases("explain") {
        for line in outcomes.iter().flatten() {
            let year = line.match_indices("20").filter_map(|(at, _)| line.get(at..at + 5));
            let strange = year.filter(|text| text.ends_with('-') && text.starts_with("20"));
            for text in strange {
                assert!(matches!(text, "2025-" | "2026-" | "2027-"), "{}: {line} {begin}", golden.name());
            }
        }
    }
}
