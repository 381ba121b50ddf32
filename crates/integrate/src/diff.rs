//! A change as a unified diff.

use similar::TextDiff;

use crate::Change;

/// Lines around each difference.
const CONTEXT: usize = 3;

/// The reasons as comment lines, then the diff, as `patch -p1` takes it.
pub(crate) fn unified(change: &Change) -> String {
    let before = change.before.as_deref().unwrap_or_default();
    let path = change.path.display();
    let old = if change.before.is_some() { format!("a/{path}") } else { "/dev/null".to_owned() };
    let diff = TextDiff::from_lines(before, &change.after);
    let reasons: String = change.reasons.iter().flat_map(|reason| ["# ", reason, "\n"]).collect();
    let body = diff.unified_diff().context_radius(CONTEXT).header(&old, &format!("b/{path}")).to_string();
    reasons + &body
}
