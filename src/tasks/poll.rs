//! What the two polls have in common (`R6` to `R8`).

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use futures_util::{StreamExt as _, stream};

use super::admission::{Admission, AdmissionError, admit, find, name_of};
use super::turns::{Candidate, MostUrgent, Pace, Urgency, is_down};
use super::{Deps, TaskKind, TaskReport, poll_company, poll_google};
use crate::cases::Found;
use crate::entities::{CaseMapping, Global, Side, Waiting};
use crate::queue::{Enqueued, QueueError, QueuedTask, TaskName};
use crate::store::{MappingFilter, StoreError, modify};
use crate::telemetry::SideLabels;

/// How far the first poll ever looks back (`R6`).
const FIRST_LOOK: Duration = Duration::days(30);
/// Polls within one slot queue the routine check of a case once.
const SLOT_SECONDS: i64 = 15;
/// How many cases are taken in at a time: a store far away takes its time for each.
const AT_ONCE: usize = 8;
/// This long before a case leaves the window it is checked in any case.
const LAST_LOOK: Duration = Duration::minutes(2);
/// How many mappings are read at a time.
const PAGE: usize = 200;

/// Why a poll stopped half-way; it is simply repeated.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Default)]
struct Counts {
    mapped: usize,
    completed: usize,
    changed: usize,
    refused: usize,
    conflicts: Vec<String>,
    skipped: Vec<String>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.mapped += other.mapped;
        self.completed += other.completed;
        self.changed += other.changed;
        self.refused += other.refused;
        self.conflicts.extend(other.conflicts);
        self.skipped.extend(other.skipped);
    }
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
    let found = sweep.cases.len();
    let mut counts = Counts { skipped: sweep.skipped, ..Counts::default() };
    // One case that cannot be handled does not hold up the others, but the watermark stays where it was.
    let mut failures = Vec::new();
    let pace = Pace::of_poll(deps.settings.syncs_per_minute);
    let other_is_down = is_down(global.last_polled_at(side.other()), started);
    let mut news = MostUrgent::new(pace.room(other_is_down));
    let mut checks = Vec::new();
    let global = &global;
    let leaves_by = started - deps.settings.windows[side] + LAST_LOOK;
    let taking_in = |case: Found| async move {
        // What the lists of such a case showed late is found now, or never: the next poll may not see it any more.
        let leaves = case.updated_at.is_some_and(|updated| updated <= leaves_by);
        let taken = take_in(deps, side, &case, global, started).await;
        let taken = taken.map(|(count, candidate)| (count, candidate.map(|candidate| (candidate, leaves))));
        taken.map_err(|error| format!("case {}: {error}", case.id))
    };
    let mut taken_in = stream::iter(sweep.cases.into_iter().map(taking_in)).buffer_unordered(AT_ONCE);
    while let Some(taken) = taken_in.next().await {
        match taken {
            Ok((count, candidate)) => {
                counts.add(count);
                match candidate {
                    Some((candidate, leaves)) if candidate.urgency == Urgency::Check => {
                        // Towards a side that is down, nothing is checked that can wait.
                        checks.extend(Some(candidate).filter(|_| leaves || !other_is_down));
                    }
                    Some((candidate, _)) => news.offer(candidate),
                    None => {}
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    drop(taken_in);
    let left = news.left();
    let mut candidates = news.into_sorted();
    candidates.extend(pace.checks_of(checks, candidates.len() + left, started));
    let queued = queue_in_turn(deps, pace, candidates, &mut failures).await;
    let Counts { mapped, completed, changed, refused, conflicts, skipped } = counts;
    deps.metrics.skipped_cases.get_or_create(&SideLabels { side: side.name() }).inc_by(skipped.len() as u64);
    for reason in &skipped {
        tracing::warn!(task = task.name(), "a case was skipped: {reason}");
    }
    for conflict in &conflicts {
        tracing::warn!(task = task.name(), "a case was left alone: {conflict}");
    }
    let report = |report: TaskReport| {
        let report = report
            .with("since", since.to_rfc3339_opts(SecondsFormat::Secs, true))
            .with("found", found)
            .with("mapped", mapped)
            .with("completed", completed)
            .with("changed", changed)
            .with("queued", queued)
            .with("refused", refused)
            .with("skipped", &skipped)
            .with("conflicts", &conflicts);
        // The least urgent, for which there is no room in the queue yet.
        if left > 0 { report.with("left", left) } else { report }
    };
    if let Some(first) = failures.first() {
        let detail = format!("{} of {found} cases could not be handled; the first: {first}", failures.len());
        return report(TaskReport::failed(task, detail));
    }
    if let Err(error) = deps.store.set_poll(side, Some(started), &global.memory[side]).await {
        return report(TaskReport::failed(task, error.to_string()));
    }
    let mut done = report(TaskReport::new(task, super::Outcome::Done));
    // R24: without a support plan that allows the API, CSAPI answers with empty lists, not errors.
    if found == 0 && skipped.is_empty() && started - since >= Duration::days(1) {
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

/// Maps a case if it takes part, notes what is new, and says which sync it needs.
async fn take_in(
    deps: &Deps,
    side: Side,
    case: &Found,
    global: &Global,
    started: DateTime<Utc>,
) -> Result<(Counts, Option<Candidate>), PollError> {
    let mut counts = Counts::default();
    let name = match name_of(side, case) {
        Ok(name) => name,
        Err(reason) => {
            counts.skipped.push(reason);
            return Ok((counts, None));
        }
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
                return Ok((counts, None));
            }
            Admission::Conflict(reason) => {
                counts.conflicts.push(reason);
                return Ok((counts, None));
            }
        },
    };
    let mapping = note_news(deps, side, case, mapping, (global, started), &mut counts).await?;
    let slot = || format!("slot {}", started.timestamp().div_euclid(SLOT_SECONDS));
    let (urgency, reason) = match &mapping.waiting[side] {
        // The same news is queued once an hour at the most: a task that is being retried is not joined by another each
        // minute, and one that was lost is replaced. A pair that was paused is another matter: the sync that found its flag
        // gone ended well, and its name is used up, but the flag is back.
        Some(waiting) if !(mapping.paused && side == Side::Company) => {
            (Urgency::of(waiting, &mapping), reason_for_news(waiting, started))
        }
        Some(waiting) => (Urgency::of(waiting, &mapping), slot()),
        None => (Urgency::Check, slot()),
    };
    let case = mapping.case_id(side).map(str::to_owned);
    Ok((counts, case.map(|case| Candidate { urgency, case, side, reason })))
}

/// Queues syncs, the first of them at once and the others at the pace that the upstreams allow. How many are new.
async fn queue_in_turn(
    deps: &Deps,
    pace: Pace,
    candidates: Vec<Candidate>,
    failures: &mut Vec<String>,
) -> usize {
    let (now, mut queued) = (deps.clock.now(), 0);
    for (rank, candidate) in candidates.into_iter().enumerate() {
        let Candidate { side, case, reason, .. } = candidate;
        match queue_case(deps, side, &case, &reason, pace.turn(rank, now)).await {
            Ok(Enqueued::New) => queued += 1,
            Ok(Enqueued::AlreadyExists) => {}
            Err(error) => failures.push(format!("case {case}: {error}")),
        }
    }
    queued
}

/// All that waits in the store.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// How many mappings wait.
    pub(super) waiting: i64,
    /// For how long the oldest has.
    pub(super) oldest: Duration,
    /// How many syncs were queued.
    pub(super) queued: usize,
    pub(super) failures: Vec<String>,
}

/// Queues the most urgent of all that waits: what the polls had no room for, and what was detected long ago and whose task
/// was lost. At most one an hour for the same news.
pub(super) async fn queue_backlog(
    deps: &Deps,
    global: &Global,
    now: DateTime<Utc>,
) -> Result<Backlog, StoreError> {
    let pace = Pace::of_backlog(deps.settings.syncs_per_minute);
    let mut backlog = Backlog::default();
    let mut chosen = Side::BOTH
        .map(|side| (side, MostUrgent::new(pace.room(is_down(global.last_polled_at(side.other()), now)))));
    let mut after = None;
    loop {
        let found = deps.store.list(MappingFilter::NeedsWatching, after, PAGE).await?;
        for mapping in found.mappings.iter().filter(|mapping| !mapping.rests() && mapping.gone.is_none()) {
            for (side, chosen) in &mut chosen {
                if let (Some(waiting), Some(case)) = (&mapping.waiting[*side], mapping.case_id(*side)) {
                    let urgency = Urgency::of(waiting, mapping);
                    let reason = reason_for_news(waiting, now);
                    chosen.offer(Candidate { urgency, case: case.to_owned(), side: *side, reason });
                }
            }
            let waiting = Side::BOTH.into_iter().filter_map(|side| mapping.waiting[side]);
            if let Some(since) = waiting.map(|waiting| waiting.since).min() {
                backlog.waiting += 1;
                backlog.oldest = backlog.oldest.max(now - since);
            }
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    let mut candidates: Vec<Candidate> =
        chosen.into_iter().flat_map(|(_, chosen)| chosen.into_sorted()).collect();
    candidates.sort();
    candidates.truncate(pace.ahead());
    backlog.queued = queue_in_turn(deps, pace, candidates, &mut backlog.failures).await;
    Ok(backlog)
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
    case: &Found,
    mapping: CaseMapping,
    (global, started): (&Global, DateTime<Utc>),
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
        // Not since now: if the poll was late, so is the case.
        mapping.wait(side, global, started).case_updated_at = case.updated_at;
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
    match mapping.case_id(side) {
        Some(case) => queue_case(deps, side, case, reason, None).await.map(Some),
        None => Ok(None),
    }
}

async fn queue_case(
    deps: &Deps,
    side: Side,
    case: &str,
    reason: &str,
    not_before: Option<DateTime<Utc>>,
) -> Result<Enqueued, QueueError> {
    let (kind, body) = match side {
        Side::Google => (TaskKind::SyncGoogleCase, serde_json::to_value(poll_google::sync_body(case))),
        Side::Company => (TaskKind::SyncCompanyCase, serde_json::to_value(poll_company::sync_body(case))),
    };
    let body = body.map_err(|error| QueueError { task: kind, reason: error.to_string() })?;
    let name = Some(TaskName::new(kind, case, reason));
    deps.queue.enqueue(QueuedTask { kind, body, name, not_before }).await
}

/// Queues the sync of everything that waits on a mapping.
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
