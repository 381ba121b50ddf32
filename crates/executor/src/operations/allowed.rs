//! May a program be run? Only what the configuration lists, and only while nobody else can change it.

use std::path::Path;

use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};

use crate::authority::TrustedFile;

/// Refuses a program that is not on the allow-list or that others can write.
pub(super) fn check(program: &str, allowed: &[AbsolutePath]) -> Result<(), Trouble> {
    let refuse = |why: String| Trouble::new(Reason::CommandRefused, why);
    if !allowed.iter().any(|listed| listed.as_str() == program) {
        return Err(refuse(format!(
            "The program `{program}` is not among `[executor] commands` of the configuration: add it there if root \
             is to run it."
        )));
    }
    TrustedFile::open(Path::new(program))
        .map(|_| ())
        .map_err(|refusal| refuse(format!("The program is not run as root: {refusal}.")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_listed_programs_that_nobody_else_can_write_are_run() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("pct");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = program.display().to_string();
        let listed = [path.parse().unwrap()];
        check(&path, &listed).unwrap();
        for other in ["/bin/sh", "pct", "", &format!("{path}/../pct"), &format!("{path}x")] {
            assert_eq!(check(other, &listed).unwrap_err().reason, Reason::CommandRefused, "{other}");
        }
        fs::set_permissions(&program, fs::Permissions::from_mode(0o775)).unwrap();
        let trouble = check(&path, &listed).unwrap_err();
        assert!(trouble.message.contains("chmod go-w"), "{trouble}");
        fs::remove_file(&program).unwrap();
        assert_eq!(check(&path, &listed).unwrap_err().reason, Reason::CommandRefused);
    }
}
