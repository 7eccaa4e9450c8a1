//! Details of a ticket that routes go by, and the addresses of its people.

use serde_json::Value;

use super::client::{self, Client};
use super::wire;
use crate::cases::{ApiError, ApiErrorKind, Details, Finding, PeopleSource, Trouble, Wanted};
use crate::crm::details::{CORRECT_FIELD, looked_up, unknown, words};

/// Reads the details of a ticket. People are users, by name: for those whose name is no address, one more call each.
///
/// Source: `RT::REST2`, documentation of RT 5.0: a ticket has the members of its roles as lists, `Requestor`, `Cc` and `AdminCc`, of objects
/// with `id` and `type`. Groups are left out: their members are not listed there.
pub(super) async fn read(client: &Client, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
    let ticket = client.ticket(id).await?;
    let field = |name: &str| {
        let values = wire::custom_field(&ticket, name);
        values.ok_or_else(|| {
            let message = format!(
                "the ticket's queue has no custom field {name}, or the connector's user may not see it: {CORRECT_FIELD}"
            );
            client.error(ApiErrorKind::Refused, &format!("GET ticket {id}"), message)
        })
    };
    let mut details = Details::default();
    if wanted.terms {
        details.project = wire::name(&ticket, "Queue").into_iter().collect();
    }
    for name in &wanted.fields {
        let values: Vec<String> = field(name)?.into_iter().map(|text| text.trim().to_owned()).collect();
        if !values.is_empty() {
            details.fields.insert(name.clone(), values);
        }
    }
    let mut roles: Vec<&str> = Vec::new();
    if wanted.has(&PeopleSource::Reporter) {
        roles.push("Requestor");
    }
    if wanted.has(&PeopleSource::Watchers) {
        roles.extend(["Cc", "AdminCc"]);
    }
    for name in roles.into_iter().flat_map(|role| members(&ticket, role)) {
        details.people.extend(client.address(&name).await?);
    }
    for name in wanted.people.iter().filter_map(PeopleSource::field) {
        details.people.extend(field(name)?.into_iter().flat_map(words));
    }
    Ok(details)
}

/// Returns the names of the users in a role of a ticket.
fn members(ticket: &Value, role: &str) -> Vec<String> {
    let all = match ticket.get(role) {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        Some(_) | None => Vec::new(),
    };
    let is_user = |member: &&&Value| member.get("type").and_then(Value::as_str) != Some("group");
    all.iter()
        .filter(is_user)
        .filter_map(|member| wire::text(member, "id").or_else(|| member.as_str().map(str::to_owned)))
        .collect()
}

/// Looks up the queues that routes match exactly, and the custom fields on the configured queue.
pub(super) async fn check(client: &Client, wanted: &Wanted, terms: &Details) -> Finding {
    let failed = |error: ApiError| Trouble::from(&error);
    let mut queues = vec![client.settings().queue.trim().to_owned()];
    if !terms.project.is_empty() {
        let seen = client.queues().await.map_err(failed)?;
        let known: Vec<Vec<String>> = seen.iter().map(|name| vec![name.clone()]).collect();
        if let Some(trouble) = unknown("queue", terms.project.iter().map(String::as_str), &known) {
            return Err(trouble);
        }
        queues = seen.into_iter().filter(|name| terms.project.contains(&name.to_lowercase())).collect();
    }
    for queue in &queues {
        let found = client.queue_named(queue).await.map_err(failed)?;
        let known = found.get("TicketCustomFields").and_then(Value::as_array);
        let known: Vec<Vec<String>> = known
            .into_iter()
            .flatten()
            .filter_map(|field| Some(vec![field.get("name")?.as_str()?.to_owned()]))
            .collect();
        let lacking = wanted.all_fields().filter(|name| client::field_of(&found, name).is_none());
        if let Some(trouble) = unknown(&format!("custom field on the queue {queue}"), lacking, &known) {
            return Err(trouble);
        }
    }
    Ok(looked_up(wanted, terms))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_of_a_role_are_its_users() {
        let ticket = json!({
            "Requestor": [{ "id": "jane@example.com", "type": "user", "_url": "x" }],
            "Cc": [{ "id": "12", "type": "group", "_url": "x" }, { "id": "joe", "type": "user", "_url": "x" }],
            "AdminCc": [],
            "Owner": { "id": "Nobody", "type": "user", "_url": "x" },
        });
        for (role, names) in [
            ("Requestor", vec!["jane@example.com"]),
            ("Cc", vec!["joe"]),
            ("AdminCc", vec![]),
            ("Owner", vec!["Nobody"]),
            ("Other", vec![]),
        ] {
            assert_eq!(members(&ticket, role), names, "{role}");
        }
    }
}
