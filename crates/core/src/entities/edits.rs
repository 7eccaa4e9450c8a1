//! Memory of a pair about the texts of its comments, for `sync.edits = "note"`.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Side, Sides};

/// Shortest time between two notes about edits of one comment.
pub const NOTE_PAUSE: Duration = Duration::minutes(10);
/// Pause before a note that the other case refused is tried again.
const REFUSED_AGE: Duration = Duration::days(1);

/// Digest of a comment's text, so that the memory of a pair holds no text of its cases. White space counts as a gap between two words, and
/// no more: systems change it, and a text that is laid out in another way reads the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextDigest(String);

impl TextDigest {
    /// Returns the digest of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut hash = Sha256::new();
        for word in text.split_whitespace() {
            hash.update(word.as_bytes());
            hash.update(b" ");
        }
        // A collision of 64 bits would only leave one edit without its note.
        Self(hex::encode(&hash.finalize()[..8]))
    }
}

/// Note about an edit that was begun, and that does not stand on the other case as a whole yet. The write-ahead record of each of its parts
/// is a [`Pending`](super::Pending) (`R13`: unknown write outcome).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteBegun {
    /// Text of the note.
    pub text: TextDigest,
    /// Time of the edit that made the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<DateTime<Utc>>,
    /// Number of parts that the note is split into.
    pub parts: u32,
    /// Time at which the other case refused a part of it, by our clock. Nothing of it is written for a day after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<DateTime<Utc>>,
    /// Number of parts that stood on the other case then. The ledger may have forgotten them when the day is over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stands: u32,
}

impl NoteBegun {
    /// Returns the record of a note of which nothing is written yet.
    #[must_use]
    pub const fn new(text: TextDigest, edited_at: Option<DateTime<Utc>>) -> Self {
        Self { text, edited_at, parts: 1, refused_at: None, stands: 0 }
    }

    /// Returns true if the other case refused it lately.
    #[must_use]
    pub fn is_refused(&self, now: DateTime<Utc>) -> bool {
        self.refused_at.is_some_and(|at| at <= now && now - at < REFUSED_AGE)
    }
}

/// Text of a comment, as far as the other side knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownText {
    /// Time of creation of the comment, by the clock of its side.
    pub created_at: DateTime<Utc>,
    /// Text that was carried, or of the last note. The default, which no text has, if that note was cut off.
    pub text: TextDigest,
    /// Time of the edit that made that text, by the clock of its side. `None` if it was never edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<DateTime<Utc>>,
    /// Number of notes that were begun.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub notes: u32,
    /// Time at which the last note was begun, by our clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted_at: Option<DateTime<Utc>>,
    /// The last note, while it does not stand on the other case as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noting: Option<NoteBegun>,
    /// True if the text was edited again, and the next note is not due yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owed: bool,
    /// True if the comment was edited more often than notes are written about it: further edits stay on their side.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

impl KnownText {
    /// Returns the record of a text that the other side has, with the number of notes that it has about the comment.
    #[must_use]
    pub const fn carried(
        created_at: DateTime<Utc>,
        text: TextDigest,
        edited_at: Option<DateTime<Utc>>,
        notes: u32,
    ) -> Self {
        Self { created_at, text, edited_at, notes, noted_at: None, noting: None, owed: false, ended: false }
    }

    /// Returns true if the other side lacks this text of the comment. A text that differs without an edit is no edit: it is read in another
    /// way, since a person whom it mentions was renamed, or since another version of the connector reads it.
    #[must_use]
    pub fn lacks(&self, text: &TextDigest, edited_at: Option<DateTime<Utc>>) -> bool {
        edited_at.is_some() && edited_at != self.edited_at && *text != self.text
    }

    /// Returns true if a later sync has something to do, though the comment does not change again.
    #[must_use]
    pub const fn is_outstanding(&self) -> bool {
        self.owed || self.noting.is_some()
    }

    /// Returns true if the other case refused the last note lately.
    #[must_use]
    pub fn is_refused(&self, now: DateTime<Utc>) -> bool {
        self.noting.as_ref().is_some_and(|begun| begun.is_refused(now))
    }

    /// Returns the time at which the next note may be begun; `None` if it may be begun at once.
    #[must_use]
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        self.noted_at.and_then(|at| at.checked_add_signed(NOTE_PAUSE))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Memory of a pair about the texts of its comments. Empty unless edits are noted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Edits {
    /// Newest comments of each side that people wrote and that were carried, by their IDs.
    pub known: Sides<BTreeMap<String, KnownText>>,
}

impl Edits {
    /// Returns true if a note about an edit on that side is due later.
    #[must_use]
    pub fn owes(&self, side: Side) -> bool {
        self.known[side].values().any(|known| known.owed)
    }

    /// Returns the time at which the first of the notes that are due later is due, for edits on that side.
    #[must_use]
    pub fn due_at(&self, side: Side) -> Option<DateTime<Utc>> {
        self.known[side].values().filter(|known| known.owed).filter_map(KnownText::due_at).min()
    }

    /// Returns true if a complete sync has a note to write now, or to find out about (`R8`: idle cases).
    #[must_use]
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        let is_due = |known: &KnownText| match &known.noting {
            Some(begun) => !begun.is_refused(now),
            None => known.due_at().is_none_or(|at| at <= now),
        };
        Side::BOTH
            .into_iter()
            .flat_map(|side| self.known[side].values())
            .any(|known| known.is_outstanding() && is_due(known))
    }

    /// Returns the creation time of the oldest comment of that side about which a note is due, or is not whole. Lists have to be read back
    /// to it. A note that was refused lately does not count.
    #[must_use]
    pub fn oldest_outstanding(&self, side: Side, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let is_wanted = |known: &&KnownText| known.is_outstanding() && !known.is_refused(now);
        let outstanding = self.known[side].values().filter(is_wanted);
        outstanding.map(|known| known.created_at).min()
    }

    /// Records that a note about an edit on `side` stands on the other case, if all its parts do.
    pub(super) fn settle(&mut self, side: Side, id: &str, number: u32, stands: impl Fn(u32) -> bool) {
        let Some(known) = self.known[side].get_mut(id).filter(|known| known.notes == number) else { return };
        if let Some(begun) = known.noting.take_if(|begun| (1..=begun.parts).all(stands)) {
            (known.text, known.edited_at) = (begun.text, begun.edited_at);
        }
    }

    /// Records that the other case refuses that part of the last note about a comment of that side. The parts before it stand there.
    pub fn refuse_note(&mut self, side: Side, id: &str, part: u32, now: DateTime<Utc>) {
        if let Some(begun) = self.known[side].get_mut(id).and_then(|known| known.noting.as_mut()) {
            (begun.refused_at, begun.stands) = (Some(now), part.saturating_sub(1));
        }
    }

    /// Lets notes that were refused be tried again at once. Returns true if there was any.
    pub(super) fn try_again(&mut self) -> bool {
        let Sides { google, company } = &mut self.known;
        let notes = google.values_mut().chain(company.values_mut()).filter_map(|known| known.noting.as_mut());
        let mut is_changed = false;
        for refused_at in notes.filter_map(|begun| begun.refused_at.as_mut()) {
            *refused_at = DateTime::UNIX_EPOCH;
            is_changed = true;
        }
        is_changed
    }

    /// Returns the times of the last notes and of their refusals, to change them.
    pub(super) fn times(&mut self) -> impl Iterator<Item = &mut DateTime<Utc>> {
        let Sides { google, company } = &mut self.known;
        google.values_mut().chain(company.values_mut()).flat_map(|known| {
            let KnownText { noted_at, noting, .. } = known;
            noted_at.iter_mut().chain(noting.iter_mut().filter_map(|begun| begun.refused_at.as_mut()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minute)
    }

    #[test]
    fn texts_that_read_the_same_have_one_digest() {
        let of = TextDigest::of;
        assert_eq!(of("The disk  is\r\nfull. "), of("\tThe disk is full."));
        assert_ne!(of("now here"), of("nowhere"));
        assert_ne!(of("The disk is full."), of("The disk is not full."));
    }

    #[test]
    fn records_with_fewer_fields_are_read() {
        assert_eq!(serde_json::from_str::<Edits>("{}").unwrap(), Edits::default());
        let stored = r#"{"known":{"google":{},"company":{"7":{"created_at":"2026-11-30T09:00:00Z","text":"0011223344556677"}}}}"#;
        let edits: Edits = serde_json::from_str(stored).unwrap();
        assert!(!edits.is_due(at(0)) && !edits.owes(Side::Company));
        assert_eq!(serde_json::to_string(&edits).unwrap(), stored, "nothing is stored that says nothing");
    }

    #[test]
    fn a_note_is_due_ten_minutes_after_the_one_before() {
        let known = KnownText {
            notes: 1,
            noted_at: Some(at(5)),
            owed: true,
            ..KnownText::carried(at(0), TextDigest::of("a"), None, 0)
        };
        let mut edits = Edits::default();
        edits.known[Side::Company].insert("7".to_owned(), known);
        assert_eq!((edits.due_at(Side::Company), edits.due_at(Side::Google)), (Some(at(15)), None));
        assert!(!edits.is_due(at(14)) && edits.is_due(at(15)));
        assert_eq!(edits.oldest_outstanding(Side::Company, at(14)), Some(at(0)));
    }

    #[test]
    fn a_note_stands_once_all_its_parts_do() {
        let begun = NoteBegun { parts: 2, ..NoteBegun::new(TextDigest::of("b"), Some(at(3))) };
        let known = KnownText {
            notes: 4,
            noting: Some(begun),
            ..KnownText::carried(at(0), TextDigest::of("a"), None, 0)
        };
        let mut edits = Edits::default();
        edits.known[Side::Company].insert("7".to_owned(), known);
        edits.settle(Side::Company, "7", 3, |_| true);
        edits.settle(Side::Company, "7", 4, |part| part == 1);
        assert!(edits.is_due(at(0)), "a part is missing");
        edits.settle(Side::Company, "7", 4, |_| true);
        let known = &edits.known[Side::Company]["7"];
        assert!(!known.is_outstanding());
        assert!(
            !known.lacks(&TextDigest::of("b"), Some(at(3))) && known.lacks(&TextDigest::of("a"), Some(at(4)))
        );
    }

    #[test]
    fn a_refused_note_rests_for_a_day_and_then_is_due() {
        let known = KnownText {
            notes: 1,
            noted_at: Some(at(5)),
            noting: Some(NoteBegun { parts: 2, ..NoteBegun::new(TextDigest::of("b"), Some(at(3))) }),
            ..KnownText::carried(at(0), TextDigest::of("a"), None, 0)
        };
        let mut edits = Edits::default();
        edits.known[Side::Company].insert("7".to_owned(), known);
        edits.refuse_note(Side::Company, "7", 2, at(6));
        let (next, day) = (at(7), at(6) + Duration::days(1));
        assert!(!edits.is_due(next) && edits.is_due(day));
        assert_eq!(edits.oldest_outstanding(Side::Company, next), None, "nothing is read back for it");
        assert_eq!(edits.oldest_outstanding(Side::Company, day), Some(at(0)));
        assert!(edits.is_due(at(0)), "a clock that was ahead has noted it");
        assert_eq!(edits.times().count(), 2);
        let begun = edits.known[Side::Company]["7"].noting.as_ref().unwrap();
        assert_eq!(begun.stands, 1);
        // A person asks for it.
        assert!(edits.try_again() && edits.is_due(next));
        assert!(!Edits::default().try_again());
    }
}
