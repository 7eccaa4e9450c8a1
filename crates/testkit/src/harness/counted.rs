//! Queue that counts the operations that Cloud Tasks would bill, over the embedded one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use casebridge::cases::Check;
use casebridge::clock::SharedClock;
use casebridge::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use casebridge::store::Store;
use chrono::{DateTime, Utc};

use super::backend::{Backend, Delivery, Embedded};

/// Number of operations of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueCounts {
    /// Number of tasks created, including those that existed already: each is an API call.
    pub enqueued: u64,
    /// Number of tasks that were new: each is a delivery, as long as none fails.
    pub delivered: u64,
}

impl QueueCounts {
    /// Returns the operations that Cloud Tasks bills: API calls and deliveries.
    #[must_use]
    pub const fn billed(self) -> u64 {
        self.enqueued + self.delivered
    }
}

impl std::ops::Sub for QueueCounts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            enqueued: self.enqueued.saturating_sub(earlier.enqueued),
            delivered: self.delivered.saturating_sub(earlier.delivered),
        }
    }
}

/// Embedded queue whose operations are counted.
pub struct CountedQueue {
    embedded: Embedded,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    enqueued: AtomicU64,
    delivered: AtomicU64,
}

impl CountedQueue {
    pub fn over(embedded: Embedded) -> Self {
        Self { embedded, counters: Arc::default() }
    }

    /// Returns the counts since this queue was made.
    pub fn counts(&self) -> QueueCounts {
        QueueCounts {
            enqueued: self.counters.enqueued.load(Ordering::Relaxed),
            delivered: self.counters.delivered.load(Ordering::Relaxed),
        }
    }
}

#[async_trait]
impl Backend for CountedQueue {
    async fn store(&self, clock: &SharedClock) -> Arc<dyn Store> {
        self.embedded.store(clock).await
    }

    async fn queue(&self, service: SocketAddr, clock: &SharedClock) -> Arc<dyn Delivery> {
        let inner = self.embedded.queue(service, clock).await;
        let queue = Arc::new(Counting { inner: inner.queue(), counters: self.counters.clone() });
        Arc::new(CountingDelivery { inner, queue })
    }
}

struct CountingDelivery {
    inner: Arc<dyn Delivery>,
    queue: Arc<Counting>,
}

#[async_trait]
impl Delivery for CountingDelivery {
    fn queue(&self) -> Arc<dyn TaskQueue> {
        self.queue.clone()
    }

    async fn run_due(&self) -> Option<DateTime<Utc>> {
        self.inner.run_due().await
    }
}

struct Counting {
    inner: Arc<dyn TaskQueue>,
    counters: Arc<Counters>,
}

#[async_trait]
impl TaskQueue for Counting {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        let enqueued = self.inner.enqueue(task).await?;
        self.counters.enqueued.fetch_add(1, Ordering::Relaxed);
        self.counters.delivered.fetch_add(u64::from(enqueued == Enqueued::New), Ordering::Relaxed);
        Ok(enqueued)
    }

    async fn check(&self) -> Vec<Check> {
        self.inner.check().await
    }
}
