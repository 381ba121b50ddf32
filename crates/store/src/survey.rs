//! What is at the live paths now, and who should own it.

use std::path::Path;

use phoenix_core::facts::Baseline;
use phoenix_core::manifest::{Owner, Principal};
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};
use rustix::fs::FileType;

use crate::disk::{Dir, Found};
use crate::owner::{self, HostAccounts, Ids};
use crate::pair::{LiveContent, LiveFile, LiveFiles, sha256_hex};
use crate::roots::TargetRoots;
use crate::target::{Role, Target, TargetFile};
use crate::walk::Walked;

/// No pair is larger (256 KiB).
const LIMIT: usize = 256 << 10;

/// A live path as it was found.
pub(crate) struct Seen {
    pub(crate) file: TargetFile,
    pub(crate) live: LiveFile,
    /// Why nothing may be put there: a symlink, directory or special file is in the way.
    pub(crate) obstacle: Option<Trouble>,
    /// Who should own the file.
    pub(crate) ids: Result<Ids, Trouble>,
}

/// Looks at every live path. Fails when a directory on the way cannot be entered.
pub(crate) fn survey(roots: &TargetRoots, target: &Target) -> Result<Vec<Seen>, Trouble> {
    let mut seen = Vec::with_capacity(target.files.len());
    let mut last: Option<(&Path, Walked)> = None;
    for file in &target.files {
        let parent = file.path.as_path().parent().unwrap_or(Path::new("/"));
        let walked = match last.take() {
            Some((beside, walked)) if beside == parent => walked,
            // Only a name is looked up differently below directories of a container.
            _ if has_names(target.owner.as_ref()) => roots.walk_to(&file.path)?,
            _ => roots.reach(&file.path)?,
        };
        seen.push(look(&walked, target, file)?);
        last = Some((parent, walked));
    }
    Ok(seen)
}

fn has_names(owner: Option<&Owner>) -> bool {
    let named = |principal: &Principal| matches!(principal, Principal::Name(_));
    owner.is_some_and(|owner| named(&owner.user) || named(&owner.group))
}

/// The same, when nothing is in the way of an installation.
pub(crate) fn unobstructed(roots: &TargetRoots, target: &Target) -> Result<Vec<Seen>, Trouble> {
    let mut seen = survey(roots, target)?;
    match seen.iter_mut().find_map(|seen| seen.obstacle.take()) {
        Some(obstacle) => Err(obstacle),
        None => Ok(seen),
    }
}

fn look(walked: &Walked, target: &Target, file: &TargetFile) -> Result<Seen, Trouble> {
    let ids = owner::resolve(target.owner.as_ref(), walked, &HostAccounts);
    let found = match walked.complete() {
        Some(dir) => dir.read(file.path.file_name(), LIMIT)?,
        None => Found::Missing,
    };
    let obstacle = match &found {
        Found::Odd(kind) => Some(in_the_way(&file.path, *kind)),
        Found::Missing | Found::TooLarge | Found::File { .. } => None,
    };
    Ok(Seen { file: file.clone(), live: live(&file.path, found), obstacle, ids })
}

fn live(path: &AbsolutePath, found: Found) -> LiveFile {
    match found {
        Found::Missing => LiveFile::Missing,
        Found::Odd(kind) => LiveFile::Unreadable { why: format!("`{path}` is {}", kind_name(kind)) },
        Found::TooLarge => {
            LiveFile::Unreadable { why: format!("`{path}` is larger than {} KiB", LIMIT >> 10) }
        }
        Found::File { bytes, attributes } => LiveFile::Present(LiveContent {
            sha256: sha256_hex(&bytes),
            bytes,
            uid: attributes.uid,
            gid: attributes.gid,
            mode: attributes.mode,
        }),
    }
}

const fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "a symlink",
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::RegularFile | FileType::Unknown => "not a plain file",
    }
}

fn in_the_way(path: &AbsolutePath, kind: FileType) -> Trouble {
    let reason = if kind == FileType::Symlink { Reason::Symlink } else { Reason::NotAFile };
    let message = format!(
        "cannot install `{path}`: {} is there; remove it, or write the path of the real file into the manifest",
        kind_name(kind)
    );
    Trouble::new(reason, message)
}

/// Refuses when something other than a plain file has the name of a live file.
pub(crate) fn refuse_obstacle(dir: &Dir, path: &AbsolutePath) -> Result<(), Trouble> {
    match dir.look(path.file_name())? {
        Some(found) if found.kind != FileType::RegularFile => Err(in_the_way(path, found.kind)),
        _ => Ok(()),
    }
}

/// Owner and mode that the manifest asks for.
pub(crate) fn wanted(seen: &[Seen]) -> Result<Baseline, Trouble> {
    let one = |role: Role| -> Option<Result<(u32, u32, u16), Trouble>> {
        let seen = seen.iter().find(|seen| seen.file.role == role)?;
        Some(seen.ids.clone().map(|(uid, gid)| (uid, gid, seen.file.mode)))
    };
    let lost = || Err(Trouble::new(Reason::Internal, "an entry without key or certificate path"));
    let cert = one(Role::Cert).or_else(|| one(Role::Pair)).unwrap_or_else(lost)?;
    let key = one(Role::Key).or_else(|| one(Role::Pair)).unwrap_or_else(lost)?;
    Ok(Baseline { cert, key })
}

/// The live files for the caller.
pub(crate) fn live_files(seen: Vec<Seen>) -> LiveFiles {
    let wanted = wanted(&seen);
    let mut files =
        LiveFiles { cert: LiveFile::Missing, key: LiveFile::Missing, chain: None, ca: None, wanted };
    for Seen { file, live, .. } in seen {
        match file.role {
            Role::Chain => files.chain = Some(live),
            Role::Ca => files.ca = Some(live),
            Role::Key => files.key = live,
            Role::Cert => files.cert = live,
            Role::Pair => {
                files.key = live.clone();
                files.cert = live;
            }
        }
    }
    files
}
