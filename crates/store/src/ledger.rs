//! What was done for an entry, and the owner and mode that are not drift.

use phoenix_core::facts::{Baseline, Ledger};
use phoenix_core::reason::Trouble;
use serde::{Deserialize, Serialize};

use crate::generations::Generation;
use crate::state::StateDir;

const LEDGER: &str = "ledger.json";

/// The ledger with what it was written against.
///
/// The baseline of a fresh generation is part of the generation, so that the one rename that ends a commit
/// sets it too; the record here counts only for the generation that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    /// Newest generation when the baseline was recorded.
    pub(crate) generation: Option<u64>,
    /// What the manifest asked for when the live files were last written.
    pub(crate) wanted: Option<Baseline>,
}

/// The ledger as it stands for the newest generation.
pub(crate) fn read(entry: &StateDir, newest: Option<&Generation>) -> Result<Book, Trouble> {
    let mut book: Book = entry.read_json(LEDGER)?.unwrap_or_default();
    let number = newest.map(Generation::number);
    if book.generation != number {
        book.generation = number;
        book.ledger.baseline = newest.map(|generation| generation.meta().baseline.clone());
        book.wanted = newest.map(|generation| generation.meta().wanted.clone());
        if newest.is_some_and(|generation| generation.instead_of().is_some()) {
            // What was done before for the pair that was put back may have been undone for the one after it.
            (book.ledger.delivered, book.ledger.activated) = (None, None);
        }
    }
    book.ledger.wanted.clone_from(&book.wanted);
    book.ledger.rolled_back = newest.and_then(|generation| generation.instead_of().map(str::to_owned));
    Ok(book)
}

/// Replaces the ledger durably.
pub(crate) fn write(entry: &StateDir, book: &Book) -> Result<(), Trouble> {
    entry.write_json(LEDGER, book)
}
