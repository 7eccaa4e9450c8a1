//! `Global`: the one entity that all polls share.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{Side, Sides};

/// Open linked case that is read to prove that its system still shows it (`R26`: empty answers need proof).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// ID of the case.
    pub case: String,
    /// Time at which the system last showed a case of this scope, by our clock.
    pub seen_at: DateTime<Utc>,
}

/// Measured index lag of a system's search (`R27`: sweeps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexLag {
    /// Longest time after which a poll found a change that an earlier poll should have found, in seconds.
    pub seconds: i64,
    /// Time at which the change was found, by our clock.
    pub at: DateTime<Utc>,
}

/// State that the polls of one side keep between runs. Absent in records of version 0.1.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PollMemory {
    /// Time of the first start, by our clock, from which `sync.since` counts; `None` if it does not count from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_at: Option<DateTime<Utc>>,
    /// Time up to which the system has shown all changes, in its own time (`R26`: empty answers need proof; `R36`: clock skew). A poll
    /// searches back to here, less the window. An empty answer moves it only with a proof that the system shows cases.
    pub shown_until: Option<DateTime<Utc>>,
    /// Time at which the system last named the connector's user, by our clock.
    pub identified_at: Option<DateTime<Utc>>,
    /// Time at which the system last proved that it shows cases, by our clock.
    pub seen_at: Option<DateTime<Utc>>,
    /// Canary for each scope in which cases are mapped (`R26`: empty answers need proof).
    pub canaries: BTreeMap<String, Canary>,
    /// True if the last poll found a case that was updated within the polling window.
    pub found_last: bool,
    /// Time at which a poll last made a call besides its search, by our clock.
    pub probed_at: Option<DateTime<Utc>>,
    /// Time of the last poll that made both searches, for a system that takes two; by our clock.
    pub searched_twice_at: Option<DateTime<Utc>>,
    /// Time of the last sweep over the last day, by our clock (`R27`: sweeps).
    pub swept_day_at: Option<DateTime<Utc>>,
    /// Time of the last sweep over `max_case_age`, by our clock (`R27`: sweeps).
    pub swept_all_at: Option<DateTime<Utc>>,
    /// Time of the first of the sweeps over everything that found no case, if none was found since; by our clock (`R24`: health of the
    /// polls). It is no failure: a new organisation is empty, too.
    pub empty_since: Option<DateTime<Utc>>,
    /// Longest recent index lag (`R27`: sweeps).
    pub index_lag: Option<IndexLag>,
    /// Lead of the system's clock over ours at the last poll, in seconds (`R36`: clock skew).
    pub skew_seconds: Option<i64>,
    /// Reason why the last poll did not trust the answers of the system; for people.
    pub doubt: Option<String>,
}

/// Progress of the polls. Exactly one exists; it is never deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Global {
    /// Time at which the last complete poll of CSAPI began (`R6`: a watermark moves last); `None` before the first.
    pub google_last_polled_at: Option<DateTime<Utc>>,
    /// Time at which the last complete poll of the CRM began (`R6`: a watermark moves last); `None` before the first.
    pub company_last_polled_at: Option<DateTime<Utc>>,
    /// State of the polls of each side.
    pub memory: Sides<PollMemory>,
}

impl Global {
    /// Key of the entity in every store.
    pub const ID: i64 = 1;

    /// Returns the watermark of that side.
    #[must_use]
    pub fn last_polled_at(&self, side: Side) -> Option<DateTime<Utc>> {
        match side {
            Side::Google => self.google_last_polled_at,
            Side::Company => self.company_last_polled_at,
        }
    }

    /// Stores the result of a poll of that side. The watermark may move back, if a clock that was ahead is right again (`R36`: clock skew).
    pub fn set_poll(&mut self, side: Side, last_polled_at: Option<DateTime<Utc>>, memory: PollMemory) {
        match side {
            Side::Google => self.google_last_polled_at = last_polled_at,
            Side::Company => self.company_last_polled_at = last_polled_at,
        }
        self.memory[side] = memory;
    }

    /// Returns the time since the last poll of each side; `None` if there was none (`R24`: health of the polls). Negative if the clock was
    /// ahead at that poll (`R36`: clock skew).
    #[must_use]
    pub fn poll_ages(&self, now: DateTime<Utc>) -> Sides<Option<Duration>> {
        let age = |side| self.last_polled_at(side).map(|at| now - at);
        Sides { google: age(Side::Google), company: age(Side::Company) }
    }
}
