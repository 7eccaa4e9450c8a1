//! Details of a record that routes go by, and the addresses of its people.

use std::collections::BTreeSet;

use serde_json::Value;

use super::client::Client;
use super::wire::is_sys_id;
use crate::cases::{ApiError, ApiErrorKind, Details, Finding, PeopleSource, Trouble, Wanted};
use crate::crm::details::{CORRECT_FIELD, looked_up, texts, unknown, words};

/// Columns of the person who reported a record, the best first: of an incident, of a customer service case, of any task ("Incident fields",
/// "Case form", "Task table", product documentation).
const REPORTERS: [&str; 3] = ["caller_id", "contact", "opened_by"];
/// Column of the people who follow a record: a list of `sys_id`s and addresses ("Watch list", product documentation).
const WATCHERS: &str = "watch_list";

/// Reads the details of a record: one call, and one more for the addresses of its people.
///
/// Source: "Table API", `sysparm_display_value=all`: each column comes with its value and with what people see, such as the name of a group.
pub(super) async fn read(client: &Client, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
    let mut columns: Vec<&str> = wanted.all_fields().collect();
    if wanted.terms {
        columns.extend(["sys_class_name", "category", "assignment_group"]);
    }
    if wanted.has(&PeopleSource::Reporter) {
        columns.extend(REPORTERS);
    }
    if wanted.has(&PeopleSource::Watchers) {
        columns.push(WATCHERS);
    }
    let record = client.both_values(id, &columns).await?;
    let of = |column: &str| record.get(column).unwrap_or(&Value::Null);
    // ServiceNow leaves columns out that a table does not have.
    if let Some(absent) = wanted.all_fields().find(|column| record.get(*column).is_none()) {
        let message = format!(
            "the record has no column {absent}, or the connector's user may not read it: {CORRECT_FIELD}"
        );
        return Err(client.error(ApiErrorKind::Refused, &format!("GET {}", client.path(id)?), message));
    }
    let mut details = Details::default();
    if wanted.terms {
        details.project = texts(of("sys_class_name"));
        details.issue_type = texts(of("category"));
        details.component = texts(of("assignment_group"));
    }
    for name in &wanted.fields {
        let values = texts(of(name));
        if !values.is_empty() {
            details.fields.insert(name.clone(), values);
        }
    }
    let value = |column: &str| of(column).get("value").and_then(Value::as_str).unwrap_or_default();
    let mut found: Vec<&str> = Vec::new();
    if wanted.has(&PeopleSource::Reporter) {
        found.extend(REPORTERS.into_iter().map(value).find(|person| !person.is_empty()));
    }
    if wanted.has(&PeopleSource::Watchers) {
        found.push(value(WATCHERS));
    }
    found.extend(wanted.people.iter().filter_map(PeopleSource::field).map(value));
    let ids = found.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|id| is_sys_id(id));
    let ids: BTreeSet<&str> = ids.collect();
    details.people = client.addresses(&ids.into_iter().collect::<Vec<_>>()).await?;
    details.people.extend(found.into_iter().flat_map(words));
    Ok(details)
}

/// Looks up the columns, and the groups that routes match exactly.
pub(super) async fn check(client: &Client, wanted: &Wanted, terms: &Details) -> Finding {
    let mut columns: Vec<&str> = wanted.all_fields().collect();
    columns.extend((!terms.issue_type.is_empty()).then_some("category"));
    columns.extend((!terms.component.is_empty()).then_some("assignment_group"));
    if wanted.has(&PeopleSource::Watchers) {
        columns.push(WATCHERS);
    }
    let failed = |error: ApiError| Trouble::from(&error);
    if !columns.is_empty() {
        match client.absent_columns(&columns).await.map_err(failed)? {
            None => {
                return Ok(format!(
                    "{}: not looked up, since there is no record to look at",
                    looked_up(wanted, terms)
                ));
            }
            Some(absent) if !absent.is_empty() => {
                let labels = client.labels().await.unwrap_or_default();
                let known: Vec<Vec<String>> =
                    labels.into_iter().map(|(name, label)| vec![format!("{name} ({label})"), name]).collect();
                let trouble = unknown("column", absent, &known);
                return trouble.map_or_else(|| Err("the columns cannot be read".to_owned().into()), Err);
            }
            Some(_) => {}
        }
    }
    let offered = client.choices("category").await.unwrap_or_default();
    let categories: Vec<Vec<String>> = offered.into_iter().map(|(value, label)| vec![label, value]).collect();
    if !categories.is_empty()
        && let Some(trouble) = unknown("category", terms.issue_type.iter().map(String::as_str), &categories)
    {
        return Err(trouble);
    }
    Ok(looked_up(wanted, terms))
}
