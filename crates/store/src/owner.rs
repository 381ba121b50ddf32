//! Who owns a live file: the manifest's words against the directory that will hold it.

use nix::unistd::{Group, User};
use phoenix_core::manifest::{Owner, Principal};
use phoenix_core::reason::{Reason, Trouble};
use rustix::fs::FileType;

use crate::walk::{FIRST_MAPPED, Walked};

/// Ids that a container gets (`root:100000:65536` in subuid(5), and the following ranges of the same size).
const RANGE: u32 = 65_536;

/// User and group id of a file.
pub(crate) type Ids = (u32, u32);

/// The host's user and group database, by name and by number.
pub(crate) trait Accounts {
    fn user(&self, name: &str) -> Option<u32>;
    fn group(&self, name: &str) -> Option<u32>;
    fn knows_uid(&self, uid: u32) -> bool;
}

/// The real one: getpwnam(3), getgrnam(3), getpwuid(3).
pub(crate) struct HostAccounts;

impl Accounts for HostAccounts {
    fn user(&self, name: &str) -> Option<u32> {
        User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn group(&self, name: &str) -> Option<u32> {
        Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
    }

    fn knows_uid(&self, uid: u32) -> bool {
        User::from_uid(uid.into()).ok().flatten().is_some()
    }
}

/// The owner of a file in the walked directory.
///
/// Numbers are host ids. Names are the host's, except below a directory of a mapped id: there the host's
/// number for the name is shifted into the container's range, which is right for the names that have the same
/// number on every Debian system. An id that the host's own user database knows is not a mapped one. Without
/// an `owner` the directory's applies.
pub(crate) fn resolve(
    owner: Option<&Owner>,
    walked: &Walked,
    accounts: &dyn Accounts,
) -> Result<Ids, Trouble> {
    debug_assert_eq!(walked.attributes.kind, FileType::Directory);
    let Some(owner) = owner else { return Ok((walked.attributes.uid, walked.attributes.gid)) };
    let base = walked.mapped.filter(|uid| !accounts.knows_uid(*uid)).map(range_start);
    let place = || walked.dir.path().display().to_string();
    let uid = number(&owner.user, base, |name| accounts.user(name))
        .ok_or_else(|| missing("user", &owner.user, base, &place()))?;
    let gid = number(&owner.group, base, |name| accounts.group(name))
        .ok_or_else(|| missing("group", &owner.group, base, &place()))?;
    Ok((uid, gid))
}

/// First host id of the range that a mapped id lies in.
fn range_start(uid: u32) -> u32 {
    uid - (uid - FIRST_MAPPED) % RANGE
}

fn number(principal: &Principal, base: Option<u32>, find: impl Fn(&str) -> Option<u32>) -> Option<u32> {
    match (principal, base) {
        (Principal::Id(id), _) => Some(*id),
        (Principal::Name(name), None) => find(name),
        (Principal::Name(name), Some(base)) => find(name).filter(|id| *id < RANGE)?.checked_add(base),
    }
}

fn missing(kind: &str, principal: &Principal, base: Option<u32>, place: &str) -> Trouble {
    let message = match base {
        None => format!(
            "the {kind} `{principal}` that should own the files in `{place}` does not exist on this host; \
             create it or correct `owner` in the manifest"
        ),
        Some(base) => format!(
            "`{place}` belongs to a container whose ids begin at {base} on this host, and the number of its \
             {kind} `{principal}` is not known here; write `owner` as numbers: {base} plus the id inside the \
             container"
        ),
    };
    Trouble::new(Reason::MissingOwner, message)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::{Attributes, Dir};

    struct Few;

    impl Accounts for Few {
        fn user(&self, name: &str) -> Option<u32> {
            match name {
                "root" => Some(0),
                "www-data" => Some(33),
                "ldap" => Some(200_000),
                _ => None,
            }
        }

        fn group(&self, name: &str) -> Option<u32> {
            self.user(name)
        }

        fn knows_uid(&self, uid: u32) -> bool {
            uid == 200_000
        }
    }

    fn walked(uid: u32, gid: u32) -> Walked {
        let attributes = Attributes { kind: FileType::Directory, uid, gid, mode: 0o755 };
        let mapped = (uid >= FIRST_MAPPED).then_some(uid);
        Walked { dir: Dir::open(Path::new("/")).unwrap(), attributes, missing: Vec::new(), mapped }
    }

    fn owner(text: &str) -> Owner {
        let principal =
            |text: &str| text.parse().map_or_else(|_| Principal::Name(text.to_owned()), Principal::Id);
        let (user, group) = text.split_once(':').unwrap();
        Owner { user: principal(user), group: principal(group) }
    }

    #[test]
    fn names_and_numbers_become_host_ids() {
        let table = [
            (0, "root:root", (0, 0)),
            (0, "www-data:0", (33, 0)),
            (0, "5:6", (5, 6)),
            (100_000, "root:www-data", (100_000, 100_033)),
            (100_033, "root:root", (100_000, 100_000)),
            (165_540, "www-data:www-data", (165_569, 165_569)),
            (100_000, "1000:33", (1000, 33)),
            (200_000, "www-data:www-data", (33, 33)),
        ];
        for (dir, text, ids) in table {
            assert_eq!(resolve(Some(&owner(text)), &walked(dir, dir), &Few), Ok(ids), "{text} in {dir}");
        }
    }

    #[test]
    fn without_an_owner_the_directorys_applies() {
        assert_eq!(resolve(None, &walked(100_033, 7), &Few), Ok((100_033, 7)));
    }

    #[test]
    fn an_unknown_name_says_what_to_do() {
        let host = resolve(Some(&owner("nobody-here:root")), &walked(0, 0), &Few).unwrap_err();
        assert_eq!(host.reason, Reason::MissingOwner);
        assert!(host.message.contains("user `nobody-here`") && host.message.contains("create it"));
        let container = resolve(Some(&owner("root:traefik")), &walked(100_033, 0), &Few).unwrap_err();
        assert_eq!(container.reason, Reason::MissingOwner);
        assert!(container.message.contains("100000 plus the id"), "{}", container.message);
    }

    #[test]
    fn a_host_id_that_does_not_fit_a_container_is_not_shifted() {
        let trouble = resolve(Some(&owner("ldap:root")), &walked(100_000, 0), &Few).unwrap_err();
        assert_eq!(trouble.reason, Reason::MissingOwner);
    }
}
