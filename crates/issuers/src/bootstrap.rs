//! A root certificate by its fingerprint, before any root is known (`GET /root/{sha256}`).

use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_x509::Roots;
use serde::Deserialize;

use crate::exchange::{Exchange, Reply};
use crate::tls;
use crate::transport::Attempt;

/// Answer of `/root/{sha256}`.
#[derive(Deserialize)]
struct RootAnswer {
    ca: String,
}

/// Fetches the root with this SHA-256 fingerprint (hexadecimal; colons, dashes and upper case are tolerated) from
/// the Step-CA at `url` and returns its PEM.
///
/// The certificate of the server is not verified on this one connection, because nothing is known yet to verify
/// it with; the fingerprint of what comes back is compared instead, so a stranger can only be refused.
///
/// # Errors
/// [`Reason::CaUnreachable`], [`Reason::CaAnswer`] for an answer that is none, [`Reason::WrongRoot`] when the CA
/// does not have this root or sends another.
pub async fn fetch_root(issuer: &IssuerName, url: &str, fingerprint: &str) -> Result<String, Trouble> {
    let wanted = normalise(fingerprint);
    let url = format!("{}/root/{wanted}", url.trim_end_matches('/'));
    let attempt = Attempt { issuer: issuer.to_string(), what: "fetch the root certificate".to_owned(), url };
    let client = tls::credulous().map_err(|error| attempt.trouble(Reason::Internal, error))?;
    let reply = Exchange::new(client).get(&attempt.url).await.map_err(|error| attempt.no_reply(&error))?;
    accept(&attempt, &wanted, &reply)
}

fn normalise(fingerprint: &str) -> String {
    fingerprint.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase()
}

fn accept(attempt: &Attempt, wanted: &str, reply: &Reply) -> Result<String, Trouble> {
    match reply.status {
        200 => {}
        404 => {
            return Err(attempt.trouble(
                Reason::WrongRoot,
                format_args!(
                    "the CA has no root with fingerprint {wanted}. Compare `fingerprint` of the issuer with the \
                     output of `step certificate fingerprint root_ca.crt` on the CA."
                ),
            ));
        }
        status => {
            return Err(attempt.trouble(
                Reason::CaAnswer,
                format_args!("it answered with HTTP status {status}. Check that `url` is a step-ca."),
            ));
        }
    }
    let unreadable = |why: String| {
        let advice = "Check that `url` is a step-ca.";
        attempt.trouble(Reason::CaAnswer, format_args!("the answer cannot be understood ({why}). {advice}"))
    };
    let answer: RootAnswer = reply.json().map_err(|error| unreadable(error.to_string()))?;
    let roots = Roots::from_pem(&answer.ca).map_err(|error| unreadable(error.to_string()))?;
    if roots.fingerprints() == [wanted] {
        return Ok(roots.pem());
    }
    Err(attempt.trouble(
        Reason::WrongRoot,
        format_args!(
            "the CA sent a root with fingerprint {} instead of {wanted}. Do not trust it before you know why.",
            roots.fingerprints().join(", ")
        ),
    ))
}
