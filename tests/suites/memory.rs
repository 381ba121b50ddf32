//! The process with the network never holds a secret.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use phoenix_testkit::peers::StepCaVersion;
use phoenix_testkit::{manifest, memory, openssl};
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

    /// The daemon holds none of them; that the search works is shown by a name that it must hold.
    fn search(&self, bed: &Bed) -> Result<()> {
        let public = bed.places[0].common_name.as_bytes();
        let needles: Vec<&[u8]> =
            std::iter::once(public).chain(self.known.iter().map(Vec::as_slice)).collect();
        let found = memory::find(bed.daemon.pid()?, &needles)?;
        ensure!(found[0], "the search does not find what the daemon must know");
        for (needle, found) in needles.iter().zip(&found).skip(1) {
            ensure!(!found, "a secret of {} bytes is in the daemon's memory", needle.len());
        }
        Ok(())
    }
}
