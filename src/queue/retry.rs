//! Retry policy of a queue: the arithmetic of `retry_parameters` (`R2`: a limit must not stand alone).
//!
//! Pure: no clock and no queue. Used by the embedded queue and by the test that holds `queue.yaml` to the documented policies.

use chrono::TimeDelta;

/// Values of the `retry_parameters` of one queue.
///
/// Sources: Cloud Tasks v2 discovery document, `RetryConfig`; App Engine's queue.yaml reference, `retry_parameters`. The defaults are those
/// that `gcloud app deploy queue.yaml` sets for missing parameters (Google Cloud SDK).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum number of retries, without the first attempt; `None`: no limit.
    pub task_retry_limit: Option<u32>,
    /// Time since the first attempt in which a task is retried, in whole seconds; `None`: no limit.
    pub task_age_limit: Option<TimeDelta>,
    /// Pause before the first retry.
    pub min_backoff: TimeDelta,
    /// Longest pause between two attempts.
    pub max_backoff: TimeDelta,
    /// Number of times that the backoff doubles; after that it grows by the same amount each time.
    pub max_doublings: u32,
}

impl RetryPolicy {
    /// Policy of a queue without `retry_parameters`: retries for ever, with a backoff from 0.1 seconds up to an hour.
    pub const DEFAULT: Self = Self {
        task_retry_limit: None,
        task_age_limit: None,
        min_backoff: TimeDelta::milliseconds(100),
        max_backoff: TimeDelta::seconds(3_600),
        max_doublings: 16,
    };

    /// True if a failed task may be retried (`R2`: a limit must not stand alone).
    ///
    /// `retry` is the number of the retry in question, from 1; `age` is the time since the start of the first attempt. If both limits are
    /// set, the task ends only when *both* are exceeded; if one is set, that one decides.
    #[must_use]
    pub fn may_retry(&self, retry: u32, age: TimeDelta) -> bool {
        let within_count = self.task_retry_limit.map(|limit| retry <= limit);
        let within_age = self.task_age_limit.map(|limit| age <= limit);
        match (within_count, within_age) {
            (Some(count), Some(age)) => count || age,
            (Some(within), None) | (None, Some(within)) => within,
            (None, None) => true,
        }
    }

    /// Returns the backoff before the retry with this number, from 1.
    ///
    /// Starts at `min_backoff`, doubles `max_doublings` times, then grows by the last doubled value each time, and stays at
    /// `max_backoff` once it gets there: 10, 20, 40, 80, 160, 240, 300, 300 … for 10, 300 and 3 doublings.
    #[must_use]
    pub fn backoff(&self, retry: u32) -> TimeDelta {
        let retry = retry.max(1);
        let doublings = (retry - 1).min(self.max_doublings);
        let steps = i64::from(retry - doublings);
        // 2^62 is the largest power of two that fits; from there on the product saturates anyway.
        let factor = 1_i64 << doublings.min(62);
        let micros = |delta: TimeDelta| delta.num_microseconds().unwrap_or(i64::MAX);
        let backoff = micros(self.min_backoff).saturating_mul(factor).saturating_mul(steps);
        TimeDelta::microseconds(backoff.min(micros(self.max_backoff)))
    }

    /// Returns the start of each attempt, counted from the first, for a task that always fails after `each_takes`.
    ///
    /// Ends with the last attempt before the task is given up; endless if the policy retries for ever.
    pub fn attempts(&self, each_takes: TimeDelta) -> impl Iterator<Item = TimeDelta> + '_ {
        let mut retry = 0;
        std::iter::successors(Some(TimeDelta::zero()), move |began| {
            let failed = began.checked_add(&each_takes)?;
            retry += 1;
            if self.may_retry(retry, failed) { failed.checked_add(&self.backoff(retry)) } else { None }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(
        task_retry_limit: Option<u32>,
        task_age_limit: Option<i64>,
        min: i64,
        max: i64,
        max_doublings: u32,
    ) -> RetryPolicy {
        RetryPolicy {
            task_retry_limit,
            task_age_limit: task_age_limit.map(TimeDelta::seconds),
            min_backoff: TimeDelta::seconds(min),
            max_backoff: TimeDelta::seconds(max),
            max_doublings,
        }
    }

    #[test]
    fn backoff_doubles_then_grows_evenly_up_to_the_maximum() {
        let check = |min, max, doublings, expected: &[i64]| {
            let policy = policy(None, None, min, max, doublings);
            let got: Vec<i64> =
                (1..).take(expected.len()).map(|retry| policy.backoff(retry).num_seconds()).collect();
            assert_eq!(got, expected, "min {min}, max {max}, doublings {doublings}");
        };
        // The example of the discovery document, and the two of the page on retrying push tasks.
        check(10, 300, 3, &[10, 20, 40, 80, 160, 240, 300, 300, 300]);
        check(10, 200, 0, &[10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]);
        check(10, 200, 3, &[10, 20, 40, 80, 160, 200, 200]);
        check(10, 10, 5, &[10, 10, 10]);
        check(0, 10, 5, &[0, 0, 0]);
        check(1, 3_600, 16, &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_600, 3_600]);
    }

    #[test]
    fn backoff_never_overflows() {
        for policy in
            [policy(None, None, i64::MAX / 2_000_000, i64::MAX / 2_000_000, u32::MAX), RetryPolicy::DEFAULT]
        {
            for retry in [0, 1, 2, 61, 62, 63, 64, 1_000, u32::MAX] {
                assert!(policy.backoff(retry) <= policy.max_backoff);
            }
        }
    }

    #[test]
    fn a_task_ends_only_when_both_limits_are_passed() {
        let check = |count, age_limit, retry, age, expected| {
            let got = policy(count, age_limit, 1, 1, 0).may_retry(retry, TimeDelta::seconds(age));
            assert_eq!(got, expected, "limits {count:?} and {age_limit:?}: retry {retry} at {age} s");
        };
        check(Some(2), Some(60), 1, 0, true);
        check(Some(2), Some(60), 3, 60, true); // within the age limit
        check(Some(2), Some(60), 2, 61, true); // within the count limit
        check(Some(2), Some(60), 3, 61, false);
        check(Some(2), None, 2, 1_000_000, true);
        check(Some(2), None, 3, 0, false);
        check(Some(0), None, 1, 0, false);
        check(None, Some(60), 1_000, 60, true);
        check(None, Some(60), 1, 61, false);
        check(None, None, u32::MAX, 1_000_000_000, true);
    }

    #[test]
    fn attempts_follow_from_limits_and_backoff() {
        let check = |policy: RetryPolicy, takes, expected: &[i64]| {
            let got: Vec<i64> =
                policy.attempts(TimeDelta::seconds(takes)).take(50).map(|at| at.num_seconds()).collect();
            assert_eq!(got, expected, "{policy:?}, each taking {takes} s");
        };
        check(policy(Some(1), Some(40), 10, 20, 1), 0, &[0, 10, 30, 50]);
        check(policy(Some(1), Some(40), 10, 20, 1), 60, &[0, 70]);
        check(policy(Some(3), None, 10, 20, 1), 0, &[0, 10, 30, 50]);
        check(policy(None, Some(25), 10, 20, 1), 0, &[0, 10, 30]);
        check(policy(Some(0), Some(1), 5, 5, 1), 2, &[0]);
        assert_eq!(policy(None, None, 10, 300, 5).attempts(TimeDelta::zero()).take(10_000).count(), 10_000);
    }
}
