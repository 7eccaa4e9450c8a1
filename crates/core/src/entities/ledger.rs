//! Ledger of the items that the connector wrote, by ID (`R14`: copies are known by ID), and write-ahead records of the items that it is
//! about to write (`R13`: unknown write outcome).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Side, Sides};

/// A comment or an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ItemKind {
    Comment,
    Attachment,
}

/// Kind of comment with the connector's own words, as opposed to copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// `This case is now syncing with Company Case: …`
    NowSyncing,
    /// `This case has not synced properly in …`
    Outage,
    /// `Syncing has resumed.`
    Resumed,
    /// A case was reopened, and the other case stays closed: CSAPI cannot reopen cases, and some CRMs cannot either (`R19`: status).
    CannotReopen,
    /// The counterpart no longer exists (`R20`: leaving).
    CounterpartGone,
    /// The counterpart is back after all (`R28`: missing is not gone).
    CounterpartBack,
    /// The company case was closed in a way that leaves the Google case open (`R32`: closed is not solved).
    LeftOpen,
    /// The company case was merged into another (`R32`: closed is not solved).
    Merged,
    /// A change was refused for good and is given up (`R33`: final refusals).
    GivenUp,
    /// The counterpart takes no changes any more (`R33`: final refusals).
    ReadOnly,
    /// The case names a counterpart that it cannot have (`R31`: an ID is valid only in its own system; `R38`: a claim is not a proof).
    Conflict,
}

/// Source of an item that the connector writes: the original that the item copies, or its own notice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// One part of a comment of the other side; parts count from 1.
    Comment {
        /// The comment's ID on its own side.
        id: String,
        /// Number of the part.
        part: u32,
    },
    /// An attachment of the other side. It is written as an attachment, or as a comment that explains why it cannot be copied.
    Attachment {
        /// The attachment's ID on its own side; empty if the copy was recognised by its author after the original was deleted.
        id: String,
    },
    /// A further part of a description that was too long for the counterpart's own; parts count from 1.
    Description {
        /// Number of the part; 2 or more.
        part: u32,
    },
    /// A notice of the connector itself.
    Notice(Notice),
}

/// Item that the connector wrote on a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Side that the item was written to.
    pub side: Side,
    /// Kind of the item on that side.
    pub kind: ItemKind,
    /// ID of the item on that side.
    pub id: String,
    /// Original that the item copies, or the notice that it is.
    pub source: Source,
    /// Creation time of the source, by the clock of its side; `None` if the system does not report it.
    pub source_at: Option<DateTime<Utc>>,
    /// Creation time of the item, by the clock of the side that it was written to.
    pub written_at: Option<DateTime<Utc>>,
    /// Number of parts that the whole comment was split into; only for the copy of a comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

/// Write-ahead record: a write that was begun and whose outcome is not known yet (`R13`: unknown write outcome).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Side that the item is written to.
    pub side: Side,
    /// Kind of the item: a comment or an attachment.
    pub kind: ItemKind,
    /// Original that the item copies, or the notice that it is.
    pub source: Source,
    /// Text by which the item is recognised: the first line of a comment, the stored file name of an attachment.
    pub marker: String,
    /// Hash of a comment's whole text. It distinguishes the connector's comment from a person's comment under a quoted marker, if the
    /// system does not name the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Size of an attachment, in bytes.
    pub size: Option<u64>,
    /// Creation time of the source, by the clock of its side.
    pub source_at: Option<DateTime<Utc>>,
    /// Latest time at which the write may have been sent, by our clock.
    pub attempted_at: DateTime<Utc>,
    /// As [`Entry::parts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

impl Pending {
    /// Returns true if `detect-outages` began the write, for which it needs no lease.
    #[must_use]
    pub const fn is_about_an_outage(&self) -> bool {
        matches!(self.source, Source::Notice(Notice::Outage | Notice::Resumed))
    }
}

/// All items that the connector wrote on a pair and that a listing can still reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(Vec<Entry>);

impl Ledger {
    /// Returns the entries, oldest record first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Adds an entry. Idempotent: an item that is already recorded changes nothing.
    pub fn record(&mut self, entry: Entry) {
        if !self.wrote(entry.side, entry.kind, &entry.id) {
            self.0.push(entry);
        }
    }

    /// Returns true if the connector wrote that item.
    #[must_use]
    pub fn wrote(&self, side: Side, kind: ItemKind, id: &str) -> bool {
        self.0.iter().any(|entry| entry.side == side && entry.kind == kind && entry.id == id)
    }

    /// Returns true if `source` has been written on `side`.
    #[must_use]
    pub fn has_copy(&self, side: Side, source: &Source) -> bool {
        self.0.iter().any(|entry| entry.side == side && entry.source == *source)
    }

    /// Returns true if all parts of that comment have been written on `side`. The number of parts is the recorded one: since then, the
    /// author may have been renamed or the comment edited, and it would be split in another way.
    #[must_use]
    pub fn has_whole_comment(&self, side: Side, id: &str) -> bool {
        let of_it = |entry: &&Entry| {
            entry.side == side
                && matches!(&entry.source, Source::Comment { id: source, .. } if source.as_str() == id)
        };
        let Some(parts) = self.0.iter().filter(of_it).find_map(|entry| entry.parts) else { return false };
        let has = |wanted| {
            let is_it =
                |entry: &Entry| matches!(&entry.source, Source::Comment { part, .. } if *part == wanted);
            self.0.iter().filter(of_it).any(is_it)
        };
        (1..=parts).all(has)
    }

    /// Returns true if parts of that comment have been written on `side` by version 0.1, which recorded no number of parts.
    #[must_use]
    pub fn lacks_parts(&self, side: Side, id: &str) -> bool {
        let of_it =
            |source: &Source| matches!(source, Source::Comment { id: source, .. } if source.as_str() == id);
        let mut parts = self.0.iter().filter(|entry| entry.side == side && of_it(&entry.source)).peekable();
        parts.peek().is_some() && parts.all(|entry| entry.parts.is_none())
    }

    /// Returns the number of entries for each side and kind of item; for people.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Side, ItemKind), usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.0 {
            *counts.entry((entry.side, entry.kind)).or_default() += 1;
        }
        counts
    }

    /// Removes entries that no listing can reach any more: both the source and the written item are older than the horizon of their side.
    /// An entry without a time is kept.
    pub fn forget_before(&mut self, horizons: Sides<Option<DateTime<Utc>>>) {
        self.0.retain(|entry| {
            let reachable = |side: Side, at: Option<DateTime<Utc>>| match (at, horizons[side]) {
                (Some(at), Some(horizon)) => at >= horizon,
                (None, _) | (_, None) => true,
            };
            let source_reachable = match entry.source {
                Source::Comment { .. } | Source::Attachment { .. } => {
                    reachable(entry.side.other(), entry.source_at)
                }
                // Kept as long as the mapping: a part of a description has no listing of its own, and "is now syncing" is posted once per
                // mapping.
                Source::Description { .. } | Source::Notice(Notice::NowSyncing) => true,
                Source::Notice(
                    Notice::Outage
                    | Notice::Resumed
                    | Notice::CannotReopen
                    | Notice::CounterpartGone
                    | Notice::CounterpartBack
                    | Notice::LeftOpen
                    | Notice::Merged
                    | Notice::GivenUp
                    | Notice::ReadOnly
                    | Notice::Conflict,
                ) => false,
            };
            source_reachable || reachable(entry.side, entry.written_at)
        });
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minute)
    }

    #[test]
    fn only_what_no_listing_can_reach_is_forgotten() {
        let comment = |part| Source::Comment { id: "1".to_owned(), part };
        let attachment = Source::Attachment { id: "1".to_owned() };
        let horizons = Sides { google: Some(at(100)), company: Some(at(200)) };
        // The item is on the company's side, so its source is compared with Google's horizon.
        for (source, source_at, written_at, kept) in [
            (comment(1), Some(99), Some(199), false),
            (comment(1), Some(100), Some(199), true),
            (comment(1), Some(99), Some(200), true),
            (comment(1), None, Some(199), true),
            (comment(1), Some(99), None, true),
            (attachment.clone(), Some(99), Some(199), false),
            (attachment, Some(150), Some(199), true),
            (Source::Description { part: 2 }, Some(0), Some(0), true),
            (Source::Notice(Notice::NowSyncing), None, Some(0), true),
            (Source::Notice(Notice::Outage), None, Some(199), false),
            (Source::Notice(Notice::Outage), None, Some(200), true),
            (Source::Notice(Notice::Resumed), None, Some(199), false),
            (Source::Notice(Notice::CannotReopen), None, Some(199), false),
        ] {
            let mut ledger = Ledger::default();
            ledger.record(Entry {
                side: Side::Company,
                kind: ItemKind::Comment,
                id: "77".to_owned(),
                source: source.clone(),
                source_at: source_at.map(at),
                written_at: written_at.map(at),
                parts: None,
            });
            ledger.forget_before(Sides::default());
            assert_eq!(ledger.entries().len(), 1, "nothing is forgotten while everything is listed");
            ledger.forget_before(horizons);
            assert_eq!(ledger.entries().len() == 1, kept, "{source:?} {source_at:?} {written_at:?}");
        }
    }

    #[test]
    fn a_comment_is_whole_when_as_many_parts_as_it_was_split_into_are_there() {
        let entry = |id: &str, part, parts| Entry {
            side: Side::Google,
            kind: ItemKind::Comment,
            id: id.to_owned(),
            source: Source::Comment { id: "1".to_owned(), part },
            source_at: None,
            written_at: None,
            parts,
        };
        for (entries, whole) in [
            (vec![], false),
            (vec![entry("5", 1, Some(1))], true),
            (vec![entry("5", 1, Some(2))], false),
            (vec![entry("5", 2, Some(2))], false),
            (vec![entry("5", 1, Some(2)), entry("6", 2, Some(2))], true),
            // Written by a version that did not record the number of parts.
            (vec![entry("5", 1, None)], false),
        ] {
            let mut ledger = Ledger::default();
            for entry in &entries {
                ledger.record(entry.clone());
            }
            assert_eq!(ledger.has_whole_comment(Side::Google, "1"), whole, "{entries:?}");
            assert!(!ledger.has_whole_comment(Side::Company, "1"));
            assert!(!ledger.has_whole_comment(Side::Google, "2"));
        }
    }

    #[test]
    fn the_same_thing_is_recorded_once() {
        let entry = |id: &str, part| Entry {
            side: Side::Google,
            kind: ItemKind::Comment,
            id: id.to_owned(),
            source: Source::Comment { id: "1".to_owned(), part },
            source_at: None,
            written_at: None,
            parts: None,
        };
        let mut ledger = Ledger::default();
        ledger.record(entry("5", 1));
        ledger.record(entry("5", 1));
        ledger.record(entry("6", 2));
        assert_eq!(ledger.entries().len(), 2);
        assert!(ledger.wrote(Side::Google, ItemKind::Comment, "5"));
        assert!(!ledger.wrote(Side::Company, ItemKind::Comment, "5"));
        assert!(!ledger.wrote(Side::Google, ItemKind::Attachment, "5"));
        assert!(ledger.has_copy(Side::Google, &Source::Comment { id: "1".to_owned(), part: 2 }));
        assert!(!ledger.has_copy(Side::Google, &Source::Comment { id: "1".to_owned(), part: 3 }));
        assert!(!ledger.has_copy(Side::Company, &Source::Comment { id: "1".to_owned(), part: 2 }));
    }
}
