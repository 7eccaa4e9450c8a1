//! Store in Firestore in Native mode.
//!
//! | collection | document ID | holds |
//! | --- | --- | --- |
//! | `CaseMapping` | the mapping's `ID`: a random number of 16 digits | the documented properties, `googleCaseNumber`, `needsWatching`, `details` (everything else, as JSON), `revision` |
//! | `LedgerPage` | the mapping's `ID`, `:`, the number of the page | `entries`: older entries of the mapping's ledger, as JSON (`R35`) |
//! | `CaseMappingKey` | `google:NUMBER`, `company:ID` | `mapping`: the ID of the one mapping that holds this case (`R9`) |
//! | `Global` | `1` | `google_last_polled_at`, `company_last_polled_at`, `google_poll_memory`, `company_poll_memory` |
//!
//! Each change is one atomic commit with preconditions on all documents that it depends on (`exists`, `updateTime`), so it applies only if
//! they are unchanged since they were read. No lock is held between two calls. A mapping's version is its document's update time in
//! microseconds. An update reads its mapping first only if this process has not seen it in that version. Under contention a change is
//! retried with exponential backoff and jitter. `revision` is drawn anew for each write. It shows if a write whose answer was lost has
//! happened (`R13`: unknown write outcome), and makes each write a change: without a change, Firestore would keep the old update time.
//!
//! IDs are random, since documents with sequential names end up on one server (Firestore's documentation, "Best practices"). They all have
//! 16 digits, so that names sort like numbers, and stay below 2^53, so that JavaScript can hold them.
//!
//! No query needs a composite index. `firestore.indexes.json` excludes the properties that are never searched for from the single-field
//! indexes, which makes writes cheaper and faster; everything works without it. `docs/stores.md` has the command that deploys it.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION};
use chrono::{DateTime, Utc};
use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use firestore::gcloud_sdk::google::firestore::v1::structured_query::{
    CollectionSelector, Direction, FieldFilter, FieldReference, Filter, Order, Projection, UnaryFilter,
    field_filter, filter::FilterType, unary_filter,
};
use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::gcloud_sdk::google::firestore::v1::{
    BatchGetDocumentsRequest, CommitRequest, Cursor, Document, DocumentMask, Precondition, RunQueryRequest,
    StructuredQuery, Value, Write, batch_get_documents_response, precondition, run_query_request, write,
};
use firestore::gcloud_sdk::google::rpc;
use firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials as SdkCredentials, CredentialsProvider, EntityTag,
};
use firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use firestore::gcloud_sdk::prost::Message;
use firestore::gcloud_sdk::prost_types::Timestamp;
use firestore::gcloud_sdk::{GoogleAuthMiddleware, tonic};
use firestore::{FirestoreDb, FirestoreDbOptions, FirestoreResult};
use futures_util::{TryStream, TryStreamExt};
use rand::RngExt as _;
use tokio::sync::OnceCell;

use crate::entities::{
    CaseMapping, CompanyCaseId, Global, GoogleCaseName, MappingId, PageChanges, PollMemory, Side,
};
use crate::outbound::Credentials;

use super::google_cloud::{
    ApiFailure, Backoff, Code, DatabaseLocation, GoogleDatabase, LastWrite, OperationCounters,
    OperationCounts, Persistence, Target, chain, poll_memory, watermark,
};
use super::pages::{self, PageBackend, PageCache};
use super::record::{CaseKey, Property, Record, cut, cut_time, exclusive, passes, read_memory, write_memory};
use super::{Created, MappingFilter, MappingPage, Store, StoreError};

/// Range of the random IDs.
const IDS: RangeInclusive<i64> = 1_000_000_000_000_000..=8_999_999_999_999_999;

/// Timeout of one call, without retries.
const TIMEOUT: Duration = Duration::from_secs(10);

const MAPPINGS: &str = "CaseMapping";
const GLOBAL: &str = "Global";
const REVISION: &str = "revision";

/// Store that keeps all data in a Firestore database in Native mode. It connects at its first use, and reconnects when the connection
/// breaks.
pub struct FirestoreStore {
    target: Target,
    credentials: Arc<dyn Credentials>,
    db: OnceCell<FirestoreDb>,
    counters: OperationCounters,
    pages: PageCache,
    known: Known,
    /// Last time that [`Store::check`] has found that the store takes changes.
    last_write: LastWrite,
}

impl FirestoreStore {
    /// Creates a store in that database. Does not connect yet. `credentials` are not used with an emulator.
    #[must_use]
    pub fn new(at: DatabaseLocation, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            target: Target { api: GoogleDatabase::Firestore, at },
            credentials,
            db: OnceCell::new(),
            counters: OperationCounters::default(),
            pages: PageCache::default(),
            known: Known::default(),
            last_write: LastWrite::default(),
        }
    }

    /// Returns the number of operations since the store was created.
    #[must_use]
    pub fn operation_counts(&self) -> OperationCounts {
        self.counters.counts()
    }

    fn database(&self) -> String {
        let DatabaseLocation { project, database, emulator: _ } = &self.target.at;
        format!("projects/{project}/databases/{database}")
    }

    fn name(&self, collection: &str, id: impl fmt::Display) -> String {
        format!("{}/documents/{collection}/{id}", self.database())
    }

    async fn db(&self) -> Result<&FirestoreDb, ApiFailure> {
        self.db
            .get_or_try_init(|| async {
                let at = &self.target.at;
                let (url, source) = match &at.emulator {
                    // Token that the emulator accepts as an administrator's (Firebase's documentation, "Emulator Suite").
                    Some(host) => {
                        (format!("http://{host}"), Source::Fixed(HeaderValue::from_static("Bearer owner")))
                    }
                    None => (
                        "https://firestore.googleapis.com".to_owned(),
                        Source::Ask(Arc::clone(&self.credentials)),
                    ),
                };
                connect(at, url, source).await
            })
            .await
            .map_err(|error| ApiFailure::unreachable(chain(&error)))
    }

    /// Makes one call, without retries.
    async fn call<R, T>(
        &self,
        request: R,
        send: impl AsyncFnOnce(
            FirestoreClient<GoogleAuthMiddleware>,
            tonic::Request<R>,
        ) -> Result<T, tonic::Status>,
    ) -> Result<T, ApiFailure> {
        let exchange = async {
            if self.target.at.emulator.is_none() {
                // Requested here as well, to distinguish missing credentials from an error of the service. The token is cached.
                self.credentials.header().await.map_err(ApiFailure::no_credentials)?;
            }
            let client = self.db().await?.client().get();
            let mut request = tonic::Request::new(request);
            request.set_timeout(TIMEOUT);
            send(client, request).await.map_err(|status| to_failure(&status))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(ApiFailure::unreachable(format!("no answer in {} s", TIMEOUT.as_secs()))))
    }

    /// Returns the documents with these names, in the same order.
    async fn read(&self, names: Vec<String>) -> Result<Vec<Option<Document>>, StoreError> {
        let mut outage = Backoff::outage();
        let mut found: HashMap<String, Document> = loop {
            let request = BatchGetDocumentsRequest {
                database: self.database(),
                documents: names.clone(),
                ..BatchGetDocumentsRequest::default()
            };
            let documents = self.call(request, async |mut client, request| {
                let results = client.batch_get_documents(request).await?.into_inner();
                collect(results, |response| match response.result {
                    Some(batch_get_documents_response::Result::Found(document)) => {
                        Some((document.name.clone(), document))
                    }
                    Some(batch_get_documents_response::Result::Missing(_)) | None => None,
                })
                .await
            });
            match documents.await {
                Ok(documents) => {
                    self.counters.read(names.len());
                    break documents.into_iter().collect();
                }
                Err(failure) if repeatable(failure.code) && outage.pause().await => {}
                Err(failure) => return Err(self.target.explain(&failure)),
            }
        };
        Ok(names.iter().map(|name| found.remove(name)).collect())
    }

    async fn read_one(
        &self,
        collection: &str,
        id: impl fmt::Display,
    ) -> Result<Option<Document>, StoreError> {
        Ok(self.read(vec![self.name(collection, id)]).await?.pop().flatten())
    }

    async fn query(&self, query: StructuredQuery) -> Result<Vec<Document>, StoreError> {
        let mut outage = Backoff::outage();
        loop {
            let request = RunQueryRequest {
                parent: format!("{}/documents", self.database()),
                query_type: Some(run_query_request::QueryType::StructuredQuery(query.clone())),
                ..RunQueryRequest::default()
            };
            let documents = self.call(request, async |mut client, request| {
                collect(client.run_query(request).await?.into_inner(), |response| response.document).await
            });
            match documents.await {
                Ok(documents) => {
                    self.counters.read(documents.len().max(1));
                    return Ok(documents);
                }
                Err(failure) if repeatable(failure.code) && outage.pause().await => {}
                Err(failure) => return Err(self.target.explain(&failure)),
            }
        }
    }

    /// Applies all of the writes or none, without retries. Returns the update time of the first document.
    async fn commit(&self, writes: Vec<Write>) -> Result<Option<Timestamp>, ApiFailure> {
        let deletes = writes
            .iter()
            .filter(|write| matches!(write.operation, Some(write::Operation::Delete(_))))
            .count();
        let updates = writes.len() - deletes;
        let request = CommitRequest { database: self.database(), writes, ..CommitRequest::default() };
        let response = self
            .call(request, async |mut client, request| Ok(client.commit(request).await?.into_inner()))
            .await?;
        self.counters.written(updates, deletes);
        // Callers need the update time of the first write only.
        Ok(response.write_results.into_iter().next().and_then(|result| result.update_time))
    }

    /// Returns the current holder of each of these cases that has one.
    async fn holders(&self, keys: &[CaseKey]) -> Result<HashMap<CaseKey, Holder>, StoreError> {
        let names = keys.iter().map(|key| self.name(CaseKey::KIND, key.name())).collect();
        let mut holders = HashMap::new();
        for (key, document) in keys.iter().zip(self.read(names).await?) {
            if let Some(document) = document {
                let mapping =
                    property(&document, CaseKey::HOLDER).and_then(i64::try_from).map_err(|error| {
                        StoreError::Corrupt(format!(
                            "{}, property {}: {error}",
                            document.name,
                            CaseKey::HOLDER
                        ))
                    })?;
                let holder = Holder { mapping: MappingId(mapping), update_time: document.update_time };
                holders.insert(key.clone(), holder);
            }
        }
        Ok(holders)
    }

    /// Returns the mapping that a key names, if it still exists and still holds that case. Otherwise a person deleted or changed it, and
    /// another mapping may take the key over.
    async fn living(&self, key: &CaseKey, holder: &Holder) -> Result<Option<Document>, StoreError> {
        let document = self.read_one(MAPPINGS, holder.mapping).await?;
        Ok(document.filter(|document| holds(document, key)))
    }

    /// Writes the mapping as the key's holder, if the key is unchanged since it was read.
    fn take(&self, key: &CaseKey, seen: Option<&Holder>, id: MappingId) -> Write {
        let fields = HashMap::from([(CaseKey::HOLDER.to_owned(), to_value(Property::Integer(id.0)))]);
        let document = Document { name: self.name(CaseKey::KIND, key.name()), fields, ..Document::default() };
        update(document, seen.map(|holder| holder.update_time.unwrap_or_default()))
    }

    fn document(&self, id: MappingId, record: Record, revision: i64) -> Document {
        let properties =
            record.into_properties().into_iter().chain([(REVISION, Property::Integer(revision))]);
        Document {
            name: self.name(MAPPINGS, id),
            fields: properties.map(|(name, property)| (name.to_owned(), to_value(property))).collect(),
            ..Document::default()
        }
    }

    /// Reads the ledger pages of a mapping and restores it. `None` if it was deleted meanwhile.
    async fn complete(&self, document: Document) -> Result<Option<CaseMapping>, StoreError> {
        self.known.note(id_of(&document)?, document.update_time, keys_of(&document));
        self.pages.restore(id_of(&document)?, to_record(&document)?, self).await
    }

    /// Returns the writes and the deletions of ledger pages that belong to one write of their mapping.
    fn page_writes(&self, id: MappingId, changes: &PageChanges) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        for page in &changes.added {
            let entries = to_value(Property::Text(pages::write(id, page)?));
            writes.push(upsert(Document {
                name: self.name(pages::KIND, pages::name(id, page.number())),
                fields: HashMap::from([(pages::ENTRIES.to_owned(), entries)]),
                ..Document::default()
            }));
        }
        let dropped = changes.dropped.iter();
        writes.extend(dropped.map(|number| delete(self.name(pages::KIND, pages::name(id, *number)), None)));
        Ok(writes)
    }

    async fn find(&self, key: &CaseKey) -> Result<Option<CaseMapping>, StoreError> {
        let query = StructuredQuery {
            r#where: Some(compare(
                key.property(),
                field_filter::Operator::Equal,
                Property::Text(key.value().to_owned()),
            )),
            limit: Some(1),
            ..from(MAPPINGS)
        };
        match self.query(query).await?.into_iter().next() {
            Some(document) => self.complete(document).await,
            None => Ok(None),
        }
    }

    /// Returns a page of the mappings that match a filter on one property, whose own index is in the order of the IDs.
    async fn list_by_id(
        &self,
        condition: Option<Filter>,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let start_at = after.filter(|after| after >= &MappingId(*IDS.start())).map(|after| Cursor {
            values: vec![Value {
                value_type: Some(ValueType::ReferenceValue(
                    self.name(MAPPINGS, after.min(MappingId(*IDS.end()))),
                )),
            }],
            before: false,
        });
        let query = StructuredQuery {
            r#where: condition,
            order_by: vec![ascending("__name__")],
            start_at,
            // Reads one document more than the limit to find out if there is another page.
            limit: Some(i32::try_from(limit).unwrap_or(i32::MAX).saturating_add(1)),
            ..from(MAPPINGS)
        };
        let mut documents = self.query(query).await?;
        let more = documents.len() > limit;
        documents.truncate(limit);
        let next = documents.last().filter(|_| more).map(id_of).transpose()?;
        let mut mappings = Vec::with_capacity(documents.len());
        for document in documents {
            mappings.extend(self.complete(document).await?);
        }
        Ok(MappingPage { mappings, next })
    }

    /// Returns a page of the mappings that were resolved before a time. An index of times is not in the order of the IDs, so all IDs are
    /// read and sorted here, and then one page of mappings is fetched. The only caller, cleanup, deletes the mappings that it finds, so
    /// about a day's worth is left to read.
    async fn list_resolved(
        &self,
        before: DateTime<Utc>,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let query = StructuredQuery {
            select: Some(Projection { fields: vec![field("__name__")] }),
            r#where: Some(compare(
                "resolvedAt",
                field_filter::Operator::LessThan,
                Property::Time(exclusive(before)),
            )),
            order_by: vec![ascending("resolvedAt")],
            ..from(MAPPINGS)
        };
        let mut ids = self.query(query).await?.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
        ids.retain(|id| after.is_none_or(|after| *id > after));
        ids.sort_unstable();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().copied().filter(|_| more);
        let mut mappings = Vec::with_capacity(ids.len());
        if !ids.is_empty() {
            let names = ids.iter().map(|id| self.name(MAPPINGS, id)).collect();
            for document in self.read(names).await?.into_iter().flatten() {
                // A mapping may have been reopened since the query.
                mappings.extend(self.complete(document).await?);
            }
            mappings.retain(|mapping| passes(MappingFilter::ResolvedBefore(before), mapping));
        }
        Ok(MappingPage { mappings, next })
    }
}

#[async_trait]
impl PageBackend for FirestoreStore {
    async fn page_texts(&self, id: MappingId, numbers: &[u64]) -> Result<Vec<Option<String>>, StoreError> {
        let names = numbers.iter().map(|number| self.name(pages::KIND, pages::name(id, *number)));
        let text = |stored: Document| {
            property(&stored, pages::ENTRIES)
                .and_then(String::try_from)
                .map_err(|error| StoreError::Corrupt(format!("{}: {error}", stored.name)))
        };
        let stored = self.read(names.collect()).await?.into_iter();
        stored.map(|stored| stored.map(text).transpose()).collect()
    }

    async fn record(&self, id: MappingId) -> Result<Option<(Record, u64)>, StoreError> {
        self.read_one(MAPPINGS, id).await?.as_ref().map(to_record).transpose()
    }
}

#[async_trait]
impl Store for FirestoreStore {
    async fn global(&self) -> Result<Global, StoreError> {
        self.read_one(GLOBAL, Global::ID).await?.as_ref().map_or_else(|| Ok(Global::default()), to_global)
    }

    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError> {
        let properties = [
            (watermark(side).to_owned(), to_value(last_polled_at.map(cut_time).into())),
            (poll_memory(side).to_owned(), to_value(Property::Text(write_memory(memory)?))),
        ];
        let mut persistence = Persistence::new();
        loop {
            // Writes only this side's properties, so that concurrent writes of the other side's poll are kept.
            let field_paths = properties.iter().map(|(name, _)| name.clone()).collect();
            let document = Document {
                name: self.name(GLOBAL, Global::ID),
                fields: HashMap::from(properties.clone()),
                ..Document::default()
            };
            let mut write = upsert(document);
            write.update_mask = Some(DocumentMask { field_paths });
            match self.commit(vec![write]).await {
                Ok(_) => return Ok(()),
                Err(failure) => persistence.or_give_up(&self.target, &failure).await?,
            }
        }
    }

    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError> {
        let mut mapping = cut(mapping);
        let changes = mapping.ledger.pack();
        let record = Record::of(&mapping)?;
        let keys = record.keys();
        let revision = rand::rng().random();
        mapping.id = MappingId(rand::rng().random_range(IDS));
        // Usually no mapping holds these cases. If one does, the commit fails, and then they are read.
        let mut holders = HashMap::new();
        let mut persistence = Persistence::new();
        loop {
            let mut writes = vec![update(self.document(mapping.id, record.clone(), revision), None)];
            writes.extend(keys.iter().map(|key| self.take(key, holders.get(key), mapping.id)));
            writes.extend(self.page_writes(mapping.id, &changes)?);
            match self.commit(writes).await {
                Ok(time) => {
                    mapping.version = to_version(time);
                    self.known.note(mapping.id, time, keys);
                    return Ok(Created::New(mapping));
                }
                Err(failure) => persistence.or_give_up(&self.target, &failure).await?,
            }
            // R13 (unknown write outcome): the commit may have happened although it failed.
            if let Some(document) = self.read_one(MAPPINGS, mapping.id).await? {
                if is_of(&document, revision) {
                    mapping.version = to_version(document.update_time);
                    return Ok(Created::New(mapping));
                }
                mapping.id = MappingId(rand::rng().random_range(IDS));
            }
            holders = self.holders(&keys).await?;
            for key in &keys {
                if let Some(holder) = holders.get(key)
                    && let Some(existing) = self.living(key, holder).await?
                    && let Some(existing) = self.complete(existing).await?
                {
                    return Ok(Created::Existing(existing));
                }
            }
        }
    }

    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError> {
        match self.read_one(MAPPINGS, id).await? {
            Some(document) => self.complete(document).await,
            None => Ok(None),
        }
    }

    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError> {
        self.find(&CaseKey::Google(name.number().to_owned())).await
    }

    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError> {
        self.find(&CaseKey::Company(id.as_str().to_owned())).await
    }

    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError> {
        let mut mapping = cut(mapping.clone());
        let id = mapping.id;
        let changes = mapping.ledger.pack();
        let record = Record::of(&mapping)?;
        let keys = record.keys();
        let revision = rand::rng().random();
        let mut holders = HashMap::new();
        let mut persistence = Persistence::new();
        // The condition of the commit finds out what has changed since. If it does not hold, the mapping is read.
        let mut known = self.known.take(id, mapping.version);
        loop {
            let is_read = known.is_none();
            let (seen, held) = if let Some(known) = known.take() {
                known
            } else {
                let Some(stored) = self.read_one(MAPPINGS, id).await? else {
                    return Err(StoreError::Gone(id));
                };
                if to_version(stored.update_time) != mapping.version {
                    // R13 (unknown write outcome): the stored mapping may come from this very write, whose answer was lost.
                    if !is_of(&stored, revision) {
                        return Err(StoreError::Conflict(id));
                    }
                    mapping.version = to_version(stored.update_time);
                    return Ok(mapping);
                }
                (stored.update_time.unwrap_or_default(), keys_of(&stored))
            };
            let gained: Vec<_> = keys.iter().filter(|key| !held.contains(key)).cloned().collect();
            let mut writes = vec![update(self.document(id, record.clone(), revision), Some(seen))];
            writes.extend(gained.iter().map(|key| self.take(key, holders.get(key), id)));
            writes.extend(
                held.iter()
                    .filter(|key| !keys.contains(key))
                    .map(|key| delete(self.name(CaseKey::KIND, key.name()), None)),
            );
            writes.extend(self.page_writes(id, &changes)?);
            match self.commit(writes).await {
                Ok(time) => {
                    mapping.version = to_version(time);
                    self.known.note(id, time, keys);
                    return Ok(mapping);
                }
                // What was known is no longer so, most likely. Reading tells at once.
                Err(failure) if !is_read && failure.is_contention() => {}
                Err(failure) => persistence.or_give_up(&self.target, &failure).await?,
            }
            if !gained.is_empty() {
                holders = self.holders(&gained).await?;
            }
            for key in &gained {
                if let Some(holder) = holders.get(key)
                    && holder.mapping != id
                    && let Some(existing) = self.living(key, holder).await?
                {
                    return Err(StoreError::Duplicate { existing: id_of(&existing)? });
                }
            }
        }
    }

    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError> {
        let id = mapping.id;
        let mut persistence = Persistence::new();
        loop {
            let Some(stored) = self.read_one(MAPPINGS, id).await? else { return Ok(()) };
            if to_version(stored.update_time) != mapping.version {
                return Err(StoreError::Conflict(id));
            }
            // While the mapping holds its cases no other mapping can take their keys over, so these deletions need no precondition.
            let mut writes = vec![delete(self.name(MAPPINGS, id), stored.update_time)];
            writes.extend(
                keys_of(&stored).iter().map(|key| delete(self.name(CaseKey::KIND, key.name()), None)),
            );
            let dropped = PageChanges { added: Vec::new(), dropped: mapping.ledger.stored_pages() };
            writes.extend(self.page_writes(id, &dropped)?);
            match self.commit(writes).await {
                Ok(_) => return Ok(()),
                Err(failure) => persistence.or_give_up(&self.target, &failure).await?,
            }
        }
    }

    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let condition = match filter {
            MappingFilter::All => None,
            MappingFilter::NeedsWatching => {
                Some(compare("needsWatching", field_filter::Operator::Equal, Property::Boolean(true)))
            }
            MappingFilter::Open => Some(is_null("resolvedAt")),
            MappingFilter::ResolvedBefore(time) => return self.list_resolved(time, after, limit).await,
        };
        self.list_by_id(condition, after, limit).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.global().await?;
        if self.last_write.is_old() {
            // Deleting a missing document needs the same permission as any other change. It is billed, so it is done once a minute.
            let nothing = delete(self.name(CaseKey::KIND, "check"), None);
            self.commit(vec![nothing]).await.map_err(|failure| self.target.explain(&failure))?;
            self.last_write.note();
        }
        Ok(())
    }
}

/// Connects. The URL is always set, so that variables in the environment have no effect.
async fn connect(at: &DatabaseLocation, url: String, source: Source) -> FirestoreResult<FirestoreDb> {
    let options = FirestoreDbOptions::new(at.project.clone())
        .with_database_id(at.database.clone())
        .with_firebase_api_url(url);
    FirestoreDb::with_options_auth(options, SdkCredentials::from(AuthorizationHeaders::new(source))).await
}

/// Mappings as this process has last seen them, so that an update need not read its mapping first.
#[derive(Debug, Default)]
struct Known(Mutex<HashMap<MappingId, Seen>>);

/// Update time of a mapping, and the cases that it held then.
type Seen = (Timestamp, Vec<CaseKey>);

impl Known {
    /// Maximum number of mappings, some two hundred bytes each.
    const MOST: usize = 10_000;

    fn note(&self, id: MappingId, update_time: Option<Timestamp>, keys: Vec<CaseKey>) {
        let Some(time) = update_time else { return };
        let mut all = self.lock();
        if all.len() >= Self::MOST && !all.contains_key(&id) {
            all.clear();
        }
        all.insert(id, (time, keys));
    }

    /// Returns the mapping, if that version of it was seen last, and forgets it.
    fn take(&self, id: MappingId, version: u64) -> Option<Seen> {
        let mut all = self.lock();
        let is_seen = all.get(&id).is_some_and(|(time, _)| to_version(Some(*time)) == version);
        if is_seen { all.remove(&id) } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MappingId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holder of a case, as it was last read.
#[derive(Debug, Clone)]
struct Holder {
    mapping: MappingId,
    update_time: Option<Timestamp>,
}

const fn repeatable(code: Code) -> bool {
    match code {
        Code::Aborted | Code::Unavailable => true,
        Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::NotFound
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Unauthenticated
        | Code::NoCredentials
        | Code::Other => false,
    }
}

/// Reads a stream to its end.
async fn collect<S, T>(stream: S, pick: impl Fn(S::Ok) -> Option<T>) -> Result<Vec<T>, tonic::Status>
where
    S: TryStream<Error = tonic::Status>,
{
    stream
        .try_fold(Vec::new(), |mut picked, response| {
            picked.extend(pick(response));
            std::future::ready(Ok(picked))
        })
        .await
}

/// Makes a write of a document that was last updated at `seen`. `None`: the document must not exist yet.
fn update(document: Document, seen: Option<Timestamp>) -> Write {
    let condition = match seen {
        Some(time) => precondition::ConditionType::UpdateTime(time),
        None => precondition::ConditionType::Exists(false),
    };
    Write {
        operation: Some(write::Operation::Update(document)),
        current_document: Some(Precondition { condition_type: Some(condition) }),
        ..Write::default()
    }
}

/// Makes a write that creates or replaces a document without a precondition.
fn upsert(document: Document) -> Write {
    Write { operation: Some(write::Operation::Update(document)), ..Write::default() }
}

/// Makes a deletion of a document that was last updated at `seen`. `None`: without a precondition.
fn delete(name: String, seen: Option<Timestamp>) -> Write {
    Write {
        operation: Some(write::Operation::Delete(name)),
        current_document: seen
            .map(|time| Precondition { condition_type: Some(precondition::ConditionType::UpdateTime(time)) }),
        ..Write::default()
    }
}

fn from(collection: &str) -> StructuredQuery {
    StructuredQuery {
        from: vec![CollectionSelector { collection_id: collection.to_owned(), all_descendants: false }],
        ..StructuredQuery::default()
    }
}

fn field(name: &str) -> FieldReference {
    FieldReference { field_path: name.to_owned() }
}

fn ascending(name: &str) -> Order {
    Order { field: Some(field(name)), direction: Direction::Ascending.into() }
}

fn compare(name: &str, operator: field_filter::Operator, value: Property) -> Filter {
    Filter {
        filter_type: Some(FilterType::FieldFilter(FieldFilter {
            field: Some(field(name)),
            op: operator.into(),
            value: Some(to_value(value)),
        })),
    }
}

fn is_null(name: &str) -> Filter {
    Filter {
        filter_type: Some(FilterType::UnaryFilter(UnaryFilter {
            op: unary_filter::Operator::IsNull.into(),
            operand_type: Some(unary_filter::OperandType::Field(field(name))),
        })),
    }
}

fn to_value(property: Property) -> Value {
    Value {
        value_type: Some(match property {
            Property::Null => ValueType::NullValue(0),
            Property::Boolean(value) => ValueType::BooleanValue(value),
            Property::Integer(value) => ValueType::IntegerValue(value),
            Property::Time(value) => ValueType::TimestampValue(Timestamp {
                seconds: value.timestamp(),
                nanos: i32::try_from(value.timestamp_subsec_nanos()).unwrap_or_default(),
            }),
            Property::Text(value) => ValueType::StringValue(value),
        }),
    }
}

/// Reads a property of a document. A missing one counts as null, since a person may have removed it.
fn property(document: &Document, name: &str) -> Result<Property, String> {
    match document.fields.get(name).and_then(|value| value.value_type.as_ref()) {
        None | Some(ValueType::NullValue(_)) => Ok(Property::Null),
        Some(ValueType::BooleanValue(value)) => Ok(Property::Boolean(*value)),
        Some(ValueType::IntegerValue(value)) => Ok(Property::Integer(*value)),
        Some(ValueType::StringValue(value)) => Ok(Property::Text(value.clone())),
        Some(ValueType::TimestampValue(time)) => u32::try_from(time.nanos)
            .ok()
            .and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos))
            .map(Property::Time)
            .ok_or_else(|| "a time out of range".to_owned()),
        Some(
            ValueType::DoubleValue(_)
            | ValueType::BytesValue(_)
            | ValueType::ReferenceValue(_)
            | ValueType::GeoPointValue(_)
            | ValueType::ArrayValue(_)
            | ValueType::MapValue(_)
            | ValueType::FieldReferenceValue(_)
            | ValueType::VariableReferenceValue(_)
            | ValueType::FunctionValue(_)
            | ValueType::PipelineValue(_),
        ) => Err("a value of a type that is never stored here".to_owned()),
    }
}

/// Returns the cases that a stored mapping holds, even if the rest of it cannot be read.
fn keys_of(document: &Document) -> Vec<CaseKey> {
    let text = |name| property(document, name).ok().and_then(|property| String::try_from(property).ok());
    let google = text("googleCaseNumber").map(CaseKey::Google);
    let company = text("companyCaseID").map(CaseKey::Company);
    google.into_iter().chain(company).collect()
}

fn holds(document: &Document, key: &CaseKey) -> bool {
    keys_of(document).contains(key)
}

/// True if the document was written by the write with this revision.
fn is_of(document: &Document, revision: i64) -> bool {
    property(document, REVISION) == Ok(Property::Integer(revision))
}

fn id_of(document: &Document) -> Result<MappingId, StoreError> {
    document
        .name
        .rsplit('/')
        .next()
        .and_then(|id| id.parse().ok())
        .map(MappingId)
        .ok_or_else(|| StoreError::Corrupt(format!("{}: the name of a mapping is a number", document.name)))
}

/// Returns the record of a mapping and its version.
fn to_record(document: &Document) -> Result<(Record, u64), StoreError> {
    let record = Record::from_properties(id_of(document)?, |name| property(document, name))?;
    Ok((record, to_version(document.update_time)))
}

fn to_global(document: &Document) -> Result<Global, StoreError> {
    let read = |side| {
        let name = watermark(side);
        property(document, name)
            .and_then(Option::<DateTime<Utc>>::try_from)
            .map_err(|error| StoreError::Corrupt(format!("Global, property {name}: {error}")))
    };
    let mut global = Global::default();
    for side in Side::BOTH {
        let memory =
            property(document, poll_memory(side)).and_then(Option::<String>::try_from).map_err(|error| {
                StoreError::Corrupt(format!("Global, property {}: {error}", poll_memory(side)))
            })?;
        global.set_poll(side, read(side)?, read_memory(memory.as_deref(), side)?);
    }
    Ok(global)
}

/// Converts a document's update time to microseconds, which is Firestore's resolution.
fn to_version(time: Option<Timestamp>) -> u64 {
    let time = time.unwrap_or_default();
    let micros = time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos / 1000));
    u64::try_from(micros).unwrap_or_default()
}

fn to_failure(status: &tonic::Status) -> ApiFailure {
    let code = match status.code() {
        tonic::Code::Aborted => Code::Aborted,
        tonic::Code::AlreadyExists => Code::AlreadyExists,
        tonic::Code::FailedPrecondition => Code::FailedPrecondition,
        tonic::Code::InvalidArgument => Code::InvalidArgument,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::Unavailable
        | tonic::Code::DeadlineExceeded
        | tonic::Code::Internal
        | tonic::Code::Unknown
        | tonic::Code::Cancelled => Code::Unavailable,
        tonic::Code::Ok | tonic::Code::OutOfRange | tonic::Code::Unimplemented | tonic::Code::DataLoss => {
            Code::Other
        }
    };
    let details = rpc::Status::decode(status.details()).unwrap_or_default().details;
    let reason = details
        .iter()
        .filter(|detail| detail.type_url.ends_with("google.rpc.ErrorInfo"))
        .find_map(|detail| rpc::ErrorInfo::decode(detail.value.as_slice()).ok())
        .map(|info| info.reason)
        .unwrap_or_default();
    ApiFailure { code, reason, message: status.message().to_owned() }
}

/// Source of the authorization header.
enum Source {
    Fixed(HeaderValue),
    Ask(Arc<dyn Credentials>),
}

/// Adapter that gives the client the same authorization header that all other clients send.
struct AuthorizationHeaders {
    source: Source,
    /// Last header, with its entity tag.
    last: Mutex<Option<(HeaderValue, EntityTag)>>,
}

impl AuthorizationHeaders {
    const fn new(source: Source) -> Self {
        Self { source, last: Mutex::new(None) }
    }
}

impl fmt::Debug for AuthorizationHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationHeaders")
    }
}

impl CredentialsProvider for AuthorizationHeaders {
    async fn headers(
        &self,
        extensions: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let value = match &self.source {
            Source::Fixed(value) => value.clone(),
            Source::Ask(credentials) => {
                match credentials
                    .header()
                    .await
                    .map_err(|message| CredentialsError::from_msg(true, message))?
                {
                    Some((AUTHORIZATION, value)) => value,
                    Some(_) | None => {
                        return Err(CredentialsError::from_msg(
                            false,
                            "no token for Google Cloud was configured",
                        ));
                    }
                }
            }
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let entity_tag = match last.as_ref() {
            Some((known, tag)) if *known == value => tag.clone(),
            Some(_) | None => {
                let tag = EntityTag::new();
                *last = Some((value.clone(), tag.clone()));
                tag
            }
        };
        if extensions.get::<EntityTag>() == Some(&entity_tag) {
            return Ok(CacheableResource::NotModified);
        }
        Ok(CacheableResource::New { entity_tag, data: HeaderMap::from_iter([(AUTHORIZATION, value)]) })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::entities::FirstSeen;
    use crate::store::record::SEARCHED;

    /// `firestore.indexes.json` must list exactly the stored properties that are never searched for.
    #[test]
    fn every_property_is_either_searched_for_or_taken_out_of_the_indexes() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../firestore.indexes.json")).unwrap();
        assert_eq!(file["indexes"], serde_json::json!([]));
        let exempt = |collection: &str| -> HashSet<String> {
            let overrides = file["fieldOverrides"].as_array().unwrap();
            assert!(overrides.iter().all(|field| field["indexes"] == serde_json::json!([])));
            let of_collection = overrides.iter().filter(|field| field["collectionGroup"] == collection);
            of_collection.map(|field| field["fieldPath"].as_str().unwrap().to_owned()).collect()
        };
        let seen = FirstSeen::Google(GoogleCaseName::parse("projects/p/cases/1").unwrap());
        let mapping = CaseMapping::first_seen(seen, None, None, DateTime::UNIX_EPOCH);
        let names = Record::of(&mapping).unwrap().into_properties().into_iter().map(|(name, _)| name);
        let unsearched = names.chain([REVISION]).filter(|name| !SEARCHED.contains(name));
        assert_eq!(exempt(MAPPINGS), unsearched.map(str::to_owned).collect());
        assert_eq!(exempt(CaseKey::KIND), HashSet::from([CaseKey::HOLDER.to_owned()]));
        let of_polls = |side| [watermark(side).to_owned(), poll_memory(side).to_owned()];
        assert_eq!(exempt(GLOBAL), Side::BOTH.into_iter().flat_map(of_polls).collect());
    }

    /// Works with the crate's current features, with or without an installed crypto provider.
    #[tokio::test]
    async fn the_real_service_is_spoken_to_over_tls() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let at = DatabaseLocation { project: "p".to_owned(), database: "d".to_owned(), emulator: None };
        let greeting = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut start = [0; 3];
            stream.read_exact(&mut start).await.unwrap();
            start
        };
        let connecting = connect(&at, url, Source::Fixed(HeaderValue::from_static("Bearer x")));
        let (start, connected) = tokio::join!(greeting, connecting);
        // A handshake record of TLS (RFC 8446, 5.1).
        assert_eq!(start, [22, 3, 1]);
        assert!(connected.is_err(), "it has shown no certificate");
    }

    struct Tokens(Mutex<Vec<Result<&'static str, &'static str>>>);

    #[async_trait]
    impl Credentials for Tokens {
        async fn header(&self) -> Result<Option<(axum::http::HeaderName, HeaderValue)>, String> {
            let next = self.0.lock().unwrap().remove(0);
            next.map(|token| Some((AUTHORIZATION, HeaderValue::from_static(token)))).map_err(str::to_owned)
        }
    }

    #[tokio::test]
    async fn a_new_token_is_sent_as_soon_as_there_is_one() {
        let tokens = vec![Ok("Bearer 1"), Ok("Bearer 1"), Ok("Bearer 2"), Err("no token")];
        let headers = AuthorizationHeaders::new(Source::Ask(Arc::new(Tokens(Mutex::new(tokens)))));
        let mut known = Extensions::new();
        let mut sent = Vec::new();
        for _ in 0..4 {
            sent.push(match headers.headers(known.clone()).await {
                Ok(CacheableResource::New { entity_tag, data }) => {
                    known.insert(entity_tag);
                    data[AUTHORIZATION].to_str().unwrap().to_owned()
                }
                Ok(CacheableResource::NotModified) => "as before".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        assert_eq!(sent[..3], ["Bearer 1", "as before", "Bearer 2"]);
        assert!(sent[3].contains("no token"), "{}", sent[3]);
    }

    #[test]
    fn errors_are_read_with_their_reason() {
        let info = rpc::ErrorInfo { reason: "SERVICE_DISABLED".to_owned(), ..rpc::ErrorInfo::default() };
        let detail = firestore::gcloud_sdk::prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        };
        let details = rpc::Status { details: vec![detail], ..rpc::Status::default() }.encode_to_vec();
        let status = tonic::Status::with_details(tonic::Code::PermissionDenied, "off", details.into());
        let failure = to_failure(&status);
        assert_eq!((failure.code, failure.reason.as_str()), (Code::PermissionDenied, "SERVICE_DISABLED"));
        let failure =
            to_failure(&tonic::Status::with_details(tonic::Code::NotFound, "", vec![255; 9].into()));
        assert_eq!((failure.code, failure.reason.as_str()), (Code::NotFound, ""));
    }
}
