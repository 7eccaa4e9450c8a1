//! Settings of a connection to an SQLite file that several processes share. The store and the embedded queue use them.

pub(crate) mod presence;

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

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

/// Maximum size of a file that is checked page by page, in bytes: a few hundredths of a second.
const CHECKED_WHOLE: u64 = 16 * 1024 * 1024;

/// Identity of an open file, by which its loss shows: a process that has a deleted file open can go on reading and writing it.
#[derive(Debug, Clone)]
pub(crate) struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Problem of an open file.
#[derive(Debug)]
pub(crate) enum FileProblem {
    /// The file is gone, or another one is in its place; says which.
    Lost(&'static str),
    /// The content is not sound; says where.
    Damaged(String),
    /// SQLite cannot read the file.
    Sqlite(rusqlite::Error),
}

impl FileIdentity {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    /// Checks that the file is still there, and that it can be read: all of it if it is small, else a page of each table. Reads with a new
    /// connection, since one that is in use knows many pages without the file.
    pub(crate) fn check(&self) -> Result<(), FileProblem> {
        let Ok(metadata) = std::fs::metadata(&self.path) else {
            return Err(FileProblem::Lost("was deleted"));
        };
        if (metadata.dev(), metadata.ino()) != (self.device, self.inode) {
            return Err(FileProblem::Lost("was replaced"));
        }
        let read = || {
            let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            if metadata.len() <= CHECKED_WHOLE {
                return connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
            }
            let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
            let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for table in tables {
                connection.prepare(&format!("SELECT * FROM \"{table}\" LIMIT 1"))?.exists([])?;
            }
            Ok("ok".to_owned())
        };
        match read() {
            Ok(found) if found == "ok" => Ok(()),
            Ok(found) => Err(FileProblem::Damaged(found.replace('\n', " "))),
            Err(error) => Err(FileProblem::Sqlite(error)),
        }
    }
}

/// Refuses a database beside a write-ahead log that belongs to another one, and says what to remove: a backup that was put in the place of a
/// database whose process was killed. SQLite would apply the log to the backup and damage it.
///
/// Call it only while this process has no connection to the file: to close any handle of a file ends the locks of all.
pub fn refuse_foreign_log(path: &Path) -> Result<(), String> {
    let log = beside(path, "-wal");
    // A file that cannot be read is left to SQLite, whose error says why.
    if !is_foreign(path, &log).unwrap_or(false) {
        return Ok(());
    }
    let (path, log, index) = (path.display(), log.display(), beside(path, "-shm"));
    Err(format!(
        "{path} is newer than its write-ahead log {log} and does not go with it, as a backup that was put in the place of the file: the \
         log would damage it. Stop whatever has the file open, remove {log} and {}, and start again. If nobody has replaced the file (a \
         loss of power may look the same), keep the log, which holds the latest changes: `touch {log}`, and start again",
        index.display()
    ))
}

/// Time by which the change of a file's name or owner has to be later than the log's to count: `chown -R` and the like change both.
const MOVED_LATER: Duration = Duration::from_secs(2);

/// True if the database was replaced after the last change of the log.
///
/// The log is always written before the database, except by a checkpoint, which copies pages from the log to the database in the order of
/// their numbers. So a database that was written later holds at least the first of them, as the log has it. Which one that is depends on
/// the length of the log at the time: it is the lowest number of the log's beginning, up to some place.
fn is_foreign(path: &Path, log: &Path) -> io::Result<bool> {
    let (database, wal) = (std::fs::metadata(path)?, std::fs::metadata(log)?);
    let moved = |metadata: &Metadata| (metadata.ctime(), metadata.ctime_nsec());
    let tolerated = (moved(&wal).0 + MOVED_LATER.as_secs().cast_signed(), moved(&wal).1);
    let is_later = database.modified()? > wal.modified()? || moved(&database) > tolerated;
    if !is_later || database.len() == 0 {
        return Ok(false);
    }
    let Some((page_size, lowest)) = lowest_pages(log)? else { return Ok(false) };
    let mut file = File::open(path)?;
    let mut page = vec![0; page_size];
    for (number, images) in &lowest {
        file.seek(SeekFrom::Start(u64::from(number - 1) * page_size as u64))?;
        if file.read_exact(&mut page).is_ok() && images.contains(&digest(&page)) {
            return Ok(false);
        }
    }
    Ok(!lowest.is_empty())
}

/// Pages by their numbers, each with the digests of all its images in the log.
type Images = HashMap<u32, Vec<u64>>;

/// Reads the size of a page, and each page of the log that has a lower number than all before it ("WAL Format", SQLite's documentation).
/// `None` if the log holds nothing.
fn lowest_pages(log: &Path) -> io::Result<Option<(usize, Images)>> {
    let mut log = BufReader::new(File::open(log)?);
    let mut header = [0; 32];
    if log.read_exact(&mut header).is_err() {
        return Ok(None);
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let page_size = number(&header[8..12]) as usize;
    if !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
        return Ok(None);
    }
    let mut images = Images::new();
    let mut lowest = u32::MAX;
    let (mut frame, mut page) = ([0; 24], vec![0; page_size]);
    // A frame with another salt is left over from before the log was begun anew.
    while log.read_exact(&mut frame).is_ok() && frame[8..16] == header[16..24] {
        log.read_exact(&mut page)?;
        let at = number(&frame[..4]);
        if at > 0 && (at < lowest || images.contains_key(&at)) {
            lowest = lowest.min(at);
            images.entry(at).or_default().push(digest(&page));
        }
    }
    Ok(Some((page_size, images)))
}

fn digest(page: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    page.hash(&mut hasher);
    hasher.finish()
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

    /// Adds rows, and returns what a process leaves that is killed then: the database before and after a checkpoint, and the log.
    fn left_behind(path: &Path, rows: std::ops::Range<u32>) -> [Vec<u8>; 3] {
        let connection = open(path).unwrap();
        configure(&connection).unwrap();
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
        connection.execute_batch(TABLE).unwrap();
        let checkpoint = |kind: &str| {
            connection.query_row(&format!("PRAGMA wal_checkpoint({kind})"), [], |_| Ok(())).unwrap();
        };
        checkpoint("TRUNCATE");
        let before = std::fs::read(path).unwrap();
        for row in rows {
            connection.execute("INSERT INTO t VALUES (?1, hex(randomblob(900)))", [row]).unwrap();
        }
        let log = std::fs::read(beside(path, "-wal")).unwrap();
        checkpoint("PASSIVE");
        [before, std::fs::read(path).unwrap(), log]
    }

    const TABLE: &str = "CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, y TEXT)";

    /// Writes a file, as of so many seconds after 1970.
    fn write(path: &Path, content: &[u8], seconds: u64) {
        std::fs::write(path, content).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_backup_beside_the_log_of_another_state_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let [_, backup, _] = left_behind(&path, 0..50);
        left_behind(&path, 50..150);
        let [before, _, log] = left_behind(&path, 150..400);
        let killed = directory.path().join("killed.db");
        let wal = beside(&killed, "-wal");
        write(&wal, &log, 2_000);
        write(&killed, &before, 1_000);
        assert_eq!(refuse_foreign_log(&killed), Ok(()), "no checkpoint has copied anything");

        write(&killed, &backup, 3_000);
        let error = refuse_foreign_log(&killed).unwrap_err();
        assert!(error.contains(&format!("remove {}", wal.display())), "{error}");
        // What this prevents: SQLite applies the log to the backup.
        let damaged = Connection::open(&killed).unwrap();
        let sound: Result<String, _> = damaged.query_row("PRAGMA integrity_check", [], |row| row.get(0));
        let rows: Result<u32, _> = damaged.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
        assert!(sound != Ok("ok".to_owned()) || rows != Ok(50), "{sound:?} {rows:?}");
        drop(damaged);

        // Both ways out.
        write(&killed, &backup, 3_000);
        write(&wal, &log, 4_000);
        assert_eq!(refuse_foreign_log(&killed), Ok(()));
        std::fs::remove_file(&wal).unwrap();
        assert_eq!(refuse_foreign_log(&killed), Ok(()));
    }

    #[test]
    fn a_process_that_is_killed_during_a_checkpoint_or_after_it_may_start_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        left_behind(&path, 0..50);
        let [mut torn, after, log] = left_behind(&path, 50..300);
        let killed = directory.path().join("killed.db");
        write(&beside(&killed, "-wal"), &log, 1_000);
        torn.resize(after.len(), 0);
        let mut copied = 0;
        // Page by page, as the checkpoint copies them.
        for (page, from) in after.chunks(4_096).enumerate() {
            let to = page * 4_096;
            if torn[to..to + 4_096] == *from {
                continue;
            }
            torn[to..to + 4_096].copy_from_slice(from);
            copied += 1;
            write(&killed, &torn, 2_000);
            assert_eq!(refuse_foreign_log(&killed), Ok(()), "{copied} pages");
        }
        assert!(copied > 10);
        assert_eq!(refuse_foreign_log(&directory.path().join("missing.db")), Ok(()));
    }

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
