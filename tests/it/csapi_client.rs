//! CSAPI client over real HTTP: against the sandbox, and against servers that answer oddly.
//!
//! [`contract`] must hold for every CSAPI. A person can run it against Google's: with `CASEBRIDGE_TEST_CSAPI_PARENT` and
//! `CASEBRIDGE_TEST_CSAPI_CLASSIFICATION` set, it runs there as well, with test cases, as the account that Google's default
//! credentials stand for. It leaves a closed test case behind.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use casebridge::cases::{
    ApiError, ApiErrorKind, Attachment, ByteStream, CaseSystem, Check, CheckStatus, Needs, NewAttachment,
    NewCase, NewComment, Placement, Visibility, markers,
};
use casebridge::clock::{Clock as _, ManualClock, SharedClock, SystemClock};
use casebridge::csapi::{Csapi, CsapiSettings};
use casebridge::entities::{GooglePlacement, Priority, PriorityReading, Side};
use casebridge::outbound::{
    Credentials, GoogleCredentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings,
};
use casebridge::sandbox::csapi::{
    self as sandbox, Author, CLASSIFICATION_ID, ClassificationState, Order, PageStyle, STORAGE_ID,
    SUCCESSOR_ID, SandboxCsapi, synthetic_sha256,
};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{TryStreamExt as _, stream};
use reqwest::Url;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use casebridge_testkit::scripted::{Asked, Say, Scripted};

const ORGANIZATION: &str = "organizations/123";
const CASE: &str = "organizations/1/cases/2";

fn settings() -> CsapiSettings {
    CsapiSettings {
        parent: ORGANIZATION.to_owned(),
        classification_id: Some(CLASSIFICATION_ID.to_owned()),
        time_zone: "+00:00".to_owned(),
        language_code: "en".to_owned(),
        subscribers: vec!["oncall@example.com".to_owned()],
        test_cases: true,
        feed: false,
        key_expires: None,
        events: None,
        other_parents: Vec::new(),
    }
}

fn upstream(url: &Url, credentials: Arc<dyn Credentials>) -> Arc<Upstream> {
    upstream_by(Arc::new(SystemClock), url, credentials)
}

fn upstream_by(clock: SharedClock, url: &Url, credentials: Arc<dyn Credentials>) -> Arc<Upstream> {
    let settings = UpstreamSettings {
        name: casebridge::csapi::NAME,
        base_url: url.clone(),
        requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
        timeout: Duration::from_secs(30),
        retry: RetryPolicy {
            attempts: 2,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(10),
        },
        download_hosts: Vec::new(),
    };
    Arc::new(Upstream::new(settings, credentials, clock, Metrics::shared()).unwrap())
}

/// Names a company case as version 0.1 did.
const fn named(id: &str) -> markers::CompanyCase<'_> {
    markers::CompanyCase { id, key: None, address: None }
}

/// Running sandbox, its clock, and the client.
struct World {
    sandbox: SandboxCsapi,
    clock: Arc<ManualClock>,
    url: Url,
    csapi: Csapi,
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::at("2026-03-01T12:00:00Z".parse().unwrap());
        let sandbox = SandboxCsapi::new(clock.clone(), ORGANIZATION);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let router = sandbox.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let csapi = Csapi::new(settings(), upstream(&url, Arc::new(NoCredentials))).unwrap();
        Self { sandbox, clock, url, csapi }
    }

    fn with(&self, settings: CsapiSettings) -> Csapi {
        Csapi::new(settings, upstream(&self.url, Arc::new(NoCredentials))).unwrap()
    }

    fn open(&self, title: &str, description: &str) -> String {
        let case = sandbox::NewCase {
            parent: "projects/shop".to_owned(),
            display_name: title.to_owned(),
            description: description.to_owned(),
            priority: sandbox::Priority::P2,
            author: Author::customer("Jane Roe"),
        };
        self.sandbox.create_case(case).unwrap().name
    }
}

/// Returns a client of a scripted server.
fn client_of(server: &Scripted) -> Csapi {
    Csapi::new(settings(), upstream(&server.url, Arc::new(NoCredentials))).unwrap()
}

fn new_case(counterpart: &str) -> NewCase {
    NewCase {
        title: "Disk full 💾".to_owned(),
        description: format!(
            "{}\nIt is \"full\"\n\\o/",
            markers::google_description_header(&named(counterpart))
        ),
        priority: Some(Priority::P3),
        counterpart: counterpart.to_owned(),
        idempotency_key: "creation".to_owned(),
        placement: Placement::default(),
        google: GooglePlacement::default(),
    }
}

fn new_comment(body: &str) -> NewComment {
    NewComment {
        body: body.to_owned(),
        visibility: Visibility::Public,
        idempotency_key: "comment".to_owned(),
    }
}

fn new_attachment(
    filename: &str,
    media_type: Option<&str>,
    size: Option<u64>,
    content: ByteStream,
) -> NewAttachment {
    NewAttachment {
        filename: filename.to_owned(),
        media_type: media_type.map(str::to_owned),
        size,
        content,
        visibility: Visibility::Public,
        idempotency_key: "attachment".to_owned(),
    }
}

fn bytes(content: &'static [u8]) -> ByteStream {
    Box::pin(stream::iter(content.chunks(7).map(|piece| Ok(Bytes::from_static(piece)))))
}

fn attachment(id: &str, size: Option<u64>) -> Attachment {
    Attachment {
        id: id.to_owned(),
        filename: "a.txt".to_owned(),
        media_type: None,
        size,
        author: String::new(),
        created_at: None,
        visibility: Visibility::Public,
        by_connector: None,
        comment: None,
    }
}

async fn all(content: ByteStream) -> Result<Vec<u8>, ApiError> {
    content
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

/// Runs the contract of every CSAPI. `begin` is the current time of its clock.
async fn contract(csapi: &dyn CaseSystem, begin: DateTime<Utc>) {
    let counterpart = format!("contract-{}", begin.timestamp_micros());
    let created = csapi.create(&new_case(&counterpart)).await.unwrap();
    assert_eq!(created.title, "Disk full 💾");
    assert_eq!(created.description, new_case(&counterpart).description);
    assert_eq!(created.priority, PriorityReading::exactly(Priority::P3));
    assert_eq!(created.counterpart.as_deref(), Some(counterpart.as_str()));
    assert!(!created.closed && created.synchronize);
    let id = created.id.as_str();
    let same = |found: &str| found.rsplit('/').next() == id.rsplit('/').next();
    let now = csapi.get(id).await.unwrap().unwrap();
    assert_eq!((&now.description, now.created_at), (&created.description, created.created_at));

    // A search may lag by `index_lag`.
    let deadline = tokio::time::Instant::now() + csapi.capabilities().index_lag.to_std().unwrap();
    loop {
        let sweep = csapi.search_updated(begin - TimeDelta::hours(1)).await.unwrap();
        let found = csapi.find_counterparts(&counterpart, None).await.unwrap();
        if sweep.cases.iter().any(|case| same(&case.id)) && found.iter().any(|case| same(&case.id)) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "not found within the lag that is assumed");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(csapi.find_counterparts(&format!("{counterpart}-no"), None).await.unwrap(), []);

    let text = "Ünï💥 \u{202e}rtl\n[Company Comment 1 by X] <b>\"</b> \\n";
    let written = csapi.add_comment(id, &new_comment(text)).await.unwrap();
    let comments = csapi.comments(id, None).await.unwrap();
    let found = comments.iter().find(|comment| comment.id == written.id).unwrap();
    assert_eq!((found.body.as_str(), found.created_at), (text, written.created_at));

    let content = b"abc\0def\nghi";
    let upload = new_attachment("a b&c=d/\"e\".txt", Some("text/plain"), Some(11), bytes(content));
    let written = csapi.upload(id, upload).await.unwrap();
    let attachments = csapi.attachments(id, None).await.unwrap();
    let found = attachments.iter().find(|attachment| attachment.id == written.id).unwrap();
    let stored = csapi.capabilities().stored_filename;
    assert_eq!((found.filename.as_str(), found.size), (stored("a b&c=d/\"e\".txt").as_str(), Some(11)));
    let download = csapi.download(id, found).await.unwrap();
    assert_eq!(all(download.content).await.unwrap(), content);

    csapi.set_priority(id, Priority::P2).await.unwrap();
    csapi.link(id, &counterpart).await.unwrap();
    let now = csapi.get(id).await.unwrap().unwrap();
    assert_eq!(now.priority, PriorityReading::exactly(Priority::P2));
    assert_eq!(now.title, created.title, "a mask keeps the rest");
    csapi.close(id).await.unwrap();
    csapi.close(id).await.unwrap();
    assert!(csapi.get(id).await.unwrap().unwrap().closed);
    assert_eq!(csapi.reopen(id).await.unwrap_err().kind, ApiErrorKind::Unsupported);
    assert_eq!(csapi.get(&format!("{id}000000")).await.unwrap(), None);
    for check in csapi.check(Needs::all(Visibility::Public)).await {
        assert!(check.result().is_ok(), "{check:?}");
    }
}

#[tokio::test]
async fn the_contract_holds_however_the_lists_are_ordered_and_cut() {
    for (page_style, order) in [
        (PageStyle::Full, Order::NewestFirst),
        (PageStyle::Full, Order::OldestFirst),
        (PageStyle::Ragged, Order::Shuffled),
    ] {
        let world = World::new().await;
        world.sandbox.adjust(|switches| {
            switches.page_style = page_style;
            switches.case_order = order;
            switches.comment_order = order;
            switches.closing_twice_fails = true;
        });
        contract(&world.csapi, world.clock.now()).await;
        assert_eq!(world.csapi.side(), Side::Google);
    }
    if let Some(google) = google().await {
        contract(&google, SystemClock.now()).await;
    }
}

/// Returns a client of Google's CSAPI, if the environment variables are set.
async fn google() -> Option<Csapi> {
    let parent = std::env::var("CASEBRIDGE_TEST_CSAPI_PARENT").ok()?;
    let classification_id = Some(std::env::var("CASEBRIDGE_TEST_CSAPI_CLASSIFICATION").unwrap());
    let url = Url::parse("https://cloudsupport.googleapis.com").unwrap();
    let credentials = Arc::new(GoogleCredentials::new(gcp_auth::provider().await.unwrap()));
    let settings = CsapiSettings { parent, classification_id, subscribers: Vec::new(), ..settings() };
    Some(Csapi::new(settings, upstream(&url, credentials)).unwrap())
}

#[tokio::test]
async fn a_sweep_finds_every_case_updated_since_once_whatever_the_pages_hold() {
    let world = World::new().await;
    for style in [PageStyle::Full, PageStyle::Ragged] {
        world.sandbox.adjust(|switches| switches.page_style = style);
        let since = world.clock.now();
        world.open("at that very moment", "x");
        let mut expected = Vec::new();
        for number in 0..250 {
            world.clock.advance(TimeDelta::microseconds(1));
            expected.push(world.open(&format!("case {number}"), "x"));
        }
        let sweep = world.csapi.search_updated(since).await.unwrap();
        let mut found: Vec<String> = sweep.cases.into_iter().map(|case| case.id).collect();
        found.sort();
        expected.sort();
        assert_eq!((found, sweep.skipped), (expected, Vec::<String>::new()), "{style:?}");
        world.clock.advance(TimeDelta::hours(1));
    }
}

/// Serves each page by its token; the first page has none.
async fn pages(pages: Vec<(&'static str, String)>) -> Scripted {
    Scripted::new(move |_, asked| {
        let token = asked.target.split_once("pageToken=").map_or("", |(_, token)| token);
        let page = pages.iter().find(|(known, _)| *known == token);
        page.map_or_else(|| Say::status(400, "", "{}"), |(_, body)| Say::json(body))
    })
    .await
}

#[tokio::test]
async fn a_case_that_cannot_be_understood_stops_no_sweep() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let first = format!(
        r#"{{"cases":[null,{{"displayName":"secret"}},{{"name":"x"}},7,{{"name":"{CASE}","displayName":"a\ud800","description":{deep}}}],"nextPageToken":"2"}}"#
    );
    let server = pages(vec![
        ("", first),
        ("2", r#"{"nextPageToken":"3"}"#.to_owned()),
        ("3", r#"{"cases":[{"name":"projects/p/cases/3","state":["?"],"createTime":12}]}"#.to_owned()),
    ])
    .await;
    let sweep = client_of(&server).search_updated(DateTime::UNIX_EPOCH).await.unwrap();
    let mut found: Vec<&str> = sweep.cases.iter().map(|case| case.id.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, [CASE, "projects/p/cases/3"]);
    assert_eq!(sweep.skipped.len(), 4, "{:?}", sweep.skipped);
    assert!(!sweep.skipped.concat().contains("secret"), "{:?}", sweep.skipped);
    let asked = server.asked();
    assert_eq!(
        asked[0].target,
        "/v2/organizations/123/cases:search?pageSize=100&query=update_time%3E%221970-01-01T00%3A00%3A00.000000Z%22"
    );
    assert!(asked[2].target.starts_with(&asked[0].target), "{}", asked[2].target);
}

#[tokio::test]
async fn of_two_versions_of_a_case_the_newer_one_counts() {
    for (first, second) in [("NEW", "CLOSED"), ("CLOSED", "NEW")] {
        let case = |parent: &str, state: &str| {
            let second = if state == "CLOSED" { 2 } else { 1 };
            json!({ "name": format!("{parent}/cases/2"), "state": state, "updateTime": format!("2026-03-01T12:00:0{second}Z") })
        };
        let server = pages(vec![
            ("", json!({ "cases": [case("organizations/1", first)], "nextPageToken": "2" }).to_string()),
            ("2", json!({ "cases": [case("projects/p", second), { "name": CASE }] }).to_string()),
        ])
        .await;
        let sweep = client_of(&server).search_updated(DateTime::UNIX_EPOCH).await.unwrap();
        let states: Vec<bool> = sweep.cases.iter().map(|case| case.closed).collect();
        assert_eq!(states, [true], "{first}, {second}");
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_an_error() {
    let circle = pages(vec![
        ("", r#"{"nextPageToken":"2"}"#.to_owned()),
        ("2", r#"{"nextPageToken":"3"}"#.to_owned()),
        ("3", r#"{"nextPageToken":"2"}"#.to_owned()),
    ])
    .await;
    let csapi = client_of(&circle);
    let error = csapi.search_updated(DateTime::UNIX_EPOCH).await.unwrap_err();
    assert_eq!((error.kind, circle.asked().len()), (ApiErrorKind::Unreadable, 3), "{error}");
    assert!(csapi.comments(CASE, None).await.is_err());
    assert!(csapi.attachments(CASE, None).await.is_err());

    let endless =
        Scripted::new(|number, _| Say::json(&json!({ "nextPageToken": number.to_string() }).to_string()))
            .await;
    let error = client_of(&endless).search_updated(DateTime::UNIX_EPOCH).await.unwrap_err();
    assert_eq!((error.kind, endless.asked().len()), (ApiErrorKind::Unreadable, 2000), "{error}");
}

#[tokio::test]
async fn a_page_too_large_for_memory_is_read_in_smaller_ones() {
    let server = Scripted::new(|_, asked| {
        let size = if asked.target.contains("pageSize=100") { 65 << 20 } else { 10 };
        Say::json(&json!({ "cases": [{ "name": CASE, "description": "x".repeat(size) }] }).to_string())
    })
    .await;
    let sweep = client_of(&server).search_updated(DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!((sweep.cases.len(), server.asked().len()), (1, 2));
}

#[tokio::test]
async fn a_sweep_that_dies_half_way_brings_nothing() {
    let world = World::new().await;
    for number in 0..150 {
        world.open(&format!("case {number}"), "x");
    }
    world.sandbox.adjust(|switches| switches.page_style = PageStyle::Full);
    for effect in [Effect::ErrorBefore { status: 500, body: None }, Effect::HangUpBefore] {
        world.sandbox.faults().add(Fault::always(effect).on("GET", "pageToken").times(2));
        let since = world.clock.now() - TimeDelta::hours(1);
        let error = world.csapi.search_updated(since).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Uncertain, "{error}");
        assert_eq!(world.csapi.search_updated(since).await.unwrap().cases.len(), 150);
    }
}

#[tokio::test]
async fn the_case_that_mirrors_a_company_case_is_found_by_exact_words_only() {
    let world = World::new().await;
    let header = markers::google_description_header;
    // Cases that a search for these words also finds.
    world.open("quoted", &format!("They wrote:\n{}", header(&named("77"))));
    world.open("longer", &header(&named("77-b")));
    world.open("title", "x");
    world.sandbox.set_display_name(&world.open("t", "x"), &header(&named("77"))).unwrap();
    let talk = world.open("talk", "x");
    let quote = format!("He said: {}", markers::now_syncing(&named("77")));
    world.sandbox.add_comment(&talk, Author::customer("Jane Roe"), &quote).unwrap();
    world
        .sandbox
        .add_comment(&talk, Author::customer("Jane Roe"), &markers::now_syncing(&named("77-b")))
        .unwrap();
    assert_eq!(world.csapi.find_counterparts("77", None).await.unwrap(), []);

    let by_comment = world.open("by comment", "x");
    world
        .sandbox
        .add_comment(&by_comment, Author::customer("Jane Roe"), &markers::now_syncing(&named("77")))
        .unwrap();
    let of_another = world.open("of another", &header(&named("78")));
    world
        .sandbox
        .add_comment(&of_another, Author::customer("Jane Roe"), &markers::now_syncing(&named("79")))
        .unwrap();
    let find = async |id: &str| -> Vec<String> {
        let found = world.csapi.find_counterparts(id, None).await.unwrap();
        found.into_iter().map(|case| case.id).collect()
    };
    assert_eq!(find("77").await, [by_comment]);
    assert_eq!(find("78").await, [of_another]);
    assert_eq!(find("79").await, [""; 0], "a description that names another case outweighs a comment");

    world.clock.advance(TimeDelta::seconds(1));
    let older = world.open("older", &format!("{}\nIt is full", header(&named("77"))));
    world.clock.advance(TimeDelta::seconds(1));
    let newer = world.open("newer", &format!("{}\r\nIt is full", header(&named("77"))));
    for order in [Order::NewestFirst, Order::OldestFirst] {
        world.sandbox.adjust(|switches| switches.case_order = order);
        assert_eq!(find("77").await, [older.clone(), newer.clone()], "a description outweighs a comment");
    }
    let injected = world.csapi.find_counterparts("7\" OR \"", None).await.unwrap_err();
    assert_eq!(injected.kind, ApiErrorKind::Refused);
}

#[tokio::test]
async fn a_name_that_would_leave_its_place_in_the_url_is_never_sent() {
    let server = Scripted::answers(vec![Say::json("{}")]).await;
    let csapi = client_of(&server);
    for id in [
        "",
        "cases/2",
        "organizations/1/cases/..",
        "organizations/1/cases/2?x=1",
        "organizations/1/cases/2:close",
        "organizations/1/cases/2/comments/3",
    ] {
        let refused = |error: ApiError| assert_eq!(error.kind, ApiErrorKind::Refused, "{id}: {error}");
        refused(csapi.get(id).await.unwrap_err());
        refused(csapi.comments(id, None).await.unwrap_err());
        refused(csapi.attachments(id, None).await.unwrap_err());
        refused(csapi.add_comment(id, &new_comment("x")).await.unwrap_err());
        refused(csapi.set_priority(id, Priority::P1).await.unwrap_err());
        refused(csapi.close(id).await.unwrap_err());
        refused(csapi.download(id, &attachment("3", None)).await.map(drop).unwrap_err());
        refused(csapi.upload(id, new_attachment("a", None, Some(1), bytes(b"a"))).await.unwrap_err());
    }
    for id in ["", "..", "3/../../4", "3?alt=json", "3:download", "3%2e"] {
        let error = csapi.download(CASE, &attachment(id, None)).await.map(drop).unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{id}: {error}");
    }
    assert!(server.asked().is_empty());
    for parent in
        ["", "organizations", "folders/1", "organizations/1/cases", "organizations/..", "projects/p?x"]
    {
        let settings = CsapiSettings { parent: parent.to_owned(), ..settings() };
        let error =
            Csapi::new(settings, upstream(&server.url, Arc::new(NoCredentials))).map(drop).unwrap_err();
        assert!(error.message.contains("google.parent"), "{parent}: {error}");
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_believed() {
    let server = Scripted::new(|_, asked| {
        Say::json(match (asked.method.as_str(), asked.target.as_str()) {
            ("GET", "/v2/organizations/1/cases/2") => r#"{"name":"organizations/1/cases/3","state":"CLOSED"}"#,
            ("GET", "/v2/organizations/1/cases/4") => r#"{"displayName":"no name"}"#,
            ("GET", "/v2/organizations/1/cases/5") => r#"{"name":"projects/p/cases/5"}"#,
            ("GET", _) => r#"{"comments":[{"name":"organizations/1/cases/9/comments/1"},null,{"body":"b"},{"name":"organizations/1/cases/2/comments/1"}]}"#,
            _ => "[]",
        })
    })
    .await;
    let csapi = client_of(&server);
    assert_eq!(csapi.get(CASE).await.unwrap_err().kind, ApiErrorKind::Unreadable);
    for name in ["organizations/1/cases/4", "organizations/1/cases/5"] {
        assert_eq!(csapi.get(name).await.unwrap().unwrap().id, name);
    }
    let comments = csapi.comments(CASE, None).await.unwrap();
    assert_eq!(comments.iter().map(|comment| comment.id.as_str()).collect::<Vec<_>>(), ["1"]);
    // A write whose answer cannot be read may have taken effect.
    for error in [
        csapi.create(&new_case("1")).await.unwrap_err(),
        csapi.add_comment(CASE, &new_comment("x")).await.unwrap_err(),
        csapi.upload(CASE, new_attachment("a", None, Some(1), bytes(b"a"))).await.unwrap_err(),
    ] {
        assert!(error.kind == ApiErrorKind::Unreadable && error.may_have_happened(), "{error}");
    }
}

#[tokio::test]
async fn a_case_is_missing_only_if_csapi_says_so() {
    let world = World::new().await;
    let name = world.open("t", "x");
    world.sandbox.delete_case(&name).unwrap();
    assert_eq!(world.csapi.get(&name).await.unwrap(), None);
    // A gateway, or a wrong address, where nothing is found at all.
    let nowhere = Scripted::answers(vec![Say::status(404, "", "<html>not here</html>")]).await;
    let error = client_of(&nowhere).get(&name).await.unwrap_err();
    assert!(error.kind == ApiErrorKind::Uncertain && error.message.contains("google.base_url"), "{error}");
    for (status, kind) in [(403, ApiErrorKind::Unauthorized), (500, ApiErrorKind::Uncertain)] {
        let server = Scripted::answers(vec![Say::status(status, "", "{}")]).await;
        assert_eq!(client_of(&server).get(&name).await.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn writes_say_exactly_what_they_change_and_are_never_sent_twice() {
    let answer = |asked: &Asked| match asked.target.split('?').next().unwrap() {
        "/v2/organizations/1/cases/2/comments" => json!({ "name": format!("{CASE}/comments/7") }),
        "/upload/v2/organizations/1/cases/2/attachments" => {
            json!({ "name": format!("{CASE}/attachments/8") })
        }
        _ => json!({ "name": CASE }),
    };
    let good = Scripted::new(move |_, asked| Say::json(&answer(asked).to_string())).await;
    let lost = Scripted::answers(vec![Say::nothing()]).await;
    for server in [&good, &lost] {
        let csapi = client_of(server);
        let mut outcomes = vec![csapi.create(&new_case("10001")).await.map(drop)];
        outcomes.push(csapi.add_comment(CASE, &new_comment("hello\u{2028}\"")).await.map(drop));
        outcomes.push(csapi.set_priority(CASE, Priority::P0).await);
        outcomes.push(csapi.close(CASE).await);
        let upload = new_attachment("a\nb.txt", Some("text/plain; charset=utf-8"), Some(3), bytes(b"abc"));
        outcomes.push(csapi.upload(CASE, upload).await.map(drop));
        for outcome in outcomes {
            match outcome {
                Ok(()) => assert!(server.url == good.url),
                Err(error) => assert!(error.may_have_happened() && server.url == lost.url, "{error}"),
            }
        }
        let asked = server.asked();
        let lines: Vec<String> =
            asked.iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
        assert_eq!(
            lines,
            [
                "POST /v2/organizations/123/cases",
                "POST /v2/organizations/1/cases/2/comments",
                "PATCH /v2/organizations/1/cases/2?updateMask=priority",
                "POST /v2/organizations/1/cases/2:close",
                "POST /upload/v2/organizations/1/cases/2/attachments?attachment.filename=a_b.txt",
            ]
        );
        assert_eq!(asked[0].json()["subscriberEmailAddresses"], json!(["oncall@example.com"]));
        assert_eq!(asked[1].json(), json!({ "body": "hello\u{2028}\"" }));
        assert_eq!(asked[2].json(), json!({ "priority": "P0" }));
        assert_eq!(asked[3].json(), json!({}));
        assert_eq!(asked[4].body, b"abc");
        assert_eq!(asked[4].header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(asked[4].header("content-length"), Some("3"));
    }
    let without = CsapiSettings { classification_id: None, ..settings() };
    let csapi = Csapi::new(without, upstream(&good.url, Arc::new(NoCredentials))).unwrap();
    let error = csapi.create(&new_case("1")).await.unwrap_err();
    assert!(error.kind == ApiErrorKind::Refused && error.message.contains("classification_id"), "{error}");
}

#[tokio::test]
async fn an_uploads_framing_is_never_the_files_own() {
    let server =
        Scripted::answers(vec![Say::json(&json!({ "name": format!("{CASE}/attachments/8") }).to_string())])
            .await;
    let csapi = client_of(&server);
    for (media_type, filename, content_type, query) in [
        (None, "", "application/octet-stream", "unnamed"),
        (Some("multipart/related; boundary=x"), "mail.mht", "application/octet-stream", "mail.mht"),
        (Some("Multipart/Mixed"), "a&b=c#d", "application/octet-stream", "a%26b%3Dc%23d"),
        (
            Some("text/plain\r\nx-evil: 1"),
            "../../etc/passwd",
            "application/octet-stream",
            "..%2F..%2Fetc%2Fpasswd",
        ),
        (Some("text"), "ü \"q\".txt", "application/octet-stream", "%C3%BC%20%22q%22.txt"),
        (Some("image/svg+xml"), "a\0b\u{7f}\u{85}.svg", "image/svg+xml", "a_b__.svg"),
    ] {
        csapi.upload(CASE, new_attachment(filename, media_type, None, bytes(b"abc"))).await.unwrap();
        let asked = server.asked().pop().unwrap();
        assert_eq!(asked.header("content-type"), Some(content_type), "{media_type:?}");
        assert!(asked.target.ends_with(&format!("?attachment.filename={query}")), "{}", asked.target);
        assert_eq!((asked.body.as_slice(), asked.header("x-evil")), (b"abc".as_slice(), None));
        let stored = csapi.capabilities().stored_filename;
        assert_eq!(stored(&stored(filename)), stored(filename));
    }
}

#[tokio::test]
async fn a_large_file_goes_through_whole() {
    let world = World::new().await;
    let (from, to) = (world.open("from", "x"), world.open("to", "x"));
    let size = 40 << 20;
    let made =
        world.sandbox.attach_synthetic(&from, Author::customer("Jane Roe"), "big.bin", 5, size).unwrap();
    for announced in [Some(size), None] {
        let found = world.csapi.attachments(&from, None).await.unwrap().remove(0);
        assert_eq!(
            (found.id.as_str(), found.size, found.author.as_str()),
            (made.id.as_str(), Some(size), "Jane Roe")
        );
        let download = world.csapi.download(&from, &found).await.unwrap();
        let upload = new_attachment("big.bin", None, announced, download.content);
        let written = world.csapi.upload(&to, upload).await.unwrap();
        let copied = world.sandbox.attachment_sha256(&to, &written.id).unwrap();
        assert_eq!(copied, synthetic_sha256(5, size));
    }
}

#[tokio::test]
async fn a_file_that_arrives_cut_is_an_error_and_no_upload() {
    let world = World::new().await;
    let (from, to) = (world.open("from", "x"), world.open("to", "x"));
    world.sandbox.attach(&from, Author::customer("Jane Roe"), "a.bin", "x/y", &vec![7; 100_000]).unwrap();
    let found = world.csapi.attachments(&from, None).await.unwrap().remove(0);
    for bytes in [0, 1000, 99_999] {
        for effect in [Effect::TruncateBody { bytes }, Effect::ShortenBody { bytes }] {
            world.sandbox.faults().add(Fault::always(effect.clone()).on("GET", ":download").times(3));
            let download = world.csapi.download(&from, &found).await.unwrap();
            let error = all(download.content).await.unwrap_err();
            // A shortened body is a well-formed answer, but not this file.
            let kind = match effect {
                Effect::ShortenBody { .. } => ApiErrorKind::WrongContent,
                _ => ApiErrorKind::Uncertain,
            };
            assert_eq!(error.kind, kind, "{effect:?}: {error}");
            for announced in [found.size, None] {
                let download = world.csapi.download(&from, &found).await.unwrap();
                let upload = new_attachment("a.bin", None, announced, download.content);
                let error = world.csapi.upload(&to, upload).await.unwrap_err();
                assert_eq!(error.kind, ApiErrorKind::NotApplied, "{effect:?}: {error}");
            }
        }
    }
    assert!(world.sandbox.attachments(&to).unwrap().is_empty());
    let download = world.csapi.download(&from, &found).await.unwrap();
    assert_eq!(Sha256::digest(all(download.content).await.unwrap()), Sha256::digest(vec![7; 100_000]));
}

#[tokio::test]
async fn a_listed_file_that_is_not_handed_out_is_an_error_of_its_kind() {
    let world = World::new().await;
    let case = world.open("t", "x");
    world.sandbox.attach(&case, Author::customer("Jane Roe"), "a.png", "image/png", &[7; 36]).unwrap();
    let found = world.csapi.attachments(&case, None).await.unwrap().remove(0);
    let page = "<!doctype html><title>Sign in</title>";
    let answer = |status, body: Option<&str>| Effect::ErrorBefore { status, body: body.map(str::to_owned) };
    for (effect, kind, for_good) in [
        (answer(404, None), ApiErrorKind::NotFound, true),
        (answer(410, None), ApiErrorKind::NotFound, true),
        (answer(403, None), ApiErrorKind::Unauthorized, true),
        (answer(401, None), ApiErrorKind::Unauthorized, false),
        (answer(400, None), ApiErrorKind::Refused, true),
        (answer(503, None), ApiErrorKind::Uncertain, false),
        (answer(429, None), ApiErrorKind::NotApplied, false),
        (answer(200, Some(page)), ApiErrorKind::WrongContent, true),
        (answer(200, Some("being scanned")), ApiErrorKind::WrongContent, true),
        (Effect::Redirect { location: "/login?continue=x".to_owned() }, ApiErrorKind::WrongContent, true),
        (
            Effect::Redirect { location: "https://accounts.google.com/signin".to_owned() },
            ApiErrorKind::Refused,
            true,
        ),
        (Effect::ShortenBody { bytes: 5 }, ApiErrorKind::WrongContent, true),
        (Effect::TruncateBody { bytes: 5 }, ApiErrorKind::Uncertain, false),
        (Effect::HangUpBefore, ApiErrorKind::Uncertain, false),
    ] {
        world.sandbox.faults().add(Fault::always(effect.clone()).on("GET", ":download"));
        let error = match world.csapi.download(&case, &found).await {
            Ok(download) => all(download.content).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!((error.kind, error.is_for_good()), (kind, for_good), "{effect:?}: {error}");
        world.sandbox.faults().clear();
    }
}

#[tokio::test]
async fn a_single_write_that_is_refused_is_refused_for_good_or_not() {
    for (status, for_good) in [
        (400, true),
        (403, true),
        (404, true),
        (410, true),
        (413, true),
        (415, true),
        (401, false),
        (409, false),
        (429, false),
        (500, false),
        (503, false),
    ] {
        let server = Scripted::answers(vec![Say::status(status, "", "{}")]).await;
        let csapi = client_of(&server);
        for (what, error) in [
            ("comment", csapi.add_comment(CASE, &new_comment("x")).await.unwrap_err()),
            ("file", csapi.upload(CASE, new_attachment("a", None, Some(1), bytes(b"a"))).await.unwrap_err()),
            ("priority", csapi.set_priority(CASE, Priority::P1).await.unwrap_err()),
            ("closing", csapi.close(CASE).await.unwrap_err()),
        ] {
            assert_eq!(error.is_for_good(), for_good, "{what}: {status}: {error}");
        }
    }
}

#[tokio::test]
async fn any_case_proves_that_cases_are_shown() {
    let world = World::new().await;
    assert_eq!(world.csapi.any_case(None).await.unwrap(), None);
    let one = world.open("one", "x");
    assert_eq!(world.csapi.any_case(None).await.unwrap().as_deref(), Some(one.as_str()));
    // The same case under another parent.
    let number = one.rsplit('/').next().unwrap();
    assert_eq!(world.csapi.any_case(Some(&format!("projects/p/cases/{number}"))).await.unwrap(), None);
    let two = world.open("two", "x");
    world.sandbox.close(&two).unwrap();
    assert_eq!(
        world.csapi.any_case(Some(&one)).await.unwrap().as_deref(),
        Some(two.as_str()),
        "closed ones too"
    );
    world.sandbox.adjust(|switches| switches.page_style = PageStyle::Full);
    world.sandbox.faults().clear_calls();
    world.csapi.any_case(Some(&one)).await.unwrap();
    assert_eq!(world.sandbox.faults().calls().len(), 1);
    world.sandbox.adjust(|switches| switches.no_support_plan = true);
    assert_eq!(world.csapi.any_case(None).await.unwrap(), None);
}

#[tokio::test]
async fn a_case_is_resolved_by_whatever_names_it_here() {
    let world = World::new().await;
    let name = world.open("t", "x");
    let number = name.rsplit('/').next().unwrap().to_owned();
    for reference in [
        name.clone(),
        number.clone(),
        format!("organizations/123/cases/{number}"),
        format!("https://console.cloud.google.com/support/cases/detail/v2/{number}?organizationId=123"),
    ] {
        let case = world.csapi.resolve(&reference).await.unwrap().unwrap();
        assert_eq!(case.id, name, "{reference}");
        let address =
            format!("https://console.cloud.google.com/support/cases/detail/v2/{number}?project=shop");
        assert_eq!((case.address, case.scope.as_deref()), (Some(address), Some("projects/shop")));
    }
    assert_eq!(world.csapi.resolve("51999999").await.unwrap(), None);
    let error = world.csapi.resolve("https://desk.example/browse/SUP-1").await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    assert!(error.message.contains("desk.example is not where Google's cases are"), "{error}");
}

#[tokio::test]
async fn a_priority_that_google_does_not_say_is_no_priority() {
    let world = World::new().await;
    let name = world.open("t", "x");
    for (shown, expected) in [
        (None, PriorityReading::exactly(Priority::P2)),
        (Some(""), PriorityReading::Unset),
        (Some("PRIORITY_UNSPECIFIED"), PriorityReading::Unset),
        (Some("P9"), PriorityReading::Unknown("P9".to_owned())),
    ] {
        world.sandbox.adjust(|switches| switches.shown_priority = shown.map(str::to_owned));
        assert_eq!(world.csapi.get(&name).await.unwrap().unwrap().priority, expected, "{shown:?}");
        let sweep = world.csapi.search_updated(DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(sweep.cases[0].priority, expected, "{shown:?}");
    }
}

#[tokio::test]
async fn googles_clock_is_known_from_its_answers() {
    let world = World::new().await;
    let name = world.open("t", "x");
    let upstream = upstream_by(world.clock.clone(), &world.url, Arc::new(NoCredentials));
    let csapi = Csapi::new(settings(), upstream).unwrap();
    assert_eq!((csapi.clock_skew(), csapi.latest_skew()), (None, None));
    csapi.get(&name).await.unwrap();
    assert_eq!(csapi.clock_skew(), Some(TimeDelta::zero()));
    world.sandbox.faults().set_clock_ahead(TimeDelta::minutes(35));
    for _ in 0..3 {
        csapi.get(&name).await.unwrap();
        assert_eq!(csapi.latest_skew().unwrap().num_minutes(), 35);
    }
    assert_eq!(csapi.clock_skew().unwrap().num_minutes(), 35);
}

#[tokio::test]
async fn a_file_that_csapi_never_takes_is_told_apart() {
    let world = World::new().await;
    let name = world.open("t", "x");
    world.sandbox.adjust(|switches| {
        switches.max_attachment_bytes = Some(1000);
        switches.refused_mime_types = vec!["application/x-msdownload".to_owned()];
    });
    let big = || Box::pin(stream::iter((0..2000).map(|_| Ok(Bytes::from_static(&[1; 1000]))))) as ByteStream;
    for (media_type, content) in [(None, big()), (Some("application/x-msdownload"), bytes(b"MZ"))] {
        let error =
            world.csapi.upload(&name, new_attachment("a", media_type, None, content)).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unacceptable, "{error}");
    }
    // A server that refuses at the first byte may close the connection before the last byte is sent.
    let strict = Scripted::answers(vec![Say::status(413, "", "{}")]).await;
    let upload = new_attachment("a", None, Some(3), bytes(b"abc"));
    assert_eq!(client_of(&strict).upload(CASE, upload).await.unwrap_err().kind, ApiErrorKind::Unacceptable);
    assert_eq!(world.csapi.attachment_limit().await.unwrap(), None);
}

#[tokio::test]
async fn comments_are_all_there_in_the_order_of_their_times_however_they_are_listed() {
    let world = World::new().await;
    let name = world.open("t", "x");
    let mut expected = Vec::new();
    for number in 0..230 {
        let author =
            if number % 2 == 0 { Author::customer("Jane Roe") } else { Author::google("Sam Rivera") };
        expected.push(world.sandbox.add_comment(&name, author, &format!("comment {number}")).unwrap().id);
    }
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Shuffled] {
        world.sandbox.adjust(|switches| switches.comment_order = order);
        let comments = world.csapi.comments(&name, Some(world.clock.now())).await.unwrap();
        assert_eq!(
            comments.iter().map(|comment| comment.id.clone()).collect::<Vec<_>>(),
            expected,
            "{order:?}"
        );
        assert_eq!(
            (comments[0].author.as_str(), comments[1].author.as_str()),
            ("Jane Roe", "Google Support")
        );
        assert_eq!(comments[0].by_connector, None);
    }
}

#[tokio::test]
async fn a_long_list_is_read_no_further_than_needed_while_its_order_holds() {
    let world = World::new().await;
    world.sandbox.adjust(|switches| switches.page_style = PageStyle::Full);
    let name = world.open("t", "x");
    let say = || {
        world.clock.advance(TimeDelta::minutes(1));
        world.sandbox.add_comment(&name, Author::customer("Jane Roe"), "more").unwrap().id
    };
    for _ in 0..450 {
        say();
    }
    world.clock.advance(TimeDelta::days(1));
    let seen = world.clock.now() - TimeDelta::minutes(5);
    let pages = async |since: DateTime<Utc>, newest: &str| {
        world.sandbox.faults().clear_calls();
        let comments = world.csapi.comments(&name, Some(since)).await.unwrap();
        assert!(comments.iter().any(|comment| comment.id == newest));
        world.sandbox.faults().calls().len()
    };
    let newest = say();
    assert_eq!(pages(seen, &newest).await, 5, "its clock is not known yet");
    assert_eq!(pages(seen, &newest).await, 5, "its order is not known yet");
    assert_eq!(pages(seen, &newest).await, 1);
    world.clock.advance(TimeDelta::hours(2));
    let newest = say();
    assert_eq!(pages(seen, &newest).await, 1);
    assert_eq!(pages(seen - TimeDelta::hours(27), &newest).await, 3, "back to an hour before that time");
    // The horizon passes the time of the complete reading.
    let later = world.clock.now() - TimeDelta::minutes(30);
    assert_eq!(pages(later, &newest).await, 5);
    assert_eq!(pages(later, &newest).await, 1);
    for order in [Order::OldestFirst, Order::Shuffled] {
        world.sandbox.adjust(|switches| switches.comment_order = order);
        let newest = say();
        for _ in 0..2 {
            assert_eq!(pages(later, &newest).await, 5, "{order:?}");
        }
    }
    world.sandbox.adjust(|switches| switches.comment_order = Order::NewestFirst);
    assert_eq!(pages(later, &newest).await, 5, "the order has to be seen again");
    assert_eq!(pages(later, &newest).await, 1);
}

#[tokio::test]
async fn closing_a_closed_case_succeeds_and_another_refusal_does_not() {
    let world = World::new().await;
    world.sandbox.adjust(|switches| switches.closing_twice_fails = true);
    let name = world.open("t", "x");
    world.csapi.close(&name).await.unwrap();
    world.csapi.close(&name).await.unwrap();
    let open = world.open("t", "x");
    let refusal = Effect::ErrorBefore { status: 400, body: None };
    world.sandbox.faults().add(Fault::always(refusal).on("POST", ":close"));
    let error = world.csapi.close(&open).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::Refused, Some(400)), "{error}");
}

#[tokio::test]
async fn a_refused_comment_is_an_error_that_says_why() {
    let world = World::new().await;
    let name = world.open("t", "x");
    let limit = &world.csapi.capabilities().comment_limit;
    let longest = "💥".repeat(limit.max);
    assert!(limit.holds(&longest) && !limit.holds(&format!("{longest}x")));
    world.csapi.add_comment(&name, &new_comment(&longest)).await.unwrap();
    let error = world.csapi.add_comment(&name, &new_comment(&format!("{longest}x"))).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
    assert!(!error.to_string().contains("💥"), "{error}");
    world.sandbox.adjust(|switches| switches.closed_cases_refuse_comments = true);
    world.sandbox.close(&name).unwrap();
    let error = world.csapi.add_comment(&name, &new_comment("x")).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
}

#[tokio::test]
async fn the_check_says_what_is_wrong_and_what_to_do() {
    let world = World::new().await;
    let results = async |csapi: &Csapi| -> Vec<Result<String, String>> {
        csapi.check(Needs::all(Visibility::Public)).await.into_iter().map(|check| check.result()).collect()
    };
    let hint = results(&world.csapi).await;
    assert!(hint[0].as_ref().is_ok_and(|text| text.contains("support plan")), "{hint:?}");
    assert!(hint[1].as_ref().is_ok_and(|text| text.contains("Compute Engine")), "{hint:?}");
    world.open("t", "x");
    let good = results(&world.csapi).await;
    assert!(
        good.iter().all(Result::is_ok) && !good[0].as_ref().unwrap().contains("support plan"),
        "{good:?}"
    );

    let lost = world.with(CsapiSettings { parent: "projects/unknown".to_owned(), ..settings() });
    let found = results(&lost).await;
    assert!(found[0].as_ref().is_err_and(|text| text.contains("google.parent")), "{found:?}");
    let unset = world.with(CsapiSettings { classification_id: None, ..settings() });
    assert!(results(&unset).await[1].as_ref().is_ok_and(|text| text.contains("not set")));

    for state in [ClassificationState::Unlisted, ClassificationState::Expired] {
        world.sandbox.set_classification(CLASSIFICATION_ID, state);
        let found = results(&world.csapi).await;
        assert!(
            found[1].as_ref().is_err_and(|text| text.contains("casebridge classifications")),
            "{found:?}"
        );
    }
    let disabled = "Google Cloud Support API has not been used in project 1 before or it is disabled.";
    let quota = "Your application is authenticating by using local Application Default Credentials. The \
                 cloudsupport.googleapis.com API requires a quota project, which is not set by default.";
    for (status, said, words) in [
        (401, "", "google.auth"),
        (403, "denied", "gcloud organizations add-iam-policy-binding 123 --member=serviceAccount:EMAIL"),
        (403, "denied", "--role=roles/cloudsupport.techSupportEditor"),
        (403, "denied", "Enhanced or Premium"),
        (403, "denied", "--role=roles/resourcemanager.organizationViewer"),
        (403, disabled, "gcloud services enable cloudsupport.googleapis.com"),
        (403, quota, "a person's credentials"),
        (404, "", "google.parent"),
        (500, "", "Google Cloud's status page"),
    ] {
        let body = json!({ "error": { "code": status, "message": said } }).to_string();
        let server = Scripted::answers(vec![Say::status(status, "", &body)]).await;
        let system = client_of(&server);
        let checks =
            casebridge::tasks::check_system(&system, Needs::all(Visibility::Public), SystemClock.now()).await;
        let failed: Vec<&Check> = checks.iter().filter(|check| check.status == CheckStatus::Failed).collect();
        assert_eq!(failed.len(), 1, "one mistake, {status}: {checks:#?}");
        assert!(failed[0].text().contains(words), "{status}: {failed:?}");
    }
    let calls = world.sandbox.faults().calls();
    assert!(calls.iter().all(|call| call.method == "GET"), "a check changes nothing");
}

#[tokio::test]
async fn the_words_of_a_classification_are_looked_up_once_a_day_and_again_when_google_refuses_its_id() {
    let world = World::new().await;
    world.sandbox.adjust(|switches| switches.page_style = PageStyle::Full);
    let upstream = upstream_by(world.clock.clone(), &world.url, Arc::new(NoCredentials));
    let csapi = Csapi::new(settings(), upstream).unwrap();
    let listings = || {
        let calls = world.sandbox.faults().calls();
        calls.iter().filter(|call| call.path.contains("caseClassifications:search")).count()
    };
    for _ in 0..3 {
        assert_eq!(csapi.classification_id("cloud storage").await.unwrap(), STORAGE_ID);
        assert_eq!(csapi.classification_id(CLASSIFICATION_ID).await.unwrap(), CLASSIFICATION_ID);
    }
    assert_eq!(listings(), 1);
    world.clock.advance(TimeDelta::hours(25));
    assert_eq!(csapi.classification_id("cloud storage").await.unwrap(), STORAGE_ID);
    assert_eq!(listings(), 2);

    world.sandbox.set_classification(STORAGE_ID, ClassificationState::Expired);
    world.sandbox.set_classification(SUCCESSOR_ID, ClassificationState::Listed);
    let google = |id: &str| GooglePlacement {
        classification: Some(id.to_owned()),
        subscribers: Some(vec!["jane@example.com".to_owned()]),
        ..GooglePlacement::default()
    };
    let refused = csapi.create(&NewCase { google: google(STORAGE_ID), ..new_case("1") }).await.unwrap_err();
    assert_eq!(refused.kind, ApiErrorKind::Refused);
    assert_eq!(csapi.classification_id("cloud storage").await.unwrap(), SUCCESSOR_ID);
    assert_eq!(listings(), 3);
    let gone = csapi.classification_id(STORAGE_ID).await.unwrap_err().to_string();
    assert!(gone.contains("has given up the classification"), "{gone}");

    let created = csapi.create(&NewCase { google: google(SUCCESSOR_ID), ..new_case("1") }).await.unwrap();
    assert_eq!(created.subscribers.as_deref(), Some(&["jane@example.com".to_owned()][..]));
    let others = ["joe@example.com".to_owned(), "ann@example.com".to_owned()];
    csapi.set_subscribers(&created.id, &others).await.unwrap();
    let now = csapi.get(&created.id).await.unwrap().unwrap();
    assert_eq!(now.subscribers.as_deref(), Some(&others[..]));
    assert_eq!((now.title, now.priority), (created.title, created.priority), "a mask keeps the rest");
}

#[tokio::test]
async fn projects_that_routes_name_beside_a_project_are_polled_too() {
    let world = World::new().await;
    for project in ["shop", "lab"] {
        world.sandbox.add_project(project).unwrap();
    }
    let case = world.open("in the shop", "x");
    let one = CsapiSettings { parent: "projects/lab".to_owned(), ..settings() };
    let both = CsapiSettings { other_parents: vec!["projects/shop".to_owned()], ..one.clone() };
    let (one, both) = (world.with(one), world.with(both));
    let since = world.clock.now() - TimeDelta::hours(1);
    assert!(one.search_updated(since).await.unwrap().cases.is_empty());
    let found = both.search_updated(since).await.unwrap().cases;
    assert_eq!(found.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), [case.as_str()]);
    // A field of a case may name what is watched, and nothing else.
    assert!(
        both.check_parent("projects/shop").await.is_ok() && both.check_parent("projects/lab").await.is_ok()
    );
    for (system, parent, words) in [
        (&one, "projects/shop", "does not watch projects/shop"),
        (&world.csapi, "projects/nowhere", "does not exist"),
        (&world.csapi, "organizations/7", "does not watch organizations/7"),
    ] {
        let problem = system.check_parent(parent).await.unwrap_err().to_string();
        assert!(problem.contains(words), "{problem}");
    }
    assert!(world.csapi.check_parent("projects/shop").await.is_ok());

    // A lost creation is looked for where it was made.
    let google = GooglePlacement { parent: Some("projects/shop".to_owned()), ..GooglePlacement::default() };
    let made = one.create(&NewCase { google, ..new_case("4711") }).await.unwrap();
    assert!(made.id.starts_with("projects/shop/cases/"), "{}", made.id);
    assert_eq!(one.find_counterparts("4711", None).await.unwrap(), []);
    let found = one.find_counterparts_under("projects/shop", "4711", None).await.unwrap();
    assert_eq!(found.iter().map(|case| &case.id).collect::<Vec<_>>(), [&made.id]);
}

#[tokio::test]
async fn email_messages_stand_among_the_comments_if_the_feed_is_configured() {
    let world = World::new().await;
    let csapi = world.with(CsapiSettings { feed: true, ..settings() });
    let name = world.open("Disk is slow", "x");
    let jane = || Author::customer("Jane Roe");
    let mut expected = Vec::new();
    for number in 0..60 {
        let said = world.sandbox.add_comment(&name, jane(), &format!("comment {number}")).unwrap();
        expected.push((said.id, format!("comment {number}")));
        world.sandbox.attach(&name, jane(), "a.txt", "text/plain", b"a").unwrap();
        let text = format!("mail {number}");
        let email = world.sandbox.receive_email(&name, jane(), "Re: Disk is slow", &text).unwrap();
        expected.push((format!("email:{}", email.id), text));
    }
    // The case's title is known, as in every sync.
    csapi.get(&name).await.unwrap();
    for page_style in [PageStyle::Full, PageStyle::Ragged] {
        world.sandbox.adjust(|switches| switches.page_style = page_style);
        let comments = csapi.comments(&name, None).await.unwrap();
        let found: Vec<_> = comments.iter().map(|one| (one.id.clone(), one.body.clone())).collect();
        assert_eq!(found, expected, "{page_style:?}");
        assert!(comments.iter().all(|one| one.author == "Jane Roe" && one.other_id.is_none()));
        assert_eq!(comments[1].by_connector, Some(false));
    }
    let content = csapi.content(&name, None).await.unwrap();
    assert_eq!((content.comments.len(), content.attachments.len()), (120, 60));

    let said = world.sandbox.add_comment(&name, jane(), "mail 7").unwrap();
    let comments = csapi.comments(&name, None).await.unwrap();
    let twin = comments.iter().find(|one| one.id == said.id).unwrap();
    assert_eq!(twin.other_id.as_deref(), Some(expected[15].0.as_str()));
    assert_eq!(comments.len(), 120, "the message is that comment");

    world.sandbox.faults().clear_calls();
    assert_eq!(world.csapi.comments(&name, None).await.unwrap().len(), 61);
    let calls = world.sandbox.faults().calls();
    assert!(calls.iter().all(|call| !call.path.contains("v2beta")), "{calls:?}");
}

#[tokio::test]
async fn a_long_feed_is_read_newest_first_and_no_further_than_needed() {
    let world = World::new().await;
    world.sandbox.adjust(|switches| {
        switches.page_style = PageStyle::Full;
        // The order of comments is another matter.
        switches.comment_order = Order::OldestFirst;
    });
    let csapi = world.with(CsapiSettings { feed: true, ..settings() });
    let name = world.open("t", "x");
    for number in 0..450 {
        world.clock.advance(TimeDelta::minutes(1));
        let text = format!("mail {number}");
        world.sandbox.receive_email(&name, Author::customer("Jane Roe"), "", &text).unwrap();
    }
    let pages = async |since: Option<DateTime<Utc>>| {
        world.sandbox.faults().clear_calls();
        let comments = csapi.comments(&name, since).await.unwrap();
        assert_eq!(comments.last().map(|comment| comment.body.as_str()), Some("mail 449"));
        let is_wanted = |at: DateTime<Utc>| since.is_none_or(|since| at >= since);
        let wanted = comments.iter().filter_map(|comment| comment.created_at).filter(|at| is_wanted(*at));
        let calls = world.sandbox.faults().calls();
        (wanted.count(), calls.iter().filter(|call| call.path.contains("v2beta")).count())
    };
    let now = world.clock.now();
    assert_eq!(pages(None).await, (450, 5));
    assert_eq!(pages(Some(now - TimeDelta::minutes(5))).await, (6, 1));
    assert_eq!(pages(Some(now - TimeDelta::minutes(60))).await, (61, 2), "back to an hour before that time");
    let calls = world.sandbox.faults().calls();
    let feed = calls.iter().find(|call| call.path.contains("v2beta")).unwrap();
    assert!(feed.path.contains("orderBy=creation_time"), "{feed:?}");
}

#[tokio::test]
async fn a_feed_that_is_not_shown_is_an_error_that_says_what_to_do_and_no_missing_case() {
    let world = World::new().await;
    let csapi = world.with(CsapiSettings { feed: true, ..settings() });
    let name = world.open("t", "x");
    for (status, kind) in
        [(403, ApiErrorKind::Unauthorized), (404, ApiErrorKind::Uncertain), (400, ApiErrorKind::Refused)]
    {
        let refusal = Effect::ErrorBefore { status, body: None };
        world.sandbox.faults().add(Fault::always(refusal).on("GET", ":showFeed"));
        let error = csapi.comments(&name, None).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains("set google.feed = false"), "{error}");
        assert_eq!(world.csapi.comments(&name, None).await.unwrap(), [], "nothing else is wrong");
        world.sandbox.faults().clear();
    }
    let busy = Effect::ErrorBefore { status: 503, body: None };
    world.sandbox.faults().add(Fault::always(busy).on("GET", ":showFeed"));
    let error = csapi.comments(&name, None).await.unwrap_err();
    assert!(!error.to_string().contains("google.feed"), "this passes: {error}");
    world.sandbox.faults().clear();
    world.sandbox.delete_case(&name).unwrap();
    assert_eq!(csapi.comments(&name, None).await.unwrap_err().kind, ApiErrorKind::NotFound);
}

#[tokio::test]
async fn the_check_says_if_a_case_has_email_messages() {
    let world = World::new().await;
    let csapi = world.with(CsapiSettings { feed: true, ..settings() });
    let line = async |csapi: &Csapi| {
        let checks = csapi.check(Needs::all(Visibility::Public)).await;
        checks.into_iter().find(|check| check.what.contains("google.feed"))
    };
    assert_eq!(line(&world.csapi).await, None, "it is off");
    let found = line(&csapi).await.unwrap();
    assert_eq!(found.status, CheckStatus::Warn, "{found:?}");
    let names: Vec<String> = (0..5).map(|number| world.open(&format!("case {number}"), "x")).collect();
    let found = line(&csapi).await.unwrap();
    assert_eq!(found.status, CheckStatus::Ok, "{found:?}");
    assert!(found.detail.ends_with("0 of 3 that were looked at"), "{found:?}");
    for name in &names {
        world.sandbox.receive_email(name, Author::customer("Jane Roe"), "Re: x", "hello").unwrap();
    }
    let found = line(&csapi).await.unwrap();
    assert!(found.detail.ends_with("3 of 3 that were looked at"), "{found:?}");
    for status in [403, 404] {
        let refusal = Effect::ErrorBefore { status, body: None };
        world.sandbox.faults().add(Fault::always(refusal).on("GET", ":showFeed"));
        let checks = csapi.check(Needs::all(Visibility::Public)).await;
        let failed: Vec<&Check> = checks.iter().filter(|check| check.status == CheckStatus::Failed).collect();
        assert!(
            failed.len() == 1 && failed[0].text().contains("set google.feed = false"),
            "{status}: {checks:#?}"
        );
        world.sandbox.faults().clear();
    }
}
