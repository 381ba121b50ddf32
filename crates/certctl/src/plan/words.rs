//! A plan in words.
//!
//! Results of writing to a string are dropped in this module: that cannot fail.

use std::fmt::Write;

use phoenix_core::explanation::Step;
use phoenix_core::explanation::reproduce::quoted;
use phoenix_core::lifecycle::Work;
use phoenix_core::reason::RetryClass;
use phoenix_core::time::Timestamp;
use phoenix_protocol::plan::{Change, PlanDocument, Planned};

use super::values::shown;
use crate::explain::work_words;
use crate::plain::plain;
use crate::span;

/// The plan for people.
pub fn render(document: &PlanDocument) -> String {
    let now = document.generated_at;
    let mut out = String::new();
    for planned in &document.certificates {
        entry(&mut out, planned, now);
    }
    let count = |change| document.certificates.iter().filter(|planned| planned.change == change).count();
    let works = |work| {
        let does = |step: &Step| matches!(step, Step::Do { work: done, .. } if *done == work);
        document.certificates.iter().flat_map(|planned| &planned.steps).filter(|step| does(step)).count()
    };
    let entries = document.certificates.len();
    let _ = writeln!(
        out,
        "{entries} {}: {} new, {} changed, {} removed, {} invalid, {} unchanged",
        if entries == 1 { "entry" } else { "entries" },
        count(Change::New),
        count(Change::Changed),
        count(Change::Removed),
        count(Change::Invalid),
        count(Change::Unchanged)
    );
    let _ = writeln!(
        out,
        "certificates: {} requested, {} taken over, {} put back, {} delivered; commands: {}",
        works(Work::Issue),
        works(Work::Adopt),
        works(Work::Restore),
        works(Work::Deliver),
        works(Work::Activate)
    );
    out
}

fn entry(out: &mut String, planned: &Planned, now: Timestamp) {
    let change = match planned.change {
        Change::Unchanged => "",
        Change::New => " (new)",
        Change::Changed => " (changed)",
        Change::Removed => " (removed)",
        Change::Invalid => " (invalid)",
    };
    let _ = writeln!(out, "{}{change}", plain(&planned.name));
    for difference in &planned.differences {
        let value = |value| shown(&difference.field, value);
        let (from, to) = (value(&difference.from), value(&difference.to));
        let line = format!("{}: {from} -> {to} ({})", difference.field, difference.effect);
        let _ = writeln!(out, "  {}", plain(&line));
    }
    for (index, step) in planned.steps.iter().enumerate() {
        let line = step_words(step, planned, index == 0, now);
        let _ = writeln!(out, "  {}", plain(&line).replace('\n', " "));
    }
    for remark in &planned.remarks {
        let _ = writeln!(out, "  {}", plain(remark).replace('\n', " "));
    }
}

fn step_words(step: &Step, planned: &Planned, first: bool, now: Timestamp) -> String {
    let when = |at: Timestamp| {
        if at > now { format!("{} ({at})", span::from_now(at, now)) } else { "now".to_owned() }
    };
    match step {
        Step::Do { work, message, at, .. } => {
            let with = match work {
                Work::Activate => planned.command.as_ref().map(|argv| {
                    let words: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
                    format!(": {}", words.join(" "))
                }),
                Work::Deliver => planned.guest.as_ref().map(|guest| format!(": {guest}")),
                _ => Some(format!(", since {message}")),
            };
            format!("{}: {}{}", when(*at), work_words(*work), with.unwrap_or_default())
        }
        Step::AwaitIssuer { message, at, .. } => {
            format!("waits for an issuer, which is looked at {}: {message}", when(*at))
        }
        Step::Stuck { reason, message, .. } if reason.class() == RetryClass::Blocked => {
            format!("stands still until something is changed ({reason}): {message}")
        }
        Step::Stuck { message, at, .. } => format!("waits, {}: {message}", until(*at, now)),
        Step::Rest { until: at } => {
            let words = match at {
                Some(at) => format!("nothing, {}", until(*at, now)),
                None if first => "nothing while it is paused".to_owned(),
                None => "nothing until that certificate is due".to_owned(),
            };
            if first { words } else { format!("then {words}") }
        }
    }
}

fn until(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("until {at} ({})", span::from_now(at, now)) } else { "for a moment".to_owned() }
}
