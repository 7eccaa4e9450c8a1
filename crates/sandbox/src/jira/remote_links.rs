//! Remote links of an issue: links to things in other systems, known by a `globalId` of the program that makes them.
//!
//! Source: "Issue remote links", developer.atlassian.com/cloud/jira/platform/rest/v2 (November 2026); the same on Data Center.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::rest::{Answer, Api, Base, Body, Params, ok};

/// Maximum length of a `globalId`, in characters.
const GLOBAL_ID_LIMIT: usize = 255;
/// Maximum length of a title, in characters.
const TITLE_LIMIT: usize = 255;

/// Link as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemoteLink {
    pub(super) id: u64,
    pub(super) global_id: Option<String>,
    /// Everything else, as it was sent.
    pub(super) content: Map<String, Value>,
}

impl RemoteLink {
    pub(super) fn object(&self, member: &str) -> Option<&str> {
        self.content.get("object")?.get(member)?.as_str()
    }

    pub(super) fn is_resolved(&self) -> bool {
        let status = self.content.get("object").and_then(|object| object.get("status"));
        status.and_then(|status| status.get("resolved")) == Some(&Value::Bool(true))
    }

    fn json(&self, base: &str, issue: u64) -> Value {
        let mut json = self.content.clone();
        json.insert("id".to_owned(), json!(self.id));
        json.insert(
            "self".to_owned(),
            json!(format!("{base}/rest/api/2/issue/{issue}/remotelink/{}", self.id)),
        );
        json.insert("globalId".to_owned(), json!(self.global_id));
        Value::Object(json)
    }
}

/// Routes of the links of an issue.
pub(super) fn routes() -> Router<Api> {
    Router::new().route("/issue/{issue}/remotelink", get(list).post(create_or_update))
}

async fn list(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    params: Params,
) -> Answer {
    let state = api.jira.state();
    let issue = api.issue(&state, &name)?;
    let wanted = params.get("globalId");
    let mut links =
        issue.remote_links.iter().filter(|link| wanted.is_none() || link.global_id.as_deref() == wanted);
    match wanted {
        // With the parameter, the answer is one link.
        Some(id) => match links.next() {
            Some(link) => ok(link.json(&base, issue.id)),
            None => Err(ApiError::not_found(format!("No remote link exists with global ID '{id}'."))),
        },
        None => ok(links.map(|link| link.json(&base, issue.id)).collect()),
    }
}

async fn create_or_update(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    Body(body): Body,
) -> Answer {
    let now = api.jira.now();
    let (id, issue, is_new) = api.change(|state| {
        let issue = api.live_issue(state, &name)?.id;
        api.may("LINK_ISSUES", "You do not have permission to link issues in this project.")?;
        let mut content = body;
        let global_id = content.remove("globalId").as_ref().and_then(Value::as_str).map(str::to_owned);
        let link = RemoteLink { id: 0, global_id, content };
        check(&link)?;
        let changed = state.put_remote_link(issue, link);
        // The wording of the change in the issue's history is not shown here. That it changes the issue's time of update is assumed.
        state.edit(issue, now, |_| {});
        let (id, is_new) = changed.ok_or_else(|| ApiError::no_issue(api.settings().deployment))?;
        Ok((id, issue, is_new))
    })?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let url = format!("{base}/rest/api/2/issue/{issue}/remotelink/{id}");
    Ok((status, Json(json!({"id": id, "self": url}))).into_response())
}

/// Checks the two members that a link must have, and the documented lengths.
fn check(link: &RemoteLink) -> Result<(), ApiError> {
    if link.global_id.as_ref().is_some_and(|id| id.chars().count() > GLOBAL_ID_LIMIT) {
        return Err(ApiError::field("globalId", "globalId cannot be longer than 255 characters."));
    }
    match (link.object("url"), link.object("title")) {
        (None | Some(""), _) => Err(ApiError::field("url", "'url' is required.")),
        (_, None | Some("")) => Err(ApiError::field("title", "'title' is required.")),
        (Some(url), _) if url::Url::parse(url).is_err() => {
            Err(ApiError::field("url", "A valid 'url' must be specified."))
        }
        (_, Some(title)) if title.chars().count() > TITLE_LIMIT => {
            Err(ApiError::field("title", "title cannot be longer than 255 characters."))
        }
        (Some(_), Some(_)) => Ok(()),
    }
}
