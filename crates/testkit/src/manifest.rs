//! The operator's manifest, moved below a scratch root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::peers;
use crate::scratch::Scratch;

/// The two names of the operator's plan.
pub const PLAN: [&str; 2] = ["docker-daemon.internal.thinkheads.ai", "traefik-client.internal.thinkheads.ai"];

const PATHS: [&str; 4] = ["cert_path", "key_path", "chain_path", "ca_path"];

/// One entry as a test needs to know it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Subject CN.
    pub common_name: String,
    /// Certificate file.
    pub cert: PathBuf,
    /// Key file.
    pub key: PathBuf,
    /// The command as the manifest words it.
    pub command: Option<String>,
}

/// A file below `config/`.
pub fn config_file(name: &str) -> PathBuf {
    peers::tree().join("config").join(name)
}

/// Every entry of `config/certificate-manifest.json`.
pub fn operators() -> Result<Vec<Value>> {
    let path = config_file("certificate-manifest.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let entries = if value.is_array() { &value } else { &value["certificates"] };
    Ok(entries.as_array().with_context(|| format!("{} holds no entries", path.display()))?.clone())
}

/// Every entry of `config/certificate-manifest.recommended.json`, with what its defaults give it.
pub fn recommended() -> Result<Vec<Value>> {
    with_defaults("certificate-manifest.recommended.json")
}

/// Every entry of `config/certificate-manifest.example.json`, with what its defaults give it.
pub fn example() -> Result<Vec<Value>> {
    with_defaults("certificate-manifest.example.json")
}

fn with_defaults(file: &str) -> Result<Vec<Value>> {
    let path = config_file(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let mut entries = value["certificates"].as_array().context("it holds no entries")?.clone();
    let defaults = value["defaults"].as_object().context("it holds no defaults")?;
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        for (name, default) in defaults {
            entry.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    Ok(entries)
}

/// The entries of the plan, as they stand in the operator's file.
pub fn plan() -> Result<Vec<Value>> {
    let wanted = |entry: &Value| PLAN.iter().any(|name| entry["common_name"] == *name);
    let entries: Vec<Value> = operators()?.into_iter().filter(wanted).collect();
    ensure!(entries.len() == PLAN.len(), "config/certificate-manifest.json lacks an entry of the plan");
    Ok(entries)
}

/// The same entries with every path below the scratch directory; commands stay as they are.
pub fn below(scratch: &Scratch, mut entries: Vec<Value>) -> Vec<Value> {
    for entry in &mut entries {
        for name in PATHS {
            let Some(path) = entry[name].as_str().map(Path::new) else { continue };
            if !path.starts_with(scratch.path()) {
                entry[name] = json!(scratch.join(path));
            }
        }
    }
    entries
}

/// A small entry below the scratch directory's target root.
pub fn entry(scratch: &Scratch, name: &str) -> Value {
    let dir = scratch.join("mnt/pve/quickOS").join(name);
    json!({
        "common_name": format!("{name}.internal.thinkheads.ai"),
        "cert_path": dir.join("cert.pem"),
        "key_path": dir.join("key.pem"),
    })
}

/// What a test needs to know of these entries.
pub fn places(entries: &[Value]) -> Result<Vec<Place>> {
    entries.iter().map(place).collect()
}

fn place(entry: &Value) -> Result<Place> {
    let text = |name: &str| {
        entry[name].as_str().with_context(|| format!("an entry has no {name}")).map(str::to_owned)
    };
    Ok(Place {
        common_name: text("common_name")?,
        cert: text("cert_path")?.into(),
        key: text("key_path")?.into(),
        command: entry["post_renewal_command"].as_str().map(str::to_owned),
    })
}
