//! The operator: orders, edits of the manifest, issuers that are set right.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use phoenix_core::lifecycle::{Event, Memory, Reach, Request, Stage};
use phoenix_core::manifest::{Entry, RenewBefore, San};

use super::activity::Activity;
use super::authority::Mood;
use super::clock::span;
use super::site::Wish;
use super::world::{Happening, World};

impl World {
    /// An order for an entry: `renew`, with `--generate-only` too; `sync`, with `--until` and `--force` too; `verify`;
    /// `rollback`.
    pub(super) fn order(&mut self, key: usize) {
        let reaches = [Reach::Written, Reach::Delivered, Reach::Activated, Reach::Verified, Reach::Verified];
        let reach = reaches[self.dice.below(5) as usize];
        let kind = self.dice.below(6);
        let request = Request {
            reissue: kind == 0,
            redeploy: kind == 1,
            reverify: kind == 2,
            urgent: kind == 0,
            reach,
        };
        if self.daemon.up.is_some() {
            self.watch.disturbed(key, 0, 1, self.clock.now);
            self.watch.issuances.order(self.clock.now);
            if kind == 5 {
                return self.send(key, Event::OrderedBack);
            }
            let before = self.daemon.tracked[key].as_ref().map(|tracked| tracked.state.memory.clone());
            self.send(key, Event::Ordered(request.clone()));
            let after = self.daemon.tracked[key].as_ref().map(|tracked| &tracked.state.memory);
            if let Some((before, after)) = before.zip(after)
                && let Some(what) = goes_beyond(&request, &before, after)
            {
                self.watch.fail(&self.clock, key, what);
            }
        }
    }

    /// What has become of an operator's wishes by a step.
    pub(super) fn note_orders(&mut self, key: usize, before: &Wishes) {
        let Some(Some(tracked)) = self.daemon.tracked.get(key) else { return };
        let after = Wishes::of(&tracked.state.memory);
        let seen = &mut self.figures.activities;
        match (before.order, after.order) {
            (Some(true), None) => seen.saw(Activity::Renewed),
            (Some(false), None) => seen.saw(Activity::Synced),
            _ => {}
        }
        if before.reverify && !after.reverify {
            seen.saw(Activity::LookedAsAsked);
        }
        if tracked.state.memory.hold.is_some() {
            seen.saw(Activity::Held);
        }
        if !tracked.state.memory.notices.is_empty() {
            seen.saw(Activity::Noticed);
        }
    }

    /// The manifest is edited.
    pub(super) fn edit(&mut self, key: usize) {
        self.watch.disturbed(key, self.clock.now + 2 * span(self.plan.poll), 2, self.clock.now);
        let Some(old) = self.sites[key].written.entry.clone() else { return };
        let mut entry = Entry::clone(&old);
        let mut present = true;
        match self.dice.below(6) {
            0 | 1 => entry.sans = self.other_names(&entry),
            2 => entry.renew_before = RenewBefore::Percent(10 + self.dice.below(60) as u8),
            3 => {
                let fresh = self.fresh();
                if let Some(command) = &mut entry.command {
                    command.argv = vec!["/usr/sbin/pct".into(), format!("c{fresh}")];
                }
            }
            4 => entry.paused = true,
            _ => present = false,
        }
        if entry.paused || !present {
            let time = self.duration();
            self.paused.insert(key);
            self.later(time, Happening::Resume(key));
        }
        if entry.paused {
            self.figures.activities.saw(Activity::Paused);
        }
        let original = present.then(|| Rc::new(entry));
        if original.is_none() {
            self.removed.insert(key, old);
        }
        self.write_manifest(key, original);
    }

    fn other_names(&mut self, entry: &Entry) -> Vec<San> {
        let mut names: Vec<San> =
            entry.sans.iter().filter(|san| matches!(san, San::Dns(_))).cloned().collect();
        let last = self.dice.below(200) as u8;
        names.push(San::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))));
        names
    }

    fn write_manifest(&mut self, key: usize, entry: Option<Rc<Entry>>) {
        let version = self.fresh();
        self.note(Some(key), || format!("the manifest is edited, version {version}"));
        self.sites[key].written = Wish { entry, version };
        self.edited = true;
        if self.dice.below(4) > 0 {
            let after = 1_000 + self.dice.below(3_000);
            self.later(after, Happening::Hint);
        }
    }

    /// A pause in the manifest ends.
    pub(super) fn resume(&mut self, key: usize) {
        if !self.paused.remove(&key) {
            return;
        }
        let old = self.removed.remove(&key).or_else(|| self.sites[key].written.entry.clone());
        let Some(old) = old else { return };
        if old.paused {
            self.figures.activities.saw(Activity::Resumed);
        }
        let calm = self.clock.now + 2 * span(self.plan.poll);
        self.watch.disturbed(key, calm, 2, self.clock.now);
        self.write_manifest(key, Some(Rc::new(Entry { paused: false, ..Entry::clone(&old) })));
    }

    /// The password or the roots of a CA are replaced: what it refused it accepts from now on.
    pub(super) fn set_right(&mut self, issuer: usize) {
        let refuses = matches!(self.cas[issuer].mood, Mood::Distrusts | Mood::Forbids);
        self.note(None, || format!("something about CA {issuer} is changed"));
        if refuses {
            self.ca_mends(issuer);
        }
        let ca = &mut self.cas[issuer];
        ca.version += 1;
        ca.changed = Some(self.clock.now);
    }
}

/// What an order changed although it does not reach that far, whatever else is open.
fn goes_beyond(request: &Request, before: &Memory, after: &Memory) -> Option<&'static str> {
    let again = |memory: &Memory| {
        let looks = memory.reverify && !request.is_look();
        [(Stage::Deliver, memory.redeliver), (Stage::Activate, memory.reactivate), (Stage::Verify, looks)]
    };
    let beyond = |stage: Stage| !request.reach.covers(stage);
    let is_new = |((stage, was), (_, is)): ((Stage, bool), (Stage, bool))| beyond(stage) && is && !was;
    let hurry = |memory: &Memory| memory.order.as_ref().and_then(|order| order.hurry);
    if again(before).into_iter().zip(again(after)).any(is_new) {
        return Some("an order has something done again that is beyond it");
    }
    if hurry(after) > hurry(before).max(Some(request.reach)) {
        return Some("an order is in a hurry beyond its reach");
    }
    let forgotten = |stage: &Stage| beyond(*stage) && !after.failures.contains_key(stage);
    before.failures.keys().any(forgotten).then_some("an order ends the spacing of what is beyond it")
}

/// What an operator has asked for and not got yet.
pub(super) struct Wishes {
    /// There is an order; whether it is urgent.
    order: Option<bool>,
    reverify: bool,
}

impl Wishes {
    pub(super) fn of(memory: &Memory) -> Self {
        Self { order: memory.order.as_ref().map(|order| order.hurry.is_some()), reverify: memory.reverify }
    }
}
