//! `renew`, `sync`, `verify` and `rollback`: ask, follow the progress, judge the end.

mod verdict;

use std::time::Duration;

use phoenix_protocol::control::{
    EntryResult, Progress, RenewRequest, RollbackRequest, SCHEMA, SyncRequest, VerifyRequest,
};
use serde::Serialize;

use crate::cli::{RenewArgs, RollbackArgs, SyncArgs, VerifyArgs};
use crate::client::{Lines, RequestError, Unreachable};
use crate::exit::Exit;
use crate::output::{Output, note};
use crate::plain::plain;
use crate::{Failure, Session, names};

use verdict::Judge;

/// `renew --json` and `sync --json`.
#[derive(Serialize)]
struct ResultDocument<'a> {
    schema: u32,
    results: &'a [EntryResult],
}

/// Has certificates renewed.
///
/// # Errors
/// [`Failure`], when the request was not carried through.
pub(crate) async fn renew(session: &Session, args: &RenewArgs, out: &mut Output) -> Result<Exit, Failure> {
    let request = RenewRequest {
        names: args.all_names(),
        all: args.all,
        no_wait: args.no_wait,
        until: args.until(),
        timeout: Some(args.timeout.as_secs()),
    };
    let judge = Judge { accepted_suffices: args.no_wait, best_effort: false };
    let errand = Errand { route: "/v1/renew", names: &request.names, time: args.timeout, judge };
    carry_out(session, errand, &request, out).await
}

/// Has everything brought to its desired state.
///
/// # Errors
/// [`Failure`], when the request was not carried through.
pub(crate) async fn sync(session: &Session, args: &SyncArgs, out: &mut Output) -> Result<Exit, Failure> {
    let request = SyncRequest {
        names: args.names.clone(),
        until: args.until(),
        force: args.force,
        timeout: Some(args.timeout.as_secs()),
    };
    let judge = Judge { accepted_suffices: false, best_effort: args.best_effort };
    let errand = Errand { route: "/v1/sync", names: &request.names, time: args.timeout, judge };
    carry_out(session, errand, &request, out).await
}

/// Has the consumers looked at.
///
/// # Errors
/// [`Failure`], when the request was not carried through.
pub(crate) async fn verify(session: &Session, args: &VerifyArgs, out: &mut Output) -> Result<Exit, Failure> {
    let request = VerifyRequest { names: args.names.clone(), timeout: Some(args.timeout.as_secs()) };
    let errand =
        Errand { route: "/v1/verify", names: &request.names, time: args.timeout, judge: Judge::default() };
    carry_out(session, errand, &request, out).await
}

/// Has the previous pair put back.
///
/// # Errors
/// [`Failure`], when the request was not carried through.
pub(crate) async fn rollback(
    session: &Session,
    args: &RollbackArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let names = [args.name.clone()];
    let request = RollbackRequest { name: args.name.clone(), timeout: Some(args.timeout.as_secs()) };
    let errand = Errand { route: "/v1/rollback", names: &names, time: args.timeout, judge: Judge::default() };
    carry_out(session, errand, &request, out).await
}

/// A request and what is made of its answer.
struct Errand<'a> {
    route: &'static str,
    names: &'a [String],
    time: Duration,
    judge: Judge,
}

async fn carry_out(
    session: &Session,
    errand: Errand<'_>,
    request: &impl Serialize,
    out: &mut Output,
) -> Result<Exit, Failure> {
    if let Some(remark) = &session.remark {
        note(remark);
    }
    let mut lines = match session.daemon.post(errand.route, request, errand.time).await {
        Ok(lines) => lines,
        Err(error) => return Err(refused(session, errand.names, error).await),
    };
    let results = follow(&mut lines).await?;
    let verdict = errand.judge.judge(&results);
    verdict.remarks.iter().for_each(|remark| note(remark));
    if session.json {
        out.document(&ResultDocument { schema: SCHEMA, results: &results })?;
    } else {
        out.print(&verdict::table(&results))?;
    }
    Ok(verdict.exit)
}

/// Tells the progress until the end comes.
async fn follow(lines: &mut Lines) -> Result<Vec<EntryResult>, Unreachable> {
    while let Some(line) = lines.next().await? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(Progress::Stage { name, message }) => note(&format!("{}: {}", plain(&name), plain(&message))),
            Ok(Progress::End { results }) => return Ok(results),
            Err(error) => return Err(lines.lost(&format!("a line of its answer makes no sense ({error})"))),
        }
    }
    Err(lines.lost("its answer ended early; what was begun goes on if the daemon still runs"))
}

async fn refused(session: &Session, asked: &[String], error: RequestError) -> Failure {
    match names::refused(session, asked, error).await {
        Failure::NoSuchName(sentence) => Failure::NoSuchName(format!("{sentence}\nNothing was started.")),
        other => other,
    }
}
