//! Pacing: limits the updates of one ticket to the number that Zendesk takes from one user in ten minutes.
//!
//! Zendesk refuses the thirty-first with 429 and a `Retry-After` of up to ten minutes, too long for a task to wait. So an update beyond the
//! limit is not sent: the sync fails, its progress so far is saved, and the queue retries later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};

/// Period that the limit applies to.
const PERIOD: Duration = Duration::minutes(10);

/// Times of the updates of the last ten minutes, by ticket.
#[derive(Debug)]
pub(super) struct Pacing {
    limit: usize,
    updates: Mutex<HashMap<u64, VecDeque<DateTime<Utc>>>>,
}

impl Pacing {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, updates: Mutex::default() }
    }

    /// Counts an update. If the limit is reached, returns the time at which the next one is allowed.
    pub(super) fn take(&self, ticket: u64, now: DateTime<Utc>) -> Result<(), DateTime<Utc>> {
        let mut all = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        // Drops tickets without recent updates.
        all.retain(|_, updates| {
            // A time in the future was taken from a clock that ran ahead, and could block the ticket for years (R36: clock skew).
            updates.retain(|at| *at <= now && *at + PERIOD > now);
            !updates.is_empty()
        });
        let updates = all.entry(ticket).or_default();
        match updates.front() {
            Some(oldest) if updates.len() >= self.limit => Err(*oldest + PERIOD),
            _ => {
                updates.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_updated_so_often_and_no_more_until_ten_minutes_have_passed() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let pacing = Pacing::new(2);
        for (ticket, second, expected) in [
            (1, 0, Ok(())),
            (1, 10, Ok(())),
            (1, 20, Err(at(600))),
            (2, 20, Ok(())),
            (1, 599, Err(at(600))),
            (1, 600, Ok(())),
            (1, 601, Err(at(610))),
        ] {
            assert_eq!(pacing.take(ticket, at(second)), expected, "ticket {ticket} at {second}");
        }
        for second in [9_000, 9_001, 20] {
            assert!(pacing.take(1, at(second)).is_ok(), "a clock that was set back blocks nothing");
        }
        assert!(pacing.take(3, at(10_000)).is_ok());
        assert_eq!(pacing.updates.lock().unwrap().len(), 1, "the others are forgotten");
    }
}
