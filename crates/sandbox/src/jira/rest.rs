//! REST API except searches and attachments: routes, authentication, issues, comments, transitions, and metadata of the installation.

use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Path, Request, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::catalog::{self, Category, Transition};
use super::error::ApiError;
use super::fields::{self, Reader, Screen, check_comment, id_or, properties};
use super::settings::{Deployment, ResolutionOnClosing, SandboxJiraAuth, SandboxJiraSettings};
use super::state::{Issue, State};
use super::wire::{Place, Selection, Version, Wire};
use super::{SandboxJira, attachments, gateway, limits, pages, remote_links, search, service_desk, webhooks};

/// Maximum size of a JSON body, in bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Permissions that `mypermissions` lists: ID, key and name.
const PERMISSIONS: [(&str, &str, &str); 14] = [
    ("0", "ADMINISTER", "Administer Jira"),
    ("10", "BROWSE_PROJECTS", "Browse Projects"),
    ("11", "CREATE_ISSUES", "Create Issues"),
    ("12", "EDIT_ISSUES", "Edit Issues"),
    ("14", "RESOLVE_ISSUES", "Resolve Issues"),
    ("15", "ADD_COMMENTS", "Add Comments"),
    ("16", "DELETE_ISSUES", "Delete Issues"),
    ("18", "CLOSE_ISSUES", "Close Issues"),
    ("21", "LINK_ISSUES", "Link Issues"),
    ("19", "CREATE_ATTACHMENTS", "Create Attachments"),
    ("36", "DELETE_ALL_COMMENTS", "Delete All Comments"),
    ("34", "EDIT_ALL_COMMENTS", "Edit All Comments"),
    ("46", "TRANSITION_ISSUES", "Transition Issues"),
    ("-1", "SERVICEDESK_AGENT", "Service Project Agent"),
];

/// State that every REST handler gets.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) jira: SandboxJira,
    pub(super) version: Version,
}

impl Api {
    pub(super) fn settings(&self) -> &SandboxJiraSettings {
        &self.jira.0.settings
    }

    pub(super) fn wire<'a>(&'a self, base: &'a str, state: &'a State) -> Wire<'a> {
        Wire { base, version: self.version, settings: self.settings(), state }
    }

    /// Returns an issue if the asking user may see it.
    pub(super) fn issue<'a>(&self, state: &'a State, id_or_key: &str) -> Result<&'a Issue, ApiError> {
        state
            .resolve(id_or_key)
            .and_then(|id| state.issues.get(&id))
            .filter(|issue| state.shows(issue) && self.settings().may("BROWSE_PROJECTS"))
            .ok_or_else(|| ApiError::no_issue(self.settings().deployment))
    }

    /// Returns an issue if the asking user may see and change it. An archived issue is read-only ("Archiving API"); the error for changing
    /// one is not documented.
    pub(super) fn live_issue<'a>(&self, state: &'a State, id_or_key: &str) -> Result<&'a Issue, ApiError> {
        let issue = self.issue(state, id_or_key)?;
        if state.is_archived(issue) {
            return Err(ApiError::bad_request("The issue is archived and cannot be changed."));
        }
        Ok(issue)
    }

    pub(super) fn may(&self, permission: &str, complaint: &str) -> Result<(), ApiError> {
        if self.settings().may(permission) { Ok(()) } else { Err(ApiError::forbidden(complaint)) }
    }

    /// Changes the state. A change that returns an error must leave the state as it was.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let account = &self.settings().account;
        self.jira.change_by(Some(account), change).map_err(|error| ApiError::internal(&error))?
    }
}

pub(super) fn router(jira: &SandboxJira) -> Router {
    let files = match jira.0.settings.deployment {
        // The gateway does not have the webhooks.
        Deployment::Cloud => attachments::login_router().merge(webhooks::routes(jira)),
        Deployment::DataCenter => attachments::secure_router(jira),
    };
    api(jira).merge(files).merge(gateway::router(jira)).merge(pages::routes(jira)).fallback(unknown)
}

/// Routes of the REST API in the versions that the deployment has.
pub(super) fn api(jira: &SandboxJira) -> Router {
    let router = Router::new()
        .nest(Version::Two.path(), versioned(jira, Version::Two))
        .merge(service_desk::routes(jira));
    match jira.0.settings.deployment {
        Deployment::Cloud => router.nest(Version::Three.path(), versioned(jira, Version::Three)),
        Deployment::DataCenter => router.nest("/rest/api/latest", versioned(jira, Version::Two)),
    }
}

fn versioned(jira: &SandboxJira, version: Version) -> Router {
    let api = Api { jira: jira.clone(), version };
    let open = Router::new()
        .route("/serverInfo", get(server_info))
        .layer(middleware::from_fn_with_state(api.clone(), name_caller))
        .with_state(api.clone());
    let closed = Router::new()
        .route("/myself", get(myself))
        .route("/mypermissions", get(my_permissions))
        .route("/field", get(all_fields))
        .route("/priority", get(priorities))
        .route("/priority/search", get(priority_pages))
        .route("/priority/{id}", get(priority))
        .route("/resolution", get(resolutions))
        .route("/resolution/{id}", get(resolution))
        .route("/status", get(statuses))
        .route("/status/{id}", get(status))
        .route("/statuscategory", get(categories))
        .route("/issuetype", get(issue_types))
        .route("/issuetype/{id}", get(issue_type))
        .route("/component/{id}", get(component))
        .route("/user", get(user))
        .route("/project", get(projects))
        .route("/project/{project}", get(project))
        .route("/project/{project}/components", get(components))
        .route("/project/{project}/statuses", get(project_statuses))
        .route("/issue/createmeta/{project}/issuetypes", get(create_types))
        .route("/issue/createmeta/{project}/issuetypes/{issue_type}", get(create_fields))
        .route("/issue", post(create_issue))
        .route("/issue/{issue}", get(get_issue).put(edit_issue).delete(delete_issue))
        .route("/issue/{issue}/watchers", get(watchers))
        .route("/issue/{issue}/editmeta", get(edit_meta))
        .route("/issue/{issue}/comment", get(comments).post(add_comment))
        .route("/issue/{issue}/comment/{id}", get(comment).put(edit_comment).delete(delete_comment))
        .route("/issue/{issue}/transitions", get(transitions).post(transition))
        .route("/issue/{issue}/properties", get(issue_properties))
        .route(
            "/issue/{issue}/properties/{key}",
            get(issue_property).put(put_issue_property).delete(delete_issue_property),
        )
        .route("/comment/{id}/properties", get(comment_properties))
        .route("/comment/{id}/properties/{key}", get(comment_property).put(put_comment_property))
        .merge(search::routes(jira.0.settings.deployment))
        .merge(attachments::routes())
        .merge(remote_links::routes());
    let closed = match jira.0.settings.deployment {
        // Data Center 9 has removed this route, and reads `createmeta` as an issue key.
        Deployment::DataCenter => closed,
        Deployment::Cloud => closed.route("/issue/createmeta", get(create_meta)),
    };
    let closed = closed.layer(middleware::from_fn_with_state(api.clone(), limits::limit));
    let closed = closed.layer(middleware::from_fn_with_state(api.clone(), authenticate)).with_state(api);
    open.merge(closed).fallback(unknown)
}

async fn unknown(uri: Uri) -> Response {
    let body = json!({"message": format!("null for uri: {}", uri.path()), "status-code": 404});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

// ---------------------------------------------------------------- requests

/// Caller of a request, by its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// The connector's account, with accepted credentials.
    Known,
    /// A caller without accepted credentials, who is answered as the anonymous public: nothing is visible.
    Visitor,
    /// A caller without accepted credentials who is refused with 401.
    Refused,
}

impl Caller {
    fn of(api: &Api, request: &Request) -> Self {
        let manners = api.jira.manners();
        let auth = api.jira.auth();
        let in_place = !auth.needs_gateway(api.settings().deployment)
            || request.extensions().get::<gateway::ThroughGateway>().is_some();
        let is_let_in = in_place && is_let_in(&auth, request.headers());
        match (manners.expired_credentials, is_let_in, manners.visitors) {
            (false, true, _) => Self::Known,
            (true, ..) | (false, false, true) => Self::Visitor,
            (false, false, false) => Self::Refused,
        }
    }

    /// Adds the header that names the caller: on Cloud the account's ID ("Special headers"), on Data Center the user name.
    fn name(self, api: &Api, mut answer: Response) -> Response {
        let user = api.jira.state().users.get(&api.settings().account).cloned();
        let (header, known) = match api.settings().deployment {
            Deployment::Cloud => ("x-aaccountid", user.map(|user| user.account_id)),
            Deployment::DataCenter => ("x-ausername", user.map(|user| user.name)),
        };
        let value = match (self, api.settings().deployment) {
            (Self::Known, _) => known,
            (Self::Visitor | Self::Refused, Deployment::DataCenter) => Some("anonymous".to_owned()),
            (Self::Visitor | Self::Refused, Deployment::Cloud) => None,
        };
        let headers = answer.headers_mut();
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(header, value);
        }
        if self != Self::Known && api.settings().deployment == Deployment::Cloud {
            headers.insert("x-seraph-loginreason", HeaderValue::from_static("AUTHENTICATED_FAILED"));
        }
        answer
    }
}

pub(super) async fn authenticate(Shared(api): Shared<Api>, request: Request, next: Next) -> Response {
    let caller = Caller::of(&api, &request);
    let answer = match caller {
        Caller::Known => next.run(request).await,
        Caller::Visitor => to_visitor(&api, request.uri().path()),
        Caller::Refused => not_authenticated(api.settings().deployment),
    };
    caller.name(&api, answer)
}

async fn name_caller(Shared(api): Shared<Api>, request: Request, next: Next) -> Response {
    let caller = Caller::of(&api, &request);
    caller.name(&api, next.run(request).await)
}

/// Answers an anonymous visitor of an installation without public projects: Jira's own fields, no issue, no project. The reference of
/// each of these operations says that it can be accessed anonymously.
fn to_visitor(api: &Api, path: &str) -> Response {
    let path =
        path.trim_start_matches("/rest/api").trim_start_matches(|c: char| c == '/' || c.is_ascii_digit());
    let path = path.trim_start_matches("latest/");
    let deployment = api.settings().deployment;
    let answer: Answer = if path == "search/jql" {
        ok(json!({"issues": [], "isLast": true}))
    } else if path == "search" {
        ok(json!({"startAt": 0, "maxResults": 50, "total": 0, "issues": []}))
    } else if path == "field" {
        let fields = api.wire("", &api.jira.state()).fields();
        let own = fields.as_array().into_iter().flatten().filter(|field| field["custom"] == false);
        ok(own.cloned().collect())
    } else if path.starts_with("issue/") || path.starts_with("attachment/") {
        Err(ApiError::no_issue(deployment))
    } else if let Some(name) = path.strip_prefix("project/") {
        Err(no_project(name))
    } else {
        return not_authenticated(deployment);
    };
    answer.into_response()
}

fn is_let_in(auth: &SandboxJiraAuth, headers: &HeaderMap) -> bool {
    let wanted = match auth {
        SandboxJiraAuth::Anyone => return true,
        SandboxJiraAuth::OauthClient(client) => return client.accepts(headers),
        SandboxJiraAuth::Basic { email, token } | SandboxJiraAuth::ScopedToken { email, token } => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{email}:{token}")))
        }
        SandboxJiraAuth::Bearer { token } => format!("Bearer {token}"),
    };
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(wanted.as_bytes())))
}

fn not_authenticated(deployment: Deployment) -> Response {
    let reason = [("x-seraph-loginreason", "AUTHENTICATED_FAILED")];
    match deployment {
        Deployment::Cloud => {
            let message = "Client must be authenticated to access this resource.";
            let body = json!({"message": message, "status-code": 401});
            (StatusCode::UNAUTHORIZED, reason, Json(body)).into_response()
        }
        Deployment::DataCenter => {
            let message = "You are not authenticated. Authentication required to perform this operation.";
            (reason, ApiError::new(StatusCode::UNAUTHORIZED, message)).into_response()
        }
    }
}

/// URL of this server as the caller knows it: `http://host:port`, and the site's path at the gateway for calls that came through it. Links
/// in answers to those lead through the gateway as well.
pub(super) struct Base(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str));
        let site = format!("http://{}", host.unwrap_or("localhost"));
        let through_gateway = parts.extensions.get::<gateway::ThroughGateway>().is_some();
        Ok(Self(if through_gateway { gateway::address(&site) } else { site }))
    }
}

/// Query parameters of a request; a name may occur more than once.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Params {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Parses a parameter that is a number; refuses any other text.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, ApiError> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| ApiError::bad_request(format!("{name} must be a non-negative integer")))
            })
            .transpose()
    }

    pub(super) fn expands(&self, what: &str) -> bool {
        self.all("expand").flat_map(|list| list.split(',')).any(|item| item.trim() == what)
    }
}

/// Body of a request that is a JSON object.
pub(super) struct Body(pub(super) Map<String, Value>);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        match JsonValue::read(request).await? {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(ApiError::bad_request("Can not deserialize instance: the body is no object")),
        }
    }
}

/// Body of a request that is any JSON.
pub(super) struct JsonValue(Value);

impl<S: Sync> FromRequest<S> for JsonValue {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Self::read(request).await.map(Self)
    }
}

impl JsonValue {
    async fn read(request: Request) -> Result<Value, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(|kind| kind.starts_with("application/json")) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(ApiError::new(status, "Unsupported Media Type: send application/json"));
        }
        let bytes = axum::body::to_bytes(request.into_body(), BODY_LIMIT)
            .await
            .map_err(|_| ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"))?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::bad_request(format!(
                "There was an error parsing JSON. Check that your request body is valid. ({error})"
            ))
        })?;
        if holds_nul(&value) {
            // Jira's database is PostgreSQL, whose text cannot hold the character with the code zero (PostgreSQL
            // documentation, "Character Types"): the statement fails, and the request with it.
            return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"));
        }
        Ok(value)
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

pub(super) type Answer = Result<Response, ApiError>;

#[expect(clippy::unnecessary_wraps, reason = "what a handler ends with")]
pub(super) fn ok(body: Value) -> Answer {
    Ok(Json(body).into_response())
}

#[expect(clippy::unnecessary_wraps, reason = "what a handler ends with")]
fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn not_found(what: &str) -> ApiError {
    ApiError::not_found(format!("{what} does not exist."))
}

// ---------------------------------------------------------------- the installation

async fn server_info(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let (version, numbers, deployment) = match api.settings().deployment {
        Deployment::Cloud => ("1001.0.0-SNAPSHOT", [1001, 0, 0], "Cloud"),
        Deployment::DataCenter => ("9.12.5", [9, 12, 5], "Server"),
    };
    let state = api.jira.state();
    let now = api.wire(&base, &state).time(api.jira.now());
    ok(json!({
        // That of the site, however the call came.
        "baseUrl": gateway::site(&base),
        "version": version,
        "versionNumbers": numbers,
        "deploymentType": deployment,
        "buildNumber": 100_000,
        "buildDate": "2026-01-01T00:00:00.000+0000",
        "serverTime": now,
        "scmInfo": "0000000000000000000000000000000000000000",
        "serverTitle": "Sandbox Jira",
    }))
}

async fn myself(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    ok(api.wire(&base, &api.jira.state()).myself())
}

async fn my_permissions(Shared(api): Shared<Api>, params: Params) -> Answer {
    let asked: Vec<&str> = params.all("permissions").flat_map(|list| list.split(',')).collect();
    let is_cloud = api.settings().deployment == Deployment::Cloud;
    if asked.is_empty() && is_cloud {
        return Err(ApiError::bad_request("The 'permissions' query parameter is required."));
    }
    if let Some(unknown) = asked.iter().find(|asked| !PERMISSIONS.iter().any(|(_, key, _)| key == *asked)) {
        return Err(ApiError::bad_request(format!("Unrecognized permission: {unknown}")));
    }
    let permissions: Map<String, Value> = PERMISSIONS
        .iter()
        .filter(|(_, key, _)| asked.is_empty() || asked.contains(key))
        .map(|(id, key, name)| {
            let have = *key != "ADMINISTER" && api.settings().may(key);
            let kind = if *key == "ADMINISTER" { "GLOBAL" } else { "PROJECT" };
            let json = json!({
                "id": id, "key": key, "name": name, "type": kind, "description": "", "havePermission": have,
            });
            ((*key).to_owned(), json)
        })
        .collect();
    ok(json!({"permissions": permissions}))
}

async fn all_fields(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    ok(api.wire(&base, &api.jira.state()).fields())
}

async fn priorities(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    ok(catalog::PRIORITIES.iter().map(|name| wire.priority(name)).collect())
}

async fn priority_pages(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    let values: Vec<_> = catalog::PRIORITIES.iter().map(|name| wire.priority(name)).collect();
    ok(json!({"maxResults": 50, "startAt": 0, "total": values.len(), "isLast": true, "values": values}))
}

async fn priority(Shared(api): Shared<Api>, Base(base): Base, Path(id): Path<String>) -> Answer {
    let state = api.jira.state();
    let found = catalog::PRIORITIES.iter().find(|name| catalog::priority_id(name).to_string() == id);
    ok(api.wire(&base, &state).priority(found.ok_or_else(|| not_found("The priority"))?))
}

async fn resolutions(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    ok(catalog::RESOLUTIONS.iter().map(|(_, name)| wire.resolution(name)).collect())
}

async fn resolution(Shared(api): Shared<Api>, Base(base): Base, Path(id): Path<String>) -> Answer {
    let name = catalog::name_of(&catalog::RESOLUTIONS, &id).ok_or_else(|| not_found("The resolution"))?;
    ok(api.wire(&base, &api.jira.state()).resolution(name))
}

async fn statuses(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    ok(catalog::STATUSES.iter().map(|status| wire.status(*status)).collect())
}

async fn status(Shared(api): Shared<Api>, Base(base): Base, Path(id): Path<String>) -> Answer {
    let found = catalog::STATUSES.iter().find(|status| status.id == id || status.name == id);
    ok(api.wire(&base, &api.jira.state()).status(*found.ok_or_else(|| not_found("The status"))?))
}

async fn categories(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    ok(Category::ALL.iter().map(|category| wire.category(*category)).collect())
}

async fn issue_types(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    ok(catalog::ISSUE_TYPES.iter().map(|(_, name)| wire.issue_type(name)).collect())
}

async fn issue_type(Shared(api): Shared<Api>, Base(base): Base, Path(id): Path<String>) -> Answer {
    let name = catalog::name_of(&catalog::ISSUE_TYPES, &id).ok_or_else(|| not_found("The issue type"))?;
    ok(api.wire(&base, &api.jira.state()).issue_type(name))
}

async fn component(Shared(api): Shared<Api>, Base(base): Base, Path(id): Path<String>) -> Answer {
    let name = catalog::name_of(&catalog::COMPONENTS, &id)
        .ok_or_else(|| ApiError::not_found(format!("The component with id {id} does not exist.")))?;
    ok(api.wire(&base, &api.jira.state()).component(name))
}

async fn user(Shared(api): Shared<Api>, Base(base): Base, params: Params) -> Answer {
    let state = api.jira.state();
    let found = state.users.values().find(|user| match api.settings().deployment {
        Deployment::Cloud => params.get("accountId") == Some(&user.account_id),
        Deployment::DataCenter => {
            [params.get("username"), params.get("key")].contains(&Some(user.name.as_str()))
        }
    });
    ok(api.wire(&base, &state).user_json(found.ok_or_else(|| not_found("The user"))?))
}

async fn projects(Shared(api): Shared<Api>, Base(base): Base) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    let shown = state.projects.iter().filter(|project| state.shows_project(project));
    ok(shown.map(|project| wire.project(project)).collect())
}

fn known_project<'a>(state: &'a State, name: &str) -> Result<&'a super::state::Project, ApiError> {
    state.project(name).filter(|project| state.shows_project(project)).ok_or_else(|| no_project(name))
}

fn no_project(name: &str) -> ApiError {
    ApiError::not_found(format!("No project could be found with key '{name}'."))
}

async fn project(Shared(api): Shared<Api>, Base(base): Base, Path(name): Path<String>) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    let mut json = wire.project(known_project(&state, &name)?);
    json["components"] = catalog::COMPONENTS.iter().map(|(_, name)| wire.component(name)).collect();
    json["issueTypes"] = catalog::ISSUE_TYPES.iter().map(|(_, name)| wire.issue_type(name)).collect();
    json["lead"] = wire.user(&api.settings().account);
    ok(json)
}

async fn components(Shared(api): Shared<Api>, Base(base): Base, Path(name): Path<String>) -> Answer {
    let state = api.jira.state();
    known_project(&state, &name)?;
    let wire = api.wire(&base, &state);
    ok(catalog::COMPONENTS.iter().map(|(_, name)| wire.component(name)).collect())
}

async fn project_statuses(Shared(api): Shared<Api>, Base(base): Base, Path(name): Path<String>) -> Answer {
    let state = api.jira.state();
    known_project(&state, &name)?;
    let wire = api.wire(&base, &state);
    let statuses: Vec<_> = catalog::STATUSES.iter().map(|status| wire.status(*status)).collect();
    ok(catalog::ISSUE_TYPES
        .iter()
        .map(|(_, name)| {
            let mut json = wire.issue_type(name);
            json["statuses"] = json!(statuses);
            json
        })
        .collect())
}

// ---------------------------------------------------------------- creating

async fn create_meta(Shared(api): Shared<Api>, Base(base): Base, params: Params) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    let names = |name| params.all(name).flat_map(|list| list.split(',')).collect::<Vec<_>>();
    let (keys, ids) = (names("projectKeys"), names("projectIds"));
    let (type_names, type_ids) = (names("issuetypeNames"), names("issuetypeIds"));
    let types: Vec<_> = catalog::ISSUE_TYPES
        .iter()
        .filter(|(id, name)| {
            (type_names.is_empty() || type_names.contains(name))
                && (type_ids.is_empty() || type_ids.contains(id))
        })
        .map(|(_, name)| {
            let mut json = wire.issue_type(name);
            if params.expands("projects.issuetypes.fields") {
                json["fields"] = Value::Object(wire.screen(true));
            }
            json
        })
        .collect();
    let projects: Vec<_> = state
        .projects
        .iter()
        .filter(|project| {
            (keys.is_empty() && ids.is_empty())
                || keys.contains(&project.key.as_str())
                || ids.contains(&project.id.to_string().as_str())
        })
        .map(|project| {
            let mut json = wire.project(project);
            json["issuetypes"] = json!(types);
            json
        })
        .collect();
    ok(json!({"expand": "projects", "projects": projects}))
}

/// Returns a page of `createmeta`. The name of its list differs between Cloud and Data Center.
fn create_page(api: &Api, cloud_name: &str, params: &Params, values: &[Value]) -> Answer {
    let start = params.number("startAt")?.unwrap_or(0);
    let limit = params.number("maxResults")?.unwrap_or(50);
    let page: Vec<_> = values.iter().skip(start).take(limit).collect();
    let is_last = start + page.len() >= values.len();
    let mut json = json!({"startAt": start, "maxResults": limit, "total": values.len()});
    match api.settings().deployment {
        Deployment::Cloud => json[cloud_name] = json!(page),
        Deployment::DataCenter => {
            json["isLast"] = json!(is_last);
            json["values"] = json!(page);
        }
    }
    ok(json)
}

async fn create_types(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    params: Params,
) -> Answer {
    let state = api.jira.state();
    known_project(&state, &name)?;
    let wire = api.wire(&base, &state);
    let types: Vec<_> = catalog::ISSUE_TYPES.iter().map(|(_, name)| wire.issue_type(name)).collect();
    create_page(&api, "issueTypes", &params, &types)
}

async fn create_fields(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path((name, issue_type)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let state = api.jira.state();
    known_project(&state, &name)?;
    if catalog::name_of(&catalog::ISSUE_TYPES, &issue_type).is_none() {
        return Err(not_found("The issue type"));
    }
    let fields: Vec<_> = api.wire(&base, &state).screen(true).into_iter().map(|(_, field)| field).collect();
    create_page(&api, "fields", &params, &fields)
}

async fn create_issue(Shared(api): Shared<Api>, Base(base): Base, Body(body): Body) -> Answer {
    let now = api.jira.now();
    let created = api.change(|state| {
        let reader = Reader {
            state,
            settings: api.settings(),
            version: api.version,
            screen: Screen::Create,
            current: None,
        };
        let mut changes = reader.read(&body)?;
        let comments = std::mem::take(&mut changes.comments);
        let (project, draft) = changes.into_draft()?;
        if !api.settings().may("CREATE_ISSUES") {
            let message = "You do not have permission to create issues in this project.";
            return Err(ApiError::field("project", message));
        }
        let account = &api.settings().account;
        let id = state.create(&project, account, draft, now);
        for (body, properties) in comments {
            state.add_comment(id, account, body, properties, now);
        }
        let issue = api.issue(state, &id.to_string())?;
        let url = api.wire(&base, state).url(&format!("/issue/{id}"));
        Ok(json!({"id": id.to_string(), "key": issue.doc.key, "self": url}))
    })?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

// ---------------------------------------------------------------- issues

async fn watchers(Shared(api): Shared<Api>, Base(base): Base, Path(name): Path<String>) -> Answer {
    let state = api.jira.state();
    let issue = api.issue(&state, &name)?;
    ok(api.wire(&base, &state).watchers(issue))
}

async fn get_issue(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    params: Params,
) -> Answer {
    let state = api.jira.state();
    let issue = api.issue(&state, &name)?;
    let wire = api.wire(&base, &state);
    let selection = Selection::parse(params.all("fields")).unwrap_or_else(Selection::all);
    let mut json = wire.issue(issue, &selection, Place::Issue);
    if params.expands("transitions") {
        json["transitions"] = open_transitions(&api, &state, issue)
            .into_iter()
            .map(|transition| wire.transition(transition, false))
            .collect();
    }
    let wanted: Vec<_> = params.all("properties").flat_map(|list| list.split(',')).collect();
    if !wanted.is_empty() {
        json["properties"] = issue
            .properties
            .iter()
            .filter(|(key, _)| wanted.contains(&"*all") || wanted.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into();
    }
    ok(json)
}

async fn edit_issue(Shared(api): Shared<Api>, Path(name): Path<String>, Body(body): Body) -> Answer {
    let now = api.jira.now();
    api.change(|state| {
        let issue = api.live_issue(state, &name)?;
        let id = issue.id;
        let reader = Reader {
            state,
            settings: api.settings(),
            version: api.version,
            screen: Screen::Edit,
            current: Some(&issue.doc),
        };
        let changes = reader.read(&body)?;
        if !changes.comments.is_empty() {
            api.may("ADD_COMMENTS", NO_COMMENTS)?;
        }
        if changes.has_fields() {
            state.edit(id, now, |doc| changes.apply(doc));
        }
        for (body, properties) in changes.comments {
            state.add_comment(id, &api.settings().account, body, properties, now);
        }
        Ok(())
    })?;
    no_content()
}

async fn delete_issue(Shared(api): Shared<Api>, Path(name): Path<String>) -> Answer {
    let deleted = api.change(|state| {
        let id = api.issue(state, &name)?.id;
        api.may("DELETE_ISSUES", "You do not have permission to delete issues in this project.")?;
        Ok(state.delete(id))
    })?;
    if let Some(issue) = deleted {
        api.jira.forget_content(&issue);
    }
    no_content()
}

async fn edit_meta(Shared(api): Shared<Api>, Base(base): Base, Path(name): Path<String>) -> Answer {
    let state = api.jira.state();
    api.issue(&state, &name)?;
    let fields =
        if api.settings().may("EDIT_ISSUES") { api.wire(&base, &state).screen(false) } else { Map::new() };
    ok(json!({"fields": fields}))
}

// ---------------------------------------------------------------- comments

const NO_COMMENTS: &str = "You do not have the permission to comment on this issue.";

fn no_comment(id: &str) -> ApiError {
    ApiError::not_found(format!("Can not find a comment for the id: {id}."))
}

async fn comments(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    params: Params,
) -> Answer {
    let state = api.jira.state();
    let issue = api.issue(&state, &name)?;
    let wire = api.wire(&base, &state);
    let start = params.number("startAt")?.unwrap_or(0);
    // Cloud returns 100 by default and at most 5,000; Data Center has no limit.
    let limit = match api.settings().deployment {
        Deployment::Cloud => params.number("maxResults")?.unwrap_or(100).min(5000),
        Deployment::DataCenter => params.number("maxResults")?.unwrap_or(1_048_576),
    };
    let mut ordered: Vec<_> = issue.comments.iter().collect();
    match params.get("orderBy") {
        None | Some("created" | "+created" | " created") => {}
        Some("-created") => ordered.reverse(),
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "The value '{other}' is not a valid orderBy; use created, +created or -created."
            )));
        }
    }
    let page: Vec<_> = ordered
        .into_iter()
        .skip(start)
        .take(limit)
        .map(|comment| wire.comment(issue, comment, params.expands("properties")))
        .collect();
    ok(json!({"startAt": start, "maxResults": limit, "total": issue.comments.len(), "comments": page}))
}

async fn comment(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path((name, id)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let state = api.jira.state();
    let issue = api.issue(&state, &name)?;
    let comment = issue.comment(&id).ok_or_else(|| no_comment(&id))?;
    ok(api.wire(&base, &state).comment(issue, comment, params.expands("properties")))
}

/// Parses and checks the body of a comment.
fn sent_comment(api: &Api, state: &State, body: &Map<String, Value>) -> Result<String, ApiError> {
    let reader =
        Reader { state, settings: api.settings(), version: api.version, screen: Screen::Edit, current: None };
    let text = reader.text(body.get("body").unwrap_or(&Value::Null)).map(Option::unwrap_or_default);
    text.and_then(|text| check_comment(&text, api.settings()).map(|()| text))
        .map_err(|message| ApiError::field("comment", message))
}

async fn add_comment(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    Body(body): Body,
) -> Answer {
    let now = api.jira.now();
    let added = api.change(|state| {
        let issue = api.issue(state, &name)?;
        if state.is_archived(issue) {
            return Err(ApiError::forbidden(NO_COMMENTS));
        }
        let issue = issue.id;
        api.may("ADD_COMMENTS", NO_COMMENTS)?;
        let text = sent_comment(&api, state, &body)?;
        let properties = properties(&Value::Object(body));
        let id = state.add_comment(issue, &api.settings().account, text, properties, now);
        let issue = api.issue(state, &name)?;
        let id = id.unwrap_or_default().to_string();
        let comment = issue.comment(&id).ok_or_else(|| no_comment(&id))?;
        Ok(api.wire(&base, state).comment(issue, comment, false))
    })?;
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

async fn edit_comment(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path((name, id)): Path<(String, String)>,
    Body(body): Body,
) -> Answer {
    let now = api.jira.now();
    let edited = api.change(|state| {
        let issue = api.issue(state, &name)?;
        let (issue, comment) = (issue.id, issue.comment(&id).ok_or_else(|| no_comment(&id))?.id);
        api.may("EDIT_ALL_COMMENTS", "You do not have the permission to edit this comment.")?;
        let text = sent_comment(&api, state, &body)?;
        let mut properties = properties(&Value::Object(body));
        state.edit_comment(issue, comment, &api.settings().account, now, |comment| {
            comment.body = text;
            comment.properties.append(&mut properties);
        });
        let issue = api.issue(state, &name)?;
        let comment = issue.comment(&id).ok_or_else(|| no_comment(&id))?;
        Ok(api.wire(&base, state).comment(issue, comment, false))
    })?;
    ok(edited)
}

async fn delete_comment(Shared(api): Shared<Api>, Path((name, id)): Path<(String, String)>) -> Answer {
    let now = api.jira.now();
    api.change(|state| {
        let issue = api.issue(state, &name)?;
        let (issue, comment) = (issue.id, issue.comment(&id).ok_or_else(|| no_comment(&id))?.id);
        api.may("DELETE_ALL_COMMENTS", "You do not have the permission to delete this comment.")?;
        state.delete_comment(issue, comment, now);
        Ok(())
    })?;
    no_content()
}

/// Returns the issue of a comment, if the asking user may see it.
fn issue_of_comment<'a>(api: &Api, state: &'a State, id: &str) -> Result<&'a Issue, ApiError> {
    state
        .issues
        .values()
        .find(|issue| state.shows(issue) && issue.comment(id).is_some())
        .filter(|_| api.settings().may("BROWSE_PROJECTS"))
        .ok_or_else(|| no_comment(id))
}

async fn comment_properties(Shared(api): Shared<Api>, Base(base): Base, Path(id): Path<String>) -> Answer {
    let state = api.jira.state();
    let wire = api.wire(&base, &state);
    let issue = issue_of_comment(&api, &state, &id)?;
    let keys: Vec<_> = issue
        .comment(&id)
        .into_iter()
        .flat_map(|comment| comment.properties.keys())
        .map(|key| json!({"key": key, "self": wire.url(&format!("/comment/{id}/properties/{key}"))}))
        .collect();
    ok(json!({"keys": keys}))
}

async fn comment_property(Shared(api): Shared<Api>, Path((id, key)): Path<(String, String)>) -> Answer {
    let state = api.jira.state();
    let issue = issue_of_comment(&api, &state, &id)?;
    let value = issue.comment(&id).and_then(|comment| comment.properties.get(&key));
    ok(json!({"key": key, "value": value.ok_or_else(|| no_property(&key))?}))
}

async fn put_comment_property(
    Shared(api): Shared<Api>,
    Path((id, key)): Path<(String, String)>,
    JsonValue(value): JsonValue,
) -> Answer {
    let is_new = api.change(|state| {
        let found = issue_of_comment(&api, state, &id)?;
        let is_own = found.comment(&id).is_some_and(|comment| comment.author == api.settings().account);
        let issue = found.id;
        // "Set comment property": Edit All Comments, or Edit Own Comments for one's own.
        let right = if is_own { "EDIT_OWN_COMMENTS" } else { "EDIT_ALL_COMMENTS" };
        api.may(right, "You do not have the permission to edit this comment.")?;
        // A property is not a change of the issue, so its time of update stays.
        let comment = state
            .issues
            .get_mut(&issue)
            .into_iter()
            .flat_map(|issue| issue.comments.iter_mut())
            .find(|comment| comment.id.to_string() == id)
            .ok_or_else(|| no_comment(&id))?;
        Ok(comment.properties.insert(key.clone(), value).is_none())
    })?;
    Ok(if is_new { StatusCode::CREATED } else { StatusCode::OK }.into_response())
}

// ---------------------------------------------------------------- properties of issues

fn no_property(key: &str) -> ApiError {
    ApiError::not_found(format!("The property {key} does not exist."))
}

async fn issue_properties(Shared(api): Shared<Api>, Base(base): Base, Path(name): Path<String>) -> Answer {
    let state = api.jira.state();
    let issue = api.issue(&state, &name)?;
    let wire = api.wire(&base, &state);
    let keys: Vec<_> = issue
        .properties
        .keys()
        .map(|key| json!({"key": key, "self": wire.url(&format!("/issue/{}/properties/{key}", issue.id))}))
        .collect();
    ok(json!({"keys": keys}))
}

async fn issue_property(Shared(api): Shared<Api>, Path((name, key)): Path<(String, String)>) -> Answer {
    let state = api.jira.state();
    let value = api.issue(&state, &name)?.properties.get(&key).ok_or_else(|| no_property(&key))?;
    ok(json!({"key": key, "value": value}))
}

async fn put_issue_property(
    Shared(api): Shared<Api>,
    Path((name, key)): Path<(String, String)>,
    JsonValue(value): JsonValue,
) -> Answer {
    let is_new = api.change(|state| {
        let id = api.issue(state, &name)?.id;
        api.may("EDIT_ISSUES", "You do not have permission to edit this issue.")?;
        Ok(state.issues.get_mut(&id).is_some_and(|issue| issue.properties.insert(key, value).is_none()))
    })?;
    Ok(if is_new { StatusCode::CREATED } else { StatusCode::OK }.into_response())
}

async fn delete_issue_property(
    Shared(api): Shared<Api>,
    Path((name, key)): Path<(String, String)>,
) -> Answer {
    api.change(|state| {
        let id = api.issue(state, &name)?.id;
        let removed = state.issues.get_mut(&id).and_then(|issue| issue.properties.remove(&key));
        removed.map(|_| ()).ok_or_else(|| no_property(&key))
    })?;
    no_content()
}

// ---------------------------------------------------------------- transitions

/// Returns the transitions that the asking user can perform on an issue in its status.
fn open_transitions(api: &Api, state: &State, issue: &Issue) -> Vec<Transition> {
    if api.settings().may("TRANSITION_ISSUES") && !state.is_archived(issue) {
        catalog::transitions(&issue.doc.status, api.settings(), state.manners.three_ways_to_close)
    } else {
        Vec::new()
    }
}

async fn transitions(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    params: Params,
) -> Answer {
    let state = api.jira.state();
    let issue = api.issue(&state, &name)?;
    let wire = api.wire(&base, &state);
    let with_fields = params.expands("transitions.fields");
    let list: Vec<_> = open_transitions(&api, &state, issue)
        .into_iter()
        .filter(|transition| params.get("transitionId").is_none_or(|id| id == transition.id))
        .map(|transition| wire.transition(transition, with_fields))
        .collect();
    ok(json!({"expand": "transitions", "transitions": list}))
}

async fn transition(Shared(api): Shared<Api>, Path(name): Path<String>, Body(body): Body) -> Answer {
    let now = api.jira.now();
    api.change(|state| {
        let issue = api.issue(state, &name)?;
        let id = issue.id;
        let wanted = body
            .get("transition")
            .and_then(|transition| id_or(transition, "id"))
            .ok_or_else(|| ApiError::bad_request("Missing 'transition' identifier"))?;
        if wanted.parse::<u32>().is_err() {
            return Err(ApiError::bad_request(format!("'transition' identifier must be an integer: {wanted}")));
        }
        let transition = open_transitions(&api, state, issue)
            .into_iter()
            .find(|transition| transition.id == wanted)
            .ok_or_else(|| {
                ApiError::bad_request(format!(
                    "It seems that you have tried to perform an illegal workflow operation ({wanted}) on this issue: it is not open to it in its status, or to you."
                ))
            })?;
        let on_screen = transition.resolution.is_some_and(|resolution| match resolution {
            ResolutionOnClosing::Required | ResolutionOnClosing::Optional => true,
            ResolutionOnClosing::NotOnScreen => false,
        });
        let reader = Reader {
            state,
            settings: api.settings(),
            version: api.version,
            screen: Screen::Transition { resolution: on_screen, closing: transition.resolution.is_some() },
            current: Some(&issue.doc),
        };
        let changes: fields::Changes = reader.read(&body)?;
        if transition.resolution == Some(ResolutionOnClosing::Required) && changes.resolution.is_none() {
            return Err(ApiError::field("resolution", "Resolution is required."));
        }
        state.edit(id, now, |doc| changes.apply(doc));
        take(state, id, transition, changes.resolution, now);
        for (body, properties) in changes.comments {
            state.add_comment(id, &api.settings().account, body, properties, now);
        }
        Ok(())
    })?;
    no_content()
}

/// Applies a transition to an issue: closing sets a resolution, reopening clears it.
pub(super) fn take(
    state: &mut State,
    issue: u64,
    transition: Transition,
    resolution: Option<String>,
    now: DateTime<Utc>,
) {
    state.edit(issue, now, |doc| {
        transition.to.name.clone_into(&mut doc.status);
        match transition.to.category {
            Category::Done => {
                doc.resolution = Some(resolution.unwrap_or_else(|| catalog::RESOLUTIONS[0].1.to_owned()));
                doc.resolved = Some(now);
            }
            Category::New | Category::Indeterminate => {
                doc.resolution = None;
                doc.resolved = None;
            }
        }
    });
}
