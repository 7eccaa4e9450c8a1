//! Pause that an upstream asks for with `Retry-After`. All calls to it wait, not only the one that was told (`R37`: nobody waits for the
//! slowest).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest pause that is kept. An upstream that asks for more is called once an hour.
const LONGEST: Duration = Duration::from_hours(1);

/// Time until which an upstream is not called.
#[derive(Debug, Default)]
pub(super) struct Closed(Mutex<Option<Instant>>);

impl Closed {
    /// Keeps a pause from now on. Returns its length if it is longer than the one that is kept already.
    pub(super) fn keep(&self, pause: Duration) -> Option<Duration> {
        let pause = pause.min(LONGEST);
        let until = Instant::now() + pause;
        let mut closed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_longer = !pause.is_zero() && closed.is_none_or(|closed| closed < until);
        if is_longer {
            *closed = Some(until);
        }
        is_longer.then_some(pause)
    }

    /// Returns the rest of the pause; `None` if there is none.
    pub(super) fn rest(&self) -> Option<Duration> {
        let closed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        closed?.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_is_kept_for_an_hour_at_most() {
        let closed = Closed::default();
        assert_eq!((closed.keep(Duration::ZERO), closed.rest()), (None, None));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((closed.keep(Duration::from_secs(45)), closed.rest()), (seconds(45), seconds(45)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(
            (closed.keep(Duration::from_secs(20)), closed.rest()),
            (None, seconds(35)),
            "a shorter one"
        );
        tokio::time::advance(Duration::from_secs(35)).await;
        assert_eq!(closed.rest(), None);
        assert_eq!((closed.keep(Duration::MAX), closed.rest()), (seconds(3_600), seconds(3_600)));
    }
}
