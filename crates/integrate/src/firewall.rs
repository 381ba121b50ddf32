//! Firewall rules: the Docker API moves from 2375 to 2376, and the hypervisor probes what it renews.

use jsonc_parser::cst::{CstArray, CstNode, CstObject};

use crate::json::{Document, bool_of, objects, text_of, texts};
use crate::{Addresses, Edit, Unclear};

/// The port of the Docker API without TLS.
pub(crate) const OLD: &str = "2375";
const NEW: &str = "2376";
/// Traefik's mTLS entry point.
const MESH: &str = "8443";
/// The swarm manager.
const DOCKER_VM: &str = "1001";
/// Traefik.
const TRAEFIK: &str = "102";
/// What tells rules apart.
const SAME: &[&str] = &["type", "action", "source", "dest", "proto"];

/// `phoenix_vm_configs.json`
pub(crate) fn edit_vms(text: &str, addresses: &Addresses) -> Edit {
    let document = Document::parse(text)?;
    let vms = document.object()?.array_value("vms").ok_or_else(|| Unclear::new(1, "has no array `vms`"))?;
    let vm = objects(&vms).into_iter().find(|vm| text_of(vm, "vmid").as_deref() == Some(DOCKER_VM));
    let mut work = Work::default();
    match vm {
        Some(vm) => work.guest(&vm, "VM 1001", NEW, &addresses.hypervisor),
        None => work.remarks.push("has no VM 1001: nothing was planned for its firewall".to_owned()),
    }
    Ok(document.finish(text, work.reasons, work.remarks))
}

/// `phoenix_lxc_configs.json`
pub(crate) fn edit_containers(text: &str, addresses: &Addresses) -> Edit {
    let document = Document::parse(text)?;
    let containers = document
        .object()?
        .object_value("lxc_configs")
        .ok_or_else(|| Unclear::new(1, "has no object `lxc_configs`"))?;
    let mut work = Work::default();
    match containers.object_value(TRAEFIK) {
        Some(container) => work.guest(&container, "LXC 102", MESH, &addresses.hypervisor),
        None => work.remarks.push("has no LXC 102: nothing was planned for its firewall".to_owned()),
    }
    Ok(document.finish(text, work.reasons, work.remarks))
}

/// `phoenix_hypervisor_config.json`: the rules of the cluster, where 2375 is easily forgotten.
pub(crate) fn edit_global(text: &str, _: &Addresses) -> Edit {
    let document = Document::parse(text)?;
    let root = document.object()?;
    let mut work = Work::default();
    let sections = [
        root.object_value("firewall"),
        root.object_value("shared_volumes").and_then(|volumes| volumes.object_value("firewall")),
    ];
    for section in sections.into_iter().flatten() {
        if let Some(rules) = section.array_value("global_firewall_rules") {
            work.move_port(&rules, "the global rules");
        }
    }
    Ok(document.finish(text, work.reasons, work.remarks))
}

#[derive(Default)]
struct Work {
    reasons: Vec<String>,
    remarks: Vec<String>,
}

impl Work {
    fn guest(&mut self, guest: &CstObject, who: &str, probed: &str, hypervisor: &str) {
        let Some(firewall) = guest.object_value("firewall") else {
            self.remarks.push(format!("{who} has no `firewall`: nothing was planned for it"));
            return;
        };
        if bool_of(&firewall, "enabled") == Some(false) {
            self.remarks.push(format!(
                "`firewall.enabled` of {who} is false: its rules are not in force. That is left as it is"
            ));
        }
        let rules = firewall.array_value_or_set("rules");
        self.move_port(&rules, who);
        self.allow_probe(&rules, who, probed, hypervisor);
    }

    /// Moves rules from the old port to the new one; one that stands there already is not doubled.
    fn move_port(&mut self, rules: &CstArray, who: &str) {
        let all = objects(rules);
        for (index, rule) in all.iter().enumerate() {
            if text_of(rule, "port").as_deref() != Some(OLD) {
                continue;
            }
            let twin = all.iter().enumerate().any(|(other, twin)| {
                other != index && text_of(twin, "port").as_deref() == Some(NEW) && same(rule, twin)
            });
            if twin {
                rule.clone().remove();
                self.reasons
                    .push(format!("{who}: the rule for {NEW} is there already, the one for {OLD} goes"));
            } else {
                set_port(rule);
                self.reasons.push(format!("{who}: the Docker API is on {NEW} now, {OLD} is closed"));
            }
        }
    }

    fn allow_probe(&mut self, rules: &CstArray, who: &str, port: &str, hypervisor: &str) {
        let there = objects(rules).iter().any(|rule| {
            let is = |key: &str, wanted: &str| text_of(rule, key).as_deref() == Some(wanted);
            is("type", "in") && is("action", "ACCEPT") && is("port", port) && is("source", hypervisor)
        });
        if there {
            return;
        }
        let rule = texts(&[
            ("type", "in"),
            ("action", "ACCEPT"),
            ("source", hypervisor),
            ("proto", "tcp"),
            ("port", port),
            ("comment", "Allow phoenix-certd on the hypervisor to see which certificate is served"),
        ]);
        // The first rule that fits counts: behind one that drops, it would be of no use.
        match objects(rules).iter().position(turns_away) {
            Some(at) => rules.insert(at, rule),
            None => rules.append(rule),
        };
        self.reasons.push(format!(
            "{who}: phoenix-certd on {hypervisor} looks at port {port} whether the new certificate is served"
        ));
    }
}

fn turns_away(rule: &CstObject) -> bool {
    let is =
        |key: &str, wanted: &[&str]| text_of(rule, key).is_some_and(|text| wanted.contains(&text.as_str()));
    is("type", &["in"]) && is("action", &["DROP", "REJECT"])
}

fn same(one: &CstObject, other: &CstObject) -> bool {
    SAME.iter().all(|key| text_of(one, key) == text_of(other, key))
}

/// Keeps the way the port was written, as text or as a number.
fn set_port(rule: &CstObject) {
    let value = rule.get("port").and_then(|property| property.value());
    if let Some(text) = value.as_ref().and_then(CstNode::as_string_lit) {
        text.set_raw_value(format!("\"{NEW}\""));
    } else if let Some(number) = value.as_ref().and_then(CstNode::as_number_lit) {
        number.set_raw_value(NEW.to_owned());
    }
    let comment = rule.get("comment").and_then(|property| property.value());
    if let Some(comment) = comment.as_ref().and_then(CstNode::as_string_lit) {
        comment.set_raw_value(comment.raw_value().replace(OLD, NEW));
    }
}
