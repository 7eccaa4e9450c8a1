//! Searches: `search/jql` with page tokens on Cloud, `search` with offsets on Data Center.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, get, post};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::jql::{Context, Query, SortKey};
use super::rest::{Api, Base, Body, Params, ok};
use super::settings::Deployment;
use super::state::{Issue, State};
use super::wire::{Place, Selection};

/// Maximum number of issue IDs in `reconcileIssues` (Cloud REST reference).
const RECONCILE_LIMIT: usize = 50;

const UNBOUNDED: &str =
    "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.";
const REMOVED: &str = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046";

pub(super) fn routes(deployment: Deployment) -> Router<Api> {
    match deployment {
        Deployment::Cloud => Router::new()
            .route("/search", any(removed))
            .route("/search/jql", get(token_get).post(token_post))
            .route("/search/approximate-count", post(count)),
        Deployment::DataCenter => Router::new().route("/search", get(offset_get).post(offset_post)),
    }
}

async fn removed() -> ApiError {
    ApiError::new(StatusCode::GONE, REMOVED)
}

/// Parameters of a search, from the query or the body.
#[derive(Debug, Default)]
struct Request {
    jql: String,
    fields: Vec<String>,
    page_size: Option<usize>,
    start: usize,
    token: Option<String>,
    reconcile: BTreeSet<u64>,
}

impl Request {
    fn from_params(params: &Params) -> Result<Self, ApiError> {
        let reconcile: Vec<_> = params
            .all("reconcileIssues")
            .flat_map(|list| list.split(','))
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(Self {
            jql: params.get("jql").unwrap_or_default().to_owned(),
            fields: params.all("fields").map(str::to_owned).collect(),
            page_size: params.number("maxResults")?,
            start: params.number("startAt")?.unwrap_or(0),
            token: params.get("nextPageToken").filter(|token| !token.is_empty()).map(str::to_owned),
            reconcile: issue_ids(reconcile.iter().map(String::as_str))?,
        })
    }

    fn from_body(body: &Map<String, Value>, deployment: Deployment) -> Result<Self, ApiError> {
        let known: &[&str] = match deployment {
            Deployment::Cloud => &[
                "jql",
                "fields",
                "maxResults",
                "nextPageToken",
                "expand",
                "properties",
                "fieldsByKeys",
                "failFast",
                "reconcileIssues",
            ],
            Deployment::DataCenter => {
                &["jql", "fields", "maxResults", "startAt", "expand", "validateQuery", "fieldsByKeys"]
            }
        };
        if let Some(unknown) = body.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(ApiError::bad_request(match deployment {
                Deployment::Cloud => {
                    "Invalid request payload. Refer to the REST API documentation and try again.".to_owned()
                }
                Deployment::DataCenter => format!("Unrecognized field \"{unknown}\""),
            }));
        }
        let wrong = |name: &str| ApiError::bad_request(format!("Can not deserialize value of '{name}'"));
        let number = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
                number.map(Some).ok_or_else(|| wrong(name))
            }
        };
        let text = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(name)),
        };
        let list = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values.clone()),
            Some(_) => Err(wrong(name)),
        };
        let fields =
            list("fields")?.iter().map(|field| field.as_str().map(str::to_owned)).collect::<Option<_>>();
        let reconcile: Vec<_> = list("reconcileIssues")?.iter().map(Value::to_string).collect();
        Ok(Self {
            jql: text("jql")?.unwrap_or_default(),
            fields: fields.ok_or_else(|| wrong("fields"))?,
            page_size: number("maxResults")?,
            start: number("startAt")?.unwrap_or(0),
            token: text("nextPageToken")?,
            reconcile: issue_ids(reconcile.iter().map(String::as_str))?,
        })
    }
}

fn issue_ids<'a>(ids: impl Iterator<Item = &'a str>) -> Result<BTreeSet<u64>, ApiError> {
    let ids: BTreeSet<u64> = ids
        .map(|id| {
            id.parse().map_err(|_| ApiError::bad_request(format!("reconcileIssues: '{id}' is no issue ID")))
        })
        .collect::<Result<_, _>>()?;
    if ids.len() > RECONCILE_LIMIT {
        return Err(ApiError::bad_request(format!(
            "reconcileIssues holds at most {RECONCILE_LIMIT} issue IDs."
        )));
    }
    Ok(ids)
}

/// Returns the issues that a query finds, in order. The index may lag; issues in `reconcile` are matched in their current state.
fn find<'a>(
    api: &Api,
    state: &'a State,
    query: &Query,
    reconcile: &BTreeSet<u64>,
) -> Vec<(Vec<SortKey>, &'a Issue)> {
    let (now, lag) = (api.jira.now(), api.jira.faults().search_lag());
    let mut found: Vec<_> = state
        .issues
        .values()
        .filter(|issue| state.shows(issue) && !state.is_archived(issue))
        .filter(|_| api.settings().may("BROWSE_PROJECTS"))
        .filter_map(|issue| {
            let own = state.manners.index_lag_seconds.get(&issue.id.to_string()).copied().unwrap_or_default();
            let lag = if reconcile.contains(&issue.id) {
                chrono::Duration::zero()
            } else {
                lag.max(chrono::Duration::seconds(own.into()))
            };
            let doc = issue.as_indexed(now, lag)?;
            query.matches(issue, &doc).then(|| (query.sort_keys(issue, &doc), issue))
        })
        .collect();
    found.sort_by(|left, right| query.compare(&left.0, &right.0));
    found
}

fn parse(api: &Api, state: &State, jql: &str) -> Result<Query, ApiError> {
    let context = Context { state, settings: api.settings(), now: api.jira.now() };
    let query = Query::parse(jql, &context).map_err(ApiError::bad_request)?;
    match api.settings().deployment {
        Deployment::Cloud if !query.is_bounded() => Err(ApiError::bad_request(UNBOUNDED)),
        Deployment::Cloud | Deployment::DataCenter => Ok(query),
    }
}

// ---------------------------------------------------------------- Cloud

/// Start of the next page: the position of the last issue on this one, which need not exist any more. Valid for one query only.
#[derive(Debug, Serialize, Deserialize)]
struct PageToken {
    after: Vec<SortKey>,
    query: String,
}

fn fingerprint(jql: &str) -> String {
    hex::encode(&Sha256::digest(jql)[..8])
}

impl PageToken {
    fn write(&self) -> Result<String, ApiError> {
        let json = serde_json::to_vec(self).map_err(|error| ApiError::internal(&error))?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
    }

    fn read(token: &str, jql: &str) -> Result<Self, ApiError> {
        BASE64_URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|json| serde_json::from_slice::<Self>(&json).ok())
            .filter(|token| token.query == fingerprint(jql))
            .ok_or_else(|| ApiError::bad_request("The provided next page token is invalid or expired."))
    }
}

async fn token_get(Shared(api): Shared<Api>, Base(base): Base, params: Params) -> Result<Response, ApiError> {
    token_search(&api, &base, &Request::from_params(&params)?)
}

async fn token_post(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Body(body): Body,
) -> Result<Response, ApiError> {
    token_search(&api, &base, &Request::from_body(&body, Deployment::Cloud)?)
}

fn token_search(api: &Api, base: &str, request: &Request) -> Result<Response, ApiError> {
    let state = api.jira.state();
    let query = parse(api, &state, &request.jql)?;
    let mut found = find(api, &state, &query, &request.reconcile);
    if let Some(token) = &request.token {
        let token = PageToken::read(token, &request.jql)?;
        found.retain(|(keys, _)| query.compare(keys, &token.after).is_gt());
    }
    let size = request.page_size.unwrap_or(50).clamp(1, api.settings().search_page_limit.max(1));
    let is_last = found.len() <= size;
    found.truncate(size);
    let wire = api.wire(base, &state);
    let selection = Selection::parse(request.fields.iter().map(String::as_str))
        .filter(|selection| !selection.is_id_only());
    let issues: Vec<_> = found
        .iter()
        .map(|(_, issue)| match &selection {
            None => json!({"id": issue.id.to_string()}),
            Some(selection) => wire.issue(issue, selection, Place::Search),
        })
        .collect();
    let mut page = json!({"issues": issues, "isLast": is_last});
    if let Some((keys, _)) = found.last().filter(|_| !is_last) {
        let token = PageToken { after: keys.clone(), query: fingerprint(&request.jql) };
        page["nextPageToken"] = json!(token.write()?);
    }
    ok(page)
}

async fn count(Shared(api): Shared<Api>, Body(body): Body) -> Result<Response, ApiError> {
    let jql = body.get("jql").and_then(Value::as_str).unwrap_or_default();
    let state = api.jira.state();
    let query = parse(&api, &state, jql)?;
    ok(json!({"count": find(&api, &state, &query, &BTreeSet::new()).len()}))
}

// ---------------------------------------------------------------- Data Center

async fn offset_get(
    Shared(api): Shared<Api>,
    Base(base): Base,
    params: Params,
) -> Result<Response, ApiError> {
    offset_search(&api, &base, &Request::from_params(&params)?)
}

async fn offset_post(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Body(body): Body,
) -> Result<Response, ApiError> {
    offset_search(&api, &base, &Request::from_body(&body, Deployment::DataCenter)?)
}

fn offset_search(api: &Api, base: &str, request: &Request) -> Result<Response, ApiError> {
    let state = api.jira.state();
    let query = parse(api, &state, &request.jql)?;
    let found = find(api, &state, &query, &BTreeSet::new());
    let size = request.page_size.unwrap_or(50).min(api.settings().search_page_limit);
    let wire = api.wire(base, &state);
    let selection =
        Selection::parse(request.fields.iter().map(String::as_str)).unwrap_or_else(Selection::navigable);
    let issues: Vec<_> = found
        .iter()
        .skip(request.start)
        .take(size)
        .map(|(_, issue)| wire.issue(issue, &selection, Place::Search))
        .collect();
    ok(json!({
        "expand": "schema,names",
        "startAt": request.start,
        "maxResults": size,
        "total": found.len(),
        "issues": issues,
    }))
}
