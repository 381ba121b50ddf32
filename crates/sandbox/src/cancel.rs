//! Ending a command early.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
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

    /// Ends every command that runs with this switch, and every later one as soon as it starts.
    pub fn cancel(&self) {
        if let Some(descriptor) = &self.0 {
            // The only possible failure is a counter that is full, which is as readable as one that is not.
            let _: io::Result<usize> = io::write(descriptor, &1u64.to_ne_bytes());
        }
    }

    /// Readable once it is on.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_deref().map(AsFd::as_fd)
    }
}
