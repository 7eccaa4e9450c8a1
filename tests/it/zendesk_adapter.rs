//! Zendesk adapter against the sandbox Zendesk, over real HTTP: the suite that all CRMs share, and Zendesk's own traps.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use bytes::Bytes;
use casebridge::cases::{
    Annotated, Annotation, ApiErrorKind, CaseSystem, Check, CheckStatus, Closing, Found, Needs,
    NewAttachment, NewCase, NewComment, Placement, Visibility,
};
use casebridge::clock::{Clock as _, ManualClock, SharedClock};
use casebridge::crm::CrmKind as _;
use casebridge::crm::PriorityWords;
use casebridge::crm::zendesk::{Zendesk, ZendeskSettings};
use casebridge::entities::{Priority, PriorityReading, Side};
use casebridge::outbound::{Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::zendesk::{
    NewTicket, ROOT_CAUSE_FIELD, SandboxZendesk, SandboxZendeskAuth, SandboxZendeskSettings,
    SandboxZendeskSwitches, Spoilt, UserStanding,
};
use casebridge::sync::texts;
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Duration, Utc};
use futures_util::{TryStreamExt as _, stream};
use serde_json::{Value, json};

use casebridge_testkit::contract::crm::{self as suite, CrmUnderTest, crm_contract};
use casebridge_testkit::harness::upstream;
use casebridge_testkit::harness::zendesk::is_interpreted;
use casebridge_testkit::scripted::{Say, Scripted};

mod usual {
    use super::{crm_contract, suite, usual};

    crm_contract!(suite, usual());
}

mod awkward {
    use super::{awkward, crm_contract, suite};

    crm_contract!(suite, awkward());
}

/// Limit of updates of a ticket that no test reaches: pacing has tests of its own.
const MANY: usize = 10_000;

/// Starts the default setup.
async fn usual() -> Running {
    let settings = SandboxZendeskSettings { updates_per_ticket: MANY, ..SandboxZendeskSettings::default() };
    start(settings, |ours| ours.updates_per_ticket = MANY).await
}

/// Starts a Zendesk in which every setting differs from the default: short pages, an agent who is no administrator, a field that is
/// required for solving, an `external_id` with another use.
async fn awkward() -> Running {
    let settings = SandboxZendeskSettings {
        auth: SandboxZendeskAuth::ApiToken {
            email: "bot@example.com".to_owned(),
            token: "s3cret".to_owned(),
        },
        updates_per_ticket: MANY,
        page_limit: 7,
        attachment_limit: 2 * 1024 * 1024,
        admin: false,
        root_cause_required: true,
        ..SandboxZendeskSettings::default()
    };
    let change = |ours: &mut ZendeskSettings| {
        ours.updates_per_ticket = MANY;
        ours.use_external_id = false;
        ours.use_incremental_export = false;
        ours.attachment_limit_mib = 2;
        ours.description_visibility = Visibility::Public;
        ours.solve_fields.insert(ROOT_CAUSE_FIELD.to_string(), json!("solved in Google Cloud support"));
    };
    start(settings, change).await
}

/// Sandbox Zendesk, its content host and the adapter, until it is dropped.
struct Running {
    zendesk: SandboxZendesk,
    adapter: Zendesk,
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

async fn serve(router: axum::Router) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (base, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

async fn start(settings: SandboxZendeskSettings, change: impl FnOnce(&mut ZendeskSettings)) -> Running {
    let clock = ManualClock::at("2026-07-01T12:00:00.250Z".parse().unwrap());
    let zendesk = SandboxZendesk::new(clock.clone(), settings);
    let (base, server) = serve(zendesk.router()).await;
    let (content, content_server) = serve(zendesk.content_router()).await;
    zendesk.set_content_base(&content);
    let mut ours = ZendeskSettings {
        download_hosts: vec![content.trim_start_matches("http://").to_owned()],
        ..ZendeskSettings::default()
    };
    let secret = match &zendesk.settings().auth {
        SandboxZendeskAuth::Anyone => None,
        SandboxZendeskAuth::ApiToken { email, token } => {
            ours.email = Some(email.clone());
            ours.api_token = Some("env:TOKEN".to_owned());
            Some(token.clone())
        }
        SandboxZendeskAuth::Bearer { token } => {
            ours.oauth_token = Some("env:TOKEN".to_owned());
            Some(token.clone())
        }
        // tests/it/oauth.rs
        SandboxZendeskAuth::OauthClient(_) => unreachable!("no test here asks for it"),
    };
    change(&mut ours);
    assert_eq!(ours.problems(), Vec::<String>::new());
    let credentials = secret.map_or_else(
        || Arc::new(NoCredentials) as Arc<dyn Credentials>,
        |secret| ours.credentials(&secret, &base.parse().unwrap()).unwrap(),
    );
    let adapter = connect(ours, &base, credentials, &clock);
    Running { zendesk, adapter, clock, servers: vec![server, content_server] }
}

/// Returns the adapter for a Zendesk at `base`.
fn connect(
    settings: ZendeskSettings,
    base: &str,
    credentials: Arc<dyn Credentials>,
    clock: &Arc<ManualClock>,
) -> Zendesk {
    connect_with(settings, words(), base, credentials, clock)
}

fn connect_with(
    settings: ZendeskSettings,
    words: PriorityWords,
    base: &str,
    credentials: Arc<dyn Credentials>,
    clock: &Arc<ManualClock>,
) -> Zendesk {
    let upstream = UpstreamSettings {
        name: casebridge::crm::zendesk::NAME,
        base_url: base.parse().unwrap(),
        requests_per_minute: NonZeroU32::new(10_000_000).unwrap(),
        timeout: StdDuration::from_secs(10),
        retry: RetryPolicy {
            attempts: 3,
            first_pause: StdDuration::from_millis(5),
            // Far longer than any call takes here, even on a busy machine: after it, a write is not tried again.
            longest_pause: StdDuration::from_secs(5),
        },
        download_hosts: settings.allowed_download_hosts(),
    };
    let upstream = Upstream::new(upstream, credentials, clock.clone(), Metrics::shared()).unwrap();
    Zendesk::new(settings, words, upstream, clock.clone())
}

/// Returns four words for five levels.
fn words() -> PriorityWords {
    PriorityWords::new(["Urgent", "High", "Normal", "Low", "Low"].map(str::to_owned)).unwrap()
}

#[async_trait]
impl CrmUnderTest for Running {
    fn system(&self) -> &dyn CaseSystem {
        &self.adapter
    }

    async fn tick(&self) {
        // Long enough for an export to include earlier changes.
        self.clock.advance(Duration::seconds(130));
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn unknown_case(&self) -> String {
        "99999".to_owned()
    }

    async fn person_creates(&self, title: &str, description: &str, flagged: bool) -> String {
        let description = description.to_owned();
        self.zendesk.create_ticket(NewTicket { description, flagged, ..NewTicket::new(title) }).unwrap()
    }

    async fn person_comments(&self, case: &str, body: &str, visibility: Visibility) -> String {
        match visibility {
            Visibility::Public => self.zendesk.comment(case, "Jane Roe", body).unwrap(),
            Visibility::Internal => self.zendesk.internal_comment(case, "Jane Roe", body).unwrap(),
        }
    }

    async fn person_attaches(&self, case: &str, filename: &str, content: &[u8]) -> String {
        self.zendesk.attach(case, "Jane Roe", filename, "image/png", content.to_vec()).unwrap()
    }

    async fn person_flags(&self, case: &str, flagged: bool) {
        self.zendesk.set_flag(case, flagged).unwrap();
    }

    async fn person_sets_priority(&self, case: &str, priority: Priority) {
        self.zendesk.set_priority(case, Some(&words().word(priority).to_lowercase())).unwrap();
    }

    async fn person_closes(&self, case: &str) {
        self.zendesk.set_status(case, "solved").unwrap();
    }

    async fn person_deletes(&self, case: &str) {
        self.zendesk.delete_ticket(case).unwrap();
    }

    async fn kept(&self, _case: &str, attachment: &str) -> Option<Vec<u8>> {
        self.zendesk.attachment_bytes(attachment)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        let ticket = self.zendesk.ticket(case).unwrap();
        let ours = ticket.comments.into_iter().filter(|comment| comment.author == "Casebridge");
        ours.map(|comment| comment.html).filter(|html| is_interpreted(html)).collect()
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

fn new_attachment(filename: &str, visibility: Visibility) -> NewAttachment {
    NewAttachment {
        filename: filename.to_owned(),
        media_type: Some("text/plain".to_owned()),
        size: Some(3),
        content: Box::pin(stream::iter([Ok(Bytes::from_static(b"abc"))])),
        visibility,
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
    let calls = crm.zendesk.faults().calls();
    calls.iter().filter(|call| call.method == method && call.path.contains(part)).count()
}

// ---------------------------------------------------------------- internal notes

#[tokio::test]
async fn what_people_write_as_internal_is_told_to_be_internal() {
    let crm = usual().await;
    let id = crm.person_creates("t", "open words", true).await;
    let note = crm.person_comments(&id, "among us", Visibility::Internal).await;
    let public = crm.person_comments(&id, "for all", Visibility::Public).await;
    let mut files = Vec::new();
    for (name, visible) in [("public.txt", true), ("internal.txt", false)] {
        let file = crm.zendesk.attach_with(&id, "Jane Roe", name, "text/plain", "abc", "see", visible);
        files.push(file.unwrap());
    }
    crm.zendesk.make_private(&id, &public).unwrap();
    let comments = crm.adapter.comments(&id, None).await.unwrap();
    for comment in [note, public] {
        let found = comments.iter().find(|found| found.id == comment).unwrap();
        assert_eq!(found.visibility, Visibility::Internal);
    }
    let attachments = crm.adapter.attachments(&id, None).await.unwrap();
    let of = |id: &String| attachments.iter().find(|found| found.id == *id).unwrap().visibility;
    assert_eq!([of(&files[0]), of(&files[1])], [Visibility::Public, Visibility::Internal]);
}

#[tokio::test]
async fn a_description_that_is_an_internal_note_is_withheld_unless_the_configuration_says_so() {
    for (public, carry, expected) in [
        (true, false, "the words"),
        (false, false, "(The first comment of the ticket is an internal note and is not passed on.)"),
        (false, true, "the words"),
    ] {
        let crm =
            start(SandboxZendeskSettings::default(), |ours| ours.carry_internal_description = carry).await;
        let ticket = NewTicket { public, description: "the words".to_owned(), ..NewTicket::flagged("t") };
        let id = crm.zendesk.create_ticket(ticket).unwrap();
        assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, expected);
        // Later public comments do not make the first one public.
        crm.person_comments(&id, "for all", Visibility::Public).await;
        assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, expected);
        crm.tick().await;
        let file = crm.zendesk.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
        assert_eq!(crm.adapter.attachments(&id, None).await.unwrap()[0].id, file);
    }
}

#[tokio::test]
async fn an_internal_description_by_the_connectors_own_agent_is_withheld_unless_its_ticket_mirrors_a_google_case()
 {
    let crm = usual().await;
    let new = new_case("organizations/1/cases/2");
    let id = crm.adapter.create(&new).await.unwrap().id;
    assert!(!crm.zendesk.ticket(&id).unwrap().comments[0].public);
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, new.description);
    // As a person's, or another program's, that signs in as the same agent.
    crm.zendesk.set_google_name(&id, None).unwrap();
    let withheld = "(The first comment of the ticket is an internal note and is not passed on.)";
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, withheld);
}

#[tokio::test]
async fn what_comes_from_google_is_as_visible_as_it_is_asked_to_be() {
    let crm = usual().await;
    let id = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    assert!(!crm.zendesk.ticket(&id).unwrap().comments[0].public, "internal unless configured otherwise");
    for visibility in [Visibility::Internal, Visibility::Public] {
        crm.adapter.add_comment(&id, &new_comment("hello", visibility)).await.unwrap();
        crm.adapter.upload(&id, new_attachment("a.txt", visibility)).await.unwrap();
        let ticket = crm.zendesk.ticket(&id).unwrap();
        let last = &ticket.comments[ticket.comments.len() - 2..];
        let public = visibility == Visibility::Public;
        assert!(last.iter().all(|comment| comment.public == public), "{visibility:?}: {last:?}");
    }
    let public = awkward().await;
    let id = public.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    assert!(public.zendesk.ticket(&id).unwrap().comments[0].public);
}

// ---------------------------------------------------------------- files

#[tokio::test]
async fn the_comment_that_a_file_rides_on_is_never_listed_even_if_its_answer_was_lost() {
    let crm = usual().await;
    let id = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    crm.adapter.upload(&id, new_attachment("a.txt", Visibility::Public)).await.unwrap();
    crm.zendesk.faults().add(Fault::always(Effect::HangUpAfter).on("PUT", "/tickets/").times(1));
    let error = crm.adapter.upload(&id, new_attachment("b.txt", Visibility::Public)).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert_eq!(crm.zendesk.ticket(&id).unwrap().comments.len(), 3);
    assert_eq!(crm.adapter.comments(&id, None).await.unwrap(), []);
    let names: Vec<String> =
        crm.adapter.attachments(&id, None).await.unwrap().into_iter().map(|found| found.filename).collect();
    assert_eq!(names, ["b.txt", "a.txt"], "to be recognised by creator, name and size");
    // A person's comment with a file and the same words is an ordinary comment.
    let words = crm.zendesk.ticket(&id).unwrap().comments[1].text.clone();
    crm.zendesk.attach_with(&id, "Jane Roe", "c.txt", "text/plain", "abc", &words, true).unwrap();
    assert_eq!(crm.adapter.comments(&id, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_whose_comment_is_refused_is_taken_back() {
    let crm = usual().await;
    let id = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    let refused = Effect::ErrorBefore { status: 422, body: None };
    crm.zendesk.faults().add(Fault::always(refused).on("PUT", "/tickets/"));
    crm.adapter.upload(&id, new_attachment("a.txt", Visibility::Public)).await.unwrap_err();
    assert_eq!((calls(&crm, "POST", "/uploads"), calls(&crm, "DELETE", "/uploads/")), (1, 1));
}

#[tokio::test]
async fn a_file_without_a_word_is_a_file_and_no_comment_and_a_redacted_one_is_neither() {
    let crm = usual().await;
    let id = crm.person_creates("t", "d", true).await;
    let file = crm.zendesk.attach_with(&id, "Jane Roe", "a.txt", "text/plain", "abc", "", true).unwrap();
    assert_eq!(crm.adapter.comments(&id, None).await.unwrap(), []);
    let listed = crm.adapter.attachments(&id, None).await.unwrap();
    assert_eq!(listed.len(), 1);
    crm.zendesk.redact_attachment(&file).unwrap();
    assert_eq!(crm.adapter.attachments(&id, None).await.unwrap(), []);
    let error = crm.adapter.download(&id, &listed[0]).await.err().unwrap();
    assert_eq!(error.kind, ApiErrorKind::NotFound, "{error}");
    assert!(!error.to_string().contains("token/"), "{error}");
}

#[tokio::test]
async fn content_comes_from_another_host_that_gets_no_credentials() {
    let crm = awkward().await;
    let id = crm.person_creates("t", "d", true).await;
    crm.person_attaches(&id, "a b.txt", b"content").await;
    let listed = crm.adapter.attachments(&id, None).await.unwrap();
    let download = crm.adapter.download(&id, &listed[0]).await.unwrap();
    let content: Vec<Bytes> = download.content.try_collect().await.unwrap();
    assert_eq!(content.concat(), b"content", "the other host refuses credentials");
}

// ---------------------------------------------------------------- searches

#[tokio::test]
async fn an_export_makes_up_for_a_search_that_is_late() {
    let crm = usual().await;
    crm.zendesk.faults().set_search_lag(Duration::hours(2));
    let since = crm.clock.now();
    let id = crm.person_creates("t", "d", true).await;
    let deleted = crm.person_creates("gone", "d", true).await;
    crm.person_deletes(&deleted).await;
    crm.person_creates("unflagged", "d", false).await;
    crm.tick().await;
    let found = crm.adapter.search_updated(since).await.unwrap().cases;
    assert_eq!(found.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    let late = awkward().await;
    late.zendesk.faults().set_search_lag(Duration::hours(2));
    late.person_creates("t", "d", true).await;
    late.tick().await;
    assert_eq!(
        late.adapter.search_updated(since).await.unwrap().cases,
        [],
        "without it, what is late is missed"
    );
}

#[tokio::test]
async fn an_agent_who_may_not_export_is_told_what_to_do() {
    let settings = SandboxZendeskSettings { admin: false, ..SandboxZendeskSettings::default() };
    let crm = start(settings, |_| ()).await;
    let error = crm.adapter.search_updated(crm.clock.now()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized);
    assert!(error.to_string().contains("company.zendesk.use_incremental_export"), "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "incremental export").unwrap_err().contains("administrator"));
}

#[tokio::test]
async fn exports_that_another_program_has_used_up_are_a_warning() {
    let crm = start(SandboxZendeskSettings::default(), |_| ()).await;
    let limited = Fault::always(Effect::RateLimited { retry_after: "40".to_owned() });
    crm.zendesk.faults().add(limited.on("GET", "/api/v2/incremental"));
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let export = checks.iter().find(|check| check.what.contains("incremental export")).unwrap();
    assert_eq!(export.status, CheckStatus::Warn, "{export:?}");
    assert!(export.detail.contains("ten exports"), "{export:?}");
}

#[tokio::test]
async fn the_ticket_of_a_google_case_is_found_without_the_index() {
    let crm = usual().await;
    crm.zendesk.faults().set_search_lag(Duration::hours(2));
    let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
    let found = crm.adapter.find_counterparts("projects/p/cases/2", None).await.unwrap();
    assert_eq!(found, [Found::from(&case)]);
}

#[tokio::test]
async fn an_external_id_of_somebody_else_stays() {
    let crm = usual().await;
    let ticket = NewTicket { external_id: Some("theirs".to_owned()), ..NewTicket::flagged("t") };
    let id = crm.zendesk.create_ticket(ticket).unwrap();
    crm.adapter.link(&id, "organizations/1/cases/2").await.unwrap();
    let ticket = crm.zendesk.ticket(&id).unwrap();
    assert_eq!(ticket.external_id.as_deref(), Some("theirs"));
    assert_eq!(ticket.google_name.as_deref(), Some("organizations/1/cases/2"));
    let free = crm.person_creates("t", "d", true).await;
    crm.adapter.link(&free, "organizations/1/cases/3").await.unwrap();
    let external_id = crm.zendesk.ticket(&free).unwrap().external_id;
    assert_eq!(external_id.as_deref(), Some("google-cloud-support-case-3"));
}

// ---------------------------------------------------------------- writes whose answer is lost

#[tokio::test]
async fn a_creation_is_repeated_with_its_key_and_makes_one_ticket() {
    let crm = usual().await;
    crm.zendesk.faults().add(Fault::always(Effect::HangUpAfter).on("POST", "/api/v2/tickets").times(1));
    let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
    assert_eq!(crm.zendesk.tickets().len(), 1);
    assert_eq!(calls(&crm, "POST", "/api/v2/tickets"), 2);
    // Hours later, or with another body, the key does not help, but the existing ticket is found.
    let changed = NewCase { title: "Another title".to_owned(), ..new_case("organizations/1/cases/2") };
    let again = crm.adapter.create(&changed).await.unwrap();
    assert_eq!((again.id, crm.zendesk.tickets().len()), (case.id, 1));
}

#[tokio::test]
async fn a_comment_whose_answer_is_lost_may_have_happened_and_is_not_repeated() {
    let crm = usual().await;
    let id = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    crm.zendesk.faults().add(Fault::always(Effect::HangUpAfter).on("PUT", "/tickets/"));
    let error = crm.adapter.add_comment(&id, &new_comment("hello", Visibility::Public)).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    crm.zendesk.faults().clear();
    assert_eq!(crm.adapter.comments(&id, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_update_that_met_another_one_is_tried_again() {
    let crm = usual().await;
    let id = crm.person_creates("t", "d", true).await;
    let conflict = Effect::ErrorBefore { status: 409, body: None };
    crm.zendesk.faults().add(Fault::always(conflict).on("PUT", "/tickets/").times(4));
    crm.adapter.link(&id, "organizations/1/cases/2").await.unwrap();
    crm.adapter.set_priority(&id, Priority::P0).await.unwrap();
    let ticket = crm.zendesk.ticket(&id).unwrap();
    assert_eq!(ticket.priority.as_deref(), Some("urgent"));
    assert_eq!(ticket.google_name.as_deref(), Some("organizations/1/cases/2"));
}

// ---------------------------------------------------------------- limits

#[tokio::test]
async fn a_burst_on_one_ticket_is_paced_before_zendesk_refuses_it() {
    let crm = start(SandboxZendeskSettings::default(), |_| ()).await;
    let id = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    let say = async |number: usize| {
        crm.adapter.add_comment(&id, &new_comment(&format!("comment {number}"), Visibility::Public)).await
    };
    let mut written = 0;
    let error = loop {
        match say(written).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((written, error.kind), (28, ApiErrorKind::NotApplied), "{error}");
    assert!(error.message.contains("2026-07-01T12:10:00Z"), "{error}");
    assert_eq!(calls(&crm, "PUT", "/tickets/"), written, "nothing was sent in vain");
    let other = crm.adapter.create(&new_case("organizations/1/cases/3")).await.unwrap().id;
    crm.adapter.set_priority(&other, Priority::P0).await.unwrap();
    crm.clock.advance(Duration::minutes(10));
    say(written).await.unwrap();
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_if_it_is_short_and_left_to_the_queue_if_not() {
    for (retry_after, expected) in [("0", true), ("600", false)] {
        let crm = usual().await;
        let id = crm.person_creates("t", "d", true).await;
        let limited = Effect::RateLimited { retry_after: retry_after.to_owned() };
        crm.zendesk.faults().add(Fault::always(limited).on("PUT", "/tickets/").times(1));
        let outcome = crm.adapter.set_priority(&id, Priority::P0).await;
        assert_eq!(outcome.is_ok(), expected, "Retry-After: {retry_after}: {outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.kind, ApiErrorKind::NotApplied);
        }
    }
}

// ---------------------------------------------------------------- status and priority

#[tokio::test]
async fn solved_can_be_opened_again_and_closed_takes_nothing_and_says_so() {
    let crm = usual().await;
    let id = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    crm.adapter.close(&id).await.unwrap();
    assert_eq!(crm.zendesk.ticket(&id).unwrap().status, "solved", "solved, not closed");
    crm.adapter.reopen(&id).await.unwrap();
    assert_eq!(crm.zendesk.ticket(&id).unwrap().status, "open");
    crm.adapter.close(&id).await.unwrap();
    crm.zendesk.set_status(&id, "closed").unwrap();
    crm.adapter.close(&id).await.expect("closing what is closed succeeds");
    assert!(crm.adapter.get(&id).await.unwrap().unwrap().closed);
    let error = crm.adapter.reopen(&id).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unsupported);
    assert!(error.message.contains("follow-up ticket"), "{error}");
    let errors = [
        crm.adapter.add_comment(&id, &new_comment("late", Visibility::Public)).await.err(),
        crm.adapter.upload(&id, new_attachment("late.txt", Visibility::Public)).await.err(),
        crm.adapter.set_priority(&id, Priority::P0).await.err(),
        crm.adapter.link(&id, "organizations/1/cases/3").await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
        assert!(error.message.contains("closed, which is final"), "{error}");
    }
    assert_eq!(calls(&crm, "POST", "/uploads"), 0, "no file is sent to a ticket that takes none");
}

#[tokio::test]
async fn a_field_that_is_required_for_solving_is_named() {
    let settings = SandboxZendeskSettings { root_cause_required: true, ..SandboxZendeskSettings::default() };
    let crm = start(settings, |_| ()).await;
    let id = crm.person_creates("t", "d", true).await;
    let error = crm.adapter.close(&id).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    for part in ["Root cause: needed", "company.zendesk.solve_fields"] {
        assert!(error.message.contains(part), "{error}");
    }
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "solving").unwrap_err().contains("Root cause"));
}

#[tokio::test]
async fn one_word_stands_for_two_levels_and_none_for_none() {
    let crm = usual().await;
    let id = crm.person_creates("t", "d", true).await;
    for (word, expected) in [
        (Some("low"), PriorityReading::Known([Priority::P3, Priority::P4].into_iter().collect())),
        (Some("urgent"), PriorityReading::exactly(Priority::P0)),
        (None, PriorityReading::Unset),
    ] {
        crm.zendesk.set_priority(&id, word).unwrap();
        assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().priority, expected);
    }
}

// ---------------------------------------------------------------- permissions and missing settings

#[tokio::test]
async fn nobody_is_not_taken_for_somebody() {
    let settings = SandboxZendeskSettings {
        auth: SandboxZendeskAuth::Bearer { token: "right".to_owned() },
        ..SandboxZendeskSettings::default()
    };
    let crm = start(settings, |_| ()).await;
    assert!(
        crm.adapter.check(Needs::all(Visibility::Internal)).await.iter().all(|check| check.result().is_ok())
    );
    let (base, server) = serve(crm.zendesk.router()).await;
    let ours = ZendeskSettings { oauth_token: Some("env:T".to_owned()), ..ZendeskSettings::default() };
    let stranger =
        connect(ours.clone(), &base, ours.credentials("wrong", &base.parse().unwrap()).unwrap(), &crm.clock);
    let checks = stranger.check(Needs::all(Visibility::Internal)).await;
    assert_eq!(checks.len(), 1, "{checks:?}");
    assert!(line(&checks, "credentials").unwrap_err().contains("does not know these credentials"));
    for error in [
        stranger.get("1").await.err(),
        stranger.comments("1", None).await.err(),
        stranger.search_updated(crm.clock.now()).await.err(),
    ] {
        let error = error.unwrap();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    server.abort();
}

#[tokio::test]
async fn what_is_configured_and_does_not_exist_is_named_with_its_key() {
    let crm = start(SandboxZendeskSettings::default(), |ours| {
        ours.flag_field = "nothing".to_owned();
        ours.google_name_field = "synchronizeWithGoogleCloudSupport".to_owned();
    })
    .await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "field nothing").unwrap_err().contains("company.zendesk.flag_field"));
    for what in ["search for flagged cases", "who sees comments"] {
        let untried = line(&checks, what).unwrap_err();
        assert_eq!(untried, "not tried; see the line \"Zendesk: field nothing\"", "{what}");
    }
    assert!(
        line(&checks, "field synchronize")
            .as_ref()
            .unwrap_err()
            .contains("company.zendesk.google_name_field")
    );
    let error = crm.adapter.get("1").await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    assert!(error.message.contains("company.zendesk.flag_field"), "{error}");
}

/// Checks that one mistake is one failed line.
fn assert_one_mistake(checks: &[Check]) {
    let failed: Vec<&Check> = checks.iter().filter(|check| check.status == CheckStatus::Failed).collect();
    assert!(failed.len() <= 1, "{failed:#?}");
}

#[tokio::test]
async fn each_failure_of_a_check_says_what_to_change_and_where() {
    type Setup = fn(&mut SandboxZendeskSettings, &mut ZendeskSettings);
    /// Path and body of an answer in place of the sandbox's own.
    type Answer = Option<(&'static str, Value)>;
    const ALL: Needs = Needs::all(Visibility::Internal);
    let same: Setup = |_, _| ();
    let field = |id: u64, kind: &str, title: &str| json!({"id": id, "type": kind, "title": title, "active": true, "required": false});
    let fields =
        |fields: Value| ("/ticket_fields", json!({"ticket_fields": fields, "meta": {"has_more": false}}));
    let (flag, name) = ("synchronizeWithGoogleCloudSupport", "custom_field_google_name");
    let mut inactive = field(1, "checkbox", flag);
    inactive["active"] = json!(false);
    let cases: [(Setup, Answer, Needs, &str, &str); 14] = [
        (
            same,
            Some(("/users/me", json!({"user": {"id": 1, "name": "Bot", "role": "end-user"}}))),
            ALL,
            "role",
            "make the connector's user an agent (Admin Center",
        ),
        (
            |sandbox, _| sandbox.only_private_comments = true,
            None,
            Needs::all(Visibility::Public),
            "comments",
            "set sync.comment_visibility to \"internal\"",
        ),
        (
            same,
            Some(fields(json!([field(2, "text", name)]))),
            ALL,
            "field sync",
            "create one of the type Checkbox",
        ),
        (
            same,
            Some(fields(json!([field(1, "text", flag), field(2, "text", name)]))),
            ALL,
            "field sync",
            "company.zendesk.flag_field",
        ),
        (
            same,
            Some(fields(json!([
                field(1, "checkbox", flag),
                field(3, "checkbox", flag),
                field(2, "text", name)
            ]))),
            ALL,
            "field sync",
            "give the ID of the right one in company.zendesk.flag_field",
        ),
        (
            same,
            Some(fields(json!([inactive, field(2, "text", name)]))),
            ALL,
            "field sync",
            "activate it (Admin Center",
        ),
        (
            same,
            Some(fields(json!([field(1, "checkbox", flag), field(2, "date", name)]))),
            ALL,
            "field custom",
            "company.zendesk.google_name_field",
        ),
        (
            |sandbox, _| sandbox.root_cause_required = true,
            None,
            ALL,
            "solving",
            "company.zendesk.solve_fields",
        ),
        (
            |_, ours| {
                ours.solve_fields = [(ROOT_CAUSE_FIELD.to_string(), json!(["disk"]))].into();
            },
            None,
            ALL,
            "solving",
            "takes text, not [\"disk\"]; correct company.zendesk.solve_fields",
        ),
        (
            |_, ours| ours.solve_fields = [("4711".to_owned(), json!("disk"))].into(),
            None,
            ALL,
            "solving",
            "there is no ticket field 4711",
        ),
        (
            |sandbox, _| sandbox.admin = false,
            None,
            ALL,
            "incremental export",
            "use_incremental_export = false",
        ),
        (
            |sandbox, _| sandbox.attachment_limit = 20 * 1024 * 1024,
            None,
            ALL,
            "attachments",
            "company.zendesk.attachment_limit_mib to 20",
        ),
        (
            |_, ours| ours.description_visibility = Visibility::Public,
            Some((
                "/users/me",
                json!({"user": {"id": 1, "name": "Bot", "role": "agent", "only_private_comments": true}}),
            )),
            ALL,
            "comments",
            "set company.zendesk.description_visibility to",
        ),
        (
            same,
            Some(("/users/me", json!({"user": {"id": null}}))),
            ALL,
            "credentials",
            "company.zendesk.client_id",
        ),
    ];
    for (setup, answer, needs, what, hint) in cases {
        let mut sandbox = SandboxZendeskSettings::default();
        setup(&mut sandbox, &mut ZendeskSettings::default());
        let crm = start(sandbox, |ours| setup(&mut SandboxZendeskSettings::default(), ours)).await;
        if let Some((path, answer)) = answer {
            let said = Effect::ErrorBefore { status: 200, body: Some(answer.to_string()) };
            crm.zendesk.faults().add(Fault::always(said).on("GET", path));
        }
        let checks = casebridge::tasks::check_system(&crm.adapter, needs, crm.clock.now()).await;
        let problem = line(&checks, what).expect_err(hint);
        assert!(problem.contains(hint), "{what}: {problem}");
        assert_one_mistake(&checks);
        let writes = crm.zendesk.faults().calls().iter().filter(|call| call.method != "GET").count();
        assert_eq!(writes, 0, "a check changes nothing");
    }
}

/// Sets one of the IDs of the section.
type SetId = fn(&mut ZendeskSettings, u64);
const GROUP: SetId = |ours, id| ours.group_id = Some(id);
const BRAND: SetId = |ours, id| ours.brand_id = Some(id);
const FORM: SetId = |ours, id| ours.ticket_form_id = Some(id);
const SOLVER: SetId = |ours, id| ours.solver_id = Some(id);

#[tokio::test]
async fn each_id_of_the_section_is_looked_up_before_it_is_used() {
    const ALL: Needs = Needs::all(Visibility::Internal);
    use CheckStatus::{Failed, Ok as Fine, Warn};
    for (set, key, id, status, parts) in [
        (GROUP, "group_id", 360_000_000_101, Fine, ["360000000101 (Cloud)", ""]),
        (
            GROUP,
            "group_id",
            7,
            Failed,
            ["no group 7, but 360000000101 (Cloud), 360000000102", "group_id (Admin"],
        ),
        (
            GROUP,
            "group_id",
            360_000_000_109,
            Failed,
            ["360000000109 (Mainframe) is deleted", "company.zendesk."],
        ),
        (BRAND, "brand_id", 360_000_000_001, Fine, ["(Example)", ""]),
        (
            BRAND,
            "brand_id",
            7,
            Failed,
            ["no brand 7, but 360000000001 (Example); give", "company.zendesk.brand_id"],
        ),
        (BRAND, "brand_id", 360_000_000_002, Warn, ["(Old Example) is inactive", "company.zendesk.brand_id"]),
        (
            BRAND,
            "brand_id",
            360_000_000_009,
            Failed,
            ["(Other Example) is deleted", "company.zendesk.brand_id"],
        ),
        (FORM, "ticket_form_id", 360_000_000_104, Fine, ["(Incident)", ""]),
        (
            FORM,
            "ticket_form_id",
            7,
            Failed,
            ["no ticket form 7, but 360000000103", "company.zendesk.ticket_form_id"],
        ),
        (
            FORM,
            "ticket_form_id",
            360_000_000_105,
            Warn,
            ["(Fax) is inactive", "company.zendesk.ticket_form_id"],
        ),
        (SOLVER, "solver_id", 900_001, Fine, ["900001 (Casebridge)", ""]),
        (SOLVER, "solver_id", 7, Failed, ["there is no user 7; give", "company.zendesk.solver_id"]),
    ] {
        let crm = start(SandboxZendeskSettings::default(), |ours| set(ours, id)).await;
        let checks = casebridge::tasks::check_system(&crm.adapter, ALL, crm.clock.now()).await;
        let found = checks.iter().find(|check| check.what.contains(key)).unwrap();
        assert_eq!(found.status, status, "{found:?}");
        let told = found.result().unwrap_or_else(|text| text);
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        assert_one_mistake(&checks);
        assert_eq!(checks.iter().filter(|check| check.what.contains("_id")).count(), 1, "one key is given");
    }
}

#[tokio::test]
async fn a_solver_who_can_get_no_ticket_is_told_with_the_reason() {
    use UserStanding::{Deleted, LightAgent, Suspended, Usual};
    let crm = usual().await;
    let (base, server) = serve(crm.zendesk.router()).await;
    for (role, standing, reason) in [
        ("agent", Usual, None),
        ("admin", Usual, None),
        ("end-user", Usual, Some("an end user")),
        ("agent", LightAgent, Some("a light agent")),
        ("agent", Suspended, Some("suspended")),
        ("agent", Deleted, Some("deleted")),
    ] {
        let solver = crm.zendesk.set_user("Jane Roe", role, standing).unwrap();
        let ours = ZendeskSettings { solver_id: Some(solver), ..ZendeskSettings::default() };
        let adapter = connect(ours, &base, Arc::new(NoCredentials), &crm.clock);
        let found = line(&adapter.check(Needs::all(Visibility::Internal)).await, "solver_id");
        let route = Placement { assignee: Some(solver.to_string()), ..Placement::default() };
        let placed = adapter.check_placement(&route).await.map_err(|trouble| trouble.to_string());
        for found in [found, placed] {
            let part = reason.map(|reason| format!("Jane Roe ({solver}) is {reason} and gets no tickets"));
            match (&found, &part) {
                (Ok(_), None) => {}
                (Err(told), Some(part)) => assert!(told.contains(part), "{told}"),
                (found, _) => panic!("{role} {standing:?}: {found:?}"),
            }
        }
    }
    server.abort();
}

#[tokio::test]
async fn an_id_that_may_not_be_read_is_a_warning_and_one_that_is_not_needed_is_left_out() {
    let all = |ours: &mut ZendeskSettings| [GROUP, BRAND, FORM, SOLVER].iter().for_each(|set| set(ours, 7));
    let crm = start(SandboxZendeskSettings::default(), all).await;
    let refused = json!({"error": "Forbidden", "description": "You do not have access to this page"});
    let keys = ["group_id", "brand_id", "ticket_form_id", "solver_id"];
    for path in ["/groups/7", "/brands/7", "/ticket_forms/7", "/users/7"] {
        let said = Effect::ErrorBefore { status: 403, body: Some(refused.to_string()) };
        crm.zendesk.faults().add(Fault::always(said).on("GET", path));
    }
    let needs = Needs::all(Visibility::Internal);
    let checks = crm.adapter.check(needs).await;
    for key in keys {
        let found = checks.iter().find(|check| check.what.contains(key)).unwrap();
        let told = found.result().unwrap_or_else(|text| text);
        assert_eq!(found.status, CheckStatus::Warn, "{told}");
        assert!(
            told.contains("7 cannot be read") && told.contains(&format!("company.zendesk.{key}")),
            "{told}"
        );
    }
    let route = Placement { group: Some("7".to_owned()), ..Placement::default() };
    let trouble = crm.adapter.check_placement(&route).await.unwrap_err();
    assert_eq!(trouble.status, CheckStatus::Warn, "{trouble}");
    crm.zendesk.faults().clear_calls();
    let checks = crm.adapter.check(Needs { creation: false, status: false, ..needs }).await;
    assert!(keys.iter().all(|key| checks.iter().all(|check| !check.what.contains(key))), "{checks:?}");
    assert_eq!(calls(&crm, "GET", "/7"), 0);
}

#[tokio::test]
async fn a_check_leaves_out_what_is_switched_off() {
    let settings = SandboxZendeskSettings {
        root_cause_required: true,
        attachment_limit: 1024 * 1024,
        ..SandboxZendeskSettings::default()
    };
    let crm = start(settings, |_| ()).await;
    let all = Needs::all(Visibility::Internal);
    // A new account has no ticket to show.
    let is_trouble = |check: &Check| check.status != CheckStatus::Ok && check.what != "Zendesk: tickets";
    let failed = async |needs| crm.adapter.check(needs).await.into_iter().filter(is_trouble).count();
    assert_eq!(failed(all).await, 2);
    assert_eq!(failed(Needs { status: false, ..all }).await, 1);
    assert_eq!(failed(Needs { status: false, attachments: false, ..all }).await, 0);
}

#[tokio::test]
async fn a_word_that_zendesk_does_not_have_is_named_with_its_level() {
    let crm = usual().await;
    let (base, server) = serve(crm.zendesk.router()).await;
    let words = PriorityWords::new(["urgent", "high", "normal", "low", "lowest"].map(str::to_owned)).unwrap();
    let adapter = connect_with(ZendeskSettings::default(), words, &base, Arc::new(NoCredentials), &crm.clock);
    let checks = adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "priorities").unwrap_err();
    assert!(problem.contains("priorities.P4 = \"lowest\"; use urgent, high"), "{problem}");
    let words = PriorityWords::new(PriorityWords::DEFAULT.map(str::to_owned)).unwrap();
    let adapter = connect_with(ZendeskSettings::default(), words, &base, Arc::new(NoCredentials), &crm.clock);
    let problem = line(&adapter.check(Needs::all(Visibility::Internal)).await, "priorities").unwrap_err();
    assert!(
        problem.starts_with("[priorities] is missing, or ") && problem.contains("P0 = \"urgent\""),
        "{problem}"
    );
    server.abort();
}

#[tokio::test]
async fn a_light_agent_is_told_that_it_writes_notes_only() {
    let settings =
        SandboxZendeskSettings { only_private_comments: true, ..SandboxZendeskSettings::default() };
    let crm = start(settings, |ours| ours.description_visibility = Visibility::Public).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "comments").unwrap_err();
    assert!(problem.contains("description_visibility") && !problem.contains("comment_visibility"));
    let error = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
}

#[tokio::test]
async fn what_cannot_be_understood_is_skipped_and_named() {
    let crm = usual().await;
    let body = json!({"results": [
        {"id": 7, "subject": 7, "updated_at": "2026-07-01T12:00:00Z"},
        {"subject": "no id"},
        {"id": 8, "subject": "fine", "updated_at": "2026-07-01T12:00:00Z", "custom_fields": [{"id": 360_000_000_101_u64, "value": true}]},
    ], "meta": {"has_more": false}});
    let odd = Effect::ErrorBefore { status: 200, body: Some(body.to_string()) };
    crm.zendesk.faults().add(Fault::always(odd).on("GET", "/search/export"));
    let sweep = crm.adapter.search_updated("2026-07-01T12:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(sweep.cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), ["8"]);
    assert_eq!(
        sweep.skipped,
        ["ticket 7: subject is not text", "ticket without an ID: the ticket's id is not a number"]
    );
}

// ---------------------------------------------------------------- identity of the caller, and visible tickets (R26)

/// Starts a Zendesk that accepts only the right token.
async fn guarded() -> Running {
    let settings = SandboxZendeskSettings {
        auth: SandboxZendeskAuth::Bearer { token: "right".to_owned() },
        updates_per_ticket: MANY,
        ..SandboxZendeskSettings::default()
    };
    start(settings, |ours| ours.updates_per_ticket = MANY).await
}

#[tokio::test]
async fn a_token_that_ends_fails_every_call_with_what_to_do() {
    let crm = guarded().await;
    let id = crm.person_creates("t", "d", true).await;
    crm.tick().await;
    let sweep = crm.adapter.search_updated(DateTime::UNIX_EPOCH).await.unwrap();
    assert!(sweep.identified && sweep.cases.len() == 1, "agents only are answered");
    crm.adapter.identify().await.unwrap();
    let away = SandboxZendeskSwitches { anonymous: true, ..SandboxZendeskSwitches::default() };
    crm.zendesk.set_switches(away);
    let errors = [
        crm.adapter.search_updated(DateTime::UNIX_EPOCH).await.err(),
        crm.adapter.any_case(None).await.err(),
        crm.adapter.get(&id).await.err(),
        crm.adapter.comments(&id, None).await.err(),
        crm.adapter.find_counterparts("organizations/1/cases/2", None).await.err(),
    ];
    for error in errors {
        assert_eq!(error.unwrap().kind, ApiErrorKind::Unauthorized);
    }
    let error = crm.adapter.identify().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized);
    assert!(error.to_string().contains("check company.zendesk.oauth_token"), "{error}");
    assert!(!error.message.contains("company."), "{error}");
    crm.zendesk.set_switches(SandboxZendeskSwitches::default());
    assert_eq!(crm.adapter.search_updated(DateTime::UNIX_EPOCH).await.unwrap().cases.len(), 1);
}

#[tokio::test]
async fn an_agent_who_became_an_end_user_is_told_what_to_do() {
    let crm = usual().await;
    let id = crm.person_creates("t", "d", true).await;
    assert!(crm.adapter.get(&id).await.unwrap().is_some());
    crm.zendesk.set_switches(SandboxZendeskSwitches { end_user: true, ..SandboxZendeskSwitches::default() });
    // 403 does not mean that the ticket is missing.
    for error in [
        crm.adapter.identify().await.unwrap_err(),
        crm.adapter.get(&id).await.unwrap_err(),
        crm.adapter.search_updated(DateTime::UNIX_EPOCH).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
    }
    let error = crm.adapter.identify().await.unwrap_err();
    assert!(error.message.contains("make the connector's user an agent"), "{error}");
}

#[tokio::test]
async fn a_restricted_agent_is_shown_the_tickets_of_its_groups_and_check_says_so() {
    let settings = SandboxZendeskSettings { admin: false, ..SandboxZendeskSettings::default() };
    let crm = start(settings, |ours| ours.use_incremental_export = false).await;
    let shown = crm.person_creates("shown", "d", true).await;
    let hidden = crm.person_creates("hidden", "d", true).await;
    crm.zendesk.set_group(&shown, 7).unwrap();
    crm.zendesk.set_group(&hidden, 8).unwrap();
    assert_eq!(crm.adapter.get(&shown).await.unwrap().unwrap().scope, None, "all are shown");
    crm.zendesk.restrict_to_groups(Some(&[7])).unwrap();
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let role = line(&checks, "role").unwrap_err();
    assert!(role.contains("its groups only") && role.contains("without a word"), "{role}");
    let sweep = crm.adapter.search_updated(DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(sweep.cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), [shown.as_str()]);
    assert_eq!(crm.adapter.any_case(None).await.unwrap().as_ref(), Some(&shown));
    assert_eq!(crm.adapter.any_case(Some(&shown)).await.unwrap(), None);
    assert_eq!(crm.adapter.get(&hidden).await.unwrap(), None);
    // After `identify`, the adapter knows that its permissions depend on groups.
    crm.adapter.identify().await.unwrap();
    assert_eq!(crm.adapter.get(&shown).await.unwrap().unwrap().scope.as_deref(), Some("group 7"));
    let sweep = crm.adapter.search_updated(DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(sweep.cases[0].scope.as_deref(), Some("group 7"));
    crm.zendesk.restrict_to_groups(Some(&[])).unwrap();
    assert_eq!(crm.adapter.any_case(None).await.unwrap(), None);
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "tickets").unwrap_err().contains("access to tickets"), "{checks:?}");
    crm.zendesk.restrict_to_groups(None).unwrap();
    assert_eq!(crm.adapter.search_updated(DateTime::UNIX_EPOCH).await.unwrap().cases.len(), 2);
}

#[tokio::test]
async fn a_ticket_that_may_not_be_seen_is_none_whichever_way_zendesk_says_so() {
    let crm = usual().await;
    let id = crm.person_creates("t", "d", true).await;
    let other = crm.person_creates("other", "d", false).await;
    for status in [403, 404] {
        let path = format!("/tickets/{id}");
        let hidden = crm
            .zendesk
            .faults()
            .add(Fault::always(Effect::ErrorBefore { status, body: None }).on("GET", &path));
        assert_eq!(crm.adapter.get(&id).await.unwrap(), None, "{status}");
        crm.zendesk.faults().remove(hidden);
        assert!(crm.adapter.get(&id).await.unwrap().is_some(), "and is back afterwards");
    }
    crm.zendesk.delete_ticket(&id).unwrap();
    assert_eq!(crm.adapter.get(&id).await.unwrap(), None);
    assert_eq!(crm.adapter.any_case(None).await.unwrap(), Some(other), "unflagged ones count");
    crm.zendesk.restore_ticket(&id).unwrap();
    assert!(crm.adapter.get(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_export_that_is_refused_for_now_stops_nothing_that_the_search_found_and_is_made_up_for() {
    let crm = usual().await;
    crm.zendesk.faults().set_search_lag(Duration::minutes(20));
    let found = crm.person_creates("found by the search", "d", true).await;
    crm.clock.advance(Duration::minutes(25));
    let late = crm.person_creates("in the export only", "d", true).await;
    crm.tick().await;
    let since = crm.clock.now() - Duration::minutes(30);
    for effect in [
        Effect::RateLimited { retry_after: "60".to_owned() },
        Effect::ErrorBefore { status: 422, body: None },
        Effect::ErrorBefore { status: 500, body: None },
    ] {
        let fault = crm.zendesk.faults().add(Fault::always(effect.clone()).on("GET", "/incremental/"));
        let sweep = crm.adapter.search_updated(since).await.unwrap();
        assert_eq!(sweep.cases.iter().map(|case| &case.id).collect::<Vec<_>>(), [&found], "{effect:?}");
        crm.zendesk.faults().remove(fault);
    }
    // The next export begins where the refused ones would have, although the poll looks back less far by now.
    crm.clock.advance(Duration::minutes(3));
    crm.zendesk.faults().clear_calls();
    let sweep = crm.adapter.search_updated(crm.clock.now() - Duration::minutes(1)).await.unwrap();
    assert_eq!(sweep.cases, [], "what is older than asked for is left out all the same");
    let asked =
        crm.zendesk.faults().calls().into_iter().find(|call| call.path.contains("/incremental/")).unwrap();
    assert!(asked.path.contains(&format!("start_time={}", since.timestamp())), "{}", asked.path);
    let sweep = crm.adapter.search_updated(since).await.unwrap();
    assert!(sweep.cases.iter().any(|case| case.id == late));
    // A missing permission is an error.
    for status in [401, 403] {
        let fault = Fault::always(Effect::ErrorBefore { status, body: None }).on("GET", "/incremental/");
        let fault = crm.zendesk.faults().add(fault);
        let error = crm.adapter.search_updated(since).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
        crm.zendesk.faults().remove(fault);
    }
}

// ---------------------------------------------------------------- two clocks (R36)

#[tokio::test]
async fn searches_and_exports_go_by_zendesks_clock() {
    for ahead in [-600, -15, 0, 15, 600, 10 * 365 * 24 * 60] {
        let crm = usual().await;
        crm.zendesk.faults().set_clock_ahead(Duration::minutes(ahead));
        crm.zendesk.faults().set_search_lag(Duration::hours(5));
        let id = crm.person_creates("t", "d", true).await;
        crm.tick().await;
        crm.adapter.identify().await.unwrap();
        let skew = crm.adapter.clock_skew().unwrap();
        assert!((skew - Duration::minutes(ahead)).abs() <= Duration::seconds(2), "{skew} of {ahead} minutes");
        let theirs = crm.clock.now() + Duration::minutes(ahead);
        let sweep = crm.adapter.search_updated(theirs - Duration::minutes(5)).await.unwrap();
        assert_eq!(
            sweep.cases.iter().map(|case| &case.id).collect::<Vec<_>>(),
            [&id],
            "{ahead} minutes ahead"
        );
        assert!(
            (sweep.cases[0].updated_at.unwrap() - theirs).abs() < Duration::minutes(3),
            "in its own time"
        );
    }
}

// ---------------------------------------------------------------- comments without a public flag (R29)

#[tokio::test]
async fn what_does_not_say_that_it_is_public_is_internal() {
    let crm = usual().await;
    let id = crm.person_creates("t", "the words", true).await;
    crm.person_comments(&id, "for all", Visibility::Public).await;
    crm.person_attaches(&id, "a.txt", b"abc").await;
    assert!(line(&crm.adapter.check(Needs::all(Visibility::Internal)).await, "who sees").is_ok());
    crm.zendesk.set_switches(SandboxZendeskSwitches { unmarked: true, ..SandboxZendeskSwitches::default() });
    for comment in crm.adapter.comments(&id, None).await.unwrap() {
        assert_eq!(comment.visibility, Visibility::Internal, "{comment:?}");
    }
    for file in crm.adapter.attachments(&id, None).await.unwrap() {
        assert_eq!(file.visibility, Visibility::Internal, "{file:?}");
    }
    let withheld = "(The first comment of the ticket is an internal note and is not passed on.)";
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, withheld);
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "who sees").unwrap_err();
    assert!(problem.contains("3 of 3 comments do not say"), "{problem}");
    crm.zendesk.set_switches(SandboxZendeskSwitches::default());
    for marker in [json!(null), json!("true"), json!(1), json!("yes"), json!({})] {
        let body = json!({"comments": [
            {"id": 1, "author_id": 5, "body": "first", "created_at": "2026-07-01T12:00:00Z", "public": marker},
            {"id": 2, "author_id": 5, "body": "second", "created_at": "2026-07-01T12:00:01Z", "public": marker,
             "attachments": [{"id": 9, "file_name": "a.txt", "size": 3}]},
        ], "users": [], "meta": {"has_more": false}});
        let odd = Effect::ErrorBefore { status: 200, body: Some(body.to_string()) };
        let fault = crm.zendesk.faults().add(Fault::always(odd).on("GET", "/comments"));
        assert_eq!(
            crm.adapter.comments(&id, None).await.unwrap()[0].visibility,
            Visibility::Internal,
            "{marker}"
        );
        assert_eq!(
            crm.adapter.attachments(&id, None).await.unwrap()[0].visibility,
            Visibility::Internal,
            "{marker}"
        );
        assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, withheld, "{marker}");
        crm.zendesk.faults().remove(fault);
    }
    // Without a first comment, the description is not known to be public.
    let none = json!({"comments": [], "meta": {"has_more": false}}).to_string();
    let none = Effect::ErrorBefore { status: 200, body: Some(none) };
    crm.zendesk.faults().add(Fault::always(none).on("GET", "/comments"));
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, withheld);
}

// ---------------------------------------------------------------- name of a ticket (R31)

#[tokio::test]
async fn a_ticket_is_known_by_number_and_address_and_has_a_home() {
    let crm = usual().await;
    let id = crm.person_creates("t", "d", true).await;
    let home = crm.adapter.home().unwrap().to_owned();
    assert!(home.starts_with("http://127.0.0.1:") && !home.ends_with('/'), "{home}");
    let case = crm.adapter.get(&id).await.unwrap().unwrap();
    assert_eq!(case.address, Some(format!("{home}/agent/tickets/{id}")));
    assert_eq!(case.key, Some(format!("#{id}")));
    for reference in [
        id.clone(),
        format!(" #{id}"),
        format!("{home}/agent/tickets/{id}"),
        format!("{home}/hc/en-us/requests/{id}"),
        format!("{home}/api/v2/tickets/{id}.json"),
        format!("0{id}"),
    ] {
        assert_eq!(crm.adapter.resolve(&reference).await.unwrap().as_ref(), Some(&case), "{reference}");
    }
    assert_eq!(crm.adapter.resolve("99999").await.unwrap(), None);
    for (reference, hint) in [
        (format!("https://other.zendesk.com/agent/tickets/{id}"), home.as_str()),
        ("SUP-1".to_owned(), "give its number"),
        (format!("{home}/agent/users/{id}"), "names no ticket"),
    ] {
        let error = crm.adapter.resolve(&reference).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{reference}");
        assert!(error.message.contains(hint), "{error}");
    }
}

#[tokio::test]
async fn a_ticket_tells_who_made_it_and_the_connectors_own_comes_first() {
    let crm = usual().await;
    let name = "organizations/1/cases/2";
    let claim = NewTicket { google_name: Some(name.to_owned()), ..NewTicket::flagged("a claim") };
    let claim = crm.zendesk.create_ticket(claim).unwrap();
    let external_id = Some("google-cloud-support-case-2".to_owned());
    let foreign =
        crm.zendesk.create_ticket(NewTicket { external_id, ..NewTicket::flagged("another desk's") });
    let foreign = foreign.unwrap();
    crm.tick().await;
    let found = crm.adapter.find_counterparts(name, None).await.unwrap();
    assert_eq!((found[0].id.as_str(), found[0].by_connector), (claim.as_str(), Some(false)));
    assert_eq!(crm.adapter.get(&foreign).await.unwrap().unwrap().by_connector, Some(false));
    let ours = crm.adapter.create(&new_case(name)).await.unwrap();
    assert_eq!(ours.by_connector, Some(true));
    crm.tick().await;
    let found = crm.adapter.find_counterparts(name, None).await.unwrap();
    assert_eq!((&found[0].id, found[0].by_connector), (&ours.id, Some(true)), "although it is the youngest");
    let ids: Vec<&String> = found.iter().map(|case| &case.id).collect();
    assert_eq!(ids, [&ours.id, &claim, &foreign], "each once, though both searches find it");
    let since = crm.clock.now() - Duration::hours(1);
    for case in crm.adapter.search_updated(since).await.unwrap().cases {
        assert_eq!(case.by_connector, Some(case.id == ours.id), "searches tell it too: {case:?}");
    }
    // A poll makes two calls, however many tickets it finds.
    crm.zendesk.faults().clear_calls();
    crm.adapter.search_updated(since).await.unwrap();
    assert_eq!(crm.zendesk.faults().calls().len(), 2);
}

#[tokio::test]
async fn a_key_that_was_used_for_another_case_does_not_keep_a_ticket_from_being_made() {
    for settings in [true, false] {
        let crm = start(SandboxZendeskSettings::default(), |ours| ours.use_external_id = settings).await;
        // Another installation with the same form of keys used this key within two hours.
        let theirs = NewCase {
            idempotency_key: "casebridge-1-case".to_owned(),
            ..new_case("organizations/9/cases/7")
        };
        let theirs = crm.adapter.create(&theirs).await.unwrap().id;
        // A person's claim is not the ticket of the first request.
        let claim =
            NewTicket { google_name: Some("organizations/1/cases/2".to_owned()), ..NewTicket::flagged("c") };
        let claim = crm.zendesk.create_ticket(claim).unwrap();
        let ours = NewCase {
            idempotency_key: "casebridge-1-case".to_owned(),
            ..new_case("organizations/1/cases/2")
        };
        crm.zendesk.faults().clear_calls();
        let created = crm.adapter.create(&ours).await.unwrap();
        assert!(created.id != theirs && created.id != claim, "{created:?}");
        assert_eq!(
            crm.zendesk.ticket(&created.id).unwrap().google_name.as_deref(),
            Some("organizations/1/cases/2")
        );
        assert_eq!(calls(&crm, "POST", "/api/v2/tickets"), 2);
        // The same request again, as after a lost answer, creates no other ticket.
        assert_eq!(crm.adapter.create(&ours).await.unwrap().id, created.id);
        assert_eq!(crm.zendesk.tickets().len(), 3);
    }
}

#[tokio::test]
async fn a_key_that_is_taken_is_not_replaced_as_long_as_nobody_knows_what_it_left() {
    let crm = usual().await;
    crm.adapter
        .create(&NewCase { idempotency_key: "k".to_owned(), ..new_case("organizations/9/cases/7") })
        .await
        .unwrap();
    let down = Effect::ErrorBefore { status: 503, body: None };
    crm.zendesk.faults().add(Fault::always(down).on("GET", "external_id="));
    let ours = NewCase { idempotency_key: "k".to_owned(), ..new_case("organizations/1/cases/2") };
    let error = crm.adapter.create(&ours).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NotApplied, "{error}");
    assert_eq!(crm.zendesk.tickets().len(), 1);
    crm.zendesk.faults().clear();
    crm.adapter.create(&ours).await.unwrap();
    assert_eq!(crm.zendesk.tickets().len(), 2);
}

// ---------------------------------------------------------------- ways of closing (R32)

#[tokio::test]
async fn how_a_ticket_was_closed_is_read() {
    let crm = usual().await;
    let closed = async |change: &dyn Fn(&str)| {
        let id = crm.person_creates("t", "d", true).await;
        change(&id);
        let case = crm.adapter.get(&id).await.unwrap().unwrap();
        (case.closed, case.closing)
    };
    assert_eq!(closed(&|_| ()).await, (false, None));
    let solved = |id: &str| crm.zendesk.set_status(id, "solved").unwrap();
    assert_eq!(closed(&solved).await, (true, Some(Closing::Solved)));
    let automated = |id: &str| {
        crm.zendesk.set_status(id, "solved").unwrap();
        crm.zendesk.set_status(id, "closed").unwrap();
    };
    assert_eq!(closed(&automated).await, (true, Some(Closing::Solved)));
    for (label, expected) in [
        ("Solved", Closing::Solved),
        ("Cancelled by customer", Closing::Cancelled),
        ("Duplicate", Closing::Duplicate),
    ] {
        let named = |id: &str| crm.zendesk.set_custom_status(id, label).unwrap();
        assert_eq!(closed(&named).await, (true, Some(expected)), "{label}");
        let final_too = |id: &str| {
            crm.zendesk.set_custom_status(id, label).unwrap();
            crm.zendesk.set_status(id, "closed").unwrap();
        };
        assert_eq!(closed(&final_too).await, (true, Some(expected)), "{label}, closed");
    }
    assert_eq!(calls(&crm, "GET", "/custom_statuses"), 1, "the names are asked for once");
    // A follow-up ticket inherits the tags of the first one.
    let follow_up = |id: &str| {
        crm.zendesk.set_tags(id, &["closed_by_merge"]).unwrap();
        crm.zendesk.set_status(id, "solved").unwrap();
    };
    assert_eq!(closed(&follow_up).await, (true, Some(Closing::Solved)));
    // If the custom statuses cannot be read, the call fails; if the account has none (404), a solved ticket counts as solved.
    let other = usual().await;
    let id = other.person_creates("t", "d", true).await;
    other.zendesk.set_custom_status(&id, "Cancelled by customer").unwrap();
    let down = Effect::ErrorBefore { status: 503, body: None };
    other.zendesk.faults().add(Fault::always(down).on("GET", "/custom_statuses"));
    assert!(other.adapter.get(&id).await.is_err());
    other.zendesk.faults().clear();
    let absent = Effect::ErrorBefore { status: 404, body: None };
    other.zendesk.faults().add(Fault::always(absent).on("GET", "/custom_statuses"));
    assert_eq!(other.adapter.get(&id).await.unwrap().unwrap().closing, Some(Closing::Solved));
}

#[tokio::test]
async fn a_merged_ticket_names_the_one_that_is_left() {
    let crm = usual().await;
    let gone = crm.person_creates("gone", "d", true).await;
    let left = crm.person_creates("left", "d", true).await;
    let number = crm.person_comments(&gone, "this is like #1 and #2", Visibility::Public).await;
    assert!(!number.is_empty());
    crm.zendesk.merge(&gone, &left, "Ann Agent").unwrap();
    let case = crm.adapter.get(&gone).await.unwrap().unwrap();
    assert_eq!(
        (case.closed, case.closing, &case.merged_into),
        (true, Some(Closing::Merged), &Some(left.clone()))
    );
    let survivor = crm.adapter.get(&left).await.unwrap().unwrap();
    assert_eq!((survivor.closed, survivor.closing, survivor.merged_into), (false, None, None));
    // A chain of merges is reported link by link.
    let last = crm.person_creates("last", "d", true).await;
    crm.zendesk.merge(&left, &last, "Ann Agent").unwrap();
    assert_eq!(crm.adapter.get(&left).await.unwrap().unwrap().merged_into, Some(last));
    assert_eq!(crm.adapter.get(&gone).await.unwrap().unwrap().merged_into, Some(left));
    // A merged ticket costs one extra call, another ticket or a search none.
    let open = crm.person_creates("open", "d", true).await;
    for (id, comments) in [(&gone, 2), (&open, 1)] {
        crm.zendesk.faults().clear_calls();
        crm.adapter.get(id).await.unwrap();
        assert_eq!(calls(&crm, "GET", "/comments"), comments);
    }
    crm.zendesk.faults().clear_calls();
    crm.adapter.search_updated(crm.clock.now() - Duration::hours(1)).await.unwrap();
    assert_eq!(crm.zendesk.faults().calls().len(), 2);
    // Merged through the API, with other texts or none: the ticket counts as merged even if its target is unknown.
    let (base, server) = serve(crm.zendesk.router()).await;
    let http = reqwest::Client::new();
    for (words, known) in [(json!("goes on in #{}"), true), (json!(null), false)] {
        let from = crm.person_creates("from", "d", true).await;
        let into = crm.person_creates("into", "d", true).await;
        let words = words.as_str().map(|words| words.replace("{}", &into));
        let body = json!({"ids": [from.parse::<u64>().unwrap()], "source_comment": words});
        let answer =
            http.post(format!("{base}/api/v2/tickets/{into}/merge")).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
        let case = crm.adapter.get(&from).await.unwrap().unwrap();
        assert_eq!(case.closing, Some(Closing::Merged));
        assert_eq!(case.merged_into, known.then_some(into));
    }
    server.abort();
}

#[tokio::test]
async fn a_customer_who_writes_a_number_does_not_hand_a_case_over() {
    let crm = usual().await;
    let id = crm.person_creates("t", "d", true).await;
    let words = "This request was closed and merged into request #9";
    let body = |role: &str| {
        json!({"comments": [{"id": 2, "author_id": 5, "plain_body": words, "public": true,
            "created_at": "2026-07-01T12:00:01Z", "via": {"channel": "merge"}}],
            "users": [{"id": 5, "name": "X", "role": role}], "meta": {"has_more": false}})
    };
    crm.zendesk.set_tags(&id, &["closed_by_merge"]).unwrap();
    crm.zendesk.set_status(&id, "closed").unwrap();
    for (role, expected) in [("end-user", None), ("agent", Some("9".to_owned())), ("", None)] {
        let said = Effect::ErrorBefore { status: 200, body: Some(body(role).to_string()) };
        // The fault hits the second call; the first one reads the description.
        let fault = crm.zendesk.faults().add(Fault::always(said).on("GET", "sort=-created_at"));
        let case = crm.adapter.get(&id).await.unwrap().unwrap();
        assert_eq!((case.closing, case.merged_into), (Some(Closing::Merged), expected), "{role}");
        crm.zendesk.faults().remove(fault);
    }
}

#[tokio::test]
async fn what_the_connector_wrote_on_a_merged_ticket_is_not_carried_from_the_one_that_is_left() {
    let crm = usual().await;
    let ours = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap().id;
    crm.adapter.upload(&ours, new_attachment("from-google.txt", Visibility::Internal)).await.unwrap();
    let theirs = crm.zendesk.attach(&ours, "Jane Roe", "from-jane.txt", "text/plain", "other").unwrap();
    crm.tick().await;
    let copy = "[Google Comment 12 by Ada]\nHave you tried #4?";
    crm.adapter.add_comment(&ours, &new_comment(copy, Visibility::Internal)).await.unwrap();
    let left = crm.person_creates("left", "d", true).await;
    crm.zendesk.merge(&ours, &left, "Ann Agent").unwrap();
    let comments = crm.adapter.comments(&left, None).await.unwrap();
    assert_eq!(comments.len(), 1, "{comments:?}");
    assert!(comments[0].body.starts_with(&format!("Request #{ours} ")), "{:?}", comments[0].body);
    assert!(
        !comments[0].body.contains("[Google") && !comments[0].body.contains("Have you"),
        "{:?}",
        comments[0].body
    );
    let names: Vec<String> =
        crm.adapter.attachments(&left, None).await.unwrap().into_iter().map(|file| file.filename).collect();
    assert_eq!(names, ["from-jane.txt"], "a person's file is carried");
    assert!(crm.zendesk.attachment_bytes(&theirs).is_some());
    // A notice of the connector is not copied either, whatever its words.
    let noticed = crm.adapter.create(&new_case("organizations/1/cases/3")).await.unwrap().id;
    crm.tick().await;
    crm.adapter
        .add_comment(&noticed, &new_comment("Syncing has resumed.", Visibility::Internal))
        .await
        .unwrap();
    crm.zendesk.merge(&noticed, &left, "Ann Agent").unwrap();
    let told = crm.adapter.comments(&left, None).await.unwrap().remove(0);
    assert!(told.body.contains("merged into this request") && !told.body.contains("resumed"), "{told:?}");
    // A person's last comment is quoted and copied.
    let person = crm.person_creates("person's", "d", true).await;
    crm.tick().await;
    crm.person_comments(&person, "the disk is full", Visibility::Public).await;
    crm.zendesk.merge(&person, &left, "Ann Agent").unwrap();
    let bodies: Vec<String> =
        crm.adapter.comments(&left, None).await.unwrap().into_iter().map(|comment| comment.body).collect();
    assert!(bodies.iter().any(|body| body.contains("the disk is full")), "{bodies:?}");
}

#[tokio::test]
async fn a_quoted_copy_is_known_by_its_words_where_its_ticket_does_not_tell() {
    let crm = usual().await;
    let left = crm.person_creates("left", "d", true).await;
    let target = crm.adapter.capabilities();
    let original = casebridge::cases::Comment {
        id: "12".to_owned(),
        other_id: None,
        author: "Ada".to_owned(),
        created_at: None,
        body: "hello".to_owned(),
        earlier_body: None,
        edited_at: None,
        visibility: Visibility::Public,
        by_connector: None,
    };
    let copies = texts::comment_parts(Side::Google, &original, target);
    let refused = format!("{}\nThe file", texts::attachment_marker(Side::Google, "5", "Ada"));
    let mirrored = format!("{}\nSince noon", casebridge::cases::markers::COMPANY_DESCRIPTION_HEADER);
    let further = "[Google Description (2/3)]\nmore".to_owned();
    assert!(texts::description_part(Side::Google, &further).is_some());
    for quoted in [copies[0].clone(), refused, mirrored, further, "a person's".to_owned()] {
        let own = quoted != "a person's";
        // Ticket 99 is not visible.
        let head =
            "Request #99 \"x\" was closed and merged into this request. Last comment in request #99:\n\n";
        let text = format!("{head}{quoted}");
        let body = json!({"comments": [
            {"id": 1, "author_id": 5, "plain_body": "d", "public": true, "created_at": "2026-07-01T12:00:00Z"},
            {"id": 2, "author_id": 5, "plain_body": text, "public": true, "created_at": "2026-07-01T12:00:01Z"},
        ], "users": [], "meta": {"has_more": false}});
        let said = Effect::ErrorBefore { status: 200, body: Some(body.to_string()) };
        let fault = Fault::always(said).on("GET", &format!("/tickets/{left}/comments"));
        let fault = crm.zendesk.faults().add(fault);
        let read = crm.adapter.comments(&left, None).await.unwrap().remove(0).body;
        assert_eq!(read, if own { head.to_owned() } else { text }, "{quoted}");
        crm.zendesk.faults().remove(fault);
    }
}

// ---------------------------------------------------------------- permanent refusals (R30, R33, R34, R39)

/// Function that changes the answer for a file, by its ID.
type Spoil = Box<dyn Fn(&Running, &str)>;

#[tokio::test]
async fn what_comes_in_place_of_a_file_is_told_by_kind() {
    use ApiErrorKind::{NotFound, Refused, Unauthorized, WrongContent};
    let crm = guarded().await;
    let id = crm.person_creates("t", "d", true).await;
    let spoilt = |spoilt| move |crm: &Running, file: &str| crm.zendesk.spoil(file, Some(spoilt)).unwrap();
    let table: [(&str, Spoil, ApiErrorKind, Option<u16>, bool); 9] = [
        ("404", Box::new(spoilt(Spoilt::Status(404))), NotFound, Some(404), true),
        ("410", Box::new(spoilt(Spoilt::Status(410))), NotFound, Some(410), true),
        ("403", Box::new(spoilt(Spoilt::Status(403))), Unauthorized, Some(403), true),
        ("400", Box::new(spoilt(Spoilt::Status(400))), Refused, Some(400), true),
        ("401", Box::new(spoilt(Spoilt::Status(401))), Unauthorized, Some(401), false),
        ("a page to sign in on", Box::new(spoilt(Spoilt::SignOn)), WrongContent, Some(200), true),
        ("another size", Box::new(spoilt(Spoilt::OtherSize(7))), WrongContent, Some(200), true),
        ("malware", Box::new(|crm, file| crm.zendesk.set_malware(file, true).unwrap()), Refused, None, true),
        (
            "redacted",
            Box::new(|crm, file| crm.zendesk.redact_attachment(file).unwrap()),
            NotFound,
            None,
            true,
        ),
    ];
    for (what, spoil, kind, status, for_good) in table {
        let file = crm.zendesk.attach(&id, "Jane Roe", "a.txt", "text/plain", "abcdefghij").unwrap();
        let listed = crm.adapter.attachments(&id, None).await.unwrap();
        let listed = listed.into_iter().find(|found| found.id == file).unwrap();
        spoil(&crm, &file);
        let error = match crm.adapter.download(&id, &listed).await {
            Err(error) => error,
            Ok(download) => download.content.try_collect::<Vec<Bytes>>().await.unwrap_err(),
        };
        assert_eq!((error.kind, error.is_for_good()), (kind, for_good), "{what}: {error}");
        assert!(error.status.is_none() || error.status == status, "{what}: {error}");
        assert!(!error.to_string().contains("token/"), "{what}: {error}");
        let still = crm.adapter.attachments(&id, None).await.unwrap().iter().any(|found| found.id == file);
        assert_eq!(still, what != "redacted", "{what}: what is listed stays listed (R39)");
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_gets_a_page_and_not_the_file() {
    let crm = guarded().await;
    let id = crm.person_creates("t", "d", true).await;
    crm.person_attaches(&id, "a.png", b"abc").await;
    let listed = crm.adapter.attachments(&id, None).await.unwrap();
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "download").unwrap().contains("arrives whole, 3 bytes"), "{checks:?}");
    // Downloads require more than the API's credentials: a sign-in page comes in place of the file.
    let away = Effect::ErrorBefore {
        status: 200,
        body: Some("<!DOCTYPE html>\n<html><body>Sign in</body></html>".to_owned()),
    };
    crm.zendesk.faults().add(Fault::always(away).on("GET", "/attachments/token/"));
    let error = crm.adapter.download(&id, &listed[0]).await.err().unwrap();
    assert_eq!(error.kind, ApiErrorKind::WrongContent, "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "download").unwrap_err();
    assert!(problem.contains("Allow secure downloads"), "{problem}");
}

#[tokio::test]
async fn single_writes_are_refused_by_kind() {
    use ApiErrorKind::{NotApplied, NotFound, Refused, Unacceptable, Unauthorized, Uncertain};
    // Columns: status; kind of error for a comment; kind of error for an upload; true if it is permanent.
    for (status, comment, upload, for_good) in [
        (400, Refused, Unacceptable, true),
        (401, Unauthorized, Unauthorized, false),
        (403, Unauthorized, Unauthorized, true),
        (404, NotFound, NotFound, true),
        (410, NotFound, NotFound, true),
        (413, Unacceptable, Unacceptable, true),
        (415, Unacceptable, Unacceptable, true),
        (422, Refused, Unacceptable, true),
        (409, NotApplied, NotApplied, false),
        (500, Uncertain, NotApplied, false),
    ] {
        let crm = usual().await;
        let id = crm.person_creates("t", "d", true).await;
        let refused = Effect::ErrorBefore { status, body: None };
        crm.zendesk.faults().add(Fault::always(refused.clone()).on("PUT", "/tickets/"));
        crm.zendesk.faults().add(Fault::always(refused).on("POST", "/uploads"));
        let error = crm.adapter.add_comment(&id, &new_comment("x", Visibility::Public)).await.unwrap_err();
        assert_eq!((error.kind, error.is_for_good()), (comment, for_good), "comment {status}: {error}");
        let error = crm.adapter.set_priority(&id, Priority::P0).await.unwrap_err();
        assert_eq!((error.kind, error.status), (comment, Some(status)), "priority {status}: {error}");
        let error = crm.adapter.upload(&id, new_attachment("a.txt", Visibility::Public)).await.unwrap_err();
        assert_eq!((error.kind, error.is_for_good()), (upload, for_good), "upload {status}: {error}");
    }
}

#[tokio::test]
async fn a_priority_that_zendesk_does_not_take_is_refused() {
    let crm = usual().await;
    let (base, server) = serve(crm.zendesk.router()).await;
    let words = PriorityWords::new(["blocker", "high", "normal", "low", "low"].map(str::to_owned)).unwrap();
    let adapter = connect_with(ZendeskSettings::default(), words, &base, Arc::new(NoCredentials), &crm.clock);
    let id = crm.person_creates("t", "d", true).await;
    let error = adapter.set_priority(&id, Priority::P0).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::Refused, Some(422)), "{error}");
    server.abort();
    // A Zendesk that answers 200 and keeps the old priority.
    let kept =
        json!({"ticket": {"id": id.parse::<u64>().unwrap(), "priority": "low"}, "audit": {"events": []}});
    let kept = Effect::ErrorBefore { status: 200, body: Some(kept.to_string()) };
    crm.zendesk.faults().add(Fault::always(kept).on("PUT", "/tickets/"));
    let error = crm.adapter.set_priority(&id, Priority::P0).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    assert!(error.message.contains("keeps the priority low where urgent was set"), "{error}");
    crm.adapter.set_priority(&id, Priority::P3).await.unwrap();
}

#[tokio::test]
async fn a_ticket_without_a_priority_has_none_wherever_it_is_read() {
    let crm = usual().await;
    let ticket = NewTicket { priority: None, ..NewTicket::flagged("t") };
    let id = crm.zendesk.create_ticket(ticket).unwrap();
    crm.tick().await;
    assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().priority, PriorityReading::Unset);
    let found = crm.adapter.search_updated(crm.clock.now() - Duration::hours(1)).await.unwrap();
    assert_eq!(found.cases[0].priority, PriorityReading::Unset);
    // A case that is created without a priority reads as unset: a default is nobody's decision (R30).
    let none = NewCase { priority: None, ..new_case("organizations/1/cases/2") };
    assert_eq!(crm.adapter.create(&none).await.unwrap().priority, PriorityReading::Unset);
}

#[tokio::test]
async fn a_new_ticket_has_what_its_route_sets_beside_the_connectors_own() {
    let server = Scripted::new(|_, asked| match asked.target.split('?').next().unwrap_or_default() {
        "/api/v2/users/me" => Say::json(r#"{"user": {"id": 9, "name": "Casebridge", "role": "admin"}}"#),
        "/api/v2/ticket_fields" => Say::json(
            r#"{"ticket_fields": [
                {"id": 1, "type": "checkbox", "title": "synchronizeWithGoogleCloudSupport", "active": true},
                {"id": 2, "type": "text", "title": "custom_field_google_name", "active": true}
            ], "meta": {"has_more": false}}"#,
        ),
        _ => Say::status(201, "content-type: application/json\r\n", r#"{"ticket": {"id": 5}}"#),
    })
    .await;
    let settings = ZendeskSettings { group_id: Some(70), ..ZendeskSettings::default() };
    let address = server.url.socket_addrs(|| None).unwrap()[0];
    let clock: SharedClock = ManualClock::at(DateTime::<Utc>::UNIX_EPOCH);
    let nobody = Arc::new(NoCredentials);
    let upstream = upstream("Zendesk", address, Vec::new(), StdDuration::from_secs(10), &clock, nobody);
    let words = ["urgent", "high", "normal", "low", "low"].map(str::to_owned);
    let adapter = Zendesk::new(settings, PriorityWords::new(words).unwrap(), upstream, clock.clone());
    let text = |text: &str| Some(text.to_owned());
    for (placement, expected) in [
        (Placement::default(), json!({ "tags": ["google_cloud"], "group_id": 70 })),
        (
            Placement {
                issue_type: text("Incident"),
                labels: vec!["shop".to_owned(), "google_cloud".to_owned()],
                assignee: text("jane@example.com"),
                group: text("71"),
                request_type: text("72"),
                fields: [("3".to_owned(), json!("high"))].into(),
                ..Placement::default()
            },
            json!({
                "type": "incident", "tags": ["google_cloud", "shop"], "assignee_email": "jane@example.com",
                "group_id": 71, "ticket_form_id": 72,
            }),
        ),
        (
            Placement { assignee: text("8"), ..Placement::default() },
            json!({ "tags": ["google_cloud"], "group_id": 70, "assignee_id": 8 }),
        ),
    ] {
        let case = NewCase { placement: placement.clone(), ..new_case("organizations/1/cases/2") };
        adapter.create(&case).await.unwrap();
        let asked = server.asked();
        let sent = asked.iter().rfind(|asked| asked.method == "POST").unwrap().json()["ticket"].clone();
        let keys = ["type", "tags", "assignee_email", "assignee_id", "group_id", "ticket_form_id"];
        let own = sent.as_object().unwrap().iter().filter(|(key, _)| keys.contains(&key.as_str()));
        let own: serde_json::Map<_, _> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        assert_eq!(Value::Object(own), expected, "{placement:?}");
        let custom = sent["custom_fields"].as_array().unwrap();
        assert!(custom.contains(&json!({ "id": 1, "value": true })), "{custom:?}");
        assert!(custom.contains(&json!({ "id": 2, "value": "organizations/1/cases/2" })), "{custom:?}");
        assert_eq!(custom.contains(&json!({ "id": 3, "value": "high" })), !placement.fields.is_empty());
    }
}

#[tokio::test]
async fn a_status_is_a_system_status_or_one_of_the_accounts_own() {
    let crm = start(SandboxZendeskSettings::default(), |ours| {
        ours.google_state_field = Some("google state".to_owned());
    })
    .await;
    let id = crm.person_creates("Waits", "", true).await;
    let case = async || crm.adapter.get(&id).await.unwrap().unwrap();
    for (wanted, status, label) in [
        ("waiting for GOOGLE", "pending", "Waiting for Google"),
        ("360000000208", "pending", "Waiting for Google"),
        ("Open", "open", "Open"),
        ("360000000208", "pending", "Waiting for Google"),
        ("On-hold", "hold", "On-hold"),
        ("pending", "pending", "Pending"),
    ] {
        crm.adapter.set_status(&id, wanted).await.unwrap();
        let ticket = crm.zendesk.ticket(&id).unwrap();
        assert_eq!((ticket.status.as_str(), ticket.status_label.as_str()), (status, label), "{wanted}");
    }
    assert_eq!(case().await.status, ["pending", "360000000203"]);
    let named = crm.adapter.status_names(&case().await).await.unwrap();
    assert_eq!(named, ["pending", "360000000203", "Pending"]);
    for (wanted, part) in [
        ("Duplicate", "means that the ticket is solved"),
        ("solved", "means that the ticket is solved"),
        ("Waiting for the vendor", "there is no status"),
    ] {
        let error = crm.adapter.set_status(&id, wanted).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
        assert!(error.message.contains(part), "{wanted}: {error}");
    }
    assert_eq!(case().await.state_text.as_deref(), Some(""));
    crm.adapter.show_state(&id, "Waiting for you (action required)").await.unwrap();
    assert_eq!(case().await.state_text.as_deref(), Some("Waiting for you (action required)"));
    crm.person_closes(&id).await;
    let error = crm.adapter.set_status(&id, "open").await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ApiErrorKind::Refused, "the ticket was solved meanwhile")
    );
    let statuses = crm.adapter.statuses().await.unwrap();
    assert!(statuses.complete);
    for (name, closed) in
        [("Waiting for Google", false), ("hold", false), ("Duplicate", true), ("closed", true)]
    {
        let known = statuses.known.iter().find(|known| known.is_called(name)).unwrap();
        assert_eq!(known.closed, closed, "{known:?}");
    }
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "field google state").is_ok(), "{checks:?}");
    let lacking = start(SandboxZendeskSettings::default(), |ours| {
        ours.google_state_field = Some("No field".to_owned());
    })
    .await;
    let id = lacking.person_creates("Waits", "", true).await;
    let error = lacking.adapter.show_state(&id, "x").await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused);
    assert!(error.message.contains("company.zendesk.google_state_field"), "{error}");
    let checks = lacking.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "field No field").unwrap_err().contains("company.zendesk.google_state_field"));
}

#[tokio::test]
async fn a_tag_is_added_and_removed_and_all_others_stay() {
    let crm = usual().await;
    let id = crm.person_creates("The disk is full", "", true).await;
    crm.zendesk.set_tags(&id, &["urgent"]).unwrap();
    for (present, tags) in [
        (true, vec!["google-escalated", "urgent"]),
        (true, vec!["google-escalated", "urgent"]),
        (false, vec!["urgent"]),
        (false, vec!["urgent"]),
    ] {
        // Zendesk keeps tags in lower case.
        let label = Annotation::Label { label: "Google-Escalated".to_owned(), present };
        assert_eq!(crm.adapter.annotate(&id, &label).await.unwrap(), Annotated::Done);
        assert_eq!(crm.zendesk.ticket(&id).unwrap().tags, tags);
    }
}
