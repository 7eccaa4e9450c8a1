//! Common part of the two syncs: read both sides and the mapping, plan, apply (`R11` to `R20`).

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};

use super::admission::{
    Admission, AdmissionError, Claim, Decision, Limits, admit, claim, complete, decide, find, name_of,
    set_name,
};
use super::apply::outcomes;
use super::edits::{queue_due_notes, read_since};
use super::places::Number;
use super::placing::{Unplaced, google_placement, with_details};
use super::preview::{self, Preview};
use super::recheck::{self, Prefetched, PrefetchedContent, Reading};
use super::scheduler::Named;
use super::session::{Failure, Session, SyncError};
use super::shown::queue_due_writes;
use super::{Caller, CarriedItem, Deps, Mode, Outcome, Task, TaskKind, TaskReport, compare, scheduler};
use crate::cases::{ApiError, ApiErrorKind, Case, Closing, Comment, Content, Found, Placement, markers};
use crate::entities::{
    CaseMapping, CompanyCaseId, Conflict, ConflictCause, Dirty, Entry, FirstSeen, GoogleCaseName,
    GooglePlacement, ItemKind, Lease, MappingId, Missing, Notice, PairState, PendingCreation, Refusable,
    Refusal, Side, Sides, Source,
};
use crate::store::{MappingFilter, StoreError, modify};
use crate::sync::texts::Merged;
use crate::sync::{
    Action, CLOCKS_APART, Clocks, Counterpart, KnownDifferent, Pair, Plan, Remaining, Routed, Snapshot,
    counterpart_of, held_code, horizons, left_on, lookalikes, plan, texts, was_set_back,
};
use crate::telemetry::SideLabels;

/// Maximum number of attempts of a sync if the mapping is changed while it reads the cases.
const TRIES: u32 = 3;
/// Minimum time between two reads of a missing case for both to count (`R28`: missing is not gone).
const READS_APART: Duration = Duration::minutes(5);
/// Number of reads that must not find a case before its pair ends.
const READS: u32 = 3;
/// Time within which several missing cases of one side are taken for a lost right or an outage, and not for deletions (`R28`: missing is
/// not gone).
const TOGETHER: Duration = Duration::hours(1);
/// Number of pairs that count as several.
const SEVERAL: usize = 3;

/// Longest interval at which a leased case is looked at again, in milliseconds.
const LONGEST_LOOK: i64 = 64_000;
/// Shortest time to the next look at a leased case, in milliseconds.
const NEAREST_LOOK: i64 = 250;

/// Number of failures in a row after which only the queue's growing pauses decide when a case is tried again.
const FAILURES_IN_A_ROW: u32 = 3;
/// Longest in-flight window, with the index lag, for whose end a task is queued.
const LONGEST_WAIT: Duration = Duration::hours(6);
/// Time between the end of an in-flight window and the task that decides: the queue's clock may be ahead.
const AFTER_THE_WINDOW: Duration = Duration::seconds(1);

/// Number of mappings that are read at a time.
const PAGE: usize = 200;
/// Resolution of times that is fine enough to tell two changes apart.
const PRECISE: Duration = Duration::milliseconds(10);

/// Request for the sync of one case.
pub(super) struct Request<'a> {
    /// Case to carry to the other side.
    pub(super) case: FirstSeen,
    /// Name that is unique for this run.
    pub(super) holder: &'a str,
    pub(super) caller: Caller,
    pub(super) mode: Mode,
    /// True if a push hint named the case.
    pub(super) hinted: bool,
    /// Time at which another sync of the case was found under way, if this one was queued for that reason.
    pub(super) found_busy_at: Option<DateTime<Utc>>,
}

impl Request<'_> {
    fn side(&self) -> Side {
        self.case.side()
    }

    fn id(&self) -> &str {
        self.case.id()
    }
}

/// Outcome of a successful sync.
enum Done {
    /// Everything was carried, or nothing was to be carried.
    Carried,
    /// A part was carried. A task of its own carries the rest.
    GoesOn,
    /// Another sync works on the case. A task of its own comes back after this time.
    ComesBack(Duration),
    /// Failure that leaves the repetition to another task: the sync that this one waited for failed as well. Holds the reason.
    IsRepeated(String),
    /// An earlier write got no answer. A task of its own comes back when it is decided about. Holds what is waited for.
    DecidesLater(String),
    /// The company case is not flagged.
    Paused,
    /// One of the cases no longer exists.
    Gone(Side),
    /// The pair continues with the company case that its own was merged into.
    HandedOver(CompanyCaseId),
    /// The company case names a counterpart that it cannot have. Holds the problem.
    Conflict(String),
    /// Steps that it would take (`Mode::DryRun`).
    Planned(Preview),
}

pub(super) async fn run(deps: &Deps, task: TaskKind, request: &Request<'_>) -> TaskReport {
    let started = deps.clock.now();
    for attempt in 1..=TRIES {
        let mapping = match mapping_of(deps, request, started).await {
            Ok(mapping) => mapping,
            Err(error) => return failed(task, &error, request, None),
        };
        if let Some(held) = held_words(&mapping)
            && (request.mode == Mode::Act || mapping.state.unlinked.is_some())
        {
            return name_pair(with_detail(TaskReport::new(task, Outcome::Done), &held), &mapping)
                .with("carried", Vec::<CarriedItem>::new());
        }
        let mut session = Session::new(deps, mapping, started, request.holder);
        let outcome = match admitted_again(&session, request) {
            Ok(()) => Box::pin(sync(&mut session, request)).await,
            Err(postponed) => Err(postponed),
        };
        let outcome = match outcome {
            Err(SyncError::Unfinished) => leave_the_rest(&mut session, request).await,
            Err(SyncError::Busy) if request.caller == Caller::Queue => come_back(&session, request).await,
            Err(SyncError::Undecided { reason, until }) => {
                decide_later(&mut session, request, reason, until).await
            }
            Err(error) if error.is_remembered() && is_repeated(&session, request) => {
                leave_to_the_repetition(&mut session, request, error).await
            }
            outcome => outcome,
        };
        if matches!(outcome, Err(SyncError::Raced)) && attempt < TRIES {
            continue;
        }
        return conclude(session, outcome, task, request).await;
    }
    failed(task, &SyncError::Raced, request, None)
}

/// Records what was carried, and queues a task for the rest.
async fn leave_the_rest(session: &mut Session<'_>, request: &Request<'_>) -> Result<Done, SyncError> {
    session.leave(request.side(), None).await?;
    // Named after the state that is left: a second delivery of this task leaves the same, or finds more done.
    let reason = format!("after version {}", session.mapping.version);
    let queued = scheduler::queue_sync(session.deps, request.side(), &session.mapping, &reason).await;
    queued.map(|_| Done::GoesOn).map_err(|error| SyncError::Failed(error.to_string()))
}

/// Queues a task that comes back to a case on which another sync works (`R37`: nobody waits for the slowest). The queue's own pauses are for
/// failures, and far longer.
async fn come_back(session: &Session<'_>, request: &Request<'_>) -> Result<Done, SyncError> {
    let (deps, side, now) = (session.deps, request.side(), session.deps.clock.now());
    let (Some(lease), Some(case)) = (&session.mapping.lease, session.mapping.case_id(side)) else {
        return Err(SyncError::Busy);
    };
    let due = next_look(lease, deps.settings.lease, now);
    // Named after the lease and the time. Tasks that find the same lease share the next one: each of them, and each that is delivered
    // twice, would queue its own otherwise, and they would multiply.
    let (until, at) = (lease.expires_at.timestamp_micros(), due.timestamp_micros());
    let reason = format!("busy until {until}, at {at}");
    let named = Named { case, hinted: request.hinted, found_busy_at: Some(now) };
    match scheduler::queue_case(deps, side, named, &reason, Some(due)).await {
        Ok(_) => Ok(Done::ComesBack(due - now)),
        // Writes nothing to a mapping that another sync works on. The queue repeats this task.
        Err(error) => {
            tracing::warn!(side = side.name(), "cannot come back to {}: {error}", request.id());
            Err(SyncError::Busy)
        }
    }
}

/// Remembers that nothing can be carried before an earlier write is decided about (`R13`: unknown write outcome), and queues a task for that
/// time: the queue's own pauses grow, and may end minutes later. A case that goes on failing has those, so that its system is not asked ever
/// again in vain.
async fn decide_later(
    session: &mut Session<'_>,
    request: &Request<'_>,
    reason: String,
    until: DateTime<Utc>,
) -> Result<Done, SyncError> {
    let (deps, side, now) = (session.deps, request.side(), session.deps.clock.now());
    let failures = session.mapping.state.failing.as_deref().map_or(0, |failing| failing.tries);
    // A time far ahead was computed from a clock that was ahead (R36: clock skew).
    let is_soon = until - now <= LONGEST_WAIT;
    let case = session.mapping.case_id(side).filter(|_| {
        request.caller == Caller::Queue
            && request.mode == Mode::Act
            && is_soon
            && failures < FAILURES_IN_A_ROW
    });
    let Some(case) = case else { return Err(SyncError::Undecided { reason, until }) };
    // Named after that time: all tasks that wait for the same write share one.
    let name = format!("undecided until {}", until.timestamp_micros());
    let due = until + AFTER_THE_WINDOW;
    let named = Named { hinted: request.hinted, ..Named::of(case) };
    if let Err(error) = scheduler::queue_case(deps, side, named, &name, Some(due)).await {
        tracing::warn!(side = side.name(), "cannot come back to {}: {error}", request.id());
        return Err(SyncError::Undecided { reason, until });
    }
    let remembered = cause(session, &reason);
    session.fail(side, &remembered, false).await?;
    Ok(Done::DecidesLater(reason))
}

/// True if a task of the queue repeats the sync of this case anyway: this one was queued since another sync was under way, and that one
/// failed. With a chain of repetitions for each of them, the tasks would multiply where the queue's answers are lost.
fn is_repeated(session: &Session<'_>, request: &Request<'_>) -> bool {
    let Some(found_busy_at) = request.found_busy_at.filter(|_| request.caller == Caller::Queue) else {
        return false;
    };
    // The other sync began before it was found under way, at most the time of a lease.
    let since = found_busy_at - session.deps.settings.lease;
    let failing = session.mapping.state.failing.as_deref();
    failing.is_some_and(|failing| failing.repeats && failing.last_at >= since)
}

/// Records a failure whose repetition another task is.
async fn leave_to_the_repetition(
    session: &mut Session<'_>,
    request: &Request<'_>,
    error: SyncError,
) -> Result<Done, SyncError> {
    let failure = error.failure();
    session.fail(request.side(), &failure, false).await?;
    Ok(Done::IsRepeated(failure.reason))
}

/// Returns the error to remember of a sync that waits for an earlier write: why that write failed, as far as it is known.
fn cause(session: &Session<'_>, reason: &str) -> Failure {
    let mapping = &session.mapping;
    let remedy = || mapping.state.failing.as_deref().and_then(|failing| failing.remedy.clone());
    let earlier = mapping.last_error.clone().map(|reason| Failure { reason, remedy: remedy() });
    earlier.unwrap_or_else(|| Failure::of(reason.to_owned()))
}

/// Returns the time of the next look at a leased case: 1, 2, 4 … 64 s after the lease was taken, then every 64 s, and when it expires. Skips
/// the nearest, which may be the look that is under way now, if the queue's clock is ahead of ours.
fn next_look(lease: &Lease, length: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let taken = lease.expires_at - length;
    let held = (now - taken).num_milliseconds().max(0);
    let soonest = held + (held / 4).max(NEAREST_LOOK);
    let mut looks = std::iter::successors(Some(1_000), |at| Some(at + LONGEST_LOOK.min(*at)));
    let next = looks.find(|at| *at > soonest).unwrap_or(soonest);
    let due = taken + Duration::milliseconds(next);
    let due = if lease.expires_at > now { due.min(lease.expires_at) } else { due };
    // A lease from the future was taken by another clock than ours of now (R36: clock skew). The next full interval is shared as well.
    let whole = now.timestamp_millis().div_euclid(LONGEST_LOOK) * LONGEST_LOOK;
    let latest =
        DateTime::from_timestamp_millis(whole).unwrap_or(now) + Duration::milliseconds(2 * LONGEST_LOOK);
    due.min(latest)
}

/// Checks that a case which hung the last time may be tried again: its time has come, and others that hang leave a place (`R37`: nobody waits
/// for the slowest). A person need not wait.
fn admitted_again(session: &Session<'_>, request: &Request<'_>) -> Result<(), SyncError> {
    let (deps, failing) = (session.deps, &session.mapping.state.failing);
    let Some((failing, until)) =
        failing.as_deref().and_then(|failing| Some((failing, failing.waits_until()?)))
    else {
        return Ok(());
    };
    if request.caller == Caller::Person {
        return Ok(());
    }
    let now = deps.clock.now();
    // A time in the future was written by a clock that was ahead (R36: clock skew).
    if now < until && failing.last_at <= now {
        let until = until.format("%T");
        return Err(SyncError::Postponed(format!(
            "it got no answer {} times in a row, and is tried again after {until} UTC",
            failing.hangs
        )));
    }
    if !deps.pacer.places.admit_again(request.holder, Number::of(deps.queue.concurrent_syncs())) {
        return Err(SyncError::Postponed(
            "it got no answer the last time, and waits for others that get none".to_owned(),
        ));
    }
    Ok(())
}

/// Saves the reason of a failure, and makes the report.
async fn conclude(
    mut session: Session<'_>,
    outcome: Result<Done, SyncError>,
    task: TaskKind,
    request: &Request<'_>,
) -> TaskReport {
    let report = match outcome {
        Ok(done) => {
            let report = TaskReport::new(task, Outcome::Done);
            match done {
                Done::Carried => match &session.mapping.state.read_only[request.side().other()] {
                    Some(read_only) => with_detail(
                        report,
                        &format!(
                            "the {} case has taken no changes since {}: it is tried once a day, and whenever a person asks",
                            request.side().other(),
                            read_only.since.format("%F %T")
                        ),
                    ),
                    None => report,
                },
                Done::GoesOn => {
                    let count = session.carried.len();
                    let detail =
                        format!("carried {count} changes in half of its deadline: another task goes on");
                    with_detail(report, &detail)
                }
                Done::ComesBack(pause) => {
                    let seconds = pause.num_seconds();
                    let detail =
                        format!("another sync of this case is under way: a task comes back in {seconds} s");
                    with_detail(report, &detail)
                }
                Done::IsRepeated(reason) => {
                    let detail =
                        format!("{reason}; the sync that it waited for failed as well, and is repeated");
                    with_detail(report, &detail)
                }
                Done::DecidesLater(reason) => {
                    with_detail(report, &format!("{reason}: a task comes back then"))
                }
                Done::Paused => {
                    with_detail(report, "the company case is not flagged for synchronisation: paused")
                }
                Done::Gone(side) => {
                    with_detail(report, &format!("the {side} case no longer exists: the pair has ended"))
                }
                Done::HandedOver(id) => with_detail(
                    report,
                    &format!("the company case was merged into {id}: the pair goes on with that one"),
                ),
                Done::Conflict(reason) => with_detail(report, &reason),
                Done::Planned(preview) => match held_words(&session.mapping) {
                    Some(held) => with_detail(preview.add_to(report), &format!("{held}; then")),
                    None => preview.add_to(report),
                },
            }
        }
        Err(error) => {
            let remembered = if request.mode == Mode::DryRun {
                Ok(())
            } else if error.is_remembered() {
                let repeats = request.caller == Caller::Queue;
                session.fail(request.side(), &error.failure(), repeats).await
            } else if matches!(error, SyncError::Raced | SyncError::Held(_)) {
                session.release().await.map_err(SyncError::from)
            } else {
                Ok(())
            };
            if let Err(error) = remembered {
                tracing::warn!(
                    task = task.name(),
                    "the failure of the sync could not be remembered: {error}"
                );
            }
            failed(task, &error, request, Some(&session.mapping))
        }
    };
    note_unannounced(&session, request);
    name_pair(report, &session.mapping).with("carried", &session.carried)
}

/// Counts a sync that carried something from a side whose change no push message had announced.
fn note_unannounced(session: &Session<'_>, request: &Request<'_>) {
    let side = request.side();
    let announced = request.hinted || session.waited[side].is_some_and(|dirty| dirty.sync_due_at.is_some());
    let carried = session.carried.iter().any(|item| item.to == side.other().name());
    if request.caller == Caller::Queue && carried && !announced {
        let labels = SideLabels { side: side.name() };
        session.deps.metrics.unannounced_changes.get_or_create(&labels).inc();
        if session.deps.settings.announced[side] {
            tracing::info!(
                unannounced = side.name(),
                "no push message announced the change that this sync carried"
            );
        }
    }
}

/// Says that an operator keeps the pair from being synced, since when, why, and what ends that. `None` if nobody does.
#[must_use]
pub fn held_words(mapping: &CaseMapping) -> Option<String> {
    let order = mapping.held()?;
    let what = if mapping.state.unlinked.is_some() { "unlinked" } else { "paused" };
    let reason = order.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let since = order.since.format("%F %T UTC");
    Some(format!(
        "{what} by {} since {since}{reason}: nothing is carried until `casebridge resume`",
        order.by
    ))
}

fn with_detail(mut report: TaskReport, detail: &str) -> TaskReport {
    report.detail = Some(detail.to_owned());
    report
}

fn name_pair(report: TaskReport, mapping: &CaseMapping) -> TaskReport {
    // A preview is not stored and has no ID.
    let stored = (mapping.id != MappingId(0)).then_some(mapping.id);
    report
        .with("mapping", stored)
        .with("google_case_name", &mapping.google_case_name)
        .with("company_case_id", &mapping.company_case_id)
        .with("company_case", mapping.name_for_people(Side::Company))
}

/// Makes the report of a failure. The case is named as people know it, as far as its mapping tells.
fn failed(
    task: TaskKind,
    error: &SyncError,
    request: &Request<'_>,
    mapping: Option<&CaseMapping>,
) -> TaskReport {
    let name = mapping.and_then(|mapping| mapping.name_for_people(request.side()));
    let detail = format!("{} case {}: {error}", request.side(), name.as_deref().unwrap_or(request.id()));
    match error {
        SyncError::Abandoned(_) => TaskReport::abandoned(task, detail),
        SyncError::NoPart(_) | SyncError::Held(_) => {
            with_detail(TaskReport::new(task, Outcome::Done), &detail)
        }
        SyncError::Busy | SyncError::Raced | SyncError::LeaseLost => {
            TaskReport { contended: true, ..TaskReport::failed(task, detail) }
        }
        SyncError::Postponed(_)
        | SyncError::Unfinished
        | SyncError::Unread(_)
        | SyncError::Undecided { .. }
        | SyncError::Failed(_)
        | SyncError::Partly(_)
        | SyncError::Store(_)
        | SyncError::Api(_) => TaskReport::failed(task, detail).advised(error.failure().remedy),
    }
}

/// Returns the case's mapping. If a person asks, creates one for a case that no poll would pick up; for a push hint, creates one by the
/// rules of a poll.
async fn mapping_of(
    deps: &Deps,
    request: &Request<'_>,
    started: DateTime<Utc>,
) -> Result<CaseMapping, SyncError> {
    if let Some(mapping) = find(deps, &request.case).await? {
        return Ok(mapping);
    }
    let limits = match request.caller {
        Caller::Queue if request.hinted => {
            Some(Limits::of(deps, &deps.store.global().await?, request.side()))
        }
        Caller::Queue => return Err(SyncError::Abandoned("it has no mapping (any more)".to_owned())),
        Caller::Person => None,
    };
    // Systems send hints about cases that nobody flagged.
    let refused = |reason: String| match request.caller {
        Caller::Queue => SyncError::NoPart(reason),
        Caller::Person => SyncError::Abandoned(reason),
    };
    let case = deps.systems[request.side()].get(request.id()).await?;
    let case = case.ok_or_else(|| refused("there is no such case, or it may not be read".to_owned()))?;
    let case = Found::of(request.side(), &case);
    // Uses the ID in the answer: a person may have given a key, or another name of the case (R31: an ID is valid only in its own system).
    let name = name_of(request.side(), &case).map_err(SyncError::Failed)?;
    if name != request.case
        && let Some(mapping) = find(deps, &name).await?
    {
        return Ok(mapping);
    }
    if request.mode == Mode::DryRun {
        return would_be(deps, name, &case, started).await;
    }
    match admit(deps, name, &case, started, limits).await? {
        Admission::New(mapping) | Admission::Existing(mapping) => Ok(mapping),
        Admission::Refused(reason) => Err(refused(reason)),
    }
}

/// Returns the mapping that a case would get, without storing it.
async fn would_be(
    deps: &Deps,
    name: FirstSeen,
    case: &Found,
    started: DateTime<Utc>,
) -> Result<CaseMapping, SyncError> {
    match decide(deps, &name, case, started, None).await? {
        Decision::New(mapping) => Ok(mapping),
        Decision::Completes(mut mapping) => {
            set_name(&mut mapping, &name);
            mapping.recover();
            Ok(mapping)
        }
        Decision::Refused(reason) => Err(SyncError::Abandoned(reason)),
    }
}

impl From<AdmissionError> for SyncError {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Store(error) => Self::Store(error),
            AdmissionError::Api(error) => Self::Api(error),
        }
    }
}

async fn sync(session: &mut Session<'_>, request: &Request<'_>) -> Result<Done, SyncError> {
    let deps = session.deps;
    let source = request.side();
    let target = source.other();
    let prefetched = match request.caller {
        Caller::Person => {
            session.mapping.state.try_read_only_now(target);
            Prefetched::default()
        }
        Caller::Queue => match recheck::look(session, source).await? {
            Reading::Nothing => return Ok(Done::Carried),
            Reading::Unclear(prefetched) => *prefetched,
        },
    };
    // Before the cases are read: a write whose in-flight window has ended by then is visible, if it happened (R13: unknown write outcome).
    let began = deps.clock.now();
    let source_id = session.mapping.case_id(source).unwrap_or_else(|| request.id()).to_owned();
    let read_source = async |session: &Session<'_>| match prefetched.case {
        Some(case) => Ok(Some((case, prefetched.content))),
        None => read_case(session, source, &source_id).await,
    };
    let (ours, at_target) = if needs_lists(&session.mapping) {
        let target_id = session.mapping.case_id(target).unwrap_or_default();
        let both = futures_util::join!(read_source(session), read_case(session, target, target_id));
        (both.0?, Some(both.1))
    } else {
        (read_source(session).await?, None)
    };
    let Some((ours, of_source)) = ours else { return missing(session, source, request).await };
    session.note_title(source, &ours);
    if source == Side::Company {
        correct_id(session, &ours, request.mode).await?;
        session.note_company(&ours);
        if let Some(conflict) = session.mapping.state.conflict.clone()
            && let Some(done) = conflicting(session, &ours, &conflict, request).await?
        {
            return Ok(done);
        }
        // One that was merged may hand over its pair, if it has one.
        let hands_over = is_merged(&ours) && session.mapping.is_linked();
        if !ours.synchronize && !hands_over {
            return paused(session, request, &[Side::Company]).await;
        }
    }
    if !session.mapping.is_linked() {
        if request.mode == Mode::DryRun {
            return preview::of_unlinked(session, source, ours).await.map(Done::Planned);
        }
        session.take_lease().await?;
        if let Some(done) = link(session, source, &ours).await? {
            return Ok(done);
        }
    }
    let theirs = match at_target {
        Some(read) => read?,
        None => read_case(session, target, session.mapping.case_id(target).unwrap_or_default()).await?,
    };
    let Some((theirs, of_target)) = theirs else { return missing(session, target, request).await };
    session.note_title(target, &theirs);
    let (google, company, lists) = match source {
        Side::Google => (ours, theirs, Sides { google: of_source, company: of_target }),
        Side::Company => (theirs, ours, Sides { google: of_target, company: of_source }),
    };
    session.note_company(&company);
    if is_merged(&company)
        && let Some(done) = merged(session, &company, request).await?
    {
        return Ok(done);
    }
    if !company.synchronize {
        return paused(session, request, &Side::BOTH).await;
    }
    let ended = session.mapping.gone.is_some() || session.mapping.state.gone_told;
    if ended && request.mode == Mode::Act {
        resume(session).await?;
    }
    compare_and_carry(session, request, (google, company), lists, began).await
}

/// True if a sync of the pair most likely needs the lists of both cases: they are linked, and nothing keeps them from being compared.
fn needs_lists(mapping: &CaseMapping) -> bool {
    let state = &mapping.state;
    mapping.is_linked()
        && !mapping.paused
        && mapping.gone.is_none()
        && !state.gone_told
        && state.conflict.is_none()
}

/// Reads a case, together with its lists if those are needed too (`R8`: few calls).
async fn read_case(
    session: &Session<'_>,
    side: Side,
    id: &str,
) -> Result<Option<(Case, Option<PrefetchedContent>)>, ApiError> {
    let (deps, mapping) = (session.deps, &session.mapping);
    let system = &deps.systems[side];
    if !needs_lists(mapping) {
        let Some(case) = system.get(id).await? else { return Ok(None) };
        return Ok(Some((with_details(deps, side, case).await?, None)));
    }
    let horizon =
        if mapping.relinking { None } else { horizons(mapping, deps.settings.windows, deps.clocks())[side] };
    let since = read_since(deps, mapping, side, horizon);
    let Some((case, content)) = system.get_whole(id, since).await? else { return Ok(None) };
    Ok(Some((with_details(deps, side, case).await?, Some((horizon, content)))))
}

/// Carries the source's changes to the other side, and records the progress. Queues a sync of the other side if that has changes too.
async fn compare_and_carry(
    session: &mut Session<'_>,
    request: &Request<'_>,
    cases: (Case, Case),
    lists: Sides<Option<PrefetchedContent>>,
    began: DateTime<Utc>,
) -> Result<Done, SyncError> {
    let deps = session.deps;
    let source = request.side();
    if let Some(doubt) = Side::BOTH.into_iter().find_map(|side| deps.clock_doubt(side)) {
        return Err(SyncError::Failed(doubt));
    }
    let clocks = deps.clocks();
    let clocks = Clocks { now: clocks.now.min(began), ..clocks };
    let (google, mut company) = cases;
    if deps.settings.rules.statuses.compares(&google, &session.mapping.state.turn) {
        company.status = deps.systems[Side::Company].status_names(&company).await?;
    }
    let cases = (google, company);
    let (google, company) = read_pair(session, cases, lists, clocks).await?;
    session.mapping.follow_host_clock(clocks.skew, clocks.now);
    let mapping = session.mapping.clone();
    let unchecked = KnownDifferent::default();
    let pair = Pair {
        mapping: &mapping,
        google: &google,
        company: &company,
        known_different: &unchecked,
        clocks,
        home: deps.home(),
    };
    let ids = Sides { google: google.case.id.as_str(), company: company.case.id.as_str() };
    let alike = lookalikes(pair, deps.capabilities());
    let known_different = compare::known_different(deps, &mapping, ids, alike).await?;
    let pair = Pair { known_different: &known_different, ..pair };
    let plan = plan(source, pair, &deps.settings.rules, deps.capabilities());
    if request.mode == Mode::DryRun {
        return Ok(Done::Planned(Preview::of(deps, source, &pair.snapshot(source).case, &plan)));
    }
    let on_target = left_on(source.other(), pair, &deps.settings.rules, deps.capabilities());
    let was_paused = mapping.paused;
    let mut seen = Seen::of(&google.case, &company.case);
    seen.warned = warn(&mapping, source, &plan);
    let changed: Vec<Side> = plan.actions.iter().filter_map(Action::changes_case).collect();
    let on_source = apply_plan(session, source, plan, &mut seen).await?;
    let clocks = clocks.or_earlier(deps.clocks());
    let started = session.started;
    seen.updated_at = Sides {
        google: settled_update(deps, Side::Google, &google.case, clocks, started),
        company: settled_update(deps, Side::Company, &company.case, clocks, started),
    };
    seen.read_until = Sides {
        google: clocks.in_time_of(Side::Google, started),
        company: clocks.in_time_of(Side::Company, started),
    };
    let left = match source {
        Side::Google => Sides { google: on_source, company: on_target },
        Side::Company => Sides { google: on_target, company: on_source },
    };
    for (side, case) in [(Side::Google, &google.case), (Side::Company, &company.case)] {
        let is_known = left[side] == Remaining::Nothing && !changed.contains(&side);
        seen.read_as[side] = is_known.then(|| case.digest());
    }
    finish(session, left, &seen, clocks).await?;
    queue_due_notes(session).await;
    queue_due_writes(session).await;
    if on_target == Remaining::Changes {
        queue_target(session, source.other(), was_paused).await?;
    }
    Ok(Done::Carried)
}

/// Reads the lists of both cases from their horizons, or completely if copies have to be recognised by their text (relinking), unless they
/// were read from there along with the case.
async fn read_pair(
    session: &mut Session<'_>,
    (google, company): (Case, Case),
    lists: Sides<Option<PrefetchedContent>>,
    clocks: Clocks,
) -> Result<(Snapshot, Snapshot), SyncError> {
    let deps = session.deps;
    let mut horizons = horizons(&session.mapping, deps.settings.windows, clocks);
    let cases = Sides { google: &google, company: &company };
    look_again_if_set(&mut session.mapping, horizons, cases, clocks, deps.settings.windows);
    if session.mapping.relinking {
        horizons = Sides::default();
    }
    let known = |side: Side, list: Option<PrefetchedContent>| {
        list.filter(|(horizon, _)| *horizon == horizons[side]).map(|(_, content)| content)
    };
    let known =
        Sides { google: known(Side::Google, lists.google), company: known(Side::Company, lists.company) };
    tokio::try_join!(
        read(session, Side::Google, google, horizons.google, known.google),
        read(session, Side::Company, company, horizons.company, known.company),
    )
}

/// Applies a plan of `source`, if it has any actions. Returns the content of `source` that stays behind.
async fn apply_plan(
    session: &mut Session<'_>,
    source: Side,
    plan: Plan,
    seen: &mut Seen,
) -> Result<Remaining, SyncError> {
    let mut held = plan.held;
    if !plan.is_empty() {
        session.confirm_lease().await?;
        if plan.carries_changes() && session.waited[source].is_none() {
            let now = session.started;
            session.save(|mapping| mapping.new_content_at = mapping.new_content_at.max(now)).await?;
        }
        if plan.changes_status() {
            seen.agreed_closed = None;
        }
        let done = session.apply(plan).await?;
        if !done.failures.is_empty() {
            let failure = Failure::joined(&done.failures);
            return Err(match done.until {
                Some(until) => SyncError::Undecided { reason: failure.reason, until },
                None => SyncError::Partly(failure),
            });
        }
        held |= done.held;
    }
    Ok(if held { Remaining::Held } else { Remaining::Nothing })
}

/// Returns the case's last update if no later change can have the same time. A time that is precise to the second or minute only may be
/// shared by a change after the reading (`R15`: one horizon for both). Such a time is not recorded as carried, so the next poll that finds
/// it counts it as a change.
pub(super) fn settled_update(
    deps: &Deps,
    side: Side,
    case: &Case,
    clocks: Clocks,
    started: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let resolution = deps.capabilities()[side].time_resolution;
    // A clock that was behind until lately still counts as behind in `clocks`; the newest answer knows better.
    let newest = deps.systems[side].latest_skew().and_then(|skew| started.checked_add_signed(skew));
    let started = clocks.in_time_of(side, started);
    let latest = newest.map_or(started, |newest| newest.max(started));
    // Subtracts from our time instead of adding to the system's, which may be the end of the calendar. A time in the future was written by
    // a clock that was ahead, and no later change has it again (R36: clock skew).
    let apart = resolution + CLOCKS_APART;
    let over = |at: &DateTime<Utc>| *at <= started - apart || *at > latest + apart;
    case.updated_at.filter(|at| resolution < PRECISE || over(at))
}

/// Queues the sync of the other direction. After a pause the task has its own name: the dirty side may have been queued before, and that
/// task ended while the pair was paused.
async fn queue_target(session: &Session<'_>, target: Side, was_paused: bool) -> Result<(), SyncError> {
    let (deps, mapping) = (session.deps, &session.mapping);
    let queued = if was_paused {
        let reason = format!("resumed {}", session.started.timestamp_micros());
        scheduler::queue_sync(deps, target, mapping, &reason).await.map(drop)
    } else {
        scheduler::queue_waiting(deps, mapping, session.started).await.map(drop)
    };
    queued.map_err(|error| SyncError::Failed(error.to_string()))
}

/// Handles a system whose clock was set since the pair was last read. New content may then look older than content that was carried and
/// dropped from the ledger. So both cases are read completely, and copies are recognised by their text (`R14`: copies are known by ID;
/// `R36`: clock skew). The signs are a read time in the future, a change before the horizon of a listing, and a clock that has lost
/// time against the other two.
fn look_again_if_set(
    mapping: &mut CaseMapping,
    horizons: Sides<Option<DateTime<Utc>>>,
    cases: Sides<&Case>,
    clocks: Clocks,
    windows: Sides<Duration>,
) {
    let stamps = Side::BOTH.map(|side| mapping.stored_synced_at(side));
    // Content may have been written since then, by our clock, that was not carried.
    let in_step = stamps.into_iter().min().flatten();
    for side in Side::BOTH {
        let updated_at = cases[side].updated_at.filter(|at| mapping.carried_updated_at[side] != Some(*at));
        if seems_set(mapping, side, (updated_at, horizons[side]), clocks, windows[side]) {
            let state = &mut mapping.state;
            // Reads from the beginning, until the sync of each side has carried everything: the first of them changes a case, so that the
            // second no longer notices.
            for read_for in Side::BOTH {
                state.read_until[read_for][side] = Some(DateTime::UNIX_EPOCH);
            }
            // Computed by the current clock, or by the clock of the last change. Older content counts as carried.
            let written_since = in_step.and_then(|in_step| {
                let latest = updated_at.map_or(clocks.of(side), |at| at.min(clocks.of(side)));
                latest.checked_sub_signed((clocks.now - in_step).max(Duration::zero()) + windows[side])
            });
            state.forgotten_until[side] = state.forgotten_until[side].min(written_since);
            state.looks_again |= !mapping.relinking;
            mapping.relinking = true;
        }
    }
}

/// True if a system's clock seems to have been set since the pair was last read: see [`look_again_if_set`]. `updated_at` is the time of a
/// change that was not carried yet.
pub(super) fn seems_set(
    mapping: &CaseMapping,
    side: Side,
    (updated_at, horizon): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    clocks: Clocks,
    window: Duration,
) -> bool {
    // A clock that was set back by less than its window hides nothing.
    updated_at.is_some_and(|at| horizon.is_some_and(|horizon| at < horizon))
        || was_set_back(mapping, side, clocks, window / 2)
        || mapping.state.was_read_after(side, clocks.of(side) + CLOCKS_APART)
}

/// State of both sides as a complete sync has read it.
#[derive(Debug, Default)]
struct Seen {
    updated_at: Sides<Option<DateTime<Utc>>>,
    /// Time up to which each system was read, in its own time.
    read_until: Sides<DateTime<Utc>>,
    /// True if both are closed, false if both are open. `None` if they differ, or if this sync changed one of them.
    agreed_closed: Option<bool>,
    scope: Sides<Option<String>>,
    warned: BTreeSet<String>,
    /// Digest of each case of which nothing is left to be carried. `None` if this sync changed the case itself.
    read_as: Sides<Option<String>>,
}

impl Seen {
    fn of(google: &Case, company: &Case) -> Self {
        Self {
            agreed_closed: (google.closed == company.closed).then_some(company.closed),
            scope: Sides {
                google: scope_of(Side::Google, google),
                company: scope_of(Side::Company, company),
            },
            ..Self::default()
        }
    }

    /// True if the mapping already holds all of it, so that nothing has to be saved. The digests are saved with the next change: without
    /// them, only a complete sync is made where a smaller one might do.
    fn is_known(&self, state: &PairState) -> bool {
        // An action records that both are closed, together with the time.
        let agreed = self.agreed_closed != Some(false) || state.agreed_closed == Some(false);
        agreed
            && self.scope == state.scope
            && self.warned == state.warned
            && state.missing == Sides::default()
    }
}

/// Returns the project, queue or table of a case (`R26`: empty answers need proof). A Google case has it in its name.
pub(super) fn scope_of(side: Side, case: &Case) -> Option<String> {
    case.scope.clone().or_else(|| scope_in_name(side, &case.id))
}

/// Returns the parent in the name of a Google case.
pub(super) fn scope_in_name(side: Side, id: &str) -> Option<String> {
    match side {
        Side::Google => id.split_once("/cases/").map(|(parent, _)| parent.to_owned()),
        Side::Company => None,
    }
}

fn is_merged(case: &Case) -> bool {
    case.closing == Some(Closing::Merged) && case.merged_into.is_some()
}

/// Logs the warnings of a plan of `source` that were not logged before. Returns the codes of all current warnings. Those that only a sync
/// of the other side gives are kept: otherwise they would be logged again after each sync of `source`.
fn warn(mapping: &CaseMapping, source: Side, plan: &Plan) -> BTreeSet<String> {
    for (_, warning) in plan.warnings.iter().filter(|(code, _)| !mapping.state.warned.contains(code)) {
        tracing::warn!(
            case.google_name = mapping.case_id(Side::Google),
            case.company_id = mapping.case_id(Side::Company),
            "{warning}"
        );
    }
    let of_other = held_code(source.other());
    let kept = mapping.state.warned.iter().filter(|code| **code == of_other).cloned();
    plan.warnings.iter().map(|(code, _)| code.clone()).chain(kept).collect()
}

/// Replaces a key that a person gave to version 0.1 by the ID in the CRM's answer (`R31`: an ID is valid only in its own system).
async fn correct_id(session: &mut Session<'_>, case: &Case, mode: Mode) -> Result<(), SyncError> {
    let known = session.mapping.case_id(Side::Company);
    if mode == Mode::DryRun || known.is_none() || known == Some(case.id.as_str()) || is_merged(case) {
        return Ok(());
    }
    let id = CompanyCaseId::parse(&case.id).map_err(|error| SyncError::Failed(error.to_string()))?;
    session.take_lease().await?;
    session.save(|mapping| mapping.company_case_id = Some(id.clone())).await
}

/// Returns the case with its lists, which are read unless they are `known`.
async fn read(
    session: &Session<'_>,
    side: Side,
    case: Case,
    horizon: Option<DateTime<Utc>>,
    known: Option<Content>,
) -> Result<Snapshot, SyncError> {
    let deps = session.deps;
    let since = read_since(deps, &session.mapping, side, horizon);
    let content = match known {
        Some(content) => content,
        None => deps.systems[side].content(&case.id, since).await?,
    };
    let is_earlier = |comment: &&Comment| {
        let at = comment.created_at;
        at.is_some() && at < horizon && at >= since
    };
    let earlier = content.comments.iter().filter(is_earlier).cloned().collect();
    Ok(Snapshot { earlier, ..Snapshot::new(case, content, horizon) })
}

/// Stamps each side that was carried completely and clears its dirty mark, unless a new change was detected meanwhile (`R7`: dirty sides).
/// A side that was only read on the way counts as well if it had no changes. If content is held back, the dirty mark is cleared too, but
/// the stored stamp, and with it the horizon, stays (`R15`: one horizon for both). If the other side has changes but no mark, it is marked
/// as dirty from now on: when a person has reopened this side's case, no poll would find the content that was held back there until then.
async fn finish(
    session: &mut Session<'_>,
    left: Sides<Remaining>,
    seen: &Seen,
    clocks: Clocks,
) -> Result<(), SyncError> {
    let (waited, started) = (session.waited, session.started);
    let (windows, lease) = (session.deps.settings.windows, session.deps.settings.lease);
    let now = session.deps.clock.now();
    let sides: Vec<Side> = Side::BOTH.into_iter().filter(|side| left[*side] != Remaining::Changes).collect();
    let current = &session.mapping;
    let found: Vec<Side> = Side::BOTH
        .into_iter()
        .filter(|side| left[*side] == Remaining::Changes && current.dirty[*side].is_none())
        .collect();
    let nothing_to_note = current.lease.is_none()
        && found.is_empty()
        && !current.relinking
        && current.last_error.is_none()
        && seen.is_known(&current.state)
        && sides.iter().all(|side| {
            current.dirty[*side].is_none()
                && current.carried_updated_at[*side] == seen.updated_at[*side]
                && (left[*side] == Remaining::Held || current.stored_synced_at(*side).is_some())
        });
    if nothing_to_note {
        // An idle check writes nothing (R8: idle cases): the effective stamp is the poll's.
        return Ok(());
    }
    // Holds the time up to which each side was in step; read only if a side has to be marked as dirty.
    let global = if found.is_empty() { None } else { Some(session.deps.store.global().await?) };
    session
        .save_either(|mapping| {
            if let Some(global) = &global {
                for side in &found {
                    if mapping.dirty[*side].is_none() {
                        mapping.wait(*side, global, started).case_updated_at = seen.updated_at[*side];
                    }
                }
                mapping.new_content_at = mapping.new_content_at.max(started);
            }
            for side in &sides {
                if left[*side] == Remaining::Nothing {
                    mapping.carried(*side, started, seen.read_until);
                }
                let shown = waited[*side].and_then(|mark| mark.case_updated_at);
                mapping.note_update(*side, seen.updated_at[*side], shown);
                if mapping.dirty[*side] == waited[*side] {
                    mapping.dirty[*side] = None;
                }
            }
            if seen.agreed_closed == Some(false) {
                mapping.state.agreed_closed = Some(false);
                let of_status =
                    |refusal: &Refusal| matches!(refusal.what, Refusable::Close | Refusable::Reopen);
                mapping.state.refusals.retain(|refusal| !of_status(refusal));
            }
            // By the present time: a lease that was taken since this sync began would seem to end later than any can.
            if mapping.lease_is_free(now, lease) {
                mapping.lease = None;
            }
            mapping.state.scope = seen.scope.clone();
            mapping.state.warned.clone_from(&seen.warned);
            mapping.state.read_as = seen.read_as.clone();
            mapping.state.missing = Sides::default();
            mapping.relinking = false;
            mapping.state.looks_again = false;
            mapping.succeeded();
            let reached = horizons(mapping, windows, clocks);
            mapping.forget_before(reached);
        })
        .await
}

/// Finds the counterpart or creates it (`R10`: knowing one's own cases; `R13`: unknown write outcome). Returns the outcome of a sync that ends
/// without one: a field of the company case keeps it from being created.
async fn link(session: &mut Session<'_>, source: Side, case: &Case) -> Result<Option<Done>, SyncError> {
    let target = source.other();
    if let Some((found, created)) = existing_counterpart(session, source, case).await? {
        save_link(session, target, &found.id, Linked::Found { created }).await?;
        return Ok(None);
    }
    let deps = session.deps;
    let routed = route_of(deps, source, case);
    // The case may have changed, or the rules, since it was admitted. A creation that has begun is decided already.
    let begun = session.mapping.pending_creation.is_some();
    if let Some(reason) = routed.and_then(|routed| routed.left_out())
        && !begun
    {
        deps.store.delete(&session.mapping).await?;
        return Err(SyncError::NoPart(reason));
    }
    let google = match source {
        Side::Google => GooglePlacement::default(),
        Side::Company if begun => {
            session.mapping.state.google_placement.as_deref().cloned().unwrap_or_default()
        }
        Side::Company => match google_placement(deps, case).await {
            Ok(placed) => placed.placement,
            Err(Unplaced::ByCase(problem)) => return misplaced(session, case, problem).await.map(Some),
            Err(Unplaced::ByUs(error)) => return Err(error),
        },
    };
    create_counterpart(session, source, case, (routed.map(|routed| routed.placement()), google)).await?;
    Ok(None)
}

/// Returns the counterpart that exists already, and true if an earlier attempt of the connector may have created it. Fails while it is not
/// known if an earlier attempt did.
async fn existing_counterpart(
    session: &mut Session<'_>,
    source: Side,
    case: &Case,
) -> Result<Option<(Case, bool)>, SyncError> {
    let deps = session.deps;
    let target = source.other();
    let system = &deps.systems[target];
    let capabilities = system.capabilities();
    if let Some(found) = counterpart_in_place(session, source, case).await? {
        return Ok(Some((found, session.mapping.pending_creation.is_some())));
    }
    if source == Side::Google
        && session.mapping.pending_creation.is_none()
        && let Some(found) = announced_counterpart(session, case).await?
    {
        return Ok(Some((found, false)));
    }
    session.follow_host_clock()?;
    let now = deps.clock.now();
    if let Some(earlier) = session.mapping.pending_creation {
        // The earlier attempt may take effect late (in-flight window), and the search may show it late (index lag).
        let lag = index_lag(deps, target, now).await?.max(capabilities.index_lag);
        let visible_by = earlier.attempted_at + capabilities.in_flight_window + lag;
        if now < visible_by {
            let reason = format!(
                "creating the counterpart timed out at {}; searching for it until {} before trying again",
                earlier.attempted_at.format("%H:%M:%S"),
                visible_by.format("%H:%M:%S"),
            );
            return Err(SyncError::Undecided { reason, until: visible_by });
        }
        // It is not repeated either while the system shows no cases, and so may hide the result of the earlier attempt (R26: empty answers
        // need proof). A system that never showed a case may really be empty.
        let global = deps.store.global().await?;
        let memory = &global.memory[target];
        let hides = memory.seen_at.is_some() && system.any_case(None).await?.is_none();
        if memory.doubt.is_some() || hides {
            return Err(SyncError::Failed(format!(
                "creating the counterpart timed out at {}, and {} does not show now whether it was created: it is not tried \
                 again before other cases are shown",
                earlier.attempted_at.format("%H:%M:%S"),
                capabilities.name,
            )));
        }
        // A proof does not vouch for a search before it, so the search is repeated.
        return Ok(counterpart_in_place(session, source, case).await?.map(|found| (found, true)));
    }
    Ok(None)
}

/// Creates the counterpart of a case, with the values that routes and fields decide.
async fn create_counterpart(
    session: &mut Session<'_>,
    source: Side,
    case: &Case,
    (placement, google): (Option<Placement>, GooglePlacement),
) -> Result<(), SyncError> {
    let deps = session.deps;
    let target = source.other();
    let system = &deps.systems[target];
    let now = deps.clock.now();
    let Counterpart { case: mut new, parts, header } =
        counterpart_of(source, case, deps.home(), system.capabilities());
    new.placement = placement.unwrap_or_default();
    new.google = google;
    new.idempotency_key = session.key_of("case", format!("{new:?}").as_bytes());
    let clocks = deps.clocks();
    let switches = deps.settings.rules.switches;
    session
        .save(|mapping| {
            // A poll may have found the counterpart of an earlier attempt meanwhile.
            if mapping.has(target) {
                return;
            }
            mapping.begins_to_write(clocks.skew, now);
            mapping.pending_creation = Some(PendingCreation { side: target, attempted_at: now });
            mapping.state.google_placement =
                Some(Box::new(new.google.clone())).filter(|placement| !placement.is_empty());
            mapping.state.conflict = None;
            // Saved before the creation: a sync that finds the new case then knows that further parts belong to it (R16: long texts).
            mapping.description_parts = parts;
            mapping.state.description_header = Some(header.clone()).filter(|_| parts > 1);
            // The original has these values now. If it has others when both are read, a person has changed it since (R30: merge base).
            mapping.state.told_priority = Sides::default();
            mapping.state.told_priority[target] = new.priority.filter(|_| switches.priority);
            if switches.title {
                mapping.state.titles.create(target, &new.title, &case.title);
            }
        })
        .await?;
    if session.mapping.has(target) {
        return Ok(());
    }
    match system.create(&new).await {
        Ok(created) => {
            save_link(session, target, &created.id, Linked::Created).await?;
            session.note("case", target, Some(case.id.clone()), Some(created.id));
            Ok(())
        }
        Err(error) => {
            let unanswered = error.may_have_happened();
            let now = deps.clock.now();
            session
                .save(|mapping| {
                    if unanswered {
                        mapping.sent_no_later_than(now);
                    } else {
                        mapping.pending_creation = None;
                        mapping.state.google_placement = None;
                        mapping.description_parts = 1;
                        mapping.state.told_priority = Sides::default();
                        mapping.state.titles.created = None;
                    }
                })
                .await?;
            Err(error.into())
        }
    }
}

/// Returns the route that decides about the counterpart of a case; `None` if there is none. Only Google cases have routes.
pub(super) fn route_of<'a>(deps: &'a Deps, source: Side, case: &Case) -> Option<Routed<'a>> {
    match source {
        Side::Google => deps.settings.routes.decide(case),
        Side::Company => None,
    }
}

/// Returns the longest index lag of the last day (`R27`: sweeps).
async fn index_lag(deps: &Deps, side: Side, now: DateTime<Utc>) -> Result<Duration, SyncError> {
    let global = deps.store.global().await?;
    let lag = global.memory[side].index_lag.filter(|lag| now - lag.at < Duration::days(1));
    Ok(lag.map_or_else(Duration::zero, |lag| Duration::seconds(lag.seconds.clamp(0, 86_400))))
}

/// Returns the counterpart of a case, if there is one that may be adopted (`R10`: knowing one's own cases; `R13`: unknown write outcome).
/// It must be created by the connector, or both cases must name each other. A case that merely names the other is a claim and proves
/// nothing (`R38`), so it is adopted only with `sync.adopt_claims`.
pub(super) async fn counterpart_in_place(
    session: &Session<'_>,
    source: Side,
    case: &Case,
) -> Result<Option<Case>, SyncError> {
    let deps = session.deps;
    let begun = session.mapping.pending_creation.is_some();
    match source {
        Side::Google => {
            // Tries the company case that the Google case names first: another case's claim may be older.
            let named =
                case.counterpart.as_deref().filter(|_| is_of_home(deps, case.counterpart_address.as_deref()));
            if let Some(named) = named
                && let Some(company) = deps.systems[Side::Company].get(named).await?
                && names_google(&company, &case.id)
            {
                return Ok(Some(company));
            }
            let found = deps.systems[Side::Company].find_counterparts(&case.id, None).await?;
            let created =
                |found: &Found| found.by_connector == Some(true) || (begun && found.by_connector.is_none());
            let mut chosen = found.iter().find(|found| deps.settings.adopt_claims || created(found));
            if chosen.is_none() && !found.is_empty() {
                let named = named_by_google(deps, case).await?;
                chosen = found.iter().find(|found| named.contains(&found.id));
            }
            match chosen {
                Some(chosen) => read_found(deps, Side::Company, chosen).await.map(Some),
                None => Ok(None),
            }
        }
        Side::Company => {
            let google = &deps.systems[Side::Google];
            let found = google.find_counterparts(&case.id, deps.home()).await?;
            if let Some(ours) = adopted_at_google(deps, case, begun, &found).await? {
                return Ok(Some(ours));
            }
            let parent = session.mapping.state.google_placement.as_ref().and_then(|at| at.parent.as_deref());
            let Some(parent) = parent.filter(|_| begun) else { return Ok(None) };
            let found = google.find_counterparts_under(parent, &case.id, deps.home()).await?;
            adopted_at_google(deps, case, begun, &found).await
        }
    }
}

/// Returns the first of the Google cases found that may be adopted by a company case. `begun`: its creation was begun. Version 0.1 wrote no
/// address. A case without one may be adopted if both cases name each other, or if a creation was begun and the text is the same.
async fn adopted_at_google(
    deps: &Deps,
    company: &Case,
    begun: bool,
    found: &[Found],
) -> Result<Option<Case>, SyncError> {
    for found in found {
        let named = names_google(company, &found.id);
        let has_address = found.counterpart_address.is_some();
        if named || begun || (has_address && found.by_connector == Some(true)) {
            let google = read_found(deps, Side::Google, found).await?;
            if named || has_address || says_the_same(deps, company, &google) {
                return Ok(Some(google));
            }
        }
    }
    Ok(None)
}

/// Reads a case that a search found. Fails if the system does not show it: it may be there all the same, and another one created beside it
/// (`R28`: missing is not gone).
async fn read_found(deps: &Deps, side: Side, found: &Found) -> Result<Case, SyncError> {
    let system = &deps.systems[side];
    system.get(&found.id).await?.ok_or_else(|| {
        SyncError::Failed(format!(
            "{} finds case {} in a search, but does not show it: no other is created before the search stops to find it",
            system.capabilities().name,
            found.id,
        ))
    })
}

/// Returns the company case with which a Google case says that it syncs, if both name each other. A case of an earlier pair says so, whose
/// mapping was cleaned up, and no search may show its company case for now. While that is not found, no other one is created: absence takes
/// time (`R28`: missing is not gone). A case that is younger than mappings are kept had no earlier pair, and its comments are not read.
async fn announced_counterpart(session: &mut Session<'_>, google: &Case) -> Result<Option<Case>, SyncError> {
    let deps = session.deps;
    let kept_until = google.created_at.and_then(|at| at.checked_add_signed(deps.settings.retention));
    if kept_until.is_some_and(|until| until > deps.clocks().of(Side::Google)) {
        return Ok(None);
    }
    let comments = deps.systems[Side::Google].comments(&google.id, None).await?;
    let ended =
        |body: &str| matches!(texts::recognise_notice(body), Some(Notice::CounterpartGone | Notice::Merged));
    let is_about_pair = |comment: &&Comment| {
        comment.by_connector != Some(false)
            && (markers::company_case_of_comment(&comment.body).is_some() || ended(&comment.body))
    };
    // An item without a time counts as the oldest.
    let latest = comments.iter().filter(is_about_pair).max_by_key(|comment| comment.created_at);
    let named = latest.and_then(|comment| markers::company_case_of_comment(&comment.body));
    let Some(named) = named.filter(|named| named.address.is_some() && is_of_home(deps, named.address)) else {
        return Ok(None);
    };
    let side = Side::Company;
    if let Some(company) = deps.systems[side].get(named.id).await? {
        return Ok(Some(company).filter(|company| names_google(company, &google.id)));
    }
    let Missing { since, reads, .. } = note_missing(session, side, side.other()).await?;
    let too_early = session.started - since < deps.settings.missing_grace || reads < READS;
    if too_early || deps.systems[side].any_case(Some(named.id)).await?.is_none() {
        return Err(not_found(side, named.id, since, "the Google case says that it syncs with it"));
    }
    Ok(None)
}

/// True if a claim may be about a case of the configured CRM. A claim without an address may be.
fn is_of_home(deps: &Deps, address: Option<&str>) -> bool {
    match (address, deps.home()) {
        (Some(address), Some(home)) => markers::is_within(address, home),
        (None, _) | (_, None) => true,
    }
}

/// True if a company case names that Google case.
pub(super) fn names_google(company: &Case, google: &str) -> bool {
    let number = |name: &str| GoogleCaseName::parse(name).ok().map(|name| name.number().to_owned());
    let named = company.counterpart.as_deref().and_then(number);
    named.is_some() && named == number(google)
}

/// Returns the IDs of the company cases of ours that a Google case names, in its description or else in comments. A message does not
/// count: anybody can send one.
async fn named_by_google(deps: &Deps, google: &Case) -> Result<Vec<String>, SyncError> {
    if let Some(named) = &google.counterpart {
        let is_ours = is_of_home(deps, google.counterpart_address.as_deref());
        return Ok(Vec::from_iter(is_ours.then(|| named.clone())));
    }
    let comments = deps.systems[Side::Google].comments(&google.id, None).await?;
    Ok(comments
        .iter()
        .filter(|comment| comment.by_connector != Some(false))
        .filter_map(|comment| markers::company_case_of_comment(&comment.body))
        .filter(|named| is_of_home(deps, named.address))
        .map(|named| named.id.to_owned())
        .collect())
}

/// True if a Google case has the text that version 0.1 made from a company case.
pub(super) fn says_the_same(deps: &Deps, company: &Case, google: &Case) -> bool {
    let header = markers::google_description_header(&markers::CompanyCase {
        id: &company.id,
        key: None,
        address: None,
    });
    let capabilities = deps.systems[Side::Google].capabilities();
    let description = company.earlier_description.as_ref().unwrap_or(&company.description);
    let text = texts::mirrored(Side::Company, &header, &company.title, description, capabilities);
    texts::digest(&text.description) == texts::digest(&google.description)
}

/// Origin of the counterpart of a newly linked pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linked {
    /// The counterpart was created by this sync.
    Created,
    /// The counterpart existed. `created`: an earlier attempt of the connector had started to create one.
    Found { created: bool },
}

async fn save_link(
    session: &mut Session<'_>,
    target: Side,
    id: &str,
    linked: Linked,
) -> Result<(), SyncError> {
    let unusable = |error: crate::entities::NameError| SyncError::Failed(error.to_string());
    let (google, company) = match target {
        Side::Google => (Some(GoogleCaseName::parse(id).map_err(unusable)?), None),
        Side::Company => (None, Some(CompanyCaseId::parse(id).map_err(unusable)?)),
    };
    let now = session.deps.clock.now();
    let compares = target == Side::Company && !session.deps.settings.rules.statuses.is_empty();
    session
        .save(|mapping| {
            mapping.google_case_name = mapping.google_case_name.take().or_else(|| google.clone());
            mapping.company_case_id = mapping.company_case_id.take().or_else(|| company.clone());
            mapping.linked_at = Some(now);
            mapping.pending_creation = None;
            mapping.state.google_placement = None;
            mapping.state.conflict = None;
            match linked {
                Linked::Created => mapping.born_open(),
                Linked::Found { created } => mapping.recover_found(created),
            }
            if linked != (Linked::Found { created: false }) {
                // Nobody has chosen the status of a new case, so it is compared with Google's state at once.
                mapping.state.turn.fresh = compares;
            }
        })
        .await
}

/// Pauses the pair, since the company case is not flagged (`R20`: leaving). `found` are the sides whose case was just found: their missing
/// marks are cleared, since further missing cases would be taken for hidden ones (`R28`: missing is not gone).
async fn paused(session: &mut Session<'_>, request: &Request<'_>, found: &[Side]) -> Result<Done, SyncError> {
    let was_missing = found.iter().any(|side| session.mapping.state.missing[*side].is_some());
    // A pair that has ended needs no pause: nothing is carried, and if it resumes, everything since its stamps is read.
    let has_ended = session.mapping.gone.is_some();
    if request.mode == Mode::Act && !has_ended && (!session.mapping.is_dormant() || was_missing) {
        let (now, global) = (session.started, session.deps.store.global().await?);
        let waited = session.waited[Side::Company];
        session
            .save_either(|mapping| {
                mapping.pause(waited, &global, now);
                for side in found {
                    mapping.state.missing[*side] = None;
                }
            })
            .await?;
    } else if session.mapping.lease.as_ref().is_some_and(|lease| lease.holder == request.holder) {
        session.save_either(|_| {}).await?;
    }
    Ok(Done::Paused)
}

/// Records that a case is not found, and fails the sync (`R28`: missing is not gone). The pair ends when the case has been missing for long
/// enough and often enough, if its system shows other cases and only few pairs went missing at about the same time.
async fn missing(session: &mut Session<'_>, side: Side, request: &Request<'_>) -> Result<Done, SyncError> {
    let deps = session.deps;
    if session.mapping.gone.is_some() {
        return Ok(Done::Gone(side));
    }
    let case = session.mapping.case_id(side).unwrap_or_else(|| request.id()).to_owned();
    if request.mode == Mode::DryRun {
        return Ok(Done::Planned(format!("wait: the {side} case {case} is not found").into()));
    }
    let grace = deps.settings.missing_grace;
    let Missing { since, reads, .. } = note_missing(session, side, request.side()).await?;
    let not_yet = |why: String| Err(not_found(side, &case, since, &why));
    if session.started - since < grace || reads < READS {
        let grace = humantime::format_duration(grace.to_std().unwrap_or_default());
        return not_yet(format!(
            "its pair ends if it stays missing for {grace} (sync.missing_grace) and {READS} reads; if it exists, give the \
             connector's user the right to read it"
        ));
    }
    let together = missing_together(deps, session.mapping.id, side, since).await? + 1;
    if together >= SEVERAL {
        return not_yet(format!(
            "{together} cases of that side went missing within an hour, so this is taken for a right that is missing or for an \
             outage, and no pair ends"
        ));
    }
    if deps.systems[side].any_case(Some(&case)).await?.is_none() {
        let name = deps.systems[side].capabilities().name;
        return not_yet(format!("{name} shows no other case either, so nothing says that this one is gone"));
    }
    // Reads the case once more: if a right was just restored, the other case may be shown for that reason, and this one is too.
    if deps.systems[side].get(&case).await?.is_some() {
        return not_yet("it is shown again".to_owned());
    }
    gone(session, side, request.side()).await
}

/// Records another read that did not find the case of `side`. Returns the time of the first and the number of reads. The side that the sync
/// `carries` is marked as dirty along with it: else nobody would look for the case again, if the failure of the sync could not be saved.
async fn note_missing(session: &mut Session<'_>, side: Side, carries: Side) -> Result<Missing, SyncError> {
    let now = session.started;
    let grace = session.deps.settings.missing_grace;
    let mut missing = Missing { since: now, reads: 1, read_at: now };
    if let Some(earlier) = session.mapping.state.missing[side] {
        let counts = now - earlier.read_at >= READS_APART.min(grace / 4);
        missing = Missing {
            since: earlier.since.min(now),
            reads: earlier.reads.saturating_add(u32::from(counts)),
            read_at: if counts { now } else { earlier.read_at },
        };
    }
    if session.mapping.state.missing[side] != Some(missing) {
        session.take_lease().await?;
        let global = session.deps.store.global().await?;
        session
            .save(|mapping| {
                mapping.state.missing[side] = Some(missing);
                mapping.wait(carries, &global, now);
            })
            .await?;
    }
    Ok(missing)
}

fn not_found(side: Side, case: &str, since: DateTime<Utc>, why: &str) -> SyncError {
    let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    SyncError::Failed(format!("the {side} case {case} has not been found since {since}: {why}"))
}

/// Number of other pairs whose case of that side went missing within an hour of `since`.
async fn missing_together(
    deps: &Deps,
    but: MappingId,
    side: Side,
    since: DateTime<Utc>,
) -> Result<usize, SyncError> {
    let (mut count, mut after) = (0, None);
    loop {
        // A missing case has a dirty mark, so this filter includes it.
        let page = deps.store.list(MappingFilter::NeedsWatching, after, PAGE).await?;
        let with_it = |mapping: &&CaseMapping| {
            let missing = mapping.state.missing[side];
            mapping.id != but
                && mapping.gone.is_none()
                && missing.is_some_and(|missing| (missing.since - since).abs() <= TOGETHER)
        };
        count += page.mappings.iter().filter(with_it).count();
        after = page.next;
        if after.is_none() || count >= SEVERAL {
            return Ok(count);
        }
    }
}

/// Ends the pair, since a case no longer exists (`R20`: leaving; `R28`: missing is not gone).
async fn gone(session: &mut Session<'_>, side: Side, carries: Side) -> Result<Done, SyncError> {
    let other = side.other();
    session.take_lease().await?;
    // The notice waits while the remaining case is not shown. If that case stays missing too, there is no case left for the notice.
    let left = session.mapping.case_id(other).map(str::to_owned);
    if let Some(left) = left
        && session.deps.systems[other].get(&left).await?.is_none()
    {
        let Missing { since, reads, .. } = note_missing(session, other, carries).await?;
        let too_early = session.started - since < session.deps.settings.missing_grace || reads < READS;
        if too_early || session.deps.systems[other].any_case(Some(&left)).await?.is_none() {
            return Err(not_found(other, &left, since, "it is to be told that its counterpart is gone"));
        }
    }
    let body = texts::gone(other, &session.name_for_other_side(side));
    // An earlier attempt may have posted the notice without ending the pair.
    let told = session.mapping.state.gone_told
        || tell_if_possible(session, other, Notice::CounterpartGone, body).await?;
    end_pair(session, side, |mapping| mapping.state.gone_told = told).await?;
    Ok(Done::Gone(side))
}

/// Marks the pair as ended, drops its pending work and releases the lease: `side` has lost its case. Saves `change` along with that.
async fn end_pair(
    session: &mut Session<'_>,
    side: Side,
    mut change: impl FnMut(&mut CaseMapping) + Send,
) -> Result<(), SyncError> {
    let now = session.deps.clock.now();
    session
        .save_either(|mapping| {
            mapping.gone = Some(side);
            mapping.resolved_at.get_or_insert(now);
            for side in Side::BOTH {
                // A change that a poll has found must not look new to the next sweep. If the pair resumes, everything since its stamps is
                // read (R28: missing is not gone).
                let seen = mapping.dirty[side].take().and_then(|waiting| waiting.case_updated_at);
                mapping.carried_updated_at[side] = seen.or(mapping.carried_updated_at[side]);
            }
            mapping.pending_creation = None;
            mapping.pending_status = None;
            mapping.succeeded();
            change(mapping);
        })
        .await
}

/// Posts a notice once on a case, if the case exists and takes it. Returns true if it was posted, now or by an earlier attempt.
async fn tell_if_possible(
    session: &mut Session<'_>,
    side: Side,
    notice: Notice,
    body: String,
) -> Result<bool, SyncError> {
    let deps = session.deps;
    let Some(case) = session.mapping.case_id(side).map(str::to_owned) else { return Ok(false) };
    let takes_it = deps.systems[side].get(&case).await?.is_some_and(|case| {
        case.synchronize && (!case.closed || deps.systems[side].capabilities().comment_when_closed)
    });
    if !takes_it {
        return Ok(false);
    }
    if told_without_answer(session, side, &case, notice).await? {
        return Ok(true);
    }
    match session.notice(side, notice, body).await {
        Ok(()) => Ok(true),
        // A case that refuses the notice for good gets none, and nothing waits for that (R33: final refusals).
        Err(SyncError::Api(error)) if is_refused(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// True if a case that was just read refuses a notice for good. A case that is no longer found does not count.
fn is_refused(error: &ApiError) -> bool {
    error.is_for_good() && error.kind != ApiErrorKind::NotFound
}

/// Resumes a pair whose cases both exist again, since a person restored a case or a right (`R28`: missing is not gone). The sync that
/// follows carries the content written in between, since no stamp has moved. The case that has the notice about the end gets another notice
/// first.
async fn resume(session: &mut Session<'_>) -> Result<(), SyncError> {
    session.take_lease().await?;
    // A pair whose end was announced, but which did not end after all, resumes as well.
    let told = |entry: &&Entry| entry.source == Source::Notice(Notice::CounterpartGone);
    let told_on = session.mapping.ledger.entries().filter(told).max_by_key(|entry| entry.written_at);
    let told_on = told_on.map(|entry| entry.side);
    let other = session.mapping.gone.map(Side::other).or(told_on);
    if session.mapping.state.gone_told
        && let Some(other) = other
    {
        let side = other.other();
        let body = texts::back(other, &session.name_for_other_side(side));
        tell_if_possible(session, other, Notice::CounterpartBack, body).await?;
    }
    let now = session.started;
    let waited = &mut Sides::default();
    session
        .save(|mapping| {
            // Marks both sides as dirty since their stamps, independent of the polls (R7: dirty sides).
            for side in Side::BOTH {
                let since = mapping.stored_synced_at(side).unwrap_or(mapping.created_at).min(now);
                mapping.dirty[side] = Some(Dirty { marked_at: Some(now), ..Dirty::since(since) });
            }
            *waited = mapping.dirty;
            mapping.gone = None;
            if mapping.state.agreed_closed != Some(true) {
                mapping.resolved_at = None;
            }
            mapping.state.gone_told = false;
            mapping.state.merged_into = None;
            mapping.state.missing = Sides::default();
        })
        .await?;
    session.waited = *waited;
    Ok(())
}

/// Handles a company case that was merged into another (`R32`: closed is not solved). The pair continues with that one, or ends if that one
/// has its own pair. `None`: that one cannot be used, and the case counts as closed.
async fn merged(
    session: &mut Session<'_>,
    company: &Case,
    request: &Request<'_>,
) -> Result<Option<Done>, SyncError> {
    let deps = session.deps;
    let Some(into) = company.merged_into.as_deref() else { return Ok(None) };
    if session.mapping.gone.is_some() && session.mapping.state.merged_into.as_deref() == Some(into) {
        return Ok(Some(Done::Gone(Side::Company)));
    }
    let Some(survivor) = deps.systems[Side::Company].get(into).await? else { return Ok(None) };
    let Ok(id) = CompanyCaseId::parse(&survivor.id) else { return Ok(None) };
    if request.mode == Mode::DryRun {
        let step = format!("go on with company case {id}, into which this one was merged");
        return Ok(Some(Done::Planned(step.into())));
    }
    session.take_lease().await?;
    let from = texts::company_name(company, deps.home()).to_string();
    let name = texts::company_name(&survivor, deps.home()).to_string();
    let of_survivor = deps.store.find_by_company(&id).await?;
    let is_new = |other: &CaseMapping| {
        !other.is_linked() && other.pending_creation.is_none() && other.held().is_none()
    };
    let is_taken = match &of_survivor {
        Some(other) => !is_new(other),
        None => is_awaited(session, &survivor).await?,
    };
    if is_taken {
        let body = texts::merged(&from, &name, Merged::Ended);
        tell_if_possible(session, Side::Google, Notice::Merged, body).await?;
        let into = into.to_owned();
        end_pair(session, Side::Company, |mapping| mapping.state.merged_into = Some(into.clone())).await?;
        return Ok(Some(Done::Gone(Side::Company)));
    }
    if let Some(other) = of_survivor {
        // The mapping of the surviving case is new and has no work done for it, so the case joins this pair.
        deps.store.delete(&other).await?;
    }
    let outcome = if survivor.synchronize { Merged::HandedOver } else { Merged::Unflagged };
    tell_if_possible(session, Side::Google, Notice::Merged, texts::merged(&from, &name, outcome)).await?;
    let now = deps.clock.now();
    session
        .save(|mapping| {
            mapping.company_case_id = Some(id.clone());
            mapping.linked_at = Some(now);
            mapping.recover();
            mapping.born_open();
            // The agreed values were agreed with the other case.
            mapping.resolved_at = None;
            mapping.pending_status = mapping.pending_status.filter(|status| status.side != Side::Company);
            mapping.carried_updated_at[Side::Company] = None;
            mapping.pending.retain(|pending| pending.side != Side::Company);
            mapping.forget_told(Side::Company);
            for side in Side::BOTH {
                mapping.dirty[side].get_or_insert(Dirty::since(now));
            }
        })
        .await?;
    session.save_either(|_| {}).await?;
    let queued = scheduler::queue_waiting(deps, &session.mapping, now).await;
    queued.map_err(|error| SyncError::Failed(error.to_string()))?;
    Ok(Some(Done::HandedOver(id)))
}

/// True if the sync of another Google case created that company case, and has not learned of it yet (`R13`: unknown write outcome).
async fn is_awaited(session: &Session<'_>, company: &Case) -> Result<bool, SyncError> {
    let named = company.counterpart.as_deref().and_then(|name| GoogleCaseName::parse(name).ok());
    let Some(named) = named.filter(|named| !names_google_of(&session.mapping, named)) else {
        return Ok(false);
    };
    let waits = session.deps.store.find_by_google(&named).await?;
    Ok(waits.is_some_and(|mapping| {
        let begun = mapping.pending_creation.is_some();
        mapping.company_case_id.is_none()
            && (company.by_connector == Some(true) || (begun && company.by_connector.is_none()))
    }))
}

fn names_google_of(mapping: &CaseMapping, named: &GoogleCaseName) -> bool {
    mapping.google_case_name.as_ref().is_some_and(|ours| ours.number() == named.number())
}

/// Handles a company case that names a counterpart which it cannot have (`R31`: an ID is valid only in its own system; `R38`: a claim is
/// not a proof). Posts a notice once, and checks the claim again at each change. `None`: the conflict is over, and the sync continues.
async fn conflicting(
    session: &mut Session<'_>,
    ours: &Case,
    conflict: &Conflict,
    request: &Request<'_>,
) -> Result<Option<Done>, SyncError> {
    let deps = session.deps;
    let is_claim = conflict.cause == ConflictCause::Claim;
    if request.mode == Mode::DryRun {
        return Ok(is_claim.then(|| Done::Planned(format!("nothing: {}", conflict.reason).into())));
    }
    if !ours.synchronize || ours.closed {
        deps.store.delete(&session.mapping).await?;
        return Ok(Some(Done::Conflict("it is not synchronised any more, and is forgotten".to_owned())));
    }
    if !is_claim {
        // The attempt to create the counterpart decides again.
        return Ok(None);
    }
    let Some(id) = session.mapping.company_case_id.clone() else { return Ok(None) };
    let name = FirstSeen::Company(id);
    let found = Found::from(ours);
    let reason = match claim(deps, &name, &found).await? {
        Claim::Conflict(reason) => reason,
        Claim::None | Claim::Undecided | Claim::Orphan(_) => {
            session.take_lease().await?;
            session.save(|mapping| mapping.state.conflict = None).await?;
            return Ok(None);
        }
        Claim::Unmapped(other) => {
            session.take_lease().await?;
            let now = deps.clock.now();
            session
                .save(|mapping| {
                    set_name(mapping, &other);
                    mapping.linked_at = Some(now);
                    mapping.recover();
                    mapping.state.conflict = None;
                })
                .await?;
            return Ok(None);
        }
        Claim::Waits(existing) => {
            deps.store.delete(&session.mapping).await?;
            complete(deps, *existing, &name, &found, session.started).await?;
            return Ok(Some(Done::Conflict(
                "it belongs to a pair now, whose own sync carries it".to_owned(),
            )));
        }
    };
    session.take_lease().await?;
    tell_conflict(session, ours, conflict.told, reason).await.map(Some)
}

/// Ends the sync of a company case one of whose fields names no place at Google. The case is told once for each problem, and tried again at
/// each of its changes.
async fn misplaced(session: &mut Session<'_>, ours: &Case, problem: String) -> Result<Done, SyncError> {
    let reason = format!("no Google case is created for it: {problem}; correct the field");
    let earlier = session.mapping.state.conflict.as_ref();
    let told = earlier.is_some_and(|earlier| earlier.told && earlier.reason == reason);
    let now = session.deps.clock.now();
    let since = earlier.map_or(now, |earlier| earlier.since);
    let cause = ConflictCause::Placement;
    let conflict = Conflict { reason: reason.clone(), since, told, cause };
    session.save(|mapping| mapping.state.conflict = Some(conflict.clone())).await?;
    tell_conflict(session, ours, told, reason).await
}

/// Posts the notice of a conflict on the company case, unless it was `told` before, and records that the case's changes were looked at.
async fn tell_conflict(
    session: &mut Session<'_>,
    ours: &Case,
    told: bool,
    reason: String,
) -> Result<Done, SyncError> {
    let case = ours.id.as_str();
    if !told && !told_without_answer(session, Side::Company, case, Notice::Conflict).await? {
        match session.notice(Side::Company, Notice::Conflict, texts::conflict(&reason)).await {
            Ok(()) => {}
            Err(SyncError::Api(error)) if is_refused(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let waited = session.waited[Side::Company];
    let updated_at =
        settled_update(session.deps, Side::Company, ours, session.deps.clocks(), session.started);
    session
        .save_either(|mapping| {
            if let Some(conflict) = &mut mapping.state.conflict {
                conflict.reason.clone_from(&reason);
                conflict.told = true;
            }
            mapping.carried_updated_at[Side::Company] = updated_at;
            if mapping.dirty[Side::Company] == waited {
                mapping.dirty[Side::Company] = None;
            }
            mapping.succeeded();
        })
        .await?;
    Ok(Done::Conflict(reason))
}

/// True if a notice whose answer was lost was written after all (`R13`: unknown write outcome). It is then recorded, since the pair may
/// resume some day.
async fn told_without_answer(
    session: &mut Session<'_>,
    side: Side,
    case: &str,
    notice: Notice,
) -> Result<bool, SyncError> {
    let source = Source::Notice(notice);
    let pending = session.mapping.pending.iter().find(|pending| pending.is_of(side, &source));
    let Some(pending) = pending.cloned() else { return Ok(false) };
    let system = &session.deps.systems[side];
    let found = outcomes(system.as_ref(), case, &pending, None).await?;
    session.follow_host_clock()?;
    let is_known = |id: &str| session.mapping.ledger.wrote(side, ItemKind::Comment, id);
    if let Some(comment) = found.iter().find(|comment| !is_known(&comment.id)) {
        let entry = Entry {
            side,
            kind: ItemKind::Comment,
            id: comment.id.clone(),
            source,
            source_at: None,
            written_at: comment.created_at,
            parts: None,
        };
        session.save(|mapping| mapping.record(entry.clone())).await?;
        return Ok(true);
    }
    let attempted_at = session.mapping.pending.iter().find(|other| other.is_of(side, &source));
    let attempted_at = attempted_at.map_or(pending.attempted_at, |pending| pending.attempted_at);
    let until = attempted_at + system.capabilities().in_flight_window;
    if session.deps.clock.now() < until {
        let reason = "a notice that got no answer may still be under way".to_owned();
        return Err(SyncError::Undecided { reason, until });
    }
    Ok(false)
}

/// Prolongs the lease of a sync whose file moves. False if the lease is not held any more.
pub(super) async fn renew_lease(deps: &Deps, task: &Task, holder: &str) -> bool {
    let Some(case) = case_of(task) else { return false };
    let renewed = async {
        let Some(mapping) = find(deps, &case).await? else { return Ok::<_, StoreError>(false) };
        let renewed = modify(deps.store.as_ref(), mapping, |mapping| {
            let expires_at = deps.clock.now() + deps.settings.lease;
            let lease = mapping.lease.as_mut().filter(|lease| lease.holder == holder);
            lease.map(|lease| lease.expires_at = expires_at).is_some()
        })
        .await?;
        Ok(renewed.is_some())
    };
    renewed.await.unwrap_or_else(|error| {
        tracing::warn!(
            task = task.kind().name(),
            "the lease of a file on its way could not be prolonged: {error}"
        );
        false
    })
}

/// Returns the case that a task syncs.
fn case_of(task: &Task) -> Option<FirstSeen> {
    match task {
        Task::SyncGoogleCase(body) => GoogleCaseName::parse(&body.case_name).ok().map(FirstSeen::Google),
        Task::SyncCompanyCase(body) => CompanyCaseId::parse(&body.case_id).ok().map(FirstSeen::Company),
        Task::PollGoogle | Task::PollCompany | Task::DetectOutages | Task::Cleanup => None,
    }
}

/// Releases the lease of a sync that was cut short for that reason. `hung`: since a call got no answer; this is remembered even if the sync had
/// no lease.
pub(super) async fn give_back(deps: &Deps, task: &Task, holder: &str, (reason, hung): (&str, bool)) {
    let Some(case) = case_of(task) else { return };
    let given_back = async {
        let Some(mapping) = find(deps, &case).await? else { return Ok::<_, StoreError>(()) };
        let now = deps.clock.now();
        modify(deps.store.as_ref(), mapping, |mapping| {
            let ours = mapping.lease.as_ref().is_some_and(|lease| lease.holder == holder);
            if ours {
                mapping.lease = None;
                mapping.sent_no_later_than(now);
            }
            let reason = format!("the sync was cut short: {reason}; the next one goes on where it stopped");
            match (ours, hung) {
                (_, true) => mapping.hung(reason, now),
                (true, false) => mapping.failed(reason, now),
                (false, false) => {}
            }
            ours || hung
        })
        .await?;
        Ok(())
    };
    if let Err(error) = given_back.await {
        tracing::warn!(
            task = task.kind().name(),
            "the lease could not be given back; it expires by itself: {error}"
        );
    }
}
