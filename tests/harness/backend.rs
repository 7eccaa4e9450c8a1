//! What keeps the mappings and delivers the tasks of a [`super::World`]: embedded, or a cloud's.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use casebridge::cases::Check;
use casebridge::clock::SharedClock;
use casebridge::config::Platform;
use casebridge::queue::embedded::{EmbeddedQueue, EmbeddedQueueOptions};
use casebridge::queue::queue_yaml::QueueConfig;
use casebridge::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use casebridge::store::{SqliteStore, Store};
use chrono::{DateTime, Utc};

use super::INTERNAL_TOKEN;

/// A database and a queue, for one [`super::World`].
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// A store on the database: one for each instance that asks.
    async fn store(&self, clock: &SharedClock) -> Arc<dyn Store>;

    /// The queue, which calls the service there and proves itself as that platform's do: with [`INTERNAL_TOKEN`], or with
    /// App Engine's headers. Asked for once.
    async fn queue(&self, service: SocketAddr, clock: &SharedClock) -> Arc<dyn Delivery>;

    /// Where the service runs.
    fn platform(&self) -> Platform {
        Platform::Local
    }
}

/// A queue whose tasks run when the test says so.
#[async_trait]
pub(crate) trait Delivery: Send + Sync {
    /// The queue, as the service fills it.
    fn queue(&self) -> Arc<dyn TaskQueue>;

    /// Delivers what is due and waits for the answers, until nothing is due any more. When the next task is due.
    async fn run_due(&self) -> Option<DateTime<Utc>>;
}

/// The embedded queue and, unless it is told otherwise, SQLite, in a folder of their own.
pub(crate) struct Embedded {
    folder: tempfile::TempDir,
    store: Option<Arc<dyn Store>>,
}

impl Embedded {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store: None }
    }

    /// With this store in place of SQLite.
    pub(crate) fn with_store(store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), ..Self::new() }
    }
}

#[async_trait]
impl Backend for Embedded {
    async fn store(&self, _clock: &SharedClock) -> Arc<dyn Store> {
        match &self.store {
            Some(store) => store.clone(),
            None => Arc::new(SqliteStore::open(&self.folder.path().join("store.db")).unwrap()),
        }
    }

    async fn queue(&self, service: SocketAddr, clock: &SharedClock) -> Arc<dyn Delivery> {
        let options = EmbeddedQueueOptions::new(
            self.folder.path().join("queue.db"),
            QueueConfig::load(None).unwrap(),
            format!("http://{service}").parse().unwrap(),
            INTERNAL_TOKEN.to_owned(),
            clock.clone(),
        );
        Arc::new(EmbeddedDelivery(Arc::new(EmbeddedQueue::open(options).unwrap())))
    }
}

struct EmbeddedDelivery(Arc<EmbeddedQueue>);

#[async_trait]
impl Delivery for EmbeddedDelivery {
    fn queue(&self) -> Arc<dyn TaskQueue> {
        self.0.clone()
    }

    async fn run_due(&self) -> Option<DateTime<Utc>> {
        self.0.run_due().await.unwrap().next_due
    }
}

/// SQLite, and a queue that hands out at once whatever it holds: for CRMs with a clock of their own, where nobody can wait for the
/// pauses of `queue.yaml`, and a task of the same minute is not the same task.
pub(crate) struct AtOnce(tempfile::TempDir);

impl AtOnce {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Backend for AtOnce {
    async fn store(&self, _clock: &SharedClock) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0.path().join("store.db")).unwrap())
    }

    async fn queue(&self, service: SocketAddr, _clock: &SharedClock) -> Arc<dyn Delivery> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Arc::new(AtOnceDelivery { service, http, waiting: Arc::new(Waiting::default()) })
    }
}

/// What waits to be delivered, each task once.
#[derive(Default)]
struct Waiting(Mutex<VecDeque<QueuedTask>>);

#[async_trait]
impl TaskQueue for Waiting {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        let mut waiting = self.0.lock().unwrap();
        if waiting.iter().any(|known| known.kind == task.kind && known.body == task.body) {
            return Ok(Enqueued::AlreadyExists);
        }
        waiting.push_back(task);
        Ok(Enqueued::New)
    }

    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }
}

struct AtOnceDelivery {
    service: SocketAddr,
    http: reqwest::Client,
    waiting: Arc<Waiting>,
}

#[async_trait]
impl Delivery for AtOnceDelivery {
    fn queue(&self) -> Arc<dyn TaskQueue> {
        self.waiting.clone()
    }

    /// Each task that waits, once: what fails waits for the next time.
    async fn run_due(&self) -> Option<DateTime<Utc>> {
        let due: Vec<QueuedTask> = self.waiting.0.lock().unwrap().drain(..).collect();
        for task in due {
            let url = format!("http://{}/tasks/{}", self.service, task.kind.name());
            let request = self.http.post(url).bearer_auth(INTERNAL_TOKEN).json(&task.body);
            if !request.send().await.unwrap().status().is_success() {
                self.waiting.enqueue(task).await.unwrap();
            }
        }
        None
    }
}
