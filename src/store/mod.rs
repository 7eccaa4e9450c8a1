//! Where the entities are kept: the trait that every store implements.
//!
//! Its operations are the ones that make one mapping per case (`R9`) and one sync at a time (`R12`) possible on any
//! backend: unique creation and compare-and-swap. One contract suite (`tests/it/contract/store.rs`) holds them all.

mod datastore;
mod firestore;
mod google_cloud;
mod record;
mod sqlite;
mod url;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::entities::{CaseMapping, CompanyCaseId, Global, GoogleCaseName, MappingId, PollMemory, Side};

pub use datastore::DatastoreStore;
pub use firestore::FirestoreStore;
pub use google_cloud::{DEFAULT_DATABASE, DatabaseLocation, GoogleDatabase, OperationCounts};
pub use sqlite::SqliteStore;
pub use url::{StoreUrl, StoreUrlError, open};

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody changed the mapping since it was read: read it again.
    #[error("mapping {0} was changed by somebody else")]
    Conflict(MappingId),
    /// The mapping no longer exists.
    #[error("mapping {0} no longer exists")]
    Gone(MappingId),
    /// Another mapping already holds that Google case or that company case (`R9`).
    #[error("the case is already mapped by mapping {existing}")]
    Duplicate {
        /// The mapping that holds it.
        existing: MappingId,
    },
    /// The store did not answer or refused; a later try may succeed.
    #[error("the store failed: {0}")]
    Unavailable(String),
    /// What is stored cannot be read; a person has to look.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
}

/// What became of a mapping that was to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is stored, with its ID.
    New(CaseMapping),
    /// One of its cases was mapped already; nothing was stored.
    Existing(CaseMapping),
}

/// Which mappings to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingFilter {
    /// Every mapping. For people; no task scans all.
    All,
    /// Those with [`CaseMapping::needs_watching`].
    NeedsWatching,
    /// Those that are not resolved.
    Open,
    /// Those with `resolvedAt` before this time.
    ResolvedBefore(DateTime<Utc>),
}

/// A page of mappings, by ascending ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingPage {
    /// At most as many as were asked for.
    pub mappings: Vec<CaseMapping>,
    /// Pass it as `after` to get the next page; `None` at the end.
    pub next: Option<MappingId>,
}

/// Keeps [`CaseMapping`]s and [`Global`]. Times are kept to the microsecond.
#[async_trait]
pub trait Store: Send + Sync {
    /// The one `Global`; its default before the first poll.
    async fn global(&self) -> Result<Global, StoreError>;

    /// Replaces that side's watermark and what its polls remember, leaving the other side's alone. The last one to write wins: polls
    /// of one side do not overlap, and repeating a poll is harmless.
    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError>;

    /// Stores a new mapping under a new ID, unless one of its cases is mapped already (`R9`): then the mapping that
    /// holds it is returned (the Google case's first). The given `id` and `version` are ignored.
    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError>;

    /// The mapping with that ID.
    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError>;

    /// The mapping of that Google case, by its number (`R9`).
    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError>;

    /// The mapping of that company case.
    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError>;

    /// Compare-and-swap: replaces the mapping if its stored version is still `mapping.version`, and returns it with its
    /// new version. Errors: `Conflict`, `Gone`, and `Duplicate` if an ID that it gained is held by another.
    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError>;

    /// Deletes the mapping if its stored version is still `mapping.version`; both its cases may be mapped again.
    /// Deleting what is gone already succeeds.
    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError>;

    /// A page of mappings with an ID greater than `after`.
    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError>;

    /// Whether the store can be reached and used, for `/readyz` and `casebridge check`; the error says what to do.
    async fn check(&self) -> Result<(), StoreError>;
}

/// Changes a mapping, whatever others change meanwhile: reads it again and repeats on a conflict.
///
/// `change` may refuse by returning `false`, given what is there now; then nothing is stored and `None` is returned.
/// `mapping` is the caller's newest copy: the first attempt costs no read.
pub async fn modify(
    store: &dyn Store,
    mut mapping: CaseMapping,
    mut change: impl FnMut(&mut CaseMapping) -> bool + Send,
) -> Result<Option<CaseMapping>, StoreError> {
    const ATTEMPTS: u32 = 20;
    let id = mapping.id;
    for _ in 0..ATTEMPTS {
        if !change(&mut mapping) {
            return Ok(None);
        }
        match store.update(&mapping).await {
            Err(StoreError::Conflict(_)) => {
                mapping = store.get(id).await?.ok_or(StoreError::Gone(id))?;
            }
            outcome => return outcome.map(Some),
        }
    }
    Err(StoreError::Conflict(id))
}
