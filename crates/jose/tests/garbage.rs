//! No input makes the crate panic.

#![expect(clippy::unwrap_used, reason = "a broken fixture should fail the test")]

use phoenix_jose::{ProvisionerKey, PublicJwk, read_header, verify};
use proptest::prelude::*;

fn public() -> PublicJwk {
    serde_json::from_str(r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#).unwrap()
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        prop_assert!(ProvisionerKey::decrypt(&text, b"password").is_err());
        prop_assert!(verify(&text, &public()).is_err());
        let _ = read_header(&text);
        prop_assert!(ProvisionerKey::from_private_jwk(text.as_bytes()).is_err());
    }

    #[test]
    fn anything_between_dots_is_read_without_panic(
        text in r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){1,5}",
    ) {
        prop_assert!(ProvisionerKey::decrypt(&text, b"password").is_err());
        prop_assert!(verify(&text, &public()).is_err());
    }

    #[test]
    fn keys_of_any_content_are_read_without_panic(
        kind in prop::sample::select(vec![
            ("EC", "P-256"), ("EC", "P-384"), ("EC", "P-521"), ("RSA", ""), ("OKP", "Ed25519"),
        ]),
        members in prop::collection::vec("[A-Za-z0-9_-]{0,90}", 10),
    ) {
        let names = ["x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi"];
        let mut jwk = serde_json::json!({"kty": kind.0, "crv": kind.1});
        for (name, value) in names.iter().zip(&members) {
            jwk[*name] = value.as_str().into();
        }
        prop_assert!(ProvisionerKey::from_private_jwk(jwk.to_string().as_bytes()).is_err());
        let public: PublicJwk = serde_json::from_value(jwk).unwrap();
        prop_assert!(verify("e30.e30.AA", &public).is_err());
        let _ = public.thumbprint();
    }

    #[test]
    fn cut_vectors_are_refused(cut in 0_usize..700) {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("data/vectors.json")).unwrap();
        let jwe = vectors["keys"][1]["jwe"].as_str().unwrap();
        let cut = cut.min(jwe.len() - 1);
        prop_assert!(ProvisionerKey::decrypt(&jwe[..cut], b"phoenix-test-provisioner").is_err());
    }
}
