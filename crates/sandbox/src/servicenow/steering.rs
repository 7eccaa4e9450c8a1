//! Switches for wrong behaviour of a sandbox ServiceNow, beside the faults that every sandbox has.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET`, `PUT /sandbox/switches` with a [`SandboxServiceNowSwitches`] | reads or replaces all switches; an absent one is off |
//! | `PUT`, `DELETE /sandbox/business-rule` with a [`BusinessRule`] | makes or removes the business rule that tells of changes |
//! | `PUT /sandbox/records/{sys_id}` with a [`Sight`] | hides a record, an entry or a file from the asking user, or shows it again |
//! | `PUT /sandbox/attachments/{sys_id}` with a [`Content`] | replaces a file's content, or sets the scanner's verdict |

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::json;

use super::{
    BusinessRule, FileState, SandboxServiceNow, SandboxServiceNowError, SandboxServiceNowSwitches, Spoilt,
};

pub(super) fn routes(servicenow: &SandboxServiceNow) -> Router {
    Router::new()
        .route("/sandbox/switches", get(switches).put(put_switches))
        .route("/sandbox/business-rule", put(put_business_rule).delete(delete_business_rule))
        .route("/sandbox/records/{id}", put(put_sight))
        .route("/sandbox/attachments/{id}", put(put_content))
        .with_state(servicenow.clone())
}

/// Visibility of a record for the asking user.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sight {
    /// The record is visible.
    Shown,
    /// The record is not visible but counted: an access rule.
    Hidden,
    /// The record is neither visible nor counted: a query rule, or another domain.
    LeftOut,
}

/// Answer to a request for a file's content.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    /// The content is sent.
    Sound,
    /// Another answer is sent instead.
    Spoilt(Spoilt),
    /// The virus scanner's verdict decides.
    Scanned(FileState),
}

async fn switches(State(servicenow): State<SandboxServiceNow>) -> Json<SandboxServiceNowSwitches> {
    Json(servicenow.switches())
}

async fn put_switches(
    State(servicenow): State<SandboxServiceNow>,
    switches: Result<Json<SandboxServiceNowSwitches>, JsonRejection>,
) -> Response {
    done(switches, |switches| {
        servicenow.set_switches(switches);
        Ok(())
    })
}

async fn put_business_rule(
    State(servicenow): State<SandboxServiceNow>,
    rule: Result<Json<BusinessRule>, JsonRejection>,
) -> Response {
    done(rule, |rule| {
        servicenow.set_business_rule(Some(rule));
        Ok(())
    })
}

async fn delete_business_rule(State(servicenow): State<SandboxServiceNow>) -> StatusCode {
    servicenow.set_business_rule(None);
    StatusCode::NO_CONTENT
}

async fn put_sight(
    State(servicenow): State<SandboxServiceNow>,
    Path(id): Path<String>,
    sight: Result<Json<Sight>, JsonRejection>,
) -> Response {
    done(sight, |sight| {
        servicenow.set_visible(&id, !matches!(sight, Sight::Hidden))?;
        servicenow.set_left_out(&id, matches!(sight, Sight::LeftOut))
    })
}

async fn put_content(
    State(servicenow): State<SandboxServiceNow>,
    Path(id): Path<String>,
    content: Result<Json<Content>, JsonRejection>,
) -> Response {
    done(content, |content| match content {
        Content::Sound => {
            servicenow.spoil(&id, None)?;
            servicenow.set_file_state(&id, FileState::Available)
        }
        Content::Spoilt(spoilt) => servicenow.spoil(&id, Some(spoilt)),
        Content::Scanned(state) => servicenow.set_file_state(&id, state),
    })
}

/// Applies a change if its body was valid; returns the answer.
fn done<T>(
    asked: Result<Json<T>, JsonRejection>,
    change: impl FnOnce(T) -> Result<(), SandboxServiceNowError>,
) -> Response {
    match asked {
        Ok(Json(asked)) => match change(asked) {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => error.into_response(),
        },
        Err(rejection) => {
            (StatusCode::BAD_REQUEST, Json(json!({"error": rejection.body_text()}))).into_response()
        }
    }
}
