//! The CA answers, but not with a certificate.

use phoenix_core::reason::Reason;
use phoenix_devca::{DevCa, Fault};
use phoenix_issuers::{IssueError, Issuer};

use crate::support::{Bench, PASSWORD, PROVISIONER, builder, client};

/// The failure of an order, checked for what every sentence has.
async fn failure(ca: &DevCa, bench: &Bench) -> IssueError {
    let error = client(ca).issue(&bench.order, &bench.minter).await.unwrap_err();
    assert!(error.answered);
    error
}

fn says(error: &IssueError, reason: Reason, parts: &[&str]) {
    assert_eq!(error.trouble.reason, reason, "{error}");
    for part in parts {
        assert!(error.trouble.message.contains(part), "`{part}` is missing in: {error}");
    }
}

#[tokio::test]
async fn refused_twice_the_token_has_all_possible_causes() {
    let ca = builder().start().await.unwrap();
    ca.set_clock_skew(-90);
    let mut bench = Bench::new(&ca);
    bench.minter.audience = "https://step.internal/1.0/sign".to_owned();
    let error = failure(&ca, &bench).await;
    says(
        &error,
        Reason::TokenRefused,
        &[
            "get a certificate for `web`",
            "issuer `phoenix`",
            &format!("{}/1.0/sign", ca.url()),
            "HTTP 401",
            "audience",
            "key was exchanged",
            "s behind this machine's",
            "restarted",
            "used already",
            "CA's log",
            "request id",
        ],
    );
    assert_eq!(bench.requests().len(), 2);
    assert!((error.clock_skew.unwrap() + 90).abs() <= 5);
}

#[tokio::test]
async fn a_lifetime_outside_the_limits_is_told_with_the_limits() {
    let ca = builder().start().await.unwrap();
    for (seconds, parts) in [
        (60, ["counts 2m0s", "at least 5m0s", "`validity`"]),
        (90_000, ["counts 25h1m0s", "at most 24h1m0s", "`validity`"]),
    ] {
        says(&failure(&ca, &Bench::new(&ca).lasting(seconds)).await, Reason::DurationLimits, &parts);
    }
}

#[tokio::test]
async fn forbidden_names_come_with_the_cas_reason() {
    let ca = builder().start().await.unwrap();
    let mut bench = Bench::new(&ca);
    bench.minter.sans.push("other.internal".to_owned());
    says(
        &failure(&ca, &bench).await,
        Reason::CaForbids,
        &[
            "HTTP 403",
            "does not contain the valid DNS names - got [web.internal], want [web.internal other.internal]",
        ],
    );
}

#[tokio::test]
async fn a_request_that_is_not_understood_is_told_so() {
    let ca = builder().start().await.unwrap();
    let mut bench = Bench::new(&ca);
    bench.order.csr_pem = "no PEM".to_owned();
    says(&failure(&ca, &bench).await, Reason::CaRejects, &["HTTP 400", "error decoding json"]);
}

#[tokio::test]
async fn an_unknown_provisioner_is_told_with_those_that_exist() {
    let ca = builder().provisioner("second", PASSWORD).client_provisioner("mesh", "x").start().await.unwrap();
    ca.remove_provisioner(PROVISIONER).unwrap();
    let bench = Bench::new(&ca);
    says(
        &failure(&ca, &bench).await,
        Reason::UnknownProvisioner,
        &[&format!("no provisioner `{PROVISIONER}`"), "`second`, `mesh`", "/provisioners"],
    );
    assert_eq!(ca.counters().sign_requests, 0);
}

#[tokio::test]
async fn trouble_of_the_minter_is_passed_on_and_costs_no_request() {
    let ca = builder().start().await.unwrap();
    let mut bench = Bench::new(&ca);
    bench.minter.password = "wrong".to_owned();
    says(&failure(&ca, &bench).await, Reason::WrongPassword, &["password"]);
    assert_eq!(ca.counters().sign_requests, 0);
}

#[tokio::test]
async fn broken_answers_have_their_reasons() {
    let ca = builder().start().await.unwrap();
    for (fault, reason, part) in [
        (Fault::Status(500), Reason::CaError, "HTTP 500"),
        (Fault::Status(503), Reason::CaError, "HTTP 503"),
        (Fault::Status(302), Reason::CaAnswer, "302"),
        (Fault::Status(404), Reason::CaAnswer, "no such service"),
        (Fault::Status(403), Reason::CaForbids, "HTTP 403"),
        (Fault::Garbage, Reason::CaAnswer, "cannot be understood"),
        (Fault::CutJson, Reason::CaAnswer, "cannot be understood"),
        (Fault::ClosedConnection, Reason::CaAnswer, "broke in the middle"),
        (Fault::HugeBody, Reason::CaAnswer, "longer than 1048576 bytes"),
    ] {
        ca.fail_signing(fault);
        says(&failure(&ca, &Bench::new(&ca)).await, reason, &[part, "get a certificate for `web`"]);
        ca.heal();
    }
}

#[tokio::test]
async fn a_ca_that_cannot_list_provisioners_is_told_so() {
    let ca = builder().start().await.unwrap();
    for (fault, reason) in [
        (Fault::Status(500), Reason::CaError),
        (Fault::Garbage, Reason::CaAnswer),
        (Fault::HugeBody, Reason::CaAnswer),
    ] {
        ca.fail_everywhere(fault);
        says(&failure(&ca, &Bench::new(&ca)).await, reason, &["list the provisioners", "/provisioners"]);
        ca.heal();
    }
}

#[tokio::test]
async fn no_failure_shows_a_token() {
    let ca = builder().start().await.unwrap();
    ca.fail_signing(Fault::Status(401));
    let bench = Bench::new(&ca);
    let text = format!("{:?}", failure(&ca, &bench).await);
    assert!(!text.contains("eyJ"), "{text}");
}
