//! Why an entry is as it is and what happens next: every rule with its verdict, the decision and what follows it.
//!
//! Nothing is decided here. The chains that [`decide`](crate::lifecycle::decide) walks are walked once more, and this
//! time it is noted what each rule said.
//!
//! | module | duty |
//! |---|---|
//! | [`forecast`] | what is going to happen, when everything goes well |
//! | [`change`] | what another wish of the manifest would change |
//! | [`reproduce`] | the commands that show a problem without this software |
//! | [`catalogue`] | all rules and reasons, for the documentation |

pub mod catalogue;
pub mod change;
pub mod forecast;
pub mod reproduce;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::facts::Observation;
use crate::lifecycle::chains::{Case, DEPLOY, FILES, NEXT};
use crate::lifecycle::{Context, Decision, Memory, Rule, Stage, Work, decide};
use crate::reason::Reason;
use crate::rules::{self, Pair, RENEW};
use crate::time::Timestamp;

/// What a rule said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It has a finding, and its chain ends with it.
    Fires,
    /// It has none.
    Silent,
    /// An earlier rule had a finding: it was not asked.
    NotReached,
}

/// A rule with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Name of the rule.
    pub rule: String,
    /// What it is about.
    pub about: String,
    /// What it said.
    pub verdict: Verdict,
    /// What it looked at, in words; none when it was not reached.
    pub fact: Option<String>,
}

/// A chain with the verdict of each of its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Name of the chain.
    pub name: String,
    /// What it asks.
    pub asks: String,
    /// Its rules, in order.
    pub rules: Vec<Judged>,
}

impl Chain {
    /// The rule that decided.
    pub fn fired(&self) -> Option<&Judged> {
        self.rules.iter().find(|rule| rule.verdict == Verdict::Fires)
    }
}

/// Something that happens, or that nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Step {
    /// Something is done.
    Do {
        /// What.
        work: Work,
        /// Why: the stable code.
        reason: Reason,
        /// Why, in a sentence.
        message: String,
        /// When.
        at: Timestamp,
    },
    /// No issuer can be asked; it is looked at again then.
    AwaitIssuer {
        /// The stable code.
        reason: Reason,
        /// Why not.
        message: String,
        /// When it is looked at next.
        at: Timestamp,
    },
    /// It cannot go on; it is looked at again then.
    Stuck {
        /// The stage that fails.
        stage: Stage,
        /// The stable code.
        reason: Reason,
        /// Why not.
        message: String,
        /// When it is looked at next.
        at: Timestamp,
    },
    /// Nothing happens before that time, if ever.
    Rest {
        /// When it is looked at again.
        until: Option<Timestamp>,
    },
}

impl Step {
    /// What `decision` means at `now`.
    pub fn of(decision: &Decision, now: Timestamp) -> Self {
        match decision.clone() {
            Decision::Act(work, why) => Self::Do { work, reason: why.reason, message: why.message, at: now },
            Decision::Rest(until) => Self::Rest { until },
            Decision::Stuck(stage, trouble, at) => {
                Self::Stuck { stage, reason: trouble.reason, message: trouble.message, at }
            }
            Decision::AwaitIssuer(trouble, at) => {
                Self::AwaitIssuer { reason: trouble.reason, message: trouble.message, at }
            }
        }
    }
}

/// Why an entry is as it is and what happens next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Every chain that was walked.
    pub chains: Vec<Chain>,
    /// The rule that decided: chain and rule.
    pub decided_by: String,
    /// What is decided now.
    pub decision: Step,
    /// What follows when everything goes well, the decision included.
    pub forecast: Vec<Step>,
}

/// The chain about our own copy, which is no file on a live path.
const OWN: &str = "OWN";

/// Explains an entry.
pub fn explain(context: &Context<'_>, seen: &Observation, memory: &Memory, now: Timestamp) -> Explanation {
    let case = Case::new(context, seen, memory, now);
    let mut chains =
        vec![pair_chain("LIVE", "Is the pair on the live paths as it should be?", Some(&case.live))];
    let own = case.own.as_ref().map(|own| &own.pair);
    chains.push(pair_chain(OWN, "Is our own copy as it should be?", own));
    chains.push(chain("FILES", "What do the files need?", FILES, &case));
    let next = chain("NEXT", "What is the next thing to do?", NEXT, &case);
    let delegated = next.fired().is_some_and(|rule| matches!(rule.rule.as_str(), "deploy" | "use-first"));
    let deploy = delegated.then(|| chain("DEPLOY", "What is left to be done with our pair?", DEPLOY, &case));
    let decided_by = [deploy.as_ref(), Some(&next)]
        .into_iter()
        .flatten()
        .find_map(|chain| Some(format!("{}/{}", chain.name, chain.fired()?.rule)))
        .unwrap_or_default();
    chains.push(next);
    chains.extend(deploy);
    Explanation {
        chains,
        decided_by,
        decision: Step::of(&decide(context, seen, memory, now), now),
        forecast: forecast::forecast(context, seen, memory, now),
    }
}

fn chain<O>(name: &str, asks: &str, rules: &[Rule<O>], case: &Case<'_>) -> Chain {
    let judge = |rule: &Rule<O>| (rule.name, rule.about, (rule.test)(case).is_some(), (rule.fact)(case));
    walk(name, asks, rules.iter().map(judge))
}

/// RENEW for one of the two pairs; no rule of it is reached when there is no such pair.
fn pair_chain(name: &str, asks: &str, pair: Option<&Pair<'_>>) -> Chain {
    let rules = RENEW.iter().flat_map(|rules| rules.iter());
    match pair {
        Some(pair) => {
            let judge = |rule: &rules::Rule| {
                let found = (rule.test)(pair);
                let fires = found.is_some();
                let files = matches!(rule.reason, Reason::Missing | Reason::Unreadable | Reason::KeyMismatch);
                let fact = if files && name == OWN { "it is whole".to_owned() } else { (rule.fact)(pair) };
                (rule.reason.code(), rule.about, fires, found.unwrap_or(fact))
            };
            walk(name, asks, rules.map(judge))
        }
        None => Chain {
            name: name.to_owned(),
            asks: asks.to_owned(),
            rules: rules.map(|rule| not_reached(rule.reason.code(), rule.about)).collect(),
        },
    }
}

fn walk(
    name: &str,
    asks: &str,
    rules: impl Iterator<Item = (&'static str, &'static str, bool, String)>,
) -> Chain {
    let mut over = false;
    let rules = rules
        .map(|(rule, about, fires, fact)| {
            if over {
                return not_reached(rule, about);
            }
            over = fires;
            let verdict = if fires { Verdict::Fires } else { Verdict::Silent };
            Judged { rule: rule.to_owned(), about: about.to_owned(), verdict, fact: Some(fact) }
        })
        .collect();
    Chain { name: name.to_owned(), asks: asks.to_owned(), rules }
}

fn not_reached(rule: &str, about: &str) -> Judged {
    Judged { rule: rule.to_owned(), about: about.to_owned(), verdict: Verdict::NotReached, fact: None }
}
