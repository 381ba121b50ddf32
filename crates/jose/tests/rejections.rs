//! What is refused, and in which words.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use phoenix_jose::{JoseError, MAX_INPUT, OneTimeToken, ProvisionerKey, read_header, verify};
use serde_json::{Value, json};

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn header() -> Value {
    json!({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 100_000, "p2s": "AAAAAAAAAAAAAAAAAAAAAA"})
}

/// A JWE with this header; its other parts have the right lengths.
fn with_header(header: &Value) -> String {
    let bytes = |count: usize| URL_SAFE_NO_PAD.encode(vec![0; count]);
    [part(header), bytes(40), bytes(12), bytes(50), bytes(16)].join(".")
}

fn refusal(jwe: &str) -> JoseError {
    ProvisionerKey::decrypt(jwe, b"password").unwrap_err()
}

#[test]
fn the_template_of_these_tests_fails_only_for_its_password() {
    assert_eq!(refusal(&with_header(&header())), JoseError::WrongPassword);
}

#[test]
fn headers_that_ask_for_anything_else_are_refused_by_name() {
    let cases = [
        ("zip", json!("DEF"), "compression (`zip`)"),
        ("zip", Value::Null, "compression (`zip`)"),
        ("crit", json!(["exp"]), "critical extensions (`crit`)"),
        ("crit", json!([]), "critical extensions (`crit`)"),
        ("alg", json!("dir"), "`alg` \"dir\""),
        ("alg", json!("PBES2-HS256+A256KW"), "`alg` \"PBES2-HS256+A256KW\""),
        ("alg", json!("RSA1_5"), "`alg` \"RSA1_5\""),
        ("enc", json!("A128CBC-HS256"), "`enc` \"A128CBC-HS256\""),
        ("enc", json!("none"), "`enc` \"none\""),
    ];
    for (member, value, expected) in cases {
        let mut header = header();
        header[member] = value;
        match refusal(&with_header(&header)) {
            JoseError::Unsupported { feature, .. } => assert_eq!(feature, expected),
            other => panic!("{member}: {other}"),
        }
    }
}

#[test]
fn iteration_counts_outside_the_limits_are_refused() {
    for (count, expected) in [
        (0_u64, JoseError::WeakIterations(0)),
        (1000, JoseError::WeakIterations(1000)),
        (99_999, JoseError::WeakIterations(99_999)),
        (5_000_001, JoseError::ExcessiveIterations(5_000_001)),
        (u64::from(u32::MAX) + 100_001, JoseError::ExcessiveIterations(u64::from(u32::MAX) + 100_001)),
        (u64::MAX, JoseError::ExcessiveIterations(u64::MAX)),
    ] {
        let mut header = header();
        header["p2c"] = json!(count);
        assert_eq!(refusal(&with_header(&header)), expected);
    }
}

#[test]
fn malformed_headers_are_refused() {
    for (member, value) in [
        ("p2c", json!(-1)),
        ("p2c", json!(100_000.5)),
        ("p2c", json!("600000")),
        ("p2c", Value::Null),
        ("p2s", Value::Null),
        ("p2s", json!("AAAA")),
        ("p2s", json!("AAAAAAAAAAAAAAAAAAAAAA==")),
        ("p2s", json!("****************")),
        ("alg", json!(1)),
        ("enc", Value::Null),
    ] {
        let mut header = header();
        header[member] = value;
        let error = refusal(&with_header(&header));
        assert!(matches!(error, JoseError::Malformed { .. }), "{member}: {error}");
    }
    let repeated = format!(r#"{{"alg":"dir",{}"#, &header().to_string()[1..]);
    let repeated = with_header(&header()).replace(&part(&header()), &URL_SAFE_NO_PAD.encode(repeated));
    assert!(matches!(refusal(&repeated), JoseError::Malformed { .. }));
}

#[test]
fn other_forms_than_five_parts_of_base64url_are_refused() {
    let good = with_header(&header());
    let (head, rest) = good.split_once('.').unwrap();
    let (key, tail) = rest.split_once('.').unwrap();
    let cases = [
        String::new(),
        "....".into(),
        head.into(),
        rest.into(),
        format!("{good}."),
        format!("{good}.AAAA"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{head}.{key}=.{tail}"),
        format!("{head}..{tail}"),
        format!("{head}.{}.{tail}", &key[..20]),
        format!("{head}.{key}AAAA.{tail}"),
        good[..good.len() - 1].into(),
        good[..good.len() - 4].into(),
        format!("{head}.{}.{tail}", key.replace('A', "+")),
    ];
    for case in cases {
        let error = refusal(&case);
        assert!(matches!(error, JoseError::Malformed { .. }), "{case}: {error}");
    }
}

#[test]
fn oversized_input_is_refused_unread() {
    let large = "A".repeat(MAX_INPUT + 1);
    assert!(matches!(refusal(&large), JoseError::TooLarge { size, .. } if size == MAX_INPUT + 1));
    assert!(matches!(ProvisionerKey::from_private_jwk(large.as_bytes()), Err(JoseError::TooLarge { .. })));
    assert!(matches!(read_header(&large), Err(JoseError::TooLarge { .. })));
}

#[test]
fn private_keys_that_make_no_sense_are_refused() {
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"});
    let cases = [
        (json!([]), "it is not the JSON of a private key"),
        (json!({"kty": "EC", "crv": "P-256", "d": 1}), "it is not the JSON of a private key"),
        (json!({"kty": "oct", "k": "AAAA"}), "a key of type `oct`"),
        (json!({"kty": "EC", "crv": "secp256k1"}), "a key of type `EC secp256k1`"),
        (json!({"kty": "OKP", "crv": "X25519"}), "a key of type `OKP X25519`"),
        (json!({"kty": "EC", "crv": "P-256", "alg": "HS256"}), "`HS256`"),
        (json!({"kty": "EC", "crv": "P-256", "alg": "ES384"}), "ES384 does not fit its type EC P-256"),
        (json!({"kty": "RSA", "alg": "ES256"}), "ES256 does not fit its type RSA"),
        (json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), "no member `d`"),
        (json!({"kty": "EC", "crv": "P-256", "d": "AA", "y": "AA"}), "no member `x`"),
        (json!({"kty": "EC", "crv": "P-256", "d": "A*", "x": "AA", "y": "AA"}), "d is not base64url"),
        (json!({"kty": "EC", "crv": "P-256", "d": "AA", "x": "A".repeat(44), "y": "AA"}), "x is too long"),
        (ec, "do not belong together"),
        (json!({"kty": "OKP", "crv": "Ed25519", "d": "AA", "x": "AA"}), "do not belong together"),
        (
            json!({"kty": "RSA", "n": "AQ", "e": "AQ", "d": "AQ", "p": "AQ", "q": "AQ", "dp": "AQ", "dq": "AQ", "qi": "AQ"}),
            "RSA members do not fit together",
        ),
    ];
    for (jwk, expected) in cases {
        let error = ProvisionerKey::from_private_jwk(jwk.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{jwk}: {error}");
    }
}

#[test]
fn tokens_cannot_choose_how_they_are_verified() {
    let key = ProvisionerKey::generate_p256().unwrap();
    let token = OneTimeToken::new("a", "i", "s", 1).sign(&key, "kid").unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    for alg in ["none", "HS256", "ES384", "RS256", "EdDSA", ""] {
        let forged = format!("{}.{rest}", part(&json!({"alg": alg, "kid": "kid"})));
        assert_eq!(verify(&forged, key.public_jwk()), Err(JoseError::BadSignature));
    }
    let critical = format!("{}.{rest}", part(&json!({"alg": "ES256", "crit": ["b64"], "b64": false})));
    assert!(matches!(verify(&critical, key.public_jwk()), Err(JoseError::Malformed { .. })));
}

#[test]
fn errors_about_keys_do_not_quote_them() {
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I";
    for text in [
        format!(r#"{{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"{secret}"}}"#),
        format!(r#"{{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"{secret}*"}}"#),
        format!(r#"{{"kty":"EC","crv":"P-256","d":["{secret}"]}}"#),
        format!(r#""{secret}""#),
    ] {
        let error = ProvisionerKey::from_private_jwk(text.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}
