//! The live table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stdout};

use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{CertificateState, CertificateStatus, StageState, StatusDocument};

use crate::scene::Scene;
use crate::verdict::Verdict;

/// Draws over itself on a terminal; elsewhere prints a line whenever an entry changes.
pub(crate) struct Screen {
    terminal: bool,
    drawn: usize,
    last: BTreeMap<String, String>,
}

impl Screen {
    /// A screen on standard output.
    pub(crate) fn new() -> Self {
        Self { terminal: stdout().is_terminal(), drawn: 0, last: BTreeMap::new() }
    }

    /// What is going to be seen.
    pub(crate) fn opening(scene: &Scene) {
        println!(
            "phoenix-certd on an embedded CA at {} in {}\nThe command of nginx fails at first and is retried. \
             Ctrl-C ends and cleans up.\n",
            scene.ca_url(),
            scene.dir().display()
        );
    }

    /// Shows a status.
    pub(crate) fn draw(
        &mut self,
        document: &StatusDocument,
        verdict: &Verdict,
        commands: &BTreeMap<String, usize>,
    ) {
        if self.terminal {
            let text = table(document, verdict, commands);
            // Up over the last table, and clear what is below.
            let back = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
            self.drawn = text.lines().count();
            print(&format!("{back}{text}"));
            return;
        }
        for certificate in &document.certificates {
            let line = change(certificate);
            if self.last.get(&certificate.name) != Some(&line) {
                print(&format!("{} {line}\n", document.generated_at));
                self.last.insert(certificate.name.clone(), line);
            }
        }
    }

    /// What was seen.
    pub(crate) fn closing(verdict: &Verdict, commands: &BTreeMap<String, usize>) {
        println!();
        for (name, runs) in commands {
            println!("{name}: {} certificates in use, {runs} runs of the command", verdict.seen(name));
        }
        let word = if verdict.everything_renewed() { "everything" } else { "not everything" };
        println!("{word} was issued and renewed");
    }
}

/// A closed pipe is no reason to end before the certificates do.
fn print(text: &str) {
    let _ = stdout().write_all(text.as_bytes());
    let _ = stdout().flush();
}

fn state(state: CertificateState) -> String {
    format!("{state:?}").to_lowercase()
}

fn change(certificate: &CertificateStatus) -> String {
    let mut line = format!("{:<15} {:<10} ", certificate.name, state(certificate.state));
    match (&certificate.serial, certificate.not_after) {
        (Some(serial), Some(end)) => {
            let _ = write!(line, "serial {} until {end}", short(serial));
        }
        _ => line.push_str("no certificate yet"),
    }
    if let Some(error) = &certificate.last_error {
        let _ = write!(line, "; {} failed {} times: {}", error.stage, certificate.attempts, error.message);
    }
    line
}

fn short(serial: &str) -> &str {
    serial.get(..8).unwrap_or(serial)
}

fn seconds(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{}s", time.unix() - now.unix()))
}

fn mark(state: StageState) -> char {
    match state {
        StageState::Done => '+',
        StageState::Pending => '.',
        StageState::Failed => '!',
        StageState::Unknown => '?',
        StageState::None => '-',
    }
}

fn table(document: &StatusDocument, verdict: &Verdict, commands: &BTreeMap<String, usize>) -> String {
    let mut text = format!(
        "{:<15} {:<10} {:<9} {:>8} {:>8}  {:<8} {:<8} {:>6} {:>6}  PROBLEM\n",
        "NAME", "STATE", "SERIAL", "EXPIRES", "RENEWS", "WRITTEN", "COMMAND", "CERTS", "RUNS"
    );
    for certificate in &document.certificates {
        let problem = certificate.last_error.as_ref().map_or_else(String::new, |error| {
            let next = seconds(certificate.next_attempt_at, document.generated_at);
            let first = error.message.lines().next().unwrap_or_default();
            // What went wrong stands at the end, after what was attempted.
            let tail = first.chars().count().saturating_sub(60);
            let words: String = first.chars().skip(tail).collect();
            format!("{words} (next attempt in {next})")
        });
        let _ = writeln!(
            text,
            "{:<15} {:<10} {:<9} {:>8} {:>8}  {:<8} {:<8} {:>6} {:>6}  {problem}",
            certificate.name,
            state(certificate.state),
            certificate.serial.as_deref().map_or("-", short),
            seconds(certificate.not_after, document.generated_at),
            seconds(certificate.renew_at, document.generated_at),
            mark(certificate.deployment.written),
            mark(certificate.deployment.activated),
            verdict.seen(&certificate.name),
            commands.get(&certificate.name).copied().unwrap_or_default(),
        );
    }
    text
}
