//! A small Zendesk Support that speaks the real REST API, with its traps.
//!
//! [`SandboxZendesk::router`] serves clients; the methods of [`SandboxZendesk`] stand in for people in their browsers:
//! they change tickets and read them. [`SandboxZendesk::faults`] makes it misbehave. Limits: no
//! organisations, no views, groups, brands and ticket forms to read only, three custom fields, and one asking user.
//!
//! Sources: Zendesk's API reference at developer.zendesk.com (tickets, ticket comments, ticket attachments, search, incremental
//! exports, rate limits, "Idempotency" in the introduction) and its help articles on placeholders and attachments.
//!
//! ```text
//! catalog    groups, brands and ticket forms
//! state      tickets, comments, uploads, and how they change
//! rest       the REST API
//! files      uploads, attachments, and the host that their content lies on
//! query      the search syntax
//! text       Markdown, HTML and placeholders
//! wire       JSON out
//! pages      the pages for people
//! webhooks   webhooks and triggers
//! steering   switches for wrong behaviour, over HTTP
//! ```

mod catalog;
mod files;
mod pages;
mod query;
mod rest;
mod settings;
mod state;
mod steering;
mod text;
mod webhooks;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

pub use self::settings::{SandboxZendeskAuth, SandboxZendeskSettings, SandboxZendeskSwitches, Spoilt};
pub use self::state::UserStanding;
use self::state::{API, Attachment, Document, Draft, MergeWords, State, Words};
use super::blobs::{self, Blobs};
use super::faults::Faults;
use casebridge_core::clock::SharedClock;

/// ID of the checkbox field `synchronizeWithGoogleCloudSupport`.
pub const FLAG_FIELD: u64 = 360_000_000_101;
/// ID of the text field `custom_field_google_name`.
pub const GOOGLE_NAME_FIELD: u64 = 360_000_000_102;
/// ID of the text field `Google state`.
pub const GOOGLE_STATE_FIELD: u64 = 360_000_000_104;
/// ID of the text field `Root cause`, which can be made mandatory for solving.
pub const ROOT_CAUSE_FIELD: u64 = 360_000_000_103;

/// Sandbox Zendesk. Clones share their state.
#[derive(Clone)]
pub struct SandboxZendesk(Arc<Inner>);

struct Inner {
    clock: SharedClock,
    settings: SandboxZendeskSettings,
    faults: Faults,
    state: Mutex<State>,
    blobs: Blobs,
    /// File with the state; `None` without a data directory.
    state_file: Option<PathBuf>,
    /// Base URL of the content host, once it is set.
    content_base: Mutex<Option<String>>,
    /// Secret that signs the links to the content host.
    content_secret: [u8; 16],
    calls: Mutex<Calls>,
    switches: Mutex<SandboxZendeskSwitches>,
    hooks: webhooks::Hooks,
}

/// Times of the calls that count towards rate limits.
#[derive(Debug, Default)]
struct Calls {
    all: VecDeque<DateTime<Utc>>,
    exports: VecDeque<DateTime<Utc>>,
}

/// Error of an action in a sandbox Zendesk.
#[derive(Debug, thiserror::Error)]
pub enum SandboxZendeskError {
    /// There is no such ticket, comment, attachment, priority or status.
    #[error("the sandbox Zendesk has no {what} {name}")]
    Missing {
        /// Kind of the missing item.
        what: &'static str,
        /// Its ID or name.
        name: String,
    },
    /// The two tickets cannot be merged, for this reason.
    #[error("the sandbox Zendesk cannot merge these tickets: {0}")]
    Unmergeable(&'static str),
    /// The ticket is closed, and so cannot be changed by anyone.
    #[error("ticket {0} of the sandbox Zendesk is closed: it takes no change any more")]
    Closed(String),
    /// The data directory cannot be read or written.
    #[error("cannot keep the sandbox Zendesk's state in {path}")]
    Storage {
        /// File or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// Input for a ticket that a person creates; start from [`NewTicket::new`].
#[derive(Debug, Clone)]
pub struct NewTicket {
    /// The subject.
    pub subject: String,
    /// The first comment, Markdown.
    pub description: String,
    /// True if the first comment is public.
    pub public: bool,
    /// `urgent`, `high`, `normal`, `low`, or none.
    pub priority: Option<String>,
    /// True if `synchronizeWithGoogleCloudSupport` is on.
    pub flagged: bool,
    /// `custom_field_google_name`.
    pub google_name: Option<String>,
    /// `external_id`.
    pub external_id: Option<String>,
    /// Name of the requester.
    pub requester: String,
}

impl NewTicket {
    /// Returns a ticket of normal priority, without the flag, requested by Jane Roe.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            description: format!("about {subject}"),
            public: true,
            priority: Some("normal".to_owned()),
            flagged: false,
            google_name: None,
            external_id: None,
            requester: "Jane Roe".to_owned(),
        }
    }

    /// Returns the same as [`NewTicket::new`], with the flag on.
    #[must_use]
    pub fn flagged(subject: &str) -> Self {
        Self { flagged: true, ..Self::new(subject) }
    }
}

/// Ticket as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketView {
    /// The ID, decimal.
    pub id: String,
    /// The subject.
    pub subject: String,
    /// The text of the first comment.
    pub description: String,
    /// `new`, `open`, `pending`, `hold`, `solved` or `closed`.
    pub status: String,
    /// Label of the account's own status.
    pub status_label: String,
    /// Value of `Google state`.
    pub google_state: Option<String>,
    /// True if the ticket is solved or closed.
    pub closed: bool,
    /// `urgent`, `high`, `normal`, `low`, or none.
    pub priority: Option<String>,
    /// True if `synchronizeWithGoogleCloudSupport` is on.
    pub flagged: bool,
    /// `custom_field_google_name`.
    pub google_name: Option<String>,
    /// `external_id`.
    pub external_id: Option<String>,
    /// The tags, in order.
    pub tags: Vec<String>,
    /// `problem`, `incident`, `question`, `task`, or none.
    pub kind: Option<String>,
    /// ID of the group that has the ticket.
    pub group: Option<u64>,
    /// Name of the requester.
    pub requester: String,
    /// Names and addresses of those who get copies of its mails.
    pub email_ccs: Vec<(String, String)>,
    /// Time of creation.
    pub created: DateTime<Utc>,
    /// Time of the last change, including comments.
    pub updated: DateTime<Utc>,
    /// Its comments, oldest first; the first one is the description.
    pub comments: Vec<CommentView>,
}

impl TicketView {
    /// Returns the attachments of all comments, oldest first.
    pub fn attachments(&self) -> impl Iterator<Item = &AttachmentView> {
        self.comments.iter().flat_map(|comment| &comment.attachments)
    }
}

/// Comment as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentView {
    /// The ID, decimal.
    pub id: String,
    /// The author's name.
    pub author: String,
    /// The text, without its markup.
    pub text: String,
    /// HTML that a browser gets.
    pub html: String,
    /// True if the requester sees the comment.
    pub public: bool,
    /// Time of creation.
    pub created: DateTime<Utc>,
    /// Attachments of the comment.
    pub attachments: Vec<AttachmentView>,
}

/// Attachment as a person sees it; [`SandboxZendesk::attachment_bytes`] returns its content.
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
}

impl SandboxZendesk {
    /// Creates an empty sandbox that keeps its state in memory only.
    #[must_use]
    pub fn new(clock: SharedClock, settings: SandboxZendeskSettings) -> Self {
        let state = State::new(&settings.account, settings.admin, clock.now());
        Self::build(clock, settings, state, Blobs::in_memory(), None)
    }

    /// Creates a sandbox that keeps its state in a directory, which is made if it does not exist. Every change is in the file before it is
    /// answered, so a killed process loses nothing.
    pub fn with_data_dir(
        clock: SharedClock,
        settings: SandboxZendeskSettings,
        dir: &Path,
    ) -> Result<Self, SandboxZendeskError> {
        let storage = |path: &Path| {
            let path = path.to_owned();
            move |source| SandboxZendeskError::Storage { path, source }
        };
        let files = dir.join("attachments");
        let blobs = Blobs::in_files(files.clone()).map_err(storage(&files))?;
        let state_file = dir.join("state.json");
        let state = match std::fs::read(&state_file) {
            Ok(bytes) => serde_json::from_slice::<State>(&bytes)
                .map_err(|error| storage(&state_file)(error.into()))?
                .after_loading(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                State::new(&settings.account, settings.admin, clock.now())
            }
            Err(error) => return Err(storage(&state_file)(error)),
        };
        Ok(Self::build(clock, settings, state, blobs, Some(state_file)))
    }

    fn build(
        clock: SharedClock,
        settings: SandboxZendeskSettings,
        state: State,
        blobs: Blobs,
        state_file: Option<PathBuf>,
    ) -> Self {
        let faults = Faults::default();
        Self(Arc::new(Inner {
            clock: faults.clock(clock),
            settings,
            faults,
            state: Mutex::new(state),
            blobs,
            state_file,
            content_base: Mutex::default(),
            content_secret: rand::random(),
            calls: Mutex::default(),
            switches: Mutex::default(),
            hooks: webhooks::Hooks::default(),
        }))
    }

    /// Returns the settings.
    pub fn settings(&self) -> &SandboxZendeskSettings {
        &self.0.settings
    }

    /// Returns the current switches for wrong behaviour behind a 200.
    pub fn switches(&self) -> SandboxZendeskSwitches {
        *self.0.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the switches for wrong behaviour.
    pub fn set_switches(&self, switches: SandboxZendeskSwitches) {
        *self.0.switches.lock().unwrap_or_else(PoisonError::into_inner) = switches;
    }

    /// Returns the faults that make it misbehave, and the call log.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Returns the routes of the REST API and of the pages for people, wrapped in the faults.
    pub fn router(&self) -> Router {
        let router = self.0.faults.wrap(rest::router(self), rest::error_body).merge(steering::routes(self));
        Faults::dated(router, Arc::clone(&self.0.clock))
    }

    /// Returns the routes of the content host, which attachments' content is fetched from. It answers 400 to a request with an
    /// `Authorization` header. Serve it on another port, and pass its URL to [`Self::set_content_base`].
    pub fn content_router(&self) -> Router {
        files::content_router(self)
    }

    /// Sets the content host: from now on, downloads redirect to `{base}/attachment/…`. Until then, content is sent directly.
    pub fn set_content_base(&self, base: &str) {
        let base = base.trim_end_matches('/').to_owned();
        *self.0.content_base.lock().unwrap_or_else(PoisonError::into_inner) = Some(base);
    }

    /// Creates two sample tickets if there is none yet: a flagged one with a comment and a file, and one without the flag.
    pub fn seed_samples(&self) -> Result<(), SandboxZendeskError> {
        if !self.tickets().is_empty() {
            return Ok(());
        }
        let flagged = self.create_ticket(NewTicket {
            description: "Since this morning the nightly export cannot write to its bucket.\n\nThe log of the last run is attached."
                .to_owned(),
            priority: Some("high".to_owned()),
            ..NewTicket::flagged("Nightly export fails with 403")
        })?;
        self.comment(&flagged, "Jane Roe", "It fails with every service account that we tried.")?;
        let log = "02:00:00 export started\n02:00:07 403 Forbidden: storage.objects.create\n02:00:07 export failed\n";
        self.attach(&flagged, "Jane Roe", "export.log", "text/plain", log)?;
        self.create_ticket(NewTicket {
            description: "This one is our own affair: it lacks the flag, so it stays here.".to_owned(),
            requester: "Max Doe".to_owned(),
            ..NewTicket::new("Order new keyboards")
        })?;
        Ok(())
    }

    // ------------------------------------------------------------ actions of people

    /// Creates a ticket; returns its ID.
    pub fn create_ticket(&self, ticket: NewTicket) -> Result<String, SandboxZendeskError> {
        let priority = ticket.priority.as_deref().map(known_priority).transpose()?;
        let now = self.now();
        self.change(|state| {
            let requester = state.user(&ticket.requester, now);
            let mut custom = BTreeMap::from([(FLAG_FIELD, json!(ticket.flagged))]);
            custom.insert(GOOGLE_NAME_FIELD, json!(ticket.google_name));
            custom.insert(ROOT_CAUSE_FIELD, Value::Null);
            let doc = Document {
                subject: ticket.subject,
                status: "open".to_owned(),
                custom_status: None,
                priority,
                kind: None,
                external_id: ticket.external_id,
                requester,
                email_ccs: std::collections::BTreeSet::new(),
                followers: std::collections::BTreeSet::new(),
                assignee: None,
                group: None,
                tags: BTreeSet::new(),
                custom,
                updated: now,
            };
            let first = Draft {
                author: requester,
                words: Words::Markdown(ticket.description),
                public: ticket.public,
                via: API,
                attachments: Vec::new(),
            };
            Ok(state.create(requester, doc, first, now).to_string())
        })?
    }

    /// Adds a comment in Markdown that the requester sees; returns its ID.
    pub fn comment(&self, ticket: &str, author: &str, body: &str) -> Result<String, SandboxZendeskError> {
        self.add_comment(ticket, author, body, true, Vec::new())
    }

    /// Adds an internal note in Markdown; returns its ID.
    pub fn internal_comment(
        &self,
        ticket: &str,
        author: &str,
        body: &str,
    ) -> Result<String, SandboxZendeskError> {
        self.add_comment(ticket, author, body, false, Vec::new())
    }

    fn add_comment(
        &self,
        ticket: &str,
        author: &str,
        body: &str,
        public: bool,
        attachments: Vec<Attachment>,
    ) -> Result<String, SandboxZendeskError> {
        let now = self.now();
        self.change(|state| {
            let id = changeable(state, ticket)?;
            let author = state.user(author, now);
            let words = Words::Markdown(body.to_owned());
            state.update(
                id,
                author,
                now,
                Some(Draft { author, words, public, via: API, attachments }),
                |_| {},
            );
            let added = state.tickets.get(&id).and_then(|ticket| ticket.comments.last());
            added.map(|comment| comment.id.to_string()).ok_or_else(|| missing("ticket", ticket))
        })?
    }

    /// Turns an existing comment into an internal note.
    pub fn make_private(&self, ticket: &str, comment: &str) -> Result<(), SandboxZendeskError> {
        let now = self.now();
        self.change(|state| {
            let id = changeable(state, ticket)?;
            let comment_id = comment.parse().unwrap_or_default();
            state.comment_mut(id, comment_id).ok_or_else(|| missing("comment", comment))?.public = false;
            state.tickets.entry(id).and_modify(|ticket| ticket.touch(now));
            Ok(())
        })?
    }

    /// Adds a public comment with a file; returns the attachment's ID.
    pub fn attach(
        &self,
        ticket: &str,
        author: &str,
        file_name: &str,
        mime_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<String, SandboxZendeskError> {
        self.attach_with(ticket, author, file_name, mime_type, bytes, "See the attached file.", true)
    }

    /// Adds a comment with a file; returns the attachment's ID.
    #[expect(clippy::too_many_arguments, reason = "what a person fills in")]
    pub fn attach_with(
        &self,
        ticket: &str,
        author: &str,
        file_name: &str,
        mime_type: &str,
        bytes: impl Into<Bytes>,
        words: &str,
        public: bool,
    ) -> Result<String, SandboxZendeskError> {
        let bytes = bytes.into();
        let id = self.state().attachment_id();
        let (size, sha256) = (bytes.len() as u64, blobs::sha256(&bytes));
        self.0.blobs.put(&id.to_string(), bytes).map_err(|source| self.storage_error(source))?;
        let attachment =
            Attachment { sha256: Some(sha256), ..new_attachment(id, file_name, mime_type, size) };
        self.add_comment(ticket, author, words, public, vec![attachment])?;
        Ok(id.to_string())
    }

    /// Adds a public comment with a file of `size` bytes that are computed from a seed on each read; returns the attachment's ID.
    pub fn attach_synthetic(
        &self,
        ticket: &str,
        author: &str,
        file_name: &str,
        size: u64,
        seed: u64,
    ) -> Result<String, SandboxZendeskError> {
        let id = self.state().attachment_id();
        let attachment = Attachment {
            synthetic: Some(seed),
            ..new_attachment(id, file_name, "application/octet-stream", size)
        };
        self.add_comment(ticket, author, "See the attached file.", true, vec![attachment])?;
        Ok(id.to_string())
    }

    /// Redacts an attachment: its content is removed, its comment stays.
    pub fn redact_attachment(&self, attachment: &str) -> Result<(), SandboxZendeskError> {
        let id: u64 = attachment.parse().map_err(|_| missing("attachment", attachment))?;
        let now = self.now();
        self.change(|state| {
            let found = state.attachment(id).map(|(ticket, comment, _)| (ticket.id, comment.id));
            let (ticket, comment) = found.ok_or_else(|| missing("attachment", attachment))?;
            redact(state, ticket, comment, id, now);
            Ok::<(), SandboxZendeskError>(())
        })??;
        self.0.blobs.remove(&id.to_string());
        Ok(())
    }

    /// Sets the subject.
    pub fn set_subject(&self, ticket: &str, subject: &str) -> Result<(), SandboxZendeskError> {
        self.edit(ticket, |doc| subject.clone_into(&mut doc.subject))
    }

    /// Sets or clears the priority.
    pub fn set_priority(&self, ticket: &str, priority: Option<&str>) -> Result<(), SandboxZendeskError> {
        let priority = priority.map(known_priority).transpose()?;
        self.edit(ticket, |doc| doc.priority = priority)
    }

    /// Sets the status: `open`, `pending`, `hold`, `solved`, or `closed`, which in the real Zendesk an automation sets days later.
    pub fn set_status(&self, ticket: &str, status: &str) -> Result<(), SandboxZendeskError> {
        let known = state::STATUSES.into_iter().find(|known| *known == status);
        let status = known.ok_or_else(|| missing("status", status))?;
        self.edit(ticket, |doc| status.clone_into(&mut doc.status))
    }

    /// Sets one of the account's own statuses, by the label that agents see: `Cancelled by customer`, `Duplicate`.
    pub fn set_custom_status(&self, ticket: &str, label: &str) -> Result<(), SandboxZendeskError> {
        let known = state::CUSTOM_STATUSES.iter().find(|(.., known)| *known == label);
        let (id, category, _) = known.ok_or_else(|| missing("status", label))?;
        self.edit(ticket, |doc| {
            (*category).clone_into(&mut doc.status);
            doc.custom_status = Some(*id);
        })
    }

    /// Sets the tags.
    pub fn set_tags(&self, ticket: &str, tags: &[&str]) -> Result<(), SandboxZendeskError> {
        self.edit(ticket, |doc| doc.tags = tags.iter().map(|tag| (*tag).to_owned()).collect())
    }

    /// Assigns a ticket to a group.
    pub fn set_group(&self, ticket: &str, group: u64) -> Result<(), SandboxZendeskError> {
        self.edit(ticket, |doc| doc.group = Some(group))
    }

    /// Merges a ticket into another one, as an agent does in the workspace, with its standard texts. The comments are public if both
    /// tickets are.
    pub fn merge(&self, from: &str, into: &str, agent: &str) -> Result<(), SandboxZendeskError> {
        let now = self.now();
        self.change(|state| {
            let (from, into) = (known(state, from)?, known(state, into)?);
            let who = state.user(agent, now);
            let words = MergeWords { target_public: true, source_public: true, ..MergeWords::default() };
            state.merge(from, into, who, &words, now).map_err(SandboxZendeskError::Unmergeable)
        })?
    }

    /// Sets or clears the flag `synchronizeWithGoogleCloudSupport`.
    pub fn set_flag(&self, ticket: &str, on: bool) -> Result<(), SandboxZendeskError> {
        self.edit(ticket, |doc| {
            doc.custom.insert(FLAG_FIELD, json!(on));
        })
    }

    /// Sets `custom_field_google_name`.
    pub fn set_google_name(&self, ticket: &str, name: Option<&str>) -> Result<(), SandboxZendeskError> {
        self.edit(ticket, |doc| {
            doc.custom.insert(GOOGLE_NAME_FIELD, json!(name));
        })
    }

    /// Sets a custom text field, by its ID.
    pub fn set_text(&self, ticket: &str, field: u64, text: Option<&str>) -> Result<(), SandboxZendeskError> {
        self.edit(ticket, |doc| {
            doc.custom.insert(field, json!(text));
        })
    }

    /// Returns the name of the user with this address.
    pub(super) fn user_with(&self, email: &str) -> Option<String> {
        let state = self.state();
        let found = state.users.values().find(|user| user.email.eq_ignore_ascii_case(email));
        found.map(|user| user.name.clone())
    }

    /// Copies the user with this address on the ticket's mails or not; a new user gets this name.
    pub fn copy_to(
        &self,
        ticket: &str,
        (name, email): (&str, &str),
        on: bool,
    ) -> Result<(), SandboxZendeskError> {
        let now = self.now();
        let user = self.change(|state| state.user_of(email, name, now))?;
        self.edit(ticket, |doc| {
            if on {
                doc.email_ccs.insert(user)
            } else {
                doc.email_ccs.remove(&user)
            };
        })
    }

    /// Sets `external_id`.
    pub fn set_external_id(
        &self,
        ticket: &str,
        external_id: Option<&str>,
    ) -> Result<(), SandboxZendeskError> {
        self.edit(ticket, |doc| doc.external_id = external_id.map(str::to_owned))
    }

    /// Deletes a ticket.
    pub fn delete_ticket(&self, ticket: &str) -> Result<(), SandboxZendeskError> {
        let now = self.now();
        self.change(|state| {
            let id = known(state, ticket)?;
            delete(state, id, now);
            Ok(())
        })?
    }

    /// Restores a deleted ticket.
    pub fn restore_ticket(&self, ticket: &str) -> Result<(), SandboxZendeskError> {
        let now = self.now();
        self.change(|state| {
            let id: u64 = ticket.parse().map_err(|_| missing("ticket", ticket))?;
            let deleted = state.tickets.get_mut(&id).filter(|ticket| ticket.deleted);
            let found = deleted.ok_or_else(|| missing("ticket", ticket))?;
            found.deleted = false;
            found.touch(now);
            Ok(())
        })?
    }

    /// Restricts the asking user to the tickets of these groups, which makes it an agent; `None` lets it see all tickets again.
    pub fn restrict_to_groups(&self, groups: Option<&[u64]>) -> Result<(), SandboxZendeskError> {
        self.change(|state| state.groups = groups.map(|groups| groups.iter().copied().collect()))
    }

    /// Creates a user of that name and role, such as `agent`, or changes it; returns its ID.
    pub fn set_user(
        &self,
        name: &str,
        role: &str,
        standing: UserStanding,
    ) -> Result<u64, SandboxZendeskError> {
        let now = self.now();
        self.change(|state| {
            let id = state.user(name, now);
            state.role(id, role);
            state.users.entry(id).and_modify(|user| user.standing = standing);
            id
        })
    }

    /// Sets the answer in place of a file's content; `None` brings the content back.
    pub fn spoil(&self, attachment: &str, spoilt: Option<Spoilt>) -> Result<(), SandboxZendeskError> {
        self.change_attachment(attachment, |attachment| attachment.spoilt = spoilt)
    }

    /// Marks a file as containing malware, or clears the mark.
    pub fn set_malware(&self, attachment: &str, found: bool) -> Result<(), SandboxZendeskError> {
        self.change_attachment(attachment, |attachment| attachment.malware = found)
    }

    fn change_attachment(
        &self,
        attachment: &str,
        change: impl FnOnce(&mut Attachment),
    ) -> Result<(), SandboxZendeskError> {
        self.change(|state| {
            let id: u64 = attachment.parse().map_err(|_| missing("attachment", attachment))?;
            let hanging = state.tickets.values_mut().flat_map(|ticket| &mut ticket.comments);
            let mut files = hanging.flat_map(|comment| &mut comment.attachments);
            let found = files.find(|file| file.id == id).ok_or_else(|| missing("attachment", attachment))?;
            change(found);
            Ok(())
        })?
    }

    /// Hides a ticket from the asking user, as a role's restriction does, or shows it again.
    pub fn set_visible(&self, ticket: &str, visible: bool) -> Result<(), SandboxZendeskError> {
        self.change(|state| {
            let id = known(state, ticket)?;
            state.tickets.entry(id).and_modify(|ticket| ticket.visible = visible);
            Ok(())
        })?
    }

    fn edit(&self, ticket: &str, change: impl FnOnce(&mut Document)) -> Result<(), SandboxZendeskError> {
        let now = self.now();
        self.change(|state| {
            let id = changeable(state, ticket)?;
            let who = state.user("Jane Roe", now);
            state.update(id, who, now, None, change);
            Ok(())
        })?
    }

    // ------------------------------------------------------------ views of people

    /// Returns a ticket, even if it is hidden from the asking user; `None` if there is none or it was deleted.
    pub fn ticket(&self, id: &str) -> Option<TicketView> {
        let state = self.state();
        let ticket = state.tickets.get(&id.parse().ok()?).filter(|ticket| !ticket.deleted)?;
        Some(view(&state, ticket))
    }

    /// Returns all tickets, oldest first, including those hidden from the asking user, but without deleted ones.
    pub fn tickets(&self) -> Vec<TicketView> {
        let state = self.state();
        state.tickets.values().filter(|ticket| !ticket.deleted).map(|ticket| view(&state, ticket)).collect()
    }

    /// Returns an attachment's content; `None` if there is no such attachment.
    pub fn attachment_bytes(&self, attachment: &str) -> Option<Vec<u8>> {
        let attachment = self.attachment(attachment)?;
        self.0.blobs.read(&attachment.blob(), attachment.computed()).ok().map(|bytes| bytes.to_vec())
    }

    /// Returns the SHA-256 of an attachment's content, in lower-case hex.
    pub fn attachment_sha256(&self, attachment: &str) -> Option<String> {
        let attachment = self.attachment(attachment)?;
        match attachment.computed() {
            Some(computed) => Some(blobs::computed_sha256(computed)),
            None => attachment.sha256,
        }
    }

    fn attachment(&self, id: &str) -> Option<Attachment> {
        let id = id.parse().ok()?;
        self.state().attachment(id).map(|(_, _, attachment)| attachment.clone())
    }

    // ------------------------------------------------------------ internals

    /// Returns the current time, truncated to the second: the resolution that Zendesk stores.
    fn now(&self) -> DateTime<Utc> {
        let now = self.0.clock.now();
        DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state for a person, and saves it to the file before the result is returned.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, SandboxZendeskError> {
        self.change_by(None, change)
    }

    /// Changes the state for a user, and tells the webhooks of it.
    fn change_by<T>(
        &self,
        actor: Option<u64>,
        change: impl FnOnce(&mut State) -> T,
    ) -> Result<T, SandboxZendeskError> {
        let mut state = self.state();
        let before = self.0.hooks.snapshot(&state);
        let result = change(&mut state);
        if let Some(path) = &self.0.state_file {
            let new = path.with_extension("json.part");
            serde_json::to_vec(&*state)
                .map_err(io::Error::from)
                .and_then(|bytes| std::fs::write(&new, bytes))
                .and_then(|()| std::fs::rename(&new, path))
                .map_err(|source| SandboxZendeskError::Storage { path: path.clone(), source })?;
        }
        if let Some(before) = before {
            self.0.hooks.fire(self, &before, &state, actor);
        }
        Ok(result)
    }

    fn storage_error(&self, source: io::Error) -> SandboxZendeskError {
        let path = self.0.state_file.clone().unwrap_or_default();
        SandboxZendeskError::Storage { path, source }
    }
}

impl fmt::Debug for SandboxZendesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxZendesk").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

fn missing(what: &'static str, name: &str) -> SandboxZendeskError {
    SandboxZendeskError::Missing { what, name: name.to_owned() }
}

fn known(state: &State, ticket: &str) -> Result<u64, SandboxZendeskError> {
    let id = ticket.parse().ok().filter(|id| state.tickets.get(id).is_some_and(|ticket| !ticket.deleted));
    id.ok_or_else(|| missing("ticket", ticket))
}

fn changeable(state: &State, ticket: &str) -> Result<u64, SandboxZendeskError> {
    let id = known(state, ticket)?;
    if state.tickets.get(&id).is_some_and(state::Ticket::is_closed) {
        return Err(SandboxZendeskError::Closed(ticket.to_owned()));
    }
    Ok(id)
}

fn known_priority(name: &str) -> Result<String, SandboxZendeskError> {
    let known = state::PRIORITIES.into_iter().find(|known| *known == name);
    known.map(str::to_owned).ok_or_else(|| missing("priority", name))
}

fn new_attachment(id: u64, file_name: &str, mime_type: &str, size: u64) -> Attachment {
    Attachment {
        id,
        token: hex::encode(rand::random::<[u8; 12]>()),
        file_name: file_name.to_owned(),
        mime_type: mime_type.to_owned(),
        size,
        sha256: None,
        synthetic: None,
        inline: false,
        deleted: false,
        malware: false,
        spoilt: None,
        copy_of: None,
    }
}

fn redact(state: &mut State, ticket: u64, comment: u64, attachment: u64, now: DateTime<Utc>) -> bool {
    let Some(comment) = state.comment_mut(ticket, comment) else { return false };
    let Some(found) = comment.attachments.iter_mut().find(|known| known.id == attachment) else {
        return false;
    };
    "redacted.txt".clone_into(&mut found.file_name);
    found.deleted = true;
    found.size = 0;
    found.synthetic = None;
    state.tickets.entry(ticket).and_modify(|ticket| ticket.touch(now));
    true
}

fn delete(state: &mut State, ticket: u64, now: DateTime<Utc>) {
    state.tickets.entry(ticket).and_modify(|ticket| {
        ticket.deleted = true;
        ticket.touch(now);
    });
}

fn view(state: &State, ticket: &state::Ticket) -> TicketView {
    let name = |id: u64| state.users.get(&id).map(|user| user.name.clone()).unwrap_or_default();
    let doc = &ticket.doc;
    TicketView {
        id: ticket.id.to_string(),
        subject: doc.subject.clone(),
        description: ticket.description().to_owned(),
        status: doc.status.clone(),
        status_label: wire::status_label(doc).to_owned(),
        google_state: doc.custom.get(&GOOGLE_STATE_FIELD).and_then(Value::as_str).map(str::to_owned),
        closed: matches!(doc.status.as_str(), "solved" | "closed"),
        priority: doc.priority.clone(),
        flagged: doc.custom.get(&FLAG_FIELD) == Some(&Value::Bool(true)),
        google_name: doc.custom.get(&GOOGLE_NAME_FIELD).and_then(Value::as_str).map(str::to_owned),
        external_id: doc.external_id.clone(),
        tags: doc.tags.iter().cloned().collect(),
        kind: doc.kind.clone(),
        group: doc.group,
        requester: name(doc.requester),
        email_ccs: doc
            .email_ccs
            .iter()
            .filter_map(|id| state.users.get(id))
            .map(|user| (user.name.clone(), user.email.clone()))
            .collect(),
        created: ticket.created,
        updated: doc.updated,
        comments: ticket
            .comments
            .iter()
            .map(|comment| CommentView {
                id: comment.id.to_string(),
                author: name(comment.author),
                text: text::plain_text(&comment.html),
                html: comment.html.clone(),
                public: comment.public,
                created: comment.created,
                attachments: comment
                    .attachments
                    .iter()
                    .filter(|attachment| !attachment.deleted)
                    .map(|attachment| AttachmentView {
                        id: attachment.id.to_string(),
                        file_name: attachment.file_name.clone(),
                        mime_type: attachment.mime_type.clone(),
                        size: attachment.size,
                    })
                    .collect(),
            })
            .collect(),
    }
}
