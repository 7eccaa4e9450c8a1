//! Attachment matching: files that look like copies of files of the other side. A name and a size prove nothing: two people attach
//! `screenshot.png`, and if one file were taken for a copy of the other, it would be lost. So the contents decide (`R13`: unknown write
//! outcome).

use std::collections::BTreeSet;

use super::plan::Pair;
use crate::cases::{Attachment, Capabilities};
use crate::entities::{ItemKind, Side, Sides, Source};

/// Two files, one of which may be a copy of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookalike<'a> {
    /// Side of the candidate.
    pub side: Side,
    /// File that may be a copy.
    pub candidate: &'a Attachment,
    /// File on the other side that may be its original.
    pub original: &'a Attachment,
}

/// Known-different files: lookalikes whose contents were compared and differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownDifferent(BTreeSet<(Side, String, String)>);

impl KnownDifferent {
    /// Records that these two files differ.
    pub fn note(&mut self, found: Lookalike<'_>) {
        self.0.insert((found.side, found.candidate.id.clone(), found.original.id.clone()));
    }

    /// Returns true if the candidate on `side` is known not to be a copy of that file of the other side.
    #[must_use]
    pub fn differ(&self, side: Side, candidate: &str, original: &str) -> bool {
        self.0.contains(&(side, candidate.to_owned(), original.to_owned()))
    }
}

/// Returns true if a file may be the result of an upload under that name and of that size, as far as a listing shows.
#[must_use]
pub(super) fn looks_like(candidate: &Attachment, stored_name: &str, size: Option<u64>) -> bool {
    candidate.by_connector != Some(false)
        && candidate.filename == stored_name
        && (candidate.size == size || candidate.size.is_none() || size.is_none())
}

/// Returns the files that must be compared before [`plan`](super::plan()) can tell a copy from a person's file: the possible results of
/// uploads whose answers were lost and, while relinking, all files that look alike.
#[must_use]
pub fn lookalikes<'a>(pair: Pair<'a>, facts: Sides<&Capabilities>) -> Vec<Lookalike<'a>> {
    let mapping = pair.mapping;
    let mut found = Vec::new();
    for side in Side::BOTH {
        let unclaimed: Vec<&Attachment> = pair
            .snapshot(side)
            .attachments
            .iter()
            .filter(|candidate| !mapping.ledger.wrote(side, ItemKind::Attachment, &candidate.id))
            .collect();
        for original in &pair.snapshot(side.other()).attachments {
            let source = Source::Attachment { id: original.id.clone() };
            let sought = mapping.relinking
                || mapping.pending.iter().any(|pending| {
                    pending.side == side && pending.kind == ItemKind::Attachment && pending.source == source
                });
            if !sought || mapping.ledger.has_copy(side, &source) {
                continue;
            }
            let stored_name = (facts[side].stored_filename)(&original.filename);
            let alike =
                unclaimed.iter().filter(|candidate| looks_like(candidate, &stored_name, original.size));
            found.extend(alike.map(|candidate| Lookalike { side, candidate, original }));
        }
    }
    found
}
