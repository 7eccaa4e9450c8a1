//! `poll-company`: finds flagged company cases that changed, and queues their syncs.

use super::{Deps, SyncCompanyCase, TaskKind, TaskReport, poll};
use crate::entities::Side;

pub(super) async fn run(deps: &Deps) -> TaskReport {
    poll::run(deps, Side::Company, TaskKind::PollCompany).await
}

/// The body of the sync that it queues.
pub(super) fn sync_body(case_id: &str) -> SyncCompanyCase {
    SyncCompanyCase { case_id: case_id.to_owned() }
}
