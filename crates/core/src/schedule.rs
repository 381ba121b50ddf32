//! When a certificate is due.
//!
//! Renewal is due with a third of the lifetime left, or as the manifest says, minus a jitter that only ever
//! moves it earlier. Entries with the same command share their jitter, so that one run of the command can
//! serve them all.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::LeafFacts;
use crate::manifest::{Entry, RenewBefore};
use crate::time::Timestamp;

/// How much earlier than necessary a certificate is renewed, in thousandths of its lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jitter(u16);

impl Jitter {
    /// Largest jitter: a twentieth of the lifetime.
    pub const MAX_PERMILLE: u16 = 50;

    /// The jitter of `entry` in an installation. `seed` is chosen once per installation and stored, so that the
    /// renewal times survive a restart.
    pub fn of(seed: u64, entry: &Entry) -> Self {
        let group: &[&str] = match &entry.command {
            Some(command) => &command.argv.iter().map(String::as_str).collect::<Vec<_>>(),
            None => &[entry.name.as_str()],
        };
        Self((spread(seed, group) % u64::from(Self::MAX_PERMILLE + 1)) as u16)
    }

    /// The share of `lifetime`.
    pub fn share_of(self, lifetime: Duration) -> Duration {
        lifetime * u32::from(self.0) / 1000
    }
}

/// FNV-1a over the parts, finished by a mixer so that short texts spread over all bits. Not for secrets.
pub(crate) fn spread(seed: u64, parts: &[&str]) -> u64 {
    let mut spread = Spread::new(seed);
    for part in parts {
        spread.part(part.as_bytes());
        spread.part(&[0]);
    }
    spread.finish()
}

/// The same, piece by piece: what is written to it.
pub(crate) struct Spread(u64);

impl Spread {
    pub(crate) fn new(seed: u64) -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ seed)
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

impl io::Write for Spread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long before expiry `entry` wants to be renewed; at most half of the lifetime.
pub fn renew_before(wish: RenewBefore, lifetime: Duration) -> Duration {
    let wanted = match wish {
        RenewBefore::Third => lifetime / 3,
        RenewBefore::Time(time) => time,
        RenewBefore::Percent(percent) => lifetime * u32::from(percent) / 100,
    };
    wanted.min(lifetime / 2)
}

/// When `leaf` is renewed, jitter included.
pub fn renew_at(leaf: &LeafFacts, entry: &Entry, jitter: Jitter) -> Timestamp {
    let lifetime = leaf.lifetime();
    leaf.not_after.minus(renew_before(entry.renew_before, lifetime)).minus(jitter.share_of(lifetime))
}

/// How long a look at consumers may take. Nothing else is done for its entry meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long it waits for its turn: 30 s, or a fiftieth of the lifetime if that is shorter.
    pub turn: Duration,
    /// How long it goes on: until a twentieth of the lifetime after the renewal is due.
    pub look: Duration,
}

impl Patience {
    const LONGEST_TURN: Duration = Duration::from_secs(30);

    /// The patience with a look at the consumers of `leaf` that begins at `now`, when it is renewed at `renewal`.
    pub fn of(leaf: &LeafFacts, renewal: Timestamp, now: Timestamp) -> Self {
        let lifetime = leaf.lifetime();
        Self {
            turn: (lifetime / 50).min(Self::LONGEST_TURN),
            look: renewal.since(now).saturating_add(lifetime / 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_third_of_the_lifetime_is_the_default() {
        assert_eq!(renew_before(RenewBefore::Third, DAY), Duration::from_secs(28_800));
    }

    #[test]
    fn no_wish_goes_beyond_half_of_the_lifetime() {
        assert_eq!(renew_before(RenewBefore::Time(DAY * 30), DAY), DAY / 2);
        assert_eq!(renew_before(RenewBefore::Percent(99), DAY), DAY / 2);
        assert_eq!(renew_before(RenewBefore::Percent(10), DAY), DAY / 10);
    }

    #[test]
    fn entries_with_the_same_command_share_their_jitter() {
        let one = samples::entry("one");
        let two = samples::entry("two");
        for seed in 0..50 {
            assert_eq!(Jitter::of(seed, &one), Jitter::of(seed, &two));
        }
    }

    #[test]
    fn jitter_spreads_over_its_whole_range() {
        let mut seen = [0_u32; Jitter::MAX_PERMILLE as usize + 1];
        for number in 0..5_100 {
            let mut entry = samples::entry(&format!("name-{number}"));
            entry.command = None;
            seen[usize::from(Jitter::of(7, &entry).0)] += 1;
        }
        assert!(seen.iter().all(|count| (50..200).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_look_ends_shortly_after_the_renewal_is_due_and_does_not_wait_long_for_its_turn() {
        let entry = samples::entry("any");
        let at = Timestamp::from_unix;
        let short = samples::leaf(&entry, at(0), at(300));
        let patience = |leaf, now| Patience::of(leaf, at(200), at(now));
        let expected =
            |turn, look| Patience { turn: Duration::from_secs(turn), look: Duration::from_secs(look) };
        assert_eq!(patience(&short, 10), expected(6, 205));
        assert_eq!(patience(&short, 200), expected(6, 15));
        assert_eq!(patience(&short, 290), expected(6, 15));
        let day = samples::leaf(&entry, at(0), at(86_400));
        assert_eq!(patience(&day, 200), expected(30, 4_320));
    }

    proptest! {
        #[test]
        fn renewal_lies_within_the_lifetime_and_never_after_the_wish(
            start in 0_i64..4_000_000_000, lifetime in 1_u64..400_000_000, seed: u64, percent in 1_u8..=99,
        ) {
            let mut entry = samples::entry("any");
            entry.renew_before = RenewBefore::Percent(percent);
            let from = Timestamp::from_unix(start);
            let leaf = samples::leaf(&entry, from, from.plus(Duration::from_secs(lifetime)));
            let at = renew_at(&leaf, &entry, Jitter::of(seed, &entry));
            prop_assert!(at >= leaf.not_before && at <= leaf.not_after);
            prop_assert!(at <= renew_at(&leaf, &entry, Jitter::default()));
        }
    }
}
