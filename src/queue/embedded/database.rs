//! SQLite tables of the embedded queue: tasks, blocked names, dead letters, rates, and cron's last runs.
//!
//! The tables may share a file with others: their names all begin with `queue_`, and their version is kept in one of them, not in the
//! file's `user_version`. Each change is one transaction that takes the write lock first, so several processes may use one file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::rate::Bucket;
use super::{DeadLetter, QueueDepth};
use crate::queue::TaskKind;
use crate::queue::queue_yaml::{QueueConfig, QueueSettings};
use crate::queue::{Enqueued, QueuedTask};

/// Time for which a name stays blocked after its task is gone: 9 days for queues made from `queue.yaml` (Cloud Tasks v2 discovery document,
/// `Task.name`).
const NAME_BLOCKED_FOR: TimeDelta = TimeDelta::days(9);
/// Tolerance below which a clock does not count as set back. Processes that share the file read the time and then wait for each other, so
/// one may write a time that is this much later than the current time of another.
pub(super) const SET_BACK: TimeDelta = TimeDelta::seconds(30);
/// Number of dead letters that are kept, the latest ones.
const DEAD_LETTERS_KEPT: u32 = 1_000;

/// Latest version of the tables.
const LATEST: u32 = 2;
/// Migrations of the tables: number `n` of this list leads from version `n` to `n + 1`.
const MIGRATIONS: [&str; LATEST as usize] = [
    "
    -- Times are microseconds since the Unix epoch.
    CREATE TABLE queue_tasks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        -- attempts begun, and those that the handler has answered
        dispatches INTEGER NOT NULL DEFAULT 0,
        responses INTEGER NOT NULL DEFAULT 0,
        first_attempt_at INTEGER,
        last_status INTEGER,
        last_failure TEXT,
        -- who is delivering it, and until when nobody else may
        claimed_by TEXT,
        claimed_until INTEGER,
        UNIQUE (kind, name)
    ) STRICT;
    CREATE INDEX queue_tasks_due ON queue_tasks (kind, due_at, id);
    CREATE INDEX queue_tasks_any_due ON queue_tasks (due_at);
    CREATE INDEX queue_tasks_claimed ON queue_tasks (kind, claimed_until) WHERE claimed_until IS NOT NULL;

    CREATE TABLE queue_used_names (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX queue_used_names_until ON queue_used_names (until);

    CREATE TABLE queue_dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        last_status INTEGER,
        last_failure TEXT,
        created_at INTEGER NOT NULL,
        given_up_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE queue_rates (
        kind TEXT PRIMARY KEY,
        tokens REAL NOT NULL,
        at INTEGER NOT NULL,
        halvings INTEGER NOT NULL,
        slow_until INTEGER NOT NULL,
        paused_until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE queue_cron (
        kind TEXT PRIMARY KEY,
        -- the scheduled time that was last done with, and who is busy with a later one
        done_at INTEGER,
        claimed_until INTEGER
    ) STRICT, WITHOUT ROWID;
",
    "
    -- When due_at was set: a time that lies ahead was set by a clock that ran ahead, and so was due_at. Of a retry that waits
    -- already only due_at is known; no queue.yaml of that version has a longer backoff than an hour.
    ALTER TABLE queue_tasks ADD COLUMN due_set_at INTEGER NOT NULL DEFAULT 0;
    UPDATE queue_tasks
        SET due_set_at = CASE WHEN dispatches = 0 THEN created_at ELSE max(created_at, due_at - 3600000000) END;
    CREATE INDEX queue_tasks_due_set ON queue_tasks (due_set_at);
",
];

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

/// Result of a search for due tasks.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Tasks to deliver now.
    pub(super) tasks: Vec<ClaimedTask>,
    /// Tasks that were given up after their last attempt was interrupted.
    pub(super) given_up: Vec<DeadLetter>,
    /// Time of the next search, unless a task is queued or finished before.
    pub(super) next: Option<DateTime<Utc>>,
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

/// Owner of claims, and their lease.
#[derive(Debug, Clone)]
pub(super) struct Claimant {
    /// Name that is unique for each process, and for each queue within it.
    pub(super) name: String,
    /// Time after which a claim that was not renewed is void.
    pub(super) lease: TimeDelta,
}

/// One connection, used by one caller at a time.
#[derive(Debug)]
pub(in crate::queue) struct Database {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Database {
    /// Opens the file, creates it if it is missing, and migrates its tables.
    pub(in crate::queue) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let sqlite = |source| DatabaseError::Sqlite { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(sqlite)?;
        // `enqueue` promises that its task is durable.
        crate::sqlite::configure(&connection).map_err(sqlite)?;
        match migrate(&mut connection).map_err(sqlite)? {
            LATEST => Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) }),
            found => Err(DatabaseError::TooNew { path: path.to_owned(), found, known: LATEST }),
        }
    }

    /// Returns the path of the file.
    pub(in crate::queue) fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements rolled its transaction back, so the connection can still be used.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, DatabaseError> {
        work(&self.lock()).map_err(|source| DatabaseError::Sqlite { path: self.path.clone(), source })
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        let mut connection = self.lock();
        let result = (|| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        result.map_err(|source| DatabaseError::Sqlite { path: self.path.clone(), source })
    }

    /// Queues a task. When this returns, the task is on disk.
    pub(super) fn enqueue(
        &self,
        task: &QueuedTask,
        name: &str,
        body: &str,
        now: DateTime<Utc>,
    ) -> Result<Enqueued, DatabaseError> {
        let kind = task.kind.name();
        let due_at = task.not_before.map_or(now, |time| time.max(now));
        self.write(|tx| {
            let blocked: bool = tx
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM queue_used_names
                                    WHERE kind = ?1 AND name = ?2 AND until > ?3 AND until <= ?4)",
                )?
                .query_row(params![kind, name, micros(now), micros(blocked_at_most(now))], |row| {
                    row.get(0)
                })?;
            if blocked {
                return Ok(Enqueued::AlreadyExists);
            }
            let added = tx
                .prepare_cached(
                    "INSERT INTO queue_tasks (kind, name, body, created_at, due_at, due_set_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?4) ON CONFLICT (kind, name) DO NOTHING",
                )?
                .execute(params![kind, name, body, micros(now), micros(due_at)])?;
            Ok(if added == 0 { Enqueued::AlreadyExists } else { Enqueued::New })
        })
    }

    /// Claims the tasks that are due and that rate and concurrency allow.
    ///
    /// `mine` are the tasks that this process is already delivering; their claims are renewed.
    pub(super) fn claim(
        &self,
        queues: &QueueConfig,
        claimant: &Claimant,
        mine: &HashSet<i64>,
        now: DateTime<Utc>,
    ) -> Result<Claims, DatabaseError> {
        // Most searches find nothing, so a read comes first: it does not block writers.
        let (any_due, any_ahead): (bool, bool) = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM queue_tasks WHERE due_at <= ?1
                                    AND (claimed_until IS NULL OR claimed_until <= ?1 OR claimed_until > ?2)),
                            EXISTS (SELECT 1 FROM queue_tasks WHERE due_set_at > ?3)",
                )?
                .query_row(
                    params![micros(now), micros(furthest(claimant, now)), micros(now + SET_BACK)],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
        })?;
        if !any_due && !any_ahead {
            let next = self.read(|connection| {
                let mut next = None;
                for queue in queues.iter() {
                    next = earlier(next, next_in(connection, queue, claimant, now)?);
                }
                Ok(next)
            })?;
            return Ok(Claims { next, ..Claims::default() });
        }
        self.write(|tx| {
            let mut claims = Claims::default();
            if any_ahead {
                let ended = end_waits_from_ahead(tx, now)?;
                tracing::warn!(
                    tasks = ended,
                    "the clock was set back: what waits for times that a clock ahead has set is due now"
                );
            }
            for id in mine {
                renew(tx, *id, claimant, now)?;
            }
            for queue in queues.iter() {
                claim_from(tx, queue, claimant, mine, now, &mut claims)?;
                claims.next = earlier(claims.next, next_in(tx, queue, claimant, now)?);
            }
            Ok(claims)
        })
    }

    /// Renews the claim of a task that this process is still delivering.
    pub(super) fn renew(
        &self,
        id: i64,
        claimant: &Claimant,
        now: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        self.write(|tx| renew(tx, id, claimant, now))
    }

    /// Releases all claims of this process, so that other processes need not wait for the lease to expire.
    pub(super) fn release_all(&self, claimant: &Claimant) -> Result<usize, DatabaseError> {
        self.write(|tx| {
            tx.execute(
                "UPDATE queue_tasks SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = ?1",
                params![claimant.name],
            )
        })
    }

    /// Records the outcome of an attempt and decides about the task.
    pub(super) fn finish(
        &self,
        queue: &QueueSettings,
        claimant: &Claimant,
        task: &ClaimedTask,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<Verdict, DatabaseError> {
        self.write(|tx| match outcome {
            // A success counts even if another process holds the task now: the work is done.
            Outcome::Done => {
                remove(tx, task.id, task.kind, &task.name, now)?;
                Ok(Verdict::Done)
            }
            Outcome::Failed { status, failure, retry_after } => {
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
                retry_or_give_up(tx, queue, task.id, now)
            }
        })
    }

    /// Deletes names that are no longer blocked.
    pub(super) fn prune(&self, now: DateTime<Utc>) -> Result<(), DatabaseError> {
        self.write(|tx| {
            tx.execute(
                "DELETE FROM queue_used_names WHERE until <= ?1 OR until > ?2",
                params![micros(now), micros(blocked_at_most(now))],
            )?;
            Ok(())
        })
    }

    /// Returns the latest dead letters, the latest first.
    pub(super) fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, DatabaseError> {
        self.read(|connection| {
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
    }

    /// Returns the depth of each queue.
    pub(super) fn depth(&self, now: DateTime<Utc>) -> Result<Vec<QueueDepth>, DatabaseError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*), count(*) FILTER (WHERE claimed_until > ?2),
                        count(*) FILTER (WHERE dispatches > 0), min(created_at)
                 FROM queue_tasks WHERE kind = ?1",
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
    }

    /// Returns the last scheduled time for which a cron job was completed.
    pub(in crate::queue) fn cron_done_at(
        &self,
        job: TaskKind,
    ) -> Result<Option<DateTime<Utc>>, DatabaseError> {
        self.read(|connection| {
            let done = connection
                .prepare_cached("SELECT done_at FROM queue_cron WHERE kind = ?1")?
                .query_row(params![job.name()], |row| optional_time(row, 0))
                .optional()?;
            Ok(done.flatten())
        })
    }

    /// Records a scheduled time as completed and releases the claim of the job.
    pub(in crate::queue) fn cron_done(&self, job: TaskKind, at: DateTime<Utc>) -> Result<(), DatabaseError> {
        self.write(|tx| {
            tx.prepare_cached(
                "INSERT INTO queue_cron (kind, done_at) VALUES (?1, ?2)
                 ON CONFLICT (kind) DO UPDATE SET done_at = ?2, claimed_until = NULL",
            )?
            .execute(params![job.name(), micros(at)])?;
            Ok(())
        })
    }

    /// Claims the run of a job. Fails if `done_at` is no longer the last completed time, or if another process has a valid claim.
    pub(in crate::queue) fn cron_claim(
        &self,
        job: TaskKind,
        done_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        lease: TimeDelta,
    ) -> Result<bool, DatabaseError> {
        self.write(|tx| {
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
    }
}

/// Migrates the tables and returns their version.
fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch("CREATE TABLE IF NOT EXISTS queue_version (version INTEGER NOT NULL) STRICT")?;
    let version: Option<u32> =
        tx.query_row("SELECT max(version) FROM queue_version", [], |row| row.get(0))?;
    let version = version.unwrap_or(0);
    let mut reached = version;
    for (from, migration) in (0_u32..).zip(MIGRATIONS).skip_while(|(from, _)| *from < version) {
        tx.execute_batch(migration)?;
        reached = from + 1;
    }
    if reached > version {
        tx.execute("DELETE FROM queue_version", [])?;
        tx.execute("INSERT INTO queue_version (version) VALUES (?1)", params![reached])?;
    }
    tx.commit()?;
    Ok(reached)
}

/// Returns the latest possible end of a claim. A later one was set by a clock that ran ahead.
fn furthest(claimant: &Claimant, now: DateTime<Utc>) -> DateTime<Utc> {
    now + claimant.lease + claimant.lease
}

/// Returns the latest possible end of a name's block. A later one was set by a clock that ran ahead.
fn blocked_at_most(now: DateTime<Utc>) -> DateTime<Utc> {
    now + NAME_BLOCKED_FOR + SET_BACK
}

/// Makes tasks due whose wait was set while the clock ran ahead (`R36`: clock skew). Otherwise an hour's backoff could last ten years.
fn end_waits_from_ahead(tx: &Transaction<'_>, now: DateTime<Utc>) -> rusqlite::Result<usize> {
    tx.execute(
        "UPDATE queue_tasks SET due_at = min(due_at, ?1), due_set_at = ?1 WHERE due_set_at > ?2",
        params![micros(now), micros(now + SET_BACK)],
    )
}

fn renew(tx: &Transaction<'_>, id: i64, claimant: &Claimant, now: DateTime<Utc>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE queue_tasks SET claimed_until = ?1 WHERE id = ?2 AND claimed_by = ?3")?
        .execute(params![micros(now + claimant.lease), id, claimant.name])?;
    Ok(())
}

fn claim_from(
    tx: &Transaction<'_>,
    queue: &QueueSettings,
    claimant: &Claimant,
    mine: &HashSet<i64>,
    now: DateTime<Utc>,
    claims: &mut Claims,
) -> rusqlite::Result<()> {
    let mut bucket = bucket(tx, queue, now)?;
    let allowed = bucket
        .available(now)
        .min(queue.max_concurrent_requests.saturating_sub(running(tx, queue, claimant, now)?));
    if allowed == 0 {
        return Ok(());
    }
    let due: Vec<(i64, bool)> = tx
        .prepare_cached(
            "SELECT id, claimed_until IS NOT NULL FROM queue_tasks
             WHERE kind = ?1 AND due_at <= ?2
             AND (claimed_until IS NULL OR claimed_until <= ?2 OR claimed_until > ?3)
             ORDER BY due_at, id LIMIT ?4",
        )?
        .query_map(
            params![queue.kind.name(), micros(now), micros(furthest(claimant, now)), allowed],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let mut taken = 0;
    for (id, abandoned) in due.into_iter().filter(|(id, _)| !mine.contains(id)) {
        if abandoned {
            // The process died, or was delayed for longer than the lease: the attempt got no answer.
            tx.prepare_cached(
                "UPDATE queue_tasks SET claimed_by = NULL, claimed_until = NULL, last_status = NULL,
                                        last_failure = 'the attempt was interrupted' WHERE id = ?1",
            )?
            .execute(params![id])?;
            let task = load(tx, id)?;
            if !has_retries_left(queue, &task, now) {
                claims.given_up.push(give_up(tx, id, now)?);
                continue;
            }
        }
        tx.prepare_cached(
            // A first attempt in the future was recorded by a clock that ran ahead; the task's age then counts from now.
            "UPDATE queue_tasks SET claimed_by = ?1, claimed_until = ?2, dispatches = dispatches + 1,
                                    first_attempt_at = min(coalesce(first_attempt_at, ?3), ?3) WHERE id = ?4",
        )?
        .execute(params![claimant.name, micros(now + claimant.lease), micros(now), id])?;
        claims.tasks.push(load(tx, id)?.claimed);
        taken += 1;
    }
    bucket.take(taken);
    store_bucket(tx, queue.kind, &bucket)
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
            "SELECT count(*) FROM queue_tasks WHERE kind = ?1 AND claimed_until > ?2 AND claimed_until <= ?3",
        )?
        .query_row(params![queue.kind.name(), micros(now), micros(furthest(claimant, now))], |row| row.get(0))
}

/// Returns the next time, later than now, at which the queue may have a task to deliver if nothing changes before.
fn next_in(
    connection: &Connection,
    queue: &QueueSettings,
    claimant: &Claimant,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let furthest_micros = micros(furthest(claimant, now));
    // When another process's claim expires, its task becomes due and a slot becomes free. Claims of this process end before they expire.
    let claim_ends = connection
        .prepare_cached(
            "SELECT min(claimed_until) FROM queue_tasks
             WHERE kind = ?1 AND claimed_until > ?2 AND claimed_until <= ?3 AND claimed_by IS NOT ?4",
        )?
        .query_row(params![queue.kind.name(), micros(now), furthest_micros, claimant.name], |row| {
            optional_time(row, 0)
        })?;
    if running(connection, queue, claimant, now)? >= queue.max_concurrent_requests {
        return Ok(claim_ends);
    }
    let due = connection
        .prepare_cached(
            "SELECT min(due_at) FROM queue_tasks
             WHERE kind = ?1 AND (claimed_until IS NULL OR claimed_until <= ?2 OR claimed_until > ?3)",
        )?
        .query_row(params![queue.kind.name(), micros(now), furthest_micros], |row| optional_time(row, 0))?;
    let ready = match due {
        None => None,
        Some(due) => Some(bucket(connection, queue, now)?.ready_at(queue, now).max(due)),
    };
    Ok(earlier(claim_ends, ready))
}

/// Task with the times that its policy needs.
struct Loaded {
    claimed: ClaimedTask,
    created_at: DateTime<Utc>,
    first_attempt_at: Option<DateTime<Utc>>,
}

fn load(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Loaded> {
    tx.prepare_cached(
        "SELECT kind, name, body, due_at, dispatches, responses, last_status, last_failure, created_at,
                first_attempt_at
         FROM queue_tasks WHERE id = ?1",
    )?
    .query_row(params![id], |row| {
        Ok(Loaded {
            claimed: ClaimedTask {
                id,
                kind: kind(row, 0)?,
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
    })
}

/// True if the limits of count and age leave a retry; both must be exceeded to end (`R2`). The backoff plays no part.
fn has_retries_left(queue: &QueueSettings, task: &Loaded, now: DateTime<Utc>) -> bool {
    let age = now - task.first_attempt_at.unwrap_or(now);
    // After attempt number n, the next one is retry number n.
    queue.retry.may_retry(task.claimed.dispatches, age)
}

fn retry_or_give_up(
    tx: &Transaction<'_>,
    queue: &QueueSettings,
    id: i64,
    now: DateTime<Utc>,
) -> rusqlite::Result<Verdict> {
    let task = load(tx, id)?;
    if !has_retries_left(queue, &task, now) {
        return give_up(tx, id, now).map(Verdict::GivenUp);
    }
    let due_at = now + queue.retry.backoff(task.claimed.dispatches);
    tx.prepare_cached("UPDATE queue_tasks SET due_at = ?1, due_set_at = ?2 WHERE id = ?3")?
        .execute(params![micros(due_at), micros(now), id])?;
    Ok(Verdict::Retry(due_at))
}

fn give_up(tx: &Transaction<'_>, id: i64, now: DateTime<Utc>) -> rusqlite::Result<DeadLetter> {
    let Loaded { claimed: task, created_at, .. } = load(tx, id)?;
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
    remove(tx, id, letter.kind, &letter.name, now)?;
    Ok(letter)
}

/// Removes a task; its name stays blocked.
fn remove(
    tx: &Transaction<'_>,
    id: i64,
    kind: TaskKind,
    name: &str,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM queue_tasks WHERE id = ?1")?.execute(params![id])?;
    tx.prepare_cached(
        "INSERT INTO queue_used_names (kind, name, until) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind, name) DO UPDATE SET until = excluded.until",
    )?
    .execute(params![kind.name(), name, micros(now + NAME_BLOCKED_FOR)])?;
    Ok(())
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

fn store_bucket(tx: &Transaction<'_>, kind: TaskKind, bucket: &Bucket) -> rusqlite::Result<()> {
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
