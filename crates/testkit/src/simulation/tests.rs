use super::*;

/// Seeds of a quick run.
const SEEDS: u64 = 250;

fn in_worlds(seeds: impl Iterator<Item = u64>) -> Figures {
    let mut all = Figures::default();
    for seed in seeds {
        all += simulate(&Plan::wild(seed)).unwrap_or_else(|broken| panic!("{broken}"));
    }
    all
}

#[test]
fn nothing_goes_wrong_in_a_few_hundred_worlds() {
    let all = std::thread::scope(|scope| {
        let half = scope.spawn(|| in_worlds((0..SEEDS).step_by(2)));
        let mut all = in_worlds((1..SEEDS).step_by(2));
        all += half.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        all
    });
    // Otherwise little would be tested.
    assert!(all.troubles > 20 * SEEDS && all.crashes > SEEDS && all.installed > 20 * SEEDS, "{all:?}");
    assert!(all.commands > all.installed / 3 && all.runs < all.commands, "{all:?}");
    let rare: Vec<Activity> = Activity::ALL
        .into_iter()
        .filter(|activity| all.activities.worlds(*activity) < least(*activity))
        .collect();
    assert!(rare.is_empty(), "{rare:?}: {all:?}");
}

/// In how many of the worlds it has to be seen.
fn least(activity: Activity) -> u64 {
    match activity {
        Activity::DriftLoop => SEEDS / 100,
        Activity::IssuerMended => SEEDS / 40,
        _ => SEEDS / 12,
    }
}

#[test]
fn the_same_seed_does_the_same_again() {
    assert_eq!(simulate(&Plan::wild(7)).unwrap(), simulate(&Plan::wild(7)).unwrap());
    assert_ne!(simulate(&Plan::wild(7)).unwrap(), simulate(&Plan::wild(12)).unwrap());
}

/// What is found in sixty worlds when the program has this bug.
fn found(bug: Bug) -> impl Iterator<Item = String> {
    let plan = move |seed| Plan { bug: Some(bug), ..Plan::wild(seed) };
    (0..60).filter_map(move |seed| simulate(&plan(seed)).err()).map(|broken| broken.what)
}

#[test]
fn bugs_that_others_had_are_found() {
    let cases = [
        (Bug::ForgottenHook, "the command never succeeded"),
        (Bug::BackoffPastExpiry, "could have been renewed"),
        (Bug::TornPair, "the live pair is torn"),
        (Bug::EveryoneAlone, "its command runs apart from it"),
        (Bug::BlindTrust, "the consumer does not use it"),
        (Bug::ClockNeverAgrees, "the clocks are still said to differ"),
        (Bug::ClockLoop, "not valid when they came"),
        (Bug::WindowForGood, "waits for good"),
    ];
    for (bug, wanted) in cases {
        let times = found(bug).filter(|what| what.contains(wanted)).take(3).count();
        assert_eq!(times, 3, "{bug:?}");
    }
}

#[test]
fn what_is_found_can_be_followed() {
    let plan = |seed| Plan { bug: Some(Bug::ForgottenHook), ..Plan::wild(seed) };
    let broken = (0..40).find_map(|seed| simulate(&plan(seed)).err()).unwrap();
    let text = broken.to_string();
    assert!(text.starts_with(&format!("seed {}: {}: ", broken.seed, broken.entry)), "{text}");
    assert!(broken.trace.iter().any(|line| line.contains("event activate failed")), "{text}");
    assert_eq!(simulate(&plan(broken.seed)).unwrap_err().to_string(), text);
}
