//! Commands that fail: believed, remembered, retried until they succeed.

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState};
use phoenix_testkit::guests::Fault;
use phoenix_testkit::manifest;
use phoenix_testkit::openssl;
use phoenix_testkit::patience;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::process;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_tests::{Bed, is_done, tells};
use serde_json::json;

const VM: u32 = 1001;
const LXC: u32 = 102;

fn bed() -> Result<Bed> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    Ok(bed)
}

/// Certificate renewed, command failed: told as such, with the next attempt.
fn fails(bed: &Bed, name: &str, reason: Reason) -> Result<CertificateStatus> {
    let told = |entry: &CertificateStatus| {
        tells(entry, reason, &[]) && entry.deployment.activated == StageState::Failed
    };
    let entry = bed.daemon.wait_entry(name, &format!("fails with {reason}"), told)?;
    ensure!(entry.state == CertificateState::Retrying, "{entry:?}");
    ensure!(entry.deployment.written == StageState::Done && entry.next_attempt_at.is_some(), "{entry:?}");
    ensure!(entry.last_error.as_ref().is_some_and(|error| error.stage == "activate"), "{entry:?}");
    Ok(entry)
}

#[test]
fn failures_are_told_apart_and_end_with_the_fault() -> Result<()> {
    let bed = bed()?;
    let cases = [
        ("docker-daemon", VM, Fault::Exit(5), Reason::CommandFailed),
        ("docker-daemon", VM, Fault::Signal(9), Reason::CommandKilled),
        ("docker-daemon", VM, Fault::PidOnly, Reason::CommandTimeout),
        ("traefik-client", LXC, Fault::Exit(5), Reason::CommandFailed),
        ("traefik-client", LXC, Fault::Signal(15), Reason::CommandKilled),
    ];
    for (name, guest, fault, reason) in cases {
        bed.guests.spoil(guest, fault, "systemctl");
        let asked = bed.daemon.certctl(["renew", "--name", name])?;
        ensure!(asked.status.code() == Some(1), "{fault:?}: {asked:?}");
        fails(&bed, name, reason)?;
        bed.guests.mend(guest);
        // Without this it would be retried by itself, which another test waits for.
        let asked = bed.daemon.certctl(["sync", name])?;
        ensure!(asked.status.success() && is_done(&bed.daemon.entry(name)?), "{fault:?}: {asked:?}");
    }
    bed.check_pairs()
}

#[test]
fn a_guest_that_is_off_is_waited_for() -> Result<()> {
    let bed = bed()?;
    let cases = [
        ("docker-daemon", VM, Fault::Off, Reason::GuestOff, CertificateState::Waiting),
        ("docker-daemon", VM, Fault::Locked, Reason::GuestLocked, CertificateState::Waiting),
        // It may come back, but as likely somebody has to install it.
        ("docker-daemon", VM, Fault::NoAgent, Reason::AgentMissing, CertificateState::Retrying),
        ("traefik-client", LXC, Fault::Off, Reason::GuestOff, CertificateState::Waiting),
        ("traefik-client", LXC, Fault::Locked, Reason::GuestLocked, CertificateState::Waiting),
    ];
    for (name, guest, fault, reason, state) in cases {
        bed.guests.spoil(guest, fault, "");
        let asked = bed.daemon.certctl(["renew", "--name", name, "--no-wait"])?;
        ensure!(asked.status.success(), "{asked:?}");
        let entry = bed.daemon.wait_entry(name, &format!("waits with {reason}"), |entry| {
            entry.reason.as_deref() == Some(reason.code())
        })?;
        ensure!(entry.state == state, "{entry:?}");
        ensure!(state != CertificateState::Waiting || entry.attempts == 0, "waiting counts: {entry:?}");
        bed.guests.mend(guest);
        let asked = bed.daemon.certctl(["sync", name])?;
        ensure!(asked.status.success(), "{asked:?}");
    }
    bed.check_pairs()
}

/// What lies in the guest is compared by hash with what was sent, before anything is run there.
#[test]
fn a_guest_that_only_claims_to_have_the_files_gets_no_command() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let mut entry = manifest::entry(&scratch, "web");
    entry["guest_id"] = json!(LXC);
    entry["guest_type"] = json!("lxc");
    entry["deliver"] = json!({"cert": "/etc/web/cert.pem", "key": "/etc/web/key.pem"});
    entry["post_renewal_command"] = json!("pct exec 102 -- systemctl restart web");
    let bed = Bed::around(scratch, ca, vec![entry])?;
    bed.daemon.wait_entry("web", "is in use", is_done)?;
    let runs = || bed.guests.calls_with("restart web").len();
    let before = runs();
    bed.guests.spoil(LXC, Fault::Exit(0), "mktemp");
    let asked = bed.daemon.certctl(["renew", "--name", "web"])?;
    ensure!(asked.status.code() == Some(1), "{asked:?}");
    let differs =
        |entry: &_| tells(entry, Reason::DeliveryDiffers, &["/etc/web/key.pem", "not what was sent"]);
    let entry = bed.daemon.wait_entry("web", "is not believed", differs)?;
    ensure!(entry.deployment.delivered == StageState::Failed, "{entry:?}");
    ensure!(runs() == before, "its command was run");
    bed.guests.mend(LXC);
    let asked = bed.daemon.certctl(["sync", "web"])?;
    ensure!(asked.status.success() && is_done(&bed.daemon.entry("web")?), "{asked:?}");
    ensure!(runs() == before + 1, "its command was run {} times", runs() - before);
    Ok(())
}

#[test]
fn a_failure_is_remembered_over_sigkill_and_the_command_runs_again() -> Result<()> {
    let mut bed = bed()?;
    bed.guests.spoil(VM, Fault::Exit(5), "systemctl");
    bed.daemon.certctl(["renew", "--name", "docker-daemon"])?;
    let before = fails(&bed, "docker-daemon", Reason::CommandFailed)?;
    bed.daemon.restart()?;
    let after = fails(&bed, "docker-daemon", Reason::CommandFailed)?;
    ensure!(after.serial == before.serial, "a new certificate was made for a failed command");
    ensure!(after.attempts >= before.attempts, "attempts were forgotten: {after:?}");
    bed.guests.mend(VM);
    bed.daemon.wait_entry("docker-daemon", "is ok", is_done)?;
    let place = &bed.places[0];
    ensure!(bed.ran_for_present(place)?, "the command did not run for the present certificate");
    ensure!(after.fingerprint_sha256 == Some(openssl::fingerprint(&place.cert)?), "{after:?}");
    Ok(())
}

#[test]
fn a_command_that_hangs_is_ended_at_its_time_limit() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let mut entry = manifest::entry(&scratch, "slow");
    entry["post_renewal_command"] = json!("pct exec 102 -- sleep 98765");
    entry["command"] = json!({"timeout": "2s"});
    let bed = Bed::around(scratch, ca, vec![entry])?;
    fails(&bed, "slow", Reason::CommandTimeout)?;
    ensure!(!bed.guests.calls_with("sleep 98765").is_empty(), "it was never run");
    // From now on attempts end at once, so that what is left is left by an earlier one.
    bed.guests.spoil(LXC, Fault::Exit(0), "sleep");
    bed.daemon.wait_entry("slow", "is ok", is_done)?;
    let survives =
        || process::all().iter().any(|seen| seen.cmdline.ends_with(b"98765\0") && seen.state != 'Z');
    patience::until(|| (!survives()).then_some(())).context("the command survived its time limit")
}

#[test]
fn commands_get_a_clean_environment_that_names_their_certificate() -> Result<()> {
    let bed = bed()?;
    for place in &bed.places {
        let command = place.command.as_deref().unwrap_or_default();
        let tail = command.split_once(" -- ").map(|(_, tail)| tail).unwrap_or_default();
        let call = bed.guests.wait_for_call(tail)?;
        let value = |name: &str| call.env.get(name).map(String::as_str);
        ensure!(value("PHOENIX_CERT_PATH") == place.cert.to_str(), "{call:?}");
        ensure!(value("PHOENIX_KEY_PATH") == place.key.to_str(), "{call:?}");
        ensure!(value("PHOENIX_FINGERPRINT") == Some(&openssl::fingerprint(&place.cert)?), "{call:?}");
        ensure!(value("PHOENIX_SERIAL").is_some() && value("PHOENIX_NOT_AFTER").is_some(), "{call:?}");
        ensure!(value("HOME").is_none_or(|home| home == "/" || home == "/root"), "{call:?}");
        ensure!(value("CARGO_MANIFEST_DIR").is_none(), "the environment is not clean: {call:?}");
        ensure!(call.stdin_length == 0, "{call:?}");
    }
    let vm = bed.guests.wait_for_call("systemctl restart docker")?;
    ensure!(vm.line().contains("--timeout"), "qm guest exec got no time limit: {}", vm.line());
    Ok(())
}
