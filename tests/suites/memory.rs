//! The process with the network never holds a secret, and the one with the keys none for longer than it needs it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::{manifest, memory, openssl, patience};
use phoenix_tests::Bed;

const RENEWALS: usize = 3;

#[test]
fn neither_leaf_keys_nor_the_provisioner_password_are_in_the_daemons_memory() -> Result<()> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    let mut secrets = Secrets::default();
    secrets.add_password(&bed)?;
    for _ in 0..RENEWALS {
        secrets.add_keys(&bed)?;
        // The search runs while the renewal does: what is held for a moment only is looked for as well.
        let asked = bed.daemon.certctl(["renew", "--all", "--no-wait"])?;
        ensure!(asked.status.success(), "{asked:?}");
        secrets.search(&bed)?;
        bed.daemon.wait_all_ok(2)?;
    }
    secrets.add_keys(&bed)?;
    secrets.search(&bed)
}

#[test]
fn the_executor_forgets_keys_and_password_when_it_is_done_with_them() -> Result<()> {
    let bed = Bed::with(StepCaVersion::V0_30_2, manifest::plan()?)?;
    bed.daemon.wait_all_ok(2)?;
    let mut secrets = Secrets::default();
    secrets.add_password(&bed)?;
    for _ in 0..RENEWALS {
        secrets.add_keys(&bed)?;
        let renewed = bed.daemon.certctl(["renew", "--all"])?;
        ensure!(renewed.status.success(), "{renewed:?}");
    }
    secrets.add_keys(&bed)?;
    let executor = executor_of(bed.daemon.pid()?)?;
    let mut left = Ok(Vec::new());
    let forgotten = patience::until(|| {
        left = secrets.found_in(executor, &bed).map_err(|error| format!("{error:#}"));
        left.as_ref().is_ok_and(Vec::is_empty).then_some(())
    });
    ensure!(forgotten.is_some(), "secrets of these lengths are in the executor's memory: {left:?}");
    Ok(())
}

/// The only child of a daemon that is its own keeper of an executor.
fn executor_of(daemon: u32) -> Result<u32> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{daemon}/task"))? {
        let list = fs::read_to_string(task?.path().join("children"))?;
        children.extend(list.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?);
    }
    ensure!(children.len() == 1, "children of the daemon: {children:?}");
    Ok(children[0])
}

#[derive(Default)]
struct Secrets {
    known: BTreeSet<Vec<u8>>,
}

impl Secrets {
    fn add_password(&mut self, bed: &Bed) -> Result<()> {
        let password = bed.ca.password()?;
        self.known.insert(password.trim().as_bytes().to_vec());
        Ok(())
    }

    /// The numbers that the keys are, and the lines of their files that hold them.
    fn add_keys(&mut self, bed: &Bed) -> Result<()> {
        for place in &bed.places {
            let scalar = openssl::secret_scalar(&place.key)?;
            ensure!(scalar.len() == 32, "not a P-256 key");
            self.known.insert(scalar);
            // The first line of PKCS#8 begins with what all P-256 keys share; the secret is in the line as a whole.
            self.known.extend(openssl::pem_lines(&place.key)?.into_iter().take(2).map(String::into_bytes));
        }
        Ok(())
    }

    /// The daemon holds none of them.
    fn search(&self, bed: &Bed) -> Result<()> {
        let found = self.found_in(bed.daemon.pid()?, bed)?;
        ensure!(found.is_empty(), "secrets of these lengths are in the daemon's memory: {found:?}");
        Ok(())
    }

    /// The lengths of those that are in the memory of a process; that the search works is shown by a name that it must
    /// hold.
    fn found_in(&self, pid: u32, bed: &Bed) -> Result<Vec<usize>> {
        let public = bed.places[0].common_name.as_bytes();
        let needles: Vec<&[u8]> =
            std::iter::once(public).chain(self.known.iter().map(Vec::as_slice)).collect();
        let found = memory::find(pid, &needles)?;
        ensure!(found[0], "the search does not find what the process must know");
        let held = needles.iter().zip(found).skip(1).filter(|(_, found)| *found);
        Ok(held.map(|(needle, _)| needle.len()).collect())
    }
}
