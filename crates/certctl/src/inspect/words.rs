//! An inspection for people.

use std::fmt::Write;

use phoenix_core::time::Timestamp;

use super::{CertificateFacts, Inspection};
use crate::plain::plain;
use crate::span;

/// Column at which values begin.
const LABEL: usize = 13;

/// The chain in words, as seen at the time `now`.
pub fn render(inspection: &Inspection, now: Timestamp) -> String {
    let mut out = format!("{}\n", plain(&inspection.source));
    let count = inspection.certificates.len();
    for (index, certificate) in inspection.certificates.iter().enumerate() {
        let role = if index == 0 { "leaf" } else { "sent with it" };
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "\ncertificate {} of {count}, {role}", index + 1);
        describe(&mut out, certificate, now);
    }
    out.push('\n');
    line(&mut out, "", "private key", key(inspection));
    line(&mut out, "", "chain", &chain(inspection));
    out
}

fn describe(out: &mut String, certificate: &CertificateFacts, now: Timestamp) {
    let mut field = |label, value: &str| line(out, "  ", label, value);
    field("subject", certificate.common_name.as_deref().unwrap_or("-"));
    if !certificate.sans.is_empty() {
        field("names", &certificate.sans.join(", "));
    }
    field("issuer", &certificate.issuer);
    field("serial", &certificate.serial);
    field(
        "",
        &certificate.serial_decimal.as_ref().map_or("-".to_owned(), |serial| format!("{serial} decimal")),
    );
    field("SHA-256", &certificate.fingerprint_sha256);
    field("valid", &format!("from {} to {}", certificate.not_before, certificate.not_after));
    field("", &validity(certificate, now));
    field("usage", &usage(certificate));
    field("key", certificate.key_type.as_deref().unwrap_or("of a kind that the manifest does not know"));
}

fn line(out: &mut String, indent: &str, label: &str, value: &str) {
    let _ = writeln!(out, "{indent}{label:LABEL$}{}", plain(value));
}

fn validity(certificate: &CertificateFacts, now: Timestamp) -> String {
    if now < certificate.not_before {
        format!("begins {}", span::from_now(certificate.not_before, now))
    } else if now < certificate.not_after {
        format!("expires {}", span::from_now(certificate.not_after, now))
    } else {
        format!("expired {}", span::from_now(certificate.not_after, now))
    }
}

fn usage(certificate: &CertificateFacts) -> String {
    let named = [
        (certificate.server_auth, "serverAuth"),
        (certificate.client_auth, "clientAuth"),
        (certificate.other_usages, "others"),
    ];
    let words: Vec<&str> = named.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect();
    if words.len() == named.len() {
        "any, or at least serverAuth and clientAuth".to_owned()
    } else {
        words.join(", ")
    }
}

fn key(inspection: &Inspection) -> &'static str {
    match inspection.key_matches {
        Some(true) => "belongs to the leaf",
        Some(false) => "does NOT belong to the leaf",
        None => "not checked: none could be read",
    }
}

fn chain(inspection: &Inspection) -> String {
    let why = inspection.trust_problem.as_deref().unwrap_or_default();
    match (inspection.trusted, &inspection.trusted_by) {
        (Some(true), Some(issuer)) => format!("complete to the root of the issuer `{issuer}`"),
        (Some(true), None) => "complete to a configured root".to_owned(),
        (Some(false), _) => format!("does NOT lead to a configured root: {why}"),
        (None, _) => format!("not checked: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_795_291_200);

    fn leaf() -> CertificateFacts {
        CertificateFacts {
            common_name: Some("docker-daemon.internal.thinkheads.ai".into()),
            sans: vec!["docker-daemon.internal.thinkheads.ai".into(), "10.0.0.111".into()],
            issuer: "Phoenix Intermediate CA".into(),
            serial: "ff".into(),
            serial_decimal: Some("255".into()),
            fingerprint_sha256: "ab12".into(),
            not_before: NOW.minus(Duration::from_secs(60)),
            not_after: NOW.plus(Duration::from_secs(83_520)),
            server_auth: true,
            client_auth: false,
            other_usages: false,
            key_type: Some("ec-p256".into()),
        }
    }

    fn inspection() -> Inspection {
        let intermediate = CertificateFacts {
            common_name: Some("Phoenix\u{1b}[2J CA".into()),
            sans: vec![],
            not_after: NOW.minus(Duration::from_secs(5)),
            client_auth: true,
            other_usages: true,
            key_type: None,
            ..leaf()
        };
        Inspection {
            schema: 1,
            source: "10.0.0.111:2376".into(),
            certificates: vec![leaf(), intermediate],
            key_matches: None,
            trusted: Some(true),
            trusted_by: Some("phoenix".into()),
            trust_problem: None,
        }
    }

    #[test]
    fn a_chain_is_told_certificate_by_certificate() {
        assert_eq!(
            render(&inspection(), NOW),
            "\
10.0.0.111:2376

certificate 1 of 2, leaf
  subject      docker-daemon.internal.thinkheads.ai
  names        docker-daemon.internal.thinkheads.ai, 10.0.0.111
  issuer       Phoenix Intermediate CA
  serial       ff
               255 decimal
  SHA-256      ab12
  valid        from 2026-11-21T19:59:00Z to 2026-11-22T19:12:00Z
               expires in 23 h 12 min
  usage        serverAuth
  key          ec-p256

certificate 2 of 2, sent with it
  subject      Phoenix\\u{1b}[2J CA
  issuer       Phoenix Intermediate CA
  serial       ff
               255 decimal
  SHA-256      ab12
  valid        from 2026-11-21T19:59:00Z to 2026-11-21T19:59:55Z
               expired 5 s ago
  usage        any, or at least serverAuth and clientAuth
  key          of a kind that the manifest does not know

private key  not checked: none could be read
chain        complete to the root of the issuer `phoenix`
"
        );
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let mut bad = inspection();
        bad.key_matches = Some(false);
        bad.trusted = Some(false);
        bad.trust_problem = Some("unknown issuer".into());
        let text = render(&bad, NOW);
        assert!(
            text.ends_with(
                "private key  does NOT belong to the leaf\n\
                 chain        does NOT lead to a configured root: unknown issuer\n"
            ),
            "{text}"
        );
        bad.trusted = None;
        assert!(render(&bad, NOW).ends_with("chain        not checked: unknown issuer\n"));
    }

    #[test]
    fn a_certificate_that_begins_later_says_so() {
        let mut early = leaf();
        early.not_before = NOW.plus(Duration::from_secs(90));
        assert_eq!(validity(&early, NOW), "begins in 1 min 30 s");
    }
}
