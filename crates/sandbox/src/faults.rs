//! Faults on demand: latency, error statuses, lost or cut answers, and a lagging search index.
//!
//! A [`Faults`] is shared between a test (or a person with curl) and the sandbox that it affects. [`Faults::wrap`] puts it
//! around a router: every request but those under `/sandbox/` is recorded in the call log and then goes through the faults.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /sandbox/faults` | `{"faults": [...], "search_lag_seconds": N, "clock_ahead_seconds": N}` |
//! | `POST /sandbox/faults` with a [`Fault`] | adds it; answers `{"id": N}` |
//! | `DELETE /sandbox/faults`, `DELETE /sandbox/faults/{id}` | removes all faults and resets lag, clock and sending, or removes one fault |
//! | `PUT /sandbox/clock` with `{"ahead_seconds": N}` | shifts the sandbox's clock against the machine's: in all times and in `Date` |
//! | `PUT /sandbox/search-lag` with `{"seconds": N}` | sets the index lag: searches do not see changes younger than that |
//! | `GET`, `PUT /sandbox/sending` with a [`Sending`] | manner in which the sandbox sends its own messages; a field that is left out is off |
//! | `GET`, `DELETE /sandbox/calls` | returns the requests so far, or clears them |
//! | `GET /sandbox/break` | page with forms for the most usual of these |
//!
//! A sandbox has a clock of its own, [`Faults::clock`], and dates its answers by it ([`Faults::dated`]), as servers do
//! (RFC 9110, 6.6.1).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use casebridge_core::clock::{Clock, SharedClock};

/// Maximum number of requests in the call log; the oldest are dropped first.
pub const CALL_LOG_LENGTH: usize = 20_000;

/// Faults, index lag, clock offset and call log of one sandbox. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Part of the paths that no fault hits.
    spared: Option<&'static str>,
    next_id: u64,
    active: Vec<ActiveFault>,
    search_lag: chrono::Duration,
    clock_ahead: chrono::Duration,
    sending: Sending,
    calls: VecDeque<Call>,
}

/// Manner in which a sandbox sends its own messages: webhooks and publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "one switch each")]
pub struct Sending {
    /// Delay in milliseconds.
    pub late_ms: u64,
    /// True if each message is sent twice.
    pub twice: bool,
    /// True if each second message is sent before the one that came before it.
    pub reversed: bool,
    /// True if the proof of the sender is missing or wrong, as in a message of somebody else. Where Google's own permissions are the proof
    /// (Pub/Sub's topics), this changes nothing.
    pub forged: bool,
    /// True if no message is sent.
    pub lost: bool,
}

/// Fault: an effect, and the requests that it hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// HTTP method, in upper or lower case; absent: every method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Part of the request's path and query, as sent on the wire (percent-encoded); absent: every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Number of matching requests that pass before the first one is hit.
    #[serde(default)]
    pub skip: u32,
    /// Number of matching requests that are hit after those; absent: all until the fault is cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Effect on the requests that are hit.
    pub effect: Effect,
}

/// Effect of a fault on a request. "Before": the handler never runs. "After": it runs and takes effect, but its answer is discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Waits before the handler runs. Latencies add up; of all other effects only the first one applies.
    Latency {
        /// Delay in milliseconds.
        ms: u64,
    },
    /// Waits after the handler ran: a caller that times out meanwhile has lost the answer to a call that took effect. Adds to other
    /// latencies.
    LatencyAfter {
        /// Delay in milliseconds.
        ms: u64,
    },
    /// Answers with this status instead of running the handler.
    ErrorBefore {
        /// HTTP status, 200 to 599.
        status: u16,
        /// Body of the answer; absent: an error body in the sandbox's own format.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// Answers 302 to an address instead of running the handler, as a single sign-on does to a caller that is not signed in.
    Redirect {
        /// Value of the `Location` header: an address, or a path.
        location: String,
    },
    /// Runs the handler, then answers with this status.
    ErrorAfter {
        /// HTTP status, 200 to 599.
        status: u16,
    },
    /// Answers 429 instead of running the handler.
    RateLimited {
        /// Value of the `Retry-After` header, sent unchanged: seconds, an HTTP date, or an invalid text.
        retry_after: String,
    },
    /// Closes the connection without an answer instead of running the handler.
    HangUpBefore,
    /// Runs the handler, then closes the connection without an answer.
    HangUpAfter,
    /// Announces the whole answer, sends the first bytes of its body, and closes the connection.
    TruncateBody {
        /// Number of bytes of the body that are sent.
        bytes: usize,
    },
    /// Sends the first bytes of the answer's body as if they were all of it: well-formed HTTP, wrong content.
    ShortenBody {
        /// Number of bytes of the body that are sent.
        bytes: usize,
    },
}

/// Active fault, with counts of the requests that it met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveFault {
    /// ID that [`Faults::add`] returned.
    pub id: u64,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// Number of matching requests that passed, at most `skip`.
    pub passed: u32,
    /// Number of requests that were hit.
    pub hit: u32,
}

/// Request that reached the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// HTTP method.
    pub method: String,
    /// Path and query as sent on the wire.
    pub path: String,
}

/// Function that makes an error body in a sandbox's own format (content type `application/json`) from a status and a message.
pub type ErrorBody = fn(StatusCode, &str) -> String;

impl Faults {
    /// Adds a fault; returns the ID that [`Faults::remove`] takes.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut inner = self.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        inner.active.push(ActiveFault { id, fault, passed: 0, hit: 0 });
        id
    }

    /// Lets no fault hit calls whose path contains `part`, such as those of the token endpoint, which a real system has elsewhere.
    pub fn spare(&self, part: &'static str) {
        self.lock().spared = Some(part);
    }

    /// Removes one fault; false if there is none with that ID.
    pub fn remove(&self, id: u64) -> bool {
        let mut inner = self.lock();
        let before = inner.active.len();
        inner.active.retain(|active| active.id != id);
        inner.active.len() < before
    }

    /// Removes every fault, and resets the index lag, the clock and the manner of sending. Keeps the call log.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.active.clear();
        inner.search_lag = chrono::Duration::zero();
        inner.clock_ahead = chrono::Duration::zero();
        inner.sending = Sending::default();
    }

    /// Returns the faults, oldest first. A fault whose `times` are used up stays listed, with its counts, until it is cleared.
    pub fn list(&self) -> Vec<ActiveFault> {
        self.lock().active.clone()
    }

    /// Sets the index lag: from now on, searches do not see changes younger than `lag`.
    pub fn set_search_lag(&self, lag: chrono::Duration) {
        self.lock().search_lag = lag;
    }

    /// Returns the index lag; zero unless set.
    pub fn search_lag(&self) -> chrono::Duration {
        self.lock().search_lag
    }

    /// Sets the sandbox's clock ahead of the clock that it was made with; behind it, if `ahead` is negative.
    pub fn set_clock_ahead(&self, ahead: chrono::Duration) {
        self.lock().clock_ahead = ahead;
    }

    /// Returns the time by which the sandbox's clock is ahead; zero unless set.
    pub fn clock_ahead(&self) -> chrono::Duration {
        self.lock().clock_ahead
    }

    /// Sets the manner in which the sandbox sends its own messages.
    pub fn set_sending(&self, sending: Sending) {
        self.lock().sending = sending;
    }

    /// Returns the manner in which the sandbox sends its own messages; as it should, unless set.
    pub fn sending(&self) -> Sending {
        self.lock().sending
    }

    /// Returns the sandbox's own clock: `clock`, shifted as [`set_clock_ahead`](Self::set_clock_ahead) says.
    pub fn clock(&self, clock: SharedClock) -> SharedClock {
        Arc::new(OwnClock { clock, faults: self.clone() })
    }

    /// Adds the header `Date` from `clock` to every answer. It must wrap all of a sandbox's routes.
    pub fn dated(router: Router, clock: SharedClock) -> Router {
        router.layer(middleware::map_response_with_state(clock, date))
    }

    /// Returns the last [`CALL_LOG_LENGTH`] requests, oldest first, including those that a fault hit.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.iter().cloned().collect()
    }

    /// Clears the call log.
    pub fn clear_calls(&self) {
        self.lock().calls.clear();
    }

    /// Wraps a router in the faults and adds the `/sandbox/` routes that control them. `error_body` makes the bodies of the errors that
    /// faults answer with.
    pub fn wrap(&self, router: Router, error_body: ErrorBody) -> Router {
        let layer = Layer { faults: self.clone(), error_body };
        router.layer(middleware::from_fn_with_state(layer, trouble)).merge(self.routes())
    }

    fn routes(&self) -> Router {
        Router::new()
            .route("/sandbox/faults", get(list_faults).post(add_fault).delete(clear_faults))
            .route("/sandbox/faults/{id}", delete(remove_fault))
            .route("/sandbox/search-lag", put(put_search_lag))
            .route("/sandbox/clock", put(put_clock))
            .route("/sandbox/sending", get(get_sending).put(put_sending))
            .route("/sandbox/calls", get(list_calls).delete(clear_calls))
            .with_state(self.clone())
            .merge(crate::panel::routes(self))
    }

    /// Records the request and decides its effects. Faults are checked oldest first. Latencies add up, until the first other effect is
    /// found; the faults after that one count the request neither as passed nor as hit.
    fn meet(&self, method: &str, path: &str) -> Verdict {
        let mut inner = self.lock();
        if inner.calls.len() == CALL_LOG_LENGTH {
            inner.calls.pop_front();
        }
        inner.calls.push_back(Call { method: method.to_owned(), path: path.to_owned() });
        let mut verdict = Verdict::default();
        if inner.spared.is_some_and(|part| path.contains(part)) {
            return verdict;
        }
        for active in &mut inner.active {
            if verdict.effect.is_some() {
                break;
            }
            if !active.fault.matches(method, path)
                || active.fault.times.is_some_and(|times| active.hit >= times)
            {
                continue;
            }
            if active.passed < active.fault.skip {
                active.passed += 1;
                continue;
            }
            active.hit = active.hit.saturating_add(1);
            match &active.fault.effect {
                Effect::Latency { ms } => verdict.wait_before += Duration::from_millis(*ms),
                Effect::LatencyAfter { ms } => verdict.wait_after += Duration::from_millis(*ms),
                other @ (Effect::ErrorBefore { .. }
                | Effect::Redirect { .. }
                | Effect::ErrorAfter { .. }
                | Effect::RateLimited { .. }
                | Effect::HangUpBefore
                | Effect::HangUpAfter
                | Effect::TruncateBody { .. }
                | Effect::ShortenBody { .. }) => verdict.effect = Some(other.clone()),
            }
        }
        verdict
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// Makes a fault that hits every request until it is cleared; the other methods narrow it.
    #[must_use]
    pub fn always(effect: Effect) -> Self {
        Self { method: None, path: None, skip: 0, times: None, effect }
    }

    /// Restricts the fault to requests with this method whose path and query contain `path`.
    #[must_use]
    pub fn on(self, method: &str, path: &str) -> Self {
        Self { method: Some(method.to_owned()), path: Some(path.to_owned()), ..self }
    }

    /// Limits the number of requests that are hit.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Lets a number of matching requests pass first.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_ref().is_none_or(|wanted| path.contains(wanted.as_str()))
    }

    /// Validates a fault that came over the wire; returns a description of the problem, if there is one.
    fn complaint(&self) -> Option<String> {
        match &self.effect {
            Effect::ErrorBefore { status, .. } | Effect::ErrorAfter { status } => (!(200..=599)
                .contains(status))
            .then(|| format!("effect.status: {status} is not a final HTTP status; give 200 to 599")),
            Effect::RateLimited { retry_after } => HeaderValue::from_str(retry_after)
                .is_err()
                .then(|| "effect.retry_after: cannot be sent in a header; use printable ASCII".to_owned()),
            Effect::Redirect { location } => HeaderValue::from_str(location)
                .is_err()
                .then(|| "effect.location: cannot be sent in a header; use printable ASCII".to_owned()),
            Effect::Latency { .. }
            | Effect::LatencyAfter { .. }
            | Effect::HangUpBefore
            | Effect::HangUpAfter
            | Effect::TruncateBody { .. }
            | Effect::ShortenBody { .. } => None,
        }
    }
}

#[derive(Debug, Default)]
struct Verdict {
    wait_before: Duration,
    wait_after: Duration,
    effect: Option<Effect>,
}

#[derive(Debug, Clone)]
struct Layer {
    faults: Faults,
    error_body: ErrorBody,
}

async fn trouble(State(layer): State<Layer>, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if path.starts_with("/sandbox/") {
        return next.run(request).await;
    }
    let verdict = layer.faults.meet(request.method().as_str(), path);
    pause(verdict.wait_before).await;
    let answer = match verdict.effect {
        // `meet` has added the latencies to the verdict's waits already.
        None | Some(Effect::Latency { .. } | Effect::LatencyAfter { .. }) => next.run(request).await,
        Some(Effect::ErrorBefore { status, body }) => layer.error(status, body),
        Some(Effect::RateLimited { retry_after }) => {
            let mut answer = layer.error(429, None);
            if let Ok(value) = HeaderValue::from_str(&retry_after) {
                answer.headers_mut().insert(header::RETRY_AFTER, value);
            }
            answer
        }
        Some(Effect::Redirect { location }) => {
            let mut answer = StatusCode::FOUND.into_response();
            if let Ok(value) = HeaderValue::from_str(&location) {
                answer.headers_mut().insert(header::LOCATION, value);
            }
            answer
        }
        Some(Effect::HangUpBefore) => hang_up(),
        Some(Effect::ErrorAfter { status }) => {
            next.run(request).await;
            layer.error(status, None)
        }
        Some(Effect::HangUpAfter) => {
            next.run(request).await;
            hang_up()
        }
        Some(Effect::TruncateBody { bytes }) => truncate(next.run(request).await, bytes),
        Some(Effect::ShortenBody { bytes }) => shorten(next.run(request).await, bytes),
    };
    pause(verdict.wait_after).await;
    answer
}

/// Clock of a sandbox: another clock with an offset.
#[derive(Debug)]
struct OwnClock {
    clock: SharedClock,
    faults: Faults,
}

impl Clock for OwnClock {
    fn now(&self) -> DateTime<Utc> {
        let now = self.clock.now();
        now.checked_add_signed(self.faults.clock_ahead()).unwrap_or(now)
    }
}

async fn date(State(clock): State<SharedClock>, mut answer: Response) -> Response {
    let date = clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        answer.headers_mut().insert(header::DATE, date);
    }
    answer
}

async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

impl Layer {
    fn error(&self, status: u16, body: Option<String>) -> Response {
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| !status.is_informational())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = body.unwrap_or_else(|| (self.error_body)(status, "the sandbox was told to fail"));
        let content_type = match body.trim_start().chars().next() {
            Some('{' | '[') => "application/json; charset=UTF-8",
            Some('<') => "text/html; charset=UTF-8",
            Some(_) | None => "text/plain; charset=UTF-8",
        };
        (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
    }
}

/// Returns an answer whose body fails before its first byte, so that hyper drops the connection before it sends the head.
fn hang_up() -> Response {
    let failing = stream::once(async { Err::<Bytes, _>(std::io::Error::other("the sandbox hangs up")) });
    Response::new(Body::from_stream(failing))
}

/// Announces the whole body, sends `keep` bytes of it, and fails.
fn truncate(answer: Response, keep: usize) -> Response {
    let (mut parts, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let cut = first_bytes(body, keep).chain(stream::once(async {
        // Lets the connection flush the bytes so far, so that the caller receives them.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::other("the sandbox hangs up in the middle"))
    }));
    Response::from_parts(parts, Body::from_stream(cut))
}

fn shorten(answer: Response, keep: usize) -> Response {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from_stream(first_bytes(body, keep)))
}

fn first_bytes(
    body: Body,
    keep: usize,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    body.into_data_stream().scan(keep, |left, piece| {
        let piece = match piece {
            Ok(_) if *left == 0 => None,
            Ok(mut piece) => {
                piece.truncate(*left);
                *left -= piece.len();
                Some(Ok(piece))
            }
            Err(error) => Some(Err(std::io::Error::other(error))),
        };
        async move { piece }
    })
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SearchLag {
    seconds: u32,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ClockAhead {
    ahead_seconds: i32,
}

async fn list_faults(State(faults): State<Faults>) -> Response {
    let body = serde_json::json!({
        "faults": faults.list(),
        "search_lag_seconds": faults.search_lag().num_seconds(),
        "clock_ahead_seconds": faults.clock_ahead().num_seconds(),
    });
    Json(body).into_response()
}

async fn add_fault(State(faults): State<Faults>, fault: Result<Json<Fault>, JsonRejection>) -> Response {
    match fault {
        Err(rejection) => complain(&rejection.body_text()),
        Ok(Json(fault)) => match fault.complaint() {
            Some(complaint) => complain(&complaint),
            None => (StatusCode::CREATED, Json(serde_json::json!({"id": faults.add(fault)}))).into_response(),
        },
    }
}

async fn clear_faults(State(faults): State<Faults>) -> StatusCode {
    faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(faults): State<Faults>, Path(id): Path<u64>) -> StatusCode {
    if faults.remove(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn put_search_lag(
    State(faults): State<Faults>,
    lag: Result<Json<SearchLag>, JsonRejection>,
) -> Response {
    match lag {
        Err(rejection) => complain(&rejection.body_text()),
        Ok(Json(lag)) => {
            faults.set_search_lag(chrono::Duration::seconds(i64::from(lag.seconds)));
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn put_clock(State(faults): State<Faults>, ahead: Result<Json<ClockAhead>, JsonRejection>) -> Response {
    match ahead {
        Err(rejection) => complain(&rejection.body_text()),
        Ok(Json(ahead)) => {
            faults.set_clock_ahead(chrono::Duration::seconds(i64::from(ahead.ahead_seconds)));
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn get_sending(State(faults): State<Faults>) -> Json<Sending> {
    Json(faults.sending())
}

async fn put_sending(
    State(faults): State<Faults>,
    sending: Result<Json<Sending>, JsonRejection>,
) -> Response {
    match sending {
        Err(rejection) => complain(&rejection.body_text()),
        Ok(Json(sending)) => {
            faults.set_sending(sending);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn list_calls(State(faults): State<Faults>) -> Response {
    Json(serde_json::json!({"calls": faults.calls()})).into_response()
}

async fn clear_calls(State(faults): State<Faults>) -> StatusCode {
    faults.clear_calls();
    StatusCode::NO_CONTENT
}

fn complain(what: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(serde_json::json!({"error": what}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16) -> Effect {
        Effect::ErrorBefore { status, body: None }
    }

    #[test]
    fn a_fault_hits_only_matching_requests_after_those_it_lets_pass_and_only_so_often() {
        let faults = Faults::default();
        faults.add(Fault::always(error(500)).on("post", "/comments").after(1).times(2));
        let hit = |method, path| faults.meet(method, path).effect.is_some();
        assert!(!hit("GET", "/v2/cases/1/comments"), "another method");
        assert!(!hit("POST", "/v2/cases"), "another path");
        assert!(!hit("POST", "/v2/cases/1/comments"), "the one to let pass");
        assert!(hit("POST", "/v2/cases/1/comments"));
        assert!(hit("POST", "/v2/cases/2/comments?x=1"));
        assert!(!hit("POST", "/v2/cases/1/comments"), "used up");
        assert_eq!(faults.calls().len(), 6);
        let listed = faults.list();
        assert_eq!((listed[0].passed, listed[0].hit), (1, 2));
    }

    #[test]
    fn latencies_add_up_and_the_first_other_effect_wins() {
        let faults = Faults::default();
        faults.add(Fault::always(Effect::Latency { ms: 5 }));
        faults.add(Fault::always(Effect::Latency { ms: 7 }));
        faults.add(Fault::always(error(503)).times(1));
        faults.add(Fault::always(error(500)));
        let verdict = faults.meet("GET", "/");
        assert_eq!((verdict.wait_before.as_millis(), verdict.effect), (12, Some(error(503))));
        assert_eq!(faults.list()[3].hit, 0, "the fault that was not needed is not used up");
        assert_eq!(faults.meet("GET", "/").effect, Some(error(500)));
    }

    #[test]
    fn clearing_and_removing_bring_good_behaviour_back() {
        let faults = Faults::default();
        let id = faults.add(Fault::always(error(500)));
        faults.add(Fault::always(Effect::HangUpBefore));
        faults.set_search_lag(chrono::Duration::seconds(9));
        assert!(faults.remove(id));
        assert!(!faults.remove(id));
        assert_eq!(faults.meet("GET", "/").effect, Some(Effect::HangUpBefore));
        faults.clear();
        assert_eq!(faults.meet("GET", "/").effect, None);
        assert_eq!(faults.search_lag(), chrono::Duration::zero());
    }

    #[test]
    fn the_call_log_is_bounded() {
        let faults = Faults::default();
        for number in 0..=CALL_LOG_LENGTH {
            faults.meet("GET", &format!("/{number}"));
        }
        let calls = faults.calls();
        assert_eq!((calls.len(), calls[0].path.as_str()), (CALL_LOG_LENGTH, "/1"));
    }

    #[test]
    fn a_fault_is_read_from_json_strictly() {
        let parse = |text: &str| serde_json::from_str::<Fault>(text);
        let fault = parse(
            r#"{"method":"POST","path":"/c","skip":1,"times":2,"effect":{"kind":"error_after","status":502}}"#,
        );
        assert_eq!(
            fault.unwrap(),
            Fault::always(Effect::ErrorAfter { status: 502 }).on("POST", "/c").after(1).times(2)
        );
        assert_eq!(
            parse(r#"{"effect":{"kind":"hang_up_after"}}"#).unwrap(),
            Fault::always(Effect::HangUpAfter)
        );
        for bad in [
            r#"{"effect":{"kind":"explode"}}"#,
            r#"{"effect":{"kind":"latency","ms":1},"when":"now"}"#,
            r#"{"effect":{"kind":"latency","ms":1,"s":2}}"#,
            "{}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
