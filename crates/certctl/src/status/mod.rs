//! `status`: the daemon's report, or one made from files alone.

mod report;
pub(crate) mod words;

use std::io::IsTerminal;
use std::time::Duration;

use hyper::body::Bytes;
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

/// Where the daemon reports.
const ROUTE: &str = "/v1/status";
/// Where it reports what a table shows.
const BRIEF: &str = "/v1/status?brief=1";
/// With more names than this all entries are asked for: a request line has its limits.
const LONGEST_QUERY: usize = 32 * 1024;
/// Time between two looks of `--watch`.
const PERIOD: Duration = Duration::from_secs(2);

/// A report and a remark about where it comes from.
struct Report {
    document: Document,
    remark: Option<String>,
}

/// A report as JSON, which keeps what a newer daemon adds. Text is parsed no further than is needed: the report of
/// ten thousand certificates has many megabytes.
enum Document {
    Text(Bytes),
    Tree(Value),
}

/// Shows the report, once or again and again.
///
/// # Errors
/// [`Failure::NoSuchName`]; [`Failure::Unreachable`] when there is neither a daemon nor a configuration.
pub async fn run(session: &Session, args: &StatusArgs, out: &mut Output) -> Result<Exit, Failure> {
    if args.watch {
        return watch(session, args, out).await;
    }
    let report = gather(session, &args.names, !session.json).await?;
    if let Some(remark) = &report.remark {
        note(remark);
    }
    if session.json {
        report.document.print(out)?;
    } else {
        out.print(&render(&report.document.typed()?))?;
    }
    Ok(Exit::Done)
}

/// Ends when nobody reads any more, or with a signal.
async fn watch(session: &Session, args: &StatusArgs, out: &mut Output) -> Result<Exit, Failure> {
    let redraws = std::io::stdout().is_terminal() && !session.json;
    let mut last_remark = None;
    while !out.is_closed() {
        let report = gather(session, &args.names, redraws).await?;
        if redraws {
            let remark = report.remark.map_or_else(String::new, |remark| remark + "\n\n");
            out.redraw(&(remark + &render(&report.document.typed()?)))?;
        } else {
            if report.remark != last_remark {
                report.remark.iter().for_each(|remark| note(remark));
                last_remark = report.remark;
            }
            report.document.print(out)?;
        }
        tokio::time::sleep(PERIOD).await;
    }
    Ok(Exit::Done)
}

/// The report about the entries that are `wanted`, or about all of them; `brief` when no more is needed than a table
/// shows.
async fn gather(session: &Session, wanted: &[String], brief: bool) -> Result<Report, Failure> {
    if wanted.is_empty() {
        return fetch(session, if brief { BRIEF } else { ROUTE }).await;
    }
    let query: Vec<String> = wanted.iter().map(|name| format!("name={}", names::encoded(name))).collect();
    let query = format!("{ROUTE}?{}", query.join("&"));
    let report = fetch(session, if query.len() <= LONGEST_QUERY { &query } else { ROUTE }).await?;
    let remark = report.remark.clone();
    let mut tree = report.document.tree()?;
    if keep(&mut tree, wanted).is_err() {
        // All names are needed to say which one may have been meant.
        tree = fetch(session, ROUTE).await?.document.tree()?;
        keep(&mut tree, wanted)?;
    }
    Ok(Report { document: Document::Tree(tree), remark })
}

async fn fetch(session: &Session, route: &str) -> Result<Report, Failure> {
    match session.daemon.get(route).await {
        Ok(text) => Ok(Report { document: Document::Text(text), remark: session.remark.clone() }),
        Err(error) => from_files(session, error),
    }
}

/// All names and common names that the daemon knows; none when it does not tell.
pub async fn known_names(daemon: &Daemon) -> Vec<String> {
    names(daemon).await.unwrap_or_default().into_iter().flatten().collect()
}

/// Name and common name of every entry.
///
/// # Errors
/// [`RequestError`].
pub async fn names(daemon: &Daemon) -> Result<Vec<[String; 2]>, RequestError> {
    let text = daemon.get(ROUTE).await?;
    let document: Value = serde_json::from_slice(&text).unwrap_or_default();
    let entries = document.get("certificates").and_then(Value::as_array);
    let owned = |entry: &Value| names_of(entry).map(|name| name.unwrap_or_default().to_owned());
    Ok(entries.map(|entries| entries.iter().map(owned).collect()).unwrap_or_default())
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
    Ok(Report { document: Document::Tree(document), remark: Some(remark) })
}

impl Document {
    fn typed(self) -> Result<StatusDocument, Failure> {
        match self {
            Self::Text(text) => serde_json::from_slice(&text),
            Self::Tree(tree) => serde_json::from_value(tree),
        }
        .map_err(|error| strange(&error))
    }

    fn tree(self) -> Result<Value, Failure> {
        match self {
            Self::Text(text) => serde_json::from_slice(&text).map_err(|error| strange(&error)),
            Self::Tree(tree) => Ok(tree),
        }
    }

    /// As one line of JSON.
    fn print(self, out: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Text(text) if !text.contains(&b'\n') => {
                let _: serde::de::IgnoredAny =
                    serde_json::from_slice(&text).map_err(|error| strange(&error))?;
                out.print(&String::from_utf8_lossy(&text))?;
                out.print("\n")
            }
            other => out.document(&other.tree()?),
        }
    }
}

fn strange(error: &serde_json::Error) -> Failure {
    Failure::Unreadable(format!(
        "the daemon's report cannot be understood ({error}): is phoenix-certctl older than the daemon?"
    ))
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
pub(crate) fn manifest_words(state: ManifestState) -> &'static str {
    match state {
        ManifestState::Loaded => "is in force",
        ManifestState::Stale => "is broken; the last good version stays in force",
        ManifestState::Missing => "is missing; the last good version stays in force",
        ManifestState::Untrusted => "can be written by others; the last good version stays in force",
    }
}
