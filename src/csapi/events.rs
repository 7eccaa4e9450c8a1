//! Subscriptions to the events of an organisation's cases (`organizations.supportEventSubscriptions`), which CSAPI publishes to a Pub/Sub
//! topic.
//!
//! Source: discovery document, revision 20260927. It does not say what a message holds, and which role the calls take.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Csapi;
use crate::cases::{ApiError, ApiErrorKind, Finding, Trouble, shorten};
use crate::outbound::{Body, Call};

/// Account that publishes the events.
const PUBLISHER: &str = "cloud-support-apievents@system.gserviceaccount.com";
/// Collection in the paths.
pub(super) const COLLECTION: &str = "supportEventSubscriptions";

/// Expectation about the event subscriptions, for the check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventSettings {
    /// Topic that the events have to be published to; `None`: any.
    pub topic: Option<String>,
}

/// State of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// Events are published.
    Working,
    /// Events cannot be published.
    Failing,
    /// Deleted, and not purged yet.
    Deleted,
    /// A state that this version does not know.
    Unknown,
}

/// Event subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSubscription {
    /// Full name: `organizations/N/supportEventSubscriptions/ID`.
    pub name: String,
    /// Topic: `projects/P/topics/T`.
    pub topic: String,
    /// State.
    pub state: EventState,
    /// Google's word for the reason of a failure.
    pub failure: Option<String>,
    /// Time at which a deleted subscription is purged.
    pub purged_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    name: String,
    #[serde(default)]
    pub_sub_topic: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    purge_time: Option<DateTime<Utc>>,
}

impl From<Wire> for EventSubscription {
    fn from(wire: Wire) -> Self {
        let state = match wire.state.as_str() {
            "WORKING" => EventState::Working,
            "FAILING" => EventState::Failing,
            "DELETED" => EventState::Deleted,
            _ => EventState::Unknown,
        };
        Self {
            name: shorten(&wire.name),
            topic: shorten(&wire.pub_sub_topic),
            state,
            failure: wire.failure_reason.map(|reason| shorten(&reason)),
            purged_at: wire.purge_time,
        }
    }
}

/// Change of the event subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventChange {
    /// Creates a subscription for the topic.
    Create(String),
    /// Restores a deleted one.
    Undelete(String),
    /// Lets an existing one publish to another topic: its name, and the topic.
    Repoint(String, String),
    /// Deletes one; it can be restored until Google purges it.
    Delete(String),
    /// Removes a deleted one at once.
    Expunge(String),
}

impl std::fmt::Display for EventChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create(topic) => write!(f, "create an event subscription that publishes to {topic}"),
            Self::Undelete(name) => write!(f, "restore the deleted event subscription {name}"),
            Self::Repoint(name, topic) => write!(f, "let the event subscription {name} publish to {topic}"),
            Self::Delete(name) => write!(f, "delete the event subscription {name}"),
            Self::Expunge(name) => write!(f, "remove the event subscription {name} for good"),
        }
    }
}

impl Csapi {
    /// Lists the organisation's event subscriptions, also the deleted ones.
    pub async fn event_subscriptions(&self) -> Result<Vec<EventSubscription>, ApiError> {
        let path = self.subscriptions_path()?;
        let mut found = Vec::new();
        self.each(&path, &[("showDeleted", "true")], COLLECTION, |value| {
            found.push(serde_json::from_value::<Wire>(value).map(EventSubscription::from));
        })
        .await?;
        let found: Result<_, _> = found.into_iter().collect();
        found.map_err(|error| {
            self.upstream.error(ApiErrorKind::Unreadable, &format!("GET {path}"), error.to_string())
        })
    }

    /// Makes a change. One whose answer was lost is seen by the next [`event_subscriptions`](Self::event_subscriptions).
    pub async fn change_events(&self, change: &EventChange) -> Result<(), ApiError> {
        let named = |name: &str| self.subscription_path(name);
        let topic = |topic: &str| json!({ "pubSubTopic": topic });
        let call = match change {
            EventChange::Create(to) => Call::post(self.subscriptions_path()?, topic(to)),
            EventChange::Undelete(name) => Call::post(format!("{}:undelete", named(name)?), json!({})),
            EventChange::Repoint(name, to) => Call::new(Method::PATCH, named(name)?)
                .query("updateMask", "pub_sub_topic")
                .body(Body::Json(topic(to))),
            EventChange::Delete(name) => Call::new(Method::DELETE, named(name)?),
            EventChange::Expunge(name) => Call::post(format!("{}:expunge", named(name)?), json!({})),
        };
        self.upstream.write::<Value>(call).await.map(drop)
    }

    /// Judges the event subscriptions as they are.
    pub(super) async fn events_finding(&self, expected: &EventSettings) -> Finding {
        match self.event_subscriptions().await {
            Ok(all) => judge(&all, expected.topic.as_deref()),
            // Messages may arrive all the same: somebody else may have made the subscription.
            Err(error) if error.kind == ApiErrorKind::Unsupported || error.status == Some(403) => {
                let hint = error.hint.clone().unwrap_or_else(|| "docs/push.md says who makes it".to_owned());
                Err(Trouble::warning(error.without_hint(), hint))
            }
            Err(error) => Err((&error).into()),
        }
    }

    fn subscriptions_path(&self) -> Result<String, ApiError> {
        let parent = &self.settings.parent;
        if parent.starts_with("organizations/") {
            return Ok(format!("/v2/{parent}/{COLLECTION}"));
        }
        let message = format!(
            "only an organisation has event subscriptions, and google.parent is {parent}: an administrator of the organisation makes the \
             subscription, and messages about other projects lead to a poll at most"
        );
        Err(self.upstream.error(ApiErrorKind::Unsupported, "event subscriptions", message))
    }

    /// Returns the path of a subscription. Its name comes from an answer, so it is checked before it becomes part of an address.
    fn subscription_path(&self, name: &str) -> Result<String, ApiError> {
        let path = self.subscriptions_path()?;
        let id = format!("/v2/{name}").strip_prefix(&format!("{path}/")).map(str::to_owned);
        let is_id = |id: &String| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        id.filter(is_id).map(|id| format!("{path}/{id}")).ok_or_else(|| {
            let message = format!("{} is no name of an event subscription of google.parent", shorten(name));
            self.upstream.error(ApiErrorKind::Refused, "event subscription", message)
        })
    }
}

/// Returns the subscriptions for the topic, the most useful first: working, failing, deleted.
#[must_use]
pub fn for_topic<'a>(all: &'a [EventSubscription], topic: Option<&str>) -> Vec<&'a EventSubscription> {
    let mut found: Vec<_> =
        all.iter().filter(|known| topic.is_none_or(|topic| known.topic == topic)).collect();
    found.sort_by_key(|known| match known.state {
        EventState::Working => 0,
        EventState::Failing => 1,
        EventState::Unknown => 2,
        EventState::Deleted => 3,
    });
    found
}

/// Returns the changes that make a subscription publish to the topic. Empty if there is one; its failure is not cured by a change here.
/// `replaced` names a subscription to be used for it in place of a new one.
#[must_use]
pub fn changes_to_enable(all: &[EventSubscription], topic: &str, replaced: Option<&str>) -> Vec<EventChange> {
    match (for_topic(all, Some(topic)).first(), replaced) {
        (Some(known), _) if known.state == EventState::Deleted => {
            vec![EventChange::Undelete(known.name.clone())]
        }
        (Some(_), _) => Vec::new(),
        (None, Some(name)) => vec![EventChange::Repoint(name.to_owned(), topic.to_owned())],
        (None, None) => vec![EventChange::Create(topic.to_owned())],
    }
}

/// Returns the changes after which nothing publishes to the topic. Subscriptions to other topics belong to somebody else.
#[must_use]
pub fn changes_to_disable(all: &[EventSubscription], topic: &str, for_good: bool) -> Vec<EventChange> {
    let mut changes = Vec::new();
    for known in for_topic(all, Some(topic)) {
        if known.state != EventState::Deleted {
            changes.push(EventChange::Delete(known.name.clone()));
        }
        if for_good {
            changes.push(EventChange::Expunge(known.name.clone()));
        }
    }
    changes
}

/// Judges the subscriptions for a topic, or those for any.
pub fn judge(all: &[EventSubscription], topic: Option<&str>) -> Finding {
    let found = for_topic(all, topic);
    let wanted = topic.map_or_else(String::new, |topic| format!(" to {topic}"));
    let Some(best) = found.first() else {
        return Err(Trouble::failed(
            format!("no event subscription publishes{wanted}, so Google sends no messages"),
            "`casebridge push enable google` makes it",
        ));
    };
    let EventSubscription { name, topic, failure, purged_at, .. } = best;
    match best.state {
        EventState::Working => {
            let live = found.iter().filter(|known| known.state != EventState::Deleted).count();
            if live > 1
                && found.iter().all(|known| known.topic == *topic || known.state == EventState::Deleted)
            {
                let hint = format!("keep one of them: {}", names(&found));
                return Err(Trouble::warning(
                    format!("{live} subscriptions publish each event to {topic}"),
                    hint,
                ));
            }
            Ok(format!("{name} publishes to {topic}"))
        }
        EventState::Failing => Err(Trouble::failed(
            format!("{name} is failing: {}", reason(failure.as_deref(), topic)),
            cure(failure.as_deref(), topic),
        )),
        EventState::Deleted => {
            let until = purged_at.map(|at| format!(" (until {})", at.format("%F"))).unwrap_or_default();
            Err(Trouble::failed(
                format!("{name} is deleted, so Google sends no messages"),
                format!("`casebridge push enable google` restores it{until}"),
            ))
        }
        EventState::Unknown => Err(Trouble::warning(
            format!("{name} is in a state that this version does not know"),
            "look at it in Google's documentation of supportEventSubscriptions",
        )),
    }
}

fn names(found: &[&EventSubscription]) -> String {
    found.iter().map(|known| known.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Explains Google's word for the reason of a failure.
fn reason(failure: Option<&str>, topic: &str) -> String {
    match failure {
        Some("PERMISSION_DENIED") => format!("{PUBLISHER} may not publish to {topic}"),
        Some("TOPIC_NOT_FOUND") => format!("{topic} does not exist"),
        Some("OTHER") => "a fault of Google's own".to_owned(),
        Some(other) => other.to_owned(),
        None => "Google gives no reason".to_owned(),
    }
}

/// Returns what cures a failure. Google publishes again by itself afterwards (assumed: the state follows the next event).
fn cure(failure: Option<&str>, topic: &str) -> String {
    let mut parts = topic.split('/').skip(1).step_by(2);
    let (project, id) = (parts.next().unwrap_or("PROJECT"), parts.next().unwrap_or("TOPIC"));
    let grant = format!(
        "`gcloud pubsub topics add-iam-policy-binding {id} --project={project} --member=serviceAccount:{PUBLISHER} \
         --role=roles/pubsub.publisher`"
    );
    match failure {
        Some("PERMISSION_DENIED") => grant,
        Some("TOPIC_NOT_FOUND") => format!(
            "`gcloud pubsub topics create {id} --project={project}`, then {grant}; a subscription of the deleted topic has to be made anew"
        ),
        Some(_) | None => {
            "if it lasts, `casebridge push disable google` and `casebridge push enable google`, then Google's support".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "projects/p/topics/case-events";

    fn subscription(id: &str, topic: &str, state: EventState, failure: Option<&str>) -> EventSubscription {
        EventSubscription {
            name: format!("organizations/1/supportEventSubscriptions/{id}"),
            topic: topic.to_owned(),
            state,
            failure: failure.map(str::to_owned),
            purged_at: None,
        }
    }

    #[test]
    fn enabling_makes_what_is_missing_and_nothing_else() {
        use EventState::{Deleted, Failing, Working};
        let name = |id: &str| format!("organizations/1/supportEventSubscriptions/{id}");
        let other = subscription("o", "projects/p/topics/other", Working, None);
        for (what, all, replaced, expected) in [
            ("nothing is there", vec![], None, vec![EventChange::Create(TOPIC.to_owned())]),
            ("somebody else's", vec![other.clone()], None, vec![EventChange::Create(TOPIC.to_owned())]),
            (
                "one that is named",
                vec![other.clone()],
                Some("organizations/1/supportEventSubscriptions/o"),
                vec![EventChange::Repoint(name("o"), TOPIC.to_owned())],
            ),
            ("it works", vec![subscription("a", TOPIC, Working, None)], None, vec![]),
            ("it fails", vec![subscription("a", TOPIC, Failing, Some("OTHER"))], None, vec![]),
            (
                "it is deleted",
                vec![other, subscription("a", TOPIC, Deleted, None)],
                None,
                vec![EventChange::Undelete(name("a"))],
            ),
            (
                "one is deleted and one works",
                vec![subscription("a", TOPIC, Deleted, None), subscription("b", TOPIC, Working, None)],
                None,
                vec![],
            ),
        ] {
            assert_eq!(changes_to_enable(&all, TOPIC, replaced), expected, "{what}");
        }
    }

    #[test]
    fn disabling_leaves_what_belongs_to_others() {
        use EventState::{Deleted, Working};
        let all = [
            subscription("a", TOPIC, Working, None),
            subscription("b", TOPIC, Deleted, None),
            subscription("c", "projects/p/topics/other", Working, None),
        ];
        let name = |id: &str| format!("organizations/1/supportEventSubscriptions/{id}");
        assert_eq!(changes_to_disable(&all, TOPIC, false), [EventChange::Delete(name("a"))]);
        let for_good = [
            EventChange::Delete(name("a")),
            EventChange::Expunge(name("a")),
            EventChange::Expunge(name("b")),
        ];
        assert_eq!(changes_to_disable(&all, TOPIC, true), for_good);
    }

    #[test]
    fn each_state_is_told_with_the_command_that_cures_it() {
        use EventState::{Deleted, Failing, Working};
        for (all, told) in [
            (vec![], "casebridge push enable google"),
            (vec![subscription("a", TOPIC, Working, None)], ""),
            (
                vec![subscription("a", TOPIC, Failing, Some("PERMISSION_DENIED"))],
                "add-iam-policy-binding case-events --project=p",
            ),
            (
                vec![subscription("a", TOPIC, Failing, Some("TOPIC_NOT_FOUND"))],
                "gcloud pubsub topics create case-events --project=p",
            ),
            (vec![subscription("a", TOPIC, Failing, Some("OTHER"))], "Google's own"),
            (vec![subscription("a", TOPIC, Failing, Some("NEW_REASON"))], "NEW_REASON"),
            (vec![subscription("a", TOPIC, Deleted, None)], "restores it"),
            (
                vec![subscription("a", TOPIC, Working, None), subscription("b", TOPIC, Working, None)],
                "2 subscriptions publish each event",
            ),
        ] {
            match judge(&all, Some(TOPIC)) {
                Ok(detail) => assert!(told.is_empty(), "{detail}"),
                Err(trouble) => {
                    assert!(!told.is_empty() && trouble.to_string().contains(told), "{trouble}");
                }
            }
        }
    }
}
