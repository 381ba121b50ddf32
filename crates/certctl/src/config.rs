//! What the command line takes from the daemon's configuration.

use std::io;
use std::path::{Path, PathBuf};

use phoenix_core::diagnostic::Diagnostics;
use phoenix_core::settings::Settings;

use crate::{Failure, files};

/// Where the configuration lies.
pub const DEFAULT_PATH: &str = "/etc/phoenix-certd/certd.toml";
/// Where the control socket lies when no configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/phoenix-certd/control.sock";
/// Largest configuration that is read.
pub const MAX_CONFIG: usize = 1024 * 1024;
/// Largest manifest that is read.
pub const MAX_MANIFEST: usize = 64 * 1024 * 1024;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; name it with --config", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is wrong.
    #[error("the configuration is wrong:\n{0}")]
    Wrong(Diagnostics),
}

impl ConfigError {
    /// There is no such file.
    fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Reads the configuration `path`.
///
/// # Errors
/// [`ConfigError`].
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let text =
        read_text(path, MAX_CONFIG).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Settings::parse(&text, &path.display().to_string()).map_err(ConfigError::Wrong)
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// As [`files::read`]; `InvalidData` for anything but UTF-8.
pub fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    let bytes = files::read(path, limit)?;
    let text = phoenix_core::diagnostic::text(&bytes);
    text.map(str::to_owned).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The control socket: `asked`, else the configuration's, else [`DEFAULT_SOCKET`], with a remark when the
/// configuration is there but could not tell.
pub fn socket(asked: Option<&Path>, config: &Result<Settings, ConfigError>) -> (PathBuf, Option<String>) {
    if let Some(path) = asked {
        return (path.to_owned(), None);
    }
    match config {
        Ok(settings) => (settings.control_socket.as_path().to_owned(), None),
        Err(error) if error.is_absent() => (DEFAULT_SOCKET.into(), None),
        Err(error) => {
            let remark = format!("{error}\nthe control socket is taken to be {DEFAULT_SOCKET}");
            (DEFAULT_SOCKET.into(), Some(remark))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: Option<&str>) -> Result<Settings, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certd.toml");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        load(&path)
    }

    const GOOD: &str = r#"
        control_socket = "/run/other/control.sock"
        [executor]
        target_roots = ["/mnt"]
        [[issuer]]
        name = "phoenix"
        type = "step-ca"
        url = "https://ca.internal:9000"
        root = "/mnt/root.crt"
        provisioner = "admin"
        password_file = "/mnt/password"
    "#;

    #[test]
    fn the_option_goes_before_the_configuration_and_that_before_the_default() {
        let asked = Path::new("/asked.sock");
        assert_eq!(socket(Some(asked), &at(None)), (asked.to_owned(), None));
        assert_eq!(socket(Some(asked), &at(Some("wrong"))), (asked.to_owned(), None));
        assert_eq!(socket(None, &at(Some(GOOD))), ("/run/other/control.sock".into(), None));
        assert_eq!(socket(None, &at(None)), (DEFAULT_SOCKET.into(), None));
    }

    #[test]
    fn a_configuration_that_cannot_tell_the_socket_is_remarked() {
        let (path, remark) = socket(None, &at(Some("wrong")));
        assert_eq!(path, Path::new(DEFAULT_SOCKET));
        let remark = remark.unwrap();
        assert!(remark.starts_with("the configuration is wrong:\n"), "{remark}");
        assert!(
            remark.ends_with("\nthe control socket is taken to be /run/phoenix-certd/control.sock"),
            "{remark}"
        );
    }
}
