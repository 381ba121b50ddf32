//! The status document.

use std::io::{self, Write};

use phoenix_core::lifecycle::Availability;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{BriefStatus, CertificateStatus, DaemonStatus, ManifestStatus, SCHEMA};
use phoenix_protocol::executor::ManifestState;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use tokio::sync::mpsc;
use tracing::error;

use super::entries::Tracked;
use super::{Asked, Engine};
use crate::clock::now;
use crate::report;

/// Size of the pieces in which the document goes out: what reads it begins while the rest is being written.
const PIECE: usize = 64 << 10;

/// The status document, made while it is written: the accounts of ten thousand entries at once take as much memory as
/// the entries.
#[derive(serde::Serialize)]
struct Report<'a> {
    schema: u32,
    generated_at: Timestamp,
    daemon: DaemonStatus,
    certificates: Accounts<'a>,
}

struct Accounts<'a> {
    engine: &'a Engine,
    asked: &'a Asked,
    at: Timestamp,
}

impl Serialize for Accounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { engine, asked, at } = self;
        let mut list = serializer.serialize_seq(None)?;
        let mut tell = |account: &CertificateStatus| {
            if asked.brief {
                list.serialize_element(&BriefStatus::from(account))
            } else {
                list.serialize_element(account)
            }
        };
        for tracked in engine.entries.in_order() {
            if asked.wants(tracked.entry.name.as_str(), &tracked.entry.common_name) {
                tell(&engine.account(tracked, *at))?;
            }
        }
        for entry in &engine.invalid {
            let account = CertificateStatus::wrong_in_manifest(entry, *at);
            if asked.wants(&account.name, &account.common_name) {
                tell(&account)?;
            }
        }
        list.end()
    }
}

impl Asked {
    fn wants(&self, name: &str, common_name: &str) -> bool {
        self.names.is_empty() || self.names.contains(name) || self.names.contains(common_name)
    }
}

/// Sends what is written in pieces. Nobody reading any more is no failure.
struct Pieces {
    piece: Vec<u8>,
    reader: mpsc::UnboundedSender<Vec<u8>>,
}

impl Pieces {
    fn send(&mut self) {
        let _ = self.reader.send(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE)));
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() + bytes.len() > PIECE {
            self.send();
        }
        self.piece.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send();
        Ok(())
    }
}

impl Engine {
    /// The document as JSON, in pieces.
    pub(super) fn status(&self, asked: &Asked) -> mpsc::UnboundedReceiver<Vec<u8>> {
        let at = now();
        let certificates = Accounts { engine: self, asked, at };
        let daemon = DaemonStatus {
            running: true,
            version: Some(env!("CARGO_PKG_VERSION").into()),
            manifest: self.manifest_status(),
            issuers: self.authorities.report(),
            warnings: self.warnings(),
        };
        let (reader, pieces) = mpsc::unbounded_channel();
        let mut out = Pieces { piece: Vec::with_capacity(PIECE), reader };
        let report = Report { schema: SCHEMA, generated_at: at, daemon, certificates };
        let written = serde_json::to_writer(&mut out, &report).map_err(io::Error::from);
        if let Err(error) = written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
            error!("a report was not made to its end: {error}");
        }
        pieces
    }

    fn manifest_status(&self) -> ManifestStatus {
        match &self.manifest {
            Some(facts) => ManifestStatus {
                path: facts.path.clone(),
                digest: Some(facts.digest.clone()),
                loaded_at: facts.loaded_at,
                state: facts.state,
                error: facts.error.clone(),
            },
            None => ManifestStatus {
                path: self.settings.manifest.to_string(),
                digest: None,
                loaded_at: None,
                state: ManifestState::Missing,
                error: Some("the executor has not answered yet".into()),
            },
        }
    }

    /// The account of one entry.
    pub(super) fn account(&self, tracked: &Tracked, at: Timestamp) -> CertificateStatus {
        let availability = self.authorities.availability(&tracked.entry, at);
        report::certificate(&Self::subject(tracked, &availability), at)
    }

    /// What is reported about an entry.
    pub(super) fn subject<'a>(tracked: &'a Tracked, availability: &'a Availability) -> report::Subject<'a> {
        report::Subject {
            entry: &tracked.entry,
            warnings: &tracked.warnings,
            state: &tracked.state,
            jitter: tracked.jitter,
            availability,
        }
    }

    /// Warnings that belong to no single certificate.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.authorities.warnings();
        warnings.extend(self.history.problem());
        warnings.extend(self.notices.told(now()));
        if let Some(listen) = self.settings.metrics {
            warnings.push(format!("[metrics] listen = \"{listen}\": this version serves no metrics"));
        }
        warnings
    }
}
