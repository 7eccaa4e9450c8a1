//! Request Tracker's JSON, REST 2. Any field may be missing.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// A page of a listing. The items are required, so that an answer of another kind is not taken for an empty page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    #[serde(default)]
    total: Value,
}

impl Page {
    /// Number of items in the listing that the user may see. `None` where Request Tracker does not count them: in histories and listings of
    /// attachments, and in searches if `$UseSQLForACLChecks` is off and hidden rows are removed after a page was cut
    /// (`CurrentUserCanSeeAll` in `RT::SearchBuilder` and `RT::Tickets`).
    pub(super) fn total(&self) -> Option<u64> {
        self.total.as_u64()
    }

    /// True if the page shows fewer items than the total leaves for it.
    pub(super) fn hides(&self, number: usize, per_page: usize) -> bool {
        let before = (number as u64).saturating_sub(1).saturating_mul(per_page as u64);
        let rest = self.total().unwrap_or_default().saturating_sub(before);
        (self.items.len() as u64) < rest.min(per_page as u64)
    }
}

/// Reads a field as text. Identifiers and numbers come as strings or numbers, references as objects with an `id`.
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

/// Reads a time. A time that was never set is the beginning of 1970.
pub(super) fn time(value: &Value, field: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(&text(value, field)?).ok()?.with_timezone(&Utc);
    (time.timestamp() > 0).then_some(time)
}

/// Returns the values of a custom field, by its name. `None` if the answer does not have the field: it is not on the ticket's queue, or is
/// hidden. A field without a value has an empty list.
pub(super) fn custom_field<'a>(value: &'a Value, name: &str) -> Option<Vec<&'a str>> {
    let fields = value.get("CustomFields").and_then(Value::as_array);
    let field = fields.into_iter().flatten().find(|field| {
        let found = field.get("name").and_then(Value::as_str);
        found.is_some_and(|found| found.to_lowercase() == name.trim().to_lowercase())
    })?;
    let values = field.get("values").and_then(Value::as_array);
    Some(values.into_iter().flatten().filter_map(Value::as_str).collect())
}

/// Returns the name of an item in a field that is expanded with `Name`; its ID if the name is hidden.
pub(super) fn name(value: &Value, field: &str) -> Option<String> {
    let name = value.get(field).and_then(|thing| thing.get("Name")).and_then(Value::as_str).map(str::trim);
    name.filter(|name| !name.is_empty()).map(str::to_owned).or_else(|| text(value, field))
}

/// Returns the name of the user in a field that is expanded with `RealName`; the ID if there is none.
pub(super) fn person(value: &Value, field: &str) -> String {
    let user = value.get(field);
    let real = user.and_then(|user| user.get("RealName")).and_then(Value::as_str).map(str::trim);
    real.filter(|name| !name.is_empty()).map(str::to_owned).or_else(|| text(value, field)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_that_shows_less_than_there_is_hides_something() {
        for (total, items, number, per_page, hides) in [
            (json!(0), 0, 1, 100, false),
            (json!(7), 0, 1, 100, true),
            (json!(7), 6, 1, 100, true),
            (json!(7), 7, 1, 100, false),
            (json!(250), 100, 1, 100, false),
            (json!(250), 99, 2, 100, true),
            (json!(250), 50, 3, 100, false),
            (json!(250), 0, 4, 100, false),
            (json!(7), 1, 1, 1, false),
            (json!(null), 0, 1, 100, false),
            (json!("7"), 0, 1, 100, false),
            (json!(u64::MAX), 0, usize::MAX, 100, false),
        ] {
            let page = json!({ "items": vec![json!({}); items], "total": total });
            let page: Page = serde_json::from_value(page).unwrap();
            assert_eq!(page.hides(number, per_page), hides, "{total} {items} {number}");
        }
        let untold: Page = serde_json::from_value(json!({ "items": [] })).unwrap();
        assert_eq!((untold.total(), untold.hides(1, 100)), (None, false));
    }
}
