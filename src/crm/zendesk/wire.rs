//! Zendesk's JSON. Any field may be missing: an absent or null field gets its default. A field of another type than documented makes the
//! item unreadable.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Reason why a part of an answer was not understood. Names the place, never the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} is not {expected}")]
pub(super) struct WireError {
    place: String,
    expected: &'static str,
}

impl WireError {
    pub(super) fn new(place: impl Into<String>, expected: &'static str) -> Self {
        Self { place: place.into(), expected }
    }
}

/// A ticket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ticket {
    pub(super) id: u64,
    pub(super) subject: Option<String>,
    /// Text of the first comment.
    pub(super) description: Option<String>,
    pub(super) status: Option<String>,
    pub(super) priority: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) assignee_id: Option<u64>,
    /// User who created the ticket; the author of the first comment.
    pub(super) submitter_id: Option<u64>,
    pub(super) group_id: Option<u64>,
    pub(super) organization_id: Option<u64>,
    /// One of the account's own statuses; `status` is its category.
    pub(super) custom_status_id: Option<u64>,
    pub(super) created_at: Option<DateTime<Utc>>,
    /// `updated_at` as the server wrote it, for `updated_stamp`.
    pub(super) updated_stamp: Option<String>,
    pub(super) updated_at: Option<DateTime<Utc>>,
    tags: Vec<String>,
    custom_fields: HashMap<u64, Value>,
}

/// Tag of a ticket that was merged into another one (*Merging tickets*, support.zendesk.com).
const CLOSED_BY_MERGE: &str = "closed_by_merge";

impl Ticket {
    pub(super) fn read(value: &Value) -> Result<Self, WireError> {
        let object = value.as_object().ok_or_else(|| WireError::new("the ticket", "an object"))?;
        let id = number(object, "id").ok_or_else(|| WireError::new("the ticket's id", "a number"))?;
        let custom_fields = match object.get("custom_fields") {
            None | Some(Value::Null) => HashMap::new(),
            Some(Value::Array(fields)) => fields
                .iter()
                .filter_map(|field| Some((field.get("id")?.as_u64()?, field.get("value")?.clone())))
                .collect(),
            Some(_) => return Err(WireError::new("custom_fields", "a list")),
        };
        Ok(Self {
            id,
            subject: text(object, "subject")?,
            description: text(object, "description")?,
            status: text(object, "status")?,
            priority: text(object, "priority")?,
            external_id: text(object, "external_id")?,
            assignee_id: number(object, "assignee_id"),
            submitter_id: number(object, "submitter_id"),
            group_id: number(object, "group_id"),
            organization_id: number(object, "organization_id"),
            custom_status_id: number(object, "custom_status_id"),
            created_at: time(object, "created_at")?,
            updated_stamp: text(object, "updated_at")?,
            updated_at: time(object, "updated_at")?,
            tags: object
                .get("tags")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|tag| tag.as_str().map(str::to_owned))
                .collect(),
            custom_fields,
        })
    }

    /// Describes a ticket that could not be read by its ID, if it has one.
    pub(super) fn label(value: &Value) -> String {
        match value.get("id").and_then(Value::as_u64) {
            Some(id) => format!("ticket {id}"),
            None => "ticket without an ID".to_owned(),
        }
    }

    /// True if the ticket is solved or closed. Custom statuses have one of the documented ones as their category.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.status.as_deref(), Some("solved" | "closed"))
    }

    /// True if the ticket is closed, which is final.
    pub(super) fn is_closed(&self) -> bool {
        self.status.as_deref() == Some("closed")
    }

    /// True if the ticket was merged into another one. A merge closes a ticket at once; a ticket that was reopened, or a follow-up ticket,
    /// may still have the tag.
    pub(super) fn is_merged(&self) -> bool {
        self.is_closed() && self.tags.iter().any(|tag| tag == CLOSED_BY_MERGE)
    }

    /// Returns the names of the status that the ticket itself has: the system status, and the ID of the account's own.
    pub(super) fn status_names(&self) -> Vec<String> {
        let id = self.custom_status_id.map(|id| id.to_string());
        self.status.iter().cloned().chain(id).collect()
    }

    /// True if a checkbox field is on.
    pub(super) fn is_checked(&self, field: u64) -> bool {
        match self.custom_fields.get(&field) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => text == "true" || text == "1",
            _ => false,
        }
    }

    /// Returns a text field, trimmed. `None` if it is empty or absent.
    pub(super) fn line(&self, field: u64) -> Option<&str> {
        self.custom_fields.get(&field)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }
}

/// A comment of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) author_id: Option<u64>,
    pub(super) body: Option<String>,
    pub(super) html_body: Option<String>,
    pub(super) plain_body: Option<String>,
    /// True if the requester sees the comment (`R29`: private until shown to be public). `None` if the marker is absent or unknown.
    pub(super) public: Option<bool>,
    pub(super) via: Via,
    pub(super) created_at: Option<DateTime<Utc>>,
    /// Each is read on its own; one that cannot be read is an error of its own.
    pub(super) attachments: Vec<Result<Attachment, WireError>>,
}

impl Comment {
    pub(super) fn read(value: &Value) -> Result<Self, WireError> {
        let object = value.as_object().ok_or_else(|| WireError::new("the comment", "an object"))?;
        let id = number(object, "id").ok_or_else(|| WireError::new("the comment's id", "a number"))?;
        let attachments = match object.get("attachments") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.iter().map(Attachment::read).collect(),
            Some(_) => return Err(WireError::new("attachments", "a list")),
        };
        Ok(Self {
            id,
            author_id: number(object, "author_id"),
            body: text(object, "body")?,
            html_body: text(object, "html_body")?,
            plain_body: text(object, "plain_body")?,
            public: object.get("public").and_then(Value::as_bool),
            via: Via::read(object.get("via")),
            created_at: time(object, "created_at")?,
            attachments,
        })
    }
}

/// Origin of a comment, as far as it concerns merges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Via {
    /// True if the comment is about a merge.
    pub(super) merge: bool,
    /// Tickets that the comment comes from, according to Zendesk.
    pub(super) from: Vec<u64>,
}

impl Via {
    /// Reads the origin. "Via types" lists `merge`, number 19, as a channel. In exports of tickets, `source.rel` says so instead, and
    /// `source.from.ticket_ids` lists the tickets; neither is in "Via object reference" (developer.zendesk.com).
    fn read(via: Option<&Value>) -> Self {
        const NUMBER: u64 = 19;
        let Some(via) = via else { return Self::default() };
        let is_merge = |value: &Value| value.as_str() == Some("merge") || value.as_u64() == Some(NUMBER);
        let merge = ["/channel", "/source/rel"].iter().any(|at| via.pointer(at).is_some_and(is_merge));
        let several = via.pointer("/source/from/ticket_ids").and_then(Value::as_array);
        let one = via.pointer("/source/from/ticket_id");
        let from = several.into_iter().flatten().chain(one).filter_map(Value::as_u64).collect();
        Self { merge, from }
    }
}

/// An attachment of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) id: u64,
    pub(super) file_name: String,
    pub(super) content_type: Option<String>,
    pub(super) content_url: Option<String>,
    pub(super) size: Option<u64>,
    /// Redacted: only a placeholder name is left.
    pub(super) deleted: bool,
    /// Zendesk found malware and refuses to deliver the file.
    pub(super) withheld: bool,
}

impl Attachment {
    pub(super) fn read(value: &Value) -> Result<Self, WireError> {
        let object = value.as_object().ok_or_else(|| WireError::new("the attachment", "an object"))?;
        let id = number(object, "id").ok_or_else(|| WireError::new("the attachment's id", "a number"))?;
        let is = |field: &str| object.get(field).and_then(Value::as_bool).unwrap_or(false);
        let malware = object.get("malware_scan_result").and_then(Value::as_str) == Some("malware_found");
        Ok(Self {
            id,
            file_name: text(object, "file_name")?.unwrap_or_default(),
            content_type: text(object, "content_type")?,
            content_url: text(object, "content_url")?,
            size: number(object, "size"),
            deleted: is("deleted"),
            withheld: malware && !is("malware_access_override"),
        })
    }
}

/// Answer to the update or creation of a ticket.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Changed {
    pub(super) ticket: Value,
    #[serde(default)]
    audit: Option<Value>,
}

/// Comment that an update added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedComment {
    pub(super) id: u64,
    pub(super) created_at: Option<DateTime<Utc>>,
    /// IDs of the attachments of the comment.
    pub(super) attachments: Vec<u64>,
}

impl Changed {
    /// Returns the comment that the update added, if it did.
    pub(super) fn comment(&self) -> Option<AddedComment> {
        let audit = self.audit.as_ref()?.as_object()?;
        let events = audit.get("events")?.as_array()?;
        let event =
            events.iter().find(|event| event.get("type").and_then(Value::as_str) == Some("Comment"))?;
        let attachments = event.get("attachments").and_then(Value::as_array);
        let ids = attachments.into_iter().flatten().filter_map(|known| known.get("id")?.as_u64());
        Some(AddedComment {
            id: event.get("id")?.as_u64()?,
            created_at: time(audit, "created_at").ok().flatten(),
            attachments: ids.collect(),
        })
    }
}

/// A page of a listing, a search or an export. The items are required, so that an answer of another kind is not taken for an empty page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(
        alias = "comments",
        alias = "results",
        alias = "tickets",
        alias = "ticket_fields",
        alias = "custom_statuses",
        alias = "groups",
        alias = "brands",
        alias = "ticket_forms",
        alias = "webhooks",
        alias = "triggers"
    )]
    pub(super) items: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) users: Vec<User>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) meta: Meta,
    /// Cursor of the next page (incremental exports).
    pub(super) after_cursor: Option<String>,
    /// True on the last page (incremental exports).
    pub(super) end_of_stream: Option<bool>,
}

/// Position of a listing's next page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    #[serde(deserialize_with = "or_default")]
    pub(super) has_more: bool,
    pub(super) after_cursor: Option<String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    /// Absent for unknown credentials, which Zendesk answers with 200.
    pub(super) id: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) role: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) only_private_comments: bool,
    /// True if a role or a restriction hides tickets from the agent.
    #[serde(deserialize_with = "or_default")]
    pub(super) restricted_agent: bool,
    /// Restriction of the tickets that the agent sees; absent if the agent sees all.
    pub(super) ticket_restriction: Option<String>,
    #[serde(deserialize_with = "or_default")]
    suspended: bool,
    /// False if the user has been deleted.
    active: Option<bool>,
    /// Kind of an agent's role, as a number.
    role_type: Option<u64>,
}

/// Role of a customer, who may not use the API's calls for agents.
const END_USER: &str = "end-user";
/// `role_type` of a light agent.
const LIGHT_AGENT: u64 = 1;

impl User {
    pub(super) fn is_end_user(&self) -> bool {
        self.role == END_USER
    }

    /// True if the user is staff: has a known role other than a customer's.
    pub(super) fn is_staff(&self) -> bool {
        matches!(self.role.as_str(), "agent" | "admin")
    }

    /// Returns the reason why no ticket can be assigned to the user.
    ///
    /// Sources: "Users" (`role`, `active`, `suspended`, `role_type`), developer.zendesk.com; "Understanding and setting light agent
    /// permissions", support.zendesk.com. That a suspended agent gets no tickets is assumed: it cannot sign in.
    pub(super) fn unassignable(&self) -> Option<&'static str> {
        if self.is_end_user() {
            Some("an end user")
        } else if self.active == Some(false) {
            Some("deleted")
        } else if self.suspended {
            Some("suspended")
        } else if self.role_type == Some(LIGHT_AGENT) {
            Some("a light agent")
        } else {
            None
        }
    }
}

/// A group, brand or ticket form, as far as their formats are the same.
///
/// Sources: "Groups" (`deleted`), "Brands" (`active`, `is_deleted`), "Ticket forms" (`active`, `deleted_at`), developer.zendesk.com.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) id: u64,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    active: Option<bool>,
    #[serde(alias = "is_deleted", deserialize_with = "or_default")]
    deleted: bool,
    deleted_at: Option<String>,
}

impl Named {
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted || self.deleted_at.is_some()
    }

    pub(super) fn is_inactive(&self) -> bool {
        self.active == Some(false)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.name)
    }
}

/// One of the account's own statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct CustomStatus {
    pub(super) id: u64,
    /// Name as agents see it.
    #[serde(deserialize_with = "or_default")]
    pub(super) agent_label: String,
    /// System status that it belongs to.
    #[serde(deserialize_with = "or_default")]
    pub(super) status_category: String,
    pub(super) active: Option<bool>,
}

/// A field of tickets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Field {
    pub(super) id: u64,
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub(super) kind: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) title: String,
    pub(super) active: Option<bool>,
    /// True if the field is required to solve a ticket.
    #[serde(deserialize_with = "or_default")]
    pub(super) required: bool,
    pub(super) removable: Option<bool>,
    /// Choices of a drop-down or multi-select field.
    #[serde(rename = "custom_field_options", default, deserialize_with = "or_default")]
    pub(super) options: Vec<FieldOption>,
}

/// Choice of a ticket field. A ticket holds its value, a tag; people see its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct FieldOption {
    pub(super) name: String,
    pub(super) value: String,
}

impl Field {
    /// Returns the mistake in a configured value ("Ticket fields", developer.zendesk.com: types of values).
    pub(super) fn mistake(&self, value: &Value) -> Option<String> {
        let choice = |value: &Value| {
            let text = value.as_str()?;
            let known = self.options.is_empty() || self.options.iter().any(|option| option.value == text);
            known.then_some(())
        };
        let (fits, wanted) = match self.kind.as_str() {
            "text" | "textarea" | "regexp" | "partialcreditcard" => (value.is_string(), "text"),
            "date" => (
                value
                    .as_str()
                    .is_some_and(|text| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()),
                "a date such as \"2026-01-31\"",
            ),
            "checkbox" => (value.is_boolean(), "true or false"),
            "integer" | "decimal" => {
                let text = value.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok());
                (value.is_number() || text, "a number")
            }
            "tagger" => (choice(value).is_some(), "the tag of one choice"),
            "multiselect" => {
                let all =
                    value.as_array().is_some_and(|values| values.iter().all(|one| choice(one).is_some()));
                (all, "a list of tags of choices")
            }
            _ => (true, ""),
        };
        if fits {
            return None;
        }
        let options: Vec<String> = self
            .options
            .iter()
            .take(20)
            .map(|option| format!("{:?} ({})", option.value, option.name))
            .collect();
        let options = if options.is_empty() { String::new() } else { format!(": {}", options.join(", ")) };
        Some(format!("{} ({}, {}) takes {wanted}{options}, not {value}", self.title, self.id, self.kind))
    }
}

/// Answer to a change of tags: all tags of the ticket.
#[derive(Debug, Deserialize)]
pub(super) struct TagsAnswer {
    pub(super) tags: Vec<String>,
}

/// Answer to an upload, `uploads`.
#[derive(Debug, Deserialize)]
pub(super) struct UploadAnswer {
    pub(super) upload: Upload,
}

/// An uploaded file that no comment refers to yet.
#[derive(Debug, Deserialize)]
pub(super) struct Upload {
    pub(super) token: String,
    #[serde(default)]
    pub(super) attachment: Option<Value>,
}

/// Reads null as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn number(object: &Map<String, Value>, field: &str) -> Option<u64> {
    object.get(field)?.as_u64()
}

fn text(object: &Map<String, Value>, field: &str) -> Result<Option<String>, WireError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(WireError::new(field, "text")),
    }
}

fn time(object: &Map<String, Value>, field: &str) -> Result<Option<DateTime<Utc>>, WireError> {
    let Some(text) = text(object, field)? else { return Ok(None) };
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Ok(Some(time.with_timezone(&Utc))),
        Err(_) => Err(WireError::new(field, "a time")),
    }
}

/// Returns the reasons why a record is not valid. Zendesk's `description` only says that a record is not valid; `details` has the reasons:
/// `{"status": [{"description": "Status: closed prevents ticket update"}]}`.
pub(super) fn error_text(value: &Value) -> Option<String> {
    let details = value.get("details")?.as_object()?;
    let texts: Vec<&str> = details
        .values()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|detail| detail.get("description")?.as_str())
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configured_value_is_compared_with_the_type_of_its_field() {
        let field = |kind: &str| -> Field {
            let options =
                json!([{"name": "Disk full", "value": "disk_full"}, {"name": "Other", "value": "other"}]);
            let options = if ["tagger", "multiselect"].contains(&kind) { options } else { Value::Null };
            let field = json!({"id": 7, "type": kind, "title": "Cause", "custom_field_options": options});
            serde_json::from_value(field).unwrap()
        };
        for (kind, right, wrong, words) in [
            ("text", json!("x"), json!(7), "Cause (7, text) takes text, not 7"),
            ("checkbox", json!(true), json!("true"), "takes true or false"),
            ("integer", json!(3), json!("three"), "takes a number"),
            ("date", json!("2026-01-31"), json!("31.1.2026"), "2026-01-31"),
            (
                "tagger",
                json!("disk_full"),
                json!("Disk full"),
                "\"disk_full\" (Disk full), \"other\" (Other), not",
            ),
            ("multiselect", json!(["other"]), json!("other"), "a list of tags"),
            ("multiselect", json!(["other", "disk_full"]), json!(["else"]), "\"other\" (Other)"),
        ] {
            assert_eq!(field(kind).mistake(&right), None, "{kind}");
            let found = field(kind).mistake(&wrong).unwrap_or_default();
            assert!(found.contains(words), "{kind}: {found}");
        }
        assert_eq!(field("lookup").mistake(&json!({"id": 1})), None, "nothing is known of its values");
    }

    #[test]
    fn every_field_but_the_id_may_be_missing_or_null() {
        let whole = json!({
            "id": 7, "subject": "S", "description": "D", "status": "solved", "priority": "high", "external_id": "x",
            "assignee_id": 5, "created_at": "2026-11-24T13:00:00Z", "updated_at": "2026-11-24T13:00:00Z",
            "tags": ["a"], "custom_fields": [{"id": 1, "value": true}],
        });
        assert!(Ticket::read(&whole).unwrap().is_checked(1));
        for field in whole.as_object().unwrap().keys() {
            let mut null = whole.clone();
            null[field] = Value::Null;
            let mut missing = whole.clone();
            missing.as_object_mut().unwrap().remove(field);
            for odd in [null, missing] {
                assert_eq!(Ticket::read(&odd).is_err(), field == "id", "{field}");
            }
        }
        let comment = Comment::read(&json!({"id": 1, "attachments": [{"id": 2}, {}]})).unwrap();
        assert_eq!(comment.public, None, "what does not say so is not public");
        assert!(comment.attachments[0].is_ok() && comment.attachments[1].is_err());
    }

    #[test]
    fn another_type_than_documented_is_an_error_that_names_the_place() {
        for (ticket, message) in [
            (json!({"id": "7"}), "the ticket's id is not a number"),
            (json!({"id": 7, "subject": 1}), "subject is not text"),
            (json!({"id": 7, "updated_at": "soon"}), "updated_at is not a time"),
            (json!({"id": 7, "custom_fields": {}}), "custom_fields is not a list"),
            (json!([]), "the ticket is not an object"),
        ] {
            assert_eq!(Ticket::read(&ticket).unwrap_err().to_string(), message);
        }
        assert_eq!(Ticket::label(&json!({"id": 5})), "ticket 5");
        assert_eq!(Ticket::label(&json!("x")), "ticket without an ID");
    }

    #[test]
    fn a_change_tells_of_its_comment() {
        let changed: Changed = serde_json::from_value(json!({
            "ticket": {"id": 1},
            "audit": {"created_at": "2026-11-24T13:00:00Z", "events": [
                {"id": 1, "type": "Change"}, {"id": 2, "type": "Comment", "attachments": [{"id": 3}]},
            ]},
        }))
        .unwrap();
        let added = changed.comment().unwrap();
        assert_eq!((added.id, added.created_at.is_some(), added.attachments), (2, true, vec![3]));
        let silent: Changed = serde_json::from_value(json!({"ticket": {}, "audit": {"events": []}})).unwrap();
        assert_eq!(silent.comment(), None);
    }
}
