//! Waiting for something to become true, with a deadline that only a broken program reaches.

use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for one thing. Generous: machines that run tests are slow and shared.
pub const DEADLINE: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(25);

/// Asks `look` again and again until it gives a value, at most for [`DEADLINE`].
pub fn until<T>(look: impl FnMut() -> Option<T>) -> Option<T> {
    until_or(DEADLINE, look)
}

/// Asks `look` again and again until it gives a value, at most for `deadline`.
pub fn until_or<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
