//! Result of a task, for its caller, the log and the metrics.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::TaskKind;
use crate::cases::{ApiError, bounded};
use crate::telemetry::{Metrics, TaskLabels, task_ended};

/// Maximum length of a detail, in bytes.
const MAX_DETAIL: usize = 8 * 1024;
/// Maximum number of items of a list in the log.
const MAX_LOGGED: usize = 50;

/// Outcome of a task. `http` maps it to a status, by one table (`R4`: status codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done, or there was none.
    Done,
    /// `detect-outages` found an outage.
    Outage,
    /// The task can never succeed: an unknown case, a deleted mapping.
    Abandoned,
    /// The task failed in a way that may pass.
    Failed,
}

impl Outcome {
    /// Returns the name: `done`, `outage`, `abandoned` or `failed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Outage => "outage",
            Self::Abandoned => "abandoned",
            Self::Failed => "failed",
        }
    }
}

/// Item that a sync carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CarriedItem {
    /// `case`, `comment`, `attachment`, `priority`, `status`, `notice`
    pub kind: &'static str,
    /// Side that it was carried to.
    pub to: &'static str,
    /// Original on its own side: an ID, a priority, `closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// ID of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// Result of a task. Holds IDs and counts; titles only where the log does not show them, and no other content.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskReport {
    /// Kind of the task.
    pub task: TaskKind,
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Reason of a failure, or a remark.
    pub detail: Option<String>,
    /// Remedy for an operator, as far as the error names one.
    pub remedy: Option<String>,
    /// True if another task worked on the case. The same request succeeds once that one has ended.
    pub contended: bool,
    /// Counts and lists, by name.
    pub fields: Map<String, Value>,
    /// Values for the caller that the log does not show, by name: what a dry run has found, with titles.
    pub shown: Map<String, Value>,
    /// Duration of the run.
    pub duration: Duration,
}

impl TaskReport {
    /// Creates a result without details.
    #[must_use]
    pub fn new(task: TaskKind, outcome: Outcome) -> Self {
        Self {
            task,
            outcome,
            detail: None,
            remedy: None,
            contended: false,
            fields: Map::new(),
            shown: Map::new(),
            duration: Duration::ZERO,
        }
    }

    /// Creates the result of a failure that may pass.
    #[must_use]
    pub fn failed(task: TaskKind, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(task, Outcome::Failed) }
    }

    /// Creates the result of a failed call.
    pub(super) fn of_api(task: TaskKind, error: &ApiError) -> Self {
        Self::failed(task, error.to_string()).advised(error.remedy())
    }

    /// Adds the remedy of a failure.
    #[must_use]
    pub(super) fn advised(self, remedy: Option<String>) -> Self {
        Self { remedy, ..self }
    }

    /// Creates the result of a failure that will not pass.
    #[must_use]
    pub fn abandoned(task: TaskKind, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(task, Outcome::Abandoned) }
    }

    /// Adds a count, an ID or a list under this name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        // Counts, IDs and lists of them can always be serialised.
        self.fields.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }

    /// Adds a value that the caller gets and the log does not show.
    #[must_use]
    pub(super) fn showing(mut self, name: &str, value: impl Serialize) -> Self {
        // Texts, counts and lists of them can always be serialised.
        self.shown.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }

    /// Returns the JSON object that the endpoint answers with.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("task".to_owned(), json!(self.task.name()));
        object.insert("outcome".to_owned(), json!(self.outcome.name()));
        if let Some(detail) = &self.detail {
            object.insert("detail".to_owned(), json!(detail));
        }
        if let Some(remedy) = &self.remedy {
            object.insert("remedy".to_owned(), json!(remedy));
        }
        object.extend(self.fields.clone());
        object.extend(self.shown.clone());
        object.insert(
            "duration_ms".to_owned(),
            json!(u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX)),
        );
        Value::Object(object)
    }

    /// Cuts a detail that is too long for a log entry and for a mapping.
    #[must_use]
    pub(super) fn with_bounded_detail(mut self) -> Self {
        self.detail = self.detail.map(|detail| bounded(&detail, MAX_DETAIL));
        self
    }

    /// Counts the run in the metrics, and logs its one event.
    pub(crate) fn record(&self, metrics: &Metrics) {
        let labels = TaskLabels { task: self.task.name(), outcome: self.outcome.name() };
        metrics.tasks.get_or_create(&labels).inc();
        metrics.task_seconds.get_or_create(&labels).observe(self.duration.as_secs_f64());
        self.log();
    }

    /// Records the outcome of the run, and the IDs of its pair, in the span of a trace.
    pub(super) fn end(&self, span: &tracing::Span) {
        let id = |name| self.fields.get(name).and_then(Value::as_str);
        let failed = matches!(self.outcome, Outcome::Failed | Outcome::Abandoned);
        task_ended(span, self.outcome.name(), failed, id("google_case_name"), id("company_case_id"));
    }

    fn log(&self) {
        // Written only if somebody reads this level.
        let counts = || for_log(&self.fields).to_string();
        let (task, outcome) = (self.task.name(), self.outcome.name());
        let detail = self.detail.as_deref().unwrap_or_default();
        let seconds = self.duration.as_secs_f64();
        match self.outcome {
            Outcome::Done => {
                tracing::info!(
                    task,
                    outcome,
                    detail,
                    task.seconds = seconds,
                    task.result = counts(),
                    "{task}: {outcome}"
                );
            }
            Outcome::Outage | Outcome::Failed => {
                tracing::warn!(
                    task,
                    outcome,
                    detail,
                    task.seconds = seconds,
                    task.result = counts(),
                    "{task}: {outcome}: {detail}"
                );
            }
            Outcome::Abandoned => {
                tracing::error!(
                    task,
                    outcome,
                    detail,
                    task.seconds = seconds,
                    task.result = counts(),
                    "{task}: {outcome}: {detail}"
                );
            }
        }
    }
}

/// Returns the fields for the log: of a long list the first items, with the number of those that are left out.
fn for_log(fields: &Map<String, Value>) -> Value {
    let mut logged = Map::new();
    for (name, value) in fields {
        match value {
            Value::Array(items) if items.len() > MAX_LOGGED => {
                logged.insert(name.clone(), items[..MAX_LOGGED].into());
                logged.insert(format!("{name}_left_out"), json!(items.len() - MAX_LOGGED));
            }
            Value::String(text) => {
                logged.insert(name.clone(), bounded(text, MAX_DETAIL).into());
            }
            value => {
                logged.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(logged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_is_bounded_and_counts_what_is_left_out() {
        let long = "\u{e9}".repeat(1 << 20);
        let report = TaskReport::failed(TaskKind::SyncGoogleCase, &long)
            .with("carried", vec!["id"; 5_000])
            .with("few", vec!["id"; MAX_LOGGED])
            .with("text", &long)
            .with_bounded_detail();
        let detail = report.detail.clone().unwrap_or_default();
        assert!(detail.len() < MAX_DETAIL + 50 && detail.ends_with("bytes left out)"), "{}", detail.len());
        let logged = for_log(&report.fields);
        assert_eq!(
            (logged["carried"].as_array().map(Vec::len), &logged["carried_left_out"]),
            (Some(50), &json!(4_950))
        );
        assert_eq!((logged["few"].as_array().map(Vec::len), logged.get("few_left_out")), (Some(50), None));
        assert!(logged.to_string().len() < 2 * MAX_DETAIL);
    }
}
