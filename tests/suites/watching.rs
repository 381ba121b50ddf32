//! The manifest is changed in every way that people and programs change files.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use phoenix_protocol::control::StatusDocument;
use phoenix_protocol::executor::ManifestState;
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::{Scratch, replace};
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_tests::Bed;
use serde_json::Value;

/// A bed with one entry, called `first`.
fn bed() -> Result<Bed> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let entries = vec![manifest::entry(&scratch, "first")];
    let bed = Bed::around(scratch, ca, entries)?;
    bed.daemon.wait_all_ok(1)?;
    Ok(bed)
}

fn text_with(bed: &Bed, names: &[&str]) -> Result<String> {
    let entries: Vec<Value> = names.iter().map(|name| manifest::entry(&bed.scratch, name)).collect();
    Ok(serde_json::to_string_pretty(&entries)?)
}

fn names(status: &StatusDocument) -> Vec<&str> {
    status.certificates.iter().map(|entry| entry.name.as_str()).collect()
}

/// The daemon follows to exactly these entries and writes their certificates.
fn follows(bed: &Bed, how: &str, wanted: &[&str]) -> Result<()> {
    bed.daemon.wait_until(&format!("followed {how}"), |status| {
        names(status) == wanted && status.daemon.manifest.state == ManifestState::Loaded
    })?;
    bed.daemon.wait_all_ok(wanted.len()).map(drop)
}

#[test]
fn renaming_rewriting_and_saving_as_editors_do_are_followed() -> Result<()> {
    let bed = bed()?;
    let path = &bed.daemon.manifest;

    replace(path, text_with(&bed, &["first", "renamed"])?.as_bytes(), 0o644)?;
    follows(&bed, "a rename onto the file", &["first", "renamed"])?;

    fs::write(path, text_with(&bed, &["first", "in-place"])?)?;
    follows(&bed, "a write in place", &["first", "in-place"])?;

    // vim: the old file becomes a backup, a new one is made under the name
    fs::rename(path, path.with_extension("json~"))?;
    fs::write(path, text_with(&bed, &["first", "edited"])?)?;
    follows(&bed, "an editor's save", &["first", "edited"])?;
    fs::remove_file(path.with_extension("json~"))?;

    // sed -i twice in a row: the second change comes to a file that the first watch never saw
    for name in ["again", "and-again"] {
        replace(path, text_with(&bed, &["first", name])?.as_bytes(), 0o644)?;
    }
    follows(&bed, "two renames in a row", &["first", "and-again"])
}

#[test]
fn a_manifest_behind_symlinks_is_followed() -> Result<()> {
    let bed = bed()?;
    let path = &bed.daemon.manifest;
    let versions = bed.scratch.directory("etc/versions")?;
    fs::write(versions.join("one.json"), text_with(&bed, &["first", "one"])?)?;
    fs::write(versions.join("two.json"), text_with(&bed, &["first", "two"])?)?;

    swap_link(&versions.join("one.json"), path)?;
    follows(&bed, "the file becoming a symlink", &["first", "one"])?;
    swap_link(&versions.join("two.json"), path)?;
    follows(&bed, "a symlink swap", &["first", "two"])?;

    replace(&versions.join("two.json"), text_with(&bed, &["first", "three"])?.as_bytes(), 0o644)?;
    follows(&bed, "a change behind the symlink", &["first", "three"])
}

fn swap_link(target: &Path, link: &Path) -> Result<()> {
    let fresh = link.with_extension("link");
    symlink(target, &fresh)?;
    fs::rename(&fresh, link).with_context(|| format!("cannot swap {}", link.display()))
}

#[test]
fn a_removed_manifest_stays_in_force_until_it_returns() -> Result<()> {
    let mut bed = bed()?;
    fs::remove_file(&bed.daemon.manifest)?;
    let missing = |status: &StatusDocument| {
        status.daemon.manifest.state == ManifestState::Missing && names(status) == ["first"]
    };
    bed.daemon.wait_until("seen as missing", missing)?;
    bed.daemon.restart()?;
    bed.daemon.wait_until("missing and in force after a restart", missing)?;
    bed.check_pairs()?;
    fs::write(&bed.daemon.manifest, text_with(&bed, &["first", "returned"])?)?;
    follows(&bed, "the return", &["first", "returned"])
}

#[test]
fn a_broken_manifest_never_replaces_a_good_one() -> Result<()> {
    let mut bed = bed()?;
    fs::write(&bed.daemon.manifest, "[{\"common_name\": \"cut.internal\",\n")?;
    let stale = |status: &StatusDocument| {
        let manifest = &status.daemon.manifest;
        manifest.state == ManifestState::Stale && manifest.error.is_some() && names(status) == ["first"]
    };
    let status = bed.daemon.wait_until("seen as broken", stale)?;
    let error = status.daemon.manifest.error.unwrap_or_default();
    ensure!(error.contains("certificate-manifest.json:1:32"), "the place is not told: {error}");
    bed.daemon.restart()?;
    bed.daemon.wait_until("still kept after a restart", stale)?;
    fs::write(&bed.daemon.manifest, text_with(&bed, &["first", "mended"])?)?;
    follows(&bed, "the mending", &["first", "mended"])
}

/// A writer that takes its time: at no moment is a part of its text in force.
#[test]
fn half_a_file_is_never_acted_on() -> Result<()> {
    let bed = bed()?;
    let many: Vec<String> = (0..40).map(|number| format!("slow-{number:02}")).collect();
    let wanted: Vec<&str> = std::iter::once("first").chain(many.iter().map(String::as_str)).collect();
    let text = text_with(&bed, &wanted)?;
    let mut file = File::create(&bed.daemon.manifest)?;
    for part in text.as_bytes().chunks(text.len() / 20) {
        file.write_all(part)?;
        file.sync_all()?;
        let status = bed.daemon.status()?;
        let now = names(&status);
        ensure!(now == ["first"] || now.len() == wanted.len(), "half a file is in force: {now:?}");
    }
    drop(file);
    bed.daemon.wait_until("followed the slow writer", |status| names(status) == wanted).map(drop)
}

#[test]
fn a_manifest_that_others_can_write_is_not_trusted() -> Result<()> {
    let bed = bed()?;
    fs::set_permissions(&bed.daemon.manifest, fs::Permissions::from_mode(0o666))?;
    fs::write(&bed.daemon.manifest, text_with(&bed, &["first", "intruder"])?)?;
    bed.daemon.wait_until("seen as untrusted", |status| {
        status.daemon.manifest.state == ManifestState::Untrusted && names(status) == ["first"]
    })?;
    fs::set_permissions(&bed.daemon.manifest, fs::Permissions::from_mode(0o644))?;
    follows(&bed, "the closing of the file", &["first", "intruder"])
}
