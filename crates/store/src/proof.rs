//! Proving that a target can be written before a key is made for it.

use phoenix_core::facts::Baseline;
use phoenix_core::name::AbsolutePath;
use phoenix_core::reason::Trouble;

use crate::commit::Bench;
use crate::intent::{self, Traces, temp_dir_name, temp_name};
use crate::owner::Ids;
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
    let claims = claims(&seen)?;
    let traces =
        Traces { token: Token::random()?, paths: seen.iter().map(|seen| seen.file.path.clone()).collect() };
    intent::note_traces(bench.entry, &traces)?;
    let proven = claims.iter().try_for_each(|claim| claim.prove(bench, &traces.token));
    let cleaned = if proven.is_err() { bench.clean(&traces) } else { Ok(()) };
    match cleaned {
        Ok(()) => intent::forget_traces(bench.entry)?,
        Err(trouble) => tracing::warn!("left for the next recovery: {trouble}"),
    }
    proven.map(|()| wanted)
}

/// What is to be shown of one directory: a file can be given to this owner, with each of these modes.
struct Claim<'a> {
    path: &'a AbsolutePath,
    ids: Ids,
    modes: Vec<u16>,
}

/// One claim for all files that have directory and owner in common: making a sample durable is what a proof
/// costs.
fn claims(seen: &[Seen]) -> Result<Vec<Claim<'_>>, Trouble> {
    let mut claims: Vec<Claim<'_>> = Vec::new();
    for Seen { file, ids, .. } in seen {
        let ids = ids.clone()?;
        let beside = |path: &AbsolutePath| path.as_path().parent() == file.path.as_path().parent();
        match claims.iter_mut().find(|claim| claim.ids == ids && beside(claim.path)) {
            Some(claim) if claim.modes.contains(&file.mode) => {}
            Some(claim) => claim.modes.push(file.mode),
            None => claims.push(Claim { path: &file.path, ids, modes: vec![file.mode] }),
        }
    }
    Ok(claims)
}

impl Claim<'_> {
    fn prove(&self, Bench { disk, roots, .. }: Bench<'_>, token: &Token) -> Result<(), Trouble> {
        let dir = roots.create_to(disk, self.path, &temp_dir_name(token))?;
        let (first, second) = (temp_name(token, Role::Key), temp_name(token, Role::Cert));
        let file = disk.create(&dir, &first)?;
        disk.chown(&file, self.ids.0, self.ids.1)?;
        disk.write(&file, &[b'\n'; SAMPLE])?;
        self.modes.iter().try_for_each(|mode| disk.chmod(&file, *mode))?;
        disk.sync(&file)?;
        disk.rename((&dir, &first), (&dir, &second))?;
        disk.remove(&dir, &second)?;
        Ok(())
    }
}
