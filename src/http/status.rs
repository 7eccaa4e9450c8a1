//! Table of the HTTP status for each outcome of a task (`R4`: status codes).

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::Problem;
use crate::tasks::{Caller, Outcome, TaskKind, TaskReport};
use crate::telemetry::Metrics;

/// Returns the status for an outcome. It is never 503 or 429, which throttle the queue or have another meaning for the platform, and never
/// an upstream's own status.
#[must_use]
pub const fn status(outcome: Outcome, caller: Caller) -> StatusCode {
    match (outcome, caller) {
        (Outcome::Done, _) | (Outcome::Abandoned, Caller::Queue) => StatusCode::OK,
        (Outcome::Outage | Outcome::Failed, _) => StatusCode::INTERNAL_SERVER_ERROR,
        (Outcome::Abandoned, Caller::Person) => StatusCode::NOT_FOUND,
    }
}

/// Answers a body that is not valid for the task: a 400 to a person, and an abandoned task to a queue, which must not retry it.
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
