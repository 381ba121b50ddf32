use std::time::Duration;

use super::*;

fn path(text: &str) -> AbsolutePath {
    text.parse().unwrap()
}

#[test]
fn the_least_entry_gets_every_default() {
    let entry = good(&with(""));
    assert_eq!(entry.name.as_str(), "web");
    assert_eq!(names(&entry.sans), ["web.internal.thinkheads.ai"]);
    assert_eq!(entry.cert_path, path("/srv/tls/web/cert.pem"));
    assert!(!entry.combined());
    assert_eq!((entry.chain_path, entry.ca_path, entry.owner), (None, None, None));
    assert_eq!((entry.key_mode, entry.cert_mode), (Mode(0o600), Mode(0o644)));
    assert_eq!((entry.usage, entry.strict_eku), (Usage::Server, false));
    assert_eq!((entry.guest, entry.delivery, entry.command), (None, None, None));
    assert_eq!((entry.validity, entry.renew_before), (None, RenewBefore::Third));
    assert_eq!(entry.issuers.iter().map(crate::name::IssuerName::as_str).collect::<Vec<_>>(), ["phoenix"]);
    assert_eq!((entry.key_type, entry.key_policy), (KeyType::EcP256, KeyPolicy::Rotate));
    assert!(entry.verify.is_empty() && entry.stage_errors.is_empty());
    assert!(!entry.rollback && !entry.paused && entry.window.is_none());
}

#[test]
fn the_two_entries_of_the_plan_are_valid_as_they_stand() {
    let parsed = parse(
        r#"[
  {
    "common_name": "docker-daemon.internal.thinkheads.ai",
    "sans": "10.0.0.111",
    "cert_path": "/mnt/pve/quickOS/vm-persistent-data/1001/docker/certs/server-cert.pem",
    "key_path": "/mnt/pve/quickOS/vm-persistent-data/1001/docker/certs/server-key.pem",
    "post_renewal_command": "qm guest exec 1001 -- systemctl restart docker"
  },
  {
    "common_name": "traefik-client.internal.thinkheads.ai",
    "cert_path": "/mnt/pve/quickOS/lxc-persistent-data/102/traefik/certs/client-cert.pem",
    "key_path": "/mnt/pve/quickOS/lxc-persistent-data/102/traefik/certs/client-key.pem",
    "post_renewal_command": "pct exec 102 -- systemctl restart traefik"
  }
]"#,
    );
    let restart = problem(&parsed, "[1].post_renewal_command", "loses the requests of the moment");
    assert_eq!((restart.severity, parsed.diagnostics.len()), (Severity::Warning, 1));
    let entries = parsed.manifest.unwrap().entries;
    assert_eq!(entries[0].name.as_str(), "docker-daemon");
    assert_eq!(names(&entries[0].sans), ["docker-daemon.internal.thinkheads.ai", "10.0.0.111"]);
    let argv = &entries[0].command.as_ref().unwrap().argv;
    assert_eq!(argv.join(" "), "/usr/sbin/qm guest exec 1001 -- systemctl restart docker");
    assert_eq!(entries[1].command.as_ref().unwrap().timeout, Duration::from_secs(60));
    assert_eq!(entries[1].name.as_str(), "traefik-client");
}

#[test]
fn legacy_fields_of_a_guest_are_understood() {
    let fields = r#""guest_id": "101", "guest_type": "lxc", "include_ca": true, "cert_type": "client",
      "post_renewal_command": "pct exec 101 -- /bin/bash -c 'mkdir -p /etc/nginx/ssl && mv /tmp/cert.pem /etc/nginx/ssl/ && systemctl reload nginx'""#;
    let entry = good(&with(fields));
    assert_eq!(entry.guest, Some(Guest { kind: GuestKind::Lxc, id: 101 }));
    assert_eq!(entry.delivery, Some(Delivery::Legacy { ca: true }));
    assert_eq!(entry.ca_path, None);
    assert_eq!(entry.usage, Usage::Client);
    let argv = entry.command.unwrap().argv;
    assert_eq!(argv.len(), 7);
    assert!(argv[6].starts_with("mkdir -p") && argv[6].ends_with("reload nginx"), "{argv:?}");
}

#[test]
fn names_are_recognized_by_their_form() {
    for (fields, expected) in [
        (r#""sans": "a.example, 10.0.0.1 B.Example,a.example""#, vec!["a.example", "10.0.0.1", "b.example"]),
        (r#""sans": ["*.example.org", "fd00::1", "FD00::1"]"#, vec!["*.example.org", "fd00::1"]),
        (
            r#""sans": ["ops@example.org", "spiffe://example.org/web"]"#,
            vec!["ops@example.org", "spiffe://example.org/web"],
        ),
        (r#""sans": "localhost host_1 urn:uuid:1""#, vec!["localhost", "host_1", "urn:uuid:1"]),
        (r#""sans": "WEB.internal.thinkheads.ai""#, vec![]),
        (r#""sans": []"#, vec![]),
        (r#""sans": """#, vec![]),
        (r#""sans": null"#, vec![]),
    ] {
        let mut all = vec!["web.internal.thinkheads.ai"];
        all.extend(expected);
        assert_eq!(names(&good(&with(fields)).sans), all, "{fields}");
    }
}

#[test]
fn the_common_name_is_a_name_of_the_certificate_where_it_can_be() {
    for (common_name, fields, expected) in [
        ("web.example", r#""sans": "a.example""#, vec!["web.example", "a.example"]),
        ("10.0.0.1", r#""sans": "a.example""#, vec!["10.0.0.1", "a.example"]),
        ("portainer", r#""sans": "a.example""#, vec!["a.example"]),
        ("portainer", r#""paused": false"#, vec!["portainer"]),
        ("My Service", r#""sans": "a.example""#, vec!["a.example"]),
        ("ops@example.org", r#""paused": false"#, vec!["ops@example.org"]),
        ("web.example", r#""sans": "a.example", "cn_in_sans": false"#, vec!["a.example"]),
        (
            "web.example",
            r#""sans": "a.example,web.example", "cn_in_sans": false"#,
            vec!["a.example", "web.example"],
        ),
    ] {
        let entry = good(&with(fields).replace("web.internal.thinkheads.ai", common_name));
        assert_eq!(names(&entry.sans), expected, "{common_name} {fields}");
        assert_eq!(entry.common_name, common_name);
    }
}

#[test]
fn files_owner_and_modes_are_taken_over() {
    let entry = good(&with(
        r#""chain_path": "/srv/tls/web/chain.pem", "ca_path": "/srv/tls/web/roots.pem", "include_ca": true,
           "owner": "www-data:100033", "permissions": "0640", "cert_permissions": "640""#,
    ));
    assert_eq!(entry.chain_path, Some(path("/srv/tls/web/chain.pem")));
    assert_eq!(entry.ca_path, Some(path("/srv/tls/web/roots.pem")));
    let owner = entry.owner.unwrap();
    assert_eq!(owner, Owner { user: Principal::Name("www-data".to_owned()), group: Principal::Id(100_033) });
    assert_eq!((entry.key_mode, entry.cert_mode), (Mode(0o640), Mode(0o640)));
}

#[test]
fn include_ca_without_a_guest_writes_the_roots_beside_the_certificate() {
    assert_eq!(good(&with(r#""include_ca": true"#)).ca_path, Some(path("/srv/tls/web/ca.pem")));
    assert_eq!(good(&with(r#""include_ca": false"#)).ca_path, None);
}

#[test]
fn equal_paths_make_one_combined_file() {
    let entry = good(&with("").replace("key.pem", "cert.pem"));
    assert!(entry.combined());
}

#[test]
fn wishes_about_the_certificate_are_taken_over() {
    let entry = good(&with(
        r#""name": "gateway", "cert_type": "peer", "strict_eku": true, "validity": "30d", "renew_before": "10d",
           "issuer": ["acme", "phoenix", "acme"], "key_type": "rsa-3072", "key_policy": "reuse", "paused": true"#,
    ));
    assert_eq!(entry.name.as_str(), "gateway");
    assert_eq!((entry.usage, entry.strict_eku, entry.paused), (Usage::Peer, true, true));
    assert_eq!(entry.validity, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(entry.renew_before, RenewBefore::Time(Duration::from_secs(10 * 86_400)));
    assert_eq!(
        entry.issuers.iter().map(crate::name::IssuerName::as_str).collect::<Vec<_>>(),
        ["acme", "phoenix"]
    );
    assert_eq!((entry.key_type, entry.key_policy), (KeyType::Rsa3072, KeyPolicy::Reuse));
    for (word, kind) in
        [("ec-p256", KeyType::EcP256), ("ec-p384", KeyType::EcP384), ("ed25519", KeyType::Ed25519)]
    {
        assert_eq!(good(&with(&format!("\"key_type\": \"{word}\""))).key_type, kind);
        assert_eq!(kind.as_str(), word);
    }
    assert_eq!(good(&with(r#""renew_before": "40%""#)).renew_before, RenewBefore::Percent(40));
}

#[test]
fn explicit_delivery_is_taken_over() {
    let entry = good(&with(
        r#""guest_id": 1001, "guest_type": "vm",
           "deliver": {"cert": "/etc/docker/tls/cert.pem", "key": "/etc/docker/tls/key.pem", "owner": "root:docker",
                       "permissions": "0640", "cert_permissions": "0444", "_why": "dockerd"}"#,
    ));
    let Some(Delivery::Explicit { cert, key, ca, owner, key_mode, cert_mode }) = entry.delivery else {
        panic!("{entry:?}")
    };
    assert_eq!((cert, key), (Some(path("/etc/docker/tls/cert.pem")), Some(path("/etc/docker/tls/key.pem"))));
    assert_eq!((ca, key_mode, cert_mode), (None, Mode(0o640), Mode(0o444)));
    assert_eq!(owner.unwrap().to_string(), "root:docker");
}

#[test]
fn verifications_are_taken_over() {
    let entry = good(&with(
        r#""rollback": true, "verify": [
          {"tls": "10.0.0.111:2376", "server_name": "Docker.example", "client": "web", "refuse_without_client": true,
           "http_get": "/_ping", "expect_status": 200, "deadline": "5s"},
          {"accepted_by": "[fd00::1]:8443", "http_get": "/"},
          {"command": "qm guest exec 1001 -- cat /serial", "expect": "{serial_decimal}"},
          {"tls": "localhost:443"}]"#,
    ));
    assert!(entry.rollback);
    let web: CertName = "web".parse().unwrap();
    assert_eq!(
        entry.verify[0],
        Verify::Tls {
            address: "10.0.0.111:2376".to_owned(),
            server_name: Some("docker.example".to_owned()),
            client: Some(web),
            refuse_without_client: true,
            http_get: Some("/_ping".to_owned()),
            expect_status: Some(200),
            deadline: Duration::from_secs(5),
        }
    );
    assert_eq!(
        entry.verify[1],
        Verify::AcceptedBy {
            address: "[fd00::1]:8443".to_owned(),
            server_name: None,
            http_get: Some("/".to_owned()),
            expect_status: None,
            deadline: Duration::from_secs(30),
        }
    );
    let Verify::Command { argv, expect, .. } = &entry.verify[2] else { panic!("{entry:?}") };
    assert_eq!((argv[0].as_str(), expect.as_str()), ("/usr/sbin/qm", "{serial_decimal}"));
    assert_eq!(entry.verify.len(), 4);
    assert_eq!(good(&with(r#""verify": {"tls": "web.example:443"}"#)).verify.len(), 1);
}

#[test]
fn windows_and_limits_of_the_command_are_taken_over() {
    let entry = good(&with(
        r#""post_renewal_command": ["/usr/sbin/pct", "exec", "102", "--", "systemctl", "reload", "traefik"],
           "command": {"timeout": "2m", "min_interval": "1h"},
           "window": {"cron": "0 3 * * 7", "duration": "2h", "timezone": "Europe/Amsterdam"}"#,
    ));
    let command = entry.command.unwrap();
    assert_eq!(
        (command.timeout, command.min_interval),
        (Duration::from_secs(120), Some(Duration::from_secs(3600)))
    );
    assert_eq!(command.argv[0], "/usr/sbin/pct");
    let window = entry.window.unwrap();
    assert_eq!((window.cron.as_str(), window.duration), ("0 3 * * 7", Duration::from_secs(7200)));
    assert_eq!(window.timezone.map(|zone| zone.to_string()).as_deref(), Some("Europe/Amsterdam"));
}

#[test]
fn comments_and_nulls_count_as_nothing() {
    let nulls: Vec<String> =
        super::super::read::OPTIONAL.iter().map(|field| format!("\"{field}\": null")).collect();
    let entry =
        good(&with(&format!("\"_comment\": {{\"a\": [1]}}, \"_x\": 1, \"_x\": 2, {}", nulls.join(", "))));
    assert_eq!(entry, good(&with("")));
}
