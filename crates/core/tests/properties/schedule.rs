//! When a certificate is due, by exact arithmetic on whole seconds.

use std::collections::BTreeMap;

use phoenix_core::manifest::RenewBefore;
use phoenix_core::schedule::{Jitter, renew_at, renew_before};
use proptest::prelude::*;
use serde_json::json;

use crate::installation::{entry, leaf};

fn wishes() -> impl Strategy<Value = RenewBefore> {
    prop_oneof![
        Just(RenewBefore::Third),
        (1_u64..500_000_000).prop_map(|seconds| RenewBefore::Time(std::time::Duration::from_secs(seconds))),
        (1_u8..=100).prop_map(RenewBefore::Percent),
    ]
}

/// Numerator and denominator of the time before expiry, in seconds: a third, as written, and never beyond half.
fn wanted(wish: RenewBefore, lifetime: i128) -> (i128, i128) {
    let (above, below) = match wish {
        RenewBefore::Third => (lifetime, 3),
        RenewBefore::Time(time) => (i128::from(time.as_secs()), 1),
        RenewBefore::Percent(percent) => (lifetime * i128::from(percent), 100),
    };
    if above * 2 > lifetime * below { (lifetime, 2) } else { (above, below) }
}

proptest! {
    #[test]
    fn renewal_is_due_as_wished_and_jitter_moves_it_only_earlier_and_by_a_twentieth_at_most(
        wish in wishes(), start in -1_000_000_000_i64..4_000_000_000, lifetime in 1_i64..1_000_000_000, seed: u64,
    ) {
        let mut entry = entry("any", &json!({}));
        entry.renew_before = wish;
        let leaf = leaf(start, start + lifetime);
        let at = renew_at(&leaf, &entry, Jitter::of(seed, &entry)).unix();
        let plain = renew_at(&leaf, &entry, Jitter::default()).unix();
        let (above, below) = wanted(wish, i128::from(lifetime));
        // Times are whole seconds, and fractions of one may be cut off or carried.
        let left = i128::from(start + lifetime - plain) * below;
        prop_assert!((left - above).abs() <= below, "{wish:?} of {lifetime}: {left}/{below}");
        prop_assert!(at <= plain);
        prop_assert!(i128::from(plain - at) * 20 <= i128::from(lifetime) + 20);
        prop_assert!(at >= start, "a fresh certificate is not due before it is valid");
        let before = renew_before(wish, leaf.lifetime());
        prop_assert!(before * 2 <= leaf.lifetime());
    }

    #[test]
    fn entries_share_their_jitter_exactly_when_they_share_their_command(seed: u64, one in "[a-z]{1,8}", two in "[a-z]{1,8}") {
        let running = |name: &str, command: &str| {
            let limits = json!({"timeout": format!("{}s", name.len())});
            entry(name, &json!({"post_renewal_command": ["true", command], "command": limits}))
        };
        let jitter = |name: &str, command: &str| Jitter::of(seed, &running(name, command));
        prop_assert_eq!(jitter("a", &one), jitter("bb", &one));
        prop_assert_eq!(jitter("a", &one), jitter("a", &one), "it survives a restart");
        // That words are glued differently makes another command.
        let glued = entry("a", &json!({"post_renewal_command": ["true", format!("{one}{two}")]}));
        let apart = entry("a", &json!({"post_renewal_command": ["true", one, two]}));
        prop_assert!((0..64).any(|seed| Jitter::of(seed, &glued) != Jitter::of(seed, &apart)));
    }
}

/// Pearson's statistic for the counts of as many equally likely values.
fn chi_square(counts: &BTreeMap<String, u32>, values: usize) -> f64 {
    let total: u32 = counts.values().sum();
    let expected = f64::from(total) / values as f64;
    let seen: f64 = counts.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    seen + expected * (values - counts.len()) as f64
}

/// With 50 degrees of freedom a statistic above 112 comes once in a million times.
const BOUND: f64 = 112.0;

#[test]
fn jitter_is_spread_evenly_over_names_commands_and_installations() {
    let values = usize::from(Jitter::MAX_PERMILLE) + 1;
    let count = |jitters: Vec<Jitter>| {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for jitter in jitters {
            *counts.entry(serde_json::to_string(&jitter).unwrap()).or_default() += 1;
        }
        chi_square(&counts, values)
    };
    let mut plain = entry("any", &json!({}));
    let mut running = entry("any", &json!({"post_renewal_command": "true x"}));
    for seed in [0, 1, 2, u64::MAX, 0x5eed] {
        let by_name = (0..5100).map(|number| {
            plain.name = format!("host{number}").parse().unwrap();
            Jitter::of(seed, &plain)
        });
        assert!(count(by_name.collect()) < BOUND, "names, seed {seed}");
        let by_command = (0..5100).map(|number| {
            let command = running.command.as_mut().unwrap();
            command.argv = vec!["/usr/sbin/pct".to_owned(), "exec".to_owned(), number.to_string()];
            Jitter::of(seed, &running)
        });
        assert!(count(by_command.collect()) < BOUND, "commands, seed {seed}");
    }
    let by_seed = (0..5100).map(|seed| Jitter::of(seed, &plain));
    assert!(count(by_seed.collect()) < BOUND, "installations");
}
