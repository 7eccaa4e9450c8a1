//! Embedded cron: calls `GET /cron/{task}` by `cron.yaml`, as App Engine's cron does (`R1`: cron only queues).
//!
//! Jobs run at fixed minutes (see [`Schedule`]), and `poll-company` half a minute later, so a restart neither shifts nor doubles them. The queue's database keeps the last
//! completed scheduled time of each job. A job is due when a later scheduled time has passed, so after hours of sleep or downtime it runs
//! once, not once for each missed time. A job that has never run starts at once if it runs at intervals, and waits for its time of day if
//! it is daily. A failed run is logged and not retried: the queue retries the task itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use reqwest::Method;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::TaskKind;
use super::cron_yaml::{CronConfig, CronJob, Schedule};
use super::embedded::database::Database;
use super::embedded::{DatabaseError, OpenError, survive};
use super::target::Target;
use crate::clock::SharedClock;

/// Maximum sleep of a loop, since the machine's clock may jump.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time that a claim outlasts the deadline of its call.
const MARGIN: Duration = Duration::from_secs(10);

/// Settings of an [`EmbeddedCron`].
#[derive(Clone)]
pub struct EmbeddedCronOptions {
    /// Database file, the same as the queue's.
    pub path: PathBuf,
    /// Jobs to run.
    pub jobs: CronConfig,
    /// URL that the service listens on: `http://127.0.0.1:8080`. Jobs call it, unless [`EmbeddedCron::call`] is called.
    pub target: Url,
    /// Bearer token that identifies the calls as the service's own.
    pub internal_token: String,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Timeout of a call, after which the run counts as failed.
    pub deadline: Duration,
}

impl EmbeddedCronOptions {
    /// Creates options with a deadline of one minute, which is enough since a job only queues its task.
    #[must_use]
    pub fn new(
        path: impl Into<PathBuf>,
        jobs: CronConfig,
        target: Url,
        internal_token: String,
        clock: SharedClock,
    ) -> Self {
        Self { path: path.into(), jobs, target, internal_token, clock, deadline: Duration::from_mins(1) }
    }
}

/// Runner of the jobs in `cron.yaml`.
pub struct EmbeddedCron {
    database: Database,
    jobs: CronConfig,
    target: Target,
    clock: SharedClock,
    deadline: Duration,
}

/// Result of [`EmbeddedCron::run_due`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CronReport {
    /// Number of jobs that the service answered with 2xx.
    pub done: u64,
    /// Number of failed jobs; they are not retried.
    pub failed: u64,
    /// Earliest time at which a job is due next.
    pub next_due: Option<DateTime<Utc>>,
}

/// Outcome of one check of one job.
enum Ran {
    /// The job was not due, or another process has claimed it.
    Nothing,
    Done,
    Failed,
}

impl EmbeddedCron {
    /// Opens the database and the client. No job runs before [`EmbeddedCron::run`] or [`EmbeddedCron::run_due`].
    pub fn open(options: EmbeddedCronOptions) -> Result<Self, OpenError> {
        let EmbeddedCronOptions { path, jobs, target, internal_token, clock, deadline } = options;
        let database = Database::open(&path)?;
        let target = Target::new(&target, &internal_token)?;
        Ok(Self { database, jobs, target, clock, deadline })
    }

    /// Returns the interval of the job that queues a task. `None` if there is no such job.
    #[must_use]
    pub fn interval(&self, kind: TaskKind) -> Option<TimeDelta> {
        let job = self.jobs.iter().find(|job| job.kind == kind)?;
        Some(job.schedule.interval())
    }

    /// Calls this router until [`EmbeddedCron::run`] ends, without a connection, like [`EmbeddedQueue::deliver_to`](super::embedded::EmbeddedQueue::deliver_to).
    pub fn call(&self, router: Router) {
        self.target.call_in_process(Some(router));
    }

    /// Runs the jobs as they fall due, until `shutdown` is cancelled. Each job has its own loop, so that a slow job delays no other and
    /// never overlaps itself. A call in progress at shutdown is aborted, and repeated by the next process that runs cron.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let loops = self.jobs.iter().map(|job| self.run_job(job, &shutdown));
        join_all(loops).await;
        self.target.call_in_process(None);
    }

    async fn run_job(&self, job: &CronJob, shutdown: &CancellationToken) {
        let work = async {
            loop {
                let look = async {
                    self.run_due_of(&[job]).await?;
                    let pause = |next: DateTime<Utc>| (next - self.clock.now()).to_std().unwrap_or_default();
                    Ok(self.next_due(&[job]).await?.map_or(LOOK_EVERY, pause).min(LOOK_EVERY))
                };
                // `None`: the check panicked. The panic is logged with its place; the next check may succeed.
                let sleep = match survive(look).await {
                    None => LOOK_EVERY,
                    Some(Ok(sleep)) => sleep,
                    Some(Err::<_, DatabaseError>(error)) => {
                        tracing::error!(cron.url = job.url(), error = %error, "cron cannot look at a job; it tries again");
                        LOOK_EVERY
                    }
                };
                tokio::time::sleep(sleep).await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    /// Runs each job that is due by the clock once, and returns when all have ended. It never sleeps, so a test can let days pass at once:
    /// set the clock to [`CronReport::next_due`] and call again.
    pub async fn run_due(&self) -> Result<CronReport, DatabaseError> {
        let jobs: Vec<&CronJob> = self.jobs.iter().collect();
        let mut report = self.run_due_of(&jobs).await?;
        report.next_due = self.next_due(&jobs).await?;
        Ok(report)
    }

    /// Runs each of these jobs that is due.
    async fn run_due_of(&self, jobs: &[&CronJob]) -> Result<CronReport, DatabaseError> {
        let mut report = CronReport::default();
        let done_at = self.done_at(jobs).await?;
        let runs = jobs.iter().zip(done_at).map(|(job, done_at)| self.run_if_due(job, done_at));
        for ran in join_all(runs).await {
            match ran? {
                Ran::Nothing => {}
                Ran::Done => report.done += 1,
                Ran::Failed => report.failed += 1,
            }
        }
        Ok(report)
    }

    /// Returns the last scheduled time for which each of these jobs was completed.
    async fn done_at(&self, jobs: &[&CronJob]) -> Result<Vec<Option<DateTime<Utc>>>, DatabaseError> {
        self.database.cron_done_at(jobs.iter().map(|job| job.kind).collect()).await
    }

    async fn run_if_due(&self, job: &CronJob, done_at: Option<DateTime<Utc>>) -> Result<Ran, DatabaseError> {
        let (kind, now) = (job.kind, self.clock.now());
        let scheduled = job.last_at(now);
        match due(job, done_at, now) {
            Due::No => return Ok(Ran::Nothing),
            Due::NotYet => {
                self.database.cron_done(kind, scheduled).await?;
                return Ok(Ran::Nothing);
            }
            Due::Yes => {}
        }
        let lease = TimeDelta::from_std(self.deadline + MARGIN).unwrap_or(TimeDelta::hours(1));
        let claimed = self.database.cron_claim(kind, done_at, now, lease).await?;
        if !claimed {
            return Ok(Ran::Nothing);
        }
        let headers = vec![("X-Appengine-Cron", "true".to_owned())];
        let answer = self
            .target
            .call(Method::GET, &job.url(), headers, String::new(), self.deadline, || self.clock.now())
            .await;
        self.database.cron_done(kind, scheduled).await?;
        if let Some(failure) = answer.failure {
            tracing::error!(
                cron.url = job.url(),
                cron.status = answer.status,
                cron.failure = failure,
                "a cron job failed; it runs again at its next time"
            );
            return Ok(Ran::Failed);
        }
        tracing::debug!(cron.url = job.url(), "cron job done");
        Ok(Ran::Done)
    }

    /// Returns the time of the next check of these jobs. `None` without a job.
    async fn next_due(&self, jobs: &[&CronJob]) -> Result<Option<DateTime<Utc>>, DatabaseError> {
        let (now, done_at) = (self.clock.now(), self.done_at(jobs).await?);
        let next = jobs.iter().zip(done_at).map(|(job, done_at)| match due(job, done_at, now) {
            // Another process has claimed the job, and may crash before it completes.
            Due::Yes => now + TimeDelta::seconds(1),
            Due::No | Due::NotYet => job.next_after(now),
        });
        Ok(next.min())
    }
}

/// Decision about running a job.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Yes,
    No,
    /// The job is new, and its first time is in the future.
    NotYet,
}

fn due(job: &CronJob, done_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Due {
    match (done_at, job.schedule) {
        (None, Schedule::Every(_)) => Due::Yes,
        (None, Schedule::Daily(_)) => Due::NotYet,
        (Some(done), _) if done < job.last_at(now) => Due::Yes,
        // Later than the next time: written by a clock that ran ahead. A clock that was set back by less than one period must not cause a
        // second run.
        (Some(done), _) if done > job.next_after(now) => Due::Yes,
        (Some(_), _) => Due::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_due_once_for_all_the_times_it_missed() {
        let check_of = |kind: TaskKind, schedule: &str, done: Option<&str>, now: &str, expected: Due| {
            let done = done.map(|done| done.parse().unwrap());
            let schedule = Schedule::parse(schedule).unwrap();
            let got =
                due(&CronJob { kind, description: String::new(), schedule }, done, now.parse().unwrap());
            assert_eq!(got, expected, "'{schedule:?}', done at {done:?}, now {now}");
        };
        let check = |schedule: &str, done: Option<&str>, now: &str, expected: Due| {
            check_of(TaskKind::PollGoogle, schedule, done, now, expected);
        };
        check("every 5 minutes", None, "2026-03-01T10:02:00Z", Due::Yes);
        check("every 5 minutes", Some("2026-03-01T10:00:00Z"), "2026-03-01T10:04:59Z", Due::No);
        check("every 5 minutes", Some("2026-03-01T10:00:00Z"), "2026-03-01T10:05:00Z", Due::Yes);
        check("every 5 minutes", Some("2026-03-01T03:00:00Z"), "2026-03-01T10:07:00Z", Due::Yes);
        check("every 5 minutes", Some("2026-03-01T10:05:00Z"), "2026-03-01T10:07:00Z", Due::No);
        check("every day 03:30", None, "2026-03-01T10:00:00Z", Due::NotYet);
        check("every day 03:30", Some("2026-02-28T03:30:00Z"), "2026-03-01T03:29:00Z", Due::No);
        check("every day 03:30", Some("2026-02-28T03:30:00Z"), "2026-03-01T10:00:00Z", Due::Yes);
        check("every day 03:30", Some("2026-03-01T03:30:00Z"), "2026-03-01T10:00:00Z", Due::No);
        // The clock was set back by a second, and by a year.
        check("every 5 minutes", Some("2026-03-01T10:05:00Z"), "2026-03-01T10:04:59Z", Due::No);
        check("every 5 minutes", Some("2027-03-01T10:05:00Z"), "2026-03-01T10:04:59Z", Due::Yes);
        // The poll of the other side comes half a minute later, also after a version that did not know that.
        let check = |done: &str, now: &str, expected: Due| {
            check_of(TaskKind::PollCompany, "every 1 minutes", Some(done), now, expected);
        };
        check("2026-03-01T10:05:00Z", "2026-03-01T10:05:29Z", Due::No);
        check("2026-03-01T10:05:00Z", "2026-03-01T10:05:30Z", Due::Yes);
        check("2026-03-01T10:05:30Z", "2026-03-01T10:06:29Z", Due::No);
        check("2026-03-01T10:05:30Z", "2026-03-01T10:06:30Z", Due::Yes);
    }
}
