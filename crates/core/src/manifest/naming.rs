//! The short names of all entries, chosen before the entries are read: a derived name depends on the others.

use std::collections::HashMap;

use crate::diagnostic::report::Problem;
use crate::diagnostic::suggest;
use crate::diagnostic::tree::{Kind, Table, Value};
use crate::name::CertName;

/// What the entries are called.
pub(super) struct Names {
    /// One for each entry.
    pub(super) chosen: Vec<Chosen>,
    /// By name and, where it is unique, by full common name.
    known: HashMap<String, CertName>,
}

/// What one entry is called.
#[derive(Default)]
pub(super) struct Chosen {
    /// None when it has no name, or one that an earlier entry has.
    pub(super) name: Option<CertName>,
    /// Why it has none, as far as that is a matter of other entries.
    pub(super) taken: Option<Problem>,
    /// It was called by its full common name, because others have its first label, too.
    pub(super) collided: Option<CertName>,
}

impl Names {
    pub(super) fn choose(entries: &[Value], defaults: Option<&Table>) -> Self {
        let wanted: Vec<Wanted> = entries.iter().map(|entry| Wanted::of(entry, defaults)).collect();
        let mut uses: HashMap<&CertName, usize> = HashMap::new();
        for name in wanted.iter().filter_map(Wanted::first) {
            *uses.entry(name).or_default() += 1;
        }
        let mut owners: HashMap<CertName, usize> = HashMap::new();
        let mut chosen = Vec::with_capacity(wanted.len());
        for (index, wanted) in wanted.iter().enumerate() {
            let collides = wanted.first().is_some_and(|name| uses.get(name).is_some_and(|count| *count > 1));
            chosen.push(wanted.settle(collides, index, &mut owners));
        }
        let known = known(&wanted, &chosen);
        Self { chosen, known }
    }

    /// The entry that `text` means, or advice.
    pub(super) fn resolve(&self, text: &str) -> Result<CertName, Problem> {
        self.known.get(text).cloned().ok_or_else(|| {
            let names = self.chosen.iter().filter_map(|chosen| chosen.name.as_ref()).map(CertName::as_str);
            let help = suggest::advice(text, names, "write the name of an entry of this manifest");
            Problem::new(format!("there is no entry `{text}`"), help)
        })
    }
}

fn known(wanted: &[Wanted], chosen: &[Chosen]) -> HashMap<String, CertName> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for common_name in wanted.iter().filter_map(|wanted| wanted.common_name.as_deref()) {
        *counts.entry(common_name).or_default() += 1;
    }
    let mut known = HashMap::new();
    for (wanted, chosen) in wanted.iter().zip(chosen) {
        let (Some(name), Some(common_name)) = (&chosen.name, wanted.common_name.as_deref()) else { continue };
        if counts.get(common_name) == Some(&1) {
            known.insert(common_name.to_owned(), name.clone());
        }
    }
    known.extend(chosen.iter().filter_map(|chosen| chosen.name.clone()).map(|name| (name.to_string(), name)));
    known
}

/// What an entry would like to be called.
struct Wanted {
    explicit: Option<CertName>,
    short: Option<CertName>,
    full: Option<CertName>,
    common_name: Option<String>,
}

impl Wanted {
    fn of(entry: &Value, defaults: Option<&Table>) -> Self {
        let Kind::Table(table) = &entry.kind else {
            return Self { explicit: None, short: None, full: None, common_name: None };
        };
        let name = table.get("name").or_else(|| defaults?.get("name"));
        let explicit = name.and_then(string);
        let common_name = table.get("common_name").and_then(string).map(str::to_owned);
        // A wrong `name` is an error of its own; another name must not hide it.
        let derived = common_name.as_deref().filter(|_| name.is_none());
        Self {
            explicit: explicit.and_then(|name| name.parse().ok()),
            short: derived.and_then(short),
            full: derived.and_then(full),
            common_name,
        }
    }

    fn first(&self) -> Option<&CertName> {
        self.explicit.as_ref().or(self.short.as_ref())
    }

    fn settle(&self, collides: bool, index: usize, owners: &mut HashMap<CertName, usize>) -> Chosen {
        let fallback = self.full.as_ref().filter(|_| collides && self.explicit.is_none());
        let Some(name) = fallback.or_else(|| self.first()) else { return Chosen::default() };
        let collided = fallback.is_some().then(|| self.short.clone()).flatten();
        match owners.get(name) {
            None => {
                owners.insert(name.clone(), index);
                Chosen { name: Some(name.clone()), taken: None, collided }
            }
            Some(earlier) => {
                let problem = Problem::new(
                    format!("an earlier entry (number {}) is called `{name}`, too", earlier + 1),
                    "give this one another `name`",
                );
                Chosen { name: None, taken: Some(problem), collided: None }
            }
        }
    }
}

fn string(value: &Value) -> Option<&str> {
    match &value.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

/// The first label of a common name; an address has no labels.
fn short(common_name: &str) -> Option<CertName> {
    if common_name.parse::<std::net::IpAddr>().is_ok() {
        return full(common_name);
    }
    plain(common_name.split('.').next().unwrap_or_default())
}

/// The whole common name.
fn full(common_name: &str) -> Option<CertName> {
    plain(common_name)
}

/// `text` in the alphabet of names.
fn plain(text: &str) -> Option<CertName> {
    let text = text.to_lowercase();
    let text = if text == "*" || text.starts_with("*.") { text.replacen('*', "wildcard", 1) } else { text };
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let text: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).take(CertName::MAX).collect();
    text.trim_start_matches(['-', '.', '_']).trim_end_matches('-').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_derived_from_the_first_label() {
        for (common_name, expected) in [
            ("traefik-client.internal.thinkheads.ai", Some("traefik-client")),
            ("*.internal.thinkheads.ai", Some("wildcard")),
            ("Docker-Daemon.internal", Some("docker-daemon")),
            ("portainer", Some("portainer")),
            ("10.0.0.111", Some("10.0.0.111")),
            ("fd00::1", Some("fd00--1")),
            ("My Service", Some("my-service")),
            ("admin@thinkheads.ai", Some("admin-thinkheads")),
            ("é", None),
            ("", None),
            (".a", None),
        ] {
            assert_eq!(short(common_name).as_ref().map(CertName::as_str), expected, "{common_name}");
        }
        assert_eq!(full("*.a.b").unwrap().as_str(), "wildcard.a.b");
    }
}
