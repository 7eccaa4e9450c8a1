//! Jira adapter against the sandbox Jira, over real HTTP: the suite that all CRMs share, and Jira's own traps.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use casebridge::cases::{
    Annotated, Annotation, ApiErrorKind, Attachment, CarriedMark, CaseLink, CaseSystem, Check, CheckStatus,
    Found, Needs, NewCase, NewComment, Placement, Sweep, Visibility,
};
use casebridge::clock::{Clock as _, ManualClock};
use casebridge::crm::CrmKind as _;
use casebridge::crm::PriorityWords;
use casebridge::crm::jira::{Deployment, Jira, JiraSettings};
use casebridge::entities::{GoogleCaseName, Priority, PriorityReading};
use casebridge::outbound::{Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{
    self as sandbox, FlagField, NewIssue, ResolutionOnClosing, SandboxJira, SandboxJiraAuth,
    SandboxJiraSettings, SandboxTimeZone,
};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Duration, Utc};
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};

use casebridge_testkit::contract::crm::{self as suite, CrmUnderTest, crm_contract};
use casebridge_testkit::harness::jira::interpreted;

mod silence;

mod cloud {
    use super::{cloud, crm_contract, suite};

    crm_contract!(suite, cloud());
}

mod cloud_service_management {
    use super::{cloud_service_management, crm_contract, suite};

    crm_contract!(suite, cloud_service_management());
}

mod data_center {
    use super::{crm_contract, data_center, suite};

    crm_contract!(suite, data_center());
}

mod data_center_service_management {
    use super::silence::data_center_service_management;
    use super::{crm_contract, suite};

    crm_contract!(suite, data_center_service_management());
}

mod awkward_data_center {
    use super::{awkward_data_center, crm_contract, suite};

    crm_contract!(suite, awkward_data_center());
}

/// Starts the default setup.
async fn cloud() -> Running {
    start(SandboxJiraSettings::default(), |_| ()).await
}

/// Starts a Jira with internal comments, credentials, short pages and summer time.
async fn cloud_service_management() -> Running {
    let settings = SandboxJiraSettings {
        service_management: true,
        time_zone: SandboxTimeZone::berlin(),
        search_page_limit: 7,
        auth: SandboxJiraAuth::Basic { email: "bot@example.com".to_owned(), token: "s3cret".to_owned() },
        resolution_on_closing: ResolutionOnClosing::NotOnScreen,
        can_reopen: false,
        ..SandboxJiraSettings::default()
    };
    start(settings, |_| ()).await
}

/// Starts the default setup.
async fn data_center() -> Running {
    start(SandboxJiraSettings::data_center(), |_| ()).await
}

/// Starts a Jira in which every setting differs from the default.
async fn awkward_data_center() -> Running {
    let settings = SandboxJiraSettings {
        time_zone: SandboxTimeZone::fixed("Asia/Kathmandu", 345),
        auth: SandboxJiraAuth::Bearer { token: "s3cret".to_owned() },
        flag_field: FlagField::Text,
        priority_on_create_screen: false,
        resolution_on_closing: ResolutionOnClosing::Required,
        time_resolution_ms: 1000,
        search_page_limit: 20,
        attachment_limit: 2 * 1024 * 1024,
        ..SandboxJiraSettings::data_center()
    };
    start(settings, |jira| jira.project = "sup".to_uppercase()).await
}

/// Sandbox Jira, its media host and the adapter, until it is dropped.
struct Running {
    jira: SandboxJira,
    adapter: Jira,
    clock: Arc<ManualClock>,
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

fn words(words: [&str; 5]) -> PriorityWords {
    PriorityWords::new(words.map(str::to_owned)).unwrap()
}

fn usual_words() -> PriorityWords {
    words(["Highest", "High", "Medium", "Low", "Lowest"])
}

async fn serve(router: axum::Router) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (base, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

/// Returns the adapter for a Jira at `base`.
fn connect(
    settings: JiraSettings,
    words: PriorityWords,
    base: &str,
    credentials: Arc<dyn Credentials>,
    clock: &Arc<ManualClock>,
) -> Jira {
    let upstream = UpstreamSettings {
        name: casebridge::crm::jira::NAME,
        base_url: base.parse().unwrap(),
        requests_per_minute: NonZeroU32::new(10_000_000).unwrap(),
        timeout: StdDuration::from_secs(10),
        retry: RetryPolicy {
            attempts: 3,
            first_pause: StdDuration::from_millis(5),
            longest_pause: StdDuration::from_millis(20),
        },
        download_hosts: settings.allowed_download_hosts(),
    };
    let upstream = Upstream::new(upstream, credentials, clock.clone(), Metrics::shared()).unwrap();
    Jira::new(settings, words, upstream, clock.clone())
}

async fn start(settings: SandboxJiraSettings, change: impl FnOnce(&mut JiraSettings)) -> Running {
    start_with(settings, usual_words(), change).await
}

async fn start_with(
    settings: SandboxJiraSettings,
    words: PriorityWords,
    change: impl FnOnce(&mut JiraSettings),
) -> Running {
    let clock = ManualClock::at(noon());
    let jira = SandboxJira::new(clock.clone(), settings);
    let (base, server) = serve(jira.router()).await;
    let (media, media_server) = serve(jira.media_router()).await;
    jira.set_media_base(&media);
    let mut ours = JiraSettings {
        project: "SUP".to_owned(),
        deployment: match jira.settings().deployment {
            sandbox::Deployment::Cloud => Deployment::Cloud,
            sandbox::Deployment::DataCenter => Deployment::DataCenter,
        },
        download_hosts: vec![media.trim_start_matches("http://").to_owned()],
        ..JiraSettings::default()
    };
    let secret = match &jira.settings().auth {
        SandboxJiraAuth::Anyone => None,
        SandboxJiraAuth::Basic { email, token } => {
            ours.email = Some(email.clone());
            ours.api_token = Some("env:TOKEN".to_owned());
            Some(token.clone())
        }
        SandboxJiraAuth::Bearer { token } => {
            ours.personal_access_token = Some("env:TOKEN".to_owned());
            Some(token.clone())
        }
        other => panic!("tests/it/oauth.rs is for {other:?}"),
    };
    change(&mut ours);
    assert_eq!(ours.problems(), Vec::<String>::new());
    let credentials = secret.map_or_else(
        || Arc::new(NoCredentials) as Arc<dyn Credentials>,
        |secret| ours.credentials(&secret, &base.parse().unwrap()).unwrap(),
    );
    let adapter = connect(ours, words, &base, credentials, &clock);
    Running { jira, adapter, clock, servers: vec![server, media_server] }
}

#[async_trait]
impl CrmUnderTest for Running {
    fn system(&self) -> &dyn CaseSystem {
        &self.adapter
    }

    async fn tick(&self) {
        self.clock.advance(Duration::seconds(2));
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn unknown_case(&self) -> String {
        "99999".to_owned()
    }

    async fn person_creates(&self, title: &str, description: &str, flagged: bool) -> String {
        let description = (!description.is_empty()).then(|| description.to_owned());
        self.jira.create_issue(NewIssue { description, flagged, ..NewIssue::new(title) }).unwrap()
    }

    async fn person_comments(&self, case: &str, body: &str, visibility: Visibility) -> String {
        match visibility {
            Visibility::Public => self.jira.comment(case, "Jane Roe", body).unwrap(),
            Visibility::Internal => self.jira.internal_comment(case, "Jane Roe", body).unwrap(),
        }
    }

    async fn person_attaches(&self, case: &str, filename: &str, content: &[u8]) -> String {
        self.jira.attach(case, "Jane Roe", filename, "image/png", content.to_vec()).unwrap()
    }

    async fn person_flags(&self, case: &str, flagged: bool) {
        self.jira.set_flag(case, flagged).unwrap();
    }

    async fn person_sets_priority(&self, case: &str, priority: Priority) {
        self.jira.set_priority(case, usual_words().word(priority)).unwrap();
    }

    async fn person_closes(&self, case: &str) {
        self.jira.transition(case, "Done").unwrap();
    }

    async fn person_deletes(&self, case: &str) {
        self.jira.delete_issue(case).unwrap();
    }

    async fn kept(&self, _case: &str, attachment: &str) -> Option<Vec<u8>> {
        self.jira.attachment_bytes(attachment)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        let issue = self.jira.issue(case).unwrap();
        let texts = issue.comments.into_iter().map(|comment| comment.body).chain(issue.description);
        texts.flat_map(|text| interpreted(&text)).collect()
    }
}

fn new_case(counterpart: &str) -> NewCase {
    NewCase {
        title: "A title".to_owned(),
        description: "A description".to_owned(),
        priority: Some(Priority::P1),
        counterpart: counterpart.to_owned(),
        idempotency_key: "k".to_owned(),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    }
}

fn new_comment(body: &str, visibility: Visibility) -> NewComment {
    NewComment { body: body.to_owned(), visibility, idempotency_key: "k".to_owned() }
}

/// Returns the texts of a line of the check: an error unless it is `ok`.
fn line(checks: &[Check], what: &str) -> Result<String, String> {
    let found = checks.iter().find(|check| check.what.contains(what));
    let found = found.unwrap_or_else(|| panic!("no line about {what} in {checks:?}"));
    let text = found.result().unwrap_or_else(|text| text);
    if found.status == CheckStatus::Ok { Ok(text) } else { Err(text) }
}

// ---------------------------------------------------------------- texts

proptest::proptest! {
    #[test]
    fn no_text_is_interpreted(text in r"([-#*_+?^~|%{}\[\]()!@\\&;:.,'/ \n]|h[1-7]\.|bq\.|:D|\(on|\{code|\[~|[a-c0-9]){0,40}") {
        let wiki = casebridge::crm::jira::markup::escape(&text);
        proptest::prop_assert_eq!(interpreted(&wiki), Vec::<String>::new(), "{}", wiki);
    }
}

#[tokio::test]
async fn what_people_write_is_read_without_markup_and_as_version_0_1_read_it() {
    for (crm, wiki, plain, earlier) in [
        (
            cloud().await,
            "C:\\[x] \\{code} \\[~bob] *bold* {color:red}r{color}",
            "C:\\[x] {code} [~bob] *bold* r",
            "C:\\[x] {code} [~bob] *bold* {color:red}r{color}",
        ),
        (
            data_center().await,
            "\\*no list {code}x{code} C:\\temp",
            "*no list\n```\nx\n```\n C:\\temp",
            "*no list {code}x{code} C:\\temp",
        ),
    ] {
        let id = crm.person_creates("t", wiki, true).await;
        crm.person_comments(&id, wiki, Visibility::Public).await;
        let comment = crm.adapter.comments(&id, None).await.unwrap().remove(0);
        assert_eq!((comment.body.as_str(), comment.earlier_body.as_deref()), (plain, Some(earlier)));
        let case = crm.adapter.get(&id).await.unwrap().unwrap();
        assert_eq!((case.description.as_str(), case.earlier_description.as_deref()), (plain, Some(earlier)));
    }
}

// ---------------------------------------------------------------- searches

#[tokio::test]
async fn a_case_is_found_once_the_index_has_caught_up() {
    let crm = cloud().await;
    let lag = crm.adapter.capabilities().index_lag;
    crm.jira.faults().set_search_lag(lag);
    let since = crm.clock.now();
    let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
    assert_eq!(crm.adapter.find_counterparts(case.counterpart.as_deref().unwrap(), None).await.unwrap(), []);
    assert_eq!(crm.adapter.get(&case.id).await.unwrap(), Some(case.clone()), "by ID it is there at once");
    crm.clock.advance(lag + Duration::seconds(1));
    assert_eq!(
        crm.adapter.find_counterparts("projects/p/cases/2", None).await.unwrap(),
        [Found::from(&case)]
    );
    assert_eq!(crm.adapter.search_updated(since).await.unwrap().cases, [Found::from(&case)]);
}

#[tokio::test]
async fn a_case_that_is_moved_to_another_project_stays_the_same_case() {
    let crm = cloud().await;
    let id = crm.person_creates("wanderer", "", true).await;
    crm.tick().await;
    let since = crm.clock.now();
    let key = crm.jira.move_issue(&id, "OPS").unwrap();
    crm.tick().await;
    let found = crm.adapter.search_updated(since).await.unwrap().cases;
    assert_eq!(found.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().key, Some(key));
}

#[tokio::test]
async fn a_select_field_can_be_the_flag() {
    let settings = SandboxJiraSettings { flag_field: FlagField::Select, ..SandboxJiraSettings::default() };
    let crm = start(settings, |_| ()).await;
    let since = crm.clock.now();
    let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
    assert!(crm.jira.issue(&case.id).unwrap().flagged);
    assert_eq!(crm.adapter.search_updated(since).await.unwrap().cases, [Found::from(&case)]);
}

// ---------------------------------------------------------------- creating

#[tokio::test]
async fn a_created_case_has_its_component_unless_the_project_lacks_it() {
    for (component, expected) in [("Google Cloud", vec!["Google Cloud"]), ("Nowhere", vec![]), ("", vec![])] {
        let crm = start(SandboxJiraSettings::default(), |jira| jira.component = component.to_owned()).await;
        let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
        assert_eq!(crm.jira.issue(&case.id).unwrap().components, expected);
        assert_eq!(crm.jira.issues().len(), 1);
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_may_have_happened_and_is_not_repeated() {
    let crm = cloud().await;
    let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
    let lost = || Fault::always(Effect::HangUpAfter);
    crm.jira.faults().add(lost().on("POST", "/rest/api/2/issue"));
    let error = crm.adapter.create(&new_case("organizations/1/cases/3")).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    let error =
        crm.adapter.add_comment(&case.id, &new_comment("hello", Visibility::Public)).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    crm.jira.faults().clear();
    assert_eq!(crm.jira.issues().len(), 2);
    assert_eq!(crm.adapter.comments(&case.id, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn reads_survive_what_passes() {
    for effect in [
        Effect::RateLimited { retry_after: "0".to_owned() },
        Effect::ErrorBefore { status: 503, body: None },
        Effect::HangUpBefore,
        Effect::TruncateBody { bytes: 20 },
    ] {
        let crm = cloud().await;
        let id = crm.person_creates("t", "", true).await;
        crm.jira.faults().add(Fault::always(effect.clone()).on("GET", "/issue/").times(2));
        let case = crm.adapter.get(&id).await;
        assert!(case.as_ref().is_ok_and(Option::is_some), "{effect:?}: {case:?}");
    }
}

// ---------------------------------------------------------------- permissions

#[tokio::test]
async fn wrong_credentials_are_never_taken_for_a_missing_case() {
    let auth = SandboxJiraAuth::Basic { email: "bot@example.com".to_owned(), token: "right".to_owned() };
    let crm = start(SandboxJiraSettings { auth, ..SandboxJiraSettings::default() }, |jira| {
        jira.email = Some("somebody@example.com".to_owned());
    })
    .await;
    let id = crm.person_creates("t", "", true).await;
    for error in [
        crm.adapter.get(&id).await.unwrap_err(),
        crm.adapter.search_updated(noon()).await.unwrap_err(),
        crm.adapter.set_priority(&id, Priority::P0).await.unwrap_err(),
    ] {
        assert_eq!((error.kind, error.status), (ApiErrorKind::Unauthorized, Some(401)), "{error}");
    }
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "credentials").unwrap_err();
    assert!(problem.contains("company.jira.email and company.jira.api_token"), "{problem}");
}

#[tokio::test]
async fn a_404_counts_only_from_a_jira_that_knows_us() {
    let crm = cloud().await;
    let id = crm.person_creates("t", "", true).await;
    crm.adapter.get(&id).await.unwrap().unwrap();
    crm.jira.set_visible(&id, false).unwrap();
    assert_eq!(crm.adapter.get(&id).await.unwrap(), None, "what may not be seen is not there");
    crm.jira.set_visible(&id, true).unwrap();
    crm.jira
        .faults()
        .add(Fault::always(Effect::ErrorBefore { status: 404, body: Some("<html>".to_owned()) }));
    assert!(crm.adapter.get(&id).await.is_err(), "a maintenance page is no news of the case");
}

#[tokio::test]
async fn a_lacking_right_is_told_from_a_missing_case() {
    let settings = SandboxJiraSettings {
        denied_permissions: ["ADD_COMMENTS".to_owned()].into(),
        ..SandboxJiraSettings::data_center()
    };
    let crm = start(settings, |_| ()).await;
    let id = crm.person_creates("t", "", true).await;
    let error = crm.adapter.add_comment(&id, &new_comment("x", Visibility::Public)).await.unwrap_err();
    assert!(matches!(error.kind, ApiErrorKind::Unauthorized | ApiErrorKind::Refused), "{error}");
    assert!(error.message.contains("permission"), "{error}");
}

// ---------------------------------------------------------------- attachments

async fn attached(crm: &Running, content: &[u8]) -> (String, Attachment) {
    let id = crm.person_creates("t", "", true).await;
    crm.person_attaches(&id, "secret plan.txt", content).await;
    let attachment = crm.adapter.attachments(&id, None).await.unwrap().remove(0);
    (id, attachment)
}

#[tokio::test]
async fn a_download_is_redirected_only_to_hosts_that_are_allowed_for() {
    let crm = start(SandboxJiraSettings::default(), |jira| jira.download_hosts.clear()).await;
    let (id, attachment) = attached(&crm, b"abc").await;
    let error = crm.adapter.download(&id, &attachment).await.err().unwrap();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    assert_eq!(error.to_string().matches("download_hosts").count(), 1, "{error}");
    assert!(error.to_string().contains("company.jira.download_hosts"), "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "download").unwrap_err();
    assert_eq!(problem.matches("download_hosts").count(), 1, "{problem}");
}

#[tokio::test]
async fn a_download_shorter_than_the_listing_says_is_an_error_and_no_error_names_the_file() {
    let crm = data_center().await;
    let (id, attachment) = attached(&crm, &vec![b'x'; 100_000]).await;
    for effect in [
        Effect::TruncateBody { bytes: 50_000 },
        Effect::ShortenBody { bytes: 50_000 },
        Effect::ErrorBefore { status: 404, body: None },
    ] {
        let fault = crm.jira.faults().add(Fault::always(effect.clone()).on("GET", "/secure/"));
        let error = match crm.adapter.download(&id, &attachment).await {
            Err(error) => error,
            Ok(download) => download.content.try_collect::<Vec<_>>().await.expect_err(&format!("{effect:?}")),
        };
        assert!(error.to_string().contains(&attachment.id), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        crm.jira.faults().remove(fault);
    }
}

#[tokio::test]
async fn the_attachment_limit_is_asked_for_now_and_then() {
    let crm = data_center().await;
    let asked =
        || crm.jira.faults().calls().iter().filter(|call| call.path.ends_with("/attachment/meta")).count();
    for (minutes, calls) in [(0, 1), (9, 1), (2, 2)] {
        crm.clock.advance(Duration::minutes(minutes));
        assert_eq!(crm.adapter.attachment_limit().await.unwrap(), Some(10 * 1024 * 1024));
        assert_eq!(asked(), calls);
    }
}

// ---------------------------------------------------------------- status and priority

#[tokio::test]
async fn closing_goes_by_the_configuration_and_names_what_there_is() {
    for (transition, resolution, expected) in [
        (None, None, Ok(("Done", "Done"))),
        (Some("Cancel"), Some("Won't Do"), Ok(("Cancelled", "Won't Do"))),
        (Some("51"), None, Ok(("Cancelled", "Done"))),
        (Some("cancelled"), None, Ok(("Cancelled", "Done"))),
        (Some("Archive"), None, Err("\"Done\" to \"Done\" (ID 31)")),
        (Some("Start Progress"), None, Err("company.jira.close_transition")),
        (None, Some("Fixed"), Err("company.jira.resolution")),
    ] {
        let settings = SandboxJiraSettings {
            resolution_on_closing: ResolutionOnClosing::Required,
            ..SandboxJiraSettings::default()
        };
        let crm = start(settings, |jira| {
            jira.close_transition = transition.map(str::to_owned);
            jira.resolution = resolution.map(str::to_owned);
        })
        .await;
        let id = crm.person_creates("t", "", true).await;
        let result = crm.adapter.close(&id).await;
        let issue = crm.jira.issue(&id).unwrap();
        match expected {
            Ok((status, resolution)) => {
                result.unwrap();
                assert_eq!((issue.status.as_str(), issue.resolution.as_deref()), (status, Some(resolution)));
            }
            Err(hint) => {
                let error = result.unwrap_err();
                assert_eq!(error.kind, ApiErrorKind::Refused);
                assert!(error.to_string().contains(hint), "{error}");
                assert!(!issue.closed);
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_reopened_says_so() {
    let crm = cloud_service_management().await;
    let id = crm.person_creates("t", "", true).await;
    crm.person_closes(&id).await;
    let error = crm.adapter.reopen(&id).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unsupported);
    assert!(error.message.contains("company.jira.reopen_transition"), "{error}");
}

#[tokio::test]
async fn a_word_may_stand_for_several_levels_and_one_that_is_not_configured_is_unknown() {
    let four = words(["Highest", "High", "Medium", "Low", "Low"]);
    let crm = start_with(SandboxJiraSettings::default(), four, |_| ()).await;
    let id = crm.person_creates("t", "", true).await;
    for priority in [Priority::P3, Priority::P4] {
        crm.adapter.set_priority(&id, priority).await.unwrap();
        let reading = crm.adapter.get(&id).await.unwrap().unwrap().priority;
        assert_eq!(reading, PriorityReading::Known([Priority::P3, Priority::P4].into_iter().collect()));
    }
    crm.jira.set_priority(&id, "Lowest").unwrap();
    let reading = crm.adapter.get(&id).await.unwrap().unwrap().priority;
    assert_eq!(reading, PriorityReading::Unknown("Lowest".to_owned()));
}

#[tokio::test]
async fn comments_can_be_internal_where_there_are_customers() {
    for (service_management, told, expected) in
        [(false, None, false), (true, None, true), (false, Some(true), true), (true, Some(false), false)]
    {
        let settings = SandboxJiraSettings { service_management, ..SandboxJiraSettings::default() };
        let crm = start(settings, |jira| jira.service_management = told).await;
        if told.is_none() {
            assert!(crm.adapter.capabilities().internal_comments, "as long as it is not known");
        }
        let id = crm.person_creates("t", "", true).await;
        crm.adapter.add_comment(&id, &new_comment("hush", Visibility::Internal)).await.unwrap();
        assert_eq!(crm.adapter.capabilities().internal_comments, expected);
        assert_eq!(crm.jira.issue(&id).unwrap().comments[0].internal, expected);
    }
}

#[tokio::test]
async fn a_comment_that_was_edited_says_when() {
    for crm in
        [cloud().await, cloud_service_management().await, data_center().await, awkward_data_center().await]
    {
        assert!(crm.adapter.capabilities().comments_change);
        let id = crm.person_creates("t", "", true).await;
        let comment = crm.person_comments(&id, "one", Visibility::Public).await;
        let read = async || {
            let case = crm.adapter.get(&id).await.unwrap().unwrap();
            (case.updated_at, crm.adapter.comments(&id, None).await.unwrap().remove(0))
        };
        let (updated_at, before) = read().await;
        assert_eq!(before.edited_at, None, "{before:?}");
        crm.tick().await;
        crm.jira.edit_comment(&id, &comment, "two").unwrap();
        let (later, edited) = read().await;
        assert_eq!((edited.body.as_str(), edited.created_at), ("two", before.created_at));
        assert!(edited.edited_at > edited.created_at, "{edited:?}");
        assert!(later > updated_at, "polls find it");
    }
}

// ---------------------------------------------------------------- check

/// Checks that one mistake is at most one line that is not a success, or is not tried.
fn assert_one_mistake(checks: &[Check]) {
    let failed: Vec<&Check> = checks.iter().filter(|check| check.result().is_err()).collect();
    assert!(failed.len() <= 1, "{failed:#?}");
}

#[tokio::test]
async fn a_check_that_fails_says_what_to_change_and_where() {
    type Change = fn(&mut SandboxJiraSettings, &mut JiraSettings);
    let cases: [(Change, [&str; 5], &str, &str); 16] = [
        (|_, jira| jira.project = "NOPE".to_owned(), USUAL, "project NOPE", "company.jira.project"),
        (
            |_, jira| jira.issue_type = "Epic".to_owned(),
            USUAL,
            "issue type",
            "Task, Bug, Support in company.jira.issue_type",
        ),
        (|_, jira| jira.flag_field = "sync".to_owned(), USUAL, "field sync", "company.jira.flag_field"),
        (
            |_, jira| jira.flag_value = "yes".to_owned(),
            USUAL,
            "flag value",
            "one of true in company.jira.flag_value",
        ),
        (
            |_, jira| jira.google_name_field = "customfield_10050".to_owned(),
            USUAL,
            "field customfield_10050",
            "company.jira.google_name_field",
        ),
        (|_, jira| jira.component = "Cloudy".to_owned(), USUAL, "component", "company.jira.component"),
        (
            |_, jira| jira.resolution = Some("Fixed".to_owned()),
            USUAL,
            "resolution",
            "company.jira.resolution",
        ),
        (
            |_, jira| jira.close_transition = Some("Shut".to_owned()),
            USUAL,
            "closing",
            "company.jira.close_transition",
        ),
        (
            |_, _| (),
            ["Highest", "High", "Normal", "Low", "Lowest"],
            "priorities",
            "priorities.P2 = \"Normal\": those levels are not carried; use one of Highest",
        ),
        (
            |sandbox, _| {
                sandbox.denied_permissions =
                    ["ADD_COMMENTS".to_owned(), "CREATE_ATTACHMENTS".to_owned()].into();
            },
            USUAL,
            "permissions",
            "lacks Add Comments, Create Attachments in project SUP",
        ),
        (
            |sandbox, _| {
                sandbox.denied_permissions = ["EDIT_ISSUES".to_owned()].into();
            },
            USUAL,
            "permissions",
            "Edit Issues",
        ),
        (|_, jira| jira.deployment = Deployment::DataCenter, USUAL, "search", "company.jira.deployment"),
        (
            |sandbox, _| sandbox.denied_permissions = ["CREATE_ISSUES".to_owned()].into(),
            USUAL,
            "permissions",
            "Create Issues",
        ),
        (
            |sandbox, _| sandbox.denied_permissions = ["TRANSITION_ISSUES".to_owned()].into(),
            USUAL,
            "permissions",
            "Transition Issues",
        ),
        (
            |_, jira| jira.new_fields = [("Impcat".to_owned(), json!("x"))].into(),
            USUAL,
            "fields of new cases",
            "company.jira.new_fields",
        ),
        (
            |_, jira| jira.close_fields = [("Rot cause".to_owned(), json!("x"))].into(),
            USUAL,
            "fields of closing",
            "company.jira.close_fields",
        ),
    ];
    for (change, priorities, what, hint) in cases {
        let mut sandbox = SandboxJiraSettings::default();
        change(&mut sandbox, &mut JiraSettings::default());
        let crm = start_with(sandbox, words(priorities), |jira| {
            change(&mut SandboxJiraSettings::default(), jira);
        })
        .await;
        crm.person_creates("t", "", true).await;
        let all = Needs::all(Visibility::Internal);
        let checks = casebridge::tasks::check_system(&crm.adapter, all, crm.clock.now()).await;
        let problem = line(&checks, what).expect_err(what);
        assert!(problem.contains(hint), "{what}: {problem}");
        assert_one_mistake(&checks);
        assert_eq!(crm.jira.issues().len(), 1, "a check changes nothing");
        let writes = crm.jira.faults().calls().iter().filter(|call| call.method != "GET").count();
        assert_eq!(writes, 0);
    }
}

const USUAL: [&str; 5] = ["Highest", "High", "Medium", "Low", "Lowest"];

#[tokio::test]
async fn what_jira_does_not_offer_is_told_with_what_to_change_and_only_if_it_is_needed() {
    const ALL: Needs = Needs::all(Visibility::Internal);
    let screen = |other: &str| json!({"fields": {"customfield_10050": {}, "customfield_10051": {}, "labels": {}, other: {}}});
    let closing = json!({"transitions": [{
        "id": "31", "name": "Resolve", "to": {"name": "Done", "statusCategory": {"key": "done"}},
        "fields": {"customfield_1": {"name": "Root cause", "required": true}},
    }, {
        "id": "41", "name": "Reopen", "to": {"name": "To Do", "statusCategory": {"key": "new"}}, "fields": {},
    }]});
    let cases = [
        (
            "/attachment/meta",
            json!({"enabled": false, "uploadLimit": 0}),
            "attachments",
            "sync.attachments = false",
            Needs { attachments: false, ..ALL },
        ),
        (
            "/editmeta",
            screen("summary"),
            "edit screen",
            "Priority cannot be edited; put it on the edit screen",
            Needs { priority: false, ..ALL },
        ),
        (
            "/editmeta",
            screen("priority"),
            "edit screen",
            "Summary cannot be edited; put it on the edit screen",
            Needs { title: false, ..ALL },
        ),
        (
            "/transitions",
            closing,
            "closing",
            "demands Root cause (customfield_1); give it a value in company.jira.close_fields",
            Needs { status: false, ..ALL },
        ),
        (
            "/transitions",
            json!({"transitions": []}),
            "closing",
            "company.jira.close_transition",
            Needs { status: false, ..ALL },
        ),
        (
            "/transitions",
            json!({"transitions": [{
                "id": "31", "name": "Resolve", "to": {"name": "Done", "statusCategory": {"key": "done"}}, "fields": {},
            }]}),
            "opening again",
            "company.jira.reopen_transition",
            Needs { status: false, ..ALL },
        ),
        (
            "/issuetypes/",
            json!({"fields": [{"fieldId": "summary", "name": "Summary", "required": true}]}),
            "create screen",
            "not on the create screen of issue type Task in project SUP",
            Needs { creation: false, ..ALL },
        ),
    ];
    for (path, answer, what, hint, without) in cases {
        let crm = cloud().await;
        crm.person_creates("open", "", true).await;
        let closed = crm.person_creates("closed", "", true).await;
        crm.person_closes(&closed).await;
        crm.tick().await;
        let said = Effect::ErrorBefore { status: 200, body: Some(answer.to_string()) };
        crm.jira.faults().add(Fault::always(said).on("GET", path));
        let checks = casebridge::tasks::check_system(&crm.adapter, ALL, crm.clock.now()).await;
        let problem = line(&checks, what).expect_err(what);
        assert!(problem.contains(hint), "{what}: {problem}");
        assert_one_mistake(&checks);
        let checks = crm.adapter.check(without).await;
        let failed: Vec<&Check> = checks.iter().filter(|check| check.result().is_err()).collect();
        assert!(failed.is_empty(), "{what}: {failed:?}");
    }
}

#[tokio::test]
async fn only_an_agent_of_service_management_writes_public_comments() {
    let settings = SandboxJiraSettings {
        service_management: true,
        denied_permissions: ["SERVICEDESK_AGENT".to_owned()].into(),
        ..SandboxJiraSettings::default()
    };
    let crm = start(settings, |_| ()).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "permissions").is_ok(), "{checks:?}");
    let checks = crm.adapter.check(Needs::all(Visibility::Public)).await;
    let problem = line(&checks, "permissions").unwrap_err();
    assert!(problem.contains("lacks Service Project Agent"), "{problem}");
}

#[tokio::test]
async fn a_check_of_something_that_is_no_jira_says_so() {
    let clock = ManualClock::at(noon());
    let (base, server) = serve(axum::Router::new()).await;
    let settings = JiraSettings { project: "SUP".to_owned(), ..JiraSettings::default() };
    let adapter = connect(settings, usual_words(), &base, Arc::new(NoCredentials), &clock);
    let checks = adapter.check(Needs::all(Visibility::Internal)).await;
    assert_eq!(checks.len(), 1);
    let problem = line(&checks, "credentials").unwrap_err();
    assert!(problem.contains(&format!("company.base_url ({base})")), "{problem}");
    server.abort();
}

// ---------------------------------------------------------------- other servers

/// Starts a scripted Jira: it answers requests for the fields itself, and all others by `answer` from path and query.
async fn scripted(
    deployment: Deployment,
    answer: impl Fn(&str, &[(String, String)]) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Jira, tokio::task::JoinHandle<()>) {
    scripted_with(deployment, |_| (), answer).await
}

async fn scripted_with(
    deployment: Deployment,
    change: impl FnOnce(&mut JiraSettings),
    answer: impl Fn(&str, &[(String, String)]) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Jira, tokio::task::JoinHandle<()>) {
    let router = axum::Router::new().fallback(move |uri: axum::http::Uri| {
        let answer = answer.clone();
        async move {
            let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
            let query: Vec<(String, String)> = query.into_owned().collect();
            let (status, body) = answer(uri.path(), &query);
            (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(body))
        }
    });
    let (base, server) = serve(router).await;
    let mut settings = JiraSettings { project: "SUP".to_owned(), deployment, ..JiraSettings::default() };
    change(&mut settings);
    let clock = ManualClock::at(noon());
    (connect(settings, usual_words(), &base, Arc::new(NoCredentials), &clock), server)
}

fn fields(flag: &str) -> Value {
    json!([
        {"id": flag, "name": "synchronizeWithGoogleCloudSupport", "schema": {"type": "array", "items": "option"}},
        {"id": "customfield_9", "name": "custom_field_google_name", "schema": {"type": "string"}},
    ])
}

fn parameter<'a>(query: &'a [(String, String)], name: &str) -> &'a str {
    query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

#[tokio::test]
async fn what_cannot_be_understood_is_skipped_and_what_the_index_got_wrong_is_dropped() {
    let flagged = json!([{"value": "true"}]);
    let issues = json!([
        {"id": "1", "fields": {"updated": "2026-07-01T14:00:00.000+0200", "customfield_1": flagged}},
        {"id": "2", "fields": {"updated": "2026-07-01T11:59:59.999+0000", "customfield_1": flagged}},
        {"id": "3", "fields": {"updated": "2026-07-01T12:00:00.000+0000", "customfield_1": []}},
        {"id": "4", "fields": {"updated": 7, "customfield_1": flagged}},
        {"id": "5", "fields": {"customfield_1": flagged}},
        {"key": "SUP-6"},
        "nothing",
    ]);
    let (jira, server) = scripted(Deployment::Cloud, move |path, _| match path {
        "/rest/api/2/field" => (200, fields("customfield_1")),
        _ => (200, json!({"issues": issues, "isLast": true})),
    })
    .await;
    let Sweep { cases, skipped, .. } =
        jira.search_updated("2026-07-01T12:00:00Z".parse().unwrap()).await.unwrap();
    let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids, ["1", "5"]);
    assert_eq!(
        skipped,
        [
            "issue 4: updated is not text",
            "issue without an ID: the issue's id is not there",
            "issue without an ID: the issue is not an object",
        ]
    );
    server.abort();
}

#[tokio::test]
async fn what_a_screen_demands_is_named_with_the_key_to_set() {
    let (jira, server) = scripted(Deployment::Cloud, |path, _| match path {
        "/rest/api/2/field" => (200, fields("customfield_1")),
        "/rest/api/2/issue" => {
            (400, json!({"errorMessages": [], "errors": {"customfield_7": "Impact is required."}}))
        }
        "/rest/api/2/issue/1/transitions" => {
            let cause = json!({"required": true, "name": "Cause", "schema": {"type": "option"}, "allowedValues": [{"id": "1", "value": "Bug"}]});
            let done = json!({"name": "Done", "statusCategory": {"key": "done"}});
            (200, json!({"transitions": [{"id": "31", "name": "Done", "to": done, "fields": {"customfield_8": cause}}]}))
        }
        _ => (200, json!({"id": "1", "fields": {"status": {"name": "Open", "statusCategory": {"key": "new"}}}})),
    })
    .await;
    let error = jira.create(&new_case("organizations/1/cases/2")).await.unwrap_err();
    let remedy = error.remedy().unwrap();
    assert!(error.message.contains("Impact is required") && !error.message.contains("company."), "{error}");
    assert!(remedy.ends_with("a value in company.jira.new_fields.customfield_7"), "{error}");
    let error = jira.close("1").await.unwrap_err();
    assert!(error.message.ends_with("demands Cause (customfield_8, option: one of Bug)"), "{error}");
    assert!(error.remedy().unwrap().starts_with("give it a value in company.jira.close_fields"), "{error}");
    server.abort();
}

#[tokio::test]
async fn a_team_managed_project_with_fields_of_the_same_name_stops_no_poll() {
    let (jira, server) = scripted(Deployment::Cloud, |path, query| match path {
        "/rest/api/2/field" => {
            let mut all = fields("customfield_1");
            let mut other = all[0].clone();
            other["id"] = json!("customfield_5");
            other["scope"] = json!({"type": "PROJECT", "project": {"id": "10099"}});
            all.as_array_mut().unwrap().push(other);
            (200, all)
        }
        "/rest/api/2/project/SUP" => (200, json!({"id": "10000", "key": "SUP"})),
        _ if parameter(query, "jql").contains("cf[1]") => {
            (200, json!({"issues": [{"id": "1", "fields": {"customfield_1": {"value": "true"}}}]}))
        }
        _ => (200, json!({"issues": []})),
    })
    .await;
    assert_eq!(jira.search_updated(noon()).await.unwrap().cases.len(), 1);
    server.abort();
}

#[tokio::test]
async fn a_field_that_was_deleted_and_made_again_is_found_again() {
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let (jira, server) = scripted(Deployment::Cloud, move |path, query| match path {
        "/rest/api/2/field" => {
            let first = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            (200, fields(if first { "customfield_1" } else { "customfield_2" }))
        }
        _ if parameter(query, "jql").contains("cf[1]") => {
            (400, json!({"errorMessages": ["Field 'cf[1]' does not exist"], "errors": {}}))
        }
        _ => (200, json!({"issues": [{"id": "1", "fields": {"customfield_2": {"value": "true"}}}]})),
    })
    .await;
    for _ in 0..2 {
        assert_eq!(jira.search_updated(noon()).await.unwrap().cases.len(), 1);
    }
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 2, "and remembered");
    server.abort();
}

#[tokio::test]
async fn a_server_that_knows_no_periods_is_asked_with_a_written_time() {
    let (jira, server) = scripted(Deployment::Cloud, move |path, query| {
        let jql = parameter(query, "jql");
        match path {
            "/rest/api/2/field" => (200, fields("customfield_1")),
            "/rest/api/2/myself" => (200, json!({"accountId": "5b10"})),
            _ if jql.contains("\"2026-06-30 23:58\"") => {
                (200, json!({"issues": [{"id": "1", "fields": {"customfield_1": {"value": "true"}}}]}))
            }
            _ => (400, json!({"errorMessages": [format!("no such date: {jql}")]})),
        }
    })
    .await;
    for _ in 0..2 {
        assert_eq!(jira.search_updated(noon()).await.unwrap().cases.len(), 1);
    }
    let error = jira.search_updated(noon() + Duration::days(1)).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    server.abort();
}

#[tokio::test]
async fn a_server_that_ignores_the_order_of_comments_is_read_to_the_end() {
    let comment = |number: i64| {
        let created = (noon() + Duration::minutes(number)).format("%Y-%m-%dT%H:%M:%S%.3f%z").to_string();
        json!({"id": number.to_string(), "body": "b", "created": created})
    };
    for newest_first in [false, true] {
        let (jira, server) = scripted(Deployment::DataCenter, move |path, query| {
            if path == "/rest/api/2/myself" {
                return (200, json!({"name": "bot"}));
            }
            if path == "/rest/api/2/issue/1" {
                let project = json!({"key": "SUP", "projectTypeKey": "software"});
                return (200, json!({"id": "1", "fields": {"project": project}}));
            }
            let start: i64 = parameter(query, "startAt").parse().unwrap();
            let page = (start..(start + 50).min(200))
                .map(|at| comment(if newest_first { 199 - at } else { at }))
                .collect::<Vec<_>>();
            (200, json!({"comments": page, "total": 200, "startAt": start}))
        })
        .await;
        let comments = jira.comments("1", Some(noon() + Duration::minutes(190))).await.unwrap();
        let expected = if newest_first { 50 } else { 200 };
        assert_eq!(comments.len(), expected);
        let newest = comments.iter().filter_map(|comment| comment.created_at).max();
        assert_eq!(newest, Some(noon() + Duration::minutes(199)));
        server.abort();
    }
}

#[tokio::test]
async fn more_writes_than_one_issue_takes_at_a_time_wait_and_none_is_refused() {
    let settings = SandboxJiraSettings { limits_writes: true, ..SandboxJiraSettings::default() };
    let crm = start(settings, |_| ()).await;
    let id = crm.person_creates("t", "", true).await;
    let comments = (0..25).map(|number| {
        let comment = NewComment {
            body: number.to_string(),
            visibility: Visibility::Internal,
            idempotency_key: format!("key {number}"),
        };
        let crm = &crm;
        let id = &id;
        async move { crm.adapter.add_comment(id, &comment).await.map(drop) }
    });
    for outcome in futures_util::future::join_all(comments).await {
        outcome.unwrap();
    }
    let writes = crm.jira.faults().calls().iter().filter(|call| call.method == "POST").count();
    assert_eq!(writes, 25, "a refused one would have been sent again");
    let slow = crm.adapter.capabilities().in_flight_window;
    assert!(slow >= chrono::Duration::seconds(30), "a write may wait so long before it is sent: {slow}");
}

#[tokio::test]
async fn a_status_is_set_by_the_transition_that_leads_there_and_a_refusal_names_those_that_there_are() {
    let change = |ours: &mut JiraSettings| ours.google_state_field = Some("google STATE".to_owned());
    let crm = start(SandboxJiraSettings::default(), change).await;
    let id = crm.person_creates("Waits", "", true).await;
    let case = async || crm.adapter.get(&id).await.unwrap().unwrap();
    assert_eq!(
        (case().await.status, case().await.state_text),
        (names(&["To Do", "10000"]), Some(String::new()))
    );
    for (wanted, status) in [
        ("in PROGRESS", "In Progress"),
        // A second time: it has it.
        ("In Progress", "In Progress"),
        ("10005", "Waiting for customer"),
        ("Start Progress", "In Progress"),
        ("11", "To Do"),
    ] {
        crm.adapter.set_status(&id, wanted).await.unwrap();
        assert_eq!(crm.jira.issue(&id).unwrap().status, status, "{wanted}");
    }
    for (wanted, part) in [
        ("With vendor", "\"Start Progress\" to \"In Progress\" (ID 21)"),
        ("Done", "means that the case is closed"),
        ("31", "means that the case is closed"),
    ] {
        let error = crm.adapter.set_status(&id, wanted).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
        assert!(error.message.contains(part), "{wanted}: {error}");
    }
    for text in ["Waiting for you (action required)", "Closed at Google (closed)"] {
        crm.adapter.show_state(&id, text).await.unwrap();
        assert_eq!(case().await.state_text.as_deref(), Some(text));
    }
    let before = case().await;
    crm.jira.transition(&id, "Start Progress").unwrap();
    assert_eq!(case().await.digest(), before.digest(), "nothing that is kept in step has changed");
    crm.person_closes(&id).await;
    let error = crm.adapter.set_status(&id, "To Do").await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ApiErrorKind::Refused, "the issue was closed meanwhile")
    );
    let other = crm.person_creates("Open", "", true).await;
    let statuses = crm.adapter.statuses().await.unwrap();
    for (name, is_way, closed) in
        [("With vendor", false, false), ("done", false, true), ("Respond to customer", true, false)]
    {
        let known =
            statuses.known.iter().find(|known| known.is_called(name) && known.is_way == is_way).unwrap();
        assert_eq!(known.closed, closed, "{known:?}");
    }
    drop(other);
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "field google STATE").unwrap().contains(sandbox::GOOGLE_STATE_FIELD), "{checks:?}");
}

#[tokio::test]
async fn a_field_for_googles_state_that_is_not_there_stops_nothing_else() {
    let change = |ours: &mut JiraSettings| ours.google_state_field = Some("No such field".to_owned());
    let crm = start(SandboxJiraSettings::data_center(), change).await;
    let id = crm.person_creates("Waits", "", true).await;
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().state_text.as_deref(), Some(""));
    let error = crm.adapter.show_state(&id, "x").await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    assert!(error.message.contains("company.jira.google_state_field"), "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "field No such field").unwrap_err().contains("company.jira.google_state_field"));
    let without = start(SandboxJiraSettings::default(), |_| ()).await;
    let id = without.person_creates("Waits", "", true).await;
    assert_eq!(without.adapter.get(&id).await.unwrap().unwrap().state_text, None);
}

#[tokio::test]
async fn a_google_case_is_one_remote_link_however_often_it_is_shown() {
    for settings in [SandboxJiraSettings::default(), SandboxJiraSettings::data_center()] {
        let crm = start(settings, |_| ()).await;
        let id = crm.person_creates("The disk is full", "", true).await;
        let link = |name: &str, title: &str, closed: bool| {
            let name = GoogleCaseName::parse(name).unwrap();
            Annotation::Link(CaseLink {
                name: name.to_string(),
                number: name.number().to_owned(),
                address: name.address(),
                title: Some(title.to_owned()),
                closed,
            })
        };
        let long = "Long ".repeat(100);
        for (name, title, closed) in [
            ("organizations/1/cases/42", "The disk is full", false),
            ("organizations/1/cases/42", "The disk is full", false),
            // The same case, by another name.
            ("projects/p/cases/42", long.as_str(), true),
        ] {
            let shown = crm.adapter.annotate(&id, &link(name, title, closed)).await.unwrap();
            assert_eq!(shown, Annotated::Done);
            let links = crm.jira.issue(&id).unwrap().remote_links;
            assert_eq!(links.len(), 1, "{links:?}");
            assert!(links[0].title.starts_with(&format!("42: {}", &title[..5])), "{links:?}");
            assert_eq!(links[0].resolved, closed);
            assert_eq!(links[0].url, GoogleCaseName::parse(name).unwrap().address());
        }
        crm.adapter.annotate(&id, &link("projects/p/cases/43", "Another", false)).await.unwrap();
        assert_eq!(crm.jira.issue(&id).unwrap().remote_links.len(), 2);
        assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().title, "The disk is full");
    }
}

#[tokio::test]
async fn a_label_is_added_and_removed_and_all_others_stay() {
    let crm = cloud().await;
    let id = crm.person_creates("The disk is full", "", true).await;
    crm.jira.set_labels(&id, &["urgent"]).unwrap();
    for (present, labels) in [
        (true, vec!["google-escalated", "urgent"]),
        (true, vec!["google-escalated", "urgent"]),
        (false, vec!["urgent"]),
        (false, vec!["urgent"]),
    ] {
        let label = Annotation::Label { label: "google-escalated".to_owned(), present };
        assert_eq!(crm.adapter.annotate(&id, &label).await.unwrap(), Annotated::Done);
        assert_eq!(crm.jira.issue(&id).unwrap().labels, labels);
    }
}

#[tokio::test]
async fn a_carried_note_gets_a_property_that_changes_nothing_else_of_it() {
    let crm = cloud_service_management().await;
    let id = crm.person_creates("The disk is full", "", true).await;
    let note = crm.person_comments(&id, "#google Look at it", Visibility::Internal).await;
    let mark = |comment: &str| {
        Annotation::Mark(CarriedMark {
            comment: comment.to_owned(),
            google_case: "organizations/1/cases/42".to_owned(),
            at: "2026-07-01T12:00:00Z".parse().unwrap(),
        })
    };
    let read = async || crm.adapter.comments(&id, None).await.unwrap();
    let before = read().await;
    for _ in 0..2 {
        assert_eq!(crm.adapter.annotate(&id, &mark(&note)).await.unwrap(), Annotated::Done);
        let comment = crm.jira.issue(&id).unwrap().comments.remove(0);
        assert_eq!(
            comment.properties["casebridge.carried"],
            json!({ "google_case": "organizations/1/cases/42", "carried_at": "2026-07-01T12:00:00Z" })
        );
        assert!(comment.internal && comment.body == "#google Look at it", "{comment:?}");
        assert_eq!(read().await, before);
    }
    assert_eq!(crm.adapter.annotate(&id, &mark("99999")).await.unwrap(), Annotated::Gone);
}

#[tokio::test]
async fn a_right_for_what_is_shown_is_named_by_its_refusal_and_a_warning_of_the_check() {
    let denied = ["LINK_ISSUES", "EDIT_ALL_COMMENTS"].map(str::to_owned);
    let settings =
        SandboxJiraSettings { denied_permissions: denied.into(), ..SandboxJiraSettings::default() };
    let crm = start(settings, |_| ()).await;
    let id = crm.person_creates("The disk is full", "", true).await;
    let note = crm.person_comments(&id, "#google Look at it", Visibility::Public).await;
    let link = Annotation::Link(CaseLink {
        name: "organizations/1/cases/42".to_owned(),
        number: "42".to_owned(),
        address: "https://example.com/42".to_owned(),
        title: None,
        closed: false,
    });
    let mark = Annotation::Mark(CarriedMark {
        comment: note,
        google_case: "organizations/1/cases/42".to_owned(),
        at: crm.now(),
    });
    for (annotation, right) in [(link, "\"Link Issues\""), (mark, "\"Edit All Comments\"")] {
        let error = crm.adapter.annotate(&id, &annotation).await.unwrap_err();
        assert!(error.is_for_good(), "{error}");
        assert!(error.to_string().contains(right), "{error}");
    }
    let all = Needs::all(Visibility::Internal);
    let checks = crm.adapter.check(all).await;
    for (what, right) in [("remote links", "Link Issues"), ("marks of carried notes", "Edit All Comments")] {
        let check = checks.iter().find(|check| check.what.ends_with(what)).unwrap();
        assert_eq!(check.status, CheckStatus::Warn, "{check:?}");
        assert!(check.detail.contains(right), "{check:?}");
    }
    assert!(checks.iter().all(|check| check.result().is_ok()), "everything else goes on: {checks:#?}");
    let checks = crm.adapter.check(Needs { remote_link: false, mark: false, ..all }).await;
    let is_told =
        |check: &Check| ["Link Issues", "Edit All Comments"].iter().any(|right| check.detail.contains(right));
    assert!(!checks.iter().any(is_told), "{checks:#?}");
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
