//! What operators ask for: requests become events for entries, and somebody who waits.

use std::time::Duration;

use phoenix_core::lifecycle::{Event, Reach, Request};
use phoenix_core::manifest::InvalidEntry;
use phoenix_core::name::{AbsolutePath, CertName};
use phoenix_protocol::control::{
    ErrorDocument, RenewRequest, RollbackRequest, SyncRequest, Until, VerifyRequest,
};
use phoenix_protocol::history::Happening;

use super::orders::Verb;
use super::{Engine, OrderReply};
use crate::clock::now;

/// How long an order is waited for unless the request says otherwise.
const DEFAULT_TIMEOUT: u64 = 300;
/// Names that the history of an order tells at most.
const MOST_NAMES: usize = 100;

/// What someone asked for, and how.
struct Order {
    verb: Verb,
    /// User id of who asked.
    uid: Option<u32>,
    /// What each of the entries is told.
    event: Event,
    reach: Reach,
    /// Everything again.
    force: bool,
    timeout: Option<u64>,
    no_wait: bool,
}

fn reach(until: Until) -> Reach {
    match until {
        Until::Written => Reach::Written,
        Until::Delivered => Reach::Delivered,
        Until::Activated => Reach::Activated,
        Until::Verified => Reach::Verified,
    }
}

impl Engine {
    /// `POST /v1/renew`
    pub(super) fn renew(&mut self, request: &RenewRequest, uid: Option<u32>, reply: OrderReply) {
        let reach = reach(request.until);
        let wish = Request { reissue: true, redeploy: false, reverify: false, urgent: true, reach };
        let all = request.all && request.names.is_empty();
        let order = Order {
            verb: Verb::Renew,
            uid,
            event: Event::Ordered(wish),
            reach,
            force: false,
            timeout: request.timeout,
            no_wait: request.no_wait,
        };
        self.order(&request.names, all, &order, reply);
    }

    /// `POST /v1/sync`
    pub(super) fn sync(&mut self, request: &SyncRequest, uid: Option<u32>, reply: OrderReply) {
        let (reach, force) = (reach(request.until), request.force);
        let wish = Request { reissue: false, redeploy: force, reverify: false, urgent: false, reach };
        let order = Order {
            verb: Verb::Sync,
            uid,
            event: Event::Ordered(wish),
            reach,
            force,
            timeout: request.timeout,
            no_wait: false,
        };
        self.order(&request.names, request.names.is_empty(), &order, reply);
    }

    /// `POST /v1/verify`
    pub(super) fn verify(&mut self, request: &VerifyRequest, uid: Option<u32>, reply: OrderReply) {
        let reach = Reach::Verified;
        let wish = Request { reissue: false, redeploy: false, reverify: true, urgent: false, reach };
        let order = Order {
            verb: Verb::Verify,
            uid,
            event: Event::Ordered(wish),
            reach,
            force: false,
            timeout: request.timeout,
            no_wait: false,
        };
        self.order(&request.names, request.names.is_empty(), &order, reply);
    }

    /// `POST /v1/rollback`
    pub(super) fn roll_back(&mut self, request: &RollbackRequest, uid: Option<u32>, reply: OrderReply) {
        let order = Order {
            verb: Verb::Rollback,
            uid,
            event: Event::OrderedBack,
            reach: Reach::Verified,
            force: false,
            timeout: request.timeout,
            no_wait: false,
        };
        self.order(std::slice::from_ref(&request.name), false, &order, reply);
    }

    fn order(&mut self, names: &[String], all: bool, order: &Order, reply: OrderReply) {
        let keys = match self.chosen(names, all) {
            Ok(keys) => keys,
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
                return;
            }
        };
        let timeout = Duration::from_secs(order.timeout.unwrap_or(DEFAULT_TIMEOUT).clamp(1, 86_400));
        let deadline = now().plus(timeout);
        self.note_order(&keys, all, order);
        self.orders.overtake(&keys, order.verb);
        // The waiter is placed after the orders, so that it sees none of what was before them.
        for (key, _) in &keys {
            self.send(key, order.event.clone());
        }
        // "Recorded" is said when it is.
        self.sync_journal();
        let wait = (!order.no_wait).then_some(deadline);
        let lines = self.orders.place(keys, order.verb, order.reach, wait, &self.entries);
        let _ = reply.send(Ok(lines));
    }

    fn note_order(&self, keys: &[(AbsolutePath, CertName)], all: bool, order: &Order) {
        let named = keys.iter().map(|(_, name)| name.as_str()).take(if all { 0 } else { MOST_NAMES });
        let what = Happening::Ordered {
            order: order.verb.as_str().to_owned(),
            uid: order.uid,
            reach: order.reach,
            entries: keys.len(),
            force: order.force,
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
