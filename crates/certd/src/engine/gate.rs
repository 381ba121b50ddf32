//! Looks at entries: only so many at a time.
//!
//! What waits is a line in a queue, not a task: at the start ten thousand entries wait to be looked at.

use std::collections::VecDeque;
use std::sync::Arc;

use phoenix_core::name::AbsolutePath;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Entries that are looked at at the same time: enough to keep the executor busy, few enough that an urgent
/// request does not queue behind ten thousand looks.
const LOOKS: usize = 16;

/// The right to look. It ends when it is dropped, which has to be before the engine is told of the end of the look:
/// that is when the engine lets others in.
pub(super) type Permit = OwnedSemaphorePermit;

/// An entry and its incarnation.
type Waiting = (AbsolutePath, u64);

/// The gate, and who waits before it.
pub(super) struct Gate {
    permits: Arc<Semaphore>,
    waiting: VecDeque<Waiting>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(LOOKS)), waiting: VecDeque::new() }
    }
}

impl Gate {
    /// Lets an entry in, or keeps it for [`Self::next`]. Who came first goes first.
    pub(super) fn enter(&mut self, key: &AbsolutePath, incarnation: u64) -> Option<Permit> {
        let permit = if self.waiting.is_empty() { self.permit() } else { None };
        if permit.is_none() {
            self.waiting.push_back((key.clone(), incarnation));
        }
        permit
    }

    /// The next one, if there is room.
    pub(super) fn next(&mut self) -> Option<(Waiting, Permit)> {
        let permit = if self.waiting.is_empty() { None } else { self.permit() }?;
        Some((self.waiting.pop_front()?, permit))
    }

    fn permit(&self) -> Option<Permit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_enter_and_the_others_follow_in_order_as_room_is_made() {
        let key: AbsolutePath = "/mnt/key.pem".parse().unwrap();
        let mut gate = Gate::default();
        let mut inside: VecDeque<Permit> =
            (0..LOOKS + 3).filter_map(|number| gate.enter(&key, number as u64)).collect();
        assert_eq!(inside.len(), LOOKS);
        assert!(gate.next().is_none(), "it is full");
        for expected in LOOKS..LOOKS + 3 {
            inside.pop_front();
            assert!(gate.enter(&key, 100).is_none(), "nobody overtakes who waits");
            let ((_, incarnation), permit) = gate.next().unwrap();
            assert_eq!(incarnation, expected as u64);
            inside.push_back(permit);
        }
    }
}
