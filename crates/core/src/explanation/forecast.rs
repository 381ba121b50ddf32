//! What is going to happen to an entry when everything goes well: the decision, then the decision on what the facts
//! would be afterwards, and so on until nothing is left to do.

use crate::explanation::Step;
use crate::facts::{Deed, FileFact, LeafFacts, LivePair, Observation, OwnCopy};
use crate::lifecycle::{
    Availability, Context, Decision, Memory, Stage, Work, decide, delivered_by_command, verify_digest,
};
use crate::manifest::{Entry, Usage};
use crate::reason::Reason;
use crate::rules;
use crate::time::Timestamp;

/// More steps than any way to a deployed certificate has.
const MOST: usize = 16;
/// Lifetime that an issuer is taken to give when nothing says otherwise.
const ASSUMED_LIFETIME: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The steps from `now` on. The last one says what the entry waits for.
pub fn forecast(context: &Context<'_>, seen: &Observation, memory: &Memory, now: Timestamp) -> Vec<Step> {
    let mut ahead =
        Ahead { context: *context, seen: seen.clone(), memory: memory.clone(), at: now, issued: false };
    let mut steps: Vec<Step> = Vec::new();
    while steps.len() < MOST && ahead.advance(&mut steps) {}
    steps
}

/// A future of the entry.
struct Ahead<'a> {
    context: Context<'a>,
    seen: Observation,
    memory: Memory,
    at: Timestamp,
    /// A certificate was issued on the way: how long it lives is not known.
    issued: bool,
}

impl Ahead<'_> {
    /// Adds what comes next; false when nothing comes after it.
    fn advance(&mut self, steps: &mut Vec<Step>) -> bool {
        let decision = decide(&self.context, &self.seen, &self.memory, self.at);
        let step = Step::of(&decision, self.at);
        match decision {
            Decision::Act(work, _) => {
                let is = |step: &Step, wanted| matches!(step, Step::Do { work, .. } if *work == wanted);
                let since_issued = steps.iter().rev().take_while(|step| !is(step, Work::Issue));
                let issued_twice = work == Work::Issue && self.issued;
                if issued_twice || since_issued.into_iter().any(|step| is(step, work)) {
                    // It changed nothing, so that the end of this cannot be told.
                    return false;
                }
                steps.push(step);
                self.succeed(work);
                true
            }
            Decision::Rest(Some(until)) if until > self.at && self.waits_for_failure(until) => {
                self.at = until;
                true
            }
            Decision::Rest(_) => {
                steps.push(if self.issued { Step::Rest { until: None } } else { step });
                false
            }
            Decision::AwaitIssuer(_, next_look) => {
                steps.push(step);
                self.issuer_returns(next_look);
                true
            }
            Decision::Stuck(stage, trouble, until) => {
                // A window opens and a budget fills up by the clock alone, also for a command that says why it failed
                // meanwhile. Everything else needs someone.
                let by_itself = stage == Stage::Activate && trouble.reason != Reason::ManifestError;
                let waited = steps.contains(&step) || until <= self.at;
                steps.push(step);
                self.at = self.at.max(until);
                by_itself && !waited
            }
        }
    }

    fn waits_for_failure(&self, until: Timestamp) -> bool {
        self.memory.failures.values().any(|failure| failure.next_attempt_at == until)
    }

    fn issuer_returns(&mut self, at: Timestamp) {
        self.at = self.at.max(at);
        self.context.availability = &Availability::Ready;
        self.memory.overcome(Stage::Issue);
    }

    /// The facts after `work` has ended well.
    fn succeed(&mut self, work: Work) {
        let entry = self.context.entry;
        self.memory.overcome(work.stage());
        match work {
            Work::Observe => {}
            Work::Issue | Work::Install => {
                let leaf = self.next_leaf();
                self.install(own_copy(leaf, self.at));
                self.issued = true;
                self.memory.failures.clear();
                self.memory.reissue = false;
                self.memory.hold = None;
            }
            Work::Adopt => self.adopt(),
            Work::Restore => {
                if let Some(own) = self.seen.own.clone() {
                    self.install(own);
                }
            }
            Work::Deliver => {
                self.memory.redeliver = false;
                self.memory.rerun &= entry.command.is_some();
                self.deliver();
            }
            Work::Activate => {
                self.memory.reactivate = false;
                self.memory.rerun = false;
                self.context.last_run = Some(self.at);
                let deed = self.deed(self.seen.command_digest.clone());
                self.seen.ledger.activated = deed;
                if delivered_by_command(entry) {
                    self.memory.redeliver = false;
                    self.deliver();
                }
            }
            Work::Verify => {
                self.memory.reverify = false;
                self.memory.rerun = false;
                self.memory.verified = self.deed(verify_digest(&entry.verify));
            }
            Work::Recheck => self.memory.rechecked = Some(self.at),
            // Which pair that will be is not among the facts; what follows is the same for both.
            Work::Rollback | Work::Reinstate => self.memory.rollback = None,
        }
    }

    fn deliver(&mut self) {
        let deed = self.deed(self.seen.delivery_digest.clone());
        self.seen.ledger.delivered = deed;
    }

    fn deed(&self, of: Option<String>) -> Option<Deed> {
        let own = self.seen.own.as_ref()?;
        Some(Deed { fingerprint: own.leaf.fingerprint.clone(), of: of?, at: self.at })
    }

    fn adopt(&mut self) {
        let live = &self.seen.live;
        let (Some(leaf), FileFact::Present { sha256: cert, .. }, FileFact::Present { sha256: key, .. }) =
            (&live.leaf, &live.cert, &live.key)
        else {
            return;
        };
        self.seen.own = Some(OwnCopy {
            leaf: leaf.clone(),
            trusted: live.trusted,
            cert_sha256: cert.clone(),
            key_sha256: key.clone(),
            adopted: true,
            installed_at: self.at,
        });
        self.seen.ledger.baseline = rules::live_baseline(live);
        self.seen.ledger.wanted.clone_from(&self.seen.wanted);
        self.seen.ledger.foreign_writes = 0;
    }

    fn install(&mut self, own: OwnCopy) {
        let settled = self.seen.wanted.clone().or_else(|| self.seen.ledger.baseline.clone());
        let access = settled.unwrap_or(crate::facts::Baseline { cert: (0, 0, 0o644), key: (0, 0, 0o600) });
        let file = |(uid, gid, mode): (u32, u32, u16), sha256: &str| FileFact::Present {
            uid,
            gid,
            mode,
            sha256: sha256.to_owned(),
        };
        self.seen.live = LivePair {
            cert: file(access.cert, &own.cert_sha256),
            key: file(access.key, &own.key_sha256),
            key_public: Some(own.leaf.public_key.clone()),
            leaf: Some(own.leaf.clone()),
            trusted: own.trusted.or(Some(true)),
            companions_differ: false,
        };
        self.seen.ledger.baseline = Some(access);
        self.seen.ledger.wanted.clone_from(&self.seen.wanted);
        self.seen.ledger.foreign_writes = 0;
        self.seen.own = Some(own);
    }

    /// A leaf as the manifest wants it, living as long as the present one does.
    fn next_leaf(&self) -> LeafFacts {
        let entry: &Entry = self.context.entry;
        let present = self.seen.own.as_ref().map(|own| &own.leaf).or(self.seen.live.leaf.as_ref());
        let lifetime =
            entry.validity.or(present.map(LeafFacts::lifetime)).filter(|lifetime| !lifetime.is_zero());
        let next = "the next certificate".to_owned();
        LeafFacts {
            serial: next.clone(),
            fingerprint: next.clone(),
            common_name: Some(entry.common_name.clone()),
            sans: entry.sans.clone(),
            not_before: self.at,
            not_after: self.at.plus(lifetime.unwrap_or(ASSUMED_LIFETIME)),
            client_auth: entry.usage != Usage::Server,
            server_auth: entry.usage != Usage::Client,
            other_eku: false,
            key_type: Some(entry.key_type),
            public_key: next,
            issuer: String::new(),
        }
    }
}

fn own_copy(leaf: LeafFacts, at: Timestamp) -> OwnCopy {
    OwnCopy {
        cert_sha256: leaf.fingerprint.clone(),
        key_sha256: leaf.public_key.clone(),
        leaf,
        trusted: Some(true),
        adopted: false,
        installed_at: at,
    }
}
