//! A whole connector between a sandbox CSAPI and the real Request Tracker: the real tasks, by the machine's clock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration as StdDuration;

use casebridge::cases::CaseSystem;
use casebridge::clock::{Clock, SharedClock, SystemClock};
use casebridge::csapi::{Csapi, CsapiSettings};
use casebridge::entities::{CaseMapping, Sides, ToleranceTable};
use casebridge::outbound::{NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::store::{MappingFilter, SqliteStore, Store};
use casebridge::sync::Rules;
use casebridge::tasks::{
    self, Caller, Deps, Mode, Outcome, Pacer, Task, TaskReport, TaskSettings, Unchanged,
};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Duration, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use casebridge_testkit::harness::backend::Waiting;
use casebridge_testkit::harness::{Options, serve};

use crate::server::{Person, Server, Slot};

/// A clock that may be behind the machine's, and so behind Request Tracker's, and catches up when it is told to.
#[derive(Debug, Default)]
pub(crate) struct LateClock(AtomicI64);

impl LateClock {
    /// Behind by so much.
    pub(crate) fn by(late: Duration) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(late.num_seconds())))
    }

    /// Shows the machine's time from now on.
    pub(crate) fn catch_up(&self) {
        self.is_behind(Duration::zero());
    }

    /// Is behind by so much from now on.
    pub(crate) fn is_behind(&self, late: Duration) {
        self.0.store(late.num_seconds(), Ordering::Relaxed);
    }
}

impl Clock for LateClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() - Duration::seconds(self.0.load(Ordering::Relaxed))
    }
}

/// What the configuration says unless a test says otherwise: the defaults.
pub(crate) fn rules() -> Rules {
    Options::default().rules
}

/// The connector and both systems.
pub(crate) struct World {
    pub(crate) csapi: SandboxCsapi,
    pub(crate) jane: Person,
    pub(crate) joe: Person,
    pub(crate) slot: Slot,
    pub(crate) store: Arc<SqliteStore>,
    deps: Deps,
    waiting: Arc<Waiting>,
    _folder: tempfile::TempDir,
}

impl World {
    /// On the shared server, with a queue of its own.
    pub(crate) async fn new() -> Self {
        Self::with(rules(), Arc::new(SystemClock)).await
    }

    /// The same with other rules or another clock.
    pub(crate) async fn with(rules: Rules, clock: SharedClock) -> Self {
        let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        Self::on(server, rules, clock).await
    }

    pub(crate) async fn on(server: &Server, rules: Rules, clock: SharedClock) -> Self {
        let slot = server.slot();
        let csapi = SandboxCsapi::new(clock.clone(), "organizations/123");
        let csapi_address = serve(csapi.router()).await;
        let metrics = Metrics::shared();
        let upstream = UpstreamSettings {
            name: "CSAPI",
            base_url: format!("http://{csapi_address}").parse().unwrap(),
            requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
            timeout: StdDuration::from_mins(1),
            retry: RetryPolicy::default(),
            download_hosts: Vec::new(),
        };
        let upstream =
            Upstream::new(upstream, Arc::new(NoCredentials), clock.clone(), metrics.clone()).unwrap();
        let google = CsapiSettings {
            parent: "organizations/123".to_owned(),
            classification_id: Some(CLASSIFICATION_ID.to_owned()),
            ..CsapiSettings::default()
        };
        let google = Csapi::new(google, Arc::new(upstream)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
        let waiting = Arc::new(Waiting::default());
        let company = server.adapter_with(&slot, Server::settings(&slot), clock.clone());
        let deps = Deps {
            pacer: Pacer::default(),
            unchanged: Unchanged::default(),
            clock,
            store: store.clone(),
            queue: waiting.clone(),
            systems: Sides {
                google: Arc::new(google) as Arc<dyn CaseSystem>,
                company: Arc::new(company) as Arc<dyn CaseSystem>,
            },
            settings: TaskSettings {
                rules,
                windows: Sides { google: Duration::minutes(30), company: Duration::minutes(5) },
                max_case_age: Duration::days(30),
                retention: Duration::days(30),
                tolerances: ToleranceTable::default(),
                deadline: StdDuration::from_mins(10),
                lease: Duration::minutes(12),
                syncs_per_minute: 100_000,
                missing_grace: Duration::hours(1),
                give_up_after: Duration::hours(12),
                adopt_claims: false,
                since: casebridge::tasks::Since::default(),
                routes: casebridge::sync::RouteTable::default(),
                poll_every: casebridge::entities::Sides::default(),
                announced: casebridge::entities::Sides::default(),
                placing: casebridge::sync::Placing::default(),
            },
            metrics,
            stop: CancellationToken::new(),
        };
        let (jane, joe) = (server.jane(), server.joe());
        Self { csapi, jane, joe, slot, store, deps, waiting, _folder: folder }
    }

    /// The company's polling window is that short from now on.
    pub(crate) fn polls_within(&mut self, window: Duration) {
        self.deps.settings.windows.company = window;
    }

    /// One poll of the company's side, and nothing of what it queues: how it ended.
    pub(crate) async fn poll_company(&self) -> TaskReport {
        tasks::run(&self.deps, Task::PollCompany, Caller::Queue, Mode::Act).await
    }

    /// One round of polls and of what they queue. A sync that failed is queued again. Returns how many tasks failed.
    pub(crate) async fn round(&self) -> usize {
        self.counted_round().await.0
    }

    /// The same; returns as well how many tasks the polls had queued.
    async fn counted_round(&self) -> (usize, usize) {
        let mut failed = 0;
        for poll in [Task::PollGoogle, Task::PollCompany] {
            let report = tasks::run(&self.deps, poll, Caller::Queue, Mode::Act).await;
            if report.outcome != Outcome::Done {
                eprintln!("{report:?}");
                failed += 1;
            }
        }
        let due = self.waiting.take();
        let queued_by_polls = due.len();
        for queued in due {
            let body = serde_json::to_vec(&queued.body).unwrap();
            let task = Task::parse(queued.kind, &body).unwrap();
            let report = tasks::run(&self.deps, task, Caller::Queue, Mode::Act).await;
            // Its pair goes on with the ticket that the case was merged into.
            let is_handed_over = report.outcome == Outcome::Abandoned
                && report.detail.as_ref().is_some_and(|detail| detail.contains("no mapping"));
            if report.outcome == Outcome::Failed {
                eprintln!("{report:?}");
                failed += 1;
                self.deps.queue.enqueue(queued).await.unwrap();
            } else if !is_handed_over {
                assert_eq!(report.outcome, Outcome::Done, "{report:?}");
            }
        }
        (failed, queued_by_polls)
    }

    /// Runs one task, as a person does: it answers for itself.
    pub(crate) async fn run(&self, task: Task) -> Outcome {
        tasks::run(&self.deps, task, Caller::Person, Mode::Act).await.outcome
    }

    /// Enough for anything that is not disturbed to arrive and settle.
    pub(crate) async fn settle(&self) {
        for _ in 0..3 {
            let (failed, queued) = self.counted_round().await;
            assert_eq!(failed, 0);
            if queued == 0 {
                break;
            }
        }
    }

    pub(crate) fn google_case(&self, title: &str, priority: Priority) -> String {
        let case = NewCase {
            parent: "organizations/123".to_owned(),
            display_name: title.to_owned(),
            description: format!("The description of {title}."),
            priority,
            author: Author::customer("Grace Hopper"),
        };
        self.csapi.create_case(case).unwrap().name
    }

    pub(crate) fn google_says(&self, case: &str, body: &str) -> String {
        self.csapi.add_comment(case, Author::google("Ada Lovelace"), body).unwrap().id
    }

    /// The texts on the Google case, oldest first.
    pub(crate) fn google_texts(&self, case: &str) -> Vec<String> {
        self.csapi.comments(case).unwrap().into_iter().map(|comment| comment.body).collect()
    }

    /// The texts on the ticket, the description first, oldest first.
    pub(crate) async fn company_texts(&self, ticket: &str) -> Vec<String> {
        let parts = self.jane.parts(ticket).await;
        let texts = parts.iter().filter(|part| part["Filename"] == "" && part["ContentType"] == "text/plain");
        texts.map(|part| part["Content"].as_str().unwrap().to_owned()).collect()
    }

    /// The names and contents of the files on the ticket.
    pub(crate) async fn company_files(&self, ticket: &str) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for part in self.jane.parts(ticket).await {
            let name = part["Filename"].as_str().unwrap_or_default();
            if !name.is_empty() {
                files.push((name.to_owned(), self.jane.content(part["id"].as_str().unwrap()).await));
            }
        }
        files
    }

    /// The bodies of the copies on the Google case, oldest first.
    pub(crate) fn copies_at_google(&self, case: &str) -> Vec<String> {
        copies(self.google_texts(case), "[Company Comment ")
    }

    /// The bodies of the copies on the ticket, oldest first.
    pub(crate) async fn copies_on_ticket(&self, ticket: &str) -> Vec<String> {
        copies(self.company_texts(ticket).await, "[Google Comment ")
    }

    /// All mappings.
    pub(crate) async fn mappings(&self) -> Vec<CaseMapping> {
        self.store.list(MappingFilter::All, None, 1000).await.unwrap().mappings
    }

    /// The linked mapping of a ticket.
    pub(crate) async fn pair_of(&self, ticket: &str) -> Option<CaseMapping> {
        let mappings = self.mappings().await;
        mappings.into_iter().find(|mapping| {
            let is_it = mapping.company_case_id.as_ref().is_some_and(|company| company.as_str() == ticket);
            is_it && mapping.is_linked()
        })
    }

    /// A Google case with its ticket: their names.
    pub(crate) async fn linked(&self) -> (String, String) {
        self.google_case("Disk is slow", Priority::P2);
        self.settle().await;
        self.pair().await
    }

    /// The one mapping there is.
    pub(crate) async fn mapping(&self) -> CaseMapping {
        let mut mappings = self.mappings().await;
        assert_eq!(mappings.len(), 1, "{mappings:#?}");
        mappings.remove(0)
    }

    /// The one pair there is: the Google case's name and the ticket's ID.
    pub(crate) async fn pair(&self) -> (String, String) {
        let mapping = self.mapping().await;
        (mapping.google_case_name.unwrap().to_string(), mapping.company_case_id.unwrap().to_string())
    }

    /// How many tickets the queue has.
    pub(crate) async fn tickets(&self) -> usize {
        let query = format!("Queue%3D%27{}%27", self.slot.queue.replace(' ', "%20"));
        let found: Value = self.jane.get(&format!("/tickets?query={query}&per_page=100")).await;
        found["items"].as_array().unwrap().len()
    }
}

fn copies(texts: Vec<String>, header: &str) -> Vec<String> {
    let of = |text: String| text.strip_prefix(header)?.split_once('\n').map(|(_, body)| body.to_owned());
    texts.into_iter().filter_map(of).collect()
}
