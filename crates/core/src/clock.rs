//! Time as an input: everything that needs "now" takes a [`Clock`].
//!
//! `Utc::now` and `SystemTime::now` are banned in the rest of the program (`clippy.toml`), so that a test can move time.

use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Timelike as _, Utc};

/// Source of the current time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the current time in whole microseconds, the precision that every supported store keeps. The result lies between the years
    /// 1900 and 9000, even if the machine's clock shows another year. So adding or subtracting up to 900 years never leaves the range of
    /// chrono, the stores and RFC 3339 (`R36`: clock skew).
    fn now(&self) -> DateTime<Utc>;
}

/// Clock that is shared between components.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        // `Utc::now` panics before 1970 (chrono 0.4.45, `offset/utc.rs`).
        let now = std::time::SystemTime::now();
        let since_epoch = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => Duration::from_std(after),
            Err(before) => Duration::from_std(before.duration()).map(|before| -before),
        };
        // A time that chrono cannot hold becomes the latest one. `usable` then clamps it.
        let now = since_epoch.ok().and_then(|since| DateTime::UNIX_EPOCH.checked_add_signed(since));
        usable(now.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

/// Returns true if the machine's clock shows a time that HTTP can express, which is 1970 or later. `hyper` formats the time whenever a
/// connection of a server does anything, even with `auto_date_header(false)`, and panics before 1970 (hyper 1.12.0, `common/date.rs`).
#[must_use]
#[expect(clippy::disallowed_methods, reason = "reads the machine's clock")]
pub fn shows_a_date() -> bool {
    std::time::SystemTime::now() >= UNIX_EPOCH
}

/// Clock that stays at one time until it is moved; for tests and simulations.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// Creates a clock that shows `now`.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(usable(now))))
    }

    /// Moves the clock by a duration. The clock stays as it is if chrono cannot hold the result.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = usable(now.checked_add_signed(by).unwrap_or(*now));
    }

    /// Sets the clock.
    pub fn set(&self, to: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = usable(to);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Truncates a time to whole microseconds.
#[must_use]
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    // chrono's rounding to a duration fails after 2262, since the nanoseconds since 1970 then no longer fit an i64.
    time.with_nanosecond(time.nanosecond() / 1_000 * 1_000).unwrap_or(time)
}

/// Clamps a time to the years 1900 to 9000 and truncates it to whole microseconds, as `Clock::now` promises.
fn usable(time: DateTime<Utc>) -> DateTime<Utc> {
    to_micros(time.clamp(EARLIEST, LATEST))
}

const EARLIEST: DateTime<Utc> = new_year(1900);
const LATEST: DateTime<Utc> = new_year(9000);

const fn new_year(year: i32) -> DateTime<Utc> {
    match NaiveDate::from_ymd_opt(year, 1, 1) {
        Some(day) => day.and_time(NaiveTime::MIN).and_utc(),
        None => DateTime::UNIX_EPOCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_whole_microseconds_of_the_years_that_can_be_reckoned_with() {
        for (set, shown) in [
            ("2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00.123456Z"),
            ("2026-06-30T23:59:60.123456789Z", "2026-06-30T23:59:60.123456Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
            ("1900-01-01T00:00:00Z", "1900-01-01T00:00:00Z"),
            ("1899-12-31T23:59:59Z", "1900-01-01T00:00:00Z"),
            ("2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775Z"),
            ("2263-03-01T12:00:00.123456789Z", "2263-03-01T12:00:00.123456Z"),
            ("+12026-03-01T12:00:00Z", "9000-01-01T00:00:00Z"),
            ("-12026-03-01T12:00:00Z", "1900-01-01T00:00:00Z"),
        ] {
            let (set, shown): (DateTime<Utc>, DateTime<Utc>) = (set.parse().unwrap(), shown.parse().unwrap());
            assert_eq!(ManualClock::at(set).now(), shown);
            let clock = ManualClock::at(DateTime::UNIX_EPOCH);
            clock.set(set);
            assert_eq!(clock.now(), shown);
            clock.advance(Duration::MAX);
            clock.advance(Duration::MIN);
            assert!((1900..=9000).contains(&chrono::Datelike::year(&clock.now())));
        }
    }

    #[test]
    fn the_machines_clock_is_read() {
        let now = SystemClock.now();
        assert_eq!(now, to_micros(now));
        assert!(now > "2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap(), "{now}");
    }
}
