//! Firestore in Native mode.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::entities::{CaseMapping, MappingId, PollMemory, Side};
use casebridge::outbound::NoCredentials;
use casebridge::store::{
    Created, DEFAULT_DATABASE, DatabaseLocation, FirestoreStore, MappingFilter, OperationCounts, SqliteStore,
    Store, StoreError,
};
use serde_json::json;

use crate::emulator::{Emulator, Kind, new_project, shared};
use crate::relay::Relay;
use crate::{answers_again, http};
use casebridge_testkit::contract::store::{
    self, PersistentUnderTest, StoreUnderTest, company, create, google, now, of_company, of_google,
    store_contract,
};
use casebridge_testkit::harness::billed::Billed;

mod contract {
    use super::{Place, store, store_contract};

    store_contract!(persistent store, async { Place::new() });
}

/// A project of its own in the emulator.
struct Place {
    project: String,
    host: String,
}

impl Place {
    fn new() -> Self {
        Self { project: new_project(), host: shared(Kind::FirestoreNative).host() }
    }

    fn store(&self) -> FirestoreStore {
        self.store_in(DEFAULT_DATABASE)
    }

    fn store_in(&self, database: &str) -> FirestoreStore {
        let at = DatabaseLocation {
            project: self.project.clone(),
            database: database.to_owned(),
            emulator: Some(self.host.clone()),
        };
        FirestoreStore::new(at, Arc::new(NoCredentials))
    }

    /// A call of our own, whatever comes of it. `path` follows `documents`.
    async fn call(&self, method: reqwest::Method, path: &str, body: serde_json::Value) -> reqwest::Response {
        let url =
            format!("http://{}/v1/projects/{}/databases/(default)/documents{path}", self.host, self.project);
        http().request(method, url).bearer_auth("owner").json(&body).send().await.unwrap()
    }

    /// Does by hand what a person does in the console.
    async fn by_hand(&self, method: reqwest::Method, path: &str, body: serde_json::Value) {
        let answer = self.call(method, &format!("/{path}"), body).await;
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// As another client of the database.
    async fn post(&self, method: &str, body: serde_json::Value) -> serde_json::Value {
        self.call(reqwest::Method::POST, &format!(":{method}"), body).await.json().await.unwrap()
    }

    async fn delete_by_hand(&self, id: MappingId) {
        self.by_hand(reqwest::Method::DELETE, &format!("CaseMapping/{id}"), json!({})).await;
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
        let path = format!("CaseMapping/{id}?updateMask.fieldPaths=details&currentDocument.exists=true");
        self.by_hand(reqwest::Method::PATCH, &path, json!({"fields": {"details": {"stringValue": "{"}}}))
            .await;
    }
}

fn linked(number: usize, id: usize) -> CaseMapping {
    CaseMapping { company_case_id: Some(company(id)), ..of_google(number) }
}

#[tokio::test]
async fn documents_are_named_and_typed_as_documented() {
    let place = Place::new();
    let store = place.store();
    let mut mapping = linked(51_234_456, 10_001);
    mapping.resolved_at = Some(now());
    let mapping = create(&store, mapping).await;
    store.set_poll(Side::Google, Some(now()), &PollMemory::default()).await.unwrap();
    let digits = mapping.id.to_string();
    assert_eq!(digits.len(), 16, "{digits}");
    let url = |path: &str| {
        format!("http://{}/v1/projects/{}/databases/(default)/documents/{path}", place.host, place.project)
    };
    let read = async |path: &str| {
        let answer = http().get(url(path)).bearer_auth("owner").send().await.unwrap();
        answer.json::<serde_json::Value>().await.unwrap()["fields"].take()
    };
    let mut fields = read(&format!("CaseMapping/{}", mapping.id)).await;
    for hidden in ["details", "revision"] {
        assert!(!fields[hidden].take().is_null(), "{hidden}");
        fields.as_object_mut().unwrap().remove(hidden);
    }
    assert_eq!(
        fields,
        json!({
            "googleCaseName": {"stringValue": "organizations/1/cases/51234456"},
            "googleCaseNumber": {"stringValue": "51234456"},
            "companyCaseID": {"stringValue": "10001"},
            "newContentAt": {"timestampValue": "2026-03-01T12:00:00.123456Z"},
            "resolvedAt": {"timestampValue": "2026-03-01T12:00:00.123456Z"},
            "companyUpdatesSyncedAt": {"timestampValue": "2026-03-01T12:00:00.123456Z"},
            "googleUpdatesSyncedAt": {"nullValue": null},
            "outageCommentSentToGoogle": {"booleanValue": false},
            "outageCommentSentToCompany": {"booleanValue": false},
            "priority": {"integerValue": "2"},
            "needsWatching": {"booleanValue": true},
        })
    );
    let mut global = read("Global/1").await;
    let memory = global.as_object_mut().unwrap().remove("google_poll_memory").unwrap();
    assert!(memory["stringValue"].is_string(), "{memory}");
    assert_eq!(global, json!({"google_last_polled_at": {"timestampValue": "2026-03-01T12:00:00.123456Z"}}));
    for key in ["google:51234456", "company:10001"] {
        let key = read(&format!("CaseMappingKey/{key}")).await;
        assert_eq!(key, json!({"mapping": {"integerValue": digits}}));
    }
}

#[tokio::test]
async fn operations_are_counted_as_they_are_billed() {
    let place = Place::new();
    let store = place.store();
    let counts = |reads, writes, deletes| OperationCounts { reads, writes, deletes };
    let mut before = store.operation_counts();
    assert_eq!(before, counts(0, 0, 0));
    let mut check = |what: &str, expected| {
        let after = store.operation_counts();
        assert_eq!(after - before, expected, "{what}");
        before = after;
    };
    let mapping = create(&store, of_google(1)).await;
    check("create: the mapping and its key", counts(0, 2, 0));
    store.find_by_google(mapping.google_case_name.as_ref().unwrap()).await.unwrap();
    check("find", counts(1, 0, 0));
    store.find_by_company(&company(1)).await.unwrap();
    check("find nothing", counts(1, 0, 0));
    let mapping = store.update(&mapping).await.unwrap();
    check("update what was seen in this version", counts(0, 1, 0));
    let linked = CaseMapping { company_case_id: Some(company(1)), ..mapping };
    let linked = store.update(&linked).await.unwrap();
    check("link", counts(0, 2, 0));
    let elsewhere = place.store();
    elsewhere.update(&linked).await.unwrap();
    assert_eq!(elsewhere.operation_counts(), counts(1, 1, 0), "update by an instance that has not seen it");
    assert!(matches!(store.update(&linked).await, Err(StoreError::Conflict(_))));
    check("update what another instance has changed", counts(1, 0, 0));
    let linked = store.get(linked.id).await.unwrap().unwrap();
    check("get", counts(1, 0, 0));
    store.list(MappingFilter::NeedsWatching, None, 100).await.unwrap();
    check("list one", counts(1, 0, 0));
    store.list(MappingFilter::ResolvedBefore(now()), None, 100).await.unwrap();
    check("list none", counts(1, 0, 0));
    store.delete(&linked).await.unwrap();
    check("delete: the mapping and its keys", counts(1, 0, 3));
    store.set_poll(Side::Google, Some(now()), &PollMemory::default()).await.unwrap();
    check("watermark", counts(0, 1, 0));
    store.global().await.unwrap();
    check("global", counts(1, 0, 0));
    store.check().await.unwrap();
    check("first check", counts(1, 0, 1));
    store.check().await.unwrap();
    check("further check", counts(1, 0, 0));
}

/// Compares the counts of `crates/testkit/src/harness/billed.rs` over another store with those of Firestore: the benchmark and the tests
/// without an emulator rely on them.
#[tokio::test]
async fn what_is_counted_over_another_store_is_what_firestore_bills() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let (firestore, billed) = (place.store(), Billed::over(Arc::new(sqlite)));
    let stores: [&dyn Store; 2] = [&firestore, &billed];
    let mut steps = 0;
    macro_rules! step {
        ($what:literal, |$store:ident, $mapping:ident| $work:expr, $mappings:expr) => {{
            let before = [firestore.operation_counts(), billed.counts()];
            let mut done = Vec::new();
            for ($store, $mapping) in stores.into_iter().zip($mappings) {
                done.push($work);
            }
            let after = [firestore.operation_counts(), billed.counts()];
            let [theirs, ours] = [after[0] - before[0], after[1] - before[1]];
            assert_eq!(ours, theirs, $what);
            steps += 1;
            done
        }};
    }
    let none = || [(), ()];
    let old = step!("create", |store, _none| create(store, of_google(1)).await, none());
    step!("create again", |store, _none| store.create(of_google(1)).await.unwrap(), none());
    step!("create both", |store, _none| create(store, linked(2, 2)).await, none());
    step!("create what is half there", |store, _none| store.create(linked(1, 3)).await.unwrap(), none());
    step!("get", |store, mapping| store.get(mapping.id).await.unwrap(), &old);
    step!("find", |store, _none| store.find_by_google(&google("projects/p", 1)).await.unwrap(), none());
    step!("find none", |store, _none| store.find_by_company(&company(9)).await.unwrap(), none());
    let new = step!("update", |store, mapping| store.update(mapping).await.unwrap(), &old);
    step!("update what changed", |store, mapping| store.update(mapping).await.unwrap_err(), &old);
    let both = step!(
        "link",
        |store, mapping| {
            let linked = CaseMapping { company_case_id: Some(company(1)), ..mapping.clone() };
            store.update(&linked).await.unwrap()
        },
        &new
    );
    for filter in [
        MappingFilter::All,
        MappingFilter::NeedsWatching,
        MappingFilter::Open,
        MappingFilter::ResolvedBefore(now()),
    ] {
        step!("list", |store, _none| store.list(filter, None, 100).await.unwrap().mappings.len(), none());
    }
    step!("list a part", |store, _none| store.list(MappingFilter::All, None, 1).await.unwrap().next, none());
    let resolved = step!(
        "resolve",
        |store, mapping| {
            let resolved =
                CaseMapping { resolved_at: Some(now() - chrono::Duration::days(31)), ..mapping.clone() };
            store.update(&resolved).await.unwrap()
        },
        &both
    );
    step!(
        "list what is resolved",
        |store, _none| store
            .list(MappingFilter::ResolvedBefore(now()), None, 100)
            .await
            .unwrap()
            .mappings
            .len(),
        none()
    );
    step!("delete", |store, mapping| store.delete(mapping).await.unwrap(), &resolved);
    step!("delete again", |store, mapping| store.delete(mapping).await.unwrap(), &resolved);
    step!(
        "watermark",
        |store, _none| store.set_poll(Side::Google, Some(now()), &PollMemory::default()).await.unwrap(),
        none()
    );
    step!(
        "watermark stays",
        |store, _none| store.set_poll(Side::Google, Some(now()), &PollMemory::default()).await.unwrap(),
        none()
    );
    step!("global", |store, _none| store.global().await.unwrap(), none());
    step!("check", |store, _none| store.check().await.unwrap(), none());
    step!("check again", |store, _none| store.check().await.unwrap(), none());
    assert_eq!(steps, 24);
}

#[tokio::test]
async fn databases_of_a_project_are_kept_apart() {
    let place = Place::new();
    let (one, other) = (place.store(), place.store_in("second"));
    let mapping = create(&one, of_google(1)).await;
    assert_eq!(other.get(mapping.id).await.unwrap(), None);
    create(&other, of_google(1)).await;
}

/// Whoever deletes a mapping in the console leaves its keys behind.
#[tokio::test]
async fn a_mapping_that_was_deleted_by_hand_can_be_made_again() {
    let place = Place::new();
    let store = place.store();
    let deleted = create(&store, linked(1, 1)).await;
    place.delete_by_hand(deleted.id).await;
    let again = create(&store, linked(1, 1)).await;
    assert!(
        matches!(store.create(linked(1, 2)).await.unwrap(), Created::Existing(mapping) if mapping == again)
    );
    // By linking as well.
    place.delete_by_hand(again.id).await;
    let other = create(&store, of_google(2)).await;
    let linked = CaseMapping { company_case_id: Some(company(1)), ..other };
    let linked = store.update(&linked).await.unwrap();
    assert_eq!(store.find_by_company(&company(1)).await.unwrap(), Some(linked));
    let taken = CaseMapping { company_case_id: Some(company(1)), ..create(&store, of_google(3)).await };
    assert!(matches!(store.update(&taken).await, Err(StoreError::Duplicate { .. })));
}

// R13
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let direct = Place::new();
    let relay = Relay::to(direct.host.clone()).await;
    let place = Place { project: direct.project.clone(), host: relay.host() };
    let store = place.store();
    store.check().await.unwrap();
    // The commit is what holds the number: names are compressed, what is stored is not.
    relay.lose_next_answer_to("51234456");
    let created = create(&store, of_google(51_234_456)).await;
    assert!(relay.has_lost_it());
    let all = direct.store().list(MappingFilter::All, None, 10).await.unwrap().mappings;
    assert_eq!(all, std::slice::from_ref(&created));
    relay.lose_next_answer_to("51234456");
    let updated = store.update(&created).await.unwrap();
    assert!(relay.has_lost_it());
    assert_eq!(direct.store().get(created.id).await.unwrap().as_ref(), Some(&updated));
    relay.lose_next_answer_to("51234456");
    store.delete(&updated).await.unwrap();
    assert!(relay.has_lost_it());
    assert_eq!(direct.store().get(created.id).await.unwrap(), None);
    relay.lose_next_answer_to("company_last_polled_at");
    store.set_poll(Side::Company, Some(now()), &PollMemory::default()).await.unwrap();
    assert!(relay.has_lost_it());
    assert_eq!(direct.store().global().await.unwrap().company_last_polled_at, Some(now()));
}

/// Somebody else's transaction holds the mapping for longer than the emulator lets anybody wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_aborted_is_tried_again() {
    let place = Place::new();
    let store = place.store();
    let mapping = create(&store, of_google(1)).await;
    let document =
        format!("projects/{}/databases/(default)/documents/CaseMapping/{}", place.project, mapping.id);
    let transaction =
        place.post("beginTransaction", json!({"options": {"readWrite": {}}})).await["transaction"].take();
    let read = json!({"documents": [document], "transaction": transaction});
    assert!(place.post("batchGet", read).await[0]["found"].is_object());
    let update = tokio::spawn({
        let mapping = mapping.clone();
        async move { store.update(&mapping).await }
    });
    // What one try gets, twice in a row: the store's first has got it by then.
    for _ in 0..2 {
        let write = json!({"writes": [{"delete": document}]});
        assert_eq!(place.post("commit", write).await["error"]["status"], "ABORTED");
    }
    assert!(!update.is_finished());
    place.post("rollback", json!({"transaction": transaction})).await;
    let updated = update.await.unwrap().unwrap();
    assert_eq!(place.store().get(mapping.id).await.unwrap(), Some(updated));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_and_comes_back_is_used_again() {
    let emulator = Emulator::start(Kind::FirestoreNative);
    let place = Place { project: new_project(), host: emulator.host() };
    let store = place.store();
    store.check().await.unwrap();
    let port = emulator.port();
    drop(emulator);
    let variable = "unset FIRESTORE_EMULATOR_HOST to use the real project";
    for error in [
        store.check().await.unwrap_err(),
        store.global().await.unwrap_err(),
        store.create(of_google(1)).await.unwrap_err(),
        store.find_by_google(&google("projects/p", 1)).await.unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Unavailable(reason) if reason.contains(variable)), "{error}");
    }
    let _emulator = Emulator::start_on(Kind::FirestoreNative, port);
    answers_again(&store).await;
    create(&store, of_company(1)).await;
}

#[tokio::test]
async fn a_store_that_was_never_reached_says_so_and_recovers() {
    let port = {
        let emulator = Emulator::start(Kind::FirestoreNative);
        emulator.port()
    };
    let place = Place { project: new_project(), host: format!("127.0.0.1:{port}") };
    let store = place.store();
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    let _emulator = Emulator::start_on(Kind::FirestoreNative, port);
    answers_again(&store).await;
}

#[tokio::test]
async fn a_database_in_the_other_mode_is_named_as_such() {
    let place = Place { project: new_project(), host: shared(Kind::FirestoreDatastoreMode).host() };
    let error = place.store().check().await.unwrap_err().to_string();
    assert!(error.contains("change store.url to datastore:"), "{error}");
}
