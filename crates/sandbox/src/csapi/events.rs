//! Event subscriptions: `organizations.supportEventSubscriptions` of the discovery document, revision 20260927, and the events that they
//! publish to Pub/Sub.
//!
//! Assumed, since it is not documented: the content of an event (the name of what changed and the kind of the change, as attributes); that a
//! subscription is `WORKING` until a publication fails, and again after one that succeeds; that a deleted one is purged after 30 days; that
//! several may have the same topic; and the refusals of a second deletion and of a needless undeletion, which follow AIP-164.

use axum::http::Method;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::http::{Parameters, listed};
use super::model::{Parent, Record};
use super::wire::{ApiError, Code, Input, Output};
use super::{Moves, SandboxCsapi};
use crate::outbox::Parcel;

/// Time after which a deleted subscription is purged.
const PURGED_AFTER: TimeDelta = TimeDelta::days(30);

/// Reason why a subscription fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    /// Google's service account may not publish to the topic.
    PermissionDenied,
    /// There is no such topic.
    TopicNotFound,
    /// Fault of the system itself.
    Other,
}

/// Subscription to the events of an organisation's cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSubscription {
    /// Last part of the name.
    pub id: String,
    /// Topic: `projects/P/topics/T`.
    pub topic: String,
    /// Reason why the last publication failed.
    pub failure: Option<FailureReason>,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Time of deletion.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl EventSubscription {
    /// Returns the API's word for the state.
    pub const fn state(&self) -> &'static str {
        match (self.deleted_at, self.failure) {
            (Some(_), _) => "DELETED",
            (None, Some(_)) => "FAILING",
            (None, None) => "WORKING",
        }
    }

    fn is_purged(&self, now: DateTime<Utc>) -> bool {
        self.deleted_at.is_some_and(|at| at + PURGED_AFTER <= now)
    }
}

/// Resource or method that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Subscriptions of the parent.
    All(Parent),
    /// One, and the custom method.
    One(Parent, String, Option<&'static str>),
}

impl Target {
    /// Parses `organizations/N/supportEventSubscriptions…`.
    pub(super) fn parse(segments: &[&str]) -> Option<Self> {
        match *segments {
            ["organizations", id, "supportEventSubscriptions"] => {
                Parent::of("organizations", id).map(Self::All)
            }
            ["organizations", id, "supportEventSubscriptions", subscription] => {
                let parent = Parent::of("organizations", id)?;
                let (subscription, verb) = match subscription.split_once(':') {
                    None => (subscription, None),
                    Some((subscription, "undelete")) => (subscription, Some("undelete")),
                    Some((subscription, "expunge")) => (subscription, Some("expunge")),
                    Some(_) => return None,
                };
                Some(Self::One(parent, subscription.to_owned(), verb))
            }
            _ => None,
        }
    }

    /// Returns the query parameters of a method; `None` if there is no such method.
    pub(super) fn parameters(&self, method: &Method) -> Option<&'static [&'static str]> {
        match (self, method.as_str()) {
            (Self::All(_), "GET") => Some(&["filter", "pageSize", "pageToken", "showDeleted"]),
            (Self::One(_, _, None), "PATCH") => Some(&["updateMask"]),
            (Self::All(_) | Self::One(_, _, Some(_)), "POST") | (Self::One(_, _, None), "GET" | "DELETE") => {
                Some(&[])
            }
            _ => None,
        }
    }
}

const FIELDS: [&str; 8] =
    ["name", "pubSubTopic", "state", "failureReason", "createTime", "updateTime", "deleteTime", "purgeTime"];

impl SandboxCsapi {
    /// Publishes the events of cases at this Pub/Sub, or at an emulator of it.
    pub fn publish_at(&self, pubsub: Url) {
        self.lock().pubsub = Some(pubsub);
    }

    /// Returns the event subscriptions, also the deleted ones.
    pub fn event_subscriptions(&self) -> Vec<EventSubscription> {
        self.lock().subscriptions.clone()
    }

    /// Sets the reason why a subscription fails, as if a publication had failed.
    pub fn fail_subscription(&self, id: &str, failure: Option<FailureReason>) {
        let mut data = self.lock();
        for subscription in data.subscriptions.iter_mut().filter(|known| known.id == id) {
            subscription.failure = failure;
        }
    }

    /// Executes a method on subscriptions.
    pub(super) fn on_subscriptions(
        &self,
        method: &Method,
        target: &Target,
        parameters: &Parameters,
        body: &[u8],
    ) -> Result<Value, ApiError> {
        let (Target::All(parent) | Target::One(parent, ..)) = target;
        {
            let mut data = self.lock();
            self.check_parent(&data, parent)?;
            let now = self.0.clock.now();
            data.subscriptions.retain(|known| !known.is_purged(now));
        }
        match (method.as_str(), target) {
            ("GET", Target::All(_)) => self.list_subscriptions(parent, parameters),
            ("POST", Target::All(_)) => self.create_subscription(parent, body),
            ("GET", Target::One(_, id, None)) => self.change_subscription(parent, id, |_, _| Ok(())),
            ("PATCH", Target::One(_, id, None)) => {
                let mask = parameters.text("updateMask");
                if !matches!(mask, "" | "*" | "pub_sub_topic" | "pubSubTopic") {
                    return Err(ApiError::invalid(format!(
                        "Invalid update_mask: '{mask}'. The only supported value is pub_sub_topic."
                    )));
                }
                let topic = topic_of(body)?;
                self.change_subscription(parent, id, |subscription, now| {
                    if subscription.deleted_at.is_some() {
                        return Err(ApiError::new(Code::FailedPrecondition, "The subscription is deleted."));
                    }
                    (subscription.topic, subscription.failure, subscription.updated_at) = (topic, None, now);
                    Ok(())
                })
            }
            ("DELETE", Target::One(_, id, None)) => {
                self.change_subscription(parent, id, |subscription, now| {
                    if subscription.deleted_at.is_some() {
                        return Err(ApiError::not_found());
                    }
                    (subscription.deleted_at, subscription.updated_at) = (Some(now), now);
                    Ok(())
                })
            }
            ("POST", Target::One(_, id, Some("undelete"))) => {
                self.change_subscription(parent, id, |subscription, now| {
                    if subscription.deleted_at.take().is_none() {
                        return Err(ApiError::new(Code::AlreadyExists, "The subscription is not deleted."));
                    }
                    (subscription.failure, subscription.updated_at) = (None, now);
                    Ok(())
                })
            }
            ("POST", Target::One(_, id, Some(_))) => {
                let mut data = self.lock();
                let before = data.subscriptions.len();
                data.subscriptions.retain(|known| known.id != *id);
                if data.subscriptions.len() == before {
                    return Err(ApiError::not_found());
                }
                data.save_subscriptions()?;
                Ok(json!({}))
            }
            _ => Err(ApiError::new(Code::NotFound, "Method not found.")),
        }
    }

    fn create_subscription(&self, parent: &Parent, body: &[u8]) -> Result<Value, ApiError> {
        let topic = topic_of(body)?;
        let now = self.0.clock.now();
        let mut data = self.lock();
        let id = format!("{:012x}", rand::random::<u64>() >> 16);
        let subscription = EventSubscription {
            id,
            topic,
            failure: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let shown = shown(&subscription, parent);
        data.subscriptions.push(subscription);
        data.save_subscriptions()?;
        Ok(shown)
    }

    fn list_subscriptions(&self, parent: &Parent, parameters: &Parameters) -> Result<Value, ApiError> {
        let shows_deleted = parameters.text("showDeleted") == "true";
        let filter = parameters.text("filter");
        let wanted = conditions(filter)?;
        let data = self.lock();
        let found: Vec<&EventSubscription> = data
            .subscriptions
            .iter()
            .filter(|known| shows_deleted || known.deleted_at.is_none())
            .filter(|known| {
                wanted.iter().all(|(field, value)| match field.as_str() {
                    "pub_sub_topic" => known.topic == *value,
                    _ => known.state() == value,
                })
            })
            .collect();
        let listing = format!("subscriptions {parent} {filter} {shows_deleted}");
        listed(&listing, "supportEventSubscriptions", &found, parameters, &data.switches, |subscription| {
            shown(subscription, parent)
        })
    }

    fn change_subscription(
        &self,
        parent: &Parent,
        id: &str,
        change: impl FnOnce(&mut EventSubscription, DateTime<Utc>) -> Result<(), ApiError>,
    ) -> Result<Value, ApiError> {
        let now = self.0.clock.now();
        let mut data = self.lock();
        let found = data.subscriptions.iter_mut().find(|known| known.id == id);
        let subscription = found.ok_or_else(ApiError::not_found)?;
        change(subscription, now)?;
        let shown = shown(subscription, parent);
        data.save_subscriptions()?;
        Ok(shown)
    }

    /// Publishes the event of a change to each subscription that is not deleted.
    pub(super) fn publish(&self, event: &Event) {
        let (subscriptions, pubsub) = {
            let data = self.lock();
            let Some(pubsub) = data.pubsub.clone() else { return };
            let live = data.subscriptions.iter().filter(|known| known.deleted_at.is_none()).cloned();
            (live.collect::<Vec<_>>(), pubsub)
        };
        for EventSubscription { id, topic, .. } in subscriptions {
            let Ok(url) = pubsub.join(&format!("/v1/{topic}:publish")) else { continue };
            let attributes = json!({ "name": event.name, "eventType": event.kind });
            let body = json!({ "messages": [{ "attributes": attributes }] }).to_string();
            let sandbox = self.clone();
            let told = move |status: Option<u16>| {
                let failure = match status {
                    Some(200..=299) => None,
                    Some(403) => Some(FailureReason::PermissionDenied),
                    Some(404) => Some(FailureReason::TopicNotFound),
                    Some(_) | None => Some(FailureReason::Other),
                };
                sandbox.fail_subscription(&id, failure);
            };
            let parcel =
                Parcel { url, headers: Vec::new(), forged: Vec::new(), body, told: Some(Box::new(told)) };
            self.0.outbox.send(&self.0.faults, parcel);
        }
    }
}

/// Change that is published.
pub(super) struct Event {
    name: String,
    kind: &'static str,
}

impl Event {
    /// Describes the creation of a case.
    pub(super) fn created(record: &Record) -> Self {
        Self { name: record.name(), kind: "CASE_CREATED" }
    }

    /// Describes a change of a case, which had so many comments and attachments before.
    pub(super) fn changed(record: &Record, moves: Moves, (comments, attachments): (usize, usize)) -> Self {
        let name = record.name();
        match moves {
            Moves::Comment if record.comments.len() > comments => {
                let id = record.comments.last().map(|comment| comment.id.as_str()).unwrap_or_default();
                Self { name: format!("{name}/comments/{id}"), kind: "COMMENT_CREATED" }
            }
            Moves::Attachment if record.attachments.len() > attachments => {
                let id =
                    record.attachments.last().map(|attachment| attachment.id.as_str()).unwrap_or_default();
                Self { name: format!("{name}/attachments/{id}"), kind: "ATTACHMENT_CREATED" }
            }
            Moves::Case | Moves::Comment | Moves::Attachment | Moves::Email => {
                Self { name, kind: "CASE_UPDATED" }
            }
        }
    }
}

/// Reads the topic out of a body.
fn topic_of(body: &[u8]) -> Result<String, ApiError> {
    let topic = Input::parse(body, "support_event_subscription", &FIELDS)?.string("pubSubTopic")?;
    let parts: Vec<&str> = topic.split('/').collect();
    match parts[..] {
        ["projects", project, "topics", id] if !project.is_empty() && !id.is_empty() => Ok(topic),
        _ => Err(ApiError::invalid(
            "support_event_subscription.pub_sub_topic must have the format projects/{project}/topics/{topic}.",
        )),
    }
}

/// Reads a filter: `pub_sub_topic="…"`, `state=…`, or both with `AND` between them.
fn conditions(filter: &str) -> Result<Vec<(String, String)>, ApiError> {
    let wrong = || ApiError::invalid(format!("Invalid filter: {filter}"));
    let mut found = Vec::new();
    for condition in filter.split(" AND ").map(str::trim).filter(|condition| !condition.is_empty()) {
        let (field, value) = condition.split_once('=').ok_or_else(wrong)?;
        if !matches!(field.trim(), "pub_sub_topic" | "state") {
            return Err(wrong());
        }
        found.push((field.trim().to_owned(), value.trim().trim_matches('"').to_owned()));
    }
    Ok(found)
}

/// Returns the JSON of a subscription.
fn shown(subscription: &EventSubscription, parent: &Parent) -> Value {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let EventSubscription { id, topic, failure, created_at, updated_at, deleted_at } = subscription;
    let failure = failure.filter(|_| deleted_at.is_none());
    let failure = failure.and_then(|failure| serde_json::to_value(failure).ok());
    Output::default()
        .set("name", format!("{parent}/supportEventSubscriptions/{id}"))
        .set("pubSubTopic", topic.as_str())
        .set("state", subscription.state())
        .set("failureReason", failure.as_ref().and_then(Value::as_str).unwrap_or_default())
        .set("createTime", time(*created_at))
        .set("updateTime", time(*updated_at))
        .set("deleteTime", deleted_at.map(time).unwrap_or_default())
        .set("purgeTime", deleted_at.map(|at| time(at + PURGED_AFTER)).unwrap_or_default())
        .done()
}
