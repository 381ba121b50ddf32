//! The files under `config/` are what the documentation and the tests of other crates build on.

use serde_json::Value;

use super::*;

const CERTD: &str = include_str!("../../../../../config/certd.toml");
const PRESENT: &str = include_str!("../../../../../config/certificate-manifest.json");
const EXAMPLE: &str = include_str!("../../../../../config/certificate-manifest.example.json");
const RECOMMENDED: &str = include_str!("../../../../../config/certificate-manifest.recommended.json");
const SCHEMA: &str = include_str!("../../../../../config/certificate-manifest.schema.json");

fn with_shipped_settings(text: &str) -> Parsed {
    let settings =
        Settings::parse(CERTD, "config/certd.toml").unwrap_or_else(|problems| panic!("{problems}"));
    Manifest::parse(text, &Context::of(&settings))
}

#[test]
fn the_plans_own_manifest_is_warned_about_its_restart_and_nothing_else() {
    let parsed = with_shipped_settings(PRESENT);
    let restart = problem(&parsed, "[1].post_renewal_command", "loses the requests of the moment");
    assert_eq!(
        (restart.severity, parsed.diagnostics.len()),
        (Severity::Warning, 1),
        "{}",
        parsed.diagnostics
    );
    assert_eq!(parsed.manifest.unwrap().entries.len(), 6);
}

#[test]
fn the_shipped_manifests_have_no_problems() {
    let files = [("the example", EXAMPLE, 4), ("recommended", RECOMMENDED, 6)];
    for (file, text, count) in files {
        let parsed = with_shipped_settings(text);
        assert!(parsed.diagnostics.is_empty(), "{file}: {}", parsed.diagnostics);
        assert_eq!(parsed.manifest.unwrap().entries.len(), count, "{file}");
    }
}

#[test]
fn the_shipped_configuration_works_with_its_commented_parts_too() {
    let uncommented: Vec<&str> = CERTD
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[')
                    || rest.split_once('=').is_some_and(|(key, _)| !key.trim().contains(' ')) =>
            {
                rest
            }
            _ => line,
        })
        .collect();
    let settings = Settings::parse(&uncommented.join("\n"), "certd.toml")
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(settings.issuers.len(), 2);
    assert!(settings.metrics.is_some());
}

/// Places in the guest and modes, as the plan asks for them.
#[test]
fn the_recommended_manifest_delivers_what_traefik_needs_to_reach_docker() {
    let manifest = with_shipped_settings(RECOMMENDED).manifest.unwrap();
    let entry = manifest.entries.iter().find(|entry| entry.name.as_str() == "traefik-client").unwrap();
    assert_eq!(entry.guest, Some(Guest { kind: GuestKind::Lxc, id: 102 }));
    let Some(Delivery::Explicit { cert, key, ca, key_mode, cert_mode, .. }) = &entry.delivery else {
        panic!("{entry:?}")
    };
    let at = |name: &str| Some(format!("/etc/traefik/certs/{name}").parse().unwrap());
    assert_eq!((cert, key, ca), (&at("client-cert.pem"), &at("client-key.pem"), &at("ca.pem")));
    assert_eq!((*key_mode, *cert_mode), (Mode(0o600), Mode(0o600)));
}

#[test]
fn the_recommended_manifest_has_the_present_certificates_and_verifies_every_one() {
    let [present, recommended] =
        [PRESENT, RECOMMENDED].map(|text| with_shipped_settings(text).manifest.unwrap().entries);
    for entry in &present {
        let other = recommended.iter().find(|other| other.name == entry.name).unwrap();
        assert_eq!((&other.common_name, &other.sans), (&entry.common_name, &entry.sans));
        assert_eq!((&other.cert_path, &other.key_path), (&entry.cert_path, &entry.key_path));
        assert!(!other.verify.is_empty() && other.rollback, "{}", entry.name);
    }
    assert_eq!(present.len(), recommended.len());
}

#[test]
fn the_present_manifest_keeps_its_meaning() {
    let manifest = with_shipped_settings(PRESENT).manifest.unwrap();
    let names: Vec<&str> = manifest.entries.iter().map(|entry| entry.name.as_str()).collect();
    let expected = ["docker-daemon", "traefik-client", "nginx", "nginx-mesh-client", "traefik", "portainer"];
    assert_eq!(names, expected);
    for entry in &manifest.entries {
        let argv = &entry.command.as_ref().unwrap().argv;
        let program = if entry.name.as_str() == "docker-daemon" || entry.name.as_str() == "portainer" {
            "qm"
        } else {
            "pct"
        };
        assert_eq!(argv[0], format!("/usr/sbin/{program}"));
        if let Some(guest) = entry.guest {
            assert!(argv.contains(&guest.id.to_string()));
            assert_eq!(entry.delivery, Some(Delivery::Legacy { ca: true }));
            assert!(argv.last().unwrap().contains("/tmp/key.pem"), "the script is one argument");
        }
    }
}

#[test]
fn the_schema_in_config_is_the_generated_one() {
    assert_eq!(SCHEMA, schema(), "the file is to hold what `manifest::schema()` gives");
}

/// The objects that the schema describes, by the name of the field that holds them.
fn properties(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object).expect("properties");
    let mut names: Vec<String> = properties.keys().cloned().collect();
    names.sort();
    names
}

fn sorted(lists: &[&[&str]]) -> Vec<String> {
    let mut names: Vec<String> = lists.concat().into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn the_schema_has_exactly_the_fields_of_the_parser() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let entry = &schema["$defs"]["entry"];
    let inner = |field: &str| schema["$defs"]["field"][field]["anyOf"][0].clone();
    assert_eq!(schema["$defs"]["field"].as_object().unwrap().len(), properties(entry).len());
    let [array, object] = schema["oneOf"].as_array().unwrap().as_slice() else { panic!("two forms") };
    assert_eq!(array["items"], object["properties"]["certificates"]["items"]);
    assert_eq!(properties(object), sorted(&[read::TOP]));
    assert_eq!(properties(&object["properties"]["defaults"]), sorted(&[read::OPTIONAL]));
    assert_eq!(properties(entry), sorted(&[read::OPTIONAL, read::REQUIRED]));
    assert_eq!(entry["required"], serde_json::json!(read::REQUIRED));
    assert_eq!(properties(&inner("deliver")), sorted(&[delivery::DELIVER]));
    assert_eq!(properties(&inner("command")), sorted(&[command::COMMAND]));
    assert_eq!(properties(&inner("window")), sorted(&[command::WINDOW]));
    let kinds = inner("verify")["anyOf"][0]["oneOf"].clone();
    for (kind, fields) in
        kinds.as_array().unwrap().iter().zip([verify::TLS, verify::ACCEPTED_BY, verify::COMMAND])
    {
        assert_eq!(properties(kind), sorted(&[fields]));
    }
    assert!(!SCHEMA.contains("\"unknown\""), "a field without a description");
}

/// Checks `value` against the few keywords of JSON Schema that our schema uses.
fn conforms(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return conforms(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value);
    }
    let all = |key: &str| schema.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let fits = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other}"),
    };
    let mut good = schema.get("type").and_then(Value::as_str).is_none_or(fits);
    good &= schema.get("const").is_none_or(|only| only == value);
    good &= schema.get("enum").is_none() || all("enum").contains(value);
    good &= schema.get("anyOf").is_none() || all("anyOf").iter().any(|one| conforms(root, one, value));
    good &= schema.get("oneOf").is_none()
        || all("oneOf").iter().filter(|one| conforms(root, one, value)).count() == 1;
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        good &= values.iter().all(|item| conforms(root, items, item));
    }
    if let Value::Object(map) = value {
        good &= all("required").iter().all(|key| map.contains_key(key.as_str().unwrap()));
        for (key, item) in map.iter().filter(|(key, _)| !key.starts_with('_')) {
            let property = schema.get("properties").map(|properties| properties.get(key));
            good &= property.is_none_or(|known| known.is_some_and(|known| conforms(root, known, item)));
        }
    }
    good
}

#[test]
fn the_shipped_manifests_conform_to_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for text in [PRESENT, EXAMPLE] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(conforms(&schema, &schema, &value));
        let broken = text.replace("\"cert_path\"", "\"cert_pth\"");
        assert!(!conforms(&schema, &schema, &serde_json::from_str(&broken).unwrap()));
    }
}
