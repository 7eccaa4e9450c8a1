//! Behaviour that is specific to Jira and can be switched at run time: answers that look good and are wrong, and the demands of a real desk.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /sandbox/manners` | returns the current [`Manners`] |
//! | `PUT /sandbox/manners` with [`Manners`] | replaces them; a field that is left out is reset to correct behaviour |
//! | `DELETE /sandbox/manners` | resets all to correct behaviour |

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::SandboxJira;

/// Wrong answers of a sandbox Jira that look like good ones. By default, all are off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Manners {
    /// True if all callers' credentials have expired, so that callers are answered as anonymous visitors: a search succeeds and finds
    /// nothing, issues do not exist, `/myself` is 401. The headers `X-Seraph-LoginReason` or `X-AUSERNAME` show it.
    pub expired_credentials: bool,
    /// True if callers with wrong credentials are answered as visitors too, instead of with 401 everywhere.
    pub visitors: bool,
    /// Keys of projects that the asking user may no longer browse: their issues are not found and do not exist.
    pub hidden_projects: BTreeSet<String>,
    /// IDs of issues that temporarily do not exist for the asking user.
    pub hidden_issues: BTreeSet<String>,
    /// IDs of issues that are archived: read-only, and found by no search.
    pub archived_issues: BTreeSet<String>,
    /// Index lag in seconds of single issues, by ID.
    pub index_lag_seconds: BTreeMap<String, u32>,
    /// Answers in place of the content of attachments, by ID.
    pub content: BTreeMap<String, InPlaceOfContent>,
    /// True if the desk demands what real ones do: *Impact* on the create screen and *Root cause* on the screen of each closing transition.
    /// There is a field for request types then, and a team-managed project has a flag field of the same name as the usual one.
    pub demanding: bool,
    /// True if the workflow leads to *Cancelled*, *Duplicate* and *Done*, in this order, each in the category "done".
    pub three_ways_to_close: bool,
}

/// Answer in place of an attachment's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlaceOfContent {
    /// A redirect to the sign-in page, which is as long as the file.
    LoginPage,
    /// 403.
    Forbidden,
    /// 404.
    Missing,
    /// Content of another size, different on each try.
    OtherSize,
}

pub(super) fn routes(jira: &SandboxJira) -> Router {
    Router::new().route("/sandbox/manners", get(show).put(put).delete(reset)).with_state(jira.clone())
}

async fn show(State(jira): State<SandboxJira>) -> Json<Manners> {
    Json(jira.manners())
}

async fn put(State(jira): State<SandboxJira>, manners: Result<Json<Manners>, JsonRejection>) -> Response {
    match manners {
        Ok(Json(manners)) => {
            jira.set_manners(manners);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(rejection) => {
            let body = serde_json::json!({"error": rejection.body_text()});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

async fn reset(State(jira): State<SandboxJira>) -> StatusCode {
    jira.set_manners(Manners::default());
    StatusCode::NO_CONTENT
}
