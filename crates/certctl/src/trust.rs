//! `trust --accept`: an operator accepts a root certificate that changed.
//!
//! The acceptance is a file in the executor's state directory, which only root can write. It does not go through
//! the daemon: a hijacked daemon must not be able to accept anything.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use phoenix_core::settings::{Settings, TrustAnchor};
use phoenix_x509::Roots;

use crate::cli::TrustArgs;
use crate::exit::Exit;
use crate::output::Output;
use crate::{Failure, Session, files};

/// Directory of acceptances below the executor's state directory; one file for each issuer and fingerprint.
const ACCEPTED: &str = "accepted-roots";

/// Carries out `trust`.
pub fn run(session: &Session, args: &TrustArgs, out: &mut Output) -> Result<Exit, Failure> {
    let settings = session.config.as_ref().map_err(|error| Failure::Unreadable(error.to_string()))?;
    let state = match &args.executor_state {
        Some(dir) => dir.clone(),
        None => settings.executor.state_dir.as_path().to_path_buf(),
    };
    for asked in &args.accept {
        let print = normal(asked)?;
        let issuers = holders(settings, &print)?;
        for issuer in &issuers {
            record(&state, &format!("{issuer}.{print}"))?;
        }
        out.print(&format!(
            "accepted {print} for {}; the executor takes it over when it next looks, within {} s\n",
            issuers.join(", "),
            settings.renewal.poll.as_secs()
        ))?;
    }
    Ok(Exit::Done)
}

/// Lower-case hexadecimal without separators.
fn normal(text: &str) -> Result<String, Failure> {
    let print: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    if print.len() == 64 && print.bytes().all(|c| c.is_ascii_hexdigit()) {
        Ok(print)
    } else {
        Err(Failure::Unreadable(format!("`{text}` is no SHA-256 fingerprint: 64 hexadecimal digits")))
    }
}

/// Issuers whose root file holds this root now. Accepting anything else would be a slip of the pen.
fn holders(settings: &Settings, print: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for issuer in &settings.issuers {
        let TrustAnchor::File(path) = &issuer.trust else { continue };
        let prints = files::read(path.as_path(), Roots::MAX_BYTES)
            .map_err(|error| error.to_string())
            .and_then(|bytes| Roots::from_pem(bytes).map_err(|error| error.to_string()))
            .map(|roots| roots.fingerprints());
        match prints {
            Ok(prints) if prints.iter().any(|held| held == print) => found.push(issuer.name.to_string()),
            Ok(prints) => seen.push(format!("{path} holds {}", prints.join(", "))),
            Err(error) => seen.push(format!("{path}: {error}")),
        }
    }
    if found.is_empty() {
        let seen = if seen.is_empty() { "no issuer has a root file".to_owned() } else { seen.join("; ") };
        return Err(Failure::Unreadable(format!("no issuer's root file holds {print} now: {seen}")));
    }
    Ok(found)
}

fn record(state: &Path, acceptance: &str) -> Result<(), Failure> {
    let dir = state.join(ACCEPTED);
    let written =
        DirBuilder::new().recursive(false).mode(0o700).create(&dir).or_else(existing).and_then(|()| {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(dir.join(acceptance))?
                .sync_all()
        });
    written.map_err(|error| told(&dir, &error))
}

fn existing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

fn told(dir: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => ": run this as root",
        io::ErrorKind::NotFound => {
            ": has the executor ever run? Say --executor-state where it keeps its state"
        }
        _ => "",
    };
    Failure::Unreadable(format!("cannot record the acceptance in {}: {error}{advice}", dir.display()))
}
