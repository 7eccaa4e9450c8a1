//! Jira's JSON, REST API version 2. Any field may be missing: an absent or null field gets its default. A field of another type than
//! documented makes the item unreadable.

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
    fn new(place: impl Into<String>, expected: &'static str) -> Self {
        Self { place: place.into(), expected }
    }
}

/// An issue: its ID, its key, and its fields under their IDs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Issue {
    pub(super) id: String,
    pub(super) key: Option<String>,
    pub(super) fields: Map<String, Value>,
}

impl Issue {
    /// Reads an issue from a search or from `issue/{id}`.
    pub(super) fn read(value: &Value) -> Result<Self, WireError> {
        let object = value.as_object().ok_or_else(|| WireError::new("the issue", "an object"))?;
        let id = id_of(object).ok_or_else(|| WireError::new("the issue's id", "there"))?;
        let key = text(object, "key")?;
        let fields = match object.get("fields") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(fields)) => fields.clone(),
            Some(_) => return Err(WireError::new("fields", "an object")),
        };
        Ok(Self { id, key, fields })
    }

    /// Describes an issue that could not be read by its ID, if it has one.
    pub(super) fn label(value: &Value) -> String {
        let id = value.as_object().and_then(id_of).unwrap_or_else(|| "without an ID".to_owned());
        format!("issue {}", crate::cases::shorten(&id))
    }

    /// Reads a text field; `None` if it is absent or null.
    pub(super) fn text(&self, field: &str) -> Result<Option<String>, WireError> {
        text(&self.fields, field)
    }

    /// Reads a field that is a time.
    pub(super) fn time(&self, field: &str) -> Result<Option<DateTime<Utc>>, WireError> {
        time(&self.fields, field)
    }

    /// Reads the `name` of a field that is an object: priority, status.
    pub(super) fn name(&self, field: &str) -> Result<Option<String>, WireError> {
        object(&self.fields, field)?.map_or(Ok(None), |value| text(value, "name"))
    }

    /// Reads the name and the ID of the status.
    pub(super) fn status_names(&self) -> Result<Vec<String>, WireError> {
        let Some(status) = object(&self.fields, "status")? else { return Ok(Vec::new()) };
        let names = [text(status, "name")?, text(status, "id")?];
        Ok(names.into_iter().flatten().collect())
    }

    /// Reads a field that is a user: creator.
    pub(super) fn user(&self, field: &str) -> Result<Option<User>, WireError> {
        User::read(&self.fields, field)
    }

    /// Reads the project of the issue, if it was requested.
    pub(super) fn project(&self) -> Result<Option<Project>, WireError> {
        match self.fields.get("project") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                Project::deserialize(value).map(Some).map_err(|_| WireError::new("project", "a project"))
            }
        }
    }

    /// True if the issue is archived: read-only, and not found by searches. Data Center shows the date of archiving (8.1, "Archiving API",
    /// developer.atlassian.com; the field's name as in its answers). Cloud's reference does not mention it.
    pub(super) fn is_archived(&self) -> bool {
        self.fields.get("archiveddate").is_some_and(|date| !date.is_null())
    }

    /// True if the status is of the category `done`. False if there is no status.
    pub(super) fn is_done(&self) -> Result<bool, WireError> {
        let Some(status) = object(&self.fields, "status")? else { return Ok(false) };
        let Some(category) = object(status, "statusCategory")? else { return Ok(false) };
        Ok(text(category, "key")?.as_deref() == Some(DONE))
    }

    /// Reports if a field has the value `wanted`, compared without case: checkboxes (a list of options), a choice (an option), or a line of
    /// text.
    pub(super) fn holds(&self, field: &str, wanted: &str) -> bool {
        fn word(value: &Value) -> Option<&str> {
            value.as_str().or_else(|| value.get("value")?.as_str())
        }
        let wanted = wanted.trim().to_lowercase();
        let same = |value: &Value| word(value).is_some_and(|word| word.trim().to_lowercase() == wanted);
        match self.fields.get(field) {
            None => false,
            Some(Value::Array(values)) => values.iter().any(same),
            Some(Value::Bool(value)) => *value == (wanted == "true"),
            Some(value) => same(value),
        }
    }

    /// Reads the attachments, each on its own; one that cannot be read is an error of its own.
    pub(super) fn attachments(&self) -> Result<Vec<Result<Attachment, WireError>>, WireError> {
        match self.fields.get("attachment") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values.iter().map(Attachment::read).collect()),
            Some(_) => Err(WireError::new("attachment", "a list")),
        }
    }
}

/// Key of the category of all statuses that mean finished.
pub(super) const DONE: &str = "done";

/// User, such as an author. Cloud identifies users by `accountId`, Data Center by `name` and `key`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct User {
    pub(super) account_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) key: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) email_address: Option<String>,
}

impl User {
    fn read(object: &Map<String, Value>, field: &str) -> Result<Option<Self>, WireError> {
        match object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => User::deserialize(value).map(Some).map_err(|_| WireError::new(field, "a user")),
        }
    }

    /// True if the user has any ID.
    pub(super) fn is_somebody(&self) -> bool {
        self.account_id.is_some() || self.name.is_some() || self.key.is_some()
    }

    /// Returns the name to show; empty if Jira hides it.
    pub(super) fn shown(&self) -> String {
        self.display_name.clone().or_else(|| self.name.clone()).unwrap_or_default()
    }

    /// Reports if both are the same user. `None` if no ID is common to both.
    pub(super) fn is(&self, other: &Self) -> Option<bool> {
        let same = |a: &Option<String>, b: &Option<String>| Some(a.as_ref()? == b.as_ref()?);
        same(&self.account_id, &other.account_id)
            .or_else(|| same(&self.key, &other.key))
            .or_else(|| same(&self.name, &other.name))
    }
}

/// A comment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comment {
    pub(super) id: String,
    pub(super) author: Option<User>,
    pub(super) body: String,
    pub(super) created: Option<DateTime<Utc>>,
    /// Time of the last edit; `None` if it was never edited.
    pub(super) edited_at: Option<DateTime<Utc>>,
    pub(super) marker: Marker,
}

/// Marker of a comment's visibility (`R29`: private until shown to be public).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// Visible to customers too.
    Public,
    /// Hidden from customers, restricted to a role or a group, or not understood.
    Internal,
    /// The comment has no marker.
    Absent,
}

/// Key of the property that tells if a comment of Jira Service Management is hidden from customers.
pub(super) const INTERNAL_PROPERTY: &str = "sd.public.comment";

impl Marker {
    /// Reads the marker from the field and the property. Cloud has `jsdPublic` on every comment. Data Center leaves it out, and shows the
    /// property where properties are expanded. If both are there, either can make the comment internal.
    fn read(comment: &Map<String, Value>) -> Self {
        let restricted = comment.get("visibility").is_some_and(|visibility| !visibility.is_null());
        let told = [Self::of_field(comment), Self::of_property(comment)];
        if restricted || told.contains(&Self::Internal) {
            Self::Internal
        } else if told.contains(&Self::Public) {
            Self::Public
        } else {
            Self::Absent
        }
    }

    /// Reads the marker from `jsdPublic`.
    pub(super) fn of_field(comment: &Map<String, Value>) -> Self {
        match comment.get("jsdPublic") {
            None | Some(Value::Null) => Self::Absent,
            Some(value) => Self::public(value.as_bool()),
        }
    }

    /// Reads the marker from `sd.public.comment`. Its value is `{"internal": true}`; the boolean has been seen as a string.
    pub(super) fn of_property(comment: &Map<String, Value>) -> Self {
        let properties = match comment.get("properties") {
            None | Some(Value::Null) => return Self::Absent,
            Some(Value::Array(properties)) => properties,
            Some(_) => return Self::Internal,
        };
        let named =
            |property: &&Value| property.get("key").and_then(Value::as_str) == Some(INTERNAL_PROPERTY);
        let Some(property) = properties.iter().find(named) else { return Self::Absent };
        let internal = property.get("value").and_then(|value| value.get("internal"));
        Self::public(internal.and_then(|internal| match internal {
            Value::Bool(internal) => Some(!internal),
            Value::String(text) => text.parse::<bool>().ok().map(|internal| !internal),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }))
    }

    fn public(public: Option<bool>) -> Self {
        if public == Some(true) { Self::Public } else { Self::Internal }
    }
}

impl Comment {
    pub(super) fn read(value: &Value) -> Result<Self, WireError> {
        let object = value.as_object().ok_or_else(|| WireError::new("the comment", "an object"))?;
        let id = id_of(object).ok_or_else(|| WireError::new("the comment's id", "there"))?;
        let created = time(object, "created")?;
        Ok(Self {
            id,
            author: User::read(object, "author")?,
            body: text(object, "body")?.unwrap_or_default(),
            created,
            // "The date and time at which the comment was updated last" (schema `Comment`, Jira Cloud REST API v2,
            // developer.atlassian.com); of a new comment it is the time of creation, as in the examples there.
            edited_at: time(object, "updated").ok().flatten().filter(|updated| Some(*updated) != created),
            marker: Marker::read(object),
        })
    }
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) id: String,
    pub(super) filename: String,
    pub(super) author: Option<User>,
    pub(super) created: Option<DateTime<Utc>>,
    pub(super) size: Option<u64>,
    pub(super) mime_type: Option<String>,
}

impl Attachment {
    pub(super) fn read(value: &Value) -> Result<Self, WireError> {
        let object = value.as_object().ok_or_else(|| WireError::new("the attachment", "an object"))?;
        let id = id_of(object).ok_or_else(|| WireError::new("the attachment's id", "there"))?;
        Ok(Self {
            id,
            filename: text(object, "filename")?.unwrap_or_default(),
            author: User::read(object, "author")?,
            created: time(object, "created")?,
            size: object.get("size").and_then(Value::as_u64),
            mime_type: text(object, "mimeType")?,
        })
    }
}

/// A page of a listing. The items are required, so that an answer of another kind is not taken for an empty page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    /// Issues of a search, or comments of an issue.
    #[serde(alias = "issues", alias = "comments")]
    pub(super) items: Vec<Value>,
    /// Total number of items, in Data Center's searches and in comments.
    pub(super) total: Option<usize>,
    /// Token of the next page, in Cloud's searches.
    pub(super) next_page_token: Option<String>,
    /// True on the last page, in Cloud's searches.
    pub(super) is_last: Option<bool>,
}

/// A field of Jira, as `field` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Field {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) schema: Schema,
    /// Project that the field belongs to: a team-managed one. `None` if it is a field of all projects.
    pub(super) scope: Option<Scope>,
    /// Number of fields of other projects with the same name, which were left out.
    #[serde(skip)]
    pub(super) namesakes: usize,
}

impl Field {
    /// ID of the project that the field belongs to.
    pub(super) fn project(&self) -> Option<&str> {
        Some(self.scope.as_ref()?.project.as_ref()?.id.as_str())
    }
}

/// Scope of a field. Source: "Get fields" (`scope`), Jira Cloud REST API v2, developer.atlassian.com.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Scope {
    pub(super) project: Option<Named>,
}

/// Type of a field's value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Schema {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) items: Option<String>,
    pub(super) custom: Option<String>,
}

/// A transition that is available for an issue.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Transition {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) to: Status,
    #[serde(deserialize_with = "or_default")]
    pub(super) fields: std::collections::BTreeMap<String, ScreenField>,
}

/// Target status of a transition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    #[serde(rename = "statusCategory")]
    pub(super) category: StatusCategory,
}

/// Category of a status: `new`, `indeterminate` or `done`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusCategory {
    pub(super) key: String,
}

impl Status {
    pub(super) fn is_done(&self) -> bool {
        self.category.key == DONE
    }
}

/// A field on a screen.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ScreenField {
    pub(super) field_id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) has_default_value: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) schema: Schema,
    #[serde(deserialize_with = "or_default")]
    pub(super) allowed_values: Vec<Named>,
}

/// An item with a name: a priority, a resolution, an option, an issue type, a component.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) value: Option<String>,
}

impl Named {
    /// Returns the name, or the value if it is an option.
    pub(super) fn shown(&self) -> &str {
        self.name.as_deref().or(self.value.as_deref()).unwrap_or_default()
    }

    /// Reports if `wanted` is the item's ID, or its name, compared without case.
    pub(super) fn is(&self, wanted: &str) -> bool {
        self.id == wanted || self.shown().to_lowercase() == wanted.to_lowercase()
    }
}

/// Answer of `watchers`. The list is required, so that an answer of another kind is not taken for an issue that nobody watches.
#[derive(Debug, Deserialize)]
pub(super) struct Watchers {
    pub(super) watchers: Vec<User>,
}

/// Answer of `transitions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Transitions {
    pub(super) transitions: Vec<Transition>,
}

/// Issue type with the statuses that its issues can have: an item of `project/{key}/statuses`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusesOfType {
    #[serde(deserialize_with = "or_default")]
    pub(super) statuses: Vec<Status>,
}

/// Answer of `attachment/meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AttachmentMeta {
    pub(super) enabled: Option<bool>,
    pub(super) upload_limit: Option<u64>,
}

/// Answer of `POST issue` and `POST comment`, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Created {
    pub(super) id: String,
    pub(super) key: Option<String>,
    #[serde(rename = "created")]
    pub(super) at: Option<String>,
}

/// Answer of `project/{key}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "as Jira names it")]
pub(super) struct Project {
    pub(super) key: Option<String>,
    pub(super) name: Option<String>,
    pub(super) project_type_key: Option<String>,
    pub(super) id: Option<String>,
}

impl Project {
    /// Reports if it is a project of Jira Service Management. `None` if the answer has no type.
    pub(super) fn is_service_management(&self) -> Option<bool> {
        self.project_type_key.as_deref().map(|kind| kind == "service_desk")
    }
}

/// Answer of `serverInfo`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServerInfo {
    pub(super) server_time: Option<String>,
}

/// Answer of `issue/createmeta/{project}/issuetypes`: Cloud has `issueTypes`, Data Center `values`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IssueTypes {
    #[serde(alias = "issueTypes")]
    pub(super) values: Vec<Named>,
}

/// Answer of `issue/createmeta/{project}/issuetypes/{type}`: Cloud has `fields`, Data Center `values`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CreateScreen {
    #[serde(alias = "fields")]
    pub(super) values: Vec<ScreenField>,
    pub(super) total: Option<usize>,
}

/// Page of a list of Service Management's API.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceDeskPage<T> {
    #[serde(default)]
    pub(super) is_last_page: bool,
    pub(super) values: Vec<T>,
}

/// Service desk of a project.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceDesk {
    pub(super) id: String,
    pub(super) project_key: String,
}

/// Request type of a service desk.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestType {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    pub(super) issue_type_id: Option<String>,
}

/// Answer of `issue/{id}/editmeta`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EditScreen {
    pub(super) fields: std::collections::BTreeMap<String, ScreenField>,
}

/// Answer of `mypermissions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Permissions {
    pub(super) permissions: std::collections::BTreeMap<String, Permission>,
}

/// A single permission.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Permission {
    pub(super) have_permission: bool,
}

/// Parses Jira's times: `2026-11-24T13:00:00.000+0000`, with an offset without a colon.
pub(super) fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z")
        .or_else(|_| DateTime::parse_from_rfc3339(text))
        .ok()
        .map(|time| time.with_timezone(&Utc))
}

/// Reads null as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn id_of(object: &Map<String, Value>) -> Option<String> {
    match object.get("id")? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(object: &Map<String, Value>, field: &str) -> Result<Option<String>, WireError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(WireError::new(field, "text")),
    }
}

fn time(object: &Map<String, Value>, field: &str) -> Result<Option<DateTime<Utc>>, WireError> {
    text(object, field)?
        .map(|text| parse_time(&text).ok_or_else(|| WireError::new(field, "a time")))
        .transpose()
}

fn object<'a>(
    object: &'a Map<String, Value>,
    field: &str,
) -> Result<Option<&'a Map<String, Value>>, WireError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(inner)) => Ok(Some(inner)),
        Some(_) => Err(WireError::new(field, "an object")),
    }
}

/// Returns the explanation of a refusal: the first general message, else the messages of all fields, as in
/// `{"errorMessages": [], "errors": {"summary": "You must specify a summary of the issue."}}`.
pub(super) fn error_text(value: &Value) -> Option<String> {
    let general = value.pointer("/errorMessages/0").and_then(Value::as_str).filter(|text| !text.is_empty());
    let fields = || {
        let errors = value.get("errors")?.as_object()?;
        let named: Vec<String> = errors
            .iter()
            .map(|(field, text)| format!("{field}: {}", text.as_str().unwrap_or("refused")))
            .collect();
        (!named.is_empty()).then(|| named.join("; "))
    };
    general.map(str::to_owned).or_else(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_have_an_offset_without_a_colon() {
        for (text, expected) in [
            ("2026-11-24T13:00:00.000+0000", Some("2026-11-24T13:00:00Z")),
            ("2026-11-24T13:00:00.123+0530", Some("2026-11-24T07:30:00.123Z")),
            ("2026-11-24T13:00:00-0800", Some("2026-11-24T21:00:00Z")),
            ("2026-11-24T13:00:00.5+01:00", Some("2026-11-24T12:00:00.5Z")),
            ("2026-11-24T13:00:00Z", Some("2026-11-24T13:00:00Z")),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), expected.map(|time| time.parse().unwrap()), "{text}");
        }
    }

    fn whole_issue() -> Value {
        json!({
            "id": "10001", "key": "SUP-1",
            "fields": {
                "summary": "S", "description": "D", "created": "2026-11-24T13:00:00.000+0000",
                "updated": "2026-11-24T13:00:00.000+0000",
                "priority": {"id": "2", "name": "High"},
                "status": {"name": "Done", "statusCategory": {"key": "done"}},
                "customfield_10050": [{"value": "true"}],
                "attachment": [{
                    "id": "7", "filename": "a.txt", "author": {"displayName": "Jane Roe"}, "size": 3,
                    "created": "2026-11-24T13:00:00.000+0000", "mimeType": "text/plain"
                }]
            }
        })
    }

    /// Reads every field that a case needs of an issue.
    fn read_all(value: &Value) -> Result<(), WireError> {
        let issue = Issue::read(value)?;
        for field in ["summary", "description"] {
            issue.text(field)?;
        }
        for field in ["created", "updated"] {
            issue.time(field)?;
        }
        issue.name("priority")?;
        issue.is_done()?;
        issue.holds("customfield_10050", "true");
        for attachment in issue.attachments()? {
            attachment?;
        }
        Ok(())
    }

    /// Collects the JSON pointers of all values in a value.
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        let mut each = |key: &str, inner: &Value| {
            let place = format!("{at}/{key}");
            found.push(place.clone());
            places(inner, &place, found);
        };
        match value {
            Value::Object(map) => map.iter().for_each(|(key, inner)| each(key, inner)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(index, inner)| each(&index.to_string(), inner));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_field_but_the_id_may_be_missing_or_null() {
        let mut all = Vec::new();
        places(&whole_issue(), "", &mut all);
        assert!(all.len() > 20);
        for place in all {
            let mut without = whole_issue();
            *without.pointer_mut(&place).unwrap() = Value::Null;
            let needed =
                place == "/id" || place == "/fields/attachment/0" || place == "/fields/attachment/0/id";
            assert_eq!(read_all(&without).is_err(), needed, "{place} is null");

            let (parent, key) = place.rsplit_once('/').unwrap();
            let mut without = whole_issue();
            if let Some(map) = without.pointer_mut(parent).unwrap().as_object_mut() {
                map.remove(key);
                assert_eq!(read_all(&without).is_err(), needed, "{place} is missing");
            }
        }
    }

    #[test]
    fn another_type_than_documented_is_an_error_that_names_the_place() {
        for (place, value, message) in [
            ("/fields/summary", json!(7), "summary is not text"),
            ("/fields/updated", json!("soon"), "updated is not a time"),
            ("/fields/status", json!("Done"), "status is not an object"),
            ("/fields", json!([]), "fields is not an object"),
            ("/id", json!({}), "the issue's id is not there"),
        ] {
            let mut odd = whole_issue();
            *odd.pointer_mut(place).unwrap() = value;
            assert_eq!(read_all(&odd).unwrap_err().to_string(), message);
        }
        assert_eq!(Issue::label(&json!({"id": 5})), "issue 5");
        assert_eq!(Issue::label(&json!("x")), "issue without an ID");
    }

    #[test]
    fn the_flag_is_read_from_every_kind_of_field() {
        for (value, expected) in [
            (json!([{"id": "1", "value": "True"}]), true),
            (json!([{"value": "false"}]), false),
            (json!([]), false),
            (json!({"value": "true"}), true),
            (json!("true"), true),
            (json!(" TRUE "), true),
            (json!("no"), false),
            (json!(true), true),
            (json!(false), false),
            (Value::Null, false),
            (json!(1), false),
        ] {
            let issue = Issue::read(&json!({"id": "1", "fields": {"f": value}})).unwrap();
            assert_eq!(issue.holds("f", "true"), expected, "{value}");
        }
    }

    #[test]
    fn a_comment_is_public_only_where_it_says_so() {
        let property = |value: Value| json!({"properties": [{"key": "other"}, {"key": "sd.public.comment", "value": value}]});
        for (extra, marker) in [
            (json!({}), Marker::Absent),
            (json!({"jsdPublic": null, "properties": null, "visibility": null}), Marker::Absent),
            (json!({"properties": []}), Marker::Absent),
            (json!({"properties": [{"key": "other", "value": {"internal": true}}]}), Marker::Absent),
            (json!({"jsdPublic": true}), Marker::Public),
            (json!({"jsdPublic": false}), Marker::Internal),
            (json!({"jsdPublic": "yes"}), Marker::Internal),
            (property(json!({"internal": true})), Marker::Internal),
            (property(json!({"internal": false})), Marker::Public),
            (property(json!({"internal": "true"})), Marker::Internal),
            (property(json!({"internal": "false"})), Marker::Public),
            (property(json!({"internal": "no"})), Marker::Internal),
            (property(json!({"internal": null})), Marker::Internal),
            (property(json!({"public": true})), Marker::Internal),
            (property(Value::Null), Marker::Internal),
            (json!({"properties": "none"}), Marker::Internal),
            (json!({"jsdPublic": true, "visibility": {"type": "role", "value": "Agents"}}), Marker::Internal),
            (json!({"visibility": "Agents"}), Marker::Internal),
        ] {
            let mut comment = json!({"id": 5, "body": "b", "created": "2026-11-24T13:00:00.000+0000"});
            comment.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let comment = Comment::read(&comment).unwrap();
            assert_eq!((comment.id.as_str(), comment.marker), ("5", marker), "{extra}");
        }
        let mut both = property(json!({"internal": true}));
        both["id"] = json!("1");
        both["jsdPublic"] = json!(true);
        assert_eq!(Comment::read(&both).unwrap().marker, Marker::Internal, "either keeps it in");
        assert!(Comment::read(&json!({"body": "b"})).is_err());
        assert_eq!(Comment::read(&json!({"id": "1"})).unwrap().body, "");
    }

    #[test]
    fn people_are_compared_by_what_identifies_them() {
        let user = |value: Value| User::deserialize(value).unwrap();
        for (a, b, expected) in [
            (json!({"accountId": "1", "displayName": "A"}), json!({"accountId": "1"}), Some(true)),
            (json!({"accountId": "1"}), json!({"accountId": "2"}), Some(false)),
            (json!({"key": "k", "name": "old"}), json!({"key": "k", "name": "new"}), Some(true)),
            (json!({"name": "a"}), json!({"name": "b"}), Some(false)),
            (json!({"displayName": "A"}), json!({"displayName": "A"}), None),
        ] {
            assert_eq!(user(a.clone()).is(&user(b.clone())), expected, "{a} {b}");
        }
    }
}
