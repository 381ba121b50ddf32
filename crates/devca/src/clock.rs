//! The CA's time, which can be wrong.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

/// The real clock, moved by a settable number of seconds.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    skew: AtomicI64,
}

impl Clock {
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
    }

    /// Seconds since the Unix epoch, as the CA sees it.
    pub(crate) fn now(&self) -> i64 {
        Utc::now().timestamp().saturating_add(self.skew.load(Ordering::Relaxed))
    }
}

/// An HTTP date (RFC 9110 section 5.6.7).
pub(crate) fn http_date(unix: i64) -> String {
    at(unix).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A time as Go prints it: `2026-11-21 18:59:50 +0000 UTC`.
pub(crate) fn go_time(unix: i64) -> String {
    at(unix).format("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

fn at(unix: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(unix, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_the_protocol_wants_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(go_time(1_795_287_590), "2026-11-21 18:59:50 +0000 UTC");
    }

    #[test]
    fn the_skew_moves_the_clock() {
        let clock = Clock::default();
        let before = clock.now();
        clock.set_skew(-1_000_000);
        assert!(clock.now() < before - 900_000);
    }
}
