//! Decrypted provisioner keys, kept in memory so that the password is needed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::{PasswordSource, ProvisionerSettings};
use phoenix_core::time::Timestamp;
use phoenix_jose::{JoseError, MAX_INPUT, ProvisionerKey};

use super::attempts::{Attempts, Verdict};
use crate::anchors::password::Password;
use crate::authority::Stamp;

/// A key and the version of the password that opened it.
struct Unlocked {
    encrypted: [u8; 32],
    stamp: Stamp,
    key: Arc<ProvisionerKey>,
}

/// What belongs to one password.
#[derive(Default)]
struct Door {
    /// By issuer and provisioner: the last key that was opened.
    keys: HashMap<(IssuerName, String), Unlocked>,
    attempts: Attempts,
}

/// Opened provisioner keys, by the password that opens them.
#[derive(Default)]
pub(crate) struct Keyring(Mutex<HashMap<String, Arc<Mutex<Door>>>>);

impl Keyring {
    /// Opens the encrypted key of a provisioner with the provisioner's password.
    ///
    /// Decryption is slow by design, and the storage of a password may hang. Meanwhile only this password is held:
    /// several requests for it pay for it once, and one failure after the other is counted. Requests for it wait in
    /// their queue rather than here, since they have [`password_of`] as a key.
    pub(crate) fn unlock(
        &self,
        issuer: &IssuerName,
        provisioner: &ProvisionerSettings,
        encrypted_key: &str,
        now: Timestamp,
    ) -> Result<Arc<ProvisionerKey>, Trouble> {
        let source = provisioner.password.as_ref().ok_or_else(|| no_password(issuer, provisioner))?;
        if encrypted_key.len() > MAX_INPUT {
            return Err(Trouble::new(Reason::BadRequest, "The encrypted provisioner key is too long."));
        }
        let door = self.door(source);
        let mut door = door.lock().unwrap_or_else(PoisonError::into_inner);
        let password = Password::find(source)?;
        let slot = (issuer.clone(), provisioner.name.clone());
        let encrypted = sha256(encrypted_key.as_bytes());
        if let Some(known) = door.keys.get(&slot)
            && known.encrypted == encrypted
            && known.stamp == *password.stamp()
        {
            return Ok(Arc::clone(&known.key));
        }
        let key = Arc::new(open(&mut door.attempts, provisioner, &password, encrypted_key, now)?);
        let unlocked = Unlocked { encrypted, stamp: password.stamp().clone(), key: Arc::clone(&key) };
        door.keys.insert(slot, unlocked);
        Ok(key)
    }

    fn door(&self, source: &PasswordSource) -> Arc<Mutex<Door>> {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(password_of(source)).or_default())
    }
}

/// What tells one password from another.
pub(crate) fn password_of(source: &PasswordSource) -> String {
    match source {
        PasswordSource::File(path) => path.to_string(),
        PasswordSource::Credential(name) => format!("credential {name}"),
    }
}

fn open(
    attempts: &mut Attempts,
    provisioner: &ProvisionerSettings,
    password: &Password,
    encrypted_key: &str,
    now: Timestamp,
) -> Result<ProvisionerKey, Trouble> {
    let place = password.place().to_string();
    let digest = sha256(encrypted_key.as_bytes());
    match attempts.judge(password.stamp(), &digest, now) {
        Verdict::Try => {}
        Verdict::KnownBad => return Err(wrong_password(provisioner, &place)),
        Verdict::Locked(wait) => return Err(locked(provisioner, &place, wait.as_secs())),
    }
    let secret = password.read()?;
    ProvisionerKey::decrypt(encrypted_key, &secret).map_err(|error| match error {
        JoseError::WrongPassword => {
            attempts.failed(password.stamp(), digest, now);
            wrong_password(provisioner, &place)
        }
        // Found out with the password, so it tells about the password too: it counts.
        JoseError::Damaged | JoseError::BadKey(_) => {
            attempts.failed(password.stamp(), digest, now);
            unusable(provisioner, &error)
        }
        other => unusable(provisioner, &other),
    })
}

fn no_password(issuer: &IssuerName, provisioner: &ProvisionerSettings) -> Trouble {
    Trouble::new(
        Reason::IssuerNotReady,
        format!(
            "No password is configured for provisioner `{}` of issuer `{issuer}`: set `password_file` or \
             `credential`.",
            provisioner.name
        ),
    )
}

fn wrong_password(provisioner: &ProvisionerSettings, place: &str) -> Trouble {
    Trouble::new(
        Reason::WrongPassword,
        format!(
            "The password in `{place}` does not open the key of provisioner `{}`: check that it belongs to this \
             provisioner. It is tried again when the file changes.",
            provisioner.name
        ),
    )
}

fn locked(provisioner: &ProvisionerSettings, place: &str, seconds: u64) -> Trouble {
    Trouble::new(
        Reason::PasswordLocked,
        format!(
            "Too many keys were offered for provisioner `{}` that the password in `{place}` does not open. It is \
             tried again in {seconds} seconds, or when the file changes.",
            provisioner.name
        ),
    )
}

fn unusable(provisioner: &ProvisionerSettings, error: &JoseError) -> Trouble {
    Trouble::new(
        Reason::UnknownProvisioner,
        format!("The encrypted key of provisioner `{}` cannot be used: {error}.", provisioner.name),
    )
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    array
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use phoenix_core::settings::{IssuerKind, ProvisionerSettings};

    use super::*;
    use crate::samples;

    fn provisioner(dir: &Path) -> ProvisionerSettings {
        match samples::settings(dir).issuers[0].kind.clone() {
            IssuerKind::StepCa(settings) => settings.provisioner,
            IssuerKind::Acme(_) => panic!("the sample is a Step-CA"),
        }
    }

    fn encrypted(password: &str) -> String {
        ProvisionerKey::generate_p256().unwrap().encrypt(password.as_bytes(), 100_000).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_000_000 + seconds)
    }

    #[test]
    fn a_password_is_used_once_and_a_guesser_gets_few_answers() {
        let dir = tempfile::tempdir().unwrap();
        let (issuer, provisioner) = ("phoenix".parse().unwrap(), provisioner(dir.path()));
        let keyring = Keyring::default();
        let unlock = |key: &str, now| keyring.unlock(&issuer, &provisioner, key, now).map(|_| ());
        let reason = |key: &str, now| unlock(key, now).unwrap_err().reason;

        let real = encrypted("secret");
        assert_eq!(reason(&real, at(0)), Reason::IssuerNotReady);
        fs::write(dir.path().join("password"), "wrong\n").unwrap();
        assert_eq!(reason(&real, at(0)), Reason::WrongPassword);
        assert_eq!(reason(&real, at(0)), Reason::WrongPassword);
        fs::write(dir.path().join("password"), "secret\n").unwrap();
        unlock(&real, at(1)).unwrap();

        let guesses: Vec<String> = (0..4).map(|number| encrypted(&format!("guess {number}"))).collect();
        for guess in &guesses[..3] {
            assert_eq!(reason(guess, at(2)), Reason::WrongPassword);
        }
        assert_eq!(reason(&guesses[3], at(2)), Reason::PasswordLocked);
        unlock(&real, at(2)).unwrap();
        assert_eq!(reason(&guesses[0], at(400)), Reason::WrongPassword);
        assert_eq!(reason(&guesses[3], at(400)), Reason::WrongPassword);
    }

    #[test]
    fn garbage_and_weak_keys_are_refused_without_the_password() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("password"), "secret").unwrap();
        let (issuer, provisioner) = ("phoenix".parse().unwrap(), provisioner(dir.path()));
        let keyring = Keyring::default();
        let weak = ProvisionerKey::generate_p256().unwrap().encrypt(b"secret", 1000);
        let long = "x".repeat(MAX_INPUT + 1);
        for key in ["", "a.b.c.d.e", &long].into_iter().chain(weak.as_deref().ok()) {
            for _ in 0..5 {
                let trouble = keyring.unlock(&issuer, &provisioner, key, at(0)).err().unwrap();
                assert!(
                    matches!(trouble.reason, Reason::UnknownProvisioner | Reason::BadRequest),
                    "{trouble:?}"
                );
            }
        }
    }
}
