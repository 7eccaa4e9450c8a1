//! Traces of the real binary: a receiver that reads OTLP, and a service that syncs a case and sends them to it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::routing::post;
use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraAuth, SandboxJiraSettings};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use serde_json::json;

use crate::service::{Process, binary, client, free_port, listen, read_log, until};

/// Texts that no trace may hold: of the case, of people, and of the connector's secrets.
pub const HIDDEN: &[&str] = &[TITLE, DESCRIPTION, COMMENT, REPLY, FILE, AUTHOR, MAIL, JIRA_TOKEN, ADMIN];
const TITLE: &str = "title-that-leaves-no-trace";
const DESCRIPTION: &str = "description-that-leaves-no-trace";
const COMMENT: &str = "comment-that-leaves-no-trace";
const REPLY: &str = "reply-that-leaves-no-trace";
const FILE: &str = "file-that-leaves-no-trace";
const AUTHOR: &str = "Person-That-Leaves-No-Trace";
const MAIL: &str = "bot-that-leaves-no-trace";
const JIRA_TOKEN: &str = "jira-token-that-leaves-no-trace";
const ADMIN: &str = "admin-token-that-leaves-no-trace";

/// Trace and span of the caller that asks for the sync.
pub const CALLER: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT` (opentelemetry/proto/trace/v1/trace.proto).
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// A span as it was received.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: i32,
    pub failed: bool,
    pub events: usize,
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the service that sent it.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

fn plain(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    }
}

fn map(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let count = attributes.len();
    let map: BTreeMap<String, String> =
        attributes.into_iter().map(|pair| (pair.key, plain(pair.value))).collect();
    assert_eq!(map.len(), count, "an attribute stands once: {map:?}");
    map
}

/// Takes traces, and keeps them.
#[derive(Clone, Default)]
pub struct Receiver(Arc<Received>);

#[derive(Default)]
struct Received {
    bodies: Mutex<Vec<Bytes>>,
    requests: AtomicUsize,
    refuses: AtomicBool,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.0.requests.fetch_add(1, Ordering::Relaxed);
    if receiver.0.refuses.load(Ordering::Relaxed) {
        return StatusCode::BAD_REQUEST;
    }
    // A collector in between may compress, whatever it is told.
    let body = if headers.contains_key(CONTENT_ENCODING) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        plain.into()
    } else {
        body
    };
    receiver.0.bodies.lock().unwrap().push(body);
    StatusCode::OK
}

impl Receiver {
    /// Begins to listen; returns the endpoint.
    pub async fn start(&self) -> String {
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        format!("http://{}", listen(router).await)
    }

    /// Number of requests, refused ones as well.
    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Relaxed)
    }

    pub fn refuse(&self, refuses: bool) {
        self.0.refuses.store(refuses, Ordering::Relaxed);
    }

    pub fn spans(&self) -> Vec<Span> {
        let bodies = self.0.bodies.lock().unwrap().clone();
        let mut spans = Vec::new();
        for body in bodies {
            for group in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                let resource = map(group.resource.unwrap().attributes);
                for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    spans.push(Span {
                        trace: hex(&span.trace_id),
                        id: hex(&span.span_id),
                        parent: hex(&span.parent_span_id),
                        name: span.name,
                        kind: span.kind,
                        failed: span.status.is_some_and(|status| status.code == 2),
                        events: span.events.len(),
                        attributes: map(span.attributes),
                        resource: resource.clone(),
                    });
                }
            }
        }
        spans
    }

    /// True if a text stands anywhere in what was received.
    pub fn holds(&self, text: &str) -> bool {
        let bodies = self.0.bodies.lock().unwrap();
        bodies.iter().any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The service between both systems, in an environment that names a collector.
pub struct Traced {
    csapi: SandboxCsapi,
    jira: SandboxJira,
    /// Number of calls to a system that carried the context of a trace.
    told: Arc<AtomicUsize>,
    port: u16,
    process: Process,
    lines: JoinHandle<Vec<String>>,
    _folder: tempfile::TempDir,
}

/// Case that was synced.
pub struct Synced {
    pub google: String,
    pub company: String,
}

/// Counts the requests with the context of a trace.
async fn listened(router: Router, told: &Arc<AtomicUsize>) -> SocketAddr {
    let told = Arc::clone(told);
    let count = move |request: Request, next: Next| {
        if ["traceparent", "tracestate", "baggage"].iter().any(|name| request.headers().contains_key(*name)) {
            told.fetch_add(1, Ordering::Relaxed);
        }
        next.run(request)
    };
    listen(router.layer(axum::middleware::from_fn(count))).await
}

impl Traced {
    /// Starts it, with these variables in its environment.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
        let auth = SandboxJiraAuth::Basic { email: MAIL.to_owned(), token: JIRA_TOKEN.to_owned() };
        let settings = SandboxJiraSettings { auth, ..SandboxJiraSettings::default() };
        let jira = SandboxJira::new(Arc::new(SystemClock), settings);
        let told = Arc::default();
        let google = listened(csapi.router(), &told).await;
        let company = listened(jira.router(), &told).await;
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = folder.path().join("casebridge.toml");
        std::fs::write(
            &config,
            format!(
                r#"
server = {{ listen = "127.0.0.1:{port}", admin_token = "env:ADMIN", log_format = "text" }}
google = {{ parent = "organizations/123", base_url = "http://{google}", auth = "none", classification_id = "{CLASSIFICATION_ID}" }}
company = {{ kind = "jira", base_url = "http://{company}", jira = {{ project = "SUP", email = "{MAIL}", api_token = "env:JIRA" }} }}
store = {{ url = "sqlite:{}" }}
queue = {{ cron = false }}
"#,
                folder.path().join("casebridge.db").display()
            ),
        )
        .unwrap();
        let mut child = Command::new(binary())
            .args(["--config", config.to_str().unwrap(), "serve"])
            .envs([("ADMIN", ADMIN), ("JIRA", JIRA_TOKEN), ("RUST_LOG", "info")])
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (listens, lines) = read_log(child.stderr.take().unwrap());
        let process = Process(child);
        tokio::task::spawn_blocking(move || listens.recv().expect("the service starts")).await.unwrap();
        Self { csapi, jira, told, port, process, lines, _folder: folder }
    }

    /// Runs a task within the caller's trace, and returns its report.
    pub async fn task(&self, task: &str, body: String) -> serde_json::Value {
        let (trace, span) = CALLER;
        let request = client()
            .post(format!("http://127.0.0.1:{}/tasks/{task}", self.port))
            .bearer_auth(ADMIN)
            .header("traceparent", format!("00-{trace}-{span}-01"));
        let request = if body.is_empty() { request } else { request.body(body) };
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Has a case carried to the other side, and then a comment and a file within the caller's trace; the first call to the company's side is
    /// refused once.
    pub async fn sync(&self) -> Synced {
        let google = self.csapi.create_case(NewCase {
            parent: "organizations/123".to_owned(),
            display_name: TITLE.to_owned(),
            description: DESCRIPTION.to_owned(),
            priority: Priority::P2,
            author: Author::customer(AUTHOR),
        });
        let google = google.unwrap().name;
        let polled = client()
            .post(format!("http://127.0.0.1:{}/tasks/poll-google", self.port))
            .bearer_auth(ADMIN)
            .send()
            .await
            .unwrap();
        assert!(polled.status().is_success());
        let copied = || !self.jira.issues().is_empty() && !self.csapi.comments(&google).unwrap().is_empty();
        until("the case is carried", copied).await;
        let company = self.jira.issues()[0].id.clone();

        self.csapi.add_comment(&google, Author::customer(AUTHOR), COMMENT).unwrap();
        let file = format!("{FILE}.txt");
        self.csapi.attach(&google, Author::customer(AUTHOR), &file, "text/plain", REPLY.as_bytes()).unwrap();
        let busy =
            Effect::ErrorBefore { status: 503, body: Some(json!({ "errorMessages": [TITLE] }).to_string()) };
        self.jira.faults().add(Fault::always(busy).on("GET", "/rest/api/2/issue/").times(1));
        let body = json!({ "case_name": google }).to_string();
        let report = self.task("sync-google-case", body).await;
        assert_eq!(report["outcome"], json!("done"), "{report}");
        let carried: Vec<&str> =
            report["carried"].as_array().unwrap().iter().filter_map(|item| item["kind"].as_str()).collect();
        assert!(carried.contains(&"comment") && carried.contains(&"attachment"), "{report}");
        Synced { google, company }
    }

    /// Number of calls to a system that carried the context of a trace.
    pub fn told(&self) -> usize {
        self.told.load(Ordering::Relaxed)
    }

    /// Stops it as a platform does; returns what it logged.
    pub async fn stop(self) -> Vec<String> {
        let Self { mut process, lines, .. } = self;
        process.signal("-TERM");
        let stopped = move || {
            assert!(process.0.wait().unwrap().success());
            lines.join().unwrap()
        };
        tokio::task::spawn_blocking(stopped).await.unwrap()
    }
}

/// Holds what was received to what a trace of that sync has to be, and may not hold.
pub fn assert_the_sync_is_one_trace(receiver: &Receiver, synced: &Synced) {
    let all = receiver.spans();
    for span in &all {
        assert_eq!(span.resource.get("service.name").map(String::as_str), Some("casebridge"), "{span:?}");
        assert_eq!(span.events, 0, "{span:?}");
    }
    for hidden in HIDDEN {
        assert!(!receiver.holds(hidden), "{hidden}: {all:#?}");
    }
    let (trace, caller) = CALLER;
    let spans: Vec<&Span> = all.iter().filter(|span| span.trace == trace).collect();
    let of =
        |parent: &str| spans.iter().filter(move |span| span.parent == parent).copied().collect::<Vec<_>>();

    let [request] = of(caller)[..] else { panic!("one span is the caller's child: {spans:#?}") };
    assert_eq!((request.name.as_str(), request.kind), ("POST /tasks/{task}", SERVER));
    assert_eq!(request.get("http.response.status_code"), Some("200"));
    let [task] = of(&request.id)[..] else { panic!("the request runs one task: {spans:#?}") };
    for (name, value) in [
        ("casebridge.task", "sync-google-case"),
        ("casebridge.outcome", "done"),
        ("casebridge.google_case", synced.google.as_str()),
        ("casebridge.company_case", synced.company.as_str()),
    ] {
        assert_eq!(task.get(name), Some(value), "{task:?}");
    }
    assert!(!task.failed);
    // Every other span hangs together with these two.
    let is_known = |id: &str| spans.iter().any(|span| span.id == id);
    assert!(spans.iter().all(|span| span.id == request.id || is_known(&span.parent)), "{spans:#?}");

    let step = |what: &str| {
        let found = of(&task.id).into_iter().find(|span| span.get("casebridge.step") == Some(what));
        found.unwrap_or_else(|| panic!("no step carries {what}: {spans:#?}"))
    };
    let written = of(&step("comments").id);
    let written = written.iter().find(|span| span.name == "POST /rest/api/2/issue/{id}/comment").unwrap();
    assert_eq!(written.kind, CLIENT);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "201"),
        ("server.address", "127.0.0.1"),
        ("url.template", "/rest/api/2/issue/{id}/comment"),
        ("casebridge.upstream", "Jira"),
    ] {
        assert_eq!(written.get(name), Some(value), "{written:?}");
    }
    assert_eq!(written.get("http.request.resend_count"), None);
    assert!(!of(&step("files").id).is_empty(), "{spans:#?}");

    // The refused call, and its repetition.
    let refused: Vec<&Span> = spans.iter().filter(|span| span.failed).copied().collect();
    let [refused] = refused[..] else { panic!("one call failed: {refused:#?}") };
    assert_eq!(
        (refused.get("error.type"), refused.get("http.response.status_code")),
        (Some("503"), Some("503"))
    );
    let repeated = spans.iter().find(|span| span.get("http.request.resend_count") == Some("1")).unwrap();
    assert_eq!((&repeated.name, repeated.failed), (&refused.name, false));
    for call in spans.iter().filter(|span| span.kind == CLIENT) {
        // A redirect has none.
        let template = call.get("url.template").unwrap_or_default();
        assert!(!template.contains("123") && !template.contains(&synced.company), "{call:?}");
    }
}
