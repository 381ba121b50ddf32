//! Durations, modes and certificates in a script.

use std::time::Duration;

use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::{KeyType, San};
use phoenix_core::reason::{Reason, Trouble};
use serde_json::Value;

use crate::site::Certificate;

/// `90s`, `15m`, `24h`, `30d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unknown = || format!("`{text}` is no duration such as 90s, 15m, 24h or 30d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(unknown)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(unknown()),
    };
    number.parse::<u64>().map(|number| Duration::from_secs(number * seconds)).map_err(|_| unknown())
}

/// A reason, then words: what went wrong.
pub(crate) fn trouble(text: &str) -> Result<Trouble, String> {
    let (code, words) = text.split_once(' ').unwrap_or((text, ""));
    let reason = Reason::ALL.iter().copied().find(|reason| reason.code() == code);
    let reason = reason.ok_or_else(|| format!("`{code}` is no reason"))?;
    Ok(Trouble::new(reason, if words.is_empty() { reason.meaning() } else { words }))
}

/// Lets a certificate differ from what was asked for, as JSON says: `cn`, `sans`, `key_type`, `not_before` and
/// `not_after` (from now), `client_auth`, `server_auth`, `other_eku`, `trusted`, `issuer`.
pub(crate) fn differ(
    certificate: &mut Certificate,
    how: &Value,
    now: phoenix_core::time::Timestamp,
) -> Result<(), String> {
    let Value::Object(fields) = how else { return Err(format!("{how} is no object")) };
    for (field, value) in fields {
        let leaf = &mut certificate.leaf;
        match (field.as_str(), value) {
            ("cn", Value::String(name)) => leaf.common_name = Some(name.clone()),
            ("cn", Value::Null) => leaf.common_name = None,
            ("issuer", Value::String(name)) => leaf.issuer.clone_from(name),
            ("sans", Value::Array(names)) => sans(leaf, names)?,
            ("key_type", value) => leaf.key_type = key_type(value)?,
            ("not_before", Value::String(at)) => leaf.not_before = relative(at, now)?,
            ("not_after", Value::String(at)) => leaf.not_after = relative(at, now)?,
            ("client_auth", Value::Bool(is)) => leaf.client_auth = *is,
            ("server_auth", Value::Bool(is)) => leaf.server_auth = *is,
            ("other_eku", Value::Bool(is)) => leaf.other_eku = *is,
            ("trusted", Value::Bool(is)) => certificate.root = if *is { certificate.root } else { 0 },
            _ => return Err(format!("a certificate cannot differ in {field}: {value}")),
        }
    }
    Ok(())
}

fn sans(leaf: &mut LeafFacts, names: &[Value]) -> Result<(), String> {
    leaf.sans = names
        .iter()
        .map(|name| {
            let text = name.as_str().ok_or_else(|| format!("{name} is no name"))?;
            Ok(text.parse().map_or_else(|_| San::Dns(text.to_owned()), San::Ip))
        })
        .collect::<Result<_, String>>()?;
    Ok(())
}

fn key_type(value: &Value) -> Result<Option<KeyType>, String> {
    serde_json::from_value(value.clone()).map_err(|error| format!("{value}: {error}"))
}

/// `+1h`, `-2d`: from now.
fn relative(text: &str, now: phoenix_core::time::Timestamp) -> Result<phoenix_core::time::Timestamp, String> {
    match text.split_at_checked(1) {
        Some(("+", time)) => Ok(now.plus(duration(time)?)),
        Some(("-", time)) => Ok(now.minus(duration(time)?)),
        _ => Err(format!("`{text}` is no time from now such as +1h or -2d")),
    }
}
