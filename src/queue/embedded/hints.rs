//! Times at which the queues have to be searched, in memory: an event then costs a search of one queue, not of six.
//!
//! They are hints. The database decides what is due, and a periodic search of all queues finds what other processes have changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::database::Searched;
use crate::queue::TaskKind;

/// Hint about one queue.
#[derive(Debug, Clone, Copy)]
struct Hint {
    kind: TaskKind,
    /// Time of the next search.
    next: Option<DateTime<Utc>>,
    /// True if tasks wait for a slot, so that the end of a delivery is a reason to search.
    full: bool,
}

/// Hints about all queues.
#[derive(Debug)]
pub(super) struct Hints(Mutex<[Hint; TaskKind::ALL.len()]>);

impl Hints {
    pub(super) fn new() -> Self {
        Self(Mutex::new(TaskKind::ALL.map(|kind| Hint { kind, next: None, full: false })))
    }

    fn lock(&self) -> MutexGuard<'_, [Hint; TaskKind::ALL.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a search of a queue at `at`, or earlier. Returns true if that is earlier than any other search.
    pub(super) fn search_at(&self, kind: TaskKind, at: DateTime<Utc>) -> bool {
        let mut hints = self.lock();
        let first = hints.iter().filter_map(|hint| hint.next).min();
        for hint in hints.iter_mut().filter(|hint| hint.kind == kind) {
            hint.next = Some(hint.next.map_or(at, |next| next.min(at)));
        }
        first.is_none_or(|first| at < first)
    }

    /// Takes note of a search. A task that was queued meanwhile keeps its earlier time.
    pub(super) fn searched(&self, searched: &[Searched]) {
        let mut hints = self.lock();
        for Searched { kind, next, full } in searched {
            for hint in hints.iter_mut().filter(|hint| hint.kind == *kind) {
                hint.next = hint.next.into_iter().chain(*next).min();
                hint.full = *full;
            }
        }
    }

    /// Returns the queues to be searched now, and forgets their times.
    pub(super) fn take_due(&self, now: DateTime<Utc>) -> Vec<TaskKind> {
        let mut hints = self.lock();
        let due = hints.iter_mut().filter(|hint| hint.next.is_some_and(|next| next <= now));
        due.map(|hint| {
            hint.next = None;
            hint.kind
        })
        .collect()
    }

    /// Returns the time of the next search.
    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        self.lock().iter().filter_map(|hint| hint.next).min()
    }

    /// True if tasks of the queue wait for a slot.
    pub(super) fn is_full(&self, kind: TaskKind) -> bool {
        self.lock().iter().any(|hint| hint.kind == kind && hint.full)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_task_that_is_queued_during_a_search_keeps_its_time() {
        let (hints, kind) = (Hints::new(), TaskKind::SyncGoogleCase);
        let now: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = now + TimeDelta::minutes(1);
        assert!(hints.search_at(kind, now));
        assert_eq!(hints.take_due(now), [kind]);
        // The search has begun.
        assert!(hints.search_at(kind, now));
        hints.searched(&[Searched { kind, next: Some(later), full: true }]);
        assert_eq!(hints.next(), Some(now));
        assert!(hints.is_full(kind) && !hints.is_full(TaskKind::SyncCompanyCase));
        assert_eq!((hints.take_due(now), hints.take_due(later)), (vec![kind], vec![]));
    }

    #[test]
    fn only_an_earlier_time_is_a_reason_to_wake_up() {
        let hints = Hints::new();
        let now: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        assert!(hints.search_at(TaskKind::SyncGoogleCase, now + TimeDelta::seconds(2)));
        assert!(!hints.search_at(TaskKind::SyncCompanyCase, now + TimeDelta::seconds(3)));
        assert!(!hints.search_at(TaskKind::SyncGoogleCase, now + TimeDelta::seconds(2)));
        assert!(hints.search_at(TaskKind::SyncCompanyCase, now));
        assert_eq!(hints.take_due(now), [TaskKind::SyncCompanyCase]);
        assert_eq!(hints.next(), Some(now + TimeDelta::seconds(2)));
    }
}
