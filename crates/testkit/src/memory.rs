//! What a process holds in memory, through `/proc/PID/mem`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

const BLOCK: usize = 4 * 1024 * 1024;

/// A stretch of readable memory.
struct Region {
    start: u64,
    end: u64,
}

/// Which of `needles` occur in the memory of a process, by index.
///
/// Pages that vanish while they are read are passed over: the process goes on running.
pub fn find(pid: u32, needles: &[&[u8]]) -> Result<Vec<bool>> {
    let memory =
        File::open(format!("/proc/{pid}/mem")).with_context(|| format!("cannot read memory of {pid}"))?;
    let overlap = needles.iter().map(|needle| needle.len()).max().unwrap_or(0);
    let mut found = vec![false; needles.len()];
    let mut block = vec![0; BLOCK + overlap];
    for region in regions(pid)? {
        let mut at = region.start;
        while at < region.end {
            let want = block.len().min((region.end - at) as usize);
            let Ok(got) = memory.read_at(&mut block[..want], at) else { break };
            if got == 0 {
                break;
            }
            for (needle, found) in needles.iter().zip(&mut found) {
                *found = *found || contains(&block[..got], needle);
            }
            if at + got as u64 >= region.end {
                break;
            }
            // What lies across the end of this block is seen whole at the start of the next.
            at += got.saturating_sub(overlap).max(1) as u64;
        }
    }
    Ok(found)
}

fn regions(pid: u32) -> Result<Vec<Region>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))
        .with_context(|| format!("cannot read maps of {pid}"))?;
    Ok(maps.lines().filter_map(region).collect())
}

fn region(line: &str) -> Option<Region> {
    let (range, rest) = line.split_once(' ')?;
    if !rest.starts_with('r') || rest.contains("[vvar") || rest.contains("[vsyscall]") {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    Some(Region { start: u64::from_str_radix(start, 16).ok()?, end: u64::from_str_radix(end, 16).ok()? })
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::patience;
    use crate::process::Group;

    #[test]
    fn what_a_process_holds_is_found_and_nothing_else() {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "x=marmalade; read x"]).stdin(Stdio::piped());
        let group = Group::spawn(&mut shell).unwrap();
        let look = || find(group.pid(), &[b"marmalade", b"no such \x01 thing"]).ok().filter(|found| found[0]);
        assert_eq!(patience::until(look), Some(vec![true, false]));
    }
}
