//! Sandbox ServiceNow over real HTTP: the parts that the vendor's own client does not use. It passes `tests/clients/servicenow_pysnc.py`
//! too.

use std::sync::Arc;

use casebridge::clock::ManualClock;
use casebridge::sandbox::servicenow::{
    CUSTOMER_CASE, NewRecord, SandboxServiceNow, SandboxServiceNowAuth, SandboxServiceNowError,
    SandboxServiceNowSettings,
};
use chrono::{Duration, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

struct Running {
    servicenow: SandboxServiceNow,
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
    ManualClock::at("2026-07-01T12:00:00.700Z".parse::<chrono::DateTime<Utc>>().unwrap())
}

async fn start(settings: SandboxServiceNowSettings) -> Running {
    let clock = manual_clock();
    let servicenow = SandboxServiceNow::new(clock.clone(), settings);
    casebridge::outbound::install_tls();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = servicenow.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Running { servicenow, clock, base, http: reqwest::Client::new(), server }
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

    async fn patch(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.send(Method::PATCH, path, Some(body)).await;
        (answer.status(), answer.json().await.unwrap_or_default())
    }
}

#[tokio::test]
async fn errors_have_the_shape_of_the_real_ones() {
    let auth = SandboxServiceNowAuth::Bearer { token: "t".to_owned() };
    let closed = start(SandboxServiceNowSettings { auth, ..SandboxServiceNowSettings::default() }).await;
    let answer = closed.send(Method::GET, "/api/now/table/incident", None).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("BASIC"));
    let crm = start(SandboxServiceNowSettings::default()).await;
    for (path, status, message) in [
        ("/api/now/table/incident/0123456789abcdef0123456789abcdef", 404, "No Record found"),
        ("/api/now/attachment/0123456789abcdef0123456789abcdef/file", 404, "No Record found"),
        ("/api/now/table/u_ticket", 400, "Invalid table u_ticket"),
        ("/api/now/tables", 400, "Requested URI does not represent any resource"),
        ("/api/now/table/incident?sysparm_limit=many", 400, "Invalid parameter"),
        ("/api/now/v1/table/incident?sysparm_query=number=none", 404, "No Record found"),
    ] {
        let (found, body) = crm.get(path).await;
        assert_eq!((found.as_u16(), body["error"]["message"].as_str()), (status, Some(message)), "{path}");
        assert_eq!(body["status"], "failure", "{path}");
    }
    let (status, body) = crm.get("/api/now/v2/table/incident?sysparm_query=number=none").await;
    assert_eq!((status, body), (StatusCode::OK, json!({"result": []})));
    let answer =
        crm.http.post(format!("{}/api/now/table/incident", crm.base)).body("{").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_name_in_a_reference_is_kept_as_it_is_unless_it_is_said_to_be_one() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let id = "287ebd7da9fe198100f92cc8d1d2154e";
    for (sent, is_name, value, displayed) in
        [("Cloud", false, "Cloud", ""), ("Cloud", true, id, "Cloud"), (id, false, id, "Cloud")]
    {
        let path = format!(
            "/api/now/table/incident?sysparm_input_display_value={is_name}&sysparm_display_value=all\
             &sysparm_exclude_reference_link=true"
        );
        let body = json!({"short_description": "x", "assignment_group": sent});
        let answer = crm.send(Method::POST, &path, Some(body)).await;
        let group = answer.json::<Value>().await.unwrap()["result"]["assignment_group"].clone();
        assert_eq!(group, json!({"value": value, "display_value": displayed}), "{sent}");
    }
}

#[tokio::test]
async fn pages_are_cut_before_rights_are_looked_at() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(crm.servicenow.create_record(&NewRecord::new(&format!("{number}"))).unwrap());
    }
    for id in &ids[..3] {
        crm.servicenow.set_visible(id, false).unwrap();
    }
    let path = "/api/now/table/incident?sysparm_query=ORDERBYnumber&sysparm_limit=2&sysparm_fields=short_description";
    for (offset, shown, next) in [(0, json!([]), true), (2, json!([{"short_description": "3"}]), true)] {
        let answer = crm.send(Method::GET, &format!("{path}&sysparm_offset={offset}"), None).await;
        assert_eq!(answer.headers()["x-total-count"], "5");
        assert_eq!(answer.headers()["link"].to_str().unwrap().contains("rel=\"next\""), next);
        assert_eq!(answer.json::<Value>().await.unwrap()["result"], shown);
    }
}

#[tokio::test]
async fn what_a_query_rule_leaves_out_is_not_even_counted() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let id = crm.servicenow.create_record(&NewRecord::new("a")).unwrap();
    let file = crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    for (sight, counted, files_counted) in [("shown", "1", "1"), ("hidden", "1", "1"), ("left_out", "0", "1")]
    {
        let steered = crm.send(Method::PUT, &format!("/sandbox/records/{id}"), Some(json!(sight))).await;
        assert_eq!(steered.status(), StatusCode::NO_CONTENT);
        let is_shown = sight == "shown";
        for (path, counted) in [("table/incident", counted), ("attachment", files_counted)] {
            let answer = crm.send(Method::GET, &format!("/api/now/{path}"), None).await;
            assert_eq!(answer.headers()["x-total-count"], counted, "{sight}: {path}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["result"].as_array().unwrap().len(), usize::from(is_shown), "{sight}: {path}");
        }
        for path in [format!("table/incident/{id}"), format!("attachment/{file}/file")] {
            let status = crm.send(Method::GET, &format!("/api/now/{path}"), None).await.status();
            assert_eq!(status == StatusCode::OK, is_shown, "{sight}: {path} answers {status}");
            assert!(is_shown || status == StatusCode::NOT_FOUND, "{sight}: {path} answers {status}");
        }
    }
    let steered = crm.send(Method::PUT, &format!("/sandbox/records/{id}"), Some(json!("gone"))).await;
    assert_eq!(steered.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn lists_of_cases_may_be_late_and_records_are_not() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let id = crm.servicenow.create_record(&NewRecord::new("a")).unwrap();
    crm.servicenow.faults().set_search_lag(Duration::minutes(5));
    let listed = async || crm.get("/api/now/table/incident").await.1["result"].as_array().unwrap().len();
    assert_eq!(listed().await, 0);
    assert_eq!(crm.get(&format!("/api/now/table/incident/{id}")).await.0, StatusCode::OK);
    crm.clock.advance(Duration::minutes(5));
    assert_eq!(listed().await, 1);
}

#[tokio::test]
async fn the_guest_is_answered_with_200_and_may_read_nothing() {
    let auth = SandboxServiceNowAuth::Bearer { token: "t".to_owned() };
    let crm = start(SandboxServiceNowSettings { auth, ..SandboxServiceNowSettings::default() }).await;
    let id = crm.servicenow.create_record(&NewRecord::new("a")).unwrap();
    let refused = crm.send(Method::GET, "/api/now/table/incident", None).await;
    assert_eq!(
        (refused.status(), &refused.headers()["x-is-logged-in"]),
        (StatusCode::UNAUTHORIZED, &"false".parse().unwrap())
    );
    let switched = crm.send(Method::PUT, "/sandbox/switches", Some(json!({"anonymous": true}))).await;
    assert_eq!(switched.status(), StatusCode::NO_CONTENT);
    assert_eq!(crm.get("/sandbox/switches").await.1["anonymous"], true);
    let answer = crm.send(Method::GET, "/api/now/table/incident", None).await;
    assert_eq!(
        (answer.status(), &answer.headers()["x-total-count"]),
        (StatusCode::OK, &"1".parse().unwrap())
    );
    assert_eq!(answer.headers()["x-is-logged-in"], "false");
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"result": []}));
    let path =
        "/api/now/table/sys_user?sysparm_query=sys_id=javascript:gs.getUserID()&sysparm_fields=user_name";
    assert_eq!(crm.get(path).await.1, json!({"result": [{"user_name": "guest"}]}));
    assert_eq!(crm.get(&format!("/api/now/table/incident/{id}")).await.0, StatusCode::NOT_FOUND);
    let made = crm.send(Method::POST, "/api/now/table/incident", Some(json!({}))).await;
    assert_eq!((made.status(), crm.servicenow.records().len()), (StatusCode::FORBIDDEN, 1));
}

#[tokio::test]
async fn a_scanner_keeps_files_back_and_other_things_come_in_their_place() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let id = crm.servicenow.create_record(&NewRecord::new("a")).unwrap();
    let file = crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    for (content, status, kind, length) in [
        (json!({"scanned": "pending"}), 403, "application/json", None),
        (json!({"scanned": "not_available"}), 403, "application/json", None),
        (json!({"scanned": "available_conditionally"}), 200, "text/plain", Some(3)),
        (json!({"spoilt": "missing"}), 404, "application/json", None),
        (json!({"spoilt": "sign_on"}), 200, "text/html", None),
        (json!({"spoilt": {"other_size": 7}}), 200, "text/plain", Some(7)),
        (json!("sound"), 200, "text/plain", Some(3)),
    ] {
        crm.send(Method::PUT, &format!("/sandbox/attachments/{file}"), Some(content.clone())).await;
        let state = crm.get(&format!("/api/now/table/sys_attachment/{file}?sysparm_fields=state")).await.1;
        if let Some(scanned) = content["scanned"].as_str() {
            assert_eq!(state["result"]["state"], scanned);
        }
        let listed = crm.get("/api/now/attachment").await.1;
        assert_eq!(listed["result"][0]["size_bytes"], "3", "listed as before");
        assert!(listed["result"][0].get("state").is_none(), "the Attachment API does not tell the state");
        let answer = crm.send(Method::GET, &format!("/api/now/attachment/{file}/file"), None).await;
        let found = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(
            answer.status() == status && found.starts_with(kind),
            "{content}: {} {found}",
            answer.status()
        );
        let bytes = answer.bytes().await.unwrap();
        assert!(length.is_none_or(|length| bytes.len() == length), "{content}: {}", bytes.len());
    }
}

#[tokio::test]
async fn a_rule_limits_requests_an_hour_and_says_when_it_ends() {
    let settings =
        SandboxServiceNowSettings { requests_per_hour: Some(1), ..SandboxServiceNowSettings::default() };
    let crm = start(settings).await;
    let path = "/api/now/table/incident";
    let first = crm.send(Method::GET, path, None).await;
    assert_eq!(
        (first.status(), &first.headers()["x-ratelimit-limit"]),
        (StatusCode::OK, &"1".parse().unwrap())
    );
    crm.clock.advance(Duration::minutes(40));
    let refused = crm.send(Method::GET, path, None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: i64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(wait, 20 * 60, "to the end of the hour");
    crm.clock.advance(Duration::seconds(wait));
    assert_eq!(crm.send(Method::GET, path, None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_changes_nothing_is_no_update_and_what_people_do_is_theirs() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let id = crm.servicenow.create_record(&NewRecord::new("a")).unwrap();
    let path = format!("/api/now/table/incident/{id}");
    let before = crm.servicenow.record(&id).unwrap().updated;
    crm.clock.advance(Duration::minutes(1));
    let (status, _) = crm.patch(&path, json!({"short_description": "a", "comments": " "})).await;
    assert_eq!((status, crm.servicenow.record(&id).unwrap().updated), (StatusCode::OK, before));
    crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    assert_eq!(crm.servicenow.record(&id).unwrap().updated, before, "a file is no update");
    crm.servicenow.comment(&id, "Max Doe", "hello").unwrap();
    let record = crm.servicenow.record(&id).unwrap();
    assert!(record.updated > before && record.updated.timestamp_subsec_nanos() == 0);
    assert_eq!(
        (record.journal[0].author.as_str(), record.attachments[0].author.as_str()),
        ("Max Doe", "Jane Roe")
    );
    let (_, row) = crm.get(&format!("{path}?sysparm_fields=sys_updated_by,sys_mod_count")).await;
    assert_eq!(row["result"], json!({"sys_updated_by": "max.doe", "sys_mod_count": "1"}));
}

#[tokio::test]
async fn a_case_has_its_own_states_and_is_closed_with_a_resolution_code() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let record = NewRecord { table: CUSTOMER_CASE, impact_and_urgency: (1, 3), ..NewRecord::new("a case") };
    let id = crm.servicenow.create_record(&record).unwrap();
    let path = format!("/api/now/table/sn_customerservice_case/{id}?sysparm_display_value=true");
    let (status, body) = crm.patch(&path, json!({"state": "3"})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let detail = body["error"]["detail"].as_str().unwrap();
    assert_eq!(
        detail,
        "Error: Data Policy Exception: The following fields are mandatory: Resolution code, Resolution notes"
    );
    let whole = json!({"state": "3", "resolution_code": "1", "close_notes": "x"});
    let (status, body) = crm.patch(&path, whole).await;
    assert_eq!((status, &body["result"]["state"]), (StatusCode::OK, &json!("Closed")));
    assert!(matches!(crm.servicenow.reopen(&id), Err(SandboxServiceNowError::Refused { .. })));
}

#[tokio::test]
async fn people_work_at_the_pages_and_a_strangers_text_is_text_there() {
    let crm = start(SandboxServiceNowSettings::default()).await;
    let form = [("short_description", "<b>bold</b>"), ("description", "d"), ("flagged", "on")];
    let made = crm.http.post(format!("{}/records", crm.base)).form(&form).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::OK, "the case's page, after a redirect");
    let record = crm.servicenow.records().remove(0);
    assert!(record.flagged);
    let at = |what: &str| format!("{}/records/{}{what}", crm.base, record.id);
    for (journal, text) in [("comments", "[code]<script>x</script>[/code]"), ("work_notes", "among us")] {
        let form = [("text", text), ("journal", journal)];
        crm.http.post(at("/journal")).form(&form).send().await.unwrap();
    }
    let form = [("state", "6"), ("priority", "1"), ("flagged", "")];
    crm.http.post(at("/fields")).form(&form).send().await.unwrap();
    let page = crm.http.get(at("")).send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("<script>") && !page.contains("<b>") && page.contains("work note"), "{page}");
    let record = crm.servicenow.record(&record.id).unwrap();
    assert_eq!(
        (record.state_label.as_str(), record.priority.as_str(), record.flagged),
        ("Resolved", "1", false)
    );
    assert_eq!(crm.send(Method::GET, "/records/none", None).await.status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_state_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let settings = SandboxServiceNowSettings::default();
        SandboxServiceNow::with_data_dir(manual_clock(), settings, folder.path()).unwrap()
    };
    let first = open();
    first.seed_samples().unwrap();
    let before = first.records();
    drop(first);
    let second = open();
    second.seed_samples().unwrap();
    assert_eq!(second.records(), before, "and the samples are not made twice");
    let file = &before[0].attachments[0];
    assert_eq!(second.attachment_bytes(&file.id).unwrap().len() as u64, file.size);
    let next = second.create_record(&NewRecord::new("next")).unwrap();
    assert_eq!(second.record(&next).unwrap().number, "INC0010003");
}

#[test]
fn computed_content_has_its_size_and_its_hash() {
    let servicenow = SandboxServiceNow::new(manual_clock(), SandboxServiceNowSettings::default());
    let id = servicenow.create_record(&NewRecord::new("large")).unwrap();
    let file = servicenow.attach_synthetic(&id, "Jane Roe", "large.bin", 200_000, 7).unwrap();
    assert_eq!(servicenow.attachment_bytes(&file).unwrap().len(), 200_000);
    assert_eq!(servicenow.attachment_sha256(&file).unwrap().len(), 64);
    assert_eq!(servicenow.attachment_sha256("none"), None);
}
