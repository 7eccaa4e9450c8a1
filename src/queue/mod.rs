//! Task queues: the trait that both queues implement, and the names of tasks (`R3`: task names).
//!
//! A queue delivers a task at least once, as `POST /tasks/{task}`, and retries it by the policy in `queue.yaml`.

pub mod cloud_tasks;
pub mod cron;
pub mod cron_yaml;
pub mod embedded;
pub mod queue_yaml;
pub mod retry;
mod target;
mod task;
mod yaml;

pub use embedded::{DEAD_LETTERS_KEPT, DatabaseError, DeadLetter};
pub use target::TargetError;
pub use task::{SyncCompanyCase, SyncGoogleCase, TaskKind};
pub use yaml::{Problem, YamlFileError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::cases::Check;

/// Task to be queued. It goes to the queue that has its kind's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedTask {
    /// Kind of the task.
    pub kind: TaskKind,
    /// JSON body of the request; IDs only (`R3`: a body is a hint).
    pub body: serde_json::Value,
    /// Name that deduplicates the task; it stays blocked for about nine days. `None` lets the queue choose a unique one.
    pub name: Option<TaskName>,
    /// Earliest time of delivery.
    pub not_before: Option<DateTime<Utc>>,
}

/// Name of a task. It begins with a hash, since sequential names slow Cloud Tasks down (`R3`: task names).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskName(String);

impl TaskName {
    /// Makes the name for a task on a case, queued for `reason` (a poll's time slot, or the case's update time). `home` is the address of
    /// the company's system: the connector of another service desk may use the same queues (`R31`: an ID is valid only in its own system).
    #[must_use]
    pub fn new(kind: TaskKind, home: Option<&str>, case: &str, reason: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [kind.name(), home.unwrap_or_default(), case, reason] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hex::encode(&hash.finalize()[..16]);
        Self(format!("{hash}-{}", kind.name()))
    }

    /// Makes a unique name from 128 random bits, for a task that must not be deduplicated.
    #[must_use]
    pub fn random(kind: TaskKind) -> Self {
        Self(format!("{}-{}", hex::encode(rand::random::<[u8; 16]>()), kind.name()))
    }

    /// Returns the name in the form that a URL needs: letters, digits and hyphens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Outcome of queueing a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// The task is queued.
    New,
    /// The name is blocked by a task that was queued before (`R3`: task names). This is a success.
    AlreadyExists,
}

/// Error of queueing a task. The caller fails and is retried.
#[derive(Debug, thiserror::Error)]
#[error("cannot queue {task}: {reason}")]
pub struct QueueError {
    /// Kind of the task.
    pub task: TaskKind,
    /// Reason of the failure, and the remedy.
    pub reason: String,
}

/// Six queues, one for each task.
#[async_trait]
pub trait TaskQueue: Send + Sync {
    /// Queues a task. When this returns, the task is durable.
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError>;

    /// Returns the number of syncs per minute that the queues deliver, by their configured rates; `None` if it is not limited. The slower of
    /// both queues counts, since all changes may be on one side.
    fn syncs_per_minute(&self) -> Option<u32> {
        None
    }

    /// Returns the number of syncs of one direction that the queues deliver at once, by their configuration; `None` if it is not limited.
    fn concurrent_syncs(&self) -> Option<u32> {
        None
    }

    /// Returns the tasks that were given up, the latest first and `limit` at most; `None` if the queue keeps no record of them.
    async fn dead_letters(&self, _limit: u32) -> Result<Option<Vec<DeadLetter>>, DatabaseError> {
        Ok(None)
    }

    /// Checks the services that the queues depend on, for `casebridge check`. Empty if there are none.
    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }
}
