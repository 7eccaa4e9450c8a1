//! Metrics, logs as a terminal or Cloud Logging reads them, and the spans of traces.

mod logs;
pub mod recent;
mod spans;
mod template;
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

pub use logs::{BoxedLayer, CloudLogging, LogSource, init, is_loggable};
pub use spans::{
    TRACES, call_answered, call_goes_to, call_trace, detached, exported, redirect_trace, request_answered,
    request_trace, step_trace, task_ended, task_trace, trace_failed, within_request,
};
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

impl PushLabels {
    /// Outcomes of messages that were taken.
    pub const TAKEN: [&str; 4] = ["queued", "coalesced", "own", "left"];
    /// Outcomes of messages that were refused, or could not be taken.
    pub const REFUSED: [&str; 4] = [Self::UNPROVEN, "malformed", "unavailable", "failed"];
    /// Outcome of messages whose proof is wrong: a signature, a secret or a token.
    pub const UNPROVEN: &str = "unproven";
}

/// Labels of [`Metrics::pulls`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PullLabels {
    /// Outcome: `messages`, `empty`, `failed`.
    pub outcome: &'static str,
}

/// Labels of [`Metrics::dead_letters`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeadLetterLabels {
    /// `poll-google`
    pub task: &'static str,
}

/// Labels of [`Metrics::store_free_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StoreLabels {
    /// `sqlite`
    pub store: &'static str,
}

/// All metrics that `GET /metrics` shows. Each service has its own; nothing is global.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Time at which the service started, in seconds since 1970.
    pub start_time_seconds: Gauge,
    /// 1 if the store answered the latest `GET /metrics`, else 0.
    pub store_up: Gauge,
    /// Free bytes of the disk that the store's file is on, as of the latest answer to `GET /metrics`.
    pub store_free_bytes: Family<StoreLabels, Gauge>,
    /// Tasks that the queue gave up within the last day, as of the latest answer to `GET /metrics`; absent if the queue keeps no record.
    pub dead_letters: Family<DeadLetterLabels, Gauge>,
    /// Course of the last day, which the operators' page draws.
    pub recent: recent::Recent,
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
    /// Age in seconds above which each side's last complete poll is too old, as `GET /healthz/sync` has it.
    pub poll_limit_seconds: Family<SideLabels, Gauge>,
    /// Seconds since each side's system last proved that it shows cases, as of the latest answer to `GET /metrics` (`R26`: empty answers need
    /// proof); absent before the first proof.
    pub proof_age_seconds: Family<SideLabels, Gauge>,
    /// 1 if the last poll of a side did not trust the answers of its system, else 0; as of the latest answer to `GET /metrics` (`R26`: empty
    /// answers need proof).
    pub answers_doubted: Family<SideLabels, Gauge>,
    /// 1 if the changes of a side are announced by push messages, by the configuration, else 0.
    pub push_expected: Family<SideLabels, Gauge>,
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
    /// Pairs whose last sync failed, as of the last run of `detect-outages`.
    pub failing_pairs: Gauge,
    /// Cases that are not found, as of the last run of `detect-outages` (`R28`: missing is not gone).
    pub missing_cases: Gauge,
    /// Time of the last complete run of `detect-outages` in this process, in seconds since 1970; 0 before the first. What is as of that run
    /// is out of date if another process makes the later ones.
    pub pairs_checked_timestamp_seconds: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("casebridge");
        let seconds: fn() -> Histogram =
            || Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]);
        let latency: fn() -> Histogram =
            || Histogram::new([1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0, 14400.0, 86400.0]);
        let metrics = Self {
            start_time_seconds: Gauge::default(),
            store_up: Gauge::default(),
            store_free_bytes: Family::default(),
            dead_letters: Family::default(),
            poll_limit_seconds: Family::default(),
            proof_age_seconds: Family::default(),
            answers_doubted: Family::default(),
            push_expected: Family::default(),
            failing_pairs: Gauge::default(),
            missing_cases: Gauge::default(),
            pairs_checked_timestamp_seconds: Gauge::default(),
            recent: recent::Recent::default(),
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
        metrics.register_health(&mut registry);
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

    /// Registers what tells if the service itself is well, and the systems' proofs.
    fn register_health(&self, registry: &mut Registry) {
        let gauges: [(&str, &str, &Gauge); 5] = [
            ("start_time_seconds", "Time at which the service started", &self.start_time_seconds),
            ("store_up", "1 if the store answered", &self.store_up),
            ("failing_pairs", "Pairs whose last sync failed", &self.failing_pairs),
            ("missing_cases", "Cases that are not found", &self.missing_cases),
            (
                "pairs_checked_timestamp_seconds",
                "Time at which this process last looked for outages",
                &self.pairs_checked_timestamp_seconds,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let sides = [
            (
                "poll_limit_seconds",
                "Age above which the last complete poll is too old",
                &self.poll_limit_seconds,
            ),
            ("proof_age_seconds", "Time since a system proved that it shows cases", &self.proof_age_seconds),
            (
                "answers_doubted",
                "1 if the last poll did not trust its system's answers",
                &self.answers_doubted,
            ),
            ("push_expected", "1 if push messages announce the changes of a side", &self.push_expected),
        ];
        for (name, help, family) in sides {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "store_free_bytes",
            "Free bytes of the disk that the store's file is on",
            self.store_free_bytes.clone(),
        );
        registry.register(
            "dead_letters",
            "Tasks that the queue gave up within the last day",
            self.dead_letters.clone(),
        );
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
