//! Webhooks and ticket triggers, and the messages that they send.
//!
//! Sources: "Webhooks", "Show Webhook Signing Secret", "Verifying webhook authenticity", "Anatomy of a webhook request", "Ticket Triggers"
//! and "Conditions reference", developer.zendesk.com (November 2026). Only administrators may use them.
//!
//! Limits: webhooks without authentication that are connected to triggers; conditions on `update_type` and on custom fields, with `is`;
//! the placeholders `{{ticket.id}}` and `{{current_user.id}}`. They end with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, Query as Params, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, body::Bytes};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::SecondsFormat;
use ring::hmac;
use serde_json::{Value, json};
use url::Url;

use super::SandboxZendesk;
use super::rest::{Answer, Asked, Extended, Refusal, listing, ok};
use super::state::{ACCOUNT_ID, State, Ticket};
use crate::outbox::{Outbox, Parcel};

/// Webhooks and triggers of an account.
#[derive(Default)]
pub(super) struct Hooks {
    data: Mutex<Data>,
    outbox: Outbox,
}

#[derive(Default)]
struct Data {
    next: u64,
    webhooks: Vec<Webhook>,
    triggers: Vec<Trigger>,
    /// Number of messages so far.
    invocations: u64,
}

struct Webhook {
    number: u64,
    secret: String,
    /// Properties as they are shown, without ID.
    shown: Value,
}

impl Webhook {
    /// IDs are ULIDs: 26 characters.
    fn id(&self) -> String {
        format!("01J{:023}", self.number)
    }
}

struct Trigger {
    id: u64,
    shown: Value,
}

/// Revision and number of comments of each ticket.
pub(super) type Snapshot = BTreeMap<u64, (u64, usize)>;

impl Hooks {
    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state to compare a change with; `None` without a trigger.
    pub(super) fn snapshot(&self, state: &State) -> Option<Snapshot> {
        let of = |ticket: &Ticket| (ticket.revision, ticket.comments.len());
        let is_used = !self.lock().triggers.is_empty();
        is_used.then(|| state.tickets.iter().map(|(id, ticket)| (*id, of(ticket))).collect())
    }

    /// Sends the messages of a change that `actor` made; `None`: a person.
    pub(super) fn fire(
        &self,
        zendesk: &SandboxZendesk,
        before: &Snapshot,
        state: &State,
        actor: Option<u64>,
    ) {
        for (id, ticket) in &state.tickets {
            let known = before.get(id);
            if known.is_some_and(|(revision, _)| *revision == ticket.revision) || ticket.deleted {
                continue;
            }
            let comments = known.map_or(0, |(_, comments)| *comments);
            let author =
                ticket.comments.last().filter(|_| ticket.comments.len() > comments).map(|last| last.author);
            let person = || author.or_else(|| state.users.keys().find(|user| **user != ACCOUNT_ID).copied());
            // "-1" stands for the system.
            let user = actor.or_else(person).map_or_else(|| "-1".to_owned(), |user| user.to_string());
            let update = if known.is_none() { "Create" } else { "Change" };
            self.send(zendesk, ticket, update, &user);
        }
    }

    fn send(&self, zendesk: &SandboxZendesk, ticket: &Ticket, update: &str, user: &str) {
        let mut data = self.lock();
        let mut parcels = Vec::new();
        for trigger in data.triggers.iter().filter(|trigger| fires(&trigger.shown, ticket, update)) {
            for action in trigger.shown["actions"].as_array().into_iter().flatten() {
                let (id, text) = (&action["value"][0], action["value"][1].as_str().unwrap_or_default());
                let webhook = data.webhooks.iter().find(|webhook| json!(webhook.id()) == *id);
                let Some(webhook) = webhook.filter(|webhook| webhook.shown["status"] == "active") else {
                    continue;
                };
                let Ok(url) = webhook.shown["endpoint"].as_str().unwrap_or_default().parse::<Url>() else {
                    continue;
                };
                let body = text
                    .replace("{{ticket.id}}", &ticket.id.to_string())
                    .replace("{{current_user.id}}", user);
                let at = zendesk.0.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
                let headers = |secret: &str| {
                    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                    let signature = hmac::sign(&key, format!("{at}{body}").as_bytes());
                    vec![
                        ("x-zendesk-webhook-signature", BASE64_STANDARD.encode(signature)),
                        ("x-zendesk-webhook-signature-timestamp", at.clone()),
                        ("x-zendesk-webhook-id", webhook.id()),
                        ("x-zendesk-account-id", "123456".to_owned()),
                    ]
                };
                parcels.push(Parcel {
                    url,
                    headers: headers(&webhook.secret),
                    forged: headers("another secret"),
                    body,
                    told: None,
                });
            }
        }
        for mut parcel in parcels {
            data.invocations += 1;
            let invocation = ("x-zendesk-webhook-invocation-id", format!("01K{:023}", data.invocations));
            parcel.headers.push(invocation.clone());
            parcel.forged.push(invocation);
            self.outbox.send(&zendesk.0.faults, parcel);
        }
    }
}

/// Reports if a trigger fires: all of `all` hold, and one of `any` if there is one.
fn fires(trigger: &Value, ticket: &Ticket, update: &str) -> bool {
    let holds = |condition: &Value| {
        let wanted = condition["value"].as_str().unwrap_or_default();
        match condition["field"].as_str().unwrap_or_default() {
            "update_type" => wanted == update,
            field => {
                let id = field.strip_prefix("custom_fields_").and_then(|id| id.parse::<u64>().ok());
                let value = id.and_then(|id| ticket.doc.custom.get(&id));
                match value {
                    Some(Value::Bool(value)) => value.to_string() == wanted,
                    Some(Value::String(value)) => value == wanted,
                    Some(_) | None => false,
                }
            }
        }
    };
    let list = |name: &str| trigger["conditions"][name].as_array().cloned().unwrap_or_default();
    let any = list("any");
    trigger["active"] == true && list("all").iter().all(holds) && (any.is_empty() || any.iter().any(holds))
}

pub(super) fn routes() -> Router<SandboxZendesk> {
    Router::new()
        .route("/webhooks", get(webhooks).post(create_webhook))
        .route("/webhooks/{id}", get(webhook).patch(patch_webhook).delete(delete_webhook))
        .route("/webhooks/{id}/signing_secret", get(signing_secret))
        .route("/triggers", get(triggers).post(create_trigger))
        .route("/triggers/{id}", get(trigger).put(update_trigger).delete(delete_trigger))
}

fn admin(zendesk: &SandboxZendesk) -> Result<(), Refusal> {
    if zendesk.settings().admin {
        return Ok(());
    }
    let body = json!({"error": {"title": "Forbidden", "message": "You do not have access to this page. Please contact the account owner of this help desk for further help."}});
    Err(Refusal(StatusCode::FORBIDDEN, body))
}

fn input(body: &Bytes, name: &str) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "InvalidJson", "The body is no JSON"))?;
    match value.get(name) {
        Some(object) if object.is_object() => Ok(object.clone()),
        Some(_) | None => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidParameters", &format!("{name} is missing")))
        }
    }
}

fn wrong(what: &str) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "RecordInvalid", what)
}

fn shown_webhook(webhook: &Webhook) -> Value {
    let mut shown = webhook.shown.clone();
    shown["id"] = webhook.id().into();
    shown
}

async fn webhooks(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    admin(&zendesk)?;
    let data = zendesk.0.hooks.lock();
    let items: Vec<_> = data.webhooks.iter().map(|webhook| (webhook.number, webhook)).collect();
    listing(&zendesk, &asked, (&base, "webhooks"), "webhooks", &items, |webhook| shown_webhook(webhook))
        .map(ok)
}

async fn create_webhook(Shared(zendesk): Shared<SandboxZendesk>, body: Bytes) -> Answer {
    admin(&zendesk)?;
    let mut given = input(&body, "webhook")?;
    for (field, allowed) in [
        ("name", &[][..]),
        ("endpoint", &[]),
        ("status", &["active", "inactive"]),
        ("http_method", &["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ("request_format", &["json", "xml", "form_encoded"]),
    ] {
        let text = given[field].as_str().unwrap_or_default();
        if text.is_empty() || (!allowed.is_empty() && !allowed.contains(&text)) {
            return Err(wrong(&format!("{field} is missing or not allowed")));
        }
    }
    let now = zendesk.0.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
    for (field, value) in [("created_at", json!(now)), ("created_by", json!(ACCOUNT_ID.to_string()))] {
        given[field] = value;
    }
    let mut data = zendesk.0.hooks.lock();
    data.next += 1;
    let webhook =
        Webhook { number: data.next, secret: hex::encode(rand::random::<[u8; 24]>()), shown: given };
    let shown = shown_webhook(&webhook);
    data.webhooks.push(webhook);
    Ok((StatusCode::CREATED, Json(json!({ "webhook": shown }))).into_response())
}

fn with_webhook<T>(
    zendesk: &SandboxZendesk,
    id: &str,
    act: impl FnOnce(&mut Webhook) -> T,
) -> Result<T, Refusal> {
    admin(zendesk)?;
    let mut data = zendesk.0.hooks.lock();
    data.webhooks.iter_mut().find(|webhook| webhook.id() == id).map(act).ok_or_else(Refusal::not_found)
}

async fn webhook(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<String>) -> Answer {
    with_webhook(&zendesk, &id, |webhook| ok(json!({ "webhook": shown_webhook(webhook) })))
}

async fn patch_webhook(
    Shared(zendesk): Shared<SandboxZendesk>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let given = input(&body, "webhook")?;
    with_webhook(&zendesk, &id, |webhook| {
        for (field, value) in given.as_object().into_iter().flatten() {
            webhook.shown[field] = value.clone();
        }
        StatusCode::NO_CONTENT.into_response()
    })
}

/// Deletes a webhook. One that a trigger is connected to stays (assumed, as in Admin Center).
async fn delete_webhook(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<String>) -> Answer {
    with_webhook(&zendesk, &id, |_| ())?;
    let mut data = zendesk.0.hooks.lock();
    let calls = |action: &Value| action["field"] == "notification_webhook" && action["value"][0] == json!(id);
    let is_used = |trigger: &Trigger| trigger.shown["actions"].as_array().into_iter().flatten().any(calls);
    if data.triggers.iter().any(is_used) {
        return Err(wrong("The webhook is connected to a trigger"));
    }
    data.webhooks.retain(|webhook| webhook.id() != id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn signing_secret(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<String>) -> Answer {
    with_webhook(&zendesk, &id, |webhook| {
        ok(json!({ "signing_secret": { "algorithm": "SHA256", "secret": webhook.secret } }))
    })
}

fn shown_trigger(trigger: &Trigger) -> Value {
    let mut shown = trigger.shown.clone();
    shown["id"] = trigger.id.into();
    shown
}

/// Checks what a trigger may have here. Refuses a condition or an action that this sandbox does not know.
fn check_trigger(shown: &Value, hooks: &Data) -> Result<(), Refusal> {
    if shown["title"].as_str().is_none_or(str::is_empty) {
        return Err(wrong("title is missing"));
    }
    let list = |name: &str| shown["conditions"][name].as_array().cloned().unwrap_or_default();
    let conditions: Vec<Value> = list("all").into_iter().chain(list("any")).collect();
    if conditions.is_empty() {
        return Err(wrong("A trigger needs a condition"));
    }
    for condition in conditions {
        let field = condition["field"].as_str().unwrap_or_default();
        let is_known = field == "update_type" || field.starts_with("custom_fields_");
        if !is_known || condition["operator"] != "is" {
            return Err(wrong(&format!("the sandbox has no condition on {field}")));
        }
    }
    let actions = shown["actions"].as_array().cloned().unwrap_or_default();
    if actions.is_empty() {
        return Err(wrong("A trigger needs an action"));
    }
    for action in actions {
        let is_there = hooks.webhooks.iter().any(|webhook| json!(webhook.id()) == action["value"][0]);
        if action["field"] != "notification_webhook" || !is_there {
            return Err(wrong("the sandbox knows the action notification_webhook with a webhook's ID only"));
        }
    }
    Ok(())
}

async fn triggers(
    Shared(zendesk): Shared<SandboxZendesk>,
    axum::Extension(base): Extended,
    Params(asked): Asked,
) -> Answer {
    admin(&zendesk)?;
    let data = zendesk.0.hooks.lock();
    let items: Vec<_> = data.triggers.iter().map(|trigger| (trigger.id, trigger)).collect();
    listing(&zendesk, &asked, (&base, "triggers"), "triggers", &items, |trigger| shown_trigger(trigger))
        .map(ok)
}

async fn create_trigger(Shared(zendesk): Shared<SandboxZendesk>, body: Bytes) -> Answer {
    admin(&zendesk)?;
    let mut shown = input(&body, "trigger")?;
    if shown["active"].is_null() {
        shown["active"] = true.into();
    }
    // A request may have the lists beside the title or within `conditions`.
    for name in ["all", "any"] {
        let list = shown.as_object_mut().and_then(|object| object.remove(name));
        if let Some(list) = list {
            shown["conditions"][name] = list;
        }
    }
    let mut data = zendesk.0.hooks.lock();
    check_trigger(&shown, &data)?;
    data.next += 1;
    let trigger = Trigger { id: 360_000_010_000 + data.next, shown };
    let shown = shown_trigger(&trigger);
    data.triggers.push(trigger);
    Ok((StatusCode::CREATED, Json(json!({ "trigger": shown }))).into_response())
}

async fn trigger(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<u64>) -> Answer {
    admin(&zendesk)?;
    let data = zendesk.0.hooks.lock();
    let found = data.triggers.iter().find(|trigger| trigger.id == id).ok_or_else(Refusal::not_found)?;
    Ok(ok(json!({ "trigger": shown_trigger(found) })))
}

async fn update_trigger(Shared(zendesk): Shared<SandboxZendesk>, Path(id): Path<u64>, body: Bytes) -> Answer {
    admin(&zendesk)?;
    let given = input(&body, "trigger")?;
    let mut data = zendesk.0.hooks.lock();
    let position =
        data.triggers.iter().position(|trigger| trigger.id == id).ok_or_else(Refusal::not_found)?;
    let mut shown = data.triggers[position].shown.clone();
    for (field, value) in given.as_object().into_iter().flatten() {
        shown[field] = value.clone();
    }
    check_trigger(&shown, &data)?;
    data.triggers[position].shown = shown;
    Ok(ok(json!({ "trigger": shown_trigger(&data.triggers[position]) })))
}

async fn delete_trigger(
    Shared(zendesk): Shared<SandboxZendesk>,
    Path(id): Path<u64>,
) -> Result<Response, Refusal> {
    admin(&zendesk)?;
    let mut data = zendesk.0.hooks.lock();
    let before = data.triggers.len();
    data.triggers.retain(|trigger| trigger.id != id);
    if data.triggers.len() == before {
        Err(Refusal::not_found())
    } else {
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}
