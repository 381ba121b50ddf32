//! What is the next thing to do when the files need nothing?

use super::{Case, gate};
use crate::backoff::LONGEST;
use crate::lifecycle::decide::{Decision, Work};
use crate::lifecycle::memory::{Reach, Stage};
use crate::lifecycle::rollback;
use crate::lifecycle::rule::Rule;
use crate::lifecycle::standing::delivered_by_command;
use crate::lifecycle::verify::{may_be_broken, wants_recheck};
use crate::manifest::{self, Delivery};
use crate::reason::{Reason, Trouble};
use crate::rules::Finding;

/// What is the next thing to do when the files need nothing? The last rule always decides.
pub const DEPLOY: &[Rule<Decision>] = &[
    Rule {
        name: "manifest-error",
        about: "the manifest has the next stage wrong: it is blocked until the manifest is mended",
        fact: |case| {
            let errors: Vec<&str> =
                case.entry.stage_errors.iter().map(|error| error.message.as_str()).collect();
            if errors.is_empty() { "every stage can be carried out".into() } else { errors.join("; ") }
        },
        test: manifest_error,
    },
    Rule {
        name: "held",
        about: "the certificate was asked to go no further until the next sync or renewal",
        fact: |case| match &case.memory.hold {
            Some(hold) => format!("the certificate {} goes up to {:?}", hold.fingerprint, hold.reach),
            None => "nothing is held".to_owned(),
        },
        test: |case| {
            let (_, reach, _) = open_stage(case)?;
            (case.reach() < reach).then_some(Decision::Rest(case.renewal))
        },
    },
    Rule {
        name: "window-closed",
        about: "the command is to run, and its maintenance window is closed: its opening is waited for, but not beyond \
                the end of what is in use; after that, a command without effect is repeated once an hour",
        fact: gate::window_words,
        test: |case| {
            is_next(case, Work::Activate)?;
            gate::window(case)
        },
    },
    Rule {
        name: "restart-budget",
        about: "the command is to run, and the same command line ran less than `min_interval` ago",
        fact: gate::budget_words,
        test: |case| {
            is_next(case, Work::Activate)?;
            gate::budget(case)
        },
    },
    Rule {
        name: "deploy-spacing",
        about: "an earlier failure of the next stage, or of a verification, is still being waited out; an order that ends \
                before the verification does not wait for that",
        fact: |case| case.failures_in_words(&[Stage::Deliver, Stage::Activate, Stage::Verify]),
        test: |case| {
            let (work, ..) = open_stage(case)?;
            (work != Work::Activate || !case.context.invited).then_some(())?;
            let stages = [work.stage(), Stage::Verify];
            let until =
                case.waits_until(if passes_looks(case, work.stage()) { &stages[..1] } else { &stages })?;
            // A renewal whose time has come and that cannot be had now is waited for elsewhere.
            let renewal = case.renewal.filter(|renewal| *renewal > case.now);
            Some(Decision::Rest(Some(renewal.map_or(until, |renewal| until.min(renewal)))))
        },
    },
    Rule {
        name: "deliver",
        about: "the guest does not have this certificate yet: it is copied there",
        fact: |case| done_words(case.standing.delivered),
        test: |case| act(case, Work::Deliver),
    },
    Rule {
        name: "recheck",
        about: "the command is to run, and the delivery was a while ago: it is looked whether the guest still has it",
        fact: |case| match &case.seen.ledger.delivered {
            Some(deed) => format!("delivered at {}", deed.at),
            None => "nothing was delivered".to_owned(),
        },
        test: |case| act(case, Work::Recheck),
    },
    Rule {
        name: "activate",
        about: "the command has not succeeded for this certificate yet: it is run",
        fact: |case| done_words(case.standing.activated),
        test: |case| act(case, Work::Activate),
    },
    Rule {
        name: "verify",
        about: "the certificate has not been seen at its consumer yet: it is looked for there",
        fact: |case| done_words(case.standing.verified),
        test: |case| act(case, Work::Verify),
    },
    Rule {
        name: "rolled-back",
        about: "the previous pair is in place and in use: the alarm stays up until the newer one is tried again",
        fact: |case| match &case.memory.rollback {
            Some(known) => known.trouble.message.clone(),
            None => "nothing was taken back".to_owned(),
        },
        test: |case| {
            let (trouble, next) = rollback::alarm(case.entry, case.memory)?;
            Some(Decision::Stuck(Stage::Verify, trouble, next))
        },
    },
    Rule {
        name: "rest",
        about: "nothing is left to do: the renewal is waited for",
        fact: |case| {
            case.renewal
                .map_or_else(|| "there is no renewal time".to_owned(), |at| format!("it is renewed at {at}"))
        },
        test: |case| Some(Decision::Rest(case.renewal)),
    },
];

/// The next stage, if the manifest has it wrong.
fn manifest_error(case: &Case<'_>) -> Option<Decision> {
    let standing = &case.standing;
    // Copies for the command wait for the command; what is delivered to its own place does not.
    let for_command = matches!(case.entry.delivery, Some(Delivery::Legacy { .. }));
    let (stage, wrong) = if standing.delivered == Some(false) && !for_command {
        (Stage::Deliver, manifest::Stage::Deliver)
    } else if standing.activated == Some(false) {
        (Stage::Activate, manifest::Stage::Activate)
    } else if standing.delivered != Some(false) {
        (Stage::Verify, manifest::Stage::Verify)
    } else {
        return None;
    };
    let error = case.entry.stage_error(wrong)?;
    let trouble = Trouble::new(Reason::ManifestError, error.message.clone());
    let renewal = case.renewal.filter(|renewal| *renewal > case.now);
    Some(Decision::Stuck(stage, trouble, renewal.unwrap_or(case.now.plus(LONGEST))))
}

/// The next stage that is not done, how far a hold has to reach for it, and why it is to be done.
fn open_stage(case: &Case<'_>) -> Option<(Work, Reach, Finding)> {
    let finding = |reason, message: &str| Finding { reason, message: message.to_owned() };
    if case.standing.delivered == Some(false) && !delivered_by_command(case.entry) {
        let why = finding(Reason::NotDelivered, "the guest does not have this certificate yet");
        return Some((Work::Deliver, Reach::Delivered, why));
    }
    if case.standing.activated == Some(false) {
        return Some(before_activation(case));
    }
    (case.standing.verified == Some(false)).then(|| {
        let why = finding(Reason::NotVerified, "the certificate has not been seen at its consumer yet");
        (Work::Verify, Reach::Verified, why)
    })
}

/// The command, or what has to be looked at before it.
fn before_activation(case: &Case<'_>) -> (Work, Reach, Finding) {
    let (work, reason, message) = if wants_look_first(case) {
        (Work::Verify, Reason::NotVerified, "an operator wants to know what the consumer uses now")
    } else if may_be_broken(case.entry, case.memory) {
        (Work::Verify, Reason::NotVerified, "the command failed: what does its consumer do now?")
    } else if wants_recheck(case.entry, case.seen.ledger.delivered.as_ref(), case.memory, case.now) {
        (
            Work::Recheck,
            Reason::NotActivated,
            "before the command runs, the guest must have what was delivered",
        )
    } else if case
        .memory
        .failures
        .get(&Stage::Verify)
        .is_some_and(|failure| failure.trouble.reason != Reason::LookPutOff)
    {
        (
            Work::Activate,
            Reason::NotVerified,
            "the consumer does not use this certificate: the command is run again",
        )
    } else {
        (Work::Activate, Reason::NotActivated, "the command has not run for this certificate yet")
    };
    (work, Reach::Activated, Finding { reason, message: message.to_owned() })
}

/// The command succeeded and had no effect, and a look was asked for: it may have had one since.
fn wants_look_first(case: &Case<'_>) -> bool {
    let repeats = case.memory.rerun && !case.memory.reactivate;
    let put_off = passes_looks(case, Stage::Activate) && case.waits_until(&[Stage::Verify]).is_some();
    repeats && case.memory.reverify && gate::is_repeat(case) && !case.entry.verify.is_empty() && !put_off
}

/// An order that goes as far as `stage` ends before the consumer is looked at.
fn passes_looks(case: &Case<'_>, stage: Stage) -> bool {
    let nearer = case.memory.order.as_ref().and_then(|order| order.nearer);
    nearer.is_some_and(|reach| reach.covers(stage))
}

/// Why `work` is to be done, if that is the next stage.
fn is_next(case: &Case<'_>, work: Work) -> Option<Finding> {
    let (open, _, why) = open_stage(case)?;
    (open == work).then_some(why)
}

fn act(case: &Case<'_>, work: Work) -> Option<Decision> {
    is_next(case, work).map(|why| Decision::Act(work, why))
}

fn done_words(done: Option<bool>) -> String {
    match done {
        None => "not configured".to_owned(),
        Some(true) => "done for this certificate".to_owned(),
        Some(false) => "not done for this certificate".to_owned(),
    }
}
