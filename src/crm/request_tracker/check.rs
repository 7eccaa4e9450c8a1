//! `casebridge check` for Request Tracker: tries everything that the service needs, without changing anything. Each failure ends with
//! advice on how to fix it, and where.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::client::{self, Client, MERGED_TOO, quoted};
use super::settings::RequestTrackerSettings;
use super::{NAME, PriorityWords, RequestTracker, download, file_name, wire};
use crate::cases::{ApiError, ApiErrorKind, Check, Finding, Needs, Placement, Report, Trouble, Visibility};
use crate::crm::{CrmKind as _, sign_in};
use crate::outbound::Remedies;

/// Largest file that a check downloads, in bytes.
const LARGEST_TRIED: u64 = 1024 * 1024;
/// Number of the newest tickets that are searched for a file: an unlimited search would take minutes in a large database.
const NEWEST_TICKETS: u64 = 500;

/// Returns the link in a ticket's answer that shows the right to write, and the name of that right.
const fn to_write(visibility: Visibility) -> (&'static str, &'static str) {
    match visibility {
        Visibility::Internal => ("comment", "CommentOnTicket"),
        Visibility::Public => ("correspond", "ReplyToTicket"),
    }
}

pub(super) async fn all(client: &Client, priorities: &PriorityWords, needs: Needs) -> Vec<Check> {
    let settings = client.settings();
    let mut report = Report::new(NAME);
    if !report.add("credentials", credentials(client).await) {
        return report.into_lines();
    }
    report.add(&format!("user {}", settings.user), user(client).await);
    let queue_line = format!("queue {}", settings.queue);
    let queue = match client.queue().await {
        Ok(queue) => queue,
        Err(error) => {
            let advice = "check company.request-tracker.queue, and grant the connector's user SeeQueue on it";
            report.add(&queue_line, Err(failed(&error, advice)));
            return report.into_lines();
        }
    };
    report.add(&queue_line, Ok(settings.queue.clone()));
    if needs.creation {
        report.add("right to create tickets", may_create(&queue, settings));
    }
    let flag = field(client, &queue, "flag_field", &settings.flag_field).await;
    let flag_line = format!("field {}", settings.flag_field);
    // A query with an unknown field finds nothing, without an error.
    let cause = flag.as_ref().err().map(|_| flag_line.clone());
    report.add(&flag_line, flag.and_then(|field| offers_flag_value(field.as_ref(), settings)));
    let google = field(client, &queue, "google_name_field", &settings.google_name_field).await;
    let google = google.and_then(|field| is_text(field.as_ref(), &settings.google_name_field));
    report.add(&format!("field {}", settings.google_name_field), google);
    if let Some(name) = &settings.google_state_field {
        let state = field(client, &queue, "google_state_field", name).await;
        report.add(&format!("field {name}"), state.and_then(|field| is_text(field.as_ref(), name)));
    }
    report.add("priorities", words(settings, priorities));
    searches(&mut report, client, cause.as_deref()).await;
    tickets(&mut report, client, needs).await;
    report.into_lines()
}

/// Runs the searches that name the flag field, unless `cause`, the line about the field, has failed.
async fn searches(report: &mut Report, client: &Client, cause: Option<&str>) {
    const SEARCH: &str = "search for flagged cases";
    const STATUSES: &str = "statuses that are closed";
    match cause {
        None => {
            if report.add(SEARCH, search(client).await) {
                report.add(STATUSES, statuses(client).await);
            } else {
                report.add_untried(STATUSES, SEARCH);
            }
        }
        Some(cause) => {
            report.add_untried(SEARCH, cause);
            report.add_untried(STATUSES, cause);
        }
    }
}

fn words(settings: &RequestTrackerSettings, priorities: &PriorityWords) -> Finding {
    let problems = settings.priority_problems(priorities);
    if problems.is_empty() { Ok("numbers from 0 to 100".to_owned()) } else { Err(problems.join(", ").into()) }
}

/// Checks everything that is seen on tickets of the queue.
async fn tickets(report: &mut Report, client: &Client, needs: Needs) {
    let settings = client.settings();
    let advice = "grant ShowTicket on the queue";
    let newest = async |closed| newest(client, closed).await.map_err(|error| failed(&error, advice));
    let (open, closed) = (newest(false).await, newest(true).await);
    let some = if matches!(open, Ok(None)) { &closed } else { &open };
    let right = match needs.visibility {
        Visibility::Internal => "right to comment",
        Visibility::Public => "right to reply",
    };
    report.add(right, on_a_ticket(some, needs.visibility, settings));
    if needs.status {
        report.add("closing", leads_to(&open, &settings.close_status, "close_status", settings));
        report.add("opening again", leads_to(&closed, &settings.reopen_status, "reopen_status", settings));
    }
    report.add("who may read a message", markers(client, some).await);
    if !needs.attachments {
        return;
    }
    let limit = match settings.attachment_limit {
        Some(limit) => format!("{limit} bytes, by company.request-tracker.attachment_limit"),
        None => "not set, and REST does not tell $MaxAttachmentSize: what Request Tracker cuts or drops is noticed afterwards".to_owned(),
    };
    report.add("attachment limit", Ok(limit));
    report.add("downloading a file", file(client, newer(&open, &closed)).await);
}

/// Looks up the values that a route sets: the queue with its fields, and the person.
pub(super) async fn placement(client: &Client, placement: &Placement) -> Finding {
    let settings = client.settings();
    let name = placement.project.as_deref().unwrap_or(&settings.queue).trim();
    let queue = match client.queue_named(name).await {
        Ok(queue) => queue,
        Err(error) if matches!(error.status, Some(403 | 404)) => {
            let queues = client.some_queues().await.unwrap_or_default();
            let hint =
                format!("grant the connector's user SeeQueue on it, or name one of {}", queues.join(", "));
            return Err(Trouble::failed(format!("there is no queue {name:?}, or it is not shown"), hint));
        }
        Err(error) => return Err(failed(&error, "the queue cannot be read")),
    };
    if links(&queue, "create").next().is_none() {
        return Err(Trouble::failed(
            format!("the connector's user may not create tickets in the queue {name}"),
            format!("grant CreateTicket on the queue {name}"),
        ));
    }
    let needed = [&settings.flag_field, &settings.google_name_field];
    let lacking: Vec<&str> = placement
        .fields
        .keys()
        .chain(needed)
        .filter(|field| client::field_of(&queue, field).is_none())
        .map(String::as_str)
        .collect();
    if !lacking.is_empty() {
        let fields = queue.get("TicketCustomFields").and_then(Value::as_array);
        let known = fields.into_iter().flatten().filter_map(|field| field.get("name")?.as_str());
        return Err(Trouble::failed(
            format!("the queue {name} has no custom field {}", lacking.join(" and ")),
            format!(
                "apply it to the queue (Admin, Custom Fields) and grant SeeCustomField, or name another: there are {}",
                known.collect::<Vec<_>>().join(", ")
            ),
        ));
    }
    if let Some(person) = &placement.assignee
        && !client.has_user(person).await.map_err(|error| failed(&error, "users cannot be looked up"))?
    {
        return Err(Trouble::failed(
            format!("there is no user {person:?}"),
            "name a user who has the right OwnTicket on the queue",
        ));
    }
    Ok(placement.describe())
}

fn failed(error: &ApiError, advice: &str) -> Trouble {
    Trouble::of(error, advice)
}

async fn credentials(client: &Client) -> Finding {
    match client.version().await {
        Ok(answer) => match wire::text(&answer, "Version") {
            Some(version) => Ok(format!("version {version}")),
            None => Err(Trouble::failed("the answer is not Request Tracker's", "check company.base_url")),
        },
        Err(error) => Err(failed(
            &error,
            "check company.base_url (the address of the web pages, without /REST/2.0), and whether Request Tracker can be reached from here",
        )),
    }
}

/// Returns the remedies for failed calls.
pub(super) fn remedies(settings: &RequestTrackerSettings) -> Remedies {
    let queue = settings.queue.trim();
    let address = "check company.base_url (the address of the web pages, without /REST/2.0), and that no sign-on stands before it";
    let grant = |right: &str| format!("grant the connector's user {right} on the queue {queue}");
    Remedies {
        sign_in: sign_in(
            settings,
            "company.request-tracker.token (Logged in as, Settings, Auth Tokens)",
            "the token is missing, wrong or revoked, or its user is disabled: make one (Logged in as, Settings, Auth Tokens) and \
             put it where company.request-tracker.token says"
                .to_owned(),
        ),
        rights: vec![
            ("GET", "/REST/2.0/rt", address.to_owned()),
            ("POST", "/comment", grant("CommentOnTicket")),
            ("POST", "/correspond", grant("ReplyToTicket")),
            ("PUT", "/ticket/", grant("ModifyTicket and ModifyCustomField")),
            ("POST", "/REST/2.0/ticket", grant("CreateTicket")),
            (
                "GET",
                "/ticket/",
                "the connector's user may not see this ticket: grant ShowTicket on its queue".to_owned(),
            ),
            ("GET", "/transaction", grant("ShowTicket and ShowTicketComments")),
            ("GET", "/attachment", grant("ShowTicket and ShowTicketComments")),
            (
                "GET",
                "/queue/",
                "check company.request-tracker.queue, and grant the connector's user SeeQueue on it".to_owned(),
            ),
        ],
        right: format!(
            "grant the connector's user the rights of docs/crm-request-tracker.md on the queue {queue}"
        ),
        fixed: ["/REST/2.0/rt", "/REST/2.0/tickets", "/REST/2.0/transactions", "/REST/2.0/attachments"]
            .map(str::to_owned)
            .to_vec(),
        address: address.to_owned(),
        refusals: Vec::new(),
        download_hosts: None,
        reach: "check company.base_url, and whether Request Tracker can be reached from here (docs/networks.md)"
            .to_owned(),
    }
}

async fn user(client: &Client) -> Finding {
    client.identify().await.map(|()| client.settings().user.clone()).map_err(|error| Trouble::from(&error))
}

/// Runs the search of every poll.
async fn search(client: &Client) -> Finding {
    let settings = client.settings();
    let query = format!(
        "'CF.{{{}}}' = '{}' AND {MERGED_TOO}",
        settings.flag_field.trim(),
        settings.flag_value.trim()
    );
    let page = client.newest(&query).await;
    let page = page.map_err(|error| failed(&error, "check the names of the custom fields"))?;
    match page.total() {
        Some(total) => Ok(format!("understood; {total} tickets that the connector's user may see")),
        None => Err(Trouble::failed(
            "Request Tracker does not say how many tickets there are, and leaves hidden ones out of pages that are full before: an empty page proves nothing",
            "set $UseSQLForACLChecks to 1, which is the default",
        )),
    }
}

/// Checks that no ticket in scope has a status that its lifecycle calls inactive but the configuration does not list.
async fn statuses(client: &Client) -> Finding {
    let settings = client.settings();
    let known: Vec<String> =
        settings.closed_statuses.iter().map(|status| format!("Status != {}", quoted(status))).collect();
    let query = format!(
        "(Queue = {} OR 'CF.{{{}}}' = '{}') AND Status = '__Inactive__' AND {}",
        quoted(&settings.queue),
        settings.flag_field.trim(),
        settings.flag_value.trim(),
        known.join(" AND ")
    );
    let found =
        client.newest(&query).await.map_err(|error| failed(&error, "grant ShowTicket on the queue"))?;
    let Some(ticket) = found.items.first() else {
        return Ok(format!(
            "no ticket has another that its lifecycle calls inactive: {}",
            settings.closed_statuses.join(", ")
        ));
    };
    let (id, status) = (wire::text(ticket, "id"), wire::text(ticket, "Status"));
    let status = status.unwrap_or_default();
    Err(Trouble::failed(
        format!(
            "ticket {} is {status}, which its lifecycle calls inactive, and counts as open",
            id.unwrap_or_default()
        ),
        format!("add {status} to company.request-tracker.closed_statuses"),
    ))
}

/// Checks the types of the newest entries of a ticket's history, which show the connector what is internal (`R29`: private until shown to
/// be public).
async fn markers(client: &Client, ticket: &Result<Option<Value>, Trouble>) -> Finding {
    let Some(id) =
        ticket.as_ref().map_err(Clone::clone)?.as_ref().and_then(|ticket| wire::text(ticket, "id"))
    else {
        return Ok(NO_TICKET.to_owned());
    };
    let advice = "grant the connector's user ShowTicket and ShowTicketComments on the queue";
    let history = client.history(&id, Some(DateTime::<Utc>::MAX_UTC)).await;
    let history = history.map_err(|error| failed(&error, advice))?;
    if let Some(entry) = history.iter().find(|entry| wire::text(entry, "Type").is_none()) {
        return Err(Trouble::failed(
            format!(
                "entry {} in the history of ticket {id} does not say what it is, and counts as internal",
                wire::text(entry, "id").unwrap_or_default()
            ),
            advice,
        ));
    }
    let of = |visibility| {
        history.iter().filter(|entry| RequestTracker::visibility(entry) == Some(visibility)).count()
    };
    Ok(format!(
        "Type of each entry in a history: Comment is internal, Correspond and Create are public; {} and {} of the newest on ticket {id}",
        of(Visibility::Internal),
        of(Visibility::Public)
    ))
}

/// Returns the greater ID of the two tickets.
fn newer<'a>(
    one: &'a Result<Option<Value>, Trouble>,
    other: &'a Result<Option<Value>, Trouble>,
) -> Option<u64> {
    let id = |ticket: &'a Result<Option<Value>, Trouble>| -> Option<u64> {
        wire::text(ticket.as_ref().ok()?.as_ref()?, "id")?.parse().ok()
    };
    id(one).max(id(other))
}

/// Downloads one small file, if the newest tickets have one (`R34`: other content in place of a file).
async fn file(client: &Client, newest: Option<u64>) -> Finding {
    let untried = || Ok("the newest tickets of the queue have no small file: not tried".to_owned());
    let Some(newest) = newest else { return untried() };
    let query = format!(
        "Queue = {} AND id > {} AND Filename LIKE '.'",
        quoted(&client.settings().queue),
        newest.saturating_sub(NEWEST_TICKETS)
    );
    let advice = "check what stands between here and Request Tracker, and grant ShowTicket on the queue";
    let page = client.newest(&query).await.map_err(|error| failed(&error, advice))?;
    let Some(ticket) = page.items.first().and_then(|ticket| wire::text(ticket, "id")) else {
        return untried();
    };
    let parts = client.all_parts(&ticket, None).await.map_err(|error| failed(&error, advice))?;
    let size = |part: &Value| wire::text(part, "ContentLength")?.parse::<u64>().ok();
    let files = parts.iter().filter(|part| file_name(part).is_some());
    let smallest = files
        .filter_map(|part| Some((size(part)?, wire::text(part, "id")?, part)))
        .min_by_key(|(size, _, _)| *size);
    let Some((size, id, part)) = smallest.filter(|(size, _, _)| *size <= LARGEST_TRIED) else {
        return untried();
    };
    // Text is converted in transfer, so its size is not compared.
    let is_text = wire::text(part, "ContentType").is_some_and(|kind| kind.starts_with("text/"));
    let call = format!("GET attachment {id}");
    let received = async {
        let json = client.content(&id).await?.content;
        let content = download::content(json, Some(size).filter(|_| !is_text), call);
        content.try_fold(0, async |received, piece| Ok(received + piece.len())).await
    };
    match received.await {
        Ok(received) => Ok(format!("attachment {id} of ticket {ticket}: {received} bytes")),
        Err(error) => Err(failed(&error, advice)),
    }
}

pub(super) fn links<'a>(value: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let links = value.get("_hyperlinks").and_then(Value::as_array);
    links.into_iter().flatten().filter(move |link| link.get("ref").and_then(Value::as_str) == Some(kind))
}

fn may_create(queue: &Value, settings: &RequestTrackerSettings) -> Finding {
    if wire::text(queue, "Disabled").is_some_and(|disabled| disabled != "0") {
        return Err(Trouble::failed(
            format!("the queue {} is disabled", settings.queue),
            "enable it, or name another in company.request-tracker.queue",
        ));
    }
    if links(queue, "create").next().is_some() {
        Ok("CreateTicket".to_owned())
    } else {
        Err(Trouble::failed(
            "the connector's user may not create tickets",
            format!("grant CreateTicket on the queue {}", settings.queue),
        ))
    }
}

/// Reads a custom field. `None` if only its place on the queue is visible: a right that was granted on a queue shows a field on its
/// tickets, but not the field itself.
async fn field(client: &Client, queue: &Value, key: &str, name: &str) -> Result<Option<Value>, Trouble> {
    let id = client::field_of(queue, name).ok_or_else(|| {
        Trouble::failed(
            format!("the queue has no custom field {name}, or the connector's user may not see it"),
            format!(
                "make it (Admin, Custom Fields), apply it to the queue, grant SeeCustomField, or name another in company.request-tracker.{key}"
            ),
        )
    })?;
    match client.custom_field(&id).await {
        Ok(field) => Ok(Some(field)),
        Err(error) if error.kind == ApiErrorKind::Unauthorized => Ok(None),
        Err(error) => Err(failed(&error, "grant SeeCustomField on the field")),
    }
}

/// Result for a field of which only the place is visible.
const ON_QUEUE: &str =
    "on the queue; its type and values show only if SeeCustomField is granted on the field itself: not tried";

/// Checks that the flag field is "Select one value" with the flag's value. `field` is its definition; `None` if only its place is visible.
fn offers_flag_value(field: Option<&Value>, settings: &RequestTrackerSettings) -> Finding {
    let Some(field) = field else { return Ok(ON_QUEUE.to_owned()) };
    let kind = wire::text(field, "Type").unwrap_or_default();
    if wire::text(field, "MaxValues").as_deref() != Some("1") {
        return Err(Trouble::failed(
            "the field may hold several values",
            "make one of the type \"Select one value\"",
        ));
    }
    if kind != "Select" {
        return Err(Trouble::failed(
            format!("the field is of type {kind}"),
            format!("make one of the type \"Select one value\" with the value {}", settings.flag_value),
        ));
    }
    let values = field.get("Values").and_then(Value::as_array);
    let wanted = settings.flag_value.trim().to_lowercase();
    let known =
        values.into_iter().flatten().filter_map(Value::as_str).any(|value| value.to_lowercase() == wanted);
    if known {
        Ok(format!("has the value {}", settings.flag_value))
    } else {
        Err(Trouble::failed(
            format!("the field has no value {:?}", settings.flag_value),
            "add it (Admin, Custom Fields, Values), or name another in company.request-tracker.flag_value",
        ))
    }
}

fn is_text(field: Option<&Value>, name: &str) -> Finding {
    let Some(field) = field else { return Ok(ON_QUEUE.to_owned()) };
    let kind = wire::text(field, "Type").unwrap_or_default();
    if kind == "Freeform" && wire::text(field, "MaxValues").as_deref() == Some("1") {
        Ok("holds one line of text".to_owned())
    } else {
        Err(Trouble::failed(
            format!("the field {name} is of type {kind}"),
            "make one of the type \"Enter one value\"",
        ))
    }
}

/// Returns the queue's newest ticket that is closed, or not closed; `None` if there is none.
pub(super) async fn newest(client: &Client, closed: bool) -> Result<Option<Value>, ApiError> {
    let settings = client.settings();
    let (is, joined) = if closed { ("=", " OR ") } else { ("!=", " AND ") };
    let statuses: Vec<String> =
        settings.closed_statuses.iter().map(|status| format!("Status {is} {}", quoted(status))).collect();
    let query = format!("Queue = {} AND ({})", quoted(&settings.queue), statuses.join(joined));
    let found = client.newest(&query).await?;
    match found.items.first().and_then(|ticket| wire::text(ticket, "id")) {
        Some(id) => client.ticket(&id).await.map(Some),
        None => Ok(None),
    }
}

/// Returns the statuses that a ticket can change to: its answer lists the transitions that its lifecycle offers to the user.
pub(super) fn ways(ticket: &Value) -> Vec<String> {
    links(ticket, "lifecycle").filter_map(|link| wire::text(link, "to")).collect()
}

const NO_TICKET: &str = "the queue has no such ticket yet that the connector's user may see: not tried";

/// Checks the right to write, which only the answer of a ticket shows.
fn on_a_ticket(
    ticket: &Result<Option<Value>, Trouble>,
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
        Err(Trouble::failed(
            format!("the connector's user lacks {right}"),
            format!("grant it on the queue {}", settings.queue),
        ))
    }
}

/// Checks that a ticket can change to a status: its answer lists the transitions that its lifecycle offers to the user.
fn leads_to(
    ticket: &Result<Option<Value>, Trouble>,
    status: &str,
    key: &str,
    settings: &RequestTrackerSettings,
) -> Finding {
    let Some(ticket) = ticket.as_ref().map_err(Clone::clone)? else {
        return Ok(format!("{NO_TICKET}; ModifyTicket is needed"));
    };
    let (id, from) = (wire::text(ticket, "id"), wire::text(ticket, "Status"));
    let (id, from) = (id.unwrap_or_default(), from.unwrap_or_default());
    let ways = ways(ticket);
    if ways.is_empty() {
        return Err(Trouble::failed(
            format!("ticket {id} ({from}) leads to no other status"),
            format!("grant the connector's user ModifyTicket on the queue {}", settings.queue),
        ));
    }
    if ways.iter().any(|way| way.to_lowercase() == status.trim().to_lowercase()) {
        Ok(format!("ticket {id} leads from {from} to {}", status.trim()))
    } else {
        Err(Trouble::failed(
            format!("ticket {id} does not lead from {from} to {status}, but to {}", ways.join(", ")),
            format!(
                "name one of these in company.request-tracker.{key}, or give the queue's lifecycle that action"
            ),
        ))
    }
}
