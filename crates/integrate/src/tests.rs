//! A whole tree, and texts that are not what they should be.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use phoenix_core::manifest::{Context, Manifest};
use phoenix_core::settings::Settings;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

mod back;
mod mesh;
mod odd;

const INSTALLED: &str = "usr/local/phoenix_hypervisor";

/// A copy of the sample tree.
fn tree() -> (TempDir, Tree) {
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tree")), dir.path());
    let tree = Tree::open(dir.path()).unwrap();
    (dir, tree)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn planned(tree: &Tree) -> Plan {
    plan(tree, &Addresses::default())
}

fn after<'a>(plan: &'a Plan, end: &str) -> &'a str {
    let found = plan.changes.iter().find(|change| change.path.ends_with(end));
    &found.unwrap_or_else(|| panic!("no change of {end}")).after
}

#[test]
fn everything_that_the_plan_asks_for_is_in_the_diff() {
    let (_dir, tree) = tree();
    let plan = planned(&tree);
    assert_eq!(plan.refusals, []);
    assert!(after(&plan, "certificate-manifest.json").contains("docker-daemon.internal.thinkheads.ai"));
    let template = after(&plan, "traefik.yml.template");
    for line in [
        "  swarm:",
        "    endpoint: \"tcp://10.0.0.111:2376\"  # plain",
        "      cert: /etc/traefik/certs/client-cert.pem",
        "        options: \"mesh-mtls@file\"",
        "      email: \"__ACME_EMAIL__\"",
    ] {
        assert!(template.lines().any(|found| found == line), "{line}\n{template}");
    }
    for gone in ["clientCA", "swarmMode", "docker:", "2375"] {
        assert!(!template.contains(gone), "{gone}\n{template}");
    }
    let script = after(&plan, "feature_install_docker_proxy.sh");
    assert!(script.contains("phoenix-certctl sync docker-daemon --until written"));
    assert!(script.contains("-H tcp://10.0.0.111:2376"));
    assert!(script.contains("\"log-driver\": \"journald\""), "other settings are kept:\n{script}");
    assert!(!script.contains("openssl") && !script.contains("2375") && !script.contains("\"hosts\":"));
    for file in ["phoenix_vm_configs.json", "phoenix_lxc_configs.json", "phoenix_hypervisor_config.json"] {
        assert!(!after(&plan, file).contains("2375"), "{file}");
    }
    assert_eq!(after(&plan, "phoenix_hypervisor_config.json").matches("2376").count(), 1, "not doubled");
    assert!(after(&plan, "phoenix_lxc_configs.json").contains("\"port\": 2376"), "a number stays one");
    assert!(!after(&plan, "etc/cron.d/certificate-renewal").contains("renewal-manager"));
    assert!(after(&plan, "etc/cron.d/certificate-renewal").contains("/usr/local/sbin/backup"));
    let remarks: String = plan.remarks.iter().map(ToString::to_string).collect();
    assert!(remarks.contains("`firewall.enabled` of VM 1001 is false"), "{remarks}");
    assert!(remarks.contains("haproxy.cfg: line 5 names port 2375"), "{remarks}");
    for (file, content) in
        [("00-tls-options.yml", "RequireAndVerifyClientCert"), ("10-certificates.yml", "defaultCertificate")]
    {
        assert!(after(&plan, &format!("etc/traefik/dynamic/{file}")).contains(content), "{file}");
        let installer = after(&plan, "phoenix_hypervisor_feature_install_traefik.sh");
        assert!(installer.contains("pct push") && installer.contains(file), "{installer}");
    }
    let renewal = after(&plan, "hypervisor_feature_setup_auto_renewal.sh");
    assert!(!renewal.contains("CRON_JOB_LINE") && renewal.contains("phoenix-certd.service"), "{renewal}");
    assert!(
        after(&plan, "phoenix_vm_configs.json").contains("\"enabled\": false"),
        "pointed out, not changed"
    );
}

/// Rules of the firewall of a guest.
fn rules(plan: &Plan, file: &str, way: &str) -> Vec<serde_json::Value> {
    let document: serde_json::Value = serde_json::from_str(after(plan, file)).unwrap();
    document.pointer(way).and_then(serde_json::Value::as_array).unwrap().clone()
}

#[test]
fn the_hypervisor_may_probe_what_it_renews_before_any_rule_that_drops() {
    let (_dir, tree) = tree();
    let plan = planned(&tree);
    let vms = rules(&plan, "phoenix_vm_configs.json", "/vms/0/firewall/rules");
    let containers = rules(&plan, "phoenix_lxc_configs.json", "/lxc_configs/102/firewall/rules");
    for (rules, port) in [(&vms, "2376"), (&containers, "8443")] {
        let probe = rules.iter().position(|rule| rule["source"] == "10.0.0.13").unwrap();
        let rule = &rules[probe];
        assert_eq!((&rule["type"], &rule["action"]), (&"in".into(), &"ACCEPT".into()), "{rule}");
        assert_eq!((&rule["proto"], &rule["port"]), (&"tcp".into(), &port.into()), "{rule}");
        let drops = rules.iter().position(|rule| rule["action"] == "DROP");
        assert!(drops.is_none_or(|drops| probe < drops), "{rules:?}");
    }
    assert!(vms.iter().any(|rule| rule["action"] == "DROP"), "the sample has no such rule");
    let elsewhere = Addresses { hypervisor: "192.0.2.9".into(), docker: "192.0.2.10".into() };
    let plan = super::plan(&tree, &elsewhere);
    assert!(after(&plan, "phoenix_vm_configs.json").contains("192.0.2.9"));
    assert!(after(&plan, "feature_install_docker_proxy.sh").contains("tcp://192.0.2.10:2376"));
}

#[test]
fn what_is_not_touched_stays_as_it_was_written() {
    let (_dir, tree) = tree();
    for change in planned(&tree).changes {
        let Some(before) = &change.before else { continue };
        let diff = change.diff();
        let removed = diff.lines().filter(|line| line.starts_with('-') && !line.starts_with("---")).count();
        let added = diff.lines().filter(|line| line.starts_with('+') && !line.starts_with("+++")).count();
        assert_eq!(change.after.lines().count() + removed, before.lines().count() + added, "{diff}");
        if change.path.ends_with("certificate-manifest.json") {
            assert_eq!(removed, 1, "the last field gets a comma, and nothing else moves:\n{diff}");
        }
    }
}

#[test]
fn the_new_manifest_is_valid_and_delivers_what_the_plan_asks_for() {
    let (_dir, tree) = tree();
    let plan = planned(&tree);
    let config = include_str!("../../../config/certd.toml");
    let settings = Settings::parse(config, "certd.toml").unwrap();
    let parsed = Manifest::parse(after(&plan, "certificate-manifest.json"), &Context::of(&settings));
    assert!(!parsed.diagnostics.has_errors(), "{:?}", parsed.diagnostics.located());
    let manifest = parsed.manifest.unwrap();
    let client = manifest.find("traefik-client").unwrap();
    let delivery = serde_json::to_value(&client.delivery).unwrap().to_string();
    for file in ["ca.pem", "client-cert.pem", "client-key.pem"] {
        assert!(delivery.contains(&format!("/etc/traefik/certs/{file}")), "{delivery}");
    }
    assert_eq!(client.guest.unwrap().id, 102);
    let command = manifest.find("docker-daemon").unwrap().command.as_ref().unwrap();
    assert_eq!(command.argv.last().map(String::as_str), Some("docker"), "dockerd itself holds the port");
}

#[test]
fn a_second_run_finds_nothing_to_do_and_the_backups_hold_what_was_there() {
    let (dir, tree) = tree();
    let script = dir.path().join(INSTALLED).join("bin/vm_features/feature_install_docker_proxy.sh");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).unwrap();
    let plan = planned(&tree);
    let applied = apply(&tree, &plan).unwrap();
    assert_eq!(applied.written.len(), plan.changes.len());
    for change in &plan.changes {
        let path = dir.path().join(&change.path);
        assert_eq!(fs::read_to_string(&path).unwrap(), change.after);
        if let Some(before) = &change.before {
            let backup = format!("{}.before-phoenix-certd", path.display());
            assert_eq!(fs::read_to_string(backup).unwrap(), *before);
        }
    }
    assert_eq!(fs::metadata(&script).unwrap().mode() & 0o777, 0o750);
    let again = planned(&tree);
    assert_eq!(again.changes, []);
    assert_eq!(again.refusals, []);
}

#[test]
fn an_installation_without_the_root_above_it_is_a_tree_too() {
    let (dir, _) = tree();
    let tree = Tree::open(&dir.path().join(INSTALLED)).unwrap();
    let plan = planned(&tree);
    assert!(plan.changes.iter().any(|change| change.path == Path::new("etc/certificate-manifest.json")));
    assert!(matches!(Tree::open(&dir.path().join("etc")), Err(TreeError::NotATree(_))));
}

#[test]
fn what_is_not_understood_is_refused_with_its_line_and_nothing_is_written() {
    let cases: [(&str, &str, &str, &str, usize, &str); 8] = [
        ("etc/certificate-manifest.json", "    },\n    {", "    }\n    {", "comma", 10, "is not valid JSON"),
        ("etc/phoenix_vm_configs.json", "{\n", "{\n  // a comment\n", "comment", 2, "is not valid JSON"),
        ("etc/phoenix_vm_configs.json", "\"vms\"", "\"machines\"", "vms", 1, "no array `vms`"),
        ("etc/phoenix_lxc_configs.json", "lxc_configs", "containers", "lxc", 1, "no object `lxc_configs`"),
        (
            "etc/traefik/traefik.yml.template",
            "    http:\n      tls:\n        options: mesh-mtls\n",
            "    http: {tls: {options: mesh-mtls}}\n",
            "flow",
            12,
            "write it as a block",
        ),
        (
            "etc/traefik/traefik.yml.template",
            "    directory: /etc/traefik/dynamic\n",
            "    filename: /etc/traefik/routers.yml\n",
            "file",
            22,
            "the one file /etc/traefik/routers.yml",
        ),
        (
            "bin/vm_features/feature_install_docker_proxy.sh",
            "    systemctl restart docker",
            "    reboot_all_machines\n    systemctl restart docker",
            "unknown",
            27,
            "`reboot_all_machines`",
        ),
        (
            "bin/hypervisor_setup/hypervisor_feature_setup_auto_renewal.sh",
            "CURRENT_CRON=$(",
            "rm -rf /var/tmp/old\nCURRENT_CRON=$(",
            "more",
            8,
            "does something else as well: `rm`",
        ),
    ];
    for (file, old, new, what, line, message) in cases {
        let (dir, tree) = tree();
        let path = dir.path().join(INSTALLED).join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{what}");
        fs::write(&path, text.replacen(old, new, 1)).unwrap();
        let plan = planned(&tree);
        let [refusal] = &plan.refusals[..] else { panic!("{what}: {:?}", plan.refusals) };
        assert!(refusal.path.ends_with(file), "{what}");
        assert_eq!(refusal.line, Some(line), "{what}: {refusal}");
        assert!(refusal.message.contains(message), "{what}: {refusal}");
        assert!(matches!(apply(&tree, &plan), Err(ApplyError::Refused(1))), "{what}");
        assert!(!dir.path().join("etc/cron.d/certificate-renewal.before-phoenix-certd").exists(), "{what}");
    }
}

#[test]
fn a_file_that_changed_after_the_plan_is_not_overwritten() {
    let (dir, tree) = tree();
    let plan = planned(&tree);
    let path = dir.path().join(INSTALLED).join("etc/phoenix_vm_configs.json");
    fs::write(&path, "{\"vms\": []}").unwrap();
    assert!(matches!(apply(&tree, &plan), Err(ApplyError::Changed(_))));
    assert_eq!(fs::read_to_string(path).unwrap(), "{\"vms\": []}");
}

#[test]
fn a_template_without_anything_gets_everything() {
    let edited = traefik::edit("log:\n  level: INFO\n", &Addresses::default()).unwrap();
    let again = traefik::edit(&edited.text, &Addresses::default()).unwrap();
    assert_eq!(again.text, edited.text);
    for way in [
        &["providers", "swarm", "tls", "key"][..],
        &["providers", "file", "directory"],
        &["entryPoints", "mesh", "http", "tls", "options"],
    ] {
        assert!(
            yaml::Yaml::parse(&edited.text).unwrap().find(way).unwrap().is_some(),
            "{way:?}\n{}",
            edited.text
        );
    }
}

/// Lines that such files are made of, in any order.
fn lines(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let line = (0_usize..4, proptest::sample::select(words))
        .prop_map(|(depth, word)| "  ".repeat(depth) + word + "\n");
    proptest::collection::vec(line, 0..24).prop_map(|lines| lines.concat())
}

const YAML: &[&str] = &[
    "providers:",
    "docker:",
    "swarm:",
    "tls:",
    "http:",
    "entryPoints:",
    "mesh:",
    "options: x",
    "- a",
    "endpoint: tcp://x:2375",
    "{}",
    "file:",
    "filename: /etc/traefik/dynamic/a.yml",
    "# comment",
    "tls: {}",
    "mesh: {}",
    "key: \"a: #b\"",
    "---",
    "",
];
const SHELL: &[&str] = &[
    "main() {",
    "}",
    "main \"$@\"",
    "openssl x \\",
    "cat > /etc/docker/daemon.json <<EOF",
    "{}",
    "EOF",
    "if x; then",
    "fi",
    "echo 'a",
    "b'",
    "# comment",
    "",
    "x=$(y <<'E')",
    "E",
    "crontab certificate-renewal-manager.sh",
];

proptest! {
    #[test]
    fn no_template_makes_it_panic_and_edits_are_idempotent(text in lines(YAML)) {
        if let Ok(edited) = traefik::edit(&text, &Addresses::default()) {
            let again = traefik::edit(&edited.text, &Addresses::default());
            prop_assert_eq!(again.map(|again| again.text), Ok(edited.text));
        }
    }

    #[test]
    fn no_script_makes_it_panic_and_edits_are_idempotent(text in lines(SHELL)) {
        let docker = |text: &str| docker::edit(text, &Addresses::default());
        for edit in [&cron::edit_script as &dyn Fn(&str) -> Edit, &docker] {
            if let Ok(edited) = edit(&text) {
                prop_assert_eq!(edit(&edited.text).map(|again| again.text), Ok(edited.text));
            }
        }
        let installed = traefik::edit_installer(&text).text;
        prop_assert_eq!(&traefik::edit_installer(&installed).text, &installed);
    }

    #[test]
    fn no_json_makes_it_panic(text in "[\\[\\]{}:,\"a-z0-9 \n]{0,200}") {
        let _ = manifest::edit(&text);
        let _ = firewall::edit_vms(&text, &Addresses::default());
        let _ = firewall::edit_containers(&text, &Addresses::default());
        let _ = firewall::edit_global(&text, &Addresses::default());
    }
}
