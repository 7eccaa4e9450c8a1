//! What the two polls have in common (`R6` to `R8`).

use chrono::{DateTime, Duration, SecondsFormat, Utc};

use super::admission::{Admission, AdmissionError, admit, find, name_of};
use super::{Deps, TaskKind, TaskReport, poll_company, poll_google};
use crate::cases::Case;
use crate::entities::{CaseMapping, Side, Waiting};
use crate::queue::{Enqueued, QueueError, QueuedTask, TaskName};
use crate::store::{StoreError, modify};
use crate::telemetry::SideLabels;

/// How far the first poll ever looks back (`R6`).
const FIRST_LOOK: Duration = Duration::days(30);
/// Polls within one slot queue the routine check of a case once.
const SLOT_SECONDS: i64 = 15;

/// Why a poll stopped half-way; it is simply repeated.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Default)]
struct Counts {
    found: usize,
    mapped: usize,
    completed: usize,
    changed: usize,
    queued: usize,
    refused: usize,
    conflicts: Vec<String>,
}

pub(super) async fn run(deps: &Deps, side: Side, task: TaskKind) -> TaskReport {
    // R6: "now" is read before the search.
    let started = deps.clock.now();
    let global = match deps.store.global().await {
        Ok(global) => global,
        Err(error) => return TaskReport::failed(task, error.to_string()),
    };
    let last = global.last_polled_at(side);
    let since = last.map_or(started - FIRST_LOOK, |last| last - deps.settings.windows[side]);
    let sweep = match deps.systems[side].search_updated(since).await {
        Ok(sweep) => sweep,
        Err(error) => return TaskReport::failed(task, error.to_string()),
    };
    let mut counts = Counts { found: sweep.cases.len(), ..Counts::default() };
    let mut skipped = sweep.skipped;
    // One case that cannot be handled does not hold up the others, but the watermark stays where it was.
    let mut failures = Vec::new();
    for case in &sweep.cases {
        match take_in(deps, side, case, started, &mut counts).await {
            Ok(None) => {}
            Ok(Some(not_understood)) => skipped.push(not_understood),
            Err(error) => failures.push(format!("case {}: {error}", case.id)),
        }
    }
    deps.metrics.skipped_cases.get_or_create(&SideLabels { side: side.name() }).inc_by(skipped.len() as u64);
    for reason in &skipped {
        tracing::warn!(task = task.name(), "a case was skipped: {reason}");
    }
    for conflict in &counts.conflicts {
        tracing::warn!(task = task.name(), "a case was left alone: {conflict}");
    }
    let report = |report: TaskReport| {
        report
            .with("since", since.to_rfc3339_opts(SecondsFormat::Secs, true))
            .with("found", counts.found)
            .with("mapped", counts.mapped)
            .with("completed", counts.completed)
            .with("changed", counts.changed)
            .with("queued", counts.queued)
            .with("refused", counts.refused)
            .with("skipped", &skipped)
            .with("conflicts", &counts.conflicts)
    };
    if let Some(first) = failures.first() {
        let detail =
            format!("{} of {} cases could not be handled; the first: {first}", failures.len(), counts.found);
        return report(TaskReport::failed(task, detail));
    }
    if let Err(error) = deps.store.set_last_polled_at(side, started).await {
        return report(TaskReport::failed(task, error.to_string()));
    }
    let mut done = report(TaskReport::new(task, super::Outcome::Done));
    // R24: without a support plan that allows the API, CSAPI answers with empty lists, not errors.
    if counts.found == 0 && skipped.is_empty() && started - since >= Duration::days(1) {
        done.detail = Some(match side {
            Side::Google => {
                "no case at all was found: either there is none, or the support plan (Enhanced or Premium is \
                             needed) does not allow the API, which then answers with empty lists"
                    .to_owned()
            }
            Side::Company => "no flagged case at all was found".to_owned(),
        });
    }
    done
}

/// Maps a case if it takes part, notes what is new, and queues its sync. Returns what could not be understood of it.
async fn take_in(
    deps: &Deps,
    side: Side,
    case: &Case,
    started: DateTime<Utc>,
    counts: &mut Counts,
) -> Result<Option<String>, PollError> {
    let name = match name_of(side, case) {
        Ok(name) => name,
        Err(reason) => return Ok(Some(reason)),
    };
    let found = find(deps, &name).await?;
    let mapping = match found {
        Some(mapping) => mapping,
        None => match admit(deps, name, case, started, Some(deps.settings.max_case_age)).await? {
            Admission::New(mapping) => {
                counts.mapped += 1;
                mapping
            }
            Admission::Existing(mapping) => {
                counts.completed += 1;
                mapping
            }
            Admission::Refused(_) => {
                counts.refused += 1;
                return Ok(None);
            }
            Admission::Conflict(reason) => {
                counts.conflicts.push(reason);
                return Ok(None);
            }
        },
    };
    let mapping = note_news(deps, side, case, mapping, started, counts).await?;
    let reason = match mapping.waiting[side] {
        // The same news is queued once an hour at the most: a task that is being retried is not joined by another each
        // minute, and one that was lost is replaced. A pair that was paused is another matter: the sync that found its flag
        // gone ended well, and its name is used up, but the flag is back.
        Some(waiting) if !(mapping.paused && side == Side::Company) => reason_for_news(&waiting, started),
        Some(_) | None => format!("slot {}", started.timestamp().div_euclid(SLOT_SECONDS)),
    };
    if queue_sync(deps, side, &mapping, &reason).await? == Some(Enqueued::New) {
        counts.queued += 1;
    }
    Ok(None)
}

fn reason_for_news(waiting: &Waiting, now: DateTime<Utc>) -> String {
    let since = waiting.since.timestamp_micros();
    let updated = waiting.case_updated_at.map_or(since, |at| at.timestamp_micros());
    format!("news {updated} since {since} hour {}", now.timestamp().div_euclid(3600))
}

/// Remembers that something waits on that side, if the case changed since it was last carried (`R7`).
async fn note_news(
    deps: &Deps,
    side: Side,
    case: &Case,
    mapping: CaseMapping,
    started: DateTime<Utc>,
    counts: &mut Counts,
) -> Result<CaseMapping, StoreError> {
    let is_news = |mapping: &CaseMapping| {
        let known = [
            mapping.carried_updated_at[side],
            mapping.waiting[side].and_then(|waiting| waiting.case_updated_at),
        ];
        case.updated_at.is_some() && !known.contains(&case.updated_at)
    };
    if !is_news(&mapping) {
        return Ok(mapping);
    }
    let unchanged = mapping.clone();
    let changed = modify(deps.store.as_ref(), mapping, |mapping| {
        if !is_news(mapping) {
            return false;
        }
        let since = mapping.waiting[side].map_or(started, |waiting| waiting.since);
        mapping.waiting[side] = Some(Waiting { since, case_updated_at: case.updated_at });
        mapping.new_content_at = mapping.new_content_at.max(started);
        true
    })
    .await?;
    counts.changed += usize::from(changed.is_some());
    Ok(changed.unwrap_or(unchanged))
}

/// Queues the sync of a mapping's case on that side, if it is known there.
pub(super) async fn queue_sync(
    deps: &Deps,
    side: Side,
    mapping: &CaseMapping,
    reason: &str,
) -> Result<Option<Enqueued>, QueueError> {
    let Some(case) = mapping.case_id(side) else { return Ok(None) };
    let (kind, body) = match side {
        Side::Google => (TaskKind::SyncGoogleCase, serde_json::to_value(poll_google::sync_body(case))),
        Side::Company => (TaskKind::SyncCompanyCase, serde_json::to_value(poll_company::sync_body(case))),
    };
    let body = body.map_err(|error| QueueError { task: kind, reason: error.to_string() })?;
    let name = Some(TaskName::new(kind, case, reason));
    deps.queue.enqueue(QueuedTask { kind, body, name, not_before: None }).await.map(Some)
}

/// Queues the sync of everything that waits on a mapping: for what was detected long ago and whose task was lost.
pub(super) async fn queue_waiting(
    deps: &Deps,
    mapping: &CaseMapping,
    now: DateTime<Utc>,
) -> Result<usize, QueueError> {
    let mut queued = 0;
    for side in Side::BOTH {
        if let Some(waiting) = &mapping.waiting[side]
            && queue_sync(deps, side, mapping, &reason_for_news(waiting, now)).await? == Some(Enqueued::New)
        {
            queued += 1;
        }
    }
    Ok(queued)
}
