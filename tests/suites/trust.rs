//! A root certificate that changes is not followed until an operator accepts it.

use std::fs;

use anyhow::{Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_testkit::daemon::{Setup, issuer_of};
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{manifest, openssl};
use phoenix_tests::{is_done, tells};

#[test]
fn a_changed_root_blocks_until_it_is_accepted() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let other = StepCa::prepare(&scratch.join("other"), StepCaVersion::V0_30_2, &Options::default())?;
    let root = scratch.join("root.crt");
    fs::copy(&other.root, &root)?;
    let quoted = |path: &std::path::Path| format!("{:?}", path.display().to_string());
    let section = issuer_of(&ca).replace(&quoted(&ca.root), &quoted(&root));
    let daemon = Setup::new(&scratch)?
        .issuer(&section)
        .lines("[renewal]\npoll = \"1s\"\n")
        .start(&[manifest::entry(&scratch, "one")])?;
    daemon.wait_entry("one", "tells the wrong root", |entry| tells(entry, Reason::WrongRoot, &["root"]))?;

    fs::copy(&ca.root, &root)?;
    let new = openssl::fingerprint(&root)?;
    let advice = format!("trust --accept {new}");
    daemon.wait_entry("one", "tells the changed root", |entry| {
        tells(entry, Reason::TrustChanged, &[advice.as_str()])
    })?;

    let state = daemon.executor_state().display().to_string();
    let accept = |print: &str| daemon.certctl(["trust", "--accept", print, "--executor-state", &state]);
    let slip = accept(&"0".repeat(64))?;
    ensure!(slip.status.code() == Some(1), "a root that nobody holds was accepted: {slip:?}");
    let done = accept(&new)?;
    ensure!(done.status.success(), "{done:?}");
    daemon.wait_entry("one", "is ok", is_done)?;
    Ok(())
}
