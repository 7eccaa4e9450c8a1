//! Sandbox Zendesk over real HTTP: the parts that a third-party client does not use. It passes `tests/clients/zendesk_zenpy.py` too.

use std::sync::Arc;

use casebridge::clock::ManualClock;
use casebridge::sandbox::zendesk::{
    FLAG_FIELD, NewTicket, SandboxZendesk, SandboxZendeskError, SandboxZendeskSettings,
};
use chrono::{Duration, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

struct Running {
    zendesk: SandboxZendesk,
    clock: Arc<ManualClock>,
    base: String,
    http: reqwest::Client,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn manual_clock() -> Arc<ManualClock> {
    ManualClock::at("2026-07-01T12:00:00Z".parse::<chrono::DateTime<Utc>>().unwrap())
}

async fn start(settings: SandboxZendeskSettings) -> Running {
    let clock = manual_clock();
    let zendesk = SandboxZendesk::new(clock.clone(), settings);
    serve(zendesk, clock).await
}

async fn serve(zendesk: SandboxZendesk, clock: Arc<ManualClock>) -> Running {
    casebridge::outbound::install_tls();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = zendesk.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    Running { zendesk, clock, base, http, server }
}

impl Running {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let answer = self.send(Method::GET, path, None).await;
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn put(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.send(Method::PUT, path, Some(body)).await;
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn upload(&self, name: &str) -> String {
        let url = format!("{}/api/v2/uploads?filename={name}", self.base);
        let answer: Value = self.http.post(url).body("abc").send().await.unwrap().json().await.unwrap();
        answer["upload"]["token"].as_str().unwrap().to_owned()
    }
}

fn subjects(page: &Value, key: &str) -> Vec<String> {
    page[key].as_array().unwrap().iter().map(|item| item["subject"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_upload_waits_for_sixty_minutes_and_for_one_comment() {
    let crm = start(SandboxZendeskSettings::default()).await;
    let id = crm.zendesk.create_ticket(NewTicket::new("t")).unwrap();
    let path = format!("/api/v2/tickets/{id}");
    let attach = |token: &str| json!({"ticket": {"comment": {"body": "see", "uploads": [token]}}});
    for (minutes, expected) in [(59, StatusCode::OK), (60, StatusCode::UNPROCESSABLE_ENTITY)] {
        let token = crm.upload("a.txt").await;
        crm.clock.advance(Duration::minutes(minutes));
        assert_eq!(crm.put(&path, attach(&token)).await.0, expected, "after {minutes} minutes");
        assert_eq!(crm.put(&path, attach(&token)).await.0, StatusCode::UNPROCESSABLE_ENTITY, "once only");
    }
    assert_eq!(crm.zendesk.ticket(&id).unwrap().attachments().count(), 1);
}

#[tokio::test]
async fn an_export_is_complete_but_for_the_last_minute_and_goes_on_where_it_was() {
    let crm = start(SandboxZendeskSettings { page_limit: 1, ..SandboxZendeskSettings::default() }).await;
    for number in 0..12 {
        crm.zendesk.create_ticket(NewTicket::new(&format!("ticket {number}"))).unwrap();
        crm.clock.advance(Duration::seconds(30));
    }
    // This ticket changed last, so it comes last.
    crm.zendesk.set_priority("1", Some("urgent")).unwrap();
    crm.clock.advance(Duration::seconds(59));
    let start = "2026-07-01T12:00:00Z".parse::<chrono::DateTime<Utc>>().unwrap().timestamp();
    let first = format!("/api/v2/incremental/tickets/cursor.json?start_time={start}");
    let (_, page) = crm.get(&first).await;
    assert_eq!((subjects(&page, "tickets").len(), page["end_of_stream"].clone()), (10, json!(false)));
    let next =
        format!("/api/v2/incremental/tickets/cursor?cursor={}", page["after_cursor"].as_str().unwrap());
    let (_, page) = crm.get(&next).await;
    assert_eq!(subjects(&page, "tickets"), ["ticket 11"], "the change is too young");
    assert_eq!(page["end_of_stream"], true);
    crm.clock.advance(Duration::seconds(1));
    let next =
        format!("/api/v2/incremental/tickets/cursor?cursor={}", page["after_cursor"].as_str().unwrap());
    assert_eq!(subjects(&crm.get(&next).await.1, "tickets"), ["ticket 0"]);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(crm.get(&next).await.0);
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count(),
        1,
        "ten a minute"
    );
}

#[tokio::test]
async fn a_search_by_page_ends_at_a_thousand_and_one_by_cursor_does_not() {
    let crm = start(SandboxZendeskSettings::default()).await;
    for number in 0..1_050 {
        crm.zendesk.create_ticket(NewTicket::new(&format!("t{number}"))).unwrap();
    }
    let (status, page) = crm.get("/api/v2/search.json?query=type:ticket&page=10&per_page=100").await;
    assert_eq!(
        (status, page["count"].clone(), page["results"].as_array().unwrap().len()),
        (StatusCode::OK, json!(1050), 100)
    );
    let (status, refusal) = crm.get("/api/v2/search.json?query=type:ticket&page=11&per_page=100").await;
    assert_eq!((status, refusal["error"].clone()), (StatusCode::UNPROCESSABLE_ENTITY, json!("invalid")));
    let mut path = "/api/v2/search/export?query=type:ticket&filter[type]=ticket&page[size]=100".to_owned();
    let mut found = 0;
    loop {
        let (_, page) = crm.get(&path).await;
        found += page["results"].as_array().unwrap().len();
        if page["meta"]["has_more"] == false {
            break;
        }
        path = page["links"]["next"].as_str().unwrap().strip_prefix(&crm.base).unwrap().to_owned();
    }
    assert_eq!(found, 1_050);
    let (status, _) = crm.get("/api/v2/search/export?query=x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "filter[type] is required");
}

#[tokio::test]
async fn queries_ask_for_fields_times_words_and_their_opposites() {
    let crm = start(SandboxZendeskSettings::default()).await;
    crm.zendesk.create_ticket(NewTicket::flagged("flagged")).unwrap();
    crm.clock.advance(Duration::hours(1));
    let ticket = NewTicket {
        google_name: Some("organizations/1/cases/2".to_owned()),
        external_id: Some("ext-1".to_owned()),
        priority: Some("urgent".to_owned()),
        ..NewTicket::new("plain words")
    };
    crm.zendesk.create_ticket(ticket).unwrap();
    crm.zendesk.set_status("2", "pending").unwrap();
    let flag = format!("custom_field_{FLAG_FIELD}:true");
    for (query, expected) in [
        (flag.as_str(), vec!["flagged"]),
        ("updated>=2026-07-01T12:30:00Z", vec!["plain words"]),
        ("updated<2026-07-01T12:30:00Z", vec!["flagged"]),
        ("updated>30minutes", vec!["plain words"]),
        ("priority>high", vec!["plain words"]),
        ("status<pending", vec!["flagged"]),
        ("external_id:ext-1", vec!["plain words"]),
        ("fieldvalue:\"organizations/1/cases/2\"", vec!["plain words"]),
        ("\"plain words\"", vec!["plain words"]),
        ("words -status:pending", vec![]),
        ("type:ticket -priority:urgent", vec!["flagged"]),
        ("nonsense:1", vec![]),
    ] {
        let answer = crm
            .http
            .get(format!("{}/api/v2/search", crm.base))
            .query(&[("query", query)])
            .send()
            .await
            .unwrap();
        let page: Value = answer.json().await.unwrap();
        assert_eq!(subjects(&page, "results"), expected, "{query}");
    }
}

#[tokio::test]
async fn a_search_ends_at_a_thousand_results_and_its_export_does_not() {
    let crm = start(SandboxZendeskSettings::default()).await;
    for number in 0..1_001 {
        crm.zendesk.create_ticket(NewTicket::new(&format!("many {number}"))).unwrap();
    }
    let (status, page) = crm.get("/api/v2/search?query=many&page=10&per_page=100").await;
    assert_eq!((status, subjects(&page, "results").len()), (StatusCode::OK, 100));
    let (status, page) = crm.get("/api/v2/search?query=many&page=11&per_page=100").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{page}");
    let (mut found, mut after) = (0, String::new());
    loop {
        let (status, page) = crm
            .get(&format!("/api/v2/search/export?filter[type]=ticket&query=many&page[size]=100{after}"))
            .await;
        assert_eq!(status, StatusCode::OK, "{page}");
        found += subjects(&page, "results").len();
        let Some(cursor) = page.pointer("/meta/after_cursor").and_then(Value::as_str) else { break };
        if page.pointer("/meta/has_more") != Some(&Value::Bool(true)) {
            break;
        }
        after = format!("&page[after]={cursor}");
    }
    assert_eq!(found, 1_001);
}

#[tokio::test]
async fn an_idempotency_key_is_remembered_for_two_hours() {
    let crm = start(SandboxZendeskSettings::default()).await;
    let mut lookups = Vec::new();
    for minutes in [0, 119, 2] {
        crm.clock.advance(Duration::minutes(minutes));
        let answer = crm
            .http
            .post(format!("{}/api/v2/tickets", crm.base))
            .header("Idempotency-Key", "k")
            .json(&json!({"ticket": {"subject": "s", "comment": {"body": "b"}}}))
            .send()
            .await
            .unwrap();
        lookups.push(answer.headers()["x-idempotency-lookup"].to_str().unwrap().to_owned());
    }
    assert_eq!(lookups, ["miss", "hit", "miss"]);
    assert_eq!(crm.zendesk.tickets().len(), 2);
}

#[tokio::test]
async fn a_blank_comment_is_dropped_without_a_word() {
    let crm = start(SandboxZendeskSettings::default()).await;
    let id = crm.zendesk.create_ticket(NewTicket::new("t")).unwrap();
    for body in [json!({"body": " \n"}), json!({"html_body": "<p> </p>"}), json!({})] {
        let (status, answer) =
            crm.put(&format!("/api/v2/tickets/{id}"), json!({"ticket": {"comment": body}})).await;
        assert_eq!((status, answer["audit"]["events"].clone()), (StatusCode::OK, json!([])));
    }
    assert_eq!(crm.zendesk.ticket(&id).unwrap().comments.len(), 1);
}

#[tokio::test]
async fn what_is_refused_has_changed_nothing() {
    let crm = start(SandboxZendeskSettings { comment_limit: 100, ..SandboxZendeskSettings::default() }).await;
    let id = crm.zendesk.create_ticket(NewTicket::new("t")).unwrap();
    let before = crm.zendesk.ticket(&id);
    for ticket in [
        json!({"priority": "urgent", "status": "nonsense"}),
        json!({"priority": "urgent", "comment": {"body": "x".repeat(101)}}),
        json!({"priority": "urgent", "comment": {"body": "x", "uploads": ["nothing"]}}),
        json!({"priority": "urgent", "comment": {"body": "x", "author_id": 1}}),
        json!({"priority": "urgent", "status": "solved"}),
        json!({"priority": "urgent", "safe_update": true}),
    ] {
        let (status, _) = crm.put(&format!("/api/v2/tickets/{id}"), json!({"ticket": ticket})).await;
        assert!(status.is_client_error(), "{ticket}: {status}");
        assert_eq!(crm.zendesk.ticket(&id), before, "{ticket}");
    }
    crm.zendesk.set_status(&id, "closed").unwrap();
    assert!(matches!(crm.zendesk.comment(&id, "Jane Roe", "x"), Err(SandboxZendeskError::Closed(_))));
    assert!(matches!(crm.zendesk.set_flag(&id, true), Err(SandboxZendeskError::Closed(_))));
}

#[tokio::test]
async fn the_account_is_limited_to_so_many_requests_a_minute() {
    let crm =
        start(SandboxZendeskSettings { requests_per_minute: 2, ..SandboxZendeskSettings::default() }).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = crm.send(Method::GET, "/api/v2/users/me", None).await;
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        seen.push((answer.status().as_u16(), header("x-rate-limit-remaining"), header("retry-after")));
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [(200, text("1"), None), (200, text("0"), None), (429, text("0"), text("60"))]);
    crm.clock.advance(Duration::minutes(1));
    assert_eq!(crm.get("/api/v2/users/me").await.0, StatusCode::OK);
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let settings = SandboxZendeskSettings::default();
        SandboxZendesk::with_data_dir(manual_clock(), settings, folder.path()).unwrap()
    };
    let crm = serve(open(), manual_clock()).await;
    crm.zendesk.seed_samples().unwrap();
    let token = crm.upload("later.txt").await;
    let before = crm.zendesk.tickets();
    drop(crm);
    let crm = serve(open(), manual_clock()).await;
    assert_eq!(crm.zendesk.tickets(), before);
    let attachment = before[0].attachments().next().unwrap();
    assert_eq!(attachment.file_name, "export.log");
    let bytes = crm.zendesk.attachment_bytes(&attachment.id).unwrap();
    assert_eq!(bytes.len() as u64, attachment.size);
    assert!(crm.zendesk.attachment_sha256(&attachment.id).is_some());
    let comment = json!({"ticket": {"comment": {"body": "see", "uploads": [token]}}});
    assert_eq!(crm.put("/api/v2/tickets/2", comment).await.0, StatusCode::OK, "the upload waited");
    let (_, found) = crm.get("/api/v2/search?query=keyboards").await;
    assert_eq!(subjects(&found, "results"), ["Order new keyboards"], "the index is there too");
}

#[tokio::test]
async fn computed_content_is_sent_as_it_is_hashed() {
    use sha2::{Digest as _, Sha256};
    let crm = start(SandboxZendeskSettings::default()).await;
    let id = crm.zendesk.create_ticket(NewTicket::new("t")).unwrap();
    let file = crm.zendesk.attach_synthetic(&id, "Jane Roe", "large.bin", 1_000_000, 7).unwrap();
    let (_, found) = crm.get(&format!("/api/v2/attachments/{file}.json")).await;
    let url = found["attachment"]["content_url"].as_str().unwrap();
    let content = crm.http.get(url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(content.len(), 1_000_000);
    assert_eq!(crm.zendesk.attachment_sha256(&file), Some(hex::encode(Sha256::digest(&content))));
}

#[tokio::test]
async fn the_pages_show_texts_and_do_what_their_forms_say() {
    let crm = start(SandboxZendeskSettings::default()).await;
    crm.zendesk.seed_samples().unwrap();
    let page = async |path: &str| crm.send(Method::GET, path, None).await.text().await.unwrap();
    assert!(page("/").await.contains("Nightly export fails with 403"));
    let post = async |path: &str, form: &[(&str, &str)]| {
        crm.http.post(format!("{}{path}", crm.base)).form(form).send().await.unwrap().status()
    };
    let ugly = "<script>alert(1)</script> & more";
    let created =
        post("/agent/tickets", &[("subject", ugly), ("description", ugly), ("flagged", "on")]).await;
    assert_eq!(created, StatusCode::SEE_OTHER);
    let commented = post("/agent/tickets/3/comments", &[("body", ugly), ("visibility", "internal")]).await;
    assert_eq!(commented, StatusCode::SEE_OTHER);
    let shown = page("/agent/tickets/3").await;
    assert!(!shown.contains("<script>") && shown.contains("&lt;script&gt;"), "{shown}");
    assert!(shown.contains("internal note"), "{shown}");
    let fields = [("status", "solved"), ("priority", "urgent")];
    assert_eq!(post("/agent/tickets/3/fields", &fields).await, StatusCode::SEE_OTHER);
    let ticket = crm.zendesk.ticket("3").unwrap();
    assert_eq!(
        (ticket.status.as_str(), ticket.priority.as_deref(), ticket.flagged),
        ("solved", Some("urgent"), false)
    );
    post("/agent/tickets/3/fields", &[("status", "closed"), ("priority", "urgent")]).await;
    assert!(page("/agent/tickets/3").await.contains("nothing about it can be changed"));
    let late = post("/agent/tickets/3/comments", &[("body", "late"), ("visibility", "public")]).await;
    assert_eq!(late, StatusCode::CONFLICT);
    assert_eq!(crm.send(Method::GET, "/agent/tickets/99", None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(crm.get("/api/v2/nothing.json").await.1["error"], "InvalidEndpoint");
}

// ---------------------------------------------------------------- wrong behaviour on request, and actions of people

#[tokio::test]
async fn a_merge_closes_one_ticket_and_tells_both() {
    let crm = start(SandboxZendeskSettings::default()).await;
    let from = crm.zendesk.create_ticket(NewTicket::new("Disk \"C\" is full")).unwrap();
    crm.zendesk.attach(&from, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    let into = crm.zendesk.create_ticket(NewTicket::new("left")).unwrap();
    crm.clock.advance(Duration::minutes(1));
    let body = json!({"ids": [from.parse::<u64>().unwrap()], "target_comment": "from #1", "source_comment": "into #2"});
    let path = format!("/api/v2/tickets/{into}/merge.json");
    let answer = crm.send(Method::POST, &path, Some(body.clone())).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let job: Value = answer.json().await.unwrap();
    assert_eq!(job["job_status"]["results"][0]["success"], true, "{job}");
    let (_, source) = crm.get(&format!("/api/v2/tickets/{from}.json")).await;
    assert_eq!(source["ticket"]["status"], "closed");
    assert_eq!(source["ticket"]["tags"], json!(["closed_by_merge"]));
    let last = async |id: &str| {
        let (_, page) =
            crm.get(&format!("/api/v2/tickets/{id}/comments.json?sort=-created_at&page[size]=1")).await;
        page["comments"][0].clone()
    };
    let told = last(&from).await;
    assert_eq!(
        (&told["body"], &told["via"]["channel"], &told["public"]),
        (&json!("into #2"), &json!("merge"), &json!(false))
    );
    let told = last(&into).await;
    assert_eq!((&told["body"], &told["attachments"][0]["file_name"]), (&json!("from #1"), &json!("a.txt")));
    let copy = told["attachments"][0]["id"].to_string();
    assert_ne!(
        Some(copy.as_str()),
        crm.zendesk.ticket(&from).unwrap().attachments().next().map(|file| file.id.as_str())
    );
    assert_eq!(crm.zendesk.attachment_bytes(&copy).unwrap(), b"abc");
    // Only tickets that are not solved or closed can be merged, and only once.
    let again: Value = crm.send(Method::POST, &path, Some(body)).await.json().await.unwrap();
    assert_eq!(again["job_status"]["results"][0]["success"], false);
    assert!(matches!(crm.zendesk.merge(&into, &into, "Jane Roe"), Err(SandboxZendeskError::Unmergeable(_))));
    // The page writes the standard texts of the agents' workspace.
    let third = crm.zendesk.create_ticket(NewTicket::new("third")).unwrap();
    let url = format!("{}/agent/tickets/{into}/merge", crm.base);
    let merged = crm.http.post(url).form(&[("into", format!("#{third}"))]).send().await.unwrap();
    assert_eq!(merged.status(), StatusCode::SEE_OTHER);
    let told = crm.zendesk.ticket(&third).unwrap().comments.pop().unwrap();
    assert!(
        told.text.starts_with(&format!("Request #{into} \"left\" was closed and merged into this request.")),
        "{told:?}"
    );
    let told = crm.zendesk.ticket(&into).unwrap().comments.pop().unwrap();
    assert_eq!(told.text, format!("This request was closed and merged into request #{third} \"third\"."));
}

#[tokio::test]
async fn it_forgets_who_asks_hides_tickets_and_spoils_files_on_request() {
    let crm = start(SandboxZendeskSettings::default()).await;
    let id = crm.zendesk.create_ticket(NewTicket::new("t")).unwrap();
    let file = crm.zendesk.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    let path = format!("/api/v2/tickets/{id}.json");
    let steer = async |path: &str, body: Value| {
        assert_eq!(crm.put(path, body).await.0, StatusCode::NO_CONTENT, "{path}");
    };
    // An anonymous caller may read its own user, and nothing else.
    steer("/sandbox/switches", json!({"anonymous": true})).await;
    assert_eq!(crm.get("/sandbox/switches").await.1["anonymous"], true);
    let (status, nobody) = crm.get("/api/v2/users/me.json").await;
    assert_eq!((status, &nobody["user"]["id"]), (StatusCode::OK, &Value::Null));
    for asked in
        [path.as_str(), "/api/v2/search/export.json?query=x&filter[type]=ticket", "/api/v2/tickets.json"]
    {
        assert_eq!(crm.get(asked).await.0, StatusCode::UNAUTHORIZED, "{asked}");
    }
    let (_, found) = {
        steer("/sandbox/switches", json!({"end_user": true})).await;
        assert_eq!(crm.get("/api/v2/users/me.json").await.1["user"]["role"], "end-user");
        assert_eq!(crm.get(&path).await.0, StatusCode::FORBIDDEN);
        steer("/sandbox/switches", json!({"unmarked": true})).await;
        crm.get(&format!("/api/v2/tickets/{id}/comments.json")).await
    };
    assert!(found["comments"][0].get("public").is_none(), "{found}");
    // A field that is mandatory for solving.
    steer("/sandbox/switches", json!({"demanding": true})).await;
    let (_, fields) = crm.get("/api/v2/ticket_fields.json").await;
    let is_required = |field: &&Value| field["required"] == true;
    let required: Vec<&Value> =
        fields["ticket_fields"].as_array().unwrap().iter().filter(is_required).collect();
    assert_eq!(required.len(), 1, "{fields}");
    let root_cause = &required[0]["id"];
    let solved =
        json!({"status": "solved", "assignee_id": crm.get("/api/v2/users/me.json").await.1["user"]["id"]});
    let (status, refusal) = crm.put(&path, json!({"ticket": solved})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refusal}");
    assert_eq!(&refusal["details"]["base"][0]["field_key"], root_cause);
    let mut solved = solved;
    solved["custom_fields"] = json!([{"id": root_cause, "value": "A full disk"}]);
    assert_eq!(crm.put(&path, json!({"ticket": solved})).await.0, StatusCode::OK);
    steer("/sandbox/switches", json!({})).await;
    // Restricted permissions.
    steer("/sandbox/groups", json!([7])).await;
    let (_, me) = crm.get("/api/v2/users/me.json").await;
    assert_eq!((&me["user"]["role"], &me["user"]["ticket_restriction"]), (&json!("agent"), &json!("groups")));
    assert_eq!(crm.get(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        crm.get("/api/v2/incremental/tickets/cursor.json?start_time=1").await.0,
        StatusCode::FORBIDDEN
    );
    crm.zendesk.set_group(&id, 7).unwrap();
    assert_eq!(crm.get(&path).await.0, StatusCode::OK);
    steer("/sandbox/groups", json!(null)).await;
    steer(&format!("/sandbox/tickets/{id}"), json!("hidden")).await;
    assert_eq!(crm.get(&path).await.0, StatusCode::NOT_FOUND);
    steer(&format!("/sandbox/tickets/{id}"), json!("shown")).await;
    crm.send(Method::DELETE, &path, None).await;
    assert_eq!(crm.get(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        crm.put(&format!("/api/v2/deleted_tickets/{id}/restore.json"), json!({})).await.0,
        StatusCode::OK
    );
    assert_eq!(crm.get(&path).await.0, StatusCode::OK);
    // Files.
    let (_, listed) = crm.get(&format!("/api/v2/attachments/{file}.json")).await;
    let url = listed["attachment"]["content_url"].as_str().unwrap();
    let content = async || {
        let answer = crm.http.get(url).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    for (spoilt, status, text) in [
        (json!({"spoilt": {"status": 403}}), StatusCode::FORBIDDEN, "Spoilt"),
        (json!({"spoilt": "sign_on"}), StatusCode::OK, "Sign in"),
        (json!({"spoilt": {"other_size": 2}}), StatusCode::OK, "xx"),
        (json!("malware"), StatusCode::OK, "deemed malicious"),
        (json!("sound"), StatusCode::OK, "abc"),
    ] {
        steer(&format!("/sandbox/attachments/{file}"), spoilt.clone()).await;
        let found = content().await;
        assert!(found.0 == status && found.1.contains(text), "{spoilt}: {found:?}");
    }
    steer("/sandbox/switches", json!({"anonymous": true})).await;
    assert_eq!(content().await.0, StatusCode::FOUND, "to a page to sign in on");
    for (path, body) in [
        ("/sandbox/switches", json!({"nonsense": true})),
        ("/sandbox/tickets/1", json!("gone")),
        ("/sandbox/attachments/1", json!("x")),
    ] {
        assert_eq!(crm.put(path, body).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(crm.put("/sandbox/tickets/99", json!("shown")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_idempotency_key_is_the_accounts_for_two_hours_whoever_sends_it() {
    let crm = start(SandboxZendeskSettings::default()).await;
    let create = async |subject: &str| {
        let body = json!({"ticket": {"subject": subject, "comment": {"body": "d"}}});
        let request =
            crm.http.post(format!("{}/api/v2/tickets.json", crm.base)).header("Idempotency-Key", "k");
        let answer = request.json(&body).send().await.unwrap();
        let lookup =
            answer.headers().get("x-idempotency-lookup").map(|value| value.to_str().unwrap().to_owned());
        (answer.status(), lookup, answer.json::<Value>().await.unwrap())
    };
    let (_, lookup, first) = create("one").await;
    assert_eq!(lookup.as_deref(), Some("miss"));
    let (_, lookup, again) = create("one").await;
    assert_eq!((lookup.as_deref(), &again["ticket"]["id"]), (Some("hit"), &first["ticket"]["id"]));
    crm.clock.advance(Duration::minutes(119));
    let (status, _, refused) = create("two").await;
    assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &json!("IdempotentRequestError")));
    crm.clock.advance(Duration::minutes(1));
    assert_eq!(create("two").await.0, StatusCode::CREATED);
    assert_eq!(crm.zendesk.tickets().len(), 2);
}

#[tokio::test]
async fn tickets_have_one_of_the_accounts_own_statuses() {
    let crm = start(SandboxZendeskSettings::default()).await;
    let id = crm.zendesk.create_ticket(NewTicket::new("t")).unwrap();
    let (_, statuses) = crm.get("/api/v2/custom_statuses.json").await;
    let label = |id: &Value| {
        let all = statuses["custom_statuses"].as_array().unwrap();
        all.iter().find(|status| status["id"] == *id).unwrap()["agent_label"].as_str().unwrap().to_owned()
    };
    let path = format!("/api/v2/tickets/{id}.json");
    let now = async || crm.get(&path).await.1["ticket"]["custom_status_id"].clone();
    assert_eq!(label(&now().await), "Open");
    crm.zendesk.set_custom_status(&id, "Duplicate").unwrap();
    assert_eq!(label(&now().await), "Duplicate");
    crm.zendesk.set_status(&id, "closed").unwrap();
    assert_eq!(label(&now().await), "Duplicate");
    let other = crm.zendesk.create_ticket(NewTicket::new("t")).unwrap();
    let cancelled = statuses["custom_statuses"][5]["id"].clone();
    let change = json!({"ticket": {"custom_status_id": cancelled, "assignee_id": 900_001}});
    let (_, changed) = crm.put(&format!("/api/v2/tickets/{other}.json"), change).await;
    assert_eq!(changed["ticket"]["status"], "solved", "{changed}");
    crm.put(&format!("/api/v2/tickets/{other}.json"), json!({"ticket": {"status": "open"}})).await;
    let (_, reopened) = crm.get(&format!("/api/v2/tickets/{other}.json")).await;
    assert_eq!(label(&reopened["ticket"]["custom_status_id"]), "Open");
}
