//! Values of a manifest's fields, as an operator would write them.

use std::time::Duration;

use phoenix_core::explanation::reproduce::quoted;
use serde_json::{Map, Value};

use crate::span;

/// The value of a field.
pub(super) fn shown(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(is) => is.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) if field.ends_with("mode") => {
            number.as_u64().map_or_else(|| number.to_string(), |mode| format!("{mode:04o}"))
        }
        Value::Number(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) if field == "argv" => {
            values.iter().map(|word| quoted(&shown("", word))).collect::<Vec<_>>().join(" ")
        }
        Value::Array(values) => values.iter().map(|value| shown(field, value)).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => object(fields),
    }
}

fn object(fields: &Map<String, Value>) -> String {
    if let (Some(seconds), Some(_)) = (fields.get("secs").and_then(Value::as_u64), fields.get("nanos")) {
        return span::words(Duration::from_secs(seconds));
    }
    if let Some(message) = fields.get("message").and_then(Value::as_str) {
        return message.to_owned();
    }
    let mut given = fields.iter().filter(|(_, value)| !value.is_null()).peekable();
    match (fields.len(), given.peek()) {
        (1, Some((_, value))) => shown("", value),
        _ => given
            .map(|(name, value)| match name.as_str() {
                "argv" | "form" | "kind" => shown(name, value),
                _ => format!("{name} {}", shown(name, value)),
            })
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_as_they_are_written_in_a_manifest() {
        for (field, value, text) in [
            ("key_mode", json!(416), "0640"),
            ("paused", json!(true), "true"),
            ("window", json!(null), "none"),
            ("verify", json!([]), "none"),
            ("validity", json!({"secs": 604_800, "nanos": 0}), "7 d"),
            ("sans", json!([{"dns": "a.internal"}, {"ip": "10.0.0.1"}]), "a.internal, 10.0.0.1"),
            ("renew_before", json!({"percent": 50}), "50"),
            ("guest", json!({"id": 102, "kind": "lxc"}), "id 102, lxc"),
            (
                "command",
                json!({"argv": ["/usr/sbin/pct", "exec", "a b"], "min_interval": null,
                    "timeout": {"secs": 60, "nanos": 0}}),
                "/usr/sbin/pct exec 'a b', timeout 1 min",
            ),
        ] {
            assert_eq!(shown(field, &value), text);
        }
    }
}
