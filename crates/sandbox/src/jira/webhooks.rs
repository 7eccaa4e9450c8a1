//! Admin webhooks, and the messages that they send.
//!
//! Sources: "Webhooks", with *Registering a webhook via the Jira REST API* and *Secure admin webhooks*,
//! developer.atlassian.com/cloud/jira/platform/webhooks (January 2026). Only administrators may use them.
//!
//! Limits: events of issues and comments, of the content only what receivers read, and no retries that are told apart by headers. They end
//! with the process. Cloud only: Data Center 10 has another path.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use ring::hmac;
use serde_json::{Value, json};
use url::Url;

use super::SandboxJira;
use super::error::ApiError;
use super::jql::{Context, Query};
use super::rest::{Answer, Api, authenticate, ok};
use super::state::{Comment, Issue, State};
use super::wire::Version;
use crate::outbox::{Outbox, Parcel};

const PATH: &str = "/rest/webhooks/1.0/webhook";
/// Fields of a registration.
const FIELDS: [&str; 8] =
    ["name", "description", "url", "events", "filters", "excludeBody", "enabled", "secret"];
const FILTER: &str = "issue-related-events-section";

/// Webhooks of a site.
#[derive(Default)]
pub(super) struct Hooks {
    data: Mutex<Data>,
    outbox: Outbox,
}

#[derive(Default)]
struct Data {
    next: u64,
    webhooks: Vec<Webhook>,
}

#[derive(Clone)]
struct Webhook {
    id: u64,
    /// Address of the site, as the one who registered it called it.
    base: String,
    secret: Option<String>,
    shown: Value,
}

/// Revision and number of comments of each issue.
pub(super) type Snapshot = BTreeMap<u64, (u64, usize)>;

impl Hooks {
    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state to compare a change with; `None` without a webhook.
    pub(super) fn snapshot(&self, state: &State) -> Option<Snapshot> {
        let of = |issue: &Issue| (issue.revision, issue.comments.len());
        let is_used = !self.lock().webhooks.is_empty();
        is_used.then(|| state.issues.iter().map(|(id, issue)| (*id, of(issue))).collect())
    }

    /// Sends the messages of a change, which the user of that display name made; `None`: a person.
    pub(super) fn fire(&self, jira: &SandboxJira, before: &Snapshot, state: &State, actor: Option<&str>) {
        for (id, issue) in &state.issues {
            let known = before.get(id);
            let comments = known.map_or(0, |(_, comments)| *comments);
            if known.is_some_and(|(revision, _)| *revision == issue.revision)
                && issue.comments.len() == comments
            {
                continue;
            }
            let new = issue.comments.last().filter(|_| issue.comments.len() > comments);
            let own = jira.settings().account.as_str();
            let person = state.users.keys().map(String::as_str).find(|name| *name != own);
            let user = actor.or_else(|| new.map(|comment| comment.author.as_str())).or(person).unwrap_or(own);
            // A new comment is an event of its own, beside the update of its issue.
            if let Some(comment) = new {
                self.send(jira, state, issue, "comment_created", Some(comment), user);
            }
            let event = if known.is_none() { "jira:issue_created" } else { "jira:issue_updated" };
            self.send(jira, state, issue, event, None, user);
        }
    }

    fn send(
        &self,
        jira: &SandboxJira,
        state: &State,
        issue: &Issue,
        event: &str,
        comment: Option<&Comment>,
        user: &str,
    ) {
        let now = jira.now();
        for webhook in self.lock().webhooks.clone() {
            let has_event = webhook.shown["events"]
                .as_array()
                .is_some_and(|events| events.iter().any(|known| known == event));
            let filter = webhook.shown["filters"][FILTER].as_str().unwrap_or_default();
            let context = Context { state, settings: jira.settings(), now };
            let is_meant = filter.trim().is_empty()
                || Query::parse(filter, &context).is_ok_and(|query| query.matches(issue, &issue.doc));
            let Ok(url) = webhook.shown["url"].as_str().unwrap_or_default().parse::<Url>() else { continue };
            if webhook.shown["enabled"] == false || !has_event || !is_meant {
                continue;
            }
            let who = |name: &str| {
                let user = state.users.get(name);
                json!({
                    "accountId": user.map(|user| user.account_id.as_str()), "displayName": name, "active": true,
                })
            };
            let base = &webhook.base;
            let mut body = json!({
                "timestamp": now.timestamp_millis(),
                "webhookEvent": event,
                "issue": {
                    "id": issue.id.to_string(),
                    "self": format!("{base}/rest/api/2/issue/{}", issue.id),
                    "key": issue.doc.key,
                    "fields": {
                        "summary": issue.doc.summary,
                        "status": { "name": issue.doc.status },
                        "project": { "key": issue.doc.project },
                    },
                },
            });
            match comment {
                // Events of comments have no `user`: the comment names its authors.
                Some(comment) => {
                    body["comment"] = json!({
                        "id": comment.id.to_string(), "body": comment.body, "author": who(&comment.author),
                        "updateAuthor": who(&comment.update_author),
                    });
                }
                None => body["user"] = who(user),
            }
            let body = if webhook.shown["excludeBody"] == true { String::new() } else { body.to_string() };
            let headers = |secret: Option<&str>| {
                let signature = secret.map(|secret| {
                    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                    ("X-Hub-Signature", format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes()))))
                });
                signature.into_iter().collect::<Vec<_>>()
            };
            let (genuine, forged) = (headers(webhook.secret.as_deref()), headers(Some("another secret")));
            let parcel = Parcel { url, headers: genuine, forged, body: body.clone(), told: None };
            self.outbox.send(jira.faults(), parcel);
        }
    }
}

pub(super) fn routes(jira: &SandboxJira) -> Router {
    let api = Api { jira: jira.clone(), version: Version::Two };
    Router::new()
        .route(PATH, get(all).post(create))
        .route("/rest/webhooks/1.0/webhook/{id}", get(one).put(update).delete(delete))
        .layer(middleware::from_fn_with_state(api.clone(), authenticate))
        .with_state(api)
}

fn admin(api: &Api) -> Result<(), ApiError> {
    api.may(
        "ADMINISTER",
        "You are not authorized to perform this operation. Administrator privileges are required.",
    )
}

fn input(body: &Bytes) -> Result<Value, ApiError> {
    let given: Value = serde_json::from_slice(body).map_err(|_| ApiError::bad_request("Invalid JSON."))?;
    let object = given.as_object().ok_or_else(|| ApiError::bad_request("Invalid JSON."))?;
    match object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        Some(unknown) => Err(ApiError::bad_request(format!("Unrecognized field \"{unknown}\""))),
        None => Ok(given),
    }
}

/// Shows a webhook. The secret is never shown; `isSigned` says that there is one.
fn shown(webhook: &Webhook) -> Value {
    let mut shown = webhook.shown.clone();
    shown["self"] = format!("{}{PATH}/{}", webhook.base, webhook.id).into();
    shown["isSigned"] = webhook.secret.is_some().into();
    shown
}

/// Takes the given fields over, the secret apart.
fn merge(webhook: &mut Webhook, given: &Value) -> Result<(), ApiError> {
    for (field, value) in given.as_object().into_iter().flatten() {
        if field == "secret" {
            webhook.secret = value.as_str().map(str::to_owned);
        } else {
            webhook.shown[field] = value.clone();
        }
    }
    for field in ["name", "url"] {
        if webhook.shown[field].as_str().is_none_or(str::is_empty) {
            return Err(ApiError::field(field, format!("The webhook's {field} is required.")));
        }
    }
    Ok(())
}

async fn all(Shared(api): Shared<Api>) -> Answer {
    admin(&api)?;
    let all: Vec<Value> = api.jira.0.hooks.lock().webhooks.iter().map(shown).collect();
    ok(Value::Array(all))
}

async fn create(Shared(api): Shared<Api>, headers: HeaderMap, body: Bytes) -> Answer {
    admin(&api)?;
    let given = input(&body)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut data = api.jira.0.hooks.lock();
    let empty = json!({ "enabled": true, "excludeBody": false, "events": [], "filters": {} });
    let mut webhook =
        Webhook { id: data.next + 1, base: format!("http://{host}"), secret: None, shown: empty };
    merge(&mut webhook, &given)?;
    data.next += 1;
    let shown = shown(&webhook);
    data.webhooks.push(webhook);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

fn with<T>(api: &Api, id: u64, act: impl FnOnce(&mut Webhook) -> Result<T, ApiError>) -> Result<T, ApiError> {
    admin(api)?;
    let mut data = api.jira.0.hooks.lock();
    let found = data.webhooks.iter_mut().find(|webhook| webhook.id == id);
    act(found.ok_or_else(|| ApiError::not_found("The webhook does not exist."))?)
}

async fn one(Shared(api): Shared<Api>, Path(id): Path<u64>) -> Answer {
    with(&api, id, |webhook| ok(shown(webhook)))
}

async fn update(Shared(api): Shared<Api>, Path(id): Path<u64>, body: Bytes) -> Answer {
    let given = input(&body)?;
    with(&api, id, |webhook| {
        let mut changed = webhook.clone();
        merge(&mut changed, &given)?;
        *webhook = changed;
        ok(shown(webhook))
    })
}

async fn delete(Shared(api): Shared<Api>, Path(id): Path<u64>) -> Result<Response, ApiError> {
    with(&api, id, |_| Ok(()))?;
    api.jira.0.hooks.lock().webhooks.retain(|webhook| webhook.id != id);
    Ok(StatusCode::NO_CONTENT.into_response())
}
