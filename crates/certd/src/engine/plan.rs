//! What the present state, or an edit of the manifest, would cause. Nothing is changed.

use std::collections::BTreeSet;

use phoenix_core::explanation::change::{adapted, differences, unseen};
use phoenix_core::explanation::forecast::forecast;
use phoenix_core::lifecycle::{Context, Memory};
use phoenix_core::manifest::{Entry, InvalidEntry};
use phoenix_core::name::AbsolutePath;
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_protocol::control::SCHEMA;
use phoenix_protocol::plan::{Change, PlanDocument, PlanRequest, Planned};

use super::Engine;
use super::entries::Tracked;
use crate::clock::{host_zone, now};

impl Engine {
    /// `GET /v1/plan`: what the present state causes. `POST`: what it would cause with these entries in force.
    pub(super) fn plan(&self, candidate: Option<PlanRequest>) -> PlanDocument {
        let at = now();
        let certificates = match candidate {
            None => self.entries.in_order().map(|tracked| self.plan_entry(&tracked.entry, at)).collect(),
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
        let wrong = |tracked: &Tracked| {
            let is = |text: &Option<String>, wanted: &str| text.as_deref() == Some(wanted);
            let (name, common) = (tracked.entry.name.as_str(), tracked.entry.common_name.as_str());
            candidate.invalid.iter().any(|entry| is(&entry.name, name) || is(&entry.common_name, common))
        };
        planned.extend(candidate.invalid.iter().map(invalid));
        let gone = self.entries.in_order().filter(|tracked| !kept.contains(&tracked.entry.key_path));
        planned.extend(gone.filter(|tracked| !wrong(tracked)).map(removed));
        planned
    }

    fn plan_entry(&self, entry: &Entry, at: Timestamp) -> Planned {
        let tracked = self.entries.get(&entry.key_path);
        let found = tracked.map(|tracked| differences(&tracked.entry, entry)).unwrap_or_default();
        let mut remarks = Vec::new();
        let seen = tracked.map_or_else(
            || Some(unseen(entry, at)),
            |tracked| tracked.state.seen.as_ref().map(|seen| adapted(seen, &tracked.entry, entry)),
        );
        if tracked.is_none() {
            remarks
                .push("a valid pair that lies there already is taken over instead of requesting one".into());
            if self.entries.find(entry.name.as_str()).is_some() {
                let moved = "its key_path is another one: it begins anew, and the files at the old one stay";
                remarks.push(moved.to_owned());
            }
        }
        if seen.is_none() {
            remarks.push("it has not been looked at yet".to_owned());
        }
        let mut memory = tracked.map_or_else(Memory::default, |tracked| tracked.state.memory.clone());
        if !found.is_empty() {
            memory.failures.clear();
        }
        let availability = self.authorities.availability(entry, at);
        let last_run = self.last_run(&entry.key_path, at);
        let jitter = Jitter::of(self.journal.seed(), entry);
        let context = Context { entry, jitter, availability: &availability, last_run, invited: false };
        Planned {
            name: entry.name.to_string(),
            key_path: Some(entry.key_path.to_string()),
            change: match (tracked, found.is_empty()) {
                (None, _) => Change::New,
                (Some(_), true) => Change::Unchanged,
                (Some(_), false) => Change::Changed,
            },
            differences: found,
            steps: seen.map(|seen| forecast(&context, &seen, &memory, at)).unwrap_or_default(),
            command: entry.command.as_ref().map(|command| command.argv.clone()),
            guest: entry.delivery.as_ref().and(entry.guest).map(|guest| guest.to_string()),
            remarks,
        }
    }
}

fn nothing(name: String, change: Change, remark: String) -> Planned {
    Planned {
        name,
        key_path: None,
        change,
        differences: Vec::new(),
        steps: Vec::new(),
        command: None,
        guest: None,
        remarks: vec![remark],
    }
}

fn removed(tracked: &Tracked) -> Planned {
    let remark = "it is no longer looked after; its files stay as they are".to_owned();
    let planned = nothing(tracked.entry.name.to_string(), Change::Removed, remark);
    Planned { key_path: Some(tracked.entry.key_path.to_string()), ..planned }
}

fn invalid(entry: &InvalidEntry) -> Planned {
    let name = entry.name.as_ref().or(entry.common_name.as_ref()).unwrap_or(&entry.path);
    let problems = entry.problems.join("; ");
    nothing(
        name.clone(),
        Change::Invalid,
        format!("nothing is done for it, its files stay as they are: {problems}"),
    )
}
