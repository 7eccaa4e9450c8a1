//! What stands beside a Jira for service accounts: the endpoints that issue access tokens, and the gateway that takes them on Cloud.
//!
//! Sources: "Create OAuth 2.0 credential for service accounts" and "401 Unauthorized error when service account accesses Jira or Confluence
//! API", support.atlassian.com; "Service accounts overview", confluence.atlassian.com/enterprise (all November 2026).

use std::collections::HashMap;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::settings::{Deployment, SandboxJiraAuth};
use super::{SandboxJira, rest};

/// ID of the site, in the gateway's path and in `/_edge/tenant_info`.
pub const CLOUD_ID: &str = "11223344-a1b2-4b33-8c44-def123456789";

/// Marks a request that came through the gateway.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThroughGateway;

/// Returns the address of a site's API at the gateway.
pub(super) fn address(site: &str) -> String {
    format!("{site}/ex/jira/{CLOUD_ID}")
}

/// Returns the site's own address for that of its API.
pub(super) fn site(address: &str) -> &str {
    address.split("/ex/jira/").next().unwrap_or_default()
}

/// Routes of the token endpoints and, on Cloud, of the gateway and of the page that names the site's ID.
pub(super) fn router(jira: &SandboxJira) -> Router {
    match jira.settings().deployment {
        Deployment::Cloud => Router::new()
            .route("/_edge/tenant_info", get(async || Json(json!({ "cloudId": CLOUD_ID }))))
            .route("/oauth/token", post(issue_on_cloud))
            .with_state(jira.clone())
            .nest(&format!("/ex/jira/{CLOUD_ID}"), rest::api(jira).layer(Extension(ThroughGateway))),
        Deployment::DataCenter => Router::new()
            .route("/rest/oauth2/latest/token", post(issue_on_data_center))
            .with_state(jira.clone()),
    }
}

/// Scopes that an administrator gives the credential of a service account, for all that the connector calls.
const SCOPES: &str =
    "read:jira-work write:jira-work read:jira-user read:servicedesk-request write:servicedesk-request";

async fn issue_on_cloud(Shared(jira): Shared<SandboxJira>, Json(asked): Json<Value>) -> Response {
    issue(&jira, |name| asked.get(name).and_then(Value::as_str).unwrap_or_default(), SCOPES)
}

async fn issue_on_data_center(Shared(jira): Shared<SandboxJira>, body: String) -> Response {
    let asked: HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let text = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    match text("scope") {
        "" => refused(StatusCode::BAD_REQUEST, "invalid_scope"),
        scope => issue(&jira, text, scope),
    }
}

fn issue<'a>(jira: &SandboxJira, text: impl Fn(&str) -> &'a str, scope: &str) -> Response {
    if text("grant_type") != "client_credentials" {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let SandboxJiraAuth::OauthClient(client) = jira.auth() else {
        return refused(StatusCode::UNAUTHORIZED, "access_denied");
    };
    match client.issue(text("client_id"), text("client_secret")) {
        Some(token) => Json(json!({
            "access_token": token, "scope": client.scopes_or(scope), "token_type": "Bearer", "expires_in": client.lifetime_seconds(),
        }))
        .into_response(),
        None => refused(StatusCode::UNAUTHORIZED, "access_denied"),
    }
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": "Unauthorized" }))).into_response()
}
