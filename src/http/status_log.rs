//! Status entries: what the alerts on App Engine and Cloud Run go by, where nothing reads `GET /metrics`. Each minute an instance logs what
//! `GET /metrics` shows: one entry for itself, and one for each side. `deploy/alerts/generate.py` names the fields in log metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::entities::Side;
use crate::tasks::{self, Deps};
use crate::telemetry::PushLabels;

/// Time between two entries. The policies count entries within ten minutes.
const INTERVAL: Duration = Duration::from_mins(1);

/// True for the values of a label that count.
type Accepts = fn(&str) -> bool;

/// Number in an entry: the sum of the samples of one series of `GET /metrics`. Of a counter it is the increase since the entry before, so
/// that a restart, which sets the counter to 0, takes nothing away.
struct Field {
    name: &'static str,
    series: &'static str,
    /// Label that says if a sample counts. `None`: all do.
    only: Option<(&'static str, Accepts)>,
}

const fn all(name: &'static str, series: &'static str) -> Field {
    Field { name, series, only: None }
}

const fn only(name: &'static str, series: &'static str, label: &'static str, accepts: Accepts) -> Field {
    Field { name, series, only: Some((label, accepts)) }
}

/// Fields of the entry about the instance, beside `starts` and `pairs_checked_age_seconds`.
const OF_SERVICE: &[Field] = &[
    all("store_up", "store_up"),
    all("failing_pairs", "failing_pairs"),
    all("missing_cases", "missing_cases"),
    all("oldest_waiting_seconds", "oldest_waiting_seconds"),
    only("pulls_failed", "pulls_total", "outcome", |outcome| outcome == "failed"),
    only("pulls_answered", "pulls_total", "outcome", |outcome| outcome != "failed"),
];

/// Fields of the entry about a side.
const OF_SIDE: &[Field] = &[
    all("poll_age_seconds", "poll_age_seconds"),
    all("proof_age_seconds", "proof_age_seconds"),
    all("answers_doubted", "answers_doubted"),
    all("empty_seconds", "empty_seconds"),
    all("clock_skew_seconds", "clock_skew_seconds"),
    all("credential_days_left", "credential_days_left"),
    all("skipped_cases", "skipped_cases_total"),
    all("late_changes", "late_changes_total"),
    all("upstream_pauses", "upstream_pauses_total"),
    all("upstream_calls", "upstream_calls_total"),
    only("upstream_failed", "upstream_calls_total", "status", |status| {
        status == "none" || status.starts_with('5')
    }),
    only("upstream_throttled", "upstream_calls_total", "status", |status| status == "429"),
    only("upstream_refused", "upstream_calls_total", "status", |status| status == "401"),
    only("push_unproven", "push_messages_total", "outcome", |outcome| outcome == PushLabels::UNPROVEN),
    only("push_malformed", "push_messages_total", "outcome", |outcome| outcome == "malformed"),
];

/// Sample of `GET /metrics`, without the prefix of its name.
struct Sample<'a> {
    series: &'a str,
    labels: &'a str,
    value: i64,
}

impl<'a> Sample<'a> {
    /// Reads a line. `None` for what is no whole number.
    fn read(line: &'a str) -> Option<Self> {
        let (series, value) = line.strip_prefix("casebridge_")?.rsplit_once(' ')?;
        let (series, labels) = series.split_once('{').unwrap_or((series, "}"));
        Some(Self { series, labels: labels.strip_suffix('}')?, value: value.parse().ok()? })
    }

    /// Returns the value of a label. None has a comma or a quotation mark.
    fn label(&self, name: &str) -> Option<&'a str> {
        let value = self.labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""))?;
        value.strip_suffix('"')
    }

    fn is_of(&self, side: Side, system: &str) -> bool {
        self.label("side") == Some(side.name())
            || ["upstream", "system"].iter().any(|label| self.label(label) == Some(system))
    }
}

/// Writes status entries, and remembers what the counters were.
#[derive(Debug, Default)]
pub struct StatusLog {
    /// Counters in the entries before, by the side and the name of the field. `None` before the first.
    counted: Option<BTreeMap<(Option<Side>, &'static str), i64>>,
}

impl StatusLog {
    /// Writes entries each minute until `shutdown` is cancelled, the first ones at once.
    pub async fn run(mut self, deps: &Deps, shutdown: &CancellationToken) {
        let mut minutes = tokio::time::interval(INTERVAL);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let round = async {
                minutes.tick().await;
                self.write(deps).await;
            };
            if shutdown.run_until_cancelled(round).await.is_none() {
                break;
            }
        }
    }

    /// Writes one entry for the instance and one for each side.
    pub async fn write(&mut self, deps: &Deps) {
        metrics::refresh(deps).await;
        let shown = deps.metrics.render();
        let samples: Vec<Sample<'_>> = shown.lines().filter_map(Sample::read).collect();
        let starts = i64::from(self.counted.is_none());
        let mut status = self.fields(None, OF_SERVICE, &samples.iter().collect::<Vec<_>>());
        status.insert("starts".to_owned(), starts.into());
        let checked = deps.metrics.pairs_checked_timestamp_seconds.get();
        if checked > 0 {
            let age = deps.clock.now().timestamp() - checked;
            status.insert("pairs_checked_age_seconds".to_owned(), age.into());
        }
        let status = Value::Object(status).to_string();
        tracing::info!(status, "status");
        for side in Side::BOTH {
            let upstream = tasks::system_name(deps.systems[side].as_ref());
            let its: Vec<_> = samples.iter().filter(|sample| sample.is_of(side, upstream)).collect();
            let status = Value::Object(self.fields(Some(side), OF_SIDE, &its)).to_string();
            tracing::info!(side = side.name(), upstream, status, "status");
        }
    }

    /// Returns the fields of one entry. A value that is not known is left out.
    fn fields(
        &mut self,
        side: Option<Side>,
        fields: &[Field],
        samples: &[&Sample<'_>],
    ) -> Map<String, Value> {
        let counted = self.counted.get_or_insert_default();
        let mut found = Map::new();
        for field in fields {
            let counts = |sample: &Sample<'_>| {
                sample.series == field.series
                    && field.only.is_none_or(|(label, accepts)| sample.label(label).is_some_and(accepts))
            };
            let values = || samples.iter().filter(|sample| counts(sample)).map(|sample| sample.value);
            let sum: i64 = values().sum();
            if field.series.ends_with("_total") {
                let before = counted.insert((side, field.name), sum).unwrap_or_default();
                found.insert(field.name.to_owned(), (sum - before).into());
            } else if values().next().is_some() {
                found.insert(field.name.to_owned(), sum.into());
            }
        }
        found
    }
}
