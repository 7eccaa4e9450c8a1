//! Email messages, and the feed of a case: `cases.showFeed` of v2beta, as its definition describes it
//! (<https://github.com/googleapis/googleapis/tree/master/google/cloud/support/v2beta>, read on 30 November 2026).
//!
//! Left out: deleted attachments, of which the sandbox keeps nothing. Assumed, since it is not documented: a message is no comment; it moves
//! its case's `updateTime` ([`Switches::emails_move_update_time`](super::Switches)), and is published as a change of the case.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::{CaseName, Parameters, listed};
use super::model::{Attachment, Author, Comment};
use super::wire::{self, ApiError, Output};
use super::{Moves, SandboxCsapi, SandboxError};

/// Address that customers reply to.
const SUPPORT: &str = "support@sandbox.example";

/// Email that was received in reply to a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailMessage {
    /// Last part of the resource name. Messages are counted apart from other items, so that one may have the ID of a comment of its case.
    pub id: String,
    /// Sender.
    pub author: Author,
    /// Subject.
    pub subject: String,
    /// Plain text of the body.
    pub text: String,
    /// Time of creation; no two items of a case have the same time.
    pub created_at: DateTime<Utc>,
}

/// Item of a feed.
#[derive(Clone, Copy)]
enum Item<'a> {
    Comment(&'a Comment),
    Attachment(&'a Attachment),
    Email(&'a EmailMessage),
}

impl Item<'_> {
    const fn created_at(&self) -> DateTime<Utc> {
        match self {
            Self::Comment(comment) => comment.created_at,
            Self::Attachment(attachment) => attachment.created_at,
            Self::Email(email) => email.created_at,
        }
    }

    fn shown(&self, case_name: &str) -> Value {
        let (field, value) = match self {
            Self::Comment(comment) => ("comment", wire::comment(comment, case_name)),
            Self::Attachment(attachment) => ("attachment", wire::attachment(attachment, case_name)),
            Self::Email(email) => ("emailMessage", shown(email, case_name)),
        };
        Output::default().set(field, value).set("eventTime", wire::time(self.created_at())).done()
    }
}

fn shown(email: &EmailMessage, case_name: &str) -> Value {
    let content = Output::default().set("plainText", email.text.as_str()).done();
    Output::default()
        .set("name", format!("{case_name}/emailMessages/{}", email.id))
        .set("createTime", wire::time(email.created_at))
        .set("actor", wire::actor(&email.author))
        .set("subject", email.subject.as_str())
        .set("recipientEmailAddresses", vec![SUPPORT])
        .set("bodyContent", content)
        .done()
}

impl SandboxCsapi {
    /// Receives an email in reply to a case.
    pub fn receive_email(
        &self,
        case: &str,
        author: Author,
        subject: &str,
        text: &str,
    ) -> Result<EmailMessage, SandboxError> {
        self.change(case, Moves::Email, |record, at| {
            Ok(record.add_email(author, subject.to_owned(), text.to_owned(), at))
        })
    }

    /// Returns the emails of a case, oldest first.
    pub fn emails(&self, case: &str) -> Result<Vec<EmailMessage>, SandboxError> {
        self.look(case, |record| record.emails.clone())
    }

    /// Executes `cases.showFeed`.
    pub(super) fn show_feed(&self, case: &CaseName, parameters: &Parameters) -> Result<Value, ApiError> {
        let newest_first = is_newest_first(parameters.text("orderBy"))?;
        self.with_case(case, |record, name, data| {
            let mut items: Vec<Item<'_>> = record.comments.iter().map(Item::Comment).collect();
            items.extend(record.attachments.iter().map(Item::Attachment));
            items.extend(record.emails.iter().map(Item::Email));
            items.sort_by_key(Item::created_at);
            if newest_first {
                items.reverse();
            }
            if data.switches.no_support_plan {
                items.clear();
            }
            let listing = format!("feed {} {newest_first}", record.number);
            listed(&listing, "feedItems", &items, parameters, &data.switches, |item| item.shown(name))
        })?
    }
}

/// Reads `orderBy`: `creation_time`, then `asc` (the default) or `desc`, in any case and with any blanks.
fn is_newest_first(order_by: &str) -> Result<bool, ApiError> {
    let order_by = order_by.to_lowercase();
    match order_by.split_whitespace().collect::<Vec<_>>()[..] {
        [] | ["creation_time"] | ["creation_time", "asc"] => Ok(false),
        ["creation_time", "desc"] => Ok(true),
        _ => Err(ApiError::invalid(format!("Invalid order_by: {order_by}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_ordered_by_creation_time_only() {
        for (text, newest_first) in [
            ("", Some(false)),
            ("creation_time", Some(false)),
            ("creation_time asc", Some(false)),
            (" Creation_Time   DESC ", Some(true)),
            ("update_time desc", None),
            ("creation_time down", None),
        ] {
            assert_eq!(is_newest_first(text).ok(), newest_first, "{text:?}");
        }
    }
}
