//! Shapes of field values in Jira's JSON ("Field input formats", developer.atlassian.com), by the types that the create and transition
//! screens name. `check` compares configured values with them, and messages show one of them as an example.

use serde_json::Value;

use super::settings::Deployment;
use super::wire::{Named, Schema, ScreenField};

/// Number of allowed values that a message lists.
const LISTED: usize = 10;

/// Shape of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Text,
    Number,
    /// Text in this form.
    Time(&'static str),
    /// Option of a choice: an object with `value` or `id`.
    Option,
    /// Option with a second level: as an option, with `child`.
    Cascading,
    /// Thing that has a name, such as a version, a component or a priority: an object with `name`, `key` or `id`.
    Named,
    User,
    List(Box<Shape>),
    /// Type of another app: nothing is known of its values.
    Unknown,
}

impl Shape {
    fn of(schema: &Schema) -> Self {
        match (schema.kind.as_str(), schema.items.as_deref()) {
            ("array", Some(items)) => Self::List(Box::new(Self::of_kind(items))),
            (kind, _) => Self::of_kind(kind),
        }
    }

    fn of_kind(kind: &str) -> Self {
        match kind {
            "string" | "sd-customerrequesttype" => Self::Text,
            "number" => Self::Number,
            "date" => Self::Time("2026-01-31"),
            "datetime" => Self::Time("2026-01-31T09:00:00.000+0000"),
            "option" => Self::Option,
            "option-with-child" => Self::Cascading,
            "user" => Self::User,
            "priority" | "resolution" | "version" | "component" | "group" | "securitylevel" | "issuetype"
            | "project" => Self::Named,
            _ => Self::Unknown,
        }
    }

    /// Returns an example in TOML; `None` if the shape is unknown.
    fn example(&self, allowed: &[Named], deployment: Deployment) -> Option<String> {
        let quoted = |text: &str| Value::from(text).to_string();
        let first = |fallback: &str| quoted(allowed.first().map_or(fallback, Named::shown));
        Some(match self {
            Self::Text => quoted("text"),
            Self::Number => "3".to_owned(),
            Self::Time(form) => quoted(form),
            Self::Option => format!("{{ value = {} }}", first("option")),
            Self::Cascading => format!("{{ value = {}, child = {{ value = \"option\" }} }}", first("option")),
            Self::Named => format!("{{ name = {} }}", first("name")),
            Self::User => match deployment {
                Deployment::Cloud => "{ accountId = \"ID of the account\" }".to_owned(),
                Deployment::DataCenter => "{ name = \"user name\" }".to_owned(),
            },
            Self::List(item) => format!("[{}]", item.example(allowed, deployment)?),
            Self::Unknown => return None,
        })
    }

    /// Returns the names of an object's keys, each of which identifies a value of this shape.
    const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Option | Self::Cascading => &["value", "id"],
            Self::Named => &["name", "key", "id"],
            Self::User => &["accountId", "id", "name", "key"],
            Self::Text | Self::Number | Self::Time(_) | Self::List(_) | Self::Unknown => &[],
        }
    }

    /// Finds the first value that does not fit, and says what is wrong with it.
    fn problem(&self, value: &Value, allowed: &[Named]) -> Option<String> {
        let is = |wanted: &str| Some(format!("is {}, not {wanted}", kind_of(value)));
        match (self, value) {
            (Self::Unknown, _)
            | (_, Value::Null)
            | (Self::Text | Self::Time(_), Value::String(_))
            | (Self::Number, Value::Number(_)) => None,
            (Self::Text | Self::Time(_), _) => is("text"),
            (Self::Number, _) => is("a number"),
            (Self::List(item), Value::Array(values)) => {
                values.iter().find_map(|value| item.problem(value, allowed))
            }
            (Self::List(_), _) => is("a list"),
            (Self::Option | Self::Cascading | Self::Named | Self::User, Value::Object(object)) => {
                let keys = self.keys();
                let Some(given) = keys.iter().find_map(|key| object.get(*key)) else {
                    return Some(format!("has none of the keys {}", keys.join(", ")));
                };
                let given = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
                let fits =
                    |known: &Named| known.id == given || known.shown().eq_ignore_ascii_case(given.trim());
                let known = allowed.is_empty() || object.contains_key("key") || allowed.iter().any(fits);
                (!known).then(|| format!("names {given:?}, which is none of {}", listed(allowed)))
            }
            (Self::Option | Self::Cascading | Self::Named | Self::User, _) => is("an object"),
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Lists allowed values for a message: the first ones, and the number of the others.
fn listed(allowed: &[Named]) -> String {
    let shown: Vec<&str> = allowed.iter().take(LISTED).map(Named::shown).collect();
    match allowed.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns the advice to give the fields values under a key of the configuration, with a line of TOML for each whose shape is known.
pub(super) fn give_values(key: &str, fields: &[(&str, &ScreenField)], deployment: Deployment) -> String {
    let examples: Vec<String> =
        fields.iter().filter_map(|(id, field)| field.example(id, deployment)).collect();
    if examples.is_empty() {
        format!("give it a value in {key}")
    } else {
        format!("give it a value in {key}, such as {}", examples.join(", "))
    }
}

impl ScreenField {
    fn shape(&self) -> Shape {
        Shape::of(&self.schema)
    }

    /// Returns the field's name, or its ID if it has no name.
    pub(super) fn shown<'a>(&'a self, id: &'a str) -> &'a str {
        if self.name.is_empty() { id } else { &self.name }
    }

    /// Returns name, ID, type and allowed values of the field, for a message.
    pub(super) fn described(&self, id: &str) -> String {
        let kind = match (self.schema.kind.as_str(), self.schema.items.as_deref()) {
            ("", _) => String::new(),
            ("array", Some(items)) => format!(", a list of {items}"),
            (kind, _) => format!(", {kind}"),
        };
        let values = if self.allowed_values.is_empty() {
            String::new()
        } else {
            format!(": one of {}", listed(&self.allowed_values))
        };
        format!("{} ({id}{kind}{values})", self.shown(id))
    }

    /// Returns a line of TOML that gives the field a value; `None` if the shape of its values is unknown.
    pub(super) fn example(&self, id: &str, deployment: Deployment) -> Option<String> {
        let value = self.shape().example(&self.allowed_values, deployment)?;
        Some(format!("{} = {value}", Value::from(self.shown(id))))
    }

    /// Returns the mistake in a configured value, with an example of a right one.
    pub(super) fn mistake(&self, id: &str, value: &Value, deployment: Deployment) -> Option<String> {
        let problem = self.shape().problem(value, &self.allowed_values)?;
        let example = self.example(id, deployment).map(|line| format!(" (such as {line})"));
        Some(format!("{} {problem}{}", self.shown(id), example.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(schema: &Value, allowed: &Value) -> ScreenField {
        serde_json::from_value(json!({"name": "Cause", "schema": schema, "allowedValues": allowed})).unwrap()
    }

    #[test]
    fn a_configured_value_is_compared_with_the_type_of_its_field() {
        let none = json!([]);
        let options = json!([{"id": "10", "value": "Bug"}, {"id": "11", "value": "Outage"}]);
        let of = |kind: &str| json!({"type": kind});
        let list = |items: &str| json!({"type": "array", "items": items});
        for (schema, allowed, value, expected) in [
            (of("option"), &options, json!({"value": "Bug"}), None),
            (of("option"), &options, json!({"value": "bug"}), None),
            (of("option"), &options, json!({"id": "11"}), None),
            (of("option"), &options, json!({"id": 11}), None),
            (
                of("option"),
                &options,
                json!("Bug"),
                Some("Cause is text, not an object (such as \"Cause\" = { value = \"Bug\" })"),
            ),
            (
                of("option"),
                &options,
                json!({"value": "Bgu"}),
                Some("names \"Bgu\", which is none of Bug, Outage"),
            ),
            (of("option"), &options, json!({"name": "Bug"}), Some("has none of the keys value, id")),
            (list("option"), &options, json!([{"value": "Bug"}]), None),
            (list("option"), &options, json!({"value": "Bug"}), Some("= [{ value = \"Bug\" }])")),
            (list("option"), &options, json!(["Bug"]), Some("is text, not an object")),
            (list("string"), &none, json!(["label"]), None),
            (
                list("string"),
                &none,
                json!("label"),
                Some("is text, not a list (such as \"Cause\" = [\"text\"])"),
            ),
            (list("version"), &none, json!([{"name": "1.0"}]), None),
            (
                of("option-with-child"),
                &options,
                json!("Bug"),
                Some("{ value = \"Bug\", child = { value = \"option\" } }"),
            ),
            (of("user"), &none, json!("jane"), Some("{ accountId = ")),
            (of("user"), &none, json!({"accountId": "5b1"}), None),
            (of("number"), &none, json!("3"), Some("is text, not a number (such as \"Cause\" = 3)")),
            (of("date"), &none, json!(20), Some("\"2026-01-31\"")),
            (of("string"), &none, json!({"value": "x"}), Some("is an object, not text")),
            (of("com.example"), &none, json!(true), None),
        ] {
            let field = field(&schema, allowed);
            let found = field.mistake("customfield_7", &value, Deployment::Cloud);
            match expected {
                None => assert_eq!(found, None, "{schema}: {value}"),
                Some(words) => {
                    let found = found.unwrap_or_default();
                    assert!(found.contains(words), "{schema}, {value}: {found}");
                }
            }
        }
        let user = field(&of("user"), &none).example("customfield_7", Deployment::DataCenter).unwrap();
        assert_eq!(user, "\"Cause\" = { name = \"user name\" }");
    }
}
