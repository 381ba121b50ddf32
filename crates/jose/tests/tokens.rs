//! One-time tokens: what is in them, and that nothing in them can be changed.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use phoenix_jose::{Claims, JoseError, OneTimeToken, ProvisionerKey, PublicJwk, read_header, verify};
use serde_json::{Value, json};

fn key() -> ProvisionerKey {
    ProvisionerKey::generate_p256().unwrap()
}

fn json_part(token: &str, part: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(part).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_token_says_what_a_step_ca_wants_and_no_more() {
    let key = key();
    let token = OneTimeToken::new("https://ca.test/1.0/sign", "admin@test", "web.test", 1_795_291_351)
        .sans(["web.test", "10.0.0.111"])
        .for_csr([7; 32])
        .root("ab12")
        .sign(&key, "-kid")
        .unwrap();
    assert_eq!(json_part(&token, 0), json!({"alg": "ES256", "kid": "-kid", "typ": "JWT"}));
    let mut claims = json_part(&token, 1);
    assert_eq!(claims["jti"].take().as_str().unwrap().len(), 43);
    let expected = json!({
        "aud": "https://ca.test/1.0/sign", "iss": "admin@test", "sub": "web.test",
        "sans": ["web.test", "10.0.0.111"], "exp": 1_795_291_351, "jti": null,
        "cnf": {"x5rt#S256": URL_SAFE_NO_PAD.encode([7; 32])}, "sha": "ab12",
    });
    assert_eq!(claims, expected);
}

#[test]
fn optional_claims_are_left_out() {
    let token = OneTimeToken::new("a", "i", "s", 1).sign(&key(), "kid").unwrap();
    let members: BTreeSet<String> = json_part(&token, 1).as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["aud", "exp", "iss", "jti", "sub"].map(String::from).into());
}

#[test]
fn no_two_tokens_are_alike() {
    let (key, token) = (key(), OneTimeToken::new("a", "i", "s", 1));
    let ids: BTreeSet<_> = (0..100)
        .map(|_| verify(&token.sign(&key, "kid").unwrap(), key.public_jwk()).unwrap().jti.unwrap())
        .collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn any_changed_character_spoils_a_token() {
    let key = key();
    let token = OneTimeToken::new("a", "i", "s", 1).sign(&key, "kid").unwrap();
    for at in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert!(verify(&altered, key.public_jwk()).is_err(), "character {at}");
    }
}

#[test]
fn an_audience_may_be_a_list() {
    let one: Claims = serde_json::from_value(json!({"aud": "a"})).unwrap();
    let many: Claims = serde_json::from_value(json!({"aud": ["a", "b"], "user": {}})).unwrap();
    assert_eq!((one.aud, many.aud), (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn generated_keys_survive_encryption() {
    let key = key();
    assert_eq!(key.kid(), Some(key.thumbprint().as_str()));
    let opened = ProvisionerKey::decrypt(&key.encrypt(b"pass", 100_000).unwrap(), b"pass").unwrap();
    assert_eq!(opened.public_jwk(), key.public_jwk());
    let token = OneTimeToken::new("a", "i", "s", 1).sign(&opened, "kid").unwrap();
    assert!(verify(&token, key.public_jwk()).is_ok());
    assert!(key.encrypt(b"pass", 0).is_err());
    let weak = key.encrypt(b"pass", 1000).unwrap();
    assert_eq!(ProvisionerKey::decrypt(&weak, b"pass").unwrap_err(), JoseError::WeakIterations(1000));
}

#[test]
fn the_header_of_a_generated_jwe_is_that_of_step() {
    let jwe = key().encrypt(b"pass", 600_000).unwrap();
    let mut header = json_part(&jwe, 0);
    assert_eq!(header["p2s"].take().as_str().unwrap().len(), 22);
    let expected = json!({
        "alg": "PBES2-HS256+A128KW", "cty": "jwk+json", "enc": "A256GCM", "p2c": 600_000, "p2s": null,
    });
    assert_eq!(header, expected);
}

#[test]
fn a_key_without_algorithm_accepts_those_of_its_type_only() {
    let key = key();
    let public = PublicJwk { alg: None, ..key.public_jwk().clone() };
    let token = OneTimeToken::new("a", "i", "s", 1).sign(&key, "kid").unwrap();
    assert!(verify(&token, &public).is_ok());
    assert_eq!(read_header(&token).unwrap().typ.as_deref(), Some("JWT"));
    let other = PublicJwk { alg: Some("ES384".into()), ..public };
    assert!(matches!(verify(&token, &other), Err(JoseError::BadKey(_))));
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    // Section 3.1 of the RFC.
    let key: PublicJwk = serde_json::from_value(json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    })).unwrap();
    assert_eq!(key.thumbprint().as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    assert_eq!(PublicJwk { e: None, ..key.clone() }.thumbprint(), None);
    assert_eq!(PublicJwk { kty: "oct".into(), ..key }.thumbprint(), None);
}

#[test]
fn keys_are_not_printed() {
    let key = key();
    let shown = format!("{key:?}");
    assert!(shown.contains("P-256") && !shown.contains("\"d\"") && !shown.contains("jwk:"), "{shown}");
}
