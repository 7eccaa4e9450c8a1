//! `poll-company`: finds flagged company cases that changed, and queues their syncs.

use super::{Deps, TaskKind, TaskReport, poll};
use crate::entities::Side;

pub(super) async fn run(deps: &Deps) -> TaskReport {
    poll::run(deps, Side::Company, TaskKind::PollCompany).await
}
