//! SQLite file that keeps a sandbox's cases from one run to the next: one row for each case, written with every change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::SandboxError;
use super::events::EventSubscription;
use super::model::Record;

/// Version of the file's layout; a file with another version is refused.
const FORMAT: &str = "1";

#[derive(Debug)]
pub(super) struct Database(Connection);

/// Content of the file when it was opened.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) cases: BTreeMap<u64, Record>,
    pub(super) projects: BTreeSet<String>,
    pub(super) next_number: Option<u64>,
    pub(super) subscriptions: Vec<EventSubscription>,
}

impl Database {
    /// Opens the file, or makes it, for the cases of one organisation.
    pub(super) fn open(path: &Path, organization: &str) -> Result<(Self, Loaded), SandboxError> {
        let connection = Connection::open(path)?;
        // A killed process loses nothing. A crash of the machine can lose the last changes, which is good enough for a sandbox.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS cases (number INTEGER PRIMARY KEY, document TEXT NOT NULL) STRICT;",
        )?;
        let database = Self(connection);
        for (name, expected) in [("format", FORMAT), ("organization", organization)] {
            match database.setting(name)? {
                None => database.set(name, expected)?,
                Some(found) if found == expected => {}
                Some(found) => {
                    return Err(SandboxError::OtherData {
                        path: path.to_owned(),
                        what: name,
                        found,
                        expected: expected.to_owned(),
                    });
                }
            }
        }
        let loaded = database.load()?;
        Ok((database, loaded))
    }

    /// Stores a case as it is now, and the number that the next one gets.
    pub(super) fn save(&mut self, record: &Record, next_number: u64) -> Result<(), SandboxError> {
        let document = serde_json::to_string(record)?;
        let transaction = self.0.transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO cases (number, document) VALUES (?1, ?2)",
            params![record.number.cast_signed(), document],
        )?;
        transaction.execute(
            "INSERT OR REPLACE INTO settings (name, value) VALUES ('next_number', ?1)",
            [next_number.to_string()],
        )?;
        Ok(transaction.commit()?)
    }

    pub(super) fn save_projects(&mut self, projects: &BTreeSet<String>) -> Result<(), SandboxError> {
        self.set("projects", &serde_json::to_string(projects)?)
    }

    pub(super) fn save_subscriptions(&mut self, all: &[EventSubscription]) -> Result<(), SandboxError> {
        self.set("event_subscriptions", &serde_json::to_string(all)?)
    }

    pub(super) fn delete(&mut self, number: u64) -> Result<(), SandboxError> {
        self.0.execute("DELETE FROM cases WHERE number = ?1", [number.cast_signed()])?;
        Ok(())
    }

    fn load(&self) -> Result<Loaded, SandboxError> {
        let mut loaded = Loaded::default();
        let mut statement = self.0.prepare("SELECT document FROM cases")?;
        for document in statement.query_map([], |row| row.get::<_, String>(0))? {
            let record: Record = serde_json::from_str(&document?)?;
            loaded.cases.insert(record.number, record);
        }
        if let Some(projects) = self.setting("projects")? {
            loaded.projects = serde_json::from_str(&projects)?;
        }
        if let Some(subscriptions) = self.setting("event_subscriptions")? {
            loaded.subscriptions = serde_json::from_str(&subscriptions)?;
        }
        loaded.next_number = self.setting("next_number")?.and_then(|number| number.parse().ok());
        Ok(loaded)
    }

    fn setting(&self, name: &str) -> Result<Option<String>, SandboxError> {
        let found = self
            .0
            .query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
            .optional()?;
        Ok(found)
    }

    fn set(&self, name: &str, value: &str) -> Result<(), SandboxError> {
        self.0.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)", [name, value])?;
        Ok(())
    }
}
