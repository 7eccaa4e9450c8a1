//! Cached answers of the open routes, which cost a read of the store.
//!
//! Health checkers call twice a minute each, uptime monitors call from half a dozen places, and anybody who finds the address may call as
//! often as they like. The answer is the same for all callers, so one reading is cached for a while. That bounds the cost of an open route,
//! however many callers there are. No decision is based on the cache.

use chrono::{DateTime, Duration, Utc};
use tokio::sync::Mutex;

/// Lifetime of a cached reading. An open route reads the store at most four times a minute.
pub const SHARED_FOR: Duration = Duration::seconds(15);

/// Latest reading. A caller that arrives during a read waits for its result.
#[derive(Debug, Default)]
pub(super) struct Shared<T>(Mutex<Option<(DateTime<Utc>, T)>>);

impl<T: Clone> Shared<T> {
    /// Returns the cached reading if it is fresh, else takes a new one.
    pub(super) async fn get(&self, now: DateTime<Utc>, read: impl Future<Output = T>) -> T {
        let mut latest = self.0.lock().await;
        if let Some((at, reading)) = &*latest
            && (*at..*at + SHARED_FOR).contains(&now)
        {
            return reading.clone();
        }
        let reading = read.await;
        *latest = Some((now, reading.clone()));
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reading_serves_for_a_while_and_no_longer() {
        let shared = Shared::default();
        let start: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        for (seconds, reading, expected) in [
            (0, 1, 1),
            (14, 2, 1),
            (15, 3, 3),
            (29, 4, 3),
            // A clock that was set back.
            (5, 5, 5),
        ] {
            let answer = shared.get(start + Duration::seconds(seconds), async { reading }).await;
            assert_eq!(answer, expected, "after {seconds} s");
        }
    }
}
