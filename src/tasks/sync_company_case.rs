//! `sync-company-case`: carries a company case to Google.

use super::sync_case::{self, Request};
use super::{Caller, Deps, Mode, SyncCompanyCase, TaskKind, TaskReport};
use crate::entities::{CompanyCaseId, FirstSeen};

pub(super) async fn run(
    deps: &Deps,
    body: &SyncCompanyCase,
    holder: &str,
    caller: Caller,
    mode: Mode,
) -> TaskReport {
    match CompanyCaseId::parse(&body.case_id) {
        Ok(id) => {
            let request = Request {
                case: FirstSeen::Company(id),
                holder,
                caller,
                mode,
                hinted: body.hinted,
                found_busy_at: body.found_busy_at,
            };
            sync_case::run(deps, TaskKind::SyncCompanyCase, &request).await
        }
        Err(error) => TaskReport::abandoned(TaskKind::SyncCompanyCase, error.to_string()),
    }
}
