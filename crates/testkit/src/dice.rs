//! Random numbers that can be repeated: a failed run prints its seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SplitMix64.
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// With the seed in `PHOENIX_TEST_SEED`, or a new one.
    ///
    /// Says the seed on stderr, where it is seen when the test fails.
    pub fn from_environment() -> Self {
        let given = std::env::var("PHOENIX_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(fresh_seed);
        eprintln!("the random choices of this test can be repeated with PHOENIX_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// With a new seed, where a repetition would be of no use.
    pub fn fresh() -> Self {
        Self::new(fresh_seed())
    }

    /// With this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// The seed, for messages.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// A time below `bound`.
    pub fn moment(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(bound.as_micros() as u64))
    }
}

fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let roll = |seed| {
            let mut dice = Dice::new(seed);
            (0..20).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(roll(7), roll(7));
        assert_ne!(roll(7), roll(8));
        assert!(roll(7).iter().all(|number| *number < 1000));
    }
}
