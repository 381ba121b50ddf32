//! State directories that are lost, damaged or restored from an older copy: everything is put right by itself, with no
//! more certificates and commands than needed, and the operator is told what was noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use phoenix_protocol::control::StatusDocument;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::{manifest, patience};
use phoenix_tests::Bed;
use serde_json::json;

const NAMES: [&str; 2] = ["docker-daemon", "traefik-client"];

fn bed() -> Result<Bed> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    Ok(bed)
}

/// How often something was begun since the log had this length.
fn begun(bed: &Bed, since: usize, what: &str) -> usize {
    let log = bed.daemon.log();
    log.get(since..).unwrap_or_default().lines().filter(|line| line.contains(what)).count()
}

/// What was done until everything was in order again.
struct Healed {
    status: StatusDocument,
    issued: usize,
    commands: usize,
}

impl Healed {
    /// The status says so, of the daemon or of some entry.
    fn says(&self, words: &str) -> Result<()> {
        let own = self.status.daemon.warnings.iter();
        let all: Vec<&String> =
            own.chain(self.status.certificates.iter().flat_map(|one| &one.warnings)).collect();
        ensure!(all.iter().any(|warning| warning.contains(words)), "nothing says `{words}`: {all:#?}");
        Ok(())
    }
}

/// Certificates and records count whole seconds: what happens from here on has another one than what happened before.
fn next_second() {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let before = second();
    patience::until(|| (second() != before).then_some(()));
}

/// Stops both processes, lets `happen` to their state, starts them and waits until all is in order.
fn after(bed: &mut Bed, happen: impl FnOnce(&Path) -> Result<()>) -> Result<Healed> {
    ensure!(bed.daemon.stop()?, "the daemon did not end well");
    happen(&bed.daemon.state)?;
    next_second();
    let since = bed.daemon.log().len();
    bed.daemon.start()?;
    let status = bed.daemon.wait_all_ok(2)?;
    bed.check_pairs()?;
    for place in &bed.places {
        ensure!(bed.ran_for_present(place)?, "{}: its certificate is not in use", place.common_name);
    }
    let count = |what| begun(bed, since, what);
    Ok(Healed { status, issued: count("requesting a certificate"), commands: count("running the command") })
}

fn serials(status: &StatusDocument) -> Vec<Option<String>> {
    status.certificates.iter().map(|one| one.serial.clone()).collect()
}

fn journal(state: &Path) -> PathBuf {
    state.join("certd/journal.jsonl")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(done.success(), "cp {} {}", from.display(), to.display());
    Ok(())
}

/// Files of this name below the executor's entries.
fn records(state: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(state.join("executor/entries"))? {
        let path = entry?.path().join(name);
        if path.is_dir() {
            found.extend(fs::read_dir(&path)?.flatten().map(|file| file.path()).max());
        } else if path.is_file() {
            found.push(path);
        }
    }
    ensure!(found.len() == NAMES.len(), "{name}: found {found:?}");
    Ok(found)
}

fn spoil(paths: &[PathBuf]) -> Result<()> {
    paths.iter().try_for_each(|path| {
        fs::write(path, [0xff; 64]).with_context(|| format!("cannot spoil {}", path.display()))
    })
}

#[test]
fn without_its_journal_the_daemon_finds_everything_out_again() -> Result<()> {
    let mut bed = bed()?;
    let before = serials(&bed.daemon.status()?);
    let healed = after(&mut bed, |state| Ok(fs::remove_file(journal(state))?))?;
    ensure!((healed.issued, healed.commands) == (0, 0) && serials(&healed.status) == before);
    healed.says("there was no readable journal, although the executor has records")?;

    let healed = after(&mut bed, |state| {
        let mut text = fs::read(journal(state))?;
        text.splice(10..10, *b"\xff\xfe{]\n");
        Ok(fs::write(journal(state), text)?)
    })?;
    ensure!((healed.issued, healed.commands) == (0, 0) && serials(&healed.status) == before);
    healed.says("damaged-journal.jsonl")?;
    let told = after(&mut bed, |state| Ok(fs::remove_file(state.join("certd/damaged-journal.jsonl"))?))?;
    ensure!(told.says("damaged-journal.jsonl").is_err(), "it is told of although it was seen to");
    Ok(())
}

#[test]
fn damaged_records_of_the_executor_cost_at_most_a_certificate() -> Result<()> {
    let mut bed = bed()?;
    let before = serials(&bed.daemon.status()?);
    // What was done is forgotten: commands may run again, certificates stay.
    let healed = after(&mut bed, |state| spoil(&records(state, "ledger.json")?))?;
    ensure!(healed.issued == 0 && healed.commands <= 2 && serials(&healed.status) == before);
    healed.says("damaged-ledger.json")?;

    // Our own copies are gone: the live pairs are good.
    let healed = after(&mut bed, |state| spoil(&records(state, "generations")?))?;
    ensure!(healed.issued <= 2 && healed.commands <= 2, "{} {}", healed.issued, healed.commands);
    healed.says("damaged-")?;
    healed.says("the executor")?;
    Ok(())
}

#[test]
fn an_older_copy_of_either_state_or_of_both_converges_and_is_noticed() -> Result<()> {
    for restored in [&["certd"][..], &["executor"], &["certd", "executor"]] {
        let mut bed = bed()?;
        let backup = bed.scratch.join("backup");
        let state = bed.daemon.state.clone();
        after(&mut bed, |state| copy(state, &backup))?;
        for _ in 0..2 {
            next_second();
            let asked = bed.daemon.certctl(["renew", "--all"])?;
            ensure!(asked.status.success(), "{asked:?}");
        }
        let before = serials(&bed.daemon.status()?);
        let healed = after(&mut bed, |_| {
            restored.iter().try_for_each(|part| {
                fs::remove_dir_all(state.join(part))?;
                copy(&backup.join(part), &state.join(part))
            })
        })?;
        ensure!(
            healed.issued == 0 && serials(&healed.status) == before,
            "{restored:?}: {} issued",
            healed.issued
        );
        ensure!(healed.commands <= 2, "{restored:?}: {} commands", healed.commands);
        if restored.contains(&"executor") {
            healed.says("the executor's state was restored from an older copy")?;
        }
    }
    Ok(())
}

#[test]
fn without_any_state_good_pairs_are_taken_over() -> Result<()> {
    let mut bed = bed()?;
    let before = serials(&bed.daemon.status()?);
    let healed = after(&mut bed, |state| Ok(fs::remove_dir_all(state)?))?;
    ensure!((healed.issued, healed.commands) == (0, 0) && serials(&healed.status) == before);

    let healed = after(&mut bed, |state| Ok(fs::remove_dir_all(state.join("executor"))?))?;
    ensure!((healed.issued, healed.commands) == (0, 0) && serials(&healed.status) == before);
    healed.says("the executor has forgotten the pair")?;
    Ok(())
}

/// Every file of the state but the locks.
fn everything(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match fs::symlink_metadata(&path)?.file_type() {
            kind if kind.is_dir() => found.extend(everything(&path)?),
            kind if kind.is_file() && !path.ends_with("lock") => found.push(path),
            _ => (),
        }
    }
    Ok(found)
}

#[test]
fn where_every_file_of_the_state_is_damaged_good_pairs_are_taken_over() -> Result<()> {
    let mut bed = bed()?;
    let before = serials(&bed.daemon.status()?);
    let healed = after(&mut bed, |state| {
        let files = everything(state)?;
        let pins = files.iter().filter(|file| file.ends_with("issuers/phoenix/roots.pem")).count();
        ensure!(pins == 1 && files.len() > 10, "{files:?}");
        spoil(&files)
    })?;
    ensure!((healed.issued, healed.commands) == (0, 0) && serials(&healed.status) == before);
    for what in ["damaged-roots.pem", "damaged-ledger.json", "damaged-journal.jsonl"] {
        healed.says(what)?;
    }
    // It goes on as ever.
    let asked = bed.daemon.certctl(["renew", "--all"])?;
    ensure!(asked.status.success(), "{asked:?}");
    Ok(())
}

#[test]
fn a_journal_from_another_time_is_noticed() -> Result<()> {
    let mut bed = bed()?;
    let line = |at: &str| format!("{}\n", json!({"is": "alive", "at": at}));
    let rewritten = |state: &Path, at: &str| -> Result<()> {
        let text = fs::read_to_string(journal(state))?;
        let kept: String = text
            .lines()
            .filter(|line| !line.contains("alive"))
            .fold(String::new(), |all, line| all + line + "\n");
        Ok(fs::write(journal(state), kept + &line(at))?)
    };
    let healed = after(&mut bed, |state| rewritten(state, "2026-01-01T00:00:00Z"))?;
    healed.says("the daemon did not run between 2026-01-01T00:00:00Z")?;
    healed.says("it was restored from an older copy")?;
    let healed = after(&mut bed, |state| rewritten(state, "2200-01-01T00:00:00Z"))?;
    healed.says("although the daemon was at work at 2200-01-01T00:00:00Z")?;
    ensure!((healed.issued, healed.commands) == (0, 0));
    Ok(())
}
