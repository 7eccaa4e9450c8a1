//! Request Tracker's JSON, REST 2, read so that any field may be missing.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// A page of a listing. Without its items it is none: an answer of something else is not taken for an empty page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) items: Vec<Value>,
}

/// A field of text, whatever it is written as: identifiers and numbers come as both, references as objects with an `id`.
pub(super) fn text(value: &Value, field: &str) -> Option<String> {
    let found = match value.get(field)? {
        Value::Object(reference) => reference.get("id")?,
        found => found,
    };
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A time. What was never set is the beginning of 1970.
pub(super) fn time(value: &Value, field: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(&text(value, field)?).ok()?.with_timezone(&Utc);
    (time.timestamp() > 0).then_some(time)
}

/// The values of a custom field, by its name.
pub(super) fn custom_field<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    let fields = value.get("CustomFields").and_then(Value::as_array);
    let field = fields.into_iter().flatten().find(|field| {
        let found = field.get("name").and_then(Value::as_str);
        found.is_some_and(|found| found.to_lowercase() == name.trim().to_lowercase())
    });
    let values = field.and_then(|field| field.get("values")).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What people call the user in a field that is expanded with `RealName`.
pub(super) fn person(value: &Value, field: &str) -> String {
    let user = value.get(field);
    let real = user.and_then(|user| user.get("RealName")).and_then(Value::as_str).map(str::trim);
    real.filter(|name| !name.is_empty()).map(str::to_owned).or_else(|| text(value, field)).unwrap_or_default()
}
