//! Every CRM's adapter against a server that is not a CRM, or that answers nonsense: each call ends with an error that says so. None
//! panics, takes nonsense for an empty answer, or follows a redirect.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use casebridge::cases::{
    ApiError, ApiErrorKind, Attachment, CaseSystem, Check, CheckStatus, Needs, NewAttachment, NewCase,
    NewComment, Placement, Visibility,
};
use casebridge::clock::{Clock as _, ManualClock};
use casebridge::crm::{CrmSettings, PriorityWords};
use casebridge::entities::Priority;
use casebridge::outbound::{NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use casebridge::sandbox::servicenow::{SandboxServiceNow, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskSettings};
use casebridge::telemetry::Metrics;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use casebridge_testkit::scripted::{Asked, Say, Scripted};

/// Kind of CRM in the configuration: its section, its words for priorities, and the ID of a case.
struct Kind {
    name: &'static str,
    section: &'static str,
    words: [&'static str; 5],
    id: &'static str,
}

const JIRA_WORDS: [&str; 5] = ["Highest", "High", "Medium", "Low", "Lowest"];

const KINDS: [Kind; 5] = [
    Kind { name: "jira", section: "project = \"SUP\"", words: JIRA_WORDS, id: "10001" },
    Kind {
        name: "jira",
        section: "project = \"SUP\"\ndeployment = \"data-center\"",
        words: JIRA_WORDS,
        id: "10001",
    },
    Kind { name: "zendesk", section: "", words: ["urgent", "high", "normal", "low", "low"], id: "1" },
    Kind {
        name: "servicenow",
        section: "user = \"casebridge\"",
        words: ["1", "2", "3", "4", "5"],
        id: "0123456789abcdef0123456789abcdef",
    },
    Kind {
        name: "request-tracker",
        section: "queue = \"Support\"\nuser = \"casebridge\"",
        words: ["100", "75", "50", "25", "0"],
        id: "1",
    },
];

impl Kind {
    fn connect(&self, base: &str, clock: &Arc<ManualClock>) -> Arc<dyn CaseSystem> {
        let settings = CrmSettings::read(self.name, self.section.parse().unwrap()).unwrap();
        let upstream = UpstreamSettings {
            name: settings.name(),
            base_url: base.parse().unwrap(),
            requests_per_minute: NonZeroU32::new(10_000_000).unwrap(),
            timeout: Duration::from_secs(20),
            retry: RetryPolicy {
                attempts: 2,
                first_pause: Duration::from_millis(1),
                longest_pause: Duration::from_millis(5),
            },
            download_hosts: Vec::new(),
        };
        let upstream =
            Upstream::new(upstream, Arc::new(NoCredentials), clock.clone(), Metrics::shared()).unwrap();
        let words = PriorityWords::new(self.words.map(str::to_owned)).unwrap();
        settings.connect(words, upstream, clock.clone())
    }
}

fn clock() -> Arc<ManualClock> {
    ManualClock::at("2026-07-01T12:00:00Z".parse().unwrap())
}

fn new_case() -> NewCase {
    NewCase {
        title: "A title".to_owned(),
        description: "A description".to_owned(),
        priority: Some(Priority::P1),
        counterpart: "organizations/1/cases/2".to_owned(),
        idempotency_key: "k".to_owned(),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    }
}

fn new_comment() -> NewComment {
    NewComment { body: "hello".to_owned(), visibility: Visibility::Internal, idempotency_key: "k".to_owned() }
}

fn new_attachment() -> NewAttachment {
    NewAttachment {
        filename: "a.txt".to_owned(),
        media_type: Some("text/plain".to_owned()),
        size: Some(3),
        content: Box::pin(stream::iter([Ok(Bytes::from_static(b"abc"))])),
        visibility: Visibility::Internal,
        idempotency_key: "k".to_owned(),
    }
}

type Outcomes = Vec<(&'static str, Option<ApiError>)>;

/// Makes each call that reads; returns its error, if any.
async fn reads(system: &dyn CaseSystem, id: &str, clock: &ManualClock) -> Outcomes {
    vec![
        ("search_updated", system.search_updated(clock.now() - chrono::Duration::minutes(5)).await.err()),
        ("get", system.get(id).await.err()),
        ("find_counterparts", system.find_counterparts("organizations/1/cases/2", None).await.err()),
        ("comments", system.comments(id, None).await.err()),
        ("attachments", system.attachments(id, None).await.err()),
    ]
}

/// Downloads a file to its end; returns the error, if any.
async fn download(system: &dyn CaseSystem, id: &str) -> Option<ApiError> {
    let attachment = Attachment {
        id: if id.len() == 32 { id.to_owned() } else { "7".to_owned() },
        filename: "a.txt".to_owned(),
        media_type: None,
        size: Some(3),
        author: String::new(),
        created_at: None,
        visibility: Visibility::Public,
        by_connector: None,
        comment: None,
    };
    match system.download(id, &attachment).await {
        Err(error) => Some(error),
        Ok(download) => download.content.filter_map(async |part| part.err()).collect::<Vec<_>>().await.pop(),
    }
}

/// Makes each call that writes; returns its error, if any.
async fn writes(system: &dyn CaseSystem, id: &str) -> Outcomes {
    vec![
        ("create", system.create(&new_case()).await.err()),
        ("link", system.link(id, "organizations/1/cases/3").await.err()),
        ("add_comment", system.add_comment(id, &new_comment()).await.err()),
        ("upload", system.upload(id, new_attachment()).await.err()),
        ("set_priority", system.set_priority(id, Priority::P0).await.err()),
        ("close", system.close(id).await.err()),
    ]
}

/// Text that is in every page and body, and must be in no error.
const CONTENT: &str = "whose words are nobody else's";

fn page() -> String {
    format!("<!DOCTYPE html><html><body><h1>Log in</h1><form>{CONTENT}</form></body></html>")
}

/// Returns responses that are no valid answers: name, status, headers, body.
fn nonsense() -> Vec<(&'static str, u16, &'static str, String)> {
    const JSON: &str = "content-type: application/json\r\n";
    const HTML: &str = "content-type: text/html; charset=utf-8\r\n";
    vec![
        ("a login page", 200, HTML, page()),
        ("a login page that claims to be JSON", 200, JSON, page()),
        ("nothing", 200, JSON, String::new()),
        ("no content", 204, "", String::new()),
        ("null", 200, JSON, "null".to_owned()),
        ("a list", 200, JSON, "[]".to_owned()),
        ("an object", 200, JSON, "{}".to_owned()),
        ("somebody else's object", 200, JSON, json!({"status": "ok", "data": [CONTENT]}).to_string()),
        ("a text", 200, JSON, json!(CONTENT).to_string()),
        ("a number", 200, JSON, "1e999".to_owned()),
        (
            "other types",
            200,
            JSON,
            json!({"issues": CONTENT, "comments": {}, "results": 7, "tickets": true, "items": "x", "result": "x",
                   "ticket": [], "user": [], "ticket_fields": {}, "fields": CONTENT, "id": {}})
            .to_string(),
        ),
        ("half an object", 200, JSON, "{\"issues\": [{\"id\": \"1".to_owned()),
        ("a bottomless list", 200, JSON, "[".repeat(60_000)),
        ("bytes", 200, "content-type: application/octet-stream\r\n", "\u{1}\u{2}\u{fffd}".repeat(9)),
        ("a redirect to a login page", 302, "location: /login\r\n", page()),
        ("a redirect elsewhere", 302, "location: http://127.0.0.1:9/login\r\n", page()),
        ("a redirect to itself", 307, "location: \r\n", String::new()),
        ("401 with a page", 401, HTML, page()),
        ("403 with a page", 403, HTML, page()),
        ("500 with a page", 500, HTML, page()),
        ("503 for a day", 503, "retry-after: 86400\r\n", page()),
        ("429 without a word", 429, "", String::new()),
    ]
}

/// Reports if a body is a valid answer to a change.
fn body_of_a_change(body: &str) -> bool {
    body.is_empty() || serde_json::from_str::<Value>(body).is_ok_and(|value| value.is_object())
}

fn complain(kind: &Kind, what: &str, call: &str, error: Option<&ApiError>) -> Option<String> {
    let place = format!("{} ({}), {what}, {call}", kind.name, kind.section);
    let Some(error) = error else { return Some(format!("{place}: taken for an answer")) };
    if error.to_string().contains("nobody else's") {
        return Some(format!("{place}: content in the error: {error}"));
    }
    if error.message.trim().is_empty() || error.kind == ApiErrorKind::NotFound {
        return Some(format!("{place}: {error:?}"));
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_none_is_an_error_of_every_call_and_never_an_empty_list() {
    let mut complaints = Vec::new();
    for kind in &KINDS {
        for (what, status, headers, body) in nonsense() {
            let clock = clock();
            let said = body.clone();
            let server = Scripted::new(move |_, _| Say::status(status, headers, &body)).await;
            let system = kind.connect(server.url.as_str(), &clock);
            let outcomes = tokio::time::timeout(Duration::from_mins(5), async {
                let mut outcomes = reads(system.as_ref(), kind.id, &clock).await;
                outcomes.extend(writes(system.as_ref(), kind.id).await);
                outcomes
            });
            let outcomes = outcomes.await.expect("every call ends");
            // Jira answers a change without content, or with the changed object, so `set_priority` may succeed here.
            let said_so = kind.name == "jira" && (body_of_a_change(&said) || status == 204);
            complaints.extend(
                outcomes
                    .iter()
                    .filter(|(call, _)| !(said_so && *call == "set_priority"))
                    .filter_map(|(call, error)| complain(kind, what, call, error.as_ref())),
            );
            // Only a download may follow a redirect, and only within the CRM.
            let followed = server.asked().iter().any(|asked| asked.target.starts_with("/login"));
            assert!(!followed, "{}: {what}: a redirect was followed", kind.name);
            let error = download(system.as_ref(), kind.id).await;
            complaints.extend(complain(kind, what, "download", error.as_ref()));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_such_a_server_fails_and_says_where_to_look() {
    for kind in &KINDS {
        for (what, status, headers, body) in nonsense() {
            let clock = clock();
            let server = Scripted::new(move |_, _| Say::status(status, headers, &body)).await;
            let system = kind.connect(server.url.as_str(), &clock);
            let checks = system.check(Needs::all(Visibility::Internal)).await;
            let first = checks[0].result().expect_err(what);
            let advice = [
                "company.base_url",
                &format!("company.{}.", kind.name),
                "check base_url",
                "give the connector's user a role",
            ];
            assert!(advice.iter().any(|part| first.contains(part)), "{}: {what}: {first}", kind.name);
            assert!(!format!("{checks:?}").contains("nobody else's"), "{}: {what}", kind.name);
        }
    }
}

/// Answer to writes in place of the CRM's own, if any: status, header and body.
type Instead = Option<(u16, &'static str, String)>;

/// CRM that works correctly until its writes get another answer.
struct Mad(Arc<Mutex<Instead>>);

impl Mad {
    fn becomes(&self, answer: Instead) {
        *self.0.lock().unwrap() = answer;
    }
}

async fn mad(router: axum::Router) -> (String, Mad) {
    let answer: Arc<Mutex<Instead>> = Arc::default();
    let said = Arc::clone(&answer);
    let layer = middleware::from_fn(move |request: Request, next: Next| {
        let said = said.lock().unwrap().clone();
        async move {
            match said {
                Some(said) if request.method() != Method::GET => instead(said),
                _ => next.run(request).await,
            }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router.layer(layer)).await.unwrap() });
    (base, Mad(answer))
}

fn instead((status, headers, body): (u16, &'static str, String)) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    if let Some((name, value)) = headers.trim_end().split_once(": ") {
        response
            .headers_mut()
            .insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_got_no_answer_of_the_crms_is_not_taken_for_done() {
    let clock = clock();
    let jira = SandboxJira::new(clock.clone(), SandboxJiraSettings::default());
    let zendesk = SandboxZendesk::new(clock.clone(), SandboxZendeskSettings::default());
    let servicenow = SandboxServiceNow::new(clock.clone(), SandboxServiceNowSettings::default());
    let mut complaints = Vec::new();
    for (kind, router) in
        [(&KINDS[0], jira.router()), (&KINDS[2], zendesk.router()), (&KINDS[3], servicenow.router())]
    {
        let (base, crm) = mad(router).await;
        let system = kind.connect(&base, &clock);
        let id = system.create(&new_case()).await.unwrap().id;
        for (what, status, headers, body) in nonsense() {
            // Skip answers without content: Jira answers a change that was made in this way.
            if status == 204 || (status == 200 && !headers.contains("html")) {
                continue;
            }
            // Zendesk limits the updates of a ticket in ten minutes.
            clock.advance(chrono::Duration::minutes(10));
            crm.becomes(Some((status, headers, body)));
            // Some of it asks for a pause, which a client keeps.
            let system = kind.connect(&base, &clock);
            let outcomes = writes(system.as_ref(), &id).await;
            complaints.extend(
                outcomes
                    .iter()
                    // An existing case needs no write: Zendesk finds it by its external ID.
                    .filter(|(call, error)| !(*call == "create" && error.is_none()))
                    .filter_map(|(call, error)| complain(kind, what, call, error.as_ref())),
            );
            if status == 200 {
                let sure = outcomes.iter().filter_map(|(call, error)| {
                    let error = error.as_ref().filter(|error| !error.may_have_happened())?;
                    // Zendesk gets the file first and attaches it to the ticket afterwards, so an error of the first step is certain.
                    if kind.name == "zendesk" && *call == "upload" {
                        return None;
                    }
                    Some(format!(
                        "{}, {what}, {call}: said for sure that it did not happen: {error}",
                        kind.name
                    ))
                });
                complaints.extend(sure);
            }
        }
        crm.becomes(None);
        clock.advance(chrono::Duration::minutes(10));
        assert_eq!(system.comments(&id, None).await.unwrap(), [], "{}: nothing was written", kind.name);
        system.add_comment(&id, &new_comment()).await.unwrap();
        system.close(&id).await.unwrap();
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Answers as a server whose lists never end: it sends the same page again and again, and always announces another one.
fn circle(kind: &str, asked: &Asked, number: usize) -> Say {
    let path = asked.target.split('?').next().unwrap();
    let time = "2026-07-01T11:59:30.000+0000";
    let body: Value = match (kind, path) {
        ("jira", path) if path.ends_with("/field") => json!([
            {"id": "customfield_1", "name": "synchronizeWithGoogleCloudSupport", "schema": {"type": "array", "items": "option"}},
            {"id": "customfield_2", "name": "custom_field_google_name", "schema": {"type": "string"}},
        ]),
        ("jira", path) if path.ends_with("/myself") => {
            json!({"accountId": "1", "name": "bot", "timeZone": "Etc/UTC"})
        }
        ("jira", path) if path.ends_with("/comment") => {
            let comments: Vec<Value> = (0..50)
                .map(|id| json!({"id": id.to_string(), "body": "b", "created": time, "author": {"accountId": "2"}}))
                .collect();
            json!({"comments": comments, "total": 1_000_000})
        }
        ("jira", path) if path.contains("/search") => {
            let issues: Vec<Value> =
                (0..50).map(|id| json!({"id": id.to_string(), "fields": {"updated": time}})).collect();
            // A cycle of two page tokens.
            json!({"issues": issues, "total": 1_000_000, "nextPageToken": format!("t{}", number % 2)})
        }
        ("jira", _) => json!({"id": "10001", "fields": {}}),
        ("zendesk", "/api/v2/users/me") => json!({"user": {"id": 1, "name": "Bot", "role": "admin"}}),
        ("zendesk", "/api/v2/ticket_fields") => json!({"ticket_fields": [
            {"id": 1, "type": "checkbox", "title": "synchronizeWithGoogleCloudSupport", "active": true},
            {"id": 2, "type": "text", "title": "custom_field_google_name", "active": true},
        ]}),
        ("zendesk", _) => {
            json!({"results": [], "meta": {"has_more": true, "after_cursor": format!("c{}", number % 2)}})
        }
        ("servicenow", _) => {
            let records: Vec<Value> = (0..20)
                .map(|id| {
                    json!({
                        "sys_id": format!("{id:032x}"), "u_synchronize_with_google_cloud_support": "true",
                        "u_google_case_name": "", "sys_updated_on": "2026-07-01 11:59:30",
                        "sys_created_on": "2026-07-01 11:59:30", "element": "comments", "value": "x",
                        "element_id": "0123456789abcdef0123456789abcdef", "sys_created_by": "jane",
                    })
                })
                .collect();
            let body = json!({"result": records}).to_string();
            return Say::status(200, "content-type: application/json\r\nx-total-count: 100000000\r\n", &body);
        }
        ("request-tracker", path) if path.contains("/queue/") => json!({"id": 1, "TicketCustomFields": [
            {"id": "1", "name": "synchronizeWithGoogleCloudSupport"}, {"id": "2", "name": "custom_field_google_name"},
        ]}),
        ("request-tracker", "/REST/2.0/ticket/1") => {
            json!({"id": 1, "EffectiveId": {"id": "1"}, "Status": "open"})
        }
        (_, _) => {
            let items: Vec<Value> = (0..100)
                .map(|id| json!({"id": id, "Type": "Comment", "Created": "2026-07-01T11:59:30Z"}))
                .collect();
            json!({"items": items})
        }
    };
    Say::json(&body.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_that_lead_in_a_circle_end_with_an_error() {
    for kind in &KINDS {
        let clock = clock();
        let name = kind.name;
        let server = Scripted::new(move |number, asked| circle(name, asked, number)).await;
        let system = kind.connect(server.url.as_str(), &clock);
        let since = clock.now() - chrono::Duration::minutes(5);
        for (call, error) in [
            ("search_updated", system.search_updated(since).await.err()),
            ("comments", system.comments(kind.id, None).await.err()),
        ] {
            let error = error.unwrap_or_else(|| panic!("{name} ({}): {call} ended", kind.section));
            assert_eq!(error.kind, ApiErrorKind::Unreadable, "{name}: {call}: {error}");
        }
        let asked = server.asked().len();
        assert!(asked < 700, "{name} ({}) asked {asked} times", kind.section);
    }
}

/// Call that fails, with the answer to it.
struct Failure {
    call: &'static str,
    status: u16,
    body: &'static str,
    /// Remedy, for each of [`KINDS`].
    remedies: [Option<&'static str>; KINDS.len()],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_ends_with_what_to_do() {
    let screen = r#"{"errorMessages": [], "errors": {"priority": "Field 'priority' cannot be set. It is not on the appropriate screen."}}"#;
    let servicenow = Some("give the connector's user a role that reads the table");
    let network = [
        Some("), and whether Jira can be reached from here (docs/networks.md)"),
        Some("), and whether Jira can be reached from here (docs/networks.md)"),
        Some("), the network (docs/networks.md) and Zendesk's status page"),
        Some("whether the instance is awake"),
        Some("whether Request Tracker can be reached from here (docs/networks.md)"),
    ];
    let failures = [
        Failure {
            call: "search",
            status: 401,
            body: "",
            remedies: [
                Some(
                    "no credentials are configured: give company.jira.client_id and company.jira.client_secret",
                ),
                Some("no credentials are configured: give company.jira.personal_access_token"),
                Some(
                    "no credentials are configured: give company.zendesk.client_id and company.zendesk.client_secret",
                ),
                Some(
                    "no credentials are configured: give company.servicenow.client_id and company.servicenow.client_secret",
                ),
                Some("no credentials are configured: give company.request-tracker.token"),
            ],
        },
        Failure {
            call: "comment",
            status: 403,
            body: "",
            remedies: [
                Some("grant the connector's user \"Add Comments\" in the permission scheme of project SUP"),
                Some("grant the connector's user \"Add Comments\" in the permission scheme of project SUP"),
                Some("make the connector's user an agent who sees all tickets"),
                servicenow,
                // It reads the ticket before it comments.
                Some("the connector's user may not see this ticket: grant ShowTicket on its queue"),
            ],
        },
        Failure {
            call: "priority",
            status: 403,
            body: "",
            remedies: [
                Some("\"Edit Issues\""),
                Some("\"Edit Issues\""),
                Some("make the connector's user an agent who sees all tickets"),
                servicenow,
                Some("grant ShowTicket on its queue"),
            ],
        },
        Failure {
            call: "priority",
            status: 400,
            body: screen,
            remedies: [
                Some("put the field on the create and edit screens of project SUP"),
                Some("put the field on the create and edit screens of project SUP"),
                None,
                None,
                None,
            ],
        },
        Failure { call: "search", status: 503, body: "", remedies: network },
        Failure { call: "comment", status: 500, body: "", remedies: network },
        // The next attempt is what helps, and no person.
        Failure { call: "comment", status: 429, body: "", remedies: [None; KINDS.len()] },
    ];
    for Failure { call, status, body, remedies } in failures {
        for (kind, remedy) in KINDS.iter().zip(remedies) {
            let clock = clock();
            let server = Scripted::new(move |_, _| {
                Say::status(
                    status,
                    "content-type: application/json\r\n",
                    if body.is_empty() { "{}" } else { body },
                )
            })
            .await;
            let system = kind.connect(server.url.as_str(), &clock);
            let error = match call {
                "search" => system.search_updated(clock.now()).await.map(drop),
                "comment" => system.add_comment(kind.id, &new_comment()).await.map(drop),
                _ => system.set_priority(kind.id, Priority::P1).await,
            };
            let error = error.unwrap_err();
            let text = error.to_string();
            match remedy {
                Some(remedy) => {
                    assert!(text.contains(&format!("(HTTP {status}); ")) && text.contains(remedy), "{text}");
                }
                None => assert_eq!(error.hint, None, "{text}"),
            }
            assert!(!error.message.contains("company."), "a notice on a case would repeat it: {error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_and_the_calls_of_a_sync_advise_the_same() {
    for kind in &KINDS {
        for status in [401, 503] {
            let clock = clock();
            let server = Scripted::new(move |_, _| Say::status(status, "", "{}")).await;
            let system = kind.connect(server.url.as_str(), &clock);
            let checks = system.check(Needs::all(Visibility::Internal)).await;
            let hint = checks[0].hint.clone();
            assert!(hint.is_some(), "{}: {checks:?}", kind.name);
            for (call, error) in reads(system.as_ref(), kind.id, &clock).await {
                assert_eq!(error.expect(call).hint, hint, "{}: {call}, {status}", kind.name);
            }
        }
    }
}

/// Request Tracker with one queue and no ticket, whose custom fields have these names. Searches of tickets answer with a status.
async fn request_tracker(fields: &'static [&'static str], tickets: u16) -> Vec<Check> {
    let answer = move |_: usize, asked: &Asked| {
        let path = asked.target.split('?').next().unwrap_or_default();
        let body = match path {
            "/REST/2.0/rt" => json!({"Version": "5.0.3"}),
            "/REST/2.0/user/casebridge" => json!({"id": "1", "Name": "casebridge", "Memberships": []}),
            "/REST/2.0/queue/Support" => json!({
                "id": 1, "Name": "Support", "_hyperlinks": [{"ref": "create"}],
                "TicketCustomFields": fields.iter().map(|name| json!({"id": name, "name": name})).collect::<Vec<_>>(),
            }),
            "/REST/2.0/customfield/custom_field_google_name" => json!({"Type": "Freeform", "MaxValues": "1"}),
            path if path.starts_with("/REST/2.0/customfield/") => {
                json!({"Type": "Select", "MaxValues": "1", "Values": ["true"]})
            }
            "/REST/2.0/tickets" if tickets != 200 => return Say::status(tickets, "", "{}"),
            _ => json!({"items": [], "total": 0, "count": 0, "pages": 0, "page": 1, "per_page": 1}),
        };
        Say::json(&body.to_string())
    };
    let server = Scripted::new(answer).await;
    let (clock, needs) = (clock(), Needs::all(Visibility::Internal));
    let system = KINDS[4].connect(server.url.as_str(), &clock);
    casebridge::tasks::check_system(system.as_ref(), needs, clock.now()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_mistake_in_request_tracker_is_one_failed_line() {
    const BOTH: &[&str] = &["synchronizeWithGoogleCloudSupport", "custom_field_google_name"];
    let failed = |checks: &[Check]| -> Vec<String> {
        let failed = checks.iter().filter(|check| check.status == CheckStatus::Failed);
        failed.map(|check| check.what.clone()).collect()
    };
    let sound = request_tracker(BOTH, 200).await;
    assert!(failed(&sound).is_empty(), "{sound:#?}");
    let checks = request_tracker(&BOTH[1..], 200).await;
    let line = format!("Request Tracker: field {}", BOTH[0]);
    assert_eq!(failed(&checks), [line.as_str()], "{checks:#?}");
    for what in ["search for flagged cases", "statuses that are closed"] {
        let check = checks.iter().find(|check| check.what.ends_with(what)).unwrap();
        assert_eq!(check.text(), format!("not tried; see the line {line:?}"));
    }
    let checks = request_tracker(BOTH, 403).await;
    assert_eq!(failed(&checks), ["Request Tracker: search for flagged cases"], "{checks:#?}");
}
