//! Commands that run without an error and without the effect that was meant.
//!
//! Each of these was measured with the real programs. The lints look through `pct exec`, `qm guest exec` and
//! `sh -c '…'`.

use super::{Delivery, Entry, Guest, GuestKind, Usage, shell};

/// A sentence and advice.
pub(super) struct Lint {
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Shells within shells that are looked into.
const MAX_DEPTH: usize = 4;
/// Words in front of a command that leave it what it is.
const PREFIXES: &[&str] = &["exec", "nohup", "!", "if", "then", "else", "do", "while", "until", "{", "("];
/// Programs that run the command behind their own options.
const RUNNERS: &[&str] = &["sudo", "env", "nice", "timeout", "setsid", "ionice", "systemd-run"];

/// Lints of an entry's command, or of having none.
pub(super) fn lints(entry: &Entry) -> Vec<Lint> {
    let argv = entry.command.as_ref().map(|command| command.argv.as_slice()).unwrap_or_default();
    let commands = commands(argv, 0);
    let mut found = Vec::new();
    found.extend(reloads_docker(&commands));
    found.extend(recreates_secret(&commands));
    found.extend(restarts_traefik(&commands));
    found.extend(forgets_nginx(entry, &commands));
    found.extend(picks_up_nothing(entry, argv));
    if let Some(call) = GuestCall::of(argv) {
        found.extend(call.lints(entry.guest));
    }
    found
}

/// The simple commands that `argv` leads to.
fn commands(argv: &[String], depth: usize) -> Vec<Vec<String>> {
    let argv = bare(argv);
    if depth == MAX_DEPTH || argv.is_empty() {
        return Vec::new();
    }
    if let Some(call) = GuestCall::of(argv) {
        return commands(call.inner, depth + 1);
    }
    match script(argv) {
        Some(script) => shell::commands(script).iter().flat_map(|words| commands(words, depth + 1)).collect(),
        None => vec![argv.to_vec()],
    }
}

/// Without what stands in front of the program: `sudo -n`, `timeout 30`, `A=b`.
fn bare(argv: &[String]) -> &[String] {
    let mut rest = argv;
    while let [first, behind @ ..] = rest {
        rest = if PREFIXES.contains(&first.as_str()) || is_assignment(first) {
            behind
        } else if RUNNERS.contains(&program(rest)) {
            let option =
                |word: &String| word.starts_with('-') || word.starts_with(|c: char| c.is_ascii_digit());
            behind.get(behind.iter().take_while(|word| option(word)).count()..).unwrap_or_default()
        } else {
            break;
        };
    }
    rest
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The file name of a program.
fn program(argv: &[String]) -> &str {
    argv.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default()
}

/// The script of `sh -c SCRIPT`.
fn script(argv: &[String]) -> Option<&str> {
    if !matches!(program(argv), "sh" | "bash" | "dash" | "ash" | "busybox") {
        return None;
    }
    let flag = argv
        .iter()
        .position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))?;
    argv.get(flag + 1).map(String::as_str)
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|known| known == word)
}

fn unit(words: &[String], name: &str) -> bool {
    words.iter().any(|word| word.strip_suffix(".service").unwrap_or(word) == name)
}

fn reloads_docker(commands: &[Vec<String>]) -> Option<Lint> {
    const RELOADS: [&str; 3] = ["reload", "reload-or-restart", "try-reload-or-restart"];
    let hit = commands.iter().find(|words| match program(words) {
        "systemctl" => {
            unit(words, "docker") && RELOADS.iter().any(|reload| has(words, reload)) || hangs_up(words)
        }
        "service" => has(words, "docker") && has(words, "reload"),
        "kill" | "pkill" | "killall" => hangs_up(words),
        "docker" => has(words, "reload") && words.len() == 2,
        _ => false,
    })?;
    Some(Lint {
        message: format!("`{}` does not make dockerd read its certificates again", hit.join(" ")),
        help: "dockerd reads them only when it starts: use `systemctl restart docker`, or put an nginx stream front \
               before it and reload that",
    })
}

/// A SIGHUP for dockerd.
fn hangs_up(words: &[String]) -> bool {
    let signal = words.iter().any(|word| {
        let word = word.trim_start_matches("--signal=").trim_start_matches("-s").trim_start_matches('-');
        matches!(word.trim_start_matches("SIG"), "HUP" | "1")
    });
    signal && (unit(words, "docker") || words.iter().any(|word| word.contains("dockerd")))
}

fn recreates_secret(commands: &[Vec<String>]) -> Option<Lint> {
    let does = |verb: &str| {
        commands.iter().any(|words| {
            program(words) == "docker"
                && words
                    .windows(2)
                    .any(|pair| matches!(pair, [noun, what] if noun == "secret" && what == verb))
        })
    };
    (does("rm") && does("create")).then(|| Lint {
        message: "`docker secret rm` fails while a service uses the secret, and `create` then fails, too".to_owned(),
        help: "make secrets with new names and swap them in one `docker service update --secret-rm … --secret-add …`",
    })
}

/// Traefik takes new certificates without one, and a restart closes its listeners while running requests end.
fn restarts_traefik(commands: &[Vec<String>]) -> Option<Lint> {
    let hit = commands.iter().find(|words| match program(words) {
        "systemctl" => {
            unit(words, "traefik") && ["restart", "try-restart"].iter().any(|verb| has(words, verb))
        }
        "service" => has(words, "traefik") && has(words, "restart"),
        _ => false,
    })?;
    Some(Lint {
        message: format!("`{}` loses the requests of the moment and gains nothing", hit.join(" ")),
        help: "Traefik serves a new certificate after `systemctl reload traefik`, and reads those of its providers \
               for every connection: an entry for Docker's API needs no command",
    })
}

/// nginx reads the certificate that it presents to its upstreams only when it starts or reloads.
fn forgets_nginx(entry: &Entry, commands: &[Vec<String>]) -> Option<Lint> {
    let text = |text: &str| text.to_ascii_lowercase().contains("nginx");
    let of_nginx = text(&entry.common_name) || text(entry.cert_path.as_str()) || text(entry.name.as_str());
    let reloads = commands.iter().any(|words| match program(words) {
        "nginx" => has(words, "-s") && has(words, "reload"),
        "systemctl" | "service" => {
            unit(words, "nginx")
                && words.iter().any(|word| word.contains("reload") || word.contains("restart"))
        }
        "kill" | "pkill" | "killall" | "docker" => words.iter().any(|word| text(word)),
        _ => false,
    });
    (entry.usage == Usage::Client && of_nginx && !reloads && entry.stage_errors.is_empty()).then(|| Lint {
        message: "nginx goes on presenting the old client certificate: nothing reloads it".to_owned(),
        help: "end the command with `systemctl reload nginx`",
    })
}

/// A command that was written for copies in `/tmp` that this entry does not deliver.
fn picks_up_nothing(entry: &Entry, argv: &[String]) -> Option<Lint> {
    let there = |path: &str| match &entry.delivery {
        Some(Delivery::Legacy { ca }) => *ca || path != "/tmp/ca.pem",
        Some(Delivery::Explicit { cert, key, ca, .. }) => {
            [cert, key, ca].into_iter().flatten().any(|known| known.as_str() == path)
        }
        None => true,
    };
    let named =
        |path: &str| argv.iter().any(|word| word.split([' ', '\'', '"', ';', '\n']).any(|part| part == path));
    let copies = ["/tmp/cert.pem", "/tmp/key.pem", "/tmp/ca.pem"];
    let path = copies.into_iter().find(|path| named(path) && !there(path))?;
    Some(Lint {
        message: format!("the command picks up {path}, which is not delivered"),
        help: match &entry.delivery {
            Some(Delivery::Legacy { .. }) => "add \"include_ca\": true, or leave the file out of the command",
            _ => {
                "with `deliver` the files are at its destinations: leave the copies in /tmp out of the command"
            }
        },
    })
}

/// A call of `pct exec` or `qm guest exec`.
struct GuestCall<'a> {
    kind: GuestKind,
    id: &'a str,
    /// `--` stands before the inner command.
    separated: bool,
    inner: &'a [String],
}

impl<'a> GuestCall<'a> {
    fn of(argv: &'a [String]) -> Option<Self> {
        let word = |index: usize| argv.get(index).map(String::as_str);
        let (kind, at) = match (program(argv), word(1), word(2)) {
            ("pct", Some("exec"), _) => (GuestKind::Lxc, 2),
            ("qm", Some("guest"), Some("exec")) => (GuestKind::Vm, 3),
            _ => return None,
        };
        let rest = argv.get(at + 1..).unwrap_or_default();
        let separator = rest.iter().position(|word| word == "--");
        let separated = separator.is_some();
        let inner = match separator {
            Some(at) => rest.get(at + 1..).unwrap_or_default(),
            None => rest,
        };
        Some(Self { kind, id: word(at)?, separated, inner })
    }

    fn lints(&self, guest: Option<Guest>) -> Vec<Lint> {
        let mut found = Vec::new();
        let mut add = |message: String, help: &'static str| found.push(Lint { message, help });
        if let Some(guest) = guest.filter(|guest| guest.id.to_string() != self.id || guest.kind != self.kind)
        {
            let called = if self.kind == GuestKind::Lxc { "LXC" } else { "VM" };
            let message =
                format!("the files are delivered into {guest}, and the command runs in {called} {}", self.id);
            add(message, "name the same guest in both places");
        }
        match self.inner.first() {
            None => add("there is no command to run inside the guest".to_owned(), "write it after `--`"),
            Some(program) if program.contains(char::is_whitespace) => add(
                format!("the guest would look for a program called `{program}`, spaces included"),
                "make each word an argument of its own, or run `/bin/sh -c '…'`",
            ),
            Some(_) if !self.separated && self.inner.iter().any(|word| word.starts_with('-')) => add(
                "options of the inner command are taken for options of the outer one".to_owned(),
                "write `--` before the command that runs inside the guest",
            ),
            Some(_) => {}
        }
        found
    }
}
