//! What to do about a command that failed because it is confined, as far as its own words tell.

use phoenix_core::reason::{Reason, Trouble};

/// Words of system and programs, in lower case, and what would let the command do what it was about to do. The
/// first one that fits is told.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["booted with systemd", "d-bus", "dbus", "system bus"],
        "it may not ask systemd: give it `sockets = [\"/run/systemd/private\", \"/run/dbus/system_bus_socket\"]` and \
         `reads = [\"/run/systemd/system\"]`",
    ),
    (
        &[
            "network is unreachable",
            "could not resolve",
            "name resolution",
            "couldn't connect",
            "failed to connect",
        ],
        "it has no network: give it `network = true`, and where the executor runs as a service open \
         `RestrictAddressFamilies=` and `IPAddressDeny=` of its unit",
    ),
    (&["read-only file system"], "name what it writes to in `writes`"),
    (
        &["permission denied", "not permitted"],
        "name what it uses in `reads`, `writes` or `sockets`, let it send signals with `signals = true`, or, if it \
         needs the powers of root, use `profile = \"plain\"`",
    ),
    (
        &["no such file"],
        "what lies in /run, /tmp, /root and /home is not there for it unless `reads`, `writes` or `sockets` name it",
    ),
    (&["cannot allocate memory", "out of memory"], "give it more `memory`"),
];

/// Adds advice to the failure of a strictly confined command whose words fit.
pub(super) fn advised(trouble: Trouble, program: &str) -> Trouble {
    if !matches!(trouble.reason, Reason::CommandFailed | Reason::CommandKilled | Reason::CommandNotStarted) {
        return trouble;
    }
    let words = trouble.message.to_lowercase();
    let fits = |(marks, _): &&(&[&str], &str)| marks.iter().any(|mark| words.contains(mark));
    let Some((_, advice)) = ADVICE.iter().find(fits) else { return trouble };
    let message = format!(
        "{}; it runs under the profile `strict`: in a table `[[executor.program]]` with `path = \"{program}\"`, {advice}",
        trouble.message
    );
    Trouble::new(trouble.reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_looks_like_confinement_names_what_to_open() {
        for (words, advice) in [
            ("System has not been booted with systemd as init system (PID 1). Can't operate.", "sockets"),
            ("curl: (7) Failed to connect to 127.0.0.1 port 80", "network = true"),
            ("sh: 1: cannot create /etc/x: Read-only file system", "writes"),
            ("cat: /srv/x: Permission denied", "reads"),
            ("kill: (1) - Operation not permitted", "signals = true"),
            ("cat: /run/nginx.pid: No such file or directory", "/run"),
        ] {
            let trouble = Trouble::new(Reason::CommandFailed, format!("`x` exited with code 1: {words}"));
            let told = advised(trouble, "/bin/x").message;
            assert!(told.contains(advice) && told.contains("path = \"/bin/x\""), "{told}");
        }
        for (reason, words) in [
            (Reason::CommandFailed, "configuration test failed"),
            (Reason::CommandTimeout, "permission denied"),
        ] {
            let trouble = Trouble::new(reason, words.to_owned());
            assert_eq!(advised(trouble.clone(), "/bin/x"), trouble);
        }
    }
}
