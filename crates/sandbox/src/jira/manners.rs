//! Bad manners that are Jira's own: what it is polite and wrong about, switched while it runs.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /sandbox/manners` | the [`Manners`] as they are |
//! | `PUT /sandbox/manners` with [`Manners`] | these from now on; what is left out is as it should be |
//! | `DELETE /sandbox/manners` | good ones |

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::SandboxJira;

/// Wrong answers of a sandbox Jira that look like good ones. The default is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manners {
    /// Every caller's credentials have expired: it is answered like a visitor whom nobody knows. A search finds nothing and
    /// succeeds, issues do not exist, `/myself` is 401; `X-Seraph-LoginReason` or `X-AUSERNAME` tell.
    pub expired_credentials: bool,
    /// Callers with wrong credentials are answered like that as well, and not with 401 throughout.
    pub visitors: bool,
    /// Keys of projects that the asking user may no longer browse: their issues are not found and do not exist.
    pub hidden_projects: BTreeSet<String>,
    /// IDs of issues that do not exist for the asking user, for now.
    pub hidden_issues: BTreeSet<String>,
    /// IDs of issues that are archived: read-only, and found by no search.
    pub archived_issues: BTreeSet<String>,
    /// So many seconds is the search index behind with single issues, by ID.
    pub index_lag_seconds: BTreeMap<String, u32>,
    /// Answers in place of the content of attachments, by ID.
    pub content: BTreeMap<String, InPlaceOfContent>,
    /// The workflow leads to *Cancelled*, *Duplicate* and *Done*, in this order, each of the category "done".
    pub three_ways_to_close: bool,
}

/// Answer in place of an attachment's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlaceOfContent {
    /// A redirect to the page where one signs in, which is as long as the file.
    LoginPage,
    /// 403.
    Forbidden,
    /// 404.
    Missing,
    /// Content of another size, at every try a different one.
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
