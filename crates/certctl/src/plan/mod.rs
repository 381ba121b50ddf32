//! `plan`: what the present state, or an edit of the manifest, would cause. Changes nothing.

mod values;
mod words;

use std::path::Path;
use std::time::Duration;

use hyper::body::Bytes;
use phoenix_core::manifest::{Context, Manifest};
use phoenix_core::settings::Settings;
use phoenix_protocol::plan::{PlanDocument, PlanRequest};

use crate::cli::PlanArgs;
use crate::client::RequestError;
use crate::config::{self, MAX_MANIFEST};
use crate::exit::Exit;
use crate::output::{Output, note};
use crate::validate::ThisHost;
use crate::{Failure, Session};

pub use words::render;

const ROUTE: &str = "/v1/plan";
/// How long the daemon may take to think about a manifest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells what would happen.
///
/// # Errors
/// [`Failure`], when the daemon cannot be asked or the file is no manifest.
pub(crate) async fn run(session: &Session, args: &PlanArgs, out: &mut Output) -> Result<Exit, Failure> {
    let answer = match &args.file {
        None => session.daemon.get(ROUTE).await,
        Some(file) => ask_about(session, &candidate(&session.config, file)?).await,
    };
    let text = answer.map_err(|error| {
        if matches!(error, RequestError::Unreachable(_)) {
            note("Only the daemon knows the present state. What is wrong with a file: phoenix-certctl validate FILE");
        }
        Failure::from(error)
    })?;
    let document: PlanDocument = serde_json::from_slice(&text).map_err(|error| strange(&error))?;
    if session.json {
        out.document(&document)?;
    } else {
        out.print(&render(&document))?;
    }
    Ok(Exit::Done)
}

async fn ask_about(session: &Session, candidate: &PlanRequest) -> Result<Bytes, RequestError> {
    let mut lines = session.daemon.post(ROUTE, candidate, PATIENCE).await?;
    Ok(lines.next().await?.unwrap_or_default().into())
}

/// The entries of `file`. What is wrong with it is told on standard error.
fn candidate(config: &Result<Settings, config::ConfigError>, file: &Path) -> Result<PlanRequest, Failure> {
    let settings = config.as_ref().map_err(|error| {
        Failure::Unreadable(format!("a manifest is understood with the configuration, and {error}"))
    })?;
    let name = file.display().to_string();
    let text = config::read_text(file, MAX_MANIFEST)
        .map_err(|error| Failure::Unreadable(format!("cannot read {name}: {error}")))?;
    let parsed = Manifest::parse(&text, &Context::of(settings).file(&name).host(&ThisHost));
    if !parsed.diagnostics.is_empty() {
        note(&parsed.diagnostics.to_string());
    }
    match parsed.manifest {
        Some(manifest) => Ok(PlanRequest { entries: manifest.entries, invalid: manifest.invalid }),
        None => Err(Failure::Unreadable(format!(
            "{name} would not come into force: the manifest in force would stay, and nothing would change"
        ))),
    }
}

fn strange(error: &serde_json::Error) -> Failure {
    Failure::Unreadable(format!(
        "the daemon's plan cannot be understood ({error}): is phoenix-certctl older than the daemon?"
    ))
}
