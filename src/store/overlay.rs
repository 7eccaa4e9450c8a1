//! Copy-on-write view of a store, for a dry run: whatever is written stays in this view, and the store beneath is only read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use super::record::{cut, cut_time, passes};
use super::{Created, MappingFilter, MappingPage, Store, StoreError};
use crate::entities::{CaseMapping, CompanyCaseId, Global, GoogleCaseName, MappingId, PollMemory, Side};

/// First ID of the mappings that are created in a view, far above those of the stores that count.
const FIRST: i64 = 1 << 62;

/// View of a store that keeps all changes to itself.
pub struct OverlayStore {
    beneath: Arc<dyn Store>,
    /// Held across calls to the store beneath, so that a comparison and its swap are one.
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    global: Option<Global>,
    /// Changed mappings; `None` is a deleted one.
    mappings: BTreeMap<MappingId, Option<CaseMapping>>,
    created: i64,
    deleted: Vec<CaseMapping>,
}

impl OverlayStore {
    /// Creates a view of a store, without any change.
    #[must_use]
    pub fn new(beneath: Arc<dyn Store>) -> Self {
        Self { beneath, changes: Mutex::default() }
    }

    /// Returns the mappings that were created in this view and are still there, by ascending ID.
    pub async fn created(&self) -> Vec<CaseMapping> {
        let changes = self.changes.lock().await;
        changes.mappings.range(MappingId(FIRST)..).filter_map(|(_, mapping)| mapping.clone()).collect()
    }

    /// Returns the mappings of the store beneath that were deleted in this view, in the order of their deletion.
    pub async fn deleted(&self) -> Vec<CaseMapping> {
        self.changes.lock().await.deleted.clone()
    }

    async fn get_in(&self, changes: &Changes, id: MappingId) -> Result<Option<CaseMapping>, StoreError> {
        match changes.mappings.get(&id) {
            Some(stored) => Ok(stored.clone()),
            None => self.beneath.get(id).await,
        }
    }

    async fn by_google_in(
        &self,
        changes: &Changes,
        name: &GoogleCaseName,
    ) -> Result<Option<CaseMapping>, StoreError> {
        let holds = |mapping: &&CaseMapping| {
            mapping.google_case_name.as_ref().is_some_and(|known| known.number() == name.number())
        };
        match changes.mappings.values().flatten().find(holds) {
            Some(found) => Ok(Some(found.clone())),
            None => Ok(changes.unless_changed(self.beneath.find_by_google(name).await?)),
        }
    }

    async fn by_company_in(
        &self,
        changes: &Changes,
        id: &CompanyCaseId,
    ) -> Result<Option<CaseMapping>, StoreError> {
        let holds = |mapping: &&CaseMapping| mapping.company_case_id.as_ref() == Some(id);
        match changes.mappings.values().flatten().find(holds) {
            Some(found) => Ok(Some(found.clone())),
            None => Ok(changes.unless_changed(self.beneath.find_by_company(id).await?)),
        }
    }

    /// Returns the mapping other than `but` that holds one of the cases of `mapping`, the Google case's first.
    async fn holder(
        &self,
        changes: &Changes,
        mapping: &CaseMapping,
        but: Option<MappingId>,
    ) -> Result<Option<CaseMapping>, StoreError> {
        let others = |found: &CaseMapping| Some(found.id) != but;
        if let Some(name) = &mapping.google_case_name
            && let Some(found) = self.by_google_in(changes, name).await?.filter(others)
        {
            return Ok(Some(found));
        }
        match &mapping.company_case_id {
            Some(id) => Ok(self.by_company_in(changes, id).await?.filter(others)),
            None => Ok(None),
        }
    }
}

impl Changes {
    /// Drops a mapping of the store beneath that this view has changed or deleted.
    fn unless_changed(&self, found: Option<CaseMapping>) -> Option<CaseMapping> {
        found.filter(|mapping| !self.mappings.contains_key(&mapping.id))
    }
}

#[async_trait]
impl Store for OverlayStore {
    async fn global(&self) -> Result<Global, StoreError> {
        match &self.changes.lock().await.global {
            Some(global) => Ok(global.clone()),
            None => self.beneath.global().await,
        }
    }

    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError> {
        let mut changes = self.changes.lock().await;
        let mut global = match changes.global.take() {
            Some(global) => global,
            None => self.beneath.global().await?,
        };
        global.set_poll(side, last_polled_at.map(cut_time), memory.clone());
        changes.global = Some(global);
        Ok(())
    }

    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError> {
        let mut changes = self.changes.lock().await;
        let mut mapping = cut(mapping);
        if let Some(existing) = self.holder(&changes, &mapping, None).await? {
            return Ok(Created::Existing(existing));
        }
        mapping.id = MappingId(FIRST + changes.created);
        mapping.version = 1;
        changes.created += 1;
        changes.mappings.insert(mapping.id, Some(mapping.clone()));
        Ok(Created::New(mapping))
    }

    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError> {
        self.get_in(&*self.changes.lock().await, id).await
    }

    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError> {
        self.by_google_in(&*self.changes.lock().await, name).await
    }

    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError> {
        self.by_company_in(&*self.changes.lock().await, id).await
    }

    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError> {
        let mut changes = self.changes.lock().await;
        let mut mapping = cut(mapping.clone());
        let stored = self.get_in(&changes, mapping.id).await?.ok_or(StoreError::Gone(mapping.id))?;
        if stored.version != mapping.version {
            return Err(StoreError::Conflict(mapping.id));
        }
        if let Some(holder) = self.holder(&changes, &mapping, Some(mapping.id)).await? {
            return Err(StoreError::Duplicate { existing: holder.id });
        }
        mapping.version += 1;
        changes.mappings.insert(mapping.id, Some(mapping.clone()));
        Ok(mapping)
    }

    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError> {
        let mut changes = self.changes.lock().await;
        let Some(stored) = self.get_in(&changes, mapping.id).await? else { return Ok(()) };
        if stored.version != mapping.version {
            return Err(StoreError::Conflict(mapping.id));
        }
        if stored.id < MappingId(FIRST) {
            changes.deleted.push(stored);
        }
        changes.mappings.insert(mapping.id, None);
        Ok(())
    }

    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let changes = self.changes.lock().await;
        let beneath = self.beneath.list(filter, after, limit).await?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let end = beneath.next.map_or(Bound::Unbounded, Bound::Included);
        // An empty range: the page beneath ends where it begins.
        let is_empty = after.is_some() && after >= beneath.next && beneath.next.is_some();
        let ours = (!is_empty).then(|| changes.mappings.range((start, end))).into_iter().flatten();
        let ours = ours.filter_map(|(_, mapping)| mapping.as_ref());
        let mut mappings: Vec<CaseMapping> =
            ours.filter(|mapping| passes(filter, mapping)).cloned().collect();
        let unchanged = beneath.mappings.into_iter();
        mappings.extend(unchanged.filter(|mapping| !changes.mappings.contains_key(&mapping.id)));
        mappings.sort_by_key(|mapping| mapping.id);
        let is_cut = mappings.len() > limit;
        mappings.truncate(limit);
        let last = mappings.last().map(|mapping| mapping.id);
        let next = if is_cut { last } else { beneath.next };
        Ok(MappingPage { mappings, next })
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.beneath.check().await
    }
}
