//! Messages of a Pub/Sub pull subscription about the events of support cases.
//!
//! Sources: "Method: projects.subscriptions.pull", "Method: projects.subscriptions.acknowledge" and "Pull subscriptions",
//! docs.cloud.google.com/pubsub/docs (November 2026).

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::google::hints;
use crate::cases::{ApiError, ApiErrorKind, Check, Finding, Hint, Refusal, Trouble};
use crate::outbound::{Call, Upstream};

/// Name of the service in errors, logs and metrics; also the name to give its [`Upstream`].
pub const NAME: &str = "Pub/Sub";
/// Timeout of a call. A pull without messages waits "for a bounded amount of time", which is not documented; Google's own clients wait
/// 60 s for it.
pub const TIMEOUT: Duration = Duration::from_mins(2);
/// Rate limit: one pull and one acknowledgement every fifth of a second.
pub const PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();
/// Maximum number of messages of one pull.
pub const MOST_MESSAGES: u32 = 100;

/// Permission that a pull needs.
const CONSUME: &str = "pubsub.subscriptions.consume";
/// Topic of a subscription whose topic was deleted ("Resource: Subscription").
const DELETED_TOPIC: &str = "_deleted-topic_";

/// Settings of the pull subscription: `push.google.pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSettings {
    /// Name of the subscription: `projects/P/subscriptions/S`.
    pub subscription: String,
    /// URL of Pub/Sub.
    pub base_url: Url,
    /// Parent of the cases: `google.parent`.
    pub parent: String,
}

/// Pull subscription.
pub struct PullSubscription {
    settings: PullSettings,
    upstream: Upstream,
}

/// Message that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// ID to acknowledge the message with.
    pub ack_id: String,
    /// Cases that the message names.
    pub hints: Result<Vec<Hint>, Refusal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullAnswer {
    #[serde(default)]
    received_messages: Vec<Received>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    #[serde(default)]
    ack_id: String,
    #[serde(default)]
    message: Value,
}

impl PullSubscription {
    /// Creates the client. Makes no call yet.
    #[must_use]
    pub fn new(settings: PullSettings, upstream: Upstream) -> Self {
        let subscription = settings.subscription.clone();
        upstream.advise(Box::new(move |error| remedy(&subscription, error)));
        Self { settings, upstream }
    }

    /// Returns the name of the subscription.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.subscription
    }

    /// Waits for messages, and returns at most so many. Returns none if none came within Pub/Sub's own time.
    ///
    /// A repeated pull does no harm: messages whose answer was lost are delivered again after their deadline.
    pub async fn pull(&self, most: u32) -> Result<Vec<Pulled>, ApiError> {
        let answer: PullAnswer =
            self.upstream.read(self.call("pull", json!({ "maxMessages": most }))).await?;
        let pulled = answer.received_messages.into_iter().filter(|received| !received.ack_id.is_empty());
        Ok(pulled
            .map(|Received { ack_id, message }| Pulled {
                hints: hints(&message["attributes"], &self.settings.parent),
                ack_id,
            })
            .collect())
    }

    /// Acknowledges messages, so that they are not delivered again. "Acknowledging a message more than once will not result in an error", so
    /// it is repeated like a read.
    pub async fn acknowledge(&self, ack_ids: &[String]) -> Result<(), ApiError> {
        if ack_ids.is_empty() {
            return Ok(());
        }
        let call = self.call("acknowledge", json!({ "ackIds": ack_ids }));
        self.upstream.read::<serde::de::IgnoredAny>(call).await.map(drop)
    }

    /// Checks that the subscription is there, and that its messages may be pulled.
    pub async fn check(&self) -> Check {
        Check::new(format!("{NAME}: {}", self.name()), self.finding().await)
    }

    async fn finding(&self) -> Finding {
        let shown = self.read().await;
        match &shown {
            Ok(subscription) => judge(self.name(), subscription)?,
            // Looking at a subscription takes another role than pulling from it.
            Err(error) if error.status == Some(403) && !error.is_disabled_api() => {}
            Err(error) => return Err(error.into()),
        }
        // It answers with the permissions that the caller has, and needs none itself. The emulator does not have it.
        let call = self.call("testIamPermissions", json!({ "permissions": [CONSUME] }));
        match (self.upstream.read::<Value>(call).await, shown) {
            (Ok(granted), _) => {
                let all = granted["permissions"].as_array();
                if all.is_some_and(|all| all.iter().any(|permission| permission == CONSUME)) {
                    Ok("its messages can be pulled".to_owned())
                } else {
                    Err(Trouble::failed(format!("the service account lacks {CONSUME}"), grant(self.name())))
                }
            }
            (Err(error), Ok(_)) if matches!(error.status, Some(400 | 404 | 501)) => {
                Ok("it exists; the permission to pull cannot be looked up here".to_owned())
            }
            (Err(error), _) => Err((&error).into()),
        }
    }

    /// Returns the topic that the subscription belongs to.
    pub async fn topic(&self) -> Result<String, ApiError> {
        let subscription = self.read().await?;
        let topic = subscription["topic"].as_str().filter(|topic| !topic.is_empty());
        topic.map(str::to_owned).ok_or_else(|| {
            let call = format!("GET /v1/{}", self.name());
            self.upstream.error(ApiErrorKind::Unreadable, &call, "the answer names no topic")
        })
    }

    async fn read(&self) -> Result<Value, ApiError> {
        self.upstream.read(Call::get(format!("/v1/{}", self.name()))).await
    }

    fn call(&self, method: &str, body: Value) -> Call {
        Call::post(format!("/v1/{}:{method}", self.name()), body)
    }
}

/// Judges a subscription as Pub/Sub describes it.
fn judge(name: &str, subscription: &Value) -> Result<(), Trouble> {
    let text = |pointer: &str| subscription.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (project, id) = parts(name);
    if text("/topic") == DELETED_TOPIC {
        let again = format!("delete it and make it anew: `{}`", create(name));
        return Err(Trouble::failed("its topic was deleted, so it gets no messages", again));
    }
    if subscription["detached"] == true {
        return Err(Trouble::failed(
            "it was detached from its topic, so it gets no messages",
            format!("delete it and make it anew: `{}`", create(name)),
        ));
    }
    if !text("/pushConfig/pushEndpoint").is_empty() {
        return Err(Trouble::failed(
            "it pushes its messages, so none can be pulled",
            format!(
                "`gcloud pubsub subscriptions modify-push-config {id} --project={project} --push-endpoint=`, or set \
                 push.google.audience in place of push.google.pull"
            ),
        ));
    }
    Ok(())
}

/// Returns the remedy for a failed call.
fn remedy(subscription: &str, error: &ApiError) -> Option<String> {
    let (project, _) = parts(subscription);
    match (error.kind, error.status) {
        (ApiErrorKind::Unauthorized, Some(403)) if error.is_disabled_api() => Some(format!(
            "the API is not enabled: `gcloud services enable pubsub.googleapis.com --project={project}`"
        )),
        (ApiErrorKind::Unauthorized, Some(403)) => Some(grant(subscription)),
        (ApiErrorKind::Unauthorized, _) => Some(
            "check the service account that the service runs as, and that this machine's clock is right"
                .to_owned(),
        ),
        (ApiErrorKind::NotFound, _) => Some(format!(
            "check push.google.pull: there is no subscription {subscription}; `{}` makes it",
            create(subscription)
        )),
        (ApiErrorKind::NotApplied, None)
        | (ApiErrorKind::Uncertain | ApiErrorKind::Unreadable, _)
        | (ApiErrorKind::Refused, Some(300..=399)) => Some(
            "check push.google.base_url, the network (docs/networks.md) and Google Cloud's status page"
                .to_owned(),
        ),
        (
            ApiErrorKind::NotApplied
            | ApiErrorKind::Refused
            | ApiErrorKind::Unacceptable
            | ApiErrorKind::Unsupported
            | ApiErrorKind::WrongContent,
            _,
        ) => None,
    }
}

/// Returns the command that makes the subscription.
fn create(subscription: &str) -> String {
    let (project, id) = parts(subscription);
    format!("gcloud pubsub subscriptions create {id} --project={project} --topic=TOPIC --ack-deadline=60")
}

/// Returns what grants the service account the right to pull.
fn grant(subscription: &str) -> String {
    let (project, id) = parts(subscription);
    format!(
        "`gcloud pubsub subscriptions add-iam-policy-binding {id} --project={project} --member=serviceAccount:EMAIL \
         --role=roles/pubsub.subscriber`; a new grant can take some minutes"
    )
}

/// Splits the name of a subscription into its project and its ID.
fn parts(subscription: &str) -> (&str, &str) {
    let mut parts = subscription.split('/').skip(1).step_by(2);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Reports if a text is the name of a Pub/Sub resource: `projects/P/subscriptions/S` for the collection `subscriptions`.
///
/// IDs: "Guidelines to name a topic, subscription, schema, or snapshot", cloud.google.com/pubsub/docs/pubsub-basics (November 2026).
#[must_use]
pub fn is_resource(name: &str, collection: &str) -> bool {
    let is_project = |id: &str| {
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte))
    };
    let is_id = |id: &str| {
        (3..=255).contains(&id.len())
            && id.starts_with(|first: char| first.is_ascii_alphabetic())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte))
    };
    let parts: Vec<&str> = name.split('/').collect();
    matches!(parts[..], ["projects", project, kind, id] if kind == collection && is_project(project) && is_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_resource_has_four_parts() {
        for (name, expected) in [
            ("projects/my-project/subscriptions/case-events", true),
            ("projects/example.com:my-project/subscriptions/case-events", true),
            ("projects/p/topics/case-events", false),
            ("projects/p/subscriptions/", false),
            ("projects/p/subscriptions/1st", false),
            ("projects/p/subscriptions/a", false),
            ("projects/p/subscriptions/case events", false),
            ("projects//subscriptions/case-events", false),
            ("case-events", false),
            ("//pubsub.googleapis.com/projects/p/subscriptions/case-events", false),
            ("projects/p/subscriptions/case-events/x", false),
        ] {
            assert_eq!(is_resource(name, "subscriptions"), expected, "{name}");
        }
        assert_eq!(parts("projects/p/subscriptions/s"), ("p", "s"));
    }

    #[test]
    fn a_subscription_that_gets_no_messages_is_told_with_the_remedy() {
        let name = "projects/p/subscriptions/s";
        for (subscription, expected) in [
            (json!({ "topic": "projects/p/topics/t" }), None),
            (json!({ "topic": "projects/p/topics/t", "pushConfig": {} }), None),
            (json!({ "topic": "_deleted-topic_" }), Some("its topic was deleted")),
            (json!({ "topic": "projects/p/topics/t", "detached": true }), Some("detached")),
            (
                json!({ "topic": "projects/p/topics/t", "pushConfig": { "pushEndpoint": "https://x.example" } }),
                Some("modify-push-config s --project=p"),
            ),
        ] {
            match (judge(name, &subscription), expected) {
                (Ok(()), None) => {}
                (Err(trouble), Some(told)) => assert!(trouble.to_string().contains(told), "{trouble}"),
                (judged, _) => panic!("{subscription}: {judged:?}"),
            }
        }
    }
}
