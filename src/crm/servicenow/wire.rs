//! ServiceNow's JSON. Any field may be missing. Every value is a string: `"6"`, `"true"`, `""` for no value.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::cases::{Attachment, Visibility};

/// Envelope of every answer: `{"result": …}`.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<T> {
    pub(super) result: T,
}

/// A record of any table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record(Value);

impl Record {
    /// Reads a record from an answer. Without an ID, the error describes the record.
    pub(super) fn read(value: Value) -> Result<Self, String> {
        let record = Self(value);
        match record.text("sys_id") {
            Some(id) if is_sys_id(id) => Ok(record),
            _ => Err(match record.text("number") {
                Some(number) => format!("record {}: sys_id is missing", crate::cases::shorten(number)),
                None => "a record without sys_id".to_owned(),
            }),
        }
    }

    /// Returns the `sys_id`, which never changes.
    pub(super) fn id(&self) -> &str {
        self.text("sys_id").unwrap_or_default()
    }

    /// True if the record has a column of that name and the user may read it; other columns are left out of answers.
    pub(super) fn has(&self, column: &str) -> bool {
        self.0.get(column).is_some()
    }

    /// Returns the value of a column; `None` if it is empty.
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        let value = match self.0.get(column)? {
            // A reference, or a value with its display value.
            Value::Object(both) => both.get("value")?,
            value => value,
        };
        value.as_str().filter(|text| !text.is_empty())
    }

    /// Reads a true/false column.
    pub(super) fn is(&self, column: &str) -> bool {
        self.text(column).is_some_and(|text| text == "true" || text == "1")
    }

    /// Reads a time: UTC, whole seconds, without a zone ("Date fields: the database value is in UTC format", Table API).
    pub(super) fn time(&self, column: &str) -> Option<DateTime<Utc>> {
        let time = NaiveDateTime::parse_from_str(self.text(column)?, "%Y-%m-%d %H:%M:%S").ok()?;
        Some(time.and_utc())
    }

    /// Converts a record of `sys_attachment` to an attachment without an author. No column restricts its visibility.
    pub(super) fn attachment(&self) -> Attachment {
        Attachment {
            id: self.id().to_owned(),
            filename: self.text("file_name").unwrap_or_default().to_owned(),
            media_type: self.text("content_type").map(str::to_owned),
            size: self.number("size_bytes"),
            author: String::new(),
            created_at: self.time("sys_created_on"),
            visibility: Visibility::Public,
            by_connector: None,
            comment: None,
        }
    }

    /// Reads a number.
    pub(super) fn number(&self, column: &str) -> Option<u64> {
        self.text(column)?.parse().ok()
    }
}

/// Reports if a text is a `sys_id`: 32 hexadecimal digits.
pub(super) fn is_sys_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the reason why an operation failed. ServiceNow's `message` only says that it failed; `detail` has the reason:
/// `{"error": {"message": "Operation Failed", "detail": "Data Policy Exception: …"}, "status": "failure"}`.
pub(super) fn error_text(value: &Value) -> Option<String> {
    let part =
        |name: &str| value.get("error")?.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty());
    Some(format!("{}: {}", part("message")?, part("detail")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn every_value_is_text_and_any_may_be_missing() {
        let record = Record::read(json!({
            "sys_id": ID, "active": "true", "state": "6", "assigned_to": {"value": "x", "link": "y"},
            "sys_updated_on": "2026-11-24 13:00:01", "opened_at": "24-11-2026", "close_notes": "", "size_bytes": "12",
        }))
        .unwrap();
        assert_eq!(
            (record.id(), record.text("state"), record.text("assigned_to")),
            (ID, Some("6"), Some("x"))
        );
        assert_eq!(
            (record.text("close_notes"), record.has("close_notes"), record.has("u_none")),
            (None, true, false)
        );
        assert!(record.is("active") && !record.is("state"));
        assert_eq!(record.time("sys_updated_on"), Some("2026-11-24T13:00:01Z".parse().unwrap()));
        assert_eq!((record.time("opened_at"), record.number("size_bytes")), (None, Some(12)));
    }

    #[test]
    fn a_record_without_an_id_is_named() {
        for (value, problem) in [
            (json!({"number": "INC1"}), "record INC1: sys_id is missing"),
            (json!({"sys_id": "short"}), "a record without sys_id"),
            (json!([]), "a record without sys_id"),
        ] {
            assert_eq!(Record::read(value), Err(problem.to_owned()));
        }
    }
}
