//! The task that shows on the company case what could not be shown when it was planned.

use chrono::Duration;

use super::scheduler::{self, Named};
use super::session::Session;
use crate::entities::Side;

/// Time between the moment at which a write is due and the task that makes it: the queue's clock may be ahead.
const AFTER_THE_PAUSE: Duration = Duration::seconds(1);

/// Queues a sync for a link, a label or a mark whose write failed, or has to wait for an earlier one. If the queue does not take it, the next
/// complete sync of the pair makes up for it.
pub(super) async fn queue_due_writes(session: &Session<'_>) {
    let (deps, mapping) = (session.deps, &session.mapping);
    let window = deps.capabilities()[Side::Company].in_flight_window;
    let due = mapping.state.shown.due_at(window).filter(|due| *due > session.started);
    let (Some(due), Some(case)) = (due, mapping.case_id(Side::Company)) else { return };
    // Named after that time: all syncs until then share one.
    let reason = format!("shown due {}", due.timestamp_micros());
    let not_before = due.checked_add_signed(AFTER_THE_PAUSE);
    if let Err(error) = scheduler::queue_case(deps, Side::Company, Named::of(case), &reason, not_before).await
    {
        tracing::warn!("cannot come back to the company case {case} for what is to be shown on it: {error}");
    }
}
