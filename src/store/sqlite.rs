//! Embedded store: one SQLite file, which several processes may open.
//!
//! One thread owns the connection and does all work, so no caller blocks the runtime. Operations that arrive while a commit is being
//! written share the next commit, each in its own savepoint: many operations share one flush to the disk. A caller gets its answer only
//! when its commit is durable. With a write-ahead log and `synchronous = FULL` a commit survives `kill -9` and loss of power (SQLite's
//! documentation, "PRAGMA synchronous").

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, named_params, params};
use tokio::sync::oneshot;

use crate::entities::{
    CaseMapping, CompanyCaseId, Global, GoogleCaseName, LedgerPage, MappingId, PageChanges, PollMemory, Side,
    Sides,
};
use crate::sqlite;
use crate::sqlite::presence::{self, Presence};

use super::pages::{self, PageCache};
use super::record::{Record, cut, cut_time, read_memory, write_memory};
use super::{Created, MappingFilter, MappingPage, Store, StoreError};

/// Migrations of the schema, oldest first; number 1 creates it. Only ever appended to.
const MIGRATIONS: &[&str] = &[
    include_str!("sqlite/schema-1.sql"),
    include_str!("sqlite/schema-2.sql"),
    include_str!("sqlite/schema-3.sql"),
];

/// Maximum number of operations in one commit.
const BATCH: usize = 64;

const COLUMNS: &str = "ID, googleCaseName, googleCaseNumber, companyCaseID, newContentAt, resolvedAt, \
     companyUpdatesSyncedAt, googleUpdatesSyncedAt, outageCommentSentToGoogle, outageCommentSentToCompany, priority, \
     needsWatching, details, version";

/// Store that keeps all data in one SQLite database.
///
/// Uses the tables `CaseMapping`, `LedgerPage`, `Global` and `store_schema` only. Leaves other tables in the same file alone, and also `PRAGMA
/// user_version`. Dropping it waits for running work and closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` only while the store is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    worker: Option<JoinHandle<()>>,
    place: Place,
    /// `None` for a store in memory.
    identity: Option<sqlite::FileIdentity>,
    /// `None` for a store in memory, and where no file can be locked.
    presence: Option<Presence>,
    pages: Arc<PageCache>,
}

impl SqliteStore {
    /// Opens the file, creates it if it is missing, and migrates its tables. Blocks until that is done, up to some seconds if another
    /// process is writing. Fails if the file cannot be created or written, is not a database, is damaged, or was written by a newer version
    /// of this program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let place = Place::File(path.to_owned());
        if let Some(parent) =
            path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir())
        {
            return Err(StoreError::Unavailable(format!(
                "{place}: there is no directory {}: make it, or change store.url",
                parent.display()
            )));
        }
        let connection = sqlite::open(path).map_err(|error| place.explain(&error))?;
        let mut store = Self::start(connection, place, sqlite::FileIdentity::of(path))?;
        match Presence::announce(path) {
            Ok(presence) => store.presence = Some(presence),
            Err(error) => tracing::warn!(
                "if this process is killed, its leases run out by themselves only: no file can be locked beside {}: {error}",
                store.place
            ),
        }
        Ok(store)
    }

    /// Creates a store in memory, which is lost when it is dropped.
    pub fn in_memory() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory().map_err(|error| Place::Memory.explain(&error))?;
        Self::start(connection, Place::Memory, None)
    }

    fn start(
        mut connection: Connection,
        place: Place,
        identity: Option<sqlite::FileIdentity>,
    ) -> Result<Self, StoreError> {
        configure(&connection, &place)?;
        migrate(&mut connection, &place, MIGRATIONS)?;
        let (jobs, queue) = mpsc::channel();
        let worker = std::thread::Builder::new()
            .name("sqlite-store".to_owned())
            .spawn({
                let place = place.clone();
                move || work(&connection, &place, &queue)
            })
            .map_err(|error| StoreError::Unavailable(format!("cannot start the store's thread: {error}")))?;
        let (jobs, worker) = (Some(jobs), Some(worker));
        Ok(Self { jobs, worker, place, identity, presence: None, pages: Arc::default() })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Access::Read, work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Access::Write, work).await
    }

    /// Runs the work on the worker thread and returns its outcome once it is durable.
    async fn run<T: Send + 'static>(
        &self,
        access: Access,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let place = self.place.clone();
        let run: RunJob = Box::new(move |transaction| match transaction.map(work) {
            Ok(Ok(value)) => {
                let answer: Answer = Box::new(move |committed| {
                    // The send fails if the caller's future was dropped; the work is done all the same.
                    let _ = sender.send(committed.map(|()| value));
                });
                (Outcome::Keep, answer)
            }
            Ok(Err(failure)) => {
                let (error, cause) = match failure {
                    Failure::Store(error) => (error, None),
                    Failure::Sqlite(error) => (place.explain(&error), Some(error)),
                };
                let answer: Answer = Box::new(move |_| drop(sender.send(Err(error))));
                (Outcome::Undo(cause), answer)
            }
            Err(error) => {
                let answer: Answer = Box::new(move |_| drop(sender.send(Err(error))));
                (Outcome::Undo(None), answer)
            }
        });
        let ended = || StoreError::Unavailable(format!("{}: the store's thread has ended", self.place));
        self.jobs.as_ref().ok_or_else(ended)?.send(Job { access, run }).map_err(|_| ended())?;
        let broken = |_| {
            StoreError::Unavailable(format!("{}: the operation broke off; the log says where", self.place))
        };
        receiver.await.map_err(broken)?
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(worker) = self.worker.take() {
            // A panic is caught in the worker; if one ends it after all, there is no caller to report it to.
            let _ = worker.join();
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn process(&self) -> Option<&str> {
        self.presence.as_ref().map(Presence::name)
    }

    fn has_ended(&self, process: &str) -> bool {
        match &self.place {
            Place::File(path) => presence::has_ended(path, process),
            Place::Memory => false,
        }
    }

    fn free_bytes(&self) -> Option<(&'static str, u64)> {
        let Place::File(path) = &self.place else { return None };
        let disk = rustix::fs::statvfs(path.as_path()).ok()?;
        Some(("sqlite", disk.f_bavail.saturating_mul(disk.f_frsize)))
    }

    async fn global(&self) -> Result<Global, StoreError> {
        self.read(|db| {
            let stored = db
                .query_row(
                    "SELECT google_last_polled_at, company_last_polled_at, google_poll_memory, company_poll_memory \
                     FROM Global WHERE ID = ?1",
                    [Global::ID],
                    |row| {
                        let times: Sides<Option<i64>> = Sides { google: row.get(0)?, company: row.get(1)? };
                        let memory: Sides<Option<String>> = Sides { google: row.get(2)?, company: row.get(3)? };
                        Ok((times, memory))
                    },
                )
                .optional()?;
            let Some((times, memory)) = stored else { return Ok(Global::default()) };
            let mut global = Global::default();
            for (side, column) in
                [(Side::Google, "google_last_polled_at"), (Side::Company, "company_last_polled_at")]
            {
                let at = times[side].map(|micros| to_time(micros, &"Global", column)).transpose()?;
                global.set_poll(side, at, read_memory(memory[side].as_deref(), side)?);
            }
            Ok(global)
        })
        .await
    }

    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError> {
        let (at, memory_column) = match side {
            Side::Google => ("google_last_polled_at", "google_poll_memory"),
            Side::Company => ("company_last_polled_at", "company_poll_memory"),
        };
        let micros = last_polled_at.map(|at| cut_time(at).timestamp_micros());
        let memory = write_memory(memory)?;
        self.write(move |db| {
            db.execute(
                &format!(
                    "INSERT INTO Global (ID, {at}, {memory_column}) VALUES (?1, ?2, ?3) ON CONFLICT (ID) DO UPDATE \
                     SET {at} = excluded.{at}, {memory_column} = excluded.{memory_column}"
                ),
                params![Global::ID, micros, memory],
            )?;
            Ok(())
        })
        .await
    }

    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError> {
        let mut mapping = cut(mapping);
        let moved = mapping.ledger.pack();
        let record = Record::of(&mapping)?;
        let pages = Arc::clone(&self.pages);
        self.write(move |db| {
            if let Some(existing) = holder(db, &record, &pages)? {
                return Ok(Created::Existing(existing));
            }
            mapping.version = 1;
            db.prepare_cached(
                "INSERT INTO CaseMapping (googleCaseName, googleCaseNumber, companyCaseID, newContentAt, resolvedAt, \
                 companyUpdatesSyncedAt, googleUpdatesSyncedAt, outageCommentSentToGoogle, \
                 outageCommentSentToCompany, priority, needsWatching, details, version) \
                 VALUES (:googleCaseName, :googleCaseNumber, :companyCaseID, :newContentAt, :resolvedAt, \
                 :companyUpdatesSyncedAt, :googleUpdatesSyncedAt, :outageCommentSentToGoogle, \
                 :outageCommentSentToCompany, :priority, :needsWatching, :details, 1)",
            )?
            .execute(named_params! {
                ":googleCaseName": record.google_case_name,
                ":googleCaseNumber": record.google_case_number,
                ":companyCaseID": record.company_case_id,
                ":newContentAt": record.new_content_at.timestamp_micros(),
                ":resolvedAt": micros(record.resolved_at),
                ":companyUpdatesSyncedAt": micros(record.company_updates_synced_at),
                ":googleUpdatesSyncedAt": micros(record.google_updates_synced_at),
                ":outageCommentSentToGoogle": record.outage_comment_sent_to_google,
                ":outageCommentSentToCompany": record.outage_comment_sent_to_company,
                ":priority": record.priority,
                ":needsWatching": record.needs_attention,
                ":details": record.details,
            })?;
            mapping.id = MappingId(db.last_insert_rowid());
            write_pages(db, mapping.id, &moved)?;
            Ok(Created::New(mapping))
        })
        .await
    }

    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError> {
        let pages = Arc::clone(&self.pages);
        self.read(move |db| find(db, "ID = ?1", id.0, &pages)).await
    }

    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError> {
        let number = name.number().to_owned();
        let pages = Arc::clone(&self.pages);
        self.read(move |db| find(db, "googleCaseNumber = ?1", number, &pages)).await
    }

    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError> {
        let id = id.as_str().to_owned();
        let pages = Arc::clone(&self.pages);
        self.read(move |db| find(db, "companyCaseID = ?1", id, &pages)).await
    }

    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError> {
        let mut mapping = cut(mapping.clone());
        let moved = mapping.ledger.pack();
        let record = Record::of(&mapping)?;
        self.write(move |db| {
            let id = mapping.id;
            let Some(stored) = stored_keys(db, id)? else { return Err(StoreError::Gone(id).into()) };
            if stored.version != mapping.version {
                return Err(StoreError::Conflict(id).into());
            }
            let changed = stored.compare(&record);
            if changed.cases
                && let Some(existing) = other_holder(db, &record, id)?
            {
                return Err(StoreError::Duplicate { existing }.into());
            }
            mapping.version += 1;
            let version = i64::try_from(mapping.version).map_err(|_| StoreError::Conflict(id))?;
            let mut statement = db.prepare_cached(&changed.update_sql())?;
            let mut values: Vec<(&str, &dyn ToSql)> = vec![
                (":googleCaseName", &record.google_case_name),
                (":outageCommentSentToGoogle", &record.outage_comment_sent_to_google),
                (":outageCommentSentToCompany", &record.outage_comment_sent_to_company),
                (":priority", &record.priority),
                (":details", &record.details),
                (":version", &version),
                (":ID", &id.0),
            ];
            let times = [
                (":newContentAt", Some(record.new_content_at)),
                (":companyUpdatesSyncedAt", record.company_updates_synced_at),
                (":googleUpdatesSyncedAt", record.google_updates_synced_at),
                (":resolvedAt", record.resolved_at),
            ]
            .map(|(name, time)| (name, micros(time)));
            // The last one is bound only if the statement has it.
            let bound = if changed.resolved { &times[..] } else { &times[..3] };
            values.extend(bound.iter().map(|(name, time)| (*name, time as &dyn ToSql)));
            if changed.cases {
                values.push((":googleCaseNumber", &record.google_case_number));
                values.push((":companyCaseID", &record.company_case_id));
            }
            if changed.attention {
                values.push((":needsWatching", &record.needs_attention));
            }
            statement.execute(&values[..])?;
            write_pages(db, id, &moved)?;
            Ok(mapping)
        })
        .await
    }

    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError> {
        let (id, version) = (mapping.id, mapping.version);
        self.write(move |db| match stored_version(db, id)? {
            None => Ok(()),
            Some(stored) if stored != version => Err(StoreError::Conflict(id).into()),
            Some(_) => {
                db.execute("DELETE FROM CaseMapping WHERE ID = ?1", [id.0])?;
                db.execute("DELETE FROM LedgerPage WHERE mapping = ?1", [id.0])?;
                Ok(())
            }
        })
        .await
    }

    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let pages = Arc::clone(&self.pages);
        self.read(move |db| {
            let after = after.map_or(i64::MIN, |id| id.0);
            // Reads one row more than the limit to find out if there is another page.
            let count = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            // The third parameter is bound even where it is unused, so that all filters take the same parameters.
            let (condition, time) = match filter {
                MappingFilter::All => ("?3 IS NULL", None),
                MappingFilter::NeedsWatching => ("needsWatching = 1 AND ?3 IS NULL", None),
                MappingFilter::Open => ("resolvedAt IS NULL AND ?3 IS NULL", None),
                MappingFilter::ResolvedBefore(time) => ("resolvedAt < ?3", Some(exclusive_micros(time))),
            };
            let mut statement = db.prepare_cached(&list_sql(condition))?;
            let mut rows = statement.query(params![after, count, time])?;
            let mut mappings = Vec::new();
            let mut more = false;
            while let Some(row) = rows.next()? {
                more = mappings.len() == limit;
                if !more {
                    mappings.push(to_mapping(db, row, &pages)?);
                }
            }
            let next = mappings.last().filter(|_| more).map(|mapping: &CaseMapping| mapping.id);
            Ok(MappingPage { mappings, next })
        })
        .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let place = self.place.clone();
        self.write(move |db| {
            let version = schema_version(db)?;
            refuse_newer(version, MIGRATIONS.len(), &place)?;
            // Writes one page, which shows a full disk. SQLite writes none for an update that changes nothing.
            let by: String = db
                .prepare_cached("DELETE FROM store_schema WHERE version = ?1 RETURNING applied_by")?
                .query_row([version], |row| row.get(0))?;
            db.prepare_cached("INSERT INTO store_schema (version, applied_by) VALUES (?1, ?2)")?
                .execute(params![version, by])?;
            Ok(())
        })
        .await?;
        let Some(identity) = self.identity.clone() else { return Ok(()) };
        let place = self.place.clone();
        let read = move || {
            identity.check().map_err(|problem| match problem {
                sqlite::FileProblem::Lost(what) => StoreError::Unavailable(format!(
                    "{place} {what} while it was in use, and what is stored now is lost when the service stops: stop it, put the \
                     file or a backup back, and start it again"
                )),
                sqlite::FileProblem::Damaged(what) => StoreError::Corrupt(format!("{place} is damaged ({what}): {RESTORE}")),
                sqlite::FileProblem::Sqlite(error) => place.explain(&error),
            })
        };
        // Beside the worker: a long check keeps no sync waiting.
        tokio::task::spawn_blocking(read).await.map_err(|_| {
            StoreError::Unavailable(format!("{}: the check broke off; the log says where", self.place))
        })?
    }
}

/// Remedy for a damaged file. The files beside it are named, since SQLite would apply an old log to a backup.
const RESTORE: &str = "stop the service, move the file away with those beside it (`-wal` and `-shm`), and put a backup in its place; \
     or save what can be read with `sqlite3 FILE .recover`";

/// Location of the database, for messages.
#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Memory,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str("the SQLite database in memory"),
        }
    }
}

impl Place {
    /// Adds the remedy to an error.
    fn explain(&self, error: &rusqlite::Error) -> StoreError {
        let code = error.sqlite_error_code();
        match code {
            Some(ErrorCode::NotADatabase) => StoreError::Corrupt(format!(
                "{self} is not an SQLite database ({error}): change store.url, or move the file away"
            )),
            Some(ErrorCode::DatabaseCorrupt) => {
                StoreError::Corrupt(format!("{self} is damaged ({error}): {RESTORE}"))
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Unavailable(format!(
                "{self}: another process has been writing for more than {} s ({error}): see what holds the file open",
                sqlite::BUSY_TIMEOUT.as_secs()
            )),
            Some(ErrorCode::DiskFull) => StoreError::Unavailable(format!(
                "{self}: the disk is full ({error}): make room; nothing was stored"
            )),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                StoreError::Unavailable(format!(
                    "{self} cannot be written ({error}): this user needs to write the file and its directory, which \
                     must not be on a read-only disk"
                ))
            }
            Some(ErrorCode::SystemIoFailure) => StoreError::Unavailable(format!(
                "{self}: reading or writing failed ({error}): look at the disk"
            )),
            // Any other SQLite error is passed on unchanged.
            Some(_) | None => StoreError::Unavailable(format!("{self}: {error}")),
        }
    }
}

/// Reason why an operation failed: an error of the store, or of SQLite.
enum Failure {
    Store(StoreError),
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Access that an operation needs; a write takes the write lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Decision about the changes of an operation.
enum Outcome {
    Keep,
    /// Undone, with SQLite's error if there was one.
    Undo(Option<rusqlite::Error>),
}

/// Function that sends the answer to the caller, given the result of the commit.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Function that does the work, or gets the reason why no transaction could be started.
type RunJob = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (Outcome, Answer) + Send>;

struct Job {
    access: Access,
    run: RunJob,
}

/// Worker: runs the operations in batches until the store is dropped.
fn work(connection: &Connection, place: &Place, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match queue.try_recv() {
                Ok(job) => batch.push(job),
                Err(mpsc::TryRecvError::Empty | mpsc::TryRecvError::Disconnected) => break,
            }
        }
        // After a panic the callers of the batch get an error, and the thread goes on: without it the store would never recover.
        let run = std::panic::AssertUnwindSafe(|| run_batch(connection, place, batch));
        if std::panic::catch_unwind(run).is_err() && !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}

/// Runs the operations in one transaction, each in a savepoint, and answers after the commit. One alone needs no savepoint.
fn run_batch(connection: &Connection, place: &Place, batch: Vec<Job>) {
    let execute = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    // Takes the write lock at the start: taking it later fails at once if another process wrote meanwhile.
    let begin = if batch.iter().any(|job| job.access == Access::Write) { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let (savepoint, release, undo): (&str, &str, &[&str]) = if batch.len() > 1 {
        ("SAVEPOINT job", "RELEASE job", &["ROLLBACK TO job", "RELEASE job"])
    } else {
        ("", "", &["ROLLBACK", "BEGIN"])
    };
    let execute_if_any = |sql: &str| if sql.is_empty() { Ok(()) } else { execute(sql) };
    let mut answers = Vec::with_capacity(batch.len());
    let mut broken = execute(begin).err();
    for job in batch {
        if broken.is_none() {
            broken = execute_if_any(savepoint).err();
        }
        if let Some(error) = &broken {
            let (_, answer) = (job.run)(Err(place.explain(error)));
            answers.push(answer);
            continue;
        }
        let (outcome, answer) = (job.run)(Ok(connection));
        answers.push(answer);
        broken = match outcome {
            Outcome::Keep => execute_if_any(release).err(),
            // A full disk and similar errors end the whole transaction. There is no savepoint left to return to, so all operations of the
            // batch fail.
            Outcome::Undo(Some(error)) if connection.is_autocommit() => Some(error),
            Outcome::Undo(_) => undo.iter().find_map(|sql| execute(sql).err()),
        };
    }
    let committed = match broken {
        None => execute("COMMIT"),
        Some(error) => Err(error),
    };
    if committed.is_err() && !connection.is_autocommit() {
        // If the rollback fails too, the next `BEGIN` reports it.
        let _ = execute("ROLLBACK");
    }
    for answer in answers {
        answer(match &committed {
            Ok(()) => Ok(()),
            Err(error) => Err(place.explain(error)),
        });
    }
}

/// Applies the settings that each connection needs.
fn configure(connection: &Connection, place: &Place) -> Result<(), StoreError> {
    let mode = sqlite::configure(connection).map_err(|error| place.explain(&error))?;
    match place {
        Place::File(_) if mode != "wal" => Err(StoreError::Unavailable(format!(
            "{place}: this file system cannot hold a write-ahead log (journal mode {mode}): use a local disk"
        ))),
        Place::File(_) | Place::Memory => Ok(()),
    }
}

/// Returns the number of the last applied migration; 0 before the first.
fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(version), 0) FROM store_schema", [], |row| row.get(0))
}

fn refuse_newer(version: i64, known: usize, place: &Place) -> Result<(), StoreError> {
    if version > i64::try_from(known).unwrap_or(i64::MAX) {
        return Err(StoreError::Corrupt(format!(
            "{place} was written by a newer casebridge (schema {version}, this one knows {known}): start that one, or \
             put back a backup made before the upgrade"
        )));
    }
    Ok(())
}

/// Applies all missing migrations or none. Safe in several processes at once.
fn migrate(connection: &mut Connection, place: &Place, migrations: &[&str]) -> Result<(), StoreError> {
    let explain = |error: rusqlite::Error| place.explain(&error);
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(explain)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS store_schema (version INTEGER PRIMARY KEY, applied_by TEXT NOT NULL) STRICT",
        )
        .map_err(explain)?;
    let version = schema_version(&transaction).map_err(explain)?;
    refuse_newer(version, migrations.len(), place)?;
    for (number, migration) in (1_i64..).zip(migrations) {
        if number <= version {
            continue;
        }
        transaction.execute_batch(migration).map_err(|error| match place.explain(&error) {
            StoreError::Unavailable(reason) => StoreError::Unavailable(format!(
                "bringing its tables to schema {number} failed, nothing was changed: {reason}"
            )),
            error @ (StoreError::Corrupt(_)
            | StoreError::Conflict(_)
            | StoreError::Gone(_)
            | StoreError::Duplicate { .. }) => error,
        })?;
        transaction
            .execute(
                "INSERT INTO store_schema (version, applied_by) VALUES (?1, ?2)",
                params![number, env!("CARGO_PKG_VERSION")],
            )
            .map_err(explain)?;
    }
    transaction.commit().map_err(explain)
}

fn list_sql(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM CaseMapping WHERE ID > ?1 AND {condition} ORDER BY ID LIMIT ?2")
}

fn find(
    db: &Connection,
    condition: &'static str,
    value: impl rusqlite::ToSql,
    pages: &PageCache,
) -> Result<Option<CaseMapping>, Failure> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM CaseMapping WHERE {condition}"))?;
    let mut rows = statement.query([value])?;
    rows.next()?.map(|row| to_mapping(db, row, pages)).transpose()
}

/// Returns the mapping that holds one of the record's cases, the Google case's first.
fn holder(db: &Connection, record: &Record, pages: &PageCache) -> Result<Option<CaseMapping>, Failure> {
    if let Some(number) = &record.google_case_number
        && let Some(existing) = find(db, "googleCaseNumber = ?1", number, pages)?
    {
        return Ok(Some(existing));
    }
    match &record.company_case_id {
        Some(id) => find(db, "companyCaseID = ?1", id, pages),
        None => Ok(None),
    }
}

/// Returns the mapping other than `id` that holds one of the record's cases, the Google case's first.
fn other_holder(db: &Connection, record: &Record, id: MappingId) -> Result<Option<MappingId>, Failure> {
    for (condition, key) in [
        ("googleCaseNumber = ?1", &record.google_case_number),
        ("companyCaseID = ?1", &record.company_case_id),
    ] {
        if let Some(key) = key {
            let existing = db
                .prepare_cached(&format!("SELECT ID FROM CaseMapping WHERE {condition} AND ID <> ?2"))?
                .query_row(params![key, id.0], |row| row.get(0))
                .optional()?;
            if let Some(existing) = existing {
                return Ok(Some(MappingId(existing)));
            }
        }
    }
    Ok(None)
}

/// Stored values that an index holds.
struct StoredKeys {
    version: u64,
    google_case_number: Option<String>,
    company_case_id: Option<String>,
    resolved_at: Option<i64>,
    needs_attention: bool,
}

/// Differences between a stored mapping and an update, as far as an index holds them.
///
/// SQLite rewrites the pages of each index of which the statement sets a column, even to the value that it had: five pages instead of one.
#[derive(Debug, Clone, Copy)]
struct Changed {
    cases: bool,
    resolved: bool,
    attention: bool,
}

impl StoredKeys {
    fn compare(&self, record: &Record) -> Changed {
        Changed {
            cases: self.google_case_number != record.google_case_number
                || self.company_case_id != record.company_case_id,
            resolved: self.resolved_at != micros(record.resolved_at),
            attention: self.needs_attention != record.needs_attention,
        }
    }
}

impl Changed {
    fn update_sql(self) -> String {
        let mut sql = "UPDATE CaseMapping SET googleCaseName = :googleCaseName, newContentAt = :newContentAt, \
             companyUpdatesSyncedAt = :companyUpdatesSyncedAt, googleUpdatesSyncedAt = :googleUpdatesSyncedAt, \
             outageCommentSentToGoogle = :outageCommentSentToGoogle, \
             outageCommentSentToCompany = :outageCommentSentToCompany, priority = :priority, details = :details, \
             version = :version"
            .to_owned();
        for (changed, columns) in [
            (self.cases, ", googleCaseNumber = :googleCaseNumber, companyCaseID = :companyCaseID"),
            (self.resolved, ", resolvedAt = :resolvedAt"),
            (self.attention, ", needsWatching = :needsWatching"),
        ] {
            if changed {
                sql.push_str(columns);
            }
        }
        sql.push_str(" WHERE ID = :ID");
        sql
    }
}

fn stored_keys(db: &Connection, id: MappingId) -> Result<Option<StoredKeys>, Failure> {
    let stored = db
        .prepare_cached(
            "SELECT version, googleCaseNumber, companyCaseID, resolvedAt, needsWatching FROM CaseMapping WHERE ID = ?1",
        )?
        .query_row([id.0], |row| {
            let version = row.get(0)?;
            let keys = StoredKeys {
                version: 0,
                google_case_number: row.get(1)?,
                company_case_id: row.get(2)?,
                resolved_at: row.get(3)?,
                needs_attention: row.get(4)?,
            };
            Ok((version, keys))
        })
        .optional()?;
    stored.map(|(version, keys)| Ok(StoredKeys { version: to_version(version, id)?, ..keys })).transpose()
}

fn stored_version(db: &Connection, id: MappingId) -> Result<Option<u64>, Failure> {
    let version = db
        .prepare_cached("SELECT version FROM CaseMapping WHERE ID = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    Ok(version.map(|version| to_version(version, id)).transpose()?)
}

fn to_version(version: i64, id: MappingId) -> Result<u64, StoreError> {
    u64::try_from(version)
        .map_err(|_| StoreError::Corrupt(format!("mapping {id}, property version: {version} is negative")))
}

/// Writes and deletes ledger pages, within the transaction that writes their mapping.
fn write_pages(db: &Connection, mapping: MappingId, changes: &PageChanges) -> Result<(), Failure> {
    for page in &changes.added {
        db.prepare_cached("INSERT INTO LedgerPage (mapping, number, entries) VALUES (?1, ?2, ?3)")?.execute(
            params![mapping.0, page_number(mapping, page.number())?, pages::write(mapping, page)?],
        )?;
    }
    for number in &changes.dropped {
        db.prepare_cached("DELETE FROM LedgerPage WHERE mapping = ?1 AND number = ?2")?
            .execute(params![mapping.0, page_number(mapping, *number)?])?;
    }
    Ok(())
}

/// Returns a ledger page of the mapping, from the cache or the database.
fn read_page(
    db: &Connection,
    mapping: MappingId,
    number: u64,
    cache: &PageCache,
) -> Result<Arc<LedgerPage>, Failure> {
    if let Some(page) = cache.get(mapping, number) {
        return Ok(page);
    }
    let stored: Option<String> = db
        .prepare_cached("SELECT entries FROM LedgerPage WHERE mapping = ?1 AND number = ?2")?
        .query_row(params![mapping.0, page_number(mapping, number)?], |row| row.get(0))
        .optional()?;
    let page = pages::read(mapping, number, &stored.ok_or_else(|| pages::missing(mapping, number))?)?;
    cache.add(mapping, &page);
    Ok(page)
}

fn page_number(mapping: MappingId, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Corrupt(format!("mapping {mapping}: there is no ledger page {number}")))
}

/// Converts a row of [`COLUMNS`].
fn to_mapping(db: &Connection, row: &Row<'_>, cache: &PageCache) -> Result<CaseMapping, Failure> {
    let id = MappingId(row.get("ID")?);
    let name = format_args!("mapping {id}").to_string();
    // A value of the wrong type, or text that is not UTF-8, is corrupt data, not a failure of SQLite.
    macro_rules! column {
        ($column:literal) => {
            row.get($column).map_err(|error| {
                StoreError::Corrupt(format!("mapping {id}, property {}: {error}", $column))
            })?
        };
    }
    let time =
        |micros: Option<i64>, property| micros.map(|micros| to_time(micros, &name, property)).transpose();
    let record = Record {
        google_case_name: column!("googleCaseName"),
        google_case_number: column!("googleCaseNumber"),
        company_case_id: column!("companyCaseID"),
        new_content_at: to_time(column!("newContentAt"), &name, "newContentAt")?,
        resolved_at: time(column!("resolvedAt"), "resolvedAt")?,
        company_updates_synced_at: time(column!("companyUpdatesSyncedAt"), "companyUpdatesSyncedAt")?,
        google_updates_synced_at: time(column!("googleUpdatesSyncedAt"), "googleUpdatesSyncedAt")?,
        outage_comment_sent_to_google: column!("outageCommentSentToGoogle"),
        outage_comment_sent_to_company: column!("outageCommentSentToCompany"),
        priority: column!("priority"),
        needs_attention: column!("needsWatching"),
        details: column!("details"),
    };
    let version = to_version(column!("version"), id)?;
    record.into_mapping(id, version, |number| read_page(db, id, number, cache))
}

fn micros(time: Option<DateTime<Utc>>) -> Option<i64> {
    time.map(|time| time.timestamp_micros())
}

/// Rounds `time` up to a whole microsecond: a stored time is before the result exactly if it is before `time`.
fn exclusive_micros(time: DateTime<Utc>) -> i64 {
    let micros = time.timestamp_micros();
    if time.timestamp_subsec_nanos().is_multiple_of(1000) { micros } else { micros.saturating_add(1) }
}

fn to_time(micros: i64, entity: &dyn std::fmt::Display, property: &str) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| StoreError::Corrupt(format!("{entity}, property {property}: {micros} is not a time")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::FirstSeen;

    fn open(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        configure(&connection, &Place::File(path.to_owned())).unwrap();
        connection
    }

    fn of_google(number: usize) -> CaseMapping {
        let name = GoogleCaseName::parse(&format!("projects/p/cases/{number}")).unwrap();
        CaseMapping::first_seen(FirstSeen::Google(name), None, None, DateTime::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn a_check_writes_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("casebridge.db");
        let store = SqliteStore::open(&path).unwrap();
        let beside = Connection::open(&path).unwrap();
        let written = || beside.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
        let schema = || {
            let mut rows = beside.prepare("SELECT version, applied_by FROM store_schema").unwrap();
            let rows =
                rows.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).unwrap();
            rows.collect::<Result<Vec<_>, _>>().unwrap()
        };
        let (before, number) = (schema(), written());
        let log = || std::fs::metadata(directory.path().join("casebridge.db-wal")).unwrap().len();
        let length = log();
        store.check().await.unwrap();
        assert!(written() != number && log() > length, "no page was written");
        assert_eq!(schema(), before);
    }

    #[tokio::test]
    async fn a_check_fails_if_the_file_is_deleted_replaced_or_damaged() {
        for (change, expected) in
            [("none", ""), ("delete", "was deleted"), ("replace", "was replaced"), ("damage", "is damaged")]
        {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("casebridge.db");
            drop(SqliteStore::open(&path).unwrap());
            let store = SqliteStore::open(&path).unwrap();
            store.check().await.unwrap();
            match change {
                "delete" => std::fs::remove_file(&path).unwrap(),
                "replace" => {
                    let copy = directory.path().join("copy.db");
                    std::fs::copy(&path, &copy).unwrap();
                    std::fs::rename(&copy, &path).unwrap();
                }
                "damage" => {
                    let file = std::fs::File::options().write(true).open(&path).unwrap();
                    // The pages behind the first.
                    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
                    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xa5; length - 4_096], 4_096)
                        .unwrap();
                }
                _ => {}
            }
            let found = store.check().await.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{change}: {found}");
        }
    }

    #[tokio::test]
    async fn an_operation_that_panics_fails_alone_and_the_store_goes_on() {
        let store = SqliteStore::in_memory().unwrap();
        for access in [Access::Read, Access::Write] {
            let outcome = store.run::<()>(access, |_| panic!("as the test wants it to")).await;
            assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
            store.create(of_google(1)).await.unwrap();
        }
    }

    #[test]
    fn missing_migrations_are_applied_once_and_all_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("casebridge.db");
        let place = Place::File(path.clone());
        let mut db = open(&path);
        let one = "CREATE TABLE one (x); INSERT INTO one VALUES (1);";
        let two = "ALTER TABLE one ADD COLUMN y; UPDATE one SET y = x + 1;";
        let bad = "CREATE TABLE three (x); INSERT INTO nowhere VALUES (1);";
        migrate(&mut db, &place, &[one]).unwrap();
        let error = migrate(&mut db, &place, &[one, two, bad]).unwrap_err();
        assert!(error.to_string().contains("schema 3 failed, nothing was changed"), "{error}");
        assert_eq!(schema_version(&db).unwrap(), 1);
        assert!(!db.table_exists(None, "three").unwrap());
        for _ in 0..2 {
            migrate(&mut db, &place, &[one, two]).unwrap();
            assert_eq!(schema_version(&db).unwrap(), 2);
            let rows: Vec<(i64, i64)> = db
                .prepare("SELECT x, y FROM one")
                .unwrap()
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(rows, [(1, 2)]);
        }
        // An older program refuses the file and changes nothing.
        let error = migrate(&mut db, &place, &[one]).unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt(reason) if reason.contains("newer casebridge")),
            "{error}"
        );
        assert_eq!(schema_version(&db).unwrap(), 2);
    }

    #[tokio::test]
    async fn a_full_disk_loses_only_what_was_not_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("casebridge.db");
        let store = SqliteStore::open(&path).unwrap();
        let limit = |pages: u32| {
            store.read(move |db| {
                Ok(db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)
            })
        };
        limit(20).await.unwrap();
        let outcomes =
            futures_util::future::join_all((0..500).map(|number| store.create(of_google(number)))).await;
        let mut stored = 0;
        for outcome in outcomes {
            match outcome {
                Ok(Created::New(mapping)) => {
                    stored += 1;
                    assert_eq!(store.get(mapping.id).await.unwrap(), Some(mapping));
                }
                Ok(Created::Existing(mapping)) => panic!("{mapping:?}"),
                Err(error) => assert!(error.to_string().contains("the disk is full"), "{error}"),
            }
        }
        assert_eq!(store.list(MappingFilter::All, None, 1000).await.unwrap().mappings.len(), stored);
        // The store works again as soon as there is room.
        limit(100_000).await.unwrap();
        store.create(of_google(1000)).await.unwrap();
    }

    #[tokio::test]
    async fn failures_in_a_shared_commit_stay_to_themselves() {
        let store = SqliteStore::in_memory().unwrap();
        let Created::New(mapping) = store.create(of_google(0)).await.unwrap() else { panic!("it is new") };
        let stale = CaseMapping { version: 99, ..mapping.clone() };
        let gone = CaseMapping { id: MappingId(99), ..mapping.clone() };
        let (conflict, new, missing, updated) = tokio::join!(
            store.update(&stale),
            store.create(of_google(1)),
            store.update(&gone),
            store.update(&mapping),
        );
        assert!(matches!(conflict, Err(StoreError::Conflict(_))));
        assert!(matches!(missing, Err(StoreError::Gone(_))));
        let Created::New(new) = new.unwrap() else { panic!("it is new") };
        let stored = store.list(MappingFilter::All, None, 10).await.unwrap().mappings;
        assert_eq!(stored, [updated.unwrap(), new]);
    }

    #[tokio::test]
    async fn an_update_writes_the_pages_of_no_index_that_it_leaves_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("casebridge.db")).unwrap();
        let pages = || {
            let log = std::fs::metadata(directory.path().join("casebridge.db-wal")).unwrap().len();
            log.saturating_sub(32) / (4096 + 24)
        };
        let Created::New(mut mapping) = store.create(of_google(1)).await.unwrap() else {
            panic!("it is new")
        };
        let before = pages();
        for second in 1..=10 {
            mapping.last_error = Some(second.to_string());
            mapping = store.update(&mapping).await.unwrap();
        }
        assert_eq!(pages() - before, 10, "the table's page, at each update");
        mapping.company_case_id = Some(CompanyCaseId::parse("7").unwrap());
        let mapping = store.update(&mapping).await.unwrap();
        let found = store.find_by_company(&CompanyCaseId::parse("7").unwrap()).await.unwrap();
        assert_eq!(found, Some(mapping));
    }

    #[tokio::test]
    async fn durability_is_what_the_documents_promise() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("casebridge.db")).unwrap();
        for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("fullfsync", "1")] {
            let value = store
                .read(move |db| {
                    Ok(db.query_row(&format!("PRAGMA {pragma}"), [], |row| {
                        row.get::<_, rusqlite::types::Value>(0)
                    })?)
                })
                .await
                .unwrap();
            let value = match value {
                rusqlite::types::Value::Integer(value) => value.to_string(),
                rusqlite::types::Value::Text(value) => value,
                other => panic!("{pragma} = {other:?}"),
            };
            assert_eq!(value, expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn lists_of_few_read_few() {
        let store = SqliteStore::in_memory().unwrap();
        for (condition, index) in [
            ("needsWatching = 1 AND ?3 IS NULL", "CaseMapping_needsWatching"),
            ("resolvedAt IS NULL AND ?3 IS NULL", "CaseMapping_open"),
        ] {
            let plan = store
                .read(move |db| {
                    let sql = list_sql(condition);
                    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let rows =
                        statement.query_map(params![0, 10, None::<i64>], |row| row.get::<_, String>(3))?;
                    Ok(rows.collect::<Result<Vec<_>, _>>()?)
                })
                .await
                .unwrap();
            assert!(plan.iter().any(|line| line.contains(index)), "{condition}: {plan:?}");
        }
    }
}
