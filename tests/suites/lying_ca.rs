//! A CA that lies: its answer is refused, nothing on disk changes, and what is wrong is told. When it answers
//! honestly again, the renewal goes through by itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_devca::Fault;
use phoenix_protocol::control::{CertificateState, CertificateStatus};
use phoenix_testkit::daemon::{Daemon, Setup, TARGET_ROOT};
use phoenix_testkit::embedded::EmbeddedCa;
use phoenix_testkit::guests::{Guests, Kind};
use phoenix_testkit::manifest::{self, Place};
use phoenix_testkit::patience;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::snapshot::Snapshot;
use phoenix_tests::{is_done, tells};
use serde_json::json;

/// A way to lie, and what the operator is told. Issuer and entry bear its name.
struct Lie {
    name: &'static str,
    fault: Fault,
    reason: Reason,
    words: &'static [&'static str],
}

fn lies() -> Vec<Lie> {
    let wrong = |name, fault, words| Lie { name, fault, reason: Reason::WrongAnswer, words };
    let early_or_late = |name, fault| Lie {
        name,
        fault,
        reason: Reason::ClockDiffers,
        words: &["is valid from", "here it is", "set the clock of this machine right", "CA's clock agrees"],
    };
    let broken = |name, fault, words| Lie { name, fault, reason: Reason::CaAnswer, words };
    vec![
        wrong("other-key", Fault::OtherKey, &["another key"]),
        wrong("other-names", Fault::OtherNames, &["other.invalid", "`other-names.internal.thinkheads.ai`"]),
        wrong("wrong-eku", Fault::WrongEku, &["lacks", "serverAuth"]),
        early_or_late("expired", Fault::Expired),
        early_or_late("future", Fault::Future),
        wrong("foreign-root", Fault::ForeignRoot, &["its chain"]),
        wrong("no-intermediate", Fault::NoIntermediate, &["its chain"]),
        broken("cut", Fault::CutJson, &["cannot be understood"]),
        broken("garbage", Fault::Garbage, &["cannot be understood"]),
        broken("closed", Fault::ClosedConnection, &["broke in the middle"]),
        broken("huge", Fault::HugeBody, &["longer than", "url"]),
    ]
}

/// One daemon, and for every lie a CA of its own with an entry of its own, so that none waits for another.
struct Court {
    daemon: Daemon,
    cases: Vec<(Lie, EmbeddedCa, Place)>,
    scratch: Scratch,
}

impl Court {
    /// With CAs that are honest so far, or that lie from the beginning.
    fn sits(lying: bool) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut setup = Setup::new(&scratch)?;
        let mut entries = Vec::new();
        let mut cases = Vec::new();
        for lie in lies() {
            let embedded = EmbeddedCa::start(&scratch, lie.name)?;
            if lying {
                embedded.ca.fail_signing(lie.fault.clone());
            }
            setup = setup.issuer(&embedded.issuer());
            let mut entry = manifest::entry(&scratch, lie.name);
            entry["issuer"] = json!(lie.name);
            entry["owner"] = json!("4242:4243");
            let place = manifest::places(std::slice::from_ref(&entry))?.pop().context("one place")?;
            entries.push(entry);
            cases.push((lie, embedded, place));
        }
        Ok(Self { daemon: setup.start(&entries)?, cases, scratch })
    }

    fn tree(&self) -> Result<Snapshot> {
        Snapshot::of(&self.scratch.join(TARGET_ROOT))
    }

    /// The tree is as wanted. The next attempt may just be proving that its directory can be written to: what
    /// that leaves is gone a moment later, what an answer left is not.
    fn tree_is(&self, wanted: impl Fn(&Snapshot) -> Result<()>) -> Result<()> {
        let mut last = Ok(());
        patience::until_or(Duration::from_secs(10), || {
            last = self.tree().and_then(|tree| wanted(&tree));
            last.is_ok().then_some(())
        });
        last
    }

    /// Every lie is told at its own entry, with the time of the next attempt.
    fn every_lie_is_told(&self, state: CertificateState) -> Result<()> {
        for (lie, _, _) in &self.cases {
            let told = |entry: &CertificateStatus| {
                entry.state == state
                    && tells(entry, lie.reason, &[lie.name])
                    && tells(entry, lie.reason, lie.words)
            };
            let what = format!("tells {} with {:?}", lie.reason, lie.words);
            let entry = self.daemon.wait_entry(lie.name, &what, told)?;
            ensure!(entry.attempts > 0 && entry.next_attempt_at.is_some(), "{entry:?}");
        }
        Ok(())
    }

    /// With honest CAs every entry gets a certificate other than `before` by itself.
    fn honesty_helps(&self, before: &[Option<String>]) -> Result<()> {
        for (_, embedded, _) in &self.cases {
            embedded.ca.heal();
        }
        for ((lie, embedded, place), before) in self.cases.iter().zip(before) {
            self.daemon.wait_entry(lie.name, "has a new certificate", |entry| {
                is_done(entry) && entry.fingerprint_sha256 != *before
            })?;
            embedded.check_pair(&place.cert, &place.key)?;
        }
        Ok(())
    }
}

#[test]
fn a_lie_changes_nothing_on_disk_and_is_told_until_it_ends() -> Result<()> {
    let court = Court::sits(false)?;
    let good = court.daemon.wait_all_ok(court.cases.len())?;
    let known: Vec<_> = good.certificates.iter().map(|entry| entry.fingerprint_sha256.clone()).collect();
    let before = court.tree()?;
    for (lie, embedded, _) in &court.cases {
        embedded.ca.fail_signing(lie.fault.clone());
    }
    let asked = court.daemon.certctl(["renew", "--all", "--timeout", "100s"])?;
    ensure!(asked.status.code() == Some(1), "{asked:?}");
    court.every_lie_is_told(CertificateState::Retrying)?;
    court.tree_is(|tree| tree.same_as(&before))?;
    let after = court.daemon.status()?;
    for (entry, known) in after.certificates.iter().zip(&known) {
        ensure!(entry.fingerprint_sha256 == *known, "another certificate is reported: {entry:?}");
    }
    court.honesty_helps(&known)
}

#[test]
fn a_lie_at_the_first_certificate_leaves_no_file_behind() -> Result<()> {
    let court = Court::sits(true)?;
    court.every_lie_is_told(CertificateState::Missing)?;
    court.tree_is(|tree| {
        ensure!(tree.files().is_empty(), "there are files: {:?}", tree.files());
        Ok(())
    })?;
    court.honesty_helps(&vec![None; court.cases.len()])
}

/// The first one gives certificates for another key.
#[test]
fn a_first_issuer_that_lies_keeps_no_entry_from_the_certificate_of_an_honest_second_one() -> Result<()> {
    let scratch = Scratch::new()?;
    let (liar, honest) = (EmbeddedCa::start(&scratch, "liar")?, EmbeddedCa::start(&scratch, "honest")?);
    liar.ca.fail_signing(Fault::OtherKey);
    let mut entry = manifest::entry(&scratch, "web");
    entry["issuer"] = json!(["liar", "honest"]);
    let place = manifest::places(std::slice::from_ref(&entry))?.pop().context("one place")?;
    let daemon = Setup::new(&scratch)?.issuer(&liar.issuer()).issuer(&honest.issuer()).start(&[entry])?;
    daemon.wait_entry("web", "has its certificate", is_done)?;
    honest.check_pair(&place.cert, &place.key)?;
    let issued = [&liar, &honest].map(|embedded| embedded.ca.counters().issued);
    ensure!(issued == [1, 1], "{issued:?} were issued");
    Ok(())
}

/// Our clock is off by more than a certificate's lifetime: for the daemon that looks like a CA whose every certificate
/// has expired.
#[test]
fn while_the_clocks_differ_one_entry_asks_for_all_and_when_they_agree_all_are_served() -> Result<()> {
    const ENTRIES: usize = 24;
    const TRIALS: u64 = 2;
    let scratch = Scratch::new()?;
    let embedded = EmbeddedCa::start(&scratch, "phoenix")?;
    let names: Vec<String> = (0..ENTRIES).map(|number| format!("entry-{number}")).collect();
    let entries: Vec<_> = names.iter().map(|name| manifest::entry(&scratch, name)).collect();
    let daemon = Setup::new(&scratch)?.issuer(&embedded.issuer()).start(&entries)?;
    let good = daemon.wait_all_ok(ENTRIES)?;
    embedded.ca.fail_signing(Fault::Expired);
    daemon.certctl(["renew", "--all", "--timeout", "100s"])?;
    for name in &names {
        let what = "waits for the clocks to agree";
        daemon.wait_entry(name, what, |entry| tells(entry, Reason::ClockDiffers, &["phoenix"]))?;
    }
    let issued = || embedded.ca.counters().issued;
    ensure!(issued() < 4 * ENTRIES as u64, "{} were issued", issued());
    let before = issued();
    let told = patience::until_or(Duration::from_secs(90), || (issued() >= before + TRIALS).then_some(()));
    ensure!(told.is_some(), "nobody tries whether the clocks agree again");
    // Each of the entries alone would have asked as often.
    let asked = issued() - before;
    ensure!(asked < ENTRIES as u64 / 4, "{asked} were issued");
    embedded.ca.heal();
    for (name, old) in names.iter().zip(&good.certificates) {
        daemon.wait_entry(name, "has a new certificate", |entry| {
            is_done(entry) && entry.serial != old.serial
        })?;
    }
    Ok(())
}

/// With a key that does not fit, without its intermediate or for clients only, a pair would keep dockerd or nginx from
/// starting.
#[test]
fn a_pair_that_would_keep_its_consumer_from_starting_never_reaches_the_guest() -> Result<()> {
    let scratch = Scratch::new()?;
    let embedded = EmbeddedCa::start(&scratch, "phoenix")?;
    let guests = Guests::new(&scratch)?;
    guests.add(102, Kind::Lxc)?;
    let mut entry = manifest::entry(&scratch, "web");
    entry["guest_id"] = json!(102);
    entry["guest_type"] = json!("lxc");
    entry["deliver"] = json!({"cert": "/etc/web/cert.pem", "key": "/etc/web/key.pem"});
    entry["post_renewal_command"] = json!("pct exec 102 -- systemctl restart web");
    let programs = ["pct", "qm"].map(|name| guests.program(name));
    let daemon = Setup::new(&scratch)?.issuer(&embedded.issuer()).programs(programs).start(&[entry])?;
    let good = daemon.wait_entry("web", "is in use", is_done)?;
    let delivered = || Snapshot::of(&scratch.join("guests/102/etc/web"));
    let (before, runs) = (delivered()?, guests.calls_with("restart web").len());
    for fault in [Fault::OtherKey, Fault::NoIntermediate, Fault::WrongEku] {
        embedded.ca.fail_signing(fault.clone());
        let asked = daemon.certctl(["renew", "--name", "web"])?;
        ensure!(asked.status.code() == Some(1), "{fault:?}: {asked:?}");
        let entry = daemon.entry("web")?;
        ensure!(
            tells(&entry, Reason::WrongAnswer, &[]) && entry.serial == good.serial,
            "{fault:?}: {entry:?}"
        );
        delivered()?.same_as(&before).with_context(|| format!("{fault:?}"))?;
        ensure!(guests.calls_with("restart web").len() == runs, "{fault:?}: the command was run");
    }
    embedded.ca.heal();
    daemon
        .wait_entry("web", "has a new certificate", |entry| is_done(entry) && entry.serial != good.serial)?;
    ensure!(guests.calls_with("restart web").len() == runs + 1, "{:?}", guests.lines());
    Ok(())
}

/// An honest CA whose template gives more usages than the manifest allows: asking again changes nothing.
#[test]
fn what_strict_eku_forbids_blocks_at_the_first_answer_and_the_present_pair_stays() -> Result<()> {
    let scratch = Scratch::new()?;
    let embedded = EmbeddedCa::start(&scratch, "phoenix")?;
    let mut entry = manifest::entry(&scratch, "web");
    let daemon = Setup::new(&scratch)?.issuer(&embedded.issuer()).start(std::slice::from_ref(&entry))?;
    let good = daemon.wait_entry("web", "is in use", is_done)?;
    let tree = || Snapshot::of(&scratch.join(TARGET_ROOT));
    let (before, issued) = (tree()?, embedded.ca.counters().issued);
    entry["strict_eku"] = json!(true);
    daemon.replace_manifest(std::slice::from_ref(&entry))?;
    let blocked = daemon.wait_entry("web", "is blocked", |entry| entry.state == CertificateState::Blocked)?;
    ensure!(tells(&blocked, Reason::EkuRefused, &["clientAuth", "strict_eku", "phoenix"]), "{blocked:?}");
    ensure!(blocked.serial == good.serial && blocked.attempts == 1, "{blocked:?}");
    tree()?.same_as(&before)?;
    ensure!(embedded.ca.counters().issued == issued + 1, "{:?}", embedded.ca.counters());
    // However often its files are looked at, no other is asked for before the time told.
    for _ in 0..5 {
        daemon.certctl(["status"])?;
        daemon.certctl(["verify", "web"])?;
    }
    let still = daemon.entry("web")?;
    ensure!(still.next_attempt_at == blocked.next_attempt_at && still.attempts == 1, "{still:?}");
    ensure!(embedded.ca.counters().issued == issued + 1, "{:?}", embedded.ca.counters());
    entry["strict_eku"] = json!(false);
    daemon.replace_manifest(&[entry])?;
    let content = daemon.wait_entry("web", "is content again", is_done)?;
    ensure!(content.serial == good.serial, "{content:?}");
    Ok(())
}
