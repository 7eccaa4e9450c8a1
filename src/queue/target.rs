//! Client with which the embedded queue and cron call the service, as App Engine would: in this process, or over HTTP.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use tower::ServiceExt as _;
use url::Url;

/// Maximum number of bytes of an answer's body that are read and dropped, so that the connection can be reused.
const DRAINED_BYTES: usize = 64 * 1024;
const JSON: &str = "application/json";
const TOO_LATE: &str = "no answer within the deadline";

/// Error that prevents any call to the service.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The internal token holds characters that are not allowed in a header.
    #[error("the internal token cannot be sent in a header: use visible ASCII characters only")]
    Token(#[from] InvalidHeaderValue),
    /// The HTTP client cannot be built.
    #[error("the HTTP client for the queue's own deliveries cannot be made")]
    Client(#[from] reqwest::Error),
}

/// Service as the target of calls.
pub(super) struct Target {
    client: reqwest::Client,
    base: String,
    bearer: HeaderValue,
    /// The service's own router. Calls of it take no connection and no file handle, so that no other caller can keep them out.
    router: Mutex<Option<Router>>,
}

/// Outcome of a call.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status; `None` without an answer.
    pub(super) status: Option<u16>,
    /// Reason of the failure, in a few words of ASCII; `None` for a success (2xx).
    pub(super) failure: Option<String>,
    /// Pause that the service asks for.
    pub(super) retry_after: Option<TimeDelta>,
}

impl Target {
    /// Creates a client. `base` is the URL that the service listens on, `http://127.0.0.1:8080`; `token` proves that a call comes from the
    /// service itself.
    pub(super) fn new(base: &Url, token: &str) -> Result<Self, TargetError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        // Follows no redirect, like Cloud Tasks and App Engine's cron: the service answers for itself.
        let client = crate::outbound::http_client().no_proxy().build()?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, base, bearer, router: Mutex::default() })
    }

    /// Calls this router from now on, instead of the service over HTTP. `None` lets go of it: the router holds the queue, which holds this.
    pub(super) fn call_in_process(&self, router: Option<Router>) {
        *self.router() = router;
    }

    fn router(&self) -> MutexGuard<'_, Option<Router>> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `path` and waits for the answer, at most for `deadline`. An empty body is not sent as JSON.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: String,
        deadline: Duration,
        now: impl Fn() -> DateTime<Utc>,
    ) -> Answer {
        let headers =
            headers.into_iter().chain((!body.is_empty()).then(|| (CONTENT_TYPE.as_str(), JSON.to_owned())));
        let router = self.router().clone();
        if let Some(router) = router {
            let mut request = axum::http::Request::builder().method(method).uri(path);
            request = request.header(AUTHORIZATION, self.bearer.clone());
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let Ok(request) = request.body(axum::body::Body::from(body)) else {
                return Answer::none("the request is not valid");
            };
            return match tokio::time::timeout(deadline, router.oneshot(request)).await {
                Ok(Ok(response)) => Answer::of(response.status(), response.headers(), now()),
                Err(_) => Answer::none(TOO_LATE),
            };
        }
        let url = format!("{}{path}", self.base);
        let mut request =
            self.client.request(method, url).header(AUTHORIZATION, self.bearer.clone()).timeout(deadline);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match request.body(body).send().await {
            Ok(response) => {
                let answer = Answer::of(response.status(), response.headers(), now());
                drain(response).await;
                answer
            }
            Err(error) => Answer::none(no_answer(&error)),
        }
    }
}

impl Answer {
    fn of(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| retry_after(value, now));
        let failure = (!status.is_success()).then(|| failure_of(status));
        Self { status: Some(status.as_u16()), failure, retry_after }
    }

    fn none(failure: &str) -> Self {
        Self { status: None, failure: Some(failure.to_owned()), retry_after: None }
    }
}

async fn drain(mut response: reqwest::Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > DRAINED_BYTES {
            break;
        }
    }
}

fn failure_of(status: StatusCode) -> String {
    format!("answered {}", status.as_u16())
}

fn no_answer(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        TOO_LATE
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

/// Reads a `Retry-After` in seconds or as a date (RFC 9110, 10.2.3). An unreadable one is ignored.
fn retry_after(value: &HeaderValue, now: DateTime<Utc>) -> Option<TimeDelta> {
    let value = value.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(TimeDelta::seconds(i64::from(seconds)));
    }
    let date = DateTime::<Utc>::from(httpdate::parse_http_date(value).ok()?);
    Some((date - now).max(TimeDelta::zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-03-01T10:00:00Z".parse().unwrap();
        let check = |value: &'static str, expected: Option<i64>| {
            let got = retry_after(&HeaderValue::from_static(value), now);
            assert_eq!(got.map(|pause| pause.num_seconds()), expected, "{value}");
        };
        check("0", Some(0));
        check(" 30 ", Some(30));
        check("Sun, 01 Mar 2026 10:02:00 GMT", Some(120));
        check("Sun, 01 Mar 2026 09:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
        check("99999999999999999999", None);
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_refused() {
        let base = Url::parse("http://127.0.0.1:1").unwrap();
        assert!(matches!(Target::new(&base, "line\nbreak"), Err(TargetError::Token(_))));
        assert!(Target::new(&base, "fine").is_ok());
    }
}
