//! The first lines: what a tired operator needs to know.

use std::fmt::Write;

use phoenix_core::explanation::{Step, Verdict};
use phoenix_core::time::Timestamp;
use phoenix_protocol::explain::ExplainDocument;

use super::work_words;
use crate::plain::plain;
use crate::span;
use crate::status::words;

/// Longest excerpt of a message; the full text follows below.
const EXCERPT: usize = 240;

/// About ten lines, each a label and a sentence.
pub(super) fn render(document: &ExplainDocument) -> String {
    let entry = &document.certificate;
    let reason = entry.reason.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
    let state = words::sentence(entry.state, entry.reason.as_deref());
    let lines = [
        ("cause", cause(document)),
        ("certificate", certificate(document)),
        ("deployment", Some(words::deployment(entry.deployment))),
        ("now", now(document)),
        ("next", next(document)),
        ("then", then(document)),
        ("to do", document.advice.clone()),
        ("reproduce", document.reproduce.first().map(|command| command.shell.clone())),
        ("or", document.reproduce.get(1).map(|command| command.shell.clone())),
    ];
    let mut out = format!("{} {state}{}\n", plain(&entry.name), plain(&reason));
    for (label, text) in lines.into_iter().filter_map(|(label, text)| Some((label, text?))) {
        let text = plain(&text).replace('\n', " ");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {label:<12}{text}");
    }
    out
}

/// What went wrong, or the finding that something is done about.
fn cause(document: &ExplainDocument) -> Option<String> {
    let at = document.generated_at;
    if let Some(failure) = document.failures.first() {
        let count = match failure.attempts {
            0 => String::new(),
            1 => ", once".to_owned(),
            count => format!(", {count} times in a row"),
        };
        let ago = span::from_now(failure.at, at);
        return Some(format!(
            "{} failed {ago}{count}: {}",
            failure.stage.as_str(),
            excerpt(&failure.message)
        ));
    }
    if let Some(error) = &document.certificate.last_error {
        return Some(excerpt(&error.message));
    }
    let working = document.working.as_ref().and_then(|working| working.message.clone());
    working.or_else(|| finding(document)).or_else(|| document.meaning.clone())
}

/// What the first rule says that wants something of the live pair.
fn finding(document: &ExplainDocument) -> Option<String> {
    document.certificate.reason.as_ref()?;
    let chains = &document.explanation.as_ref()?.chains;
    let live = chains.iter().find(|chain| chain.name == "LIVE")?;
    live.rules.iter().find(|rule| rule.verdict == Verdict::Fires)?.fact.clone()
}

fn excerpt(message: &str) -> String {
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}… (in full below)", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn certificate(document: &ExplainDocument) -> Option<String> {
    let entry = &document.certificate;
    let (serial, not_after) = (entry.serial.as_ref()?, entry.not_after?);
    let at = document.generated_at;
    let until = if not_after > at { "expires" } else { "expired" };
    Some(format!("serial {serial}, {until} {} ({not_after})", span::from_now(not_after, at)))
}

fn now(document: &ExplainDocument) -> Option<String> {
    let working = document.working.as_ref()?;
    Some(format!("{}, now", work_words(working.work)))
}

/// What happens next and when.
fn next(document: &ExplainDocument) -> Option<String> {
    let Some(explanation) = &document.explanation else {
        return Some("nothing before the manifest is mended".to_owned());
    };
    let mut steps = explanation.forecast.iter();
    if document.working.is_some() {
        // What is being done is the first step; what comes after it is `then`.
        return None;
    }
    Some(match steps.next()? {
        Step::AwaitIssuer { at, .. } => {
            let head = format!("{}: the issuer is looked at again", when(*at, document));
            match steps.next() {
                Some(Step::Do { work, .. }) => {
                    format!("{head}; as soon as it answers, {}", work_words(*work))
                }
                _ => head,
            }
        }
        step => words_of(step, document),
    })
}

/// What follows.
fn then(document: &ExplainDocument) -> Option<String> {
    let steps = &document.explanation.as_ref()?.forecast;
    let skipped = match steps.first()? {
        Step::AwaitIssuer { .. } => 2,
        _ => 1,
    };
    let words: Vec<String> = steps.iter().skip(skipped).map(|step| follow(step, document)).collect();
    (!words.is_empty()).then(|| words.join(", then "))
}

fn follow(step: &Step, document: &ExplainDocument) -> String {
    match step {
        Step::Do { work, .. } => work_words(*work).to_owned(),
        other => words_of(other, document),
    }
}

fn words_of(step: &Step, document: &ExplainDocument) -> String {
    match step {
        Step::Do { work, at, .. } => format!("{}: {}", when(*at, document), work_words(*work)),
        Step::AwaitIssuer { at, .. } => format!("{}: the issuer is looked at again", when(*at, document)),
        Step::Stuck { at, message, .. } => {
            format!("{}: it is looked at again ({})", when(*at, document), excerpt(message))
        }
        Step::Rest { until: Some(at) } if Some(*at) == document.certificate.renew_at => {
            format!("{}: it is renewed", when(*at, document))
        }
        Step::Rest { until: Some(at) } => format!("{}: it is looked at again", when(*at, document)),
        Step::Rest { until: None } if is_paused(document) => "nothing while it is paused".to_owned(),
        Step::Rest { until: None } => "it rests until the next certificate is due".to_owned(),
    }
}

fn is_paused(document: &ExplainDocument) -> bool {
    document.explanation.as_ref().is_some_and(|explanation| explanation.decided_by == "NEXT/paused")
}

fn when(at: Timestamp, document: &ExplainDocument) -> String {
    if at <= document.generated_at {
        return "at once".to_owned();
    }
    format!("{} ({at})", span::from_now(at, document.generated_at))
}
