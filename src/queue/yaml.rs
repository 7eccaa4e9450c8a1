//! Common parts of the readers of `queue.yaml` and `cron.yaml`. They report all errors of a file at once, each with its place.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Errors of a `queue.yaml` or `cron.yaml` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct YamlFileError {
    /// Name of the file as given to the reader.
    pub file: String,
    /// All errors of the file; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for YamlFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{}: {count} {}", self.file, if count == 1 { "problem" } else { "problems" })?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// One error in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Place of the error: `queue cleanup: retry_parameters.max_doublings`. Empty for the file as a whole.
    pub place: String,
    /// Description of the error, and the remedy.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.place, self.what)
        }
    }
}

/// Source of a file's text.
pub(super) enum Source<'a> {
    /// File that is part of the program.
    BuiltIn(&'static str, &'static str),
    /// File that the configuration names.
    File(&'a Path),
}

impl Source<'_> {
    /// Returns the file's name for messages, and its text.
    pub(super) fn read(&self) -> Result<(String, String), YamlFileError> {
        match self {
            Self::BuiltIn(name, text) => Ok(((*name).to_owned(), (*text).to_owned())),
            Self::File(path) => {
                let file = PathBuf::from(path).display().to_string();
                match std::fs::read_to_string(path) {
                    Ok(text) => Ok((file, text)),
                    Err(error) => Err(YamlFileError {
                        file,
                        problems: vec![Problem {
                            place: String::new(),
                            what: format!("cannot be read: {error}"),
                        }],
                    }),
                }
            }
        }
    }
}

/// Errors found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds an error.
    pub(super) fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.0.push(Problem { place: place.into(), what: what.into() });
    }

    /// Returns `value` if there was no error, else all errors.
    pub(super) fn finish<T>(self, file: &str, value: Option<T>) -> Result<T, YamlFileError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(YamlFileError { file: file.to_owned(), problems: self.0 }),
        }
    }

    /// Returns the list of entries under `root`, which must be the file's only key. Adds an error if the list is missing.
    pub(super) fn entries(&mut self, text: &str, root: &str) -> Option<Vec<Value>> {
        // The whole file is already in memory, so a size budget for the parser would come too late.
        let value: Value = match serde_saphyr::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                self.add("", format!("is not YAML: {}", error.without_snippet()));
                return None;
            }
        };
        let Value::Object(mut map) = value else {
            self.add("", format!("has no key '{root}' with a list under it"));
            return None;
        };
        let entries = match map.remove(root) {
            Some(Value::Array(entries)) => Some(entries),
            Some(_) => {
                self.add(root, "must be a list");
                None
            }
            None => {
                self.add("", format!("has no key '{root}' with a list under it"));
                None
            }
        };
        for key in map.keys() {
            self.add(shown(key), format!("is not a key of this file; the only one is '{root}'"));
        }
        entries
    }
}

/// Mapping whose keys are taken one by one, so that the keys left at the end are unknown ones.
pub(super) struct Section {
    place: String,
    map: Map<String, Value>,
}

impl Section {
    /// Creates a section at `place`. Adds an error if the value is not a mapping.
    pub(super) fn new(place: String, value: Value, problems: &mut Problems) -> Option<Self> {
        if let Value::Object(map) = value {
            Some(Self { place, map })
        } else {
            problems.add(place, "must be a mapping of keys to values");
            None
        }
    }

    /// Renames the place, once the entry's own name is known.
    pub(super) fn rename(&mut self, place: String) {
        self.place = place;
    }

    /// Returns the place of `key` for messages.
    pub(super) fn place_of(&self, key: &str) -> String {
        format!("{}: {key}", self.place)
    }

    /// Takes the raw value of a key.
    pub(super) fn take_raw(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Takes the value of an optional key and parses it with `read`. Adds an error if that fails.
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        problems: &mut Problems,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take_raw(key)?;
        match read(&value) {
            Ok(read) => Some(read),
            Err(what) => {
                problems.add(self.place_of(key), format!("{} {what}", shown_value(&value)));
                None
            }
        }
    }

    /// Takes the value of a required key.
    pub(super) fn require<T>(
        &mut self,
        key: &str,
        problems: &mut Problems,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.map.get(key).is_none_or(Value::is_null) {
            self.map.remove(key);
            problems.add(self.place_of(key), "is missing");
            return None;
        }
        self.take(key, problems, read)
    }

    /// Adds an error for each key that was not taken.
    pub(super) fn finish(self, problems: &mut Problems) {
        for key in self.map.keys() {
            problems.add(
                format!("{}: {}", self.place, shown(key)),
                "is not a known key; check its spelling or remove it",
            );
        }
    }
}

/// Reads a text.
pub(super) fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "is not a text".to_owned())
}

/// Returns a reader of whole numbers of at least `min` and at most `max`.
pub(super) fn whole(min: u32, max: u32) -> impl FnOnce(&Value) -> Result<u32, String> {
    move |value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| format!("is not a whole number from {min} to {max}"))
    }
}

/// Formats a key or a value for a message: short, and on one line.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    format!("'{}'", short.escape_debug())
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}
