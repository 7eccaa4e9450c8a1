//! Parsing and validation of `fields` and `update` in requests that create, edit or transition an issue.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::adf;
use super::catalog;
use super::error::ApiError;
use super::settings::{FlagField, SandboxJiraSettings};
use super::state::{Document, Draft, State};
use super::wire::Version;

/// Maximum length of a summary or of a single-line text.
const LINE_LIMIT: usize = 255;

/// Screen that fields are sent to; a field that is not on the screen is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Screen {
    Create,
    Edit,
    /// Screen of a transition; `resolution` is true if the resolution is on it.
    /// `closing` is true if the transition closes the issue.
    Transition {
        resolution: bool,
        closing: bool,
    },
}

/// Changes of a request: `None` leaves a field unchanged, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
#[expect(clippy::option_option, reason = "three cases: stays, is emptied, is set")]
pub(super) struct Changes {
    /// Key of an existing project.
    pub(super) project: Option<String>,
    pub(super) issue_type: Option<String>,
    summary: Option<String>,
    description: Option<Option<String>>,
    priority: Option<String>,
    components: Option<BTreeSet<String>>,
    labels: Option<BTreeSet<String>>,
    flag: Option<Option<String>>,
    google_name: Option<Option<String>>,
    assignee: Option<Option<String>>,
    reporter: Option<String>,
    pub(super) resolution: Option<String>,
    /// *Google state*, and fields of a demanding desk, by ID.
    others: BTreeMap<String, Value>,
    /// Comments to add: body and properties.
    pub(super) comments: Vec<(String, BTreeMap<String, Value>)>,
}

pub(super) struct Reader<'a> {
    pub(super) state: &'a State,
    pub(super) settings: &'a SandboxJiraSettings,
    pub(super) version: Version,
    pub(super) screen: Screen,
    /// Current state of the issue, for the operations `add` and `remove`.
    pub(super) current: Option<&'a Document>,
}

impl Reader<'_> {
    /// Parses a request's body; the error names every bad field.
    pub(super) fn read(&self, body: &Map<String, Value>) -> Result<Changes, ApiError> {
        let mut changes = Changes::default();
        let mut errors = BTreeMap::new();
        let empty = Map::new();
        let object = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(&empty),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => {
                Err(ApiError::bad_request(format!("Can not deserialize value of '{name}': it is no object")))
            }
        };
        for (name, value) in object("fields")? {
            if let Err(message) = self.set(&mut changes, name, value) {
                errors.insert(name.clone(), message);
            }
        }
        for (name, operations) in object("update")? {
            if let Err(message) = self.operate(&mut changes, name, operations) {
                errors.insert(name.clone(), message);
            }
        }
        if let Err(message) = fits_request_type(&changes) {
            errors.insert(catalog::REQUEST_TYPE_FIELD.to_owned(), message);
        }
        for (id, name) in self.demanded() {
            if !changes.others.contains_key(*id) {
                errors.entry((*id).to_owned()).or_insert_with(|| format!("{name} is required."));
            }
        }
        if errors.is_empty() { Ok(changes) } else { Err(ApiError::fields(errors)) }
    }

    /// Returns the fields that a demanding desk demands on the screen: IDs and names.
    fn demanded(&self) -> &'static [(&'static str, &'static str)] {
        match self.screen {
            _ if !self.state.manners.demanding => &[],
            Screen::Create => &[(catalog::IMPACT_FIELD, "Impact")],
            Screen::Transition { closing: true, .. } => &[(catalog::ROOT_CAUSE_FIELD, "Root cause")],
            Screen::Transition { closing: false, .. } | Screen::Edit => &[],
        }
    }

    fn is_on_screen(&self, name: &str) -> bool {
        let common = matches!(
            name,
            "issuetype" | "summary" | "description" | "components" | "labels" | "assignee" | "reporter"
        ) || name == catalog::FLAG_FIELD
            || name == catalog::GOOGLE_NAME_FIELD;
        let demanding = self.state.manners.demanding;
        match self.screen {
            Screen::Create
                if demanding && [catalog::IMPACT_FIELD, catalog::REQUEST_TYPE_FIELD].contains(&name) =>
            {
                true
            }
            Screen::Transition { closing: true, .. } if demanding && name == catalog::ROOT_CAUSE_FIELD => {
                true
            }
            Screen::Create => {
                common || name == "project" || (name == "priority" && self.settings.priority_on_create_screen)
            }
            // Without the permission to edit, the issue has no edit screen.
            Screen::Edit => {
                (common || ["priority", catalog::GOOGLE_STATE_FIELD].contains(&name))
                    && self.settings.may("EDIT_ISSUES")
            }
            Screen::Transition { resolution, .. } => name == "resolution" && resolution,
        }
    }

    fn set(&self, changes: &mut Changes, name: &str, value: &Value) -> Result<(), String> {
        if !self.is_on_screen(name) {
            return Err(format!(
                "Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            ));
        }
        match name {
            "project" => changes.project = Some(self.project(value)?),
            "issuetype" => {
                changes.issue_type = Some(
                    chosen(value, &catalog::ISSUE_TYPES)
                        .ok_or_else(|| "Specify a valid issue type".to_owned())?,
                );
            }
            "summary" => changes.summary = Some(summary(value)?),
            "description" => changes.description = Some(self.text(value)?),
            "priority" => changes.priority = Some(priority(value)?),
            "components" => {
                changes.components = Some(list(value)?.iter().map(component).collect::<Result<_, _>>()?);
            }
            "labels" => changes.labels = Some(list(value)?.iter().map(label).collect::<Result<_, _>>()?),
            "reporter" => changes.reporter = Some(self.user(value)?.ok_or("Reporter is required.")?),
            "assignee" => changes.assignee = Some(self.user(value)?),
            "resolution" => {
                changes.resolution = Some(
                    chosen(value, &catalog::RESOLUTIONS)
                        .ok_or_else(|| "The resolution selected is invalid.".to_owned())?,
                );
            }
            catalog::GOOGLE_NAME_FIELD => changes.google_name = Some(line(value)?),
            catalog::FLAG_FIELD => changes.flag = Some(self.flag(value)?),
            catalog::IMPACT_FIELD => {
                let named = value
                    .get("value")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
                    .or_else(|| id_or(value, "value"));
                let is_known = |(id, value): &(&str, &str)| {
                    [*id, *value].contains(&named.as_deref().unwrap_or_default())
                };
                let (_, impact) = catalog::IMPACTS
                    .iter()
                    .find(|known| is_known(known))
                    .ok_or("Specify a valid 'id' or 'name' for Impact")?;
                changes.others.insert(name.to_owned(), json!(impact));
            }
            catalog::REQUEST_TYPE_FIELD => {
                if let Some(text) = line(value)? {
                    // The wording is assumed.
                    catalog::request_type(&text).ok_or("The request type does not exist.")?;
                    changes.others.insert(name.to_owned(), json!(text));
                }
            }
            catalog::GOOGLE_STATE_FIELD => {
                changes.others.insert(name.to_owned(), json!(line(value)?));
            }
            catalog::ROOT_CAUSE_FIELD => {
                if let Some(text) = line(value)? {
                    changes.others.insert(name.to_owned(), json!(text));
                }
            }
            // All fields that can be on a screen are handled above.
            other => return Err(format!("Field '{other}' cannot be set.")),
        }
        Ok(())
    }

    fn operate(&self, changes: &mut Changes, name: &str, operations: &Value) -> Result<(), String> {
        for operation in list(operations)? {
            let Some((verb, value)) = operation.as_object().and_then(|map| map.iter().next()) else {
                return Err("Operation is no object".to_owned());
            };
            match (name, verb.as_str()) {
                ("comment", "add") => changes.comments.push(self.new_comment(value)?),
                (_, "set") => self.set(changes, name, value)?,
                ("labels", "add" | "remove") if self.is_on_screen(name) => {
                    let now = self.current.map(|doc| doc.labels.clone()).unwrap_or_default();
                    alter(changes.labels.get_or_insert(now), verb, label(value)?);
                }
                ("components", "add" | "remove") if self.is_on_screen(name) => {
                    let now = self.current.map(|doc| doc.components.clone()).unwrap_or_default();
                    alter(changes.components.get_or_insert(now), verb, component(value)?);
                }
                (catalog::FLAG_FIELD, "add" | "remove")
                    if self.is_on_screen(name) && self.settings.flag_field == FlagField::Checkbox =>
                {
                    let option = self.option(value)?;
                    changes.flag = Some((verb == "add").then_some(option));
                }
                (name, verb) => {
                    return Err(format!("Field '{name}' does not support operation '{verb}'"));
                }
            }
        }
        Ok(())
    }

    fn new_comment(&self, value: &Value) -> Result<(String, BTreeMap<String, Value>), String> {
        let body = self.text(value.get("body").unwrap_or(&Value::Null))?.unwrap_or_default();
        check_comment(&body, self.settings)?;
        Ok((body, properties(value)))
    }

    fn project(&self, value: &Value) -> Result<String, String> {
        let named = id_or(value, "key");
        named
            .and_then(|name| self.state.project(&name))
            .map(|project| project.key.clone())
            .ok_or_else(|| "valid project is required".to_owned())
    }

    /// Parses a long text: wiki markup, or a document in version 3. Null and an empty text are both `None`.
    pub(super) fn text(&self, value: &Value) -> Result<Option<String>, String> {
        let text = match (self.version, value) {
            (_, Value::Null) => return Ok(None),
            (Version::Two, Value::String(text)) => text.clone(),
            (Version::Two, _) => return Err("Operation value must be a string".to_owned()),
            (Version::Three, value) => adf::text(value).ok_or_else(|| {
                "Operation value must be an Atlassian Document (see the Atlassian Document Format)".to_owned()
            })?,
        };
        check_length(&text, self.settings.comment_limit)?;
        Ok((!text.is_empty()).then_some(text))
    }

    fn user(&self, value: &Value) -> Result<Option<String>, String> {
        if value.is_null() {
            return Ok(None);
        }
        let wanted = ["accountId", "id", "name", "key"]
            .iter()
            .find_map(|key| value.get(key).and_then(Value::as_str))
            .ok_or("expected Object containing a user")?;
        let found = self.state.users.values().find(|user| user.account_id == wanted || user.name == wanted);
        found
            .map(|user| Some(user.display_name.clone()))
            .ok_or_else(|| format!("User '{wanted}' does not exist."))
    }

    fn flag(&self, value: &Value) -> Result<Option<String>, String> {
        match (self.settings.flag_field, value) {
            (FlagField::Checkbox | FlagField::Select, Value::Null) => Ok(None),
            (FlagField::Checkbox, value) => match list(value)? {
                [] => Ok(None),
                // There is only one option, so a second entry can only repeat it.
                options => options.iter().map(|option| self.option(option)).next_back().transpose(),
            },
            (FlagField::Select, value) => self.option(value).map(Some),
            (FlagField::Text, value) => line(value),
        }
    }

    fn option(&self, value: &Value) -> Result<String, String> {
        let options = match self.settings.flag_field {
            FlagField::Checkbox => &catalog::FLAG_OPTIONS[..1],
            FlagField::Select | FlagField::Text => &catalog::FLAG_OPTIONS[..],
        };
        if !value.is_object() {
            return Err("Specify a valid 'id' or 'name' for the field".to_owned());
        }
        let named =
            value.get("value").and_then(Value::as_str).map(str::to_owned).or_else(|| id_or(value, "value"));
        options
            .iter()
            .find(|(id, name)| named.as_deref() == Some(*id) || named.as_deref() == Some(*name))
            .map(|(_, name)| (*name).to_owned())
            .ok_or_else(|| format!("Option value '{}' is not valid", named.unwrap_or_default()))
    }
}

impl Changes {
    /// Converts the changes to the content of a new issue; the error names required fields that are missing.
    pub(super) fn into_draft(self) -> Result<(String, Draft), ApiError> {
        let mut errors = BTreeMap::new();
        if self.project.is_none() {
            errors.insert("project".to_owned(), "project is required".to_owned());
        }
        if self.issue_type.is_none() {
            errors.insert("issuetype".to_owned(), "issue type is required".to_owned());
        }
        if self.summary.is_none() {
            errors.insert("summary".to_owned(), "You must specify a summary of the issue.".to_owned());
        }
        let (Some(project), Some(issue_type), Some(summary)) = (self.project, self.issue_type, self.summary)
        else {
            return Err(ApiError::fields(errors));
        };
        let draft = Draft {
            issue_type,
            summary,
            description: self.description.flatten(),
            priority: self.priority,
            reporter: self.reporter,
            assignee: self.assignee.flatten(),
            components: self.components.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            flag: self.flag.flatten(),
            google_name: self.google_name.flatten(),
            others: self.others,
        };
        Ok((project, draft))
    }

    /// Applies the changes to a document. The caller handles comments, project and resolution.
    pub(super) fn apply(&self, doc: &mut Document) {
        fn put<T: Clone>(place: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        put(&mut doc.issue_type, self.issue_type.as_ref());
        put(&mut doc.summary, self.summary.as_ref());
        doc.others.extend(self.others.clone());
        put(&mut doc.description, self.description.as_ref());
        put(&mut doc.priority, self.priority.as_ref());
        put(&mut doc.components, self.components.as_ref());
        put(&mut doc.labels, self.labels.as_ref());
        put(&mut doc.flag, self.flag.as_ref());
        put(&mut doc.google_name, self.google_name.as_ref());
        put(&mut doc.assignee, self.assignee.as_ref());
        put(&mut doc.reporter, self.reporter.as_ref());
    }

    /// Reports if any field changes.
    pub(super) fn has_fields(&self) -> bool {
        self.issue_type.is_some()
            || self.summary.is_some()
            || self.description.is_some()
            || self.priority.is_some()
            || self.components.is_some()
            || self.labels.is_some()
            || self.flag.is_some()
            || self.google_name.is_some()
            || !self.others.is_empty()
            || self.assignee.is_some()
            || self.reporter.is_some()
    }
}

/// Returns the properties in a comment's body: `[{"key": …, "value": …}]`.
pub(super) fn properties(comment: &Value) -> BTreeMap<String, Value> {
    comment
        .get("properties")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|property| {
            let key = property.get("key")?.as_str()?.to_owned();
            Some((key, property.get("value")?.clone()))
        })
        .collect()
}

/// Checks that a comment is not empty and not longer than the limit.
pub(super) fn check_comment(body: &str, settings: &SandboxJiraSettings) -> Result<(), String> {
    if body.trim().is_empty() {
        return Err("Comment body can not be empty!".to_owned());
    }
    check_length(body, settings.comment_limit)
}

fn check_length(text: &str, limit: usize) -> Result<(), String> {
    if text.encode_utf16().count() <= limit {
        return Ok(());
    }
    // Java prints the number with thousands separators.
    let limit = limit.to_string();
    let (thousands, rest) = limit.split_at(limit.len().saturating_sub(3));
    let shown = if thousands.is_empty() { rest.to_owned() } else { format!("{thousands},{rest}") };
    Err(format!("The entered text is too long. It exceeds the allowed limit of {shown} characters."))
}

fn alter(set: &mut BTreeSet<String>, verb: &str, value: String) {
    if verb == "add" {
        set.insert(value);
    } else {
        set.remove(&value);
    }
}

fn summary(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("Operation value must be a string")?;
    if text.trim().is_empty() {
        return Err("You must specify a summary of the issue.".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("The summary is invalid because it contains newline characters.".to_owned());
    }
    if text.encode_utf16().count() > LINE_LIMIT {
        return Err(format!("Summary must be less than {LINE_LIMIT} characters."));
    }
    Ok(text.to_owned())
}

/// Parses a single-line text. Null and an empty text are both `None`.
fn line(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            check_length(text, LINE_LIMIT)?;
            Ok((!text.is_empty()).then(|| text.clone()))
        }
        _ => Err("Operation value must be a string".to_owned()),
    }
}

fn label(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("Operation value must be a string")?;
    if text.contains(char::is_whitespace) {
        return Err(format!("The label '{text}' contains spaces which is invalid."));
    }
    Ok(text.to_owned())
}

fn component(value: &Value) -> Result<String, String> {
    chosen(value, &catalog::COMPONENTS)
        .ok_or_else(|| format!("Component name '{}' is not valid", id_or(value, "name").unwrap_or_default()))
}

fn priority(value: &Value) -> Result<String, String> {
    let named = id_or(value, "name").ok_or("Could not find valid 'id' or 'name' in priority object.")?;
    catalog::PRIORITIES
        .into_iter()
        .find(|name| *name == named || catalog::priority_id(name).to_string() == named)
        .map(str::to_owned)
        .ok_or_else(|| format!("Priority name '{named}' is not valid"))
}

fn list(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(values) => Ok(values),
        _ => Err("data was not an array".to_owned()),
    }
}

/// Checks that the request type is one for the issue type: each is "based upon" a single one.
///
/// Source: `issueTypeId`, "Get request types", developer.atlassian.com/cloud/jira/service-desk/rest (November 2026). The refusal and its
/// wording are assumed.
fn fits_request_type(changes: &Changes) -> Result<(), String> {
    let given = changes.others.get(catalog::REQUEST_TYPE_FIELD).and_then(Value::as_str);
    match (given.and_then(catalog::request_type), changes.issue_type.as_deref()) {
        (Some((_, _, theirs)), Some(ours)) if *theirs != ours => {
            Err(format!("The request type is not valid for issues of the type {ours}."))
        }
        _ => Ok(()),
    }
}

fn chosen(value: &Value, table: &[(&'static str, &'static str)]) -> Option<String> {
    let named = id_or(value, "name")?;
    table.iter().find(|(id, name)| *id == named || *name == named).map(|(_, name)| (*name).to_owned())
}

/// Returns the `id` of an object, a string or a number, or else the value of another key.
pub(super) fn id_or(value: &Value, key: &str) -> Option<String> {
    match value.get("id") {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => value.get(key).and_then(Value::as_str).map(str::to_owned),
    }
}
