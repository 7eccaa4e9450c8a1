//! One upstream: requests with their timeouts, retries and rate limit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngExt as _;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::credentials::{BEFORE_1970, Credentials};
use super::json;
use super::skew::{self, News, Skew};
use super::streaming::{Announced, Sending, arriving};
use crate::cases::{ApiError, ApiErrorKind, ByteStream, Download, shorten};
use crate::clock::{Clock as _, SharedClock, SystemClock};
use crate::telemetry::{CallLabels, Metrics, UpstreamLabels};

/// The largest answer that is read into memory, in bytes. A page of cases fits many times over; downloads are streamed.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// The most values that an answer may hold. A page of a hundred cases has some ten thousand; a million take some 60 MB.
const MAX_VALUES: usize = 1_000_000;
/// What a listing may bring, all its pages together, in bytes and values, however little of it is kept: a hundred thousand
/// cases, or the comments of one case for ever.
const MAX_LISTING: usize = 256 * 1024 * 1024;
const MAX_LISTING_VALUES: usize = 4 * MAX_VALUES;
/// How much of a refusal is read, in bytes.
const MAX_REFUSAL: usize = 64 * 1024;
/// How long an upstream is waited for that is asked for nothing but its time.
const TIME_ASKED: Duration = Duration::from_secs(5);
/// What is shorter is no secret, and would be found in any text.
const SHORTEST_SECRET: usize = 4;
/// How many redirects a download follows.
const MAX_REDIRECTS: usize = 3;
/// How long a connection may lie idle before it is closed. Servers close theirs after 5 seconds (Apache) to minutes, and a
/// write that meets the closing is a write whose answer is lost (R13); calls of one task follow each other closely.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

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
    /// Client-side rate limit; ten seconds' worth of it may go at once.
    pub requests_per_minute: NonZeroU32,
    /// For a whole call, but for streamed content: there it is the longest silence.
    pub timeout: Duration,
    /// Retries within a task.
    pub retry: RetryPolicy,
    /// Hosts that a download may be redirected to besides the upstream's own: `host`, `host:port` or `.domain` for a whole
    /// domain. They get no credentials.
    pub download_hosts: Vec<String>,
}

/// Looks at the headers of an answer. If they show that it is for somebody else than the connector's user, it returns why, and what
/// to do (`R26`).
pub type Stranger = fn(&HeaderMap) -> Option<String>;

/// Finds the explanation in the JSON of a refusal, in the error format of one system.
pub type ErrorText = fn(&serde_json::Value) -> Option<String>;

/// Peculiarities of one system's answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dialect {
    /// Set where headers tell who the answer is for: one for somebody else than the connector's user is treated like a 401 (`R26`).
    pub stranger: Option<Stranger>,
    /// Set where refusals have an error format of their own. The common ones (`message`, `error.message`) are known.
    pub error_text: Option<ErrorText>,
}

/// A request's body.
#[derive(Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// JSON.
    Json(serde_json::Value),
    /// A stream, with its length in bytes if that is known. Sent once: never repeated. If it fails, or is not as long as
    /// announced, the request is broken off before its end, so that the upstream keeps nothing (`R17`).
    Stream(ByteStream, Option<u64>),
    /// A form with files. Sent once: never repeated. Broken off like a stream.
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
    /// Creates something under a name that the caller chose: doing it twice is doing it once.
    NamedCreation,
}

/// What became of a creation under a chosen name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was created.
    New,
    /// The name is taken, maybe by an earlier try of the same call.
    Existed,
}

/// A listing that is read page by page: what all its pages brought so far. An upstream that names one new page after another
/// comes to an end here.
#[derive(Debug, Default)]
pub struct Listing {
    bytes: usize,
    values: usize,
}

/// A failed try.
struct Failure {
    error: ApiError,
    /// The pause that the upstream asked for.
    retry_after: Option<Duration>,
    /// The answer was for somebody else ([`Stranger`]).
    stranger: bool,
}

/// A whole answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// How many values it can hold at most, if it is JSON.
    values: usize,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, retry_after: None, stranger: false }
    }
}

/// One upstream. Cheap to share behind an `Arc`.
pub struct Upstream {
    settings: UpstreamSettings,
    http: reqwest::Client,
    limiter: DefaultDirectRateLimiter,
    credentials: Arc<dyn Credentials>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    skew: Skew,
    dialect: Dialect,
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
        let minute = settings.requests_per_minute;
        // Without a burst of its own, the quota would let a whole minute's worth go at once, and as much again within the
        // minute. Ten seconds' worth: a task's few calls do not wait, and no minute sees more than 7/6 of the limit.
        let burst = NonZeroU32::new(minute.get() / 6).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_minute(minute).allow_burst(burst));
        let skew = Skew::default();
        Ok(Self { settings, http, limiter, credentials, clock, metrics, skew, dialect: Dialect::default() })
    }

    /// Sets the peculiarities of the system's answers.
    #[must_use]
    pub fn speaking(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Where it is.
    #[must_use]
    pub const fn base_url(&self) -> &Url {
        &self.settings.base_url
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

    /// How long after it was begun a write without an answer may still take effect (`R13`): the last try begins within the
    /// longest pause, and what an upstream has not done by the time we gave up waiting for, it is taken not to do any more.
    /// Waits for the rate limit come on top; they are short where the limit fits the load.
    #[must_use]
    pub fn write_settles(&self) -> chrono::Duration {
        let settles = self.settings.retry.longest_pause + self.settings.timeout;
        chrono::Duration::from_std(settles).unwrap_or(chrono::Duration::hours(1))
    }

    /// Difference between its clock and ours, theirs minus ours, as the `Date` of its newest answers shows it (`R36`): a running
    /// median, which a jump of either clock replaces within three answers. Zero where it may be none. `None` before the first
    /// answer that has a date.
    #[must_use]
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        self.skew.median()
    }

    /// The same according to the newest answer alone: says at once that a clock may have jumped, and is wrong more often.
    #[must_use]
    pub fn latest_skew(&self) -> Option<TimeDelta> {
        self.skew.latest()
    }

    /// An error of this upstream that has no HTTP answer behind it.
    #[must_use]
    pub fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(kind, self.settings.name, call, message)
    }

    /// Reads JSON; tried again while that may help.
    pub async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        self.json(call, Effect::Read).await
    }

    /// Reads the next page of a listing, as [`read`](Self::read) does; an error where the listing is larger than any is.
    pub async fn read_page<T: DeserializeOwned>(
        &self,
        call: Call,
        listing: &mut Listing,
    ) -> Result<T, ApiError> {
        self.read_page_with_headers(call, listing).await.map(|(page, _)| page)
    }

    /// The same with the answer's headers, where they say whether there is more.
    pub async fn read_page_with_headers<T: DeserializeOwned>(
        &self,
        call: Call,
        listing: &mut Listing,
    ) -> Result<(T, HeaderMap), ApiError> {
        let label = call.label();
        let answer = self.answer(call, Effect::Read).await?;
        let page = self.decoded(&label, &answer)?;
        listing.bytes += answer.body.len();
        listing.values += answer.values;
        if listing.bytes > MAX_LISTING || listing.values > MAX_LISTING_VALUES {
            let message = format!(
                "the listing does not end: its pages so far hold {} bytes and {} values",
                listing.bytes, listing.values
            );
            return Err(self.error(ApiErrorKind::Unreadable, &label, message));
        }
        Ok((page, answer.headers))
    }

    /// Changes something and reads JSON. Tried again only where it is certain that nothing happened.
    pub async fn write<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        self.json(call, Effect::Write).await
    }

    /// Changes something; whatever a successful answer says is dropped. Tried again only where it is certain that nothing
    /// happened.
    pub async fn write_only(&self, call: Call) -> Result<(), ApiError> {
        self.persist(call, Effect::Write, |call| Box::pin(self.once_unread(call, Effect::Write))).await
    }

    /// Creates something under a name that the call itself chooses, so that it may be tried again even where an earlier try
    /// may have worked; 409 says that it did, or that somebody else was first.
    pub async fn create_named(&self, call: Call) -> Result<Created, ApiError> {
        match self
            .persist(call, Effect::NamedCreation, |call| {
                Box::pin(self.once_unread(call, Effect::NamedCreation))
            })
            .await
        {
            Ok(()) => Ok(Created::New),
            Err(error) if error.status == Some(409) && error.kind == ApiErrorKind::Refused => {
                Ok(Created::Existed)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes something and returns the path in the answer's `Location`: where what was made stands. `None` if there is none.
    /// Tried again only where it is certain that nothing happened.
    pub async fn write_located(&self, call: Call) -> Result<Option<String>, ApiError> {
        self.persist(call, Effect::Write, |call| Box::pin(self.once_located(call))).await
    }

    /// Opens a file for streaming, following redirects to hosts that are allowed for, without credentials there. Opening is
    /// tried again while that may help; once content arrives, whoever reads it decides.
    ///
    /// What comes in place of the file is [`ApiErrorKind::WrongContent`] (`R34`): a page where none was announced, a redirect to a
    /// path of the system's own that is no download, an answer of another size. One that breaks off before its own end is
    /// [`ApiErrorKind::Uncertain`], the same as for any other call.
    pub async fn download(&self, call: Call, announced: Announced<'_>) -> Result<Download, ApiError> {
        let name = self.settings.name;
        let opened = self.persist(call, Effect::Read, |call| Box::pin(self.once_following(call, &announced)));
        let named = |error| ApiError { call: announced.call.clone(), ..error };
        let response = opened.await.map_err(named)?;
        let label = announced.call.clone();
        let failed = move |kind, message| ApiError::new(kind, name, label.clone(), message);
        arriving(response, self.settings.timeout, &announced, failed).await
    }

    async fn json<T: DeserializeOwned>(&self, call: Call, effect: Effect) -> Result<T, ApiError> {
        let label = call.label();
        let answer = self.answer(call, effect).await?;
        self.decoded(&label, &answer)
    }

    async fn answer(&self, call: Call, effect: Effect) -> Result<Answer, ApiError> {
        self.persist(call, effect, |call| Box::pin(self.once_whole(call, effect))).await
    }

    fn decoded<T: DeserializeOwned>(&self, label: &str, answer: &Answer) -> Result<T, ApiError> {
        let unreadable = |message: String| ApiError {
            status: Some(answer.status.as_u16()),
            ..self.error(ApiErrorKind::Unreadable, label, message)
        };
        if answer.values > MAX_VALUES {
            return Err(unreadable(format!("the answer holds more than {MAX_VALUES} values")));
        }
        json::decode(&answer.body).map_err(|error| {
            // Only the position: the parser's own message can quote the content.
            unreadable(format!(
                "the answer is not the expected JSON ({:?} error at line {} column {})",
                error.classify(),
                error.line(),
                error.column()
            ))
        })
    }

    /// Tries until it succeeds, cannot succeed, or the tries are used up (`R21`).
    async fn persist<'a, T>(
        &'a self,
        mut call: Call,
        effect: Effect,
        once: impl Fn(Call) -> BoxFuture<'a, Result<T, Failure>> + Send + Sync,
    ) -> Result<T, ApiError> {
        let policy = self.settings.retry;
        let began = tokio::time::Instant::now();
        let mut refreshed = false;
        let mut attempt = 1;
        loop {
            let again = call.again();
            let span = tracing::info_span!(
                "upstream",
                upstream.system = self.settings.name,
                upstream.call = call.label(),
                upstream.attempt = attempt,
                upstream.status = Empty,
            );
            let failure = match once(call).instrument(span).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let unknown = failure.error.status == Some(401) || failure.stranger;
            let may_help = unknown && !refreshed && {
                // Even if this call cannot be sent again: the next one gets the new credentials.
                refreshed = true;
                self.credentials.refresh().await
            };
            let Some(next) = again else { return Err(failure.error) };
            call = next;
            if may_help && failure.error.kind == ApiErrorKind::Unauthorized {
                continue;
            }
            let may_pass = match failure.error.kind {
                ApiErrorKind::NotApplied => true,
                ApiErrorKind::Uncertain => effect != Effect::Write,
                ApiErrorKind::NotFound
                | ApiErrorKind::Unauthorized
                | ApiErrorKind::Refused
                | ApiErrorKind::Unacceptable
                | ApiErrorKind::Unsupported
                | ApiErrorKind::WrongContent
                | ApiErrorKind::Unreadable => false,
            };
            let asked = failure.retry_after.unwrap_or_default();
            if !may_pass || attempt >= policy.attempts || asked > policy.longest_pause {
                return Err(failure.error);
            }
            let ceiling =
                policy.first_pause.saturating_mul(1 << (attempt - 1).min(16)).min(policy.longest_pause);
            let pause = ceiling.mul_f64(rand::rng().random_range(0.5..=1.0)).max(asked);
            if effect == Effect::Write && began.elapsed() + pause > policy.longest_pause {
                // A later try would outlive the time within which a write settles.
                return Err(failure.error);
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// One try, with the whole answer.
    async fn once_whole(&self, call: Call, effect: Effect) -> Result<Answer, Failure> {
        let label = call.label();
        let response = self.plain(&label, self.accepted(call, effect).await?)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.within(read_capped(response, MAX_ANSWER)).await.map_err(|broken| {
            let kind = match broken {
                // A connection that broke in the middle of an answer: as uncertain as one that broke before.
                Broken::Off(_) => ApiErrorKind::Uncertain,
                Broken::TooLarge(_) => ApiErrorKind::Unreadable,
            };
            let error = self.error(kind, &label, broken.to_string());
            Failure::from(ApiError { status: Some(status.as_u16()), ..error })
        })?;
        Ok(Answer { status, headers, values: json::most_values(&body), body })
    }

    /// One try of a write whose answer does not matter.
    async fn once_unread(&self, call: Call, effect: Effect) -> Result<(), Failure> {
        let label = call.label();
        let response = self.accepted(call, effect).await?;
        self.no_page(&label, &response)?;
        let status = response.status();
        // Read, so that the connection can be used again; that this fails changes nothing.
        let read = self.within(read_capped(response, MAX_REFUSAL)).await.unwrap_or_default();
        if is_nothing_or_object(&read) {
            return Ok(());
        }
        let error = self.error(ApiErrorKind::Unreadable, &label, "the answer is not the expected JSON");
        Err(ApiError { status: Some(status.as_u16()), ..error }.into())
    }

    async fn once_located(&self, call: Call) -> Result<Option<String>, Failure> {
        let label = call.label();
        let response = self.accepted(call, Effect::Write).await?;
        self.no_page(&label, &response)?;
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let path = location.and_then(|location| self.settings.base_url.join(location).ok());
        drop(self.within(read_capped(response, MAX_REFUSAL)).await);
        Ok(path.map(|url| url.path().to_owned()))
    }

    /// Makes sure that a success whose body is not read is the API's: who has to sign in first is shown a page, with 200.
    fn no_page(&self, label: &str, response: &Response) -> Result<(), ApiError> {
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("text/html") {
            return Ok(());
        }
        let message = "the answer is a page for people and not the API's: check base_url and the credentials";
        let error = self.error(ApiErrorKind::Unreadable, label, message);
        Err(ApiError { status: Some(response.status().as_u16()), ..error })
    }

    /// One try of a download, with its redirects.
    async fn once_following(&self, call: Call, announced: &Announced<'_>) -> Result<Response, Failure> {
        let label = call.label();
        let mut at = self.url(&call)?;
        let mut response = self.exchange(call, true).await?;
        for _ in 0..MAX_REDIRECTS {
            if !response.status().is_redirection() {
                break;
            }
            at = self.redirect_target(&label, &at, &response, announced.paths)?;
            self.may_be_called(&label, &at)?;
            let mut request = self.http.get(at.clone());
            if same_origin(&at, &self.settings.base_url) {
                self.limiter.until_ready().await;
                if let Some((name, value)) = self.authorization(&label).await? {
                    request = request.header(name, value);
                }
            }
            response = match tokio::time::timeout(self.settings.timeout, request.send()).await {
                Ok(outcome) => outcome.map_err(|error| self.transport(&label, &error))?,
                Err(_) => return Err(self.silence(&label).into()),
            };
        }
        if !response.status().is_success() {
            if same_origin(&at, &self.settings.base_url) && !response.status().is_redirection() {
                self.recognised(&label, &response, Effect::Read)?;
            }
            return Err(self.refusal(&label, response, Effect::Read).await);
        }
        let response = self.plain(&label, response)?;
        match announced.complaint(&response) {
            Some(complaint) => Err(ApiError {
                status: Some(response.status().as_u16()),
                ..self.error(ApiErrorKind::WrongContent, &label, complaint)
            }
            .into()),
            None => Ok(response),
        }
    }

    /// The answer, unless it is packed: nobody asked for that.
    fn plain(&self, label: &str, response: Response) -> Result<Response, ApiError> {
        match response.headers().get(CONTENT_ENCODING) {
            Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
                let encoding = shorten(&String::from_utf8_lossy(encoding.as_bytes()));
                let message = format!("the answer is packed ({encoding}), which was not asked for");
                Err(ApiError {
                    status: Some(response.status().as_u16()),
                    ..self.error(ApiErrorKind::Unreadable, label, message)
                })
            }
            Some(_) | None => Ok(response),
        }
    }

    /// One exchange that has to end with a success.
    async fn accepted(&self, call: Call, effect: Effect) -> Result<Response, Failure> {
        let label = call.label();
        let response = self.exchange(call, false).await?;
        self.recognised(&label, &response, effect)?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refusal(&label, response, effect).await)
        }
    }

    /// Makes sure that an answer is for the connector's user (`R26`). A write that succeeded as somebody else's may have happened.
    fn recognised(&self, label: &str, response: &Response, effect: Effect) -> Result<(), Failure> {
        let status = response.status();
        // Who is busy or broken says nothing of who asked, and a 401 says it itself.
        if status.is_server_error()
            || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
        {
            return Ok(());
        }
        let Some(why) = self.dialect.stranger.and_then(|stranger| stranger(response.headers())) else {
            return Ok(());
        };
        let kind = if effect == Effect::Write && status.is_success() {
            ApiErrorKind::Uncertain
        } else {
            ApiErrorKind::Unauthorized
        };
        let code = status.as_u16();
        let message = format!("the answer, {code}, is for somebody else than the connector's user: {why}");
        Err(Failure { error: self.error(kind, label, message), retry_after: None, stranger: true })
    }

    /// One exchange, to the head of the answer, whatever it says. `streamed`: the answer's body may take any time.
    async fn exchange(&self, call: Call, streamed: bool) -> Result<Response, Failure> {
        let label = call.label();
        let timeout = self.settings.timeout;
        self.limiter.until_ready().await;
        let url = self.url(&call)?;
        self.may_be_called(&label, &url)?;
        let authorization = self.authorization(&label).await?;
        let method = call.method.to_string();
        let mut request = self.http.request(call.method.clone(), url);
        for (name, value) in call.headers.into_iter().chain(authorization) {
            request = request.header(name, value);
        }
        let mut sending = None;
        let built = match call.body {
            Body::Empty => request.build(),
            Body::Json(value) => request.json(&value).build(),
            Body::Stream(content, size) => {
                let (watched, body) = Sending::of_stream(content, size);
                sending = Some(watched);
                if let Some(size) = size {
                    request = request.header(reqwest::header::CONTENT_LENGTH, size);
                }
                request.body(body).build()
            }
            Body::Multipart(form) => request.multipart(form).build().map(|mut request| {
                sending = Sending::of_request(&mut request);
                request
            }),
        };
        let mut request = built.map_err(|error| self.transport(&label, &error))?;
        let asked = tokio::time::Instant::now();
        let outcome = if let Some(sending) = &sending {
            sending.watch(timeout, self.http.execute(request)).await
        } else if streamed {
            tokio::time::timeout(timeout, self.http.execute(request)).await.ok()
        } else {
            // Until the answer's last byte.
            *request.timeout_mut() = Some(timeout);
            Some(self.http.execute(request).await)
        };
        let status = match &outcome {
            Some(Ok(response)) => response.status().as_u16().to_string(),
            Some(Err(_)) | None => "none".to_owned(),
        };
        let labels = CallLabels { upstream: self.settings.name, method, status };
        tracing::Span::current().record("upstream.status", labels.status.as_str());
        tracing::debug!(
            duration_ms = asked.elapsed().as_secs_f64() * 1e3,
            "upstream call: {label}: {}",
            labels.status
        );
        self.metrics.upstream_calls.get_or_create(&labels).inc();
        let failure = match outcome {
            Some(Ok(response)) => {
                // An upload takes as long as it takes, and is dated at its end, or before.
                if sending.is_none() {
                    self.measure_skew(response.headers(), asked.elapsed());
                }
                return Ok(response);
            }
            Some(Err(error)) => self.transport(&label, &error),
            None => self.silence(&label),
        };
        let Some(sending) = sending else { return Err(failure.into()) };
        let message = sending.failure().unwrap_or(failure.message);
        let kind = if sending.is_whole() { failure.kind } else { ApiErrorKind::NotApplied };
        Err(ApiError { kind, message, ..failure }.into())
    }

    /// Something that must not take longer than the timeout.
    async fn within<T>(&self, what: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
        match tokio::time::timeout(self.settings.timeout, what).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Broken::Off("timed out".to_owned())),
        }
    }

    /// The upstream fell silent.
    fn silence(&self, label: &str) -> ApiError {
        let message = format!("timed out: nothing for {}", humantime::format_duration(self.settings.timeout));
        self.error(ApiErrorKind::Uncertain, label, message)
    }

    fn url(&self, call: &Call) -> Result<Url, ApiError> {
        let base = self.settings.base_url.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}{}", call.path)).map_err(|error| {
            self.error(ApiErrorKind::Refused, &call.label(), format!("the address is not valid: {error}"))
        })?;
        if !call.query.is_empty() {
            let pairs: Vec<String> = call.query.iter().map(|(name, value)| encoded(name, value)).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        Ok(url)
    }

    /// Refuses to begin with TLS before 1970, where rustls panics (rustls-pki-types 1.16, `UnixTime::now`).
    fn may_be_called(&self, label: &str, url: &Url) -> Result<(), ApiError> {
        if url.scheme() == "https" && SystemClock.now() < DateTime::UNIX_EPOCH {
            return Err(self.error(ApiErrorKind::NotApplied, label, BEFORE_1970));
        }
        Ok(())
    }

    async fn authorization(&self, label: &str) -> Result<Option<(HeaderName, HeaderValue)>, ApiError> {
        let header = tokio::time::timeout(self.settings.timeout, self.credentials.header()).await;
        let late = |_| {
            self.error(ApiErrorKind::NotApplied, label, "timed out while asking for credentials".to_owned())
        };
        match header.map_err(late)? {
            Ok(header) => Ok(header),
            Err(message) => {
                let clocks = self.ask_for_time().await.unwrap_or_default();
                Err(self.error(ApiErrorKind::Unauthorized, label, message + &clocks))
            }
        }
    }

    /// Asks the upstream for its time, without credentials: whoever issues tokens refuses them to a clock that is off, and does
    /// not say so where it can be read.
    async fn ask_for_time(&self) -> Option<String> {
        self.may_be_called("HEAD /", &self.settings.base_url).ok()?;
        let asked = self.http.head(self.settings.base_url.clone()).timeout(TIME_ASKED).send();
        self.clocks_apart(asked.await.ok()?.headers())
    }

    /// Takes an answer's date into account, and warns once while the clocks are apart (`R36`).
    fn measure_skew(&self, headers: &HeaderMap, round_trip: Duration) {
        let Some((skew, news)) = self.skew.measure(headers, self.clock.now(), round_trip) else { return };
        let name = self.settings.name;
        let labels = UpstreamLabels { upstream: name };
        self.metrics.clock_skew_seconds.get_or_create(&labels).set(skew.num_seconds());
        match news {
            Some(News::Apart(skew)) => tracing::warn!(
                upstream = name,
                clock.skew_seconds = skew.num_seconds(),
                "this machine's clock is {} that of {name}; searches allow for it, tokens and certificates may not: if it is this \
                 machine that is wrong, set its clock, for example with `timedatectl set-ntp true`; if not, tell whoever runs {name}",
                apart(skew)
            ),
            Some(News::Together(skew)) => tracing::info!(
                upstream = name,
                clock.skew_seconds = skew.num_seconds(),
                "this machine's clock and that of {name} agree again"
            ),
            None => {}
        }
    }

    /// What is to be said if our clock and the upstream's, which dates its answer, are apart.
    fn clocks_apart(&self, headers: &HeaderMap) -> Option<String> {
        let skew = skew::date(headers)? - self.clock.now();
        (skew.abs() > skew::APART).then(|| {
            format!(
                "; this machine's clock is {} that of {}, which dates its answers: set it, for example with \
                 `timedatectl set-ntp true`",
                apart(skew),
                self.settings.name
            )
        })
    }

    /// Where a download is redirected to, if that is allowed: on the upstream itself, only to a path that is one of a file
    /// (`R34`): whoever is not signed on is sent to where that is done, and what comes from there is no file.
    fn redirect_target(
        &self,
        label: &str,
        from: &Url,
        response: &Response,
        paths: &[&str],
    ) -> Result<Url, ApiError> {
        let refused = |message: String| self.error(ApiErrorKind::Refused, label, message);
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let mut target = location
            .and_then(|location| from.join(location).ok())
            .ok_or_else(|| refused("a redirect without a usable Location".to_owned()))?;
        // Whatever credentials an answer puts into an address are not ours to send; without a host this cannot fail usefully.
        let _ = (target.set_username(""), target.set_password(None));
        let downgraded = from.scheme() == "https" && target.scheme() != "https";
        let host = target.host_str().unwrap_or_default();
        let with_port =
            target.port_or_known_default().map(|port| format!("{host}:{port}")).unwrap_or_default();
        let is_ours = same_origin(&target, &self.settings.base_url);
        if is_ours && !self.is_below(&target, paths) {
            let message = format!(
                "the download is redirected to {}, which is no download but most likely a page to sign on: see that the connector's \
                 user may download files with what it proves itself with, and that no sign-on stands before them",
                shorten(target.path())
            );
            return Err(ApiError {
                status: Some(response.status().as_u16()),
                ..self.error(ApiErrorKind::WrongContent, label, message)
            });
        }
        let allowed = is_ours
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

    /// Whether an address of the upstream's own leads to one of these paths below its base URL.
    fn is_below(&self, target: &Url, paths: &[&str]) -> bool {
        let base = self.settings.base_url.path().trim_end_matches('/');
        target
            .path()
            .strip_prefix(base)
            .is_some_and(|path| paths.iter().any(|beginning| path.starts_with(beginning)))
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
        let clocks =
            (status == StatusCode::UNAUTHORIZED).then(|| self.clocks_apart(response.headers())).flatten();
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ApiErrorKind::Unauthorized,
            StatusCode::NOT_FOUND | StatusCode::GONE => ApiErrorKind::NotFound,
            // The name is taken, and will be.
            StatusCode::CONFLICT if effect == Effect::NamedCreation => ApiErrorKind::Refused,
            // 409: two writes met, and this one lost.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => ApiErrorKind::NotApplied,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE if effect != Effect::Read => {
                ApiErrorKind::Unacceptable
            }
            StatusCode::REQUEST_TIMEOUT => ApiErrorKind::Uncertain,
            _ if status.is_server_error() => ApiErrorKind::Uncertain,
            _ => ApiErrorKind::Refused,
        };
        let message = if status.is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let host = location
                .and_then(|location| Url::parse(location).ok())
                .and_then(|url| url.host_str().map(str::to_owned));
            let host = host.unwrap_or_else(|| "another address".to_owned());
            format!("redirected to {host}, which only downloads may be; check base_url")
        } else {
            match self.within(read_capped(response, MAX_REFUSAL)).await {
                Ok(body) => self.presentable(&upstream_message(&body, self.dialect.error_text)).await,
                Err(broken) => broken.to_string(),
            }
        };
        let error = ApiError {
            kind,
            upstream: self.settings.name,
            call: label.to_owned(),
            status: Some(status.as_u16()),
            message: message + &clocks.unwrap_or_default(),
        };
        Failure { error, retry_after, stranger: false }
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // More seconds than fit is a long time as well.
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let until = DateTime::<Utc>::from(httpdate::parse_http_date(value).ok()?);
        // By the clock that it was written by, if the answer says what that one showed (`R36`).
        let now = skew::date(headers).unwrap_or_else(|| self.clock.now());
        Some((until - now).to_std().unwrap_or_default())
    }

    /// An upstream's own words as they may stand in an error: one short line, without what we proved ourselves with, should
    /// they repeat it.
    pub async fn presentable(&self, words: &str) -> String {
        let header = tokio::time::timeout(self.settings.timeout, self.credentials.header()).await;
        match header {
            Ok(Ok(Some((_, value)))) => shorten(&without_secrets(words, &value)),
            Ok(Ok(None) | Err(_)) | Err(_) => shorten(words),
        }
    }
}

/// How our clock stands to one that is so far ahead of it: `6m behind`.
fn apart(skew: TimeDelta) -> String {
    let direction = if skew > TimeDelta::zero() { "behind" } else { "ahead of" };
    let apart = humantime::format_duration(Duration::from_secs(skew.num_seconds().unsigned_abs()));
    format!("{apart} {direction}")
}

/// A text without the secrets of a header, whole or decoded.
fn without_secrets(text: &str, header: &HeaderValue) -> String {
    let Ok(value) = header.to_str() else { return text.to_owned() };
    let secret = value.split_once(' ').map_or(value, |(_, secret)| secret).trim();
    let decoded = STANDARD.decode(secret).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let password = decoded.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
    // The longest first: the others are pieces of it.
    [Some(secret), decoded.as_deref(), password]
        .into_iter()
        .flatten()
        .filter(|secret| secret.len() >= SHORTEST_SECRET)
        .fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
}

fn client(settings: &UpstreamSettings) -> Result<reqwest::Client, reqwest::Error> {
    let builder = super::http_client();
    let host = settings.base_url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    // A proxy in the environment is for the way out: what runs on this machine, a sandbox or an emulator, is not behind it.
    let builder = if is_here { builder.no_proxy() } else { builder };
    builder
        // Well before any other timeout: a connection that never came about is a call that certainly did not happen.
        .connect_timeout(Duration::from_secs(10).min(settings.timeout / 2))
        .pool_idle_timeout(IDLE_CONNECTION)
        .build()
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// `name=value` with everything escaped that is not a letter or a digit: a space is `%20`, which every server understands,
/// where `+` is a matter of taste.
fn encoded(name: &str, value: &str) -> String {
    /// Unreserved characters (RFC 3986, 2.3) stay as they are.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    format!("{}={}", utf8_percent_encode(name, ESCAPED), utf8_percent_encode(value, ESCAPED))
}

/// Why an answer's body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection ended.
    #[error("the answer broke off: {0}")]
    Off(String),
    /// It is longer than so many bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Reads an answer's body, if it is not longer than so many bytes.
pub async fn read_capped(response: Response, limit: usize) -> Result<Bytes, Broken> {
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Broken::Off(chain(&error)))?;
        if body.len() + chunk.len() > limit {
            return Err(Broken::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Returns the upstream's own words: from its own error format, else from a field that many APIs have.
fn upstream_message(body: &[u8], error_text: Option<ErrorText>) -> String {
    let found = json::decode::<serde_json::Value>(body).ok().and_then(|value| {
        let pointers = ["/error/message", "/error/detail", "/description", "/message", "/error", "/title"];
        if let Some(text) = error_text.and_then(|error_text| error_text(&value)) {
            return Some(text);
        }
        let texts = pointers.iter().filter_map(|pointer| value.pointer(pointer)?.as_str());
        texts.map(str::to_owned).find(|text| !text.is_empty())
    });
    found.unwrap_or_else(|| "no message that can be read".to_owned())
}

/// Whether a body is what an API says of a change that was made, if it says anything.
fn is_nothing_or_object(body: &[u8]) -> bool {
    body.trim_ascii().is_empty()
        || serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(body).is_ok()
}

/// An error with its causes, without the URL, whose query could hold content.
pub(super) fn chain(error: &reqwest::Error) -> String {
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
