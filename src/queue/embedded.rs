//! Embedded queue: does the work of Cloud Tasks inside the service's own process, with SQLite as its store.
//!
//! It follows the same `queue.yaml`: names that deduplicate (`R3`: task names), rates, concurrency, retries and their limits (`R2`: a limit
//! must not stand alone). It delivers at least once, as requests with the same headers, within the process
//! ([`EmbeddedQueue::deliver_to`]). A task is on disk when [`TaskQueue::enqueue`] returns. A task is claimed before it is delivered, and the claim is renewed during the delivery. If the process dies, the claim expires
//! after half a minute, and the next process that looks for tasks delivers the task again. So several processes may share one file, and no
//! two of them deliver a task at the same time.
//!
//! Each change is a request to the thread that owns the connection (`worker`). Requests that wait share a commit. Only a queued task waits
//! for the disk (`database`). A queue is searched when a task in it falls due, or when a slot becomes free while tasks wait for one; all
//! are searched once a second, since another process may have changed them (`hints`).
//!
//! Unlike Cloud Tasks it keeps a record of the tasks that it gave up, the latest 1,000: [`TaskQueue::dead_letters`].

pub(super) mod database;
mod hints;
mod rate;
mod schema;
mod worker;

use std::collections::HashSet;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use reqwest::Method;
use serde::{Serialize, Serializer};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::database::{
    Claimant, ClaimedTask, Claims, Database, NewTask, Outcome, SET_BACK, Searched, Verdict,
};
pub use self::database::{DEAD_LETTERS_KEPT, DatabaseError};
use self::hints::Hints;
pub use self::worker::CommitCounts;
use super::queue_yaml::QueueConfig;
use super::target::{Target, TargetError};
use super::{Enqueued, QueueError, QueuedTask, TaskQueue};
use crate::clock::SharedClock;
use crate::queue::TaskKind;
use crate::sqlite::presence::Presence;

/// Lease of a claim: a claim that was not renewed for this long is void.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// Interval at which a claim is renewed during its delivery.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Interval at which all queues are searched, since another process may queue a task, or the machine's clock may jump.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Minimum poll interval: shortest sleep of the loop before it searches a queue again of its own accord. A queue gets a token every 2 ms at
/// the most, and a bucket of one holds no second one.
const MIN_PAUSE: Duration = Duration::from_millis(1);
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
    /// URL that the service listens on: `http://127.0.0.1:8080`. Tasks go to `/tasks/{task}` there, unless
    /// [`EmbeddedQueue::deliver_to`] is called.
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
    database: Database,
    queues: QueueConfig,
    target: Target,
    clock: SharedClock,
    deadline: Duration,
    grace: Duration,
    claimant: Arc<Claimant>,
    /// Tells other processes that this one lives; `None` where no file can be locked.
    _presence: Option<Presence>,
    hints: Hints,
    /// Latest time that the clock has shown; `None` before the first search of all queues.
    latest: Mutex<Option<DateTime<Utc>>>,
    next_prune: Mutex<DateTime<Utc>>,
    wake: Notify,
    /// Set at shutdown: the end of a delivery then claims no other task.
    stopping: AtomicBool,
}

/// Task that was given up, since its policy allows no further attempt (`R2`: a limit must not stand alone).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Kind of the task.
    #[serde(rename = "task", serialize_with = "by_name")]
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn by_name<S: Serializer>(kind: &TaskKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
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
    async fn dead_letters(&self, limit: u32) -> Result<Option<Vec<DeadLetter>>, DatabaseError> {
        self.database.dead_letters(limit).await.map(Some)
    }

    fn syncs_per_minute(&self) -> Option<u32> {
        Some(self.queues.syncs_per_minute())
    }

    fn concurrent_syncs(&self) -> Option<u32> {
        Some(self.queues.concurrent_syncs())
    }

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
        let now = self.now();
        let due_at = task.not_before.map_or(now, |time| time.max(now));
        let queued = self.database.enqueue(NewTask { kind, name, body, due_at }, now).await;
        let queued = queued.map_err(|error| failed(error.to_string()))?;
        if queued == Enqueued::New && self.hints.search_at(kind, due_at) {
            self.wake.notify_one();
        }
        Ok(queued)
    }
}

/// Returns the tasks that a queue in that file gave up, the latest first, whether or not a process runs the queue.
pub async fn dead_letters(path: &Path, limit: u32) -> Result<Vec<DeadLetter>, DatabaseError> {
    Database::open(path)?.dead_letters(limit).await
}

impl EmbeddedQueue {
    /// Opens the database and the client. No task is delivered before [`EmbeddedQueue::run`] or [`EmbeddedQueue::run_due`].
    pub fn open(options: EmbeddedQueueOptions) -> Result<Self, OpenError> {
        let EmbeddedQueueOptions { path, queues, target, internal_token, clock, deadline, grace } = options;
        let now = clock.now();
        let database = Database::open(&path)?;
        let presence = Presence::announce(&path);
        if let Err(error) = &presence {
            tracing::warn!("if this process is killed, its tasks wait for half a minute: {error}");
        }
        let presence = presence.ok();
        let name = presence.as_ref().map_or_else(random_name, |presence| presence.name().to_owned());
        Ok(Self {
            database,
            _presence: presence,
            queues,
            target: Target::new(&target, &internal_token)?,
            clock,
            deadline,
            grace,
            claimant: Arc::new(Claimant { name, lease: LEASE, in_flight: Mutex::default() }),
            hints: Hints::new(),
            latest: Mutex::new(None),
            next_prune: Mutex::new(now),
            wake: Notify::new(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Delivers to this router until [`EmbeddedQueue::run`] ends, without a connection: callers who fill the places for connections, or use
    /// all file handles, keep no task out.
    pub fn deliver_to(&self, router: Router) {
        self.target.call_in_process(Some(router));
    }

    /// Delivers tasks as they fall due, until `shutdown` is cancelled.
    ///
    /// Then it starts no more deliveries and waits for the running ones for at most the grace time. It releases the claims of the rest, so
    /// that the next process delivers them again.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut deliveries = JoinSet::new();
        let mut next_look = Instant::now();
        while !shutdown.is_cancelled() {
            let everywhere = next_look <= Instant::now();
            if everywhere {
                next_look = Instant::now() + LOOK_EVERY;
            }
            // `None`: the search panicked. The panic is logged with its place; the next search may succeed.
            let sleep = match survive(self.look(everywhere)).await {
                None => LOOK_EVERY,
                Some(Ok(claims)) => {
                    self.begin_all(claims, &mut deliveries);
                    self.until_next_search().min(next_look.saturating_duration_since(Instant::now()))
                }
                Some(Err(error)) => {
                    tracing::error!(error = %error, "the queue cannot look for tasks; it tries again");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wake.notified() => {}
                Some(ended) = deliveries.join_next() => {
                    self.after(ended, &mut deliveries);
                    while let Some(ended) = deliveries.try_join_next() {
                        self.after(ended, &mut deliveries);
                    }
                }
                () = tokio::time::sleep(sleep) => {}
            }
        }
        self.stopping.store(true, Ordering::SeqCst);
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
        if let Err(error) = self.database.release_all(&self.claimant).await {
            tracing::warn!(error = %error, "the queue cannot give its tasks back; they wait for half a minute");
        }
        self.target.call_in_process(None);
    }

    /// Begins the delivery of claimed tasks.
    fn begin_all(self: &Arc<Self>, claims: Claims, deliveries: &mut JoinSet<Ended>) {
        for task in claims.tasks {
            let delivery = Delivery::begin(Arc::clone(self), task);
            deliveries.spawn(async move { delivery.run(true).await });
        }
    }

    /// Takes note of a delivery's end, and begins the deliveries that it has claimed.
    fn after(self: &Arc<Self>, ended: Result<Ended, JoinError>, deliveries: &mut JoinSet<Ended>) {
        match ended {
            Err(error) => log_panic(Some(error)),
            Ok(Ended { kind, claims, .. }) => {
                if claims.queues.is_empty() {
                    // If the queue is full, it was found so after this end was written.
                    self.search_if_full(kind);
                }
                self.begin_all(claims, deliveries);
            }
        }
    }

    /// Asks for a search of a queue of which a delivery has ended, if tasks wait for its slot.
    fn search_if_full(&self, kind: TaskKind) {
        if self.hints.is_full(kind) {
            self.hints.search_at(kind, self.now());
        }
    }

    /// Delivers all tasks that are due by the clock, including those that the deliveries queue, and returns when none is left.
    ///
    /// Never sleeps, so a test can let days pass at once: set the clock to [`RunReport::next_due`] and call again.
    pub async fn run_due(&self) -> Result<RunReport, DatabaseError> {
        let mut report = RunReport::default();
        let mut deliveries = FuturesUnordered::new();
        // The hints know of all that this process queues and ends. Only a search knows what others have queued.
        let mut everywhere = true;
        loop {
            let claims = self.look(everywhere).await?;
            report.given_up += claims.given_up.len() as u64;
            let found = !claims.tasks.is_empty() || !claims.given_up.is_empty();
            for task in claims.tasks {
                deliveries.push(Delivery::begin(self, task).run(false));
            }
            let Some(ended) = deliveries.next().await else {
                if found || !everywhere {
                    everywhere = true;
                    continue;
                }
                report.next_due =
                    self.search(self.now()).await?.into_iter().filter_map(|found| found.next).min();
                return Ok(report);
            };
            everywhere = false;
            self.search_if_full(ended.kind);
            match ended.verdict {
                Some(Verdict::Done) => report.done += 1,
                Some(Verdict::Retry(_)) => report.retried += 1,
                Some(Verdict::GivenUp(_)) => report.given_up += 1,
                Some(Verdict::Superseded) | None => {}
            }
        }
    }

    /// Returns the depth of each of the six queues, in the order of [`TaskKind::ALL`].
    pub async fn depth(&self) -> Result<Vec<QueueDepth>, DatabaseError> {
        self.database.depth(self.now()).await
    }

    /// Returns the number of transactions that this queue has committed.
    #[must_use]
    pub fn commit_counts(&self) -> CommitCounts {
        self.database.counts()
    }

    /// Claims the tasks to be delivered now: from all queues, or from those that the hints name. Logs and returns those that were given up.
    async fn look(&self, everywhere: bool) -> Result<Claims, DatabaseError> {
        let now = self.now();
        if everywhere {
            self.keep_house(now).await?;
            self.hints.searched(&self.search(now).await?);
        }
        let due = self.hints.take_due(now);
        if due.is_empty() {
            return Ok(Claims::default());
        }
        let queues = due.into_iter().map(|kind| *self.queues.get(kind)).collect();
        let claims = self.database.claim(queues, &self.claimant, now).await?;
        self.note(&claims);
        Ok(claims)
    }

    /// Finds out when each queue has a task to deliver, without the write lock.
    async fn search(&self, now: DateTime<Utc>) -> Result<Vec<Searched>, DatabaseError> {
        self.database.search(&self.queues, &self.claimant, now).await
    }

    /// Takes note of claims: the next searches, and the tasks that were given up.
    fn note(&self, claims: &Claims) {
        self.hints.searched(&claims.queues);
        for letter in &claims.given_up {
            log_given_up(letter);
        }
    }

    /// Deletes expired names once an hour, and ends waits that a clock ahead has set.
    async fn keep_house(&self, now: DateTime<Utc>) -> Result<(), DatabaseError> {
        if self.was_set_back(now) {
            let ended = self.database.end_waits_from_ahead(&self.queues, now).await?;
            if ended > 0 {
                tracing::warn!(
                    tasks = ended,
                    "the clock was set back: what waits for times that a clock ahead has set is due now"
                );
            }
        }
        let prune = {
            let mut next_prune = self.next_prune.lock().unwrap_or_else(PoisonError::into_inner);
            // A time further ahead than the interval itself was set by a clock that ran ahead.
            let due = *next_prune <= now || *next_prune > now + PRUNE_EVERY;
            if due {
                *next_prune = now + PRUNE_EVERY;
            }
            due
        };
        if prune {
            self.database.prune(now).await?;
        }
        Ok(())
    }

    /// Reads the clock.
    fn now(&self) -> DateTime<Utc> {
        let now = self.clock.now();
        if let Some(latest) = self.latest().as_mut() {
            *latest = now.max(*latest);
        }
        now
    }

    /// True if the clock was set back since it was last found right. Also true at the first search: another process may have seen the clock
    /// ahead.
    fn was_set_back(&self, now: DateTime<Utc>) -> bool {
        let mut latest = self.latest();
        let set_back = latest.is_none_or(|latest| latest > now + SET_BACK);
        if set_back {
            *latest = Some(now);
        }
        set_back
    }

    fn latest(&self) -> MutexGuard<'_, Option<DateTime<Utc>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time until the next search that the hints ask for.
    fn until_next_search(&self) -> Duration {
        self.hints.next().map_or(LOOK_EVERY, |next| {
            let wait = (next - self.clock.now()).to_std().unwrap_or(Duration::ZERO);
            wait.clamp(MIN_PAUSE, LOOK_EVERY)
        })
    }

    fn in_flight(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.claimant.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Awaits a part of a loop without letting its panic end the loop. `None`: it panicked, and the panic hook has logged it.
pub(super) async fn survive<T>(part: impl Future<Output = T>) -> Option<T> {
    // Unwind-safe: the shared state is behind locks that recover from poisoning, or on the database's own thread.
    std::panic::AssertUnwindSafe(part).catch_unwind().await.ok()
}

/// End of a delivery.
struct Ended {
    kind: TaskKind,
    /// `None`: the verdict could not be stored, so the task is delivered again.
    verdict: Option<Verdict>,
    /// Tasks that were claimed in the commit of the verdict.
    claims: Claims,
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

    /// Delivers the task and records the verdict. With `claim_next`, also claims the next task if one waits for this one's slot.
    async fn run(self, claim_next: bool) -> Ended {
        let (queue, task): (&EmbeddedQueue, _) = (&self.queue, &self.task);
        let (kind, path) = (task.kind, task.kind.path());
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
        let claim_next = claim_next && queue.hints.is_full(kind) && !queue.stopping.load(Ordering::SeqCst);
        let (settings, attempt, noted) = (*queue.queues.get(kind), task.clone(), outcome.clone());
        let finished =
            queue.database.finish(settings, &queue.claimant, attempt, noted, claim_next, queue.now()).await;
        match finished {
            Ok((verdict, claims)) => {
                self.log(&outcome, &verdict);
                queue.note(&claims);
                if let Verdict::Retry(at) = verdict
                    && queue.hints.search_at(kind, at)
                {
                    queue.wake.notify_one();
                }
                Ended { kind, verdict: Some(verdict), claims }
            }
            Err(error) => {
                tracing::error!(
                    error = %error, queue.name = %task.kind, task.name = task.name,
                    "the queue cannot note how an attempt ended; the task will be delivered again"
                );
                Ended { kind, verdict: None, claims: Claims::default() }
            }
        }
    }

    async fn renew(&self) {
        let queue: &EmbeddedQueue = &self.queue;
        if let Err(error) = queue.database.renew(self.task.id, &queue.claimant, queue.now()).await {
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

fn log_panic(error: Option<JoinError>) {
    if let Some(error) = error {
        tracing::error!(error = %error, "a delivery broke off; its task will be delivered again");
    }
}

/// Returns a unique name.
fn random_name() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
