//! Provisioner passwords: read when needed, dropped after use.

use std::path::PathBuf;
use std::sync::Arc;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::settings::PasswordSource;
use zeroize::Zeroizing;

use super::guarded::{GuardedError, GuardedFile};
use super::patience::patiently;
use crate::authority::Stamp;

/// Longest password file.
const MAX_SIZE: u64 = 8 * 1024;

/// A password that is there but not read yet.
pub(crate) struct Password {
    file: Arc<GuardedFile>,
    path: PathBuf,
}

impl Password {
    /// Finds the password of an issuer.
    pub(crate) fn find(source: &PasswordSource) -> Result<Self, Trouble> {
        let path = locate(source)?;
        let wanted = path.clone();
        match patiently(&path, move || GuardedFile::open(&wanted)) {
            Ok(file) => Ok(Self { file: Arc::new(file), path }),
            Err(error) => Err(not_ready(&path, &error)),
        }
    }

    /// Version of the password: another one is worth another attempt.
    pub(crate) fn stamp(&self) -> &Stamp {
        self.file.stamp()
    }

    /// Where it lies, for messages.
    pub(crate) fn place(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// The password without the white space that ends its file, as step-ca reads it.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let file = Arc::clone(&self.file);
        let mut bytes = patiently(&self.path, move || file.read(MAX_SIZE))
            .map_err(|error| not_ready(&self.path, &error))?;
        let length = bytes.trim_ascii_end().len();
        bytes.truncate(length);
        if bytes.is_empty() {
            let message = format!("The provisioner password file `{}` is empty.", self.path.display());
            return Err(Trouble::new(Reason::IssuerNotReady, message));
        }
        Ok(bytes)
    }
}

fn locate(source: &PasswordSource) -> Result<PathBuf, Trouble> {
    match source {
        PasswordSource::File(path) => Ok(path.as_path().to_owned()),
        PasswordSource::Credential(name) => {
            let missing = |why: &str| {
                Trouble::new(
                    Reason::IssuerNotReady,
                    format!(
                        "The systemd credential `{name}` with the provisioner password cannot be used: {why}. Give \
                         it to phoenix-executor.service with LoadCredential= or LoadCredentialEncrypted=."
                    ),
                )
            };
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(missing("this is not the name of a credential"));
            }
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
                .ok_or_else(|| missing("the executor was started without credentials"))?;
            Ok(PathBuf::from(directory).join(name))
        }
    }
}

fn not_ready(path: &std::path::Path, error: &GuardedError) -> Trouble {
    Trouble::new(error.reason(), format!("The provisioner password file `{}` {error}.", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_source(path: &std::path::Path) -> PasswordSource {
        PasswordSource::File(path.display().to_string().parse().unwrap())
    }

    #[test]
    fn trailing_white_space_is_dropped_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        for (content, password) in [("secret\r\n", "secret"), (" a b \n\n", " a b"), ("x", "x")] {
            std::fs::write(&path, content).unwrap();
            let found = Password::find(&file_source(&path)).unwrap().read().unwrap();
            assert_eq!(&**found, password.as_bytes());
        }
    }

    #[test]
    fn what_is_no_password_makes_the_issuer_not_ready() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let trouble = Password::find(&file_source(&path)).err().unwrap();
        assert_eq!(trouble.reason, Reason::IssuerNotReady);
        assert!(trouble.message.contains("does not exist"), "{trouble}");
        for content in [Vec::new(), b" \n".to_vec(), vec![b'x'; 10_000]] {
            std::fs::write(&path, content).unwrap();
            let trouble = Password::find(&file_source(&path)).unwrap().read().unwrap_err();
            assert_eq!(trouble.reason, Reason::IssuerNotReady);
        }
    }

    #[test]
    fn a_credential_is_a_plain_name() {
        for name in ["../x", "", ".hidden", "a/b"] {
            let trouble = Password::find(&PasswordSource::Credential(name.into())).err().unwrap();
            assert!(trouble.message.contains("not the name"), "{trouble}");
        }
    }
}
