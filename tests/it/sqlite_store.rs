//! SQLite store: the suite that all stores share, and tests of its file and of several processes on it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use casebridge::entities::{MappingId, PollMemory, Side};
use casebridge::store::{Created, MappingFilter, OverlayStore, SqliteStore, Store, StoreError};
use chrono::Duration;
use rusqlite::Connection;

use casebridge_testkit::contract::store::{
    self as suite, PersistentUnderTest, StoreUnderTest, create, now, of_company, of_google, store_contract,
};

mod file {
    use super::{File, store_contract, suite};

    store_contract!(persistent suite, async { File::new() });
}

mod memory {
    use super::{Memory, store_contract, suite};

    store_contract!(suite, async { Memory::new() });
}

mod overlay {
    use super::{Overlay, store_contract, suite};

    store_contract!(suite, async { Overlay::new() });
}

/// View of an empty store, which keeps what is written.
struct Overlay(Arc<OverlayStore>);

impl Overlay {
    fn new() -> Self {
        Self(Arc::new(OverlayStore::new(Arc::new(SqliteStore::in_memory().unwrap()))))
    }
}

#[async_trait]
impl StoreUnderTest for Overlay {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::<OverlayStore>::clone(&self.0)
    }
}

#[tokio::test]
async fn a_view_shows_its_own_changes_and_leaves_the_store_beneath_alone() {
    let beneath = Arc::new(SqliteStore::in_memory().unwrap());
    for number in 0..10 {
        create(&*beneath, of_google(number)).await;
    }
    beneath.set_poll(Side::Google, Some(now()), &PollMemory::default()).await.unwrap();
    let before =
        (beneath.list(MappingFilter::All, None, 100).await.unwrap(), beneath.global().await.unwrap());
    let mappings = &before.0.mappings;
    let view = OverlayStore::new(Arc::<SqliteStore>::clone(&beneath));
    let mut resolved = mappings[3].clone();
    resolved.resolved_at = Some(now());
    view.update(&resolved).await.unwrap();
    view.delete(&mappings[4]).await.unwrap();
    let new = create(&view, of_company(7)).await;
    view.delete(&create(&view, of_company(8)).await).await.unwrap();
    view.set_poll(Side::Google, None, &PollMemory::default()).await.unwrap();
    assert!(
        matches!(view.create(of_google(5)).await.unwrap(), Created::Existing(found) if found == mappings[5])
    );
    assert!(matches!(view.create(of_google(4)).await.unwrap(), Created::New(_)), "its case is free again");
    for limit in [1, 3, 100] {
        let (mut open, mut after) = (Vec::new(), None);
        loop {
            let page = view.list(MappingFilter::Open, after, limit).await.unwrap();
            assert!(page.mappings.len() <= limit);
            open.extend(page.mappings.iter().map(|mapping| mapping.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected = mappings.iter().map(|mapping| mapping.id);
        let expected = expected.filter(|id| *id != mappings[3].id && *id != mappings[4].id);
        let expected: Vec<MappingId> = expected.chain([new.id, MappingId(new.id.0 + 2)]).collect();
        assert_eq!(open, expected, "by {limit}");
    }
    assert_eq!(view.created().await.len(), 2);
    assert_eq!(view.deleted().await, [mappings[4].clone()]);
    let after = (beneath.list(MappingFilter::All, None, 100).await.unwrap(), beneath.global().await.unwrap());
    assert_eq!(before, after);
}

/// Store in a file in a directory of its own.
struct File(tempfile::TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("casebridge.db")
    }
}

#[async_trait]
impl StoreUnderTest for File {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path()).unwrap())
    }
}

#[async_trait]
impl PersistentUnderTest for File {
    async fn spoil(&self, id: MappingId) {
        let changed = Connection::open(self.path())
            .unwrap()
            .execute("UPDATE CaseMapping SET details = '{' WHERE ID = ?1", [id.0])
            .unwrap();
        assert_eq!(changed, 1);
    }
}

/// Store in memory that all callers share.
struct Memory(Arc<SqliteStore>);

impl Memory {
    fn new() -> Self {
        Self(Arc::new(SqliteStore::in_memory().unwrap()))
    }
}

#[async_trait]
impl StoreUnderTest for Memory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::<SqliteStore>::clone(&self.0)
    }
}

/// This test binary again, running `test` in a child process with the file's path in [`CHILD`]. It prints a line for each item that
/// the store has acknowledged.
struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// Environment variable that is set in a child process: the file to work on.
const CHILD: &str = "CASEBRIDGE_TEST_SQLITE_CHILD";
/// Beginning of a child's lines, among the output of the test harness.
const MARK: &str = "stored:";

impl Process {
    fn start(test: &str, path: &Path) -> Self {
        let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture", "--test-threads=1"])
            .env(CHILD, path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Returns the next item that the child reported as stored; `None` after it has ended.
    fn next(&mut self) -> Option<Vec<i64>> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A line that was cut off is not a report.
            if let Some((_, numbers)) = line.strip_suffix('\n').and_then(|line| line.split_once(MARK)) {
                return Some(numbers.split(' ').map(|number| number.parse().unwrap()).collect());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(numbers: &[i64]) {
    let numbers: Vec<_> = numbers.iter().map(i64::to_string).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{MARK}{}", numbers.join(" ")).unwrap();
    out.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing_that_was_acknowledged() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_until_killed(Path::new(&path)).await;
    }
    let file = File::new();
    let mut acknowledged = HashMap::new();
    for round in 1..=5 {
        let mut writer = Process::start("a_killed_process_loses_nothing_that_was_acknowledged", &file.path());
        let mut lines = 0;
        while let Some(numbers) = writer.next() {
            let [id, version] = numbers[..] else { panic!("{numbers:?}") };
            acknowledged.insert(id, version);
            lines += 1;
            if lines == 100 * round {
                // SIGKILL at an arbitrary moment; the reports up to then are still in the pipe.
                writer.child.kill().unwrap();
            }
        }
        assert!(lines >= 100 * round, "the writer ended by itself after {lines} lines");
        let store = SqliteStore::open(&file.path()).unwrap();
        for (id, version) in &acknowledged {
            let mapping = store.get(MappingId(*id)).await.unwrap();
            let stored = mapping.as_ref().map_or(0, |mapping| i64::try_from(mapping.version).unwrap());
            assert!(stored >= *version, "mapping {id} is at {stored}, {version} was acknowledged");
        }
        store.check().await.unwrap();
    }
    let intact: String = Connection::open(file.path())
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok");
}

/// Runs four writers that create and change mappings and report it.
async fn write_until_killed(path: &Path) {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let first = store.list(MappingFilter::All, None, usize::MAX).await.unwrap().mappings.len();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in (first * 10 + writer..).step_by(4) {
                    let Created::New(mut mapping) = store.create(of_google(number)).await.unwrap() else {
                        continue;
                    };
                    for _ in 0..3 {
                        say(&[mapping.id.0, i64::try_from(mapping.version).unwrap()]);
                        mapping = store.update(&mapping).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_one_file() {
    const CASES: usize = 150;
    if let Some(path) = std::env::var_os(CHILD) {
        return create_each(Path::new(&path), CASES).await;
    }
    let file = File::new();
    // All processes open the file at once, while it is still empty.
    let processes: Vec<_> =
        (0..4).map(|_| Process::start("processes_share_one_file", &file.path())).collect();
    let mut made = HashMap::new();
    for mut process in processes {
        while let Some(numbers) = process.next() {
            let [number, id] = numbers[..] else { panic!("{numbers:?}") };
            assert_eq!(made.insert(number, id), None, "case {number} was made twice");
        }
        assert!(process.child.wait().unwrap().success());
    }
    let store = SqliteStore::open(&file.path()).unwrap();
    let stored = store.list(MappingFilter::All, None, usize::MAX).await.unwrap().mappings;
    assert_eq!((stored.len(), made.len()), (CASES, CASES));
    // Each of the four processes moved the watermark as well.
    assert_eq!(
        store.global().await.unwrap().last_polled_at(Side::Google),
        Some(now() + Duration::seconds(i64::try_from(CASES).unwrap()))
    );
}

async fn create_each(path: &Path, cases: usize) {
    let store = SqliteStore::open(path).unwrap();
    for number in 1..=cases {
        if let Created::New(mapping) = store.create(of_google(number)).await.unwrap() {
            say(&[i64::try_from(number).unwrap(), mapping.id.0]);
        }
        let at = now() + Duration::seconds(i64::try_from(number).unwrap());
        store.set_poll(Side::Google, Some(at), &PollMemory::default()).await.unwrap();
    }
}

#[tokio::test]
async fn other_tables_in_the_file_are_left_alone() {
    let file = File::new();
    let other = Connection::open(file.path()).unwrap();
    other
        .execute_batch(
            "PRAGMA user_version = 7; CREATE TABLE queue (name TEXT); INSERT INTO queue VALUES ('a')",
        )
        .unwrap();
    let store = SqliteStore::open(&file.path()).unwrap();
    create(&store, of_google(1)).await;
    other.execute("INSERT INTO queue VALUES ('b')", []).unwrap();
    create(&store, of_google(2)).await;
    let kept: (i64, i64) = other
        .query_row("SELECT count(*), (SELECT * FROM pragma_user_version) FROM queue", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(kept, (2, 7));
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_read() {
    let file = File::new();
    Connection::open(file.path())
        .unwrap()
        .execute_batch(include_str!("../fixtures/store/schema-1.sql"))
        .unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(&file.path()).unwrap();
        let mappings = store.list(MappingFilter::All, None, 10).await.unwrap().mappings;
        insta::assert_debug_snapshot!("first_schema", mappings);
        let global = store.global().await.unwrap();
        assert_eq!(global.last_polled_at(Side::Google), Some(now()));
        assert_eq!(global.last_polled_at(Side::Company), None);
        // Unique keys are still unique, and no ID is assigned again.
        assert!(matches!(store.create(of_google(51_234_456)).await.unwrap(), Created::Existing(_)));
        let new = create(&store, of_company(99)).await;
        assert!(new.id > MappingId(7), "{}", new.id);
        store.delete(&new).await.unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("letter.txt"), "Dear Sir or Madam, this is no database.".repeat(100)).unwrap();
    drop(SqliteStore::open(&path("newer.db")).unwrap());
    Connection::open(path("newer.db"))
        .unwrap()
        .execute("INSERT INTO store_schema (version, applied_by) VALUES (999, '9.9.9')", [])
        .unwrap();
    Connection::open(path("foreign.db")).unwrap().execute_batch("CREATE TABLE CaseMapping (x)").unwrap();
    std::fs::create_dir(path("directory.db")).unwrap();
    let cases = [
        ("letter.txt", true, "is not an SQLite database"),
        ("newer.db", true, "was written by a newer casebridge (schema 999"),
        ("foreign.db", false, "table CaseMapping already exists"),
        ("directory.db", false, "cannot be written"),
        ("missing/casebridge.db", false, "make it, or change store.url"),
    ];
    for (name, corrupt, expected) in cases {
        let error = SqliteStore::open(&path(name)).unwrap_err();
        assert_eq!(matches!(error, StoreError::Corrupt(_)), corrupt, "{name}: {error:?}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{name}: {error}");
    }
    // A file of another program was not changed.
    let letter = std::fs::read_to_string(path("letter.txt")).unwrap();
    assert!(letter.starts_with("Dear Sir"), "{letter}");
}

#[tokio::test]
async fn a_damaged_file_is_an_error_not_a_panic() {
    let file = File::new();
    let store = SqliteStore::open(&file.path()).unwrap();
    for number in 0..200 {
        create(&store, of_google(number)).await;
    }
    drop(store);
    let mut bytes = Vec::new();
    std::fs::File::open(file.path()).unwrap().read_to_end(&mut bytes).unwrap();
    // The first page is kept, so that the file is still a database.
    for byte in &mut bytes[4096..] {
        *byte = 0xA5;
    }
    std::fs::write(file.path(), bytes).unwrap();
    let outcome = match SqliteStore::open(&file.path()) {
        Ok(store) => store.list(MappingFilter::All, None, 1000).await.map(|_| ()),
        Err(error) => Err(error),
    };
    let error = outcome.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("is damaged"), "{error}");
}
