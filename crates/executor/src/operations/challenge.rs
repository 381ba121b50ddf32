//! `challenge`: the record of an ACME challenge `dns-01`, by a hook of the configuration.

use std::time::Duration;

use phoenix_core::manifest::{Entry, San};
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::IssuerKind;
use phoenix_protocol::executor::{Answer, ChallengeStep};
use phoenix_sandbox::CommandSpec;

use super::trail::Trail;
use super::{Executor, check_issuer};

/// How long a hook may take: servers of a zone may have to agree.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Length of the base64url of a SHA-256 (RFC 8555 section 8.4).
const VALUE: usize = 43;

/// What the daemon wants published.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) domain: &'a str,
    pub(super) value: &'a str,
}

impl Executor {
    /// Runs the hook of the issuer with `present` or `remove`, the record's name and its content.
    pub(super) fn challenge(
        &self,
        entry: &Entry,
        issuer: &IssuerName,
        step: ChallengeStep,
        record: Record<'_>,
        trail: &Trail,
    ) -> Result<Answer, Trouble> {
        check_issuer(entry, issuer)?;
        let name = record.name_for(entry)?;
        let hook = self.dns_hook(issuer)?.iter().map(String::as_str);
        let argv = hook.chain([step.as_str(), &name, record.value]);
        self.run_command(&CommandSpec::new(argv).timeout(TIMEOUT), &[], trail)?;
        Ok(Answer::Done { observations: vec![self.observe(entry)?] })
    }

    fn dns_hook(&self, issuer: &IssuerName) -> Result<&[String], Trouble> {
        match &self.anchors.settings(issuer)?.kind {
            IssuerKind::Acme(settings) => settings.dns_hook.as_deref(),
            IssuerKind::StepCa(_) => None,
        }
        .ok_or_else(|| {
            let message = format!("Issuer `{issuer}` has no `dns_hook` in the configuration.");
            Trouble::new(Reason::BadRequest, message)
        })
    }
}

impl Record<'_> {
    /// The record's name, if the entry has its domain and the value is one.
    pub(super) fn name_for(&self, entry: &Entry) -> Result<String, Trouble> {
        let refuse = |why: String| Trouble::new(Reason::BadRequest, why);
        // A wildcard is proven at the name below it (RFC 8555 section 7.1.3).
        let of_entry = |san: &San| matches!(san, San::Dns(name) if name.strip_prefix("*.").unwrap_or(name) == self.domain);
        if !entry.sans.iter().any(of_entry) {
            return Err(refuse(format!(
                "`{}` has no such DNS name: nothing is published for it.",
                entry.name
            )));
        }
        let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.value.len() != VALUE || !self.value.bytes().all(in_alphabet) {
            return Err(refuse(format!("The value of a dns-01 record has {VALUE} characters of base64url.")));
        }
        Ok(format!("_acme-challenge.{}", self.domain))
    }
}
