//! `cleanup`: deletes the mappings of cases that were closed long ago.

use super::{Deps, Outcome, TaskKind, TaskReport};
use crate::entities::Side;
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
    let (mut deleted, mut kept, mut after) = (0, 0, None);
    loop {
        let page = deps.store.list(MappingFilter::ResolvedBefore(before), after, PAGE).await?;
        for mapping in page.mappings {
            // What still waits would be lost with its mapping.
            if Side::BOTH.into_iter().any(|side| mapping.waiting[side].is_some()) && mapping.gone.is_none() {
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
