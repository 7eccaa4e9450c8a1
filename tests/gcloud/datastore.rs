//! Firestore in Datastore mode, with both emulators that speak its API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use casebridge::entities::{CaseMapping, MappingId, PollMemory, Side};
use casebridge::outbound::NoCredentials;
use casebridge::store::{
    Created, DEFAULT_DATABASE, DatabaseLocation, DatastoreStore, MappingFilter, OperationCounts, Store,
    StoreError,
};
use serde_json::{Value, json};

use crate::emulator::{Emulator, Kind, new_project, shared};
use crate::relay::Relay;
use crate::{answers_again, http};
use casebridge_testkit::contract::store::{
    self, PersistentUnderTest, StoreUnderTest, company, create, google, now, of_company, of_google,
    store_contract,
};

mod firestore_emulator {
    use super::{Kind, Place, store, store_contract};

    store_contract!(persistent store, async { Place::new(Kind::FirestoreDatastoreMode) });
}

mod older_emulator {
    use super::{Kind, Place, store, store_contract};

    store_contract!(persistent store, async { Place::new(Kind::Datastore) });
}

const BOTH: [Kind; 2] = [Kind::FirestoreDatastoreMode, Kind::Datastore];

/// A project of its own in an emulator.
struct Place {
    project: String,
    host: String,
}

impl Place {
    fn new(kind: Kind) -> Self {
        Self { project: new_project(), host: shared(kind).host() }
    }

    fn store(&self) -> DatastoreStore {
        self.store_in(DEFAULT_DATABASE)
    }

    fn store_in(&self, database: &str) -> DatastoreStore {
        let at = DatabaseLocation {
            project: self.project.clone(),
            database: database.to_owned(),
            emulator: Some(self.host.clone()),
        };
        DatastoreStore::new(at, Arc::new(NoCredentials)).unwrap()
    }

    /// A call of our own, whatever comes of it.
    async fn try_call(&self, method: &str, body: Value) -> Value {
        let url = format!("http://{}/v1/projects/{}:{method}", self.host, self.project);
        http().post(url).json(&body).send().await.unwrap().json().await.unwrap()
    }

    async fn call(&self, method: &str, body: Value) -> Value {
        let answer = self.try_call(method, body).await;
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    fn key(&self, kind: &str, name: &str, value: &str) -> Value {
        json!({"partitionId": {"projectId": self.project}, "path": [{"kind": kind, name: value}]})
    }

    async fn properties(&self, key: Value) -> Value {
        let mut answer = self.call("lookup", json!({"keys": [key]})).await;
        answer["found"][0]["entity"]["properties"].take()
    }

    /// Does by hand what a person does in the console.
    async fn by_hand(&self, mutation: Value) {
        self.call("commit", json!({"mode": "NON_TRANSACTIONAL", "mutations": [mutation]})).await;
    }

    async fn delete_by_hand(&self, id: MappingId) {
        self.by_hand(json!({"delete": self.key("CaseMapping", "id", &id.to_string())})).await;
    }
}

#[async_trait]
impl StoreUnderTest for Place {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store())
    }
}

#[async_trait]
impl PersistentUnderTest for Place {
    async fn spoil(&self, id: MappingId) {
        let key = self.key("CaseMapping", "id", &id.to_string());
        let mut properties = self.properties(key.clone()).await;
        properties["details"] = json!({"stringValue": "{", "excludeFromIndexes": true});
        self.by_hand(json!({"upsert": {"key": key, "properties": properties}})).await;
    }
}

fn linked(number: usize, id: usize) -> CaseMapping {
    CaseMapping { company_case_id: Some(company(id)), ..of_google(number) }
}

#[tokio::test]
async fn entities_are_named_and_typed_as_documented() {
    for kind in BOTH {
        let place = Place::new(kind);
        let store = place.store();
        let mut mapping = linked(51_234_456, 10_001);
        mapping.resolved_at = Some(now());
        let mapping = create(&store, mapping).await;
        store.set_poll(Side::Google, Some(now()), &PollMemory::default()).await.unwrap();
        let id = mapping.id.to_string();
        let mut properties = place.properties(place.key("CaseMapping", "id", &id)).await;
        for hidden in ["details", "revision"] {
            assert_eq!(properties[hidden]["excludeFromIndexes"], true, "{kind:?}: {hidden}");
            properties.as_object_mut().unwrap().remove(hidden);
        }
        let at = "2026-03-01T12:00:00.123456Z";
        let expected = json!({
            "googleCaseName": {"stringValue": "organizations/1/cases/51234456", "excludeFromIndexes": true},
            "googleCaseNumber": {"stringValue": "51234456"},
            "companyCaseID": {"stringValue": "10001"},
            "newContentAt": {"timestampValue": at, "excludeFromIndexes": true},
            "resolvedAt": {"timestampValue": at},
            "companyUpdatesSyncedAt": {"timestampValue": at, "excludeFromIndexes": true},
            "googleUpdatesSyncedAt": {"nullValue": null, "excludeFromIndexes": true},
            "outageCommentSentToGoogle": {"booleanValue": false, "excludeFromIndexes": true},
            "outageCommentSentToCompany": {"booleanValue": false, "excludeFromIndexes": true},
            "priority": {"integerValue": "2", "excludeFromIndexes": true},
            "needsWatching": {"booleanValue": true},
            "version": {"integerValue": "1", "excludeFromIndexes": true},
        });
        assert_eq!(properties, expected, "{kind:?}");
        let global = place.properties(place.key("Global", "id", "1")).await;
        assert_eq!(global["google_last_polled_at"]["timestampValue"], at, "{kind:?}");
        for key in ["google:51234456", "company:10001"] {
            let key = place.properties(place.key("CaseMappingKey", "name", key)).await;
            assert_eq!(key["mapping"]["integerValue"], id, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn operations_are_counted_as_they_are_billed() {
    for kind in BOTH {
        let place = Place::new(kind);
        let store = place.store();
        let counts = |reads, writes, deletes| OperationCounts { reads, writes, deletes };
        let mut before = store.operation_counts();
        assert_eq!(before, counts(0, 0, 0));
        let mut check = |what: &str, expected| {
            let after = store.operation_counts();
            assert_eq!(after - before, expected, "{kind:?}: {what}");
            before = after;
        };
        let mapping = create(&store, of_google(1)).await;
        check("create: the mapping and its key", counts(0, 2, 0));
        store.find_by_google(mapping.google_case_name.as_ref().unwrap()).await.unwrap();
        check("find", counts(1, 0, 0));
        store.find_by_company(&company(1)).await.unwrap();
        check("find nothing", counts(1, 0, 0));
        let mapping = store.update(&mapping).await.unwrap();
        check("update", counts(1, 1, 0));
        let linked = CaseMapping { company_case_id: Some(company(1)), ..mapping };
        let linked = store.update(&linked).await.unwrap();
        check("link: the key is read as well", counts(2, 2, 0));
        store.list(MappingFilter::NeedsWatching, None, 100).await.unwrap();
        check("list one", counts(1, 0, 0));
        store.list(MappingFilter::ResolvedBefore(now()), None, 100).await.unwrap();
        check("list none", counts(1, 0, 0));
        store.delete(&linked).await.unwrap();
        check("delete: the mapping and its keys", counts(1, 0, 3));
        store.set_poll(Side::Google, Some(now()), &PollMemory::default()).await.unwrap();
        check("watermark", counts(1, 1, 0));
        store.global().await.unwrap();
        check("global", counts(1, 0, 0));
        store.check().await.unwrap();
        check("first check", counts(1, 0, 1));
        store.check().await.unwrap();
        check("further check", counts(1, 0, 0));
    }
}

#[tokio::test]
async fn databases_of_a_project_are_kept_apart() {
    // The older emulator knows one database per project only.
    let place = Place::new(Kind::FirestoreDatastoreMode);
    let (one, other) = (place.store(), place.store_in("second"));
    let mapping = create(&one, of_google(1)).await;
    assert_eq!(other.get(mapping.id).await.unwrap(), None);
    create(&other, of_google(1)).await;
}

/// Whoever deletes a mapping in the console leaves its keys behind.
#[tokio::test]
async fn a_mapping_that_was_deleted_by_hand_can_be_made_again() {
    for kind in BOTH {
        let place = Place::new(kind);
        let store = place.store();
        let deleted = create(&store, linked(1, 1)).await;
        place.delete_by_hand(deleted.id).await;
        let again = create(&store, linked(1, 1)).await;
        let existing = store.create(linked(1, 2)).await.unwrap();
        assert_eq!(existing, Created::Existing(again.clone()));
        // By linking as well.
        place.delete_by_hand(again.id).await;
        let other = create(&store, of_google(2)).await;
        let linked = CaseMapping { company_case_id: Some(company(1)), ..other };
        let linked = store.update(&linked).await.unwrap();
        assert_eq!(store.find_by_company(&company(1)).await.unwrap(), Some(linked));
        let taken = CaseMapping { company_case_id: Some(company(1)), ..create(&store, of_google(3)).await };
        assert!(matches!(store.update(&taken).await, Err(StoreError::Duplicate { .. })));
    }
}

// R13
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_is_done_once() {
    for kind in BOTH {
        let direct = Place::new(kind);
        let relay = Relay::to(direct.host.clone()).await;
        let place = Place { project: direct.project.clone(), host: relay.host() };
        let store = place.store();
        store.check().await.unwrap();
        // The commit is what holds the number.
        relay.lose_next_answer_to("51234456");
        let created = create(&store, of_google(51_234_456)).await;
        assert!(relay.has_lost_it(), "{kind:?}");
        let all = direct.store().list(MappingFilter::All, None, 10).await.unwrap().mappings;
        assert_eq!(all, std::slice::from_ref(&created), "{kind:?}");
        relay.lose_next_answer_to("51234456");
        let updated = store.update(&created).await.unwrap();
        assert!(relay.has_lost_it(), "{kind:?}");
        assert_eq!(updated.version, created.version + 1, "{kind:?}");
        assert_eq!(direct.store().get(created.id).await.unwrap().as_ref(), Some(&updated), "{kind:?}");
        relay.lose_next_answer_to("51234456");
        store.delete(&updated).await.unwrap();
        assert!(relay.has_lost_it(), "{kind:?}");
        assert_eq!(direct.store().get(created.id).await.unwrap(), None, "{kind:?}");
        relay.lose_next_answer_to("company_last_polled_at");
        store.set_poll(Side::Company, Some(now()), &PollMemory::default()).await.unwrap();
        assert!(relay.has_lost_it(), "{kind:?}");
        assert_eq!(direct.store().global().await.unwrap().company_last_polled_at, Some(now()), "{kind:?}");
    }
}

/// An open transaction that has read an entity makes others wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_nobody_waits_for_leaves_no_lock() {
    for kind in BOTH {
        let place = Place::new(kind);
        let store = place.store();
        let mut mapping = create(&store, of_google(1)).await;
        // What the same calls take when nothing is under way.
        let begun = tokio::time::Instant::now();
        place.store().get(mapping.id).await.unwrap().unwrap();
        mapping = place.store().update(&mapping).await.unwrap();
        place.store().get(mapping.id).await.unwrap().unwrap();
        let limit = Duration::from_secs(5) + 10 * begun.elapsed();
        for patience in [0, 1, 2, 4, 8, 16] {
            let patience = Duration::from_millis(patience);
            let _ = tokio::time::timeout(patience, store.update(&mapping)).await;
            let begun = tokio::time::Instant::now();
            mapping = place.store().get(mapping.id).await.unwrap().unwrap();
            // The update that was left alone may be under way still: one of the two wins, and neither waits for long.
            match place.store().update(&mapping).await {
                Ok(_) | Err(StoreError::Conflict(_)) => {}
                Err(error) => panic!("{error}"),
            }
            mapping = place.store().get(mapping.id).await.unwrap().unwrap();
            assert!(begun.elapsed() < limit, "{kind:?}: {:?}", begun.elapsed());
        }
    }
}

/// Somebody else's transaction holds the mapping for longer than the emulator lets anybody wait. The older emulator has no locks.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_aborted_is_tried_again() {
    let place = Place::new(Kind::FirestoreDatastoreMode);
    let store = place.store();
    let mapping = create(&store, of_google(1)).await;
    let key = place.key("CaseMapping", "id", &mapping.id.to_string());
    let begun = place.call("beginTransaction", json!({"transactionOptions": {"readWrite": {}}})).await;
    let transaction = &begun["transaction"];
    let read = json!({"keys": [key], "readOptions": {"transaction": transaction}});
    assert!(place.call("lookup", read).await["found"][0].is_object());
    let update = tokio::spawn({
        let mapping = mapping.clone();
        async move { store.update(&mapping).await }
    });
    // What one try gets, twice in a row: the store's first has got it by then.
    for _ in 0..2 {
        let write = json!({"singleUseTransaction": {"readWrite": {}}, "mutations": [{"delete": key}]});
        assert_eq!(place.try_call("commit", write).await["error"]["status"], "ABORTED");
    }
    assert!(!update.is_finished());
    place.call("rollback", json!({"transaction": transaction})).await;
    let updated = update.await.unwrap().unwrap();
    assert_eq!(place.store().get(mapping.id).await.unwrap(), Some(updated));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_and_comes_back_is_used_again() {
    for kind in BOTH {
        let emulator = Emulator::start(kind);
        let place = Place { project: new_project(), host: emulator.host() };
        let store = place.store();
        store.check().await.unwrap();
        let port = emulator.port();
        drop(emulator);
        let variable = "unset DATASTORE_EMULATOR_HOST to use the real project";
        for error in [
            store.check().await.unwrap_err(),
            store.global().await.unwrap_err(),
            store.create(of_google(1)).await.unwrap_err(),
            store.find_by_google(&google("projects/p", 1)).await.unwrap_err(),
        ] {
            assert!(
                matches!(&error, StoreError::Unavailable(reason) if reason.contains(variable)),
                "{error}"
            );
        }
        let _emulator = Emulator::start_on(kind, port);
        answers_again(&store).await;
        create(&store, of_company(1)).await;
    }
}

#[tokio::test]
async fn a_database_in_the_other_mode_is_named_as_such() {
    let place = Place::new(Kind::FirestoreNative);
    let error = place.store().check().await.unwrap_err().to_string();
    assert!(error.contains("change store.url to firestore:"), "{error}");
}
