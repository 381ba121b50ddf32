use phoenix_core::facts::{Baseline, Deed, FileFact, LeafFacts, Ledger, LivePair, Observation, OwnCopy};
use phoenix_core::lifecycle::{Hold, Order, Reach, Stage};
use phoenix_core::manifest::{Context, Manifest};
use phoenix_core::reason::Reason;
use phoenix_core::settings::Settings;
use phoenix_protocol::control::{CertificateState, Deployment, StageState};

use super::*;

const NOW: Timestamp = Timestamp::from_unix(1_000_000);

fn entry() -> Entry {
    let settings = Settings::parse(
        "manifest = \"/etc/m.json\"\nstate_dir = \"/var/lib/d\"\ncontrol_socket = \"/run/d/c.sock\"\n\
         [executor]\nsocket = \"/run/e/e.sock\"\nstate_dir = \"/var/lib/e\"\ntarget_roots = [\"/mnt\"]\n\
         commands = [\"/usr/sbin/pct\"]\n\
         [[issuer]]\nname = \"phoenix\"\ntype = \"step-ca\"\nurl = \"https://ca:9000\"\nroot = \"/etc/root.pem\"\n\
         provisioner = \"p\"\npassword_file = \"/etc/p\"\n",
        "certd.toml",
    )
    .unwrap();
    let text = r#"[{"common_name": "one.internal.thinkheads.ai", "cert_path": "/mnt/c.pem",
        "key_path": "/mnt/k.pem", "post_renewal_command": "pct exec 102 -- systemctl restart traefik"}]"#;
    Manifest::parse(text, &Context::of(&settings)).manifest.unwrap().entries.remove(0)
}

fn leaf(entry: &Entry) -> LeafFacts {
    LeafFacts {
        serial: "5e".into(),
        fingerprint: "fp".into(),
        common_name: Some(entry.common_name.clone()),
        sans: entry.sans.clone(),
        not_before: Timestamp::from_unix(NOW.unix() - 3600),
        not_after: Timestamp::from_unix(NOW.unix() + 82_800),
        client_auth: true,
        server_auth: true,
        other_eku: false,
        key_type: Some(entry.key_type),
        public_key: "spki".into(),
        issuer: "CA".into(),
    }
}

fn file(sha256: &str) -> FileFact {
    FileFact::Present { uid: 0, gid: 0, mode: 0o600, sha256: sha256.into() }
}

/// Our own pair, written, its command run.
fn done(entry: &Entry) -> State {
    let leaf = leaf(entry);
    let baseline = Baseline { cert: (0, 0, 0o600), key: (0, 0, 0o600) };
    let seen = Observation {
        at: NOW,
        target_trouble: None,
        live: LivePair {
            cert: file("c"),
            key: file("k"),
            leaf: Some(leaf.clone()),
            key_public: Some("spki".into()),
            trusted: Some(true),
            companions_differ: false,
        },
        own: Some(OwnCopy {
            leaf,
            trusted: Some(true),
            cert_sha256: "c".into(),
            key_sha256: "k".into(),
            adopted: false,
            installed_at: NOW,
        }),
        ledger: Ledger {
            activated: Some(Deed { fingerprint: "fp".into(), of: "command".into(), at: NOW }),
            baseline: Some(baseline.clone()),
            ..Ledger::default()
        },
        delivery_digest: None,
        command_digest: Some("command".into()),
        wanted: Some(baseline),
        set_aside: Vec::new(),
    };
    State { seen: Some(seen), ..State::default() }
}

fn told(entry: &Entry, state: &State, availability: &Availability) -> CertificateStatus {
    let subject = Subject { entry, warnings: &[], state, jitter: Jitter::default(), availability };
    certificate(&subject, NOW)
}

fn with(change: impl FnOnce(&mut Entry, &mut State)) -> (CertificateState, Option<String>, Deployment) {
    let mut entry = entry();
    let mut state = done(&entry);
    change(&mut entry, &mut state);
    let told = told(&entry, &state, &Availability::Ready);
    (told.state, told.reason, told.deployment)
}

fn seen(state: &mut State) -> &mut Observation {
    state.seen.as_mut().unwrap()
}

fn fail(state: &mut State, stage: Stage, reason: Reason) {
    state.memory.fail(stage, phoenix_core::reason::Trouble::new(reason, "words"), None, NOW);
}

#[test]
fn every_state_is_told_with_its_reason() {
    use CertificateState as C;
    type Change = fn(&mut Entry, &mut State);
    let cases: &[(Change, C, Option<&str>)] = &[
        (|_, _| (), C::Ok, None),
        (|entry, _| entry.paused = true, C::Paused, Some("paused")),
        (|_, state| seen(state).live.cert = FileFact::Missing, C::Missing, Some("missing")),
        (|_, state| seen(state).live.key_public = Some("x".into()), C::Invalid, Some("key-mismatch")),
        (|_, state| seen(state).live.leaf.as_mut().unwrap().not_after = NOW, C::Expired, Some("expired")),
        (|_, state| fail(state, Stage::Activate, Reason::CommandFailed), C::Retrying, Some("command-failed")),
        (|_, state| fail(state, Stage::Deliver, Reason::GuestOff), C::Waiting, Some("guest-off")),
        (|_, state| fail(state, Stage::Issue, Reason::CaForbids), C::Blocked, Some("ca-forbids")),
        (|_, state| seen(state).ledger.activated = None, C::Deploying, None),
        (|_, state| state.memory.reissue = true, C::Due, Some("forced")),
    ];
    for (number, (change, state, reason)) in cases.iter().enumerate() {
        let (found, why, _) = with(change);
        assert_eq!((found, why.as_deref()), (*state, *reason), "case {number}");
    }
}

#[test]
fn the_first_of_several_states_is_told() {
    let (state, reason, _) = with(|entry, state| {
        entry.paused = true;
        seen(state).live.key = FileFact::Missing;
        fail(state, Stage::Issue, Reason::CaUnreachable);
    });
    assert_eq!((state, reason.as_deref()), (CertificateState::Missing, Some("ca-unreachable")));
    let (state, reason, _) = with(|_, state| {
        fail(state, Stage::Activate, Reason::CommandFailed);
        fail(state, Stage::Write, Reason::RootSquash);
    });
    assert_eq!((state, reason.as_deref()), (CertificateState::Blocked, Some("root-squash")));
}

#[test]
fn storage_that_is_absent_is_blocked_and_not_missing() {
    let (state, reason, _) = with(|_, state| {
        let trouble = phoenix_core::reason::Trouble::new(Reason::StorageAbsent, "not mounted");
        seen(state).target_trouble = Some(trouble);
        seen(state).live.cert = FileFact::Missing;
        fail(state, Stage::Write, Reason::StorageAbsent);
    });
    assert_eq!((state, reason.as_deref()), (CertificateState::Blocked, Some("storage-absent")));
}

#[test]
fn a_held_certificate_waits_and_its_command_is_pending() {
    let (state, reason, deployment) = with(|_, state| {
        seen(state).ledger.activated = None;
        state.memory.hold = Some(Hold { fingerprint: "fp".into(), reach: Reach::Written });
    });
    assert_eq!((state, reason.as_deref()), (CertificateState::Waiting, Some("held")));
    assert_eq!((deployment.written, deployment.activated), (StageState::Done, StageState::Pending));
}

#[test]
fn stages_that_are_not_configured_are_none_and_failed_ones_failed() {
    let (_, _, deployment) = with(|_, state| {
        seen(state).ledger.activated = None;
        fail(state, Stage::Activate, Reason::CommandFailed);
    });
    assert_eq!(deployment.delivered, StageState::None);
    assert_eq!(deployment.activated, StageState::Failed);
    assert_eq!(deployment.verified, StageState::None);
}

#[test]
fn an_issuers_trouble_is_told_as_it_is_now() {
    let entry = entry();
    let mut state = done(&entry);
    fail(&mut state, Stage::Issue, Reason::WrongRoot);
    let next_look = Timestamp::from_unix(NOW.unix() + 7);
    let trouble = phoenix_core::reason::Trouble::new(Reason::TrustChanged, "changed");
    let told = told(&entry, &state, &Availability::Unavailable { trouble, next_look });
    assert_eq!(told.reason.as_deref(), Some("trust-changed"));
    assert_eq!(told.next_attempt_at, Some(next_look));
    assert_eq!(told.last_error.unwrap().message, "changed");
}

#[test]
fn an_open_order_alone_does_not_change_the_state() {
    let (state, _, _) = with(|_, state| {
        state.memory.order = Some(Order::new(Reach::Verified, NOW));
    });
    assert_eq!(state, CertificateState::Ok);
}
