//! The operator's own file, against the real CA, with twenty SIGKILLs at random moments.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::dice::Dice;
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::watch::KeyWatch;
use phoenix_tests::{Bed, is_done};

const KILLS: u32 = 20;
/// A renewal of the whole file takes about this long: the moments are spread over all of it.
const SPREAD: Duration = Duration::from_millis(1500);

#[test]
fn twenty_kills_leave_good_pairs_commands_run_and_no_key_exposed() -> Result<()> {
    let mut dice = Dice::from_environment();
    let seed = dice.seed();
    let mut bed = Bed::with(StepCaVersion::V0_30_2, manifest::operators()?)?;
    let watched = [bed.daemon.state.clone(), bed.scratch.join("mnt"), bed.scratch.join("guests")];
    let keys = KeyWatch::over(watched.to_vec());
    for round in 0..KILLS {
        strike(&mut bed, &mut dice).with_context(|| format!("kill {round}, seed {seed}"))?;
    }
    settle(&bed).with_context(|| format!("after all kills, seed {seed}"))?;
    let (seen, exposed) = keys.finish();
    ensure!(seen > 0, "the watch over the keys saw none");
    ensure!(exposed.is_empty(), "seed {seed}: {exposed:#?}");
    no_key_in_arguments(&bed)
}

/// Asks for new certificates, waits for some moment, kills the daemon, its executor or both, and starts again.
fn strike(bed: &mut Bed, dice: &mut Dice) -> Result<()> {
    let asked = bed.daemon.certctl(["renew", "--all", "--no-wait"])?;
    ensure!(asked.status.success(), "renew --all --no-wait: {asked:?}");
    thread::sleep(dice.moment(SPREAD));
    match dice.below(3) {
        0 => bed.daemon.restart(),
        1 => bed.daemon.kill9_executor(),
        _ => {
            bed.daemon.kill9_executor()?;
            bed.daemon.restart()
        }
    }
}

/// At the end everything is in order by itself.
fn settle(bed: &Bed) -> Result<()> {
    let entries = bed.places.len();
    bed.daemon.wait_until("all done", |status| {
        status.certificates.len() == entries && status.certificates.iter().all(is_done)
    })?;
    bed.check_pairs()?;
    for place in &bed.places {
        let ran = bed.ran_for_present(place)?;
        ensure!(ran, "{}: its command did not run for the certificate that is there now", place.common_name);
    }
    Ok(())
}

/// Nobody who lists processes sees a key.
fn no_key_in_arguments(bed: &Bed) -> Result<()> {
    for call in bed.guests.calls() {
        let said = call.argv.iter().chain(call.env.values());
        ensure!(
            said.clone().all(|word| !word.contains("PRIVATE KEY")),
            "a key in the arguments: {}",
            call.line()
        );
    }
    Ok(())
}
