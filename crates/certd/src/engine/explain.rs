//! Why an entry is as it is and what happens next.

use phoenix_core::account::by_weight;
use phoenix_core::explanation;
use phoenix_core::explanation::reproduce::{Problem, Reproduction, reproduce};
use phoenix_core::lifecycle::{Context, Phase, Stage, Work};
use phoenix_core::manifest::{Entry, InvalidEntry};
use phoenix_core::reason::Reason;
use phoenix_core::settings::IssuerSettings;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{CertificateStatus, ErrorDocument, IssuerStatus, SCHEMA};
use phoenix_protocol::executor::ProgramFacts;
use phoenix_protocol::explain::{ExplainDocument, FailureReport, Working};

use super::Engine;
use super::entries::Tracked;
use crate::clock::now;

impl Engine {
    /// `GET /v1/explain`
    pub(super) fn explain(&self, name: &str) -> Result<ExplainDocument, ErrorDocument> {
        let at = now();
        if let Some((_, tracked)) = self.entries.find(name) {
            return Ok(self.explain_entry(tracked, at));
        }
        match self.invalid_entry(name) {
            Some(entry) => Ok(explain_invalid(entry, at)),
            None => Err(super::requests::no_such_name(name)),
        }
    }

    fn explain_entry(&self, tracked: &Tracked, at: Timestamp) -> ExplainDocument {
        let (entry, state) = (&*tracked.entry, &tracked.state);
        let availability = self.authorities.availability(entry, at);
        let last_run = self.last_run(&entry.key_path, at);
        let context =
            Context { entry, jitter: tracked.jitter, availability: &availability, last_run, invited: false };
        let seen = state.seen.as_ref();
        let certificate = self.account(tracked, at);
        let failures: Vec<FailureReport> = by_weight(state, &availability)
            .into_iter()
            .map(|(stage, failure)| FailureReport {
                stage,
                reason: failure.trouble.reason,
                class: failure.trouble.reason.class(),
                message: failure.trouble.message,
                at: failure.at,
                attempts: failure.attempts,
                next_attempt_at: failure.next_attempt_at,
            })
            .collect();
        let reason = reason_of(&certificate);
        let stage = failures.first().map(|failure| failure.stage);
        ExplainDocument {
            schema: SCHEMA,
            generated_at: at,
            meaning: reason.map(|reason| reason.meaning().to_owned()),
            advice: reason.map(|reason| {
                advice(if entry.paused { Reason::Paused } else { reason }, entry.name.as_str())
            }),
            working: working(tracked),
            explanation: seen.map(|seen| explanation::explain(&context, seen, &state.memory, at)),
            seen_at: seen.map(|seen| seen.at),
            looks_at: tracked.wakes_at(),
            reproduce: reason.map(|reason| self.reproduce(tracked, reason, stage)).unwrap_or_default(),
            failures,
            order: state.memory.order.clone(),
            hold: state.memory.hold.clone(),
            issuers: self.issuers_of(entry),
            confinement: self.confinement_of(entry),
            certificate,
        }
    }

    fn reproduce(&self, tracked: &Tracked, reason: Reason, stage: Option<Stage>) -> Vec<Reproduction> {
        let own = tracked.state.seen.as_ref().and_then(|seen| seen.own.as_ref());
        let issuer = tracked.entry.issuers.first().and_then(|name| self.issuer_settings(name.as_str()));
        reproduce(&Problem {
            entry: &tracked.entry,
            leaf: own.map(|own| &own.leaf),
            reason,
            stage,
            issuer,
            executor: &self.settings.executor,
        })
    }

    fn issuer_settings(&self, name: &str) -> Option<&IssuerSettings> {
        self.settings.issuers.iter().find(|issuer| issuer.name.as_str() == name)
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

/// The reason that the status names, as a value.
fn reason_of(certificate: &CertificateStatus) -> Option<Reason> {
    let code = certificate.reason.as_deref()?;
    Reason::ALL.iter().copied().find(|reason| reason.code() == code)
}

fn advice(reason: Reason, name: &str) -> String {
    reason.advice().replace("NAME", name)
}

fn working(tracked: &Tracked) -> Option<Working> {
    match tracked.state.phase {
        Phase::Idle | Phase::Working { work: Work::Observe, .. } => None,
        Phase::Working { work, .. } => {
            let finding = tracked.state.finding.as_ref();
            Some(Working {
                work,
                reason: finding.map(|finding| finding.reason),
                message: finding.map(|finding| finding.message.clone()),
            })
        }
    }
}

/// An entry that the manifest has wrong: no rule is asked.
fn explain_invalid(entry: &InvalidEntry, at: Timestamp) -> ExplainDocument {
    let certificate = CertificateStatus::wrong_in_manifest(entry, at);
    let reason = Reason::ManifestError;
    ExplainDocument {
        schema: SCHEMA,
        generated_at: at,
        meaning: Some(reason.meaning().to_owned()),
        advice: Some(advice(reason, &certificate.name)),
        working: None,
        explanation: None,
        seen_at: None,
        looks_at: None,
        failures: Vec::new(),
        reproduce: vec![Reproduction::new(["phoenix-certctl", "validate"])],
        order: None,
        hold: None,
        issuers: Vec::new(),
        confinement: None,
        certificate,
    }
}
