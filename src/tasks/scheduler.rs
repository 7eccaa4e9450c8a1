//! Scheduler of the syncs: priority with aging, the most urgent first, at a pace within the upstreams' rate limits (`R21`: pacing). A fresh
//! urgent case is among the first, however large the backlog is, and no case starves.
//!
//! The backlog is in the store (`R7`: dirty sides). A queue holds only as many syncs as the upstreams' rate limits allow in the next
//! minutes. Cloud Tasks and the embedded queue deliver by time and not by urgency, so the scheduler converts urgency into a delivery time.

use std::collections::BinaryHeap;

use chrono::{DateTime, Duration, Utc};

use super::Deps;
use super::recheck::Recheck;
use crate::entities::{CaseMapping, Dirty, Global, Priority, Side};
use crate::queue::{Enqueued, QueueError, QueuedTask, SyncCompanyCase, SyncGoogleCase, TaskKind, TaskName};
use crate::store::{MappingFilter, StoreError};

/// Number of mappings that are read at a time.
const PAGE: usize = 200;

/// Aging: waiting time that makes up for one level of priority. A P4 that has waited four hours longer comes before a P0, so no case
/// starves.
const LEVEL: Duration = Duration::hours(1);
/// Delay for a case whose last sync failed: its task is most likely still in the queue, which retries it.
const FAILED: Duration = Duration::hours(6);
/// Time for which a queue is filled ahead, in minutes. The backlog is scheduled every five minutes, and that may be a little late.
const AHEAD: usize = 6;
/// Time without a complete poll after which a side counts as down.
const SILENT: Duration = Duration::minutes(5);
/// Number of syncs that are queued at a time towards a side that is down. Each is retried, and when the side is up again the retries come
/// before new syncs.
const PROBES: usize = 2;

/// Number of syncs per minute that a share of the rate limits allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace(usize);

/// Urgency of a sync; the smallest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// The side is dirty. The time is the start of waiting, later for a lower priority and after a failure.
    Changes(DateTime<Utc>),
    /// No change is known, but a recently updated case is read again, or a read-only case is tried again.
    Recheck(Recheck),
}

impl Urgency {
    /// Returns the urgency of a dirty side of a mapping.
    pub(super) fn of(waiting: &Dirty, mapping: &CaseMapping) -> Self {
        let level = mapping.priority.unwrap_or(Priority::P4).level();
        let failed = if mapping.last_error.is_some() { FAILED } else { Duration::zero() };
        Self::Changes(waiting.since + LEVEL * i32::from(level) + failed)
    }
}

/// Sync that could be queued, ordered by urgency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) urgency: Urgency,
    /// ID of the case, on the side that it is carried from.
    pub(super) case: String,
    pub(super) side: Side,
    /// Reason for the sync, a part of the task's name (`R3`: task names).
    pub(super) reason: String,
}

/// True if a side counts as down, given the time of its last complete poll. A side that was never polled does not.
pub(super) fn is_down(last_polled_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last_polled_at.is_some_and(|polled| now - polled > SILENT)
}

/// Top-k selection: keeps only the most urgent of many candidates in memory.
pub(super) struct MostUrgent {
    room: usize,
    /// Heap with the least urgent on top.
    chosen: BinaryHeap<Candidate>,
    offered: usize,
}

impl MostUrgent {
    pub(super) fn new(room: usize) -> Self {
        Self { room, chosen: BinaryHeap::new(), offered: 0 }
    }

    pub(super) fn offer(&mut self, candidate: Candidate) {
        self.offered += 1;
        self.chosen.push(candidate);
        if self.chosen.len() > self.room {
            self.chosen.pop();
        }
    }

    /// Number of candidates for which there was no room.
    pub(super) fn left(&self) -> usize {
        self.offered - self.chosen.len()
    }

    /// Returns the selection, the most urgent first.
    pub(super) fn into_sorted(self) -> Vec<Candidate> {
        self.chosen.into_sorted_vec()
    }
}

impl Pace {
    fn of(syncs_per_minute: u32, quarters: usize) -> Self {
        Self(
            (usize::try_from(syncs_per_minute).unwrap_or(usize::MAX / 4).saturating_mul(quarters) / 4).max(1),
        )
    }

    /// Returns the share of one poll in the rate limits: a quarter, since there are two polls.
    pub(super) fn of_poll(syncs_per_minute: u32) -> Self {
        Self::of(syncs_per_minute, 1)
    }

    /// Returns the share of the backlog: half. With those of the polls it makes up the whole, so that no due sync waits for long. Syncs for
    /// which a poll has no room stay in the backlog.
    pub(super) fn of_backlog(syncs_per_minute: u32) -> Self {
        Self::of(syncs_per_minute, 2)
    }

    /// Number of syncs that are delivered without delay.
    fn at_once(self) -> usize {
        (self.0 / 2).max(16)
    }

    /// Number of syncs that may be queued ahead.
    pub(super) fn ahead(self) -> usize {
        self.at_once().saturating_add(self.0.saturating_mul(AHEAD))
    }

    /// Returns the earliest delivery time of the sync with this rank, counted from 0. `None`: at once.
    pub(super) fn turn(self, rank: usize, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let behind = rank.checked_sub(self.at_once())? + 1;
        let seconds = 60 * i64::try_from(behind / self.0).unwrap_or(i64::MAX / 100);
        let rest = 60_000_000 * (behind % self.0) / self.0;
        Some(now + Duration::seconds(seconds) + Duration::microseconds(i64::try_from(rest).unwrap_or(0)))
    }

    /// Number of rechecks per minute beside this many changes. At least one, however many changes there are.
    fn rechecks(self, news: usize) -> usize {
        self.0.saturating_sub(news).max(self.0 / 5).max(1)
    }

    /// Chooses the rechecks for this minute. If there is not room for all, the last ones of their cases come first: nobody reads those
    /// cases again.
    pub(super) fn rechecks_of(self, mut rechecks: Vec<Candidate>, news: usize) -> Vec<Candidate> {
        rechecks.sort();
        rechecks.truncate(self.rechecks(news));
        rechecks
    }

    /// Number of changes that may be queued towards a side: only a few if it is down.
    pub(super) fn room(self, is_down: bool) -> usize {
        if is_down { PROBES } else { self.ahead() }
    }
}

/// Queues syncs, the first ones at once and the others paced by the rate limits. Returns the number of new tasks.
pub(super) async fn queue_in_turn(
    deps: &Deps,
    pace: Pace,
    candidates: Vec<Candidate>,
    failures: &mut Vec<String>,
) -> usize {
    let (now, mut queued) = (deps.clock.now(), 0);
    for (rank, candidate) in candidates.into_iter().enumerate() {
        let Candidate { side, case, reason, .. } = candidate;
        match queue_case(deps, side, &case, &reason, pace.turn(rank, now)).await {
            Ok(Enqueued::New) => queued += 1,
            Ok(Enqueued::AlreadyExists) => {}
            Err(error) => failures.push(format!("case {case}: {error}")),
        }
    }
    queued
}

/// Result of scheduling the backlog.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Number of dirty mappings.
    pub(super) waiting: i64,
    /// Age of the oldest dirty mark.
    pub(super) oldest: Duration,
    /// Number of syncs that were queued.
    pub(super) queued: usize,
    pub(super) failures: Vec<String>,
}

/// Queues the most urgent syncs of the backlog: those for which the polls had no room, and those whose task was lost. At most one per hour
/// for the same change.
pub(super) async fn queue_backlog(
    deps: &Deps,
    global: &Global,
    now: DateTime<Utc>,
) -> Result<Backlog, StoreError> {
    let pace = Pace::of_backlog(deps.settings.syncs_per_minute);
    let mut backlog = Backlog::default();
    let mut chosen = Side::BOTH
        .map(|side| (side, MostUrgent::new(pace.room(is_down(global.last_polled_at(side.other()), now)))));
    let mut after = None;
    loop {
        let found = deps.store.list(MappingFilter::NeedsWatching, after, PAGE).await?;
        for mapping in found.mappings.iter().filter(|mapping| !mapping.is_dormant() && mapping.gone.is_none())
        {
            for (side, chosen) in &mut chosen {
                if let (Some(waiting), Some(case)) = (&mapping.dirty[*side], mapping.case_id(*side)) {
                    let urgency = Urgency::of(waiting, mapping);
                    let reason = reason_for_changes(waiting, now);
                    chosen.offer(Candidate { urgency, case: case.to_owned(), side: *side, reason });
                }
                // A read-only case is tried once a day (R33: final refusals). The reason names the last attempt, so that each attempt gets
                // one sync.
                let state = &mapping.state;
                if let (Some(read_only), Some(case)) =
                    (&state.read_only[side.other()], mapping.case_id(*side))
                    && !state.is_read_only(side.other(), now)
                {
                    let reason = format!("takes nothing as of {}", read_only.tried_at.timestamp_micros());
                    let urgency = Urgency::Recheck(Recheck::Last);
                    chosen.offer(Candidate { urgency, case: case.to_owned(), side: *side, reason });
                }
            }
            let waiting = Side::BOTH.into_iter().filter_map(|side| mapping.dirty[side]);
            if let Some(since) = waiting.map(|waiting| waiting.since).min() {
                backlog.waiting += 1;
                backlog.oldest = backlog.oldest.max(now - since);
            }
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    let mut candidates: Vec<Candidate> =
        chosen.into_iter().flat_map(|(_, chosen)| chosen.into_sorted()).collect();
    candidates.sort();
    candidates.truncate(pace.ahead());
    backlog.queued = queue_in_turn(deps, pace, candidates, &mut backlog.failures).await;
    Ok(backlog)
}

pub(super) fn reason_for_changes(waiting: &Dirty, now: DateTime<Utc>) -> String {
    let since = waiting.since.timestamp_micros();
    let updated = waiting.case_updated_at.map_or(since, |at| at.timestamp_micros());
    format!("news {updated} since {since} hour {}", now.timestamp().div_euclid(3600))
}

/// Queues the sync of a mapping's case on that side, if the case is known.
pub(super) async fn queue_sync(
    deps: &Deps,
    side: Side,
    mapping: &CaseMapping,
    reason: &str,
) -> Result<Option<Enqueued>, QueueError> {
    match mapping.case_id(side) {
        Some(case) => queue_case(deps, side, case, reason, None).await.map(Some),
        None => Ok(None),
    }
}

async fn queue_case(
    deps: &Deps,
    side: Side,
    case: &str,
    reason: &str,
    not_before: Option<DateTime<Utc>>,
) -> Result<Enqueued, QueueError> {
    let (kind, body) = match side {
        Side::Google => {
            (TaskKind::SyncGoogleCase, serde_json::to_value(SyncGoogleCase { case_name: case.to_owned() }))
        }
        Side::Company => {
            (TaskKind::SyncCompanyCase, serde_json::to_value(SyncCompanyCase { case_id: case.to_owned() }))
        }
    };
    let body = body.map_err(|error| QueueError { task: kind, reason: error.to_string() })?;
    let name = Some(TaskName::new(kind, deps.home(), case, reason));
    deps.queue.enqueue(QueuedTask { kind, body, name, not_before }).await
}

/// Queues the syncs of all dirty sides of a mapping.
pub(super) async fn queue_waiting(
    deps: &Deps,
    mapping: &CaseMapping,
    now: DateTime<Utc>,
) -> Result<usize, QueueError> {
    let mut queued = 0;
    for side in Side::BOTH {
        if let Some(waiting) = &mapping.dirty[side]
            && queue_sync(deps, side, mapping, &reason_for_changes(waiting, now)).await?
                == Some(Enqueued::New)
        {
            queued += 1;
        }
    }
    Ok(queued)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::{FirstSeen, GoogleCaseName};

    fn now() -> DateTime<Utc> {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    fn mapping(level: Priority) -> CaseMapping {
        let name = GoogleCaseName::parse("organizations/1/cases/2").unwrap();
        CaseMapping::first_seen(FirstSeen::Google(name), Some(level), None, now())
    }

    fn news(level: Priority, minutes_ago: i64) -> Urgency {
        let waiting = Dirty { since: now() - Duration::minutes(minutes_ago), case_updated_at: None };
        Urgency::of(&waiting, &mapping(level))
    }

    fn candidate(urgency: Urgency, number: usize) -> Candidate {
        Candidate { urgency, case: format!("{number:05}"), side: Side::Google, reason: String::new() }
    }

    #[test]
    fn the_urgent_come_first_and_whoever_waits_long_enough_comes_before_them() {
        let mut order = [
            Urgency::Recheck(Recheck::Early),
            news(Priority::P4, 0),
            news(Priority::P4, 239),
            news(Priority::P1, 61),
            news(Priority::P0, 0),
            news(Priority::P0, 30),
            news(Priority::P4, 300),
            news(Priority::P1, 59),
        ];
        order.sort();
        let expected = [
            news(Priority::P1, 61),
            news(Priority::P4, 300),
            news(Priority::P0, 30),
            news(Priority::P0, 0),
            news(Priority::P1, 59),
            news(Priority::P4, 239),
            news(Priority::P4, 0),
            Urgency::Recheck(Recheck::Early),
        ];
        let mut sorted = expected;
        sorted.sort();
        assert_eq!(order, sorted);
        for (before, after) in [
            (news(Priority::P0, 0), news(Priority::P1, 59)),
            (news(Priority::P1, 61), news(Priority::P0, 0)),
            (news(Priority::P4, 241), news(Priority::P0, 0)),
            (news(Priority::P4, 0), Urgency::Recheck(Recheck::Early)),
        ] {
            assert!(before < after, "{before:?} before {after:?}");
        }
    }

    #[test]
    fn a_case_that_failed_comes_later() {
        let waiting = Dirty { since: now(), case_updated_at: None };
        let failed = CaseMapping { last_error: Some("no".to_owned()), ..mapping(Priority::P0) };
        assert!(Urgency::of(&waiting, &failed) > news(Priority::P4, 0));
        assert!(Urgency::of(&waiting, &failed) < Urgency::Recheck(Recheck::Early));
    }

    #[test]
    fn some_go_at_once_and_the_others_at_the_pace() {
        let pace = Pace::of_poll(240);
        assert_eq!((pace.turn(0, now()), pace.turn(29, now())), (None, None));
        for (rank, seconds) in [(30, 1), (31, 2), (89, 60), (90, 61), (389, 360)] {
            assert_eq!(pace.turn(rank, now()), Some(now() + Duration::seconds(seconds)), "rank {rank}");
        }
        assert_eq!(pace.ahead(), 390, "six minutes' worth");
        let slow = Pace::of_poll(0);
        assert_eq!(slow.turn(15, now()), None);
        assert_eq!(slow.turn(16, now()), Some(now() + Duration::minutes(1)));
        // However high the rate, nothing overflows.
        assert_eq!(Pace::of_backlog(u32::MAX).turn(1_000_000, now()), None);
    }

    #[test]
    fn only_the_most_urgent_are_kept() {
        let mut chosen = MostUrgent::new(3);
        for number in [5, 1, 4, 2, 3] {
            chosen.offer(candidate(news(Priority::P0, -i64::try_from(number).unwrap()), number));
        }
        assert_eq!(chosen.left(), 2);
        let cases: Vec<String> = chosen.into_sorted().into_iter().map(|candidate| candidate.case).collect();
        assert_eq!(cases, ["00001", "00002", "00003"]);
    }

    #[test]
    fn when_there_is_not_room_for_every_recheck_the_last_ones_come_first() {
        let pace = Pace::of_poll(100);
        let all = || {
            let early = (0..60).map(|number| candidate(Urgency::Recheck(Recheck::Early), number));
            let last = (60..80).map(|number| candidate(Urgency::Recheck(Recheck::Last), number));
            early.chain(last).collect::<Vec<_>>()
        };
        assert_eq!(pace.rechecks_of(all()[..25].to_vec(), 0).len(), 25, "room for all");
        let chosen = pace.rechecks_of(all(), 0);
        assert_eq!(chosen.len(), 25);
        assert!(chosen[..20].iter().all(|chosen| chosen.urgency == Urgency::Recheck(Recheck::Last)));
        assert_eq!(pace.rechecks_of(all(), 20).len(), 5, "news comes first");
        assert_eq!(pace.rechecks_of(all(), 10_000).len(), 5, "and never leaves nothing");
    }

    #[test]
    fn towards_a_side_that_is_down_only_a_few_are_queued() {
        let pace = Pace::of_poll(100);
        assert!(!is_down(None, now()), "it was never polled: nobody knows");
        assert!(!is_down(Some(now() - Duration::minutes(5)), now()));
        assert!(is_down(Some(now() - Duration::minutes(6)), now()));
        assert_eq!((pace.room(false), pace.room(true)), (pace.ahead(), PROBES));
    }
}
