//! The one table that says which status a task answers with (`R4`).

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::Problem;
use crate::tasks::{Caller, Outcome, TaskKind, TaskReport};
use crate::telemetry::Metrics;

/// The status for an outcome. Never 503 or 429, which throttle the queue or mean something else to the platform, and never
/// an upstream's own.
#[must_use]
pub const fn status(outcome: Outcome, caller: Caller) -> StatusCode {
    match (outcome, caller) {
        (Outcome::Done, _) | (Outcome::Abandoned, Caller::Queue) => StatusCode::OK,
        (Outcome::Outage | Outcome::Failed, _) => StatusCode::INTERNAL_SERVER_ERROR,
        (Outcome::Abandoned, Caller::Person) => StatusCode::NOT_FOUND,
    }
}

/// A body that is not the task's: a person is told, a queue must not repeat it.
pub(super) fn malformed(metrics: &Metrics, task: TaskKind, caller: Caller, reason: String) -> Response {
    match caller {
        Caller::Person => {
            Problem::new(StatusCode::BAD_REQUEST, "The body is not valid").detail(reason).into_response()
        }
        Caller::Queue => {
            let report = TaskReport::abandoned(task, reason);
            report.record(metrics);
            (status(report.outcome, caller), Json(report.to_json())).into_response()
        }
    }
}
