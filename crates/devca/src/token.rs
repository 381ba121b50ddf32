//! One-time tokens, judged in Step-CA's order: a token is spent before its signature is looked at.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use phoenix_jose::Claims;

use crate::ca::Shared;
use crate::provisioner::{Extent, Provisioner};
use crate::refusal::Refusal;

/// Clock difference that is forgiven.
const LEEWAY: i64 = 60;
const PATHS: [&str; 4] = ["/1.0/sign", "/sign", "/1.0/ssh/sign", "/ssh/sign"];

/// What a token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Subject CN.
    pub(crate) subject: String,
    /// Names; the subject when the token has none.
    pub(crate) names: Vec<String>,
    /// What the certificate is for.
    pub(crate) extent: Extent,
}

/// Judges `token` for a request with this CSR (DER).
pub(crate) fn authorize(shared: &Shared, token: &str, csr: &[u8]) -> Result<Grant, Refusal> {
    let (kid, claimed) = peek(token).ok_or(Refusal::Unauthorized)?;
    let provisioner = find(shared, &kid, &claimed).ok_or(Refusal::Unauthorized)?;
    require(claimed.iat.is_none_or(|iat| iat >= shared.started_at()))?;
    require(shared.spend(token_id(token, &claimed)))?;
    let claims = phoenix_jose::verify(token, &provisioner.key).map_err(|_| Refusal::Unauthorized)?;
    in_time(&claims, shared.clock.now())?;
    let subject = claims.sub.clone().filter(|sub| !sub.is_empty()).ok_or(Refusal::Unauthorized)?;
    bound_to(&claims, csr)?;
    let names = if claims.sans.is_empty() { vec![subject.clone()] } else { claims.sans };
    Ok(Grant { subject, names, extent: provisioner.extent })
}

/// Key id and claims, unverified.
fn peek(token: &str) -> Option<(String, Claims)> {
    let kid = phoenix_jose::read_header(token).ok()?.kid?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    Some((kid, serde_json::from_slice(&claims).ok()?))
}

/// The provisioner that the token names, if the token is meant for this CA.
fn find(shared: &Shared, kid: &str, claims: &Claims) -> Option<Provisioner> {
    let meant = claims.aud.iter().any(|audience| is_ours(audience, &shared.names));
    let named = |provisioner: &Provisioner| {
        provisioner.kid == kid && claims.iss.as_deref() == Some(provisioner.name.as_str())
    };
    shared.provisioners().into_iter().find(|provisioner| meant && named(provisioner))
}

/// `https://{one of the CA's names}[:any port]{a sign path}`, letter for letter.
fn is_ours(audience: &str, names: &[String]) -> bool {
    if audience == "step-certificate-authority" {
        return true;
    }
    let Some(rest) = audience.strip_prefix("https://") else { return false };
    let Some((authority, path)) = rest.find('/').and_then(|slash| rest.split_at_checked(slash)) else {
        return false;
    };
    let host = without_port(authority);
    let named = |name: &String| name == host || host == format!("[{name}]");
    PATHS.contains(&path) && names.iter().any(named)
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// What makes a token the same token: its `jti`, or all of it.
fn token_id(token: &str, claims: &Claims) -> String {
    claims
        .jti
        .clone()
        .unwrap_or_else(|| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes())))
}

fn in_time(claims: &Claims, now: i64) -> Result<(), Refusal> {
    require(claims.exp.is_none_or(|exp| now <= exp.saturating_add(LEEWAY)))?;
    require(claims.nbf.is_none_or(|nbf| nbf <= now.saturating_add(LEEWAY)))?;
    require(claims.iat.is_none_or(|iat| iat <= now.saturating_add(LEEWAY)))
}

/// `cnf` ties a token to one request (step-ca 0.27.3 and newer).
fn bound_to(claims: &Claims, csr: &[u8]) -> Result<(), Refusal> {
    let Some(wanted) = claims.cnf.as_ref().and_then(|cnf| cnf.csr_sha256.as_ref()) else { return Ok(()) };
    let bytes = URL_SAFE_NO_PAD
        .decode(wanted)
        .map_err(|_| Refusal::Forbidden("error decoding fingerprint".to_owned()))?;
    if bytes == digest::digest(&digest::SHA256, csr).as_ref() {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!("certificate request fingerprint does not match \"{wanted}\"")))
}

fn require(condition: bool) -> Result<(), Refusal> {
    if condition { Ok(()) } else { Err(Refusal::Unauthorized) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audience_must_name_the_ca_letter_for_letter() {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        for (audience, ours) in [
            ("https://localhost/1.0/sign", true),
            ("https://localhost:1/sign", true),
            ("https://127.0.0.1:9000/1.0/ssh/sign", true),
            ("https://[::1]:9000/1.0/sign", true),
            ("https://[::1]/1.0/sign", true),
            ("step-certificate-authority", true),
            ("http://localhost/1.0/sign", false),
            ("https://LOCALHOST/1.0/sign", false),
            ("https://localhost/1.0/sign/", false),
            ("https://localhost/1.0/sign?x=1", false),
            ("https://localhost/1.0/sign#f", false),
            ("https://elsewhere/1.0/sign", false),
            ("/1.0/sign", false),
            ("https://localhost", false),
            ("", false),
        ] {
            assert_eq!(is_ours(audience, &names), ours, "{audience}");
        }
    }

    #[test]
    fn times_have_a_minute_of_leeway() {
        let now = 1000;
        for (claims, good) in [
            (Claims::default(), true),
            (Claims { exp: Some(942), ..Claims::default() }, true),
            (Claims { exp: Some(880), ..Claims::default() }, false),
            (Claims { nbf: Some(1050), ..Claims::default() }, true),
            (Claims { nbf: Some(1090), ..Claims::default() }, false),
            (Claims { iat: Some(1050), ..Claims::default() }, true),
            (Claims { iat: Some(1090), ..Claims::default() }, false),
        ] {
            assert_eq!(in_time(&claims, now).is_ok(), good, "{claims:?}");
        }
    }

    /// A token with a signature of nobody.
    fn forged(kid: &str, claims: &serde_json::Value) -> String {
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = serde_json::json!({ "alg": "ES256", "kid": kid, "typ": "JWT" });
        format!("{}.{}.{}", part(&header), part(claims), URL_SAFE_NO_PAD.encode([1; 64]))
    }

    #[test]
    fn a_token_is_spent_after_the_first_checks_and_before_the_signature() {
        let provisioner = Provisioner::new("p", "password", Extent::ServerAndClient, 100_000).unwrap();
        let kid = provisioner.kid.clone();
        let shared =
            Shared::new(vec!["localhost".to_owned()], crate::validity::Claims::default(), vec![provisioner])
                .unwrap();
        shared.begin();
        let started = shared.started_at();
        for (what, issuer, audience, iat, spent) in [
            ("unknown provisioner", "q", "https://localhost/sign", None, false),
            ("another audience", "p", "https://elsewhere/sign", None, false),
            ("made before the start", "p", "https://localhost/sign", Some(started - 1), false),
            ("made since the start", "p", "https://localhost/sign", Some(started), true),
            ("no time at all", "p", "https://localhost/sign", None, true),
        ] {
            let claims = serde_json::json!({
                "iss": issuer, "aud": audience, "sub": "a", "jti": what, "iat": iat,
            });
            assert_eq!(authorize(&shared, &forged(&kid, &claims), b""), Err(Refusal::Unauthorized));
            assert_eq!(shared.spend(what.to_owned()), !spent, "{what}");
        }
    }
}
