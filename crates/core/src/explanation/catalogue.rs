//! All rules and reasons as a document: `docs/rules.md` is made from the code, so that it cannot be wrong.

use std::fmt::Write;

use crate::lifecycle::Rule;
use crate::lifecycle::chains::{DEPLOY, FILES, NEXT};
use crate::reason::{Reason, RetryClass};
use crate::rules::{self, FITTING, TIMELY, USABLE};

/// The document, in Markdown. Results of writing to a string are dropped: that cannot fail.
pub fn document() -> String {
    let mut out = String::from(HEAD);
    for (name, asks, chain) in [
        ("USABLE", "Can the pair serve at all?", USABLE),
        ("FITTING", "Is it what the manifest asks for?", FITTING),
        ("TIMELY", "Is it time for another?", TIMELY),
    ] {
        pair_chain(&mut out, name, asks, chain);
    }
    chain(&mut out, "FILES", "What do the files need? Without a finding: nothing.", FILES);
    chain(&mut out, "NEXT", "What is the next thing to do?", NEXT);
    chain(&mut out, "DEPLOY", "What is left to be done with our pair?", DEPLOY);
    reasons(&mut out);
    out
}

const HEAD: &str = "\
# Rules and reasons

Made from the code by `cargo xtask generate`; a test fails when it is out of date. How to read it: a chain is asked from
its first rule to its last, and the first rule that fires decides. `phoenix-certctl explain NAME` shows the chains of one
entry with the verdict of each rule.

The chains `USABLE`, `FITTING` and `TIMELY` judge a pair of files; together they are `RENEW`. `explain` asks them of the
pair on the live paths (`LIVE`) and of our own copy (`OWN`). What they find is what `FILES` looks at, and what `FILES`
finds is what `NEXT` looks at.
";

fn heading(out: &mut String, name: &str, asks: &str, columns: &str) {
    let _ = writeln!(out, "\n## {name}\n\n{asks}\n\n{columns}");
}

fn pair_chain(out: &mut String, name: &str, asks: &str, chain: &[rules::Rule]) {
    heading(out, name, asks, "| rule | fires unless |\n|---|---|");
    for rule in chain {
        let _ = writeln!(out, "| `{}` | {} |", rule.reason, cell(rule.about));
    }
}

fn chain<O>(out: &mut String, name: &str, asks: &str, chain: &[Rule<O>]) {
    heading(out, name, asks, "| rule | fires when: what it decides |\n|---|---|");
    for rule in chain {
        let _ = writeln!(out, "| `{}` | {} |", rule.name, cell(rule.about));
    }
}

fn reasons(out: &mut String) {
    let _ = writeln!(out, "\n## Classes of failures\n\n| class | how it is retried |\n|---|---|");
    for class in RetryClass::ALL {
        let _ = writeln!(out, "| `{}` | {} |", class.as_str(), class.meaning());
    }
    heading(
        out,
        "Reasons",
        "The codes of `reason` in `status --json`, in alphabetical order. The class is that of a failure for this reason.",
        "| reason | class | means | what to do |\n|---|---|---|---|",
    );
    let mut all = Reason::ALL.to_vec();
    all.sort_by_key(|reason| reason.code());
    for reason in all {
        let _ = writeln!(
            out,
            "| `{reason}` | {} | {} | {} |",
            reason.class().as_str(),
            cell(reason.meaning()),
            cell(reason.advice())
        );
    }
}

/// Text as a cell of a table: without what would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_and_every_reason_is_in_the_document() {
        let document = document();
        let rules = FILES.iter().map(|rule| rule.name).chain(NEXT.iter().chain(DEPLOY).map(|rule| rule.name));
        for name in rules.chain(Reason::ALL.iter().map(|reason| reason.code())) {
            assert!(document.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
