//! A root by its fingerprint.

use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_devca::{DevCa, Fault};
use phoenix_issuers::fetch_root;

use crate::support::builder;

async fn fetch(ca: &DevCa, fingerprint: &str) -> Result<String, Trouble> {
    let name: IssuerName = "phoenix".parse().unwrap();
    fetch_root(&name, &ca.url(), fingerprint).await
}

#[tokio::test]
async fn the_root_with_the_fingerprint_is_fetched() {
    let ca = builder().start().await.unwrap();
    let fingerprint = ca.root_fingerprint();
    let colons: Vec<_> =
        fingerprint.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect();
    for written in [fingerprint.clone(), fingerprint.to_uppercase(), colons.join(":")] {
        assert_eq!(fetch(&ca, &written).await.unwrap().trim(), ca.root_pem().trim());
    }
}

#[tokio::test]
async fn another_fingerprint_is_refused() {
    let ca = builder().start().await.unwrap();
    let error = fetch(&ca, &"ab".repeat(32)).await.unwrap_err();
    assert_eq!(error.reason, Reason::WrongRoot);
    assert!(error.message.contains("has no root with fingerprint abab"), "{error}");
}

#[tokio::test]
async fn a_ca_that_sends_another_root_is_not_believed() {
    let ca = builder().start().await.unwrap();
    ca.fail_everywhere(Fault::ForeignRoot);
    let error = fetch(&ca, &ca.root_fingerprint()).await.unwrap_err();
    assert_eq!(error.reason, Reason::WrongRoot);
    assert!(error.message.contains(&format!("instead of {}", ca.root_fingerprint())), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_root_is_told_so() {
    let ca = builder().start().await.unwrap();
    for fault in [Fault::Garbage, Fault::CutJson, Fault::HugeBody, Fault::Status(500)] {
        ca.fail_everywhere(fault.clone());
        let error = fetch(&ca, &ca.root_fingerprint()).await.unwrap_err();
        assert_eq!(error.reason, Reason::CaAnswer, "{fault:?}: {error}");
        ca.heal();
    }
}

#[tokio::test]
async fn a_stopped_ca_is_unreachable() {
    let ca = builder().start().await.unwrap();
    ca.stop().await;
    assert_eq!(fetch(&ca, &ca.root_fingerprint()).await.unwrap_err().reason, Reason::CaUnreachable);
}
