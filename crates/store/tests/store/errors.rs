//! Every single disk-changing system call fails with each error that a disk can give.

use std::path::PathBuf;

use phoenix_core::reason::{Reason, Trouble};
use rustix::io::Errno;

use crate::bed::{At, Bed, Scenario, What, live_mark, scenarios};
use crate::crash::{check, deeds, recover};

const ERRORS: [(Errno, Reason, &str); 4] = [
    (Errno::NOSPC, Reason::DiskFull, "no space is left"),
    (Errno::DQUOT, Reason::DiskFull, "quota"),
    (Errno::IO, Reason::IoError, "I/O error"),
    (Errno::ROFS, Reason::ReadOnly, "read-only"),
];

fn attempt(bed: &Bed, scenario: &Scenario, step: usize, what: What) -> Result<(), Trouble> {
    let entry = (scenario.entry)(bed);
    (scenario.prepare)(bed, &bed.open().entry(&entry));
    let store = bed.open_with(At::new(step, what));
    (scenario.act)(&store.entry(&entry))
}

fn is_clear(trouble: &Trouble, reason: Reason, words: &str) -> bool {
    trouble.reason == reason && trouble.message.contains(words) && trouble.message.contains("`/")
}

#[test]
fn one_failing_call_leaves_the_old_pair_and_nothing_else() {
    for scenario in scenarios() {
        let total = deeds(&scenario);
        for (errno, reason, words) in ERRORS {
            for step in 1..=total {
                let at = format!("{}, {errno:?} at deed {step} of {total}", scenario.name);
                let bed = Bed::new();
                let outcome = attempt(&bed, &scenario, step, What::Fail(errno));
                let entry = (scenario.entry)(&bed);
                let (before, after) = scenario.marks;
                match outcome {
                    // A failure after the commit was recorded is a warning in the log.
                    Ok(()) => assert_eq!(live_mark(&entry).as_deref(), after, "{at}"),
                    Err(trouble) => {
                        assert!(is_clear(&trouble, reason, words), "{at}: {trouble}");
                        assert_eq!(live_mark(&entry).as_deref(), before, "{at}");
                    }
                }
                recover(&bed.open());
                check(&bed, &scenario, &at);
            }
        }
    }
}

#[test]
fn a_disk_that_fails_for_good_is_mended_when_it_works_again() {
    for scenario in scenarios() {
        let total = deeds(&scenario);
        let fails = [What::FailOn(Errno::IO), What::FailAlike(Errno::ROFS)];
        for (step, what) in (1..=total).flat_map(|step| fails.map(|what| (step, what))) {
            let at = format!("{}, {what:?} from deed {step} of {total} on", scenario.name);
            let bed = Bed::new();
            // What comes after the recording of the commit may fail without a word.
            let _ = attempt(&bed, &scenario, step, what);
            recover(&bed.open());
            check(&bed, &scenario, &at);
            let entry = (scenario.entry)(&bed);
            let handle = bed.open();
            handle.entry(&entry).install(crate::bed::pair("next")).unwrap();
            assert_eq!(live_mark(&entry).as_deref(), Some("next"), "{at}");
            assert_eq!(bed.strays(&entry), Vec::<PathBuf>::new(), "{at}");
        }
    }
}
