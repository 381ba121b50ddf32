//! What the command's process does to itself between fork and exec.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use landlock::RulesetCreated;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::CapabilitySet;
use seccompiler::{BpfProgram, apply_filter};

use super::limits::{self, Bounds};
use super::privileges;

/// The steps, as messages name them.
const STEPS: [&str; 5] = [
    "joining its control group",
    "limiting it",
    "taking its capabilities",
    "applying the rules about files",
    "filtering its system calls",
];

/// Restrictions that are ready to be put on. Everything that is not wanted is empty.
pub(crate) struct Bonds {
    /// Entrance of a control group.
    pub(super) group: Option<File>,
    pub(super) limits: Bounds,
    /// What is left of root's power.
    pub(super) capabilities: Option<CapabilitySet>,
    pub(super) rules: Option<RulesetCreated>,
    pub(super) filter: BpfProgram,
    failure: File,
}

/// Tells which step failed, if one did.
pub(crate) struct Failures(OwnedFd);

impl Bonds {
    /// No restrictions.
    pub(super) fn none() -> io::Result<(Self, Failures)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let bonds = Self {
            group: None,
            limits: Vec::new(),
            capabilities: None,
            rules: None,
            filter: Vec::new(),
            failure: File::from(writer),
        };
        Ok((bonds, Failures(reader)))
    }

    /// Restricts this process for good. System calls only.
    pub(crate) fn put_on(&mut self) -> io::Result<()> {
        let mut step = 0;
        let done = self.steps(&mut step);
        if done.is_err() {
            // Without it the message says less.
            let _: io::Result<usize> = self.failure.write(&[step]);
        }
        done
    }

    /// What needs more rights comes first.
    fn steps(&mut self, step: &mut u8) -> io::Result<()> {
        if let Some(entrance) = &mut self.group {
            entrance.write_all(b"0")?;
        }
        *step += 1;
        limits::set(&self.limits)?;
        *step += 1;
        self.capabilities.map_or(Ok(()), privileges::give_up_all_but)?;
        *step += 1;
        if let Some(rules) = self.rules.take() {
            rules.restrict_self().map_err(|_| io::Error::last_os_error())?;
        }
        *step += 1;
        if !self.filter.is_empty() {
            apply_filter(&self.filter).map_err(|_| io::Error::last_os_error())?;
        }
        Ok(())
    }
}

impl Failures {
    /// The step that failed.
    pub(crate) fn first(self) -> Option<&'static str> {
        let mut step = [0];
        match File::from(self.0).read(&mut step) {
            Ok(1) => STEPS.get(usize::from(step[0])).copied(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_fails_is_told_and_nothing_is_told_when_none_does() {
        let (mut bonds, failures) = Bonds::none().unwrap();
        // Opened for reading only.
        bonds.group = Some(File::open("/dev/null").unwrap());
        bonds.put_on().unwrap_err();
        assert_eq!(failures.first(), Some("joining its control group"));
        let (mut bonds, failures) = Bonds::none().unwrap();
        bonds.put_on().unwrap();
        assert_eq!(failures.first(), None);
    }
}
