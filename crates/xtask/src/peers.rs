//! The real step-ca servers: built once, outside the tree.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use phoenix_testkit::peers::{self, StepCaVersion};

use crate::shell::{command, run};

/// Builds every server that is not there yet.
pub(crate) fn ensure() -> Result<()> {
    for version in StepCaVersion::ALL {
        let place = version.place();
        if place.is_file() {
            eprintln!("step-ca {version} is at {}", place.display());
        } else {
            build(version, &place)?;
        }
    }
    Ok(())
}

/// Builds under another name and renames: a build that was interrupted leaves nothing that looks finished.
fn build(version: StepCaVersion, place: &Path) -> Result<()> {
    eprintln!("building the real step-ca {version} from Debian's library packages: some minutes, once");
    let directory = peers::directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let unfinished = directory.join(format!(".unfinished-{version}-{}", std::process::id()));
    let script = peers::scripts().join("build-step-ca.sh");
    let built = run(command("bash", [script.as_os_str(), version.as_str().as_ref(), unfinished.as_os_str()])
        .stdout(std::io::stderr()));
    if built.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    built?;
    fs::rename(&unfinished, place).with_context(|| format!("cannot write {}", place.display()))
}
