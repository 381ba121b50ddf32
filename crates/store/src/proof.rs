//! Proving that a target can be written before a key is made for it.

use phoenix_core::facts::Baseline;
use phoenix_core::reason::Trouble;

use crate::commit::{Bench, write_file};
use crate::disk::Dir;
use crate::intent::{self, Traces, temp_dir_name, temp_name};
use crate::survey::{self, Seen};
use crate::target::{Role, Target};
use crate::token::Token;

/// As much as a large chain: a full disk often has room for an empty file.
const SAMPLE: usize = 16 << 10;

/// Writes, renames and removes a temporary file in the directory of every live path, with the owner and mode
/// that the live file will have. Gives the owner and mode that the manifest asks for.
pub(crate) fn prove(bench: Bench<'_>, target: &Target) -> Result<Baseline, Trouble> {
    let seen = survey::unobstructed(bench.roots, target)?;
    let wanted = survey::wanted(&seen)?;
    let traces =
        Traces { token: Token::random()?, paths: seen.iter().map(|seen| seen.file.path.clone()).collect() };
    intent::note_traces(bench.entry, &traces)?;
    let proven = seen.iter().try_for_each(|seen| prove_one(bench, seen, &traces.token));
    let cleaned = if proven.is_err() { bench.clean(&traces) } else { Ok(()) };
    match cleaned {
        Ok(()) => intent::forget_traces(bench.entry)?,
        Err(trouble) => tracing::warn!("left for the next recovery: {trouble}"),
    }
    proven.map(|()| wanted)
}

fn prove_one(bench: Bench<'_>, seen: &Seen, token: &Token) -> Result<(), Trouble> {
    let (uid, gid) = seen.ids.clone()?;
    let dir: Dir = bench.roots.create_to(bench.disk, &seen.file.path, &temp_dir_name(token))?;
    let (first, second) = (temp_name(token, Role::Key), temp_name(token, Role::Cert));
    write_file(bench.disk, &dir, &first, (uid, gid, seen.file.mode), &[b'\n'; SAMPLE])?;
    bench.disk.rename((&dir, &first), (&dir, &second))?;
    bench.disk.remove(&dir, &second)?;
    Ok(())
}
