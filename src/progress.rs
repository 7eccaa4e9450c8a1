//! Progress of a running task: how long its calls have had no answer, and whether a file of it moves (`R37`: nobody waits for the slowest).
//!
//! The clients report to the task that they run in; a call outside of a task reports to nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Silence after which a call that fails counts as one that hung, and not as one that failed.
const HANGS: Duration = Duration::from_secs(5);

tokio::task_local! {
    static CURRENT: Arc<Progress>;
}

/// Progress of one run of a task.
#[derive(Debug)]
pub struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Number of calls without an answer so far.
    calls: u32,
    /// Time of the last answer or piece of a file, or at which the calls began.
    moved_at: Instant,
    file_moved_at: Option<Instant>,
    hung: bool,
}

impl Progress {
    /// Creates the progress of a run that begins now.
    #[must_use]
    pub fn begin() -> Arc<Self> {
        let state = State { calls: 0, moved_at: Instant::now(), file_moved_at: None, hung: false };
        Arc::new(Self(Mutex::new(state)))
    }

    /// Runs the work of a task, whose calls report here.
    pub async fn follow<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// Returns the time for which the calls under way have had no answer. Zero if there is none: waiting for a rate limit, or for one's own
    /// store, is no silence.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.with(|state| if state.calls == 0 { Duration::ZERO } else { state.moved_at.elapsed() })
    }

    /// True if a piece of a file has moved within this time.
    #[must_use]
    pub fn file_moved_within(&self, time: Duration) -> bool {
        self.with(|state| state.file_moved_at.is_some_and(|at| at.elapsed() <= time))
    }

    /// True if a call of this run failed, or was given up, after a long silence.
    #[must_use]
    pub fn has_hung(&self) -> bool {
        self.with(|state| state.hung)
    }

    /// Notes that a piece of a file has moved.
    pub fn piece_moved(&self) {
        self.with(|state| {
            state.moved_at = Instant::now();
            state.file_moved_at = Some(state.moved_at);
        });
    }

    /// Notes that content fell silent.
    pub fn fell_silent(&self) {
        self.with(|state| state.hung = true);
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the progress of the task that this code runs in, for code that goes on elsewhere. `None` outside of a task.
#[must_use]
pub fn current() -> Option<Arc<Progress>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Waits for the answer to a call.
pub async fn of_call<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let mut asked = Asked::begin();
    let outcome = call.await;
    asked.is_answered = outcome.is_ok();
    outcome
}

/// A call under way. Ends when it is dropped, also if nobody waits for its answer any more.
struct Asked {
    task: Option<Arc<Progress>>,
    is_answered: bool,
}

impl Asked {
    fn begin() -> Self {
        let task = current();
        if let Some(task) = &task {
            task.with(|state| {
                if state.calls == 0 {
                    state.moved_at = Instant::now();
                }
                state.calls += 1;
            });
        }
        Self { task, is_answered: false }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.with(|state| {
                state.hung |= !self.is_answered && state.moved_at.elapsed() >= HANGS;
                state.calls = state.calls.saturating_sub(1);
                state.moved_at = Instant::now();
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn call(seconds: u64, outcome: Result<(), ()>) -> Result<(), ()> {
        of_call(async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            outcome
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_after_a_long_silence_has_hung() {
        for (seconds, outcome, hung) in
            [(4, Err(()), false), (5, Err(()), true), (60, Ok(()), false), (0, Err(()), false)]
        {
            let progress = Progress::begin();
            let work = call(seconds, outcome);
            assert_eq!(Arc::clone(&progress).follow(work).await, outcome);
            assert_eq!(progress.has_hung(), hung, "{seconds} s, {outcome:?}");
            assert_eq!(progress.silent_for(), Duration::ZERO, "no call is under way");
        }
        assert_eq!(call(6, Err(())).await, Err(()), "outside of a task it reports to nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_silent_from_its_last_answer_on_and_a_moving_file_is_no_silence() {
        let progress = Progress::begin();
        let pages = async {
            for _ in 0..3 {
                call(4, Ok(())).await?;
            }
            Ok::<_, ()>(())
        };
        let both = Arc::clone(&progress).follow(async { tokio::join!(pages, call(60, Err(()))) });
        let both = tokio::spawn(both);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(progress.silent_for(), Duration::from_secs(8), "since the third page");
        progress.piece_moved();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(progress.silent_for(), Duration::from_secs(3));
        assert!(progress.file_moved_within(Duration::from_secs(3)));
        assert!(!progress.file_moved_within(Duration::from_secs(2)));
        both.abort();
        assert!(both.await.is_err());
        assert_eq!(progress.silent_for(), Duration::ZERO, "a call that is given up is under way no more");
        assert!(!progress.has_hung(), "it was silent for three seconds");
    }
}
