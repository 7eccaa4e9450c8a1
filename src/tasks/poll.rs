//! What the two polls have in common (`R6` to `R8`).

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use futures_util::{StreamExt as _, stream};

use super::admission::{Admission, AdmissionError, admit, find, name_of};
use super::sight::{Doubt, Look, Shown, note_index_lag, note_shown, plus, prove};
use super::turns::{Candidate, MostUrgent, Pace, Urgency, is_down};
use super::{Deps, TaskKind, TaskReport, poll_company, poll_google};
use crate::cases::{ApiError, Found, Sweep};
use crate::entities::{CaseMapping, Global, PollMemory, Side, Waiting};
use crate::queue::{Enqueued, QueueError, QueuedTask, TaskName};
use crate::store::{MappingFilter, StoreError, modify};
use crate::telemetry::SideLabels;

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
    /// Changes that only a sweep found (`R27`).
    late: usize,
    conflicts: Vec<String>,
    skipped: Vec<String>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.mapped += other.mapped;
        self.completed += other.completed;
        self.changed += other.changed;
        self.refused += other.refused;
        self.late += other.late;
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
    let (look, sweep, theirs) = match search(deps, side, &global, started).await {
        Ok(found) => found,
        Err(error) => return TaskReport::failed(task, error.to_string()),
    };
    if let Some(doubt) = deps.clock_doubt(side) {
        return TaskReport::failed(task, doubt);
    }
    let shown = Shown {
        found: !sweep.cases.is_empty() || !sweep.skipped.is_empty(),
        is_recent: sweep.cases.iter().any(|case| !look.is_late(case.updated_at)) || !sweep.skipped.is_empty(),
        second: look.second && deps.systems[side].searches_twice(),
        identified: sweep.identified,
    };
    let mut memory = global.memory[side].clone();
    memory.skew_seconds = Some((theirs - started).num_seconds());
    let found = sweep.cases.len();
    let mut taken = take_in_all(deps, side, sweep, &global, (look, started, theirs)).await;
    taken.remember(&mut memory, side, started);
    let queued = queue_in_turn(
        deps,
        Pace::of_poll(deps.settings.syncs_per_minute),
        std::mem::take(&mut taken.candidates),
        &mut taken.failures,
    )
    .await;
    taken.record(deps, side, task);
    let report = |report: TaskReport| taken.report(report, look.since, found, queued);
    if let Some(first) = taken.failures.first() {
        // One case that cannot be handled does not hold up the others, but the watermark stays where it was.
        let detail =
            format!("{} of {found} cases could not be handled; the first: {first}", taken.failures.len());
        return report(TaskReport::failed(task, detail));
    }
    let last = global.last_polled_at(side);
    let proven = match prove(deps, side, &mut memory, shown, started).await {
        Ok(proven) => proven,
        Err(doubt) => {
            if let Doubt::Unseen { reason, since } = &doubt {
                // The first poll that is shown it again looks back to before (R26).
                let until = plus(*since, theirs - started);
                memory.shown_until = memory.shown_until.map(|shown| shown.min(until));
                memory.doubt = Some(reason.clone());
                if let Err(error) = deps.store.set_poll(side, last, &memory).await {
                    return report(TaskReport::failed(task, error.to_string()));
                }
            }
            return report(TaskReport::failed(task, doubt.to_string()));
        }
    };
    memory.doubt = None;
    if proven {
        memory.shown_until = Some(theirs);
    } else {
        // The next one begins where this one did, also after the first of all.
        memory.shown_until.get_or_insert(look.since);
    }
    look.note(&mut memory, started);
    if let Err(error) = deps.store.set_poll(side, Some(started), &memory).await {
        return report(TaskReport::failed(task, error.to_string()));
    }
    let mut done = report(TaskReport::new(task, super::Outcome::Done));
    // R24: without a support plan that allows the API, CSAPI answers with empty lists, not errors.
    if !shown.found && theirs - look.since >= Duration::days(1) {
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

/// Searches from the horizon, and once more if the answer shows that the clocks are not as they were taken to be (`R36`). Returns the
/// horizon, what was found, and the system's time when the poll began.
async fn search(
    deps: &Deps,
    side: Side,
    global: &Global,
    started: DateTime<Utc>,
) -> Result<(Look, Sweep, DateTime<Utc>), ApiError> {
    let system = &deps.systems[side];
    let memory = &global.memory[side];
    let look_with = |skew: Duration| {
        let (last, window) = (global.last_polled_at(side), deps.settings.windows[side]);
        let look = Look::new(memory, last, (started, skew), window, deps.settings.max_case_age);
        if system.searches_twice() {
            look.of_two_searches(memory, side, (started, skew), window)
        } else {
            look
        }
    };
    let search = async |look: &Look| {
        if look.second {
            system.search_updated(look.since).await
        } else {
            system.search_first(look.since).await
        }
    };
    let remembered = || memory.skew_seconds.map(Duration::seconds);
    let assumed = system.clock_skew().or_else(remembered).unwrap_or_default();
    let mut look = look_with(assumed);
    let mut sweep = search(&look).await?;
    let skew = system.latest_skew().unwrap_or(assumed);
    let corrected = look_with(skew);
    if corrected.reaches_beyond(&look) {
        sweep = search(&corrected).await?;
    }
    look = corrected;
    Ok((look, sweep, plus(started, skew)))
}

/// All that came of what a search found.
#[derive(Default)]
struct TakenIn {
    counts: Counts,
    candidates: Vec<Candidate>,
    failures: Vec<String>,
    /// How many syncs there is no room for in the queue yet, the least urgent.
    left: usize,
    /// Open linked cases that were shown, one for each scope.
    shown: Vec<Found>,
    /// The longest that the index kept a change back.
    index_lag: Option<Duration>,
}

impl TakenIn {
    fn remember(&mut self, memory: &mut PollMemory, side: Side, now: DateTime<Utc>) {
        for case in std::mem::take(&mut self.shown) {
            note_shown(memory, side, &case, now);
        }
        if let Some(lag) = self.index_lag {
            note_index_lag(memory, lag, now);
        }
    }

    fn record(&self, deps: &Deps, side: Side, task: TaskKind) {
        let label = || SideLabels { side: side.name() };
        let Counts { conflicts, skipped, late, .. } = &self.counts;
        deps.metrics.skipped_cases.get_or_create(&label()).inc_by(skipped.len() as u64);
        deps.metrics.late_changes.get_or_create(&label()).inc_by(*late as u64);
        for reason in skipped {
            tracing::warn!(task = task.name(), "a case was skipped: {reason}");
        }
        for conflict in conflicts {
            tracing::warn!(task = task.name(), "a case is not synchronised: {conflict}");
        }
    }

    fn report(&self, report: TaskReport, since: DateTime<Utc>, found: usize, queued: usize) -> TaskReport {
        let Counts { mapped, completed, changed, refused, late, conflicts, skipped } = &self.counts;
        let report = report
            .with("since", since.to_rfc3339_opts(SecondsFormat::Secs, true))
            .with("found", found)
            .with("mapped", mapped)
            .with("completed", completed)
            .with("changed", changed)
            .with("queued", queued)
            .with("refused", refused)
            .with("skipped", skipped)
            .with("conflicts", conflicts);
        let report = if *late > 0 { report.with("late", late) } else { report };
        if self.left > 0 { report.with("left", self.left) } else { report }
    }
}

/// Maps what takes part, notes what is new, and chooses the syncs that there is room for.
async fn take_in_all(
    deps: &Deps,
    side: Side,
    sweep: Sweep,
    global: &Global,
    (look, started, theirs): (Look, DateTime<Utc>, DateTime<Utc>),
) -> TakenIn {
    let mut all =
        TakenIn { counts: Counts { skipped: sweep.skipped, ..Counts::default() }, ..TakenIn::default() };
    let pace = Pace::of_poll(deps.settings.syncs_per_minute);
    let other_is_down = is_down(global.last_polled_at(side.other()), started);
    let mut news = MostUrgent::new(pace.room(other_is_down));
    let mut checks = Vec::new();
    let leaves_by = theirs - deps.settings.windows[side] + LAST_LOOK;
    let taking_in = |case: Found| async move {
        // What the lists of such a case showed late is found now, or never: the next poll may not see it any more.
        let leaves = case.updated_at.is_some_and(|updated| updated <= leaves_by);
        let taken = take_in(deps, side, &case, global, (look, started, theirs)).await;
        (taken.map_err(|error| format!("case {}: {error}", case.id)), case, leaves)
    };
    let mut taken_in = stream::iter(sweep.cases.into_iter().map(taking_in)).buffer_unordered(AT_ONCE);
    while let Some((taken, case, leaves)) = taken_in.next().await {
        let taken = match taken {
            Ok(taken) => taken,
            Err(failure) => {
                all.failures.push(failure);
                continue;
            }
        };
        all.counts.add(taken.counts);
        all.index_lag = all.index_lag.max(taken.index_lag);
        if taken.is_canary {
            all.shown.push(case);
        }
        match taken.candidate {
            Some(candidate) if candidate.urgency == Urgency::Check => {
                // Towards a side that is down, nothing is checked that can wait; and nothing that only a sweep looked at.
                let checked = (leaves || !other_is_down) && !taken.is_old;
                checks.extend(Some(candidate).filter(|_| checked));
            }
            Some(candidate) => news.offer(candidate),
            None => {}
        }
    }
    drop(taken_in);
    all.left = news.left();
    all.candidates = news.into_sorted();
    all.candidates.extend(pace.checks_of(checks, all.candidates.len() + all.left, started));
    all
}

/// What came of one case.
#[derive(Default)]
struct Taken {
    counts: Counts,
    candidate: Option<Candidate>,
    /// It is linked and open, so that its system has to show it.
    is_canary: bool,
    /// It was last updated before what a poll looks at every minute.
    is_old: bool,
    index_lag: Option<Duration>,
}

/// Maps a case if it takes part, notes what is new, and says which sync it needs.
async fn take_in(
    deps: &Deps,
    side: Side,
    case: &Found,
    global: &Global,
    (look, started, theirs): (Look, DateTime<Utc>, DateTime<Utc>),
) -> Result<Taken, PollError> {
    let mut taken = Taken { is_old: look.is_late(case.updated_at), ..Taken::default() };
    let counts = &mut taken.counts;
    let name = match name_of(side, case) {
        Ok(name) => name,
        Err(reason) => {
            counts.skipped.push(reason);
            return Ok(taken);
        }
    };
    let found = find(deps, &name).await?;
    let is_known = found.is_some();
    let mapping = match found {
        Some(mapping) => mapping,
        None => match admit(deps, name, case, started, Some(deps.settings.max_case_age)).await? {
            Admission::New(mapping) => {
                counts.mapped += 1;
                counts
                    .conflicts
                    .extend(mapping.state.conflict.as_ref().map(|conflict| conflict.reason.clone()));
                mapping
            }
            Admission::Existing(mapping) => {
                counts.completed += 1;
                mapping
            }
            Admission::Refused(_) => {
                counts.refused += 1;
                return Ok(taken);
            }
        },
    };
    // What a sync could not yet take for the mark of what it carried is no sign of a late index.
    let is_telling = !is_known || mapping.carried_updated_at[side].is_some();
    let mapping = note_news(deps, side, case, mapping, (global, started), counts).await?;
    if is_telling && (!is_known || counts.changed > 0) {
        taken.index_lag = look.index_lag(case.updated_at, theirs);
        counts.late += usize::from(taken.is_old);
    }
    taken.is_canary = mapping.is_linked() && mapping.is_open() && mapping.gone.is_none() && !case.closed;
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
    // Nothing is to be checked on a case that is not synchronised.
    let is_idle_conflict = mapping.state.conflict.is_some() && mapping.waiting[side].is_none();
    let case = mapping.case_id(side).filter(|_| !is_idle_conflict).map(str::to_owned);
    taken.candidate = case.map(|case| Candidate { urgency, case, side, reason });
    Ok(taken)
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
                // What the other case did not take is tried once a day (R33). One sync for each time that it was tried.
                let state = &mapping.state;
                if let (Some(read_only), Some(case)) =
                    (&state.read_only[side.other()], mapping.case_id(*side))
                    && !state.is_left_alone(side.other(), now)
                {
                    let reason = format!("takes nothing as of {}", read_only.tried_at.timestamp_micros());
                    let urgency = Urgency::Check;
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
        // A pair that has ended, and whose case is shown again (R28).
        let is_back = mapping.gone == Some(side) && mapping.state.merged_into.is_none();
        let is_noted = mapping.waiting[side].is_some();
        case.updated_at.is_some() && !known.contains(&case.updated_at) || (is_back && !is_noted)
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
    let name = Some(TaskName::new(kind, deps.home(), case, reason));
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
