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
    let configured = vec![client.settings().queue.trim().to_owned()];
    let names = if terms.project.is_empty() { &configured } else { &terms.project };
    let (mut queues, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match client.queue_named(name).await {
            Ok(queue) => queues.push((name, queue)),
            Err(error) if matches!(error.status, Some(403 | 404)) => missing.push(name.as_str()),
            Err(error) => return Err(failed(error)),
        }
    }
    if !missing.is_empty() {
        let shown = client.some_queues().await.map_err(failed)?;
        let shown: Vec<Vec<String>> = shown.into_iter().map(|name| vec![name]).collect();
        unknown("queue", missing, &shown).map_or(Ok(()), Err)?;
    }
    for (queue, found) in queues {
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
