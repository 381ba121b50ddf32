//! Trees as they are found: links, other line ends, files that nobody can read, jobs that do more than theirs.

use std::os::unix::fs::symlink;

use super::*;

/// The path of a file of the installation.
fn installed(dir: &TempDir, file: &str) -> PathBuf {
    dir.path().join(INSTALLED).join(file)
}

/// Changes the text of every file of a tree.
fn every_file(directory: &Path, change: &dyn Fn(&str) -> String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_file(&path, change);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, change(&text)).unwrap();
        }
    }
}

fn remarks_of(plan: &Plan) -> String {
    plan.remarks.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_that_cannot_be_read_are_refused_beside_all_the_others() {
    let (dir, tree) = tree();
    let replace = |file: &str| {
        let path = installed(&dir, file);
        fs::remove_file(&path).unwrap();
        path
    };
    symlink("/etc/passwd", replace("etc/phoenix_vm_configs.json")).unwrap();
    fs::write(replace("etc/phoenix_lxc_configs.json"), [0xff, 0xfe]).unwrap();
    fs::create_dir(replace("etc/phoenix_hypervisor_config.json")).unwrap();
    fs::write(replace("etc/traefik/traefik.yml.template"), " ".repeat(5 << 20)).unwrap();
    let plan = planned(&tree);
    let said: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
    for words in [
        "phoenix_vm_configs.json is a symlink: edit what it points to",
        "phoenix_lxc_configs.json is not UTF-8",
        "phoenix_hypervisor_config.json is not a regular file",
        "traefik.yml.template is larger than 4 MiB",
    ] {
        assert!(said.iter().any(|line| line.contains(words)), "{words}: {said:?}");
    }
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(plan.changes.iter().any(|change| change.path.ends_with("certificate-manifest.json")));
    assert!(matches!(apply(&tree, &plan), Err(ApplyError::Refused(4))));
}

#[test]
fn line_ends_of_windows_stay_and_scripts_that_have_them_are_refused() {
    let (dir, tree) = tree();
    every_file(dir.path(), &|text| text.replace('\n', "\r\n"));
    let plan = planned(&tree);
    let scripts = plan.refusals.iter().filter(|refusal| refusal.message.contains("as Windows does")).count();
    assert_eq!((scripts, plan.refusals.len()), (3, 3), "{:?}", plan.refusals);
    for change in plan.changes.iter().filter(|change| change.before.is_some()) {
        let (lines, windows) = (change.after.matches('\n').count(), change.after.matches("\r\n").count());
        assert_eq!(lines, windows, "{}", change.path.display());
    }
    let template = after(&plan, "traefik.yml.template");
    assert!(template.contains("\r\n      email: \"__ACME_EMAIL__\"\r\n"), "{template}");

    every_file(&dir.path().join(INSTALLED).join("bin"), &|text| text.replace("\r\n", "\n"));
    apply(&tree, &planned(&tree)).unwrap();
    assert_eq!(planned(&tree).changes, []);
}

/// A file, what becomes of its text, and the line and the words of the refusal.
type Spoiled<'a> = (&'a str, &'a dyn Fn(&str) -> String, usize, &'a str);

#[test]
fn mixed_line_ends_and_a_byte_order_mark_are_refused_with_what_helps() {
    let mixed = |text: &str| text.replacen('\n', "\r\n", 2);
    let marked = |text: &str| format!("\u{feff}{text}");
    let cases: [Spoiled<'_>; 2] = [
        ("etc/traefik/traefik.yml.template", &mixed, 3, "sed -i 's/\\r$//'"),
        ("etc/phoenix_vm_configs.json", &marked, 1, "byte order mark"),
    ];
    for (file, change, line, words) in cases {
        let (dir, tree) = tree();
        let path = installed(&dir, file);
        fs::write(&path, change(&fs::read_to_string(&path).unwrap())).unwrap();
        let plan = planned(&tree);
        let [refusal] = &plan.refusals[..] else { panic!("{file}: {:?}", plan.refusals) };
        assert_eq!(refusal.line, Some(line), "{refusal}");
        assert!(refusal.message.contains(words), "{refusal}");
    }
}

#[test]
fn a_link_to_the_old_script_is_told_and_a_file_that_is_no_text_is_no_obstacle() {
    let (dir, tree) = tree();
    let hourly = dir.path().join("etc/cron.hourly");
    fs::create_dir(&hourly).unwrap();
    let script = "/usr/local/phoenix_hypervisor/bin/managers/certificate-renewal-manager.sh";
    symlink(script, hourly.join("renew")).unwrap();
    fs::write(hourly.join("program"), [0xff, 0x00]).unwrap();
    fs::write(installed(&dir, "bin/latin.sh"), b"# \xe4\n").unwrap();
    fs::write(dir.path().join("etc/cron.daily"), "").unwrap();
    let locked = installed(&dir, "etc/haproxy");
    fs::remove_dir_all(&locked).unwrap();
    symlink("haproxy", &locked).unwrap();
    let plan = planned(&tree);
    assert_eq!(plan.refusals, []);
    let said = remarks_of(&plan);
    assert!(said.contains("etc/cron.hourly/renew: is a link to the old renewal script"), "{said}");
    assert!(said.contains("etc/cron.hourly/program: was not searched"), "{said}");
    assert!(said.contains("etc/cron.daily: was not searched for the old renewal job"), "{said}");
    assert!(!said.contains("latin.sh") && !said.contains("haproxy"), "{said}");
}

/// A job and what becomes of it: the text, or the line that is refused.
type Job<'a> = (&'a str, Result<&'a str, usize>);

#[test]
fn a_job_that_does_more_than_renewing_is_refused_with_its_line() {
    let tables: [Job<'_>; 5] = [
        ("PATH=/bin\n@hourly root /x/certificate-renewal-manager.sh # x\n", Ok("PATH=/bin\n")),
        ("0 * * * * root cd /x && ./certificate-renewal-manager.sh >/dev/null 2>&1\n", Ok("")),
        ("# certificate-renewal-manager.sh\n", Ok("# certificate-renewal-manager.sh\n")),
        ("PATH=/bin\n0 * * * * root /x/backup && /x/certificate-renewal-manager.sh\n", Err(2)),
        ("0 * * * * root /x/certificate-renewal-manager.sh; /x/backup\n", Err(1)),
    ];
    for (text, expected) in tables {
        assert_eq!(outcome(cron::edit_table(text)), expected.map(str::to_owned), "{text}");
    }
    let run = "#!/bin/sh\nif [ -x /x/certificate-renewal-manager.sh ]; then\n  \
               /x/certificate-renewal-manager.sh\nfi\n";
    let scripts: [Job<'_>; 3] = [
        (run, Ok("#!/bin/sh\n# phoenix-certd renews the certificates.\n")),
        (
            "#!/bin/sh\n# not certificate-renewal-manager.sh\nls\n",
            Ok("#!/bin/sh\n# not certificate-renewal-manager.sh\nls\n"),
        ),
        ("#!/bin/sh\n/x/certificate-renewal-manager.sh\n/x/backup\n", Err(3)),
    ];
    for (text, expected) in scripts {
        assert_eq!(outcome(cron::edit_job(text)), expected.map(str::to_owned), "{text}");
    }
}

fn outcome(edit: Edit) -> Result<String, usize> {
    edit.map(|edited| edited.text).map_err(|unclear| unclear.line)
}

#[test]
fn a_tree_with_our_own_files_needs_nothing_of_them() {
    let (dir, tree) = tree();
    let config = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config"));
    let files = [
        ("certificate-manifest.recommended.json", "etc/certificate-manifest.json"),
        ("traefik/traefik.yml.template", "etc/traefik/traefik.yml.template"),
        ("traefik/dynamic/00-tls-options.yml", "etc/traefik/dynamic/00-tls-options.yml"),
        ("traefik/dynamic/10-certificates.yml", "etc/traefik/dynamic/10-certificates.yml"),
        ("traefik/dynamic/20-internal.yml", "etc/traefik/dynamic/20-internal.yml"),
    ];
    fs::create_dir(installed(&dir, "etc/traefik/dynamic")).unwrap();
    for (file, place) in files {
        fs::copy(config.join(file), installed(&dir, place)).unwrap();
    }
    let plan = planned(&tree);
    assert_eq!(plan.refusals, []);
    for (_, place) in files {
        assert!(!plan.changes.iter().any(|change| change.path.ends_with(place)), "{place}");
        assert!(!remarks_of(&plan).contains(place), "{}", remarks_of(&plan));
    }
}

#[test]
fn files_that_are_not_there_are_told_and_the_rest_is_written() {
    let (dir, tree) = tree();
    for gone in ["etc/traefik", "bin"] {
        fs::remove_dir_all(installed(&dir, gone)).unwrap();
    }
    let plan = planned(&tree);
    assert_eq!(plan.refusals, []);
    let said = remarks_of(&plan);
    for file in ["traefik.yml.template", "feature_install_docker_proxy.sh"] {
        assert!(said.contains(&format!("{file}: is not in this tree")), "{said}");
    }
    assert!(!apply(&tree, &plan).unwrap().written.is_empty());
    assert_eq!(planned(&tree).changes, []);
}
