//! Embedded queue: the contract of every queue, and the promises of this one only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use casebridge::clock::{Clock, ManualClock, SharedClock, SystemClock};
use casebridge::queue::embedded::{EmbeddedQueue, EmbeddedQueueOptions, OpenError, RunReport};
use casebridge::queue::queue_yaml::{QueueConfig, QueueSettings};
use casebridge::queue::{DatabaseError, Enqueued, QueuedTask, TaskQueue};
use casebridge::sandbox::csapi::CLASSIFICATION_ID;
use casebridge::tasks::TaskKind;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use casebridge_testkit::contract::queue::{self as contract, QueueUnderTest, Reply, Service, named, task};

/// Embedded queue on a file of its own, with a clock that stands still until it is moved.
struct Embedded {
    queue: EmbeddedQueue,
    service: Service,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

fn start() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

impl Embedded {
    async fn new() -> Self {
        let clock = ManualClock::at(start());
        let service = Service::start(clock.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let queue =
            EmbeddedQueue::open(options(&folder.path().join("queue.db"), &service, clock.clone())).unwrap();
        Self { queue, service, clock, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("queue.db")
    }

    /// Opens another queue on the same file, as another process would do.
    fn another(&self) -> EmbeddedQueue {
        EmbeddedQueue::open(options(&self.path(), &self.service, self.clock.clone())).unwrap()
    }

    async fn enqueue(&self, task: QueuedTask) {
        assert_eq!(self.queue.enqueue(task).await.unwrap(), Enqueued::New);
    }

    async fn run_due(&self) -> RunReport {
        self.queue.run_due().await.unwrap()
    }

    fn settings(kind: TaskKind) -> QueueSettings {
        *QueueConfig::load(None).unwrap().get(kind)
    }
}

fn options(path: &Path, service: &Service, clock: SharedClock) -> EmbeddedQueueOptions {
    let queues = QueueConfig::load(None).unwrap();
    EmbeddedQueueOptions::new(path, queues, service.url(), "internal-token".to_owned(), clock)
}

#[async_trait]
impl QueueUnderTest for Embedded {
    fn queue(&self) -> &dyn TaskQueue {
        &self.queue
    }

    fn service(&self) -> &Service {
        &self.service
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn pass(&self, time: TimeDelta) {
        let end = self.clock.now() + time;
        loop {
            match self.run_due().await.next_due {
                Some(next) if next <= end => {
                    assert!(next > self.clock.now(), "what is due now was not delivered");
                    self.clock.set(next);
                }
                Some(_) | None => break,
            }
        }
        self.clock.set(end);
    }
}

/// Delivers through the router, without a connection: no server listens at the queue's URL. Drops the router at the end.
#[tokio::test]
async fn it_delivers_within_the_process_and_lets_go_of_the_router() {
    let folder = tempfile::tempdir().unwrap();
    let queues = QueueConfig::load(None).unwrap();
    let nowhere = "http://127.0.0.1:1".parse().unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let path = folder.path().join("queue.db");
    let options = EmbeddedQueueOptions::new(&path, queues, nowhere, "internal-token".to_owned(), clock);
    let queue = Arc::new(EmbeddedQueue::open(options).unwrap());
    let shutdown = CancellationToken::new();
    let held = Arc::new(Mutex::new(Vec::new()));
    let (seen, stop, holder) = (Arc::clone(&held), shutdown.clone(), Arc::clone(&queue));
    let router = axum::Router::new().route(
        "/tasks/{task}",
        axum::routing::post(async move |request: axum::extract::Request| {
            let _holder = holder;
            let headers = request.headers();
            let all =
                ["authorization", "x-appengine-queuename", "content-type"].map(|name| headers[name].clone());
            seen.lock().unwrap().push((request.uri().path().to_owned(), all));
            stop.cancel();
            StatusCode::OK
        }),
    );
    queue.deliver_to(router);
    queue.enqueue(task(TaskKind::SyncGoogleCase, 1)).await.unwrap();
    let weak = Arc::downgrade(&queue);
    queue.run(shutdown).await;
    assert!(weak.upgrade().is_none(), "the queue and the router keep each other");
    let [(path, headers)] = &held.lock().unwrap()[..] else { panic!("one delivery") };
    assert_eq!(path, "/tasks/sync-google-case");
    assert_eq!(headers, &["Bearer internal-token", "sync-google-case", "application/json"]);
}

macro_rules! keeps_the_contract {
    ($($promise:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $promise() {
            contract::$promise(&Embedded::new().await).await;
        }
    )*};
}

keeps_the_contract!(
    a_task_is_delivered_with_its_body_and_headers,
    every_kind_of_task_arrives,
    a_name_is_used_once,
    tasks_without_a_name_all_arrive,
    a_task_waits_for_its_time,
    a_failed_task_is_tried_again_until_it_succeeds,
    a_poll_expires_within_its_minute,
    a_sync_is_tried_for_ever,
);

#[tokio::test]
async fn a_delivery_proves_itself_with_the_internal_token() {
    let test = Embedded::new().await;
    test.enqueue(QueuedTask { body: Value::Null, ..task(TaskKind::PollGoogle, 1) }).await;
    test.enqueue(task(TaskKind::PollCompany, 1)).await;
    test.run_due().await;
    let received = test.service.received();
    let of = |path: &str| received.iter().find(|request| request.path == path).unwrap();
    let (empty, json) = (of("/tasks/poll-google"), of("/tasks/poll-company"));
    assert_eq!(empty.header("authorization"), Some("Bearer internal-token"));
    assert_eq!((empty.body.as_slice(), empty.header("content-type")), (&b""[..], None));
    assert_eq!(json.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_name_is_free_again_after_nine_days() {
    let test = Embedded::new().await;
    let name = named(TaskKind::SyncGoogleCase, 1);
    test.enqueue(name.clone()).await;
    test.run_due().await;
    test.clock.advance(TimeDelta::days(9) - TimeDelta::seconds(1));
    assert_eq!(test.queue.enqueue(name.clone()).await.unwrap(), Enqueued::AlreadyExists);
    test.clock.advance(TimeDelta::seconds(1));
    test.enqueue(name.clone()).await;
    test.run_due().await;
    assert_eq!(test.service.received().len(), 2);
    assert_eq!(test.queue.enqueue(name).await.unwrap(), Enqueued::AlreadyExists);
}

#[tokio::test]
async fn the_name_of_a_task_that_was_given_up_stays_blocked() {
    let test = Embedded::new().await;
    test.service.answer(|_| Reply::status(500));
    let name = named(TaskKind::PollGoogle, 1);
    test.enqueue(name.clone()).await;
    test.pass(TimeDelta::days(8)).await;
    assert_eq!(test.queue.enqueue(name).await.unwrap(), Enqueued::AlreadyExists);
}

#[tokio::test]
async fn attempts_come_at_the_times_that_queue_yaml_says() {
    for kind in TaskKind::ALL {
        let test = Embedded::new().await;
        test.service.answer(|_| Reply::status(500));
        test.enqueue(named(kind, 1)).await;
        test.pass(TimeDelta::hours(26)).await;
        let expected: Vec<i64> = Embedded::settings(kind)
            .retry
            .attempts(TimeDelta::zero())
            .map(|at| at.num_seconds())
            .take_while(|at| *at <= 26 * 3_600)
            .collect();
        assert_eq!(test.service.seconds_since(start()), expected, "{kind}");

        let dead = test.queue.dead_letters(10).await.unwrap().unwrap();
        if Embedded::settings(kind).retry.task_age_limit.is_none() {
            assert_eq!(dead, [], "{kind} is never given up");
        } else {
            let letter = &dead[0];
            assert_eq!((dead.len(), letter.kind, letter.attempts as usize), (1, kind, expected.len()));
            assert_eq!((letter.last_status, letter.last_failure.as_str()), (Some(500), "answered 500"));
            assert_eq!(letter.body, json!({ "case_id": "1" }).to_string());
            assert_eq!(letter.created_at, start());
            assert_eq!(letter.given_up_at, start() + TimeDelta::seconds(*expected.last().unwrap()));
        }
    }
}

#[tokio::test]
async fn a_task_ends_only_when_count_and_age_are_both_used_up() {
    let test = Embedded::new().await;
    // Each attempt takes a minute, so the age limit is passed with the first one; the count still allows a second one.
    let clock = test.clock.clone();
    test.service.answer(move |_| {
        clock.advance(TimeDelta::seconds(60));
        Reply::status(500)
    });
    test.enqueue(named(TaskKind::PollGoogle, 1)).await;
    test.pass(TimeDelta::hours(1)).await;
    assert_eq!(test.service.seconds_since(start()), [0, 70]);
    assert_eq!(test.queue.dead_letters(10).await.unwrap().unwrap()[0].attempts, 2);
}

#[tokio::test]
async fn the_command_lists_dead_letters_the_latest_first_and_needs_the_queue_alone() {
    let test = Embedded::new().await;
    test.service.answer(|_| Reply::status(500));
    let list = async |path: &Path, arguments: &[&str]| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_casebridge"))
            .arg("dead-letters")
            .args(arguments)
            .current_dir(test.folder.path())
            .env_clear()
            .env("CASEBRIDGE_GOOGLE__PARENT", "organizations/123")
            .env("CASEBRIDGE_GOOGLE__CLASSIFICATION_ID", CLASSIFICATION_ID)
            .env("CASEBRIDGE_COMPANY__KIND", "jira")
            .env("CASEBRIDGE_COMPANY__BASE_URL", "http://127.0.0.1:1")
            .env("CASEBRIDGE_COMPANY__JIRA__PROJECT", "SUP")
            .env("CASEBRIDGE_QUEUE__PATH", path)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let nowhere = test.folder.path().join("none.db");
    assert!(list(&nowhere, &[]).await.contains("is not there yet"));
    assert!(!nowhere.exists(), "a list makes no file");
    assert_eq!(list(&test.path(), &[]).await, "");
    test.enqueue(named(TaskKind::PollGoogle, 1)).await;
    test.pass(TimeDelta::hours(1)).await;
    test.enqueue(named(TaskKind::Cleanup, 2)).await;
    test.pass(TimeDelta::days(2)).await;
    let lines = list(&test.path(), &[]).await;
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].contains(" cleanup {\"case_id\":\"2\"}: given up after "), "{lines:?}");
    assert_eq!(
        lines[1],
        "2026-01-01 00:00:50 UTC poll-google {\"case_id\":\"1\"}: given up after 4 attempts: answered 500"
    );
    let one: Value = serde_json::from_str(&list(&test.path(), &["--json", "--limit", "1"]).await).unwrap();
    assert_eq!((&one["task"], &one["last_status"]), (&json!("cleanup"), &json!(500)), "{one}");
}

#[tokio::test]
async fn dead_letters_are_bounded() {
    let test = Embedded::new().await;
    test.service.answer(|_| Reply::status(500));
    for number in 0..1_010 {
        test.enqueue(task(TaskKind::PollGoogle, number)).await;
    }
    test.pass(TimeDelta::hours(3)).await;
    let dead = test.queue.dead_letters(u32::MAX).await.unwrap().unwrap();
    assert_eq!(dead.len(), 1_000);
    assert_eq!(test.queue.dead_letters(3).await.unwrap().unwrap(), dead[..3]);
}

#[tokio::test]
async fn a_queue_dispatches_no_faster_than_its_rate() {
    let test = Embedded::new().await;
    for number in 0..10 {
        test.enqueue(task(TaskKind::DetectOutages, number)).await;
    }
    test.pass(TimeDelta::minutes(1)).await;
    assert_eq!(test.service.seconds_since(start()), (0..10).collect::<Vec<_>>(), "one a second, no burst");

    let test = Embedded::new().await;
    for number in 0..100 {
        test.enqueue(task(TaskKind::SyncGoogleCase, number)).await;
    }
    test.pass(TimeDelta::minutes(1)).await;
    let at = test.service.seconds_since(start());
    let in_second = |second: i64| at.iter().filter(|at| **at == second).count();
    assert_eq!((in_second(0), in_second(1), at.len()), (20 + 19, 20, 100), "a burst of 20, then 20 a second");
}

#[tokio::test]
async fn a_rate_outlives_its_process() {
    let test = Embedded::new().await;
    for number in 0..3 {
        test.enqueue(task(TaskKind::DetectOutages, number)).await;
    }
    test.run_due().await;
    let report = test.another().run_due().await.unwrap();
    assert_eq!((report.done, report.next_due), (0, Some(start() + TimeDelta::seconds(1))));
}

#[tokio::test]
async fn a_queue_runs_no_more_requests_at_once_than_it_may() {
    for kind in TaskKind::ALL {
        let test = Embedded::new().await;
        let gate = Arc::new(Semaphore::new(0));
        let behind = Arc::clone(&gate);
        test.service.answer(move |_| Reply::status(200).behind(&behind));
        for number in 0..10 {
            test.enqueue(task(kind, number)).await;
        }
        let settings = Embedded::settings(kind);
        let limit = settings.max_concurrent_requests.min(10).min(settings.bucket_size) as usize;
        let (report, ()) = tokio::join!(test.run_due(), async {
            test.service.wait_for(limit).await;
            // Leave time for a queue that would send too many requests.
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(test.service.received().len(), limit, "{kind}");
            gate.add_permits(10);
        });
        assert_eq!(test.service.most_running(), limit, "{kind}");
        assert_eq!(report.done, u64::from(settings.bucket_size.min(10)), "{kind}");
    }
}

#[tokio::test]
async fn one_slow_queue_holds_up_no_other() {
    let test = Embedded::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let behind = Arc::clone(&gate);
    test.service.answer(move |request| match request.path.as_str() {
        "/tasks/poll-google" => Reply::status(200).behind(&behind),
        _ => Reply::status(200),
    });
    test.enqueue(task(TaskKind::PollGoogle, 1)).await;
    for number in 0..20 {
        test.enqueue(task(TaskKind::SyncGoogleCase, number)).await;
    }
    tokio::join!(test.run_due(), async {
        test.service.wait_for(21).await;
        gate.add_permits(1);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_queues_is_delivered_in_the_same_run() {
    let test = Arc::new(Embedded::new().await);
    test.enqueue(task(TaskKind::PollGoogle, 1)).await;
    let queue = Arc::new(test.another());
    let inner = Arc::clone(&queue);
    test.service.answer(move |request| {
        if request.path == "/tasks/poll-google" {
            let queue = Arc::clone(&inner);
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current()
                    .block_on(queue.enqueue(named(TaskKind::SyncGoogleCase, 1)))
                    .unwrap();
            });
        }
        Reply::status(200)
    });
    assert_eq!(queue.run_due().await.unwrap(), RunReport { done: 2, ..RunReport::default() });
}

#[tokio::test]
async fn throttling_answers_slow_the_queue_down_and_retry_after_pauses_it() {
    for status in [503, 429] {
        let test = Embedded::new().await;
        test.service.answer_with([Reply::status(status)]);
        test.enqueue(task(TaskKind::DetectOutages, 0)).await;
        test.run_due().await;
        for number in 1..4 {
            test.enqueue(task(TaskKind::DetectOutages, number)).await;
        }
        test.pass(TimeDelta::seconds(20)).await;
        assert_eq!(test.service.seconds_since(start()), [0, 2, 4, 6], "{status}: half of one a second");

        let test = Embedded::new().await;
        test.service.answer_with([Reply::status(status).header("retry-after", "45")]);
        test.enqueue(task(TaskKind::SyncGoogleCase, 0)).await;
        test.run_due().await;
        test.enqueue(task(TaskKind::SyncGoogleCase, 1)).await;
        test.enqueue(task(TaskKind::SyncCompanyCase, 1)).await;
        test.pass(TimeDelta::minutes(2)).await;
        assert_eq!(test.service.seconds_since(start()), [0, 0, 45, 45], "{status}: only this queue waits");
    }
}

#[tokio::test]
async fn a_503_is_no_execution() {
    let test = Embedded::new().await;
    test.service.answer_with([Reply::status(503), Reply::status(500)]);
    test.enqueue(task(TaskKind::SyncGoogleCase, 0)).await;
    test.pass(TimeDelta::minutes(5)).await;
    let counts: Vec<_> = test
        .service
        .received()
        .iter()
        .map(|request| {
            ["x-appengine-taskretrycount", "x-appengine-taskexecutioncount", "x-appengine-taskretryreason"]
                .map(|name| request.header(name).unwrap_or("-").to_owned())
        })
        .collect();
    assert_eq!(counts, [["0", "0", "-"], ["1", "0", "answered 503"], ["2", "1", "answered 500"]]);
}

#[tokio::test]
async fn a_service_that_is_down_or_silent_is_tried_again() {
    let clock = ManualClock::at(start());
    let service = Service::start(clock.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");

    let mut down = options(&path, &service, clock.clone());
    down.target = "http://127.0.0.1:1".parse().unwrap();
    let down = EmbeddedQueue::open(down).unwrap();
    down.enqueue(task(TaskKind::SyncGoogleCase, 1)).await.unwrap();
    assert_eq!(down.run_due().await.unwrap().retried, 1);

    let gate = Arc::new(Semaphore::new(0));
    service.answer_with([Reply::status(200).behind(&gate)]);
    let mut silent = options(&path, &service, clock.clone());
    silent.deadline = Duration::from_secs(2);
    let silent = EmbeddedQueue::open(silent).unwrap();
    clock.advance(TimeDelta::seconds(10));
    assert_eq!(silent.run_due().await.unwrap().retried, 1);
    clock.advance(TimeDelta::seconds(20));
    assert_eq!(silent.run_due().await.unwrap().done, 1);

    let reasons: Vec<_> = service
        .received()
        .iter()
        .map(|request| {
            let reason = request.header("x-appengine-taskretryreason").unwrap_or("-").to_owned();
            (reason, request.header("x-appengine-taskpreviousresponse").is_some())
        })
        .collect();
    let expected =
        ["no connection", "no answer within the deadline"].map(|reason| (reason.to_owned(), false));
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn tasks_outlive_their_process() {
    let test = Embedded::new().await;
    test.enqueue(named(TaskKind::SyncGoogleCase, 1)).await;
    let Embedded { queue, service, clock, folder } = test;
    drop(queue);
    let queue = EmbeddedQueue::open(options(&folder.path().join("queue.db"), &service, clock)).unwrap();
    assert_eq!(queue.enqueue(named(TaskKind::SyncGoogleCase, 1)).await.unwrap(), Enqueued::AlreadyExists);
    assert_eq!(queue.run_due().await.unwrap().done, 1);
    assert_eq!(service.received()[0].json(), json!({ "case_id": "1" }));
}

/// Starts deliveries and stops in the middle of them, without any further write.
async fn die_while_delivering(test: &Embedded, requests: usize) {
    let gate = Arc::new(Semaphore::new(0));
    test.service.answer(move |_| Reply::status(200).behind(&gate));
    let dying = test.another();
    tokio::select! {
        _ = dying.run_due() => panic!("nothing can end"),
        () = test.service.wait_for(requests) => {}
    }
    drop(dying);
    test.service.answer(|_| Reply::status(200));
}

#[tokio::test]
async fn a_task_in_flight_when_its_process_dies_is_delivered_again() {
    let test = Embedded::new().await;
    test.enqueue(named(TaskKind::PollGoogle, 1)).await;
    die_while_delivering(&test, 1).await;

    // The dead process's claim holds for a while, since the process may only be slow.
    let report = test.run_due().await;
    assert_eq!((report.done, report.next_due), (0, Some(start() + TimeDelta::seconds(30))));
    test.pass(TimeDelta::seconds(31)).await;
    let received = test.service.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[1].header("x-appengine-taskretrycount"), Some("1"));
    assert_eq!(received[1].header("x-appengine-taskretryreason"), Some("the attempt was interrupted"));
}

#[tokio::test]
async fn a_task_that_kills_its_process_each_time_is_given_up_in_the_end() {
    let test = Embedded::new().await;
    test.enqueue(named(TaskKind::PollGoogle, 1)).await;
    for attempt in 1..=2 {
        die_while_delivering(&test, attempt).await;
        test.clock.advance(TimeDelta::seconds(31));
    }
    assert_eq!(test.run_due().await, RunReport { given_up: 1, ..RunReport::default() });
    let dead = test.queue.dead_letters(10).await.unwrap().unwrap();
    assert_eq!((dead[0].attempts, dead[0].last_status), (2, None));
    assert_eq!(dead[0].last_failure, "the attempt was interrupted");
}

#[tokio::test]
async fn a_claim_made_by_a_clock_that_ran_ahead_does_not_hold_for_ever() {
    let test = Embedded::new().await;
    test.enqueue(named(TaskKind::PollGoogle, 1)).await;
    test.clock.advance(TimeDelta::days(365));
    die_while_delivering(&test, 1).await;
    test.clock.set(start());
    assert_eq!(test.run_due().await.done, 1);
}

#[tokio::test]
async fn two_processes_on_one_file_share_the_work() {
    let test = Embedded::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let behind = Arc::clone(&gate);
    test.service.answer(move |_| Reply::status(200).behind(&behind));
    for number in 0..20 {
        test.enqueue(named(TaskKind::SyncGoogleCase, number)).await;
        test.enqueue(named(TaskKind::SyncCompanyCase, number)).await;
    }
    let other = test.another();
    let (one, two, ()) = tokio::join!(test.run_due(), async { other.run_due().await.unwrap() }, async {
        test.service.wait_for(32).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        gate.add_permits(1_000);
    });
    assert_eq!(test.service.most_running(), 32, "16 of each queue, however many processes there are");
    assert_eq!(one.done + two.done, 40);
    let received = test.service.received();
    let mut names: Vec<_> = received
        .iter()
        .map(|request| (request.path.as_str(), request.header("x-appengine-taskname").unwrap()))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((received.len(), names.len()), (40, 40), "each task once");
}

#[tokio::test]
async fn an_attempt_that_was_taken_over_no_longer_counts_unless_it_succeeds() {
    for (status, done) in [(500, 0), (200, 1)] {
        let test = Embedded::new().await;
        let gate = Arc::new(Semaphore::new(0));
        test.service.answer_with([Reply::status(status).behind(&gate), Reply::status(500)]);
        test.enqueue(named(TaskKind::SyncGoogleCase, 1)).await;
        let slow = test.another();
        let (report, ()) = tokio::join!(async { slow.run_due().await.unwrap() }, async {
            test.service.wait_for(1).await;
            test.clock.advance(TimeDelta::seconds(31));
            assert_eq!(test.run_due().await.retried, 1, "the second attempt, by the other process");
            gate.add_permits(1);
        });
        assert_eq!((report.done, report.retried), (done, 0), "{status}");
        test.pass(TimeDelta::minutes(1)).await;
        assert_eq!(test.service.received().len(), if status == 200 { 2 } else { 3 }, "{status}");
    }
}

#[tokio::test]
async fn depth_says_what_waits() {
    let test = Embedded::new().await;
    test.service.answer(|_| Reply::status(500));
    test.enqueue(task(TaskKind::SyncGoogleCase, 1)).await;
    test.run_due().await;
    test.clock.advance(TimeDelta::seconds(5));
    let later =
        QueuedTask { not_before: Some(start() + TimeDelta::hours(1)), ..task(TaskKind::SyncGoogleCase, 2) };
    test.enqueue(later).await;
    let depth = test.queue.depth().await.unwrap();
    assert_eq!(depth.iter().map(|queue| queue.kind).collect::<Vec<_>>(), TaskKind::ALL);
    let of = |kind| depth.iter().find(|queue| queue.kind == kind).unwrap();
    let (sync, poll) = (of(TaskKind::SyncGoogleCase), of(TaskKind::PollGoogle));
    assert_eq!((sync.tasks, sync.in_flight, sync.attempted, sync.oldest), (2, 0, 1, Some(start())));
    assert_eq!((poll.tasks, poll.in_flight, poll.attempted, poll.oldest), (0, 0, 0, None));

    let gate = Arc::new(Semaphore::new(0));
    let behind = Arc::clone(&gate);
    test.service.answer(move |_| Reply::status(200).behind(&behind));
    test.clock.advance(TimeDelta::seconds(10));
    tokio::join!(test.run_due(), async {
        test.service.wait_for(2).await;
        let depth = test.queue.depth().await.unwrap();
        let sync = depth.iter().find(|queue| queue.kind == TaskKind::SyncGoogleCase).unwrap();
        assert_eq!((sync.tasks, sync.in_flight), (2, 1));
        gate.add_permits(1);
    });
}

#[tokio::test]
async fn a_body_that_no_queue_holds_is_refused() {
    let test = Embedded::new().await;
    let big = QueuedTask { body: json!("x".repeat(102_400)), ..task(TaskKind::SyncGoogleCase, 1) };
    let error = test.queue.enqueue(big).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot queue sync-google-case: its body has 102402 bytes, and a task holds 102400; put IDs only into it"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_so() {
    let test = Embedded::new().await;
    let open = |path: &Path| {
        let Err(error) = EmbeddedQueue::open(options(path, &test.service, test.clock.clone())) else {
            panic!("{} was opened", path.display())
        };
        error
    };
    let missing = open(&test.folder.path().join("no/such/folder/queue.db")).to_string();
    assert!(missing.contains("no/such/folder/queue.db: unable to open database file"), "{missing}");

    let notes = test.folder.path().join("notes.txt");
    std::fs::write(&notes, "not a database, but long enough to be taken for one".repeat(100)).unwrap();
    let notes = open(&notes).to_string();
    assert!(notes.ends_with("notes.txt: file is not a database"), "{notes}");

    let newer = rusqlite::Connection::open(test.path()).unwrap();
    newer.execute("UPDATE queue_version SET version = 99", []).unwrap();
    let error = open(&test.path());
    assert!(
        matches!(error, OpenError::Database(DatabaseError::TooNew { found: 99, known: 3, .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_may_hold_the_tables_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let store = rusqlite::Connection::open(&path).unwrap();
    store
        .execute_batch("PRAGMA user_version = 42; CREATE TABLE tasks (id); INSERT INTO tasks VALUES (1)")
        .unwrap();
    let clock = ManualClock::at(start());
    let service = Service::start(clock.clone()).await;
    let queue = EmbeddedQueue::open(options(&path, &service, clock)).unwrap();
    queue.enqueue(task(TaskKind::PollGoogle, 1)).await.unwrap();

    // Another program holds the write lock for a while; the queue waits for it.
    store.execute_batch("BEGIN IMMEDIATE; INSERT INTO tasks VALUES (2)").unwrap();
    let (report, ()) = tokio::join!(async { queue.run_due().await.unwrap() }, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.execute_batch("COMMIT").unwrap();
    });
    assert_eq!(report.done, 1);
    let version: i64 = store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let rows: i64 = store.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).unwrap();
    assert_eq!((version, rows), (42, 2));
}

#[test]
fn many_processes_may_open_a_new_file_at_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = ManualClock::at(start());
    let service = runtime.block_on(Service::start(clock.clone()));
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    EmbeddedQueue::open(options(&path, &service, clock.clone())).map(drop).unwrap();
                });
            }
        });
    }
}

/// Random numbers that are repeatable from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[tokio::test]
async fn nothing_is_lost_whatever_fails_and_whoever_dies() {
    for seed in 0..12 {
        let test = Embedded::new().await;
        let mut chance = Chance(seed);
        let succeeded: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let (noted, answers) = (Arc::clone(&succeeded), Mutex::new(Chance(seed ^ 0xffff)));
        let unreliable = move |request: &contract::Received| {
            let status = match answers.lock().unwrap().below(10) {
                0..=3 => 500,
                4 => 503,
                5 => 404,
                _ => 200,
            };
            if status == 200 {
                let name = request.header("x-appengine-taskname").unwrap().to_owned();
                *noted.lock().unwrap().entry(name).or_default() += 1;
            }
            Reply::status(status)
        };
        test.service.answer(unreliable);

        let mut processes = [test.another(), test.another()];
        let (mut names, mut crashes) = (Vec::new(), 0);
        for number in 0..30 {
            let kind =
                if chance.below(2) == 0 { TaskKind::SyncGoogleCase } else { TaskKind::SyncCompanyCase };
            let queued = named(kind, number);
            names.push(queued.name.clone().unwrap().as_str().to_owned());
            let process = usize::try_from(chance.below(2)).unwrap();
            processes[process].enqueue(queued).await.unwrap();
            let requests = test.service.received().len() + usize::try_from(chance.below(3)).unwrap();
            tokio::select! {
                report = processes[process].run_due() => drop(report.unwrap()),
                () = test.service.wait_for(requests), if chance.below(3) == 0 => {
                    crashes += 1;
                    processes[process] = test.another();
                }
            }
            let pause = i64::try_from(chance.below(60)).unwrap();
            test.clock.advance(TimeDelta::seconds(pause));
        }
        test.pass(TimeDelta::hours(12)).await;

        let succeeded = succeeded.lock().unwrap().clone();
        for name in &names {
            assert!(succeeded.contains_key(name), "seed {seed}: {name} never succeeded");
        }
        // A success is repeated only if the process died before it was recorded.
        let repeated: u32 = succeeded.values().map(|times| times - 1).sum();
        assert!(repeated <= 8 * crashes, "seed {seed}: {repeated} repeated, {crashes} crashes");
        let depth = test.queue.depth().await.unwrap();
        assert!(depth.iter().all(|queue| queue.tasks == 0), "seed {seed}: {depth:?}");
        assert_eq!(test.queue.dead_letters(10).await.unwrap().unwrap(), [], "seed {seed}");
    }
}

/// Queue that runs by the machine's clock.
struct Running {
    queue: Arc<EmbeddedQueue>,
    service: Service,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Running {
    async fn start(grace: Duration) -> Self {
        let clock: SharedClock = Arc::new(SystemClock);
        let service = Service::start(Arc::clone(&clock)).await;
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder.path().join("queue.db"), &service, clock);
        options.grace = grace;
        let queue = Arc::new(EmbeddedQueue::open(options).unwrap());
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(Arc::clone(&queue).run(shutdown.clone()));
        Self { queue, service, shutdown, ended, folder }
    }
}

#[tokio::test]
async fn a_running_queue_delivers_as_soon_as_a_task_is_queued() {
    let test = Running::start(Duration::from_secs(5)).await;
    // If queueing did not wake the queue, each task would wait up to a second for the next look. The
    // fastest counts, since a loaded machine delays some; not the first, which may come just before a look.
    let mut times = Vec::new();
    for number in 0..8 {
        let before = std::time::Instant::now();
        test.queue.enqueue(task(TaskKind::SyncGoogleCase, number)).await.unwrap();
        test.service.wait_for(number as usize + 1).await;
        times.push(before.elapsed());
    }
    assert!(times[1..].iter().min().unwrap() < &Duration::from_millis(500), "{times:?}");
    let soon = QueuedTask {
        not_before: Some(SystemClock.now() + TimeDelta::milliseconds(150)),
        ..task(TaskKind::SyncGoogleCase, 8)
    };
    let due = soon.not_before.unwrap();
    test.queue.enqueue(soon).await.unwrap();
    test.service.wait_for(9).await;
    assert!(test.service.received()[8].at >= due);

    // A task that another process has queued is found without a signal.
    let other = EmbeddedQueue::open(options(
        &test.folder.path().join("queue.db"),
        &test.service,
        Arc::new(SystemClock),
    ));
    other.unwrap().enqueue(task(TaskKind::SyncGoogleCase, 9)).await.unwrap();
    test.service.wait_for(10).await;
    test.shutdown.cancel();
    test.ended.await.unwrap();
}

#[tokio::test]
async fn a_queue_that_stops_lets_its_deliveries_end_and_starts_no_more() {
    let test = Running::start(Duration::from_secs(10)).await;
    let gate = Arc::new(Semaphore::new(0));
    let behind = Arc::clone(&gate);
    test.service.answer(move |_| Reply::status(200).behind(&behind));
    test.queue.enqueue(task(TaskKind::PollGoogle, 1)).await.unwrap();
    test.service.wait_for(1).await;
    test.shutdown.cancel();
    test.queue.enqueue(task(TaskKind::SyncGoogleCase, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!test.ended.is_finished(), "it waits for what is under way");
    gate.add_permits(1);
    test.ended.await.unwrap();
    let waiting: Vec<u32> = test.queue.depth().await.unwrap().iter().map(|queue| queue.tasks).collect();
    assert_eq!(waiting, [0, 0, 1, 0, 0, 0], "the poll is done, the sync waits for the next start");
    assert_eq!(test.service.received().len(), 1);
}

#[tokio::test]
async fn a_delivery_that_outlasts_the_grace_is_given_back_at_once() {
    let test = Running::start(Duration::from_millis(50)).await;
    let gate = Arc::new(Semaphore::new(0));
    test.service.answer_with([Reply::status(200).behind(&gate)]);
    test.queue.enqueue(task(TaskKind::PollGoogle, 1)).await.unwrap();
    test.service.wait_for(1).await;
    test.shutdown.cancel();
    test.ended.await.unwrap();
    let report = test.queue.run_due().await.unwrap();
    assert_eq!(report.done, 1, "no lease to wait for");
    assert_eq!(test.service.received()[1].header("x-appengine-taskretrycount"), Some("1"));
}

/// Returns sequences of clock times: steps from minus to plus ten years and back, and jumps between them.
fn journeys() -> Vec<Vec<DateTime<Utc>>> {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let years = |years: i64| start() + TimeDelta::days(365 * years);
    let steps = |forth: bool| (0..=20).map(|year| years(if forth { year - 10 } else { 10 - year })).collect();
    vec![
        steps(true),
        steps(false),
        vec![start(), years(10), start(), years(-10), start()],
        vec![start(), start() + TimeDelta::hours(2), start()],
        vec![start(), start() - TimeDelta::minutes(6), start()],
        vec![at("1969-12-31T23:59:50Z"), at("1970-01-01T00:00:10Z"), start(), at("1965-01-01T00:00:00Z")],
        vec![at("2262-04-11T23:47:00Z"), at("2263-01-01T00:00:00Z"), start(), at("8999-12-31T00:00:00Z")],
        vec![at("1900-01-01T00:00:00Z"), at("8999-01-01T00:00:00Z"), at("1900-01-01T00:00:00Z")],
    ]
}

#[tokio::test]
async fn whatever_the_clock_does_a_task_is_delivered_and_a_failed_one_is_tried_again() {
    for journey in journeys() {
        let test = Embedded::new().await;
        for (number, now) in (0..).zip(&journey) {
            test.clock.set(*now);
            // One task that succeeds, and one that failed before the clock moves again and has its next attempt at a time of the old clock.
            test.service.answer(|request| {
                let fails = request.path == "/tasks/sync-company-case";
                Reply::status(if fails { 500 } else { 200 })
            });
            test.enqueue(named(TaskKind::SyncGoogleCase, number)).await;
            test.enqueue(named(TaskKind::SyncCompanyCase, number)).await;
            let before = test.service.received().len();
            test.run_due().await;
            // Rate limits that throttling or a burst left must be over after ten minutes, even if the clock jumped by years.
            test.pass(TimeDelta::minutes(10)).await;
            let since: Vec<_> = test.service.received().drain(before..).collect();
            let arrived = |path: &str, number: u32| {
                let id = json!({ "case_id": number.to_string() });
                since.iter().any(|request| request.path == path && request.json() == id)
            };
            for known in 0..=number {
                assert!(
                    arrived("/tasks/sync-company-case", known),
                    "{now} in {journey:?}: {known} is not tried again"
                );
            }
            assert!(arrived("/tasks/sync-google-case", number), "{now} in {journey:?}");
        }
        let left = test.queue.depth().await.unwrap().into_iter().map(|depth| depth.tasks).max();
        assert_eq!(left, Some(u32::try_from(journey.len()).unwrap()), "those that fail, and no other");
    }
}

#[tokio::test]
async fn what_a_clock_ahead_has_blocked_and_claimed_is_free_once_it_is_right() {
    let ahead = start() + TimeDelta::days(3_650);
    let test = Embedded::new().await;
    test.clock.set(ahead);
    let name = named(TaskKind::SyncGoogleCase, 1);
    test.enqueue(name.clone()).await;
    test.run_due().await;
    // Leave behind a used name, a first attempt of a task with an age limit, a pause, and a claim that is never released.
    test.service.answer_with([Reply::status(503).header("retry-after", "3000")]);
    test.enqueue(named(TaskKind::PollGoogle, 1)).await;
    test.run_due().await;
    test.enqueue(named(TaskKind::SyncCompanyCase, 2)).await;
    die_while_delivering(&test, 3).await;

    test.clock.set(start());
    test.enqueue(name).await;
    test.enqueue(named(TaskKind::PollGoogle, 2)).await;
    test.service
        .answer(|request| Reply::status(if request.path == "/tasks/poll-google" { 500 } else { 200 }));
    let report = test.run_due().await;
    assert!(report.done >= 2, "{report:?}");
    test.pass(TimeDelta::hours(1)).await;
    let depth = test.queue.depth().await.unwrap();
    assert!(depth.iter().all(|depth| depth.tasks == 0), "polls end by their age, counted anew: {depth:?}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_by_seconds_ends_no_backoff() {
    let test = Embedded::new().await;
    test.service.answer(|_| Reply::status(500));
    test.enqueue(named(TaskKind::SyncGoogleCase, 1)).await;
    test.run_due().await;
    test.clock.advance(TimeDelta::seconds(-20));
    assert_eq!(test.run_due().await.retried, 0);
    test.clock.advance(TimeDelta::seconds(-20));
    assert_eq!(test.run_due().await.retried, 1, "by more than any two processes differ");
}

/// Clock that panics a given number of times.
#[derive(Debug)]
pub(crate) struct Trap(pub(crate) std::sync::atomic::AtomicU32);

impl Clock for Trap {
    fn now(&self) -> DateTime<Utc> {
        use std::sync::atomic::Ordering::SeqCst;
        let armed = self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        assert!(!armed, "the clock panics, as the test wants it to");
        SystemClock.now()
    }
}

#[tokio::test]
async fn a_queue_that_panics_goes_on() {
    let clock = Arc::new(Trap(0.into()));
    let service = Service::start(Arc::new(SystemClock)).await;
    let folder = tempfile::tempdir().unwrap();
    let queue =
        EmbeddedQueue::open(options(&folder.path().join("queue.db"), &service, clock.clone())).unwrap();
    clock.0.store(1, std::sync::atomic::Ordering::SeqCst);
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(Arc::new(queue).run(shutdown.clone()));
    while clock.0.load(std::sync::atomic::Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let other = options(&folder.path().join("queue.db"), &service, Arc::new(SystemClock));
    EmbeddedQueue::open(other).unwrap().enqueue(task(TaskKind::SyncGoogleCase, 1)).await.unwrap();
    service.wait_for(1).await;
    shutdown.cancel();
    ended.await.unwrap();
}

/// Makes a file with the tables of an earlier version.
fn file_of_version(version: usize, path: &Path) -> rusqlite::Connection {
    let steps = [include_str!("../fixtures/queue-1.sql"), include_str!("../fixtures/queue-2.sql")];
    let connection = rusqlite::Connection::open(path).unwrap();
    for step in &steps[..version] {
        connection.execute_batch(step).unwrap();
    }
    connection
}

#[tokio::test]
async fn a_file_of_version_1_is_brought_up_to_date_with_what_waits_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let micros = |time: DateTime<Utc>| time.timestamp_micros();
    file_of_version(1, &path)
        .execute_batch(&format!(
            "INSERT INTO queue_tasks (kind, name, body, created_at, due_at, dispatches) VALUES
                 ('sync-google-case', 'new', '{{}}', {now}, {now}, 0),
                 ('sync-google-case', 'later', '{{}}', {now}, {later}, 0),
                 ('sync-google-case', 'retry', '{{}}', {now}, {soon}, 3);",
            now = micros(start()),
            soon = micros(start() + TimeDelta::minutes(5)),
            later = micros(start() + TimeDelta::days(2)),
        ))
        .unwrap();
    let clock = ManualClock::at(start());
    let service = Service::start(clock.clone()).await;
    let queue = EmbeddedQueue::open(options(&path, &service, clock.clone())).unwrap();
    for (minutes, done) in [(0, 1), (4, 0), (1, 1), (60, 0), (2 * 24 * 60, 1)] {
        clock.advance(TimeDelta::minutes(minutes));
        assert_eq!(queue.run_due().await.unwrap().done, done, "after {minutes} more minutes");
    }
}

#[tokio::test]
async fn a_file_of_version_2_keeps_its_names_its_claims_and_its_rates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let names = [1, 2].map(|number| named(TaskKind::SyncGoogleCase, number));
    let name = |task: &QueuedTask| task.name.clone().unwrap().as_str().to_owned();
    file_of_version(2, &path)
        .execute_batch(&format!(
            "INSERT INTO queue_used_names VALUES
                 ('sync-google-case', '{used}', {next_day}), ('sync-google-case', '{waits}', {next_day});
             INSERT INTO queue_tasks (kind, name, body, created_at, due_at, due_set_at, dispatches, first_attempt_at,
                                      claimed_by, claimed_until) VALUES
                 ('sync-google-case', '{waits}', '{{}}', {now}, {now}, {now}, 0, NULL, NULL, NULL),
                 ('sync-company-case', 'claimed', '{{}}', {now}, {now}, {now}, 1, {now}, 'another', {until});
             INSERT INTO queue_rates VALUES ('sync-google-case', 0.0, {now}, 0, {now}, {now});",
            used = name(&names[0]),
            waits = name(&names[1]),
            now = start().timestamp_micros(),
            next_day = (start() + TimeDelta::days(1)).timestamp_micros(),
            until = (start() + TimeDelta::seconds(20)).timestamp_micros(),
        ))
        .unwrap();
    let clock = ManualClock::at(start());
    let service = Service::start(clock.clone()).await;
    let queue = EmbeddedQueue::open(options(&path, &service, clock.clone())).unwrap();
    for name in &names {
        assert_eq!(queue.enqueue(name.clone()).await.unwrap(), Enqueued::AlreadyExists);
    }
    let report = queue.run_due().await.unwrap();
    assert_eq!((report.done, report.next_due), (0, Some(start() + TimeDelta::milliseconds(50))), "no token");
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(queue.run_due().await.unwrap().done, 1, "the task that waits; the other one is claimed");
    clock.advance(TimeDelta::seconds(20));
    assert_eq!(queue.run_due().await.unwrap().done, 1);
    clock.advance(TimeDelta::days(1));
    assert_eq!(queue.enqueue(names[0].clone()).await.unwrap(), Enqueued::New, "no longer blocked");
    assert_eq!(queue.enqueue(names[1].clone()).await.unwrap(), Enqueued::AlreadyExists, "ended a day ago");
}

#[tokio::test]
async fn tasks_that_are_queued_together_share_a_commit() {
    let test = Embedded::new().await;
    let other = rusqlite::Connection::open(test.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let queued = (0..200).map(|number| test.queue.enqueue(named(TaskKind::SyncGoogleCase, number)));
    let (queued, ()) = tokio::join!(futures_util::future::join_all(queued), async {
        // By now all wait: the first ones for the lock, the others for them.
        other.execute_batch("COMMIT").unwrap();
    });
    assert!(queued.into_iter().all(|queued| queued.unwrap() == Enqueued::New));
    let counts = test.queue.commit_counts();
    assert!(counts.commits <= 2 && counts.flushed == counts.commits, "{counts:?}");
}

#[tokio::test]
async fn only_a_queued_task_waits_for_the_disk() {
    let test = Embedded::new().await;
    test.enqueue(named(TaskKind::SyncGoogleCase, 1)).await;
    test.service.answer_with([Reply::status(500)]);
    test.pass(TimeDelta::minutes(1)).await;
    let counts = test.queue.commit_counts();
    assert_eq!((counts.commits, counts.flushed), (5, 1), "queued, claimed, failed, claimed, done");
    assert_eq!(
        test.queue.enqueue(named(TaskKind::SyncGoogleCase, 1)).await.unwrap(),
        Enqueued::AlreadyExists
    );
    assert_eq!(test.queue.commit_counts(), counts, "nothing to write");
}

/// Pages that the write-ahead log holds, of a file that has had no checkpoint.
fn pages_written(path: &Path) -> u64 {
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    log.saturating_sub(32) / (4096 + 24)
}

#[tokio::test]
async fn a_task_writes_few_pages() {
    let test = Embedded::new().await;
    // A task that waits, so that no index is empty.
    let later =
        QueuedTask { not_before: Some(start() + TimeDelta::days(1)), ..named(TaskKind::PollGoogle, 0) };
    test.enqueue(later).await;
    test.enqueue(named(TaskKind::SyncGoogleCase, 0)).await;
    test.run_due().await;
    let before = pages_written(&test.path());
    for number in 1..=10 {
        test.enqueue(named(TaskKind::SyncGoogleCase, number)).await;
        test.run_due().await;
    }
    let pages = pages_written(&test.path()) - before;
    // Queued: table, names, waiting. Claimed: table, waiting, claimed, rate. Done: table, claimed.
    assert!(pages <= 10 * 9, "{pages} pages for 10 tasks");
}

#[tokio::test]
async fn the_end_of_a_delivery_claims_the_next_task_in_the_same_commit() {
    let test = Running::start(Duration::from_secs(5)).await;
    let gate = Arc::new(Semaphore::new(0));
    let behind = Arc::clone(&gate);
    test.service.answer(move |_| Reply::status(200).behind(&behind));
    let queued = (0..20).map(|number| test.queue.enqueue(task(TaskKind::SyncGoogleCase, number)));
    futures_util::future::join_all(queued).await;
    test.service.wait_for(8).await;
    let before = test.queue.commit_counts();
    gate.add_permits(20);
    test.service.wait_for(20).await;
    test.shutdown.cancel();
    test.ended.await.unwrap();
    let after = test.queue.commit_counts();
    // The last claims may find the bucket empty for a moment.
    assert!(after.commits - before.commits <= 20 + 2, "{before:?}, {after:?}");
    assert_eq!(after.flushed, before.flushed);
}

#[tokio::test]
async fn deliveries_one_after_the_other_use_one_connection() {
    let peers: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let noted = Arc::clone(&peers);
    let handler = move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        noted.lock().unwrap().push(peer);
        // A failure with a body, which has to be read before the connection can be used again.
        std::future::ready((StatusCode::INTERNAL_SERVER_ERROR, "x".repeat(10_000)))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let app = axum::Router::new().fallback(handler);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(start());
    let queues = QueueConfig::load(None).unwrap();
    let options =
        EmbeddedQueueOptions::new(folder.path().join("queue.db"), queues, target, "t".to_owned(), clock);
    let queue = EmbeddedQueue::open(options).unwrap();
    for number in 0..5 {
        queue.enqueue(task(TaskKind::SyncGoogleCase, number)).await.unwrap();
        assert_eq!(queue.run_due().await.unwrap().retried, 1);
    }
    let mut peers = peers.lock().unwrap().clone();
    assert_eq!(peers.len(), 5);
    peers.dedup();
    assert_eq!(peers.len(), 1, "{peers:?}");
}
