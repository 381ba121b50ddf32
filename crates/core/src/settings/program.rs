//! `[[executor.program]]`: how far a program of `commands` is confined.

use std::collections::HashSet;

use super::read::directory_path;
use super::{Confined, ExecutorSettings, Opened, ProgramSettings};
use crate::diagnostic::Severity;
use crate::diagnostic::fields::{Fields, boolean, list, number, parsed, word};
use crate::diagnostic::report::{Problem, Reported};
use crate::name::AbsolutePath;

/// Keys of every table.
pub(super) const KEYS: &[&str] =
    &["path", "profile", "reads", "writes", "sockets", "network", "signals", "memory"];

/// What asking systemd takes: `systemctl` looks for the directory before it speaks to one of the sockets.
const SYSTEMD: (&str, [&str; 2]) =
    ("/run/systemd/system", ["/run/systemd/private", "/run/dbus/system_bus_socket"]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Guest,
    Plain,
    Strict,
}

const WORDS: &[(&str, Word)] = &[("strict", Word::Strict), ("guest", Word::Guest), ("plain", Word::Plain)];

/// One for each of `commands`, in their order: as the tables say, and by the program's name where they are silent.
/// Without `commands`, which were wrong, the tables are only checked.
pub(super) fn programs(
    fields: &mut Fields<'_, '_>,
    commands: Option<&[AbsolutePath]>,
) -> Result<Vec<ProgramSettings>, Reported> {
    let mut seen = HashSet::new();
    let given = fields.objects(
        "program",
        "[[executor.program]], and its keys on the lines below",
        Severity::Error,
        |table| {
            table.check_keys(KEYS, Severity::Error);
            let path = table.require("path", "name one of `commands`", parsed(str::parse::<AbsolutePath>));
            let path = path.and_then(|path| listed(table, path, commands));
            let confined = confined(table, path.as_ref().ok());
            let program = ProgramSettings { path: path?, confined: confined? };
            if !seen.insert(program.path.clone()) {
                let problem = Problem::new(
                    format!("an earlier table is about `{}`, too", program.path),
                    "put everything about one program into one table",
                );
                table.report("path", problem);
                return Err(Reported);
            }
            Ok(program)
        },
    )?;
    let of = |path: &AbsolutePath| given.iter().find(|program| program.path == *path).cloned();
    Ok(commands.unwrap_or_default().iter().map(|path| of(path).unwrap_or_else(|| usual(path))).collect())
}

/// What is said about a program that has no table.
fn usual(path: &AbsolutePath) -> ProgramSettings {
    ProgramSettings { path: path.clone(), confined: Confined::of(usual_word(path), usually_opened(path)) }
}

fn usual_word(path: &AbsolutePath) -> Word {
    if matches!(path.file_name(), "pct" | "qm") { Word::Guest } else { Word::Strict }
}

fn usually_opened(path: &AbsolutePath) -> Opened {
    if path.file_name() != "systemctl" {
        return Opened::default();
    }
    let known = |path: &str| path.parse().ok();
    let (directory, sockets) = SYSTEMD;
    Opened {
        reads: known(directory).into_iter().collect(),
        sockets: sockets.into_iter().filter_map(known).collect(),
        ..Opened::default()
    }
}

impl Confined {
    fn of(word: Word, opened: Opened) -> Self {
        match word {
            Word::Guest => Self::Guest { reads: opened.reads, writes: opened.writes },
            Word::Plain => Self::Plain,
            Word::Strict => Self::Strict(opened),
        }
    }
}

fn listed(
    table: &mut Fields<'_, '_>,
    path: AbsolutePath,
    commands: Option<&[AbsolutePath]>,
) -> Result<AbsolutePath, Reported> {
    if commands.is_none_or(|commands| commands.contains(&path)) {
        return Ok(path);
    }
    let problem = Problem::new(
        format!("`{path}` is not among `commands`"),
        "add it there if root is to run it, or remove this table",
    );
    table.report("path", problem);
    Err(Reported)
}

fn confined(table: &mut Fields<'_, '_>, path: Option<&AbsolutePath>) -> Result<Confined, Reported> {
    let profile = table.optional("profile", word(WORDS));
    let mut opened = path.map(usually_opened).unwrap_or_default();
    let reads = paths(table, "reads", &mut opened.reads);
    let writes = paths(table, "writes", &mut opened.writes);
    let sockets = paths(table, "sockets", &mut opened.sockets);
    let network = table.optional("network", boolean);
    let signals = table.optional("signals", boolean);
    let memory = table.optional("memory", number(64..=1 << 20));
    let word = profile?.unwrap_or_else(|| path.map_or(Word::Strict, usual_word));
    let fits = fits(table, word);
    reads.and(writes).and(sockets)?;
    opened.network = network?.unwrap_or_default();
    opened.signals = signals?.unwrap_or_default();
    opened.memory = memory?;
    fits.map(|()| Confined::of(word, opened))
}

/// Adds the paths at `key`.
fn paths(table: &mut Fields<'_, '_>, key: &str, to: &mut Vec<AbsolutePath>) -> Result<(), Reported> {
    to.extend(table.optional(key, list(parsed(directory_path)))?.unwrap_or_default());
    Ok(())
}

/// Refuses keys that change nothing: whoever writes them believes that they do.
fn fits(table: &mut Fields<'_, '_>, word: Word) -> Result<(), Reported> {
    let (idle, why): (&[&str], _) = match word {
        Word::Strict => return Ok(()),
        Word::Guest => (
            &["sockets", "network", "signals", "memory"],
            "under `guest` a program sees the host's processes and all of /run, has no network and a fixed bound of \
             memory: remove it, or use `strict`",
        ),
        Word::Plain => (
            &["reads", "writes", "sockets", "network", "signals", "memory"],
            "under `plain` a program may use everything: remove it, or use `strict`",
        ),
    };
    let mut result = Ok(());
    for key in idle.iter().filter(|key| table.has(key)).copied().collect::<Vec<_>>() {
        table.report(key, Problem::new(format!("`{key}` changes nothing here"), why));
        result = Err(Reported);
    }
    result
}

/// Refuses to open what the executor keeps for itself.
pub(super) fn check_openings(fields: &mut Fields<'_, '_>, settings: &ExecutorSettings) {
    for program in &settings.programs {
        for path in program.confined.opened_paths() {
            if *path == settings.socket || path.as_path().starts_with(settings.state_dir.as_path()) {
                let problem = Problem::new(
                    format!("`{path}`, which is opened for `{}`, belongs to the executor", program.path),
                    "leave it out: private keys lie there, and the way to them",
                );
                fields.report("program", problem);
            }
        }
    }
}
