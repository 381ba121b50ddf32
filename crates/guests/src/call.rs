//! What a command line asks `pct` or `qm` for.

use std::time::Duration;

use phoenix_core::manifest::{Guest, GuestKind};

/// How an answer has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `qm guest exec`: exit status 0 says nothing, the JSON on standard output does.
    AgentExec(Option<Guest>),
    /// `pct exec`: exit status of the command in the container, or of `pct` itself.
    ContainerExec(Option<Guest>),
    /// `pct push`: may exit with 0 after a failure.
    ContainerPush(Option<Guest>),
    /// Another use of `pct` or `qm`.
    Other(Option<Guest>),
    /// Another program: its exit status counts.
    Plain,
}

impl Call {
    /// Reads program and arguments.
    pub fn of(argv: &[String]) -> Self {
        let (Some(program), words) = (argv.first(), argv.get(1..).unwrap_or_default()) else {
            return Self::Plain;
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (program.rsplit('/').next(), words.as_slice()) {
            (Some("qm"), ["guest", "exec", rest @ ..]) => Self::AgentExec(guest(GuestKind::Vm, rest)),
            (Some("qm"), ["guest", _, rest @ ..] | [_, rest @ ..]) => Self::Other(guest(GuestKind::Vm, rest)),
            (Some("pct"), ["exec", rest @ ..]) => Self::ContainerExec(guest(GuestKind::Lxc, rest)),
            (Some("pct"), ["push", rest @ ..]) => Self::ContainerPush(guest(GuestKind::Lxc, rest)),
            (Some("pct"), [_, rest @ ..]) => Self::Other(guest(GuestKind::Lxc, rest)),
            (Some("pct" | "qm"), []) => Self::Other(None),
            _ => Self::Plain,
        }
    }

    /// Kind of guest that the program reaches, where the command line tells.
    pub fn kind(self) -> Option<GuestKind> {
        match self {
            Self::AgentExec(_) => Some(GuestKind::Vm),
            Self::ContainerExec(_) | Self::ContainerPush(_) => Some(GuestKind::Lxc),
            Self::Other(guest) => guest.map(|guest| guest.kind),
            Self::Plain => None,
        }
    }

    /// Guest that is meant, where the command line tells.
    pub fn guest(self) -> Option<Guest> {
        match self {
            Self::AgentExec(guest)
            | Self::ContainerExec(guest)
            | Self::ContainerPush(guest)
            | Self::Other(guest) => guest,
            Self::Plain => None,
        }
    }
}

/// The VMID: usually the first word; otherwise the first one that is no option's value.
fn guest(kind: GuestKind, words: &[&str]) -> Option<Guest> {
    let before = words.split(|word| *word == "--").next().unwrap_or_default();
    let mut previous_is_option = false;
    for word in before {
        let option = word.starts_with('-');
        if let (false, false, Ok(id)) = (option, previous_is_option, word.parse()) {
            return Some(Guest { kind, id });
        }
        previous_is_option = option && !word.contains('=');
    }
    None
}

/// The command line with a time limit for `qm guest exec`, whose own is 30 seconds, unless it names one or asks
/// not to wait. Other command lines stay as they are.
pub fn prepare_argv(argv: &[String], timeout: Duration) -> Vec<String> {
    match Call::of(argv) {
        Call::AgentExec(_) => with_time_limit(argv, timeout),
        _ => argv.to_vec(),
    }
}

/// The command line of a `qm guest exec` with a time limit.
pub(crate) fn with_time_limit(argv: &[String], timeout: Duration) -> Vec<String> {
    let mut argv = argv.to_vec();
    let end = argv.iter().position(|word| word == "--");
    let options = argv.get(3..end.unwrap_or(argv.len())).unwrap_or_default();
    if options.iter().any(|word| is_option(word, "timeout") || is_option(word, "synchronous")) {
        return argv;
    }
    // Without `--` the command follows the VMID directly.
    let place = end
        .unwrap_or_else(|| 3 + usize::from(options.first().is_some_and(|word| word.parse::<u32>().is_ok())));
    // A limit of 0 would be none at all.
    let seconds = timeout.as_secs_f64().ceil().max(1.0) as u64;
    argv.splice(place..place, ["--timeout".to_owned(), seconds.to_string()]);
    argv
}

/// Options are written with one or two dashes, their value in the same word or the next.
fn is_option(word: &str, name: &str) -> bool {
    word.starts_with('-') && word.trim_start_matches('-').split('=').next() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn command_lines_are_told_apart_by_program_and_verb() {
        let vm = |id| Some(Guest { kind: GuestKind::Vm, id });
        let lxc = |id| Some(Guest { kind: GuestKind::Lxc, id });
        let cases = [
            ("/usr/sbin/qm guest exec 1001 -- systemctl restart docker", Call::AgentExec(vm(1001))),
            ("qm guest exec --timeout 20 1001 -- pct exec 5", Call::AgentExec(vm(1001))),
            ("qm guest exec --timeout=20 1001 -- true", Call::AgentExec(vm(1001))),
            ("qm guest exec -- 1001", Call::AgentExec(None)),
            ("qm guest exec", Call::AgentExec(None)),
            ("qm guest exec-status 1001 77", Call::Other(vm(1001))),
            ("qm agent 1001 ping", Call::Other(vm(1001))),
            ("qm", Call::Other(None)),
            ("/usr/sbin/pct exec 102 -- sh -c x", Call::ContainerExec(lxc(102))),
            ("pct exec 102 --keep-env 0 -- true", Call::ContainerExec(lxc(102))),
            ("pct push 102 /a /b", Call::ContainerPush(lxc(102))),
            ("pct reboot 102", Call::Other(lxc(102))),
            ("/usr/sbin/nginx -s reload", Call::Plain),
            ("/usr/local/bin/my-pct exec 102", Call::Plain),
        ];
        for (line, expected) in cases {
            assert_eq!(Call::of(&words(line)), expected, "{line}");
        }
        assert_eq!(Call::of(&[]), Call::Plain);
    }

    #[test]
    fn the_agent_gets_a_time_limit_unless_there_is_one() {
        let cases = [
            ("/x/qm guest exec 1001 -- a -- b", "/x/qm guest exec 1001 --timeout 90 -- a -- b"),
            ("qm guest exec 1001 --pass-stdin 1 -- a", "qm guest exec 1001 --pass-stdin 1 --timeout 90 -- a"),
            ("qm guest exec 1001 systemctl", "qm guest exec 1001 --timeout 90 systemctl"),
            ("qm guest exec 1001 -- a --timeout 5", "qm guest exec 1001 --timeout 90 -- a --timeout 5"),
            ("qm guest exec", "qm guest exec --timeout 90"),
        ];
        for (line, expected) in cases {
            assert_eq!(prepare_argv(&words(line), Duration::from_secs(90)), words(expected));
        }
        let same = [
            "qm guest exec 1001 --timeout 5 -- a",
            "qm guest exec 1001 -timeout=5 -- a",
            "qm guest exec 1001 --synchronous 0 -- a",
            "qm guest exec-status 1001 7",
            "pct exec 102 -- a",
        ];
        for line in same {
            assert_eq!(prepare_argv(&words(line), Duration::from_secs(90)), words(line));
        }
    }

    #[test]
    fn a_time_limit_is_never_zero_which_would_be_none() {
        for (limit, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let argv = prepare_argv(&words("qm guest exec 1 -- a"), Duration::from_millis(limit));
            assert_eq!(argv[5], seconds);
        }
    }
}
