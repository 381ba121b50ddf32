//! The validated manifest: what the rest of the program works with.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{AbsolutePath, CertName, IssuerName};
use crate::window::Zone;

/// One certificate to keep alive. Every value has been checked and every default applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Short unique name.
    pub name: CertName,
    /// Subject CN.
    pub common_name: String,
    /// All names of the certificate, without duplicates, the CN included where the manifest's rules say so.
    pub sans: Vec<San>,
    /// Leaf and intermediates.
    pub cert_path: AbsolutePath,
    /// Private key; equal to `cert_path` for a combined file.
    pub key_path: AbsolutePath,
    /// Intermediates alone.
    pub chain_path: Option<AbsolutePath>,
    /// Roots bundle. Set from `include_ca` when that applies on the host.
    pub ca_path: Option<AbsolutePath>,
    /// Owner of the files; none means the directory's owner.
    pub owner: Option<Owner>,
    /// Mode of the key.
    pub key_mode: Mode,
    /// Mode of the certificate, chain and roots.
    pub cert_mode: Mode,
    /// Wanted extended key usage.
    pub usage: Usage,
    /// Other extended key usages are refused.
    pub strict_eku: bool,
    /// Guest that gets the files.
    pub guest: Option<Guest>,
    /// What is written inside the guest; present exactly when `guest` is.
    pub delivery: Option<Delivery>,
    /// Command after delivery.
    pub command: Option<PostCommand>,
    /// Wanted lifetime; none means what the issuer gives.
    pub validity: Option<Duration>,
    /// When to renew.
    pub renew_before: RenewBefore,
    /// Issuers in order of preference, never empty.
    pub issuers: Vec<IssuerName>,
    /// Type of the private key.
    pub key_type: KeyType,
    /// New key with every certificate, or the same one.
    pub key_policy: KeyPolicy,
    /// How to see that the consumer uses the certificate.
    pub verify: Vec<Verify>,
    /// Put the previous pair back when verification fails.
    pub rollback: bool,
    /// When the command may run.
    pub window: Option<Window>,
    /// Nothing is done for this entry.
    pub paused: bool,
    /// Stages whose configuration is wrong: they are blocked, while the certificate is issued and written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stage_errors: Vec<StageError>,
}

/// A stage after writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Copying into the guest.
    Deliver,
    /// Running the command.
    Activate,
    /// Seeing that the certificate is used.
    Verify,
}

/// Why a stage is blocked by the manifest itself. What was wrong is absent from the entry: with an error in
/// `deliver` there is no [`Entry::delivery`], with one in the command no [`Entry::command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageError {
    /// The blocked stage.
    pub stage: Stage,
    /// What is wrong, for people.
    pub message: String,
}

impl Entry {
    /// Certificate and key share one file.
    pub fn combined(&self) -> bool {
        self.cert_path == self.key_path
    }

    /// What the manifest has wrong about `stage`, if anything.
    pub fn stage_error(&self, stage: Stage) -> Option<&StageError> {
        self.stage_errors.iter().find(|error| error.stage == stage)
    }

    /// The certificate has to be copied into a guest.
    pub fn delivers(&self) -> bool {
        self.delivery.is_some()
    }
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum San {
    /// DNS name, lower case, possibly with a leading `*.`.
    Dns(String),
    /// E-mail address.
    Email(String),
    /// IPv4 or IPv6 address.
    Ip(IpAddr),
    /// URI.
    Uri(String),
}

impl San {
    /// The form in which equal names are equal: DNS names and the domains of e-mail addresses ignore case
    /// (RFC 5280 section 7.2 and 7.5).
    #[must_use]
    pub fn comparable(&self) -> Self {
        match self {
            Self::Dns(name) => Self::Dns(name.to_ascii_lowercase()),
            Self::Email(address) => Self::Email(address.rsplit_once('@').map_or_else(
                || address.clone(),
                |(local, domain)| format!("{local}@{}", domain.to_ascii_lowercase()),
            )),
            Self::Ip(_) | Self::Uri(_) => self.clone(),
        }
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => f.write_str(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// Permission bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mode(pub u16);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// User and group of a file; the group defaults to the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User.
    pub user: Principal,
    /// Group.
    pub group: Principal,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// A user or group, by name or number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Principal {
    /// Host id.
    Id(u32),
    /// Name on the host, or in the container for a bind mount of an unprivileged one.
    Name(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Wanted extended key usage (`cert_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// serverAuth.
    #[default]
    Server,
    /// clientAuth.
    Client,
    /// Both.
    Peer,
}

/// A Proxmox guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Guest {
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// VMID.
    pub id: u32,
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            GuestKind::Lxc => write!(f, "LXC {}", self.id),
            GuestKind::Vm => write!(f, "VM {}", self.id),
        }
    }
}

/// How a guest is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// Container, through `pct`.
    Lxc,
    /// Virtual machine, through `qm` and the guest agent.
    Vm,
}

/// What is written inside the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub enum Delivery {
    /// `/tmp/cert.pem`, `/tmp/key.pem` and, with `ca`, `/tmp/ca.pem`, for the command to pick up.
    Legacy {
        /// The roots bundle too.
        ca: bool,
    },
    /// Explicit destinations.
    Explicit {
        /// Leaf and intermediates.
        cert: Option<AbsolutePath>,
        /// Private key.
        key: Option<AbsolutePath>,
        /// Roots bundle.
        ca: Option<AbsolutePath>,
        /// Owner inside the guest (names and numbers are the guest's).
        owner: Option<Owner>,
        /// Mode of the key inside the guest.
        key_mode: Mode,
        /// Mode of certificate and roots inside the guest.
        cert_mode: Mode,
    },
}

/// The `post_renewal_command`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostCommand {
    /// Program and arguments. The program is an allow-listed absolute path.
    pub argv: Vec<String>,
    /// Time limit.
    pub timeout: Duration,
    /// Restart budget: the least time between two runs.
    pub min_interval: Option<Duration>,
}

/// When a certificate is renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RenewBefore {
    /// With a third of the lifetime left.
    #[default]
    Third,
    /// So long before expiry.
    Time(Duration),
    /// With this share of the lifetime left, 1 to 99.
    Percent(u8),
}

/// Type of the private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// Ed25519.
    Ed25519,
    /// RSA, 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA, 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA, 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
}

impl KeyType {
    /// The manifest's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a renewal makes a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPolicy {
    /// Keep the key.
    Reuse,
    /// New key with every certificate.
    #[default]
    Rotate,
}

/// One way to see that the consumer uses the certificate (section 9 of the design).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verify {
    /// The leaf served at an address is this entry's.
    Tls {
        /// `HOST:PORT`.
        address: String,
        /// SNI; none means the host of the address when it is a name.
        server_name: Option<String>,
        /// Entry whose certificate is presented.
        client: Option<CertName>,
        /// Without a client certificate the peer must refuse.
        refuse_without_client: bool,
        /// Path to request after the handshake.
        http_get: Option<String>,
        /// Expected HTTP status of `http_get`.
        expect_status: Option<u16>,
        /// How long to keep trying.
        deadline: Duration,
    },
    /// This entry's certificate is accepted as client certificate at an address.
    AcceptedBy {
        /// `HOST:PORT`.
        address: String,
        /// SNI; none means the host of the address when it is a name.
        server_name: Option<String>,
        /// Path to request after the handshake.
        http_get: Option<String>,
        /// Expected HTTP status of `http_get`.
        expect_status: Option<u16>,
        /// How long to keep trying.
        deadline: Duration,
    },
    /// A command prints the expected value.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Text with `{serial}`, `{serial_decimal}` or `{fingerprint}`.
        expect: String,
        /// How long to keep trying.
        deadline: Duration,
    },
}

/// When a command may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Start times as crontab(5) wrote them, already checked.
    pub cron: String,
    /// How long the window stays open.
    pub duration: Duration,
    /// Time zone of `cron`; none means the host's.
    pub timezone: Option<Zone>,
}
