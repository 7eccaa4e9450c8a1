//! The `[[route]]` tables: which Google cases are mirrored, and where their company cases belong.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::reader::{Reader, without_dates};
use crate::cases::{Placement, shorten};
use crate::crm::CrmSettings;
use crate::entities::Priority;
use crate::spelling::nearest;
use crate::sync::{Conditions, Destination, Pattern, Patterns, Route, RouteTable};

/// Keys of a route, and those of its `match`. Those of its `set` are [`Placement::KEYS`].
const KEYS: [&str; 3] = ["match", "mirror", "set"];
/// See [`KEYS`].
const MATCH_KEYS: [&str; 5] = ["project", "priority", "classification", "title", "test_case"];

/// A text or a list of texts.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum Texts {
    One(String),
    Several(Vec<String>),
}

/// A text, or a number that is an ID.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text")]
enum Word {
    Text(String),
    Number(i64),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRoute {
    #[serde(rename = "match")]
    conditions: Table,
    mirror: Option<bool>,
    set: Option<Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMatch {
    project: Option<Texts>,
    priority: Option<Texts>,
    classification: Option<Texts>,
    title: Option<Texts>,
    test_case: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSet {
    project: Option<Word>,
    issue_type: Option<Word>,
    component: Option<Word>,
    labels: Vec<String>,
    assignee: Option<Word>,
    group: Option<Word>,
    request_type: Option<Word>,
    fields: Table,
}

/// Reads all routes. `crm` is the configured CRM, which says what can be set; `None` if its section has errors.
pub(super) fn read(r: &mut Reader, crm: Option<&CrmSettings>) -> RouteTable {
    let tables = r.tables("route");
    let count = tables.len();
    let mut routes = Vec::new();
    for (number, table) in (1..).zip(tables) {
        let mut errors = Vec::new();
        let route = route(&format!("route {number}"), table, crm, &mut errors);
        if errors.is_empty() && route.conditions.is_empty() && number < count {
            errors.push(format!(
                "route {number} matches every case, so the routes after it never do: put it last"
            ));
        }
        for error in errors {
            r.error(error);
        }
        routes.push(route);
    }
    routes.into_iter().collect()
}

fn route(name: &str, table: Table, crm: Option<&CrmSettings>, errors: &mut Vec<String>) -> Route {
    let had = errors.len();
    let RawRoute { conditions, mirror, set } = section(name, &KEYS, table, errors);
    let conditions = read_conditions(&format!("{name}, match"), conditions, errors);
    let destination = match (mirror, set) {
        (Some(false), None) => Destination::LeaveOut,
        (None | Some(true), Some(set)) => {
            Destination::Mirror(placement(&format!("{name}, set"), set, crm, errors))
        }
        // An exception from the routes behind it.
        (Some(true), None) => Destination::Mirror(Placement::default()),
        (Some(false), Some(_)) => {
            errors.push(format!(
                "{name} has mirror = false and set: a case that is left out has nothing to set, give one"
            ));
            Destination::LeaveOut
        }
        (None, None) => {
            // A key that cannot be read is not missing.
            if errors.len() == had {
                errors.push(format!("{name} does nothing: give mirror = false, mirror = true, or set"));
            }
            Destination::Mirror(Placement::default())
        }
    };
    Route { conditions, destination }
}

fn read_conditions(name: &str, table: Table, errors: &mut Vec<String>) -> Conditions {
    let raw: RawMatch = section(name, &MATCH_KEYS, table, errors);
    let mut patterns = |key: &str, texts: Option<Texts>| -> Patterns {
        let texts = match texts {
            None => return Patterns::new(),
            Some(Texts::One(text)) => vec![text],
            Some(Texts::Several(texts)) => texts,
        };
        if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
            errors.push(format!("{name}.{key} is empty: leave it out, or give a pattern such as \"*disk*\""));
        }
        texts.iter().map(|text| Pattern::new(text)).collect()
    };
    let conditions = Conditions {
        project: patterns("project", raw.project),
        priority: patterns("priority", raw.priority),
        classification: patterns("classification", raw.classification),
        title: patterns("title", raw.title),
        test_case: raw.test_case,
    };
    let is_level = |pattern: &Pattern| Priority::ALL.iter().any(|level| pattern.matches(level.name()));
    if !conditions.priority.iter().all(is_level) {
        errors.push(format!("{name}.priority: expected some of P0, P1, P2, P3, P4"));
    }
    conditions
}

fn placement(name: &str, table: Table, crm: Option<&CrmSettings>, errors: &mut Vec<String>) -> Placement {
    let had = errors.len();
    let raw: RawSet = section(name, &Placement::KEYS, table, errors);
    let mut word = |key: &str, word: Option<Word>| {
        let text = match word? {
            Word::Text(text) => text.trim().to_owned(),
            Word::Number(number) => number.to_string(),
        };
        if text.is_empty() {
            errors.push(format!("{name}.{key} must not be empty"));
        }
        Some(text)
    };
    let mut placement = Placement {
        project: word("project", raw.project),
        issue_type: word("issue_type", raw.issue_type),
        component: word("component", raw.component),
        labels: raw.labels.iter().map(|label| label.trim().to_owned()).collect(),
        assignee: word("assignee", raw.assignee),
        group: word("group", raw.group),
        request_type: word("request_type", raw.request_type),
        fields: BTreeMap::new(),
    };
    if placement.labels.iter().any(String::is_empty) {
        errors.push(format!("{name}.labels: a label must not be empty"));
    }
    for (field, value) in raw.fields {
        match serde_json::to_value(without_dates(value)) {
            Ok(value) => drop(placement.fields.insert(field, value)),
            Err(_) => errors.push(format!("{name}.fields.{}: the value cannot be sent", shorten(&field))),
        }
    }
    if errors.len() == had
        && let Some(crm) = crm
    {
        errors
            .extend(crm.placement_problems(&placement).into_iter().map(|problem| format!("{name}{problem}")));
    }
    placement
}

/// Reads a table key by key, since the parser stops at the first error. Keys with an error are left out.
fn section<T: DeserializeOwned + Default>(
    name: &str,
    known: &[&str],
    table: Table,
    errors: &mut Vec<String>,
) -> T {
    let mut sound = Table::new();
    for (key, value) in table {
        let alone = Table::from_iter([(key.clone(), value.clone())]);
        match Value::Table(alone).try_into::<T>() {
            Ok(_) => drop(sound.insert(key, value)),
            Err(_) if !known.contains(&key.as_str()) => {
                let near = nearest(&key, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
                errors.push(format!(
                    "{name}: there is no key {}{}; there are {}",
                    shorten(&key),
                    near.unwrap_or_default(),
                    known.join(", ")
                ));
            }
            Err(error) => errors.push(format!("{name}.{key}: {}", shorten(error.message()))),
        }
    }
    Value::Table(sound).try_into().unwrap_or_default()
}
