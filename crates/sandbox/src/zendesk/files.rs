//! Uploads and attachments over REST, and the separate content host that serves their content.

use std::io;

use axum::extract::{DefaultBodyLimit, Path, Query as Params, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::rest::{Base, Refusal, UPLOAD_AGE};
use super::settings::Spoilt;
use super::state::{Attachment, Upload};
use super::{SandboxZendesk, new_attachment};
use crate::blobs;
use crate::page::content_disposition;

/// Lifetime of a link to the content host.
const LINK_MINUTES: i64 = 10;

/// Maximum length of a file name, in characters.
const FILE_NAME_LIMIT: usize = 255;

pub(super) fn api_routes() -> Router<SandboxZendesk> {
    Router::new()
        .route("/uploads", post(upload).layer(DefaultBodyLimit::disable()))
        .route("/uploads/{token}", delete(remove_upload))
        .route("/attachments/{id}", get(attachment))
}

/// Routes outside the API: the URLs in attachments, and the sign-in page.
pub(super) fn routes() -> Router<SandboxZendesk> {
    Router::new()
        .route("/attachments/token/{token}", get(content))
        .route("/attachments/token/{token}/", get(content))
        .route(SIGN_ON, get(sign_on))
}

/// Path of the sign-in page that Zendesk redirects to.
const SIGN_ON: &str = "/auth/v2/login/signin";

async fn sign_on() -> Html<String> {
    Html(sign_on_page(0))
}

/// Returns a sign-in page, padded to at least `size` bytes.
fn sign_on_page(size: usize) -> String {
    let page =
        "<!DOCTYPE html>\n<html><head><title>Sign in to Sandbox</title></head><body>Sign in</body></html>\n";
    format!("{page:<size$}")
}

pub(super) fn content_router(zendesk: &SandboxZendesk) -> Router {
    Router::new().route("/attachment/{id}", get(hosted)).with_state(zendesk.clone())
}

type Asked = Params<std::collections::BTreeMap<String, String>>;

async fn upload(
    Shared(zendesk): Shared<SandboxZendesk>,
    Extension(base): Extension<Base>,
    Params(asked): Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let file_name = asked.get("filename").map(String::as_str).unwrap_or_default();
    if file_name.is_empty() {
        let description = "Parameter filename is required";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "ParameterMissing", description));
    }
    if file_name.chars().count() > FILE_NAME_LIMIT || file_name.chars().any(char::is_control) {
        let description = "Filename: is invalid";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidFilename", description));
    }
    let mime_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream")
        .to_owned();
    let limit = usize::try_from(zendesk.settings().attachment_limit).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut pieces = request.into_body().into_data_stream();
    // Read the body to its end even if it is too large, so that the caller gets to read the answer.
    let mut too_large = false;
    while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
        let piece =
            piece.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", "The upload broke off"))?;
        too_large |= bytes.len() + piece.len() > limit;
        if !too_large {
            bytes.extend_from_slice(&piece);
        }
    }
    if too_large {
        let description = "The file exceeds the maximum size";
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "AttachmentTooLarge", description));
    }
    let now = zendesk.now();
    let id = zendesk.state().attachment_id();
    let attachment = Attachment {
        sha256: Some(blobs::sha256(&bytes)),
        ..new_attachment(id, last_segment(file_name), &mime_type, bytes.len() as u64)
    };
    zendesk.0.blobs.put(&id.to_string(), bytes.into()).map_err(|error| Refusal::internal(&error))?;
    let answer = zendesk
        .change(|state| {
            let expired: Vec<u64> = state
                .uploads
                .values()
                .filter(|upload| upload.at + UPLOAD_AGE <= now)
                .flat_map(|upload| upload.attachments.iter().map(|attachment| attachment.id))
                .collect();
            for id in expired {
                zendesk.0.blobs.remove(&id.to_string());
            }
            state.uploads.retain(|_, upload| upload.at + UPLOAD_AGE > now);
            let known = asked.get("token").filter(|token| state.uploads.contains_key(*token));
            let token = known.cloned().unwrap_or_else(|| hex::encode(rand::random::<[u8; 10]>()));
            let upload =
                state.uploads.entry(token.clone()).or_insert_with(|| Upload { at: now, attachments: Vec::new() });
            upload.attachments.push(attachment.clone());
            let wire = zendesk.wire(&base);
            let all: Vec<_> = upload.attachments.iter().map(|known| wire.attachment(known)).collect();
            let until = super::state::wire_time(upload.at + UPLOAD_AGE);
            json!({"upload": {
                "token": token, "expires_at": until, "attachment": wire.attachment(&attachment), "attachments": all,
            }})
        })
        .map_err(|error| Refusal::internal(&error))?;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Returns the file name without the folders that a browser may send.
fn last_segment(file_name: &str) -> &str {
    file_name.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or("file")
}

async fn remove_upload(
    Shared(zendesk): Shared<SandboxZendesk>,
    Path(token): Path<String>,
) -> Result<Response, Refusal> {
    let removed =
        zendesk.change(|state| state.uploads.remove(&token)).map_err(|error| Refusal::internal(&error))?;
    for attachment in removed.ok_or_else(Refusal::not_found)?.attachments {
        zendesk.0.blobs.remove(&attachment.id.to_string());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn attachment(
    Shared(zendesk): Shared<SandboxZendesk>,
    Extension(base): Extension<Base>,
    Path(id): Path<u64>,
) -> Result<Response, Refusal> {
    let state = zendesk.state();
    // An attachment on a ticket that the asking user may not see is treated as missing.
    let hidden = state.attachment(id).is_some_and(|(ticket, _, _)| !state.shows(ticket) || ticket.deleted);
    let found = state.any_attachment(|known| known.id == id).filter(|_| !hidden);
    let found = found.ok_or_else(Refusal::not_found)?;
    Ok(Json(json!({"attachment": zendesk.wire(&base).attachment(found)})).into_response())
}

/// Answers the URL in an attachment. A caller that is not signed in is redirected to the sign-in page: files of end users are private
/// since June 2026 ("Announcing end-user private attachments"), and here all files are, as with "Allow secure downloads".
async fn content(
    Shared(zendesk): Shared<SandboxZendesk>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if !zendesk.knows(&headers) {
        return Ok((StatusCode::FOUND, [(header::LOCATION, SIGN_ON)]).into_response());
    }
    let found = zendesk.state().any_attachment(|known| known.token == token).cloned();
    let found = found.filter(|found| !found.deleted).ok_or_else(Refusal::not_found)?;
    if found.malware {
        // "redirected to a page which indicates that the file has been deemed malicious" (community, "What is the Malware Scanning").
        let page = "<!DOCTYPE html>\n<html><body>This file has been deemed malicious.</body></html>\n";
        return Ok(Html(page).into_response());
    }
    let base = zendesk.0.content_base.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let Some(base) = base else { return deliver(&zendesk, &found) };
    let expires = (zendesk.now() + chrono::Duration::minutes(LINK_MINUTES)).timestamp();
    let proof = link_proof(&zendesk, found.id, expires);
    let url = format!("{base}/attachment/{}?expires={expires}&token={proof}", found.id);
    Ok((StatusCode::FOUND, [(header::LOCATION, url)]).into_response())
}

fn deliver(zendesk: &SandboxZendesk, attachment: &Attachment) -> Result<Response, Refusal> {
    match attachment.spoilt {
        Some(Spoilt::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
            return Err(Refusal::new(status, "Spoilt", "The content is not handed out"));
        }
        Some(Spoilt::SignOn) => {
            let page = sign_on_page(usize::try_from(attachment.size).unwrap_or_default());
            return Ok(Html(page).into_response());
        }
        Some(Spoilt::OtherSize(size)) => return Ok(vec![b'x'; size].into_response()),
        None => {}
    }
    let body =
        zendesk.0.blobs.body(&attachment.blob(), attachment.computed()).map_err(|error| {
            match error.kind() {
                io::ErrorKind::NotFound => Refusal::not_found(),
                _ => Refusal::internal(&error),
            }
        })?;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let mime_type = HeaderValue::from_str(&attachment.mime_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, mime_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(attachment.size));
    headers.insert(header::CONTENT_DISPOSITION, content_disposition(&attachment.file_name));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Returns the signature of a link to the content host.
fn link_proof(zendesk: &SandboxZendesk, id: u64, expires: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(zendesk.0.content_secret);
    hash.update(id.to_be_bytes());
    hash.update(expires.to_be_bytes());
    hex::encode(hash.finalize())
}

async fn hosted(
    Shared(zendesk): Shared<SandboxZendesk>,
    Path(id): Path<u64>,
    Params(asked): Asked,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if headers.contains_key(header::AUTHORIZATION) {
        let description = "Only one authentication is allowed: the link carries its own";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidArgument", description));
    }
    let expires: i64 = asked.get("expires").and_then(|text| text.parse().ok()).unwrap_or_default();
    let proof = link_proof(&zendesk, id, expires);
    let sent = asked.get("token").map(String::as_str).unwrap_or_default();
    if !bool::from(sent.as_bytes().ct_eq(proof.as_bytes())) || expires < zendesk.now().timestamp() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "The link is invalid or has expired",
        ));
    }
    let found = zendesk.state().any_attachment(|known| known.id == id).cloned();
    deliver(&zendesk, &found.ok_or_else(Refusal::not_found)?)
}
