//! Debian packages that the tests use.

use anyhow::{Context, Result, ensure};

use crate::shell::{command, run, succeeds};

/// A package, a program that shows that it is installed, and who needs it.
struct Package {
    name: &'static str,
    program: &'static str,
    why: &'static str,
}

/// What the tests themselves use. Go and debootstrap are installed by the script that builds the peers, and only
/// when it has to build.
const FOR_TESTS: &[Package] = &[
    Package {
        name: "busybox-static",
        program: "/usr/bin/busybox",
        why: "the shell and the tools of guests that are not Debian",
    },
    Package {
        name: "gcc",
        program: "/usr/bin/cc",
        why: "linking, and the C part of the cryptography library",
    },
    Package { name: "curl", program: "/usr/bin/curl", why: "requests as the operator makes them" },
    Package { name: "iproute2", program: "/usr/sbin/ip", why: "networks that the tests make" },
    Package { name: "mount", program: "/usr/bin/mount", why: "small and read-only file systems" },
    Package {
        name: "openssl",
        program: "/usr/bin/openssl",
        why: "an independent opinion on keys and certificates",
    },
    Package {
        name: "python3",
        program: "/usr/bin/python3",
        why: "stand-ins for pct and qm, set-up of the CA",
    },
    Package { name: "python3-pip", program: "/usr/bin/pip3", why: "fetching Traefik" },
    Package { name: "shellcheck", program: "/usr/bin/shellcheck", why: "checking the shell scripts" },
    Package {
        name: "strace",
        program: "/usr/bin/strace",
        why: "killing the executor at every disk-changing system call",
    },
    Package { name: "systemd", program: "/usr/bin/systemd-analyze", why: "checking the units" },
    Package {
        name: "systemd-container",
        program: "/usr/bin/systemd-nspawn",
        why: "the box that plays the hypervisor",
    },
    Package { name: "util-linux", program: "/usr/bin/unshare", why: "guests that are directories" },
];

/// Installs what is missing, saying what and why.
pub(crate) fn ensure_for_tests() -> Result<()> {
    let missing: Vec<&Package> =
        FOR_TESTS.iter().filter(|package| !std::path::Path::new(package.program).exists()).collect();
    for package in &missing {
        eprintln!("the tests need Debian's package {}: {}", package.name, package.why);
    }
    install(&missing.iter().map(|package| package.name).collect::<Vec<_>>())
}

/// Installs packages with apt-get.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    ensure!(
        succeeds(&mut command("apt-get", ["--version"])),
        "{} must be installed, and there is no apt-get to do it: the tests run on Debian 12",
        names.join(", ")
    );
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get", arguments);
        run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], names].concat())
        .with_context(|| format!("install {} by hand and try again", names.join(", ")))
}
