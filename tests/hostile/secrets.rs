//! No secret is told: not in a log at its finest level, not in an error, a metric, an answer or a `Debug` output; not when the
//! upstream repeats it, whole, decoded, or where a message is cut.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use casebridge::cases::{Needs, Visibility};
use casebridge::config::{Config, Secret};
use casebridge::crm::CrmKind as _;
use casebridge::crm::jira::{Deployment, JiraSettings};
use casebridge::crm::request_tracker::RequestTrackerSettings;
use casebridge::crm::servicenow::ServiceNowSettings;
use casebridge::crm::zendesk::ZendeskSettings;
use casebridge::entities::Priority;
use casebridge::outbound::{Credentials, bearer};
use serde_json::json;

use crate::connector::Connector;
use crate::spoil::{How, Spoil};
use crate::subjects::{Kind, clock, open_with};
use casebridge_testkit::harness::INTERNAL_TOKEN;
use casebridge_testkit::harness::log::Log;

const ADMIN: &str = "adm1n-7f3a9c-secret";
const GOOGLE: &str = "ya29.g00gle-5e1d-secret";
const CRM: &str = "crm-8b2e4f6a-secret";

fn site() -> reqwest::Url {
    "http://localhost".parse().unwrap()
}

/// Each way in which a CRM is told who calls: what it is, and the CRM.
fn ways() -> Vec<(&'static str, Kind, Arc<dyn Credentials>)> {
    let some = |text: &str| Some(text.to_owned());
    let jira = JiraSettings { email: some("bot@example.com"), ..JiraSettings::default() };
    let data_center = JiraSettings { deployment: Deployment::DataCenter, ..JiraSettings::default() };
    let zendesk = ZendeskSettings { email: some("bot@example.com"), ..ZendeskSettings::default() };
    let servicenow = |settings: ServiceNowSettings| settings.credentials(CRM, &site()).unwrap();
    let plain = ServiceNowSettings::default;
    let tracker =
        RequestTrackerSettings { user: "casebridge".to_owned(), ..RequestTrackerSettings::default() };
    vec![
        ("Jira's API token", Kind::JiraCloud, jira.credentials(CRM, &site()).unwrap()),
        (
            "Jira's personal access token",
            Kind::JiraDataCenter,
            data_center.credentials(CRM, &site()).unwrap(),
        ),
        ("Zendesk's API token", Kind::Zendesk, zendesk.credentials(CRM, &site()).unwrap()),
        (
            "Zendesk's OAuth token",
            Kind::Zendesk,
            ZendeskSettings::default().credentials(CRM, &site()).unwrap(),
        ),
        (
            "ServiceNow's password",
            Kind::ServiceNow,
            servicenow(ServiceNowSettings { user: some("bot"), password: some("env:X"), ..plain() }),
        ),
        (
            "ServiceNow's API key",
            Kind::ServiceNow,
            servicenow(ServiceNowSettings { api_key: some("env:X"), ..plain() }),
        ),
        (
            "ServiceNow's OAuth token",
            Kind::ServiceNow,
            servicenow(ServiceNowSettings { oauth_token: some("env:X"), ..plain() }),
        ),
        ("Request Tracker's token", Kind::RequestTracker, tracker.credentials(CRM, &site()).unwrap()),
    ]
}

/// What an upstream may say when it repeats what it was sent, in each shape that is read.
fn echoes(secret: &str, header: &str) -> Vec<String> {
    let decoded = header
        .split(' ')
        .next_back()
        .and_then(|coded| STANDARD.decode(coded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    let mut words = vec![
        format!("no such token: {secret}"),
        format!("Authorization: {header}"),
        format!("who is {decoded}?"),
        format!("token={secret}&x=y"),
    ];
    // Whatever is cut off, the rest of it is no message.
    words.extend((470..500).step_by(3).map(|length| format!("{}{secret}", "a".repeat(length))));
    words.extend((470..500).step_by(7).map(|length| format!("{}{header}", "a".repeat(length))));
    let mut bodies = Vec::new();
    for text in words {
        bodies.push(json!({ "error": { "message": text } }));
        bodies.push(json!({ "errorMessages": [text] }));
        bodies.push(json!({ "message": text }));
        bodies.push(json!({ "error": { "message": "Operation Failed", "detail": text } }));
        bodies.push(json!({ "errors": { "field": text } }));
        bodies.push(json!({ "details": { "status": [{ "description": text }] } }));
    }
    bodies.iter().map(ToString::to_string).collect()
}

fn always(how: How) -> Spoil {
    Spoil { at: 0, times: 1_000_000, how, place: 0 }
}

/// A text must not hold a secret, nor the greater part of one.
fn assert_silent(what: &str, text: &str, header: &str) {
    let coded = header.split(' ').next_back().unwrap();
    for secret in [ADMIN, GOOGLE, CRM, INTERNAL_TOKEN, coded] {
        let part = &secret[..secret.len().min(12)];
        if let Some(at) = text.find(part) {
            let around: String =
                text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what} tells {part}…: {around}{}", text[at..].chars().take(80).collect::<String>());
        }
    }
}

async fn header_of(credentials: &Arc<dyn Credentials>) -> String {
    let (_, value) = credentials.header().await.unwrap().unwrap();
    assert!(value.is_sensitive());
    value.to_str().unwrap().to_owned()
}

/// On one thread, so that all of it is heard.
#[tokio::test]
async fn no_secret_is_told_whatever_the_upstreams_repeat() {
    let google: Arc<dyn Credentials> = Arc::new(bearer(GOOGLE).unwrap());
    for (what, kind, credentials) in ways() {
        let log = Log::default();
        let _guard = log.capture(clock());
        let header = header_of(&credentials).await;
        let connector = Connector::with(kind, [google.clone(), credentials], Some(ADMIN)).await;
        let mut told = String::new();
        // While all is well, and then while nothing is.
        let mut answers = connector.round(Some(ADMIN)).await;
        answers.extend(connector.round(Some(ADMIN)).await);
        let bodies = echoes(CRM, &header);
        for (index, body) in bodies.iter().enumerate() {
            let status = [401, 403, 400, 500, 422, 429][index % 6];
            let spoils =
                |body: &str| vec![always(How::Status(status)), always(How::Body(body.as_bytes().to_vec()))];
            connector.company.spoiler.begin(spoils(body));
            connector
                .google
                .spoiler
                .begin(spoils(&body.replace(CRM, GOOGLE).replace(&header, &format!("Bearer {GOOGLE}"))));
            let error = connector.company.system.get(&connector.company.case).await.unwrap_err();
            writeln!(told, "{error}\n{error:?}").unwrap();
            let error = connector.google.system.get(&connector.google.case).await.unwrap_err();
            writeln!(told, "{error}\n{error:?}").unwrap();
            if index % 12 == 0 {
                answers.extend(connector.round(Some(ADMIN)).await);
            }
        }
        for check in connector.company.system.check(Needs::all(Visibility::Internal)).await {
            writeln!(told, "{check:?}").unwrap();
        }
        for (_, _, body) in &answers {
            told.push_str(&String::from_utf8_lossy(body));
        }
        for (path, token) in [
            ("/api/mappings", ADMIN),
            ("/api/mappings/1", ADMIN),
            ("/api/global", ADMIN),
            ("/metrics", ADMIN),
            ("/api/mappings", INTERNAL_TOKEN),
            ("/api/mappings", CRM),
            ("/healthz/sync", ADMIN),
        ] {
            let request = Request::get(path)
                .header("host", "localhost")
                .header("authorization", format!("Bearer {token}"));
            let (status, _, body) = connector.ask(request.body(Body::empty()).unwrap()).await;
            writeln!(told, "{path}: {status} {}", String::from_utf8_lossy(&body)).unwrap();
        }
        told.push_str(&connector.metrics.render());
        let log = log.text();
        assert!(log.len() > 10_000, "{what}: the log is not heard: {log}");
        assert!(told.contains("[secret]"), "{what}: nothing was repeated: {told:.2000}");
        assert_silent(&format!("{what}: an output"), &told, &header);
        assert_silent(&format!("{what}: the log"), &log, &header);
    }
}

/// What Request Tracker refuses, it answers with 200 and a sentence.
#[tokio::test]
async fn a_refusal_that_looks_like_a_success_tells_no_secret_either() {
    let settings =
        RequestTrackerSettings { user: "casebridge".to_owned(), ..RequestTrackerSettings::default() };
    let credentials = settings.credentials(CRM, &site()).unwrap();
    let header = header_of(&credentials).await;
    let subject = open_with(Kind::RequestTracker, clock(), credentials).await;
    let said = json!([format!("Priority: {header} may not"), format!("{}{CRM}", "a".repeat(440))]);
    let unchanged =
        json!({ "id": 1, "Status": "open", "Priority": "50", "LastUpdatedBy": { "id": "casebridge" } });
    let instead = |at, body: &serde_json::Value| Spoil {
        at,
        times: 1,
        how: How::Body(body.to_string().into_bytes()),
        place: 0,
    };
    subject.spoiler.begin(vec![instead(1, &said), instead(2, &unchanged)]);
    let error = subject.system.set_priority("1", Priority::P0).await.unwrap_err();
    assert!(error.message.contains("[secret]"), "{error}");
    assert_silent("the error", &format!("{error} {error:?}"), &header);
}

#[test]
fn no_debug_output_shows_a_secret() {
    let secret = Secret::new(CRM);
    assert!(!format!("{secret:?} {:?}", Some(secret.clone())).contains("crm-"));
    // The configuration holds where secrets are kept, and none of them.
    let text = r#"
        [server]
        admin_token = "file:/nowhere/admin"
        [google]
        parent = "organizations/123"
        classification_id = "1"
        [company]
        kind = "jira"
        base_url = "https://example.atlassian.net"
        [company.jira]
        project = "SUP"
        email = "bot@example.com"
        api_token = "env:HOSTILE_TEST_TOKEN"
    "#;
    let environment = [("HOSTILE_TEST_TOKEN".to_owned(), CRM.to_owned())];
    let config = Config::parse(text, environment.into_iter()).unwrap();
    assert!(!format!("{config:#?}").contains("crm-"));
}
