//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use phoenix_core::time::Timestamp;

/// Now, in whole seconds.
pub(crate) fn now() -> Timestamp {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    };
    Timestamp::from_unix(seconds)
}
