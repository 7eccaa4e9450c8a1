//! Spans for traces: a request, a task, a step of a plan, a call to an upstream. No log shows them. Without the module `otlp` and a collector
//! that its variables name, nothing is subscribed to their target, and none is ever made.
//!
//! A trace leaves the house, so each field stands here, and each function takes only what may be in one: IDs of cases, names of routes, hosts
//! and steps, counts and statuses. No field holds a title, a text, a file name, a person, a query, a header or a body. The message of an error can
//! quote an upstream, so a span has only the kind of the error.
//!
//! Names are those of OpenTelemetry's semantic conventions, version 1.37, where they have one ("HTTP spans":
//! <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>), else they begin with `casebridge.`. Fields that begin with `otel.` are not
//! attributes: `tracing-opentelemetry` makes the name, the kind and the status of the span of them.

use std::fmt::Debug;

use axum::http::{HeaderMap, Method};
use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span};

use super::template::template;
use super::trace::TraceContext;

/// Target of the spans that are exported as traces.
pub const TRACES: &str = "casebridge::traces";

/// Routes that a probe asks for all day, and those that serve a file: their requests get no span.
const QUIET: &[&str] =
    &["/healthz", "/healthz/sync", "/readyz", "/metrics", "/assets/page.css", "/api/v1/openapi.json"];

/// Creates the span of a request to the service, within the trace that its headers name. `route` is the path as it stands in the table of the
/// routes; a request without a route gets no span.
#[must_use]
pub fn request_trace(method: &Method, route: Option<&str>, headers: &HeaderMap) -> Span {
    let Some(route) = route.filter(|route| !QUIET.contains(route)) else { return Span::none() };
    let method = known_method(method);
    let span = tracing::info_span!(
        target: TRACES,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if !span.is_disabled()
        && let Some(caller) = TraceContext::from_headers(headers)
    {
        remote::set_parent(&span, &caller);
    }
    span
}

tokio::task_local! {
    /// Span of the request that is being answered.
    static REQUEST: Span;
}

/// Answers a request within its span.
pub async fn within_request<T>(trace: Span, answer: impl Future<Output = T>) -> T {
    REQUEST.scope(trace.clone(), answer.instrument(trace)).await
}

/// Keeps work that outlives its request within the two spans of the request, that of the log and that of the trace. `in_current_span` keeps the
/// inner one alone, and a layer does not see what encloses a span that it filters out.
pub fn detached<F: Future>(work: F) -> Instrumented<Instrumented<F>> {
    let trace = REQUEST.try_with(Clone::clone).unwrap_or_else(|_| Span::none());
    work.in_current_span().instrument(trace)
}

/// Records the end of a request.
pub fn request_answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// Returns the trace and the ID of a span, for the log lines within it; `None` unless the span is exported.
#[must_use]
pub fn exported(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() { None } else { remote::context(span) }
}

/// Creates the span of a task's run.
#[must_use]
pub fn task_trace(task: &'static str, dry_run: bool) -> Span {
    tracing::info_span!(
        target: TRACES,
        "task",
        otel.name = task,
        otel.status_code = Empty,
        casebridge.task = task,
        casebridge.dry_run = dry_run,
        casebridge.outcome = Empty,
        casebridge.google_case = Empty,
        casebridge.company_case = Empty,
    )
}

/// Records the end of a task's run, with the IDs of the pair, if the task was about one.
pub fn task_ended(
    span: &Span,
    outcome: &'static str,
    failed: bool,
    google: Option<&str>,
    company: Option<&str>,
) {
    span.record("casebridge.outcome", outcome);
    for (name, id) in [("casebridge.google_case", google), ("casebridge.company_case", company)] {
        if let Some(id) = id {
            span.record(name, id);
        }
    }
    if failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// Creates the span of one step of a plan that writes to a case. `to` is the side of that case.
#[must_use]
pub fn step_trace(what: &'static str, to: &'static str) -> Span {
    tracing::info_span!(
        target: TRACES,
        "step",
        otel.name = format!("carry {what}"),
        otel.status_code = Empty,
        "error.type" = Empty,
        casebridge.step = what,
        casebridge.to = to,
    )
}

/// Creates the span of one attempt of a call. Of the path only the words are kept. `retry` is 0 for the first attempt.
#[must_use]
pub fn call_trace(upstream: &'static str, method: &Method, path: &str, retry: u32) -> Span {
    let method = known_method(method);
    tracing::info_span!(
        target: TRACES,
        "call",
        otel.name = format!("{method} {}", template(path)),
        otel.kind = "client",
        otel.status_code = Empty,
        "error.type" = Empty,
        http.request.method = method,
        http.request.resend_count = (retry > 0).then_some(i64::from(retry)),
        http.response.status_code = Empty,
        server.address = Empty,
        server.port = Empty,
        url.template = template(path),
        casebridge.upstream = upstream,
    )
}

/// Creates the span of a redirect that a download follows. Its path is a secret as a rule: whoever knows it gets the file.
#[must_use]
pub fn redirect_trace(upstream: &'static str, host: &str) -> Span {
    tracing::info_span!(
        target: TRACES,
        "call",
        otel.name = "GET",
        otel.kind = "client",
        otel.status_code = Empty,
        "error.type" = Empty,
        http.request.method = "GET",
        http.response.status_code = Empty,
        server.address = host,
        casebridge.upstream = upstream,
    )
}

/// Records the server that a call goes to.
pub fn call_goes_to(span: &Span, host: Option<&str>, port: Option<u16>) {
    if let Some(host) = host {
        span.record("server.address", host);
    }
    if let Some(port) = port {
        span.record("server.port", i64::from(port));
    }
}

/// Records the status of an answer.
pub fn call_answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
}

/// Records a failure: the status of the answer, else the kind of the error.
pub fn trace_failed(span: &Span, status: Option<u16>, kind: &impl Debug) {
    if span.is_disabled() {
        return;
    }
    span.record("otel.status_code", "ERROR");
    // An answer can be a success and still be none that can be read.
    match status.filter(|status| *status >= 300) {
        Some(status) => span.record("error.type", status.to_string().as_str()),
        None => span.record("error.type", format!("{kind:?}").as_str()),
    };
}

/// Returns the method, or `_OTHER` for one that is none of HTTP's: a caller can send any word.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

#[cfg(feature = "otlp")]
mod remote {
    //! Spans of other processes, as OpenTelemetry has them.

    use opentelemetry::Context;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::TraceContext;

    /// Makes a span the child of its caller's. Nothing is continued if the caller names no span, or if no collector is configured.
    pub(super) fn set_parent(span: &Span, caller: &TraceContext) {
        let ids = (
            TraceId::from_hex(&caller.trace_id),
            caller.span_id.as_deref().map(SpanId::from_hex).and_then(Result::ok),
        );
        let (Ok(trace), Some(parent)) = ids else { return };
        let flags = if caller.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let parent = SpanContext::new(trace, parent, flags, true, TraceState::default());
        // Fails if the layer is not there.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }

    pub(super) fn context(span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let ids = context.span().span_context().clone();
        (ids.is_valid() && ids.is_sampled()).then(|| TraceContext {
            trace_id: ids.trace_id().to_string(),
            span_id: Some(ids.span_id().to_string()),
            sampled: true,
        })
    }
}

#[cfg(not(feature = "otlp"))]
mod remote {
    use tracing::Span;

    use super::TraceContext;

    pub(super) const fn set_parent(_: &Span, _: &TraceContext) {}

    pub(super) const fn context(_: &Span) -> Option<TraceContext> {
        None
    }
}
