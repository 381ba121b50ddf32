//! `plan`: what the present state, or an edit of the manifest, would cause; and it changes nothing.

use anyhow::{Context, Result, ensure};
use phoenix_testkit::manifest;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch;
use phoenix_tests::Bed;
use serde_json::{Value, json};

fn planned<'a>(document: &'a Value, name: &str) -> Result<&'a Value> {
    let entries = document["certificates"].as_array().context("no entries")?;
    entries.iter().find(|entry| entry["name"] == name).with_context(|| format!("no {name} in {document}"))
}

/// The pieces of work that a plan names, in order.
fn works(planned: &Value) -> Vec<&str> {
    planned["steps"].as_array().into_iter().flatten().filter_map(|step| step["work"].as_str()).collect()
}

#[test]
fn an_edit_is_told_field_by_field_with_what_it_causes_and_changes_nothing() -> Result<()> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    let before = bed.daemon.wait_all_ok(2)?;
    let issued = bed.ca.issued();

    let now: Value = serde_json::from_slice(&bed.daemon.certctl(["--json", "plan"])?.stdout)?;
    for entry in now["certificates"].as_array().context("no entries")? {
        ensure!(entry["change"] == "unchanged" && works(entry).is_empty(), "{entry}");
    }

    let mut entries = manifest::below(&bed.scratch, manifest::plan()?);
    entries[0]["sans"] = json!("10.0.0.111 10.0.0.222");
    entries[1]["post_renewal_command"] = json!("pct exec 102 -- systemctl reload traefik");
    let mut wrong = manifest::entry(&bed.scratch, "wrong");
    wrong["key_path"] = json!("/nowhere/key.pem");
    entries.extend([manifest::entry(&bed.scratch, "new"), wrong]);
    let file = bed.scratch.join("candidate.json");
    scratch::replace(&file, &serde_json::to_vec_pretty(&entries)?, 0o644)?;
    let path = file.display().to_string();
    let out = bed.daemon.certctl(["--json", "plan", &path])?;
    ensure!(
        out.status.success() && String::from_utf8_lossy(&out.stderr).contains("/nowhere/key.pem"),
        "{out:?}"
    );
    let plan: Value = serde_json::from_slice(&out.stdout)?;

    let names = planned(&plan, "docker-daemon")?;
    ensure!(names["change"] == "changed" && names["differences"][0]["field"] == "sans", "{names}");
    ensure!(works(names) == ["issue", "activate"], "{names}");
    let command = planned(&plan, "traefik-client")?;
    ensure!(command["differences"][0]["field"] == "command" && works(command) == ["activate"], "{command}");
    let new = planned(&plan, "new")?;
    ensure!(new["change"] == "new" && works(new) == ["issue"], "{new}");
    ensure!(planned(&plan, "wrong")?["change"] == "invalid", "{plan}");

    // Nothing happened; and what was told is what happens.
    let after = bed.daemon.status()?;
    let serials = |document: &phoenix_protocol::control::StatusDocument| -> Vec<Option<String>> {
        document.certificates.iter().map(|entry| entry.serial.clone()).collect()
    };
    ensure!(serials(&after) == serials(&before) && bed.ca.issued() == issued, "{after:?}");
    let runs = [bed.runs(&bed.places[0]), bed.runs(&bed.places[1])];
    bed.daemon.replace_manifest(&entries)?;
    bed.daemon.wait_entry("new", "is ok", phoenix_tests::is_done)?;
    bed.guests.wait_for_call("systemctl reload traefik")?;
    bed.daemon.wait_entry("docker-daemon", "has another certificate", |entry| {
        entry.serial != before.certificates[0].serial && phoenix_tests::is_done(entry)
    })?;
    let in_force: Value = serde_json::from_slice(&bed.daemon.certctl(["--json", "plan"])?.stdout)?;
    ensure!(planned(&in_force, "wrong")?["change"] == "invalid", "{in_force}");
    ensure!(bed.ca.issued() == issued + 2, "{} were issued", bed.ca.issued() - issued);
    ensure!(bed.runs(&bed.places[0]) == runs[0] + 1 && bed.runs(&bed.places[1]) == runs[1], "{runs:?}");
    Ok(())
}

#[test]
fn a_removed_entry_keeps_its_files_and_a_file_that_is_no_manifest_would_change_nothing() -> Result<()> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    let file = bed.scratch.file("candidate.json", "[]", 0o644)?;
    let out = bed.daemon.certctl(["plan", &file.display().to_string()])?;
    let text = String::from_utf8(out.stdout)?;
    ensure!(
        text.contains("docker-daemon (removed)") && text.contains("its files stay as they are"),
        "{text}"
    );
    ensure!(text.contains("2 entries: 0 new, 0 changed, 2 removed, 0 invalid, 0 unchanged"), "{text}");
    let file = bed.scratch.file("broken.json", "no manifest", 0o644)?;
    let out = bed.daemon.certctl(["plan", &file.display().to_string()])?;
    ensure!(out.status.code() == Some(1), "{out:?}");
    ensure!(String::from_utf8_lossy(&out.stderr).contains("would not come into force"), "{out:?}");
    Ok(())
}
