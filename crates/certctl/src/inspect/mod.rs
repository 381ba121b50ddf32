//! `inspect`: a certificate chain in words.

mod decimal;
mod facts;
mod words;

use std::path::Path;
use std::time::Duration;

use phoenix_core::manifest::{Context, Entry, InvalidEntry, Manifest};
use phoenix_core::name::IssuerName;
use phoenix_probe::Address;
use phoenix_x509::{Chain, KeyPair};

use crate::cli::InspectArgs;
use crate::config::{self, MAX_MANIFEST};
use crate::exit::Exit;
use crate::failure::no_such_name;
use crate::offline::{Anchors, Trust, read_pair};
use crate::output::Output;
use crate::{Failure, Session, clock, files};

pub use facts::{CertificateFacts, Inspection};
pub use words::render;

/// How long a server may take to present its certificate.
const PROBE: Duration = Duration::from_secs(10);

/// Shows the chain of an entry, of a file or of a server.
///
/// # Errors
/// [`Failure::NoSuchName`] for what is none of these; [`Failure::Unreadable`] when there is nothing to show.
pub async fn run(session: &Session, args: &InspectArgs, out: &mut Output) -> Result<Exit, Failure> {
    let seen = look(session, args).await?;
    let inspection = facts::gather(&seen, &trust(session, &seen))
        .map_err(|error| Failure::Unreadable(format!("cannot show {}: {error}", seen.source)))?;
    if session.json {
        out.document(&inspection)?;
    } else {
        out.print(&render(&inspection, clock::now()))?;
    }
    Ok(Exit::Done)
}

/// A chain, and where it was found.
#[derive(Debug)]
struct Seen {
    source: String,
    chain: Chain,
    /// The private key that lies with it belongs to it; none where no key was read.
    key_matches: Option<bool>,
    /// Issuers whose roots it should lead to; none means any.
    issuers: Option<Vec<IssuerName>>,
}

/// What cannot be the name of an entry is a file or a server; otherwise entries go first.
async fn look(session: &Session, args: &InspectArgs) -> Result<Seen, Failure> {
    let what = args.what.as_str();
    let path = Path::new(what);
    if what.contains('/') {
        return file(path);
    }
    let address = what.parse::<Address>();
    if address.is_ok() && !path.exists() {
        return server(what, args.server_name.as_deref()).await;
    }
    match manifest(session) {
        Ok(manifest) => match manifest.find(what) {
            Some(found) => entry(found),
            None if path.exists() => file(path),
            None => Err(unknown(what, &manifest)),
        },
        Err(_) if path.exists() => file(path),
        Err(why) => {
            Err(Failure::Unreadable(format!("`{what}` is neither a file nor HOST:PORT, and no entry: {why}")))
        }
    }
}

fn manifest(session: &Session) -> Result<Manifest, String> {
    let settings = session.config.as_ref().map_err(ToString::to_string)?;
    let path = &settings.manifest;
    let text = config::read_text(path.as_path(), MAX_MANIFEST)
        .map_err(|error| format!("cannot read the manifest {path}: {error}"))?;
    let parsed = Manifest::parse(&text, &Context::of(settings));
    parsed.manifest.ok_or_else(|| parsed.diagnostics.to_string())
}

fn unknown(what: &str, manifest: &Manifest) -> Failure {
    let is_meant = |entry: &&InvalidEntry| {
        [&entry.name, &entry.common_name].into_iter().any(|name| name.as_deref() == Some(what))
    };
    if let Some(entry) = manifest.invalid.iter().find(is_meant) {
        let problems = entry.problems.join("\n");
        return Failure::Unreadable(format!("the entry `{what}` is invalid ({}):\n{problems}", entry.path));
    }
    let names = manifest.entries.iter().flat_map(|entry| [entry.name.as_str(), entry.common_name.as_str()]);
    let sentence = no_such_name(what, names);
    Failure::NoSuchName(format!("`{what}` is neither a file nor HOST:PORT, and {sentence}"))
}

fn entry(entry: &Entry) -> Result<Seen, Failure> {
    let files = read_pair(entry);
    let key_matches = files.key_matches();
    let source = format!("{}, {}", entry.name, entry.cert_path);
    match (files.chain, files.unreadable) {
        (Some(chain), _) => Ok(Seen { source, chain, key_matches, issuers: Some(entry.issuers.clone()) }),
        (None, Some(why)) => Err(Failure::Unreadable(format!("cannot show {}: {why}", entry.name))),
        (None, None) => {
            let (name, path) = (&entry.name, &entry.cert_path);
            Err(Failure::Unreadable(format!("{name} has no certificate yet: there is no file {path}")))
        }
    }
}

fn file(path: &Path) -> Result<Seen, Failure> {
    let cannot =
        |why: &dyn std::fmt::Display| Failure::Unreadable(format!("cannot show {}: {why}", path.display()));
    // It may hold the private key too.
    let bytes = files::read_secret(path, Chain::MAX_BYTES).map_err(|error| cannot(&error))?;
    let chain = Chain::from_pem(&bytes).map_err(|error| cannot(&error))?;
    let key = KeyPair::from_pem(&bytes).ok();
    let key_matches = key.map(|key| key.public_key_sha256() == chain.leaf_facts().public_key);
    Ok(Seen { source: path.display().to_string(), chain, key_matches, issuers: None })
}

async fn server(address: &str, server_name: Option<&str>) -> Result<Seen, Failure> {
    let cannot = |why: &dyn std::fmt::Display| Failure::Unreadable(why.to_string());
    let served = phoenix_probe::served_chain(address, server_name, PROBE);
    let chain = Chain::from_der(served.await.map_err(|error| cannot(&error))?);
    let chain = chain.map_err(|error| cannot(&format!("cannot show what {address} serves: {error}")))?;
    Ok(Seen { source: address.to_owned(), chain, key_matches: None, issuers: None })
}

fn trust(session: &Session, seen: &Seen) -> Trust {
    match &session.config {
        Err(error) => Trust::Unknown(error.to_string()),
        Ok(settings) => {
            let anchors = Anchors::read(&settings.issuers);
            let issuers = seen.issuers.clone().unwrap_or_else(|| anchors.issuers());
            anchors.judge(&issuers, &seen.chain, clock::now())
        }
    }
}
