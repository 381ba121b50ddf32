//! `validate`, and `status` from files alone.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::pki::{Ca, DAY, Pair};
use super::{Ended, Scene};

impl Scene {
    /// Writes a configuration whose target root and issuer lie in this scene.
    pub(super) fn configure(&self, ca: &Ca) {
        std::fs::create_dir_all(self.path("certs")).unwrap();
        std::fs::write(self.path("root.crt"), ca.root()).unwrap();
        let dir = self.dir.path().display();
        let config = format!(
            "manifest = \"{dir}/manifest.json\"\n\
             [executor]\ntarget_roots = [\"{dir}/certs\"]\n\
             [[issuer]]\nname = \"phoenix\"\ntype = \"step-ca\"\nurl = \"https://ca.internal:9000\"\n\
             root = \"{dir}/root.crt\"\nprovisioner = \"admin\"\npassword_file = \"{dir}/password\"\n"
        );
        std::fs::write(self.path("certd.toml"), config).unwrap();
    }

    pub(super) fn manifest(&self, manifest: &Value) -> PathBuf {
        let path = self.path("manifest.json");
        std::fs::write(&path, serde_json::to_vec_pretty(manifest).unwrap()).unwrap();
        path
    }

    /// An entry of the manifest; its files are `NAME.pem` and `NAME.key`.
    pub(super) fn entry(&self, name: &str) -> Value {
        let dir = self.path("certs");
        json!({
            "common_name": format!("{name}.internal.thinkheads.ai"),
            "cert_path": dir.join(format!("{name}.pem")),
            "key_path": dir.join(format!("{name}.key")),
        })
    }

    pub(super) fn install(&self, name: &str, pair: &Pair) {
        std::fs::write(self.path("certs").join(format!("{name}.pem")), &pair.chain).unwrap();
        std::fs::write(self.path("certs").join(format!("{name}.key")), &pair.key).unwrap();
    }
}

fn common_name(name: &str) -> String {
    format!("{name}.internal.thinkheads.ai")
}

#[test]
fn a_good_configuration_is_valid() {
    let scene = Scene::new();
    scene.configure(&Ca::new());
    let path = scene.path("certd.toml");
    let ended = scene.run(&["validate", path.to_str().unwrap()]);
    assert_eq!(ended.stdout, format!("{}: nothing to complain about\n", path.display()));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_wrong_configuration_is_shown_with_its_place_also_on_the_way_to_the_manifest() {
    let scene = Scene::new();
    let path = scene.path("certd.toml");
    std::fs::write(&path, "manifesto = \"/m.json\"\n").unwrap();
    for arguments in [&["validate", path.to_str().unwrap()][..], &["validate"]] {
        let ended = scene.run(arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
        assert!(ended.stdout.contains(&format!("{}:1:1", path.display())), "{}", ended.stdout);
        assert!(ended.stdout.contains("did you mean `manifest`?"), "{}", ended.stdout);
        assert!(!ended.stdout.contains('\u{1b}'), "{}", ended.stdout);
    }
    let document = scene.run(&["validate", "--json"]).json();
    assert_eq!(document["valid"], false);
    assert_eq!(document["diagnostics"][0]["line"], 1);
}

#[test]
fn a_manifest_is_not_checked_without_a_configuration() {
    let scene = Scene::new();
    let manifest = scene.manifest(&json!([]));
    let ended = scene.run(&["validate", manifest.to_str().unwrap()]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("cannot read the configuration"), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("target roots and commands of the configuration\n"), "{}", ended.stderr);
}

#[test]
fn warnings_fail_a_validation_only_where_it_is_strict() {
    let scene = Scene::new();
    scene.configure(&Ca::new());
    let mut entry = scene.entry("docker-daemon");
    scene.manifest(&json!([entry]));
    for arguments in [&["validate"][..], &["validate", "--strict"]] {
        let ended = scene.run(arguments);
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
        assert!(
            ended.stdout.contains("manifest.json: 1 entry, nothing to complain about\n"),
            "{}",
            ended.stdout
        );
        let proposed = "\"verify\": {\"refuse_without_client\":true,\"tls\":\"";
        assert!(ended.stdout.contains(proposed), "{}", ended.stdout);
    }
    entry["sanz"] = json!("10.0.0.111");
    scene.manifest(&json!([entry]));
    assert_eq!(scene.run(&["validate"]).code, Some(0));
    let ended = scene.run(&["validate", "--strict"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("did you mean `sans`?"), "{}", ended.stdout);
}

#[test]
fn errors_fail_a_validation_and_are_all_there_as_json() {
    let scene = Scene::new();
    scene.configure(&Ca::new());
    let mut entry = scene.entry("docker-daemon");
    entry["permissions"] = json!(600);
    entry["cert_path"] = json!("/etc/outside.pem");
    scene.manifest(&json!([entry, scene.entry("nginx")]));
    let ended = scene.run(&["validate", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let document = ended.json();
    assert_eq!(document["valid"], false);
    assert_eq!(document["entries"], 1);
    assert_eq!(document["diagnostics"].as_array().unwrap().len(), 2, "{document}");
}

#[test]
fn a_manifest_that_is_not_there_or_not_text_is_an_error() {
    let scene = Scene::new();
    scene.configure(&Ca::new());
    let ended = scene.run(&["validate"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("cannot read the file: No such file or directory"), "{}", ended.stdout);
    std::fs::write(scene.path("manifest.json"), b"[\xff]").unwrap();
    let ended = scene.run(&["validate"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("this is not UTF-8 text: here is the byte"), "{}", ended.stdout);
}

/// `status` without a daemon: the states by name, and the whole report.
fn offline(scene: &Scene) -> (Vec<(String, String)>, Value) {
    let ended = scene.run(&["status", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("the daemon is not running: there is no socket"), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("This report is made from the files alone.\n"), "{}", ended.stderr);
    let report = ended.json();
    assert_eq!(report["daemon"]["running"], false);
    let entries = report["certificates"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (entries.iter().map(|entry| (text(&entry["name"]), text(&entry["state"]))).collect(), report)
}

#[test]
fn the_files_alone_tell_the_state_of_every_entry() {
    let (scene, ca) = (Scene::new(), Ca::new());
    scene.configure(&ca);
    let names = ["ok", "due", "expired", "missing", "mismatch", "foreign", "garbage", "renamed"];
    let mut entries: Vec<Value> = names.iter().map(|name| scene.entry(name)).collect();
    let mut paused = scene.entry("paused");
    paused["paused"] = json!(true);
    entries.push(paused);
    entries.push(json!({"name": "half", "common_name": "half.internal"}));
    scene.manifest(&json!(entries));

    let install =
        |name: &str, age, lifetime| scene.install(name, &ca.pair(&common_name(name), age, lifetime));
    install("ok", DAY, DAY * 30);
    install("due", DAY * 21, DAY * 30);
    install("expired", DAY * 31, DAY * 30);
    install("paused", DAY, DAY * 30);
    let [a, b] = [(), ()].map(|()| ca.pair(&common_name("mismatch"), DAY, DAY * 30));
    scene.install("mismatch", &Pair { chain: a.chain, key: b.key });
    scene.install("foreign", &Ca::new().pair(&common_name("foreign"), DAY, DAY * 30));
    scene.install("garbage", &Pair { chain: "rubbish".into(), key: "rubbish".into() });
    scene.install("renamed", &ca.pair("other.internal", DAY, DAY * 30));

    let (states, report) = offline(&scene);
    let states: Vec<(&str, &str)> =
        states.iter().map(|(name, state)| (name.as_str(), state.as_str())).collect();
    assert_eq!(
        states,
        [
            ("ok", "ok"),
            ("due", "due"),
            ("expired", "expired"),
            ("missing", "missing"),
            ("mismatch", "invalid"),
            ("foreign", "invalid"),
            ("garbage", "invalid"),
            ("renamed", "due"),
            ("paused", "paused"),
            ("half", "invalid"),
        ]
    );
    let reasons: Vec<&Value> =
        report["certificates"].as_array().unwrap().iter().map(|entry| &entry["reason"]).collect();
    assert_eq!(
        json!(reasons),
        json!([
            null,
            "due",
            "expired",
            "missing",
            "key-mismatch",
            "issuer",
            "unreadable",
            "names-differ",
            "paused",
            "manifest-error"
        ])
    );
    let ok = &report["certificates"][0];
    assert_eq!(ok["serial"], "0fff");
    assert_eq!(ok["issuer"], "phoenix");
    assert_eq!(
        ok["deployment"],
        json!({"written": "done", "delivered": "none", "activated": "none", "verified": "none"})
    );
    assert_eq!(report["certificates"][3]["deployment"]["written"], "pending");
}

#[test]
fn what_only_the_daemon_knows_stays_unknown() {
    let (scene, ca) = (Scene::new(), Ca::new());
    scene.configure(&ca);
    let mut entry = scene.entry("docker-daemon");
    entry["guest_id"] = json!(1001);
    entry["guest_type"] = json!("vm");
    entry["post_renewal_command"] = json!("/usr/sbin/qm guest exec 1001 -- systemctl restart docker");
    scene.manifest(&json!([entry]));
    scene.install("docker-daemon", &ca.pair(&common_name("docker-daemon"), DAY, DAY * 30));
    let (_, report) = offline(&scene);
    assert_eq!(
        report["certificates"][0]["deployment"],
        json!({"written": "done", "delivered": "unknown", "activated": "unknown", "verified": "none"})
    );
    let ended = scene.run(&["status", "docker-daemon"]);
    assert!(ended.stdout.contains("written, delivery unknown"), "{}", ended.stdout);
}

#[test]
fn a_fifo_in_place_of_a_certificate_hangs_nothing() {
    let (scene, ca) = (Scene::new(), Ca::new());
    scene.configure(&ca);
    scene.manifest(&json!([scene.entry("a")]));
    let fifo = scene.path("certs").join("a.pem");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (states, report) = offline(&scene);
    assert_eq!(states, [("a".to_owned(), "invalid".to_owned())]);
    let said = format!("{}: it is not a regular file", fifo.display());
    assert_eq!(report["certificates"][0]["warnings"], json!([said]));
}

#[test]
fn the_state_of_the_manifest_itself_is_reported() {
    let scene = Scene::new();
    scene.configure(&Ca::new());
    let (states, report) = offline(&scene);
    assert!(states.is_empty());
    assert_eq!(report["daemon"]["manifest"]["state"], "missing");
    std::fs::write(scene.path("manifest.json"), "[{").unwrap();
    let (_, report) = offline(&scene);
    assert_eq!(report["daemon"]["manifest"]["state"], "stale");
    let ended: Ended = scene.run(&["status"]);
    assert!(
        ended.stdout.starts_with("There are no certificates to show: the manifest is "),
        "{}",
        ended.stdout
    );
}

#[test]
fn an_unknown_name_ends_with_4_without_the_daemon_too() {
    let scene = Scene::new();
    scene.configure(&Ca::new());
    scene.manifest(&json!([scene.entry("docker-daemon")]));
    let ended = scene.run(&["status", "docker"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""));
    assert!(ended.stderr.ends_with("did you mean `docker-daemon`?\n"), "{}", ended.stderr);
}
