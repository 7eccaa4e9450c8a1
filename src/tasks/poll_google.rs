//! `poll-google`: finds Google cases that changed, and queues their syncs.

use super::{Deps, TaskKind, TaskReport, poll};
use crate::entities::Side;

pub(super) async fn run(deps: &Deps) -> TaskReport {
    poll::run(deps, Side::Google, TaskKind::PollGoogle).await
}
