//! `detect-outages`: posts a comment on both sides when a case no longer syncs, and when it syncs again.

use chrono::{DateTime, Duration, Utc};
use std::collections::HashSet;

use super::apply::outcomes;
use super::session::key_of;
use super::{Deps, Outcome, TaskKind, TaskReport, scheduler, system_name};
use crate::cases::{ApiError, NewComment};
use crate::entities::{
    CaseMapping, Entry, Global, ItemKind, Notice, Pending, Refusable, Side, Source, ToleranceTable,
};
use crate::store::{MappingFilter, StoreError, modify};
use crate::sync::{CLOCKS_APART, texts};

const PAGE: usize = 200;
/// Time before the end of credentials from which it is reported.
const CREDENTIALS_END_SOON: Duration = Duration::days(21);

/// Findings of one run.
#[derive(Debug, Default)]
struct Findings {
    looked_at: usize,
    outages: Vec<String>,
    commented: usize,
    resumed: usize,
    requeued: usize,
    waiting: i64,
    /// Number of cases that only wait for our own pace.
    paced: usize,
    /// Number of cases that name a counterpart which they cannot have.
    conflicts: usize,
    /// Number of cases that take no changes any more (`R33`: final refusals).
    read_only: usize,
    /// Number of cases that are not found, in an outage or not yet (`R28`: missing is not gone).
    missing: usize,
    /// Number of pairs whose last sync failed.
    failing: usize,
    /// Systems whose credentials end soon.
    credentials_ending: Vec<&'static str>,
    failures: Vec<String>,
}

pub(super) async fn run(deps: &Deps) -> TaskReport {
    let task = TaskKind::DetectOutages;
    match Box::pin(look(deps)).await {
        Ok(mut findings) => {
            findings.credentials_ending = credentials_ending(deps);
            deps.metrics.failing_pairs.set(i64::try_from(findings.failing).unwrap_or(i64::MAX));
            deps.metrics.missing_cases.set(i64::try_from(findings.missing).unwrap_or(i64::MAX));
            deps.metrics.pairs_checked_timestamp_seconds.set(deps.clock.now().timestamp());
            deps.metrics.outages.set(i64::try_from(findings.outages.len()).unwrap_or(i64::MAX));
            deps.metrics.conflicts.set(i64::try_from(findings.conflicts).unwrap_or(i64::MAX));
            deps.metrics.read_only_cases.set(i64::try_from(findings.read_only).unwrap_or(i64::MAX));
            report(&findings)
        }
        Err(error) => TaskReport::failed(task, error.to_string()),
    }
}

fn report(findings: &Findings) -> TaskReport {
    let task = TaskKind::DetectOutages;
    let report = if !findings.outages.is_empty() {
        let mut report = TaskReport::new(task, Outcome::Outage);
        report.detail = Some(format!("{} cases have not synced properly", findings.outages.len()));
        report
    } else if let Some(first) = findings.failures.first() {
        TaskReport::failed(
            task,
            format!("{} comments could not be added; the first: {first}", findings.failures.len()),
        )
    } else {
        TaskReport::new(task, Outcome::Done)
    };
    // Absent as a rule, so that a filter of the log can ask for its presence.
    let report = if findings.credentials_ending.is_empty() {
        report
    } else {
        report.with("credentials_ending", &findings.credentials_ending)
    };
    report
        .with("looked_at", findings.looked_at)
        .with("outages", &findings.outages)
        .with("commented", findings.commented)
        .with("resumed", findings.resumed)
        .with("requeued", findings.requeued)
        .with("waiting", findings.waiting)
        .with("paced", findings.paced)
        .with("missing", findings.missing)
        .with("failing", findings.failing)
        .with("conflicts", findings.conflicts)
        .with("read_only", findings.read_only)
        .with("failures", &findings.failures)
}

/// Returns the systems whose credentials end within [`CREDENTIALS_END_SOON`] or have ended.
fn credentials_ending(deps: &Deps) -> Vec<&'static str> {
    let soon = deps.clock.now() + CREDENTIALS_END_SOON;
    let ends_soon = |side: &Side| deps.systems[*side].credential_end().is_some_and(|end| end.at < soon);
    Side::BOTH.into_iter().filter(ends_soon).map(|side| system_name(deps.systems[side].as_ref())).collect()
}

async fn look(deps: &Deps) -> Result<Findings, StoreError> {
    let now = deps.clock.now();
    let global = deps.store.global().await?;
    // Done first: with many notices to post, the deadline may not leave time for it.
    let backlog = scheduler::queue_backlog(deps, &global, now).await?;
    deps.metrics.waiting_mappings.set(backlog.waiting);
    deps.metrics.oldest_waiting_seconds.set(backlog.oldest.num_seconds());
    let mut findings = Findings {
        waiting: backlog.waiting,
        requeued: backlog.queued,
        failures: backlog.failures,
        ..Findings::default()
    };
    let mut seen = HashSet::new();
    // R8 (idle cases): while both polls are on time, a mapping without a dirty side and without a flag cannot be late.
    let smallest = deps.settings.tolerances.smallest();
    let on_time = Side::BOTH
        .into_iter()
        .all(|side| global.last_polled_at(side).is_some_and(|polled| is_recent(now - polled, smallest)));
    let allowance = if on_time { pace_allowance(deps, backlog.waiting) } else { Duration::zero() };
    let filters: &[MappingFilter] = if on_time {
        &[MappingFilter::NeedsWatching]
    } else {
        &[MappingFilter::NeedsWatching, MappingFilter::Open]
    };
    for filter in filters {
        let mut after = None;
        loop {
            let page = deps.store.list(*filter, after, PAGE).await?;
            for mapping in page.mappings {
                if seen.insert(mapping.id) {
                    Box::pin(examine(deps, &global, mapping, (now, allowance), &mut findings)).await;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    findings.looked_at = seen.len();
    Ok(findings)
}

/// Returns the time by which a case may exceed its tolerance only because of our own pace: the time in which all dirty cases are synced at
/// the pace of the rate limits, and half of it again. A case that waits for that while both systems are well is in no outage; the metrics
/// of the backlog tell operators (`R21`: pacing).
fn pace_allowance(deps: &Deps, waiting: i64) -> Duration {
    let pace = i64::from(deps.settings.syncs_per_minute.max(1));
    Duration::seconds((waiting.saturating_mul(90) / pace).clamp(0, 30 * 86_400))
}

/// True if a poll of that age is on time. A poll in the future was stamped by a clock that was ahead, and proves nothing (`R36`: clock
/// skew).
fn is_recent(age: Duration, limit: Duration) -> bool {
    age <= limit && age >= -Duration::minutes(1)
}

/// Health of a mapping. An outage holds the time for which the mapping has been out of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Healthy,
    /// Not linked yet, but within the tolerance since its creation.
    RecentlyAdded,
    /// Out of step only because the sync waits for its turn.
    Paced,
    Outage(Duration),
}

/// Returns the time for which a mapping has been out of step, if that is longer than its tolerance.
pub(super) fn lateness(
    tolerances: &ToleranceTable,
    global: &Global,
    mapping: &CaseMapping,
    now: DateTime<Utc>,
) -> Option<Duration> {
    let tolerance = tolerances.tolerance(mapping.priority, mapping.new_content_at, now);
    let oldest = oldest_stamp(global, mapping, now);
    let since = if mapping.is_linked() { oldest } else { mapping.created_at };
    (now - since > tolerance).then(|| now - oldest)
}

/// Returns the older one of the two stamps.
fn oldest_stamp(global: &Global, mapping: &CaseMapping, now: DateTime<Utc>) -> DateTime<Utc> {
    // R22 (recently added cases): a null stamp counts from the mapping's creation.
    let stamp = |side| mapping.synced_at(side, global).unwrap_or(mapping.created_at).min(now);
    stamp(Side::Google).min(stamp(Side::Company))
}

/// Returns the health of a mapping at `now`. `allowance` is the time by which our own pace may delay a sync.
fn health(
    deps: &Deps,
    global: &Global,
    mapping: &CaseMapping,
    (now, allowance): (DateTime<Utc>, Duration),
) -> Health {
    let tolerance = deps.settings.tolerances.tolerance(mapping.priority, mapping.new_content_at, now);
    let oldest = oldest_stamp(global, mapping, now);
    // A sync that was tried and failed does not wait for its turn.
    let is_untried = mapping.last_error.is_none() && mapping.pending_creation.is_none();
    let late = |since: DateTime<Utc>| match now - since {
        // R23 (durations): the duration is the time since the older of the two stamps.
        age if age <= tolerance => None,
        age if is_untried && age <= tolerance + allowance => Some(Health::Paced),
        _ => Some(Health::Outage(now - oldest)),
    };
    if mapping.is_linked() {
        late(oldest).unwrap_or(Health::Healthy)
    } else {
        late(mapping.created_at).unwrap_or(Health::RecentlyAdded)
    }
}

async fn examine(
    deps: &Deps,
    global: &Global,
    mapping: CaseMapping,
    at: (DateTime<Utc>, Duration),
    findings: &mut Findings,
) {
    // A case in conflict is not expected to sync. It is only counted; its company case has a notice.
    if mapping.state.conflict.is_some() {
        findings.conflicts += 1;
        return;
    }
    let read_only = Side::BOTH.into_iter().filter(|side| mapping.state.read_only[*side].is_some());
    findings.read_only += read_only.count();
    // R20 (leaving): a pair that is paused, or that has ended, is in no outage.
    if mapping.paused || mapping.gone.is_some() || mapping.held().is_some() {
        return;
    }
    findings.failing += usize::from(mapping.last_error.is_some());
    // Uses the current time: relative to the start of this task, times that other tasks have written since would lie in the future.
    let mapping = match brought_back(deps, mapping, deps.clock.now()).await {
        Ok(mapping) => mapping,
        Err(error) => {
            findings.failures.push(error.to_string());
            return;
        }
    };
    // R28 (missing is not gone): while a case is missing only the operator learns of it, and no notice is posted.
    if is_missing(&mapping) {
        findings.missing += 1;
        if matches!(health(deps, global, &mapping, at), Health::Outage(_)) {
            findings.outages.push(mapping.case_id(mapping.origin).unwrap_or_default().to_owned());
        }
        return;
    }
    let (notice, body) = match health(deps, global, &mapping, at) {
        Health::RecentlyAdded => return,
        Health::Paced => {
            findings.paced += 1;
            return;
        }
        Health::Outage(duration) => {
            // Skip the lookup once both notices are posted: with many outages the lookups would use up the deadline.
            let to_be_told =
                Side::BOTH.into_iter().any(|side| mapping.has(side) && !mapping.outage_comment_sent_to(side));
            let company = if to_be_told { look_at_company(deps, &mapping).await } else { Company::Unknown };
            if company == Company::Unflagged {
                // R20 (leaving): the flag is gone, but the pair is not paused yet. Its sync will pause it.
                return;
            }
            let name = mapping.case_id(mapping.origin).unwrap_or_default().to_owned();
            findings.outages.push(name);
            if company == Company::Missing {
                // R28 (missing is not gone): the case is missing, but not marked so yet. It may have lost its flag before.
                findings.missing += 1;
                return;
            }
            (Notice::Outage, texts::outage(duration))
        }
        Health::Healthy => (Notice::Resumed, texts::RESUMED.to_owned()),
    };
    let sent = notice == Notice::Outage;
    // The pair may have continued with another company case since, which this run has not checked (R32: closed is not solved).
    let company = mapping.company_case_id.clone();
    let still = |mapping: &CaseMapping, side: Side| {
        let health = health(deps, global, mapping, at);
        mapping.outage_comment_sent_to(side) != sent
            && mapping.company_case_id == company
            && !mapping.paused
            && mapping.gone.is_none()
            && mapping.held().is_none()
            && !is_missing(mapping)
            && sent == matches!(health, Health::Outage(_))
    };
    let mut mapping = mapping;
    for side in Side::BOTH {
        // Each of the four notices is tried on its own: the failure of one affects no other.
        match settled(deps, mapping.clone(), side).await {
            Ok(settled) => mapping = settled,
            Err(error) => {
                findings.failures.push(error.to_string());
                continue;
            }
        }
        if !mapping.has(side) || !still(&mapping, side) {
            continue;
        }
        match tell(deps, &mapping, side, notice, &body, |mapping| still(mapping, side)).await {
            Ok(true) if sent => findings.commented += 1,
            Ok(true) => findings.resumed += 1,
            Ok(false) => {}
            Err(error) => findings.failures.push(error.to_string()),
        }
    }
}

/// Moves times in the future back to now (`R36`: clock skew). Otherwise an outage would not be noticed until those times have come.
async fn brought_back(
    deps: &Deps,
    mapping: CaseMapping,
    now: DateTime<Utc>,
) -> Result<CaseMapping, StoreError> {
    let ahead = deps.settings.lease;
    if !mapping.clone().bring_back(now, ahead) {
        return Ok(mapping);
    }
    let unchanged = mapping.clone();
    let changed = modify(deps.store.as_ref(), mapping, |mapping| mapping.bring_back(now, ahead)).await?;
    Ok(changed.unwrap_or(unchanged))
}

#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0}")]
    Doubt(String),
    #[error("a notice on the {0} case that was begun a moment ago got no answer yet")]
    UnderWay(Side),
}

/// Finds out the outcome of a notice whose answer was lost (`R13`: unknown write outcome). Otherwise an outage comment could remain for
/// ever without the notice that syncing has resumed.
async fn settled(deps: &Deps, mapping: CaseMapping, side: Side) -> Result<CaseMapping, TellError> {
    let (Some(pending), Some(case)) = (mapping.pending_outage_notice(side).cloned(), mapping.case_id(side))
    else {
        return Ok(mapping);
    };
    let system = &deps.systems[side];
    // Either clock may have been set since the notice was sent, and set right again, so its time says nothing (R36: clock skew). The ledger
    // excludes older notices by ID (R14: copies are known by ID).
    let latest = deps.clocks().of(side) + CLOCKS_APART;
    let was_set = mapping.relinking || mapping.state.was_read_after(side, latest);
    let since = mapping.state.forgotten_until[side].filter(|_| !was_set);
    // A case that is not found now is an error here, since nothing is known about its comments (R28: missing is not gone).
    let doubt = deps.clock_doubt(side);
    let comments = outcomes(system.as_ref(), case, &pending, since).await?;
    // Until some more answers confirm the clock, the horizon is uncertain, and an older notice with the same text could be taken for this
    // one (R36: clock skew).
    if let Some(doubt) = doubt.or_else(|| deps.clock_doubt(side)) {
        return Err(TellError::Doubt(doubt));
    }
    let entry = comments
        .iter()
        .find(|comment| !mapping.ledger.wrote(side, ItemKind::Comment, &comment.id))
        .map(|found| notice_entry(side, pending.source.clone(), &found.id, found.created_at));
    let mut mapping = mapping;
    mapping.follow_host_clock(deps.clocks().skew, deps.clock.now());
    let pending = mapping.pending_outage_notice(side).cloned().unwrap_or(pending);
    if entry.is_none() && deps.clock.now() < pending.attempted_at + system.capabilities().in_flight_window {
        return Err(TellError::UnderWay(side));
    }
    Ok(settle(deps, mapping, &pending, entry).await?)
}

/// Returns the maximum run time of this task.
fn longest(deps: &Deps) -> Duration {
    Duration::from_std(deps.settings.deadline).unwrap_or_else(|_| Duration::days(1))
}

/// State of the company case, as far as it decides about notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// The case lost its flag, which no poll shows.
    Unflagged,
    /// The case is not found.
    Missing,
    /// The case is flagged, or there is none, or it cannot be read, which is an outage.
    Unknown,
}

async fn look_at_company(deps: &Deps, mapping: &CaseMapping) -> Company {
    let Some(id) = mapping.case_id(Side::Company) else { return Company::Unknown };
    match deps.systems[Side::Company].get(id).await {
        Ok(Some(case)) if !case.synchronize => Company::Unflagged,
        Ok(None) => Company::Missing,
        Ok(Some(_)) | Err(_) => Company::Unknown,
    }
}

/// Returns true if a case of the pair is missing.
fn is_missing(mapping: &CaseMapping) -> bool {
    Side::BOTH.into_iter().any(|side| mapping.state.missing[side].is_some())
}

/// Posts a notice and sets or clears the flag. Returns `false` if the notice is no longer needed, or cannot be posted.
///
/// The claim, a pending write that is saved by compare-and-swap, keeps a second run from posting the notice too, and a sync from carrying
/// it.
async fn tell(
    deps: &Deps,
    mapping: &CaseMapping,
    side: Side,
    notice: Notice,
    body: &str,
    still: impl Fn(&CaseMapping) -> bool + Send + Sync,
) -> Result<bool, TellError> {
    if !may_be_told(deps, mapping, side, notice).await? {
        return Ok(false);
    }
    let earlier = earlier_notices(deps, mapping, side).await?;
    let now = deps.clock.now();
    let claim = Pending {
        side,
        kind: ItemKind::Comment,
        source: Source::Notice(notice),
        marker: texts::first_line(body).to_owned(),
        digest: Some(texts::digest(body)),
        size: None,
        source_at: None,
        // No lease limits the time in which the notice may be sent if this run is cut short or dies, so its deadline does. The call may
        // wait long for the rate limit.
        attempted_at: now + longest(deps),
        parts: None,
    };
    let (skew, now) = (deps.clocks().skew, deps.clock.now());
    let claimed = modify(deps.store.as_ref(), mapping.clone(), |mapping| {
        let before = mapping.clone();
        for entry in &earlier {
            mapping.recognise(entry.clone());
        }
        if still(mapping) && mapping.pending_outage_notice(side).is_none() {
            mapping.begins_to_write(skew, now);
            mapping.pending.push(claim.clone());
        }
        *mapping != before
    })
    .await?;
    let Some(claimed) = claimed.filter(|claimed| claimed.pending.contains(&claim)) else { return Ok(false) };
    let what = format!("{side} {notice:?} {}", now.timestamp_micros());
    let new = NewComment {
        body: body.to_owned(),
        visibility: deps.settings.rules.visibility_on(side),
        idempotency_key: key_of(deps, mapping, &what, body.as_bytes()),
    };
    let case = mapping.case_id(side).unwrap_or_default();
    match deps.systems[side].add_comment(case, &new).await {
        Ok(written) => {
            let entry = notice_entry(side, claim.source.clone(), &written.id, written.created_at);
            settle(deps, claimed, &claim, Some(entry)).await?;
            Ok(true)
        }
        Err(error) if error.is_for_good() => {
            if note_refusal(deps, claimed, &claim, notice, &error).await? {
                Ok(false)
            } else {
                Err(error.into())
            }
        }
        Err(error) => {
            if !error.may_have_happened() {
                settle(deps, claimed, &claim, None).await?;
            }
            Err(error.into())
        }
    }
}

/// Returns the notices about outages that stand on a case whose ledger was never forgotten: an earlier pair of the case may have posted
/// them, and they must not be taken for the one that is about to be posted (`R13`: unknown write outcome).
async fn earlier_notices(deps: &Deps, mapping: &CaseMapping, side: Side) -> Result<Vec<Entry>, ApiError> {
    if mapping.state.forgotten_until[side].is_some() {
        return Ok(Vec::new());
    }
    let mut comments = deps.systems[side].comments(mapping.case_id(side).unwrap_or_default(), None).await?;
    comments.retain(|comment| comment.by_connector != Some(false));
    comments.sort_by_key(|comment| comment.created_at);
    let notices = comments.iter().filter_map(|comment| {
        let notice = texts::recognise_notice(&comment.body)?;
        let is_about_outage = matches!(notice, Notice::Outage | Notice::Resumed);
        is_about_outage.then(|| notice_entry(side, Source::Notice(notice), &comment.id, comment.created_at))
    });
    Ok(notices.collect())
}

/// True if a notice may be posted on the case now.
async fn may_be_told(
    deps: &Deps,
    mapping: &CaseMapping,
    side: Side,
    notice: Notice,
) -> Result<bool, ApiError> {
    // A sync tries a read-only case once a day (R33: final refusals). A notice that was given up is tried again after a day.
    let rests = mapping
        .state
        .refusal(side, &Refusable::Item(Source::Notice(notice)))
        .is_some_and(|refusal| refusal.given_up && deps.clock.now() - refusal.tried_at < Duration::days(1));
    if rests || mapping.state.read_only[side].is_some() {
        return Ok(false);
    }
    // Checks the flag again: at the first check the company's system may not have answered (R20: leaving).
    let system = &deps.systems[side];
    let case = system.get(mapping.case_id(side).unwrap_or_default()).await?;
    Ok(case
        .is_some_and(|case| case.synchronize && (!case.closed || system.capabilities().comment_when_closed)))
}

/// Removes the claim of a notice that was refused for good, and counts the refusal. Returns true if the notice is given up.
async fn note_refusal(
    deps: &Deps,
    claimed: CaseMapping,
    claim: &Pending,
    notice: Notice,
    error: &ApiError,
) -> Result<bool, StoreError> {
    let side = claim.side;
    tracing::warn!(
        case.google_name = claimed.case_id(Side::Google),
        case.company_id = claimed.case_id(Side::Company),
        "the {side} case does not take a notice: {error}"
    );
    let now = deps.clock.now();
    let what = Refusable::Item(Source::Notice(notice));
    let mut refusal = claimed.state.refused_again(side, what, now, error.to_string());
    refusal.remedy = error.remedy();
    refusal.given_up = now - refusal.since >= deps.settings.give_up_after;
    modify(deps.store.as_ref(), claimed, |mapping| {
        mapping.pending.retain(|pending| pending != claim);
        mapping.state.keep_refusal(refusal.clone());
        true
    })
    .await?;
    Ok(refusal.given_up)
}

fn notice_entry(side: Side, source: Source, id: &str, written_at: Option<DateTime<Utc>>) -> Entry {
    Entry {
        side,
        kind: ItemKind::Comment,
        id: id.to_owned(),
        source,
        source_at: None,
        written_at,
        parts: None,
    }
}

/// Records the outcome of a notice. Removes the claim; if the notice was written, adds it to the ledger and sets or clears the flag.
async fn settle(
    deps: &Deps,
    mapping: CaseMapping,
    claim: &Pending,
    entry: Option<Entry>,
) -> Result<CaseMapping, StoreError> {
    let unchanged = mapping.clone();
    let settled = modify(deps.store.as_ref(), mapping, |mapping| {
        let before = mapping.clone();
        if let Some(entry) = &entry {
            mapping.record(entry.clone());
        }
        mapping.pending.retain(|pending| pending != claim);
        *mapping != before
    })
    .await?;
    Ok(settled.unwrap_or(unchanged))
}
