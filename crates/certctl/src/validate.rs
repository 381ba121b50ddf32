//! `validate`: every problem of the manifest or of the configuration.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use phoenix_core::diagnostic::{Colour, Diagnostics, Located};
use phoenix_core::manifest::{Context, Host, Manifest, Proposal, proposals};
use phoenix_core::name::AbsolutePath;
use phoenix_core::settings::Settings;
use serde::Serialize;

use crate::cli::ValidateArgs;
use crate::config::{ConfigError, MAX_CONFIG, MAX_MANIFEST};
use crate::exit::Exit;
use crate::files;
use crate::output::Output;
use crate::{Failure, Session};

/// `validate --json`
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    file: &'a str,
    /// The exit code is 0.
    valid: bool,
    /// Entries that work; none for a configuration or a file that is refused as a whole.
    entries: Option<usize>,
    diagnostics: Vec<Located>,
    /// What entries without `verify` could have.
    proposals: Vec<Proposed<'a>>,
}

#[derive(Serialize)]
struct Proposed<'a> {
    name: &'a str,
    verify: &'a serde_json::Value,
}

/// What was found in a file.
struct Checked {
    file: String,
    entries: Option<usize>,
    /// Never an empty list.
    diagnostics: Option<Diagnostics>,
    proposals: Vec<Proposal>,
}

impl Checked {
    fn new(file: String, entries: Option<usize>, diagnostics: Option<Diagnostics>) -> Self {
        Self {
            file,
            entries,
            diagnostics: diagnostics.filter(|diagnostics| !diagnostics.is_empty()),
            proposals: Vec::new(),
        }
    }
}

/// Checks the file and prints what is wrong with it.
///
/// # Errors
/// [`Failure`], when the manifest cannot be checked for want of a configuration.
pub fn run(session: Session, args: &ValidateArgs, out: &mut Output) -> Result<Exit, Failure> {
    let checked = check(session.config, args.file.as_deref())?;
    let spoils = |diagnostics: &Diagnostics| diagnostics.has_errors() || args.strict;
    let valid = !checked.diagnostics.as_ref().is_some_and(spoils);
    if session.json {
        out.document(&Document {
            schema: phoenix_protocol::control::SCHEMA,
            file: &checked.file,
            valid,
            entries: checked.entries,
            diagnostics: checked.diagnostics.as_ref().map(Diagnostics::located).unwrap_or_default(),
            proposals: checked.proposals.iter().map(proposed).collect(),
        })?;
    } else {
        out.print(&text(&checked))?;
    }
    Ok(if valid { Exit::Done } else { Exit::NotDone })
}

fn check(config: Result<Settings, ConfigError>, file: Option<&Path>) -> Result<Checked, Failure> {
    if let Some(path) = file.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        return Ok(check_config(path));
    }
    let settings = match config {
        Ok(settings) => settings,
        Err(ConfigError::Wrong(diagnostics)) => {
            return Ok(Checked::new(diagnostics.file().to_owned(), None, Some(diagnostics)));
        }
        Err(error @ ConfigError::Read { .. }) => {
            let why =
                "a manifest is checked against the issuers, target roots and commands of the configuration";
            return Err(Failure::Unreadable(format!("{error}\n{why}")));
        }
    };
    Ok(check_manifest(&settings, file.unwrap_or(settings.manifest.as_path())))
}

fn check_config(path: &Path) -> Checked {
    let file = path.display().to_string();
    let diagnostics = match files::read(path, MAX_CONFIG) {
        Ok(bytes) => Settings::read(&bytes, &file).err(),
        Err(error) => Some(unreadable(&file, &error)),
    };
    Checked::new(file, None, diagnostics)
}

fn check_manifest(settings: &Settings, path: &Path) -> Checked {
    let file = path.display().to_string();
    match files::read(path, MAX_MANIFEST) {
        Ok(bytes) => {
            let parsed = Manifest::read(&bytes, &Context::of(settings).file(&file).host(&ThisHost));
            let refused = parsed.manifest.is_none();
            let entries = parsed.manifest.map(|manifest| manifest.entries).unwrap_or_default();
            let count = (!refused).then_some(entries.len());
            let checked = Checked::new(file, count, Some(parsed.diagnostics));
            Checked { proposals: proposals(&entries), ..checked }
        }
        Err(error) => {
            let diagnostics = unreadable(&file, &error);
            Checked::new(file, None, Some(diagnostics))
        }
    }
}

fn unreadable(file: &str, error: &std::io::Error) -> Diagnostics {
    Diagnostics::of_file(file, format!("cannot read the file: {error}"), "name a readable file")
}

fn proposed(proposal: &Proposal) -> Proposed<'_> {
    Proposed { name: proposal.entry.as_str(), verify: &proposal.verify }
}

fn text(checked: &Checked) -> String {
    let proposals = checked.proposals.iter().map(|proposal| {
        format!(
            "\nnote: `{}` looks like {}, and nothing shows whether it is used. It could have\n  \"verify\": {}\n",
            proposal.entry, proposal.consumer, proposal.verify
        )
    });
    problems(checked) + &proposals.collect::<String>()
}

fn problems(checked: &Checked) -> String {
    let file = &checked.file;
    match (&checked.diagnostics, checked.entries) {
        (Some(diagnostics), _) => diagnostics.render(Colour::Ansi),
        (None, Some(1)) => format!("{file}: 1 entry, nothing to complain about\n"),
        (None, Some(count)) => format!("{file}: {count} entries, nothing to complain about\n"),
        (None, None) => format!("{file}: nothing to complain about\n"),
    }
}

/// Users, groups and directories of this machine.
pub(crate) struct ThisHost;

impl Host for ThisHost {
    fn has_user(&self, name: &str) -> bool {
        matches!(nix::unistd::User::from_name(name), Ok(Some(_)))
    }

    fn has_group(&self, name: &str) -> bool {
        matches!(nix::unistd::Group::from_name(name), Ok(Some(_)))
    }

    fn directory_owner(&self, file: &AbsolutePath) -> Option<u32> {
        file.as_path().ancestors().skip(1).find_map(|dir| dir.metadata().ok()).map(|dir| dir.uid())
    }
}
