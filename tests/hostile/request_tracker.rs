//! A few answers as Request Tracker's REST 2 gives them, written after what the adapter reads: enough for every call to succeed. The real
//! one, in the suite `request_tracker`, says whether they are right; here they are there to be spoilt.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use casebridge::crm::request_tracker::RequestTrackerSettings;
use serde_json::{Value, json};

/// The connector's user.
pub(crate) const USER: &str = "casebridge";

type Ticket = Arc<Mutex<Value>>;

/// One ticket, with a reply and a file.
pub(crate) fn router() -> Router {
    let settings = RequestTrackerSettings::default();
    let ticket = json!({
        "id": 1, "EffectiveId": { "id": "1", "type": "ticket" }, "Subject": "Disk is slow", "Status": "open",
        "Priority": "50", "Created": "2026-11-24T08:00:00Z", "LastUpdated": "2026-11-24T08:30:00Z",
        "LastUpdatedBy": { "id": USER, "type": "user" },
        "CustomFields": [
            { "id": "1", "name": settings.flag_field, "values": [settings.flag_value] },
            { "id": "2", "name": settings.google_name_field, "values": [] },
        ],
        "_hyperlinks": [{ "ref": "comment" }, { "ref": "correspond" }],
    });
    Router::new()
        .route("/REST/2.0/rt", get(|| async { Json(json!({ "Version": "5.0.3" })) }))
        .route(
            "/REST/2.0/user/{name}",
            get(|| async { Json(json!({ "id": 14, "Name": USER, "Memberships": [] })) }),
        )
        .route("/REST/2.0/queue/{name}", get(queue))
        .route("/REST/2.0/customfield/{id}", get(field))
        .route("/REST/2.0/tickets", get(tickets))
        .route(
            "/REST/2.0/transactions",
            get(|| async { page(&[json!({ "id": "5", "ObjectId": { "id": "1" }, "Type": "Create" })]) }),
        )
        .route(
            "/REST/2.0/attachments",
            get(|Query(asked): Query<Vec<(String, String)>>, request: Request| async move {
                paged(&request, &parts_asked_for(&asked))
            }),
        )
        .route(
            "/REST/2.0/ticket",
            post(|| async { (StatusCode::CREATED, Json(json!({ "id": "1", "type": "ticket" }))) }),
        )
        .route("/REST/2.0/ticket/{id}", get(one_ticket).put(change))
        .route(
            "/REST/2.0/ticket/{id}/attachments",
            get(|request: Request| async move { paged(&request, &parts()) }),
        )
        .route(
            "/REST/2.0/ticket/{id}/history",
            get(|request: Request| async move {
                paged(
                    &request,
                    &[transaction(7, "Correspond"), transaction(6, "Correspond"), transaction(5, "Create")],
                )
            }),
        )
        .route("/REST/2.0/ticket/{id}/comment", post(said))
        .route("/REST/2.0/ticket/{id}/correspond", post(said))
        .route("/REST/2.0/transaction/{id}", get(|| async { Json(transaction(7, "Correspond")) }))
        .route(
            "/REST/2.0/transaction/{id}/attachments",
            get(|request: Request| async move { paged(&request, &[part(3, 7, "a b.txt", "content")]) }),
        )
        .route(
            "/REST/2.0/attachment/{id}",
            get(|| async { Json(json!({ "id": 3, "Filename": "log.txt", "Content": "YSBsb2c=\n" })) }),
        )
        .with_state(Arc::new(Mutex::new(ticket)))
}

/// All parts of the ticket's messages, newest first.
fn parts() -> [Value; 3] {
    [part(3, 7, "log.txt", "a log"), part(2, 6, "", "Have you tried?"), part(1, 5, "", "about it")]
}

/// Those of some transactions, and without a file name if the query asks for that.
fn parts_asked_for(asked: &[(String, String)]) -> Vec<Value> {
    let query = asked.iter().find(|(name, _)| name == "query").map_or("[]", |(_, query)| query.as_str());
    let conditions: Vec<Value> = serde_json::from_str(query).unwrap_or_default();
    let of = |field: &str| {
        conditions.iter().filter(move |condition| condition["field"] == field).collect::<Vec<_>>()
    };
    let (transactions, names) = (of("TransactionId"), of("Filename"));
    let is_asked_for = |part: &Value| {
        transactions.iter().any(|condition| condition["value"] == part["TransactionId"]["id"])
            && (names.is_empty() || part["Filename"] == "")
    };
    parts().into_iter().filter(is_asked_for).collect()
}

fn part(id: u64, transaction: u64, name: &str, content: &str) -> Value {
    json!({
        "id": id.to_string(), "type": "attachment", "_url": format!("http://127.0.0.1:1/REST/2.0/attachment/{id}"),
        "TransactionId": { "id": transaction.to_string(), "type": "transaction" }, "Filename": name,
        "ContentType": if name.is_empty() { "text/plain" } else { "application/octet-stream" }, "Content": content,
        "ContentLength": content.len(), "Created": "2026-11-24T08:10:00Z",
    })
}

fn transaction(id: u64, kind: &str) -> Value {
    json!({
        "id": id.to_string(), "type": "transaction", "Type": kind, "Created": "2026-11-24T08:10:00Z", "Data": "",
        "Creator": { "id": "jane", "type": "user", "RealName": "Jane Roe" }, "OldValue": null, "NewValue": null,
    })
}

fn page(items: &[Value]) -> Json<Value> {
    Json(
        json!({ "items": items, "count": items.len(), "page": 1, "per_page": 100, "total": items.len(), "pages": 1 }),
    )
}

/// The items on the first page, nothing on the others.
fn paged(request: &Request, items: &[Value]) -> Json<Value> {
    let query = request.uri().query().unwrap_or_default();
    let first = query.split('&').all(|pair| pair.strip_prefix("page=").is_none_or(|page| page == "1"));
    page(if first { items } else { &[] })
}

async fn queue() -> Json<Value> {
    let settings = RequestTrackerSettings::default();
    Json(json!({
        "id": 3, "Name": "Support", "Disabled": "0", "_hyperlinks": [{ "ref": "create" }],
        "TicketCustomFields": [
            { "id": "1", "name": settings.flag_field }, { "id": "2", "name": settings.google_name_field },
        ],
    }))
}

async fn field(Path(id): Path<String>) -> Json<Value> {
    let flag = RequestTrackerSettings::default().flag_value;
    Json(
        json!({ "id": id, "Type": if id == "1" { "Select" } else { "Freeform" }, "MaxValues": "1", "Values": [flag], "Disabled": "0" }),
    )
}

async fn tickets(State(ticket): State<Ticket>, request: Request) -> Json<Value> {
    // Pages go by ID: there is one ticket.
    let query = request.uri().query().unwrap_or_default();
    let past = query.contains("id%20%3E%201");
    let ticket = ticket.lock().unwrap().clone();
    page(if past { &[] } else { std::slice::from_ref(&ticket) })
}

async fn one_ticket(State(ticket): State<Ticket>, Path(id): Path<String>) -> Response {
    if id == "1" {
        Json(ticket.lock().unwrap().clone()).into_response()
    } else {
        (StatusCode::NOT_FOUND, Json(json!({ "message": "Ticket not found" }))).into_response()
    }
}

async fn change(State(ticket): State<Ticket>, Json(fields): Json<Value>) -> Json<Value> {
    let mut ticket = ticket.lock().unwrap();
    for name in ["Status", "Priority", "Subject"] {
        if let Some(value) = fields.get(name) {
            ticket[name] = value.clone();
        }
    }
    for (name, value) in fields["CustomFields"].as_object().into_iter().flatten() {
        for field in ticket["CustomFields"].as_array_mut().unwrap() {
            if field["name"] == *name {
                field["values"] = json!([value]);
            }
        }
    }
    Json(json!(["Ticket 1: changed"]))
}

async fn said() -> Response {
    let location = [("location", "/REST/2.0/transaction/7")];
    (StatusCode::CREATED, location, Json(json!(["Message recorded"]))).into_response()
}
