//! Checks of everything that the tasks depend on, for `casebridge check` and `GET /api/check`. It is not a task, and changes nothing.

use super::Deps;
use crate::cases::Check;
use crate::entities::Side;

/// Checks the store, the queues and both systems. The first result is the store's.
pub async fn check(deps: &Deps) -> Vec<Check> {
    let store = deps.store.check().await;
    let mut checks = vec![Check {
        what: "store".to_owned(),
        result: store.map(|()| "can be read and written".to_owned()).map_err(|error| error.to_string()),
    }];
    checks.extend(deps.queue.check().await);
    for side in Side::BOTH {
        checks.extend(deps.systems[side].check(deps.settings.rules.needs(side)).await);
    }
    checks
}
