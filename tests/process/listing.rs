//! All systems at one address, as far as a poll needs them: a search finds as many cases as a test says, each with a long
//! text, whether that was asked for or not. A page is made when it is asked for. The cases are too old to take part.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use casebridge::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

/// How long the text of each case is.
pub(crate) const TEXT: usize = 10 * 1024;
/// What stands for the text until a page is written: it is put in at the end, since that is faster.
const HERE: &str = "(the text)";
/// The custom fields in Zendesk.
const FIELDS: [u64; 2] = [360_000_000_101, 360_000_000_102];

/// The server.
pub(crate) struct Listing {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    found: AtomicUsize,
    texts_asked_for: AtomicUsize,
}

impl Listing {
    pub(crate) async fn start() -> Self {
        let counts = Arc::<Counts>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&counts));
        Self { address: casebridge_testkit::service::listen(router).await, counts }
    }

    /// So many cases are found from now on.
    pub(crate) fn finds(&self, cases: usize) {
        self.counts.found.store(cases, Ordering::SeqCst);
    }

    /// How many requests that name the fields they want named one of a text.
    pub(crate) fn texts_asked_for(&self) -> usize {
        self.counts.texts_asked_for.load(Ordering::SeqCst)
    }
}

async fn answer(
    State(counts): State<Arc<Counts>>,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let fields = query.get("fields").or(query.get("sysparm_fields")).map(|fields| fields.to_lowercase());
    let is_text =
        |name: &str| ["description", "summary", "subject", "content"].iter().any(|text| name.contains(text));
    if fields.is_some_and(|fields| fields.split(',').any(is_text)) {
        counts.texts_asked_for.fetch_add(1, Ordering::SeqCst);
    }
    let Some((total, page)) = page(uri.path(), &query, counts.found.load(Ordering::SeqCst)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let text = format!("\"{}\"", "x".repeat(TEXT));
    let body = page.to_string().replace(&format!("\"{HERE}\""), &text);
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
        ("x-total-count", total.to_string()),
    ];
    (headers, body).into_response()
}

/// What a path answers, and how many things there are in all.
fn page(path: &str, query: &HashMap<String, String>, found: usize) -> Option<(usize, Value)> {
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<usize>().ok());
    let rows = |from: Option<usize>, size: usize, row: fn(usize) -> Value| {
        let from = from.unwrap_or_default();
        let to = (from + size).min(found);
        let rows: Vec<Value> = (from + 1..=to).map(row).collect();
        (rows, (to < found).then(|| to.to_string()))
    };
    let page = match path {
        "/v2/organizations/123/cases:search" => {
            let (cases, next) = rows(number("pageToken"), 100, google_case);
            json!({ "cases": cases, "nextPageToken": next })
        }
        "/rest/api/2/field" => json!([
            { "id": "customfield_1", "name": "synchronizeWithGoogleCloudSupport", "schema": { "type": "array", "items": "option" } },
            { "id": "customfield_2", "name": "custom_field_google_name", "schema": { "type": "string" } },
        ]),
        "/rest/api/2/myself" => {
            json!({ "accountId": "1", "name": "casebridge", "displayName": "Casebridge" })
        }
        "/api/v2/users/me" => {
            json!({ "user": { "id": 1, "name": "Casebridge", "role": "agent", "active": true, "suspended": false } })
        }
        "/api/now/table/sys_user" => {
            return Some((
                1,
                json!({ "result": [{ "sys_id": format!("{:032x}", 1), "user_name": "casebridge" }] }),
            ));
        }
        "/REST/2.0/user/casebridge" => json!({ "id": "1", "Name": "casebridge", "Memberships": [] }),
        "/rest/api/2/search/jql" => {
            let (issues, next) = rows(number("nextPageToken"), 100, issue);
            json!({ "issues": issues, "isLast": next.is_none(), "nextPageToken": next })
        }
        "/rest/api/2/search" => {
            let (issues, _) = rows(number("startAt"), 100, issue);
            json!({ "issues": issues, "total": found })
        }
        "/api/v2/ticket_fields" => json!({
            "ticket_fields": [
                { "id": FIELDS[0], "title": "synchronizeWithGoogleCloudSupport", "type": "checkbox" },
                { "id": FIELDS[1], "title": "custom_field_google_name", "type": "text" },
            ],
            "meta": { "has_more": false },
        }),
        "/api/v2/search/export" => {
            let (tickets, next) = rows(number("page[after]"), 100, ticket);
            json!({ "results": tickets, "meta": { "has_more": next.is_some(), "after_cursor": next } })
        }
        "/api/v2/incremental/tickets/cursor" => {
            let (tickets, next) = rows(number("cursor"), 1_000, ticket);
            json!({ "tickets": tickets, "end_of_stream": next.is_none(), "after_cursor": next })
        }
        "/api/now/table/incident" => {
            let (records, _) = rows(number("sysparm_offset"), number("sysparm_limit")?, record);
            json!({ "result": records })
        }
        "/api/now/attachment" => return Some((0, json!({ "result": [] }))),
        "/REST/2.0/queue/Support" => json!({
            "TicketCustomFields": [
                { "id": "1", "name": "synchronizeWithGoogleCloudSupport" },
                { "id": "2", "name": "custom_field_google_name" },
            ],
        }),
        "/REST/2.0/tickets" => {
            let size = number("per_page")?;
            let before = (number("page")? - 1) * size;
            json!({ "items": rows(Some(before), size, request_tracker_ticket).0, "total": found })
        }
        _ => return None,
    };
    Some((found, page))
}

const RFC_3339: &str = "%Y-%m-%dT%H:%M:%SZ";
const LONG_AGO: &str = "2020-02-29T12:00:00Z";

fn now(format: &str) -> String {
    SystemClock.now().format(format).to_string()
}

fn google_case(number: usize) -> Value {
    json!({
        "name": format!("organizations/123/cases/{number}"), "displayName": "A case", "description": HERE,
        "priority": "P2", "state": "NEW", "createTime": LONG_AGO, "updateTime": now(RFC_3339),
    })
}

fn issue(number: usize) -> Value {
    json!({ "id": number.to_string(), "key": format!("SUP-{number}"), "fields": {
        "summary": "A case", "description": HERE, "priority": { "name": "Medium" },
        "status": { "statusCategory": { "key": "new" } }, "created": "2020-02-29T12:00:00.000+0000",
        "updated": now("%Y-%m-%dT%H:%M:%S.000+0000"),
        "customfield_1": [{ "value": "true" }],
    } })
}

fn ticket(number: usize) -> Value {
    json!({
        "id": number, "subject": "A case", "description": HERE, "status": "open", "priority": "normal",
        "created_at": LONG_AGO, "updated_at": now(RFC_3339), "custom_fields": [{ "id": FIELDS[0], "value": true }],
    })
}

fn record(number: usize) -> Value {
    json!({
        "sys_id": format!("{number:032x}"), "number": format!("INC{number}"), "short_description": "A case",
        "description": HERE, "state": "1", "active": "true", "priority": "3", "sys_created_on": "2020-02-29 12:00:00",
        "sys_updated_on": now("%Y-%m-%d %H:%M:%S"),
        "u_synchronize_with_google_cloud_support": "true", "u_google_case_name": "",
    })
}

fn request_tracker_ticket(number: usize) -> Value {
    json!({
        "id": number.to_string(), "type": "ticket", "Subject": "A case", "Content": HERE, "Status": "open",
        "Priority": "50", "Created": LONG_AGO, "LastUpdated": now(RFC_3339),
        "CustomFields": [
            { "id": "1", "name": "synchronizeWithGoogleCloudSupport", "values": ["true"] },
            { "id": "2", "name": "custom_field_google_name", "values": [] },
        ],
    })
}
