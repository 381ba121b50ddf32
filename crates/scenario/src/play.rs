//! One run of a script.

use phoenix_core::time::Timestamp;

use crate::coverage::Coverage;
use crate::golden::{Golden, Line};
use crate::world::{Teller, World};

/// When a scenario begins unless it says otherwise: a Monday.
const BEGIN: &str = "2026-03-02T00:00:00Z";

/// What happens to the daemon between the lines of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Nothing.
    None,
    /// After each line the daemon is another process, with what its journal gave back.
    Blink,
}

/// How a run went.
pub struct Played {
    /// The file as this run would have it.
    pub text: String,
    /// The world as the run left it.
    pub world: World,
    /// What each line led to.
    pub outcomes: Vec<Vec<String>>,
}

impl Played {
    /// The file without the lines that only say how long something rests: each look may say so anew.
    pub fn without_rests(&self, golden: &Golden) -> String {
        let kept = |outcome: &Vec<String>| outcome.iter().filter(|line| !is_rest(line)).cloned().collect();
        golden.with(&self.outcomes.iter().map(kept).collect::<Vec<_>>())
    }

    /// Rules and reasons that the run came by.
    pub fn coverage(&self) -> Coverage {
        self.world.coverage.clone()
    }
}

/// Plays a scenario. With a `teller`, documents are told instead of what happens.
///
/// # Errors
/// A line that cannot be understood.
pub fn play(
    golden: &Golden,
    teller: Option<&dyn Teller>,
    interruption: Interruption,
) -> Result<Played, String> {
    let begin: Timestamp = BEGIN.parse().map_err(|error| format!("{error}"))?;
    let mut world = World::new(begin);
    let mut outcomes = Vec::new();
    for line in golden.lines() {
        let Line::Word(line) = line else { continue };
        let documents =
            world.obey(line, teller).map_err(|why| format!("{}: `{line}`: {why}", golden.name()))?;
        world.settle();
        let mut outcome = world.told();
        let blinks = interruption == Interruption::Blink && world.is_settled();
        if blinks && !changes_unseen(line) {
            world.blink();
            outcome.extend(world.told());
        }
        outcomes.push(if teller.is_some() { documents } else { outcome });
    }
    Ok(Played { text: golden.with(&outcomes), world, outcomes })
}

/// The line changes something of which the daemon hears nothing until it looks: a look in between would be another
/// story.
fn changes_unseen(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or(line);
    matches!(
        word,
        "ca" | "storage" | "guest" | "command" | "delivery" | "consumer" | "executor" | "takes" | "stale"
    )
}

fn is_rest(line: &str) -> bool {
    line.contains(" rest until ") || line.contains(" rest without ")
}
