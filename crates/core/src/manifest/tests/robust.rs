//! Whatever the text is: no panic, every problem inside the text, no entry both valid and invalid.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::diagnostic::Colour;

fn rich() -> Value {
    json!({
        "version": 1,
        "defaults": {"owner": "root:root", "validity": "24h"},
        "certificates": [
            {
                "common_name": "docker.internal.thinkheads.ai", "sans": ["10.0.0.111", "docker"],
                "cert_path": "/srv/tls/docker/cert.pem", "key_path": "/srv/tls/docker/key.pem",
                "chain_path": "/srv/tls/docker/chain.pem", "include_ca": true, "permissions": "0640",
                "cert_type": "server", "renew_before": "33%", "issuer": ["phoenix"], "key_type": "ec-p384",
                "verify": [{"tls": "10.0.0.111:2376", "client": "client", "refuse_without_client": true}],
                "rollback": true
            },
            {
                "name": "client", "common_name": "client.internal.thinkheads.ai",
                "cert_path": "/srv/tls/client/cert.pem", "key_path": "/srv/tls/client/key.pem",
                "guest_id": 102, "guest_type": "lxc", "deliver": {"cert": "/etc/c.pem", "key": "/etc/k.pem"},
                "post_renewal_command": "pct exec 102 -- /bin/sh -c 'systemctl reload traefik && true'",
                "command": {"timeout": "60s"}, "window": {"cron": "0 3 * * *", "duration": "2h"}
            }
        ]
    })
}

/// Paths to all values below `value`, itself included.
fn places(value: &Value, here: &[String], all: &mut Vec<Vec<String>>) {
    all.push(here.to_vec());
    let below = |key: String| [here, &[key]].concat();
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &below(index.to_string()), all));
        }
        Value::Object(map) => map.iter().for_each(|(key, item)| places(item, &below(key.clone()), all)),
        _ => {}
    }
}

fn mutate(root: &mut Value, path: &[String], with: Value) {
    let Some((first, rest)) = path.split_first() else {
        *root = with;
        return;
    };
    let next = match root {
        Value::Array(items) => first.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        Value::Object(map) => map.get_mut(first),
        _ => None,
    };
    if let Some(next) = next {
        mutate(next, rest, with);
    }
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[ -~]{0,30}".prop_map(Value::from),
        "(pct|qm) (guest )?exec [0-9]{1,4} (-- )?[a-z '\"&|;$()]{0,30}".prop_map(Value::from),
        "/srv/tls/[a-z./]{0,12}".prop_map(Value::from),
        "[0-9]{0,4}[smhd%]?".prop_map(Value::from),
        "[*/0-9, -]{0,20}".prop_map(Value::from),
        prop::collection::vec(any::<u8>().prop_map(Value::from), 0..3).prop_map(Value::from),
        Just(json!({})),
        Just(json!([{}])),
    ]
}

fn sound(text: &str) -> Result<(), TestCaseError> {
    let parsed = parse(text);
    let located = parsed.diagnostics.located();
    let lines = text.split('\n').count();
    prop_assert!(located.iter().all(|problem| (1..=lines).contains(&problem.line) && problem.column >= 1));
    for colour in [Colour::Plain, Colour::Ansi] {
        let report = parsed.diagnostics.render(colour);
        prop_assert!(report.lines().all(|line| line.chars().count() < 2000), "{}", report);
    }
    match parsed.manifest {
        None => prop_assert!(parsed.diagnostics.has_errors()),
        Some(manifest) => {
            prop_assert!(
                manifest.invalid.iter().all(|entry| !entry.problems.is_empty()),
                "{:?}",
                manifest.invalid
            );
            let errors = parsed.diagnostics.count(Severity::Error);
            prop_assert!(manifest.invalid.is_empty() || errors > 0);
            for entry in &manifest.entries {
                let again: Entry = serde_json::from_str(&serde_json::to_string(entry).unwrap()).unwrap();
                prop_assert_eq!(&again, entry);
                prop_assert!(!entry.issuers.is_empty() && !entry.sans.is_empty());
                prop_assert_eq!(entry.guest.is_some(), entry.delivery.is_some());
            }
        }
    }
    Ok(())
}

#[test]
fn the_rich_example_has_no_problems() {
    let parsed = parse(&rich().to_string());
    assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics);
    assert_eq!(parsed.manifest.unwrap().entries.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_handled(text: String) {
        sound(&text)?;
    }

    #[test]
    fn any_value_anywhere_is_handled(at: prop::sample::Index, with in anything(), pretty: bool) {
        let mut root = rich();
        let mut all = Vec::new();
        places(&root, &[], &mut all);
        mutate(&mut root, at.get::<Vec<String>>(&all), with);
        let text = if pretty { serde_json::to_string_pretty(&root) } else { serde_json::to_string(&root) };
        sound(&text.unwrap())?;
    }

    #[test]
    fn any_damage_to_the_text_is_handled(at: prop::sample::Index, cut in 0..60_usize, splice in "[ -~é\t\n\r]{0,6}") {
        let text = serde_json::to_string_pretty(&rich()).unwrap();
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        sound(&format!("{}{splice}{}", &text[..start], &text[end..]))?;
        sound(&format!("\u{feff}{}\r\n{}", &text[..start], &text[start..]).replace('\n', "\r\n"))?;
    }
}

#[test]
fn one_line_of_many_problems_is_reported_in_bounded_lines() {
    let entries: Vec<String> =
        (0..2000).map(|n| format!("{{\"common_name\": \"ü{n}\", \"x\\t\": \"\u{1F980}\"}}")).collect();
    let text = format!("[{}]", entries.join(","));
    let parsed = parse(&text);
    assert_eq!(parsed.manifest.as_ref().unwrap().invalid.len(), 2000);
    let report = parsed.diagnostics.to_string();
    let longest = report.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(longest.chars().count() < 300, "{longest}");
    let last = parsed.diagnostics.located().pop().unwrap();
    assert_eq!(last.line, 1);
    assert!(last.column < text.chars().count());
}

#[test]
fn ten_thousand_entries_are_all_read() {
    let entries: Vec<String> = (0..10_000)
        .map(|n| {
            format!(
                "{{\"common_name\": \"host{n}.internal.thinkheads.ai\", \"sans\": \"10.0.{}.{}\",\n \
                 \"cert_path\": \"/srv/tls/{n}/cert.pem\", \"key_path\": \"/srv/tls/{n}/key.pem\",\n \
                 \"post_renewal_command\": \"pct exec 102 -- systemctl reload nginx\"}}",
                n / 256,
                n % 256
            )
        })
        .collect();
    let parsed = parse(&format!("[{}]", entries.join(",\n")));
    assert!(parsed.diagnostics.is_empty());
    assert_eq!(parsed.manifest.unwrap().entries.len(), 10_000);
}
