//! Tokens, names and what is issued.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::{Client, Request, ca, request};

const UNAUTHORIZED: &str = "The request lacked necessary authorization to be completed. Please see the certificate authority logs for more info.";

pub(crate) fn der(answer: &Value) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(answer["crt"].as_str().unwrap().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_certificate_has_the_tokens_names_and_the_requests_key() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let names = ["web.internal", "*.web.internal", "10.0.0.111"];
    let csr = request(&names);
    let (status, answer) = client.sign(&csr, &client.token(&names, &csr)).await;
    assert_eq!(status, 201);
    let der = der(&answer);
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(leaf.public_key().raw, csr.public_key);
    assert_eq!(leaf.subject().iter_common_name().next().unwrap().as_str().unwrap(), names[0]);
    let sans: Vec<_> = leaf
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(sans.len(), 3, "{sans:?}");
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.code_signing);
    let validity = leaf.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 86_400 + 60);
    assert_eq!(answer["certChain"][0], answer["crt"]);
    assert_eq!(answer["certChain"][1], answer["ca"]);
    assert_eq!((ca.counters().sign_requests, ca.counters().issued, ca.issued_for(names[0])), (1, 1, 1));
}

#[tokio::test]
async fn a_token_is_spent_by_its_first_use_even_if_that_fails() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let (csr, other) = (request(&["a"]), request(&["a", "b"]));
    let token = client.sealed(&client.plain(&["a"]));
    assert_eq!(client.sign(&other, &token).await.0, 403);
    let (status, refusal) = client.sign(&csr, &token).await;
    assert_eq!((status, &refusal["message"]), (401, &UNAUTHORIZED.into()));
    ca.restart().await.unwrap();
    assert_eq!(client.sign(&csr, &token).await.0, 401);
    assert_eq!(client.sign(&csr, &client.sealed(&client.plain(&["a"]))).await.0, 201);
}

#[tokio::test]
async fn all_flaws_of_a_token_look_alike() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let stranger = Client::new(&crate::client::ca().await).await;
    let csr = request(&["a"]);
    let kid =
        client.get("/provisioners").await.1["provisioners"][0]["key"]["kid"].as_str().unwrap().to_owned();
    let now = chrono::Utc::now().timestamp();
    let tokens = [
        ("expired", client.sealed(&client.expiring(&["a"], now - 120))),
        ("other kid", client.sealed_as(&client.plain(&["a"]), "nobody")),
        ("other key", stranger.sealed_as(&client.plain(&["a"]), &kid)),
        ("no subject", client.sealed(&client.plain(&[""]))),
        ("no token", "abc".to_owned()),
    ];
    for (flaw, token) in tokens {
        let (status, refusal) = client.sign(&csr, &token).await;
        assert_eq!((status, &refusal["message"]), (401, &UNAUTHORIZED.into()), "{flaw}");
    }
    assert_eq!(ca.counters().issued, 0);
}

#[tokio::test]
async fn a_token_bound_to_another_request_is_forbidden() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let (mine, other) = (request(&["a"]), request(&["a"]));
    let (status, refusal) = client.sign(&mine, &client.token(&["a"], &other)).await;
    let message = refusal["message"].as_str().unwrap();
    assert_eq!(status, 403);
    assert!(message.contains("certificate request fingerprint does not match \""), "{message}");
}

#[tokio::test]
async fn names_beyond_the_token_are_forbidden() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    for (granted, asked, text) in [
        (&["a", "b"][..], &["a"][..], "the valid DNS names - got [a], want [a b]."),
        (&["a"], &["a", "10.0.0.9"], "the valid IP addresses - got [10.0.0.9], want []."),
        (&["a"], &["zzz"], "the valid common name - got zzz, want [a]."),
    ] {
        let csr = request(asked);
        let (status, refusal) = client.sign(&csr, &client.token(granted, &csr)).await;
        let message = refusal["message"].as_str().unwrap();
        assert_eq!(status, 403);
        assert!(message.ends_with(text), "{message}");
    }
}

#[tokio::test]
async fn malformed_requests_are_told_so() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let csr = request(&["a"]);
    for (body, reason) in [
        (String::new(), "error decoding json"),
        ("7".to_owned(), "error decoding json"),
        (json!({"csr": "MIIB", "ott": "x"}).to_string(), "error decoding json"),
        (json!({"csr": csr.pem, "ott": "x", "notAfter": "30d"}).to_string(), "error decoding json"),
        (json!({"csr": csr.pem, "ott": "x", "notAfter": 5}).to_string(), "error decoding json"),
        (json!({"ott": "x"}).to_string(), "missing csr"),
        (json!({"csr": csr.pem}).to_string(), "missing ott"),
        (json!({"csr": broken(&csr), "ott": "x"}).to_string(), "invalid csr"),
    ] {
        let (status, refusal) = client.post("/sign", &body).await;
        let message = refusal["message"].as_str().unwrap();
        assert_eq!(
            (status, message),
            (400, &*format!("The request could not be completed: {reason}.")),
            "{body}"
        );
    }
}

/// The request with a signature that does not fit.
fn broken(csr: &Request) -> String {
    let mut der = csr.der.clone();
    let last = der.len() - 1;
    der[last] ^= 1;
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}
