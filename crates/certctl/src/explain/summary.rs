//! The first lines: what a tired operator needs to know.

use std::fmt::Write;

use phoenix_core::explanation::{Judged, Step};
use phoenix_core::lifecycle::Stage;
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::CertificateState;
use phoenix_protocol::explain::{ExplainDocument, FailureReport};

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
        ("also", also(document)),
        ("certificate", certificate(document)),
        ("deployment", Some(deployment(document))),
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
    if let Some(failure) = document.failures.first() {
        return Some(failed(failure, document.generated_at));
    }
    if let Some(error) = &document.certificate.last_error {
        return Some(excerpt(&error.message));
    }
    let working = document.working.as_ref().and_then(|working| working.message.clone());
    let finding = || finding(document).and_then(|rule| rule.fact.clone());
    let unseen = || is_unseen(document).then(|| "nothing is known of it before the first look".to_owned());
    working.or_else(finding).or_else(|| document.meaning.clone()).or_else(unseen)
}

fn failed(failure: &FailureReport, now: Timestamp) -> String {
    let message = excerpt(&failure.message);
    // Guests are tried again and again; everything else that is waited for was met once and lasts.
    if matches!(failure.reason, Reason::GuestAbsent | Reason::GuestOff | Reason::GuestLocked) {
        return format!("waiting: {message}");
    }
    if failure.class == RetryClass::Waiting {
        return format!("waiting for {}: {message}", span::words(now.since(failure.at)));
    }
    let count = match failure.attempts {
        0 => String::new(),
        1 => ", once".to_owned(),
        count => format!(", {count} times in a row"),
    };
    let ago = span::from_now(failure.at, now);
    format!("{} failed {ago}{count}: {message}", failure.stage.as_str())
}

/// What a failure hides: what is wrong with the pair itself, or another failure.
fn also(document: &ExplainDocument) -> Option<String> {
    document.failures.first()?;
    let told = matches!(document.certificate.state, CertificateState::Expired | CertificateState::Missing);
    let due = Reason::Due.code();
    let pair = finding(document).filter(|rule| {
        !told && rule.rule != due && document.failures.iter().all(|failure| !hides_the_files(failure.reason))
    });
    let second = || document.failures.get(1).map(|failure| failed(failure, document.generated_at));
    pair.and_then(|rule| rule.fact.clone()).or_else(second)
}

/// The first rule that wants something of the live pair.
fn finding(document: &ExplainDocument) -> Option<&Judged> {
    document.certificate.reason.as_ref()?;
    let chains = &document.explanation.as_ref()?.chains;
    chains.iter().find(|chain| chain.name == "LIVE")?.fired()
}

/// Nothing was looked at yet.
fn is_unseen(document: &ExplainDocument) -> bool {
    document.explanation.is_none()
        && document.certificate.reason.as_deref() != Some(Reason::ManifestError.code())
}

fn deployment(document: &ExplainDocument) -> String {
    let entry = &document.certificate;
    if is_unseen(document) {
        return "not known yet".to_owned();
    }
    match entry.serial {
        None if entry.state == CertificateState::Missing => "there is no certificate yet".to_owned(),
        _ => words::deployment(entry.deployment),
    }
}

/// While it lasts nobody knows what lies on the paths.
fn hides_the_files(reason: Reason) -> bool {
    reason.hides_the_files() || reason == Reason::ExecutorGone
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
    Some(work_words(working.work).to_owned())
}

/// What happens next and when.
fn next(document: &ExplainDocument) -> Option<String> {
    // What cannot be looked at cannot be decided about.
    let unlooked = document.failures.iter().find(|failure| failure.stage == Stage::Observe);
    if let Some(failure) = unlooked {
        return Some(format!("{}: it is looked at again", when(failure.next_attempt_at, document)));
    }
    let Some(explanation) = &document.explanation else {
        let unseen = "it is looked at for the first time".to_owned();
        let wrong = "nothing before the manifest is mended".to_owned();
        return Some(if is_unseen(document) { unseen } else { wrong });
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
    if document.failures.iter().any(|failure| failure.stage == Stage::Observe) {
        return None;
    }
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
        Step::Stuck { stage, reason, at, message } => {
            let told = document.failures.iter().any(|failure| failure.message == *message);
            let why = if told { String::new() } else { format!(" ({})", excerpt(message)) };
            format!("{}: {}{why}", when(*at, document), ends(*stage, *reason))
        }
        Step::Rest { until: Some(at) } if Some(*at) == document.certificate.renew_at => {
            format!("{}: it is renewed", when(*at, document))
        }
        Step::Rest { until: Some(at) } => format!("{}: it is looked at again", when(*at, document)),
        Step::Rest { until: None } if is_paused(document) => "nothing while it is paused".to_owned(),
        Step::Rest { until: None } => "it rests until the next certificate is due".to_owned(),
    }
}

/// What the end of a wait means.
fn ends(stage: Stage, reason: Reason) -> &'static str {
    match (stage, reason) {
        (_, Reason::WindowClosed) => "the wait for the maintenance window ends",
        (_, Reason::RestartBudget) => "the restart budget allows another run",
        (_, Reason::RolledBack) => "the certificate that was taken back is tried again",
        (_, Reason::ManifestError) => {
            "it is looked at again; the stage goes on as soon as the manifest is mended"
        }
        (_, Reason::DriftLoop) => "one more certificate is requested",
        (Stage::Activate, _) => "window or restart budget allow another run",
        (Stage::Write, _) => "the paths are looked at again",
        _ => "it is looked at again",
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
