//! Why an entry is as it is and what happens next.

use phoenix_core::manifest::Entry;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{ErrorDocument, IssuerStatus};
use phoenix_protocol::executor::ProgramFacts;
use phoenix_protocol::explain::ExplainDocument;

use super::Engine;
use super::entries::Tracked;
use crate::clock::now;
use crate::report::explain;

impl Engine {
    /// `GET /v1/explain`
    pub(super) fn explain(&self, name: &str) -> Result<ExplainDocument, ErrorDocument> {
        let at = now();
        if let Some((_, tracked)) = self.entries.find(name) {
            return Ok(self.explain_entry(tracked, at));
        }
        match self.invalid_entry(name) {
            Some(entry) => Ok(explain::invalid(entry, at)),
            None => Err(super::requests::no_such_name(name)),
        }
    }

    fn explain_entry(&self, tracked: &Tracked, at: Timestamp) -> ExplainDocument {
        let entry = &*tracked.entry;
        let availability = self.authorities.availability(entry, at);
        let known = explain::Known {
            subject: Self::subject(tracked, &availability),
            last_run: self.last_run(&entry.key_path, at),
            looks_at: tracked.wakes_at(),
            settings: &self.settings,
            issuers: self.issuers_of(entry),
            confinement: self.confinement_of(entry),
        };
        explain::explain(known, at)
    }

    /// How the program of the entry's command is confined.
    fn confinement_of(&self, entry: &Entry) -> Option<ProgramFacts> {
        let program = entry.command.as_ref()?.argv.first()?;
        self.programs.iter().find(|facts| facts.path == *program).cloned()
    }

    fn issuers_of(&self, entry: &Entry) -> Vec<IssuerStatus> {
        let mine = |status: &IssuerStatus| entry.issuers.iter().any(|name| name.as_str() == status.name);
        self.authorities.report().into_iter().filter(mine).collect()
    }
}
