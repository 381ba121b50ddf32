//! What the operator is told when the CA, or what is known about it, is not as it should be.

use std::fs;

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, StageState};
use phoenix_testkit::daemon::{Setup, issuer_of};
use phoenix_testkit::guests::Guests;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{manifest, openssl};
use phoenix_tests::{Bed, is_done, tells};
use serde_json::{Value, json};

/// A wrong setting: the issuer's section with one piece replaced, what the entry asks for, and what is told.
struct Wrong {
    name: &'static str,
    section: String,
    entry: Value,
    state: CertificateState,
    reason: Reason,
    words: &'static [&'static str],
}

fn wrongs(scratch: &Scratch, ca: &StepCa) -> Result<Vec<Wrong>> {
    let section = issuer_of(ca);
    let with = |old: &str, new: &str| section.replace(old, new);
    let quoted = |path: &std::path::Path| format!("{:?}", path.display().to_string());
    let other = StepCa::prepare(&scratch.join("other-ca"), ca.version(), &Options::default())?;
    let password = scratch.file("wrong-password", "not the password\n", 0o600)?;
    let blocked = |name, section, reason, words| Wrong {
        name,
        section,
        entry: json!({}),
        state: CertificateState::Blocked,
        reason,
        words,
    };
    Ok(vec![
        blocked(
            "wrong-root",
            with(&quoted(&ca.root), &quoted(&other.root)),
            Reason::WrongRoot,
            &["root", "localhost"],
        ),
        blocked(
            "wrong-password",
            with(&quoted(&ca.password_file), &quoted(&password)),
            Reason::WrongPassword,
            &["password", "admin@thinkheads.ai"],
        ),
        blocked(
            "unknown-provisioner",
            with("admin@thinkheads.ai", "nobody@thinkheads.ai"),
            Reason::UnknownProvisioner,
            &["nobody@thinkheads.ai", "admin@thinkheads.ai"],
        ),
        blocked(
            "token-refused",
            format!("{section}audience = \"https://elsewhere.internal.thinkheads.ai\"\n"),
            Reason::TokenRefused,
            &["audience", "clock"],
        ),
        Wrong {
            entry: json!({"validity": "48h"}),
            ..blocked("too-long", section.clone(), Reason::DurationLimits, &["48h", "24h"])
        },
        Wrong {
            entry: json!({"validity": "1m"}),
            ..blocked("too-short", section.clone(), Reason::DurationLimits, &["5m"])
        },
        Wrong {
            state: CertificateState::Waiting,
            ..blocked(
                "root-absent",
                with(&quoted(&ca.root), &quoted(&scratch.join("no-such-root.crt"))),
                Reason::IssuerNotReady,
                &["no-such-root.crt"],
            )
        },
        Wrong {
            state: CertificateState::Waiting,
            ..blocked(
                "password-absent",
                with(&quoted(&ca.password_file), &quoted(&scratch.join("no-such-password"))),
                Reason::IssuerNotReady,
                &["no-such-password"],
            )
        },
    ])
}

/// All wrong settings at once in one daemon: each is told at its own entry, and a good entry is not delayed.
fn every_wrong_setting_is_told(version: StepCaVersion) -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), version, &Options::default())?;
    let wrongs = wrongs(&scratch, &ca)?;
    let mut setup = Setup::new(&scratch)?.step_ca(&ca);
    let mut entries = vec![manifest::entry(&scratch, "good")];
    for wrong in &wrongs {
        let named = wrong.section.replace("name = \"phoenix\"", &format!("name = \"{}\"", wrong.name));
        setup = setup.issuer(&named);
        let mut entry = manifest::entry(&scratch, wrong.name);
        entry["issuer"] = json!(wrong.name);
        entry
            .as_object_mut()
            .context("an object")?
            .extend(wrong.entry.as_object().cloned().unwrap_or_default());
        entries.push(entry);
    }
    let daemon = setup.start(&entries)?;
    daemon.wait_entry("good", "is ok", is_done)?;
    for wrong in &wrongs {
        let told = |entry: &_| tells(entry, wrong.reason, wrong.words);
        let entry =
            daemon.wait_entry(wrong.name, &format!("tells {} with {:?}", wrong.reason, wrong.words), told)?;
        // Where there is no certificate yet, `missing` comes before every other state.
        ensure!([CertificateState::Missing, wrong.state].contains(&entry.state), "{entry:?}");
        ensure!(entry.next_attempt_at.is_some(), "no next attempt is told: {entry:?}");
    }
    secrets_are_not_told(&daemon.log(), &ca)
}

fn secrets_are_not_told(log: &str, ca: &StepCa) -> Result<()> {
    for secret in [ca.password()?.trim(), "not the password", "PRIVATE KEY"] {
        ensure!(!log.contains(secret), "the log tells {secret}");
    }
    Ok(())
}

#[test]
fn every_wrong_setting_is_told_with_step_ca_0_30_2() -> Result<()> {
    every_wrong_setting_is_told(StepCaVersion::V0_30_2)
}

#[test]
fn every_wrong_setting_is_told_with_step_ca_0_19_0() -> Result<()> {
    every_wrong_setting_is_told(StepCaVersion::V0_19_0)
}

/// A password that is put right is used as soon as the executor is asked about the file, whatever the spacing.
#[test]
fn a_wrong_password_blocks_until_its_file_is_put_right_and_no_longer() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let right = fs::read(&ca.password_file)?;
    fs::write(&ca.password_file, "not the password\n")?;
    let entry = manifest::entry(&scratch, "web");
    let setup = Setup::new(&scratch)?.step_ca(&ca).lines("[renewal]\npoll = \"1s\"\n");
    let daemon = setup.start(&[entry])?;
    let file = ca.password_file.display().to_string();
    let words = ["does not open the key", ca.provisioner.as_str(), file.as_str(), "when the file changes"];
    let entry = daemon.wait_entry("web", "tells of the wrong password", |entry| {
        tells(entry, Reason::WrongPassword, &words)
    })?;
    let (Some(error), Some(next)) = (&entry.last_error, entry.next_attempt_at) else {
        anyhow::bail!("no next attempt is told: {entry:?}")
    };
    // Nothing is tried meanwhile, since it could not help.
    ensure!(next.since(error.at).as_secs() >= 60, "{entry:?}");
    fs::write(&ca.password_file, right)?;
    let entry = daemon.wait_entry("web", "is ok", is_done)?;
    ensure!(entry.not_before.context("it has no beginning")? < next, "it waited for its spacing: {entry:?}");
    secrets_are_not_told(&daemon.log(), &ca)
}

#[test]
fn a_ca_that_is_not_there_yet_is_waited_for() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut ca = StepCa::prepare(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let entries = [manifest::entry(&scratch, "early")];
    let daemon = Setup::new(&scratch)?.step_ca(&ca).start(&entries)?;
    let waits = |entry: &_| tells(entry, Reason::IssuerNotReady, &["localhost"]);
    daemon.wait_entry("early", "waits for the CA", waits)?;
    ca.start()?;
    daemon.wait_entry("early", "is ok", is_done).map(drop)
}

#[test]
fn a_root_that_appears_later_is_picked_up() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let hidden = ca.root.with_extension("hidden");
    fs::rename(&ca.root, &hidden)?;
    let entries = [manifest::entry(&scratch, "early")];
    let daemon = Setup::new(&scratch)?.step_ca(&ca).start(&entries)?;
    daemon.wait_entry("early", "waits for the root", |entry| {
        tells(entry, Reason::IssuerNotReady, &["root_ca.crt"])
    })?;
    fs::rename(&hidden, &ca.root)?;
    daemon.wait_entry("early", "is ok", is_done).map(drop)
}

#[test]
fn a_ca_that_is_down_touches_no_file_and_is_told() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let entry = manifest::entry(&scratch, "steady");
    let mut bed = Bed::around(scratch, ca, vec![entry])?;
    bed.daemon.wait_all_ok(1)?;
    let before = openssl::fingerprint(&bed.places[0].cert)?;
    bed.ca.stop()?;

    let asked = bed.daemon.certctl(["renew", "--name", "steady", "--timeout", "60s"])?;
    ensure!(asked.status.code() == Some(1), "{asked:?}");
    ensure!(!asked.stderr.is_empty(), "no reason is given: {asked:?}");
    let told = |entry: &_| tells(entry, Reason::CaUnreachable, &["localhost"]);
    let entry = bed.daemon.wait_entry("steady", "tells that the CA is down", told)?;
    ensure!(entry.state == CertificateState::Retrying && entry.attempts > 0, "{entry:?}");
    ensure!(entry.deployment.written == StageState::Done, "{entry:?}");
    ensure!(openssl::fingerprint(&bed.places[0].cert)? == before, "the pair was touched");
    bed.check_pairs()?;

    bed.ca.start()?;
    bed.daemon.wait_entry("steady", "has a new certificate", |entry| {
        is_done(entry) && entry.fingerprint_sha256.as_ref() != Some(&before)
    })?;
    bed.check_pairs()
}

/// The programs of guests are not needed for certificates alone.
#[test]
fn programs_that_are_absent_delay_no_certificate() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let guests = Guests::new(&scratch)?;
    let mut entry = manifest::entry(&scratch, "hooked");
    entry["post_renewal_command"] = json!("pct exec 102 -- systemctl restart traefik");
    let daemon = Setup::new(&scratch)?
        .step_ca(&ca)
        .programs([guests.program("pct"), scratch.join("bin/absent")])
        .start(&[entry])?;
    let written =
        |entry: &phoenix_protocol::control::CertificateStatus| entry.deployment.written == StageState::Done;
    daemon.wait_entry("hooked", "is written", written)?;
    let absent = |entry: &_| tells(entry, Reason::GuestAbsent, &["102"]);
    daemon.wait_entry("hooked", "waits for its guest", absent).map(drop)
}
