//! The Zendesk adapter against the sandbox Zendesk, over real HTTP: the suite that all CRMs share, and Zendesk's own traps.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use bytes::Bytes;
use casebridge::cases::{
    ApiErrorKind, CaseSystem, Check, Needs, NewAttachment, NewCase, NewComment, Visibility,
};
use casebridge::clock::{Clock as _, ManualClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::zendesk::{Zendesk, ZendeskSettings};
use casebridge::entities::{Priority, PriorityReading};
use casebridge::outbound::{Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::zendesk::{
    NewTicket, ROOT_CAUSE_FIELD, SandboxZendesk, SandboxZendeskAuth, SandboxZendeskSettings,
};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Duration, Utc};
use futures_util::{TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::contract::crm::{self as suite, CrmUnderTest, crm_contract};
use crate::harness::zendesk::is_interpreted;

mod usual {
    use super::{crm_contract, suite, usual};

    crm_contract!(suite, usual());
}

mod awkward {
    use super::{awkward, crm_contract, suite};

    crm_contract!(suite, awkward());
}

/// More updates of a ticket than any test makes: pacing has tests of its own.
const MANY: usize = 10_000;

/// Nothing special.
async fn usual() -> Running {
    let settings = SandboxZendeskSettings { updates_per_ticket: MANY, ..SandboxZendeskSettings::default() };
    start(settings, |ours| ours.updates_per_ticket = MANY).await
}

/// Everything that can be different is: short pages, an agent who is no administrator, a field that is required for solving,
/// an `external_id` that is used for something else.
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

/// A sandbox Zendesk, its content host and the adapter, until it is dropped.
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
    };
    change(&mut ours);
    assert_eq!(ours.problems(), Vec::<String>::new());
    let credentials = secret.map_or_else(
        || Arc::new(NoCredentials) as Arc<dyn Credentials>,
        |secret| ours.credentials(&secret).unwrap(),
    );
    let adapter = connect(ours, &base, credentials, &clock);
    Running { zendesk, adapter, clock, servers: vec![server, content_server] }
}

/// The adapter for a Zendesk at `base`.
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
            // Far longer than any call takes here, however busy the machine: a write is not tried again after it.
            longest_pause: StdDuration::from_secs(5),
        },
        download_hosts: settings.allowed_download_hosts(),
    };
    let upstream = Upstream::new(upstream, credentials, clock.clone(), Metrics::shared()).unwrap();
    Zendesk::new(settings, words, upstream, clock.clone())
}

/// Four words for five levels.
fn words() -> PriorityWords {
    PriorityWords::new(["Urgent", "High", "Normal", "Low", "Low"].map(str::to_owned)).unwrap()
}

#[async_trait]
impl CrmUnderTest for Running {
    fn system(&self) -> &dyn CaseSystem {
        &self.adapter
    }

    async fn tick(&self) {
        // Long enough for an export to tell of what was before.
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

fn line<'a>(checks: &'a [Check], what: &str) -> &'a Result<String, String> {
    let found = checks.iter().find(|check| check.what.contains(what));
    &found.unwrap_or_else(|| panic!("no line about {what} in {checks:?}")).result
}

fn calls(crm: &Running, method: &str, part: &str) -> usize {
    let calls = crm.zendesk.faults().calls();
    calls.iter().filter(|call| call.method == method && call.path.contains(part)).count()
}

// ---------------------------------------------------------------- what stays internal

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
        // Public comments later on do not make the first one public.
        crm.person_comments(&id, "for all", Visibility::Public).await;
        assert_eq!(crm.adapter.get(&id).await.unwrap().unwrap().description, expected);
        crm.tick().await;
        let file = crm.zendesk.attach(&id, "Jane Roe", "a.txt", "text/plain", "abc").unwrap();
        assert_eq!(crm.adapter.attachments(&id, None).await.unwrap()[0].id, file);
    }
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
    // A person's comment with the same words and a file is a comment.
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
    assert!(error.message.contains("company.zendesk.use_incremental_export"), "{error}");
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "incremental export").as_ref().unwrap_err().contains("administrator"));
}

#[tokio::test]
async fn the_ticket_of_a_google_case_is_found_without_the_index() {
    let crm = usual().await;
    crm.zendesk.faults().set_search_lag(Duration::hours(2));
    let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
    let found = crm.adapter.find_counterpart("projects/p/cases/2", None).await.unwrap();
    assert_eq!(found, Some(case));
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
    // Hours later, or with another body, the key does not help: the ticket does.
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
    assert!(line(&checks, "solving").as_ref().unwrap_err().contains("Root cause"));
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

// ---------------------------------------------------------------- who may, and what lacks

#[tokio::test]
async fn nobody_is_not_taken_for_somebody() {
    let settings = SandboxZendeskSettings {
        auth: SandboxZendeskAuth::Bearer { token: "right".to_owned() },
        ..SandboxZendeskSettings::default()
    };
    let crm = start(settings, |_| ()).await;
    assert!(
        crm.adapter.check(Needs::all(Visibility::Internal)).await.iter().all(|check| check.result.is_ok())
    );
    let (base, server) = serve(crm.zendesk.router()).await;
    let ours = ZendeskSettings { oauth_token: Some("env:T".to_owned()), ..ZendeskSettings::default() };
    let stranger = connect(ours.clone(), &base, ours.credentials("wrong").unwrap(), &crm.clock);
    let checks = stranger.check(Needs::all(Visibility::Internal)).await;
    assert_eq!(checks.len(), 1, "{checks:?}");
    assert!(line(&checks, "credentials").as_ref().unwrap_err().contains("does not know these credentials"));
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
    assert!(line(&checks, "field nothing").as_ref().unwrap_err().contains("company.zendesk.flag_field"));
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

#[tokio::test]
async fn each_failure_of_a_check_says_what_to_change_and_where() {
    type Setup = fn(&mut SandboxZendeskSettings, &mut ZendeskSettings);
    /// Where and what it answers instead.
    type Answer = Option<(&'static str, Value)>;
    const ALL: Needs = Needs::all(Visibility::Internal);
    let same: Setup = |_, _| ();
    let field = |id: u64, kind: &str, title: &str| json!({"id": id, "type": kind, "title": title, "active": true, "required": false});
    let fields =
        |fields: Value| ("/ticket_fields", json!({"ticket_fields": fields, "meta": {"has_more": false}}));
    let (flag, name) = ("synchronizeWithGoogleCloudSupport", "custom_field_google_name");
    let mut inactive = field(1, "checkbox", flag);
    inactive["active"] = json!(false);
    let cases: [(Setup, Answer, Needs, &str, &str); 12] = [
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
            "company.zendesk.email",
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
        let checks = crm.adapter.check(needs).await;
        let problem = line(&checks, what).as_ref().expect_err(hint);
        assert!(problem.contains(hint), "{what}: {problem}");
        let writes = crm.zendesk.faults().calls().iter().filter(|call| call.method != "GET").count();
        assert_eq!(writes, 0, "a check changes nothing");
    }
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
    let failed = async |needs| {
        crm.adapter.check(needs).await.into_iter().filter(|check| check.result.is_err()).count()
    };
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
    let problem = line(&checks, "priorities").as_ref().unwrap_err();
    assert!(problem.contains("priorities.P4 = \"lowest\": use urgent, high"), "{problem}");
    server.abort();
}

#[tokio::test]
async fn a_light_agent_is_told_that_it_writes_notes_only() {
    let settings =
        SandboxZendeskSettings { only_private_comments: true, ..SandboxZendeskSettings::default() };
    let crm = start(settings, |ours| ours.description_visibility = Visibility::Public).await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    let problem = line(&checks, "comments").as_ref().unwrap_err();
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
