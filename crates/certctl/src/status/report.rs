//! The status document as a table and notes.

use std::fmt::Write;

use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StatusDocument};

use super::words;
use crate::plain::{indented, plain};
use crate::span;
use crate::table::{Cell, Table};

/// The report for people. Times are told as seen from the moment at which the document was made.
///
/// Results of writing to a string are dropped in this module: that cannot fail.
pub fn render(document: &StatusDocument) -> String {
    let now = document.generated_at;
    let mut out = String::new();
    if document.certificates.is_empty() {
        let path = plain(&document.daemon.manifest.path);
        let _ = writeln!(out, "There are no certificates to show: the manifest is {path}");
    } else {
        out.push_str(&table(&document.certificates, now).render());
    }
    let notes: String = document.certificates.iter().map(|entry| notes(entry, now)).collect();
    for part in [notes, general(document)] {
        if !part.is_empty() {
            out.push('\n');
            out.push_str(&part);
        }
    }
    out
}

fn table(certificates: &[CertificateStatus], now: Timestamp) -> Table {
    let mut table = Table::new(&["NAME", "STATE", "EXPIRES IN", "RENEWS AT", "DEPLOYMENT", "PROBLEM"]);
    for entry in certificates {
        table.push(vec![
            Cell::new(plain(&entry.name)),
            Cell::new(words::state(entry.state)).styled(words::colour(entry.state)),
            Cell::new(expires(entry.not_after, now)),
            Cell::new(entry.renew_at.map_or_else(|| "-".to_owned(), |at| at.to_string())),
            Cell::new(words::deployment(entry.deployment)),
            Cell::new(problem(entry)).styled(words::colour(entry.state)),
        ]);
    }
    table
}

fn expires(not_after: Option<Timestamp>, now: Timestamp) -> String {
    match not_after {
        None => "-".to_owned(),
        Some(at) if at > now => span::words(at.since(now)),
        Some(at) => span::from_now(at, now),
    }
}

fn problem(entry: &CertificateStatus) -> String {
    match (&entry.reason, entry.warnings.len()) {
        (Some(reason), _) => plain(reason).into_owned(),
        (None, 0) => String::new(),
        (None, 1) => "1 warning".to_owned(),
        (None, count) => format!("{count} warnings"),
    }
}

/// What there is to say about an entry that is not in order, or that has warnings.
fn notes(entry: &CertificateStatus, now: Timestamp) -> String {
    let silent =
        entry.state == CertificateState::Ok && entry.warnings.is_empty() && entry.last_error.is_none();
    if silent {
        return String::new();
    }
    let reason = entry.reason.as_ref().map_or_else(String::new, |code| format!(" ({})", plain(code)));
    let sentence = words::sentence(entry.state, entry.reason.as_deref());
    let mut out = format!("{} {sentence}{reason}\n", plain(&entry.name));
    if let Some(error) = &entry.last_error {
        let (stage, ago) = (plain(&error.stage), span::from_now(error.at, now));
        out.push_str(&indented(&format!("last error, {stage}, {ago}: {}", error.message), "  "));
    }
    if let Some(at) = entry.next_attempt_at {
        let _ = writeln!(out, "  next attempt: {}, {at}{}", next(at, now), attempts(entry.attempts));
    }
    for warning in &entry.warnings {
        out.push_str(&indented(&format!("warning: {warning}"), "  "));
    }
    out
}

/// An attempt whose time has come is about to be made, not past.
fn next(at: Timestamp, now: Timestamp) -> String {
    if at > now { span::from_now(at, now) } else { "now".to_owned() }
}

fn attempts(count: u32) -> String {
    match count {
        0 => String::new(),
        1 => ", after 1 failure".to_owned(),
        count => format!(", after {count} failures"),
    }
}

/// What belongs to no single entry: the manifest, the issuers, the daemon.
fn general(document: &StatusDocument) -> String {
    let daemon = &document.daemon;
    let mut out = String::new();
    if let Some(error) = &daemon.manifest.error {
        let path = plain(&daemon.manifest.path);
        let _ = writeln!(out, "the manifest {path} {}:", super::manifest_words(daemon.manifest.state));
        out.push_str(&indented(error, "  "));
    }
    for issuer in &daemon.issuers {
        if let Some(problem) = &issuer.problem {
            out.push_str(&indented(&format!("issuer {}: {problem}", issuer.name), ""));
        }
    }
    for warning in &daemon.warnings {
        out.push_str(&indented(&format!("warning: {warning}"), ""));
    }
    out
}

#[cfg(test)]
mod tests;
