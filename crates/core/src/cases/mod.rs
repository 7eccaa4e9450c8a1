//! Cases as both systems have them: the neutral model, and [`CaseSystem`], the trait that CSAPI and every CRM implement.
//!
//! The five things that are kept in step are the same on both sides, so there is one trait for both, and the sync is
//! written once for both directions. What differs between systems is data: [`Capabilities`].

mod error;
pub mod markers;
mod text;

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use futures_util::Stream;

use crate::entities::{Priority, PriorityReading, Side};

pub use error::{ApiError, ApiErrorKind, shorten};
pub use text::{TextLimit, code_points, utf8_bytes, utf16_units};

/// How a case was closed (`R32`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// Its problem was solved.
    Solved,
    /// Closed, and the system says no more.
    Closed,
    /// Cancelled, rejected, declined, withdrawn.
    Cancelled,
    /// A duplicate of another case.
    Duplicate,
    /// Merged into another case: [`Case::merged_into`].
    Merged,
    /// Archived, or read-only for good.
    Archived,
}

impl Closing {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Solved, Self::Closed, Self::Cancelled, Self::Duplicate, Self::Merged, Self::Archived];

    /// `solved`, as in the configuration and in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Duplicate => "duplicate",
            Self::Merged => "merged",
            Self::Archived => "archived",
        }
    }
}

/// Some of the ways to close a case: which of them close its counterpart (`R32`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosingSet(u8);

impl ClosingSet {
    /// Solved, and closed where the system knows no more: the default.
    pub const SOLVED: Self = Self(1 << Closing::Solved as u8 | 1 << Closing::Closed as u8);

    /// Whether `closing` is among them.
    #[must_use]
    pub const fn contains(self, closing: Closing) -> bool {
        self.0 & (1 << closing as u8) != 0
    }
}

impl Default for ClosingSet {
    fn default() -> Self {
        Self::SOLVED
    }
}

impl FromIterator<Closing> for ClosingSet {
    fn from_iter<I: IntoIterator<Item = Closing>>(closings: I) -> Self {
        Self(closings.into_iter().fold(0, |set, closing| set | 1 << closing as u8))
    }
}

/// A case, as one side shows it. Every field may have been missing in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Case {
    /// Google: the full name. Company: the ID that never changes.
    pub id: String,
    /// What people call it, where that is not the ID: `SUP-12`.
    pub key: Option<String>,
    /// One line.
    pub title: String,
    /// Plain text.
    pub description: String,
    /// The priority, through the configured words (`R18`).
    pub priority: PriorityReading,
    /// Whether it is closed (resolved, done).
    pub closed: bool,
    /// How it was closed (`R32`); `None` while it is open, and where the system does not say: then it counts as
    /// [`Closing::Closed`].
    pub closing: Option<Closing>,
    /// ID of the case that it was merged into, if [`Self::closing`] is [`Closing::Merged`] and the system says which.
    pub merged_into: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last updated. To the precision of [`Capabilities::time_resolution`].
    pub updated_at: Option<DateTime<Utc>>,
    /// The counterpart that the case itself names (`R10`): a company case's `custom_field_google_name`, the company case
    /// in the first line of a Google case's description. Not checked: a claim of whoever may edit the case.
    pub counterpart: Option<String>,
    /// Address of the company case in that claim, where it gives one (`R31`): says which system the ID is of. Only on a Google
    /// case, and `None` on one from before version 0.2.
    pub counterpart_address: Option<String>,
    /// Whether the connector's own user created it, where the system can tell (`R38`).
    pub by_connector: Option<bool>,
    /// Address under which people see it (`R31`).
    pub address: Option<String>,
    /// Project, queue or table that it lies in: what rights are given for (`R26`). `None` where the system has only one.
    pub scope: Option<String>,
    /// Whether it takes part: a company case's `synchronizeWithGoogleCloudSupport`; a Google case always does.
    pub synchronize: bool,
}

/// Who may read a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The requester too. What a system without internal comments has.
    Public,
    /// Colleagues only.
    Internal,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Unique within its case; Google: the last part of the name.
    pub id: String,
    /// The author's display name; empty if the system hides it.
    pub author: String,
    /// When it was written.
    pub created_at: Option<DateTime<Utc>>,
    /// Plain text: what [`NewComment::body`] was, if the connector wrote it.
    pub body: String,
    /// Who may read it.
    pub visibility: Visibility,
    /// Whether the connector's own user wrote it, where the system can tell.
    pub by_connector: Option<bool>,
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Unique within its case; Google: the last part of the name.
    pub id: String,
    /// As its author named it; anything can stand here (`R25`).
    pub filename: String,
    /// Media type, if the system says.
    pub media_type: Option<String>,
    /// Size in bytes, if the system says.
    pub size: Option<u64>,
    /// The author's display name; empty if the system hides it.
    pub author: String,
    /// When it was added.
    pub created_at: Option<DateTime<Utc>>,
    /// Who may read it: that of the comment it hangs on, where attachments hang on comments.
    pub visibility: Visibility,
    /// Whether the connector's own user added it, where the system can tell.
    pub by_connector: Option<bool>,
}

/// A case to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// One line, within [`Capabilities::title_limit`].
    pub title: String,
    /// Plain text, within [`Capabilities::description_limit`].
    pub description: String,
    /// `None`: the system's default.
    pub priority: Option<Priority>,
    /// The case that it mirrors: goes into `custom_field_google_name` of a company case. A Google case carries it in the
    /// description already.
    pub counterpart: String,
    /// Identifies this creation, for systems that know idempotency keys (`R13`).
    pub idempotency_key: String,
}

/// A comment to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewComment {
    /// Plain text, within [`Capabilities::comment_limit`]. The system's client sees to it that none of it is interpreted.
    pub body: String,
    /// Who may read it, where the system makes a difference.
    pub visibility: Visibility,
    /// Identifies this comment, for systems that know idempotency keys (`R13`).
    pub idempotency_key: String,
}

/// Bytes on their way from one system to the other.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, ApiError>> + Send>>;

/// An attachment's content, as it arrives.
pub struct Download {
    /// What the answer announces, in bytes.
    pub size: Option<u64>,
    /// The content. Ends with an error if it is shorter than announced (`R17`).
    pub content: ByteStream,
}

/// An attachment to be added.
pub struct NewAttachment {
    /// As its author named it. The client makes it safe for its protocol and its system.
    pub filename: String,
    /// Media type, if known.
    pub media_type: Option<String>,
    /// Size in bytes, if known.
    pub size: Option<u64>,
    /// The content. If it ends with an error, nothing may be kept of the upload.
    pub content: ByteStream,
    /// Who may read it, where attachments hang on comments.
    pub visibility: Visibility,
    /// Identifies this upload, for systems that know idempotency keys (`R13`).
    pub idempotency_key: String,
}

/// What a write left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The ID of the comment or attachment.
    pub id: String,
    /// When it was created, by the system's clock.
    pub created_at: Option<DateTime<Utc>>,
    /// The comment that came with it, where an attachment has to hang on one: it must not be carried back.
    pub carrier_comment: Option<String>,
}

/// What a search tells of a case: what decides whether it takes part and whether there is news of it, and neither title nor
/// description, since ten thousand may be found. Whoever needs those gets the case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// As [`Case::id`].
    pub id: String,
    /// As [`Case::priority`].
    pub priority: PriorityReading,
    /// As [`Case::closed`].
    pub closed: bool,
    /// As [`Case::created_at`].
    pub created_at: Option<DateTime<Utc>>,
    /// As [`Case::updated_at`].
    pub updated_at: Option<DateTime<Utc>>,
    /// As [`Case::counterpart`].
    pub counterpart: Option<String>,
    /// As [`Case::counterpart_address`].
    pub counterpart_address: Option<String>,
    /// As [`Case::by_connector`].
    pub by_connector: Option<bool>,
    /// As [`Case::scope`].
    pub scope: Option<String>,
    /// As [`Case::synchronize`].
    pub synchronize: bool,
}

impl From<&Case> for Found {
    fn from(case: &Case) -> Self {
        Self {
            id: case.id.clone(),
            priority: case.priority.clone(),
            closed: case.closed,
            created_at: case.created_at,
            updated_at: case.updated_at,
            counterpart: case.counterpart.clone(),
            counterpart_address: case.counterpart_address.clone(),
            by_connector: case.by_connector,
            scope: case.scope.clone(),
            synchronize: case.synchronize,
        }
    }
}

/// What a search for updated cases found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sweep {
    /// The cases, each once, in no particular order.
    pub cases: Vec<Found>,
    /// Cases that could not be understood: what they were and why (`R6`). Never a body.
    pub skipped: Vec<String>,
    /// Whether the answers themselves showed that the system knows the connector as itself (`R26`). An answer that shows the
    /// contrary is an error, not a sweep.
    pub identified: bool,
}

impl FromIterator<Result<Found, String>> for Sweep {
    /// What was found, and what could not be understood.
    fn from_iter<T: IntoIterator<Item = Result<Found, String>>>(found: T) -> Self {
        let mut sweep = Self::default();
        for found in found {
            match found {
                Ok(case) => sweep.cases.push(case),
                Err(problem) => sweep.skipped.push(problem),
            }
        }
        sweep
    }
}

/// What a system can do: facts of the system, not of a case.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a system")]
pub struct Capabilities {
    /// What people call the system: `Jira`.
    pub name: &'static str,
    /// Whether a closed case can be opened again (`R19`).
    pub reopen: bool,
    /// Whether a closed case takes comments and attachments.
    pub comment_when_closed: bool,
    /// Whether comments can be internal.
    pub internal_comments: bool,
    /// The longest comment (`R16`).
    pub comment_limit: TextLimit,
    /// The longest title.
    pub title_limit: TextLimit,
    /// The longest description.
    pub description_limit: TextLimit,
    /// Whether control characters (other than tab and line breaks) arrive as they are sent (`R25`).
    pub control_characters: bool,
    /// How late searches may be: a case found by none may yet exist for this long (`R13`).
    pub search_lag: Duration,
    /// How long a write without an answer may still be under way (`R13`).
    pub write_settles: Duration,
    /// How precise its times are.
    pub time_resolution: Duration,
    /// Whether writes carry idempotency keys (`R13`).
    pub idempotency_keys: bool,
    /// The name under which an attachment of this name is stored (`R25`): by it, the upload is recognised (`R13`).
    pub stored_filename: fn(&str) -> String,
}

/// What the connector is going to do in a system: a check tries that, and nothing that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Needs {
    /// Create cases.
    pub creation: bool,
    /// Add attachments.
    pub attachments: bool,
    /// Set priorities.
    pub priority: bool,
    /// Close and reopen cases.
    pub status: bool,
    /// As what it writes comments and attachments. Comments it always writes, its own if nobody else's.
    pub visibility: Visibility,
}

impl Needs {
    /// Everything.
    #[must_use]
    pub const fn all(visibility: Visibility) -> Self {
        Self { creation: true, attachments: true, priority: true, status: true, visibility }
    }
}

/// One line of `casebridge check`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was tried: `CSAPI: search cases of organizations/1`.
    pub what: String,
    /// Whether it holds; the error says what was found and what to do about it.
    pub result: Result<String, String>,
}

/// A system that holds cases. `id` is always a [`Case::id`] of this system.
///
/// Errors tell what the caller may do next: see [`ApiErrorKind`]. Reads are retried inside; writes are not, unless it is
/// certain that they did not happen (`R21`).
#[async_trait]
pub trait CaseSystem: Send + Sync {
    /// Which side it is.
    fn side(&self) -> Side;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// The largest attachment that it takes, in bytes, if it is known.
    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError>;

    /// Its address, as the configuration gives it, without a slash at its end: what an ID of one of its cases is an ID of
    /// (`R31`). `None` for Google, whose case numbers are unique in the world.
    fn home(&self) -> Option<&str> {
        None
    }

    /// How far its clock is ahead of ours, as measured from its answers (`R36`); negative if it is behind, `None` before the first
    /// answer.
    fn clock_skew(&self) -> Option<Duration> {
        None
    }

    /// The same, from its newest answer alone: a clock that jumped shows at once.
    fn latest_skew(&self) -> Option<Duration> {
        self.clock_skew()
    }

    /// Proves that the system knows the connector as itself, with one call that names its user (`R26`). Errors say what to do.
    async fn identify(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// ID of any case but `except` that the system shows the connector, flagged or not, however old: proof that it shows something
    /// (`R26`, `R28`). One call.
    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let _ = except;
        Ok(None)
    }

    /// The case that a person means by `reference`: its ID, its key or its address (`R31`).
    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        self.get(reference).await
    }

    /// All cases updated after `since` that take part, to the last page (`R6`). May return some that were updated before.
    /// `since` is in the system's own time (`R36`): the adapter turns it into no other clock's.
    /// No more than one page is held at a time: of each page, what a [`Found`] holds is taken before the next is read.
    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError>;

    /// Returns true if [`Self::search_updated`] takes a second search, which finds what [`Self::search_first`] does not.
    fn searches_twice(&self) -> bool {
        false
    }

    /// Only the first search of [`Self::search_updated`]: one call where nothing is found.
    async fn search_first(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.search_updated(since).await
    }

    /// The case; `None` if it does not exist. A company case is returned whether it is flagged or not.
    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError>;

    /// Returns true if [`Self::get`] would return the case. Takes one call.
    async fn shows(&self, id: &str) -> Result<bool, ApiError> {
        Ok(self.get(id).await?.is_some())
    }

    /// Searches for the case that mirrors `counterpart` (`R10`, `R13`). As late as [`Capabilities::search_lag`]. `home` is the
    /// [`home`](Self::home) of the system that `counterpart` is an ID of (`R31`): a case that names another system is not found; one
    /// that names none may be, if no other is. Of several, one that the connector's own user created comes first, else the oldest: a
    /// stranger's claim must not hide the connector's own copy (`R38`).
    async fn find_counterpart(&self, counterpart: &str, home: Option<&str>)
    -> Result<Option<Case>, ApiError>;

    /// Creates a case that takes part.
    async fn create(&self, case: &NewCase) -> Result<Case, ApiError>;

    /// Writes the counterpart's name onto the case, where there is a field for it: `custom_field_google_name`. The same
    /// again changes nothing.
    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError>;

    /// The comments created at or after `since` (`None`: all); may return older ones. In no particular order.
    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError>;

    /// The attachments added at or after `since` (`None`: all); may return older ones. In no particular order.
    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError>;

    /// Adds a comment.
    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError>;

    /// Opens an attachment for reading.
    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError>;

    /// Adds an attachment.
    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError>;

    /// Sets the priority.
    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError>;

    /// Closes the case. Closing a closed case succeeds.
    async fn close(&self, id: &str) -> Result<(), ApiError>;

    /// Opens a closed case again; [`ApiErrorKind::Unsupported`] where that cannot be done.
    async fn reopen(&self, id: &str) -> Result<(), ApiError>;

    /// Tries everything that the service needs of it, changing nothing.
    async fn check(&self, needs: Needs) -> Vec<Check>;
}
