//! Ledger of the items that the connector wrote, by ID (`R14`: copies are known by ID), and write-ahead records of the items that it is
//! about to write (`R13`: unknown write outcome).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

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
    /// The company case is raised, and its Google case is not escalated: something is missing, or Google refuses.
    NotEscalated,
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
    /// One part of a note that a comment of the other side was edited, with its new text; notes and parts count from 1.
    Edit {
        /// The comment's ID on its own side.
        id: String,
        /// Number of the note about that comment.
        number: u32,
        /// Number of the part.
        part: u32,
    },
}

impl Source {
    /// Returns the ID of the original; `None` for what has no ID.
    fn id(&self) -> Option<&str> {
        match self {
            Self::Comment { id, .. } | Self::Attachment { id } | Self::Edit { id, .. } => Some(id),
            Self::Description { .. } | Self::Notice(_) => None,
        }
    }
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

impl Entry {
    /// Returns true if a listing from these horizons on can show the item or its original.
    fn is_reachable(&self, horizons: &Sides<Option<DateTime<Utc>>>) -> bool {
        let reachable = |side: Side, at: Option<DateTime<Utc>>| match (at, horizons[side]) {
            (Some(at), Some(horizon)) => at >= horizon,
            (None, _) | (_, None) => true,
        };
        reachable(self.side.other(), self.source_at) || reachable(self.side, self.written_at)
    }

    /// Returns true if the entry is kept as long as the mapping: a part of a description has no listing of its own, and notices are
    /// repeated in the same words, so that an older one is told from another by its ID only, whatever a clock says.
    const fn is_kept(&self) -> bool {
        matches!(self.source, Source::Description { .. } | Source::Notice(_))
    }
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
    /// Returns true if this is the record of the write of that source to that side.
    #[must_use]
    pub fn is_of(&self, side: Side, source: &Source) -> bool {
        self.side == side && self.source == *source
    }

    /// Returns true if `detect-outages` began the write, for which it needs no lease.
    #[must_use]
    pub const fn is_about_an_outage(&self) -> bool {
        matches!(self.source, Source::Notice(Notice::Outage | Notice::Resumed))
    }
}

/// Number of newest entries from which on some move to a page.
const MOST_INLINE: usize = 48;
/// Sizes of pages, in entries. The smallest is cut from the newest entries; as many as fill a larger page are merged into one. The largest
/// has some 300 kB as JSON, well below the 1 MiB that a document of Firestore may have.
const PAGE_SIZES: [usize; 3] = [32, 256, 1024];

/// Page of older ledger entries, which a store keeps apart from its mapping (`R35`: ledger pages). It never changes.
#[derive(Debug)]
pub struct LedgerPage {
    number: u64,
    entries: Vec<Entry>,
    /// Positions of the entries, by the ID of the item.
    by_item: HashMap<String, Vec<usize>>,
    /// Positions of the copies of comments and attachments, by the ID of the original.
    by_source: HashMap<String, Vec<usize>>,
    /// Positions of all other entries, of which there are few.
    others: Vec<usize>,
}

impl LedgerPage {
    /// Creates a page. Its number is unique within its mapping, for good.
    #[must_use]
    pub fn new(number: u64, entries: Vec<Entry>) -> Self {
        let mut page =
            Self { number, entries, by_item: HashMap::new(), by_source: HashMap::new(), others: Vec::new() };
        for (at, entry) in page.entries.iter().enumerate() {
            page.by_item.entry(entry.id.clone()).or_default().push(at);
            match entry.source.id() {
                Some(id) => page.by_source.entry(id.to_owned()).or_default().push(at),
                None => page.others.push(at),
            }
        }
        page
    }

    /// Returns the number of the page.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the entries, oldest record first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn at<'a>(&'a self, positions: Option<&'a Vec<usize>>) -> impl Iterator<Item = &'a Entry> {
        positions.into_iter().flatten().filter_map(|at| self.entries.get(*at))
    }

    fn of_item<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.at(self.by_item.get(id))
    }

    /// Returns the entries whose source has that ID; with `None`, those whose source has no ID.
    fn of_source<'a>(&'a self, id: Option<&str>) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.at(match id {
            Some(id) => self.by_source.get(id),
            None => Some(&self.others),
        })
    }
}

/// Pages that a store has to write and to delete together with the mapping.
#[derive(Debug, Default)]
pub struct PageChanges {
    /// Pages that are not stored yet.
    pub added: Vec<Arc<LedgerPage>>,
    /// Numbers of stored pages that are not needed any more.
    pub dropped: Vec<u64>,
}

/// All items that the connector wrote on a pair and that a listing can still reach.
///
/// The newest entries are stored with the mapping, older ones in pages, so that a write costs the same whatever was written before (`R35`:
/// ledger pages). A clone shares the pages.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pages: Vec<Arc<LedgerPage>>,
    newest: Vec<Entry>,
    next_page: u64,
    /// Numbers of stored pages that were dropped since the mapping was read.
    dropped: Vec<u64>,
}

impl PartialEq for Ledger {
    /// Compares the entries, wherever they are stored.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.entries().eq(other.entries())
    }
}

impl Eq for Ledger {}

impl Serialize for Ledger {
    /// Writes all entries; for people. A store keeps the parts.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries())
    }
}

impl Ledger {
    /// Restores a ledger from its stored parts. `next_page` is the number of the next page.
    #[must_use]
    pub fn from_parts(pages: Vec<Arc<LedgerPage>>, newest: Vec<Entry>, next_page: u64) -> Self {
        Self { pages, newest, next_page, dropped: Vec::new() }
    }

    /// Returns the entries, oldest record first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.pages.iter().flat_map(|page| page.entries()).chain(&self.newest)
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pages.iter().map(|page| page.entries.len()).sum::<usize>() + self.newest.len()
    }

    /// Returns true if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the pages, oldest entries first.
    #[must_use]
    pub fn pages(&self) -> &[Arc<LedgerPage>] {
        &self.pages
    }

    /// Returns the entries that are in no page.
    #[must_use]
    pub fn newest(&self) -> &[Entry] {
        &self.newest
    }

    /// Returns the entries that are in no page, to adapt their times to a store.
    pub fn newest_mut(&mut self) -> &mut [Entry] {
        &mut self.newest
    }

    /// Returns the number of the next page. Numbers are not used twice.
    #[must_use]
    pub const fn next_page(&self) -> u64 {
        self.next_page
    }

    /// Returns the numbers of all stored pages, also of those that were dropped since the mapping was read.
    #[must_use]
    pub fn stored_pages(&self) -> Vec<u64> {
        self.pages.iter().map(|page| page.number).chain(self.dropped.iter().copied()).collect()
    }

    /// Moves entries to pages before the mapping is stored, and merges pages. Returns the changes that the store has to make together with
    /// the mapping.
    pub fn pack(&mut self) -> PageChanges {
        let mut changes = PageChanges { added: Vec::new(), dropped: std::mem::take(&mut self.dropped) };
        while self.newest.len() >= MOST_INLINE {
            let rest = self.newest.split_off(PAGE_SIZES[0]);
            let oldest = std::mem::replace(&mut self.newest, rest);
            self.add_page(oldest, &mut changes);
            self.merge(&mut changes);
        }
        changes
    }

    fn add_page(&mut self, entries: Vec<Entry>, changes: &mut PageChanges) {
        let page = Arc::new(LedgerPage::new(self.next_page, entries));
        self.next_page += 1;
        changes.added.push(Arc::clone(&page));
        self.pages.push(page);
    }

    /// Merges the newest pages of one size, as soon as they fill a page of the next size.
    fn merge(&mut self, changes: &mut PageChanges) {
        for sizes in PAGE_SIZES.windows(2) {
            let &[small, large] = sizes else { continue };
            let alike = self.pages.iter().rev().take_while(|page| page.entries.len() == small).count();
            if alike * small < large {
                continue;
            }
            let merged = self.pages.split_off(self.pages.len() - large / small);
            for page in &merged {
                let added = changes.added.len();
                changes.added.retain(|added| added.number != page.number);
                if changes.added.len() == added {
                    changes.dropped.push(page.number);
                }
            }
            let entries = merged.iter().flat_map(|page| page.entries.iter().cloned()).collect();
            self.add_page(entries, changes);
        }
    }

    /// Adds an entry. Idempotent: an item that is already recorded changes nothing, unless it copies a comment that has another ID by now
    /// (see [`Ledger::copies_as`]).
    pub fn record(&mut self, entry: Entry) {
        let is_alias = |known: &Entry| {
            matches!((&known.source, &entry.source), (Source::Comment { .. }, Source::Comment { .. }))
                && known.source != entry.source
        };
        if self.of_item(entry.side, entry.kind, &entry.id).all(is_alias) {
            self.newest.push(entry);
        }
    }

    /// Returns the copies of the comment `from` on `side` as copies of the comment `to`: its system shows the same text under both IDs, and
    /// may show it only under the newer one later. `at` is the creation time of `to`. A copy that is not whole goes on with `parts`.
    #[must_use]
    pub fn copies_as(
        &self,
        side: Side,
        (from, to): (&str, &str),
        at: Option<DateTime<Utc>>,
        parts: u32,
    ) -> Vec<Entry> {
        let is_whole = self.has_whole_comment(side, from);
        self.parts_of(side, from)
            .map(|(entry, part)| Entry {
                source: Source::Comment { id: to.to_owned(), part },
                source_at: at,
                parts: if is_whole { entry.parts } else { Some(parts) },
                ..entry.clone()
            })
            .collect()
    }

    /// Returns true if the connector wrote that item.
    #[must_use]
    pub fn wrote(&self, side: Side, kind: ItemKind, id: &str) -> bool {
        self.of_item(side, kind, id).next().is_some()
    }

    /// Returns the entries of that item.
    fn of_item<'a>(&'a self, side: Side, kind: ItemKind, id: &'a str) -> impl Iterator<Item = &'a Entry> {
        let paged = self.pages.iter().flat_map(move |page| page.of_item(id));
        let newest = self.newest.iter().filter(move |entry| entry.id == id);
        newest.chain(paged).filter(move |entry| entry.side == side && entry.kind == kind)
    }

    /// Returns the entries on `side` whose source has that ID; with `None`, those whose source has no ID.
    fn of_source<'a>(&'a self, side: Side, id: Option<&'a str>) -> impl Iterator<Item = &'a Entry> {
        self.pages
            .iter()
            .flat_map(move |page| page.of_source(id))
            .chain(self.newest.iter().filter(move |entry| entry.source.id() == id))
            .filter(move |entry| entry.side == side)
    }

    /// Returns true if `source` has been written on `side`.
    #[must_use]
    pub fn has_copy(&self, side: Side, source: &Source) -> bool {
        self.copies_of(side, source).next().is_some()
    }

    /// Returns the number of times that `source` has been written on `side`. Only notices are repeated.
    #[must_use]
    pub fn times_written(&self, side: Side, source: &Source) -> usize {
        self.copies_of(side, source).count()
    }

    fn copies_of<'a>(&'a self, side: Side, source: &'a Source) -> impl Iterator<Item = &'a Entry> {
        self.of_source(side, source.id()).filter(move |entry| entry.source == *source)
    }

    /// Returns the entries on `side` that copy that comment, with the number of the part that each copies.
    fn parts_of<'a>(&'a self, side: Side, id: &'a str) -> impl Iterator<Item = (&'a Entry, u32)> {
        self.of_source(side, Some(id)).filter_map(|entry| match entry.source {
            Source::Comment { part, .. } => Some((entry, part)),
            Source::Attachment { .. }
            | Source::Description { .. }
            | Source::Notice(_)
            | Source::Edit { .. } => None,
        })
    }

    /// Returns the number of the last note on `side` that the comment was edited; 0 if there is none.
    #[must_use]
    pub fn last_note(&self, side: Side, id: &str) -> u32 {
        let number = |entry: &Entry| match entry.source {
            Source::Edit { number, .. } => Some(number),
            Source::Comment { .. }
            | Source::Attachment { .. }
            | Source::Description { .. }
            | Source::Notice(_) => None,
        };
        self.of_source(side, Some(id)).filter_map(number).max().unwrap_or_default()
    }

    /// Returns true if all parts of that comment have been written on `side`. The number of parts is the recorded one: since then, the
    /// author may have been renamed or the comment edited, and it would be split in another way.
    #[must_use]
    pub fn has_whole_comment(&self, side: Side, id: &str) -> bool {
        let recorded = self.parts_of(side, id).find_map(|(entry, _)| entry.parts);
        recorded.is_some_and(|parts| {
            (1..=parts).all(|wanted| self.parts_of(side, id).any(|(_, part)| part == wanted))
        })
    }

    /// Returns true if any part of that comment has been written on `side`.
    #[must_use]
    pub fn has_part_of(&self, side: Side, id: &str) -> bool {
        self.parts_of(side, id).next().is_some()
    }

    /// Returns true if parts of that comment have been written on `side` by version 0.1, which recorded no number of parts.
    #[must_use]
    pub fn lacks_parts(&self, side: Side, id: &str) -> bool {
        let mut parts = self.parts_of(side, id).peekable();
        parts.peek().is_some() && parts.all(|(entry, _)| entry.parts.is_none())
    }

    /// Returns the number of entries for each side and kind of item; for people.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Side, ItemKind), usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries() {
            *counts.entry((entry.side, entry.kind)).or_default() += 1;
        }
        counts
    }

    /// Removes copies that no listing can reach any more: both the source and the written item are older than the horizon of their side.
    /// A copy without a time is kept, and so are all entries of a page that has a copy to keep. Other entries are kept for good.
    pub fn forget_before(&mut self, horizons: Sides<Option<DateTime<Utc>>>) {
        self.forget_unwanted(horizons, |_| false);
    }

    /// Does the same, and keeps the entries that are wanted.
    pub(super) fn forget_unwanted(
        &mut self,
        horizons: Sides<Option<DateTime<Utc>>>,
        is_wanted: impl Fn(&Entry) -> bool,
    ) {
        let is_kept = |entry: &Entry| entry.is_kept() || is_wanted(entry);
        self.newest.retain(|entry| is_kept(entry) || entry.is_reachable(&horizons));
        let (dropped, mut moved) = (&mut self.dropped, Vec::new());
        self.pages.retain(|page| {
            let (kept, copies): (Vec<&Entry>, Vec<&Entry>) =
                page.entries.iter().partition(|entry| is_kept(entry));
            // A page has as many entries as others of its size, also if all of them are to be kept.
            let is_needed = copies.is_empty() || copies.iter().any(|entry| entry.is_reachable(&horizons));
            if !is_needed {
                dropped.push(page.number);
                moved.extend(kept.into_iter().cloned());
            }
            is_needed
        });
        self.newest.splice(0..0, moved);
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
            // Notices are told from others in the same words by their IDs only.
            (Source::Notice(Notice::Outage), None, Some(0), true),
            (Source::Notice(Notice::Resumed), None, Some(0), true),
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
            assert_eq!(ledger.len(), 1, "nothing is forgotten while everything is listed");
            ledger.forget_before(horizons);
            assert_eq!(ledger.len() == 1, kept, "{source:?} {source_at:?} {written_at:?}");
        }
    }

    #[test]
    fn copies_of_a_comment_with_two_ids_are_known_by_both() {
        let entry = |part| Entry {
            side: Side::Company,
            kind: ItemKind::Comment,
            id: format!("77{part}"),
            source: Source::Comment { id: "email:1".to_owned(), part },
            source_at: Some(at(0)),
            written_at: Some(at(1)),
            parts: Some(2),
        };
        let mut ledger = Ledger::default();
        ledger.record(entry(1));
        let alias = |ledger: &Ledger| ledger.copies_as(Side::Company, ("email:1", "5"), Some(at(9)), 3);
        // Not whole: it goes on in the parts of the comment.
        assert_eq!(alias(&ledger).iter().map(|entry| entry.parts).collect::<Vec<_>>(), [Some(3)]);
        ledger.record(entry(2));
        for copy in alias(&ledger) {
            ledger.record(copy.clone());
            ledger.record(copy);
        }
        ledger.record(entry(1));
        assert_eq!(ledger.len(), 4);
        assert!(
            ledger.has_whole_comment(Side::Company, "email:1")
                && ledger.has_whole_comment(Side::Company, "5")
        );
        // Of the two, the comment is listed longer.
        ledger.forget_before(Sides { google: Some(at(5)), company: Some(at(5)) });
        assert!(
            !ledger.has_part_of(Side::Company, "email:1") && ledger.has_whole_comment(Side::Company, "5")
        );
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
    fn older_entries_move_to_pages_and_everything_is_known_still() {
        const ALL: usize = 3_000;
        let entry = |number: usize| Entry {
            side: Side::Company,
            kind: if number.is_multiple_of(10) { ItemKind::Attachment } else { ItemKind::Comment },
            id: format!("c{number}"),
            source: match number {
                0 => Source::Notice(Notice::NowSyncing),
                1 => Source::Description { part: 2 },
                _ if number.is_multiple_of(10) => Source::Attachment { id: format!("g{number}") },
                _ => Source::Comment { id: format!("g{number}"), part: 1 },
            },
            source_at: Some(at(0)),
            written_at: Some(at(0)),
            parts: Some(1),
        };
        let mut ledger = Ledger::default();
        let mut stored: BTreeMap<u64, Arc<LedgerPage>> = BTreeMap::new();
        for number in 0..ALL {
            ledger.record(entry(number));
            let before = ledger.clone();
            let changes = ledger.pack();
            assert!(before == ledger, "moving entries changes none");
            for number in changes.dropped {
                assert!(stored.remove(&number).is_some(), "page {number} was stored");
            }
            for page in changes.added {
                assert!(stored.insert(page.number(), page).is_none(), "a number is not used twice");
            }
            assert!(ledger.newest().len() < MOST_INLINE && ledger.pages().len() < 16);
            assert_eq!(ledger.stored_pages(), stored.keys().copied().collect::<Vec<_>>());
        }
        let restored =
            Ledger::from_parts(ledger.pages().to_vec(), ledger.newest().to_vec(), ledger.next_page());
        assert!(restored.entries().eq((0..ALL).map(entry).collect::<Vec<_>>().iter()));
        for number in 0..ALL {
            let Entry { side, kind, id, source, .. } = entry(number);
            assert!(restored.wrote(side, kind, &id) && !restored.wrote(side.other(), kind, &id));
            assert!(restored.has_copy(side, &source) && !restored.has_copy(side.other(), &source));
            if let Source::Comment { id, .. } = source {
                assert!(restored.has_whole_comment(side, &id) && !restored.lacks_parts(side, &id));
            }
        }
        // Only what is no copy is kept, without its page.
        ledger.forget_before(Sides { google: Some(at(1)), company: Some(at(1)) });
        assert!(ledger.pages().is_empty());
        assert!(ledger.entries().eq(&[entry(0), entry(1)]));
        let PageChanges { added, dropped } = ledger.pack();
        assert!(added.is_empty());
        assert_eq!(stored.into_keys().collect::<Vec<_>>(), dropped);
        assert!(ledger.pack().dropped.is_empty(), "they are dropped once");
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
        assert_eq!(ledger.len(), 2);
        assert!(ledger.wrote(Side::Google, ItemKind::Comment, "5"));
        assert!(!ledger.wrote(Side::Company, ItemKind::Comment, "5"));
        assert!(!ledger.wrote(Side::Google, ItemKind::Attachment, "5"));
        assert!(ledger.has_copy(Side::Google, &Source::Comment { id: "1".to_owned(), part: 2 }));
        assert!(!ledger.has_copy(Side::Google, &Source::Comment { id: "1".to_owned(), part: 3 }));
        assert!(!ledger.has_copy(Side::Company, &Source::Comment { id: "1".to_owned(), part: 2 }));
    }
}
