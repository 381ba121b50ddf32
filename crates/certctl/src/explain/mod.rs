//! `explain`: why an entry is as it is and what happens next.
//!
//! About ten lines come first: what is wrong, what happens when, what to do, and which command shows the problem.
//! Everything that led to them follows: the failures with their full text and every rule with its verdict.

mod rules;
mod summary;
mod work;

use phoenix_core::explanation::reproduce::Reproduction;
use phoenix_protocol::executor::ProgramFacts;
use phoenix_protocol::explain::ExplainDocument;

use crate::cli::ExplainArgs;
use crate::client::RequestError;
use crate::exit::Exit;
use crate::output::{Output, note};
use crate::plain::{indented, plain};
use crate::{Failure, Session, names, span};

pub(crate) use work::words as work_words;

/// Explains one entry.
///
/// # Errors
/// [`Failure`], when the daemon cannot be asked or knows no such entry.
pub(crate) async fn run(session: &Session, args: &ExplainArgs, out: &mut Output) -> Result<Exit, Failure> {
    let route = format!("/v1/explain?name={}", names::encoded(&args.name));
    let text = match session.daemon.get(&route).await {
        Ok(text) => text,
        Err(error) => return Err(failed(session, &args.name, error).await),
    };
    if session.json {
        let document: serde_json::Value = serde_json::from_slice(&text).map_err(|error| strange(&error))?;
        out.document(&document)?;
    } else {
        let mut document: ExplainDocument = serde_json::from_slice(&text).map_err(|error| strange(&error))?;
        document.reproduce.iter_mut().for_each(|command| *command = reachable(command, &session.options));
        out.print(&render(&document, args.brief))?;
    }
    Ok(Exit::Done)
}

/// A command of this very program gets the `options` with which its daemon is reached.
fn reachable(command: &Reproduction, options: &[String]) -> Reproduction {
    match command.argv.split_first() {
        Some((program, rest)) if program == "phoenix-certctl" => {
            Reproduction::new([&[program.clone()][..], options, rest].concat())
        }
        _ => command.clone(),
    }
}

async fn failed(session: &Session, name: &str, error: RequestError) -> Failure {
    if matches!(error, RequestError::Unreachable(_)) {
        note(&format!(
            "Only the daemon knows why. What can be told from the files alone: phoenix-certctl status {name}"
        ));
    }
    names::refused(session, &[name.to_owned()], error).await
}

fn strange(error: &serde_json::Error) -> Failure {
    Failure::Unreadable(format!(
        "the daemon's explanation cannot be understood ({error}): is phoenix-certctl older than the daemon?"
    ))
}

/// The explanation for people, with colours as escape sequences; `brief`: the first lines only.
pub fn render(document: &ExplainDocument, brief: bool) -> String {
    let mut out = summary::render(document);
    if !document.certificate.warnings.is_empty() {
        out.push_str("\nTo know:\n");
        for warning in &document.certificate.warnings {
            out.push_str(&indented(warning, "  "));
        }
    }
    if brief {
        return out;
    }
    for failure in &document.failures {
        let head = format!(
            "\nLast failure of {}, {} ({}), class {}, {} in a row:\n",
            failure.stage.as_str(),
            failure.at,
            span::from_now(failure.at, document.generated_at),
            failure.class.as_str(),
            failure.attempts
        );
        out.push_str(&head);
        out.push_str(&indented(&failure.message, "  "));
    }
    if let Some(facts) = &document.confinement {
        out.push_str(&confinement(facts));
    }
    if let Some(explanation) = &document.explanation {
        out.push_str(&rules::render(explanation));
    }
    out
}

/// Which measures hold the command's program in.
fn confinement(facts: &ProgramFacts) -> String {
    let mut text = format!("{} runs under the profile {}", facts.path, facts.profile);
    for (label, measures) in [("in force", &facts.in_force), ("not possible on this machine", &facts.missing)]
    {
        if !measures.is_empty() {
            text.push_str(&[";\n  ", label, ": ", &measures.join(", ")].concat());
        }
    }
    if let Some(why) = &facts.refused {
        text.push_str(&[";\n  refused: ", why].concat());
    }
    format!("\nConfinement: {}\n", plain(&text))
}
