//! The old renewal job: out of cron tables, and out of the script that puts it there.

use crate::shell::{Script, first_word};
use crate::{Edit, Edited, Unclear};

/// The script that cron used to run.
pub(crate) const OLD_SCRIPT: &str = "certificate-renewal-manager.sh";
/// What tells a script that was edited.
const DONE: &str = "phoenix-certd.service";
/// Replaces what installed the job.
const INSTEAD: &str = "\
# phoenix-certd renews the certificates and sees to it that they are served. A job of old would be a second writer
# on the same files.
if crontab -l 2>/dev/null | grep -Fq 'certificate-renewal-manager.sh'; then
    crontab -l | grep -Fv 'certificate-renewal-manager.sh' | crontab -
fi
systemctl enable --now phoenix-executor.socket phoenix-certd.service
";
/// What a script that only installs the job consists of.
const UNDERSTOOD: &[&str] = &[
    "if", "then", "else", "elif", "fi", "echo", "(echo", "crontab", "exit", "[", "[[", "main", "}", "local",
    "return",
];

const REASON: &str =
    "phoenix-certd renews unattended; the old job would be a second writer on the same files";
/// What stands in the place of a script that only ran the job.
const NOTHING: &str = "#!/bin/sh\n# phoenix-certd renews the certificates.\n";
/// What a script that only runs the job consists of besides.
const AROUND: &[&str] = &["if", "then", "fi", "[", "[[", "test", "set", "exit", "cd", "export", "echo"];

/// A cron table without the job.
pub(crate) fn edit_table(text: &str) -> Edit {
    let mut kept = String::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if !line.contains(OLD_SCRIPT) || line.trim_start().starts_with('#') {
            kept.push_str(line);
        } else if let Some(other) = other_duty(line) {
            let message = format!(
                "runs the old renewal script together with something else: `{other}`. Take the script out of the line \
                 by hand"
            );
            return Err(Unclear::new(number + 1, message));
        }
    }
    Ok(without(text, kept))
}

/// A script that cron runs, without the job.
pub(crate) fn edit_job(text: &str) -> Edit {
    let script = Script::read(text)?;
    if !script.commands.iter().any(|command| command.text.contains(OLD_SCRIPT)) {
        return Ok(without(text, text.to_owned()));
    }
    for command in &script.commands {
        let word = first_word(&command.text);
        let around = AROUND.contains(&word) || word.contains('=');
        if !command.text.contains(OLD_SCRIPT) && !around {
            let message = format!(
                "runs the old renewal script, and does something else as well: `{word}`. Take the script out by hand"
            );
            return Err(Unclear::new(command.lines.start + 1, message));
        }
    }
    Ok(without(text, NOTHING.to_owned()))
}

fn without(text: &str, kept: String) -> Edited {
    let reasons = if kept == text { Vec::new() } else { vec![REASON.to_owned()] };
    Edited { text: kept, reasons, remarks: Vec::new() }
}

/// Another command of a line of a cron table, if it has one that does anything.
fn other_duty(line: &str) -> Option<&str> {
    let parts = line.split(['&', ';', '|']).map(str::trim);
    let mut others = parts.filter(|part| !part.is_empty() && !part.contains(OLD_SCRIPT));
    others.find(|part| {
        let harmless = |word: &str| matches!(word, "cd" | "[" | "test" | "logger" | "true" | "sleep");
        // The first part has the times, and the user, before its command. "2>&1" is no command.
        !part.split_whitespace().any(harmless) && !part.chars().all(|c| c.is_ascii_digit())
    })
}

/// A script that removes the job instead of installing it.
pub(crate) fn edit_script(text: &str) -> Edit {
    let unchanged = || Edited { text: text.to_owned(), ..Edited::default() };
    if text.contains(DONE) {
        return Ok(unchanged());
    }
    let script = Script::read(text)?;
    let Some(begin) = script.commands.iter().find(|command| command.text.contains(OLD_SCRIPT)) else {
        return Ok(unchanged());
    };
    let rest = script.commands.iter().filter(|command| command.lines.start >= begin.lines.start);
    for command in rest {
        let word = first_word(&command.text);
        let known = UNDERSTOOD.contains(&word) || word.contains('=') || word.starts_with("log_");
        if !known {
            let message = format!(
                "installs the old renewal job, and does something else as well: `{word}`. Take the job out by hand \
                 and enable {DONE} instead"
            );
            return Err(Unclear::new(command.lines.start + 1, message));
        }
    }
    let kept: String = text.split_inclusive('\n').take(begin.lines.start).collect();
    let reasons = vec!["the job is not installed any more, but removed where it still is".to_owned()];
    Ok(Edited { text: kept + INSTEAD, reasons, remarks: Vec::new() })
}
