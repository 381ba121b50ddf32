//! JSON Schema of the manifest, for editors: completion, and the simple mistakes while typing.
//!
//! Made from the lists of fields and words that the parser itself uses. What a schema cannot say (paths below
//! target roots, quoting of commands, names of other entries) only the parser checks.

use serde_json::{Map, Value, json};

use super::{command, delivery, issuance, read, verify};

/// The schema (JSON Schema 2020-12) as indented text with a line end, as kept in
/// `config/certificate-manifest.schema.json`.
pub fn schema() -> String {
    let array = json!({"type": "array", "items": {"$ref": "#/$defs/entry"}});
    let object = json!({
        "type": "object",
        "required": ["version", "certificates"],
        "properties": {
            "$schema": {"type": "string"},
            "version": {"const": 1},
            "defaults": described(table(read::OPTIONAL), "Fields for all entries that do not have them."),
            "certificates": array
        },
        "patternProperties": comments(),
        "additionalProperties": false
    });
    let all = [read::REQUIRED, read::OPTIONAL].concat();
    let mut entry = table(&all);
    if let Some(map) = entry.as_object_mut() {
        map.insert("required".to_owned(), json!(read::REQUIRED));
    }
    let fields: Map<String, Value> =
        all.iter().map(|name| ((*name).to_owned(), or_null(field(name)))).collect();
    let root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Certificate manifest of phoenix-certd",
        "oneOf": [array, object],
        "$defs": {"entry": entry, "field": fields}
    });
    format!("{root:#}\n")
}

/// An object with these fields of entries, and comments.
fn table(fields: &[&str]) -> Value {
    object_of(fields, |name| json!({"$ref": format!("#/$defs/field/{name}")}))
}

fn object_of(fields: &[&str], describe: impl Fn(&str) -> Value) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|name| ((*name).to_owned(), describe(name))).collect();
    json!({
        "type": "object",
        "properties": properties,
        "patternProperties": comments(),
        "additionalProperties": false
    })
}

/// An object inside an entry, whose fields may be null, too.
fn inner(fields: &[&str], describe: impl Fn(&str) -> Value) -> Value {
    object_of(fields, |name| or_null(describe(name)))
}

fn comments() -> Value {
    json!({"^_": true})
}

/// `null` means absent everywhere.
fn or_null(mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|map| map.remove("description"));
    let mut both = json!({"anyOf": [schema, {"type": "null"}]});
    if let (Some(description), Some(map)) = (description, both.as_object_mut()) {
        map.insert("description".to_owned(), description);
    }
    both
}

fn described(mut schema: Value, description: &str) -> Value {
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".to_owned(), description.into());
    }
    schema
}

fn words<T>(list: &[(&str, T)]) -> Value {
    let words: Vec<&str> = list.iter().map(|(word, _)| *word).collect();
    json!({"enum": words})
}

fn path() -> Value {
    json!({"type": "string", "pattern": "^/"})
}

fn mode() -> Value {
    json!({"type": "string", "pattern": "^0?[0-7]{3}$"})
}

fn duration() -> Value {
    json!({"type": "string", "pattern": "^[0-9]+[smhd]$"})
}

fn owner() -> Value {
    json!({"type": "string", "pattern": "^[^:]+:[^:]+$"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn one_or_many(items: &Value) -> Value {
    json!({"anyOf": [items, {"type": "array", "items": items}]})
}

fn text() -> Value {
    json!({"type": "string"})
}

/// A field of an entry. An unknown name gives the schema that accepts nothing, which a test would find.
fn field(name: &str) -> Value {
    let guest_id = json!({"anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 999_999_999},
        {"type": "string", "pattern": "^[0-9]+$"}
    ]});
    let (schema, description) = match name {
        "name" => (
            json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}),
            "Short unique name; default: the first label of the common name.",
        ),
        "common_name" => (json!({"type": "string", "minLength": 1, "maxLength": 64}), "Subject common name."),
        "sans" => (
            one_or_many(&text()),
            "DNS names, IP addresses, e-mail addresses, URIs; in one string separated by commas or spaces.",
        ),
        "cn_in_sans" => (boolean(), "Whether the common name is added to the SANs; default true."),
        "cert_path" => (path(), "Certificate and intermediates."),
        "key_path" => (path(), "Private key; equal to cert_path for one combined file."),
        "chain_path" => (path(), "Intermediates alone."),
        "ca_path" => (path(), "Roots bundle; entries may share it."),
        "owner" => (owner(), "user:group, names or numbers; default: the directory's owner."),
        "permissions" => (mode(), "Mode of the key, as an octal string; default 0600."),
        "cert_permissions" => (mode(), "Mode of the certificate, as an octal string; default 0644."),
        "cert_type" => (words(issuance::USAGES), "Wanted extended key usage; default server."),
        "strict_eku" => (boolean(), "Refuse certificates with further extended key usages."),
        "guest_id" => (guest_id, "VMID of the guest that gets the files."),
        "guest_type" => (words(delivery::KINDS), "Kind of that guest."),
        "include_ca" => (boolean(), "Also deliver the roots bundle, or write ca.pem beside cert_path."),
        "deliver" => (
            inner(delivery::DELIVER, delivery_field),
            "Destinations inside the guest; without it /tmp/cert.pem, /tmp/key.pem, /tmp/ca.pem.",
        ),
        "post_renewal_command" => (
            one_or_many(&text()),
            "Run after delivery; split by POSIX quoting and never given to a shell on the host.",
        ),
        "command" => (inner(command::COMMAND, |_| duration()), "Limits of the command."),
        "validity" => (duration(), "Wanted lifetime; default: what the issuer gives."),
        "renew_before" => (
            json!({"type": "string", "pattern": "^([0-9]+[smhd]|[0-9]{1,2}%)$"}),
            "Renew with this much of the lifetime left; default a third, at most half.",
        ),
        "issuer" => (one_or_many(&text()), "Issuers of the configuration, in order; default: its first one."),
        "key_type" => (words(issuance::KEY_TYPES), "Type of the private key; default ec-p256."),
        "key_policy" => (words(issuance::KEY_POLICIES), "New key with every certificate, or the same one."),
        "verify" => (one_or_many(&verification()), "How to see that the consumer uses the certificate."),
        "rollback" => (boolean(), "Put the previous pair back when verification fails."),
        "window" => (inner(command::WINDOW, window_field), "When the command may run."),
        "paused" => (boolean(), "Do nothing for this entry."),
        _ => (json!(false), "unknown"),
    };
    described(schema, description)
}

fn delivery_field(name: &str) -> Value {
    match name {
        "owner" => described(owner(), "user:group inside the guest."),
        "permissions" => described(mode(), "Mode of the key inside the guest; default 0600."),
        "cert_permissions" => {
            described(mode(), "Mode of certificate and roots inside the guest; default 0644.")
        }
        _ => path(),
    }
}

fn window_field(name: &str) -> Value {
    match name {
        "duration" => duration(),
        "cron" => described(text(), "When the window opens, as in crontab(5)."),
        _ => described(text(), "IANA time zone; default: the host's."),
    }
}

fn verification() -> Value {
    let kinds = [(verify::TLS, "tls"), (verify::ACCEPTED_BY, "accepted_by"), (verify::COMMAND, "command")];
    let kinds: Vec<Value> = kinds
        .iter()
        .map(|(fields, required)| {
            let mut kind = inner(fields, verify_field);
            if let Some(map) = kind.as_object_mut() {
                map.insert("required".to_owned(), json!([required]));
            }
            kind
        })
        .collect();
    json!({"oneOf": kinds})
}

fn verify_field(name: &str) -> Value {
    match name {
        "tls" => described(text(), "HOST:PORT where this entry's certificate must be served."),
        "accepted_by" => described(
            text(),
            "HOST:PORT where this entry's certificate must be accepted as client certificate.",
        ),
        "command" => one_or_many(&text()),
        "expect" => json!({"enum": verify::PLACEHOLDERS}),
        "refuse_without_client" => described(boolean(), "Without a client certificate the peer must refuse."),
        "client" => described(text(), "Entry whose certificate is presented."),
        "expect_status" => json!({"type": "integer", "minimum": 100, "maximum": 599}),
        "http_get" => json!({"type": "string", "pattern": "^/"}),
        "deadline" => described(duration(), "How long to keep trying; default 30s."),
        _ => text(),
    }
}
