//! Requests and handshakes as an outsider makes them, with curl and openssl: programs that share no code with the
//! product.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::pki::Pair;

/// Seconds after which an answer is not waited for any more: longer than a service may be held for.
const LIMIT: &str = "60";

/// A request over TLS. The certificate of the peer is checked against the CA and the name.
#[derive(Clone, Debug)]
pub struct Ask {
    address: String,
    url: String,
    ca: PathBuf,
    pair: Option<Pair>,
    body: Option<&'static str>,
}

impl Ask {
    /// `GET https://HOST:PORT/PATH` at this address, whatever the name resolves to.
    pub fn at(address: &str, url: &str, ca: &Path) -> Self {
        Self {
            address: address.to_owned(),
            url: url.to_owned(),
            ca: ca.to_path_buf(),
            pair: None,
            body: None,
        }
    }

    /// Presenting this pair.
    pub fn with(mut self, pair: &Pair) -> Self {
        self.pair = Some(pair.clone());
        self
    }

    /// As a POST with this body, which nobody may send twice for us.
    pub fn sending(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks once.
    pub fn answer(&self) -> Result<Answer> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--write-out", "\n%{http_code}"]).args(self.arguments());
        let output = curl.arg(&self.url).stdin(Stdio::null()).output().context("cannot start curl")?;
        if !output.status.success() {
            return Ok(Answer::None(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').context("curl tells no status")?;
        Ok(Answer::Http(status.parse()?, body.to_owned()))
    }

    /// What curl has to be told besides the URL.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            ["--max-time", LIMIT, "--connect-to", &format!("::{}", self.address)].map(Into::into).into();
        words.extend(["--cacert".into(), self.ca.clone().into()]);
        if let Some(Pair { cert, key }) = &self.pair {
            words.extend(["--cert".into(), cert.into(), "--key".into(), key.into()]);
        }
        words.extend(self.body.iter().flat_map(|body| ["--data".into(), body.into()]));
        words
    }

    /// What is asked for.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The answer has this status.
    pub fn expect(&self, status: u16) -> Result<()> {
        let answer = self.answer()?;
        ensure!(matches!(&answer, Answer::Http(seen, _) if *seen == status), "{answer:?} to {self:?}");
        Ok(())
    }

    /// No byte of HTTP comes back.
    pub fn expect_refusal(&self) -> Result<()> {
        let answer = self.answer()?;
        ensure!(matches!(answer, Answer::None(_)), "{answer:?} to {self:?}");
        Ok(())
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// HTTP status and body.
    Http(u16, String),
    /// No HTTP, and curl's words for it: TLS 1.3 lets a refused client see several things.
    None(String),
}

/// What a TLS server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Serial number of the leaf, hexadecimal, as the tests have it of files.
    pub serial: String,
    /// Its subject, as OpenSSL words it.
    pub subject: String,
    /// End of its validity, seconds since 1970.
    pub not_after: i64,
}

/// The leaf that a server presents for this name, or without one; none when it shows none. Certificates of clients do
/// not matter: servers present theirs first.
pub fn shown(address: &str, name: Option<&str>) -> Option<Shown> {
    let script = r#"openssl s_client -connect "$1" $2 $3 </dev/null 2>/dev/null |
        openssl x509 -noout -serial -subject -enddate -dateopt iso_8601 2>/dev/null"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", address]);
    match name {
        Some(name) => shell.args(["-servername", name]),
        None => shell.arg("-noservername"),
    };
    let output = shell.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let value = |label: &str| text.lines().find_map(|line| line.strip_prefix(label));
    let date = value("notAfter=")?.replace(' ', "T");
    let seconds = Command::new("date").args(["--utc", "--date", &date, "+%s"]).output().ok()?;
    Some(Shown {
        serial: value("serial=")?.trim_start_matches('0').to_ascii_lowercase(),
        subject: value("subject=")?.to_owned(),
        not_after: String::from_utf8(seconds.stdout).ok()?.trim().parse().ok()?,
    })
}
