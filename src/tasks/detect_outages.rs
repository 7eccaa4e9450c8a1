//! `detect-outages`: says on both sides that a case no longer syncs, or syncs again.

use chrono::{DateTime, Duration, Utc};
use std::collections::HashSet;

use super::{Deps, Outcome, TaskKind, TaskReport, poll};
use crate::cases::{ApiError, NewComment};
use crate::entities::{CaseMapping, Entry, Global, ItemKind, Notice, Pending, Side, Source};
use crate::store::{MappingFilter, StoreError, modify};
use crate::sync::texts;

const PAGE: usize = 200;

/// What one look found.
#[derive(Debug, Default)]
struct Findings {
    looked_at: usize,
    outages: Vec<String>,
    commented: usize,
    resumed: usize,
    requeued: usize,
    waiting: i64,
    oldest_waiting: Duration,
    failures: Vec<String>,
}

pub(super) async fn run(deps: &Deps) -> TaskReport {
    let task = TaskKind::DetectOutages;
    match look(deps).await {
        Ok(findings) => {
            deps.metrics.waiting_mappings.set(findings.waiting);
            deps.metrics.oldest_waiting_seconds.set(findings.oldest_waiting.num_seconds());
            deps.metrics.outages.set(i64::try_from(findings.outages.len()).unwrap_or(i64::MAX));
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
    report
        .with("looked_at", findings.looked_at)
        .with("outages", &findings.outages)
        .with("commented", findings.commented)
        .with("resumed", findings.resumed)
        .with("requeued", findings.requeued)
        .with("waiting", findings.waiting)
        .with("failures", &findings.failures)
}

async fn look(deps: &Deps) -> Result<Findings, StoreError> {
    let now = deps.clock.now();
    let global = deps.store.global().await?;
    let mut findings = Findings::default();
    let mut seen = HashSet::new();
    // R8: while both polls are on time, a mapping with nothing waiting and no flag cannot be late.
    let smallest = deps.settings.tolerances.smallest();
    let on_time = Side::BOTH
        .into_iter()
        .all(|side| global.last_polled_at(side).is_some_and(|polled| now - polled <= smallest));
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
                    examine(deps, &global, mapping, now, &mut findings).await;
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

/// How long a mapping has been out of step, if that is longer than is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Healthy,
    /// Not linked yet, and not for long.
    RecentlyAdded,
    Outage(Duration),
}

fn health(deps: &Deps, global: &Global, mapping: &CaseMapping, now: DateTime<Utc>) -> Health {
    let tolerance = deps.settings.tolerances.tolerance(mapping.priority, mapping.new_content_at, now);
    // R22: a stamp that is null counts from the mapping's creation.
    let stamp = |side| mapping.synced_at(side, global).unwrap_or(mapping.created_at);
    let oldest = stamp(Side::Google).min(stamp(Side::Company));
    if !mapping.is_linked() {
        let age = now - mapping.created_at;
        return if age > tolerance { Health::Outage(now - oldest) } else { Health::RecentlyAdded };
    }
    // R23: the duration is the time since the older of the two.
    if now > oldest + tolerance { Health::Outage(now - oldest) } else { Health::Healthy }
}

async fn examine(
    deps: &Deps,
    global: &Global,
    mapping: CaseMapping,
    now: DateTime<Utc>,
    findings: &mut Findings,
) {
    // R20: a pair that is paused, or that has ended, is in no outage.
    if mapping.paused || mapping.gone.is_some() {
        return;
    }
    let since =
        Side::BOTH.into_iter().filter_map(|side| mapping.waiting[side]).map(|waiting| waiting.since).min();
    if let Some(since) = since {
        findings.waiting += 1;
        findings.oldest_waiting = findings.oldest_waiting.max(now - since);
        // A task that was lost is replaced: at most one an hour for the same news.
        match poll::queue_waiting(deps, &mapping, now).await {
            Ok(queued) => findings.requeued += queued,
            Err(error) => findings.failures.push(error.to_string()),
        }
    }
    let (notice, body, sent) = match health(deps, global, &mapping, now) {
        Health::RecentlyAdded => return,
        Health::Outage(duration) => {
            let name = mapping.case_id(mapping.origin).unwrap_or_default().to_owned();
            findings.outages.push(name);
            (Notice::Outage, texts::outage(duration), true)
        }
        Health::Healthy => (Notice::Resumed, texts::RESUMED.to_owned(), false),
    };
    for side in Side::BOTH {
        // Each of the four is tried on its own: the failure of one hinders no other.
        if !mapping.has(side) || mapping.outage_comment_sent_to(side) == sent {
            continue;
        }
        match tell(deps, &mapping, side, notice, &body, now).await {
            Ok(true) if sent => findings.commented += 1,
            Ok(true) => findings.resumed += 1,
            Ok(false) => {}
            Err(error) => findings.failures.push(error.to_string()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("a notice on the {0} case that was begun a moment ago got no answer yet")]
    UnderWay(Side),
}

/// Adds a notice and sets or clears the flag; `false` if somebody else did it meanwhile.
///
/// The claim (a pending write, by compare-and-swap) keeps a second run from saying it too, and a sync from carrying it.
async fn tell(
    deps: &Deps,
    mapping: &CaseMapping,
    side: Side,
    notice: Notice,
    body: &str,
    now: DateTime<Utc>,
) -> Result<bool, TellError> {
    let system = &deps.systems[side];
    let case = mapping.case_id(side).unwrap_or_default();
    let source = Source::Notice(notice);
    let store = deps.store.as_ref();
    let sent = notice == Notice::Outage;
    let earlier = mapping.pending.iter().find(|pending| pending.side == side && pending.source == source);
    if let Some(earlier) = earlier {
        let since = earlier.attempted_at - deps.settings.windows[side];
        let comments = system.comments(case, Some(since)).await?;
        let found = comments.iter().find(|comment| {
            texts::is_outcome_of(earlier, comment)
                && !mapping.ledger.wrote(side, ItemKind::Comment, &comment.id)
        });
        if let Some(found) = found {
            let entry = notice_entry(side, source.clone(), &found.id, found.created_at);
            return Ok(settle(deps, mapping.clone(), side, &source, Some(entry), Some(sent)).await?);
        }
        if now < earlier.attempted_at + system.capabilities().write_settles {
            return Err(TellError::UnderWay(side));
        }
    }
    let claim = Pending {
        side,
        kind: ItemKind::Comment,
        source: source.clone(),
        marker: texts::first_line(body).to_owned(),
        digest: Some(texts::digest(body)),
        size: None,
        source_at: None,
        attempted_at: now,
    };
    let known = earlier.cloned();
    let claimed = modify(store, mapping.clone(), |mapping| {
        let current = mapping.pending.iter().find(|pending| pending.side == side && pending.source == source);
        if mapping.outage_comment_sent_to(side) == sent || current != known.as_ref() {
            return false;
        }
        mapping.pending.retain(|pending| pending.side != side || pending.source != source);
        mapping.pending.push(claim.clone());
        true
    })
    .await?;
    let Some(claimed) = claimed else { return Ok(false) };
    let visibility = deps.settings.rules.visibility_on(side);
    let idempotency_key = format!("casebridge-{}-{side}-{notice:?}-{}", mapping.id, now.timestamp_micros());
    let new = NewComment { body: body.to_owned(), visibility, idempotency_key };
    match system.add_comment(case, &new).await {
        Ok(written) => {
            let entry = notice_entry(side, source.clone(), &written.id, written.created_at);
            Ok(settle(deps, claimed, side, &source, Some(entry), Some(sent)).await?)
        }
        Err(error) => {
            if !error.may_have_happened() {
                settle(deps, claimed, side, &source, None, None).await?;
            }
            Err(error.into())
        }
    }
}

fn notice_entry(side: Side, source: Source, id: &str, written_at: Option<DateTime<Utc>>) -> Entry {
    Entry { side, kind: ItemKind::Comment, id: id.to_owned(), source, source_at: None, written_at }
}

/// The outcome of a notice is known: the claim is dropped, the comment recorded, the flag set or cleared.
async fn settle(
    deps: &Deps,
    mapping: CaseMapping,
    side: Side,
    source: &Source,
    entry: Option<Entry>,
    flag: Option<bool>,
) -> Result<bool, StoreError> {
    let settled = modify(deps.store.as_ref(), mapping, |mapping| {
        mapping.pending.retain(|pending| pending.side != side || pending.source != *source);
        if let Some(entry) = &entry {
            mapping.ledger.record(entry.clone());
        }
        if let Some(flag) = flag {
            mapping.set_outage_comment_sent_to(side, flag);
        }
        true
    })
    .await?;
    Ok(settled.is_some())
}
