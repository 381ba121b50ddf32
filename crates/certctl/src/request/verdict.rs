//! Is everything that was asked for true?

use anstyle::{AnsiColor, Style};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{EntryResult, Outcome};

use crate::exit::Exit;
use crate::plain::plain;
use crate::table::{Cell, Table};

/// Waits that `--best-effort` puts up with: the guest, or an issuer that has never answered, comes later.
const EXCUSED: [Reason; 4] =
    [Reason::GuestAbsent, Reason::GuestOff, Reason::GuestLocked, Reason::IssuerNotReady];

/// What counts as success.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge {
    /// `--no-wait`.
    pub(super) accepted_suffices: bool,
    /// `--best-effort`.
    pub(super) best_effort: bool,
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) exit: Exit,
    /// Lines for standard error.
    pub(super) remarks: Vec<String>,
}

/// How a result counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Reached,
    Excused,
    Lacking,
}

impl Judge {
    pub(super) fn judge(self, results: &[EntryResult]) -> Verdict {
        let counts: Vec<Count> = results.iter().map(|result| self.count(result)).collect();
        let number = |wanted| counts.iter().filter(|count| **count == wanted).count();
        let short = results.iter().zip(&counts).filter(|(_, count)| **count != Count::Reached);
        let mut remarks: Vec<String> = short.map(|(result, _)| remark(result)).collect();
        let exit = if number(Count::Lacking) == 0 { Exit::Done } else { Exit::NotDone };
        if exit == Exit::Done && number(Count::Excused) > 0 {
            let (excused, all) = (number(Count::Excused), results.len());
            remarks.push(format!(
                "best effort: {excused} of {all} still to be done, as soon as the guest or the issuer is there"
            ));
        }
        Verdict { exit, remarks }
    }

    fn count(self, result: &EntryResult) -> Count {
        match result.result {
            // Nothing was proven: the consumer cannot be reached, and could not be before.
            Outcome::Unverified if result.reason.is_some() => Count::Lacking,
            Outcome::Verified | Outcome::Unverified | Outcome::Written => Count::Reached,
            Outcome::Accepted if self.accepted_suffices => Count::Reached,
            Outcome::Waiting if self.best_effort && is_excused(result) => Count::Excused,
            Outcome::Failed if self.best_effort && has_no_agent_yet(result) => Count::Excused,
            Outcome::Accepted | Outcome::Waiting | Outcome::Failed | Outcome::Timeout => Count::Lacking,
        }
    }
}

fn is_excused(result: &EntryResult) -> bool {
    result.reason.as_deref().is_some_and(|code| EXCUSED.iter().any(|reason| reason.code() == code))
}

/// A machine that has just been started, or is still being made, has no agent that answers.
fn has_no_agent_yet(result: &EntryResult) -> bool {
    result.reason.as_deref() == Some(Reason::AgentMissing.code())
}

/// `docker-daemon failed (command-failed): …`
fn remark(result: &EntryResult) -> String {
    let said = match result.result {
        Outcome::Waiting => "waits",
        Outcome::Failed => "failed",
        Outcome::Timeout => "was not done in time and goes on in the background",
        Outcome::Accepted => "goes on in the background",
        Outcome::Verified | Outcome::Unverified | Outcome::Written => word(result.result),
    };
    let reason = result.reason.as_ref().map_or_else(String::new, |code| format!(" ({})", plain(code)));
    let error =
        result.error.as_ref().map_or_else(String::new, |error| format!(": {}", plain(error.trim_end())));
    format!("{} {said}{reason}{error}", plain(&result.name))
}

/// The result as the control API spells it.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Verified => "verified",
        Outcome::Unverified => "unverified",
        Outcome::Written => "written",
        Outcome::Waiting => "waiting",
        Outcome::Accepted => "accepted",
        Outcome::Failed => "failed",
        Outcome::Timeout => "timeout",
    }
}

fn colour(outcome: Outcome) -> Style {
    let colour = match outcome {
        Outcome::Verified | Outcome::Unverified | Outcome::Written => AnsiColor::Green,
        Outcome::Waiting | Outcome::Accepted | Outcome::Timeout => AnsiColor::Yellow,
        Outcome::Failed => AnsiColor::Red,
    };
    Style::new().fg_color(Some(colour.into()))
}

/// The results for people.
pub(super) fn table(results: &[EntryResult]) -> String {
    if results.is_empty() {
        return "There are no certificates in the manifest.\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "RESULT", "SERIAL"]);
    for result in results {
        table.push(vec![
            Cell::new(plain(&result.name)),
            Cell::new(word(result.result)).styled(colour(result.result)),
            Cell::new(result.serial.as_deref().map_or_else(|| "-".into(), plain)),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Judge = Judge { accepted_suffices: false, best_effort: false };
    const BEST_EFFORT: Judge = Judge { accepted_suffices: false, best_effort: true };
    const NO_WAIT: Judge = Judge { accepted_suffices: true, best_effort: false };

    fn result(outcome: Outcome, reason: Option<&str>) -> EntryResult {
        EntryResult {
            name: "a".into(),
            result: outcome,
            serial: None,
            error: None,
            reason: reason.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn every_result_counts_as_the_contract_says() {
        for (outcome, reason, plain, best_effort, no_wait) in [
            (Outcome::Verified, None, true, true, true),
            (Outcome::Unverified, None, true, true, true),
            (Outcome::Unverified, Some("unreachable"), false, false, false),
            (Outcome::Written, None, true, true, true),
            (Outcome::Accepted, None, false, false, true),
            (Outcome::Failed, Some("guest-off"), false, false, false),
            (Outcome::Timeout, None, false, false, false),
            (Outcome::Waiting, None, false, false, false),
            (Outcome::Waiting, Some("guest-absent"), false, true, false),
            (Outcome::Waiting, Some("guest-off"), false, true, false),
            (Outcome::Waiting, Some("guest-locked"), false, true, false),
            (Outcome::Failed, Some("agent-missing"), false, true, false),
            (Outcome::Failed, Some("agent-blocked"), false, false, false),
            (Outcome::Waiting, Some("issuer-not-ready"), false, true, false),
            (Outcome::Waiting, Some("window-closed"), false, false, false),
            (Outcome::Waiting, Some("held"), false, false, false),
        ] {
            for (judge, good) in [(PLAIN, plain), (BEST_EFFORT, best_effort), (NO_WAIT, no_wait)] {
                let exit = judge.judge(&[result(outcome, reason)]).exit;
                assert_eq!(exit == Exit::Done, good, "{outcome:?} {reason:?} {judge:?}");
            }
        }
    }

    #[test]
    fn best_effort_says_what_is_still_to_be_done() {
        let mut waiting = result(Outcome::Waiting, Some("guest-off"));
        waiting.error = Some("VM 1001 is not running; delivered when it is".into());
        let verdict = BEST_EFFORT.judge(&[result(Outcome::Verified, None), waiting]);
        assert_eq!(
            verdict.remarks,
            [
                "a waits (guest-off): VM 1001 is not running; delivered when it is",
                "best effort: 1 of 2 still to be done, as soon as the guest or the issuer is there",
            ]
        );
    }

    #[test]
    fn a_failure_beside_a_wait_is_a_failure() {
        let results = [result(Outcome::Waiting, Some("guest-off")), result(Outcome::Failed, None)];
        let verdict = BEST_EFFORT.judge(&results);
        assert_eq!(
            verdict,
            Verdict { exit: Exit::NotDone, remarks: vec!["a waits (guest-off)".into(), "a failed".into()] }
        );
    }

    #[test]
    fn nothing_to_do_is_done() {
        assert_eq!(PLAIN.judge(&[]), Verdict { exit: Exit::Done, remarks: vec![] });
    }
}
