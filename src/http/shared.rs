//! Answers that everybody may ask for, and that cost a read of the store.
//!
//! Health checkers ask twice a minute each, uptime monitors from half a dozen places, and whoever finds the address as often
//! as they like. What they are told is the same for all, so one reading serves everybody for a while: what an open route costs
//! is bounded, whoever asks. Nothing is decided by what is kept here.

use chrono::{DateTime, Duration, Utc};
use tokio::sync::Mutex;

/// How long one reading serves: an open route reads at most four times a minute.
pub const SHARED_FOR: Duration = Duration::seconds(15);

/// The latest reading. Whoever asks while one is under way waits for it.
#[derive(Debug, Default)]
pub(super) struct Shared<T>(Mutex<Option<(DateTime<Utc>, T)>>);

impl<T: Clone> Shared<T> {
    /// The latest reading if it is young enough, else a new one.
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
