//! Mappings without any changes.

use casebridge::entities::{CaseMapping, CompanyCaseId, FirstSeen, GoogleCaseName, Priority, Sides};
use chrono::Duration;
use futures_util::StreamExt as _;

use super::World;

/// Stores `count` open mappings, each linked and last synced a day ago. Their cases are in neither system, since the connector does not
/// read a case that did not change.
pub async fn open_mappings(world: &World, count: usize) {
    const AT_ONCE: usize = 16;
    let then = world.deps.clock.now() - Duration::days(1);
    let mapping = |number: usize| {
        let google =
            GoogleCaseName::parse(&format!("organizations/123/cases/{}", 10_000_000 + number)).unwrap();
        let first = FirstSeen::Google(google);
        CaseMapping {
            company_case_id: Some(CompanyCaseId::parse(&(1_000_000 + number).to_string()).unwrap()),
            linked_at: Some(then),
            google_updates_synced_at: Some(then),
            company_updates_synced_at: Some(then),
            dirty: Sides::default(),
            ..CaseMapping::first_seen(first, Some(Priority::P2), None, then)
        }
    };
    futures_util::stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, |number| async move {
            world.store.create(mapping(number)).await.unwrap();
        })
        .await;
}
