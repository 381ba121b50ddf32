use super::*;

#[test]
fn wrong_names_make_the_entry_invalid() {
    invalid(&[
        (r#""sans": "10.0.0.300""#, "[0].sans", "no IP address"),
        (r#""sans": ["10.0.0"]"#, "[0].sans[0]", "no IP address"),
        (r#""sans": ["a.example", "10.0.0.0/24"]"#, "[0].sans[1]", "a network"),
        (r#""sans": "bücher.example""#, "[0].sans", "xn--"),
        (r#""sans": "DNS:a.example""#, "[0].sans", "prefix"),
        (r#""sans": "IP:10.0.0.1""#, "[0].sans", "prefix"),
        (r#""sans": "a.example:443""#, "[0].sans", "has a port"),
        (r#""sans": "10.0.0.1:443""#, "[0].sans", "has a port"),
        (r#""sans": "[fd00::1]:443""#, "[0].sans", "has a port"),
        (r#""sans": "fd00::x""#, "[0].sans", "no IPv6 address"),
        (r#""sans": "a.*.example""#, "[0].sans", "star in the wrong place"),
        (r#""sans": "*""#, "[0].sans", "star in the wrong place"),
        (r#""sans": "a.example.""#, "[0].sans", "ends in a dot"),
        (r#""sans": "-a.example""#, "[0].sans", "no DNS name"),
        (r#""sans": "a..example""#, "[0].sans", "no DNS name"),
        (r#""sans": "a/b""#, "[0].sans", "no DNS name"),
        (r#""sans": ["a.example, b.example"]"#, "[0].sans[0]", "an item of its own"),
        (r#""sans": [""]"#, "[0].sans[0]", "empty name"),
        (r#""sans": "@example""#, "[0].sans", "no e-mail"),
        (r#""sans": "a@*.example""#, "[0].sans", "no e-mail"),
        (r#""sans": "://x""#, "[0].sans", "no URI"),
        (r#""sans": 10"#, "[0].sans", "string or an array"),
        (r#""sans": [10]"#, "[0].sans[0]", "a string is needed"),
        (r#""cn_in_sans": false"#, "[0].common_name", "no names"),
        (r#""cn_in_sans": "no", "sans": "a""#, "[0].cn_in_sans", "without quotes"),
    ]);
}

#[test]
fn wrong_common_names_are_explained() {
    for (common_name, says) in [
        (r#""""#, "is empty"),
        ("7", "a string is needed"),
        (r#"" web""#, "spaces at its ends"),
        (r#""web\u0000""#, "not seen"),
        (r#""web\u200b.example""#, "not seen"),
        (r#""a b""#, "no valid name"),
        (r#""bücher.example""#, "no valid name"),
        (&format!("\"{}.example\"", "a".repeat(60)), "X.520"),
    ] {
        let text = with("").replace("\"web.internal.thinkheads.ai\"", common_name);
        let parsed = parse(&text);
        assert_eq!(problem(&parsed, "[0].common_name", says).severity, Severity::Error);
        assert!(parsed.manifest.unwrap().entries.is_empty(), "{common_name}");
    }
}

#[test]
fn a_long_name_fits_beside_a_short_common_name() {
    let long = format!("{}.example", "a".repeat(60));
    let entry = good(&with(&format!("\"sans\": \"{long}\"")));
    assert_eq!(names(&entry.sans)[1], long);
}

#[test]
fn wrong_files_make_the_entry_invalid() {
    invalid(&[
        (r#""chain_path": "chain.pem""#, "[0].chain_path", "not absolute"),
        (r#""chain_path": "/srv/tls/../etc/chain.pem""#, "[0].chain_path", "as it really is"),
        (r#""chain_path": "/srv/tls/web/""#, "[0].chain_path", "name the file"),
        (r#""chain_path": "/etc/chain.pem""#, "[0].chain_path", "`target_roots`"),
        (r#""chain_path": "/srv/tlsx/chain.pem""#, "[0].chain_path", "outside the target roots"),
        (r#""chain_path": "/srv/tls""#, "[0].chain_path", "a target root itself"),
        (r#""ca_path": "/etc/ca.pem""#, "[0].ca_path", "outside the target roots"),
        (r#""chain_path": "/srv/tls/web/cert.pem""#, "[0].chain_path", "already written by this entry"),
        (r#""ca_path": "/srv/tls/web/key.pem""#, "[0].ca_path", "already written by this entry"),
        (r#""owner": "root""#, "[0].owner", "has no group"),
        (r#""owner": ":root""#, "[0].owner", "no user"),
        (r#""owner": "root:""#, "[0].owner", "no group"),
        (r#""owner": "root:a b""#, "[0].owner", "no group"),
        (r#""owner": "4294967295:0""#, "[0].owner", "no user"),
        (r#""owner": 0"#, "[0].owner", "a string is needed"),
        (r#""permissions": 640"#, "[0].permissions", "write \"0640\""),
        (r#""permissions": 384"#, "[0].permissions", "write \"0600\""),
        (r#""permissions": "rw-------""#, "[0].permissions", "no file mode"),
        (r#""permissions": "4755""#, "[0].permissions", "no file mode"),
        (r#""permissions": "0o600""#, "[0].permissions", "no file mode"),
        (r#""permissions": "60""#, "[0].permissions", "no file mode"),
        (r#""permissions": "0680""#, "[0].permissions", "no file mode"),
        (r#""cert_permissions": 644"#, "[0].cert_permissions", "write \"0644\""),
        (r#""include_ca": "yes""#, "[0].include_ca", "true or false"),
    ]);
}

#[test]
fn missing_fields_make_the_entry_invalid() {
    for field in ["common_name", "cert_path", "key_path"] {
        let text = with("\"name\": \"web\"").replace(&format!("\"{field}\""), "\"_gone\"");
        let parsed = parse(&text);
        let found = problem(&parsed, &format!("[0].{field}"), "is missing");
        assert_eq!((found.line, found.column), (1, 2), "{field}");
        assert!(parsed.manifest.unwrap().entries.is_empty());
    }
}

#[test]
fn wrong_wishes_make_the_entry_invalid() {
    invalid(&[
        (r#""cert_type": "sever""#, "[0].cert_type", "did you mean `server`?"),
        (r#""cert_type": "mtls""#, "[0].cert_type", "server, client, peer"),
        (r#""strict_eku": 1"#, "[0].strict_eku", "true or false"),
        (r#""validity": 24"#, "[0].validity", "a duration is needed"),
        (r#""validity": "24""#, "[0].validity", "number with a unit"),
        (r#""validity": "0h""#, "[0].validity", "no time at all"),
        (r#""renew_before": "0%""#, "[0].renew_before", "no share"),
        (r#""renew_before": "+5%""#, "[0].renew_before", "no share"),
        (r#""renew_before": "third""#, "[0].renew_before", "neither a duration nor a percentage"),
        (r#""issuer": "phenix""#, "[0].issuer", "did you mean `phoenix`?"),
        (r#""issuer": ["phoenix", "letsencrypt"]"#, "[0].issuer[1]", "the configuration has: phoenix, acme"),
        (r#""issuer": []"#, "[0].issuer", "empty"),
        (r#""issuer": {}"#, "[0].issuer", "a string is needed"),
        (r#""key_type": "p256""#, "[0].key_type", "ec-p256"),
        (r#""key_type": "rsa2048""#, "[0].key_type", "did you mean `rsa-2048`?"),
        (r#""key_policy": "keep""#, "[0].key_policy", "rotate, reuse"),
        (r#""paused": "true""#, "[0].paused", "without quotes"),
        (r#""rollback": 1"#, "[0].rollback", "true or false"),
    ]);
}

#[test]
fn wrong_types_of_later_stages_make_the_entry_invalid() {
    invalid(&[
        (r#""guest_id": true"#, "[0].guest_id", "a number is needed"),
        (r#""guest_id": "lxc101""#, "[0].guest_id", "a number is needed"),
        (r#""guest_id": 5"#, "[0].guest_id", "from 100"),
        (r#""guest_id": 101.5"#, "[0].guest_id", "no whole number"),
        (r#""guest_id": 101, "guest_type": "container""#, "[0].guest_type", "lxc, vm"),
        (r#""deliver": "/etc""#, "[0].deliver", "an object is needed"),
        (r#""post_renewal_command": 5"#, "[0].post_renewal_command", "a string or an array"),
        (r#""command": "x""#, "[0].command", "an object is needed"),
        (r#""window": "0 3 * * *""#, "[0].window", "an object is needed"),
        (r#""verify": "10.0.0.1:443""#, "[0].verify", "an object is needed"),
    ]);
}

#[test]
fn a_wrong_name_makes_the_entry_invalid() {
    for (name, says) in
        [(r#""Web""#, "is not a name"), (r#""""#, "is not a name"), ("3", "a string is needed")]
    {
        let parsed = parse(&with(&format!("\"name\": {name}")));
        assert_eq!(problem(&parsed, "[0].name", says).severity, Severity::Error);
        assert!(parsed.manifest.unwrap().entries.is_empty());
    }
    let parsed = parse(&with("").replace("web.internal.thinkheads.ai", "é"));
    problem(&parsed, "[0].common_name", "no name can be derived");
}

#[test]
fn an_impossible_delivery_blocks_only_the_delivery() {
    blocks(
        Stage::Deliver,
        &[
            (r#""guest_id": 101"#, "[0].guest_id", "`guest_type` is missing"),
            (r#""deliver": {"cert": "/a"}"#, "[0].deliver", "without a guest"),
            (r#""guest_id": 101, "guest_type": "lxc", "deliver": {}"#, "[0].deliver.cert", "at least one"),
            (
                r#""guest_id": 101, "guest_type": "lxc", "deliver": {"cert": "a"}"#,
                "[0].deliver.cert",
                "not absolute",
            ),
            (
                r#""guest_id": 101, "guest_type": "lxc", "deliver": {"key": "/a", "permissions": 600}"#,
                "[0].deliver.permissions",
                "write \"0600\"",
            ),
            (
                r#""guest_id": 101, "guest_type": "lxc", "deliver": {"key": "/a", "owner": "x"}"#,
                "[0].deliver.owner",
                "no group",
            ),
            (
                r#""guest_id": 101, "guest_type": "lxc", "deliver": {"cert": "/a", "key": "/a"}"#,
                "[0].deliver.key",
                "destination of two files",
            ),
            (
                r#""guest_id": 101, "guest_type": "lxc", "deliver": {"cert": "/a", "ca": "/a"}"#,
                "[0].deliver.ca",
                "destination of two files",
            ),
            (
                r#""guest_id": 101, "guest_type": "lxc", "include_ca": true, "deliver": {"cert": "/a"}"#,
                "[0].deliver.ca",
                "`include_ca`",
            ),
        ],
    );
}

#[test]
fn an_impossible_verification_blocks_only_the_verification() {
    blocks(
        Stage::Verify,
        &[
            (r#""verify": {}"#, "[0].verify.tls", "one of `tls`"),
            (r#""verify": {"tsl": "a:1"}"#, "[0].verify.tls", "one of `tls`"),
            (r#""verify": [5]"#, "[0].verify[0]", "an object is needed"),
            (
                r#""verify": {"tls": "a:1", "accepted_by": "a:1"}"#,
                "[0].verify.accepted_by",
                "an object of its own",
            ),
            (r#""verify": {"tls": 443}"#, "[0].verify.tls", "a string is needed"),
            (r#""verify": {"tls": "10.0.0.1"}"#, "[0].verify.tls", "HOST:PORT"),
            (r#""verify": {"tls": "10.0.0.1:0"}"#, "[0].verify.tls", "HOST:PORT"),
            (r#""verify": {"tls": "10.0.0.1:65536"}"#, "[0].verify.tls", "HOST:PORT"),
            (r#""verify": {"tls": "fd00::1:443"}"#, "[0].verify.tls", "HOST:PORT"),
            (r#""verify": {"tls": "*.a.b:443"}"#, "[0].verify.tls", "HOST:PORT"),
            (r#""verify": {"tls": "https://a:443"}"#, "[0].verify.tls", "HOST:PORT"),
            (
                r#""verify": {"tls": "a:443", "server_name": "*.a"}"#,
                "[0].verify.server_name",
                "no server name",
            ),
            (r#""verify": {"tls": "a:443", "client": "wev"}"#, "[0].verify.client", "did you mean `web`?"),
            (
                r#""verify": {"tls": "a:443", "refuse_without_client": 1}"#,
                "[0].verify.refuse_without_client",
                "true or false",
            ),
            (r#""verify": {"tls": "a:443", "http_get": "ping"}"#, "[0].verify.http_get", "begin it with `/`"),
            (r#""verify": {"tls": "a:443", "http_get": "/a b"}"#, "[0].verify.http_get", "without spaces"),
            (
                r#""verify": {"tls": "a:443", "expect_status": 200}"#,
                "[0].verify.expect_status",
                "without `http_get`",
            ),
            (
                r#""verify": {"tls": "a:443", "http_get": "/", "expect_status": 99}"#,
                "[0].verify.expect_status",
                "100 to 599",
            ),
            (r#""verify": {"tls": "a:443", "deadline": 30}"#, "[0].verify.deadline", "such as \"30s\""),
            (r#""verify": [{"tls": "a:1"}, {"accepted_by": "a"}]"#, "[0].verify[1].accepted_by", "HOST:PORT"),
            (
                r#""verify": {"command": ["curl", "x"], "expect": "{serial}"}"#,
                "[0].verify.command",
                "no allowed program",
            ),
            (
                r#""verify": {"command": 5, "expect": "{serial}"}"#,
                "[0].verify.command",
                "a string or an array",
            ),
            (r#""verify": {"command": "pct exec 1 -- a"}"#, "[0].verify.expect", "`expect` is missing"),
            (
                r#""verify": {"command": "pct exec 1 -- a", "expect": "ok"}"#,
                "[0].verify.expect",
                "tells certificates apart",
            ),
        ],
    );
}

#[test]
fn what_has_no_effect_is_worth_a_warning() {
    warns(&[
        (r#""commonname": "x""#, "[0].commonname", "did you mean `common_name`?"),
        (r#""hook": "x""#, "[0].hook", "unknown field"),
        (r#""guest_type": "lxc""#, "[0].guest_type", "no effect"),
        (r#""command": {"timeout": "5s"}"#, "[0].command", "no effect"),
        (r#""window": {"cron": "* * * * *", "duration": "1h"}"#, "[0].window", "no effect"),
        (r#""rollback": true"#, "[0].rollback", "without `verify`"),
        (r#""permissions": "0644""#, "[0].permissions", "every user can reach the private key"),
        (r#""renew_before": "60%""#, "[0].renew_before", "clamped"),
        (r#""renew_before": "100%""#, "[0].renew_before", "clamped"),
        (r#""renew_before": "20d", "validity": "30d""#, "[0].renew_before", "clamped"),
        (
            r#""guest_id": 101, "guest_type": "lxc", "deliver": {"cert": "/a", "mode": "0600"}"#,
            "[0].deliver.mode",
            "unknown field",
        ),
        (
            r#""guest_id": 101, "guest_type": "lxc", "deliver": {"key": "/a", "permissions": "0644"}"#,
            "[0].deliver.permissions",
            "every user of the guest",
        ),
        (r#""verify": {"tls": "a:1", "timeout": "5s"}"#, "[0].verify.timeout", "unknown field"),
        (r#""guest_id": 101, "guest_type": "lxc""#, "[0].guest_id", "nothing picks them up"),
    ]);
}

#[test]
fn too_early_a_renewal_is_clamped_to_half_of_the_lifetime() {
    let clamped = |fields: &str| one(parse(&with(fields))).renew_before;
    assert_eq!(clamped(r#""renew_before": "99%""#), RenewBefore::Percent(50));
    let fifteen_days = std::time::Duration::from_secs(15 * 86_400);
    assert_eq!(clamped(r#""renew_before": "20d", "validity": "30d""#), RenewBefore::Time(fifteen_days));
    assert_eq!(clamped(r#""renew_before": "15d", "validity": "30d""#), RenewBefore::Time(fifteen_days));
}

#[test]
fn a_field_that_occurs_twice_makes_the_entry_invalid() {
    let parsed = parse(&with(r#""cert_path": "/srv/tls/other.pem""#));
    assert_eq!(problem(&parsed, "[0].cert_path", "occurs twice").line, 5);
    assert!(parsed.manifest.unwrap().entries.is_empty());
}
