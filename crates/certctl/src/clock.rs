//! The present. Read here and nowhere else; everything below takes it as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use phoenix_core::time::Timestamp;

/// The present; the epoch when the clock is before it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().plus(since)
}
