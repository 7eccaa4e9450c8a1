//! Common part of the two polls (`R6`: a watermark moves last; `R7`: dirty sides; `R8`: idle cases).

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use futures_util::{StreamExt as _, stream};

use super::admission::{Admission, AdmissionError, Limits, admit, find, name_of};
use super::recheck::{Recheck, Slot};
use super::scheduler::{Candidate, MostUrgent, Pace, Urgency, is_down, queue_in_turn, reason_for_changes};
use super::sight::{Doubt, Look, Shown, minus, note_index_lag, note_shown, plus, prove};
use super::since::begin_with;
use super::{Deps, TaskKind, TaskReport};
use crate::cases::{ApiError, Found, Sweep, markers};
use crate::entities::{CaseMapping, Global, PollMemory, Side};
use crate::store::{StoreError, modify};
use crate::sync::is_at_rest;
use crate::telemetry::SideLabels;

/// Length of a time slot. Polls within one slot queue the routine check of a case once.
const SLOT_SECONDS: i64 = 15;
/// Number of cases that are processed concurrently, since a remote store takes time for each.
const AT_ONCE: usize = 8;

/// Error of processing one case. The other cases are still processed, but the watermark does not move, so the poll is retried.
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
    /// Number of cases that take no part, by reason.
    left_out: BTreeMap<String, usize>,
    /// Number of changes that only a sweep found (`R27`: sweeps).
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
        for (reason, count) in other.left_out {
            *self.left_out.entry(reason).or_default() += count;
        }
        self.late += other.late;
        self.conflicts.extend(other.conflicts);
        self.skipped.extend(other.skipped);
    }
}

pub(super) async fn run(deps: &Deps, side: Side, task: TaskKind) -> TaskReport {
    // R6 (a watermark moves last): the time is read before the search.
    let started = deps.clock.now();
    let begun = match deps.store.global().await {
        Ok(global) => begin_with(deps, global).await,
        failed => failed,
    };
    let global = match begun {
        Ok(global) => global,
        Err(error) => return TaskReport::failed(task, error.to_string()),
    };
    let (look, sweep, theirs) = match search(deps, side, &global, started).await {
        Ok(found) => found,
        Err(error) => return TaskReport::of_api(task, &error),
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
    let mut taken = process_found_cases(deps, side, sweep, &global, (look, started, theirs)).await;
    taken.remember(&mut memory, side, started);
    let candidates = std::mem::take(&mut taken.candidates);
    let queued = queue_in_turn(deps, candidates, &mut taken.failures).await;
    taken.record(deps, side, task);
    let report = |report: TaskReport| taken.report(report, look.since, found, queued);
    if let Some(first) = taken.failures.first() {
        // A case that failed does not hold up the others, but the watermark does not move.
        let detail =
            format!("{} of {found} cases could not be handled; the first: {first}", taken.failures.len());
        return report(TaskReport::failed(task, detail));
    }
    let last = global.last_polled_at(side);
    if last.is_none() {
        taken.log_start(side, found, global.memory[side].began_at);
    }
    let proven = match prove(deps, side, &mut memory, shown, started).await {
        Ok(proven) => proven,
        Err(doubt) => {
            if let Doubt::Unseen { reason, since } = &doubt {
                // The first poll that is shown the case again looks back to before that time (R26: empty answers need proof).
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
        // The next poll starts where this one did, also after the very first poll.
        memory.shown_until.get_or_insert(look.since);
    }
    look.note(&mut memory, started);
    look.note_emptiness(&mut memory, shown.found, started);
    if let Err(error) = deps.store.set_poll(side, Some(started), &memory).await {
        return report(TaskReport::failed(task, error.to_string()));
    }
    let mut done = report(TaskReport::new(task, super::Outcome::Done));
    // R24 (health of the polls): without a support plan that includes the API, CSAPI answers with empty lists, not with errors.
    if !shown.found && theirs - look.since >= Duration::days(1) {
        done.detail = Some(nothing_found(side).to_owned());
    }
    done
}

/// Describes a system that shows no case at all, with what may be the cause.
const fn nothing_found(side: Side) -> &'static str {
    match side {
        Side::Google => {
            "no case at all was found: either there is none, or the support plan (Enhanced or Premium is needed) does not \
             allow the API, which then answers with empty lists"
        }
        Side::Company => "no flagged case at all was found",
    }
}

/// Returns the warning that a system has shown no case at all, and since when, with what to do; `None` if it shows cases (`R24`: health of
/// the polls).
#[must_use]
pub fn emptiness(deps: &Deps, global: &Global, side: Side) -> Option<String> {
    let since = global.memory[side].empty_since?.to_rfc3339_opts(SecondsFormat::Secs, true);
    let advice = match side {
        Side::Google => {
            "if there are cases, look at the support plan, at google.parent and at the service account's roles"
        }
        Side::Company => {
            "if a case is flagged, see that the connector's user may see it, and that the flag is the configured field"
        }
    };
    let system = match side {
        Side::Google => "Google",
        Side::Company => deps.systems[side].capabilities().name,
    };
    Some(format!("{system}, since {since}: {}; {advice}; `casebridge check` tells more", nothing_found(side)))
}

/// Searches from the horizon, and once more if the answer shows that the clocks differ from the assumption (`R36`: clock skew). Returns the
/// horizon, the cases found, and the system's time at the start of the poll.
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
        let max_age = deps.settings.max_case_age;
        // A case that is older than `max_case_age` is taken in by no poll.
        let wanted = deps.settings.since.time(memory.began_at);
        let wanted = wanted.map(|at| plus(at.max(minus(started, max_age)), skew));
        let look = Look::new(memory, last, (started, skew), window, max_age).first_from(wanted);
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

/// Returns the name of a case for people: that of a company case with its key and address.
fn name_for_people(side: Side, case: &Found) -> String {
    match side {
        Side::Google => case.id.clone(),
        Side::Company => {
            let (key, address) = (case.key.as_deref(), case.address.as_deref());
            markers::CompanyCase { id: &case.id, key, address }.to_string()
        }
    }
}

/// Result of processing the cases of a search.
#[derive(Default)]
struct Processed {
    counts: Counts,
    candidates: Vec<Candidate>,
    failures: Vec<String>,
    /// Number of syncs for which the queue has no room yet, the least urgent ones.
    left: usize,
    /// Open linked cases that the search showed; one for each scope becomes a canary.
    shown: Vec<Found>,
    /// Longest index lag of the changes found.
    index_lag: Option<Duration>,
}

impl Processed {
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

    /// Says in one line what the first poll of a side takes in.
    fn log_start(&self, side: Side, found: usize, began_at: Option<DateTime<Utc>>) {
        let Counts { mapped, completed, refused, left_out, .. } = &self.counts;
        let reasons: Vec<String> =
            left_out.iter().map(|(reason, count)| format!("{count} since {reason}")).collect();
        let began_at = began_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        tracing::info!(
            side = side.name(),
            start.found = found,
            start.taken_in = mapped + completed,
            start.left_out = refused,
            start.began_at = began_at,
            "the first poll of the {side} side takes in {} of {found} cases{}{}",
            mapped + completed,
            if reasons.is_empty() { "" } else { "; left out: " },
            reasons.join(", ")
        );
    }

    fn report(&self, report: TaskReport, since: DateTime<Utc>, found: usize, queued: usize) -> TaskReport {
        let Counts { mapped, completed, changed, refused, left_out, late, conflicts, skipped } = &self.counts;
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
        let report = if left_out.is_empty() { report } else { report.showing("left_out", left_out) };
        if self.left > 0 { report.with("left", self.left) } else { report }
    }
}

/// Maps the cases that take part, marks dirty sides, and chooses the syncs for which there is room.
async fn process_found_cases(
    deps: &Deps,
    side: Side,
    sweep: Sweep,
    global: &Global,
    (look, started, theirs): (Look, DateTime<Utc>, DateTime<Utc>),
) -> Processed {
    let mut all =
        Processed { counts: Counts { skipped: sweep.skipped, ..Counts::default() }, ..Processed::default() };
    let pace = Pace::of(deps);
    let other_is_down = is_down(deps, side.other(), global, started);
    let mut news = MostUrgent::new(pace.room(other_is_down));
    let mut rechecks = Vec::new();
    let taking_in = |case: Found| async move {
        let taken = process_found_case(deps, side, &case, global, (look, started, theirs)).await;
        (taken.map_err(|error| format!("case {}: {error}", name_for_people(side, &case))), case)
    };
    let mut taken_in = stream::iter(sweep.cases.into_iter().map(taking_in)).buffer_unordered(AT_ONCE);
    while let Some((taken, case)) = taken_in.next().await {
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
            Some(candidate) if matches!(candidate.urgency, Urgency::Recheck(_)) => rechecks.push(candidate),
            Some(candidate) => news.offer(candidate),
            None => {}
        }
    }
    drop(taken_in);
    all.left = news.left();
    all.candidates = news.into_sorted();
    all.candidates.extend(pace.rechecks_of(rechecks, all.candidates.len() + all.left));
    all
}

/// Result of processing one case.
#[derive(Default)]
struct Taken {
    counts: Counts,
    candidate: Option<Candidate>,
    /// True if the case is linked and open, so that its system has to show it.
    is_canary: bool,
    /// True if the case was last updated before the usual polling window.
    is_old: bool,
    index_lag: Option<Duration>,
}

/// Maps a case if it takes part, marks its side as dirty if it changed, and chooses the sync that it needs, if any.
async fn process_found_case(
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
    let slot_name = || format!("slot {}", started.timestamp().div_euclid(SLOT_SECONDS));
    let slot = Slot::of(look, global.last_polled_at(side), started, theirs, deps.settings.windows[side]);
    // A case that only a sweep found had its last recheck when it left the polling window.
    let recheck = slot.recheck(case.updated_at).filter(|_| !taken.is_old);
    if deps.unchanged.has(side, case, started) {
        taken.is_canary = true;
        taken.candidate = recheck.map(|recheck| Candidate {
            urgency: Urgency::Recheck(recheck),
            case: case.id.clone(),
            side,
            reason: slot_name(),
        });
        return Ok(taken);
    }
    let found = find(deps, &name).await?;
    let is_known = found.is_some();
    let mapping = match found {
        Some(mapping) => mapping,
        None => match admit(deps, name, case, started, Some(Limits::of(deps, global, side))).await? {
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
            Admission::Refused(reason) => {
                counts.refused += 1;
                counts.left_out.insert(reason, 1);
                return Ok(taken);
            }
        },
    };
    if mapping.state.unlinked.is_some() {
        counts.refused += 1;
        counts.left_out.insert("an operator unlinked it".to_owned(), 1);
        return Ok(taken);
    }
    // The last sync may have been unable to record an update time; the case then looks changed, which is no sign of an index lag.
    let is_telling = !is_known || mapping.carried_updated_at[side].is_some();
    let mapping = mark_dirty(deps, side, case, mapping, (global, started), counts).await?;
    if is_telling && (!is_known || counts.changed > 0) {
        taken.index_lag = look.index_lag(case.updated_at, theirs, deps.capabilities()[side].time_resolution);
        counts.late += usize::from(taken.is_old);
    }
    taken.is_canary = mapping.is_linked() && mapping.is_open() && mapping.gone.is_none() && !case.closed;
    if taken.is_canary && is_at_rest(&mapping, side, deps.clocks()) && mapping.dirty[side].is_none() {
        deps.unchanged.note(side, case, started);
    }
    let (urgency, reason) = match &mapping.dirty[side] {
        // The same change is queued at most once an hour: a task that is being retried is not duplicated each minute, and a lost task is
        // replaced. A paused pair is different. The sync that found its flag gone ended well and used up its name, but now the flag is
        // back, so the name depends on the time slot.
        Some(waiting) if !(mapping.paused && side == Side::Company) => {
            (Some(Urgency::of(waiting, &mapping)), reason_for_changes(waiting, started))
        }
        Some(waiting) => (Some(Urgency::of(waiting, &mapping)), slot_name()),
        None => {
            let missed = (taken.is_old && mapping.state.read_unshown[side]).then_some(Recheck::Last);
            (recheck.or(missed).map(Urgency::Recheck), slot_name())
        }
    };
    // A case in conflict needs no check while it is unchanged.
    let is_idle_conflict = mapping.state.conflict.is_some() && mapping.dirty[side].is_none();
    let is_due = !is_idle_conflict && mapping.held().is_none();
    if let (Some(urgency), Some(case)) = (urgency.filter(|_| is_due), mapping.case_id(side)) {
        taken.candidate = Some(Candidate { urgency, case: case.to_owned(), side, reason });
    }
    Ok(taken)
}

/// Marks the side as dirty if the case changed since it was last carried (`R7`: dirty sides).
async fn mark_dirty(
    deps: &Deps,
    side: Side,
    case: &Found,
    mapping: CaseMapping,
    (global, started): (&Global, DateTime<Utc>),
    counts: &mut Counts,
) -> Result<CaseMapping, StoreError> {
    let is_change = |mapping: &CaseMapping| {
        let known = [
            mapping.carried_updated_at[side],
            mapping.dirty[side].and_then(|waiting| waiting.case_updated_at),
        ];
        // A pair that has ended, but whose case is shown again (R28: missing is not gone).
        let is_back = mapping.gone == Some(side) && mapping.state.merged_into.is_none();
        let is_noted = mapping.dirty[side].is_some();
        case.updated_at.is_some() && !known.contains(&case.updated_at) || (is_back && !is_noted)
    };
    if !is_change(&mapping) {
        return Ok(mapping);
    }
    let unchanged = mapping.clone();
    let changed = modify(deps.store.as_ref(), mapping, |mapping| {
        if !is_change(mapping) {
            return false;
        }
        // `wait` dates the mark back to when the side was last in step: if the poll was late, so is the case.
        mapping.wait(side, global, started).case_updated_at = case.updated_at;
        mapping.new_content_at = mapping.new_content_at.max(started);
        true
    })
    .await?;
    counts.changed += usize::from(changed.is_some());
    Ok(changed.unwrap_or(unchanged))
}
