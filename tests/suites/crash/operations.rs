//! An operation that is struck at one of its disk-changing system calls.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, bail, ensure};
use phoenix_core::reason::{Reason, Trouble};
use phoenix_protocol::executor::Operation;

use crate::executor::Executor;
use crate::judge::{Judge, Tree};
use crate::place::Place;
use crate::scenarios::Scenario;
use crate::strace::{Call, Fate, Strace, Whom, is_shadowed};

/// How often a point is tried: a pool may hand the work to a thread that has just begun and is not watched.
const TRIES: usize = 10;

/// A call, and how it is hit.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) call: Call,
    /// Only the threads of this name are watched, because one of another name gets to the same number before.
    only: Option<String>,
}

/// What came of a request: nothing, if the executor died of it.
type Answered = Option<Result<(), Trouble>>;

/// An operation whose course is known.
pub(crate) struct Course {
    place: Place,
    operation: Operation,
    judge: Judge,
    notes_afterwards: bool,
    /// Everything it does to a disk, in order.
    pub(crate) points: Vec<Point>,
}

/// An executor whose threads are there, and wait.
fn warm(place: &Place, operation: &Operation) -> Result<Executor> {
    let mut executor = Executor::start(place)?;
    let entry = executor.entry()?;
    executor.observe(&entry)?;
    if matches!(operation, Operation::Activate { .. }) {
        // Refused, by the thread that would do it.
        let _ = executor.ask(Operation::Activate { entries: Vec::new() })?;
    }
    Ok(executor)
}

fn points(calls: &[Call], threads: &BTreeMap<u32, String>) -> Vec<Point> {
    // A command has processes of its own, which change nothing of ours.
    let point = |(index, call): (usize, &Call)| {
        let name = threads.get(&call.thread).filter(|_| call.changes)?;
        Some(Point { call: call.clone(), only: is_shadowed(calls, index).then(|| name.clone()) })
    };
    calls.iter().enumerate().filter_map(point).collect()
}

impl Course {
    /// Lets the operation happen undisturbed, and watches.
    pub(crate) fn of(scenario: &Scenario) -> Result<Self> {
        let (place, operation) = scenario.arranged()?;
        let mut executor = warm(&place, &operation)?;
        let entry = executor.entry()?;
        let (before, seen_before) = (Tree::of_target(&place)?, executor.observe(&entry)?);
        let watch = Strace::watch(Whom::Process(executor.pid()), &place.path("watched"))?;
        executor.ask(operation.clone())??;
        let threads = executor.threads()?;
        let points = points(&watch.calls(place.root())?, &threads);
        let (after, seen_after) = (Tree::of_target(&place)?, executor.observe(&entry)?);
        executor.end()?;
        let judge = Judge { entry, before, after, seen_before, seen_after };
        Ok(Self { place, operation, judge, notes_afterwards: scenario.notes_afterwards, points })
    }

    /// Does it again, struck at this point.
    fn struck(&self, point: &Point, fate: Fate) -> Result<(Executor, Answered)> {
        self.place.bring_back()?;
        let mut executor = warm(&self.place, &self.operation)?;
        let whom = match &point.only {
            None => Whom::Process(executor.pid()),
            Some(only) => {
                let threads = executor.threads()?;
                Whom::Threads(
                    threads.into_iter().filter(|(_, name)| name == only).map(|(id, _)| id).collect(),
                )
            }
        };
        let strace = Strace::strike(whom, &self.place.path("struck"), &point.call, fate)?;
        let answer = executor.ask(self.operation.clone());
        if !strace.has_struck(answer.is_err())? {
            return Err(Missed.into());
        }
        Ok((executor, answer.ok().map(|answer| answer.map(drop))))
    }

    /// The same, until it was hit.
    fn hit(&self, point: &Point, fate: Fate) -> Result<(Executor, Answered)> {
        for _ in 1..TRIES {
            match self.struck(point, fate) {
                Err(error) if error.is::<Missed>() => {}
                other => return other,
            }
        }
        self.struck(point, fate)
    }

    /// With the next executor everything is as it should be.
    fn check_restarted(&self) -> Result<()> {
        let mut executor = Executor::start(&self.place)?;
        self.judge.check(&self.place, &mut executor)?;
        executor.end()
    }

    /// Killed at the first of these points that `wanted` names: what is left, for others to recover.
    pub(crate) fn interrupted(self, wanted: impl Fn(&Call) -> bool) -> Result<(Place, Judge)> {
        let point = self.points.iter().find(|point| wanted(&point.call)).context("there is no such call")?;
        let (executor, _) = self.hit(point, Fate::Killed)?;
        executor.death()?;
        self.place.save()?;
        Ok((self.place, self.judge))
    }

    /// Everything as it is before.
    pub(crate) fn not_begun(self) -> Result<(Place, Judge)> {
        self.place.bring_back()?;
        Ok((self.place, self.judge))
    }

    /// Killed at this point and started again.
    pub(crate) fn kill(&self, point: &Point) -> Result<()> {
        let (executor, answer) = self.hit(point, Fate::Killed)?;
        ensure!(answer.is_none(), "it was not killed: {answer:?}");
        let death = executor.death()?;
        ensure!(death.signal() == Some(9), "it ended otherwise: {death}");
        self.check_restarted()
    }

    /// The call fails at this point: it is told, and the old pair is there at once.
    pub(crate) fn fail(
        &self,
        point: &Point,
        (error, reason, words): (&'static str, Reason, &str),
    ) -> Result<()> {
        let (executor, answer) = self.hit(point, Fate::Fails(error))?;
        let tree = Tree::of_target(&self.place)?;
        match answer {
            None => bail!("it does not answer: {}", executor.death()?),
            // What fails after the deed has been recorded is a warning in the log.
            Some(Ok(())) => ensure!(tree == self.judge.after, "success, and yet:\n{}", tree.shown()),
            Some(Err(trouble)) => {
                let clear = trouble.reason == reason && trouble.message.contains(words);
                ensure!(clear && trouble.message.contains("`/"), "an unclear error: {trouble:?}");
                let intact = tree == self.judge.before || self.notes_afterwards && tree == self.judge.after;
                ensure!(intact, "the old files are not intact:\n{}", tree.shown());
            }
        }
        executor.end()?;
        self.check_restarted()
    }

    /// From this point on the calls of this name fail: mended when they work again.
    pub(crate) fn fail_for_good(&self, point: &Point, error: &'static str) -> Result<()> {
        let (executor, answer) = self.hit(point, Fate::FailsFromNowOn(error))?;
        ensure!(answer.is_some(), "it does not answer");
        executor.end()?;
        self.check_restarted()
    }
}

/// Nothing was struck.
#[derive(Debug)]
struct Missed;

impl std::fmt::Display for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the call was never made by a thread that was watched")
    }
}

impl std::error::Error for Missed {}
