//! `certificate-manifest.json`: parsing with every problem at its place, and the validated entries.
//!
//! `naming` chooses the entries' names first, because derived ones depend on each other; then `read` reads
//! entry after entry, with a module for each group of fields. [`schema()`] describes the same fields to editors.

mod command;
mod delivery;
mod entry;
mod files;
mod issuance;
mod lint;
mod names;
mod naming;
mod proposal;
mod read;
mod schema;
mod shell;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use entry::*;
pub use names::BadSan;
pub use proposal::{Proposal, proposals};
pub use schema::schema;

use crate::diagnostic::{self, Diagnostics};
use crate::name::{AbsolutePath, CertName};
use crate::settings::{IssuerSettings, Settings};

/// What parsing a manifest needs to know of the rest of the system.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Name of the file, for diagnostics.
    pub file: &'a str,
    /// Issuers of the configuration; the first one is the default.
    pub issuers: &'a [IssuerSettings],
    /// Files are written below these only.
    pub target_roots: &'a [AbsolutePath],
    /// Programs that commands may name.
    pub commands: &'a [AbsolutePath],
    /// What is known of the host's users and directories; without it, owners are not looked up.
    pub host: Option<&'a dyn Host>,
}

impl<'a> Context<'a> {
    /// The context that the configuration gives.
    pub fn of(settings: &'a Settings) -> Self {
        Self {
            file: settings.manifest.as_str(),
            issuers: &settings.issuers,
            target_roots: &settings.executor.target_roots,
            commands: &settings.executor.commands,
            host: None,
        }
    }

    /// The same with another file name.
    pub fn file(self, file: &'a str) -> Self {
        Self { file, ..self }
    }

    /// The same with a host to look up owners on.
    pub fn host(self, host: &'a dyn Host) -> Self {
        Self { host: Some(host), ..self }
    }
}

/// Facts of the host that warnings about owners need. Answers may be guesses: nothing is decided by them.
pub trait Host {
    /// There is a user of this name.
    fn has_user(&self, name: &str) -> bool;
    /// There is a group of this name.
    fn has_group(&self, name: &str) -> bool;
    /// User id that owns the directory of this file, or the nearest existing one above it.
    fn directory_owner(&self, file: &AbsolutePath) -> Option<u32>;
}

/// The manifest, as far as it is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Valid entries, in the order of the file.
    pub entries: Vec<Entry>,
    /// Entries that nothing can be done for, in the order of the file.
    pub invalid: Vec<InvalidEntry>,
    warnings: BTreeMap<CertName, Vec<String>>,
}

/// An entry with errors: what of it can be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidEntry {
    /// Its place in the file, such as `certificates[3]`.
    pub path: String,
    /// Its name, as far as it has one; another entry may have the same.
    pub name: Option<String>,
    /// Its common name, as far as it has one.
    pub common_name: Option<String>,
    /// What is wrong with it, at least one sentence.
    pub problems: Vec<String>,
}

/// What parsing gave.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// None when the file as a whole is refused, so that the last good manifest stays in force.
    pub manifest: Option<Manifest>,
    /// Every problem, errors and warnings.
    pub diagnostics: Diagnostics,
}

impl Manifest {
    /// Reads a manifest. Entries with errors are left out of [`Manifest::entries`]; the others work.
    pub fn parse(text: &str, context: &Context<'_>) -> Parsed {
        read::manifest(text, context)
    }

    /// As [`parse`](Self::parse); bytes that are no text are one more reason to refuse the file.
    pub fn read(bytes: &[u8], context: &Context<'_>) -> Parsed {
        match diagnostic::text(bytes) {
            Ok(text) => Self::parse(text, context),
            Err(error) => Parsed { manifest: None, diagnostics: error.report(context.file, bytes) },
        }
    }

    /// Warnings about the entry of this name, in words.
    pub fn warnings(&self, name: &CertName) -> &[String] {
        self.warnings.get(name).map_or(&[], Vec::as_slice)
    }

    /// The entry that an operator means: by name, or by its full common name where that is unique.
    pub fn find(&self, text: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name.as_str() == text).or_else(|| {
            let mut same = self.entries.iter().filter(|entry| entry.common_name == text);
            same.next().filter(|_| same.next().is_none())
        })
    }
}
