//! Things that the connector shows of a Google case on its company case, each by one idempotent write: a link, a label, a mark on a comment.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

/// Parts of a link to a Google case that a CRM shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkDetail {
    /// Only the name and the address, which never change.
    Address,
    /// Also the title, and that the Google case is closed.
    Whole,
}

/// Link to a Google case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseLink {
    /// Full name of the Google case.
    pub name: String,
    /// Number of the Google case, which is unique in the world.
    pub number: String,
    /// Address of the Google case in the Cloud console.
    pub address: String,
    /// Title in one line. `None` if the CRM shows none.
    pub title: Option<String>,
    /// True if the Google case is closed, and the CRM shows that.
    pub closed: bool,
}

impl CaseLink {
    /// Returns a digest of all that the link shows, so that the memory of a pair holds no text of its cases.
    #[must_use]
    pub fn digest(&self) -> String {
        let Self { name, number, address, title, closed } = self;
        // The title is one line. Another order of these lines would write every link once more.
        let title = title.as_deref().unwrap_or_default();
        let shown = format!("{name}\n{number}\n{address}\n{title}\n{closed}");
        // A collision of 64 bits would only leave one change of a title unshown.
        hex::encode(&Sha256::digest(shown)[..8])
    }
}

/// Mark on a comment of the company case: it was carried to Google.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedMark {
    /// ID of the comment.
    pub comment: String,
    /// Full name of the Google case.
    pub google_case: String,
    /// Time of the sync that carried the comment, or that found it carried.
    pub at: DateTime<Utc>,
}

/// Write that shows something of the Google case on its company case. A repetition changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Annotation {
    /// Link to the Google case. Replaces the connector's own earlier one where there is room for one only. Where there is room for several, a
    /// link to an earlier Google case stays beside it.
    Link(CaseLink),
    /// Add a label, or remove it. Leaves all other labels as they are.
    Label {
        /// Name of the label.
        label: String,
        /// True to add it.
        present: bool,
    },
    /// Mark a comment as carried.
    Mark(CarriedMark),
}

impl Annotation {
    /// Describes the write in logs and in a dry run: IDs, never content.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Link(link) => format!("show the link to Google case {} on the company case", link.number),
            Self::Label { label, present: true } => {
                format!("add the label {label:?} to the company case, since the google case is escalated")
            }
            Self::Label { label, present: false } => format!(
                "remove the label {label:?} from the company case, since the google case is no longer escalated"
            ),
            Self::Mark(mark) => format!("mark comment {} of the company case as carried", mark.comment),
        }
    }
}

/// Outcome of an annotation that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotated {
    /// Written, or there already.
    Done,
    /// Its place holds a value of somebody else, which stays.
    Occupied,
    /// Its comment does not exist any more.
    Gone,
}
