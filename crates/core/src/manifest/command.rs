//! `post_renewal_command`, `command` and `window`.

use std::time::Duration;

use super::{Context, PostCommand, Window, shell};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, duration, list, text, wrong_type};
use crate::diagnostic::report::{Problem, Problems, Reading, Reported};
use crate::diagnostic::suggest;
use crate::diagnostic::tree::{Kind, Value};
use crate::name::AbsolutePath;
use crate::settings::Schedule;
use crate::window::Zone;

/// Fields of `command`.
pub(super) const COMMAND: &[&str] = &["timeout", "min_interval"];
/// Fields of `window`.
pub(super) const WINDOW: &[&str] = &["cron", "duration", "timezone"];

const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest single argument: what execve(2) takes (MAX_ARG_STRLEN), its final NUL included.
const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// The command, if there is one.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    context: &Context<'_>,
) -> Result<Option<PostCommand>, Reported> {
    let argv = fields.optional("post_renewal_command", |value| argv(value, context));
    if fields.has("command") && !fields.has("post_renewal_command") {
        fields.warn("command", "`command` without `post_renewal_command` has no effect", "remove it");
    }
    if argv.is_ok() {
        expansions(fields);
    }
    let limits = fields.object("command", "{\"timeout\": \"2m\"}", Severity::StageError, limits);
    let (timeout, min_interval) = limits?.unwrap_or((TIMEOUT, None));
    Ok(argv?.map(|argv| PostCommand { argv, timeout, min_interval }))
}

fn limits(fields: &mut Fields<'_, '_>) -> Result<(Duration, Option<Duration>), Reported> {
    fields.check_keys(COMMAND, Severity::Warning);
    let timeout = fields.optional("timeout", duration);
    let min_interval = fields.optional("min_interval", duration);
    Ok((timeout?.unwrap_or(TIMEOUT), min_interval?))
}

/// Program and arguments of a command given as a string or an array; the program is looked up in the allow-list.
///
/// That the value is neither is an error of the entry; anything else blocks only the stage.
pub(super) fn argv(value: &Value, context: &Context<'_>) -> Reading<Vec<String>> {
    let words = match &value.kind {
        Kind::Text(line) => split(value, line).map_err(staged)?,
        Kind::List(_) => list(argument)(value).map_err(staged)?,
        _ => {
            let help = "write \"pct exec 102 -- systemctl restart traefik\", or the words as an array";
            return Err(wrong_type(value, "a string or an array of strings", help).into());
        }
    };
    let mut words = words.into_iter();
    let Some(program) = words.next() else {
        return Err(staged(
            Problem::new("the command is empty", "name a program, or leave the field out").into(),
        ));
    };
    let program = allowed(&program, context.commands).map_err(|problem| staged(problem.into()))?;
    let argv: Vec<String> = std::iter::once(program.to_string()).chain(words).collect();
    if argv.iter().any(|word| word.len() > MAX_ARGUMENT || word.contains('\0')) {
        let help =
            format!("an argument has at most {MAX_ARGUMENT} bytes and no NUL; keep scripts in the guest");
        return Err(staged(
            Problem::new("an argument of the command is too long or contains NUL", help).into(),
        ));
    }
    Ok(argv)
}

/// Warns about what is handed on as it stands, where a shell would have put something else.
fn expansions(fields: &mut Fields<'_, '_>) {
    let Some((value, _)) = fields.find("post_renewal_command") else { return };
    let Kind::Text(line) = &value.kind else { return };
    let Some(place) = shell::expansions(line).into_iter().next() else { return };
    let what = line.get(place.clone()).unwrap_or_default();
    let help = "quote it in single quotes if it is meant literally, else run a shell inside the guest, as in: pct exec \
                102 -- /bin/sh -c 'chmod 600 /etc/ssl/*.key'";
    let message = format!("`{what}` is handed on as it stands: no shell on the host replaces it");
    let problem = Problem::new(message, help).severity(Severity::Warning).at(value.inside(place));
    fields.report("post_renewal_command", problem);
}

fn staged(problems: Problems) -> Problems {
    Problems(problems.0.into_iter().map(|problem| problem.severity(Severity::StageError)).collect())
}

fn split(value: &Value, line: &str) -> Reading<Vec<String>> {
    if let Some(operator) = shell::operators(line).first() {
        let shown =
            if operator.text == "\n" { "a line break".to_owned() } else { format!("`{}`", operator.text) };
        return Err(Problem::new(
            format!("{shown} outside of quotes: there is no shell on the host that would understand it"),
            "run a shell inside the guest and quote its script, as in: pct exec 102 -- /bin/sh -c 'a && b'",
        )
        .at(value.inside(operator.place.clone()))
        .into());
    }
    shlex::split(line).ok_or_else(|| {
        Problem::new("a quote is not closed, or the command ends in a backslash", "close each ' and \"")
            .into()
    })
}

fn argument(value: &Value) -> Reading<String> {
    let word = text(value)?;
    if matches!(word, "&&" | "||" | ";" | "|" | "&" | ">" | ">>" | "<") {
        let message =
            format!("`{word}` as an argument: there is no shell on the host that would understand it");
        let help = "run a shell inside the guest, as in: \"/bin/sh\", \"-c\", \"a && b\"";
        return Err(Problem::new(message, help).into());
    }
    Ok(word.to_owned())
}

/// The allow-listed program that `program` means: the very path, or for a bare name the one of that file name.
fn allowed<'a>(program: &str, commands: &'a [AbsolutePath]) -> Result<&'a AbsolutePath, Problem> {
    let found = commands.iter().find(|known| {
        if program.contains('/') { known.as_str() == program } else { known.file_name() == program }
    });
    found.ok_or_else(|| {
        let names = commands.iter().flat_map(|known| [known.file_name(), known.as_str()]);
        let all = commands.iter().map(AbsolutePath::as_str).collect::<Vec<_>>().join(", ");
        let help = if program.contains(char::is_whitespace) {
            "in an array each word of the command is an item of its own".to_owned()
        } else {
            let otherwise =
                format!("allowed are: {all}; add its absolute path to `commands` in the configuration");
            suggest::advice(program, names, otherwise)
        };
        Problem::new(format!("`{program}` is no allowed program"), help)
    })
}

/// When the command may run.
pub(super) fn window(fields: &mut Fields<'_, '_>) -> Result<Option<Window>, Reported> {
    let window = fields.object(
        "window",
        "{\"cron\": \"0 3 * * *\", \"duration\": \"2h\"}",
        Severity::StageError,
        |fields| {
            fields.check_keys(WINDOW, Severity::Warning);
            let cron = fields.require("cron", "say when the window opens, such as \"0 3 * * *\"", |value| {
                let expression = text(value)?;
                Schedule::parse(expression).map_err(|error| Problem::plain(error.to_string()))?;
                Ok(expression.to_owned())
            });
            let duration =
                fields.require("duration", "say how long the window stays open, such as \"2h\"", duration);
            let timezone = fields.optional("timezone", timezone);
            Ok(Window { cron: cron?, duration: duration?, timezone: timezone? })
        },
    );
    if fields.has("window") && !fields.has("post_renewal_command") {
        fields.warn("window", "`window` without `post_renewal_command` has no effect", "remove it");
    }
    window
}

fn timezone(value: &Value) -> Reading<Zone> {
    let name = text(value)?;
    name.parse().map_err(|_| {
        let city = |zone: &&str| zone.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(name));
        let help = match Zone::names().find(city) {
            Some(zone) => format!("did you mean `{zone}`?"),
            None => {
                suggest::advice(name, Zone::names(), "write its IANA name, such as Europe/Amsterdam or UTC")
            }
        };
        Problem::new(format!("`{name}` is no time zone"), help).into()
    })
}
