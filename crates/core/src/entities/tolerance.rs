//! Tolerances: time that a case may be out of step before that is an outage.

use chrono::{DateTime, Duration, Utc};

use super::Priority;

/// The tolerances of one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// Tolerance if the newest content is less than an hour old.
    pub fresh: Duration,
    /// Tolerance if the newest content is an hour to a day old, both included.
    pub default: Duration,
    /// Tolerance if the newest content is more than a day old.
    pub stale: Duration,
}

/// Tolerances by priority level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToleranceTable(pub [Tolerance; 5]);

impl Default for ToleranceTable {
    /// The documented table.
    fn default() -> Self {
        let row = |fresh, default, stale| Tolerance {
            fresh: Duration::minutes(fresh),
            default: Duration::minutes(default),
            stale: Duration::minutes(stale),
        };
        Self([row(10, 10, 15), row(10, 15, 60), row(10, 20, 120), row(10, 20, 240), row(10, 30, 240)])
    }
}

impl ToleranceTable {
    /// Returns the tolerance for a case of that priority whose newest content was detected at `new_content_at`. A case without a known
    /// priority is treated as `P4`.
    #[must_use]
    pub fn tolerance(
        &self,
        priority: Option<Priority>,
        new_content_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Duration {
        let row = &self.0[usize::from(priority.unwrap_or(Priority::P4).level())];
        let age = now - new_content_at;
        if age < Duration::hours(1) {
            row.fresh
        } else if age <= Duration::days(1) {
            row.default
        } else {
            row.stale
        }
    }

    /// Returns the smallest tolerance of the table. While a poll is younger than this, it can put no idle case into an outage (`R8`: idle
    /// cases).
    #[must_use]
    pub fn smallest(&self) -> Duration {
        self.0.iter().flat_map(|row| [row.fresh, row.default, row.stale]).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_and_its_edges() {
        let now = DateTime::UNIX_EPOCH + Duration::days(20_000);
        let table = ToleranceTable::default();
        let micro = Duration::microseconds(1);
        let columns = [
            (Duration::zero(), 0),
            (Duration::hours(1) - micro, 0),
            (Duration::hours(1), 1),
            (Duration::days(1), 1),
            (Duration::days(1) + micro, 2),
            (Duration::days(300), 2),
            // A clock was ahead when the content was detected.
            (-Duration::minutes(5), 0),
        ];
        for (priority, minutes) in [
            (Some(Priority::P0), [10, 10, 15]),
            (Some(Priority::P1), [10, 15, 60]),
            (Some(Priority::P2), [10, 20, 120]),
            (Some(Priority::P3), [10, 20, 240]),
            (Some(Priority::P4), [10, 30, 240]),
            (None, [10, 30, 240]),
        ] {
            for (age, column) in columns {
                let tolerance = table.tolerance(priority, now - age, now);
                assert_eq!(tolerance, Duration::minutes(minutes[column]), "{priority:?}, content {age} old");
            }
        }
        assert_eq!(table.smallest(), Duration::minutes(10));
    }
}
