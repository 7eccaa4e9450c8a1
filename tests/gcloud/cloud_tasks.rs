//! Cloud Tasks: the contract of every queue, and what only this one has to do, against App Engine's own task queue.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::clock::{Clock as _, ManualClock, SharedClock, SystemClock};
use casebridge::queue::cloud_tasks::CloudTasksQueue;
use casebridge::queue::{Enqueued, QueuedTask, TaskQueue};
use casebridge::tasks::TaskKind;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::task_queue::TaskQueueFront;
use casebridge_testkit::contract::queue::{self as contract, QueueUnderTest, Service, named, task};

/// Our client, Google's queue, and a service; their time stands still until it is moved.
struct CloudTasks {
    queue: CloudTasksQueue,
    front: TaskQueueFront,
    service: Service,
    clock: Arc<ManualClock>,
}

impl CloudTasks {
    async fn new() -> Self {
        let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
        let service = Service::start(clock.clone()).await;
        let front = TaskQueueFront::start(&service.url(), Some(clock.now()));
        let queue = front.client(clock.clone(), None);
        Self { queue, front, service, clock }
    }
}

#[async_trait]
impl QueueUnderTest for CloudTasks {
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
        while let Some(next) = self.front.run(self.clock.now()).await.filter(|next| *next <= end) {
            assert!(next > self.clock.now(), "what is due now was not delivered");
            self.clock.set(next);
        }
        self.clock.set(end);
    }
}

macro_rules! keeps_the_contract {
    ($($promise:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            contract::$promise(&CloudTasks::new().await).await;
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
async fn a_task_says_where_it_goes_when_and_for_how_long() {
    let test = CloudTasks::new().await;
    let queued = named(TaskKind::SyncGoogleCase, 7);
    let name = queued.name.clone().unwrap();
    let not_before = Some(test.now() + TimeDelta::microseconds(1_500_001));
    let elsewhere = test.front.client(test.clock.clone(), Some("connector"));
    assert_eq!(elsewhere.enqueue(QueuedTask { not_before, ..queued }).await.unwrap(), Enqueued::New);
    let call = test.front.calls().await.pop().unwrap();
    let expected = json!({ "task": {
        "name": format!("projects/p/locations/l/queues/sync-google-case/tasks/{}", name.as_str()),
        "scheduleTime": "2026-01-01T00:00:01.500001Z",
        "dispatchDeadline": "3300s",
        "appEngineHttpRequest": {
            "httpMethod": "POST",
            "relativeUri": "/tasks/sync-google-case",
            "headers": { "Content-Type": "application/json" },
            "appEngineRouting": { "service": "connector" },
            // {"case_id":"7"}
            "body": "eyJjYXNlX2lkIjoiNyJ9",
        },
    }});
    assert_eq!(call, expected);
}

#[tokio::test]
async fn a_lost_answer_and_a_busy_moment_queue_the_task_once() {
    for (faults, name, expected) in [
        (vec!["503", "429"], Some(1), Enqueued::New),
        (vec!["503", "429"], None, Enqueued::New),
        // Lost, and found under its name.
        (vec!["lost"], Some(1), Enqueued::AlreadyExists),
        (vec!["lost"], None, Enqueued::New),
        (vec!["lost", "503", "429"], None, Enqueued::New),
    ] {
        let test = CloudTasks::new().await;
        test.front.fail(&faults).await;
        let queued = match name {
            Some(number) => named(TaskKind::PollGoogle, number),
            None => task(TaskKind::PollGoogle, 1),
        };
        assert_eq!(test.queue.enqueue(queued).await.unwrap(), expected, "{faults:?}, name {name:?}");
        test.pass(TimeDelta::seconds(5)).await;
        assert_eq!(test.service.received().len(), 1, "{faults:?}, name {name:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_comes_with_what_to_do() {
    let test = CloudTasks::new().await;
    for (fault, expected) in [
        ("403", "--role=roles/cloudtasks.enqueuer"),
        ("403", "--role=roles/appengine.appViewer"),
        ("disabled", "gcloud services enable cloudtasks.googleapis.com --project=p"),
        ("400", "gcloud app describe --project=p"),
        ("401", "clock is right"),
    ] {
        test.front.fail(&[fault; 4]).await;
        let error = test.queue.enqueue(task(TaskKind::Cleanup, 1)).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot queue cleanup: ") && error.contains(expected), "{fault}: {error}");
        assert!(!error.contains("case_id"), "{error}");
    }
    // Gone on trying until the tries are used up.
    test.front.fail(&["503"; 4]).await;
    let error = test.queue.enqueue(task(TaskKind::Cleanup, 1)).await.unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
    assert!(test.front.calls().await.is_empty());
}

#[tokio::test]
async fn a_missing_queue_is_named_with_the_command_that_makes_it() {
    let service = Service::start(Arc::new(SystemClock)).await;
    let folder = tempfile::tempdir().unwrap();
    let yaml = folder.path().join("queue.yaml");
    std::fs::write(&yaml, "queue:\n- name: cleanup\n  rate: 1/s\n").unwrap();
    let front = TaskQueueFront::start_with(&yaml, &service.url(), None);
    let queue = front.client(Arc::new(SystemClock), None);
    let error = queue.enqueue(task(TaskKind::PollGoogle, 1)).await.unwrap_err().to_string();
    assert!(error.contains("there is no queue poll-google in l"), "{error}");
    assert!(error.contains("gcloud app deploy queue.yaml --project=p"), "{error}");
    let checks = queue.check().await;
    for check in &checks {
        assert_eq!(check.result().is_ok(), check.what == "Cloud Tasks: queue cleanup", "{check:?}");
    }
    assert_eq!(checks.len(), TaskKind::ALL.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_real_time_tasks_arrive_by_themselves() {
    let clock: SharedClock = Arc::new(SystemClock);
    let service = Service::start(clock.clone()).await;
    let front = TaskQueueFront::start(&service.url(), None);
    let queue = front.client(clock, None);
    for number in 1..=3 {
        queue.enqueue(named(TaskKind::SyncGoogleCase, number)).await.unwrap();
    }
    service.wait_for(3).await;
}
