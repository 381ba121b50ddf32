//! Virtual time: what really passes, and what the host's clock says about it.

use std::time::Duration;

use phoenix_core::time::Timestamp;

/// Milliseconds since the simulation began.
pub(super) type Moment = u64;

/// Where the clocks begin.
const EPOCH: i64 = 1_800_000_000;

/// True time and the host's clock, which may be wrong.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// What has really passed.
    pub(super) now: Moment,
    /// How far the host's clock is ahead, in seconds.
    pub(super) ahead: i64,
}

impl Clock {
    /// What the host's clock says.
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp::from_unix(self.truth().unix() + self.ahead)
    }

    /// What a right clock says. CAs have one.
    pub(super) fn truth(&self) -> Timestamp {
        Timestamp::from_unix(EPOCH + (self.now / 1000) as i64)
    }

    /// When the host's clock says `wall`.
    pub(super) fn when(&self, wall: Timestamp) -> Moment {
        to_moment(Timestamp::from_unix(wall.unix() - self.ahead)).max(self.now)
    }
}

/// When a right clock says `truth`.
pub(super) fn to_moment(truth: Timestamp) -> Moment {
    u64::try_from(truth.unix() - EPOCH).unwrap_or(0) * 1000
}

/// In milliseconds.
pub(super) fn span(time: Duration) -> Moment {
    time.as_millis() as Moment
}
