//! Pinned roots.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::samples;

fn phoenix() -> IssuerName {
    "phoenix".parse().unwrap()
}

fn fetched() -> IssuerName {
    "fetched".parse().unwrap()
}

fn anchors(dir: &std::path::Path) -> Anchors {
    let (_store, state) = samples::state(dir);
    Anchors::new(samples::settings(dir).issuers.clone(), state)
}

#[test]
fn a_root_is_pinned_at_first_sight_and_a_change_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (samples::root(), samples::root());
    let it = anchors(dir.path());
    assert_eq!(it.look(&phoenix()).unwrap().trouble.unwrap().reason, Reason::IssuerNotReady);
    assert!(it.pinned(&phoenix()).is_none());

    fs::write(dir.path().join("root.pem"), &first).unwrap();
    let pinned = it.roots(&phoenix()).unwrap().fingerprints();
    fs::write(dir.path().join("root.pem"), &second).unwrap();
    drop(it);

    let it = anchors(dir.path());
    let anchor = it.look(&phoenix()).unwrap();
    assert_eq!(anchor.roots.unwrap().fingerprints(), pinned);
    let trouble = anchor.trouble.unwrap();
    assert_eq!(trouble.reason, Reason::TrustChanged);
    let new = Roots::from_pem(&second).unwrap().fingerprints();
    assert!(trouble.message.contains(&pinned[0]), "{trouble}");
    assert!(trouble.message.contains(&format!("trust --accept {}", new[0])), "{trouble}");

    for offered in [&first, &second] {
        assert_eq!(it.trust(&phoenix(), offered).unwrap_err().reason, Reason::BadRequest);
    }
    let (_store, state) = samples::state(dir.path());
    let accepted = state.subdir("accepted-roots").unwrap();
    for other in [format!("phoenix.{}", "0".repeat(64)), format!("fetched.{}", new[0])] {
        accepted.write(&other, b"").unwrap();
        assert_eq!(it.look(&phoenix()).unwrap().trouble.unwrap().reason, Reason::TrustChanged);
    }
    accepted.write(&format!("phoenix.{}", new[0]), b"").unwrap();
    let anchor = it.look(&phoenix()).unwrap();
    assert_eq!((anchor.trouble, anchor.roots.unwrap().fingerprints()), (None, new));

    // One of what is pinned already is not kept for later.
    let pinned = format!("phoenix.{}", it.roots(&phoenix()).unwrap().fingerprints()[0]);
    accepted.write(&pinned, b"").unwrap();
    assert_eq!(it.look(&phoenix()).unwrap().trouble, None);
    assert!(!accepted.names().unwrap().contains(&pinned));

    // An acceptance is used up: whoever can write the file cannot go back and forth with it.
    fs::write(dir.path().join("root.pem"), &first).unwrap();
    assert_eq!(it.look(&phoenix()).unwrap().trouble.unwrap().reason, Reason::TrustChanged);
}

#[test]
fn a_root_that_is_taken_from_a_bundle_is_a_change_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (samples::root(), samples::root());
    let bundle = first.clone() + &second;
    let (_store, state) = samples::state(dir.path());
    let accepted = || state.subdir("accepted-roots").unwrap();
    accepted();
    let it = Anchors::new(samples::settings(dir.path()).issuers.clone(), state.clone());
    let put = |content: &str| fs::write(dir.path().join("root.pem"), content).unwrap();
    put(&first);
    it.roots(&phoenix()).unwrap();
    put(&bundle);
    let trouble = it.look(&phoenix()).unwrap().trouble.unwrap();
    for print in Roots::from_pem(&bundle).unwrap().fingerprints() {
        assert!(trouble.message.contains(&format!(" --accept {print}")), "{trouble}");
        accepted().write(&format!("phoenix.{print}"), b"").unwrap();
    }
    assert_eq!(it.look(&phoenix()).unwrap().trouble, None);

    put(&first);
    let anchor = it.look(&phoenix()).unwrap();
    assert_eq!(anchor.trouble.unwrap().reason, Reason::TrustChanged);
    assert_eq!(anchor.roots.unwrap().fingerprints().len(), 2);
}

#[test]
fn a_root_file_that_goes_leaves_the_pinned_copy_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("root.pem");
    fs::write(&file, samples::root()).unwrap();
    let it = anchors(dir.path());
    it.roots(&phoenix()).unwrap();
    fs::remove_file(&file).unwrap();
    let anchor = it.look(&phoenix()).unwrap();
    assert!(anchor.roots.is_some() && anchor.trouble.is_none());
    assert!(anchor.warnings.iter().any(|warning| warning.contains("does not exist")), "{anchor:?}");
}

#[test]
fn a_root_that_others_can_write_is_a_permanent_warning() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("root.pem");
    fs::write(&file, samples::root()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let it = anchors(dir.path());
    for _ in 0..2 {
        let facts = it.facts();
        assert!(facts[0].warnings[0].starts_with("trust-anchor-writable: "), "{facts:?}");
        assert!(facts[0].roots.is_some());
    }
}

/// Overwrites a file of the executor's state with garbage.
fn damage(dir: &std::path::Path, issuer: &str, file: &str) {
    let place = dir.join("state/issuers").join(issuer).join(file);
    assert!(place.is_file(), "{}", place.display());
    fs::write(place, [0xa5; 100]).unwrap();
}

#[test]
fn damaged_pins_are_mended_from_the_very_same_root_and_from_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (samples::root(), samples::root());
    let root = dir.path().join("root.pem");
    fs::write(&root, &first).unwrap();
    let pinned = anchors(dir.path()).roots(&phoenix()).unwrap().fingerprints();

    damage(dir.path(), "phoenix", "roots.pem");
    fs::write(&root, &second).unwrap();
    for _restart in 0..2 {
        let anchor = anchors(dir.path()).look(&phoenix()).unwrap();
        let trouble = anchor.trouble.unwrap();
        assert!(anchor.roots.is_none(), "{trouble}");
        assert_eq!(trouble.reason, Reason::TrustChanged);
        assert!(trouble.message.contains(&pinned[0]), "{trouble}");
    }

    fs::write(&root, &first).unwrap();
    let anchor = anchors(dir.path()).look(&phoenix()).unwrap();
    assert_eq!((anchor.trouble, anchor.roots.unwrap().fingerprints()), (None, pinned.clone()));
    assert!(
        anchor.warnings.iter().any(|warning| warning.contains("damaged-roots.pem")),
        "{:?}",
        anchor.warnings
    );
    // A bundle of which a part was lost, and a lost list of fingerprints.
    damage(dir.path(), "phoenix", "pinned.json");
    assert_eq!(anchors(dir.path()).roots(&phoenix()).unwrap().fingerprints(), pinned);
    fs::write(dir.path().join("state/issuers/phoenix/roots.pem"), &second).unwrap();
    assert_eq!(anchors(dir.path()).roots(&phoenix()).unwrap().fingerprints(), pinned);
    // The pins are whole again: the file is no longer needed.
    fs::remove_file(&root).unwrap();
    assert_eq!(anchors(dir.path()).roots(&phoenix()).unwrap().fingerprints(), pinned);
}

#[test]
fn where_nothing_is_left_of_the_pins_the_root_is_accepted_as_at_first_sight_and_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let root = samples::root();
    fs::write(dir.path().join("root.pem"), &root).unwrap();
    let pinned = anchors(dir.path()).roots(&phoenix()).unwrap().fingerprints();
    damage(dir.path(), "phoenix", "roots.pem");
    damage(dir.path(), "phoenix", "pinned.json");
    let anchor = anchors(dir.path()).look(&phoenix()).unwrap();
    assert_eq!((anchor.trouble, anchor.roots.unwrap().fingerprints()), (None, pinned));
    for file in ["damaged-roots.pem", "damaged-pinned.json"] {
        assert!(anchor.warnings.iter().any(|warning| warning.contains(file)), "{:?}", anchor.warnings);
    }
}

#[test]
fn garbage_and_links_are_no_roots() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("root.pem");
    let it = anchors(dir.path());
    for content in [Vec::new(), b"garbage".to_vec(), vec![0xff; 300 * 1024]] {
        fs::write(&file, content).unwrap();
        assert_eq!(it.look(&phoenix()).unwrap().trouble.unwrap().reason, Reason::IssuerNotReady);
    }
    fs::write(dir.path().join("real"), samples::root()).unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("real", &file).unwrap();
    let trouble = it.look(&phoenix()).unwrap().trouble.unwrap();
    assert!(trouble.message.contains("symbolic link"), "{trouble}");
}

#[test]
fn a_root_by_fingerprint_must_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = samples::root();
    let print = Roots::from_pem(&root).unwrap().fingerprints().remove(0);
    let (_store, state) = samples::state(dir.path());
    let mut issuers = samples::settings(dir.path()).issuers.clone();
    issuers[1].trust = TrustAnchor::Fingerprint(print.clone());
    let it = Anchors::new(issuers.clone(), state.clone());
    assert_eq!(it.look(&fetched()).unwrap().trouble.unwrap().reason, Reason::IssuerNotReady);
    for wrong in [samples::root(), format!("{root}{}", samples::root()), "x".to_owned()] {
        assert_eq!(it.trust(&fetched(), &wrong).unwrap_err().reason, Reason::WrongRoot);
    }
    it.trust(&fetched(), &root).unwrap();
    // Damaged, it is fetched again.
    damage(dir.path(), "fetched", "roots.pem");
    let it = Anchors::new(issuers.clone(), state.clone());
    assert_eq!(it.look(&fetched()).unwrap().trouble.unwrap().reason, Reason::IssuerNotReady);
    it.trust(&fetched(), &root).unwrap();
    assert_eq!(it.roots(&fetched()).unwrap().fingerprints(), [print]);

    // The operator configures another fingerprint: what was pinned for the old one counts no more.
    issuers[1].trust = TrustAnchor::Fingerprint("1".repeat(64));
    let it = Anchors::new(issuers, state);
    assert!(it.pinned(&fetched()).is_none());
    assert_eq!(it.roots(&fetched()).unwrap_err().reason, Reason::IssuerNotReady);
}

#[test]
fn an_issuer_that_is_not_configured_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let it = anchors(dir.path());
    assert_eq!(it.roots(&"nobody".parse().unwrap()).unwrap_err().reason, Reason::BadRequest);
    assert!(it.pinned(&"nobody".parse().unwrap()).is_none());
}
