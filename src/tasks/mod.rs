//! The six tasks, one file each, and the one table that names them.
//!
//! A task's payload is a hint: it reads everything again and is idempotent, so push, poll, retry and curl are one path.

mod admission;
mod apply;
mod check;
mod cleanup;
mod compare;
mod detect_outages;
mod poll;
mod poll_company;
mod poll_google;
mod report;
mod scheduler;
mod session;
mod sight;
mod sync_case;
mod sync_company_case;
mod sync_google_case;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use chrono::{DateTime, Duration, Utc};
use tokio_util::sync::CancellationToken;

use crate::cases::{ApiErrorKind, Capabilities, CaseSystem};
use crate::clock::SharedClock;
use crate::entities::{CompanyCaseId, GoogleCaseName, Side, Sides, ToleranceTable};
use crate::queue::TaskQueue;
use crate::store::Store;
use crate::sync::{Clocks, Rules};
use crate::telemetry::Metrics;

pub use crate::queue::{SyncCompanyCase, SyncGoogleCase, TaskKind};
pub use check::check;
pub use report::{CarriedItem, Outcome, TaskReport};

/// Who asked for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A queue: what can never succeed is not to be repeated (`R4`).
    Queue,
    /// A person: may ask for the sync of a case that no poll would pick up.
    Person,
}

/// Whether a task does what it plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Act,
    /// It says what it would do, and changes nothing.
    DryRun,
}

/// A task to be run.
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
    /// Its kind.
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

    /// The task of that kind with that request body. Errors say what the body should be; they do not quote it.
    pub fn parse(kind: TaskKind, body: &[u8]) -> Result<Self, String> {
        fn case<T: serde::de::DeserializeOwned>(body: &[u8], example: &str) -> Result<T, String> {
            serde_json::from_slice(body).map_err(|error| {
                format!(
                    "the body must be JSON like {example}; it is not, at line {} column {}",
                    error.line(),
                    error.column()
                )
            })
        }
        match kind {
            TaskKind::PollGoogle => Ok(Self::PollGoogle),
            TaskKind::PollCompany => Ok(Self::PollCompany),
            TaskKind::DetectOutages => Ok(Self::DetectOutages),
            TaskKind::Cleanup => Ok(Self::Cleanup),
            TaskKind::SyncGoogleCase => {
                case(body, r#"{"case_name": "organizations/1/cases/2"}"#).map(Self::SyncGoogleCase)
            }
            TaskKind::SyncCompanyCase => case(body, r#"{"case_id": "10001"}"#).map(Self::SyncCompanyCase),
        }
    }
}

/// What the configuration says about the tasks.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// What is kept in step, and how.
    pub rules: Rules,
    /// How long a case goes on being checked after an update, for each side.
    pub windows: Sides<Duration>,
    /// A case older than this, by its creation, gets no mapping from a poll.
    pub max_case_age: Duration,
    /// A mapping lives this long after its case was resolved.
    pub retention: Duration,
    /// How late a case may be.
    pub tolerances: ToleranceTable,
    /// The longest that one task may run; shorter than `lease` (`R12`).
    pub deadline: StdDuration,
    /// For how long a sync keeps other syncs of the case out, unless it gives the case back earlier.
    pub lease: Duration,
    /// How many syncs the upstreams' rate limits let through in a minute: no more are queued (`R21`).
    pub syncs_per_minute: u32,
    /// How long a linked case has to be missing before its pair ends (`R28`).
    pub missing_grace: Duration,
    /// How long something that is refused for good is tried before it is explained and given up (`R33`).
    pub give_up_after: Duration,
    /// Whether a company case that merely names a Google case is adopted (`R38`).
    pub adopt_claims: bool,
}

impl TaskSettings {
    /// How many calls a sync makes to one upstream, a little more than were measured: a check makes three, the
    /// creation of a counterpart about eight.
    const CALLS_PER_SYNC: u32 = 5;
    /// What `queue.yaml` lets through: two queues of 20 a second.
    const MOST_SYNCS_PER_MINUTE: u32 = 2_000;

    /// How many syncs these rate limits let through in a minute.
    #[must_use]
    pub fn pace(requests_per_minute: Sides<NonZeroU32>) -> u32 {
        let calls = requests_per_minute.google.min(requests_per_minute.company).get();
        (calls / Self::CALLS_PER_SYNC).clamp(1, Self::MOST_SYNCS_PER_MINUTE)
    }
}

/// How far the newest answer may be from those before it, until it is asked again what time a system has (`R36`).
const CLOCK_DOUBT: Duration = Duration::minutes(1);

/// Everything that the tasks work with.
pub struct Deps {
    /// Time.
    pub clock: SharedClock,
    /// Where the entities are kept.
    pub store: Arc<dyn Store>,
    /// Where tasks wait.
    pub queue: Arc<dyn TaskQueue>,
    /// CSAPI and the CRM.
    pub systems: Sides<Arc<dyn CaseSystem>>,
    /// The configuration.
    pub settings: TaskSettings,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Cancelled when running tasks have to end at once: they give their leases back.
    pub stop: CancellationToken,
}

impl Deps {
    /// Address of the company's system (`R31`).
    fn home(&self) -> Option<&str> {
        self.systems[Side::Company].home()
    }

    /// The systems' clocks, beside ours (`R36`).
    fn clocks(&self) -> Clocks {
        // The earlier of both: a clock that has jumped shows in the newest answer first, and a horizon that is too early costs a longer
        // list, where one that is too late loses something.
        let skew = |side: Side| {
            let system = &self.systems[side];
            system.clock_skew().into_iter().chain(system.latest_skew()).min().unwrap_or_default()
        };
        Clocks {
            now: self.clock.now(),
            skew: Sides { google: skew(Side::Google), company: skew(Side::Company) },
        }
    }

    /// Why it is not known now what time a system has: its newest answer and those before it do not agree, since its clock or ours was
    /// set a moment ago. A few answers more decide it (`R36`).
    fn clock_doubt(&self, side: Side) -> Option<String> {
        let system = &self.systems[side];
        let (usual, latest) = (system.clock_skew()?, system.latest_skew()?);
        ((usual - latest).abs() > CLOCK_DOUBT).then(|| {
            format!(
                "the clock of {}, or that of this host, seems to have been set by {} s; its next answers show whether it was",
                system.capabilities().name,
                (latest - usual).num_seconds()
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

/// Runs a task to its end or to its deadline, logs one event and counts it.
pub async fn run(deps: &Deps, task: Task, caller: Caller, mode: Mode) -> TaskReport {
    let kind = task.kind();
    let started = deps.clock.now();
    let holder = run_name();
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
        match &task {
            Task::PollGoogle => poll_google::run(deps).await,
            Task::PollCompany => poll_company::run(deps).await,
            Task::SyncGoogleCase(body) => sync_google_case::run(deps, body, &holder, caller, mode).await,
            Task::SyncCompanyCase(body) => sync_company_case::run(deps, body, &holder, caller, mode).await,
            Task::DetectOutages => detect_outages::run(deps).await,
            Task::Cleanup => cleanup::run(deps).await,
        }
    };
    let seconds = deps.settings.deadline.as_secs();
    let cut_short = tokio::select! {
        report = work => Ok(report),
        () = tokio::time::sleep(deps.settings.deadline) => {
            Err(format!("the task was not done within its deadline of {seconds} s"))
        }
        () = deps.stop.cancelled() => Err("the service is stopping".to_owned()),
    };
    let report = match cut_short {
        Ok(report) => report,
        Err(reason) => {
            sync_case::give_back(deps, &task, &holder).await;
            TaskReport::failed(kind, reason)
        }
    };
    recorded(deps, report, started)
}

fn recorded(deps: &Deps, mut report: TaskReport, started: DateTime<Utc>) -> TaskReport {
    report.duration = (deps.clock.now() - started).to_std().unwrap_or_default();
    report.record(&deps.metrics);
    report
}

/// The task with the case's own ID in the place of what a person calls it: its key, its number or its address (`R31`).
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
            Side::Google => Task::SyncGoogleCase(SyncGoogleCase { case_name: case.id }),
            Side::Company => Task::SyncCompanyCase(SyncCompanyCase { case_id: case.id }),
        }),
        Ok(None) => Ok(task),
        Err(error) if error.kind == ApiErrorKind::Refused => {
            Err(Box::new(TaskReport::abandoned(kind, error.to_string())))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// A name for one run of a task: 128 random bits.
fn run_name() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
