//! Settings of a connection to an SQLite file that several processes share. The store and the embedded queue use them.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

/// Longest wait for another process that writes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of prepared statements that a connection keeps: more than the store or the queue has.
const STATEMENTS_KEPT: usize = 64;

/// Opens a file. A new one is for its owner alone, since it holds texts of cases; SQLite gives the files beside it the same mode.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    // An error means that the file is there, or that SQLite cannot make it either, whose error says why.
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    Connection::open(path)
}

/// Returns the command that takes a database away from other users of the machine, if they may read or write it.
#[must_use]
pub fn command_to_hide(path: &Path) -> Option<String> {
    let is_shared = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    };
    let shared: Vec<String> = [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")]
        .iter()
        .filter(|path| is_shared(path))
        .map(|path| path.display().to_string())
        .collect();
    (!shared.is_empty()).then(|| format!("chmod 600 {}", shared.join(" ")))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

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

    const TABLE: &str = "CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, y TEXT)";

    #[test]
    fn a_new_file_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let connection = open(&path).unwrap();
        configure(&connection).unwrap();
        connection.execute_batch(TABLE).unwrap();
        for ending in ["", "-wal", "-shm"] {
            let mode = std::fs::metadata(beside(&path, ending)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{ending}");
        }
        assert_eq!(command_to_hide(&path), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(command_to_hide(&path), Some(format!("chmod 600 {}", path.display())));
        assert_eq!(command_to_hide(&directory.path().join("missing.db")), None);
    }

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
