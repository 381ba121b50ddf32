//! What Step-CA's refusals mean, in words.
//!
//! 400 and 403 carry the real reason; 401, 404 and 5xx only a generic text, with the truth in the CA's log.

use phoenix_core::reason::{Reason, Trouble};

use super::wire::ErrorBody;
use crate::clock;
use crate::exchange::Reply;
use crate::transport::Attempt;

/// Longest text of the CA that is passed on.
const MAX_TEXT: usize = 500;
const LOG_HINT: &str = "Please see the certificate authority logs for more info.";

/// A request for a certificate was answered with anything but a certificate.
pub(super) fn of_signing(attempt: &Attempt, reply: &Reply) -> Trouble {
    let said = said(reply);
    match reply.status {
        403 => forbidden(attempt, &said),
        400 => attempt.trouble(
            Reason::CaRejects,
            format_args!(
                "the CA does not accept the request (HTTP 400): {said}. Compare the entry with the CA's \
                 configuration and templates; repeating the request does not help."
            ),
        ),
        404 | 405 => no_step_ca(attempt, reply.status),
        500.. => broken(attempt, reply, &said),
        status => unexpected(attempt, status, &said),
    }
}

/// A token was refused twice. The CA never says why, so all that is possible is listed.
pub(super) fn of_token(attempt: &Attempt, reply: &Reply, audience: &str, skew: Option<i64>) -> Trouble {
    let said = said(reply);
    attempt.trouble(
        Reason::TokenRefused,
        format_args!(
            "the CA refused two fresh one-time tokens (HTTP 401: {said}). It does not say why. Possible causes: \
             the audience {audience} names no host of the CA's `dnsNames` (set `audience` of the issuer); the \
             provisioner's key was exchanged and the one listed is not the one in use (restart the CA); the clocks \
             differ too much ({}; the CA tolerates 60 s); the CA was restarted or reloaded after the token was \
             made; the token was used already. The CA's log names the true one{}.",
            clock::describe(skew),
            log_reference(reply)
        ),
    )
}

/// A plain `GET` failed.
pub(super) fn of_reading(attempt: &Attempt, reply: &Reply) -> Trouble {
    let said = said(reply);
    match reply.status {
        404 | 405 => no_step_ca(attempt, reply.status),
        500.. => broken(attempt, reply, &said),
        status => unexpected(attempt, status, &said),
    }
}

fn forbidden(attempt: &Attempt, said: &str) -> Trouble {
    if let Some(limit) = DurationLimit::find(said) {
        return attempt.trouble(
            Reason::DurationLimits,
            format_args!(
                "the CA forbids this lifetime: it counts {}, and {} {} is allowed (its backdating included). Set \
                 `validity` of the entry to fit, or change the limit of the provisioner.",
                limit.asked, limit.direction, limit.allowed
            ),
        );
    }
    attempt.trouble(
        Reason::CaForbids,
        format_args!(
            "the CA forbids it (HTTP 403): {said}. Correct the names or the key type of the entry, or the policy \
             of the CA; repeating the request does not help."
        ),
    )
}

fn broken(attempt: &Attempt, reply: &Reply, said: &str) -> Trouble {
    attempt.trouble(
        Reason::CaError,
        format_args!(
            "the CA failed (HTTP {}: {said}). Its log names the cause{}. The next attempt follows by itself.",
            reply.status,
            log_reference(reply)
        ),
    )
}

fn no_step_ca(attempt: &Attempt, status: u16) -> Trouble {
    attempt.trouble(
        Reason::CaAnswer,
        format_args!(
            "there is no such service (HTTP {status}). Check that `url` of the issuer is a step-ca."
        ),
    )
}

fn unexpected(attempt: &Attempt, status: u16, said: &str) -> Trouble {
    attempt.trouble(
        Reason::CaAnswer,
        format_args!(
            "it answered with the unexpected HTTP status {status}: {said}. Check that `url` of the issuer is a \
             step-ca and not something in front of it."
        ),
    )
}

/// The CA's own words without its fixed phrases, on one line, bounded.
fn said(reply: &Reply) -> String {
    let body: ErrorBody = reply.json().unwrap_or_default();
    let text = body.message.or(body.detail).unwrap_or_default();
    let text = text.trim().trim_end_matches(LOG_HINT).trim();
    let text =
        ["The request could not be completed: ", "The request was forbidden by the certificate authority: "]
            .iter()
            .find_map(|phrase| text.strip_prefix(phrase))
            .unwrap_or(text);
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect();
    match plain.trim_end_matches('.') {
        "" => "no explanation".to_owned(),
        words => words.to_owned(),
    }
}

fn log_reference(reply: &Reply) -> String {
    match &reply.request_id {
        Some(id) => format!(" (look for request id {id})"),
        None => String::new(),
    }
}

/// `requested duration of 25h1m0s is more than the authorized maximum certificate duration of 24h1m0s`.
#[derive(Debug, PartialEq, Eq)]
struct DurationLimit<'a> {
    asked: &'a str,
    direction: &'static str,
    allowed: &'a str,
}

impl<'a> DurationLimit<'a> {
    fn find(text: &'a str) -> Option<Self> {
        let (_, rest) = text.split_once("requested duration of ")?;
        let (asked, rest) = rest.split_once(" is ")?;
        let (_, allowed) = rest.split_once("certificate duration of ")?;
        let direction = if rest.starts_with("less") { "at least" } else { "at most" };
        Some(Self { asked, direction, allowed: allowed.trim_end_matches('.') })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, request_id: None, body: body.as_bytes().to_vec() }
    }

    fn attempt() -> Attempt {
        Attempt {
            issuer: "phoenix".into(),
            what: "get a certificate for `a`".into(),
            url: "https://ca/1.0/sign".into(),
        }
    }

    #[test]
    fn every_status_has_its_reason() {
        let forbidden = |text: &str| {
            format!(
                r#"{{"status":403,"message":"The request was forbidden by the certificate authority: {text}."}}"#
            )
        };
        for (status, body, reason, contains) in [
            (
                403,
                forbidden(
                    "requested duration of 4m59s is less than the authorized minimum certificate duration of 5m0s",
                ),
                Reason::DurationLimits,
                "it counts 4m59s, and at least 5m0s is allowed",
            ),
            (
                403,
                forbidden(
                    "requested duration of 25h1m0s is more than the authorized maximum certificate duration of 24h1m0s",
                ),
                Reason::DurationLimits,
                "it counts 25h1m0s, and at most 24h1m0s is allowed",
            ),
            (
                403,
                forbidden(r#"dns name \"x.example.org\" not allowed"#),
                Reason::CaForbids,
                r#": dns name "x.example.org" not allowed."#,
            ),
            (
                400,
                r#"{"status":400,"message":"The request could not be completed: missing csr."}"#.to_owned(),
                Reason::CaRejects,
                "(HTTP 400): missing csr.",
            ),
            (500, "{}".to_owned(), Reason::CaError, "(HTTP 500: no explanation)"),
            (503, "<html>".to_owned(), Reason::CaError, "(HTTP 503: no explanation)"),
            (
                501,
                r#"{"type":"x","detail":"not implemented"}"#.to_owned(),
                Reason::CaError,
                "501: not implemented",
            ),
            (404, "404 page not found".to_owned(), Reason::CaAnswer, "HTTP 404"),
            (302, String::new(), Reason::CaAnswer, "HTTP status 302"),
        ] {
            let trouble = of_signing(&attempt(), &reply(status, &body));
            assert_eq!(trouble.reason, reason, "{body}");
            assert!(trouble.message.contains(contains), "{}", trouble.message);
            assert!(trouble.message.starts_with(
                "Could not get a certificate for `a` (issuer `phoenix`, https://ca/1.0/sign): "
            ));
        }
    }

    #[test]
    fn a_refused_token_lists_the_causes_and_where_the_truth_is() {
        let mut reply = reply(
            401,
            r#"{"status":401,"message":"The request lacked necessary authorization to be completed. Please see the certificate authority logs for more info."}"#,
        );
        reply.request_id = Some("abc123".to_owned());
        let trouble = of_token(&attempt(), &reply, "https://ca/1.0/sign", Some(-3600));
        assert_eq!(trouble.reason, Reason::TokenRefused);
        for part in [
            "HTTP 401: The request lacked necessary authorization to be completed)",
            "audience https://ca/1.0/sign",
            "key was exchanged",
            "3600 s behind",
            "restarted",
            "used already",
            "request id abc123",
        ] {
            assert!(trouble.message.contains(part), "{part}: {}", trouble.message);
        }
    }

    #[test]
    fn foreign_text_is_bounded_and_stays_on_one_line() {
        let body =
            serde_json::json!({"message": format!("a\nb\u{1b}[31m{}", "x".repeat(10_000))}).to_string();
        let said = said(&reply(403, &body));
        assert!(said.starts_with("a b [31m") && said.len() <= MAX_TEXT, "{said}");
    }
}
