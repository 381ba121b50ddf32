//! `run_check`: a verification that is a command.

use phoenix_core::explanation::reproduce;
use phoenix_core::facts::LeafFacts;
use phoenix_core::manifest::{Entry, Verify};
use phoenix_core::reason::{Reason, RetryClass, Trouble};
use phoenix_guests::Said;
use phoenix_guests::call::Call;
use phoenix_guests::excerpt::excerpt;
use phoenix_protocol::executor::Answer;
use phoenix_sandbox::CommandSpec;

use super::observe::require_own;
use super::{Executor, Trail};

impl Executor {
    /// Runs a verification once, within its deadline. That the consumer's guest is off, say, is trouble; that the
    /// command failed or said something else is an answer.
    pub(super) fn run_check(&self, entry: &Entry, check: usize, trail: &Trail) -> Result<Answer, Trouble> {
        let Some(Verify::Command { argv, expect, deadline }) = entry.verify.get(check) else {
            let message = format!("`{}` has no verification {check} that is a command.", entry.name);
            return Err(Trouble::new(Reason::BadRequest, message));
        };
        let own = require_own(&self.store_of(entry), entry)?;
        let mut spec = CommandSpec::new(argv.clone()).timeout(*deadline);
        spec.env = reproduce::environment(entry, own.leaf());
        let (passed, message) = match self.run_command(&spec, &[entry], trail) {
            Ok(said) => judged(&said, expect, own.leaf()),
            Err(trouble) if trouble.reason.class() == RetryClass::Command => (false, trouble.message),
            Err(trouble) => return Err(trouble),
        };
        tracing::info!(name = %entry.name, check, passed, "verification by command");
        Ok(Answer::Checked { passed, message })
    }
}

/// Guests that a verification enters: nothing else does meanwhile.
pub(super) fn target(entry: &Entry, check: usize) -> Option<String> {
    match entry.verify.get(check) {
        Some(Verify::Command { argv, .. }) => Call::of(argv).guest().map(|guest| guest.id.to_string()),
        _ => None,
    }
}

fn judged(said: &Said, expect: &str, leaf: &LeafFacts) -> (bool, String) {
    let Some(wanted) = expected(expect, leaf) else {
        return (false, format!("`{expect}` stands for nothing that this certificate has"));
    };
    if [&said.stdout, &said.stderr].into_iter().any(|output| plain(output).contains(&wanted)) {
        return (true, format!("the command's output contains {wanted}"));
    }
    let shown = match (excerpt(&said.stdout), excerpt(&said.stderr)) {
        (stdout, stderr) if stdout.is_empty() && stderr.is_empty() => "nothing".to_owned(),
        (stdout, stderr) if stdout.is_empty() => stderr,
        (stdout, _) => stdout,
    };
    let message = format!(
        "the command succeeded, but did not print {wanted}: the consumer has not read the new files, or something else \
         was asked. Let `post_renewal_command` make it read them; the command printed: {shown}"
    );
    (false, message)
}

/// The value that a placeholder stands for; the manifest has one of three.
fn expected(expect: &str, leaf: &LeafFacts) -> Option<String> {
    match expect {
        // Some programs write whole bytes, others leave out the zero that begins the first one.
        "{serial}" => Some(plain(leaf.serial.trim_start_matches('0'))),
        "{serial_decimal}" => leaf.serial_decimal(),
        "{fingerprint}" => Some(plain(&leaf.fingerprint)),
        _ => None,
    }
    .filter(|value| !value.is_empty())
}

/// Case and colons do not count: every program writes serials and fingerprints in its own way.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|character| *character != ':')
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(serial: &str) -> LeafFacts {
        serde_json::from_value(serde_json::json!({
            "serial": serial, "fingerprint": "ab12", "common_name": null, "sans": [],
            "not_before": "1970-01-01T00:00:00Z", "not_after": "2030-01-01T00:00:00Z", "client_auth": false,
            "server_auth": true, "other_eku": false, "key_type": null, "public_key": "p", "issuer": "i"
        }))
        .unwrap()
    }

    fn said(stdout: &str, stderr: &str) -> Said {
        Said { stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn the_value_is_found_however_it_is_written_and_wherever_it_stands() {
        for (expect, stdout, stderr, passed) in [
            ("{serial}", "serial=0A:1B:2C\n", "", true),
            ("{serial}", "", "serial=0a1b2c", true),
            ("{serial}", "Serial: a1b2c", "", true),
            ("{serial}", "serial=0a1b2d", "", false),
            ("{serial}", "0a1b", "2c", false),
            ("{serial_decimal}", "Serial: 662316 (0xa1b2c)", "", true),
            ("{serial_decimal}", "0a1b2c", "", false),
            ("{fingerprint}", "SHA256 Fingerprint=AB:12", "", true),
            ("{fingerprint}", "", "", false),
            ("{other}", "{other}", "", false),
        ] {
            assert_eq!(judged(&said(stdout, stderr), expect, &leaf("0a1b2c")).0, passed, "{expect} {stdout}");
        }
    }

    #[test]
    fn a_certificate_without_a_serial_passes_no_check() {
        assert!(!judged(&said("anything", ""), "{serial}", &leaf("")).0);
        assert!(!judged(&said("anything", ""), "{serial_decimal}", &leaf("")).0);
    }

    #[test]
    fn what_it_printed_instead_is_told_briefly_and_without_keys() {
        let flood = "x\n".repeat(100_000);
        let (_, message) = judged(&said(&flood, ""), "{serial}", &leaf("12"));
        assert!(message.len() < 1000, "{}", message.len());
        let key = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n";
        let (_, message) = judged(&said(key, ""), "{serial}", &leaf("12"));
        assert!(message.contains("left out") && !message.contains("SECRET"), "{message}");
        let (_, message) = judged(&said("", ""), "{serial}", &leaf("12"));
        assert!(message.ends_with("the command printed: nothing"), "{message}");
    }
}
