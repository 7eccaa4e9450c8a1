//! Cases as both systems have them: the neutral model, and [`CaseSystem`], the trait that CSAPI and every CRM implement.
//!
//! The things that are kept in step are the same on both sides, so there is one trait for both, and the sync is written once for both
//! directions. Differences between systems are data: [`Capabilities`].

mod annotation;
mod check;
mod details;
mod error;
mod hidden;
mod hint;
pub mod markers;
mod placement;
mod status;
mod text;

use std::collections::BTreeSet;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use futures_util::Stream;
use sha2::{Digest as _, Sha256};

use crate::entities::{EscalationReason, GooglePlacement, GoogleState, Priority, PriorityReading, Side};

pub use annotation::{Annotated, Annotation, CarriedMark, CaseLink, LinkDetail};
pub use check::{Check, CheckStatus, CredentialEnd, Finding, Report, Trouble, fold, worst};
pub use details::{Details, PeopleSource, Raised, Wanted};
pub use error::{ApiError, ApiErrorKind, PlacementError, bounded, shorten, without_remedy};
pub use hidden::{as_written, is_hidden_control};
pub use hint::{Hint, Refusal};
pub use placement::Placement;
pub use status::{GOOGLE_STATE_ROOM, KnownStatus, Statuses, is_same_name};
pub use text::{TextLimit, code_points, utf8_bytes, utf16_units};

/// Way in which a case was closed (`R32`: closed is not solved).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// The problem was solved.
    Solved,
    /// Closed, and the system gives no reason.
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
    /// All ways to close a case.
    pub const ALL: [Self; 6] =
        [Self::Solved, Self::Closed, Self::Cancelled, Self::Duplicate, Self::Merged, Self::Archived];

    /// Returns the name, such as `solved`, as in the configuration.
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

/// Set of ways to close a case: those that close its counterpart (`R32`: closed is not solved).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosingSet(u8);

impl ClosingSet {
    /// Default set: solved, and closed if the system gives no reason.
    pub const SOLVED: Self = Self(1 << Closing::Solved as u8 | 1 << Closing::Closed as u8);

    /// Returns true if the set contains `closing`.
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

/// Classification of a Google case, and its mark as a test case: what routes go by. Empty for a company case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filing {
    /// ID of the classification.
    pub classification_id: Option<String>,
    /// Display name of the classification: `Technical Issue > Compute > Compute Engine`.
    pub classification: Option<String>,
    /// True for a test case, which no agent looks at.
    pub test_case: bool,
}

/// Case as one side shows it. Every field may have been missing in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Case {
    /// ID of the case. Google: the full name. Company: the ID that never changes.
    pub id: String,
    /// Name that people use for the case, if it is not the ID: `SUP-12`.
    pub key: Option<String>,
    /// Title, in one line.
    pub title: String,
    /// Description, as plain text.
    pub description: String,
    /// Description as version 0.1 read it, if that differs. What was copied then is recognised by it (`R14`: copies are known by ID).
    pub earlier_description: Option<String>,
    /// Priority, as the configuration maps the system's words (`R18`: priority).
    pub priority: PriorityReading,
    /// True if the case is closed (resolved, done).
    pub closed: bool,
    /// Way in which the case was closed (`R32`: closed is not solved). `None` while it is open, or if the system does not report it; then
    /// it counts as [`Closing::Closed`].
    pub closing: Option<Closing>,
    /// ID of the case that it was merged into, if [`Self::closing`] is [`Closing::Merged`] and the system reports it.
    pub merged_into: Option<String>,
    /// Time of creation.
    pub created_at: Option<DateTime<Utc>>,
    /// Time of the last update, with the precision of [`Capabilities::time_resolution`].
    pub updated_at: Option<DateTime<Utc>>,
    /// Counterpart that the case itself names (`R10`: knowing one's own cases). A company case names it in `custom_field_google_name`, a
    /// Google case in the first line of its description. The name is not verified: it is a claim of anyone who may edit the case.
    pub counterpart: Option<String>,
    /// Address of the company case in that claim, if the claim has one (`R31`: an ID is valid only in its own system). It tells which
    /// system the ID belongs to. Only a Google case has it; `None` on a case from before version 0.2.
    pub counterpart_address: Option<String>,
    /// True if the connector's own user created the case; `None` if the system cannot tell (`R38`: a claim is not a proof).
    pub by_connector: Option<bool>,
    /// Address under which people see the case (`R31`: an ID is valid only in its own system).
    pub address: Option<String>,
    /// Project, queue or table that contains the case, and for which rights are given (`R26`: empty answers need proof). `None` if the
    /// system has only one.
    pub scope: Option<String>,
    /// True if the case takes part in the sync. For a company case, this is `synchronizeWithGoogleCloudSupport`; a Google case always takes
    /// part.
    pub synchronize: bool,
    /// Classification of a Google case, and its mark as a test case.
    pub filing: Filing,
    /// State of a Google case. `None` for a company case, and for a state that is not known.
    pub state: Option<GoogleState>,
    /// True if a Google case is escalated.
    pub escalated: bool,
    /// Names of the status of a company case, each of which the configuration may use: name, ID, label, category. Empty for a Google case.
    /// Labels that take another call are added by [`CaseSystem::status_names`].
    pub status: Vec<String>,
    /// Text in the field of a company case that shows Google's state. `None` if no such field is configured.
    pub state_text: Option<String>,
    /// Email addresses that get Google's mails about a Google case; for a company case, those of its people that may leave the house.
    /// `None` if they were not read.
    pub subscribers: Option<Vec<String>>,
    /// Wish of a company case to have its Google case escalated. `None` if it was not read.
    pub raised: Option<Raised>,
}

impl Case {
    /// Returns a digest of all that a sync carries: a case with the same digest has changed in nothing that is kept in step. The time of the
    /// last update is left out, and the status and the text that only Google's state changes. It may differ between two versions of the
    /// connector.
    #[must_use]
    pub fn digest(&self) -> String {
        let timeless = Self { updated_at: None, status: Vec::new(), state_text: None, ..self.clone() };
        hex::encode(&Sha256::digest(format!("{timeless:?}"))[..16])
    }
}

/// Readers of a comment or an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The requester may read it too. A system without internal comments has only this.
    Public,
    /// Only colleagues may read it.
    Internal,
}

/// Comment of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// ID, unique within its case. Google: the last part of the name.
    pub id: String,
    /// Other ID under which the system shows the same text: that of the email message which became this comment. What was copied under one
    /// of them is not copied again (`R14`: copies are known by ID).
    pub other_id: Option<String>,
    /// Display name of the author; empty if the system hides it.
    pub author: String,
    /// Time of creation.
    pub created_at: Option<DateTime<Utc>>,
    /// Body, as plain text. If the connector wrote the comment, the body is its [`NewComment::body`].
    pub body: String,
    /// Body as version 0.1 read it, if that differs. What was copied then is recognised by it (`R14`: copies are known by ID).
    pub earlier_body: Option<String>,
    /// Time of the last edit, by the system's clock. `None` if the comment was never edited, or if the system does not say so.
    pub edited_at: Option<DateTime<Utc>>,
    /// Readers of the comment.
    pub visibility: Visibility,
    /// True if the connector's own user wrote the comment; `None` if the system cannot tell.
    pub by_connector: Option<bool>,
}

impl Comment {
    /// Returns all IDs of the comment: copies of it may be known by any of them.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.other_id.as_deref())
    }

    /// Returns the comment as version 0.1 read it.
    #[must_use]
    pub fn as_read_earlier(&self) -> Self {
        let body = self.earlier_body.as_ref().unwrap_or(&self.body).clone();
        Self { body, earlier_body: None, ..self.clone() }
    }
}

/// Attachment of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// ID, unique within its case. Google: the last part of the name.
    pub id: String,
    /// File name that its author gave it. It can be any text (`R25`: odd content is content).
    pub filename: String,
    /// Media type, if the system reports it.
    pub media_type: Option<String>,
    /// Size in bytes, if the system reports it.
    pub size: Option<u64>,
    /// Display name of the author; empty if the system hides it.
    pub author: String,
    /// Time of creation.
    pub created_at: Option<DateTime<Utc>>,
    /// Readers of the attachment. In a system whose attachments belong to comments, they are the readers of the comment.
    pub visibility: Visibility,
    /// True if the connector's own user added the attachment; `None` if the system cannot tell.
    pub by_connector: Option<bool>,
    /// ID of the comment that the attachment belongs to; `None` in a system whose attachments belong to the case.
    pub comment: Option<String>,
}

/// Comments and attachments of a case, as its system lists them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Comments, in no particular order.
    pub comments: Vec<Comment>,
    /// Attachments, in no particular order.
    pub attachments: Vec<Attachment>,
}

impl Content {
    /// Drops items that are older than `horizon`. Items without a time are kept.
    #[must_use]
    pub fn since(mut self, horizon: Option<DateTime<Utc>>) -> Self {
        let reached = |at: Option<DateTime<Utc>>| at.is_none() || horizon.is_none() || at >= horizon;
        self.comments.retain(|comment| reached(comment.created_at));
        self.attachments.retain(|attachment| reached(attachment.created_at));
        self
    }
}

/// Case to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// Title in one line, within [`Capabilities::title_limit`].
    pub title: String,
    /// Description as plain text, within [`Capabilities::description_limit`].
    pub description: String,
    /// Priority; `None` for the default of the system.
    pub priority: Option<Priority>,
    /// ID of the case that it mirrors, for `custom_field_google_name` of a company case. A Google case has it in the description already.
    pub counterpart: String,
    /// Idempotency key of the creation, for systems that support such keys (`R13`: unknown write outcome).
    pub idempotency_key: String,
    /// Values that a route sets on a company case.
    pub placement: Placement,
    /// Values that a route and the company case's fields set on a Google case. The classification is an ID.
    pub google: GooglePlacement,
}

/// Comment to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewComment {
    /// Body as plain text, within [`Capabilities::comment_limit`]. The client of the system escapes it, so that none of it is interpreted.
    pub body: String,
    /// Readers of the comment, if the system makes a difference.
    pub visibility: Visibility,
    /// Idempotency key of the comment, for systems that support such keys (`R13`: unknown write outcome).
    pub idempotency_key: String,
}

/// Stream of bytes from one system to the other.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, ApiError>> + Send>>;

/// Content of an attachment while it is downloaded.
pub struct Download {
    /// Size that the answer announces, in bytes.
    pub size: Option<u64>,
    /// Content. The stream ends with an error if it is shorter than announced (`R17`: files).
    pub content: ByteStream,
}

/// Attachment to be added.
pub struct NewAttachment {
    /// File name that its author gave it. The client makes it safe for its protocol and its system.
    pub filename: String,
    /// Media type, if known.
    pub media_type: Option<String>,
    /// Size in bytes, if known.
    pub size: Option<u64>,
    /// Content. If the stream ends with an error, nothing may be kept of the upload.
    pub content: ByteStream,
    /// Readers of the attachment, in a system whose attachments belong to comments.
    pub visibility: Visibility,
    /// Idempotency key of the upload, for systems that support such keys (`R13`: unknown write outcome).
    pub idempotency_key: String,
}

/// Result of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// ID of the new comment or attachment.
    pub id: String,
    /// Time of creation, by the system's clock.
    pub created_at: Option<DateTime<Utc>>,
    /// ID of the comment that was created with an attachment, if the system needs one for it. This comment must not be carried back.
    pub carrier_comment: Option<String>,
}

/// Case as a search returns it: the fields that decide if the case takes part and if it has changed. The description is left out, since a
/// search may find ten thousand cases. A caller that needs it reads the case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Same as [`Case::id`].
    pub id: String,
    /// Same as [`Case::key`].
    pub key: Option<String>,
    /// Same as [`Case::address`].
    pub address: Option<String>,
    /// Title of a Google case, by which routes may go. Empty for a company case.
    pub title: String,
    /// Same as [`Case::priority`].
    pub priority: PriorityReading,
    /// Same as [`Case::closed`].
    pub closed: bool,
    /// Same as [`Case::created_at`].
    pub created_at: Option<DateTime<Utc>>,
    /// Same as [`Case::updated_at`].
    pub updated_at: Option<DateTime<Utc>>,
    /// Same as [`Case::counterpart`].
    pub counterpart: Option<String>,
    /// Same as [`Case::counterpart_address`].
    pub counterpart_address: Option<String>,
    /// Same as [`Case::by_connector`].
    pub by_connector: Option<bool>,
    /// Same as [`Case::scope`].
    pub scope: Option<String>,
    /// Same as [`Case::synchronize`].
    pub synchronize: bool,
    /// Same as [`Case::filing`].
    pub filing: Filing,
}

/// Sorts cases that name the same counterpart: those of another author last, then those that name no system, then by age, so that every
/// search gives the same order (`R38`: a claim is not a proof).
pub fn sort_counterparts(found: &mut [Found]) {
    // A longer number is a later one.
    let age = |case: &Found| (case.created_at.is_none(), case.created_at, case.id.len());
    let order =
        |case: &Found| (case.by_connector == Some(false), case.counterpart_address.is_none(), age(case));
    found.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.id.cmp(&b.id)));
}

impl Found {
    /// Returns what a search finds of a case of that side.
    #[must_use]
    pub fn of(side: Side, case: &Case) -> Self {
        match side {
            Side::Google => Self { title: case.title.clone(), ..Self::from(case) },
            Side::Company => Self::from(case),
        }
    }
}

impl From<&Case> for Found {
    fn from(case: &Case) -> Self {
        Self {
            id: case.id.clone(),
            key: case.key.clone(),
            address: case.address.clone(),
            title: String::new(),
            priority: case.priority.clone(),
            closed: case.closed,
            created_at: case.created_at,
            updated_at: case.updated_at,
            counterpart: case.counterpart.clone(),
            counterpart_address: case.counterpart_address.clone(),
            by_connector: case.by_connector,
            scope: case.scope.clone(),
            synchronize: case.synchronize,
            filing: case.filing.clone(),
        }
    }
}

/// Result of a search for updated cases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sweep {
    /// Cases, each once, in no particular order.
    pub cases: Vec<Found>,
    /// Cases that could not be parsed, each described with the reason (`R6`: a watermark moves only after a complete read). Never a body.
    pub skipped: Vec<String>,
    /// True if the answers themselves showed that the system recognises the connector's user (`R26`: empty answers need proof). An answer
    /// that shows the contrary is an error, not a sweep.
    pub identified: bool,
}

impl FromIterator<Result<Found, String>> for Sweep {
    /// Separates the cases that were parsed from those that could not be.
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

/// Facts about a system, which do not depend on a case.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a system")]
pub struct Capabilities {
    /// Name of the system: `Jira`.
    pub name: &'static str,
    /// True if a closed case can be reopened (`R19`: status).
    pub reopen: bool,
    /// True if a closed case takes comments and attachments.
    pub comment_when_closed: bool,
    /// True if comments can be internal.
    pub internal_comments: bool,
    /// True if people can edit a comment, and the system says so: see [`Comment::edited_at`]. Edits of other comments are not noted.
    pub comments_change: bool,
    /// Maximum length of a comment (`R16`: long texts).
    pub comment_limit: TextLimit,
    /// Maximum length of a title.
    pub title_limit: TextLimit,
    /// Maximum length of a description.
    pub description_limit: TextLimit,
    /// True if control characters (other than tab and line breaks) arrive as they are sent (`R25`: odd content is content).
    pub control_characters: bool,
    /// Maximum index lag: a case that no search finds may still exist for this long (`R13`: unknown write outcome).
    pub index_lag: Duration,
    /// In-flight window: time for which a write without an answer may still take effect (`R13`: unknown write outcome).
    pub in_flight_window: Duration,
    /// Resolution of the system's times.
    pub time_resolution: Duration,
    /// True if writes carry idempotency keys (`R13`: unknown write outcome).
    pub idempotency_keys: bool,
    /// Function that returns the name under which an attachment of a given name is stored (`R25`: odd content is content). An upload
    /// without an answer is recognised by the stored name (`R13`: unknown write outcome).
    pub stored_filename: fn(&str) -> String,
}

/// Operations that the connector needs in a system. `casebridge check` tries them, and nothing that is switched off.
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
    /// Set the status of an open case when Google's state changes.
    pub turn: bool,
    /// Set titles.
    pub title: bool,
    /// Show links to Google cases.
    pub remote_link: bool,
    /// Add the label of escalated Google cases, and remove it.
    pub label: bool,
    /// Mark notes that were carried.
    pub mark: bool,
    /// Read which comments are internal, since only marked ones of these go to Google.
    pub marked_notes: bool,
    /// Visibility of the comments and attachments that it writes. It always writes comments, if only its own notices.
    pub visibility: Visibility,
}

impl Needs {
    /// Returns all operations, with that visibility.
    #[must_use]
    pub const fn all(visibility: Visibility) -> Self {
        Self {
            creation: true,
            attachments: true,
            priority: true,
            status: true,
            turn: true,
            title: true,
            remote_link: true,
            label: true,
            mark: true,
            marked_notes: false,
            visibility,
        }
    }
}

/// Projects and organisations whose cases a system shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenScopes {
    /// Their names, such as `projects/shop-prod`.
    pub scopes: BTreeSet<String>,
    /// True if they are those of all cases, and not only of the newest.
    pub complete: bool,
}

/// A system that holds cases. `id` is always a [`Case::id`] of this system.
///
/// Errors say what the caller may do next: see [`ApiErrorKind`]. The implementation retries reads. It retries a write only if it is certain
/// that the write did not happen (`R21`: manners towards an upstream).
#[async_trait]
pub trait CaseSystem: Send + Sync {
    /// Returns the side of the system.
    fn side(&self) -> Side;

    /// Returns the facts about the system.
    fn capabilities(&self) -> &Capabilities;

    /// Returns the maximum size of an attachment in bytes, if it is known.
    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError>;

    /// Returns the address of the system as configured, without a slash at its end. The IDs of the system's cases are valid only there
    /// (`R31`: an ID is valid only in its own system). `None` for Google, whose case numbers are unique in the world.
    fn home(&self) -> Option<&str> {
        None
    }

    /// Returns the name of the field of a company case that holds its Google case's name, as people know it (`R38`: a claim is not a proof).
    #[expect(clippy::unnecessary_literal_bound, reason = "a system has it from its settings")]
    fn google_name_field(&self) -> &str {
        "custom_field_google_name"
    }

    /// Returns the name of the field of a company case that shows Google's state, as people know it. `None` if none is configured.
    fn google_state_field(&self) -> Option<&str> {
        None
    }

    /// Returns the lead of the system's clock over ours, as measured from its answers (`R36`: clock skew). Negative if the clock is behind;
    /// `None` before the first answer.
    fn clock_skew(&self) -> Option<Duration> {
        None
    }

    /// Returns the lead as measured from the newest answer alone, so that a jump of the clock shows at once.
    fn latest_skew(&self) -> Option<Duration> {
        self.clock_skew()
    }

    /// Returns the end of the system's credentials, if it is known.
    fn credential_end(&self) -> Option<CredentialEnd> {
        None
    }

    /// True if `user` is the connector's own user, as the system's webhooks name it. Makes no call: false until the user is known.
    async fn is_own_user(&self, user: &str) -> bool {
        let _ = user;
        false
    }

    /// Proves that the system recognises the connector's user, with one call that names the user (`R26`: empty answers need proof). Errors
    /// say what to do.
    async fn identify(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// Returns the ID of any case except `except` that the system shows the connector, with or without the flag, however old. It is the
    /// proof that the system shows cases at all (`R26`: empty answers need proof; `R28`: missing is not gone). Takes one call.
    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let _ = except;
        Ok(None)
    }

    /// Returns the case that a person means by `reference`: its ID, its key or its address (`R31`: an ID is valid only in its own system).
    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        self.get(reference).await
    }

    /// Searches for all cases updated after `since` that take part, to the last page (`R6`: a watermark moves only after a complete read).
    /// May also return some that were updated before. `since` is in the system's own time (`R36`: clock skew), and the adapter does not
    /// convert it. Only one page is held at a time: the fields of [`Found`] are taken from each page before the next one is read.
    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError>;

    /// Returns true if [`Self::search_updated`] makes a second search, which finds cases that [`Self::search_first`] does not find.
    fn searches_twice(&self) -> bool {
        false
    }

    /// Makes only the first search of [`Self::search_updated`]: one call if nothing is found.
    async fn search_first(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.search_updated(since).await
    }

    /// Returns the case; `None` if it does not exist. A company case is returned with or without the flag.
    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError>;

    /// Returns true if [`Self::get`] would return the case. Takes one call.
    async fn shows(&self, id: &str) -> Result<bool, ApiError> {
        Ok(self.get(id).await?.is_some())
    }

    /// Searches for the cases that name `counterpart` as theirs (`R10`: knowing one's own cases; `R13`: unknown write outcome). The search
    /// may be late by the index lag, [`Capabilities::index_lag`]. `home` is the [`home`](Self::home) of the system that the ID `counterpart`
    /// belongs to (`R31`: an ID is valid only in its own system). A case that names another system is not returned. Returns all, in the
    /// order of [`sort_counterparts`]: a stranger's claim must not hide the connector's own copy (`R38`: a claim is not a proof).
    async fn find_counterparts(&self, counterpart: &str, home: Option<&str>) -> Result<Vec<Found>, ApiError>;

    /// Searches like [`Self::find_counterparts`], among the cases of `parent` only: a creation without an answer may have made a case there.
    async fn find_counterparts_under(
        &self,
        parent: &str,
        counterpart: &str,
        home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        let _ = (parent, counterpart, home);
        Ok(Vec::new())
    }

    /// Looks up a classification of Google's by its ID or by words of its display name, and returns its ID.
    async fn classification_id(&self, text: &str) -> Result<String, PlacementError> {
        Ok(text.to_owned())
    }

    /// Checks that a Google case may be created in `parent`, which a person wrote on a company case, and that it would be polled there.
    async fn check_parent(&self, parent: &str) -> Result<(), PlacementError> {
        let _ = parent;
        Ok(())
    }

    /// Returns the projects and organisations whose cases are visible, from the newest cases: [`Case::scope`]. Empty for a system without any.
    async fn seen_scopes(&self) -> Result<SeenScopes, ApiError> {
        Ok(SeenScopes::default())
    }

    /// Reads the wanted details of a company case.
    async fn details(&self, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
        let _ = (id, wanted);
        Ok(Details::default())
    }

    /// Creates a case that takes part in the sync.
    async fn create(&self, case: &NewCase) -> Result<Case, ApiError>;

    /// Writes the counterpart's name onto the case, if there is a field for it: `custom_field_google_name`. Idempotent.
    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError>;

    /// Returns the comments created at or after `since` (`None`: all), in no particular order. May also return older ones.
    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError>;

    /// Returns the attachments added at or after `since` (`None`: all), in no particular order. May also return older ones.
    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError>;

    /// Returns the comments and the attachments at or after `since`, as [`Self::comments`] and [`Self::attachments`] do, with as few calls
    /// as the system needs for both.
    async fn content(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Content, ApiError> {
        let (comments, attachments) =
            futures_util::try_join!(self.comments(id, since), self.attachments(id, since))?;
        Ok(Content { comments, attachments })
    }

    /// Returns the case with its comments and attachments at or after `since`, as [`Self::get`] and then [`Self::content`] do, with as few
    /// calls as the system needs for both. The lists are never older than the case.
    async fn get_whole(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<(Case, Content)>, ApiError> {
        let Some(case) = self.get(id).await? else { return Ok(None) };
        let content = self.content(id, since).await?;
        Ok(Some((case, content)))
    }

    /// Adds a comment.
    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError>;

    /// Opens an attachment for reading.
    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError>;

    /// Adds an attachment.
    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError>;

    /// Sets the priority.
    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError>;

    /// Sets the title, which is one line within [`Capabilities::title_limit`]. Returns the title that the system has stored, which a rule of
    /// its own may have made from it; `None` if the answer does not say.
    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError>;

    /// Sets the email addresses that get Google's mails about a Google case, all of them.
    async fn set_subscribers(&self, id: &str, subscribers: &[String]) -> Result<(), ApiError> {
        let _ = subscribers;
        Err(ApiError::new(ApiErrorKind::Unsupported, self.capabilities().name, id, "has no subscribers"))
    }

    /// Escalates a Google case. Escalating an escalated case succeeds.
    async fn escalate(
        &self,
        id: &str,
        reason: EscalationReason,
        justification: &str,
    ) -> Result<(), ApiError> {
        let _ = (reason, justification);
        let call = format!("escalate case {}", shorten(id));
        Err(ApiError::new(ApiErrorKind::Unsupported, self.capabilities().name, call, "has no escalations"))
    }

    /// Closes the case. Closing a closed case succeeds.
    async fn close(&self, id: &str) -> Result<(), ApiError>;

    /// Reopens a closed case; [`ApiErrorKind::Unsupported`] if the system cannot do that.
    async fn reopen(&self, id: &str) -> Result<(), ApiError>;

    /// True if a case of the system can be closed in this way, as far as the connector reads it.
    fn closes_as(&self, _closing: Closing) -> bool {
        true
    }

    /// Returns all names of an open case's status, with those that take a call besides the case's own: [`Case::status`].
    async fn status_names(&self, case: &Case) -> Result<Vec<String>, ApiError> {
        Ok(case.status.clone())
    }

    /// Sets the status of an open case, named as the configuration names it. Succeeds if the case has it already. Fails with
    /// [`ApiErrorKind::Refused`] if no way leads there, if the status means closed, or if the case was closed meanwhile.
    async fn set_status(&self, id: &str, status: &str) -> Result<(), ApiError> {
        let call = format!("set the status of case {}", shorten(id));
        let message = format!("there is no status {status:?} to set");
        Err(ApiError::new(ApiErrorKind::Unsupported, self.capabilities().name, call, message))
    }

    /// Writes a text into the field that shows Google's state. Idempotent.
    async fn show_state(&self, id: &str, _text: &str) -> Result<(), ApiError> {
        let call = format!("write Google's state on case {}", shorten(id));
        let message = "no field for it is configured";
        Err(ApiError::new(ApiErrorKind::Unsupported, self.capabilities().name, call, message))
    }

    /// Shows something of the Google case on its company case, which may be closed. Idempotent. Fails with
    /// [`ApiErrorKind::Refused`] or [`ApiErrorKind::Unauthorized`] if a right is missing.
    async fn annotate(&self, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
        let call = format!("{} ({})", annotation.describe(), shorten(id));
        Err(ApiError::new(ApiErrorKind::Unsupported, self.capabilities().name, call, "has no place for it"))
    }

    /// Returns the statuses that cases can have, as far as the system lets one ask. Changes nothing.
    async fn statuses(&self) -> Result<Statuses, ApiError> {
        Ok(Statuses::default())
    }

    /// Tries all operations of `needs` in the system, and changes nothing.
    async fn check(&self, needs: Needs) -> Vec<Check>;

    /// Looks up the values of a placement in the system, as far as it lets one ask, and changes nothing. An unknown value is named with
    /// those that there are.
    async fn check_placement(&self, placement: &Placement) -> Finding {
        Ok(placement.describe())
    }

    /// Looks up what a route sets on a Google case: the parent and the classification. Changes nothing.
    async fn check_google_placement(&self, placement: &GooglePlacement) -> Finding {
        Ok(placement.describe())
    }

    /// Looks up the fields of company cases, and the sources of addresses, that a configuration names. `terms` are the names of projects,
    /// types and components that routes match exactly. An unknown name is told with those that there are.
    async fn check_details(&self, wanted: &Wanted, terms: &Details) -> Finding {
        let _ = terms;
        Ok(wanted.all_fields().collect::<Vec<_>>().join(", "))
    }
}
