//! What the daemon remembers about an entry across restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::notice::{KnownCopy, Notice};
use super::order::Order;
use super::refused::RefusedAnswers;
use super::rollback::Rollback;
use crate::facts::{Deed, Served};
use crate::reason::{Reason, RetryClass, Trouble};
use crate::time::Timestamp;

/// A stage of an entry's way to its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Looking at what is there.
    Observe,
    /// Getting a certificate from an issuer.
    Issue,
    /// Putting the pair on the live paths.
    Write,
    /// Copying it into the guest.
    Deliver,
    /// Running the command.
    Activate,
    /// Seeing it at the consumer.
    Verify,
}

impl Stage {
    /// The word of the control API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Issue => "issue",
            Self::Write => "write",
            Self::Deliver => "deliver",
            Self::Activate => "activate",
            Self::Verify => "verify",
        }
    }
}

/// A failure that has not been overcome yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub trouble: Trouble,
    /// When it went wrong last.
    pub at: Timestamp,
    /// Failed attempts in a row; waits do not count.
    pub attempts: u32,
    /// When the next attempt is made.
    pub next_attempt_at: Timestamp,
}

/// How far an operator's request or a held certificate goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// On the live paths.
    Written,
    /// In the guest.
    Delivered,
    /// The command succeeded.
    Activated,
    /// Seen at the consumer.
    Verified,
}

impl Reach {
    /// `stage` is on the way to it.
    pub const fn covers(self, stage: Stage) -> bool {
        match stage {
            Stage::Observe | Stage::Issue | Stage::Write => true,
            Stage::Deliver => !matches!(self, Self::Written),
            Stage::Activate => matches!(self, Self::Activated | Self::Verified),
            Stage::Verify => matches!(self, Self::Verified),
        }
    }
}

/// What the daemon remembers about an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Failures, one for each stage at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failures: BTreeMap<Stage, Failure>,
    /// The operator's open request.
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: Option<Order>,
    /// The operator wants a new certificate whatever the rules say.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reissue: bool,
    /// The operator wants it delivered again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub redeliver: bool,
    /// The operator wants the command run again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reactivate: bool,
    /// The operator wants the pair before the present one back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub roll_back: bool,
    /// The consumer was seen not to use the certificate: its command is run once more, or where there is none its
    /// files are delivered once more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rerun: bool,
    /// The certificate with this fingerprint goes only so far until something else is asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hold: Option<Hold>,
    /// When certificates were issued without an operator's request, newest last.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: Vec<Timestamp>,
    /// Answers of issuers that were refused since.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refused: RefusedAnswers,
    /// Expiry of the certificate that went all the way last: what consumers use until the next one has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub in_use_until: Option<Timestamp>,
    /// Legal but unexpected properties of the present certificate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warnings: Vec<String>,
    /// The certificate that is seen at its consumer, and by which verification.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verified: Option<Deed>,
    /// Fingerprint of the certificate that its consumer was seen to use last, whatever was seen since.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proven: Option<String>,
    /// The operator wants it verified again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reverify: bool,
    /// What the consumer was seen to use last.
    #[serde(default, skip_serializing_if = "is_default")]
    pub served: Option<Served>,
    /// What is odd about that, for people.
    #[serde(default, skip_serializing_if = "is_default")]
    pub remarks: Vec<String>,
    /// Whether the consumer could be reached before the present certificate was put in place; none when that is
    /// not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reachable: Option<bool>,
    /// What was wrong at the consumer already before the present certificate was put in place.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ailing: Option<Reason>,
    /// When the guest was last seen to have what was delivered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rechecked: Option<Timestamp>,
    /// A certificate that its consumer did not take.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollback: Option<Rollback>,
    /// Our copy as it was seen last.
    #[serde(default, skip_serializing_if = "is_default")]
    pub own: Option<KnownCopy>,
    /// What was noticed about records that are not as they were left, oldest first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub notices: Vec<Notice>,
}

/// Most of what could be remembered about an entry is not there: ten thousand lines of the journal do not say so.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A certificate that goes only so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which certificate.
    pub fingerprint: String,
    /// The last stage that is carried out.
    pub reach: Reach,
}

impl Memory {
    /// The failure that is reported: the one of the earliest stage that has one.
    pub fn failure(&self) -> Option<(Stage, &Failure)> {
        self.failures.iter().next().map(|(stage, failure)| (*stage, failure))
    }

    /// What is remembered after a restart: what was blocked is tried again at once, since the configuration may
    /// have changed meanwhile; every other wait goes on.
    #[must_use]
    pub fn restarted(mut self, now: Timestamp) -> Self {
        for stage in self.failures.keys().copied().collect::<Vec<_>>() {
            self.unblock(stage, now);
        }
        self
    }

    /// What blocked `stage` may have been mended: it is tried again at once. False when it was not blocked.
    pub fn unblock(&mut self, stage: Stage, now: Timestamp) -> bool {
        let failure = self.failures.get_mut(&stage);
        let blocked = failure.filter(|failure| failure.trouble.reason.class() == RetryClass::Blocked);
        let unblocks =
            blocked.map(|failure| failure.next_attempt_at = failure.next_attempt_at.min(now)).is_some();
        if unblocks && stage == Stage::Issue {
            self.refused.ask_again();
        }
        unblocks
    }

    /// Moves what lies after `now` back to it, spacing included: the clock was set back, and waits counted from a
    /// time that has not come would last as long as the clock was wrong. True when something did.
    pub fn rewind(&mut self, now: Timestamp) -> bool {
        let mut rewound = false;
        for failure in self.failures.values_mut() {
            let ahead = failure.at.since(now);
            failure.at = failure.at.minus(ahead);
            failure.next_attempt_at = failure.next_attempt_at.minus(ahead);
            rewound |= !ahead.is_zero();
        }
        let ordered = self.order.iter_mut().flat_map(Order::times);
        for at in self.issued.iter_mut().chain(ordered) {
            rewound |= *at > now;
            *at = (*at).min(now);
        }
        rewound |= self.refused.rewind(now);
        let back = self.rollback.as_mut().is_some_and(|rollback| rollback.rewind(now));
        rewound || back
    }

    /// Nothing but times of looks and of next attempts differs from what was remembered `before`: not worth a write to
    /// the disk each time.
    pub fn is_as_good_as(&self, mut before: Self) -> bool {
        for (stage, failure) in &mut before.failures {
            let present = self.failures.get(stage).map(|failure| failure.next_attempt_at);
            failure.next_attempt_at = present.unwrap_or(failure.next_attempt_at);
        }
        if let (Some(own), Some(present)) = (&mut before.own, &self.own) {
            (own.delivered_at, own.activated_at) = (present.delivered_at, present.activated_at);
        }
        if let (Some(served), Some(present)) = (&mut before.served, &self.served) {
            served.at = present.at;
        }
        if let (Some(deed), Some(present)) = (&mut before.verified, &self.verified) {
            deed.at = present.at;
        }
        before.rechecked = before.rechecked.and(self.rechecked);
        *self == before
    }

    /// What `stage` waited for is over. The first attempts follow at once; an issuer that is well and fails all the
    /// same is not asked faster and faster. As after any failure, what consumers have left bounds the wait.
    pub fn hurry(&mut self, stage: Stage, valid_until: Option<Timestamp>, now: Timestamp) {
        const AT_ONCE: u32 = 3;
        let earliest = self.earliest(stage, valid_until, now);
        if let Some(failure) = self.failures.get_mut(&stage) {
            let late = failure.attempts.saturating_sub(AT_ONCE);
            let class = failure.trouble.reason.class();
            let wait = if late == 0 {
                std::time::Duration::ZERO
            } else {
                let spacing = |until| crate::backoff::spacing(class, late, until, now);
                spacing(None).min(spacing(valid_until))
            };
            let next = now.plus(wait).max(earliest);
            // Where the issuer's breaker lets one entry ask at a time, that is spacing enough.
            let chosen = failure.trouble.reason == Reason::ClockDiffers;
            failure.next_attempt_at = if chosen { failure.next_attempt_at.min(next) } else { next };
        }
    }

    /// Forgets what operators asked for. True when they had asked for something.
    pub fn drop_orders(&mut self) -> bool {
        let asked = self.order.is_some()
            || self.reissue
            || self.redeliver
            || self.reactivate
            || self.reverify
            || self.roll_back;
        self.order = None;
        self.roll_back = false;
        (self.reissue, self.redeliver, self.reactivate, self.reverify) = (false, false, false, false);
        asked
    }

    /// Waits no longer for `stage` than after a failure now.
    pub fn shorten(&mut self, stage: Stage, valid_until: Option<Timestamp>, now: Timestamp) {
        let earliest = self.earliest(stage, valid_until, now);
        if let Some(failure) = self.failures.get_mut(&stage) {
            let class = failure.trouble.reason.class();
            let wait = crate::backoff::spacing(class, failure.attempts.max(1), valid_until, now);
            failure.next_attempt_at = failure.next_attempt_at.min(now.plus(wait).max(earliest));
        }
    }

    /// Before when nothing is tried again in `stage`, whatever spacing says.
    fn earliest(&self, stage: Stage, valid_until: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let kept = self.refused.not_before(valid_until, now);
        kept.filter(|_| stage == Stage::Issue).unwrap_or_default()
    }

    /// Forgets the failure of `stage`.
    pub fn overcome(&mut self, stage: Stage) {
        self.failures.remove(&stage);
    }

    /// Records a failure of `stage`; the spacing counts from `now` and from what consumers have left.
    pub fn fail(&mut self, stage: Stage, trouble: Trouble, valid_until: Option<Timestamp>, now: Timestamp) {
        let class = trouble.reason.class();
        let before = self.failures.get(&stage);
        let counted = before.map_or(0, |failure| failure.attempts);
        let attempts = if class == RetryClass::Waiting { counted } else { counted.saturating_add(1) };
        let wait = if is_away(trouble.reason) {
            let before = before.filter(|failure| is_away(failure.trouble.reason));
            let waited = before.map(|failure| failure.next_attempt_at.since(failure.at));
            crate::backoff::waiting(waited, valid_until, now)
        } else {
            crate::backoff::spacing(class, attempts, valid_until, now)
        };
        let next_attempt_at = now.plus(wait).max(self.earliest(stage, valid_until, now));
        self.failures.insert(stage, Failure { trouble, at: now, attempts, next_attempt_at });
    }
}

/// The guest is not there to be reached.
fn is_away(reason: Reason) -> bool {
    matches!(reason, Reason::GuestAbsent | Reason::GuestOff | Reason::GuestLocked)
}
