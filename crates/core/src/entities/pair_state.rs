//! What part 3 of the contract remembers of a pair, as one serialised struct: a new field is one line, and is absent in older records.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{Priority, Side, Sides, Source};

/// Pause between two tries to write to a read-only case (`R33`).
const READ_ONLY_PAUSE: Duration = Duration::days(1);

/// A linked case that its system does not show (`R28`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// When it was first not found.
    pub since: DateTime<Utc>,
    /// Number of reads that did not find it. Reads that follow each other closely count once.
    pub reads: u32,
    /// When the last of these reads was.
    pub read_at: DateTime<Utc>,
}

/// What was refused for good while other things succeeded (`R33`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusable {
    /// Writing a comment, or a file, that stands for this.
    Item(Source),
    /// Setting the priority.
    Priority,
    /// Closing.
    Close,
    /// Opening again.
    Reopen,
    /// Writing the Google case's name onto the company case.
    LinkBack,
}

/// How often, and since when, something was refused (`R33`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The side that it was to be done on.
    pub side: Side,
    /// What.
    pub what: Refusable,
    /// When it was first refused.
    pub since: DateTime<Utc>,
    /// Number of tries.
    pub tries: u32,
    /// When it was last tried.
    pub tried_at: DateTime<Utc>,
    /// What the system said; no body, no secret.
    pub reason: String,
    /// It is given up and explained: no sync tries it again, until what was to be done is something else.
    #[serde(default)]
    pub given_up: bool,
}

/// A case that takes no write at all any more (`R33`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOnly {
    /// Since when every write was refused.
    pub since: DateTime<Utc>,
    /// When a write was last tried.
    pub tried_at: DateTime<Utc>,
    /// Whether the other side was told.
    #[serde(default)]
    pub told: bool,
}

/// Why a case is not synchronised: it names a counterpart that it cannot have (`R31`, `R38`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What is wrong and what to do, for people.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether the company case was told.
    #[serde(default)]
    pub told: bool,
}

/// What is remembered of a pair beside the documented properties.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent notes")]
pub struct PairState {
    /// Written by a program that knows part 3; a record without it is of version 0.1.
    pub part_3: bool,
    /// Up to when each system was read by the last complete sync of each side: outer index the side, inner the system, in that
    /// system's own time (`R15`, `R36`).
    #[serde(skip_serializing_if = "is_default")]
    pub read_until: Sides<Sides<Option<DateTime<Utc>>>>,
    /// Up to when the ledger was forgotten, in each system's own time (`R14`): everything before was carried, and no listing goes back to it.
    #[serde(skip_serializing_if = "is_default")]
    pub forgotten_until: Sides<Option<DateTime<Utc>>>,
    /// A system's clock was set back, and copies are recognised by their text until the next complete sync (`R36`): what stands on the
    /// cases is known all the same.
    #[serde(skip_serializing_if = "is_default")]
    pub looks_again: bool,
    /// Priority that both sides have been seen to hold: the base of the three-way merge (`R18`, `R30`).
    #[serde(skip_serializing_if = "is_default")]
    pub agreed_priority: Option<Priority>,
    /// Whether both sides were closed, or both open, when they were last seen to agree: the base of the merge of the status
    /// (`R19`, `R30`). `None`: never seen.
    #[serde(skip_serializing_if = "is_default")]
    pub agreed_closed: Option<bool>,
    /// Priority that was written to a side and that it was not yet read with: once it is, both sides have held it (`R30`).
    #[serde(skip_serializing_if = "is_default")]
    pub told_priority: Sides<Option<Priority>>,
    /// Priority that a side refused to hold (`R30`): not set again until another is to be set.
    #[serde(skip_serializing_if = "is_default")]
    pub unheld_priority: Sides<Option<Priority>>,
    /// Time at which each side last refused it. It is tried again a day later, since a right may have been missing.
    #[serde(skip_serializing_if = "is_default")]
    pub unheld_at: Sides<Option<DateTime<Utc>>>,
    /// A case that is not found (`R28`).
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Sides<Option<Missing>>,
    /// The side that is left was told that the pair has ended (`R28`).
    #[serde(skip_serializing_if = "is_default")]
    pub gone_told: bool,
    /// The pair ended because the company case was merged into this one, which has a pair of its own (`R32`).
    #[serde(skip_serializing_if = "is_default")]
    pub merged_into: Option<String>,
    /// Header of the counterpart's description, where more parts follow it (`R16`): they are split by it.
    #[serde(skip_serializing_if = "is_default")]
    pub description_header: Option<String>,
    /// Project, queue or table of each case (`R26`).
    #[serde(skip_serializing_if = "is_default")]
    pub scope: Sides<Option<String>>,
    /// What was refused for good (`R33`).
    #[serde(skip_serializing_if = "is_default")]
    pub refusals: Vec<Refusal>,
    /// A case that takes nothing any more (`R33`).
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: Sides<Option<ReadOnly>>,
    /// The case names a counterpart that it cannot have (`R31`, `R38`).
    #[serde(skip_serializing_if = "is_default")]
    pub conflict: Option<Conflict>,
    /// The Google case was told that the company case was closed in a way that leaves it open (`R32`).
    #[serde(skip_serializing_if = "is_default")]
    pub left_open_told: bool,
    /// Warnings that were logged already, by a short code.
    #[serde(skip_serializing_if = "is_default")]
    pub warned: BTreeSet<String>,
}

impl PairState {
    /// The state of a new pair.
    #[must_use]
    pub fn new() -> Self {
        Self { part_3: true, ..Self::default() }
    }

    /// Whether that side's case takes nothing, and it is not yet time to try again (`R33`).
    #[must_use]
    pub fn is_left_alone(&self, side: Side, now: DateTime<Utc>) -> bool {
        self.read_only[side].as_ref().is_some_and(|read_only| now - read_only.tried_at < READ_ONLY_PAUSE)
    }

    /// What was refused for good of that, if anything was (`R33`).
    #[must_use]
    pub fn refusal(&self, side: Side, what: &Refusable) -> Option<&Refusal> {
        self.refusals.iter().find(|refusal| refusal.side == side && refusal.what == *what)
    }

    /// Whether that was given up and explained (`R33`).
    #[must_use]
    pub fn gave_up(&self, side: Side, what: &Refusable) -> bool {
        self.refusal(side, what).is_some_and(|refusal| refusal.given_up)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
