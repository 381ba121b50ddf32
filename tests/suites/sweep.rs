//! The sweep finds what nothing announces.

use std::fs;

use anyhow::{Result, ensure};
use phoenix_testkit::daemon::Setup;
use phoenix_testkit::patience::until;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_testkit::{manifest, openssl};
use phoenix_tests::is_done;

#[test]
fn a_deleted_key_is_put_back_by_the_next_sweep_without_asking_the_ca() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let each_second = "[renewal]\nsweep = \"* * * * * *\"\n";
    let entry = manifest::entry(&scratch, "one");
    let path = |field: &str| std::path::PathBuf::from(entry[field].as_str().unwrap_or_default());
    let (cert, key) = (path("cert_path"), path("key_path"));
    let daemon = Setup::new(&scratch)?.step_ca(&ca).lines(each_second).start(&[entry])?;
    daemon.wait_entry("one", "is ok", is_done)?;
    let before = fs::read(&key)?;
    fs::remove_file(&key)?;
    ensure!(until(|| key.exists().then_some(())).is_some(), "the key did not come back: {}", daemon.log());
    daemon.wait_entry("one", "is ok again", is_done)?;
    ensure!(fs::read(&key)? == before, "another key came back");
    openssl::check_pair(&ca, &cert, &key)?;
    ensure!(ca.issued() == 1, "the CA was asked {} times", ca.issued());
    Ok(())
}
