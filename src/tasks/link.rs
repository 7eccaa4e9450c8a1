//! Order of an operator to pair two cases that exist. The mapping is the one that a poll makes of two cases that name each other; the order
//! takes the place of that proof (`R38`: a claim is not a proof). The sync that follows relinks: it writes the names, and recognises copies.

use chrono::{DateTime, Utc};

use super::Deps;
use super::admission::{desk_of_another, find, join, name_of, set_name};
use super::hint::Taken;
use super::operate::{MAX_WORDS, OperateError, sync_both};
use super::session::{Session, SyncError};
use super::sync_case::{counterpart_in_place, held_words};
use crate::cases::{ApiErrorKind, Case, Found, bounded, shorten};
use crate::entities::{CaseMapping, FirstSeen, Order, Side, Sides};
use crate::store::{Created, StoreError, modify};
use crate::sync::texts::company_name;

/// Result of an order to link two cases.
#[derive(Debug)]
pub struct Linked {
    /// Pair of the two cases.
    pub mapping: CaseMapping,
    /// False if the two cases were a pair already.
    pub is_new: bool,
    /// Outcome of queueing the sync of each side.
    pub syncs: Vec<(Side, Taken)>,
    /// Reason why nothing is carried yet, and what to do.
    pub remark: Option<String>,
}

/// Links the two cases that a person means, in the name of `by`. Idempotent: two cases that are a pair already stay one.
pub async fn link(
    deps: &Deps,
    references: Sides<&str>,
    reason: Option<&str>,
    by: &str,
) -> Result<Linked, OperateError> {
    let by = bounded(by, MAX_WORDS);
    let order = Order {
        since: deps.clock.now(),
        by: by.clone(),
        reason: reason
            .map(str::trim)
            .filter(|reason| !reason.is_empty())
            .map(|reason| bounded(reason, MAX_WORDS)),
    };
    let outcome = act(deps, references, order).await;
    let (google, company) = (shorten(references.google), shorten(references.company));
    match &outcome {
        Ok(Linked { mapping, is_new, .. }) => {
            let (mapping, done) =
                (mapping.id.to_string(), if *is_new { "linked" } else { "were linked already" });
            tracing::info!(
                operator = by,
                action = "link",
                mapping,
                "{by}: link {google} and {company}: {done}, pair {mapping}"
            );
        }
        Err(error) => {
            tracing::info!(
                operator = by,
                action = "link",
                "{by}: link {google} and {company}: not done: {error}"
            );
        }
    }
    outcome
}

/// Case that an operator means, as it was just read.
struct Seen {
    case: Case,
    name: FirstSeen,
    /// Name for people.
    shown: String,
    /// Mapping that has the case.
    mapping: Option<CaseMapping>,
}

async fn act(deps: &Deps, references: Sides<&str>, order: Order) -> Result<Linked, OperateError> {
    let seen = Sides {
        google: look(deps, Side::Google, references.google).await?,
        company: look(deps, Side::Company, references.company).await?,
    };
    if let (Some(mapping), Some(other)) = (&seen.google.mapping, &seen.company.mapping)
        && mapping.id == other.id
    {
        if mapping.state.unlinked.is_some() {
            let held = held_words(mapping).unwrap_or_default();
            return Err(refused(format!("pair {}: {held}, which links the two cases again", mapping.id)));
        }
        let syncs = sync_both(deps, mapping).await?;
        let remark = held_words(mapping).or_else(|| unflagged(&seen));
        return Ok(Linked { mapping: mapping.clone(), is_new: false, syncs, remark });
    }
    for side in Side::BOTH {
        may_be_linked(deps, side, &seen).await?;
    }
    let remark = unflagged(&seen);
    let mapping = store(deps, seen, order).await?;
    let syncs = sync_both(deps, &mapping).await?;
    Ok(Linked { mapping, is_new: true, syncs, remark })
}

const fn refused(why: String) -> OperateError {
    OperateError::Refused(why)
}

/// Reads the case of that side which a person means, and its mapping.
async fn look(deps: &Deps, side: Side, reference: &str) -> Result<Seen, OperateError> {
    let reference = reference.trim();
    let case = match deps.systems[side].resolve(reference).await {
        Ok(Some(case)) => case,
        Ok(None) => {
            let system = deps.systems[side].capabilities().name;
            return Err(refused(format!(
                "{system} shows no {side} case {}: look for a slip in its name, or give the connector's user the right to \
                 read it",
                shorten(reference)
            )));
        }
        Err(error) if error.kind == ApiErrorKind::Refused => {
            return Err(refused(format!("the {side} case: {error}")));
        }
        Err(error) => return Err(error.into()),
    };
    let name = name_of(side, &Found::of(side, &case)).map_err(refused)?;
    let mapping = find(deps, &name).await?;
    let shown = shown_name(deps, side, &case);
    Ok(Seen { case, name, shown, mapping })
}

/// Says that nothing is carried before the company case is flagged (`R20`: leaving). A case is flagged after it was linked, not before: a poll
/// would create a Google case for it meanwhile.
fn unflagged(seen: &Sides<Seen>) -> Option<String> {
    (!seen.company.case.synchronize).then(|| {
        format!(
            "company case {} is not flagged for synchronisation: nothing is carried until its flag is set",
            seen.company.shown
        )
    })
}

/// Checks that the case of `side` is open, and has no other counterpart.
async fn may_be_linked(deps: &Deps, side: Side, seen: &Sides<Seen>) -> Result<(), OperateError> {
    let Seen { case, shown, mapping, .. } = &seen[side];
    if let Some(mapping) = mapping {
        is_free(deps, side, shown, mapping)?;
    }
    if case.closed {
        return Err(refused(format!(
            "the {side} case {shown} is closed, and nothing is carried between closed cases: reopen it, or link an open one"
        )));
    }
    if let Some(desk) = desk_of_another(deps, &Found::of(side, case)) {
        return Err(refused(format!(
            "the {side} case {shown} mirrors a case of another desk, {desk}, whose connector syncs it: link another case"
        )));
    }
    let other = side.other();
    let Some(found) = other_counterpart(deps, side, case, &seen[other].name).await? else { return Ok(()) };
    let found = shown_name(deps, other, &found);
    Err(refused(format!(
        "the {side} case {shown} has a counterpart, the {other} case {found}, though no mapping knows it: link those two, or \
         take away the name by which one names the other"
    )))
}

/// Returns the counterpart of a case that a sync would find in place, if that is another case than `wanted`. Looks for it from either side: by
/// the case, and by the one that the case names.
async fn other_counterpart(
    deps: &Deps,
    side: Side,
    case: &Case,
    wanted: &FirstSeen,
) -> Result<Option<Case>, OperateError> {
    let other = side.other();
    if let Some(found) = in_place(deps, side, case).await?
        && !is_named(other, &found, wanted)
    {
        return Ok(Some(found));
    }
    let named = case.counterpart.as_deref().map(|id| Found { id: id.to_owned(), ..Found::from(case) });
    let Some(Ok(named)) = named.map(|named| name_of(other, &named)) else { return Ok(None) };
    let Some(named) = deps.systems[other].get(named.id()).await? else { return Ok(None) };
    if is_named(other, &named, wanted) {
        return Ok(None);
    }
    let back = in_place(deps, other, &named).await?;
    Ok(back.is_some_and(|back| back.id == case.id).then_some(named))
}

/// Returns the counterpart of a case that a sync would find in place (`R10`: knowing one's own cases; `R38`: a claim is not a proof).
async fn in_place(deps: &Deps, side: Side, case: &Case) -> Result<Option<Case>, OperateError> {
    let Ok(name) = name_of(side, &Found::from(case)) else { return Ok(None) };
    let now = deps.clock.now();
    let alone = CaseMapping::first_seen(name, None, None, now);
    let session = Session::new(deps, alone, now, "link");
    counterpart_in_place(&session, side, case).await.map_err(undone)
}

/// True if a case of that side is the named one: a Google case under whichever parent (`R9`: one mapping per case).
fn is_named(side: Side, case: &Case, wanted: &FirstSeen) -> bool {
    match (name_of(side, &Found::from(case)), wanted) {
        (Ok(FirstSeen::Google(name)), FirstSeen::Google(wanted)) => name.number() == wanted.number(),
        (Ok(name), wanted) => name == *wanted,
        (Err(_), _) => false,
    }
}

/// Returns the name of a case for people.
fn shown_name(deps: &Deps, side: Side, case: &Case) -> String {
    match side {
        Side::Google => case.id.clone(),
        Side::Company => company_name(case, deps.home()).to_string(),
    }
}

/// Checks that the mapping of a case waits for its counterpart, and that no sync may create one now.
fn is_free(deps: &Deps, side: Side, shown: &str, mapping: &CaseMapping) -> Result<(), OperateError> {
    let (id, other) = (mapping.id, side.other());
    if let Some(counterpart) = mapping.name_for_people(other).filter(|_| mapping.is_linked()) {
        let instead = match (&mapping.state.unlinked, mapping.gone) {
            (Some(_), _) => format!(
                "{}; that pair keeps both its cases from another counterpart",
                held_words(mapping).unwrap_or_default()
            ),
            (None, Some(gone)) => {
                format!(
                    "which has ended, since the {gone} case is gone: link it once cleanup has forgotten that pair"
                )
            }
            (None, None) => {
                "a case has one counterpart: work on that one, or take a case without a pair".to_owned()
            }
        };
        return Err(refused(format!(
            "the {side} case {shown} has a pair, {id}, with the {other} case {counterpart}: {instead}"
        )));
    }
    if let Some(creation) = mapping.pending_creation {
        return Err(refused(format!(
            "the creation of a counterpart of the {side} case {shown} was begun at {} and has no answer yet: link the cases \
             once `casebridge mappings show` tells the outcome",
            creation.attempted_at.format("%F %T UTC")
        )));
    }
    if !mapping.lease_is_free(deps.clock.now(), deps.settings.lease) {
        return Err(refused(format!(
            "a sync of the {side} case {shown} is under way, and may create a counterpart: try again in a minute"
        )));
    }
    match held_words(mapping) {
        Some(held) => Err(refused(format!("pair {id} of the {side} case {shown}: {held}"))),
        None => Ok(()),
    }
}

/// Converts the reason why a case's counterpart could not be looked for.
fn undone(error: SyncError) -> OperateError {
    match error {
        SyncError::Api(error) | SyncError::Unread(error) => error.into(),
        SyncError::Store(error) => error.into(),
        SyncError::Abandoned(_)
        | SyncError::NoPart(_)
        | SyncError::Busy
        | SyncError::Raced
        | SyncError::Postponed(_)
        | SyncError::Held(_)
        | SyncError::LeaseLost
        | SyncError::Unfinished
        | SyncError::Undecided { .. }
        | SyncError::Failed(_)
        | SyncError::Partly(_) => refused(error.to_string()),
    }
}

/// Stores the pair: a new mapping, or one of a case that waits for its counterpart.
async fn store(deps: &Deps, seen: Sides<Seen>, order: Order) -> Result<CaseMapping, OperateError> {
    let now = order.since;
    let Sides { mut google, mut company } = seen;
    let stored = match (google.mapping.take(), company.mapping.take()) {
        (None, None) => {
            // The copies and notices of an earlier pair on the case that the other was made from are not carried.
            let is_mirror = google.case.counterpart.as_deref() == Some(company.case.id.as_str());
            let (first, second) = if is_mirror { (&company, &google) } else { (&google, &company) };
            let mut mapping = CaseMapping::first_seen(
                first.name.clone(),
                first.case.priority.level(),
                first.case.updated_at,
                now,
            );
            set_name(&mut mapping, &second.name);
            mapping.linked_at = Some(now);
            mapping.recover();
            mapping.state.linked_by = Some(Box::new(order));
            match deps.store.create(mapping).await? {
                Created::New(mapping) => Some(mapping),
                Created::Existing(_) => None,
            }
        }
        (Some(mapping), None) => joined(deps, mapping, &company, &order, now).await?,
        (None, Some(mapping)) => joined(deps, mapping, &google, &order, now).await?,
        (Some(mapping), Some(other)) => {
            // Nothing was carried for it: it only noted that the case waits, or that it names a Google case that it cannot have.
            match deps.store.delete(&other).await {
                Ok(()) => joined(deps, mapping, &company, &order, now).await?,
                Err(StoreError::Conflict(_)) => None,
                Err(error) => return Err(error.into()),
            }
        }
    };
    stored.ok_or_else(|| {
        refused("one of the cases was mapped or synced at this moment: look at `casebridge mappings`, and try again".to_owned())
    })
}

/// Adds a case to the mapping that waits for it. `None` if it does not wait any more.
async fn joined(
    deps: &Deps,
    mapping: CaseMapping,
    seen: &Seen,
    order: &Order,
    now: DateTime<Utc>,
) -> Result<Option<CaseMapping>, OperateError> {
    let side = seen.name.side();
    let found = Found::of(side, &seen.case);
    let joined = modify(deps.store.as_ref(), mapping, |mapping| {
        if mapping.has(side) || is_free(deps, side.other(), "", mapping).is_err() {
            return false;
        }
        join(mapping, &seen.name, &found, now);
        mapping.state.conflict = None;
        mapping.state.linked_by = Some(Box::new(order.clone()));
        true
    })
    .await;
    match joined {
        Err(StoreError::Duplicate { .. }) => Ok(None),
        joined => Ok(joined?),
    }
}
