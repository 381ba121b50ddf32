mod cases;
mod commands;

use proptest::prelude::*;

use super::*;
use crate::lifecycle::chains::Need;
use crate::manifest::Mode;
use cases::{Scene, any_scene};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_explained_is_what_is_decided(scene in any_scene()) {
        let explained = scene.explain();
        prop_assert_eq!(&explained.decision, &Step::of(&scene.decide(), scene.now));
        // The rule that is named is the one that decides: asked alone, it says the same.
        let context = scene.context();
        let case = Case::new(&context, &scene.seen, &scene.memory, scene.now);
        let (chain, rule) = explained.decided_by.split_once('/').unwrap();
        let rules = if chain == "DEPLOY" { DEPLOY } else { NEXT };
        let rule = rules.iter().find(|candidate| candidate.name == rule).unwrap();
        prop_assert_eq!((rule.test)(&case), Some(scene.decide()));
    }

    #[test]
    fn every_chain_ends_with_the_first_finding(scene in any_scene()) {
        let explained = scene.explain();
        for chain in &explained.chains {
            let fired = chain.rules.iter().position(|rule| rule.verdict == Verdict::Fires);
            for (index, rule) in chain.rules.iter().enumerate() {
                let expected = match fired {
                    Some(end) if index < end => Verdict::Silent,
                    Some(end) if index == end => Verdict::Fires,
                    Some(_) => Verdict::NotReached,
                    None if chain.name == "OWN" && scene.seen.own.is_none() => Verdict::NotReached,
                    None => Verdict::Silent,
                };
                prop_assert_eq!(rule.verdict, expected, "{} {}", &chain.name, &rule.rule);
                prop_assert_eq!(rule.fact.is_none(), rule.verdict == Verdict::NotReached);
            }
        }
        let fires = |name: &str| explained.chains.iter().find(|chain| chain.name == name).unwrap().fired().is_some();
        let context = scene.context();
        let need = Case::new(&context, &scene.seen, &scene.memory, scene.now).need;
        prop_assert_eq!(fires("FILES"), need != Need::Nothing);
        prop_assert!(fires("NEXT"), "the last rule always decides");
    }

    #[test]
    fn a_forecast_begins_with_the_decision_and_ends_with_a_wait(scene in any_scene()) {
        let steps = scene.explain().forecast;
        let first = steps.first().unwrap();
        match (scene.decide(), first) {
            (Decision::Act(work, _), Step::Do { work: first, at, .. }) => {
                prop_assert_eq!((work, scene.now), (*first, *at));
            }
            // What would be done at the end of the wait may be put off by then by something that has become due.
            (Decision::Rest(Some(until)), Step::Do { at, .. }) => prop_assert!(until <= *at),
            (Decision::Rest(Some(until)), other) if until <= scene.now => {
                prop_assert_eq!(other, &Step::Rest { until: Some(until) });
            }
            (Decision::Rest(Some(_)), _) => {}
            (decision, first) => prop_assert_eq!(&Step::of(&decision, scene.now), first),
        }
        prop_assert!(!matches!(steps.last(), Some(Step::Do { .. })), "{:?}", steps);
    }
}

#[test]
fn an_empty_directory_is_forecast_up_to_the_command() {
    let scene = Scene::blank();
    let works: Vec<_> = scene
        .explain()
        .forecast
        .into_iter()
        .map(|step| match step {
            Step::Do { work, .. } => Some(work),
            _ => None,
        })
        .collect();
    assert_eq!(works, [Some(Work::Issue), Some(Work::Activate), None]);
}

#[test]
fn a_failed_command_is_forecast_for_when_its_wait_is_over() {
    let mut scene = Scene::deployed();
    scene.seen.ledger.activated = None;
    let trouble = crate::reason::Trouble::new(Reason::CommandFailed, "exit code 3");
    scene.memory.fail(Stage::Activate, trouble, None, scene.now);
    let explained = scene.explain();
    assert_eq!(explained.decided_by, "DEPLOY/deploy-spacing");
    let again = scene.memory.failures[&Stage::Activate].next_attempt_at;
    let Step::Do { work: Work::Activate, at, .. } = &explained.forecast[0] else { panic!("{explained:?}") };
    assert_eq!(*at, again);
}

#[test]
fn another_wish_changes_what_it_says_it_changes() {
    type Edit = fn(&mut crate::manifest::Entry);
    let edits: [(&str, Edit, Option<Work>); 7] = [
        ("renew_before", |entry| entry.renew_before = crate::manifest::RenewBefore::Percent(20), None),
        ("name", |entry| entry.name = "other".parse().unwrap(), None),
        ("common_name", |entry| entry.common_name = "b.internal".into(), Some(Work::Issue)),
        ("key_type", |entry| entry.key_type = crate::manifest::KeyType::Rsa2048, Some(Work::Issue)),
        ("command", |entry| entry.command.as_mut().unwrap().argv.push("-x".into()), Some(Work::Activate)),
        ("key_mode", |entry| entry.key_mode = Mode(0o640), Some(Work::Restore)),
        ("cert_path", |entry| entry.cert_path = "/mnt/other/cert.pem".parse().unwrap(), Some(Work::Restore)),
    ];
    for (field, edit, work) in edits {
        let mut scene = Scene::deployed();
        let before = scene.entry.clone();
        edit(&mut scene.entry);
        let found: Vec<String> =
            change::differences(&before, &scene.entry).into_iter().map(|found| found.field).collect();
        assert_eq!(found, [field]);
        scene.seen = change::adapted(&scene.seen, &before, &scene.entry);
        let first = match scene.explain().forecast.remove(0) {
            Step::Do { work, .. } => Some(work),
            _ => None,
        };
        assert_eq!(first, work, "{field}");
    }
}
