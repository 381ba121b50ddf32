//! Faults do what they say, and end when told.

use phoenix_devca::{DevCa, Fault};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::{Client, PASSWORD, PROVISIONER, Request, ca, request};
use crate::signing::der;

async fn signed(client: &Client) -> (Request, u16, Value) {
    let csr = request(&["a"]);
    let token = client.token(&["a"], &csr);
    let (status, answer) = client.sign(&csr, &token).await;
    (csr, status, answer)
}

#[tokio::test]
async fn each_lie_is_told_and_ends_with_healing() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let root = CertificateDer::from_pem_slice(ca.root_pem().as_bytes()).unwrap();
    for fault in [
        Fault::OtherKey,
        Fault::OtherNames,
        Fault::WrongEku,
        Fault::Expired,
        Fault::Future,
        Fault::ForeignRoot,
        Fault::NoIntermediate,
    ] {
        ca.fail_signing(fault.clone());
        let (csr, status, answer) = signed(&client).await;
        assert_eq!((status, lies(&csr, &answer, &root)), (201, vec![fault]));
        ca.heal();
        let (csr, status, answer) = signed(&client).await;
        assert_eq!((status, lies(&csr, &answer, &root)), (201, vec![]));
    }
}

/// What is wrong with a certificate for `a`.
fn lies(csr: &Request, answer: &Value, root: &CertificateDer<'_>) -> Vec<Fault> {
    let der = der(answer);
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let now = chrono::Utc::now().timestamp();
    let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    let mut lies = Vec::new();
    let mut found = |lie: bool, fault: Fault| lies.extend(lie.then_some(fault));
    found(leaf.public_key().raw != csr.public_key, Fault::OtherKey);
    found(names.len() != 1 || names[0].to_string() != "DNSName(a)", Fault::OtherNames);
    found(!leaf.extended_key_usage().unwrap().unwrap().value.server_auth, Fault::WrongEku);
    found(leaf.validity().not_after.timestamp() < now, Fault::Expired);
    found(leaf.validity().not_before.timestamp() > now + 300, Fault::Future);
    let chain = answer["certChain"].as_array().unwrap();
    match chain.get(1) {
        None => found(true, Fault::NoIntermediate),
        Some(intermediate) => found(!leads_to(root, intermediate, &leaf), Fault::ForeignRoot),
    }
    lies
}

fn leads_to(root: &CertificateDer<'_>, intermediate: &Value, leaf: &X509Certificate<'_>) -> bool {
    let intermediate = CertificateDer::from_pem_slice(intermediate.as_str().unwrap().as_bytes()).unwrap();
    let (_, intermediate) = X509Certificate::from_der(&intermediate).unwrap();
    let (_, root) = X509Certificate::from_der(root).unwrap();
    leaf.verify_signature(Some(intermediate.public_key())).is_ok()
        && intermediate.verify_signature(Some(root.public_key())).is_ok()
}

#[tokio::test]
async fn broken_answers_are_broken_in_their_way() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    for (fault, broken) in [
        (Fault::CutJson, Some(true)),
        (Fault::Garbage, Some(true)),
        (Fault::HugeBody, Some(true)),
        (Fault::ClosedConnection, None),
        (Fault::Slow(std::time::Duration::from_millis(1)), Some(false)),
    ] {
        ca.fail_signing(fault.clone());
        let csr = request(&["a"]);
        let answer = client.try_sign(&csr, &client.token(&["a"], &csr)).await;
        let not_json = answer.ok().map(|body| serde_json::from_slice::<Value>(&body).is_err());
        assert_eq!(not_json, broken, "{fault:?}");
        ca.heal();
    }
}

#[tokio::test]
async fn a_status_strikes_as_often_as_asked_and_where_asked() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    ca.fail_signing_times(Fault::Status(503), 2);
    assert_eq!(client.get("/health").await.0, 200);
    assert_eq!(signed(&client).await.1, 503);
    assert_eq!(signed(&client).await.1, 503);
    assert_eq!(signed(&client).await.1, 201);
    ca.fail_everywhere(Fault::Status(500));
    assert_eq!(client.get("/health").await.0, 500);
}

#[tokio::test]
async fn a_wrong_clock_shows_in_tokens_and_certificates() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    ca.set_clock_skew(3600);
    assert_eq!(signed(&client).await.1, 401, "a token of five minutes is over an hour later");
    ca.set_clock_skew(-3600);
    let (_, status, answer) = signed(&client).await;
    assert_eq!(status, 201);
    let der = der(&answer);
    let not_before = X509Certificate::from_der(&der).unwrap().1.validity().not_before.timestamp();
    assert!(not_before < chrono::Utc::now().timestamp() - 3000);
}

#[tokio::test]
async fn provisioners_can_go_come_and_change_keys() {
    let ca = DevCa::builder()
        .provisioner(PROVISIONER, PASSWORD)
        .client_provisioner("mesh", "other")
        .start()
        .await
        .unwrap();
    assert_eq!(ca.provisioner_password("mesh").as_deref(), Some("other"));
    let client = Client::new(&ca).await;
    ca.remove_provisioner(PROVISIONER).unwrap();
    assert_eq!(signed(&client).await.1, 401);
    assert_eq!(client.get("/provisioners").await.1["provisioners"].as_array().unwrap().len(), 1);
    ca.restore_provisioner(PROVISIONER).unwrap();
    assert_eq!(signed(&client).await.1, 201);
    ca.rotate_key(PROVISIONER).unwrap();
    assert_eq!(signed(&client).await.1, 401);
    assert_eq!(signed(&Client::new(&ca).await).await.1, 201);
    assert!(ca.remove_provisioner("nobody").is_err());
}
