//! Lists of Service Management's own API: service desks and their request types.
//!
//! Source: "Get service desks" and "Get request types", developer.atlassian.com/cloud/jira/service-desk/rest (November 2026).

use axum::extract::{Path, State as Shared};
use axum::routing::get;
use axum::{Router, middleware};
use serde_json::{Value, json};

use super::SandboxJira;
use super::catalog;
use super::error::ApiError;
use super::rest::{Answer, Api, Params, authenticate, ok};
use super::wire::Version;

/// Maximum number of items of a page.
const PAGE: usize = 100;

/// Routes of both lists.
pub(super) fn routes(jira: &SandboxJira) -> Router {
    let api = Api { jira: jira.clone(), version: Version::Two };
    Router::new()
        .route("/rest/servicedeskapi/servicedesk", get(service_desks))
        .route("/rest/servicedeskapi/servicedesk/{id}/requesttype", get(request_types))
        .layer(middleware::from_fn_with_state(api.clone(), authenticate))
        .with_state(api)
}

async fn service_desks(Shared(api): Shared<Api>, params: Params) -> Answer {
    let state = api.jira.state();
    let desks = state
        .projects
        .iter()
        .filter(|project| api.settings().service_management && state.shows_project(project));
    let desks = desks.map(|project| {
        json!({
            "id": desk_id(project.id), "projectId": project.id.to_string(), "projectKey": project.key, "projectName": project.name,
        })
    });
    page(&desks.collect::<Vec<_>>(), &params)
}

async fn request_types(Shared(api): Shared<Api>, Path(id): Path<String>, params: Params) -> Answer {
    let state = api.jira.state();
    let is_known =
        state.projects.iter().any(|project| desk_id(project.id) == id && state.shows_project(project));
    if !is_known || !api.settings().service_management {
        return Err(ApiError::not_found("The service desk ID provided does not exist."));
    }
    let types = catalog::REQUEST_TYPES.iter().map(|(type_id, name, issue_type)| {
        json!({
            "id": type_id, "name": name, "description": "", "helpText": "", "serviceDeskId": id,
            "issueTypeId": catalog::id_of(&catalog::ISSUE_TYPES, issue_type),
        })
    });
    page(&types.collect::<Vec<_>>(), &params)
}

/// Returns the ID of a project's service desk.
fn desk_id(project: u64) -> String {
    format!("9{project}")
}

fn page(all: &[Value], params: &Params) -> Answer {
    let start = params.number("start")?.unwrap_or_default();
    let limit = params.number("limit")?.unwrap_or(PAGE).min(PAGE);
    let shown: Vec<_> = all.iter().skip(start).take(limit).cloned().collect();
    ok(json!({
        "size": shown.len(), "start": start, "limit": limit, "isLastPage": start + shown.len() >= all.len(),
        "values": shown,
    }))
}
