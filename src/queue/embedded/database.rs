//! SQLite tables of the embedded queue: tasks, blocked names, dead letters, rates, and cron's last runs.
//!
//! The tables may share a file with others: their names all begin with `queue_`, and their version is kept in one of them, not in the
//! file's `user_version`. Each change is part of a transaction that takes the write lock first, so several processes may use one file.
//!
//! A queued task is flushed to the disk before its caller is answered. Nothing else is: a claim or an end that a loss of power undoes makes
//! the queue deliver the task again, which a queue that delivers at least once may do. A process that dies loses neither.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rate::Bucket;
use super::schema::{LATEST, migrate};
use super::worker::{Access, CommitCounts, Worker};
use super::{DeadLetter, QueueDepth};
use crate::queue::queue_yaml::{QueueConfig, QueueSettings};
use crate::queue::{Enqueued, TaskKind};
use crate::sqlite::presence;

/// Time for which a name stays blocked after its task is gone: 9 days for queues made from `queue.yaml` (Cloud Tasks v2 discovery document,
/// `Task.name`).
const NAME_BLOCKED_FOR: TimeDelta = TimeDelta::days(9);
/// Tolerance below which a clock does not count as set back. Processes that share the file read the time and then wait for each other, so
/// one may write a time that is this much later than the current time of another.
pub(super) const SET_BACK: TimeDelta = TimeDelta::seconds(30);
/// Number of dead letters that are kept, the latest ones.
pub const DEAD_LETTERS_KEPT: u32 = 1_000;
/// Number of tasks that one transaction examines for names that are no longer blocked.
const PRUNED_AT_ONCE: u32 = 1_000;

/// Columns of a [`Task`].
const TASK: &str = "id, name, body, due_at, dispatches, responses, last_status, last_failure, created_at, \
     first_attempt_at";

/// Error of the queue's database. The caller fails and is retried.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite failed: a full disk, a missing directory, a file that is no database, a lock that is never released.
    #[error("the queue's database {path}: {source}")]
    Sqlite {
        /// Path of the database.
        path: PathBuf,
        /// Error of SQLite.
        source: rusqlite::Error,
    },
    /// The file was written by a later version of this program.
    #[error(
        "the queue's database {path} has tables of version {found}, and this program knows up to version {known}: \
         use the newer program, or another file"
    )]
    TooNew {
        /// Path of the database.
        path: PathBuf,
        /// Version of the tables in the file.
        found: u32,
        /// Latest version that this program knows.
        known: u32,
    },
    /// The work with the database panicked, because of a bug.
    #[error("the queue's database {path}: a bug; the log says where")]
    Panicked {
        /// Path of the database.
        path: PathBuf,
    },
    /// The thread that works with the database cannot be started.
    #[error("the queue's database {path}: its thread cannot be started: {source}")]
    Thread {
        /// Path of the database.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The program is shutting down.
    #[error("the queue's database {path}: the program is shutting down")]
    ShuttingDown {
        /// Path of the database.
        path: PathBuf,
    },
}

/// Task that this process has to deliver now.
#[derive(Debug, Clone)]
pub(super) struct ClaimedTask {
    pub(super) id: i64,
    pub(super) kind: TaskKind,
    pub(super) name: String,
    pub(super) body: String,
    pub(super) due_at: DateTime<Utc>,
    /// Number of attempts started, including this one.
    pub(super) dispatches: u32,
    /// Number of attempts that the handler has answered.
    pub(super) responses: u32,
    pub(super) last_status: Option<u16>,
    pub(super) last_failure: Option<String>,
}

/// Task to be queued.
#[derive(Debug, Clone)]
pub(super) struct NewTask {
    pub(super) kind: TaskKind,
    pub(super) name: String,
    pub(super) body: String,
    pub(super) due_at: DateTime<Utc>,
}

/// Result of a search for due tasks in one queue or in several.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Tasks to deliver now.
    pub(super) tasks: Vec<ClaimedTask>,
    /// Tasks that were given up after their last attempt was interrupted.
    pub(super) given_up: Vec<DeadLetter>,
    /// State of each queue that was searched.
    pub(super) queues: Vec<Searched>,
}

/// State of a queue after a search, if nothing is queued or finished afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Searched {
    pub(super) kind: TaskKind,
    /// Time of the next search; `None` if no task waits, or if all wait for a slot.
    pub(super) next: Option<DateTime<Utc>>,
    /// True if tasks wait for a slot: `max_concurrent_requests` are running.
    pub(super) full: bool,
}

/// Outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The handler answered 2xx.
    Done,
    /// The handler answered otherwise, or not at all.
    Failed {
        /// HTTP status; `None` without an answer.
        status: Option<u16>,
        /// Failure in words, for the dead letter and for the header of the next attempt.
        failure: String,
        /// Pause that `Retry-After` asks for.
        retry_after: Option<TimeDelta>,
    },
}

/// Decision about a task after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The task is done and removed.
    Done,
    /// The task is retried at this time.
    Retry(DateTime<Utc>),
    /// The task was given up and is a dead letter now.
    GivenUp(DeadLetter),
    /// Another process took the task over meanwhile; this attempt no longer counts.
    Superseded,
}

/// Owner of claims.
#[derive(Debug)]
pub(super) struct Claimant {
    /// Name that is unique for each process, and for each queue within it.
    pub(super) name: String,
    /// Time after which a claim that was not renewed is void.
    pub(super) lease: TimeDelta,
    /// IDs of the tasks that this process is delivering.
    pub(super) in_flight: Mutex<HashSet<i64>>,
}

impl Claimant {
    /// True if this process is delivering the task.
    fn delivers(&self, id: i64) -> bool {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

/// The tables, behind a thread that owns the connection.
#[derive(Debug)]
pub(in crate::queue) struct Database {
    worker: Worker,
}

impl Database {
    /// Opens the file, creates it if it is missing, and migrates its tables.
    pub(in crate::queue) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let sqlite = |source| DatabaseError::Sqlite { path: path.to_owned(), source };
        let mut connection = crate::sqlite::open(path).map_err(sqlite)?;
        crate::sqlite::configure(&connection).map_err(sqlite)?;
        match migrate(&mut connection).map_err(sqlite)? {
            LATEST => {}
            found => return Err(DatabaseError::TooNew { path: path.to_owned(), found, known: LATEST }),
        }
        end_claims_of_the_dead(&connection, path).map_err(sqlite)?;
        let thread = |source| DatabaseError::Thread { path: path.to_owned(), source };
        Ok(Self { worker: Worker::start(connection, path).map_err(thread)? })
    }

    /// Returns the number of commits so far.
    pub(super) fn counts(&self) -> CommitCounts {
        self.worker.counts()
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.worker.run(Access::Read, work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.worker.run(Access::Write, work).await
    }

    /// Queues a task. When this returns, the task is on disk.
    pub(super) async fn enqueue(&self, task: NewTask, now: DateTime<Utc>) -> Result<Enqueued, DatabaseError> {
        self.worker.run(Access::Durable, move |tx| enqueue(tx, &task, now)).await
    }

    /// Claims the tasks of these queues that are due and that rate and concurrency allow.
    pub(super) async fn claim(
        &self,
        queues: Vec<QueueSettings>,
        claimant: &Arc<Claimant>,
        now: DateTime<Utc>,
    ) -> Result<Claims, DatabaseError> {
        let claimant = Arc::clone(claimant);
        self.write(move |tx| {
            let mut claims = Claims::default();
            for queue in &queues {
                claim_from(tx, queue, &claimant, now, &mut claims)?;
            }
            Ok(claims)
        })
        .await
    }

    /// Returns the state of all queues without taking the write lock. A time that is not after `now` says that there is something to claim.
    pub(super) async fn search(
        &self,
        queues: &QueueConfig,
        claimant: &Arc<Claimant>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Searched>, DatabaseError> {
        let (queues, claimant) = (queues.clone(), Arc::clone(claimant));
        self.read(move |connection| {
            queues
                .iter()
                .map(|queue| {
                    let expiry = next_expiry(connection, queue.kind, &claimant, now)?;
                    let running = running(connection, queue, &claimant, now)?;
                    let found = search(connection, queue, &bucket(connection, queue, now)?, running, now)?;
                    Ok(Searched { next: earlier(expiry, found.next), ..found })
                })
                .collect()
        })
        .await
    }

    /// Ends waits that were set while the clock ran ahead (`R36`: clock skew): those of tasks, whose number it returns, and those of rates.
    /// Otherwise an hour's backoff could last ten years.
    pub(super) async fn end_waits_from_ahead(
        &self,
        queues: &QueueConfig,
        now: DateTime<Utc>,
    ) -> Result<usize, DatabaseError> {
        const AHEAD: &str = "claimed_until IS NULL AND blocked_until IS NULL AND due_set_at > ?1";
        let latest = micros(now + SET_BACK);
        let any = self
            .read(move |connection| {
                connection
                    .prepare_cached(&format!(
                        "SELECT EXISTS (SELECT 1 FROM queue_tasks INDEXED BY queue_tasks_waiting WHERE {AHEAD})
                             OR EXISTS (SELECT 1 FROM queue_rates WHERE at > ?1)"
                    ))?
                    .query_row(params![latest], |row| row.get::<_, bool>(0))
            })
            .await?;
        if !any {
            return Ok(0);
        }
        let queues = queues.clone();
        self.write(move |tx| {
            for queue in queues.iter() {
                store_bucket(tx, queue.kind, &bucket(tx, queue, now)?)?;
            }
            tx.prepare_cached(&format!(
                "UPDATE queue_tasks INDEXED BY queue_tasks_waiting
                 SET due_at = min(due_at, ?2), due_set_at = ?2 WHERE {AHEAD}"
            ))?
            .execute(params![latest, micros(now)])
        })
        .await
    }

    /// Renews the claim of a task that this process is still delivering.
    pub(super) async fn renew(
        &self,
        id: i64,
        claimant: &Arc<Claimant>,
        now: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        let claimant = Arc::clone(claimant);
        self.write(move |tx| renew(tx, id, &claimant, now)).await
    }

    /// Releases all claims of this process, so that other processes need not wait for the lease to expire.
    pub(super) async fn release_all(&self, claimant: &Arc<Claimant>) -> Result<usize, DatabaseError> {
        let claimant = Arc::clone(claimant);
        self.write(move |tx| {
            tx.prepare_cached(
                "UPDATE queue_tasks SET claimed_by = NULL, claimed_until = NULL
                 WHERE claimed_until IS NOT NULL AND claimed_by = ?1",
            )?
            .execute(params![claimant.name])
        })
        .await
    }

    /// Records the outcome of an attempt and decides about the task. With `claim_next`, also claims from the task's queue, in the same commit.
    pub(super) async fn finish(
        &self,
        queue: QueueSettings,
        claimant: &Arc<Claimant>,
        task: ClaimedTask,
        outcome: Outcome,
        claim_next: bool,
        now: DateTime<Utc>,
    ) -> Result<(Verdict, Claims), DatabaseError> {
        let claimant = Arc::clone(claimant);
        self.write(move |tx| {
            let verdict = finish(tx, &queue, &claimant, &task, &outcome, now)?;
            let mut claims = Claims::default();
            if claim_next {
                claim_from(tx, &queue, &claimant, now, &mut claims)?;
            }
            Ok((verdict, claims))
        })
        .await
    }

    /// Deletes tasks that have ended and whose names are no longer blocked, the oldest first, and returns their number. Stops at a thousand
    /// tasks in a row of which none can be deleted: those after them are younger.
    pub(super) async fn prune(&self, now: DateTime<Utc>) -> Result<usize, DatabaseError> {
        let (mut after, mut pruned) = (i64::MIN, 0);
        loop {
            let Some((last, free)) = self.read(move |db| examine(db, after, now)).await? else {
                return Ok(pruned);
            };
            if free == 0 {
                return Ok(pruned);
            }
            pruned += self.write(move |tx| prune(tx, after, last, now)).await?;
            after = last;
        }
    }

    /// Returns the latest dead letters, the latest first.
    pub(super) async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, DatabaseError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, name, body, attempts, last_status, last_failure, created_at, given_up_at
                 FROM queue_dead_letters ORDER BY id DESC LIMIT ?1",
            )?;
            let rows = statement.query_map(params![limit], |row| {
                Ok(DeadLetter {
                    kind: kind(row, 0)?,
                    name: row.get(1)?,
                    body: row.get(2)?,
                    attempts: row.get(3)?,
                    last_status: row.get(4)?,
                    last_failure: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                    created_at: time(row, 6)?,
                    given_up_at: time(row, 7)?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// Returns the depth of each queue.
    pub(super) async fn depth(&self, now: DateTime<Utc>) -> Result<Vec<QueueDepth>, DatabaseError> {
        self.read(move |connection| {
            // Two indexes hold the tasks that have not ended; the table holds many more.
            let mut statement = connection.prepare_cached(
                "SELECT count(*), count(*) FILTER (WHERE claimed_until > ?2),
                        count(*) FILTER (WHERE dispatches > 0), min(created_at)
                 FROM (SELECT claimed_until, dispatches, created_at
                       FROM queue_tasks INDEXED BY queue_tasks_waiting
                       WHERE kind = ?1 AND claimed_until IS NULL AND blocked_until IS NULL
                       UNION ALL
                       SELECT claimed_until, dispatches, created_at
                       FROM queue_tasks INDEXED BY queue_tasks_claimed
                       WHERE kind = ?1 AND claimed_until IS NOT NULL)",
            )?;
            TaskKind::ALL
                .into_iter()
                .map(|kind| {
                    statement.query_row(params![kind.name(), micros(now)], |row| {
                        Ok(QueueDepth {
                            kind,
                            tasks: row.get(0)?,
                            in_flight: row.get(1)?,
                            attempted: row.get(2)?,
                            oldest: optional_time(row, 3)?,
                        })
                    })
                })
                .collect()
        })
        .await
    }

    /// Returns the last scheduled time for which each of these cron jobs was completed, in their order.
    pub(in crate::queue) async fn cron_done_at(
        &self,
        jobs: Vec<TaskKind>,
    ) -> Result<Vec<Option<DateTime<Utc>>>, DatabaseError> {
        self.read(move |connection| {
            let mut read = connection.prepare_cached("SELECT done_at FROM queue_cron WHERE kind = ?1")?;
            let mut done_at = |job: &TaskKind| {
                let done = read.query_row(params![job.name()], |row| optional_time(row, 0)).optional()?;
                Ok(done.flatten())
            };
            jobs.iter().map(&mut done_at).collect()
        })
        .await
    }

    /// Records a scheduled time as completed and releases the claim of the job.
    pub(in crate::queue) async fn cron_done(
        &self,
        job: TaskKind,
        at: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        self.write(move |tx| {
            tx.prepare_cached(
                "INSERT INTO queue_cron (kind, done_at) VALUES (?1, ?2)
                 ON CONFLICT (kind) DO UPDATE SET done_at = ?2, claimed_until = NULL",
            )?
            .execute(params![job.name(), micros(at)])?;
            Ok(())
        })
        .await
    }

    /// Claims the run of a job. Fails if `done_at` is no longer the last completed time, or if another process has a valid claim.
    pub(in crate::queue) async fn cron_claim(
        &self,
        job: TaskKind,
        done_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        lease: TimeDelta,
    ) -> Result<bool, DatabaseError> {
        self.write(move |tx| {
            tx.prepare_cached("INSERT INTO queue_cron (kind) VALUES (?1) ON CONFLICT (kind) DO NOTHING")?
                .execute(params![job.name()])?;
            let claimed = tx
                .prepare_cached(
                    "UPDATE queue_cron SET claimed_until = ?1 WHERE kind = ?2 AND done_at IS ?3
                     AND (claimed_until IS NULL OR claimed_until <= ?4 OR claimed_until > ?1)",
                )?
                .execute(params![micros(now + lease), job.name(), done_at.map(micros), micros(now)])?;
            Ok(claimed > 0)
        })
        .await
    }
}

fn enqueue(tx: &Connection, task: &NewTask, now: DateTime<Utc>) -> rusqlite::Result<Enqueued> {
    let kind = task.kind.name();
    let due_at = task.due_at.max(now);
    let added = tx
        .prepare_cached(
            "INSERT INTO queue_tasks (kind, name, body, created_at, due_at, due_set_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?4) ON CONFLICT (kind, name) DO NOTHING",
        )?
        .execute(params![kind, task.name, task.body, micros(now), micros(due_at)])?;
    if added > 0 {
        return Ok(Enqueued::New);
    }
    // A task that has ended gives its row to the new one. The ID is a new one, so that no attempt at the old task can end the new one.
    let added = tx
        .prepare_cached(
            "UPDATE queue_tasks
             SET id = (SELECT max(id) + 1 FROM queue_tasks), body = ?3, created_at = ?4, due_at = ?5, due_set_at = ?4,
                 dispatches = 0, responses = 0, first_attempt_at = NULL, last_status = NULL, last_failure = NULL,
                 blocked_until = NULL
             WHERE kind = ?1 AND name = ?2 AND (blocked_until <= ?4 OR blocked_until > ?6)",
        )?
        .execute(params![
            kind,
            task.name,
            task.body,
            micros(now),
            micros(due_at),
            micros(blocked_at_most(now))
        ])?;
    Ok(if added == 0 { Enqueued::AlreadyExists } else { Enqueued::New })
}

/// Returns the latest possible end of a claim. A later one was set by a clock that ran ahead.
fn furthest(claimant: &Claimant, now: DateTime<Utc>) -> DateTime<Utc> {
    now + claimant.lease + claimant.lease
}

/// Returns the latest possible end of a name's block. A later one was set by a clock that ran ahead.
fn blocked_at_most(now: DateTime<Utc>) -> DateTime<Utc> {
    now + NAME_BLOCKED_FOR + SET_BACK
}

/// Ends the claims of processes that have ended: their tasks need not wait for them to expire (`R37`: nobody waits for the slowest).
fn end_claims_of_the_dead(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let claimants: Vec<String> = connection
        .prepare_cached(
            "SELECT DISTINCT claimed_by FROM queue_tasks INDEXED BY queue_tasks_claimed
             WHERE claimed_until IS NOT NULL AND claimed_by IS NOT NULL",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for claimant in claimants.iter().filter(|claimant| presence::has_ended(path, claimant)) {
        connection
            .prepare_cached(
                "UPDATE queue_tasks SET claimed_until = 0 WHERE claimed_until IS NOT NULL AND claimed_by = ?1",
            )?
            .execute(params![claimant])?;
    }
    Ok(())
}

fn renew(tx: &Connection, id: i64, claimant: &Claimant, now: DateTime<Utc>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE queue_tasks SET claimed_until = ?1 WHERE id = ?2 AND claimed_by = ?3")?
        .execute(params![micros(now + claimant.lease), id, claimant.name])?;
    Ok(())
}

fn claim_from(
    tx: &Connection,
    queue: &QueueSettings,
    claimant: &Claimant,
    now: DateTime<Utc>,
    claims: &mut Claims,
) -> rusqlite::Result<()> {
    end_expired_claims(tx, queue, claimant, now, claims)?;
    let mut bucket = bucket(tx, queue, now)?;
    let mut running = running(tx, queue, claimant, now)?;
    let allowed = bucket.available(now).min(queue.max_concurrent_requests.saturating_sub(running));
    let due: Vec<Task> = if allowed == 0 {
        Vec::new()
    } else {
        tx.prepare_cached(&format!(
            "SELECT {TASK} FROM queue_tasks INDEXED BY queue_tasks_waiting
             WHERE kind = ?1 AND due_at <= ?2 AND claimed_until IS NULL AND blocked_until IS NULL
             ORDER BY due_at, id LIMIT ?3"
        ))?
        .query_map(params![queue.kind.name(), micros(now), allowed], |row| Task::read(row, queue.kind))?
        .collect::<rusqlite::Result<_>>()?
    };
    if !due.is_empty() {
        let taken = u32::try_from(due.len()).unwrap_or(u32::MAX);
        bucket.take(taken);
        store_bucket(tx, queue.kind, &bucket)?;
        running = running.saturating_add(taken);
    }
    for Task { claimed: mut task, .. } in due {
        tx.prepare_cached(
            // A first attempt in the future was recorded by a clock that ran ahead; the task's age then counts from now.
            "UPDATE queue_tasks SET claimed_by = ?1, claimed_until = ?2, dispatches = dispatches + 1,
                                    first_attempt_at = min(coalesce(first_attempt_at, ?3), ?3) WHERE id = ?4",
        )?
        .execute(params![claimant.name, micros(now + claimant.lease), micros(now), task.id])?;
        task.dispatches += 1;
        claims.tasks.push(task);
    }
    claims.queues.push(search(tx, queue, &bucket, running, now)?);
    Ok(())
}

/// Ends the claims that have expired, but for those of deliveries that are still under way here: the machine may have slept.
fn end_expired_claims(
    tx: &Connection,
    queue: &QueueSettings,
    claimant: &Claimant,
    now: DateTime<Utc>,
    claims: &mut Claims,
) -> rusqlite::Result<()> {
    let expired: Vec<i64> = tx
        .prepare_cached(
            "SELECT id FROM queue_tasks INDEXED BY queue_tasks_claimed
             WHERE kind = ?1 AND claimed_until IS NOT NULL AND (claimed_until <= ?2 OR claimed_until > ?3)",
        )?
        .query_map(params![queue.kind.name(), micros(now), micros(furthest(claimant, now))], |row| {
            row.get(0)
        })?
        .collect::<rusqlite::Result<_>>()?;
    for id in expired {
        if claimant.delivers(id) {
            renew(tx, id, claimant, now)?;
            continue;
        }
        // The process died, or was delayed for longer than the lease: the attempt got no answer.
        tx.prepare_cached(
            "UPDATE queue_tasks SET claimed_by = NULL, claimed_until = NULL, last_status = NULL,
                                    last_failure = 'the attempt was interrupted', due_at = min(due_at, ?2)
             WHERE id = ?1",
        )?
        .execute(params![id, micros(now)])?;
        let task = load(tx, queue.kind, id)?;
        if !has_retries_left(queue, &task, now) {
            claims.given_up.push(give_up(tx, task, now)?);
        }
    }
    Ok(())
}

/// Returns the number of the queue's tasks that are being delivered, in all processes.
fn running(
    connection: &Connection,
    queue: &QueueSettings,
    claimant: &Claimant,
    now: DateTime<Utc>,
) -> rusqlite::Result<u32> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM queue_tasks INDEXED BY queue_tasks_claimed
             WHERE kind = ?1 AND claimed_until > ?2 AND claimed_until <= ?3",
        )?
        .query_row(params![queue.kind.name(), micros(now), micros(furthest(claimant, now))], |row| row.get(0))
}

/// Returns the time at which the first claim expires that no delivery of this process holds; `now` if one has expired, or was made by a
/// clock that ran ahead. Then its task becomes due and a slot becomes free.
fn next_expiry(
    connection: &Connection,
    kind: TaskKind,
    claimant: &Claimant,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, claimed_until, claimed_by = ?2 FROM queue_tasks INDEXED BY queue_tasks_claimed
         WHERE kind = ?1 AND claimed_until IS NOT NULL",
    )?;
    let mut rows = statement.query(params![kind.name(), claimant.name])?;
    let mut first = None;
    while let Some(row) = rows.next()? {
        let until = time(row, 1)?;
        let is_over = until <= now || until > furthest(claimant, now);
        let is_own: bool = row.get(2)?;
        // An own claim ends with its delivery, before it expires, unless the delivery panicked.
        if !is_own || (is_over && !claimant.delivers(row.get(0)?)) {
            first = earlier(first, Some(if is_over { now } else { until }));
        }
    }
    Ok(first)
}

/// Returns the state of a queue with this many running deliveries. It leaves out the claims of other processes that will expire.
fn search(
    connection: &Connection,
    queue: &QueueSettings,
    bucket: &Bucket,
    running: u32,
    now: DateTime<Utc>,
) -> rusqlite::Result<Searched> {
    let kind = queue.kind;
    let due = connection
        .prepare_cached(
            "SELECT min(due_at) FROM queue_tasks INDEXED BY queue_tasks_waiting
             WHERE kind = ?1 AND claimed_until IS NULL AND blocked_until IS NULL",
        )?
        .query_row(params![kind.name()], |row| optional_time(row, 0))?;
    let full = due.is_some() && running >= queue.max_concurrent_requests;
    let next = due.filter(|_| !full).map(|due| bucket.ready_at(queue, now).max(due));
    Ok(Searched { kind, next, full })
}

fn finish(
    tx: &Connection,
    queue: &QueueSettings,
    claimant: &Claimant,
    task: &ClaimedTask,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> rusqlite::Result<Verdict> {
    let Outcome::Failed { status, failure, retry_after } = outcome else {
        // A success counts even if another process holds the task now: the work is done.
        end(tx, task.id, now)?;
        return Ok(Verdict::Done);
    };
    if matches!(status, Some(429 | 503)) {
        let mut bucket = bucket(tx, queue, now)?;
        bucket.throttle(now, *retry_after);
        store_bucket(tx, queue.kind, &bucket)?;
    }
    // A 503 is the platform's answer, not the handler's, so it does not count as an execution (Cloud Tasks, "Create App Engine
    // task handlers": X-AppEngine-TaskExecutionCount).
    let responses = u32::from(status.is_some_and(|status| status != 503));
    let held = tx
        .prepare_cached(
            "UPDATE queue_tasks
             SET responses = responses + ?1, last_status = ?2, last_failure = ?3,
                 claimed_by = NULL, claimed_until = NULL
             WHERE id = ?4 AND claimed_by = ?5 AND dispatches = ?6",
        )?
        .execute(params![responses, status, failure, task.id, claimant.name, task.dispatches])?;
    if held == 0 {
        return Ok(Verdict::Superseded);
    }
    let task = load(tx, task.kind, task.id)?;
    if !has_retries_left(queue, &task, now) {
        return give_up(tx, task, now).map(Verdict::GivenUp);
    }
    let due_at = now + queue.retry.backoff(task.claimed.dispatches);
    tx.prepare_cached("UPDATE queue_tasks SET due_at = ?1, due_set_at = ?2 WHERE id = ?3")?
        .execute(params![micros(due_at), micros(now), task.claimed.id])?;
    Ok(Verdict::Retry(due_at))
}

/// Task with the times that its policy needs.
struct Task {
    claimed: ClaimedTask,
    created_at: DateTime<Utc>,
    first_attempt_at: Option<DateTime<Utc>>,
}

impl Task {
    /// Reads a row of [`TASK`].
    fn read(row: &Row<'_>, kind: TaskKind) -> rusqlite::Result<Self> {
        Ok(Self {
            claimed: ClaimedTask {
                id: row.get(0)?,
                kind,
                name: row.get(1)?,
                body: row.get(2)?,
                due_at: time(row, 3)?,
                dispatches: row.get(4)?,
                responses: row.get(5)?,
                last_status: row.get(6)?,
                last_failure: row.get(7)?,
            },
            created_at: time(row, 8)?,
            first_attempt_at: optional_time(row, 9)?,
        })
    }
}

fn load(tx: &Connection, kind: TaskKind, id: i64) -> rusqlite::Result<Task> {
    tx.prepare_cached(&format!("SELECT {TASK} FROM queue_tasks WHERE id = ?1"))?
        .query_row(params![id], |row| Task::read(row, kind))
}

/// True if the limits of count and age leave a retry; both must be exceeded to end (`R2`). The backoff plays no part.
fn has_retries_left(queue: &QueueSettings, task: &Task, now: DateTime<Utc>) -> bool {
    let age = now - task.first_attempt_at.unwrap_or(now);
    // After attempt number n, the next one is retry number n.
    queue.retry.may_retry(task.claimed.dispatches, age)
}

fn give_up(tx: &Connection, task: Task, now: DateTime<Utc>) -> rusqlite::Result<DeadLetter> {
    let Task { claimed: task, created_at, .. } = task;
    let letter = DeadLetter {
        kind: task.kind,
        name: task.name,
        body: task.body,
        attempts: task.dispatches,
        last_status: task.last_status,
        last_failure: task.last_failure.unwrap_or_default(),
        created_at,
        given_up_at: now,
    };
    tx.prepare_cached(
        "INSERT INTO queue_dead_letters
             (kind, name, body, attempts, last_status, last_failure, created_at, given_up_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        letter.kind.name(),
        letter.name,
        letter.body,
        letter.attempts,
        letter.last_status,
        letter.last_failure,
        micros(letter.created_at),
        micros(now),
    ])?;
    tx.prepare_cached(
        "DELETE FROM queue_dead_letters WHERE id <= (SELECT max(id) FROM queue_dead_letters) - ?1",
    )?
    .execute(params![DEAD_LETTERS_KEPT])?;
    end(tx, task.id, now)?;
    Ok(letter)
}

/// Ends a task: it is no longer delivered, and its name stays blocked.
fn end(tx: &Connection, id: i64, now: DateTime<Utc>) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE queue_tasks SET blocked_until = ?2, body = '', last_failure = NULL, claimed_by = NULL, claimed_until = NULL
         WHERE id = ?1",
    )?
    .execute(params![id, micros(now + NAME_BLOCKED_FOR)])?;
    Ok(())
}

/// Examines the next tasks after an ID for names that are no longer blocked. Returns the last ID and the number of such names.
fn examine(connection: &Connection, after: i64, now: DateTime<Utc>) -> rusqlite::Result<Option<(i64, u32)>> {
    connection
        .prepare_cached(
            "SELECT max(id), count(*) FILTER (WHERE blocked_until <= ?3 OR blocked_until > ?4)
             FROM (SELECT id, blocked_until FROM queue_tasks WHERE id > ?1 ORDER BY id LIMIT ?2)",
        )?
        .query_row(params![after, PRUNED_AT_ONCE, micros(now), micros(blocked_at_most(now))], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))
        })
}

fn prune(tx: &Connection, after: i64, last: i64, now: DateTime<Utc>) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM queue_tasks
         WHERE id > ?1 AND id <= ?2 AND (blocked_until <= ?3 OR blocked_until > ?4)",
    )?
    .execute(params![after, last, micros(now), micros(blocked_at_most(now))])
}

/// Returns the queue's bucket, refilled up to now.
fn bucket(connection: &Connection, queue: &QueueSettings, now: DateTime<Utc>) -> rusqlite::Result<Bucket> {
    let stored = connection
        .prepare_cached(
            "SELECT tokens, at, halvings, slow_until, paused_until FROM queue_rates WHERE kind = ?1",
        )?
        .query_row(params![queue.kind.name()], |row| {
            Ok(Bucket {
                tokens: row.get(0)?,
                at: time(row, 1)?,
                halvings: row.get(2)?,
                slow_until: time(row, 3)?,
                paused_until: time(row, 4)?,
            })
        })
        .optional()?;
    let mut bucket = stored.unwrap_or_else(|| Bucket::full(queue, now));
    bucket.refill(queue, now);
    Ok(bucket)
}

fn store_bucket(tx: &Connection, kind: TaskKind, bucket: &Bucket) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO queue_rates (kind, tokens, at, halvings, slow_until, paused_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (kind) DO UPDATE SET tokens = excluded.tokens, at = excluded.at, halvings = excluded.halvings,
             slow_until = excluded.slow_until, paused_until = excluded.paused_until",
    )?
    .execute(params![
        kind.name(),
        bucket.tokens,
        micros(bucket.at),
        bucket.halvings,
        micros(bucket.slow_until),
        micros(bucket.paused_until),
    ])?;
    Ok(())
}

fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<DateTime<Utc>> {
    let micros: i64 = row.get(column)?;
    DateTime::from_timestamp_micros(micros).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, micros))
}

fn optional_time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => time(row, column).map(Some),
    }
}

fn kind(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<TaskKind> {
    let name: String = row.get(column)?;
    TaskKind::from_name(&name).ok_or_else(|| {
        let reason = format!("there is no task '{name}'");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, reason.into())
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn claimant() -> Arc<Claimant> {
        let (name, lease) = ("test".to_owned(), TimeDelta::seconds(30));
        Arc::new(Claimant { name, lease, in_flight: Mutex::default() })
    }

    fn new_task(number: i64) -> NewTask {
        let (name, body) = (number.to_string(), "{}".to_owned());
        NewTask { kind: TaskKind::SyncGoogleCase, name, body, due_at: start() }
    }

    /// Queues, claims and ends tasks, some of them with a failure, at different times.
    async fn work(database: &Database, tasks: i64) {
        let queues = QueueConfig::load(None).unwrap();
        let (settings, claimant) = (*queues.get(TaskKind::SyncGoogleCase), claimant());
        for number in 0..tasks {
            let now = start() + TimeDelta::seconds(number);
            database.enqueue(new_task(number), now).await.unwrap();
            database.search(&queues, &claimant, now).await.unwrap();
            let claims = database.claim(vec![settings], &claimant, now).await.unwrap();
            for task in claims.tasks {
                let outcome = if number % 3 == 0 && task.dispatches == 1 {
                    Outcome::Failed { status: Some(503), failure: number.to_string(), retry_after: None }
                } else {
                    Outcome::Done
                };
                database.finish(settings, &claimant, task, outcome, true, now).await.unwrap();
            }
        }
    }

    /// Statements of a task's way, as the functions above have them.
    fn statements() -> Vec<String> {
        let source = include_str!("database.rs");
        let product = source.split("#[cfg(test)]").next().unwrap();
        // Between quotation marks. No text of a statement holds one, and no other text begins like a statement.
        let texts = product
            .split('"')
            .skip(1)
            .step_by(2)
            .map(|text| text.replace("{TASK}", TASK).replace("\\n", "\n"));
        let is_statement = |text: &String| {
            ["SELECT ", "INSERT ", "UPDATE ", "DELETE "].iter().any(|verb| text.starts_with(verb))
        };
        texts.filter(is_statement).filter(|text| !text.contains("{AHEAD}")).collect()
    }

    #[tokio::test]
    async fn a_statement_is_planned_once_whatever_values_it_gets() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("queue.db")).unwrap();
        work(&database, 30).await;
        let runs = database
            .read(|connection| {
                statements()
                    .iter()
                    .map(|sql| {
                        let statement = connection.prepare_cached(sql)?;
                        let status = |status| statement.get_status(status);
                        assert_eq!(status(StatementStatus::RePrepare), 0, "{sql}");
                        Ok(status(StatementStatus::Run))
                    })
                    .collect::<rusqlite::Result<Vec<i32>>>()
            })
            .await
            .unwrap();
        // A statement that has run was in the cache: it was not prepared for this test.
        assert!(runs.iter().filter(|runs| **runs >= 10).count() >= 10, "{runs:?}");
    }

    #[tokio::test]
    async fn names_are_deleted_when_they_are_free_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("queue.db")).unwrap();
        work(&database, 30).await;
        let count =
            || database.read(|db| db.query_row("SELECT count(*) FROM queue_tasks", [], |row| row.get(0)));
        let before: i64 = count().await.unwrap();
        assert_eq!(before, 30, "a task that has ended keeps its row");
        let depth = database.depth(start()).await.unwrap();
        let waiting = i64::from(depth[2].tasks);
        assert!((1..25).contains(&waiting), "{depth:?}");
        let now = start() + NAME_BLOCKED_FOR + TimeDelta::seconds(5);
        let first = database.prune(now).await.unwrap();
        assert!((1..30).contains(&first), "{first}");
        assert_eq!(database.prune(now).await.unwrap(), 0);
        database.prune(now + TimeDelta::days(1)).await.unwrap();
        assert_eq!(count().await.unwrap(), waiting);
    }

    #[tokio::test]
    async fn a_request_that_fails_or_panics_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("queue.db")).unwrap();
        let lock = Connection::open(folder.path().join("queue.db")).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (first, failed, panicked, last, ()) = tokio::join!(
            database.enqueue(new_task(1), start()),
            database.write(|tx| tx.execute("INSERT INTO nowhere VALUES (1)", [])),
            database.write::<()>(|_| panic!("as the test wants it to")),
            database.enqueue(new_task(2), start()),
            async { lock.execute_batch("COMMIT").unwrap() },
        );
        assert_eq!((first.unwrap(), last.unwrap()), (Enqueued::New, Enqueued::New));
        assert!(matches!(failed, Err(DatabaseError::Sqlite { .. })), "{failed:?}");
        assert!(matches!(panicked, Err(DatabaseError::Panicked { .. })), "{panicked:?}");
        assert_eq!(database.depth(start()).await.unwrap()[2].tasks, 2);
    }
}
