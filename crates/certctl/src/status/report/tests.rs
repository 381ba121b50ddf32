use std::time::Duration;

use anstream::adapter::strip_str;
use phoenix_protocol::control::{
    DaemonStatus, Deployment, IssuerStatus, LastError, ManifestStatus, SCHEMA, StageState,
};
use phoenix_protocol::executor::ManifestState;

use super::*;

const NOW: Timestamp = Timestamp::from_unix(1_795_291_200);

fn entry(name: &str) -> CertificateStatus {
    CertificateStatus {
        name: name.into(),
        common_name: format!("{name}.internal.thinkheads.ai"),
        sans: vec![],
        cert_path: "/c".into(),
        key_path: "/k".into(),
        issuer: "phoenix".into(),
        state: CertificateState::Ok,
        serial: Some("0a".into()),
        fingerprint_sha256: None,
        not_before: Some(NOW),
        not_after: Some(NOW.plus(Duration::from_secs(83_520))),
        renew_at: Some(NOW.plus(Duration::from_secs(54_000))),
        deployment: Deployment {
            written: StageState::Done,
            delivered: StageState::None,
            activated: StageState::Done,
            verified: StageState::None,
        },
        served: None,
        reason: None,
        warnings: vec![],
        attempts: 0,
        next_attempt_at: None,
        last_error: None,
    }
}

fn document(certificates: Vec<CertificateStatus>) -> StatusDocument {
    StatusDocument {
        schema: SCHEMA,
        generated_at: NOW,
        daemon: DaemonStatus {
            running: true,
            version: Some("0.1.0".into()),
            manifest: ManifestStatus {
                path: "/etc/m.json".into(),
                digest: None,
                loaded_at: Some(NOW),
                state: ManifestState::Loaded,
                error: None,
            },
            issuers: vec![],
            warnings: vec![],
        },
        certificates,
    }
}

fn text(document: &StatusDocument) -> String {
    strip_str(&render(document)).to_string()
}

#[test]
fn a_healthy_report_is_a_table_and_nothing_more() {
    let mut verified = entry("traefik-client");
    verified.deployment.verified = StageState::Done;
    assert_eq!(
        text(&document(vec![entry("docker-daemon"), verified])),
        "\
NAME            STATE  EXPIRES IN   RENEWS AT             DEPLOYMENT
docker-daemon   ok     23 h 12 min  2026-11-22T11:00:00Z  activated, unverified
traefik-client  ok     23 h 12 min  2026-11-22T11:00:00Z  verified
"
        .replace("DEPLOYMENT\n", "DEPLOYMENT             PROBLEM\n")
    );
}

#[test]
fn what_is_not_in_order_is_explained_below_the_table() {
    let mut retrying = entry("docker-daemon");
    retrying.state = CertificateState::Retrying;
    retrying.reason = Some("command-failed".into());
    retrying.deployment.activated = StageState::Failed;
    retrying.attempts = 3;
    retrying.next_attempt_at = Some(NOW.plus(Duration::from_secs(300)));
    retrying.last_error = Some(LastError {
        stage: "activate".into(),
        message: "`qm guest exec 1001` ended with exit code 1:\nno such unit\u{1b}[31m".into(),
        at: NOW.minus(Duration::from_secs(10)),
    });
    let mut missing = entry("nginx");
    missing.state = CertificateState::Waiting;
    missing.reason = Some("issuer-not-ready".into());
    missing.not_after = None;
    missing.renew_at = None;
    missing.deployment.written = StageState::Pending;
    missing.next_attempt_at = Some(NOW.minus(Duration::from_secs(1)));
    missing.warnings = vec!["unknown field `sanz`: did you mean `sans`?".into(), "second".into()];
    let mut expired = entry("old");
    expired.state = CertificateState::Expired;
    expired.not_after = Some(NOW.minus(Duration::from_secs(7_200)));
    assert_eq!(
        text(&document(vec![retrying, missing, expired])),
        "\
NAME           STATE     EXPIRES IN   RENEWS AT             DEPLOYMENT                  PROBLEM
docker-daemon  retrying  23 h 12 min  2026-11-22T11:00:00Z  written, activation failed  command-failed
nginx          waiting   -            -                     writing pending             issuer-not-ready
old            expired   2 h ago      2026-11-22T11:00:00Z  activated, unverified

docker-daemon failed and is tried again (command-failed)
  last error, activate, 10 s ago: `qm guest exec 1001` ended with exit code 1:
  no such unit\\u{1b}[31m
  next attempt: in 5 min, 2026-11-21T20:05:00Z, after 3 failures
nginx waits (issuer-not-ready)
  next attempt: now, 2026-11-21T19:59:59Z
  warning: unknown field `sanz`: did you mean `sans`?
  warning: second
old has expired
"
    );
}

#[test]
fn troubles_of_the_daemon_come_last() {
    let mut document = document(vec![]);
    document.daemon.manifest.state = ManifestState::Stale;
    document.daemon.manifest.error = Some("error: not JSON\n --> /etc/m.json:1:1\n".into());
    document.daemon.issuers = vec![IssuerStatus {
        name: "phoenix".into(),
        ready: false,
        problem: Some("the CA cannot be reached".into()),
        clock_skew: None,
    }];
    document.daemon.warnings = vec!["trust-anchor-writable".into()];
    assert_eq!(
        text(&document),
        "\
There are no certificates to show: the manifest is /etc/m.json

the manifest /etc/m.json is broken; the last good version stays in force:
  error: not JSON
   --> /etc/m.json:1:1
issuer phoenix: the CA cannot be reached
warning: trust-anchor-writable
"
    );
}

#[test]
fn warnings_of_a_good_entry_are_counted_and_shown() {
    let mut warned = entry("a");
    warned.warnings = vec!["key readable by others".into()];
    let text = text(&document(vec![warned]));
    assert!(text.contains("  1 warning\n"), "{text}");
    assert!(text.ends_with("\na is in order\n  warning: key readable by others\n"), "{text}");
}
