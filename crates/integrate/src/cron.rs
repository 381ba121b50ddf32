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

/// A cron table without the job.
pub(crate) fn edit_table(text: &str) -> Edited {
    let job = |line: &str| line.contains(OLD_SCRIPT) && !line.trim_start().starts_with('#');
    let kept: String = text.split_inclusive('\n').filter(|line| !job(line)).collect();
    let reasons = if kept == text {
        Vec::new()
    } else {
        vec![
            "phoenix-certd renews unattended; the old job would be a second writer on the same files"
                .to_owned(),
        ]
    };
    Edited { text: kept, reasons, remarks: Vec::new() }
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
