//! One verification: attempts until it passes or its time is over.

use std::time::Duration;

use phoenix_core::reason::RetryClass;
use tokio::time::{Instant, sleep};

use crate::conversation::{Script, converse};
use crate::finding::{Report, Subject};
use crate::recorder::Seen;
use crate::{Address, Check};

/// Longest time for one connection, so that a server that hangs while it starts does not use up a long deadline.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Looks until what is seen is as it should be, at most for `deadline`: consumers take a while to reload or to start.
/// What was wrong at the last attempt is reported.
pub async fn look(check: &Check, subject: &Subject, deadline: Duration) -> Report {
    let until = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(FIRST_PAUSE);
        let report = check.attempt(subject, left.min(LONGEST_ATTEMPT)).await;
        let hopeless = report.result.as_ref().err().is_some_and(|trouble| {
            // What the manifest has wrong, no consumer mends.
            trouble.reason.class() == RetryClass::Blocked
        });
        if report.result.is_ok() || hopeless || Instant::now() + pause >= until {
            return report;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Some TLS server presents a certificate there.
pub async fn can_be_reached(address: &Address, server_name: Option<&str>, deadline: Duration) -> bool {
    let script = Script {
        address: address.clone(),
        server_name: server_name.map(str::to_owned),
        identity: None,
        request: None,
        patience: deadline,
    };
    converse(script, deadline).await.is_ok_and(|met| met.seen != Seen::Nothing)
}
