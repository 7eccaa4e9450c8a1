//! Attachments over REST, and the separate media host that serves their content on Cloud.

use std::io;
use std::sync::atomic::Ordering;

use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::SandboxJira;
use super::error::ApiError;
use super::manners::InPlaceOfContent;
use super::rest::{Api, Base, Params, authenticate, ok};
use super::settings::Deployment;
use super::state::Attachment;
use super::wire::Version;
use crate::page::content_disposition;

/// Lifetime of a link to the media host.
const LINK_MINUTES: i64 = 10;

/// Maximum size of the sign-in page, in bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Maximum length of a file name in UTF-16 code units: the size of the database column.
const FILE_NAME_LIMIT: usize = 255;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/issue/{issue}/attachments", post(upload).layer(DefaultBodyLimit::disable()))
        .route("/attachment/meta", get(meta))
        .route("/attachment/{id}", get(attachment).delete(remove))
        .route("/attachment/content/{id}", get(content))
}

/// Routes of Data Center's downloads, which are outside the REST API.
pub(super) fn secure_router(jira: &SandboxJira) -> Router {
    let api = Api { jira: jira.clone(), version: Version::Two };
    Router::new()
        .route("/secure/attachment/{id}/{name}", get(secure_content))
        .layer(middleware::from_fn_with_state(api.clone(), authenticate))
        .with_state(api)
        .merge(login_router())
}

/// Route of the sign-in page.
pub(super) fn login_router() -> Router {
    Router::new().route("/login.jsp", get(login_page))
}

pub(super) fn media_router(jira: &SandboxJira) -> Router {
    Router::new().route("/file/{id}/binary", get(media)).with_state(jira.clone())
}

fn no_attachment(id: &str) -> ApiError {
    ApiError::not_found(format!("The attachment with id '{id}' does not exist"))
}

fn find(api: &Api, id: &str) -> Result<Attachment, ApiError> {
    let state = api.jira.state();
    id.parse()
        .ok()
        .and_then(|number| state.attachment(number))
        .filter(|(issue, _)| state.shows(issue) && api.settings().may("BROWSE_PROJECTS"))
        .map(|(_, attachment)| attachment.clone())
        .ok_or_else(|| no_attachment(id))
}

async fn meta(Shared(api): Shared<Api>) -> Result<Response, ApiError> {
    ok(json!({"enabled": true, "uploadLimit": api.settings().attachment_limit}))
}

async fn attachment(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let attachment = find(&api, &id)?;
    let mut json = api.wire(&base, &api.jira.state()).attachment(&attachment);
    if api.settings().deployment == Deployment::Cloud {
        // Cloud sends the ID as a number here, and nowhere else.
        json["id"] = json!(attachment.id);
    }
    ok(json)
}

async fn remove(Shared(api): Shared<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let attachment = find(&api, &id)?;
    let now = api.jira.now();
    if api.change(|state| Ok(state.detach(attachment.id, now)))? {
        api.jira.0.blobs.remove(attachment.id);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

// ---------------------------------------------------------------- uploads

async fn upload(
    Shared(api): Shared<Api>,
    Base(base): Base,
    Path(name): Path<String>,
    headers: HeaderMap,
    mut parts: Multipart,
) -> Result<Response, ApiError> {
    const REFUSED: &str = "You do not have permission to create attachments for this issue.";
    let token = headers.get("X-Atlassian-Token").and_then(|value| value.to_str().ok());
    if !matches!(token, Some("no-check" | "nocheck")) {
        return Ok((StatusCode::FORBIDDEN, "XSRF check failed").into_response());
    }
    let issue = {
        let state = api.jira.state();
        let issue = api.issue(&state, &name)?;
        if state.is_archived(issue) {
            return Err(ApiError::forbidden(REFUSED));
        }
        issue.id
    };
    api.may("CREATE_ATTACHMENTS", REFUSED)?;
    let mut attached = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|error| broken(&error))? {
        if part.name() != Some("file") {
            drain(part).await?;
            continue;
        }
        if has_starred_name_only(&part) {
            // Jira's multipart parser does not support RFC 5987: it fails without a message (reports against the PyPI client
            // `jira`, numbers 223 and 742).
            drain(part).await?;
            return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        }
        if part.file_name().is_none() {
            drain(part).await?;
            continue;
        }
        match take_in(&api.jira, &api.settings().account, part).await? {
            Ok(attachment) => attached.push(attachment),
            Err(too_large) => {
                // Read the rest of the body first, so that the caller gets to read the answer.
                while let Some(rest) = parts.next_field().await.map_err(|error| broken(&error))? {
                    drain(rest).await?;
                }
                for attachment in &attached {
                    api.jira.0.blobs.remove(attachment.id);
                }
                return Err(too_large);
            }
        }
    }
    let now = api.jira.now();
    let ids: Vec<_> = attached.iter().map(|attachment| attachment.id).collect();
    let json = api.change(|state| {
        // The issue may have been deleted during the upload.
        api.issue(state, &issue.to_string())?;
        for attachment in attached.clone() {
            state.attach(issue, attachment, now);
        }
        let wire = api.wire(&base, state);
        Ok(attached.iter().map(|attachment| wire.attachment(attachment)).collect::<Value>())
    });
    if json.is_err() {
        for id in ids {
            api.jira.0.blobs.remove(id);
        }
    }
    Ok(Json(json?).into_response())
}

fn broken(error: &axum::extract::multipart::MultipartError) -> ApiError {
    ApiError::bad_request(format!("The multipart body is broken: {}", error.body_text()))
}

/// Reports if the file's name is sent as `filename*=utf-8''…` only.
fn has_starred_name_only(part: &Field<'_>) -> bool {
    part.headers().get(header::CONTENT_DISPOSITION).is_some_and(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        value.contains("filename*=") && !value.contains("filename=")
    })
}

async fn drain(mut part: Field<'_>) -> Result<(), ApiError> {
    while part.chunk().await.map_err(|error| broken(&error))?.is_some() {}
    Ok(())
}

/// Reads one file to its end and stores it. The inner error means that Jira refuses the file.
pub(super) async fn take_in(
    jira: &SandboxJira,
    author: &str,
    mut part: Field<'_>,
) -> Result<Result<Attachment, ApiError>, ApiError> {
    let storage = |error: io::Error| ApiError::internal(&error);
    let limit = jira.0.settings.attachment_limit;
    let file_name = part.file_name().unwrap_or_default().to_owned();
    let mime_type = part.content_type().unwrap_or("application/octet-stream").to_owned();
    let refusal = if file_name.is_empty() || file_name.contains('\0') {
        Some(ApiError::bad_request("The file name is invalid."))
    } else if file_name.encode_utf16().count() > FILE_NAME_LIMIT {
        Some(ApiError::bad_request(format!("The file name is longer than {FILE_NAME_LIMIT} characters.")))
    } else {
        None
    };
    let mut upload = jira.0.blobs.begin().await.map_err(storage)?;
    while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
        if upload.size() + piece.len() as u64 > limit {
            drain(part).await?;
            let message = format!("The field file exceeds its maximum permitted size of {limit} bytes.");
            return Ok(Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)));
        }
        if refusal.is_none() {
            upload.write(&piece).await.map_err(storage)?;
        }
    }
    if let Some(refusal) = refusal {
        return Ok(Err(refusal));
    }
    let id = jira.state().reserve_attachment_id();
    let stored = jira.0.blobs.finish(upload, id).await.map_err(storage)?;
    Ok(Ok(Attachment {
        id,
        file_name: last_segment(&file_name).to_owned(),
        mime_type,
        size: stored.size,
        sha256: Some(stored.sha256),
        author: author.to_owned(),
        created: jira.now(),
        content: stored.content,
    }))
}

/// Returns the file name without the folders that a browser may send.
fn last_segment(file_name: &str) -> &str {
    file_name.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or("file")
}

// ---------------------------------------------------------------- downloads

async fn content(
    Shared(api): Shared<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let attachment = find(&api, &id)?;
    if let Some(answer) = in_place(&api, &attachment) {
        return answer;
    }
    let media = api.jira.0.media_base.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    match media
        .filter(|_| api.settings().deployment == Deployment::Cloud && params.get("redirect") != Some("false"))
    {
        None => deliver(&api.jira, &attachment).await,
        Some(media) => {
            let expires = (api.jira.now() + chrono::Duration::minutes(LINK_MINUTES)).timestamp();
            let token = link_token(&api.jira, attachment.id, expires);
            let name = utf8_percent_encode(&attachment.file_name, NON_ALPHANUMERIC);
            let url =
                format!("{media}/file/{}/binary?token={token}&expires={expires}&name={name}", attachment.id);
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response())
        }
    }
}

async fn secure_content(
    Shared(api): Shared<Api>,
    Path((id, _)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let attachment = find(&api, &id)?;
    match in_place(&api, &attachment) {
        Some(answer) => answer,
        None => deliver(&api.jira, &attachment).await,
    }
}

/// Returns the answer that replaces an attachment's content, if the switches in [`Manners`](super::Manners) have one.
fn in_place(api: &Api, attachment: &Attachment) -> Option<Result<Response, ApiError>> {
    let id = attachment.id.to_string();
    let what = api.jira.state().manners.content.get(&id).copied()?;
    Some(match what {
        InPlaceOfContent::LoginPage => {
            let url = format!(
                "/login.jsp?permissionViolation=true&length={}&os_destination=%2Fsecure",
                attachment.size
            );
            let headers =
                [(header::LOCATION, url), (HeaderName::from_static("x-ausername"), "anonymous".to_owned())];
            Ok((StatusCode::FOUND, headers).into_response())
        }
        InPlaceOfContent::Forbidden => Err(ApiError::forbidden(
            "You do not have permission to view attachment with id: ".to_owned() + &id,
        )),
        InPlaceOfContent::Missing => Err(no_attachment(&id)),
        InPlaceOfContent::OtherSize => {
            let more = api.jira.0.other_sizes.fetch_add(1, Ordering::Relaxed) + 1;
            let body = vec![b'?'; usize::try_from(attachment.size + more).unwrap_or_default()];
            Ok(([(header::CONTENT_TYPE, attachment.mime_type.clone())], body).into_response())
        }
    })
}

/// Returns the sign-in page, padded to the requested length, so that it cannot be told from the file by its length.
async fn login_page(params: Params) -> Response {
    let mut page = "<!DOCTYPE html><html><head><title>Log in - Jira</title></head><body><form>".to_owned();
    if let Some(length) = params.get("length").and_then(|length| length.parse::<usize>().ok()) {
        let padding = length.min(BODY_LIMIT).saturating_sub(page.len());
        page.extend(std::iter::repeat_n(' ', padding));
        page.truncate(length);
    }
    let headers = [
        (header::CONTENT_TYPE, "text/html;charset=UTF-8"),
        (HeaderName::from_static("x-ausername"), "anonymous"),
    ];
    (headers, page).into_response()
}

pub(super) async fn deliver(jira: &SandboxJira, attachment: &Attachment) -> Result<Response, ApiError> {
    let body = jira.0.blobs.body(attachment).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_attachment(&attachment.id.to_string()),
        _ => ApiError::internal(&error),
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

/// Returns the signature of a link to the media host.
fn link_token(jira: &SandboxJira, id: u64, expires: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(jira.0.media_secret);
    hash.update(id.to_be_bytes());
    hash.update(expires.to_be_bytes());
    hex::encode(hash.finalize())
}

async fn media(
    Shared(jira): Shared<SandboxJira>,
    Path(id): Path<u64>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(ApiError::bad_request(
            "Only one auth mechanism allowed: the link carries its own token.",
        ));
    }
    let expires: i64 = params.get("expires").and_then(|text| text.parse().ok()).unwrap_or_default();
    let token = link_token(&jira, id, expires);
    let sent = params.get("token").unwrap_or_default();
    if !bool::from(sent.as_bytes().ct_eq(token.as_bytes())) || expires < jira.now().timestamp() {
        return Err(ApiError::forbidden("The link is invalid or has expired."));
    }
    let found = jira.state().attachment(id).map(|(_, attachment)| attachment.clone());
    deliver(&jira, &found.ok_or_else(|| no_attachment(&id.to_string()))?).await
}
