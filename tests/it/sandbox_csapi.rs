//! Sandbox CSAPI over real HTTP: it follows the discovery document, and misbehaves on request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use casebridge::clock::{Clock as _, ManualClock, SharedClock, SystemClock};
use casebridge::sandbox::csapi::{
    Author, CLASSIFICATION_ID, Case, ClassificationState, NewCase, Order, PageStyle, Priority, SandboxCsapi,
    State, Switches, synthetic_sha256,
};
use casebridge::sandbox::faults::{Effect, Fault};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const ORGANIZATION: &str = "organizations/123";

/// Sandbox that serves on a port of its own until it is dropped.
struct Server {
    sandbox: SandboxCsapi,
    clock: Arc<ManualClock>,
    base: String,
    client: Client,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start_of_time() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Starts a sandbox with full pages, so that a test gets all items; ragged pages have tests of their own.
async fn start() -> Server {
    let clock = ManualClock::at(start_of_time());
    let sandbox = SandboxCsapi::new(clock.clone(), ORGANIZATION);
    sandbox.adjust(|switches| switches.page_style = PageStyle::Full);
    serve(sandbox, clock).await
}

async fn serve(sandbox: SandboxCsapi, clock: Arc<ManualClock>) -> Server {
    casebridge::outbound::install_tls();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = sandbox.router();
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let client = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_mins(1))
        .build()
        .unwrap();
    Server { sandbox, clock, base, client, task }
}

impl Server {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> Value {
        good(self.request(Method::GET, path).send().await.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        good(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    /// Returns status, `error.status` and `error.message` of an answer that must be an error in Google's format.
    async fn refused(&self, method: Method, path: &str, body: Option<Value>) -> (u16, String, String) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        bad(request.send().await.unwrap()).await
    }

    async fn search(&self, parent: &str, query: &str) -> Vec<Value> {
        let url = url::Url::parse_with_params(
            &format!("{}/v2/{parent}/cases:search", self.base),
            [("query", query), ("pageSize", "100")],
        );
        let answer = good(self.client.get(url.unwrap()).send().await.unwrap()).await;
        answer["cases"].as_array().cloned().unwrap_or_default()
    }

    async fn titles(&self, query: &str) -> Vec<String> {
        self.search(ORGANIZATION, query)
            .await
            .iter()
            .map(|case| case["displayName"].as_str().unwrap().to_owned())
            .collect()
    }

    fn case(&self, parent: &str, title: &str) -> Case {
        self.sandbox
            .create_case(NewCase {
                parent: parent.to_owned(),
                display_name: title.to_owned(),
                description: format!("about {title}"),
                priority: Priority::P2,
                author: Author::customer("Jane Roe"),
            })
            .unwrap()
    }

    /// Follows the tokens to the last page; returns the sizes of the pages, and the items.
    async fn walk(&self, path: &str, field: &str, size: usize) -> (Vec<usize>, Vec<Value>) {
        let (mut sizes, mut items, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?pageSize={size}&pageToken={token}")).await;
            let page_items = page[field].as_array().cloned().unwrap_or_default();
            sizes.push(page_items.len());
            items.extend(page_items);
            match page["nextPageToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return (sizes, items),
            }
        }
    }
}

async fn good(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn bad(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json; charset=UTF-8");
    let error = response.json::<Value>().await.unwrap()["error"].clone();
    assert_eq!(error["code"], status);
    (status, error["status"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

fn new_case() -> Value {
    json!({
        "displayName": "Disk full",
        "description": "Nothing works.",
        "classification": {"id": CLASSIFICATION_ID},
        "priority": "P1",
    })
}

#[tokio::test]
async fn a_case_is_created_read_changed_escalated_and_closed() {
    let server = start().await;
    let mut body = new_case();
    body["subscriberEmailAddresses"] = json!(["a@example.com"]);
    body["timeZone"] = json!("+00:00");
    body["language_code"] = json!("en");
    body["testCase"] = json!(true);
    let created = server.post("/v2/organizations/123/cases", body).await;
    assert_eq!(
        created,
        json!({
            "name": "organizations/123/cases/51000001",
            "displayName": "Disk full",
            "description": "Nothing works.",
            "classification": {
                "id": CLASSIFICATION_ID,
                "displayName": "Technical Issue > Compute > Compute Engine",
            },
            "priority": "P1",
            "state": "NEW",
            "timeZone": "+00:00",
            "languageCode": "en",
            "testCase": true,
            "subscriberEmailAddresses": ["a@example.com"],
            "createTime": "2026-03-01T12:00:00Z",
            "updateTime": "2026-03-01T12:00:00Z",
            "creator": {
                "displayName": "casebridge@sandbox.iam.gserviceaccount.com",
                "email": "casebridge@sandbox.iam.gserviceaccount.com",
                "username": "casebridge@sandbox.iam.gserviceaccount.com",
            },
        }),
        "no escalated, no googleSupport: false is left out"
    );
    let path = format!("/v2/{}", created["name"].as_str().unwrap());
    assert_eq!(server.get(&path).await, created);

    server.clock.advance(TimeDelta::milliseconds(1500));
    let escalation = json!({"escalation": {"reason": "BUSINESS_IMPACT", "justification": "We stand still."}});
    let escalated = server.post(&format!("{path}:escalate"), escalation).await;
    assert_eq!(escalated["escalated"], true);
    assert_eq!(escalated["updateTime"], "2026-03-01T12:00:01.500Z");
    let closed = server.post(&format!("{path}:close"), json!({})).await;
    assert_eq!(closed["state"], "CLOSED");
    assert_eq!(
        closed["updateTime"], "2026-03-01T12:00:01.500001Z",
        "later even where the clock stands still"
    );
    let again = server.post(&format!("{path}:close"), json!({})).await;
    assert_eq!(again["updateTime"], closed["updateTime"], "nothing happened");
    server.sandbox.adjust(|switches| switches.closing_twice_fails = true);
    let (status, word, _) = server.refused(Method::POST, &format!("{path}:close"), None).await;
    assert_eq!((status, word.as_str()), (400, "FAILED_PRECONDITION"));
}

#[tokio::test]
async fn a_patch_changes_what_its_mask_names_and_without_one_clears_what_it_leaves_out() {
    let server = start().await;
    for (mask, body, expected) in [
        (
            "?updateMask=priority",
            json!({"priority": "P4", "displayName": "x"}),
            json!(["Disk full", "P4", ["a@b.c"]]),
        ),
        ("?updateMask=display_name", json!({"display_name": "New"}), json!(["New", "P1", ["a@b.c"]])),
        (
            "?updateMask=displayName,priority",
            json!({"displayName": "New", "priority": 1}),
            json!(["New", "P0", ["a@b.c"]]),
        ),
        ("?update_mask=subscriberEmailAddresses", json!({}), json!(["Disk full", "P1", null])),
        ("?updateMask=*", json!({"priority": "P3", "displayName": "N"}), json!(["N", "P3", null])),
        ("", json!({"priority": "P3"}), json!([null, "P3", null])),
        ("?updateMask=", json!({"state": "CLOSED"}), json!([null, null, null])),
    ] {
        let mut new = new_case();
        new["subscriberEmailAddresses"] = json!(["a@b.c"]);
        let created = server.post("/v2/organizations/123/cases", new).await;
        let path = format!("/v2/{}{mask}", created["name"].as_str().unwrap());
        let patched = good(server.request(Method::PATCH, &path).json(&body).send().await.unwrap()).await;
        let seen = json!([patched["displayName"], patched["priority"], patched["subscriberEmailAddresses"]]);
        assert_eq!(seen, expected, "{mask} {body}");
        assert_eq!(patched["state"], "NEW", "output only: ignored in a body");
        assert_eq!(patched["updateTime"], "2026-03-01T12:00:00.000001Z");
    }
}

#[tokio::test]
async fn requests_that_are_wrong_are_refused_in_googles_words() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/v2/{}", case.name);
    let without = |field: &str| {
        let mut body = new_case();
        body.as_object_mut().unwrap().remove(field);
        Some(body)
    };
    let with = |field: &str, value: Value| {
        let mut body = new_case();
        body[field] = value;
        Some(body)
    };
    let cases = "/v2/organizations/123/cases".to_owned();
    let comments = format!("{path}/comments");
    let (get, post, change) = (Method::GET, Method::POST, Method::PATCH);
    for (method, path, body, status, word, complaint) in [
        (
            &post,
            cases.clone(),
            without("displayName"),
            400,
            "INVALID_ARGUMENT",
            "case.display_name is required",
        ),
        (
            &post,
            cases.clone(),
            without("description"),
            400,
            "INVALID_ARGUMENT",
            "case.description is required",
        ),
        (&post, cases.clone(), without("priority"), 400, "INVALID_ARGUMENT", "case.priority is required"),
        (
            &post,
            cases.clone(),
            without("classification"),
            400,
            "INVALID_ARGUMENT",
            "case.classification.id is required",
        ),
        (
            &post,
            cases.clone(),
            with("classification", json!({"id": "1"})),
            400,
            "INVALID_ARGUMENT",
            "classification ID",
        ),
        (
            &post,
            cases.clone(),
            with("contactEmail", json!("a@b.c")),
            400,
            "INVALID_ARGUMENT",
            "contact_email",
        ),
        (
            &post,
            cases.clone(),
            with("colour", json!("red")),
            400,
            "INVALID_ARGUMENT",
            "Unknown name \"colour\" at 'case'",
        ),
        (
            &post,
            cases.clone(),
            with("priority", json!("P5")),
            400,
            "INVALID_ARGUMENT",
            "Invalid value at 'case.priority'",
        ),
        (
            &post,
            cases.clone(),
            with("displayName", json!(5)),
            400,
            "INVALID_ARGUMENT",
            "'case.display_name' (TYPE_STRING), 5",
        ),
        (&post, cases.clone(), Some(json!([])), 400, "INVALID_ARGUMENT", "must be an object"),
        (&post, "/v2/organizations/9/cases".into(), Some(new_case()), 403, "PERMISSION_DENIED", "permission"),
        (
            &post,
            "/v2/projects/unknown/cases".into(),
            Some(new_case()),
            403,
            "PERMISSION_DENIED",
            "permission",
        ),
        (&get, "/v2/organizations/9/cases:search".into(), None, 403, "PERMISSION_DENIED", "permission"),
        (&get, "/v2/organizations/123/cases/1".into(), None, 404, "NOT_FOUND", "not found"),
        (&get, "/v2/organizations/123/cases/one".into(), None, 404, "NOT_FOUND", "not found"),
        (&get, format!("{comments}/1"), None, 404, "NOT_FOUND", "not found"),
        (&get, format!("{path}/attachments/1"), None, 404, "NOT_FOUND", "not found"),
        (&get, format!("{path}/attachments/1:download?alt=media"), None, 404, "NOT_FOUND", "not found"),
        (&get, format!("{path}/attachments/1:download"), None, 400, "INVALID_ARGUMENT", "alt=media"),
        (&get, format!("{path}?view=full"), None, 400, "INVALID_ARGUMENT", "Unknown name \"view\""),
        (&get, format!("{path}?alt=xml"), None, 400, "INVALID_ARGUMENT", "alt=xml"),
        (&post, format!("{path}:reopen"), None, 404, "NOT_FOUND", "Method not found"),
        (&Method::DELETE, path.clone(), None, 404, "NOT_FOUND", "Method not found"),
        (
            &change,
            format!("{path}?updateMask=state"),
            Some(json!({"state": "NEW"})),
            400,
            "INVALID_ARGUMENT",
            "'state' cannot",
        ),
        (
            &change,
            format!("{path}?updateMask=description"),
            Some(json!({})),
            400,
            "INVALID_ARGUMENT",
            "'description' cannot",
        ),
        (
            &post,
            format!("{path}:close"),
            Some(json!({"force": true})),
            400,
            "INVALID_ARGUMENT",
            "Unknown name \"force\"",
        ),
        (&post, format!("{path}:escalate"), Some(json!({})), 400, "INVALID_ARGUMENT", "justification"),
        (
            &post,
            format!("{path}:escalate"),
            Some(json!({"escalation": {"reason": "ANGER"}})),
            400,
            "INVALID_ARGUMENT",
            "'escalate_case_request.escalation.reason'",
        ),
        (&post, comments.clone(), Some(json!({})), 400, "INVALID_ARGUMENT", "comment.body is required"),
        (
            &post,
            comments.clone(),
            Some(json!({"text": "x"})),
            400,
            "INVALID_ARGUMENT",
            "Unknown name \"text\" at 'comment'",
        ),
        (&get, format!("{comments}?pageToken=x"), None, 400, "INVALID_ARGUMENT", "page token"),
        (&get, format!("{comments}?pageSize=-1"), None, 400, "INVALID_ARGUMENT", "negative"),
        (&get, format!("{comments}?query=x"), None, 400, "INVALID_ARGUMENT", "Unknown name \"query\""),
        (&post, format!("{path}/attachments"), Some(json!({})), 400, "INVALID_ARGUMENT", "/upload/"),
        (
            &get,
            "/v2/organizations/123/cases?filter=update_time%3E%22x%22".into(),
            None,
            400,
            "INVALID_ARGUMENT",
            "Invalid filter",
        ),
        (
            &get,
            "/v2/organizations/123/cases:search?query=nonsense".into(),
            None,
            400,
            "INVALID_ARGUMENT",
            "Invalid query",
        ),
        (
            &get,
            "/v2/caseClassifications:search?query=nonsense".into(),
            None,
            400,
            "INVALID_ARGUMENT",
            "Invalid query",
        ),
    ] {
        let (seen_status, seen_word, message) = server.refused(method.clone(), &path, body.clone()).await;
        assert_eq!((seen_status, seen_word.as_str()), (status, word), "{method} {path} {body:?}: {message}");
        assert!(message.contains(complaint), "{method} {path} {body:?}: {message}");
    }
    for rubbish in ["{", "\"\\ud800\"", "{\"displayName\": \"\\ud800\"}"] {
        let request = server.request(Method::POST, &cases).body(rubbish);
        assert_eq!(bad(request.send().await.unwrap()).await.0, 400, "{rubbish}");
    }
    assert_eq!(server.sandbox.cases().len(), 1, "nothing was created");
}

#[tokio::test]
async fn wrong_fields_are_named_in_the_details() {
    let server = start().await;
    let response = server.request(Method::POST, "/v2/organizations/123/cases").json(&json!({"a": 1})).send();
    let body: Value = response.await.unwrap().json().await.unwrap();
    let description = "Invalid JSON payload received. Unknown name \"a\" at 'case': Cannot find field.";
    assert_eq!(
        body,
        json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": description, "details": [{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "case", "description": description}],
        }]}})
    );
}

#[tokio::test]
async fn searches_find_what_their_query_says() {
    let server = start().await;
    let (sandbox, clock) = (&server.sandbox, &server.clock);
    let step = || clock.advance(TimeDelta::minutes(1));
    server.case(ORGANIZATION, "red");
    step();
    let green = server.case("projects/p", "green");
    step();
    let blue = server.case("projects/q", "blue");
    step();
    sandbox.set_priority(&green.name, Priority::P0).unwrap();
    step();
    sandbox.close(&blue.name).unwrap();
    sandbox
        .add_comment(&blue.name, Author::google("Sam"), "This case is now syncing with Company Case: 42")
        .unwrap();
    server.post("/v2/projects/p/cases", new_case()).await;

    for (query, expected) in [
        ("", vec!["Disk full", "blue", "green", "red"]),
        ("state=CLOSED", vec!["blue"]),
        ("state=OPEN", vec!["Disk full", "green", "red"]),
        ("state=OPEN AND (priority=P0 OR priority=P2)", vec!["green", "red"]),
        ("priority=P4", vec![]),
        (r#"creator.email="jane.roe@example.com" AND state=OPEN"#, vec!["green", "red"]),
        (r#"creator.email="nobody@example.com""#, vec![]),
        (r#"update_time>"2026-03-01T12:03:00Z""#, vec!["Disk full", "blue"]),
        (r#"update_time>"2026-03-01T13:02:59.999999+01:00""#, vec!["Disk full", "blue", "green"]),
        (r#""nothing works""#, vec!["Disk full"]),
        (r#""about RED""#, vec!["red"]),
        (r#""This case is now syncing with Company Case: 42""#, vec!["blue"]),
        (r#""Company Case: 4""#, vec!["blue"]),
    ] {
        let mut found = server.titles(query).await;
        found.sort();
        assert_eq!(found, expected, "{query}");
    }

    let names = |cases: Vec<Value>| -> Vec<String> {
        cases.iter().map(|case| case["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        names(server.search("projects/p", "").await),
        ["projects/p/cases/51000004", "projects/p/cases/51000002"],
        "a project has its own cases only, newest update first"
    );
    let list = server.get("/v2/organizations/123/cases").await;
    assert_eq!(
        names(list["cases"].as_array().cloned().unwrap()),
        ["organizations/123/cases/51000001"],
        "no children"
    );
    let list = server.get("/v2/projects/p/cases?filter=priority%3DP0").await;
    assert_eq!(names(list["cases"].as_array().cloned().unwrap()), ["projects/p/cases/51000002"]);
}

#[tokio::test]
async fn a_case_is_found_by_its_number_under_its_organisation() {
    let server = start().await;
    server.sandbox.add_project("q").unwrap();
    let of_project = server.case("projects/p", "p");
    let of_organization = server.case(ORGANIZATION, "o");
    for (path, found) in [
        (format!("/v2/projects/p/cases/{}", of_project.number), Some(&of_project.name)),
        (format!("/v2/{ORGANIZATION}/cases/{}", of_project.number), Some(&of_project.name)),
        (format!("/v2/projects/q/cases/{}", of_project.number), None),
        (format!("/v2/projects/q/cases/{}", of_organization.number), Some(&of_organization.name)),
    ] {
        match found {
            Some(name) => assert_eq!(server.get(&path).await["name"], **name, "{path}"),
            None => assert_eq!(server.refused(Method::GET, &path, None).await.0, 404, "{path}"),
        }
    }
    server.sandbox.adjust(|switches| switches.names_as_asked = true);
    let path = format!("{ORGANIZATION}/cases/{}", of_project.number);
    assert_eq!(server.get(&format!("/v2/{path}")).await["name"], path);
    assert_eq!(server.search(ORGANIZATION, "\"about p\"").await[0]["name"], path);
}

#[tokio::test]
async fn a_search_that_lags_knows_cases_only_as_they_were() {
    let server = start().await;
    let (sandbox, clock) = (&server.sandbox, &server.clock);
    let case = server.case(ORGANIZATION, "old title");
    clock.advance(TimeDelta::seconds(30));
    sandbox.set_display_name(&case.name, "new title").unwrap();
    sandbox.add_comment(&case.name, Author::customer("Jane"), "needle").unwrap();
    server.case(ORGANIZATION, "new case");
    clock.advance(TimeDelta::seconds(30));

    sandbox.faults().set_search_lag(TimeDelta::seconds(45));
    assert_eq!(server.titles("").await, ["old title"]);
    assert_eq!(server.titles("\"needle\"").await, Vec::<String>::new());
    assert_eq!(server.titles(r#"update_time>"2026-03-01T12:00:00Z""#).await, Vec::<String>::new());
    let list = server.get("/v2/organizations/123/cases").await;
    assert_eq!(list["cases"].as_array().unwrap().len(), 2, "a list does not lag");
    clock.advance(TimeDelta::seconds(16));
    assert_eq!(server.titles("").await, ["new title", "new case"]);
    assert_eq!(server.titles("\"needle\"").await, ["new title"]);
    sandbox.faults().set_search_lag(TimeDelta::seconds(300));
    assert_eq!(server.titles("").await, Vec::<String>::new());
}

#[tokio::test]
async fn comments_come_in_the_order_that_is_set_and_with_their_authors() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/v2/{}/comments", case.name);
    server.sandbox.add_comment(&case.name, Author::customer("Jane Roe"), "first").unwrap();
    server.sandbox.add_comment(&case.name, Author::google("Sam Rivera"), "second").unwrap();
    server.clock.advance(TimeDelta::seconds(5));
    let third = server.post(&path, json!({"body": "third"})).await;
    assert_eq!(third["createTime"], "2026-03-01T12:00:05Z");
    assert_eq!(third["body"], third["plainTextBody"]);
    assert_eq!(server.get(&format!("/v2/{}", third["name"].as_str().unwrap())).await, third);

    let list = server.get(&path).await["comments"].clone();
    let bodies: Vec<&str> =
        list.as_array().unwrap().iter().map(|comment| comment["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["third", "second", "first"]);
    let creators: Vec<&Value> = list.as_array().unwrap().iter().map(|comment| &comment["creator"]).collect();
    assert_eq!(creators[0]["email"], "casebridge@sandbox.iam.gserviceaccount.com");
    assert_eq!(
        *creators[1],
        json!({"displayName": "S*** R***", "email": "***@google.com", "googleSupport": true})
    );
    assert_eq!(
        *creators[2],
        json!({"displayName": "Jane Roe", "email": "jane.roe@example.com", "username": "jane.roe@example.com"})
    );
    let ids: BTreeSet<String> =
        server.sandbox.comments(&case.name).unwrap().into_iter().map(|comment| comment.id).collect();
    assert_eq!(ids.len(), 3);

    server.sandbox.adjust(|switches| switches.comment_order = Order::OldestFirst);
    let list = server.get(&path).await["comments"].clone();
    assert_eq!((&list[0]["body"], &list[2]["body"]), (&json!("first"), &json!("third")));
    server.sandbox.adjust(|switches| switches.comment_order = Order::Shuffled);
    let shuffled = server.get(&path).await["comments"].clone();
    assert_eq!(shuffled, server.get(&path).await["comments"], "the same every time");
}

#[tokio::test]
async fn the_feed_shows_comments_files_and_emails_by_their_times() {
    let server = start().await;
    let case = server.case("projects/p", "one");
    let jane = || Author::customer("Jane Roe");
    let first = server.sandbox.add_comment(&case.name, jane(), "first").unwrap();
    let email = server.sandbox.receive_email(&case.name, jane(), "Re: one", "second").unwrap();
    assert_eq!(email.id, first.id, "counted apart");
    server.sandbox.attach(&case.name, jane(), "third.txt", "text/plain", b"3").unwrap();
    assert_eq!(server.sandbox.emails(&case.name).unwrap(), std::slice::from_ref(&email));

    let path = format!("/v2beta/{}:showFeed", case.name);
    let items = server.get(&path).await["feedItems"].as_array().cloned().unwrap();
    let kinds = |items: &[Value]| -> Vec<String> {
        let kind = |item: &Value| item.as_object().unwrap().keys().find(|key| *key != "eventTime").cloned();
        items.iter().filter_map(kind).collect()
    };
    assert_eq!(kinds(&items), ["comment", "emailMessage", "attachment"]);
    let shown = &items[1]["emailMessage"];
    assert_eq!(shown["name"], json!(format!("{}/emailMessages/{}", case.name, email.id)));
    assert_eq!(
        (&shown["subject"], &shown["bodyContent"], &shown["actor"]["displayName"]),
        (&json!("Re: one"), &json!({"plainText": "second"}), &json!("Jane Roe"))
    );
    assert_eq!(items[1]["eventTime"], shown["createTime"]);
    let newest_first = server.get(&format!("{path}?orderBy=creation_time%20desc")).await;
    let newest_first = newest_first["feedItems"].as_array().unwrap();
    assert_eq!(kinds(newest_first), ["attachment", "emailMessage", "comment"]);
    let (sizes, walked) = server.walk(&path, "feedItems", 2).await;
    assert_eq!((sizes, walked), (vec![2, 1], items.clone()));

    // It is a case's own, under v2beta, and read only.
    let other = format!("{path}?orderBy=update_time");
    assert_eq!(server.refused(Method::GET, &other, None).await.0, 400);
    assert_eq!(server.refused(Method::POST, &path, Some(json!({}))).await.0, 404);
    let v2 = path.replace("v2beta", "v2");
    assert_eq!(server.refused(Method::GET, &v2, None).await.0, 404);
    assert_eq!(server.refused(Method::GET, "/v2beta/projects/p/cases/1:showFeed", None).await.0, 404);
    assert_eq!(server.get(&format!("/v2/{}", case.name)).await["updateTime"], items[2]["eventTime"]);
}

#[tokio::test]
async fn a_comment_holds_12800_code_points() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/v2/{}/comments", case.name);
    for (body, fits) in [
        ("x".repeat(12_800), true),
        ("x".repeat(12_801), false),
        ("\u{1F600}".repeat(12_800), true),
        ("\u{1F600}".repeat(12_801), false),
    ] {
        let response = server.request(Method::POST, &path).json(&json!({"body": body})).send().await.unwrap();
        if fits {
            assert_eq!(good(response).await["body"], body);
        } else {
            let (status, _, message) = bad(response).await;
            assert_eq!((status, message.contains("12801 characters")), (400, true), "{message}");
        }
    }
    let odd = "\0\u{202E}rtl\u{7}<b>&amp;\r\n";
    assert_eq!(server.post(&path, json!({"body": odd})).await["body"], odd, "content is content");
    server.sandbox.add_comment(&case.name, Author::customer("Jane"), &"long ".repeat(200_000)).unwrap();
    assert_eq!(server.get(&path).await["comments"][0]["body"].as_str().unwrap().len(), 1_000_000);
}

#[tokio::test]
async fn update_times_move_as_the_switches_say() {
    let server = start().await;
    let sandbox = &server.sandbox;
    let case = server.case(ORGANIZATION, "one");
    let attach = || {
        server.clock.advance(TimeDelta::seconds(1));
        sandbox.attach(&case.name, Author::customer("Jane"), "a", "text/plain", b"a").unwrap()
    };
    let comment = || {
        server.clock.advance(TimeDelta::seconds(1));
        sandbox.add_comment(&case.name, Author::customer("Jane"), "a").unwrap()
    };
    let updated = || sandbox.case(&case.name).unwrap().updated_at;
    assert_eq!(updated(), case.created_at);
    assert_eq!(comment().created_at, updated());
    assert_eq!(attach().created_at, updated());

    let before = updated();
    sandbox.adjust(|switches| {
        switches.comments_move_update_time = false;
        switches.attachments_move_update_time = false;
    });
    assert!(comment().created_at > before);
    assert!(attach().created_at > before);
    assert_eq!(updated(), before);
    sandbox.touch(&case.name).unwrap();
    assert!(updated() > server.clock.now() - TimeDelta::microseconds(1));
}

#[tokio::test]
async fn people_do_what_the_api_cannot() {
    let server = start().await;
    let sandbox = &server.sandbox;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/v2/{}", case.name);
    for (state, word) in [
        (State::InProgressGoogleSupport, "IN_PROGRESS_GOOGLE_SUPPORT"),
        (State::ActionRequired, "ACTION_REQUIRED"),
        (State::SolutionProvided, "SOLUTION_PROVIDED"),
        (State::Closed, "CLOSED"),
        (State::New, "NEW"),
    ] {
        let before = sandbox.case(&case.name).unwrap().updated_at;
        sandbox.set_state(&case.name, state).unwrap();
        assert_eq!(server.get(&path).await["state"], word);
        assert!(sandbox.case(&case.name).unwrap().updated_at > before);
    }
    let attachment = sandbox.attach(&case.name, Author::google("Sam"), "a", "b/c", b"bytes").unwrap();
    assert_eq!(sandbox.attachment_bytes(&case.name, &attachment.id).unwrap(), b"bytes");
    sandbox.delete_attachment(&case.name, &attachment.id).unwrap();
    assert_eq!(server.get(&format!("{path}/attachments")).await, json!({}));
    assert!(sandbox.delete_attachment(&case.name, &attachment.id).is_err());
    sandbox.delete_case(&case.name).unwrap();
    assert_eq!(server.refused(Method::GET, &path, None).await.0, 404);
    assert!(sandbox.case(&case.name).is_err() && sandbox.delete_case("7").is_err());
}

#[tokio::test]
async fn a_closed_case_takes_comments_and_files_unless_it_is_told_not_to() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    server.sandbox.close(&case.name).unwrap();
    let comments = format!("/v2/{}/comments", case.name);
    let upload = format!("/upload/v2/{}/attachments?attachment.filename=a", case.name);
    server.post(&comments, json!({"body": "late"})).await;
    server.post(&upload, json!("late")).await;
    server.sandbox.adjust(|switches| {
        switches.closed_cases_refuse_comments = true;
        switches.closed_cases_refuse_attachments = true;
    });
    for path in [comments, upload] {
        let (status, word, _) = server.refused(Method::POST, &path, Some(json!({"body": "late"}))).await;
        assert_eq!((status, word.as_str()), (400, "FAILED_PRECONDITION"), "{path}");
    }
    assert_eq!(server.sandbox.comments(&case.name).unwrap().len(), 1);
    assert_eq!(server.sandbox.attachments(&case.name).unwrap().len(), 1);
}

#[tokio::test]
async fn pages_are_short_or_empty_by_default_and_bring_everything_once() {
    let server = start().await;
    server.sandbox.adjust(|switches| *switches = Switches::default());
    let (mut short, mut empty) = (0, 0);
    let case = server.case(ORGANIZATION, "one");
    for number in 0..30 {
        server.sandbox.add_comment(&case.name, Author::customer("Jane"), &format!("c{number}")).unwrap();
        server
            .sandbox
            .attach(&case.name, Author::customer("Jane"), &format!("f{number}"), "a/b", b"x")
            .unwrap();
        server.case("projects/p", &format!("t{number}"));
    }
    for (path, field) in [
        (format!("/v2/{}/comments", case.name), "comments"),
        (format!("/v2/{}/attachments", case.name), "attachments"),
        ("/v2/projects/p/cases:search".to_owned(), "cases"),
        ("/v2/projects/p/cases".to_owned(), "cases"),
    ] {
        for size in [1, 2, 3, 10, 25] {
            let (sizes, items) = server.walk(&path, field, size).await;
            let names: BTreeSet<String> = items.iter().map(|item| item["name"].to_string()).collect();
            assert_eq!((items.len(), names.len()), (30, 30), "{path} {size}: {sizes:?}");
            let (_, before_last) = sizes.split_last().unwrap();
            empty += before_last.iter().filter(|&&length| length == 0).count();
            short += before_last.iter().filter(|&&length| length > 0 && length < size).count();
        }
    }
    assert!(short > 5 && empty > 5, "{short} short and {empty} empty pages");
}

#[tokio::test]
async fn a_page_holds_ten_items_unless_asked_and_a_hundred_at_most() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    for number in 0..105 {
        server.sandbox.add_comment(&case.name, Author::customer("Jane"), &number.to_string()).unwrap();
    }
    let path = format!("/v2/{}/comments", case.name);
    for (parameters, length) in [("", 10), ("?pageSize=0", 10), ("?page_size=7", 7), ("?pageSize=1000", 100)]
    {
        let page = server.get(&format!("{path}{parameters}")).await;
        assert_eq!(page["comments"].as_array().unwrap().len(), length, "{parameters}");
        assert!(page["nextPageToken"].is_string());
    }
}

#[tokio::test]
async fn files_travel_both_ways_byte_for_byte() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    for (name, mime_type, content) in [
        ("log.txt", Some("text/plain"), b"short".to_vec()),
        ("no type", None, b"x".to_vec()),
        ("empty.bin", Some("application/octet-stream"), Vec::new()),
        ("large.bin", Some("application/x-large"), bytes),
        ("ü/\"\r\n%2F.txt", Some("text/plain"), b"odd name".to_vec()),
    ] {
        let url = url::Url::parse_with_params(
            &format!("{}/upload/v2/{}/attachments", server.base, case.name),
            [("attachment.filename", name)],
        );
        let mut request = server.client.post(url.unwrap()).body(content.clone());
        if let Some(mime_type) = mime_type {
            request = request.header("content-type", mime_type);
        }
        let attachment = good(request.send().await.unwrap()).await;
        assert_eq!(attachment["filename"], name);
        assert_eq!(attachment["mimeType"], mime_type.unwrap_or("application/octet-stream"));
        let size = (!content.is_empty()).then(|| content.len().to_string());
        assert_eq!(attachment["sizeBytes"], json!(size), "digits; zero is left out");
        assert_eq!(attachment["creator"]["email"], "casebridge@sandbox.iam.gserviceaccount.com");

        let path = format!("/v2/{}", attachment["name"].as_str().unwrap());
        assert_eq!(server.get(&path).await, attachment);
        let download =
            server.request(Method::GET, &format!("{path}:download?alt=media")).send().await.unwrap();
        let headers = download.headers().clone();
        assert_eq!(headers["content-length"], content.len().to_string());
        assert!(
            headers["content-disposition"].to_str().unwrap().starts_with("attachment; filename*=UTF-8''")
        );
        assert!(download.bytes().await.unwrap() == content, "{name}");
        let id = path.rsplit('/').next().unwrap();
        assert!(server.sandbox.attachment_bytes(&case.name, id).unwrap() == content);
    }
}

#[tokio::test]
async fn a_part_of_a_file_can_be_asked_for() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let attachment =
        server.sandbox.attach(&case.name, Author::google("Sam"), "a", "text/plain", b"0123456789").unwrap();
    let path = format!("/v2/{}/attachments/{}:download?alt=media", case.name, attachment.id);
    for (range, status, content_range, body) in [
        ("bytes=0-3", 206, Some("bytes 0-3/10"), "0123"),
        ("bytes=8-99", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=4-", 206, Some("bytes 4-9/10"), "456789"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=nonsense", 200, None, "0123456789"),
    ] {
        let response = server.request(Method::GET, &path).header("range", range).send().await.unwrap();
        assert_eq!(response.status(), status, "{range}");
        let seen = response.headers().get("content-range").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(seen.as_deref(), content_range);
        assert_eq!(response.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn uploads_are_refused_when_something_is_wrong_with_them() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    server.sandbox.adjust(|switches| {
        switches.max_attachment_bytes = Some(1000);
        switches.refused_mime_types = vec!["application/x-virus".to_owned()];
    });
    let path = format!("/upload/v2/{}/attachments", case.name);
    for (parameters, mime_type, size, complaint) in [
        ("", "text/plain", 5, "attachment.filename is required"),
        ("?attachment.filename=", "text/plain", 5, "attachment.filename is required"),
        ("?attachment.filename=a", "text/plain", 1001, "larger than 1000 bytes"),
        ("?attachment.filename=a", "text/plain", 10_000_000, "larger than 1000 bytes"),
        ("?attachment.filename=a", "application/x-virus", 5, "application/x-virus are not accepted"),
        ("?attachment.filename=a&uploadType=resumable", "text/plain", 5, "'resumable' is not supported"),
        ("?attachment.filename=a&uploadType=multipart", "text/plain", 5, "needs a boundary"),
        ("?filename=a", "text/plain", 5, "Unknown name \"filename\""),
    ] {
        let request = server.request(Method::POST, &format!("{path}{parameters}"));
        let response = request.header("content-type", mime_type).body(vec![0; size]).send().await.unwrap();
        let (status, _, message) = bad(response).await;
        assert_eq!((status, message.contains(complaint)), (400, true), "{parameters}: {message}");
    }
    let unknown = "/upload/v2/organizations/123/cases/1/attachments?attachment.filename=a";
    assert_eq!(server.refused(Method::POST, unknown, None).await.0, 404);
    assert_eq!(server.sandbox.attachments(&case.name).unwrap(), []);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_no_attachment() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/upload/v2/{}/attachments?attachment.filename=a", case.name);
    let pieces = futures_util::stream::iter([Ok(vec![1; 5000]), Err(std::io::Error::other("broken"))]);
    let request = server.request(Method::POST, &path).body(reqwest::Body::wrap_stream(pieces));
    assert!(request.send().await.is_err());
    assert_eq!(server.sandbox.attachments(&case.name).unwrap(), []);
}

/// Transfers 300 MiB in each direction and measures the memory of the process, to check that nothing keeps a whole file.
#[tokio::test]
async fn large_files_stream_in_constant_memory() {
    const SIZE: u64 = 300 << 20;
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    server.sandbox.adjust(|switches| switches.keep_uploads = false);
    let big = server.sandbox.attach_synthetic(&case.name, Author::google("Sam"), "big.bin", 7, SIZE).unwrap();
    let before = resident();

    let path = format!("/v2/{}/attachments/{}:download?alt=media", case.name, big.id);
    let download = server.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(download.content_length(), Some(SIZE));
    let hasher = Arc::new(std::sync::Mutex::new(Sha256::new()));
    let tee = hasher.clone();
    let pieces = download.bytes_stream().inspect(move |piece| {
        tee.lock().unwrap().update(piece.as_ref().unwrap());
    });
    let path = format!("/upload/v2/{}/attachments?attachment.filename=copy.bin", case.name);
    let upload = server.request(Method::POST, &path).body(reqwest::Body::wrap_stream(pieces));
    let copy = good(upload.send().await.unwrap()).await;

    assert_eq!(copy["sizeBytes"], SIZE.to_string());
    let id = copy["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let expected = synthetic_sha256(7, SIZE);
    assert_eq!(hex::encode(hasher.lock().unwrap().clone().finalize()), expected);
    assert_eq!(server.sandbox.attachment_sha256(&case.name, &id).unwrap(), expected);
    if let (Some(before), Some(after)) = (before, resident()) {
        // A whole file in memory would exceed this; the rest is room for tests that run at the same time.
        assert!(after.saturating_sub(before) < 250 << 20, "grew from {before} to {after} bytes");
    }
    let path = format!("/v2/{}/attachments/{id}:download?alt=media", case.name);
    assert_eq!(server.refused(Method::GET, &path, None).await.0, 501, "only its hash was kept");
}

/// Returns the process's resident memory in bytes, on systems with `/proc`.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[tokio::test]
async fn classifications_are_found_until_they_are_given_up() {
    let server = start().await;
    let path = "/v2/caseClassifications:search?query=display_name:%22*Compute%20Engine*%22";
    let found = json!({"id": CLASSIFICATION_ID, "displayName": "Technical Issue > Compute > Compute Engine"});
    assert_eq!(server.get(path).await["caseClassifications"], json!([found]));
    server.sandbox.set_classification(CLASSIFICATION_ID, ClassificationState::Unlisted);
    assert_eq!(server.get(path).await, json!({}));
    server.post("/v2/organizations/123/cases", new_case()).await;
    server.sandbox.set_classification(CLASSIFICATION_ID, ClassificationState::Expired);
    let (status, ..) = server.refused(Method::POST, "/v2/organizations/123/cases", Some(new_case())).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn without_a_support_plan_every_list_is_empty() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    server.sandbox.add_comment(&case.name, Author::customer("Jane"), "c").unwrap();
    server.sandbox.adjust(|switches| switches.no_support_plan = true);
    let comments = format!("/v2/{}/comments", case.name);
    for path in ["/v2/organizations/123/cases:search", "/v2/organizations/123/cases", comments.as_str()] {
        assert_eq!(server.get(path).await, json!({}), "{path}");
    }
}

#[tokio::test]
async fn cases_can_be_hidden_and_a_project_be_lost_without_a_word() {
    let server = start().await;
    let (of_all, of_shop) = (server.case(ORGANIZATION, "one"), server.case("projects/shop", "two"));
    assert_eq!(server.search(ORGANIZATION, "").await.len(), 2);
    server.sandbox.adjust(|switches| switches.hidden_cases = [of_all.number].into());
    assert_eq!(server.titles("").await, ["two"]);
    assert_eq!(server.refused(Method::GET, &format!("/v2/{}", of_all.name), None).await.0, 404);
    assert_eq!(server.refused(Method::GET, &format!("/v2/{}/comments", of_all.name), None).await.0, 404);
    server.sandbox.adjust(|switches| {
        switches.hidden_cases.clear();
        switches.lost_projects = ["shop".to_owned()].into();
    });
    assert_eq!(
        server.titles("").await,
        ["one"],
        "the organisation's search says nothing of what it leaves out"
    );
    let of_organization = format!("/v2/{ORGANIZATION}/cases/{}", of_shop.number);
    for path in
        [format!("/v2/{}", of_shop.name), of_organization, "/v2/projects/shop/cases:search".to_owned()]
    {
        assert_eq!(server.refused(Method::GET, &path, None).await.0, 403, "{path}");
    }
    server.sandbox.adjust(|switches| switches.lost_projects.clear());
    server.get(&format!("/v2/{}", of_shop.name)).await;
}

#[tokio::test]
async fn a_priority_is_shown_as_the_switch_says() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    for (shown, expected) in [
        (None, json!("P2")),
        (Some(""), Value::Null),
        (Some("PRIORITY_UNSPECIFIED"), json!("PRIORITY_UNSPECIFIED")),
        (Some("P7"), json!("P7")),
    ] {
        server.sandbox.adjust(|switches| switches.shown_priority = shown.map(str::to_owned));
        assert_eq!(server.get(&format!("/v2/{}", case.name)).await["priority"], expected);
        assert_eq!(server.search(ORGANIZATION, "").await[0]["priority"], expected);
    }
}

#[tokio::test]
async fn a_redirect_and_a_wrong_clock_are_faults_as_well() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let faults = server.sandbox.faults();
    faults
        .add(Fault::always(Effect::Redirect { location: "/login?x".to_owned() }).on("GET", "/v2/").times(1));
    let answer = server.request(Method::GET, "/v2/x").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (302, "/login?x"));

    faults.set_clock_ahead(TimeDelta::hours(1));
    let answer = server.request(Method::GET, &format!("/v2/{}", case.name)).send().await.unwrap();
    let ahead = start_of_time() + TimeDelta::hours(1);
    assert_eq!(
        answer.headers()["date"].to_str().unwrap(),
        ahead.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    );
    let later = server.case(ORGANIZATION, "two");
    let later = server.get(&format!("/v2/{}", later.name)).await;
    assert_eq!(later["createTime"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), ahead);
}

#[tokio::test]
async fn an_escalated_case_may_lose_its_title() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/v2/{}", case.name);
    server.sandbox.adjust(|switches| switches.escalated_cases_lose_display_name = true);
    assert_eq!(server.get(&path).await["displayName"], "one");
    let escalation = json!({"escalation": {"reason": 3, "justification": "j"}});
    let escalated = server.post(&format!("{path}:escalate"), escalation).await;
    assert_eq!((escalated.get("displayName"), &escalated["escalated"]), (None, &json!(true)));
}

#[tokio::test]
async fn faults_come_before_or_after_the_effect() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/v2/{}/comments", case.name);
    let faults = server.sandbox.faults();
    let count = || server.sandbox.comments(&case.name).unwrap().len();
    let send = || server.request(Method::POST, &path).json(&json!({"body": "x"})).send();

    for (effect, status, word, happened) in [
        (Effect::ErrorBefore { status: 503, body: None }, 503, "UNAVAILABLE", false),
        (Effect::ErrorAfter { status: 500 }, 500, "INTERNAL", true),
        (Effect::RateLimited { retry_after: "7".into() }, 429, "RESOURCE_EXHAUSTED", false),
    ] {
        let before = count();
        faults.add(Fault::always(effect.clone()).on("POST", "/comments").times(1));
        let response = send().await.unwrap();
        let retry_after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(retry_after, (status == 429).then(|| "7".to_owned()));
        let (seen, seen_word, _) = bad(response).await;
        assert_eq!((seen, seen_word.as_str(), count() > before), (status, word, happened), "{effect:?}");
        good(send().await.unwrap()).await;
    }

    for (effect, happened) in [(Effect::HangUpBefore, false), (Effect::HangUpAfter, true)] {
        let before = count();
        faults.add(Fault::always(effect.clone()).times(1));
        let error = send().await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
        assert_eq!(count() > before, happened, "{effect:?}");
        good(send().await.unwrap()).await;
    }

    faults
        .add(Fault::always(Effect::ErrorBefore { status: 502, body: Some("<h1>Bad</h1>".into()) }).times(1));
    let response = send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (502, &"text/html; charset=UTF-8".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "<h1>Bad</h1>");

    let before = count();
    faults.add(Fault::always(Effect::LatencyAfter { ms: 5000 }).times(1));
    let impatient = server.request(Method::POST, &path).json(&json!({"body": "x"}));
    assert!(impatient.timeout(Duration::from_millis(200)).send().await.unwrap_err().is_timeout());
    assert_eq!(count(), before + 1, "given up, and yet it happened");
}

#[tokio::test]
async fn a_body_can_be_cut_with_or_without_a_trace() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let attachment =
        server.sandbox.attach_synthetic(&case.name, Author::google("Sam"), "a", 1, 200_000).unwrap();
    let path = format!("/v2/{}/attachments/{}:download?alt=media", case.name, attachment.id);
    let faults = server.sandbox.faults();
    for cut in [0, 1, 100_000] {
        faults.add(Fault::always(Effect::TruncateBody { bytes: cut }).on("GET", ":download").times(1));
        let response = server.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.content_length(), Some(200_000));
        let (mut read, mut failed, mut stream) = (0, false, response.bytes_stream());
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => read += piece.len(),
                Err(_) => failed = true,
            }
        }
        assert_eq!((read, failed), (cut, true));

        faults.add(Fault::always(Effect::ShortenBody { bytes: cut }).on("GET", ":download").times(1));
        let response = server.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap().len(), cut, "well-formed, but too short");
    }
    assert_eq!(
        server.request(Method::GET, &path).send().await.unwrap().bytes().await.unwrap().len(),
        200_000
    );

    faults.add(Fault::always(Effect::TruncateBody { bytes: 10 }).on("GET", "/cases/").times(1));
    let response = server.request(Method::GET, &format!("/v2/{}", case.name)).send().await.unwrap();
    assert!(response.bytes().await.is_err(), "JSON is cut as well");
}

#[tokio::test]
async fn faults_are_steered_over_http_and_calls_are_counted() {
    let server = start().await;
    let case = server.case(ORGANIZATION, "one");
    let path = format!("/v2/{}", case.name);
    let fault = json!({"method": "GET", "path": "/cases/", "times": 1, "effect": {"kind": "error_before", "status": 418}});
    let response = server.request(Method::POST, "/sandbox/faults").json(&fault).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.json::<Value>().await.unwrap()),
        (201, json!({"id": 1}))
    );
    assert_eq!(server.refused(Method::GET, &path, None).await.0, 418);
    server.get(&path).await;
    let listed = server.get("/sandbox/faults").await;
    assert_eq!(
        (&listed["faults"][0]["hit"], &listed["faults"][0]["effect"]["kind"]),
        (&json!(1), &json!("error_before"))
    );

    for bad_fault in [
        json!({"effect": {"kind": "explode"}}),
        json!({"effect": {"kind": "error_after", "status": 99}}),
        json!({"effect": {"kind": "rate_limited", "retry_after": "a\nb"}}),
        json!({}),
    ] {
        let response = server.request(Method::POST, "/sandbox/faults").json(&bad_fault).send().await.unwrap();
        assert_eq!(response.status().as_u16() / 100, 4, "{bad_fault}");
        assert!(response.json::<Value>().await.unwrap()["error"].is_string());
    }

    let lag = server.request(Method::PUT, "/sandbox/search-lag").json(&json!({"seconds": 30}));
    assert_eq!(lag.send().await.unwrap().status(), 204);
    assert_eq!(server.titles("").await, Vec::<String>::new());
    assert_eq!(server.request(Method::DELETE, "/sandbox/faults").send().await.unwrap().status(), 204);
    assert_eq!(server.titles("").await, ["one"]);
    assert_eq!(
        server.get("/sandbox/faults").await,
        json!({"faults": [], "search_lag_seconds": 0, "clock_ahead_seconds": 0})
    );

    let calls = server.get("/sandbox/calls").await["calls"].as_array().cloned().unwrap();
    assert_eq!(calls[0], json!({"method": "GET", "path": path}));
    assert_eq!(calls.len(), 4, "requests under /sandbox/ do not count: {calls:?}");
    assert_eq!(server.sandbox.faults().calls().len(), 4);
    assert_eq!(server.request(Method::DELETE, "/sandbox/calls").send().await.unwrap().status(), 204);
    assert_eq!(server.get("/sandbox/calls").await, json!({"calls": []}));
}

#[tokio::test]
async fn switches_are_set_over_http() {
    let server = start().await;
    let put = server
        .request(Method::PUT, "/sandbox/switches")
        .json(&json!({"page_style": "full", "comment_order": "shuffled"}));
    assert_eq!(put.send().await.unwrap().status(), 204);
    let expected =
        Switches { page_style: PageStyle::Full, comment_order: Order::Shuffled, ..Switches::default() };
    assert_eq!(server.sandbox.switches(), expected);
    assert_eq!(server.get("/sandbox/switches").await["comment_order"], "shuffled");
    let put = server.request(Method::PUT, "/sandbox/switches").json(&json!({"page_stile": "full"}));
    assert_eq!(put.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_sandbox_with_a_directory_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start_of_time());
    let open = || SandboxCsapi::with_data_dir(clock.clone(), ORGANIZATION, directory.path());
    let sandbox = open().unwrap();
    sandbox.seed_samples().unwrap();
    let server = serve(sandbox, clock.clone()).await;
    let case = server.sandbox.cases()[0].name.clone();
    server.post(&format!("/v2/{case}/comments"), json!({"body": "kept"})).await;
    let upload = format!("/upload/v2/{case}/attachments?attachment.filename=kept.bin");
    good(server.request(Method::POST, &upload).body(vec![5; 2_000_000]).send().await.unwrap()).await;
    server.sandbox.delete_attachment(&case, &server.sandbox.attachments(&case).unwrap()[0].id).unwrap();
    server.sandbox.attach_synthetic(&case, Author::google("Sam"), "synthetic", 3, 70_000).unwrap();
    server.sandbox.close(&case).unwrap();
    let gone = server.case("projects/later", "deleted again");
    server.sandbox.delete_case(&gone.name).unwrap();

    let copy = |sandbox: &SandboxCsapi| {
        let contents: Vec<_> = sandbox
            .cases()
            .into_iter()
            .map(|case| {
                let attachments: Vec<_> = sandbox
                    .attachments(&case.name)
                    .unwrap()
                    .into_iter()
                    .map(|file| (sandbox.attachment_sha256(&case.name, &file.id).unwrap(), file))
                    .collect();
                (sandbox.comments(&case.name).unwrap(), attachments, case)
            })
            .collect();
        (contents, sandbox.projects())
    };
    let before = copy(&server.sandbox);
    // The first sandbox is never closed, so the second one finds the same files as after a killed process, including a half-written
    // upload.
    let files = directory.path().join("csapi-attachments");
    std::fs::write(files.join("99.part"), b"half").unwrap();

    let sandbox = open().unwrap();
    assert_eq!(copy(&sandbox), before);
    assert!(!files.join("99.part").exists());
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 1, "one file is left");
    sandbox.seed_samples().unwrap();
    assert_eq!(sandbox.cases().len(), 3, "samples are made once");
    drop(server);
    let server = serve(sandbox, clock.clone()).await;
    let next = server.case(ORGANIZATION, "next");
    assert_eq!(next.number, gone.number + 1, "a number is not given twice");

    let other = SandboxCsapi::with_data_dir(clock.clone(), "456", directory.path());
    assert!(other.unwrap_err().to_string().contains("organization '123', not '456'"));
}

#[tokio::test]
async fn people_see_and_change_cases_on_pages_that_show_content_as_text() {
    let server = start().await;
    server.sandbox.seed_samples().unwrap();
    let text = async |path: &str| {
        let response = server.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    };
    let submit = async |path: &str, fields: &[(&str, &str)]| {
        let response = server.request(Method::POST, path).form(fields).send().await.unwrap();
        assert_eq!(response.status(), 303, "{path}");
        response.headers()["location"].to_str().unwrap().to_owned()
    };
    assert!(text("/").await.contains("Firestore export ends with DEADLINE_EXCEEDED"));

    let fields = [
        ("parent", ORGANIZATION),
        ("display_name", "<script>x</script>"),
        ("description", "a\r\nb"),
        ("priority", "P1"),
    ];
    let location = submit("/cases", &fields).await;
    let number = location.rsplit('/').next().unwrap().to_owned();
    assert_eq!(server.sandbox.case(&number).unwrap().description, "a\nb");
    submit(&format!("{location}/comments"), &[("role", "google"), ("body", "<img src=x onerror=y>")]).await;
    submit(&format!("{location}/priority"), &[("priority", "P0")]).await;
    submit(&format!("{location}/state"), &[("state", "CLOSED")]).await;
    let part = reqwest::multipart::Part::bytes(b"<html>".to_vec())
        .file_name("<b>.html")
        .mime_str("text/html")
        .unwrap();
    let form = reqwest::multipart::Form::new().text("role", "customer").part("file", part);
    let upload = server.request(Method::POST, &format!("{location}/attachments")).multipart(form);
    assert_eq!(upload.send().await.unwrap().status(), 303);

    let case = server.sandbox.case(&number).unwrap();
    assert_eq!((case.priority, case.state), (Some(Priority::P0), State::Closed));
    let shown = text(&location).await;
    for (raw, escaped) in [("<script>", "&lt;script&gt;"), ("<img", "&lt;img"), ("<b>", "&lt;b&gt;.html")] {
        assert!(!shown.contains(raw) && shown.contains(escaped), "{raw}");
    }
    assert!(shown.contains("Reopen"));
    submit(&format!("{location}/state"), &[("state", "IN_PROGRESS_GOOGLE_SUPPORT")]).await;
    assert!(text(&location).await.contains("Close"));

    let attachment = &server.sandbox.attachments(&number).unwrap()[0];
    let path = format!("{location}/attachments/{}", attachment.id);
    let download = server.request(Method::GET, &path).send().await.unwrap();
    assert!(download.headers()["content-disposition"].to_str().unwrap().starts_with("attachment;"));
    assert_eq!(download.text().await.unwrap(), "<html>");
    submit(&format!("{path}/delete"), &[]).await;
    assert_eq!(server.sandbox.attachments(&number).unwrap(), []);

    let missing = server.request(Method::GET, "/cases/1").send().await.unwrap();
    assert_eq!(missing.status(), 404);
    let fields =
        [("parent", "organizations/<9>"), ("display_name", "x"), ("description", "x"), ("priority", "P1")];
    let wrong = server.request(Method::POST, "/cases").form(&fields).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("organizations/&lt;9&gt;"));
    server.sandbox.faults().add(Fault::always(Effect::HangUpBefore));
    text("/").await;
}

#[tokio::test]
async fn the_machines_clock_will_do() {
    let clock: SharedClock = Arc::new(SystemClock);
    let sandbox = SandboxCsapi::new(clock, "7");
    sandbox.seed_samples().unwrap();
    assert_eq!((sandbox.organization().as_str(), sandbox.cases().len()), ("organizations/7", 3));
    for case in sandbox.cases() {
        assert!(case.updated_at >= case.created_at);
    }
}
