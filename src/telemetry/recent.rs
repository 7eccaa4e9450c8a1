//! Course of the last day, for the operators' page: hourly counts in memory, since this instance started. `GET /metrics` has the same without
//! an end, for whoever keeps a history.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

/// Number of hours that are kept, the current one included.
pub const HOURS: usize = 24;
/// Upper bounds of the classes of propagation latency, in seconds; above the last one there is one more class.
pub const LATENCY_BOUNDS: [u32; 9] = [5, 15, 30, 60, 120, 300, 600, 3600, 14_400];
/// Number of classes of propagation latency.
pub const CLASSES: usize = LATENCY_BOUNDS.len() + 1;

/// Number of hours that are kept besides the current one.
const HOURS_BEFORE: i64 = 23;
const SECONDS_PER_HOUR: i64 = 3600;

/// Counts of one hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hour {
    /// Number of comments that were carried.
    pub comments: u64,
    /// Number of files that were carried.
    pub files: u64,
    /// Number of comments and files by the time that they took, class by class: see [`LATENCY_BOUNDS`].
    pub latency: [u64; CLASSES],
    /// Calls to each upstream.
    pub calls: BTreeMap<&'static str, Calls>,
}

/// Calls to one upstream within one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Number of calls.
    pub all: u64,
    /// Number of calls in the busiest minute.
    pub busiest: u64,
    minute: i64,
    in_minute: u64,
}

impl Calls {
    fn count(&mut self, minute: i64) {
        if self.minute != minute {
            self.minute = minute;
            self.in_minute = 0;
        }
        self.all += 1;
        self.in_minute += 1;
        self.busiest = self.busiest.max(self.in_minute);
    }
}

/// Counts of the last day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Time at which this instance started to count.
    pub since: Option<DateTime<Utc>>,
    /// Beginning of each hour with its counts, the oldest first. The last one is the current hour.
    pub hours: Vec<(DateTime<Utc>, Hour)>,
    /// Configured number of calls per minute of each upstream.
    pub limits: BTreeMap<&'static str, NonZeroU32>,
}

impl Day {
    /// Returns the number of comments and files by the time that they took, class by class.
    #[must_use]
    pub fn latency(&self) -> [u64; CLASSES] {
        let mut sums = [0; CLASSES];
        for (_, hour) in &self.hours {
            for (sum, count) in sums.iter_mut().zip(hour.latency) {
                *sum += count;
            }
        }
        sums
    }
}

/// Returns the class in which a share of all entries, in percent, is reached. `None` if there are no entries.
#[must_use]
pub fn class_of_share(latency: &[u64; CLASSES], percent: u64) -> Option<usize> {
    let all: u64 = latency.iter().sum();
    let wanted = (all * percent).div_ceil(100);
    let mut sum = 0;
    (all > 0).then(|| {
        latency.iter().position(|count| {
            sum += count;
            sum >= wanted
        })
    })?
}

#[derive(Debug, Default)]
struct State {
    since: Option<DateTime<Utc>>,
    hours: BTreeMap<i64, Hour>,
    limits: BTreeMap<&'static str, NonZeroU32>,
}

impl State {
    /// Returns the counts of the current hour, and forgets those of another day. A clock that was ahead may have left hours of the future.
    fn hour(&mut self, now: DateTime<Utc>) -> &mut Hour {
        let current = number(now);
        self.hours.retain(|hour, _| (first(current)..=current).contains(hour));
        self.hours.entry(current).or_default()
    }
}

fn number(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(SECONDS_PER_HOUR)
}

/// Returns the number of the first hour of the day that ends with the hour `current`.
const fn first(current: i64) -> i64 {
    current - HOURS_BEFORE
}

/// Counts of the last day, fed where the metrics are counted. Takes the memory of 24 hours at most.
#[derive(Debug, Default)]
pub struct Recent(Mutex<State>);

impl Recent {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the time at which this instance starts. Only the first call counts.
    pub fn begin(&self, now: DateTime<Utc>) {
        self.state().since.get_or_insert(now);
    }

    /// Notes the number of calls per minute that an upstream may get.
    pub fn limit(&self, upstream: &'static str, per_minute: NonZeroU32) {
        self.state().limits.insert(upstream, per_minute);
    }

    /// Counts a call to an upstream.
    pub fn called(&self, now: DateTime<Utc>, upstream: &'static str) {
        let minute = now.timestamp().div_euclid(60);
        self.state().hour(now).calls.entry(upstream).or_default().count(minute);
    }

    /// Counts an item that was carried, by its kind in the metrics. Only comments and files are counted.
    pub fn carried(&self, now: DateTime<Utc>, kind: &str) {
        let mut state = self.state();
        let hour = state.hour(now);
        match kind {
            "comment" => hour.comments += 1,
            "attachment" => hour.files += 1,
            _ => {}
        }
    }

    /// Counts an item that has arrived so many seconds after its creation.
    pub fn propagated(&self, now: DateTime<Utc>, seconds: f64) {
        let class = LATENCY_BOUNDS.iter().position(|bound| seconds <= f64::from(*bound));
        self.state().hour(now).latency[class.unwrap_or(CLASSES - 1)] += 1;
    }

    /// Returns the counts of the last day, hour by hour since the start.
    #[must_use]
    pub fn day(&self, now: DateTime<Utc>) -> Day {
        let state = self.state();
        let current = number(now);
        let began = state.since.map_or(current, number).clamp(first(current), current);
        let hours = (began..=current).filter_map(|hour| {
            let at = DateTime::from_timestamp(hour * SECONDS_PER_HOUR, 0)?;
            Some((at, state.hours.get(&hour).cloned().unwrap_or_default()))
        });
        Day { since: state.since, hours: hours.collect(), limits: state.limits.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Duration;

    fn start() -> DateTime<Utc> {
        "2026-03-01T10:20:00Z".parse().unwrap()
    }

    #[test]
    fn each_hour_has_its_own_counts_and_the_day_forgets_older_ones() {
        let recent = Recent::default();
        recent.begin(start());
        recent.begin(start() + Duration::days(9));
        recent.carried(start(), "comment");
        recent.carried(start(), "priority");
        recent.carried(start() + Duration::minutes(45), "attachment");
        let day = recent.day(start() + Duration::minutes(50));
        assert_eq!(day.since, Some(start()));
        let counts: Vec<(u64, u64)> = day.hours.iter().map(|(_, hour)| (hour.comments, hour.files)).collect();
        assert_eq!(counts, [(1, 0), (0, 1)]);
        let later = start() + Duration::hours(24);
        recent.carried(later, "comment");
        let day = recent.day(later);
        assert_eq!((day.hours.len(), day.hours[0].1.files, day.hours[HOURS - 1].1.comments), (HOURS, 1, 1));
        assert_eq!(recent.state().hours.len(), 2, "the first hour is forgotten");
    }

    #[test]
    fn a_clock_that_is_set_neither_fills_the_memory_nor_shows_the_future() {
        let recent = Recent::default();
        recent.begin(start());
        for days in [0, 4_000, -4_000, 0] {
            for hours in 0..100 {
                recent.carried(start() + Duration::days(days) + Duration::hours(hours), "comment");
            }
        }
        assert!(recent.state().hours.len() <= HOURS);
        let before = recent.day(start() - Duration::days(1));
        assert_eq!((before.hours.len(), before.hours[0].1.comments), (1, 0));
    }

    #[test]
    fn the_busiest_minute_of_an_hour_is_kept_beside_the_sum() {
        let recent = Recent::default();
        for (minute, calls) in [(0, 3), (1, 5), (2, 1)] {
            for _ in 0..calls {
                recent.called(start() + Duration::minutes(minute), "CSAPI");
            }
        }
        let day = recent.day(start());
        let calls = day.hours[0].1.calls["CSAPI"];
        assert_eq!((calls.all, calls.busiest), (9, 5));
    }

    #[test]
    fn a_share_is_reached_in_the_class_of_its_last_entry() {
        let recent = Recent::default();
        assert_eq!(class_of_share(&recent.day(start()).latency(), 50), None);
        for seconds in [1.0, 5.0, 6.0, 60.5, 1e9] {
            recent.propagated(start(), seconds);
        }
        let latency = recent.day(start()).latency();
        assert_eq!(latency, [2, 1, 0, 0, 1, 0, 0, 0, 0, 1]);
        for (percent, class) in [(1, 0), (40, 0), (50, 1), (80, 4), (95, 9), (100, 9)] {
            assert_eq!(class_of_share(&latency, percent), Some(class), "{percent}");
        }
    }
}
