//! Ten thousand cases wait after a long outage and are worked off (`R21`), in virtual time: the real tasks on a real store, between
//! systems in memory, with a queue that knows nothing of urgency and delivers by time alone, as Cloud Tasks does.
//! `benches/overload.rs` measures the same with the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use casebridge::clock::{Clock as _, ManualClock};
use casebridge::entities::{
    CaseMapping, CompanyCaseId, Entry, FirstSeen, GoogleCaseName, ItemKind, Lease, Notice, PollMemory,
    Priority, Side, Sides, Source, Tolerance, ToleranceTable,
};
use casebridge::queue::{QueuedTask, SyncGoogleCase};
use casebridge::store::{MappingFilter, SqliteStore, Store as _};
use casebridge::tasks::{self, Caller, Deps, Mode, Outcome, Task, TaskSettings};
use chrono::{DateTime, Duration, TimeZone as _, Utc};

use casebridge_testkit::memory::{Desk, Line, connector, settings};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

const CASES: u32 = 10_000;
/// What the upstreams let through in a minute.
const PACE: u32 = 500;

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap()
}

/// The connector between two systems, and the service that works for it.
struct World {
    clock: Arc<ManualClock>,
    google: Arc<Desk>,
    company: Arc<Desk>,
    line: Arc<Line>,
    deps: Deps,
    minute: u32,
    delivered: usize,
    longest_line: usize,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::at(start());
        let (google, company) =
            (Desk::new(Side::Google, clock.clone()), Desk::new(Side::Company, clock.clone()));
        let line = Line::new(clock.clone());
        // Of outages nobody is told here: that is another suite's.
        let patient =
            Tolerance { fresh: Duration::days(99), default: Duration::days(99), stale: Duration::days(99) };
        let systems = Sides { google: google.clone(), company: company.clone() };
        let settings = TaskSettings {
            windows: Sides { google: Duration::minutes(30), company: Duration::minutes(5) },
            ..settings(ToleranceTable([patient; 5]), PACE)
        };
        let deps = connector(&clock, systems, &line, settings);
        Self { clock, google, company, line, deps, minute: 0, delivered: 0, longest_line: 0 }
    }

    /// So many pairs in step, and then an outage of a day in which something is said on each at Google.
    async fn after_a_long_outage(cases: u32) -> Self {
        let world = Self::new();
        for number in 0..cases {
            world.pair(number).await;
        }
        for side in Side::BOTH {
            world.deps.store.set_poll(side, Some(start()), &PollMemory::default()).await.unwrap();
        }
        world.clock.advance(Duration::hours(20));
        for number in 0..cases {
            world.clock.advance(Duration::milliseconds(100));
            world.google.says(&google_name(number), "news", false);
        }
        world.clock.advance(Duration::hours(4));
        world
    }

    async fn pair(&self, number: u32) {
        let (google, company) = (google_name(number), number.to_string());
        // Few are urgent, as it is with cases.
        let priority = Priority::ALL[(number as usize % 16).min(4)];
        self.google.opens(google.clone(), None, priority);
        self.company.opens(company.clone(), Some(google.clone()), priority);
        let name = FirstSeen::Google(GoogleCaseName::parse(&google).unwrap());
        let now = self.clock.now();
        let mut mapping = CaseMapping::first_seen(name, Some(priority), Some(now), now);
        mapping.company_case_id = Some(CompanyCaseId::parse(&company).unwrap());
        mapping.linked_at = Some(now);
        mapping.dirty = Sides::default();
        mapping.carried_updated_at = Sides { google: Some(now), company: Some(now) };
        mapping.move_stored_synced_at(Side::Google, now);
        mapping.record(Entry {
            side: Side::Google,
            kind: ItemKind::Comment,
            id: "said long ago".to_owned(),
            source: Source::Notice(Notice::NowSyncing),
            source_at: None,
            written_at: None,
            parts: None,
        });
        self.deps.store.create(mapping).await.unwrap();
    }

    async fn run(&self, task: Task) -> Outcome {
        tasks::run(&self.deps, task, Caller::Queue, Mode::Act).await.outcome
    }

    /// Cron, and then a minute in which `capacity` tasks are delivered, if so many are due. Returns early when `done`.
    async fn minute(&mut self, capacity: u32, done: impl Fn(&Self) -> bool) {
        assert_eq!(self.run(Task::PollGoogle).await, Outcome::Done);
        assert_eq!(self.run(Task::PollCompany).await, Outcome::Done);
        if self.minute.is_multiple_of(5) {
            assert_eq!(self.run(Task::DetectOutages).await, Outcome::Done);
        }
        self.minute += 1;
        self.longest_line = self.longest_line.max(self.line.len());
        for _ in 0..capacity {
            if done(self) {
                return;
            }
            self.clock.advance(Duration::milliseconds(60_000 / i64::from(capacity)));
            if let Some(task) = self.line.next_due(self.clock.now()) {
                self.deliver(task).await;
            }
        }
    }

    async fn deliver(&mut self, task: QueuedTask) {
        let parsed = Task::parse(task.kind, task.body.to_string().as_bytes()).unwrap();
        self.delivered += 1;
        if self.run(parsed).await == Outcome::Failed {
            self.line.put(self.clock.now() + Duration::minutes(5), task);
        }
    }

    fn is_carried(&self, google: &str) -> bool {
        self.company.held().values().any(|(case, _)| case.counterpart.as_deref() == Some(google))
    }

    /// How many syncs are delivered from the next poll on until a case that somebody opens now stands on the other side.
    async fn syncs_before_a_fresh_case(&mut self, number: u32, capacity: u32) -> usize {
        let fresh = google_name(number);
        self.google.opens(fresh.clone(), None, Priority::P0);
        let before = self.delivered;
        let limit = self.minute + 60;
        while !self.is_carried(&fresh) {
            assert!(self.minute < limit, "{fresh} is never carried");
            self.minute(capacity, |world| world.is_carried(&fresh)).await;
        }
        self.delivered - before - 1
    }

    async fn waiting(&self) -> usize {
        let found = self.deps.store.list(MappingFilter::NeedsWatching, None, usize::MAX / 2).await;
        found.unwrap().mappings.len()
    }

    /// On how many company cases so many comments stand.
    fn company_cases_with(&self, comments: usize) -> usize {
        self.company.held().values().filter(|(_, held)| held.len() == comments).count()
    }
}

fn google_name(number: u32) -> String {
    format!("organizations/1/cases/{}", 100_000 + number)
}

#[tokio::test]
async fn a_fresh_p0_is_carried_among_the_first_and_every_case_in_the_end() {
    let mut world = World::after_a_long_outage(CASES).await;
    let mut before_p0 = Vec::new();
    world.minute(PACE, |_| false).await;
    assert_eq!(world.waiting().await + world.company_cases_with(1), CASES as usize);
    while world.company_cases_with(1) < CASES as usize || world.line.len() > 0 {
        world.minute(PACE, |_| false).await;
        if world.minute <= 25 && world.minute.is_multiple_of(8) {
            let syncs = world.syncs_before_a_fresh_case(CASES + world.minute, PACE).await;
            before_p0.push((world.waiting().await, syncs));
        }
        assert!(world.minute < 120, "{} cases starve", world.waiting().await);
    }
    println!(
        "{CASES} cases: {} syncs in {} minutes, at most {} queued; (waiting, syncs before a fresh P0): {before_p0:?}",
        world.delivered, world.minute, world.longest_line
    );
    assert_eq!((before_p0.len(), world.waiting().await), (3, 0));
    for (waiting, syncs) in before_p0 {
        assert!(waiting > 500, "all is carried already: nothing was shown");
        assert!(syncs <= 500, "{syncs} syncs came before a fresh P0: more than a minute's worth");
    }
    assert_eq!(world.company_cases_with(1), CASES as usize, "each carried once");
    assert!(world.longest_line < 5_000, "{} tasks were queued at once", world.longest_line);
}

#[tokio::test]
async fn after_the_queue_stood_still_a_fresh_p0_waits_for_some_minutes_worth_only() {
    let mut world = World::after_a_long_outage(CASES).await;
    // The polls run, and nothing is delivered.
    for _ in 0..12 {
        world.minute(1, |_| true).await;
        world.clock.advance(Duration::minutes(1));
    }
    let queued = world.line.len();
    let syncs = world.syncs_before_a_fresh_case(CASES, PACE).await;
    println!("{queued} queued after twelve minutes; {syncs} syncs before a fresh P0");
    assert!(syncs <= queued && queued <= 6 * PACE as usize, "{queued} queued, {syncs} before a fresh P0");
}

#[tokio::test]
async fn what_the_crm_did_not_take_while_it_was_down_does_not_hold_up_a_fresh_p0() {
    let mut world = World::new();
    for number in 0..2_000 {
        world.pair(number).await;
    }
    world.clock.advance(Duration::hours(1));
    world.minute(PACE, |_| false).await;
    // For an hour and a half the CRM is down, and people at Google go on.
    *world.company.down.lock().unwrap() = true;
    for minute in 0..90 {
        for number in 0..20 {
            world.google.says(&google_name((minute * 20 + number) % 2_000), "news", false);
        }
        assert_eq!(world.run(Task::PollGoogle).await, Outcome::Done);
        assert_eq!(world.run(Task::PollCompany).await, Outcome::Failed);
        if minute % 5 == 0 {
            world.run(Task::DetectOutages).await;
        }
        for _ in 0..PACE {
            world.clock.advance(Duration::milliseconds(120));
            if let Some(task) = world.line.next_due(world.clock.now()) {
                world.deliver(task).await;
            }
        }
    }
    *world.company.down.lock().unwrap() = false;
    let (waiting, queued) = (world.waiting().await, world.line.len());
    assert!(waiting > 1_500, "{waiting} wait");
    let syncs = world.syncs_before_a_fresh_case(CASES, PACE).await;
    println!("{waiting} wait, {queued} queued; {syncs} syncs before a fresh P0");
    assert!(queued < 500, "{queued} tasks were repeated all the time");
    assert!(syncs <= 500, "{syncs} syncs came before a fresh P0: more than a minute's worth");
    while world.waiting().await > 0 {
        world.minute(PACE, |_| false).await;
        assert!(world.minute < 120, "{} cases starve", world.waiting().await);
    }
}

/// Places of each of the two queues of syncs, and the pauses before a task is repeated: those of `queue.yaml`.
const PLACES: usize = 16;
const BACKOFF: [i64; 6] = [10, 20, 40, 80, 160, 300];

/// Waits of healthy cases, in seconds from the comment to its copy, while `hanging` pairs do not answer at the CRM's side and get a comment
/// every seven minutes as well. Each second of virtual time, the queue fills its places with what is due.
async fn waits_of_healthy_cases(hanging: u32) -> Vec<i64> {
    const HEALTHY: u32 = 10;
    const SECONDS: i64 = 40 * 60;
    // While it runs, the runtime moves the time only when the test does.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || stopped.recv());
    let world = World::new();
    for number in 0..HEALTHY + hanging {
        world.pair(number).await;
        if number >= HEALTHY {
            world.company.hanging.lock().unwrap().insert(number.to_string());
        }
    }
    world.clock.advance(Duration::hours(1));
    let mut running = FuturesUnordered::new();
    let mut tries: BTreeMap<String, usize> = BTreeMap::new();
    let (mut said, mut waits) = (BTreeMap::new(), Vec::new());
    for second in 0..SECONDS {
        if second % 60 == 0 {
            assert_eq!(world.run(Task::PollGoogle).await, Outcome::Done);
        }
        for number in 0..HEALTHY + hanging {
            // Seven minutes, and other seconds for each.
            if second < SECONDS - 300 && (second + i64::from(number) * 13) % 420 == 50 {
                world.google.says(&google_name(number), "news", false);
                if number < HEALTHY {
                    said.insert(number, second);
                }
            }
        }
        for _ in running.len()..PLACES {
            let Some(task) = world.line.next_due(world.clock.now()) else { break };
            let parsed = Task::parse(task.kind, task.body.to_string().as_bytes()).unwrap();
            let deps = &world.deps;
            running.push(
                async move { (tasks::run(deps, parsed, Caller::Queue, Mode::Act).await.outcome, task) },
            );
        }
        // Until all that run wait for an answer.
        loop {
            if let Some(Some((outcome, task))) = running.next().now_or_never() {
                let name = task.name.as_ref().unwrap().as_str().to_owned();
                if outcome == Outcome::Failed {
                    let failures = tries.entry(name).or_default();
                    let pause = BACKOFF[(*failures).min(5)];
                    *failures += 1;
                    world.line.put(world.clock.now() + Duration::seconds(pause), task);
                } else {
                    tries.remove(&name);
                }
            } else if running.len() == world.company.unanswered.load(Ordering::SeqCst) {
                break;
            }
            tokio::task::yield_now().await;
        }
        said.retain(|number, at| {
            let copies = world.company.held()[&number.to_string()].1.len();
            let is_there = copies == world.google.held()[&google_name(*number)].1.len();
            if is_there {
                waits.push(second - *at);
            }
            !is_there
        });
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        world.clock.advance(Duration::seconds(1));
    }
    assert_eq!(said.keys().copied().collect::<BTreeSet<u32>>(), BTreeSet::new(), "all are carried");
    drop((running, stop));
    waits.sort_unstable();
    waits
}

#[tokio::test(start_paused = true)]
async fn cases_that_hang_hold_up_no_healthy_one() {
    let alone = waits_of_healthy_cases(0).await;
    let (median, longest) = (alone[alone.len() / 2], *alone.last().unwrap());
    for hanging in [20, 50] {
        let waits = waits_of_healthy_cases(hanging).await;
        println!(
            "{hanging} pairs hang: median {} s, longest {} s; without: {median} s, {longest} s",
            waits[waits.len() / 2],
            waits.last().unwrap()
        );
        assert_eq!(waits.len(), alone.len());
        assert!(waits[waits.len() / 2] <= 2 * median, "{waits:?}");
        assert!(*waits.last().unwrap() <= 2 * longest, "{waits:?}");
    }
}

/// A file of SQLite in which a process that is killed left a pair with its lease.
#[tokio::test]
async fn a_process_that_was_killed_keeps_nobody_waiting_for_its_lease_and_one_that_lives_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("casebridge.db");
    let mut world = World::new();
    world.deps.store = Arc::new(SqliteStore::open(&file).unwrap());
    world.pair(1).await;
    world.clock.advance(Duration::hours(1));
    world.google.says(&google_name(1), "news", false);
    let other = SqliteStore::open(&file).unwrap();
    let name = FirstSeen::Google(GoogleCaseName::parse(&google_name(1)).unwrap());
    let FirstSeen::Google(google) = &name else { unreachable!() };
    let mut mapping = other.find_by_google(google).await.unwrap().unwrap();
    let (holder, expires_at) =
        (format!("{}-run", other.process().unwrap()), world.clock.now() + Duration::minutes(15));
    mapping.lease = Some(Lease { holder, expires_at });
    other.update(&mapping).await.unwrap();

    let task = || Task::SyncGoogleCase(SyncGoogleCase::of(google_name(1)));
    assert_eq!(world.run(task()).await, Outcome::Done);
    assert_eq!(world.company_cases_with(1), 0, "the other process works on it");
    world.clock.advance(Duration::seconds(83));
    assert!(world.line.next_due(world.clock.now()).is_none(), "it has worked for five minutes");
    world.clock.advance(Duration::seconds(1));
    let again = world.line.next_due(world.clock.now()).unwrap();
    drop(other);
    world.deliver(again).await;
    assert_eq!(world.company_cases_with(1), 1);
    assert!(world.line.next_due(world.clock.now() + Duration::days(1)).is_none());
}

/// The other direction of a pair was at work for a moment.
#[tokio::test]
async fn a_sync_that_finds_its_pair_leased_comes_back_after_a_second() {
    let mut world = World::new();
    world.pair(1).await;
    world.clock.advance(Duration::hours(1));
    world.google.says(&google_name(1), "news", false);
    let google = GoogleCaseName::parse(&google_name(1)).unwrap();
    let leased = async |world: &World, holder: Option<&str>| {
        let mut mapping = world.deps.store.find_by_google(&google).await.unwrap().unwrap();
        let expires_at = world.clock.now() + world.deps.settings.lease;
        mapping.lease = holder.map(|holder| Lease { holder: holder.to_owned(), expires_at });
        world.deps.store.update(&mapping).await.unwrap();
    };
    leased(&world, Some("the other direction")).await;
    let task = Task::SyncGoogleCase(SyncGoogleCase::of(google_name(1)));
    assert_eq!(world.run(task.clone()).await, Outcome::Done);
    let by_hand = tasks::run(&world.deps, task, Caller::Person, Mode::Act).await;
    assert_eq!(by_hand.outcome, Outcome::Failed, "a person is told");
    for seconds in [1, 1, 2, 4, 8, 16, 32, 64] {
        world.clock.advance(Duration::milliseconds(seconds * 1_000 - 1));
        assert!(world.line.next_due(world.clock.now()).is_none(), "{seconds} s");
        world.clock.advance(Duration::milliseconds(1));
        let again = world.line.next_due(world.clock.now()).unwrap();
        world.deliver(again).await;
        assert_eq!(world.company_cases_with(1), 0);
    }
    leased(&world, None).await;
    world.clock.advance(Duration::seconds(64));
    let again = world.line.next_due(world.clock.now()).unwrap();
    world.deliver(again).await;
    assert_eq!((world.company_cases_with(1), world.line.len()), (1, 0));
}

#[tokio::test]
async fn syncs_that_find_their_pair_leased_do_not_multiply() {
    let mut world = World::new();
    world.pair(1).await;
    world.clock.advance(Duration::hours(1));
    world.google.says(&google_name(1), "news", false);
    let google = GoogleCaseName::parse(&google_name(1)).unwrap();
    let mut mapping = world.deps.store.find_by_google(&google).await.unwrap().unwrap();
    let expires_at = world.clock.now() + world.deps.settings.lease;
    mapping.lease = Some(Lease { holder: "a process that died".to_owned(), expires_at });
    world.deps.store.update(&mapping).await.unwrap();
    let task = Task::SyncGoogleCase(SyncGoogleCase::of(google_name(1)));
    for _ in 0..50 {
        assert_eq!(world.run(task.clone()).await, Outcome::Done);
    }
    // A queue may deliver everything twice.
    let mut deliveries = 0;
    while world.line.len() > 0 {
        world.clock.advance(Duration::milliseconds(500));
        while let Some(again) = world.line.next_due(world.clock.now()) {
            world.deliver(again.clone()).await;
            world.deliver(again).await;
            deliveries += 2;
        }
    }
    assert_eq!(world.company_cases_with(1), 1);
    assert!(deliveries <= 40, "{deliveries} deliveries while one lease lasted");
}

#[tokio::test(start_paused = true)]
async fn a_slow_file_goes_on_while_it_moves_and_ends_when_it_stalls() {
    let minutes = std::time::Duration::from_mins;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || stopped.recv());
    // Pieces, the pause before each, and whether the file arrives: the deadline of a task is four minutes.
    for (pieces, pause, arrives) in
        [(20, minutes(1), true), (2, minutes(10), false), (100, minutes(1), false)]
    {
        let mut world = World::new();
        (world.deps.settings.deadline, world.deps.settings.lease) = (minutes(4), Duration::minutes(5));
        world.pair(1).await;
        world.clock.advance(Duration::hours(1));
        *world.google.file.lock().unwrap() = Some((pieces, pause));
        world.google.says(&google_name(1), "see the file", false);
        let began = tokio::time::Instant::now();
        let task = Task::SyncGoogleCase(SyncGoogleCase::of(google_name(1)));
        let store = world.deps.store.clone();
        let seconds = async {
            loop {
                // The store's thread works in real time. When this is answered, it has done all that the task had asked of it.
                store.global().await.unwrap();
                tokio::time::advance(std::time::Duration::from_secs(1)).await;
            }
        };
        let outcome: Outcome = tokio::select! {
            outcome = world.run(task) => outcome,
            () = seconds => unreachable!("it has no end"),
        };
        let took = began.elapsed();
        assert_eq!(outcome == Outcome::Done, arrives, "{pieces} pieces, each after {pause:?}: {took:?}");
        assert_eq!(world.company.arrived.load(Ordering::SeqCst), usize::from(arrives), "{took:?}");
        assert!(took < minutes(51), "{took:?}: no queue waits for that");
        let google = GoogleCaseName::parse(&google_name(1)).unwrap();
        let mapping = world.deps.store.find_by_google(&google).await.unwrap().unwrap();
        assert_eq!(mapping.lease, None);
        assert_eq!(
            mapping.state.refusals.len(),
            usize::from(pieces == 100),
            "what is too slow is explained in time"
        );
    }
    drop(stop);
}
