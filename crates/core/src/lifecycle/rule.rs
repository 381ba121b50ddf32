//! A named rule of the lifecycle, and how a chain of them is walked.

use crate::lifecycle::chains::Case;

/// A named rule. The first one of a chain that has a finding decides; the others after it are not asked.
pub struct Rule<O: 'static> {
    /// Stable name, unique within its chain.
    pub name: &'static str,
    /// When it decides, and what.
    pub about: &'static str,
    /// What it looks at, as it is now.
    pub fact: fn(&Case<'_>) -> String,
    /// What it decides, if anything.
    pub test: fn(&Case<'_>) -> Option<O>,
}

/// What the first rule of `chain` that has a finding decides.
pub(super) fn first<O>(chain: &[Rule<O>], case: &Case<'_>) -> Option<O> {
    chain.iter().find_map(|rule| (rule.test)(case))
}
