//! A year of certificates in seconds: the real [`phoenix_core::lifecycle`] under virtual time.
//!
//! Everything around the state machine is simulated and unreliable: CAs that are down, slow, silent, broken or
//! refuse; answers that are lost after the certificate was made; storages that are absent, hang or are full;
//! guests that are off, commands that fail, hang or have no effect; consumers that end or are restored from a
//! backup; clocks that jump; processes that die between any two steps; power cuts that outlast a certificate;
//! strangers who delete or replace files; operators who edit the manifest and give orders. All of it follows from
//! a seed, so a failed run can be repeated to the step.
//!
//! | module | duty |
//! |---|---|
//! | `world` | everything that there is, and the loop that moves time |
//! | `population` | the entries, CAs, storages and guests that a seed makes |
//! | `faults`, `power` | what goes wrong |
//! | `operator` | orders, edits of the manifest, issuers that are set right |
//! | `daemon` | the daemon's engine around the real state machine |
//! | `manifest`, `issuers` | its following of the manifest, and of the CAs |
//! | `fleet` | commands that several entries share |
//! | `authority` | the CAs, and what the daemon knows of one |
//! | `jobs` | carrying actions out |
//! | `executor` | operations of the executor, its death and recovery |
//! | `site` | one entry on the host |
//! | `consumer` | what consumers use, and what is seen of it |
//! | `watch`, `shared`, `issuance`, `judge` | what must hold at every step, of commands, CAs, and at an audit |
//! | `activity` | what a world saw |
//! | `bugs` | bugs that have to be found |
//! | `words` | events in words, for a trace |
//! | `clock` | virtual time |

mod activity;
mod authority;
mod bugs;
mod clock;
mod consumer;
mod daemon;
mod executor;
mod faults;
mod fleet;
mod issuance;
mod issuers;
mod jobs;
mod judge;
mod manifest;
mod operator;
mod population;
mod power;
mod shared;
mod site;
#[cfg(test)]
mod tests;
mod watch;
mod words;
mod world;

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

pub use activity::{Activities, Activity};
use clock::{Moment, span};
use world::World;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all randomness follows from.
    pub seed: u64,
    /// Entries of the manifest.
    pub certificates: usize,
    /// Least time that is simulated; the round under way then is finished.
    pub span: Duration,
    /// What a CA gives unless it is asked for twice of that.
    pub lifetime: Duration,
    /// Time between two looks at everything.
    pub sweep: Duration,
    /// Time between two looks at the manifest.
    pub poll: Duration,
    /// A bug that the simulation has to find.
    pub bug: Option<Bug>,
}

/// Bugs that other programs of the kind have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A failed command counts as done.
    ForgottenHook,
    /// Waits grow beyond the lifetime that is left.
    BackoffPastExpiry,
    /// A crash between two renames is not mended at start.
    TornPair,
    /// Every entry runs its command by itself.
    EveryoneAlone,
    /// A command that ended well is taken for a consumer that uses the certificate.
    BlindTrust,
    /// A CA whose clock differed is never found to agree again.
    ClockNeverAgrees,
    /// A CA whose clock differs is asked by every entry every few seconds.
    ClockLoop,
    /// A command that waits for its window goes on waiting when what is in use has expired.
    WindowForGood,
}

impl Plan {
    /// A short and wild one: a few entries through a few lifetimes, of a length that the seed chooses.
    pub fn wild(seed: u64) -> Self {
        let lifetimes = [300, 900, 3_600, 3 * 3_600, 12 * 3_600];
        let lifetime = Duration::from_secs(lifetimes[(seed % lifetimes.len() as u64) as usize]);
        Self { certificates: 4 + (seed / 5 % 5) as usize, ..Self::fleet(seed, 0, Duration::ZERO, lifetime) }
    }

    /// Many entries for long.
    pub fn fleet(seed: u64, certificates: usize, span: Duration, lifetime: Duration) -> Self {
        let sweep = (lifetime / 24).clamp(Duration::from_secs(300), Duration::from_secs(86_400));
        let poll = Duration::from_secs(30);
        Self { seed, certificates, span, lifetime, sweep, poll, bug: None }
    }

    /// Time limit of commands.
    fn command_limit(&self) -> Moment {
        (span(self.lifetime) / 60).min(60_000)
    }

    /// Time between two audits.
    fn audit(&self) -> Moment {
        span(self.lifetime) / 40
    }

    /// Mean time between two troubles.
    fn calm_between(&self) -> Moment {
        span(self.lifetime) / 6
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Seconds of virtual time, summed over all entries.
    pub lived: u64,
    /// Decisions of the state machine.
    pub steps: u64,
    /// Certificates that CAs made.
    pub issued: u64,
    /// Pairs that were installed.
    pub installed: u64,
    /// Pairs that were taken back because their consumers did not use them.
    pub rolled_back: u64,
    /// Commands that succeeded, counted for each entry.
    pub commands: u64,
    /// Runs of commands that succeeded.
    pub runs: u64,
    /// Troubles.
    pub troubles: u64,
    /// Deaths of a process.
    pub crashes: u64,
    /// Worlds.
    pub worlds: u64,
    /// What they saw.
    pub activities: Activities,
}

impl Figures {
    /// Certificate-years of virtual time.
    pub fn years(&self) -> f64 {
        self.lived as f64 / (365.25 * 86_400.0)
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.lived += other.lived;
        self.steps += other.steps;
        self.issued += other.issued;
        self.installed += other.installed;
        self.rolled_back += other.rolled_back;
        self.commands += other.commands;
        self.runs += other.runs;
        self.troubles += other.troubles;
        self.crashes += other.crashes;
        self.worlds += other.worlds;
        self.activities += other.activities;
    }
}

/// What must hold did not.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The seed to repeat it with.
    pub seed: u64,
    /// Name of the entry.
    pub entry: String,
    /// What was wrong.
    pub what: String,
    /// The entry's last events: seconds since the beginning, the host's clock, what happened.
    pub trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}: {}", self.seed, self.entry, self.what)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Broken {}

/// Runs a plan. When something is found it is run once more, writing down what concerns the entry.
pub fn simulate(plan: &Plan) -> Result<Figures, Box<Broken>> {
    let mut world = World::new(plan.clone(), None);
    world.run();
    let Some(breach) = world.watch.breach.take() else { return Ok(world.figures) };
    let mut again = World::new(plan.clone(), Some(breach.key));
    again.run();
    Err(Box::new(Broken {
        seed: plan.seed,
        entry: format!("e{}", breach.key),
        what: format!("after {} s: {}", breach.at / 1000, breach.what),
        trace: again.watch.lines.into(),
    }))
}
