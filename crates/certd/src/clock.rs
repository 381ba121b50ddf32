//! The wall clock, and a timer that follows it.
//!
//! Renewal times are wall-clock times. A timer that counts seconds would sleep through an expiry when the
//! clock is set forward or the machine was suspended, so the timer is a `timerfd` on `CLOCK_REALTIME`
//! (timerfd_create(2)), which fires when the clock reaches the time and when the clock is set.

use std::io;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use phoenix_core::time::Timestamp;
use phoenix_core::window::Zone;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// The time of the wall clock.
pub(crate) fn now() -> Timestamp {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        Err(before) => Timestamp::from_unix(-i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX)),
    }
}

/// The host's time zone, by what tzselect(8) and timedatectl(1) write. UTC where that names no known one.
pub(crate) fn host_zone() -> Zone {
    iana_time_zone::get_timezone().ok().and_then(|name| name.parse().ok()).unwrap_or(Zone::UTC)
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The time has come.
    Due,
    /// The clock was set.
    ClockSet,
}

/// A timer on the wall clock.
pub(crate) struct WallTimer {
    fd: AsyncFd<OwnedFd>,
}

impl WallTimer {
    /// A timer that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd keeps its descriptor open for as long as it lives; the successor is unsafe"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Self { fd })
    }

    /// Waits until `at`, or for ever (but for the clock being set).
    pub(crate) async fn wait(&mut self, at: Option<Timestamp>) -> io::Result<Woken> {
        // The far future stands for "never": the clock being set must still be noticed.
        let seconds = at.map_or(i64::MAX / 4, |at| at.unix().max(1));
        let value = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: seconds, tv_nsec: 0 },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(self.fd.get_ref(), flags, &value) {
            Ok(_) => {}
            // The clock was set while nobody waited; the timer is armed nevertheless (timerfd_create(2), NOTES).
            Err(rustix::io::Errno::CANCELED) => return Ok(Woken::ClockSet),
            Err(error) => return Err(error.into()),
        }
        loop {
            let mut ready = self.fd.readable().await?;
            let mut count = [0; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut count)?)) {
                Ok(Ok(_)) => return Ok(Woken::Due),
                Ok(Err(error))
                    if error.raw_os_error() == Some(rustix::io::Errno::CANCELED.raw_os_error()) =>
                {
                    return Ok(Woken::ClockSet);
                }
                Ok(Err(error)) => return Err(error),
                Err(_not_ready) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_time_that_has_passed_fires_at_once() {
        let mut timer = WallTimer::new().unwrap();
        let past = Timestamp::from_unix(now().unix() - 5);
        assert_eq!(timer.wait(Some(past)).await.unwrap(), Woken::Due);
    }

    #[tokio::test]
    async fn it_does_not_fire_before_the_clock_shows_the_time() {
        let mut timer = WallTimer::new().unwrap();
        let at = Timestamp::from_unix(now().unix() + 1);
        assert_eq!(timer.wait(Some(at)).await.unwrap(), Woken::Due);
        assert!(now() >= at);
    }
}
