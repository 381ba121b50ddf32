//! `explain`: the first ten lines name the cause, what happens when, and a command that shows the problem. The command is
//! run, and it does.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState, CertificateStatus};
use phoenix_testkit::daemon::{Daemon, Setup, issuer_of};
use phoenix_testkit::guests::{Fault, Guests, Kind};
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::process;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_tests::{is_done, tells};
use serde_json::{Value, json};

const LXC: u32 = 102;

/// What the operator sees first.
struct Seen {
    lines: Vec<String>,
}

impl Seen {
    fn of(daemon: &Daemon, name: &str) -> Result<Self> {
        let out = daemon.certctl(["explain", "--brief", name])?;
        ensure!(out.status.success(), "{out:?}");
        let lines: Vec<String> = String::from_utf8(out.stdout)?.lines().map(ToOwned::to_owned).collect();
        ensure!(lines.len() <= 10, "more than ten lines: {lines:#?}");
        Ok(Self { lines })
    }

    fn line(&self, label: &str) -> Result<&str> {
        let found = self.lines.iter().find_map(|line| line.trim_start().strip_prefix(label));
        found.map(str::trim).with_context(|| format!("no line {label}: {:#?}", self.lines))
    }

    /// Names the reason and these words of the cause.
    fn tells(&self, reason: Reason, words: &[&str]) -> Result<()> {
        let first = self.lines.first().context("nothing was said")?;
        ensure!(first.contains(reason.code()), "not {reason}: {:#?}", self.lines);
        let cause = self.line("cause")?;
        ensure!(words.iter().all(|word| cause.contains(word)), "{words:?} not in: {cause}");
        ensure!(!self.line("to do")?.is_empty(), "{:#?}", self.lines);
        Ok(())
    }

    /// Runs the command that shows the problem as the operator would: as a line of a shell.
    fn reproduce(&self) -> Result<Output> {
        let bin = process::bin("phoenix-certctl")?;
        let dir = bin.parent().context("a program lies in a directory")?.display().to_string();
        let path = format!("{dir}:{}", std::env::var("PATH")?);
        Ok(Command::new("/bin/sh").args(["-c", self.line("reproduce")?]).env("PATH", path).output()?)
    }
}

/// One daemon with every kind of trouble.
struct Trouble {
    daemon: Daemon,
    guests: Guests,
    ca: StepCa,
    scratch: Scratch,
}

fn waits_for(daemon: &Daemon, name: &str, reason: Reason) -> Result<CertificateStatus> {
    daemon.wait_entry(name, &format!("tells {reason}"), |entry| tells(entry, reason, &[]))
}

impl Trouble {
    fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
        let guests = Guests::new(&scratch)?;
        guests.add(LXC, Kind::Lxc)?;
        let password = scratch.file("wrong-password", "not the password\n", 0o600)?;
        let wrong = issuer_of(&ca)
            .replace("name = \"phoenix\"", "name = \"locked\"")
            .replace(&ca.password_file.display().to_string(), &password.display().to_string());
        let daemon = Setup::new(&scratch)?
            .step_ca(&ca)
            .issuer(&wrong)
            .target_root(scratch.join("unplugged"))
            .programs(["pct", "qm"].map(|name| guests.program(name)))
            .start(&entries(&scratch))?;
        Ok(Self { daemon, guests, ca, scratch })
    }
}

fn entries(scratch: &Scratch) -> Vec<Value> {
    let with = |name: &str, more: Value| {
        let mut entry = manifest::entry(scratch, name);
        for (key, value) in more.as_object().into_iter().flatten() {
            entry[key] = value.clone();
        }
        entry
    };
    let elsewhere = scratch.join("unplugged/absent");
    vec![
        with("good", json!({})),
        with(
            "hook",
            json!({"post_renewal_command": "pct exec 102 -- sh -c 'echo \"$PHOENIX_NAME is not welcome\" >&2; exit 7'"}),
        ),
        with("locked", json!({"issuer": "locked"})),
        with(
            "absent",
            json!({"cert_path": elsewhere.join("cert.pem"), "key_path": elsewhere.join("key.pem")}),
        ),
        with("paused", json!({"paused": true})),
        with("guest", json!({"guest_id": 102, "guest_type": "lxc", "deliver": {"cert": "/etc/x/cert.pem"}})),
    ]
}

#[test]
fn ten_lines_tell_the_cause_the_next_step_and_a_command_that_shows_it() -> Result<()> {
    let trouble = Trouble::new()?;
    let daemon = &trouble.daemon;
    daemon.wait_entry("good", "is ok", is_done)?;

    waits_for(daemon, "hook", Reason::CommandFailed)?;
    let seen = Seen::of(daemon, "hook")?;
    seen.tells(Reason::CommandFailed, &["activate failed", "7", "hook is not welcome"])?;
    ensure!(seen.line("next")?.ends_with("the command is run"), "{:#?}", seen.lines);
    let again = seen.reproduce()?;
    ensure!(again.status.code() == Some(7), "{again:?}");
    ensure!(String::from_utf8_lossy(&again.stderr).contains("hook is not welcome"), "{again:?}");

    let out = daemon.certctl(["explain", "hook"])?;
    let text = String::from_utf8(out.stdout)?;
    ensure!(text.contains("/bin/pct runs under the profile ") && text.contains("in force: "), "{text}");

    waits_for(daemon, "locked", Reason::WrongPassword)?;
    let seen = Seen::of(daemon, "locked")?;
    seen.tells(Reason::WrongPassword, &["password"])?;
    ensure!(seen.line("next")?.contains("a certificate is requested"), "{:#?}", seen.lines);
    let again = seen.reproduce()?;
    ensure!(again.status.code() == Some(1), "{again:?}");
    ensure!(String::from_utf8_lossy(&again.stderr).contains("does not open the key"), "{again:?}");

    waits_for(daemon, "absent", Reason::StorageAbsent)?;
    let seen = Seen::of(daemon, "absent")?;
    seen.tells(Reason::StorageAbsent, &["unplugged"])?;
    let again = seen.reproduce()?;
    ensure!(!again.status.success(), "{again:?}");

    let seen = Seen::of(daemon, "paused")?;
    ensure!(seen.line("next")?.contains("nothing while it is paused"), "{:#?}", seen.lines);
    Ok(())
}

#[test]
fn a_guest_that_is_off_and_a_ca_that_is_down_are_told_with_what_follows() -> Result<()> {
    let mut trouble = Trouble::new()?;
    let daemon = &trouble.daemon;
    daemon.wait_entry("guest", "is ok", is_done)?;
    trouble.guests.spoil(LXC, Fault::Off, "");
    ensure!(daemon.certctl(["sync", "--force", "guest"])?.status.code() == Some(1));
    waits_for(daemon, "guest", Reason::GuestOff)?;
    let seen = Seen::of(daemon, "guest")?;
    seen.tells(Reason::GuestOff, &["102"])?;
    ensure!(seen.line("next")?.contains("the pair is delivered into the guest"), "{:#?}", seen.lines);
    let again = seen.reproduce()?;
    ensure!(again.status.code() == Some(255), "{again:?}");
    ensure!(String::from_utf8_lossy(&again.stderr).contains("not running"), "{again:?}");

    daemon.wait_entry("good", "is ok", is_done)?;
    trouble.ca.stop()?;
    let daemon = &trouble.daemon;
    let mut entries = entries(&trouble.scratch);
    entries[0]["sans"] = json!("10.0.0.111");
    daemon.replace_manifest(&entries)?;
    waits_for(daemon, "good", Reason::CaUnreachable)?;
    let seen = Seen::of(daemon, "good")?;
    seen.tells(Reason::CaUnreachable, &["localhost"])?;
    let next = seen.line("next")?;
    ensure!(next.contains("the issuer is looked at again; as soon as it answers, a certificate"), "{next}");
    let again = seen.reproduce()?;
    ensure!(again.status.code() == Some(7), "curl did not fail to connect: {again:?}");

    // Below the ten lines: which rule wants what, and the whole failure.
    let out = daemon.certctl(["explain", "good"])?;
    let text = String::from_utf8(out.stdout)?;
    let rule = text.lines().find(|line| line.contains("names-differ")).context("the rule is not shown")?;
    ensure!(rule.trim_start().starts_with("fires") && rule.contains("it lacks 10.0.0.111"), "{rule}");
    ensure!(text.contains("Decided by NEXT/issuer-away."), "{text}");
    let message = daemon.entry("good")?.last_error.context("no error")?.message;
    ensure!(message.lines().all(|line| text.contains(line.trim())), "not in full: {message}\nin: {text}");
    Ok(())
}

#[test]
fn an_entry_in_order_is_told_so_and_an_unknown_one_is_not_known() -> Result<()> {
    let mut trouble = Trouble::new()?;
    let daemon = &trouble.daemon;
    let entry = daemon.wait_entry("good", "is ok", is_done)?;
    let seen = Seen::of(daemon, "good.internal.thinkheads.ai")?;
    ensure!(seen.lines[0] == "good is in order", "{:#?}", seen.lines);
    let renewal = entry.renew_at.context("no renewal")?.to_string();
    ensure!(seen.line("next")?.contains(&renewal), "{:#?}", seen.lines);
    ensure!(seen.line("reproduce").is_err(), "{:#?}", seen.lines);

    let out = daemon.certctl(["--json", "explain", "good"])?;
    let document: Value = serde_json::from_slice(&out.stdout)?;
    ensure!(document["schema"] == 1 && document["certificate"]["state"] == "ok", "{document}");
    ensure!(document["explanation"]["decided_by"] == "DEPLOY/rest", "{document}");

    let out = daemon.certctl(["explain", "god"])?;
    ensure!(out.status.code() == Some(4), "{out:?}");
    ensure!(String::from_utf8_lossy(&out.stderr).contains("did you mean `good`"), "{out:?}");

    ensure!(trouble.daemon.stop()?, "it did not end well");
    let out = trouble.daemon.certctl(["explain", "good"])?;
    ensure!(out.status.code() == Some(3), "{out:?}");
    ensure!(String::from_utf8_lossy(&out.stderr).contains("phoenix-certctl status good"), "{out:?}");
    Ok(())
}

#[test]
fn an_entry_that_the_manifest_has_wrong_is_explained_too() -> Result<()> {
    let trouble = Trouble::new()?;
    let daemon = &trouble.daemon;
    daemon.wait_entry("good", "is ok", is_done)?;
    let mut entries = entries(&trouble.scratch);
    entries[0]["key_path"] = json!("/nowhere/key.pem");
    daemon.replace_manifest(&entries)?;
    daemon.wait_entry("good", "is invalid", |entry| entry.state == CertificateState::Invalid)?;
    let seen = Seen::of(daemon, "good")?;
    seen.tells(Reason::ManifestError, &["key_path"])?;
    let again = seen.reproduce()?;
    ensure!(again.status.code() == Some(1), "{again:?}");
    ensure!(String::from_utf8_lossy(&again.stdout).contains("/nowhere/key.pem"), "{again:?}");
    Ok(())
}
