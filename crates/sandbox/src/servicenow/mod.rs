//! A small ServiceNow that speaks the real Table and Attachment APIs, with their traps.
//!
//! [`SandboxServiceNow::router`] serves clients; the methods of [`SandboxServiceNow`] stand in for people in their browsers:
//! they change cases and read them. [`SandboxServiceNow::faults`] makes it misbehave. Limits: three tables of
//! cases, no workflows, groups to refer to only, no rules for domains, and one asking user.
//!
//! Sources: "Table API", "Attachment API", "Batch API" and "Inbound REST API rate limiting" in the product documentation, and its
//! pages on encoded queries, journal fields and data policies.
//!
//! ```text
//! business_rule  messages about changes
//! catalog        tables, columns and choices
//! state          records, and how they change
//! query          encoded queries
//! rest           Table API, Batch API, authentication
//! files          Attachment API
//! pages          the pages for people
//! steering       switches for wrong behaviour, over HTTP
//! ```

mod business_rule;
mod catalog;
mod files;
mod pages;
mod query;
mod rest;
mod settings;
mod state;
mod steering;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, Utc};

pub use self::business_rule::BusinessRule;
pub use self::catalog::{CUSTOMER_CASE, INCIDENT, PROBLEM};
pub use self::settings::{SandboxServiceNowAuth, SandboxServiceNowSettings, SandboxServiceNowSwitches};
use self::state::{Refused, Row, Sent, State, get, owned};
use super::blobs::{self, Blobs, Computed};
use super::faults::Faults;
use casebridge_core::clock::SharedClock;

/// True/false column for the flag: true if the case takes part in the sync.
pub const FLAG_COLUMN: &str = "u_synchronize_with_google_cloud_support";
/// Column for the Google case's name.
pub const GOOGLE_NAME_COLUMN: &str = "u_google_case_name";
/// Column for Google's state in words.
pub const GOOGLE_STATE_COLUMN: &str = "u_google_state";

/// Sandbox ServiceNow. Clones share their state.
#[derive(Clone)]
pub struct SandboxServiceNow(Arc<Inner>);

struct Inner {
    clock: SharedClock,
    settings: SandboxServiceNowSettings,
    faults: Faults,
    state: Mutex<State>,
    blobs: Blobs,
    /// File with the state; `None` without a data directory.
    state_file: Option<PathBuf>,
    /// Hour that is being counted, and the number of calls in it.
    calls: Mutex<(i64, usize)>,
    switches: Mutex<SandboxServiceNowSwitches>,
    rules: business_rule::Rules,
}

/// Verdict of a virus scanner on a file: the column `state` of `sys_attachment`, which is empty without a scanner. Source: "states of an
/// attachment" (KB0785328, Now Support).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// The file is clean.
    Available,
    /// The file is in quarantine and cannot be downloaded.
    NotAvailable,
    /// The file is waiting to be scanned.
    Pending,
    /// The file could not be scanned, and can be downloaded all the same.
    AvailableConditionally,
}

impl FileState {
    const fn value(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::NotAvailable => "not_available",
            Self::Pending => "pending",
            Self::AvailableConditionally => "available_conditionally",
        }
    }
}

/// Answer in place of a file's content, while the file is listed as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoilt {
    /// 404.
    Missing,
    /// 200 with a sign-in page.
    SignOn,
    /// 200 with this number of other bytes.
    OtherSize(usize),
}

/// Error of an action in a sandbox ServiceNow.
#[derive(Debug, thiserror::Error)]
pub enum SandboxServiceNowError {
    /// There is no such record or attachment.
    #[error("the sandbox ServiceNow has no {what} {id}")]
    Missing {
        /// Kind of the missing item.
        what: &'static str,
        /// `sys_id` or name of the item.
        id: String,
    },
    /// A mandatory column is empty, or the record's state is final.
    #[error("the sandbox ServiceNow refuses to change record {id}: {reason}")]
    Refused {
        /// `sys_id` of the record.
        id: String,
        /// Reason of the refusal.
        reason: String,
    },
    /// The data directory cannot be read or written.
    #[error("cannot keep the sandbox ServiceNow's state in {path}")]
    Storage {
        /// File or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// Input for a case that a person creates; start from [`NewRecord::new`].
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// [`INCIDENT`], [`CUSTOMER_CASE`] or [`PROBLEM`].
    pub table: &'static str,
    /// `short_description`.
    pub short_description: String,
    /// `description`.
    pub description: String,
    /// Impact and urgency of an incident, 1 to 3; of a customer service case the first is the priority.
    pub impact_and_urgency: (u8, u8),
    /// True if [`FLAG_COLUMN`] is on.
    pub flagged: bool,
    /// [`GOOGLE_NAME_COLUMN`].
    pub google_name: Option<String>,
    /// Name of the user who opens the case.
    pub opened_by: String,
}

impl NewRecord {
    /// Returns an incident of moderate priority, without the flag, opened by Jane Roe.
    #[must_use]
    pub fn new(short_description: &str) -> Self {
        Self {
            table: INCIDENT,
            short_description: short_description.to_owned(),
            description: format!("about {short_description}"),
            impact_and_urgency: (2, 2),
            flagged: false,
            google_name: None,
            opened_by: "Jane Roe".to_owned(),
        }
    }

    /// Returns the same as [`NewRecord::new`], with the flag on.
    #[must_use]
    pub fn flagged(short_description: &str) -> Self {
        Self { flagged: true, ..Self::new(short_description) }
    }
}

/// Case as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// The `sys_id`.
    pub id: String,
    /// Table of the case.
    pub table: String,
    /// Number, for example `INC0010001`.
    pub number: String,
    /// `short_description`.
    pub short_description: String,
    /// `description`.
    pub description: String,
    /// Value of the state.
    pub state: String,
    /// Label of the state.
    pub state_label: String,
    /// True if the case is resolved, closed or canceled.
    pub closed: bool,
    /// Value of the priority.
    pub priority: String,
    /// `close_notes`.
    pub close_notes: String,
    /// `category`.
    pub category: String,
    /// `watch_list`.
    pub watch_list: String,
    /// `assignment_group`.
    pub assignment_group: String,
    /// `assigned_to`.
    pub assigned_to: String,
    /// True if [`FLAG_COLUMN`] is on.
    pub flagged: bool,
    /// [`GOOGLE_NAME_COLUMN`].
    pub google_name: Option<String>,
    /// [`GOOGLE_STATE_COLUMN`].
    pub google_state: String,
    /// `correlation_id`: record of another system.
    pub correlation_id: String,
    /// `correlation_display`: words for that record.
    pub correlation_display: String,
    /// Time of creation.
    pub created: DateTime<Utc>,
    /// Time of the last update, as ServiceNow counts updates.
    pub updated: DateTime<Utc>,
    /// Its comments and work notes, oldest first.
    pub journal: Vec<EntryView>,
    /// Its attachments, oldest first.
    pub attachments: Vec<FileView>,
}

/// Comment or work note as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryView {
    /// The `sys_id`.
    pub id: String,
    /// The author's name.
    pub author: String,
    /// Stored text.
    pub text: String,
    /// HTML that a browser gets.
    pub html: String,
    /// True if the caller sees the entry: it is a comment and not a work note.
    pub public: bool,
    /// Time of creation.
    pub created: DateTime<Utc>,
}

/// Attachment as a person sees it; [`SandboxServiceNow::attachment_bytes`] returns its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileView {
    /// The `sys_id`.
    pub id: String,
    /// The file's name.
    pub file_name: String,
    /// Media type.
    pub content_type: String,
    /// Size in bytes.
    pub size: u64,
    /// Name of the user who added the file.
    pub author: String,
}

impl SandboxServiceNow {
    /// Creates an empty sandbox that keeps its state in memory only.
    #[must_use]
    pub fn new(clock: SharedClock, settings: SandboxServiceNowSettings) -> Self {
        let state = State::new(&settings, clock.now());
        Self::build(clock, settings, state, Blobs::in_memory(), None)
    }

    /// Creates a sandbox that keeps its state in a directory, which is made if it does not exist. Every change is in the file before it is
    /// answered, so a killed process loses nothing.
    pub fn with_data_dir(
        clock: SharedClock,
        settings: SandboxServiceNowSettings,
        dir: &Path,
    ) -> Result<Self, SandboxServiceNowError> {
        let storage = |path: &Path| {
            let path = path.to_owned();
            move |source| SandboxServiceNowError::Storage { path, source }
        };
        let files = dir.join("attachments");
        let blobs = Blobs::in_files(files.clone()).map_err(storage(&files))?;
        let state_file = dir.join("state.json");
        let state = match std::fs::read(&state_file) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| storage(&state_file)(error.into()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::new(&settings, clock.now()),
            Err(error) => return Err(storage(&state_file)(error)),
        };
        Ok(Self::build(clock, settings, state, blobs, Some(state_file)))
    }

    fn build(
        clock: SharedClock,
        settings: SandboxServiceNowSettings,
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
            calls: Mutex::default(),
            switches: Mutex::default(),
            rules: business_rule::Rules::default(),
        }))
    }

    /// Returns the settings.
    pub fn settings(&self) -> &SandboxServiceNowSettings {
        &self.0.settings
    }

    /// Returns the faults that make it misbehave, and the call log.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Returns the current switches for wrong behaviour behind a 200.
    pub fn switches(&self) -> SandboxServiceNowSwitches {
        *self.0.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the switches for wrong behaviour.
    pub fn set_switches(&self, switches: SandboxServiceNowSwitches) {
        *self.0.switches.lock().unwrap_or_else(PoisonError::into_inner) = switches;
    }

    /// Sets up the business rule that tells of changes, as an administrator does; `None` removes it.
    pub fn set_business_rule(&self, rule: Option<BusinessRule>) {
        self.0.rules.set(rule);
    }

    /// Returns the routes of the REST API and of the pages for people, wrapped in the faults.
    pub fn router(&self) -> Router {
        let router = self.0.faults.wrap(rest::router(self), rest::error_body).merge(steering::routes(self));
        Faults::dated(router, Arc::clone(&self.0.clock))
    }

    /// Creates two sample incidents if there is no case yet: a flagged one with a comment and a file, and one without the flag.
    pub fn seed_samples(&self) -> Result<(), SandboxServiceNowError> {
        if !self.records().is_empty() {
            return Ok(());
        }
        let flagged = self.create_record(&NewRecord {
            description: "Since this morning the nightly export cannot write to its bucket.\n\nThe log of the last run is attached."
                .to_owned(),
            impact_and_urgency: (2, 1),
            ..NewRecord::flagged("Nightly export fails with 403")
        })?;
        self.comment(&flagged, "Jane Roe", "It fails with every service account that we tried.")?;
        let log = "02:00:00 export started\n02:00:07 403 Forbidden: storage.objects.create\n02:00:07 export failed\n";
        self.attach(&flagged, "Jane Roe", "export.log", "text/plain", log)?;
        self.create_record(&NewRecord {
            description: "This one is our own affair: it lacks the flag, so it stays here.".to_owned(),
            opened_by: "Max Doe".to_owned(),
            ..NewRecord::new("Order new keyboards")
        })?;
        Ok(())
    }

    // ------------------------------------------------------------ actions of people

    /// Creates a case; returns its `sys_id`.
    pub fn create_record(&self, record: &NewRecord) -> Result<String, SandboxServiceNowError> {
        let now = self.now();
        let (impact, urgency) = record.impact_and_urgency;
        let sent: Sent = [
            ("short_description", record.short_description.as_str()),
            ("description", &record.description),
            ("impact", &impact.to_string()),
            ("urgency", &urgency.to_string()),
            ("priority", &impact.to_string()),
            (FLAG_COLUMN, if record.flagged { "true" } else { "false" }),
            (GOOGLE_NAME_COLUMN, record.google_name.as_deref().unwrap_or_default()),
        ]
        .map(owned)
        .into();
        let created = self.change(|state| {
            let who = state.user(&record.opened_by, now);
            state.create(record.table, &sent, &who, now, self.settings())
        })?;
        created.map_err(|refused| refused_error("new", refused))
    }

    /// Adds a comment, which the caller sees; returns its `sys_id`.
    pub fn comment(&self, id: &str, author: &str, text: &str) -> Result<String, SandboxServiceNowError> {
        self.add_entry(id, author, "comments", text)
    }

    /// Adds a work note, which the caller does not see; returns its `sys_id`.
    pub fn work_note(&self, id: &str, author: &str, text: &str) -> Result<String, SandboxServiceNowError> {
        self.add_entry(id, author, "work_notes", text)
    }

    fn add_entry(
        &self,
        id: &str,
        author: &str,
        column: &str,
        text: &str,
    ) -> Result<String, SandboxServiceNowError> {
        let before: Vec<String> = self.entry_ids(id);
        self.edit(id, author, &[(column, text)])?;
        let added = self.entry_ids(id).into_iter().find(|entry| !before.contains(entry));
        added.ok_or_else(|| missing("entry", column))
    }

    fn entry_ids(&self, id: &str) -> Vec<String> {
        self.state().entries(id).into_iter().map(|entry| get(entry, "sys_id").to_owned()).collect()
    }

    /// Adds a file; returns the attachment's `sys_id`.
    pub fn attach(
        &self,
        id: &str,
        author: &str,
        file_name: &str,
        content_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<String, SandboxServiceNowError> {
        let bytes = bytes.into();
        let author = self.login(author)?;
        self.keep_file(id, &author, file_name, content_type, bytes)
    }

    /// Adds a file of `size` bytes that are computed from a seed on each read; returns the attachment's `sys_id`.
    pub fn attach_synthetic(
        &self,
        id: &str,
        author: &str,
        file_name: &str,
        size: u64,
        seed: u64,
    ) -> Result<String, SandboxServiceNowError> {
        let author = self.login(author)?;
        let file = self.add_file(id, &author, file_name, "application/octet-stream", size)?;
        self.change(|state| state.computed.insert(file.clone(), seed))?;
        Ok(file)
    }

    fn login(&self, name: &str) -> Result<String, SandboxServiceNowError> {
        let now = self.now();
        self.change(|state| state.user(name, now))
    }

    fn keep_file(
        &self,
        id: &str,
        user_name: &str,
        file_name: &str,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<String, SandboxServiceNowError> {
        let file = self.add_file(id, user_name, file_name, content_type, bytes.len() as u64)?;
        self.0.blobs.put(&file, bytes).map_err(|source| self.storage_error(source))?;
        Ok(file)
    }

    fn add_file(
        &self,
        id: &str,
        user_name: &str,
        file_name: &str,
        content_type: &str,
        size: u64,
    ) -> Result<String, SandboxServiceNowError> {
        let now = self.now();
        let touches = self.settings().files_touch_records;
        self.change(|state| {
            let table = state.table_of(id).ok_or_else(|| missing("record", id))?;
            let size = size.to_string();
            let row: Row = [
                ("table_name", table),
                ("table_sys_id", id),
                ("file_name", file_name),
                ("content_type", content_type),
                ("size_bytes", &size),
                ("size_compressed", &size),
                ("compressed", "true"),
            ]
            .map(owned)
            .into();
            let file = state.insert(catalog::ATTACHMENTS, row, user_name, now);
            if touches {
                state.touch(table, id, user_name, now);
            }
            Ok(file)
        })?
    }

    /// Removes an attachment.
    pub fn delete_attachment(&self, attachment: &str) -> Result<(), SandboxServiceNowError> {
        if !self.change(|state| state.remove(catalog::ATTACHMENTS, attachment))? {
            return Err(missing("attachment", attachment));
        }
        self.0.blobs.remove(attachment);
        Ok(())
    }

    /// Sets or clears the flag.
    pub fn set_flag(&self, id: &str, on: bool) -> Result<(), SandboxServiceNowError> {
        self.edit(id, "Jane Roe", &[(FLAG_COLUMN, if on { "true" } else { "false" })])
    }

    /// Sets any column, by its value.
    pub fn set_column(&self, id: &str, column: &str, value: &str) -> Result<(), SandboxServiceNowError> {
        self.edit(id, "Jane Roe", &[(column, value)])
    }

    /// Returns the `sys_id` of a user with that name, and makes one if there is none; the user gets this address.
    pub fn user_with_email(&self, name: &str, email: &str) -> Result<String, SandboxServiceNowError> {
        let now = self.now();
        self.change(|state| {
            let login = state.user(name, now);
            let id = state.user_id(&login).unwrap_or_default().to_owned();
            state.set("sys_user", &id, "email", email);
            id
        })
    }

    /// Sets the Google case's name.
    pub fn set_google_name(&self, id: &str, name: Option<&str>) -> Result<(), SandboxServiceNowError> {
        self.edit(id, "Jane Roe", &[(GOOGLE_NAME_COLUMN, name.unwrap_or_default())])
    }

    /// Sets the short description.
    pub fn set_short_description(&self, id: &str, text: &str) -> Result<(), SandboxServiceNowError> {
        self.edit(id, "Jane Roe", &[("short_description", text)])
    }

    /// Sets the priority, by its value. An incident gets the impact and urgency that lead to this priority.
    pub fn set_priority(&self, id: &str, priority: &str) -> Result<(), SandboxServiceNowError> {
        let rank = priority.parse::<u8>().unwrap_or(3).clamp(1, 5);
        let (impact, urgency) = (rank.div_ceil(2), rank + 1 - rank.div_ceil(2));
        let (impact, urgency) = (impact.to_string(), urgency.to_string());
        self.edit(
            id,
            "Jane Roe",
            &[("priority", priority), ("impact", impact.as_str()), ("urgency", urgency.as_str())],
        )
    }

    /// Sets the state, by its value.
    pub fn set_state(&self, id: &str, state: &str) -> Result<(), SandboxServiceNowError> {
        self.edit(id, "Jane Roe", &[("state", state)])
    }

    /// Resolves a case and fills in the mandatory columns.
    pub fn resolve(&self, id: &str) -> Result<(), SandboxServiceNowError> {
        let table = self.table_of(id)?;
        self.end(id, catalog::resolved_state(table))
    }

    /// Closes a case for good and fills in the mandatory columns.
    pub fn close(&self, id: &str) -> Result<(), SandboxServiceNowError> {
        let table = self.table_of(id)?;
        self.end(id, catalog::closed_state(table))
    }

    fn end(&self, id: &str, state: &str) -> Result<(), SandboxServiceNowError> {
        let table = self.table_of(id)?;
        let code = catalog::code_column(table);
        let value = catalog::choices(table, code).first().map(|(value, _)| *value).unwrap_or_default();
        self.edit(id, "Jane Roe", &[("state", state), (code, value), ("close_notes", "It works again.")])
    }

    /// Resolves a case with the given resolution code.
    pub fn resolve_as(&self, id: &str, code: &str) -> Result<(), SandboxServiceNowError> {
        let table = self.table_of(id)?;
        let (state, column) = (catalog::resolved_state(table), catalog::code_column(table));
        self.edit(id, "Jane Roe", &[("state", state), (column, code), ("close_notes", "See the code.")])
    }

    /// Cancels a case.
    pub fn cancel(&self, id: &str) -> Result<(), SandboxServiceNowError> {
        match self.table_of(id)? {
            CUSTOMER_CASE => self.end(id, "7"),
            // A problem has no state for it, only a code.
            PROBLEM => self.resolve_as(id, "canceled"),
            _ => self.set_state(id, "8"),
        }
    }

    /// Sets the case that this one is a duplicate of.
    pub fn set_duplicate_of(&self, id: &str, other: &str) -> Result<(), SandboxServiceNowError> {
        self.edit(id, "Jane Roe", &[("duplicate_of", other)])
    }

    /// Reopens a resolved case.
    pub fn reopen(&self, id: &str) -> Result<(), SandboxServiceNowError> {
        let state = catalog::open_state(self.table_of(id)?);
        self.set_state(id, state)
    }

    /// Deletes a case.
    pub fn delete_record(&self, id: &str) -> Result<(), SandboxServiceNowError> {
        let table = self.table_of(id)?;
        self.change(|state| state.remove(table, id))?;
        Ok(())
    }

    /// Hides a record, an attachment or an entry from the asking user, as an access rule does, or shows it again.
    pub fn set_visible(&self, id: &str, visible: bool) -> Result<(), SandboxServiceNowError> {
        self.change(
            |state| if visible { state.hidden.remove(id) } else { state.hidden.insert(id.to_owned()) },
        )?;
        Ok(())
    }

    /// Leaves a case out of all queries of the asking user, as a before-query business rule or another domain does, or puts it back. In
    /// contrast to a record that an access rule hides, it is not counted either.
    pub fn set_left_out(&self, id: &str, left_out: bool) -> Result<(), SandboxServiceNowError> {
        self.change(
            |state| {
                if left_out { state.left_out.insert(id.to_owned()) } else { state.left_out.remove(id) }
            },
        )?;
        Ok(())
    }

    /// Sets the domain of a case.
    pub fn set_domain(&self, id: &str, domain: &str) -> Result<(), SandboxServiceNowError> {
        let table = self.table_of(id)?;
        self.change(|state| state.set(table, id, catalog::DOMAIN, domain))?;
        Ok(())
    }

    /// Sets the virus scanner's verdict on a file.
    pub fn set_file_state(&self, attachment: &str, file: FileState) -> Result<(), SandboxServiceNowError> {
        let column = catalog::STATE_OF_FILE;
        if self.change(|state| state.set(catalog::ATTACHMENTS, attachment, column, file.value()))? {
            Ok(())
        } else {
            Err(missing("attachment", attachment))
        }
    }

    /// Sets the answer in place of a file's content; `None` brings the content back.
    pub fn spoil(&self, attachment: &str, spoilt: Option<Spoilt>) -> Result<(), SandboxServiceNowError> {
        self.change(|state| match spoilt {
            Some(spoilt) => state.spoilt.insert(attachment.to_owned(), spoilt),
            None => state.spoilt.remove(attachment),
        })?;
        Ok(())
    }

    fn table_of(&self, id: &str) -> Result<&'static str, SandboxServiceNowError> {
        self.state().table_of(id).ok_or_else(|| missing("record", id))
    }

    fn edit(&self, id: &str, who: &str, fields: &[(&str, &str)]) -> Result<(), SandboxServiceNowError> {
        let now = self.now();
        let sent: Sent = fields.iter().copied().map(owned).collect();
        let changed = self.change(|state| {
            let table = state.table_of(id).ok_or_else(|| missing("record", id))?;
            let who = state.user(who, now);
            Ok(state.update(table, id, &sent, &who, now, self.settings()))
        })?;
        changed?.map_err(|refused| refused_error(id, refused))
    }

    // ------------------------------------------------------------ views of people

    /// Returns a case, even if it is hidden from the asking user; `None` if there is none.
    pub fn record(&self, id: &str) -> Option<RecordView> {
        let state = self.state();
        let row = state.row(state.table_of(id)?, id)?;
        Some(view(&state, row))
    }

    /// Returns all cases, oldest first, including those hidden from the asking user.
    pub fn records(&self) -> Vec<RecordView> {
        let state = self.state();
        let rows = catalog::CASE_TABLES.into_iter().flat_map(|table| state.rows(table));
        let mut views: Vec<RecordView> = rows.map(|row| view(&state, row)).collect();
        views.sort_by(|a, b| (a.created, &a.number).cmp(&(b.created, &b.number)));
        views
    }

    /// Returns an attachment's content; `None` if there is no such attachment.
    pub fn attachment_bytes(&self, attachment: &str) -> Option<Vec<u8>> {
        let computed = self.computed(attachment).ok()?;
        self.0.blobs.read(attachment, computed).ok().map(|bytes| bytes.to_vec())
    }

    /// Returns the SHA-256 of an attachment's content, in lower-case hex.
    pub fn attachment_sha256(&self, attachment: &str) -> Option<String> {
        match self.computed(attachment).ok()? {
            Some(computed) => Some(blobs::computed_sha256(computed)),
            None => self.0.blobs.read(attachment, None).ok().map(|bytes| blobs::sha256(&bytes)),
        }
    }

    /// Returns seed and size of an attachment with computed content; `None` if its content is stored.
    fn computed(&self, attachment: &str) -> Result<Option<Computed>, SandboxServiceNowError> {
        let state = self.state();
        let row = state.row(catalog::ATTACHMENTS, attachment);
        let row = row.ok_or_else(|| missing("attachment", attachment))?;
        let size = get(row, "size_bytes").parse().unwrap_or_default();
        Ok(state.computed.get(attachment).map(|seed| Computed { seed: *seed, size }))
    }

    // ------------------------------------------------------------ internals

    /// Returns the current time, truncated to the second: the resolution that ServiceNow stores.
    fn now(&self) -> DateTime<Utc> {
        let now = self.0.clock.now();
        DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, saves it to the file, and lets the business rule tell of it before the result is returned.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, SandboxServiceNowError> {
        let mut state = self.state();
        let before = self.0.rules.snapshot(&state);
        let result = change(&mut state);
        if let Some(path) = &self.0.state_file {
            let new = path.with_extension("json.part");
            serde_json::to_vec(&*state)
                .map_err(io::Error::from)
                .and_then(|bytes| std::fs::write(&new, bytes))
                .and_then(|()| std::fs::rename(&new, path))
                .map_err(|source| SandboxServiceNowError::Storage { path: path.clone(), source })?;
        }
        if let Some(before) = before {
            self.0.rules.fire(self, &before, &state);
        }
        Ok(result)
    }

    fn storage_error(&self, source: io::Error) -> SandboxServiceNowError {
        let path = self.0.state_file.clone().unwrap_or_default();
        SandboxServiceNowError::Storage { path, source }
    }
}

impl fmt::Debug for SandboxServiceNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxServiceNow").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

fn missing(what: &'static str, id: &str) -> SandboxServiceNowError {
    SandboxServiceNowError::Missing { what, id: id.to_owned() }
}

fn refused_error(id: &str, refused: Refused) -> SandboxServiceNowError {
    let reason = match refused {
        Refused::Mandatory(columns) => format!("mandatory: {}", columns.join(", ")),
        Refused::Final => "it is closed".to_owned(),
    };
    SandboxServiceNowError::Refused { id: id.to_owned(), reason }
}

/// Parses a time in the format of a record.
fn read_time(text: &str) -> DateTime<Utc> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map(|time| time.and_utc()).unwrap_or_default()
}

fn view(state: &State, row: &Row) -> RecordView {
    let text = |column: &str| get(row, column).to_owned();
    let (id, table, value) = (text("sys_id"), text("sys_class_name"), text("state"));
    let author = |row: &Row| {
        let user = get(row, "sys_created_by");
        state.display_name(user).unwrap_or(user).to_owned()
    };
    let labels: BTreeMap<&str, &str> = catalog::choices(&table, "state").iter().copied().collect();
    RecordView {
        number: text("number"),
        short_description: text("short_description"),
        description: text("description"),
        state_label: labels.get(value.as_str()).copied().unwrap_or(&value).to_owned(),
        closed: catalog::is_resolved(&table, &value) || catalog::is_final(&table, &value),
        priority: text("priority"),
        close_notes: text("close_notes"),
        category: text("category"),
        watch_list: text("watch_list"),
        assignment_group: text("assignment_group"),
        assigned_to: text("assigned_to"),
        flagged: get(row, FLAG_COLUMN) == "true",
        google_name: Some(text(GOOGLE_NAME_COLUMN)).filter(|name| !name.is_empty()),
        google_state: text(GOOGLE_STATE_COLUMN),
        correlation_id: text("correlation_id"),
        correlation_display: text("correlation_display"),
        created: read_time(get(row, "sys_created_on")),
        updated: read_time(get(row, "sys_updated_on")),
        journal: state
            .entries(&id)
            .into_iter()
            .map(|entry| EntryView {
                id: get(entry, "sys_id").to_owned(),
                author: author(entry),
                text: get(entry, "value").to_owned(),
                html: pages::journal_html(get(entry, "value")),
                public: get(entry, "element") == "comments",
                created: read_time(get(entry, "sys_created_on")),
            })
            .collect(),
        attachments: state
            .files(&id)
            .into_iter()
            .map(|file| FileView {
                id: get(file, "sys_id").to_owned(),
                file_name: get(file, "file_name").to_owned(),
                content_type: get(file, "content_type").to_owned(),
                size: get(file, "size_bytes").parse().unwrap_or_default(),
                author: author(file),
            })
            .collect(),
        state: value,
        id,
        table,
    }
}
