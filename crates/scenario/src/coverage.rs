//! Rules that decided and reasons that were told.

use std::collections::BTreeSet;

use phoenix_core::explanation::Explanation;
use phoenix_core::reason::Reason;

/// What a run came by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Rules that were the first finding of their chain, as `CHAIN/rule`.
    pub rules: BTreeSet<String>,
    /// Reasons of findings, failures and states.
    pub reasons: BTreeSet<Reason>,
}

impl Coverage {
    /// Takes in what another run came by.
    pub fn add(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.reasons.extend(other.reasons);
    }

    pub(crate) fn note(&mut self, explanation: &Explanation) {
        for chain in &explanation.chains {
            if let Some(rule) = chain.fired() {
                self.rules.insert(format!("{}/{}", chain.name, rule.rule));
            }
        }
    }
}
