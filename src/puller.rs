//! Loop that pulls messages about Google cases, and queues what they ask for. Each instance has one; Pub/Sub gives each message to one of
//! them.
//!
//! A message is acknowledged once what it asks for is queued, so a process that dies, a store or a queue that fails loses none: Pub/Sub
//! delivers it again after its deadline. A message that comes twice changes nothing ([`hint`]).

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use crate::cases::{ApiError, ApiErrorKind, Hint};
use crate::entities::Side;
use crate::push::pull::MOST_MESSAGES;
use crate::push::{PullSubscription, Pulled};
use crate::tasks::{Deps, hint};
use crate::telemetry::PullLabels;

/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Shortest time between two pulls without messages, for a Pub/Sub that does not wait for messages.
const BETWEEN_EMPTY: Duration = Duration::from_secs(1);

/// Outcome of one pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// All messages were taken and acknowledged.
    Messages,
    /// There was no message.
    Empty,
    /// The pull, a message or the acknowledgement failed. The number of messages to pull next.
    Failed(u32),
}

/// Pulls until `shutdown` is cancelled. Messages that were pulled by then are still taken and acknowledged.
pub async fn run(deps: &Deps, subscription: &PullSubscription, shutdown: &CancellationToken) {
    let name = subscription.name();
    tracing::info!(pull.subscription = name, "pulling messages of {name}");
    let (mut failures, mut most) = (0_u32, MOST_MESSAGES);
    while !shutdown.is_cancelled() {
        let began = tokio::time::Instant::now();
        let Some(pulled) = shutdown.run_until_cancelled(pull(subscription, most)).await else { break };
        let round = match pulled {
            Ok(pulled) => take(deps, subscription, pulled).await,
            Err(error) => {
                tracing::warn!(
                    pull.subscription = name,
                    pull.failures = failures + 1,
                    "no messages: {error}"
                );
                // A hundred messages of the largest size exceed the limit on answers; four never do.
                let is_too_large = error.kind == ApiErrorKind::Unreadable;
                Round::Failed(if is_too_large { 4 } else { MOST_MESSAGES })
            }
        };
        let outcome = match round {
            Round::Messages => "messages",
            Round::Empty => "empty",
            Round::Failed(_) => "failed",
        };
        deps.metrics.pulls.get_or_create(&PullLabels { outcome }).inc();
        let pause = match round {
            Round::Messages => Duration::ZERO,
            Round::Empty => BETWEEN_EMPTY.saturating_sub(began.elapsed()),
            Round::Failed(_) => pause_after(failures),
        };
        (failures, most) = match round {
            Round::Messages | Round::Empty => {
                if failures > 0 {
                    tracing::info!(pull.subscription = name, "pulling works again");
                }
                (0, MOST_MESSAGES)
            }
            Round::Failed(most) => (failures + 1, most),
        };
        shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// Pulls once. A panic counts as a failure, so that it does not end the loop; the panic hook has logged it.
async fn pull(subscription: &PullSubscription, most: u32) -> Result<Vec<Pulled>, ApiError> {
    // Unwind-safe: the client's state is behind locks that recover from poisoning.
    AssertUnwindSafe(subscription.pull(most)).catch_unwind().await.unwrap_or_else(|_| {
        let call = format!("pull {}", subscription.name());
        Err(ApiError::new(
            ApiErrorKind::Uncertain,
            crate::push::pull::NAME,
            call,
            "it failed in an unforeseen way",
        ))
    })
}

/// Takes the messages and acknowledges those that were taken.
async fn take(deps: &Deps, subscription: &PullSubscription, pulled: Vec<Pulled>) -> Round {
    if pulled.is_empty() {
        return Round::Empty;
    }
    let count = pulled.len();
    let mut batch = Batch::default();
    let mut done = Vec::new();
    for message in pulled {
        let taken = AssertUnwindSafe(batch.take(deps, message.hints)).catch_unwind().await;
        if !taken.unwrap_or(false) {
            // The store or the queue is in trouble: the rest is delivered again.
            break;
        }
        done.push(message.ack_id);
    }
    tracing::debug!(pull.messages = count, pull.taken = done.len(), "pulled messages");
    let acknowledged = subscription.acknowledge(&done).await;
    match acknowledged {
        Ok(()) if done.len() == count => Round::Messages,
        Ok(()) => Round::Failed(MOST_MESSAGES),
        Err(error) => {
            tracing::warn!(pull.subscription = subscription.name(), "messages will come twice: {error}");
            Round::Failed(MOST_MESSAGES)
        }
    }
}

/// Hints that messages of one pull have led to: a further message with the same one needs nothing more.
#[derive(Default)]
struct Batch {
    taken: Vec<Hint>,
    polled: bool,
}

impl Batch {
    /// Takes a message. Returns false if it has to be delivered again. A message that cannot be read never can, and is not needed again.
    async fn take(&mut self, deps: &Deps, hints: Result<Vec<Hint>, crate::cases::Refusal>) -> bool {
        let hints = match hints {
            Ok(hints) => hints,
            Err(refusal) => {
                hint::count(deps, Side::Google, refusal.name());
                return true;
            }
        };
        let is_new = |hint: &Hint| !self.taken.contains(hint);
        let fresh: Vec<Hint> = hints.iter().filter(|hint| is_new(hint)).cloned().collect();
        for _ in fresh.len()..hints.len() {
            hint::count(deps, Side::Google, hint::Taken::Coalesced.name());
        }
        if hints.is_empty() && self.polled {
            hint::count(deps, Side::Google, hint::Taken::Coalesced.name());
            return true;
        }
        if fresh.is_empty() && !hints.is_empty() {
            return true;
        }
        let is_taken = hint::take_all(deps, Side::Google, &fresh).await.is_ok();
        if is_taken {
            self.polled |= hints.is_empty();
            self.taken.extend(fresh);
        }
        is_taken
    }
}

/// Returns the pause after a failure that so many failures came before: drawn at random, so that instances do not pull in step.
fn pause_after(failures: u32) -> Duration {
    let bound = FIRST_PAUSE.saturating_mul(1 << failures.min(6)).min(LONGEST_PAUSE);
    bound.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_a_minute() {
        for (failures, most) in [(0, 1), (1, 2), (5, 32), (6, 60), (1_000_000, 60)] {
            let pause = pause_after(failures);
            let most = Duration::from_secs(most);
            assert!(pause <= most && pause * 2 >= most, "{failures}: {pause:?}");
        }
    }
}
