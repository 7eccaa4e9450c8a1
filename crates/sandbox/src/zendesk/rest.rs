//! REST API except files: routes, authentication, rate limits, paging, tickets, comments, searches, exports, users.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query as Params, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, body::Bytes};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;
use tower::ServiceExt as _;

use super::query::Query;
use super::settings::SandboxZendeskAuth;
use super::state::{
    ACCOUNT_ID, API, CUSTOM_STATUSES, Document, Draft, MergeWords, PRIORITIES, Remembered, STATUSES, State,
    Ticket, Words, wire_time,
};
use super::wire::Wire;
use super::{
    FLAG_FIELD, GOOGLE_NAME_FIELD, GOOGLE_STATE_FIELD, ROOT_CAUSE_FIELD, SandboxZendesk, catalog, delete,
    files, pages, redact, webhooks,
};
use crate::blobs;

/// Maximum size of a JSON body, in bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// Time for which an idempotency key is remembered.
const KEY_AGE: Duration = Duration::hours(2);
/// Lifetime of an upload that no comment uses.
pub(super) const UPLOAD_AGE: Duration = Duration::minutes(60);
/// Age that a change must have to be in an incremental export; Zendesk leaves newer ones out so that the export is complete.
const EXPORT_DELAY: Duration = Duration::seconds(60);
/// Maximum number of results that `search` can page through.
const SEARCH_LIMIT: usize = 1_000;
/// Maximum length of a subject, in characters.
const SUBJECT_LIMIT: usize = 150;
/// Maximum number of comments on a ticket.
const COMMENTS_LIMIT: usize = 5_000;

/// Error answer: status and body.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) Value);

impl Refusal {
    pub(super) fn new(status: StatusCode, error: &str, description: &str) -> Self {
        Self(status, json!({"error": error, "description": description}))
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "RecordNotFound", "Not found")
    }

    fn invalid(field: &str, description: impl Into<String>) -> Self {
        let description: String = description.into();
        let details = json!({field: [{"description": description}]});
        let body =
            json!({"error": "RecordInvalid", "description": "Record validation errors", "details": details});
        Self(StatusCode::UNPROCESSABLE_ENTITY, body)
    }

    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "the sandbox Zendesk cannot keep its state");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "Internal server error")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

pub(super) fn error_body(status: StatusCode, message: &str) -> String {
    json!({"error": status.canonical_reason().unwrap_or("Error"), "description": message}).to_string()
}

pub(super) type Answer = Result<Response, Refusal>;
pub(super) type Asked = Params<BTreeMap<String, String>>;

pub(super) fn router(zendesk: &SandboxZendesk) -> Router {
    let api = Router::new()
        .route("/tickets", get(tickets).post(create_ticket))
        .route("/tickets/count", get(count_tickets))
        .route("/tickets/show_many", get(show_many_tickets))
        .route("/tickets/{id}", get(ticket).put(update_ticket).delete(delete_ticket))
        .route("/tickets/{id}/merge", post(merge))
        .route("/tickets/{id}/comments", get(comments))
        .route("/tickets/{id}/comments/{comment}/make_private", put(make_private))
        .route("/tickets/{id}/comments/{comment}/attachments/{attachment}/redact", put(redact_attachment))
        .route("/tickets/{id}/audits", get(audits))
        .route("/tickets/{id}/tags", get(tags).post(set_tags).put(add_tags).delete(remove_tags))
        .route("/search", get(search))
        .route("/search/count", get(count_search))
        .route("/search/export", get(search_export))
        .route("/incremental/tickets/cursor", get(incremental_cursor))
        .route("/deleted_tickets/{id}/restore", put(restore_ticket))
        .route("/tickets/{id}/email_ccs", get(email_ccs))
        .route("/tickets/{id}/followers", get(followers))
        .route("/custom_statuses", get(custom_statuses))
        .route("/ticket_fields", get(ticket_fields))
        .route("/ticket_fields/{id}", get(ticket_field))
        .route("/account/settings", get(account_settings))
        .route("/users", get(users))
        .route("/users/me", get(me))
        .route("/users/show_many", get(show_many_users))
        .route("/users/{id}", get(user))
        .merge(catalog::routes())
        .merge(webhooks::routes())
        .merge(files::api_routes())
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(zendesk.clone(), gate));
    let inner = Router::new()
        .nest("/api/v2", api)
        .route("/oauth/tokens", post(issue_token))
        .merge(files::routes())
        .merge(pages::routes())
        .fallback(unknown)
        .with_state(zendesk.clone());
    // Every path of the API works with and without `.json`.
    Router::new().fallback(move |mut request: Request| {
        if let Some(uri) = without_extension(request.uri()) {
            *request.uri_mut() = uri;
        }
        let inner = inner.clone();
        async move { inner.oneshot(request).await }
    })
}

fn without_extension(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_prefix("/api/v2/")?.strip_suffix(".json")?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("/api/v2/{path}{query}").parse().ok()
}

async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "InvalidEndpoint", "Not found")
}

// ---------------------------------------------------------------- authentication and rate limits

async fn gate(Shared(zendesk): Shared<SandboxZendesk>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if !zendesk.knows(request.headers()) {
        // A caller without credentials may still read its own user, which is the anonymous one (reference of users, "Show Self").
        if path.ends_with("/users/me") {
            let nobody = json!({"user": {
                "id": null, "name": "Anonymous user", "email": "invalid@example.com", "role": "end-user",
                "active": null, "verified": false,
            }});
            return Json(nobody).into_response();
        }
        let body = json!({"error": "Couldn't authenticate you"});
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    if zendesk.switches().end_user && !path.ends_with("/users/me") {
        let body = json!({"error": {"title": "Forbidden", "message": "You do not have access to this page. Please contact the account owner of this help desk for further help."}});
        return (StatusCode::FORBIDDEN, Json(body)).into_response();
    }
    let base = base(request.headers());
    request.extensions_mut().insert(Base(base));
    let limit = zendesk.settings().requests_per_minute;
    let now = zendesk.0.clock.now();
    let minute = Duration::minutes(1);
    let mut answer = match zendesk.count_call(|calls| take(&mut calls.all, now, minute, limit)) {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            let body = Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "APIRateLimitExceeded",
                "Number of allowed API requests per minute exceeded",
            );
            with_retry_after(body.into_response(), wait)
        }
    };
    let (remaining, reset) = zendesk.count_call(|calls| {
        let oldest = calls.all.front().map_or(60, |oldest| (*oldest + minute - now).num_seconds().max(0));
        (limit.saturating_sub(calls.all.len()), oldest)
    });
    let headers = answer.headers_mut();
    for (name, value) in [
        ("x-rate-limit", limit.to_string()),
        ("ratelimit-limit", limit.to_string()),
        ("x-rate-limit-remaining", remaining.to_string()),
        ("ratelimit-remaining", remaining.to_string()),
        ("ratelimit-reset", reset.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

/// Issues an access token (OAuth Tokens for Grant Types, developer.zendesk.com). The request is JSON. A lifetime that is asked for must be
/// between 5 minutes and 2 days; the sandbox's own may be shorter.
async fn issue_token(
    Shared(zendesk): Shared<SandboxZendesk>,
    Json(asked): Json<serde_json::Value>,
) -> Response {
    let text = |name: &str| asked.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let refused = |status: StatusCode, error: &str, description: &str| {
        (status, Json(json!({ "error": error, "error_description": description }))).into_response()
    };
    if text("grant_type") != "client_credentials" {
        let description = "The authorization grant type is not supported by the authorization server.";
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", description);
    }
    let expires_in = asked.get("expires_in").and_then(serde_json::Value::as_u64);
    if expires_in.is_some_and(|seconds| !(301..172_800).contains(&seconds)) {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "expires_in must be between 300 and 172800.",
        );
    }
    let unknown = || {
        let description = "Client authentication failed due to unknown client, no client authentication included, \
                           or unsupported authentication method.";
        refused(StatusCode::UNAUTHORIZED, "invalid_client", description)
    };
    let SandboxZendeskAuth::OauthClient(client) = &zendesk.settings().auth else { return unknown() };
    let Some(token) = client.issue(text("client_id"), text("client_secret")) else { return unknown() };
    let scope = if text("scope").is_empty() { "read" } else { text("scope") };
    Json(json!({
        "access_token": token, "token_type": "bearer", "scope": scope, "expires_in": client.lifetime_seconds(),
    }))
    .into_response()
}

fn is_let_in(auth: &SandboxZendeskAuth, headers: &HeaderMap) -> bool {
    let wanted = match auth {
        SandboxZendeskAuth::Anyone => return true,
        SandboxZendeskAuth::ApiToken { email, token } => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{email}/token:{token}")))
        }
        SandboxZendeskAuth::Bearer { token } => format!("Bearer {token}"),
        SandboxZendeskAuth::OauthClient(client) => return client.accepts(headers),
    };
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(wanted.as_bytes())))
}

/// URL of this server as the caller knows it: `http://host:port`.
#[derive(Clone)]
pub(super) struct Base(pub(super) String);

fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

/// Counts a call if it is within the limit; otherwise returns the number of seconds to wait.
fn take(
    calls: &mut VecDeque<DateTime<Utc>>,
    now: DateTime<Utc>,
    period: Duration,
    limit: usize,
) -> Result<(), i64> {
    while calls.front().is_some_and(|call| *call + period <= now) {
        calls.pop_front();
    }
    if calls.len() >= limit {
        let wait = calls.front().map_or(period, |oldest| *oldest + period - now);
        return Err(wait.num_seconds().max(1));
    }
    calls.push_back(now);
    Ok(())
}

fn with_retry_after(mut answer: Response, seconds: i64) -> Response {
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

impl SandboxZendesk {
    fn count_call<T>(&self, count: impl FnOnce(&mut super::Calls) -> T) -> T {
        count(&mut self.0.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(super) fn wire<'a>(&'a self, base: &'a Base) -> Wire<'a> {
        Wire { base: &base.0, settings: self.settings(), switches: self.switches() }
    }

    /// Reports if a request has accepted credentials.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        !self.switches().anonymous && is_let_in(&self.settings().auth, headers)
    }

    /// Changes the state. A change that returns an error must leave the state as it was.
    fn try_change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.change_by(Some(ACCOUNT_ID), change).map_err(|error| Refusal::internal(&error))?
    }
}

/// Returns a ticket if the asking user may see it.
fn seen<'a>(state: &'a State, id: &str) -> Result<&'a Ticket, Refusal> {
    let ticket = id.parse().ok().and_then(|id: u64| state.tickets.get(&id));
    ticket.filter(|ticket| state.shows(ticket) && !ticket.deleted).ok_or_else(Refusal::not_found)
}

fn visible(state: &State) -> impl Iterator<Item = &Ticket> {
    state.tickets.values().filter(|ticket| state.shows(ticket) && !ticket.deleted)
}

// ---------------------------------------------------------------- pages

pub(super) type Extended = axum::Extension<Base>;

/// Returns a page of a list: by cursor if `page[size]` was sent, else by number.
pub(super) fn listing<T>(
    zendesk: &SandboxZendesk,
    asked: &BTreeMap<String, String>,
    (base, path): (&Base, &str),
    key: &str,
    items: &[(u64, T)],
    show: impl Fn(&T) -> Value,
) -> Result<Map<String, Value>, Refusal> {
    let most = zendesk.settings().page_limit;
    let link = |changes: &[(&str, &str)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let kept = asked.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        query.extend_pairs(kept).extend_pairs(changes);
        format!("{}/api/v2/{path}.json?{}", base.0, query.finish())
    };
    let mut page = Map::new();
    if let Some(size) = asked.get("page[size]") {
        let size = size.parse::<usize>().unwrap_or(most).clamp(1, most);
        let after = asked.get("page[after]").map(|cursor| read_cursor(cursor)).transpose()?;
        let start = after.map_or(0, |after| {
            items.iter().position(|(id, _)| *id == after).map_or(items.len(), |index| index + 1)
        });
        let shown = &items[start..(start + size).min(items.len())];
        let has_more = start + shown.len() < items.len();
        let after = shown.last().map(|(id, _)| cursor(*id));
        let before = shown.first().map(|(id, _)| cursor(*id));
        page.insert(key.to_owned(), shown.iter().map(|(_, item)| show(item)).collect());
        let next = after.as_deref().filter(|_| has_more).map(|after| link(&[("page[after]", after)]));
        page.insert(
            "meta".to_owned(),
            json!({"has_more": has_more, "after_cursor": after, "before_cursor": before}),
        );
        page.insert("links".to_owned(), json!({"next": next, "prev": null}));
        return Ok(page);
    }
    let number = |name: &str, default| asked.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let size = number("per_page", most).clamp(1, most);
    let number = number("page", 1).max(1);
    let shown: Vec<Value> =
        items.iter().skip((number - 1) * size).take(size).map(|(_, item)| show(item)).collect();
    let to = |number: usize| link(&[("page", &number.to_string())]);
    page.insert(key.to_owned(), shown.into());
    page.insert("count".to_owned(), json!(items.len()));
    page.insert("next_page".to_owned(), json!((number * size < items.len()).then(|| to(number + 1))));
    page.insert("previous_page".to_owned(), json!((number > 1).then(|| to(number - 1))));
    Ok(page)
}

fn cursor(id: u64) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("after:{id}"))
}

fn read_cursor(cursor: &str) -> Result<u64, Refusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor.trim_end_matches('='));
    let id = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()?.strip_prefix("after:")?.parse().ok());
    id.ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidPaginationParameter", "page[after] is not valid")
    })
}

pub(super) fn ok(body: impl Into<Value>) -> Response {
    Json(body.into()).into_response()
}

// ---------------------------------------------------------------- tickets

async fn tickets(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    let state = zendesk.state();
    let external = asked.get("external_id");
    let items: Vec<(u64, &Ticket)> = visible(&state)
        .filter(|ticket| external.is_none_or(|id| ticket.doc.external_id.as_ref() == Some(id)))
        .map(|ticket| (ticket.id, ticket))
        .collect();
    let wire = zendesk.wire(&base);
    listing(&zendesk, &asked, (&base, "tickets"), "tickets", &items, |ticket| wire.ticket(ticket)).map(ok)
}

async fn count_tickets(Shared(zendesk): Shared<SandboxZendesk>) -> Response {
    let count = visible(&zendesk.state()).count();
    ok(json!({"count": {"value": count, "refreshed_at": wire_time(zendesk.now())}}))
}

fn ids(asked: &BTreeMap<String, String>) -> Vec<u64> {
    let ids = asked.get("ids").map(String::as_str).unwrap_or_default();
    ids.split(',').filter_map(|id| id.trim().parse().ok()).collect()
}

async fn show_many_tickets(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Response {
    let state = zendesk.state();
    let wire = zendesk.wire(&base);
    let found: Vec<Value> = ids(&asked)
        .into_iter()
        .filter_map(|id| seen(&state, &id.to_string()).ok())
        .map(|ticket| wire.ticket(ticket))
        .collect();
    ok(json!({"count": found.len(), "tickets": found, "next_page": null, "previous_page": null}))
}

async fn ticket(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<String>,
) -> Answer {
    let state = zendesk.state();
    Ok(ok(json!({"ticket": zendesk.wire(&base).ticket(seen(&state, &id)?)})))
}

fn body(bytes: &Bytes) -> Result<Map<String, Value>, Refusal> {
    let unreadable = || Refusal::new(StatusCode::BAD_REQUEST, "Unprocessable", "Server could not parse JSON");
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) | Err(_) => Err(unreadable()),
    }
}

fn ticket_of(bytes: &Bytes) -> Result<Map<String, Value>, Refusal> {
    match body(bytes)?.remove("ticket") {
        Some(Value::Object(ticket)) => Ok(ticket),
        _ => Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidParameter", "ticket is required")),
    }
}

async fn create_ticket(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let request = blobs::sha256(&bytes);
    let now = zendesk.now();
    if key.as_ref().is_some_and(|key| key.len() > 255) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidIdempotencyKey", "The key is too long"));
    }
    if let Some(key) = &key {
        let known = zendesk.state().idempotent.get(key).filter(|known| known.at + KEY_AGE > now).cloned();
        if let Some(known) = known {
            if known.request != request {
                let description =
                    "Request parameters don't match the ones of the first request with this key";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "IdempotentRequestError", description));
            }
            return Ok(created(known.answer, &known.location, Some("hit")));
        }
    }
    let mut sent = ticket_of(&bytes)?;
    let (answer, location) = zendesk.try_change(|state| {
        let requester = requester(state, &sent, now)?;
        let mut comment = sent.remove("comment");
        if comment.is_none()
            && let Some(description) = sent.remove("description")
        {
            comment = Some(json!({"body": description}));
        }
        let first = draft(&zendesk, state, comment.as_ref(), true)?;
        let Some(first) = first else {
            return Err(Refusal::invalid("base", "Description: cannot be blank"));
        };
        let mut doc = Document {
            subject: String::new(),
            status: "new".to_owned(),
            custom_status: None,
            priority: None,
            kind: None,
            external_id: None,
            requester,
            email_ccs: std::collections::BTreeSet::new(),
            followers: std::collections::BTreeSet::new(),
            assignee: None,
            group: None,
            tags: BTreeSet::new(),
            custom: BTreeMap::from([
                (FLAG_FIELD, json!(false)),
                (GOOGLE_NAME_FIELD, Value::Null),
                (ROOT_CAUSE_FIELD, Value::Null),
                (GOOGLE_STATE_FIELD, Value::Null),
            ]),
            updated: now,
        };
        read_fields(&sent, &mut doc)?;
        read_people(state, &sent, &mut doc, now)?;
        if doc.status == "new" && doc.assignee.is_some() {
            "open".clone_into(&mut doc.status);
        }
        check(&zendesk, None, &doc)?;
        claim_uploads(state, &first);
        let id = state.create(ACCOUNT_ID, doc, first, now);
        let ticket = state.tickets.get(&id).ok_or_else(Refusal::not_found)?;
        let answer = json!({"ticket": zendesk.wire(&base).ticket(ticket), "audit": ticket.audits.first()});
        let location = format!("{}/api/v2/tickets/{id}.json", base.0);
        if let Some(key) = &key {
            let remembered =
                Remembered { at: now, request, answer: answer.clone(), location: location.clone() };
            state.idempotent.retain(|_, known| known.at + KEY_AGE > now);
            state.idempotent.insert(key.clone(), remembered);
        }
        Ok((answer, location))
    })?;
    Ok(created(answer, &location, key.map(|_| "miss")))
}

fn created(answer: Value, location: &str, lookup: Option<&'static str>) -> Response {
    let mut response = (StatusCode::CREATED, Json(answer)).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(header::LOCATION, location);
    }
    if let Some(lookup) = lookup {
        headers.insert("x-idempotency-lookup", HeaderValue::from_static(lookup));
    }
    response
}

fn requester(state: &mut State, sent: &Map<String, Value>, now: DateTime<Utc>) -> Result<u64, Refusal> {
    if let Some(id) = sent.get("requester_id").and_then(Value::as_u64) {
        return if state.users.contains_key(&id) {
            Ok(id)
        } else {
            Err(Refusal::invalid("requester", "Requester: is invalid"))
        };
    }
    let Some(requester) = sent.get("requester") else { return Ok(ACCOUNT_ID) };
    let text = |key: &str| requester.get(key).and_then(Value::as_str);
    if let Some(known) = state.users.values().find(|user| text("email") == Some(&user.email)) {
        return Ok(known.id);
    }
    let name = text("name").ok_or_else(|| Refusal::invalid("requester", "Requester Name: is too short"))?;
    let id = state.user(name, now);
    state.role(id, "end-user");
    if let (Some(email), Some(user)) = (text("email"), state.users.get_mut(&id)) {
        email.clone_into(&mut user.email);
    }
    Ok(id)
}

/// Parses and checks the comment of a request. `None` if there is none or it is blank, which Zendesk accepts.
fn draft(
    zendesk: &SandboxZendesk,
    state: &State,
    comment: Option<&Value>,
    public_by_default: bool,
) -> Result<Option<Draft>, Refusal> {
    let Some(comment) = comment.filter(|comment| !comment.is_null()) else { return Ok(None) };
    let text = |key: &str| comment.get(key).and_then(Value::as_str).map(str::to_owned);
    let words = match (text("html_body"), text("body").or_else(|| comment.as_str().map(str::to_owned))) {
        (Some(html), _) => Words::Html(html),
        (None, Some(body)) => Words::Markdown(body),
        (None, None) => Words::Markdown(String::new()),
    };
    let now = zendesk.now();
    let mut attachments = Vec::new();
    let tokens = match comment.get("uploads") {
        Some(Value::Array(tokens)) => tokens.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(token)) => vec![token.as_str()],
        _ => Vec::new(),
    };
    for token in tokens {
        let upload = state.uploads.get(token).filter(|upload| upload.at + UPLOAD_AGE > now);
        let upload =
            upload.ok_or_else(|| Refusal::invalid("base", "Upload: token is invalid or has expired"))?;
        attachments.extend(upload.attachments.iter().cloned());
    }
    if words.is_blank() && attachments.is_empty() {
        return Ok(None);
    }
    let length = match &words {
        Words::Markdown(text) | Words::Html(text) => text.len(),
    };
    if length > zendesk.settings().comment_limit {
        return Err(Refusal::invalid("comment", "Comment: is too long"));
    }
    let public = comment.get("public").and_then(Value::as_bool).unwrap_or(public_by_default);
    if public && zendesk.settings().only_private_comments {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", "You may add private comments only"));
    }
    let author = comment.get("author_id").and_then(Value::as_u64).unwrap_or(ACCOUNT_ID);
    if !state.users.contains_key(&author) {
        return Err(Refusal::invalid("comment", "Author: is invalid"));
    }
    Ok(Some(Draft { author, words, public, via: API, attachments }))
}

/// Removes the uploads that the comment used.
fn claim_uploads(state: &mut State, draft: &Draft) {
    let claimed: BTreeSet<u64> = draft.attachments.iter().map(|attachment| attachment.id).collect();
    state.uploads.retain(|_, upload| !upload.attachments.iter().any(|known| claimed.contains(&known.id)));
}

/// Applies the fields of a request to a ticket; unknown ones are ignored, as in Zendesk.
fn read_fields(sent: &Map<String, Value>, doc: &mut Document) -> Result<(), Refusal> {
    let optional = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    for (name, value) in sent {
        match name.as_str() {
            "subject" => {
                doc.subject = optional(value).unwrap_or_default().chars().take(SUBJECT_LIMIT).collect();
            }
            "status" => {
                let status = value.as_str().unwrap_or_default();
                if !STATUSES.contains(&status) {
                    return Err(Refusal::invalid(
                        "status",
                        format!("Status: {status} is not a valid status"),
                    ));
                }
                // A status sets the account's own one that is its default ("Custom Ticket Statuses", developer.zendesk.com).
                if !sent.contains_key("custom_status_id") {
                    doc.custom_status = None;
                }
                status.clone_into(&mut doc.status);
            }
            "custom_status_id" => {
                let id = value.as_u64().unwrap_or_default();
                let known = CUSTOM_STATUSES.iter().find(|(known, ..)| *known == id);
                let (_, category, _) =
                    known.ok_or_else(|| Refusal::invalid("custom_status_id", "Custom status: is invalid"))?;
                (*category).clone_into(&mut doc.status);
                doc.custom_status = Some(id);
            }
            "priority" => match value.as_str() {
                None | Some("" | "-") => doc.priority = None,
                Some(word) if PRIORITIES.contains(&word) => doc.priority = Some(word.to_owned()),
                Some(word) => {
                    return Err(Refusal::invalid(
                        "priority",
                        format!("Priority: {word} is not included in the list"),
                    ));
                }
            },
            "type" => doc.kind = optional(value),
            "external_id" => {
                doc.external_id = optional(value).or_else(|| value.as_u64().map(|number| number.to_string()));
            }
            "assignee_id" => doc.assignee = value.as_u64(),
            "group_id" => doc.group = value.as_u64(),
            "tags" => doc.tags = words(value),
            "additional_tags" => doc.tags.extend(words(value)),
            "remove_tags" => {
                let removed = words(value);
                doc.tags.retain(|tag| !removed.contains(tag));
            }
            "custom_fields" | "fields" => read_custom(value, doc)?,
            _ => {}
        }
    }
    Ok(())
}

/// Applies `email_ccs` and `followers` of a request. An email CC may be a new person, who becomes an end user; a follower is an agent.
///
/// Source: "Setting email CCs" and "Setting followers",
/// <https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/#setting-email-ccs>. What is answered
/// to more than 48 of them, or to a follower who is no agent, is assumed.
fn read_people(
    state: &mut State,
    sent: &Map<String, Value>,
    doc: &mut Document,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    for (key, limit) in [("email_ccs", 48), ("followers", 48)] {
        for person in sent.get(key).and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| person.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            let id = person.get("user_id").and_then(|id| id.as_u64().or_else(|| id.as_str()?.parse().ok()));
            let by_id = id.and_then(|id| state.users.get(&id));
            let known = by_id.or_else(|| {
                let email = text("user_email")?;
                state.users.values().find(|user| user.email.eq_ignore_ascii_case(email))
            });
            let known = known.map(|user| (user.id, user.role != "end-user"));
            let (user, is_agent) = match (known, text("user_email")) {
                (Some(known), _) => known,
                (None, Some(email)) if key == "email_ccs" => {
                    let user = state.user_of(email, text("user_name").unwrap_or(email), now);
                    state.role(user, "end-user");
                    (user, false)
                }
                (None, _) => return Err(Refusal::invalid(key, "User: is invalid")),
            };
            let people = if key == "followers" { &mut doc.followers } else { &mut doc.email_ccs };
            if text("action") == Some("delete") {
                people.remove(&user);
                continue;
            }
            if key == "followers" && !is_agent {
                return Err(Refusal::invalid(key, "Followers: only agents can follow a ticket"));
            }
            people.insert(user);
            if people.len() > limit {
                return Err(Refusal::invalid(key, format!("A ticket has at most {limit} of {key}")));
            }
        }
    }
    Ok(())
}

/// Lists the people who are copied on a ticket's mails ("List Email CCs for a Ticket", reference).
async fn email_ccs(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<String>,
) -> Answer {
    people(&zendesk, &base, &id, |doc| &doc.email_ccs)
}

/// Lists the agents who follow a ticket ("List Followers for a Ticket", reference).
async fn followers(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<String>,
) -> Answer {
    people(&zendesk, &base, &id, |doc| &doc.followers)
}

fn people(zendesk: &SandboxZendesk, base: &Base, id: &str, of: fn(&Document) -> &BTreeSet<u64>) -> Answer {
    let state = zendesk.state();
    let ids = of(&seen(&state, id)?.doc).clone();
    let users = zendesk.wire(base).users(&state, ids.iter().copied());
    Ok(ok(json!({"users": users, "count": ids.len(), "next_page": null, "previous_page": null})))
}

fn words(value: &Value) -> BTreeSet<String> {
    let list = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    let text = value.as_str().into_iter().flat_map(str::split_whitespace);
    list.chain(text).map(str::to_lowercase).collect()
}

fn read_custom(value: &Value, doc: &mut Document) -> Result<(), Refusal> {
    let id_of = |id: &Value| id.as_u64().or_else(|| id.as_str()?.parse().ok());
    let pairs: Vec<(u64, &Value)> = match value {
        Value::Array(list) => list
            .iter()
            .filter_map(|field| Some((id_of(field.get("id")?)?, field.get("value").unwrap_or(&Value::Null))))
            .collect(),
        Value::Object(map) => map.iter().filter_map(|(id, value)| Some((id.parse().ok()?, value))).collect(),
        _ => Vec::new(),
    };
    for (id, value) in pairs {
        let stored = match (id, value) {
            (FLAG_FIELD, Value::Bool(_)) => value.clone(),
            // Any other value for a checkbox is on only if it is "true" or 1.
            (FLAG_FIELD, value) => {
                json!(matches!(value.as_str(), Some("true" | "1")) || value.as_u64() == Some(1))
            }
            (GOOGLE_NAME_FIELD | GOOGLE_STATE_FIELD | ROOT_CAUSE_FIELD, Value::String(text))
                if !text.is_empty() =>
            {
                value.clone()
            }
            (GOOGLE_NAME_FIELD | GOOGLE_STATE_FIELD | ROOT_CAUSE_FIELD, Value::String(_) | Value::Null) => {
                Value::Null
            }
            (GOOGLE_NAME_FIELD | GOOGLE_STATE_FIELD | ROOT_CAUSE_FIELD, _) => {
                return Err(Refusal::invalid("base", format!("{id}: is invalid")));
            }
            // A field that does not exist, or not for this user, is ignored without an error.
            _ => continue,
        };
        doc.custom.insert(id, stored);
    }
    Ok(())
}

/// Checks that a ticket that becomes solved has an assignee and the mandatory field.
fn check(zendesk: &SandboxZendesk, before: Option<&Document>, doc: &Document) -> Result<(), Refusal> {
    let solves = matches!(doc.status.as_str(), "solved" | "closed")
        && before.is_none_or(|before| !matches!(before.status.as_str(), "solved" | "closed"));
    if solves && doc.assignee.is_none() {
        return Err(Refusal::invalid("assignee", "Assignee: is required when solving a ticket"));
    }
    if solves
        && (zendesk.settings().root_cause_required || zendesk.switches().demanding)
        && doc.custom.get(&ROOT_CAUSE_FIELD).is_none_or(Value::is_null)
    {
        let mut refusal = Refusal::invalid("base", "Root cause: needed");
        refusal.1["details"]["base"][0]["field_key"] = json!(ROOT_CAUSE_FIELD);
        return Err(refusal);
    }
    Ok(())
}

async fn update_ticket(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Answer {
    let mut sent = ticket_of(&bytes)?;
    let now = zendesk.now();
    let (real_now, limit) = (zendesk.0.clock.now(), zendesk.settings().updates_per_ticket);
    let outcome = zendesk.try_change(|state| {
        let ticket_id = seen(state, &id)?.id;
        let ticket = state.tickets.get_mut(&ticket_id).ok_or_else(Refusal::not_found)?;
        if let Err(wait) = take(&mut ticket.updates, real_now, Duration::minutes(10), limit) {
            return Ok(Err(wait));
        }
        if ticket.is_closed() {
            return Err(Refusal::invalid("status", "Status: closed prevents ticket update"));
        }
        if sent.get("safe_update").is_some_and(|safe| *safe == Value::Bool(true) || *safe == "true") {
            let stamp = sent.get("updated_stamp").and_then(Value::as_str).unwrap_or_default();
            if stamp != wire_time(ticket.doc.updated) {
                let description = "Safe Update prevented the update due to outdated ticket data. Please fetch the \
                                   latest ticket data and try again.";
                return Err(Refusal::new(StatusCode::CONFLICT, "UpdateConflict", description));
            }
        }
        let (before, public, count) =
            (ticket.doc.clone(), ticket.comments.first().is_none_or(|first| first.public), ticket.comments.len());
        let comment = sent.remove("comment");
        let draft = draft(&zendesk, state, comment.as_ref(), public)?;
        if draft.is_some() && count >= COMMENTS_LIMIT {
            return Err(Refusal::invalid("base", "Ticket: has reached the maximum number of comments"));
        }
        let mut doc = before.clone();
        read_fields(&sent, &mut doc)?;
        read_people(state, &sent, &mut doc, now)?;
        check(&zendesk, Some(&before), &doc)?;
        if let Some(draft) = &draft {
            claim_uploads(state, draft);
        }
        let audit = state.update(ticket_id, ACCOUNT_ID, now, draft, |kept| *kept = doc);
        let ticket = state.tickets.get(&ticket_id).ok_or_else(Refusal::not_found)?;
        let mut audit = audit.unwrap_or_default();
        if let (Some(events), Some(comment)) =
            (audit.get_mut("events").and_then(Value::as_array_mut), ticket.comments.last())
        {
            for event in events.iter_mut().filter(|event| event["type"] == "Comment") {
                event["attachments"] =
                    comment.attachments.iter().map(|known| zendesk.wire(&base).attachment(known)).collect();
            }
        }
        Ok(Ok(json!({"ticket": zendesk.wire(&base).ticket(ticket), "audit": audit})))
    })?;
    match outcome {
        Ok(answer) => Ok(ok(answer)),
        Err(wait) => {
            let refusal = Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "You have exceeded the number of updates of this ticket",
            );
            Ok(with_retry_after(refusal.into_response(), wait))
        }
    }
}

async fn delete_ticket(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<String>) -> Answer {
    let now = zendesk.now();
    zendesk.try_change(|state| {
        let id = seen(state, &id)?.id;
        delete(state, id, now);
        Ok(())
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Restores a deleted ticket ("Restore a Previously Deleted Ticket", reference).
async fn restore_ticket(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<String>) -> Answer {
    zendesk.restore_ticket(&id).map_err(|_| Refusal::not_found())?;
    Ok(StatusCode::OK.into_response())
}

/// Merges tickets ("Merge Tickets into Target Ticket", reference). In Zendesk a job does it; here the job is finished when it is answered.
async fn merge(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Answer {
    let sent = body(&bytes)?;
    let text = |key: &str| sent.get(key).and_then(Value::as_str).map(str::to_owned);
    let is = |key: &str| sent.get(key).and_then(Value::as_bool).unwrap_or(false);
    let words = MergeWords {
        // Use a short text if the request has none; Zendesk recommends to send one.
        target: Some(text("target_comment").unwrap_or_else(|| "Merged.".to_owned())),
        source: Some(text("source_comment").unwrap_or_else(|| "Merged.".to_owned())),
        target_public: is("target_comment_is_public"),
        source_public: is("source_comment_is_public"),
    };
    let ids: Vec<u64> =
        sent.get("ids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect();
    let now = zendesk.now();
    let results = zendesk.try_change(|state| {
        let into = seen(state, &id)?.id;
        let results: Vec<Value> = ids
            .iter()
            .map(|from| {
                let merged = seen(state, &from.to_string())
                    .map(|_| ())
                    .map_err(|_| "Ticket not found")
                    .and_then(|()| state.merge(*from, into, ACCOUNT_ID, &words, now));
                match merged {
                    Ok(()) => json!({"id": from, "action": "update", "status": "Updated", "success": true}),
                    Err(why) => json!({"id": from, "action": "update", "success": false, "error": why}),
                }
            })
            .collect();
        Ok(results)
    })?;
    let job = hex::encode(rand::random::<[u8; 16]>());
    Ok(ok(json!({"job_status": {
        "id": job,
        "url": format!("{}/api/v2/job_statuses/{job}.json", base.0),
        "status": "completed",
        "total": ids.len(),
        "progress": ids.len(),
        "message": null,
        "results": results,
    }})))
}

async fn custom_statuses() -> Response {
    let statuses: Vec<Value> = CUSTOM_STATUSES
        .iter()
        .map(|(id, category, label)| {
            let is_default =
                CUSTOM_STATUSES.iter().find(|(_, of, _)| of == category).is_some_and(|first| first.0 == *id);
            json!({
                "id": id, "status_category": category, "agent_label": label, "end_user_label": label,
                "active": true, "default": is_default, "description": "",
            })
        })
        .collect();
    ok(json!({"custom_statuses": statuses}))
}

async fn tags(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<String>) -> Answer {
    let state = zendesk.state();
    Ok(ok(json!({"tags": seen(&state, &id)?.doc.tags})))
}

async fn set_tags(zendesk: Shared<SandboxZendesk>, id: Path<String>, bytes: Bytes) -> Answer {
    change_tags(&zendesk, &id, &bytes, |tags, sent| *tags = sent)
}

async fn add_tags(zendesk: Shared<SandboxZendesk>, id: Path<String>, bytes: Bytes) -> Answer {
    change_tags(&zendesk, &id, &bytes, std::iter::Extend::extend)
}

async fn remove_tags(zendesk: Shared<SandboxZendesk>, id: Path<String>, bytes: Bytes) -> Answer {
    change_tags(&zendesk, &id, &bytes, |tags, sent| tags.retain(|tag| !sent.contains(tag)))
}

fn change_tags(
    zendesk: &SandboxZendesk,
    id: &str,
    bytes: &Bytes,
    change: impl FnOnce(&mut BTreeSet<String>, BTreeSet<String>),
) -> Answer {
    let sent = words(body(bytes)?.get("tags").unwrap_or(&Value::Null));
    let now = zendesk.now();
    let tags = zendesk.try_change(|state| {
        let ticket = seen(state, id)?;
        if ticket.is_closed() {
            return Err(Refusal::invalid("status", "Status: closed prevents ticket update"));
        }
        let id = ticket.id;
        state.update(id, ACCOUNT_ID, now, None, |doc| change(&mut doc.tags, sent));
        Ok(state.tickets.get(&id).map(|ticket| ticket.doc.tags.clone()))
    })?;
    Ok(ok(json!({"tags": tags})))
}

// ---------------------------------------------------------------- comments

async fn comments(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<String>,
    Params(asked): Asked,
) -> Answer {
    let state = zendesk.state();
    let ticket = seen(&state, &id)?;
    let wire = zendesk.wire(&base);
    let mut items: Vec<_> = ticket.comments.iter().map(|comment| (comment.id, comment)).collect();
    let newest_first = asked.get("sort").is_some_and(|sort| sort == "-created_at")
        || asked.get("sort_order").is_some_and(|order| order == "desc");
    if newest_first {
        items.reverse();
    }
    let inline_images = asked.get("include_inline_images").is_some_and(|include| include == "true");
    let path = format!("tickets/{}/comments", ticket.id);
    let mut page = listing(&zendesk, &asked, (&base, &path), "comments", &items, |comment| {
        wire.comment(comment, inline_images)
    })?;
    if asked.get("include").is_some_and(|include| include.split(',').any(|what| what == "users")) {
        let authors = ticket.comments.iter().map(|comment| comment.author);
        page.insert("users".to_owned(), wire.users(&state, authors));
    }
    Ok(ok(page))
}

async fn make_private(
    Shared(zendesk): Shared<SandboxZendesk>,
    Path((id, comment)): Path<(String, u64)>,
) -> Answer {
    let now = zendesk.now();
    zendesk.try_change(|state| {
        let id = seen(state, &id)?.id;
        state.comment_mut(id, comment).ok_or_else(Refusal::not_found)?.public = false;
        state.tickets.entry(id).and_modify(|ticket| ticket.touch(now));
        Ok(())
    })?;
    Ok(StatusCode::OK.into_response())
}

async fn redact_attachment(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path((id, comment, attachment)): Path<(String, u64, u64)>,
) -> Answer {
    let now = zendesk.now();
    let json = zendesk.try_change(|state| {
        let id = seen(state, &id)?.id;
        if !redact(state, id, comment, attachment, now) {
            return Err(Refusal::not_found());
        }
        let found = state.any_attachment(|known| known.id == attachment).ok_or_else(Refusal::not_found)?;
        Ok(json!({"attachment": zendesk.wire(&base).attachment(found)}))
    })?;
    zendesk.0.blobs.remove(&attachment.to_string());
    Ok(ok(json))
}

async fn audits(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<String>,
    Params(asked): Asked,
) -> Answer {
    let state = zendesk.state();
    let ticket = seen(&state, &id)?;
    let items: Vec<_> =
        ticket.audits.iter().map(|audit| (audit["id"].as_u64().unwrap_or_default(), audit)).collect();
    let path = format!("tickets/{}/audits", ticket.id);
    listing(&zendesk, &asked, (&base, &path), "audits", &items, |audit| (*audit).clone()).map(ok)
}

// ---------------------------------------------------------------- searches and exports

/// Returns the tickets that a query finds, as the index knows them.
fn found(zendesk: &SandboxZendesk, state: &State, query: &str, wire: &Wire) -> Vec<(u64, Value)> {
    let query = Query::parse(query);
    let (now, lag) = (zendesk.0.clock.now(), zendesk.faults().search_lag());
    visible(state)
        .filter_map(|ticket| {
            let doc = ticket.as_indexed(now, lag)?;
            query.matches(ticket, &doc, now).then(|| {
                let mut json = wire.ticket_as(ticket, &doc);
                json["result_type"] = json!("ticket");
                (ticket.id, json)
            })
        })
        .collect()
}

fn query_of(asked: &BTreeMap<String, String>) -> Result<&str, Refusal> {
    let query = asked.get("query").map(|query| query.trim()).filter(|query| !query.is_empty());
    query.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "invalid", "query is required"))
}

async fn search(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    let query = query_of(&asked)?;
    let state = zendesk.state();
    let found = found(&zendesk, &state, query, &zendesk.wire(&base));
    let number = |name: &str, default| asked.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (page, size) = (number("page", 1_usize).max(1), number("per_page", 100_usize).clamp(1, 100));
    if page * size > SEARCH_LIMIT && (page - 1) * size < found.len() {
        let description = "Invalid search: Requested response size was greater than Search Response Limits";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", description));
    }
    let asked: BTreeMap<String, String> =
        asked.iter().filter(|(name, _)| *name != "page[size]").map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut page = listing(&zendesk, &asked, (&base, "search"), "results", &found, Value::clone)?;
    page.insert("facets".to_owned(), Value::Null);
    Ok(ok(page))
}

async fn count_search(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    let query = query_of(&asked)?;
    let state = zendesk.state();
    Ok(ok(json!({"count": found(&zendesk, &state, query, &zendesk.wire(&base)).len()})))
}

async fn search_export(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(mut asked): Asked,
) -> Answer {
    let bad = |description: &str| Refusal::new(StatusCode::BAD_REQUEST, "InvalidParameter", description);
    match asked.get("filter[type]").map(String::as_str) {
        Some("ticket") => {}
        Some("user" | "organization" | "group") => return Err(bad("this sandbox exports tickets only")),
        _ => return Err(bad("filter[type] must be one of ticket, organization, user or group")),
    }
    asked.entry("page[size]".to_owned()).or_insert_with(|| "100".to_owned());
    let query = query_of(&asked)?.to_owned();
    let state = zendesk.state();
    let found = found(&zendesk, &state, &query, &zendesk.wire(&base));
    let mut page = listing(&zendesk, &asked, (&base, "search/export"), "results", &found, Value::clone)?;
    page.insert("facets".to_owned(), Value::Null);
    Ok(ok(page))
}

async fn incremental_cursor(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    if !zendesk.settings().admin || zendesk.state().groups.is_some() {
        let body = json!({"error": {"title": "Forbidden", "message": "You do not have access to this page. Please contact the account owner of this help desk for further help."}});
        return Err(Refusal(StatusCode::FORBIDDEN, body));
    }
    let now = zendesk.0.clock.now();
    let limit = zendesk.settings().exports_per_minute;
    if let Err(wait) = zendesk.count_call(|calls| take(&mut calls.exports, now, Duration::minutes(1), limit))
    {
        let refusal = Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "APIRateLimitExceeded",
            "Number of allowed incremental ticket export API requests per minute exceeded",
        );
        return Ok(with_retry_after(refusal.into_response(), wait));
    }
    // Start of the page: the time of a change, and the ID of the changed ticket.
    let from = match (asked.get("cursor"), asked.get("start_time")) {
        (Some(cursor), _) => read_place(cursor)?,
        (None, Some(start)) => {
            let start: i64 = start.parse().map_err(|_| {
                Refusal::new(StatusCode::BAD_REQUEST, "InvalidValue", "start_time is no number")
            })?;
            if start > (now - EXPORT_DELAY).timestamp() {
                let description = "Too recent start_time. Use a start_time older than 60 seconds";
                return Err(Refusal::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "StartTimeTooRecent",
                    description,
                ));
            }
            (start.saturating_sub(1), u64::MAX)
        }
        (None, None) => {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidValue", "start_time is required"));
        }
    };
    let size = asked.get("per_page").and_then(|size| size.parse().ok()).unwrap_or(1000);
    let size: usize = size.clamp(1, 10 * zendesk.settings().page_limit);
    let state = zendesk.state();
    // The export includes deleted tickets.
    let mut changed: Vec<&Ticket> = state
        .tickets
        .values()
        .filter(|ticket| state.shows(ticket) && ticket.generated <= now - EXPORT_DELAY)
        .filter(|ticket| (ticket.generated.timestamp(), ticket.id) > from)
        .collect();
    changed.sort_by_key(|ticket| (ticket.generated, ticket.id));
    let shown = &changed[..size.min(changed.len())];
    let place = shown.last().map_or(from, |last| (last.generated.timestamp(), last.id));
    let cursor = BASE64_URL_SAFE_NO_PAD.encode(format!("{}:{}", place.0, place.1));
    let wire = zendesk.wire(&base);
    Ok(ok(json!({
        "tickets": shown.iter().map(|ticket| wire.ticket(ticket)).collect::<Vec<_>>(),
        "after_url": format!("{}/api/v2/incremental/tickets/cursor.json?cursor={cursor}&per_page={size}", base.0),
        "after_cursor": cursor,
        "before_url": null,
        "before_cursor": null,
        "end_of_stream": shown.len() == changed.len(),
    })))
}

fn read_place(cursor: &str) -> Result<(i64, u64), Refusal> {
    let text = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.split_once(':'))
        .and_then(|(seconds, id)| Some((seconds.parse().ok()?, id.parse().ok()?)))
        .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "InvalidValue", "cursor is not valid"))
}

// ---------------------------------------------------------------- fields and users

async fn ticket_fields(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    let fields = zendesk.wire(&base).ticket_fields(zendesk.now());
    let items: Vec<_> =
        fields.into_iter().map(|field| (field["id"].as_u64().unwrap_or_default(), field)).collect();
    listing(&zendesk, &asked, (&base, "ticket_fields"), "ticket_fields", &items, Value::clone).map(ok)
}

async fn ticket_field(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<u64>,
) -> Answer {
    let fields = zendesk.wire(&base).ticket_fields(zendesk.now());
    let found = fields.into_iter().find(|field| field["id"] == id).ok_or_else(Refusal::not_found)?;
    Ok(ok(json!({"ticket_field": found})))
}

async fn account_settings(Shared(zendesk): Shared<SandboxZendesk>) -> Json<Value> {
    let limit = zendesk.settings().attachment_limit;
    Json(json!({"settings": {
        "limits": {"attachment_size": limit},
        "api": {"accepted_api_agreement": true, "api_password_access": "false", "api_token_access": "true"},
        "tickets": {"comments_public_by_default": true, "private_attachments": false},
    }}))
}

async fn me(Shared(zendesk): Shared<SandboxZendesk>, axum::Extension(base): Extended) -> Answer {
    shown_user(&zendesk, &base, ACCOUNT_ID)
}

async fn user(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Path(id): Path<u64>,
) -> Answer {
    shown_user(&zendesk, &base, id)
}

fn shown_user(zendesk: &SandboxZendesk, base: &Base, id: u64) -> Answer {
    let state = zendesk.state();
    let user = state.users.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(ok(json!({"user": zendesk.wire(base).user(&state, user)})))
}

async fn users(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    let state = zendesk.state();
    let items: Vec<_> = state.users.values().map(|user| (user.id, user)).collect();
    let wire = zendesk.wire(&base);
    listing(&zendesk, &asked, (&base, "users"), "users", &items, |user| wire.user(&state, user)).map(ok)
}

async fn show_many_users(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Response {
    let state = zendesk.state();
    let users = zendesk.wire(&base).users(&state, ids(&asked).into_iter());
    ok(json!({"users": users, "next_page": null, "previous_page": null}))
}
