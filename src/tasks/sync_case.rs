//! What the two syncs have in common: read both sides and the mapping, plan, act (`R11` to `R20`).

use chrono::{DateTime, Duration, Utc};

use super::admission::{Admission, AdmissionError, Decision, admit, decide, find, set_name};
use super::carry_out::{Session, SyncError, outcomes};
use super::{Caller, Deps, Mode, Outcome, Task, TaskKind, TaskReport, compare, poll};
use crate::cases::{Case, Found};
use crate::entities::{
    CaseMapping, CompanyCaseId, FirstSeen, GoogleCaseName, MappingId, Notice, PendingCreation, Side, Sides,
    Source,
};
use crate::store::{StoreError, modify};
use crate::sync::{
    CommentToWrite, Left, Pair, Plan, Snapshot, Strangers, counterpart_of, horizons, left_on, lookalikes,
    plan, texts,
};

/// How often a sync begins anew because somebody changed the mapping while it read the cases.
const TRIES: u32 = 3;
/// A counterpart that was linked less than this ago and is not found may only be slow to appear.
const YOUNG_LINK: Duration = Duration::minutes(10);

/// Times at least this precise tell two changes apart.
const PRECISE: Duration = Duration::milliseconds(10);
/// How far a system's clock may be behind ours.
const CLOCKS_APART: Duration = Duration::minutes(1);

/// The sync of one case.
pub(super) struct Request<'a> {
    /// The case to carry to the other side.
    pub(super) case: FirstSeen,
    /// Unique for this run.
    pub(super) holder: &'a str,
    pub(super) caller: Caller,
    pub(super) mode: Mode,
}

impl Request<'_> {
    fn side(&self) -> Side {
        self.case.side()
    }

    fn id(&self) -> &str {
        match &self.case {
            FirstSeen::Google(name) => name.as_str(),
            FirstSeen::Company(id) => id.as_str(),
        }
    }
}

/// How a sync ended well.
enum Done {
    /// Everything was carried, or nothing was to be carried.
    Carried,
    /// The company case is not flagged.
    Paused,
    /// One of the cases no longer exists.
    Gone(Side),
    /// What would be done (`Mode::DryRun`).
    Planned(Vec<String>),
}

pub(super) async fn run(deps: &Deps, task: TaskKind, request: &Request<'_>) -> TaskReport {
    let started = deps.clock.now();
    for attempt in 1..=TRIES {
        let mapping = match mapping_of(deps, request, started).await {
            Ok(mapping) => mapping,
            Err(error) => return failed(task, &error, request),
        };
        let mut session = Session::new(deps, mapping, started, request.holder);
        let outcome = sync(&mut session, request).await;
        if matches!(outcome, Err(SyncError::Raced)) && attempt < TRIES {
            continue;
        }
        return conclude(session, outcome, task, request).await;
    }
    failed(task, &SyncError::Raced, request)
}

/// Remembers a failure, and reports.
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
                Done::Carried => report,
                Done::Paused => {
                    with_detail(report, "the company case is not flagged for synchronisation: paused")
                }
                Done::Gone(side) => {
                    with_detail(report, &format!("the {side} case no longer exists: the pair has ended"))
                }
                Done::Planned(plan) => report.with("plan", plan),
            }
        }
        Err(error) => {
            let reason = error.to_string();
            let remembered = match error {
                _ if request.mode == Mode::DryRun => Ok(()),
                SyncError::Failed(_) | SyncError::Api(_) | SyncError::Store(_) => {
                    session.fail(request.side(), &reason).await
                }
                SyncError::Raced => session.release().await.map_err(SyncError::from),
                SyncError::Abandoned(_) | SyncError::Busy | SyncError::LeaseLost => Ok(()),
            };
            if let Err(error) = remembered {
                tracing::warn!(
                    task = task.name(),
                    "the failure of the sync could not be remembered: {error}"
                );
            }
            failed(task, &error, request)
        }
    };
    name_pair(report, &session.mapping).with("carried", &session.carried)
}

fn with_detail(mut report: TaskReport, detail: &str) -> TaskReport {
    report.detail = Some(detail.to_owned());
    report
}

fn name_pair(report: TaskReport, mapping: &CaseMapping) -> TaskReport {
    // What is only a preview has no ID.
    let stored = (mapping.id != MappingId(0)).then_some(mapping.id);
    report
        .with("mapping", stored)
        .with("google_case_name", &mapping.google_case_name)
        .with("company_case_id", &mapping.company_case_id)
}

fn failed(task: TaskKind, error: &SyncError, request: &Request<'_>) -> TaskReport {
    let detail = format!("{} case {}: {error}", request.side(), request.id());
    match error {
        SyncError::Abandoned(_) => TaskReport::abandoned(task, detail),
        SyncError::Busy
        | SyncError::Raced
        | SyncError::LeaseLost
        | SyncError::Failed(_)
        | SyncError::Store(_)
        | SyncError::Api(_) => TaskReport::failed(task, detail),
    }
}

/// The case's mapping. Where a person asks, one is made for a case that no poll would pick up.
async fn mapping_of(
    deps: &Deps,
    request: &Request<'_>,
    started: DateTime<Utc>,
) -> Result<CaseMapping, SyncError> {
    if let Some(mapping) = find(deps, &request.case).await? {
        return Ok(mapping);
    }
    match request.caller {
        Caller::Queue => return Err(SyncError::Abandoned("it has no mapping (any more)".to_owned())),
        Caller::Person => {}
    }
    let case = deps.systems[request.side()].get(request.id()).await?;
    let case =
        case.ok_or_else(|| SyncError::Abandoned("there is no such case, or it may not be read".to_owned()))?;
    let case = Found::from(&case);
    if request.mode == Mode::DryRun {
        return preview(deps, request, &case, started).await;
    }
    match admit(deps, request.case.clone(), &case, started, None).await? {
        Admission::New(mapping) | Admission::Existing(mapping) => Ok(mapping),
        Admission::Refused(reason) | Admission::Conflict(reason) => Err(SyncError::Abandoned(reason)),
    }
}

/// The mapping that a case would get, which is stored nowhere.
async fn preview(
    deps: &Deps,
    request: &Request<'_>,
    case: &Found,
    started: DateTime<Utc>,
) -> Result<CaseMapping, SyncError> {
    match decide(deps, &request.case, case, started, None).await? {
        Decision::New(mapping) => Ok(mapping),
        Decision::Completes(mut mapping) => {
            set_name(&mut mapping, &request.case);
            mapping.recover();
            Ok(mapping)
        }
        Decision::Refused(reason) | Decision::Conflict(reason) => Err(SyncError::Abandoned(reason)),
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
    let source_id = session.mapping.case_id(source).unwrap_or_else(|| request.id()).to_owned();
    let Some(ours) = deps.systems[source].get(&source_id).await? else {
        return gone(session, source, request).await;
    };
    if source == Side::Company && !ours.synchronize {
        return paused(session, request).await;
    }
    if !session.mapping.is_linked() {
        if request.mode == Mode::DryRun {
            let target_name = deps.systems[target].capabilities().name;
            return Ok(Done::Planned(vec![format!("find or create the counterpart in {target_name}")]));
        }
        session.take_lease().await?;
        link(session, source, &ours).await?;
    }
    let target_id = session.mapping.case_id(target).unwrap_or_default().to_owned();
    let Some(theirs) = deps.systems[target].get(&target_id).await? else {
        return gone(session, target, request).await;
    };
    let (google, company) = match source {
        Side::Google => (ours, theirs),
        Side::Company => (theirs, ours),
    };
    if !company.synchronize {
        return paused(session, request).await;
    }
    if session.mapping.gone.is_some() && request.mode == Mode::Act {
        // Both exist again: somebody restored one of them, or a right that was missing.
        session.take_lease().await?;
        session
            .save(|mapping| {
                mapping.gone = None;
                mapping.resolved_at = None;
            })
            .await?;
    }
    let horizons = horizons(&session.mapping, deps.settings.windows);
    // Before anything is read: what had settled by then is certain to be seen, if it happened (R13).
    let now = deps.clock.now();
    let (google, company) = tokio::try_join!(
        read(deps, Side::Google, google, horizons.google),
        read(deps, Side::Company, company, horizons.company),
    )?;
    let mapping = session.mapping.clone();
    let nobody = Strangers::default();
    let pair = Pair { mapping: &mapping, google: &google, company: &company, strangers: &nobody, now };
    let ids = Sides { google: google.case.id.as_str(), company: company.case.id.as_str() };
    let strangers = compare::strangers(deps, ids, lookalikes(pair, deps.capabilities())).await?;
    let pair = Pair { strangers: &strangers, ..pair };
    let plan = plan(source, pair, &deps.settings.rules, deps.capabilities());
    for warning in &plan.warnings {
        tracing::warn!(
            case.google_name = mapping.case_id(Side::Google),
            case.company_id = mapping.case_id(Side::Company),
            "{warning}"
        );
    }
    if request.mode == Mode::DryRun {
        return Ok(Done::Planned(describe(&plan)));
    }
    let on_other = left_on(target, pair, &deps.settings.rules, deps.capabilities());
    let on_ours = if plan.held { Left::Held } else { Left::Nothing };
    let resumed = mapping.paused;
    if !plan.is_empty() {
        session.confirm_lease().await?;
        let detected = plan_carries(&plan) && session.waited[source].is_none();
        if detected {
            let now = session.started;
            session.save(|mapping| mapping.new_content_at = mapping.new_content_at.max(now)).await?;
        }
        let failures = session.carry_out(plan).await?;
        if !failures.is_empty() {
            return Err(SyncError::Failed(failures.join("; ")));
        }
    }
    let settled = |side: Side, case: &Case| {
        // A time to the second, or the minute, may stand for a change that came after the reading (R15): it is not the
        // mark of what was carried, and the next poll that sees it counts it as news.
        let resolution = deps.capabilities()[side].time_resolution;
        // Not added to what a system says, which may be the last time of the calendar.
        let over = |at: &DateTime<Utc>| *at <= session.started - resolution - CLOCKS_APART;
        case.updated_at.filter(|at| resolution < PRECISE || over(at))
    };
    let updated =
        Sides { google: settled(Side::Google, &google.case), company: settled(Side::Company, &company.case) };
    let left = match source {
        Side::Google => Sides { google: on_ours, company: on_other },
        Side::Company => Sides { google: on_other, company: on_ours },
    };
    finish(session, left, updated).await?;
    if on_other == Left::News {
        let queued = if resumed {
            // Under a name of its own: what waited may have been queued, and its task ended while the pair was paused.
            let reason = format!("resumed {}", session.started.timestamp_micros());
            poll::queue_sync(deps, target, &session.mapping, &reason).await.map(drop)
        } else {
            poll::queue_waiting(deps, &session.mapping, session.started).await.map(drop)
        };
        queued.map_err(|error| SyncError::Failed(error.to_string()))?;
    }
    Ok(Done::Carried)
}

async fn read(
    deps: &Deps,
    side: Side,
    case: Case,
    horizon: Option<DateTime<Utc>>,
) -> Result<Snapshot, SyncError> {
    let system = &deps.systems[side];
    let (comments, attachments) =
        tokio::try_join!(system.comments(&case.id, horizon), system.attachments(&case.id, horizon))?;
    Ok(Snapshot::new(case, comments, attachments, horizon))
}

/// Whether a plan holds something that is new on a side, as opposed to the connector's own bookkeeping.
fn plan_carries(plan: &Plan) -> bool {
    use crate::sync::Action;
    plan.actions.iter().any(|action| match action {
        Action::Comment(comment) => !matches!(comment.source, Source::Notice(_)),
        Action::Attach { .. } | Action::SetPriority { .. } | Action::Close { .. } | Action::Reopen { .. } => {
            true
        }
        Action::Resume
        | Action::Adopt(_)
        | Action::Forget(_)
        | Action::LinkBack { .. }
        | Action::AgreeOnPriority(_)
        | Action::Resolve(_)
        | Action::Unresolve
        | Action::ForgetStatus
        | Action::RefusedReopening(_) => false,
    })
}

/// A side of which everything was carried is stamped, and nothing waits there any more, unless something new was detected
/// meanwhile (`R7`). The side that was only read on the way counts as well if it held nothing new. Where something is held
/// back, nothing waits either, but the stored stamp, and with it the horizon, stays (`R15`). News of the other side waits
/// from now on: no poll would find what was held back there until just now, when a person opened this side's case again.
async fn finish(
    session: &mut Session<'_>,
    left: Sides<Left>,
    updated: Sides<Option<DateTime<Utc>>>,
) -> Result<(), SyncError> {
    let (waited, started) = (session.waited, session.started);
    let windows = session.deps.settings.windows;
    let sides: Vec<Side> = Side::BOTH.into_iter().filter(|side| left[*side] != Left::News).collect();
    let current = &session.mapping;
    let found: Vec<Side> = Side::BOTH
        .into_iter()
        .filter(|side| left[*side] == Left::News && current.waiting[*side].is_none())
        .collect();
    let nothing_to_note = current.lease.is_none()
        && found.is_empty()
        && !current.recovering
        && current.last_error.is_none()
        && sides.iter().all(|side| {
            current.waiting[*side].is_none()
                && current.carried_updated_at[*side] == updated[*side]
                && (left[*side] == Left::Held || current.stored_synced_at(*side).is_some())
        });
    if nothing_to_note {
        // An idle check writes nothing (R8): the effective stamp is the poll's.
        return Ok(());
    }
    // As of when each side was in step until now; asked for only where that has to be remembered.
    let global = if found.is_empty() { None } else { Some(session.deps.store.global().await?) };
    session
        .save_either(|mapping| {
            if let Some(global) = &global {
                for side in &found {
                    if mapping.waiting[*side].is_none() {
                        mapping.wait(*side, global, started).case_updated_at = updated[*side];
                    }
                }
                mapping.new_content_at = mapping.new_content_at.max(started);
            }
            for side in &sides {
                if left[*side] == Left::Nothing {
                    mapping.set_stored_synced_at(*side, started);
                }
                mapping.carried_updated_at[*side] = updated[*side];
                if mapping.waiting[*side] == waited[*side] {
                    mapping.waiting[*side] = None;
                }
            }
            mapping.recovering = false;
            mapping.last_error = None;
            let reached = horizons(mapping, windows);
            mapping.forget_before(reached);
        })
        .await
}

/// Finds the counterpart or creates it (`R10`, `R13`).
async fn link(session: &mut Session<'_>, source: Side, case: &Case) -> Result<(), SyncError> {
    let deps = session.deps;
    let target = source.other();
    let system = &deps.systems[target];
    let capabilities = system.capabilities();
    if let Some(found) = system.find_counterpart(&case.id, None).await? {
        return save_link(session, target, &found.id, true).await;
    }
    let now = deps.clock.now();
    if let Some(earlier) = session.mapping.pending_creation {
        // It may take effect late, and the search may be late to show it.
        let visible_by = earlier.attempted_at + capabilities.write_settles + capabilities.search_lag;
        if now < visible_by {
            return Err(SyncError::Failed(format!(
                "the creation of the counterpart that was begun at {} got no answer; it is looked for until {}",
                earlier.attempted_at.format("%H:%M:%S"),
                visible_by.format("%H:%M:%S"),
            )));
        }
    }
    let (new, parts) = counterpart_of(source, &session.mapping, case, capabilities);
    session
        .save(|mapping| {
            mapping.pending_creation = Some(PendingCreation { side: target, attempted_at: now });
            // Known before the creation, so that whoever finds what it left knows that further parts belong to it (R16).
            mapping.description_parts = parts;
        })
        .await?;
    match system.create(&new).await {
        Ok(created) => {
            save_link(session, target, &created.id, false).await?;
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
                        mapping.description_parts = 1;
                    }
                })
                .await?;
            Err(error.into())
        }
    }
}

async fn save_link(
    session: &mut Session<'_>,
    target: Side,
    id: &str,
    recovering: bool,
) -> Result<(), SyncError> {
    let unusable = |error: crate::entities::NameError| SyncError::Failed(error.to_string());
    let (google, company) = match target {
        Side::Google => (Some(GoogleCaseName::parse(id).map_err(unusable)?), None),
        Side::Company => (None, Some(CompanyCaseId::parse(id).map_err(unusable)?)),
    };
    let now = session.deps.clock.now();
    session
        .save(|mapping| {
            mapping.google_case_name = mapping.google_case_name.take().or_else(|| google.clone());
            mapping.company_case_id = mapping.company_case_id.take().or_else(|| company.clone());
            mapping.linked_at = Some(now);
            mapping.pending_creation = None;
            if recovering {
                mapping.recover();
            }
        })
        .await
}

/// The company case is not flagged (`R20`).
async fn paused(session: &mut Session<'_>, request: &Request<'_>) -> Result<Done, SyncError> {
    if request.mode == Mode::Act && !session.mapping.rests() {
        let (now, global) = (session.started, session.deps.store.global().await?);
        let waited = session.waited[Side::Company];
        session.save_either(|mapping| mapping.pause(waited, &global, now)).await?;
    } else if session.mapping.lease.as_ref().is_some_and(|lease| lease.holder == request.holder) {
        session.save_either(|_| {}).await?;
    }
    Ok(Done::Paused)
}

/// A case no longer exists: ends the pair (`R20`).
async fn gone(session: &mut Session<'_>, side: Side, request: &Request<'_>) -> Result<Done, SyncError> {
    let deps = session.deps;
    if session.mapping.gone.is_some() || request.mode == Mode::DryRun {
        return Ok(Done::Gone(side));
    }
    let now = deps.clock.now();
    if session.mapping.linked_at.is_some_and(|linked| now - linked < YOUNG_LINK) {
        return Err(SyncError::Failed(format!(
            "the {side} case is not found, though the pair was linked just now; it is given ten minutes to appear"
        )));
    }
    session.take_lease().await?;
    let other = side.other();
    let left = session.mapping.case_id(other).map(str::to_owned);
    let already_told = session.mapping.ledger.has_copy(other, &Source::Notice(Notice::CounterpartGone));
    if let Some(left) = left
        && !already_told
        && deps.systems[other].get(&left).await?.is_some_and(|case| {
            case.synchronize && (!case.closed || deps.systems[other].capabilities().comment_when_closed)
        })
    {
        let counterpart = session.mapping.case_id(side).unwrap_or_default().to_owned();
        let source = Source::Notice(Notice::CounterpartGone);
        let body = texts::gone(other, &counterpart);
        let told_before = told_without_answer(session, other, &left, &source).await?;
        if !told_before {
            let rules = &deps.settings.rules;
            session.comment(&CommentToWrite::notice(other, Notice::CounterpartGone, body, rules)).await?;
        }
    }
    session
        .save_either(|mapping| {
            mapping.gone = Some(side);
            mapping.resolved_at.get_or_insert(now);
            mapping.waiting = Sides::default();
            mapping.pending.retain(|pending| pending.source != Source::Notice(Notice::CounterpartGone));
            mapping.pending_creation = None;
            mapping.pending_status = None;
            mapping.last_error = None;
        })
        .await?;
    Ok(Done::Gone(side))
}

/// Whether a notice whose answer was lost stands on the case after all (`R13`).
async fn told_without_answer(
    session: &Session<'_>,
    side: Side,
    case: &str,
    source: &Source,
) -> Result<bool, SyncError> {
    let Some(pending) =
        session.mapping.pending.iter().find(|pending| pending.side == side && pending.source == *source)
    else {
        return Ok(false);
    };
    let system = &session.deps.systems[side];
    // It is said once in a pair's life: however old it is, it is the one.
    if !outcomes(system.as_ref(), case, pending, None).await?.is_empty() {
        return Ok(true);
    }
    if session.deps.clock.now() < pending.attempted_at + system.capabilities().write_settles {
        return Err(SyncError::Failed("a notice that got no answer may still be under way".to_owned()));
    }
    Ok(false)
}

/// What a plan would do, for people: IDs, never content.
fn describe(plan: &Plan) -> Vec<String> {
    use crate::sync::Action;
    let actions = plan.actions.iter().map(|action| match action {
        Action::Resume => "resume: the company case is flagged again".to_owned(),
        Action::Adopt(entry) => {
            format!("adopt {} {} on the {} case", kind_name(entry.kind), entry.id, entry.side)
        }
        Action::Forget(pending) => format!("forget a write to the {} case that did not happen", pending.side),
        Action::LinkBack { company_case_id, google_case_name } => {
            format!("write {google_case_name} onto company case {company_case_id}")
        }
        Action::Comment(comment) => match &comment.source {
            Source::Comment { id, part } => {
                format!("copy comment {id} (part {part}) to the {} case", comment.side)
            }
            Source::Description { part } => {
                format!("add part {part} of the description to the {} case", comment.side)
            }
            Source::Attachment { id } => format!("explain attachment {id} on the {} case", comment.side),
            Source::Notice(notice) => format!("add the notice {notice:?} to the {} case", comment.side),
        },
        Action::Attach { to, attachment, .. } => {
            format!("copy attachment {} to the {to} case", attachment.id)
        }
        Action::SetPriority { side, priority } => format!("set the {side} case's priority to {priority}"),
        Action::AgreeOnPriority(priority) => format!("note that both sides have {priority}"),
        Action::Close { side } => format!("close the {side} case"),
        Action::Reopen { side } => format!("reopen the {side} case"),
        Action::Resolve(at) => format!("note that the pair is resolved as of {at}"),
        Action::Unresolve => "note that the pair is open again".to_owned(),
        Action::ForgetStatus => "forget a change of status that got no answer".to_owned(),
        Action::RefusedReopening(Some(side)) => {
            format!("note that the {} case cannot be reopened as the {side} case was", side.other())
        }
        Action::RefusedReopening(None) => "note that both cases are closed again".to_owned(),
    });
    actions
        .chain(plan.waits.iter().map(|wait| format!("wait: {wait}")))
        .chain(plan.warnings.iter().map(|warning| format!("warning: {warning}")))
        .collect()
}

fn kind_name(kind: crate::entities::ItemKind) -> &'static str {
    match kind {
        crate::entities::ItemKind::Comment => "comment",
        crate::entities::ItemKind::Attachment => "attachment",
    }
}

/// Gives back the lease of a sync that was cut short.
pub(super) async fn give_back(deps: &Deps, task: &Task, holder: &str) {
    let case = match task {
        Task::SyncGoogleCase(body) => GoogleCaseName::parse(&body.case_name).map(FirstSeen::Google),
        Task::SyncCompanyCase(body) => CompanyCaseId::parse(&body.case_id).map(FirstSeen::Company),
        Task::PollGoogle | Task::PollCompany | Task::DetectOutages | Task::Cleanup => return,
    };
    let Ok(case) = case else { return };
    let given_back = async {
        let Some(mapping) = find(deps, &case).await? else { return Ok::<_, StoreError>(()) };
        let now = deps.clock.now();
        modify(deps.store.as_ref(), mapping, |mapping| {
            let ours = mapping.lease.as_ref().is_some_and(|lease| lease.holder == holder);
            if ours {
                mapping.lease = None;
                mapping.sent_no_later_than(now);
                mapping.last_error = Some("the sync was cut short".to_owned());
            }
            ours
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
