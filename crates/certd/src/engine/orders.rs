//! What operators asked for and how far it has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use phoenix_core::account::weightiest;
use phoenix_core::lifecycle::{Action, Availability, Event, Reach, Request, Stage, proves_nothing};
use phoenix_core::manifest::InvalidEntry;
use phoenix_core::name::{AbsolutePath, CertName};
use phoenix_core::reason::{Reason, RetryClass};
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::{
    EntryResult, ErrorDocument, Outcome, Progress, RenewRequest, SyncRequest, Until, VerifyRequest,
};
use phoenix_protocol::history::Happening;
use tokio::sync::mpsc;

use super::entries::{Entries, Tracked};
use super::{Engine, OrderReply};
use crate::authorities::Authorities;
use crate::clock::now;

/// How long an order is waited for unless the request says otherwise.
const DEFAULT_TIMEOUT: u64 = 300;
/// Names that the history of an order tells at most.
const MOST_NAMES: usize = 100;

/// Orders that someone waits for.
#[derive(Default)]
pub(crate) struct Orders(Vec<Waiter>);

struct Waiter {
    keys: Vec<(AbsolutePath, CertName)>,
    /// Of these, those without a result.
    open: BTreeSet<AbsolutePath>,
    results: BTreeMap<AbsolutePath, EntryResult>,
    reach: Reach,
    deadline: Timestamp,
    progress: mpsc::UnboundedSender<Progress>,
}

/// Said of an entry whose command is held for others.
pub(super) const HELD: &str = "waiting for other certificates that share the command";

/// What someone asked for, and how.
struct Order {
    /// User id of who asked.
    uid: Option<u32>,
    wish: Request,
    timeout: Option<u64>,
    no_wait: bool,
}

/// What an action is called in progress lines and in the log.
pub(super) fn words(action: &Action) -> &'static str {
    match action {
        Action::Observe => "looking",
        Action::Issue => "requesting a certificate",
        Action::Install(_) => "writing the new pair",
        Action::Adopt => "taking over the pair that is there",
        Action::Restore => "putting our own copy back",
        Action::Deliver => "delivering into the guest",
        Action::Activate => "running the command",
        Action::Verify => "looking at the consumer",
        Action::Recheck => "looking into the guest",
        Action::Rollback => "putting the previous pair back",
        Action::Reinstate => "trying the new pair again",
        Action::WakeAt(_) | Action::Remember => "waiting",
    }
}

fn reach(until: Until) -> Reach {
    match until {
        Until::Written => Reach::Written,
        Until::Delivered => Reach::Delivered,
        Until::Activated => Reach::Activated,
        Until::Verified => Reach::Verified,
    }
}

/// How an order stands for one entry; none while it is under way.
fn result(tracked: &Tracked, wanted: Reach, availability: &Availability) -> Option<EntryResult> {
    let leaf = tracked.state.seen.as_ref().and_then(|seen| seen.live.leaf.as_ref());
    let done = |result, error, reason: Option<Reason>| EntryResult {
        name: tracked.entry.name.to_string(),
        result,
        serial: leaf.map(|leaf| leaf.serial.clone()),
        error,
        reason: reason.map(|reason| reason.code().to_owned()),
    };
    if tracked.state.reached >= Some(wanted) {
        let outcome = match wanted {
            Reach::Written => Outcome::Written,
            Reach::Verified if !tracked.entry.verify.is_empty() => Outcome::Verified,
            _ => Outcome::Unverified,
        };
        return Some(done(outcome, None, None));
    }
    if tracked.entry.paused {
        let error = format!("{} is paused in the manifest", tracked.entry.name);
        return Some(done(Outcome::Failed, Some(error), Some(Reason::Paused)));
    }
    if let Some(until) = held(tracked).filter(|held| *held < wanted) {
        let error = format!("{} is held at {until:?} until the next sync or renewal", tracked.entry.name);
        return Some(done(Outcome::Waiting, Some(error), Some(Reason::Held)));
    }
    let (stage, failure) = weightiest(&tracked.state, availability)?;
    if failure.trouble.reason == Reason::LookPutOff {
        // Nothing has failed: the next look is waited for.
        return None;
    }
    let outcome = match failure.trouble.reason.class() {
        // Only a consumer that could be reached before proves anything by being out of reach.
        _ if stage == Stage::Verify && proves_nothing(&tracked.state.memory) => Outcome::Unverified,
        RetryClass::Waiting => Outcome::Waiting,
        _ => Outcome::Failed,
    };
    let error = format!(
        "{}: {}. Next attempt at {}",
        stage.as_str(),
        failure.trouble.message.trim_end_matches('.'),
        failure.next_attempt_at
    );
    Some(done(outcome, Some(error), Some(failure.trouble.reason)))
}

/// How far the present certificate may go, if not all the way.
fn held(tracked: &Tracked) -> Option<Reach> {
    let own = tracked.state.seen.as_ref()?.own.as_ref()?;
    let hold = tracked.state.memory.hold.as_ref()?;
    (hold.fingerprint == own.leaf.fingerprint).then_some(hold.reach)
}

impl Orders {
    /// When the next waiter has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.0.iter().map(|waiter| waiter.deadline).min()
    }

    /// Tells those who wait for an entry what is being done for it.
    pub(super) fn progress(&self, key: &AbsolutePath, name: &CertName, message: &str) {
        for waiter in self.0.iter().filter(|waiter| waiter.open.contains(key)) {
            let line = Progress::Stage { name: name.to_string(), message: message.to_owned() };
            let _ = waiter.progress.send(line);
        }
    }

    /// An entry changed: whoever waits for it may be done.
    pub(super) fn update(&mut self, key: &AbsolutePath, entries: &Entries, authorities: &Authorities) {
        if self.0.is_empty() {
            return;
        }
        let Some(tracked) = entries.get(key) else { return };
        let availability = authorities.availability(&tracked.entry, now());
        for waiter in self.0.iter_mut().filter(|waiter| waiter.open.contains(key)) {
            if let Some(result) = result(tracked, waiter.reach, &availability) {
                waiter.settle(key, result);
            }
        }
        self.finish();
    }

    /// Ends the waits that have lasted long enough.
    pub(super) fn expire(&mut self, at: Timestamp, entries: &Entries) {
        for waiter in self.0.iter_mut().filter(|waiter| waiter.deadline <= at) {
            waiter.fill(Outcome::Timeout, "not done in time; it goes on in the background", entries);
        }
        self.finish();
    }

    /// Entries that are no longer in the manifest will never be done.
    pub(super) fn forget_removed(&mut self, entries: &Entries) {
        for waiter in &mut self.0 {
            for (key, name) in waiter.keys.clone() {
                if entries.get(&key).is_none() && waiter.open.contains(&key) {
                    let gone = EntryResult {
                        name: name.to_string(),
                        result: Outcome::Failed,
                        serial: None,
                        error: Some("the entry was removed from the manifest".into()),
                        reason: Some(Reason::UnknownEntry.code().into()),
                    };
                    waiter.settle(&key, gone);
                }
            }
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.0.retain_mut(|waiter| {
            if waiter.progress.is_closed() {
                return false;
            }
            if !waiter.open.is_empty() {
                return true;
            }
            let results = waiter.keys.iter().filter_map(|(key, _)| waiter.results.remove(key)).collect();
            let _ = waiter.progress.send(Progress::End { results });
            false
        });
    }
}

impl Waiter {
    fn settle(&mut self, key: &AbsolutePath, result: EntryResult) {
        self.open.remove(key);
        self.results.insert(key.clone(), result);
    }

    fn fill(&mut self, outcome: Outcome, why: &str, entries: &Entries) {
        for (key, name) in &self.keys {
            if !self.open.remove(key) {
                continue;
            }
            let seen = entries.get(key).and_then(|tracked| tracked.state.seen.as_ref());
            let result = EntryResult {
                name: name.to_string(),
                result: outcome,
                serial: seen.and_then(|seen| Some(seen.live.leaf.as_ref()?.serial.clone())),
                error: (outcome != Outcome::Accepted).then(|| why.to_owned()),
                reason: None,
            };
            self.results.insert(key.clone(), result);
        }
    }
}

impl Engine {
    /// `POST /v1/renew`
    pub(super) fn renew(&mut self, request: &RenewRequest, uid: Option<u32>, reply: OrderReply) {
        let wish = Request {
            reissue: true,
            redeploy: false,
            reverify: false,
            urgent: true,
            reach: reach(request.until),
        };
        let all = request.all && request.names.is_empty();
        let order = Order { uid, wish, timeout: request.timeout, no_wait: request.no_wait };
        self.order(&request.names, all, &order, reply);
    }

    /// `POST /v1/sync`
    pub(super) fn sync(&mut self, request: &SyncRequest, uid: Option<u32>, reply: OrderReply) {
        let wish = Request {
            reissue: false,
            redeploy: request.force,
            reverify: false,
            urgent: false,
            reach: reach(request.until),
        };
        let order = Order { uid, wish, timeout: request.timeout, no_wait: false };
        self.order(&request.names, request.names.is_empty(), &order, reply);
    }

    /// `POST /v1/verify`
    pub(super) fn verify(&mut self, request: &VerifyRequest, uid: Option<u32>, reply: OrderReply) {
        let wish = Request {
            reissue: false,
            redeploy: false,
            reverify: true,
            urgent: false,
            reach: Reach::Verified,
        };
        let order = Order { uid, wish, timeout: request.timeout, no_wait: false };
        self.order(&request.names, request.names.is_empty(), &order, reply);
    }

    fn order(&mut self, names: &[String], all: bool, order: &Order, reply: OrderReply) {
        let wish = &order.wish;
        let keys = match self.chosen(names, all) {
            Ok(keys) => keys,
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
                return;
            }
        };
        let (progress, lines) = mpsc::unbounded_channel();
        let timeout = Duration::from_secs(order.timeout.unwrap_or(DEFAULT_TIMEOUT).clamp(1, 86_400));
        let mut waiter = Waiter {
            keys: keys.clone(),
            open: keys.iter().map(|(key, _)| key.clone()).collect(),
            results: BTreeMap::new(),
            reach: wish.reach,
            deadline: now().plus(timeout),
            progress,
        };
        if order.no_wait {
            waiter.fill(Outcome::Accepted, "", &self.entries);
        }
        self.note_order(&keys, all, order);
        // The waiter is placed after the orders, so that it sees none of what was before them.
        for (key, _) in &keys {
            self.send(key, Event::Ordered(wish.clone()));
        }
        // "Recorded" is said when it is.
        self.sync_journal();
        self.orders.0.push(waiter);
        self.orders.finish();
        let _ = reply.send(Ok(lines));
    }

    fn note_order(&self, keys: &[(AbsolutePath, CertName)], all: bool, order: &Order) {
        let named = keys.iter().map(|(_, name)| name.as_str()).take(if all { 0 } else { MOST_NAMES });
        let what = Happening::Ordered {
            order: if order.wish.reissue { "renew" } else { "sync" }.to_owned(),
            uid: order.uid,
            reach: order.wish.reach,
            entries: keys.len(),
            force: order.wish.redeploy,
        };
        self.history.note(named, what, now());
    }

    /// The entry of this name that the manifest has wrong.
    pub(super) fn invalid_entry(&self, name: &str) -> Option<&InvalidEntry> {
        let is = |text: &Option<String>| text.as_deref() == Some(name);
        self.invalid.iter().find(|entry| is(&entry.name) || is(&entry.common_name) || entry.path == name)
    }

    fn chosen(&self, names: &[String], all: bool) -> Result<Vec<(AbsolutePath, CertName)>, ErrorDocument> {
        if all {
            return Ok(self
                .entries
                .in_order()
                .map(|tracked| (tracked.entry.key_path.clone(), tracked.entry.name.clone()))
                .collect());
        }
        if names.is_empty() {
            return Err(ErrorDocument {
                code: "bad-request".into(),
                message: "name the certificates, or ask for all of them".into(),
            });
        }
        names
            .iter()
            .map(|name| match self.entries.find(name) {
                Some((key, tracked)) => Ok((key.clone(), tracked.entry.name.clone())),
                None if self.invalid_entry(name).is_some() => Err(ErrorDocument {
                    code: "bad-request".into(),
                    message: format!(
                        "the manifest has `{name}` wrong, so nothing can be done for it: see \
                         `phoenix-certctl status {name}` and `phoenix-certctl validate`"
                    ),
                }),
                None => Err(no_such_name(name)),
            })
            .collect()
    }
}

/// The answer to a name that no entry has.
pub(super) fn no_such_name(name: &str) -> ErrorDocument {
    ErrorDocument {
        code: "no-such-name".into(),
        message: format!("the manifest in force has no certificate called `{name}`"),
    }
}
