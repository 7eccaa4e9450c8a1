//! Metrics, and logs as a terminal or Cloud Logging reads them.

mod logs;
mod trace;

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use logs::{CloudLogging, LogSource, init, is_loggable};
pub use trace::{TraceContext, request_span};

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit that the program was built from; `unknown` if the build had neither a checkout nor `CASEBRIDGE_COMMIT`.
pub const COMMIT: &str = env!("CASEBRIDGE_COMMIT");
/// Version and commit, as `--version` and the log show them.
pub const RELEASE: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CASEBRIDGE_COMMIT"), ")");

/// Labels of [`Metrics::tasks`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TaskLabels {
    /// `poll-google`
    pub task: &'static str,
    /// `done`, `outage`, `abandoned`, `failed`
    pub outcome: &'static str,
}

/// Labels of [`Metrics::upstream_calls`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// `CSAPI`, `Jira`
    pub upstream: &'static str,
    /// HTTP method.
    pub method: String,
    /// HTTP status, or `none` without an answer.
    pub status: String,
}

/// Labels of [`Metrics::carried`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CarriedLabels {
    /// `case`, `comment`, `attachment`, `priority`, `status`
    pub kind: &'static str,
    /// Side that it was carried to.
    pub to: &'static str,
}

/// Labels of values that exist once for each side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SideLabels {
    /// `google`, `company`
    pub side: &'static str,
}

/// Labels of values that exist once for each upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    /// `CSAPI`, `Jira`
    pub upstream: &'static str,
}

/// Labels of [`Metrics::credential_days_left`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SystemLabels {
    /// `CSAPI`, `Jira`
    pub system: &'static str,
}

/// Labels of the counts of push messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PushLabels {
    /// Side that sent the message.
    pub side: &'static str,
    /// Outcome: `queued`, `coalesced`, `own`, `left`, `unproven`, `malformed`, `unavailable`, `failed`.
    pub outcome: &'static str,
}

/// Labels of [`Metrics::pulls`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PullLabels {
    /// Outcome: `messages`, `empty`, `failed`.
    pub outcome: &'static str,
}

/// All metrics that `GET /metrics` shows. Each service has its own; nothing is global.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Task runs by outcome.
    pub tasks: Family<TaskLabels, Counter>,
    /// Duration of a task run, in seconds, by task and outcome.
    pub task_seconds: Family<TaskLabels, Histogram>,
    /// HTTP calls to the upstreams.
    pub upstream_calls: Family<CallLabels, Counter>,
    /// Pauses that the upstreams asked for and that are kept for all calls (`R37`: nobody waits for the slowest).
    pub upstream_pauses: Family<UpstreamLabels, Counter>,
    /// Seconds by which each upstream's clock is ahead of ours, by its last answers (`R36`: clock skew).
    pub clock_skew_seconds: Family<UpstreamLabels, Gauge>,
    /// Whole days until the credentials of a system end, where that is known, as of the latest answer to `GET /metrics`; negative
    /// afterwards.
    pub credential_days_left: Family<SystemLabels, Gauge>,
    /// Cases in push messages by outcome, and refused messages.
    pub push_messages: Family<PushLabels, Counter>,
    /// Pulls from the Pub/Sub subscription by outcome.
    pub pulls: Family<PullLabels, Counter>,
    /// Syncs that carried something which a poll had found, and no push message had announced.
    pub unannounced_changes: Family<SideLabels, Counter>,
    /// Cases, comments, attachments, priorities and statuses carried.
    pub carried: Family<CarriedLabels, Counter>,
    /// Seconds from the creation of a comment or an attachment to its arrival on the other side.
    pub propagation_seconds: Family<SideLabels, Histogram>,
    /// Mappings with a dirty side, as of the last run of `detect-outages`.
    pub waiting_mappings: Gauge,
    /// Age in seconds of the oldest dirty mark, as of the last run of `detect-outages`.
    pub oldest_waiting_seconds: Gauge,
    /// Mappings in an outage, as of the last run of `detect-outages`.
    pub outages: Gauge,
    /// Seconds since each side's last complete poll, as of the latest answer to `GET /metrics`.
    pub poll_age_seconds: Family<SideLabels, Gauge>,
    /// Seconds for which each side's system has shown no case at all, as of the latest answer to `GET /metrics`; 0 if it shows one.
    pub empty_seconds: Family<SideLabels, Gauge>,
    /// Cases that a poll could not understand.
    pub skipped_cases: Family<SideLabels, Counter>,
    /// Changes that only a sweep found: the polling window is too short for the index lag (`R27`: sweeps).
    pub late_changes: Family<SideLabels, Counter>,
    /// Cases that name a counterpart which they cannot have, as of the last run of `detect-outages` (`R31`: an ID is valid only in its own
    /// system; `R38`: a claim is not a proof).
    pub conflicts: Gauge,
    /// Cases that take no changes any more, as of the last run of `detect-outages` (`R33`: final refusals).
    pub read_only_cases: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("casebridge");
        let seconds: fn() -> Histogram =
            || Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]);
        let latency: fn() -> Histogram =
            || Histogram::new([1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0, 14400.0, 86400.0]);
        let metrics = Self {
            tasks: Family::default(),
            task_seconds: Family::new_with_constructor(seconds),
            upstream_calls: Family::default(),
            upstream_pauses: Family::default(),
            clock_skew_seconds: Family::default(),
            credential_days_left: Family::default(),
            push_messages: Family::default(),
            pulls: Family::default(),
            unannounced_changes: Family::default(),
            carried: Family::default(),
            propagation_seconds: Family::new_with_constructor(latency),
            waiting_mappings: Gauge::default(),
            oldest_waiting_seconds: Gauge::default(),
            outages: Gauge::default(),
            poll_age_seconds: Family::default(),
            empty_seconds: Family::default(),
            skipped_cases: Family::default(),
            late_changes: Family::default(),
            conflicts: Gauge::default(),
            read_only_cases: Gauge::default(),
            registry: Registry::default(),
        };
        let build = Info::new([("version", VERSION), ("commit", COMMIT)]);
        registry.register("build", "Version and commit of the program", build);
        registry.register("tasks", "Task runs by outcome", metrics.tasks.clone());
        registry.register("task_seconds", "Duration of task runs", metrics.task_seconds.clone());
        registry.register("upstream_calls", "HTTP calls to upstreams", metrics.upstream_calls.clone());
        registry.register(
            "upstream_pauses",
            "Pauses that upstreams asked for, kept for all calls",
            metrics.upstream_pauses.clone(),
        );
        registry.register(
            "clock_skew_seconds",
            "Time by which an upstream's clock is ahead of the connector's",
            metrics.clock_skew_seconds.clone(),
        );
        registry.register(
            "credential_days_left",
            "Whole days until the credentials of a system end",
            metrics.credential_days_left.clone(),
        );
        registry.register("push_messages", "Push messages by outcome", metrics.push_messages.clone());
        registry.register("pulls", "Pulls of push messages by outcome", metrics.pulls.clone());
        registry.register(
            "unannounced_changes",
            "Syncs of changes that no push message announced",
            metrics.unannounced_changes.clone(),
        );
        registry.register("carried", "Things carried to a side", metrics.carried.clone());
        registry.register(
            "propagation_seconds",
            "Time from creation on one side to arrival on the other",
            metrics.propagation_seconds.clone(),
        );
        registry.register(
            "waiting_mappings",
            "Mappings with something waiting",
            metrics.waiting_mappings.clone(),
        );
        registry.register(
            "oldest_waiting_seconds",
            "Age of the oldest thing waiting",
            metrics.oldest_waiting_seconds.clone(),
        );
        registry.register("outages", "Mappings in an outage", metrics.outages.clone());
        registry.register(
            "poll_age_seconds",
            "Time since the last complete poll",
            metrics.poll_age_seconds.clone(),
        );
        registry.register(
            "empty_seconds",
            "Time for which a system has shown no case at all",
            metrics.empty_seconds.clone(),
        );
        registry.register(
            "skipped_cases",
            "Cases that a poll could not understand",
            metrics.skipped_cases.clone(),
        );
        registry.register("late_changes", "Changes that only a sweep found", metrics.late_changes.clone());
        registry.register(
            "conflicts",
            "Cases that name a counterpart which they cannot have",
            metrics.conflicts.clone(),
        );
        registry.register(
            "read_only_cases",
            "Cases that take no changes any more",
            metrics.read_only_cases.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Creates metrics that are all zero.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// Returns the text that Prometheus reads (OpenMetrics 1.0).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            text.clear();
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}
