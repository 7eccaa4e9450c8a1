//! Authorisation of callers for each route (`R5`), and the answers that they get (`R4`, `R24`).

use std::net::SocketAddr;

use casebridge::config::{Platform, Secret, Trust};
use casebridge::http::{Access, Endpoint, MAX_BODY, Proof, ROUTES, SHARED_FOR};
use casebridge::sandbox::faults::{Effect, Fault};
use chrono::Duration;
use reqwest::Method;
use serde_json::{Value, json};

use casebridge_testkit::harness::desk::NewCompanyCase;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::{INTERNAL_TOKEN, World};

const ADMIN: &str = "the-admin-token";

/// Request to each route, and the callers besides people that may make it. The first test fails if a route is missing here.
const REQUESTS: &[(Endpoint, &str, &str, Others)] = &[
    (Endpoint::RunTask, "POST", "/tasks/poll-google", Others::Queues),
    (Endpoint::QueueTask, "GET", "/cron/poll-google", Others::Cron),
    // Each message has a proof of its own (tests/it/push.rs); without push in the configuration there is nothing.
    (Endpoint::Push, "POST", "/push/company", Others::Everybody),
    (Endpoint::Index, "GET", "/", Others::Everybody),
    (Endpoint::Style, "GET", "/assets/page.css", Others::Everybody),
    (Endpoint::SignIn, "GET", "/signin", Others::Everybody),
    (Endpoint::SignOut, "POST", "/signout", Others::Everybody),
    (Endpoint::PairList, "GET", "/cases", Others::Nobody),
    (Endpoint::LinkForm, "POST", "/cases/link", Others::Nobody),
    (Endpoint::PairPage, "GET", "/cases/1", Others::Nobody),
    (Endpoint::PairAction, "POST", "/cases/1/retry", Others::Nobody),
    (Endpoint::Healthz, "GET", "/healthz", Others::Everybody),
    (Endpoint::Readyz, "GET", "/readyz", Others::Everybody),
    (Endpoint::HealthzSync, "GET", "/healthz/sync", Others::Everybody),
    (Endpoint::Mappings, "GET", "/api/mappings", Others::Nobody),
    (Endpoint::Mapping, "GET", "/api/mappings/1", Others::Nobody),
    (Endpoint::Pairs, "GET", "/api/v1/mappings", Others::Nobody),
    (Endpoint::Link, "POST", "/api/v1/mappings/link", Others::Nobody),
    (Endpoint::Pair, "GET", "/api/v1/mappings/1", Others::Nobody),
    (Endpoint::ActOnPair, "POST", "/api/v1/mappings/1/retry", Others::Nobody),
    (Endpoint::DeadLetters, "GET", "/api/v1/dead-letters", Others::Nobody),
    (Endpoint::OpenApi, "GET", "/api/v1/openapi.json", Others::Everybody),
    (Endpoint::Global, "GET", "/api/global", Others::Nobody),
    (Endpoint::Check, "GET", "/api/check", Others::Nobody),
    (Endpoint::Metrics, "GET", "/metrics", Others::Nobody),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Everybody,
    Queues,
    Cron,
    Nobody,
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Answer of the service: status, media type, authentication scheme asked for, and body.
struct Answer {
    status: u16,
    media_type: String,
    challenge: Option<String>,
    body: Value,
}

async fn ask(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: Headers<'_>,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let method: Method = method.parse().unwrap();
    let mut request = reqwest::Client::new().request(method, format!("http://{at}{path}")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (media_type, challenge) = (header("content-type").unwrap_or_default(), header("www-authenticate"));
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    Answer { status, media_type, challenge, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
}

/// Asserts that an answer is an error in the format of RFC 9457.
fn assert_problem(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    assert_eq!(answer.media_type, "application/problem+json", "{what}");
    assert_eq!(answer.body["status"], status, "{what}");
    assert!(answer.body["type"].as_str().unwrap().starts_with("urn:casebridge:"), "{what}: {}", answer.body);
    assert!(!answer.body["title"].as_str().unwrap().is_empty(), "{what}");
    assert_eq!(answer.challenge.is_some(), status == 401, "{what}");
}

#[tokio::test]
async fn every_route_refuses_whoever_has_no_proof_and_nothing_is_done() {
    let routes: Vec<Endpoint> = ROUTES.iter().map(|(endpoint, ..)| *endpoint).collect();
    let listed: Vec<Endpoint> = REQUESTS.iter().map(|(endpoint, ..)| *endpoint).collect();
    assert_eq!(routes, listed, "a new route needs a line in REQUESTS");

    let world = World::new(&JiraKind).await;
    world.google_case("Not to be seen");
    let queue = format!("Bearer {INTERNAL_TOKEN}x");
    let everywhere: &[Headers<'_>] = &[
        &[],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer")],
        &[("authorization", "Basic dGhlLWFkbWluLXRva2Vu")],
        &[("authorization", ADMIN)],
        &[("authorization", &queue)],
        &[("authorization", "Bearer the-admin-token-and-more")],
        &[("cookie", "token=the-admin-token")],
        &[("x-appengine-cron", "false")],
        &[("origin", "https://evil.example")],
    ];
    let forged: &[Headers<'_>] = &[
        &[("x-appengine-cron", "true")],
        &[("x-appengine-queuename", "poll-google")],
        &[
            ("x-appengine-queuename", "poll-google"),
            ("x-appengine-taskname", "1"),
            ("x-appengine-cron", "true"),
        ],
        &[("x-appengine-queuename", "sync-google-case"), ("authorization", "Bearer wrong")],
        &[("x-cloudtasks-queuename", "poll-google")],
        &[("x-appengine-user-ip", "0.1.0.2")],
    ];
    for (platform, token) in [
        (Platform::Local, Some(ADMIN)),
        (Platform::AppEngine, Some(ADMIN)),
        // On App Engine the peer is a local proxy, so without a configured token no person is let in.
        (Platform::AppEngine, None),
    ] {
        let at = world.another_instance(platform, token).await;
        for (endpoint, method, path, others) in REQUESTS {
            let mut attempts = everywhere.to_vec();
            if platform == Platform::Local {
                attempts.extend(forged);
            }
            for headers in attempts {
                let answer = ask(at, method, path, headers, "").await;
                let what = format!("{platform:?} {token:?} {endpoint:?} {headers:?}");
                if *others == Others::Everybody {
                    assert_ne!(answer.status, 401, "{what}");
                } else {
                    assert_problem(&answer, 401, &what);
                }
            }
        }
    }
    world.deliver().await;
    assert_eq!(world.mappings().await.len(), 0);
    assert_eq!(world.csapi.faults().calls(), Vec::new());
    assert_eq!(world.company_faults().calls(), Vec::new());
}

#[tokio::test]
async fn each_proof_opens_its_own_routes_and_no_others() {
    let world = World::new(&JiraKind).await;
    let token = format!("Bearer {INTERNAL_TOKEN}");
    let admin = format!("Bearer {ADMIN}");
    let local = world.another_instance(Platform::Local, Some(ADMIN)).await;
    let cloud = world.another_instance(Platform::AppEngine, Some(ADMIN)).await;
    let as_person: Headers<'_> = &[("authorization", &admin)];
    let as_queue: Headers<'_> = &[("authorization", &token)];
    let as_cron: Headers<'_> = &[("authorization", &token), ("x-appengine-cron", "true")];
    let platform_queue: Headers<'_> = &[("x-appengine-queuename", "poll-google")];
    let platform_cron: Headers<'_> = &[("x-appengine-cron", "true")];
    for (endpoint, method, path, others) in REQUESTS {
        for (at, headers, may) in [
            (local, as_person, true),
            (cloud, as_person, true),
            (local, as_queue, *others == Others::Queues),
            (cloud, as_queue, *others == Others::Queues),
            (cloud, platform_queue, *others == Others::Queues),
            (local, as_cron, *others == Others::Cron),
            (cloud, platform_cron, *others == Others::Cron),
        ] {
            let answer = ask(at, method, path, headers, "").await;
            let what = format!("{endpoint:?} {headers:?}");
            if *endpoint == Endpoint::SignOut && answer.status == 403 {
                // No caller is refused, but a form that no page of the service has sent.
                continue;
            }
            if may || *others == Others::Everybody {
                assert!(!matches!(answer.status, 401 | 403), "{what}: {}", answer.body);
            } else {
                assert_problem(&answer, 403, &what);
            }
        }
    }
}

#[tokio::test]
async fn without_a_token_only_somebody_at_this_machine_is_let_in_and_no_page_in_a_browser() {
    let world = World::new(&JiraKind).await;
    let port = world.service.port();
    let local = format!("localhost:{port}");
    let rebound = format!("evil.example:{port}");
    for (headers, status) in [
        (&[] as Headers<'_>, 200),
        (&[("host", &local)], 200),
        (&[("sec-fetch-site", "none")], 200),
        (&[("origin", "https://evil.example")], 401),
        (&[("origin", "null")], 401),
        (&[("origin", "http://localhost:3000")], 401),
        (&[("sec-fetch-site", "cross-site")], 401),
        (&[("sec-fetch-site", "same-site")], 401),
        (&[("x-forwarded-for", "203.0.113.7")], 401),
        (&[("forwarded", "for=203.0.113.7")], 401),
        (&[("via", "1.1 proxy")], 401),
        (&[("x-real-ip", "203.0.113.7")], 401),
        (&[("x-forwarded-host", "cases.example")], 401),
        (&[("x-forwarded-proto", "https")], 401),
        (&[("host", "cases.example")], 401),
        (&[("host", &rebound)], 401),
        (&[("host", "127.0.0.1.evil.example")], 401),
        (&[("authorization", "Bearer anything")], 401),
    ] {
        let answer = ask(world.service, "GET", "/api/global", headers, "").await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_can_never_succeed_is_an_error_to_a_person_and_abandoned_to_a_queue() {
    let world = World::new(&JiraKind).await;
    let token = format!("Bearer {INTERNAL_TOKEN}");
    let unflagged = world.desk.opens(NewCompanyCase::new("No flag")).await;
    let unflagged = json!({ "case_id": unflagged }).to_string();
    let huge = format!(r#"{{"case_id": "{}"}}"#, "1".repeat(MAX_BODY));
    for (task, body, to_a_person) in [
        ("sync-google-case", "", 400),
        ("sync-google-case", "{", 400),
        ("sync-google-case", "{}", 400),
        ("sync-google-case", "[]", 400),
        ("sync-google-case", "null", 400),
        ("sync-google-case", "\u{0}", 400),
        ("sync-google-case", r#"{"case_name": 7}"#, 400),
        ("sync-google-case", r#"{"case_name": "\ud800"}"#, 400),
        ("sync-google-case", r#"{"case_id": "10001"}"#, 400),
        ("sync-google-case", r#"{"case_name": "organizations/123/cases/1", "more": 1}"#, 400),
        ("sync-google-case", r#"{"case_name": ""}"#, 404),
        ("sync-google-case", r#"{"case_name": "organizations/123/cases/../../projects"}"#, 404),
        ("sync-google-case", r#"{"case_name": "organizations/123/cases/1?x=y"}"#, 404),
        ("sync-google-case", r#"{"case_name": "organizations/123/cases/1"}"#, 404),
        ("sync-company-case", r#"{"case_name": "organizations/123/cases/1"}"#, 400),
        ("sync-company-case", r#"{"case_id": "10001/../../search"}"#, 404),
        ("sync-company-case", r#"{"case_id": "99999"}"#, 404),
        ("sync-company-case", &unflagged, 404),
        ("sync-company-case", &huge, 413),
    ] {
        let path = format!("/tasks/{task}");
        let what: String = format!("{task} {body}").chars().take(90).collect();
        let answer = ask(world.service, "POST", &path, &[], body.to_owned()).await;
        if to_a_person == 404 {
            assert_eq!((answer.status, &answer.body["outcome"]), (404, &json!("abandoned")), "{what}");
        } else {
            assert_problem(&answer, to_a_person, &what);
        }
        let answer = ask(world.service, "POST", &path, &[("authorization", &token)], body.to_owned()).await;
        assert_eq!(
            (answer.status, &answer.body["outcome"]),
            (200, &json!("abandoned")),
            "{what}: {}",
            answer.body
        );
        assert_eq!(answer.body["task"], task);
        assert!(!answer.body["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(world.mappings().await.len(), 0);
    assert_eq!(world.sizes().await, (0, 1));
    // The metric counts all requests of the queue, and those of people except malformed ones (400 and 413).
    let metrics = world.deps.metrics.render();
    for (task, abandoned) in [("sync-google-case", 14 + 4), ("sync-company-case", 5 + 3)] {
        let line = format!(r#"casebridge_tasks_total{{task="{task}",outcome="abandoned"}} {abandoned}"#);
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_query_parameter_that_an_endpoint_does_not_know_is_refused_and_nothing_is_done() {
    let world = World::new(&JiraKind).await;
    let case = world.company_case("Not to be carried").await;
    world.google_case("Not to be carried either");
    let sync = json!({ "case_id": case }).to_string();
    let admin = format!("Bearer {ADMIN}");
    let token = format!("Bearer {INTERNAL_TOKEN}");
    let at = world.another_instance(Platform::Local, Some(ADMIN)).await;
    for (endpoint, method, path, others) in REQUESTS {
        // What a CRM's own webhook appends to its address is no concern of ours.
        if *endpoint == Endpoint::Push {
            continue;
        }
        for query in ["?surely_unknown=1", "?surely_unknown", "?Limit=1", "?%ff=1", "?&x&"] {
            let answer = ask(at, method, &format!("{path}{query}"), &[("authorization", &admin)], "").await;
            assert_problem(&answer, 400, &format!("{path}{query}"));
        }
        // Who proves nothing learns nothing of the parameters.
        let answer = ask(at, method, &format!("{path}?surely_unknown=1"), &[], "").await;
        assert_problem(&answer, if *others == Others::Everybody { 400 } else { 401 }, path);
    }
    for (headers, path, words) in [
        (
            &admin,
            "/api/mappings?limits=3",
            &["limits", "after, case, filter, limit", "did you mean limit?"] as &[_],
        ),
        (&admin, "/api/mappings?limit=3&limit=4", &["limit", "twice"]),
        (&admin, "/api/global?x", &["x", "takes none"]),
        (&admin, "/api/mappings?a%0ab=1", &["a b"]),
    ] {
        let answer = ask(at, "GET", path, &[("authorization", headers)], "").await;
        assert_problem(&answer, 400, path);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(words.iter().all(|word| detail.contains(word)), "{path}: {detail}");
    }
    for headers in [&admin, &token] {
        let path = "/tasks/sync-company-case?dry_rn=true";
        let answer = ask(at, "POST", path, &[("authorization", headers)], sync.clone()).await;
        assert_problem(&answer, 400, path);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("dry_rn; did you mean dry_run?"), "{detail}");
    }
    for (flag, status) in [("maybe", 400), ("True", 400), ("1", 400), ("true", 200), ("", 200)] {
        let path = format!("/tasks/sync-company-case?dry_run={flag}");
        let answer = ask(at, "POST", &path, &[("authorization", &admin)], sync.clone()).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(answer.body.get("plan").is_some(), status == 200, "{path}: {}", answer.body);
    }
    assert_ne!(ask(at, "POST", "/push/company?user_id=jane&user_key=jane", &[], "").await.status, 400);
    let allowed = "/api/mappings?after=0&limit=2&filter=all";
    assert_eq!(ask(at, "GET", allowed, &[("authorization", &admin)], "").await.status, 200);
    assert_eq!(ask(at, "GET", "/api/global?", &[("authorization", &admin)], "").await.status, 200);
    world.deliver().await;
    assert_eq!(world.mappings().await.len(), 0);
    assert_eq!(world.sizes().await, (1, 1));
}

#[tokio::test]
async fn a_field_that_a_tasks_body_does_not_have_is_refused_by_name() {
    let world = World::new(&JiraKind).await;
    let case = world.company_case("Not to be carried").await;
    for (task, body, words) in [
        (
            "sync-company-case",
            json!({ "case_id": case, "dry_run": true }),
            &["\"dry_run\"", "case_id, hinted"] as &[_],
        ),
        ("sync-company-case", json!({ "case_ID": case }), &["\"case_ID\"", "did you mean case_id?"]),
        (
            "sync-google-case",
            json!({ "case": "organizations/123/cases/1" }),
            &["\"case\"", "case_name, hinted"],
        ),
        ("poll-google", json!({ "dry_run": true }), &["\"dry_run\"", "takes no body"]),
        ("poll-company", json!([]), &["takes no body"]),
        ("cleanup", json!("now"), &["takes no body"]),
    ] {
        let answer = ask(world.service, "POST", &format!("/tasks/{task}"), &[], body.to_string()).await;
        assert_problem(&answer, 400, task);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(words.iter().all(|word| detail.contains(word)), "{task}: {detail}");
    }
    assert_eq!(world.mappings().await.len(), 0);
    let polled = world.deps.store.global().await.unwrap();
    assert_eq!((polled.google_last_polled_at, polled.company_last_polled_at), (None, None));
    // What queues and cron send, of any version, and what a person with curl may.
    for body in ["", "{}", " {} \n"] {
        assert_eq!(ask(world.service, "POST", "/tasks/cleanup", &[], body).await.status, 200, "{body:?}");
    }
    let token = format!("Bearer {INTERNAL_TOKEN}");
    let answer = ask(world.service, "POST", "/tasks/cleanup", &[("authorization", &token)], "null").await;
    assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("done")), "a queue's poll goes on");
}

#[test]
fn without_trust_only_a_token_is_a_proof() {
    let internal = Secret::new(INTERNAL_TOKEN);
    let headers = |name: &'static str, value: &'static str| {
        axum::http::HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            axum::http::HeaderValue::from_static(value),
        )])
    };
    for (trust, name, value, access, accepted) in [
        (Trust::Token, "x-appengine-queuename", "poll-google", Access::Tasks, false),
        (Trust::Token, "x-appengine-cron", "true", Access::Cron, false),
        (Trust::Token, "host", "localhost", Access::People, false),
        (Trust::Loopback, "x-appengine-queuename", "poll-google", Access::Tasks, false),
        (Trust::Loopback, "host", "localhost", Access::People, true),
        (Trust::AppEngineHeaders, "x-appengine-queuename", "poll-google", Access::Tasks, true),
        (Trust::AppEngineHeaders, "host", "localhost", Access::People, false),
    ] {
        let proof = Proof {
            trust,
            admin_token: None,
            internal_token: &internal,
            peer: Some(SocketAddr::from(([127, 0, 0, 1], 50_000))),
        };
        let found = proof.identity(&headers(name, value), access);
        assert_eq!(found.is_ok(), accepted, "{trust:?} {name}");
    }
}

#[tokio::test]
async fn the_first_page_names_every_route_and_nothing_of_a_case() {
    let world = World::new(&JiraKind).await;
    let case = world.google_case("Not to be seen");
    world.settle().await;
    let response = reqwest::get(format!("http://{}/", world.service)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let text = response.text().await.unwrap();
    for (_, path, _) in ROUTES {
        assert!(text.split_whitespace().any(|word| word == *path), "{path}: {text}");
    }
    assert!(!text.contains(&case) && !text.contains("Not to be seen"), "{text}");
}

#[tokio::test]
async fn the_service_checks_itself_for_a_person() {
    let world = World::new(&JiraKind).await;
    let check = || async { ask(world.service, "GET", "/api/check", &[], "").await };
    let good = check().await;
    assert_eq!((good.status, &good.body["ok"]), (200, &json!(true)), "{}", good.body);
    let tried = |answer: &Answer, what: &str| {
        let checks = answer.body["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["what"].as_str().unwrap().starts_with(what));
        found.unwrap_or_else(|| panic!("{what}: {}", answer.body))["result"].clone()
    };
    assert_eq!(tried(&good, "store"), json!({ "Ok": "can be read and written" }));
    let store = json!({
        "status": "ok", "what": "store", "detail": "can be read and written", "hint": null,
        "result": { "Ok": "can be read and written" },
    });
    assert_eq!(good.body["checks"][0], store);
    // The organisation has no case yet.
    assert_eq!(good.body["status"], "WARN", "{}", good.body);
    world.csapi.faults().add(Fault::always(Effect::ErrorBefore { status: 403, body: None }));
    let bad = check().await;
    assert_eq!((bad.status, &bad.body["ok"]), (500, &json!(false)), "{}", bad.body);
    assert_eq!(bad.body["status"], "FAILED", "{}", bad.body);
    let reason = tried(&bad, "CSAPI: search cases");
    assert!(reason["Err"].as_str().unwrap().contains("roles/cloudsupport.techSupportEditor"), "{reason}");
    assert_eq!(tried(&bad, "store"), json!({ "Ok": "can be read and written" }));
}

#[tokio::test]
async fn what_may_pass_is_500_whatever_the_upstream_said() {
    let world = World::new(&JiraKind).await;
    let case = world.google_case("Disk is slow");
    world.settle().await;
    let token = format!("Bearer {INTERNAL_TOKEN}");
    let sync = json!({ "case_name": case }).to_string();
    for status in [400, 401, 403, 404, 408, 409, 418, 429, 500, 502, 503, 504] {
        for faults in [world.csapi.faults(), world.company_faults().clone()] {
            faults.add(Fault::always(Effect::ErrorBefore { status, body: None }));
        }
        for headers in [&[] as Headers<'_>, &[("authorization", &token)]] {
            for (task, body) in [("poll-google", ""), ("poll-company", ""), ("sync-google-case", &*sync)] {
                let answer =
                    ask(world.service, "POST", &format!("/tasks/{task}"), headers, body.to_owned()).await;
                assert_eq!(
                    (answer.status, &answer.body["outcome"], &answer.body["task"]),
                    (500, &json!("failed"), &json!(task)),
                    "{status} {task}: {}",
                    answer.body
                );
            }
        }
        world.csapi.faults().clear();
        world.company_faults().clear();
    }
    // The errors were not taken for the deletion of a case.
    assert_eq!(world.mapping().await.gone, None);
    assert_eq!(world.google_texts(&case).len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_said_as_a_problem() {
    let world = World::new(&JiraKind).await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/tasks", 404),
        ("POST", "/tasks/poll-everything", 404),
        ("GET", "/tasks/poll-google", 405),
        ("DELETE", "/api/mappings/1", 405),
        ("POST", "/cron/poll-google", 405),
        ("GET", "/cron/sync-google-case", 404),
        ("GET", "/cron/nothing", 404),
        ("GET", "/api/mappings/7", 404),
        ("GET", "/api/mappings/x", 400),
        ("GET", "/api/v1/mappings/7/retry", 405),
        ("GET", "/api/v1/mappings?filter=mine", 400),
        ("GET", "/api/mappings?limit=-1", 400),
        ("GET", "/api/mappings?after=x", 400),
        ("GET", "/api/mappings?filter=mine", 400),
    ] {
        assert_problem(&ask(world.service, method, path, &[], "").await, status, path);
    }
}

/// R24: without a support plan that includes the API, Google answers with empty lists, and so does an organisation that is really empty.
#[tokio::test]
async fn a_system_that_shows_no_case_at_all_is_a_warning_and_no_failure() {
    let world = World::new(&JiraKind).await;
    world.csapi.adjust(|switches| switches.no_support_plan = true);
    let case = world.google_case("Nobody sees it");
    let ask_json = async |path: &'static str| ask(world.service, "GET", path, &[], "").await;
    let gauge = async |side: &str| {
        let text =
            reqwest::get(format!("http://{}/metrics", world.service)).await.unwrap().text().await.unwrap();
        let start = format!("casebridge_empty_seconds{{side=\"{side}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
    };
    world.run_for(Duration::minutes(3)).await;
    let answer = ask_json("/healthz/sync").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("ok")), "it may be new");
    let warnings = answer.body["warnings"].as_array().cloned().unwrap_or_default();
    assert_eq!(warnings.len(), 2, "{}", answer.body);
    for (warning, words) in warnings.iter().zip([
        ["Google", "since 2026-11-24T09:0", "Enhanced or Premium", "casebridge check"],
        ["Jira", "since 2026-11-24T09:0", "flagged", "casebridge check"],
    ]) {
        for word in words {
            assert!(warning.as_str().unwrap().contains(word), "{word}: {warning}");
        }
    }
    // An hour of sweeps and a day's sweep over everything change nothing about it.
    world.run_for_long(Duration::hours(26)).await;
    let seconds: i64 = gauge("google").await.unwrap_or_default().parse().unwrap_or_default();
    assert!((93_600..=93_800).contains(&seconds), "{seconds}");
    assert!(!ask_json("/api/global").await.body["google"]["empty_since"].is_null());
    // The plan is bought. The company's case is made by the connector and is flagged.
    world.csapi.adjust(|switches| switches.no_support_plan = false);
    world.csapi.touch(&case).unwrap();
    world.run_for(Duration::minutes(5)).await;
    let answer = ask_json("/healthz/sync").await;
    assert_eq!((answer.status, answer.body.get("warnings")), (200, None), "{}", answer.body);
    for side in ["google", "company"] {
        assert_eq!(gauge(side).await.as_deref(), Some("0"), "{side}");
    }
    // A case that is closed and older than any look is still no sign of an empty system within the day.
    world.run_for_long(Duration::hours(20)).await;
    assert_eq!(ask_json("/healthz/sync").await.body.get("warnings"), None);
}

#[tokio::test]
async fn healthz_sync_fails_when_either_poll_is_ten_minutes_old() {
    let world = World::new(&JiraKind).await;
    let health = || async { ask(world.service, "GET", "/healthz/sync", &[], "").await };
    // One reading of the watermarks is cached and shared by all callers for a while.
    let polls = async |tasks: &[&str]| {
        for task in tasks {
            assert_eq!(world.post(task, json!({})).await.0, 200);
        }
        world.clock().advance(SHARED_FOR);
    };
    let answer = health().await;
    assert_eq!((answer.status, &answer.body["google_poll_age_seconds"]), (500, &Value::Null), "never polled");
    polls(&["poll-google"]).await;
    assert_eq!(health().await.status, 500, "the other was never polled");
    polls(&["poll-company"]).await;
    assert_eq!(health().await.status, 200);
    polls(&["poll-google", "poll-company"]).await;
    world.clock().advance(Duration::seconds(599) - SHARED_FOR);
    assert_eq!(health().await.status, 200);
    // Ages are computed at the time of the answer, even from a cached reading.
    world.clock().advance(Duration::seconds(1));
    let answer = health().await;
    let ages = [&answer.body["google_poll_age_seconds"], &answer.body["company_poll_age_seconds"]];
    assert_eq!((answer.status, ages), (500, [&json!(600), &json!(600)]));
    polls(&["poll-google"]).await;
    assert_eq!(health().await.status, 500, "one of them is not enough");
    // The clock was ahead: the last polls lie in the future, so the range of the next ones is unknown.
    polls(&["poll-google", "poll-company"]).await;
    assert_eq!(health().await.status, 200);
    world.clock().advance(-Duration::seconds(7_191) - SHARED_FOR);
    let answer = health().await;
    let ages = [&answer.body["google_poll_age_seconds"], &answer.body["company_poll_age_seconds"]];
    assert_eq!((answer.status, ages), (500, [&json!(-7_191), &json!(-7_191)]));
    assert_eq!(answer.body["status"], "clock-set-back");
    assert!(answer.body["detail"].as_str().unwrap().contains("timedatectl"), "{}", answer.body);
    polls(&["poll-google", "poll-company"]).await;
    assert_eq!(health().await.status, 200);
    // The answer comes from the store: neither system is called, so it does not depend on a system that is down.
    world.csapi.faults().clear_calls();
    world.company_faults().clear_calls();
    world.clock().advance(SHARED_FOR);
    health().await;
    assert_eq!((world.csapi.faults().calls().len(), world.company_faults().calls().len()), (0, 0));
}
