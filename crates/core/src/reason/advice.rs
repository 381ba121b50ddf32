//! What an operator does about each reason.

use super::Reason;

impl Reason {
    /// What to do about it, as one sentence without its full stop. `NAME` stands for the entry.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Missing | Self::Unreadable | Self::KeyMismatch => {
                "nothing, if a certificate is being requested; else see the failure that holds it up"
            }
            Self::NamesDiffer | Self::KeyType | Self::Eku => {
                "nothing, if the manifest says what you want: a fitting certificate is requested"
            }
            Self::Issuer => "check that the issuer's root is the right one; a new certificate is requested",
            Self::Expired => {
                "see the failure that kept it from being renewed, mend that, then `phoenix-certctl renew NAME`"
            }
            Self::NotYetValid => "check the clocks of this host and of the CA",
            Self::Due | Self::Forced => "nothing: a certificate is being requested",
            Self::Revoked => "nothing: another certificate is requested",
            Self::FileChanged | Self::OwnerDrift | Self::ModeDrift => {
                "find out who changed the files if it happens again; it is put right by itself"
            }
            Self::ForeignWriter => {
                "find the program that replaces the files (an old cron job, a restored backup, a synchronisation) and \
                 stop it, then `phoenix-certctl renew NAME`"
            }
            Self::DriftLoop => {
                "find what undoes the work (`phoenix-certctl history NAME`), then `phoenix-certctl renew NAME`"
            }
            Self::NotDelivered | Self::NotActivated | Self::NotVerified => "nothing: it is about to be done",
            Self::Held => "`phoenix-certctl sync NAME` when the certificate may be put to use",
            Self::ManifestError => "mend the manifest; `phoenix-certctl validate` shows the place",
            Self::Paused => "take `paused` out of the manifest when the entry is to be looked after again",
            Self::WindowClosed => "nothing, or `phoenix-certctl renew NAME` if it cannot wait for the window",
            Self::RestartBudget => "nothing, or `phoenix-certctl renew NAME` if it cannot wait",
            Self::Stale => "nothing: the manifest is fetched again",
            Self::UnknownEntry => "check that daemon and executor read the same configuration and manifest",
            Self::ExecutorGone => "look at `systemctl status phoenix-executor` and start it",
            Self::BadRequest => "install daemon and executor from the same release and restart both",
            Self::Internal => "look at `journalctl -u phoenix-certd -u phoenix-executor` and report it",
            Self::StorageAbsent => "mount the storage; it goes on by itself",
            Self::StorageHangs => {
                "see what the storage waits for (an NFS server, a failing disk); it goes on by itself"
            }
            Self::DiskFull => "free some space or raise the quota; it goes on by itself",
            Self::ReadOnly => "remount the file system writable; it goes on by itself",
            Self::IoError => "look at `dmesg` for failures of the disk; it goes on by itself",
            Self::PermissionDenied => "see who may write to the directory, and give the executor that right",
            Self::RootSquash => "export the file system with no_root_squash to this host, or write elsewhere",
            Self::MissingOwner => "create the user or group, or correct `owner` in the manifest",
            Self::Symlink => {
                "replace the symbolic link by a directory or file, or name the real path in the manifest"
            }
            Self::OutsideRoots => "name a path below a target root, or add the root to the configuration",
            Self::NotAFile => "move away what lies there",
            Self::IssuerNotReady => {
                "start the CA, or put its root and password file in place; it goes on by itself"
            }
            Self::CaUnreachable => "see whether the CA runs and can be reached; it goes on by itself",
            Self::CaError | Self::CaAnswer => "look at the log of the CA; it is asked again",
            Self::WrongRoot => {
                "check that the address leads to the right CA and that its root is the one configured"
            }
            Self::TrustChanged => "if the new root is genuine: `phoenix-certctl trust --accept FINGERPRINT`",
            Self::WrongPassword => "put the right provisioner password into the password file",
            Self::PasswordLocked => {
                "put the right password into the password file and wait for the time that is named"
            }
            Self::UnknownProvisioner => {
                "correct `provisioner` in the configuration, or add the provisioner to the CA"
            }
            Self::TokenRefused => "compare the clocks, the audience and the provisioner with the CA's",
            Self::DurationLimits => "correct `validity` in the manifest, or the limits of the provisioner",
            Self::CaForbids => "allow the names in the CA's policy, or correct them in the manifest",
            Self::CaRejects => "look at the log of the CA for the reason",
            Self::ClockDiffers => {
                "set the clocks of this host and of the CA right (`timedatectl`); it goes on by itself"
            }
            Self::EkuRefused => {
                "have the CA's template give the wanted usages only, or take `strict_eku` out of the manifest; then \
                 `phoenix-certctl renew NAME`"
            }
            Self::WrongAnswer => "look at the CA's templates: they change what was asked for",
            Self::GuestAbsent => {
                "create the guest or correct its number; it goes on by itself when it is there"
            }
            Self::GuestOff => "start the guest; it goes on by itself",
            Self::GuestLocked => "wait for the backup or migration to end; it goes on by itself",
            Self::AgentMissing => "start qemu-guest-agent in the virtual machine; it goes on by itself",
            Self::AgentBlocked => "allow guest-exec in the configuration of the guest agent",
            Self::CommandFailed | Self::CommandKilled => {
                "run the command by hand, mend what it complains about"
            }
            Self::CommandTimeout => {
                "run the command by hand to see what it waits for, or raise `command.timeout`"
            }
            Self::CommandNotStarted => "see whether the program is there and may be executed",
            Self::CommandRefused => {
                "add the program to `commands` in the configuration, and let none but root write it"
            }
            Self::DeliveryDiffers => "see whether the guest's disk is full, or who else writes there",
            Self::DeliveryReverted => {
                "nothing: it is delivered again; a guest that was restored has old files"
            }
            Self::LookPutOff => {
                "nothing: it is looked again; mend consumers that do not answer, or shorten `deadline`"
            }
            Self::Unreachable => "see whether the consumer runs and whether a firewall lies between",
            Self::ServesOther | Self::ServesExpired => {
                "see whether the command makes the consumer read its files again"
            }
            Self::ServesDefault => {
                "see whether the consumer has a certificate for this name, and finds its files"
            }
            Self::RefusesClient => "see which CA and names the consumer accepts",
            Self::DemandsClient => "name an entry as `client` in `verify`, so that the request can be made",
            Self::AcceptsAnyone => "make the consumer demand a client certificate",
            Self::WrongStatus => "see what the consumer answers, and whether `expect_status` is right",
            Self::CheckFailed => "run the verification command by hand",
            Self::RolledBack => {
                "see why the consumer did not use the new pair, then `phoenix-certctl sync NAME`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_meaning_and_an_advice_for_one_line() {
        for reason in Reason::ALL {
            for text in [reason.meaning(), reason.advice()] {
                assert!(!text.is_empty() && text.len() <= 160 && !text.contains('\n'), "{reason}: {text}");
            }
            assert!(!reason.advice().ends_with('.'), "{reason}");
        }
    }
}
