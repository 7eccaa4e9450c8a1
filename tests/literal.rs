//! The real core beside a literal model of part 1 of the contract, in histories in which part 2 changes nothing: the same
//! outages, the same texts, the same effective stamps (`R8`).
//!
//! In these histories people open two cases and comment on both sides, and now and then one side, or both, are down.
//!
//! - A call to a side that is down fails before it has any effect: no answer is lost (`R13`). There is one instance, and it does not
//!   die; a task runs to its end at one moment (`R12`).
//! - A side is down for 20 minutes at the most, and both windows are 30: to the letter, a poll stamps what was not carried in
//!   its window (`R7`). It goes down half an hour after anything last happened, and not soon after the other: to the letter, a case
//!   that was updated lately is in step as of its last check, and here as of the last poll (`R8`). While it is down, people go on.
//! - There are two cases: towards a side that is down, more are queued later (`R21`).
//! - Nobody opens a case while a side is down (`R22`), closes one (`R19`), changes a priority (`R18`), attaches a file, takes a flag away
//!   (`R20`), or writes more than fits into a comment (`R16`).
//! - When content was new, the model is told, where it is not far off: part 1 does not say whether the connector's own comments are.
//! - Where the letter of part 1 cannot be followed at all, the model follows part 2 too: it knows its own comments (`R14`),
//!   and each case names its counterpart (`R10`).
//!
//! `CASEBRIDGE_LITERAL=20000 cargo test --test literal -- --nocapture` runs more histories than CI; `CASEBRIDGE_SEED=7` runs one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

#[path = "literal/reference.rs"]
mod reference;

use std::collections::BTreeSet;
use std::sync::Arc;

use casebridge::clock::{Clock as _, ManualClock};
use casebridge::entities::{CaseMapping, Priority, Side, Sides, ToleranceTable};
use casebridge::store::MappingFilter;
use casebridge::tasks::{self, Caller, Deps, Mode, Outcome, Task, TaskReport};
use chrono::{DateTime, Duration, Utc};

use casebridge_testkit::dice::Dice;
use casebridge_testkit::memory::{Desk, Line, connector, settings};
use reference::Connector;

/// The real core, and the systems that it works on.
struct Real {
    clock: Arc<ManualClock>,
    desks: Sides<Arc<Desk>>,
    line: Arc<Line>,
    deps: Deps,
}

impl Real {
    fn new(clock: &Arc<ManualClock>) -> Self {
        let desks = desks(clock);
        let line = Line::new(clock.clone());
        let deps = connector(clock, desks.clone(), &line, settings(ToleranceTable::default(), 100_000));
        Self { clock: clock.clone(), desks, line, deps }
    }

    async fn run(&self, task: Task) -> TaskReport {
        tasks::run(&self.deps, task, Caller::Queue, Mode::Act).await
    }

    async fn deliver(&self) {
        while let Some(task) = self.line.next_due(self.clock.now()) {
            let parsed = Task::parse(task.kind, task.body.to_string().as_bytes()).unwrap();
            if self.run(parsed).await.outcome == Outcome::Failed {
                self.line.put(self.clock.now() + Duration::minutes(1), task);
            }
        }
    }

    async fn detect_outages(&self) -> BTreeSet<String> {
        let report = self.run(Task::DetectOutages).await;
        let outages = report.fields["outages"].as_array().unwrap();
        outages.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    async fn mappings(&self) -> Vec<CaseMapping> {
        self.deps.store.list(MappingFilter::All, None, 1000).await.unwrap().mappings
    }
}

fn desks(clock: &Arc<ManualClock>) -> Sides<Arc<Desk>> {
    Sides { google: Desk::new(Side::Google, clock.clone()), company: Desk::new(Side::Company, clock.clone()) }
}

/// Both worlds, in which the same happens.
struct History {
    clock: Arc<ManualClock>,
    dice: Dice,
    real: Real,
    model: Connector,
    models: Sides<Arc<Desk>>,
    /// Which sides are down, and until which minute.
    down: &'static [Side],
    down_until: u32,
    /// Until when nobody does anything, and when somebody last did.
    quiet_until: u32,
    busy_until: u32,
    opened: u32,
    outages: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        let clock = ManualClock::at("2026-01-05T08:00:00Z".parse().unwrap());
        let models = desks(&clock);
        Self {
            dice: Dice::of(&[seed, 5]),
            real: Real::new(&clock),
            model: Connector::new(clock.clone(), models.clone()),
            models,
            clock,
            down: &[],
            down_until: 0,
            quiet_until: 0,
            busy_until: 0,
            opened: 0,
            outages: 0,
        }
    }

    async fn live(&mut self) -> Result<(), String> {
        let minutes = u32::try_from(self.dice.range(120, 400)).unwrap();
        for minute in 0..minutes {
            self.people(minute);
            self.trouble(minute, minutes);
            self.minute(minute).await.map_err(|error| format!("minute {minute}: {error}"))?;
            // Sometimes nothing happens for long.
            if minute % 50 == 49 && self.dice.percent(30) {
                self.quiet_hours().await.map_err(|error| format!("after minute {minute}: {error}"))?;
            }
            self.clock.advance(Duration::minutes(1));
        }
        Ok(())
    }

    /// Cases idle, and the polls go on, though not every minute of them is played.
    async fn quiet_hours(&mut self) -> Result<(), String> {
        if Side::BOTH.into_iter().any(|side| self.is_down(side)) {
            return Ok(());
        }
        for _ in 0..self.dice.range(4, 10) {
            self.clock.advance(Duration::minutes(9));
            self.minute(1).await?;
        }
        Ok(())
    }

    fn is_down(&self, side: Side) -> bool {
        *self.real.desks[side].down.lock().unwrap()
    }

    fn people(&mut self, minute: u32) {
        let is_down = minute < self.down_until;
        if !is_down && minute >= self.quiet_until && self.dice.percent(4) {
            self.quiet_until = minute + 50;
        }
        if !is_down && minute < self.quiet_until {
            return;
        }
        self.busy_until = minute.max(self.down_until + 1);
        if !is_down && minute.is_multiple_of(7) && self.opened < 2 {
            let side = self.dice.pick(&Side::BOTH);
            let id = match side {
                Side::Google => format!("organizations/1/cases/{}", 1000 + self.opened),
                Side::Company => (1000 + self.opened).to_string(),
            };
            let priority = self.dice.pick(&Priority::ALL);
            self.opened += 1;
            self.real.desks[side].opens(id.clone(), None, priority);
            self.models[side].opens(id, None, priority);
        }
        for _ in 0..self.dice.below(4).saturating_sub(1) {
            if self.dice.percent(80) {
                continue;
            }
            let side = self.dice.pick(&Side::BOTH);
            let ids: Vec<String> = self.real.desks[side].held().keys().cloned().collect();
            if !ids.is_empty() {
                let id = &ids[self.dice.index(ids.len())];
                let text = format!("what was said in minute {minute}");
                self.real.desks[side].says(id, &text, false);
                self.models[side].says(id, &text, false);
            }
        }
    }

    fn trouble(&mut self, minute: u32, minutes: u32) {
        let settled = minute > self.busy_until + 33 && minute + 25 < minutes;
        if settled && self.dice.percent(30) {
            self.down_until = minute + u32::try_from(self.dice.range(1, 20)).unwrap();
            self.down = self.dice.pick(&[&[Side::Google], &[Side::Company], &Side::BOTH[..]]);
        }
        for side in Side::BOTH {
            let down = minute < self.down_until && self.down.contains(&side);
            *self.real.desks[side].down.lock().unwrap() = down;
            *self.models[side].down.lock().unwrap() = down;
        }
    }

    /// Cron fires, and the queues deliver.
    async fn minute(&mut self, minute: u32) -> Result<(), String> {
        self.real.run(Task::PollGoogle).await;
        self.real.run(Task::PollCompany).await;
        for side in Side::BOTH {
            self.model.poll(side).await;
        }
        // The look for outages comes before or after the syncs of its minute.
        let before = self.dice.percent(50);
        if minute.is_multiple_of(5) && before {
            self.detect_outages().await?;
        }
        self.real.deliver().await;
        self.model.deliver().await;
        if minute.is_multiple_of(5) && !before {
            self.detect_outages().await?;
        }
        self.compare().await
    }

    async fn detect_outages(&mut self) -> Result<(), String> {
        for real in self.real.mappings().await {
            self.agree_on_new_content(&real)?;
        }
        let (real, model) = (self.real.detect_outages().await, self.model.detect_outages().await);
        self.outages += model.len();
        if real != model {
            return Err(format!("outages: {real:?}, by the contract {model:?}"));
        }
        Ok(())
    }

    /// Part 1 does not say whether what the connector itself wrote is new content on that side. If a poll sees it before a sync
    /// of that side does, it is, once the side is up: the model is told.
    fn agree_on_new_content(&mut self, real: &CaseMapping) -> Result<(), String> {
        let model = self.model.mappings.iter_mut().find(|model| is_same(model, real));
        let model = model.ok_or_else(|| format!("no mapping by the contract: {real:?}"))?;
        if (real.new_content_at - model.new_content_at).abs() > Duration::minutes(21) {
            return Err(format!(
                "new content {}, by the contract {}",
                real.new_content_at, model.new_content_at
            ));
        }
        model.new_content_at = real.new_content_at;
        Ok(())
    }

    async fn compare(&self) -> Result<(), String> {
        for side in Side::BOTH {
            let (real, model) = (self.real.desks[side].held(), self.models[side].held());
            let texts = |held: &std::collections::BTreeMap<String, (_, Vec<casebridge::cases::Comment>)>| {
                let texts = |comments: &[casebridge::cases::Comment]| {
                    comments.iter().map(|comment| comment.body.clone()).collect::<Vec<_>>()
                };
                held.iter().map(|(id, (_, comments))| (id.clone(), texts(comments))).collect::<Vec<_>>()
            };
            let cases = |held: &std::collections::BTreeMap<String, (casebridge::cases::Case, _)>| {
                let case = |case: &casebridge::cases::Case| (case.title.clone(), case.description.clone());
                held.values().map(|(held, _)| case(held)).collect::<Vec<_>>()
            };
            if cases(&real) != cases(&model) {
                return Err(format!("the cases of the {side} side differ"));
            }
            for (real, model) in texts(&real).into_iter().zip(texts(&model)) {
                if real != model {
                    return Err(format!("the {side} side has {real:#?}, by the contract {model:#?}"));
                }
            }
        }
        let global = self.real.deps.store.global().await.unwrap();
        let real = self.real.mappings().await;
        let up = Side::BOTH.into_iter().all(|side| !self.is_down(side));
        for mapping in &self.model.mappings {
            let Some(real) = real.iter().find(|real| is_same(mapping, real)) else {
                return Err(format!("no mapping: {mapping:?}"));
            };
            let effective = Sides {
                google: real.synced_at(Side::Google, &global),
                company: real.synced_at(Side::Company, &global),
            };
            let older = |stamps: &Sides<Option<DateTime<Utc>>>| stamps.google.min(stamps.company);
            // While a side is down, only the older of the two decides anything: the model's other one stands still too, since
            // each check of a recently updated case fails.
            if older(&effective) != older(&mapping.synced_at) || (up && effective != mapping.synced_at) {
                return Err(format!(
                    "effective stamps {effective:?}, by the contract {:?}",
                    mapping.synced_at
                ));
            }
        }
        Ok(())
    }
}

fn is_same(model: &reference::CaseMapping, real: &CaseMapping) -> bool {
    Side::BOTH
        .into_iter()
        .any(|side| model.case[side].is_some() && model.case[side].as_deref() == real.case_id(side))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[tokio::test]
async fn a_case_that_was_idle_for_days_is_in_no_outage_before_the_sync_of_its_news() {
    let clock = ManualClock::at("2026-01-05T08:00:00Z".parse().unwrap());
    let real = Real::new(&clock);
    let case = "organizations/1/cases/1000";
    real.desks.google.opens(case.to_owned(), None, Priority::P2);
    // Three days of polls, an hour apart.
    for _ in 0..72 {
        real.run(Task::PollGoogle).await;
        real.run(Task::PollCompany).await;
        real.deliver().await;
        clock.advance(Duration::hours(1));
    }
    for poll in [Task::PollGoogle, Task::PollCompany] {
        real.run(poll).await;
    }
    clock.advance(Duration::minutes(1));
    real.desks.google.says(case, "news", false);
    real.run(Task::PollGoogle).await;
    real.run(Task::PollCompany).await;
    // The polls found it a moment ago; it is not three days late.
    assert_eq!(real.detect_outages().await, BTreeSet::new());
    clock.advance(Duration::minutes(11));
    real.run(Task::PollCompany).await;
    assert_eq!(real.detect_outages().await, BTreeSet::from([case.to_owned()]), "now it is late");
    let texts: Vec<String> =
        real.desks.company.held()["900000"].1.iter().map(|comment| comment.body.clone()).collect();
    assert_eq!(texts, ["This case has not synced properly in 12 minutes."]);
}

#[tokio::test]
async fn the_core_does_what_the_contract_says_where_nothing_corrects_it() {
    let seeds = match number("CASEBRIDGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CASEBRIDGE_LITERAL").unwrap_or(100),
    };
    let (count, mut outages) = (seeds.end - seeds.start, 0);
    for seed in seeds {
        let mut history = History::new(seed);
        if let Err(difference) = history.live().await {
            panic!("CASEBRIDGE_SEED={seed}: {difference}");
        }
        outages += history.outages;
    }
    println!("{count} histories, in which {outages} times a case was found to be in an outage");
    assert!(outages > 0 || count < 10, "no outage at all: nothing was compared");
}
