//! Limits on lifetimes, over the wire.

use std::time::Duration;

use phoenix_devca::DevCa;
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::{Client, PASSWORD, PROVISIONER, ca, request};
use crate::signing::der;

#[tokio::test]
async fn lifetimes_of_seconds_are_possible() {
    let (min, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let ca = DevCa::builder()
        .provisioner(PROVISIONER, PASSWORD)
        .claims(min, Duration::from_secs(90), day)
        .backdate(Duration::from_secs(10))
        .start()
        .await
        .unwrap();
    let client = Client::new(&ca).await;
    for (asked, seconds) in [(json!(null), 100), (json!("2s"), 12), (json!("24h"), 86_410)] {
        let csr = request(&["a"]);
        let body = json!({"csr": csr.pem, "ott": client.token(&["a"], &csr), "notAfter": asked});
        let (status, answer) = client.post("/1.0/sign", &body.to_string()).await;
        assert_eq!(status, 201);
        let der = der(&answer);
        let validity = X509Certificate::from_der(&der).unwrap().1.validity().clone();
        assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), seconds, "{asked}");
    }
}

#[tokio::test]
async fn a_lifetime_outside_the_limits_is_refused_with_the_limit() {
    let ca = ca().await;
    let client = Client::new(&ca).await;
    let csr = request(&["a"]);
    let body = json!({"csr": csr.pem, "ott": client.token(&["a"], &csr), "notAfter": "25h"});
    let (status, refusal) = client.post("/1.0/sign", &body.to_string()).await;
    assert_eq!(status, 403);
    assert_eq!(
        refusal["message"],
        "The request was forbidden by the certificate authority: requested duration of 25h1m0s is more than the \
         authorized maximum certificate duration of 24h1m0s."
    );
}
