//! Standalone mode started as root: the daemon itself does not stay root, and still gets executors.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::daemon::{Setup, issuer_of};
use phoenix_testkit::patience::until;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::process::{Group, Seen, bin, descendants, signal};
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{control, manifest};
use phoenix_tests::is_done;
use rustix::process::Signal;

/// The daemon's user, known in a mount namespace of the test only.
const UID: u32 = 64_321;

/// A copy of a file of accounts with one line more.
fn with_line(scratch: &Scratch, file: &str, line: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/etc/{file}"))?;
    Ok(scratch.file(file, format!("{}\n{line}\n", text.trim_end()), 0o644)?.display().to_string())
}

/// The living process below `ancestor` whose command line has this word.
fn playing(ancestor: u32, word: &str) -> Option<Seen> {
    let names =
        |seen: &Seen| String::from_utf8_lossy(&seen.cmdline).split('\0').any(|part| part.ends_with(word));
    descendants(ancestor).into_iter().find(names)
}

#[test]
fn the_daemon_gives_up_root_and_gets_a_new_executor_when_the_old_one_is_killed() -> Result<()> {
    let scratch = Scratch::new()?;
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let setup = Setup::new(&scratch)?.issuer(&issuer_of(&ca));
    let config = scratch.file("etc/certd.toml", setup.text()?, 0o644)?;
    let entries = serde_json::to_vec(&[manifest::entry(&scratch, "one")])?;
    scratch.file("etc/certificate-manifest.json", entries, 0o644)?;
    let passwd = with_line(&scratch, "passwd", &format!("phoenix-certd:x:{UID}:{UID}::/:/usr/sbin/nologin"))?;
    let group = with_line(&scratch, "group", &format!("phoenix-certd:x:{UID}:"))?;
    let socket = scratch.join("control/control.sock");
    let log = fs::File::create(scratch.join("certd.log"))?;
    let told = || fs::read_to_string(scratch.join("certd.log")).unwrap_or_default();
    let script = r#"mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@""#;
    let mut keeper = Group::spawn(
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", &passwd, &group])
            .arg(bin("phoenix-certd")?)
            .args(["--standalone", "--log", "text", "--config"])
            .arg(config)
            .arg("--state-dir")
            .arg(scratch.join("daemon/state"))
            .arg("--control-socket")
            .arg(&socket)
            .stdout(log.try_clone()?)
            .stderr(log),
    )?;
    let well = || control::status(&socket).ok()?.certificates.first().filter(|entry| is_done(entry)).cloned();
    until(well).with_context(|| format!("never issued; log:\n{}", told()))?;

    let pid = keeper.pid();
    let owner = |seen: &Seen| fs::metadata(format!("/proc/{}", seen.pid)).map(|facts| facts.uid());
    let daemon = playing(pid, "--kept").context("there is no daemon")?;
    let executor = playing(pid, "phoenix-executor").context("there is no executor")?;
    ensure!(owner(&daemon)? == UID, "the daemon is not its own user");
    ensure!(owner(&executor)? == 0, "the executor is not root");
    ensure!(fs::metadata(scratch.join("daemon/state/certd"))?.uid() == UID, "its state is not its own");

    signal(executor.pid, Signal::KILL)?;
    until(|| playing(pid, "phoenix-executor").filter(|other| other.pid != executor.pid))
        .with_context(|| format!("no executor followed; log:\n{}", told()))?;
    until(well).with_context(|| format!("not well with it; log:\n{}", told()))?;
    ensure!(keeper.terminate()?, "the keeper ended badly; log:\n{}", told());
    Ok(())
}
