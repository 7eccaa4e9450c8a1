//! Store in Firestore in Datastore mode, over its REST API.
//!
//! | kind | key | holds |
//! | --- | --- | --- |
//! | `CaseMapping` | the mapping's `ID`: a number that Datastore assigns | the documented properties, `googleCaseNumber`, `needsWatching`, `details` (everything else, as JSON), `version`, `revision` |
//! | `LedgerPage` | the mapping's `ID`, `:`, the number of the page | `entries`: older entries of the mapping's ledger, as JSON (`R35`) |
//! | `CaseMappingKey` | `google:NUMBER`, `company:ID` | `mapping`: the ID of the one mapping that holds this case (`R9`) |
//! | `Global` | `1` | `google_last_polled_at`, `company_last_polled_at`, `google_poll_memory`, `company_poll_memory` |
//!
//! Each change is one transaction that reads all that it depends on. It runs in a detached task, so that it is committed or rolled back
//! even if the caller goes away: an open transaction holds locks that block others. Under contention it retries with exponential backoff
//! and jitter. Within this process, writers of the same entities take turns, which avoids contention. `revision` is drawn anew for each
//! write. It shows if a commit whose answer was lost has happened (`R13`: unknown write outcome).
//!
//! Only the properties that are searched for are indexed, and no query needs a composite index: there is no `index.yaml`.

mod wire;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderValue;
use chrono::{DateTime, Utc};
use rand::RngExt as _;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use crate::entities::{
    CaseMapping, CompanyCaseId, Global, GoogleCaseName, MappingId, PageChanges, PollMemory, Side,
};
use crate::outbound::{Credentials, MAX_ANSWER, http_client, read_capped};

use super::google_cloud::{
    ApiFailure, Code, DEFAULT_DATABASE, DatabaseLocation, GoogleDatabase, LastWrite, OperationCounters,
    OperationCounts, Persistence, Target, chain, poll_memory, watermark,
};
use super::pages::{self, PageBackend, PageCache};
use super::record::{
    CaseKey, Property, Record, SEARCHED, cut, cut_time, exclusive, passes, read_memory, write_memory,
};
use super::{Created, MappingFilter, MappingPage, Store, StoreError};
use wire::{
    AllocateAnswer, BeginAnswer, Entity, Found, Identity, Key, LookupAnswer, Partition, PathElement,
    QueryAnswer, all_of, compare, entity, property, to_failure,
};

/// Timeout of one call, without retries.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a rollback.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of keys in one lookup (Datastore's documentation, "Limits").
const LOOKUP: usize = 1000;
/// Number of ledger pages in one lookup: together below 4 MiB, which is as much as an emulator answers.
const PAGES_AT_ONCE: usize = 8;
/// Number of locks for writers. Each entity belongs to one of them, by its hash.
const TURNS: usize = 64;

const MAPPINGS: &str = "CaseMapping";
const GLOBAL: &str = "Global";
const VERSION: &str = "version";
const REVISION: &str = "revision";

/// Store that keeps all data in a Firestore database in Datastore mode.
pub struct DatastoreStore(Arc<Client>);

impl DatastoreStore {
    /// Creates a store in that database. Does not connect yet. `credentials` are not used with an emulator. Fails if the TLS stack cannot
    /// be set up.
    pub fn new(at: DatabaseLocation, credentials: Arc<dyn Credentials>) -> Result<Self, StoreError> {
        let builder = http_client();
        // A proxy in the environment is for outbound traffic; an emulator is not behind it.
        let builder = if at.emulator.is_some() { builder.no_proxy() } else { builder };
        let http =
            builder.connect_timeout(TIMEOUT / 2).timeout(TIMEOUT).build().map_err(|error| {
                StoreError::Unavailable(format!("TLS cannot be set up: {}", chain(&error)))
            })?;
        Ok(Self(Arc::new(Client {
            target: Target { api: GoogleDatabase::Datastore, at },
            credentials,
            http,
            counters: OperationCounters::default(),
            pages: PageCache::default(),
            last_write: LastWrite::default(),
            turns: std::array::from_fn(|_| Mutex::new(())),
        })))
    }

    /// Returns the number of operations since the store was created.
    #[must_use]
    pub fn operation_counts(&self) -> OperationCounts {
        self.0.counters.counts()
    }

    /// Detached run: runs the work to completion even if the caller's future is dropped.
    async fn detached<T: Send + 'static, F>(
        &self,
        work: impl FnOnce(Arc<Client>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        tokio::spawn(work(Arc::clone(&self.0))).await.unwrap_or_else(|error| {
            Err(StoreError::Unavailable(format!("the transaction broke off: {error}")))
        })
    }
}

#[async_trait]
impl Store for DatastoreStore {
    async fn global(&self) -> Result<Global, StoreError> {
        let stored = self.0.read_one(&self.0.global_key()).await?;
        stored.as_ref().map_or_else(|| Ok(Global::default()), to_global)
    }

    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError> {
        let (at, memory) = (last_polled_at.map(cut_time), memory.clone());
        self.detached(async move |client: Arc<Client>| client.set_poll(side, at, &memory).await).await
    }

    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError> {
        let mapping = cut(mapping);
        self.detached(async move |client: Arc<Client>| client.create(mapping).await).await
    }

    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError> {
        // Datastore assigns positive numbers, and accepts no zero.
        if id.0 <= 0 {
            return Ok(None);
        }
        match self.0.read_one(&self.0.mapping_key(id)).await? {
            Some(entity) => self.0.complete(entity).await,
            None => Ok(None),
        }
    }

    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError> {
        self.0.find(&CaseKey::Google(name.number().to_owned())).await
    }

    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError> {
        self.0.find(&CaseKey::Company(id.as_str().to_owned())).await
    }

    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError> {
        let mapping = cut(mapping.clone());
        self.detached(async move |client: Arc<Client>| client.update(mapping).await).await
    }

    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError> {
        let (id, version, pages) = (mapping.id, mapping.version, mapping.ledger.stored_pages());
        self.detached(async move |client: Arc<Client>| client.delete(id, version, &pages).await).await
    }

    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let condition = match filter {
            MappingFilter::All => None,
            MappingFilter::NeedsWatching => Some(compare("needsWatching", "EQUAL", &Property::Boolean(true))),
            MappingFilter::Open => Some(compare("resolvedAt", "EQUAL", &Property::Null)),
            MappingFilter::ResolvedBefore(time) => return self.0.list_resolved(time, after, limit).await,
        };
        self.0.list_by_id(condition, after, limit).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.global().await?;
        self.0.check_writing().await
    }
}

/// State that the store's tasks share.
struct Client {
    target: Target,
    credentials: Arc<dyn Credentials>,
    http: reqwest::Client,
    counters: OperationCounters,
    pages: PageCache,
    /// Last time that [`Store::check`] has found that the store takes changes.
    last_write: LastWrite,
    turns: [Mutex<()>; TURNS],
}

/// Failure of a call, or an error of the store that follows from the data read.
enum Failure {
    Api(ApiFailure),
    Store(StoreError),
}

impl From<ApiFailure> for Failure {
    fn from(failure: ApiFailure) -> Self {
        Self::Api(failure)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// End of a transaction.
enum End<T> {
    /// No change is needed.
    RollBack(T),
    Commit(Vec<serde_json::Value>, T),
}

impl Client {
    /// Makes one call, without retries.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        mut body: serde_json::Value,
    ) -> Result<T, ApiFailure> {
        let DatabaseLocation { project, database, emulator } = &self.target.at;
        let base = match emulator {
            Some(host) => format!("http://{host}"),
            None => "https://datastore.googleapis.com".to_owned(),
        };
        let mut request = self.http.post(format!("{base}/v1/projects/{project}:{method}"));
        if database != DEFAULT_DATABASE {
            body["databaseId"] = json!(database);
            // Google routes the request to the server of the database by this header.
            request = request
                .header("x-goog-request-params", format!("project_id={project}&database_id={database}"));
        }
        let authorization = if emulator.is_some() {
            Some((axum::http::header::AUTHORIZATION, HeaderValue::from_static("Bearer owner")))
        } else {
            self.credentials.header().await.map_err(ApiFailure::no_credentials)?
        };
        if let Some((name, value)) = authorization {
            request = request.header(name, value);
        }
        let broken = |error: reqwest::Error| ApiFailure::unreachable(chain(&error.without_url()));
        let answer = request.json(&body).send().await.map_err(broken)?;
        let status = answer.status();
        let body = read_capped(answer, MAX_ANSWER)
            .await
            .map_err(|broken| ApiFailure::unreachable(broken.to_string()))?;
        if !status.is_success() {
            return Err(to_failure(status, &body));
        }
        // An answer that cannot be read counts as no answer. The error gives only the position, since the text can quote content.
        serde_json::from_slice(&body).map_err(|error| {
            ApiFailure::unreachable(format!(
                "its answer to {method} is not the expected JSON, line {} column {}",
                error.line(),
                error.column()
            ))
        })
    }

    /// Calls a read method outside of a transaction, with retries.
    async fn persist<T: DeserializeOwned>(
        &self,
        method: &str,
        body: &serde_json::Value,
    ) -> Result<T, StoreError> {
        let mut persistence = Persistence::new();
        loop {
            match self.call(method, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => persistence.or_give_up(&self.target, &failure).await?,
            }
        }
    }

    fn partition(&self) -> Partition {
        let DatabaseLocation { project, database, emulator: _ } = &self.target.at;
        Partition {
            project_id: project.clone(),
            database_id: (database != DEFAULT_DATABASE).then(|| database.clone()),
        }
    }

    fn key(&self, kind: &str, name: Identity) -> Key {
        Key { partition_id: self.partition(), path: vec![PathElement { kind: kind.to_owned(), name }] }
    }

    fn mapping_key(&self, id: MappingId) -> Key {
        self.key(MAPPINGS, Identity::Id(id.0.to_string()))
    }

    fn case_key(&self, key: &CaseKey) -> Key {
        self.key(CaseKey::KIND, Identity::Name(key.name()))
    }

    fn global_key(&self) -> Key {
        self.key(GLOBAL, Identity::Id(Global::ID.to_string()))
    }

    /// Returns the entities with these keys, in the same order.
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Entity>>, StoreError> {
        let mut found = HashMap::new();
        for chunk in keys.chunks(LOOKUP) {
            let mut wanted = chunk.to_vec();
            while !wanted.is_empty() {
                let answer: LookupAnswer = self.persist("lookup", &json!({ "keys": wanted })).await?;
                let left = self.found(answer, &mut found);
                if left.len() >= wanted.len() {
                    // Without progress the loop would never end.
                    let message = "a lookup put off everything that was asked for".to_owned();
                    return Err(StoreError::Unavailable(message));
                }
                wanted = left;
            }
        }
        Ok(keys.iter().map(|key| found.remove(&key.path)).collect())
    }

    async fn read_one(&self, key: &Key) -> Result<Option<Entity>, StoreError> {
        Ok(self.read(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// Stores the entities that a lookup found; returns the keys that it deferred.
    fn found(&self, answer: LookupAnswer, found: &mut HashMap<Vec<PathElement>, Entity>) -> Vec<Key> {
        self.counters.read(answer.found.len() + answer.missing.len());
        for Found { entity } in answer.found {
            found.insert(entity.key.path.clone(), entity);
        }
        answer.deferred
    }

    /// Returns the results of a query, up to `limit`.
    async fn query(
        &self,
        mut query: serde_json::Value,
        limit: Option<usize>,
    ) -> Result<Vec<Entity>, StoreError> {
        let keys_only = query.get("projection").is_some();
        let mut entities = Vec::new();
        loop {
            if let Some(limit) = limit {
                query["limit"] = json!(i32::try_from(limit - entities.len()).unwrap_or(i32::MAX));
            }
            let answer: QueryAnswer = self.persist("runQuery", &json!({ "query": query })).await?;
            let batch = answer.batch;
            // A query for keys only is billed as one read, independent of the number of results.
            self.counters.read(if keys_only { 1 } else { batch.entity_results.len().max(1) });
            let progressed = !batch.entity_results.is_empty();
            entities.extend(batch.entity_results.into_iter().map(|found| found.entity));
            let full = limit.is_some_and(|limit| entities.len() >= limit);
            match batch.end_cursor {
                Some(cursor) if batch.more_results == "NOT_FINISHED" && progressed && !full => {
                    query["startCursor"] = json!(cursor);
                }
                Some(_) | None => return Ok(entities),
            }
        }
    }

    fn page_key(&self, id: MappingId, number: u64) -> Key {
        self.key(pages::KIND, Identity::Name(pages::name(id, number)))
    }

    /// Reads the ledger pages of a mapping and restores it. `None` if it was deleted meanwhile.
    async fn complete(&self, entity: Entity) -> Result<Option<CaseMapping>, StoreError> {
        self.pages.restore(id_of(&entity)?, to_record(&entity)?, self).await
    }

    /// Returns the mutations of ledger pages that belong to one write of their mapping.
    fn page_mutations(
        &self,
        id: MappingId,
        changes: &PageChanges,
    ) -> Result<Vec<serde_json::Value>, StoreError> {
        let mut mutations = Vec::new();
        for page in &changes.added {
            let key = self.page_key(id, page.number());
            let entries = Property::Text(pages::write(id, page)?);
            mutations.push(json!({ "upsert": entity(&key, [(pages::ENTRIES, entries)]) }));
        }
        let dropped = changes.dropped.iter();
        mutations.extend(dropped.map(|number| json!({ "delete": self.page_key(id, *number) })));
        Ok(mutations)
    }

    async fn find(&self, key: &CaseKey) -> Result<Option<CaseMapping>, StoreError> {
        let filter = compare(key.property(), "EQUAL", &Property::Text(key.value().to_owned()));
        let query = json!({ "kind": [{ "name": MAPPINGS }], "filter": filter });
        match self.query(query, Some(1)).await?.into_iter().next() {
            Some(entity) => self.complete(entity).await,
            None => Ok(None),
        }
    }

    /// Returns a page of the mappings that match an equality on one property, whose own index is in the order of the keys.
    async fn list_by_id(
        &self,
        condition: Option<serde_json::Value>,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let after = after.filter(|after| after.0 > 0).map(|after| {
            json!({ "propertyFilter": {
                "property": { "name": "__key__" },
                "op": "GREATER_THAN",
                "value": { "keyValue": self.mapping_key(after) },
            } })
        });
        let mut query = json!({
            "kind": [{ "name": MAPPINGS }],
            "order": [{ "property": { "name": "__key__" }, "direction": "ASCENDING" }],
        });
        if let Some(filter) = all_of(condition.into_iter().chain(after).collect()) {
            query["filter"] = filter;
        }
        // Reads one entity more than the limit to find out if there is another page.
        let mut entities = self.query(query, Some(limit.saturating_add(1))).await?;
        let more = entities.len() > limit;
        entities.truncate(limit);
        let next = entities.last().filter(|_| more).map(id_of).transpose()?;
        let mut mappings = Vec::with_capacity(entities.len());
        for entity in entities {
            mappings.extend(self.complete(entity).await?);
        }
        Ok(MappingPage { mappings, next })
    }

    /// Returns a page of the mappings that were resolved before a time. An index of times is not in the order of the keys, so all keys are
    /// read (which is billed as one read) and sorted here, and then one page of mappings is fetched.
    async fn list_resolved(
        &self,
        before: DateTime<Utc>,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        let query = json!({
            "kind": [{ "name": MAPPINGS }],
            "projection": [{ "property": { "name": "__key__" } }],
            "filter": all_of(vec![
                compare("resolvedAt", "LESS_THAN", &Property::Time(exclusive(before))),
                // Null sorts before all times, and would match as well.
                compare("resolvedAt", "GREATER_THAN_OR_EQUAL", &Property::Time(cut_time(DateTime::<Utc>::MIN_UTC))),
            ]),
            "order": [{ "property": { "name": "resolvedAt" }, "direction": "ASCENDING" }],
        });
        let mut ids = self.query(query, None).await?.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
        ids.retain(|id| after.is_none_or(|after| *id > after));
        ids.sort_unstable();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().copied().filter(|_| more);
        let keys: Vec<_> = ids.iter().map(|id| self.mapping_key(*id)).collect();
        let mut mappings = Vec::with_capacity(ids.len());
        for entity in self.read(&keys).await?.into_iter().flatten() {
            mappings.extend(self.complete(entity).await?);
        }
        // A mapping may have been reopened since the query.
        mappings.retain(|mapping| passes(MappingFilter::ResolvedBefore(before), mapping));
        Ok(MappingPage { mappings, next })
    }

    /// Waits until no other task in this process writes one of these entities.
    async fn turn(&self, entities: impl IntoIterator<Item = &Key>) -> Vec<MutexGuard<'_, ()>> {
        let groups: BTreeSet<usize> = entities
            .into_iter()
            .map(|key| {
                let mut hasher = DefaultHasher::new();
                key.path.hash(&mut hasher);
                usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default()
            })
            .collect();
        let mut guards = Vec::with_capacity(groups.len());
        // In ascending order, to avoid deadlocks.
        for group in groups {
            guards.push(self.turns[group].lock().await);
        }
        guards
    }

    const fn begin(&self) -> Transaction<'_> {
        Transaction { client: self, id: None }
    }

    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError> {
        let key = self.global_key();
        let _turn = self.turn([&key]).await;
        let mut persistence = Persistence::new();
        loop {
            let mut transaction = self.begin();
            let end = transaction.set_poll(&key, side, last_polled_at, memory).await;
            if let Some(outcome) = transaction.end(end, &mut persistence).await {
                return outcome;
            }
        }
    }

    async fn create(&self, mut mapping: CaseMapping) -> Result<Created, StoreError> {
        let unnamed = json!({ "partitionId": self.partition(), "path": [{ "kind": MAPPINGS }] });
        let allocated: AllocateAnswer = self.persist("allocateIds", &json!({ "keys": [unnamed] })).await?;
        let nothing = || StoreError::Unavailable(format!("{}: it assigned no ID", self.target));
        mapping.id = id_of_key(allocated.keys.first().ok_or_else(nothing)?)?;
        mapping.version = 1;
        let change = Change::to(self, mapping)?;
        let _turn = self.turn(&change.case_keys).await;
        // Usually no mapping holds these cases. If one does, the insertion fails, and then they are read.
        let mut mutations = vec![json!({ "insert": change.entity })];
        mutations
            .extend(change.case_keys.iter().map(|key| json!({ "insert": holder(key, change.mapping.id) })));
        mutations.extend(change.pages.iter().cloned());
        match self.commit(mutations, json!({ "singleUseTransaction": { "readWrite": {} } })).await {
            Ok(()) => return Ok(Created::New(change.mapping)),
            Err(failure) => match failure.code {
                Code::AlreadyExists | Code::Aborted | Code::Unavailable => {}
                Code::FailedPrecondition
                | Code::InvalidArgument
                | Code::NotFound
                | Code::PermissionDenied
                | Code::ResourceExhausted
                | Code::Unauthenticated
                | Code::NoCredentials
                | Code::Other => return Err(self.target.explain(&failure)),
            },
        }
        let mut persistence = Persistence::new();
        loop {
            let mut transaction = self.begin();
            let end = transaction.create(&change).await;
            if let Some(outcome) = transaction.end(end, &mut persistence).await {
                match outcome? {
                    None => return Ok(Created::New(change.mapping)),
                    Some(existing) => {
                        if let Some(existing) = self.complete(existing).await? {
                            return Ok(Created::Existing(existing));
                        }
                    }
                }
            }
        }
    }

    async fn update(&self, mapping: CaseMapping) -> Result<CaseMapping, StoreError> {
        let seen = mapping.version;
        let change = Change::to(self, CaseMapping { version: seen.saturating_add(1), ..mapping })?;
        let _turn = self.turn(change.case_keys.iter().chain([&change.key])).await;
        let mut persistence = Persistence::new();
        loop {
            let mut transaction = self.begin();
            let end = transaction.update(seen, &change).await;
            if let Some(outcome) = transaction.end(end, &mut persistence).await {
                return outcome;
            }
        }
    }

    async fn delete(&self, id: MappingId, version: u64, pages: &[u64]) -> Result<(), StoreError> {
        let key = self.mapping_key(id);
        let _turn = self.turn([&key]).await;
        let mut persistence = Persistence::new();
        loop {
            let mut transaction = self.begin();
            let end = transaction.delete(id, version, &key, pages).await;
            if let Some(outcome) = transaction.end(end, &mut persistence).await {
                return outcome;
            }
        }
    }

    async fn check_writing(&self) -> Result<(), StoreError> {
        if self.last_write.is_old() {
            // Deleting a missing entity needs the same permission as any other change. It is billed, so it is done once a minute.
            let nothing = self.key(CaseKey::KIND, Identity::Name("check".to_owned()));
            let transaction = json!({ "singleUseTransaction": { "readWrite": {} } });
            self.commit(vec![json!({ "delete": nothing })], transaction)
                .await
                .map_err(|failure| self.target.explain(&failure))?;
            self.last_write.note();
        }
        Ok(())
    }

    /// Applies all of the mutations or none in that transaction, without retries.
    async fn commit(
        &self,
        mutations: Vec<serde_json::Value>,
        mut transaction: serde_json::Value,
    ) -> Result<(), ApiFailure> {
        let deletes = mutations.iter().filter(|mutation| mutation.get("delete").is_some()).count();
        let writes = mutations.len() - deletes;
        transaction["mode"] = json!("TRANSACTIONAL");
        transaction["mutations"] = serde_json::Value::Array(mutations);
        self.call::<serde::de::IgnoredAny>("commit", transaction).await?;
        self.counters.written(writes, deletes);
        Ok(())
    }
}

#[async_trait]
impl PageBackend for Client {
    async fn page_texts(&self, id: MappingId, numbers: &[u64]) -> Result<Vec<Option<String>>, StoreError> {
        let mut texts = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(PAGES_AT_ONCE) {
            let keys: Vec<Key> = numbers.iter().map(|number| self.page_key(id, *number)).collect();
            for stored in self.read(&keys).await? {
                let text = stored.map(|stored| {
                    property(&stored, pages::ENTRIES)
                        .and_then(String::try_from)
                        .map_err(|error| StoreError::Corrupt(format!("{:?}: {error}", stored.key.path)))
                });
                texts.push(text.transpose()?);
            }
        }
        Ok(texts)
    }

    async fn record(&self, id: MappingId) -> Result<Option<(Record, u64)>, StoreError> {
        self.read_one(&self.mapping_key(id)).await?.as_ref().map(to_record).transpose()
    }
}

/// Mapping that is to be stored.
struct Change {
    mapping: CaseMapping,
    /// Cases that the mapping holds, and their entities.
    keys: Vec<CaseKey>,
    case_keys: Vec<Key>,
    key: Key,
    entity: serde_json::Value,
    /// Mutations of the ledger's pages.
    pages: Vec<serde_json::Value>,
    revision: i64,
}

impl Change {
    /// Prepares a change to `mapping`, which has its new version already.
    fn to(client: &Client, mut mapping: CaseMapping) -> Result<Self, StoreError> {
        let pages = client.page_mutations(mapping.id, &mapping.ledger.pack())?;
        let record = Record::of(&mapping)?;
        let keys = record.keys();
        let revision = rand::rng().random();
        let key = client.mapping_key(mapping.id);
        Ok(Self {
            case_keys: keys.iter().map(|key| client.case_key(key)).collect(),
            entity: entity(&key, properties(record, mapping.version, revision)),
            mapping,
            keys,
            key,
            pages,
            revision,
        })
    }
}

/// Transaction; it begins with its first read.
struct Transaction<'a> {
    client: &'a Client,
    /// `None` before it began and after it ended.
    id: Option<String>,
}

impl Transaction<'_> {
    /// Returns the ID of the transaction, and begins it if necessary. It needs a separate call: if the first lookup begins the transaction,
    /// the Firestore emulator makes its commit wait for its own locks until it is aborted (Cloud SDK 528).
    async fn begun(&mut self) -> Result<String, ApiFailure> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let body = json!({ "transactionOptions": { "readWrite": {} } });
        let begun: BeginAnswer = self.client.call("beginTransaction", body).await?;
        Ok(self.id.insert(begun.transaction).clone())
    }

    /// Returns the entities with these keys, in the same order.
    async fn read(&mut self, keys: &[Key]) -> Result<Vec<Option<Entity>>, ApiFailure> {
        let id = self.begun().await?;
        let mut found = HashMap::new();
        let mut wanted = keys.to_vec();
        while !wanted.is_empty() {
            let body = json!({ "keys": wanted, "readOptions": { "transaction": id } });
            let answer: LookupAnswer = self.client.call("lookup", body).await?;
            wanted = self.client.found(answer, &mut found);
        }
        Ok(keys.iter().map(|key| found.remove(&key.path)).collect())
    }

    async fn read_one(&mut self, key: &Key) -> Result<Option<Entity>, ApiFailure> {
        Ok(self.read(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// Returns the mapping that a key names, if it still exists and still holds that case. Otherwise a person deleted or changed it, and
    /// another mapping may take the key over.
    async fn living(&mut self, key: &CaseKey, holder: MappingId) -> Result<Option<Entity>, ApiFailure> {
        let stored = self.read_one(&self.client.mapping_key(holder)).await?;
        Ok(stored.filter(|stored| keys_of(stored).contains(key)))
    }

    async fn set_poll(
        &mut self,
        key: &Key,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<End<()>, Failure> {
        // An entity is written as a whole, so the other side's properties are read and kept.
        let stored = self.read_one(key).await?;
        let mut global = stored.as_ref().map(to_global).transpose()?.unwrap_or_default();
        global.set_poll(side, last_polled_at, memory.clone());
        let mut properties = Vec::new();
        for side in Side::BOTH {
            properties.push((watermark(side), Property::from(global.last_polled_at(side))));
            properties.push((poll_memory(side), Property::Text(write_memory(&global.memory[side])?)));
        }
        Ok(End::Commit(vec![json!({ "upsert": entity(key, properties) })], ()))
    }

    /// Returns the stored mapping that holds one of the cases already; `None` if the new mapping is stored.
    async fn create(&mut self, change: &Change) -> Result<End<Option<Entity>>, Failure> {
        let mut wanted = vec![change.key.clone()];
        wanted.extend(change.case_keys.iter().cloned());
        let mut read = self.read(&wanted).await?.into_iter();
        // R13 (unknown write outcome): the first commit may have happened although it got no answer.
        if let Some(stored) = read.next().flatten() {
            if is_of(&stored, change.revision) {
                return Ok(End::RollBack(None));
            }
            let twice = format!("{}: it assigned an ID twice: try again", self.client.target);
            return Err(StoreError::Unavailable(twice).into());
        }
        for (key, stored) in change.keys.iter().zip(read) {
            if let Some(stored) = stored
                && let Some(existing) = self.living(key, to_holder(&stored)?).await?
            {
                return Ok(End::RollBack(Some(existing)));
            }
        }
        let mut mutations = vec![json!({ "insert": change.entity })];
        // The mappings that held these cases were deleted or changed by a person, so their keys are taken over.
        mutations
            .extend(change.case_keys.iter().map(|key| json!({ "upsert": holder(key, change.mapping.id) })));
        mutations.extend(change.pages.iter().cloned());
        Ok(End::Commit(mutations, None))
    }

    async fn update(&mut self, seen: u64, change: &Change) -> Result<End<CaseMapping>, Failure> {
        let id = change.mapping.id;
        let Some(stored) = self.read_one(&change.key).await? else {
            return Err(StoreError::Gone(id).into());
        };
        // R13 (unknown write outcome): the stored mapping may come from this very write, whose answer was lost.
        if is_of(&stored, change.revision) {
            return Ok(End::RollBack(change.mapping.clone()));
        }
        if version_of(&stored)? != seen {
            return Err(StoreError::Conflict(id).into());
        }
        let held = keys_of(&stored);
        let (gained, entities): (Vec<_>, Vec<_>) = change
            .keys
            .iter()
            .zip(&change.case_keys)
            .filter(|(key, _)| !held.contains(key))
            .map(|(key, entity)| (key, entity.clone()))
            .unzip();
        if !gained.is_empty() {
            for (key, stored) in gained.into_iter().zip(self.read(&entities).await?) {
                if let Some(stored) = stored
                    && let existing = to_holder(&stored)?
                    && existing != id
                    && self.living(key, existing).await?.is_some()
                {
                    return Err(StoreError::Duplicate { existing }.into());
                }
            }
        }
        let lost = held.iter().filter(|key| !change.keys.contains(key));
        let mutations = std::iter::once(json!({ "update": change.entity }))
            .chain(entities.iter().map(|key| json!({ "upsert": holder(key, id) })))
            .chain(lost.map(|key| json!({ "delete": self.client.case_key(key) })))
            .chain(change.pages.iter().cloned());
        Ok(End::Commit(mutations.collect(), change.mapping.clone()))
    }

    async fn delete(
        &mut self,
        id: MappingId,
        version: u64,
        key: &Key,
        pages: &[u64],
    ) -> Result<End<()>, Failure> {
        let Some(stored) = self.read_one(key).await? else { return Ok(End::RollBack(())) };
        if version_of(&stored)? != version {
            return Err(StoreError::Conflict(id).into());
        }
        let keys = keys_of(&stored);
        let mutations = std::iter::once(json!({ "delete": key }))
            .chain(keys.iter().map(|key| json!({ "delete": self.client.case_key(key) })))
            .chain(pages.iter().map(|number| json!({ "delete": self.client.page_key(id, *number) })));
        Ok(End::Commit(mutations.collect(), ()))
    }

    /// Commits or rolls back the transaction. If a retry may help, waits for the backoff and returns `None`.
    async fn end<T>(
        mut self,
        end: Result<End<T>, Failure>,
        persistence: &mut Persistence,
    ) -> Option<Result<T, StoreError>> {
        let failure = match end {
            Ok(End::RollBack(outcome)) => {
                self.roll_back().await;
                return Some(Ok(outcome));
            }
            Err(Failure::Store(error)) => {
                self.roll_back().await;
                return Some(Err(error));
            }
            Ok(End::Commit(mutations, outcome)) => {
                match self.client.commit(mutations, json!({ "transaction": self.id })).await {
                    Ok(()) => return Some(Ok(outcome)),
                    Err(failure) => failure,
                }
            }
            Err(Failure::Api(failure)) => failure,
        };
        self.roll_back().await;
        persistence.or_give_up(&self.client.target, &failure).await.err().map(Err)
    }

    /// Rolls back the transaction, if it has begun.
    async fn roll_back(&mut self) {
        if let Some(id) = self.id.take() {
            let call = self.client.call::<serde::de::IgnoredAny>("rollback", json!({ "transaction": id }));
            // If the rollback fails, the transaction times out soon; nothing was changed either way.
            let _ = tokio::time::timeout(ROLLBACK_TIMEOUT, call).await;
        }
    }
}

fn properties(record: Record, version: u64, revision: i64) -> Vec<(&'static str, Property)> {
    let mut properties = record.into_properties();
    properties.push((VERSION, Property::Integer(i64::try_from(version).unwrap_or(i64::MAX))));
    properties.push((REVISION, Property::Integer(revision)));
    properties
}

fn holder(key: &Key, id: MappingId) -> serde_json::Value {
    entity(key, [(CaseKey::HOLDER, Property::Integer(id.0))])
}

/// Returns the cases that a stored mapping holds, even if the rest of it cannot be read.
fn keys_of(entity: &Entity) -> Vec<CaseKey> {
    let text = |name| property(entity, name).ok().and_then(|property| String::try_from(property).ok());
    let google = text("googleCaseNumber").map(CaseKey::Google);
    let company = text("companyCaseID").map(CaseKey::Company);
    google.into_iter().chain(company).collect()
}

/// True if the entity was written by the write with this revision.
fn is_of(entity: &Entity, revision: i64) -> bool {
    property(entity, REVISION) == Ok(Property::Integer(revision))
}

fn id_of_key(key: &Key) -> Result<MappingId, StoreError> {
    let id = match key.path.last() {
        Some(PathElement { name: Identity::Id(id), .. }) => id.parse().ok(),
        Some(PathElement { name: Identity::Name(_), .. }) | None => None,
    };
    id.map(MappingId).ok_or_else(|| {
        StoreError::Corrupt(format!("{:?}: the key of a mapping is a number, not a name", key.path))
    })
}

fn id_of(entity: &Entity) -> Result<MappingId, StoreError> {
    id_of_key(&entity.key)
}

fn version_of(entity: &Entity) -> Result<u64, StoreError> {
    let id = id_of(entity)?;
    property(entity, VERSION)
        .and_then(i64::try_from)
        .and_then(|version| u64::try_from(version).map_err(|_| format!("{version} is negative")))
        .map_err(|error| StoreError::Corrupt(format!("mapping {id}, property {VERSION}: {error}")))
}

/// Returns the record of a mapping and its version.
fn to_record(entity: &Entity) -> Result<(Record, u64), StoreError> {
    let record = Record::from_properties(id_of(entity)?, |name| property(entity, name))?;
    Ok((record, version_of(entity)?))
}

fn to_holder(entity: &Entity) -> Result<MappingId, StoreError> {
    property(entity, CaseKey::HOLDER).and_then(i64::try_from).map(MappingId).map_err(|error| {
        StoreError::Corrupt(format!("{:?}, property {}: {error}", entity.key.path, CaseKey::HOLDER))
    })
}

fn to_global(entity: &Entity) -> Result<Global, StoreError> {
    let read = |side| {
        let name = watermark(side);
        property(entity, name)
            .and_then(Option::<DateTime<Utc>>::try_from)
            .map_err(|error| StoreError::Corrupt(format!("Global, property {name}: {error}")))
    };
    let mut global = Global::default();
    for side in Side::BOTH {
        let memory =
            property(entity, poll_memory(side)).and_then(Option::<String>::try_from).map_err(|error| {
                StoreError::Corrupt(format!("Global, property {}: {error}", poll_memory(side)))
            })?;
        global.set_poll(side, read(side)?, read_memory(memory.as_deref(), side)?);
    }
    Ok(global)
}
