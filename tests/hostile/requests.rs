//! Whatever is asked of the service, it answers with one of the documented statuses: scripts get JSON, browsers get pages that run nothing.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use casebridge::http::ROUTES;
use futures_util::{StreamExt as _, stream};
use proptest::prelude::*;
use serde_json::Value;

use crate::connector::{Connector, answer, ask, text_of};
use crate::subjects::Kind;
use crate::{cases, panics, run};
use casebridge_testkit::harness;

/// A request, as far as `http` lets one be made.
#[derive(Debug, Clone)]
struct Made {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: MadeBody,
}

#[derive(Debug, Clone)]
enum MadeBody {
    Whole(Vec<u8>),
    Pieces(Vec<Vec<u8>>, bool),
}

fn target() -> impl Strategy<Value = String> {
    let mut known: Vec<String> = ROUTES.iter().map(|(_, path, _)| (*path).to_owned()).collect();
    for task in
        ["poll-google", "poll-company", "sync-google-case", "sync-company-case", "detect-outages", "cleanup"]
    {
        known.extend([format!("/tasks/{task}"), format!("/cron/{task}")]);
    }
    known.extend(
        ["/cases/1/sync", "/cases/1/unlink", "/cases/x", "/api/v1/mappings/1/pause"].map(str::to_owned),
    );
    known.extend(["/api/mappings/1", "/", "*", "//", "/tasks//", "/TASKS/cleanup"].map(str::to_owned));
    let known = prop::sample::select(known);
    let odd = prop::sample::select(
        [
            "%ff",
            "%00",
            "%2e%2e%2f",
            "..",
            "9223372036854775808",
            "-1",
            "%f0%9f%92%a9",
            "1;x=y",
            "1%0d%0aX:1",
            "x/y/z",
            "?limit=18446744073709551616",
            "?after=%ff",
            "?filter=all&filter=%00",
            "?limit=0&limit=1",
            "?%ff=%ff&&==",
        ]
        .map(str::to_owned)
        .to_vec(),
    );
    prop_oneof![
        4 => known.clone(),
        3 => (known.clone(), odd.clone()).prop_map(|(path, odd)| format!("{path}{odd}")),
        2 => (prop::sample::select(vec!["/tasks/", "/cron/", "/api/mappings/"]), odd).prop_map(|(path, odd)| format!("{path}{odd}")),
        1 => "/[!-~]{0,30}",
        1 => (known, 1_000..60_000_usize).prop_map(|(path, length)| format!("{path}/{}", "a".repeat(length))),
    ]
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let names = [
        "authorization",
        "host",
        "origin",
        "x-appengine-cron",
        "x-appengine-queuename",
        "x-appengine-taskname",
        "x-appengine-taskretrycount",
        "traceparent",
        "x-cloud-trace-context",
        "content-type",
        "content-length",
        "transfer-encoding",
        "expect",
        "accept",
        "accept-encoding",
        "x-forwarded-for",
        "forwarded",
        "sec-fetch-site",
        "x-forwarded-proto",
        "x-goog-iap-jwt-assertion",
        "cookie",
        "range",
        "upgrade",
        "connection",
        "x-http-method-override",
        "te",
        "if-none-match",
    ];
    let admin = format!("Bearer {}", harness::INTERNAL_TOKEN);
    let values = [
        admin.as_str(),
        "Bearer",
        "Bearer ",
        "bearer  x",
        "Basic eDp5",
        "localhost",
        "127.0.0.1",
        "[::1]:80",
        "evil.example",
        "true",
        "text/html",
        "same-origin",
        "http://localhost",
        "casebridge=1.a.b",
        "https",
        "chunked",
        "100-continue",
        "0",
        "-1",
        "99999999999999999999",
        "application/json",
        "none",
        "cross-site",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ff-0-0-0",
        "105445aa7843bc8bf206b12000100000/1;o=1",
        "/;",
    ];
    let value = prop_oneof![
        3 => prop::sample::select(values.map(|value| value.as_bytes().to_vec()).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0..9_000_usize).prop_map(|length| vec![b'v'; length]),
    ];
    (prop::sample::select(names.map(str::to_owned).to_vec()), value)
}

fn body() -> impl Strategy<Value = MadeBody> {
    let json = prop::sample::select(
        [
            "",
            "{}",
            "null",
            "[]",
            r#"{"case_name": "organizations/123/cases/1"}"#,
            r#"{"case_id": "10001"}"#,
            r#"{"case_name": "\ud800"}"#,
            r#"{"case_name": 1e999}"#,
            r#"{"case_id": "../.."}"#,
            r#"{"case_id": "\u0000"}"#,
            r#"{"case_name": "organizations/123/cases/1", "case_name": "x"}"#,
            r#"{"case_id": {"case_id": []}}"#,
            "\u{feff}{}",
            "token=the-admin-token",
            "token=00&item=comment&reason=because",
            "token=%ff&reason=%00&=&&",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
    );
    let nested = prop::sample::select(vec![100, 127, 128, 200, 30_000])
        .prop_map(|depth| "[".repeat(depth).into_bytes());
    let large = prop::sample::select(vec![65_535, 65_536, 65_537, 1_000_000])
        .prop_map(|size| format!(r#"{{"case_id": "{}"}}"#, "1".repeat(size - 15)).into_bytes());
    let whole =
        prop_oneof![4 => json, 1 => nested, 1 => large, 2 => prop::collection::vec(any::<u8>(), 0..200)];
    prop_oneof![
        4 => whole.prop_map(MadeBody::Whole),
        1 => (prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20), any::<bool>())
            .prop_map(|(pieces, breaks)| MadeBody::Pieces(pieces, breaks)),
    ]
}

fn made() -> impl Strategy<Value = Made> {
    let methods =
        ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", "get"];
    let method = prop_oneof![5 => Just("GET".to_owned()), 5 => Just("POST".to_owned()), 2 => prop::sample::select(methods.map(str::to_owned).to_vec())];
    (method, target(), prop::collection::vec(header(), 0..6), body())
        .prop_map(|(method, target, headers, body)| Made { method, target, headers, body })
}

impl Made {
    fn request(self) -> Option<Request<Body>> {
        let body = match self.body {
            MadeBody::Whole(bytes) => Body::from(bytes),
            MadeBody::Pieces(pieces, breaks) => {
                let end = breaks.then(|| Err(std::io::Error::other("the caller is gone")));
                Body::from_stream(
                    stream::iter(pieces).map(|piece| Ok(Bytes::from(piece))).chain(stream::iter(end)),
                )
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = self.target.parse::<Uri>().ok()?;
        for (name, value) in self.headers {
            let name = name.parse::<HeaderName>().ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(request)
    }
}

/// Documented statuses (`README.md`; `docs/design.md`, R4). A page redirects its browser with 303.
const STATUSES: [u16; 10] = [200, 303, 400, 401, 403, 404, 405, 408, 413, 500];

/// True for the paths whose answers are pages. All others that exist answer a browser like a script.
fn is_page(path: &str) -> bool {
    ["/", "/signin", "/signout", "/cases"].contains(&path) || path.starts_with("/cases/")
}

async fn is_answered(connector: &Connector, made: Made) {
    let (is_head, method) = (made.method == "HEAD", made.method.clone());
    let shown: String = format!("{made:?}").chars().take(400).collect();
    let Some(request) = made.request() else { return };
    let path = request.uri().path().to_owned();
    let takes_pages =
        request.headers().get("accept").is_some_and(|media| media.as_bytes().starts_with(b"text/html"));
    let answer = answer(&connector.router, request).await;
    let (status, media_type) = (answer.status(), text_of(&answer, "content-type"));
    let (location, policy) = (text_of(&answer, "location"), text_of(&answer, "content-security-policy"));
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&body);
    assert!(STATUSES.contains(&status.as_u16()), "{shown}: {status} {text}");
    if status == 303 {
        assert!(is_page(&path), "{shown}: {location}");
        assert!(location.starts_with('/') && !location.starts_with("//"), "{shown}: {location}");
        return;
    }
    if media_type.starts_with("text/html") {
        // The form to sign in is shown to whoever asks for it.
        let is_form = path == "/signin" && ["GET", "HEAD"].contains(&method.as_str());
        // An address that is no route's, or a method that none of its routes has. The page says nothing else, and repeats nothing.
        let is_nowhere = match status.as_u16() {
            404 => is_head || text.contains("<h1>There is nothing here</h1><p><a href=\"/\">"),
            405 => is_head || text.contains("<h1>This method is not allowed here</h1><p><a href=\"/\">"),
            _ => false,
        };
        assert!((is_page(&path) || is_nowhere) && (takes_pages || is_form), "{shown}: {text}");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{shown}: {policy}");
        assert!(is_head || text.ends_with("</html>"), "{shown}: {text}");
        return;
    }
    let is_list_of_routes =
        media_type == "text/plain; charset=utf-8" && text.starts_with("casebridge keeps ");
    let is_style = media_type.starts_with("text/css") && path == "/assets/page.css";
    if media_type.starts_with("application/openmetrics-text") || is_head || is_list_of_routes || is_style {
        return;
    }
    let value: Value =
        serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{shown}: {status} {media_type} {text}"));
    match media_type.as_str() {
        "application/problem+json" => {
            assert_eq!(value["status"], status.as_u16(), "{shown}: {text}");
            assert!(value["title"].as_str().is_some_and(|title| !title.is_empty()), "{shown}: {text}");
            assert!(![value["title"].as_str()].contains(&Some("The service failed")), "{shown}: {text}");
        }
        "application/json" => assert!(value.is_object(), "{shown}: {text}"),
        other => panic!("{shown}: {status} {other:?} {text}"),
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn every_request_gets_a_documented_answer(requests in prop::collection::vec(made(), 24), cloud in any::<bool>()) {
        panics::watch();
        run(async {
            let token = cloud.then_some("the-admin-token");
            let none = || std::sync::Arc::new(casebridge::outbound::NoCredentials) as std::sync::Arc<dyn casebridge::outbound::Credentials>;
            let connector = Connector::with(Kind::JiraCloud, [none(), none()], token).await;
            for made in requests {
                is_answered(&connector, made).await;
            }
        });
        panics::assert_none();
    }
}

/// A path is not always text.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_text_is_refused_as_a_problem() {
    let connector = Connector::new(Kind::JiraCloud).await;
    for (method, target) in [
        ("POST", "/tasks/%ff"),
        ("GET", "/cron/%ff"),
        ("GET", "/api/mappings/%ff"),
        ("GET", "/api/mappings?after=%ff&limit=%fe"),
    ] {
        let made = Made {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("host".to_owned(), b"localhost".to_vec())],
            body: MadeBody::Whole(Vec::new()),
        };
        let (status, media_type, body) = ask(&connector.router, made.request().unwrap()).await;
        let text = String::from_utf8_lossy(&body);
        assert!([400, 404].contains(&status.as_u16()), "{target}: {status} {text}");
        assert_eq!(media_type, "application/problem+json", "{target}: {text}");
    }
}
