//! Entries in every situation that facts and memory can put them in.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Explanation, explain};
use crate::facts::{Deed, FileFact, LeafFacts, Observation};
use crate::lifecycle::{Availability, Context, Decision, Hold, Memory, Order, Reach, Stage, decide};
use crate::manifest::{Delivery, Entry, Guest, GuestKind, StageError};
use crate::reason::{Reason, Trouble};
use crate::samples;
use crate::schedule::Jitter;
use crate::time::Timestamp;

pub(super) const NOW: Timestamp = Timestamp::from_unix(1_000_000);

/// An entry with what is known about it.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) entry: Entry,
    pub(super) seen: Observation,
    pub(super) memory: Memory,
    pub(super) availability: Availability,
    pub(super) now: Timestamp,
}

impl Scene {
    pub(super) fn blank() -> Self {
        let entry = samples::entry("one");
        Self {
            seen: samples::blank(&entry, NOW),
            entry,
            memory: Memory::default(),
            availability: Availability::Ready,
            now: NOW,
        }
    }

    pub(super) fn deployed() -> Self {
        let mut scene = Self::blank();
        let leaf = scene.leaf(60, 86_340);
        scene.seen = samples::installed(&scene.entry, &leaf, NOW);
        scene.seen.ledger.activated = Some(deed(&leaf, "command"));
        scene.seen.ledger.wanted.clone_from(&scene.seen.wanted);
        scene
    }

    fn leaf(&self, since: u64, left: i64) -> LeafFacts {
        let from = NOW.minus(Duration::from_secs(since));
        samples::leaf(&self.entry, from, Timestamp::from_unix(NOW.unix() + left))
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            entry: &self.entry,
            jitter: Jitter::default(),
            availability: &self.availability,
            last_run: None,
            invited: false,
        }
    }

    pub(super) fn decide(&self) -> Decision {
        decide(&self.context(), &self.seen, &self.memory, self.now)
    }

    pub(super) fn explain(&self) -> Explanation {
        explain(&self.context(), &self.seen, &self.memory, self.now)
    }
}

fn deed(leaf: &LeafFacts, of: &str) -> Deed {
    Deed { fingerprint: leaf.fingerprint.clone(), of: of.into(), at: NOW }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let stages =
        [crate::manifest::Stage::Deliver, crate::manifest::Stage::Activate, crate::manifest::Stage::Verify];
    let explicit = Delivery::Explicit {
        cert: Some("/etc/cert.pem".parse().unwrap()),
        key: None,
        ca: None,
        owner: None,
        key_mode: crate::manifest::Mode(0o600),
        cert_mode: crate::manifest::Mode(0o644),
    };
    let delivery = select(vec![None, Some(Delivery::Legacy { ca: true }), Some(explicit)]);
    (
        prop::bool::weighted(0.05),
        any::<bool>(),
        delivery,
        prop::option::weighted(0.1, select(stages.to_vec())),
    )
        .prop_map(|(paused, command, delivery, wrong)| {
            let mut entry = samples::entry("one");
            entry.paused = paused;
            entry.guest = delivery.is_some().then_some(Guest { kind: GuestKind::Lxc, id: 102 });
            entry.delivery = delivery;
            // What the manifest has wrong is not in the entry.
            if wrong == Some(crate::manifest::Stage::Deliver) {
                entry.delivery = None;
            }
            if !command || wrong == Some(crate::manifest::Stage::Activate) {
                entry.command = None;
            }
            entry.stage_errors = wrong
                .map(|stage| StageError { stage, message: "it cannot be carried out".into() })
                .into_iter()
                .collect();
            entry
        })
}

fn any_memory() -> impl Strategy<Value = Memory> {
    let stages = [Stage::Issue, Stage::Write, Stage::Deliver, Stage::Activate];
    let failure = (select(stages.to_vec()), select(Reason::ALL.to_vec()), -100_i64..100);
    let failures = prop::collection::vec(failure, 0..3);
    let flags = (prop::bool::weighted(0.1), any::<bool>(), any::<bool>(), any::<bool>());
    let reaches = [Reach::Written, Reach::Delivered, Reach::Activated, Reach::Verified];
    (failures, flags, prop::option::weighted(0.2, select(reaches.to_vec())), 0_usize..9).prop_map(
        |(failures, (reissue, redeliver, reactivate, urgent), hold, issued)| {
            let mut memory = Memory { reissue, redeliver, reactivate, ..Memory::default() };
            for (stage, reason, ahead) in failures {
                memory.fail(
                    stage,
                    Trouble::new(reason, "it failed"),
                    None,
                    Timestamp::from_unix(NOW.unix() + ahead),
                );
            }
            memory.order =
                urgent.then(|| Order { hurry: Some(Reach::Verified), ..Order::new(Reach::Verified, NOW) });
            let fingerprint = "fp-999940-1086340".to_owned();
            memory.hold = hold.map(|reach| Hold { fingerprint, reach });
            memory.issued = vec![NOW; issued];
            memory
        },
    )
}

#[derive(Clone, Copy, Debug)]
enum Live {
    Nothing,
    Own,
    Other,
}

pub(super) fn any_scene() -> impl Strategy<Value = Scene> {
    let lives = select(vec![Live::Nothing, Live::Own, Live::Own, Live::Own, Live::Other]);
    let lefts = select(vec![-10_i64, 100, 20_000, 86_340, 86_340]);
    let facts = (
        lives,
        prop::bool::weighted(0.8),
        lefts.clone(),
        lefts,
        select(vec![Some(true), Some(true), Some(false), None]),
        (prop::bool::weighted(0.1), prop::bool::weighted(0.1), prop::bool::weighted(0.05), 0_u32..5),
        (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)),
    );
    (any_entry(), any_memory(), facts, any::<bool>()).prop_map(|(entry, memory, facts, ready)| {
        let (live, own, left, other, trusted, (companions, drifted, absent, writes), deeds) = facts;
        let mut scene = Scene { entry, memory, ..Scene::blank() };
        let leaf = scene.leaf(60, left);
        let mut seen = if own {
            samples::installed(&scene.entry, &leaf, NOW)
        } else {
            samples::blank(&scene.entry, NOW)
        };
        seen.live = match live {
            Live::Nothing => samples::nothing(),
            Live::Own => samples::live(&leaf),
            Live::Other => samples::live(&scene.leaf(50, other)),
        };
        seen.live.trusted = trusted.filter(|_| seen.live.leaf.is_some());
        seen.live.companions_differ = companions;
        if let (true, FileFact::Present { mode, .. }) = (drifted, &mut seen.live.key) {
            *mode = 0o666;
        }
        if let Some(own) = &mut seen.own {
            own.adopted = deeds.2;
        }
        seen.target_trouble = absent.then(|| Trouble::new(Reason::StorageAbsent, "it is not mounted"));
        seen.ledger.foreign_writes = writes;
        seen.ledger.delivered = deeds.0.then(|| deed(&leaf, "delivery"));
        seen.ledger.activated = deeds.1.then(|| deed(&leaf, "command"));
        scene.seen = seen;
        if !ready {
            let trouble = Trouble::new(Reason::CaUnreachable, "the connection was refused");
            scene.availability =
                Availability::Unavailable { trouble, next_look: NOW.plus(Duration::from_secs(30)) };
        }
        scene.now = NOW;
        scene
    })
}
