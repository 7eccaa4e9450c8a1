//! A small Jira that speaks the real REST API: Cloud or Data Center, with the traps of both.
//!
//! [`SandboxJira::router`] serves clients; the methods of [`SandboxJira`] stand in for people in their browsers:
//! they change issues and read them. [`SandboxJira::faults`] makes it misbehave. Limits: one workflow, one set of
//! fields, two projects (`SUP`, which the settings describe, and `OPS` to move issues to), no permissions but those in the
//! settings, and texts are never rendered.
//!
//! Sources: Atlassian's reference of the Jira Cloud platform REST API (versions 2 and 3) and of the Jira Data Center 9 REST
//! API, the changelog entry CHANGE-2046 about `search/jql`, and the JQL pages of the support site.

mod adf;
mod attachments;
mod blobs;
mod catalog;
mod error;
mod fields;
mod gateway;
mod jql;
mod limits;
mod manners;
mod markup;
mod pages;
mod remote_links;
mod rest;
mod samples;
mod search;
mod service_desk;
mod settings;
mod state;
mod webhooks;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use bytes::Bytes;
use chrono::{DateTime, DurationRound as _, Utc};
use serde_json::{Value, json};

use self::blobs::Blobs;
pub use self::catalog::{
    FLAG_FIELD, GOOGLE_NAME_FIELD, GOOGLE_STATE_FIELD, IMPACT_FIELD, REQUEST_TYPE_FIELD, ROOT_CAUSE_FIELD,
};
use self::error::error_body;
pub use self::gateway::CLOUD_ID;
pub use self::manners::{InPlaceOfContent, Manners};
pub use self::markup::{Markup, MarkupKind, would_render};
pub use self::settings::{
    Deployment, FlagField, KeepUploads, ResolutionOnClosing, SandboxJiraAuth, SandboxJiraSettings,
    SandboxTimeZone,
};
use self::state::{Attachment, Content, Draft, Issue, State};
use super::faults::Faults;
use casebridge_core::clock::SharedClock;

/// Sandbox Jira. Clones share their state.
#[derive(Clone)]
pub struct SandboxJira(Arc<Inner>);

struct Inner {
    clock: SharedClock,
    settings: SandboxJiraSettings,
    faults: Faults,
    /// Accepted credentials: those of the settings, until [`SandboxJira::set_auth`] replaces them.
    auth: Mutex<SandboxJiraAuth>,
    state: Mutex<State>,
    writes: limits::Writes,
    blobs: Blobs,
    /// Number of times that content of another size was sent in place of an attachment's.
    other_sizes: AtomicU64,
    /// File with the state; `None` without a data directory.
    state_file: Option<PathBuf>,
    /// Base URL of the media host, once it is set.
    media_base: Mutex<Option<String>>,
    /// Secret that signs the links to the media host.
    media_secret: [u8; 16],
    hooks: webhooks::Hooks,
}

/// Error of an action in a sandbox Jira.
#[derive(Debug, thiserror::Error)]
pub enum SandboxJiraError {
    /// There is no such issue, comment, attachment, project or priority, or no such transition in the issue's status.
    #[error("the sandbox Jira has no {what} {name}")]
    Missing {
        /// Kind of the missing item.
        what: &'static str,
        /// Its ID, key or name.
        name: String,
    },
    /// The data directory cannot be read or written.
    #[error("cannot keep the sandbox Jira's state in {path}")]
    Storage {
        /// File or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// Input for an issue that a person creates; start from [`NewIssue::new`].
#[derive(Debug, Clone)]
pub struct NewIssue {
    /// The project's key.
    pub project: String,
    /// The summary.
    pub summary: String,
    /// The description, wiki markup.
    pub description: Option<String>,
    /// The priority's name.
    pub priority: String,
    /// True if `synchronizeWithGoogleCloudSupport` is on.
    pub flagged: bool,
    /// `custom_field_google_name`.
    pub google_name: Option<String>,
    /// Display name of the reporter.
    pub reporter: String,
}

impl NewIssue {
    /// Returns a task of medium priority in the project `SUP`, without the flag, reported by Jane Roe.
    #[must_use]
    pub fn new(summary: &str) -> Self {
        Self {
            project: "SUP".to_owned(),
            summary: summary.to_owned(),
            description: None,
            priority: catalog::DEFAULT_PRIORITY.to_owned(),
            flagged: false,
            google_name: None,
            reporter: "Jane Roe".to_owned(),
        }
    }

    /// Returns the same as [`NewIssue::new`], with the flag on.
    #[must_use]
    pub fn flagged(summary: &str) -> Self {
        Self { flagged: true, ..Self::new(summary) }
    }
}

/// Issue as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueView {
    /// ID, decimal; it never changes.
    pub id: String,
    /// Key, for example `SUP-1`; moving the issue changes it.
    pub key: String,
    /// The summary.
    pub summary: String,
    /// The description, as it was sent.
    pub description: Option<String>,
    /// The status's name.
    pub status: String,
    /// True if the status is in the category `done`.
    pub closed: bool,
    /// The resolution's name.
    pub resolution: Option<String>,
    /// The priority's name.
    pub priority: String,
    /// True if `synchronizeWithGoogleCloudSupport` is on.
    pub flagged: bool,
    /// `custom_field_google_name`.
    pub google_name: Option<String>,
    /// Values of *Google state*, and of the fields that a demanding desk has, by ID.
    pub other_fields: BTreeMap<String, Value>,
    /// The issue type's name.
    pub issue_type: String,
    /// Names of the components, in order.
    pub components: Vec<String>,
    /// The labels, in order.
    pub labels: Vec<String>,
    /// Links to things in other systems, oldest first.
    pub remote_links: Vec<RemoteLinkView>,
    /// Display name of the reporter.
    pub reporter: String,
    /// Time of creation.
    pub created: DateTime<Utc>,
    /// Time of the last change, including comments and attachments.
    pub updated: DateTime<Utc>,
    /// Its comments, oldest first.
    pub comments: Vec<CommentView>,
    /// Its attachments, oldest first.
    pub attachments: Vec<AttachmentView>,
}

/// Link to a thing in another system, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteLinkView {
    /// ID by which the program that made it knows the thing.
    pub global_id: Option<String>,
    /// Address that it leads to.
    pub url: String,
    /// Words that it shows.
    pub title: String,
    /// True if it is struck through.
    pub resolved: bool,
}

/// Comment as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentView {
    /// The ID, decimal.
    pub id: String,
    /// The author's display name.
    pub author: String,
    /// The text, as it was sent: wiki markup.
    pub body: String,
    /// True if customers do not see the comment.
    pub internal: bool,
    /// Properties that programs have set, by key.
    pub properties: BTreeMap<String, Value>,
    /// Time of creation.
    pub created: DateTime<Utc>,
}

/// Attachment as a person sees it; [`SandboxJira::attachment_bytes`] returns its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentView {
    /// The ID, decimal.
    pub id: String,
    /// The file's name.
    pub file_name: String,
    /// Media type.
    pub mime_type: String,
    /// Size in bytes.
    pub size: u64,
    /// The author's display name.
    pub author: String,
    /// Time of creation.
    pub created: DateTime<Utc>,
}

impl SandboxJira {
    /// Creates an empty sandbox that keeps its state in memory only.
    #[must_use]
    pub fn new(clock: SharedClock, settings: SandboxJiraSettings) -> Self {
        let blobs = Blobs::in_memory(settings.uploads);
        Self::build(clock, settings, State::new(), blobs, None)
    }

    /// Creates a sandbox that keeps its state in a directory, which is made if it does not exist. Every change is in the file before it is
    /// answered, so a killed process loses nothing.
    pub fn with_data_dir(
        clock: SharedClock,
        settings: SandboxJiraSettings,
        dir: &Path,
    ) -> Result<Self, SandboxJiraError> {
        let storage = |path: &Path| {
            let path = path.to_owned();
            move |source| SandboxJiraError::Storage { path, source }
        };
        let files = dir.join("attachments");
        let blobs = Blobs::in_files(files.clone(), settings.uploads).map_err(storage(&files))?;
        let state_file = dir.join("state.json");
        let state = match std::fs::read(&state_file) {
            Ok(bytes) => serde_json::from_slice::<State>(&bytes)
                .map_err(|error| storage(&state_file)(error.into()))?
                .after_loading(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::new(),
            Err(error) => return Err(storage(&state_file)(error)),
        };
        Ok(Self::build(clock, settings, state, blobs, Some(state_file)))
    }

    fn build(
        clock: SharedClock,
        settings: SandboxJiraSettings,
        mut state: State,
        blobs: Blobs,
        state_file: Option<PathBuf>,
    ) -> Self {
        state.user(&settings.account);
        let faults = Faults::default();
        let auth = settings.auth.clone();
        Self(Arc::new(Inner {
            clock: faults.clock(clock),
            settings,
            faults,
            auth: Mutex::new(auth),
            state: Mutex::new(state),
            writes: limits::Writes::default(),
            blobs,
            other_sizes: AtomicU64::new(0),
            state_file,
            media_base: Mutex::default(),
            media_secret: rand::random(),
            hooks: webhooks::Hooks::default(),
        }))
    }

    /// Returns the settings.
    pub fn settings(&self) -> &SandboxJiraSettings {
        &self.0.settings
    }

    /// Returns the credentials that are accepted now.
    fn auth(&self) -> SandboxJiraAuth {
        self.0.auth.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the faults that make it misbehave, and the call log.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Returns the routes of the REST API and of the pages for people, wrapped in the faults.
    pub fn router(&self) -> Router {
        let router = self.0.faults.wrap(rest::router(self), error_body).merge(manners::routes(self));
        Faults::dated(router, Arc::clone(&self.0.clock))
    }

    /// Returns the current switches for wrong behaviour.
    pub fn manners(&self) -> Manners {
        self.state().manners.clone()
    }

    /// Replaces the switches for wrong behaviour.
    pub fn set_manners(&self, manners: Manners) {
        self.state().manners = manners;
    }

    /// Replaces the accepted credentials.
    pub fn set_auth(&self, auth: SandboxJiraAuth) {
        *self.0.auth.lock().unwrap_or_else(PoisonError::into_inner) = auth;
    }

    /// Returns the routes of the media host, which Cloud's attachments are fetched from. It answers 400 to a request with an
    /// `Authorization` header. Serve it on another port, and pass its URL to [`Self::set_media_base`].
    pub fn media_router(&self) -> Router {
        attachments::media_router(self)
    }

    /// Sets the media host: from now on, downloads on Cloud redirect to `{base}/file/…`. Until then, content is sent directly.
    pub fn set_media_base(&self, base: &str) {
        let base = base.trim_end_matches('/').to_owned();
        *self.0.media_base.lock().unwrap_or_else(PoisonError::into_inner) = Some(base);
    }

    /// Creates two sample issues if there is none yet: a flagged one with a comment and a file, and one without the flag.
    pub fn seed_samples(&self) -> Result<(), SandboxJiraError> {
        samples::seed(self)
    }

    // ------------------------------------------------------------ actions of people

    /// Creates an issue; returns its ID.
    pub fn create_issue(&self, issue: NewIssue) -> Result<String, SandboxJiraError> {
        let priority = priority_named(&issue.priority)?;
        let now = self.now();
        self.change(|state| {
            if state.project(&issue.project).is_none() {
                return Err(missing("project", &issue.project));
            }
            let draft = Draft {
                issue_type: "Task".to_owned(),
                summary: issue.summary,
                description: issue.description,
                priority: Some(priority.to_owned()),
                flag: issue.flagged.then(|| "true".to_owned()),
                google_name: issue.google_name,
                ..Draft::default()
            };
            Ok(state.create(&issue.project, &issue.reporter, draft, now).to_string())
        })?
    }

    /// Adds a comment that everybody sees; returns its ID. In a service management project the comment is marked as public, as by the real
    /// page.
    pub fn comment(&self, issue: &str, author: &str, body: &str) -> Result<String, SandboxJiraError> {
        let property = (state::PUBLIC_COMMENT_PROPERTY.to_owned(), json!({"internal": false}));
        let marked = self.0.settings.service_management.then_some(property);
        self.add_comment(issue, author, body, marked.into_iter().collect())
    }

    /// Adds a comment without a public or internal marker, as programs and old versions do; returns its ID.
    pub fn unmarked_comment(
        &self,
        issue: &str,
        author: &str,
        body: &str,
    ) -> Result<String, SandboxJiraError> {
        self.add_comment(issue, author, body, BTreeMap::new())
    }

    /// Adds a comment that customers do not see (in a service management project); returns its ID.
    pub fn internal_comment(
        &self,
        issue: &str,
        author: &str,
        body: &str,
    ) -> Result<String, SandboxJiraError> {
        let property = (state::PUBLIC_COMMENT_PROPERTY.to_owned(), json!({"internal": true}));
        self.add_comment(issue, author, body, BTreeMap::from([property]))
    }

    fn add_comment(
        &self,
        issue: &str,
        author: &str,
        body: &str,
        properties: BTreeMap<String, serde_json::Value>,
    ) -> Result<String, SandboxJiraError> {
        let now = self.now();
        self.change(|state| {
            let id = known_issue(state, issue)?;
            let comment = state.add_comment(id, author, body.to_owned(), properties, now);
            comment.map(|id| id.to_string()).ok_or_else(|| missing("issue", issue))
        })?
    }

    /// Changes a comment's text.
    pub fn edit_comment(&self, issue: &str, comment: &str, body: &str) -> Result<(), SandboxJiraError> {
        self.rewrite_comment(issue, comment, |comment| body.clone_into(&mut comment.body))
    }

    /// Changes a comment's text, and in the same edit hides the comment from customers or shows it to them.
    pub fn edit_comment_and_visibility(
        &self,
        issue: &str,
        comment: &str,
        body: &str,
        internal: bool,
    ) -> Result<(), SandboxJiraError> {
        self.rewrite_comment(issue, comment, |comment| {
            body.clone_into(&mut comment.body);
            let key = state::PUBLIC_COMMENT_PROPERTY.to_owned();
            comment.properties.insert(key, json!({"internal": internal}));
        })
    }

    fn rewrite_comment(
        &self,
        issue: &str,
        comment: &str,
        change: impl FnOnce(&mut state::Comment),
    ) -> Result<(), SandboxJiraError> {
        let now = self.now();
        self.change(|state| {
            let id = known_issue(state, issue)?;
            let author = state
                .issues
                .get(&id)
                .and_then(|issue| issue.comment(comment))
                .map(|comment| comment.author.clone())
                .ok_or_else(|| missing("comment", comment))?;
            let comment = comment.parse().unwrap_or_default();
            state.edit_comment(id, comment, &author, now, change);
            Ok(())
        })?
    }

    /// Deletes a comment.
    pub fn delete_comment(&self, issue: &str, comment: &str) -> Result<(), SandboxJiraError> {
        let now = self.now();
        self.change(|state| {
            let id = known_issue(state, issue)?;
            let found = comment.parse().is_ok_and(|comment| state.delete_comment(id, comment, now));
            if found { Ok(()) } else { Err(missing("comment", comment)) }
        })?
    }

    /// Attaches a file; returns the attachment's ID.
    pub fn attach(
        &self,
        issue: &str,
        author: &str,
        file_name: &str,
        mime_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<String, SandboxJiraError> {
        let issue_id = known_issue(&self.state(), issue)?;
        let id = self.state().reserve_attachment_id();
        let stored = self.0.blobs.put(id, bytes.into()).map_err(|source| self.storage_error(source))?;
        let attachment = Attachment {
            id,
            file_name: file_name.to_owned(),
            mime_type: mime_type.to_owned(),
            size: stored.size,
            sha256: Some(stored.sha256),
            author: author.to_owned(),
            created: self.now(),
            content: stored.content,
        };
        self.add_attachment(issue_id, attachment)
    }

    /// Attaches a file of `size` bytes that are computed from a seed on each read; returns the attachment's ID.
    pub fn attach_synthetic(
        &self,
        issue: &str,
        author: &str,
        file_name: &str,
        size: u64,
        seed: u64,
    ) -> Result<String, SandboxJiraError> {
        let issue_id = known_issue(&self.state(), issue)?;
        let attachment = Attachment {
            id: self.state().reserve_attachment_id(),
            file_name: file_name.to_owned(),
            mime_type: "application/octet-stream".to_owned(),
            size,
            sha256: None,
            author: author.to_owned(),
            created: self.now(),
            content: Content::Synthetic(seed),
        };
        self.add_attachment(issue_id, attachment)
    }

    fn add_attachment(&self, issue: u64, attachment: Attachment) -> Result<String, SandboxJiraError> {
        let (id, now) = (attachment.id, self.now());
        if self.change(|state| state.attach(issue, attachment, now))? {
            Ok(id.to_string())
        } else {
            self.0.blobs.remove(id);
            Err(missing("issue", &issue.to_string()))
        }
    }

    /// Deletes an attachment.
    pub fn delete_attachment(&self, attachment: &str) -> Result<(), SandboxJiraError> {
        let id: u64 = attachment.parse().map_err(|_| missing("attachment", attachment))?;
        let now = self.now();
        if !self.change(|state| state.detach(id, now))? {
            return Err(missing("attachment", attachment));
        }
        self.0.blobs.remove(id);
        Ok(())
    }

    /// Sets the summary.
    pub fn set_summary(&self, issue: &str, summary: &str) -> Result<(), SandboxJiraError> {
        self.edit(issue, |doc| summary.clone_into(&mut doc.summary))
    }

    /// Sets the priority, by name.
    pub fn set_priority(&self, issue: &str, priority: &str) -> Result<(), SandboxJiraError> {
        let priority = priority_named(priority)?;
        self.edit(issue, |doc| priority.clone_into(&mut doc.priority))
    }

    /// Sets or clears the flag `synchronizeWithGoogleCloudSupport`.
    pub fn set_flag(&self, issue: &str, on: bool) -> Result<(), SandboxJiraError> {
        self.edit(issue, |doc| doc.flag = on.then(|| "true".to_owned()))
    }

    /// Sets the labels.
    pub fn set_labels(&self, issue: &str, labels: &[&str]) -> Result<(), SandboxJiraError> {
        self.edit(issue, |doc| doc.labels = labels.iter().map(|label| (*label).to_owned()).collect())
    }

    /// Sets the issue type, by its name.
    pub fn set_issue_type(&self, issue: &str, name: &str) -> Result<(), SandboxJiraError> {
        self.edit(issue, |doc| name.clone_into(&mut doc.issue_type))
    }

    /// Makes a custom text field of that name, as an administrator; returns its ID.
    pub fn add_text_field(&self, name: &str) -> Result<String, SandboxJiraError> {
        self.change(|state| {
            let known = state.text_fields.iter().find(|(_, known)| *known == name).map(|(id, _)| id.clone());
            let id = known.unwrap_or_else(|| format!("customfield_{}", 10_080 + state.text_fields.len()));
            state.text_fields.insert(id.clone(), name.to_owned());
            id
        })
    }

    /// Sets a field of [`Self::add_text_field`], by its ID.
    pub fn set_text(&self, issue: &str, field: &str, text: Option<&str>) -> Result<(), SandboxJiraError> {
        self.edit(issue, |doc| {
            doc.others.insert(field.to_owned(), json!(text));
        })
    }

    /// Gives a user this email address, which the profile shows to others.
    pub fn show_email(&self, user: &str, email: &str) -> Result<(), SandboxJiraError> {
        self.change(|state| {
            state.user(user);
            if let Some(user) = state.users.get_mut(user) {
                email.clone_into(&mut user.email);
                user.shows_email = true;
            }
        })
    }

    /// Lets a user watch an issue or not. The time of the issue's last update stays as it is, which is assumed.
    pub fn watch(&self, issue: &str, user: &str, on: bool) -> Result<(), SandboxJiraError> {
        self.change(|state| {
            let id = known_issue(state, issue)?;
            let user = state.user(user);
            if let Some(issue) = state.issues.get_mut(&id) {
                if on {
                    issue.watchers.insert(user)
                } else {
                    issue.watchers.remove(&user)
                };
            }
            Ok(())
        })?
    }

    /// Sets `custom_field_google_name`.
    pub fn set_google_name(&self, issue: &str, name: Option<&str>) -> Result<(), SandboxJiraError> {
        self.edit(issue, |doc| doc.google_name = name.map(str::to_owned))
    }

    /// Performs a transition by its name (`Start Progress`, `Done`, `Cancel`, `Reopen Issue`, …), which must be available in the issue's
    /// status.
    pub fn transition(&self, issue: &str, name: &str) -> Result<(), SandboxJiraError> {
        let now = self.now();
        self.change(|state| {
            let id = known_issue(state, issue)?;
            let from = state.issues.get(&id).map(|issue| issue.doc.status.clone()).unwrap_or_default();
            let three = state.manners.three_ways_to_close;
            let transition = catalog::transitions(&from, &self.0.settings, three)
                .into_iter()
                .find(|transition| transition.name == name)
                .ok_or_else(|| missing("transition", name))?;
            rest::take(state, id, transition, None, now);
            Ok(())
        })?
    }

    /// Moves an issue to another project; returns its new key.
    pub fn move_issue(&self, issue: &str, project: &str) -> Result<String, SandboxJiraError> {
        let now = self.now();
        self.change(|state| {
            let id = known_issue(state, issue)?;
            state.move_to(id, project, now).ok_or_else(|| missing("project", project))
        })?
    }

    /// Clones an issue as Jira does, custom fields included; returns the new one's ID.
    pub fn clone_issue(&self, issue: &str) -> Result<String, SandboxJiraError> {
        let now = self.now();
        self.change(|state| {
            let id = known_issue(state, issue)?;
            let clone = state.clone_issue(id, "Jane Roe", now);
            clone.map(|id| id.to_string()).ok_or_else(|| missing("issue", issue))
        })?
    }

    /// Deletes an issue with everything on it.
    pub fn delete_issue(&self, issue: &str) -> Result<(), SandboxJiraError> {
        let deleted = self.change(|state| {
            let id = known_issue(state, issue)?;
            state.delete(id).ok_or_else(|| missing("issue", issue))
        })??;
        self.forget_content(&deleted);
        Ok(())
    }

    /// Hides an issue from the asking user, as an issue security level does, or shows it again.
    pub fn set_visible(&self, issue: &str, visible: bool) -> Result<(), SandboxJiraError> {
        self.change(|state| {
            let id = known_issue(state, issue)?;
            if let Some(issue) = state.issues.get_mut(&id) {
                issue.visible = visible;
            }
            Ok(())
        })?
    }

    fn edit(&self, issue: &str, change: impl FnOnce(&mut state::Document)) -> Result<(), SandboxJiraError> {
        let now = self.now();
        self.change(|state| {
            let id = known_issue(state, issue)?;
            state.edit(id, now, change);
            Ok(())
        })?
    }

    // ------------------------------------------------------------ views of people

    /// Returns an issue by ID or key, even if it is hidden from the asking user.
    pub fn issue(&self, id_or_key: &str) -> Option<IssueView> {
        let state = self.state();
        let id = state.resolve(id_or_key)?;
        state.issues.get(&id).map(view)
    }

    /// Returns all issues, oldest first, including those hidden from the asking user.
    pub fn issues(&self) -> Vec<IssueView> {
        self.state().issues.values().map(view).collect()
    }

    /// Returns an attachment's content; `None` if there is no such attachment or its bytes were not kept.
    pub fn attachment_bytes(&self, attachment: &str) -> Option<Vec<u8>> {
        let attachment = self.attachment(attachment)?;
        self.0.blobs.read(&attachment).ok()
    }

    /// Returns the SHA-256 of an attachment's content, in lower-case hex, even if the bytes were not kept.
    pub fn attachment_sha256(&self, attachment: &str) -> Option<String> {
        let attachment = self.attachment(attachment)?;
        match attachment.content {
            Content::Synthetic(seed) => Some(blobs::synthetic_sha256(seed, attachment.size)),
            Content::Kept | Content::HashOnly => attachment.sha256,
        }
    }

    fn attachment(&self, id: &str) -> Option<Attachment> {
        let id = id.parse().ok()?;
        self.state().attachment(id).map(|(_, attachment)| attachment.clone())
    }

    // ------------------------------------------------------------ internals

    /// Returns the current time, truncated to the resolution of the settings.
    fn now(&self) -> DateTime<Utc> {
        let now = self.0.clock.now();
        let unit = chrono::Duration::milliseconds(self.0.settings.time_resolution_ms.max(1).into());
        now.duration_trunc(unit).unwrap_or(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state for a person, and saves it to the file before the result is returned.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, SandboxJiraError> {
        self.change_by(None, change)
    }

    /// Changes the state for a user, by display name, and tells the webhooks of it.
    fn change_by<T>(
        &self,
        actor: Option<&str>,
        change: impl FnOnce(&mut State) -> T,
    ) -> Result<T, SandboxJiraError> {
        let mut state = self.state();
        let before = self.0.hooks.snapshot(&state);
        let result = change(&mut state);
        if let Some(path) = &self.0.state_file {
            let new = path.with_extension("json.part");
            serde_json::to_vec(&*state)
                .map_err(io::Error::from)
                .and_then(|bytes| std::fs::write(&new, bytes))
                .and_then(|()| std::fs::rename(&new, path))
                .map_err(|source| SandboxJiraError::Storage { path: path.clone(), source })?;
        }
        if let Some(before) = before {
            self.0.hooks.fire(self, &before, &state, actor);
        }
        Ok(result)
    }

    fn forget_content(&self, issue: &Issue) {
        for attachment in &issue.attachments {
            self.0.blobs.remove(attachment.id);
        }
    }

    fn storage_error(&self, source: io::Error) -> SandboxJiraError {
        let path = self.0.state_file.clone().unwrap_or_default();
        SandboxJiraError::Storage { path, source }
    }
}

impl fmt::Debug for SandboxJira {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxJira").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

fn missing(what: &'static str, name: &str) -> SandboxJiraError {
    SandboxJiraError::Missing { what, name: name.to_owned() }
}

fn known_issue(state: &State, id_or_key: &str) -> Result<u64, SandboxJiraError> {
    state.resolve(id_or_key).ok_or_else(|| missing("issue", id_or_key))
}

fn priority_named(name: &str) -> Result<&'static str, SandboxJiraError> {
    catalog::PRIORITIES.into_iter().find(|known| *known == name).ok_or_else(|| missing("priority", name))
}

fn view(issue: &Issue) -> IssueView {
    let doc = &issue.doc;
    IssueView {
        id: issue.id.to_string(),
        key: doc.key.clone(),
        summary: doc.summary.clone(),
        description: doc.description.clone(),
        status: doc.status.clone(),
        closed: catalog::status(&doc.status).category == catalog::Category::Done,
        resolution: doc.resolution.clone(),
        priority: doc.priority.clone(),
        flagged: doc.flag.as_deref() == Some("true"),
        google_name: doc.google_name.clone(),
        other_fields: doc.others.clone(),
        issue_type: doc.issue_type.clone(),
        components: doc.components.iter().cloned().collect(),
        labels: doc.labels.iter().cloned().collect(),
        remote_links: issue
            .remote_links
            .iter()
            .map(|link| RemoteLinkView {
                global_id: link.global_id.clone(),
                url: link.object("url").unwrap_or_default().to_owned(),
                title: link.object("title").unwrap_or_default().to_owned(),
                resolved: link.is_resolved(),
            })
            .collect(),
        reporter: doc.reporter.clone(),
        created: issue.created,
        updated: doc.updated,
        comments: issue
            .comments
            .iter()
            .map(|comment| CommentView {
                id: comment.id.to_string(),
                author: comment.author.clone(),
                body: comment.body.clone(),
                internal: comment.is_internal(),
                properties: comment.properties.clone(),
                created: comment.created,
            })
            .collect(),
        attachments: issue
            .attachments
            .iter()
            .map(|attachment| AttachmentView {
                id: attachment.id.to_string(),
                file_name: attachment.file_name.clone(),
                mime_type: attachment.mime_type.clone(),
                size: attachment.size,
                author: attachment.author.clone(),
                created: attachment.created,
            })
            .collect(),
    }
}
