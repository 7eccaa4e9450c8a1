//! Runs a history: real tasks over the models, in virtual time, on two instances.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration as StdDuration;

use casebridge::cases::{CaseSystem, Visibility};
use casebridge::entities::{Sides, ToleranceTable};
use casebridge::sync::{CommentsToGoogle, EditedComments, Rules, Switches};
use casebridge::tasks::{
    self, Caller, Deps, Mode, Outcome, Pacer, Task, TaskReport, TaskSettings, Unchanged,
};
use casebridge::telemetry::Metrics;
use chrono::Duration;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::check;
use crate::coverage::Coverage;
use crate::desk;
use crate::history::{
    About, Company, DetectOutages, Google, History, Ms, PollCompany, PollGoogle, Setting, Side, TaskKind,
    What,
};
use crate::model::key;
use crate::mutation::Mutation;
use crate::ports::{QueuePort, StorePort, SystemPort, Ticket};
use crate::shown;
use crate::world::{Event, RunFacts, RunId, Shared, World, panic_text};
use casebridge_testkit::dice::Dice;

/// The polling windows: the documented ones.
pub(crate) const WINDOWS: Sides<Duration> =
    Sides { google: Duration::minutes(30), company: Duration::minutes(5) };

/// Rounds of polls, one a minute, that both sides are given to agree once all trouble is over.
const ROUNDS: u32 = 150;
/// So many are one a minute where something takes hours, which the next sweep of an hour does not.
const SHORT_ROUNDS: u32 = 70;
/// As many more rounds suffice for what is given up after twelve hours, and for the sweep of a day (R27, R33).
const LONG_ROUNDS: u32 = 180;
/// Minutes between them: less than any tolerance.
const LONG_PACE: Ms = 9;
/// Number of times that both sides may have to agree anew: a late recheck may write, and that change has rechecks of its own.
const SETTLINGS: u32 = 3;
/// Rounds after which no recheck of a case is due any more: the longer polling window.
const WINDOW_ROUNDS: u32 = 31;

/// Number of runs of tasks that no hour may have: tasks that queue each other without end would show as a simulation that never ends.
const MOST_RUNS_AN_HOUR: u32 = 20_000;

/// How a history went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) violation: Option<String>,
    /// Everything that happened, folded into a number.
    pub(crate) trace: u64,
    pub(crate) runs: usize,
    pub(crate) writes: u64,
    /// How many rounds it took both sides to agree.
    pub(crate) rounds: u32,
    pub(crate) seen: Coverage,
    pub(crate) log: String,
}

/// What is asked of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) verbose: bool,
    pub(crate) mutation: Option<Mutation>,
}

/// Runs it to its end, or to the first violation.
pub(crate) fn run(history: &History, options: Options) -> Verdict {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
    }
    let world = Shared::new(World::new(history.setting, options.mutation, options.verbose));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        RUNTIME.with(|runtime| {
            runtime.block_on(tokio::task::unconstrained(async {
                let mut engine = Engine::new(world.clone(), history);
                engine.live().await;
                engine.rounds
            }))
        })
    }));
    let mut world = world.lock();
    if let Err(panic) = &outcome {
        world.violate(format!("it panicked: {}", panic_text(panic.as_ref())));
    }
    Verdict {
        violation: world.violation.clone(),
        trace: world.trace,
        runs: world.runs.len(),
        writes: world.writes,
        rounds: outcome.unwrap_or_default(),
        seen: std::mem::take(&mut world.seen),
        log: world.log.take().unwrap_or_default(),
    }
}

struct Running {
    future: Pin<Box<dyn Future<Output = Option<TaskReport>> + Send>>,
    instance: usize,
    ticket: Option<usize>,
    /// `None`: a push message.
    kind: Option<TaskKind>,
}

struct Engine<'a> {
    world: Shared,
    history: &'a History,
    instances: [Arc<Deps>; 2],
    running: Vec<Option<Running>>,
    /// The moment of virtual time that tokio's clock shows; it only has to be right where a deadline begins or ends.
    tokio_at: Ms,
    rounds: u32,
    /// When the last round ended.
    round_at: Ms,
    /// An hour, and how many runs began in it so far.
    lately: (Ms, u32),
}

impl<'a> Engine<'a> {
    fn new(world: Shared, history: &'a History) -> Self {
        let instances = [instance(&world, &history.setting, 0), instance(&world, &history.setting, 1)];
        {
            let mut world = world.lock();
            for (index, step) in history.steps.iter().enumerate() {
                world.plan(step.at, Event::Step(index));
            }
        }
        Self {
            world,
            history,
            instances,
            running: Vec::new(),
            tokio_at: 0,
            rounds: 0,
            round_at: 0,
            lately: (0, 0),
        }
    }

    async fn live(&mut self) {
        {
            // The service is up before anything happens.
            let mut world = self.world.lock();
            world.enqueue(PollGoogle, json!({}), 1, 0);
            world.enqueue(PollCompany, json!({}), 2, 0);
        }
        let last = self.history.steps.last().map_or(0, |step| step.at);
        self.pass(last).await;
        self.settle(last).await;
    }

    /// Lets everything happen that is due until `limit`.
    async fn pass(&mut self, limit: Ms) {
        loop {
            let event = {
                let mut world = self.world.lock();
                if world.violation.is_some() {
                    return;
                }
                world.next_event(limit)
            };
            let Some(event) = event else { break };
            self.handle(event).await;
        }
        self.world.lock().set_time(limit);
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Wake(run, waker) => {
                // Some of the core polls only those of its calls that were woken.
                waker.wake();
                self.poll(run);
            }
            Event::Arrives(effect) => effect(&mut self.world.lock()),
            Event::Step(index) => self.step(index).await,
            Event::Deliver(ticket) => self.deliver(ticket).await,
            Event::Deadline(run) => {
                if self.running[run].is_some() {
                    self.world.lock().seen.count("processes", "pass a deadline");
                    self.catch_up().await;
                    self.poll(run);
                }
            }
        }
    }

    /// Brings tokio's clock to the present moment.
    async fn catch_up(&mut self) {
        let now = self.world.lock().now;
        if let Ok(passed) = u64::try_from(now - self.tokio_at)
            && passed > 0
        {
            tokio::time::advance(StdDuration::from_millis(passed)).await;
            self.tokio_at = now;
        }
    }

    async fn step(&mut self, index: usize) {
        let step = self.history.steps[index];
        match step.what {
            What::Person(deed) => self.world.lock().act(deed, step.salt),
            What::Cron(kind) => self.world.lock().enqueue(kind, json!({}), step.salt, 0),
            What::ByHand { case, side, dry_run } => {
                // A case whose counterpart was deleted, and whose mapping was cleaned up, gets a new counterpart, with all
                // that stands on it: the checks know one counterpart only.
                let id = {
                    let world = self.world.lock();
                    world.case_on(case, side).filter(|id| !world.is_widowed(side, id))
                };
                if let Some(id) = id {
                    let kind = match side {
                        Google => TaskKind::SyncGoogleCase,
                        Company => TaskKind::SyncCompanyCase,
                    };
                    let id = self.world.lock().called(side, &id, step.salt);
                    let body = match side {
                        Google => json!({ "case_name": id }),
                        Company => json!({ "case_id": id }),
                    };
                    let mode = if dry_run { Mode::DryRun } else { Mode::Act };
                    let what = if dry_run { "ask for a dry run" } else { "ask for a sync" };
                    self.world.lock().seen.count("people", what);
                    self.start(kind, &body, step.salt, None, mode).await;
                }
            }
            What::Hint { side, about } => self.hint(side, about, step.salt).await,
            What::Crash { instance, awaits } => self.world.lock().doomed[instance] = Some(awaits),
            What::Stop { instance } => self.stop(instance),
            What::Trouble { .. } | What::Lie(_) | What::Clock { .. } => {
                self.world.lock().deceive(step.what);
            }
        }
    }

    /// A push message arrives at one of the instances.
    async fn hint(&mut self, side: Side, about: About, salt: u64) {
        let hint = {
            let mut world = self.world.lock();
            let (what, hint) = world.hint(side, about);
            world.seen.count("push messages", what);
            hint
        };
        let Some(hints) = hint else { return };
        self.begin(salt, "push", false).await;
        let instance = self.instance_of(salt);
        let deps = self.instances[instance].clone();
        let world = self.world.clone();
        let future = Box::pin(async move {
            let taken = match hints {
                Some(hint) => tasks::hint::take(&deps, &hint).await,
                None => tasks::hint::poll(&deps, side).await,
            };
            // A sender that is told of a failure sends the message again. This one does not: a poll finds the change.
            world.lock().seen.count("push messages are", taken.map_or("failed", tasks::hint::Taken::name));
            None
        });
        let run = self.running.len();
        self.running.push(Some(Running { future, instance, ticket: None, kind: None }));
        self.poll(run);
    }

    fn instance_of(&self, salt: u64) -> usize {
        Dice::of(&[self.history.setting.seed, salt, 2]).index(2)
    }

    /// Notes that a run begins now, with its deadline.
    async fn begin(&mut self, salt: u64, label: &str, dry: bool) {
        self.catch_up().await;
        let (run, instance) = (self.running.len(), self.instance_of(salt));
        let mut world = self.world.lock();
        let hour = world.now / 3_600_000;
        self.lately = if self.lately.0 == hour { (hour, self.lately.1 + 1) } else { (hour, 1) };
        if self.lately.1 == MOST_RUNS_AN_HOUR {
            world.violate("thousands of runs in one hour: tasks queue each other without end");
        }
        let label = if world.log.is_some() {
            format!("{run}:{label}{}", if dry { " dry" } else { "" })
        } else {
            String::new()
        };
        world.runs.push(RunFacts { instance, salt, calls: 0, dry, label });
        let deadline = world.now + self.history.setting.deadline * 1000 + 2;
        world.plan(deadline, Event::Deadline(run));
    }

    async fn deliver(&mut self, ticket: usize) {
        let (kind, body, salt) = {
            let mut world = self.world.lock();
            let queued = &world.queue.tickets[ticket];
            if queued.state != Ticket::Waiting {
                return;
            }
            let (kind, body) = (queued.kind, queued.body.clone());
            let salt = queued.salt.wrapping_add(u64::from(queued.attempt) << 32);
            // A queue that cron feeds delivers one task at a time.
            if kind.is_scheduled() && self.running.iter().flatten().any(|running| running.kind == Some(kind))
            {
                let at = world.now + 1_000;
                world.plan(at, Event::Deliver(ticket));
                return;
            }
            if world.take(ticket) {
                world.seen.count("deliveries", "overtaken by a later task");
            }
            (kind, body, salt)
        };
        self.start(kind, &body, salt, Some(ticket), Mode::Act).await;
    }

    async fn start(
        &mut self,
        kind: TaskKind,
        body: &serde_json::Value,
        salt: u64,
        ticket: Option<usize>,
        mode: Mode,
    ) {
        let (run, instance) = (self.running.len(), self.instance_of(salt));
        let caller = if ticket.is_some() { Caller::Queue } else { Caller::Person };
        let task = match Task::parse(kind, body.to_string().as_bytes()) {
            Ok(task) => task,
            Err(error) => return self.world.lock().violate(format!("a task that cannot be read: {error}")),
        };
        self.begin(salt, kind.name(), mode == Mode::DryRun).await;
        self.world.lock().note("starts", || format!("{run}: {body} on instance {instance}"));
        let deps = self.instances[instance].clone();
        let future = Box::pin(async move { Some(tasks::run(&deps, task, caller, mode).await) });
        self.running.push(Some(Running { future, instance, ticket, kind: Some(kind) }));
        self.poll(run);
    }

    fn poll(&mut self, run: RunId) {
        let Some(running) = &mut self.running[run] else { return };
        let instance = running.instance;
        self.world.lock().current = Some(run);
        let polled = running.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(report) = polled {
            self.finish(run, report.as_ref());
        }
        self.world.lock().current = None;
        let dead = self.world.lock().doomed[instance] == Some(0);
        if dead {
            self.crash(instance);
        }
    }

    fn finish(&mut self, run: RunId, report: Option<&TaskReport>) {
        let Some(running) = self.running[run].take() else { return };
        let (Some(kind), Some(report)) = (running.kind, report) else { return };
        let mut world = self.world.lock();
        world.seen.count(kind.name(), report.outcome.name());
        world.note("ends", || format!("{run}: {}", report.to_json()));
        if report.outcome == Outcome::Abandoned && running.ticket.is_some() {
            // Only a case without a mapping is given up.
            let id = world.queue.tickets[running.ticket.unwrap_or_default()].body.clone();
            let named = id.get("case_name").or_else(|| id.get("case_id")).and_then(|id| id.as_str());
            let side = if kind == TaskKind::SyncGoogleCase { Google } else { Company };
            if let Some(id) = named
                && world.shelf.of(side, key(id)).is_some()
            {
                let text = format!("{kind} is abandoned: {:?}", report.detail);
                world.violate(text);
            }
        }
        let again = matches!(report.outcome, Outcome::Failed | Outcome::Outage);
        if let Some(ticket) = running.ticket {
            repeat(&mut world, ticket, again);
        }
    }

    /// Everything that runs on that instance is gone, wherever it was; the queues deliver it again.
    fn crash(&mut self, instance: usize) {
        let mut lost = Vec::new();
        for running in &mut self.running {
            if running.as_ref().is_some_and(|running| running.instance == instance)
                && let Some(running) = running.take()
            {
                lost.extend(running.ticket);
                // Dropped without the lock: a future may hold anything.
                drop(running);
            }
        }
        let mut world = self.world.lock();
        world.doomed[instance] = None;
        let leased = world.shelf.mappings.values().any(|mapping| mapping.lease.is_some());
        let what = match lost.is_empty() {
            true => "die idle",
            false if leased => "die holding a lease",
            false => "die at work",
        };
        world.seen.count("processes", what);
        world.note("crash", || format!("of instance {instance}: {} tasks", lost.len()));
        for ticket in lost {
            repeat(&mut world, ticket, true);
        }
    }

    fn stop(&mut self, instance: usize) {
        self.instances[instance].stop.cancel();
        let busy = self.running.iter().flatten().any(|running| running.instance == instance);
        if busy {
            self.world.lock().seen.count("processes", "are stopped");
        }
        self.world.lock().note("stop", || format!("of instance {instance}"));
        for run in 0..self.running.len() {
            if self.running[run].as_ref().is_some_and(|running| running.instance == instance) {
                self.poll(run);
            }
        }
        self.instances[instance] = self::instance(&self.world, &self.history.setting, instance);
    }

    /// All trouble is over: both sides must agree within a bounded time, and then nothing may be written any more.
    async fn settle(&mut self, last: Ms) {
        {
            let mut world = self.world.lock();
            world.be_honest();
            world.calm = true;
            world.doomed = [None; 2];
            world.note("calm", String::new);
        }
        self.round_at = last;
        for _ in 0..SETTLINGS {
            if !self.agree().await || self.is_quiet().await {
                return;
            }
            // A recheck that was due only now (R8) found something, such as a flag that is gone. None is due once the window has passed.
            self.rounds(WINDOW_ROUNDS).await;
        }
        let mut world = self.world.lock();
        if world.violation.is_none() {
            world.violate(
                "both sides agree, and yet another round writes, after the last recheck (R8)".to_owned(),
            );
        }
    }

    /// Runs rounds until both sides agree and three of them wrote nothing. Returns false if the history has failed.
    async fn agree(&mut self) -> bool {
        let (mut open, mut idle) = (None, 0);
        let takes_long = self.world.lock().takes_long;
        let (short, most) =
            if takes_long { (SHORT_ROUNDS, SHORT_ROUNDS + LONG_ROUNDS) } else { (ROUNDS, ROUNDS) };
        for round in 1..=most {
            self.rounds += 1;
            let before = self.world.lock().writes;
            self.round(self.rounds, if round <= short { 1 } else { LONG_PACE }).await;
            let world = self.world.lock();
            if world.violation.is_some() {
                return false;
            }
            let busy = !check::tries_for_ever(&world)
                && world.queue.tickets.iter().any(|ticket| ticket.state != Ticket::Done);
            open = check::disagreement(&world);
            idle = if world.writes == before { idle + 1 } else { 0 };
            if open.is_none() && !busy && idle >= 3 && self.rounds.is_multiple_of(5) {
                break;
            }
            if open.is_none() && busy {
                open = Some("the queues are not empty".to_owned());
            }
        }
        if let Some(open) = open {
            self.world.lock().violate(format!("after {most} rounds: {open}"));
            return false;
        }
        true
    }

    /// Runs five more rounds. Returns true if they wrote nothing, but for what may be written at any time.
    async fn is_quiet(&mut self) -> bool {
        let (before, from) = {
            let world = self.world.lock();
            (world.writes, world.now)
        };
        self.rounds(5).await;
        let world = self.world.lock();
        // What takes nothing is tried again every day (R33), and an instance that was idle may only now see that a clock was set (R36).
        let may_write =
            check::is_tried_daily(&world) || check::tries_for_ever(&world) || world.clock_doubted_at >= from;
        world.violation.is_some() || may_write || world.writes == before
    }

    /// So many rounds, a minute apart.
    async fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.rounds += 1;
            self.round(self.rounds, 1).await;
        }
    }

    /// A round of polls, after so many minutes.
    async fn round(&mut self, round: u32, minutes: Ms) {
        let start = self.round_at + minutes * 60_000;
        self.round_at = start;
        self.pass(start).await;
        {
            let mut world = self.world.lock();
            let salt = u64::from(round) << 8;
            world.enqueue(PollGoogle, json!({}), salt, 0);
            world.enqueue(PollCompany, json!({}), salt + 1, 0);
            if minutes > 1 {
                // After the polls, which would count as late otherwise.
                world.enqueue(DetectOutages, json!({}), salt + 2, start + 40_000);
            } else if round.is_multiple_of(5) {
                world.enqueue(DetectOutages, json!({}), salt + 2, 0);
            }
        }
        self.pass(start + 59_999).await;
    }
}

/// A delivery is over: the queue repeats it by its policy, or is done with it.
fn repeat(world: &mut World, ticket: usize, failed: bool) {
    let mut dice = Dice::of(&[world.setting.seed, world.queue.tickets[ticket].salt, 3]);
    let queued = &mut world.queue.tickets[ticket];
    queued.attempt += 1;
    let scheduled = queued.kind.is_scheduled();
    let delay = if failed && !(scheduled && queued.attempt > 3) {
        Some(if scheduled { 15_000 } else { (10_000_i64 << queued.attempt.min(6)).min(300_000) })
    } else if queued.again {
        queued.again = false;
        Some(dice.range(0, 120_000))
    } else {
        None
    };
    queued.state = if delay.is_some() { Ticket::Waiting } else { Ticket::Done };
    if let Some(delay) = delay {
        world.seen.count("deliveries", if failed { "repeated" } else { "twice" });
        let at = world.now + delay;
        world.plan(at, Event::Deliver(ticket));
    }
}

fn instance(world: &Shared, setting: &Setting, number: usize) -> Arc<Deps> {
    static METRICS: OnceLock<Arc<Metrics>> = OnceLock::new();
    let clock = world.lock().clocks[number].clone();
    let system = |side: Side| -> Arc<dyn CaseSystem> { Arc::new(SystemPort::new(world, side, number)) };
    Arc::new(Deps {
        pacer: Pacer::default(),
        unchanged: Unchanged::default(),
        clock,
        store: Arc::new(StorePort(world.clone())),
        queue: Arc::new(QueuePort(world.clone())),
        systems: Sides { google: system(Google), company: system(Company) },
        settings: TaskSettings {
            rules: Rules {
                switches: Switches {
                    creation: true,
                    comments: setting.comments,
                    attachments: setting.attachments,
                    priority: setting.priority,
                    status: setting.status,
                    title: true,
                },
                close_on: casebridge::cases::ClosingSet::SOLVED,
                statuses: desk::statuses(setting.desk),
                escalation: desk::escalation(setting.desk),
                shown: shown::rule(setting.extras),
                comments_to_google: if setting.carry_internal {
                    CommentsToGoogle::All
                } else {
                    CommentsToGoogle::Public
                },
                edits: if setting.extras.edits { EditedComments::Note } else { EditedComments::Off },
                comment_visibility: if setting.internal_copies {
                    Visibility::Internal
                } else {
                    Visibility::Public
                },
            },
            windows: WINDOWS,
            max_case_age: Duration::days(30),
            retention: Duration::days(30),
            tolerances: ToleranceTable::default(),
            deadline: StdDuration::from_secs(setting.deadline.unsigned_abs()),
            lease: Duration::seconds(setting.lease),
            syncs_per_minute: 50,
            missing_grace: Duration::minutes(setting.missing_grace),
            give_up_after: Duration::minutes(setting.give_up_after),
            adopt_claims: false,
            since: casebridge::tasks::Since::default(),
            routes: desk::routes(setting),
            poll_every: casebridge::entities::Sides::default(),
            announced: casebridge::entities::Sides::default(),
            placing: desk::placing(setting.desk),
        },
        metrics: METRICS.get_or_init(Metrics::shared).clone(),
        stop: CancellationToken::new(),
    })
}
