//! Messages of Jira's webhooks.
//!
//! Sources: "Webhooks", developer.atlassian.com/cloud/jira/platform/webhooks, with "Secure admin webhooks" (`X-Hub-Signature`), and
//! "Managing webhooks", confluence.atlassian.com/adminjiraserver (November 2026). Jira Automation's action "Send web request" cannot sign: it
//! sends the secret in a header.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use crate::cases::{Hint, Refusal};
use crate::crm::Message;
use crate::crm::webhook::{hint_about, id};

#[derive(Deserialize)]
struct Event {
    /// Time of the event, in milliseconds since 1970.
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default)]
    issue: Option<Named>,
    #[serde(default)]
    comment: Option<Named>,
    #[serde(default)]
    user: Option<User>,
}

/// Issue or comment, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    author: Option<User>,
    #[serde(default)]
    update_author: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(default)]
    account_id: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl User {
    /// Returns the ID of the user: the account's on Cloud, the key or the name on Data Center.
    fn id(self) -> Option<String> {
        self.account_id.or(self.key).or(self.name)
    }
}

/// Verifies a message, and reads it. An event without an issue, as that of an attachment is, names no case.
pub(super) fn read(message: &Message<'_>) -> Result<Vec<Hint>, Refusal> {
    let Some(signed) = message.hub_signature() else { return message.own_format() };
    signed?;
    let event: Event = message.json()?;
    message.recent(event.timestamp.and_then(DateTime::from_timestamp_millis))?;
    let Some(issue) = event.issue else { return Ok(Vec::new()) };
    let issue = id(issue.id.as_ref()).ok_or(Refusal::Malformed("the issue has no ID"))?;
    let (comment, author) = match event.comment {
        Some(comment) => (id(comment.id.as_ref()), comment.update_author.or(comment.author)),
        None => (None, None),
    };
    hint_about(&issue, comment, event.user.or(author).and_then(User::id))
}
