//! What is pointed out in a manifest and not changed: an entry's command is the operator's.

use jsonc_parser::cst::{CstArray, CstObject};

use super::TRAEFIK_CLIENT;
use crate::json::{objects, text_of};

/// Commands that end well and do not do what they are there for, or do more.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("reload docker", "dockerd never reads certificates again on reload: the old one stays in use"),
    (
        "docker secret rm",
        "a secret that is in use can neither be removed nor made anew: the old one stays in use",
    ),
];
/// What etc/traefik/dynamic/10-certificates.yml makes Traefik serve.
const SERVED: [&str; 2] = ["/etc/traefik/certs/mesh-cert.pem", "/etc/traefik/certs/mesh-key.pem"];

/// Remarks about entries, those that were added included.
pub(super) fn of(entries: &CstArray) -> Vec<String> {
    let mut remarks = Vec::new();
    for entry in objects(entries) {
        remarks.extend(without_effect(&entry));
        remarks.extend(stops_containers(&entry));
        remarks.extend(restarts_traefik(&entry));
    }
    remarks.extend(nothing_to_serve(entries));
    remarks.extend(nobody_to_ask(entries));
    remarks
}

/// Some entry brings the pair to where Traefik looks for it, by itself or with its command.
pub(super) fn serves_the_mesh(entries: &CstArray) -> bool {
    SERVED.iter().all(|path| {
        objects(entries).iter().any(|entry| {
            ["deliver", "post_renewal_command"].iter().any(|key| source_of(entry, key).contains(path))
        })
    })
}

fn nothing_to_serve(entries: &CstArray) -> Option<String> {
    (!serves_the_mesh(entries)).then(|| {
        format!(
            "no entry brings {} and {} into LXC 102, which etc/traefik/dynamic/10-certificates.yml names: the mesh \
             would serve TRAEFIK DEFAULT CERT. Give the entry of the mesh these places in `deliver`, or write its own \
             into 10-certificates.yml",
            SERVED[0], SERVED[1]
        )
    })
}

/// The mesh lets in whoever has a client certificate, and Traefik's own is for Docker.
fn nobody_to_ask(entries: &CstArray) -> Option<String> {
    let another = |entry: &CstObject| {
        text_of(entry, "cert_type").as_deref() == Some("client")
            && text_of(entry, "common_name").as_deref() != Some(TRAEFIK_CLIENT)
    };
    (!objects(entries).iter().any(another)).then(|| {
        "no entry is a client certificate for the gateway, and the mesh lets nobody in without one: the entry \
         nginx-mesh-client of config/certificate-manifest.recommended.json and config/nginx/gateway.conf belong \
         together"
            .to_owned()
    })
}

fn without_effect(entry: &CstObject) -> Option<String> {
    let command = source_of(entry, "post_renewal_command");
    let (_, why) = WITHOUT_EFFECT.iter().find(|(words, _)| command.contains(words))?;
    Some(format!("the command of {} does not do what it is there for: {why}", name_of(entry)))
}

fn stops_containers(entry: &CstObject) -> Option<String> {
    source_of(entry, "post_renewal_command").contains("restart docker\"").then(|| {
        format!(
            "the command of {} stops every container of VM 1001 at each renewal: give the entry a `window`, or put \
             config/docker/nginx-docker-front.conf before dockerd, which is reloaded instead (docs/consumers.md)",
            name_of(entry)
        )
    })
}

fn restarts_traefik(entry: &CstObject) -> Option<String> {
    let command = source_of(entry, "post_renewal_command");
    (command.contains("restart traefik") && !command.contains("reload-or-restart traefik")).then(|| {
        let instead = if text_of(entry, "common_name").as_deref() == Some(TRAEFIK_CLIENT) {
            "Traefik reads this pair for every connection to Docker, so that the entry needs no command"
        } else {
            "`systemctl reload traefik` makes it serve a new certificate, and loses none"
        };
        format!(
            "the command of {} restarts Traefik, which loses requests at each renewal and gains nothing: {instead}",
            name_of(entry)
        )
    })
}

fn name_of(entry: &CstObject) -> String {
    text_of(entry, "common_name").unwrap_or_default()
}

/// A field as it is written, whatever it is; empty when there is none.
fn source_of(entry: &CstObject, key: &str) -> String {
    entry.get(key).and_then(|property| property.value()).map(|value| value.to_string()).unwrap_or_default()
}
