//! Attachment matching: files that look like copies of files of the other side. A name and a size prove nothing: two people attach
//! `screenshot.png`, and if one file were taken for a copy of the other, it would be lost. So the contents decide (`R13`: unknown write
//! outcome).

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Pair;
use crate::cases::{Attachment, Capabilities};
use crate::entities::{ItemKind, Pending, Side, Sides, Source};

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

impl Lookalike<'_> {
    /// Returns true if the candidate may be what that upload without an answer left.
    #[must_use]
    pub fn may_be_left_by(&self, pending: &Pending) -> bool {
        let uploaded = Source::Attachment { id: self.original.id.clone() };
        pending.side == self.side
            && pending.kind == ItemKind::Attachment
            && pending.source == uploaded
            && looks_like(self.candidate, &pending.marker, pending.size)
    }
}

/// Known-different files: lookalikes whose contents were compared and differ. Also those whose contents could not be compared yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownDifferent {
    different: BTreeSet<(Side, String, String)>,
    /// Reasons why lookalikes could not be compared, by the side of the candidate and the ID of the original.
    uncompared: BTreeMap<(Side, String), String>,
}

impl KnownDifferent {
    /// Records that these two files differ.
    pub fn note(&mut self, found: Lookalike<'_>) {
        self.different.insert((found.side, found.candidate.id.clone(), found.original.id.clone()));
    }

    /// Records that these two files cannot be compared for now, and why.
    pub fn note_uncompared(&mut self, found: Lookalike<'_>, reason: String) {
        self.uncompared.insert((found.side, found.original.id.clone()), reason);
    }

    /// Returns the reason why it is not known yet if a file on `side` is a copy of that file of the other side; `None` if it is known.
    #[must_use]
    pub fn uncompared(&self, side: Side, original: &str) -> Option<&str> {
        self.uncompared.get(&(side, original.to_owned())).map(String::as_str)
    }

    /// Returns true if the candidate on `side` is known not to be a copy of that file of the other side.
    #[must_use]
    pub fn differ(&self, side: Side, candidate: &str, original: &str) -> bool {
        self.different.contains(&(side, candidate.to_owned(), original.to_owned()))
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
                || mapping
                    .pending
                    .iter()
                    .any(|pending| pending.kind == ItemKind::Attachment && pending.is_of(side, &source));
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
