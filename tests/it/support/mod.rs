//! A whole connector on loopback with time in our hand: the real tasks, store, queue, cron and HTTP service between a sandbox
//! CSAPI and a sandbox Jira, each a real HTTP server.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use casebridge::cases::{CaseSystem, Visibility};
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::config::{Platform, Secret};
use casebridge::crm::PriorityWords;
use casebridge::crm::jira::{Jira, JiraSettings};
use casebridge::csapi::{Csapi, CsapiSettings};
use casebridge::entities::{CaseMapping, Sides, ToleranceTable};
use casebridge::http::{Service, router};
use casebridge::outbound::{NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::queue::cron::{EmbeddedCron, EmbeddedCronOptions};
use casebridge::queue::cron_yaml::CronConfig;
use casebridge::queue::embedded::{EmbeddedQueue, EmbeddedQueueOptions};
use casebridge::queue::queue_yaml::QueueConfig;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::jira::{NewIssue, SandboxJira, SandboxJiraSettings};
use casebridge::store::{MappingFilter, SqliteStore, Store};
use casebridge::sync::{Rules, Switches};
use casebridge::tasks::{Deps, TaskSettings};
use casebridge::telemetry::Metrics;
use chrono::{Duration, TimeZone as _, Utc};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const INTERNAL_TOKEN: &str = "internal-token-of-the-test";

/// How a [`World`] is to be.
pub(crate) struct Options {
    pub(crate) jira: SandboxJiraSettings,
    pub(crate) jira_settings: JiraSettings,
    pub(crate) rules: Rules,
    /// How long one call to either system may take.
    pub(crate) timeout: StdDuration,
}

impl Default for Options {
    fn default() -> Self {
        let switches =
            Switches { creation: true, comments: true, attachments: true, priority: true, status: true };
        Self {
            jira: SandboxJiraSettings::default(),
            jira_settings: JiraSettings { project: "SUP".to_owned(), ..JiraSettings::default() },
            rules: Rules {
                switches,
                carry_internal_comments: false,
                comment_visibility: Visibility::Internal,
            },
            timeout: StdDuration::from_secs(10),
        }
    }
}

/// The connector and both systems.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) csapi: SandboxCsapi,
    pub(crate) jira: SandboxJira,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) deps: Arc<Deps>,
    pub(crate) service: SocketAddr,
    queue: Arc<EmbeddedQueue>,
    cron: EmbeddedCron,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = ManualClock::at(Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap());
        let shared: SharedClock = clock.clone();
        let csapi = SandboxCsapi::new(shared.clone(), "organizations/123");
        let jira = SandboxJira::new(shared.clone(), options.jira);
        let csapi_address = serve(csapi.router()).await;
        let jira_address = serve(jira.router()).await;
        let media_address = serve(jira.media_router()).await;
        jira.set_media_base(&format!("http://{media_address}"));

        let metrics = Metrics::shared();
        let upstream = |name: &'static str, address: SocketAddr, download_hosts: Vec<String>| {
            let settings = UpstreamSettings {
                name,
                base_url: format!("http://{address}").parse().unwrap(),
                requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
                timeout: options.timeout,
                retry: RetryPolicy {
                    attempts: 2,
                    first_pause: StdDuration::from_millis(1),
                    longest_pause: StdDuration::from_millis(5),
                },
                download_hosts,
            };
            Upstream::new(settings, Arc::new(NoCredentials), shared.clone(), metrics.clone()).unwrap()
        };
        let google = Csapi::new(
            CsapiSettings {
                parent: "organizations/123".to_owned(),
                classification_id: Some(CLASSIFICATION_ID.to_owned()),
                time_zone: "+00:00".to_owned(),
                language_code: "en".to_owned(),
                subscribers: Vec::new(),
                test_cases: false,
            },
            Arc::new(upstream("CSAPI", csapi_address, Vec::new())),
        )
        .unwrap();
        let words = ["Highest", "High", "Medium", "Low", "Lowest"].map(str::to_owned);
        let company = Jira::new(
            options.jira_settings,
            PriorityWords::new(words).unwrap(),
            upstream("Jira", jira_address, vec![media_address.to_string()]),
            shared.clone(),
        );

        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = listener.local_addr().unwrap();
        let (queue, cron) = open_queue(&folder.path().join("queue.db"), service, &shared);
        let deps = Arc::new(Deps {
            clock: shared.clone(),
            store: store.clone(),
            queue: queue.clone(),
            systems: Sides {
                google: Arc::new(google) as Arc<dyn CaseSystem>,
                company: Arc::new(company) as Arc<dyn CaseSystem>,
            },
            settings: TaskSettings {
                rules: options.rules,
                windows: Sides { google: Duration::minutes(30), company: Duration::minutes(5) },
                max_case_age: Duration::days(30),
                retention: Duration::days(30),
                tolerances: ToleranceTable::default(),
                deadline: StdDuration::from_secs(60),
                lease: Duration::minutes(2),
            },
            metrics,
            stop: CancellationToken::new(),
        });
        let app = router(Service {
            deps: deps.clone(),
            platform: Platform::Local,
            admin_token: None,
            internal_token: Secret::new(INTERNAL_TOKEN),
            running: TaskTracker::new(),
        });
        tokio::spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
        });
        Self {
            clock,
            csapi,
            jira,
            store,
            deps,
            service,
            queue,
            cron,
            http: reqwest::Client::new(),
            folder: folder,
        }
    }

    /// Lets cron and the queues run for so long, each thing at its time.
    pub(crate) async fn run_for(&self, duration: Duration) {
        use casebridge::clock::Clock as _;
        let end = self.clock.now() + duration;
        loop {
            let next_cron = self.cron.run_due().await.unwrap().next_due;
            let next_task = self.queue.run_due().await.unwrap().next_due;
            let next = [next_cron, next_task].into_iter().flatten().min();
            match next {
                Some(next) if next <= end => self.clock.set(next.max(self.clock.now())),
                _ => break,
            }
        }
        self.clock.set(end);
    }

    /// Enough for anything that is not disturbed to arrive and settle.
    pub(crate) async fn settle(&self) {
        self.run_for(Duration::minutes(3)).await;
    }

    /// `POST /tasks/{task}`, as a person with curl.
    pub(crate) async fn post(&self, task: &str, body: Value) -> (u16, Value) {
        let url = format!("http://{}/tasks/{task}", self.service);
        let response = self.http.post(url).json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// Another instance of the service on the same database, and as the configuration may have it.
    pub(crate) async fn another_instance(&self, platform: Platform, admin_token: Option<&str>) -> SocketAddr {
        let deps = &self.deps;
        let deps = Arc::new(Deps {
            clock: deps.clock.clone(),
            store: Arc::new(SqliteStore::open(&self.folder.path().join("store.db")).unwrap()),
            queue: deps.queue.clone(),
            systems: Sides { google: deps.systems.google.clone(), company: deps.systems.company.clone() },
            settings: deps.settings.clone(),
            metrics: deps.metrics.clone(),
            stop: CancellationToken::new(),
        });
        let app = router(Service {
            deps,
            platform,
            admin_token: admin_token.map(Secret::new),
            internal_token: Secret::new(INTERNAL_TOKEN),
            running: TaskTracker::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
        });
        address
    }

    /// Runs what is due now, once.
    pub(crate) async fn deliver(&self) {
        self.queue.run_due().await.unwrap();
    }

    /// A case as a customer opens it in Google's console.
    pub(crate) fn google_case(&self, title: &str) -> String {
        let case = NewCase {
            parent: "organizations/123".to_owned(),
            display_name: title.to_owned(),
            description: format!("The description of {title}."),
            priority: Priority::P2,
            author: Author::customer("Grace Hopper"),
        };
        self.csapi.create_case(case).unwrap().name
    }

    /// A flagged issue; its ID.
    pub(crate) fn flagged_issue(&self, summary: &str) -> String {
        self.jira.create_issue(NewIssue::flagged(summary)).unwrap()
    }

    pub(crate) fn google_says(&self, case: &str, body: &str) -> String {
        self.csapi.add_comment(case, Author::google("Ada Lovelace"), body).unwrap().id
    }

    pub(crate) fn company_says(&self, issue: &str, body: &str) -> String {
        self.jira.comment(issue, "Jane Roe", body).unwrap()
    }

    pub(crate) async fn mappings(&self) -> Vec<CaseMapping> {
        self.store.list(MappingFilter::All, None, 1000).await.unwrap().mappings
    }

    /// The one mapping there is.
    pub(crate) async fn mapping(&self) -> CaseMapping {
        let mut mappings = self.mappings().await;
        assert_eq!(mappings.len(), 1, "{mappings:#?}");
        mappings.remove(0)
    }

    /// The texts on the Google case, oldest first.
    pub(crate) fn google_texts(&self, case: &str) -> Vec<String> {
        self.csapi.comments(case).unwrap().into_iter().map(|comment| comment.body).collect()
    }

    /// The texts on the issue as a person reads them, oldest first.
    pub(crate) fn company_texts(&self, issue: &str) -> Vec<String> {
        let view = self.jira.issue(issue).unwrap();
        view.comments.iter().map(|comment| casebridge::crm::jira::markup::unescape(&comment.body)).collect()
    }
}

fn open_queue(path: &Path, service: SocketAddr, clock: &SharedClock) -> (Arc<EmbeddedQueue>, EmbeddedCron) {
    let target: url::Url = format!("http://{service}").parse().unwrap();
    let token = INTERNAL_TOKEN.to_owned();
    let queues = QueueConfig::load(None).unwrap();
    let options = EmbeddedQueueOptions::new(path, queues, target.clone(), token.clone(), clock.clone());
    let queue = Arc::new(EmbeddedQueue::open(options).unwrap());
    let jobs = CronConfig::load(None).unwrap();
    let cron =
        EmbeddedCron::open(EmbeddedCronOptions::new(path, jobs, target, token, clock.clone())).unwrap();
    (queue, cron)
}

pub(crate) async fn serve(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}
