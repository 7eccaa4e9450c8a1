//! JSON output of Jira's REST API.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::adf;
use super::catalog::{self, Status, Transition};
use super::settings::{Deployment, FlagField, ResolutionOnClosing, SandboxJiraSettings};
use super::state::{Attachment, Comment, Issue, Project, State, User};

/// Characters that are percent-encoded in a path: all but letters, digits, `-`, `.`, `_` and `~`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Maximum number of comments that a search answer on Cloud holds for an issue (changelog of the `search/jql` API).
const COMMENTS_IN_SEARCH: usize = 20;

/// Version of the REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Bodies are wiki markup.
    Two,
    /// Bodies are Atlassian documents.
    Three,
}

impl Version {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Two => "/rest/api/2",
            Self::Three => "/rest/api/3",
        }
    }
}

/// Writer of the JSON for one request.
pub(super) struct Wire<'a> {
    /// URL of this server as the caller knows it: `http://host:port`.
    pub(super) base: &'a str,
    pub(super) version: Version,
    pub(super) settings: &'a SandboxJiraSettings,
    pub(super) state: &'a State,
}

/// Kind of answer that shows an issue; a search shortens the list of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Search,
    Issue,
}

/// Fields of an issue that the caller asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    default: Default,
    with: BTreeSet<String>,
    without: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Default {
    None,
    Navigable,
    All,
}

impl Selection {
    pub(super) fn all() -> Self {
        Self { default: Default::All, with: BTreeSet::new(), without: BTreeSet::new() }
    }

    pub(super) fn navigable() -> Self {
        Self { default: Default::Navigable, ..Self::all() }
    }

    /// Parses `*all`, `*navigable`, `name` and `-name`; `None` if nothing is named.
    pub(super) fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut selection = Self { default: Default::None, ..Self::all() };
        let mut any = false;
        let mut only_exclusions = true;
        for name in names.into_iter().flat_map(|names| names.split(',')).map(str::trim) {
            if name.is_empty() {
                continue;
            }
            any = true;
            if let Some(name) = name.strip_prefix('-') {
                selection.without.insert(name.to_owned());
                continue;
            }
            only_exclusions = false;
            match name {
                "*all" => selection.default = Default::All,
                "*navigable" => selection.default = Default::Navigable,
                name => {
                    selection.with.insert(name.to_owned());
                }
            }
        }
        if only_exclusions {
            selection.default = Default::All;
        }
        any.then_some(selection)
    }

    fn has(&self, name: &str) -> bool {
        let by_default = match self.default {
            Default::None => false,
            Default::Navigable => !matches!(name, "comment" | "attachment"),
            Default::All => true,
        };
        !self.without.contains(name) && (by_default || self.with.contains(name))
    }

    /// Reports if only the ID was asked for: the default of `search/jql`.
    pub(super) fn is_id_only(&self) -> bool {
        self.default == Default::None && self.with.iter().all(|name| name == "id")
    }
}

impl Wire<'_> {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.base, self.version.path())
    }

    /// Formats a time in the asking user's zone: ISO 8601 with milliseconds and an offset without a colon.
    pub(super) fn time(&self, time: DateTime<Utc>) -> Value {
        json!(self.settings.time_zone.to_local(time).format("%Y-%m-%dT%H:%M:%S%.3f%z").to_string())
    }

    /// Converts a body or a description: wiki markup in version 2, a document in version 3.
    fn text(&self, text: &str) -> Value {
        match self.version {
            Version::Two => json!(text),
            Version::Three => adf::document(text),
        }
    }

    pub(super) fn user(&self, display_name: &str) -> Value {
        match self.state.users.get(display_name) {
            Some(user) => self.user_json(user),
            None => Value::Null,
        }
    }

    pub(super) fn user_json(&self, user: &User) -> Value {
        let avatars = json!({"48x48": format!("{}/secure/useravatar?size=large", self.base)});
        match self.settings.deployment {
            Deployment::Cloud => {
                let mut json = json!({
                    "self": self.url(&format!("/user?accountId={}", user.account_id)),
                    "accountId": user.account_id,
                    "avatarUrls": avatars,
                    "displayName": user.display_name,
                    "active": true,
                    "timeZone": self.settings.time_zone.name(),
                    "accountType": "atlassian",
                });
                if user.shows_email {
                    json["emailAddress"] = json!(user.email);
                }
                json
            }
            Deployment::DataCenter => json!({
                "self": self.url(&format!("/user?username={}", utf8_percent_encode(&user.name, PATH))),
                "name": user.name,
                "key": user.name,
                "emailAddress": user.email,
                "avatarUrls": avatars,
                "displayName": user.display_name,
                "active": true,
                "timeZone": self.settings.time_zone.name(),
            }),
        }
    }

    /// Returns the asking user, who sees the own e-mail address on Cloud too.
    pub(super) fn myself(&self) -> Value {
        let mut json = self.user(&self.settings.account);
        if let (Some(fields), Some(user)) =
            (json.as_object_mut(), self.state.users.get(&self.settings.account))
        {
            fields.insert("emailAddress".to_owned(), json!(user.email));
            fields.insert("locale".to_owned(), json!("en_US"));
        }
        json
    }

    pub(super) fn project(&self, project: &Project) -> Value {
        json!({
            "self": self.url(&format!("/project/{}", project.id)),
            "id": project.id.to_string(),
            "key": project.key,
            "name": project.name,
            "projectTypeKey": if self.settings.service_management { "service_desk" } else { "software" },
            "simplified": false,
            "avatarUrls": {"48x48": format!("{}/secure/projectavatar?pid={}", self.base, project.id)},
        })
    }

    pub(super) fn status(&self, status: Status) -> Value {
        json!({
            "self": self.url(&format!("/status/{}", status.id)),
            "description": "",
            "iconUrl": format!("{}/images/icons/statuses/generic.png", self.base),
            "name": status.name,
            "id": status.id,
            "statusCategory": self.category(status.category),
        })
    }

    pub(super) fn category(&self, category: catalog::Category) -> Value {
        json!({
            "self": self.url(&format!("/statuscategory/{}", category.id())),
            "id": category.id(),
            "key": category.key(),
            "colorName": category.color(),
            "name": category.name(),
        })
    }

    pub(super) fn priority(&self, name: &str) -> Value {
        let id = catalog::priority_id(name);
        json!({
            "self": self.url(&format!("/priority/{id}")),
            "statusColor": "#999999",
            "description": "",
            "iconUrl": format!("{}/images/icons/priorities/{}.svg", self.base, name.to_lowercase()),
            "name": name,
            "id": id.to_string(),
        })
    }

    pub(super) fn resolution(&self, name: &str) -> Value {
        let id = catalog::id_of(&catalog::RESOLUTIONS, name);
        json!({"self": self.url(&format!("/resolution/{id}")), "id": id, "description": "", "name": name})
    }

    pub(super) fn issue_type(&self, name: &str) -> Value {
        let id = catalog::id_of(&catalog::ISSUE_TYPES, name);
        json!({
            "self": self.url(&format!("/issuetype/{id}")),
            "id": id,
            "description": "",
            "iconUrl": format!("{}/images/icons/issuetypes/{}.svg", self.base, name.to_lowercase()),
            "name": name,
            "subtask": false,
        })
    }

    pub(super) fn component(&self, name: &str) -> Value {
        let id = catalog::id_of(&catalog::COMPONENTS, name);
        json!({"self": self.url(&format!("/component/{id}")), "id": id, "name": name})
    }

    fn option(&self, value: &str) -> Value {
        let id = catalog::id_of(&catalog::FLAG_OPTIONS, value);
        json!({"self": self.url(&format!("/customFieldOption/{id}")), "value": value, "id": id})
    }

    fn flag(&self, value: Option<&String>) -> Value {
        match (value, self.settings.flag_field) {
            (None, _) => Value::Null,
            (Some(value), FlagField::Checkbox) => json!([self.option(value)]),
            (Some(value), FlagField::Select) => self.option(value),
            (Some(value), FlagField::Text) => json!(value),
        }
    }

    pub(super) fn comment(&self, issue: &Issue, comment: &Comment, with_properties: bool) -> Value {
        let mut json = json!({
            "self": self.url(&format!("/issue/{}/comment/{}", issue.id, comment.id)),
            "id": comment.id.to_string(),
            "author": self.user(&comment.author),
            "body": self.text(&comment.body),
            "updateAuthor": self.user(&comment.update_author),
            "created": self.time(comment.created),
            "updated": self.time(comment.updated),
        });
        // Data Center has no `jsdPublic`; Cloud always has it, and it is true in projects without customers ("Issue comments").
        if self.settings.deployment == Deployment::Cloud {
            json["jsdPublic"] = json!(!(self.settings.service_management && comment.is_internal()));
        }
        if with_properties {
            json["properties"] =
                comment.properties.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        }
        json
    }

    pub(super) fn attachment(&self, attachment: &Attachment) -> Value {
        let content = match self.settings.deployment {
            Deployment::Cloud => self.url(&format!("/attachment/content/{}", attachment.id)),
            Deployment::DataCenter => format!(
                "{}/secure/attachment/{}/{}",
                self.base,
                attachment.id,
                utf8_percent_encode(&attachment.file_name, PATH)
            ),
        };
        json!({
            "self": self.url(&format!("/attachment/{}", attachment.id)),
            "id": attachment.id.to_string(),
            "filename": attachment.file_name,
            "author": self.user(&attachment.author),
            "created": self.time(attachment.created),
            "size": attachment.size,
            "mimeType": attachment.mime_type,
            "content": content,
        })
    }

    pub(super) fn issue(&self, issue: &Issue, selection: &Selection, place: Place) -> Value {
        json!({
            "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
            "id": issue.id.to_string(),
            "self": self.url(&format!("/issue/{}", issue.id)),
            "key": issue.doc.key,
            "fields": self.issue_fields(issue, selection, place),
        })
    }

    fn issue_fields(&self, issue: &Issue, selection: &Selection, place: Place) -> Value {
        let doc = &issue.doc;
        let mut fields = Map::new();
        let mut put = |name: &str, value: &dyn Fn() -> Value| {
            if selection.has(name) {
                fields.insert(name.to_owned(), value());
            }
        };
        put("summary", &|| json!(doc.summary));
        put("description", &|| doc.description.as_deref().map_or(Value::Null, |text| self.text(text)));
        put("issuetype", &|| self.issue_type(&doc.issue_type));
        put("project", &|| {
            self.state.project(&doc.project).map_or(Value::Null, |project| self.project(project))
        });
        put("status", &|| self.status(catalog::status(&doc.status)));
        put("priority", &|| self.priority(&doc.priority));
        put("resolution", &|| doc.resolution.as_deref().map_or(Value::Null, |name| self.resolution(name)));
        put("resolutiondate", &|| doc.resolved.map_or(Value::Null, |time| self.time(time)));
        put("created", &|| self.time(issue.created));
        put("updated", &|| self.time(doc.updated));
        put("creator", &|| self.user(&issue.creator));
        put("reporter", &|| self.user(&doc.reporter));
        put("assignee", &|| doc.assignee.as_deref().map_or(Value::Null, |name| self.user(name)));
        if self.settings.deployment == Deployment::DataCenter {
            let archived = self.state.is_archived(issue);
            put("archiveddate", &|| if archived { self.time(doc.updated) } else { Value::Null });
            put("archivedby", &|| if archived { self.user(&issue.creator) } else { Value::Null });
        }
        put("components", &|| doc.components.iter().map(|name| self.component(name)).collect());
        put("labels", &|| json!(doc.labels));
        put(catalog::FLAG_FIELD, &|| self.flag(doc.flag.as_ref()));
        put(catalog::GOOGLE_NAME_FIELD, &|| json!(doc.google_name));
        put(catalog::GOOGLE_STATE_FIELD, &|| {
            doc.others.get(catalog::GOOGLE_STATE_FIELD).cloned().unwrap_or_default()
        });
        for id in self.state.text_fields.keys() {
            put(id, &|| doc.others.get(id).cloned().unwrap_or_default());
        }
        put("attachment", &|| issue.attachments.iter().map(|file| self.attachment(file)).collect());
        put("comment", &|| self.inline_comments(issue, place));
        Value::Object(fields)
    }

    fn inline_comments(&self, issue: &Issue, place: Place) -> Value {
        let total = issue.comments.len();
        let shown = match (place, self.settings.deployment) {
            (Place::Search, Deployment::Cloud) => total.min(COMMENTS_IN_SEARCH),
            (Place::Search, Deployment::DataCenter)
            | (Place::Issue, Deployment::Cloud | Deployment::DataCenter) => total,
        };
        let comments: Vec<_> =
            issue.comments[..shown].iter().map(|comment| self.comment(issue, comment, false)).collect();
        json!({
            "comments": comments,
            "self": self.url(&format!("/issue/{}/comment", issue.id)),
            "maxResults": shown,
            "total": total,
            "startAt": 0,
        })
    }

    /// Returns the answer of `watchers` ("Get issue watchers", Jira Cloud REST API v2 and Jira Data Center REST API).
    pub(super) fn watchers(&self, issue: &Issue) -> Value {
        let watchers: Vec<Value> = issue.watchers.iter().map(|name| self.user(name)).collect();
        json!({
            "self": self.url(&format!("/issue/{}/watchers", issue.id)),
            "isWatching": issue.watchers.contains(&self.settings.account),
            "watchCount": watchers.len(),
            "watchers": watchers,
        })
    }

    pub(super) fn transition(&self, transition: Transition, with_fields: bool) -> Value {
        let screen = transition.resolution.filter(|resolution| match resolution {
            ResolutionOnClosing::Required | ResolutionOnClosing::Optional => true,
            ResolutionOnClosing::NotOnScreen => false,
        });
        let demands_cause = transition.resolution.is_some() && self.state.manners.demanding;
        let mut json = json!({
            "id": transition.id,
            "name": transition.name,
            "to": self.status(transition.to),
            "hasScreen": screen.is_some() || demands_cause,
            "isGlobal": false,
            "isInitial": false,
            "isConditional": false,
        });
        if with_fields {
            let mut fields = Map::new();
            if let Some(resolution) = screen {
                let values: Vec<_> =
                    catalog::RESOLUTIONS.iter().map(|(_, name)| self.resolution(name)).collect();
                fields.insert(
                    "resolution".to_owned(),
                    json!({
                        "required": resolution == ResolutionOnClosing::Required,
                        "schema": {"type": "resolution", "system": "resolution"},
                        "name": "Resolution",
                        "key": "resolution",
                        "operations": ["set"],
                        "allowedValues": values,
                    }),
                );
            }
            if demands_cause {
                fields.insert(
                    catalog::ROOT_CAUSE_FIELD.to_owned(),
                    json!({
                        "required": true, "schema": root_cause_schema(), "name": "Root cause",
                        "key": catalog::ROOT_CAUSE_FIELD, "operations": ["set"],
                    }),
                );
            }
            json["fields"] = Value::Object(fields);
        }
        json
    }

    /// Returns the answer of `field`: the list of all fields.
    pub(super) fn fields(&self) -> Value {
        let system = |id: &str, name: &str, navigable: bool, schema: Value| {
            json!({
                "id": id, "key": id, "name": name, "custom": false, "orderable": true,
                "navigable": navigable, "searchable": true, "clauseNames": [id],
                "schema": schema,
            })
        };
        let simple =
            |id: &str, name: &str, kind: &str| system(id, name, true, json!({"type": kind, "system": id}));
        let custom = |id: &str, name: &str, kind: &str, schema: Value| {
            let number = id.trim_start_matches("customfield_");
            json!({
                "id": id, "key": id, "name": name, "custom": true, "orderable": true,
                "navigable": true, "searchable": true,
                "clauseNames": [format!("cf[{number}]"), name, format!("{name}[{kind}]")],
                "schema": schema,
            })
        };
        let kind = match self.settings.flag_field {
            FlagField::Checkbox => "Checkboxes",
            FlagField::Select => "Dropdown",
            FlagField::Text => "Short text",
        };
        let mut fields = json!([
            simple("summary", "Summary", "string"),
            simple("description", "Description", "string"),
            simple("issuetype", "Issue Type", "issuetype"),
            simple("project", "Project", "project"),
            simple("status", "Status", "status"),
            simple("priority", "Priority", "priority"),
            simple("resolution", "Resolution", "resolution"),
            simple("resolutiondate", "Resolved", "datetime"),
            simple("created", "Created", "datetime"),
            simple("updated", "Updated", "datetime"),
            simple("creator", "Creator", "user"),
            simple("reporter", "Reporter", "user"),
            simple("assignee", "Assignee", "user"),
            system(
                "components",
                "Components",
                true,
                json!({"type": "array", "items": "component", "system": "components"})
            ),
            system("labels", "Labels", true, json!({"type": "array", "items": "string", "system": "labels"})),
            system(
                "attachment",
                "Attachment",
                false,
                json!({"type": "array", "items": "attachment", "system": "attachment"})
            ),
            system("comment", "Comment", false, json!({"type": "comments-page", "system": "comment"})),
            custom(catalog::FLAG_FIELD, catalog::FLAG_NAME, kind, self.flag_schema()),
            custom(catalog::GOOGLE_NAME_FIELD, catalog::GOOGLE_NAME_NAME, "Short text", google_name_schema()),
            custom(catalog::GOOGLE_STATE_FIELD, "Google state", "Short text", google_state_schema()),
        ]);
        if self.state.manners.demanding
            && let Some(fields) = fields.as_array_mut()
        {
            let mut namesake = custom(catalog::NAMESAKE_FIELD, catalog::FLAG_NAME, kind, self.flag_schema());
            namesake["scope"] = json!({"type": "PROJECT", "project": {"id": "29999"}});
            fields.extend([
                custom(catalog::IMPACT_FIELD, "Impact", "Dropdown", impact_schema()),
                custom(catalog::ROOT_CAUSE_FIELD, "Root cause", "Short text", root_cause_schema()),
                custom(catalog::REQUEST_TYPE_FIELD, "Request Type", "Request Type", request_type_schema()),
                namesake,
            ]);
        }
        if let Some(fields) = fields.as_array_mut() {
            let own = self.state.text_fields.iter();
            fields.extend(own.map(|(id, name)| custom(id, name, "Short text", root_cause_schema())));
        }
        fields
    }

    fn flag_schema(&self) -> Value {
        let types = "com.atlassian.jira.plugin.system.customfieldtypes";
        match self.settings.flag_field {
            FlagField::Checkbox => {
                json!({"type": "array", "items": "option", "custom": format!("{types}:multicheckboxes"), "customId": 10050})
            }
            FlagField::Select => {
                json!({"type": "option", "custom": format!("{types}:select"), "customId": 10050})
            }
            FlagField::Text => {
                json!({"type": "string", "custom": format!("{types}:textfield"), "customId": 10050})
            }
        }
    }

    /// Returns the fields of a screen, as `createmeta` and `editmeta` describe them.
    pub(super) fn screen(&self, creating: bool) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |id: &str, name: &str, required: bool, schema: Value, allowed: Option<Value>| {
            let mut json = json!({
                "required": required, "schema": schema, "name": name, "key": id, "fieldId": id,
                "hasDefaultValue": id == "priority", "operations": ["set"],
            });
            if let Some(allowed) = allowed {
                json["allowedValues"] = allowed;
            }
            fields.insert(id.to_owned(), json);
        };
        let system = |id: &str, kind: &str| json!({"type": kind, "system": id});
        let list = |id: &str, items: &str| json!({"type": "array", "items": items, "system": id});
        if creating {
            let projects = self.state.projects.iter().map(|project| self.project(project)).collect();
            put("project", "Project", true, system("project", "project"), Some(projects));
        }
        let types = catalog::ISSUE_TYPES.iter().map(|(_, name)| self.issue_type(name)).collect();
        put("issuetype", "Issue Type", true, system("issuetype", "issuetype"), Some(types));
        put("summary", "Summary", true, system("summary", "string"), None);
        put("description", "Description", false, system("description", "string"), None);
        if !creating || self.settings.priority_on_create_screen {
            let priorities = catalog::PRIORITIES.iter().map(|name| self.priority(name)).collect();
            put("priority", "Priority", false, system("priority", "priority"), Some(priorities));
        }
        let components = catalog::COMPONENTS.iter().map(|(_, name)| self.component(name)).collect();
        put("components", "Components", false, list("components", "component"), Some(components));
        put("labels", "Labels", false, list("labels", "string"), None);
        put("reporter", "Reporter", false, system("reporter", "user"), None);
        put("assignee", "Assignee", false, system("assignee", "user"), None);
        let options = match self.settings.flag_field {
            FlagField::Checkbox => Some(json!([self.option("true")])),
            FlagField::Select => Some(json!([self.option("true"), self.option("false")])),
            FlagField::Text => None,
        };
        put(catalog::FLAG_FIELD, catalog::FLAG_NAME, false, self.flag_schema(), options);
        put(catalog::GOOGLE_NAME_FIELD, catalog::GOOGLE_NAME_NAME, false, google_name_schema(), None);
        if !creating {
            put(catalog::GOOGLE_STATE_FIELD, "Google state", false, google_state_schema(), None);
        }
        if creating && self.state.manners.demanding {
            let impacts =
                catalog::IMPACTS.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
            put(catalog::IMPACT_FIELD, "Impact", true, impact_schema(), Some(impacts));
            put(catalog::REQUEST_TYPE_FIELD, "Request Type", false, request_type_schema(), None);
        }
        fields
    }
}

fn impact_schema() -> Value {
    json!({"type": "option", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:select", "customId": 10070})
}

fn root_cause_schema() -> Value {
    json!({"type": "string", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:textfield", "customId": 10071})
}

fn google_state_schema() -> Value {
    json!({"type": "string", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:textfield", "customId": 10052})
}

fn request_type_schema() -> Value {
    json!({"type": "sd-customerrequesttype", "custom": "com.atlassian.servicedesk:vp-origin", "customId": 10010})
}

fn google_name_schema() -> Value {
    json!({
        "type": "string",
        "custom": "com.atlassian.jira.plugin.system.customfieldtypes:textfield",
        "customId": 10051,
    })
}
