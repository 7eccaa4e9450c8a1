//! Table API, Batch API, authentication and rate limit.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query as Params, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{Duration, FixedOffset, NaiveDateTime, Offset as _, TimeZone as _, Utc};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;
use tower::ServiceExt as _;

use super::catalog::{self, Kind};
use super::query::{Asking, Query, wire_time};
use super::settings::SandboxServiceNowAuth;
use super::state::{ACCOUNT_ID, GUEST, GUEST_ID, Refused, Row, Sent, State, get as column_of};
use super::{FLAG_COLUMN, GOOGLE_NAME_COLUMN, SandboxServiceNow, files, pages};

/// Maximum size of a JSON body, in bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// Default number of records on a page.
const PAGE: usize = 10_000;
/// ID of the rate limit rule, for answers.
const RULE_ID: &str = "a8b3c1d2e4f5061728394a5b6c7d8e9f";

/// Error answer.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    detail: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: &str, detail: Option<&str>) -> Self {
        Self { status, message: message.to_owned(), detail: detail.map(str::to_owned) }
    }

    pub(super) fn no_record() -> Self {
        let detail = "Record doesn't exist or ACL restricts the record retrieval";
        Self::new(StatusCode::NOT_FOUND, "No Record found", Some(detail))
    }

    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "the sandbox ServiceNow cannot keep its state");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error", None)
    }

    fn invalid_table(table: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &format!("Invalid table {table}"), None)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let detail = match refused {
            Refused::Mandatory(columns) => {
                let labels: Vec<&str> = columns.into_iter().map(catalog::label).collect();
                format!(
                    "Error: Data Policy Exception: The following fields are mandatory: {}",
                    labels.join(", ")
                )
            }
            Refused::Final => "ACL Exception Update Failed due to security constraints".to_owned(),
        };
        Self::new(StatusCode::FORBIDDEN, "Operation Failed", Some(&detail))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"message": self.message, "detail": self.detail}, "status": "failure"});
        (self.status, Json(body)).into_response()
    }
}

pub(super) fn error_body(status: StatusCode, message: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    json!({"error": {"message": title, "detail": message}, "status": "failure"}).to_string()
}

pub(super) type Answer = Result<Response, Refusal>;
pub(super) type Asked = Params<BTreeMap<String, String>>;

pub(super) fn router(servicenow: &SandboxServiceNow) -> Router {
    let calls = Router::new()
        .route("/table/{table}", get(list).post(create))
        .route("/table/{table}/{id}", get(show).put(update).patch(update).delete(remove))
        .merge(files::api_routes());
    let batched = calls.clone();
    let batch = move |shared: Shared<SandboxServiceNow>, request: Request| batch(batched, shared, request);
    let api = Router::new()
        .route("/batch", post(batch))
        .merge(calls)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(servicenow.clone(), gate));
    Router::new()
        .nest("/api/now", api.clone())
        .nest("/api/now/v1", api.clone())
        .nest("/api/now/v2", api)
        .route("/oauth_token.do", post(issue_token))
        .merge(pages::routes())
        .fallback(unknown)
        .with_state(servicenow.clone())
}

async fn unknown(uri: Uri) -> Refusal {
    let message = "Requested URI does not represent any resource";
    Refusal::new(StatusCode::BAD_REQUEST, message, Some(uri.path()))
}

// ---------------------------------------------------------------- authentication and rate limit

/// Authenticates callers, and tells in a header of each answer if the caller is signed in.
async fn gate(Shared(servicenow): Shared<SandboxServiceNow>, request: Request, next: Next) -> Response {
    let is_let_in = is_let_in(&servicenow.settings().auth, request.headers());
    let switches = servicenow.switches();
    let mut answer = limited(servicenow, is_let_in || switches.anonymous, request, next).await;
    if !switches.no_login_header {
        let is_signed_in = if is_let_in && !switches.anonymous { "true" } else { "false" };
        let value = HeaderValue::from_static(is_signed_in);
        answer.headers_mut().insert(HeaderName::from_static("x-is-logged-in"), value);
    }
    answer
}

async fn limited(servicenow: SandboxServiceNow, is_let_in: bool, request: Request, next: Next) -> Response {
    if !is_let_in {
        let detail = "Required to provide Auth information";
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "User Not Authenticated", Some(detail));
        let challenge = HeaderValue::from_static("BASIC realm=\"Service-now\"");
        return ([(header::WWW_AUTHENTICATE, challenge)], refusal).into_response();
    }
    let Some(limit) = servicenow.settings().requests_per_hour else { return next.run(request).await };
    let now = servicenow.0.clock.now().timestamp();
    let (hour, reset) = (now.div_euclid(3600), (now.div_euclid(3600) + 1) * 3600);
    let allowed = {
        let mut calls = servicenow.0.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *calls = if calls.0 == hour { (hour, calls.1 + 1) } else { (hour, 1) };
        calls.1 <= limit
    };
    let mut answer = if allowed {
        next.run(request).await
    } else {
        let detail = "Number of requests exceeded the limit of the rate limit rule";
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded", Some(detail));
        ([(header::RETRY_AFTER, HeaderValue::from(reset - now))], refusal).into_response()
    };
    for (name, value) in [
        ("x-ratelimit-limit", limit.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-rule", RULE_ID.to_owned()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

/// Issues an access token (OAuth, product documentation). The request is a form. A client that is unknown gets 401.
async fn issue_token(Shared(servicenow): Shared<SandboxServiceNow>, body: String) -> Response {
    let asked: std::collections::HashMap<_, _> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let text = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let denied = || {
        let body = json!({ "error_description": "access_denied", "error": "server_error" });
        (StatusCode::UNAUTHORIZED, Json(body)).into_response()
    };
    if text("grant_type") != "client_credentials" {
        return denied();
    }
    let SandboxServiceNowAuth::OauthClient(client) = &servicenow.settings().auth else { return denied() };
    let Some(token) = client.issue(text("client_id"), text("client_secret")) else { return denied() };
    Json(json!({
        "access_token": token, "scope": "useraccount", "token_type": "Bearer", "expires_in": client.lifetime_seconds(),
    }))
    .into_response()
}

fn is_let_in(auth: &SandboxServiceNowAuth, headers: &HeaderMap) -> bool {
    let (name, wanted) = match auth {
        SandboxServiceNowAuth::Anyone => return true,
        SandboxServiceNowAuth::Basic { user, password } => {
            ("authorization", format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
        }
        SandboxServiceNowAuth::Bearer { token } => ("authorization", format!("Bearer {token}")),
        SandboxServiceNowAuth::OauthClient(client) => return client.accepts(headers),
        SandboxServiceNowAuth::ApiKey { key } => ("x-sn-apikey", key.clone()),
    };
    headers.get(name).is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(wanted.as_bytes())))
}

impl SandboxServiceNow {
    pub(super) fn asking(&self) -> Asking<'_> {
        let zone = FixedOffset::east_opt(self.settings().time_zone_hours * 3600);
        let switches = self.switches();
        Asking {
            now: self.now(),
            zone: zone.unwrap_or_else(|| Utc.fix()),
            user: if switches.anonymous { (GUEST_ID, GUEST) } else { (ACCOUNT_ID, &self.settings().account) },
            local_times: switches.local_times,
        }
    }

    /// Reports if the asking user may see a record.
    pub(super) fn shows(&self, state: &State, table: &str, row: &Row) -> bool {
        let id = column_of(row, "sys_id");
        if self.switches().anonymous {
            return table == catalog::USERS && id == GUEST_ID;
        }
        let of = match table {
            catalog::JOURNAL => {
                if !self.settings().reads_journals {
                    return false;
                }
                column_of(row, "element_id")
            }
            catalog::ATTACHMENTS => {
                let of = column_of(row, "table_sys_id");
                if !self.settings().reads_attachments || state.left_out.contains(of) {
                    return false;
                }
                of
            }
            catalog::CHOICES => return self.settings().reads_choices,
            catalog::DICTIONARY | catalog::PROPERTIES => return self.settings().reads_setup,
            _ => id,
        };
        !state.hidden.contains(id) && !state.hidden.contains(of)
    }

    /// Reports if a column exists on this instance.
    fn knows(&self, table: &str, path: &str) -> bool {
        State::knows(table, path)
            && (self.settings().has_columns || ![FLAG_COLUMN, GOOGLE_NAME_COLUMN].contains(&path))
            && (self.settings().separates_domains || path != catalog::DOMAIN)
    }

    /// Changes the state. A change that returns an error must leave the state as it was.
    pub(super) fn try_change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.change(change).map_err(|error| Refusal::internal(&error))?
    }
}

// ---------------------------------------------------------------- listings

/// Returns the requested page of a table's records, and the headers with the total number and the links to other pages.
pub(super) fn listing(
    servicenow: &SandboxServiceNow,
    table: &str,
    asked: &BTreeMap<String, String>,
    (uri, headers): (&Uri, &HeaderMap),
    default_limit: usize,
) -> Result<(Vec<Row>, HeaderMap), Refusal> {
    let asking = servicenow.asking();
    let text = asked.get("sysparm_query").map(String::as_str).unwrap_or_default();
    let query = Query::parse(text, |field| servicenow.knows(table, field), &asking);
    let number = |name: &str| asked.get(name).map(|text| text.parse::<usize>()).transpose();
    let bad = |_| Refusal::new(StatusCode::BAD_REQUEST, "Invalid parameter", Some("a number is expected"));
    let limit = number("sysparm_limit").map_err(bad)?.unwrap_or(default_limit);
    let offset = number("sysparm_offset").map_err(bad)?.unwrap_or_default();
    let state = servicenow.state();
    // Lists of cases may come from a secondary database, which can lag.
    let lag = if catalog::is_task(table) { servicenow.faults().search_lag() } else { Duration::zero() };
    let copied = wire_time(asking.now.checked_sub_signed(lag).unwrap_or(asking.now));
    let mut rows: Vec<&Row> = state
        .rows(table)
        .filter(|row| lag.is_zero() || column_of(row, "sys_updated_on") <= copied.as_str())
        .filter(|row| {
            // Parameters named after columns, such as `active=true`, are conditions too.
            let plain = asked
                .iter()
                .filter(|(name, _)| !name.starts_with("sysparm_") && servicenow.knows(table, name))
                .all(|(name, value)| column_of(row, name) == value);
            // Query rules apply before access rules: records that they leave out are not even counted.
            let is_left_out = state.left_out.contains(column_of(row, "sys_id"));
            plain && !is_left_out && query.matches(|field| state.value(table, row, field), &asking)
        })
        .collect();
    if query.invalid && servicenow.settings().invalid_query_returns_no_rows {
        rows.clear();
    }
    rows.sort_by(|a, b| query.compare(a, b, |row, field| state.value(table, row, field)));
    let total = rows.len();
    // Access rules apply after the page was cut: a page may be short or empty, with more behind it.
    let page: Vec<Row> = rows
        .into_iter()
        .skip(offset)
        .take(limit)
        .filter(|row| servicenow.shows(&state, table, row))
        .cloned()
        .collect();
    let mut answer = HeaderMap::new();
    let is_on = |name: &str| asked.get(name).is_some_and(|value| value == "true");
    if !is_on("sysparm_no_count") {
        answer.insert(HeaderName::from_static("x-total-count"), HeaderValue::from(total));
    }
    if !is_on("sysparm_suppress_pagination_header")
        && let Ok(links) = HeaderValue::from_str(&links(asked, uri, headers, (limit, offset, total)))
    {
        answer.insert(header::LINK, links);
    }
    Ok((page, answer))
}

fn links(
    asked: &BTreeMap<String, String>,
    uri: &Uri,
    headers: &HeaderMap,
    (limit, offset, total): (usize, usize, usize),
) -> String {
    let limit = limit.max(1);
    let mut to = vec![("first", 0)];
    if offset > 0 {
        to.push(("prev", offset.saturating_sub(limit)));
    }
    if offset + limit < total {
        to.push(("next", offset + limit));
    }
    to.push(("last", total.saturating_sub(1) / limit * limit));
    let link = |(rel, offset): (&str, usize)| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked.iter().filter(|(name, _)| *name != "sysparm_offset"));
        query.append_pair("sysparm_offset", &offset.to_string());
        format!("<{}{}?{}>;rel=\"{rel}\"", base(headers), uri.path(), query.finish())
    };
    to.into_iter().map(link).collect::<Vec<_>>().join(",")
}

/// Returns the URL of this server as the caller knows it: `http://host:port`.
pub(super) fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

async fn list(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Path(table): Path<String>,
    Params(asked): Asked,
    uri: axum::extract::OriginalUri,
    headers: HeaderMap,
) -> Answer {
    if catalog::columns(&table).is_none() {
        return Err(Refusal::invalid_table(&table));
    }
    let (rows, answer) = listing(&servicenow, &table, &asked, (&uri.0, &headers), PAGE)?;
    // Version 1 answers 404 to a valid query that finds nothing.
    if rows.is_empty() && uri.0.path().starts_with("/api/now/v1/") {
        return Err(Refusal::no_record());
    }
    let state = servicenow.state();
    let show = Show::new(&servicenow, &state, &asked, &headers);
    let result: Vec<Value> = rows.iter().map(|row| show.row(&table, row)).collect();
    Ok((answer, Json(json!({"result": result}))).into_response())
}

// ---------------------------------------------------------------- records as JSON

/// Options of a request for showing records.
struct Show<'a> {
    servicenow: &'a SandboxServiceNow,
    state: &'a State,
    /// `sysparm_display_value`.
    display: Display,
    links: bool,
    fields: Option<Vec<&'a str>>,
    base: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Display {
    Values,
    Displayed,
    Both,
}

impl<'a> Show<'a> {
    fn new(
        servicenow: &'a SandboxServiceNow,
        state: &'a State,
        asked: &'a BTreeMap<String, String>,
        headers: &HeaderMap,
    ) -> Self {
        let display = match asked.get("sysparm_display_value").map(String::as_str) {
            Some("true") => Display::Displayed,
            Some("all") => Display::Both,
            _ => Display::Values,
        };
        let fields = asked.get("sysparm_fields").filter(|fields| !fields.trim().is_empty());
        Self {
            servicenow,
            state,
            display,
            links: asked.get("sysparm_exclude_reference_link").is_none_or(|exclude| exclude != "true"),
            fields: fields.map(|fields| fields.split(',').map(str::trim).collect()),
            base: base(headers),
        }
    }

    fn row(&self, table: &str, row: &Row) -> Value {
        let all: Vec<&str> = match &self.fields {
            // Unknown fields are left out without an error.
            Some(fields) => fields.clone(),
            None => catalog::columns(table).into_iter().flatten().map(|(name, _)| name).collect(),
        };
        let known = all.into_iter().filter(|field| self.servicenow.knows(table, field));
        Value::Object(known.map(|field| (field.to_owned(), self.field(table, row, field))).collect())
    }

    fn field(&self, table: &str, row: &Row, path: &str) -> Value {
        if let Some((column, rest)) = path.split_once('.') {
            let Some(Kind::Reference(of)) = catalog::kind(table, column) else { return self.both("", "") };
            return match self.state.row(of, column_of(row, column)) {
                Some(found) => self.field(of, found, rest),
                None => self.both("", ""),
            };
        }
        let kind = catalog::kind(table, path);
        // The column of a journal is for writing; only its display value can be read.
        let value = if kind == Some(Kind::Journal) { "" } else { column_of(row, path) };
        let displayed = self.displayed(table, row, path, kind);
        match (kind, self.display, value.is_empty()) {
            (Some(Kind::Reference(of)), display, false) if self.links => {
                let link = format!("{}/api/now/table/{of}/{value}", self.base);
                match display {
                    Display::Values => json!({"link": link, "value": value}),
                    Display::Displayed => json!({"link": link, "display_value": displayed}),
                    Display::Both => json!({"link": link, "value": value, "display_value": displayed}),
                }
            }
            _ => self.both(value, &displayed),
        }
    }

    fn both(&self, value: &str, displayed: &str) -> Value {
        match self.display {
            Display::Values => json!(value),
            Display::Displayed => json!(displayed),
            Display::Both => json!({"value": value, "display_value": displayed}),
        }
    }

    /// Returns the display value of a column for the asking user.
    fn displayed(&self, table: &str, row: &Row, column: &str, kind: Option<Kind>) -> String {
        let value = column_of(row, column);
        match kind {
            Some(Kind::Reference(of)) => {
                self.state.row(of, value).map(|found| column_of(found, "name").to_owned()).unwrap_or_default()
            }
            Some(Kind::Time) => self.local(value),
            Some(Kind::Journal) => self.journal(row, column),
            Some(Kind::Text(_) | Kind::Number | Kind::Boolean | Kind::System) | None => {
                let choice = catalog::choices(table, column).iter().find(|(known, _)| *known == value);
                match choice {
                    Some((_, label)) if column == "priority" => format!("{value} - {label}"),
                    Some((_, label)) => (*label).to_owned(),
                    None => value.to_owned(),
                }
            }
        }
    }

    /// Converts a stored time to the asking user's zone; the text does not name the zone.
    fn local(&self, value: &str) -> String {
        let zone = self.servicenow.asking().zone;
        NaiveDateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S").map_or_else(
            |_| String::new(),
            |time| zone.from_utc_datetime(&time).format("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }

    /// Returns all entries of a journal in one text, newest first.
    fn journal(&self, row: &Row, column: &str) -> String {
        let entries = self.state.entries(column_of(row, "sys_id"));
        let shown = entries.into_iter().rev().filter(|entry| {
            let element = column_of(entry, "element");
            element == column || column == "comments_and_work_notes"
        });
        let text = shown.map(|entry| {
            let user = column_of(entry, "sys_created_by");
            format!(
                "{} - {} ({})\n{}\n\n",
                self.local(column_of(entry, "sys_created_on")),
                self.state.display_name(user).unwrap_or(user),
                catalog::label(column_of(entry, "element")),
                column_of(entry, "value")
            )
        });
        text.collect()
    }
}

// ---------------------------------------------------------------- single records

/// Returns a record if the asking user may see it.
fn seen<'a>(
    servicenow: &SandboxServiceNow,
    state: &'a State,
    table: &str,
    id: &str,
) -> Result<&'a Row, Refusal> {
    if catalog::columns(table).is_none() {
        return Err(Refusal::invalid_table(table));
    }
    let row = state
        .row(table, id)
        .filter(|row| servicenow.shows(state, table, row) && !state.left_out.contains(id));
    row.ok_or_else(Refusal::no_record)
}

async fn show(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Path((table, id)): Path<(String, String)>,
    Params(asked): Asked,
    headers: HeaderMap,
) -> Answer {
    let state = servicenow.state();
    let row = seen(&servicenow, &state, &table, &id)?;
    let result = Show::new(&servicenow, &state, &asked, &headers).row(&table, row);
    Ok(Json(json!({"result": result})).into_response())
}

/// Parses a body into the columns to set. Columns that the user may not write are dropped without an error.
fn sent(
    servicenow: &SandboxServiceNow,
    table: &str,
    asked: &BTreeMap<String, String>,
    bytes: &Bytes,
) -> Result<Sent, Refusal> {
    let body: Result<Map<String, Value>, _> = serde_json::from_slice(bytes);
    let body = body.map_err(|_| {
        let detail = "Exception while reading request";
        Refusal::new(StatusCode::BAD_REQUEST, "Exception while reading request", Some(detail))
    })?;
    let displayed = asked.get("sysparm_input_display_value").is_some_and(|value| value == "true");
    let ours = [FLAG_COLUMN, GOOGLE_NAME_COLUMN];
    let settings = servicenow.settings();
    let mut sent = Sent::new();
    for (column, value) in body {
        if ours.contains(&column.as_str()) && !(settings.has_columns && settings.writes_columns) {
            continue;
        }
        if ["impact", "urgency", "priority"].contains(&column.as_str())
            && servicenow.switches().keeps_priorities
        {
            continue;
        }
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Object(both) => both.get("value").and_then(Value::as_str).unwrap_or_default().to_owned(),
            Value::Null | Value::Array(_) => String::new(),
        };
        let text = if displayed { stored(servicenow, table, &column, &text) } else { text };
        sent.insert(column, text);
    }
    Ok(sent)
}

/// Converts a display value to the value to store.
fn stored(servicenow: &SandboxServiceNow, table: &str, column: &str, text: &str) -> String {
    if catalog::kind(table, column) == Some(Kind::Time) {
        let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
        let time = local.and_then(|local| servicenow.asking().zone.from_local_datetime(&local).single());
        return time.map(|time| wire_time(time.with_timezone(&Utc))).unwrap_or_default();
    }
    if let Some(Kind::Reference(of)) = catalog::kind(table, column) {
        // "if you send the display name for a reference field, the endpoint stores the sys_id" (Table API,
        // `sysparm_input_display_value`).
        return servicenow.state().id_of(of, text).unwrap_or(text).to_owned();
    }
    let choice = catalog::choices(table, column).iter().find(|(_, label)| *label == text);
    choice.map_or(text, |(value, _)| value).to_owned()
}

async fn create(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Path(table): Path<String>,
    Params(asked): Asked,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    if !catalog::is_task(&table) {
        return Err(match catalog::columns(&table) {
            Some(_) => forbidden(),
            None => Refusal::invalid_table(&table),
        });
    }
    if servicenow.switches().anonymous {
        return Err(forbidden());
    }
    let sent = sent(&servicenow, &table, &asked, &bytes)?;
    let (now, settings) = (servicenow.now(), servicenow.settings());
    let id = servicenow
        .try_change(|state| Ok(state.create(&table, &sent, &settings.account, now, settings)?))?;
    let state = servicenow.state();
    let row = state.row(&table, &id).ok_or_else(Refusal::no_record)?;
    let result = Show::new(&servicenow, &state, &asked, &headers).row(&table, row);
    let location = format!("{}/api/now/table/{table}/{id}", base(&headers));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(json!({"result": result}))).into_response())
}

fn forbidden() -> Refusal {
    let detail = "ACL Exception Insert Failed due to security constraints";
    Refusal::new(StatusCode::FORBIDDEN, "Operation Failed", Some(detail))
}

async fn update(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Path((table, id)): Path<(String, String)>,
    Params(asked): Asked,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let sent = sent(&servicenow, &table, &asked, &bytes)?;
    let (now, settings) = (servicenow.now(), servicenow.settings());
    servicenow.try_change(|state| {
        seen(&servicenow, state, &table, &id)?;
        if !catalog::is_task(&table) {
            return Err(forbidden());
        }
        Ok(state.update(&table, &id, &sent, &settings.account, now, settings)?)
    })?;
    let state = servicenow.state();
    let row = seen(&servicenow, &state, &table, &id)?;
    let result = Show::new(&servicenow, &state, &asked, &headers).row(&table, row);
    Ok(Json(json!({"result": result})).into_response())
}

async fn remove(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Path((table, id)): Path<(String, String)>,
) -> Answer {
    servicenow.try_change(|state| {
        seen(&servicenow, state, &table, &id)?;
        if !catalog::is_task(&table) {
            return Err(forbidden());
        }
        state.remove(&table, &id);
        Ok(())
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

// ---------------------------------------------------------------- several calls in one

#[derive(serde::Deserialize)]
struct Batch {
    batch_request_id: Value,
    #[serde(default)]
    rest_requests: Vec<Batched>,
}

#[derive(serde::Deserialize)]
struct Batched {
    id: String,
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Named>,
    /// Base64.
    #[serde(default)]
    body: Option<String>,
}

#[derive(serde::Deserialize)]
struct Named {
    name: String,
    value: String,
}

async fn batch(
    calls: Router<SandboxServiceNow>,
    Shared(servicenow): Shared<SandboxServiceNow>,
    request: Request,
) -> Answer {
    let bad = |detail: &str| Refusal::new(StatusCode::BAD_REQUEST, "Invalid batch request", Some(detail));
    let host = request.headers().get(header::HOST).cloned();
    let bytes =
        axum::body::to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|_| bad("it broke off"))?;
    let batch: Batch = serde_json::from_slice(&bytes).map_err(|_| bad("the body is not understood"))?;
    let router = Router::new()
        .nest("/api/now", calls.clone())
        .nest("/api/now/v1", calls.clone())
        .nest("/api/now/v2", calls)
        .fallback(unknown)
        .with_state(servicenow);
    let mut serviced = Vec::new();
    let mut unserviced = Vec::new();
    let mut ids = BTreeSet::new();
    for batched in batch.rest_requests {
        let id = batched.id.clone();
        let Some(request) = single(&batched, host.as_ref()).filter(|_| ids.insert(id.clone())) else {
            unserviced.push(id);
            continue;
        };
        let answer = match router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| bad("an answer is too large"))?;
        let headers: Vec<Value> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some(json!({"name": name.as_str(), "value": value.to_str().ok()?})))
            .collect();
        serviced.push(json!({
            "id": id,
            "status_code": parts.status.as_u16(),
            "status_text": parts.status.canonical_reason(),
            "headers": headers,
            "body": BASE64_STANDARD.encode(body),
            "execution_time": 1,
        }));
    }
    let id = match batch.batch_request_id {
        Value::String(id) => id,
        other => other.to_string(),
    };
    let answer =
        json!({"batch_request_id": id, "serviced_requests": serviced, "unserviced_requests": unserviced});
    Ok(Json(answer).into_response())
}

/// Builds the request for one call of a batch; `None` if the call is malformed.
fn single(batched: &Batched, host: Option<&HeaderValue>) -> Option<Request> {
    let method = Method::from_bytes(batched.method.as_bytes()).ok()?;
    let body = match &batched.body {
        Some(body) => Body::from(BASE64_STANDARD.decode(body).ok()?),
        None => Body::empty(),
    };
    let mut request = Request::builder().method(method).uri(batched.url.as_str());
    for header in &batched.headers {
        // Headers of the connection are taken from the batch's own request.
        if !["host", "content-length", "connection"].contains(&header.name.to_lowercase().as_str()) {
            request = request.header(header.name.as_str(), header.value.as_str());
        }
    }
    if let Some(host) = host {
        request = request.header(header::HOST, host);
    }
    request.body(body).ok()
}
