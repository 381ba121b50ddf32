//! One-time tokens for Step-CA, and the provisioner keys that sign them.

mod attempts;
mod unlocked;

use std::collections::BTreeSet;
use std::time::Duration;

use phoenix_core::manifest::{Entry, San};
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{IssuerKind, IssuerSettings, ProvisionerSettings, StepCaSettings};
use phoenix_core::time::Timestamp;
use phoenix_jose::OneTimeToken;
use phoenix_protocol::executor::uses_client_provisioner;

pub(crate) use unlocked::Keyring;

/// How long a token is good for, after the later of the two clocks.
const VALIDITY: Duration = Duration::from_secs(10 * 60);
/// How far ahead of ours the CA's clock is believed to be, at most. Anything more would be a token for later.
const MAX_SKEW: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest key id that is signed into a token.
const MAX_KID: usize = 1024;

/// What the daemon says about the CA. Public data, and not believed beyond its purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CaWords<'a> {
    /// Key id of the provisioner.
    pub(crate) kid: &'a str,
    /// Encrypted private key of the provisioner.
    pub(crate) encrypted_key: &'a str,
    /// The CA's clock.
    pub(crate) time: Option<Timestamp>,
}

/// A signed token. Never printed: whoever has it can have the certificate.
pub(crate) struct Signed {
    pub(crate) token: String,
    pub(crate) provisioner: String,
}

/// Step-CA settings of an issuer and the provisioner that serves `entry` there.
pub(crate) fn provisioner<'a>(
    entry: &Entry,
    issuer: &'a IssuerSettings,
) -> Result<(&'a StepCaSettings, &'a ProvisionerSettings), Trouble> {
    let IssuerKind::StepCa(settings) = &issuer.kind else {
        let message = format!("Issuer `{}` is not a Step-CA: there are no tokens for it.", issuer.name);
        return Err(Trouble::new(Reason::BadRequest, message));
    };
    let chosen = match &settings.client_provisioner {
        Some(client) if uses_client_provisioner(entry.usage, true) => client,
        _ => &settings.provisioner,
    };
    Ok((settings, chosen))
}

/// No password is configured for the provisioner that serves `entry` at this issuer: its certificates are renewed by
/// showing the present one.
pub(crate) fn renews_by_certificate(entry: &Entry, issuer: &IssuerSettings) -> bool {
    provisioner(entry, issuer).is_ok_and(|(_, provisioner)| provisioner.password.is_none())
}

/// Signs a token with which a certificate for the names of `entry`, and the CSR with this digest, can be had.
pub(crate) fn sign(
    keyring: &Keyring,
    entry: &Entry,
    issuer: &IssuerSettings,
    csr_sha256: [u8; 32],
    words: CaWords<'_>,
    now: Timestamp,
) -> Result<Signed, Trouble> {
    let (settings, provisioner) = provisioner(entry, issuer)?;
    if words.kid.is_empty() || words.kid.len() > MAX_KID {
        return Err(Trouble::new(Reason::BadRequest, "The provisioner's key id is empty or too long."));
    }
    let key = keyring.unlock(&issuer.name, provisioner, words.encrypted_key, now)?;
    let token = OneTimeToken::new(
        format!("{}/1.0/sign", settings.audience.trim_end_matches('/')),
        &provisioner.name,
        &entry.common_name,
        expiry(now, words.time).unix(),
    )
    .sans(names(&entry.sans))
    .for_csr(csr_sha256)
    .sign(&key, words.kid)
    .map_err(|error| unusable_key(&issuer.name, &provisioner.name, &error))?;
    Ok(Signed { token, provisioner: provisioner.name.clone() })
}

fn unusable_key(issuer: &IssuerName, provisioner: &str, error: &phoenix_jose::JoseError) -> Trouble {
    Trouble::new(
        Reason::UnknownProvisioner,
        format!("The key of provisioner `{provisioner}` of issuer `{issuer}` cannot be used: {error}."),
    )
}

/// Ten minutes after the later of our clock and the CA's.
fn expiry(now: Timestamp, ca_time: Option<Timestamp>) -> Timestamp {
    let theirs = ca_time.unwrap_or(now).min(now.plus(MAX_SKEW));
    now.max(theirs).plus(VALIDITY)
}

/// Names as Step-CA reads them, without duplicates.
fn names(sans: &[San]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    sans.iter().map(San::to_string).filter(|name| seen.insert(name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_ten_minutes_after_the_later_clock_within_a_day() {
        let now = Timestamp::from_unix(1_000_000);
        for (ca, expected) in [
            (None, 1_000_600),
            (Some(0), 1_000_600),
            (Some(1_000_100), 1_000_700),
            (Some(9_000_000), 1_000_000 + 86_400 + 600),
            (Some(i64::MAX), 1_000_000 + 86_400 + 600),
        ] {
            assert_eq!(expiry(now, ca.map(Timestamp::from_unix)).unix(), expected, "{ca:?}");
        }
    }

    #[test]
    fn names_are_written_plainly_and_once() {
        let sans = [San::Dns("a.b".into()), San::Ip("::1".parse().unwrap()), San::Dns("a.b".into())];
        assert_eq!(names(&sans), ["a.b", "::1"]);
    }
}
