//! Commands that show a problem without this software: what an operator types to see it with his own eyes.

mod consumer;
mod issuer;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::facts::LeafFacts;
use crate::lifecycle::Stage;
use crate::manifest::{Delivery, Entry, Guest, GuestKind, Principal};
use crate::name::AbsolutePath;
use crate::reason::Reason;
use crate::settings::{ExecutorSettings, IssuerSettings};

/// A command that shows a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reproduction {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables that it is to be given.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// The same as a line for a POSIX shell.
    pub shell: String,
}

impl Reproduction {
    /// Without variables.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::with(Vec::new(), argv.into_iter().map(Into::into).collect())
    }

    fn with(env: Vec<(String, String)>, argv: Vec<String>) -> Self {
        let variables = env.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words: Vec<String> = variables.chain(argv.iter().map(|word| quoted(word))).collect();
        Self { shell: words.join(" "), argv, env }
    }

    fn script(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { argv: vec!["/bin/sh".into(), "-c".into(), text.clone()], env: Vec::new(), shell: text }
    }
}

/// `word` as one word of a POSIX shell (XCU section 2.2). A program can be given no word with a zero byte in it.
pub fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| "''".to_owned(), std::borrow::Cow::into_owned)
}

/// What a command of `entry` is told in its environment.
pub fn environment(entry: &Entry, leaf: &LeafFacts) -> Vec<(String, String)> {
    [
        ("PHOENIX_NAME", entry.name.to_string()),
        ("PHOENIX_CERT_PATH", entry.cert_path.to_string()),
        ("PHOENIX_KEY_PATH", entry.key_path.to_string()),
        ("PHOENIX_SERIAL", leaf.serial.clone()),
        ("PHOENIX_FINGERPRINT", leaf.fingerprint.clone()),
        ("PHOENIX_NOT_AFTER", leaf.not_after.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A problem of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Whose.
    pub entry: &'a Entry,
    /// The certificate that the stages after writing are about.
    pub leaf: Option<&'a LeafFacts>,
    /// What it is.
    pub reason: Reason,
    /// The stage that failed, if one did.
    pub stage: Option<Stage>,
    /// The issuer that is asked first.
    pub issuer: Option<&'a IssuerSettings>,
    /// Where files are written and which programs may be run.
    pub executor: &'a ExecutorSettings,
}

/// Commands that show `problem`, the most telling first. None where there is nothing to see.
pub fn reproduce(problem: &Problem<'_>) -> Vec<Reproduction> {
    use Reason as R;
    let (cert, key) = (problem.entry.cert_path.to_string(), problem.entry.key_path.to_string());
    let name = problem.entry.name.as_str();
    let x509 = |options: &[&str]| {
        vec![Reproduction::new([&["openssl", "x509", "-in", &cert, "-noout"], options].concat())]
    };
    match problem.reason {
        R::CommandFailed | R::CommandKilled | R::CommandTimeout | R::CommandNotStarted | R::NotActivated => {
            problem.stage_command()
        }
        R::CommandRefused => {
            problem.program().map(|program| Reproduction::new(["ls", "-l", &program])).into_iter().collect()
        }
        R::GuestAbsent | R::GuestOff | R::GuestLocked | R::AgentMissing | R::AgentBlocked => {
            problem.enter_guest()
        }
        R::NotDelivered | R::DeliveryDiffers | R::DeliveryReverted => problem.look_into_guest(),
        R::Missing => vec![Reproduction::new(["ls", "-l", &cert, &key])],
        R::Unreadable => x509(&["-subject"]),
        R::KeyMismatch => vec![Reproduction::script(format!(
            "test \"$(openssl x509 -in {0} -noout -pubkey)\" = \"$(openssl pkey -in {1} -pubout)\"",
            quoted(&cert),
            quoted(&key)
        ))],
        R::Expired => x509(&["-enddate", "-checkend", "0"]),
        R::NotYetValid | R::Due | R::Revoked => x509(&["-serial", "-dates"]),
        R::Issuer => problem.check_chain(),
        R::NamesDiffer => x509(&["-subject", "-ext", "subjectAltName"]),
        R::KeyType | R::Eku => x509(&["-text"]),
        R::FileChanged | R::ForeignWriter | R::OwnerDrift | R::ModeDrift => {
            vec![Reproduction::new(["stat", "--format=%n %U:%G %a %y", &cert, &key])]
        }
        R::DriftLoop | R::RolledBack => vec![Reproduction::new(["phoenix-certctl", "history", name])],
        R::ManifestError | R::UnknownEntry => vec![Reproduction::new(["phoenix-certctl", "validate"])],
        R::StorageAbsent => {
            problem.root().map(|root| Reproduction::new(["mountpoint", &root])).into_iter().collect()
        }
        R::StorageHangs => vec![Reproduction::new(["timeout", "20", "stat", &cert, &key])],
        R::DiskFull | R::ReadOnly | R::IoError | R::PermissionDenied | R::RootSquash => {
            vec![problem.write_there()]
        }
        R::MissingOwner => problem.resolve_owner(),
        R::Symlink | R::OutsideRoots | R::NotAFile => vec![Reproduction::new(["namei", "-l", &cert, &key])],
        R::CaUnreachable | R::CaError | R::CaAnswer | R::WrongRoot => problem.ask_health(),
        R::ClockDiffers => [vec![Reproduction::new(["date", "-u"])], problem.ask_health()].concat(),
        R::IssuerNotReady => [problem.list_secrets(), problem.ask_health()].concat(),
        R::TrustChanged => problem.show_root(),
        R::UnknownProvisioner => problem.find_provisioner(),
        R::WrongPassword | R::PasswordLocked => [problem.ask_again(), problem.step_token()].concat(),
        R::TokenRefused
        | R::DurationLimits
        | R::CaForbids
        | R::CaRejects
        | R::WrongAnswer
        | R::EkuRefused => [problem.ask_again(), problem.step_certificate()].concat(),
        R::Unreachable
        | R::ServesOther
        | R::ServesExpired
        | R::ServesDefault
        | R::RefusesClient
        | R::DemandsClient
        | R::AcceptsAnyone
        | R::WrongStatus
        | R::CheckFailed
        | R::LookPutOff
        | R::NotVerified => problem.probe(),
        R::ExecutorGone => vec![Reproduction::new(["systemctl", "status", "phoenix-executor"])],
        R::Internal | R::BadRequest => {
            vec![Reproduction::new(["journalctl", "-u", "phoenix-executor", "-n", "50"])]
        }
        R::Forced | R::Held | R::Paused | R::WindowClosed | R::RestartBudget | R::Stale => Vec::new(),
    }
}

impl Problem<'_> {
    fn command(&self) -> Option<Reproduction> {
        let command = self.entry.command.as_ref()?;
        let env = self.leaf.map(|leaf| environment(self.entry, leaf)).unwrap_or_default();
        let mut argv = command.argv.clone();
        if self.reason == Reason::CommandTimeout {
            argv.splice(0..0, ["timeout".to_owned(), command.timeout.as_secs().to_string()]);
        }
        Some(Reproduction::with(env, argv))
    }

    /// The command of the stage that failed: a delivery runs programs too.
    fn stage_command(&self) -> Vec<Reproduction> {
        if self.stage == Some(Stage::Deliver) {
            return self.look_into_guest();
        }
        self.command().into_iter().collect()
    }

    fn program(&self) -> Option<String> {
        self.entry.command.as_ref()?.argv.first().cloned()
    }

    /// The allow-listed program of this name.
    fn allowed(&self, name: &str) -> String {
        let is = |path: &&AbsolutePath| path.as_path().file_name().is_some_and(|found| found == name);
        self.executor.commands.iter().find(is).map_or_else(|| name.to_owned(), ToString::to_string)
    }

    /// The guest that the entry, or else its command, enters.
    fn guest(&self) -> Option<Guest> {
        self.entry.guest.or_else(|| {
            let words: Vec<&str> = self.entry.command.as_ref()?.argv.iter().map(String::as_str).collect();
            let program =
                |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
            match words.as_slice() {
                [pct, "exec", id, ..] if program(pct)? == "pct" => {
                    Some(Guest { kind: GuestKind::Lxc, id: id.parse().ok()? })
                }
                [qm, "guest", "exec", id, ..] if program(qm)? == "qm" => {
                    Some(Guest { kind: GuestKind::Vm, id: id.parse().ok()? })
                }
                _ => None,
            }
        })
    }

    /// `words` inside the guest.
    fn inside(&self, words: &[&str]) -> Vec<Reproduction> {
        let Some(guest) = self.guest() else { return self.command().into_iter().collect() };
        let id = guest.id.to_string();
        let (program, head) = match guest.kind {
            GuestKind::Lxc => (self.allowed("pct"), vec!["exec", &id, "--"]),
            GuestKind::Vm => (self.allowed("qm"), vec!["guest", "exec", &id, "--"]),
        };
        vec![Reproduction::new([&[program.as_str()][..], &head, words].concat())]
    }

    fn enter_guest(&self) -> Vec<Reproduction> {
        self.inside(&["true"])
    }

    /// What the delivery's places hold, and whether something can be written beside them.
    fn look_into_guest(&self) -> Vec<Reproduction> {
        let places: Vec<String> = match &self.entry.delivery {
            Some(Delivery::Explicit { cert, key, ca, .. }) => [cert, key, ca]
                .into_iter()
                .flatten()
                .map(|path| quoted(path.as_path().to_string_lossy().as_ref()))
                .collect(),
            Some(Delivery::Legacy { .. }) => vec!["/tmp/cert.pem".into(), "/tmp/key.pem".into()],
            None => return self.enter_guest(),
        };
        let script = format!(
            "for f in {}; do d=$(dirname \"$f\"); t=$(mktemp \"$d/.phoenix.XXXXXX\") || exit 1; rm -f \"$t\"; \
             sha256sum \"$f\"; done",
            places.join(" ")
        );
        self.inside(&["/bin/sh", "-c", &script])
    }

    /// The target root above the pair.
    fn root(&self) -> Option<String> {
        let above = |root: &&AbsolutePath| self.entry.cert_path.as_path().starts_with(root.as_path());
        self.executor
            .target_roots
            .iter()
            .filter(above)
            .max_by_key(|root| root.as_path().as_os_str().len())
            .map(ToString::to_string)
    }

    fn write_there(&self) -> Reproduction {
        let dir =
            self.entry.key_path.as_path().parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        let owner = match &self.entry.owner {
            Some(owner) => quoted(&owner.to_string()),
            None => format!("--reference={}", quoted(&dir)),
        };
        Reproduction::script(format!(
            "t=$(mktemp {}) && head -c 65536 /dev/zero >\"$t\" && chown {owner} \"$t\"; s=$?; rm -f \"$t\"; (exit $s)",
            quoted(&format!("{dir}/.phoenix.XXXXXX"))
        ))
    }

    fn resolve_owner(&self) -> Vec<Reproduction> {
        let Some(owner) = &self.entry.owner else { return Vec::new() };
        let look = |database: &str, of: &Principal| Reproduction::new(["getent", database, &of.to_string()]);
        vec![look("passwd", &owner.user), look("group", &owner.group)]
    }
}
