//! Tables of the embedded queue, and their migrations.

use rusqlite::{Connection, TransactionBehavior, params};

/// Latest version of the tables.
pub(super) const LATEST: u32 = 3;
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
    "
    -- A commit writes each page that it changes, of each table and each index. So a task that ends stays as the row that blocks its
    -- name, an index holds only the tasks that wait or only those that are being delivered, and no other page counts the IDs.
    CREATE TABLE queue_tasks_3 (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        -- When due_at was set: a time that lies ahead was set by a clock that ran ahead, and so was due_at.
        due_set_at INTEGER NOT NULL,
        -- attempts begun, and those that the handler has answered
        dispatches INTEGER NOT NULL DEFAULT 0,
        responses INTEGER NOT NULL DEFAULT 0,
        first_attempt_at INTEGER,
        last_status INTEGER,
        last_failure TEXT,
        -- who is delivering it, and until when nobody else may
        claimed_by TEXT,
        claimed_until INTEGER,
        -- set when the task is done or given up: the time until which its name stays blocked
        blocked_until INTEGER,
        UNIQUE (kind, name)
    ) STRICT;
    INSERT INTO queue_tasks_3 (id, kind, name, body, created_at, due_at, due_set_at, dispatches, responses,
                               first_attempt_at, last_status, last_failure, claimed_by, claimed_until)
        SELECT id, kind, name, body, created_at, due_at, due_set_at, dispatches, responses,
               first_attempt_at, last_status, last_failure, claimed_by, claimed_until FROM queue_tasks;
    INSERT INTO queue_tasks_3 (kind, name, body, created_at, due_at, due_set_at, blocked_until)
        SELECT kind, name, '', 0, 0, 0, until FROM queue_used_names WHERE true ORDER BY until
        ON CONFLICT (kind, name) DO NOTHING;
    DROP TABLE queue_tasks;
    DROP TABLE queue_used_names;
    ALTER TABLE queue_tasks_3 RENAME TO queue_tasks;
    CREATE INDEX queue_tasks_waiting ON queue_tasks (kind, due_at, id)
        WHERE claimed_until IS NULL AND blocked_until IS NULL;
    CREATE INDEX queue_tasks_claimed ON queue_tasks (kind, claimed_until, claimed_by)
        WHERE claimed_until IS NOT NULL;
",
];

/// Migrates the tables and returns their version.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
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
