//! Keys that another implementation encrypted and tokens that it signed (`data/make-vectors.py`).

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

use phoenix_jose::{JoseError, OneTimeToken, ProvisionerKey, PublicJwk, read_header, verify};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    password: String,
    keys: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    thumbprint: String,
    public: PublicJwk,
    jwe: String,
    token: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("data/vectors.json")).unwrap()
}

#[test]
fn every_kind_of_key_opens_and_signs() {
    let vectors = vectors();
    for Vector { name, thumbprint, public, jwe, .. } in vectors.keys {
        let key = ProvisionerKey::decrypt(&jwe, vectors.password.as_bytes()).expect(&name);
        assert_eq!(key.public_jwk(), &public, "{name}");
        assert_eq!(key.thumbprint(), thumbprint, "{name}");
        assert_eq!(key.kid(), Some(thumbprint.as_str()), "{name}");
        assert_eq!(Some(key.algorithm().as_str()), public.alg.as_deref(), "{name}");

        let token = OneTimeToken::new("aud", "iss", "sub", 4_000_000_000).sign(&key, "the kid").unwrap();
        assert_eq!(read_header(&token).unwrap().alg, key.algorithm().as_str());
        assert_eq!(verify(&token, &public).expect(&name).sub.as_deref(), Some("sub"));
    }
}

#[test]
fn tokens_of_others_are_verified() {
    for Vector { name, thumbprint, public, token, .. } in vectors().keys {
        let header = read_header(&token).unwrap();
        assert_eq!(header.kid.as_deref(), Some(thumbprint.as_str()), "{name}");
        let claims = verify(&token, &public).expect(&name);
        assert_eq!(claims.aud, ["https://ca.test/1.0/sign"]);
        assert_eq!(claims.sans, ["web.test"]);
        assert_eq!((claims.iss.as_deref(), claims.jti.as_deref()), (Some("admin@test"), Some("1")));
    }
}

#[test]
fn no_key_verifies_the_token_of_another() {
    let keys = vectors().keys;
    for (at, Vector { token, .. }) in keys.iter().enumerate() {
        for (_, Vector { public, .. }) in keys.iter().enumerate().filter(|(other, _)| *other != at) {
            assert_eq!(verify(token, public), Err(JoseError::BadSignature));
        }
    }
}

#[test]
fn a_wrong_password_is_told_apart_for_every_algorithm() {
    for Vector { name, jwe, .. } in vectors().keys {
        for password in ["", "phoenix-test-provisioner\n", "Phoenix-test-provisioner"] {
            let error = ProvisionerKey::decrypt(&jwe, password.as_bytes()).unwrap_err();
            assert_eq!(error, JoseError::WrongPassword, "{name}");
        }
    }
}

#[test]
fn a_change_in_any_part_is_noticed() {
    let vectors = vectors();
    let jwe = &vectors.keys[1].jwe;
    let ends: Vec<usize> = jwe.match_indices('.').map(|(at, _)| at).chain([jwe.len()]).collect();
    let starts = [0].into_iter().chain(ends.iter().map(|end| end + 1));
    for (part, (start, end)) in starts.zip(ends.iter().copied()).enumerate() {
        for at in [start, usize::midpoint(start, end)] {
            let mut altered = jwe.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            let error = ProvisionerKey::decrypt(&altered, vectors.password.as_bytes()).unwrap_err();
            match part {
                0 => assert_ne!(error, JoseError::Damaged),
                1 => assert_eq!(error, JoseError::WrongPassword),
                _ => assert_eq!(error, JoseError::Damaged, "part {part} at {at}"),
            }
        }
    }
}
