//! Reads typed values from a TOML table and the environment, and collects all errors.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::str::FromStr;

use chrono::{DateTime, Duration, NaiveDate, Utc};
use toml::Value;

use super::secret::SecretRef;
use crate::address;
use crate::cases::shorten;
use crate::entities::{EscalationReason, GoogleState};
use crate::spelling::{MOST_SLIPS, nearest};

const PREFIX: &str = "CASEBRIDGE_";
/// Keys without a section, as variables name them.
const LISTS: [&str; 1] = ["ROUTE"];

pub(super) struct Reader {
    /// Values by dotted key.
    values: BTreeMap<String, Value>,
    /// Environment variable that set each overridden key, for error messages.
    origins: BTreeMap<String, String>,
    used: BTreeSet<String>,
    /// Keys that the code may read, besides those that it did read.
    known: BTreeSet<String>,
    /// Variables with the prefix that name no section.
    strays: Vec<String>,
    errors: Vec<String>,
}

impl Reader {
    pub(super) fn new(table: toml::Table, environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut values = BTreeMap::new();
        flatten("", table, &mut values);
        let (mut given, mut strays) = (BTreeMap::new(), Vec::new());
        for (name, value) in environment {
            if !name.starts_with(PREFIX) {
                continue;
            }
            match key_of(&name) {
                Some(key) => {
                    given.insert(key, (name, value));
                }
                None => strays.push(name),
            }
        }
        let mut origins = BTreeMap::new();
        // In this order a table comes before its own entries.
        for (key, (name, value)) in given {
            let beneath = format!("{key}.");
            values.retain(|known, _| !known.starts_with(&beneath) || origins.contains_key(known));
            match object(&value) {
                Some(table) if !is_of_a_crm(&key) => {
                    let mut entries = BTreeMap::new();
                    flatten(&key, table, &mut entries);
                    origins.extend(entries.keys().map(|key| (key.clone(), name.clone())));
                    values.extend(entries);
                }
                Some(_) | None => {
                    values.insert(key.clone(), Value::String(value));
                    origins.insert(key, name);
                }
            }
        }
        Self { values, origins, used: BTreeSet::new(), known: BTreeSet::new(), strays, errors: Vec::new() }
    }

    /// Adds keys that may be read, for the search for what a misspelt variable means.
    pub(super) fn knows(&mut self, keys: impl IntoIterator<Item = String>) {
        self.known.extend(keys);
    }

    /// Returns all errors, including one for each key that was never read and one for each variable that almost names a key.
    pub(super) fn finish(mut self) -> Vec<String> {
        for key in self.values.keys() {
            if self.used.contains(key) {
                continue;
            }
            let problem = if let Some(name) = self.origins.get(key) {
                self.no_such(name)
            } else {
                let near = self.near_key(key).map(|near| format!("; did you mean {near}?"));
                format!("{}: there is no such key{}", shorten(key), near.unwrap_or_default())
            };
            self.errors.push(problem);
        }
        // A variable that holds a secret has any name.
        let secrets: BTreeSet<&str> = self
            .values
            .values()
            .filter_map(Value::as_str)
            .filter_map(|text| text.strip_prefix("env:"))
            .collect();
        for name in &self.strays {
            if let Some(near) = self.near(name).filter(|_| !secrets.contains(name.as_str())) {
                self.errors.push(format!(
                    "{}: there is no such key; did you mean {near}? Two underscores stand between a section and a key",
                    shorten(name)
                ));
            }
        }
        let names = self.names();
        self.errors.iter().map(|error| with_other_names(&bounded(error), &names)).collect()
    }

    /// Returns the variable of each key that may be read.
    fn names(&self) -> BTreeMap<String, String> {
        self.known.iter().chain(&self.used).map(|key| (key.clone(), variable(key))).collect()
    }

    /// Returns the error for a variable that names no key.
    fn no_such(&self, name: &str) -> String {
        let near = self.near(name).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("{}: there is no such key{near}", shorten(name))
    }

    /// Finds the variable of a key that a misspelt one most likely means.
    fn near(&self, name: &str) -> Option<String> {
        let wanted = bare(name);
        self.known
            .iter()
            .chain(&self.used)
            .map(|key| variable(key))
            .filter(|known| known != name)
            .map(|known| (strsim::levenshtein(&bare(&known), &wanted), known))
            .filter(|(distance, _)| *distance <= MOST_SLIPS && distance * 4 <= wanted.len())
            .min()
            .map(|(_, known)| known)
    }

    /// Finds the key that a misspelt one in the file most likely means.
    fn near_key(&self, wanted: &str) -> Option<&str> {
        nearest(wanted, self.known.iter().chain(&self.used).map(String::as_str))
    }

    pub(super) fn error(&mut self, error: impl Into<String>) {
        self.errors.push(error.into());
    }

    /// Returns the number of errors so far, to see if reading a value adds one.
    pub(super) const fn error_count(&self) -> usize {
        self.errors.len()
    }

    fn wrong(&mut self, key: &str, expected: &str) {
        let name = self.origins.get(key).cloned().unwrap_or_else(|| key.to_owned());
        self.errors.push(format!("{name}: expected {expected}"));
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.used.insert(key.to_owned());
        self.values.get(key).cloned()
    }

    pub(super) fn string(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            Value::String(_) => {
                self.wrong(key, "a text that is not empty");
                None
            }
            // The value is not shown: a number may have been meant to be a secret.
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => {
                self.wrong(key, "a text in quotes");
                None
            }
        }
    }

    /// Reads a text like [`string`](Self::string). The error shows a number in the quotes that it lacks, so the key must be none of a secret.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        match self.values.get(key) {
            Some(Value::Integer(number)) => {
                let expected = format!("a text in quotes: \"{number}\"");
                self.used.insert(key.to_owned());
                self.wrong(key, &expected);
                None
            }
            _ => self.string(key),
        }
    }

    /// True if the key is given, with whatever value.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn string_or(&mut self, key: &str, default: &str) -> String {
        self.string(key).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn required(&mut self, key: &str, what: &str) -> Option<String> {
        if !self.values.contains_key(key) {
            self.used.insert(key.to_owned());
            self.errors.push(format!("{key} is missing: {what}"));
            return None;
        }
        self.string(key)
    }

    pub(super) fn strings(&mut self, key: &str) -> Vec<String> {
        match self.take(key) {
            None => Vec::new(),
            // A value from the environment is a list separated by commas.
            Some(Value::String(text)) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
            Some(Value::Array(values)) if values.iter().all(Value::is_str) => {
                values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                self.wrong(key, "a list of texts");
                Vec::new()
            }
        }
    }

    pub(super) fn bool_or(&mut self, key: &str, default: bool) -> bool {
        let value = match self.take(key) {
            None => return default,
            Some(Value::Boolean(value)) => Some(value),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        value.unwrap_or_else(|| {
            self.wrong(key, "true or false");
            default
        })
    }

    pub(super) fn positive(&mut self, key: &str, default: u32) -> Option<NonZeroU32> {
        let value = match self.take(key) {
            None => NonZeroU32::new(default),
            Some(Value::Integer(value)) => u32::try_from(value).ok().and_then(NonZeroU32::new),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        if value.is_none() {
            self.wrong(key, "a whole number greater than 0");
        }
        value
    }

    pub(super) fn duration(&mut self, key: &str, default: &str) -> Option<Duration> {
        let text = match self.take(key) {
            None => default.to_owned(),
            Some(Value::String(text)) => text,
            Some(_) => String::new(),
        };
        let duration =
            humantime::parse_duration(&text).ok().and_then(|duration| Duration::from_std(duration).ok());
        // A longer duration could leave the range of dates when it is added to one.
        let duration =
            duration.filter(|duration| *duration > Duration::zero() && *duration <= Duration::days(3660));
        if duration.is_none() {
            self.wrong(key, "a duration like \"30m\", \"12h\" or \"30d\", at most ten years");
        }
        duration
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &str, default: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = match self.take(key) {
            None => default.to_owned(),
            Some(Value::String(text)) => text,
            Some(_) => String::new(),
        };
        let chosen = named(choices, &text);
        if chosen.is_none() {
            self.wrong(key, &names_of(choices).join(" or "));
        }
        chosen
    }

    /// Reads one of `choices`, if the key is given.
    pub(super) fn optional_choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        if self.values.contains_key(key) {
            self.choice(key, "", choices)
        } else {
            self.used.insert(key.to_owned());
            None
        }
    }

    /// Reads a list whose entries are each one of `choices`. Other entries are reported as an error and left out.
    pub(super) fn choices<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Vec<T> {
        let texts = self.strings(key);
        let chosen: Vec<T> = texts.iter().filter_map(|text| named(choices, text)).collect();
        if chosen.len() < texts.len() {
            self.wrong(key, &format!("a list of some of {}", names_of(choices).join(", ")));
        }
        chosen
    }

    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let parsed = self.string(key)?.parse().ok();
        if parsed.is_none() {
            self.wrong(key, expected);
        }
        parsed
    }

    /// Reads a text of which some are dates, which TOML has as such.
    pub(super) fn parsed_or_date<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let text = match self.take(key)? {
            Value::String(text) => text,
            Value::Datetime(date) => date.to_string(),
            _ => String::new(),
        };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.wrong(key, expected);
        }
        parsed
    }

    /// Reads a date, which counts from its first moment in UTC.
    pub(super) fn date(&mut self, key: &str) -> Option<DateTime<Utc>> {
        let text = match self.take(key)? {
            Value::String(text) => text,
            Value::Datetime(date) => date.to_string(),
            _ => String::new(),
        };
        let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok();
        let midnight = date.and_then(|date| date.and_hms_opt(0, 0, 0)).map(|time| time.and_utc());
        if midnight.is_none() {
            self.wrong(key, "a date like \"2027-03-01\"");
        }
        midnight
    }

    pub(super) fn url(&mut self, key: &str, default: Option<&str>) -> Option<url::Url> {
        let text = match default {
            Some(default) => self.string_or(key, default),
            None => self.required(key, "an address like https://example.atlassian.net")?,
        };
        match address::read(&text) {
            Ok(url) => Some(url),
            Err(expected) => {
                self.wrong(key, expected);
                None
            }
        }
    }

    pub(super) fn secret(&mut self, key: &str) -> Option<SecretRef> {
        let text = self.string(key)?;
        match text.parse() {
            Ok(secret) => Some(secret),
            // The message does not show the value, which may be the secret itself, put here by mistake.
            Err(error) => {
                self.wrong(key, &error);
                None
            }
        }
    }

    /// Reads a whole section for a part that parses its own. Values from the environment are untyped texts: `fits` reports if that part
    /// accepts a table with this one key.
    pub(super) fn subtable(&mut self, section: &str, fits: impl Fn(toml::Table) -> bool) -> toml::Table {
        let prefix = format!("{section}.");
        let keys: Vec<String> = self.values.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        let mut table = toml::Table::new();
        for key in keys {
            let Some(mut value) = self.take(&key) else { continue };
            let name = &key[prefix.len()..];
            let top = name.split_once('.').map_or(name, |(top, _)| top);
            if let Some(variable) = self.origins.get(&key)
                && !self.known.contains(&format!("{prefix}{top}"))
            {
                let problem = self.no_such(variable);
                self.errors.push(problem);
                continue;
            }
            if let (Value::String(text), true) = (&value, self.origins.contains_key(&key)) {
                let alone = |value: &Value| {
                    let mut alone = toml::Table::new();
                    insert(&mut alone, name, value.clone());
                    alone
                };
                // A place for any value takes JSON: a number is a number there, and a text of digits is in quotes.
                let takes_any =
                    fits(alone(&Value::Boolean(true))) && fits(alone(&Value::Table(toml::Table::new())));
                let typed = if takes_any {
                    json(text)
                } else {
                    readings(text).find(|candidate| fits(alone(candidate)))
                };
                // A part of an entry fits nowhere alone.
                value = typed.or_else(|| json(text)).unwrap_or(value);
            }
            if !insert(&mut table, name, without_dates(value)) {
                let given = self.origins.get(&key).cloned().unwrap_or_else(|| key.clone());
                self.errors.push(format!(
                    "{given}: {prefix}{top} is given as a value of its own, so that nothing stands below it"
                ));
            }
        }
        table
    }

    /// Reads an array of tables, `[[key]]`; from the environment, a list of objects in JSON.
    pub(super) fn tables(&mut self, key: &str) -> Vec<toml::Table> {
        let alone = format!("{key}.");
        if self.values.keys().any(|other| other.starts_with(&alone)) {
            self.ignore(key);
            self.errors.push(format!("[{key}] is a list: write [[{key}]]"));
        }
        let list = match self.take(key) {
            None => return Vec::new(),
            Some(Value::String(text)) => json(&text),
            Some(other) => Some(other),
        };
        let tables = match list {
            Some(Value::Array(values)) => {
                let table = |value| if let Value::Table(table) = value { Some(table) } else { None };
                values.into_iter().map(table).collect()
            }
            Some(_) | None => None,
        };
        tables.unwrap_or_else(|| {
            self.wrong(
                key,
                &format!("tables, each under [[{key}]]; in the environment, a list of objects in JSON"),
            );
            Vec::new()
        })
    }

    /// Marks all keys of a section as read. Used when the CRM that would read them is unknown.
    pub(super) fn ignore(&mut self, section: &str) {
        let prefix = format!("{section}.");
        self.used.extend(self.values.keys().filter(|key| key.starts_with(&prefix)).cloned());
    }
}

/// Returns the dotted key that a variable names. `None` if the name has no section and is none of [`LISTS`].
fn key_of(name: &str) -> Option<String> {
    let name = name.strip_prefix(PREFIX)?;
    if LISTS.contains(&name) {
        return Some(name.to_lowercase());
    }
    let (section, key) = name.split_once("__")?;
    // The name of a CRM may have a hyphen in the file, which is not possible in a variable: COMPANY__REQUEST_TRACKER__QUEUE.
    let key = match key.split_once("__") {
        Some((crm, key)) if section == "COMPANY" => {
            format!("{}.{}", crm.replace('_', "-"), key.replace("__", "."))
        }
        Some(_) | None => key.replace("__", "."),
    };
    let key = format!("{section}.{key}").to_lowercase();
    // Priority levels such as P0, and Google's states and reasons, are in capitals in the file.
    let is_state = |part: &str| match section {
        "STATUS" => GoogleState::OPEN.iter().any(|state| state.name().eq_ignore_ascii_case(part)),
        "GOOGLE" => EscalationReason::ALL.iter().any(|reason| reason.name().eq_ignore_ascii_case(part)),
        _ => false,
    };
    let parts = key.split('.').map(|part| match part.as_bytes() {
        [b'p', b'0'..=b'4'] => part.to_uppercase(),
        _ if is_state(part) => part.to_uppercase(),
        _ => part.to_owned(),
    });
    Some(parts.collect::<Vec<_>>().join("."))
}

/// Returns the variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").replace('-', "_").to_uppercase())
}

/// Adds to an error the variable of each key that it names, and the key of each variable.
fn with_other_names(error: &str, names: &BTreeMap<String, String>) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let words: BTreeSet<&str> =
        error.split(|letter| !is_part(letter)).map(|word| word.trim_end_matches('.')).collect();
    let missing = |(key, variable): (&String, &String)| match (
        words.contains(key.as_str()),
        words.contains(variable.as_str()),
    ) {
        (true, false) => Some(variable.clone()),
        (false, true) => Some(key.clone()),
        (true, true) | (false, false) => None,
    };
    let others: Vec<String> = names.iter().filter_map(missing).collect();
    if others.is_empty() { error.to_owned() } else { format!("{error} ({})", others.join(", ")) }
}

/// Cuts the middle out of an error that repeats a long value. Its beginning names the key, its end tells what to do.
pub(super) fn bounded(error: &str) -> String {
    const BEGINNING: usize = 600;
    const END: usize = 400;
    let length = error.chars().count();
    if length <= BEGINNING + END {
        return error.to_owned();
    }
    let beginning: String = error.chars().take(BEGINNING).collect();
    let end: String = error.chars().skip(length - END).collect();
    format!("{beginning}… ({} characters left out) …{end}", length - BEGINNING - END)
}

/// Returns a variable's name without what is most often forgotten in it.
fn bare(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).replace('_', "")
}

/// Reads a text as JSON. `None` if it is no JSON, or holds a null, which TOML has not.
fn json(text: &str) -> Option<Value> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Value::try_from(value).ok()
}

/// Reads a text as a JSON object.
fn object(text: &str) -> Option<toml::Table> {
    match json(text)? {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// Replaces dates by their texts: no CRM has another form of them in JSON.
pub(super) fn without_dates(value: Value) -> Value {
    match value {
        Value::Datetime(date) => Value::String(date.to_string()),
        Value::Table(table) => {
            Value::Table(table.into_iter().map(|(key, value)| (key, without_dates(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_dates).collect()),
        value @ (Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) => value,
    }
}

/// Returns the possible values of a text from the environment: the text itself, a boolean, a number, JSON, a list separated by commas.
fn readings(text: &str) -> impl Iterator<Item = Value> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let list = parts.map(|part| Value::String(part.to_owned())).collect();
    [
        Some(Value::String(text.to_owned())),
        text.parse().ok().map(Value::Boolean),
        text.parse().ok().map(Value::Integer),
        json(text),
        Some(Value::Array(list)),
    ]
    .into_iter()
    .flatten()
}

/// Returns the choice with that name.
fn named<T: Copy>(choices: &[(&str, T)], name: &str) -> Option<T> {
    choices.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice)
}

/// Returns the names of `choices`, quoted.
fn names_of<T>(choices: &[(&str, T)]) -> Vec<String> {
    choices.iter().map(|(name, _)| format!("{name:?}")).collect()
}

fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            // A table in a CRM's section is one value: its names may have dots, and an empty one means no entries.
            Value::Table(table) if is_of_a_crm(&key) => {
                into.insert(key, Value::Table(table));
            }
            Value::Table(table) => flatten(&key, table, into),
            value => {
                into.insert(key, value);
            }
        }
    }
}

/// True if a dotted key belongs to a CRM's section: `company.servicenow.impact_and_urgency`.
fn is_of_a_crm(key: &str) -> bool {
    key.strip_prefix("company.").is_some_and(|key| key.contains('.'))
}

/// Inserts a value at a dotted key. Returns false if the key leads through a value that is no table.
fn insert(table: &mut toml::Table, key: &str, value: Value) -> bool {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
            true
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(toml::Table::new()));
            match inner {
                Value::Table(inner) => insert(inner, rest, value),
                _ => false,
            }
        }
    }
}
