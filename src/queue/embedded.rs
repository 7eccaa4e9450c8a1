//! Embedded queue: does the work of Cloud Tasks inside the service's own process, with SQLite as its store.
//!
//! It follows the same `queue.yaml`: names that deduplicate (`R3`: task names), rates, concurrency, retries and their limits (`R2`: a limit
//! must not stand alone). It delivers at least once, over HTTP with the same headers. A task is on disk when [`TaskQueue::enqueue`]
//! returns. A task is claimed before it is delivered, and the claim is renewed during the delivery. If the process dies, the claim expires
//! after half a minute, and the next process that looks for tasks delivers the task again. So several processes may share one file, and no
//! two of them deliver a task at the same time.
//!
//! Unlike Cloud Tasks it keeps a record of the tasks that it gave up: [`EmbeddedQueue::dead_letters`].

pub(super) mod database;
mod rate;

use std::collections::HashSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use reqwest::Method;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::database::DatabaseError;
use self::database::{Claimant, ClaimedTask, Claims, Database, Outcome, Verdict};
use super::queue_yaml::QueueConfig;
use super::target::{Target, TargetError};
use super::{Enqueued, QueueError, QueuedTask, TaskQueue};
use crate::clock::SharedClock;
use crate::queue::TaskKind;

/// Lease of a claim: a claim that was not renewed for this long is void.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// Interval at which a claim is renewed during its delivery.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Maximum sleep of the loop, since another process may queue a task, or the machine's clock may jump.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Minimum poll interval: shortest sleep of the loop after it found no task.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// Interval at which expired names are deleted.
const PRUNE_EVERY: TimeDelta = TimeDelta::hours(1);
/// Maximum size of a task's body; a task is at most 100 KB (Cloud Tasks v2 discovery document, `tasks.create`).
const MAX_BODY_BYTES: usize = 100 * 1024;

/// Settings of an [`EmbeddedQueue`].
#[derive(Clone)]
pub struct EmbeddedQueueOptions {
    /// Database file. It is created if missing, but its folder must exist. The store may use the same file.
    pub path: PathBuf,
    /// Settings of the six queues.
    pub queues: QueueConfig,
    /// URL that the service listens on: `http://127.0.0.1:8080`. Tasks go to `/tasks/{task}` there.
    pub target: Url,
    /// Bearer token that identifies deliveries as the service's own.
    pub internal_token: String,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Timeout of a delivery, after which it counts as failed. Cloud Tasks' default is 10 minutes.
    pub deadline: Duration,
    /// Time that [`EmbeddedQueue::run`] waits for running deliveries at shutdown.
    pub grace: Duration,
}

impl EmbeddedQueueOptions {
    /// Creates options with a deadline of 10 minutes and a grace of 25 seconds, a little less than App Engine gives.
    #[must_use]
    pub fn new(
        path: impl Into<PathBuf>,
        queues: QueueConfig,
        target: Url,
        internal_token: String,
        clock: SharedClock,
    ) -> Self {
        let (deadline, grace) = (Duration::from_mins(10), Duration::from_secs(25));
        Self { path: path.into(), queues, target, internal_token, clock, deadline, grace }
    }
}

/// Error of opening the queue or cron.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The service cannot be called.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Queues of all six tasks.
pub struct EmbeddedQueue {
    database: Arc<Database>,
    queues: QueueConfig,
    target: Target,
    clock: SharedClock,
    deadline: Duration,
    grace: Duration,
    claimant: Claimant,
    /// IDs of the tasks that this process is delivering.
    in_flight: Arc<Mutex<HashSet<i64>>>,
    next_prune: Mutex<DateTime<Utc>>,
    wake: Notify,
}

/// Task that was given up, since its policy allows no further attempt (`R2`: a limit must not stand alone).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Kind of the task.
    pub kind: TaskKind,
    /// Name of the task.
    pub name: String,
    /// Body of the request: IDs only. Empty if there was none.
    pub body: String,
    /// Number of attempts.
    pub attempts: u32,
    /// Status of the last answer; `None` without an answer.
    pub last_status: Option<u16>,
    /// Reason of the last failure, in words.
    pub last_failure: String,
    /// Time at which it was queued.
    pub created_at: DateTime<Utc>,
    /// Time at which it was given up.
    pub given_up_at: DateTime<Utc>,
}

/// Number and age of the tasks in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// Kind of the queue's tasks.
    pub kind: TaskKind,
    /// Number of all tasks in the queue.
    pub tasks: u32,
    /// Number of tasks that are being delivered now.
    pub in_flight: u32,
    /// Number of tasks that were attempted at least once.
    pub attempted: u32,
    /// Time at which the oldest task was queued.
    pub oldest: Option<DateTime<Utc>>,
}

/// Result of [`EmbeddedQueue::run_due`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunReport {
    /// Number of completed tasks.
    pub done: u64,
    /// Number of failed attempts whose tasks will be retried.
    pub retried: u64,
    /// Number of tasks that were given up.
    pub given_up: u64,
    /// Earliest time at which a task may be due; `None` if the queues are empty.
    pub next_due: Option<DateTime<Utc>>,
}

#[async_trait]
impl TaskQueue for EmbeddedQueue {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        let kind = task.kind;
        let failed = |reason: String| QueueError { task: kind, reason };
        let body = if task.body.is_null() { String::new() } else { task.body.to_string() };
        if body.len() > MAX_BODY_BYTES {
            return Err(failed(format!(
                "its body has {} bytes, and a task holds {MAX_BODY_BYTES}; put IDs only into it",
                body.len()
            )));
        }
        let name = task.name.as_ref().map_or_else(random_name, |name| name.as_str().to_owned());
        let now = self.clock.now();
        let queued = self.in_database(move |database| database.enqueue(&task, &name, &body, now)).await;
        let queued = queued.map_err(|error| failed(error.to_string()))?;
        self.wake.notify_one();
        Ok(queued)
    }
}

impl EmbeddedQueue {
    /// Opens the database and the client. No task is delivered before [`EmbeddedQueue::run`] or [`EmbeddedQueue::run_due`].
    pub fn open(options: EmbeddedQueueOptions) -> Result<Self, OpenError> {
        let EmbeddedQueueOptions { path, queues, target, internal_token, clock, deadline, grace } = options;
        let now = clock.now();
        Ok(Self {
            database: Arc::new(Database::open(&path)?),
            queues,
            target: Target::new(&target, &internal_token)?,
            clock,
            deadline,
            grace,
            claimant: Claimant { name: random_name(), lease: LEASE },
            in_flight: Arc::default(),
            next_prune: Mutex::new(now),
            wake: Notify::new(),
        })
    }

    /// Delivers tasks as they fall due, until `shutdown` is cancelled.
    ///
    /// Then it starts no more deliveries and waits for the running ones for at most the grace time. It releases the claims of the rest, so
    /// that the next process delivers them again.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut deliveries = JoinSet::new();
        while !shutdown.is_cancelled() {
            // `None`: the search panicked. The panic is logged with its place; the next search may succeed.
            let sleep = match survive(self.look()).await {
                None => LOOK_EVERY,
                Some(Ok((claims, sleep))) => {
                    let found = !claims.tasks.is_empty() || !claims.given_up.is_empty();
                    for task in claims.tasks {
                        let delivery = Delivery::begin(Arc::clone(&self), task);
                        deliveries.spawn(async move { delivery.run().await });
                    }
                    if found { Duration::ZERO } else { sleep }
                }
                Some(Err(error)) => {
                    tracing::error!(error = %error, "the queue cannot look for tasks; it tries again");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wake.notified() => {}
                Some(ended) = deliveries.join_next() => log_panic(ended.err()),
                () = tokio::time::sleep(sleep) => {}
            }
        }
        let finish = async {
            while let Some(ended) = deliveries.join_next().await {
                log_panic(ended.err());
            }
        };
        if tokio::time::timeout(self.grace, finish).await.is_err() {
            tracing::warn!(
                deliveries = deliveries.len(),
                "the queue stops before all its deliveries have ended"
            );
            deliveries.shutdown().await;
        }
        let claimant = self.claimant.clone();
        if let Err(error) = self.in_database(move |database| database.release_all(&claimant)).await {
            tracing::warn!(error = %error, "the queue cannot give its tasks back; they wait for half a minute");
        }
    }

    /// Delivers all tasks that are due by the clock, including those that the deliveries queue, and returns when none is left.
    ///
    /// Never sleeps, so a test can let days pass at once: set the clock to [`RunReport::next_due`] and call again.
    pub async fn run_due(&self) -> Result<RunReport, DatabaseError> {
        let mut report = RunReport::default();
        let mut deliveries = FuturesUnordered::new();
        loop {
            let claims = self.claim().await?;
            report.given_up += claims.given_up.len() as u64;
            let found = !claims.tasks.is_empty() || !claims.given_up.is_empty();
            for task in claims.tasks {
                deliveries.push(Delivery::begin(self, task).run());
            }
            match deliveries.next().await {
                Some(Some(Verdict::Done)) => report.done += 1,
                Some(Some(Verdict::Retry(_))) => report.retried += 1,
                Some(Some(Verdict::GivenUp(_))) => report.given_up += 1,
                Some(Some(Verdict::Superseded) | None) => {}
                None if found => {}
                None => {
                    report.next_due = claims.next;
                    return Ok(report);
                }
            }
        }
    }

    /// Returns the tasks that were given up, the latest first. The latest 1,000 are kept.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, DatabaseError> {
        self.in_database(move |database| database.dead_letters(limit)).await
    }

    /// Returns the depth of each of the six queues, in the order of [`TaskKind::ALL`].
    pub async fn depth(&self) -> Result<Vec<QueueDepth>, DatabaseError> {
        let now = self.clock.now();
        self.in_database(move |database| database.depth(now)).await
    }

    /// Claims the tasks to be delivered now. Logs and returns those that were given up.
    async fn claim(&self) -> Result<Claims, DatabaseError> {
        let now = self.clock.now();
        let prune = {
            let mut next_prune = self.next_prune.lock().unwrap_or_else(PoisonError::into_inner);
            // A time further ahead than the interval itself was set by a clock that ran ahead.
            let due = *next_prune <= now || *next_prune > now + PRUNE_EVERY;
            if due {
                *next_prune = now + PRUNE_EVERY;
            }
            due
        };
        let (queues, claimant, mine) = (self.queues.clone(), self.claimant.clone(), self.in_flight().clone());
        let claims = self
            .in_database(move |database| {
                if prune {
                    database.prune(now)?;
                }
                database.claim(&queues, &claimant, &mine, now)
            })
            .await?;
        for letter in &claims.given_up {
            log_given_up(letter);
        }
        Ok(claims)
    }

    /// Claims tasks. Also returns the time to sleep if none was found.
    async fn look(&self) -> Result<(Claims, Duration), DatabaseError> {
        let claims = self.claim().await?;
        let sleep = self.sleep_until(claims.next);
        Ok((claims, sleep))
    }

    /// Returns the time to sleep when nothing is due before `next`.
    fn sleep_until(&self, next: Option<DateTime<Utc>>) -> Duration {
        next.map_or(LOOK_EVERY, |next| {
            let wait = (next - self.clock.now()).to_std().unwrap_or(Duration::ZERO);
            wait.clamp(MIN_PAUSE, LOOK_EVERY)
        })
    }

    fn in_flight(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs database work on a blocking thread.
    async fn in_database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        blocking(&self.database, work).await
    }
}

/// Awaits a part of a loop without letting its panic end the loop. `None`: it panicked, and the panic hook has logged it.
pub(super) async fn survive<T>(part: impl Future<Output = T>) -> Option<T> {
    // Unwind-safe: an unfinished transaction is rolled back, and the other shared state is behind locks that recover from poisoning.
    std::panic::AssertUnwindSafe(part).catch_unwind().await.ok()
}

/// Runs work with a database on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    database: &Arc<Database>,
    work: impl FnOnce(&Database) -> Result<T, DatabaseError> + Send + 'static,
) -> Result<T, DatabaseError> {
    let held = Arc::clone(database);
    match tokio::task::spawn_blocking(move || work(&held)).await {
        Ok(result) => result,
        // The panic becomes an error for the caller, so that one bug does not end a loop and with it the queue.
        Err(error) if error.is_panic() => Err(DatabaseError::Panicked { path: database.path().to_owned() }),
        Err(_) => Err(DatabaseError::ShuttingDown { path: database.path().to_owned() }),
    }
}

/// One attempt at one task. Its claim is renewed while it exists.
struct Delivery<Q: Deref<Target = EmbeddedQueue>> {
    queue: Q,
    task: ClaimedTask,
}

impl<Q: Deref<Target = EmbeddedQueue>> Drop for Delivery<Q> {
    fn drop(&mut self) {
        self.queue.in_flight().remove(&self.task.id);
    }
}

impl<Q: Deref<Target = EmbeddedQueue>> Delivery<Q> {
    fn begin(queue: Q, task: ClaimedTask) -> Self {
        queue.in_flight().insert(task.id);
        Self { queue, task }
    }

    /// Delivers the task and records the verdict. `None`: the verdict could not be stored, so the task is delivered again.
    async fn run(self) -> Option<Verdict> {
        let (queue, task): (&EmbeddedQueue, _) = (&self.queue, &self.task);
        let settings = *queue.queues.get(task.kind);
        let path = task.kind.path();
        let call =
            queue.target.call(Method::POST, &path, headers(task), task.body.clone(), queue.deadline, || {
                queue.clock.now()
            });
        tokio::pin!(call);
        let answer = loop {
            tokio::select! {
                answer = &mut call => break answer,
                () = tokio::time::sleep(RENEW_EVERY) => self.renew().await,
            }
        };
        let outcome = match answer.failure {
            None => Outcome::Done,
            Some(failure) => {
                Outcome::Failed { status: answer.status, failure, retry_after: answer.retry_after }
            }
        };
        let (claimant, attempt, now) = (queue.claimant.clone(), task.clone(), queue.clock.now());
        let noted = outcome.clone();
        let verdict = queue
            .in_database(move |database| database.finish(&settings, &claimant, &attempt, &noted, now))
            .await;
        match verdict {
            Ok(verdict) => {
                self.log(&outcome, &verdict);
                Some(verdict)
            }
            Err(error) => {
                tracing::error!(
                    error = %error, queue.name = %task.kind, task.name = task.name,
                    "the queue cannot note how an attempt ended; the task will be delivered again"
                );
                None
            }
        }
    }

    async fn renew(&self) {
        let (id, claimant, now) = (self.task.id, self.queue.claimant.clone(), self.queue.clock.now());
        if let Err(error) = self.queue.in_database(move |database| database.renew(id, &claimant, now)).await {
            tracing::warn!(error = %error, queue.name = %self.task.kind, "the queue cannot renew a claim");
        }
    }

    fn log(&self, outcome: &Outcome, verdict: &Verdict) {
        let task = &self.task;
        let (status, failure) = match outcome {
            Outcome::Done => (None, ""),
            Outcome::Failed { status, failure, .. } => (*status, failure.as_str()),
        };
        match verdict {
            Verdict::Done => tracing::debug!(
                queue.name = %task.kind, task.name = task.name, task.attempt = task.dispatches, "task done"
            ),
            Verdict::Retry(at) => tracing::warn!(
                queue.name = %task.kind, task.name = task.name, task.attempt = task.dispatches,
                task.status = status, task.failure = failure, task.next_attempt = %at, "task failed; it is tried again"
            ),
            Verdict::GivenUp(letter) => log_given_up(letter),
            Verdict::Superseded => tracing::warn!(
                queue.name = %task.kind, task.name = task.name, task.attempt = task.dispatches,
                "an attempt ended after its claim had run out; another one counts"
            ),
        }
    }
}

/// Returns the headers of a delivery, as App Engine's task handlers get them (Cloud Tasks, "Create App Engine task handlers").
fn headers(task: &ClaimedTask) -> Vec<(&'static str, String)> {
    let due = task.due_at;
    let mut headers = vec![
        ("X-AppEngine-QueueName", task.kind.name().to_owned()),
        ("X-AppEngine-TaskName", task.name.clone()),
        ("X-AppEngine-TaskRetryCount", task.dispatches.saturating_sub(1).to_string()),
        ("X-AppEngine-TaskExecutionCount", task.responses.to_string()),
        ("X-AppEngine-TaskETA", format!("{}.{:06}", due.timestamp(), due.timestamp_subsec_micros())),
    ];
    headers.extend(task.last_status.map(|status| ("X-AppEngine-TaskPreviousResponse", status.to_string())));
    headers.extend(task.last_failure.clone().map(|failure| ("X-AppEngine-TaskRetryReason", failure)));
    headers
}

fn log_given_up(letter: &DeadLetter) {
    tracing::error!(
        queue.name = %letter.kind, task.name = letter.name, task.attempts = letter.attempts,
        task.status = letter.last_status, task.failure = letter.last_failure,
        "task given up: queue.yaml allows no further attempt"
    );
}

fn log_panic(error: Option<tokio::task::JoinError>) {
    if let Some(error) = error {
        tracing::error!(error = %error, "a delivery broke off; its task will be delivered again");
    }
}

/// Returns a unique name.
fn random_name() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
