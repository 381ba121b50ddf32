//! `certd.toml`, validated.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostics;
use crate::diagnostic::report::Report;
use crate::name::{AbsolutePath, IssuerName};

mod cron;
mod duration;
mod issuer;
mod read;
#[cfg(test)]
mod tests;

pub use cron::{BadSchedule, Schedule};
pub use duration::{BadDuration, parse_duration};

/// Everything the configuration says, defaults applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The manifest.
    pub manifest: AbsolutePath,
    /// The daemon's state directory.
    pub state_dir: AbsolutePath,
    /// The control socket.
    pub control_socket: AbsolutePath,
    /// The executor's part.
    pub executor: ExecutorSettings,
    /// Issuers in the order of the file, never empty.
    pub issuers: Vec<IssuerSettings>,
    /// Renewal pacing.
    pub renewal: RenewalSettings,
    /// Address of the metrics listener.
    pub metrics: Option<std::net::SocketAddr>,
}

impl Settings {
    /// Reads `certd.toml`; `file` is its name for diagnostics. Every problem is reported, each with its place.
    ///
    /// # Errors
    /// All problems of the text; the configuration is refused as a whole.
    pub fn parse(text: &str, file: &str) -> Result<Self, Diagnostics> {
        let mut report = Report::default();
        let root = crate::diagnostic::toml::parse(text, &mut report);
        let settings = read::settings(&root, text.len(), &mut report);
        match (settings, report.into_list()) {
            (Ok(settings), list) if list.is_empty() => Ok(settings),
            (_, list) => Err(Diagnostics::new(file, text, list)),
        }
    }
}

/// `[executor]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// The executor's socket.
    pub socket: AbsolutePath,
    /// The executor's state directory.
    pub state_dir: AbsolutePath,
    /// Files are written below these only.
    pub target_roots: Vec<AbsolutePath>,
    /// Programs that commands may name.
    pub commands: Vec<AbsolutePath>,
}

/// `[[issuer]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerSettings {
    /// Name that entries refer to.
    pub name: IssuerName,
    /// Its root certificates.
    pub trust: TrustAnchor,
    /// Protocol and its settings.
    pub kind: IssuerKind,
}

/// Where the root of an issuer comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustAnchor {
    /// A PEM file with one or more roots.
    File(AbsolutePath),
    /// SHA-256 of the root's DER, lower-case hexadecimal; the root itself is fetched from the CA.
    Fingerprint(String),
}

/// Protocol of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerKind {
    /// Step-CA's own API with a JWK provisioner.
    StepCa(StepCaSettings),
    /// ACME (RFC 8555).
    Acme(AcmeSettings),
}

/// `type = "step-ca"`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCaSettings {
    /// `https://HOST:PORT`, without a trailing slash.
    pub url: String,
    /// Audience base of one-time tokens; equals `url` when not set.
    pub audience: String,
    /// JWK provisioner.
    pub provisioner: ProvisionerSettings,
    /// JWK provisioner for `cert_type = "client"`.
    pub client_provisioner: Option<ProvisionerSettings>,
}

/// A JWK provisioner and its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionerSettings {
    /// Name of the provisioner.
    pub name: String,
    /// Where the executor finds its password; none means renewal by certificate only.
    pub password: Option<PasswordSource>,
}

/// Where a provisioner password comes from. Read by the executor only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PasswordSource {
    /// systemd credential of this name (`$CREDENTIALS_DIRECTORY/NAME`).
    Credential(String),
    /// File; trailing white space is dropped.
    File(AbsolutePath),
}

/// `type = "acme"`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeSettings {
    /// Directory URL.
    pub directory: String,
    /// Challenge type.
    pub challenge: ChallengeKind,
    /// `systemd:NAME` or `ADDRESS:PORT`.
    pub listen: Option<String>,
}

/// ACME challenge type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeKind {
    /// RFC 8555 section 8.4.
    #[serde(rename = "dns-01")]
    Dns01,
    /// RFC 8555 section 8.3.
    #[serde(rename = "http-01")]
    Http01,
    /// RFC 8737.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// `[renewal]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalSettings {
    /// Requests at a time, per issuer.
    pub concurrency: usize,
    /// Full re-check, as a crontab(5) expression.
    pub sweep: String,
    /// How often the manifest is looked at without a hint from the watcher.
    pub poll: Duration,
}
