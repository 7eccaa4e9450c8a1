//! Reads typed values from a TOML table and the environment, and collects all errors.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::str::FromStr;

use chrono::Duration;
use toml::Value;

use super::secret::SecretRef;
use crate::cases::shorten;

const PREFIX: &str = "CASEBRIDGE_";

pub(super) struct Reader {
    /// Values by dotted key.
    values: BTreeMap<String, Value>,
    /// Environment variable that set each overridden key, for error messages.
    origins: BTreeMap<String, String>,
    used: BTreeSet<String>,
    errors: Vec<String>,
}

impl Reader {
    pub(super) fn new(table: toml::Table, environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut values = BTreeMap::new();
        flatten("", table, &mut values);
        let mut origins = BTreeMap::new();
        for (name, value) in environment {
            let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|name| name.split_once("__"))
            else {
                continue;
            };
            // A section's name may have a hyphen in the file, which is not possible in a variable: COMPANY__REQUEST_TRACKER__QUEUE.
            let key = match key.split_once("__") {
                Some((subsection, key)) => {
                    format!("{}.{}", subsection.replace('_', "-"), key.replace("__", "."))
                }
                None => key.to_owned(),
            };
            let wanted = format!("{section}.{key}").to_lowercase();
            // Priority levels such as P0 are in capitals in the file.
            let key = wanted
                .split('.')
                .map(|part| match part.as_bytes() {
                    [b'p', b'0'..=b'4'] => part.to_uppercase(),
                    _ => part.to_owned(),
                })
                .collect::<Vec<_>>()
                .join(".");
            values.insert(key.clone(), Value::String(value));
            origins.insert(key, name);
        }
        Self { values, origins, used: BTreeSet::new(), errors: Vec::new() }
    }

    /// Returns all errors, including one for each key that was never read.
    pub(super) fn finish(mut self) -> Vec<String> {
        for key in self.values.keys() {
            if !self.used.contains(key) {
                let name = self.origins.get(key).unwrap_or(key);
                self.errors.push(format!("{}: there is no such key", shorten(name)));
            }
        }
        self.errors
    }

    pub(super) fn error(&mut self, error: impl Into<String>) {
        self.errors.push(error.into());
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
            _ => {
                self.wrong(key, "a text that is not empty");
                None
            }
        }
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

    pub(super) fn url(&mut self, key: &str, default: Option<&str>) -> Option<url::Url> {
        let text = match default {
            Some(default) => self.string_or(key, default),
            None => self.required(key, "an address like https://example.atlassian.net")?,
        };
        let url = url::Url::parse(&text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        match url {
            // Credentials would cross the network unencrypted: plain HTTP is accepted for this machine only.
            Some(url) if url.scheme() == "http" && !is_loopback(&url) => {
                self.wrong(key, "https (http is for addresses of this machine only)");
                None
            }
            Some(url) => Some(url),
            None => {
                self.wrong(key, "an https:// address without user, password and query");
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
            if let (Value::String(text), true) = (&value, self.origins.contains_key(&key)) {
                let alone = |value: &Value| {
                    let mut alone = toml::Table::new();
                    insert(&mut alone, name, value.clone());
                    alone
                };
                let typed = readings(text).find(|candidate| fits(alone(candidate)));
                value = typed.unwrap_or(value);
            }
            insert(&mut table, name, value);
        }
        table
    }

    /// Marks all keys of a section as read. Used when the CRM that would read them is unknown.
    pub(super) fn ignore(&mut self, section: &str) {
        let prefix = format!("{section}.");
        self.used.extend(self.values.keys().filter(|key| key.starts_with(&prefix)).cloned());
    }
}

/// Returns the possible values of a text from the environment: the text itself, a boolean, a number, a list separated by commas.
fn readings(text: &str) -> impl Iterator<Item = Value> {
    let list = text.split(',').map(|part| Value::String(part.trim().to_owned())).collect();
    [
        Some(Value::String(text.to_owned())),
        text.parse().ok().map(Value::Boolean),
        text.parse().ok().map(Value::Integer),
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

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            // In a CRM's section, an empty table has a meaning: no entries. An empty section has none.
            Value::Table(table) if table.is_empty() && is_of_a_crm(&key) => {
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

fn insert(table: &mut toml::Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(toml::Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
