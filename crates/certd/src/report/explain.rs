//! Why an entry is as it is and what happens next.

use phoenix_core::account::by_weight;
use phoenix_core::explanation;
use phoenix_core::explanation::reproduce::{Problem, Reproduction, reproduce};
use phoenix_core::lifecycle::{Context, Failure, Phase, Stage, State, Work};
use phoenix_core::manifest::InvalidEntry;
use phoenix_core::reason::Reason;
use phoenix_core::settings::Settings;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{CertificateStatus, IssuerStatus, SCHEMA};
use phoenix_protocol::executor::ProgramFacts;
use phoenix_protocol::explain::{ExplainDocument, FailureReport, Working};

use super::{Subject, certificate};

/// What is known of an entry and its surroundings.
pub struct Known<'a> {
    /// The entry.
    pub subject: Subject<'a>,
    /// When its command line ran last.
    pub last_run: Option<Timestamp>,
    /// When it is looked at without any other cause.
    pub looks_at: Option<Timestamp>,
    /// The configuration.
    pub settings: &'a Settings,
    /// Its issuers.
    pub issuers: Vec<IssuerStatus>,
    /// How the program of its command is confined.
    pub confinement: Option<ProgramFacts>,
}

/// `GET /v1/explain`: the account of an entry at `now`.
pub fn explain(known: Known<'_>, now: Timestamp) -> ExplainDocument {
    let Subject { entry, state, jitter, availability, .. } = known.subject;
    let context = Context { entry, jitter, availability, last_run: known.last_run, invited: false };
    let seen = state.seen.as_ref();
    let certificate = certificate(&known.subject, now);
    let failures: Vec<FailureReport> = by_weight(state, availability).into_iter().map(told).collect();
    let reason = reason_of(&certificate);
    let stage = failures.first().map(|failure| failure.stage);
    let working = working(state);
    // What is being done for the first time has no problem that could be seen, and no advice.
    let smooth = working.is_some() && failures.is_empty();
    ExplainDocument {
        schema: SCHEMA,
        generated_at: now,
        meaning: reason.map(|reason| reason.meaning().to_owned()),
        advice: match reason {
            Some(_) if smooth => Some("nothing: it is being done".to_owned()),
            _ => reason.map(|reason| {
                advice(if entry.paused { Reason::Paused } else { reason }, entry.name.as_str())
            }),
        },
        working,
        explanation: seen.map(|seen| explanation::explain(&context, seen, &state.memory, now)),
        seen_at: seen.map(|seen| seen.at),
        looks_at: known.looks_at,
        reproduce: reason
            .filter(|_| !smooth)
            .map(|reason| shown_by(&known, reason, stage))
            .unwrap_or_default(),
        failures,
        order: state.memory.order.clone(),
        hold: state.memory.hold.clone(),
        issuers: known.issuers,
        confinement: known.confinement,
        certificate,
    }
}

fn told((stage, failure): (Stage, Failure)) -> FailureReport {
    FailureReport {
        stage,
        reason: failure.trouble.reason,
        class: failure.trouble.reason.class(),
        message: failure.trouble.message,
        at: failure.at,
        attempts: failure.attempts,
        next_attempt_at: failure.next_attempt_at,
    }
}

/// Commands that show the problem.
fn shown_by(known: &Known<'_>, reason: Reason, stage: Option<Stage>) -> Vec<Reproduction> {
    let Subject { entry, state, .. } = known.subject;
    let own = state.seen.as_ref().and_then(|seen| seen.own.as_ref());
    let first = entry.issuers.first();
    let issuer = known.settings.issuers.iter().find(|issuer| Some(&issuer.name) == first);
    reproduce(&Problem {
        entry,
        leaf: own.map(|own| &own.leaf),
        reason,
        stage,
        issuer,
        executor: &known.settings.executor,
    })
}

/// The reason that the status names, as a value.
fn reason_of(certificate: &CertificateStatus) -> Option<Reason> {
    let code = certificate.reason.as_deref()?;
    Reason::ALL.iter().copied().find(|reason| reason.code() == code)
}

fn advice(reason: Reason, name: &str) -> String {
    reason.advice().replace("NAME", name)
}

fn working(state: &State) -> Option<Working> {
    match state.phase {
        Phase::Idle | Phase::Working { work: Work::Observe, .. } => None,
        Phase::Working { work, .. } => {
            let finding = state.finding.as_ref();
            Some(Working {
                work,
                reason: finding.map(|finding| finding.reason),
                message: finding.map(|finding| finding.message.clone()),
            })
        }
    }
}

/// An entry that the manifest has wrong: no rule is asked.
pub fn invalid(entry: &InvalidEntry, at: Timestamp) -> ExplainDocument {
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
