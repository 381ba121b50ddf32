//! What the daemon makes of the CAs, and what it means for the entries that wait for them.

use phoenix_core::breaker::Ended;
use phoenix_core::lifecycle::{Event, Stage, valid_until};
use phoenix_core::reason::{Reason, RetryClass, Trouble};
use phoenix_core::time::Timestamp;

use super::Bug;
use super::activity::Activity;
use super::authority::Known;
use super::daemon::Tracked;
use super::world::{Happening, World};

impl World {
    /// Where the clocks differ, one of the entries that wait finds out whether they still do.
    pub(super) fn call_for_trials(&mut self) {
        let at = self.clock.wall();
        for issuer in 0..self.daemon.known.len() {
            if !self.daemon.known[issuer].breaker.begin_call(at) {
                continue;
            }
            match self.called(issuer) {
                Some(key) => {
                    self.figures.activities.saw(Activity::ClockTrial);
                    self.send(key, Event::IssuerBack);
                }
                None => self.daemon.known[issuer].breaker.nobody_waits(at),
            }
        }
    }

    fn called(&mut self, issuer: usize) -> Option<usize> {
        let first = self.first_to_expire(issuer).map(|(_, key)| key);
        let waiting: Vec<usize> = self.waiting(issuer).map(|(key, _)| key).collect();
        self.daemon.known[issuer].turns.next(first.as_ref(), waiting.iter())
    }

    fn first_to_expire(&self, issuer: usize) -> Option<(Timestamp, usize)> {
        let now = self.clock.wall();
        let expiries = self.waiting(issuer).filter_map(|(key, one)| Some((valid_until(&one.state)?, key)));
        expiries.filter(|(until, _)| *until > now).min()
    }

    /// Work of an entry ended, and what it tells of the CAs was noted: what it was trying others may try.
    pub(super) fn end_trials(&mut self, key: usize, event: &Event) {
        let Some(ended) = Ended::of(event) else { return };
        let at = self.clock.wall();
        for (Known { trial, breaker, .. }, name) in self.daemon.known.iter_mut().zip(&self.names) {
            trial.end(breaker, &key, name, ended, at);
        }
    }

    /// Entries that wait for this CA.
    fn waiting(&self, issuer: usize) -> impl Iterator<Item = (usize, &Tracked)> {
        let tracked = self.daemon.tracked.iter().enumerate();
        let present = tracked.filter_map(|(key, tracked)| Some((key, tracked.as_ref()?)));
        present.filter(move |(_, tracked)| tracked.state.awaits_issuer && tracked.doors.contains(&issuer))
    }

    /// What the end of an installation tells of the clock of the CA that gave the certificate.
    pub(super) fn note_clock(&mut self, key: usize, issuer: usize, trouble: Option<Trouble>) {
        let at = self.clock.wall();
        match trouble {
            Some(trouble) if trouble.reason == Reason::ClockDiffers => {
                self.out_of_time(issuer, key);
                if self.plan.bug == Some(Bug::ClockLoop) {
                    return;
                }
                let soonest = self.first_to_expire(issuer).map(|(until, _)| until);
                self.daemon.known[issuer].breaker.clock_differs(trouble, soonest, at);
            }
            Some(trouble) if !trouble.reason.shows_that_clocks_agree() => {}
            _ => {
                let agrees = self.plan.bug != Some(Bug::ClockNeverAgrees)
                    && self.daemon.known[issuer].breaker.clock_agrees();
                if agrees {
                    self.figures.activities.saw(Activity::ClocksAgree);
                    self.issuer_back(issuer);
                }
                if self.daemon.known[issuer].breaker.has_other_clock() {
                    let what =
                        "a certificate was valid when it came, and the clocks are still said to differ";
                    self.watch.fail(&self.clock, key, what);
                }
            }
        }
    }

    pub(super) fn informed(&mut self) {
        let mut better = false;
        let mut changed = Vec::new();
        for (issuer, (known, ca)) in self.daemon.known.iter_mut().zip(&self.cas).enumerate() {
            better |= known.inform(ca.rooted);
            if known.version.replace(ca.version).is_some_and(|version| version != ca.version) {
                changed.push(issuer);
            }
        }
        if better {
            for key in 0..self.daemon.tracked.len() {
                self.send(key, Event::IssuerBack);
                self.send(key, Event::Look);
            }
        }
        self.issuers_changed(&changed);
        self.look_at_issuers();
    }

    /// Whoever was refused by one of these asks again.
    fn issuers_changed(&mut self, changed: &[usize]) {
        let at = self.clock.wall();
        for key in 0..self.daemon.tracked.len() {
            let Some(tracked) = &self.daemon.tracked[key] else { continue };
            if !tracked.doors.iter().any(|door| changed.contains(door)) {
                continue;
            }
            let failure = tracked.state.memory.failures.get(&Stage::Issue);
            let blocked = failure.is_some_and(|failure| {
                failure.trouble.reason.class() == RetryClass::Blocked && failure.next_attempt_at > at
            });
            if blocked {
                self.figures.activities.saw(Activity::IssuerMended);
            }
            self.send(key, Event::IssuerChanged);
        }
    }

    pub(super) fn look_at_issuers(&mut self) {
        let at = self.clock.wall();
        for issuer in 0..self.daemon.known.len() {
            if self.daemon.known[issuer].breaker.begin_look(at) {
                let mood = self.cas[issuer].mood;
                let after = mood.latency(&mut self.dice).min(10_000);
                self.later(after, Happening::Looked(self.daemon.epoch, issuer, mood.illness()));
            }
        }
    }

    /// A look at a CA ended.
    pub(super) fn looked(&mut self, issuer: usize, trouble: Option<Trouble>) {
        let result = trouble.map_or(Ok(()), Err);
        if self.daemon.known[issuer].breaker.looked(result, self.clock.wall()) {
            self.issuer_back(issuer);
        }
    }

    /// Takes in what a job learnt about CAs.
    pub(super) fn take_news(&mut self, news: Vec<(usize, Option<Trouble>)>) {
        for (issuer, trouble) in news {
            match trouble {
                Some(trouble) => {
                    self.daemon.known[issuer].breaker.unreachable(trouble, self.clock.wall());
                }
                None => {
                    if self.daemon.known[issuer].breaker.answered() {
                        self.issuer_back(issuer);
                    }
                }
            }
        }
    }

    fn issuer_back(&mut self, issuer: usize) {
        self.cas[issuer].answered = true;
        for key in 0..self.daemon.tracked.len() {
            self.send(key, Event::IssuerBack);
        }
    }
}
