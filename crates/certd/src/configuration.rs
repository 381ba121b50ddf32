//! `certd.toml` with the command line's overrides.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use phoenix_core::name::AbsolutePath;
use phoenix_core::settings::Settings;

use crate::options::Options;

/// Largest configuration file that is read.
const MAX_CONFIG: u64 = 1024 * 1024;

/// Reads a text file of bounded size.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut text = String::new();
    file.take(limit + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() as u64 > limit {
        bail!("{} is larger than {limit} bytes", path.display());
    }
    Ok(text)
}

/// The settings in force.
pub(crate) fn load(options: &Options) -> Result<Settings> {
    let name = options.config.display().to_string();
    let text = read_text(&options.config, MAX_CONFIG)?;
    let mut settings = Settings::parse(&text, &name)
        .map_err(|diagnostics| anyhow::anyhow!("{}", diagnostics.to_string().trim_end()))?;
    if let Some(manifest) = &options.manifest {
        settings.manifest = absolute(manifest)?;
    }
    if let Some(socket) = &options.control_socket {
        settings.control_socket = absolute(socket)?;
    }
    if let Some(dir) = &options.state_dir {
        let dir = std::path::absolute(dir).context("cannot tell the current directory")?;
        if options.standalone {
            settings.state_dir = absolute(&dir.join("certd"))?;
            settings.executor.state_dir = absolute(&dir.join("executor"))?;
        } else {
            settings.state_dir = absolute(&dir)?;
        }
    }
    Ok(settings)
}

fn absolute(path: &Path) -> Result<AbsolutePath> {
    let path: PathBuf = std::path::absolute(path).context("cannot tell the current directory")?;
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?
        .parse()
        .with_context(|| format!("{} cannot be used", path.display()))
}
