//! A directory full of certificates from the old script is taken over as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use phoenix_core::lifecycle::FOREIGN_WRITES;
use phoenix_core::reason::Reason;
use phoenix_protocol::control::CertificateState;
use phoenix_testkit::manifest;
use phoenix_testkit::openssl;
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::scratch::Scratch;
use phoenix_testkit::stepca::{Options, StepCa};
use phoenix_tests::{Bed, is_done, tells};
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

/// The old job, still running beside the service: a pair that lives longer is taken over, an older one is put right,
/// and a writer that insists is named.
#[test]
fn a_second_writer_on_the_same_files_is_noticed_and_not_fought_over() -> Result<()> {
    let scratch = Scratch::new()?;
    let ca = StepCa::start_in(&scratch.join("ca"), StepCaVersion::V0_30_2, &Options::default())?;
    let entry = manifest::entry(&scratch, "web");
    let bed = Bed::around(scratch, ca, vec![entry])?;
    let first = bed.daemon.wait_entry("web", "is there", is_done)?;
    let old = contents(&bed.places)?;
    let place = &bed.places[0];
    let write_old =
        || -> Result<()> { Ok(fs::write(&place.key, &old[1]).and(fs::write(&place.cert, &old[0]))?) };

    let cn = &place.common_name;
    openssl::make_pair(&bed.ca, &place.cert, &place.key, cn, &format!("DNS:{cn}"), 30)?;
    let longer = openssl::serial(&place.cert)?;
    ensure!(bed.daemon.certctl(["sync"])?.status.success(), "the longer one is no good");
    let entry = bed.daemon.wait_entry("web", "is taken over", |entry| {
        is_done(entry)
            && entry.serial.as_deref().is_some_and(|serial| serial.trim_start_matches('0') == longer)
    })?;
    ensure!(bed.ca.issued() == 1 && entry.serial != first.serial, "{entry:?}");

    for _ in 0..FOREIGN_WRITES {
        write_old()?;
        ensure!(bed.daemon.certctl(["sync"])?.status.success(), "it is not put right");
        ensure!(openssl::serial(&place.cert)? == longer, "the older pair stays");
    }
    write_old()?;
    ensure!(bed.daemon.certctl(["sync"])?.status.code() == Some(1), "it is fought over");
    let words = ["replaced from outside", "an old cron job", "phoenix-certctl renew --name web"];
    let entry =
        bed.daemon.wait_entry("web", "is yielded", |entry| tells(entry, Reason::ForeignWriter, &words))?;
    ensure!(entry.state == CertificateState::Blocked && contents(&bed.places)? == old, "{entry:?}");

    let out = bed.daemon.certctl(["renew", "--name", "web"])?;
    ensure!(out.status.success(), "{out:?}");
    bed.daemon.wait_entry("web", "is in order", is_done)?;
    bed.check_pairs()
}

fn contents(places: &[manifest::Place]) -> Result<Vec<Vec<u8>>> {
    let paths = places.iter().flat_map(|place| [&place.cert, &place.key]);
    paths.map(|path| Ok(fs::read(path)?)).collect()
}
