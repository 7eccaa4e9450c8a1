//! Details of a ticket that routes go by, and the addresses of its people.

use serde_json::Value;

use super::client::Client;
use super::wire::{Field, Named};
use crate::cases::{ApiError, ApiErrorKind, Details, Finding, PeopleSource, Trouble, Wanted};
use crate::crm::details::{CORRECT_FIELD, addresses, looked_up, texts, unknown};

/// Types that a ticket may have ("Tickets", *JSON format*, `type`, developer.zendesk.com).
const TYPES: [&str; 4] = ["problem", "incident", "question", "task"];

/// Reads the details of a ticket: its brand and group by ID and name, its people by their users.
///
/// Source: "Tickets", *JSON format*, developer.zendesk.com: `brand_id`, `group_id`, `type`, `tags`, `custom_fields`, `requester_id`,
/// `email_cc_ids` ("The ids of agents or end users currently CC'ed on the ticket"), `follower_ids` ("The ids of agents currently following
/// the ticket").
pub(super) async fn read(client: &Client, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
    let ticket = client.raw_ticket(client.number(id)?).await?;
    let of = |member: &str| ticket.get(member).unwrap_or(&Value::Null);
    let mut details = Details::default();
    if wanted.terms {
        details.project = named(client, "brands", "brand", of("brand_id")).await?;
        details.component = named(client, "groups", "group", of("group_id")).await?;
        details.issue_type = texts(of("type"));
        details.label = texts(of("tags"));
    }
    let custom = of("custom_fields").as_array();
    let field = |name: &str| {
        let is_it = |field: &&Value| field.get("id").map(Value::to_string).as_deref() == Some(name);
        let field = custom.into_iter().flatten().find(is_it);
        field.map(|field| field.get("value").cloned().unwrap_or_default()).ok_or_else(|| {
            let message = format!("the ticket has no field {name}: {CORRECT_FIELD}");
            client.error(ApiErrorKind::Refused, &format!("GET /api/v2/tickets/{id}"), message)
        })
    };
    for name in &wanted.fields {
        let values = texts(&field(name)?);
        if !values.is_empty() {
            details.fields.insert(name.clone(), values);
        }
    }
    let mut users = Vec::new();
    if wanted.has(&PeopleSource::Reporter) {
        users.extend(of("requester_id").as_u64());
    }
    if wanted.has(&PeopleSource::Watchers) {
        let lists = [of("email_cc_ids"), of("follower_ids")];
        users.extend(lists.into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_u64));
    }
    details.people = client.addresses(&users).await?;
    for name in wanted.people.iter().filter_map(PeopleSource::field) {
        details.people.extend(addresses(&field(name)?));
    }
    Ok(details)
}

/// Returns the ID of a brand or group and, if it can be read, its name.
async fn named(client: &Client, list: &str, one: &str, id: &Value) -> Result<Vec<String>, ApiError> {
    let Some(id) = id.as_u64().map(|id| id.to_string()) else { return Ok(Vec::new()) };
    match client.object::<Named>(list, one, &id).await {
        Ok(found) => Ok(found.map(|found| found.name).into_iter().chain([id]).collect()),
        // An agent need not see it. Routes may still go by its ID.
        Err(error) if error.is_for_good() => Ok(vec![id]),
        Err(error) => Err(error),
    }
}

/// Looks up the fields, and the brands and groups that routes match exactly. Tags are free.
pub(super) async fn check(client: &Client, wanted: &Wanted, terms: &Details) -> Finding {
    let failed = |error: ApiError| Trouble::from(&error);
    let names: Vec<&str> = wanted.all_fields().collect();
    if !names.is_empty() {
        let fields = client.all_fields().await.map_err(failed)?;
        let known = |field: &Field| vec![format!("{} ({})", field.id, field.title), field.id.to_string()];
        let known: Vec<Vec<String>> = fields.iter().map(known).collect();
        if let Some(trouble) = unknown("ticket field", names.iter().copied(), &known) {
            return Err(trouble);
        }
    }
    for (what, list, names) in [("brand", "brands", &terms.project), ("group", "groups", &terms.component)] {
        if names.is_empty() {
            continue;
        }
        let known = client.usable(list).await.map_err(failed)?;
        let known: Vec<Vec<String>> =
            known.into_iter().map(|one| vec![one.name, one.id.to_string()]).collect();
        if let Some(trouble) = unknown(what, names.iter().map(String::as_str), &known) {
            return Err(trouble);
        }
    }
    let types: Vec<Vec<String>> = TYPES.iter().map(|kind| vec![(*kind).to_owned()]).collect();
    if let Some(trouble) = unknown("type", terms.issue_type.iter().map(String::as_str), &types) {
        return Err(trouble);
    }
    let all = looked_up(wanted, terms);
    Ok(if all.is_empty() { "tags are free".to_owned() } else { all })
}
