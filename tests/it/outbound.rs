//! Guarantees for every client when it calls its upstream (`R21`, `R17`, `R25`).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use casebridge::cases::{ApiError, ApiErrorKind, ByteStream};
use casebridge::clock::ManualClock;
use casebridge::crm::CrmKind as _;
use casebridge::crm::jira::JiraSettings;
use casebridge::crm::servicenow::ServiceNowSettings;
use casebridge::crm::zendesk::ZendeskSettings;
use casebridge::outbound::{
    Announced, Body, Call, Credentials, Dialect, NoCredentials, RetryPolicy, Upstream, UpstreamSettings,
    basic, bearer,
};
use casebridge::sandbox::csapi::SandboxCsapi;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use casebridge::sandbox::servicenow::{SandboxServiceNow, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskSettings};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::time::Instant;

use casebridge_testkit::harness::log::Log;
use casebridge_testkit::harness::serve;
use casebridge_testkit::scripted::{Say, Scripted};

const NOT_JSON: &str = "<html>secret content</html>";

fn settings(base_url: &Url) -> UpstreamSettings {
    UpstreamSettings {
        name: "Test",
        base_url: base_url.clone(),
        requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
        timeout: Duration::from_secs(5),
        retry: RetryPolicy {
            attempts: 3,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_secs(1),
        },
        download_hosts: Vec::new(),
    }
}

/// Returns a time four fifths of a second after a full one, so that a date can be a fraction of a second away.
fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-03-01T12:00:00.8Z").unwrap().with_timezone(&Utc)
}

fn upstream_with(settings: UpstreamSettings, credentials: impl Credentials + 'static) -> Upstream {
    Upstream::new(settings, Arc::new(credentials), ManualClock::at(now()), Metrics::shared()).unwrap()
}

fn upstream(server: &Scripted) -> Upstream {
    upstream_with(settings(&server.url), NoCredentials)
}

fn get() -> Call {
    Call::get("/thing")
}

/// Returns an announced file of which only the download hosts are known.
fn file() -> Announced<'static> {
    Announced {
        call: "GET file 7".to_owned(),
        filename: "a.bin",
        media_type: None,
        size: None,
        paths: &["/thing", "/other", "/again"],
    }
}

fn post() -> Call {
    Call::post("/things", json!({ "a": 1 }))
}

/// Returns a stream of these pieces, each after a pause.
fn pieces(pieces: Vec<Result<&'static str, ApiError>>, pause: Duration) -> ByteStream {
    Box::pin(stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        piece.map(Bytes::from)
    }))
}

fn source_failed() -> ApiError {
    ApiError::new(ApiErrorKind::Uncertain, "Source", "GET /file", "the download broke off")
}

async fn all(content: ByteStream) -> Result<Vec<u8>, ApiError> {
    content
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

#[tokio::test]
async fn each_attempt_of_a_call_is_a_span_with_its_system_call_attempt_and_status_and_no_query() {
    let server = Scripted::answers(vec![Say::status(503, "", ""), Say::json("{}")]).await;
    let log = Log::default();
    let listening = log.capture(ManualClock::at(now()));
    let call = Call::get("/case/7").query("search", "words of a person");
    upstream(&server).read::<Value>(call).await.unwrap();
    drop(listening);
    let lines: Vec<Value> = log.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let attempts: Vec<Value> = lines
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|message| message.starts_with("upstream call: ")))
        .map(|line| {
            json!([
                line["upstream.system"],
                line["upstream.call"],
                line["upstream.attempt"],
                line["upstream.status"]
            ])
        })
        .collect();
    let expected = [json!(["Test", "GET /case/7", 1, "503"]), json!(["Test", "GET /case/7", 2, "200"])];
    assert_eq!(attempts, expected, "{}", log.text());
    assert!(!log.text().contains("words"), "{}", log.text());
}

#[tokio::test]
async fn a_call_is_tried_again_only_where_that_is_safe_and_may_help() {
    let broken = Say::raw(format!("{}content-length: 100\r\n\r\n{{\"a\"", Say::head(200, "")));
    let cut = Say::raw(format!("{}transfer-encoding: chunked\r\n\r\n4\r\n{{\"a\"\r\n", Say::head(200, "")));
    let status = |status| Say::status(status, "", "{}");
    // Name, answer, expected kind, and the number of requests for a read and for a write.
    for (what, say, kind, reads, writes) in [
        ("500", status(500), ApiErrorKind::Uncertain, 3, 1),
        ("502", status(502), ApiErrorKind::Uncertain, 3, 1),
        ("503", status(503), ApiErrorKind::Uncertain, 3, 1),
        ("504", status(504), ApiErrorKind::Uncertain, 3, 1),
        ("408", status(408), ApiErrorKind::Uncertain, 3, 1),
        ("429", status(429), ApiErrorKind::NotApplied, 3, 3),
        ("409", status(409), ApiErrorKind::NotApplied, 3, 3),
        ("400", status(400), ApiErrorKind::Refused, 1, 1),
        ("401", status(401), ApiErrorKind::Unauthorized, 1, 1),
        ("403", status(403), ApiErrorKind::Unauthorized, 1, 1),
        ("404", status(404), ApiErrorKind::NotFound, 1, 1),
        ("422", status(422), ApiErrorKind::Refused, 1, 1),
        ("302", status(302), ApiErrorKind::Refused, 1, 1),
        ("no answer", Say::nothing(), ApiErrorKind::Uncertain, 3, 1),
        ("not HTTP", Say::raw("rubbish\r\n\r\n"), ApiErrorKind::Uncertain, 3, 1),
        ("cut answer", broken, ApiErrorKind::Uncertain, 3, 1),
        ("cut chunks", cut, ApiErrorKind::Uncertain, 3, 1),
        ("not JSON", Say::json(NOT_JSON), ApiErrorKind::Unreadable, 1, 1),
        ("no body", Say::json(""), ApiErrorKind::Unreadable, 1, 1),
    ] {
        let server = Scripted::answers(vec![say.clone()]).await;
        let error = upstream(&server).read::<Value>(get()).await.unwrap_err();
        assert_eq!((error.kind, server.asked().len()), (kind, reads), "reading: {what}: {error}");
        let server = Scripted::answers(vec![say]).await;
        let error = upstream(&server).write::<Value>(post()).await.unwrap_err();
        assert_eq!((error.kind, server.asked().len()), (kind, writes), "writing: {what}: {error}");
        assert!(server.asked().iter().all(|asked| asked.json() == json!({ "a": 1 })), "{what}");
    }
}

#[tokio::test]
async fn what_passes_is_overcome() {
    let good = Say::json(r#"{"a":1}"#);
    let broken = Say::raw(format!("{}content-length: 100\r\n\r\n{{\"a\"", Say::head(200, "")));
    for first in [Say::status(503, "", ""), Say::nothing(), broken] {
        let server = Scripted::answers(vec![first, good.clone()]).await;
        assert_eq!(upstream(&server).read::<Value>(get()).await.unwrap(), json!({ "a": 1 }));
    }
    let server = Scripted::answers(vec![Say::status(429, "", ""), Say::status(204, "", "")]).await;
    upstream(&server).write_only(post()).await.unwrap();
    assert_eq!(server.asked().len(), 2);
    let server = Scripted::answers(vec![Say::status(503, "", ""), Say::status(200, "", "content")]).await;
    let download = upstream(&server).download(get(), file()).await.unwrap();
    assert_eq!(all(download.content).await.unwrap(), b"content");
}

#[tokio::test]
async fn a_connection_that_never_came_about_is_a_call_that_did_not_happen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let upstream = upstream_with(settings(&url), NoCredentials);
    let error = upstream.write::<Value>(post()).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_happened()), (ApiErrorKind::NotApplied, false), "{error}");
    let content = Body::Stream(pieces(vec![Ok("a")], Duration::ZERO), Some(1));
    let error = upstream.write::<Value>(Call::new(Method::POST, "/files").body(content)).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NotApplied, "{error}");
}

#[tokio::test]
async fn the_pause_that_an_upstream_asks_for_is_kept_or_left_to_the_queue() {
    // The requested pause, the shortest pause that follows in milliseconds, and the number of tries.
    let cases = [
        ("0", 0, 2),
        ("1", 1000, 2),
        ("2", 0, 1),
        ("99999999999999999999", 0, 1),
        ("Sun, 01 Mar 2026 12:00:01 GMT", 190, 2),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0, 2),
        ("Sun, 01 Mar 2026 12:00:10 GMT", 0, 1),
        ("Sunday, 01-Mar-26 12:00:10 GMT", 0, 1),
        ("soon", 0, 2),
    ];
    let both = cases.into_iter().flat_map(|case| [(429, case), (503, case)]);
    let checks = both.map(|(status, (retry_after, pause, tries))| async move {
        let header = format!("retry-after: {retry_after}\r\n");
        let server = Scripted::answers(vec![Say::status(status, &header, "{}"), Say::json("{}")]).await;
        let start = Instant::now();
        let outcome = upstream(&server).read::<Value>(get()).await;
        assert!(start.elapsed() >= Duration::from_millis(pause), "{retry_after}");
        assert_eq!((server.asked().len(), outcome.is_ok()), (tries, tries == 2), "{retry_after}");
    });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn a_pause_that_one_call_is_asked_for_is_kept_by_all_and_told() {
    for status in [429, 503] {
        for asked in ["45", "Sun, 01 Mar 2026 12:00:45 GMT"] {
            let header = format!("retry-after: {asked}\r\n");
            let server = Scripted::answers(vec![Say::status(status, &header, "{}"), Say::json("{}")]).await;
            let upstream = upstream(&server);
            let error = upstream.read::<Value>(get()).await.unwrap_err();
            let until = "no call before 2026-03-01 12:00:4";
            assert!(error.message.contains(until), "{status} {asked}: {error}");
            let (read, write) = (upstream.read::<Value>(get()), upstream.write::<Value>(post()));
            for error in [read.await.unwrap_err(), write.await.unwrap_err()] {
                assert_eq!((error.kind, error.may_have_happened()), (ApiErrorKind::NotApplied, false));
                assert!(error.message.contains(until), "{status} {asked}: {error}");
            }
            let error = upstream.download(get(), file()).await.map(drop).unwrap_err();
            assert_eq!(error.kind, ApiErrorKind::NotApplied, "{error}");
            assert_eq!(server.asked().len(), 1, "{status} {asked}: nothing else is sent");
        }
    }
}

#[tokio::test]
async fn a_short_pause_is_waited_for_by_the_other_calls_too() {
    let busy = Say::status(429, "retry-after: 1\r\n", "{}");
    let server = Scripted::answers(vec![busy, Say::json("{}")]).await;
    let upstream = upstream(&server);
    let start = Instant::now();
    let other = async {
        while server.asked().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        upstream.read::<Value>(get()).await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1));
    };
    let (first, ()) = tokio::join!(upstream.read::<Value>(get()), other);
    first.unwrap();
}

#[tokio::test]
async fn a_pause_that_one_issue_is_asked_for_holds_up_no_other() {
    let header = "retry-after: 45\r\nratelimit-reason: jira-per-issue-on-write\r\n";
    let server = Scripted::answers(vec![Say::status(429, header, "{}"), Say::json("{}")]).await;
    let upstream = upstream(&server);
    upstream.write::<Value>(post()).await.unwrap_err();
    upstream.write::<Value>(post()).await.unwrap();
}

#[tokio::test]
async fn without_a_pause_the_end_of_the_rate_limit_is_waited_for_and_its_name_is_told() {
    let cases = [
        ("x-ratelimit-reset: 2026-03-01T12:00:10Z", 1),
        ("x-ratelimit-reset: 2026-03-01T11:00:00Z", 2),
        ("x-ratelimit-reset: 1772366500", 1),
        ("ratelimit-reset: 30", 1),
        ("ratelimit-reset: 0", 2),
        ("ratelimit-reset: soon", 2),
    ];
    for (header, tries) in cases {
        let headers = format!("{header}\r\nratelimit-reason: jira-per-issue-on-write\r\n");
        for (status, tries) in [(429, tries), (503, 2)] {
            let server = Scripted::answers(vec![Say::status(status, &headers, "{}"), Say::json("{}")]).await;
            let outcome = upstream(&server).read::<Value>(get()).await;
            assert_eq!(server.asked().len(), tries, "{status} {header}");
            if let Err(error) = outcome {
                assert!(error.message.contains("(rate limit: jira-per-issue-on-write)"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn requests_are_limited_on_our_side() {
    let server = Scripted::answers(vec![Say::json("{}")]).await;
    // The burst is ten seconds' worth, which is two calls; then one call every five seconds.
    let slow =
        UpstreamSettings { requests_per_minute: NonZeroU32::new(12).unwrap(), ..settings(&server.url) };
    let slow = upstream_with(slow, NoCredentials);
    for _ in 0..2 {
        slow.read::<Value>(get()).await.unwrap();
    }
    let third = tokio::time::timeout(Duration::from_millis(200), slow.read::<Value>(get())).await;
    assert!(third.is_err(), "the third waits");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn silence_ends_a_call() {
    let silent = || Say::nothing().then(Duration::from_mins(5), "");
    let server = Scripted::answers(vec![silent()]).await;
    let short = UpstreamSettings { timeout: Duration::from_secs(2), ..settings(&server.url) };
    let upstream = upstream_with(short, NoCredentials);
    let error = upstream.read::<Value>(get()).await.unwrap_err();
    // A call that hung is repeated by the queue, later.
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Uncertain, 1), "{error}");
    assert!(error.message.contains("timed out"), "{error}");
    let error = upstream.write::<Value>(post()).await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Uncertain, 2), "{error}");
    let error = upstream.write_only(post()).await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Uncertain, 3), "{error}");
    let error = upstream.download(get(), file()).await.map(drop).unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Uncertain, 4), "{error}");
    let content = Body::Stream(pieces(vec![Ok("a")], Duration::ZERO), None);
    let error = upstream.write_only(Call::new(Method::POST, "/files").body(content)).await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Uncertain, 5), "{error}");
}

#[tokio::test]
async fn an_answer_in_memory_has_to_be_there_in_time_and_streams_may_take_theirs() {
    let step = Duration::from_millis(400);
    let impatient = |server: &Scripted| {
        let settings = settings(&server.url);
        let retry = RetryPolicy { attempts: 1, ..settings.retry };
        let settings = UpstreamSettings { timeout: Duration::from_secs(2), retry, ..settings };
        upstream_with(settings, NoCredentials)
    };
    let head = format!("{}content-length: 8\r\n\r\n", Say::head(200, ""));
    let slow = (0..8).fold(Say::raw(head), |say, _| say.then(step, "1"));
    let server = Scripted::answers(vec![slow]).await;
    let upstream = impatient(&server);
    let read = async {
        let error = upstream.read::<Value>(get()).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Uncertain, "{error}");
    };
    let download = async {
        let download = upstream.download(get(), file()).await.unwrap();
        assert_eq!((download.size, all(download.content).await.unwrap()), (Some(8), b"11111111".to_vec()));
    };
    let server = Scripted::answers(vec![Say::json("{}")]).await;
    let upstream = impatient(&server);
    let upload = async {
        let content = pieces((0..8).map(|_| Ok("2")).collect(), step);
        let upload = Call::new(Method::POST, "/files").body(Body::Stream(content, Some(8)));
        upstream.write::<Value>(upload).await.unwrap();
    };
    tokio::join!(read, download, upload);
    assert_eq!(server.asked()[0].body, b"22222222");

    // A source that falls silent ends the upload, and the server gets no complete body.
    let content = pieces(vec![Ok("2"), Ok("2")], Duration::from_mins(5));
    let upload = Call::new(Method::POST, "/files").body(Body::Stream(content, Some(2)));
    let error = upstream.write::<Value>(upload).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NotApplied, "{error}");
    server.quiet().await;
    assert!(server.asked().iter().skip(1).all(|asked| !asked.complete));
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_memory_can_hold() {
    let body = format!("\"{}\"", "x".repeat(64 * 1024 * 1024));
    let server = Scripted::answers(vec![Say::json(&body)]).await;
    let error = upstream(&server).read::<Value>(get()).await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Unreadable, 1), "{error}");
    let server = Scripted::answers(vec![Say::status(400, "", &body)]).await;
    let error = upstream(&server).read::<Value>(get()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
    assert!(error.to_string().len() < 1000, "{error:.100}");
}

/// Credentials with the number of times that they were renewed.
#[derive(Default)]
struct Renewed(Arc<AtomicUsize>);

#[async_trait]
impl Credentials for Renewed {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let value = format!("Bearer token-{}", self.0.load(Ordering::SeqCst));
        Ok(Some((AUTHORIZATION, HeaderValue::from_str(&value).unwrap())))
    }

    async fn refresh(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        true
    }
}

#[tokio::test]
async fn credentials_are_renewed_once_after_a_401() {
    let expect = |token: &'static str| {
        Scripted::new(move |_, asked| {
            if asked.header("authorization") == Some(token) {
                Say::json("{}")
            } else {
                Say::status(401, "", "{}")
            }
        })
    };
    let server = expect("Bearer token-1").await;
    upstream_with(settings(&server.url), Renewed::default()).write::<Value>(post()).await.unwrap();
    assert_eq!(server.asked().len(), 2);

    let server = expect("Bearer token-2").await;
    let renewals = Renewed::default();
    let counted = Arc::clone(&renewals.0);
    let error = upstream_with(settings(&server.url), renewals).read::<Value>(get()).await.unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Unauthorized, 2), "{error}");
    assert_eq!(counted.load(Ordering::SeqCst), 1);

    // The body of a stream cannot be sent again, but the next call uses new credentials.
    let server = expect("Bearer token-1").await;
    let upstream = upstream_with(settings(&server.url), Renewed::default());
    let content = Body::Stream(pieces(vec![Ok("a")], Duration::ZERO), Some(1));
    let upload = Call::new(Method::POST, "/files").body(content);
    let error = upstream.write_only(upload).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
    upstream.read::<Value>(get()).await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_download_that_is_not_whole_is_an_error() {
    let announced = |bytes: usize| format!("{}content-length: {bytes}\r\n\r\ncontent", Say::head(200, ""));
    let chunked =
        |end: &str| format!("{}transfer-encoding: chunked\r\n\r\n7\r\ncontent\r\n{end}", Say::head(200, ""));
    for (what, answer, whole) in [
        ("as announced", announced(7), true),
        ("chunked", chunked("0\r\n\r\n"), true),
        ("until the connection closes", format!("{}\r\ncontent", Say::head(200, "")), true),
        ("shorter than announced", announced(8), false),
        ("chunked without an end", chunked(""), false),
    ] {
        let server = Scripted::answers(vec![Say::raw(answer)]).await;
        let download = upstream(&server).download(get(), file()).await.unwrap();
        let outcome = all(download.content).await;
        assert_eq!(outcome.is_ok(), whole, "{what}: {outcome:?}");
    }
    let stuck = Say::raw(announced(8)).then(Duration::from_mins(5), "");
    let server = Scripted::answers(vec![stuck]).await;
    let short = UpstreamSettings { timeout: Duration::from_secs(2), ..settings(&server.url) };
    let download = upstream_with(short, NoCredentials).download(get(), file()).await.unwrap();
    let error = all(download.content).await.unwrap_err();
    assert!(error.message.contains("silent after 7 bytes"), "{error}");
}

#[tokio::test]
async fn what_comes_in_place_of_a_file_is_refused_with_what_to_do() {
    const PAGE: &str = "<!DOCTYPE html><title>Log in</title>";
    let html = "content-type: text/html; charset=utf-8\r\n";
    let sign_on = format!(
        "<!DOCTYPE html><html><head><!--{}--></head><body><form><input name=user><INPUT name=\"p\" TYPE = 'password'></form>",
        "x".repeat(3_000)
    );
    let length = u64::try_from(PAGE.len()).unwrap();
    let cut = format!("{}content-length: {length}\r\n\r\n<!DOCTYPE", Say::head(200, ""));
    let chunked =
        format!("{}transfer-encoding: chunked\r\n\r\n7\r\ncontent\r\n0\r\n\r\n", Say::head(200, ""));
    let closing = format!("{}\r\ncontent", Say::head(200, ""));
    let told = |kind, text| Some((kind, text));
    let (wrong, uncertain) = (ApiErrorKind::WrongContent, ApiErrorKind::Uncertain);
    // Name, the file as the listing announced it, the answer, and the expected result.
    for (what, (filename, media_type, size), say, expected) in [
        (
            "a page of the same length",
            ("a.png", Some("image/png"), Some(length)),
            Say::status(200, html, PAGE),
            told(wrong, "a page (HTML)"),
        ),
        (
            "a page, nothing announced",
            ("a", None, None),
            Say::status(200, html, PAGE),
            told(wrong, "a page (HTML)"),
        ),
        (
            "a page without a type",
            ("a.png", Some("image/png"), None),
            Say::status(200, "", PAGE),
            told(wrong, "a page (HTML)"),
        ),
        ("a page by type", ("a", Some("text/html"), Some(length)), Say::status(200, html, PAGE), None),
        ("a page by name", ("a.HTM", None, Some(length)), Say::status(200, html, PAGE), None),
        ("a page by name, without a type", ("a.html", Some("x/y"), None), Say::status(200, "", PAGE), None),
        (
            "text that begins like a page",
            ("a.txt", None, None),
            Say::status(200, "content-type: text/plain\r\n", PAGE),
            None,
        ),
        (
            "a sign-on page of the same length in place of a text, which calls itself something else",
            ("a.log", Some("text/plain"), Some(sign_on.len() as u64)),
            Say::status(200, "content-type: application/octet-stream\r\n", &sign_on),
            told(wrong, "a page (HTML)"),
        ),
        (
            "a sign-on page in place of a text, nothing announced but its name",
            ("a.txt", None, None),
            Say::status(200, "content-type: application/octet-stream\r\n", &sign_on),
            told(wrong, "a page (HTML)"),
        ),
        (
            "a text that is the source of a sign-on page, under its own type",
            ("a.txt", Some("text/plain"), None),
            Say::status(200, "content-type: text/plain; charset=utf-8\r\n", &sign_on),
            None,
        ),
        (
            "a text that begins like a page, which calls itself something else",
            ("a.txt", Some("text/plain"), None),
            Say::status(200, "content-type: application/octet-stream\r\n", "<html><p>Hello</html>"),
            None,
        ),
        (
            "a person's own sign-on page",
            ("login.html", Some("application/octet-stream"), None),
            Say::status(200, "content-type: application/octet-stream\r\n", &sign_on),
            None,
        ),
        (
            "a page of the same length that calls itself something else",
            ("a.png", Some("image/png"), Some(length)),
            Say::status(200, "content-type: application/octet-stream\r\n", PAGE),
            told(wrong, "a page (HTML)"),
        ),
        (
            "a page that calls itself text, nothing announced",
            ("a.png", None, Some(length)),
            Say::status(200, "content-type: text/plain\r\n", PAGE),
            told(wrong, "a page (HTML)"),
        ),
        (
            "XHTML",
            ("a.png", None, None),
            Say::status(200, "content-type: application/xhtml+xml\r\n", PAGE),
            told(wrong, "a page (HTML)"),
        ),
        (
            "a page cut in its first words",
            ("a.png", None, Some(length)),
            Say::raw(cut),
            told(uncertain, "broke off"),
        ),
        (
            "another size by its own words",
            ("a.png", None, Some(8)),
            Say::status(200, "", "content"),
            told(wrong, "8 bytes were announced and 7 are sent"),
        ),
        ("as announced", ("a.png", None, Some(7)), Say::status(200, "", "content"), None),
        (
            "shorter, with an end",
            ("a.png", None, Some(8)),
            Say::raw(chunked.clone()),
            told(wrong, "ended after 7 of 8 bytes"),
        ),
        (
            "longer, with an end",
            ("a.png", None, Some(6)),
            Say::raw(chunked),
            told(wrong, "more than the 6 bytes announced"),
        ),
        (
            "shorter, until it closes",
            ("a.png", None, Some(8)),
            Say::raw(closing),
            told(uncertain, "ended after 7 of 8 bytes"),
        ),
        ("404", ("a.png", None, None), Say::status(404, "", "{}"), told(ApiErrorKind::NotFound, "")),
        ("403", ("a.png", None, None), Say::status(403, "", "{}"), told(ApiErrorKind::Unauthorized, "")),
        ("401", ("a.png", None, None), Say::status(401, "", "{}"), told(ApiErrorKind::Unauthorized, "")),
    ] {
        let server = Scripted::answers(vec![say]).await;
        let announced = Announced { filename, media_type, size, ..file() };
        let outcome = match upstream(&server).download(get(), announced).await {
            Ok(download) => all(download.content).await,
            Err(error) => Err(error),
        };
        match (outcome, expected) {
            (Ok(_), None) => {}
            (Err(error), Some((kind, text))) => {
                assert_eq!((error.kind, error.call.as_str()), (kind, "GET file 7"), "{what}: {error}");
                assert!(error.message.contains(text), "{what}: {error}");
                assert_eq!(server.asked().len(), 1, "{what}: once is enough");
            }
            (outcome, expected) => panic!("{what}: {outcome:?} in place of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_to_a_page_of_the_systems_own_is_no_download() {
    let server = Scripted::new(|_, asked| match asked.target.as_str() {
        "/jira/secure/attachment/1/a.png" => {
            Say::status(302, "location: /jira/login.jsp?os_destination=x\r\n", "")
        }
        "/jira/secure/attachment/2/a.png" => {
            Say::status(302, "location: /jira/secure/attachment/2/A.png\r\n", "")
        }
        "/jira/secure/attachment/3/a.png" => Say::status(302, "location: /secure/attachment/3/a.png\r\n", ""),
        "/jira/secure/attachment/2/A.png" => Say::status(200, "content-type: image/png\r\n", "content"),
        _ => Say::status(200, "content-type: image/png\r\n", "no file"),
    })
    .await;
    let base = server.url.join("/jira/").unwrap();
    let upstream = upstream_with(settings(&base), bearer("t0ken").unwrap());
    let paths = &["/secure/attachment/"];
    let download = |number: u8| {
        let call = Call::get(format!("/secure/attachment/{number}/a.png"));
        upstream.download(call, Announced { paths, ..file() })
    };
    for (number, place) in [(1, "/jira/login.jsp"), (3, "/secure/attachment/3/a.png")] {
        let error = download(number).await.map(drop).unwrap_err();
        assert_eq!(
            (error.kind, error.status, error.call.as_str()),
            (ApiErrorKind::WrongContent, Some(302), "GET file 7")
        );
        assert!(error.message.contains(&format!("redirected to {place}, which is no download")), "{error}");
        assert!(error.message.contains("sign on") && !error.message.contains("os_destination"), "{error}");
    }
    assert_eq!(all(download(2).await.unwrap().content).await.unwrap(), b"content");
    assert_eq!(server.asked().len(), 4, "what is no download is not asked for");
}

#[tokio::test]
async fn an_upload_that_is_not_whole_reaches_nobody() {
    let failing = || vec![Ok("abc"), Ok("def"), Err(source_failed())];
    let sound = || vec![Ok("abc"), Ok("def")];
    for (what, content, announced, message) in [
        ("whole", sound(), Some(6), None),
        ("whole, of unknown length", sound(), None, None),
        ("empty", vec![], Some(0), None),
        ("broken off", failing(), Some(9), Some("Source: GET /file: the download broke off")),
        ("broken off where it should end", failing(), Some(6), Some("Source: GET /file")),
        ("broken off, of unknown length", failing(), None, Some("Source: GET /file")),
        ("too short", sound(), Some(7), Some("6 of the 7 bytes")),
        ("too long", sound(), Some(5), Some("longer than the 5 bytes")),
        ("too long by a piece", sound(), Some(3), Some("longer than the 3 bytes")),
    ] {
        let server = Scripted::answers(vec![Say::json("{}")]).await;
        let body = Body::Stream(pieces(content, Duration::ZERO), announced);
        let outcome = upstream(&server).write::<Value>(Call::new(Method::POST, "/files").body(body)).await;
        // The server may still be reading after the client has given up.
        server.quiet().await;
        let asked = server.asked();
        match message {
            None => {
                outcome.unwrap();
                assert!(asked[0].complete, "{what}");
                let length = announced.map(|length| length.to_string());
                assert_eq!(asked[0].header("content-length"), length.as_deref(), "{what}");
            }
            Some(message) => {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind, ApiErrorKind::NotApplied, "{what}: {error}");
                assert!(error.message.contains(message), "{what}: {error}");
                assert!(asked.iter().all(|asked| !asked.complete), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_form_with_a_file_that_breaks_off_reaches_nobody() {
    for (content, length, whole) in [
        (vec![Ok("abc")], Some(3), true),
        (vec![Ok("abc")], None, true),
        (vec![Ok("abc"), Err(source_failed())], Some(6), false),
        (vec![Ok("abc"), Err(source_failed())], None, false),
        (vec![Ok("abc")], Some(4), false),
        (vec![Ok("abc")], Some(2), false),
    ] {
        let server = Scripted::answers(vec![Say::json("{}")]).await;
        let content = reqwest::Body::wrap_stream(pieces(content, Duration::ZERO));
        let part = match length {
            Some(length) => reqwest::multipart::Part::stream_with_length(content, length),
            None => reqwest::multipart::Part::stream(content),
        };
        let form = reqwest::multipart::Form::new().part("file", part.file_name("a.txt"));
        let call = Call::new(Method::POST, "/files").body(Body::Multipart(form));
        let outcome = upstream(&server).write::<Value>(call).await;
        server.quiet().await;
        let asked = server.asked();
        if whole {
            outcome.unwrap();
            assert!(asked[0].complete);
            assert_eq!(asked[0].header("content-length").is_some(), length.is_some());
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind, ApiErrorKind::NotApplied, "{error}");
            assert!(asked.iter().all(|asked| !asked.complete));
        }
    }
}

#[tokio::test]
async fn downloads_follow_redirects_to_hosts_that_are_allowed_for_without_credentials() {
    let elsewhere = Scripted::answers(vec![Say::status(200, "", "content")]).await;
    let other = elsewhere.url.clone();
    let port = other.port().unwrap();
    let host = format!("127.0.0.1:{port}");
    let allow = |hosts: &[&str]| hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>();
    for (location, hosts, reached) in [
        (format!("{other}file?signature=x"), allow(&[&host]), true),
        (format!("{other}file"), allow(&["127.0.0.1"]), true),
        (format!("http://user:password@{host}/file"), allow(&[&host]), true),
        (format!("{other}file"), allow(&[]), false),
        (format!("{other}file"), allow(&["127.0.0.1:1", "0.0.1", ".0.0.2", "example.com"]), false),
        (format!("ftp://{host}/file"), allow(&[&host, "127.0.0.1"]), false),
        ("file:///etc/passwd".to_owned(), allow(&["", "127.0.0.1"]), false),
        ("http://".to_owned(), allow(&["127.0.0.1"]), false),
    ] {
        let before = elsewhere.asked().len();
        let header = format!("location: {location}\r\n");
        let server = Scripted::answers(vec![Say::status(302, &header, "")]).await;
        let settings = UpstreamSettings { download_hosts: hosts, ..settings(&server.url) };
        let outcome = upstream_with(settings, bearer("t0ken").unwrap()).download(get(), file()).await;
        assert_eq!(server.asked()[0].header("authorization"), Some("Bearer t0ken"));
        let asked = elsewhere.asked();
        assert_eq!(asked.len() - before, usize::from(reached), "{location}");
        match outcome {
            Ok(download) => {
                assert!(reached, "{location}");
                assert_eq!(all(download.content).await.unwrap(), b"content");
                assert_eq!(asked[before].header("authorization"), None, "{location}");
            }
            Err(error) => {
                assert!(!reached, "{location}: {error}");
                assert_eq!(error.kind, ApiErrorKind::Refused, "{location}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn redirects_within_the_upstream_keep_the_credentials_and_have_an_end() {
    let server = Scripted::new(|_, asked| match asked.target.as_str() {
        "/thing" => Say::status(303, "location: /other\r\n", ""),
        "/other" => Say::status(200, "", "content"),
        _ => Say::status(302, "location: /again\r\n", ""),
    })
    .await;
    let upstream = upstream_with(settings(&server.url), bearer("t0ken").unwrap());
    let download = upstream.download(get(), file()).await.unwrap();
    assert_eq!(all(download.content).await.unwrap(), b"content");
    assert_eq!(server.asked()[1].header("authorization"), Some("Bearer t0ken"));
    let error = upstream.download(Call::get("/loop"), file()).await.map(drop).unwrap_err();
    assert_eq!((error.kind, server.asked().len()), (ApiErrorKind::Refused, 2 + 4), "{error}");
    // Only downloads follow redirects.
    let error = upstream.read::<Value>(get()).await.unwrap_err();
    assert!(error.message.contains("which only downloads may be"), "{error}");
}

#[tokio::test]
async fn errors_hold_no_secret_and_no_body() {
    let echo = r#"{"error":{"message":"bad token s3cr3t\nfor you"},"content":"confidential"}"#;
    for (status, body) in [
        (400, echo),
        (400, "confidential"),
        (500, "<html>confidential</html>"),
        (200, "confidential"),
        (200, r#"["confidential", }"#),
    ] {
        let server = Scripted::answers(vec![Say::status(status, "", body)]).await;
        let credentials = bearer("s3cr3t").unwrap();
        let call = post().query("q", "confidential search");
        let error = upstream_with(settings(&server.url), credentials).write::<Value>(call).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        for hidden in ["s3cr3t", "confidential", "\n", "127.0.0.1"] {
            assert!(!shown.contains(hidden), "{hidden:?} in {shown}");
        }
        assert_eq!(error.status, Some(status));
    }
    let server = Scripted::answers(vec![Say::status(400, "", r#"{"message":"c2VjcmV0OnBhc3M="}"#)]).await;
    let upstream = upstream_with(settings(&server.url), basic("secret", "pass").unwrap());
    let error = upstream.read::<Value>(get()).await.unwrap_err();
    assert_eq!(error.message, "[secret]");
}

#[tokio::test]
async fn the_upstreams_own_message_is_found_in_every_shape() {
    let jira = JiraSettings::default().dialect();
    let zendesk = ZendeskSettings::default().dialect();
    let servicenow = ServiceNowSettings::default().dialect();
    let common = Dialect::default();
    for (dialect, body, message) in [
        (
            common,
            r#"{"error":{"code":400,"message":"Google says","status":"INVALID_ARGUMENT"}}"#,
            "Google says",
        ),
        (jira, r#"{"errorMessages":["Jira says"],"errors":{}}"#, "Jira says"),
        (jira, r#"{"errorMessages":[],"errors":{"summary":"is required"}}"#, "summary: is required"),
        (
            zendesk,
            r#"{"error":"RecordInvalid","description":"invalid","details":{"a":[{"description":"a says"}]}}"#,
            "a says",
        ),
        (zendesk, r#"{"error":"RecordInvalid","description":"Zendesk says"}"#, "Zendesk says"),
        (
            servicenow,
            r#"{"error":{"message":"ServiceNow says","detail":"more"},"status":"failure"}"#,
            "ServiceNow says: more",
        ),
        (common, r#"{"message":"RT says"}"#, "RT says"),
        (jira, "{}", "no message that can be read"),
        (zendesk, "", "no message that can be read"),
    ] {
        let server = Scripted::answers(vec![Say::status(400, "", body)]).await;
        let upstream = upstream(&server).speaking(dialect);
        let error = upstream.read::<Value>(get()).await.unwrap_err();
        assert_eq!(error.message, message, "{body}");
    }
}

#[tokio::test]
async fn odd_json_costs_only_what_is_odd() {
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    let body = format!(r#"{{"a":"x\ud83d","deep":{deep},"b":"y"}}"#);
    let server = Scripted::answers(vec![Say::json(&body)]).await;
    let value: Value = upstream(&server).read(get()).await.unwrap();
    assert_eq!((&value["a"], &value["b"]), (&json!("x\u{fffd}"), &json!("y")));
}

#[tokio::test]
async fn a_query_arrives_as_it_was_meant() {
    let server = Scripted::answers(vec![Say::json("{}")]).await;
    let base = Url::parse(&format!("{}base/", server.url)).unwrap();
    let upstream = upstream_with(settings(&base), NoCredentials);
    let call = get().query("q", "a b+c&d=e#f/é\"\n%").query("n", "");
    upstream.read::<Value>(call).await.unwrap();
    assert_eq!(server.asked()[0].target, "/base/thing?q=a%20b%2Bc%26d%3De%23f%2F%C3%A9%22%0A%25&n=");
}

#[tokio::test]
async fn calls_are_counted_by_method_and_status() {
    let server = Scripted::answers(vec![Say::status(503, "", ""), Say::nothing(), Say::json("{}")]).await;
    let metrics = Metrics::shared();
    let upstream = Upstream::new(
        settings(&server.url),
        Arc::new(NoCredentials),
        ManualClock::at(now()),
        Arc::clone(&metrics),
    )
    .unwrap();
    upstream.read::<Value>(get()).await.unwrap();
    let shown = metrics.render();
    for status in ["503", "none", "200"] {
        let line =
            format!(r#"casebridge_upstream_calls_total{{upstream="Test",method="GET",status="{status}"}} 1"#);
        assert!(shown.contains(&line), "{line} in {shown}");
    }
}

#[tokio::test]
async fn the_clocks_difference_is_measured_shown_and_warned_of_once() {
    let dated = |date: &str| Say::status(404, &format!("date: {date} GMT\r\n"), "{}");
    let mut answers = vec![Say::status(404, "", "{}"), dated("Sun, 01 Mar 2026 12:00:00")];
    answers.extend([dated("Sun, 01 Mar 2026 12:06:00"), dated("Sun, 01 Mar 2026 12:06:00")]);
    answers.push(dated("Sun, 01 Mar 2026 12:06:00"));
    answers.push(dated("Sun, 01 Mar 2026 12:06:00"));
    let server = Scripted::answers(answers).await;
    let (log, metrics, clock) = (Log::default(), Metrics::shared(), ManualClock::at(now()));
    let guard = log.capture(clock.clone());
    let upstream =
        Upstream::new(settings(&server.url), Arc::new(NoCredentials), clock, Arc::clone(&metrics)).unwrap();
    let seconds = |skew: Option<chrono::TimeDelta>| skew.map(|skew| skew.num_seconds());
    let mut seen = Vec::new();
    for _ in 0..6 {
        upstream.read::<Value>(get()).await.unwrap_err();
        seen.push((seconds(upstream.clock_skew()), seconds(upstream.latest_skew())));
    }
    drop(guard);
    let (nothing, same, ahead) = (None, Some(0), Some(359));
    assert_eq!(
        seen,
        [(nothing, nothing), (same, same), (same, ahead), (ahead, ahead), (ahead, ahead), (ahead, ahead)]
    );
    let shown = metrics.render();
    assert!(shown.contains(r#"casebridge_clock_skew_seconds{upstream="Test"} 359"#), "{shown}");
    let text = log.text();
    let said = text.lines().filter(|line| line.contains("timedatectl set-ntp true") && line.starts_with('{'));
    let said: Vec<&str> = said.collect();
    assert!(
        matches!(said[..], [only] if only.contains("this machine's clock is 5m 59s behind that of Test")),
        "{text}"
    );
}

#[tokio::test]
async fn every_sandbox_dates_its_answers_by_its_own_clock() {
    let clock = ManualClock::at(now());
    let shared = || -> casebridge::clock::SharedClock { clock.clone() };
    let csapi = SandboxCsapi::new(shared(), "organizations/123");
    let jira = SandboxJira::new(shared(), SandboxJiraSettings::default());
    let zendesk = SandboxZendesk::new(shared(), SandboxZendeskSettings::default());
    let servicenow = SandboxServiceNow::new(shared(), SandboxServiceNowSettings::default());
    for (router, faults) in [
        (csapi.router(), csapi.faults()),
        (jira.router(), jira.faults().clone()),
        (zendesk.router(), zendesk.faults().clone()),
        (servicenow.router(), servicenow.faults().clone()),
    ] {
        let url = Url::parse(&format!("http://{}", serve(router).await)).unwrap();
        let skew = async || {
            let upstream =
                Upstream::new(settings(&url), Arc::new(NoCredentials), clock.clone(), Metrics::shared())
                    .unwrap();
            upstream.read::<Value>(Call::get("/nothing")).await.unwrap_err();
            upstream.clock_skew().map(|skew| skew.num_seconds())
        };
        assert_eq!(skew().await, Some(0));
        faults.add(Fault::always(Effect::ErrorBefore { status: 400, body: None }));
        assert_eq!(skew().await, Some(0), "a fault's answer as well");
        let put = |ahead: i32| {
            let request = reqwest::Client::new().put(url.join("/sandbox/clock").unwrap());
            request.json(&json!({ "ahead_seconds": ahead })).send()
        };
        assert_eq!(put(-900).await.unwrap().status(), 204);
        assert!(matches!(skew().await, Some(-900 | -899)));
        assert_eq!(put(0).await.unwrap().status(), 204);
        assert_eq!(skew().await, Some(0));
    }
}

#[tokio::test]
async fn a_refusal_before_the_content_is_sent_is_heard() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let _ = connection.read(&mut head).await;
            let answer = format!("{}content-length: 2\r\n\r\n{{}}", Say::head(413, ""));
            let _ = connection.write_all(answer.as_bytes()).await;
            // The connection is closed with most of the content unread.
        }
    });
    let upstream = upstream_with(settings(&url), NoCredentials);
    for size in [Some(64 << 20), None] {
        let piece = Bytes::from(vec![1; 64 << 10]);
        let content = Box::pin(stream::iter((0..1024).map(move |_| Ok(piece.clone()))));
        let upload = Call::new(Method::POST, "/files").body(Body::Stream(content, size));
        let error = upstream.write_only(upload).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unacceptable, "{error}");
    }
}
