use super::*;

fn entry(common_name: &str, more: &str) -> String {
    let place = common_name.replace(['*', ' '], "x");
    format!(
        r#"{{"common_name": "{common_name}", "cert_path": "/srv/tls/{place}/cert.pem", "key_path": "/srv/tls/{place}/key.pem"{more}}}"#
    )
}

fn called(parsed: &Parsed) -> Vec<String> {
    parsed.manifest.as_ref().unwrap().entries.iter().map(|entry| entry.name.to_string()).collect()
}

#[test]
fn both_shapes_mean_the_same() {
    let list = format!("[{}, {}]", entry("a.example", ""), entry("b.example", ""));
    let object = format!(r#"{{"$schema": "x", "_about": "x", "version": 1, "certificates": {list}}}"#);
    let (list, object) = (parse(&list), parse(&object));
    assert!(list.diagnostics.is_empty() && object.diagnostics.is_empty(), "{}", object.diagnostics);
    assert_eq!(list.manifest, object.manifest);
    assert_eq!(parse("[]").manifest.unwrap().entries, []);
    assert!(parse("\u{feff}[]\r\n").manifest.is_some());
}

#[test]
fn what_is_no_manifest_is_refused_as_a_whole() {
    for (text, path, says) in [
        ("", "", "empty"),
        ("{", "", "too early"),
        ("[{\"a\": 1,}]", "", "comma"),
        ("null", "", "an array of entries"),
        ("\"x\"", "", "an array of entries"),
        ("{}", "certificates", "missing"),
        (r#"{"version": 1, "certificates": {}}"#, "certificates", "an array of entries"),
        (r#"{"version": 2, "certificates": []}"#, "version", "only version 1"),
        (r#"{"version": "1", "certificates": []}"#, "version", "the number 1"),
        (r#"{"version": 1, "certificates": [], "certificates": []}"#, "certificates", "occurs twice"),
        (r#"{"version": 1, "defaults": [], "certificates": []}"#, "defaults", "an object"),
    ] {
        let parsed = parse(text);
        assert_eq!(problem(&parsed, path, says).severity, Severity::Error);
        assert!(parsed.manifest.is_none(), "{text}");
    }
    let large = parse(&" ".repeat(17 * 1024 * 1024));
    assert!(large.manifest.is_none() && large.diagnostics.len() == 1);
}

#[test]
fn odd_top_levels_are_worth_a_warning() {
    for (text, path, says) in [
        (r#"{"certificates": []}"#, "", "`version` is missing"),
        (r#"{"version": 1, "certificates": [], "default": {}}"#, "default", "did you mean `defaults`?"),
        (
            r#"{"version": 1, "defaults": {"ownr": "a:b"}, "certificates": []}"#,
            "defaults.ownr",
            "did you mean `owner`?",
        ),
        (
            r#"{"version": 1, "defaults": {"key_path": "/x"}, "certificates": []}"#,
            "defaults.key_path",
            "no effect",
        ),
    ] {
        let parsed = parse(text);
        assert_eq!(problem(&parsed, path, says).severity, Severity::Warning);
        assert_eq!(parsed.manifest.unwrap().entries, []);
    }
}

#[test]
fn defaults_apply_where_an_entry_says_nothing() {
    let text = format!(
        r#"{{"version": 1, "defaults": {{"owner": "a:b", "validity": "48h", "sans": "shared.example", "key_path": "/x"}},
            "certificates": [{}, {}, {}]}}"#,
        entry("a.example", ""),
        entry("b.example", r#", "owner": "c:d", "sans": []"#),
        entry("c.example", r#", "owner": null"#),
    );
    let entries = parse(&text).manifest.unwrap().entries;
    let owners: Vec<String> = entries.iter().map(|entry| entry.owner.as_ref().unwrap().to_string()).collect();
    assert_eq!(owners, ["a:b", "c:d", "a:b"]);
    assert_eq!(names(&entries[0].sans), ["a.example", "shared.example"]);
    assert_eq!(names(&entries[1].sans), ["b.example"]);
    assert!(entries.iter().all(|entry| entry.validity.is_some()));
    assert_eq!(entries[0].key_path.as_str(), "/srv/tls/a.example/key.pem");
}

#[test]
fn a_wrong_default_is_reported_once_and_spoils_whoever_uses_it() {
    let text = format!(
        r#"{{"version": 1, "defaults": {{"permissions": 600}}, "certificates": [{}, {}, {}]}}"#,
        entry("a.example", ""),
        entry("b.example", r#", "permissions": "0600""#),
        entry("c.example", ""),
    );
    let parsed = parse(&text);
    assert_eq!(parsed.diagnostics.len(), 1, "{}", parsed.diagnostics);
    problem(&parsed, "defaults.permissions", "write \"0600\"");
    assert_eq!(called(&parsed), ["b"]);
    let invalid = parsed.manifest.unwrap().invalid;
    assert_eq!(invalid.len(), 2);
    assert!(invalid.iter().all(|entry| entry.problems.len() == 1), "{invalid:?}");
}

#[test]
fn derived_names_that_collide_become_the_full_common_names() {
    for (common_names, expected, warnings) in [
        (vec!["a.x", "b.x"], vec!["a", "b"], 0),
        (vec!["a.x", "a.y", "b.x"], vec!["a.x", "a.y", "b"], 2),
        (vec!["*.x", "*.y"], vec!["wildcard.x", "wildcard.y"], 2),
        (vec!["*.x", "A.x"], vec!["wildcard", "a"], 0),
    ] {
        let entries: Vec<String> = common_names.iter().map(|name| entry(name, "")).collect();
        let parsed = parse(&format!("[{}]", entries.join(",")));
        assert_eq!(called(&parsed), expected);
        assert_eq!(parsed.diagnostics.count(Severity::Warning), warnings, "{}", parsed.diagnostics);
        assert!(!parsed.diagnostics.has_errors());
    }
}

#[test]
fn a_derived_name_makes_way_for_a_given_one() {
    let text = format!("[{}, {}]", entry("a.x", ""), entry("b.x", r#", "name": "a""#));
    let parsed = parse(&text);
    assert_eq!(called(&parsed), ["a.x", "a"]);
    problem(&parsed, "[0].common_name", "would be called `a`, too");
}

#[test]
fn the_later_of_two_entries_with_one_name_is_invalid() {
    let text = format!("[{}, {}]", entry("a.x", r#", "name": "n""#), entry("b.x", r#", "name": "n""#));
    let parsed = parse(&text);
    problem(&parsed, "[1].name", "an earlier entry (number 1) is called `n`, too");
    assert_eq!(called(&parsed), ["n"]);
    assert_eq!(parsed.manifest.unwrap().invalid[0].name.as_deref(), Some("n"));
    let twice = format!("[{}, {}]", entry("a.x", ""), entry("a.x", ""));
    let parsed = parse(&twice);
    problem(&parsed, "[1].common_name", "called `a.x`, too");
    assert_eq!(called(&parsed), ["a.x"]);
}

#[test]
fn a_name_among_the_defaults_serves_one_entry() {
    let text = format!(
        r#"{{"version": 1, "defaults": {{"name": "n"}}, "certificates": [{}, {}, {}]}}"#,
        entry("a.x", ""),
        entry("b.x", r#", "name": "b""#),
        entry("c.x", "")
    );
    let parsed = parse(&text);
    assert_eq!(called(&parsed), ["n", "b"]);
    problem(&parsed, "defaults.name", "called `n`, too");
}

#[test]
fn the_later_of_two_entries_with_one_path_is_invalid() {
    let same = |key: &str, path: &str| {
        let second = entry("b.example", &format!(r#", "{key}": "{path}", "name": "b""#));
        let second = if key.starts_with("ce") || key.starts_with('k') {
            second.replacen(&format!(r#""{key}": "/srv/tls/b.example/"#), "\"_old\": \"", 1)
        } else {
            second
        };
        let more = r#", "chain_path": "/srv/tls/chain.pem", "ca_path": "/srv/tls/ca.pem""#;
        parse(&format!("[{}, {second}]", entry("a.example", more)))
    };
    for (key, path) in [
        ("cert_path", "/srv/tls/a.example/cert.pem"),
        ("cert_path", "/srv/tls/a.example/key.pem"),
        ("key_path", "/srv/tls/a.example//cert.pem"),
        ("key_path", "/srv/tls/ca.pem"),
        ("chain_path", "/srv/tls/chain.pem"),
        ("ca_path", "/srv/tls/chain.pem"),
    ] {
        let parsed = same(key, path);
        problem(&parsed, &format!("[1].{key}"), "already written by entry `a`");
        assert_eq!(called(&parsed), ["a"], "{key} {path}");
    }
    let shared = same("ca_path", "/srv/tls/ca.pem");
    assert!(shared.diagnostics.is_empty(), "{}", shared.diagnostics);
    assert_eq!(called(&shared), ["a", "b"]);
}

#[test]
fn roots_beside_certificates_of_one_directory_are_shared() {
    let beside = |name: &str| {
        format!(
            r#"{{"common_name": "{name}.x", "cert_path": "/srv/tls/{name}.pem", "key_path": "/srv/tls/{name}.key", "include_ca": true}}"#
        )
    };
    let parsed = parse(&format!("[{}, {}]", beside("a"), beside("b")));
    assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics);
    let taken = format!("[{}, {}]", entry("ca.x", "").replace("ca.x/cert", "ca"), beside("a"));
    problem(&parse(&taken), "[1].include_ca", "already written by entry `ca`");
}

#[test]
fn one_bad_entry_leaves_the_others_alone() {
    let text = format!(
        "[{}, 5, {}, {}]",
        entry("a.x", ""),
        entry("b.x", r#", "sans": 1, "issuer": 2"#),
        entry("c.x", "")
    );
    let parsed = parse(&text);
    assert_eq!(called(&parsed), ["a", "c"]);
    problem(&parsed, "[1]", "an entry is needed here, this is a number");
    let invalid = parsed.manifest.unwrap().invalid;
    assert_eq!(invalid[0].path, "[1]");
    assert_eq!((invalid[1].name.as_deref(), invalid[1].common_name.as_deref()), (Some("b"), Some("b.x")));
    assert_eq!(invalid[1].problems.len(), 2);
    assert!(invalid[1].problems[0].starts_with("sans: "), "{:?}", invalid[1].problems);
}

#[test]
fn a_client_must_be_a_valid_entry() {
    let verifier =
        |client: &str| entry("a.x", &format!(r#", "verify": {{"tls": "a.x:443", "client": "{client}"}}"#));
    for client in ["b", "b.x"] {
        let parsed = parse(&format!("[{}, {}]", verifier(client), entry("b.x", "")));
        assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics);
        let Verify::Tls { client, .. } = &parsed.manifest.unwrap().entries[0].verify[0] else {
            panic!("not tls")
        };
        assert_eq!(client.as_ref().unwrap().as_str(), "b");
    }
    let parsed = parse(&format!("[{}, {}]", verifier("b"), entry("b.x", r#", "sans": 1"#)));
    assert_eq!(problem(&parsed, "[0].verify.client", "entry `b` is invalid").severity, Severity::StageError);
    let manifest = parsed.manifest.unwrap();
    assert!(manifest.entries[0].verify.is_empty());
    assert!(manifest.entries[0].stage_error(Stage::Verify).unwrap().message.contains("`b` is invalid"));
}

#[test]
fn entries_are_found_by_name_and_by_common_name() {
    let text =
        format!("[{}, {}, {}]", entry("a.x", ""), entry("b.x", r#", "name": "a.x""#), entry("c.x", ""));
    let manifest = parse(&text).manifest.unwrap();
    assert_eq!(manifest.find("a.x").unwrap().common_name, "b.x", "a name goes before a common name");
    assert_eq!(manifest.find("c").unwrap().common_name, "c.x");
    assert_eq!(manifest.find("c.x").unwrap().common_name, "c.x");
    assert_eq!(manifest.find("d"), None);
    let second = entry("c.x", r#", "name": "second""#).replace("/srv/tls/", "/srv/tls/2/");
    let twice = format!("[{}, {second}]", entry("c.x", ""));
    assert_eq!(parse(&twice).manifest.unwrap().find("c.x"), None, "not which of the two");
}

struct OneHost {
    directory: u32,
}

impl Host for OneHost {
    fn has_user(&self, name: &str) -> bool {
        name == "root"
    }

    fn has_group(&self, name: &str) -> bool {
        name == "root"
    }

    fn directory_owner(&self, _: &AbsolutePath) -> Option<u32> {
        Some(self.directory)
    }
}

#[test]
fn owners_are_looked_up_on_the_host() {
    for (owner, directory, says) in [
        ("root:root", 0, None),
        ("www-data:root", 0, Some("no user `www-data`")),
        ("root:www-data", 0, Some("no group `www-data`")),
        ("0:33", 0, None),
        ("www-data:www-data", 100_000, None),
        ("100033:100033", 100_000, None),
        ("33:100033", 100_000, Some("100033")),
        ("100000:33", 100_000, Some("group 33 is nobody")),
    ] {
        let settings = settings();
        let host = OneHost { directory };
        let context = Context::of(&settings).host(&host);
        let parsed = Manifest::parse(&with(&format!("\"owner\": \"{owner}\"")), &context);
        match says {
            Some(says) => {
                assert_eq!(problem(&parsed, "[0].owner", says).severity, Severity::Warning);
                assert_eq!(parsed.manifest.unwrap().entries.len(), 1);
            }
            None => assert!(parsed.diagnostics.is_empty(), "{owner}: {}", parsed.diagnostics),
        }
    }
}

#[test]
fn the_report_shows_file_line_column_quoted_line_and_advice() {
    let text = with(
        "\"sans\": [\"a.example\",\n           \"10.0.0.300\"],\n  \"permissions\": 640,\n  \"ownr\": \"a:b\"",
    );
    let report = parse(&text).diagnostics.to_string();
    for part in [
        "error: `10.0.0.300` is no IP address",
        "manifest.json:6:12",
        "6 |            \"10.0.0.300\"],",
        "^^^^^^^^^^^^ [0].sans[1]",
        "error: an octal string is needed here, this is a number",
        "help: write \"0640\"",
        "manifest.json:7:18",
        "warning: unknown field `ownr`",
        "did you mean `owner`?",
        "manifest.json: 2 errors, 1 warning",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
}
