//! Limits of the writes to one issue: 20 within 2 seconds and 100 within 30, by the machine's time.
//!
//! Source: "Rate limiting" and "Build an app that respects rate limits", Jira Cloud platform (October 2026): a refused request is answered
//! with 429 and `Retry-After`, `X-RateLimit-*`, and `RateLimit-Reason: jira-per-issue-on-write`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use super::rest::Api;

/// Number of writes, and the period that they are counted in.
const LIMITS: [(usize, Duration); 2] = [(20, Duration::from_secs(2)), (100, Duration::from_secs(30))];

/// Times of the latest writes, by the issue's ID.
#[derive(Debug, Default)]
pub(super) struct Writes(Mutex<HashMap<u64, VecDeque<Instant>>>);

impl Writes {
    /// Counts a write, a refused one too. Returns the limit and the time until it allows another write, if one is exceeded.
    fn take(&self, issue: u64, now: Instant) -> Result<(), (usize, Duration)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let writes = all.entry(issue).or_default();
        let longest = LIMITS[1].1;
        writes.retain(|at| now.duration_since(*at) < longest);
        writes.push_back(now);
        for (limit, period) in LIMITS {
            let within = writes.iter().filter(|at| now.duration_since(**at) < period);
            if within.count() > limit {
                let first = writes[writes.len() - limit];
                return Err((limit, period.saturating_sub(now.duration_since(first))));
            }
        }
        Ok(())
    }
}

/// Refuses a write to an issue that has taken as many as it takes.
pub(super) async fn limit(Shared(api): Shared<Api>, request: Request, next: Next) -> Response {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let path = request.uri().path();
    let issue = path.split_once("/issue/").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    if !is_write || issue.is_empty() || !api.settings().limits_writes {
        return next.run(request).await;
    }
    let Some(id) = api.jira.state().resolve(issue) else { return next.run(request).await };
    match api.jira.0.writes.take(id, Instant::now()) {
        Ok(()) => next.run(request).await,
        Err((limit, wait)) => refusal(&api, limit, wait),
    }
}

fn refusal(api: &Api, limit: usize, wait: Duration) -> Response {
    let seconds = wait.as_millis().div_ceil(1_000).max(1);
    let reset = api.jira.0.clock.now() + wait;
    let mut answer =
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded for writes to this issue.")
            .into_response();
    let said = [
        (header::RETRY_AFTER, seconds.to_string()),
        (HeaderName::from_static("x-ratelimit-limit"), limit.to_string()),
        (HeaderName::from_static("x-ratelimit-remaining"), "0".to_owned()),
        (HeaderName::from_static("x-ratelimit-reset"), reset.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        (HeaderName::from_static("ratelimit-reason"), "jira-per-issue-on-write".to_owned()),
    ];
    for (name, value) in said {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}
