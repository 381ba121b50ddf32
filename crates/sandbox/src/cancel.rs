//! Ending a command early.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io;

/// A switch that ends the commands it was given to. Clones are the same switch; it cannot be switched back.
#[derive(Clone, Debug)]
pub struct Cancel(Option<Arc<OwnedFd>>);

impl Cancel {
    /// A switch that is off.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Some(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))))
    }

    /// A switch that is off for good.
    pub const fn never() -> Self {
        Self(None)
    }

    /// Ends every command that runs with this switch; later ones are not started.
    pub fn cancel(&self) {
        if let Some(descriptor) = &self.0 {
            // The only possible failure is a counter that is full, which is as readable as one that is not.
            let _: io::Result<usize> = io::write(descriptor, &1u64.to_ne_bytes());
        }
    }

    /// True once it is on.
    pub fn is_cancelled(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until it is on, at most for `limit`. True once it is on.
    pub fn wait(&self, limit: Duration) -> bool {
        let timeout = Timespec::try_from(limit).ok();
        let mut watched: Vec<_> =
            self.descriptor().into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        poll(&mut watched, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Readable once it is on.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_deref().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_off_until_it_is_switched_on_through_any_of_its_clones() {
        let switch = Cancel::new().unwrap();
        let clone = switch.clone();
        assert!(!switch.is_cancelled() && !switch.wait(Duration::from_millis(1)));
        clone.cancel();
        clone.cancel();
        assert!(switch.is_cancelled() && clone.wait(Duration::MAX));
        Cancel::never().cancel();
        assert!(!Cancel::never().is_cancelled());
    }
}
