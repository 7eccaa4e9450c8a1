//! `sync-google-case`: carries a Google case to the CRM.

use super::sync_case::{self, Request};
use super::{Caller, Deps, Mode, SyncGoogleCase, TaskKind, TaskReport};
use crate::entities::{FirstSeen, GoogleCaseName};

pub(super) async fn run(
    deps: &Deps,
    body: &SyncGoogleCase,
    holder: &str,
    caller: Caller,
    mode: Mode,
) -> TaskReport {
    match GoogleCaseName::parse(&body.case_name) {
        Ok(name) => {
            let request = Request {
                case: FirstSeen::Google(name),
                holder,
                caller,
                mode,
                hinted: body.hinted,
                found_busy_at: body.found_busy_at,
            };
            sync_case::run(deps, TaskKind::SyncGoogleCase, &request).await
        }
        Err(error) => TaskReport::abandoned(TaskKind::SyncGoogleCase, error.to_string()),
    }
}
