//! Files that look like copies of files of the other side. A name and a size prove nothing: two people attach
//! `screenshot.png`, and taking the one for a copy of the other would lose it. Their contents decide (`R13`).

use std::collections::BTreeSet;

use super::plan::Pair;
use crate::cases::{Attachment, Capabilities};
use crate::entities::{ItemKind, Side, Sides, Source};

/// Two files that may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookalike<'a> {
    /// Where the candidate hangs.
    pub side: Side,
    /// What may be a copy.
    pub candidate: &'a Attachment,
    /// Of what, on the other side.
    pub original: &'a Attachment,
}

/// The lookalikes that are not the same file after all, as far as anybody looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strangers(BTreeSet<(Side, String, String)>);

impl Strangers {
    /// Notes that these two differ.
    pub fn note(&mut self, found: Lookalike<'_>) {
        self.0.insert((found.side, found.candidate.id.clone(), found.original.id.clone()));
    }

    /// Whether the candidate on `side` is known not to be a copy of that file of the other side.
    #[must_use]
    pub fn differ(&self, side: Side, candidate: &str, original: &str) -> bool {
        self.0.contains(&(side, candidate.to_owned(), original.to_owned()))
    }
}

/// Whether a file is what an upload under that name and of that size left, by all that a listing tells.
#[must_use]
pub(super) fn looks_like(candidate: &Attachment, stored_name: &str, size: Option<u64>) -> bool {
    candidate.by_connector != Some(false)
        && candidate.filename == stored_name
        && (candidate.size == size || candidate.size.is_none() || size.is_none())
}

/// What has to be compared before [`plan`](super::plan()) can tell a copy from a person's file: the uploads whose answers were
/// lost, and, where a pair was found rather than made, every file.
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
            let sought = mapping.recovering
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
