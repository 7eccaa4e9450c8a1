//! The `[[route]]` tables: which Google cases are mirrored and where their company cases belong, and where the Google cases of company cases
//! belong.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::reader::{Reader, without_dates};
use crate::cases::{Placement, shorten};
use crate::crm::CrmSettings;
use crate::entities::{GooglePlacement, Priority};
use crate::spelling::nearest;
use crate::sync::{
    AnyRoute, CompanyConditions, CompanyRoute, Conditions, Destination, Pattern, Patterns, Route, RouteTable,
    is_address, parse_parent,
};

/// Keys of a route, and those of its `match`. Those of its `set` are [`Placement::KEYS`].
const KEYS: [&str; 4] = ["match", "mirror", "set", "google"];
/// Keys of `match` in a route for Google cases. Those in a route for company cases are [`CompanyConditions::KEYS`].
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

impl Word {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRoute {
    #[serde(rename = "match")]
    conditions: Table,
    mirror: Option<bool>,
    set: Option<Table>,
    google: Option<Table>,
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
struct RawCompanyMatch {
    project: Option<Texts>,
    issue_type: Option<Texts>,
    component: Option<Texts>,
    label: Option<Texts>,
    field: BTreeMap<String, Texts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawGoogle {
    parent: Option<String>,
    classification: Option<Word>,
    language_code: Option<String>,
    time_zone: Option<String>,
    test_case: Option<bool>,
    subscribers: Option<Vec<String>>,
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
    let (mut routes, mut whole) = (Vec::new(), Vec::new());
    for (number, table) in (1..).zip(tables) {
        let mut errors = Vec::new();
        let route = route(&format!("route {number}"), table, crm, &mut errors);
        whole.push(errors.is_empty());
        for error in errors {
            r.error(error);
        }
        routes.push(route);
    }
    for (index, route) in routes.iter().enumerate() {
        let is_of_same_side = |other: &AnyRoute| match route {
            AnyRoute::Google(_) => matches!(other, AnyRoute::Google(_)),
            AnyRoute::Company(_) => matches!(other, AnyRoute::Company(_)),
        };
        let matches_all = match route {
            AnyRoute::Google(route) => route.conditions.is_empty(),
            AnyRoute::Company(route) => route.conditions.is_empty(),
        };
        if whole[index] && matches_all && routes[index + 1..].iter().any(is_of_same_side) {
            let number = index + 1;
            r.error(format!(
                "route {number} matches every case, so the routes after it never do: put it last"
            ));
        }
    }
    routes.into_iter().collect()
}

fn route(name: &str, table: Table, crm: Option<&CrmSettings>, errors: &mut Vec<String>) -> AnyRoute {
    let had = errors.len();
    let RawRoute { conditions, mirror, set, google } = section(name, &KEYS, table, errors);
    if let Some(google) = google {
        if mirror.is_some() || set.is_some() {
            let other = if set.is_some() { "set" } else { "mirror" };
            errors.push(format!(
                "{name} has google, which is for company cases, and {other}, which is for Google cases: make two routes of it"
            ));
        }
        let conditions = read_company_conditions(&format!("{name}, match"), conditions, crm, errors);
        let placement = read_google(&format!("{name}, google"), google, errors);
        return CompanyRoute { conditions, placement }.into();
    }
    let is_of_company = |key: &&String| {
        let key = key.as_str();
        CompanyConditions::KEYS.contains(&key) && !MATCH_KEYS.contains(&key)
    };
    let terms: Vec<&str> = conditions.keys().filter(is_of_company).map(String::as_str).collect();
    if !terms.is_empty() {
        errors.push(format!(
            "{name}, match: {} {} for company cases, which need google; a route for Google cases, with mirror or set, matches {}",
            terms.join(" and "),
            if terms.len() == 1 { "is" } else { "are" },
            MATCH_KEYS.join(", ")
        ));
        let conditions = Conditions::default();
        return Route { conditions, destination: Destination::Mirror(Placement::default()) }.into();
    }
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
                errors
                    .push(format!("{name} does nothing: give mirror = false, mirror = true, set, or google"));
            }
            Destination::Mirror(Placement::default())
        }
    };
    Route { conditions, destination }.into()
}

/// Reads the patterns of one key of a `match`.
fn read_patterns(name: &str, texts: Option<Texts>, errors: &mut Vec<String>) -> Patterns {
    let texts = match texts {
        None => return Patterns::new(),
        Some(Texts::One(text)) => vec![text],
        Some(Texts::Several(texts)) => texts,
    };
    if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
        errors.push(format!("{name} is empty: leave it out, or give a pattern such as \"*disk*\""));
    }
    texts.iter().map(|text| Pattern::new(text)).collect()
}

fn read_company_conditions(
    name: &str,
    table: Table,
    crm: Option<&CrmSettings>,
    errors: &mut Vec<String>,
) -> CompanyConditions {
    let had = errors.len();
    let is_of_google = |key: &&String| {
        let key = key.as_str();
        MATCH_KEYS.contains(&key) && !CompanyConditions::KEYS.contains(&key)
    };
    let terms: Vec<&str> = table.keys().filter(is_of_google).map(String::as_str).collect();
    if !terms.is_empty() {
        errors.push(format!(
            "{name}: {} {} for Google cases; a route with google is for company cases, and matches {}",
            terms.join(" and "),
            if terms.len() == 1 { "is" } else { "are" },
            CompanyConditions::KEYS.join(", ")
        ));
        return CompanyConditions::default();
    }
    let raw: RawCompanyMatch = section(name, &CompanyConditions::KEYS, table, errors);
    let mut patterns =
        |key: &str, texts: Option<Texts>| read_patterns(&format!("{name}.{key}"), texts, errors);
    let conditions = CompanyConditions {
        project: patterns("project", raw.project),
        issue_type: patterns("issue_type", raw.issue_type),
        component: patterns("component", raw.component),
        label: patterns("label", raw.label),
        fields: raw
            .field
            .into_iter()
            .map(|(field, texts)| {
                let of_field = patterns(&format!("field.{}", shorten(&field)), Some(texts));
                (field, of_field)
            })
            .collect(),
    };
    if errors.len() == had
        && let Some(crm) = crm
    {
        let fields = conditions.fields.keys().map(String::as_str);
        let problems = crm.match_problems(&conditions.keys(), fields);
        errors.extend(problems.into_iter().map(|problem| format!("{name}{problem}")));
    }
    conditions
}

/// Returns the problem with the code of a language, if it has not the form of one (BCP 47: <https://www.rfc-editor.org/rfc/rfc5646>; the
/// languages have two or three letters). Assumed: Google takes any text.
fn language_problem(code: &str) -> Option<String> {
    let mut parts = code.split('-');
    let is_language =
        |part: &str| (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_code = parts.next().is_some_and(is_language)
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    (!code.is_empty() && !is_code)
        .then(|| format!("expected the code of a language, such as \"de\" or \"pt-BR\": {:?}", shorten(code)))
}

fn read_google(name: &str, table: Table, errors: &mut Vec<String>) -> GooglePlacement {
    let had = errors.len();
    let raw: RawGoogle = section(name, &GooglePlacement::KEYS, table, errors);
    let mut text = |key: &str, text: Option<String>| {
        let text = text.map(|text| text.trim().to_owned());
        if text.as_ref().is_some_and(String::is_empty) {
            errors.push(format!("{name}.{key} must not be empty"));
        }
        text
    };
    let placement = GooglePlacement {
        parent: text("parent", raw.parent),
        classification: text("classification", raw.classification.map(Word::into_text)),
        language_code: text("language_code", raw.language_code),
        time_zone: text("time_zone", raw.time_zone),
        test_case: raw.test_case,
        subscribers: raw.subscribers.map(|all| all.iter().map(|one| one.trim().to_owned()).collect()),
    };
    if placement.parent.as_deref().is_some_and(|parent| parse_parent(parent).as_deref() != Some(parent)) {
        errors.push(format!("{name}.parent: expected projects/ID or organizations/NUMBER"));
    }
    if let Some(problem) = placement.language_code.as_deref().and_then(language_problem) {
        errors.push(format!("{name}.language_code: {problem}"));
    }
    for address in placement.subscribers.iter().flatten().filter(|address| !is_address(address)) {
        errors.push(format!("{name}.subscribers: {:?} is no email address", shorten(address)));
    }
    if errors.len() == had && placement.is_empty() {
        errors.push(format!("{name} is empty: give some of {}", GooglePlacement::KEYS.join(", ")));
    }
    placement
}

fn read_conditions(name: &str, table: Table, errors: &mut Vec<String>) -> Conditions {
    let raw: RawMatch = section(name, &MATCH_KEYS, table, errors);
    let projects = match &raw.project {
        None => &[],
        Some(Texts::One(text)) => std::slice::from_ref(text),
        Some(Texts::Several(texts)) => texts.as_slice(),
    };
    for project in projects.iter().filter(|project| project.contains('/')) {
        let id = project.rsplit('/').next().unwrap_or_default();
        errors.push(format!(
            "{name}.project: {project:?} matches no case: give the project's ID alone, {id:?}"
        ));
    }
    let mut patterns =
        |key: &str, texts: Option<Texts>| read_patterns(&format!("{name}.{key}"), texts, errors);
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
        let text = word?.into_text().trim().to_owned();
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
