//! `integrate`: the edits of a tree, shown and written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

#[test]
fn what_was_written_is_taken_back_once_and_what_was_changed_since_is_told() {
    let scene = Scene::new();
    let tree = scene.tree();
    let revert = ["integrate", "--tree", &tree, "--revert"];
    assert_eq!(scene.run(&["integrate", "--tree", &tree, "--apply"]).code, Some(0));
    let vms = scene.path(INSTALLED).join("etc/phoenix_vm_configs.json");
    fs::write(&vms, "{}").unwrap();
    let ended = scene.run(&revert);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("restored: etc/cron.d/certificate-renewal\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("dynamic/00-tls-options.yml\n"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("left: usr/local/phoenix_hypervisor/etc/phoenix_vm_configs.json: was changed")
    );
    fs::rename(format!("{}.before-phoenix-certd", vms.display()), &vms).unwrap();
    let document = scene.run(&[&["--json"][..], &revert].concat()).json();
    assert_eq!(document, serde_json::json!({"schema": 1, "restored": [], "removed": [], "left": []}));
    let again = scene.run(&revert);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("nothing to take back"), "{}", again.stdout);
    let both = scene.run(&["integrate", "--tree", &tree, "--apply", "--revert"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}

/// The commands of the document's blocks, in their order.
fn commands_of(document: &str) -> String {
    let mut inside = false;
    let mut commands = String::new();
    for line in document.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => commands.extend([line, "\n"]),
            _ => {}
        }
    }
    commands
}

/// Every file below a directory: its mode and its content.
fn files(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            let content = fs::read(&path).unwrap();
            found.insert(path, (mode, content));
        }
    }
    found
}

#[test]
fn the_way_there_and_back_of_the_document_leaves_every_byte_as_it_was() {
    let scene = Scene::new();
    let tree = scene.tree();
    let put = |file: &str, text: &str, mode: u32| {
        let path = scene.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let script = format!("{INSTALLED}/bin/managers/certificate-renewal-manager.sh");
    let call = "/usr/local/phoenix_hypervisor/bin/managers/certificate-renewal-manager.sh\n";
    put(&script, "#!/bin/bash\necho the old one\n", 0o750);
    put("tree/var/spool/cron/crontabs/root", &format!("0 * * * * {call}"), 0o600);
    put("tree/etc/cron.monthly/renew", &format!("#!/bin/sh\n{call}"), 0o755);
    let log = scene.path("log");
    for (name, deed) in [
        ("systemctl", ""),
        ("phoenix-certd", ""),
        (
            "phoenix-certctl",
            concat!("[ $1 != integrate ] || exec ", env!("CARGO_BIN_EXE_phoenix-certctl"), " \"$@\""),
        ),
    ] {
        let text = format!("#!/bin/sh\necho {name} \"$@\" >> {}\n{deed}\n", log.display());
        put(&format!("bin/{name}"), &text, 0o755);
    }
    let before = files(Path::new(&tree));
    let document = include_str!("../../../../docs/migration.md");
    let (there, back) = document.split_once("## The way back").unwrap();
    let run = |text: &str| {
        let commands = commands_of(text)
            .replace("--tree /", &format!("--tree {tree}"))
            .replace("/usr/local/", &format!("{tree}/usr/local/"));
        let path = format!("{}:{}", scene.path("bin").display(), std::env::var("PATH").unwrap());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &commands]).env("PATH", path).current_dir(repository);
        let ended = super::Ended::of(shell.output().unwrap());
        assert_eq!(ended.code, Some(0), "{commands}\n{ended:?}");
    };
    for _ in 1..=2 {
        run(there);
        assert_ne!(files(Path::new(&tree)), before);
    }
    let asked = fs::read_to_string(&log).unwrap();
    let (starts, edits) = (asked.find("systemctl enable").unwrap(), asked.find("--apply").unwrap());
    assert!(starts < edits, "the service runs before the old job goes:\n{asked}");
    for _ in 1..=2 {
        run(back);
        assert_eq!(files(Path::new(&tree)), before);
    }
}
