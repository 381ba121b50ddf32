use proptest::prelude::*;

use super::*;
use crate::diagnostic::Severity;

const FULL: &str = r#"
manifest       = "/etc/phoenix/manifest.json"
state_dir      = "/var/lib/phoenix-certd/"
control_socket = "/run/phoenix-certd/control.sock"

[executor]
socket       = "/run/phoenix-executor/executor.sock"
state_dir    = "/var/lib/phoenix-executor"
target_roots = ["/mnt/pve/quickOS", "/srv/tls/"]
commands     = ["/usr/sbin/pct", "/usr/sbin/qm", "/usr/sbin/nginx", "/usr/bin/systemctl", "/opt/free"]

[[executor.program]]
path    = "/usr/sbin/nginx"
reads   = ["/etc/nginx/"]
writes  = ["/var/log/nginx", "/run/nginx.pid"]
network = true
signals = true
memory  = 512

[[executor.program]]
path    = "/opt/free"
profile = "plain"

[[executor.program]]
path   = "/usr/sbin/qm"
writes = ["/var/spool/qm"]

[[issuer]]
name          = "phoenix"
type          = "step-ca"
url           = "https://ca.internal.thinkheads.ai:9000/"
root          = "/mnt/ca/root.crt"
provisioner   = "admin@thinkheads.ai"
password_file = "/mnt/ca/password.txt"
client_provisioner = "mesh-client"
x5c_provisioner = "renewals"
client_credential  = "mesh-client-password"
audience      = "https://ca.other:9000"

[[issuer]]
name        = "acme"
type        = "acme"
directory   = "https://ca.internal.thinkheads.ai:9000/acme/acme/directory"
fingerprint = "AA:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99"
challenge   = "tls-alpn-01"
listen      = "systemd:acme"

[renewal]
concurrency = 8
sweep       = "0 * * * *"
poll        = "5s"

[metrics]
listen = "127.0.0.1:9464"
"#;

const LEAST: &str = r#"
[executor]
target_roots = ["/mnt/pve/quickOS"]

[[issuer]]
name        = "phoenix"
type        = "step-ca"
url         = "https://10.0.0.10:9000"
root        = "/mnt/ca/root.crt"
provisioner = "admin@thinkheads.ai"
"#;

fn problems(text: &str) -> Vec<crate::diagnostic::Located> {
    Settings::parse(text, "certd.toml").expect_err(text).located()
}

fn path(text: &str) -> AbsolutePath {
    text.parse().unwrap()
}

#[test]
fn every_key_is_taken_over() {
    let settings = Settings::parse(FULL, "certd.toml").unwrap();
    assert_eq!(settings.manifest, path("/etc/phoenix/manifest.json"));
    assert_eq!(settings.state_dir, path("/var/lib/phoenix-certd"));
    assert_eq!(settings.executor.target_roots, [path("/mnt/pve/quickOS"), path("/srv/tls")]);
    assert_eq!(settings.renewal.concurrency, 8);
    assert_eq!(settings.renewal.sweep, "0 * * * *");
    assert_eq!(settings.renewal.poll, Duration::from_secs(5));
    assert_eq!(settings.metrics.unwrap().to_string(), "127.0.0.1:9464");
    let [phoenix, acme] = settings.issuers.as_slice() else { panic!("{:?}", settings.issuers) };
    assert_eq!(phoenix.name.as_str(), "phoenix");
    assert_eq!(phoenix.trust, TrustAnchor::File(path("/mnt/ca/root.crt")));
    assert_eq!(
        phoenix.kind,
        IssuerKind::StepCa(StepCaSettings {
            url: "https://ca.internal.thinkheads.ai:9000".to_owned(),
            audience: "https://ca.other:9000".to_owned(),
            provisioner: ProvisionerSettings {
                name: "admin@thinkheads.ai".to_owned(),
                password: Some(PasswordSource::File(path("/mnt/ca/password.txt"))),
            },
            client_provisioner: Some(ProvisionerSettings {
                name: "mesh-client".to_owned(),
                password: Some(PasswordSource::Credential("mesh-client-password".to_owned())),
            }),
            x5c_provisioner: Some("renewals".to_owned()),
        })
    );
    let fingerprint = "aabbccddeeff00112233445566778899".repeat(2);
    assert_eq!(acme.trust, TrustAnchor::Fingerprint(fingerprint));
    let IssuerKind::Acme(kind) = &acme.kind else { panic!("{acme:?}") };
    assert_eq!(kind.challenge, ChallengeKind::TlsAlpn01);
    assert_eq!(kind.listen.as_deref(), Some("systemd:acme"));
}

#[test]
fn a_program_is_confined_as_its_table_says_and_else_by_its_name() {
    let settings = Settings::parse(FULL, "certd.toml").unwrap();
    let of = |program: &str| settings.executor.program(program).unwrap().confined.clone();
    let paths = |texts: &[&str]| texts.iter().map(|text| path(text)).collect::<Vec<_>>();
    let nginx = Opened {
        reads: paths(&["/etc/nginx"]),
        writes: paths(&["/var/log/nginx", "/run/nginx.pid"]),
        sockets: vec![],
        network: true,
        signals: true,
        memory: Some(512),
    };
    let systemctl = Opened {
        reads: paths(&["/run/systemd/system"]),
        sockets: paths(&["/run/systemd/private", "/run/dbus/system_bus_socket"]),
        ..Opened::default()
    };
    assert_eq!(of("/usr/sbin/nginx"), Confined::Strict(nginx));
    assert_eq!(of("/usr/bin/systemctl"), Confined::Strict(systemctl));
    assert_eq!(of("/opt/free"), Confined::Plain);
    assert_eq!(of("/usr/sbin/pct"), Confined::Guest { reads: vec![], writes: vec![] });
    assert_eq!(of("/usr/sbin/qm"), Confined::Guest { reads: vec![], writes: paths(&["/var/spool/qm"]) });
    assert_eq!(settings.executor.program("/bin/sh"), None);
    let order: Vec<_> = settings.executor.programs.iter().map(|program| program.path.clone()).collect();
    assert_eq!(order, settings.executor.commands);
}

#[test]
fn what_is_left_out_has_a_default() {
    let settings = Settings::parse(LEAST, "certd.toml").unwrap();
    assert_eq!(settings.control_socket, path("/run/phoenix-certd/control.sock"));
    assert_eq!(settings.executor.socket, path("/run/phoenix-executor/executor.sock"));
    assert_eq!(settings.executor.commands, [path("/usr/sbin/pct"), path("/usr/sbin/qm")]);
    assert_eq!(settings.renewal.concurrency, 4);
    assert_eq!(settings.renewal.sweep, "*/15 * * * *");
    assert_eq!(settings.renewal.poll, Duration::from_secs(30));
    assert_eq!(settings.metrics, None);
    let IssuerKind::StepCa(kind) = &settings.issuers[0].kind else { panic!("not a step-ca") };
    assert_eq!(kind.audience, "https://10.0.0.10:9000");
    assert_eq!(kind.provisioner.password, None);
    assert_eq!((&kind.client_provisioner, &kind.x5c_provisioner), (&None, &None));
}

/// Each line replaces or extends the line of [`FULL`] that begins like it; the problem must be at `path` and its
/// message or advice must contain `says`.
#[test]
fn every_mistake_is_explained_at_its_place() {
    for (line, replacement, path, says) in [
        ("manifest ", "manifest = \"manifest.json\"", "manifest", "not absolute"),
        ("manifest ", "manifest = 5", "manifest", "a string is needed"),
        ("manifest ", "manifets = \"/m.json\"", "manifets", "did you mean `manifest`?"),
        ("state_dir ", "state_dir = \"/\"", "state_dir", "whole machine"),
        ("state_dir ", "state_dir = \"/var/lib/phoenix-executor/daemon\"", "executor", "lie in each other"),
        (
            "control_socket",
            "control_socket = \"/run/phoenix-executor/c.sock\"",
            "executor",
            "share a directory",
        ),
        ("target_roots", "", "executor.target_roots", "`target_roots` is missing"),
        ("target_roots", "target_roots = []", "executor.target_roots", "empty"),
        ("target_roots", "target_roots = \"/mnt\"", "executor.target_roots", "an array is needed"),
        ("target_roots", "target_roots = [\"/mnt\", \"srv\"]", "executor.target_roots[1]", "not absolute"),
        ("commands", "commands = [\"pct\"]", "executor.commands[0]", "PATH is never searched"),
        ("commands", "command = [\"/usr/sbin/pct\"]", "executor.command", "did you mean `commands`?"),
        ("path    = \"/usr/sbin/nginx\"", "", "executor.program[0].path", "missing"),
        (
            "path    = \"/usr/sbin/nginx\"",
            "path = \"/bin/sh\"",
            "executor.program[0].path",
            "not among `commands`",
        ),
        (
            "path    = \"/opt/free\"",
            "path = \"/usr/sbin/nginx\"",
            "executor.program[1].path",
            "earlier table",
        ),
        ("profile = ", "profile = \"plan\"", "executor.program[1].profile", "did you mean `plain`?"),
        (
            "profile = ",
            "profile = \"plain\"\nreads = [\"/etc\"]",
            "executor.program[1].reads",
            "changes nothing",
        ),
        (
            "profile = ",
            "profile = \"guest\"\nnetwork = true",
            "executor.program[1].network",
            "changes nothing",
        ),
        ("profile = ", "profil = \"plain\"", "executor.program[1].profil", "did you mean `profile`?"),
        ("reads   = ", "reads = [\"etc\"]", "executor.program[0].reads[0]", "not absolute"),
        ("reads   = ", "reads = [\"/\"]", "executor.program[0].reads[0]", "whole machine"),
        (
            "reads   = ",
            "reads = [\"/var/lib/phoenix-executor/entries\"]",
            "executor.program",
            "belongs to the executor",
        ),
        (
            "reads   = ",
            "sockets = [\"/run/phoenix-executor/executor.sock\"]",
            "executor.program",
            "belongs to",
        ),
        ("network = ", "network = \"host\"", "executor.program[0].network", "true or false"),
        ("memory  = ", "memory = 1", "executor.program[0].memory", "64 to"),
        ("commands ", "commands = []", "executor.program[0].path", "not among"),
        ("name          = ", "name = \"Phoenix\"", "issuer[0].name", "is not a name"),
        ("name          = ", "name = \"acme\"", "issuer[1].name", "earlier issuer"),
        ("name          = ", "", "issuer[0].name", "missing"),
        ("type          = ", "type = \"stepca\"", "issuer[0].type", "did you mean `step-ca`?"),
        ("type          = ", "type = \"acme\"", "issuer[0].url", "unknown field"),
        ("url ", "url = \"http://ca:9000\"", "issuer[0].url", "https://"),
        ("url ", "url = \"https://\"", "issuer[0].url", "host and port"),
        ("url ", "url = \"https://ca:0\"", "issuer[0].url", "host and port"),
        ("url ", "url = \"https://ca:99999\"", "issuer[0].url", "host and port"),
        ("url ", "url = \"https://[::1\"", "issuer[0].url", "host and port"),
        ("url ", "url = \"https://ca:9000/1.0\"", "issuer[0].url", "has a path"),
        ("url ", "url = \"https://a@ca\"", "issuer[0].url", "no plain address"),
        ("url ", "url = \"https://c a\"", "issuer[0].url", "no plain address"),
        ("url ", "", "issuer[0].url", "missing"),
        ("root ", "", "issuer[0].root", "missing"),
        ("root ", "root = \"/r\"\nfingerprint = \"00\"", "issuer[0].fingerprint", "keep one of the two"),
        ("provisioner ", "", "issuer[0].provisioner", "missing"),
        ("provisioner ", "provisioner = \"\"", "issuer[0].provisioner", "no name of a provisioner"),
        ("password_file", "password_file = \"/p\"\ncredential = \"p\"", "issuer[0].credential", "keep one"),
        ("password_file", "credential = \"../p\"", "issuer[0].credential", "systemd credential"),
        ("client_provisioner", "", "issuer[0].client_credential", "without `client_provisioner`"),
        ("audience", "audience = \"ca\"", "issuer[0].audience", "https://"),
        ("directory ", "directory = \"acme\"", "issuer[1].directory", "https://"),
        ("fingerprint", "fingerprint = \"abc\"", "issuer[1].fingerprint", "64 hexadecimal"),
        ("challenge", "challenge = \"http01\"", "issuer[1].challenge", "did you mean `http-01`?"),
        ("listen      = ", "", "issuer[1].listen", "missing"),
        ("listen      = ", "listen = \"systemd:\"", "issuer[1].listen", "names no socket"),
        ("listen      = ", "listen = \"443\"", "issuer[1].listen", "address with a port"),
        ("concurrency", "concurrency = 0", "renewal.concurrency", "1 to 64"),
        ("concurrency", "concurrency = 65", "renewal.concurrency", "1 to 64"),
        ("concurrency", "concurrency = \"4\"", "renewal.concurrency", "a number is needed"),
        ("concurrency", "concurrency = 1.5", "renewal.concurrency", "no whole number"),
        ("sweep", "sweep = \"hourly\"", "renewal.sweep", "five as in crontab(5)"),
        ("poll", "poll = 5", "renewal.poll", "such as \"5s\""),
        ("poll", "poll = \"5\"", "renewal.poll", "number with a unit"),
        ("listen = \"127", "listen = \":9464\"", "metrics.listen", "address with a port"),
        ("[metrics]", "[metric]", "metric", "did you mean `metrics`?"),
        ("[renewal]", "[renewal]\njitter = true", "renewal.jitter", "unknown field"),
    ] {
        let broken: Vec<&str> =
            FULL.lines().map(|old| if old.starts_with(line) { replacement } else { old }).collect();
        let broken = broken.join("\n");
        assert_ne!(broken, FULL.trim_end(), "{line} is no line of the example");
        let found = problems(&broken);
        let hit = found.iter().any(|problem| {
            let told = format!("{} {}", problem.message, problem.help.as_deref().unwrap_or_default());
            problem.path == path && told.contains(says) && problem.severity == Severity::Error
        });
        assert!(hit, "{replacement}: nothing at {path} says `{says}`: {found:#?}");
    }
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let text =
        "manifest = 1\n[executor]\ntarget_roots = [\"a\", \"/b\", 3]\n[renewal]\npoll = \"x\"\nfoo = 1\n";
    let paths: Vec<String> = problems(text).into_iter().map(|problem| problem.path).collect();
    let expected = [
        "issuer",
        "manifest",
        "executor.target_roots[0]",
        "executor.target_roots[2]",
        "renewal.poll",
        "renewal.foo",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_file_without_issuers_or_with_a_wrong_shape_is_refused() {
    for (text, path) in [
        ("", "issuer"),
        ("issuer = []", "issuer"),
        ("issuer = [1]", "issuer[0]"),
        ("[issuer]\nname = \"a\"", "issuer"),
        ("executor = 3", "executor"),
        ("[[renewal]]", "renewal"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.path == path), "{text}: {found:#?}");
    }
}

#[test]
fn syntax_errors_are_located() {
    let found = problems("manifest = \"/a\"\nstate_dir = /b\n[executor\n");
    assert!(
        found.iter().any(|problem| problem.message.contains("not TOML") && problem.line == 2),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|problem| problem.message.contains("not TOML") && problem.line == 3),
        "{found:#?}"
    );
    let found = problems(&format!("{LEAST}\nname = \"twice\"\n"));
    assert!(found.iter().any(|problem| problem.message.contains("not TOML")), "{found:#?}");
}

#[test]
fn the_report_quotes_the_line_and_marks_the_place() {
    let text = LEAST.replace("https://10.0.0.10:9000", "http://10.0.0.10:9000");
    let report = Settings::parse(&text, "/etc/phoenix-certd/certd.toml").unwrap_err().to_string();
    assert!(report.contains("/etc/phoenix-certd/certd.toml:8:15"), "{report}");
    assert!(report.contains("8 | url         = \"http://10.0.0.10:9000\""), "{report}");
    assert!(report.contains("^^^^^^^^^^^^^^^^^^^^^^^ issuer[0].url"), "{report}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_every_problem_lies_in_the_text(
        text: String, at in 0..FULL.len(), cut in 0..40_usize, splice in "[\\[\\]\"=a-z0-9\n.,#é ]{0,8}",
    ) {
        let end = (at + cut).min(FULL.len());
        let mutated = format!("{}{splice}{}", &FULL[..at], &FULL[end..]);
        for text in [text, mutated] {
            if let Err(problems) = Settings::parse(&text, "x") {
                prop_assert!(!problems.is_empty());
                for problem in &problems {
                    prop_assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
                }
                let _ = problems.to_string();
            }
        }
    }
}

#[test]
fn a_dns_hook_is_a_program_by_its_path_with_arguments() {
    let with = |hook: &str| {
        let acme = "[[issuer]]\nname = \"acme\"\ntype = \"acme\"\nroot = \"/r.crt\"\nchallenge = \"dns-01\"\n\
                    directory = \"https://ca.example/directory\"\n";
        let executor = "[executor]\ncommands = [\"/usr/local/sbin/dns-hook\"]";
        let text = LEAST.replacen("[executor]", executor, 1);
        Settings::parse(&format!("{text}\n{acme}dns_hook = {hook}\n"), "certd.toml")
    };
    let settings = with("[\"/usr/local/sbin/dns-hook\", \"--zone\"]").unwrap();
    let IssuerKind::Acme(kind) = &settings.issuers[1].kind else { panic!("{settings:?}") };
    assert_eq!(kind.dns_hook.as_deref().unwrap(), ["/usr/local/sbin/dns-hook", "--zone"]);
    for wrong in [
        "[]",
        "[\"dns-hook\"]",
        "[\"/usr/sbin/qm\"]",
        "\"/usr/local/sbin/dns-hook\"",
        "[\"/x\", 1]",
        "[\"/x\", \"\\u0000\"]",
    ] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
}
