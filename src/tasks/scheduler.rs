//! Scheduler of the syncs: priority with aging, the most urgent first, at a pace within the upstreams' rate limits (`R21`: pacing). A fresh
//! urgent case is among the first, however large the backlog is, and no case starves.
//!
//! The backlog is in the store (`R7`: dirty sides). A queue holds only as many syncs as the upstreams' rate limits allow in the next
//! minutes. Cloud Tasks and the embedded queue deliver by time and not by urgency, so the scheduler converts urgency into a delivery time.

use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use futures_util::{StreamExt as _, stream};

use super::Deps;
use super::edits::overdue_note;
use super::places::Places;
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
/// Time for which a queue is filled ahead. The backlog is scheduled every five minutes, and that may be a little late.
const AHEAD: Duration = Duration::seconds(330);
/// Number of changes of each poll that are delivered at once, however much was queued before.
const URGENT: usize = 16;
/// Number of tasks that are queued concurrently, since a remote queue takes time for each.
const AT_ONCE: usize = 16;
/// Time without a complete poll after which a side counts as down.
const SILENT: Duration = Duration::minutes(5);
/// Number of syncs that are queued at a time towards a side that is down. Each is retried, and when the side is up again the retries come
/// before new syncs.
const PROBES: usize = 2;

/// Number of syncs per minute that the rate limits allow.
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
pub(super) fn is_down(deps: &Deps, side: Side, global: &Global, now: DateTime<Utc>) -> bool {
    is_silent(global.last_polled_at(side), deps.settings.poll_slack(side), now)
}

fn is_silent(last_polled_at: Option<DateTime<Utc>>, slack: Duration, now: DateTime<Utc>) -> bool {
    last_polled_at.is_some_and(|polled| now - polled > SILENT + slack)
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
    /// Returns the pace that the rate limits and the queues allow.
    pub(super) fn of(deps: &Deps) -> Self {
        let by_queue = deps.queue.syncs_per_minute().unwrap_or(u32::MAX);
        Self::per_minute(deps.settings.syncs_per_minute.min(by_queue))
    }

    fn per_minute(syncs: u32) -> Self {
        Self(usize::try_from(syncs).unwrap_or(usize::MAX).max(1))
    }

    /// Number of syncs that are delivered without delay after a pause.
    fn at_once(self) -> usize {
        (self.0 / 4).max(URGENT)
    }

    /// Number of syncs that may be queued ahead.
    pub(super) fn ahead(self) -> usize {
        (self.0.saturating_mul(usize::try_from(AHEAD.num_seconds()).unwrap_or(0)) / 60).max(URGENT)
    }

    /// Returns the time between two syncs.
    fn interval(self) -> Duration {
        Duration::microseconds(60_000_000 / i64::try_from(self.0).unwrap_or(i64::MAX))
    }

    /// Number of rechecks per minute beside this many changes: a quarter of the pace, and at least a fifth of that, however many changes
    /// there are.
    fn rechecks(self, news: usize) -> usize {
        let most = self.0 / 4;
        most.saturating_sub(news).max(most / 5).max(1)
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

/// Delivery times of the syncs that this process queues: one sequence for both polls and the backlog, so that each may use what the others
/// leave (`R21`: pacing). It is a generic cell rate algorithm, as a rate limiter has it. Holds the places of the syncs that run, too.
#[derive(Debug, Default)]
pub struct Pacer {
    /// Places of the syncs that this process runs (`R37`: nobody waits for the slowest).
    pub(super) places: Places,
    /// Time at which the pace has caught up with all syncs that were queued.
    caught_up_at: Mutex<Option<DateTime<Utc>>>,
}

/// Place in the sequence of a [`Pacer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Earliest delivery time; `None`: at once.
    pub(super) not_before: Option<DateTime<Utc>>,
    /// Part of the sequence that it takes.
    takes: Duration,
}

impl Pacer {
    /// Takes the next place. `rank` is the number of candidates before this one: the first few of each call are due at once, since a fresh
    /// urgent case must not wait for what was queued before it. `None`: the queue is filled as far ahead as it may be.
    fn turn(&self, pace: Pace, candidate: &Candidate, rank: usize, now: DateTime<Utc>) -> Option<Turn> {
        let is_urgent = rank < URGENT && matches!(candidate.urgency, Urgency::Changes(_));
        self.take(pace, is_urgent, now)
    }

    /// Takes the next place; an urgent one is due at once, whatever was queued before. `None`: the queue is filled as far ahead as it may be.
    pub(super) fn take(&self, pace: Pace, is_urgent: bool, now: DateTime<Utc>) -> Option<Turn> {
        let burst = pace.interval() * i32::try_from(pace.at_once()).unwrap_or(i32::MAX);
        let most = AHEAD.max(burst);
        let mut caught_up_at = self.lock();
        // A time further ahead than is ever queued was written before the clock was set back.
        let latest = caught_up_at.filter(|at| *at <= now + most * 2).unwrap_or(now).max(now);
        let (at, takes) = (latest - burst, pace.interval());
        if latest > now + most && !is_urgent {
            return None;
        }
        *caught_up_at = Some(latest + takes);
        let not_before = Some(at).filter(|at| *at > now && !is_urgent);
        Some(Turn { not_before, takes })
    }

    /// Gives a place back that was not used, since the same sync is queued already.
    pub(super) fn give_back(&self, turn: Turn) {
        let mut caught_up_at = self.lock();
        *caught_up_at = caught_up_at.map(|at| at - turn.takes);
    }

    fn lock(&self) -> MutexGuard<'_, Option<DateTime<Utc>>> {
        self.caught_up_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queues syncs, the most urgent first, at the pace of the rate limits. Returns the number of new tasks.
pub(super) async fn queue_in_turn(
    deps: &Deps,
    candidates: Vec<Candidate>,
    failures: &mut Vec<String>,
) -> usize {
    let (now, pace) = (deps.clock.now(), Pace::of(deps));
    let enqueue = |(rank, candidate): (usize, Candidate)| {
        let turn = deps.pacer.turn(pace, &candidate, rank, now);
        async move {
            let Some(turn) = turn else { return Ok(false) };
            let Candidate { side, case, reason, .. } = candidate;
            let queued = queue_case(deps, side, Named::of(&case), &reason, turn.not_before).await;
            if !matches!(queued, Ok(Enqueued::New)) {
                deps.pacer.give_back(turn);
            }
            match queued {
                Ok(queued) => Ok(queued == Enqueued::New),
                Err(error) => Err(format!("case {case}: {error}")),
            }
        }
    };
    let mut outcomes = stream::iter(candidates.into_iter().enumerate().map(enqueue)).buffered(AT_ONCE);
    let mut queued = 0;
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(is_new) => queued += usize::from(is_new),
            Err(failure) => failures.push(failure),
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
    let pace = Pace::of(deps);
    let mut backlog = Backlog::default();
    let mut chosen =
        Side::BOTH.map(|side| (side, MostUrgent::new(pace.room(is_down(deps, side.other(), global, now)))));
    let mut after = None;
    loop {
        let found = deps.store.list(MappingFilter::NeedsWatching, after, PAGE).await?;
        for mapping in found
            .mappings
            .iter()
            .filter(|mapping| !mapping.is_dormant() && mapping.gone.is_none() && mapping.held().is_none())
        {
            for (side, chosen) in &mut chosen {
                if let (Some(waiting), Some(case)) = (&mapping.dirty[*side], mapping.case_id(*side)) {
                    let urgency = Urgency::of(waiting, mapping);
                    let reason = reason_for_changes(waiting, now);
                    chosen.offer(Candidate { urgency, case: case.to_owned(), side: *side, reason });
                }
                // The task that was to write a note about an edit may be lost.
                if mapping.dirty[*side].is_none()
                    && let Some(case) = mapping.case_id(*side)
                    && let Some(reason) = overdue_note(mapping, *side, now)
                {
                    let urgency = Urgency::Recheck(Recheck::Last);
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
    backlog.queued = queue_in_turn(deps, candidates, &mut backlog.failures).await;
    Ok(backlog)
}

pub(super) fn reason_for_changes(waiting: &Dirty, now: DateTime<Utc>) -> String {
    let since = waiting.marked_at.unwrap_or(waiting.since).timestamp_micros();
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
        Some(case) => queue_case(deps, side, Named::of(case), reason, None).await.map(Some),
        None => Ok(None),
    }
}

/// Case to sync, with what its task knows besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) case: &'a str,
    /// True if a push hint named the case, which may have no mapping.
    pub(super) hinted: bool,
    /// Time at which another sync of the case was found under way.
    pub(super) found_busy_at: Option<DateTime<Utc>>,
}

impl<'a> Named<'a> {
    pub(super) fn of(case: &'a str) -> Self {
        Self { case, hinted: false, found_busy_at: None }
    }
}

/// Queues the sync of a case.
pub(super) async fn queue_case(
    deps: &Deps,
    side: Side,
    Named { case, hinted, found_busy_at }: Named<'_>,
    reason: &str,
    not_before: Option<DateTime<Utc>>,
) -> Result<Enqueued, QueueError> {
    let (kind, body) = match side {
        Side::Google => (
            TaskKind::SyncGoogleCase,
            serde_json::to_value(SyncGoogleCase { case_name: case.to_owned(), hinted, found_busy_at }),
        ),
        Side::Company => (
            TaskKind::SyncCompanyCase,
            serde_json::to_value(SyncCompanyCase { case_id: case.to_owned(), hinted, found_busy_at }),
        ),
    };
    let body = body.map_err(|error| QueueError { task: kind, reason: error.to_string() })?;
    let name = Some(TaskName::new(kind, deps.home(), case, reason));
    deps.queue.enqueue(QueuedTask { kind, body, name, not_before }).await
}

/// Time between the moment at which something is due and the task that does it: the queue's clock may be ahead.
const AFTER_DUE: Duration = Duration::seconds(1);

/// Queues a sync for the time at which something of a pair is due, `what`. All syncs until then share one task, which is named after that
/// time. A queue that does not take it is a warning: see the callers.
pub(super) async fn queue_due(
    deps: &Deps,
    side: Side,
    mapping: &CaseMapping,
    what: &str,
    due: DateTime<Utc>,
) {
    let Some(case) = mapping.case_id(side) else { return };
    let reason = format!("{what} due {}", due.timestamp_micros());
    let not_before = due.checked_add_signed(AFTER_DUE);
    if let Err(error) = queue_case(deps, side, Named::of(case), &reason, not_before).await {
        tracing::warn!(side = side.name(), "cannot come back to {case} when its {what} is due: {error}");
    }
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
        let waiting = Dirty::since(now() - Duration::minutes(minutes_ago));
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
        let waiting = Dirty::since(now());
        let failed = CaseMapping { last_error: Some("no".to_owned()), ..mapping(Priority::P0) };
        assert!(Urgency::of(&waiting, &failed) > news(Priority::P4, 0));
        assert!(Urgency::of(&waiting, &failed) < Urgency::Recheck(Recheck::Early));
    }

    /// Takes a turn for each of `count` changes, as one poll would, and returns the delays in seconds; `None` without room.
    fn turns(pacer: &Pacer, pace: Pace, count: usize, now: DateTime<Utc>) -> Vec<Option<i64>> {
        let turn = |rank| {
            let turn = pacer.turn(pace, &candidate(news(Priority::P4, 0), rank), rank, now)?;
            Some(turn.not_before.map_or(0, |at| (at - now).num_seconds()))
        };
        (0..count).map(turn).collect()
    }

    #[test]
    fn some_go_at_once_and_the_others_at_the_pace() {
        let (pacer, pace) = (Pacer::default(), Pace::per_minute(60));
        let first = turns(&pacer, pace, 500, now());
        assert_eq!(
            first[..17],
            [Some(0); 17],
            "a quarter of a minute's worth, and those whose time has come"
        );
        assert_eq!((first[17], first[77], first[330]), (Some(1), Some(61), Some(314)));
        assert_eq!((first[331], first[499]), (None, None), "no more than five and a half minutes' worth");
        assert_eq!(pace.ahead(), 330);
        // The other poll shares the sequence, but its most urgent changes are due at once.
        let other = turns(&pacer, pace, 20, now());
        assert_eq!((other[15], other[16]), (Some(0), None));
        // However low or high the rate, nothing overflows.
        assert_eq!(turns(&Pacer::default(), Pace::per_minute(0), 18, now())[16..], [Some(0), None]);
        assert_eq!(turns(&Pacer::default(), Pace::per_minute(u32::MAX), 100_000, now())[99_999], Some(0));
    }

    #[test]
    fn what_one_poll_does_not_use_the_next_one_may() {
        let (pacer, pace) = (Pacer::default(), Pace::per_minute(60));
        assert_eq!(turns(&pacer, pace, 60, now()).last(), Some(&Some(43)));
        assert_eq!(turns(&pacer, pace, 60, now() + Duration::minutes(1)).last(), Some(&Some(43)));
        // A place that was not used is given back.
        let turn = pacer.turn(pace, &candidate(news(Priority::P4, 0), 99), 99, now()).unwrap();
        pacer.give_back(turn);
        assert_eq!(pacer.turn(pace, &candidate(news(Priority::P4, 0), 99), 99, now()), Some(turn));
        // A clock that was years ahead.
        let pacer = Pacer::default();
        turns(&pacer, pace, 60, now() + Duration::days(400));
        assert_eq!(turns(&pacer, pace, 16, now())[15], Some(0));
    }

    #[test]
    fn a_mark_that_is_set_again_with_the_same_times_gets_a_sync_of_its_own() {
        let mark = |second| Dirty {
            case_updated_at: Some(now()),
            marked_at: Some(now() + Duration::seconds(second)),
            ..Dirty::since(now() - Duration::minutes(5))
        };
        let reason = |mark: Dirty, minute| reason_for_changes(&mark, now() + Duration::minutes(minute));
        assert_eq!(reason(mark(0), 1), reason(mark(0), 59), "the same mark is queued once an hour");
        assert_ne!(reason(mark(0), 1), reason(mark(0), 61));
        assert_ne!(reason(mark(0), 1), reason(mark(7), 1));
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
        let pace = Pace::per_minute(100);
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
        let pace = Pace::per_minute(100);
        let is_down = |minutes: i64, slack: i64| {
            is_silent(Some(now() - Duration::minutes(minutes)), Duration::minutes(slack), now())
        };
        assert!(!is_silent(None, Duration::zero(), now()), "it was never polled: nobody knows");
        assert!(!is_down(5, 0) && is_down(6, 0));
        assert!(!is_down(15, 10) && is_down(16, 10), "polls are seldom");
        assert_eq!((pace.room(false), pace.room(true)), (pace.ahead(), PROBES));
    }
}
