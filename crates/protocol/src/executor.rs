//! The executor protocol: what the unprivileged daemon may ask of the privileged executor.
//!
//! The daemon names entries and operations and passes certificate chains and public CA data. Paths, owners,
//! modes, names and commands come from the executor's own reading of root-owned files. Requests carry ids;
//! answers may come out of order.

mod snapshot;

use std::fmt;

use phoenix_core::facts::Observation;
use phoenix_core::manifest::Usage;
use phoenix_core::name::{CertName, IssuerName};
use phoenix_core::reason::Trouble;
pub use phoenix_core::scheme::SignatureScheme;
use phoenix_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use snapshot::{IssuerFacts, ManifestFacts, ManifestState, ProgramFacts, Snapshot, SnapshotEntry};

/// Version of this protocol. Both sides must be of the same one.
pub const VERSION: u32 = 3;

/// A request of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the daemon, echoed in the answer; unique among the open requests of a connection.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub operation: Operation,
}

/// An entry as the daemon knows it. Answered `stale` when the manifest in force has another digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntryRef {
    /// Name of the entry.
    pub name: CertName,
    /// Digest of the entry, from the snapshot.
    pub digest: String,
}

/// What the daemon may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Operation {
    /// First request on a connection. Answer: [`Answer::Hello`].
    Hello {
        /// The daemon's [`VERSION`].
        version: u32,
    },
    /// The manifest in force, one page at a time. Answer: [`Answer::Snapshot`].
    Snapshot {
        /// Re-read the file first if it changed.
        refresh: bool,
        /// Index of the first entry of the page.
        offset: usize,
    },
    /// Facts of one entry. Answer: [`Answer::Observed`].
    Observe {
        /// Which entry.
        entry: EntryRef,
    },
    /// Prove the target writable, make and stage a key. Answer: [`Answer::Prepared`].
    Prepare {
        /// Which entry.
        entry: EntryRef,
    },
    /// A one-time token for Step-CA. Answer: [`Answer::Token`].
    Token {
        /// Which entry.
        entry: EntryRef,
        /// Issuer that will get the token; must be one of the entry's.
        issuer: IssuerName,
        /// What it is for. Audience, provisioner and names follow from it, from the configuration and from the
        /// manifest: they are nobody else's to say.
        #[serde(flatten)]
        purpose: TokenPurpose,
        /// The CA's clock, measured from a `Date` header.
        ca_time: Option<Timestamp>,
    },
    /// Check a chain against the staged key and the manifest, and commit the pair. Answer:
    /// [`Answer::Installed`].
    Install {
        /// Which entry.
        entry: EntryRef,
        /// From [`Answer::Prepared`].
        stage: String,
        /// Issuer that answered.
        issuer: IssuerName,
        /// PEM: leaf, then intermediates.
        chain: String,
    },
    /// Take over the valid pair that lies on the live paths. Answer: [`Answer::Observed`].
    Adopt {
        /// Which entry.
        entry: EntryRef,
    },
    /// Put the executor's own copy back on the live paths, owner and mode included. Answer:
    /// [`Answer::Observed`].
    Restore {
        /// Which entry.
        entry: EntryRef,
    },
    /// Copy the pair into the entry's guest. Answer: [`Answer::Done`].
    Deliver {
        /// Which entry.
        entry: EntryRef,
    },
    /// Run the command that these entries share, once. For a legacy `/tmp` delivery the delivery is part of it.
    /// Answer: [`Answer::Done`].
    Activate {
        /// Entries with the same command.
        entries: Vec<EntryRef>,
    },
    /// Look whether the guest still has what was delivered to its own place (`deliver` destinations). What it no
    /// longer has is taken out of the ledger. Answer: [`Answer::Observed`].
    Recheck {
        /// Which entry.
        entry: EntryRef,
    },
    /// Put the other of the two pairs that are kept on the live paths: the previous one, or after that the newer
    /// one again. What was delivered and run counts for nothing afterwards; while the previous pair is in place the
    /// ledger says which certificate was taken back. Refused when there is no such pair, or it is expired, damaged
    /// or foreign by now. Answer: [`Answer::Observed`].
    Rollback {
        /// Which entry.
        entry: EntryRef,
        /// Which of the two.
        #[serde(default)]
        to: RollbackTo,
    },
    /// Bring the entry's roots bundle, at `ca_path` and in our own copy, to what is pinned for the issuer of its present
    /// certificate. Nothing happens when it is that already; else what was delivered and run is to be done again.
    /// Answer: [`Answer::Observed`].
    InstallRoots {
        /// Which entry.
        entry: EntryRef,
    },
    /// Publish or withdraw the answer to an ACME challenge `dns-01` (RFC 8555 section 8.4) by the hook that the
    /// configuration names. The other kinds are answered by the daemon's own listener and need no executor. Answer:
    /// [`Answer::Done`].
    Challenge {
        /// Which entry.
        entry: EntryRef,
        /// Issuer that asks; must be one of the entry's.
        issuer: IssuerName,
        /// Publish or withdraw.
        step: ChallengeStep,
        /// One of the entry's DNS names, without `*.`.
        domain: String,
        /// Content of the record: the SHA-256 of the key authorization, 43 characters of base64url.
        value: String,
    },
    /// Run one of the entry's verifications of the kind `command`. Answer: [`Answer::Checked`].
    RunCheck {
        /// Which entry.
        entry: EntryRef,
        /// Its place in the entry's `verify`.
        check: usize,
    },
    /// The chain of the executor's own copy, which a handshake shows. Answer: [`Answer::Chain`].
    Chain {
        /// Which entry.
        entry: EntryRef,
    },
    /// Sign a TLS 1.3 client's CertificateVerify (RFC 8446 section 4.4.3) with the entry's key. Answer:
    /// [`Answer::Signed`].
    Sign {
        /// Which entry.
        entry: EntryRef,
        /// SHA-256 fingerprint of the leaf that the handshake shows.
        fingerprint: String,
        /// Signature scheme. It must fit the key.
        scheme: SignatureScheme,
        /// What is to be signed, in base64: 64 spaces, `TLS 1.3, client CertificateVerify`, a zero byte and the
        /// handshake's hash of 32 or 48 bytes. Nothing else is signed.
        message: String,
    },
    /// Hand over a root that was fetched by fingerprint. Answer: [`Answer::Issuers`].
    Trust {
        /// Issuer whose configured fingerprint the root must have.
        issuer: IssuerName,
        /// PEM of the root.
        root: String,
    },
}

/// What is done with the record of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeStep {
    /// Publish it.
    Present,
    /// Withdraw it.
    Remove,
}

impl ChallengeStep {
    /// The word that the hook gets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Remove => "remove",
        }
    }
}

/// Which of the two kept pairs a rollback puts in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackTo {
    /// The pair that was installed before the present one.
    #[default]
    Previous,
    /// The pair that an earlier rollback took back.
    Newer,
}

/// What a one-time token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum TokenPurpose {
    /// `POST /1.0/sign` for a staged key, in the name of the issuer's JWK provisioner: the client provisioner when
    /// there is one and the entry is a client.
    Sign {
        /// From [`Answer::Prepared`].
        stage: String,
        /// Key id of the provisioner's public key, as the CA lists it.
        kid: String,
        /// The provisioner's encrypted private key (JWE compact), as the CA lists it.
        encrypted_key: String,
    },
    /// `POST /1.0/sign` for a staged key, in the name of the issuer's X5C provisioner: the entry's present
    /// certificate vouches for its successor.
    X5c {
        /// From [`Answer::Prepared`].
        stage: String,
    },
    /// `POST /1.0/renew` with `Authorization: Bearer`: the present certificate again, its key included. Only for
    /// issuers that renew by certificate, because no password is configured for their provisioner.
    Renew,
    /// `POST /1.0/revoke` of a certificate of this entry whose pair is still kept.
    Revoke {
        /// Its serial number, in hexadecimal as in [`phoenix_core::facts::LeafFacts::serial`]. The CA wants it in
        /// decimal.
        serial: String,
        /// As for `sign`.
        kid: String,
        /// As for `sign`.
        encrypted_key: String,
    },
}

/// A signed token. Whoever has it can have what it is for, so it is never printed and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedToken(Zeroizing<String>);

impl SignedToken {
    /// A signed token in its compact form.
    pub fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    /// The compact form, to be sent to the CA.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedToken")
    }
}

/// An answer of the executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id.
    pub id: u64,
    /// How it went.
    pub result: Result<Answer, Trouble>,
    /// Programs that were run for it, in order, whether it went well or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
}

/// A program that was run: the audit trail of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub at: Timestamp,
    /// Command line.
    pub argv: Vec<String>,
    /// How it was confined: `strict`, `guest` or `plain`, and which measures were in force.
    pub profile: String,
    /// How long it ran, in milliseconds.
    pub milliseconds: u64,
    /// How it ended, for people: `exit code 0`, `signal 9`, `time limit`.
    pub ended: String,
    /// Exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// Processes that it left behind and that were ended.
    pub survivors_killed: u32,
    /// Excerpt of its standard output, without key material.
    pub stdout: String,
    /// Excerpt of its standard error, without key material.
    pub stderr: String,
}

/// Success. Each is under its own name, so that what is in it can be read as it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Operation::Hello`].
    Hello {
        /// The executor's [`VERSION`].
        version: u32,
        /// The executor's package version.
        package: String,
    },
    /// To [`Operation::Snapshot`].
    Snapshot(Box<Snapshot>),
    /// To [`Operation::Observe`] and to what changes or checks files.
    Observed(Box<Observation>),
    /// To [`Operation::Prepare`].
    Prepared {
        /// Names the staged key in later requests.
        stage: String,
        /// PEM.
        csr: String,
    },
    /// To [`Operation::Token`].
    Token {
        /// The one-time token. Good for a single request.
        token: SignedToken,
        /// In whose name it is (`iss`): a provisioner, or `step-ca-client/1.0` for a renewal.
        provisioner: String,
    },
    /// To [`Operation::Install`].
    Installed {
        /// Facts after the installation.
        observation: Box<Observation>,
        /// Legal but unexpected properties of the certificate, for people (a shorter lifetime than asked for).
        warnings: Vec<String>,
    },
    /// To [`Operation::Deliver`] and [`Operation::Activate`].
    Done {
        /// Facts of every entry afterwards, in the order of the request.
        observations: Vec<Observation>,
    },
    /// To [`Operation::RunCheck`].
    Checked {
        /// The command succeeded and said what was expected.
        passed: bool,
        /// What it showed, for people.
        message: String,
    },
    /// To [`Operation::Chain`].
    Chain {
        /// PEM: leaf, then intermediates.
        chain: String,
    },
    /// To [`Operation::Sign`].
    Signed {
        /// The signature, in base64.
        signature: String,
    },
    /// To [`Operation::Trust`].
    Issuers {
        /// Public facts of every issuer.
        issuers: Vec<IssuerFacts>,
    },
}

/// Which provisioner of a Step-CA serves an entry.
pub fn uses_client_provisioner(usage: Usage, has_client_provisioner: bool) -> bool {
    usage == Usage::Client && has_client_provisioner
}
