//! The task that shows on the company case what could not be shown when it was planned.

use super::scheduler;
use super::session::Session;
use crate::entities::Side;

/// Queues a sync for a link, a label or a mark whose write failed, or has to wait for an earlier one. If the queue does not take it, the next
/// complete sync of the pair makes up for it.
pub(super) async fn queue_due_writes(session: &Session<'_>) {
    let (deps, mapping) = (session.deps, &session.mapping);
    let window = deps.capabilities()[Side::Company].in_flight_window;
    if let Some(due) = mapping.state.shown.due_at(window).filter(|due| *due > session.started) {
        scheduler::queue_due(deps, Side::Company, mapping, "shown", due).await;
    }
}
