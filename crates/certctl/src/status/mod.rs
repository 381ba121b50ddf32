//! `status`: the daemon's report, or one made from files alone.

mod report;
mod words;

use std::io::IsTerminal;
use std::time::Duration;

use phoenix_protocol::control::StatusDocument;
use phoenix_protocol::executor::ManifestState;
use serde_json::Value;

use crate::cli::StatusArgs;
use crate::client::{Daemon, RequestError};
use crate::exit::Exit;
use crate::failure::no_such_name;
use crate::output::{Output, note};
use crate::{Failure, Session, clock, names, offline};

pub use report::render;

/// Time between two looks of `--watch`.
const PERIOD: Duration = Duration::from_secs(2);

/// A report as JSON, which keeps what a newer daemon adds, and a remark about where it comes from.
struct Report {
    document: Value,
    remark: Option<String>,
}

/// Shows the report, once or again and again.
///
/// # Errors
/// [`Failure::NoSuchName`]; [`Failure::Unreachable`] when there is neither a daemon nor a configuration.
pub async fn run(session: &Session, args: &StatusArgs, out: &mut Output) -> Result<Exit, Failure> {
    if args.watch {
        return watch(session, args, out).await;
    }
    let report = gather(session, &args.names).await?;
    if let Some(remark) = &report.remark {
        note(remark);
    }
    if session.json {
        out.document(&report.document)?;
    } else {
        out.print(&render(&typed(report.document)?))?;
    }
    Ok(Exit::Done)
}

/// Ends when nobody reads any more, or with a signal.
async fn watch(session: &Session, args: &StatusArgs, out: &mut Output) -> Result<Exit, Failure> {
    let redraws = std::io::stdout().is_terminal() && !session.json;
    let mut last_remark = None;
    while !out.is_closed() {
        let report = gather(session, &args.names).await?;
        if redraws {
            let remark = report.remark.map_or_else(String::new, |remark| remark + "\n\n");
            out.redraw(&(remark + &render(&typed(report.document)?)))?;
        } else {
            if report.remark != last_remark {
                report.remark.iter().for_each(|remark| note(remark));
                last_remark = report.remark;
            }
            out.json_line(&report.document)?;
        }
        tokio::time::sleep(PERIOD).await;
    }
    Ok(Exit::Done)
}

async fn gather(session: &Session, wanted: &[String]) -> Result<Report, Failure> {
    let mut report = match ask(&session.daemon).await {
        Ok(document) => Report { document, remark: session.remark.clone() },
        Err(error) => from_files(session, error)?,
    };
    if !wanted.is_empty() {
        keep(&mut report.document, wanted)?;
    }
    Ok(report)
}

/// The daemon's report.
async fn ask(daemon: &Daemon) -> Result<Value, RequestError> {
    let body = daemon.get("/v1/status").await?;
    let document = serde_json::from_slice(&body);
    Ok(document.map_err(|error| daemon.lost(&format!("its report is not JSON ({error})")))?)
}

/// All names and common names that the daemon knows; none when it does not tell.
pub async fn known_names(daemon: &Daemon) -> Vec<String> {
    let document = ask(daemon).await.unwrap_or_default();
    let entries = document.get("certificates").and_then(Value::as_array);
    let entries = entries.map(Vec::as_slice).unwrap_or_default();
    entries.iter().flat_map(names_of).flatten().map(ToOwned::to_owned).collect()
}

fn from_files(session: &Session, error: RequestError) -> Result<Report, Failure> {
    let settings = match &session.config {
        Ok(settings) => settings,
        Err(config) => {
            note(&format!("phoenix-certctl: {config}"));
            return Err(error.into());
        }
    };
    let why = match error {
        RequestError::Unreachable(error) => error.to_string(),
        RequestError::Refused(error) => format!("the daemon does not report: {}", error.message),
    };
    let remark = format!("{why}\nThis report is made from the files alone.");
    let document = serde_json::to_value(offline::report(settings, clock::now()))
        .map_err(|error| Failure::Unreadable(format!("cannot make a report: {error}")))?;
    Ok(Report { document, remark: Some(remark) })
}

fn typed(document: Value) -> Result<StatusDocument, Failure> {
    serde_json::from_value(document).map_err(|error| {
        Failure::Unreadable(format!(
            "the daemon's report cannot be understood ({error}): is phoenix-certctl older than the daemon?"
        ))
    })
}

fn names_of(entry: &Value) -> [Option<&str>; 2] {
    ["name", "common_name"].map(|field| entry.get(field).and_then(Value::as_str))
}

/// Leaves the entries that are `wanted`, in the order in which they are.
fn keep(document: &mut Value, wanted: &[String]) -> Result<(), Failure> {
    let Some(entries) = document.get_mut("certificates").and_then(Value::as_array_mut) else {
        return Ok(());
    };
    let all: Vec<_> = entries.iter().map(|entry| names_of(entry).map(Option::unwrap_or_default)).collect();
    let mut kept = vec![false; all.len()];
    for name in wanted {
        let index = names::position(name, &all)
            .ok_or_else(|| Failure::NoSuchName(no_such_name(name, all.iter().flatten().copied())))?;
        if let Some(keep) = kept.get_mut(index) {
            *keep = true;
        }
    }
    let mut kept = kept.into_iter();
    entries.retain(|_| kept.next().unwrap_or_default());
    Ok(())
}

/// What the state of the manifest file means, after its name.
fn manifest_words(state: ManifestState) -> &'static str {
    match state {
        ManifestState::Loaded => "is in force",
        ManifestState::Stale => "is broken; the last good version stays in force",
        ManifestState::Missing => "is missing; the last good version stays in force",
        ManifestState::Untrusted => "can be written by others; the last good version stays in force",
    }
}
