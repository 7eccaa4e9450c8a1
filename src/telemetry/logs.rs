//! Logs: one JSON object per line for Cloud Logging, or text for a person in a terminal. Both go to standard error, so that standard output
//! holds only the output of a command.
//!
//! This module never sees requests or answers. A line holds the fields of its event, and events hold no bodies and no secrets.

use std::fmt;
use std::io::Write as _;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::spans::TRACES;
use crate::clock::{SharedClock, SystemClock};
use crate::config::LogFormat;

/// Maximum length of a text in a line, in characters. A log entry may have 256 KiB (Cloud Logging, "Quotas and limits").
const MAX_TEXT: usize = 16 * 1024;
/// Environment variable with the log filter, such as `info` or `info,casebridge::queue=debug`.
const FILTER_VARIABLE: &str = "RUST_LOG";
/// Fields that hold a JSON object. It is logged as an object, so that its members can be searched for.
const JSON_FIELDS: [&str; 2] = ["task.result", "status"];
/// Type that makes Error Reporting show a log entry as an error that a person must see ("Format error messages in a log").
const REPORTED_ERROR: &str =
    "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent";

/// Source of the log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    /// Google Cloud project, which begins the full name of a trace.
    pub project: Option<String>,
    /// App Engine's name of the service, such as `default`.
    pub service: String,
    /// App Engine's version of that service, or the program's.
    pub version: String,
}

impl LogSource {
    /// Reads the variables that App Engine sets for each instance ("The flexible environment: environment variables").
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            project: variable("GOOGLE_CLOUD_PROJECT"),
            service: variable("GAE_SERVICE").unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned()),
            version: variable("GAE_VERSION").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
        }
    }
}

/// Layer that sees spans and events beside the log.
pub type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Sets up the program's logs, and a layer for traces beside them. Call it once, before anything else; a second call changes nothing.
/// `RUST_LOG` sets the filter of the logs; the default is `info`.
pub fn init(format: LogFormat, traces: Option<BoxedLayer>) {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let (filter, misread) =
        match EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(&filter) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new("info"), Some(error)),
        };
    // The filter of the log alone: traces do not depend on how much is logged.
    let filter = filter.and(filter_fn(is_loggable));
    let registry = tracing_subscriber::registry().with(traces);
    let done = match format {
        LogFormat::Json => {
            let source = LogSource::from_environment(|name| std::env::var(name).ok());
            let clock = std::sync::Arc::new(SystemClock);
            registry.with(CloudLogging::new(source, clock, std::io::stderr).with_filter(filter)).try_init()
        }
        LogFormat::Text => {
            let text = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
                .with_target(false);
            registry.with(text.with_filter(filter)).try_init()
        }
    };
    if done.is_err() {
        return;
    }
    log_panics();
    if let Some(error) = misread {
        tracing::warn!("{FILTER_VARIABLE} cannot be read: {error}; `info` holds");
    }
}

/// True if an event may be logged, independent of `RUST_LOG`. Libraries log the data on the wire at their finer levels, including headers
/// and tokens, which must not appear in any log. `gcp_auth` logs a warning with the whole body of an answer that should have held a token;
/// the error of the failed call has the relevant part. The spans of traces are not the log's.
pub fn is_loggable(metadata: &Metadata<'_>) -> bool {
    if metadata.target() == TRACES {
        return false;
    }
    if metadata.target().starts_with("gcp_auth") {
        return *metadata.level() == Level::ERROR;
    }
    let ours = metadata.target() == "casebridge" || metadata.target().starts_with("casebridge::");
    ours || *metadata.level() <= Level::INFO
}

/// Installs a panic hook that logs one line with the place of the panic. The panic's text could quote content, and the default report has
/// many lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => Some(backtrace.to_string()),
            _ => None,
        };
        log_panic(file, line, backtrace.as_deref());
    }));
}

fn log_panic(file: &str, line: u32, backtrace: Option<&str>) {
    tracing::error!(
        panic.file = file,
        panic.line = line,
        panic.backtrace = backtrace,
        "a bug: panicked at {file}:{line}"
    );
}

/// Layer that writes each event as one JSON object on one line, with the fields that Cloud Logging interprets (Cloud Logging, "Structured
/// logging"; `LogEntry`).
#[derive(Debug)]
pub struct CloudLogging<W> {
    source: LogSource,
    clock: SharedClock,
    writer: W,
}

impl<W> CloudLogging<W> {
    /// Creates a layer that writes lines of `source`, timed by `clock`, to `writer`.
    pub fn new(source: LogSource, clock: SharedClock, writer: W) -> Self {
        Self { source, clock, writer }
    }

    fn entry(&self, metadata: &Metadata<'_>, mut fields: Map<String, Value>) -> Map<String, Value> {
        let level = *metadata.level();
        let mut entry = Map::new();
        let mut put = |name: &str, value: Value| {
            entry.insert(name.to_owned(), value);
        };
        put("severity", severity(level).into());
        put("time", self.clock.now().to_rfc3339_opts(SecondsFormat::Micros, true).into());
        put("message", fields.remove("message").unwrap_or_else(|| metadata.name().into()));
        if let Some(trace) = fields.remove("trace.id").as_ref().and_then(Value::as_str) {
            let name = match &self.source.project {
                Some(project) => format!("projects/{project}/traces/{trace}"),
                None => trace.to_owned(),
            };
            put("logging.googleapis.com/trace", name.into());
        }
        if let Some(span) = fields.remove("trace.span_id") {
            put("logging.googleapis.com/spanId", span);
        }
        if let Some(sampled) = fields.remove("trace.sampled") {
            put("logging.googleapis.com/trace_sampled", sampled);
        }
        let place = |file: &str, line: &str, function: &str| {
            let mut place = Map::new();
            if let Some(path) = metadata.file() {
                place.insert(file.to_owned(), path.into());
            }
            if let Some(number) = metadata.line() {
                place.insert(line.to_owned(), number.into());
            }
            place.insert(function.to_owned(), metadata.target().into());
            Value::Object(place)
        };
        put("logging.googleapis.com/sourceLocation", place("file", "line", "function"));
        let labels = labels(&fields);
        if !labels.is_empty() {
            put("logging.googleapis.com/labels", Value::Object(labels));
        }
        let request = request(&mut fields);
        if level == Level::ERROR {
            put("@type", REPORTED_ERROR.into());
            put("serviceContext", json!({ "service": self.source.service, "version": self.source.version }));
            let mut context = Map::new();
            // Error Reporting groups an error without a stack trace by this place. For a panic it is the place of the panic, not of the log
            // call.
            let mut reported = place("filePath", "lineNumber", "functionName");
            for (theirs, ours) in [("filePath", "panic.file"), ("lineNumber", "panic.line")] {
                if let Some(value) = fields.get(ours) {
                    reported[theirs] = value.clone();
                }
            }
            context.insert("reportLocation".to_owned(), reported);
            if let Some(request) = &request {
                let mut seen = Map::new();
                for (theirs, ours) in
                    [("method", "requestMethod"), ("url", "requestUrl"), ("responseStatusCode", "status")]
                {
                    if let Some(value) = request.get(ours) {
                        seen.insert(theirs.to_owned(), value.clone());
                    }
                }
                context.insert("httpRequest".to_owned(), Value::Object(seen));
            }
            put("context", Value::Object(context));
        }
        if let Some(request) = request {
            put("httpRequest", Value::Object(request));
        }
        // Added last, so that no field can replace one of the above.
        for (name, value) in fields {
            entry.entry(name).or_insert(value);
        }
        entry
    }
}

fn severity(level: Level) -> &'static str {
    if level == Level::ERROR {
        "ERROR"
    } else if level == Level::WARN {
        "WARNING"
    } else if level == Level::INFO {
        "INFO"
    } else {
        "DEBUG"
    }
}

/// Returns the labels for log-based metrics and alerts: task, outcome, upstream, queue and case.
fn labels(fields: &Map<String, Value>) -> Map<String, Value> {
    let is_label = |name: &str| {
        matches!(name, "task" | "outcome" | "upstream" | "queue.name" | "queue.task")
            || name.starts_with("case.")
    };
    let chosen = fields.iter().filter(|(name, _)| is_label(name));
    // A label must be a text, so fields of other types are left out.
    chosen.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into()))).collect()
}

/// Takes the fields of the request out of `fields`, named as in `HttpRequest` of `LogEntry`.
fn request(fields: &mut Map<String, Value>) -> Option<Map<String, Value>> {
    let mut request = Map::new();
    for (ours, theirs) in
        [("http.method", "requestMethod"), ("http.path", "requestUrl"), ("http.status", "status")]
    {
        if let Some(value) = fields.remove(ours) {
            request.insert(theirs.to_owned(), value);
        }
    }
    if let Some(seconds) = fields.remove("http.seconds").as_ref().and_then(Value::as_f64) {
        request.insert("latency".to_owned(), format!("{seconds:.6}s").into());
    }
    (!request.is_empty()).then_some(request)
}

impl<S, W> Layer<S> for CloudLogging<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        // Inner spans come last and override outer ones.
        for span in
            context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.0.extend(outer.0.clone());
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut line = Value::Object(self.entry(metadata, fields.0)).to_string();
        line.push('\n');
        // Written in one call, so that lines of two threads do not mix. A failure is ignored, since it cannot be logged.
        drop(self.writer.make_writer_for(metadata).write_all(line.as_bytes()));
    }
}

/// Fields of a span or an event, as JSON.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn text(&mut self, field: &Field, text: &str) {
        if JSON_FIELDS.contains(&field.name())
            && text.len() <= MAX_TEXT
            && let Ok(value @ Value::Object(_)) = serde_json::from_str(text)
        {
            return self.put(field, value);
        }
        match text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => {
                let (kept, rest) = text.split_at(end);
                self.put(field, format!("{kept}… ({} bytes left out)", rest.len()));
            }
            None => self.put(field, text),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.text(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use axum::http::{HeaderMap, Method};
    use tracing::Span;

    use super::*;
    use crate::clock::ManualClock;
    use crate::telemetry::request_span;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Lines {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    /// Returns the lines that are logged while `work` runs, parsed.
    fn logged(project: Option<&str>, work: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let source = LogSource {
            project: project.map(str::to_owned),
            service: "default".to_owned(),
            version: "7".to_owned(),
        };
        let clock = ManualClock::at("2026-03-01T10:00:00.000001Z".parse().unwrap());
        let layer = CloudLogging::new(source, clock, lines.clone()).with_filter(filter_fn(is_loggable));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_task_run_is_one_line_with_its_trace_its_request_and_its_counts() {
        let headers: HeaderMap = [
            ("x-cloud-trace-context", "105445aa7843bc8bf206b12000100000/74;o=1"),
            ("x-appengine-queuename", "poll-google"),
            ("x-appengine-taskname", "5b21-poll-google"),
            ("x-appengine-taskretrycount", "2"),
            ("authorization", "Bearer not-for-logs"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        let mut line = logged(Some("p"), || {
            request_span(&Method::POST, "/tasks/poll-google", &headers, &Span::none()).in_scope(|| {
                tracing::info!(
                    task = "poll-google",
                    outcome = "done",
                    task.seconds = 0.25,
                    task.result = r#"{"cases":3}"#,
                    "poll-google: {}",
                    "done"
                );
            });
        })
        .pop()
        .unwrap();
        let place = line["logging.googleapis.com/sourceLocation"].take();
        assert_eq!(place["file"], json!("src/telemetry/logs.rs"));
        assert_eq!(
            line,
            json!({
                "severity": "INFO",
                "time": "2026-03-01T10:00:00.000001Z",
                "message": "poll-google: done",
                "logging.googleapis.com/trace": "projects/p/traces/105445aa7843bc8bf206b12000100000",
                "logging.googleapis.com/spanId": "000000000000004a",
                "logging.googleapis.com/trace_sampled": true,
                "logging.googleapis.com/sourceLocation": null,
                "logging.googleapis.com/labels": {
                    "task": "poll-google", "outcome": "done", "queue.name": "poll-google", "queue.task": "5b21-poll-google",
                },
                "httpRequest": { "requestMethod": "POST", "requestUrl": "/tasks/poll-google" },
                "task": "poll-google",
                "outcome": "done",
                "task.seconds": 0.25,
                "task.result": { "cases": 3 },
                "queue.name": "poll-google",
                "queue.task": "5b21-poll-google",
                "queue.retry": "2",
            })
        );
    }

    #[test]
    fn severities_are_cloud_loggings_and_libraries_stay_quiet() {
        let lines = logged(None, || {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
            tracing::info!(target: "h2", "said");
            tracing::debug!(target: "h2", "a header");
            tracing::trace!(target: "casebridger", "not ours");
        });
        let said: Vec<_> = lines
            .iter()
            .map(|line| (line["severity"].as_str().unwrap(), line["message"].as_str().unwrap()))
            .collect();
        let expected = [
            ("ERROR", "e"),
            ("WARNING", "w"),
            ("INFO", "i"),
            ("DEBUG", "d"),
            ("DEBUG", "t"),
            ("INFO", "said"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_a_person_must_see_has_the_shape_of_error_reporting() {
        let lines = logged(None, || {
            request_span(&Method::POST, "/tasks/cleanup", &HeaderMap::new(), &Span::none()).in_scope(|| {
                tracing::error!(http.status = 500, "given up");
            });
            tracing::warn!("passes");
        });
        assert_eq!(lines[0]["@type"], json!(REPORTED_ERROR));
        assert_eq!(lines[0]["serviceContext"], json!({ "service": "default", "version": "7" }));
        let context = &lines[0]["context"];
        assert_eq!(
            context["httpRequest"],
            json!({ "method": "POST", "url": "/tasks/cleanup", "responseStatusCode": 500 })
        );
        assert_eq!(context["reportLocation"]["filePath"], json!("src/telemetry/logs.rs"));
        assert!(context["reportLocation"]["lineNumber"].is_u64());
        assert_eq!(context["reportLocation"]["functionName"], json!(module_path!()));
        assert!(lines[1].get("@type").is_none() && lines[1].get("context").is_none());
    }

    /// With one place for all panics, Error Reporting would group them as one error.
    #[test]
    fn a_panic_is_reported_where_it_was() {
        let lines = logged(None, || log_panic("src/sync/plan.rs", 7, None));
        let place = &lines[0]["context"]["reportLocation"];
        assert_eq!((&place["filePath"], &place["lineNumber"]), (&json!("src/sync/plan.rs"), &json!(7)));
        assert_eq!(lines[0]["message"], json!("a bug: panicked at src/sync/plan.rs:7"));
        assert_eq!(lines[0]["@type"], json!(REPORTED_ERROR));
    }

    #[test]
    fn whatever_a_field_holds_a_line_stays_one_object_on_one_line() {
        let long = "ü".repeat(MAX_TEXT + 1);
        let lines = logged(None, || {
            tracing::info!(
                severity = "CRITICAL",
                httpRequest = "forged",
                text = "one\ntwo\u{1b}[31m\0\u{2028}",
                number = f64::NAN,
                long,
                task.result = "{not json",
                error = &io::Error::other("broken") as &(dyn std::error::Error + 'static),
                "line\r\n{{\"severity\":\"ERROR\"}}"
            );
        });
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(line["severity"], json!("INFO"));
        assert_eq!(line["message"], json!("line\r\n{\"severity\":\"ERROR\"}"));
        assert_eq!(line["text"], json!("one\ntwo\u{1b}[31m\0\u{2028}"));
        assert_eq!(line["number"], Value::Null);
        assert!(line["long"].as_str().unwrap().ends_with("ü… (2 bytes left out)"));
        assert_eq!(line["task.result"], json!("{not json"));
        assert_eq!(line["error"], json!("broken"));
    }

    #[test]
    fn a_span_tells_its_lines_what_it_learns_later_and_the_innermost_wins() {
        let lines = logged(None, || {
            let outer = tracing::info_span!("outer", case.company_id = "1", step = tracing::field::Empty);
            let _outer = outer.enter();
            outer.record("step", "read");
            tracing::info!(step = "write", "a");
            tracing::info_span!("inner", case.company_id = "2").in_scope(|| tracing::info!("b"));
        });
        assert_eq!((&lines[0]["step"], &lines[0]["case.company_id"]), (&json!("write"), &json!("1")));
        assert_eq!((&lines[1]["step"], &lines[1]["case.company_id"]), (&json!("read"), &json!("2")));
        assert_eq!(lines[1]["logging.googleapis.com/labels"], json!({ "case.company_id": "2" }));
    }

    #[test]
    fn the_source_comes_from_app_engines_variables() {
        let source = LogSource::from_environment(|name| match name {
            "GOOGLE_CLOUD_PROJECT" => Some("p".to_owned()),
            "GAE_SERVICE" => Some("default".to_owned()),
            "GAE_VERSION" => Some(String::new()),
            _ => None,
        });
        assert_eq!((source.project.as_deref(), source.service.as_str()), (Some("p"), "default"));
        assert_eq!(source.version, env!("CARGO_PKG_VERSION"));
    }
}
