//! Cost of an idle connector, which must not grow with the number of its mappings (`R8`): counted as Firestore bills.
//! `benches/store_operations.rs` prints the whole table.

use std::sync::Arc;

use casebridge::clock::Clock as _;
use casebridge::entities::{Side, Sides};
use casebridge::http::SHARED_FOR;
use casebridge::sandbox::csapi::PageStyle;
use casebridge::sandbox::faults::Call;
use casebridge::store::{OperationCounts, SqliteStore, modify};
use chrono::Duration;

use casebridge_testkit::harness::backend::Embedded;
use casebridge_testkit::harness::billed::Billed;
use casebridge_testkit::harness::calls;
use casebridge_testkit::harness::counted::{CountedQueue, QueueCounts};
use casebridge_testkit::harness::crm::Crm;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::servicenow::ServiceNowKind;
use casebridge_testkit::harness::zendesk::ZendeskKind;
use casebridge_testkit::harness::{OUTAGE, Options, World, count, idle};

async fn world() -> (World, Arc<Billed>, tempfile::TempDir) {
    let (world, billed, _queue, folder) = counted_world().await;
    (world, billed, folder)
}

async fn counted_world() -> (World, Arc<Billed>, Arc<CountedQueue>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let billed = Arc::new(Billed::over(Arc::new(store)));
    let queue = Arc::new(CountedQueue::over(Embedded::with_store(billed.clone())));
    let backend = Some(queue.clone() as _);
    let world = World::with(&JiraKind, Options { backend, ..Options::default() }).await;
    (world, billed, queue, folder)
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

#[tokio::test]
async fn a_comment_costs_few_calls_while_its_case_is_in_the_polling_window() {
    // Where times are whole seconds, a case is read once more a minute or two after each change.
    let crms: [(&dyn Crm, &str, usize); 3] =
        [(&JiraKind, "Jira", 26), (&ZendeskKind, "Zendesk", 30), (&ServiceNowKind, "ServiceNow", 36)];
    for (crm, name, most) in crms {
        for side in Side::BOTH {
            let calls = calls::of_a_comment(crm, side).await;
            println!("a comment at {side}: {} calls to CSAPI, {} to {name}", calls[0], calls[1]);
            assert!(calls[0] + calls[1] <= most, "{name}, a comment at {side}: {calls:?}");
        }
    }
}

/// Returns the cost of an hour, of the store and the queue, in which a comment is said on that side, or none.
async fn an_hour_with(comment: Option<Side>) -> (OperationCounts, QueueCounts) {
    let (world, billed, queue, _folder) = counted_world().await;
    let (google, company) = world.pair().await;
    world.run_for(Duration::minutes(45)).await;
    let before = (billed.counts(), queue.counts());
    match comment {
        Some(Side::Google) => drop(world.google_says(&google, "It happens again")),
        Some(Side::Company) => drop(world.company_says(&company, "It happens again").await),
        None => {}
    }
    world.run_for(Duration::hours(1)).await;
    let copies = world.copies_in_crm(&company).await.len() + world.copies_at_google(&google).len();
    assert_eq!(copies, usize::from(comment.is_some()));
    (billed.counts() - before.0, queue.counts() - before.1)
}

#[tokio::test]
async fn a_comment_costs_few_operations_of_the_store_and_the_queue() {
    let idle = an_hour_with(None).await;
    for side in Side::BOTH {
        let busy = an_hour_with(Some(side)).await;
        let (store, queue) = (busy.0 - idle.0, (busy.1 - idle.1).billed());
        println!("a comment at {side}: {store:?}, {queue} operations of the queue");
        assert!(store.reads <= 12 && store.writes <= 6 && store.deletes == 0, "{side}: {store:?}");
        assert!(queue <= 12, "{side}: {queue}");
    }
}

#[tokio::test]
async fn the_records_of_many_comments_are_saved_together() {
    let (world, billed, _queue, _folder) = counted_world().await;
    let (google, company) = world.pair().await;
    world.run_for(Duration::minutes(45)).await;
    let texts: Vec<String> = (0..200).map(|number| format!("comment {number}")).collect();
    for text in &texts {
        world.google_says(&google, text);
    }
    let before = billed.counts();
    world.run_for(Duration::minutes(10)).await;
    assert_eq!(world.copies_in_crm(&company).await, texts);
    // Twenty of them are those of the polls.
    let writes = (billed.counts() - before).writes;
    println!("200 comments: {writes} writes");
    assert!(writes <= 45, "{writes}");
    let mapping = world.mapping().await;
    assert!(mapping.pending.is_empty(), "{:?}", mapping.pending);
}

/// Adds so many comments to the Google case of the only pair, a tenth of them to the company case, and notes all as carried.
async fn grow(world: &World, google: &str, company: &str, comments: usize) {
    for number in 0..comments {
        world.clock().advance(Duration::seconds(30));
        world.google_says(google, &format!("{number}: {}", "What happened then. ".repeat(50)));
        if number % 10 == 0 {
            world.company_says(company, &format!("{number}: {}", "What was done. ".repeat(50))).await;
        }
    }
    // No later sync goes back to them.
    world.clock().advance(Duration::days(1));
    let now = world.clock().now();
    let systems = &world.deps.systems;
    let updated_at = Sides {
        google: systems.google.get(google).await.unwrap().unwrap().updated_at,
        company: systems.company.get(company).await.unwrap().unwrap().updated_at,
    };
    let noted = modify(world.store.as_ref(), world.mapping().await, |mapping| {
        for side in Side::BOTH {
            mapping.carried(side, now, Sides { google: now, company: now });
        }
        mapping.carried_updated_at = updated_at;
        true
    });
    noted.await.unwrap();
}

#[tokio::test]
async fn a_comment_on_a_case_of_5000_is_carried_with_few_calls_and_one_page_of_each_list() {
    let world = World::new(&JiraKind).await;
    world.csapi.adjust(|switches| switches.page_style = PageStyle::Full);
    let (google, company) = world.pair().await;
    grow(&world, &google, &company, 5_000).await;
    let pages = |calls: &[Call]| calls.iter().filter(|call| call.path.contains("/comments?")).count();
    for say in [Side::Google, Side::Company, Side::Google] {
        // The pair leaves both windows.
        world.run_for(Duration::minutes(45)).await;
        calls::new(&world);
        let copies = async || match say {
            Side::Google => world.copies_in_crm(&company).await.len(),
            Side::Company => world.copies_at_google(&google).len(),
        };
        let before = copies().await;
        match say {
            Side::Google => drop(world.google_says(&google, "It happens again")),
            Side::Company => drop(world.company_says(&company, "It happens again").await),
        }
        for _ in 0..90 {
            if copies().await == before {
                world.run_for(Duration::seconds(1)).await;
            }
        }
        assert_eq!(copies().await, before + 1);
        let [to_google, to_jira] = calls::new(&world);
        assert_eq!(pages(&to_google), 1, "{to_google:#?}");
        assert!(to_google.len() + to_jira.len() <= 12, "{to_google:#?} {to_jira:#?}");
        // The first recheck reads the list to its end, since its order is not promised; the others read a page.
        world.run_for(Duration::minutes(40)).await;
        let [later, _] = calls::new(&world);
        let (read, first) =
            (pages(&later), later.iter().filter(|call| call.path.ends_with("/comments?pageSize=100")));
        println!("a comment at {say}: {} and {} calls; then {read} pages", to_google.len(), to_jira.len());
        assert_eq!(read, 51 + first.count() - 1);
    }
}

/// Returns the seconds until a comment on either side has arrived, for comments at every fifth second of a minute on both sides at once, and
/// the calls to both systems that each takes within 40 minutes, searches left out.
async fn both_sides_at_once(crm: &dyn Crm) -> (Vec<i64>, Vec<usize>) {
    let world = World::new(crm).await;
    let (google, company) = world.pair().await;
    let (mut waits, mut calls) = (Vec::new(), Vec::new());
    for second in (0..60).step_by(5) {
        world.run_for(Duration::minutes(46)).await;
        let into_the_minute = world.clock().now().timestamp() % 60;
        world.run_for(Duration::seconds(60 - into_the_minute + second)).await;
        calls::new(&world);
        let sizes =
            async || [world.copies_in_crm(&company).await.len(), world.copies_at_google(&google).len()];
        let before = sizes().await;
        let began = world.clock().now();
        world.google_says(&google, "It happens again");
        world.company_says(&company, "It happens here too").await;
        let mut waited = [None; 2];
        while waited.contains(&None) {
            let now = sizes().await;
            for side in 0..2 {
                if now[side] > before[side] {
                    waited[side].get_or_insert((world.clock().now() - began).num_seconds());
                }
            }
            world.run_for(Duration::seconds(1)).await;
        }
        waits.extend(waited.into_iter().flatten());
        world.run_for(Duration::minutes(40)).await;
        let searches = |call: &&Call| !call.path.contains("search");
        calls.push(calls::new(&world).iter().flatten().filter(searches).count());
    }
    waits.sort_unstable();
    (waits, calls)
}

#[tokio::test]
async fn both_directions_of_a_pair_do_not_run_at_once() {
    let (waits, calls) = both_sides_at_once(&JiraKind).await;
    println!("waits {waits:?}, calls {calls:?}");
    // A sync that finds changes of the other side queues its sync at once, so the next poll of either side brings both.
    assert!(*waits.last().unwrap() <= 31, "{waits:?}");
    // Where the two begin in the same second, one waits for the other's lease and reads everything again: 64 calls on the mean.
    assert!(calls.iter().sum::<usize>() <= 42 * calls.len(), "{calls:?}");
}

/// Returns the row of docs/costs.md for an idle hour with that interval of the polls.
async fn idle_hour(poll_every: Option<Duration>, name: &str) -> (String, usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let billed = Arc::new(Billed::over(Arc::new(store)));
    let backend = Some(Arc::new(Embedded::with_store(billed.clone())) as _);
    let poll_every = Sides { google: poll_every, company: poll_every };
    let world = World::with(&JiraKind, Options { backend, poll_every, ..Options::default() }).await;
    world.pair().await;
    world.run_for(Duration::minutes(45)).await;
    let calls = || (world.csapi.faults().calls().len(), world.company_faults().calls().len());
    let (before, counted) = (calls(), billed.counts());
    world.run_for(Duration::hours(1)).await;
    let (after, cost) = (calls(), billed.counts() - counted);
    let (google, company) = (after.0 - before.0, after.1 - before.1);
    (format!("| {name} | {google} | {company} | {} | {} |", cost.reads, cost.writes), google + company)
}

#[tokio::test]
async fn an_idle_hour_with_push_costs_a_fraction() {
    let (often, all) = idle_hour(None, "every minute").await;
    let (seldom, few) = idle_hour(Some(Duration::minutes(5)), "`push.poll_every = \"5m\"`").await;
    assert!(few * 3 < all, "{few} of {all} calls");
    println!("{often}\n{seldom}");
}

#[tokio::test]
async fn the_page_of_costs_has_the_calls_with_push() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/costs.md")).unwrap();
    let mut missing = Vec::new();
    let crms: [(&dyn Crm, &str); 3] =
        [(&JiraKind, "Jira"), (&ZendeskKind, "Zendesk"), (&ServiceNowKind, "ServiceNow")];
    for (crm, name) in crms {
        let mut cells = Vec::new();
        for say in Side::BOTH {
            let polled: usize = calls::of_a_comment(crm, say).await.iter().sum();
            let pushed: usize = calls::of_an_announced_comment(crm, say).await.iter().sum();
            assert!(pushed <= polled + 2, "{name}, {say}: {pushed} calls with push, {polled} without");
            cells.extend([polled, pushed].map(|calls| calls.to_string()));
        }
        let row = format!("| {name} | {} |", cells.join(" | "));
        if !page.contains(&row) {
            missing.push(row);
        }
    }
    assert!(missing.is_empty(), "docs/costs.md lacks\n{}", missing.join("\n"));
}

#[tokio::test]
async fn a_change_that_no_message_announces_arrives_by_the_next_seldom_poll() {
    let every = Some(Duration::minutes(5));
    let options = Options { poll_every: Sides { google: every, company: every }, ..Options::default() };
    let world = World::with(&JiraKind, options).await;
    let google = world.google_case("Disk is slow");
    // The first poll is due at once; so is one that a person asks for.
    world.run_for(Duration::minutes(8)).await;
    let company = world.mapping().await.company_case_id.unwrap().to_string();
    world.google_says(&google, "Unannounced");
    world.run_for(Duration::minutes(6)).await;
    assert_eq!(world.copies_in_crm(&company).await, ["Unannounced"]);
    let polled = world.deps.store.global().await.unwrap().last_polled_at(Side::Google);
    world.clock().advance(Duration::seconds(2));
    world.post("poll-google", serde_json::json!({})).await;
    assert_ne!(world.deps.store.global().await.unwrap().last_polled_at(Side::Google), polled);
    // Nobody takes the other side for down, or a pair for late, between two polls.
    world.run_for(Duration::hours(2)).await;
    assert_eq!(world.sizes().await, (1, 1));
    let texts = [world.google_texts(&google), world.company_texts(&company).await].concat();
    assert_eq!(count(&texts, OUTAGE), 0, "{texts:?}");
}
