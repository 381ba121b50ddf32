//! Which of the entries that wait for an issuer whose clock differs tries it next.
//!
//! The one whose certificate expires first, and every other time one of the others: what is held up by something of its
//! own must not keep them from finding out that the clocks agree.

/// Who was called to try one issuer, by the keys of entries.
#[derive(Clone, Debug)]
pub struct Turns<K> {
    /// The newest of all.
    last: Option<K>,
    /// The newest of those that were called in turn.
    in_turn: Option<K>,
    /// The newest of all was called because its certificate expires first.
    was_first: bool,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { last: None, in_turn: None, was_first: false }
    }
}

impl<K: Ord + Clone> Turns<K> {
    /// The entry that is called next, if one waits. `waiting` are those that do, in ascending order; `first` is the one
    /// of them whose certificate expires first, if one has a certificate that is valid.
    pub fn next<'k>(
        &mut self,
        first: Option<&'k K>,
        mut waiting: impl Iterator<Item = &'k K> + Clone,
    ) -> Option<K> {
        let mut others = waiting.clone().filter(|key| Some(*key) != self.last.as_ref());
        let after = others.clone().find(|key| Some(*key) > self.in_turn.as_ref());
        let other = after.or_else(|| others.next()).or_else(|| waiting.next());
        let by_expiry = first.filter(|_| !self.was_first);
        self.was_first = by_expiry.is_some();
        if !self.was_first {
            self.in_turn = other.cloned().or(self.in_turn.take());
        }
        self.last = by_expiry.or(other).cloned();
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calls(first: Option<char>, waiting: &str, times: usize) -> String {
        let (mut turns, waiting) = (Turns::default(), waiting.chars().collect::<Vec<_>>());
        (0..times).filter_map(|_| turns.next(first.as_ref(), waiting.iter())).collect()
    }

    #[test]
    fn the_first_to_expire_is_called_first_and_every_other_time_and_the_others_in_turn_between() {
        for (first, waiting, called) in [
            (Some('c'), "abcd", "cacbcdcac"),
            (Some('a'), "a", "aaaaaaaaa"),
            (None, "abc", "abcabcabc"),
            (None, "", ""),
        ] {
            assert_eq!(calls(first, waiting, 9), called, "{first:?} of {waiting:?}");
        }
    }

    proptest! {
        /// Whoever comes and goes: one that goes on waiting is called after at most twice as many calls as there are
        /// entries, and whoever is the first to expire at every other call.
        #[test]
        fn nobody_is_forgotten(rounds in proptest::collection::vec((any::<u8>(), 0_u8..8), 40)) {
            let mut turns = Turns::default();
            let (mut called, mut by_turns) = (Vec::new(), false);
            for (mask, first) in rounds {
                // The entry 3 waits all the time.
                let waiting: Vec<u8> = (0..8).filter(|key| *key == 3 || mask >> key & 1 == 1).collect();
                let first = waiting.iter().find(|key| **key == first);
                let key = turns.next(first, waiting.iter()).unwrap();
                prop_assert!(waiting.contains(&key));
                let by_expiry = first == Some(&key);
                prop_assert!(first.is_none() || by_expiry || by_turns, "at every other call");
                by_turns = by_expiry;
                called.push(key);
            }
            // At each other call it is its turn, or that of one of seven others.
            for calls in called.windows(16) {
                prop_assert!(calls.contains(&3), "{calls:?}");
            }
        }
    }
}
