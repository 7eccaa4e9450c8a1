//! Attachment API.

use std::io;

use axum::extract::{DefaultBodyLimit, OriginalUri, Path, Query as Params, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::catalog::{self, ATTACHMENTS, STATE_OF_FILE};
use super::rest::{Answer, Asked, Refusal, base, listing};
use super::state::{Row, get as column_of};
use super::{FileState, SandboxServiceNow, Spoilt};
use crate::page::content_disposition;

/// Default number of attachments on a page.
const PAGE: usize = 1_000;

pub(super) fn api_routes() -> Router<SandboxServiceNow> {
    Router::new()
        .route("/attachment", get(list))
        .route("/attachment/file", post(upload).layer(DefaultBodyLimit::disable()))
        .route("/attachment/{id}", get(show).delete(remove))
        .route("/attachment/{id}/file", get(content))
}

/// Returns an attachment's metadata as JSON: always stored values, whatever display the request asks for.
fn file(row: &Row, headers: &HeaderMap) -> Value {
    // The scanner's verdict is only in the table, not in this API.
    let columns =
        catalog::columns(ATTACHMENTS).into_iter().flatten().filter(|(name, _)| *name != STATE_OF_FILE);
    let mut shown: Map<String, Value> =
        columns.map(|(name, _)| (name.to_owned(), json!(column_of(row, name)))).collect();
    let link = format!("{}/api/now/attachment/{}/file", base(headers), column_of(row, "sys_id"));
    shown.insert("download_link".to_owned(), json!(link));
    for name in ["image_height", "image_width", "average_image_color", "sys_tags"] {
        shown.insert(name.to_owned(), json!(""));
    }
    Value::Object(shown)
}

async fn list(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Params(asked): Asked,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Answer {
    let (rows, answer) = listing(&servicenow, ATTACHMENTS, &asked, (&uri.0, &headers), PAGE)?;
    let result: Vec<Value> = rows.iter().map(|row| file(row, &headers)).collect();
    Ok((answer, Json(json!({"result": result}))).into_response())
}

/// Returns an attachment if the asking user may see it.
fn seen(servicenow: &SandboxServiceNow, id: &str) -> Result<Row, Refusal> {
    let state = servicenow.state();
    let row = state.row(ATTACHMENTS, id).filter(|row| servicenow.shows(&state, ATTACHMENTS, row));
    row.cloned().ok_or_else(Refusal::no_record)
}

async fn show(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let row = seen(&servicenow, &id)?;
    Ok(Json(json!({"result": file(&row, &headers)})).into_response())
}

async fn remove(Shared(servicenow): Shared<SandboxServiceNow>, Path(id): Path<String>) -> Answer {
    seen(&servicenow, &id)?;
    servicenow.delete_attachment(&id).map_err(|error| Refusal::internal(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn content(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let row = seen(&servicenow, &id)?;
    let scanned = column_of(&row, STATE_OF_FILE);
    if [FileState::Pending, FileState::NotAvailable].iter().any(|state| state.value() == scanned) {
        let name = column_of(&row, "file_name");
        let detail = format!("The file {name} did not pass security scan and cannot be downloaded.");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Attachment is not available", Some(&detail)));
    }
    let spoilt = servicenow.state().spoilt.get(&id).copied();
    match spoilt {
        None => {}
        Some(Spoilt::Missing) => return Err(Refusal::no_record()),
        Some(Spoilt::SignOn) => {
            let page = "<!DOCTYPE html><html><head><title>Log in</title></head><body>Log in</body></html>";
            return Ok(axum::response::Html(page).into_response());
        }
        Some(Spoilt::OtherSize(size)) => {
            let content_type = HeaderValue::from_str(column_of(&row, "content_type"));
            let mut answer = vec![b'#'; size].into_response();
            if let Ok(content_type) = content_type {
                answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
            }
            return Ok(answer);
        }
    }
    let computed = servicenow.computed(&id).map_err(|_| Refusal::no_record())?;
    let body = servicenow.0.blobs.body(&id, computed).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::no_record(),
        _ => Refusal::internal(&error),
    })?;
    let mut response = Response::new(body);
    let answer = response.headers_mut();
    let content_type = HeaderValue::from_str(column_of(&row, "content_type"))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    answer.insert(header::CONTENT_TYPE, content_type);
    if let Ok(size) = HeaderValue::from_str(column_of(&row, "size_bytes")) {
        answer.insert(header::CONTENT_LENGTH, size);
    }
    answer.insert(header::CONTENT_DISPOSITION, content_disposition(column_of(&row, "file_name")));
    answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // This header repeats the metadata as JSON.
    if let Ok(metadata) = HeaderValue::from_str(&ascii(&file(&row, &headers).to_string())) {
        answer.insert(HeaderName::from_static("x-attachment-metadata"), metadata);
    }
    Ok(response)
}

/// Escapes JSON to ASCII, for a header.
fn ascii(json: &str) -> String {
    let escape = |c: char| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>()
    };
    json.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect()
}

async fn upload(
    Shared(servicenow): Shared<SandboxServiceNow>,
    Params(asked): Asked,
    request: Request,
) -> Answer {
    let headers = request.headers().clone();
    let bad = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, message, None);
    let parameter = |name: &str| asked.get(name).filter(|value| !value.is_empty());
    let (Some(table), Some(id), Some(name)) =
        (parameter("table_name"), parameter("table_sys_id"), parameter("file_name"))
    else {
        return Err(bad("Missing parameter: table_name, table_sys_id and file_name are required"));
    };
    let Some(content_type) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return Err(bad("Missing header: Content-Type is required"));
    };
    let limit = usize::try_from(servicenow.settings().attachment_limit).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut pieces = request.into_body().into_data_stream();
    // Read the body to its end even if it is refused, so that the caller gets to read the answer.
    let mut too_large = false;
    while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
        let piece = piece.map_err(|_| bad("The upload broke off"))?;
        too_large |= bytes.len() + piece.len() > limit;
        if !too_large {
            bytes.extend_from_slice(&piece);
        }
    }
    {
        let state = servicenow.state();
        let row = state.row(table, id).filter(|row| servicenow.shows(&state, table, row));
        row.ok_or_else(Refusal::no_record)?;
    }
    if too_large {
        let detail = format!("The file is larger than the limit of {limit} bytes");
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "Attachment size exceeds the limit",
            Some(&detail),
        ));
    }
    let extensions = &servicenow.settings().attachment_extensions;
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    if !extensions.is_empty() && !extensions.contains(&ending) {
        let detail = format!("Files of the type {ending:?} may not be attached");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "Invalid file type", Some(&detail)));
    }
    let account = &servicenow.settings().account;
    let added = servicenow
        .keep_file(id, account, name, content_type, bytes.into())
        .map_err(|error| Refusal::internal(&error))?;
    let row = seen(&servicenow, &added)?;
    let location = format!("{}/api/now/attachment/{added}", base(&headers));
    let answer = Json(json!({"result": file(&row, &headers)}));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], answer).into_response())
}
