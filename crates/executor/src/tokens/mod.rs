//! One-time tokens for Step-CA, and the keys that sign them.
//!
//! | module | duty |
//! |---|---|
//! | [`provisioned`] | tokens in the name of a JWK provisioner: `sign`, `revoke` |
//! | [`vouched`] | tokens for which the present certificate vouches: `renew`, `x5c` |
//! | [`unlocked`] | opened provisioner keys |
//! | [`attempts`] | how often a password may be tried |
//!
//! Whatever decides what a token is good for comes from the manifest and the configuration.

mod attempts;
mod provisioned;
mod unlocked;
mod vouched;

use std::collections::BTreeSet;
use std::time::Duration;

use phoenix_core::manifest::{Entry, San};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{IssuerKind, IssuerSettings, ProvisionerSettings, StepCaSettings};
use phoenix_core::time::Timestamp;
use phoenix_protocol::executor::{SignedToken, uses_client_provisioner};

pub(crate) use provisioned::{ProvisionerWords, revoke, sign};
pub(crate) use unlocked::{Keyring, password_of};
pub(crate) use vouched::{Voucher, renew, x5c};

/// How long a token is good for, after the later of the two clocks.
const VALIDITY: Duration = Duration::from_secs(10 * 60);
/// How far ahead of ours the CA's clock is believed to be, at most. Anything more would be a token for later.
const MAX_SKEW: Duration = Duration::from_secs(24 * 60 * 60);

/// A token and in whose name it is.
pub(crate) struct Signed {
    pub(crate) token: SignedToken,
    pub(crate) provisioner: String,
}

/// For whom a token is, and when.
#[derive(Clone, Copy)]
pub(crate) struct Purchase<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) issuer: &'a IssuerSettings,
    /// Our clock.
    pub(crate) now: Timestamp,
    /// The CA's clock, as the daemon says.
    pub(crate) ca_time: Option<Timestamp>,
}

impl Purchase<'_> {
    /// Ten minutes after the later of our clock and the CA's, as seconds since the Unix epoch.
    fn expiry(&self) -> i64 {
        let theirs = self.ca_time.unwrap_or(self.now).min(self.now.plus(MAX_SKEW));
        self.now.max(theirs).plus(VALIDITY).unix()
    }

    /// Names of the manifest as Step-CA reads them, without duplicates.
    fn names(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        self.entry.sans.iter().map(San::to_string).filter(|name| seen.insert(name.clone())).collect()
    }
}

/// Settings of an issuer that is a Step-CA.
fn step_ca(issuer: &IssuerSettings) -> Result<&StepCaSettings, Trouble> {
    match &issuer.kind {
        IssuerKind::StepCa(settings) => Ok(settings),
        IssuerKind::Acme(_) => {
            let message = format!("Issuer `{}` is not a Step-CA: there are no tokens for it.", issuer.name);
            Err(Trouble::new(Reason::BadRequest, message))
        }
    }
}

/// The JWK provisioner that serves `entry` at an issuer.
pub(crate) fn provisioner<'a>(
    entry: &Entry,
    issuer: &'a IssuerSettings,
) -> Result<&'a ProvisionerSettings, Trouble> {
    let settings = step_ca(issuer)?;
    Ok(match &settings.client_provisioner {
        Some(client) if uses_client_provisioner(entry.usage, true) => client,
        _ => &settings.provisioner,
    })
}

/// No password is configured for the provisioner that serves `entry` at this issuer: its certificates are renewed by
/// showing the present one.
pub(crate) fn renews_by_certificate(entry: &Entry, issuer: &IssuerSettings) -> bool {
    provisioner(entry, issuer).is_ok_and(|provisioner| provisioner.password.is_none())
}

/// The audience of a token: where it is to be spent.
fn audience(settings: &StepCaSettings, path: &str) -> String {
    format!("{}{path}", settings.audience.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_ten_minutes_after_the_later_clock_within_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::samples::settings(dir.path());
        let now = Timestamp::from_unix(1_000_000);
        let entry = crate::samples::entry(&settings);
        for (ca, expected) in [
            (None, 1_000_600),
            (Some(0), 1_000_600),
            (Some(1_000_100), 1_000_700),
            (Some(9_000_000), 1_000_000 + 86_400 + 600),
            (Some(i64::MAX), 1_000_000 + 86_400 + 600),
        ] {
            let ca_time = ca.map(Timestamp::from_unix);
            let purchase = Purchase { entry: &entry, issuer: &settings.issuers[0], now, ca_time };
            assert_eq!(purchase.expiry(), expected, "{ca:?}");
        }
    }

    #[test]
    fn names_are_written_plainly_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::samples::settings(dir.path());
        let mut entry = crate::samples::entry(&settings);
        entry.sans = vec![San::Dns("a.b".into()), San::Ip("::1".parse().unwrap()), San::Dns("a.b".into())];
        let now = Timestamp::default();
        let purchase = Purchase { entry: &entry, issuer: &settings.issuers[0], now, ca_time: None };
        assert_eq!(purchase.names(), ["a.b", "::1"]);
    }
}
