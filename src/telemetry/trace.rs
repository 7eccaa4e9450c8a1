//! Trace context of a request, and the span that adds it to every log line of the request.
//!
//! The span that is exported is another one (`spans`): this one is for logs only.

use axum::http::{HeaderMap, Method};
use tracing::Span;
use tracing::field::Empty;

use super::spans::exported;

/// Maximum length of a logged path or header value, in characters.
const MAX_VALUE: usize = 200;

/// Trace context from the headers of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits: the caller's span.
    pub span_id: Option<String>,
    /// True if the caller records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads `traceparent` (W3C Trace Context, version 00), else `X-Cloud-Trace-Context` (Cloud Trace, `TRACE_ID/SPAN_ID;o=OPTIONS`).
    /// Ignores a malformed header, since a trace is only a convenience.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        text("traceparent")
            .and_then(Self::from_traceparent)
            .or_else(|| text("x-cloud-trace-context").and_then(Self::from_cloud_trace))
    }

    fn from_traceparent(value: &str) -> Option<Self> {
        let mut parts = value.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may add parts; ff is not a version.
        if !is_hex(version, 2) || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        if !is_hex(flags, 2) || !is_id(span, 16) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        Self::new(trace, Some(span.to_owned()), sampled)
    }

    fn from_cloud_trace(value: &str) -> Option<Self> {
        let (ids, options) = value.trim().split_once(';').unwrap_or((value.trim(), ""));
        let (trace, span) = ids.split_once('/').map_or((ids, None), |(trace, span)| (trace, Some(span)));
        // Cloud Trace writes span IDs in decimal; logs use hexadecimal.
        let span = span.and_then(|span| span.parse::<u64>().ok()).filter(|span| *span != 0);
        Self::new(trace, span.map(|span| format!("{span:016x}")), options == "o=1")
    }

    fn new(trace: &str, span_id: Option<String>, sampled: bool) -> Option<Self> {
        is_id(trace, 32).then(|| Self { trace_id: trace.to_ascii_lowercase(), span_id, sampled })
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|b| b != b'0')
}

/// Creates the span of one request to the service. Its fields appear in every log line within it: method, path, trace, and the queue, name
/// and retry count of a task's delivery. It holds no query and no body. `traced` is the request's span in an exported trace, which the log lines
/// then belong to.
pub fn request_span(method: &Method, path: &str, headers: &HeaderMap, traced: &Span) -> Span {
    let path = path.chars().take(MAX_VALUE).collect::<String>();
    let span = tracing::info_span!(
        "request",
        http.method = method.as_str(),
        http.path = path,
        trace.id = Empty,
        trace.span_id = Empty,
        trace.sampled = Empty,
        queue.name = Empty,
        queue.task = Empty,
        queue.retry = Empty,
    );
    if let Some(trace) = exported(traced).or_else(|| TraceContext::from_headers(headers)) {
        span.record("trace.id", trace.trace_id);
        if let Some(id) = trace.span_id {
            span.record("trace.span_id", id);
        }
        span.record("trace.sampled", trace.sampled);
    }
    // Sent by Cloud Tasks and by the embedded queue. Any caller can send them where the platform does not strip them, but nothing depends
    // on them in a log line.
    for (field, header) in [
        ("queue.name", "x-appengine-queuename"),
        ("queue.task", "x-appengine-taskname"),
        ("queue.retry", "x-appengine-taskretrycount"),
    ] {
        let value = headers.get(header).and_then(|value| value.to_str().ok());
        if let Some(value) = value.filter(|value| value.len() <= MAX_VALUE) {
            span.record(field, value);
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_trace_is_read_from_either_header_and_never_guessed() {
        let check =
            |name: &'static str, value: &'static str, expected: Option<(&str, Option<&str>, bool)>| {
                let headers = HeaderMap::from_iter([(
                    axum::http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )]);
                let expected = expected.map(|(trace, span, sampled)| TraceContext {
                    trace_id: trace.to_owned(),
                    span_id: span.map(str::to_owned),
                    sampled,
                });
                assert_eq!(TraceContext::from_headers(&headers), expected, "{name}: {value}");
            };
        let trace = "105445aa7843bc8bf206b12000100000";
        let w3c = "traceparent";
        check(
            w3c,
            "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01",
            Some((trace, Some("00f067aa0ba902b7"), true)),
        );
        check(
            w3c,
            "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-00",
            Some((trace, Some("00f067aa0ba902b7"), false)),
        );
        check(
            w3c,
            "01-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01-new",
            Some((trace, Some("00f067aa0ba902b7"), true)),
        );
        check(w3c, "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01-new", None);
        check(w3c, "ff-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01", None);
        check(w3c, "00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check(w3c, "00-105445aa7843bc8bf206b12000100000-0000000000000000-01", None);
        check(w3c, "00-short-00f067aa0ba902b7-01", None);
        let google = "x-cloud-trace-context";
        check(
            google,
            "105445aa7843bc8bf206b12000100000/74;o=1",
            Some((trace, Some("000000000000004a"), true)),
        );
        check(
            google,
            "105445AA7843BC8BF206B12000100000/18446744073709551615;o=0",
            Some((trace, Some("ffffffffffffffff"), false)),
        );
        check(google, "105445aa7843bc8bf206b12000100000", Some((trace, None, false)));
        check(google, "105445aa7843bc8bf206b12000100000/x;o=1", Some((trace, None, true)));
        check(google, "projects/p/traces/105445aa7843bc8bf206b12000100000", None);
        check(google, "", None);
    }
}
