//! Sandbox CSAPI: the Cloud Support API v2 as its discovery document (revision 20260927) describes it, over cases of its own.
//!
//! ```text
//! http.rs      routing of requests to methods, and the methods
//! query.rs     the query language of searches and lists
//! wire.rs      JSON in and out, errors
//! paging.rs    page sizes and tokens
//! upload.rs    raw and multipart/related uploads, streamed
//! events.rs    event subscriptions, and what they publish
//! feed.rs      email messages, and the feed that shows them (v2beta)
//! pages.rs     the pages for people
//! model.rs     data model: cases, comments, attachments
//! content.rs   the bytes of attachments
//! database.rs  storage that outlives the process
//! ```
//!
//! A [`SandboxCsapi`] serves HTTP through [`SandboxCsapi::router`], and lets a test act for the people who do not use the API:
//! customers in the Google Cloud console, and Google's support. Behaviour that Google does not document is a [`Switches`] field.
//!
//! Left out, because the connector has no use for it: Workforce Identity, quotas (use [`Faults`]), field masks on answers (`fields` is accepted and ignored), resumable uploads (not announced).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use self::content::{Content, Files};
use self::database::Database;
use self::events::Event;
use self::model::{Record, Version};
use super::faults::Faults;
use super::outbox::Outbox;
use casebridge_core::clock::SharedClock;

mod content;
mod database;
mod events;
mod feed;
mod http;
mod model;
mod pages;
mod paging;
mod query;
mod upload;
mod wire;

pub use content::synthetic_sha256;
pub use events::{EventSubscription, FailureReason};
pub use feed::EmailMessage;
pub use model::{Attachment, Author, Case, Comment, NewCase, Parent, Priority, State};
pub use wire::error_body;

/// ID of a classification that every sandbox offers: `Technical Issue > Compute > Compute Engine`.
pub const CLASSIFICATION_ID: &str = "100IK2AKCLHMGRJ9CDGMOCGP8DM6UTB4BT262T31BT1M2T31";

/// ID of the classification `Technical Issue > Storage > Cloud Storage`.
pub const STORAGE_ID: &str = "100IK2AKCLHMGRJ9CDGMOCGP8DM6UTB4BT262T31BT1M2T33";
/// ID of another classification of that name, which does not exist before a test lists it.
pub const SUCCESSOR_ID: &str = "100IK2AKCLHMGRJ9CDGMOCGP8DM6UTB4BT262T31BT1M2T39";

/// ID of a classification as the documentation's samples have it.
pub const SAMPLE_ID: &str = "100152";

/// IDs and names of the classifications, in the order in which they are listed.
const CLASSIFICATIONS: [(&str, &str); 7] = [
    (CLASSIFICATION_ID, "Technical Issue > Compute > Compute Engine"),
    ("100IK2AKCLHMGRJ9CDGMOCGP8DM6UTB4BT262T31BT1M2T32", "Technical Issue > Compute > App Engine"),
    (STORAGE_ID, "Technical Issue > Storage > Cloud Storage"),
    ("100IK2AKCLHMGRJ9CDGMOCGP8DM6UTB4BT262T31BT1M2T34", "Technical Issue > Databases > Firestore"),
    ("100IK2AKCLHMGRJ9CDGMOCGP8DM6UTB4BT262T31BT1M2T35", "Billing > Invoices & Payments"),
    (SUCCESSOR_ID, "Technical Issue > Storage > Cloud Storage"),
    (SAMPLE_ID, "Technical Issue > Networking > Cloud Load Balancing"),
];

/// Number of the first case.
const FIRST_NUMBER: u64 = 51_000_001;

/// E-mail address of the service account that API callers appear as.
const SERVICE_ACCOUNT: &str = "casebridge@sandbox.iam.gserviceaccount.com";

/// Sandbox CSAPI. Clones share their state.
#[derive(Debug, Clone)]
pub struct SandboxCsapi(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: SharedClock,
    organization: String,
    faults: Faults,
    outbox: Outbox,
    files: Files,
    data: Mutex<Data>,
}

#[derive(Debug)]
struct Data {
    cases: BTreeMap<u64, Record>,
    projects: BTreeSet<String>,
    next_number: u64,
    switches: Switches,
    classifications: BTreeMap<&'static str, ClassificationState>,
    subscriptions: Vec<EventSubscription>,
    /// Address of Pub/Sub. `None`: events are not published.
    pubsub: Option<Url>,
    database: Option<Database>,
}

/// Behaviour of the sandbox where Google documents nothing, or where a caller must cope with more than one behaviour. Over HTTP:
/// `GET /sandbox/switches`, and `PUT` with the switches that differ from the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches")]
pub struct Switches {
    /// Fill level of a page.
    pub page_style: PageStyle,
    /// Order of comments in a list.
    pub comment_order: Order,
    /// Order of cases in a list, by update time.
    pub case_order: Order,
    /// True if a comment moves its case's `updateTime`.
    pub comments_move_update_time: bool,
    /// True if adding or deleting an attachment moves its case's `updateTime`.
    pub attachments_move_update_time: bool,
    /// True if an email moves its case's `updateTime`.
    pub emails_move_update_time: bool,
    /// True if a comment on a closed case is refused.
    pub closed_cases_refuse_comments: bool,
    /// True if an attachment to a closed case is refused.
    pub closed_cases_refuse_attachments: bool,
    /// True if closing a closed case is refused; otherwise it changes nothing.
    pub closing_twice_fails: bool,
    /// True if a case's name contains the parent of the request instead of the case's own parent.
    pub names_as_asked: bool,
    /// True if escalated cases have no title in answers, as was observed.
    pub escalated_cases_lose_display_name: bool,
    /// True if there is no support plan that includes the API: every list is empty, without an error.
    pub no_support_plan: bool,
    /// Numbers of cases that neither a request by name nor a search finds.
    pub hidden_cases: BTreeSet<u64>,
    /// IDs of projects that the caller has lost the permission for. Their cases are refused, and a search of the organisation leaves them
    /// out without an error.
    pub lost_projects: BTreeSet<String>,
    /// IDs of projects that belong to another organisation: a search of this one does not find their cases.
    pub foreign_projects: BTreeSet<String>,
    /// True if a change of subscribers is refused. Google documents no reason for that.
    pub refuses_subscribers: bool,
    /// True if escalations are refused, as for a support service that has none. Google documents the fact, and not the answer.
    pub refuses_escalations: bool,
    /// Text that answers show as the priority of every case: an empty text leaves the field out; any other text, such as
    /// `PRIORITY_UNSPECIFIED` or a value that does not exist yet, is shown unchanged. `None`: each case's own priority.
    pub shown_priority: Option<String>,
    /// Maximum size of an upload in bytes; larger ones are refused.
    pub max_attachment_bytes: Option<u64>,
    /// Media types whose uploads are refused.
    pub refused_mime_types: Vec<String>,
    /// True if uploads are kept. Otherwise only their size and SHA-256 are kept, and they cannot be downloaded.
    pub keep_uploads: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            page_style: PageStyle::Ragged,
            comment_order: Order::NewestFirst,
            case_order: Order::NewestFirst,
            comments_move_update_time: true,
            attachments_move_update_time: true,
            emails_move_update_time: true,
            closed_cases_refuse_comments: false,
            closed_cases_refuse_attachments: false,
            closing_twice_fails: false,
            names_as_asked: false,
            escalated_cases_lose_display_name: false,
            no_support_plan: false,
            hidden_cases: BTreeSet::new(),
            lost_projects: BTreeSet::new(),
            foreign_projects: BTreeSet::new(),
            refuses_subscribers: false,
            refuses_escalations: false,
            shown_priority: None,
            max_attachment_bytes: None,
            refused_mime_types: Vec::new(),
            keep_uploads: true,
        }
    }
}

/// Fill level of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageStyle {
    /// Some pages are short, some are empty, and some lists end with an empty page. The same requests get the same pages.
    Ragged,
    /// Every page but the last is full.
    Full,
}

/// Order of items by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Newest first.
    NewestFirst,
    /// Oldest first.
    OldestFirst,
    /// No order in time, but the same on every request.
    Shuffled,
}

/// State of a classification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassificationState {
    /// Found by search, and accepted for new cases.
    Listed,
    /// No longer found by search but still accepted: the first six months after Google withdrew it.
    Unlisted,
    /// Refused for new cases.
    Expired,
}

/// Error of an action that a person or a test asked the sandbox for.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The sandbox has no such case.
    #[error("the sandbox has no case '{0}'")]
    UnknownCase(String),
    /// The case has no such attachment.
    #[error("case {0} of the sandbox has no attachment '{1}'")]
    UnknownAttachment(u64, String),
    /// The parent is neither this sandbox's organisation nor a project.
    #[error(
        "'{0}' is neither the sandbox's organisation nor a project: write organizations/ID or projects/ID"
    )]
    UnknownParent(String),
    /// Only the attachment's hash was kept, not its bytes.
    #[error("attachment '{0}' was only hashed, not kept")]
    NotKept(String),
    /// The data directory was made for another organisation or by another version.
    #[error(
        "{}: made for {what} '{found}', not '{expected}'; give another data directory",
        path.display()
    )]
    OtherData {
        /// Database file.
        path: PathBuf,
        /// Setting that differs.
        what: &'static str,
        /// Value in the file.
        found: String,
        /// Value that this sandbox expects.
        expected: String,
    },
    /// A file could not be read or written.
    #[error("the sandbox's files: {0}")]
    Files(#[from] std::io::Error),
    /// The database failed.
    #[error("the sandbox's database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database holds, or would hold, a document that is not a case.
    #[error("the sandbox's database: {0}")]
    Document(#[from] serde_json::Error),
}

impl SandboxCsapi {
    /// Creates a sandbox without cases. `organization` is the ID, with or without `organizations/` in front.
    pub fn new(clock: SharedClock, organization: &str) -> Self {
        Self::with(clock, organization, Files::scratch(), None, database::Loaded::default())
    }

    /// Creates a sandbox that keeps its cases in a directory, which is made if it does not exist. Every change is stored before it is
    /// answered.
    pub fn with_data_dir(
        clock: SharedClock,
        organization: &str,
        directory: &Path,
    ) -> Result<Self, SandboxError> {
        std::fs::create_dir_all(directory)?;
        let organization_id = organization_id(organization);
        let (database, loaded) = Database::open(&directory.join("csapi.db"), organization_id)?;
        let files = Files::durable(directory.join("csapi-attachments"))?;
        let attachments = loaded.cases.values().flat_map(|record| &record.attachments);
        let named: HashSet<String> = attachments
            .filter_map(|attachment| match &attachment.content {
                Content::File { file } => Some(file.clone()),
                Content::Memory(_) | Content::Synthetic { .. } | Content::HashOnly { .. } => None,
            })
            .collect();
        files.keep_only(&named)?;
        Ok(Self::with(clock, organization_id, files, Some(database), loaded))
    }

    fn with(
        clock: SharedClock,
        organization: &str,
        files: Files,
        database: Option<Database>,
        loaded: database::Loaded,
    ) -> Self {
        let last = loaded.cases.keys().next_back().map_or(FIRST_NUMBER, |last| last + 1);
        let data = Data {
            next_number: loaded.next_number.unwrap_or(last).max(last),
            cases: loaded.cases,
            projects: loaded.projects,
            switches: Switches::default(),
            classifications: BTreeMap::new(),
            subscriptions: loaded.subscriptions,
            pubsub: None,
            database,
        };
        let faults = Faults::default();
        Self(Arc::new(Inner {
            clock: faults.clock(clock),
            organization: organization_id(organization).to_owned(),
            faults,
            outbox: Outbox::default(),
            files,
            data: Mutex::new(data),
        }))
    }

    /// Returns the faults that make the API misbehave. They do not affect the pages for people.
    pub fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// Returns the routes of the API, of the pages for people, and of the steering under `/sandbox/`.
    pub fn router(&self) -> Router {
        let router = self
            .faults()
            .wrap(http::routes(self.clone()), wire::error_body)
            .merge(http::steering(self.clone()))
            .merge(pages::routes(self.clone()));
        Faults::dated(router, Arc::clone(&self.0.clock))
    }

    /// Returns the organisation's name: `organizations/{id}`.
    pub fn organization(&self) -> String {
        self.organization_parent().to_string()
    }

    /// Returns the current switches.
    pub fn switches(&self) -> Switches {
        self.lock().switches.clone()
    }

    /// Changes switches: `sandbox.adjust(|switches| switches.page_style = PageStyle::Full)`.
    pub fn adjust(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.lock().switches);
    }

    /// Sets the state of a classification. An unknown ID changes nothing.
    pub fn set_classification(&self, id: &str, state: ClassificationState) {
        if let Some((id, _)) = CLASSIFICATIONS.iter().find(|(known, _)| *known == id) {
            self.lock().classifications.insert(id, state);
        }
    }

    /// Adds a project by its ID, so that the API accepts it as a parent.
    pub fn add_project(&self, id: &str) -> Result<(), SandboxError> {
        let mut data = self.lock();
        if data.projects.insert(id.to_owned()) {
            let Data { projects, database, .. } = &mut *data;
            if let Some(database) = database {
                database.save_projects(projects)?;
            }
        }
        Ok(())
    }

    /// Returns the IDs of the projects, in alphabetical order.
    pub fn projects(&self) -> Vec<String> {
        self.lock().projects.iter().cloned().collect()
    }

    /// Returns the IDs and names of the classifications that are listed.
    pub(super) fn listed_classifications(&self) -> Vec<(&'static str, &'static str)> {
        let data = self.lock();
        let is_listed = |(id, _): &(&str, &str)| data.classification(id) == ClassificationState::Listed;
        CLASSIFICATIONS.into_iter().filter(is_listed).collect()
    }

    /// Creates a case as a person does in the console.
    pub fn create_case(&self, new: NewCase) -> Result<Case, SandboxError> {
        let parent = Parent::parse(&new.parent)
            .filter(|parent| match parent {
                Parent::Organization(id) => *id == self.0.organization,
                Parent::Project(_) => true,
            })
            .ok_or(SandboxError::UnknownParent(new.parent))?;
        if let Parent::Project(id) = &parent {
            self.add_project(id)?;
        }
        self.insert(|number, now| {
            Record::new(
                number,
                parent,
                now,
                new.author,
                new.display_name,
                new.description,
                Some(new.priority),
                CLASSIFICATION_ID.to_owned(),
            )
        })
        .map(|record| record.view())
    }

    /// Returns all cases, ordered by number.
    pub fn cases(&self) -> Vec<Case> {
        self.lock().cases.values().map(Record::view).collect()
    }

    /// Returns one case. Here and in all methods below, `case` is a full name or just the number.
    pub fn case(&self, case: &str) -> Result<Case, SandboxError> {
        self.look(case, Record::view)
    }

    /// Returns a case's comments, oldest first.
    pub fn comments(&self, case: &str) -> Result<Vec<Comment>, SandboxError> {
        self.look(case, |record| record.comments.clone())
    }

    /// Returns a case's attachments, oldest first.
    pub fn attachments(&self, case: &str) -> Result<Vec<Attachment>, SandboxError> {
        self.look(case, |record| record.attachments.clone())
    }

    /// Returns the bytes of an attachment.
    pub fn attachment_bytes(&self, case: &str, attachment: &str) -> Result<Vec<u8>, SandboxError> {
        let content = self.content(case, attachment)?;
        let mut bytes = Vec::new();
        if self.0.files.read(&content, |piece| bytes.extend_from_slice(piece))? {
            Ok(bytes)
        } else {
            Err(SandboxError::NotKept(attachment.to_owned()))
        }
    }

    /// Returns the SHA-256 of an attachment's bytes, in hex, even if the bytes were not kept.
    pub fn attachment_sha256(&self, case: &str, attachment: &str) -> Result<String, SandboxError> {
        use sha2::Digest as _;

        let content = self.content(case, attachment)?;
        if let Content::HashOnly { sha256 } = content {
            return Ok(sha256);
        }
        let mut hasher = sha2::Sha256::new();
        self.0.files.read(&content, |piece| hasher.update(piece))?;
        Ok(hex::encode(hasher.finalize()))
    }

    /// Adds a comment, of any length.
    pub fn add_comment(&self, case: &str, author: Author, body: &str) -> Result<Comment, SandboxError> {
        self.change(case, Moves::Comment, |record, at| Ok(record.add_comment(author, body.to_owned(), at)))
    }

    /// Attaches a file with the given bytes.
    pub fn attach(
        &self,
        case: &str,
        author: Author,
        filename: &str,
        mime_type: &str,
        bytes: &[u8],
    ) -> Result<Attachment, SandboxError> {
        let content = self.0.files.store(bytes)?;
        self.attach_content(case, author, filename, mime_type, bytes.len() as u64, content)
    }

    /// Attaches a file of `size` bytes that are computed from `seed` on each read. [`synthetic_sha256`] returns their hash.
    pub fn attach_synthetic(
        &self,
        case: &str,
        author: Author,
        filename: &str,
        seed: u64,
        size: u64,
    ) -> Result<Attachment, SandboxError> {
        let content = Content::Synthetic { seed, size };
        self.attach_content(case, author, filename, "application/octet-stream", size, content)
    }

    /// Deletes an attachment.
    pub fn delete_attachment(&self, case: &str, attachment: &str) -> Result<(), SandboxError> {
        let content = self.change(case, Moves::Attachment, |record, _| {
            let position = record
                .attachments
                .iter()
                .position(|known| known.id == attachment)
                .ok_or_else(|| SandboxError::UnknownAttachment(record.number, attachment.to_owned()))?;
            Ok::<_, SandboxError>(record.attachments.remove(position).content)
        })?;
        self.0.files.remove(&content);
        Ok(())
    }

    /// Changes the priority.
    pub fn set_priority(&self, case: &str, priority: Priority) -> Result<(), SandboxError> {
        self.change(case, Moves::Case, |record, _| {
            record.current.priority = Some(priority);
            Ok(())
        })
    }

    /// Changes the addresses that get mail about the case, as a person in the console.
    pub fn set_subscribers(&self, case: &str, addresses: &[&str]) -> Result<(), SandboxError> {
        self.change(case, Moves::Case, |record, _| {
            record.current.subscribers = addresses.iter().map(|address| (*address).to_owned()).collect();
            Ok(())
        })
    }

    /// Changes the title.
    pub fn set_display_name(&self, case: &str, display_name: &str) -> Result<(), SandboxError> {
        self.change(case, Moves::Case, |record, _| {
            display_name.clone_into(&mut record.current.display_name);
            Ok(())
        })
    }

    /// Changes the state. Unlike the API, Google's support can set any state, including reopening a case.
    pub fn set_state(&self, case: &str, state: State) -> Result<(), SandboxError> {
        self.change(case, Moves::Case, |record, _| {
            record.current.state = state;
            Ok(())
        })
    }

    /// Escalates a case, or ends its escalation, as Google's support does. Customers use the API's `escalate`.
    pub fn set_escalated(&self, case: &str, escalated: bool) -> Result<(), SandboxError> {
        self.change(case, Moves::Case, |record, _| {
            record.current.escalated = escalated;
            Ok(())
        })
    }

    /// Closes a case.
    pub fn close(&self, case: &str) -> Result<(), SandboxError> {
        self.set_state(case, State::Closed)
    }

    /// Moves a case's `updateTime` and changes nothing else, as a change of a field does that the API does not show.
    pub fn touch(&self, case: &str) -> Result<(), SandboxError> {
        self.change(case, Moves::Case, |_, _| Ok(()))
    }

    /// Deletes a case and leaves no trace of it.
    pub fn delete_case(&self, case: &str) -> Result<(), SandboxError> {
        let number = case_number(case)?;
        let mut data = self.lock();
        if !data.cases.contains_key(&number) {
            return Err(SandboxError::UnknownCase(case.to_owned()));
        }
        if let Some(database) = &mut data.database {
            database.delete(number)?;
        }
        for attachment in data.cases.remove(&number).into_iter().flat_map(|record| record.attachments) {
            self.0.files.remove(&attachment.content);
        }
        Ok(())
    }

    /// Creates three sample cases with comments and a file, unless there are cases already.
    pub fn seed_samples(&self) -> Result<(), SandboxError> {
        if !self.lock().cases.is_empty() {
            return Ok(());
        }
        let organization = self.organization();
        let jane = || Author::customer("Jane Roe");
        let agent = || Author::google("Sam Rivera");
        let create = |parent: &str, priority, display_name: &str, description: &str| {
            self.create_case(NewCase {
                parent: parent.to_owned(),
                display_name: display_name.to_owned(),
                description: description.to_owned(),
                priority,
                author: jane(),
            })
        };

        let case = create(
            "projects/sample-shop",
            Priority::P1,
            "Instances in europe-west3 lose their network for seconds at a time",
            "Since this morning about one instance in ten drops every connection for 5 to 20 seconds.\n\
             It began after the maintenance window. What can we send you?",
        )?;
        self.set_state(&case.name, State::InProgressGoogleSupport)?;
        self.add_comment(
            &case.name,
            agent(),
            "Thank you for the report. Please attach the serial console's output.",
        )?;
        self.attach(
            &case.name,
            jane(),
            "serial-console.txt",
            "text/plain",
            b"[  812.113] eth0: link down\n[  826.540] eth0: link up\n",
        )?;
        self.add_comment(&case.name, jane(), "Here it is. The gap at 812 s is one of them.")?;

        let case = create(
            &organization,
            Priority::P3,
            "Which quota limits new service accounts?",
            "We create a service account for each customer. Where do we see how many are left?",
        )?;
        self.add_comment(
            &case.name,
            agent(),
            "IAM & Admin > Quotas, \"Service account count\". It can be raised.",
        )?;
        self.set_state(&case.name, State::SolutionProvided)?;

        create(
            "projects/sample-data",
            Priority::P2,
            "Firestore export ends with DEADLINE_EXCEEDED",
            "The nightly export of our largest collection fails two nights out of three.",
        )?;
        Ok(())
    }

    fn attach_content(
        &self,
        case: &str,
        author: Author,
        filename: &str,
        mime_type: &str,
        size: u64,
        content: Content,
    ) -> Result<Attachment, SandboxError> {
        let stored = content.clone();
        let attached = self.change(case, Moves::Attachment, |record, at| {
            Ok(record.add_attachment(author, filename.to_owned(), mime_type.to_owned(), size, content, at))
        });
        if attached.is_err() {
            self.0.files.remove(&stored);
        }
        attached
    }

    fn content(&self, case: &str, attachment: &str) -> Result<Content, SandboxError> {
        self.look(case, |record| {
            let found = record.attachments.iter().find(|known| known.id == attachment);
            found
                .map(|attachment| attachment.content.clone())
                .ok_or_else(|| SandboxError::UnknownAttachment(record.number, attachment.to_owned()))
        })?
    }

    fn look<T>(&self, case: &str, read: impl FnOnce(&Record) -> T) -> Result<T, SandboxError> {
        let number = case_number(case)?;
        let data = self.lock();
        let record = data.cases.get(&number).ok_or_else(|| SandboxError::UnknownCase(case.to_owned()))?;
        Ok(read(record))
    }

    /// Stores the new case that `make` builds from its number and the time.
    fn insert(&self, make: impl FnOnce(u64, DateTime<Utc>) -> Record) -> Result<Record, SandboxError> {
        let mut data = self.lock();
        let record = make(data.next_number, self.0.clock.now());
        let next_number = data.next_number + 1;
        if let Some(database) = &mut data.database {
            database.save(&record, next_number)?;
        }
        data.next_number = next_number;
        data.cases.insert(record.number, record.clone());
        drop(data);
        self.publish(&Event::created(&record));
        Ok(record)
    }

    /// Changes a case. `make` gets the time of the change; if it fails, it must leave the case unchanged.
    fn change<T, E: From<SandboxError>>(
        &self,
        case: &str,
        moves: Moves,
        make: impl FnOnce(&mut Record, DateTime<Utc>) -> Result<T, E>,
    ) -> Result<T, E> {
        let number = case_number(case)?;
        let mut data = self.lock();
        let Data { cases, next_number, switches, database, .. } = &mut *data;
        let record = cases.get_mut(&number).ok_or_else(|| SandboxError::UnknownCase(case.to_owned()))?;
        // Without a database, storing cannot fail, so no backup is needed.
        let backup = database.is_some().then(|| record.clone());
        let before: Version = record.current.clone();
        let counts = (record.comments.len(), record.attachments.len());
        let at = record.next_time(self.0.clock.now());
        let result = make(record, at)?;
        let moves_update_time = match moves {
            Moves::Case => true,
            Moves::Comment => switches.comments_move_update_time,
            Moves::Attachment => switches.attachments_move_update_time,
            Moves::Email => switches.emails_move_update_time,
        };
        record.changed(before, at, moves_update_time);
        if let (Some(database), Some(backup)) = (database, backup)
            && let Err(error) = database.save(record, *next_number)
        {
            *record = backup;
            return Err(error.into());
        }
        let event = Event::changed(record, moves, counts);
        drop(data);
        self.publish(&event);
        Ok(result)
    }

    fn organization_parent(&self) -> Parent {
        Parent::Organization(self.0.organization.clone())
    }

    fn service_account() -> Author {
        Author::ServiceAccount { email: SERVICE_ACCOUNT.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.0.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kind of a change, which decides if the change moves `updateTime`.
#[derive(Debug, Clone, Copy)]
enum Moves {
    Case,
    Comment,
    Attachment,
    Email,
}

impl Switches {
    /// Reports if the caller is shown a case.
    fn shows(&self, record: &Record) -> bool {
        !self.hidden_cases.contains(&record.number) && !self.has_lost(&record.parent)
    }

    /// Reports if the caller has lost the permission for the cases of a parent.
    fn has_lost(&self, parent: &Parent) -> bool {
        match parent {
            Parent::Organization(_) => false,
            Parent::Project(id) => self.lost_projects.contains(id),
        }
    }

    /// Replaces the priority in a case's JSON as `shown_priority` says.
    fn disguised(&self, mut case: serde_json::Value) -> serde_json::Value {
        if let (Some(word), Some(fields)) = (&self.shown_priority, case.as_object_mut()) {
            if word.is_empty() {
                fields.remove("priority");
            } else {
                fields.insert("priority".to_owned(), word.as_str().into());
            }
        }
        case
    }
}

impl Data {
    fn save_subscriptions(&mut self) -> Result<(), SandboxError> {
        let Self { subscriptions, database, .. } = self;
        database.as_mut().map_or(Ok(()), |database| database.save_subscriptions(subscriptions))
    }

    fn classification(&self, id: &str) -> ClassificationState {
        let at_first =
            if id == SUCCESSOR_ID { ClassificationState::Expired } else { ClassificationState::Listed };
        self.classifications.get(id).copied().unwrap_or(at_first)
    }
}

fn organization_id(organization: &str) -> &str {
    organization.strip_prefix("organizations/").unwrap_or(organization)
}

/// Parses the number of a case from its full name, or from a text that is only the number.
fn case_number(case: &str) -> Result<u64, SandboxError> {
    let number = case.rsplit_once("/cases/").map_or(case, |(_, number)| number);
    number.parse().map_err(|_| SandboxError::UnknownCase(case.to_owned()))
}
