//! `detect-outages`, and what is left of an outage when it is over (`R7`, `R22`, `R23`).

use casebridge::entities::{Priority, Side, Waiting};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::store::modify;
use chrono::{DateTime, Duration, Utc};
use serde_json::json;

use crate::support::World;

const OUTAGE: &str = "This case has not synced properly in ";
const RESUMED: &str = "Syncing has resumed.";

/// Priority; the tolerances in minutes while content is fresh, by default, and once it is stale: as documented.
const TOLERANCES: [(Priority, [i64; 3]); 5] = [
    (Priority::P0, [10, 10, 15]),
    (Priority::P1, [10, 15, 60]),
    (Priority::P2, [10, 20, 120]),
    (Priority::P3, [10, 20, 240]),
    (Priority::P4, [10, 30, 240]),
];

impl World {
    /// The pair as it would be if the last content came at `content` and `side` had last been carried at `synced`.
    async fn be_late(&self, priority: Priority, content: DateTime<Utc>, side: Side, synced: DateTime<Utc>) {
        let now = self.deps.clock.now();
        for polled in Side::BOTH {
            self.store.set_last_polled_at(polled, now).await.unwrap();
        }
        let changed = modify(self.store.as_ref(), self.mapping().await, |mapping| {
            mapping.priority = Some(priority);
            mapping.new_content_at = content;
            mapping.waiting = casebridge::entities::Sides::default();
            mapping.waiting[side] = Some(Waiting { since: synced, case_updated_at: None });
            mapping.google_updates_synced_at = Some(synced);
            mapping.company_updates_synced_at = Some(synced);
            true
        });
        changed.await.unwrap().unwrap();
    }

    fn notices(&self, case: &str, issue: &str) -> [usize; 4] {
        let count =
            |texts: &[String], start: &str| texts.iter().filter(|text| text.starts_with(start)).count();
        let (google, company) = (self.google_texts(case), self.company_texts(issue));
        [count(&google, OUTAGE), count(&company, OUTAGE), count(&google, RESUMED), count(&company, RESUMED)]
    }
}

async fn pair(world: &World) -> (String, String) {
    let case = world.google_case("Disk is slow");
    world.settle().await;
    (case, world.mapping().await.company_case_id.unwrap().to_string())
}

#[tokio::test]
async fn detect_outages_keeps_to_the_whole_tolerance_table_its_edges_included() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
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
                // Exactly as late as is tolerated: no outage; and one that was told of is over.
                world.be_late(priority, now - age, side, now - tolerance).await;
                let (status, answer) = world.post("detect-outages", json!({})).await;
                assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{what}: {answer}");
                assert_eq!(world.notices(&case, &issue), [so_far; 4], "{what}");
                // A moment later: an outage, told on both sides once, however often one looks.
                world.be_late(priority, now - age, side, now - tolerance - micro).await;
                so_far += 1;
                for _ in 0..2 {
                    let (status, answer) = world.post("detect-outages", json!({})).await;
                    assert_eq!((status, &answer["outcome"]), (500, &json!("outage")), "{what}: {answer}");
                    assert_eq!(answer["outages"], json!([case]), "{what}");
                    assert_eq!(
                        world.notices(&case, &issue),
                        [so_far, so_far, so_far - 1, so_far - 1],
                        "{what}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn each_of_the_four_comments_is_tried_on_its_own() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    let now = world.deps.clock.now();
    let refuse = || Fault::always(Effect::ErrorBefore { status: 403, body: None }).on("POST", "/comment");
    let late = now - Duration::hours(2) - Duration::minutes(5);
    world.be_late(Priority::P2, late, Side::Google, late).await;
    // Google does not take the outage comment; Jira gets it all the same.
    world.csapi.faults().add(refuse());
    for _ in 0..2 {
        assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
        assert_eq!(world.notices(&case, &issue), [0, 1, 0, 0]);
    }
    world.csapi.faults().clear();
    assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
    assert_eq!(world.notices(&case, &issue), [1, 1, 0, 0]);
    let text = format!("{OUTAGE}2 hours 5 minutes.");
    assert_eq!(world.google_texts(&case).last(), Some(&text));
    assert_eq!(world.company_texts(&issue).last(), Some(&text));
    // It is over, and Jira does not take the resume comment.
    world.be_late(Priority::P2, now, Side::Google, now).await;
    world.jira.faults().add(refuse());
    let (status, answer) = world.post("detect-outages", json!({})).await;
    assert_eq!((status, &answer["outcome"]), (500, &json!("failed")), "it is repeated: {answer}");
    assert_eq!(world.notices(&case, &issue), [1, 1, 1, 0]);
    world.jira.faults().clear();
    for _ in 0..2 {
        assert_eq!(world.post("detect-outages", json!({})).await.0, 200);
        assert_eq!(world.notices(&case, &issue), [1, 1, 1, 1]);
    }
    world.run_for(Duration::hours(2)).await;
    assert_eq!(world.notices(&case, &issue), [1, 1, 1, 1]);
}

#[tokio::test]
async fn an_outage_comment_whose_answer_was_lost_stands_once_and_is_never_carried() {
    for effect in [Effect::ErrorAfter { status: 500 }, Effect::HangUpAfter] {
        let world = World::new().await;
        let (case, issue) = pair(&world).await;
        let now = world.deps.clock.now();
        let late = now - Duration::hours(3);
        for faults in [world.csapi.faults(), world.jira.faults().clone()] {
            faults.add(Fault::always(effect.clone()).on("POST", "/comment").times(1));
        }
        world.be_late(Priority::P2, late, Side::Company, late).await;
        assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
        assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
        assert_eq!(world.notices(&case, &issue), [1, 1, 0, 0], "{effect:?}");
        world.run_for(Duration::hours(2)).await;
        assert_eq!(world.notices(&case, &issue), [1, 1, 1, 1], "{effect:?}");
        assert_eq!(world.google_texts(&case).len(), 3, "{:?}", world.google_texts(&case));
        assert_eq!(world.company_texts(&issue).len(), 2, "{:?}", world.company_texts(&issue));
    }
}

#[tokio::test]
async fn google_down_for_three_hours_loses_nothing_doubles_nothing_and_says_so_once_on_each_side() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    let down = || Fault::always(Effect::ErrorBefore { status: 503, body: None });
    world.csapi.faults().add(down());
    let mut said = [Vec::new(), Vec::new()];
    for number in 0..6 {
        said[0].push(format!("g{number}"));
        said[1].push(format!("j{number}"));
        world.google_says(&case, &said[0][number]);
        world.company_says(&issue, &said[1][number]);
        world.run_for(Duration::minutes(30)).await;
    }
    assert_eq!(world.notices(&case, &issue), [0, 1, 0, 0]);
    // Comments can be added again while polls and syncs still fail: the Google case hears of the outage too.
    world.csapi.faults().clear();
    world.csapi.faults().add(down().on("GET", ":search"));
    world.csapi.faults().add(down().on("GET", "/attachments"));
    world.run_for(Duration::minutes(6)).await;
    world.csapi.faults().clear();
    world.run_for(Duration::minutes(30)).await;
    assert_eq!(world.notices(&case, &issue), [1, 1, 1, 1]);
    let copies = |texts: Vec<String>| -> Vec<String> {
        let copied = texts.into_iter().filter(|text| text.starts_with('['));
        copied.map(|text| text.split_once('\n').unwrap().1.to_owned()).collect()
    };
    assert_eq!(copies(world.company_texts(&issue)), said[0]);
    assert_eq!(copies(world.google_texts(&case)), said[1]);
    // Six of its own, six copies, "is now syncing", the outage and its end; the issue has no "is now syncing".
    let sizes = || (world.google_texts(&case).len(), world.company_texts(&issue).len());
    assert_eq!(sizes(), (15, 14));
    world.run_for(Duration::hours(2)).await;
    assert_eq!(sizes(), (15, 14));
    assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (1, 1));
}

#[tokio::test]
async fn a_case_that_never_gets_its_counterpart_is_an_outage_told_on_the_side_that_exists() {
    let world = World::new().await;
    world
        .jira
        .faults()
        .add(Fault::always(Effect::ErrorBefore { status: 500, body: None }).on("POST", "/issue"));
    let case = world.google_case("Disk is slow");
    world.run_for(Duration::minutes(9)).await;
    let outages = |texts: Vec<String>| texts.iter().filter(|text| text.starts_with(OUTAGE)).count();
    assert_eq!(outages(world.google_texts(&case)), 0, "recently added");
    world.run_for(Duration::hours(2)).await;
    assert_eq!(outages(world.google_texts(&case)), 1);
    assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
    assert_eq!(world.jira.issues().len(), 0);
    world.jira.faults().clear();
    world.run_for(Duration::minutes(20)).await;
    assert_eq!(world.jira.issues().len(), 1);
    let issue = world.jira.issues().remove(0).id;
    assert_eq!(world.notices(&case, &issue)[0], 1);
    assert_eq!(world.notices(&case, &issue)[2], 1);
    assert_eq!(world.company_texts(&issue), Vec::<String>::new(), "the new issue never was in an outage");
    assert_eq!(world.post("detect-outages", json!({})).await.0, 200);
}
