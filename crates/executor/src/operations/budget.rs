//! The restart budget (`min_interval`) once more: how often a command may run ahead of it.
//!
//! When a command runs is the daemon's to decide: an operator's `renew` and a certificate that is about to expire
//! override the budget, and the executor cannot tell them from a daemon that has been taken over. So it lets
//! commands run early, but only so often.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::time::Timestamp;

/// Runs ahead of `min_interval` within [`PERIOD`] after which a command has to keep to it.
const MAX_EARLY: usize = 10;
/// How long an early run counts.
const PERIOD: Duration = Duration::from_secs(60 * 60);

/// The runs of one command line.
#[derive(Debug, Default)]
struct Runs {
    last: Option<Timestamp>,
    early: Vec<Timestamp>,
}

/// The runs of all command lines that have a `min_interval`, by their digests. There are no more of these than the
/// manifest has had.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Mutex<HashMap<String, Runs>>);

impl Budgets {
    /// May this command line run now?
    ///
    /// # Errors
    /// It ran ahead of its interval too often.
    pub(crate) fn check(&self, spending: &Spending) -> Result<(), Trouble> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = all.entry(spending.digest.clone()).or_default();
        runs.early.retain(|at| spending.within(*at, PERIOD));
        if spending.is_early(runs) && runs.early.len() >= MAX_EARLY {
            let message = format!(
                "The command has run {MAX_EARLY} times within an hour although its `min_interval` is {} s. It runs \
                 when that is over.",
                spending.interval.as_secs()
            );
            return Err(Trouble::new(Reason::RestartBudget, message));
        }
        Ok(())
    }

    /// It has run, or may have.
    pub(crate) fn ran(&self, spending: &Spending) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = all.entry(spending.digest.clone()).or_default();
        if spending.is_early(runs) {
            runs.early.push(spending.now);
        }
        runs.last = Some(spending.now);
    }
}

/// One run of a command line that has a `min_interval`.
#[derive(Debug)]
pub(crate) struct Spending {
    /// Digest of the command line.
    pub(crate) digest: String,
    /// Its `min_interval`.
    pub(crate) interval: Duration,
    /// Its last run by the ledgers, which outlive this process.
    pub(crate) recorded: Option<Timestamp>,
    /// When it is to run.
    pub(crate) now: Timestamp,
}

impl Spending {
    /// A clock set back must not hold a command longer than the interval.
    fn within(&self, at: Timestamp, span: Duration) -> bool {
        at <= self.now && self.now.since(at) < span
    }

    fn is_early(&self, runs: &Runs) -> bool {
        runs.last.max(self.recorded).is_some_and(|last| self.within(last, self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(86_400);

    fn try_to_run(budgets: &Budgets, command: &str, at: i64, recorded: Option<i64>) -> Result<(), Trouble> {
        let recorded = recorded.map(Timestamp::from_unix);
        let now = Timestamp::from_unix(at);
        let spending = Spending { digest: command.to_owned(), interval: INTERVAL, recorded, now };
        budgets.check(&spending).map(|()| budgets.ran(&spending))
    }

    fn spend(budgets: &Budgets, command: &str, at: i64) -> bool {
        try_to_run(budgets, command, at, None).is_ok()
    }

    #[test]
    fn a_command_runs_early_now_and_then_but_not_all_the_time() {
        let budgets = Budgets::default();
        // The first is on time.
        let ran = (0..1000).filter(|second| spend(&budgets, "restart", *second)).count();
        assert_eq!(ran, 1 + MAX_EARLY);
        assert!(spend(&budgets, "another", 1000));
        assert!(spend(&budgets, "restart", 3601), "the first early run counts no longer");
        assert!(spend(&budgets, "restart", 10 * 86_400));
    }

    #[test]
    fn a_refusal_names_the_interval_and_is_waited_for() {
        let budgets = Budgets::default();
        let again = || try_to_run(&budgets, "x", 5, None);
        let trouble = (0..20).find_map(|_| again().err()).unwrap();
        assert_eq!(trouble.reason, Reason::RestartBudget);
        assert!(trouble.message.contains("86400 s"), "{trouble}");
    }

    #[test]
    fn runs_that_an_earlier_process_recorded_count() {
        let budgets = Budgets::default();
        let ran = (0..20).filter(|_| try_to_run(&budgets, "x", 1_000_000, Some(999_000)).is_ok()).count();
        assert_eq!(ran, MAX_EARLY);
    }

    #[test]
    fn a_clock_that_was_wrong_holds_nothing_back() {
        let budgets = Budgets::default();
        for _ in 0..20 {
            spend(&budgets, "x", 1_000_000_000);
        }
        assert!(!spend(&budgets, "x", 1_000_000_000));
        assert!(spend(&budgets, "x", 0));
    }
}
