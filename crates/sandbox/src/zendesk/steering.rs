//! Switches for wrong behaviour of a sandbox Zendesk, beside the faults that every sandbox has.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET`, `PUT /sandbox/switches` with a [`SandboxZendeskSwitches`] | reads or replaces all switches; an absent one is off |
//! | `PUT /sandbox/groups` with `[1, 2]` or `null` | restricts the asking user to the tickets of these groups, or lets it see all |
//! | `PUT /sandbox/tickets/{id}` with a [`Sight`] | hides a ticket from the asking user, or shows it again |
//! | `PUT /sandbox/attachments/{id}` with a [`Content`] | replaces a file's content, or marks it as malware |
//!
//! People work with tickets on the pages; merging and restoring are in the API too.

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde::Deserialize;
use serde_json::json;

use super::{SandboxZendesk, SandboxZendeskError, SandboxZendeskSwitches, Spoilt};

pub(super) fn routes(zendesk: &SandboxZendesk) -> Router {
    Router::new()
        .route("/sandbox/switches", get(switches).put(put_switches))
        .route("/sandbox/groups", put(put_groups))
        .route("/sandbox/tickets/{id}", put(put_sight))
        .route("/sandbox/attachments/{id}", put(put_content))
        .with_state(zendesk.clone())
}

/// Visibility of a ticket for the asking user.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sight {
    Shown,
    Hidden,
}

/// Answer to a request for a file's content.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    /// The content is sent.
    Sound,
    /// Another answer is sent instead.
    Spoilt(Spoilt),
    /// Zendesk found malware in the file.
    Malware,
}

async fn switches(State(zendesk): State<SandboxZendesk>) -> Json<SandboxZendeskSwitches> {
    Json(zendesk.switches())
}

async fn put_switches(
    State(zendesk): State<SandboxZendesk>,
    switches: Result<Json<SandboxZendeskSwitches>, JsonRejection>,
) -> Response {
    done(switches, |switches| {
        zendesk.set_switches(switches);
        Ok(())
    })
}

async fn put_groups(
    State(zendesk): State<SandboxZendesk>,
    groups: Result<Json<Option<Vec<u64>>>, JsonRejection>,
) -> Response {
    done(groups, |groups| zendesk.restrict_to_groups(groups.as_deref()))
}

async fn put_sight(
    State(zendesk): State<SandboxZendesk>,
    Path(id): Path<String>,
    sight: Result<Json<Sight>, JsonRejection>,
) -> Response {
    done(sight, |sight| zendesk.set_visible(&id, matches!(sight, Sight::Shown)))
}

async fn put_content(
    State(zendesk): State<SandboxZendesk>,
    Path(id): Path<String>,
    content: Result<Json<Content>, JsonRejection>,
) -> Response {
    done(content, |content| {
        let (spoilt, malware) = match content {
            Content::Sound => (None, false),
            Content::Spoilt(spoilt) => (Some(spoilt), false),
            Content::Malware => (None, true),
        };
        zendesk.spoil(&id, spoilt)?;
        zendesk.set_malware(&id, malware)
    })
}

/// Applies a change if its body was valid; returns the answer.
fn done<T>(
    asked: Result<Json<T>, JsonRejection>,
    change: impl FnOnce(T) -> Result<(), SandboxZendeskError>,
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
