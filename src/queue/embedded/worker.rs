//! Thread that owns the connection of the queue's database, and its group commit.
//!
//! Requests that arrive while a commit is being written share the next one. Each is answered after its commit.
//! A commit is flushed to the disk only if a request in it needs that ([`Access::Durable`]): see [`super::database`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::database::DatabaseError;

/// Maximum number of requests in one commit. It bounds the time for which other processes wait for the write lock.
const BATCH: usize = 256;

/// Access that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Reads only.
    Read,
    /// Writes. The change survives the process, but not a loss of power in the next moments.
    Write,
    /// Writes, and is answered once the change is on the disk.
    Durable,
}

/// Number of transactions that the queue of one process has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitCounts {
    /// Commits that changed something.
    pub commits: u64,
    /// Commits that waited for the disk.
    pub flushed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    flushed: AtomicU64,
}

/// Request that waits for the thread.
trait Job: Send {
    fn access(&self) -> Access;
    /// Does the work in a transaction. It is done again in another one if the first was rolled back.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// Answers the caller, given the result of the commit.
    fn answer(self: Box<Self>, committed: Result<(), DatabaseError>);
}

struct Request<T, F> {
    access: Access,
    work: F,
    value: Option<T>,
    caller: oneshot::Sender<Result<T, DatabaseError>>,
}

impl<T: Send, F: FnMut(&Connection) -> rusqlite::Result<T> + Send> Job for Request<T, F> {
    fn access(&self) -> Access {
        self.access
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.value = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), DatabaseError>) {
        let Self { value, caller, .. } = *self;
        // A success without a value cannot be: the work ran before the commit.
        if let Some(answer) = committed.map(|()| value).transpose() {
            // The send fails if the caller's future was dropped; the work is done all the same.
            let _ = caller.send(answer);
        }
    }
}

/// Handle of the thread. Dropping it waits for running work and closes the file.
#[derive(Debug)]
pub(super) struct Worker {
    /// `None` only while the handle is being dropped.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    path: PathBuf,
}

impl Worker {
    pub(super) fn start(connection: Connection, path: &Path) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let counters = Arc::<Counters>::default();
        let desk = Desk { connection, counters: Arc::clone(&counters), path: path.to_owned(), flushes: true };
        let thread =
            std::thread::Builder::new().name("sqlite-queue".to_owned()).spawn(move || desk.work(&queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), counters, path: path.to_owned() })
    }

    /// Runs the work on the thread. Returns its outcome once it is committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        access: Access,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let ended = || DatabaseError::ShuttingDown { path: self.path.clone() };
        let (caller, answer) = oneshot::channel();
        let request = Box::new(Request { access, work, value: None, caller });
        self.jobs.as_ref().ok_or_else(ended)?.send(request).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    pub(super) fn counts(&self) -> CommitCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CommitCounts { commits: read(&self.counters.commits), flushed: read(&self.counters.flushed) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic is caught in the thread; if one ends it after all, there is no caller to report it to.
            let _ = thread.join();
        }
    }
}

/// Reason why a transaction was not committed.
enum Failed {
    /// The write lock was not to be had: no request was tried.
    Locked(rusqlite::Error),
    Sqlite(rusqlite::Error),
    Panicked,
}

/// State of the thread.
struct Desk {
    connection: Connection,
    counters: Arc<Counters>,
    path: PathBuf,
    /// True if the connection flushes each commit to the disk.
    flushes: bool,
}

impl Desk {
    fn work(mut self, queue: &mpsc::Receiver<Box<dyn Job>>) {
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            batch.extend(queue.try_iter().take(BATCH - 1));
            self.run(batch);
        }
    }

    /// Runs the requests in one transaction. If one of them fails, runs each in a transaction of its own, so that it fails alone.
    fn run(&mut self, mut batch: Vec<Box<dyn Job>>) {
        match self.attempt(&mut batch) {
            Ok(()) => {
                for job in batch {
                    job.answer(Ok(()));
                }
            }
            Err(Failed::Sqlite(_) | Failed::Panicked) if batch.len() > 1 => {
                for job in batch {
                    self.run(vec![job]);
                }
            }
            Err(failed) => {
                for job in batch {
                    job.answer(Err(self.explain(&failed)));
                }
            }
        }
    }

    fn attempt(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        let access = batch.iter().map(|job| job.access()).max().unwrap_or(Access::Read);
        // After a panic the callers get an error, and the thread goes on: without it the queue would never recover.
        let run = std::panic::AssertUnwindSafe(|| self.transact(access, batch));
        let outcome = std::panic::catch_unwind(run).unwrap_or(Err(Failed::Panicked));
        if outcome.is_err() && !self.connection.is_autocommit() {
            // If the rollback fails too, the next `BEGIN` reports it.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        outcome
    }

    fn transact(&mut self, access: Access, batch: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        let run = |connection: &Connection, batch: &mut [Box<dyn Job>]| {
            batch.iter_mut().try_for_each(|job| job.run(connection)).map_err(Failed::Sqlite)
        };
        if access == Access::Read {
            // One transaction takes and releases SQLite's locks once, and not for each statement.
            self.execute("BEGIN DEFERRED").map_err(Failed::Sqlite)?;
            run(&self.connection, batch)?;
            return self.execute("COMMIT").map_err(Failed::Sqlite);
        }
        self.flush_commits(access == Access::Durable).map_err(Failed::Sqlite)?;
        // Takes the write lock at the start: taking it later fails at once if another process wrote meanwhile.
        self.execute("BEGIN IMMEDIATE").map_err(Failed::Locked)?;
        let before = self.connection.total_changes();
        run(&self.connection, batch)?;
        self.execute("COMMIT").map_err(Failed::Sqlite)?;
        if self.connection.total_changes() != before {
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
            self.counters.flushed.fetch_add(u64::from(self.flushes), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sets if commits wait for the disk. Both ways the file stays consistent, and a flush takes all earlier commits with it (SQLite's
    /// documentation, "PRAGMA synchronous").
    fn flush_commits(&mut self, flushes: bool) -> rusqlite::Result<()> {
        if self.flushes != flushes {
            let level = if flushes { "FULL" } else { "NORMAL" };
            self.connection.execute_batch(&format!("PRAGMA synchronous = {level}"))?;
            self.flushes = flushes;
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    fn explain(&self, failed: &Failed) -> DatabaseError {
        let path = self.path.clone();
        match failed {
            Failed::Locked(error) | Failed::Sqlite(error) => {
                DatabaseError::Sqlite { path, source: copy(error) }
            }
            Failed::Panicked => DatabaseError::Panicked { path },
        }
    }
}

/// Copies an error, which several callers get.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            rusqlite::Error::SqliteFailure(*code, message.clone())
        }
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}
