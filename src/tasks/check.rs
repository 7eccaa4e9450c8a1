//! Whether everything is there that the tasks work with: what `casebridge check` and `GET /api/check` try. No task; changes nothing.

use super::Deps;
use crate::cases::Check;
use crate::entities::Side;

/// Tries the store, the queues, and both systems. The first line is the store's.
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
