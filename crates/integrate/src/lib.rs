//! The edits that a `phoenix_hypervisor` tree needs to work with phoenix-certd.
//!
//! [`plan`] reads the files of a tree and returns what is to be changed, why, and what is not understood; nothing
//! is written. [`apply`] writes a plan, [`revert`] takes back what was written. Each kind of file has a module that turns one text into another and knows
//! nothing of files:
//!
//! | module | file | edit |
//! |---|---|---|
//! | `manifest` | `etc/certificate-manifest.json` | the certificates of Docker's API, of Traefik towards it, and of the mesh |
//! | `traefik` | `etc/traefik/traefik.yml.template`, `etc/traefik/dynamic/` | swarm endpoint with TLS, mesh options that enforce mTLS |
//! | `docker` | `bin/vm_features/feature_install_docker_proxy.sh` | the API on 2376 with the certificate from Step-CA |
//! | `firewall` | `etc/phoenix_*_configs.json`, `etc/phoenix_hypervisor_config.json` | 2375 to 2376, and the probes of the hypervisor |
//! | `cron` | cron tables, and the script that installs one | the old renewal job removed |
//! | `ends` | | line ends of Windows |
//! | `apply`, `record`, `revert` | | what is written, and taken back |
//! | `json`, `yaml`, `shell` | | editing a text so that everything else stays as it was written |
//!
//! Everything is idempotent: planning a tree that was applied finds nothing to do.

mod apply;
mod cron;
mod diff;
mod docker;
mod ends;
mod firewall;
mod json;
mod manifest;
mod record;
mod revert;
mod shell;
mod traefik;
mod tree;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};

pub use apply::{Applied, ApplyError, apply};
pub use record::RecordError;
pub use revert::{Reverted, revert};
use tree::{Found, Naming};
pub use tree::{Tree, TreeError};

/// What a tree needs.
#[derive(Debug, Default)]
pub struct Plan {
    /// Files to write, in the order of their paths.
    pub changes: Vec<Change>,
    /// What an operator should know and do by hand.
    pub remarks: Vec<Remark>,
    /// What is not understood. While there is any, nothing is written.
    pub refusals: Vec<Refusal>,
}

/// One file and its new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the tree.
    pub path: PathBuf,
    /// What is there now; none for a new file.
    pub before: Option<String>,
    /// What is to be there.
    pub after: String,
    /// Why, a sentence for each edit.
    pub reasons: Vec<String>,
}

/// Something that is pointed out and not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Relative to the tree.
    pub path: PathBuf,
    /// A sentence or two.
    pub message: String,
}

/// Something in a file that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Relative to the tree.
    pub path: PathBuf,
    /// Line, counted from 1; none when it is the file as a whole.
    pub line: Option<usize>,
    /// What is not understood and what to do about it.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.message),
            None => write!(f, "{} {}", self.path.display(), self.message),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl Change {
    /// The change as a unified diff, with the reasons above it.
    pub fn diff(&self) -> String {
        diff::unified(self)
    }
}

/// Addresses of the installation.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The hypervisor, which probes the consumers.
    pub hypervisor: String,
    /// The swarm manager (VM 1001).
    pub docker: String,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { hypervisor: "10.0.0.13".to_owned(), docker: "10.0.0.111".to_owned() }
    }
}

/// What the text of one file becomes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Edited {
    /// The new text; equal to the old one when nothing is to be done.
    text: String,
    reasons: Vec<String>,
    remarks: Vec<String>,
}

/// Why a text cannot be edited.
#[derive(Debug, PartialEq, Eq)]
struct Unclear {
    line: usize,
    message: String,
}

impl Unclear {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

type Edit = Result<Edited, Unclear>;
/// Turns the text of a file into another.
type Editor<'a> = &'a dyn Fn(&str) -> Edit;

/// What `tree` needs. What cannot be read is refused or remarked, by what it is.
pub fn plan(tree: &Tree, addresses: &Addresses) -> Plan {
    let mut plan = Plan::default();
    let base = tree.base();
    let files: [(&str, Editor<'_>); 7] = [
        ("etc/certificate-manifest.json", &manifest::edit),
        ("etc/traefik/traefik.yml.template", &|text| traefik::edit(text, addresses)),
        ("bin/vm_features/feature_install_docker_proxy.sh", &|text| docker::edit(text, addresses)),
        ("bin/lxc_setup/phoenix_hypervisor_feature_install_traefik.sh", &|text| {
            Ok(traefik::edit_installer(text))
        }),
        ("etc/phoenix_vm_configs.json", &|text| firewall::edit_vms(text, addresses)),
        ("etc/phoenix_lxc_configs.json", &|text| firewall::edit_containers(text, addresses)),
        ("etc/phoenix_hypervisor_config.json", &|text| firewall::edit_global(text, addresses)),
    ];
    for (name, edit) in files {
        let path = base.join(name);
        match tree.read(&path) {
            Ok(Some(text)) => plan.take(path, text, edit),
            Ok(None) => plan.remark(path, "is not in this tree: nothing was planned for it"),
            Err(error) => plan.refuse(path, &error),
        }
    }
    for (name, content, reason) in traefik::dynamic_files() {
        let path = base.join(name);
        match tree.read(&path) {
            Ok(Some(text)) => plan.take(path, text, &|text| Ok(traefik::edit_dynamic(text, content, reason))),
            Ok(None) => plan.create(path, content, reason),
            Err(error) => plan.refuse(path, &error),
        }
    }
    plan.take_all(tree.cron_tables(), &cron::edit_table);
    plan.take_all(tree.cron_scripts(), &cron::edit_job);
    plan.take_all(tree.scripts(), &cron::edit_script);
    plan.changes.sort_by(|a, b| a.path.cmp(&b.path));
    plan.point_out_the_old_port(tree);
    plan
}

impl Plan {
    fn take(&mut self, path: PathBuf, text: String, edit: Editor<'_>) {
        match ends::edit(&text, edit) {
            Ok(Edited { text: after, reasons, remarks }) => {
                for message in remarks {
                    self.remark(path.clone(), &message);
                }
                if after != text {
                    self.changes.push(Change { path, before: Some(text), after, reasons });
                }
            }
            Err(Unclear { line, message }) => {
                self.refusals.push(Refusal { path, line: Some(line), message });
            }
        }
    }

    fn take_all(&mut self, found: Found, edit: Editor<'_>) {
        for (path, text) in found.texts {
            self.take(path, text, edit);
        }
        for (path, message) in found.odd {
            self.remark(path, &message);
        }
    }

    /// A file that there is something to do about, and that cannot be read.
    fn refuse(&mut self, path: PathBuf, error: &TreeError) {
        self.refusals.push(Refusal { path, line: None, message: error.why() });
    }

    fn point_out_the_old_port(&mut self, tree: &Tree) {
        let port = firewall::OLD;
        let Naming { lines, odd } = tree.naming(port);
        for (path, line) in lines {
            if !self.concerns(&path) {
                self.remark(
                    path,
                    &format!("line {line} names port {port}, where the Docker API is not any more"),
                );
            }
        }
        for (path, message) in odd {
            self.remark(path, &message);
        }
    }

    /// Something is done about the file, or wrong with it.
    fn concerns(&self, path: &Path) -> bool {
        self.changes.iter().any(|change| change.path == path)
            || self.refusals.iter().any(|refusal| refusal.path == path)
    }

    fn create(&mut self, path: PathBuf, content: &str, reason: &str) {
        let (after, reasons) = (content.to_owned(), vec![reason.to_owned()]);
        self.changes.push(Change { path, before: None, after, reasons });
    }

    fn remark(&mut self, path: PathBuf, message: &str) {
        self.remarks.push(Remark { path, message: message.to_owned() });
    }
}

#[cfg(test)]
mod tests;
