//! Stable reason codes: why something is as it is, and whether trying again can help.

mod advice;

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a failure is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryClass {
    /// Network and unreachable peers: soon, then wider.
    Transport,
    /// The CA answered with a fault of its own.
    CaFault,
    /// Local files: full disk, I/O error.
    LocalIo,
    /// The command or the delivery failed.
    Command,
    /// Retrying cannot help until someone changes something; looked at again slowly all the same.
    Blocked,
    /// Something is absent that comes back by itself: no attempt is counted.
    Waiting,
}

impl RetryClass {
    /// How it is retried, in a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Transport => "after 2 s, then wider: network and unreachable peers",
            Self::CaFault => "after 5 s, then wider: the CA answered with a fault of its own",
            Self::LocalIo => "after 2 s, then wider: local files",
            Self::Command => "after 5 s, then wider: the command or the delivery failed",
            Self::Blocked => {
                "after a minute, then wider, although retrying cannot help until someone changes something"
            }
            Self::Waiting => {
                "every 10 s, without counting attempts: something is absent that comes back by itself"
            }
        }
    }

    /// All classes.
    pub const ALL: &[Self] =
        &[Self::Transport, Self::CaFault, Self::LocalIo, Self::Command, Self::Blocked, Self::Waiting];

    /// The word of the control API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::CaFault => "ca-fault",
            Self::LocalIo => "local-io",
            Self::Command => "command",
            Self::Blocked => "blocked",
            Self::Waiting => "waiting",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal, $class:ident;)*) => {
        /// Why an entry is as it is. The text form is part of the control API: never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Stable machine-readable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim(),)* }
            }

            /// How a failure for this reason is retried.
            pub const fn class(self) -> RetryClass {
                match self { $(Self::$variant => RetryClass::$class,)* }
            }
        }
    };
}

reasons! {
    // --- why a new certificate is wanted
    /// There is no certificate or key file and no copy of our own.
    Missing = "missing", Transport;
    /// A file is there but cannot be read as what it should be.
    Unreadable = "unreadable", Transport;
    /// Key and certificate do not belong together.
    KeyMismatch = "key-mismatch", Transport;
    /// CN or SANs differ from the manifest.
    NamesDiffer = "names-differ", Transport;
    /// Another type of key than the manifest asks for.
    KeyType = "key-type", Transport;
    /// The chain does not lead to a root of the entry's issuers.
    Issuer = "issuer", Transport;
    /// The wanted extended key usage is missing, or an unwanted one present with `strict_eku`.
    Eku = "eku", Transport;
    /// Past notAfter.
    Expired = "expired", Transport;
    /// Before notBefore.
    NotYetValid = "not-yet-valid", Transport;
    /// The renewal time has come.
    Due = "due", Transport;
    /// An operator asked for it.
    Forced = "forced", Transport;
    /// Revoked by us.
    Revoked = "revoked", Transport;
    // --- drift, healed from our own copy
    /// The live pair is not the one that was installed.
    FileChanged = "file-changed", LocalIo;
    /// Owner of a live file differs.
    OwnerDrift = "owner-drift", LocalIo;
    /// Mode of a live file differs.
    ModeDrift = "mode-drift", LocalIo;
    /// Another program keeps replacing the pair.
    ForeignWriter = "foreign-writer", Blocked;
    /// Too many issuances within one lifetime.
    DriftLoop = "drift-loop", Blocked;
    // --- deployment
    /// Not yet copied into the guest.
    NotDelivered = "not-delivered", Command;
    /// The command has not yet succeeded for this certificate.
    NotActivated = "not-activated", Command;
    /// Not yet seen at the consumer.
    NotVerified = "not-verified", Command;
    /// Held by `--generate-only` or `sync --until written`.
    Held = "held", Waiting;
    /// The manifest has the entry or this stage of it wrong.
    ManifestError = "manifest-error", Blocked;
    /// Paused in the manifest.
    Paused = "paused", Waiting;
    /// The maintenance window is closed.
    WindowClosed = "window-closed", Waiting;
    /// The restart budget (`min_interval`) is used up.
    RestartBudget = "restart-budget", Waiting;
    // --- the executor and the manifest
    /// The manifest changed between decision and deed.
    Stale = "stale", Transport;
    /// The executor knows no such entry.
    UnknownEntry = "unknown-entry", Blocked;
    /// The executor cannot be reached.
    ExecutorGone = "executor-gone", Transport;
    /// The executor refused a request as malformed or not permitted.
    BadRequest = "bad-request", Blocked;
    /// Something inside failed that should not.
    Internal = "internal", LocalIo;
    // --- storage
    /// The target root is missing or no longer a mount point.
    StorageAbsent = "storage-absent", Blocked;
    /// The file system does not answer.
    StorageHangs = "storage-hangs", LocalIo;
    /// No space or quota left.
    DiskFull = "disk-full", LocalIo;
    /// The file system is mounted read-only.
    ReadOnly = "read-only", LocalIo;
    /// Another I/O error.
    IoError = "io-error", LocalIo;
    /// Permission denied while writing.
    PermissionDenied = "permission-denied", Blocked;
    /// The server refuses to change the owner (NFS root squash).
    RootSquash = "root-squash", Blocked;
    /// Owner or group does not exist.
    MissingOwner = "missing-owner", Blocked;
    /// A symlink on the way to the file, or the file itself is one.
    Symlink = "symlink", Blocked;
    /// The path is outside every target root.
    OutsideRoots = "outside-roots", Blocked;
    /// A directory or special file where the pair belongs.
    NotAFile = "not-a-file", Blocked;
    // --- the issuer
    /// Root or password file missing, or the CA has never answered.
    IssuerNotReady = "issuer-not-ready", Waiting;
    /// The CA cannot be reached.
    CaUnreachable = "ca-unreachable", Transport;
    /// The CA answered with a server error.
    CaError = "ca-error", CaFault;
    /// The CA's answer cannot be understood.
    CaAnswer = "ca-answer", CaFault;
    /// The CA's certificate does not lead to the pinned root.
    WrongRoot = "wrong-root", Blocked;
    /// The root file changed since it was first accepted.
    TrustChanged = "trust-changed", Blocked;
    /// The provisioner password does not open the provisioner key.
    WrongPassword = "wrong-password", Blocked;
    /// Too many failed decryptions of the provisioner key.
    PasswordLocked = "password-locked", Blocked;
    /// The CA has no such provisioner.
    UnknownProvisioner = "unknown-provisioner", Blocked;
    /// The CA refused the one-time token.
    TokenRefused = "token-refused", Blocked;
    /// The requested duration is outside the CA's limits.
    DurationLimits = "duration-limits", Blocked;
    /// The CA forbids the request (names, policy, key).
    CaForbids = "ca-forbids", Blocked;
    /// The CA does not understand the request.
    CaRejects = "ca-rejects", Blocked;
    /// The issued certificate is not what was asked for.
    WrongAnswer = "wrong-answer", CaFault;
    /// The issued certificate has further extended key usages, which `strict_eku` forbids.
    EkuRefused = "eku-refused", Blocked;
    /// The issued certificate is not valid at this host's time: the clocks of host and CA differ.
    ClockDiffers = "clock-differs", CaFault;
    // --- guests and commands
    /// The guest does not exist on this node.
    GuestAbsent = "guest-absent", Waiting;
    /// The guest is not running.
    GuestOff = "guest-off", Waiting;
    /// The guest is locked (backup, migration).
    GuestLocked = "guest-locked", Waiting;
    /// The guest agent does not answer.
    AgentMissing = "agent-missing", Transport;
    /// The guest agent forbids the command.
    AgentBlocked = "agent-blocked", Blocked;
    /// The command ended with a non-zero exit code.
    CommandFailed = "command-failed", Command;
    /// The command was killed by a signal.
    CommandKilled = "command-killed", Command;
    /// The command exceeded its time limit.
    CommandTimeout = "command-timeout", Command;
    /// The command could not be started.
    CommandNotStarted = "command-not-started", Command;
    /// The program is not on the allow-list or can be written by others.
    CommandRefused = "command-refused", Blocked;
    /// What arrived in the guest is not what was sent.
    DeliveryDiffers = "delivery-differs", Command;
    /// The guest no longer has what was delivered.
    DeliveryReverted = "delivery-reverted", Command;
    // --- verification
    /// The look at the consumer had no turn, or was ended so that the renewal is not held up: nothing is proven.
    LookPutOff = "look-put-off", Transport;
    /// The consumer cannot be reached, before the change neither.
    Unreachable = "unreachable", Transport;
    /// The consumer serves another certificate.
    ServesOther = "serves-other", Command;
    /// The consumer serves a certificate that has expired.
    ServesExpired = "serves-expired", Command;
    /// The consumer serves a certificate that it made itself, because it has none for this name.
    ServesDefault = "serves-default", Command;
    /// The consumer refuses the client certificate.
    RefusesClient = "refuses-client", Command;
    /// The consumer demands a client certificate, and none is configured for the look.
    DemandsClient = "demands-client", Blocked;
    /// The consumer lets in clients without a certificate.
    AcceptsAnyone = "accepts-anyone", Command;
    /// The consumer's HTTP answer has another status than expected.
    WrongStatus = "wrong-status", Command;
    /// The verification command failed or did not say what was expected.
    CheckFailed = "check-failed", Command;
    /// The new pair was not seen at the consumer; the previous one is in place.
    RolledBack = "rolled-back", Waiting;
}

impl Reason {
    /// A certificate that an issuer gave was refused before anything was written: the issuer is at fault, or what is
    /// wanted of it.
    pub const fn refuses_the_answer(self) -> bool {
        matches!(self, Self::ClockDiffers | Self::WrongAnswer | Self::EkuRefused)
    }

    /// A certificate that an issuer gave was refused for something else although it is valid at this host's time.
    pub const fn shows_that_clocks_agree(self) -> bool {
        // A wrong answer may be wrong in its time too.
        matches!(self, Self::EkuRefused)
    }

    /// What lies on the paths cannot be seen: they, or the storage that they are on, are at fault.
    pub const fn hides_the_files(self) -> bool {
        matches!(
            self,
            Self::StorageAbsent | Self::StorageHangs | Self::Symlink | Self::OutsideRoots | Self::NotAFile
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A failure in words: what was attempted, on what, what went wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// Stable code.
    pub reason: Reason,
    /// A sentence or two for the operator. Never contains key material or tokens.
    pub message: String,
}

impl Trouble {
    /// A failure with its code.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The message, closed so that another sentence may follow.
    pub fn sentence(&self) -> String {
        let message = self.message.trim_end();
        let closed = message.ends_with(['.', '?', '!']);
        format!("{message}{}", if closed { "" } else { "." })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_survive_json() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.code()));
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), *reason);
        }
    }
}
