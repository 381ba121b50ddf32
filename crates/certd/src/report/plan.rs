//! What the present state, or an edit of the manifest, would cause for one entry.

use phoenix_core::explanation::change::{adapted, differences, unseen};
use phoenix_core::explanation::forecast::forecast;
use phoenix_core::lifecycle::{Availability, Context, Memory, State};
use phoenix_core::manifest::{Entry, InvalidEntry};
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;
use phoenix_protocol::plan::{Change, Planned};

/// An entry as a candidate for the manifest has it.
pub struct Wish<'a> {
    /// What the candidate wants.
    pub entry: &'a Entry,
    /// The entry with the same key path in force, and where it stands.
    pub present: Option<(&'a Entry, &'a State)>,
    /// Another entry in force goes by its name.
    pub name_taken: bool,
    /// When its command line ran last.
    pub last_run: Option<Timestamp>,
    /// Spread of the renewal time.
    pub jitter: Jitter,
    /// Whether an issuer can be asked.
    pub availability: &'a Availability,
}

/// What would happen to it from `now` on.
pub fn planned(wish: &Wish<'_>, now: Timestamp) -> Planned {
    let Wish { entry, present, .. } = *wish;
    let found = present.map(|(before, _)| differences(before, entry)).unwrap_or_default();
    let seen = match present {
        None => Some(unseen(entry, now)),
        Some((before, state)) => state.seen.as_ref().map(|seen| adapted(seen, before, entry)),
    };
    let mut memory = present.map_or_else(Memory::default, |(_, state)| state.memory.clone());
    if !found.is_empty() {
        memory.failures.clear();
    }
    let Wish { jitter, availability, last_run, .. } = *wish;
    let context = Context { entry, jitter, availability, last_run, invited: false };
    Planned {
        name: entry.name.to_string(),
        key_path: Some(entry.key_path.to_string()),
        change: match (present, found.is_empty()) {
            (None, _) => Change::New,
            (Some(_), true) => Change::Unchanged,
            (Some(_), false) => Change::Changed,
        },
        differences: found,
        remarks: remarks(wish, seen.is_some()),
        steps: seen.map(|seen| forecast(&context, &seen, &memory, now)).unwrap_or_default(),
        command: entry.command.as_ref().map(|command| command.argv.clone()),
        guest: entry.delivery.as_ref().and(entry.guest).map(|guest| guest.to_string()),
    }
}

fn remarks(wish: &Wish<'_>, is_seen: bool) -> Vec<String> {
    let new = wish.present.is_none();
    [
        (new, "a valid pair that lies there already is taken over instead of requesting one"),
        (
            new && wish.name_taken,
            "its key_path is another one: it begins anew, and the files at the old one stay",
        ),
        (!is_seen, "it has not been looked at yet"),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .map(|(_, remark)| remark.to_owned())
    .collect()
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

/// An entry that a candidate no longer has.
pub fn removed(entry: &Entry) -> Planned {
    let remark = "it is no longer looked after; its files stay as they are".to_owned();
    let planned = nothing(entry.name.to_string(), Change::Removed, remark);
    Planned { key_path: Some(entry.key_path.to_string()), ..planned }
}

/// An entry that a candidate has wrong.
pub fn invalid(entry: &InvalidEntry) -> Planned {
    let name = entry.name.as_ref().or(entry.common_name.as_ref()).unwrap_or(&entry.path);
    let problems = entry.problems.join("; ");
    nothing(
        name.clone(),
        Change::Invalid,
        format!("nothing is done for it, its files stay as they are: {problems}"),
    )
}
