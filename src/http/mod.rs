//! HTTP interface of the service: one table of routes, each with the callers that may use it (`R5`: callers).

mod api;
mod auth;
mod iap;
mod index;
mod metrics;
mod page;
mod parameters;
mod places;
mod polls;
mod problem;
mod push;
mod serve;
mod shared;
mod status;
mod status_log;
mod write_timeout;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json, Router};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde_json::json;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::cases::{Check, CheckStatus, worst};
use crate::config::{Secret, Trust};
use crate::entities::{Global, Side, Sides};
use crate::push::Receivers;
use crate::queue::QueuedTask;
use crate::tasks::{self, Caller, Deps, Mode, Task, TaskKind};
use crate::telemetry::{detached, request_answered, request_span, request_trace, within_request};

pub use polls::PollFailures;

use parameters::Parameters;
use shared::Shared;

pub use api::{describe as describe_mapping, describe_whole as describe_pair};
pub use auth::{Identity, Proof, token_problem};
pub use iap::Iap;
pub use problem::Problem;
pub use serve::{Limits, serve};
pub use shared::SHARED_FOR;
pub use status::status;
pub use status_log::StatusLog;

/// Maximum size of a task request's body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Timeout for the arrival of a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Age of a poll above which `GET /healthz/sync` fails (`R24`: health of the polls).
const POLL_TOO_OLD: chrono::Duration = chrono::Duration::minutes(10);
/// Time in the future beyond which a poll makes `GET /healthz/sync` fail. This machine's clock is then behind, or was ahead during the
/// poll, and the search period of a poll depends on it (`R36`: clock skew). Smaller differences may occur between two machines that share a
/// store.
const POLL_AHEAD: chrono::Duration = chrono::Duration::minutes(1);

/// Description of all routes in OpenAPI 3.1, kept by hand. `tests/it/openapi.rs` holds it to [`ROUTES`] and to the answers.
const OPENAPI: &str = include_str!("openapi.json");

/// Callers that may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All callers: health checks and descriptions of the interface show nothing of a case.
    Open,
    /// People with the admin token.
    People,
    /// People in a browser: also with the cookie of a sign-in.
    Operators,
    /// People and the queues.
    Tasks,
    /// People and cron.
    Cron,
    /// Systems that prove each of their messages. The handler verifies the proof.
    Signed,
}

/// Handlers of the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST`: runs a task.
    RunTask,
    /// `GET`: queues a task (`R1`).
    QueueTask,
    /// `POST`: takes a message of a system: a case may have changed.
    Push,
    /// `GET`: shows the overview in a browser, and lists the routes to others.
    Index,
    /// `GET`: the style of the pages.
    Style,
    /// `GET`: the form to sign in; `POST`: signs in.
    SignIn,
    /// `POST`: signs out.
    SignOut,
    /// `GET`: the page with all pairs.
    PairList,
    /// `GET`: the page of one pair.
    PairPage,
    /// `POST`: does an action on one pair, for its page.
    PairAction,
    /// `POST`: links two cases, for the overview.
    LinkForm,
    /// `GET`: succeeds if the process answers.
    Healthz,
    /// `GET`: succeeds if configuration and store are ready.
    Readyz,
    /// `GET`: succeeds if the polls are recent (`R24`: health of the polls).
    HealthzSync,
    /// `GET`: lists the mappings, paged.
    Mappings,
    /// `GET`: shows one mapping.
    Mapping,
    /// `GET`: lists the pairs that need a look, paged.
    Pairs,
    /// `GET`: shows the pairs of one case, by any of its names.
    Pair,
    /// `POST`: does an action of an operator on the pairs of one case: retry, pause, resume, unlink, skip.
    ActOnPair,
    /// `POST`: links two cases that exist.
    Link,
    /// `GET`: lists the tasks that the queue gave up.
    DeadLetters,
    /// `GET`: describes this interface in OpenAPI 3.1.
    OpenApi,
    /// `GET`: shows the watermarks.
    Global,
    /// `GET`: checks every connection and permission that the service needs, with the service's own credentials.
    Check,
    /// `GET`: metrics for Prometheus.
    Metrics,
}

/// All routes. [`router`] is built from this table, so that no route lacks its access.
pub const ROUTES: &[(Endpoint, &str, Access)] = &[
    (Endpoint::RunTask, "/tasks/{task}", Access::Tasks),
    (Endpoint::QueueTask, "/cron/{task}", Access::Cron),
    (Endpoint::Push, "/push/{side}", Access::Signed),
    (Endpoint::Index, "/", Access::Open),
    (Endpoint::Style, "/assets/page.css", Access::Open),
    (Endpoint::SignIn, "/signin", Access::Open),
    (Endpoint::SignOut, "/signout", Access::Open),
    (Endpoint::PairList, "/cases", Access::Operators),
    (Endpoint::LinkForm, "/cases/link", Access::Operators),
    (Endpoint::PairPage, "/cases/{id}", Access::Operators),
    (Endpoint::PairAction, "/cases/{id}/{action}", Access::Operators),
    (Endpoint::Healthz, "/healthz", Access::Open),
    (Endpoint::Readyz, "/readyz", Access::Open),
    (Endpoint::HealthzSync, "/healthz/sync", Access::Open),
    (Endpoint::Mappings, "/api/mappings", Access::People),
    (Endpoint::Mapping, "/api/mappings/{id}", Access::People),
    (Endpoint::Pairs, "/api/v1/mappings", Access::People),
    (Endpoint::Link, "/api/v1/mappings/link", Access::People),
    (Endpoint::Pair, "/api/v1/mappings/{case}", Access::People),
    (Endpoint::ActOnPair, "/api/v1/mappings/{case}/{action}", Access::People),
    (Endpoint::DeadLetters, "/api/v1/dead-letters", Access::People),
    (Endpoint::OpenApi, "/api/v1/openapi.json", Access::Open),
    (Endpoint::Global, "/api/global", Access::People),
    (Endpoint::Check, "/api/check", Access::People),
    (Endpoint::Metrics, "/metrics", Access::People),
];

/// State that the handlers share.
#[derive(Clone)]
pub struct Service {
    /// Systems, store, queue and settings for the tasks.
    pub deps: Arc<Deps>,
    /// Proof of a caller who sends no token; it decides if `X-Appengine-*` headers prove anything.
    pub trust: Trust,
    /// Token that proves that the caller is a person with access.
    pub admin_token: Option<Secret>,
    /// Verifier of Identity-Aware Proxy's header, if the service stands behind it.
    pub iap: Option<Arc<Iap>>,
    /// Token that proves that the caller is the embedded queue or cron.
    pub internal_token: Secret,
    /// Receivers of push messages.
    pub push: Arc<Receivers>,
    /// Latest failures of the polls.
    pub polls: PollFailures,
    /// Intervals at which the embedded cron asks for the poll of each side. `None` if another cron does.
    pub cron_every: Sides<Option<chrono::Duration>>,
    /// Tasks that are running; a graceful shutdown waits for them.
    pub running: TaskTracker,
}

/// Cached readings of the store for the open routes: if the store can be used, and the watermarks if they can be read.
#[derive(Debug, Default)]
struct Open {
    ready: Shared<bool>,
    global: Shared<Option<Global>>,
}

/// Builds the service's router. It needs the peer's address, which [`serve()`] supplies.
pub fn router(service: Service) -> Router {
    service.deps.metrics.start_time_seconds.set(service.deps.clock.now().timestamp());
    service.deps.metrics.recent.begin(service.deps.clock.now());
    let mut router = Router::new();
    for (endpoint, path, access) in ROUTES {
        let guard = (service.clone(), *endpoint, *access);
        let route = handler(*endpoint).layer(axum::middleware::from_fn_with_state(guard, authorize));
        router = router.route(path, route);
    }
    router
        .fallback(|State(service): State<Service>, headers: HeaderMap| async move {
            let problem = Problem::new(StatusCode::NOT_FOUND, "There is nothing here");
            page::refused(&service, &headers, problem)
        })
        .method_not_allowed_fallback(|State(service): State<Service>, headers: HeaderMap| async move {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here");
            page::refused(&service, &headers, problem)
        })
        .layer(Extension(Arc::<Open>::default()))
        .layer(Extension(Arc::<page::SignIns>::default()))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(unambiguous))
        .layer(axum::middleware::from_fn(logged))
        .with_state(service)
}

fn handler(endpoint: Endpoint) -> MethodRouter<Service> {
    match endpoint {
        Endpoint::RunTask => post(run_task),
        Endpoint::QueueTask => get(queue_task),
        Endpoint::Push => post(push::receive),
        Endpoint::Index => get(page::root),
        Endpoint::Style => get(page::style),
        Endpoint::SignIn => get(page::sign_in_form).post(page::sign_in),
        Endpoint::SignOut => post(page::sign_out),
        Endpoint::PairList => get(page::list),
        Endpoint::PairPage => get(page::pair),
        Endpoint::PairAction => post(page::act),
        Endpoint::LinkForm => post(page::link),
        Endpoint::Healthz => get(|| async { Json(json!({ "status": "ok" })) }),
        Endpoint::Readyz => get(readyz),
        Endpoint::HealthzSync => get(healthz_sync),
        Endpoint::Mappings => get(api::mappings),
        Endpoint::Mapping => get(api::mapping),
        Endpoint::Pairs => get(api::pairs),
        Endpoint::Pair => get(api::pair),
        Endpoint::ActOnPair => post(api::act),
        Endpoint::Link => post(api::link),
        Endpoint::DeadLetters => get(api::dead_letters),
        Endpoint::OpenApi => get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }),
        Endpoint::Global => get(api::global),
        Endpoint::Check => get(check),
        Endpoint::Metrics => get(metrics::show),
    }
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    // The panic itself is logged by the hook. Its text could quote content, so it is not in the answer.
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The service failed").into_response()
}

/// Ties the log lines of a request to its trace, and logs refused requests. Other outcomes are logged where they occur: a task's run is one
/// event.
async fn logged(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let trace = request_trace(request.method(), route, request.headers());
    let span = request_span(request.method(), request.uri().path(), request.headers(), &trace);
    let traced = trace.clone();
    let began = Instant::now();
    let answer = async {
        let response = next.run(request).await;
        let (http_status, http_seconds) = (response.status(), began.elapsed().as_secs_f64());
        request_answered(&traced, http_status.as_u16());
        if http_status.is_client_error() {
            tracing::info!(
                http.status = http_status.as_u16(),
                http.seconds = http_seconds,
                "refused: {http_status}"
            );
        } else {
            tracing::debug!(
                http.status = http_status.as_u16(),
                http.seconds = http_seconds,
                "answered: {http_status}"
            );
        }
        response
    };
    within_request(trace, answer.instrument(span)).await
}

/// Refuses a request with two values of a header that may stand once (RFC 9112, 3.2): a proxy in front may have believed the other one.
async fn unambiguous(request: Request, next: Next) -> Response {
    let is_twice = |name: &&HeaderName| request.headers().get_all(*name).iter().nth(1).is_some();
    match [header::HOST, header::AUTHORIZATION].iter().find(is_twice) {
        Some(name) => Problem::new(StatusCode::BAD_REQUEST, "A header stands twice")
            .detail(format!("send {name} once"))
            .into_response(),
        None => next.run(request).await,
    }
}

/// Lets a request through if its caller proves an identity that may use the route, and if the endpoint knows all query parameters;
/// otherwise nothing is done (`R5`: callers).
async fn authorize(
    State((service, endpoint, access)): State<(Service, Endpoint, Access)>,
    mut request: Request,
    next: Next,
) -> Response {
    let proof = Proof {
        trust: service.trust,
        admin_token: service.admin_token.as_ref(),
        internal_token: &service.internal_token,
        peer: request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0),
    };
    let identity = if access == Access::Operators {
        match page::operator(&service, request.headers(), proof.peer).await {
            Ok(operator) => {
                request.extensions_mut().insert(operator);
                Ok(Identity::Person)
            }
            Err(problem) => return page::refused(&service, request.headers(), problem),
        }
    } else {
        proof.identity(request.headers(), access)
    };
    let checked =
        identity.and_then(|identity| Ok((identity, Parameters::read(endpoint, request.uri().query())?)));
    match checked {
        Ok((identity, parameters)) => {
            request.extensions_mut().insert(identity);
            request.extensions_mut().insert(parameters);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn known_task(name: &str) -> Result<TaskKind, Problem> {
    TaskKind::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = TaskKind::ALL.iter().map(|kind| kind.name()).collect();
        Problem::new(StatusCode::NOT_FOUND, "There is no such task")
            .detail(format!("the tasks are {}", names.join(", ")))
    })
}

async fn run_task(
    State(service): State<Service>,
    name: Result<Path<String>, PathRejection>,
    Extension(identity): Extension<Identity>,
    Extension(parameters): Extension<Parameters>,
    body: Body,
) -> Result<Response, Problem> {
    let kind = known_task(&part(name)?)?;
    let mode = if parameters.flag("dry_run")? { Mode::DryRun } else { Mode::Act };
    let caller = identity.caller();
    let body = match read_body(body, MAX_BODY).await {
        Ok(body) => body,
        // R4 (status codes): the body would be too large on every retry, and a sync's queue retries for ever.
        Err(BodyError::TooLarge(_)) if caller == Caller::Queue => {
            let reason = format!("at most {MAX_BODY} bytes are read");
            return Ok(status::malformed(&service.deps.metrics, kind, caller, reason));
        }
        Err(error) => return Err(error.into()),
    };
    let parsed = match caller {
        Caller::Person => Task::parse_from_person(kind, &body),
        Caller::Queue => Task::parse(kind, &body),
    };
    let task = match parsed {
        Ok(task) => task,
        // R4 (status codes): a queue must not retry a task that can never succeed.
        Err(reason) => return Ok(status::malformed(&service.deps.metrics, kind, caller, reason)),
    };
    let deps = Arc::clone(&service.deps);
    // Runs detached: a caller that hangs up does not stop the task half-way.
    let polls = service.polls.clone();
    let run = async move {
        let report = match caller {
            Caller::Queue => tasks::run(&deps, task, caller, mode).await,
            Caller::Person => tasks::run_for_person(&deps, task, mode).await,
        };
        if mode == Mode::Act {
            polls.note(kind, &report, deps.clock.now());
        }
        report
    };
    let run = service.running.spawn(detached(run));
    let report = run.await.map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The task failed in an unforeseen way")
    })?;
    Ok((status(report.outcome, caller), Json(report.to_json())).into_response())
}

/// Reason why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyError {
    TooLarge(usize),
    BrokeOff,
    TooSlow,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(most) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
                .detail(format!("at most {most} bytes are read")),
            BodyError::BrokeOff => Self::new(StatusCode::BAD_REQUEST, "The body broke off"),
            BodyError::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
        }
    }
}

async fn read_body(body: Body, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut pieces = body.into_data_stream();
    let read = async {
        let mut read = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(|_| BodyError::BrokeOff)? {
            if read.len() + piece.len() > most {
                return Err(BodyError::TooLarge(most));
            }
            read.extend_from_slice(&piece);
        }
        Ok(read)
    };
    tokio::time::timeout(BODY_TIMEOUT, read).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn queue_task(
    State(service): State<Service>,
    name: Result<Path<String>, PathRejection>,
    Extension(identity): Extension<Identity>,
) -> Result<Response, Problem> {
    let kind = known_task(&part(name)?)?;
    if !kind.is_scheduled() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "This task is not scheduled")
            .detail(format!("{kind} is queued by the polls; POST {} runs one", kind.path())));
    }
    // A person who asks for a poll gets one.
    if identity.caller() == Caller::Queue && !tasks::is_poll_due(&service.deps, kind).await {
        return Ok(Json(json!({ "task": kind.name(), "queued": false })).into_response());
    }
    let task = QueuedTask { kind, body: json!({}), name: None, not_before: None };
    match service.deps.queue.enqueue(task).await {
        Ok(_) => Ok(Json(json!({ "task": kind.name(), "queued": true })).into_response()),
        Err(error) => {
            tracing::error!(task = kind.name(), "{error}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The task could not be queued")
                .detail(error.to_string()))
        }
    }
}

async fn readyz(State(service): State<Service>, Extension(open): Extension<Arc<Open>>) -> Response {
    let check = async {
        let checked = service.deps.store.check().await;
        checked.map_err(|error| tracing::error!("not ready: {error}")).is_ok()
    };
    if open.ready.get(service.deps.clock.now(), check).await {
        Json(json!({ "status": "ready" })).into_response()
    } else {
        // The reason is in the log: this route is open to everybody.
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The store cannot be used").into_response()
    }
}

/// Health of the polls (`R24`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// Both polls are recent.
    Ok,
    /// A poll is too old, or there was none.
    Late,
    /// A poll lies in the future.
    ClockSetBack,
}

/// Returns the ages of the polls above which `GET /healthz/sync` fails.
fn poll_limits(deps: &Deps) -> Sides<chrono::Duration> {
    let limit = |side| POLL_TOO_OLD + deps.settings.poll_slack(side);
    Sides { google: limit(Side::Google), company: limit(Side::Company) }
}

fn health(global: &Global, limits: Sides<chrono::Duration>, now: DateTime<Utc>) -> Health {
    let ages = global.poll_ages(now);
    if Side::BOTH.into_iter().any(|side| ages[side].is_some_and(|age| age < -POLL_AHEAD)) {
        Health::ClockSetBack
    } else if Side::BOTH.into_iter().all(|side| ages[side].is_some_and(|age| age < limits[side])) {
        Health::Ok
    } else {
        Health::Late
    }
}

/// Reports the ages of the polls from `Global` alone (`R24`: health of the polls).
async fn healthz_sync(State(service): State<Service>, Extension(open): Extension<Arc<Open>>) -> Response {
    let read = async {
        let global = service.deps.store.global().await;
        global.map_err(|error| tracing::error!("the polls' ages are not known: {error}")).ok()
    };
    let Some(global) = open.global.get(service.deps.clock.now(), read).await else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The store cannot be used").into_response();
    };
    let now = service.deps.clock.now();
    let (ages, health) = (global.poll_ages(now), health(&global, poll_limits(&service.deps), now));
    let word = match health {
        Health::Ok => "ok",
        Health::Late => "late",
        Health::ClockSetBack => "clock-set-back",
    };
    let seconds = |side: Side| ages[side].map(|age| age.num_seconds());
    let status = if health == Health::Ok { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let mut body = json!({
        "status": word,
        "google_poll_age_seconds": seconds(Side::Google),
        "company_poll_age_seconds": seconds(Side::Company),
    });
    if health == Health::ClockSetBack {
        body["detail"] = "a poll lies in the future: this machine's clock was ahead then, or is behind now; set it, for example \
                          with `timedatectl set-ntp true`"
            .into();
    }
    // No failure: a new organisation is empty, too.
    let warnings: Vec<String> =
        Side::BOTH.into_iter().filter_map(|side| tasks::emptiness(&service.deps, &global, side)).collect();
    if !warnings.is_empty() {
        body["warnings"] = warnings.into();
    }
    (status, Json(body)).into_response()
}

/// Runs the checks of `casebridge check` with the credentials, the environment and the network of the service itself. Answers 200 if all
/// checks succeed, else 500, which `curl --fail-with-body` reports.
async fn check(State(service): State<Service>) -> Response {
    let mut checks = tasks::check(&service.deps).await;
    checks.extend(service.push.check().await);
    let worst = worst(&checks);
    let good = worst != CheckStatus::Failed;
    let status = if good { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let checks: Vec<_> = checks.iter().map(line).collect();
    (status, Json(json!({ "ok": good, "status": worst, "checks": checks }))).into_response()
}

/// Returns a line of the check as JSON, with `result`, which older versions had in place of `status`, `detail` and `hint`.
fn line(check: &Check) -> serde_json::Value {
    let Check { status, what, detail, hint } = check;
    json!({ "status": status, "what": what, "detail": detail, "hint": hint, "result": check.result() })
}

/// Returns the parameter in the path.
fn part(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(part)| part).map_err(|_| not_utf8())
}

fn not_utf8() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "The path is not valid")
        .detail("what is escaped in it has to be UTF-8".to_owned())
}

/// Returns the bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
