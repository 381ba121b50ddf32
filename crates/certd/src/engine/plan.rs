//! What the present state, or an edit of the manifest, would cause. Nothing is changed.

use std::collections::BTreeSet;

use phoenix_core::manifest::Entry;
use phoenix_core::name::AbsolutePath;
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::SCHEMA;
use phoenix_protocol::plan::{PlanDocument, PlanRequest, Planned};

use super::Engine;
use super::entries::Tracked;
use crate::clock::{host_zone, now};
use crate::report::plan;

impl Engine {
    /// `GET /v1/plan`: what the present state causes. `POST`: what it would cause with these entries in force.
    pub(super) fn plan(&self, candidate: Option<PlanRequest>) -> PlanDocument {
        let at = now();
        let certificates = match candidate {
            None => {
                let valid = self.entries.in_order().map(|tracked| self.plan_entry(&tracked.entry, at));
                valid.chain(self.invalid.iter().map(plan::invalid)).collect()
            }
            Some(candidate) => self.plan_candidate(candidate, at),
        };
        PlanDocument { schema: SCHEMA, generated_at: at, certificates }
    }

    fn plan_candidate(&self, candidate: PlanRequest, at: Timestamp) -> Vec<Planned> {
        let zone = host_zone();
        let mut planned = Vec::new();
        let mut kept: BTreeSet<AbsolutePath> = BTreeSet::new();
        for mut entry in candidate.entries {
            if let Some(window) = &mut entry.window {
                window.timezone.get_or_insert(zone);
            }
            planned.push(self.plan_entry(&entry, at));
            kept.insert(entry.key_path);
        }
        let names: BTreeSet<&str> =
            candidate.invalid.iter().filter_map(|entry| entry.name.as_deref()).collect();
        let common_names: BTreeSet<&str> =
            candidate.invalid.iter().filter_map(|entry| entry.common_name.as_deref()).collect();
        let wrong = |tracked: &Tracked| {
            let entry = &tracked.entry;
            names.contains(entry.name.as_str()) || common_names.contains(entry.common_name.as_str())
        };
        planned.extend(candidate.invalid.iter().map(plan::invalid));
        let gone = self.entries.in_order().filter(|tracked| !kept.contains(&tracked.entry.key_path));
        planned.extend(gone.filter(|tracked| !wrong(tracked)).map(|tracked| plan::removed(&tracked.entry)));
        planned
    }

    fn plan_entry(&self, entry: &Entry, at: Timestamp) -> Planned {
        let tracked = self.entries.get(&entry.key_path);
        let wish = plan::Wish {
            entry,
            present: tracked.map(|tracked| (&*tracked.entry, &tracked.state)),
            name_taken: self.entries.find(entry.name.as_str()).is_some(),
            last_run: self.last_run(&entry.key_path, at),
            jitter: Jitter::of(self.journal.seed(), entry),
            availability: &self.authorities.availability(entry, at),
        };
        plan::planned(&wish, at)
    }
}
