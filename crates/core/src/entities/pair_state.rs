//! State of a pair for the rules of part 3 of `docs/design.md`, as one serialised struct. A new field takes one line, and is absent in
//! older records.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Edits, Escalation, GooglePlacement, Priority, Shown, Side, Sides, Source, TitleWords, Titles, Turn,
};

/// Pause between two attempts to write to a read-only case (`R33`: final refusals).
pub(super) const READ_ONLY_PAUSE: Duration = Duration::days(1);
/// Number of explained files that are remembered.
const MOST_EXPLAINED: usize = 20;

/// Record of a linked case that its system does not show (`R28`: missing is not gone).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Time at which the case was first not found.
    pub since: DateTime<Utc>,
    /// Number of reads that did not find the case. Reads that follow each other closely count once.
    pub reads: u32,
    /// Time of the last read that counted.
    pub read_at: DateTime<Utc>,
}

/// Write that a system can refuse for good while other writes succeed (`R33`: final refusals).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusable {
    /// Writing a comment or a file for this source.
    Item(Source),
    /// Setting the priority.
    Priority,
    /// Closing the case.
    Close,
    /// Reopening the case.
    Reopen,
    /// Writing the Google case's name onto the company case.
    LinkBack,
}

impl Refusable {
    /// Returns true if both are writes of the same kind: a comment, a file, a priority. A system may refuse one kind and take another.
    #[must_use]
    pub fn is_same_kind(&self, other: &Self) -> bool {
        let is_file = |what: &Self| matches!(what, Self::Item(Source::Attachment { .. }));
        std::mem::discriminant(self) == std::mem::discriminant(other) && is_file(self) == is_file(other)
    }
}

/// Record of a write that a system refuses (`R33`: final refusals).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Side that the write goes to.
    pub side: Side,
    /// Kind of write.
    pub what: Refusable,
    /// Time of the first refusal.
    pub since: DateTime<Utc>,
    /// Number of attempts.
    pub tries: u32,
    /// Time of the last attempt.
    pub tried_at: DateTime<Utc>,
    /// Error of the last attempt; no body, no secret. It ends with the remedy.
    pub reason: String,
    /// Remedy for an operator, as far as the error names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// True if the write is given up and explained: no sync tries it again, until the change to carry is another one.
    #[serde(default)]
    pub given_up: bool,
}

/// File that a system can never take, and that was explained in its place at once (`R17`: files).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Side that the file was to be written to, and whose case has the explanation.
    pub side: Side,
    /// Original, on the other side.
    pub what: Source,
    /// Time of the explanation.
    pub at: DateTime<Utc>,
    /// Reason, in the words of the system, shortened; no body, no secret.
    pub reason: String,
}

/// Record of a case that refuses every write (`R33`: final refusals).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOnly {
    /// Time since which every write was refused.
    pub since: DateTime<Utc>,
    /// Time of the last attempt to write.
    pub tried_at: DateTime<Utc>,
    /// True if the other side's case has the notice about it.
    #[serde(default)]
    pub told: bool,
}

/// Reason why a case is not synchronised: it names a counterpart that it cannot have (`R31`: an ID is valid only in its own system; `R38`:
/// a claim is not a proof).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Problem and remedy, for people.
    pub reason: String,
    /// Time at which the conflict was found.
    pub since: DateTime<Utc>,
    /// True if the company case has the notice about the conflict.
    #[serde(default)]
    pub told: bool,
    /// Cause of the conflict.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cause: ConflictCause,
}

/// Cause of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictCause {
    /// The case names a counterpart that it cannot have.
    #[default]
    Claim,
    /// A field of the case names no place at Google in which its counterpart could be created.
    Placement,
}

/// Address of a person of the company case, as a subscriber of the Google case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subscribed {
    /// The address was at Google before the connector could add it.
    ByHand,
    /// The connector added it.
    Ours,
    /// The connector has sent a change that adds or removes it, and does not know the outcome yet (`R13`: unknown write outcome).
    Sent,
}

/// Subscribers that a Google case refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSubscribers {
    /// People of the company case that were to be subscribed.
    pub wanted: BTreeSet<String>,
    /// Time of the refusal.
    pub at: DateTime<Utc>,
}

/// Order of an operator about a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Time of the order.
    pub since: DateTime<Utc>,
    /// Operator, as far as the proof of the caller names one.
    pub by: String,
    /// Reason that the operator gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Comment or file that an operator excluded from the sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Side that the item is on.
    pub side: Side,
    /// ID of the item on its side.
    pub id: String,
    /// Time at which the operator excluded it.
    pub since: DateTime<Utc>,
    /// Operator, as far as the proof of the caller names one.
    pub by: String,
    /// Reason that the operator gave.
    pub reason: String,
}

/// Failed syncs in a row, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Time of the first one.
    pub since: DateTime<Utc>,
    /// Time of the last one, whose error is `CaseMapping::last_error`.
    pub last_at: DateTime<Utc>,
    /// Number of failed syncs.
    pub tries: u32,
    /// Number of syncs in a row, up to the last one, whose calls got no answer (`R37`: nobody waits for the slowest).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hangs: u32,
    /// True if one of them was a task of the queue, which the queue repeats.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeats: bool,
    /// Remedy for the last error, as far as that names one. The error ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Failing {
    /// Returns the time before which the pair is not tried again, since its calls got no answer: two minutes, doubled up to ten. `None` if
    /// the last sync failed for another reason.
    #[must_use]
    pub fn waits_until(&self) -> Option<DateTime<Utc>> {
        let doublings = self.hangs.checked_sub(1)?.min(8);
        let pause = Duration::minutes(2 << doublings).min(Duration::minutes(10));
        Some(self.last_at.checked_add_signed(pause).unwrap_or(self.last_at))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Company case as it was last read, for texts on the Google case (`R31`: an ID is valid only in its own system).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCase {
    /// ID of the case. The rest counts only while it is the pair's.
    pub id: String,
    /// Name that people use for the case, if it is not the ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Address of the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// State of a pair besides the documented properties.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent notes")]
pub struct PairState {
    /// True if the record was written by a program that knows part 3. Records of version 0.1 do not have the field.
    pub part_3: bool,
    /// Time up to which each system was read by the last complete sync of each side, in that system's own time (`R15`: one horizon for
    /// both; `R36`: clock skew). The outer index is the side, the inner one the system.
    #[serde(skip_serializing_if = "is_default")]
    pub read_until: Sides<Sides<Option<DateTime<Utc>>>>,
    /// Time up to which the ledger was forgotten, in each system's own time (`R14`: copies are known by ID). Everything before was carried.
    /// No listing goes back further, except while relinking.
    #[serde(skip_serializing_if = "is_default")]
    pub forgotten_until: Sides<Option<DateTime<Utc>>>,
    /// True if a system's clock was set, and copies are recognised by their text until the next complete sync (`R36`: clock skew). Unlike
    /// in a relinked pair, the notices on the cases are known.
    #[serde(skip_serializing_if = "is_default")]
    pub looks_again: bool,
    /// Digest of each case, as the last complete sync has read it, if that left nothing of the case to be carried. A case that still has
    /// this digest needs no complete sync (`R8`: idle cases).
    #[serde(skip_serializing_if = "is_default")]
    pub read_as: Sides<Option<String>>,
    /// True for a side whose carried update was read before any poll had shown it. Its rechecks are not certain, so the next sweep queues one
    /// (`R8`: idle cases; `R27`: sweeps).
    #[serde(skip_serializing_if = "is_default")]
    pub read_unshown: Sides<bool>,
    /// Priority that both sides have been seen to hold: the base of the three-way merge (`R18`: priority; `R30`: merge base).
    #[serde(skip_serializing_if = "is_default")]
    pub agreed_priority: Option<Priority>,
    /// Status that both sides were last seen to share: true if both were closed, false if both were open. It is the base of the three-way
    /// merge of the status (`R19`: status; `R30`: merge base). `None` if they were never seen to agree.
    #[serde(skip_serializing_if = "is_default")]
    pub agreed_closed: Option<bool>,
    /// Priority that was written to a side, and with which the side was not read yet. Once it is, both sides have held it (`R30`: merge
    /// base).
    #[serde(skip_serializing_if = "is_default")]
    pub told_priority: Sides<Option<Priority>>,
    /// Latest time at which that priority may have been sent to each side, by our clock, if there was no answer (`R13`: unknown write outcome).
    #[serde(skip_serializing_if = "is_default")]
    pub priority_sent_at: Sides<Option<DateTime<Utc>>>,
    /// Priority that a side refused to hold (`R30`: merge base). It is not set again until another one is to be set.
    #[serde(skip_serializing_if = "is_default")]
    pub unheld_priority: Sides<Option<Priority>>,
    /// Time at which each side last refused that priority. It is tried again a day later, since a right may have been missing.
    #[serde(skip_serializing_if = "is_default")]
    pub unheld_at: Sides<Option<DateTime<Utc>>>,
    /// Record of each side's case that is not found (`R28`: missing is not gone).
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Sides<Option<Missing>>,
    /// True if the remaining case has the notice that the pair has ended (`R28`: missing is not gone).
    #[serde(skip_serializing_if = "is_default")]
    pub gone_told: bool,
    /// ID of the case that the company case was merged into, if that ended the pair because the other case has a pair of its own (`R32`:
    /// closed is not solved).
    #[serde(skip_serializing_if = "is_default")]
    pub merged_into: Option<String>,
    /// Header of the counterpart's description, if further parts follow it (`R16`: long texts). The parts are split with room for this
    /// header.
    #[serde(skip_serializing_if = "is_default")]
    pub description_header: Option<String>,
    /// Lead of each system's clock over ours when the newest write-ahead record was stored, in seconds (`R36`: clock skew). If both have
    /// changed alike, our clock was set since.
    #[serde(skip_serializing_if = "is_default")]
    pub sent_at_skew: Sides<Option<i64>>,
    /// Project, queue or table of each case (`R26`: empty answers need proof).
    #[serde(skip_serializing_if = "is_default")]
    pub scope: Sides<Option<String>>,
    /// Refused writes, given up or still tried (`R33`: final refusals).
    #[serde(skip_serializing_if = "is_default")]
    pub refusals: Vec<Refusal>,
    /// Files that a system can never take, the newest last.
    #[serde(skip_serializing_if = "is_default")]
    pub explained: Vec<Explained>,
    /// Record of each side's case that refuses every write (`R33`: final refusals).
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: Sides<Option<ReadOnly>>,
    /// Conflict: the case names a counterpart that it cannot have (`R31`: an ID is valid only in its own system; `R38`: a claim is not a
    /// proof).
    #[serde(skip_serializing_if = "is_default")]
    pub conflict: Option<Conflict>,
    /// Values of the Google case whose creation has begun: a part of the write-ahead record `CaseMapping::pending_creation`, and valid only
    /// beside it (`R13`: unknown write outcome).
    #[serde(skip_serializing_if = "is_default")]
    pub google_placement: Option<Box<GooglePlacement>>,
    /// People of the company case that were compared with the subscribers of the Google case: the base of their three-way merge (`R30`: merge
    /// base).
    #[serde(skip_serializing_if = "is_default")]
    pub subscribers: BTreeMap<String, Subscribed>,
    /// Latest time at which subscribers may have been sent, by our clock, if there was no answer (`R13`: unknown write outcome).
    #[serde(skip_serializing_if = "is_default")]
    pub subscribers_sent_at: Option<DateTime<Utc>>,
    /// Subscribers that Google refused. They are not sent again until others are to be, or a day later.
    #[serde(skip_serializing_if = "is_default")]
    pub refused_subscribers: Option<Box<RefusedSubscribers>>,
    /// True if the Google case has the notice that the company case was closed in a way that leaves it open (`R32`: closed is not solved).
    #[serde(skip_serializing_if = "is_default")]
    pub left_open_told: bool,
    /// Failed syncs since the last one that ended well. `None` also for an error that version 0.1 has noted.
    #[serde(skip_serializing_if = "is_default")]
    pub failing: Option<Box<Failing>>,
    /// Order of an operator to carry nothing until the pair is resumed. `CaseMapping::paused` has another cause: the flag is gone.
    #[serde(skip_serializing_if = "is_default")]
    pub operator_pause: Option<Box<Order>>,
    /// Order of an operator that ended the pair although both cases exist. The mapping is kept, so that no poll links the cases again.
    #[serde(skip_serializing_if = "is_default")]
    pub unlinked: Option<Box<Order>>,
    /// Order of an operator that linked the two cases. `None` if the connector did.
    #[serde(skip_serializing_if = "is_default")]
    pub linked_by: Option<Box<Order>>,
    /// Items that an operator excluded from the sync.
    #[serde(skip_serializing_if = "is_default")]
    pub skipped: Vec<Skipped>,
    /// The company case's name for texts on the Google case (`R31`: an ID is valid only in its own system).
    #[serde(skip_serializing_if = "is_default")]
    pub company_case: Option<KnownCase>,
    /// Google's state, as it was last shown on the company case.
    #[serde(skip_serializing_if = "is_default")]
    pub turn: Turn,
    /// Titles of both cases, as they were last compared.
    #[serde(skip_serializing_if = "is_default")]
    pub titles: Titles,
    /// Words of the titles of both cases, as they were last read, for people who search for the pair. No decision goes by them.
    #[serde(skip_serializing_if = "is_default")]
    pub title_words: Sides<TitleWords>,
    /// Link, label and marks that show something of the Google case on the company case.
    #[serde(skip_serializing_if = "is_default")]
    pub shown: Shown,
    /// Escalation of the Google case for the company case.
    #[serde(skip_serializing_if = "is_default")]
    pub escalation: Escalation,
    /// Texts of comments, as far as the other side knows them.
    #[serde(skip_serializing_if = "is_default")]
    pub edits: Edits,
    /// Short codes of the warnings that were already logged.
    #[serde(skip_serializing_if = "is_default")]
    pub warned: BTreeSet<String>,
}

impl PairState {
    /// Returns the state of a new pair.
    #[must_use]
    pub fn new() -> Self {
        Self { part_3: true, ..Self::default() }
    }

    /// Lets what was refused be tried again: forgets refused writes, and the attempts on cases that take no changes, no link, no label or no
    /// mark. Returns true if there was any.
    pub fn try_again(&mut self) -> bool {
        let mut is_changed = !self.refusals.is_empty();
        self.refusals.clear();
        is_changed |= self.shown.try_again();
        is_changed |= self.edits.try_again();
        for side in Side::BOTH {
            if let Some(read_only) = &mut self.read_only[side] {
                read_only.tried_at = DateTime::UNIX_EPOCH;
                is_changed = true;
            }
        }
        is_changed
    }

    /// Returns the times of priorities, statuses, texts, titles, links, labels, subscribers and escalations that were sent without an answer,
    /// to change them.
    pub(super) fn values_sent_at(&mut self) -> impl Iterator<Item = &mut DateTime<Utc>> {
        let Sides { google, company } = &mut self.priority_sent_at;
        let values = google.iter_mut().chain(company).chain(self.turn.sent_at()).chain(self.titles.sent_at());
        let values = values.chain(self.shown.sent_at());
        values.chain(&mut self.subscribers_sent_at).chain(&mut self.escalation.sent_at)
    }

    /// Returns true if a stored reading of that system is later than `latest`, by its own clock: the clock was set back since (`R36`: clock
    /// skew).
    #[must_use]
    pub fn was_read_after(&self, side: Side, latest: DateTime<Utc>) -> bool {
        let read = Side::BOTH.map(|read_for| self.read_until[read_for][side]);
        read.into_iter().chain([self.forgotten_until[side]]).flatten().any(|at| at > latest)
    }

    /// Returns true if that side's case is read-only, and the next attempt is not due yet (`R33`: final refusals).
    #[must_use]
    pub fn is_read_only(&self, side: Side, now: DateTime<Utc>) -> bool {
        self.read_only[side].as_ref().is_some_and(|read_only| now - read_only.tried_at < READ_ONLY_PAUSE)
    }

    /// Returns true if a write is not tried for now: that side's case is read-only, and has refused this kind of write (`R33`: final
    /// refusals). A kind that it was never asked for is tried: a case may refuse comments and still take a priority.
    #[must_use]
    pub fn is_left_alone(&self, side: Side, what: &Refusable, now: DateTime<Utc>) -> bool {
        self.is_read_only(side, now) && self.refuses_kind(side, what)
    }

    /// Returns true if that side has refused a write of the same kind, and has taken none since.
    #[must_use]
    pub fn refuses_kind(&self, side: Side, what: &Refusable) -> bool {
        self.refusals.iter().any(|refusal| refusal.side == side && refusal.what.is_same_kind(what))
    }

    /// Makes the next attempt on a read-only case due now: a person asks for it.
    pub fn try_read_only_now(&mut self, side: Side) {
        if let Some(read_only) = &mut self.read_only[side] {
            read_only.tried_at = DateTime::UNIX_EPOCH;
        }
    }

    /// Returns the record of that refused write, if there is one (`R33`: final refusals).
    #[must_use]
    pub fn refusal(&self, side: Side, what: &Refusable) -> Option<&Refusal> {
        self.refusals.iter().find(|refusal| refusal.side == side && refusal.what == *what)
    }

    /// Returns the record of that write after another refusal at `now`: with the time of the first refusal, and one more attempt.
    #[must_use]
    pub fn refused_again(&self, side: Side, what: Refusable, now: DateTime<Utc>, reason: String) -> Refusal {
        let earlier = self.refusal(side, &what);
        Refusal {
            side,
            since: earlier.map_or(now, |earlier| earlier.since.min(now)),
            tries: earlier.map_or(0, |earlier| earlier.tries) + 1,
            tried_at: now,
            reason,
            remedy: None,
            given_up: false,
            what,
        }
    }

    /// Stores the record of a refused write, in place of an earlier one.
    pub fn keep_refusal(&mut self, refusal: Refusal) {
        self.refusals.retain(|known| known.side != refusal.side || known.what != refusal.what);
        self.refusals.push(refusal);
    }

    /// Remembers a file that was explained in its place, in place of an earlier explanation of it. The oldest are forgotten.
    pub fn keep_explained(&mut self, explained: Explained) {
        self.explained.retain(|known| known.side != explained.side || known.what != explained.what);
        self.explained.push(explained);
        let most = self.explained.len().saturating_sub(MOST_EXPLAINED);
        self.explained.drain(..most);
    }

    /// Returns true if that write was given up and explained (`R33`: final refusals), or if an operator excluded its original.
    #[must_use]
    pub fn gave_up(&self, side: Side, what: &Refusable) -> bool {
        let is_skipped = match what {
            Refusable::Item(
                Source::Comment { id, .. } | Source::Attachment { id } | Source::Edit { id, .. },
            ) => self.is_skipped(side.other(), id),
            Refusable::Item(Source::Description { .. } | Source::Notice(_))
            | Refusable::Priority
            | Refusable::Close
            | Refusable::Reopen
            | Refusable::LinkBack => false,
        };
        is_skipped || self.refusal(side, what).is_some_and(|refusal| refusal.given_up)
    }

    /// Returns true if an operator excluded that item of `side` from the sync.
    #[must_use]
    pub fn is_skipped(&self, side: Side, id: &str) -> bool {
        self.skipped.iter().any(|skipped| skipped.side == side && skipped.id == id)
    }

    /// Excludes an item from the sync, and forgets the refusals of its copies. Returns false if it is excluded already.
    pub fn skip(&mut self, skipped: Skipped) -> bool {
        if self.is_skipped(skipped.side, &skipped.id) {
            return false;
        }
        let is_copy = |refusal: &Refusal| {
            let id = match &refusal.what {
                Refusable::Item(
                    Source::Comment { id, .. } | Source::Attachment { id } | Source::Edit { id, .. },
                ) => Some(id),
                _ => None,
            };
            refusal.side == skipped.side.other() && id == Some(&skipped.id)
        };
        self.refusals.retain(|refusal| !is_copy(refusal));
        self.skipped.push(skipped);
        true
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
