//! Where tasks wait: the trait that both queues implement, and the names of tasks (`R3`).
//!
//! A queue delivers a task at least once, as `POST /tasks/{task}`, and repeats it by the policy in `queue.yaml`.

pub mod cloud_tasks;
pub mod cron;
pub mod cron_yaml;
pub mod embedded;
pub mod queue_yaml;
pub mod retry;
mod target;
mod task;
mod yaml;

pub use embedded::DatabaseError;
pub use target::TargetError;
pub use task::{SyncCompanyCase, SyncGoogleCase, TaskKind};
pub use yaml::{Problem, YamlFileError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::cases::Check;

/// A task to be queued. It goes to the queue that bears its kind's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedTask {
    /// Which task.
    pub kind: TaskKind,
    /// The JSON body of the request; IDs only (`R3`).
    pub body: serde_json::Value,
    /// A name that is used once in about nine days; `None` lets the queue choose one.
    pub name: Option<TaskName>,
    /// Not to be delivered before this time.
    pub not_before: Option<DateTime<Utc>>,
}

/// A task's name: the hash first, since sequential names slow Cloud Tasks down (`R3`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskName(String);

impl TaskName {
    /// The name for a task on a case, queued for `reason` (a poll's time slot, or the case's update time). `home` is the address of the
    /// company's system: another desk's connector may use the same queues (`R31`).
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

    /// A name that nothing else has: 128 random bits, for a task that no other can stand for.
    #[must_use]
    pub fn random(kind: TaskKind) -> Self {
        Self(format!("{}-{}", hex::encode(rand::random::<[u8; 16]>()), kind.name()))
    }

    /// The name as it stands in a URL: letters, digits and hyphens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a task that was to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is queued.
    New,
    /// Its name was used already, now or lately: somebody queued it before (`R3`). This is a success.
    AlreadyExists,
}

/// Why a task could not be queued. The caller fails and is repeated.
#[derive(Debug, thiserror::Error)]
#[error("cannot queue {task}: {reason}")]
pub struct QueueError {
    /// The task's kind.
    pub task: TaskKind,
    /// What went wrong, and what to do about it.
    pub reason: String,
}

/// A queue for each of the six tasks.
#[async_trait]
pub trait TaskQueue: Send + Sync {
    /// Queues a task. When this returns, the task is durable.
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError>;

    /// Looks at what the queues need of others, for `casebridge check`. A queue that needs nobody has nothing to look at.
    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }
}
