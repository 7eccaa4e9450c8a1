//! The one `Global` entity.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{Side, Sides};

/// An open linked case that is read to prove that its system still shows it (`R26`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// ID of the case.
    pub case: String,
    /// When the system last showed a case of this scope, by our clock.
    pub seen_at: DateTime<Utc>,
}

/// How late a system's search index was seen to be (`R27`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexLag {
    /// Longest time after which a change was found that an earlier poll should have found, in seconds.
    pub seconds: i64,
    /// When that was, by our clock.
    pub at: DateTime<Utc>,
}

/// What the polls of one side remember between each other. Absent in records of version 0.1.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PollMemory {
    /// Up to when everything was shown, in the system's own time (`R26`, `R36`): a poll looks back to here, less the window. An empty
    /// answer moves it only with proof of sight.
    pub shown_until: Option<DateTime<Utc>>,
    /// When the system last named the connector's user, by our clock.
    pub identified_at: Option<DateTime<Utc>>,
    /// When the system last proved that it shows cases, by our clock.
    pub seen_at: Option<DateTime<Utc>>,
    /// A case for each scope in which cases are mapped (`R26`).
    pub canaries: BTreeMap<String, Canary>,
    /// The last poll found a case that was updated within the polling window.
    pub found_last: bool,
    /// When a poll last made a call beside its search, by our clock.
    pub probed_at: Option<DateTime<Utc>>,
    /// Time of the last poll that made both searches, for a system that takes two; by our clock.
    pub searched_twice_at: Option<DateTime<Utc>>,
    /// When the sweep over the last day was last made, by our clock (`R27`).
    pub swept_day_at: Option<DateTime<Utc>>,
    /// When the sweep over `max_case_age` was last made, by our clock (`R27`).
    pub swept_all_at: Option<DateTime<Utc>>,
    /// How late the index was.
    pub index_lag: Option<IndexLag>,
    /// How far the system's clock was ahead of ours at the last poll, in seconds (`R36`).
    pub skew_seconds: Option<i64>,
    /// Why the last poll did not believe what it was shown; for people.
    pub doubt: Option<String>,
}

/// How far the polls have come. Exactly one exists; it is never deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Global {
    /// When the last complete poll of CSAPI began (`R6`); `None` before the first.
    pub google_last_polled_at: Option<DateTime<Utc>>,
    /// When the last complete poll of the CRM began (`R6`); `None` before the first.
    pub company_last_polled_at: Option<DateTime<Utc>>,
    /// What the polls remember.
    pub memory: Sides<PollMemory>,
}

impl Global {
    /// Its key in every store.
    pub const ID: i64 = 1;

    /// That side's watermark.
    #[must_use]
    pub fn last_polled_at(&self, side: Side) -> Option<DateTime<Utc>> {
        match side {
            Side::Google => self.google_last_polled_at,
            Side::Company => self.company_last_polled_at,
        }
    }

    /// Replaces what a poll of that side left. The watermark may move back: a clock that was ahead is right again (`R36`).
    pub fn set_poll(&mut self, side: Side, last_polled_at: Option<DateTime<Utc>>, memory: PollMemory) {
        match side {
            Side::Google => self.google_last_polled_at = last_polled_at,
            Side::Company => self.company_last_polled_at = last_polled_at,
        }
        self.memory[side] = memory;
    }

    /// How long ago each side was polled; `None` if it never was (`R24`). Negative if the clock was ahead then (`R36`).
    #[must_use]
    pub fn poll_ages(&self, now: DateTime<Utc>) -> Sides<Option<Duration>> {
        let age = |side| self.last_polled_at(side).map(|at| now - at);
        Sides { google: age(Side::Google), company: age(Side::Company) }
    }
}
