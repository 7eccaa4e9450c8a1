//! One upstream: requests with their timeouts, retries and rate limit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rand::RngExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::credentials::Credentials;
use super::json;
use crate::cases::{ApiError, ApiErrorKind, ByteStream, Download};
use crate::clock::SharedClock;
use crate::telemetry::{CallLabels, Metrics};

/// The largest answer that is read into memory, in bytes. A page of cases fits many times over; downloads are streamed.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// How much of an upstream's own message goes into ours, in characters.
const MAX_MESSAGE: usize = 500;
/// How many redirects a download follows.
const MAX_REDIRECTS: usize = 3;

/// How often, and how far apart, a call is tried within one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all; 1 never repeats.
    pub attempts: u32,
    /// The longest first pause; each further one may be twice as long. Each is drawn between half of that and all of it.
    pub first_pause: Duration,
    /// The longest pause, also for a `Retry-After`: what asks for more is left to the queue.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 4, first_pause: Duration::from_millis(400), longest_pause: Duration::from_secs(20) }
    }
}

/// How to reach an upstream.
pub struct UpstreamSettings {
    /// What people call it.
    pub name: &'static str,
    /// Where it is; a path here comes before every call's.
    pub base_url: Url,
    /// Client-side rate limit.
    pub requests_per_minute: NonZeroU32,
    /// For a whole call, but for streamed content: there it is the longest silence.
    pub timeout: Duration,
    /// Retries within a task.
    pub retry: RetryPolicy,
    /// Hosts that a download may be redirected to besides the upstream's own: `host`, `host:port` or `.domain` for a whole
    /// domain. They get no credentials.
    pub download_hosts: Vec<String>,
}

/// A request's body.
#[derive(Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// JSON.
    Json(serde_json::Value),
    /// A stream, with its length if that is known. Sent once: never repeated.
    Stream(ByteStream, Option<u64>),
    /// A form with files. Sent once: never repeated.
    Multipart(reqwest::multipart::Form),
}

/// A request to an upstream.
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
}

impl Call {
    /// A call to `path`, which is percent-encoded already and begins with `/`.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), headers: Vec::new(), body: Body::Empty }
    }

    /// `GET path`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST path` with JSON.
    #[must_use]
    pub fn post(path: impl Into<String>, body: serde_json::Value) -> Self {
        Self::new(Method::POST, path).body(Body::Json(body))
    }

    /// Adds a query parameter; it is encoded here.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// `GET /path`, without the query, which may hold content.
    fn label(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The same call again, if its body can be sent again.
    fn again(&self) -> Option<Self> {
        let body = match &self.body {
            Body::Empty => Body::Empty,
            Body::Json(value) => Body::Json(value.clone()),
            Body::Stream(..) | Body::Multipart(_) => return None,
        };
        Some(Self {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body,
        })
    }
}

/// Whether a call changes something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Read,
    Write,
}

/// A failed try.
struct Failure {
    error: ApiError,
    /// The pause that the upstream asked for.
    retry_after: Option<Duration>,
}

/// One upstream. Cheap to share behind an `Arc`.
pub struct Upstream {
    settings: UpstreamSettings,
    http: reqwest::Client,
    limiter: DefaultDirectRateLimiter,
    credentials: Arc<dyn Credentials>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
}

impl Upstream {
    /// An upstream. Errors if the TLS stack cannot be set up.
    pub fn new(
        settings: UpstreamSettings,
        credentials: Arc<dyn Credentials>,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ApiError> {
        let http = client(&settings).map_err(|error| {
            ApiError::new(ApiErrorKind::NotApplied, settings.name, "set up", chain(&error))
        })?;
        // A burst of a second's worth at least, so that a low limit does not stretch every page of a listing.
        let limiter = RateLimiter::direct(Quota::per_minute(settings.requests_per_minute));
        Ok(Self { settings, http, limiter, credentials, clock, metrics })
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.settings.name
    }

    /// How long a call may take; for streamed content, the longest silence.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// How long after the first try of a call its last one may begin, waits for the rate limit aside.
    #[must_use]
    pub fn last_try_begins(&self) -> Duration {
        let RetryPolicy { attempts, longest_pause, .. } = self.settings.retry;
        (self.settings.timeout + longest_pause).saturating_mul(attempts.saturating_sub(1))
    }

    /// An error of this upstream that has no HTTP answer behind it.
    #[must_use]
    pub fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(kind, self.settings.name, call, message)
    }

    /// Reads JSON; tried again while that may help.
    pub async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        let label = call.label();
        let response = self.send(call, Effect::Read).await?;
        self.json(&label, response).await
    }

    /// Changes something and reads JSON. Tried again only where it is certain that nothing happened.
    pub async fn write<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        let label = call.label();
        let response = self.send(call, Effect::Write).await?;
        self.json(&label, response).await
    }

    /// Changes something; whatever a successful answer says is dropped.
    pub async fn write_only(&self, call: Call) -> Result<(), ApiError> {
        self.send(call, Effect::Write).await.map(drop)
    }

    /// Opens content for streaming, following redirects to hosts that are allowed for, without credentials there.
    pub async fn download(&self, call: Call) -> Result<Download, ApiError> {
        let label = call.label();
        let mut at = self.url(&call)?;
        let mut response = self.send_any(call, Effect::Read, true).await?;
        for _ in 0..MAX_REDIRECTS {
            if !response.status().is_redirection() {
                break;
            }
            at = self.redirect_target(&label, &at, &response)?;
            let mut request = self.http.get(at.clone());
            if same_origin(&at, &self.settings.base_url)
                && let Some((name, value)) = self.authorization(&label).await?
            {
                request = request.header(name, value);
            }
            response = request.send().await.map_err(|error| self.transport(&label, &error))?;
        }
        if !response.status().is_success() {
            return Err(self.refusal(&label, response, Effect::Read).await.error);
        }
        Ok(self.stream(label, response))
    }

    fn stream(&self, label: String, response: Response) -> Download {
        let size = response.content_length();
        let name = self.settings.name;
        let mut received: u64 = 0;
        let failed =
            move |message: String| ApiError::new(ApiErrorKind::Uncertain, name, label.clone(), message);
        let content = response.bytes_stream().map(Some).chain(futures_util::stream::once(async { None }));
        let content = content.filter_map(move |chunk| {
            let checked = match chunk {
                Some(Ok(chunk)) => {
                    received += chunk.len() as u64;
                    Some(Ok(chunk))
                }
                Some(Err(error)) => Some(Err(failed(format!("the download broke off: {}", chain(&error))))),
                // R17: content that arrives shorter than announced is an error, not an upload.
                None => size
                    .filter(|size| *size != received)
                    .map(|size| Err(failed(format!("the download ended after {received} of {size} bytes")))),
            };
            std::future::ready(checked)
        });
        Download { size, content: Box::pin(content) }
    }

    /// Sends until it succeeds, cannot succeed, or the tries are used up.
    async fn send(&self, call: Call, effect: Effect) -> Result<Response, ApiError> {
        self.send_any(call, effect, false).await
    }

    async fn send_any(&self, mut call: Call, effect: Effect, redirects: bool) -> Result<Response, ApiError> {
        let policy = self.settings.retry;
        let mut refreshed = false;
        let mut attempt = 1;
        loop {
            let again = call.again();
            let failure = match self.send_once(call, effect, redirects).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let Some(next) = again else { return Err(failure.error) };
            call = next;
            if failure.error.status == Some(401) && !refreshed {
                refreshed = true;
                if self.credentials.refresh().await {
                    continue;
                }
            }
            let may_pass = match failure.error.kind {
                ApiErrorKind::NotApplied => true,
                ApiErrorKind::Uncertain => effect == Effect::Read,
                ApiErrorKind::NotFound
                | ApiErrorKind::Unauthorized
                | ApiErrorKind::Refused
                | ApiErrorKind::Unacceptable
                | ApiErrorKind::Unsupported
                | ApiErrorKind::Unreadable => false,
            };
            let asked = failure.retry_after.unwrap_or_default();
            if !may_pass || attempt >= policy.attempts || asked > policy.longest_pause {
                return Err(failure.error);
            }
            let ceiling =
                policy.first_pause.saturating_mul(1 << (attempt - 1).min(16)).min(policy.longest_pause);
            let pause = ceiling.mul_f64(rand::rng().random_range(0.5..=1.0)).max(asked);
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn send_once(&self, call: Call, effect: Effect, redirects: bool) -> Result<Response, Failure> {
        let label = call.label();
        let now = |error| Failure { error, retry_after: None };
        let authorization = self.authorization(&label).await.map_err(now)?;
        let mut request = self.http.request(call.method.clone(), self.url(&call).map_err(now)?);
        for (name, value) in call.headers.into_iter().chain(authorization) {
            request = request.header(name, value);
        }
        request = match call.body {
            Body::Empty => request.timeout(self.settings.timeout),
            Body::Json(value) => request.timeout(self.settings.timeout).json(&value),
            Body::Stream(content, size) => {
                if let Some(size) = size {
                    request = request.header(reqwest::header::CONTENT_LENGTH, size);
                }
                request.body(reqwest::Body::wrap_stream(content))
            }
            Body::Multipart(form) => request.multipart(form),
        };
        self.limiter.until_ready().await;
        let outcome = request.send().await;
        let status =
            outcome.as_ref().map_or("none".to_owned(), |response| response.status().as_u16().to_string());
        let labels = CallLabels { upstream: self.settings.name, method: call.method.to_string(), status };
        self.metrics.upstream_calls.get_or_create(&labels).inc();
        match outcome {
            Ok(response)
                if response.status().is_success() || (redirects && response.status().is_redirection()) =>
            {
                Ok(response)
            }
            Ok(response) => Err(self.refusal(&label, response, effect).await),
            Err(error) => Err(now(self.transport(&label, &error))),
        }
    }

    fn url(&self, call: &Call) -> Result<Url, ApiError> {
        let base = self.settings.base_url.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}{}", call.path)).map_err(|error| {
            self.error(ApiErrorKind::Refused, &call.label(), format!("the address is not valid: {error}"))
        })?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query.iter().map(|(name, value)| (name, value)));
        }
        Ok(url)
    }

    async fn authorization(&self, label: &str) -> Result<Option<(HeaderName, HeaderValue)>, ApiError> {
        self.credentials
            .header()
            .await
            .map_err(|message| self.error(ApiErrorKind::Unauthorized, label, message))
    }

    /// Where a download is redirected to, if that is allowed.
    fn redirect_target(&self, label: &str, from: &Url, response: &Response) -> Result<Url, ApiError> {
        let refused = |message: String| self.error(ApiErrorKind::Refused, label, message);
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location
            .and_then(|location| from.join(location).ok())
            .ok_or_else(|| refused("a redirect without a usable Location".to_owned()))?;
        let downgraded = from.scheme() == "https" && target.scheme() != "https";
        let host = target.host_str().unwrap_or_default();
        let with_port =
            target.port_or_known_default().map(|port| format!("{host}:{port}")).unwrap_or_default();
        let allowed = same_origin(&target, &self.settings.base_url)
            || self.settings.download_hosts.iter().any(|allowed| {
                allowed == host
                    || *allowed == with_port
                    || (allowed.starts_with('.') && host.ends_with(allowed))
            });
        if allowed && !downgraded && matches!(target.scheme(), "http" | "https") {
            Ok(target)
        } else {
            Err(refused(format!(
                "the download is redirected to {with_port}, which is not among the hosts that are allowed for; if it is \
                 the upstream's own, add it to download_hosts"
            )))
        }
    }

    /// What a call that got no answer means.
    fn transport(&self, label: &str, error: &reqwest::Error) -> ApiError {
        let kind = if error.is_connect() {
            ApiErrorKind::NotApplied
        } else if error.is_builder() {
            ApiErrorKind::Refused
        } else {
            ApiErrorKind::Uncertain
        };
        self.error(kind, label, chain(error))
    }

    /// What an answer that is no success means.
    async fn refusal(&self, label: &str, response: Response, effect: Effect) -> Failure {
        let status = response.status();
        let retry_after = self.retry_after(response.headers());
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ApiErrorKind::Unauthorized,
            StatusCode::NOT_FOUND | StatusCode::GONE => ApiErrorKind::NotFound,
            StatusCode::TOO_MANY_REQUESTS => ApiErrorKind::NotApplied,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE if effect == Effect::Write => {
                ApiErrorKind::Unacceptable
            }
            StatusCode::REQUEST_TIMEOUT => ApiErrorKind::Uncertain,
            _ if status.is_server_error() => ApiErrorKind::Uncertain,
            _ => ApiErrorKind::Refused,
        };
        let message = match read_capped(response, 64 * 1024).await {
            Ok(body) => upstream_message(&body),
            Err(reason) => reason,
        };
        let error = ApiError {
            kind,
            upstream: self.settings.name,
            call: label.to_owned(),
            status: Some(status.as_u16()),
            message,
        };
        Failure { error, retry_after }
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let until = chrono::DateTime::<chrono::Utc>::from(httpdate::parse_http_date(value).ok()?);
        Some((until - self.clock.now()).to_std().unwrap_or_default())
    }

    async fn json<T: DeserializeOwned>(&self, label: &str, response: Response) -> Result<T, ApiError> {
        let status = response.status().as_u16();
        let unreadable = |message: String| ApiError {
            kind: ApiErrorKind::Unreadable,
            upstream: self.settings.name,
            call: label.to_owned(),
            status: Some(status),
            message,
        };
        let body = read_capped(response, MAX_ANSWER).await.map_err(|reason| {
            // A connection that broke in the middle of an answer: as uncertain as one that broke before.
            ApiError { kind: ApiErrorKind::Uncertain, ..unreadable(reason) }
        })?;
        json::decode(&body).map_err(|error| {
            // Only the position: the parser's own message can quote the content.
            unreadable(format!(
                "the answer is not the expected JSON ({:?} at line {} column {})",
                error.classify(),
                error.line(),
                error.column()
            ))
        })
    }
}

fn client(settings: &UpstreamSettings) -> Result<reqwest::Client, reqwest::Error> {
    // The first call wins; a later one finds the provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("casebridge/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10).min(settings.timeout))
        .read_timeout(settings.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

async fn read_capped(response: Response, limit: usize) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| format!("the answer broke off: {}", chain(&error)))?;
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer is larger than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The upstream's own words, out of the shapes that Google, Jira, Zendesk and ServiceNow put them in.
fn upstream_message(body: &[u8]) -> String {
    let found = json::decode::<serde_json::Value>(body).ok().and_then(|value| {
        let pointers = [
            "/error/message",
            "/errorMessages/0",
            "/error/detail",
            "/description",
            "/message",
            "/error",
            "/title",
        ];
        let texts = pointers.iter().filter_map(|pointer| value.pointer(pointer)?.as_str());
        let fields = value.pointer("/errors").and_then(serde_json::Value::as_object).map(|errors| {
            let named: Vec<String> = errors
                .iter()
                .map(|(field, text)| format!("{field}: {}", text.as_str().unwrap_or("refused")))
                .collect();
            named.join("; ")
        });
        texts.map(str::to_owned).chain(fields).find(|text| !text.is_empty())
    });
    found.map_or_else(|| "no message that can be read".to_owned(), |text| shorten(&text))
}

/// One line of at most 500 characters, without control characters: safe in a log and in an error.
#[must_use]
pub fn shorten(text: &str) -> String {
    let mut line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        line.push('…');
    }
    line
}

/// An error with its causes, without the URL, whose query could hold content.
fn chain(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let what = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the exchange failed"
    };
    let mut text = what.to_owned();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    shorten(&text)
}
