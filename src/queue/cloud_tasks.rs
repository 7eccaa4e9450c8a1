//! Client of Cloud Tasks' REST API, with one queue for each task, made from `queue.yaml` (`R1`: one queue per task; `R3`: task names).
//!
//! It only creates tasks. Cloud Tasks itself delivers, retries and gives up, by the policies in `queue.yaml`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Enqueued, QueueError, QueuedTask, TaskName, TaskQueue};
use crate::cases::{ApiError, Check, Trouble};
use crate::outbound::{Call, Created, Upstream};
use crate::queue::TaskKind;
use crate::queue::queue_yaml::QueueConfig;

/// Name of the service in errors and logs.
pub const NAME: &str = "Cloud Tasks";
/// Range that Cloud Tasks accepts for the deadline of an App Engine task (discovery document, `Task.dispatchDeadline`).
const DEADLINES: std::ops::RangeInclusive<Duration> = Duration::from_secs(15)..=Duration::from_secs(86_415);

/// Location of the queues, and routing of their tasks to the service.
#[derive(Debug, Clone)]
pub struct CloudTasksOptions {
    /// Google Cloud project that holds the queues and the App Engine application.
    pub project: String,
    /// Region of the queues, `europe-west1`.
    pub location: String,
    /// App Engine service that runs this program, from `GAE_SERVICE`; `None` means the default one. Tasks go to the version that receives
    /// its traffic, so that a task outlives the version that queued it.
    pub service: Option<String>,
    /// Time without an answer after which Cloud Tasks takes a delivery as failed. It must exceed the maximum run time of a task, or the
    /// task would be delivered again while it still runs.
    pub dispatch_deadline: Duration,
}

/// Task queues in Cloud Tasks.
pub struct CloudTasksQueue {
    upstream: Arc<Upstream>,
    options: CloudTasksOptions,
    /// Number of syncs per minute, and at once.
    syncs: Option<(u32, u32)>,
}

impl CloudTasksQueue {
    /// Creates a client for the queues at `upstream`.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, options: CloudTasksOptions) -> Self {
        let syncs = |queues: QueueConfig| (queues.syncs_per_minute(), queues.concurrent_syncs());
        Self { upstream, options, syncs: QueueConfig::load(None).ok().map(syncs) }
    }

    /// Returns the full name of a queue: `projects/P/locations/L/queues/poll-google`.
    fn queue_name(&self, kind: TaskKind) -> String {
        format!("projects/{}/locations/{}/queues/{kind}", self.options.project, self.options.location)
    }

    fn body(&self, task: &QueuedTask, name: &TaskName) -> Value {
        let mut request = json!({
            "httpMethod": "POST",
            "relativeUri": task.kind.path(),
            "headers": { "Content-Type": "application/json" },
            "body": STANDARD.encode(task.body.to_string()),
        });
        if let Some(service) = &self.options.service {
            request["appEngineRouting"] = json!({ "service": service });
        }
        let deadline = self.options.dispatch_deadline.max(task.kind.longest_delivery());
        let deadline = deadline.clamp(*DEADLINES.start(), *DEADLINES.end());
        let mut body = json!({
            "name": format!("{}/tasks/{}", self.queue_name(task.kind), name.as_str()),
            "dispatchDeadline": format!("{}s", deadline.as_secs()),
            "appEngineHttpRequest": request,
        });
        let skew = self.upstream.clock_skew().into_iter().chain(self.upstream.latest_skew()).min();
        if let Some(time) = task.not_before.map(|time| in_their_time(time, skew)) {
            body["scheduleTime"] = time.to_rfc3339_opts(SecondsFormat::Micros, true).into();
        }
        json!({ "task": body })
    }

    fn deploy_command(&self) -> String {
        format!("gcloud app deploy queue.yaml --project={}", self.options.project)
    }

    fn grant_command(&self, role: &str) -> String {
        format!(
            "gcloud projects add-iam-policy-binding {} --member=serviceAccount:SERVICE_ACCOUNT --role={role}",
            self.options.project
        )
    }

    /// Returns the error with its remedy.
    fn advice(&self, kind: TaskKind, error: &ApiError) -> String {
        let CloudTasksOptions { project, location, .. } = &self.options;
        let advice = match error.status {
            Some(403) if error.is_disabled_api() => Some(format!(
                "the API is not enabled: `gcloud services enable cloudtasks.googleapis.com --project={project}`"
            )),
            Some(403) => Some(format!(
                "the service account may not queue tasks for App Engine: if {project} is the right project, `{}` and `{}`; a \
                 new grant can take some minutes",
                self.grant_command(ROLE),
                self.grant_command(APP_ENGINE_ROLE)
            )),
            Some(404) => Some(format!(
                "there is no queue {kind} in {location}: `{}` makes all six, in the region of the App Engine application; \
                 `gcloud tasks locations list --project={project}` says which queue.location that is",
                self.deploy_command()
            )),
            Some(401) => Some(
                "the credentials are not accepted: check which service account runs the service, and that this machine's \
                 clock is right"
                    .to_owned(),
            ),
            // Cloud Tasks answers FAILED_PRECONDITION or INVALID_ARGUMENT; its own message tells which setting is wrong.
            Some(400) => Some(format!(
                "check queue.project and queue.location: tasks for App Engine need an App Engine application in that \
                 project (`gcloud app describe --project={project}`), and its queues are in its own region"
            )),
            _ => None,
        };
        match advice {
            Some(advice) => format!("{error}; {advice}"),
            None => error.to_string(),
        }
    }
}

/// Converts a time by our clock to the clock of Cloud Tasks (`R36`: clock skew): a host whose clock is ahead by days would put its tasks off
/// for as long.
fn in_their_time(ours: DateTime<Utc>, skew: Option<TimeDelta>) -> DateTime<Utc> {
    ours.checked_add_signed(skew.unwrap_or_default()).unwrap_or(ours)
}

/// Role that the service account needs to queue tasks.
const ROLE: &str = "roles/cloudtasks.enqueuer";
/// Role for `appengine.applications.get`, which an App Engine task also needs (discovery document, `AppEngineHttpRequest`) and which the
/// role above does not include.
const APP_ENGINE_ROLE: &str = "roles/appengine.appViewer";

#[async_trait]
impl TaskQueue for CloudTasksQueue {
    /// Assumes the rates of the project's own `queue.yaml`: the API would tell those of the deployed one, for one more right.
    fn syncs_per_minute(&self) -> Option<u32> {
        self.syncs.map(|(per_minute, _)| per_minute)
    }

    /// As [`CloudTasksQueue::syncs_per_minute`].
    fn concurrent_syncs(&self) -> Option<u32> {
        self.syncs.map(|(_, at_once)| at_once)
    }

    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        // Each task has a name before it is sent. If the answer is lost, the retry uses the same name, so the task is queued once. Without
        // a name, each attempt would queue another task.
        let name = task.name.clone().unwrap_or_else(|| TaskName::random(task.kind));
        let call = Call::post(format!("/v2/{}/tasks", self.queue_name(task.kind)), self.body(&task, &name));
        match self.upstream.create_named(call).await {
            Ok(Created::Existed) if task.name.is_some() => Ok(Enqueued::AlreadyExists),
            // A random name can be taken only by an earlier attempt of this call.
            Ok(Created::New | Created::Existed) => Ok(Enqueued::New),
            Err(error) => Err(QueueError { task: task.kind, reason: self.advice(task.kind, &error) }),
        }
    }

    /// Checks that each of the six queues exists and runs, for `casebridge check`.
    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::with_capacity(TaskKind::ALL.len());
        for kind in TaskKind::ALL {
            let queue: Result<Value, ApiError> =
                self.upstream.read(Call::get(format!("/v2/{}", self.queue_name(kind)))).await;
            let result = match queue {
                Ok(queue) => match queue["state"].as_str() {
                    Some("PAUSED") => Err(Trouble::failed(
                        "it is paused",
                        format!(
                            "`gcloud tasks queues resume {kind} --location={} --project={}`",
                            self.options.location, self.options.project
                        ),
                    )),
                    Some("DISABLED") => Err(Trouble::failed(
                        "it is disabled, as a queue that the last queue.yaml did not name",
                        format!("`{}`", self.deploy_command()),
                    )),
                    Some(_) | None => Ok("it exists and runs".to_owned()),
                },
                Err(error) if error.status == Some(403) && !error.is_disabled_api() => Err(Trouble::failed(
                    error.to_string(),
                    format!(
                        "looking at a queue takes roles/cloudtasks.viewer, queueing only {ROLE}: `{}`",
                        self.grant_command("roles/cloudtasks.viewer")
                    ),
                )),
                Err(error) => Err(self.advice(kind, &error).into()),
            };
            checks.push(Check::new(format!("{NAME}: queue {kind}"), result));
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_delivery_is_by_the_clock_of_cloud_tasks() {
        let at = |days: i64| DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days);
        for (ours, skew, theirs) in [(0, None, 0), (10, Some(-10), 0), (0, Some(10), 10)] {
            assert_eq!(in_their_time(at(ours), skew.map(TimeDelta::days)), at(theirs), "{ours} {skew:?}");
        }
        let last = DateTime::<Utc>::MAX_UTC;
        assert_eq!(in_their_time(last, Some(TimeDelta::days(1))), last);
    }
}
