//! What lies at places in a guest, as the guest tells it.

use std::time::Duration;

use phoenix_core::facts::FileFact;
use phoenix_core::manifest::Guest;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::{Reason, Trouble};

use crate::hypervisor::{GuestCommand, Hypervisor};

const SCRIPT: &str = concat!(include_str!("facts.sh"), include_str!("look.sh"));
/// A look reads a few kilobytes; what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Looks at files in a guest: hash, owner and mode of each, in one call. A regular file longer than 1 MiB is
/// there with the hash of its beginning only.
///
/// # Errors
/// The guest is not there, off or locked; the look failed, or was answered with something else.
pub fn look(
    hypervisor: &Hypervisor<'_>,
    guest: Guest,
    paths: &[&AbsolutePath],
) -> Result<Vec<FileFact>, Trouble> {
    let mut argv = vec!["/bin/sh", "-c", SCRIPT, "sh"];
    argv.extend(paths.iter().map(|path| path.as_str()));
    let command = GuestCommand { argv: &argv, stdin: None, timeout: TIMEOUT };
    let said = hypervisor.exec("looking at what was delivered", guest, command)?;
    facts(&said.stdout).filter(|facts| facts.len() == paths.len()).ok_or_else(|| {
        let message = format!("what {guest} says about the delivered files cannot be understood");
        Trouble::new(Reason::CommandFailed, message)
    })
}

/// The lines that `facts.sh` prints, one for each file; none if one of them is something else.
pub(crate) fn facts(stdout: &str) -> Option<Vec<FileFact>> {
    stdout.lines().map(fact).collect()
}

fn fact(line: &str) -> Option<FileFact> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    Some(match words[..] {
        ["missing"] => FileFact::Missing,
        ["odd"] => FileFact::Unreadable { why: "it is not a regular file".to_owned() },
        [sha256, word, uid, gid] if is_sha256(sha256) => FileFact::Present {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            mode: mode(word)?,
            sha256: sha256.to_owned(),
        },
        _ => return None,
    })
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The mode of a regular file in the words of ls(1): `-rw-r-----`. What may follow tells of access control lists.
fn mode(word: &str) -> Option<u16> {
    /// Letters of each place: a permission; execution with the set-id or sticky bit, and that bit alone.
    const PLACES: [(&[u8], u16); 9] = [
        (b"r", 0),
        (b"w", 0),
        (b"xsS", 0o4000),
        (b"r", 0),
        (b"w", 0),
        (b"xsS", 0o2000),
        (b"r", 0),
        (b"w", 0),
        (b"xtT", 0o1000),
    ];
    let letters = word.strip_prefix('-')?.as_bytes().get(..PLACES.len())?;
    let bits = letters.iter().zip(PLACES).enumerate().map(|(place, (letter, (known, special)))| {
        let bit = 0o400 >> place;
        match known.iter().position(|one| one == letter) {
            Some(0) => Some(bit),
            Some(1) => Some(bit | special),
            Some(_) => Some(special),
            None => (*letter == b'-').then_some(0),
        }
    });
    bits.sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mode_is_read_as_ls_writes_it() {
        let cases = [
            ("-rw-r-----", Some(0o640)),
            ("-rwxrwxrwx", Some(0o777)),
            ("----------", Some(0)),
            ("-rwsr-sr-t", Some(0o7755)),
            ("-rwSr-Sr-T", Some(0o7644)),
            ("-rw-------.", Some(0o600)),
            ("-rw-------+", Some(0o600)),
            ("drwxr-xr-x", None),
            ("-rw-r----", None),
            ("-wr-r-----", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(mode(word), expected, "{word}");
        }
    }

    #[test]
    fn a_line_is_a_fact_or_nothing() {
        let sum = "0123456789abcdef".repeat(4);
        let present = FileFact::Present { uid: 0, gid: 33, mode: 0o640, sha256: sum.clone() };
        assert_eq!(
            facts(&format!("{sum} -rw-r----- 0 33\nmissing\n")),
            Some(vec![present, FileFact::Missing])
        );
        assert!(matches!(facts("odd\n").unwrap()[..], [FileFact::Unreadable { .. }]));
        let bad = [
            "hello".to_owned(),
            "\n".to_owned(),
            sum.clone(),
            format!("{sum} -rw-r----- 0"),
            format!("{sum} -rw-r----- root root"),
            format!("{sum} -rw-r----- 0 0 0"),
            format!("{} -rw-r----- 0 0", &sum[1..]),
            format!("{} -rw-r----- 0 0", sum.to_uppercase()),
            format!("{sum} -rw-r----- 0 99999999999"),
        ];
        for text in bad {
            assert_eq!(facts(&text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = facts(&text);
        }
    }
}
