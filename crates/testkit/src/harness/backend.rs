//! Store and queue of a [`super::World`]: embedded, or a cloud's.

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

/// Database and queue for one [`super::World`].
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens a store on the database: one for each instance of the service.
    async fn store(&self, clock: &SharedClock) -> Arc<dyn Store>;

    /// Opens the queue, which calls the service at `service` and authenticates as on that platform: with [`INTERNAL_TOKEN`], or with
    /// App Engine's headers. Called once.
    async fn queue(&self, service: SocketAddr, clock: &SharedClock) -> Arc<dyn Delivery>;

    /// Platform that the service runs on.
    fn platform(&self) -> Platform {
        Platform::Local
    }
}

/// Queue whose tasks run when the test says so.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// Returns the queue, for the service to fill.
    fn queue(&self) -> Arc<dyn TaskQueue>;

    /// Delivers due tasks and waits for the answers, until no task is due any more. Returns the time at which the next task is due.
    async fn run_due(&self) -> Option<DateTime<Utc>>;

    /// Returns true if tasks wait, due or not. True where that is not known.
    fn has_waiting(&self) -> bool {
        true
    }
}

/// Embedded queue and, unless another store is given, SQLite, in a folder of their own.
pub struct Embedded {
    folder: tempfile::TempDir,
    store: Option<Arc<dyn Store>>,
}

impl Embedded {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store: None }
    }

    /// Uses this store in place of SQLite.
    pub fn with_store(store: Arc<dyn Store>) -> Self {
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

/// SQLite, and a queue that delivers every task at once, without deduplicating by name. It is for CRMs with a clock of their own, where a
/// test cannot wait for the pauses in `queue.yaml`.
pub struct AtOnce(tempfile::TempDir);

impl AtOnce {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Backend for AtOnce {
    async fn store(&self, _clock: &SharedClock) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0.path().join("store.db")).unwrap())
    }

    async fn queue(&self, service: SocketAddr, _clock: &SharedClock) -> Arc<dyn Delivery> {
        let http = casebridge::outbound::http_client().no_proxy().build().unwrap();
        Arc::new(AtOnceDelivery { service, http, waiting: Arc::new(Waiting::default()) })
    }
}

/// Tasks to be delivered, each once, when the test takes them.
#[derive(Default)]
pub struct Waiting(Mutex<VecDeque<QueuedTask>>);

impl Waiting {
    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// Takes all tasks, the oldest first.
    pub fn take(&self) -> Vec<QueuedTask> {
        self.0.lock().unwrap().drain(..).collect()
    }
}

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

    /// Delivers each waiting task once; a failed one waits for the next call.
    async fn run_due(&self) -> Option<DateTime<Utc>> {
        for task in self.waiting.take() {
            let url = format!("http://{}/tasks/{}", self.service, task.kind.name());
            let request = self.http.post(url).bearer_auth(INTERNAL_TOKEN).json(&task.body);
            if !request.send().await.unwrap().status().is_success() {
                self.waiting.enqueue(task).await.unwrap();
            }
        }
        None
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}
