//! Requests to one upstream, with timeouts, retries and rate limit.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::advice::{self, Advice};
use super::closed::Closed;
use super::credentials::{BEFORE_1970, Credentials};
use super::json;
use super::masking::without_secrets;
use super::skew::{self, News, Skew};
use super::streaming::{Announced, Sending, arriving};
use crate::cases::{ApiError, ApiErrorKind, ByteStream, Download, shorten};
use crate::clock::{Clock as _, SharedClock, SystemClock};
use crate::progress;
use crate::telemetry::{
    CallLabels, Metrics, UpstreamLabels, call_answered, call_goes_to, call_trace, redirect_trace,
    trace_failed,
};

/// Maximum size of an answer that is read into memory, in bytes. Far more than a page of cases; downloads are streamed.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Maximum number of JSON values in an answer. A page of a hundred cases has some ten thousand; a million take some 60 MB.
const MAX_VALUES: usize = 1_000_000;
/// Maximum size of all pages of a listing together, in bytes and in values, however little of it is kept. Large enough for a hundred
/// thousand cases, or for the comments of any one case.
const MAX_LISTING: usize = 256 * 1024 * 1024;
const MAX_LISTING_VALUES: usize = 4 * MAX_VALUES;
/// Maximum size of all answers together that are in memory at once, in bytes, beside small ones. An instance has 600 MB (`app.yaml`), and
/// what is read of an answer takes as much again.
const ALL_ANSWERS: usize = 96 * 1024 * 1024;
/// Size below which an answer is not counted, in bytes.
const SMALL_ANSWER: usize = 256 * 1024;
/// Number of bytes that are read of a refusal's body.
const MAX_REFUSAL: usize = 64 * 1024;
const KIB: usize = 1024;
/// Timeout of the HEAD request that reads `Date`, for the clock-skew check.
const TIME_ASKED: Duration = Duration::from_secs(5);
/// End of the exhausted rate limit, in two spellings.
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// See [`X_RATELIMIT_RESET`].
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// Name of the exhausted rate limit ("Rate limiting", Jira Cloud platform, October 2026).
const RATELIMIT_REASON: HeaderName = HeaderName::from_static("ratelimit-reason");
/// Part of the name of a rate limit that is one item's: `jira-per-issue-on-write`.
const PER_ITEM: &str = "per-issue";
/// Smallest number of seconds that is a time since 1970 and not a pause: thirty years.
const SOON_AFTER_1970: u64 = 946_684_800;
/// Maximum number of redirects that a download follows.
const MAX_REDIRECTS: usize = 3;
/// Time after which an idle connection is closed. Servers close theirs after 5 seconds (Apache) to minutes, and the answer to a write that
/// meets a closing connection is lost (R13: unknown write outcome). The calls of one task follow each other closely, so little reuse is
/// lost.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// Number of attempts for a call within one task, and the backoff between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Number of attempts in all; 1 means no retry.
    pub attempts: u32,
    /// Upper bound of the first pause; it doubles with each attempt. The pause is drawn at random between half of the bound and all of it.
    pub first_pause: Duration,
    /// Longest pause, also for a `Retry-After`: if the upstream asks for more, the retry is left to the queue.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 4, first_pause: Duration::from_millis(400), longest_pause: Duration::from_secs(20) }
    }
}

/// Settings of the connection to an upstream.
pub struct UpstreamSettings {
    /// Name of the upstream in errors, logs and metrics.
    pub name: &'static str,
    /// URL of the upstream; its path is put before every call's path.
    pub base_url: Url,
    /// Client-side rate limit; a burst of ten seconds' worth is allowed.
    pub requests_per_minute: NonZeroU32,
    /// Timeout of a whole call. For streamed content, the longest time without any data.
    pub timeout: Duration,
    /// Retry policy within a task.
    pub retry: RetryPolicy,
    /// Hosts besides the upstream's own that a download may be redirected to: `host`, `host:port`, or `.domain` for a whole domain. They
    /// get no credentials.
    pub download_hosts: Vec<String>,
}

/// Reads the headers of an answer. If they show that the answer is for another user than the connector's, returns the reason (`R26`: empty
/// answers need proof). The remedy is [`Remedies::sign_in`](super::advice::Remedies::sign_in).
pub type Stranger = fn(&HeaderMap) -> Option<String>;

/// Finds the explanation in the JSON of a refusal, in the error format of one system.
pub type ErrorText = fn(&serde_json::Value) -> Option<String>;

/// A gateway in front of an API: the calls go to `{base}/{ID}`, and the system's own address says which ID that is.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// URL of the gateway, without the ID.
    pub base: Url,
    /// Key of the configuration that holds this URL.
    pub key: &'static str,
    /// URL at the system's own address that is asked for the ID, once and without credentials.
    pub lookup: Url,
    /// Member of the answer that holds the ID.
    pub member: &'static str,
}

/// Peculiarities of one system's answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dialect {
    /// Set where headers tell which user the answer is for. An answer for another user than the connector's is treated like a 401 (`R26`:
    /// empty answers need proof).
    pub stranger: Option<Stranger>,
    /// Set where refusals have their own error format. The common ones (`message`, `error.message`) need no setting.
    pub error_text: Option<ErrorText>,
}

/// A request's body.
#[derive(Default)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// JSON.
    Json(serde_json::Value),
    /// Stream, with its length in bytes if known. Never sent again. If the stream fails or its length differs from the announced one, the
    /// request is cut off before its end, so that the upstream keeps nothing (`R17`: files).
    Stream(ByteStream, Option<u64>),
    /// Form with files. Never sent again. Cut off like a stream.
    Multipart(reqwest::multipart::Form),
}

/// A request to an upstream.
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
    limited_apart: bool,
    /// Span of the attempt, in an exported trace.
    trace: Span,
}

impl Call {
    /// Creates a call to `path`, which must be percent-encoded already and begin with `/`.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            limited_apart: false,
            trace: Span::none(),
        }
    }

    /// Creates a call `GET path`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Creates a call `POST path` with a JSON body.
    #[must_use]
    pub fn post(path: impl Into<String>, body: serde_json::Value) -> Self {
        Self::new(Method::POST, path).body(Body::Json(body))
    }

    /// Adds a query parameter, which is percent-encoded when the call is sent.
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

    /// Marks a call that has a rate limit of its own: a pause that its refusal asks for holds up no other call.
    #[must_use]
    pub const fn limited_apart(mut self) -> Self {
        self.limited_apart = true;
        self
    }

    /// Returns the method and path, such as `GET /path`. Leaves out the query, which may hold content.
    fn label(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Copies the call for a retry. `None` if its body cannot be sent again.
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
            limited_apart: self.limited_apart,
            trace: Span::none(),
        })
    }
}

/// Effect of a call on the upstream; it decides about retries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Read,
    Write,
    /// Creates something under a name that the caller chose, so the call is idempotent.
    NamedCreation,
}

/// Outcome of a creation under a chosen name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The item was created.
    New,
    /// The name is taken, maybe by an earlier attempt of the same call.
    Existed,
}

/// Total size of the pages read so far of one listing. Ends a listing whose upstream names new pages without end.
#[derive(Debug, Default)]
pub struct Listing {
    bytes: usize,
    values: usize,
}

/// Memory for answers, shared by upstreams. An answer that is not small waits for room before more of it is read.
#[derive(Debug, Clone)]
pub struct AnswerMemory {
    /// A permit for each KiB.
    room: Arc<Semaphore>,
}

impl Default for AnswerMemory {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ALL_ANSWERS / KIB)) }
    }
}

impl AnswerMemory {
    /// Waits for room for an answer of that size. All of it is taken at once: two answers that each took a part could wait for each other.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        // The semaphore is never closed, so `acquire_many_owned` does not fail.
        Arc::clone(&self.room).acquire_many_owned(permits).await.ok()
    }
}

/// A failed attempt.
struct Failure {
    error: ApiError,
    /// Pause that the upstream asked for.
    retry_after: Option<Duration>,
    /// The answer was for another user ([`Stranger`]).
    stranger: bool,
    /// The rate limit is not that of all calls: it is one item's, or the call's own.
    limited_apart: bool,
}

/// An answer with its complete body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Upper bound of the number of JSON values in the body.
    values: usize,
    /// Room of the body; `None` if it is small.
    _room: Option<OwnedSemaphorePermit>,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, retry_after: None, stranger: false, limited_apart: false }
    }
}

/// One upstream. Cheap to share behind an `Arc`.
pub struct Upstream {
    settings: UpstreamSettings,
    http: reqwest::Client,
    memory: AnswerMemory,
    limiter: DefaultDirectRateLimiter,
    closed: Closed,
    credentials: Arc<dyn Credentials>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    skew: Skew,
    dialect: Dialect,
    advice: OnceLock<Advice>,
    gateway: Option<Gateway>,
    /// Address of the API behind the gateway, once it is known.
    behind_gateway: OnceCell<Url>,
}

impl Upstream {
    /// Creates an upstream. Fails if the TLS stack cannot be set up.
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
        // Without a burst limit, the quota would allow a whole minute's worth at once, and as much again within the same minute. With ten
        // seconds' worth, a task's few calls do not wait, and no minute sees more than 7/6 of the limit.
        let burst = NonZeroU32::new(minute.get() / 6).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::direct(Quota::per_minute(minute).allow_burst(burst));
        metrics.recent.limit(settings.name, minute);
        Ok(Self {
            settings,
            http,
            memory: AnswerMemory::default(),
            limiter,
            closed: Closed::default(),
            credentials,
            clock,
            metrics,
            skew: Skew::default(),
            dialect: Dialect::default(),
            advice: OnceLock::new(),
            gateway: None,
            behind_gateway: OnceCell::new(),
        })
    }

    /// Sets the peculiarities of the system's answers.
    #[must_use]
    pub fn speaking(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Shares the memory for answers with other upstreams.
    #[must_use]
    pub fn sharing(self, memory: AnswerMemory) -> Self {
        Self { memory, ..self }
    }

    /// Sends all calls through a gateway; `None` sends them to the system's own address.
    #[must_use]
    pub fn through(self, gateway: Option<Gateway>) -> Self {
        Self { gateway, ..self }
    }

    /// Sets the advice that errors of calls end with. Later calls change nothing.
    pub fn advise(&self, advice: Advice) {
        // An error means that the advice was set before.
        drop(self.advice.set(advice));
    }

    /// URL of the system itself, which people open; not that of its gateway.
    #[must_use]
    pub const fn base_url(&self) -> &Url {
        &self.settings.base_url
    }

    /// Name of the upstream in errors, logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.settings.name
    }

    /// Timeout of a call; for streamed content, the longest time without any data.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// In-flight window: time since the first attempt within which a write without an answer may still take effect (`R13`: unknown write
    /// outcome). The last attempt starts within the longest pause. A write that the upstream has not applied when the call times out is
    /// taken as never applied. Waits for the rate limit are not included; they are short where the limit fits the load.
    #[must_use]
    pub fn in_flight_window(&self) -> chrono::Duration {
        let settles = self.settings.retry.longest_pause + self.settings.timeout;
        chrono::Duration::from_std(settles).unwrap_or(chrono::Duration::hours(1))
    }

    /// Difference between the upstream's clock and ours, theirs minus ours, measured from the `Date` of its newest answers (`R36`: clock
    /// skew). It is a running median, which follows a jump of either clock within three answers. Zero if the difference is within the
    /// measuring error. `None` before the first answer with a date.
    #[must_use]
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        self.skew.median()
    }

    /// Difference between the clocks according to the newest answer alone. Shows a jump of a clock at once, but is wrong more often.
    #[must_use]
    pub fn latest_skew(&self) -> Option<TimeDelta> {
        self.skew.latest()
    }

    /// Current time by our clock.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns the file that the credentials come from, if there is one.
    #[must_use]
    pub fn credentials_file(&self) -> Option<String> {
        self.credentials.file()
    }

    /// Makes an error of this upstream for a failure without an HTTP answer.
    #[must_use]
    pub fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(kind, self.settings.name, call, message)
    }

    /// Adds the hint to an error: the one of the network for a call that went wrong on the way, else the system's own.
    fn advised(&self, error: ApiError) -> ApiError {
        let hint = advice::of(&error, self.advice.get());
        let hint = hint.map(|hint| match (&self.gateway, self.behind_gateway.get()) {
            (Some(gateway), Some(api)) => advice::with_address(&advice::for_gateway(&hint, gateway.key), api),
            (Some(_) | None, _) => advice::with_address(&hint, &self.settings.base_url),
        });
        ApiError { hint: error.hint.or(hint), ..error }
    }

    /// Reads JSON, with retries.
    pub async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        self.json(call, Effect::Read).await
    }

    /// Reads the next page of a listing, like [`read`](Self::read). Fails if the listing exceeds the size of any real one.
    pub async fn read_page<T: DeserializeOwned>(
        &self,
        call: Call,
        listing: &mut Listing,
    ) -> Result<T, ApiError> {
        self.read_page_with_headers(call, listing).await.map(|(page, _)| page)
    }

    /// Like [`read_page`](Self::read_page), but also returns the answer's headers, for systems whose headers tell if more pages follow.
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

    /// Sends a write and reads the JSON answer. Retried only if the write certainly did not happen.
    pub async fn write<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        self.json(call, Effect::Write).await
    }

    /// Sends a write and ignores the content of a successful answer. Retried only if the write certainly did not happen.
    pub async fn write_only(&self, call: Call) -> Result<(), ApiError> {
        self.persist(call, Effect::Write, |call| Box::pin(self.once_unread(call, Effect::Write))).await
    }

    /// Creates something under a name that the call itself chooses. Idempotent, so it is retried even if an earlier attempt may have
    /// worked. A 409 means that an earlier attempt did work, or that another client was first.
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

    /// Sends a write and returns the path in the answer's `Location`, which is the address of the new item. `None` if there is none.
    /// Retried only if the write certainly did not happen.
    pub async fn write_located(&self, call: Call) -> Result<Option<String>, ApiError> {
        self.persist(call, Effect::Write, |call| Box::pin(self.once_located(call))).await
    }

    /// Opens a file for streaming. Follows redirects to allowed hosts, without credentials there. Opening is retried; once content arrives,
    /// the reader decides about another attempt.
    ///
    /// An answer that is not the file is [`ApiErrorKind::WrongContent`] (`R34`: other content in place of a file): a page where none was
    /// announced, a redirect to a path of the system's own that is no download, an answer of another size. A download that breaks off
    /// before its own end is [`ApiErrorKind::Uncertain`], like any other call.
    pub async fn download(&self, call: Call, announced: Announced<'_>) -> Result<Download, ApiError> {
        let name = self.settings.name;
        let opened = self.persist(call, Effect::Read, |call| Box::pin(self.once_following(call, &announced)));
        let named = |error| ApiError { call: announced.call.clone(), ..error };
        let response = opened.await.map_err(named)?;
        let label = announced.call.clone();
        let failed = move |kind, message| ApiError::new(kind, name, label.clone(), message);
        match arriving(response, self.settings.timeout, &announced, failed).await {
            Ok(download) => Ok(download),
            Err(error) => Err(ApiError { message: self.masked(&error.message).await, ..error }),
        }
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
        let unreadable = |message: String| {
            let error = self.error(ApiErrorKind::Unreadable, label, message);
            self.advised(ApiError { status: Some(answer.status.as_u16()), ..error })
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

    /// Repeats a call until it succeeds, cannot succeed, or the attempts are used up (`R21`: manners towards an upstream).
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
            self.wait_while_closed(&call.label(), began, effect).await?;
            let again = call.again();
            let limited_apart = call.limited_apart;
            let span = tracing::info_span!(
                "upstream",
                upstream.system = self.settings.name,
                upstream.call = call.label(),
                upstream.attempt = attempt,
                upstream.status = Empty,
            );
            let trace = call_trace(self.settings.name, &call.method, &call.path, attempt - 1);
            call.trace = trace.clone();
            let asked_at = tokio::time::Instant::now();
            let mut failure = match once(call).instrument(span).instrument(trace.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            trace_failed(&trace, failure.error.status, &failure.error.kind);
            if failure.error.status.is_some() {
                failure.error.message = self.masked(&failure.error.message).await;
            }
            failure.limited_apart |= limited_apart;
            self.keep_pause(&mut failure);
            let unknown = failure.error.status == Some(401) || failure.stranger;
            let may_help = unknown && !refreshed && {
                // Refresh even if this call cannot be sent again: the next call gets the new credentials.
                refreshed = true;
                self.credentials.refresh().await
            };
            let Some(next) = again else { return Err(self.advised(failure.error)) };
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
            // What hung would hang again, and hold a place of its queue for as long: the queue repeats the task later (R37: nobody waits
            // for the slowest).
            let hung = failure.error.status.is_none() && asked_at.elapsed() >= self.settings.timeout;
            if hung || !may_pass || attempt >= policy.attempts || asked > policy.longest_pause {
                return Err(self.advised(failure.error));
            }
            let ceiling =
                policy.first_pause.saturating_mul(1 << (attempt - 1).min(16)).min(policy.longest_pause);
            let pause = ceiling.mul_f64(rand::rng().random_range(0.5..=1.0)).max(asked);
            if effect == Effect::Write && began.elapsed() + pause > policy.longest_pause {
                // A later attempt would exceed the in-flight window.
                return Err(self.advised(failure.error));
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Waits for the end of the pause that the upstream asked any of its calls for. Fails if that is later than a call may wait: the queue
    /// repeats the task. A write waits no longer than its in-flight window allows for.
    async fn wait_while_closed(
        &self,
        label: &str,
        began: tokio::time::Instant,
        effect: Effect,
    ) -> Result<(), ApiError> {
        let longest = self.settings.retry.longest_pause;
        while let Some(rest) = self.closed.rest() {
            if rest > longest || (effect == Effect::Write && began.elapsed() + rest > longest) {
                let message = format!("not called, as it asked: {}", self.until_after(rest));
                return Err(self.error(ApiErrorKind::NotApplied, label, message));
            }
            tokio::time::sleep(rest).await;
        }
        Ok(())
    }

    /// Keeps the pause that a refusal asks for, for all calls, unless it is about one item only.
    fn keep_pause(&self, failure: &mut Failure) {
        let asked = failure.retry_after.filter(|_| matches!(failure.error.status, Some(429 | 503)));
        let Some(pause) = asked.filter(|_| !failure.limited_apart).and_then(|asked| self.closed.keep(asked))
        else {
            return;
        };
        let name = self.settings.name;
        self.metrics.upstream_pauses.get_or_create(&UpstreamLabels { upstream: name }).inc();
        let until = self.until_after(pause);
        tracing::warn!(
            upstream = name,
            upstream.pause_seconds = pause.as_secs(),
            "{name} is busy and asks for a pause: {until}"
        );
        failure.error.message.push_str("; ");
        failure.error.message.push_str(&until);
    }

    /// Says until when there are no calls.
    fn until_after(&self, pause: Duration) -> String {
        let until =
            TimeDelta::from_std(pause).ok().and_then(|pause| self.clock.now().checked_add_signed(pause));
        let until = until.map_or_else(|| "later".to_owned(), |until| until.format("%F %T UTC").to_string());
        format!("no call before {until}")
    }

    /// Makes one attempt and reads the whole answer.
    async fn once_whole(&self, call: Call, effect: Effect) -> Result<Answer, Failure> {
        let label = call.label();
        let response = self.plain(&label, self.accepted(call, effect).await?).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let read = self.within(self.read_within_memory(response)).await.map_err(|broken| {
            let kind = match broken {
                // A connection that breaks within an answer is as uncertain as one that breaks before it.
                Broken::Off(_) => ApiErrorKind::Uncertain,
                Broken::TooLarge(_) => ApiErrorKind::Unreadable,
            };
            let error = self.error(kind, &label, broken.to_string());
            Failure::from(ApiError { status: Some(status.as_u16()), ..error })
        })?;
        let (body, room) = read;
        Ok(Answer { status, headers, values: json::most_values(&body), body, _room: room })
    }

    /// Reads an answer's body, and takes room for it as soon as it is not small: as much as it announces, else as much as it may be.
    async fn read_within_memory(
        &self,
        response: Response,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Broken> {
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        let most = announced.unwrap_or(MAX_ANSWER);
        if most > MAX_ANSWER {
            return Err(Broken::TooLarge(MAX_ANSWER));
        }
        let (mut body, mut room) = (BytesMut::new(), None);
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Broken::Off(chain(&error)))?;
            let length = body.len() + chunk.len();
            if length > most {
                return Err(Broken::TooLarge(most));
            }
            if length > SMALL_ANSWER && room.is_none() {
                room = self.memory.take(most).await;
                // Growing step by step would take twice the memory for a moment.
                body.reserve(announced.map_or(chunk.len(), |announced| announced - body.len()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body.freeze(), room))
    }

    /// Makes one attempt of a write whose answer is not needed.
    async fn once_unread(&self, call: Call, effect: Effect) -> Result<(), Failure> {
        let label = call.label();
        let response = self.accepted(call, effect).await?;
        self.no_page(&label, &response)?;
        let status = response.status();
        // Read the body so that the connection can be reused. A failure to read it changes nothing.
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
        let path = location.and_then(|location| self.api().join(location).ok());
        drop(self.within(read_capped(response, MAX_REFUSAL)).await);
        Ok(path.map(|url| url.path().to_owned()))
    }

    /// Rejects a successful answer that is an HTML page instead of the API's: a sign-in page comes with status 200.
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

    /// Makes one attempt of a download and follows its redirects.
    async fn once_following(&self, call: Call, announced: &Announced<'_>) -> Result<Response, Failure> {
        let label = call.label();
        self.find_api(&label).await?;
        let mut at = self.url(&call)?;
        let mut response = self.exchange(call, true).await?;
        for _ in 0..MAX_REDIRECTS {
            if !response.status().is_redirection() {
                break;
            }
            at = self.redirect_target(&label, &at, &response, announced.paths).await?;
            self.may_be_called(&label, &at)?;
            let mut request = self.http.get(at.clone());
            if same_origin(&at, self.api()) {
                self.limiter.until_ready().await;
                if let Some((name, value)) = self.authorization(&label).await? {
                    request = request.header(name, value);
                }
            }
            let trace = redirect_trace(self.settings.name, at.host_str().unwrap_or_default());
            let followed = progress::of_call(async {
                match tokio::time::timeout(self.settings.timeout, request.send()).await {
                    Ok(outcome) => outcome.map_err(|error| self.transport(&label, &error)),
                    Err(_) => Err(self.silence(&label)),
                }
            });
            let outcome = followed.instrument(trace.clone()).await;
            match &outcome {
                Ok(answer) => call_answered(&trace, answer.status().as_u16()),
                Err(error) => trace_failed(&trace, None, &error.kind),
            }
            response = outcome?;
        }
        if !response.status().is_success() {
            if same_origin(&at, self.api()) && !response.status().is_redirection() {
                self.recognised(&label, &response, Effect::Read)?;
            }
            return Err(self.refusal(&label, response, Effect::Read).await);
        }
        let response = self.plain(&label, response).await?;
        match announced.complaint(&response) {
            Some(complaint) => Err(ApiError {
                status: Some(response.status().as_u16()),
                ..self.error(ApiErrorKind::WrongContent, &label, complaint)
            }
            .into()),
            None => Ok(response),
        }
    }

    /// Returns the answer unless it is compressed: the client never requests compression.
    async fn plain(&self, label: &str, response: Response) -> Result<Response, ApiError> {
        match response.headers().get(CONTENT_ENCODING) {
            Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
                let encoding = self.presentable(&String::from_utf8_lossy(encoding.as_bytes())).await;
                let message = format!("the answer is packed ({encoding}), which was not asked for");
                Err(ApiError {
                    status: Some(response.status().as_u16()),
                    ..self.error(ApiErrorKind::Unreadable, label, message)
                })
            }
            Some(_) | None => Ok(response),
        }
    }

    /// Makes one exchange and fails unless the answer is a success.
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

    /// Rejects an answer for another user than the connector's (`R26`: empty answers need proof). A write that succeeded as
    /// another user is uncertain: it may have happened.
    fn recognised(&self, label: &str, response: &Response, effect: Effect) -> Result<(), Failure> {
        let status = response.status();
        // A busy or broken server's answer tells nothing of the user, and a 401 is handled as such.
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
        let message = format!("the answer, {code}, {}: {why}", advice::STRANGER);
        Err(Failure { stranger: true, ..Failure::from(self.error(kind, label, message)) })
    }

    /// Makes one exchange and returns at the head of the answer, whatever its status. With `streamed`, the answer's body may take any time.
    async fn exchange(&self, call: Call, streamed: bool) -> Result<Response, Failure> {
        let label = call.label();
        let timeout = self.settings.timeout;
        self.limiter.until_ready().await;
        progress::of_call(self.find_api(&label)).await?;
        let url = self.url(&call)?;
        self.may_be_called(&label, &url)?;
        let authorization = progress::of_call(self.authorization(&label)).await?;
        let trace = call.trace;
        call_goes_to(&trace, url.host_str(), url.port_or_known_default());
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
        let execute = async {
            // `Err(None)`: silence.
            if let Some(sending) = &sending {
                sending.watch(timeout, self.http.execute(request)).await.ok_or(None)?
            } else if streamed {
                tokio::time::timeout(timeout, self.http.execute(request)).await.map_err(|_| None)?
            } else {
                // The timeout includes the answer's last byte.
                *request.timeout_mut() = Some(timeout);
                self.http.execute(request).await
            }
            .map_err(Some)
        };
        let outcome = progress::of_call(execute).await;
        let status = match &outcome {
            Ok(response) => response.status().as_u16().to_string(),
            Err(_) => "none".to_owned(),
        };
        let labels = CallLabels { upstream: self.settings.name, method, status };
        if let Ok(response) = &outcome {
            call_answered(&trace, response.status().as_u16());
        }
        Span::current().record("upstream.status", labels.status.as_str());
        tracing::debug!(
            duration_ms = asked.elapsed().as_secs_f64() * 1e3,
            "upstream call: {label}: {}",
            labels.status
        );
        self.metrics.upstream_calls.get_or_create(&labels).inc();
        self.metrics.recent.called(self.clock.now(), self.settings.name);
        let failure = match outcome {
            Ok(response) => {
                // An upload takes as long as it takes, and its answer may be dated at its end or before, so it is not measured.
                if sending.is_none() {
                    self.measure_skew(response.headers(), asked.elapsed());
                }
                return Ok(response);
            }
            Err(Some(error)) => self.transport(&label, &error),
            Err(None) => self.silence(&label),
        };
        let Some(sending) = sending else { return Err(failure.into()) };
        let message = sending.failure().unwrap_or(failure.message);
        let kind = if sending.is_whole() { failure.kind } else { ApiErrorKind::NotApplied };
        Err(ApiError { kind, message, ..failure }.into())
    }

    /// Runs a future under the timeout of the upstream.
    async fn within<T>(&self, what: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
        progress::of_call(async {
            match tokio::time::timeout(self.settings.timeout, what).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Broken::Off("timed out".to_owned())),
            }
        })
        .await
    }

    /// Makes the error for an upstream that sent nothing within the timeout.
    fn silence(&self, label: &str) -> ApiError {
        let message = format!("timed out: nothing for {}", humantime::format_duration(self.settings.timeout));
        self.error(ApiErrorKind::Uncertain, label, message)
    }

    /// Address of the API: behind the gateway, if there is one and [`find_api`](Self::find_api) has asked for it.
    fn api(&self) -> &Url {
        self.behind_gateway.get().unwrap_or(&self.settings.base_url)
    }

    /// Asks for the address behind the gateway, if there is one and it is not known yet. All calls that wait share one request.
    async fn find_api(&self, label: &str) -> Result<(), ApiError> {
        let Some(gateway) = &self.gateway else { return Ok(()) };
        self.behind_gateway.get_or_try_init(|| self.ask_for_id(label, gateway)).await.map(drop)
    }

    async fn ask_for_id(&self, label: &str, gateway: &Gateway) -> Result<Url, ApiError> {
        let failed = |why: String| {
            let message = format!("no {} from {}: {why}", gateway.member, gateway.lookup);
            self.error(ApiErrorKind::NotApplied, label, message)
        };
        self.may_be_called(label, &gateway.lookup)?;
        let request = self.http.get(gateway.lookup.clone()).timeout(self.settings.timeout).send();
        let response = request.await.map_err(|error| failed(chain(&error)))?;
        if !response.status().is_success() {
            return Err(failed(format!("it answered {}", response.status().as_u16())));
        }
        let body = read_capped(response, MAX_REFUSAL).await.map_err(|broken| failed(broken.to_string()))?;
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = answer[gateway.member].as_str().unwrap_or_default();
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let base = gateway.base.as_str().trim_end_matches('/');
        match Url::parse(&format!("{base}/{id}")) {
            Ok(url) if is_id => Ok(url),
            Ok(_) | Err(_) => Err(failed("the answer names none".to_owned())),
        }
    }

    fn url(&self, call: &Call) -> Result<Url, ApiError> {
        let base = self.api().as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}{}", call.path)).map_err(|error| {
            self.error(ApiErrorKind::Refused, &call.label(), format!("the address is not valid: {error}"))
        })?;
        if !call.query.is_empty() {
            let pairs: Vec<String> = call.query.iter().map(|(name, value)| encoded(name, value)).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        Ok(url)
    }

    /// Refuses to start TLS before 1970, where rustls panics (rustls-pki-types 1.16, `UnixTime::now`).
    fn may_be_called(&self, label: &str, url: &Url) -> Result<(), ApiError> {
        if url.scheme() == "https" && SystemClock.now() < DateTime::UNIX_EPOCH {
            return Err(self.error(ApiErrorKind::NotApplied, label, BEFORE_1970));
        }
        Ok(())
    }

    /// Returns the OAuth scopes that the access token of the last calls was granted, if they are known.
    pub async fn granted_scope(&self) -> Option<String> {
        self.credentials.granted_scope().await
    }

    async fn authorization(&self, label: &str) -> Result<Option<(HeaderName, HeaderValue)>, ApiError> {
        let header = tokio::time::timeout(self.settings.timeout, self.credentials.header()).await;
        let late = |_| {
            self.error(ApiErrorKind::NotApplied, label, "timed out while asking for credentials".to_owned())
        };
        match header.map_err(late)? {
            Ok(header) => Ok(header),
            Err(message) => {
                let text = message + &self.ask_for_time().await.unwrap_or_default();
                // What is wrong, then what to do: see `Credentials::header`.
                let (message, hint) = match text.rsplit_once("; ") {
                    Some((what, remedy)) => (what, Some(remedy.to_owned())),
                    None => (text.as_str(), None),
                };
                Err(ApiError { hint, ..self.error(ApiErrorKind::Unauthorized, label, message) })
            }
        }
    }

    /// Reads the upstream's time without credentials, after asking for credentials failed. Token issuers refuse a client whose clock is
    /// off, without a readable reason; this finds that cause.
    async fn ask_for_time(&self) -> Option<String> {
        self.may_be_called("HEAD /", &self.settings.base_url).ok()?;
        let asked = self.http.head(self.settings.base_url.clone()).timeout(TIME_ASKED).send();
        self.clocks_apart(asked.await.ok()?.headers())
    }

    /// Adds an answer's date to the skew measurement, and logs one warning when the clocks drift apart (`R36`: clock skew).
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

    /// Returns a hint for an error message if our clock and the upstream's differ, according to the date of its answer.
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

    /// Returns the target of a download's redirect if it is allowed. On the upstream itself, only download paths are allowed (`R34`: other
    /// content in place of a file): a client that is not signed on is redirected to a sign-on page, which is no file.
    async fn redirect_target(
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
        // Credentials in a redirect's address must not be sent. The calls fail only for a URL without a host, which is rejected below.
        let _ = (target.set_username(""), target.set_password(None));
        let downgraded = from.scheme() == "https" && target.scheme() != "https";
        let host = target.host_str().unwrap_or_default();
        let with_port =
            target.port_or_known_default().map(|port| format!("{host}:{port}")).unwrap_or_default();
        let is_ours = same_origin(&target, self.api());
        if is_ours && !self.is_below(&target, paths) {
            let message = format!(
                "the download is redirected to {}, which is no download but most likely a page to sign on: see that the connector's \
                 user may download files with what it proves itself with, and that no sign-on stands before them",
                self.presentable(target.path()).await
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
            let with_port = self.presentable(&with_port).await;
            Err(refused(format!("the download is redirected to {with_port}, {}", advice::FOREIGN_HOST)))
        }
    }

    /// Reports if an address of the upstream itself is below its base URL and on one of the given paths.
    fn is_below(&self, target: &Url, paths: &[&str]) -> bool {
        let base = self.api().path().trim_end_matches('/');
        target
            .path()
            .strip_prefix(base)
            .is_some_and(|path| paths.iter().any(|beginning| path.starts_with(beginning)))
    }

    /// Makes the error for a call that got no answer.
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

    /// Makes the failure for an answer that is no success.
    async fn refusal(&self, label: &str, response: Response, effect: Effect) -> Failure {
        let status = response.status();
        let retry_after = self.retry_after(status, response.headers());
        let limited_apart = exhausted_limit(response.headers()).is_some_and(|name| name.contains(PER_ITEM));
        let limit = match exhausted_limit(response.headers()) {
            Some(reason) => format!(" (rate limit: {})", self.presentable(reason).await),
            None => String::new(),
        };
        let clocks =
            (status == StatusCode::UNAUTHORIZED).then(|| self.clocks_apart(response.headers())).flatten();
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ApiErrorKind::Unauthorized,
            StatusCode::NOT_FOUND | StatusCode::GONE => ApiErrorKind::NotFound,
            // The name is taken, and stays so.
            StatusCode::CONFLICT if effect == Effect::NamedCreation => ApiErrorKind::Refused,
            // 409: two writes collided, and this one lost.
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
            let host = match host {
                Some(host) => self.presentable(&host).await,
                None => "another address".to_owned(),
            };
            format!("redirected to {host}, which only downloads may be")
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
            message: message + &limit + &clocks.unwrap_or_default(),
            hint: None,
        };
        Failure { error, retry_after, stranger: false, limited_apart }
    }

    /// Returns the pause that an answer asks for with `Retry-After`, or with the end of the exhausted rate limit.
    fn retry_after(&self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
        // By the upstream's clock, which wrote the time, if the answer shows it (`R36`: clock skew).
        let now = || skew::date(headers).unwrap_or_else(|| self.clock.now());
        let until = |time: DateTime<Utc>| (time - now()).to_std().unwrap_or_default();
        if let Some(value) = text(RETRY_AFTER) {
            return seconds(value).map(Duration::from_secs).or_else(|| {
                httpdate::parse_http_date(value).ok().map(|time| until(DateTime::<Utc>::from(time)))
            });
        }
        if status != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        // Sources: "Rate limiting", Jira Cloud platform (a time); "Rate limits", developer.zendesk.com (seconds); "Inbound REST API rate
        // limiting", ServiceNow (seconds since 1970).
        [X_RATELIMIT_RESET, RATELIMIT_RESET].into_iter().find_map(|name| {
            let value = text(name)?;
            match seconds(value) {
                Some(reset) if reset < SOON_AFTER_1970 => Some(Duration::from_secs(reset)),
                Some(reset) => DateTime::from_timestamp(i64::try_from(reset).ok()?, 0).map(until),
                None => DateTime::parse_from_rfc3339(value).ok().map(|time| until(time.to_utc())),
            }
        })
    }

    /// Prepares an upstream's message for an error text: one short line, with the connector's own secrets masked in case the message
    /// repeats them.
    pub async fn presentable(&self, words: &str) -> String {
        shorten(&self.masked(words).await)
    }

    /// Masks the connector's own secrets in a text.
    async fn masked(&self, text: &str) -> String {
        let header = tokio::time::timeout(self.settings.timeout, self.credentials.header()).await;
        match header {
            Ok(Ok(Some((_, value)))) => without_secrets(text, &value),
            Ok(Ok(None) | Err(_)) | Err(_) => text.to_owned(),
        }
    }
}

/// Describes our clock relative to one that is ahead of it by `skew`: `6m behind`.
fn apart(skew: TimeDelta) -> String {
    let direction = if skew > TimeDelta::zero() { "behind" } else { "ahead of" };
    let apart = humantime::format_duration(Duration::from_secs(skew.num_seconds().unsigned_abs()));
    format!("{apart} {direction}")
}

/// Reads a whole number of seconds. Too many digits for a `u64` mean a long time as well.
fn seconds(value: &str) -> Option<u64> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

/// Returns the name of the rate limit that was exhausted, if the answer says which one.
fn exhausted_limit(headers: &HeaderMap) -> Option<&str> {
    headers.get(RATELIMIT_REASON)?.to_str().ok().filter(|reason| !reason.is_empty())
}

fn client(settings: &UpstreamSettings) -> Result<reqwest::Client, reqwest::Error> {
    with_proxy_for(super::http_client(), &settings.base_url)
        // Well before any other timeout: a connection that never came about is a call that certainly did not happen.
        .connect_timeout(Duration::from_secs(10).min(settings.timeout / 2))
        .pool_idle_timeout(IDLE_CONNECTION)
        .build()
}

/// Uses the proxy of the environment, unless `url` is on this machine: a sandbox, an emulator or a metadata server is not behind it.
pub(super) fn with_proxy_for(builder: reqwest::ClientBuilder, url: &Url) -> reqwest::ClientBuilder {
    if is_on_this_machine(url) { builder.no_proxy() } else { builder }
}

/// Reports if an address is this machine's, or the machine's own link's: there a cloud has its metadata server (169.254.169.254).
pub(super) fn is_on_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_near = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        std::net::IpAddr::V6(address) => address.is_loopback(),
    };
    host == "localhost" || host.parse().is_ok_and(is_near)
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Formats `name=value` with everything escaped except unreserved characters. A space becomes `%20`, which every server understands, unlike
/// `+`.
fn encoded(name: &str, value: &str) -> String {
    /// Unreserved characters (RFC 3986, 2.3) stay unescaped.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    format!("{}={}", utf8_percent_encode(name, ESCAPED), utf8_percent_encode(value, ESCAPED))
}

/// Reason why an answer's body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The body ended early, or reading it timed out.
    #[error("the answer broke off: {0}")]
    Off(String),
    /// The body exceeds the limit, in bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Reads an answer's body of at most `limit` bytes.
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

/// Reports if a body is empty or a JSON object, as an API's answer to a write is.
fn is_nothing_or_object(body: &[u8]) -> bool {
    body.trim_ascii().is_empty()
        || serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(body).is_ok()
}

/// Describes an error with its causes, without the URL, whose query could hold content.
pub fn chain(error: &reqwest::Error) -> String {
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
        // Words of the HTTP library for one of its stages, such as "client error (SendRequest)": its cause says what happened.
        let is_stage = message.starts_with("client error (") && inner.source().is_some();
        if !is_stage && !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    shorten(&text)
}
