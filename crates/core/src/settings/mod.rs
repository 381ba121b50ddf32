//! `certd.toml`, validated.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::report::Report;
use crate::diagnostic::{self, Diagnostics};
use crate::name::{AbsolutePath, IssuerName};

mod cron;
mod duration;
mod issuer;
mod program;
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
        if report.is_any() {
            // What seems to be missing may stand in the part that could not be read.
            return Err(Diagnostics::new(file, text, report.into_list()));
        }
        let settings = read::settings(&root, text.len(), &mut report);
        match (settings, report.into_list()) {
            (Ok(settings), list) if list.is_empty() => Ok(settings),
            (_, list) => Err(Diagnostics::new(file, text, list)),
        }
    }

    /// As [`parse`](Self::parse), from the bytes of the file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and bytes that are no text.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, Diagnostics> {
        match diagnostic::text(bytes) {
            Ok(text) => Self::parse(text, file),
            Err(error) => Err(error.report(file, bytes)),
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
    /// How far each of them is confined, in the same order.
    pub programs: Vec<ProgramSettings>,
}

impl ExecutorSettings {
    /// How a program is confined; none for one that is not among `commands`.
    pub fn program(&self, path: &str) -> Option<&ProgramSettings> {
        self.programs.iter().find(|program| program.path.as_str() == path)
    }
}

/// `[[executor.program]]`, or what holds without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSettings {
    /// The program, one of `commands`.
    pub path: AbsolutePath,
    /// How far it is confined.
    pub confined: Confined,
}

/// The profile under which a program runs, and what is opened for it beyond the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confined {
    /// For programs that enter guests, such as `pct` and `qm`.
    Guest {
        /// Further files and directories that it sees.
        reads: Vec<AbsolutePath>,
        /// Further files and directories that it may write.
        writes: Vec<AbsolutePath>,
    },
    /// As root, with nothing but the measures that every command gets.
    Plain,
    /// Nothing is open but the system's programs and the files of the entry that the command runs for.
    Strict(Opened),
}

/// What is opened for a strictly confined program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Files and directories that it may read.
    pub reads: Vec<AbsolutePath>,
    /// Files and directories that it may also write.
    pub writes: Vec<AbsolutePath>,
    /// Unix sockets that it may connect to.
    pub sockets: Vec<AbsolutePath>,
    /// It has the host's network.
    pub network: bool,
    /// It may send signals to other processes.
    pub signals: bool,
    /// Bound of its memory in MiB, if not the usual one.
    pub memory: Option<u32>,
}

impl Confined {
    /// The profile's name: `guest`, `plain` or `strict`.
    pub const fn profile(&self) -> &'static str {
        match self {
            Self::Guest { .. } => "guest",
            Self::Plain => "plain",
            Self::Strict(_) => "strict",
        }
    }

    /// Every path that is opened by name.
    pub fn opened_paths(&self) -> impl Iterator<Item = &AbsolutePath> {
        let lists: [&[AbsolutePath]; 3] = match self {
            Self::Guest { reads, writes } => [reads, writes, &[]],
            Self::Plain => [&[], &[], &[]],
            Self::Strict(opened) => [&opened.reads, &opened.writes, &opened.sockets],
        };
        lists.into_iter().flatten()
    }
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
    /// X5C provisioner, for which the present certificate of an entry vouches for the next one.
    pub x5c_provisioner: Option<String>,
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
    /// Program and first arguments of the hook for `dns-01`, run by the executor.
    pub dns_hook: Option<Vec<String>>,
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
