//! The commands that reproduce a problem.

use std::process::Command;

use super::cases::Scene;
use crate::explanation::reproduce::{Problem, Reproduction, quoted, reproduce};
use crate::reason::Reason;
use crate::settings::Settings;

const SETTINGS: &str = r#"
    [executor]
    target_roots = ["/mnt", "/mnt/one"]
    commands = ["/usr/sbin/pct", "/usr/sbin/qm"]
    [[issuer]]
    name = "phoenix"
    type = "step-ca"
    url = "https://ca.internal:9000"
    root = "/mnt/root.crt"
    provisioner = "admin"
    password_file = "/mnt/password"
"#;

fn of(scene: &Scene, reason: Reason) -> Vec<Reproduction> {
    let settings = Settings::parse(SETTINGS, "certd.toml").unwrap();
    let leaf = scene.seen.own.as_ref().map(|own| &own.leaf);
    let issuer = settings.issuers.first();
    reproduce(&Problem {
        entry: &scene.entry,
        leaf,
        reason,
        stage: None,
        issuer,
        executor: &settings.executor,
    })
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a real shell has to understand the line")]
fn a_command_is_reproduced_word_for_word_with_its_environment() {
    let mut scene = Scene::deployed();
    let command = scene.entry.command.as_mut().unwrap();
    command.argv = vec!["/bin/sh".into(), "-c".into(), "echo \"it's $PHOENIX_NAME\"; exit 3".into()];
    let found = of(&scene, Reason::CommandFailed).remove(0);
    let ended = Command::new("/bin/sh").args(["-c", &found.shell]).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", found.shell);
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "it's one\n");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a real shell has to understand the line")]
fn any_word_survives_the_shell() {
    for word in ["", "plain", "two words", "it's", "$HOME `x` \\ \"", "a\nb", "~", "*", "ä", "-n", "!"] {
        let script = format!("printf %s {}", quoted(word));
        let ended = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), word);
    }
}

#[test]
fn what_failed_is_what_the_command_looks_at() {
    let scene = Scene::deployed();
    for (reason, line) in [
        (Reason::GuestOff, "/usr/sbin/pct exec 102 -- true"),
        (
            Reason::CaUnreachable,
            "curl --silent --show-error --fail --max-time 10 --cacert /mnt/root.crt https://ca.internal:9000/health",
        ),
        (Reason::IssuerNotReady, "ls -l /mnt/root.crt /mnt/password"),
        (Reason::StorageAbsent, "mountpoint /mnt/one"),
        (Reason::WrongPassword, "phoenix-certctl renew --generate-only one"),
        (Reason::Expired, "openssl x509 -in /mnt/one/cert.pem -noout -enddate -checkend 0"),
    ] {
        assert_eq!(of(&scene, reason)[0].shell, line);
    }
    let password = of(&scene, Reason::WrongPassword).remove(1).shell;
    assert!(password.ends_with("--provisioner admin --password-file /mnt/password"), "{password}");
}

#[test]
fn every_reason_that_can_be_looked_at_has_a_command() {
    let scene = Scene::deployed();
    let quiet = [
        Reason::Forced,
        Reason::Held,
        Reason::Paused,
        Reason::WindowClosed,
        Reason::RestartBudget,
        Reason::Stale,
    ];
    for reason in Reason::ALL {
        // These need an owner or a verification in the manifest.
        let configured = !matches!(reason, Reason::MissingOwner)
            && !matches!(
                reason.code(),
                "not-verified"
                    | "look-put-off"
                    | "unreachable"
                    | "demands-client"
                    | "accepts-anyone"
                    | "wrong-status"
                    | "check-failed"
            )
            && !reason.code().starts_with("serves-")
            && !reason.code().starts_with("refuses-");
        let expected = configured && !quiet.contains(reason);
        assert_eq!(!of(&scene, *reason).is_empty(), expected, "{reason}");
    }
}
