//! Records in words.

use phoenix_core::explanation::reproduce::quoted;
use phoenix_protocol::executor::Run;
use phoenix_protocol::history::{Happening, Record};

use crate::explain::work_words;
use crate::plain::{indented, plain};

/// A record as a line, with what was said in full below it.
pub(super) fn line(record: &Record) -> String {
    let names = if record.names.is_empty() { "-".to_owned() } else { record.names.join(" ") };
    let (text, more) = words(&record.what);
    let mut out = format!("{}  {}  {}\n", record.at, plain(&names), plain(&text).replace('\n', " "));
    if let Some(more) = more {
        out.push_str(&indented(&more, "    "));
    }
    out
}

fn words(what: &Happening) -> (String, Option<String>) {
    let text = match what {
        Happening::Started { version } => format!("the daemon was started, version {version}"),
        Happening::Stopped => "the daemon was stopped".to_owned(),
        Happening::Begun { work, message, .. } => format!("{}: {message}", work_words(*work)),
        Happening::Done { work, serial: Some(serial) } => {
            format!("done: {} (serial {serial})", work_words(*work))
        }
        Happening::Done { work, serial: None } => format!("done: {}", work_words(*work)),
        Happening::Failed { stage, reason, message, attempts, next_attempt_at } => {
            let again = next_attempt_at.map_or_else(String::new, |at| format!(", next attempt at {at}"));
            let head = format!("{} failed ({reason}), {attempts} in a row{again}", stage.as_str());
            return (head, Some(message.clone()));
        }
        Happening::Ordered { order, uid, entries, force, .. } => {
            let who = uid.map_or_else(|| "someone".to_owned(), |uid| format!("user {uid}"));
            let force = if *force { " --force" } else { "" };
            let entries = if *entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
            format!("{who} asked for {order}{force} of {entries}")
        }
        Happening::Ran { run } => return (run_head(run), output(run)),
        Happening::IssuerLost { issuer, reason, message } => {
            return (format!("issuer {issuer} cannot be asked ({reason})"), Some(message.clone()));
        }
        Happening::IssuerBack { issuer } => format!("issuer {issuer} can be asked again"),
        Happening::Manifest { state, error } => {
            let state = crate::status::manifest_words(*state);
            return (format!("the manifest {state}"), error.clone());
        }
        Happening::Added => "came into the manifest".to_owned(),
        Happening::Changed { fields } => format!("was changed in the manifest: {}", fields.join(", ")),
        Happening::Removed => "left the manifest; its files were not touched".to_owned(),
        Happening::ClockSet => "the clock was set".to_owned(),
        Happening::Lost { records } => format!("{records} records were lost"),
    };
    (text, None)
}

fn run_head(run: &Run) -> String {
    // A script is in `--json`; here it would hide what it is part of.
    let word = |word: &String| match word.lines().count() {
        0 | 1 => quoted(word),
        lines => format!("[script of {lines} lines]"),
    };
    let argv: Vec<String> = run.argv.iter().map(word).collect();
    format!("ran {} ({}, {} ms, profile {})", argv.join(" "), run.ended, run.milliseconds, run.profile)
}

/// What the program said.
fn output(run: &Run) -> Option<String> {
    let said: Vec<&str> =
        [run.stdout.trim_end(), run.stderr.trim_end()].into_iter().filter(|text| !text.is_empty()).collect();
    (!said.is_empty()).then(|| said.join("\n"))
}

#[cfg(test)]
mod tests {
    use phoenix_core::lifecycle::Stage;
    use phoenix_core::reason::Reason;
    use phoenix_core::time::Timestamp;

    use super::*;

    #[test]
    fn a_failure_is_told_with_its_full_text_and_nothing_reaches_the_terminal() {
        let what = Happening::Failed {
            stage: Stage::Activate,
            reason: Reason::CommandFailed,
            message: "exit code 3:\nbad \x1b[2J thing".into(),
            attempts: 2,
            next_attempt_at: Some(Timestamp::from_unix(60)),
        };
        let record = Record { seq: 1, at: Timestamp::from_unix(0), names: vec!["a".into()], what };
        assert_eq!(
            line(&record),
            "1970-01-01T00:00:00Z  a  activate failed (command-failed), 2 in a row, next attempt at \
             1970-01-01T00:01:00Z\n    exit code 3:\n    bad \\u{1b}[2J thing\n"
        );
    }
}
