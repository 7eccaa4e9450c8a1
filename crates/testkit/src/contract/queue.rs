//! Contract of every queue: names, times, retries, headers (`R2`, `R3`).
//!
//! A queue takes part by implementing [`QueueUnderTest`]; each function below is one promise. Promises of a single queue are
//! tested in its own suite.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use casebridge::clock::SharedClock;
use casebridge::queue::{Enqueued, QueuedTask, TaskName, TaskQueue};
use casebridge::tasks::TaskKind;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

/// Queue, the service that it delivers to, and its clock.
#[async_trait]
pub trait QueueUnderTest: Send + Sync {
    /// Returns the queue.
    fn queue(&self) -> &dyn TaskQueue;
    /// Returns the service that it delivers to.
    fn service(&self) -> &Service;
    /// Returns the current time of its clock.
    fn now(&self) -> DateTime<Utc>;
    /// Lets time pass on its clock; tasks that become due are delivered at their times.
    async fn pass(&self, time: TimeDelta);
}

/// Request that the service has got.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: Method,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    pub at: DateTime<Utc>,
}

impl Received {
    /// Returns a header's value; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answer of the service.
#[derive(Clone, Default)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    gate: Option<Arc<Semaphore>>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap(), ..Self::default() }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Delays the answer until the gate has a permit.
    pub fn behind(mut self, gate: &Arc<Semaphore>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }
}

type Handler = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// Service that records its requests and answers as a test says.
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    clock: SharedClock,
    received: Mutex<Vec<Received>>,
    handler: Mutex<Handler>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

/// Counts a request as in progress until it is dropped.
struct Running(Arc<Shared>);

impl Running {
    fn begin(shared: &Arc<Shared>) -> Self {
        let running = shared.running.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_running.fetch_max(running, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service {
    /// Starts the service on a free port; it answers 200 to everything.
    pub async fn start(clock: SharedClock) -> Self {
        let shared = Arc::new(Shared {
            clock,
            received: Mutex::default(),
            handler: Mutex::new(Arc::new(|_| Reply::status(200))),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        // The server ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).unwrap()
    }

    /// Sets the handler that answers from now on.
    pub fn answer(&self, handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.shared.handler.lock().unwrap() = Arc::new(handler);
    }

    /// Answers with these statuses, one after the other, and then with 200.
    pub fn answer_with(&self, replies: impl IntoIterator<Item = Reply>) {
        let replies: Mutex<std::collections::VecDeque<Reply>> = Mutex::new(replies.into_iter().collect());
        self.answer(move |_| replies.lock().unwrap().pop_front().unwrap_or_else(|| Reply::status(200)));
    }

    /// Returns all requests so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Returns the time of each request, in seconds after `start`.
    pub fn seconds_since(&self, start: DateTime<Utc>) -> Vec<i64> {
        self.received().iter().map(|received| (received.at - start).num_seconds()).collect()
    }

    /// Returns the maximum number of requests that were in progress at the same moment.
    pub fn most_running(&self) -> usize {
        self.shared.most_running.load(Ordering::SeqCst)
    }

    /// Waits until this many requests have arrived; fails after five minutes.
    pub async fn wait_for(&self, count: usize) {
        let arrived = async {
            while self.received().len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_mins(5), arrived).await;
        assert!(waited.is_ok(), "{} requests instead of {count}", self.received().len());
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let running = Running::begin(&shared);
    let received = Received {
        method,
        path: uri.path().to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: body.to_vec(),
        at: shared.clock.now(),
    };
    shared.received.lock().unwrap().push(received.clone());
    let handler = Arc::clone(&*shared.handler.lock().unwrap());
    let reply = handler(&received);
    if let Some(gate) = reply.gate {
        gate.acquire().await.unwrap().forget();
    }
    drop(running);
    let mut response = (reply.status, "{}").into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// Returns a task with its number in the body.
pub fn task(kind: TaskKind, number: u32) -> QueuedTask {
    QueuedTask { kind, body: json!({ "case_id": number.to_string() }), name: None, not_before: None }
}

/// Returns the same task with a name of its own.
pub fn named(kind: TaskKind, number: u32) -> QueuedTask {
    let name = TaskName::new(kind, None, &number.to_string(), "2026-01-01T00:00:00Z");
    QueuedTask { name: Some(name), ..task(kind, number) }
}

/// A task is a `POST` to its own path, with its body, its queue, its name and its counts.
pub async fn a_task_is_delivered_with_its_body_and_headers(test: &impl QueueUnderTest) {
    let start = test.now();
    let queued = named(TaskKind::SyncGoogleCase, 7);
    let name = queued.name.clone().unwrap();
    assert_eq!(test.queue().enqueue(queued).await.unwrap(), Enqueued::New);
    test.pass(TimeDelta::seconds(1)).await;

    let received = test.service().received();
    assert_eq!(received.len(), 1);
    let request = &received[0];
    assert_eq!((&request.method, request.path.as_str()), (&Method::POST, "/tasks/sync-google-case"));
    assert_eq!(request.json(), json!({ "case_id": "7" }));
    assert_eq!(request.header("x-appengine-queuename"), Some("sync-google-case"));
    assert_eq!(request.header("x-appengine-taskname"), Some(name.as_str()));
    assert_eq!(request.header("x-appengine-taskretrycount"), Some("0"));
    assert_eq!(request.header("x-appengine-taskexecutioncount"), Some("0"));
    assert_eq!(request.header("x-appengine-taskpreviousresponse"), None);
    let eta: f64 = request.header("x-appengine-tasketa").unwrap().parse().unwrap();
    let since_start = eta - (start - DateTime::UNIX_EPOCH).as_seconds_f64();
    assert!(since_start.abs() <= 1.0, "the ETA is {since_start} s after the start");
}

/// Tasks of every kind arrive, each on its own path.
pub async fn every_kind_of_task_arrives(test: &impl QueueUnderTest) {
    for kind in TaskKind::ALL {
        assert_eq!(test.queue().enqueue(task(kind, 1)).await.unwrap(), Enqueued::New);
    }
    test.pass(TimeDelta::seconds(5)).await;
    let mut paths: Vec<String> = test.service().received().into_iter().map(|request| request.path).collect();
    paths.sort();
    let mut expected = TaskKind::ALL.map(TaskKind::path).to_vec();
    expected.sort();
    assert_eq!(paths, expected);
}

/// A name can be used for one task only, while the task waits and after it is done. Each queue has its own names.
pub async fn a_name_is_used_once(test: &impl QueueUnderTest) {
    let queue = test.queue();
    let queued = named(TaskKind::SyncGoogleCase, 1);
    assert_eq!(queue.enqueue(queued.clone()).await.unwrap(), Enqueued::New);
    assert_eq!(queue.enqueue(queued.clone()).await.unwrap(), Enqueued::AlreadyExists, "while it waits");
    let elsewhere = QueuedTask { kind: TaskKind::SyncCompanyCase, ..queued.clone() };
    assert_eq!(queue.enqueue(elsewhere).await.unwrap(), Enqueued::New, "on another queue");
    test.pass(TimeDelta::seconds(5)).await;
    assert_eq!(queue.enqueue(queued.clone()).await.unwrap(), Enqueued::AlreadyExists, "when it is done");
    test.pass(TimeDelta::hours(1)).await;
    assert_eq!(queue.enqueue(queued).await.unwrap(), Enqueued::AlreadyExists, "an hour later");
    test.pass(TimeDelta::seconds(5)).await;
    assert_eq!(test.service().received().len(), 2);
}

/// Tasks without a name are never deduplicated.
pub async fn tasks_without_a_name_all_arrive(test: &impl QueueUnderTest) {
    for _ in 0..5 {
        assert_eq!(test.queue().enqueue(task(TaskKind::SyncCompanyCase, 1)).await.unwrap(), Enqueued::New);
    }
    test.pass(TimeDelta::seconds(5)).await;
    let received = test.service().received();
    let mut names: Vec<&str> =
        received.iter().filter_map(|request| request.header("x-appengine-taskname")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((received.len(), names.len()), (5, 5));
}

/// A task with a time waits for it.
pub async fn a_task_waits_for_its_time(test: &impl QueueUnderTest) {
    let start = test.now();
    let later =
        QueuedTask { not_before: Some(start + TimeDelta::seconds(90)), ..task(TaskKind::SyncGoogleCase, 1) };
    test.queue().enqueue(later).await.unwrap();
    test.pass(TimeDelta::seconds(89)).await;
    assert_eq!(test.service().received().len(), 0);
    test.pass(TimeDelta::seconds(3)).await;
    assert_eq!(test.service().received().len(), 1);
}

/// A task is retried after any answer but 2xx, with growing delays and counts, and no redirect is followed; 2xx ends it.
pub async fn a_failed_task_is_tried_again_until_it_succeeds(test: &impl QueueUnderTest) {
    let start = test.now();
    test.service().answer_with([
        Reply::status(500),
        Reply::status(404),
        Reply::status(302).header("location", "/elsewhere"),
        Reply::status(204),
    ]);
    test.queue().enqueue(named(TaskKind::SyncGoogleCase, 1)).await.unwrap();
    test.pass(TimeDelta::hours(1)).await;

    let received = test.service().received();
    let column = |name: &str| -> Vec<String> {
        received.iter().map(|request| request.header(name).unwrap_or("-").to_owned()).collect()
    };
    assert!(received.iter().all(|request| request.path == "/tasks/sync-google-case"));
    assert_eq!(column("x-appengine-taskretrycount"), ["0", "1", "2", "3"]);
    assert_eq!(column("x-appengine-taskexecutioncount"), ["0", "1", "2", "3"]);
    assert_eq!(column("x-appengine-taskpreviousresponse"), ["-", "500", "404", "302"]);
    let gaps = test.service().seconds_since(start);
    for (gap, expected) in gaps.iter().zip([0, 10, 30, 70]) {
        assert!((expected..=expected + 2).contains(gap), "attempts at {gaps:?} seconds");
    }
}

/// A poll that keeps failing is tried a few times within the first minute, and not after that.
pub async fn a_poll_expires_within_its_minute(test: &impl QueueUnderTest) {
    let start = test.now();
    test.service().answer(|_| Reply::status(500));
    test.queue().enqueue(named(TaskKind::PollGoogle, 1)).await.unwrap();
    test.pass(TimeDelta::hours(2)).await;
    let attempts = test.service().seconds_since(start);
    assert!((3..=5).contains(&attempts.len()), "{attempts:?}");
    assert!(attempts.iter().all(|at| *at < 62), "{attempts:?}");
}

/// A sync that keeps failing is retried without end, with a delay that grows up to a limit, and arrives when it can.
pub async fn a_sync_is_tried_for_ever(test: &impl QueueUnderTest) {
    test.service().answer(|_| Reply::status(500));
    test.queue().enqueue(named(TaskKind::SyncCompanyCase, 1)).await.unwrap();
    test.pass(TimeDelta::hours(30)).await;
    let before = test.service().received().len();
    assert!((300..=400).contains(&before), "{before} attempts in 30 hours");
    test.service().answer(|_| Reply::status(200));
    test.pass(TimeDelta::minutes(6)).await;
    assert_eq!(test.service().received().len(), before + 1);
    test.pass(TimeDelta::hours(1)).await;
    assert_eq!(test.service().received().len(), before + 1);
}
