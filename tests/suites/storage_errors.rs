//! What the operator is told when a certificate cannot be written, and that the CA is not asked in vain.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};
use phoenix_core::reason::Reason;
use phoenix_protocol::control::CertificateState;
use phoenix_testkit::daemon::{Setup, TARGET_ROOT};
use phoenix_testkit::manifest;
use phoenix_testkit::mounts::Mount;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_tests::{is_done, tells};
use serde_json::{Value, json};

/// What lies in the way of an entry of this name, and what is told.
const CASES: [(&str, Reason, &[&str]); 8] = [
    ("full", Reason::DiskFull, &["full"]),
    ("read-only", Reason::ReadOnly, &["read-only"]),
    ("forbidden", Reason::PermissionDenied, &["forbidden"]),
    ("nobodys", Reason::MissingOwner, &["no-such-user"]),
    ("linked", Reason::Symlink, &["linked", "symlink"]),
    ("link-itself", Reason::Symlink, &["key.pem", "symlink"]),
    ("occupied", Reason::NotAFile, &["key.pem"]),
    ("elsewhere", Reason::StorageAbsent, &["unplugged"]),
];

#[test]
fn every_obstacle_is_told_and_costs_no_certificate() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let root = scratch.directory(TARGET_ROOT)?;
    let mounts = [
        Mount::full(&root.join("full"))?,
        Mount::read_only(&root.join("read-only"))?,
        Mount::forbidding(&root.join("forbidden"))?,
    ];
    lay_obstacles(&root)?;
    let unplugged = scratch.join("unplugged");
    let daemon =
        Setup::new(&scratch)?.step_ca(&ca).target_root(unplugged.clone()).start(&entries(&scratch))?;
    daemon.wait_entry("good", "is ok", is_done)?;
    for (name, reason, words) in CASES {
        let told = |entry: &_| tells(entry, reason, words);
        let entry = daemon.wait_entry(name, &format!("tells {reason} with {words:?}"), told)?;
        ensure!(entry.state != CertificateState::Ok && entry.state != CertificateState::Issuing, "{entry:?}");
        ensure!(entry.next_attempt_at.is_some(), "no next attempt is told: {entry:?}");
    }
    ensure!(ca.issued() == 1, "the CA issued {} certificates, but only one can be written", ca.issued());
    ensure!(!unplugged.exists(), "something was made where the storage is absent");
    nothing_is_left_behind(&root)?;
    drop(daemon);
    drop(mounts);
    Ok(())
}

fn lay_obstacles(root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("behind"))?;
    symlink(root.join("behind"), root.join("linked"))?;
    fs::create_dir_all(root.join("link-itself"))?;
    symlink("/etc/hostname", root.join("link-itself/key.pem"))?;
    fs::create_dir_all(root.join("occupied/key.pem"))?;
    Ok(())
}

fn entries(scratch: &Scratch) -> Vec<Value> {
    let mut entries = vec![manifest::entry(scratch, "good")];
    entries.extend(CASES.iter().map(|(name, ..)| manifest::entry(scratch, name)));
    for entry in &mut entries {
        match entry["common_name"].as_str().unwrap_or_default().split('.').next() {
            Some("nobodys") => entry["owner"] = json!("no-such-user:no-such-group"),
            Some("elsewhere") => {
                entry["cert_path"] = json!(scratch.join("unplugged/elsewhere/cert.pem"));
                entry["key_path"] = json!(scratch.join("unplugged/elsewhere/key.pem"));
            }
            _ => {}
        }
    }
    entries
}

/// A proof that failed leaves no temporary file, and nothing was written through a symlink.
fn nothing_is_left_behind(root: &Path) -> Result<()> {
    let names = |dir: &str| -> Result<Vec<String>> {
        let entries = fs::read_dir(root.join(dir))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    ensure!(names("full")? == ["filler"], "{:?}", names("full")?);
    ensure!(names("behind")?.is_empty(), "{:?}", names("behind")?);
    ensure!(names("link-itself")? == ["key.pem"], "{:?}", names("link-itself")?);
    Ok(())
}

/// Storage that comes back is used without anyone asking.
#[test]
fn mended_storage_is_noticed() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let root = scratch.directory(TARGET_ROOT)?;
    let mount = Mount::full(&root.join("full"))?;
    let daemon = Setup::new(&scratch)?.step_ca(&ca).start(&[manifest::entry(&scratch, "full")])?;
    daemon.wait_entry("full", "tells that the disk is full", |entry| tells(entry, Reason::DiskFull, &[]))?;
    fs::remove_file(mount.path().join("filler"))?;
    let asked = daemon.certctl(["sync", "full"])?;
    ensure!(asked.status.success(), "{asked:?}");
    ensure!(ca.issued() == 1, "the CA issued {} certificates", ca.issued());
    drop(daemon);
    Ok(())
}
