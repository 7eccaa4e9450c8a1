//! Ledger pages, which stores keep apart from the mapping (`R35`: ledger pages): their stored form, and a cache of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::StoreError;
use super::record::Record;
use crate::entities::{CaseMapping, LedgerPage, MappingId};

/// Kind, collection or table of the pages.
pub(super) const KIND: &str = "LedgerPage";
/// Property that holds the entries, as JSON.
pub(super) const ENTRIES: &str = "entries";

/// Maximum number of cached entries; about 20 MB.
const MOST_CACHED: usize = 50_000;

/// Number of times that a mapping is read whose pages are deleted in between.
const ATTEMPTS: usize = 5;

/// Returns the name of a page, for backends that keep each as an entity.
pub(super) fn name(mapping: MappingId, number: u64) -> String {
    format!("{mapping}:{number}")
}

/// Serialises the entries of a page.
pub(super) fn write(mapping: MappingId, page: &LedgerPage) -> Result<String, StoreError> {
    serde_json::to_string(page.entries()).map_err(|error| {
        StoreError::Corrupt(format!(
            "page {} of the ledger of mapping {mapping} cannot be written as JSON: {error}",
            page.number()
        ))
    })
}

/// Reads the text of [`write()`].
pub(super) fn read(mapping: MappingId, number: u64, text: &str) -> Result<Arc<LedgerPage>, StoreError> {
    let entries = serde_json::from_str(text).map_err(|error| {
        StoreError::Corrupt(format!("page {number} of the ledger of mapping {mapping}: {error}"))
    })?;
    Ok(Arc::new(LedgerPage::new(number, entries)))
}

/// Creates the error for a page that its mapping names and that is not stored.
pub(super) fn missing(mapping: MappingId, number: u64) -> StoreError {
    StoreError::Corrupt(format!("page {number} of the ledger of mapping {mapping} is missing"))
}

/// Backend that reads pages after the record of their mapping, and not in one transaction with it.
#[async_trait]
pub(super) trait PageBackend: Sync {
    /// Returns the stored texts of the pages with these numbers, in the same order.
    async fn page_texts(
        &self,
        mapping: MappingId,
        numbers: &[u64],
    ) -> Result<Vec<Option<String>>, StoreError>;

    /// Returns the record of a mapping and its version.
    async fn record(&self, mapping: MappingId) -> Result<Option<(Record, u64)>, StoreError>;
}

/// Cache of pages that were read or written. A page never changes, and its number is not used twice, so no entry can be stale.
#[derive(Debug, Default)]
pub(super) struct PageCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    pages: HashMap<(MappingId, u64), Arc<LedgerPage>>,
    entries: usize,
}

impl PageCache {
    pub(super) fn get(&self, mapping: MappingId, number: u64) -> Option<Arc<LedgerPage>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.pages.get(&(mapping, number)).cloned()
    }

    /// Adds a stored page. Empties the cache first if it does not fit.
    pub(super) fn add(&self, mapping: MappingId, page: &Arc<LedgerPage>) {
        let size = page.entries().len();
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.entries + size > MOST_CACHED {
            *cached = Cached::default();
        }
        if cached.pages.insert((mapping, page.number()), Arc::clone(page)).is_none() {
            cached.entries += size;
        }
    }

    /// Restores a mapping from its record and version, for a backend that reads the pages after the record. `None` if it was deleted
    /// meanwhile.
    ///
    /// Pages are deleted together with the update that makes them superfluous. So if one is missing, the mapping is read again.
    pub(super) async fn restore(
        &self,
        id: MappingId,
        (mut record, mut version): (Record, u64),
        backend: &dyn PageBackend,
    ) -> Result<Option<CaseMapping>, StoreError> {
        let mut attempt = 1;
        loop {
            let numbers = record.ledger_pages();
            let unknown: Vec<u64> =
                numbers.into_iter().filter(|number| self.get(id, *number).is_none()).collect();
            let mut fetched = HashMap::new();
            if !unknown.is_empty() {
                for (number, text) in unknown.iter().zip(backend.page_texts(id, &unknown).await?) {
                    let Some(text) = text else { continue };
                    let page = read(id, *number, &text)?;
                    self.add(id, &page);
                    fetched.insert(*number, page);
                }
            }
            if fetched.len() == unknown.len() || attempt == ATTEMPTS {
                let page = |number| {
                    let page = fetched.get(&number).cloned().or_else(|| self.get(id, number));
                    page.ok_or_else(|| missing(id, number))
                };
                return record.into_mapping(id, version, page).map(Some);
            }
            let Some(newer) = backend.record(id).await? else { return Ok(None) };
            (record, version) = newer;
            attempt += 1;
        }
    }
}
