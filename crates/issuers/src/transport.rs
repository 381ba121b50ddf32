//! Why no answer came, in words.

use std::error::Error;
use std::fmt;
use std::io;

use phoenix_core::reason::{Reason, Trouble};
use rustls::CertificateError;

use crate::exchange::{MAX_BODY, NoReply};
use crate::tls::Distrust;

/// What was attempted, for the beginning of every sentence.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Name of the issuer in the configuration.
    pub(crate) issuer: String,
    /// `get a certificate for ...`
    pub(crate) what: String,
    /// Where.
    pub(crate) url: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Could not {} from issuer `{}` at {}", self.what, self.issuer, self.url)
    }
}

impl Attempt {
    /// The failure with its code; `why` says what went wrong and what to do.
    pub(crate) fn trouble(&self, reason: Reason, why: impl fmt::Display) -> Trouble {
        Trouble::new(reason, format!("{self}: {why}"))
    }

    /// The failure when no complete answer came.
    pub(crate) fn no_reply(&self, failure: &NoReply) -> Trouble {
        match failure {
            NoReply::Transport(error) => self.transport(error),
            NoReply::Cut(error) if error.is_timeout() => self.transport(error),
            NoReply::Cut(_) => self.trouble(
                Reason::CaAnswer,
                "the connection broke in the middle of the answer. The next attempt follows by itself; if it \
                 stays so, look at the CA's log and at anything between here and there.",
            ),
            NoReply::TooLarge => self.trouble(
                Reason::CaAnswer,
                format_args!(
                    "the answer is longer than {MAX_BODY} bytes, more than any CA sends. Check that `url` of \
                     issuer `{}` is a step-ca.",
                    self.issuer
                ),
            ),
        }
    }

    fn transport(&self, error: &reqwest::Error) -> Trouble {
        let causes = causes(error);
        if let Some(distrust) = causes.iter().find_map(|cause| distrust(*cause)) {
            return self.distrusted(distrust);
        }
        let (why, advice) = describe(error, &causes);
        self.trouble(
            Reason::CaUnreachable,
            format_args!("{why}. {advice} The next attempt follows by itself."),
        )
    }

    fn distrusted(&self, distrust: &Distrust) -> Trouble {
        use CertificateError as Cause;
        match &distrust.cause {
            Cause::NotValidForName | Cause::NotValidForNameContext { .. } => self.trouble(
                Reason::CaUnreachable,
                format_args!(
                    "{}. Use a name in `url` of issuer `{}` that the CA has in `dnsNames`, or add this one there \
                     and restart the CA.",
                    names(&distrust.cause),
                    self.issuer
                ),
            ),
            Cause::Expired
            | Cause::ExpiredContext { .. }
            | Cause::NotValidYet
            | Cause::NotValidYetContext { .. } => self.trouble(
                Reason::CaUnreachable,
                format_args!(
                    "the CA's own server certificate is not valid at this machine's time ({}). Compare the clocks \
                     of both machines; if they agree, restart the CA: it makes a new server certificate at \
                     every start.",
                    distrust.cause
                ),
            ),
            cause => self.trouble(
                Reason::WrongRoot,
                format_args!(
                    "its certificate does not lead to the pinned root ({cause}). Pinned: {}. Presented: {}. If the \
                     CA was set up anew, compare the fingerprints and accept the new root with `phoenix-certctl \
                     trust --accept FINGERPRINT`; if not, someone else is answering.",
                    distrust.pinned.join(", "),
                    presented(distrust)
                ),
            ),
        }
    }
}

fn names(cause: &CertificateError) -> String {
    match cause {
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the CA's server certificate is not for {} but for {}",
            expected.to_str(),
            if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") }
        ),
        _ => "the CA's server certificate is not for this host name".to_owned(),
    }
}

fn presented(distrust: &Distrust) -> String {
    match (&distrust.presented, &distrust.presented_issuer) {
        (Some(fingerprint), Some(issuer)) => format!("{fingerprint}, issued by `{issuer}`"),
        _ => "a certificate that cannot be read".to_owned(),
    }
}

/// The error and everything below it. An [`io::Error`] hides what it wraps from [`Error::source`].
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        causes.push(cause);
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => cause.source(),
        };
    }
    causes
}

fn distrust<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a Distrust> {
    match cause.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<Distrust>()
        }
        _ => None,
    }
}

/// What went wrong and what to do.
fn describe(error: &reqwest::Error, causes: &[&(dyn Error + 'static)]) -> (String, &'static str) {
    const CHECK_URL: &str = "Check that step-ca runs there and that the URL is right.";
    const CHECK_NETWORK: &str = "Check the network, the firewall and that step-ca runs there.";
    if causes.iter().any(|cause| cause.to_string() == "dns error") {
        let detail = causes.last().map(ToString::to_string).unwrap_or_default();
        return (
            format!("the host name cannot be resolved ({detail})"),
            "Check the name and the DNS server.",
        );
    }
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return (format!("no TLS connection could be made ({tls})"), CHECK_URL);
    }
    if error.is_timeout() {
        let phase = if error.is_connect() { "no connection within 5 s" } else { "no answer within 15 s" };
        return (phase.to_owned(), CHECK_NETWORK);
    }
    let kind = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => ("the connection was refused".to_owned(), CHECK_URL),
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            ("there is no route to the host".to_owned(), CHECK_NETWORK)
        }
        _ => {
            let detail = causes.last().map(ToString::to_string).unwrap_or_default();
            (format!("the connection failed ({detail})"), CHECK_NETWORK)
        }
    }
}
