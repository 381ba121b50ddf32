//! `certificate-manifest.json`: the entries that the move to TLS needs.

mod remarks;

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
        TRAEFIK_CLIENT,
        "Traefik needs a client certificate for 2376, delivered as ca.pem, client-cert.pem and client-key.pem into \
         /etc/traefik/certs of LXC 102 with mode 0600",
    ),
    (
        TRAEFIK,
        "the mesh serves mesh-cert.pem and mesh-key.pem, as etc/traefik/dynamic/10-certificates.yml says; without \
         them Traefik serves a certificate that it made itself, which the gateway refuses",
    ),
];
const TRAEFIK: &str = "traefik.internal.thinkheads.ai";
const TRAEFIK_CLIENT: &str = "traefik-client.internal.thinkheads.ai";
/// Who asks the mesh in the recommended manifest. Where there is no such entry, traefik-client's certificate is good
/// for that, too.
const ASKS_THE_MESH: &str = "nginx-mesh-client";
/// dockerd itself holds 2376 in these trees, and reads its certificate only when it starts. The recommended manifest
/// has the command of the nginx front, with which no container stops.
const RESTART: (&str, &str) =
    ("docker-daemon.internal.thinkheads.ai", "qm guest exec 1001 -- systemctl restart docker");
pub(crate) fn edit(text: &str) -> Edit {
    let document = Document::parse(text)?;
    let entries = entries(&document)?;
    let (mut reasons, mut remarks) = (Vec::new(), Vec::new());
    for (common_name, why) in WANTED {
        let wanted = recommended(common_name, &document, &entries)?;
        match find(&entries, common_name) {
            // Two entries for the same files would be in each other's way.
            None if *common_name == TRAEFIK && remarks::serves_the_mesh(&entries) => {}
            None => {
                entries.append(value_of(&wanted.into()));
                reasons.push((*why).to_owned());
            }
            Some(found) => complete(&found, &wanted, common_name, why, &mut reasons, &mut remarks),
        }
    }
    remarks.extend(remarks::of(&entries));
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

/// The entry as it is to be in a tree with `entries`: with the recommended defaults that the tree's own do not name.
fn recommended(common_name: &str, tree: &Document, entries: &CstArray) -> Result<CstObject, Unclear> {
    let document = Document::parse(RECOMMENDED)?;
    let found = find(&self::entries(&document)?, common_name)
        .ok_or_else(|| Unclear::new(1, format!("the recommended manifest has no entry {common_name}")))?;
    for property in found.properties() {
        match property.decoded_name().as_deref() {
            Some("_about") => property.remove(),
            Some("post_renewal_command") if common_name == RESTART.0 => property.set_value(RESTART.1.into()),
            _ => {}
        }
    }
    let client = found.object_value("verify").and_then(|verify| verify.get("client"));
    let named = |entry: &CstObject| {
        ["name", "common_name"]
            .iter()
            .any(|key| text_of(entry, key).is_some_and(|text| text.split('.').next() == Some(ASKS_THE_MESH)))
    };
    if let Some(client) = client.filter(|_| !objects(entries).iter().any(named)) {
        client.set_value("traefik-client".into());
    }
    let own = tree.object().ok().and_then(|object| object.object_value("defaults"));
    let defaults =
        document.object()?.object_value("defaults").map(|all| all.properties()).unwrap_or_default();
    for property in defaults {
        let (Some(name), Some(value)) = (property.decoded_name(), property.value()) else { continue };
        if found.get(&name).is_none() && own.as_ref().is_none_or(|own| own.get(&name).is_none()) {
            found.append(&name, value_of(&value));
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
