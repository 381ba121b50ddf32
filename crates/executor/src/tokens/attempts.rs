//! How often a password may be tried.
//!
//! A hijacked daemon could make encrypted keys of its own, under passwords of its guessing, and learn from the
//! answer which guess opens one. So failures are few, whatever key they were with.

use std::collections::HashMap;
use std::time::Duration;

use phoenix_core::time::Timestamp;

use crate::authority::Stamp;

/// Failures with different keys within [`PERIOD`] after which no more are tried.
const MAX_FAILURES: usize = 3;
/// How long a failure counts.
const PERIOD: Duration = Duration::from_secs(5 * 60);
/// Failed keys that are remembered for each password.
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
#[derive(Debug)]
struct Failures {
    stamp: Stamp,
    keys: Vec<[u8; 32]>,
    recent: Vec<Timestamp>,
}

/// Failed attempts by password file.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<String, Failures>);

impl Attempts {
    /// May the key with this digest be tried with the password at `place`?
    pub(super) fn judge(&mut self, place: &str, stamp: &Stamp, key: &[u8; 32], now: Timestamp) -> Verdict {
        let Some(failures) = self.0.get_mut(place).filter(|failures| failures.stamp == *stamp) else {
            return Verdict::Try;
        };
        if failures.keys.contains(key) {
            return Verdict::KnownBad;
        }
        // A clock set back must not lock for longer than the period.
        failures.recent.retain(|at| *at <= now && now.since(*at) < PERIOD);
        match failures.recent.first() {
            Some(first) if failures.recent.len() >= MAX_FAILURES => {
                Verdict::Locked(PERIOD.saturating_sub(now.since(*first)))
            }
            _ => Verdict::Try,
        }
    }

    /// Records that the key did not open.
    pub(super) fn failed(&mut self, place: &str, stamp: &Stamp, key: [u8; 32], now: Timestamp) {
        let failures = self.0.entry(place.to_owned()).or_insert_with(|| Failures::new(stamp));
        if failures.stamp != *stamp {
            *failures = Failures::new(stamp);
        }
        if failures.keys.len() >= MAX_REMEMBERED {
            failures.keys.remove(0);
        }
        failures.keys.push(key);
        failures.recent.push(now);
    }
}

impl Failures {
    fn new(stamp: &Stamp) -> Self {
        Self { stamp: stamp.clone(), keys: Vec::new(), recent: Vec::new() }
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
            assert_eq!(attempts.judge("p", &old, &[key; 32], at(0)), Verdict::Try);
            attempts.failed("p", &old, [key; 32], at(0));
        }
        assert_eq!(attempts.judge("p", &old, &[0; 32], at(0)), Verdict::KnownBad);
        assert_eq!(attempts.judge("p", &old, &[9; 32], at(100)), Verdict::Locked(Duration::from_secs(200)));
        assert_eq!(attempts.judge("p", &new, &[0; 32], at(100)), Verdict::Try);
        assert_eq!(attempts.judge("other", &old, &[9; 32], at(100)), Verdict::Try);
        assert_eq!(attempts.judge("p", &old, &[9; 32], at(300)), Verdict::Try);
        assert_eq!(attempts.judge("p", &old, &[0; 32], at(300)), Verdict::KnownBad);
        attempts.failed("p", &new, [0; 32], at(300));
        assert_eq!(attempts.judge("p", &new, &[1; 32], at(300)), Verdict::Try);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_lock_for_ever() {
        let stamp = Stamp::sample(1);
        let mut attempts = Attempts::default();
        for key in 0..3 {
            attempts.failed("p", &stamp, [key; 32], at(1_000_000));
        }
        assert_eq!(attempts.judge("p", &stamp, &[9; 32], at(0)), Verdict::Try);
    }
}
