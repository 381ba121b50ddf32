//! Names, paths and the names of certificates, by what their grammars say.

use std::collections::BTreeSet;

use phoenix_core::manifest::San;
use phoenix_core::name::{AbsolutePath, CertName};
use proptest::prelude::*;
use serde_json::json;

use crate::installation::parse;

/// `[a-z0-9][a-z0-9._-]{0,63}`
fn is_name(text: &str) -> bool {
    let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9');
    let mut letters = text.chars();
    letters.next().is_some_and(plain)
        && letters.all(|c| plain(c) || matches!(c, '.' | '_' | '-'))
        && text.len() <= 64
}

/// The components of a path as the kernel would walk them, if it may be written so.
fn components(text: &str) -> Option<Vec<&str>> {
    let rest = text.strip_prefix('/')?;
    let parts: Vec<&str> = rest.split('/').collect();
    let plain = !parts.iter().any(|part| matches!(*part, "." | ".."));
    let file = parts.last().is_some_and(|last| !last.is_empty());
    (plain && file && !text.contains(char::is_control))
        .then(|| parts.into_iter().filter(|part| !part.is_empty()).collect())
}

fn common_names() -> impl Strategy<Value = Vec<String>> {
    let one = prop_oneof![
        "[ab]\\.[xy]",
        "\\*\\.[xy]",
        "(A|B|wildcard)\\.[xy]",
        "10\\.0\\.0\\.[1-3]",
        "fd00::[1-3]",
        "[a-z0-9*. éA-Z@:-]{1,12}",
    ];
    proptest::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn names_are_what_their_grammar_says(text in "[a-zA-Z0-9._é -]{0,70}", any: String) {
        for text in [text, any] {
            let parsed = text.parse::<CertName>();
            prop_assert_eq!(parsed.is_ok(), is_name(&text), "{}", text);
            if let Ok(name) = parsed {
                prop_assert_eq!(name.as_str(), &text);
                let json = serde_json::to_string(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<CertName>(&json).unwrap(), name);
            }
        }
    }

    #[test]
    fn paths_are_walked_as_they_are_written(text in "/?([a-b.]{0,3}/{0,2}){0,6}[a\u{7}é]?", any: String) {
        for text in [text, any] {
            let parsed = text.parse::<AbsolutePath>();
            let expected = components(&text);
            prop_assert_eq!(parsed.is_ok(), expected.is_some(), "{}", text);
            let (Ok(path), Some(parts)) = (parsed, expected) else { continue };
            prop_assert_eq!(path.as_str(), format!("/{}", parts.join("/")));
            prop_assert_eq!(path.file_name(), *parts.last().unwrap());
            prop_assert_eq!(path.as_str().parse::<AbsolutePath>().unwrap(), path.clone());
            let beside = path.sibling("ca.pem").unwrap();
            prop_assert_eq!(beside.parent(), path.parent());
        }
    }

    #[test]
    fn what_is_a_name_of_a_certificate_is_read_back_as_the_same(text in "[a-z0-9*.:@/_ABC-]{1,24}", any: String) {
        for text in [text, any] {
            let Ok(san) = text.parse::<San>() else { continue };
            prop_assert!(text.is_ascii() && !text.contains([' ', ',']));
            prop_assert_eq!(san.to_string().parse::<San>(), Ok(san.clone()));
            prop_assert_eq!(san.comparable(), san.comparable().comparable());
            if let San::Dns(name) = &san {
                prop_assert_eq!(name, &text.to_ascii_lowercase());
                prop_assert!(name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())));
                prop_assert!(!name.trim_start_matches("*.").contains('*'));
                prop_assert!(name.parse::<std::net::IpAddr>().is_err());
            }
        }
    }

    #[test]
    fn addresses_are_addresses_in_every_form(address: std::net::IpAddr) {
        prop_assert_eq!(address.to_string().parse::<San>(), Ok(San::Ip(address)));
        if let std::net::IpAddr::V6(six) = address {
            let long = six.segments().map(|part| format!("{part:04X}")).join(":");
            prop_assert_eq!(long.parse::<San>(), Ok(San::Ip(address)));
            let bracketed = format!("[{six}]");
            prop_assert!(bracketed.parse::<San>().is_err());
        }
    }

    #[test]
    fn names_that_are_derived_are_good_and_unique_and_nobody_is_lost(common_names in common_names()) {
        let entries: Vec<_> = common_names
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let at = |file: &str| format!("/srv/{number}/{file}.pem");
                json!({"common_name": name, "sans": "x.example", "cert_path": at("cert"), "key_path": at("key")})
            })
            .collect();
        let parsed = parse(&json!(entries).to_string());
        let manifest = parsed.manifest.unwrap();
        prop_assert_eq!(manifest.entries.len() + manifest.invalid.len(), common_names.len());
        let names: BTreeSet<&str> = manifest.entries.iter().map(|entry| entry.name.as_str()).collect();
        prop_assert_eq!(names.len(), manifest.entries.len(), "two are called the same");
        for entry in &manifest.entries {
            prop_assert!(is_name(entry.name.as_str()));
            prop_assert_eq!(manifest.find(entry.name.as_str()), Some(entry));
            let first = entry.common_name.to_lowercase();
            let label = first.split('.').next().unwrap().replace('*', "wildcard");
            let alone = entry.name.as_str() == label;
            // Whoever has the bare first label shares it with nobody.
            let same = |other: &&phoenix_core::manifest::Entry| {
                other.common_name.to_lowercase().split('.').next().unwrap().replace('*', "wildcard") == label
            };
            prop_assert!(!alone || manifest.entries.iter().filter(same).count() == 1 || !first.contains('.'));
        }
    }
}
