//! Times at which what failed is tried again, for people.

use chrono::{DateTime, Duration, Utc};

use super::pair_state::READ_ONLY_PAUSE;
use super::{CaseMapping, Failing, Refusal};

/// Longest pause between two tries of a task that fails: `max_backoff_seconds` of the queues of syncs.
const LONGEST_PAUSE: Duration = Duration::minutes(5);

impl CaseMapping {
    /// Returns the time by which the pair is synced again after a failed sync. `None` if no sync has failed, or if nothing is tried by itself.
    #[must_use]
    pub fn next_try(&self) -> Option<DateTime<Utc>> {
        let failing = self.state.failing.as_deref().filter(|_| self.is_tried())?;
        Some(self.after(failing.last_at))
    }

    /// Returns the time by which a refused write is tried again. `None` if it is not tried by itself.
    #[must_use]
    pub fn next_try_of(&self, refusal: &Refusal) -> Option<DateTime<Utc>> {
        if refusal.given_up || !self.is_tried() {
            return None;
        }
        Some(match &self.state.read_only[refusal.side] {
            Some(read_only) => plus(read_only.tried_at, READ_ONLY_PAUSE),
            None => self.after(refusal.tried_at),
        })
    }

    /// Returns true if syncs of the pair write something.
    fn is_tried(&self) -> bool {
        self.held().is_none() && !self.paused && self.gone.is_none() && self.state.conflict.is_none()
    }

    fn after(&self, last: DateTime<Utc>) -> DateTime<Utc> {
        let hung = self.state.failing.as_deref().and_then(Failing::waits_until);
        let next = plus(last, LONGEST_PAUSE);
        hung.map_or(next, |hung| hung.max(next))
    }
}

fn plus(at: DateTime<Utc>, pause: Duration) -> DateTime<Utc> {
    at.checked_add_signed(pause).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::{FirstSeen, GoogleCaseName, Order, ReadOnly, Refusable, Side};

    #[test]
    fn a_try_is_announced_only_where_there_will_be_one() {
        let start: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        let name = GoogleCaseName::parse("organizations/1/cases/7").unwrap();
        let mut mapping = CaseMapping::first_seen(FirstSeen::Google(name), None, None, start);
        assert_eq!(mapping.next_try(), None);
        mapping.failed("refused".to_owned(), start);
        let refusal = mapping.state.refused_again(Side::Company, Refusable::Close, start, "no".to_owned());
        let soon = Some(start + Duration::minutes(5));
        assert_eq!((mapping.next_try(), mapping.next_try_of(&refusal)), (soon, soon));
        let given_up = Refusal { given_up: true, ..refusal.clone() };
        assert_eq!(mapping.next_try_of(&given_up), None);
        for _ in 0..5 {
            mapping.hung("no answer".to_owned(), start);
        }
        let later = Some(start + Duration::minutes(10));
        assert_eq!((mapping.next_try(), mapping.next_try_of(&refusal)), (later, later));
        let read_only = ReadOnly { since: start, tried_at: start + Duration::hours(1), told: true };
        mapping.state.read_only.company = Some(read_only);
        assert_eq!(mapping.next_try_of(&refusal), Some(start + Duration::hours(25)));
        let order = Order { since: start, by: "Jane".to_owned(), reason: None };
        mapping.state.operator_pause = Some(Box::new(order));
        assert_eq!((mapping.next_try(), mapping.next_try_of(&refusal)), (None, None));
    }
}
