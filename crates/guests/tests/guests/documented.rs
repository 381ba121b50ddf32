//! What `docs/guests.md` says about retrying is so.

use std::collections::BTreeSet;

use phoenix_core::reason::Reason;

const TEXT: &str = include_str!("../../../../docs/guests.md");

/// Reasons that only guests give.
const OF_GUESTS: [Reason; 11] = [
    Reason::GuestAbsent,
    Reason::GuestOff,
    Reason::GuestLocked,
    Reason::AgentMissing,
    Reason::AgentBlocked,
    Reason::CommandFailed,
    Reason::CommandKilled,
    Reason::CommandTimeout,
    Reason::CommandNotStarted,
    Reason::DeliveryDiffers,
    Reason::DeliveryReverted,
];

#[test]
fn the_table_of_retry_classes_is_true_and_complete() {
    let rows = TEXT.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, code, class] = cells[..] else { return None };
        Some((code.strip_prefix('`')?.strip_suffix('`')?, class))
    });
    let mut told = BTreeSet::new();
    for (code, class) in rows {
        let reason = Reason::ALL.iter().find(|reason| reason.code() == code);
        let reason = reason.unwrap_or_else(|| panic!("there is no reason `{code}`"));
        assert_eq!(serde_json::to_value(reason.class()).unwrap(), class, "{code}");
        told.insert(*reason);
    }
    for reason in OF_GUESTS {
        assert!(told.contains(&reason), "nothing is said about `{reason}`");
    }
}
