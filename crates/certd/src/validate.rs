//! `phoenix-certd validate`: configuration and manifest, without a daemon.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use phoenix_core::manifest::{Context, Manifest};

use crate::configuration::{load, read_text};
use crate::options::Options;

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 16 * 1024 * 1024;

/// Prints every problem. Fails when there is an error.
pub(crate) fn validate(options: &Options) -> Result<ExitCode> {
    let settings = load(options)?;
    let path = settings.manifest.as_path();
    let text = read_text(path, MAX_MANIFEST).context("cannot check the manifest")?;
    let parsed = Manifest::parse(&text, &Context::of(&settings));
    eprint!("{}", parsed.diagnostics);
    if let Some(manifest) = &parsed.manifest {
        println!(
            "{} and {}: {} certificates",
            options.config.display(),
            settings.manifest,
            manifest.entries.len()
        );
    }
    Ok(if parsed.diagnostics.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
