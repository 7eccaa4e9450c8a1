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
            // An unlinked pair is remembered for good: else a poll would link its cases again, or create others.
            if mapping.state.unlinked.is_some() {
                kept += 1;
                continue;
            }
            // Changes that are not carried yet would be lost with the mapping.
            let quiet = mapping.gone.is_some() || is_quiet(deps, &global, &mapping).await;
            // By now the systems have answered, so their time is known: a host whose clock is years ahead deletes nothing (R36: clock
            // skew).
            let kept_until =
                mapping.resolved_at.and_then(|at| at.checked_add_signed(deps.settings.retention));
            if !quiet || kept_until.is_none_or(|until| until > earliest_now(deps)) {
                kept += 1;
                continue;
            }
            match deps.store.delete(&mapping).await {
                Ok(()) => deleted += 1,
                // Another task works on the mapping; the next day's cleanup deletes it.
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

/// Returns the earliest of our time and both systems' times.
fn earliest_now(deps: &Deps) -> DateTime<Utc> {
    let clocks = deps.clocks();
    clocks.now.min(clocks.of(Side::Google)).min(clocks.of(Side::Company))
}

/// True if a case takes no changes and the other one has no notice about it, so that nobody knows of what is held back (`R33`: final
/// refusals). Both are tried again every day.
fn holds_untold(deps: &Deps, mapping: &CaseMapping) -> bool {
    Side::BOTH.into_iter().any(|side| {
        let read_only = mapping.state.read_only[side].as_ref();
        read_only.is_some_and(|read_only| !read_only.told && !is_long_ago(deps, read_only.since))
    })
}

/// True if no change waits to be carried, found by a poll or not: the polls may have been down with the service, and a person may just have
/// written on the case or reopened it. False if that cannot be found out today; cleanup tries again tomorrow.
async fn is_quiet(deps: &Deps, global: &Global, mapping: &CaseMapping) -> bool {
    if holds_untold(deps, mapping) {
        return false;
    }
    for side in Side::BOTH {
        if mapping.dirty[side].is_some() {
            return false;
        }
        if deps.clock_doubt(side).is_some() {
            return false;
        }
        let Some(id) = mapping.case_id(side) else { continue };
        let case = match deps.systems[side].get(id).await {
            Ok(Some(case)) => case,
            // The case was deleted; or a right to read it is missing, and then people may still write on it (R26: empty answers need
            // proof).
            Ok(None) if mapping.resolved_at.is_some_and(|at| is_long_ago(deps, at)) => continue,
            Ok(None) | Err(_) => return false,
        };
        // A sync carried the case in this state, unless the case was hidden when it changed (R27: sweeps).
        if mapping.carried_updated_at[side].is_some_and(|known| case.updated_at != Some(known)) {
            return false;
        }
        // A poll has found the update, and checks followed until the case left the polling window. An update that only a sync has read may
        // be listed late.
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

/// True if that is twice as long ago as mappings are kept. Cleanup then waits no longer for a case that is not shown, or takes nothing.
fn is_long_ago(deps: &Deps, at: DateTime<Utc>) -> bool {
    let kept = deps.settings.retention;
    earliest_now(deps) - at >= kept + kept
}
