//! Names and paths that are valid by construction.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Short unique name of a manifest entry: `[a-z0-9][a-z0-9._-]{0,63}`. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CertName(Arc<str>);

/// Why a text is not a [`CertName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or digit")]
pub struct BadName(String);

impl CertName {
    /// Longest name in bytes.
    pub const MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CertName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let good = bytes.first().is_some_and(|c| plain(*c))
            && bytes.len() <= Self::MAX
            && bytes.iter().all(|c| plain(*c) || matches!(c, b'.' | b'_' | b'-'));
        if good { Ok(Self(text.into())) } else { Err(BadName(text.to_owned())) }
    }
}

impl TryFrom<String> for CertName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<CertName> for String {
    fn from(name: CertName) -> Self {
        name.as_str().to_owned()
    }
}

impl Serialize for CertName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of an `[[issuer]]` of the configuration. Same alphabet as [`CertName`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IssuerName(CertName);

impl IssuerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for IssuerName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        text.parse().map(Self)
    }
}

impl fmt::Display for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An absolute path without `.`, `..`, doubled or trailing slashes, and without NUL. Clones share the text: an entry is
/// known by its key path in many places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct AbsolutePath(Arc<str>);

/// Why a text is not an [`AbsolutePath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// The path does not begin with a slash.
    #[error("`{0}` is not absolute: begin it with `/`")]
    Relative(String),
    /// `.` or `..` inside the path.
    #[error("`{0}` contains `.` or `..`: write the path as it really is")]
    Dotted(String),
    /// A NUL or another control character.
    #[error("the path contains a control character")]
    Control,
    /// More than the kernel takes.
    #[error(
        "the path is too long: a name has at most {} bytes, a path {}",
        AbsolutePath::MAX_NAME,
        AbsolutePath::MAX
    )]
    TooLong,
    /// The path is `/` itself or ends in a slash.
    #[error("`{0}` names a directory: name the file")]
    Directory(String),
}

impl AbsolutePath {
    /// Longest path in bytes (`PATH_MAX` without its final NUL, limits.h(0p)).
    pub const MAX: usize = 4095;
    /// Longest component in bytes (`NAME_MAX`).
    pub const MAX_NAME: usize = 255;

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the file system.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_str())
    }

    /// The directory that holds the file.
    pub fn parent(&self) -> PathBuf {
        self.as_path().parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The file called `name` beside this one.
    pub fn sibling(&self, name: &str) -> Result<Self, BadPath> {
        format!("{}/{name}", self.parent().display().to_string().trim_end_matches('/')).parse()
    }
}

impl FromStr for AbsolutePath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        if text.chars().any(char::is_control) {
            return Err(BadPath::Control);
        }
        if !text.starts_with('/') {
            return Err(BadPath::Relative(text.to_owned()));
        }
        if text.split('/').any(|part| part == "." || part == "..") {
            return Err(BadPath::Dotted(text.to_owned()));
        }
        if text.len() > Self::MAX || text.split('/').any(|part| part.len() > Self::MAX_NAME) {
            return Err(BadPath::TooLong);
        }
        if text.ends_with('/') {
            return Err(BadPath::Directory(text.to_owned()));
        }
        let parts: Vec<&str> = Path::new(text)
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        Ok(Self(format!("/{}", parts.join("/")).into()))
    }
}

impl TryFrom<String> for AbsolutePath {
    type Error = BadPath;

    fn try_from(text: String) -> Result<Self, BadPath> {
        text.parse()
    }
}

impl From<AbsolutePath> for String {
    fn from(path: AbsolutePath) -> Self {
        path.as_str().to_owned()
    }
}

impl Serialize for AbsolutePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_alphabet() {
        for good in ["a", "traefik-client", "0.b_c-d", &"a".repeat(64)] {
            assert_eq!(good.parse::<CertName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "A", "a b", "é", &"a".repeat(65)] {
            assert_eq!(bad.parse::<CertName>(), Err(BadName(bad.to_owned())));
        }
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        assert_eq!("/a//b/c.pem".parse::<AbsolutePath>().unwrap().as_str(), "/a/b/c.pem");
        assert!(matches!("a/b".parse::<AbsolutePath>(), Err(BadPath::Relative(_))));
        assert!(matches!("/a/../b".parse::<AbsolutePath>(), Err(BadPath::Dotted(_))));
        assert!(matches!("/a/b/".parse::<AbsolutePath>(), Err(BadPath::Directory(_))));
        assert!(matches!("/".parse::<AbsolutePath>(), Err(BadPath::Directory(_))));
        assert!(matches!("/a\0b".parse::<AbsolutePath>(), Err(BadPath::Control)));
        for (long, good) in [
            (format!("/{}", "a".repeat(255)), true),
            (format!("/{}", "a".repeat(256)), false),
            (format!("{}/a", "/abc".repeat(1023)), true),
            (format!("{}/ab", "/abc".repeat(1023)), true),
            (format!("{}/abc", "/abc".repeat(1023)), false),
        ] {
            assert_eq!(long.parse::<AbsolutePath>().is_ok(), good, "{} bytes", long.len());
        }
    }

    #[test]
    fn siblings_stay_in_the_directory() {
        let path: AbsolutePath = "/a/cert.pem".parse().unwrap();
        assert_eq!(path.sibling("ca.pem").unwrap().as_str(), "/a/ca.pem");
        assert!(path.sibling("../x").is_err());
    }
}
