//! `POST /push/google` and `POST /push/company`: a system says that a case may have changed.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::{Problem, Service, bearer, part, read_body};
use crate::cases::{Hint, Refusal};
use crate::entities::Side;
use crate::push::MAX_MESSAGE;
use crate::tasks::hint;

/// Takes a message, and queues what it asks for. Answers 204 once that is durable, so that the sender need not send the message again.
pub(super) async fn receive(
    State(service): State<Service>,
    side: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let side = match part(side)?.as_str() {
        "google" => Side::Google,
        "company" => Side::Company,
        _ => return Err(Problem::new(StatusCode::NOT_FOUND, "There is nothing here")),
    };
    let count = |outcome| hint::count(&service.deps, side, outcome);
    let body = read_body(body, MAX_MESSAGE).await.inspect_err(|_| count("malformed"))?;
    let hints = read(&service, side, &headers, &body).await?.map_err(|refusal| {
        count(refusal.name());
        refused(&refusal)
    })?;
    hint::take_all(&service.deps, side, &hints).await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The message could not be taken: send it again")
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Verifies and reads a message. Fails if push is not configured for the side.
async fn read(
    service: &Service,
    side: Side,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Result<Vec<Hint>, Refusal>, Problem> {
    let now = service.deps.clock.now();
    let not_configured = |key: &str| {
        Problem::new(StatusCode::NOT_FOUND, "Push is not configured for this side")
            .detail(format!("set {key}"))
    };
    match side {
        Side::Google => {
            let receiver = service.push.google.as_ref();
            let receiver = receiver
                .ok_or_else(|| not_configured("push.google.audience and push.google.service_account"))?;
            Ok(receiver.receive(bearer(headers), body, now).await)
        }
        Side::Company => {
            let receiver =
                service.push.company.as_ref().ok_or_else(|| not_configured("push.company.secret"))?;
            Ok(receiver.receive(headers, body, now))
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let (status, title) = match refusal {
        Refusal::Unproven(_) => (StatusCode::UNAUTHORIZED, "The sender did not prove who they are"),
        Refusal::Malformed(_) => (StatusCode::BAD_REQUEST, "The message cannot be read"),
        Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "The message cannot be verified now"),
    };
    Problem::new(status, title).detail(refusal.to_string())
}
