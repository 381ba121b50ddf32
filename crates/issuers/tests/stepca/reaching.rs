//! The CA cannot be reached, or is not the right one.

use phoenix_core::reason::{Reason, Trouble};
use phoenix_devca::{DevCa, Fault};
use phoenix_issuers::{Issuer, StepCa};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Bench, builder, client, settings, with};

fn says(trouble: &Trouble, reason: Reason, parts: &[&str]) {
    assert_eq!(trouble.reason, reason, "{trouble}");
    for part in parts {
        assert!(trouble.message.contains(part), "`{part}` is missing in: {trouble}");
    }
}

#[tokio::test]
async fn a_healthy_ca_tells_its_version() {
    let ca = builder().start().await.unwrap();
    let health = client(&ca).availability().await.unwrap();
    assert_eq!(health.version.as_deref(), Some("0.30.2"));
    assert!(health.clock_skew.unwrap().abs() <= 5);
    assert_eq!(health.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn an_ailing_ca_is_not_available() {
    let ca = builder().start().await.unwrap();
    ca.fail_everywhere(Fault::Status(500));
    says(&client(&ca).availability().await.unwrap_err(), Reason::CaError, &["/health", "HTTP 500"]);
}

#[tokio::test]
async fn a_stopped_ca_is_unreachable_and_found_again() {
    let ca = builder().start().await.unwrap();
    let issuer = client(&ca);
    ca.stop().await;
    let bench = Bench::new(&ca);
    let error = issuer.issue(&bench.order, &bench.minter).await.unwrap_err();
    assert!(!error.answered);
    says(
        &error.trouble,
        Reason::CaUnreachable,
        &["connection was refused", &ca.url(), "Check that step-ca runs"],
    );
    says(&issuer.availability().await.unwrap_err(), Reason::CaUnreachable, &["/health"]);
    ca.restart().await.unwrap();
    issuer.issue(&bench.order, &bench.minter).await.unwrap();
}

#[tokio::test]
async fn a_restart_between_two_orders_is_not_noticed() {
    let ca = builder().start().await.unwrap();
    let issuer = client(&ca);
    for _ in 0..3 {
        let bench = Bench::new(&ca);
        issuer.issue(&bench.order, &bench.minter).await.unwrap();
        ca.restart().await.unwrap();
    }
}

#[tokio::test]
async fn a_strange_root_is_told_with_both_fingerprints() {
    let (ca, stranger) = (builder().start().await.unwrap(), builder().start().await.unwrap());
    let issuer = with(&ca, settings(&stranger.url()));
    let bench = Bench::new(&stranger);
    let error = issuer.issue(&bench.order, &bench.minter).await.unwrap_err();
    assert!(!error.answered);
    says(
        &error.trouble,
        Reason::WrongRoot,
        &[
            &format!("Pinned: {}", ca.root_fingerprint()),
            "Presented: ",
            "Phoenix Embedded Root CA",
            "phoenix-certctl trust",
        ],
    );
    assert_eq!(stranger.counters().requests, 0, "nothing was asked of a stranger");
}

#[tokio::test]
async fn a_name_that_the_ca_does_not_have_is_told_with_those_it_has() {
    let ca = builder().only_names(["ca.internal"]).start().await.unwrap();
    says(
        &client(&ca).availability().await.unwrap_err(),
        Reason::CaUnreachable,
        &["not for 127.0.0.1", "ca.internal", "dnsNames"],
    );
}

#[tokio::test]
async fn something_that_speaks_no_tls_is_told_so() {
    let ca = builder().start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(stream.read(&mut [0; 1024]).await);
        drop(stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nno TLS here").await);
    });
    says(
        &with(&ca, settings(&url)).availability().await.unwrap_err(),
        Reason::CaUnreachable,
        &["no TLS connection"],
    );
}

#[tokio::test]
async fn a_ca_that_never_answers_is_given_up() {
    let ca = builder().start().await.unwrap();
    let issuer = client(&ca);
    issuer.availability().await.unwrap();
    ca.fail_everywhere(Fault::Slow(std::time::Duration::from_secs(3600)));
    tokio::time::pause();
    says(&issuer.availability().await.unwrap_err(), Reason::CaUnreachable, &["no answer within 15 s"]);
}

#[test]
fn unusable_settings_are_told_at_once() {
    let name = "phoenix".parse().unwrap();
    let error = StepCa::new(&name, settings("https://ca"), "no PEM").unwrap_err();
    says(&error, Reason::IssuerNotReady, &["`phoenix`", "root certificates"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let root = runtime.block_on(async { DevCa::builder().start().await.unwrap().root_pem() });
    let error = StepCa::new(&name, settings("http://ca"), &root).unwrap_err();
    says(&error, Reason::IssuerNotReady, &["`http://ca`", "https://HOST:PORT"]);
}
