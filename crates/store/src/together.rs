//! Live files of many entries, read by one thread for each set of roots.
//!
//! Each look has the store's deadline for itself. One that exceeds it, and whatever was to come after it, is not waited
//! for: the others are then looked at one by one, as if they had been asked for alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use phoenix_core::reason::Trouble;

use crate::entry::EntryStore;
use crate::pair::LiveFiles;
use crate::store::{Inner, Place};
use crate::worker::{Lane, Pending, Stalled};

type Looked = Result<LiveFiles, Trouble>;

/// How far the thread has come.
struct Round {
    /// Those that are done, in order.
    done: Mutex<(Vec<Looked>, Instant)>,
    /// Nobody waits any more.
    given_up: AtomicBool,
}

impl Round {
    fn done(&self) -> MutexGuard<'_, (Vec<Looked>, Instant)> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, inner: &Inner, places: &[Arc<Place>]) {
        for place in places {
            if self.given_up.load(Ordering::SeqCst) {
                return;
            }
            let looked = inner.look_here(place);
            let mut done = self.done();
            done.0.push(looked);
            done.1 = Instant::now();
        }
    }

    /// How long the look under way may still take.
    fn rest(&self, deadline: Duration) -> Duration {
        (self.done().1 + deadline).saturating_duration_since(Instant::now())
    }
}

/// The live files of these entries, in their order.
pub(crate) fn read_live(inner: &Arc<Inner>, entries: &[EntryStore]) -> Vec<Looked> {
    let mut looked: Vec<Option<Looked>> = entries.iter().map(|_| None).collect();
    let mut lanes: BTreeMap<Lane, Vec<(usize, Arc<Place>)>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        // What may be unfinished has its own lane, and may take its time.
        if entry.place().locks.is_quiet()
            && let Ok(lane) = inner.lane(entry.place())
        {
            lanes.entry(lane).or_default().push((index, Arc::clone(entry.place())));
        }
    }
    for (lane, members) in lanes {
        let (indices, places): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        for (index, result) in indices.into_iter().zip(in_lane(inner, &lane, &places)) {
            if let Some(place) = looked.get_mut(index) {
                *place = Some(result);
            }
        }
    }
    // Handed over before the first is waited for: on a root that hangs one of them is tried, and the others fail.
    let alone: Vec<_> = entries
        .iter()
        .zip(looked)
        .map(|(entry, looked)| match looked {
            Some(looked) => Step::Done(Box::new(looked)),
            None => Step::Begun(entry.place(), inner.begin_look(entry.place())),
        })
        .collect();
    let end = Instant::now() + inner.deadline;
    alone.into_iter().map(|step| step.finish(end)).collect()
}

/// A look that is over, or one that was handed over.
enum Step<'a> {
    Done(Box<Looked>),
    Begun(&'a Place, Result<Result<Pending<Looked>, Stalled>, Trouble>),
}

impl Step<'_> {
    fn finish(self, end: Instant) -> Looked {
        match self {
            Self::Done(looked) => *looked,
            Self::Begun(place, begun) => {
                let rest = end.saturating_duration_since(Instant::now());
                Inner::flatten(&place.target.key_path, begun?.and_then(|pending| pending.wait(rest)))
            }
        }
    }
}

/// Those that were looked at in time, in order, and the one after them when it hangs.
fn in_lane(inner: &Arc<Inner>, lane: &Lane, places: &[Arc<Place>]) -> Vec<Looked> {
    let Some(first) = places.first().cloned() else { return Vec::new() };
    let round = Arc::new(Round {
        done: Mutex::new((Vec::with_capacity(places.len()), Instant::now())),
        given_up: AtomicBool::new(false),
    });
    let (theirs, owned, members) = (Arc::clone(&round), Arc::clone(inner), places.to_vec());
    let Ok(pending) = inner.workers.submit(lane, &first.name, move || theirs.work(&owned, &members)) else {
        return Vec::new();
    };
    let outcome = pending.wait_for_parts(|| round.rest(inner.deadline));
    round.given_up.store(true, Ordering::SeqCst);
    let mut done = std::mem::take(&mut round.done().0);
    if let Err(stalled) = outcome
        && let Some(place) = places.get(done.len())
    {
        done.push(Inner::flatten(&place.target.key_path, Err(stalled)));
    }
    done
}
