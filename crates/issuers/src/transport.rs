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
        write!(f, "Could not {} (issuer `{}`, {})", self.what, self.issuer, self.url)
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
        let (why, advice) = describe(late(error), &causes);
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

const CHECK_URL: &str = "Check that step-ca runs there and that the URL is right.";
const CHECK_NETWORK: &str = "Check the network, the firewall and that step-ca runs there.";
const CHECK_LOG: &str = "Look at the CA's log.";

/// What went wrong and what to do. `late` names the limit that was exceeded, if one was.
fn describe(late: Option<&str>, causes: &[&(dyn Error + 'static)]) -> (String, &'static str) {
    let detail = causes.last().map(ToString::to_string).unwrap_or_default();
    // hyper-util has no type for it.
    if causes.iter().any(|cause| cause.to_string() == "dns error") {
        return (
            format!("the host name cannot be resolved ({detail})"),
            "Check the name and the DNS server.",
        );
    }
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return (format!("no TLS connection could be made ({tls})"), CHECK_URL);
    }
    if let Some(limit) = late {
        return (limit.to_owned(), CHECK_NETWORK);
    }
    match causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => ("the connection was refused".to_owned(), CHECK_URL),
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            ("there is no route to the host".to_owned(), CHECK_NETWORK)
        }
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            ("the connection was closed without an answer".to_owned(), CHECK_LOG)
        }
        _ => (format!("the connection failed ({detail})"), CHECK_NETWORK),
    }
}

/// The limit of time that was exceeded.
fn late(error: &reqwest::Error) -> Option<&'static str> {
    let limit = if error.is_connect() { "no connection within 5 s" } else { "no answer within 15 s" };
    error.is_timeout().then_some(limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An error with this text above another.
    #[derive(Debug)]
    struct Layer(&'static str, Box<dyn Error>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.1)
        }
    }

    fn attempt() -> Attempt {
        Attempt { issuer: "phoenix".into(), what: "do it".into(), url: "https://ca".into() }
    }

    fn distrusting(cause: CertificateError) -> Distrust {
        Distrust {
            cause,
            pinned: vec!["aa".into(), "bb".into()],
            presented_issuer: Some("CN=Other".into()),
            presented: Some("cc".into()),
        }
    }

    #[test]
    fn every_way_to_get_no_answer_has_its_words() {
        let io = |kind: io::ErrorKind| Box::new(io::Error::from(kind)) as Box<dyn Error>;
        for (late, cause, words) in [
            (None, io(io::ErrorKind::ConnectionRefused), "the connection was refused"),
            (None, io(io::ErrorKind::HostUnreachable), "there is no route to the host"),
            (None, io(io::ErrorKind::NetworkUnreachable), "there is no route to the host"),
            (None, io(io::ErrorKind::ConnectionReset), "the connection was closed without an answer"),
            (None, io(io::ErrorKind::UnexpectedEof), "the connection was closed without an answer"),
            (Some("no answer within 15 s"), io(io::ErrorKind::TimedOut), "no answer within 15 s"),
            (
                None,
                Box::new(Layer("dns error", Box::new(io::Error::other("unknown name")))),
                "the host name cannot be resolved (unknown name)",
            ),
            (
                None,
                Box::new(io::Error::other(rustls::Error::HandshakeNotComplete)),
                "no TLS connection could be made (handshake not complete)",
            ),
            (
                None,
                Box::new(Layer("odd", Box::new(io::Error::other("very odd")))),
                "the connection failed (very odd)",
            ),
        ] {
            let error = Layer("error sending request", cause);
            assert_eq!(describe(late, &causes(&error)).0, words);
        }
    }

    #[test]
    fn what_an_io_error_wraps_is_found() {
        let inner = distrusting(CertificateError::UnknownIssuer);
        let tls = rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(
            std::sync::Arc::new(inner),
        )));
        let error = Layer("error sending request", Box::new(io::Error::new(io::ErrorKind::InvalidData, tls)));
        let causes = causes(&error);
        let found = causes.iter().find_map(|cause| distrust(*cause)).unwrap();
        assert_eq!(found.cause, CertificateError::UnknownIssuer);
    }

    #[test]
    fn a_server_certificate_that_is_not_believed_has_its_reason() {
        use rustls_pki_types::UnixTime;
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for (cause, reason, part) in [
            (
                CertificateError::UnknownIssuer,
                Reason::WrongRoot,
                "Pinned: aa, bb. Presented: cc, issued by `CN=Other`.",
            ),
            (CertificateError::BadSignature, Reason::WrongRoot, "Pinned: aa, bb."),
            (CertificateError::Expired, Reason::CaUnreachable, "Compare the clocks"),
            (
                CertificateError::NotValidYetContext { time: at(1), not_before: at(2) },
                Reason::CaUnreachable,
                "Compare the clocks",
            ),
            (CertificateError::NotValidForName, Reason::CaUnreachable, "not for this host name"),
        ] {
            let trouble = attempt().distrusted(&distrusting(cause));
            assert_eq!(trouble.reason, reason);
            assert!(trouble.message.contains(part), "{trouble}");
        }
    }
}
