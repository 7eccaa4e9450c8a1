//! Cost of the connector, counted: operations on the store as Firestore bills them, and operations on the queue as Cloud
//! Tasks does. Real tasks between a sandbox CSAPI and a sandbox Jira, with a manual clock. Nothing is timed: the same numbers come
//! out on any machine, in any profile.
//!
//! `cargo bench --bench store_operations` prints the tables of docs/costs.md; with `-- --check` it checks that they are still
//! there. By default a store over SQLite is counted (`crates/testkit/src/harness/billed.rs`, compared with `FirestoreStore` by `tests/gcloud`); with
//! `FIRESTORE_EMULATOR_HOST` set it is Firestore's own, in that emulator.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails has nothing to say")]

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use casebridge::entities::Priority;
use casebridge::outbound::NoCredentials;
use casebridge::store::{
    DEFAULT_DATABASE, DatabaseLocation, FirestoreStore, OperationCounts, SqliteStore, Store,
};
use chrono::Duration;
use serde_json::json;

use casebridge_testkit::harness::backend::Embedded;
use casebridge_testkit::harness::billed::Billed;
use casebridge_testkit::harness::counted::{CountedQueue, QueueCounts};
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::{Options, World, idle};

/// Numbers of open mappings of an idle connector, one measurement each.
const OPEN: [usize; 4] = [0, 100, 1_000, 10_000];
/// Number of idle cases for the promise of `R8` (an idle case costs nothing): with them, a day costs less than [`LIMIT`].
const LIMIT_AT: usize = 1_000;
const LIMIT: OperationCounts = OperationCounts { reads: 20_000, writes: 10_000, deletes: 0 };
/// Time to run after a change. It is longer than either polling window and reaches into another hour, so every cost of the change is in.
const AFTERWARDS: Duration = Duration::minutes(60);

/// Number of health checkers that request /readyz: they are redundant, and their number is not documented.
const READINESS_CHECKERS: u32 = 4;
/// Number of locations that an uptime check sends requests from: all of them, unless some are chosen.
const UPTIME_PLACES: u32 = 6;
/// Interval of the uptime check: `--period=5` in docs/deploy.md.
const UPTIME_PERIOD: Duration = Duration::minutes(5);

// ---------------------------------------------------------------- counting

/// Operations so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    store: OperationCounts,
    queue: QueueCounts,
}

impl std::ops::Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { store: self.store - earlier.store, queue: self.queue - earlier.queue }
    }
}

/// Store that counts its operations.
enum Counted {
    Billed(Arc<Billed>),
    Firestore(Arc<FirestoreStore>),
}

impl Counted {
    fn new(folder: &tempfile::TempDir, emulator: Option<&str>) -> Self {
        let Some(host) = emulator else {
            let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
            return Self::Billed(Arc::new(Billed::over(Arc::new(store))));
        };
        let at = DatabaseLocation {
            // Each store gets a project of its own; the emulator accepts any name.
            project: format!("bench-{}", hex::encode(rand::random::<[u8; 6]>())),
            database: DEFAULT_DATABASE.to_owned(),
            emulator: Some(host.to_owned()),
        };
        Self::Firestore(Arc::new(FirestoreStore::new(at, Arc::new(NoCredentials))))
    }

    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Billed(store) => store.clone(),
            Self::Firestore(store) => store.clone(),
        }
    }

    fn counts(&self) -> OperationCounts {
        match self {
            Self::Billed(store) => store.counts(),
            Self::Firestore(store) => store.operation_counts(),
        }
    }
}

/// Connector whose costs are counted.
struct Bench {
    world: World,
    store: Counted,
    queue: Arc<CountedQueue>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(emulator: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Counted::new(&folder, emulator);
        let queue = Arc::new(CountedQueue::over(Embedded::with_store(store.store())));
        let options = Options { backend: Some(queue.clone()), ..Options::default() };
        let world = World::with(&JiraKind, options).await;
        Self { world, store, queue, _folder: folder }
    }

    fn counts(&self) -> Counts {
        Counts { store: self.store.counts(), queue: self.queue.counts() }
    }

    /// Runs cron and the queues for a time, and returns the operations of that time.
    async fn run_for(&self, duration: Duration) -> Counts {
        let before = self.counts();
        self.world.run_for(duration).await;
        self.counts() - before
    }
}

// ---------------------------------------------------------------- measuring

/// Cost of an idle hour: that of the tasks, and that of health checks and the uptime check.
struct Idle {
    open: usize,
    tasks: Counts,
    checks: OperationCounts,
}

impl Idle {
    async fn measure(open: usize, emulator: Option<&str>) -> Self {
        let bench = Bench::start(emulator).await;
        // The canary (R26): a linked case that each system has to show. The cases of the other mappings are in neither system.
        bench.world.pair().await;
        idle::open_mappings(&bench.world, open).await;
        bench.run_for(AFTERWARDS).await;
        let tasks = bench.run_for(AFTERWARDS).await;
        // The first readiness check of a process also tries to write.
        ask(&bench.world, "/readyz").await;
        let before = bench.counts().store;
        let mut asked: Vec<(Duration, &str)> = Vec::new();
        times(&mut asked, "/readyz", readiness_interval(), READINESS_CHECKERS);
        times(&mut asked, "/healthz/sync", UPTIME_PERIOD, UPTIME_PLACES);
        asked.sort();
        let began = bench.world.deps.clock.now();
        for (at, path) in asked {
            bench.world.clock().set(began + at);
            ask(&bench.world, path).await;
        }
        Self { open, tasks, checks: bench.counts().store - before }
    }

    fn hour(&self) -> OperationCounts {
        OperationCounts {
            reads: self.tasks.store.reads + self.checks.reads,
            writes: self.tasks.store.writes + self.checks.writes,
            deletes: self.tasks.store.deletes + self.checks.deletes,
        }
    }

    fn day(&self) -> OperationCounts {
        let hour = self.hour();
        OperationCounts { reads: hour.reads * 24, writes: hour.writes * 24, deletes: hour.deletes * 24 }
    }
}

/// Adds the times of the requests of an hour by `askers` that are not synchronised, each one request in an `interval`.
fn times<'a>(asked: &mut Vec<(Duration, &'a str)>, path: &'a str, interval: Duration, askers: u32) {
    let rounds = i32::try_from(AFTERWARDS.num_seconds() / interval.num_seconds()).unwrap();
    for round in 0..rounds {
        for asker in 0..askers {
            let shift = interval * i32::try_from(asker).unwrap() / i32::try_from(askers).unwrap();
            asked.push((interval * round + shift, path));
        }
    }
}

/// Returns the interval of the readiness check in app.yaml.
fn readiness_interval() -> Duration {
    let app = include_str!("../app.yaml");
    let check = app.split_once("readiness_check:").unwrap().1;
    let interval = check.lines().find_map(|line| line.trim().strip_prefix("check_interval_sec: ")).unwrap();
    Duration::seconds(interval.parse().unwrap())
}

/// Sends a request and ignores the status: without polls, `/healthz/sync` reports that they are late.
async fn ask(world: &World, path: &str) {
    reqwest::get(format!("http://{}{path}", world.service)).await.unwrap();
}

/// Cost of one action of people, beyond the cost of the idle time.
struct Event {
    name: &'static str,
    cost: Counts,
}

/// Measures the actions of people, one after the other, on one pair.
async fn events(emulator: Option<&str>, idle: &Counts) -> Vec<Event> {
    let bench = Bench::start(emulator).await;
    let world = &bench.world;
    bench.run_for(AFTERWARDS).await;
    let mut events = Vec::new();
    macro_rules! event {
        ($name:literal, $happens:expr) => {{
            let before = bench.counts();
            let happened = $happens;
            bench.run_for(AFTERWARDS).await;
            events.push(Event { name: $name, cost: bench.counts() - before - *idle });
            happened
        }};
    }
    let case = event!("a new Google case", world.google_case("Disk is slow"));
    let company = world.mapping().await.company_case_id.unwrap().to_string();
    event!("a comment at Google", world.google_says(&case, "Which disk?"));
    event!("a comment in the CRM", world.company_says(&company, "All of them.").await);
    event!("a file at Google", world.google_attaches(&case, "log.txt", b"slow"));
    event!("a file in the CRM", world.company_attaches(&company, "trace.txt", b"slower").await);
    event!("a priority changed in the CRM", world.desk.sets_priority(&company, Priority::P1).await);
    event!("a case closed in the CRM", world.desk.closes(&company).await);
    assert_eq!(world.sizes().await, (1, 1));
    assert_eq!(world.copies_in_crm(&company).await, ["Which disk?"]);
    assert_eq!(world.copies_at_google(&case), ["All of them."]);
    assert!(world.mapping().await.resolved_at.is_some());
    let from_crm = event!("a new company case", world.company_case("Network is slow").await);
    let other = world
        .mappings()
        .await
        .into_iter()
        .find(|mapping| mapping.company_case_id.as_ref().is_some_and(|id| id.as_str() == from_crm));
    let other = other.unwrap().google_case_name.unwrap().to_string();
    event!("a case closed at Google", world.csapi.close(&other).unwrap());
    assert!(world.mappings().await.iter().all(|mapping| !mapping.is_open()));
    world.clock().advance(Duration::days(31));
    let before = bench.counts();
    let (status, report) = world.post("cleanup", json!({})).await;
    assert_eq!((status, &report["deleted"]), (200, &json!(2)), "{report}");
    let cleanup = bench.counts() - before;
    // Two mappings were deleted; a run that finds nothing costs one read.
    let each = OperationCounts {
        reads: cleanup.store.reads / 2,
        writes: cleanup.store.writes / 2,
        deletes: cleanup.store.deletes / 2,
    };
    events.push(Event {
        name: "a mapping cleaned up",
        cost: Counts { store: each, queue: QueueCounts::default() },
    });
    events
}

// ---------------------------------------------------------------- cost of a month

/// List prices in US dollars, without any discount. Their sources and dates are in docs/costs.md.
mod prices {
    /// Firestore, for 100,000 documents, in a multi-region (nam5, eur3): the most expensive kind of location.
    pub(super) const READS: f64 = 0.06;
    pub(super) const WRITES: f64 = 0.18;
    pub(super) const DELETES: f64 = 0.02;
    /// Free operations a day, in the one free database of a project.
    pub(super) const FREE_READS: f64 = 50_000.0;
    pub(super) const FREE_WRITES: f64 = 20_000.0;
    pub(super) const FREE_DELETES: f64 = 20_000.0;
    /// Cloud Tasks, for a million operations. The next constant is the number of free operations a month.
    pub(super) const TASKS: f64 = 0.40;
    pub(super) const FREE_TASKS: f64 = 1_000_000.0;
    /// App Engine flexible in Iowa: a processor for an hour, a GB of memory for an hour, a GB of disk for a month.
    pub(super) const PROCESSOR: f64 = 0.0526;
    pub(super) const MEMORY: f64 = 0.0071;
    pub(super) const DISK: f64 = 0.04;
}

/// Assumptions about the activity on a case.
mod assumed {
    pub(super) const DAYS: f64 = 30.0;
    pub(super) const HOURS: f64 = 730.0;
    /// Events for each open case in a month: comments each way, files each way, changes of its priority.
    pub(super) const COMMENTS: f64 = 10.0;
    pub(super) const FILES: f64 = 1.0;
    pub(super) const PRIORITIES: f64 = 0.5;
    /// Cases opened in a month for each case that is open at any time, half of them on either side. As many are closed, and as many
    /// mappings cleaned up.
    pub(super) const NEW: f64 = 1.0;
    /// Resources that app.yaml asks for, and those that the platform's own processes take.
    pub(super) const PROCESSORS: f64 = 1.0;
    pub(super) const MEMORY: f64 = 0.6 + 0.4;
    pub(super) const DISK: f64 = 10.0;
}

/// Operations in a month.
#[derive(Debug, Clone, Copy, Default)]
struct Month {
    reads: f64,
    writes: f64,
    deletes: f64,
    queue: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
impl Month {
    fn add(&mut self, cost: Counts, times: f64) {
        self.reads += cost.store.reads as f64 * times;
        self.writes += cost.store.writes as f64 * times;
        self.deletes += cost.store.deletes as f64 * times;
        self.queue += cost.queue.billed() as f64 * times;
    }

    fn of(open: usize, idle: &Idle, events: &[Event]) -> Self {
        let mut month = Self::default();
        let hours = 24.0 * assumed::DAYS;
        month.add(idle.tasks, hours);
        month.add(Counts { store: idle.checks, queue: QueueCounts::default() }, hours);
        let open = open as f64;
        for event in events {
            let times = match event.name {
                "a comment at Google" | "a comment in the CRM" => assumed::COMMENTS,
                "a file at Google" | "a file in the CRM" => assumed::FILES,
                "a priority changed in the CRM" => assumed::PRIORITIES,
                "a mapping cleaned up" => assumed::NEW,
                "a new Google case"
                | "a new company case"
                | "a case closed in the CRM"
                | "a case closed at Google" => assumed::NEW / 2.0,
                other => panic!("how often is {other}?"),
            };
            month.add(event.cost, times * open);
        }
        month
    }

    fn firestore(self, free: bool) -> f64 {
        let billed = |operations: f64, free_a_day: f64, price: f64| {
            let free = if free { free_a_day * assumed::DAYS } else { 0.0 };
            (operations - free).max(0.0) / 100_000.0 * price
        };
        billed(self.reads, prices::FREE_READS, prices::READS)
            + billed(self.writes, prices::FREE_WRITES, prices::WRITES)
            + billed(self.deletes, prices::FREE_DELETES, prices::DELETES)
    }

    fn tasks(self) -> f64 {
        (self.queue - prices::FREE_TASKS).max(0.0) / 1_000_000.0 * prices::TASKS
    }
}

fn machine() -> f64 {
    assumed::HOURS * (assumed::PROCESSORS * prices::PROCESSOR + assumed::MEMORY * prices::MEMORY)
        + assumed::DISK * prices::DISK
}

// ---------------------------------------------------------------- printing

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn tables(idle: &[Idle], events: &[Event]) -> String {
    let mut text = String::new();
    let minute = |count: u64| {
        let average = count as f64 / AFTERWARDS.num_minutes() as f64;
        format!("{average:.1}")
    };
    writeln!(
        text,
        "| open mappings | reads a minute: tasks | checks | writes a minute | reads a day | writes a day |"
    )
    .unwrap();
    writeln!(text, "| ---: | ---: | ---: | ---: | ---: | ---: |").unwrap();
    for measured in idle {
        let day = measured.day();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            thousands(measured.open as f64),
            minute(measured.tasks.store.reads),
            minute(measured.checks.reads),
            minute(measured.hour().writes),
            thousands(day.reads as f64),
            thousands(day.writes as f64),
        )
        .unwrap();
    }
    writeln!(text, "\n| what happens | reads | writes | deletes | queue operations |").unwrap();
    writeln!(text, "| --- | ---: | ---: | ---: | ---: |").unwrap();
    for Event { name, cost } in events {
        let OperationCounts { reads, writes, deletes } = cost.store;
        writeln!(text, "| {name} | {reads} | {writes} | {deletes} | {} |", cost.queue.billed()).unwrap();
    }
    writeln!(text, "\n| open cases | reads | writes | deletes | queue operations | Firestore | without its free quota | Cloud Tasks | App Engine | a month |").unwrap();
    writeln!(text, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |").unwrap();
    for open in [10, 100, 1_000] {
        // The cost of an idle hour does not depend on the number of open mappings, as `broken_promises` checks.
        let month = Month::of(open, &idle[0], events);
        let sum = month.firestore(true) + month.tasks() + machine();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | ${:.2} | ${:.2} | ${:.2} | ${:.2} | ${sum:.2} |",
            thousands(open as f64),
            thousands(month.reads),
            thousands(month.writes),
            thousands(month.deletes),
            thousands(month.queue),
            month.firestore(true),
            month.firestore(false),
            month.tasks(),
            machine(),
        )
        .unwrap();
    }
    text
}

/// Formats a number with thousands separators: `1234567.8` → `1,234,568`
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Compares the measurement with the promises; returns those that are broken. `tolerance`: number of reads by which two idle hours may
/// differ. In an emulator two polls sometimes end at the same moment, and the one that loses reads `Global` again.
fn broken_promises(idle: &[Idle], tolerance: u64) -> Vec<String> {
    let mut broken = Vec::new();
    for measured in idle {
        let (hour, without) = (measured.hour(), idle[0].hour());
        if hour.writes != without.writes || hour.reads.abs_diff(without.reads) > tolerance {
            broken.push(format!(
                "an idle hour with {} open mappings costs {:?}, with none {:?}",
                measured.open,
                measured.hour(),
                idle[0].hour()
            ));
        }
        let day = measured.day();
        if measured.open == LIMIT_AT && (day.reads >= LIMIT.reads || day.writes >= LIMIT.writes) {
            broken.push(format!(
                "a day with {LIMIT_AT} idle cases costs {day:?}, which is not below {LIMIT:?}"
            ));
        }
    }
    broken
}

#[tokio::main]
async fn main() -> ExitCode {
    casebridge::outbound::install_tls();
    let emulator = std::env::var("FIRESTORE_EMULATOR_HOST").ok().filter(|host| !host.is_empty());
    let emulator = emulator.as_deref();
    let mut idle = Vec::new();
    for open in OPEN {
        eprintln!("an idle hour with {open} open mappings …");
        idle.push(Idle::measure(open, emulator).await);
    }
    eprintln!("what people do …");
    let events = events(emulator, &idle[0].tasks).await;
    let tables = tables(&idle, &events);
    println!("{tables}");
    let mut wrong = broken_promises(&idle, if emulator.is_some() { 60 } else { 0 });
    if emulator.is_none() && std::env::args().any(|argument| argument == "--check") {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/costs.md");
        let text = std::fs::read_to_string(page).unwrap();
        wrong.extend(
            tables
                .lines()
                .filter(|line| !text.lines().any(|known| known == *line))
                .map(|line| format!("docs/costs.md lacks {line}")),
        );
    }
    for reason in &wrong {
        eprintln!("{reason}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
