//! Every rule with its verdict.

use anstyle::{AnsiColor, Style};
use phoenix_core::explanation::{Chain, Explanation, Judged, Verdict};

use crate::plain::plain;
use crate::table::{Cell, Table};

/// The chains that were walked, below each other.
pub(super) fn render(explanation: &Explanation) -> String {
    let decided = format!("\nDecided by {}.\n", plain(&explanation.decided_by));
    explanation.chains.iter().map(render_chain).chain([decided]).collect()
}

fn render_chain(chain: &Chain) -> String {
    let mut table = Table::new(&["  VERDICT", "RULE", "LOOKED AT"]);
    for judged in &chain.rules {
        table.push(row(judged));
    }
    format!("\n{}: {}\n{}", plain(&chain.name), plain(&chain.asks), table.render())
}

fn row(judged: &Judged) -> Vec<Cell> {
    let (verdict, style) = match judged.verdict {
        Verdict::Fires => ("  fires", Style::new().fg_color(Some(AnsiColor::Yellow.into()))),
        Verdict::Silent => ("  silent", Style::new()),
        Verdict::NotReached => ("  not reached", Style::new().dimmed()),
    };
    let looked = match &judged.fact {
        Some(fact) => plain(fact).replace('\n', " "),
        None => format!("({})", plain(&judged.about)),
    };
    vec![Cell::new(verdict).styled(style), Cell::new(plain(&judged.rule)), Cell::new(looked).styled(style)]
}
