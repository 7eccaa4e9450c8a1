//! State of a sandbox ServiceNow and its changes. It knows no HTTP.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::catalog::{self, Kind};
use super::query::{Value, wire_time};
use super::{FLAG_COLUMN, GOOGLE_NAME_COLUMN, SandboxServiceNowSettings, Spoilt};

/// Record: values by column, all of them text.
pub(super) type Row = BTreeMap<String, String>;

/// `sys_id` of the asking user, who exists from the beginning.
pub(super) const ACCOUNT_ID: &str = "6816f79cc0a8016401c5a33be04be441";

/// `sys_id` of the guest, the user of requests without a sign-in; [`GUEST`] is its `user_name`.
pub(super) const GUEST_ID: &str = "5136503cc611227c0183e96598c4f706";
pub(super) const GUEST: &str = "guest";

/// Key for the position of a record in the order of creation; no real column has this name.
pub(super) const MADE: &str = "#made";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// Number of records ever made. It gives their order, which their `sys_id`s do not show.
    made: u64,
    /// Last number that was assigned in each table.
    numbers: BTreeMap<String, u64>,
    /// Records, by table and `sys_id`.
    tables: BTreeMap<String, BTreeMap<String, Row>>,
    /// Records that the asking user may not see.
    pub(super) hidden: BTreeSet<String>,
    /// Records in another domain, or left out for the asking user by a query rule: they are not even counted.
    #[serde(default)]
    pub(super) left_out: BTreeSet<String>,
    /// Seeds of the attachments with computed content.
    pub(super) computed: BTreeMap<String, u64>,
    /// Answers in place of attachments' content.
    #[serde(default)]
    pub(super) spoilt: BTreeMap<String, Spoilt>,
}

/// Reason why a change of a record was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Columns that a data policy makes mandatory are empty.
    Mandatory(Vec<&'static str>),
    /// The case's state is final, so it cannot be changed.
    Final,
}

/// Values to write, by column.
pub(super) type Sent = BTreeMap<String, String>;

impl State {
    pub(super) fn new(settings: &SandboxServiceNowSettings, now: DateTime<Utc>) -> Self {
        let mut state = Self {
            made: 0,
            numbers: BTreeMap::new(),
            tables: BTreeMap::new(),
            hidden: BTreeSet::new(),
            left_out: BTreeSet::new(),
            computed: BTreeMap::new(),
            spoilt: BTreeMap::new(),
        };
        let system = "system";
        state.insert_user(ACCOUNT_ID, &settings.account, "Casebridge", now);
        for (table, id, name) in [
            (catalog::GROUPS, "287ebd7da9fe198100f92cc8d1d2154e", "Cloud"),
            (catalog::ITEMS, "b0cb50c3c0a8000e01bd6b5e6a4c8b40", "Bond Trading"),
            (catalog::SERVICES, "27d32778c0a8000b00db970eeaa60f16", "Email"),
        ] {
            let row = [("sys_id", id), ("name", name), ("active", "true")].map(owned);
            state.insert(table, row.into(), "system", now);
        }
        state.insert_user(GUEST_ID, GUEST, "Guest", now);
        for (name, value) in [
            ("com.glide.attachment.max_size", (settings.attachment_limit / (1024 * 1024)).to_string()),
            ("glide.attachment.extensions", settings.attachment_extensions.join(",")),
        ] {
            let row = [("name", name), ("value", &value)];
            state.insert(catalog::PROPERTIES, row.map(owned).into(), system, now);
        }
        for table in catalog::CASE_TABLES {
            state.tables.entry(table.to_owned()).or_default();
            for (column, kind) in catalog::columns(table).into_iter().flatten() {
                let (internal_type, length) = catalog::dictionary(kind);
                let (length, label) = (length.to_string(), catalog::column_label(table, column));
                let row = [
                    ("name", table),
                    ("element", column),
                    ("column_label", &label),
                    ("internal_type", internal_type),
                    ("reference", catalog::referenced(kind)),
                    ("max_length", &length),
                    ("read_only", "false"),
                    ("active", "true"),
                ];
                state.insert(catalog::DICTIONARY, row.map(owned).into(), system, now);
                for (value, label) in catalog::choices(table, column) {
                    let row = [
                        ("name", table),
                        ("element", column),
                        ("value", value),
                        ("label", label),
                        ("language", "en"),
                        ("inactive", "false"),
                    ];
                    state.insert(catalog::CHOICES, row.map(owned).into(), system, now);
                }
            }
        }
        // The column that names a record to people. That of services stands under the table that theirs extends.
        for table in [catalog::USERS, catalog::GROUPS, catalog::ITEMS] {
            let row = [("name", table), ("element", "name"), ("display", "true"), ("active", "true")];
            state.insert(catalog::DICTIONARY, row.map(owned).into(), system, now);
        }
        for table in [catalog::JOURNAL, catalog::ATTACHMENTS] {
            state.tables.entry(table.to_owned()).or_default();
        }
        state
    }

    fn insert_user(&mut self, id: &str, user_name: &str, name: &str, now: DateTime<Utc>) {
        let row = [
            ("sys_id", id),
            ("user_name", user_name),
            ("name", name),
            ("email", &format!("{user_name}@example.com")),
            ("active", "true"),
            ("time_zone", "US/Pacific"),
        ];
        let row = row.map(|(column, value)| owned((column, value)));
        self.insert(catalog::USERS, row.into(), "system", now);
    }

    /// Returns the `user_name` of the user with that name, and creates the user if it does not exist.
    pub(super) fn user(&mut self, name: &str, now: DateTime<Utc>) -> String {
        let known = self.rows(catalog::USERS).find(|user| get(user, "name") == name);
        if let Some(user) = known {
            return get(user, "user_name").to_owned();
        }
        let login: String =
            name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '.' }).collect();
        self.insert_user(&new_id(), &login, name, now);
        login
    }

    /// Returns the display name of a user, by `sys_id` or `user_name`.
    pub(super) fn display_name(&self, user: &str) -> Option<&str> {
        let known =
            self.rows(catalog::USERS).find(|row| get(row, "sys_id") == user || get(row, "user_name") == user);
        known.map(|row| get(row, "name"))
    }

    /// Returns the `sys_id` of a record that is shown under this name.
    pub(super) fn id_of(&self, table: &str, name: &str) -> Option<&str> {
        self.rows(table).find(|row| get(row, "name") == name).map(|row| get(row, "sys_id"))
    }

    /// Returns the `sys_id` of a user.
    pub(super) fn user_id(&self, user_name: &str) -> Option<&str> {
        self.rows(catalog::USERS).find(|row| get(row, "user_name") == user_name).map(|row| get(row, "sys_id"))
    }

    /// Returns the records of a table, in no particular order.
    pub(super) fn rows(&self, table: &str) -> impl Iterator<Item = &Row> {
        self.tables.get(table).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn row(&self, table: &str, id: &str) -> Option<&Row> {
        self.tables.get(table)?.get(id)
    }

    /// Returns the table of the case with this `sys_id`.
    pub(super) fn table_of(&self, id: &str) -> Option<&'static str> {
        catalog::CASE_TABLES.into_iter().find(|table| self.row(table, id).is_some())
    }

    /// Stores a new record unchecked; returns its ID.
    pub(super) fn insert(&mut self, table: &str, mut row: Row, who: &str, now: DateTime<Utc>) -> String {
        let id = row.entry("sys_id".to_owned()).or_insert_with(new_id).clone();
        self.made += 1;
        row.insert(MADE.to_owned(), format!("{:012}", self.made));
        let now = wire_time(now);
        for (column, value) in [
            ("sys_created_on", now.as_str()),
            ("sys_updated_on", &now),
            ("sys_created_by", who),
            ("sys_updated_by", who),
            ("sys_mod_count", "0"),
        ] {
            row.entry(column.to_owned()).or_insert_with(|| value.to_owned());
        }
        for (column, _) in catalog::columns(table).into_iter().flatten() {
            row.entry(column.to_owned()).or_default();
        }
        self.tables.entry(table.to_owned()).or_default().insert(id.clone(), row);
        id
    }

    pub(super) fn remove(&mut self, table: &str, id: &str) -> bool {
        let removed = self.tables.get_mut(table).and_then(|rows| rows.remove(id)).is_some();
        if removed && catalog::is_task(table) {
            for (of, column) in [(catalog::JOURNAL, "element_id"), (catalog::ATTACHMENTS, "table_sys_id")] {
                if let Some(rows) = self.tables.get_mut(of) {
                    rows.retain(|_, row| get(row, column) != id);
                }
            }
        }
        removed
    }

    /// Creates a record from the values sent; returns its ID.
    pub(super) fn create(
        &mut self,
        table: &str,
        sent: &Sent,
        who: &str,
        now: DateTime<Utc>,
        settings: &SandboxServiceNowSettings,
    ) -> Result<String, Refused> {
        let mut row = Row::new();
        if catalog::is_task(table) {
            let prefix = match table {
                catalog::CUSTOMER_CASE => "CS",
                catalog::PROBLEM => "PRB",
                _ => "INC",
            };
            let first = catalog::choices(table, "state").first().map_or("1", |(value, _)| value);
            let number = self.numbers.entry(table.to_owned()).or_default();
            *number += 1;
            let number = format!("{prefix}{:07}", 10_000 + *number);
            let opener = self.user_id(who).unwrap_or_default().to_owned();
            row.extend(
                [
                    ("number", number.as_str()),
                    ("sys_class_name", table),
                    ("state", first),
                    ("active", "true"),
                    ("impact", "3"),
                    ("urgency", "3"),
                    ("priority", "4"),
                    ("opened_at", &wire_time(now)),
                    ("opened_by", &opener),
                    (FLAG_COLUMN, "false"),
                    (GOOGLE_NAME_COLUMN, ""),
                    (catalog::DOMAIN, "global"),
                ]
                .map(owned),
            );
        }
        write(table, &mut row, sent);
        settle(table, &mut row, now);
        check(table, &row, settings)?;
        let id = self.insert(table, row, who, now);
        self.write_journals(table, &id, sent, who, now);
        Ok(id)
    }

    /// Changes a record.
    pub(super) fn update(
        &mut self,
        table: &str,
        id: &str,
        sent: &Sent,
        who: &str,
        now: DateTime<Utc>,
        settings: &SandboxServiceNowSettings,
    ) -> Result<(), Refused> {
        let Some(before) = self.row(table, id).cloned() else { return Ok(()) };
        if catalog::is_task(table) && catalog::is_final(table, get(&before, "state")) {
            return Err(Refused::Final);
        }
        let mut row = before.clone();
        write(table, &mut row, sent);
        settle(table, &mut row, now);
        check(table, &row, settings)?;
        let has_entry = self.write_journals(table, id, sent, who, now);
        // A write that changes nothing is not an update.
        if row != before || has_entry {
            touch(&mut row, who, now);
            self.tables.entry(table.to_owned()).or_default().insert(id.to_owned(), row);
        }
        Ok(())
    }

    /// Sets a column of a record without marking it updated, as the system does; false if there is no such record.
    pub(super) fn set(&mut self, table: &str, id: &str, column: &str, value: &str) -> bool {
        let row = self.tables.get_mut(table).and_then(|rows| rows.get_mut(id));
        row.map(|row| row.insert(column.to_owned(), value.to_owned())).is_some()
    }

    /// Marks a record updated.
    pub(super) fn touch(&mut self, table: &str, id: &str, who: &str, now: DateTime<Utc>) {
        if let Some(row) = self.tables.get_mut(table).and_then(|rows| rows.get_mut(id)) {
            touch(row, who, now);
        }
    }

    fn write_journals(&mut self, table: &str, id: &str, sent: &Sent, who: &str, now: DateTime<Utc>) -> bool {
        let mut written = false;
        for column in ["comments", "work_notes"] {
            let Some(text) = sent.get(column).filter(|text| !text.trim().is_empty()) else { continue };
            if catalog::kind(table, column) == Some(Kind::Journal) {
                let row = [("name", table), ("element", column), ("element_id", id), ("value", text)];
                self.insert(catalog::JOURNAL, row.map(owned).into(), who, now);
                written = true;
            }
        }
        written
    }

    /// Returns the journal entries of a record, oldest first.
    pub(super) fn entries(&self, id: &str) -> Vec<&Row> {
        let mut entries: Vec<&Row> =
            self.rows(catalog::JOURNAL).filter(|entry| get(entry, "element_id") == id).collect();
        entries.sort_by_key(|entry| get(entry, MADE));
        entries
    }

    /// Returns the attachments of a record, oldest first.
    pub(super) fn files(&self, id: &str) -> Vec<&Row> {
        let mut files: Vec<&Row> =
            self.rows(catalog::ATTACHMENTS).filter(|file| get(file, "table_sys_id") == id).collect();
        files.sort_by_key(|file| get(file, MADE));
        files
    }

    /// Returns the comparable value of a column. `user.name` reads a column of the record that the column `user` refers to.
    pub(super) fn value(&self, table: &str, row: &Row, path: &str) -> Value {
        let (column, rest) = path.split_once('.').map_or((path, None), |(column, rest)| (column, Some(rest)));
        match (catalog::kind(table, column), rest) {
            (Some(Kind::Reference(of)), Some(rest)) => match self.row(of, get(row, column)) {
                Some(found) => self.value(of, found, rest),
                None => Value::Text(String::new()),
            },
            (Some(Kind::Number), _) => Value::Number(get(row, column).parse().ok()),
            _ => Value::Text(get(row, column).to_owned()),
        }
    }

    /// Reports if a column exists.
    pub(super) fn knows(table: &str, path: &str) -> bool {
        match path.split_once('.') {
            Some((column, rest)) => match catalog::kind(table, column) {
                Some(Kind::Reference(of)) => catalog::kind(of, rest).is_some(),
                _ => false,
            },
            None => catalog::kind(table, path).is_some(),
        }
    }
}

/// Returns the value of a column; an absent column is an empty text.
pub(super) fn get<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).map(String::as_str).unwrap_or_default()
}

pub(super) fn owned((column, value): (&str, &str)) -> (String, String) {
    (column.to_owned(), value.to_owned())
}

pub(super) fn new_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

fn touch(row: &mut Row, who: &str, now: DateTime<Utc>) {
    let count = get(row, "sys_mod_count").parse::<u64>().unwrap_or_default() + 1;
    row.extend(
        [
            ("sys_updated_on", wire_time(now).as_str()),
            ("sys_updated_by", who),
            ("sys_mod_count", &count.to_string()),
        ]
        .map(owned),
    );
}

/// Writes the values sent into a record. Unknown columns, and those of the system, are ignored without an error.
fn write(table: &str, row: &mut Row, sent: &Sent) {
    for (column, value) in sent {
        let value = match catalog::kind(table, column) {
            Some(Kind::Text(most)) => value.chars().take(most).collect(),
            Some(Kind::Number) if value.trim().parse::<i64>().is_ok() || value.is_empty() => {
                value.trim().to_owned()
            }
            Some(Kind::Boolean) => matches!(value.as_str(), "true" | "1" | "True").to_string(),
            // A text that is no `sys_id` is kept as well: "stores them in the database without manipulation" (Table API,
            // `sysparm_input_display_value`).
            Some(Kind::Time | Kind::Reference(_)) => value.clone(),
            Some(Kind::Number | Kind::Journal | Kind::System) | None => continue,
        };
        row.insert(column.clone(), value);
    }
}

/// Applies the business rules to a case: priority, activity, and the times of resolving and closing.
fn settle(table: &str, row: &mut Row, now: DateTime<Utc>) {
    if !catalog::is_task(table) {
        return;
    }
    let state = get(row, "state").to_owned();
    if table == catalog::INCIDENT {
        // The priority of an incident is always computed; a value that was sent is ignored.
        let priority = catalog::priority(get(row, "impact"), get(row, "urgency"));
        row.insert("priority".to_owned(), priority.to_owned());
    }
    let is_final = catalog::is_final(table, &state);
    row.insert("active".to_owned(), (!is_final).to_string());
    let now = wire_time(now);
    for (column, holds) in
        [("resolved_at", is_final || catalog::is_resolved(table, &state)), ("closed_at", is_final)]
    {
        let known = get(row, column).to_owned();
        let value = match (holds, known.is_empty()) {
            (true, true) => now.clone(),
            (true, false) => known,
            (false, _) => String::new(),
        };
        row.insert(column.to_owned(), value);
    }
}

/// Checks the data policy for resolved and closed cases; canceled incidents are exempt.
fn check(table: &str, row: &Row, settings: &SandboxServiceNowSettings) -> Result<(), Refused> {
    let state = get(row, "state");
    let is_done = catalog::is_resolved(table, state) || (catalog::is_final(table, state) && state != "8");
    if !catalog::is_task(table) || !is_done || !settings.close_fields_mandatory {
        return Ok(());
    }
    let mandatory = [catalog::code_column(table), "close_notes"];
    let missing: Vec<&'static str> =
        mandatory.into_iter().filter(|column| get(row, column).trim().is_empty()).collect();
    if missing.is_empty() { Ok(()) } else { Err(Refused::Mandatory(missing)) }
}
