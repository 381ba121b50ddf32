//! What another wish for the same files would change.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::{Baseline, FileFact, Ledger, LivePair, Observation};
use crate::manifest::{Entry, Principal};
use crate::time::Timestamp;

/// A field of an entry that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the field.
    pub field: String,
    /// Its value in force.
    pub from: Value,
    /// Its value in the candidate.
    pub to: Value,
    /// What the change means.
    pub effect: String,
}

/// Every field in which `to` differs from `from`.
pub fn differences(from: &Entry, to: &Entry) -> Vec<Difference> {
    let (from, to) = (fields(from), fields(to));
    let names: std::collections::BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let differ = |name: &&String| from.get(*name) != to.get(*name);
    names
        .into_iter()
        .filter(differ)
        .map(|name| Difference {
            from: from.get(name).cloned().unwrap_or_default(),
            to: to.get(name).cloned().unwrap_or_default(),
            effect: effect(name).to_owned(),
            field: name.clone(),
        })
        .collect()
}

fn fields(entry: &Entry) -> serde_json::Map<String, Value> {
    match serde_json::to_value(entry) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => serde_json::Map::new(),
    }
}

fn effect(field: &str) -> &'static str {
    match field {
        "name" => "the entry goes by another name; its state stays, since that follows key_path",
        "common_name" | "sans" => {
            "a certificate with other names is requested, unless the present one has them"
        }
        "usage" | "strict_eku" => {
            "another certificate is requested, unless the present one has the right usages"
        }
        "key_type" => "another certificate with such a key is requested",
        "cert_path" => "the pair is written to the new path; the old file stays",
        "chain_path" | "ca_path" => "the file is written to the new path; an old one stays",
        "owner" | "key_mode" | "cert_mode" => "the files get the new owner or mode",
        "guest" | "delivery" => "the pair is delivered again",
        "command" => "the command is run again when its words differ",
        "validity" => "from the next certificate on",
        "renew_before" => "the renewal time moves",
        "issuers" => "another certificate is requested if the present one leads to none of their roots",
        "key_policy" => "from the next renewal on",
        "verify" | "rollback" => "the certificate in use is verified as it says now",
        "window" => "commands run at other times",
        "paused" => "nothing is done for a paused entry; one that is no longer paused is looked at at once",
        "stage_errors" => "a stage that the manifest has wrong is blocked, and goes on when it is mended",
        _ => "it applies from the next decision on",
    }
}

/// What `seen`, observed for `from`, means for `to`: the same files and deeds, measured by other wishes.
#[must_use]
pub fn adapted(seen: &Observation, from: &Entry, to: &Entry) -> Observation {
    let mut seen = seen.clone();
    let argv = |entry: &Entry| entry.command.as_ref().map(|command| command.argv.clone());
    if argv(from) != argv(to) {
        seen.command_digest = argv(to).map(|_| "another command".to_owned());
    }
    if (&from.guest, &from.delivery) != (&to.guest, &to.delivery) {
        seen.delivery_digest = to.delivery.as_ref().map(|_| "another delivery".to_owned());
    }
    if from.cert_path != to.cert_path {
        seen.live.cert = FileFact::Missing;
        seen.live.leaf = None;
    }
    seen.live.companions_differ |= from.chain_path != to.chain_path || from.ca_path != to.ca_path;
    seen.wanted = seen.wanted.map(|wanted| access(wanted, from, to));
    seen
}

/// Facts of an entry of which nothing is known: no file is there, and nothing was done.
pub fn unseen(entry: &Entry, at: Timestamp) -> Observation {
    let nothing = LivePair {
        cert: FileFact::Missing,
        key: FileFact::Missing,
        leaf: None,
        key_public: None,
        trusted: None,
        companions_differ: false,
    };
    Observation {
        at,
        target_trouble: None,
        live: nothing,
        own: None,
        ledger: Ledger::default(),
        delivery_digest: entry.delivery.as_ref().map(|_| "a delivery".to_owned()),
        command_digest: entry.command.as_ref().map(|_| "a command".to_owned()),
        wanted: None,
        set_aside: Vec::new(),
    }
}

/// Owner and mode that `to` asks for, as far as that can be told without the host's users.
fn access(wanted: Baseline, from: &Entry, to: &Entry) -> Baseline {
    let mut wanted = wanted;
    if let Some(owner) = to.owner.as_ref().filter(|owner| from.owner.as_ref() != Some(*owner)) {
        for (uid, gid, _) in [&mut wanted.cert, &mut wanted.key] {
            if let Principal::Id(id) = owner.user {
                *uid = id;
            }
            if let Principal::Id(id) = owner.group {
                *gid = id;
            }
        }
    }
    if from.cert_mode != to.cert_mode {
        wanted.cert.2 = to.cert_mode.0;
    }
    if from.key_mode != to.key_mode {
        wanted.key.2 = to.key_mode.0;
    }
    wanted
}
