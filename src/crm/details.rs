//! Texts and addresses out of fields of any kind, for routes and subscribers.

use serde_json::Value;

use crate::cases::{Details, Trouble, Wanted};

/// Names of the members by which routes know an object: an option, a person, a version, a group.
const NAMES: [&str; 6] = ["value", "display_value", "name", "displayName", "key", "id"];
/// Names of the members that hold a person's address.
const ADDRESSES: [&str; 3] = ["emailAddress", "EmailAddress", "email"];
/// Number of names that a message lists.
const LISTED: usize = 20;

/// Returns all texts under which people know the values of a field. Of a choice with two levels, both count.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Bool(value) => vec![value.to_string()],
        Value::Number(number) => vec![number.to_string()],
        Value::String(text) => {
            vec![text.trim().to_owned()].into_iter().filter(|text| !text.is_empty()).collect()
        }
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(object) => {
            let own = NAMES.iter().filter_map(|name| object.get(*name)).filter(|value| !value.is_object());
            let mut all: Vec<String> = own.chain(object.get("child")).flat_map(texts).collect();
            let mut seen = std::collections::BTreeSet::new();
            all.retain(|text| seen.insert(text.clone()));
            all
        }
    }
}

/// Returns what may be addresses in the values of a field: those of people, and the words of texts. Whoever uses them checks them.
pub(super) fn addresses(value: &Value) -> Vec<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
        Value::String(text) => words(text),
        Value::Array(values) => values.iter().flat_map(addresses).collect(),
        Value::Object(object) => {
            let own = ADDRESSES.iter().filter_map(|name| object.get(*name));
            own.chain(object.get("value").filter(|value| value.is_string())).flat_map(addresses).collect()
        }
    }
}

/// Splits a text at what stands between addresses: commas, semicolons, blanks, and the brackets behind a name.
pub(super) fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>' | '"'));
    parts.filter(|part| part.contains('@')).map(str::to_owned).collect()
}

/// Advice in the error about a field that a case does not show.
pub(super) const CORRECT_FIELD: &str = "correct the route's match, or the key of [google] that names it";

/// Lists what a check has looked up: fields, the names that routes match exactly, and sources of addresses.
pub(super) fn looked_up(wanted: &Wanted, terms: &Details) -> String {
    let terms = [&terms.project, &terms.issue_type, &terms.component].into_iter().flatten().cloned();
    let people = wanted.people.iter().filter(|source| source.field().is_none()).map(ToString::to_string);
    let all = wanted.all_fields().map(str::to_owned).chain(terms).chain(people);
    all.collect::<Vec<_>>().join(", ")
}

/// Returns the trouble with names that a system does not have; `None` if it has all. `what` is the kind of thing, and `known` are its
/// names, the first of each for the message.
pub(super) fn unknown<'a>(
    what: &str,
    wanted: impl IntoIterator<Item = &'a str>,
    known: &[Vec<String>],
) -> Option<Trouble> {
    let has = |wanted: &&str| {
        known.iter().flatten().any(|name| name.trim().to_lowercase() == wanted.trim().to_lowercase())
    };
    let missing: Vec<&str> = wanted.into_iter().filter(|wanted| !has(wanted)).collect();
    if missing.is_empty() {
        return None;
    }
    let mut shown: Vec<&str> = known.iter().filter_map(|names| Some(names.first()?.as_str())).collect();
    shown.sort_unstable();
    shown.dedup();
    let more = match shown.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.truncate(LISTED);
    Some(Trouble::failed(
        format!("there is no {what} {:?}, or the connector's user may not see it", missing.join(", ")),
        format!("name one of {}{more}", shown.join(", ")),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_any_kind_has_texts_and_addresses() {
        for (value, expected) in [
            (json!(null), vec![]),
            (json!(" Shop "), vec!["Shop"]),
            (json!(7), vec!["7"]),
            (json!(true), vec!["true"]),
            (json!(["a", "b"]), vec!["a", "b"]),
            (json!({"id": "10", "value": "High", "self": "https://x"}), vec!["High", "10"]),
            (json!({"value": "A", "child": {"value": "B"}}), vec!["A", "B"]),
            (json!([{"name": "ops", "displayName": "Ops"}]), vec!["ops", "Ops"]),
            (json!({"value": "1", "display_value": "Network"}), vec!["1", "Network"]),
        ] {
            assert_eq!(texts(&value), expected, "{value}");
        }
        for (value, expected) in [
            (json!({"emailAddress": "a@example.com", "displayName": "A"}), vec!["a@example.com"]),
            (json!([{"email": "a@example.com"}, {"name": "b"}]), vec!["a@example.com"]),
            (json!("Ann <a@example.com>; b@example.com,c"), vec!["a@example.com", "b@example.com"]),
            (json!(["a@example.com", null, 7]), vec!["a@example.com"]),
        ] {
            assert_eq!(addresses(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_those_that_are() {
        let known = [vec!["SUP".to_owned(), "Support".to_owned()], vec!["OPS".to_owned()]];
        assert!(unknown("project", ["sup", "support", "OPS"], &known).is_none());
        let trouble = format!("{:?}", unknown("project", ["SHOP"], &known).unwrap());
        assert!(trouble.contains("SHOP") && trouble.contains("OPS, SUP"), "{trouble}");
    }
}
