//! Sandbox Pub/Sub: topics, pull and push subscriptions of the REST API v1, as far as a connector and its set-up need them.
//!
//! Sources: "Cloud Pub/Sub API" (REST v1), "Push subscriptions", "Authenticate push subscriptions" and "Pull subscriptions",
//! docs.cloud.google.com/pubsub/docs (November 2026). Left out: IAM policies but `testIamPermissions`, ordering, filters, dead letters,
//! snapshots, schemas.
//!
//! A message is delivered at least once: one that is not acknowledged within its deadline, by the sandbox's clock, is delivered again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use casebridge_core::clock::SharedClock;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use url::Url;

use super::csapi::error_body;
use super::faults::Faults;
use super::outbox::{Outbox, Parcel};

/// Longest time that a pull waits for a message. Pub/Sub's own bound is not documented.
const PULL_WAITS: Duration = Duration::from_secs(2);
/// Default of `ackDeadlineSeconds`.
const ACK_DEADLINE: i64 = 10;
/// Topic of a subscription whose topic was deleted.
const DELETED_TOPIC: &str = "_deleted-topic_";

/// Sandbox Pub/Sub. Clones share their state.
#[derive(Clone)]
pub struct SandboxPubsub(Arc<Inner>);

struct Inner {
    clock: SharedClock,
    faults: Faults,
    outbox: Outbox,
    /// Key that push tokens are signed with; without one, there are no push subscriptions with a token.
    signer: Option<Signer>,
    data: Mutex<Data>,
    published: Notify,
}

/// Key of the issuer of push tokens.
pub struct Signer {
    /// Private key.
    pub key: RsaKeyPair,
    /// ID of the key in the issuer's key set.
    pub kid: String,
}

#[derive(Default)]
struct Data {
    topics: BTreeSet<String>,
    subscriptions: BTreeMap<String, Subscription>,
    /// Names of topics and subscriptions that no caller may use.
    denied: BTreeSet<String>,
    next_id: u64,
}

struct Subscription {
    topic: String,
    ack_deadline: TimeDelta,
    push: Option<Push>,
    messages: Vec<Stored>,
}

#[derive(Clone)]
struct Push {
    endpoint: Url,
    /// Email address and audience of the token.
    token: Option<(String, String)>,
}

struct Stored {
    ack_id: String,
    message: Value,
    /// End of the acknowledgement deadline, once the message was delivered.
    leased_until: Option<DateTime<Utc>>,
}

type Answer = Result<Value, (StatusCode, String)>;

fn refuse(status: StatusCode, message: impl Into<String>) -> Answer {
    Err((status, message.into()))
}

impl SandboxPubsub {
    /// Creates a Pub/Sub without topics.
    pub fn new(clock: SharedClock, signer: Option<Signer>) -> Self {
        let faults = Faults::default();
        Self(Arc::new(Inner {
            clock: faults.clock(clock),
            faults,
            outbox: Outbox::default(),
            signer,
            data: Mutex::default(),
            published: Notify::new(),
        }))
    }

    /// Returns the faults that make the API, and its pushes, misbehave.
    pub fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// Returns the routes of the API and of the steering.
    pub fn router(&self) -> Router {
        let api = Router::new().route("/v1/{*path}", any(api)).with_state(self.clone());
        Faults::dated(self.faults().wrap(api, error_body), Arc::clone(&self.0.clock))
    }

    /// Denies every caller a topic or a subscription, or allows it again.
    pub fn deny(&self, name: &str, denied: bool) {
        let mut data = self.lock();
        if denied {
            data.denied.insert(name.to_owned());
        } else {
            data.denied.remove(name);
        }
    }

    /// Number of messages that a subscription has not had acknowledged. Zero if it does not exist.
    pub fn backlog(&self, subscription: &str) -> usize {
        self.lock().subscriptions.get(subscription).map_or(0, |subscription| subscription.messages.len())
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.0.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, method: &Method, path: &str, body: &[u8]) -> Answer {
        let input: Value = if body.iter().all(u8::is_ascii_whitespace) {
            json!({})
        } else {
            serde_json::from_slice(body)
                .map_err(|_| (StatusCode::BAD_REQUEST, "Invalid JSON payload received.".to_owned()))?
        };
        let (name, verb) = match path.rsplit_once(':') {
            Some((name, verb)) if !verb.contains('/') => (name, Some(verb)),
            Some(_) | None => (path, None),
        };
        let parts: Vec<&str> = name.split('/').collect();
        let &["projects", _, collection @ ("topics" | "subscriptions"), _] = parts.as_slice() else {
            return refuse(StatusCode::NOT_FOUND, "Method not found.");
        };
        if verb == Some("testIamPermissions") {
            return Ok(self.test_permissions(name, &input));
        }
        if self.lock().denied.contains(name) {
            return refuse(
                StatusCode::FORBIDDEN,
                format!("User not authorized to perform this action on {name}."),
            );
        }
        match (collection, method.as_str(), verb) {
            ("topics", "PUT", None) => self.create_topic(name),
            ("topics", "GET", None) => self.topic(name).map(|()| json!({ "name": name })),
            ("topics", "DELETE", None) => self.delete_topic(name),
            ("topics", "POST", Some("publish")) => self.publish(name, &input),
            ("subscriptions", "PUT", None) => self.create_subscription(name, &input),
            ("subscriptions", "GET", None) => self.show(name),
            ("subscriptions", "DELETE", None) => match self.lock().subscriptions.remove(name) {
                Some(_) => Ok(json!({})),
                None => no_such(name),
            },
            ("subscriptions", "POST", Some("pull")) => self.pull(name, &input).await,
            ("subscriptions", "POST", Some("acknowledge")) => self.acknowledge(name, &input),
            ("subscriptions", "POST", Some("modifyAckDeadline")) => self.modify(name, &input),
            _ => refuse(StatusCode::NOT_FOUND, "Method not found."),
        }
    }

    /// Answers with the permissions that the caller has: "if the resource does not exist, this will return an empty set of permissions".
    fn test_permissions(&self, name: &str, input: &Value) -> Value {
        let data = self.lock();
        let exists = data.topics.contains(name) || data.subscriptions.contains_key(name);
        if exists && !data.denied.contains(name) {
            json!({ "permissions": input["permissions"] })
        } else {
            json!({})
        }
    }

    fn topic(&self, name: &str) -> Result<(), (StatusCode, String)> {
        if self.lock().topics.contains(name) { Ok(()) } else { no_such(name).map(drop) }
    }

    fn create_topic(&self, name: &str) -> Answer {
        if self.lock().topics.insert(name.to_owned()) {
            Ok(json!({ "name": name }))
        } else {
            refuse(StatusCode::CONFLICT, format!("Resource already exists in the project (resource={name})."))
        }
    }

    /// Deletes a topic. Its subscriptions stay, with the topic `_deleted-topic_`.
    fn delete_topic(&self, name: &str) -> Answer {
        let mut data = self.lock();
        if !data.topics.remove(name) {
            return no_such(name);
        }
        for subscription in data.subscriptions.values_mut().filter(|known| known.topic == name) {
            DELETED_TOPIC.clone_into(&mut subscription.topic);
        }
        Ok(json!({}))
    }

    fn create_subscription(&self, name: &str, input: &Value) -> Answer {
        let topic = input["topic"].as_str().unwrap_or_default();
        self.topic(topic)?;
        let push = match input.pointer("/pushConfig/pushEndpoint").and_then(Value::as_str) {
            None | Some("") => None,
            Some(endpoint) => {
                let Ok(endpoint) = endpoint.parse() else {
                    return refuse(StatusCode::BAD_REQUEST, "Invalid push endpoint given.");
                };
                let text = |name: &str| {
                    let value = input.pointer(&format!("/pushConfig/oidcToken/{name}"));
                    value.and_then(Value::as_str).map(str::to_owned)
                };
                // The audience is the endpoint's address unless one is given.
                let audience = text("audience").unwrap_or_else(|| String::from(Url::as_str(&endpoint)));
                Some(Push { token: text("serviceAccountEmail").map(|email| (email, audience)), endpoint })
            }
        };
        if push.as_ref().is_some_and(|push| push.token.is_some()) && self.0.signer.is_none() {
            return refuse(StatusCode::NOT_IMPLEMENTED, "this sandbox has no key to sign tokens with");
        }
        let seconds =
            input["ackDeadlineSeconds"].as_i64().filter(|seconds| *seconds > 0).unwrap_or(ACK_DEADLINE);
        let mut data = self.lock();
        if data.subscriptions.contains_key(name) {
            return refuse(
                StatusCode::CONFLICT,
                format!("Resource already exists in the project (resource={name})."),
            );
        }
        let ack_deadline = TimeDelta::seconds(seconds);
        let subscription = Subscription { topic: topic.to_owned(), ack_deadline, push, messages: Vec::new() };
        data.subscriptions.insert(name.to_owned(), subscription);
        drop(data);
        self.show(name)
    }

    fn show(&self, name: &str) -> Answer {
        let data = self.lock();
        let Some(subscription) = data.subscriptions.get(name) else { return no_such(name) };
        let mut push = Map::new();
        if let Some(Push { endpoint, token }) = &subscription.push {
            push.insert("pushEndpoint".to_owned(), json!(endpoint.as_str()));
            if let Some((email, audience)) = token {
                push.insert(
                    "oidcToken".to_owned(),
                    json!({ "serviceAccountEmail": email, "audience": audience }),
                );
            }
        }
        Ok(json!({
            "name": name,
            "topic": subscription.topic,
            "pushConfig": push,
            "ackDeadlineSeconds": subscription.ack_deadline.num_seconds(),
            "state": "ACTIVE",
        }))
    }

    fn publish(&self, topic: &str, input: &Value) -> Answer {
        self.topic(topic)?;
        let Some(messages) = input["messages"].as_array().filter(|messages| !messages.is_empty()) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                "The value for message_count is too small. You passed 0.",
            );
        };
        let now = self.0.clock.now();
        let mut ids = Vec::new();
        for given in messages {
            if given["data"].as_str().is_none_or(str::is_empty)
                && given["attributes"].as_object().is_none_or(Map::is_empty)
            {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    "Some of the messages have neither data nor attributes.",
                );
            }
            let mut data = self.lock();
            data.next_id += 1;
            let id = data.next_id.to_string();
            let mut message = json!({
                "messageId": id,
                "publishTime": now.to_rfc3339_opts(SecondsFormat::Millis, true),
            });
            for field in ["data", "attributes", "orderingKey"] {
                if let Some(value) = given.get(field) {
                    message[field] = value.clone();
                }
            }
            let mut pushes = Vec::new();
            for (name, subscription) in
                data.subscriptions.iter_mut().filter(|(_, known)| known.topic == topic)
            {
                match &subscription.push {
                    Some(push) => pushes.push((name.clone(), push.clone())),
                    None => subscription.messages.push(Stored {
                        ack_id: format!("{name}#{id}"),
                        message: message.clone(),
                        leased_until: None,
                    }),
                }
            }
            drop(data);
            for (name, push) in pushes {
                self.push(&name, &push, &message);
            }
            ids.push(id);
        }
        self.0.published.notify_waiters();
        Ok(json!({ "messageIds": ids }))
    }

    /// Sends a message to a push endpoint. Names in `snake_case` stand beside those in `camelCase`, as documented.
    fn push(&self, subscription: &str, push: &Push, message: &Value) {
        let mut message = message.clone();
        message["message_id"] = message["messageId"].clone();
        message["publish_time"] = message["publishTime"].clone();
        let body = json!({ "message": message, "subscription": subscription }).to_string();
        let headers = |genuine: bool| {
            let token =
                push.token.as_ref().and_then(|(email, audience)| self.token(email, audience, genuine));
            token.into_iter().map(|token| ("Authorization", format!("Bearer {token}"))).collect()
        };
        let parcel = Parcel {
            url: push.endpoint.clone(),
            headers: headers(true),
            forged: headers(false),
            body,
            told: None,
        };
        self.0.outbox.send(&self.0.faults, parcel);
    }

    /// Makes the token of a push request ("Authenticate push subscriptions", JWT format). One that is not genuine has claims that the key
    /// has not signed.
    fn token(&self, email: &str, audience: &str, genuine: bool) -> Option<String> {
        let Signer { key, kid } = self.0.signer.as_ref()?;
        let now = self.0.clock.now().timestamp();
        let claims = |audience: &str| {
            json!({
                "aud": audience, "azp": "113774264463038321964", "email": email, "email_verified": true,
                "exp": now + 3600, "iat": now, "iss": "https://accounts.google.com", "sub": "113774264463038321964",
            })
        };
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = encode(&json!({ "alg": "RS256", "kid": kid, "typ": "JWT" }));
        let signed = if genuine { claims(audience) } else { claims("https://somebody.else.example") };
        let mut signature = vec![0; key.public().modulus_len()];
        let content = format!("{head}.{}", encode(&signed));
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content.as_bytes(), &mut signature).ok()?;
        Some(format!("{head}.{}.{}", encode(&claims(audience)), URL_SAFE_NO_PAD.encode(signature)))
    }

    async fn pull(&self, name: &str, input: &Value) -> Answer {
        let most = input["maxMessages"].as_u64().and_then(|most| usize::try_from(most).ok());
        let Some(most) = most.filter(|most| *most > 0) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                "You have passed an invalid argument to the service (max_messages).",
            );
        };
        let waits = if input["returnImmediately"] == true { Duration::ZERO } else { PULL_WAITS };
        let end = tokio::time::Instant::now() + waits;
        loop {
            let published = self.0.published.notified();
            let received = self.receive(name, most)?;
            if !received.is_empty() {
                return Ok(json!({ "receivedMessages": received }));
            }
            if tokio::time::timeout_at(end, published).await.is_err() {
                return Ok(json!({}));
            }
        }
    }

    /// Returns the messages that are due, and leases them.
    fn receive(&self, name: &str, most: usize) -> Result<Vec<Value>, (StatusCode, String)> {
        let now = self.0.clock.now();
        let mut data = self.lock();
        let Some(subscription) = data.subscriptions.get_mut(name) else {
            return no_such(name).map(|_| Vec::new());
        };
        if subscription.push.is_some() {
            let why = "Pull cannot be called on a subscription with a push configuration.";
            return Err((StatusCode::BAD_REQUEST, why.to_owned()));
        }
        let until = now + subscription.ack_deadline;
        let due = subscription
            .messages
            .iter_mut()
            .filter(|stored| stored.leased_until.is_none_or(|end| end <= now));
        Ok(due
            .take(most)
            .map(|stored| {
                stored.leased_until = Some(until);
                json!({ "ackId": stored.ack_id, "message": stored.message })
            })
            .collect())
    }

    fn acknowledge(&self, name: &str, input: &Value) -> Answer {
        self.each(name, input, |subscription, ids| {
            subscription.messages.retain(|stored| !ids.contains(&stored.ack_id.as_str()));
        })
    }

    fn modify(&self, name: &str, input: &Value) -> Answer {
        let until =
            self.0.clock.now() + TimeDelta::seconds(input["ackDeadlineSeconds"].as_i64().unwrap_or(0));
        self.each(name, input, |subscription, ids| {
            for stored in &mut subscription.messages {
                if ids.contains(&stored.ack_id.as_str()) {
                    stored.leased_until = Some(until);
                }
            }
        })
    }

    fn each(&self, name: &str, input: &Value, change: impl FnOnce(&mut Subscription, &[&str])) -> Answer {
        let mut data = self.lock();
        let Some(subscription) = data.subscriptions.get_mut(name) else { return no_such(name) };
        let Some(ids) = input["ackIds"].as_array().filter(|ids| !ids.is_empty()) else {
            return refuse(StatusCode::BAD_REQUEST, "No ack ids specified.");
        };
        let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
        change(subscription, &ids);
        Ok(json!({}))
    }
}

fn no_such(name: &str) -> Answer {
    refuse(StatusCode::NOT_FOUND, format!("Resource not found (resource={name})."))
}

async fn api(
    State(sandbox): State<SandboxPubsub>,
    method: Method,
    Path(path): Path<String>,
    body: Bytes,
) -> Response {
    let (status, text) = match sandbox.answer(&method, &path, &body).await {
        Ok(value) => (StatusCode::OK, value.to_string()),
        Err((status, message)) => (status, error_body(status, &message)),
    };
    (status, [(header::CONTENT_TYPE, "application/json; charset=UTF-8")], text).into_response()
}
