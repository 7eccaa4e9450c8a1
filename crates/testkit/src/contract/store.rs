//! Contract of every store: one suite, run against each of them by [`store_contract!`].

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use casebridge::entities::{
    Canary, CaseMapping, CompanyCaseId, Dirty, Entry, FirstSeen, Global, GoogleCaseName, IndexLag, ItemKind,
    Lease, MappingId, Notice, Pending, PendingCreation, PendingStatus, PollMemory, Priority, Side, Sides,
    Source,
};
use casebridge::store::{Created, MappingFilter, Store, StoreError, modify};
use chrono::{DateTime, Duration, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};

/// Place for data that is empty at first, and the stores that share it.
#[async_trait]
pub trait StoreUnderTest: Send + Sync + 'static {
    /// Opens another store on the same data, as another instance of the program would do. If the data cannot be shared, it returns the
    /// same store again.
    async fn open(&self) -> Arc<dyn Store>;
}

/// Place that outlives its stores and can be reached without them.
#[async_trait]
pub trait PersistentUnderTest: StoreUnderTest {
    /// Makes the stored data of a mapping unreadable.
    async fn spoil(&self, id: MappingId);
}

/// Makes one test of each function of the suite: `store_contract!(module of the suite, place under test)`, with
/// `persistent` in front for a [`PersistentUnderTest`].
#[macro_export]
macro_rules! store_contract {
    (persistent $suite:ident, $place:expr) => {
        $crate::store_contract! { $suite, $place }
        $crate::store_contract! { @tests $suite, $place;
            what_was_stored_is_there_after_reopening
            what_cannot_be_read_is_an_error
        }
    };
    ($suite:ident, $place:expr) => {
        $crate::store_contract! { @tests $suite, $place;
            sixteen_creations_of_one_google_case_make_one_mapping
            sixteen_creations_of_one_company_case_make_one_mapping
            creations_that_share_one_of_their_cases_never_share_a_mapping
            an_existing_mapping_is_the_google_cases_first
            what_create_and_update_return_is_what_is_stored
            the_slower_of_two_updates_conflicts
            of_sixteen_updates_of_one_version_one_wins
            a_lease_is_taken_by_one
            a_lease_that_has_run_out_is_taken_over_by_one
            modify_under_contention_loses_nothing
            modify_may_refuse_and_may_find_the_mapping_gone
            a_case_that_is_mapped_cannot_be_gained
            of_sixteen_mappings_that_gain_one_case_one_wins
            a_case_that_is_given_up_may_be_mapped_again
            deleting_frees_both_cases
            deleting_goes_by_version
            an_id_is_not_given_out_again
            a_poll_is_kept_as_it_is_and_leaves_the_other_side_alone
            watermarks_hold_under_concurrency
            ten_thousand_mappings_are_paged
            lists_filter_and_page
            a_list_may_be_emptied_while_it_is_paged
            times_are_kept_to_the_microsecond
            every_field_comes_back
            text_comes_back_as_it_was
            a_mapping_may_be_large
            a_ledger_grows_and_shrinks_and_a_change_costs_what_is_new
            a_working_store_passes_its_check
        }
    };
    (@tests $suite:ident, $place:expr; $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $suite::$name(&$place.await).await;
            }
        )*
    };
}
pub use crate::store_contract;

const TASKS: usize = 16;
/// Number of mappings that every filter is tested on: more than fit into a few batches of Firestore's answers.
const MANY: usize = 2_500;

pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn now() -> DateTime<Utc> {
    time("2026-03-01T12:00:00.123456Z")
}

pub fn google(parent: &str, number: usize) -> GoogleCaseName {
    GoogleCaseName::parse(&format!("{parent}/cases/{number}")).unwrap()
}

pub fn company(id: usize) -> CompanyCaseId {
    CompanyCaseId::parse(&id.to_string()).unwrap()
}

pub fn of_google(number: usize) -> CaseMapping {
    CaseMapping::first_seen(
        FirstSeen::Google(google("organizations/1", number)),
        Some(Priority::P2),
        None,
        now(),
    )
}

pub fn of_company(id: usize) -> CaseMapping {
    CaseMapping::first_seen(FirstSeen::Company(company(id)), None, Some(now()), now())
}

fn linked(number: usize, id: usize) -> CaseMapping {
    let mut mapping = of_google(number);
    mapping.company_case_id = Some(company(id));
    mapping.linked_at = Some(now());
    mapping
}

/// Stores a mapping that must be new.
pub async fn create(store: &dyn Store, mapping: CaseMapping) -> CaseMapping {
    match store.create(mapping).await.unwrap() {
        Created::New(mapping) => mapping,
        Created::Existing(mapping) => panic!("exists: {mapping:?}"),
    }
}

/// Runs `work` in [`TASKS`] tasks at once, on two stores in turn.
async fn at_once<F, T>(place: &dyn StoreUnderTest, work: impl Fn(Arc<dyn Store>, usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let stores = [place.open().await, place.open().await];
    let start = Arc::new(tokio::sync::Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (work, start) = (work(Arc::clone(&stores[task % 2]), task), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

async fn all(store: &dyn Store, filter: MappingFilter, limit: usize) -> Vec<CaseMapping> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(filter, after, limit).await.unwrap();
        assert!(page.mappings.len() <= limit, "{} in a page of {limit}", page.mappings.len());
        all.extend(page.mappings);
        if page.next.is_none() {
            return all;
        }
        assert!(page.next > after, "{:?} after {after:?}", page.next);
        after = page.next;
    }
}

/// Asserts that exactly one outcome is new, and that the others are the same mapping; returns it.
fn one_is_new(outcomes: Vec<Result<Created, StoreError>>) -> CaseMapping {
    let mut new = Vec::new();
    let mut existing = Vec::new();
    for outcome in outcomes {
        match outcome.unwrap() {
            Created::New(mapping) => new.push(mapping),
            Created::Existing(mapping) => existing.push(mapping),
        }
    }
    let [new] = new.as_slice() else { panic!("{} are new", new.len()) };
    for mapping in existing {
        assert_eq!(mapping, *new);
    }
    new.clone()
}

// R9 (one mapping for a case)
pub async fn sixteen_creations_of_one_google_case_make_one_mapping(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    for round in 0..4 {
        let outcomes = at_once(place, |store, task| {
            let mut mapping = of_google(0);
            let parent =
                if task % 3 == 0 { "organizations/1".to_owned() } else { format!("projects/p{task}") };
            mapping.google_case_name = Some(google(&parent, 51_234_456 + round));
            async move { store.create(mapping).await }
        })
        .await;
        let mapping = one_is_new(outcomes);
        assert_eq!(all(&*store, MappingFilter::All, 100).await.len(), round + 1);
        let found = store.find_by_google(&google("projects/another", 51_234_456 + round)).await.unwrap();
        assert_eq!(found, Some(mapping));
    }
}

// R9 (one mapping for a case)
pub async fn sixteen_creations_of_one_company_case_make_one_mapping(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    for round in 0..4 {
        let outcomes =
            at_once(place, |store, _| async move { store.create(of_company(10_001 + round)).await }).await;
        let mapping = one_is_new(outcomes);
        assert_eq!(all(&*store, MappingFilter::All, 100).await.len(), round + 1);
        assert_eq!(store.find_by_company(&company(10_001 + round)).await.unwrap(), Some(mapping));
    }
}

// R9 (one mapping for a case)
pub async fn creations_that_share_one_of_their_cases_never_share_a_mapping(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let outcomes = at_once(place, |store, task| async move {
        (task, store.create(linked(task % 4, 100 + task / 4)).await.unwrap())
    })
    .await;
    for (task, outcome) in outcomes {
        let (Created::New(mapping) | Created::Existing(mapping)) = outcome;
        let number = mapping.google_case_name.as_ref().unwrap().number().parse::<usize>().unwrap();
        let id = mapping.company_case_id.as_ref().unwrap().as_str().parse::<usize>().unwrap();
        assert!(number == task % 4 || id == 100 + task / 4, "{mapping:?} for {task}");
    }
    let stored = all(&*store, MappingFilter::All, 100).await;
    let numbers: HashSet<_> = stored.iter().map(|mapping| mapping.case_id(Side::Google)).collect();
    let ids: HashSet<_> = stored.iter().map(|mapping| mapping.case_id(Side::Company)).collect();
    assert_eq!((numbers.len(), ids.len()), (stored.len(), stored.len()), "{stored:?}");
    assert!(!stored.is_empty());
}

// R9 (one mapping for a case)
pub async fn an_existing_mapping_is_the_google_cases_first(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let of_google = create(&*store, of_google(1)).await;
    let of_company = create(&*store, of_company(1)).await;
    for (mapping, expected) in
        [(linked(1, 1), &of_google), (linked(1, 2), &of_google), (linked(2, 1), &of_company)]
    {
        assert_eq!(store.create(mapping).await.unwrap(), Created::Existing(expected.clone()));
    }
    assert_eq!(store.find_by_google(&google("projects/p", 2)).await.unwrap(), None);
    assert_eq!(store.find_by_company(&company(2)).await.unwrap(), None);
}

pub async fn what_create_and_update_return_is_what_is_stored(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mut given = of_google(1);
    given.id = MappingId(42);
    given.version = 42;
    let created = create(&*store, given.clone()).await;
    assert_eq!(created, CaseMapping { id: created.id, version: created.version, ..given });
    assert_eq!(store.get(created.id).await.unwrap().as_ref(), Some(&created));
    let mut changed = created.clone();
    changed.company_case_id = Some(company(1));
    changed.dirty.google = None;
    changed.last_error = Some("the CRM did not answer".to_owned());
    let updated = store.update(&changed).await.unwrap();
    assert_ne!(updated.version, created.version);
    assert_eq!(updated, CaseMapping { version: updated.version, ..changed });
    for found in [
        store.get(created.id).await.unwrap(),
        store.find_by_google(&google("projects/p", 1)).await.unwrap(),
        store.find_by_company(&company(1)).await.unwrap(),
    ] {
        assert_eq!(found.as_ref(), Some(&updated));
    }
    assert_eq!(store.get(MappingId(0)).await.unwrap(), None);
    assert_eq!(store.get(MappingId(-1)).await.unwrap(), None);
    assert_eq!(store.get(MappingId(i64::MAX)).await.unwrap(), None);
}

// R12 (one sync of a case at a time)
pub async fn the_slower_of_two_updates_conflicts(place: &dyn StoreUnderTest) {
    let (one, other) = (place.open().await, place.open().await);
    let mapping = create(&*one, of_google(1)).await;
    let mut faster = other.get(mapping.id).await.unwrap().unwrap();
    faster.priority = Some(Priority::P0);
    let faster = other.update(&faster).await.unwrap();
    let mut slower = mapping.clone();
    slower.priority = Some(Priority::P4);
    assert!(matches!(one.update(&slower).await, Err(StoreError::Conflict(id)) if id == mapping.id));
    // Writing the same content again is a change as well.
    assert!(matches!(one.update(&mapping).await, Err(StoreError::Conflict(_))));
    assert_eq!(one.get(mapping.id).await.unwrap().as_ref(), Some(&faster));
    let again = one.update(&faster).await.unwrap();
    assert!(matches!(other.update(&faster).await, Err(StoreError::Conflict(_))));
    assert_eq!(other.get(mapping.id).await.unwrap(), Some(again));
}

// R12 (one sync of a case at a time)
pub async fn of_sixteen_updates_of_one_version_one_wins(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mapping = create(&*store, of_google(1)).await;
    let outcomes = at_once(place, |store, task| {
        let mut mapping = mapping.clone();
        mapping.last_error = Some(format!("task {task}"));
        async move { store.update(&mapping).await }
    })
    .await;
    let mut won = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(mapping) => won.push(mapping),
            Err(StoreError::Conflict(id)) => assert_eq!(id, mapping.id),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(store.get(mapping.id).await.unwrap(), won.pop());
}

/// Tries to take the lease in sixteen tasks at that time, for five minutes; returns the results of those that got it.
async fn try_to_lease(
    place: &dyn StoreUnderTest,
    mapping: &CaseMapping,
    at: DateTime<Utc>,
) -> Vec<CaseMapping> {
    let outcomes = at_once(place, |store, task| {
        let mapping = mapping.clone();
        async move {
            let lease =
                Lease { holder: format!("run {task} at {at}"), expires_at: at + Duration::minutes(5) };
            modify(&*store, mapping, |mapping| {
                let free = mapping.lease_is_free(at, Duration::days(1));
                if free {
                    mapping.lease = Some(lease.clone());
                }
                free
            })
            .await
            .unwrap()
        }
    })
    .await;
    outcomes.into_iter().flatten().collect()
}

// R12 (one sync of a case at a time)
pub async fn a_lease_is_taken_by_one(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mapping = create(&*store, of_google(1)).await;
    let taken = try_to_lease(place, &mapping, now()).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(store.get(mapping.id).await.unwrap().as_ref(), taken.first());
}

/// The lease's holder died: until the last microsecond nobody else gets the lease, and then exactly one task takes it over.
// R12 (one sync of a case at a time)
pub async fn a_lease_that_has_run_out_is_taken_over_by_one(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mapping = create(&*store, of_google(1)).await;
    let first = try_to_lease(place, &mapping, now()).await.pop().unwrap();
    let end = first.lease.as_ref().unwrap().expires_at;
    // A task with a stale copy of the mapping must fail as well.
    for seen in [&mapping, &first] {
        assert_eq!(try_to_lease(place, seen, end - Duration::microseconds(1)).await, []);
    }
    let taken = try_to_lease(place, &mapping, end).await;
    assert_eq!(taken.len(), 1);
    assert_ne!(taken[0].lease, first.lease);
    assert_eq!(store.get(mapping.id).await.unwrap().as_ref(), taken.first());
    // The old holder cannot overwrite it when it comes back to life.
    assert!(matches!(store.update(&first).await, Err(StoreError::Conflict(_))));
}

pub async fn modify_under_contention_loses_nothing(place: &dyn StoreUnderTest) {
    const ROUNDS: usize = 3;
    let store = place.open().await;
    let mapping = create(&*store, of_google(1)).await;
    for round in 0..ROUNDS {
        let mapping = store.get(mapping.id).await.unwrap().unwrap();
        at_once(place, |store, task| {
            let mapping = mapping.clone();
            async move {
                modify(&*store, mapping, |mapping| {
                    mapping.ledger.record(Entry {
                        side: Side::Google,
                        kind: ItemKind::Comment,
                        id: format!("{round} {task}"),
                        source: Source::Notice(Notice::Outage),
                        source_at: None,
                        written_at: Some(now()),
                        parts: None,
                    });
                    true
                })
                .await
                .unwrap()
                .unwrap();
            }
        })
        .await;
    }
    let ledger = store.get(mapping.id).await.unwrap().unwrap().ledger;
    let ids: BTreeSet<_> = ledger.entries().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids.len(), ROUNDS * TASKS);
}

pub async fn modify_may_refuse_and_may_find_the_mapping_gone(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let stale = create(&*store, of_google(1)).await;
    let mut current = stale.clone();
    current.paused = true;
    let current = store.update(&current).await.unwrap();
    // The closure gets the current mapping, not the caller's stale copy.
    let outcome = modify(&*store, stale.clone(), |mapping| {
        mapping.reopen_refused = Sides { google: true, company: true };
        !mapping.paused
    });
    assert_eq!(outcome.await.unwrap(), None);
    assert_eq!(store.get(stale.id).await.unwrap().as_ref(), Some(&current));
    store.delete(&current).await.unwrap();
    assert!(matches!(modify(&*store, stale, |_| true).await, Err(StoreError::Gone(id)) if id == current.id));
}

// R9 (one mapping for a case)
pub async fn a_case_that_is_mapped_cannot_be_gained(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let of_google = create(&*store, of_google(1)).await;
    let of_company = create(&*store, of_company(1)).await;
    let mut link = of_google.clone();
    link.company_case_id = Some(company(1));
    let error = store.update(&link).await.unwrap_err();
    assert!(matches!(error, StoreError::Duplicate { existing } if existing == of_company.id), "{error}");
    let mut link = of_company.clone();
    link.google_case_name = Some(google("projects/p", 1));
    let error = store.update(&link).await.unwrap_err();
    assert!(matches!(error, StoreError::Duplicate { existing } if existing == of_google.id), "{error}");
    // No mapping was changed, and none was lost.
    assert_eq!(store.get(of_google.id).await.unwrap().as_ref(), Some(&of_google));
    assert_eq!(store.get(of_company.id).await.unwrap().as_ref(), Some(&of_company));
    // A case without a mapping may be added, and another name of the case is the same case.
    link.google_case_name = Some(google("projects/p", 2));
    let linked = store.update(&link).await.unwrap();
    let renamed = CaseMapping { google_case_name: Some(google("organizations/1", 2)), ..linked };
    let renamed = store.update(&renamed).await.unwrap();
    assert_eq!(store.find_by_google(&google("projects/p", 2)).await.unwrap(), Some(renamed));
}

// R9 (one mapping for a case)
pub async fn of_sixteen_mappings_that_gain_one_case_one_wins(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mut mappings = Vec::new();
    for number in 0..TASKS {
        mappings.push(create(&*store, of_google(number)).await);
    }
    let outcomes = at_once(place, |store, task| {
        let mut mapping = mappings[task].clone();
        mapping.company_case_id = Some(company(7));
        async move { store.update(&mapping).await }
    })
    .await;
    let winner = store.find_by_company(&company(7)).await.unwrap().unwrap();
    let mut won = 0;
    for outcome in outcomes {
        match outcome {
            Ok(mapping) => {
                won += 1;
                assert_eq!(mapping, winner);
            }
            Err(StoreError::Duplicate { existing }) => assert_eq!(existing, winner.id),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
    let holders = all(&*store, MappingFilter::All, 100).await;
    assert_eq!(holders.iter().filter(|mapping| mapping.company_case_id.is_some()).count(), 1);
}

pub async fn a_case_that_is_given_up_may_be_mapped_again(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mut mapping = create(&*store, linked(1, 1)).await;
    mapping.company_case_id = None;
    mapping.google_case_name = Some(google("organizations/1", 2));
    let mapping = store.update(&mapping).await.unwrap();
    assert_eq!(store.find_by_company(&company(1)).await.unwrap(), None);
    assert_eq!(store.find_by_google(&google("organizations/1", 1)).await.unwrap(), None);
    assert_eq!(store.find_by_google(&google("organizations/1", 2)).await.unwrap(), Some(mapping));
    create(&*store, linked(1, 1)).await;
}

pub async fn deleting_frees_both_cases(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    for _ in 0..2 {
        let mapping = create(&*store, linked(1, 1)).await;
        store.delete(&mapping).await.unwrap();
        assert_eq!(store.get(mapping.id).await.unwrap(), None);
        assert_eq!(store.find_by_google(&google("organizations/1", 1)).await.unwrap(), None);
        assert_eq!(store.find_by_company(&company(1)).await.unwrap(), None);
        assert!(matches!(store.update(&mapping).await, Err(StoreError::Gone(id)) if id == mapping.id));
    }
    create(&*store, of_google(1)).await;
    create(&*store, of_company(1)).await;
}

pub async fn deleting_goes_by_version(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let stale = create(&*store, linked(1, 1)).await;
    let mut current = stale.clone();
    current.paused = true;
    let current = store.update(&current).await.unwrap();
    assert!(matches!(store.delete(&stale).await, Err(StoreError::Conflict(id)) if id == stale.id));
    assert_eq!(store.get(stale.id).await.unwrap().as_ref(), Some(&current));
    assert!(matches!(store.create(linked(1, 1)).await.unwrap(), Created::Existing(_)));
    store.delete(&current).await.unwrap();
    // Later deletions succeed, whatever version they have.
    store.delete(&current).await.unwrap();
    store.delete(&stale).await.unwrap();
}

pub async fn an_id_is_not_given_out_again(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mut ids = HashSet::new();
    for _ in 0..5 {
        let mapping = create(&*store, linked(1, 1)).await;
        assert!(ids.insert(mapping.id), "{}", mapping.id);
        store.delete(&mapping).await.unwrap();
    }
}

// R6 (a watermark moves last), R36 (two clocks)
pub async fn a_poll_is_kept_as_it_is_and_leaves_the_other_side_alone(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    assert_eq!(store.global().await.unwrap(), Global::default());
    let minute = |minute| now() + Duration::minutes(minute);
    let mut expected = Global::default();
    // The watermark may move back as well: a clock that was ahead is right again.
    for (side, at) in [
        (Side::Google, Some(minute(5))),
        (Side::Company, Some(minute(1))),
        (Side::Google, Some(minute(4))),
        (Side::Company, None),
        (Side::Google, Some(minute(4))),
        (Side::Company, Some(time("0001-01-01T00:00:00Z"))),
        (Side::Company, Some(minute(9))),
    ] {
        let memory = memory(at.unwrap_or(minute(77)));
        store.set_poll(side, at, &memory).await.unwrap();
        expected.set_poll(side, at, memory);
        assert_eq!(store.global().await.unwrap(), expected, "after {side} {at:?}");
    }
}

/// Returns the memory of a poll, with no field at its default.
fn memory(at: DateTime<Utc>) -> PollMemory {
    let canary = Canary { case: "10001".to_owned(), seen_at: at };
    PollMemory {
        began_at: Some(at),
        shown_until: Some(at),
        identified_at: Some(at),
        seen_at: Some(at),
        canaries: [("SUP".to_owned(), canary)].into(),
        found_last: true,
        probed_at: Some(at),
        searched_twice_at: Some(at),
        swept_day_at: Some(at),
        swept_all_at: Some(at),
        empty_since: Some(at),
        index_lag: Some(IndexLag { seconds: 90, at }),
        skew_seconds: Some(-3),
        doubt: Some("nobody knows us".to_owned()),
    }
}

// R6 (a watermark moves last)
pub async fn watermarks_hold_under_concurrency(place: &dyn StoreUnderTest) {
    at_once(place, |store, task| async move {
        // One writer for each side, as the queues guarantee: neither loses the other's writes.
        if task > 1 {
            return;
        }
        let side = Side::BOTH[task];
        for step in 0..20 {
            let at = now() + Duration::seconds(step);
            store.set_poll(side, Some(at), &memory(at)).await.unwrap();
            let global = store.global().await.unwrap();
            assert_eq!((global.last_polled_at(side), &global.memory[side]), (Some(at), &memory(at)));
        }
    })
    .await;
    let at = now() + Duration::seconds(19);
    let mut expected = Global::default();
    for side in Side::BOTH {
        expected.set_poll(side, Some(at), memory(at));
    }
    assert_eq!(place.open().await.global().await.unwrap(), expected);
}

/// Stores `count` mappings made by `make`, many at once; returns them in the order of their IDs.
async fn create_many(
    store: &Arc<dyn Store>,
    count: usize,
    make: impl Fn(usize) -> CaseMapping,
) -> Vec<CaseMapping> {
    let mut created: Vec<CaseMapping> = stream::iter((0..count).map(make))
        .map(|mapping| {
            let store = Arc::clone(store);
            async move { create(&*store, mapping).await }
        })
        .buffer_unordered(64)
        .collect()
        .await;
    created.sort_by_key(|mapping| mapping.id);
    created
}

pub async fn ten_thousand_mappings_are_paged(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let created = create_many(&store, 10_000, |number| {
        let mut mapping = of_google(number);
        if number % 50 != 0 {
            // This mapping is not dirty, has no notices, and has both its cases.
            mapping.company_case_id = Some(company(number));
            mapping.dirty = Sides::default();
        }
        mapping
    })
    .await;
    let ids = |mappings: &[CaseMapping]| mappings.iter().map(|mapping| mapping.id).collect::<Vec<_>>();
    assert_eq!(ids(&all(&*store, MappingFilter::All, 1000).await), ids(&created));
    let watched: Vec<_> = created.into_iter().filter(CaseMapping::needs_attention).collect();
    assert_eq!(watched.len(), 200);
    assert_eq!(all(&*store, MappingFilter::NeedsWatching, 100).await, watched);
}

pub async fn lists_filter_and_page(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let resolved_at = |number: usize| now() + Duration::minutes(i64::try_from(number).unwrap());
    let empty = store.list(MappingFilter::All, None, 10).await.unwrap();
    assert_eq!((empty.mappings, empty.next), (Vec::new(), None));
    let expected = create_many(&store, MANY, |number| {
        let mut mapping = linked(number, number);
        // One in 50 needs attention, for one of three reasons; half are resolved.
        mapping.dirty = Sides::default();
        match number % 150 {
            0 => mapping.dirty.company = Some(Dirty::since(now())),
            50 => mapping.outage_comment_sent_to_google = true,
            100 => mapping.company_case_id = None,
            _ => {}
        }
        mapping.resolved_at = (number % 2 == 1).then(|| resolved_at(number));
        mapping
    })
    .await;
    let boundary = resolved_at(MANY / 40 * 2 + 1);
    let check = async |filter, limit, holds: &dyn Fn(&CaseMapping) -> bool| {
        let expected: Vec<_> = expected.iter().filter(|mapping| holds(mapping)).collect();
        assert!(!expected.is_empty());
        let listed = all(&*store, filter, limit).await;
        let ids = |mappings: &[&CaseMapping]| mappings.iter().map(|mapping| mapping.id).collect::<Vec<_>>();
        assert_eq!(ids(&listed.iter().collect::<Vec<_>>()), ids(&expected), "{filter:?} by {limit}");
        assert!(listed.iter().eq(expected), "{filter:?} by {limit}");
    };
    check(MappingFilter::All, 1000, &|_| true).await;
    check(MappingFilter::All, MANY * 2, &|_| true).await;
    check(MappingFilter::NeedsWatching, 7, &CaseMapping::needs_attention).await;
    check(MappingFilter::NeedsWatching, 1, &CaseMapping::needs_attention).await;
    check(MappingFilter::Open, 300, &CaseMapping::is_open).await;
    let resolved =
        |at| move |mapping: &CaseMapping| mapping.resolved_at.is_some_and(|resolved| resolved < at);
    check(MappingFilter::ResolvedBefore(boundary), 100, &resolved(boundary)).await;
    // With a boundary one nanosecond later, the mapping that was resolved at the boundary is included.
    let later = boundary + Duration::nanoseconds(1);
    check(MappingFilter::ResolvedBefore(later), 100, &resolved(later)).await;
    let none = store.list(MappingFilter::ResolvedBefore(now()), None, 10).await.unwrap();
    assert_eq!((none.mappings, none.next), (Vec::new(), None));
    // A list may start after any ID, even if there is no such mapping; the last page is known to be the last.
    for (after, first) in [(MappingId(-5), Some(0)), (MappingId(0), Some(0)), (expected[9].id, Some(10))] {
        let page = store.list(MappingFilter::All, Some(after), 1).await.unwrap();
        assert_eq!(page.mappings.first(), first.map(|index| &expected[index]), "after {after}");
    }
    let last = expected.last().unwrap().id;
    for (after, limit) in [(last, 10), (MappingId(i64::MAX), 10), (MappingId(last.0 - 1), 1)] {
        let page = store.list(MappingFilter::All, Some(after), limit).await.unwrap();
        assert_eq!(page.next, None, "after {after}");
    }
}

/// Deletes while paging, as cleanup does.
pub async fn a_list_may_be_emptied_while_it_is_paged(place: &dyn StoreUnderTest) {
    const RESOLVED: usize = 25;
    let store = place.open().await;
    for number in 0..RESOLVED + 5 {
        let mut mapping = linked(number, number);
        mapping.resolved_at = (number < RESOLVED).then_some(now());
        create(&*store, mapping).await;
    }
    let filter = MappingFilter::ResolvedBefore(now() + Duration::seconds(1));
    let mut deleted = 0;
    let mut after = None;
    loop {
        let page = store.list(filter, after, 10).await.unwrap();
        for mapping in &page.mappings {
            store.delete(mapping).await.unwrap();
            deleted += 1;
        }
        if page.next.is_none() {
            break;
        }
        after = page.next;
    }
    assert_eq!(deleted, RESOLVED);
    assert_eq!(all(&*store, MappingFilter::All, 100).await.len(), 5);
}

pub async fn times_are_kept_to_the_microsecond(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    for (number, (given, kept)) in [
        ("2026-03-01T12:00:00.000001Z", "2026-03-01T12:00:00.000001Z"),
        ("2026-03-01T12:00:00.999999999Z", "2026-03-01T12:00:00.999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.999998Z", "1969-12-31T23:59:59.999998Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("+20000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut mapping = with_every_field(number, time(given));
        let created = create(&*store, mapping.clone()).await;
        mapping = with_every_field(number, time(kept));
        mapping.id = created.id;
        mapping.version = created.version;
        assert_eq!(created, mapping, "{given}");
        assert_eq!(store.get(created.id).await.unwrap(), Some(created.clone()), "{given}");
        // The time survives an update unchanged.
        let updated = store.update(&with_time(&created, time(given))).await.unwrap();
        assert_eq!(updated, CaseMapping { version: updated.version, ..created }, "{given}");
    }
    for (given, kept) in [
        ("2026-03-01T12:00:00.000001999Z", "2026-03-01T12:00:00.000001Z"),
        ("2026-03-01T12:00:00.000002Z", "2026-03-01T12:00:00.000002Z"),
    ] {
        store.set_poll(Side::Google, Some(time(given)), &PollMemory::default()).await.unwrap();
        assert_eq!(store.global().await.unwrap().google_last_polled_at, Some(time(kept)));
    }
}

fn with_time(mapping: &CaseMapping, at: DateTime<Utc>) -> CaseMapping {
    let number = mapping.google_case_name.as_ref().unwrap().number().parse().unwrap();
    CaseMapping { id: mapping.id, version: mapping.version, ..with_every_field(number, at) }
}

/// Returns a mapping with no field at its default, and with all times set to `at`.
fn with_every_field(number: usize, at: DateTime<Utc>) -> CaseMapping {
    let mut mapping = of_google(number);
    mapping.company_case_id = Some(company(number));
    mapping.new_content_at = at;
    mapping.resolved_at = Some(at);
    mapping.company_updates_synced_at = Some(at);
    mapping.google_updates_synced_at = Some(at);
    mapping.outage_comment_sent_to_google = true;
    mapping.outage_comment_sent_to_company = true;
    mapping.priority = Some(Priority::P0);
    mapping.created_at = at;
    mapping.origin = Side::Company;
    mapping.linked_at = Some(at);
    let waiting = Some(Dirty { case_updated_at: Some(at), ..Dirty::since(at) });
    mapping.dirty = Sides { google: waiting, company: waiting };
    mapping.carried_updated_at = Sides { google: Some(at), company: Some(at) };
    mapping.lease = Some(Lease { holder: "run 1".to_owned(), expires_at: at });
    let sources = [
        Source::Comment { id: "00123".to_owned(), part: 2 },
        Source::Attachment { id: "a".to_owned() },
        Source::Description { part: 3 },
        Source::Notice(Notice::NowSyncing),
        Source::Notice(Notice::Outage),
        Source::Notice(Notice::Resumed),
        Source::Notice(Notice::CannotReopen),
        Source::Notice(Notice::CounterpartGone),
    ];
    for (index, source) in sources.into_iter().enumerate() {
        let side = Side::BOTH[index % 2];
        let kind = if index % 3 == 0 { ItemKind::Comment } else { ItemKind::Attachment };
        let time = (index != 5).then_some(at);
        mapping.ledger.record(Entry {
            side,
            kind,
            id: format!("item {index}"),
            source: source.clone(),
            source_at: time,
            written_at: time,
            parts: None,
        });
        mapping.pending.push(Pending {
            side,
            kind,
            source,
            marker: format!("[Google Comment {index} by …]"),
            digest: None,
            size: time.map(|_| u64::MAX),
            source_at: time,
            attempted_at: at,
            parts: None,
        });
    }
    mapping.pending_creation = Some(PendingCreation { side: Side::Company, attempted_at: at });
    mapping.pending_status = Some(PendingStatus { side: Side::Google, closed: true, attempted_at: at });
    mapping.relinking = true;
    mapping.description_parts = u32::MAX;
    mapping.paused = true;
    mapping.gone = Some(Side::Google);
    mapping.reopen_refused = Sides { google: true, company: true };
    mapping.last_error = Some("the CRM answered 502".to_owned());
    mapping
}

pub async fn every_field_comes_back(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mut bare = of_company(1);
    bare.company_case_id = None;
    bare.priority = None;
    bare.google_updates_synced_at = None;
    bare.company_updates_synced_at = None;
    bare.dirty = Sides::default();
    let mut cases = vec![bare, of_google(2), of_company(3), with_every_field(4, now())];
    // Change each boolean and each option alone, so that mixed-up fields are noticed.
    let changes: [fn(&mut CaseMapping); 16] = [
        |mapping| mapping.resolved_at = None,
        |mapping| mapping.company_updates_synced_at = None,
        |mapping| mapping.google_updates_synced_at = None,
        |mapping| mapping.outage_comment_sent_to_google = false,
        |mapping| mapping.outage_comment_sent_to_company = false,
        |mapping| mapping.dirty.google = None,
        |mapping| mapping.dirty.company = Some(Dirty::since(now())),
        |mapping| mapping.carried_updated_at.company = None,
        |mapping| mapping.lease = None,
        |mapping| mapping.pending_creation = None,
        |mapping| mapping.pending_status = None,
        |mapping| mapping.relinking = false,
        |mapping| mapping.paused = false,
        |mapping| mapping.gone = Some(Side::Company),
        |mapping| mapping.reopen_refused.google = false,
        |mapping| mapping.reopen_refused.company = false,
    ];
    for (number, change) in (100..).zip(changes) {
        let mut mapping = with_every_field(number, now());
        change(&mut mapping);
        cases.push(mapping);
    }
    for (number, priority) in (200..).zip(Priority::ALL) {
        cases.push(CaseMapping { priority: Some(priority), ..of_google(number) });
    }
    for given in cases {
        let created = create(&*store, given.clone()).await;
        let given = CaseMapping { id: created.id, version: created.version, ..given };
        assert_eq!(created, given);
        assert_eq!(store.get(created.id).await.unwrap().as_ref(), Some(&given));
        let updated = store.update(&given).await.unwrap();
        let given = CaseMapping { version: updated.version, ..given };
        assert_eq!(store.get(created.id).await.unwrap(), Some(given));
    }
}

// R25 (odd content is content)
pub async fn text_comes_back_as_it_was(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mut mapping = of_google(1);
    for (index, text) in [
        "",
        " ",
        "Ünïcödé, 漢字, עברית, 👩‍👩‍👧‍👦, e\u{301}",
        "\u{0}\u{1}\u{7f}\u{2028}\r\n\t\u{feff}\u{fffd}\u{10ffff}",
        r#"'; DROP TABLE CaseMapping; -- "quoted" \ \u0000 {"a": [1]} <script>"#,
    ]
    .into_iter()
    .enumerate()
    {
        mapping.last_error = Some(text.to_owned());
        mapping.lease = Some(Lease { holder: text.to_owned(), expires_at: now() });
        mapping.pending.push(Pending {
            side: Side::Google,
            kind: ItemKind::Attachment,
            source: Source::Comment { id: text.to_owned(), part: 1 },
            marker: text.to_owned(),
            digest: None,
            size: None,
            source_at: None,
            attempted_at: now(),
            parts: None,
        });
        mapping.ledger.record(Entry {
            side: Side::Google,
            kind: ItemKind::Comment,
            id: text.to_owned(),
            source: Source::Attachment { id: text.to_owned() },
            source_at: None,
            written_at: None,
            parts: None,
        });
        mapping = if index == 0 {
            create(&*store, mapping).await
        } else {
            let updated = store.update(&mapping).await.unwrap();
            assert_eq!(updated, CaseMapping { version: updated.version, ..mapping });
            updated
        };
        assert_eq!(store.get(mapping.id).await.unwrap().as_ref(), Some(&mapping), "{text:?}");
    }
    // The longest and the oddest names, some of which differ only by case.
    for (number, id) in [
        ("x".repeat(128), "y".repeat(128)),
        ("X".repeat(128), "Y".repeat(128)),
        ("__id1__".to_owned(), "__id1__".to_owned()),
        ("a.b_c_d-e".to_owned(), "a.b_c-d".to_owned()),
        ("007".to_owned(), "007".to_owned()),
        ("7".to_owned(), "7".to_owned()),
    ] {
        let mut mapping = of_google(0);
        mapping.google_case_name =
            Some(GoogleCaseName::parse(&format!("projects/p/cases/{number}")).unwrap());
        mapping.company_case_id = Some(CompanyCaseId::parse(&id).unwrap());
        let created = create(&*store, mapping).await;
        let found = store.find_by_google(created.google_case_name.as_ref().unwrap()).await.unwrap();
        assert_eq!(found.as_ref(), Some(&created));
        let found = store.find_by_company(created.company_case_id.as_ref().unwrap()).await.unwrap();
        assert_eq!(found.as_ref(), Some(&created));
    }
}

pub async fn a_mapping_may_be_large(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    let mut mapping = of_google(1);
    for item in 0..3000 {
        mapping.ledger.record(Entry {
            side: Side::Company,
            kind: ItemKind::Comment,
            id: format!("{item:020}"),
            source: Source::Comment { id: format!("{item:020}"), part: 1 },
            source_at: Some(now()),
            written_at: Some(now()),
            parts: None,
        });
    }
    let created = create(&*store, mapping).await;
    assert_eq!(store.get(created.id).await.unwrap().as_ref(), Some(&created));
    let updated = store.update(&created).await.unwrap();
    assert_eq!(store.get(created.id).await.unwrap(), Some(updated));
}

/// Entry for the item with that number, of a time in its hour.
fn entry_of(number: usize) -> Entry {
    let at = now() + Duration::hours(i64::try_from(number / 1000).unwrap());
    Entry {
        side: Side::Company,
        kind: if number.is_multiple_of(11) { ItemKind::Attachment } else { ItemKind::Comment },
        id: format!("{number:032}"),
        source: if number.is_multiple_of(11) {
            Source::Attachment { id: format!("{number:040}") }
        } else {
            Source::Comment { id: format!("{number:040}"), part: 1 }
        },
        source_at: Some(at),
        written_at: Some(at),
        parts: Some(1),
    }
}

pub async fn a_ledger_grows_and_shrinks_and_a_change_costs_what_is_new(place: &dyn StoreUnderTest) {
    /// Number of entries: 20,000 comments and 2,000 files.
    const ALL: usize = 22_000;
    let store = place.open().await;
    let mut mapping = create(&*store, linked(1, 1)).await;
    let other = create(&*store, linked(2, 2)).await;
    let mut recorded = 0;
    // One by one at first, and later in larger steps: pages are written, merged and read again.
    for step in [1; 100].into_iter().chain([370; 59]).chain([ALL]) {
        for number in recorded..(recorded + step).min(ALL) {
            mapping.ledger.record(entry_of(number));
        }
        recorded = (recorded + step).min(ALL);
        let before = mapping.clone();
        mapping = store.update(&mapping).await.unwrap();
        assert_eq!(mapping, CaseMapping { version: mapping.version, ..before });
    }
    // Another instance, which has nothing in its memory.
    let elsewhere = place.open().await;
    for store in [&store, &elsewhere] {
        let found = store.get(mapping.id).await.unwrap().unwrap();
        assert_eq!(found, mapping);
        assert!(found.ledger.entries().eq((0..ALL).map(entry_of).collect::<Vec<_>>().iter()));
        let name = mapping.google_case_name.as_ref().unwrap();
        assert_eq!(store.find_by_google(name).await.unwrap().as_ref(), Some(&mapping));
        let name = mapping.company_case_id.as_ref().unwrap();
        assert_eq!(store.find_by_company(name).await.unwrap().as_ref(), Some(&mapping));
        let mut listed = all(&**store, MappingFilter::Open, 10).await;
        listed.sort_by_key(|mapping| mapping.id);
        let mut expected = vec![mapping.clone(), other.clone()];
        expected.sort_by_key(|mapping| mapping.id);
        assert_eq!(listed, expected);
    }
    let stale = mapping.clone();
    let horizon = Some(now() + Duration::hours(20));
    mapping.ledger.forget_before(Sides { google: horizon, company: horizon });
    mapping = store.update(&mapping).await.unwrap();
    assert!((2_000..4_000).contains(&mapping.ledger.len()), "{}", mapping.ledger.len());
    assert_eq!(elsewhere.get(mapping.id).await.unwrap().as_ref(), Some(&mapping));
    // Somebody who read the mapping before changes nothing, neither in it nor in its pages.
    assert!(matches!(elsewhere.update(&stale).await, Err(StoreError::Conflict(_))));
    assert!(matches!(elsewhere.delete(&stale).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.get(mapping.id).await.unwrap().as_ref(), Some(&mapping));
    elsewhere.delete(&mapping).await.unwrap();
    assert_eq!(store.get(mapping.id).await.unwrap(), None);
    // Its cases are mapped anew, and what was forgotten with the first mapping does not come back.
    let again = create(&*store, linked(1, 1)).await;
    assert!(store.get(again.id).await.unwrap().unwrap().ledger.is_empty());
}

pub async fn what_was_stored_is_there_after_reopening(place: &dyn PersistentUnderTest) {
    let store = place.open().await;
    let kept = create(&*store, with_every_field(1, now())).await;
    let deleted = create(&*store, linked(2, 2)).await;
    store.delete(&deleted).await.unwrap();
    store.set_poll(Side::Company, Some(now()), &PollMemory::default()).await.unwrap();
    drop(store);
    let store = place.open().await;
    assert_eq!(all(&*store, MappingFilter::All, 10).await, std::slice::from_ref(&kept));
    assert_eq!(store.global().await.unwrap().company_last_polled_at, Some(now()));
    store.update(&kept).await.unwrap();
    create(&*store, linked(2, 2)).await;
}

pub async fn what_cannot_be_read_is_an_error(place: &dyn PersistentUnderTest) {
    let store = place.open().await;
    let sound = create(&*store, linked(1, 1)).await;
    let spoilt = create(&*store, linked(2, 2)).await;
    place.spoil(spoilt.id).await;
    let errors = [
        store.get(spoilt.id).await.unwrap_err(),
        store.find_by_google(&google("organizations/1", 2)).await.unwrap_err(),
        store.find_by_company(&company(2)).await.unwrap_err(),
        store.create(linked(2, 3)).await.unwrap_err(),
        store.list(MappingFilter::All, None, 10).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        assert!(error.to_string().contains(&format!("mapping {}", spoilt.id)), "{error}");
    }
    // The other mappings are unchanged.
    assert_eq!(store.get(sound.id).await.unwrap().as_ref(), Some(&sound));
    store.update(&sound).await.unwrap();
}

pub async fn a_working_store_passes_its_check(place: &dyn StoreUnderTest) {
    let store = place.open().await;
    store.check().await.unwrap();
    create(&*store, of_google(1)).await;
    place.open().await.check().await.unwrap();
    // A check leaves nothing behind.
    assert_eq!(all(&*store, MappingFilter::All, 10).await.len(), 1);
    assert_eq!(store.global().await.unwrap(), Global::default());
    let many: Vec<()> = stream::iter(0..20)
        .map(Ok::<_, StoreError>)
        .map_ok(|_| store.check())
        .try_buffer_unordered(20)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(many.len(), 20);
}
