//! `detect-outages` keeps to the documented tolerances. One CRM is enough, since only the connector computes them.

use casebridge::entities::{Priority, Side};
use chrono::Duration;
use serde_json::json;

use casebridge_testkit::harness::World;
use casebridge_testkit::harness::jira::JiraKind;

/// Documented tolerances by priority, in minutes: while content is fresh, by default, and once it is stale.
const TOLERANCES: [(Priority, [i64; 3]); 5] = [
    (Priority::P0, [10, 10, 15]),
    (Priority::P1, [10, 15, 60]),
    (Priority::P2, [10, 20, 120]),
    (Priority::P3, [10, 20, 240]),
    (Priority::P4, [10, 30, 240]),
];

#[tokio::test]
async fn detect_outages_keeps_to_the_whole_tolerance_table_its_edges_included() {
    let world = World::new(&JiraKind).await;
    let (case, company) = world.pair().await;
    let micro = Duration::microseconds(1);
    let now = world.deps.clock.now();
    let mut so_far = 0;
    for (priority, minutes) in TOLERANCES {
        for (age, column) in [
            (Duration::zero(), 0),
            (Duration::hours(1) - micro, 0),
            (Duration::hours(1), 1),
            (Duration::days(1), 1),
            (Duration::days(1) + micro, 2),
            (Duration::days(29), 2),
        ] {
            let tolerance = Duration::minutes(minutes[column]);
            for side in Side::BOTH {
                let what = format!("{priority}, content {age} old, {side}");
                // Exactly as late as is tolerated: no outage, and an outage that was reported is over.
                world.be_late(priority, now - age, side, now - tolerance).await;
                let (status, answer) = world.post("detect-outages", json!({})).await;
                assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{what}: {answer}");
                assert_eq!(world.notices(&case, &company).await, [so_far; 4], "{what}");
                // A moment later: an outage, reported on both sides once, even if `detect-outages` runs twice.
                world.be_late(priority, now - age, side, now - tolerance - micro).await;
                so_far += 1;
                for _ in 0..2 {
                    let (status, answer) = world.post("detect-outages", json!({})).await;
                    assert_eq!((status, &answer["outcome"]), (500, &json!("outage")), "{what}: {answer}");
                    assert_eq!(answer["outages"], json!([case]), "{what}");
                    assert_eq!(
                        world.notices(&case, &company).await,
                        [so_far, so_far, so_far - 1, so_far - 1],
                        "{what}"
                    );
                }
            }
        }
    }
}
