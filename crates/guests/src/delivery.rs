//! Files into a guest.
//!
//! Content, paths, owners and modes travel on standard input to one constant script, for containers as for
//! virtual machines, so that neither the guest's nor the host's process list ever shows more than that script.
//! `pct push` is not used: it needs the key in a file on the host, truncates an existing file in place, and
//! exits with 0 when its worker failed; the guest agent's file-write creates files that everybody can read.

use std::fmt::Write;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use phoenix_core::facts::FileFact;
use phoenix_core::manifest::{Guest, Mode, Owner};
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use zeroize::Zeroizing;

use crate::hypervisor::{GuestCommand, Hypervisor};
use crate::look::facts;

/// Where commands that pick up their files themselves expect the certificate.
pub const LEGACY_CERT: &str = "/tmp/cert.pem";
/// Where they expect the key.
pub const LEGACY_KEY: &str = "/tmp/key.pem";
/// Where they expect the roots bundle.
pub const LEGACY_CA: &str = "/tmp/ca.pem";

const SCRIPT: &str = concat!(include_str!("facts.sh"), include_str!("deliver.sh"));
/// A delivery is some ten kilobytes; what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What `qm guest exec --pass-stdin` takes.
const INPUT_LIMIT: usize = 1024 * 1024;

/// One file for a guest.
#[derive(Clone)]
pub struct GuestFile {
    /// Where it goes.
    pub path: AbsolutePath,
    /// What is in it.
    pub content: Zeroizing<Vec<u8>>,
    /// Owner, by the guest's names or numbers. None: the user that commands run as in the guest, root.
    pub owner: Option<Owner>,
    /// Mode.
    pub mode: Mode,
    /// The name lies in a directory that others write to: what is there is removed, and the file created
    /// exclusively. Otherwise an existing file is replaced atomically.
    pub exclusive: bool,
}

/// Files that belong together: none is put in its place before all have arrived.
#[derive(Clone)]
pub struct Delivery {
    /// Where they go.
    pub guest: Guest,
    /// The files in the order in which they are put in their places: the key before its certificate.
    pub files: Vec<GuestFile>,
}

impl Delivery {
    /// Writes the files inside the guest and reads their hashes back. Gives what lies there now.
    ///
    /// # Errors
    /// The guest is not there, off or locked; something in it refused; what arrived differs.
    pub fn deliver(&self, hypervisor: &Hypervisor<'_>) -> Result<Vec<FileFact>, Trouble> {
        let (stdin, sums) = self.encode()?;
        let argv = ["/bin/sh", "-c", SCRIPT];
        let command = GuestCommand { argv: &argv, stdin: Some(stdin), timeout: TIMEOUT };
        let said = hypervisor.exec("copying the files", self.guest, command).map_err(reason_of_words)?;
        if let Some(found) = facts(&said.stdout).filter(|found| are(found, &sums)) {
            return Ok(found);
        }
        let paths: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        let message =
            format!("what {} reads back from {} is not what was sent", self.guest, paths.join(", "));
        Err(Trouble::new(Reason::DeliveryDiffers, message))
    }

    /// The script's input, and the hashes it must answer.
    fn encode(&self) -> Result<(Zeroizing<Vec<u8>>, Vec<String>), Trouble> {
        let heads = self.files.iter().map(GuestFile::head).collect::<Result<Vec<_>, _>>()?;
        let count = format!("{}\n", self.files.len());
        let size = |(head, file): (&String, &GuestFile)| head.len() + file.content.len();
        let total = count.len() + heads.iter().zip(&self.files).map(size).sum::<usize>();
        if total > INPUT_LIMIT {
            let message =
                format!("the files for {} are {total} bytes: more than 1 MiB cannot be passed", self.guest);
            return Err(Trouble::new(Reason::NotDelivered, message));
        }
        // Room for everything at once: growing would leave copies of the key behind.
        let mut input = Zeroizing::new(Vec::with_capacity(total));
        input.extend_from_slice(count.as_bytes());
        for (head, file) in heads.iter().zip(&self.files) {
            input.extend_from_slice(head.as_bytes());
            input.extend_from_slice(&file.content);
        }
        Ok((input, self.files.iter().map(GuestFile::sum).collect()))
    }
}

impl GuestFile {
    fn sum(&self) -> String {
        digest(&SHA256, &self.content).as_ref().iter().fold(String::new(), |mut hex, byte| {
            // Writing into a string cannot fail.
            let _: std::fmt::Result = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The two lines before the content.
    fn head(&self) -> Result<String, Trouble> {
        let owner = self.owner.as_ref().map_or_else(|| "-".to_owned(), Owner::to_string);
        if owner.contains(char::is_whitespace) {
            return Err(Trouble::new(
                Reason::MissingOwner,
                format!("`{owner}` cannot be an owner in a guest"),
            ));
        }
        let (size, sum, mode, path) = (self.content.len(), self.sum(), self.mode, self.path.as_str());
        Ok(format!("{size} {sum} {mode} {owner} {}\n{path}\n", u8::from(self.exclusive)))
    }
}

/// The guest shows these files and no others.
fn are(found: &[FileFact], sums: &[String]) -> bool {
    let same =
        |(fact, sum): (&FileFact, &String)| matches!(fact, FileFact::Present { sha256, .. } if sha256 == sum);
    found.len() == sums.len() && found.iter().zip(sums).all(same)
}

/// Removes files from a guest; those that are not there are fine.
///
/// # Errors
/// The guest is not there, off or locked; one of the files could not be removed.
pub fn remove(hypervisor: &Hypervisor<'_>, guest: Guest, paths: &[&str]) -> Result<(), Trouble> {
    let argv = [&["rm", "-f", "--"], paths].concat();
    let command = GuestCommand { argv: &argv, stdin: None, timeout: TIMEOUT };
    hypervisor.exec("removing the copies", guest, command).map(|_| ())
}

/// A failure of the script, by what it says; a failure to reach the guest stays what it is.
fn reason_of_words(trouble: Trouble) -> Trouble {
    const WORDS: [(&str, Reason); 8] = [
        ("differs after writing", Reason::DeliveryDiffers),
        ("No space left", Reason::DiskFull),
        ("Disk quota exceeded", Reason::DiskFull),
        ("Read-only file system", Reason::ReadOnly),
        ("invalid user", Reason::MissingOwner),
        ("invalid group", Reason::MissingOwner),
        ("unknown user", Reason::MissingOwner),
        ("unknown group", Reason::MissingOwner),
    ];
    if trouble.reason != Reason::CommandFailed {
        return trouble;
    }
    let known = WORDS.iter().find(|(words, _)| trouble.message.contains(words));
    Trouble::new(known.map_or(Reason::NotDelivered, |(_, reason)| *reason), trouble.message)
}
