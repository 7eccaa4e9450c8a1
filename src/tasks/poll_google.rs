//! `poll-google`: finds Google cases that changed, and queues their syncs.

use super::{Deps, SyncGoogleCase, TaskKind, TaskReport, poll};
use crate::entities::Side;

pub(super) async fn run(deps: &Deps) -> TaskReport {
    poll::run(deps, Side::Google, TaskKind::PollGoogle).await
}

/// The body of the sync that it queues.
pub(super) fn sync_body(case_name: &str) -> SyncGoogleCase {
    SyncGoogleCase { case_name: case_name.to_owned() }
}
