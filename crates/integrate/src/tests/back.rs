//! The way back: a tree as it was, byte by byte, but for what somebody changed since.

use std::collections::BTreeMap;

use super::*;

const CRONTAB: &str = "0 */12 * * * /usr/local/phoenix_hypervisor/bin/managers/certificate-renewal-manager.sh\n\
                       5 4 * * * /usr/local/sbin/backup\n";
const JOB: &str =
    "#!/bin/sh\n/usr/local/phoenix_hypervisor/bin/managers/certificate-renewal-manager.sh >/dev/null\n";
const TABLE: &str = "var/spool/cron/crontabs/root";

/// The sample tree, with the old job in every place that cron looks into.
fn with_every_job() -> (TempDir, Tree) {
    let (dir, tree) = tree();
    let files = [
        (TABLE, CRONTAB),
        ("etc/crontab", "0 * * * * root /x/certificate-renewal-manager.sh\n"),
        ("etc/cron.hourly/renew", JOB),
        ("etc/cron.daily/renew", JOB),
        ("etc/cron.weekly/renew", JOB),
        ("etc/cron.monthly/renew", JOB),
    ];
    for (file, text) in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    fs::set_permissions(dir.path().join(TABLE), fs::Permissions::from_mode(0o600)).unwrap();
    (dir, tree)
}

/// Every file and directory below `directory`: mode, and content of files.
fn everything(directory: &Path) -> BTreeMap<PathBuf, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().mode();
        if path.is_dir() {
            found.extend(everything(&path));
            found.insert(path, (mode, None));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(path, (mode, Some(content)));
        }
    }
    found
}

#[test]
fn a_tree_is_as_it_was_byte_by_byte_and_a_second_run_finds_nothing_to_take_back() {
    let (dir, tree) = with_every_job();
    let before = everything(dir.path());
    let plan = planned(&tree);
    assert_eq!(plan.refusals, []);
    let applied = apply(&tree, &plan).unwrap();
    let jobs = applied.written.iter().filter(|path| !path.starts_with(INSTALLED)).count();
    assert_eq!(jobs, 7, "every place of cron: {applied:?}");
    let reverted = revert(&tree).unwrap();
    assert_eq!(reverted.left, []);
    assert_eq!(reverted.restored.len() + reverted.removed.len(), plan.changes.len());
    assert_eq!(everything(dir.path()), before);
    assert_eq!(revert(&tree).unwrap(), Reverted::default());
    apply(&tree, &planned(&tree)).unwrap();
    revert(&tree).unwrap();
    assert_eq!(everything(dir.path()), before, "a second way there and back");
}

#[test]
fn a_backup_lies_where_cron_does_not_take_it_for_a_users_table() {
    let (dir, tree) = with_every_job();
    apply(&tree, &planned(&tree)).unwrap();
    let tables: Vec<_> = fs::read_dir(dir.path().join("var/spool/cron/crontabs")).unwrap().collect();
    assert_eq!(tables.len(), 1, "{tables:?}");
    let backup = dir.path().join("var/spool/cron/root.before-phoenix-certd");
    assert_eq!(fs::read_to_string(&backup).unwrap(), CRONTAB);
    assert_eq!(fs::metadata(&backup).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(dir.path().join(TABLE)).unwrap(), "5 4 * * * /usr/local/sbin/backup\n");
}

#[test]
fn what_was_changed_since_is_left_and_told_until_somebody_has_decided() {
    let (dir, tree) = with_every_job();
    let before = everything(dir.path());
    apply(&tree, &planned(&tree)).unwrap();
    let manifest = dir.path().join(INSTALLED).join("etc/certificate-manifest.json");
    let options = dir.path().join(INSTALLED).join("etc/traefik/dynamic/00-tls-options.yml");
    let vms = dir.path().join(INSTALLED).join("etc/phoenix_vm_configs.json");
    let edited = fs::read_to_string(&manifest).unwrap() + "\n";
    fs::write(&manifest, &edited).unwrap();
    fs::write(&options, "tls: {}\n").unwrap();
    fs::remove_file(&vms).unwrap();
    fs::remove_file(dir.path().join("etc/crontab.before-phoenix-certd")).unwrap();
    for run in 1..=2 {
        let reverted = revert(&tree).unwrap();
        let mut left: Vec<_> = reverted.left.iter().map(ToString::to_string).collect();
        left.sort();
        let [crontab, manifest, vms, options] = &left[..] else { panic!("{run}: {left:?}") };
        assert!(crontab.contains("etc/crontab: has no backup"), "{crontab}");
        assert!(manifest.contains("certificate-manifest.json: was changed since"), "{manifest}");
        assert!(options.contains("00-tls-options.yml: was changed since"), "{options}");
        assert!(vms.contains("phoenix_vm_configs.json: is not there any more"), "{vms}");
        assert_eq!(reverted.restored.is_empty(), run == 2, "{reverted:?}");
    }
    assert_eq!(fs::read_to_string(&manifest).unwrap(), edited);
    assert_eq!(fs::read_to_string(dir.path().join(TABLE)).unwrap(), CRONTAB, "the others are back");
    for file in [&manifest, &vms] {
        fs::rename(format!("{}.before-phoenix-certd", file.display()), file).unwrap();
    }
    fs::remove_file(options).unwrap();
    fs::write(dir.path().join("etc/crontab"), "0 * * * * root /x/certificate-renewal-manager.sh\n").unwrap();
    assert_eq!(revert(&tree).unwrap().left, []);
    assert_eq!(everything(dir.path()), before);
}

#[test]
fn a_run_that_was_cut_off_is_taken_back_as_far_as_it_came() {
    let (dir, tree) = with_every_job();
    let before = everything(dir.path());
    let plan = planned(&tree);
    let last = plan.changes.last().unwrap().path.clone();
    fs::write(dir.path().join(&last), "something else").unwrap();
    assert!(matches!(apply(&tree, &plan), Err(ApplyError::Changed(path)) if path == last));
    // The backup is made and recorded, and the file still as it was.
    for not_written in [last.as_path(), Path::new("etc/crontab")] {
        let path = dir.path().join(not_written);
        fs::write(&path, before[&path].1.as_ref().unwrap()).unwrap();
    }
    let reverted = revert(&tree).unwrap();
    let not_written_yet = 2;
    assert_eq!(reverted.restored.len() + reverted.removed.len(), plan.changes.len() - not_written_yet);
    assert_eq!(everything(dir.path()), before);
}

#[test]
fn a_record_that_leads_out_of_the_tree_or_belongs_to_another_is_refused() {
    let (dir, tree) = with_every_job();
    apply(&tree, &planned(&tree)).unwrap();
    let installation = Tree::open(&dir.path().join(INSTALLED)).unwrap();
    let other = revert(&installation).unwrap_err();
    assert!(other.to_string().contains("the installation is `usr/local/phoenix_hypervisor`"), "{other}");
    let path = dir.path().join(INSTALLED).join("etc/integrate.before-phoenix-certd");
    let text = fs::read_to_string(&path).unwrap();
    for spoiled in [
        text.replace("\"etc/crontab\"", "\"../etc/crontab\""),
        text.replace("\"etc/crontab\"", "\"/etc/crontab\""),
        text.replace("\"etc/crontab\"", "\"\""),
        "{".to_owned(),
    ] {
        assert_ne!(spoiled, text);
        fs::write(&path, spoiled).unwrap();
        assert!(matches!(revert(&tree), Err(RecordError::Spoiled { .. })));
        assert!(dir.path().join("etc/crontab.before-phoenix-certd").exists(), "nothing is touched");
    }
}
