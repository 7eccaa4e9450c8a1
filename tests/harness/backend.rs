//! What keeps the mappings and delivers the tasks of a [`super::World`]: embedded, or a cloud's.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use casebridge::clock::SharedClock;
use casebridge::queue::TaskQueue;
use casebridge::queue::embedded::{EmbeddedQueue, EmbeddedQueueOptions};
use casebridge::queue::queue_yaml::QueueConfig;
use casebridge::store::{SqliteStore, Store};
use chrono::{DateTime, Utc};

use super::INTERNAL_TOKEN;

/// A database and a queue, for one [`super::World`].
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// A store on the database: one for each instance that asks.
    async fn store(&self, clock: &SharedClock) -> Arc<dyn Store>;

    /// The queue, which calls the service there with [`INTERNAL_TOKEN`]. Asked for once.
    async fn queue(&self, service: SocketAddr, clock: &SharedClock) -> Arc<dyn Delivery>;
}

/// A queue whose tasks run when the test says so.
#[async_trait]
pub(crate) trait Delivery: Send + Sync {
    /// The queue, as the service fills it.
    fn queue(&self) -> Arc<dyn TaskQueue>;

    /// Delivers what is due and waits for the answers, until nothing is due any more. When the next task is due.
    async fn run_due(&self) -> Option<DateTime<Utc>>;
}

/// SQLite and the embedded queue, in a folder of their own.
pub(crate) struct Embedded(tempfile::TempDir);

impl Embedded {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Backend for Embedded {
    async fn store(&self, _clock: &SharedClock) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0.path().join("store.db")).unwrap())
    }

    async fn queue(&self, service: SocketAddr, clock: &SharedClock) -> Arc<dyn Delivery> {
        let options = EmbeddedQueueOptions::new(
            self.0.path().join("queue.db"),
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
