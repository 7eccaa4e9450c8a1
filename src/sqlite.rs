//! Settings of a connection to an SQLite file that several processes share. The store and the embedded queue use them.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use std::time::Duration;

/// Longest wait for another process that writes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of prepared statements that a connection keeps: more than the store or the queue has.
const STATEMENTS_KEPT: usize = 64;

/// Applies the settings, and returns the journal mode: `wal` for a file, unless its file system cannot hold a write-ahead log.
pub(crate) fn configure(connection: &Connection) -> rusqlite::Result<String> {
    let journal_mode = use_write_ahead_log(connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // FULL flushes the log at each commit; NORMAL may lose the last transactions in a power failure. On macOS only `fullfsync` reaches the
    // disk; elsewhere that setting has no effect.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;")?;
    // Savepoints keep their copies of pages in memory, not in a file.
    connection.execute_batch("PRAGMA temp_store = MEMORY;")?;
    // SQLite plans a statement for the values that are bound to it, and plans it again when they change: for the values of `LIMIT`, and for
    // those compared with a column that no index holds. With this setting a plan is made once, for any value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(journal_mode)
}

/// Turns on the write-ahead log, in a file that other processes may be opening at the same moment.
///
/// Two connections that both turn it on can each hold the lock that the other needs. SQLite then either fails one of them at once, whatever
/// its busy timeout, or waits for all of that timeout. So each attempt has a short timeout and is retried after a random pause.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<String> {
    const MOMENT: Duration = Duration::from_millis(20);
    connection.busy_timeout(MOMENT)?;
    let began = std::time::Instant::now();
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(MOMENT.mul_f64(rand::random::<f64>()));
            }
            ended => return ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens new files from several threads at once, many times: the moment in which SQLite fails at once is short.
    #[test]
    fn connections_that_open_a_new_file_at_once_all_get_the_write_ahead_log() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..40 {
            let path = directory.path().join(format!("{number}.db"));
            let start = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        let connection = Connection::open(&path).unwrap();
                        assert_eq!(configure(&connection).unwrap(), "wal");
                        connection.execute_batch("CREATE TABLE IF NOT EXISTS t (x)").unwrap();
                    });
                }
            });
        }
    }
}
