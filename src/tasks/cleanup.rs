//! `cleanup`: deletes the mappings of cases that were closed long ago.

use chrono::{DateTime, Utc};

use super::{Deps, Outcome, TaskKind, TaskReport};
use crate::entities::{CaseMapping, Global, Side};
use crate::store::{MappingFilter, StoreError};

const PAGE: usize = 200;

pub(super) async fn run(deps: &Deps) -> TaskReport {
    match sweep(deps).await {
        Ok((deleted, kept)) => {
            TaskReport::new(TaskKind::Cleanup, Outcome::Done).with("deleted", deleted).with("kept", kept)
        }
        Err(error) => TaskReport::failed(TaskKind::Cleanup, error.to_string()),
    }
}

async fn sweep(deps: &Deps) -> Result<(usize, usize), StoreError> {
    let before = deps.clock.now() - deps.settings.retention;
    let global = deps.store.global().await?;
    let (mut deleted, mut kept, mut after) = (0, 0, None);
    loop {
        let page = deps.store.list(MappingFilter::ResolvedBefore(before), after, PAGE).await?;
        for mapping in page.mappings {
            // What still waits would be lost with its mapping.
            let quiet = mapping.gone.is_some() || is_quiet(deps, &global, &mapping).await;
            // By now, the systems have answered, and said what time they have: a host whose clock is years ahead forgets nothing (R36).
            let kept_until =
                mapping.resolved_at.and_then(|at| at.checked_add_signed(deps.settings.retention));
            if !quiet || kept_until.is_none_or(|until| until > earliest_now(deps)) {
                kept += 1;
                continue;
            }
            match deps.store.delete(&mapping).await {
                Ok(()) => deleted += 1,
                // Somebody works on it: tomorrow is another day.
                Err(StoreError::Conflict(_)) => kept += 1,
                Err(error) => return Err(error),
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok((deleted, kept));
        }
    }
}

/// The earliest of the times that our clock and both systems' have.
fn earliest_now(deps: &Deps) -> DateTime<Utc> {
    let clocks = deps.clocks();
    clocks.now.min(clocks.of(Side::Google)).min(clocks.of(Side::Company))
}

/// Whether nothing waits, noticed by a poll or not: the polls may have been down for as long as the service was, and somebody
/// may have written on the case, or opened it again, a moment ago. What cannot be found out today may be tomorrow.
async fn is_quiet(deps: &Deps, global: &Global, mapping: &CaseMapping) -> bool {
    for side in Side::BOTH {
        if mapping.waiting[side].is_some() {
            return false;
        }
        if deps.clock_doubt(side).is_some() {
            return false;
        }
        let Some(id) = mapping.case_id(side) else { continue };
        let case = match deps.systems[side].get(id).await {
            Ok(Some(case)) => case,
            // It was deleted, or a right to read it is missing, and then somebody may write on it (R26).
            Ok(None) if is_long_resolved(deps, mapping) => continue,
            Ok(None) | Err(_) => return false,
        };
        // A sync carried it as it is, unless it was hidden when it changed (R27).
        if mapping.carried_updated_at[side].is_some_and(|known| case.updated_at != Some(known)) {
            return false;
        }
        // A poll has seen it, and so has every check until it left the window: what a sync alone has seen may have been listed
        // late.
        let clocks = deps.clocks();
        let polled = global.last_polled_at(side).map(|polled| clocks.in_time_of(side, polled));
        let polled = global.memory[side].shown_until.or(polled);
        let seen = polled.map(|polled| polled - deps.settings.windows[side]);
        if case.updated_at > seen {
            return false;
        }
    }
    true
}

/// Whether a pair was resolved twice as long ago as mappings are kept: a case that was not shown then need not be waited for any longer.
fn is_long_resolved(deps: &Deps, mapping: &CaseMapping) -> bool {
    let kept = deps.settings.retention;
    mapping.resolved_at.is_some_and(|at| earliest_now(deps) - at >= kept + kept)
}
