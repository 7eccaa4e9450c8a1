//! Cost of an idle connector, which must not grow with the number of its mappings (`R8`): counted as Firestore bills.
//! `benches/store_operations.rs` prints the whole table.

use std::sync::Arc;

use casebridge::http::SHARED_FOR;
use casebridge::store::{OperationCounts, SqliteStore};
use chrono::Duration;

use casebridge_testkit::harness::backend::Embedded;
use casebridge_testkit::harness::billed::Billed;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::{Options, World, idle};

async fn world() -> (World, Arc<Billed>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let billed = Arc::new(Billed::over(Arc::new(store)));
    let backend = Some(Arc::new(Embedded::with_store(billed.clone())) as _);
    let world = World::with(&JiraKind, Options { backend, ..Options::default() }).await;
    (world, billed, folder)
}

/// Returns the cost of ten minutes with `open` open mappings and no changes.
async fn ten_idle_minutes(open: usize) -> OperationCounts {
    let (world, billed, _folder) = world().await;
    // The canary (R26): a linked case that each system has to show.
    world.pair().await;
    idle::open_mappings(&world, open).await;
    // Before the count starts: the first polls look back further, `Global` is created, and the pair leaves both windows.
    world.run_for(Duration::minutes(45)).await;
    let before = billed.counts();
    world.run_for(Duration::minutes(10)).await;
    billed.counts() - before
}

#[tokio::test]
async fn what_an_idle_minute_costs_does_not_grow_with_the_open_mappings() {
    let none = ten_idle_minutes(0).await;
    assert_eq!(ten_idle_minutes(300).await, none);
    // Twenty polls: each reads `Global` and writes the watermark. Two runs of `detect-outages`: each reads `Global`, and makes two
    // queries that find nothing, for dirty mappings and for late ones.
    assert_eq!(none, OperationCounts { reads: 20 + 2 * 3, writes: 20, deletes: 0 });
}

#[tokio::test]
async fn what_everybody_may_ask_for_costs_at_most_four_reads_a_minute_each() {
    let (world, billed, _folder) = world().await;
    let http = reqwest::Client::new();
    let before = billed.counts();
    for second in 0..60 {
        for path in ["/readyz", "/healthz/sync", "/healthz"] {
            let answer = http.get(format!("http://{}{path}", world.service)).send().await.unwrap();
            // No poll has run yet, so /healthz/sync fails.
            assert_eq!(answer.status().is_success(), path != "/healthz/sync", "{path}, second {second}");
        }
        world.clock().advance(Duration::seconds(1));
    }
    let each = u64::try_from(60 / SHARED_FOR.num_seconds()).unwrap();
    // The first check of the store also tries to write.
    assert_eq!(billed.counts() - before, OperationCounts { reads: 2 * each, writes: 0, deletes: 1 });
}
