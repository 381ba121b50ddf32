//! Everything that there is, and the loop that moves time.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use phoenix_core::facts::LeafFacts;
use phoenix_core::lifecycle::{Memory, Stage};
use phoenix_core::manifest::Entry;
use phoenix_core::name::IssuerName;
use phoenix_core::reason::{Reason, Trouble};
use phoenix_core::waves::Runs;

use super::authority::Mood;
use super::clock::{Clock, Moment};
use super::daemon::Daemon;
use super::power::Snapshot;
use super::site::Site;
use super::watch::Watch;
use super::{Figures, Plan};
use crate::dice::Dice;

/// Something that is to happen.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A job's present errand ends.
    JobEnds(u64),
    /// A job has waited long enough for a connection to the executor.
    PatienceEnds(u64),
    /// The executor reads the manifest for the daemon.
    FetchReads(u64),
    /// The manifest arrives, or does not.
    Fetched(u64, bool),
    /// A look at a CA ends.
    Looked(u64, usize, Option<Trouble>),
    /// The watcher noticed a changed file.
    Hint,
    /// The executor dies, and is away for so long.
    ExecutorDies(Moment),
    /// The executor starts.
    ExecutorStarts,
    /// The daemon has a connection to the executor.
    Connected(u64),
    /// The daemon starts.
    DaemonStarts,
    /// The root of a CA is there from now on.
    Rooted(usize),
    /// A CA may be well again.
    CaMends(usize),
    /// A storage may be well again.
    StorageMends(usize),
    /// A guest may be well again.
    GuestMends(usize),
    /// A consumer may be well again.
    ConsumerMends(usize),
    /// Somebody sets the clock right.
    ClockMends,
    /// A pause in the manifest ends.
    Resume(usize),
    /// Another program puts this in place of the live files of an entry, so many times.
    Writes(usize, Rc<LeafFacts>, u64),
    /// The machine wakes up.
    Wakes,
    /// Somebody changes something about a CA.
    SetRight(usize),
    /// The next trouble.
    Trouble,
    /// Troubles end; the number of the round.
    Calm,
    /// Whatever can be mended at once has been by now.
    Mended,
    /// A round is over: everything has been renewed since the last trouble.
    Settled,
    /// The entries are looked at by the one who knows the truth.
    Audit,
}

/// A CA.
pub(super) struct Ca {
    /// How it behaves.
    pub(super) mood: Mood,
    /// It would have issued since then.
    pub(super) well: Option<Moment>,
    /// The executor has its root.
    pub(super) rooted: bool,
    /// The daemon's journal says that it has answered.
    pub(super) answered: bool,
    /// When the present mood ends.
    pub(super) until: Moment,
    /// Changes with its password and its roots.
    pub(super) version: u64,
    /// When that was changed last.
    pub(super) changed: Option<Moment>,
}

/// A target root.
pub(super) struct Storage {
    /// What is wrong with it.
    pub(super) trouble: Option<Reason>,
    /// It has worked since then.
    pub(super) well: Option<Moment>,
    /// When the present trouble ends.
    pub(super) until: Moment,
}

/// How a guest behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ward {
    /// Commands succeed.
    Well,
    /// Commands fail.
    Fails,
    /// Commands run into their time limit.
    Hangs,
    /// It is not running.
    Off,
}

/// A guest.
pub(super) struct Guest {
    /// How it behaves.
    pub(super) ward: Ward,
    /// When that ends.
    pub(super) until: Moment,
    /// Until then a command is in it.
    pub(super) lane: Moment,
}

/// A piece of work under way.
pub(super) struct Job {
    /// For which entry.
    pub(super) key: usize,
    /// For which incarnation of the daemon.
    pub(super) epoch: u64,
    /// The entry as the daemon knew it.
    pub(super) entry: Rc<Entry>,
    /// Its version.
    pub(super) version: u64,
    /// Further entries for which it is done: key, entry, version.
    pub(super) others: Vec<(usize, Rc<Entry>, u64)>,
    /// What is done.
    pub(super) errand: Errand,
    /// The executor works on it.
    pub(super) begun: bool,
}

/// What is done for a job.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// Facts are gathered.
    Observe,
    /// A key is staged.
    Prepare(Vec<Door>),
    /// CAs are asked.
    Ask(Asking),
    /// A pair is committed.
    Install(u64, Option<Rc<LeafFacts>>, usize),
    /// The live pair is taken over.
    Adopt,
    /// The own copy is put back.
    Restore,
    /// Files are copied into a guest.
    Deliver(Ward),
    /// A command runs.
    Activate(Ward),
    /// The consumer is looked at.
    Verify {
        /// The look has its turn in time.
        has_turn: bool,
    },
    /// What lies in a guest is looked at.
    Recheck(Ward),
    /// The previous pair, or the newer one again, is put in place.
    Exchange {
        /// The newer one.
        newer: bool,
    },
}

/// A CA that a job may ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    /// Which.
    pub(super) issuer: usize,
    /// How often it had been out of reach when the job was made.
    pub(super) outages: u64,
}

/// The way from CA to CA.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// The staged key.
    pub(super) stage: u64,
    /// CAs not asked yet, next one last.
    pub(super) doors: Vec<Door>,
    /// The one that is being asked, and whether it counts against its limit.
    pub(super) at: Option<(Door, bool)>,
    /// What it will say.
    pub(super) answer: Option<Result<Rc<LeafFacts>, Trouble>>,
    /// What the first one said.
    pub(super) first: Option<Trouble>,
    /// What became known of CAs meanwhile: out of reach, if there is a trouble.
    pub(super) news: Vec<(usize, Option<Trouble>)>,
}

/// All of it.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    pub(super) dice: Dice,
    pub(super) names: Vec<IssuerName>,
    pub(super) cas: Vec<Ca>,
    pub(super) storages: Vec<Storage>,
    pub(super) guests: Vec<Guest>,
    pub(super) sites: Vec<Site>,
    /// The executor has run since then.
    pub(super) executor: Option<Moment>,
    /// It dies in the middle of something: so many changes of the host from now.
    pub(super) dies_in: Option<u64>,
    pub(super) daemon: Daemon,
    /// The journal on the disk.
    pub(super) journal: Vec<Memory>,
    /// Its account of when each command line ran.
    pub(super) journal_of_runs: Runs,
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) offers: BTreeMap<String, Rc<LeafFacts>>,
    pub(super) watch: Watch,
    pub(super) figures: Figures,
    /// Number of the next leaf, key, version or job.
    pub(super) counter: u64,
    /// Troubles come.
    pub(super) troubled: bool,
    pub(super) ended: bool,
    /// The host's clock has been right since then.
    pub(super) clock_right: Option<Moment>,
    /// Entries whose pause has not ended.
    pub(super) paused: BTreeSet<usize>,
    /// Entries that are not in the manifest for a while.
    pub(super) removed: BTreeMap<usize, Rc<Entry>>,
    /// The manifest was edited since the executor read it.
    pub(super) edited: bool,
    /// Newest version of an entry that the executor has in force.
    pub(super) in_force: u64,
    /// The machine has not slept since then, or sleeps until then.
    pub(super) awake: Moment,
    /// When a look at a consumer has its turn, at the earliest.
    pub(super) turns_from: Moment,
    /// The last copy of the state directories.
    pub(super) snapshot: Option<Snapshot>,
    queue: BTreeMap<(Moment, u64), Happening>,
}

impl World {
    /// A world where nothing has happened yet.
    pub(super) fn bare(plan: Plan, dice: Dice, watch: Watch) -> Self {
        Self {
            plan,
            clock: Clock::default(),
            dice,
            names: Vec::new(),
            cas: Vec::new(),
            storages: Vec::new(),
            guests: Vec::new(),
            sites: Vec::new(),
            executor: Some(0),
            dies_in: None,
            daemon: Daemon::default(),
            journal: Vec::new(),
            journal_of_runs: Runs::default(),
            jobs: BTreeMap::new(),
            offers: BTreeMap::new(),
            watch,
            figures: Figures { worlds: 1, ..Figures::default() },
            counter: 0,
            troubled: true,
            ended: false,
            clock_right: Some(0),
            paused: BTreeSet::new(),
            removed: BTreeMap::new(),
            edited: false,
            in_force: 0,
            awake: 0,
            turns_from: 0,
            snapshot: None,
            queue: BTreeMap::new(),
        }
    }

    /// Runs until the end of the plan, or until something is wrong.
    pub(super) fn run(&mut self) {
        while !self.ended && self.watch.breach.is_none() {
            let timer = self.deadline();
            let queued = self.queue.first_key_value().map(|(key, _)| *key);
            match (timer, queued) {
                (Some(at), Some((first, _))) if at <= first => self.wake(at),
                (Some(at), None) => self.wake(at),
                (_, Some(key)) => {
                    self.clock.now = key.0;
                    if let Some(happening) = self.queue.remove(&key) {
                        self.happen(happening);
                    }
                }
                (None, None) => break,
            }
            self.act();
        }
        self.figures.lived = self.clock.now / 1000 * self.sites.len() as u64;
    }

    fn wake(&mut self, at: Moment) {
        self.clock.now = at;
        self.tick(false);
    }

    /// Lets something happen in `after` milliseconds.
    pub(super) fn later(&mut self, after: Moment, happening: Happening) {
        self.counter += 1;
        self.queue.insert((self.clock.now + after, self.counter), happening);
    }

    /// A number that was not used before.
    pub(super) fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Nothing but the CAs goes on for so long.
    pub(super) fn sleep(&mut self, away: Moment) {
        let queue = std::mem::take(&mut self.queue);
        let late = |((at, number), happening): ((Moment, u64), Happening)| {
            let at = if matches!(happening, Happening::CaMends(_)) { at } else { at + away };
            ((at, number), happening)
        };
        self.queue = queue.into_iter().map(late).collect();
    }

    /// Notes something about an entry, or about everything.
    pub(super) fn note(&mut self, key: Option<usize>, what: impl FnOnce() -> String) {
        self.watch.note(&self.clock, key, what);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::JobEnds(job) => self.job_ends(job),
            Happening::PatienceEnds(job) => {
                if self.jobs.get(&job).is_some_and(|job| !job.begun) {
                    self.fail_job(job, gone());
                }
            }
            Happening::FetchReads(epoch) => self.fetch_reads(epoch),
            Happening::Fetched(epoch, well) if epoch == self.daemon.epoch => self.fetched(well),
            Happening::Looked(epoch, issuer, trouble) if epoch == self.daemon.epoch => {
                self.looked(issuer, trouble);
            }
            Happening::Hint => self.fetch(true),
            Happening::ExecutorDies(away) => self.executor_dies(away),
            Happening::ExecutorStarts => self.executor_starts(),
            Happening::Connected(epoch) if epoch == self.daemon.epoch => self.connected(),
            Happening::Fetched(..) | Happening::Looked(..) | Happening::Connected(_) => {}
            Happening::DaemonStarts => self.daemon_starts(),
            fault => self.trouble(&fault),
        }
    }
}

/// The executor did not answer.
pub(super) fn gone() -> Trouble {
    Trouble::new(Reason::ExecutorGone, "the connection ended")
}

/// The stage that a failed errand is booked under.
pub(super) const fn stage_of(errand: &Errand) -> Stage {
    match errand {
        Errand::Observe => Stage::Observe,
        Errand::Prepare(_)
        | Errand::Install(..)
        | Errand::Adopt
        | Errand::Restore
        | Errand::Exchange { .. } => Stage::Write,
        Errand::Ask(_) => Stage::Issue,
        Errand::Deliver(_) => Stage::Deliver,
        Errand::Activate(_) | Errand::Recheck(_) => Stage::Activate,
        Errand::Verify { .. } => Stage::Verify,
    }
}
