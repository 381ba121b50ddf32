//! Whatever the file holds: the daemon starts, and loses no more than what cannot be read.

use std::io;

use phoenix_core::lifecycle::Memory;
use phoenix_core::name::AbsolutePath;
use phoenix_core::time::Timestamp;

use super::{Journal, Line, read_lines};

/// Opens a journal of these bytes. What was read is read again after a restart, and what is remembered from then
/// on is there too. Panics where that does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let outcome = tried(bytes).map_err(|error| error.to_string());
    assert_eq!(outcome, Ok(()), "the journal cannot be used");
}

fn tried(bytes: &[u8]) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("journal.jsonl");
    std::fs::write(&path, bytes)?;
    let lines = read_lines(&path)?;
    let first = Journal::open(dir.path())?;
    for line in lines.iter().rev() {
        if let Ok(Line::Seed { seed }) = serde_json::from_slice(line) {
            assert_eq!(first.seed(), seed, "the renewal times move");
            break;
        }
    }
    let (seed, entries, answered) = (first.seed(), first.entries.clone(), first.answered.clone());
    drop(first);
    let mut second = Journal::open(dir.path())?;
    assert_eq!((second.seed(), &second.entries, &second.answered), (seed, &entries, &answered));
    let Ok(key) = "/mnt/new/key.pem".parse::<AbsolutePath>() else { return Ok(()) };
    let mut memory = Memory::default();
    memory.issued.push(Timestamp::from_unix(7));
    second.remember(&key, &memory)?;
    second.sync()?;
    drop(second);
    let third = Journal::open(dir.path())?;
    assert_eq!(third.recall(&key), memory);
    for (known, remembered) in entries.iter().filter(|(known, _)| **known != key) {
        assert_eq!(third.entries.get(known), Some(remembered));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A journal with one line of each kind.
    fn whole() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.remember(&"/mnt/a/key.pem".parse().unwrap(), &Memory::default()).unwrap();
        journal.remember_answer(&"phoenix".parse().unwrap()).unwrap();
        journal.remember_run(&["/bin/true".to_owned()], Timestamp::from_unix(1000)).unwrap();
        journal.sync().unwrap();
        drop(journal);
        std::fs::read(dir.path().join("journal.jsonl")).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_make_a_journal(bytes in vec(any::<u8>(), 0..600)) {
            check(&bytes);
        }

        #[test]
        fn a_journal_with_a_piece_replaced_makes_a_journal(
            at in any::<prop::sample::Index>(), length in 0_usize..40, piece in vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = whole();
            let start = at.index(bytes.len());
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, piece);
            check(&bytes);
        }
    }
}
