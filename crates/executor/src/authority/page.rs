//! The snapshot in pages that fit a frame.

use phoenix_core::manifest::InvalidEntry;
use phoenix_protocol::executor::{IssuerFacts, ManifestFacts, Snapshot, SnapshotEntry};
use phoenix_protocol::frame::MAX_RESPONSE;

use super::in_force::{InForce, Known};

/// Most entries of a page.
const MAX_ENTRIES: usize = 256;
/// Room for the entries of a page; the rest of the frame is for issuers and diagnostics.
const MAX_BYTES: usize = MAX_RESPONSE / 2;

/// The page that begins with entry number `offset`.
pub(super) fn page(
    in_force: &InForce,
    manifest: ManifestFacts,
    offset: usize,
    issuers: Vec<IssuerFacts>,
) -> Snapshot {
    let mut room = MAX_BYTES;
    let mut entries = Vec::new();
    for known in in_force.entries().iter().skip(offset).take(MAX_ENTRIES) {
        let shown = shown(known);
        let size = serde_json::to_vec(&shown).map_or(MAX_BYTES, |bytes| bytes.len());
        if size > room && !entries.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        entries.push(shown);
    }
    let invalid = if offset == 0 { fitting(in_force.invalid(), &mut room) } else { Vec::new() };
    Snapshot { manifest, issuers, total: in_force.len(), entries, invalid, programs: Vec::new() }
}

/// As many invalid entries as there is room for. What is wrong with the rest stands in the diagnostics too.
fn fitting(invalid: &[InvalidEntry], room: &mut usize) -> Vec<InvalidEntry> {
    let fits = |entry: &&InvalidEntry| {
        let size = serde_json::to_vec(entry).map_or(MAX_BYTES, |bytes| bytes.len());
        *room = room.saturating_sub(size);
        *room > 0
    };
    invalid.iter().take_while(fits).cloned().collect()
}

fn shown(known: &Known) -> SnapshotEntry {
    SnapshotEntry {
        digest: known.digest.clone(),
        entry: known.entry.clone(),
        warnings: known.warnings.clone(),
    }
}
