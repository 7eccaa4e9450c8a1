//! Ten thousand cases wait after a long outage and are worked off (`R21`), in virtual time: the real tasks on a real store, between
//! systems in memory, with a queue that knows nothing of urgency and delivers by time alone, as Cloud Tasks does.
//! `benches/overload.rs` measures the same with the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

use std::sync::Arc;

use casebridge::clock::{Clock as _, ManualClock};
use casebridge::entities::{
    CaseMapping, CompanyCaseId, Entry, FirstSeen, GoogleCaseName, ItemKind, Notice, PollMemory, Priority,
    Side, Sides, Source, Tolerance, ToleranceTable,
};
use casebridge::queue::QueuedTask;
use casebridge::store::MappingFilter;
use casebridge::tasks::{self, Caller, Deps, Mode, Outcome, Task, TaskSettings};
use chrono::{DateTime, Duration, TimeZone as _, Utc};

use casebridge_testkit::memory::{Desk, Line, connector, settings};

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
