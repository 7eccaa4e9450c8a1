//! What the connector wrote, by ID (`R14`), and what it is about to write (`R13`).

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

/// The connector's own words, as opposed to copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// `This case is now syncing with Company Case: …`
    NowSyncing,
    /// `This case has not synced properly in …`
    Outage,
    /// `Syncing has resumed.`
    Resumed,
    /// The company case was reopened, which CSAPI cannot follow (`R19`); or the CRM cannot follow Google.
    CannotReopen,
    /// The counterpart no longer exists (`R20`).
    CounterpartGone,
    /// The counterpart is back after all (`R28`).
    CounterpartBack,
    /// The company case was closed in a way that leaves the Google case open (`R32`).
    LeftOpen,
    /// The company case was merged into another (`R32`).
    Merged,
    /// Something could not be carried and is given up (`R33`).
    GivenUp,
    /// The counterpart takes no changes any more (`R33`).
    ReadOnly,
    /// The case names a counterpart that it cannot have (`R31`, `R38`).
    Conflict,
}

/// What something that the connector writes stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// One part of a comment of the other side; parts count from 1.
    Comment {
        /// The comment's ID on its own side.
        id: String,
        /// Which part this is.
        part: u32,
    },
    /// An attachment of the other side; written as an attachment, or as a comment that tells why it cannot be.
    Attachment {
        /// The attachment's ID on its own side.
        id: String,
    },
    /// A further part of a description that was too long for the counterpart's own; parts count from 1.
    Description {
        /// Which part this is; 2 or more.
        part: u32,
    },
    /// Something that the connector says itself.
    Notice(Notice),
}

/// One thing that the connector wrote on a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub side: Side,
    /// What it is there.
    pub kind: ItemKind,
    /// Its ID there.
    pub id: String,
    /// What it stands for.
    pub source: Source,
    /// When the source was created on its side, if it said so.
    pub source_at: Option<DateTime<Utc>>,
    /// When it was created, by the clock of the side where it stands.
    pub written_at: Option<DateTime<Utc>>,
    /// A copy of a comment: how many parts the whole comment was split into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

/// A write that was begun and whose outcome is not known yet (`R13`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Where it was to be written.
    pub side: Side,
    /// As a comment or as an attachment.
    pub kind: ItemKind,
    /// What it stands for.
    pub source: Source,
    /// How to recognise it: the first line of a comment, the file name of an attachment.
    pub marker: String,
    /// A comment's whole text, hashed: tells what the connector wrote from what a person wrote under a quoted marker, where
    /// the system does not say who wrote what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// An attachment's size in bytes.
    pub size: Option<u64>,
    /// When the source was created on its side.
    pub source_at: Option<DateTime<Utc>>,
    /// When the write was sent at the latest, by our clock.
    pub attempted_at: DateTime<Utc>,
    /// As [`Entry::parts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

impl Pending {
    /// Whether `detect-outages` began it, for which it needs no lease.
    #[must_use]
    pub const fn is_about_an_outage(&self) -> bool {
        matches!(self.source, Source::Notice(Notice::Outage | Notice::Resumed))
    }
}

/// Everything that the connector wrote on a pair and that a listing can still reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(Vec<Entry>);

impl Ledger {
    /// The entries, oldest record first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Records something written. The same thing recorded again changes nothing.
    pub fn record(&mut self, entry: Entry) {
        if !self.wrote(entry.side, entry.kind, &entry.id) {
            self.0.push(entry);
        }
    }

    /// Whether the connector wrote that item.
    #[must_use]
    pub fn wrote(&self, side: Side, kind: ItemKind, id: &str) -> bool {
        self.0.iter().any(|entry| entry.side == side && entry.kind == kind && entry.id == id)
    }

    /// Whether `source` has been written on `side`.
    #[must_use]
    pub fn has_copy(&self, side: Side, source: &Source) -> bool {
        self.0.iter().any(|entry| entry.side == side && entry.source == *source)
    }

    /// Whether all parts of that comment have been written on `side`, as it was split then: its author may have another name
    /// by now, or have edited it, and then it would be split in another way.
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

    /// How many entries there are for each source on each side; for people.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Side, ItemKind), usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.0 {
            *counts.entry((entry.side, entry.kind)).or_default() += 1;
        }
        counts
    }

    /// Forgets what no listing can reach any more: both the source and what was written are older than their side's
    /// horizon. What has no time is kept.
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
                // A part of a description has no listing of its own: it stays as long as the mapping.
                // "Is now syncing" is said once in a mapping's life.
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
        // Written on the company's side: the source is held against Google's horizon.
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
            // Written by a version that did not say.
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
