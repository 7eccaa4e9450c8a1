//! One side of a pair, as far back as the sync looks (`R15`).

use chrono::{DateTime, Duration, Utc};

use crate::cases::{Attachment, Case, Comment};
use crate::entities::{CaseMapping, Side, Sides};

/// A case with its comments and attachments, oldest first, none older than the horizon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The case.
    pub case: Case,
    /// Its comments.
    pub comments: Vec<Comment>,
    /// Its attachments.
    pub attachments: Vec<Attachment>,
}

impl Snapshot {
    /// Sorts what the listings returned, drops repetitions and what is older than `horizon`. What has no time is kept, first.
    #[must_use]
    pub fn new(
        case: Case,
        mut comments: Vec<Comment>,
        mut attachments: Vec<Attachment>,
        horizon: Option<DateTime<Utc>>,
    ) -> Self {
        let reached = |at: Option<DateTime<Utc>>| at.is_none() || horizon.is_none() || at >= horizon;
        comments.retain(|comment| reached(comment.created_at));
        attachments.retain(|attachment| reached(attachment.created_at));
        comments.sort_by(|a, b| order(a.created_at, &a.id).cmp(&order(b.created_at, &b.id)));
        attachments.sort_by(|a, b| order(a.created_at, &a.id).cmp(&order(b.created_at, &b.id)));
        comments.dedup_by(|a, b| a.id == b.id);
        attachments.dedup_by(|a, b| a.id == b.id);
        Self { case, comments, attachments }
    }
}

/// Oldest first; what has the same time by ID, where a shorter number is the smaller one.
fn order(at: Option<DateTime<Utc>>, id: &str) -> (Option<DateTime<Utc>>, usize, &str) {
    (at, id.len(), id)
}

/// How far back each side's listing goes: to the earlier of the two *stored* stamps, less that side's window (`R15`);
/// `None`: to the beginning. Not the effective stamps: a poll vouches for what it saw, and an unflagged case is not seen.
#[must_use]
pub fn horizons(mapping: &CaseMapping, windows: Sides<Duration>) -> Sides<Option<DateTime<Utc>>> {
    let earlier = match (mapping.stored_synced_at(Side::Google), mapping.stored_synced_at(Side::Company)) {
        (Some(google), Some(company)) => Some(google.min(company)),
        _ => None,
    };
    Sides { google: earlier.map(|at| at - windows.google), company: earlier.map(|at| at - windows.company) }
}
