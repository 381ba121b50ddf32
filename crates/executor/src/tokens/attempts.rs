//! How often a password may be tried.
//!
//! A hijacked daemon could make encrypted keys of its own, under passwords of its guessing, and learn from the
//! answer which guess opens one. So failures are few, whatever key they were with.

use std::time::Duration;

use phoenix_core::time::Timestamp;

use crate::authority::Stamp;

/// Failures with different keys within [`PERIOD`] after which no more are tried.
const MAX_FAILURES: usize = 3;
/// How long a failure counts.
const PERIOD: Duration = Duration::from_secs(5 * 60);
/// Failed keys that are remembered.
const MAX_REMEMBERED: usize = 256;

/// What became of an earlier attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// May be tried.
    Try,
    /// This key did not open with this password: it will not now.
    KnownBad,
    /// Too many failures; look again after this time.
    Locked(Duration),
}

/// Failed attempts with one version of one password.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    stamp: Option<Stamp>,
    keys: Vec<[u8; 32]>,
    recent: Vec<Timestamp>,
}

impl Attempts {
    /// May the key with this digest be tried with this version of the password?
    pub(super) fn judge(&mut self, stamp: &Stamp, key: &[u8; 32], now: Timestamp) -> Verdict {
        if self.stamp.as_ref() != Some(stamp) {
            return Verdict::Try;
        }
        if self.keys.contains(key) {
            return Verdict::KnownBad;
        }
        // A clock set back must not lock for longer than the period.
        self.recent.retain(|at| *at <= now && now.since(*at) < PERIOD);
        match self.recent.first() {
            Some(first) if self.recent.len() >= MAX_FAILURES => {
                Verdict::Locked(PERIOD.saturating_sub(now.since(*first)))
            }
            _ => Verdict::Try,
        }
    }

    /// Records that the key did not open.
    pub(super) fn failed(&mut self, stamp: &Stamp, key: [u8; 32], now: Timestamp) {
        if self.stamp.as_ref() != Some(stamp) {
            *self = Self { stamp: Some(stamp.clone()), ..Self::default() };
        }
        if self.keys.len() >= MAX_REMEMBERED {
            self.keys.remove(0);
        }
        self.keys.push(key);
        self.recent.push(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_000_000 + seconds)
    }

    #[test]
    fn failures_lock_for_a_while_and_a_new_password_unlocks() {
        let (old, new) = (Stamp::sample(1), Stamp::sample(2));
        let mut attempts = Attempts::default();
        for key in 0..3 {
            assert_eq!(attempts.judge(&old, &[key; 32], at(0)), Verdict::Try);
            attempts.failed(&old, [key; 32], at(0));
        }
        assert_eq!(attempts.judge(&old, &[0; 32], at(0)), Verdict::KnownBad);
        assert_eq!(attempts.judge(&old, &[9; 32], at(100)), Verdict::Locked(Duration::from_secs(200)));
        assert_eq!(attempts.judge(&new, &[0; 32], at(100)), Verdict::Try);
        assert_eq!(attempts.judge(&old, &[9; 32], at(300)), Verdict::Try);
        assert_eq!(attempts.judge(&old, &[0; 32], at(300)), Verdict::KnownBad);
        attempts.failed(&new, [0; 32], at(300));
        assert_eq!(attempts.judge(&new, &[1; 32], at(300)), Verdict::Try);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_lock_for_ever() {
        let stamp = Stamp::sample(1);
        let mut attempts = Attempts::default();
        for key in 0..3 {
            attempts.failed(&stamp, [key; 32], at(1_000_000));
        }
        assert_eq!(attempts.judge(&stamp, &[9; 32], at(0)), Verdict::Try);
    }
}
