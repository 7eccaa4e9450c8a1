//! ServiceNow adapter against the sandbox ServiceNow, over real HTTP: the suite that all CRMs share, and ServiceNow's own traps.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use bytes::Bytes;
use casebridge::cases::{
    Annotated, Annotation, ApiErrorKind, Attachment, CaseLink, CaseSystem, Check, CheckStatus, Closing,
    Found, Needs, NewAttachment, NewCase, NewComment, Placement, Visibility,
};
use casebridge::clock::{Clock as _, ManualClock};
use casebridge::crm::CrmKind as _;
use casebridge::crm::PriorityWords;
use casebridge::crm::servicenow::{ImpactAndUrgency, ServiceNow, ServiceNowSettings};
use casebridge::entities::{Priority, PriorityReading};
use casebridge::outbound::{Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::servicenow::{
    CUSTOMER_CASE, FileState, INCIDENT, NewRecord, PROBLEM, SandboxServiceNow, SandboxServiceNowAuth,
    SandboxServiceNowSettings, SandboxServiceNowSwitches, Spoilt,
};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Duration, Utc};
use futures_util::stream;
use serde_json::{Value, json};

use casebridge_testkit::contract::crm::{self as suite, CrmUnderTest, crm_contract};
use casebridge_testkit::harness::servicenow::interpreted;

mod incidents {
    use super::{crm_contract, incidents, suite};

    crm_contract!(suite, incidents());
}

mod awkward {
    use super::{awkward, crm_contract, suite};

    crm_contract!(suite, awkward());
}

/// Starts the default setup.
async fn incidents() -> Running {
    start(SandboxServiceNowSettings::default(), |_| {}).await
}

/// Starts a ServiceNow in which every setting differs from the default: customer service cases, whose priority is set directly; an API
/// key; a user who may not read choices; an invalid query that finds nothing; files that mark their record as updated.
async fn awkward() -> Running {
    let settings = SandboxServiceNowSettings {
        auth: SandboxServiceNowAuth::ApiKey { key: "s3cret".to_owned() },
        attachment_limit: 2 * 1024 * 1024,
        invalid_query_returns_no_rows: true,
        reads_choices: false,
        reads_setup: false,
        files_touch_records: true,
        time_zone_hours: 11,
        ..SandboxServiceNowSettings::default()
    };
    let change = |ours: &mut ServiceNowSettings| {
        CUSTOMER_CASE.clone_into(&mut ours.table);
        ours.user = Some("Casebridge".to_owned());
        ours.attachment_limit_mib = 2;
    };
    start(settings, change).await
}

/// Sandbox ServiceNow and the adapter, until it is dropped.
struct Running {
    servicenow: SandboxServiceNow,
    adapter: ServiceNow,
    table: &'static str,
    clock: Arc<ManualClock>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn start(settings: SandboxServiceNowSettings, change: impl FnOnce(&mut ServiceNowSettings)) -> Running {
    let clock = ManualClock::at("2026-07-01T12:00:00.250Z".parse().unwrap());
    start_with(&clock, &clock, settings, change).await
}

/// Starts the same with separate clocks for ServiceNow and the adapter.
async fn start_with(
    theirs: &Arc<ManualClock>,
    ours_of_time: &Arc<ManualClock>,
    settings: SandboxServiceNowSettings,
    change: impl FnOnce(&mut ServiceNowSettings),
) -> Running {
    let clock = Arc::clone(ours_of_time);
    let servicenow = SandboxServiceNow::new(theirs.clone(), settings);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = servicenow.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut ours = ServiceNowSettings::default();
    let secret = match &servicenow.settings().auth {
        SandboxServiceNowAuth::Anyone => None,
        SandboxServiceNowAuth::Basic { user, password } => {
            ours.user = Some(user.clone());
            ours.password = Some("env:SECRET".to_owned());
            Some(password.clone())
        }
        SandboxServiceNowAuth::Bearer { token } => {
            ours.oauth_token = Some("env:SECRET".to_owned());
            Some(token.clone())
        }
        SandboxServiceNowAuth::ApiKey { key } => {
            ours.api_key = Some("env:SECRET".to_owned());
            Some(key.clone())
        }
        // tests/it/oauth.rs
        SandboxServiceNowAuth::OauthClient(_) => unreachable!("no test here asks for it"),
    };
    change(&mut ours);
    assert_eq!(ours.problems(), Vec::<String>::new());
    let table = if ours.table == CUSTOMER_CASE { CUSTOMER_CASE } else { INCIDENT };
    let credentials = secret.map_or_else(
        || Arc::new(NoCredentials) as Arc<dyn Credentials>,
        |secret| ours.credentials(&secret, &base.parse().unwrap()).unwrap(),
    );
    let adapter = connect(ours, &base, credentials, &clock);
    Running { servicenow, adapter, table, clock, server }
}

/// Returns the adapter for a ServiceNow at `base`.
fn connect(
    settings: ServiceNowSettings,
    base: &str,
    credentials: Arc<dyn Credentials>,
    clock: &Arc<ManualClock>,
) -> ServiceNow {
    let upstream = UpstreamSettings {
        name: casebridge::crm::servicenow::NAME,
        base_url: base.parse().unwrap(),
        requests_per_minute: NonZeroU32::new(10_000_000).unwrap(),
        timeout: StdDuration::from_secs(10),
        retry: RetryPolicy {
            attempts: 3,
            first_pause: StdDuration::from_millis(5),
            // Far longer than any call takes here, even on a busy machine: after it, a write is not tried again.
            longest_pause: StdDuration::from_secs(5),
        },
        download_hosts: Vec::new(),
    };
    let upstream = Upstream::new(upstream, credentials, clock.clone(), Metrics::shared()).unwrap();
    let words = words(&settings.table);
    assert_eq!(settings.priority_problems(&words), Vec::<String>::new());
    ServiceNow::new(settings, words, upstream, clock.clone())
}

/// Returns the priorities: incidents have five, customer service cases four.
fn words(table: &str) -> PriorityWords {
    let last = if table == CUSTOMER_CASE { "4" } else { "5" };
    PriorityWords::new(["1", "2", "3", "4", last].map(str::to_owned)).unwrap()
}

#[async_trait]
impl CrmUnderTest for Running {
    fn system(&self) -> &dyn CaseSystem {
        &self.adapter
    }

    async fn tick(&self) {
        self.clock.advance(Duration::seconds(90));
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn unknown_case(&self) -> String {
        "0123456789abcdef0123456789abcdef".to_owned()
    }

    async fn person_creates(&self, title: &str, description: &str, flagged: bool) -> String {
        let description = description.to_owned();
        let record = NewRecord { table: self.table, description, flagged, ..NewRecord::new(title) };
        self.servicenow.create_record(&record).unwrap()
    }

    async fn person_comments(&self, case: &str, body: &str, visibility: Visibility) -> String {
        match visibility {
            Visibility::Public => self.servicenow.comment(case, "Jane Roe", body).unwrap(),
            Visibility::Internal => self.servicenow.work_note(case, "Jane Roe", body).unwrap(),
        }
    }

    async fn person_attaches(&self, case: &str, filename: &str, content: &[u8]) -> String {
        self.servicenow.attach(case, "Jane Roe", filename, "image/png", content.to_vec()).unwrap()
    }

    async fn person_flags(&self, case: &str, flagged: bool) {
        self.servicenow.set_flag(case, flagged).unwrap();
    }

    async fn person_sets_priority(&self, case: &str, priority: Priority) {
        self.servicenow.set_priority(case, words(self.table).word(priority)).unwrap();
    }

    async fn person_closes(&self, case: &str) {
        self.servicenow.resolve(case).unwrap();
    }

    async fn person_deletes(&self, case: &str) {
        self.servicenow.delete_record(case).unwrap();
    }

    async fn kept(&self, _case: &str, attachment: &str) -> Option<Vec<u8>> {
        self.servicenow.attachment_bytes(attachment)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        interpreted(&self.servicenow.record(case).unwrap().journal)
    }
}

fn new_case(counterpart: &str) -> NewCase {
    NewCase {
        title: "A title".to_owned(),
        description: "A description".to_owned(),
        priority: Some(Priority::P1),
        counterpart: counterpart.to_owned(),
        idempotency_key: format!("create {counterpart}"),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    }
}

fn new_comment(body: &str, visibility: Visibility) -> NewComment {
    NewComment { body: body.to_owned(), visibility, idempotency_key: "k".to_owned() }
}

fn new_attachment(filename: &str) -> NewAttachment {
    NewAttachment {
        filename: filename.to_owned(),
        media_type: Some("text/plain".to_owned()),
        size: Some(3),
        content: Box::pin(stream::iter([Ok(Bytes::from_static(b"abc"))])),
        visibility: Visibility::Public,
        idempotency_key: "k".to_owned(),
    }
}

/// Returns the texts of a line of the check: an error unless it is `ok`.
fn line(checks: &[Check], what: &str) -> Result<String, String> {
    let found = checks.iter().find(|check| check.what.contains(what));
    let found = found.unwrap_or_else(|| panic!("no line about {what} in {checks:?}"));
    let text = found.result().unwrap_or_else(|text| text);
    if found.status == CheckStatus::Ok { Ok(text) } else { Err(text) }
}

fn calls(crm: &Running, method: &str, part: &str) -> usize {
    let calls = crm.servicenow.faults().calls();
    calls.iter().filter(|call| call.method == method && call.path.contains(part)).count()
}

fn flagged(crm: &Running, title: &str) -> String {
    crm.servicenow.create_record(&NewRecord::flagged(title)).unwrap()
}

async fn swept(crm: &Running, back: Duration) -> Vec<String> {
    let sweep = crm.adapter.search_updated(crm.clock.now() - back).await.unwrap();
    assert_eq!(sweep.skipped, Vec::<String>::new());
    sweep.cases.into_iter().map(|case| case.id).collect()
}

// ---------------------------------------------------------------- silent omissions

#[tokio::test]
async fn a_query_of_which_something_was_ignored_lets_nothing_else_in() {
    // The column does not exist, so the query finds every record of the table.
    let settings = SandboxServiceNowSettings { has_columns: false, ..SandboxServiceNowSettings::default() };
    let crm = start(settings, |_| {}).await;
    flagged(&crm, "somebody's");
    let since = crm.clock.now() - Duration::minutes(5);
    let error = crm.adapter.search_updated(since).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
    assert!(error.message.contains("company.servicenow.flag_field"), "{error}");
    assert!(crm.adapter.find_counterparts("organizations/1/cases/5", None).await.is_err());
    let error = crm.adapter.create(&new_case("organizations/1/cases/5")).await.unwrap_err();
    assert_eq!((error.kind, calls(&crm, "POST", "/table/")), (ApiErrorKind::Refused, 0), "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "columns").unwrap_err().contains("create it"), "{checks:?}");
}

#[tokio::test]
async fn columns_that_may_not_be_written_make_one_case_and_no_second_one() {
    let settings =
        SandboxServiceNowSettings { writes_columns: false, ..SandboxServiceNowSettings::default() };
    let crm = start(settings, |_| {}).await;
    for _ in 0..3 {
        let error = crm.adapter.create(&new_case("organizations/1/cases/5")).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
        assert!(error.message.contains("INC0010001"), "it says which: {error}");
    }
    assert_eq!(crm.servicenow.records().len(), 1);
    let id = crm.servicenow.records()[0].id.clone();
    let error = crm.adapter.link(&id, "organizations/1/cases/5").await.unwrap_err();
    assert!(error.message.contains("u_google_case_name"), "{error}");
}

#[tokio::test]
async fn a_value_with_a_caret_adds_no_condition() {
    let crm = incidents().await;
    let theirs = flagged(&crm, "somebody's");
    crm.servicenow.set_google_name(&theirs, Some("a name")).unwrap();
    for name in ["x^NQactive=true", "^ORactive=true", "a name^ORactive=true"] {
        assert_eq!(crm.adapter.find_counterparts(name, None).await.unwrap(), [], "{name}");
    }
    let found = crm.adapter.find_counterparts("a name", None).await.unwrap();
    assert_eq!(found.iter().map(|case| &case.id).collect::<Vec<_>>(), [&theirs]);
}

#[tokio::test]
async fn records_without_the_flag_that_are_hidden_are_nobodys_business() {
    let crm = incidents().await;
    for number in 0..150 {
        let id = crm.servicenow.create_record(&NewRecord::new(&format!("{number}"))).unwrap();
        crm.servicenow.set_visible(&id, false).unwrap();
        crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    }
    let id = flagged(&crm, "ours");
    crm.servicenow.attach(&id, "Jane Roe", "b.txt", "text/plain", "abc").unwrap();
    assert_eq!(swept(&crm, Duration::minutes(5)).await, std::slice::from_ref(&id));
    assert!(crm.adapter.get(&id).await.unwrap().is_some());
    assert_eq!(crm.adapter.attachments(&id, None).await.unwrap().len(), 1);
}

// ---------------------------------------------------------------- silence is not emptiness (R26)

/// Asserts that the error requires an action of a person, and that its message has these parts.
#[track_caller]
fn told<T: std::fmt::Debug>(outcome: Result<T, casebridge::cases::ApiError>, parts: &[&str]) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert_eq!(text.matches("company.servicenow.oauth_token").count(), 0, "{text}");
}

#[tokio::test]
async fn a_flagged_record_that_is_hidden_makes_a_search_fail_on_whatever_page_it_is() {
    let crm = incidents().await;
    let made: Vec<String> = (0..250).map(|number| flagged(&crm, &format!("case {number}"))).collect();
    let since = crm.clock.now() - Duration::minutes(5);
    let mut sorted = made.clone();
    sorted.sort();
    // Hidden in turn: the first record, one on the second page, the last one, all of them.
    for hidden in [&sorted[..1], &sorted[120..121], &sorted[249..], &sorted[..]] {
        for id in hidden {
            crm.servicenow.set_visible(id, false).unwrap();
        }
        let parts = ["hidden from the connector's user", "of 250 records", "give it a role that reads them"];
        told(crm.adapter.search_updated(since).await, &parts);
        for id in hidden {
            crm.servicenow.set_visible(id, true).unwrap();
        }
        let sweep = crm.adapter.search_updated(since).await.unwrap();
        assert_eq!((sweep.cases.len(), sweep.identified), (250, true), "and found once they are shown again");
    }
}

#[tokio::test]
async fn a_counterpart_that_is_hidden_is_not_taken_for_none() {
    let crm = incidents().await;
    let id = flagged(&crm, "linked");
    let name = "organizations/1/cases/51234456";
    crm.servicenow.set_google_name(&id, Some(name)).unwrap();
    crm.servicenow.set_visible(&id, false).unwrap();
    told(crm.adapter.find_counterparts(name, None).await, &["1 of 1 records are hidden"]);
    crm.servicenow.set_visible(&id, true).unwrap();
    assert_eq!(crm.adapter.find_counterparts(name, None).await.unwrap()[0].id, id);
}

#[tokio::test]
async fn a_comment_or_a_file_that_is_hidden_is_not_taken_for_none() {
    let crm = incidents().await;
    let id = flagged(&crm, "talk");
    let mut entries = Vec::new();
    for number in 0..60 {
        entries.push(crm.servicenow.comment(&id, "Jane Roe", &format!("{number}")).unwrap());
        crm.clock.advance(Duration::seconds(1));
    }
    let file = crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    crm.servicenow.set_visible(&entries[3], false).unwrap();
    told(crm.adapter.comments(&id, None).await, &["sys_journal_field", "read ACL"]);
    let since = Some(crm.clock.now() - Duration::seconds(10));
    assert!(crm.adapter.comments(&id, since).await.is_ok(), "older than what was asked for");
    crm.servicenow.set_visible(&entries[3], true).unwrap();
    assert_eq!(crm.adapter.comments(&id, None).await.unwrap().len(), 60);
    crm.servicenow.set_visible(&file, false).unwrap();
    told(crm.adapter.attachments(&id, None).await, &["1 of 1 records", "sys_attachment"]);
    assert!(crm.adapter.get(&id).await.unwrap().is_some(), "the case itself is shown");
}

#[tokio::test]
async fn files_that_may_not_be_read_at_all_make_a_search_fail() {
    let settings =
        SandboxServiceNowSettings { reads_attachments: false, ..SandboxServiceNowSettings::default() };
    let crm = start(settings, |_| {}).await;
    let id = flagged(&crm, "files");
    swept(&crm, Duration::minutes(5)).await;
    crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    let since = crm.clock.now() - Duration::minutes(5);
    told(crm.adapter.search_updated(since).await, &["none of the newest files is shown", "sys_attachment"]);
}

#[tokio::test]
async fn a_page_that_was_short_once_is_read_again_before_anything_is_said() {
    let crm = incidents().await;
    let id = flagged(&crm, "moving");
    let empty = Effect::ErrorBefore { status: 200, body: Some("{\"result\": []}".to_owned()) };
    // An answer without a count cannot be compared with the number of records.
    crm.servicenow.faults().add(Fault::always(empty).on("GET", "/table/incident?").times(1));
    assert_eq!(swept(&crm, Duration::minutes(5)).await, Vec::<String>::new());
    // The record is hidden in the first request and visible in the second.
    crm.servicenow.set_visible(&id, false).unwrap();
    let slow = Fault::always(Effect::Latency { ms: 200 });
    crm.servicenow.faults().add(slow.on("GET", "/table/incident?").after(1));
    crm.servicenow.faults().clear_calls();
    let back = async {
        while calls(&crm, "GET", "/table/incident?") < 2 {
            tokio::task::yield_now().await;
        }
        crm.servicenow.set_visible(&id, true).unwrap();
    };
    let since = crm.clock.now() - Duration::minutes(5);
    let (sweep, ()) = tokio::join!(crm.adapter.search_updated(since), back);
    assert_eq!(sweep.unwrap().cases.len(), 1);
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_told_so_and_finds_nothing_to_believe() {
    let with_password = |ours: &mut ServiceNowSettings| {
        (ours.user, ours.password) = (Some("casebridge".to_owned()), Some("env:SECRET".to_owned()));
    };
    let crm = start(SandboxServiceNowSettings::default(), with_password).await;
    let id = flagged(&crm, "there");
    let since = crm.clock.now() - Duration::minutes(5);
    assert!(crm.adapter.search_updated(since).await.unwrap().identified);
    crm.adapter.identify().await.unwrap();
    let guest = SandboxServiceNowSwitches { anonymous: true, ..SandboxServiceNowSwitches::default() };
    crm.servicenow.set_switches(guest);
    // The credentials that are configured, and no others.
    let keys = "check company.servicenow.user and company.servicenow.password, and that the user is active";
    let parts = ["nobody who signed in", keys];
    told(crm.adapter.search_updated(since).await, &parts);
    told(crm.adapter.identify().await, &parts);
    told(crm.adapter.any_case(None).await, &parts);
    told(crm.adapter.get(&id).await, &parts);
    told(crm.adapter.comments(&id, None).await, &parts);
    told(crm.adapter.find_counterparts("organizations/1/cases/5", None).await, &parts);
    // If the instance does not report the signed-in state, the count and the user's name show it.
    crm.servicenow.set_switches(SandboxServiceNowSwitches { no_login_header: true, ..guest });
    told(crm.adapter.search_updated(since).await, &["1 of 1 records are hidden"]);
    told(crm.adapter.identify().await, &["its guest", keys]);
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "user").unwrap_err().contains("guest"), "{checks:?}");
    crm.servicenow.set_switches(SandboxServiceNowSwitches {
        no_login_header: true,
        ..SandboxServiceNowSwitches::default()
    });
    assert!(!crm.adapter.search_updated(since).await.unwrap().identified, "nothing proves it");
    crm.adapter.identify().await.unwrap();
}

#[tokio::test]
async fn the_user_is_named_by_one_call_and_has_to_be_the_configured_one() {
    let crm = incidents().await;
    crm.servicenow.faults().clear_calls();
    crm.adapter.identify().await.unwrap();
    assert_eq!(crm.servicenow.faults().calls().len(), 1);
    let other = |ours: &mut ServiceNowSettings| ours.user = Some("abel.tuter".to_owned());
    let crm = start(SandboxServiceNowSettings::default(), other).await;
    told(crm.adapter.identify().await, &["those of casebridge", "abel.tuter"]);
    // A configured user that may not read its own record is accepted, because it is signed in.
    let hide_self = |crm: &Running| {
        crm.servicenow.set_visible("6816f79cc0a8016401c5a33be04be441", false).unwrap();
    };
    let named = |ours: &mut ServiceNowSettings| ours.user = Some("casebridge".to_owned());
    let crm = start(SandboxServiceNowSettings::default(), named).await;
    hide_self(&crm);
    crm.adapter.identify().await.unwrap();
    let crm = incidents().await;
    hide_self(&crm);
    told(crm.adapter.identify().await, &["does not tell who the connector's user is"]);
}

#[tokio::test]
async fn any_case_is_one_call_and_never_the_excepted_one() {
    let crm = incidents().await;
    assert_eq!(crm.adapter.any_case(None).await.unwrap(), None);
    let one = crm.servicenow.create_record(&NewRecord::new("without the flag")).unwrap();
    assert_eq!(crm.adapter.any_case(None).await.unwrap().as_ref(), Some(&one));
    assert_eq!(crm.adapter.any_case(Some(&one)).await.unwrap(), None);
    let two = flagged(&crm, "with it");
    crm.servicenow.faults().clear_calls();
    assert_eq!(crm.adapter.any_case(Some(&two)).await.unwrap().as_ref(), Some(&one));
    assert_eq!(crm.servicenow.faults().calls().len(), 1);
    crm.servicenow.set_visible(&one, false).unwrap();
    assert_eq!(crm.adapter.any_case(None).await.unwrap().as_ref(), Some(&two));
    told(crm.adapter.any_case(Some(&two)).await, &["none of those that were updated last is shown"]);
    // A case that a query rule or another domain hides is not even counted.
    crm.servicenow.set_left_out(&one, true).unwrap();
    assert_eq!(crm.adapter.any_case(Some(&two)).await.unwrap(), None);
}

// ---------------------------------------------------------------- identity and closing of a case (R31, R32, R38)

#[tokio::test]
async fn a_case_tells_its_home_its_address_its_scope_and_who_made_it() {
    let settings =
        SandboxServiceNowSettings { separates_domains: true, ..SandboxServiceNowSettings::default() };
    let crm = start(settings, |_| {}).await;
    let theirs = flagged(&crm, "a person's");
    crm.servicenow.set_domain(&theirs, "a1b2").unwrap();
    let ours = crm.adapter.create(&new_case("organizations/1/cases/5")).await.unwrap();
    assert_eq!((ours.by_connector, ours.scope.as_deref()), (Some(true), Some("incident/global")));
    let case = crm.adapter.get(&theirs).await.unwrap().unwrap();
    assert_eq!((case.by_connector, case.scope.as_deref()), (Some(false), Some("incident/a1b2")));
    let home = crm.adapter.home().unwrap();
    assert!(home.starts_with("http://127.0.0.1:") && !home.ends_with('/'), "{home}");
    assert_eq!(case.address, Some(format!("{home}/incident.do?sys_id={theirs}")));
    let since = crm.clock.now() - Duration::minutes(5);
    for found in crm.adapter.search_updated(since).await.unwrap().cases {
        let case = crm.adapter.get(&found.id).await.unwrap().unwrap();
        assert_eq!(found, Found::from(&case), "a search tells as much");
    }
    let plain = incidents().await;
    let id = flagged(&plain, "one domain");
    assert_eq!(plain.adapter.get(&id).await.unwrap().unwrap().scope.as_deref(), Some("incident"));
}

#[tokio::test]
async fn a_number_an_id_and_an_address_name_the_same_case() {
    let crm = incidents().await;
    let id = flagged(&crm, "named");
    let number = crm.servicenow.record(&id).unwrap().number;
    let home = crm.adapter.home().unwrap().to_owned();
    for reference in [
        id.clone(),
        id.to_uppercase(),
        number.clone(),
        number.to_lowercase(),
        format!("{home}/incident.do?sys_id={id}"),
        format!("{home}/nav_to.do?uri=%2Fincident.do%3Fsys_id%3D{id}"),
        format!("{home}/now/nav/ui/classic/params/target/incident.do%3Fsys_id%3D{id}"),
        format!("{home}/incident.do?sysparm_query=number={number}"),
    ] {
        let found = crm.adapter.resolve(&reference).await.unwrap();
        assert_eq!(found.map(|case| case.id).as_ref(), Some(&id), "{reference}");
    }
    for unknown in ["INC9999999", "0123456789abcdef0123456789abcdef"] {
        assert_eq!(crm.adapter.resolve(unknown).await.unwrap(), None, "{unknown}");
    }
    for (reference, why) in [
        (format!("https://dev2.service-now.com/incident.do?sys_id={id}"), "another system"),
        (format!("{home}/problem.do?sys_id={id}"), "the table problem"),
        ("not a case".to_owned(), "neither a sys_id"),
    ] {
        let error = crm.adapter.resolve(&reference).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    crm.servicenow.set_visible(&id, false).unwrap();
    told(crm.adapter.resolve(&number).await, &["hidden"]);
}

#[tokio::test]
async fn solved_cancelled_and_duplicate_are_told_apart_by_a_search_too() {
    let crm = incidents().await;
    let open = flagged(&crm, "open");
    let mut expected = vec![(open.clone(), None)];
    for (code, closing) in [
        ("Solution provided", Closing::Solved),
        ("Duplicate", Closing::Duplicate),
        ("No resolution provided", Closing::Cancelled),
    ] {
        let id = flagged(&crm, code);
        crm.servicenow.resolve_as(&id, code).unwrap();
        expected.push((id, Some(closing)));
    }
    for (end, closing) in [(true, Closing::Cancelled), (false, Closing::Solved)] {
        let id = flagged(&crm, "ended");
        if end {
            crm.servicenow.cancel(&id).unwrap();
        } else {
            crm.servicenow.close(&id).unwrap();
        }
        expected.push((id, Some(closing)));
    }
    let duplicate = flagged(&crm, "again");
    crm.servicenow.set_duplicate_of(&duplicate, &open).unwrap();
    assert_eq!(crm.adapter.get(&duplicate).await.unwrap().unwrap().closing, None, "it is open still");
    crm.servicenow.resolve(&duplicate).unwrap();
    expected.push((duplicate, Some(Closing::Duplicate)));
    for (id, closing) in &expected {
        let case = crm.adapter.get(id).await.unwrap().unwrap();
        assert_eq!((case.closing, case.closed), (*closing, closing.is_some()), "{}", case.title);
    }
    let ours = crm.adapter.create(&new_case("organizations/1/cases/5")).await.unwrap();
    crm.adapter.close(&ours.id).await.unwrap();
    let closed = crm.adapter.get(&ours.id).await.unwrap().unwrap();
    assert_eq!(closed.closing, Some(Closing::Solved), "what the connector closes is solved");
}

#[tokio::test]
async fn a_code_that_only_its_label_explains_is_told_by_the_check() {
    let case = |ours: &mut ServiceNowSettings| CUSTOMER_CASE.clone_into(&mut ours.table);
    let crm = start(SandboxServiceNowSettings::default(), case).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "how cases are closed").unwrap_err();
    assert!(problem.contains("add \"3\" to company.servicenow.cancelled_codes"), "{problem}");
    let told = |ours: &mut ServiceNowSettings| {
        CUSTOMER_CASE.clone_into(&mut ours.table);
        ours.cancelled_codes = Some(vec!["3".to_owned()]);
    };
    let crm = start(SandboxServiceNowSettings::default(), told).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "how cases are closed").unwrap().contains("\"3\" is cancelled"));
    let id =
        crm.servicenow.create_record(&NewRecord { table: CUSTOMER_CASE, ..NewRecord::flagged("x") }).unwrap();
    crm.servicenow.resolve_as(&id, "3").unwrap();
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().closing, Some(Closing::Cancelled));
}

// ---------------------------------------------------------------- two clocks (R36)

#[tokio::test]
async fn a_search_counts_by_the_instances_clock_and_not_by_ours() {
    let right: DateTime<Utc> = "2026-07-01T12:00:00.250Z".parse().unwrap();
    for apart in [-3650 * 24 * 60, -24 * 60, -35, -12, 12, 35, 24 * 60, 3650 * 24 * 60] {
        let theirs = ManualClock::at(right);
        let ours = ManualClock::at(right + Duration::minutes(apart));
        let crm = start_with(&theirs, &ours, SandboxServiceNowSettings::default(), |_| {}).await;
        let old = flagged(&crm, "old");
        let with_file = flagged(&crm, "with a file");
        theirs.advance(Duration::hours(1));
        // The core passes the time by the instance's clock.
        let since = theirs.now() - Duration::minutes(5);
        let new = flagged(&crm, "new");
        crm.servicenow.attach(&with_file, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
        theirs.advance(Duration::minutes(1));
        let mut found: Vec<String> =
            crm.adapter.search_updated(since).await.unwrap().cases.into_iter().map(|case| case.id).collect();
        let mut expected = vec![new, with_file];
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "our clock is {apart} minutes ahead; {old} is too old");
    }
    let crm = incidents().await;
    flagged(&crm, "any");
    for since in [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC] {
        let found = crm.adapter.search_updated(since).await.unwrap().cases.len();
        assert_eq!(found, usize::from(since < crm.clock.now()), "{since}");
    }
}

#[tokio::test]
async fn an_instance_that_reads_times_in_another_zone_is_found_by_the_check() {
    let crm = incidents().await;
    flagged(&crm, "any");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "times in searches").unwrap().contains("in UTC"), "{checks:?}");
    crm.servicenow.set_switches(SandboxServiceNowSwitches {
        local_times: true,
        ..SandboxServiceNowSwitches::default()
    });
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "times in searches").unwrap_err();
    assert!(problem.contains("time zone GMT") && problem.contains("query_range"), "{problem}");
}

// ---------------------------------------------------------------- comments

#[tokio::test]
async fn comments_and_work_notes_are_told_apart_both_ways() {
    let crm = incidents().await;
    let id = flagged(&crm, "talk");
    crm.servicenow.comment(&id, "Jane Roe", "to the caller").unwrap();
    crm.servicenow.work_note(&id, "Jane Roe", "among us").unwrap();
    crm.adapter.add_comment(&id, &new_comment("ours, public", Visibility::Public)).await.unwrap();
    crm.adapter.add_comment(&id, &new_comment("ours, internal", Visibility::Internal)).await.unwrap();
    let mut comments = crm.adapter.comments(&id, None).await.unwrap();
    comments.sort_by(|a, b| a.body.cmp(&b.body));
    let told: Vec<_> = comments
        .iter()
        .map(|comment| {
            (comment.body.as_str(), comment.visibility, comment.author.as_str(), comment.by_connector)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("among us", Visibility::Internal, "Jane Roe", Some(false)),
            ("ours, internal", Visibility::Internal, "Casebridge", Some(true)),
            ("ours, public", Visibility::Public, "Casebridge", Some(true)),
            ("to the caller", Visibility::Public, "Jane Roe", Some(false)),
        ]
    );
    let journal = crm.servicenow.record(&id).unwrap().journal;
    let public: Vec<&str> =
        journal.iter().filter(|entry| entry.public).map(|entry| entry.text.as_str()).collect();
    assert_eq!(public, ["to the caller", "ours, public"], "what the caller sees");
}

#[tokio::test]
async fn code_tags_and_mentions_of_strangers_stay_text_and_come_back() {
    let crm = incidents().await;
    let id = flagged(&crm, "markup");
    let body =
        "[code]<script>alert(1)</script>[/code] @[6816f79cc0a8016401c5a33be04be441:admin] [CODE]x[/CODE]";
    let written = crm.adapter.add_comment(&id, &new_comment(body, Visibility::Public)).await.unwrap();
    let entry = crm.servicenow.record(&id).unwrap().journal.remove(0);
    assert!(!entry.html.contains("<script>") && !entry.html.contains("mention"), "{}", entry.html);
    let read = crm.adapter.comments(&id, None).await.unwrap().remove(0);
    assert_eq!((read.id, read.body.as_str()), (written.id, body));
}

#[tokio::test]
async fn two_comments_in_one_second_are_two() {
    let crm = incidents().await;
    let id = flagged(&crm, "quick");
    let mut ids = Vec::new();
    for body in ["[Google Comment 1 by A]\nsame", "[Google Comment 2 by A]\nsame"] {
        ids.push(crm.adapter.add_comment(&id, &new_comment(body, Visibility::Public)).await.unwrap().id);
    }
    assert_ne!(ids[0], ids[1]);
    let comments = crm.adapter.comments(&id, Some(crm.clock.now())).await.unwrap();
    assert_eq!(comments.len(), 2, "whole seconds: what has the time that is asked from is there");
}

#[tokio::test]
async fn a_comment_that_the_journal_does_not_show_may_have_happened() {
    let crm = incidents().await;
    let id = flagged(&crm, "journal");
    crm.servicenow
        .faults()
        .add(Fault::always(Effect::ErrorBefore { status: 500, body: None }).on("GET", "/sys_journal_field"));
    let error = crm.adapter.add_comment(&id, &new_comment("hello", Visibility::Public)).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    crm.servicenow.faults().clear();
    crm.servicenow.faults().add(Fault::always(Effect::HangUpAfter).on("PATCH", "/table/").times(1));
    let error = crm.adapter.add_comment(&id, &new_comment("again", Visibility::Public)).await.unwrap_err();
    assert_eq!((error.kind, calls(&crm, "PATCH", "/table/")), (ApiErrorKind::Uncertain, 2), "{error}");
    assert_eq!(crm.servicenow.record(&id).unwrap().journal.len(), 2, "and it is not written again");
}

#[tokio::test]
async fn a_journal_that_may_not_be_read_is_an_error_and_no_silence() {
    let settings =
        SandboxServiceNowSettings { reads_journals: false, ..SandboxServiceNowSettings::default() };
    let crm = start(settings, |_| {}).await;
    let id = flagged(&crm, "silent");
    assert_eq!(crm.adapter.comments(&id, None).await.unwrap(), [], "there is none");
    crm.servicenow.comment(&id, "Jane Roe", "hello").unwrap();
    let error = crm.adapter.comments(&id, None).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "comments").unwrap_err().contains("sys_journal_field"), "{checks:?}");
}

#[tokio::test]
async fn an_entry_of_which_nobody_says_who_sees_it_is_internal() {
    let crm = incidents().await;
    let id = flagged(&crm, "talk");
    let entry = |number: u8, element: Value| {
        let mut entry = json!({
            "sys_id": format!("{number:032x}"), "element_id": id, "value": format!("{number}"),
            "sys_created_by": "jane.roe", "sys_created_on": "2026-07-01 12:00:00",
        });
        if !element.is_null() {
            entry["element"] = element;
        }
        entry
    };
    let body = json!({"result": [
        entry(1, json!("comments")), entry(2, json!("work_notes")), entry(3, json!("u_vendor_notes")),
        entry(4, json!("")), entry(5, Value::Null), entry(6, json!(7)), entry(7, json!("Comments")),
    ]});
    let answer = Effect::ErrorBefore { status: 200, body: Some(body.to_string()) };
    crm.servicenow.faults().add(Fault::always(answer).on("GET", "/sys_journal_field"));
    let mut comments = crm.adapter.comments(&id, None).await.unwrap();
    comments.sort_by(|a, b| a.body.cmp(&b.body));
    let public: Vec<&str> = comments
        .iter()
        .filter(|comment| comment.visibility == Visibility::Public)
        .map(|comment| comment.body.as_str())
        .collect();
    assert_eq!((comments.len(), public), (7, vec!["1"]));
}

// ---------------------------------------------------------------- files

/// Creates a record with one file; returns its ID, and the file as listed.
async fn with_file(crm: &Running) -> (String, Attachment) {
    let id = flagged(crm, "with a file");
    crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    let file = crm.adapter.attachments(&id, None).await.unwrap().remove(0);
    (id, file)
}

#[tokio::test]
async fn what_a_file_is_answered_with_decides_whether_it_is_tried_again() {
    use ApiErrorKind::{NotApplied, NotFound, Refused, Unauthorized, Uncertain, WrongContent};
    let crm = incidents().await;
    let (id, file) = with_file(&crm).await;
    let download = async || match crm.adapter.download(&id, &file).await {
        Ok(_) => Ok(()),
        Err(error) => Err((error.kind, error.is_for_good(), error)),
    };
    // Scanner: the file's state decides; it is read only if the download is refused.
    for (state, expected, words) in [
        (FileState::Available, None, ""),
        (FileState::AvailableConditionally, None, ""),
        (FileState::Pending, Some((NotApplied, false)), "state pending"),
        (FileState::NotAvailable, Some((Refused, true)), "state not_available"),
    ] {
        crm.servicenow.set_file_state(&file.id, state).unwrap();
        let found = download().await;
        assert_eq!(found.as_ref().err().map(|(kind, good, _)| (*kind, *good)), expected, "{state:?}");
        if let Err((.., error)) = found {
            assert!(error.message.contains(words) && error.status == Some(403), "{error}");
        }
    }
    crm.servicenow.set_file_state(&file.id, FileState::Available).unwrap();
    for (spoilt, expected) in
        [(Spoilt::Missing, (NotFound, true)), (Spoilt::OtherSize(7), (WrongContent, true))]
    {
        crm.servicenow.spoil(&file.id, Some(spoilt)).unwrap();
        let (kind, good, error) = download().await.unwrap_err();
        assert_eq!((kind, good), expected, "{spoilt:?}: {error}");
        assert_eq!(crm.adapter.attachments(&id, None).await.unwrap().len(), 1, "it is listed still");
    }
    crm.servicenow.spoil(&file.id, None).unwrap();
    // For a file that the scanner passed, the HTTP status alone decides.
    for (status, kind, good) in [
        (400, Refused, true),
        (401, Unauthorized, false),
        (403, Unauthorized, true),
        (404, NotFound, true),
        (410, NotFound, true),
        (413, Refused, true),
        (415, Refused, true),
        (429, NotApplied, false),
        (500, Uncertain, false),
        (503, Uncertain, false),
    ] {
        let answer = Effect::ErrorBefore { status, body: None };
        let fault = crm.servicenow.faults().add(Fault::always(answer).on("GET", "/file"));
        let (found, is_for_good, error) = download().await.unwrap_err();
        assert_eq!((found, is_for_good), (kind, good), "{status}: {error}");
        crm.servicenow.faults().remove(fault);
    }
    download().await.unwrap();
}

#[tokio::test]
async fn a_check_downloads_a_small_file_if_there_is_one() {
    let crm = incidents().await;
    let id = flagged(&crm, "files");
    let checked = async || {
        let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
        line(&checks, "attachments").clone()
    };
    assert!(checked().await.unwrap().contains("no small file yet"));
    crm.servicenow.attach_synthetic(&id, "Jane Roe", "large.bin", 50_000_000, 1).unwrap();
    assert!(checked().await.unwrap().contains("no small file yet"));
    let file = crm.servicenow.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    assert!(checked().await.unwrap().contains("a file of 3 bytes was downloaded whole"));
    for spoilt in [Spoilt::SignOn, Spoilt::OtherSize(2), Spoilt::OtherSize(4), Spoilt::Missing] {
        crm.servicenow.spoil(&file, Some(spoilt)).unwrap();
        let problem = checked().await.unwrap_err();
        assert!(problem.contains("not handed out"), "{spoilt:?}: {problem}");
    }
    // A file that the scanner blocks is no reason to complain while another one can be downloaded.
    crm.servicenow.spoil(&file, None).unwrap();
    crm.servicenow.set_file_state(&file, FileState::NotAvailable).unwrap();
    crm.servicenow.attach(&id, "Jane Roe", "b.txt", "text/plain", "abcd").unwrap();
    assert!(checked().await.unwrap().contains("a file of 4 bytes"));
}

#[tokio::test]
async fn a_new_file_is_found_though_its_record_is_not_updated() {
    let crm = incidents().await;
    let id = flagged(&crm, "with a file");
    let unflagged = crm.servicenow.create_record(&NewRecord::new("unflagged")).unwrap();
    crm.clock.advance(Duration::hours(3));
    assert_eq!(swept(&crm, Duration::minutes(5)).await, Vec::<String>::new());
    for case in [&id, &unflagged] {
        crm.servicenow.attach(case, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
    }
    let before = crm.servicenow.record(&id).unwrap().updated;
    assert!(before < crm.clock.now() - Duration::hours(2), "not updated, to ServiceNow");
    crm.clock.advance(Duration::minutes(1));
    assert_eq!(swept(&crm, Duration::minutes(5)).await, std::slice::from_ref(&id));
    let sweep = crm.adapter.search_updated(crm.clock.now() - Duration::minutes(5)).await.unwrap();
    let got = crm.adapter.get(&id).await.unwrap().unwrap();
    assert_eq!(sweep.cases, [Found::from(&got)], "both say the same time, or it would be news for ever");
    assert!(got.updated_at > Some(before));
}

#[tokio::test]
async fn a_file_that_is_not_allowed_can_never_be_taken() {
    let settings = SandboxServiceNowSettings {
        attachment_extensions: vec!["png".to_owned()],
        ..SandboxServiceNowSettings::default()
    };
    let crm = start(settings, |_| {}).await;
    let id = flagged(&crm, "files");
    crm.adapter.upload(&id, new_attachment("a.png")).await.unwrap();
    let error = crm.adapter.upload(&id, new_attachment("a.exe")).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unacceptable, "{error}");
    assert_eq!(crm.adapter.attachments(&id, None).await.unwrap().len(), 1);
}

// ---------------------------------------------------------------- closing, opening, priority

#[tokio::test]
async fn what_is_mandatory_for_closing_is_named_with_the_key_to_set() {
    let lacking = |ours: &mut ServiceNowSettings| {
        let given = [("close_code", "Duplicate"), ("close_notes", "")];
        ours.close_fields = Some(given.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    };
    let crm = start(SandboxServiceNowSettings::default(), lacking).await;
    let id = flagged(&crm, "close me");
    let error = crm.adapter.close(&id).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::Refused, Some(403)), "{error}");
    for part in ["Data Policy Exception", "Resolution notes"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert_eq!(error.hint.as_deref(), Some("give a value for each in company.servicenow.close_fields"));
    let crm = incidents().await;
    let id = flagged(&crm, "close me");
    crm.adapter.close(&id).await.unwrap();
    let record = crm.servicenow.record(&id).unwrap();
    assert_eq!((record.state_label.as_str(), record.close_notes.is_empty()), ("Resolved", false));
}

#[tokio::test]
async fn resolved_can_be_opened_again_and_closed_takes_nothing_and_says_so() {
    let crm = incidents().await;
    let id = flagged(&crm, "open me");
    crm.adapter.close(&id).await.unwrap();
    crm.adapter.reopen(&id).await.unwrap();
    assert_eq!(crm.servicenow.record(&id).unwrap().state_label, "In Progress");
    crm.servicenow.close(&id).unwrap();
    assert!(crm.adapter.get(&id).await.unwrap().unwrap().closed);
    crm.adapter.close(&id).await.unwrap();
    let error = crm.adapter.reopen(&id).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unsupported, "{error}");
    assert!(error.message.contains("Create a new one"), "{error}");
    let error = crm.adapter.add_comment(&id, &new_comment("late", Visibility::Public)).await.unwrap_err();
    assert!(!error.may_have_happened(), "{error}");
}

#[tokio::test]
async fn a_priority_is_made_of_impact_and_urgency_and_checked_afterwards() {
    let crm = incidents().await;
    let id = flagged(&crm, "urgent");
    crm.adapter.set_priority(&id, Priority::P0).await.unwrap();
    assert_eq!(crm.servicenow.record(&id).unwrap().priority, "1");
    let wrong = |ours: &mut ServiceNowSettings| {
        let same = ImpactAndUrgency { impact: 3, urgency: 3 };
        ours.impact_and_urgency = Some((1..=5).map(|priority| (priority.to_string(), same)).collect());
    };
    let crm = start(SandboxServiceNowSettings::default(), wrong).await;
    let id = flagged(&crm, "urgent");
    let error = crm.adapter.set_priority(&id, Priority::P0).await.unwrap_err();
    assert!(error.message.contains("company.servicenow.impact_and_urgency"), "{error}");
}

#[tokio::test]
async fn a_priority_that_is_put_back_is_an_error_and_none_is_unset() {
    let crm = incidents().await;
    let id = flagged(&crm, "stubborn");
    crm.servicenow.set_switches(SandboxServiceNowSwitches {
        keeps_priorities: true,
        ..SandboxServiceNowSwitches::default()
    });
    let error = crm.adapter.set_priority(&id, Priority::P0).await.unwrap_err();
    assert_eq!((error.kind, error.is_for_good()), (ApiErrorKind::Refused, true), "{error}");
    for part in ["priority is \"3\" where \"1\" was asked for", "impact_and_urgency", "business rule"] {
        assert!(error.message.contains(part), "{error}");
    }
    crm.servicenow.set_switches(SandboxServiceNowSwitches::default());
    crm.adapter.set_priority(&id, Priority::P0).await.unwrap();
    for priority in ["\"\"", "null"] {
        let row = format!(
            "{{\"sys_id\": \"{id}\", \"u_synchronize_with_google_cloud_support\": \"true\", \"u_google_case_name\": \"\", \
             \"priority\": {priority}}}"
        );
        let answer = Effect::ErrorBefore { status: 200, body: Some(format!("{{\"result\": {row}}}")) };
        let fault =
            crm.servicenow.faults().add(Fault::always(answer).on("GET", &format!("/table/incident/{id}")));
        assert_eq!(
            crm.adapter.get(&id).await.unwrap().unwrap().priority,
            PriorityReading::Unset,
            "{priority}"
        );
        crm.servicenow.faults().remove(fault);
    }
}

#[tokio::test]
async fn a_record_that_is_gone_for_a_while_is_none_and_then_back() {
    let crm = incidents().await;
    let id = flagged(&crm, "hide and seek");
    crm.servicenow.comment(&id, "Jane Roe", "hello").unwrap();
    for left_out in [false, true] {
        let gone = |gone| {
            if left_out {
                crm.servicenow.set_left_out(&id, gone)
            } else {
                crm.servicenow.set_visible(&id, !gone)
            }
        };
        gone(true).unwrap();
        assert_eq!(crm.adapter.get(&id).await.unwrap(), None);
        let since = crm.clock.now() - Duration::minutes(5);
        let sweep = crm.adapter.search_updated(since).await;
        // A record that a query rule leaves out is not counted, so only a request for the record itself shows that it is missing.
        assert_eq!(sweep.map(|sweep| sweep.cases.len()).ok(), left_out.then_some(0));
        gone(false).unwrap();
        assert_eq!(crm.adapter.get(&id).await.unwrap().map(|case| case.id), Some(id.clone()));
        assert_eq!(crm.adapter.comments(&id, None).await.unwrap().len(), 1);
    }
}

// ---------------------------------------------------------------- rate limit, permissions, check

#[tokio::test]
async fn a_rate_limit_is_waited_for_if_it_is_short_and_left_to_the_queue_if_not() {
    let crm = incidents().await;
    let id = flagged(&crm, "busy");
    let limited = |seconds: &str| Effect::RateLimited { retry_after: seconds.to_owned() };
    crm.servicenow.faults().add(Fault::always(limited("1")).on("PATCH", "/table/").times(1));
    crm.adapter.add_comment(&id, &new_comment("soon", Visibility::Public)).await.unwrap();
    crm.servicenow.faults().add(Fault::always(limited("3000")).on("PATCH", "/table/").times(1));
    let error = crm.adapter.add_comment(&id, &new_comment("later", Visibility::Public)).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::NotApplied, Some(429)), "{error}");
    let settings =
        SandboxServiceNowSettings { requests_per_hour: Some(2), ..SandboxServiceNowSettings::default() };
    let crm = start(settings, |ours| ours.user = Some("casebridge".to_owned())).await;
    let id = flagged(&crm, "busy");
    crm.adapter.get(&id).await.unwrap();
    let error = crm.adapter.get(&id).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::NotApplied, Some(429)), "{error}");
    // No further call is made before the hour is over (R37).
    crm.servicenow.faults().clear_calls();
    let error = crm.adapter.get(&id).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::NotApplied, None), "{error}");
    assert!(error.to_string().contains("no call before"), "{error}");
    assert_eq!(crm.servicenow.faults().calls().len(), 0);
}

#[tokio::test]
async fn wrong_credentials_a_wrong_table_and_a_wrong_user_are_told_with_what_to_do() {
    let basic = || SandboxServiceNowSettings {
        auth: SandboxServiceNowAuth::Basic { user: "casebridge".to_owned(), password: "right".to_owned() },
        ..SandboxServiceNowSettings::default()
    };
    let crm = start(basic(), |_| {}).await;
    assert!(
        crm.adapter.check(Needs::all(Visibility::Internal)).await.iter().all(|check| check.result().is_ok())
    );
    let bearer = |ours: &mut ServiceNowSettings| {
        ours.password = None;
        ours.oauth_token = Some("env:SECRET".to_owned());
    };
    let crm = start(basic(), bearer).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "credentials").unwrap_err().contains("company.servicenow.oauth_token"));
    let other = |ours: &mut ServiceNowSettings| {
        ours.table = "u_ticket".to_owned();
        ours.closed_states = Some(vec!["7".to_owned()]);
        ours.close_state = Some("7".to_owned());
        ours.reopen_state = Some("1".to_owned());
        ours.impact_and_urgency = Some([].into());
    };
    let crm = start(SandboxServiceNowSettings::default(), other).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "credentials").unwrap_err().contains("company.servicenow.table"));
    let stranger = |ours: &mut ServiceNowSettings| ours.user = Some("abel.tuter".to_owned());
    let crm = start(SandboxServiceNowSettings::default(), stranger).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "user").unwrap_err().contains("give casebridge"), "{checks:?}");
}

#[tokio::test]
async fn what_is_configured_and_does_not_exist_is_named_with_its_key() {
    let odd = |ours: &mut ServiceNowSettings| {
        ours.close_state = Some("66".to_owned());
        ours.closed_states = Some(vec!["66".to_owned()]);
        ours.close_fields = Some([("close_code".to_owned(), "Solved (Permanently)".to_owned())].into());
    };
    let crm = start(SandboxServiceNowSettings::default(), odd).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    for (what, key) in [
        ("state that closes", "company.servicenow.close_state"),
        ("close_code", "company.servicenow.close_fields.close_code"),
    ] {
        let problem = line(&checks, what).unwrap_err();
        assert!(problem.contains(key) && problem.contains("one of"), "{problem}");
    }
    assert!(line(&checks, "priorities").is_ok());
}

#[tokio::test]
async fn each_failure_of_a_check_says_what_to_change_and_where() {
    type Setup = fn(&mut SandboxServiceNowSettings, &mut ServiceNowSettings);
    /// Path, status and body of an answer in place of the sandbox's own.
    type Answer = Option<(&'static str, u16, Value)>;
    const ALL: Needs = Needs::all(Visibility::Internal);
    let same: Setup = |_, _| ();
    let (flag, name) = ("u_synchronize_with_google_cloud_support", "u_google_case_name");
    let entry = |number: u8, element: &str, kind: &str, length: u16, read_only: bool| {
        json!({
            "sys_id": format!("{number:032x}"), "name": "incident", "element": element, "internal_type": kind,
            "max_length": length.to_string(), "read_only": read_only.to_string(),
        })
    };
    let dictionary = |flag, name| Some(("/table/sys_dictionary", 200, json!({"result": [flag, name]})));
    let sound = (entry(1, flag, "boolean", 40, false), entry(2, name, "string", 255, false));
    let refused = json!({"error": {"message": "User Not Authorized", "detail": null}, "status": "failure"});
    let cases: [(Setup, Answer, &str, &str); 21] = [
        (
            same,
            Some(("/table/", 403, refused.clone())),
            "credentials",
            "give the connector's user a role that reads the table",
        ),
        (
            same,
            Some(("/table/", 401, refused.clone())),
            "credentials",
            "company.servicenow.client_id and company.servicenow.client_secret",
        ),
        (|sandbox, _| sandbox.has_columns = false, None, "columns", "company.servicenow.flag_field"),
        (
            same,
            dictionary(entry(1, flag, "string", 40, false), sound.1.clone()),
            "columns",
            "create one of the type True/False",
        ),
        (
            same,
            dictionary(sound.0.clone(), entry(2, name, "integer", 40, false)),
            "columns",
            "company.servicenow.google_name_field",
        ),
        (
            same,
            dictionary(sound.0.clone(), entry(2, name, "string", 40, false)),
            "columns",
            "String with 255 characters",
        ),
        (
            same,
            dictionary(sound.0.clone(), entry(2, name, "string", 255, true)),
            "columns",
            "is read-only; take that away",
        ),
        (
            |sandbox, _| sandbox.reads_journals = false,
            None,
            "comments",
            "read ACL on the table sys_journal_field",
        ),
        (
            |_, ours| ours.comment_limit = 8_000,
            None,
            "lengths",
            "set company.servicenow.comment_limit to 4000",
        ),
        (
            |_, ours| ours.new_fields = [("caller".to_owned(), "x".to_owned())].into(),
            None,
            "columns of new cases",
            "correct company.servicenow.new_fields (\"caller_id\" in place of \"caller\")",
        ),
        (
            |_, ours| ours.flag_field = "synchronizewithgooglecloudsupport".to_owned(),
            None,
            "columns",
            "give \"u_synchronize_with_google_cloud_support\" in company.servicenow.flag_field",
        ),
        (
            |_, ours| ours.google_name_field = "Google case name".to_owned(),
            None,
            "columns",
            "give \"u_google_case_name\" in company.servicenow.google_name_field in place of \"Google case name\"",
        ),
        (
            |_, ours| ours.new_fields = [("Caller".to_owned(), "x".to_owned())].into(),
            None,
            "columns",
            "give \"caller_id\" in company.servicenow.new_fields",
        ),
        (
            |_, ours| ours.new_fields = [("caller_id".to_owned(), "Abel Tuter".to_owned())].into(),
            None,
            "columns of new cases",
            "write the sys_id of one of these for caller_id in company.servicenow.new_fields: ",
        ),
        (
            |_, ours| ours.close_fields = Some([("close_note".to_owned(), "x".to_owned())].into()),
            None,
            "columns of closing",
            "correct company.servicenow.close_fields",
        ),
        (
            |_, ours| ours.close_fields = Some([("close_code".to_owned(), "Solved".to_owned())].into()),
            None,
            "close_code",
            "set company.servicenow.close_fields.close_code to one of",
        ),
        (
            |_, ours| ours.reopen_state = Some("11".to_owned()),
            None,
            "opens again",
            "set company.servicenow.reopen_state to one of",
        ),
        (
            same,
            Some((
                "elementINpriority",
                200,
                json!({"result": [
                    {"sys_id": "0123456789abcdef0123456789abcdef", "name": "incident", "element": "priority", "value": "1", "label": "High"},
                ]}),
            )),
            "priorities",
            "priorities.P1 = \"2\"",
        ),
        (
            |_, ours| ours.attachment_limit_mib = 2_000,
            None,
            "attachments",
            "company.servicenow.attachment_limit_mib to 1024",
        ),
        (same, Some(("/attachment", 403, refused)), "attachments", "a role that reads sys_attachment"),
        (|_, ours| ours.user = Some("abel.tuter".to_owned()), None, "user", "give casebridge"),
    ];
    for (setup, answer, what, hint) in cases {
        let mut sandbox = SandboxServiceNowSettings::default();
        setup(&mut sandbox, &mut ServiceNowSettings::default());
        let crm = start(sandbox, |ours| setup(&mut SandboxServiceNowSettings::default(), ours)).await;
        let id = flagged(&crm, "a case");
        crm.servicenow.comment(&id, "Jane Roe", "a comment").unwrap();
        if let Some((path, status, answer)) = answer {
            let said = Effect::ErrorBefore { status, body: Some(answer.to_string()) };
            crm.servicenow.faults().add(Fault::always(said).on("GET", path));
        }
        let checks = casebridge::tasks::check_system(&crm.adapter, ALL, crm.clock.now()).await;
        let problem = line(&checks, what).expect_err(hint);
        assert!(problem.contains(hint), "{what}: {problem}");
        let failed: Vec<&Check> = checks.iter().filter(|check| check.status == CheckStatus::Failed).collect();
        assert!(failed.len() <= 1, "one mistake: {failed:#?}");
        let writes = crm.servicenow.faults().calls().iter().filter(|call| call.method != "GET").count();
        assert_eq!(writes, 0, "a check changes nothing");
    }
}

/// `sys_id`s of the sandbox's group, user, configuration item and service.
const CLOUD: &str = "287ebd7da9fe198100f92cc8d1d2154e";
const CASEBRIDGE: &str = "6816f79cc0a8016401c5a33be04be441";
const BOND_TRADING: &str = "b0cb50c3c0a8000e01bd6b5e6a4c8b40";
const EMAIL: &str = "27d32778c0a8000b00db970eeaa60f16";

/// Returns the findings about a value in `new_fields`, in `close_fields` and in a route.
async fn findings(
    settings: &SandboxServiceNowSettings,
    column: &str,
    value: &str,
    prepare: impl Fn(&Running),
) -> Vec<(&'static str, Check)> {
    let fields = || [(column.to_owned(), value.to_owned())].into();
    let crm = start(settings.clone(), |ours| {
        ours.new_fields = fields();
        ours.close_fields = Some(fields());
    })
    .await;
    flagged(&crm, "a case");
    prepare(&crm);
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let route = Placement { fields: [(column.to_owned(), json!(value))].into(), ..Placement::default() };
    let placed = Check::new("route", crm.adapter.check_placement(&route).await);
    let of = |what: &str| checks.iter().find(|check| check.what.contains(what)).unwrap().clone();
    vec![
        ("company.servicenow.new_fields", of("columns of new cases")),
        ("company.servicenow.close_fields", of("columns of closing")),
        ("the route's set", placed),
    ]
}

#[tokio::test]
async fn a_reference_by_name_is_told_with_the_sys_id_to_write() {
    let administrator = SandboxServiceNowSettings::default();
    // The columns of the base system are known without the dictionary.
    let agent = SandboxServiceNowSettings { reads_setup: false, ..SandboxServiceNowSettings::default() };
    for (column, value, id, name) in [
        ("assignment_group", "Cloud", CLOUD, "Cloud"),
        ("assigned_to", "Casebridge", CASEBRIDGE, "Casebridge"),
        ("caller_id", "casebridge", CASEBRIDGE, "Casebridge"),
        ("caller_id", "casebridge@example.com", CASEBRIDGE, "Casebridge"),
        ("cmdb_ci", "Bond Trading", BOND_TRADING, "Bond Trading"),
        ("business_service", " Email ", EMAIL, "Email"),
    ] {
        for settings in [&administrator, &agent] {
            for (place, check) in findings(settings, column, value, |_| ()).await {
                let told = check.result().unwrap_or_else(|text| text);
                assert_eq!(check.status, CheckStatus::Failed, "{place}: {told}");
                let hint = format!("write {id} ({name}) for {column} in {place}");
                assert!(told.contains(&hint) && told.contains("would look empty"), "{hint}: {told}");
            }
            for (place, check) in findings(settings, column, id, |_| ()).await {
                assert_eq!(check.status, CheckStatus::Ok, "{place}: {check:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_reference_to_nothing_is_told_with_what_there_is() {
    use CheckStatus::{Failed, Warn};
    let settings = SandboxServiceNowSettings::default();
    let group = |number: u8, name: &str, active: bool| json!({"sys_id": format!("{number:032x}"), "name": name, "active": active.to_string()});
    let refused =
        (403, json!({"error": {"message": "User Not Authorized", "detail": null}, "status": "failure"}));
    let groups = |groups: Value| Some((200, json!({"result": groups})));
    let many: Vec<Value> = (0..30).map(|number| group(number, &format!("Team {number}"), true)).collect();
    let none = format!("{:032x}", 0xff);
    let network = format!("{:032x}", 7);
    for (value, answer, status, parts) in [
        (
            none.as_str(),
            None,
            Failed,
            ["sys_user_group has no record", "of one of these for assignment_group in"],
        ),
        ("Network", None, Failed, ["has no record \"Network\"", "287ebd7da9fe198100f92cc8d1d2154e (Cloud)"]),
        // Too many to name.
        ("Network", groups(json!(many)), Failed, ["has no record \"Network\"", "Copy sys_id"]),
        // Two of the same name.
        (
            "Network",
            groups(json!([group(7, "Network", true), group(8, "network", true)])),
            Failed,
            ["00007 (Network) or 0", "8 (network) for assignment_group"],
        ),
        (
            &network,
            groups(json!([group(7, "Network", false)])),
            Warn,
            ["(Network) of sys_user_group", "is inactive"],
        ),
        (
            &network,
            Some(refused.clone()),
            Warn,
            ["could not be looked up", "a role that reads sys_user_group"],
        ),
        (
            "Network",
            Some(refused),
            Warn,
            ["not \"Network\", and sys_user_group cannot be read", "Copy sys_id"],
        ),
        // Hidden records look like none.
        ("Network", groups(json!([])), Warn, ["sys_user_group cannot be read", "Copy sys_id"]),
    ] {
        let prepare = |crm: &Running| {
            if let Some((status, body)) = &answer {
                let said = Effect::ErrorBefore { status: *status, body: Some(body.to_string()) };
                crm.servicenow.faults().add(Fault::always(said).on("GET", "/table/sys_user_group"));
            }
        };
        for (place, check) in findings(&settings, "assignment_group", value, prepare).await {
            let told = check.result().unwrap_or_else(|text| text);
            assert_eq!(check.status, status, "{place}: {told}");
            assert!(
                told.contains(place) && parts.iter().all(|part| told.contains(part)),
                "{parts:?}: {told}"
            );
        }
    }
}

#[tokio::test]
async fn a_reference_is_looked_up_by_what_its_column_stores() {
    let settings = SandboxServiceNowSettings::default();
    // The dictionary of an instance on which the category is another kind of column.
    let category = |kind: &str, key: &str| {
        json!({"result": [{
            "sys_id": format!("{:032x}", 1), "name": "incident", "element": "category", "internal_type": kind,
            "max_length": "40", "read_only": "false", "reference": "sys_user", "reference_key": key,
        }]})
    };
    let some = |values: &str| values.replace("ID", CASEBRIDGE);
    let (list, by_name) = (category("glide_list", ""), category("reference", "user_name"));
    for (dictionary, value, hint) in [
        (&list, some("ID, ID"), None),
        (&list, some("ID,jane@example.com"), None),
        (&list, some("ID, Guest"), Some("write 5136503cc611227c0183e96598c4f706 (Guest) for category")),
        (&by_name, "casebridge".to_owned(), None),
        (&by_name, "guest@example.com".to_owned(), Some("write guest (Guest) for category")),
        (&by_name, "nobody".to_owned(), Some("write the user_name of one of these for category")),
    ] {
        let said = Effect::ErrorBefore { status: 200, body: Some(dictionary.to_string()) };
        let prepare = |crm: &Running| {
            crm.servicenow.faults().add(Fault::always(said.clone()).on("GET", "/table/sys_dictionary"));
        };
        for (place, check) in findings(&settings, "category", &value, prepare).await {
            let told = check.result().unwrap_or_else(|text| text);
            let status = if hint.is_some() { CheckStatus::Failed } else { CheckStatus::Ok };
            assert_eq!(check.status, status, "{place}: {told}");
            assert!(hint.is_none_or(|hint| told.contains(hint)), "{told}");
        }
    }
}

#[tokio::test]
async fn a_choice_by_label_is_told_with_its_value() {
    use CheckStatus::{Failed, Ok as Fine, Warn};
    let settings = SandboxServiceNowSettings::default();
    for (column, value, status, parts) in [
        ("category", "network", Fine, ["category", ""]),
        ("category", " network", Fine, ["category", ""]),
        (
            "category",
            "Inquiry / help",
            Failed,
            ["the label of \"inquiry\"", "to \"inquiry\" (Inquiry / Help), or"],
        ),
        (
            "category",
            "printers",
            Warn,
            ["no choice \"printers\"", "one of \"database\" (Database), \"hardware\""],
        ),
        ("impact", "High", Failed, ["the label of \"1\"", "set impact in"]),
    ] {
        for (place, check) in findings(&settings, column, value, |_| ()).await {
            let told = check.result().unwrap_or_else(|text| text);
            assert_eq!(check.status, status, "{place}: {told}");
            assert!(parts.iter().all(|part| told.contains(part)), "{parts:?}: {told}");
        }
    }
}

#[tokio::test]
async fn a_state_or_a_code_by_label_is_told_with_its_value() {
    use CheckStatus::{Failed, Ok as Fine, Warn};
    type Setup = fn(&mut ServiceNowSettings);
    let cases: [(Setup, &str, CheckStatus, [&str; 2]); 10] = [
        (
            |ours| ours.close_state = Some("Resolved".to_owned()),
            "state that closes",
            Failed,
            [
                "\"Resolved\": that is the label of \"6\"",
                "\"6\" (Resolved), \"7\" (Closed), \"8\" (Canceled)",
            ],
        ),
        (
            |ours| ours.reopen_state = Some("in progress".to_owned()),
            "state that opens again",
            Failed,
            [
                "the label of \"2\"",
                "set company.servicenow.reopen_state to \"2\" (In Progress), or to another one of",
            ],
        ),
        (
            |ours| ours.closed_states = Some(["6", "Closed"].map(str::to_owned).into()),
            "states that count as closed",
            Failed,
            ["the label of \"7\"", "set the entry in company.servicenow.closed_states to \"7\" (Closed)"],
        ),
        (
            |ours| ours.closed_states = Some(["6", "9"].map(str::to_owned).into()),
            "states that count as closed",
            Warn,
            [
                "no choice \"9\"",
                "company.servicenow.closed_states to one of \"1\" (New), \"2\" (In Progress)",
            ],
        ),
        (
            |ours| ours.cancelled_states = Some(vec!["Canceled".to_owned()]),
            "states that count as closed",
            Failed,
            ["the label of \"8\"", "company.servicenow.cancelled_states"],
        ),
        (
            |ours| ours.cancelled_states = Some(vec!["8".to_owned()]),
            "states that count as closed",
            Fine,
            ["8", ""],
        ),
        (
            |ours| ours.duplicate_codes = Some(vec!["Twice".to_owned()]),
            "how cases are closed",
            Warn,
            [
                "close_code has no choice \"Twice\"",
                "company.servicenow.duplicate_codes to one of \"Duplicate\"",
            ],
        ),
        (
            |ours| {
                CUSTOMER_CASE.clone_into(&mut ours.table);
                ours.cancelled_codes = Some(vec!["Void/Cancelled/Duplicate Case".to_owned()]);
            },
            "how cases are closed",
            Failed,
            [
                "the label of \"3\"",
                "company.servicenow.cancelled_codes to \"3\" (Void/Cancelled/Duplicate Case)",
            ],
        ),
        (
            |ours| {
                CUSTOMER_CASE.clone_into(&mut ours.table);
                let code = ("resolution_code".to_owned(), "Solved - Fixed by Customer".to_owned());
                ours.close_fields = Some([code].into());
            },
            "resolution_code",
            Failed,
            ["the label of \"2\"", "set company.servicenow.close_fields.resolution_code to \"2\" (Solved"],
        ),
        (
            |ours| {
                let mut table = ours.impact_and_urgency.take().unwrap_or_default();
                for priority in 1..=5 {
                    table.insert(priority.to_string(), ImpactAndUrgency { impact: priority, urgency: 1 });
                }
                ours.impact_and_urgency = Some(table);
            },
            "priorities",
            Warn,
            [
                "impact has no choice \"4\"",
                "impact in company.servicenow.impact_and_urgency.4 to one of \"1\" (High)",
            ],
        ),
    ];
    for (setup, what, status, parts) in cases {
        let crm = start(SandboxServiceNowSettings::default(), setup).await;
        flagged(&crm, "a case");
        let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
        let found = checks.iter().find(|check| check.what.contains(what)).unwrap();
        let told = found.result().unwrap_or_else(|text| text);
        assert_eq!(found.status, status, "{told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{parts:?}: {told}");
        let failed: Vec<&Check> = checks.iter().filter(|check| check.status == CheckStatus::Failed).collect();
        assert!(failed.len() <= 1, "one mistake: {failed:#?}");
    }
    // A label that is in both places is one mistake.
    let twice = |ours: &mut ServiceNowSettings| {
        ours.close_state = Some("Resolved".to_owned());
        ours.closed_states = Some(vec!["Resolved".to_owned()]);
    };
    let crm = start(SandboxServiceNowSettings::default(), twice).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert_eq!(checks.iter().filter(|check| check.status == CheckStatus::Failed).count(), 1, "{checks:#?}");
}

#[tokio::test]
async fn the_states_of_another_table_are_named() {
    let all = "\"101\" (New), \"102\" (Assess), \"103\" (Root Cause Analysis), \"104\" (Fix in Progress), \"106\" (Resolved), \
               \"107\" (Closed)";
    let problem = |ours: &mut ServiceNowSettings| PROBLEM.clone_into(&mut ours.table);
    // Without states, and with those of incidents.
    for given in [false, true] {
        let crm = start(SandboxServiceNowSettings::default(), |ours| {
            problem(ours);
            if given {
                ours.closed_states = Some(["6", "7"].map(str::to_owned).into());
                ours.close_state = Some("6".to_owned());
                ours.reopen_state = Some("2".to_owned());
            }
        })
        .await;
        crm.servicenow.create_record(&NewRecord { table: PROBLEM, ..NewRecord::flagged("x") }).unwrap();
        let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
        for (what, key) in [
            ("state that closes", "company.servicenow.close_state"),
            ("states that count as closed", "company.servicenow.closed_states"),
            ("state that opens again", "company.servicenow.reopen_state"),
        ] {
            let told = line(&checks, what).unwrap_err();
            assert!(told.contains(key) && told.contains(all), "{what}: {told}");
            assert_eq!(told.contains(&format!("{key} is missing")), !given, "{what}: {told}");
        }
    }
    let crm = start(SandboxServiceNowSettings::default(), |ours| {
        problem(ours);
        ours.closed_states = Some(["106", "107"].map(str::to_owned).into());
        ours.close_state = Some("106".to_owned());
        ours.reopen_state = Some("104".to_owned());
    })
    .await;
    let id = crm.servicenow.create_record(&NewRecord { table: PROBLEM, ..NewRecord::flagged("x") }).unwrap();
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    for (what, expected) in [
        ("state that closes", "\"106\" (Resolved)"),
        ("states that count as closed", "106, 107"),
        ("state that opens again", "\"104\" (Fix in Progress)"),
    ] {
        assert_eq!(line(&checks, what).unwrap(), expected, "{what}");
    }
    crm.servicenow.resolve(&id).unwrap();
    assert!(crm.adapter.get(&id).await.unwrap().unwrap().closed);
}

#[tokio::test]
async fn records_that_the_user_may_not_read_are_not_taken_for_none() {
    let crm = incidents().await;
    let id = flagged(&crm, "hidden");
    crm.servicenow.set_visible(&id, false).unwrap();
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "columns").unwrap_err();
    assert!(problem.contains("may read none of them; give it a role that does"), "{problem}");
    let untried = line(&checks, "search for flagged cases").unwrap_err();
    assert_eq!(untried, "not tried; see the line \"ServiceNow: columns\"");
    assert_eq!(checks.iter().filter(|check| check.status == CheckStatus::Failed).count(), 1, "{checks:#?}");
}

#[tokio::test]
async fn a_check_leaves_out_what_is_switched_off_and_says_what_it_could_not_look_up() {
    let settings =
        SandboxServiceNowSettings { attachment_limit: 1024 * 1024, ..SandboxServiceNowSettings::default() };
    let odd = |ours: &mut ServiceNowSettings| ours.reopen_state = Some("11".to_owned());
    let crm = start(settings, odd).await;
    flagged(&crm, "a case");
    let all = Needs::all(Visibility::Public);
    let is_trouble = |check: &Check| check.status != CheckStatus::Ok;
    let failed = async |needs| crm.adapter.check(needs).await.into_iter().filter(is_trouble).count();
    assert_eq!(failed(all).await, 2);
    assert_eq!(failed(Needs { status: false, ..all }).await, 1);
    assert_eq!(failed(Needs { status: false, attachments: false, ..all }).await, 0);
    let settings = SandboxServiceNowSettings {
        reads_choices: false,
        reads_setup: false,
        ..SandboxServiceNowSettings::default()
    };
    let crm = start(settings, |_| {}).await;
    flagged(&crm, "a case");
    let checks = crm.adapter.check(all).await;
    let unseen = |check: &&Check| {
        let found = check.result().unwrap();
        found.contains("not looked up") || found.contains("not compared")
    };
    assert_eq!(checks.iter().filter(unseen).count(), 8, "{checks:#?}");
}

#[tokio::test]
async fn a_case_that_is_not_there_is_told_from_a_wrong_address() {
    let crm = incidents().await;
    assert_eq!(crm.adapter.get("0123456789abcdef0123456789abcdef").await.unwrap(), None);
    assert_eq!(crm.adapter.get("INC0010001").await.unwrap(), None, "no sys_id");
    let gone = Effect::ErrorBefore { status: 404, body: Some("not here".to_owned()) };
    crm.servicenow.faults().add(Fault::always(gone));
    assert!(crm.adapter.get("0123456789abcdef0123456789abcdef").await.is_err());
}

#[tokio::test]
async fn what_cannot_be_understood_is_skipped_and_named() {
    let crm = incidents().await;
    let body = r#"{"result": [{"number": "INC1"}, [], {"sys_id": "0123456789abcdef0123456789abcdef",
        "u_synchronize_with_google_cloud_support": "true", "u_google_case_name": "", "sys_updated_on": "soon"}]}"#;
    let answer = Effect::ErrorBefore { status: 200, body: Some(body.to_owned()) };
    crm.servicenow.faults().add(Fault::always(answer).on("GET", "/table/incident?").times(1));
    let sweep = crm.adapter.search_updated(crm.clock.now()).await.unwrap();
    assert_eq!(sweep.skipped, ["record INC1: sys_id is missing", "a record without sys_id"]);
    assert_eq!(sweep.cases.len(), 1, "an unknown time is no reason to leave it out");
}

#[tokio::test]
async fn a_status_is_a_state_by_its_value_or_by_its_label_where_that_can_be_looked_up() {
    let change = |ours: &mut ServiceNowSettings| ours.google_state_field = Some("u_google_state".to_owned());
    let crm = start(SandboxServiceNowSettings::default(), change).await;
    let id = crm.person_creates("Waits", "", true).await;
    let case = async || crm.adapter.get(&id).await.unwrap().unwrap();
    for (wanted, value) in [("in progress", "2"), ("3", "3"), (" On Hold", "3"), ("1", "1")] {
        crm.adapter.set_status(&id, wanted).await.unwrap();
        assert_eq!(crm.servicenow.record(&id).unwrap().state, value, "{wanted}");
    }
    assert_eq!(case().await.status, ["1"]);
    assert_eq!(crm.adapter.status_names(&case().await).await.unwrap(), ["1", "New"]);
    for (wanted, part) in [
        ("Resolved", "means that the record is closed"),
        ("7", "means that the record is closed"),
        ("Awaiting Vendor", "no choice \"Awaiting Vendor\""),
    ] {
        let error = crm.adapter.set_status(&id, wanted).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
        assert!(error.message.contains(part), "{wanted}: {error}");
    }
    assert_eq!(case().await.state_text.as_deref(), Some(""));
    crm.adapter.show_state(&id, "Waiting for you (action required)").await.unwrap();
    assert_eq!(case().await.state_text.as_deref(), Some("Waiting for you (action required)"));
    // The column is too short for such a text, and ServiceNow cuts it without a word.
    let error = crm.adapter.show_state(&id, &"x".repeat(101)).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    assert!(error.message.contains("company.servicenow.google_state_field"), "{error}");
    let statuses = crm.adapter.statuses().await.unwrap();
    let closed: Vec<&str> =
        statuses.known.iter().filter(|known| known.closed).map(|known| known.names[1].as_str()).collect();
    assert_eq!((statuses.complete, closed), (true, vec!["Resolved", "Closed", "Canceled"]));
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let column = checks.iter().find(|check| check.what.contains("column for Google's state")).unwrap();
    assert_eq!((column.status, column.detail.as_str()), (CheckStatus::Ok, "u_google_state (100 characters)"));
    crm.person_closes(&id).await;
    let error = crm.adapter.set_status(&id, "2").await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ApiErrorKind::Refused, "the record was closed meanwhile")
    );

    // Without the right to read the choices, only a value can be told.
    let blind = SandboxServiceNowSettings { reads_choices: false, ..SandboxServiceNowSettings::default() };
    let blind = start(blind, |ours| ours.google_state_field = Some("u_no_such_column".to_owned())).await;
    let id = blind.person_creates("Waits", "", true).await;
    blind.adapter.set_status(&id, "2").await.unwrap();
    assert_eq!(blind.servicenow.record(&id).unwrap().state, "2");
    let error = blind.adapter.set_status(&id, "On Hold").await.unwrap_err();
    assert!(error.message.contains("give the value"), "{error}");
    let error = blind.adapter.show_state(&id, "x").await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
    assert_eq!(blind.adapter.statuses().await.unwrap().known, []);
    let checks = blind.adapter.check(Needs::all(Visibility::Internal)).await;
    let column = checks.iter().find(|check| check.what.contains("column for Google's state")).unwrap();
    assert_eq!(column.status, CheckStatus::Failed, "{column:?}");
}

#[tokio::test]
async fn a_google_case_stands_in_the_correlation_columns_unless_another_integration_uses_them() {
    let crm = start(SandboxServiceNowSettings::default(), |_| ()).await;
    let link = Annotation::Link(CaseLink {
        name: "organizations/1/cases/42".to_owned(),
        number: "42".to_owned(),
        address: "https://console.cloud.google.com/support/cases/detail/v2/42?organizationId=1".to_owned(),
        title: None,
        closed: false,
    });
    let shown = |id: &str| {
        let record = crm.servicenow.record(id).unwrap();
        (record.correlation_id, record.correlation_display)
    };
    let id = crm.person_creates("The disk is full", "", true).await;
    for _ in 0..2 {
        crm.servicenow.faults().clear_calls();
        assert_eq!(crm.adapter.annotate(&id, &link).await.unwrap(), Annotated::Done);
        assert_eq!(shown(&id), ("organizations/1/cases/42".to_owned(), "Google case 42".to_owned()));
    }
    let calls = crm.servicenow.faults().calls();
    assert!(calls.iter().all(|call| call.method == "GET"), "the second time it only reads: {calls:?}");
    for column in ["correlation_id", "correlation_display"] {
        let id = crm.person_creates("Somebody else's", "", true).await;
        crm.servicenow.set_column(&id, column, "SOLMAN-7").unwrap();
        let before = shown(&id);
        assert_eq!(crm.adapter.annotate(&id, &link).await.unwrap(), Annotated::Occupied, "{column}");
        assert_eq!(shown(&id), before);
    }
    // The company case goes on with another Google case. Words of ours that belong to no such name may be somebody's own.
    for (name, display, expected) in [
        ("projects/shop/cases/41", "Google case 41", Annotated::Done),
        ("projects/shop/cases/41", "Google case 40", Annotated::Occupied),
        ("SOLMAN-41", "Google case 41", Annotated::Occupied),
        ("projects/shop/cases/41", "", Annotated::Occupied),
    ] {
        let id = crm.person_creates("The disk is full again", "", true).await;
        crm.servicenow.set_column(&id, "correlation_id", name).unwrap();
        crm.servicenow.set_column(&id, "correlation_display", display).unwrap();
        assert_eq!(crm.adapter.annotate(&id, &link).await.unwrap(), expected, "{name} {display}");
        let now = match expected {
            Annotated::Done => ("organizations/1/cases/42", "Google case 42"),
            Annotated::Occupied | Annotated::Gone => (name, display),
        };
        assert_eq!(shown(&id), (now.0.to_owned(), now.1.to_owned()));
    }
    let label = Annotation::Label { label: "x".to_owned(), present: true };
    let error = crm.adapter.annotate(&id, &label).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unsupported, "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let columns = checks.iter().find(|check| check.what.contains("columns of the link")).unwrap();
    assert_eq!(columns.status, CheckStatus::Ok, "{columns:?}");
}
