//! Each client in front of a system with one case in it, whose answers can be spoilt; and every call that a client has.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use bytes::Bytes;
use casebridge::cases::{
    ApiError, Attachment, ByteStream, CaseSystem, Details, Needs, NewAttachment, NewCase, NewComment,
    PeopleSource, Placement, Visibility, Wanted,
};
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::jira::{Deployment, Jira, JiraSettings};
use casebridge::crm::request_tracker::{RequestTracker, RequestTrackerSettings};
use casebridge::crm::servicenow::{ServiceNow, ServiceNowSettings};
use casebridge::crm::zendesk::{Zendesk, ZendeskSettings};
use casebridge::csapi::{Csapi, CsapiSettings};
use casebridge::entities::{GooglePlacement, Priority};
use casebridge::outbound::{Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::csapi::{self, Author, CLASSIFICATION_ID, SandboxCsapi};
use casebridge::sandbox::jira::{NewIssue, SandboxJira, SandboxJiraSettings};
use casebridge::sandbox::servicenow::{NewRecord, SandboxServiceNow, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{NewTicket, SandboxZendesk, SandboxZendeskSettings};
use casebridge::telemetry::Metrics;
use chrono::{Duration, TimeZone as _, Utc};
use futures_util::{StreamExt as _, stream};

use crate::request_tracker;
use crate::spoil::{self, Spoiler};
use casebridge_testkit::scripted::Scripted;

pub(crate) const GOOGLE_CASE: &str = "organizations/123/cases/77";
/// How long one call to a system may take; a client's call may be several.
const TIMEOUT: StdDuration = StdDuration::from_secs(2);
/// How long anything may take that a client is asked for.
const LONGEST: StdDuration = StdDuration::from_mins(5);
/// How much of a download is read.
const ENOUGH: usize = 4 * 1024 * 1024;

/// The clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Csapi,
    JiraCloud,
    JiraDataCenter,
    Zendesk,
    ServiceNow,
    RequestTracker,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Csapi,
        Self::JiraCloud,
        Self::JiraDataCenter,
        Self::Zendesk,
        Self::ServiceNow,
        Self::RequestTracker,
    ];
}

/// A client, its system, and what goes wrong in between.
pub(crate) struct Subject {
    pub(crate) system: Arc<dyn CaseSystem>,
    pub(crate) spoiler: Arc<Spoiler>,
    pub(crate) server: Scripted,
    /// The case there is; it has a comment and a file.
    pub(crate) case: String,
    clock: SharedClock,
}

pub(crate) fn clock() -> SharedClock {
    ManualClock::at(Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap())
}

/// The same client in front of another address, which passes on what it does not answer itself.
pub(crate) fn over(subject: Subject, kind: Kind, url: &reqwest::Url) -> Subject {
    let none = Arc::new(NoCredentials) as Arc<dyn Credentials>;
    let upstream = upstream(kind, url, Vec::new(), &none, &subject.clock, LONGEST);
    let system = client(kind, upstream, &subject.clock);
    Subject { system, ..subject }
}

fn client(kind: Kind, upstream: Upstream, clock: &SharedClock) -> Arc<dyn CaseSystem> {
    let clock = clock.clone();
    match kind {
        Kind::Csapi => {
            let settings = CsapiSettings {
                parent: "organizations/123".to_owned(),
                classification_id: Some(CLASSIFICATION_ID.to_owned()),
                ..CsapiSettings::default()
            };
            Arc::new(Csapi::new(settings, Arc::new(upstream)).unwrap())
        }
        Kind::JiraCloud | Kind::JiraDataCenter => {
            let settings = JiraSettings {
                deployment: if kind == Kind::JiraCloud { Deployment::Cloud } else { Deployment::DataCenter },
                project: "SUP".to_owned(),
                ..JiraSettings::default()
            };
            let words = words(["Highest", "High", "Medium", "Low", "Lowest"]);
            Arc::new(Jira::new(settings, words, upstream, clock))
        }
        Kind::Zendesk => {
            let words = words(["urgent", "high", "normal", "low", "low"]);
            Arc::new(Zendesk::new(ZendeskSettings::default(), words, upstream, clock))
        }
        Kind::ServiceNow => {
            let words = words(["1", "2", "3", "4", "5"]);
            Arc::new(ServiceNow::new(ServiceNowSettings::default(), words, upstream, clock))
        }
        Kind::RequestTracker => {
            let settings = RequestTrackerSettings {
                queue: "Support".to_owned(),
                user: request_tracker::USER.to_owned(),
                ..RequestTrackerSettings::default()
            };
            let words = words(["100", "75", "50", "25", "0"]);
            Arc::new(RequestTracker::new(settings, words, upstream))
        }
    }
}

/// A client without credentials.
pub(crate) async fn open(kind: Kind) -> Subject {
    open_with(kind, clock(), Arc::new(NoCredentials)).await
}

pub(crate) async fn open_with(kind: Kind, clock: SharedClock, credentials: Arc<dyn Credentials>) -> Subject {
    let (case, router, elsewhere) = system(kind, &clock);
    let hosts = match elsewhere {
        Some(elsewhere) => {
            let address = casebridge_testkit::harness::serve(elsewhere.router).await;
            (elsewhere.is_at)(&format!("http://{address}"));
            vec![address.to_string()]
        }
        None => Vec::new(),
    };
    let (server, spoiler) = spoil::serve(router).await;
    let upstream = upstream(kind, &server.url, hosts, &credentials, &clock, TIMEOUT);
    Subject { system: client(kind, upstream, &clock), spoiler, server, case, clock }
}

/// Where a system keeps its files, if that is another server.
struct Elsewhere {
    router: axum::Router,
    /// Tells the system.
    is_at: Box<dyn FnOnce(&str)>,
}

/// A system with one case in it, which has a comment and a file: the case, and the system's servers.
fn system(kind: Kind, clock: &SharedClock) -> (String, axum::Router, Option<Elsewhere>) {
    let (title, comment) = ("Disk is slow", "Have you tried?");
    match kind {
        Kind::Csapi => {
            let sandbox = SandboxCsapi::new(clock.clone(), "organizations/123");
            let author = Author::customer("Grace Hopper");
            let case = csapi::NewCase {
                parent: "organizations/123".to_owned(),
                display_name: title.to_owned(),
                description: "It is very slow.".to_owned(),
                priority: csapi::Priority::P2,
                author: author.clone(),
            };
            let case = sandbox.create_case(case).unwrap().name;
            sandbox.add_comment(&case, Author::google("Ada Lovelace"), comment).unwrap();
            sandbox.attach(&case, author, "log.txt", "text/plain", b"a log").unwrap();
            (case, sandbox.router(), None)
        }
        Kind::JiraCloud | Kind::JiraDataCenter => {
            use casebridge::sandbox::jira::Deployment;
            let deployment = if kind == Kind::JiraCloud { Deployment::Cloud } else { Deployment::DataCenter };
            let settings = SandboxJiraSettings { deployment, ..SandboxJiraSettings::default() };
            let sandbox = SandboxJira::new(clock.clone(), settings);
            let issue = NewIssue { description: Some("about it".to_owned()), ..NewIssue::flagged(title) };
            let case = sandbox.create_issue(issue).unwrap();
            sandbox.comment(&case, "Jane Roe", comment).unwrap();
            sandbox.attach(&case, "Jane Roe", "log.txt", "text/plain", "a log").unwrap();
            let (router, media) = (sandbox.router(), sandbox.media_router());
            let is_at = Box::new(move |address: &str| sandbox.set_media_base(address));
            (case, router, Some(Elsewhere { router: media, is_at }))
        }
        Kind::Zendesk => {
            let sandbox = SandboxZendesk::new(clock.clone(), SandboxZendeskSettings::default());
            let case = sandbox.create_ticket(NewTicket::flagged(title)).unwrap();
            sandbox.comment(&case, "Jane Roe", comment).unwrap();
            sandbox.attach(&case, "Jane Roe", "log.txt", "text/plain", "a log").unwrap();
            let (router, content) = (sandbox.router(), sandbox.content_router());
            let is_at = Box::new(move |address: &str| sandbox.set_content_base(address));
            (case, router, Some(Elsewhere { router: content, is_at }))
        }
        Kind::ServiceNow => {
            let sandbox = SandboxServiceNow::new(clock.clone(), SandboxServiceNowSettings::default());
            let case = sandbox.create_record(&NewRecord::flagged(title)).unwrap();
            sandbox.comment(&case, "Jane Roe", comment).unwrap();
            sandbox.attach(&case, "Jane Roe", "log.txt", "text/plain", "a log").unwrap();
            (case, sandbox.router(), None)
        }
        Kind::RequestTracker => ("1".to_owned(), request_tracker::router(), None),
    }
}

fn words(words: [&str; 5]) -> PriorityWords {
    PriorityWords::new(words.map(str::to_owned)).unwrap()
}

fn upstream(
    kind: Kind,
    url: &reqwest::Url,
    download_hosts: Vec<String>,
    credentials: &Arc<dyn Credentials>,
    clock: &SharedClock,
    timeout: StdDuration,
) -> Upstream {
    let name = match kind {
        Kind::Csapi => "CSAPI",
        Kind::JiraCloud | Kind::JiraDataCenter => "Jira",
        Kind::Zendesk => "Zendesk",
        Kind::ServiceNow => "ServiceNow",
        Kind::RequestTracker => "Request Tracker",
    };
    let settings = UpstreamSettings {
        name,
        base_url: url.clone(),
        requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
        timeout,
        retry: RetryPolicy {
            attempts: 2,
            first_pause: StdDuration::from_millis(1),
            longest_pause: StdDuration::from_millis(5),
        },
        download_hosts,
    };
    Upstream::new(settings, Arc::clone(credentials), clock.clone(), Metrics::shared()).unwrap()
}

/// Waits for a client; what it says when something is wrong has to be fit for a log.
async fn within<T>(what: &str, call: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let outcome = tokio::time::timeout(LONGEST, call).await;
    let outcome = outcome.unwrap_or_else(|_| panic!("{what} does not end"));
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(text.chars().count() < 3_000, "{what}: an error of {} bytes", text.len());
        assert!(!text.contains(|c: char| c.is_control()), "{what}: {text:?}");
    }
    outcome
}

impl Subject {
    /// Every call that a client has, one after the other, and what they answer to what the answers brought. What each
    /// ended with, to be shown.
    pub(crate) async fn exercise(&self) -> Vec<String> {
        let mut log = Log(Vec::new());
        let (system, case) = (&self.system, self.case.as_str());
        let since = self.clock.now() - Duration::days(1);
        log.add("check", &Ok::<_, ApiError>(system.check(Needs::all(Visibility::Internal)).await));
        log.add("limit", &within("attachment_limit", system.attachment_limit()).await);
        let sweep = log.add("search", &within("search_updated", system.search_updated(since)).await);
        for found in sweep.iter().flat_map(|sweep| &sweep.cases).take(2) {
            log.add("get found", &within("get", system.get(&found.id)).await);
        }
        log.add("get", &within("get", system.get(case)).await);
        log.add(
            "find",
            &within("find_counterparts", system.find_counterparts(&self.counterpart(), None)).await,
        );
        log.add("comments", &within("comments", system.comments(case, None)).await);
        log.add("comments since", &within("comments", system.comments(case, Some(since))).await);
        let files = log.add("attachments", &within("attachments", system.attachments(case, None)).await);
        log.add("attachments since", &within("attachments", system.attachments(case, Some(since))).await);
        for file in files.iter().flatten().take(2) {
            log.add("download", &within("download", self.read(file)).await);
        }
        let comment = NewComment {
            body: "[Google Comment 1 by x]\nhello".to_owned(),
            visibility: Visibility::Public,
            idempotency_key: "comment".to_owned(),
        };
        log.add("comment", &within("add_comment", system.add_comment(case, &comment)).await);
        log.add("upload", &within("upload", system.upload(case, upload())).await);
        log.add("priority", &within("set_priority", system.set_priority(case, Priority::P1)).await);
        let wanted = Wanted {
            terms: true,
            fields: [self.field()].into(),
            people: vec![PeopleSource::Reporter, PeopleSource::Watchers, PeopleSource::Field(self.field())],
        };
        log.add("details", &within("details", system.details(case, &wanted)).await);
        log.add(
            "check details",
            &Ok::<_, ApiError>(system.check_details(&wanted, &Details::default()).await),
        );
        if system.side() == casebridge::entities::Side::Google {
            let people = ["jane@example.com".to_owned()];
            log.add("subscribers", &within("set_subscribers", system.set_subscribers(case, &people)).await);
            let parent = "organizations/123";
            let counterpart = self.counterpart();
            let found = system.find_counterparts_under(parent, &counterpart, None);
            log.add("find under", &within("find_counterparts_under", found).await);
            for text in ["compute engine", "no such words"] {
                let id = system.classification_id(text).await.map_err(|error| error.to_string());
                log.add("classification", &Ok::<_, ApiError>(id));
            }
            let placed =
                GooglePlacement { parent: Some("projects/p".to_owned()), ..GooglePlacement::default() };
            log.add("check parent", &Ok::<_, ApiError>(system.check_google_placement(&placed).await));
        }
        log.add("link", &within("link", system.link(case, &self.counterpart())).await);
        log.add("close", &within("close", system.close(case)).await);
        log.add("reopen", &within("reopen", system.reopen(case)).await);
        let new = NewCase {
            title: "Another".to_owned(),
            description: "about another".to_owned(),
            priority: Some(Priority::P3),
            counterpart: self.counterpart(),
            idempotency_key: "case".to_owned(),
            placement: Placement::default(),
            google: GooglePlacement::default(),
        };
        log.add("create", &within("create", system.create(&new)).await);
        log.0
    }

    /// Returns a field that the CRM's sandbox has.
    fn field(&self) -> String {
        match self.system.capabilities().name {
            casebridge::crm::zendesk::NAME => casebridge::sandbox::zendesk::GOOGLE_NAME_FIELD.to_string(),
            casebridge::crm::servicenow::NAME => "u_google_case_name".to_owned(),
            _ => "custom_field_google_name".to_owned(),
        }
    }

    fn counterpart(&self) -> String {
        match self.system.side() {
            casebridge::entities::Side::Google => "10001".to_owned(),
            casebridge::entities::Side::Company => GOOGLE_CASE.to_owned(),
        }
    }

    /// Opens a file and reads it, as much as is reasonable of it.
    async fn read(&self, file: &Attachment) -> Result<usize, ApiError> {
        let mut download = self.system.download(&self.case, file).await?;
        let mut received = 0;
        while let Some(piece) = download.content.next().await {
            received += piece?.len();
            if received > ENOUGH {
                break;
            }
        }
        Ok(received)
    }
}

fn upload() -> NewAttachment {
    let content: ByteStream = Box::pin(stream::iter([Ok(Bytes::from_static(b"content"))]));
    NewAttachment {
        filename: "a b.txt".to_owned(),
        media_type: Some("text/plain".to_owned()),
        size: Some(7),
        content,
        visibility: Visibility::Public,
        idempotency_key: "upload".to_owned(),
    }
}

struct Log(Vec<String>);

impl Log {
    fn add<T: Debug + Clone>(&mut self, what: &str, outcome: &Result<T, ApiError>) -> Option<T> {
        let line: String = match outcome {
            Ok(value) => format!("{what}: {value:?}"),
            Err(error) => format!("{what} failed: {error}"),
        };
        self.0.push(line.chars().take(20_000).collect());
        outcome.clone().ok()
    }
}
