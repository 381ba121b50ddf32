//! The built executor dies, or its disk fails, at every single disk-changing system call.
//!
//! The store has a suite of its own that does this in one process, with a seam before each call
//! (`crates/store/tests/store/crash.rs`). This one believes in no seam: strace(1) finds the calls, kills the
//! real process at each of them and makes each of them fail, over the real socket.
//!
//! | module | duty |
//! |---|---|
//! | `strace` | which calls there are; striking at one |
//! | `executor` | the process, and the daemon's end of its socket |
//! | `place` | directory, manifest, certificate authority |
//! | `scenarios` | what is interrupted |
//! | `operations` | an operation, struck |
//! | `judge` | what must be true afterwards |

mod executor;
mod judge;
mod operations;
mod place;
mod scenarios;
mod strace;

use anyhow::{Result, ensure};
use operations::{Course, each};
use phoenix_core::reason::Reason;
use scenarios::SCENARIOS;

/// What a disk can say, and what the operator is told.
const ERRORS: [(&str, Reason, &str); 4] = [
    ("ENOSPC", Reason::DiskFull, "no space is left"),
    ("EDQUOT", Reason::DiskFull, "quota"),
    ("EIO", Reason::IoError, "I/O error"),
    ("EROFS", Reason::ReadOnly, "read-only"),
];

#[test]
fn killed_at_any_disk_changing_call_it_leaves_a_whole_pair_after_a_restart() -> Result<()> {
    let mut points = 0;
    for scenario in SCENARIOS {
        let course = Course::of(scenario)?;
        ensure!(course.points.len() > 4, "{}: only {} calls", scenario.name, course.points.len());
        points += each(scenario.name, &course.points, |point| course.kill(point))?;
    }
    eprintln!("killed at {points} points");
    Ok(())
}
