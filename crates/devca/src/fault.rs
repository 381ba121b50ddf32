//! Faults that a real CA cannot be asked for, switched on and off while it runs.

use std::sync::Mutex;
use std::time::Duration;

/// Something that goes wrong on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Certify a key of the CA's own making.
    OtherKey,
    /// Certify other names than asked for.
    OtherNames,
    /// Certify for code signing only.
    WrongEku,
    /// A certificate that ended an hour ago.
    Expired,
    /// A certificate that begins tomorrow.
    Future,
    /// A certificate and chain of a root that nobody knows; `/root/…` answers with such a root too.
    ForeignRoot,
    /// The leaf alone.
    NoIntermediate,
    /// Half of the JSON, under the length of that half.
    CutJson,
    /// Half of the answer under the length of the whole, then the connection closes.
    ClosedConnection,
    /// An answer that comes only after this time.
    Slow(Duration),
    /// This HTTP status with the generic text of Step-CA.
    Status(u16),
    /// A successful status with text that is no JSON.
    Garbage,
    /// A successful status with a body of many megabytes.
    HugeBody,
}

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Sign,
    Everywhere,
}

/// A fault that is switched on.
#[derive(Clone, Debug)]
struct Active {
    fault: Fault,
    scope: Scope,
    /// Requests that it still strikes; none while it stays on.
    left: Option<u32>,
}

/// The faults that are switched on.
#[derive(Debug, Default)]
pub(crate) struct Switchboard(Mutex<Vec<Active>>);

impl Switchboard {
    /// Strike every sign request.
    pub(crate) fn on_sign(&self, fault: Fault, times: Option<u32>) {
        self.add(Active { fault, scope: Scope::Sign, left: times });
    }

    /// Strike every request.
    pub(crate) fn everywhere(&self, fault: Fault) {
        self.add(Active { fault, scope: Scope::Everywhere, left: None });
    }

    /// Switch everything off.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Faults that strike this request; counts it against those that are limited.
    pub(crate) fn strike(&self, sign: bool) -> Vec<Fault> {
        let mut active = self.lock();
        let mut struck = Vec::new();
        active.retain_mut(|entry| {
            if entry.scope == Scope::Sign && !sign {
                return true;
            }
            struck.push(entry.fault.clone());
            entry.left = entry.left.map(|left| left.saturating_sub(1));
            entry.left != Some(0)
        });
        struck
    }

    fn add(&self, entry: Active) {
        self.lock().push(entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Active>> {
        // A panic of another test thread leaves the list whole.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_fault_strikes_that_often_and_only_where_it_should() {
        let board = Switchboard::default();
        board.on_sign(Fault::Garbage, Some(2));
        assert_eq!(board.strike(false), []);
        assert_eq!(board.strike(true), [Fault::Garbage]);
        assert_eq!(board.strike(true), [Fault::Garbage]);
        assert_eq!(board.strike(true), []);
    }

    #[test]
    fn an_unlimited_fault_stays_until_cleared() {
        let board = Switchboard::default();
        board.everywhere(Fault::Status(503));
        board.on_sign(Fault::OtherKey, None);
        assert_eq!(board.strike(false), [Fault::Status(503)]);
        assert_eq!(board.strike(true), [Fault::Status(503), Fault::OtherKey]);
        board.clear();
        assert_eq!(board.strike(true), []);
    }
}
