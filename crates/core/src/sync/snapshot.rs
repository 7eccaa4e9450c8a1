//! State of one side of a pair, back to the horizon of the sync (`R15`: one horizon for both).

use chrono::{DateTime, Duration, Utc};

use crate::cases::{Attachment, Case, Comment, Content};
use crate::entities::{CaseMapping, Side, Sides};

/// A case with its comments and attachments, oldest first, none older than the horizon, but for `earlier`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The case.
    pub case: Case,
    /// Its comments.
    pub comments: Vec<Comment>,
    /// Its attachments.
    pub attachments: Vec<Attachment>,
    /// Comments from before the horizon, in no particular order: they were read only to see if they were edited.
    pub earlier: Vec<Comment>,
}

impl Snapshot {
    /// Sorts the results of the listings, deduplicates them, and drops items that are older than `horizon`. Items without a time are kept
    /// and come first.
    #[must_use]
    pub fn new(case: Case, content: Content, horizon: Option<DateTime<Utc>>) -> Self {
        let Content { mut comments, mut attachments } = content.since(horizon);
        comments.sort_by(|a, b| order(a.created_at, &a.id).cmp(&order(b.created_at, &b.id)));
        attachments.sort_by(|a, b| order(a.created_at, &a.id).cmp(&order(b.created_at, &b.id)));
        comments.dedup_by(|a, b| a.id == b.id);
        attachments.dedup_by(|a, b| a.id == b.id);
        Self { case, comments, attachments, earlier: Vec::new() }
    }
}

/// Returns the sort key: oldest first, items of the same time by ID, where a shorter number is the smaller one.
fn order(at: Option<DateTime<Utc>>, id: &str) -> (Option<DateTime<Utc>>, usize, &str) {
    (at, id.len(), id)
}

/// Tolerance for the difference between a system's clock and ours (`R36`: clock skew).
pub const CLOCKS_APART: Duration = Duration::minutes(1);

/// The two systems' clocks, as a sync reads them (`R36`: clock skew).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Time by our clock.
    pub now: DateTime<Utc>,
    /// Lead of each system's clock over ours.
    pub skew: Sides<Duration>,
}

impl Clocks {
    /// Returns the current time by the system's own clock.
    #[must_use]
    pub fn of(&self, side: Side) -> DateTime<Utc> {
        self.in_time_of(side, self.now)
    }

    /// Returns the same moment, with the earlier reading of each system's clock: a clock that jumps shows it in the newer answers first
    /// (`R36`: clock skew).
    #[must_use]
    pub fn or_earlier(self, other: Self) -> Self {
        let earlier = |side: Side| self.skew[side].min(other.skew[side]);
        Self { skew: Sides { google: earlier(Side::Google), company: earlier(Side::Company) }, ..self }
    }

    /// Converts a time by our clock to the system's clock. A time that leaves the range of the calendar stays as it is.
    #[must_use]
    pub fn in_time_of(&self, side: Side, ours: DateTime<Utc>) -> DateTime<Utc> {
        ours.checked_add_signed(self.skew[side]).unwrap_or(ours)
    }
}

/// Returns the beginning of each system's listing, in its own time: the *earlier* of the times up to which it was read for either side,
/// less its window (`R15`: one horizon for both). `None` is the beginning of the case. It is never later than that system's current time
/// less the window (`R36`: clock skew), and never before the time up to which the ledger was forgotten (`R14`: copies are known by ID).
///
/// The effective stamps do not count: a poll vouches only for the cases that it saw, and it does not see an unflagged case.
#[must_use]
pub fn horizons(
    mapping: &CaseMapping,
    windows: Sides<Duration>,
    clocks: Clocks,
) -> Sides<Option<DateTime<Utc>>> {
    let horizon = |system: Side| {
        let read_until = |side: Side| {
            // A record of version 0.1 has only the time of our own clock.
            let ours = mapping.stored_synced_at(side)?;
            Some(mapping.state.read_until[side][system].unwrap_or_else(|| clocks.in_time_of(system, ours)))
        };
        let earlier = read_until(Side::Google)?.min(read_until(Side::Company)?);
        if earlier == DateTime::UNIX_EPOCH {
            return mapping.state.forgotten_until[system];
        }
        let horizon = earlier.min(clocks.of(system)).checked_sub_signed(windows[system])?;
        Some(mapping.state.forgotten_until[system].map_or(horizon, |until| until.max(horizon)))
    };
    Sides { google: horizon(Side::Google), company: horizon(Side::Company) }
}

/// Returns true if the system's clock was set back by more than `by` since it was read for either side (`R36`: clock skew): it was then so
/// much further ahead of both our clock and the other system's. A difference to one of them alone may be due to that one.
///
/// Unlike a read time in the future, this still shows when the clock has passed that time again.
#[must_use]
pub fn was_set_back(mapping: &CaseMapping, system: Side, clocks: Clocks, by: Duration) -> bool {
    let other = system.other();
    Side::BOTH.into_iter().any(|read_for| {
        let read = &mapping.state.read_until[read_for];
        let (Some(theirs), Some(others), Some(ours)) =
            (read[system], read[other], mapping.stored_synced_at(read_for))
        else {
            return false;
        };
        let is_known = theirs != DateTime::UNIX_EPOCH && others != DateTime::UNIX_EPOCH;
        let (over_ours, over_others) = (clocks.skew[system], clocks.skew[system] - clocks.skew[other]);
        is_known && theirs - ours - over_ours > by && theirs - others - over_others > by
    })
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
            mapping.state.read_until = Sides::default();
            let expected = expected.map_or(Sides::default(), |(google, company)| Sides {
                google: Some(at(google)),
                company: Some(at(company)),
            });
            let clocks = Clocks {
                now: at(1_000),
                skew: Sides { google: Duration::zero(), company: Duration::zero() },
            };
            assert_eq!(horizons(&mapping, windows, clocks), expected, "{google:?} {company:?}");
        }
    }

    #[test]
    fn each_listing_goes_by_its_own_systems_clock() {
        let windows = Sides { google: Duration::minutes(30), company: Duration::minutes(5) };
        let name = GoogleCaseName::parse("organizations/1/cases/2").unwrap();
        let mut mapping = CaseMapping::first_seen(FirstSeen::Google(name), None, None, at(0));
        let skew = Sides { google: Duration::minutes(-6), company: Duration::minutes(15) };
        let clocks = |now| Clocks { now: at(now), skew };
        // Nothing was read yet.
        mapping.google_updates_synced_at = Some(at(100));
        assert_eq!(horizons(&mapping, windows, clocks(200)), Sides::default());
        // A record of version 0.1: our stamps, converted to each system's time.
        mapping.state.read_until = Sides::default();
        mapping.google_updates_synced_at = Some(at(100));
        mapping.company_updates_synced_at = Some(at(120));
        let expected = Sides { google: Some(at(100 - 6 - 30)), company: Some(at(100 + 15 - 5)) };
        assert_eq!(horizons(&mapping, windows, clocks(200)), expected);
        // Read times count in the time of the system that was read, whatever our clock shows now.
        for side in Side::BOTH {
            mapping.carried(side, at(130), Sides { google: at(124), company: at(145) });
        }
        let expected = Sides { google: Some(at(124 - 30)), company: Some(at(145 - 5)) };
        for now in [130, 200, 100_000] {
            assert_eq!(horizons(&mapping, windows, clocks(now)), expected, "{now}");
        }
        // A time in the future was written by a clock that was ahead.
        let expected = Sides { google: Some(at(110 - 6 - 30)), company: Some(at(110 + 15 - 5)) };
        assert_eq!(horizons(&mapping, windows, clocks(110)), expected);
    }

    #[test]
    fn no_listing_goes_back_to_what_the_ledger_has_forgotten() {
        let windows = Sides { google: Duration::minutes(30), company: Duration::minutes(5) };
        let name = GoogleCaseName::parse("organizations/1/cases/2").unwrap();
        let mut mapping = CaseMapping::first_seen(FirstSeen::Google(name), None, None, at(0));
        let zero = Sides { google: Duration::zero(), company: Duration::zero() };
        let clocks =
            |google: i64| Clocks { now: at(200), skew: Sides { google: Duration::seconds(google), ..zero } };
        for side in Side::BOTH {
            mapping.carried(side, at(200), Sides { google: at(200), company: at(200) });
        }
        mapping.forget_before(horizons(&mapping, windows, clocks(0)));
        // The skew is measured again with every answer, and is never exactly the same.
        for google in [-20, 0, 20] {
            let expected = Sides { google: Some(at(170)), company: Some(at(195)) };
            assert_eq!(horizons(&mapping, windows, clocks(google)), expected, "{google}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_is_told_from_the_other_two() {
        let name = GoogleCaseName::parse("organizations/1/cases/2").unwrap();
        let mut mapping = CaseMapping::first_seen(FirstSeen::Google(name), None, None, at(0));
        let set_back = |mapping: &CaseMapping, google: i64, company: i64| {
            let skew = Sides { google: Duration::minutes(google), company: Duration::minutes(company) };
            let clocks = Clocks { now: at(1_000), skew };
            Side::BOTH.map(|side| was_set_back(mapping, side, clocks, Duration::minutes(15)))
        };
        assert_eq!(set_back(&mapping, -240, 0), [false, false], "nothing was read yet");
        for side in Side::BOTH {
            mapping.carried(side, at(100), Sides { google: at(100), company: at(110) });
        }
        for (google, company, expected) in [
            (0, 10, [false, false]),
            (-14, 10, [false, false]),
            (-240, 10, [true, false]),
            (0, -230, [false, true]),
            // A clock that is set ahead hides nothing, and neither does our own.
            (240, 10, [false, false]),
            (0, 250, [false, false]),
            (-240, -230, [false, false]),
            (240, 250, [false, false]),
        ] {
            assert_eq!(set_back(&mapping, google, company), expected, "{google} {company}");
        }
        // It is read from the beginning already.
        mapping.state.read_until[Side::Google][Side::Google] = Some(DateTime::UNIX_EPOCH);
        mapping.state.read_until[Side::Company][Side::Google] = Some(DateTime::UNIX_EPOCH);
        assert_eq!(set_back(&mapping, -240, 10), [false, false]);
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
            other_id: None,
            author: String::new(),
            created_at: minute.map(at),
            body: String::new(),
            earlier_body: None,
            edited_at: None,
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
        let snapshot = Snapshot::new(case, Content { comments, attachments: Vec::new() }, Some(at(5)));
        let ids: Vec<&str> = snapshot.comments.iter().map(|comment| comment.id.as_str()).collect();
        assert_eq!(ids, ["3", "2", "11", "9", "10"]);
    }
}
