//! The built executor dies, or its disk fails, at every single disk-changing system call.
//!
//! The store has a suite of its own that does this in one process, with a seam before each call
//! (`crates/store/tests/store/crash.rs`). This one believes in no seam: strace(1) finds the calls, kills the
//! real process at each of them and makes each of them fail, over the real socket.
//!
//! An ordinary run kills at every point, and lets each point fail with one of the errors; with
//! `PHOENIX_CRASH=all`, as `cargo xtask soak` has it, each point fails with each of them.
//!
//! | module | duty |
//! |---|---|
//! | `strace` | which calls there are; striking at one |
//! | `executor` | the process, and the daemon's end of its socket |
//! | `place` | directory, manifest, certificate authority |
//! | `scenarios` | what is interrupted |
//! | `operations` | an operation, struck |
//! | `recovery` | a start with something to recover, struck |
//! | `judge` | what must be true afterwards |
//! | `daemon` | the daemon, struck at its journal |

mod daemon;
mod executor;
mod judge;
mod operations;
mod place;
mod recovery;
mod scenarios;
mod strace;

use std::fmt::Debug;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use daemon::{Errand, Way};
use operations::Course;
use phoenix_core::reason::Reason;
use phoenix_testkit::dice::Dice;
use recovery::Start;
use scenarios::SCENARIOS;
use strace::Call;

/// What a disk can say, and what the operator is told.
const ERRORS: [(&str, Reason, &str); 4] = [
    ("ENOSPC", Reason::DiskFull, "no space is left"),
    ("EDQUOT", Reason::DiskFull, "quota"),
    ("EIO", Reason::IoError, "I/O error"),
    ("EROFS", Reason::ReadOnly, "read-only"),
];

/// An ordinary run kills the daemon at one in so many of the points, other ones each time.
const SHARE: usize = 2;

/// Runs `work` for each of `points`, and says which one was too much.
fn each<P: Debug>(name: &str, points: &[P], mut work: impl FnMut(usize, &P) -> Result<()>) -> Result<usize> {
    let start = Instant::now();
    for (index, point) in points.iter().enumerate() {
        work(index, point).with_context(|| format!("{name}, at {point:?}"))?;
    }
    eprintln!("{name}: {} points in {:.1} s", points.len(), start.elapsed().as_secs_f64());
    Ok(points.len())
}

/// Which errors a point gets: all, or one, another one for each point and run.
fn errors_for(index: usize, shift: usize) -> Vec<(&'static str, Reason, &'static str)> {
    if is_thorough() {
        return ERRORS.to_vec();
    }
    vec![ERRORS[(index + shift) % ERRORS.len()]]
}

fn is_thorough() -> bool {
    std::env::var_os("PHOENIX_CRASH").is_some_and(|value| value == "all")
}

/// Starts: with a renewal of which everything is still to be done, with the new key in place beside the old
/// certificate, and with a manifest that was edited.
fn starts() -> Result<[(&'static str, Start); 3]> {
    let creates = |call: &Call| call.name == "openat" && call.line.contains("/target/a/web");
    let places_certificate =
        |call: &Call| call.name.starts_with("rename") && call.line.ends_with("\"cert.pem\") = 0");
    Ok([
        ("recovery of a renewal that has just begun", Start::after(creates)?),
        ("recovery of a torn pair", Start::after(places_certificate)?),
        ("start with an edited manifest", Start::edited()?),
    ])
}

#[test]
fn killed_at_any_disk_changing_call_it_leaves_a_whole_pair_after_a_restart() -> Result<()> {
    let mut points = 0;
    for scenario in SCENARIOS {
        let course = Course::of(scenario)?;
        ensure!(course.points.len() > 4, "{}: only {} calls", scenario.name, course.points.len());
        points += each(scenario.name, &course.points, |_, point| course.kill(point))?;
    }
    eprintln!("operations: killed at {points} points");
    Ok(())
}

#[test]
fn killed_at_any_disk_changing_call_of_a_start_it_recovers_the_next_time() -> Result<()> {
    for (name, start) in starts()? {
        ensure!(start.points.len() > 4, "{name}: only {} calls", start.points.len());
        each(name, &start.points, |_, point| start.kill(point))?;
    }
    Ok(())
}

#[test]
fn a_start_with_nothing_to_do_changes_nothing_on_disk() -> Result<()> {
    let points = Start::in_order()?.points;
    ensure!(points.is_empty(), "it makes {points:?}");
    Ok(())
}

#[test]
fn an_error_at_any_disk_changing_call_is_told_and_leaves_the_old_pair() -> Result<()> {
    let shift = Dice::from_environment().below(4) as usize;
    let mut faults = 0;
    for scenario in SCENARIOS {
        let course = Course::of(scenario)?;
        each(&format!("{} with errors", scenario.name), &course.points, |index, point| {
            for error in errors_for(index, shift) {
                course.fail(point, error).with_context(|| error.0)?;
                faults += 1;
            }
            if is_thorough() {
                course.fail_for_good(point, "EROFS").context("EROFS from here on")?;
                faults += 1;
            }
            Ok(())
        })?;
    }
    eprintln!("operations: {faults} faults");
    Ok(())
}

#[test]
fn an_error_at_any_disk_changing_call_of_a_start_only_delays_it() -> Result<()> {
    let shift = Dice::from_environment().below(4) as usize;
    for (name, start) in starts()? {
        each(&format!("{name} with errors"), &start.points, |index, point| {
            errors_for(index, shift).into_iter().try_for_each(|(error, ..)| start.fail(point, error))
        })?;
    }
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_at_any_change_of_its_journal_goes_on_where_it_was() -> Result<()> {
    let shift = Dice::from_environment().below(SHARE as u64) as usize;
    for errand in [Errand::First, Errand::Renewal] {
        let mut way = Way::of(errand)?;
        let points = std::mem::take(&mut way.points);
        ensure!(points.len() > 10, "{errand:?}: only {} calls", points.len());
        let chosen: Vec<Call> = (0..points.len())
            .filter(|index| is_thorough() || index % SHARE == shift)
            .map(|index| points[index].clone())
            .collect();
        let mut met = 0;
        each(&format!("journal, {errand:?}"), &chosen, |_, point| {
            met += usize::from(way.kill(point)?);
            Ok(())
        })?;
        eprintln!("journal, {errand:?}: killed at {met} of {} points", points.len());
        ensure!(met * 4 >= chosen.len() * 3, "{errand:?}: only {met} of {} points were met", chosen.len());
    }
    Ok(())
}
