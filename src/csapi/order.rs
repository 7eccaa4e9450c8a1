//! Reading a long list of a case only as far as it is needed, although CSAPI documents no order of its lists.
//!
//! ```text
//! a list that was read to its end, newest first throughout    ──▶ seen up to that time, S
//! next reading, back to `since` ≤ S: newest first so far,
//!     and far enough beyond `since`                           ──▶ may stop
//! `since` > S, or any other order                             ──▶ is read to its end
//! ```
//!
//! The order is observed, not promised. So an item may stand where no partial reading reaches it. It is not lost: it was created after S,
//! and its creation leads to a sync, after which `since` has passed S, so that the next reading goes to the end. `since` moves by syncs only
//! and stays one polling window behind them: that takes one complete reading for each window in which the case changes, made by the first
//! recheck after a sync.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};

/// Length from which a list is remembered. A shorter one is a single page.
const LONG: usize = 100;
/// Maximum number of lists that are remembered. The next one makes room by forgetting all: each is then read to its end once.
const MOST: usize = 10_000;
/// Margin that a partial reading goes beyond `since`: the order of a list may differ a little from that of the times in it.
const BEYOND: Duration = Duration::hours(1);
/// Tolerance for the difference between CSAPI's clock and its measurement (`R36`: clock skew).
const APART: Duration = Duration::minutes(1);

/// Order of the items of one reading.
#[derive(Debug, Default)]
pub(super) struct Order {
    newest: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    broken: bool,
    items: usize,
}

impl Order {
    /// Notes the next item.
    pub(super) fn see(&mut self, created_at: Option<DateTime<Utc>>) {
        self.items += 1;
        let follows = created_at.is_some() && self.last.is_none_or(|last| created_at <= Some(last));
        self.broken |= !follows;
        self.newest = self.newest.or(created_at);
        self.last = created_at.or(self.last);
    }

    /// True if the items came newest first so far, and none that was created after `since` can follow if that order holds.
    pub(super) fn is_beyond(&self, since: DateTime<Utc>) -> bool {
        let reached = |last: DateTime<Utc>| since.checked_sub_signed(BEYOND).is_some_and(|far| last < far);
        !self.broken && self.last.is_some_and(reached)
    }

    /// True if the items of a long list came newest first. Items of one time show no order.
    fn is_newest_first(&self) -> bool {
        !self.broken && self.items > LONG && self.newest > self.last
    }
}

/// Long lists that came newest first when they were last read to their end.
#[derive(Debug, Default)]
pub(super) struct Observed(Mutex<HashMap<String, DateTime<Utc>>>);

impl Observed {
    /// Returns `since` if a reading that goes back to it may stop there. `now` is CSAPI's own time.
    pub(super) fn stop(
        &self,
        list: &str,
        since: Option<DateTime<Utc>>,
        now: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        let seen = self.lock().get(list).copied()?;
        // A time in the future was read by a clock that was ahead (R36: clock skew).
        since.filter(|since| *since <= seen && Some(seen) <= now)
    }

    /// Records a list that was read to its end. `began` is CSAPI's own time when the reading began.
    pub(super) fn note(&self, list: &str, order: &Order, began: Option<DateTime<Utc>>) {
        let mut all = self.lock();
        let seen = began.and_then(|began| began.checked_sub_signed(APART));
        match seen.filter(|_| order.is_newest_first()) {
            Some(seen) => {
                if all.len() >= MOST {
                    all.clear();
                }
                all.insert(list.to_owned(), seen);
            }
            None => drop(all.remove(list)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minute)
    }

    fn order(times: impl IntoIterator<Item = Option<i64>>) -> Order {
        let mut order = Order::default();
        times.into_iter().for_each(|minute| order.see(minute.map(at)));
        order
    }

    #[test]
    fn a_reading_stops_only_beyond_its_horizon_and_in_order() {
        let beyond = |times: &[Option<i64>]| order(times.iter().copied()).is_beyond(at(1_000));
        assert!(beyond(&[Some(1_100), Some(1_100), Some(900)]));
        assert!(!beyond(&[]));
        assert!(!beyond(&[Some(1_100), Some(950)]), "not far enough");
        assert!(!beyond(&[Some(900), Some(1_100)]), "oldest first");
        assert!(!beyond(&[Some(1_100), Some(900), Some(901), Some(800)]), "no order");
        assert!(!beyond(&[Some(1_100), None, Some(900)]), "a time is missing");
    }

    #[test]
    fn a_list_is_read_to_its_end_before_a_horizon_passes_the_last_time_that_it_was() {
        let observed = Observed::default();
        let newest_first = || order((0..=150).rev().map(Some));
        let stop = |since: i64| observed.stop("list", Some(at(since)), Some(at(1_000)));
        assert_eq!(stop(10), None, "never read");
        observed.note("list", &newest_first(), Some(at(201)));
        assert_eq!((stop(200), stop(201)), (Some(at(200)), None));
        assert_eq!(observed.stop("list", None, Some(at(1_000))), None, "all are wanted");
        assert_eq!(observed.stop("list", Some(at(10)), Some(at(199))), None, "the clock was set back");
        assert_eq!(observed.stop("list", Some(at(10)), None), None, "the clock is not known");
        assert_eq!(observed.stop("another", Some(at(10)), Some(at(1_000))), None);
        for (other, why) in [
            (order((0..=150).map(Some)), "oldest first"),
            (order((0..=50).rev().map(Some)), "short"),
            (order(vec![Some(7); 150]), "of one time"),
            (Order::default(), "empty"),
        ] {
            observed.note("list", &newest_first(), Some(at(200)));
            observed.note("list", &other, Some(at(300)));
            assert_eq!(stop(10), None, "{why}");
        }
        observed.note("list", &newest_first(), None);
        assert_eq!(stop(10), None, "nobody knows when it was read");
    }
}
