//! What the daemon asks of a certificate authority, whichever kind it is.

use std::time::Duration;

use async_trait::async_trait;
use phoenix_core::manifest::Usage;
use phoenix_core::name::CertName;
use phoenix_core::reason::Trouble;
use phoenix_core::time::Timestamp;

/// A certificate that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Entry that it is for; appears in error texts.
    pub name: CertName,
    /// Subject CN; appears in error texts. The names in the certificate come from the token.
    pub common_name: String,
    /// Certificate request, PEM.
    pub csr_pem: String,
    /// The executor's name for the staged key, handed back in [`TokenRequest`].
    pub stage: String,
    /// Chooses the provisioner where clients have one of their own.
    pub usage: Usage,
    /// Lifetime to ask for; none leaves it to the CA.
    pub validity: Option<Duration>,
}

/// A certificate as the CA returned it. Not yet checked against key, names, usage or root: the executor does
/// that before it installs anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Leaf, then intermediates, without the root. PEM, each certificate ending in a newline.
    pub chain_pem: String,
    /// The CA's clock minus ours in seconds, if it sent a date.
    pub clock_skew: Option<i64>,
}

/// Why no certificate came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{trouble}")]
pub struct IssueError {
    /// Code and sentence. Its class says how to retry.
    pub trouble: Trouble,
    /// The CA has answered at least once since this issuer was made, so it exists.
    pub answered: bool,
    /// The CA's clock minus ours in seconds, as last measured.
    pub clock_skew: Option<i64>,
}

/// What a healthy CA says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The CA's clock minus ours in seconds, if it sent a date.
    pub clock_skew: Option<i64>,
    /// Its version, if it tells.
    pub version: Option<String>,
    /// Known weaknesses of this version that the operator should know.
    pub warnings: Vec<String>,
}

/// Everything that goes into a one-time token and is not the executor's to know by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The staged key, from [`Order::stage`].
    pub stage: String,
    /// Provisioner that will check the token: a hint, the executor goes by its own configuration.
    pub provisioner: String,
    /// Key id of the provisioner's public key, as the CA lists it.
    pub kid: String,
    /// The provisioner's encrypted private key (JWE compact), as the CA lists it.
    pub encrypted_key: String,
    /// The CA's clock.
    pub ca_time: Option<Timestamp>,
}

/// Makes one-time tokens. The daemon implements it by asking the executor.
#[async_trait]
pub trait TokenMinter: Send + Sync {
    /// A fresh token, good for one request.
    ///
    /// # Errors
    /// Whatever hinders the executor: wrong password, stale entry, executor gone. Reported unchanged.
    async fn mint(&self, request: TokenRequest) -> Result<String, Trouble>;
}

/// A certificate authority.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// One certificate. Every request to the CA gets a token of its own, because a CA consumes a token before
    /// it looks at anything else.
    ///
    /// # Errors
    /// With the sentence for the operator; see [`IssueError`].
    async fn issue(&self, order: &Order, minter: &dyn TokenMinter) -> Result<Issued, IssueError>;

    /// Whether the CA is there and well. Cheap; meant for a CA that has not answered yet.
    ///
    /// # Errors
    /// Why it cannot be used now.
    async fn availability(&self) -> Result<Health, Trouble>;
}
