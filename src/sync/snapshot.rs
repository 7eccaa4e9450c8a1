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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Visibility;
    use crate::entities::{FirstSeen, GoogleCaseName, PriorityReading};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minute)
    }

    #[test]
    fn both_listings_go_back_to_the_earlier_stamp_less_their_window() {
        let windows = Sides { google: Duration::minutes(30), company: Duration::minutes(5) };
        for (google, company, expected) in [
            (None, None, None),
            (Some(100), None, None),
            (None, Some(100), None),
            (Some(100), Some(100), Some((70, 95))),
            (Some(100), Some(200), Some((70, 95))),
            (Some(200), Some(100), Some((70, 95))),
        ] {
            let name = GoogleCaseName::parse("organizations/1/cases/2").unwrap();
            let mut mapping = CaseMapping::first_seen(FirstSeen::Google(name), None, None, at(0));
            mapping.google_updates_synced_at = google.map(at);
            mapping.company_updates_synced_at = company.map(at);
            let expected = expected.map_or(Sides::default(), |(google, company)| Sides {
                google: Some(at(google)),
                company: Some(at(company)),
            });
            assert_eq!(horizons(&mapping, windows), expected, "{google:?} {company:?}");
        }
    }

    #[test]
    fn a_snapshot_is_ordered_deduplicated_and_ends_at_the_horizon() {
        let case = Case {
            id: "1".to_owned(),
            key: None,
            title: String::new(),
            description: String::new(),
            priority: PriorityReading::Unset,
            closed: false,
            created_at: None,
            updated_at: None,
            counterpart: None,
            synchronize: true,
            ..Case::default()
        };
        let comment = |id: &str, minute: Option<i64>| Comment {
            id: id.to_owned(),
            author: String::new(),
            created_at: minute.map(at),
            body: String::new(),
            visibility: Visibility::Public,
            by_connector: None,
        };
        let comments = vec![
            comment("10", Some(7)),
            comment("9", Some(7)),
            comment("2", Some(5)),
            comment("1", Some(4)),
            comment("11", Some(6)),
            comment("9", Some(7)),
            comment("3", None),
        ];
        let snapshot = Snapshot::new(case, comments, Vec::new(), Some(at(5)));
        let ids: Vec<&str> = snapshot.comments.iter().map(|comment| comment.id.as_str()).collect();
        assert_eq!(ids, ["3", "2", "11", "9", "10"]);
    }
}
