//! `integrate`: the edits of a tree, shown and written.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Scene;

const INSTALLED: &str = "tree/usr/local/phoenix_hypervisor";

impl Scene {
    /// A copy of the sample tree; its path.
    fn tree(&self) -> String {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrate/tests/tree");
        let copied = Command::new("cp").arg("-r").arg(sample).arg(self.path("tree")).status().unwrap();
        assert!(copied.success());
        self.path("tree").display().to_string()
    }
}

#[test]
fn a_tree_is_shown_what_it_needs_with_reasons_and_nothing_is_written() {
    let scene = Scene::new();
    let tree = scene.tree();
    let manifest = scene.path(INSTALLED).join("etc/certificate-manifest.json");
    let before = fs::read(&manifest).unwrap();
    let ended = scene.run(&["integrate", "--tree", &tree]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for words in [
        "# the Docker API on 2376 needs a server certificate from Step-CA\n",
        "--- a/usr/local/phoenix_hypervisor/etc/phoenix_hypervisor_config.json\n",
        "-            \"port\": \"2375\",\n",
        "add --apply to write them\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}\n{}", ended.stdout);
    }
    assert!(
        ended.stderr.contains("note: ") && ended.stderr.contains("`firewall.enabled` of VM 1001 is false")
    );
    assert_eq!(fs::read(&manifest).unwrap(), before);
}

#[test]
fn edits_are_written_once_with_backups() {
    let scene = Scene::new();
    let tree = scene.tree();
    let ended = scene.run(&["integrate", "--tree", &tree, "--apply"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("certificate-manifest.json.before-phoenix-certd"), "{}", ended.stdout);
    let again = scene.run(&["integrate", "--tree", &tree, "--apply"]);
    assert_eq!((again.code, &*again.stdout), (Some(0), "nothing to do: the tree has what it needs\n"));
    let document = scene.run(&["--json", "integrate", "--tree", &tree]).json();
    assert_eq!((&document["schema"], &document["changes"]), (&1.into(), &serde_json::json!([])));
}

#[test]
fn what_is_not_understood_is_refused_with_file_and_line() {
    let scene = Scene::new();
    let tree = scene.tree();
    let script = scene.path(INSTALLED).join("bin/vm_features/feature_install_docker_proxy.sh");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, text.replace("    systemctl restart", "    format_every_disk\n    systemctl restart"))
        .unwrap();
    let ended = scene.run(&["integrate", "--tree", &tree, "--apply"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("feature_install_docker_proxy.sh:27: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing is written"), "{}", ended.stderr);
    assert!(!scene.path("tree/etc/cron.d/certificate-renewal.before-phoenix-certd").exists());
    let nowhere = scene.run(&["integrate", "--tree", "/nowhere"]);
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("/nowhere is no phoenix_hypervisor tree"), "{}", nowhere.stderr);
}
