//! Store that counts the operations that Firestore would bill, over any other store.
//!
//! Counting needs no emulator, so a test of any suite can check a cost; `tests/gcloud` compares these counts with those of
//! `FirestoreStore` itself, operation by operation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use casebridge::entities::{CaseMapping, CompanyCaseId, Global, GoogleCaseName, MappingId, PollMemory, Side};
use casebridge::store::{Created, MappingFilter, MappingPage, OperationCounts, Store, StoreError};
use chrono::{DateTime, Utc};

/// Store that counts the operations on the store behind it.
pub struct Billed {
    store: Arc<dyn Store>,
    reads: AtomicU64,
    writes: AtomicU64,
    deletes: AtomicU64,
    may_write: AtomicBool,
    /// Version of each mapping as it was last seen: an update of it needs no read.
    known: Mutex<HashMap<MappingId, u64>>,
}

impl Billed {
    pub fn over(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            may_write: AtomicBool::new(false),
            known: Mutex::default(),
        }
    }

    /// Returns the counts since this store was made.
    pub fn counts(&self) -> OperationCounts {
        OperationCounts {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            deletes: self.deletes.load(Ordering::Relaxed),
        }
    }

    fn note<'a>(&self, mappings: impl IntoIterator<Item = &'a CaseMapping>) {
        let seen = mappings.into_iter().map(|mapping| (mapping.id, mapping.version));
        self.known.lock().unwrap().extend(seen);
    }

    fn bill(&self, reads: usize, writes: usize, deletes: usize) {
        self.reads.fetch_add(reads as u64, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        self.deletes.fetch_add(deletes as u64, Ordering::Relaxed);
    }
}

/// Returns the number of documents that make its cases unique: one for each case that is known.
fn keys(mapping: &CaseMapping) -> usize {
    Side::BOTH.into_iter().filter(|side| mapping.has(*side)).count()
}

#[async_trait]
impl Store for Billed {
    async fn global(&self) -> Result<Global, StoreError> {
        self.bill(1, 0, 0);
        self.store.global().await
    }

    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError> {
        self.bill(0, 1, 0);
        self.store.set_poll(side, last_polled_at, memory).await
    }

    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError> {
        let keys = keys(&mapping);
        let created = self.store.create(mapping).await?;
        let (Created::New(mapping) | Created::Existing(mapping)) = &created;
        self.note([mapping]);
        match created {
            Created::New(_) => self.bill(0, 1 + keys, 0),
            // Reads that check if the write happened after all, which mapping holds the cases, and that mapping.
            Created::Existing(_) => self.bill(2 + keys, 0, 0),
        }
        Ok(created)
    }

    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError> {
        self.bill(1, 0, 0);
        let found = self.store.get(id).await?;
        self.note(&found);
        Ok(found)
    }

    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError> {
        self.bill(1, 0, 0);
        let found = self.store.find_by_google(name).await?;
        self.note(&found);
        Ok(found)
    }

    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError> {
        self.bill(1, 0, 0);
        let found = self.store.find_by_company(id).await?;
        self.note(&found);
        Ok(found)
    }

    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError> {
        let before = self.store.get(mapping.id).await?;
        let gained = keys(mapping).saturating_sub(before.as_ref().map_or(0, keys));
        let is_known = self.known.lock().unwrap().get(&mapping.id) == Some(&mapping.version);
        let read = usize::from(!is_known);
        let updated = self.store.update(mapping).await;
        match &updated {
            Ok(updated) => {
                self.note([updated]);
                self.bill(read, 1 + gained, 0);
            }
            Err(StoreError::Duplicate { .. }) => self.bill(read + 1 + gained, 0, 0),
            Err(_) => self.bill(1, 0, 0),
        }
        updated
    }

    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError> {
        let before = self.store.get(mapping.id).await?;
        let deleted = self.store.delete(mapping).await;
        let documents = before.filter(|_| deleted.is_ok()).map_or(0, |mapping| 1 + keys(&mapping));
        self.bill(1, 0, documents);
        deleted
    }

    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let page = self.store.list(filter, after, limit).await?;
        let found = page.mappings.len();
        self.note(&page.mappings);
        match filter {
            // A query reads the IDs, and then each mapping is read.
            MappingFilter::ResolvedBefore(_) => self.bill(found.max(1) + found, 0, 0),
            // Reading one more than the limit tells if there is another page. A query that finds nothing costs one read.
            MappingFilter::All | MappingFilter::NeedsWatching | MappingFilter::Open => {
                self.bill((found + usize::from(page.next.is_some())).max(1), 0, 0);
            }
        }
        Ok(page)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let first = !self.may_write.swap(true, Ordering::Relaxed);
        self.bill(1, 0, usize::from(first));
        self.store.check().await
    }
}
