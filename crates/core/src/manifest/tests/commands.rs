use super::*;

fn command(text: &str) -> String {
    format!("\"post_renewal_command\": {}", serde_json::to_string(text).unwrap())
}

#[test]
fn a_wrong_command_blocks_only_the_activation() {
    blocks(
        Stage::Activate,
        &[
            (r#""post_renewal_command": """#, "[0].post_renewal_command", "is empty"),
            (r#""post_renewal_command": "  ""#, "[0].post_renewal_command", "is empty"),
            (r#""post_renewal_command": []"#, "[0].post_renewal_command", "is empty"),
            (r#""post_renewal_command": ["pct", 5]"#, "[0].post_renewal_command[1]", "a string is needed"),
            (
                r#""post_renewal_command": "systemctl restart nginx""#,
                "[0].post_renewal_command",
                "/usr/sbin/pct, /usr/sbin/qm",
            ),
            (
                r#""post_renewal_command": "/usr/bin/pct list""#,
                "[0].post_renewal_command",
                "no allowed program",
            ),
            (r#""post_renewal_command": "./pct list""#, "[0].post_renewal_command", "no allowed program"),
            (r#""post_renewal_command": "pvt list""#, "[0].post_renewal_command", "did you mean `pct`?"),
            (
                r#""post_renewal_command": "pct exec 1 -- sh -c 'x""#,
                "[0].post_renewal_command",
                "a quote is not closed",
            ),
            (
                r#""post_renewal_command": "pct exec 1 -- a && b""#,
                "[0].post_renewal_command",
                "`&&` outside of quotes",
            ),
            (
                r#""post_renewal_command": "pct exec 1 -- a; b""#,
                "[0].post_renewal_command",
                "`;` outside of quotes",
            ),
            (
                r#""post_renewal_command": "pct exec 1 -- a | b""#,
                "[0].post_renewal_command",
                "`|` outside of quotes",
            ),
            (
                r#""post_renewal_command": "pct exec 1 -- a > b""#,
                "[0].post_renewal_command",
                "`>` outside of quotes",
            ),
            (
                r#""post_renewal_command": "pct exec 1 -- $(a)""#,
                "[0].post_renewal_command",
                "`$(` outside of quotes",
            ),
            (
                r#""post_renewal_command": "pct exec 1 -- `a`""#,
                "[0].post_renewal_command",
                "outside of quotes",
            ),
            (r#""post_renewal_command": "pct exec 1 -- a\nb""#, "[0].post_renewal_command", "a line break"),
            (
                r#""post_renewal_command": "pct exec 1 -- a # b""#,
                "[0].post_renewal_command",
                "`#` outside of quotes",
            ),
            (
                r#""post_renewal_command": ["pct", "exec", "1", "--", "a", "&&", "b"]"#,
                "[0].post_renewal_command[5]",
                "as an argument",
            ),
            (r#""post_renewal_command": ["pct", "\u0000"]"#, "[0].post_renewal_command", "NUL"),
            (
                r#""post_renewal_command": "pct list", "command": {"timeout": 5}"#,
                "[0].command.timeout",
                "such as \"5s\"",
            ),
            (
                r#""post_renewal_command": "pct list", "command": {"min_interval": "x"}"#,
                "[0].command.min_interval",
                "unit",
            ),
            (
                r#""post_renewal_command": "pct list", "window": {"duration": "2h"}"#,
                "[0].window.cron",
                "is missing",
            ),
            (
                r#""post_renewal_command": "pct list", "window": {"cron": "0 3 * * *"}"#,
                "[0].window.duration",
                "is missing",
            ),
            (
                r#""post_renewal_command": "pct list", "window": {"cron": "0 3 * *", "duration": "2h"}"#,
                "[0].window.cron",
                "4 fields",
            ),
            (
                r#""post_renewal_command": "pct list", "window": {"cron": "0 0 30 2 *", "duration": "2h"}"#,
                "[0].window.cron",
                "never comes",
            ),
            (
                r#""post_renewal_command": "pct list", "window": {"cron": "* * * * *", "duration": "2h", "timezone": "/etc/passwd"}"#,
                "[0].window.timezone",
                "IANA name",
            ),
            (
                r#""post_renewal_command": "pct list", "window": {"cron": "* * * * *", "duration": "2h", "timezone": "A/../B"}"#,
                "[0].window.timezone",
                "IANA name",
            ),
        ],
    );
}

#[test]
fn an_operator_is_marked_inside_the_string() {
    let text = with(r#""post_renewal_command": "pct exec 102 -- true && systemctl restart traefik""#);
    let parsed = parse(&text);
    let [diagnostic] = parsed.diagnostics.iter().as_slice() else { panic!("{}", parsed.diagnostics) };
    assert_eq!(&text[diagnostic.span.clone()], "&&");
    let escaped = with(r#""post_renewal_command": "pct exec 102 -- \"a\" && b""#);
    let parsed = parse(&escaped);
    let [diagnostic] = parsed.diagnostics.iter().as_slice() else { panic!("{}", parsed.diagnostics) };
    assert_eq!(&escaped[diagnostic.span.clone()], r#""pct exec 102 -- \"a\" && b""#);
}

#[test]
fn words_are_split_as_a_shell_would() {
    for (text, expected) in [
        ("pct list", vec!["/usr/sbin/pct", "list"]),
        ("/usr/sbin/qm list", vec!["/usr/sbin/qm", "list"]),
        (
            "pct exec 1 -- sh -c 'a && b > c'",
            vec!["/usr/sbin/pct", "exec", "1", "--", "sh", "-c", "a && b > c"],
        ),
        (
            r#"pct exec 1 -- a "b c" d\ e 'f'"g""#,
            vec!["/usr/sbin/pct", "exec", "1", "--", "a", "b c", "d e", "fg"],
        ),
        ("pct exec 1 -- ''", vec!["/usr/sbin/pct", "exec", "1", "--", ""]),
    ] {
        assert_eq!(good(&with(&command(text))).command.unwrap().argv, expected, "{text}");
    }
}

#[test]
fn an_overlong_argument_is_refused_before_the_kernel_does_it() {
    let parsed = parse(&with(&command(&format!("pct exec 1 -- {}", "a".repeat(140_000)))));
    problem(&parsed, "[0].post_renewal_command", "too long");
}

/// The command, and what the lint says; empty for a command that is fine.
fn linted(lines: &[(&str, &str)]) {
    for (text, says) in lines {
        let parsed = parse(&with(&command(text)));
        if says.is_empty() {
            assert!(parsed.diagnostics.is_empty(), "{text}: {}", parsed.diagnostics);
        } else {
            assert_eq!(problem(&parsed, "[0].post_renewal_command", says).severity, Severity::Warning);
            assert!(one(parsed).command.is_some());
        }
    }
}

#[test]
fn reloading_docker_is_known_to_be_without_effect() {
    linted(&[
        ("qm guest exec 1001 -- systemctl reload docker", "dockerd"),
        ("qm guest exec 1001 -- systemctl reload docker.service", "dockerd"),
        ("qm guest exec 1001 -- systemctl --no-block reload-or-restart docker", "dockerd"),
        ("qm guest exec 1001 -- service docker reload", "dockerd"),
        ("qm guest exec 1001 -- systemctl kill -s HUP docker", "dockerd"),
        ("qm guest exec 1001 -- pkill -HUP dockerd", "dockerd"),
        ("qm guest exec 1001 -- /bin/sh -c 'mv a b && sudo systemctl reload docker'", "dockerd"),
        ("pct exec 101 -- /bin/bash -lc 'A=1 systemctl reload docker || true'", "dockerd"),
        ("pct exec 101 -- bash -c 'sh -c \"systemctl reload docker\"'", "dockerd"),
        ("qm guest exec 1001 -- systemctl restart docker", ""),
        ("qm guest exec 1001 -- systemctl reload nginx", ""),
        ("qm guest exec 1001 -- /bin/sh -c 'echo systemctl reload docker'", ""),
        ("qm guest exec 1001 -- /bin/sh -c 'systemctl restart docker; systemctl reload nginx'", ""),
    ]);
}

#[test]
fn replacing_a_secret_in_place_is_known_to_fail() {
    linted(&[
        (
            "qm guest exec 1001 -- /bin/bash -c 'docker secret rm a; docker secret create a /tmp/cert.pem'",
            "docker secret rm",
        ),
        (
            "qm guest exec 1001 -- /bin/bash -c 'docker -H unix:///run/docker.sock secret rm a && docker secret create a x'",
            "docker secret rm",
        ),
        ("qm guest exec 1001 -- /bin/bash -c 'docker secret create a.2 /tmp/cert.pem'", ""),
        ("qm guest exec 1001 -- docker secret rm a.1", ""),
    ]);
}

#[test]
fn restarting_traefik_is_known_to_lose_requests_for_nothing() {
    linted(&[
        ("pct exec 102 -- systemctl restart traefik", "loses the requests of the moment"),
        ("pct exec 102 -- systemctl try-restart traefik.service", "loses the requests"),
        ("pct exec 102 -- service traefik restart", "loses the requests"),
        ("pct exec 102 -- /bin/sh -c 'mv a b && systemctl --no-block restart traefik'", "loses the requests"),
        ("pct exec 102 -- systemctl reload traefik", ""),
        ("pct exec 102 -- systemctl reload-or-restart traefik", ""),
        ("pct exec 102 -- /bin/sh -c 'systemctl reload traefik; systemctl restart nginx'", ""),
    ]);
}

#[test]
fn calls_into_guests_are_looked_through() {
    linted(&[
        ("pct exec 101 -- 'systemctl restart nginx'", "spaces included"),
        ("qm guest exec 1001 --", "no command to run"),
        ("pct exec 101", "no command to run"),
        ("pct exec 101 systemctl restart --no-block nginx", "write `--`"),
        ("pct exec 101 systemctl restart nginx", ""),
        ("qm guest exec 1001 --timeout 60 -- systemctl restart docker", ""),
        ("pct push 101 /a /b", ""),
    ]);
}

#[test]
fn a_command_for_another_guest_than_the_delivery_is_noticed() {
    for (guest, text, says) in [
        (r#""guest_id": 101, "guest_type": "lxc""#, "pct exec 102 -- true", "LXC 102"),
        (r#""guest_id": 101, "guest_type": "vm""#, "pct exec 101 -- true", "delivered into VM 101"),
        (r#""guest_id": 101, "guest_type": "lxc""#, "pct exec 101 -- true", ""),
    ] {
        let parsed = parse(&with(&format!("{guest}, {}", command(text))));
        if says.is_empty() {
            assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics);
        } else {
            problem(&parsed, "[0].post_renewal_command", says);
        }
    }
}

#[test]
fn an_nginx_client_certificate_needs_a_reload() {
    let nginx = |fields: &str| {
        let text = with(&format!(r#""cert_type": "client", {fields}"#));
        parse(&text.replace("web.internal", "nginx-gateway-client.internal"))
    };
    let never = nginx(&command("pct exec 101 -- /bin/bash -c 'mv /tmp/cert.pem /etc/nginx/ssl/'"));
    problem(&never, "[0].post_renewal_command", "nothing reloads it");
    problem(&nginx(r#""paused": false"#), "[0]", "nothing reloads it");
    for text in [
        "pct exec 101 -- /bin/bash -c 'mv a b && nginx -s reload'",
        "pct exec 101 -- systemctl reload nginx",
        "pct exec 101 -- systemctl restart nginx.service",
    ] {
        let parsed = nginx(&command(text));
        assert!(parsed.diagnostics.is_empty(), "{text}: {}", parsed.diagnostics);
    }
}

#[test]
fn the_kind_of_guest_is_told_by_the_command_of_older_manifests() {
    for (text, kind) in
        [("pct exec 101 -- true", GuestKind::Lxc), ("/usr/sbin/qm guest exec 101 -- true", GuestKind::Vm)]
    {
        let parsed = parse(&with(&format!("\"guest_id\": 101, {}", command(text))));
        problem(&parsed, "[0].guest_id", "`guest_type` is missing; taken as");
        assert_eq!(one(parsed).guest, Some(Guest { kind, id: 101 }));
    }
}
