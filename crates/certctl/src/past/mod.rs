//! `history` and `events`: what happened.

mod words;

use std::time::Duration;

use phoenix_protocol::history::{HistoryDocument, Record};

use crate::cli::{EventsArgs, HistoryArgs};
use crate::exit::Exit;
use crate::failure::no_such_name;
use crate::output::{Output, note};
use crate::plain::plain;
use crate::{Failure, Session, names};

/// How long events are followed at most before the daemon is asked again: a year.
const LONG: Duration = Duration::from_secs(365 * 86_400);

/// Tells what happened.
///
/// # Errors
/// [`Failure`], when the daemon cannot be asked or knows no such entry.
pub(crate) async fn history(
    session: &Session,
    args: &HistoryArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let known = match &args.name {
        Some(asked) => names::resolve(session, asked).await?,
        None => None,
    };
    let about = known.as_ref().or(args.name.as_ref());
    let about = about.map_or_else(String::new, |name| format!("&name={}", names::encoded(name)));
    let route = format!("/v1/history?limit={}{about}", args.limit);
    let text = session.daemon.get(&route).await?;
    let document: HistoryDocument = serde_json::from_slice(&text).map_err(|error| strange(&error))?;
    if let (Some(asked), None, true) = (&args.name, &known, document.records.is_empty()) {
        // An entry that is gone has a history still; one that never was has none.
        return Err(Failure::NoSuchName(no_such_name(asked, [])));
    }
    if let Some(problem) = &document.problem {
        note(&format!("records may be missing: {}", plain(problem)));
    }
    if session.json {
        out.document(&document)?;
    } else {
        for record in &document.records {
            out.print(&line(record))?;
        }
    }
    Ok(Exit::Done)
}

/// A record for people; one of a kind that is not known is shown as it came.
fn line(record: &serde_json::Value) -> String {
    match serde_json::from_value::<Record>(record.clone()) {
        Ok(record) => words::line(&record),
        Err(_) => format!("{}\n", plain(&record.to_string())),
    }
}

/// Prints events as JSON lines as they come.
///
/// # Errors
/// [`Failure`], when the daemon cannot be asked or goes away.
pub(crate) async fn events(session: &Session, args: &EventsArgs, out: &mut Output) -> Result<Exit, Failure> {
    let after = args.after.map_or_else(String::new, |after| format!("&after={after}"));
    let route = format!("/v1/events?follow={}{after}", u8::from(args.follow));
    let mut lines = session.daemon.lines(&route, LONG).await?;
    while let Some(line) = lines.next().await? {
        out.print(&format!("{}\n", String::from_utf8_lossy(&line)))?;
        if out.is_closed() {
            break;
        }
    }
    Ok(Exit::Done)
}

fn strange(error: &serde_json::Error) -> Failure {
    Failure::Unreadable(format!(
        "the daemon's history cannot be understood ({error}): is phoenix-certctl older than the daemon?"
    ))
}
