//! Latest failure of each side's polls, as this instance has seen it, for the page.
//!
//! A poll that fails changes nothing in the store, so that polls that run at the same time cannot undo each other's progress. With several
//! instances, each knows the failures of its own polls; the queue and cron reach all of them in turn.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::cases::without_remedy;
use crate::entities::{Side, Sides};
use crate::tasks::{Outcome, TaskKind, TaskReport};

/// Failures in a row of a side's polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PollFailure {
    pub(super) since: DateTime<Utc>,
    last_at: DateTime<Utc>,
    /// Error of the last one, without its remedy.
    pub(super) reason: String,
    /// Remedy for it, as far as it names one.
    pub(super) remedy: Option<String>,
}

impl PollFailure {
    #[cfg(test)]
    pub(super) fn new(since: DateTime<Utc>, last_at: DateTime<Utc>, reason: &str) -> Self {
        Self { since, last_at, reason: reason.to_owned(), remedy: None }
    }
}

/// Failures of each side's polls since the last one that ended well here.
#[derive(Debug, Clone, Default)]
pub struct PollFailures(Arc<Mutex<Sides<Option<PollFailure>>>>);

impl PollFailures {
    /// Notes how a task ended, if it is a poll.
    pub(super) fn note(&self, kind: TaskKind, report: &TaskReport, now: DateTime<Utc>) {
        let Some(side) = kind.polled_side() else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all[side] = match report.outcome {
            Outcome::Done => None,
            Outcome::Outage | Outcome::Failed | Outcome::Abandoned => {
                let since = all[side].as_ref().map_or(now, |earlier| earlier.since);
                let remedy = report.remedy.clone();
                let detail = report.detail.as_deref().unwrap_or_default();
                let reason = without_remedy(detail, remedy.as_deref()).to_owned();
                Some(PollFailure { since, last_at: now, reason, remedy })
            }
        };
    }

    /// Returns the failure of a side's polls, unless another instance has polled it completely since.
    pub(super) fn of(&self, side: Side, last_polled_at: Option<DateTime<Utc>>) -> Option<PollFailure> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all[side].clone().filter(|failure| last_polled_at.is_none_or(|last| failure.last_at > last))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;

    #[test]
    fn a_failure_stands_until_a_poll_ends_well_here_or_elsewhere() {
        let start: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        let at = |minutes: i64| start + Duration::minutes(minutes);
        let polls = PollFailures::default();
        let kind = TaskKind::PollCompany;
        for minute in 1..=3 {
            let failed = TaskReport::failed(kind, format!("HTTP 40{minute}"));
            polls.note(kind, &failed, at(minute));
        }
        let expected = PollFailure::new(at(1), at(3), "HTTP 403");
        assert_eq!(polls.of(Side::Company, Some(at(0))), Some(expected.clone()));
        assert_eq!(polls.of(Side::Company, None), Some(expected));
        assert_eq!(polls.of(Side::Company, Some(at(4))), None, "another instance polled it");
        assert_eq!(polls.of(Side::Google, None), None);
        polls.note(TaskKind::Cleanup, &TaskReport::new(TaskKind::Cleanup, Outcome::Done), at(5));
        assert!(polls.of(Side::Company, None).is_some(), "another task ended well");
        polls.note(kind, &TaskReport::new(kind, Outcome::Done), at(6));
        assert_eq!(polls.of(Side::Company, None), None);
    }
}
