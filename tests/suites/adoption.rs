//! A directory full of certificates from the old script is taken over as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use phoenix_testkit::manifest;
use phoenix_testkit::openssl;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_tests::{Bed, is_done};
use serde_json::Value;

const OLD_KEY_MODE: u32 = 0o600;

/// A pair for every entry of the operator's file, made with the CA's own key but not by this product.
fn lay_out(scratch: &Scratch, ca: &StepCa, entries: &[Value]) -> Result<()> {
    for entry in manifest::below(scratch, entries.to_vec()) {
        let place = manifest::places(std::slice::from_ref(&entry))?.remove(0);
        for path in [&place.cert, &place.key] {
            fs::create_dir_all(path.parent().unwrap_or(scratch.path()))?;
        }
        let sans = openssl_sans(&place.common_name, &entry["sans"]);
        openssl::make_pair(ca, &place.cert, &place.key, &place.common_name, &sans, 1)?;
        fs::set_permissions(&place.key, fs::Permissions::from_mode(OLD_KEY_MODE))?;
        fs::set_permissions(&place.cert, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// The names as `openssl x509 -extfile` wants them, the CN among them.
fn openssl_sans(cn: &str, sans: &Value) -> String {
    let listed: Vec<String> = match sans {
        Value::String(text) => {
            text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut names = vec![cn.to_owned()];
    names.extend(listed.into_iter().filter(|name| name != cn));
    let kind = |name: &String| if name.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    names.iter().map(|name| format!("{}:{name}", kind(name))).collect::<Vec<_>>().join(",")
}

#[test]
fn existing_certificates_are_taken_over_without_one_reissue_or_command() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let entries = manifest::operators()?;
    lay_out(&scratch, &ca, &entries)?;
    let places = manifest::places(&manifest::below(&scratch, entries.clone()))?;
    let before = contents(&places)?;

    let mut bed = Bed::around(scratch, ca, entries)?;
    let all = bed.places.len();
    let adopted = |bed: &Bed| -> Result<()> {
        bed.daemon.wait_until("everything adopted", |status| {
            status.certificates.len() == all && status.certificates.iter().all(is_done)
        })?;
        ensure!(contents(&bed.places)? == before, "a file was changed");
        ensure!(bed.ca.issued() == 0, "the CA issued {} certificates", bed.ca.issued());
        ensure!(
            bed.guests.lines().iter().all(|line| line.contains(" status ")),
            "called: {:?}",
            bed.guests.lines()
        );
        Ok(())
    };
    adopted(&bed)?;
    bed.daemon.restart()?;
    adopted(&bed)
}

#[test]
fn an_adopted_pair_is_put_back_from_our_own_copy_after_deletion() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let entries = manifest::plan()?;
    lay_out(&scratch, &ca, &entries)?;
    let bed = Bed::around(scratch, ca, entries)?;
    bed.daemon.wait_all_ok(2)?;
    let before = contents(&bed.places)?;
    for place in &bed.places {
        fs::remove_file(&place.key)?;
    }
    let asked = bed.daemon.certctl(["sync"])?;
    ensure!(asked.status.success(), "{asked:?}");
    ensure!(contents(&bed.places)? == before, "not what was there");
    ensure!(bed.ca.issued() == 0, "the CA was asked");
    bed.check_pairs()
}

fn contents(places: &[manifest::Place]) -> Result<Vec<Vec<u8>>> {
    let paths = places.iter().flat_map(|place| [&place.cert, &place.key]);
    paths.map(|path| Ok(fs::read(path)?)).collect()
}
