//! Notes about edited comments: the time back to which lists are read for them, and the task that writes a note which is due later.

use chrono::{DateTime, Duration, Utc};

use super::Deps;
use super::scheduler;
use super::session::Session;
use crate::entities::{CaseMapping, Side};
use crate::sync::reads_back_to;

/// Time after which a note that was not written when it was due counts as lost with its task.
const OVERDUE: Duration = Duration::minutes(1);

/// Returns the time from which on the lists of a case are read, given the horizon of its sync: earlier where edits of older comments are
/// noted.
pub(super) fn read_since(
    deps: &Deps,
    mapping: &CaseMapping,
    side: Side,
    horizon: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let horizon = horizon?;
    if !deps.settings.rules.notes_edits(deps.capabilities()[side]) {
        return Some(horizon);
    }
    Some(horizon.min(reads_back_to(mapping, side, deps.clocks())))
}

/// Queues a sync for each side with edits whose notes are due later, for the time at which the first of them is. If the queue does not take
/// it, `detect-outages` queues it.
pub(super) async fn queue_due_notes(session: &Session<'_>) {
    let (deps, mapping) = (session.deps, &session.mapping);
    for side in Side::BOTH {
        if let Some(due) = mapping.state.edits.due_at(side) {
            scheduler::queue_due(deps, side, mapping, "edit", due).await;
        }
    }
}

/// Returns the reason of a sync that writes an overdue note, a part of its task's name (`R3`: task names): it is queued once an hour.
pub(super) fn overdue_note(mapping: &CaseMapping, side: Side, now: DateTime<Utc>) -> Option<String> {
    let due = mapping.state.edits.due_at(side).filter(|due| now - *due >= OVERDUE)?;
    Some(format!("edit due {} hour {}", due.timestamp_micros(), now.timestamp().div_euclid(3600)))
}
