//! Six tasks, one file each, and the one table that names them.
//!
//! A task's payload is only a hint: the task reads everything again and is idempotent, so push, poll, retry and curl use the same path.

mod admission;
mod apply;
mod check;
mod cleanup;
mod compare;
mod detect_outages;
mod edits;
mod effects;
pub mod hint;
mod link;
mod lookup;
mod operate;
mod people;
mod places;
mod placing;
mod poll;
mod poll_company;
mod poll_google;
mod preview;
mod recheck;
mod refused;
mod rehearsal;
mod report;
mod scheduler;
mod seldom;
mod session;
mod shown;
mod sight;
mod since;
mod standing;
mod sync_case;
mod sync_company_case;
mod sync_google_case;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use chrono::{DateTime, Duration, Utc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::cases::{ApiErrorKind, Capabilities, CaseSystem, shorten};
use crate::clock::SharedClock;
use crate::entities::{CompanyCaseId, GoogleCaseName, Side, Sides, ToleranceTable};
use crate::progress::Progress;
use crate::queue::TaskQueue;
use crate::spelling::nearest;
use crate::store::Store;
use crate::sync::texts::duration_words;
use crate::sync::{Clocks, Placing, RouteTable, Rules};
use crate::telemetry::{Metrics, task_trace};

pub use crate::queue::{SyncCompanyCase, SyncGoogleCase, TaskKind};
pub use check::{
    check, check_escalation, check_queues, check_routes, check_rules, check_since, check_statuses,
    check_store, check_system, name_of_side, system_name,
};
pub use effects::check_effects;
pub use link::{Linked, link};
pub use lookup::{LookupError, find_pairs, find_stored, has_title, has_words};
pub use operate::{OperateError, Verb, operate};
pub use people::Which;
pub use poll::emptiness;
pub use recheck::Unchanged;
pub use refused::{refused_words, source_words, the_case};
pub use report::{CarriedItem, Outcome, TaskReport};
pub use scheduler::Pacer;
pub use seldom::is_poll_due;
pub use since::{Since, SinceError, begin};
pub use standing::{Kind, Standing, standing};
pub use sync_case::held_words;

use places::Number;
use rehearsal::Rehearsal;

/// Pause before the second look at a case on which another task works. Each later pause is twice as long.
const FIRST_LOOK: StdDuration = StdDuration::from_millis(250);
/// Time for which a person waits for such a case.
const LONGEST_FOR_A_PERSON: StdDuration = StdDuration::from_secs(15);

/// Caller that asked for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Queue: a task that can never succeed must not be retried (`R4`: status codes).
    Queue,
    /// Person, who may ask for the sync of a case that no poll would pick up.
    Person,
}

/// Effect of a task's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Applies the plan.
    Act,
    /// Computes and returns the plan; writes nothing.
    DryRun,
}

/// Task to be run, with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// `poll-google`
    PollGoogle,
    /// `poll-company`
    PollCompany,
    /// `sync-google-case`
    SyncGoogleCase(SyncGoogleCase),
    /// `sync-company-case`
    SyncCompanyCase(SyncCompanyCase),
    /// `detect-outages`
    DetectOutages,
    /// `cleanup`
    Cleanup,
}

impl Task {
    /// Returns the kind of the task.
    #[must_use]
    pub const fn kind(&self) -> TaskKind {
        match self {
            Self::PollGoogle => TaskKind::PollGoogle,
            Self::PollCompany => TaskKind::PollCompany,
            Self::SyncGoogleCase(_) => TaskKind::SyncGoogleCase,
            Self::SyncCompanyCase(_) => TaskKind::SyncCompanyCase,
            Self::DetectOutages => TaskKind::DetectOutages,
            Self::Cleanup => TaskKind::Cleanup,
        }
    }

    /// Parses the request body of a task of that kind; a scheduled task has none, and ignores it. Errors describe the expected body; of the
    /// given one they quote the name of an unknown field only.
    pub fn parse(kind: TaskKind, body: &[u8]) -> Result<Self, String> {
        match kind {
            TaskKind::PollGoogle => Ok(Self::PollGoogle),
            TaskKind::PollCompany => Ok(Self::PollCompany),
            TaskKind::DetectOutages => Ok(Self::DetectOutages),
            TaskKind::Cleanup => Ok(Self::Cleanup),
            TaskKind::SyncGoogleCase => {
                let example = r#"{"case_name": "organizations/1/cases/2"}"#;
                case(body, example, &["case_name", "hinted"]).map(Self::SyncGoogleCase)
            }
            TaskKind::SyncCompanyCase => {
                case(body, r#"{"case_id": "10001"}"#, &["case_id", "hinted"]).map(Self::SyncCompanyCase)
            }
        }
    }

    /// Parses the request body of a task that a person asks for. Unlike [`Self::parse`], refuses a body that the task would ignore: whoever
    /// sends one expects it to matter.
    pub fn parse_from_person(kind: TaskKind, body: &[u8]) -> Result<Self, String> {
        if kind.is_scheduled() {
            no_body(kind, body)?;
        }
        Self::parse(kind, body)
    }
}

/// Parses a body that names a case. `fields` are those that it may have.
fn case<T: serde::de::DeserializeOwned>(body: &[u8], example: &str, fields: &[&str]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| match unknown_field(body, fields) {
        Some(unknown) => {
            let near = nearest(&unknown, fields.iter().copied());
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            let fields = fields.join(", ");
            format!("the body has no field \"{unknown}\"{near}; its fields are {fields}, as in {example}")
        }
        None => format!(
            "the body must be JSON like {example}; it is not, at line {} column {}",
            error.line(),
            error.column()
        ),
    })
}

/// Checks that a task which needs no body has none: nothing, or an object without a field.
fn no_body(kind: TaskKind, body: &[u8]) -> Result<(), String> {
    let is_empty = body.trim_ascii().is_empty()
        || serde_json::from_slice::<serde_json::Map<_, _>>(body).is_ok_and(|fields| fields.is_empty());
    if is_empty {
        return Ok(());
    }
    let field = unknown_field(body, &[]).map(|name| format!(", and no field \"{name}\"")).unwrap_or_default();
    Err(format!("{kind} takes no body{field}: send none, or {{}}"))
}

/// Returns the first field of a JSON object that is not one of `fields`, shortened for a message.
fn unknown_field(body: &[u8], fields: &[&str]) -> Option<String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    object.keys().find(|name| !fields.contains(&name.as_str())).map(|name| shorten(name))
}

/// Settings of the tasks.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// Rules for the content that is kept in step.
    pub rules: Rules,
    /// Polling window of each side: time before the watermark that a poll searches again, since a search index is late.
    pub windows: Sides<Duration>,
    /// Age of a case, by its creation, above which it gets no mapping from a poll.
    pub max_case_age: Duration,
    /// Time before which a case counts as old when a poll first sees it, by its last update.
    pub since: Since,
    /// Time that a mapping is kept after its case was resolved.
    pub retention: Duration,
    /// Tolerated delay of a case.
    pub tolerances: ToleranceTable,
    /// Maximum run time of a task; shorter than `lease` (`R12`: lease).
    pub deadline: StdDuration,
    /// Lifetime of a lease: it keeps other syncs of the case out for this time, unless it is released earlier.
    pub lease: Duration,
    /// Number of syncs per minute that the upstreams' rate limits allow; no more are queued (`R21`: pacing).
    pub syncs_per_minute: u32,
    /// Time that a linked case must be missing before its pair ends (`R28`: missing is not gone).
    pub missing_grace: Duration,
    /// Time for which a finally refused write is retried before it is explained and given up (`R33`: final refusals).
    pub give_up_after: Duration,
    /// True if a company case that merely names a Google case is adopted (`R38`: a claim is not a proof).
    pub adopt_claims: bool,
    /// Rules for the Google cases that are mirrored, for the place of their company cases, and for that of the Google cases of company cases.
    pub routes: RouteTable,
    /// Interval of the polls that cron asks for, of each side whose changes are announced by push messages. `None`: whenever cron asks.
    pub poll_every: Sides<Option<Duration>>,
    /// True for each side whose changes are announced by push messages.
    pub announced: Sides<bool>,
    /// Fields of company cases that decide about their Google case, and the people who get its mails.
    pub placing: Placing,
}

impl TaskSettings {
    /// Number of calls that a sync of a change makes to one upstream: the case, its two lists, and a write.
    const CALLS_PER_SYNC: u32 = 4;

    /// Returns the number of syncs per minute that these rate limits allow.
    #[must_use]
    pub fn pace(requests_per_minute: Sides<NonZeroU32>) -> u32 {
        let calls = requests_per_minute.google.min(requests_per_minute.company).get();
        (calls / Self::CALLS_PER_SYNC).max(1)
    }

    /// Returns the time by which a complete poll of that side may be older than where cron polls every minute.
    #[must_use]
    pub fn poll_slack(&self, side: Side) -> Duration {
        self.poll_every[side].unwrap_or_default()
    }
}

/// Difference between the newest answer's clock skew and the usual one, above which the system's time is in doubt (`R36`: clock skew).
const CLOCK_DOUBT: Duration = Duration::minutes(1);

/// Longest time that a task with a moving file may take: less than any queue waits for it ([`TaskKind::longest_delivery`]).
const LONGEST_FILE: StdDuration = StdDuration::from_mins(50);
/// Time without a piece after which a file does not count as moving. A call's own timeout ends most silences earlier.
const FILE_STALLS: StdDuration = StdDuration::from_mins(2);
/// Interval at which the lease of a moving file is prolonged. A lease outlasts the deadline by more, if only by default.
const RENEW_EVERY: StdDuration = StdDuration::from_secs(15);

/// Parts that the tasks work with.
pub struct Deps {
    /// Source of the current time.
    pub clock: SharedClock,
    /// Store of the entities.
    pub store: Arc<dyn Store>,
    /// Queues of the tasks.
    pub queue: Arc<dyn TaskQueue>,
    /// Case systems: CSAPI and the CRM.
    pub systems: Sides<Arc<dyn CaseSystem>>,
    /// Settings of the tasks.
    pub settings: TaskSettings,
    /// Delivery times of the syncs that this process queues.
    pub pacer: Pacer,
    /// Cases that the polls of this process have shown to be unchanged.
    pub unchanged: Unchanged,
    /// Metrics of the service.
    pub metrics: Arc<Metrics>,
    /// Cancelled when running tasks have to stop at once; they release their leases.
    pub stop: CancellationToken,
}

impl Deps {
    /// Returns the address of the company's system (`R31`: an ID is valid only in its own system).
    fn home(&self) -> Option<&str> {
        self.systems[Side::Company].home()
    }

    /// Returns the systems' clocks, beside ours (`R36`: clock skew).
    fn clocks(&self) -> Clocks {
        // Uses the smaller skew: a jump of a clock shows in the newest answer first. A horizon that is too early costs a longer list, one
        // that is too late loses content.
        let skew = |side: Side| {
            let system = &self.systems[side];
            system.clock_skew().into_iter().chain(system.latest_skew()).min().unwrap_or_default()
        };
        Clocks {
            now: self.clock.now(),
            skew: Sides { google: skew(Side::Google), company: skew(Side::Company) },
        }
    }

    /// Returns the reason why a system's time is in doubt: its newest answer and the earlier ones differ, since its clock or ours was just
    /// set. A few more answers decide it (`R36`: clock skew).
    fn clock_doubt(&self, side: Side) -> Option<String> {
        let system = &self.systems[side];
        let (usual, latest) = (system.clock_skew()?, system.latest_skew()?);
        ((usual - latest).abs() > CLOCK_DOUBT).then(|| {
            let by = duration_words((latest - usual).abs());
            format!(
                "the clock of {}, or that of this host, seems to have been set by {by}; its next answers show whether it was, and then this \
                 goes on by itself",
                system.capabilities().name
            )
        })
    }

    fn capabilities(&self) -> Sides<&Capabilities> {
        Sides {
            google: self.systems[Side::Google].capabilities(),
            company: self.systems[Side::Company].capabilities(),
        }
    }
}

/// Runs a task until it ends or reaches its deadline, logs one event and counts it. A dry run uses parts that keep every effect to
/// themselves, and is not counted.
pub async fn run(deps: &Deps, task: Task, caller: Caller, mode: Mode) -> TaskReport {
    let trace = task_trace(task.kind().name(), mode == Mode::DryRun);
    let run = async {
        match mode {
            Mode::Act => Box::pin(run_with(deps, task, caller, None)).await,
            Mode::DryRun => {
                let rehearsal = Rehearsal::of(deps);
                Box::pin(run_with(&rehearsal.deps, task, caller, Some(&rehearsal))).await
            }
        }
    };
    let report = run.instrument(trace.clone()).await;
    report.end(&trace);
    report
}

/// Runs a task for a person, and waits a while for a case on which another task works: no queue repeats it for them.
pub async fn run_for_person(deps: &Deps, task: Task, mode: Mode) -> TaskReport {
    let (mut pause, mut waited) = (FIRST_LOOK, StdDuration::ZERO);
    loop {
        let report = run(deps, task.clone(), Caller::Person, mode).await;
        if !report.contended || waited >= LONGEST_FOR_A_PERSON {
            return report;
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause *= 2;
    }
}

async fn run_with(deps: &Deps, task: Task, caller: Caller, rehearsal: Option<&Rehearsal>) -> TaskReport {
    let kind = task.kind();
    let mode = if rehearsal.is_some() { Mode::DryRun } else { Mode::Act };
    let started = deps.clock.now();
    let holder = run_name(deps);
    let task = match caller {
        Caller::Queue => task,
        Caller::Person => match tokio::time::timeout(deps.settings.deadline, named(deps, task)).await {
            Ok(Ok(task)) => task,
            Ok(Err(report)) => return recorded(deps, *report, started),
            Err(_) => {
                return recorded(
                    deps,
                    TaskReport::failed(kind, "timed out while the case was looked up"),
                    started,
                );
            }
        },
    };
    let work = async {
        let report = match &task {
            Task::PollGoogle => poll_google::run(deps).await,
            Task::PollCompany => poll_company::run(deps).await,
            Task::SyncGoogleCase(body) => sync_google_case::run(deps, body, &holder, caller, mode).await,
            Task::SyncCompanyCase(body) => sync_company_case::run(deps, body, &holder, caller, mode).await,
            Task::DetectOutages => detect_outages::run(deps).await,
            Task::Cleanup => cleanup::run(deps).await,
        };
        match rehearsal {
            Some(rehearsal) => rehearsal.tell(report, &task, &holder).await,
            None => report,
        }
    };
    let seconds = deps.settings.deadline.as_secs();
    let (progress, places) = (Progress::begin(), &deps.pacer.places);
    // A person waits for nobody (R37).
    let is_queued_sync = !kind.is_scheduled() && caller == Caller::Queue;
    let _place = is_queued_sync.then(|| places.take(kind, &holder, &progress));
    let cut_short = tokio::select! {
        report = Arc::clone(&progress).follow(work) => Ok(report),
        () = deadline_is_over(deps, &task, &holder, &progress) => {
            Err(format!("the task was not done within its deadline of {seconds} s (sync.deadline)"))
        }
        () = places.crowded_out(&holder, Number::of(deps.queue.concurrent_syncs())), if is_queued_sync => {
            Err("its case does not answer, as several others, and they would take all places of the queue".to_owned())
        }
        () = deps.stop.cancelled() => Err("the service is stopping".to_owned()),
    };
    let report = match cut_short {
        Ok(report) => report,
        Err(reason) => {
            let hung = progress.has_hung() && !deps.stop.is_cancelled();
            sync_case::give_back(deps, &task, &holder, (&reason, hung)).await;
            TaskReport::failed(kind, reason)
        }
    };
    recorded(deps, report, started)
}

/// Returns at the end of a task's deadline, or later as long as a file moves: its lease is prolonged meanwhile (`R37`: nobody waits for the
/// slowest).
async fn deadline_is_over(deps: &Deps, task: &Task, holder: &str, progress: &Progress) {
    let latest = tokio::time::Instant::now() + deps.settings.deadline.max(LONGEST_FILE);
    tokio::time::sleep(deps.settings.deadline).await;
    while progress.file_moved_within(FILE_STALLS)
        && tokio::time::Instant::now() + RENEW_EVERY <= latest
        && sync_case::renew_lease(deps, task, holder).await
    {
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

fn recorded(deps: &Deps, report: TaskReport, started: DateTime<Utc>) -> TaskReport {
    let mut report = report.with_bounded_detail();
    report.duration = (deps.clock.now() - started).to_std().unwrap_or_default();
    report.record(&deps.metrics);
    report
}

/// Replaces the reference that a person gives for a case (its key, number or address) by the case's own ID (`R31`: an ID is valid only in
/// its own system).
async fn named(deps: &Deps, task: Task) -> Result<Task, Box<TaskReport>> {
    let kind = task.kind();
    let (side, reference) = match &task {
        Task::SyncGoogleCase(body) => (Side::Google, body.case_name.trim()),
        Task::SyncCompanyCase(body) => (Side::Company, body.case_id.trim()),
        Task::PollGoogle | Task::PollCompany | Task::DetectOutages | Task::Cleanup => return Ok(task),
    };
    let failed = |detail: String| Box::new(TaskReport::failed(kind, detail));
    let is_known = match side {
        Side::Google => GoogleCaseName::parse(reference).is_ok(),
        Side::Company => match CompanyCaseId::parse(reference) {
            Ok(id) => {
                deps.store.find_by_company(&id).await.map_err(|error| failed(error.to_string()))?.is_some()
            }
            Err(_) => false,
        },
    };
    if is_known {
        return Ok(task);
    }
    match deps.systems[side].resolve(reference).await {
        Ok(Some(case)) => Ok(match side {
            Side::Google => Task::SyncGoogleCase(SyncGoogleCase::of(case.id)),
            Side::Company => Task::SyncCompanyCase(SyncCompanyCase::of(case.id)),
        }),
        Ok(None) => Ok(task),
        Err(error) if error.kind == ApiErrorKind::Refused => {
            Err(Box::new(TaskReport::abandoned(kind, error.to_string())))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Returns a unique name for one run of a task: 128 random bits, after the name of this process if the store knows it.
fn run_name(deps: &Deps) -> String {
    let run = hex::encode(rand::random::<[u8; 16]>());
    deps.store.process().map_or_else(|| run.clone(), |process| format!("{process}-{run}"))
}
