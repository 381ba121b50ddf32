//! The mesh after the edits: what it serves, whom it lets in, and what the stacks find there.

use std::collections::BTreeSet;

use super::*;

const CERTS: &str = "/etc/traefik/certs/";
const MANIFEST: &str = "etc/certificate-manifest.json";

fn edit_file(dir: &TempDir, file: &str, old: &str, new: &str) {
    let path = dir.path().join(INSTALLED).join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{file} has no {old}");
    fs::write(&path, text.replace(old, new)).unwrap();
}

/// What Traefik is told to read from its directory of certificates, by the planned files of the tree.
fn read_by_traefik(plan: &Plan) -> BTreeSet<String> {
    let files = ["traefik.yml.template", "00-tls-options.yml", "10-certificates.yml", "20-internal.yml"];
    let words = files.iter().flat_map(|file| after(plan, file).split([' ', '\n', '"']));
    words.filter(|word| word.starts_with(CERTS)).map(str::to_owned).collect()
}

fn remarks_of(plan: &Plan) -> String {
    plan.remarks.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn manifest_of(text: &str) -> Manifest {
    let settings = Settings::parse(include_str!("../../../../config/certd.toml"), "certd.toml").unwrap();
    let parsed = Manifest::parse(text, &Context::of(&settings));
    assert!(!parsed.diagnostics.has_errors(), "{:?}", parsed.diagnostics.located());
    parsed.manifest.unwrap()
}

#[test]
fn whatever_traefik_is_told_to_read_is_delivered_by_an_entry_of_the_same_plan() {
    let (_dir, tree) = tree();
    let plan = planned(&tree);
    let manifest = manifest_of(after(&plan, "certificate-manifest.json"));
    let deliveries: Vec<_> = manifest
        .entries
        .iter()
        .filter(|entry| entry.guest.is_some_and(|guest| guest.id == 102))
        .map(|entry| serde_json::to_string(&entry.delivery).unwrap())
        .collect();
    let read = read_by_traefik(&plan);
    for file in ["ca.pem", "client-cert.pem", "client-key.pem", "mesh-cert.pem", "mesh-key.pem"] {
        assert!(read.contains(&format!("{CERTS}{file}")), "{file}: {read:?}");
    }
    for path in read {
        assert!(deliveries.iter().any(|places| places.contains(&path)), "{path}: {deliveries:?}");
    }
    assert!(!remarks_of(&plan).contains("TRAEFIK DEFAULT CERT"), "{}", remarks_of(&plan));
    let mesh = serde_json::to_string(&manifest.find("traefik").unwrap().verify).unwrap();
    assert!(mesh.contains("traefik-client"), "nobody else has a client certificate here: {mesh}");
}

#[test]
fn an_entry_that_brings_the_meshs_pair_elsewhere_is_pointed_out_and_one_that_brings_it_is_enough() {
    let entry = |name: &str, more: &str| {
        format!(
            "[\n    {{\n        \"common_name\": \"{name}.internal.thinkheads.ai\", \"guest_id\": 102, \"guest_type\": \
             \"lxc\",\n        \"cert_path\": \"/mnt/pve/quickOS/m.pem\", \"key_path\": \"/mnt/pve/quickOS/m.key\", \
             {more}\n    }},"
        )
    };
    let places = |cert: &str, key: &str| format!("\"deliver\": {{\"cert\": \"{cert}\", \"key\": \"{key}\"}}");
    let ours = places("/etc/traefik/certs/mesh-cert.pem", "/etc/traefik/certs/mesh-key.pem");
    let legacy = "\"post_renewal_command\": \"pct exec 102 -- /bin/sh -c 'mv /tmp/cert.pem \
                  /etc/traefik/certs/mesh-cert.pem; mv /tmp/key.pem /etc/traefik/certs/mesh-key.pem'\"";
    let cases = [
        (entry("traefik", &places("/etc/traefik/a.pem", "/etc/traefik/b.pem")), true, 1),
        (entry("traefik", &ours), false, 1),
        (entry("traefik", legacy), false, 1),
        (entry("mesh", &ours), false, 0),
    ];
    for (entry, told, named) in cases {
        let (dir, tree) = tree();
        edit_file(
            &dir,
            MANIFEST,
            "[\n    {\n        \"common_name\": \"nginx.",
            &(entry.clone() + "\n    {\n        \"common_name\": \"nginx."),
        );
        let plan = planned(&tree);
        assert_eq!(plan.refusals, []);
        assert_eq!(
            remarks_of(&plan).contains("TRAEFIK DEFAULT CERT"),
            told,
            "{entry}\n{}",
            remarks_of(&plan)
        );
        let manifest = after(&plan, "certificate-manifest.json");
        assert_eq!(
            manifest.matches("\"traefik.internal.thinkheads.ai\",").count() - mentions(&plan),
            named,
            "{manifest}"
        );
    }
}

/// How often verifications name the mesh's certificate by its host name.
fn mentions(plan: &Plan) -> usize {
    after(plan, "certificate-manifest.json").matches("\"server_name\": \"traefik.internal").count()
}

#[test]
fn entries_that_are_written_have_the_recommended_defaults_but_those_that_the_tree_has_itself() {
    let (dir, tree) = tree();
    let manifest: serde_json::Value =
        serde_json::from_str(after(&planned(&tree), "certificate-manifest.json")).unwrap();
    let field = |manifest: &serde_json::Value, name: &str, key: &str| {
        let entries = manifest.get("certificates").unwrap_or(manifest).as_array().unwrap().clone();
        let named =
            |entry: &&serde_json::Value| entry["common_name"] == format!("{name}.internal.thinkheads.ai");
        entries.iter().find(named).unwrap()[key].clone()
    };
    for name in ["docker-daemon", "traefik-client", "traefik"] {
        assert_eq!(field(&manifest, name, "rollback"), true, "{name}");
        assert_eq!(field(&manifest, name, "permissions"), "0600", "{name}");
    }
    assert!(field(&manifest, "nginx", "rollback").is_null(), "none of ours");
    let path = dir.path().join(INSTALLED).join(MANIFEST);
    let own = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("{{\"version\": 1, \"defaults\": {{\"rollback\": false}}, \"certificates\": {own}}}\n"),
    )
    .unwrap();
    let manifest: serde_json::Value =
        serde_json::from_str(after(&planned(&tree), "certificate-manifest.json")).unwrap();
    assert!(field(&manifest, "traefik", "rollback").is_null(), "the tree says what holds");
    assert_eq!(field(&manifest, "traefik", "permissions"), "0600");
}

#[test]
fn what_stands_in_the_way_of_the_mesh_is_pointed_out_after_the_edits_as_before() {
    let (_dir, tree) = tree();
    for _ in 1..=2 {
        let said = remarks_of(&planned(&tree));
        for words in [
            "the command of traefik-client.internal.thinkheads.ai restarts Traefik",
            "no entry is a client certificate for the gateway",
            "routers with TLS on the entry point `websecure` get the options `default`",
        ] {
            assert!(said.contains(words), "{words}:\n{said}");
        }
        apply(&tree, &planned(&tree)).unwrap();
    }
}

#[test]
fn entry_points_that_would_refuse_browsers_are_told_by_name_and_no_others() {
    let points = "entryPoints:\n  mesh:\n    address: \":8443\"\n";
    let cases = [
        ("  web:\n    address: \":80\"\n", None),
        ("  traefik:\n    address: \"127.0.0.1:8080\"\n", None),
        ("  other:\n    address: \":8443\"\n", None),
        ("  websecure:\n    address: \":443\"\n", Some("line 4: ")),
        ("  websecure:\n    address: \"10.0.0.12:443/tcp\"\n", Some("`websecure`")),
        ("  websecure: {address: \":443\"}\n", Some("`websecure`")),
        ("  admin:\n    address: \":9000\"\n    http:\n      tls: {}\n", Some("`admin`")),
        ("  admin:\n    address: \":443\"\n    http:\n      tls:\n        options: browser@file\n", None),
    ];
    for (point, expected) in cases {
        let remarks = traefik::edit(&format!("{points}{point}"), &Addresses::default()).unwrap().remarks;
        match expected {
            None => assert_eq!(remarks, Vec::<String>::new(), "{point}"),
            Some(words) => {
                let [remark] = &remarks[..] else { panic!("{point}: {remarks:?}") };
                assert!(remark.contains(words) && remark.contains("browser@file"), "{remark}");
            }
        }
    }
}

#[test]
fn the_transports_that_our_stacks_name_are_written_and_pushed() {
    let (dir, tree) = tree();
    let plan = planned(&tree);
    let transports = after(&plan, "etc/traefik/dynamic/20-internal.yml");
    let stacks = [
        include_str!("../../../../config/docker/portainer-stack.yml"),
        include_str!("../../../../config/docker/secrets-stack.yml"),
    ];
    let mut named = 0;
    for (_, name) in
        stacks.iter().flat_map(|stack| stack.lines()).filter_map(|line| line.split_once("serverstransport="))
    {
        let name = name.split('@').next().unwrap();
        assert!(transports.lines().any(|line| line == format!("    {name}:")), "{name}\n{transports}");
        named += 1;
    }
    assert_eq!(named, 2);
    let installer = after(&plan, "phoenix_hypervisor_feature_install_traefik.sh");
    assert!(installer.contains("00-tls-options.yml 10-certificates.yml 20-internal.yml"), "{installer}");
    let push = "setup_traefik_directories\n    pct push \"$CTID\" /x/00-tls-options.yml /y\n}";
    edit_file(
        &dir,
        "bin/lxc_setup/phoenix_hypervisor_feature_install_traefik.sh",
        "setup_traefik_directories\n    log",
        &format!("{push}\n    log"),
    );
    let said = remarks_of(&planned(&tree));
    assert!(
        said.contains("does not push 20-internal.yml") && said.contains("does not push 10-cert"),
        "{said}"
    );
    assert!(!said.contains("does not push 00-tls"), "{said}");
}
