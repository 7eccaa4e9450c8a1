//! Sandbox Jira over real HTTP: the documented behaviour of the real one, and the traps that a connector must survive.

use std::collections::BTreeSet;
use std::sync::Arc;

use casebridge::clock::ManualClock;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{
    Deployment, FLAG_FIELD, FlagField, GOOGLE_NAME_FIELD, InPlaceOfContent, KeepUploads, Manners, NewIssue,
    ResolutionOnClosing, SandboxJira, SandboxJiraAuth, SandboxJiraSettings, SandboxTimeZone,
};
use chrono::{DateTime, Duration, Utc};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const BOTH: [Deployment; 2] = [Deployment::Cloud, Deployment::DataCenter];

fn settings(deployment: Deployment) -> SandboxJiraSettings {
    match deployment {
        Deployment::Cloud => SandboxJiraSettings::default(),
        Deployment::DataCenter => SandboxJiraSettings::data_center(),
    }
}

/// Sandbox Jira and its media host on ports of their own, until it is dropped.
struct Running {
    jira: SandboxJira,
    clock: Arc<ManualClock>,
    base: String,
    client: reqwest::Client,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

fn noon() -> DateTime<Utc> {
    "2026-07-01T12:00:00.250Z".parse().unwrap()
}

async fn start(settings: SandboxJiraSettings) -> Running {
    let clock = ManualClock::at(noon());
    let jira = SandboxJira::new(clock.clone(), settings);
    serve(jira, clock).await
}

async fn serve(jira: SandboxJira, clock: Arc<ManualClock>) -> Running {
    // Only the first call installs it; every test installs the same one.
    casebridge::outbound::install_tls();
    let mut addresses = Vec::new();
    let mut servers = Vec::new();
    for router in [jira.router(), jira.media_router()] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(format!("http://{}", listener.local_addr().unwrap()));
        servers.push(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }
    jira.set_media_base(&addresses[1]);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    Running { jira, clock, base: addresses[0].clone(), client, servers }
}

impl Running {
    fn url(&self, path: &str) -> String {
        match path.strip_prefix('/') {
            Some(_) => format!("{}{path}", self.base),
            None => format!("{}/rest/api/2/{path}", self.base),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, self.url(path));
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request.send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::PUT, path, Some(body)).await
    }

    async fn search(&self, parameters: &[(&str, &str)]) -> (StatusCode, Value) {
        let path = match self.jira.settings().deployment {
            Deployment::Cloud => "search/jql",
            Deployment::DataCenter => "search",
        };
        read(self.client.get(self.url(path)).query(parameters).send().await.unwrap()).await
    }

    /// Returns the IDs that a search finds, in order.
    async fn found(&self, parameters: &[(&str, &str)]) -> Vec<String> {
        let (status, body) = self.search(parameters).await;
        assert_eq!(status, 200, "{body}");
        ids(&body)
    }

    async fn upload(&self, issue: &str, part: Part) -> Response {
        let url = self.url(&format!("issue/{issue}/attachments"));
        let form = Form::new().percent_encode_noop().part("file", part);
        let request = self.client.post(url).header("X-Atlassian-Token", "no-check").multipart(form);
        request.send().await.unwrap()
    }

    fn issue(&self, issue: NewIssue) -> String {
        self.jira.create_issue(issue).unwrap()
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn ids(page: &Value) -> Vec<String> {
    let issues = page["issues"].as_array().unwrap();
    issues.iter().map(|issue| issue["id"].as_str().unwrap().to_owned()).collect()
}

fn text_part(name: &str, content: &str) -> Part {
    Part::bytes(content.as_bytes().to_vec()).file_name(name.to_owned()).mime_str("text/plain").unwrap()
}

fn new_issue(more: &Value) -> Value {
    let mut fields =
        json!({"project": {"key": "SUP"}, "issuetype": {"name": "Task"}, "summary": "A summary"});
    for (name, value) in more.as_object().unwrap() {
        fields[name] = value.clone();
    }
    json!({"fields": fields})
}

// ---------------------------------------------------------------- issues

#[tokio::test]
async fn an_issue_is_created_read_edited_and_deleted() {
    for deployment in BOTH {
        let server = start(settings(deployment)).await;
        let (status, created) = server
            .post(
                "issue",
                new_issue(&json!({
                    "description": "h1. raw {text}",
                    "priority": {"name": "High"},
                    "components": [{"name": "Google Cloud"}],
                    "labels": ["a"],
                    FLAG_FIELD: [{"value": "true"}],
                    GOOGLE_NAME_FIELD: "organizations/1/cases/2",
                })),
            )
            .await;
        assert_eq!(status, 201, "{created}");
        let id = created["id"].as_str().unwrap();
        assert_eq!(created["key"], "SUP-1");
        let issue = server.get(&format!("issue/{id}")).await;
        let fields = &issue["fields"];
        assert_eq!(fields["description"], "h1. raw {text}");
        assert_eq!(fields["priority"]["name"], "High");
        assert_eq!(fields["components"][0]["name"], "Google Cloud");
        assert_eq!(fields[FLAG_FIELD][0]["value"], "true");
        assert_eq!(fields[GOOGLE_NAME_FIELD], "organizations/1/cases/2");
        assert_eq!(fields["status"]["statusCategory"]["key"], "new");
        assert_eq!(fields["created"], "2026-07-01T12:00:00.250+0000");
        assert_eq!(fields["resolution"], Value::Null);
        let (who, key) = match deployment {
            Deployment::Cloud => ("accountId", true),
            Deployment::DataCenter => ("name", false),
        };
        assert!(fields["creator"][who].is_string(), "{fields}");
        assert_eq!(fields["creator"]["emailAddress"].is_null(), key, "Cloud hides addresses");

        server.clock.advance(Duration::milliseconds(1500));
        let edit = json!({"fields": {"priority": {"id": "1"}, FLAG_FIELD: null}, "update": {"labels": [{"add": "b"}]}});
        assert_eq!(server.put(&format!("issue/{id}"), edit).await.0, 204);
        let issue = server.get("issue/SUP-1?fields=priority,labels,updated,customfield_10050").await;
        assert_eq!(issue["fields"].as_object().unwrap().len(), 4);
        assert_eq!(issue["fields"]["priority"]["name"], "Highest");
        assert_eq!(issue["fields"]["labels"], json!(["a", "b"]));
        assert_eq!(issue["fields"]["updated"], "2026-07-01T12:00:01.750+0000");
        assert!(!server.jira.issue(id).unwrap().flagged);

        assert_eq!(server.send(Method::DELETE, "issue/SUP-1", None).await.0, 204);
        let (status, gone) = server.send(Method::GET, &format!("issue/{id}"), None).await;
        assert_eq!(status, 404);
        assert_eq!(gone["errors"], json!({}));
        assert!(gone["errorMessages"][0].as_str().unwrap().to_lowercase().contains("does not exist"));
    }
}

#[tokio::test]
async fn bad_fields_are_named_all_at_once() {
    let server = start(SandboxJiraSettings::default()).await;
    for (fields, errors) in [
        (
            json!({"components": [{"name": "Nope"}], "priority": {"name": "P1"}}),
            vec!["components", "priority"],
        ),
        (json!({"summary": "two\nlines"}), vec!["summary"]),
        (json!({"summary": "x".repeat(256)}), vec!["summary"]),
        (json!({"summary": ""}), vec!["summary"]),
        (json!({"customfield_99999": "x"}), vec!["customfield_99999"]),
        (json!({"resolution": {"name": "Done"}}), vec!["resolution"]),
        (json!({"status": {"name": "Done"}}), vec!["status"]),
        (json!({FLAG_FIELD: "true"}), vec![FLAG_FIELD]),
        (json!({FLAG_FIELD: [{"value": "yes"}]}), vec![FLAG_FIELD]),
        (json!({GOOGLE_NAME_FIELD: "x".repeat(256)}), vec![GOOGLE_NAME_FIELD]),
        (json!({"description": {"type": "doc"}}), vec!["description"]),
        (json!({"description": "x".repeat(32_768)}), vec!["description"]),
        (json!({"project": {"key": "NOPE"}}), vec!["project"]),
    ] {
        let (status, body) = server.post("issue", new_issue(&fields)).await;
        assert_eq!(status, 400, "{fields}: {body}");
        let named: Vec<_> = body["errors"].as_object().unwrap().keys().collect();
        assert_eq!(named, errors, "{body}");
    }
    let (_, body) = server.post("issue", json!({"fields": {}})).await;
    assert_eq!(body["errors"].as_object().unwrap().len(), 3, "{body}");
    assert_eq!(server.jira.issues().len(), 0);
}

#[tokio::test]
async fn a_body_must_be_json_without_nul() {
    let server = start(SandboxJiraSettings::default()).await;
    let send = |content_type: &'static str, body: &'static str| {
        let request = server.client.post(server.url("issue")).header("Content-Type", content_type).body(body);
        async { request.send().await.unwrap().status() }
    };
    assert_eq!(send("text/plain", "{}").await, 415);
    assert_eq!(send("application/json", "{").await, 400);
    assert_eq!(send("application/json", r#"{"fields": {"summary": "\ud800"}}"#).await, 400);
    assert_eq!(send("application/json", r#"{"fields": {"summary": "\u0000"}}"#).await, 500);
}

#[tokio::test]
async fn the_priority_may_be_missing_on_the_create_screen_only() {
    let server =
        start(SandboxJiraSettings { priority_on_create_screen: false, ..settings(Deployment::Cloud) }).await;
    let (status, body) = server.post("issue", new_issue(&json!({"priority": {"name": "High"}}))).await;
    assert_eq!(status, 400);
    assert!(body["errors"]["priority"].as_str().unwrap().contains("not on the appropriate screen"), "{body}");
    let (_, created) = server.post("issue", new_issue(&json!({}))).await;
    let path = format!("issue/{}", created["id"].as_str().unwrap());
    assert_eq!(server.put(&path, json!({"fields": {"priority": {"name": "High"}}})).await.0, 204);
    let fields = server.get("issue/createmeta?expand=projects.issuetypes.fields").await;
    assert!(fields["projects"][0]["issuetypes"][0]["fields"]["priority"].is_null());
    assert!(server.get(&format!("{path}/editmeta")).await["fields"]["priority"].is_object());
}

#[tokio::test]
async fn the_flag_may_be_a_checkbox_a_list_or_a_text() {
    for (flag_field, value, shown, jql) in [
        (FlagField::Checkbox, json!([{"value": "true"}]), "/0/value", "cf[10050] = \"true\""),
        (FlagField::Select, json!({"value": "true"}), "/value", "cf[10050] = true"),
        (FlagField::Text, json!("true"), "", "cf[10050] ~ true"),
    ] {
        let server = start(SandboxJiraSettings { flag_field, ..settings(Deployment::Cloud) }).await;
        let (status, created) = server.post("issue", new_issue(&json!({FLAG_FIELD: value}))).await;
        assert_eq!(status, 201, "{created}");
        let id = created["id"].as_str().unwrap();
        let issue = server.get(&format!("issue/{id}")).await;
        assert_eq!(issue["fields"][FLAG_FIELD].pointer(shown), Some(&json!("true")), "{flag_field:?}");
        assert!(server.jira.issue(id).unwrap().flagged);
        assert_eq!(server.found(&[("jql", jql)]).await, [id]);
        server.jira.set_flag(id, false).unwrap();
        assert_eq!(server.get(&format!("issue/{id}")).await["fields"][FLAG_FIELD], Value::Null);
    }
}

#[tokio::test]
async fn moving_hiding_and_cloning_behave_as_in_the_real_one() {
    for deployment in BOTH {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue {
            google_name: Some("organizations/1/cases/2".to_owned()),
            ..NewIssue::flagged("Original")
        });
        assert_eq!(server.jira.move_issue(&id, "OPS").unwrap(), "OPS-1");
        for name in [id.as_str(), "SUP-1", "OPS-1"] {
            let issue = server.get(&format!("issue/{name}")).await;
            assert_eq!((&issue["id"], &issue["key"]), (&json!(id), &json!("OPS-1")));
        }
        assert_eq!(server.found(&[("jql", "project = SUP")]).await, [""; 0]);
        assert_eq!(server.found(&[("jql", "key = SUP-1")]).await, [id.as_str()]);

        let clone = server.jira.clone_issue(&id).unwrap();
        let clone = server.jira.issue(&clone).unwrap();
        assert!(clone.flagged);
        assert_eq!(clone.google_name.as_deref(), Some("organizations/1/cases/2"));

        server.jira.set_visible(&id, false).unwrap();
        assert_eq!(server.send(Method::GET, &format!("issue/{id}"), None).await.0, 404);
        assert_eq!(server.found(&[("jql", "project = OPS")]).await, [clone.id]);
        let (status, _) = server.search(&[("jql", &format!("id = {id}"))]).await;
        assert_eq!(status, 400);
    }
}

// ---------------------------------------------------------------- comments

#[tokio::test]
async fn comments_are_listed_in_pages_and_either_order() {
    for deployment in BOTH {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue::new("An issue"));
        let added: Vec<_> =
            (0..5).map(|n| server.jira.comment(&id, "Jane Roe", &format!("number {n}")).unwrap()).collect();
        let page = |query: &'static str| {
            let path = format!("issue/{id}/comment?{query}");
            let server = &server;
            async move {
                let page = server.get(&path).await;
                assert_eq!(page["total"], 5);
                let comments = page["comments"].as_array().unwrap();
                comments.iter().map(|comment| comment["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            }
        };
        assert_eq!(page("").await, added);
        assert_eq!(
            page("orderBy=-created&startAt=1&maxResults=2").await,
            [added[3].clone(), added[2].clone()]
        );
        assert_eq!(page("orderBy=%2Bcreated&startAt=4").await, added[4..]);
        assert_eq!(page("startAt=9").await, [""; 0]);
        let bad = format!("issue/{id}/comment?orderBy=updated");
        assert_eq!(server.send(Method::GET, &bad, None).await.0, 400);
    }
}

#[tokio::test]
async fn a_comment_is_added_changed_and_deleted_and_marks_the_issue_updated() {
    let server = start(SandboxJiraSettings::default()).await;
    let id = server.issue(NewIssue::new("An issue"));
    let updated = || server.jira.issue(&id).unwrap().updated;
    server.clock.advance(Duration::seconds(1));
    let (status, comment) =
        server.post(&format!("issue/{id}/comment"), json!({"body": "*raw* [~text]"})).await;
    assert_eq!(status, 201);
    assert_eq!(comment["body"], "*raw* [~text]");
    assert_eq!(comment["author"]["displayName"], "Casebridge");
    assert_eq!(comment["jsdPublic"], true, "where there are no customers as well");
    assert_eq!(updated(), noon() + Duration::seconds(1));
    server.clock.advance(Duration::seconds(1));
    let path = format!("issue/{id}/comment/{}", comment["id"].as_str().unwrap());
    let (status, comment) = server.put(&path, json!({"body": "changed"})).await;
    assert_eq!((status, &comment["body"]), (StatusCode::OK, &json!("changed")));
    assert_eq!(comment["created"], "2026-07-01T12:00:01.250+0000");
    assert_eq!(comment["updated"], "2026-07-01T12:00:02.250+0000");
    assert_eq!(server.get(&path).await["body"], "changed");
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(server.send(Method::GET, &path, None).await.0, 404);
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 404);
}

#[tokio::test]
async fn comments_are_measured_in_utf16_units() {
    let server = start(SandboxJiraSettings::default()).await;
    let id = server.issue(NewIssue::new("An issue"));
    let path = format!("issue/{id}/comment");
    for (body, status) in [
        ("x".repeat(32_767), 201),
        ("x".repeat(32_768), 400),
        ("é".repeat(32_767), 201),
        // Each of these characters is two UTF-16 units.
        ("😀".repeat(16_383), 201),
        ("😀".repeat(16_384), 400),
        (" \n".to_owned(), 400),
    ] {
        let (got, answer) = server.post(&path, json!({"body": body})).await;
        assert_eq!(got, status);
        assert_eq!(answer["errors"]["comment"].is_string(), status == 400, "{answer}");
    }
}

#[tokio::test]
async fn internal_comments_exist_in_service_management_only() {
    let internal = json!([{"key": "sd.public.comment", "value": {"internal": true}}]);
    for (deployment, service_management) in [
        (Deployment::Cloud, true),
        (Deployment::Cloud, false),
        (Deployment::DataCenter, true),
        (Deployment::DataCenter, false),
    ] {
        let server = start(SandboxJiraSettings { service_management, ..settings(deployment) }).await;
        let id = server.issue(NewIssue::new("An issue"));
        server.jira.unmarked_comment(&id, "Jane Roe", "for all").unwrap();
        server.jira.internal_comment(&id, "Jane Roe", "for us").unwrap();
        let path = format!("issue/{id}/comment");
        server.post(&path, json!({"body": "for us, by REST", "properties": internal})).await;
        let list = server.get(&format!("{path}?expand=properties")).await;
        let public: Vec<_> =
            list["comments"].as_array().unwrap().iter().map(|c| c["jsdPublic"].clone()).collect();
        let expected = match (deployment, service_management) {
            (Deployment::Cloud, true) => json!([true, false, false]),
            (Deployment::Cloud, false) => json!([true, true, true]),
            // Data Center never has `jsdPublic` there.
            (Deployment::DataCenter, _) => json!([null, null, null]),
        };
        assert_eq!(json!(public), expected);
        assert_eq!(list["comments"][2]["properties"], internal);
        let plain = server.get(&path).await;
        assert!(plain["comments"][2].get("properties").is_none(), "only where they are expanded");
        server.jira.comment(&id, "Jane Roe", "for all, by the page").unwrap();
        let marked = server.get(&format!("{path}?expand=properties&orderBy=-created")).await;
        let by_page = if service_management {
            json!([{"key": "sd.public.comment", "value": {"internal": false}}])
        } else {
            json!([])
        };
        assert_eq!(marked["comments"][0]["properties"], by_page);
        let comment = list["comments"][0]["id"].as_str().unwrap().to_owned();
        let property = format!("comment/{comment}/properties/sd.public.comment");
        assert_eq!(server.send(Method::GET, &property, None).await.0, 404);
        assert_eq!(server.put(&property, json!({"internal": true})).await.0, 201);
        assert_eq!(server.get(&property).await["value"], json!({"internal": true}));
        assert!(server.jira.issue(&id).unwrap().comments[0].internal);
    }
}

#[tokio::test]
async fn version_three_speaks_documents() {
    let server = start(SandboxJiraSettings::default()).await;
    let id = server.issue(NewIssue { description: Some("one\ntwo".to_owned()), ..NewIssue::new("An issue") });
    let path = format!("/rest/api/3/issue/{id}/comment");
    assert_eq!(server.post(&path, json!({"body": "text"})).await.0, 400);
    let body = json!({"type": "doc", "version": 1, "content": [
        {"type": "paragraph", "content": [{"type": "text", "text": "hello"}]},
    ]});
    let (status, comment) = server.post(&path, json!({"body": body})).await;
    assert_eq!((status, &comment["body"]), (StatusCode::CREATED, &body));
    assert_eq!(server.jira.issue(&id).unwrap().comments[0].body, "hello");
    let issue = server.get(&format!("/rest/api/3/issue/{id}")).await;
    assert_eq!(issue["fields"]["description"]["content"][1]["content"][0]["text"], "two");
    let server = start(SandboxJiraSettings::data_center()).await;
    assert_eq!(server.send(Method::GET, "/rest/api/3/myself", None).await.0, 404);
}

// ---------------------------------------------------------------- transitions

#[tokio::test]
async fn closing_asks_for_a_resolution_as_its_screen_says() {
    let done = json!({"name": "Done"});
    for (resolution_on_closing, without, with) in [
        (ResolutionOnClosing::Required, 400, 204),
        (ResolutionOnClosing::Optional, 204, 204),
        (ResolutionOnClosing::NotOnScreen, 204, 400),
    ] {
        let server =
            start(SandboxJiraSettings { resolution_on_closing, ..settings(Deployment::Cloud) }).await;
        for (sent, expected) in [(None, without), (Some(&done), with)] {
            let id = server.issue(NewIssue::new("An issue"));
            let path = format!("issue/{id}/transitions");
            let list = server.get(&format!("{path}?expand=transitions.fields")).await;
            let transition = list["transitions"]
                .as_array()
                .unwrap()
                .iter()
                .find(|transition| transition["to"]["statusCategory"]["key"] == "done")
                .unwrap()
                .clone();
            let on_screen = &transition["fields"]["resolution"];
            assert_eq!(on_screen.is_object(), resolution_on_closing != ResolutionOnClosing::NotOnScreen);
            assert_eq!(on_screen["required"] == true, resolution_on_closing == ResolutionOnClosing::Required);
            let mut body = json!({"transition": {"id": transition["id"]}});
            if let Some(resolution) = sent {
                body["fields"] = json!({"resolution": resolution});
            }
            let (status, answer) = server.post(&path, body).await;
            assert_eq!(status, expected, "{resolution_on_closing:?}: {answer}");
            let issue = server.jira.issue(&id).unwrap();
            assert_eq!(issue.closed, expected == 204);
            assert_eq!(issue.resolution.as_deref(), (expected == 204).then_some("Done"));
        }
    }
}

#[tokio::test]
async fn reopening_is_a_transition_that_may_be_missing() {
    for can_reopen in [true, false] {
        let server = start(SandboxJiraSettings { can_reopen, ..settings(Deployment::DataCenter) }).await;
        let id = server.issue(NewIssue::new("An issue"));
        server.jira.transition(&id, "Done").unwrap();
        let path = format!("issue/{id}/transitions");
        let list = server.get(&path).await;
        assert_eq!(list["transitions"].as_array().unwrap().len(), usize::from(can_reopen));
        let (status, _) = server.post(&path, json!({"transition": {"id": 41}})).await;
        assert_eq!(status, if can_reopen { 204 } else { 400 });
        let issue = server.jira.issue(&id).unwrap();
        assert_eq!((issue.closed, issue.resolution.is_some()), (!can_reopen, !can_reopen));
        assert_eq!(server.post(&path, json!({"transition": {"id": "31x"}})).await.0, 400);
        assert_eq!(server.post(&path, json!({})).await.0, 400);
    }
}

// ---------------------------------------------------------------- attachments

#[tokio::test]
async fn attachments_go_up_and_come_down() {
    for deployment in BOTH {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue::new("An issue"));
        let (status, up) = read(server.upload(&id, text_part("grüße \"1\".txt", "hello")).await).await;
        assert_eq!(status, 200, "{up}");
        assert_eq!((&up[0]["filename"], &up[0]["size"]), (&json!("grüße \"1\".txt"), &json!(5)));
        assert_eq!(up[0]["mimeType"], "text/plain");
        let listed = server.get(&format!("issue/{id}?fields=attachment")).await;
        assert_eq!(listed["fields"]["attachment"], up);
        let attachment = up[0]["id"].as_str().unwrap();
        let alone = server.get(&format!("attachment/{attachment}")).await;
        assert_eq!(alone["id"].is_number(), deployment == Deployment::Cloud);
        assert_eq!(server.jira.attachment_bytes(attachment).unwrap(), b"hello");

        let content = up[0]["content"].as_str().unwrap();
        let first = server.client.get(content).basic_auth("a", Some("b")).send().await.unwrap();
        let last = match deployment {
            Deployment::DataCenter => first,
            Deployment::Cloud => {
                assert_eq!(first.status(), 303);
                let media = first.headers()["location"].to_str().unwrap().to_owned();
                assert!(!media.starts_with(&server.base), "it is another host");
                let refused = server.client.get(&media).basic_auth("a", Some("b")).send().await.unwrap();
                assert_eq!(refused.status(), 400, "credentials must not be sent along");
                let tampered = server.client.get(media.replace("token=", "token=0")).send().await.unwrap();
                assert_eq!(tampered.status(), 403);
                let good = server.client.get(&media).send().await.unwrap();
                server.clock.advance(Duration::minutes(11));
                assert_eq!(server.client.get(&media).send().await.unwrap().status(), 403, "links expire");
                good
            }
        };
        assert_eq!(
            (last.status(), last.headers()["content-type"].to_str().unwrap()),
            (StatusCode::OK, "text/plain")
        );
        assert_eq!(last.text().await.unwrap(), "hello");

        let path = format!("attachment/{attachment}");
        assert_eq!(server.send(Method::DELETE, &path, None).await.0, 204);
        assert_eq!(server.send(Method::GET, &path, None).await.0, 404);
        assert_eq!(server.client.get(content).send().await.unwrap().status(), 404);
    }
}

#[tokio::test]
async fn uploads_are_refused_for_the_reasons_of_the_real_one() {
    let server = start(SandboxJiraSettings { attachment_limit: 10, ..settings(Deployment::Cloud) }).await;
    let id = server.issue(NewIssue::new("An issue"));
    let url = server.url(&format!("issue/{id}/attachments"));
    let form = || Form::new().part("file", text_part("a.txt", "hello"));
    let response = server.client.post(&url).multipart(form()).send().await.unwrap();
    let (status, body) = read(response).await;
    assert_eq!((status, body), (StatusCode::FORBIDDEN, json!("XSRF check failed")));

    let (status, body) = read(server.upload(&id, text_part("a.txt", &"x".repeat(500_000))).await).await;
    assert_eq!(status, 413);
    assert!(
        body["errorMessages"][0].as_str().unwrap().contains("maximum permitted size of 10 bytes"),
        "{body}"
    );
    assert_eq!(server.get("attachment/meta").await, json!({"enabled": true, "uploadLimit": 10}));

    assert_eq!(server.upload("SUP-99", text_part("a.txt", "hello")).await.status(), 404);
    assert_eq!(server.upload(&id, text_part(&"x".repeat(256), "hello")).await.status(), 400);

    // A name that is sent only as `filename*` is not understood.
    let starred = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''a.txt\r\n\r\nhello\r\n--b--\r\n";
    let request = server.client.post(&url).header("X-Atlassian-Token", "no-check");
    let request = request.header("Content-Type", "multipart/form-data; boundary=b").body(starred);
    let (status, body) = read(request.send().await.unwrap()).await;
    assert_eq!((status, body), (StatusCode::INTERNAL_SERVER_ERROR, json!("")));

    assert_eq!(server.jira.issue(&id).unwrap().attachments, []);
    let (status, up) = read(server.upload(&id, text_part("../../etc/passwd", "")).await).await;
    assert_eq!((status, &up[0]["filename"]), (StatusCode::OK, &json!("passwd")));
}

#[tokio::test]
async fn big_files_pass_through_without_being_kept() {
    let server =
        start(SandboxJiraSettings { uploads: KeepUploads::HashOnly, ..settings(Deployment::Cloud) }).await;
    let id = server.issue(NewIssue::new("An issue"));
    let source = server.jira.attach_synthetic(&id, "Jane Roe", "core.dump", 9_000_001, 7).unwrap();
    let link = server.client.get(server.url(&format!("attachment/content/{source}"))).send().await.unwrap();
    let media = link.headers()["location"].to_str().unwrap().to_owned();
    let down = server.client.get(media).send().await.unwrap();
    assert_eq!(down.content_length(), Some(9_000_001));
    let part = Part::stream_with_length(down, 9_000_001).file_name("copy.dump");
    let (status, up) = read(server.upload(&id, part).await).await;
    assert_eq!((status, &up[0]["size"]), (StatusCode::OK, &json!(9_000_001)));
    let copy = up[0]["id"].as_str().unwrap();
    assert_eq!(server.jira.attachment_sha256(copy), server.jira.attachment_sha256(&source));
    assert_eq!(server.jira.attachment_bytes(copy), None);
}

// ---------------------------------------------------------------- searches

#[tokio::test]
async fn cloud_searches_in_pages_that_survive_changes() {
    let server = start(SandboxJiraSettings { search_page_limit: 2, ..settings(Deployment::Cloud) }).await;
    let mut expected = Vec::new();
    for number in 0..5 {
        expected.push(server.issue(NewIssue::flagged(&format!("number {number}"))));
        server.clock.advance(Duration::seconds(1));
    }
    let jql = "project = SUP AND updated >= \"2026-07-01 12:00\" ORDER BY updated ASC";
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        // Ask for more than a page holds.
        let (status, page) =
            server.search(&[("jql", jql), ("maxResults", "100"), ("nextPageToken", &token)]).await;
        assert_eq!(status, 200, "{page}");
        assert!(page["total"].is_null() && page["startAt"].is_null());
        assert_eq!(page["issues"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id"], "IDs only");
        seen.append(&mut ids(&page));
        // An issue of the first page moves to the end, and no other may be missed.
        server.jira.set_priority(&expected[0], "High").unwrap();
        let Some(next) = page["nextPageToken"].as_str() else {
            assert_eq!(page["isLast"], true);
            break;
        };
        next.clone_into(&mut token);
    }
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct, expected.iter().cloned().collect());

    let other = [("jql", "project = SUP"), ("nextPageToken", token.as_str())];
    assert_eq!(server.search(&other).await.0, 400, "a token belongs to its query");
    let (_, page) = server.search(&[("jql", jql), ("fields", "summary,updated"), ("fields", "status")]).await;
    let first = &page["issues"][0];
    assert_eq!(first["fields"].as_object().unwrap().len(), 3);
    assert!(first["key"].is_string() && first["self"].is_string());

    let body = json!({"jql": jql, "fields": ["*all", "-comment"], "maxResults": 1, "expand": null});
    let (status, page) = server.post("search/jql", body).await;
    assert_eq!((status, page["issues"].as_array().unwrap().len()), (StatusCode::OK, 1));
    assert!(page["issues"][0]["fields"]["comment"].is_null());
    let unknown = server.post("/rest/api/3/search/jql", json!({"jql": jql, "startAt": 0})).await;
    assert_eq!(unknown.0, 400);
    assert_eq!(server.post("search/approximate-count", json!({"jql": jql})).await.1, json!({"count": 5}));
}

#[tokio::test]
async fn cloud_refuses_unbounded_queries_and_has_dropped_the_old_search() {
    let server = start(SandboxJiraSettings::default()).await;
    for jql in ["", "ORDER BY created"] {
        let (status, body) = server.search(&[("jql", jql)]).await;
        assert_eq!(status, 400);
        assert!(body["errorMessages"][0].as_str().unwrap().starts_with("Unbounded JQL"), "{body}");
    }
    for path in ["search?jql=project=SUP", "/rest/api/3/search"] {
        let (status, body) = server.send(Method::GET, path, None).await;
        assert_eq!(status, 410);
        assert!(body["errorMessages"][0].as_str().unwrap().contains("/rest/api/3/search/jql"), "{body}");
    }
    let (status, body) = server.search(&[("jql", "nonsense ~~ 1")]).await;
    assert_eq!((status, &body["errors"]), (StatusCode::BAD_REQUEST, &json!({})));
}

#[tokio::test]
async fn a_lagging_search_sees_only_what_is_reconciled() {
    let server = start(SandboxJiraSettings::default()).await;
    let old = server.issue(NewIssue::flagged("old"));
    let old = old.as_str();
    server.clock.advance(Duration::minutes(5));
    server.jira.faults().set_search_lag(Duration::seconds(60));
    let new = server.issue(NewIssue::flagged("new"));
    server.jira.set_priority(old, "High").unwrap();
    let all = ("jql", "project = SUP ORDER BY key");
    assert_eq!(server.found(&[all]).await, [old]);
    assert_eq!(server.found(&[all, ("reconcileIssues", &new)]).await, [old, new.as_str()]);
    let changed = ("jql", "updated >= \"2026-07-01 12:05\"");
    assert_eq!(server.found(&[changed]).await, [""; 0], "the change is not in the index yet");
    assert_eq!(server.found(&[changed, ("reconcileIssues", old)]).await, [old]);
    // A search shows the issues that it finds in their current state.
    let (_, page) = server.search(&[all, ("fields", "priority")]).await;
    assert_eq!(page["issues"][0]["fields"]["priority"]["name"], "High");
    let body = json!({"jql": all.1, "reconcileIssues": [new.parse::<u64>().unwrap()]});
    assert_eq!(ids(&server.post("search/jql", body).await.1).len(), 2);
    server.clock.advance(Duration::seconds(60));
    assert_eq!(server.found(&[all]).await, [old, new.as_str()]);
    assert_eq!(
        server.get(&format!("issue/{old}?fields=priority")).await["fields"]["priority"]["name"],
        "High"
    );
}

#[tokio::test]
async fn a_search_on_cloud_shows_twenty_comments_of_an_issue() {
    for (deployment, shown) in [(Deployment::Cloud, 20), (Deployment::DataCenter, 25)] {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue::new("An issue"));
        for number in 0..25 {
            server.jira.comment(&id, "Jane Roe", &number.to_string()).unwrap();
        }
        let (_, page) = server.search(&[("jql", "project = SUP"), ("fields", "comment")]).await;
        let comments = &page["issues"][0]["fields"]["comment"];
        assert_eq!(comments["comments"].as_array().unwrap().len(), shown);
        assert_eq!(comments["total"], 25);
        let issue = server.get(&format!("issue/{id}")).await;
        assert_eq!(issue["fields"]["comment"]["comments"].as_array().unwrap().len(), 25);
    }
}

#[tokio::test]
async fn data_center_searches_with_offsets() {
    let server = start(SandboxJiraSettings::data_center()).await;
    let all: Vec<_> = (0..5).map(|n| server.issue(NewIssue::new(&format!("number {n}")))).collect();
    let (status, page) =
        server.search(&[("jql", "ORDER BY key"), ("startAt", "2"), ("maxResults", "2")]).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!((&page["total"], &page["startAt"], &page["maxResults"]), (&json!(5), &json!(2), &json!(2)));
    assert_eq!(ids(&page), all[2..4]);
    assert!(page["issues"][0]["fields"]["summary"].is_string(), "fields come unasked");
    assert!(page["issues"][0]["fields"]["comment"].is_null(), "but not these");
    let (status, page) = server.post("search", json!({"jql": "project = SUP", "fields": ["key"]})).await;
    assert_eq!((status, &page["issues"][0]["fields"]), (StatusCode::OK, &json!({})));
    assert_eq!(server.send(Method::GET, "search/jql?jql=project=SUP", None).await.0, 404);
}

#[tokio::test]
async fn the_google_name_is_searched_by_words() {
    let server = start(SandboxJiraSettings::default()).await;
    let named = |name: &str| {
        server.issue(NewIssue { google_name: Some(name.to_owned()), ..NewIssue::flagged("An issue") })
    };
    let exact = named("organizations/1/cases/2");
    let near = named("organizations/1/cases/2 (copied)");
    named("organizations/1/cases/23");
    named("projects/1/cases/2");
    let jql = "cf[10051] ~ \"\\\"organizations/1/cases/2\\\"\" ORDER BY key";
    assert_eq!(server.found(&[("jql", jql)]).await, [exact, near]);
}

// ---------------------------------------------------------------- time

#[tokio::test]
async fn times_are_shown_and_read_in_the_users_zone() {
    for (time_zone, shown, from, after) in [
        (SandboxTimeZone::utc(), "2026-07-01T12:00:00.250+0000", "2026-07-01 12:00", "2026-07-01 12:01"),
        (SandboxTimeZone::kolkata(), "2026-07-01T17:30:00.250+0530", "2026-07-01 17:30", "2026-07-01 17:31"),
        (SandboxTimeZone::berlin(), "2026-07-01T14:00:00.250+0200", "2026-07-01 14:00", "2026-07-01 14:01"),
    ] {
        let name = time_zone.name().to_owned();
        let server = start(SandboxJiraSettings { time_zone, ..settings(Deployment::Cloud) }).await;
        let id = server.issue(NewIssue::new("An issue"));
        assert_eq!(server.get("myself").await["timeZone"], json!(name));
        assert_eq!(server.get(&format!("issue/{id}")).await["fields"]["updated"], shown);
        assert_eq!(server.get("serverInfo").await["serverTime"], shown);
        assert_eq!(server.found(&[("jql", &format!("updated >= \"{from}\""))]).await, [id]);
        assert_eq!(server.found(&[("jql", &format!("updated >= \"{after}\""))]).await, [""; 0]);
    }
}

#[tokio::test]
async fn times_can_be_whole_seconds() {
    let server =
        start(SandboxJiraSettings { time_resolution_ms: 1000, ..settings(Deployment::DataCenter) }).await;
    let id = server.issue(NewIssue::new("An issue"));
    let issue = server.get(&format!("issue/{id}")).await;
    assert_eq!(issue["fields"]["updated"], "2026-07-01T12:00:00.000+0000");
}

// ---------------------------------------------------------------- callers, rights, faults

#[tokio::test]
async fn credentials_are_checked_when_they_are_demanded() {
    let basic = SandboxJiraAuth::Basic { email: "bot@example.com".to_owned(), token: "secret".to_owned() };
    let server = start(SandboxJiraSettings { auth: basic, ..settings(Deployment::Cloud) }).await;
    let url = server.url("myself");
    let status = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status() };
    let get = || server.client.get(&url);
    assert_eq!(status(get()).await, 401);
    assert_eq!(status(get().basic_auth("bot@example.com", Some("wrong"))).await, 401);
    assert_eq!(status(get().bearer_auth("secret")).await, 401);
    assert_eq!(status(get().basic_auth("bot@example.com", Some("secret"))).await, 200);
    assert_eq!(server.get("serverInfo").await["deploymentType"], "Cloud");

    let bearer = SandboxJiraAuth::Bearer { token: "secret".to_owned() };
    let server = start(SandboxJiraSettings { auth: bearer, ..settings(Deployment::DataCenter) }).await;
    let (code, body) = server.send(Method::GET, "myself", None).await;
    assert_eq!((code, &body["errors"]), (StatusCode::UNAUTHORIZED, &json!({})));
    assert_eq!(server.send(Method::GET, "/secure/attachment/1/a", None).await.0, 401);
    assert_eq!(status(server.client.get(server.url("myself")).bearer_auth("secret")).await, 200);
}

#[tokio::test]
async fn missing_rights_show_where_the_real_one_shows_them() {
    let denied = ["ADD_COMMENTS", "CREATE_ISSUES", "EDIT_ISSUES", "CREATE_ATTACHMENTS", "TRANSITION_ISSUES"];
    let denied_permissions = denied.iter().map(ToString::to_string).collect();
    let server = start(SandboxJiraSettings { denied_permissions, ..settings(Deployment::Cloud) }).await;
    let id = server.issue(NewIssue::new("An issue"));
    assert_eq!(server.post("issue", new_issue(&json!({}))).await.0, 400);
    let (status, body) = server.put(&format!("issue/{id}"), json!({"fields": {"summary": "x"}})).await;
    assert_eq!(status, 400);
    assert!(body["errors"]["summary"].as_str().unwrap().contains("not on the appropriate screen"));
    assert_eq!(server.post(&format!("issue/{id}/comment"), json!({"body": "x"})).await.0, 403);
    assert_eq!(server.upload(&id, text_part("a.txt", "x")).await.status(), 403);
    assert_eq!(server.get(&format!("issue/{id}/transitions")).await["transitions"], json!([]));
    let asked = server.get("mypermissions?permissions=ADD_COMMENTS,BROWSE_PROJECTS").await;
    assert_eq!(asked["permissions"]["ADD_COMMENTS"]["havePermission"], false);
    assert_eq!(asked["permissions"]["BROWSE_PROJECTS"]["havePermission"], true);
    assert_eq!(server.send(Method::GET, "mypermissions", None).await.0, 400);
    assert_eq!(server.send(Method::GET, "mypermissions?permissions=NOPE", None).await.0, 400);
}

#[tokio::test]
async fn faults_speak_jiras_language() {
    let server = start(SandboxJiraSettings::default()).await;
    let id = server.issue(NewIssue::new("An issue"));
    let path = format!("issue/{id}/comment");
    server.jira.faults().add(Fault::always(Effect::RateLimited { retry_after: "7".to_owned() }).times(1));
    let response = server.client.get(server.url(&path)).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "7");
    let (status, body) = read(response).await;
    assert_eq!((status, &body["errors"]), (StatusCode::TOO_MANY_REQUESTS, &json!({})));

    server.jira.faults().add(Fault::always(Effect::HangUpAfter).on("POST", "/comment").times(1));
    let lost = server.client.post(server.url(&path)).json(&json!({"body": "it happened"})).send().await;
    assert!(lost.is_err());
    assert_eq!(server.jira.issue(&id).unwrap().comments[0].body, "it happened");
}

// ---------------------------------------------------------------- wrong behaviour

#[tokio::test]
async fn answers_are_dated_and_name_the_caller() {
    for (deployment, header, value) in
        [(Deployment::Cloud, "x-aaccountid", "5b10"), (Deployment::DataCenter, "x-ausername", "casebridge")]
    {
        let server = start(settings(deployment)).await;
        let response = server.client.get(server.url("myself")).send().await.unwrap();
        assert_eq!(response.headers()["date"], "Wed, 01 Jul 2026 12:00:00 GMT");
        assert!(response.headers()[header].to_str().unwrap().starts_with(value));
        server.jira.faults().set_clock_ahead(Duration::minutes(15));
        let response = server.client.get(server.url("serverInfo")).send().await.unwrap();
        assert_eq!(response.headers()["date"], "Wed, 01 Jul 2026 12:15:00 GMT");
        assert!(response.headers().contains_key(header));
        let (_, info) = read(response).await;
        assert_eq!(info["serverTime"], "2026-07-01T12:15:00.250+0000");
    }
}

#[tokio::test]
async fn whose_credentials_have_expired_is_answered_like_a_visitor() {
    for (deployment, search, header, value) in [
        (Deployment::Cloud, "search/jql?jql=project=SUP", "x-seraph-loginreason", "AUTHENTICATED_FAILED"),
        (Deployment::DataCenter, "search?jql=project=SUP", "x-ausername", "anonymous"),
    ] {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue::new("An issue"));
        server.jira.set_manners(Manners { expired_credentials: true, ..Manners::default() });
        for (path, status) in [
            (search, 200),
            ("field", 200),
            ("serverInfo", 200),
            ("myself", 401),
            ("priority", 401),
            ("project/SUP", 404),
            (&format!("issue/{id}"), 404),
            (&format!("issue/{id}/comment"), 404),
        ] {
            let response = server.client.get(server.url(path)).send().await.unwrap();
            assert_eq!(response.status(), status, "{deployment:?} {path}");
            assert_eq!(response.headers()[header], value, "{deployment:?} {path}");
            let (_, body) = read(response).await;
            if path == search {
                assert_eq!(body["issues"], json!([]));
            }
            if path == "field" {
                assert!(body.as_array().unwrap().iter().all(|field| field["custom"] == false));
            }
        }
        assert_eq!(server.post(&format!("issue/{id}/comment"), json!({"body": "x"})).await.0, 404);
        assert_eq!(server.post("issue", new_issue(&json!({}))).await.0, 401);
        server.jira.set_manners(Manners::default());
        assert_eq!(server.get(search).await["issues"][0]["id"], id);
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_or_visit_and_a_token_can_be_replaced() {
    let bearer = |token: &str| SandboxJiraAuth::Bearer { token: token.to_owned() };
    let server = start(SandboxJiraSettings { auth: bearer("old"), ..settings(Deployment::DataCenter) }).await;
    let search = server.url("search?jql=project=SUP");
    let status = |token: &'static str| {
        let request = server.client.get(&search).bearer_auth(token);
        async { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!((status("old").await, status("new").await), (200, 401));
    server.jira.set_auth(bearer("new"));
    assert_eq!((status("old").await, status("new").await), (401, 200));
    server.jira.set_manners(Manners { visitors: true, ..Manners::default() });
    assert_eq!((status("old").await, status("new").await), (200, 200));
}

#[tokio::test]
async fn a_project_and_an_issue_can_be_hidden_and_come_back() {
    for deployment in BOTH {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue::new("An issue"));
        let other = server.issue(NewIssue { project: "OPS".to_owned(), ..NewIssue::new("Another") });
        let file = server.jira.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
        let all = &[("jql", "created > -1d order by key")];
        let project = ["SUP".to_owned()].into();
        server.jira.set_manners(Manners { hidden_projects: project, ..Manners::default() });
        assert_eq!(server.found(all).await, std::slice::from_ref(&other));
        for path in [format!("issue/{id}"), format!("issue/{id}/comment"), "project/SUP".to_owned()] {
            assert_eq!(server.send(Method::GET, &path, None).await.0, 404, "{path}");
        }
        assert_eq!(server.send(Method::GET, &format!("attachment/{file}"), None).await.0, 404);
        assert_eq!(server.send(Method::GET, "myself", None).await.0, 200);
        let search = if deployment == Deployment::Cloud { "search/jql" } else { "search" };
        let (status, body) = server.send(Method::GET, &format!("{search}?jql=project=SUP"), None).await;
        assert_eq!(status, 400);
        assert_eq!(body["errorMessages"][0], "The value 'SUP' does not exist for the field 'project'.");

        server.jira.set_manners(Manners { hidden_issues: [id.clone()].into(), ..Manners::default() });
        assert_eq!(server.send(Method::GET, &format!("issue/{id}"), None).await.0, 404);
        assert_eq!(server.found(all).await, [other]);
        server.jira.set_manners(Manners::default());
        assert_eq!(server.get(&format!("issue/{id}")).await["id"], id);
    }
}

#[tokio::test]
async fn the_index_can_be_behind_with_single_issues() {
    let server = start(settings(Deployment::Cloud)).await;
    let (late, prompt) = (server.issue(NewIssue::new("late")), server.issue(NewIssue::new("prompt")));
    let index_lag_seconds = [(late.clone(), 3 * 3600)].into();
    server.jira.set_manners(Manners { index_lag_seconds, ..Manners::default() });
    let all = &[("jql", "created > -1d order by key")];
    assert_eq!(server.found(all).await, std::slice::from_ref(&prompt));
    server.clock.advance(Duration::hours(2));
    assert_eq!(server.found(all).await, std::slice::from_ref(&prompt));
    assert_eq!(server.get(&format!("issue/{late}")).await["id"], late, "by its ID it is there");
    server.clock.advance(Duration::minutes(61));
    assert_eq!(server.found(all).await, [late, prompt]);
}

#[tokio::test]
async fn an_archived_issue_is_shown_and_takes_nothing() {
    for deployment in BOTH {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue::new("An issue"));
        server.jira.set_manners(Manners { archived_issues: [id.clone()].into(), ..Manners::default() });
        let issue = server.get(&format!("issue/{id}")).await;
        assert_eq!(issue["fields"]["archiveddate"].is_string(), deployment == Deployment::DataCenter);
        assert_eq!(server.found(&[("jql", "created > -1d")]).await, [""; 0]);
        assert_eq!(server.post(&format!("issue/{id}/comment"), json!({"body": "x"})).await.0, 403);
        assert_eq!(server.put(&format!("issue/{id}"), json!({"fields": {"summary": "x"}})).await.0, 400);
        assert_eq!(server.get(&format!("issue/{id}/transitions")).await["transitions"], json!([]));
        assert_eq!(server.upload(&id, text_part("a.txt", "x")).await.status(), 403);
        server.jira.set_manners(Manners::default());
        let issue = server.get(&format!("issue/{id}")).await;
        assert_eq!(issue["fields"]["archiveddate"], Value::Null);
    }
}

#[tokio::test]
async fn something_else_can_come_in_place_of_a_file() {
    for (deployment, path) in
        [(Deployment::Cloud, "attachment/content/"), (Deployment::DataCenter, "/secure/attachment/")]
    {
        let server = start(settings(deployment)).await;
        let id = server.issue(NewIssue::new("An issue"));
        let file = server.jira.attach(&id, "Jane Roe", "a.txt", "text/plain", vec![b'x'; 500]).unwrap();
        let url = match deployment {
            Deployment::Cloud => server.url(&format!("{path}{file}")),
            Deployment::DataCenter => server.url(&format!("{path}{file}/a.txt")),
        };
        let answer = async |what| {
            let content = [(file.clone(), what)].into();
            server.jira.set_manners(Manners { content, ..Manners::default() });
            server.client.get(&url).send().await.unwrap()
        };
        assert_eq!(answer(InPlaceOfContent::Forbidden).await.status(), 403);
        assert_eq!(answer(InPlaceOfContent::Missing).await.status(), 404);
        let sizes = [
            answer(InPlaceOfContent::OtherSize).await.bytes().await.unwrap().len(),
            answer(InPlaceOfContent::OtherSize).await.bytes().await.unwrap().len(),
        ];
        assert_eq!(sizes, [501, 502]);
        let redirect = answer(InPlaceOfContent::LoginPage).await;
        assert_eq!(redirect.status(), 302);
        let location = redirect.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.starts_with("/login.jsp?"), "{location}");
        let page = server.client.get(server.url(&location)).send().await.unwrap();
        assert_eq!(
            (page.status().as_u16(), &page.headers()["x-ausername"]),
            (200, &"anonymous".parse().unwrap())
        );
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        let page = page.bytes().await.unwrap();
        assert!(page.starts_with(b"<!DOCTYPE html>") && page.len() == 500, "as long as the file");
    }
}

#[tokio::test]
async fn manners_are_steered_over_http_and_strictly() {
    let server = start(settings(Deployment::Cloud)).await;
    let id = server.issue(NewIssue::new("An issue"));
    let manners = json!({"three_ways_to_close": true, "content": {"7": "login_page"}});
    assert_eq!(server.send(Method::PUT, "/sandbox/manners", Some(manners)).await.0, 204);
    let shown = server.send(Method::GET, "/sandbox/manners", None).await.1;
    assert_eq!((&shown["three_ways_to_close"], &shown["hidden_issues"]), (&json!(true), &json!([])));
    assert_eq!(server.jira.manners().content["7"], InPlaceOfContent::LoginPage);
    let names = async || {
        let transitions = server.get(&format!("issue/{id}/transitions")).await;
        let all = transitions["transitions"].as_array().unwrap().clone();
        let closing = all.iter().filter(|one| one["to"]["statusCategory"]["key"] == "done");
        closing.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["Cancel", "Duplicate", "Done"]);
    for bad in [json!({"hidden_issue": []}), json!({"content": {"7": "nonsense"}})] {
        assert_eq!(server.send(Method::PUT, "/sandbox/manners", Some(bad)).await.0, 400);
    }
    assert_eq!(server.send(Method::DELETE, "/sandbox/manners", None).await.0, 204);
    assert_eq!(server.jira.manners(), Manners::default());
    assert_eq!(names().await, ["Done", "Cancel"]);
}

// ---------------------------------------------------------------- metadata of the installation

#[tokio::test]
async fn fields_priorities_resolutions_and_components_are_told() {
    for deployment in BOTH {
        let server = start(settings(deployment)).await;
        let fields = server.get("field").await;
        let flag = fields.as_array().unwrap().iter().find(|field| field["id"] == FLAG_FIELD).unwrap();
        assert_eq!(flag["name"], "synchronizeWithGoogleCloudSupport");
        assert_eq!(flag["clauseNames"][0], "cf[10050]");
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&server.get("priority").await), ["Highest", "High", "Medium", "Low", "Lowest"]);
        assert!(names(&server.get("resolution").await).contains(&"Done".to_owned()));
        assert!(names(&server.get("project/SUP/components").await).contains(&"Google Cloud".to_owned()));
        assert_eq!(server.get("project/SUP").await["id"], "10000");
        assert_eq!(server.send(Method::GET, "project/NOPE", None).await.0, 404);
        assert!(names(&server.get("status").await).contains(&"Done".to_owned()));
        let (list, kind) = match deployment {
            Deployment::Cloud => ("fields", "Cloud"),
            Deployment::DataCenter => ("values", "Server"),
        };
        assert_eq!(server.get("serverInfo").await["deploymentType"], kind);
        let types = server.get("issue/createmeta/SUP/issuetypes").await;
        assert_eq!(types["total"], 3);
        let screen = server.get("issue/createmeta/SUP/issuetypes/10002").await;
        assert!(
            screen[list].as_array().unwrap().iter().any(|field| field["fieldId"] == FLAG_FIELD),
            "{screen}"
        );
        let old = server.send(Method::GET, "issue/createmeta", None).await.0;
        assert_eq!(old == 404, deployment == Deployment::DataCenter);
    }
}

#[tokio::test]
async fn issues_can_carry_properties() {
    let server = start(SandboxJiraSettings::default()).await;
    let id = server.issue(NewIssue::new("An issue"));
    let path = format!("issue/{id}/properties/casebridge");
    assert_eq!(server.send(Method::GET, &path, None).await.0, 404);
    assert_eq!(server.put(&path, json!({"case": 1})).await.0, 201);
    assert_eq!(server.put(&path, json!({"case": 2})).await.0, 200);
    assert_eq!(server.get(&path).await["value"], json!({"case": 2}));
    let issue = server.get(&format!("issue/{id}?properties=*all")).await;
    assert_eq!(issue["properties"]["casebridge"]["case"], 2);
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(server.send(Method::GET, &path, None).await.0, 404);
}

// ---------------------------------------------------------------- keeping

#[tokio::test]
async fn a_data_directory_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let clock = ManualClock::at(noon());
        let settings = SandboxJiraSettings::default();
        (SandboxJira::with_data_dir(clock.clone(), settings, dir.path()).unwrap(), clock)
    };
    let (jira, clock) = open();
    let server = serve(jira, clock).await;
    let id = server.issue(NewIssue::flagged("An issue"));
    server.post(&format!("issue/{id}/comment"), json!({"body": "kept"})).await;
    let (_, up) = read(server.upload(&id, text_part("a.txt", "bytes")).await).await;
    let attachment = up[0]["id"].as_str().unwrap();
    server.jira.move_issue(&id, "OPS").unwrap();
    // A killed process leaves this file of an unfinished upload.
    std::fs::write(dir.path().join("attachments/upload-0.part"), "half").unwrap();

    // The first sandbox is not shut down: the files on disk must be complete at any moment.
    let (again, _) = open();
    assert_eq!(again.issues(), server.jira.issues());
    assert_eq!(again.issue("SUP-1").unwrap().comments[0].body, "kept");
    assert_eq!(again.attachment_bytes(attachment).unwrap(), b"bytes");
    assert_eq!(std::fs::read_dir(dir.path().join("attachments")).unwrap().count(), 1);
    again.delete_issue(&id).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("attachments")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_samples_are_made_once() {
    let server = start(SandboxJiraSettings::default()).await;
    server.jira.seed_samples().unwrap();
    server.jira.seed_samples().unwrap();
    let issues = server.jira.issues();
    assert_eq!(issues.iter().map(|issue| issue.flagged).collect::<Vec<_>>(), [true, false]);
    assert_eq!((issues[0].comments.len(), issues[0].attachments.len()), (1, 1));
    let jql = "project = SUP AND cf[10050] = \"true\" AND updated >= -5m";
    assert_eq!(server.found(&[("jql", jql)]).await, [issues[0].id.clone()]);
}

// ---------------------------------------------------------------- pages

#[tokio::test]
async fn people_work_on_the_pages_and_nothing_is_interpreted() {
    let server = start(SandboxJiraSettings { service_management: true, ..settings(Deployment::Cloud) }).await;
    let submit = |path: String, form: Vec<(&'static str, &'static str)>| {
        let request = server.client.post(server.url(&path)).form(&form);
        async { request.send().await.unwrap() }
    };
    let form = vec![
        ("summary", "<script>alert(1)</script>"),
        ("description", "line\r\n<b>two</b>"),
        ("priority", "High"),
        ("author", "Max Doe"),
        ("flag", "true"),
    ];
    let created = submit("/issues".to_owned(), form).await;
    assert_eq!(created.status(), 303);
    let page = created.headers()["location"].to_str().unwrap().to_owned();
    let at = |what: &str| format!("{page}/{what}");
    submit(at("comments"), vec![("body", "*for* <i>us</i>"), ("author", "Max Doe"), ("internal", "true")])
        .await;
    submit(at("priority"), vec![("priority", "Low")]).await;
    submit(at("transition"), vec![("name", "Done")]).await;
    submit(at("flag"), vec![("on", "false")]).await;
    let file = Form::new().text("author", "Max Doe").part("file", text_part("a<b>.html", "<script>"));
    server.client.post(server.url(&at("files"))).multipart(file).send().await.unwrap();

    let issue = server.jira.issues().remove(0);
    assert_eq!((issue.summary.as_str(), issue.reporter.as_str()), ("<script>alert(1)</script>", "Max Doe"));
    assert_eq!(issue.description.as_deref(), Some("line\n<b>two</b>"));
    assert!(issue.comments[0].internal && issue.closed && !issue.flagged && issue.priority == "Low");
    assert_eq!(issue.attachments[0].author, "Max Doe");

    for path in ["/".to_owned(), page.clone()] {
        let html = server.client.get(server.url(&path)).send().await.unwrap().text().await.unwrap();
        assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
        for raw in ["<script", "<b>", "<i>"] {
            assert!(!html.contains(raw), "{path} holds {raw}");
        }
    }
    let file = server
        .client
        .get(server.url(&at(&format!("files/{}", issue.attachments[0].id))))
        .send()
        .await
        .unwrap();
    assert!(file.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(file.headers()["x-content-type-options"], "nosniff");
    assert_eq!(server.client.get(server.url("/browse/SUP-99")).send().await.unwrap().status(), 404);
    assert_eq!(
        submit("/issues".to_owned(), vec![("summary", " "), ("priority", "High"), ("author", "")])
            .await
            .status(),
        400
    );
}

#[tokio::test]
async fn an_issue_takes_so_many_writes_at_a_time_if_the_desk_limits_them() {
    let server = start(SandboxJiraSettings { limits_writes: true, ..SandboxJiraSettings::default() }).await;
    for summary in ["one", "two"] {
        let fields = json!({"project": {"key": "SUP"}, "issuetype": {"name": "Task"}, "summary": summary});
        assert_eq!(server.post("issue", json!({ "fields": fields })).await.0, 201);
    }
    let comment = json!({"body": "one of many"});
    let mut written = 0;
    // 20 in 2 seconds; where those take longer, 100 in 30 seconds.
    let refused = loop {
        // By its ID or by its key, it is the same issue.
        let issue = if written % 2 == 0 { "SUP-1" } else { "10001" };
        let request = server.client.post(server.url(&format!("issue/{issue}/comment"))).json(&comment);
        let answer = request.send().await.unwrap();
        if answer.status() != 201 {
            break answer;
        }
        written += 1;
        assert!(written < 5_000, "nothing is refused");
    };
    assert!(written >= 20, "{written}");
    assert_eq!(refused.status(), 429);
    let header = |name| refused.headers()[name].to_str().unwrap();
    assert!((1..=30).contains(&header("retry-after").parse().unwrap()), "{:?}", refused.headers());
    assert_eq!(header("ratelimit-reason"), "jira-per-issue-on-write");
    assert!(header("x-ratelimit-reset").ends_with('Z'));
    assert_eq!(server.post("issue/SUP-2/comment", comment).await.0, 201, "the limit is one issue's");
    server.get("issue/SUP-1/comment").await;
}
