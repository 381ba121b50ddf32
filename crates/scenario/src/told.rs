//! What a line of the script led to, in words.

use std::collections::BTreeMap;

use phoenix_core::account::{self, StageState, Subject};
use phoenix_core::explanation::{self, Step};
use phoenix_core::facts::{LeafFacts, Observation};
use phoenix_core::lifecycle::{Action, Context, Event, Stage, State, Work, renew_at};
use phoenix_core::reason::Reason;
use phoenix_core::schedule::Jitter;
use phoenix_core::time::Timestamp;

use crate::coverage::Coverage;
use crate::world::{Tracked, World};

/// Groups of equal lines that are shown before the others are only counted.
const SHOWN: usize = 3;

/// What happened since the script's last line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    groups: Vec<Vec<String>>,
    open: Vec<String>,
    /// Accounts of entries as they were shown last.
    shown: BTreeMap<String, Vec<String>>,
    /// There is more than one entry, so that lines name theirs.
    pub(crate) named: bool,
}

/// A time as the traces show it: the year is always the same.
pub(crate) fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let (date, time) = (text.get(5..10), text.get(11..19));
    date.zip(time).map_or_else(|| text.clone(), |(date, time)| format!("{date} {time}"))
}

impl Trace {
    fn line(&mut self, at: Timestamp, name: &str, text: &str) {
        let name = if self.named { format!("{name}: ") } else { String::new() };
        self.open.push(format!("{} {name}{}", stamp(at), text.replace('\n', " ")));
    }

    /// Ends what belongs to one wake-up.
    pub(crate) fn group(&mut self) {
        if !self.open.is_empty() {
            self.groups.push(std::mem::take(&mut self.open));
        }
    }

    pub(crate) fn event(&mut self, at: Timestamp, name: &str, event: &Event) {
        match event {
            Event::Invited => self.line(at, name, "invited to go along"),
            Event::Withdrawn => self.line(at, name, "the command that was held is put off"),
            _ => {}
        }
        if let Some(trouble) = event.trouble() {
            self.line(at, name, &format!("failed: {} ({})", trouble.message, trouble.reason));
        }
    }

    pub(crate) fn issued(&mut self, at: Timestamp, name: &str, issuer: &str, leaf: &LeafFacts) {
        let (serial, end) = (&leaf.serial, stamp(leaf.not_after));
        self.line(at, name, &format!("{issuer} gives certificate {serial}, valid until {end}"));
    }

    /// A command begins: for several entries at once, that is told.
    pub(crate) fn begun(&mut self, at: Timestamp, names: &[String], what: &str) {
        if names.len() > 1 {
            self.open.push(format!("{} {}: {what}, once for all of them", stamp(at), names.join(", ")));
        }
    }

    /// Notes what was decided, and by which rules.
    pub(crate) fn decision(
        &mut self,
        at: Timestamp,
        name: &str,
        context: &Context<'_>,
        state: &State,
        actions: &[Action],
        coverage: &mut Coverage,
    ) {
        coverage.reasons.extend(state.memory.failures.values().map(|failure| failure.trouble.reason));
        coverage.reasons.extend(state.finding.as_ref().map(|finding| finding.reason));
        let Some(seen) = &state.seen else { return };
        let told = actions.iter().find(|action| !matches!(action, Action::Remember | Action::Observe));
        let Some(action) = told else { return };
        if let Action::Install(_) = action {
            return self.line(at, name, "install");
        }
        let explained = explained(context, state, seen, at);
        coverage.note(&explained);
        let rules = rules_of(&explained);
        if let Action::WakeAt(wake) = action {
            let until = wake.map_or("without a timer".to_owned(), |at| format!("until {}", stamp(at)));
            return self.line(at, name, &format!("rest {until} [{rules}]"));
        }
        let Some(finding) = &state.finding else { return };
        let survey = finding.message.starts_with("a sweep looks");
        let phoenix_core::lifecycle::Phase::Working { work, .. } = state.phase else { return };
        if !survey {
            let decided = matches!(explained.decision, Step::Do { work: decided, .. } if decided == work);
            assert!(decided, "{name} does {work:?}, and explain says {:?}", explained.decision);
        }
        let rules = if survey { "the sweep".to_owned() } else { rules };
        self.line(at, name, &format!("{}: {} ({}) [{rules}]", word(work), finding.message, finding.reason));
    }

    /// What happened since it was taken last.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.group();
        let mut groups: Vec<(Vec<String>, usize)> = Vec::new();
        let mut lines = Vec::new();
        for group in std::mem::take(&mut self.groups) {
            match groups.last_mut() {
                Some((last, count)) if alike(last, &group) => (*last, *count) = (group.clone(), *count + 1),
                _ => groups.push((group.clone(), 1)),
            }
            let count = groups.last().map_or(0, |(_, count)| *count);
            if count <= SHOWN {
                lines.extend(group);
            } else {
                if count == SHOWN + 1 {
                    lines.push(String::new());
                }
                if let Some(line) = lines.last_mut() {
                    let at = group.first().and_then(|line| line.get(..14)).unwrap_or_default();
                    *line = format!("… and {} times more like that, the last time at {at}", count - SHOWN);
                }
            }
        }
        lines
    }

    /// The accounts of entries that are not as they were shown last.
    pub(crate) fn news(&mut self, accounts: Vec<(String, Vec<String>)>) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, account) in accounts {
            if self.shown.get(&name) != Some(&account) {
                lines.extend(account.iter().cloned());
                self.shown.insert(name, account);
            }
        }
        lines
    }
}

/// What was decided just now. What holds an entry up is remembered as a failure, for which the next look then waits:
/// without that failure, the rule that found it is seen.
fn explained(
    context: &Context<'_>,
    state: &State,
    seen: &Observation,
    at: Timestamp,
) -> explanation::Explanation {
    let explained = explanation::explain(context, seen, &state.memory, at);
    let mut before = state.memory.clone();
    before.failures.retain(|_, failure| failure.at != at);
    let found = explanation::explain(context, seen, &before, at);
    match &found.decision {
        Step::Stuck { stage, reason, .. }
            if state.memory.failures.get(stage).is_some_and(|failure| failure.trouble.reason == *reason) =>
        {
            found
        }
        _ => explained,
    }
}

/// The rules that decided: what the files need, then what is done about it.
fn rules_of(explained: &explanation::Explanation) -> String {
    let fired = |name: &str| {
        let chain = explained.chains.iter().find(|chain| chain.name == name)?;
        Some(format!("{name}/{}", chain.fired()?.rule))
    };
    let files = fired("FILES");
    files.into_iter().chain([explained.decided_by.clone()]).collect::<Vec<_>>().join(" ")
}

/// The same but for times and numbers.
fn alike(one: &[String], other: &[String]) -> bool {
    let mut plain = one.iter().map(|line| undated(line)).zip(other.iter().map(|line| undated(line)));
    one.len() == other.len() && plain.all(|(one, other)| one == other)
}

fn undated(line: &str) -> String {
    line.chars().filter(|character| !character.is_ascii_digit()).collect()
}

fn word(work: Work) -> &'static str {
    match work {
        Work::Observe => "observe",
        Work::Issue => "issue",
        Work::Install => "install",
        Work::Adopt => "adopt",
        Work::Restore => "restore",
        Work::Deliver => "deliver",
        Work::Activate => "activate",
        Work::Verify => "verify",
        Work::Recheck => "recheck",
        Work::Rollback => "roll back",
        Work::Reinstate => "reinstate",
    }
}

fn stage_word(state: StageState) -> Option<&'static str> {
    Some(match state {
        StageState::Done => "done",
        StageState::Pending => "pending",
        StageState::Failed => "failed",
        StageState::Unknown => "unknown",
        StageState::None => return None,
    })
}

impl World {
    /// What happened since this was asked last, and how the entries stand where that has changed.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.trace.named = self.entries.len() > 1;
        let accounts = self.entries.iter().map(|(name, tracked)| (name.clone(), self.account(name, tracked)));
        let accounts: Vec<_> = accounts.collect();
        let reasons: Vec<Reason> =
            self.entries.values().filter_map(|tracked| self.condition(tracked).1).collect();
        self.coverage.reasons.extend(reasons);
        let mut lines = self.trace.take();
        if self.running {
            lines.extend(self.trace.news(accounts));
        }
        lines
    }

    fn condition(&self, tracked: &Tracked) -> (account::CertificateState, Option<Reason>) {
        let availability = self.availability();
        let Tracked { entry, state, .. } = tracked;
        let subject = Subject { entry, state, jitter: Jitter::default(), availability: &availability };
        account::condition(&subject, self.now)
    }

    fn account(&self, name: &str, tracked: &Tracked) -> Vec<String> {
        let (state, reason) = self.condition(tracked);
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let name = if self.trace.named { format!("{name}: ") } else { String::new() };
        let state = format!("{state:?}").to_lowercase();
        let mut lines = vec![format!("= {name}{state}{reason}: {}", deployment(tracked))];
        let availability = self.availability();
        for (stage, failure) in account::by_weight(&tracked.state, &availability) {
            let count = match failure.attempts {
                0 => String::new(),
                count => format!(" {count}x"),
            };
            let (next, message) = (stamp(failure.next_attempt_at), &failure.trouble.message);
            lines.push(format!("  {}{count}, again {next}: {message}", stage.as_str()));
        }
        let memory = &tracked.state.memory;
        let set_aside = tracked.state.seen.iter().flat_map(|seen| &seen.set_aside);
        lines.extend(set_aside.map(|path| format!("  note: a damaged record was set aside as {path}")));
        let notices = memory.notices.iter().map(|notice| &notice.text);
        lines.extend(
            notices.chain(&memory.warnings).chain(&memory.remarks).map(|text| format!("  note: {text}")),
        );
        lines
    }
}

/// How far an entry has come. A stage that failed has a next attempt.
fn deployment(tracked: &Tracked) -> String {
    let deployment = account::deployment(&tracked.entry, &tracked.state);
    let stages = [
        ("written", deployment.written, &[Stage::Issue, Stage::Write][..]),
        ("delivered", deployment.delivered, &[Stage::Deliver, Stage::Activate]),
        ("activated", deployment.activated, &[Stage::Activate]),
        ("verified", deployment.verified, &[Stage::Verify]),
    ];
    for (name, state, blamed) in stages {
        let next = blamed.iter().any(|stage| tracked.state.memory.failures.contains_key(stage));
        assert!(state != StageState::Failed || next, "{name} failed, and no next attempt is told");
    }
    let told = stages.iter().filter_map(|(name, state, _)| Some(format!("{name} {}", stage_word(*state)?)));
    let told = told.collect::<Vec<_>>().join(", ");
    let Some(seen) = &tracked.state.seen else { return told };
    let Some(leaf) = &seen.live.leaf else { return told };
    let renewal = renew_at(&tracked.entry, Jitter::default(), seen).map(stamp).unwrap_or_default();
    format!("{told}; certificate {} until {}, renewal {renewal}", leaf.serial, stamp(leaf.not_after))
}
