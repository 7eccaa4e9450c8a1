//! The whole service between two systems whose answers are spoilt: each request is answered as documented, and nothing panics.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use casebridge::cases::{ClosingSet, Visibility};
use casebridge::clock::ManualClock;
use casebridge::config::{Platform, Secret};
use casebridge::entities::{Sides, ToleranceTable};
use casebridge::http::{PollFailures, Service, router};
use casebridge::outbound::{Credentials, NoCredentials};
use casebridge::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use casebridge::store::SqliteStore;
use casebridge::sync::{CommentsToGoogle, EditedComments, Rules, ShownRule, StatusTable, Switches};
use casebridge::tasks::{Deps, Pacer, TaskSettings, Unchanged};
use casebridge::telemetry::Metrics;
use chrono::{Duration, TimeZone as _, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::spoil::{How, Spoil};
use crate::subjects::{self, Kind, Subject};
use crate::{cases, panics, run, spoil};

/// A service between Google and a CRM.
pub(crate) struct Connector {
    pub(crate) google: Subject,
    pub(crate) company: Subject,
    pub(crate) router: Router,
    pub(crate) metrics: Arc<Metrics>,
    clock: Arc<ManualClock>,
    queue: Arc<Kept>,
    _folder: tempfile::TempDir,
}

/// Keeps what is queued.
#[derive(Default)]
struct Kept(Mutex<Vec<QueuedTask>>);

#[async_trait]
impl TaskQueue for Kept {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        self.0.lock().unwrap().push(task);
        Ok(Enqueued::New)
    }
}

impl Connector {
    pub(crate) async fn new(kind: Kind) -> Self {
        let none = || Arc::new(NoCredentials) as Arc<dyn Credentials>;
        Self::with(kind, [none(), none()], None).await
    }

    pub(crate) async fn with(
        kind: Kind,
        credentials: [Arc<dyn Credentials>; 2],
        admin_token: Option<&str>,
    ) -> Self {
        let clock = ManualClock::at(Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap());
        let [google, company] = credentials;
        let google = subjects::open_with(Kind::Csapi, clock.clone(), google).await;
        let company = subjects::open_with(kind, clock.clone(), company).await;
        let folder = tempfile::tempdir().unwrap();
        let queue = Arc::new(Kept::default());
        let switches = Switches::ALL;
        let metrics = Metrics::shared();
        let deps = Arc::new(Deps {
            pacer: Pacer::default(),
            unchanged: Unchanged::default(),
            clock: clock.clone(),
            store: Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap()),
            queue: queue.clone(),
            systems: Sides { google: google.system.clone(), company: company.system.clone() },
            settings: TaskSettings {
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
                windows: Sides { google: Duration::minutes(30), company: Duration::minutes(5) },
                max_case_age: Duration::days(30),
                retention: Duration::days(30),
                tolerances: ToleranceTable::default(),
                deadline: StdDuration::from_secs(20),
                lease: Duration::minutes(2),
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
            metrics: metrics.clone(),
            stop: CancellationToken::new(),
        });
        let router = router(Service {
            deps,
            trust: Platform::Local.trust(),
            admin_token: admin_token.map(Secret::new),
            iap: None,
            internal_token: Secret::new(casebridge_testkit::harness::INTERNAL_TOKEN),
            push: Arc::default(),
            polls: PollFailures::default(),
            cron_every: casebridge::entities::Sides::default(),
            running: TaskTracker::new(),
        });
        Self { google, company, router, metrics, clock, queue, _folder: folder }
    }

    /// Asks the service, as a person at this machine does.
    pub(crate) async fn ask(&self, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
        ask(&self.router, request).await
    }

    async fn post(&self, task: &str, body: &Value, token: Option<&str>) -> (StatusCode, String, Vec<u8>) {
        let mut request = Request::post(format!("/tasks/{task}")).header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.ask(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Both polls, what they queue, and the other tasks. The answers.
    pub(crate) async fn round(&self, token: Option<&str>) -> Vec<(String, StatusCode, Vec<u8>)> {
        let mut answers = Vec::new();
        for task in ["poll-google", "poll-company"] {
            let (status, _, body) = self.post(task, &json!({}), token).await;
            answers.push((task.to_owned(), status, body));
        }
        let queued: Vec<QueuedTask> = std::mem::take(&mut *self.queue.0.lock().unwrap());
        for task in queued.into_iter().take(12) {
            let (status, _, body) = self.post(task.kind.name(), &task.body, token).await;
            answers.push((task.kind.name().to_owned(), status, body));
        }
        self.clock.advance(Duration::minutes(70));
        for task in ["detect-outages", "cleanup"] {
            let (status, _, body) = self.post(task, &json!({}), token).await;
            answers.push((task.to_owned(), status, body));
        }
        answers
    }
}

/// Asks a router, from this machine.
pub(crate) async fn answer(router: &Router, mut request: Request<Body>) -> Response {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))));
    router.clone().oneshot(request).await.unwrap()
}

pub(crate) fn text_of(response: &Response, header: &str) -> String {
    response.headers().get(header).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
    let response = answer(router, request).await;
    let (status, media_type) = (response.status(), text_of(&response, "content-type"));
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, media_type, body.to_vec())
}

/// What every answer of a task has to be, whatever happened (`R4`).
fn assert_documented(answers: &[(String, StatusCode, Vec<u8>)]) {
    for (task, status, body) in answers {
        let text = String::from_utf8_lossy(body);
        let report: Value =
            serde_json::from_slice(body).unwrap_or_else(|_| panic!("{task}: {status}: {text}"));
        assert!([200, 404, 500].contains(&status.as_u16()), "{task}: {status}: {text}");
        assert!(report["outcome"].is_string(), "{task}: {status}: {text}");
        assert_eq!(report["task"], json!(task), "{text}");
    }
}

#[test]
fn unspoilt_the_service_makes_a_pair_of_each_case() {
    for kind in Kind::ALL.into_iter().filter(|kind| ![Kind::Csapi, Kind::RequestTracker].contains(kind)) {
        run(async {
            let connector = Connector::new(kind).await;
            let answers = [connector.round(None).await, connector.round(None).await].concat();
            assert_documented(&answers);
            assert!(
                answers.iter().filter(|(task, ..)| task.starts_with("sync-")).count() >= 2,
                "{answers:?}"
            );
            let failed: Vec<String> = answers
                .iter()
                // More than an hour passes in each round: that is an outage.
                .filter(|(task, status, _)| *status != 200 && task != "detect-outages")
                .map(|(task, status, body)| format!("{task}: {status} {}", String::from_utf8_lossy(body)))
                .collect();
            assert_eq!(failed, Vec::<String>::new(), "{kind:?}");
        });
    }
}

fn survives(kind: Kind, google: Vec<Spoil>, company: Vec<Spoil>) {
    panics::watch();
    run(async {
        let connector = Connector::new(kind).await;
        connector.google.spoiler.begin(google);
        connector.company.spoiler.begin(company);
        for _ in 0..2 {
            assert_documented(&connector.round(None).await);
        }
        for path in ["/api/mappings", "/api/global", "/metrics", "/healthz/sync", "/readyz"] {
            let request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
            let (status, _, body) = connector.ask(request).await;
            assert!(
                [200, 500].contains(&status.as_u16()),
                "{path}: {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }
    });
    panics::assert_none();
}

/// Whatever is reckoned with a time that a system tells.
#[test]
fn a_time_at_the_end_of_the_calendar_is_no_end_of_a_sync() {
    for (kind, time) in [
        (Kind::Zendesk, "+262142-12-31T23:59:59.999999Z"),
        (Kind::ServiceNow, "+262142-12-31 23:59:59"),
        (Kind::RequestTracker, "+262142-12-31T23:59:59.999999Z"),
        (Kind::JiraCloud, "+262142-12-31T23:59:59.999+0000"),
    ] {
        let how = How::Text { from: "\"2026-11-24".to_owned(), to: time.to_owned() };
        survives(kind, Vec::new(), vec![Spoil { at: 0, times: 1_000_000, how, place: 0 }]);
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn the_service_survives_spoilt_answers_of_csapi_and_jira(google in spoil::spoils(40), company in spoil::spoils(60)) {
        survives(Kind::JiraCloud, google, company);
    }

    #[test]
    fn the_service_survives_spoilt_answers_of_csapi_and_zendesk(google in spoil::spoils(40), company in spoil::spoils(60)) {
        survives(Kind::Zendesk, google, company);
    }

    #[test]
    fn the_service_survives_spoilt_answers_of_csapi_and_servicenow(google in spoil::spoils(40), company in spoil::spoils(60)) {
        survives(Kind::ServiceNow, google, company);
    }

    #[test]
    fn the_service_survives_spoilt_answers_of_csapi_and_request_tracker(google in spoil::spoils(40), company in spoil::spoils(60)) {
        survives(Kind::RequestTracker, google, company);
    }
}
