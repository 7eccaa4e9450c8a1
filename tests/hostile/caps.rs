//! What is endless comes to an end: answers, pages, headers, and callers who take their time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use casebridge::cases::ApiErrorKind;
use casebridge::clock::SystemClock;
use casebridge::config::Platform;
use casebridge::http::{Limits, serve};
use casebridge::outbound::{AnswerMemory, Call, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::telemetry::Metrics;
use chrono::{Duration as Span, TimeZone as _, Utc};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connector::Connector;
use crate::subjects::{Kind, over};
use casebridge_testkit::scripted::{Say, Scripted};

fn upstream(url: &reqwest::Url, timeout: Duration) -> Upstream {
    let settings = UpstreamSettings {
        name: "Test",
        base_url: url.clone(),
        requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
        timeout,
        retry: RetryPolicy { attempts: 1, ..RetryPolicy::default() },
        download_hosts: Vec::new(),
    };
    Upstream::new(settings, Arc::new(NoCredentials), Arc::new(SystemClock), Metrics::shared()).unwrap()
}

/// A server that says this, and then that over and over for as long as somebody listens.
async fn endless(start: &'static [u8], again: Vec<u8>, pause: Duration) -> reqwest::Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let again = again.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = connection.read(&mut request).await;
                let mut outcome = connection.write_all(start).await;
                while outcome.is_ok() {
                    tokio::time::sleep(pause).await;
                    outcome = connection.write_all(&again).await;
                }
            });
        }
    });
    url
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_comes_to_one() {
    let chunk = |text: String| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    let now = Duration::ZERO;
    for (what, url) in [
        (
            "headers",
            endless(OK, b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".to_vec(), now).await,
        ),
        ("a header", endless(b"HTTP/1.1 200 OK\r\nx: ", vec![b'y'; 10_000], now).await),
        ("a status line", endless(b"HTTP/1.1 200 ", vec![b'K'; 10_000], now).await),
        (
            "interim answers",
            endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".to_vec(), now).await,
        ),
        ("chunks", endless(CHUNKED, chunk(" ".repeat(1_000_000)), now).await),
        ("a chunk's size", endless(CHUNKED, vec![b'0'; 10_000], now).await),
        (
            "an extension of a chunk",
            endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=", vec![b'y'; 10_000], now)
                .await,
        ),
        (
            "trailers",
            endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n".to_vec(), now)
                .await,
        ),
        (
            "a refusal",
            endless(
                b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n",
                chunk("x".repeat(100_000)),
                now,
            )
            .await,
        ),
        ("a byte at a time", endless(OK, b"x".to_vec(), Duration::from_millis(50)).await),
        (
            "a body's byte at a time",
            endless(
                b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
                b" ".to_vec(),
                Duration::from_millis(50),
            )
            .await,
        ),
    ] {
        let began = Instant::now();
        let upstream = upstream(&url, Duration::from_secs(3));
        let call = upstream.read::<Value>(Call::get("/thing"));
        let outcome = tokio::time::timeout(Duration::from_secs(20), call).await;
        let error = outcome.unwrap_or_else(|_| panic!("{what} have no end")).unwrap_err();
        assert!(
            !error.to_string().is_empty() && began.elapsed() < Duration::from_secs(20),
            "{what}: {error}"
        );
    }
}

/// A text of 40 MB that would be 1.3 GB of values.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_countless_small_values_is_not_taken_apart() {
    let body = format!("[{}0]", "0,".repeat(20_000_000));
    let server = Scripted::answers(vec![Say::json(&body)]).await;
    let error =
        upstream(&server.url, Duration::from_secs(20)).read::<Value>(Call::get("/thing")).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreadable, "{error}");
    assert!(error.message.contains("values"), "{error}");
}

/// What is packed is not asked for, and not unpacked: a bomb stays a few bytes that are no JSON.
#[tokio::test(flavor = "multi_thread")]
async fn a_packed_answer_is_not_unpacked() {
    for encoding in ["gzip", "br", "zstd", "deflate"] {
        let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x4a\x54\xb2\x32\xac\x05\x00\x0d\x28\x2c\x90\x07\x00\x00\x00";
        let head = format!(
            "{}content-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            Say::head(200, ""),
            bomb.len()
        );
        let server = Scripted::answers(vec![Say::raw([head.as_bytes(), bomb].concat())]).await;
        let outcome = upstream(&server.url, Duration::from_secs(5)).read::<Value>(Call::get("/thing")).await;
        assert_eq!(outcome.unwrap_err().kind, ApiErrorKind::Unreadable, "{encoding}");
        assert_eq!(server.asked()[0].header("accept-encoding"), None);
    }
}

/// A page of a listing as each system would write it: the next one is always another, or always the same one. What is asked
/// for besides, the unspoilt system answers.
fn page(kind: Kind, path: &str, number: usize, filling: &str) -> Option<String> {
    let id = number + 1;
    let page = match kind {
        Kind::Csapi if path.contains("/comments") => {
            json!({ "comments": [{ "name": format!("organizations/123/cases/77/comments/{id}"), "body": filling }] })
        }
        Kind::JiraCloud if path.contains("/search") => {
            json!({ "issues": [{ "id": id.to_string(), "fields": { "x": filling } }] })
        }
        Kind::JiraDataCenter if path.contains("/comment") => {
            let overlap: Vec<Value> =
                (0..50).map(|k| json!({ "id": (number * 45 + k).to_string() })).collect();
            json!({ "comments": overlap, "total": 1_000_000_000_u64, "x": filling })
        }
        Kind::Zendesk if path.contains("/comments") => {
            json!({ "comments": [{ "id": id, "plain_body": filling }], "meta": { "has_more": true } })
        }
        Kind::ServiceNow if path.contains("sys_journal_field") => {
            json!({ "result": [{ "sys_id": format!("{id:032x}"), "value": filling }] })
        }
        Kind::RequestTracker if path.contains("/history") => {
            json!({ "items": [{ "id": id.to_string(), "Data": filling }] })
        }
        _ => return None,
    };
    Some(page.to_string())
}

/// The same page with what leads to the next one.
fn leading(kind: Kind, page: &str, token: &str) -> Say {
    let mut page: Value = serde_json::from_str(page).unwrap();
    let mut headers = "";
    match kind {
        Kind::Csapi | Kind::JiraCloud => page["nextPageToken"] = json!(token),
        Kind::Zendesk => page["meta"]["after_cursor"] = json!(token),
        Kind::ServiceNow => headers = "link: <https://x/y>;rel=\"next\"\r\n",
        Kind::JiraDataCenter | Kind::RequestTracker => {}
    }
    Say::status(200, headers, &page.to_string())
}

async fn reads(
    kind: Kind,
    fresh: bool,
    filling: String,
) -> (Result<usize, casebridge::cases::ApiError>, usize) {
    let inner = crate::subjects::open(kind).await;
    let http = casebridge::outbound::http_client().no_proxy().build().unwrap();
    let (url, case) = (inner.server.url.clone(), inner.case.clone());
    let pages = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&pages);
    let server = Scripted::thinking(move |_, asked| {
        let (http, url, filling, pages) = (http.clone(), url.clone(), filling.clone(), Arc::clone(&counted));
        Box::pin(async move {
            let number = pages.load(std::sync::atomic::Ordering::SeqCst);
            let shown = if fresh { number } else { 0 };
            if let Some(page) = page(kind, asked.target.split('?').next().unwrap(), shown, &filling) {
                pages.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                return leading(kind, &page, &if fresh { number.to_string() } else { "again".to_owned() });
            }
            let answer = http
                .get(format!("{}{}", url.as_str().trim_end_matches('/'), asked.target))
                .send()
                .await
                .unwrap();
            let status = answer.status().as_u16();
            Say::status(status, "", &answer.text().await.unwrap())
        })
    })
    .await;
    let subject = over(inner, kind, &server.url);
    let since = Utc.with_ymd_and_hms(2026, 11, 1, 0, 0, 0).unwrap();
    let outcome = async {
        if kind == Kind::JiraCloud {
            subject.system.search_updated(since).await.map(|sweep| sweep.cases.len() + sweep.skipped.len())
        } else {
            subject.system.comments(&case, None).await.map(|comments| comments.len())
        }
    };
    let outcome = tokio::time::timeout(Duration::from_mins(15), outcome)
        .await
        .unwrap_or_else(|_| panic!("{kind:?}: no end"));
    (outcome, pages.load(std::sync::atomic::Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_names_a_page_again_is_an_error_or_the_end() {
    // ServiceNow and Jira Data Center count pages themselves, so that the same page is either the end or the next one.
    for kind in [Kind::Csapi, Kind::JiraCloud, Kind::Zendesk, Kind::RequestTracker] {
        let (outcome, pages) = reads(kind, false, String::new()).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unreadable, "{kind:?}: {error}");
        assert!(pages < 50, "{kind:?}: {pages} pages");
    }
}

/// 256 MiB in all, in pages of 20.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_without_an_end_is_an_error_before_it_fills_the_memory() {
    for kind in Kind::ALL {
        let (outcome, pages) = reads(kind, true, "x".repeat(20 * 1024 * 1024)).await;
        let error = outcome.map(|found| format!("{found} things")).unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unreadable, "{kind:?}: {error}");
        assert!(error.message.contains("does not end"), "{kind:?}: {error}");
        assert!((10..40).contains(&pages), "{kind:?}: {pages} pages");
    }
}

// ------------------------------------------------------------ callers

/// A service with these limits; where it is.
async fn service(limits: Limits) -> (std::net::SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = Connector::new(Kind::JiraCloud).await.router;
    tokio::spawn(serve(listener, router, limits, stop.clone()));
    (address, stop)
}

fn short() -> Limits {
    Limits { head: Duration::from_secs(2), ..Limits::on(Platform::Local) }
}

/// All that comes until the connection is closed; `None` if it never is.
async fn rest(connection: &mut TcpStream) -> Option<String> {
    let mut heard = Vec::new();
    let read = connection.read_to_end(&mut heard);
    let ended = tokio::time::timeout(Duration::from_mins(3), read).await.is_ok();
    ended.then(|| String::from_utf8_lossy(&heard).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_does_not_finish_a_head_is_hung_up_on() {
    let (address, _stop) = service(short()).await;
    for start in ["", "G", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: y"] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(start.as_bytes()).await.unwrap();
        assert!(rest(&mut connection).await.is_some(), "{start:?}: the connection stays open");
    }
    // One byte at a time is no way out.
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.unwrap();
    let dribbled = async {
        while connection.write_all(b"y").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(3), dribbled).await.expect("the connection is closed");
    // After an answer, the next request has as long; whoever asks in time is answered.
    let mut connection = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let length = connection.read(&mut answer).await.unwrap();
        assert!(
            answer[..length].starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer[..length])
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(rest(&mut connection).await.is_some(), "an idle connection stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_not_read_beyond_its_limit() {
    let (address, _stop) =
        service(Limits { head: Duration::from_secs(5), ..Limits::on(Platform::Local) }).await;
    let long = "y".repeat(100_000);
    for (what, head) in [
        ("a long header", format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n")),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n")),
        (
            "many headers",
            format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(5_000)),
        ),
        ("a long method", format!("{long} / HTTP/1.1\r\n\r\n")),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        // The service may hang up before all of it is sent.
        let _ = connection.write_all(head.as_bytes()).await;
        let answer = rest(&mut connection).await.unwrap_or_else(|| panic!("{what}: no end"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer:.300}");
    }
    assert_still_well(address).await;
}

/// What two servers could take for different requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_can_be_read_in_two_ways_is_not_taken_for_two() {
    let (address, _stop) = service(short()).await;
    let hidden = "GET /api/mappings HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (what, request) in [
        (
            "two lengths",
            format!(
                "POST /tasks/x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: {}\r\n\r\n{hidden}",
                hidden.len()
            ),
        ),
        (
            "a length with a sign",
            format!("POST /tasks/x HTTP/1.1\r\nhost: a\r\ncontent-length: +0\r\n\r\n{hidden}"),
        ),
        (
            "a length of several",
            format!("POST /tasks/x HTTP/1.1\r\nhost: a\r\ncontent-length: 0, 7\r\n\r\n{hidden}"),
        ),
        (
            "another encoding",
            format!("POST /tasks/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n{hidden}"),
        ),
        (
            "chunked is not the last",
            format!(
                "POST /tasks/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n{hidden}"
            ),
        ),
        (
            "a space before the colon",
            format!("POST /tasks/x HTTP/1.1\r\nhost: a\r\ncontent-length : 5\r\n\r\n{hidden}"),
        ),
        (
            "a folded line",
            format!("POST /tasks/x HTTP/1.1\r\nhost: a\r\nx: y\r\n content-length: 5\r\n\r\n{hidden}"),
        ),
        (
            "a line break in a header",
            format!("POST /tasks/x HTTP/1.1\r\nhost: a\r\nx: y\ntransfer-encoding: chunked\r\n\r\n{hidden}"),
        ),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let _ = connection.write_all(request.as_bytes()).await;
        let answer = rest(&mut connection).await.unwrap_or_else(|| panic!("{what}: no end"));
        assert!(!answer.contains("\"mappings\""), "{what}: the hidden request was answered: {answer}");
    }
    assert_still_well(address).await;
}

async fn assert_still_well(address: std::net::SocketAddr) {
    let http = casebridge::outbound::http_client().no_proxy().build().unwrap();
    assert_eq!(http.get(format!("http://{address}/healthz")).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_beyond_the_limit_wait_until_there_is_room() {
    let (address, stop) = service(Limits { connections: 3, ..short() }).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    // They are hung up on, three at a time, and then it is our turn.
    tokio::time::timeout(Duration::from_mins(3), assert_still_well(address))
        .await
        .expect("there is room again");
    stop.cancel();
    // Whoever is idle keeps nobody from stopping.
    for mut connection in idle {
        assert!(rest(&mut connection).await.is_some(), "a connection stays open");
    }
}

/// More than the buffers of both ends hold.
const LARGE: usize = 16 << 20;

/// Closes the connection of a caller who reads nothing of an answer, or a few bytes now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_takes_no_answer_is_hung_up_on() {
    for taken_at_a_time in [0, 1_000] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/", axum::routing::get(|| async { vec![b'x'; LARGE] }));
        let limits = Limits { write: Duration::from_secs(5), ..Limits::on(Platform::Local) };
        tokio::spawn(serve(listener, router, limits, CancellationToken::new()));
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut taken = vec![0; taken_at_a_time];
        let hung_up_on = async {
            // The other end is closed as soon as what is sent there is refused.
            while connection.write_all(b"x").await.is_ok() {
                if taken_at_a_time > 0 {
                    let _ = connection.read(&mut taken).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_mins(3), hung_up_on).await;
        assert!(ended.is_ok(), "{taken_at_a_time} bytes at a time: the connection stays open");
        // Whoever reads gets all of it.
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        connection.write_all(request).await.unwrap();
        assert!(rest(&mut connection).await.unwrap().len() > LARGE);
    }
}

/// More half-sent heads than there are places, and time enough for each.
#[tokio::test(flavor = "multi_thread")]
async fn half_sent_heads_keep_nobody_out() {
    let limits = Limits { connections: 5, ..Limits::on(Platform::Local) };
    let (address, stop) = service(limits).await;
    let mut half_sent = Vec::new();
    for start in ["", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: y"].iter().cycle().take(40) {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(start.as_bytes()).await.unwrap();
        half_sent.push(connection);
    }
    tokio::time::timeout(Duration::from_mins(3), assert_still_well(address)).await.expect("there is room");
    // The newest may finish: only those that wait longest make room.
    let newest = half_sent.last_mut().unwrap();
    newest.write_all(b"\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(newest).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
    stop.cancel();
}

/// Of two, each reader may believe another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_may_stand_once_is_not_taken_twice() {
    let (address, _stop) = service(Limits::on(Platform::Local)).await;
    for (header, twice) in [
        ("host", "host: localhost\r\nHost: evil.example\r\n"),
        ("host", "host: localhost\r\nhost: localhost\r\n"),
        ("authorization", "host: localhost\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\n"),
    ] {
        for path in ["/healthz", "/api/mappings", "/nowhere"] {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\n{twice}connection: close\r\n\r\n");
            connection.write_all(request.as_bytes()).await.unwrap();
            let answer = rest(&mut connection).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400"), "{path} {twice:?}: {answer}");
            assert!(answer.contains(header), "{path} {twice:?}: {answer}");
        }
    }
}

/// Of a body, no more than 64 KiB, and not for longer than ten seconds.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let router = {
        // Real servers start in real time.
        tokio::time::resume();
        let connector = Connector::new(Kind::JiraCloud).await;
        tokio::time::pause();
        connector
    };
    for pause in [Duration::from_secs(3_600), Duration::from_secs(1)] {
        let pieces = stream::unfold((), move |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        let began = Instant::now();
        let request = Request::post("/tasks/sync-google-case").header("host", "localhost");
        let (status, media_type, _) = router.ask(request.body(Body::from_stream(pieces)).unwrap()).await;
        assert_eq!((status.as_u16(), media_type.as_str()), (408, "application/problem+json"));
        assert!(Span::from_std(began.elapsed()).unwrap() < Span::seconds(12), "{:?}", began.elapsed());
    }
}

// ------------------------------------------------------------ memory

/// Bytes that were sent of answers which their callers have not got yet, and the most of them.
#[derive(Default)]
struct Held {
    now: std::sync::atomic::AtomicUsize,
    most: std::sync::atomic::AtomicUsize,
}

/// Two upstreams, four answers of 60 MB from each at once.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_wait_for_each_other_and_not_in_memory() {
    use std::sync::atomic::Ordering::SeqCst;
    const SIZE: usize = 60 << 20;
    let sent = Arc::new(Held::default());
    let memory = AnswerMemory::default();
    for announced in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: reqwest::Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let held = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let held = Arc::clone(&held);
                tokio::spawn(async move {
                    let _ = connection.read(&mut [0; 4096]).await;
                    let length =
                        if announced { format!("content-length: {}\r\n", SIZE + 2) } else { String::new() };
                    let begin = format!("HTTP/1.1 200 OK\r\n{length}connection: close\r\n\r\n\"");
                    connection.write_all(begin.as_bytes()).await.unwrap();
                    let piece = vec![b'x'; 1 << 16];
                    for _ in 0..SIZE >> 16 {
                        connection.write_all(&piece).await.unwrap();
                        held.most.fetch_max(held.now.fetch_add(piece.len(), SeqCst) + piece.len(), SeqCst);
                    }
                    connection.write_all(b"\"").await.unwrap();
                });
            }
        });
        let upstream = upstream(&url, Duration::from_secs(120)).sharing(memory.clone());
        let read = async || {
            let text = upstream.read::<String>(Call::get("/thing")).await.unwrap();
            sent.now.fetch_sub(SIZE, SeqCst);
            assert_eq!(text.len(), SIZE);
        };
        tokio::join!(read(), read(), read(), read());
    }
    // One answer, or one and the beginnings of the others in the buffers of the connections.
    let most = sent.most.load(SeqCst) >> 20;
    assert!(most < 120, "{most} MiB at once");
}
