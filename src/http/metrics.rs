//! `GET /metrics`: what the metrics have counted, and what the store, the queue and the systems say at that moment.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Duration, Utc};

use super::{Service, poll_limits};
use crate::entities::{Global, Side};
use crate::queue::DEAD_LETTERS_KEPT;
use crate::tasks::{self, Deps, Outcome, TaskKind};
use crate::telemetry::{
    DeadLetterLabels, Metrics, PushLabels, SideLabels, StoreLabels, SystemLabels, TaskLabels,
};

/// Time for which a task that was given up is shown.
const GIVEN_UP_FOR: Duration = Duration::days(1);

pub(super) async fn show(State(service): State<Service>) -> Response {
    refresh(&service.deps).await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], service.deps.metrics.render()).into_response()
}

/// Brings up to date what is as of the latest answer: what the store, the queue and the systems say.
pub(super) async fn refresh(deps: &Deps) {
    begin_with_zero(&deps.metrics);
    let now = deps.clock.now();
    for side in Side::BOTH {
        let labels = SideLabels { side: side.name() };
        let limit = poll_limits(deps)[side].num_seconds();
        deps.metrics.poll_limit_seconds.get_or_create(&labels).set(limit);
        let expected = i64::from(deps.settings.announced[side]);
        deps.metrics.push_expected.get_or_create(&labels).set(expected);
    }
    let global = deps.store.global().await;
    deps.metrics.store_up.set(i64::from(global.is_ok()));
    if let Some((store, free)) = deps.store.free_bytes() {
        let free = i64::try_from(free).unwrap_or(i64::MAX);
        deps.metrics.store_free_bytes.get_or_create(&StoreLabels { store }).set(free);
    }
    match global {
        Ok(global) => set_polls(&deps.metrics, &global, now),
        // What was known before would look like the present.
        Err(error) => {
            tracing::warn!("the metrics of the polls are not known: {error}");
            for family in
                [&deps.metrics.poll_age_seconds, &deps.metrics.proof_age_seconds, &deps.metrics.empty_seconds]
            {
                family.clear();
            }
        }
    }
    set_dead_letters(deps, now).await;
    for side in Side::BOTH {
        let system = &deps.systems[side];
        if let Some(end) = system.credential_end() {
            let labels = SystemLabels { system: tasks::system_name(system.as_ref()) };
            deps.metrics.credential_days_left.get_or_create(&labels).set((end.at - now).num_days());
        }
    }
}

/// Shows counts that are still 0, of what an alert goes by: Prometheus does not see the first increment of a count that begins with it.
fn begin_with_zero(metrics: &Metrics) {
    for task in TaskKind::ALL.map(TaskKind::name) {
        for outcome in [Outcome::Done, Outcome::Outage, Outcome::Abandoned, Outcome::Failed] {
            let is_possible = outcome != Outcome::Outage || task == TaskKind::DetectOutages.name();
            if is_possible {
                metrics.tasks.get_or_create(&TaskLabels { task, outcome: outcome.name() }).inc_by(0);
            }
        }
    }
    for side in Side::BOTH.into_iter().map(Side::name) {
        let labels = SideLabels { side };
        for family in [&metrics.unannounced_changes, &metrics.late_changes, &metrics.skipped_cases] {
            family.get_or_create(&labels).inc_by(0);
        }
        for outcome in PushLabels::REFUSED {
            metrics.push_messages.get_or_create(&PushLabels { side, outcome }).inc_by(0);
        }
    }
}

fn set_polls(metrics: &Metrics, global: &Global, now: DateTime<Utc>) {
    let ages = global.poll_ages(now);
    for side in Side::BOTH {
        let labels = SideLabels { side: side.name() };
        let memory = &global.memory[side];
        let empty = memory.empty_since.map_or(0, |since| (now - since).num_seconds().max(0));
        metrics.empty_seconds.get_or_create(&labels).set(empty);
        metrics.answers_doubted.get_or_create(&labels).set(i64::from(memory.doubt.is_some()));
        if let Some(age) = ages[side] {
            metrics.poll_age_seconds.get_or_create(&labels).set(age.num_seconds());
        }
        if let Some(seen_at) = memory.seen_at {
            metrics.proof_age_seconds.get_or_create(&labels).set((now - seen_at).num_seconds());
        }
    }
}

/// Counts the tasks that were given up lately, if the queue keeps a record of them.
async fn set_dead_letters(deps: &Deps, now: DateTime<Utc>) {
    let family = &deps.metrics.dead_letters;
    let letters = match deps.queue.dead_letters(DEAD_LETTERS_KEPT).await {
        Ok(Some(letters)) => letters,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!("the tasks that were given up are not known: {error}");
            family.clear();
            return;
        }
    };
    for kind in TaskKind::ALL {
        let is_recent = |given_up_at: DateTime<Utc>| now - given_up_at < GIVEN_UP_FOR;
        let found =
            letters.iter().filter(|letter| letter.kind == kind && is_recent(letter.given_up_at)).count();
        let labels = DeadLetterLabels { task: kind.name() };
        family.get_or_create(&labels).set(i64::try_from(found).unwrap_or(i64::MAX));
    }
}
