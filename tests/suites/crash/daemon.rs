//! The built daemon with its executor, a CA, a guest and a consumer, killed at one of the calls that change its
//! journal, and started again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState};
use phoenix_testkit::consumer::Consumer;
use phoenix_testkit::daemon::{Daemon, Setup, TARGET_ROOT};
use phoenix_testkit::embedded::EmbeddedCa;
use phoenix_testkit::guests::{Guests, Kind};
use phoenix_testkit::manifest::{self, Place};
use phoenix_testkit::process::{self, Group, run};
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::{control, openssl, patience};
use serde_json::json;

use crate::strace::{self, Call};

const GUEST: u32 = 102;
const JOURNAL: &str = "state/certd/journal.jsonl";

/// What the daemon is killed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// A first certificate, from nothing to what its consumer serves.
    First,
    /// A renewal that an operator has asked for.
    Renewal,
}

/// A way to a certificate that is in use, whose writes to the journal are known.
pub(crate) struct Way {
    errand: Errand,
    daemon: Daemon,
    consumer: Consumer,
    guests: Guests,
    ca: EmbeddedCa,
    place: Place,
    scratch: Scratch,
    /// Everything that changes the journal, in order.
    pub(crate) points: Vec<Call>,
}

/// How a run under strace ended.
struct Struck {
    /// The operator was told that the order is recorded.
    ordered: bool,
    killed: bool,
}

fn is_in_use(entry: &CertificateStatus) -> bool {
    entry.state == CertificateState::Ok && entry.deployment.verified == StageState::Done
}

impl Way {
    /// Goes it once undisturbed, and watches.
    pub(crate) fn of(errand: Errand) -> Result<Self> {
        let scratch = Scratch::in_memory()?;
        let ca = EmbeddedCa::start(&scratch, "phoenix")?;
        let guests = Guests::new(&scratch)?;
        guests.add(GUEST, Kind::Lxc)?;
        let mut entry = manifest::entry(&scratch, "web");
        let place = manifest::places(std::slice::from_ref(&entry))?.remove(0);
        let consumer = Consumer::new(&scratch, "web", &place.cert, &place.key, &[])?;
        let hook = "#!/bin/sh\nset -e\necho \"$PHOENIX_SERIAL\" >> \"${0%/*}/runs\"\necho told >> \"${0%/*}/told\"\n";
        let hook = scratch.file("consumers/web/hook-web", hook, 0o755)?;
        entry["guest_id"] = json!(GUEST);
        entry["guest_type"] = json!("lxc");
        entry["deliver"] = json!({"cert": "/etc/web/cert.pem", "key": "/etc/web/key.pem"});
        entry["post_renewal_command"] = json!([hook]);
        entry["verify"] = json!({
            "tls": consumer.address, "server_name": "web.internal.thinkheads.ai", "deadline": "20s",
        });
        let programs = [hook, guests.program("pct")];
        let daemon = Setup::new(&scratch)?.issuer(&ca.issuer()).programs(programs).start(&[entry])?;
        let mut way = Self { errand, daemon, consumer, guests, ca, place, scratch, points: Vec::new() };
        way.save()?;
        way.points = way.watched()?;
        Ok(way)
    }

    /// Keeps what there is when the daemon's errand begins.
    fn save(&mut self) -> Result<()> {
        self.daemon.wait_entry("web", "is in use", is_in_use)?;
        ensure!(self.daemon.stop()?, "the daemon does not end well");
        self.executor_ends()?;
        let kept = self.scratch.directory("kept")?;
        if self.errand == Errand::Renewal {
            let from = ["state", "mnt"].map(|name| self.scratch.join(name));
            run("cp", [Path::new("-a"), &from[0], &from[1], &self.delivered()?, &kept])?;
        } else {
            fs::create_dir_all(kept.join(TARGET_ROOT))?;
            fs::create_dir_all(kept.join("state"))?;
        }
        Ok(())
    }

    /// Brings that back.
    fn bring_back(&self) -> Result<()> {
        for name in ["state", "mnt"] {
            fs::remove_dir_all(self.scratch.join(name)).with_context(|| format!("cannot remove {name}"))?;
            let kept = self.scratch.join("kept").join(name);
            run("cp", [Path::new("-a"), &kept, self.scratch.path()])?;
        }
        let (delivered, _) = (self.delivered()?, fs::remove_file(self.runs_file()));
        let _ = fs::remove_dir_all(&delivered);
        if self.errand == Errand::First {
            self.consumer.stop();
            return Ok(());
        }
        run("cp", [Path::new("-a"), &self.scratch.join("kept/web"), &delivered])?;
        self.consumer.start()
    }

    /// Where the guest has its files.
    fn delivered(&self) -> Result<PathBuf> {
        Ok(self.guests.root(GUEST).context("there is no guest")?.join("etc/web"))
    }

    fn runs_file(&self) -> PathBuf {
        self.scratch.join("consumers/web/runs")
    }

    /// Serials that the command was run for, and how often.
    fn runs(&self) -> BTreeMap<String, usize> {
        let mut runs = BTreeMap::new();
        for serial in fs::read_to_string(self.runs_file()).unwrap_or_default().lines() {
            *runs.entry(serial.to_owned()).or_default() += 1;
        }
        runs
    }

    fn executor_ends(&self) -> Result<()> {
        let is_executor = |seen: &process::Seen| seen.comm == "phoenix-executo";
        let gone = || (!process::naming(self.scratch.path()).iter().any(is_executor)).then_some(());
        patience::until(gone).context("the executor does not end")
    }

    /// The certificate on the live path.
    fn live(&self) -> Option<String> {
        openssl::fingerprint(&self.place.cert).ok()
    }

    /// Goes the way under strace, until the certificate is in use or the daemon is dead.
    fn go(&self, strike: Option<&Call>) -> Result<Struck> {
        self.bring_back()?;
        let before = self.live();
        let log = fs::File::options().create(true).append(true).open(self.scratch.join("certd.log"))?;
        let paths = [self.scratch.join(JOURNAL), self.scratch.join("state/certd")];
        let mut command = strace::under(&self.strace_log(), &paths, strike);
        command.arg(process::bin("phoenix-certd")?);
        command.args(["--standalone", "--allow-root", "--config"]).arg(&self.daemon.config);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.env_remove("NOTIFY_SOCKET").env_remove("CREDENTIALS_DIRECTORY");
        let mut group = Group::spawn(&mut command)?;
        let answers = || control::status(&self.daemon.socket).is_ok();
        patience::until(|| (answers() || !group.running()).then_some(())).context("it does not start")?;
        let ordered = self.errand == Errand::Renewal && self.order()?;
        let done =
            |entry: &CertificateStatus| is_in_use(entry) && (!ordered || entry.fingerprint_sha256 != before);
        let ends = || {
            if !group.running() {
                return Some(true);
            }
            let status = control::status(&self.daemon.socket).ok()?;
            status.certificates.first().is_some_and(done).then_some(false)
        };
        let killed = patience::until(ends).context("it neither ends nor gets anywhere")?;
        if killed {
            group.kill_leader();
        } else {
            group.kill();
        }
        self.executor_ends()?;
        Ok(Struck { ordered, killed })
    }

    /// Asks for a renewal; true when that is recorded.
    fn order(&self) -> Result<bool> {
        Ok(self.daemon.certctl(["renew", "--name", "web", "--no-wait"])?.status.success())
    }

    fn strace_log(&self) -> PathBuf {
        self.scratch.join("struck")
    }

    fn watched(&self) -> Result<Vec<Call>> {
        ensure!(!self.go(None)?.killed, "it ended by itself");
        let calls = strace::calls(&self.strace_log(), self.scratch.path())?;
        Ok(calls.into_iter().filter(|call| call.changes).collect())
    }

    /// Killed at this point and started again. False when the point was not met: how many lines the journal gets
    /// depends on what comes together.
    pub(crate) fn kill(&mut self, point: &Call) -> Result<bool> {
        let old = fs::read(self.scratch.join("kept").join(TARGET_ROOT).join("web/cert.pem")).ok();
        let struck = self.go(Some(point))?;
        if !struck.killed {
            return Ok(false);
        }
        let (left, ran) = (fs::read(&self.place.cert).ok(), self.runs());
        self.daemon.start()?;
        let wants_another = struck.ordered && left == old;
        self.daemon.wait_entry("web", "is in use again", |entry| {
            is_in_use(entry) && (!wants_another || fs::read(&self.place.cert).ok() != old)
        })?;
        let now = fs::read(&self.place.cert)?;
        ensure!(
            left.is_none() || left == old || left.as_ref() == Some(&now),
            "a new pair was not put to use"
        );
        self.check(&ran)?;
        ensure!(self.daemon.stop()?, "the daemon does not end well");
        self.executor_ends()?;
        Ok(true)
    }

    fn check(&self, ran: &BTreeMap<String, usize>) -> Result<()> {
        self.ca.check_pair(&self.place.cert, &self.place.key)?;
        let entry = self.daemon.entry("web")?;
        let serial = entry.serial.context("it has no serial")?;
        let served = entry.served.context("nothing is told of what is served")?;
        ensure!(served.serial == serial, "the consumer serves {}, not {serial}", served.serial);
        let delivered = fs::read(self.delivered()?.join("cert.pem"))?;
        ensure!(delivered == fs::read(&self.place.cert)?, "the guest has another certificate");
        let runs = self.runs();
        let again: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(again.is_empty(), "commands that had finished were run again: {again:?}, before: {ran:?}");
        let damaged = self.scratch.join("state/certd/damaged-journal.jsonl");
        ensure!(!damaged.exists(), "the journal was damaged");
        Ok(())
    }
}
