//! `integrate`: the edits that a phoenix_hypervisor tree needs, shown, written or taken back.

use std::path::PathBuf;

use phoenix_integrate::{Addresses, Applied, Plan, Reverted, Tree};
use serde::Serialize;

use crate::cli::IntegrateArgs;
use crate::exit::Exit;
use crate::output::{Output, note};
use crate::plain::plain;
use crate::{Failure, Session};

/// `integrate --json`
#[derive(Serialize)]
struct Document {
    schema: u32,
    changes: Vec<ChangeDocument>,
    remarks: Vec<String>,
    refusals: Vec<String>,
    written: Vec<String>,
    backups: Vec<String>,
}

#[derive(Serialize)]
struct ChangeDocument {
    path: String,
    reasons: Vec<String>,
    diff: String,
}

/// `integrate --revert --json`
#[derive(Serialize)]
struct RevertedDocument {
    schema: u32,
    restored: Vec<String>,
    removed: Vec<String>,
    left: Vec<String>,
}

/// Carries out `integrate`.
///
/// # Errors
/// The tree cannot be read or written.
pub fn run(session: &Session, args: &IntegrateArgs, out: &mut Output) -> Result<Exit, Failure> {
    let tree = Tree::open(&args.tree).map_err(|error| Failure::Unreadable(error.to_string()))?;
    if args.revert {
        return take_back(session, &tree, out);
    }
    let addresses = Addresses { hypervisor: args.hypervisor.to_string(), docker: args.docker.to_string() };
    let plan = phoenix_integrate::plan(&tree, &addresses);
    if !session.json {
        show(&plan, out)?;
    }
    let applied = if args.apply && plan.refusals.is_empty() {
        phoenix_integrate::apply(&tree, &plan).map_err(|error| Failure::Unreadable(error.to_string()))?
    } else {
        Applied::default()
    };
    if session.json {
        out.document(&document(&plan, &applied))?;
    } else {
        conclude(args.apply, &plan, &applied, out)?;
    }
    Ok(if plan.refusals.is_empty() { Exit::Done } else { Exit::NotDone })
}

fn take_back(session: &Session, tree: &Tree, out: &mut Output) -> Result<Exit, Failure> {
    let Reverted { restored, removed, left } =
        phoenix_integrate::revert(tree).map_err(|error| Failure::Unreadable(error.to_string()))?;
    let ended = if left.is_empty() { Exit::Done } else { Exit::NotDone };
    if session.json {
        let left = left.iter().map(ToString::to_string).collect();
        let (restored, removed) = (names(&restored), names(&removed));
        let schema = phoenix_protocol::control::SCHEMA;
        out.document(&RevertedDocument { schema, restored, removed, left })?;
        return Ok(ended);
    }
    if restored.is_empty() && removed.is_empty() && left.is_empty() {
        out.print("nothing to take back: nothing that --apply wrote is in this tree\n")?;
    }
    for (done, paths) in [("restored", &restored), ("removed", &removed)] {
        for path in paths {
            out.print(&format!("{done}: {}\n", plain(&path.display().to_string())))?;
        }
    }
    for remark in &left {
        note(&format!("left: {}", plain(&remark.to_string())));
    }
    Ok(ended)
}

fn show(plan: &Plan, out: &mut Output) -> Result<(), Failure> {
    for change in &plan.changes {
        out.print(&format!("{}\n", plain_lines(&change.diff())))?;
    }
    for remark in &plan.remarks {
        note(&format!("note: {}", plain(&remark.to_string())));
    }
    for refusal in &plan.refusals {
        note(&format!("refused: {}", plain(&refusal.to_string())));
    }
    Ok(())
}

fn conclude(apply: bool, plan: &Plan, applied: &Applied, out: &mut Output) -> Result<(), Failure> {
    if !plan.refusals.is_empty() {
        note("nothing is written while something is not understood");
        return Ok(());
    }
    let count = plan.changes.len();
    out.print(&match (apply, count) {
        (_, 0) => "nothing to do: the tree has what it needs\n".to_owned(),
        (false, _) => format!("{count} file(s) would change; add --apply to write them\n"),
        (true, _) => {
            let backups: Vec<_> =
                applied.backups.iter().map(|path| format!("  {}\n", path.display())).collect();
            format!(
                "{} file(s) written; what was there is kept as\n{}",
                applied.written.len(),
                backups.concat()
            )
        }
    })
}

/// Text from files, line by line without control characters.
fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(line).into_owned() + "\n").collect()
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

fn document(plan: &Plan, applied: &Applied) -> Document {
    let change = |change: &phoenix_integrate::Change| ChangeDocument {
        path: change.path.display().to_string(),
        reasons: change.reasons.clone(),
        diff: change.diff(),
    };
    Document {
        schema: phoenix_protocol::control::SCHEMA,
        changes: plan.changes.iter().map(change).collect(),
        remarks: plan.remarks.iter().map(ToString::to_string).collect(),
        refusals: plan.refusals.iter().map(ToString::to_string).collect(),
        written: names(&applied.written),
        backups: names(&applied.backups),
    }
}
