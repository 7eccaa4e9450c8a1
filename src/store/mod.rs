//! Storage of the entities: the trait that each store implements.
//!
//! Its unique creation and compare-and-swap ensure one mapping per case (`R9`: one mapping per case) and one sync of a case at a time
//! (`R12`: lease) on each backend. One contract suite (`crates/testkit/src/contract/store.rs`) tests all stores.

mod datastore;
mod firestore;
mod google_cloud;
mod overlay;
mod pages;
mod record;
mod sqlite;
mod url;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::entities::{CaseMapping, CompanyCaseId, Global, GoogleCaseName, MappingId, PollMemory, Side};

pub use datastore::DatastoreStore;
pub use firestore::FirestoreStore;
pub use google_cloud::{DEFAULT_DATABASE, DatabaseLocation, GoogleDatabase, OperationCounts};
pub use overlay::OverlayStore;
pub use sqlite::SqliteStore;
pub use url::{StoreUrl, StoreUrlError, open};

/// Error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The mapping was changed since it was read: read it again.
    #[error("mapping {0} was changed by somebody else")]
    Conflict(MappingId),
    /// The mapping no longer exists.
    #[error("mapping {0} no longer exists")]
    Gone(MappingId),
    /// Another mapping already holds that Google case or that company case (`R9`: one mapping per case).
    #[error("the case is already mapped by mapping {existing}")]
    Duplicate {
        /// ID of the mapping that holds the case.
        existing: MappingId,
    },
    /// The store did not answer or refused; a later attempt may succeed.
    #[error("the store failed: {0}")]
    Unavailable(String),
    /// The stored data cannot be read; a person must repair it.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
}

/// Outcome of creating a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The mapping is stored, with its ID.
    New(CaseMapping),
    /// One of its cases was already mapped; nothing was stored.
    Existing(CaseMapping),
}

/// Filter for a list of mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingFilter {
    /// All mappings. For people; no task scans all.
    All,
    /// Mappings with [`CaseMapping::needs_attention`].
    NeedsWatching,
    /// Mappings that are not resolved.
    Open,
    /// Mappings with `resolvedAt` before this time.
    ResolvedBefore(DateTime<Utc>),
}

/// Page of mappings, by ascending ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingPage {
    /// Mappings of the page, at most as many as the limit.
    pub mappings: Vec<CaseMapping>,
    /// Position for `after` to get the next page; `None` at the end.
    pub next: Option<MappingId>,
}

/// Storage of [`CaseMapping`]s and of [`Global`]. Times are kept to the microsecond.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the name of this process among those that use the store; `None` if the store cannot tell who is alive.
    fn process(&self) -> Option<&str> {
        None
    }

    /// True if the process with that name has ended, so that nobody need wait for its leases (`R37`: nobody waits for the slowest). False if
    /// that cannot be told.
    fn has_ended(&self, process: &str) -> bool {
        let _ = process;
        false
    }

    /// Returns the free bytes of the disk that the store's file is on, with the store's name for metrics; `None` if it has no file.
    fn free_bytes(&self) -> Option<(&'static str, u64)> {
        None
    }

    /// Returns the only `Global`, or its default before the first poll.
    async fn global(&self) -> Result<Global, StoreError>;

    /// Replaces one side's watermark (start of its last complete poll; `None` before the first) and the state that its polls keep between
    /// runs. The last writer wins: polls of one side do not overlap, and a poll is idempotent.
    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError>;

    /// Stores a new mapping under a new ID. If one of its cases is already mapped, stores nothing and returns the mapping that holds it,
    /// the Google case's first (`R9`: one mapping per case). Ignores the given `id` and `version`.
    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError>;

    /// Returns the mapping with that ID.
    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError>;

    /// Returns the mapping of that Google case, found by its number (`R9`: one mapping per case).
    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError>;

    /// Returns the mapping of that company case.
    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError>;

    /// Compare-and-swap: replaces the mapping if its stored version is still `mapping.version`, and returns it with its new version.
    /// Errors: `Conflict`, `Gone`, and `Duplicate` if another mapping holds a case that it gained.
    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError>;

    /// Deletes the mapping if its stored version is still `mapping.version`. Both its cases may be mapped again. Idempotent: succeeds if
    /// the mapping is already deleted.
    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError>;

    /// Returns a page of the mappings with an ID greater than `after`.
    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError>;

    /// Checks that the store can be reached and used, for `/readyz` and `casebridge check`. The error names the remedy.
    async fn check(&self) -> Result<(), StoreError>;
}

/// Changes a mapping by compare-and-swap; on a conflict it reads the mapping again and retries.
///
/// `change` gets the current mapping and may refuse by returning `false`; then nothing is stored and `None` is returned. `mapping` is the
/// caller's newest copy, so the first attempt needs no read.
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
