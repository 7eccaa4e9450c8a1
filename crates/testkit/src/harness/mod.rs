//! A whole connector on loopback: the real tasks, store, queue, cron and HTTP service between a sandbox CSAPI and a CRM, each a
//! real HTTP server.
//!
//! [`crm::Crm`] is the CRM, [`desk::Desk`] stands for the people who work with it, and [`backend::Backend`] provides the store and
//! the queue. The test controls the clock, unless the CRM has a clock of its own.

pub mod backend;
pub mod billed;
pub mod calls;
pub mod counted;
pub mod crm;
pub mod desk;
pub mod idle;
pub mod jira;
pub mod log;
pub mod request_tracker;
pub mod servicenow;
pub mod ugly;
pub mod zendesk;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use casebridge::cases::{CaseSystem, ClosingSet, Visibility};
use casebridge::clock::{Clock as _, ManualClock, SharedClock, SystemClock};
use casebridge::config::{Platform, Secret};
use casebridge::csapi::{Csapi, CsapiSettings};
use casebridge::entities::{CaseMapping, Sides, ToleranceTable};
use casebridge::http::{Iap, Limits, PollFailures, Service, router};
use casebridge::outbound::{Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::push::Receivers;
use casebridge::queue::cron::{EmbeddedCron, EmbeddedCronOptions};
use casebridge::queue::cron_yaml::CronConfig;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::faults::{Fault, Faults};
use casebridge::store::{MappingFilter, Store};
use casebridge::sync::{
    CommentsToGoogle, EditedComments, Placing, RouteTable, Rules, ShownRule, StatusTable, Switches,
};
use casebridge::tasks::{Deps, Pacer, Since, TaskSettings, Unchanged};
use casebridge::telemetry::Metrics;
use chrono::{Duration, TimeZone as _, Utc};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::backend::{AtOnce, Backend, Delivery, Embedded};
use self::crm::{Company, Crm, Description, Setup};
use self::desk::{CaseView, Desk, NewCompanyCase};

pub const INTERNAL_TOKEN: &str = "internal-token-of-the-test";
/// Admin token, for platforms on which a request from this machine proves nothing.
const ADMIN_TOKEN: &str = "admin-token-of-the-test";

/// First words of the outage comment, as documented.
pub const OUTAGE: &str = "This case has not synced properly in ";
/// Comment after an outage, as documented.
pub const RESUMED: &str = "Syncing has resumed.";

/// Options of a [`World`].
pub struct Options {
    pub setup: Setup,
    pub rules: Rules,
    /// Store and queue; `None`: the CRM's own, or else SQLite and a queue that suits the CRM's clock.
    pub backend: Option<Arc<dyn Backend>>,
    /// CSAPI sandbox of another world, for a second connector on one organisation; `None`: a new, empty one.
    pub csapi: Option<SandboxCsapi>,
    pub give_up_after: Duration,
    pub deadline: StdDuration,
    pub since: Since,
    pub routes: RouteTable,
    pub poll_every: Sides<Option<Duration>>,
    pub placing: Placing,
    /// True if the email messages of Google cases are carried.
    pub feed: bool,
}

impl Default for Options {
    fn default() -> Self {
        let switches = Switches::ALL;
        Self {
            setup: Setup::default(),
            rules: Rules {
                switches,
                comments_to_google: CommentsToGoogle::Public,
                edits: EditedComments::Off,
                comment_visibility: Visibility::Internal,
                close_on: ClosingSet::default(),
                statuses: StatusTable::new(),
                escalation: None,
                shown: ShownRule::NONE,
            },
            backend: None,
            csapi: None,
            give_up_after: Duration::hours(12),
            // Of real time: real software on a machine that does other things as well takes longer than in production.
            deadline: StdDuration::from_mins(10),
            since: Since::default(),
            routes: RouteTable::default(),
            poll_every: Sides::default(),
            placing: Placing::default(),
            feed: false,
        }
    }
}

/// Clock of a [`World`].
pub enum Time {
    /// A clock that the test controls: days pass in milliseconds.
    InHand(Arc<ManualClock>),
    /// The machine's clock, for CRMs that have a clock of their own.
    Machine,
}

impl Time {
    pub fn for_crm(description: &Description) -> Self {
        if description.clock_in_hand {
            Self::InHand(ManualClock::at(Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap()))
        } else {
            Self::Machine
        }
    }

    pub fn clock(&self) -> SharedClock {
        match self {
            Self::InHand(clock) => clock.clone(),
            Self::Machine => Arc::new(SystemClock),
        }
    }
}

/// Connector and both systems.
pub struct World {
    pub csapi: SandboxCsapi,
    pub desk: Arc<dyn Desk>,
    pub description: Description,
    pub store: Arc<dyn Store>,
    pub deps: Arc<Deps>,
    pub service: SocketAddr,
    time: Time,
    backend: Arc<dyn Backend>,
    delivery: Arc<dyn Delivery>,
    cron: EmbeddedCron,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn new(crm: &dyn Crm) -> Self {
        Self::with(crm, Options::default()).await
    }

    pub async fn with(crm: &dyn Crm, mut options: Options) -> Self {
        options.backend = options.backend.or_else(|| crm.backend());
        let description = crm.description().await;
        let time = Time::for_crm(&description);
        let company = crm.open(&time.clock(), &options.setup).await;
        Self::around(time, description, company, options).await
    }

    /// Starts a second connector, with a desk and a database of its own, on the same Google organisation.
    pub async fn beside(&self, crm: &dyn Crm) -> Self {
        let Time::InHand(clock) = &self.time else {
            panic!("{}: this scenario needs the clock in its hand", self.description.name)
        };
        let options = Options { csapi: Some(self.csapi.clone()), ..Options::default() };
        let time = Time::InHand(clock.clone());
        let company = crm.open(&time.clock(), &options.setup).await;
        Self::around(time, crm.description().await, company, options).await
    }

    /// Starts a connector in front of a running CRM.
    pub async fn around(time: Time, description: Description, company: Company, options: Options) -> Self {
        let clock = time.clock();
        let csapi = options.csapi.unwrap_or_else(|| SandboxCsapi::new(clock.clone(), "organizations/123"));
        let csapi_address = serve(csapi.router()).await;
        let metrics = Metrics::shared();
        let google = Csapi::new(
            CsapiSettings {
                parent: "organizations/123".to_owned(),
                classification_id: Some(CLASSIFICATION_ID.to_owned()),
                time_zone: "+00:00".to_owned(),
                language_code: "en".to_owned(),
                other_parents: Vec::new(),
                subscribers: Vec::new(),
                test_cases: false,
                feed: options.feed,
                key_expires: None,
                events: None,
            },
            Arc::new(upstream(
                "CSAPI",
                csapi_address,
                Vec::new(),
                options.setup.timeout,
                &clock,
                Arc::new(NoCredentials),
            )),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = listener.local_addr().unwrap();
        let backend = options.backend.unwrap_or_else(|| match &time {
            Time::InHand(_) => Arc::new(Embedded::new()),
            Time::Machine => Arc::new(AtOnce::new()),
        });
        let store = backend.store(&clock).await;
        let delivery = backend.queue(service, &clock).await;
        let folder = tempfile::tempdir().unwrap();
        let cron = open_cron(&folder, service, &clock);
        let deps = Arc::new(Deps {
            pacer: Pacer::default(),
            unchanged: Unchanged::default(),
            clock,
            store: store.clone(),
            queue: delivery.queue(),
            systems: Sides { google: Arc::new(google) as Arc<dyn CaseSystem>, company: company.system },
            settings: TaskSettings {
                rules: options.rules,
                windows: Sides { google: Duration::minutes(30), company: Duration::minutes(5) },
                max_case_age: Duration::days(30),
                retention: Duration::days(30),
                tolerances: ToleranceTable::default(),
                deadline: options.deadline,
                lease: Duration::minutes(2),
                syncs_per_minute: 100_000,
                missing_grace: Duration::hours(1),
                give_up_after: options.give_up_after,
                adopt_claims: false,
                since: options.since,
                routes: options.routes,
                poll_every: options.poll_every,
                announced: Sides::default(),
                placing: options.placing,
            },
            metrics,
            stop: CancellationToken::new(),
        });
        let admin_token = (backend.platform() == Platform::AppEngine).then_some(ADMIN_TOKEN);
        run_service(listener, deps.clone(), backend.platform(), admin_token);
        Self {
            csapi,
            desk: company.desk,
            description,
            store,
            deps,
            service,
            time,
            backend,
            delivery,
            cron,
            http: crate::service::client(),
            _folder: folder,
        }
    }

    // ------------------------------------------------------------ time

    /// Returns the clock. Needs [`crm::Need::ClockInHand`].
    pub fn clock(&self) -> &ManualClock {
        match &self.time {
            Time::InHand(clock) => clock,
            Time::Machine => panic!("{}: this scenario needs the clock in its hand", self.description.name),
        }
    }

    /// Lets a second pass in which nothing runs, so that two changes of a case have different times. The machine's clock needs no help.
    pub fn a_moment_later(&self) {
        if let Time::InHand(clock) = &self.time {
            clock.advance(Duration::seconds(1));
        }
    }

    /// Lets a tenth of a second pass in which nothing runs, so that two changes of a case have the same time where times are whole seconds.
    pub fn within_a_second(&self) {
        if let Time::InHand(clock) = &self.time {
            clock.advance(Duration::milliseconds(100));
        }
    }

    /// Runs cron and the queues for a time, each job and task when it is due.
    pub async fn run_for(&self, duration: Duration) {
        let clock = self.clock();
        let end = clock.now() + duration;
        loop {
            let next_cron = self.cron.run_due().await.unwrap().next_due;
            let next_task = self.delivery.run_due().await;
            let next = [next_cron, next_task].into_iter().flatten().min();
            match next {
                Some(next) if next <= end => clock.set(next.max(clock.now())),
                _ => break,
            }
        }
        clock.set(end);
    }

    /// Lets hours or days pass between two moments of interest: the first 20 minutes and the last as [`World::run_for`] does, and
    /// between them cron and the queues only every nine minutes, which is within all tolerances. A day of minutes is seconds of a processor.
    pub async fn run_for_long(&self, duration: Duration) {
        self.run_finely_at_both_ends(duration, Duration::minutes(20)).await;
    }

    async fn run_finely_at_both_ends(&self, duration: Duration, finely: Duration) {
        let clock = self.clock();
        let end = clock.now() + duration;
        self.run_for(finely).await;
        while clock.now() < end - finely {
            clock.set((clock.now() + Duration::minutes(9)).min(end - finely));
            self.run_for(Duration::zero()).await;
        }
        self.run_for(end - clock.now()).await;
    }

    /// Lets all changes arrive and settle, if nothing disturbs them. It takes three minutes, and longer only if the CRM's `patience` allows
    /// it and a case is still dirty.
    pub async fn settle(&self) {
        match self.time {
            Time::InHand(_) => {
                self.run_for(Duration::minutes(3)).await;
                let mut patience = self.description.patience;
                while patience > Duration::zero() && self.something_waits().await {
                    self.run_for(Duration::minutes(1)).await;
                    patience -= Duration::minutes(1);
                }
            }
            Time::Machine => {
                for _ in 0..3 {
                    if self.round().await {
                        break;
                    }
                }
            }
        }
    }

    /// Lets time pass. With the machine's clock, which a test cannot wait for, it settles instead.
    pub async fn go_on(&self, duration: Duration) {
        match self.time {
            Time::InHand(_) => self.run_for(duration).await,
            Time::Machine => self.settle().await,
        }
    }

    async fn something_waits(&self) -> bool {
        self.mappings().await.iter().any(|mapping| {
            !mapping.paused && (mapping.dirty.google.is_some() || mapping.dirty.company.is_some())
        })
    }

    /// Runs both polls and the tasks that they queue, now. Returns true if there were none, so that another round would find none either.
    pub async fn round(&self) -> bool {
        let mut is_idle = true;
        for poll in ["poll-google", "poll-company"] {
            let (status, answer) = self.post(poll, json!({})).await;
            is_idle &= status == 200 && answer["queued"] == 0;
        }
        is_idle &= !self.delivery.has_waiting();
        self.deliver().await;
        is_idle
    }

    /// Asserts that nothing changes any more without an action of people.
    pub async fn assert_quiet(&self) {
        let before = self.everything().await;
        // Longer than either polling window, and into another hour.
        match self.time {
            Time::InHand(_) => {
                self.run_finely_at_both_ends(Duration::minutes(65), Duration::minutes(5)).await;
            }
            Time::Machine => self.settle().await,
        }
        assert_eq!(self.everything().await, before);
    }

    async fn everything(&self) -> String {
        let cases: Vec<_> = self
            .csapi
            .cases()
            .into_iter()
            .map(|case| {
                (
                    self.google_texts(&case.name),
                    self.csapi.attachments(&case.name).unwrap().len(),
                    case.state,
                    case.priority,
                )
            })
            .collect();
        let company: Vec<_> = self
            .desk
            .cases()
            .await
            .into_iter()
            .map(|case| (case.texts(), case.files.len(), case.state, case.priority))
            .collect();
        format!("{cases:#?}\n{company:#?}")
    }

    // ------------------------------------------------------------ the service

    /// Asks for a dry run of a task, as a person with curl; returns status and body. Asserts that nothing was written or queued.
    pub async fn rehearse(&self, task: &str, body: Value) -> (u16, Value) {
        let before = self.evidence().await;
        let answer = self.post(&format!("{task}?dry_run=true"), body).await;
        // A task that was queued would run now.
        self.deliver().await;
        assert_eq!(self.evidence().await, before, "{task}: {}", answer.1);
        answer
    }

    /// Returns all that a dry run may not change: the store, and both systems with the time of last update of each case.
    async fn evidence(&self) -> String {
        let mut updated = Vec::new();
        for case in self.csapi.cases() {
            updated.push(self.deps.systems.google.get(&case.name).await.unwrap());
        }
        for case in self.desk.cases().await {
            updated.push(self.deps.systems.company.get(&case.id).await.unwrap());
        }
        let stored = (self.mappings().await, self.store.global().await.unwrap());
        format!("{}\n{updated:#?}\n{stored:#?}", self.everything().await)
    }

    /// Sends `POST /tasks/{task}`, as a person with curl; returns status and body.
    pub async fn post(&self, task: &str, body: Value) -> (u16, Value) {
        let url = format!("http://{}/tasks/{task}", self.service);
        let request = match self.backend.platform() {
            Platform::Local => self.http.post(url),
            Platform::AppEngine => self.http.post(url).bearer_auth(ADMIN_TOKEN),
        };
        let response = request.json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// Sends `GET /api/mappings` with these parameters, as a person; returns status and body.
    pub async fn ask_for_mappings(&self, parameters: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.get(format!("http://{}/api/mappings", self.service)).query(parameters);
        let request = match self.backend.platform() {
            Platform::Local => request,
            Platform::AppEngine => request.bearer_auth(ADMIN_TOKEN),
        };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// Starts another instance of the service on the same database, which takes push messages and queues so many syncs per minute; returns its
    /// address and its parts.
    pub async fn instance_with_push(
        &self,
        push: Receivers,
        syncs_per_minute: u32,
    ) -> (SocketAddr, Arc<Deps>) {
        let deps = self.another(TaskSettings { syncs_per_minute, ..self.deps.settings.clone() }).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service { push: Arc::new(push), ..service(deps.clone(), Platform::Local, None) };
        run(listener, service, Platform::Local);
        (address, deps)
    }

    /// Starts another instance of the service on the same database, behind Identity-Aware Proxy; returns its address.
    pub async fn instance_behind_iap(&self, iap: Iap, admin_token: &str) -> SocketAddr {
        let deps = self.another(self.deps.settings.clone()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            Service { iap: Some(Arc::new(iap)), ..service(deps, Platform::Local, Some(admin_token)) };
        run(listener, service, Platform::Local);
        address
    }

    /// Starts another instance of the service on the same database, for a platform and an admin token; returns its address.
    pub async fn another_instance(&self, platform: Platform, admin_token: Option<&str>) -> SocketAddr {
        let deps = self.another(self.deps.settings.clone()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        run_service(listener, deps, platform, admin_token);
        address
    }

    /// Returns the parts of another instance on the same database.
    async fn another(&self, settings: TaskSettings) -> Arc<Deps> {
        let deps = &self.deps;
        Arc::new(Deps {
            pacer: Pacer::default(),
            unchanged: Unchanged::default(),
            clock: deps.clock.clone(),
            store: self.backend.store(&deps.clock).await,
            queue: deps.queue.clone(),
            systems: Sides { google: deps.systems.google.clone(), company: deps.systems.company.clone() },
            settings,
            metrics: deps.metrics.clone(),
            stop: CancellationToken::new(),
        })
    }

    /// Delivers the tasks that are due now, once.
    pub async fn deliver(&self) {
        self.delivery.run_due().await;
    }

    pub async fn mappings(&self) -> Vec<CaseMapping> {
        self.store.list(MappingFilter::All, None, 1000).await.unwrap().mappings
    }

    /// Returns the mapping, which must be the only one.
    pub async fn mapping(&self) -> CaseMapping {
        let mut mappings = self.mappings().await;
        assert_eq!(mappings.len(), 1, "{mappings:#?}");
        mappings.remove(0)
    }

    // ------------------------------------------------------------ people

    /// Creates a Google case and lets it settle with its company case; returns the name and the ID.
    pub async fn pair(&self) -> (String, String) {
        let case = self.google_case("Disk is slow");
        self.settle().await;
        (case, self.mapping().await.company_case_id.unwrap().to_string())
    }

    /// Creates a company case and lets it settle with its Google case; returns the name and the ID.
    pub async fn pair_from_company(&self) -> (String, String) {
        let company = self.company_case("Disk is slow").await;
        self.settle().await;
        (self.mapping().await.google_case_name.unwrap().to_string(), company)
    }

    /// Opens a case as a customer in Google's console; returns its name.
    pub fn google_case(&self, title: &str) -> String {
        let case = NewCase {
            parent: "organizations/123".to_owned(),
            display_name: title.to_owned(),
            description: format!("The description of {title}."),
            priority: Priority::P2,
            author: Author::customer("Grace Hopper"),
        };
        self.csapi.create_case(case).unwrap().name
    }

    /// Opens a flagged company case; returns its ID.
    pub async fn company_case(&self, title: &str) -> String {
        self.desk.opens(NewCompanyCase::flagged(title)).await
    }

    pub fn google_says(&self, case: &str, body: &str) -> String {
        self.csapi.add_comment(case, Author::google("Ada Lovelace"), body).unwrap().id
    }

    /// Writes a public comment on a company case; returns its ID.
    pub async fn company_says(&self, case: &str, text: &str) -> String {
        if let (false, Time::InHand(clock)) = (self.desk.keeps_order_within_a_second(), &self.time) {
            clock.advance(Duration::seconds(1));
        }
        self.desk.says(case, text, Visibility::Public).await
    }

    /// Replies to a Google case by email, as a customer; returns the message's ID among the comments of the case.
    pub fn google_mails(&self, case: &str, subject: &str, text: &str) -> String {
        let email = self.csapi.receive_email(case, Author::customer("Grace Hopper"), subject, text).unwrap();
        format!("email:{}", email.id)
    }

    pub fn google_attaches(&self, case: &str, name: &str, bytes: &[u8]) -> String {
        self.csapi.attach(case, Author::customer("Grace Hopper"), name, "text/plain", bytes).unwrap().id
    }

    /// Attaches a public file to a company case; returns its ID.
    pub async fn company_attaches(&self, case: &str, name: &str, bytes: &[u8]) -> String {
        self.desk.attaches(case, name, "text/plain", bytes, Visibility::Public).await
    }

    /// Returns the company case's name in texts on the Google case: its ID, its key, its address (`R31`).
    pub async fn named(&self, company: &str) -> String {
        let system = &self.deps.systems.company;
        let case = system.get(company).await.unwrap().unwrap();
        casebridge::sync::texts::company_name(&case, system.home()).to_string()
    }

    /// Returns the texts on the Google case, oldest first.
    pub fn google_texts(&self, case: &str) -> Vec<String> {
        self.csapi.comments(case).unwrap().into_iter().map(|comment| comment.body).collect()
    }

    /// Returns the company case, which must exist.
    pub async fn company(&self, case: &str) -> CaseView {
        self.desk.case(case).await.unwrap_or_else(|| panic!("there is no company case {case}"))
    }

    /// Returns the comments on the company case as a person reads them, oldest first.
    pub async fn company_texts(&self, case: &str) -> Vec<String> {
        self.company(case).await.texts()
    }

    /// Returns the texts of the copies of company comments, without their headers.
    pub fn copies_at_google(&self, case: &str) -> Vec<String> {
        copies(self.google_texts(case), "[Company Comment ")
    }

    /// Returns the texts of the copies of Google's comments, without their headers.
    pub async fn copies_in_crm(&self, case: &str) -> Vec<String> {
        copies(self.company_texts(case).await, "[Google Comment ")
    }

    /// Returns the number of cases: at Google, and in the CRM.
    pub async fn sizes(&self) -> (usize, usize) {
        (self.csapi.cases().len(), self.desk.cases().await.len())
    }

    // ------------------------------------------------------------ trouble

    /// Returns the CRM's faults. Needs [`crm::Need::Faults`].
    pub fn company_faults(&self) -> &Faults {
        let faults = self.desk.faults();
        faults.unwrap_or_else(|| panic!("{}: this scenario needs faults", self.description.name))
    }

    /// Adds a fault for requests that perform this call to the CRM.
    pub fn trouble(&self, call: desk::Call, fault: Fault) {
        let (method, path) = self.desk.calls(call);
        self.company_faults().add(fault.on(method, path));
    }
}

/// Returns the texts that are copies, without their headers.
pub fn copies(texts: Vec<String>, header: &str) -> Vec<String> {
    let of = |text: String| text.strip_prefix(header)?.split_once('\n').map(|(_, body)| body.to_owned());
    texts.into_iter().filter_map(of).collect()
}

/// Counts the texts with this beginning.
pub fn count(texts: &[String], beginning: &str) -> usize {
    texts.iter().filter(|text| text.starts_with(beginning)).count()
}

fn open_cron(folder: &tempfile::TempDir, service: SocketAddr, clock: &SharedClock) -> EmbeddedCron {
    let target = format!("http://{service}").parse().unwrap();
    let jobs = CronConfig::load(None).unwrap();
    let path = folder.path().join("cron.db");
    let token = INTERNAL_TOKEN.to_owned();
    EmbeddedCron::open(EmbeddedCronOptions::new(path, jobs, target, token, clock.clone())).unwrap()
}

fn run_service(listener: TcpListener, deps: Arc<Deps>, platform: Platform, admin_token: Option<&str>) {
    run(listener, service(deps, platform, admin_token), platform);
}

fn service(deps: Arc<Deps>, platform: Platform, admin_token: Option<&str>) -> Service {
    Service {
        deps,
        trust: platform.trust(),
        admin_token: admin_token.map(Secret::new),
        iap: None,
        internal_token: Secret::new(INTERNAL_TOKEN),
        push: Arc::default(),
        polls: PollFailures::default(),
        cron_every: Sides { google: Some(Duration::minutes(1)), company: None },
        running: TaskTracker::new(),
    }
}

fn run(listener: TcpListener, service: Service, platform: Platform) {
    let (app, limits) = (router(service), Limits::on(platform));
    tokio::spawn(casebridge::http::serve(listener, app, limits, CancellationToken::new()));
}

/// Returns the upstream for a client of a system on loopback.
pub fn upstream(
    name: &'static str,
    address: SocketAddr,
    download_hosts: Vec<String>,
    timeout: StdDuration,
    clock: &SharedClock,
    credentials: Arc<dyn Credentials>,
) -> Upstream {
    let settings = UpstreamSettings {
        name,
        base_url: format!("http://{address}").parse().unwrap(),
        requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
        timeout,
        retry: RetryPolicy {
            attempts: 2,
            first_pause: StdDuration::from_millis(1),
            longest_pause: StdDuration::from_millis(5),
        },
        download_hosts,
    };
    Upstream::new(settings, credentials, clock.clone(), Metrics::shared()).unwrap()
}

/// Serves a router on a free port; returns the address.
pub async fn serve(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}
