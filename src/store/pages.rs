//! Ledger pages, which stores keep apart from the mapping (`R35`: ledger pages): their stored form, and a cache of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::StoreError;
use crate::entities::{LedgerPage, MappingId};

/// Kind, collection or table of the pages.
pub(super) const KIND: &str = "LedgerPage";
/// Property that holds the entries, as JSON.
pub(super) const ENTRIES: &str = "entries";

/// Maximum number of cached entries; about 20 MB.
const MOST_CACHED: usize = 50_000;

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

    /// Adds stored pages. Empties the cache first if they do not fit.
    pub(super) fn add(&self, mapping: MappingId, pages: &[Arc<LedgerPage>]) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for page in pages {
            let size = page.entries().len();
            if cached.entries + size > MOST_CACHED {
                *cached = Cached::default();
            }
            if cached.pages.insert((mapping, page.number()), Arc::clone(page)).is_none() {
                cached.entries += size;
            }
        }
    }
}
