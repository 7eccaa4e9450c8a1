//! Kinds of tasks that are queued, and the bodies of their requests.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::entities::Side;

/// One of the six tasks of the documented design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskKind {
    /// Finds Google cases that changed, and queues their syncs.
    PollGoogle,
    /// Finds company cases that changed, and queues their syncs.
    PollCompany,
    /// Carries one Google case to the CRM.
    SyncGoogleCase,
    /// Carries one company case to Google.
    SyncCompanyCase,
    /// Posts a comment on both sides when a case no longer syncs, and when it syncs again.
    DetectOutages,
    /// Deletes the mappings of cases that were closed long ago.
    Cleanup,
}

impl TaskKind {
    /// All kinds, in the order of the documented design.
    pub const ALL: [Self; 6] = [
        Self::PollGoogle,
        Self::PollCompany,
        Self::SyncGoogleCase,
        Self::SyncCompanyCase,
        Self::Cleanup,
        Self::DetectOutages,
    ];

    /// Returns the name, which is also the name of the queue and the last part of the path (`R1`: one queue per task).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PollGoogle => "poll-google",
            Self::PollCompany => "poll-company",
            Self::SyncGoogleCase => "sync-google-case",
            Self::SyncCompanyCase => "sync-company-case",
            Self::DetectOutages => "detect-outages",
            Self::Cleanup => "cleanup",
        }
    }

    /// Returns the path whose `POST` runs the task: `/tasks/poll-google`.
    #[must_use]
    pub fn path(self) -> String {
        format!("/tasks/{}", self.name())
    }

    /// True if cron queues the task; the other two are queued by the polls.
    #[must_use]
    pub const fn is_scheduled(self) -> bool {
        match self {
            Self::PollGoogle | Self::PollCompany | Self::DetectOutages | Self::Cleanup => true,
            Self::SyncGoogleCase | Self::SyncCompanyCase => false,
        }
    }

    /// Returns the side that the task polls, if it is a poll.
    #[must_use]
    pub const fn polled_side(self) -> Option<Side> {
        match self {
            Self::PollGoogle => Some(Side::Google),
            Self::PollCompany => Some(Side::Company),
            Self::SyncGoogleCase | Self::SyncCompanyCase | Self::DetectOutages | Self::Cleanup => None,
        }
    }

    /// Returns the time without an answer after which a queue takes a delivery as failed, if that is longer than the task's own deadline
    /// needs: a sync may carry a large file (`R37`: nobody waits for the slowest). App Engine's flexible environment ends a request after 60
    /// minutes ("How requests are handled").
    #[must_use]
    pub const fn longest_delivery(self) -> Duration {
        if self.is_scheduled() { Duration::ZERO } else { Duration::from_mins(55) }
    }

    /// Returns the kind with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Body of `POST /tasks/sync-google-case`. It is only a hint: the task reads everything again (`R3`: a body is a hint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncGoogleCase {
    /// Full name of the Google case, `organizations/1/cases/2`.
    pub case_name: String,
    /// True if a push hint named the case: without a mapping, it is then admitted by the rules of a poll.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hinted: bool,
    /// Time at which the task that queued this one found another sync of the case under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_busy_at: Option<DateTime<Utc>>,
}

impl SyncGoogleCase {
    /// Creates the body for a case that nothing more is known of.
    #[must_use]
    pub fn of(case_name: impl Into<String>) -> Self {
        Self { case_name: case_name.into(), hinted: false, found_busy_at: None }
    }
}

/// Body of `POST /tasks/sync-company-case`. It is only a hint: the task reads everything again (`R3`: a body is a hint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncCompanyCase {
    /// ID of the company case in the CRM.
    pub case_id: String,
    /// True if a push hint named the case: without a mapping, it is then admitted by the rules of a poll.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hinted: bool,
    /// Time at which the task that queued this one found another sync of the case under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_busy_at: Option<DateTime<Utc>>,
}

impl SyncCompanyCase {
    /// Creates the body for a case that nothing more is known of.
    #[must_use]
    pub fn of(case_id: impl Into<String>) -> Self {
        Self { case_id: case_id.into(), hinted: false, found_busy_at: None }
    }
}
