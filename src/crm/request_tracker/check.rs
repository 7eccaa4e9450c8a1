//! `casebridge check`: everything that the service needs of Request Tracker, tried without changing anything. Each failure ends
//! with what to do about it, and where.

use serde_json::Value;

use super::client::{self, Client, quoted};
use super::settings::RequestTrackerSettings;
use super::{NAME, PriorityWords, wire};
use crate::cases::{ApiError, ApiErrorKind, Check, Needs, Visibility};

type Finding = Result<String, String>;

/// A right that only a ticket shows, with the link that its answer has then: what writing takes.
const fn to_write(visibility: Visibility) -> (&'static str, &'static str) {
    match visibility {
        Visibility::Internal => ("comment", "CommentOnTicket"),
        Visibility::Public => ("correspond", "ReplyToTicket"),
    }
}

pub(super) async fn all(client: &Client, priorities: &PriorityWords, needs: Needs) -> Vec<Check> {
    let settings = client.settings();
    let mut checks = Vec::new();
    let mut add = |what: String, result: Finding| {
        let holds = result.is_ok();
        checks.push(Check { what: format!("{NAME}: {what}"), result });
        holds
    };
    if !add("credentials".to_owned(), credentials(client).await) {
        return checks;
    }
    add(format!("user {}", settings.user), user(client).await);
    let queue = client.queue().await.map_err(|error| {
        failed(&error, "check company.request-tracker.queue, and grant the connector's user SeeQueue on it")
    });
    let found = queue.as_ref().map(|_| settings.queue.clone()).map_err(Clone::clone);
    if !add(format!("queue {}", settings.queue), found) {
        return checks;
    }
    // It is there: otherwise this line is not reached.
    let queue = queue.unwrap_or_default();
    if needs.creation {
        add("right to create tickets".to_owned(), may_create(&queue, settings));
    }
    let flag = field(client, &queue, "flag_field", &settings.flag_field).await;
    add(format!("field {}", settings.flag_field), flag.and_then(|field| has_value(field.as_ref(), settings)));
    let google = field(client, &queue, "google_name_field", &settings.google_name_field).await;
    add(
        format!("field {}", settings.google_name_field),
        google.and_then(|field| is_text(field.as_ref(), settings)),
    );
    let problems = RequestTrackerSettings::priority_problems(priorities);
    let priorities =
        if problems.is_empty() { Ok("numbers from 0 to 100".to_owned()) } else { Err(problems.join("; ")) };
    add("priorities".to_owned(), priorities);
    let query = format!(
        "LastUpdated >= '60 seconds ago' AND 'CF.{{{}}}' = '{}'",
        settings.flag_field.trim(),
        settings.flag_value.trim()
    );
    let search = client.try_search(&query).await;
    add(
        "search for flagged cases".to_owned(),
        search
            .map(|_| "understood".to_owned())
            .map_err(|error| failed(&error, "check the names of the custom fields")),
    );
    let (open, closed) = (newest(client, false).await, newest(client, true).await);
    let some = if matches!(open, Ok(None)) { &closed } else { &open };
    let right = match needs.visibility {
        Visibility::Internal => "right to comment",
        Visibility::Public => "right to reply",
    };
    add(right.to_owned(), on_a_ticket(some, needs.visibility, settings));
    if needs.status {
        add("closing".to_owned(), leads_to(&open, &settings.close_status, "close_status", settings));
        add(
            "opening again".to_owned(),
            leads_to(&closed, &settings.reopen_status, "reopen_status", settings),
        );
    }
    if !needs.attachments {
        return checks;
    }
    let limit = match settings.attachment_limit {
        Some(limit) => format!("{limit} bytes, by company.request-tracker.attachment_limit"),
        None => "not set, and REST does not tell $MaxAttachmentSize: what Request Tracker cuts or drops is noticed afterwards".to_owned(),
    };
    add("attachment limit".to_owned(), Ok(limit));
    checks
}

fn failed(error: &ApiError, advice: &str) -> String {
    format!("{error}; {advice}")
}

async fn credentials(client: &Client) -> Finding {
    match client.version().await {
        Ok(answer) => match wire::text(&answer, "Version") {
            Some(version) => Ok(format!("version {version}")),
            None => Err("the answer is not Request Tracker's: check company.base_url".to_owned()),
        },
        Err(error) if error.status == Some(401) => Err(failed(
            &error,
            "the token is missing or wrong: make one (Logged in as, Settings, Auth Tokens) and check company.request-tracker.token",
        )),
        Err(error) => Err(failed(
            &error,
            "check company.base_url (the address of the web pages, without /REST/2.0), and whether Request Tracker can be reached from here",
        )),
    }
}

/// The user whose token it is sees of itself what it sees of others only as an administrator.
async fn user(client: &Client) -> Finding {
    let advice = "company.request-tracker.user has to be the name of the user whose token it is";
    let user = client.user().await.map_err(|error| failed(&error, advice))?;
    if user.get("Memberships").is_some() {
        Ok(client.settings().user.clone())
    } else {
        Err(format!("the token is another user's; {advice}"))
    }
}

fn links<'a>(value: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let links = value.get("_hyperlinks").and_then(Value::as_array);
    links.into_iter().flatten().filter(move |link| link.get("ref").and_then(Value::as_str) == Some(kind))
}

fn may_create(queue: &Value, settings: &RequestTrackerSettings) -> Finding {
    if wire::text(queue, "Disabled").is_some_and(|disabled| disabled != "0") {
        return Err(format!(
            "the queue {} is disabled: enable it, or name another in company.request-tracker.queue",
            settings.queue
        ));
    }
    if links(queue, "create").next().is_some() {
        Ok("CreateTicket".to_owned())
    } else {
        Err(format!(
            "the connector's user may not create tickets: grant CreateTicket on the queue {}",
            settings.queue
        ))
    }
}

/// The custom field; `None` if only its place on the queue can be seen: a right that was granted on a queue shows a field on
/// its tickets, and not by itself.
async fn field(client: &Client, queue: &Value, key: &str, name: &str) -> Result<Option<Value>, String> {
    let id = client::field_of(queue, name).ok_or_else(|| {
        format!(
            "the queue has no custom field {name}, or the connector's user may not see it: make it (Admin, Custom Fields), apply it to the queue, grant SeeCustomField, or name another in company.request-tracker.{key}"
        )
    })?;
    match client.custom_field(&id).await {
        Ok(field) => Ok(Some(field)),
        Err(error) if error.kind == ApiErrorKind::Unauthorized => Ok(None),
        Err(error) => Err(failed(&error, "grant SeeCustomField on the field")),
    }
}

/// What is said of a field of which no more can be seen.
const ON_QUEUE: &str =
    "on the queue; its type and values show only if SeeCustomField is granted on the field itself: not tried";

fn has_value(field: Option<&Value>, settings: &RequestTrackerSettings) -> Finding {
    let Some(field) = field else { return Ok(ON_QUEUE.to_owned()) };
    let kind = wire::text(field, "Type").unwrap_or_default();
    if wire::text(field, "MaxValues").as_deref() != Some("1") {
        return Err("the field may hold several values: make one of the type \"Select one value\"".to_owned());
    }
    if kind != "Select" {
        return Err(format!(
            "the field is of type {kind}: make one of the type \"Select one value\" with the value {}",
            settings.flag_value
        ));
    }
    let values = field.get("Values").and_then(Value::as_array);
    let wanted = settings.flag_value.trim().to_lowercase();
    let known =
        values.into_iter().flatten().filter_map(Value::as_str).any(|value| value.to_lowercase() == wanted);
    if known {
        Ok(format!("has the value {}", settings.flag_value))
    } else {
        Err(format!(
            "the field has no value {:?}: add it (Admin, Custom Fields, Values), or name another in company.request-tracker.flag_value",
            settings.flag_value
        ))
    }
}

fn is_text(field: Option<&Value>, settings: &RequestTrackerSettings) -> Finding {
    let Some(field) = field else { return Ok(ON_QUEUE.to_owned()) };
    let kind = wire::text(field, "Type").unwrap_or_default();
    if kind == "Freeform" && wire::text(field, "MaxValues").as_deref() == Some("1") {
        Ok("holds one line of text".to_owned())
    } else {
        Err(format!(
            "the field {} is of type {kind}: make one of the type \"Enter one value\"",
            settings.google_name_field
        ))
    }
}

/// The queue's newest ticket that is closed, or that is not; `None` if there is none.
async fn newest(client: &Client, closed: bool) -> Result<Option<Value>, String> {
    let settings = client.settings();
    let advice = "grant ShowTicket on the queue";
    let (is, joined) = if closed { ("=", " OR ") } else { ("!=", " AND ") };
    let statuses: Vec<String> =
        settings.closed_statuses.iter().map(|status| format!("Status {is} {}", quoted(status))).collect();
    let query = format!("Queue = {} AND ({})", quoted(&settings.queue), statuses.join(joined));
    let found = client.try_search(&query).await.map_err(|error| failed(&error, advice))?;
    match found.first().and_then(|ticket| wire::text(ticket, "id")) {
        Some(id) => client.ticket(&id).await.map(Some).map_err(|error| failed(&error, advice)),
        None => Ok(None),
    }
}

const NO_TICKET: &str = "the queue has no such ticket yet that the connector's user may see: not tried";

/// What may be done with a ticket shows on one.
fn on_a_ticket(
    ticket: &Result<Option<Value>, String>,
    visibility: Visibility,
    settings: &RequestTrackerSettings,
) -> Finding {
    let (link, right) = to_write(visibility);
    let Some(ticket) = ticket.as_ref().map_err(Clone::clone)? else {
        return Ok(format!("{NO_TICKET}; ShowTicket and {right} are needed"));
    };
    if links(ticket, link).next().is_some() {
        Ok(right.to_owned())
    } else {
        Err(format!("the connector's user lacks {right}: grant it on the queue {}", settings.queue))
    }
}

/// Whether a ticket may go to a status: its answer names the ways that its lifecycle offers to the user.
fn leads_to(
    ticket: &Result<Option<Value>, String>,
    status: &str,
    key: &str,
    settings: &RequestTrackerSettings,
) -> Finding {
    let Some(ticket) = ticket.as_ref().map_err(Clone::clone)? else {
        return Ok(format!("{NO_TICKET}; ModifyTicket is needed"));
    };
    let (id, from) = (wire::text(ticket, "id"), wire::text(ticket, "Status"));
    let (id, from) = (id.unwrap_or_default(), from.unwrap_or_default());
    let ways: Vec<String> = links(ticket, "lifecycle").filter_map(|link| wire::text(link, "to")).collect();
    if ways.is_empty() {
        return Err(format!(
            "ticket {id} ({from}) leads to no other status: grant the connector's user ModifyTicket on the queue {}",
            settings.queue
        ));
    }
    if ways.iter().any(|way| way.to_lowercase() == status.trim().to_lowercase()) {
        Ok(format!("ticket {id} leads from {from} to {}", status.trim()))
    } else {
        Err(format!(
            "ticket {id} does not lead from {from} to {status}, but to {}: name one of these in company.request-tracker.{key}, or give the queue's lifecycle that action",
            ways.join(", ")
        ))
    }
}
