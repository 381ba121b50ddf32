//! `certificate-manifest.json`: the entries that the move to TLS needs.

use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject};

use crate::json::{Document, objects, text_of};
use crate::{Edit, Unclear};

/// Where the entries come from: the manifest that is tested against the real programs.
const RECOMMENDED: &str = include_str!("../../../config/certificate-manifest.recommended.json");
/// The entries that the move needs, and why.
const WANTED: &[(&str, &str)] = &[
    (
        "docker-daemon.internal.thinkheads.ai",
        "the Docker API on 2376 needs a server certificate from Step-CA",
    ),
    (
        "traefik-client.internal.thinkheads.ai",
        "Traefik needs a client certificate for 2376, delivered as ca.pem, client-cert.pem and client-key.pem into \
         /etc/traefik/certs of LXC 102 with mode 0600",
    ),
];
/// dockerd itself holds 2376 in these trees, and reads its certificate only when it starts. The recommended manifest
/// has the command of the nginx front, with which no container stops.
const RESTART: (&str, &str) =
    ("docker-daemon.internal.thinkheads.ai", "qm guest exec 1001 -- systemctl restart docker");
/// Commands that end well and do not do what they are there for, or do more.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("reload docker", "dockerd never reads certificates again on reload: the old one stays in use"),
    (
        "docker secret rm",
        "a secret that is in use can neither be removed nor made anew: the old one stays in use",
    ),
];

pub(crate) fn edit(text: &str) -> Edit {
    let document = Document::parse(text)?;
    let entries = entries(&document)?;
    let (mut reasons, mut remarks) = (Vec::new(), Vec::new());
    for (common_name, why) in WANTED {
        let wanted = recommended(common_name)?;
        match find(&entries, common_name) {
            None => {
                entries.append(value_of(&wanted.into()));
                reasons.push((*why).to_owned());
            }
            Some(found) => complete(&found, &wanted, common_name, why, &mut reasons, &mut remarks),
        }
    }
    for entry in objects(&entries) {
        remarks.extend(without_effect(&entry));
        remarks.extend(stops_containers(&entry));
    }
    Ok(document.finish(text, reasons, remarks))
}

/// The array of entries, in either form of the manifest.
fn entries(document: &Document) -> Result<CstArray, Unclear> {
    if let Some(array) = document.array() {
        return Ok(array);
    }
    let object = document.object()?;
    object.array_value("certificates").ok_or_else(|| {
        Unclear::new(1, "is neither an array of entries nor an object with `certificates`: run `phoenix-certctl validate`")
    })
}

fn find(entries: &CstArray, common_name: &str) -> Option<CstObject> {
    objects(entries).into_iter().find(|entry| text_of(entry, "common_name").as_deref() == Some(common_name))
}

fn recommended(common_name: &str) -> Result<CstObject, Unclear> {
    let document = Document::parse(RECOMMENDED)?;
    let entries = entries(&document)?;
    let found = find(&entries, common_name)
        .ok_or_else(|| Unclear::new(1, format!("the recommended manifest has no entry {common_name}")))?;
    for property in found.properties() {
        match property.decoded_name().as_deref() {
            Some("_about") => property.remove(),
            Some("post_renewal_command") if common_name == RESTART.0 => property.set_value(RESTART.1.into()),
            _ => {}
        }
    }
    Ok(found)
}

/// Adds what an entry lacks. What it has is the operator's.
fn complete(
    found: &CstObject,
    wanted: &CstObject,
    common_name: &str,
    why: &str,
    reasons: &mut Vec<String>,
    remarks: &mut Vec<String>,
) {
    if found.get("deliver").is_none() && found.get("guest_id").is_some() {
        remarks.push(format!(
            "{common_name} has a guest without `deliver`: its files go to /tmp of the guest for the command to pick \
             up. config/certificate-manifest.recommended.json has the form with destinations"
        ));
        return;
    }
    let missing: Vec<_> = wanted
        .properties()
        .into_iter()
        .filter_map(|property| Some((property.decoded_name()?, property.value()?)))
        .filter(|(name, _)| found.get(name).is_none())
        .collect();
    if missing.is_empty() {
        return;
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| format!("`{name}`")).collect();
    reasons.push(format!("{common_name} lacks {}: {why}", names.join(", ")));
    for (name, value) in missing {
        found.append(&name, value_of(&value));
    }
}

fn without_effect(entry: &CstObject) -> Option<String> {
    let command = entry.get("post_renewal_command")?.value()?.to_string();
    let (_, why) = WITHOUT_EFFECT.iter().find(|(words, _)| command.contains(words))?;
    let name = text_of(entry, "common_name").unwrap_or_default();
    Some(format!("the command of {name} does not do what it is there for: {why}"))
}

fn stops_containers(entry: &CstObject) -> Option<String> {
    let command = entry.get("post_renewal_command")?.value()?.to_string();
    let name = text_of(entry, "common_name").unwrap_or_default();
    command.contains("restart docker\"").then(|| {
        format!(
            "the command of {name} stops every container of VM 1001 at each renewal: give the entry a `window`, or put \
             config/docker/nginx-docker-front.conf before dockerd, which is reloaded instead (docs/consumers.md)"
        )
    })
}

/// A value as something that can be put into another document.
pub(crate) fn value_of(node: &CstNode) -> CstInputValue {
    if let Some(object) = node.as_object() {
        let pairs = object
            .properties()
            .into_iter()
            .filter_map(|property| Some((property.decoded_name()?, value_of(&property.value()?))));
        return CstInputValue::Object(pairs.collect());
    }
    if let Some(array) = node.as_array() {
        return CstInputValue::Array(array.elements().iter().map(value_of).collect());
    }
    if let Some(text) = node.as_string_lit() {
        return CstInputValue::String(text.decoded_value().unwrap_or_default());
    }
    if let Some(number) = node.as_number_lit() {
        return CstInputValue::Number(number.to_string());
    }
    node.as_boolean_lit().map_or(CstInputValue::Null, |truth| CstInputValue::Bool(truth.value()))
}
