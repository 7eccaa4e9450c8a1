//! Scheduler of the syncs: priority with aging, the most urgent first, at a pace that the upstreams' rate limits allow (`R21`). A fresh
//! urgent case is among the first however much waits, and none starves.
//!
//! What waits is in the store (`R7`); a queue holds only what the upstreams' rate limits let it carry in the next minutes.
//! A queue delivers by time, not by urgency, Cloud Tasks as well as the embedded one: so urgency becomes a time here.

use std::collections::BinaryHeap;

use chrono::{DateTime, Duration, Utc};

use super::Deps;
use crate::entities::{CaseMapping, Global, Priority, Side, Waiting};
use crate::queue::{Enqueued, QueueError, QueuedTask, SyncCompanyCase, SyncGoogleCase, TaskKind, TaskName};
use crate::store::{MappingFilter, StoreError};

/// Number of mappings that are read at a time.
const PAGE: usize = 200;

/// A level of priority is worth so much waiting: a P4 that has waited for four hours longer comes before a P0. So no case
/// starves.
const LEVEL: Duration = Duration::hours(1);
/// A case whose last sync failed comes later: its task is most likely in the queue still, and is repeated there.
const FAILED: Duration = Duration::hours(6);
/// For how long a queue is filled ahead, in minutes: what waits is looked at every five, and that may be a little late.
const AHEAD: usize = 6;
/// A side whose poll has not ended well for so long is taken to be down.
const SILENT: Duration = Duration::minutes(5);
/// How many syncs are queued at a time towards a side that is down. Each goes on being repeated, and what is repeated when the
/// side is up again comes before what is new.
const PROBES: usize = 2;

/// How many syncs a minute can carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace(usize);

/// How urgent a sync is; the least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Something waits to be carried.
    Changes(DateTime<Utc>),
    /// Nothing is known to wait: a recently updated case is checked all the same, for what arrives out of order.
    Check,
}

impl Urgency {
    /// That of something that waits on a mapping.
    pub(super) fn of(waiting: &Waiting, mapping: &CaseMapping) -> Self {
        let level = mapping.priority.unwrap_or(Priority::P4).level();
        let failed = if mapping.last_error.is_some() { FAILED } else { Duration::zero() };
        Self::Changes(waiting.since + LEVEL * i32::from(level) + failed)
    }
}

/// A sync that could be queued. Compared by its urgency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) urgency: Urgency,
    /// The case, on the side that it is to be carried from.
    pub(super) case: String,
    pub(super) side: Side,
    /// What it is queued for: a part of the task's name (`R3`).
    pub(super) reason: String,
}

/// Whether a side that was last polled then is down, as far as anybody knows.
pub(super) fn is_down(last_polled_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last_polled_at.is_some_and(|polled| now - polled > SILENT)
}

/// The most urgent of many candidates, in memory for those few.
pub(super) struct MostUrgent {
    room: usize,
    /// The least urgent on top.
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

    /// How many there was no room for.
    pub(super) fn left(&self) -> usize {
        self.offered - self.chosen.len()
    }

    /// The most urgent first.
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

    /// A poll's share of what the upstreams let through: a quarter. There are two polls.
    pub(super) fn of_poll(syncs_per_minute: u32) -> Self {
        Self::of(syncs_per_minute, 1)
    }

    /// The share of what waits in the store: half. With the polls' that is everything and no more, so that nothing that is
    /// due waits for long; and what a poll leaves waits in the store.
    pub(super) fn of_backlog(syncs_per_minute: u32) -> Self {
        Self::of(syncs_per_minute, 2)
    }

    /// How many are delivered without delay.
    fn at_once(self) -> usize {
        (self.0 / 2).max(16)
    }

    /// How many may be queued ahead.
    pub(super) fn ahead(self) -> usize {
        self.at_once().saturating_add(self.0.saturating_mul(AHEAD))
    }

    /// Not before when the one of that rank, from 0, is to be delivered; `None`: at once.
    pub(super) fn turn(self, rank: usize, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let behind = rank.checked_sub(self.at_once())? + 1;
        let seconds = 60 * i64::try_from(behind / self.0).unwrap_or(i64::MAX / 100);
        let rest = 60_000_000 * (behind % self.0) / self.0;
        Some(now + Duration::seconds(seconds) + Duration::microseconds(i64::try_from(rest).unwrap_or(0)))
    }

    /// How many checks there is room for in a minute beside so much news. Never none, however much news there is.
    fn checks(self, news: usize) -> usize {
        self.0.saturating_sub(news).max(self.0 / 5).max(1)
    }

    /// The checks whose turn it is in this minute, if there is not room for all of them: each in its time.
    pub(super) fn checks_of(
        self,
        mut checks: Vec<Candidate>,
        news: usize,
        now: DateTime<Utc>,
    ) -> Vec<Candidate> {
        let room = self.checks(news);
        if checks.len() > room {
            checks.sort();
            let minute = now.timestamp().div_euclid(60).unsigned_abs();
            let first = minute.wrapping_mul(room as u64) % (checks.len() as u64);
            checks.rotate_left(usize::try_from(first).unwrap_or(0));
            checks.truncate(room);
        }
        checks
    }

    /// How much news may be queued towards a side: little, if it is down.
    pub(super) fn room(self, is_down: bool) -> usize {
        if is_down { PROBES } else { self.ahead() }
    }
}

/// Queues syncs, the first of them at once and the others at the pace that the upstreams allow. How many are new.
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

/// All that waits in the store.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// How many mappings wait.
    pub(super) waiting: i64,
    /// For how long the oldest has.
    pub(super) oldest: Duration,
    /// How many syncs were queued.
    pub(super) queued: usize,
    pub(super) failures: Vec<String>,
}

/// Queues the most urgent of all that waits: what the polls had no room for, and what was detected long ago and whose task
/// was lost. At most one an hour for the same news.
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
        for mapping in found.mappings.iter().filter(|mapping| !mapping.rests() && mapping.gone.is_none()) {
            for (side, chosen) in &mut chosen {
                if let (Some(waiting), Some(case)) = (&mapping.waiting[*side], mapping.case_id(*side)) {
                    let urgency = Urgency::of(waiting, mapping);
                    let reason = reason_for_changes(waiting, now);
                    chosen.offer(Candidate { urgency, case: case.to_owned(), side: *side, reason });
                }
                // What the other case did not take is tried once a day (R33). One sync for each time that it was tried.
                let state = &mapping.state;
                if let (Some(read_only), Some(case)) =
                    (&state.read_only[side.other()], mapping.case_id(*side))
                    && !state.is_left_alone(side.other(), now)
                {
                    let reason = format!("takes nothing as of {}", read_only.tried_at.timestamp_micros());
                    let urgency = Urgency::Check;
                    chosen.offer(Candidate { urgency, case: case.to_owned(), side: *side, reason });
                }
            }
            let waiting = Side::BOTH.into_iter().filter_map(|side| mapping.waiting[side]);
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

pub(super) fn reason_for_changes(waiting: &Waiting, now: DateTime<Utc>) -> String {
    let since = waiting.since.timestamp_micros();
    let updated = waiting.case_updated_at.map_or(since, |at| at.timestamp_micros());
    format!("news {updated} since {since} hour {}", now.timestamp().div_euclid(3600))
}

/// Queues the sync of a mapping's case on that side, if it is known there.
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

/// Queues the sync of everything that waits on a mapping.
pub(super) async fn queue_waiting(
    deps: &Deps,
    mapping: &CaseMapping,
    now: DateTime<Utc>,
) -> Result<usize, QueueError> {
    let mut queued = 0;
    for side in Side::BOTH {
        if let Some(waiting) = &mapping.waiting[side]
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
        let waiting = Waiting { since: now() - Duration::minutes(minutes_ago), case_updated_at: None };
        Urgency::of(&waiting, &mapping(level))
    }

    fn check(number: usize) -> Candidate {
        candidate(Urgency::Check, number)
    }

    fn candidate(urgency: Urgency, number: usize) -> Candidate {
        Candidate { urgency, case: format!("{number:05}"), side: Side::Google, reason: String::new() }
    }

    #[test]
    fn the_urgent_come_first_and_whoever_waits_long_enough_comes_before_them() {
        let mut order = [
            Urgency::Check,
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
            Urgency::Check,
        ];
        let mut sorted = expected;
        sorted.sort();
        assert_eq!(order, sorted);
        for (before, after) in [
            (news(Priority::P0, 0), news(Priority::P1, 59)),
            (news(Priority::P1, 61), news(Priority::P0, 0)),
            (news(Priority::P4, 241), news(Priority::P0, 0)),
            (news(Priority::P4, 0), Urgency::Check),
        ] {
            assert!(before < after, "{before:?} before {after:?}");
        }
    }

    #[test]
    fn a_case_that_failed_comes_later() {
        let waiting = Waiting { since: now(), case_updated_at: None };
        let failed = CaseMapping { last_error: Some("no".to_owned()), ..mapping(Priority::P0) };
        assert!(Urgency::of(&waiting, &failed) > news(Priority::P4, 0));
        assert!(Urgency::of(&waiting, &failed) < Urgency::Check);
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
        // However fast, nothing overflows.
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
    fn when_there_is_not_room_for_every_check_each_comes_in_its_time() {
        let pace = Pace::of_poll(100);
        let all = || (0..110).map(check).collect::<Vec<_>>();
        assert_eq!(pace.checks_of((0..25).map(check).collect(), 0, now()).len(), 25, "room for all");
        let mut seen = std::collections::BTreeSet::new();
        for minute in 0..5 {
            let chosen = pace.checks_of(all(), 0, now() + Duration::minutes(minute));
            assert_eq!(chosen.len(), 25);
            seen.extend(chosen);
        }
        assert_eq!(seen.len(), 110, "within five minutes, each of them");
        assert_eq!(pace.checks_of(all(), 20, now()).len(), 5, "news comes first");
        assert_eq!(pace.checks_of(all(), 10_000, now()).len(), 5, "and never leaves nothing");
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
