//! Rate limit of a queue: a token bucket that throttling answers slow down. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::database::SET_BACK;
use crate::queue::queue_yaml::QueueSettings;

/// Time for which a throttling answer slows a queue down.
const SLOW_FOR: TimeDelta = TimeDelta::seconds(60);
/// Maximum number of times that throttling answers halve the rate.
const MOST_HALVINGS: u32 = 6;
/// Time within which throttling answers count as one burst. A burst, from requests that ran together, halves the rate once.
const ONE_BURST: TimeDelta = TimeDelta::seconds(1);
/// Longest pause that a `Retry-After` can ask for.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// Tolerance for sums of fractions, which come out a little below a whole token.
const ROUNDING: f64 = 1e-6;

/// State of one queue's rate limit. It is stored, so that it holds across processes and restarts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    /// Number of dispatches that may be made at once.
    pub(super) tokens: f64,
    /// Time for which `tokens` is valid.
    pub(super) at: DateTime<Utc>,
    /// Number of times that the rate is halved, until `slow_until`.
    pub(super) halvings: u32,
    /// Time at which the queue returns to its own rate.
    pub(super) slow_until: DateTime<Utc>,
    /// Time before which nothing is dispatched.
    pub(super) paused_until: DateTime<Utc>,
}

impl Bucket {
    /// Creates the bucket of a queue that has been idle for long.
    pub(super) fn full(queue: &QueueSettings, now: DateTime<Utc>) -> Self {
        let past = now - SLOW_FOR - SLOW_FOR;
        let tokens = f64::from(queue.bucket_size);
        Self { tokens, at: now, halvings: 0, slow_until: past, paused_until: past }
    }

    /// Brings the state up to `now`. If the clock was set back, tokens are neither added nor removed, and limits that were set while it ran
    /// ahead end (`R36`: clock skew).
    pub(super) fn refill(&mut self, queue: &QueueSettings, now: DateTime<Utc>) {
        let was_ahead = self.at > now + SET_BACK;
        if was_ahead || self.slow_until > now + SLOW_FOR {
            self.slow_until = now;
        }
        if was_ahead || self.paused_until > now + LONGEST_PAUSE {
            self.paused_until = now;
        }
        if self.at < self.slow_until {
            let slow_end = self.slow_until.min(now);
            self.add(queue, slow_end, self.slowed(queue), 1.0);
        }
        if now >= self.slow_until {
            self.halvings = 0;
            self.add(queue, now, queue.rate_per_second, f64::from(queue.bucket_size));
        }
        self.at = now;
    }

    fn add(&mut self, queue: &QueueSettings, until: DateTime<Utc>, rate: f64, capacity: f64) {
        let elapsed = (until - self.at).max(TimeDelta::zero());
        let capacity = capacity.min(f64::from(queue.bucket_size));
        self.tokens = (self.tokens + elapsed.as_seconds_f64() * rate).min(capacity);
        self.at = self.at.max(until);
    }

    fn slowed(&self, queue: &QueueSettings) -> f64 {
        queue.rate_per_second / f64::from(1_u32 << self.halvings.min(MOST_HALVINGS))
    }

    /// Returns the number of dispatches that may be made at `now`; call [`Bucket::refill`] first.
    pub(super) fn available(&self, now: DateTime<Utc>) -> u32 {
        if now < self.paused_until {
            return 0;
        }
        let whole = (self.tokens + ROUNDING).floor().clamp(0.0, f64::from(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to u32 just above"
        )]
        let whole = whole as u32;
        whole
    }

    /// Takes the tokens of this many dispatches.
    pub(super) fn take(&mut self, dispatches: u32) {
        self.tokens = (self.tokens - f64::from(dispatches)).max(0.0);
    }

    /// Returns the time of the next possible dispatch, `now` or later; call [`Bucket::refill`] first.
    pub(super) fn ready_at(&self, queue: &QueueSettings, now: DateTime<Utc>) -> DateTime<Utc> {
        let wait = |rate: f64| {
            // Corrects for rounding, so that an error in the last digit does not add a microsecond.
            let micros = ((1.0 - self.tokens) / rate * 1e6 - ROUNDING).ceil().max(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "looked at again after a year, however low the rate"
            )]
            let micros = micros.min(365.0 * 86_400e6) as i64;
            now + TimeDelta::microseconds(micros)
        };
        let ready = if now < self.slow_until {
            wait(self.slowed(queue)).min(self.slow_until)
        } else {
            wait(queue.rate_per_second)
        };
        ready.max(self.paused_until)
    }

    /// Slows the queue down after a 503 or a 429, and pauses it for as long as `Retry-After` asks.
    ///
    /// Cloud Tasks throttles a queue for a while after such an answer, and considers `Retry-After`; its documentation does not say by how
    /// much (Cloud Tasks v2 discovery document, `AppEngineHttpRequest` and `HttpRequest`).
    pub(super) fn throttle(&mut self, now: DateTime<Utc>, retry_after: Option<TimeDelta>) {
        let slow_since = self.slow_until - SLOW_FOR;
        if now - slow_since >= ONE_BURST {
            self.halvings = (self.halvings + 1).min(MOST_HALVINGS);
            self.tokens = self.tokens.min(1.0);
            self.slow_until = now + SLOW_FOR;
        }
        if let Some(pause) = retry_after {
            let pause = pause.clamp(TimeDelta::zero(), LONGEST_PAUSE);
            self.paused_until = self.paused_until.max(now + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::TaskKind;
    use crate::queue::retry::RetryPolicy;

    fn queue(rate_per_second: f64, bucket_size: u32) -> QueueSettings {
        QueueSettings {
            kind: TaskKind::SyncGoogleCase,
            rate_per_second,
            bucket_size,
            max_concurrent_requests: 10,
            retry: RetryPolicy::DEFAULT,
        }
    }

    fn start() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    /// Dispatches as fast as the bucket allows from `from` on, and returns the number of dispatches within that time.
    fn dispatched(bucket: &mut Bucket, queue: &QueueSettings, from: DateTime<Utc>, within: TimeDelta) -> u32 {
        let mut now = from;
        let mut total = 0;
        loop {
            bucket.refill(queue, now);
            let available = bucket.available(now);
            bucket.take(available);
            total += available;
            let ready = bucket.ready_at(queue, now);
            assert!(ready > now, "an empty bucket must be ready later");
            if ready > from + within {
                return total;
            }
            now = ready;
        }
    }

    #[test]
    fn a_burst_then_the_rate() {
        let check = |rate, size, within, expected| {
            let queue = queue(rate, size);
            let mut bucket = Bucket::full(&queue, start());
            assert_eq!(
                dispatched(&mut bucket, &queue, start(), TimeDelta::seconds(within)),
                expected,
                "{rate}/s, bucket {size}, {within} s"
            );
        };
        check(5.0, 5, 0, 5);
        check(5.0, 5, 1, 10);
        check(5.0, 5, 60, 305);
        check(20.0, 20, 10, 220);
        check(1.0 / 60.0, 1, 600, 11);
        check(0.1, 3, 100, 13);
    }

    #[test]
    fn an_idle_bucket_holds_no_more_than_its_size() {
        let queue = queue(5.0, 5);
        let mut bucket = Bucket::full(&queue, start());
        bucket.take(5);
        let later = start() + TimeDelta::days(3);
        bucket.refill(&queue, later);
        assert_eq!(bucket.available(later), 5);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let queue = queue(5.0, 5);
        let mut bucket = Bucket::full(&queue, start());
        bucket.take(5);
        bucket.throttle(start(), Some(TimeDelta::minutes(30)));
        let earlier = start() - TimeDelta::days(365);
        bucket.refill(&queue, earlier);
        assert_eq!(bucket.available(earlier), 0);
        assert!(bucket.ready_at(&queue, earlier) <= earlier + TimeDelta::seconds(1));
    }

    #[test]
    fn throttling_halves_the_rate_for_a_minute() {
        let queue = queue(8.0, 8);
        let mut bucket = Bucket::full(&queue, start());
        bucket.take(8);
        // Three answers of one burst count once.
        for _ in 0..3 {
            bucket.throttle(start(), None);
        }
        assert_eq!(dispatched(&mut bucket, &queue, start(), TimeDelta::seconds(59)), 4 * 59);
        let after = start() + TimeDelta::seconds(61);
        let mut later = bucket;
        later.refill(&queue, after);
        assert_eq!(later.halvings, 0);

        // Further answers halve the rate again, down to a 64th.
        let mut now = start();
        for _ in 0..20 {
            now += TimeDelta::seconds(2);
            bucket.refill(&queue, now);
            bucket.throttle(now, None);
        }
        bucket.take(8);
        assert_eq!(bucket.ready_at(&queue, now), now + TimeDelta::seconds(8));
    }

    #[test]
    fn retry_after_pauses_the_queue() {
        let queue = queue(8.0, 8);
        let check = |asked, until| {
            let mut bucket = Bucket::full(&queue, start());
            bucket.throttle(start(), Some(TimeDelta::seconds(asked)));
            bucket.refill(&queue, start());
            let ready = bucket.ready_at(&queue, start());
            assert_eq!(ready, start() + TimeDelta::seconds(until), "Retry-After: {asked}");
            bucket.refill(&queue, ready);
            assert!(bucket.available(ready) >= 1);
        };
        check(0, 0);
        check(30, 30);
        check(120, 120);
        check(1_000_000, 3_600);
        check(-5, 0);
    }
}
