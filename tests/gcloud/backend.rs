//! What App Engine has in place of SQLite and the embedded queue: a database on Google Cloud, and the platform's task queue.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use casebridge::clock::SharedClock;
use casebridge::config::Platform;
use casebridge::outbound::NoCredentials;
use casebridge::queue::TaskQueue;
use casebridge::queue::cloud_tasks::CloudTasksQueue;
use casebridge::store::{DEFAULT_DATABASE, DatabaseLocation, DatastoreStore, FirestoreStore, Store};
use chrono::{DateTime, Utc};

use crate::emulator::{Kind, new_project, shared};
use crate::task_queue::TaskQueueFront;
use casebridge_testkit::harness::backend::{Backend, Delivery};

/// A database of its own in an emulator that all share, and a task queue of its own.
pub(crate) struct GoogleCloud {
    kind: Kind,
    project: String,
}

impl GoogleCloud {
    /// In a new project.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, project: new_project() }
    }
}

#[async_trait]
impl Backend for GoogleCloud {
    async fn store(&self, _clock: &SharedClock) -> Arc<dyn Store> {
        let kind = self.kind;
        let emulator = tokio::task::spawn_blocking(move || shared(kind)).await.unwrap();
        let at = DatabaseLocation {
            project: self.project.clone(),
            database: DEFAULT_DATABASE.to_owned(),
            emulator: Some(emulator.host()),
        };
        match kind {
            Kind::FirestoreNative => Arc::new(FirestoreStore::new(at, Arc::new(NoCredentials))),
            Kind::FirestoreDatastoreMode | Kind::Datastore => {
                Arc::new(DatastoreStore::new(at, Arc::new(NoCredentials)).unwrap())
            }
            Kind::Pubsub => panic!("Pub/Sub is no database"),
        }
    }

    async fn queue(&self, service: SocketAddr, clock: &SharedClock) -> Arc<dyn Delivery> {
        let target = format!("http://{service}").parse().unwrap();
        let start = clock.now();
        let front = tokio::task::spawn_blocking(move || TaskQueueFront::start(&target, Some(start)));
        let front = front.await.unwrap();
        let queue = Arc::new(front.client(clock.clone(), None));
        Arc::new(TaskQueueDelivery { front, queue, clock: clock.clone() })
    }

    fn platform(&self) -> Platform {
        Platform::AppEngine
    }
}

struct TaskQueueDelivery {
    front: TaskQueueFront,
    queue: Arc<CloudTasksQueue>,
    clock: SharedClock,
}

#[async_trait]
impl Delivery for TaskQueueDelivery {
    fn queue(&self) -> Arc<dyn TaskQueue> {
        self.queue.clone()
    }

    async fn run_due(&self) -> Option<DateTime<Utc>> {
        self.front.run(self.clock.now()).await
    }
}
