//! Push hints: a system said that a case may have changed. Nothing of it is believed; it only brings a sync of the case forward (`R26`: empty
//! answers need proof).
//!
//! A hint marks the case's side as dirty and queues its sync. Hints are coalesced in the store: the mark holds the delivery time of the queued
//! sync, and a hint that comes before that time needs nothing more, whichever instance took it. So a flood of hints is at most one sync for
//! each case and second.

use chrono::{DateTime, Duration, DurationRound as _, Utc};

use super::Deps;
use super::admission::find;
use super::scheduler::{Named, Pace, is_down, queue_case};
use crate::cases::Hint;
use crate::entities::{CaseMapping, FirstSeen, Priority, Side};
use crate::queue::{Enqueued, QueueError, QueuedTask, TaskKind, TaskName};
use crate::store::{StoreError, modify};
use crate::telemetry::PushLabels;

/// Time between two syncs of a case that hints ask for.
const APART: Duration = Duration::seconds(1);
/// Longest time ahead for which a sync is queued. A mark with a later time was made by a clock that was ahead.
const MOST_AHEAD: Duration = Duration::minutes(15);
/// Time between two polls that hints without a case ask for.
const POLLS_APART: Duration = Duration::seconds(10);

/// Outcome of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A sync or a poll was queued.
    Queued,
    /// A sync or a poll that is queued already serves this hint too.
    Coalesced,
    /// The connector caused the event itself.
    Own,
    /// The side is marked as dirty; the scheduler queues its sync when there is room, or when an operator resumes the pair. Nothing is marked
    /// if an operator has ended the pair.
    Left,
}

impl Taken {
    /// Returns the name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Coalesced => "coalesced",
            Self::Own => "own",
            Self::Left => "left",
        }
    }
}

/// Error of taking a hint. The sender has to send it again; if it does not, a poll finds the change.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Takes the hints of one message, and counts each outcome. A message without hints asks for a poll.
pub async fn take_all(deps: &Deps, side: Side, hints: &[Hint]) -> Result<(), HintError> {
    let taken = async {
        if hints.is_empty() {
            count(deps, side, poll(deps, side).await?.name());
        }
        for hint in hints {
            count(deps, side, take(deps, hint).await?.name());
        }
        Ok(())
    };
    taken.await.inspect_err(|error| {
        count(deps, side, "failed");
        tracing::error!(side = side.name(), "a push message could not be taken: {error}");
    })
}

/// Counts a message, or a case of one.
pub fn count(deps: &Deps, side: Side, outcome: &'static str) {
    deps.metrics.push_messages.get_or_create(&PushLabels { side: side.name(), outcome }).inc();
}

/// Marks the case as dirty and queues its sync. Makes no call to either system.
pub async fn take(deps: &Deps, hint: &Hint) -> Result<Taken, HintError> {
    let side = hint.case.side();
    if let Some(user) = &hint.user
        && deps.systems[side].is_own_user(user).await
    {
        return Ok(Taken::Own);
    }
    let now = deps.clock.now();
    let Some(mapping) = find(deps, &hint.case).await? else {
        // A fresh case may be the most urgent of all. Its priority is not known yet.
        let queued = queue_at(deps, &hint.case, second(now), now).await?;
        return Ok(outcome(queued));
    };
    if let Some((kind, id)) = &hint.item
        && mapping.ledger.wrote(side, *kind, id)
    {
        return Ok(Taken::Own);
    }
    if mapping.state.unlinked.is_some() {
        return Ok(Taken::Left);
    }
    if is_covered(&mapping, side, now) {
        return Ok(Taken::Coalesced);
    }
    mark_and_queue(deps, hint, mapping, now).await
}

async fn mark_and_queue(
    deps: &Deps,
    hint: &Hint,
    mapping: CaseMapping,
    now: DateTime<Utc>,
) -> Result<Taken, HintError> {
    let side = hint.case.side();
    let global = deps.store.global().await?;
    let is_urgent = mapping.priority == Some(Priority::P0);
    let turn = if mapping.held().is_some() || is_down(deps, side.other(), &global, now) {
        None
    } else {
        deps.pacer.take(Pace::of(deps), is_urgent, now)
    };
    let earliest = turn.map_or(now, |turn| turn.not_before.unwrap_or(now));
    let marked = modify(deps.store.as_ref(), mapping, |mapping| {
        if is_covered(mapping, side, now) {
            return false;
        }
        let due = due(mapping, side, earliest);
        mapping.wait(side, &global, now).sync_due_at = Some(due);
        true
    })
    .await?;
    let Some(turn) = turn else {
        return Ok(if marked.is_some() { Taken::Left } else { Taken::Coalesced });
    };
    let due = marked.and_then(|mapping| mapping.dirty[side]?.sync_due_at);
    let queued = match due {
        Some(due) => queue_at(deps, &hint.case, due, now).await?,
        None => Enqueued::AlreadyExists,
    };
    if queued == Enqueued::AlreadyExists {
        deps.pacer.give_back(turn);
    }
    Ok(outcome(queued))
}

/// Queues a poll of that side, for an event that names no case: now, or at the start of the next slot if this one has a poll already.
pub async fn poll(deps: &Deps, side: Side) -> Result<Taken, HintError> {
    let kind = match side {
        Side::Google => TaskKind::PollGoogle,
        Side::Company => TaskKind::PollCompany,
    };
    let slot = deps.clock.now().timestamp().div_euclid(POLLS_APART.num_seconds());
    let queue = async |slot: i64, not_before: Option<DateTime<Utc>>| {
        let name = TaskName::new(kind, None, "", &format!("push slot {slot}"));
        let task = QueuedTask { kind, body: serde_json::json!({}), name: Some(name), not_before };
        deps.queue.enqueue(task).await
    };
    let queued = match queue(slot, None).await? {
        Enqueued::New => Enqueued::New,
        // That poll may have run already.
        Enqueued::AlreadyExists => {
            let next = DateTime::from_timestamp((slot + 1) * POLLS_APART.num_seconds(), 0);
            queue(slot + 1, next).await?
        }
    };
    Ok(outcome(queued))
}

const fn outcome(queued: Enqueued) -> Taken {
    match queued {
        Enqueued::New => Taken::Queued,
        Enqueued::AlreadyExists => Taken::Coalesced,
    }
}

/// True if a sync is queued that has not begun yet: it reads whatever the hint is about.
fn is_covered(mapping: &CaseMapping, side: Side, now: DateTime<Utc>) -> bool {
    let due = mapping.dirty[side].and_then(|dirty| dirty.sync_due_at);
    due.is_some_and(|due| due > now && due <= now + MOST_AHEAD)
}

/// Returns the delivery time of the sync: another one than that of the sync before it, since the time is a part of the task's name.
fn due(mapping: &CaseMapping, side: Side, earliest: DateTime<Utc>) -> DateTime<Utc> {
    let wanted = second(earliest);
    match mapping.dirty[side].and_then(|dirty| dirty.sync_due_at) {
        Some(last) if last <= earliest && second(last) == wanted => wanted + APART,
        Some(_) | None => wanted,
    }
}

/// Queues the sync for that second. If the sync of this second has run already, queues it for the next one. The clock is read again: if it
/// was set back since `now`, the sync is not put off by as much.
async fn queue_at(
    deps: &Deps,
    case: &FirstSeen,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Enqueued, QueueError> {
    let queue = async |due: DateTime<Utc>| {
        let reason = format!("push {}", due.timestamp());
        let named = Named { hinted: true, ..Named::of(case.id()) };
        let latest = deps.clock.now() + MOST_AHEAD;
        let not_before = Some(due).filter(|due| *due > now && *due <= latest);
        queue_case(deps, case.side(), named, &reason, not_before).await
    };
    match queue(due).await? {
        Enqueued::AlreadyExists if due <= now => queue(due + APART).await,
        queued => Ok(queued),
    }
}

/// Cuts a time to the whole second.
fn second(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(APART).unwrap_or(at)
}
