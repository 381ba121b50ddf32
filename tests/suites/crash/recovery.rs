//! A start, with something to recover or without, that is struck at one of its disk-changing system calls.
//!
//! An executor waits for the lock on its state directory before it does anything else. That is when strace is
//! attached.

use std::fs;

use anyhow::{Context, Result, ensure};
use phoenix_testkit::patience;

use crate::executor::{Executor, Latch};
use crate::judge::Judge;
use crate::operations::Course;
use crate::place::Place;
use crate::scenarios::RENEWAL;
use crate::strace::{Call, Fate, Strace, Whom, is_shadowed};

/// A place in which an executor starts, and what that does.
pub(crate) struct Start {
    place: Place,
    judge: Judge,
    /// There is a renewal to finish.
    finishes: bool,
    /// Every disk-changing call, in order.
    pub(crate) points: Vec<Call>,
}

/// An executor that waits for the lock.
fn waiting(place: &Place) -> Result<(Executor, Latch)> {
    let latch = Latch::hold(&place.path("state"))?;
    let executor = Executor::spawn(place)?;
    let log = place.path("executor.log");
    let waits = || fs::read_to_string(&log).ok()?.contains("another executor uses").then_some(());
    patience::until(waits).context("it does not wait for the lock")?;
    Ok((executor, latch))
}

impl Start {
    /// With a renewal to finish that was killed before the first call that `wanted` names.
    pub(crate) fn after(wanted: impl Fn(&Call) -> bool) -> Result<Self> {
        let (place, judge) = Course::of(RENEWAL)?.interrupted(wanted)?;
        Self::watched(place, judge, true)
    }

    /// With nothing to finish.
    pub(crate) fn in_order() -> Result<Self> {
        let (place, judge) = Course::of(RENEWAL)?.not_begun()?;
        Self::watched(place, judge, false)
    }

    /// With nothing to finish, and with another text of the manifest than the one that is kept.
    pub(crate) fn edited() -> Result<Self> {
        let (place, judge) = Course::of(RENEWAL)?.not_begun()?;
        place.edit_manifest()?;
        Self::watched(place, judge, false)
    }

    fn watched(place: Place, judge: Judge, finishes: bool) -> Result<Self> {
        let (mut executor, latch) = waiting(&place)?;
        let watch = Strace::watch(Whom::Process(executor.pid()), &place.path("watched"))?;
        latch.open();
        executor.hello()?;
        let calls = watch.calls(place.root())?;
        executor.end()?;
        ensure!(judge.is_done(&place)? == finishes, "the renewal has been finished, or has not");
        // What a start does besides is struck where nothing hides it.
        let counts = |call: &Call| call.changes && !(finishes && call.line.contains("/state/manifest"));
        let hidden = (0..calls.len()).find(|index| counts(&calls[*index]) && is_shadowed(&calls, *index));
        ensure!(hidden.is_none(), "a call cannot be struck: {:?}", hidden.map(|index| &calls[index]));
        let points = calls.into_iter().filter(counts).collect();
        Ok(Self { place, judge, finishes, points })
    }

    /// Starts again, struck at this point.
    fn struck(&self, point: &Call, fate: Fate) -> Result<(Executor, bool)> {
        self.place.bring_back()?;
        let (mut executor, latch) = waiting(&self.place)?;
        let whom = Whom::Process(executor.pid());
        let strace = Strace::strike(whom, &self.place.path("struck"), point, fate)?;
        latch.open();
        let serves = executor.hello().is_ok();
        ensure!(strace.has_struck(!serves)?, "the call was never made");
        Ok((executor, serves))
    }

    fn finished_by(&self, executor: &mut Executor) -> Result<()> {
        self.judge.check(&self.place, executor)?;
        ensure!(
            self.judge.is_done(&self.place)? == self.finishes,
            "the renewal has been finished, or has not"
        );
        Ok(())
    }

    fn finished_by_the_next(&self) -> Result<()> {
        let mut executor = Executor::start(&self.place)?;
        self.finished_by(&mut executor)?;
        executor.end()
    }

    /// Killed at this point and started again.
    pub(crate) fn kill(&self, point: &Call) -> Result<()> {
        let (executor, serves) = self.struck(point, Fate::Killed)?;
        ensure!(!serves, "it was not killed");
        executor.death()?;
        self.finished_by_the_next()
    }

    /// The call fails at this point: the recovery is finished at the first use of the entry, or, where there is no
    /// executor without it, by the next executor.
    pub(crate) fn fail(&self, point: &Call, error: &'static str) -> Result<()> {
        let (mut executor, serves) = self.struck(point, Fate::Fails(error))?;
        if serves {
            self.finished_by(&mut executor)?;
            return executor.end();
        }
        let status = executor.death()?;
        ensure!(status.code() == Some(1), "it ended with {status}");
        self.finished_by_the_next()
    }
}
