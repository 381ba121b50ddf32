//! States and stages in words and colours.

use anstyle::{AnsiColor, Style};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::{CertificateState as State, Deployment, StageState};

/// The state as the control API spells it.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Invalid => "invalid",
        State::Expired => "expired",
        State::Missing => "missing",
        State::Paused => "paused",
        State::Blocked => "blocked",
        State::Retrying => "retrying",
        State::Waiting => "waiting",
        State::Issuing => "issuing",
        State::Deploying => "deploying",
        State::Due => "due",
        State::Ok => "ok",
    }
}

/// Green is good, yellow is on its way, red needs someone.
pub(crate) fn colour(state: State) -> Style {
    let colour = match state {
        State::Invalid | State::Expired | State::Missing | State::Blocked | State::Retrying => AnsiColor::Red,
        State::Paused | State::Waiting | State::Issuing | State::Deploying | State::Due => AnsiColor::Yellow,
        State::Ok => AnsiColor::Green,
    };
    Style::new().fg_color(Some(colour.into()))
}

/// What the state means, after the name of the entry; `reason` is its code.
pub(crate) fn sentence(state: State, reason: Option<&str>) -> &'static str {
    match state {
        State::Invalid if reason == Some(Reason::ManifestError.code()) => "is wrong in the manifest",
        State::Invalid => "has no usable pair of files",
        State::Expired => "has expired",
        State::Missing => "lacks a file of its pair",
        State::Paused => "is paused in the manifest",
        State::Blocked => "is blocked until someone changes something",
        State::Retrying => "failed and is tried again",
        State::Waiting => "waits",
        State::Issuing => "is being issued",
        State::Deploying => "is being deployed",
        State::Due => "is due for renewal",
        State::Ok => "is in order",
    }
}

/// How far a certificate has come: the last stage that is done, and the first that is not.
pub(crate) fn deployment(of: Deployment) -> String {
    let stages = [
        ("written", "writing", of.written),
        ("delivered", "delivery", of.delivered),
        ("activated", "activation", of.activated),
        ("verified", "verification", of.verified),
    ];
    let open = |state: StageState| !matches!(state, StageState::Done | StageState::None);
    let stop = stages.iter().position(|(_, _, state)| open(*state)).unwrap_or(stages.len());
    let mut words = Vec::new();
    let reached = stages.iter().take(stop).rfind(|(_, _, state)| *state == StageState::Done);
    if let Some((done, _, _)) = reached {
        words.push((*done).to_owned());
    }
    match stages.get(stop) {
        Some((_, stage, StageState::Failed)) => words.push(format!("{stage} failed")),
        Some((_, stage, StageState::Unknown)) => words.push(format!("{stage} unknown")),
        Some((_, stage, _)) => words.push(format!("{stage} pending")),
        None if of.verified == StageState::None => words.push("unverified".to_owned()),
        None => {}
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use StageState::{Done, Failed, None, Pending, Unknown};

    use super::*;

    #[test]
    fn a_deployment_is_told_by_its_last_good_stage_and_what_holds_it_up() {
        for (written, delivered, activated, verified, text) in [
            (Done, Done, Done, Done, "verified"),
            (Done, None, None, Done, "verified"),
            (Done, None, None, None, "written, unverified"),
            (Done, None, Done, None, "activated, unverified"),
            (Done, Pending, Pending, None, "written, delivery pending"),
            (Done, Done, Failed, Pending, "delivered, activation failed"),
            (Done, None, Done, Failed, "activated, verification failed"),
            (Done, Unknown, Unknown, None, "written, delivery unknown"),
            (Pending, Pending, Pending, None, "writing pending"),
            (Failed, Pending, Pending, None, "writing failed"),
            (Unknown, None, None, None, "writing unknown"),
        ] {
            assert_eq!(deployment(Deployment { written, delivered, activated, verified }), text);
        }
    }
}
