//! Data model of the sandbox CSAPI: cases with their comments and attachments. It knows no HTTP and no JSON of the API.

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::content::Content;
use super::feed::EmailMessage;

/// Priority of a case. The API has a sixth value for "not set", which is `None` here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Most urgent.
    P0,
    /// Urgent.
    P1,
    /// Normal.
    P2,
    /// Low.
    P3,
    /// Least urgent.
    P4,
}

impl Priority {
    /// All priorities, most urgent first.
    pub const ALL: [Self; 5] = [Self::P0, Self::P1, Self::P2, Self::P3, Self::P4];

    /// Returns the API's word: `P0` to `P4`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
        }
    }

    /// Parses the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == word)
    }
}

/// State of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Google's support has not looked at it yet.
    New,
    /// Google's support works on the case.
    InProgressGoogleSupport,
    /// Google waits for the customer.
    ActionRequired,
    /// Google has proposed a solution.
    SolutionProvided,
    /// Closed.
    Closed,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::New,
        Self::InProgressGoogleSupport,
        Self::ActionRequired,
        Self::SolutionProvided,
        Self::Closed,
    ];

    /// Returns the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::InProgressGoogleSupport => "IN_PROGRESS_GOOGLE_SUPPORT",
            Self::ActionRequired => "ACTION_REQUIRED",
            Self::SolutionProvided => "SOLUTION_PROVIDED",
            Self::Closed => "CLOSED",
        }
    }

    /// Parses the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Author of a case, a comment or an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Author {
    /// Person at the customer who uses the Google Cloud console.
    Customer {
        /// Full name.
        name: String,
        /// E-mail address.
        email: String,
    },
    /// Person at Google support; the API masks name and address.
    GoogleSupport {
        /// Full name.
        name: String,
    },
    /// Service account that called the API.
    ServiceAccount {
        /// E-mail address.
        email: String,
    },
}

impl Author {
    /// Returns a customer whose address is made from the name: `Jane Roe` is `jane.roe@example.com`.
    pub fn customer(name: &str) -> Self {
        let words: Vec<String> = name.split_whitespace().map(str::to_lowercase).collect();
        Self::Customer { name: name.to_owned(), email: format!("{}@example.com", words.join(".")) }
    }

    /// Returns a person at Google support.
    pub fn google(name: &str) -> Self {
        Self::GoogleSupport { name: name.to_owned() }
    }

    /// Returns the name that the API shows: masked for people at Google.
    pub fn display_name(&self) -> String {
        match self {
            Self::Customer { name, .. } => name.clone(),
            Self::GoogleSupport { name } => {
                let masked: Vec<String> = name
                    .split_whitespace()
                    .map(|word| word.chars().take(1).chain("***".chars()).collect())
                    .collect();
                masked.join(" ")
            }
            Self::ServiceAccount { email } => email.clone(),
        }
    }

    /// Returns the address that the API shows: masked for people at Google.
    pub fn email(&self) -> String {
        match self {
            Self::Customer { email, .. } | Self::ServiceAccount { email } => email.clone(),
            Self::GoogleSupport { .. } => "***@google.com".to_owned(),
        }
    }
}

/// Parent of a case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parent {
    /// `organizations/{id}`.
    Organization(String),
    /// `projects/{id}`.
    Project(String),
}

impl Parent {
    /// Parses `organizations/{id}` or `projects/{id}`.
    pub fn parse(name: &str) -> Option<Self> {
        let (kind, id) = name.split_once('/')?;
        Self::of(kind, id)
    }

    pub(super) fn of(kind: &str, id: &str) -> Option<Self> {
        if id.is_empty() || id.contains('/') {
            return None;
        }
        match kind {
            "organizations" => Some(Self::Organization(id.to_owned())),
            "projects" => Some(Self::Project(id.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(id) => write!(f, "organizations/{id}"),
            Self::Project(id) => write!(f, "projects/{id}"),
        }
    }
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Last part of the resource name: unique within the sandbox, and not ordered by time.
    pub id: String,
    /// Text of the comment.
    pub body: String,
    /// Author of the comment.
    pub author: Author,
    /// Time of creation; no two comments of a case have the same time.
    pub created_at: DateTime<Utc>,
}

/// File on a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Last part of the resource name: unique within the sandbox, and not ordered by time.
    pub id: String,
    /// File name as it was sent.
    pub filename: String,
    /// Media type as it was sent.
    pub mime_type: String,
    /// Size in bytes.
    pub size: u64,
    /// Author of the upload.
    pub author: Author,
    /// Time of the upload.
    pub created_at: DateTime<Utc>,
    pub(super) content: Content,
}

/// Copy of a case at one moment, for tests and pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Full resource name, under the parent that the case was created in.
    pub name: String,
    /// Case number, which identifies the case.
    pub number: u64,
    /// The title.
    pub display_name: String,
    /// Text that the case was created with.
    pub description: String,
    /// Priority; `None` after a patch without a mask cleared it.
    pub priority: Option<Priority>,
    /// State of the case.
    pub state: State,
    /// True if the case is escalated.
    pub escalated: bool,
    /// Escalations by customers, oldest first: reason and justification.
    pub escalations: Vec<(String, String)>,
    /// E-mail addresses that get mail about the case.
    pub subscribers: Vec<String>,
    /// ID of the classification.
    pub classification_id: String,
    /// Language, BCP 47; empty if it was not given.
    pub language_code: String,
    /// Time zone; empty if it was not given.
    pub time_zone: String,
    /// True for a test case.
    pub test_case: bool,
    /// Author of the case.
    pub creator: Author,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change, as the API shows it.
    pub updated_at: DateTime<Utc>,
}

/// Input for a case that a person creates in the console.
#[derive(Debug, Clone)]
pub struct NewCase {
    /// `organizations/{id}` or `projects/{id}`; an unknown project is added.
    pub parent: String,
    /// The title.
    pub display_name: String,
    /// Text of the case.
    pub description: String,
    /// Priority.
    pub priority: Priority,
    /// Author of the case.
    pub author: Author,
}

/// Changeable part of a case, as it was at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) at: DateTime<Utc>,
    pub(super) display_name: String,
    pub(super) priority: Option<Priority>,
    pub(super) state: State,
    pub(super) escalated: bool,
    pub(super) subscribers: Vec<String>,
    pub(super) updated_at: DateTime<Utc>,
}

/// Stored form of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) parent: Parent,
    pub(super) description: String,
    pub(super) classification_id: String,
    pub(super) creator: Author,
    pub(super) created_at: DateTime<Utc>,
    pub(super) time_zone: String,
    pub(super) language_code: String,
    pub(super) test_case: bool,
    /// Escalations by customers, oldest first: reason and justification.
    #[serde(default)]
    pub(super) escalations: Vec<(String, String)>,
    /// Oldest first.
    pub(super) comments: Vec<Comment>,
    /// Oldest first.
    pub(super) attachments: Vec<Attachment>,
    /// Oldest first.
    #[serde(default)]
    pub(super) emails: Vec<EmailMessage>,
    pub(super) current: Version,
    /// Previous values of `current`, oldest first: searches with an index lag read them.
    older: Vec<Version>,
    /// Time of the last change of any kind.
    pub(super) changed_at: DateTime<Utc>,
    /// Number of comments and attachments ever made; their IDs are derived from it.
    items_made: u64,
}

/// Time for which old versions are kept: index lags up to it are simulated exactly.
fn history() -> Duration {
    Duration::hours(1)
}

impl Record {
    #[expect(clippy::too_many_arguments, reason = "the one place where a case is put together")]
    pub(super) fn new(
        number: u64,
        parent: Parent,
        now: DateTime<Utc>,
        creator: Author,
        display_name: String,
        description: String,
        priority: Option<Priority>,
        classification_id: String,
    ) -> Self {
        Self {
            number,
            parent,
            description,
            classification_id,
            creator,
            created_at: now,
            time_zone: String::new(),
            language_code: String::new(),
            test_case: false,
            escalations: Vec::new(),
            comments: Vec::new(),
            attachments: Vec::new(),
            emails: Vec::new(),
            current: Version {
                at: now,
                display_name,
                priority,
                state: State::New,
                escalated: false,
                subscribers: Vec::new(),
                updated_at: now,
            },
            older: Vec::new(),
            changed_at: now,
            items_made: 0,
        }
    }

    /// Returns the time for the next change: now, but at least a microsecond later than every change so far.
    pub(super) fn next_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.max(self.changed_at + Duration::microseconds(1))
    }

    /// Completes a change: sets its times, and keeps `before` for searches with an index lag. `before` is the version before the change.
    pub(super) fn changed(&mut self, before: Version, at: DateTime<Utc>, moves_update_time: bool) {
        self.changed_at = at;
        if moves_update_time {
            self.current.updated_at = at;
        }
        if self.current != before {
            self.current.at = at;
            self.older.push(before);
            // The newest version that is older than the history is still needed: it was in force when the history began.
            let needed_from =
                self.older.iter().rposition(|version| at - version.at >= history()).unwrap_or(0);
            self.older.drain(..needed_from);
        }
    }

    /// Returns the version that was in force at a time; `None` before the case was created.
    pub(super) fn version_at(&self, time: DateTime<Utc>) -> Option<&Version> {
        if self.created_at > time {
            return None;
        }
        let versions = || std::iter::once(&self.current).chain(self.older.iter().rev());
        // For a time before the history, the oldest version is the best guess.
        versions().find(|version| version.at <= time).or_else(|| versions().last())
    }

    pub(super) fn add_comment(&mut self, author: Author, body: String, at: DateTime<Utc>) -> Comment {
        let id = self.next_id(digits);
        let comment = Comment { id, body, author, created_at: at };
        self.comments.push(comment.clone());
        comment
    }

    pub(super) fn add_attachment(
        &mut self,
        author: Author,
        filename: String,
        mime_type: String,
        size: u64,
        content: Content,
        at: DateTime<Utc>,
    ) -> Attachment {
        let id = self.next_id(|digest| {
            const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            let tail =
                digest.iter().take(15).map(|&byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
            "068".chars().chain(tail).collect()
        });
        let attachment = Attachment { id, filename, mime_type, size, author, created_at: at, content };
        self.attachments.push(attachment.clone());
        attachment
    }

    pub(super) fn add_email(
        &mut self,
        author: Author,
        subject: String,
        text: String,
        at: DateTime<Utc>,
    ) -> EmailMessage {
        let id = digits(&Sha256::digest(format!("{}/{}", self.number, self.emails.len() + 1)));
        let email = EmailMessage { id, author, subject, text, created_at: at };
        self.emails.push(email.clone());
        email
    }

    /// Makes the ID of a new item. IDs are the same in every run, and do not show the order of creation.
    fn next_id(&mut self, shape: impl Fn(&[u8]) -> String) -> String {
        self.items_made += 1;
        shape(&Sha256::digest(format!("{}/{}", self.number, self.items_made)))
    }

    pub(super) fn name(&self) -> String {
        format!("{}/cases/{}", self.parent, self.number)
    }

    pub(super) fn view(&self) -> Case {
        let Version { display_name, priority, state, escalated, subscribers, updated_at, at: _ } =
            self.current.clone();
        Case {
            name: self.name(),
            number: self.number,
            display_name,
            description: self.description.clone(),
            priority,
            state,
            escalated,
            escalations: self.escalations.clone(),
            subscribers,
            classification_id: self.classification_id.clone(),
            language_code: self.language_code.clone(),
            time_zone: self.time_zone.clone(),
            test_case: self.test_case,
            creator: self.creator.clone(),
            created_at: self.created_at,
            updated_at,
        }
    }
}

/// Returns an ID of fifteen digits.
fn digits(digest: &[u8]) -> String {
    format!("{:015}", number_from(digest) % 1_000_000_000_000_000)
}

fn number_from(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: DateTime<Utc>) -> Record {
        let parent = Parent::Organization("1".to_owned());
        Record::new(
            7,
            parent,
            at,
            Author::customer("Jane Roe"),
            "t".into(),
            "d".into(),
            Some(Priority::P2),
            "c".into(),
        )
    }

    #[test]
    fn the_version_in_force_at_a_time_is_found_and_old_ones_are_dropped() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let mut record = record(start);
        for minute in 1..=120 {
            let before = record.current.clone();
            record.current.display_name = format!("t{minute}");
            record.changed(before, start + Duration::minutes(minute), true);
        }
        let title = |minutes, seconds| {
            record
                .version_at(start + Duration::minutes(minutes) + Duration::seconds(seconds))
                .map(|version| version.display_name.clone())
        };
        assert_eq!(title(120, 0).as_deref(), Some("t120"));
        assert_eq!(title(119, 59).as_deref(), Some("t119"));
        assert_eq!(title(60, 30).as_deref(), Some("t60"));
        assert_eq!(title(0, -1), None);
        assert_eq!(record.older.len(), 60);
    }

    #[test]
    fn changes_are_strictly_ordered_on_a_clock_that_stands_still() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let mut record = record(start);
        let at = record.next_time(start);
        assert_eq!(at, start + Duration::microseconds(1));
        record.changed(record.current.clone(), at, false);
        assert_eq!(record.next_time(start), start + Duration::microseconds(2));
        assert_eq!(record.current.updated_at, start, "a change that does not move the update time");
    }

    #[test]
    fn google_people_are_masked() {
        let agent = Author::google("Grace Hopper");
        assert_eq!(
            (agent.display_name(), agent.email()),
            ("G*** H***".to_owned(), "***@google.com".to_owned())
        );
    }
}
