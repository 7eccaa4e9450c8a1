//! The main job, over real HTTP on loopback with the real binary's parts: a case travels both ways.

mod callers;
mod content;
mod creation;
mod leaving;
mod outages;

use crate::support::World;
use chrono::Duration;

#[tokio::test]
async fn a_google_case_is_created_in_jira_with_the_documented_fields_and_texts() {
    let world = World::new().await;
    let case = world.google_case("Disk is slow");
    let comment = world.google_says(&case, "We are looking into it.");
    world.settle().await;

    let mapping = world.mapping().await;
    let id = mapping.company_case_id.clone().unwrap().to_string();
    let issue = world.jira.issue(&id).unwrap();
    assert_eq!(issue.summary, "Disk is slow");
    assert_eq!(
        casebridge::crm::jira::markup::unescape(issue.description.as_deref().unwrap_or_default()),
        "CONTENT MIRRORED FROM GOOGLE SUPPORT:\nThe description of Disk is slow."
    );
    assert_eq!(issue.priority, "Medium");
    assert_eq!(
        world.google_texts(&case),
        ["We are looking into it.".to_owned(), format!("This case is now syncing with Company Case: {id}"),]
    );
    assert_eq!(
        world.company_texts(&id),
        [format!("[Google Comment {comment} by Google Support]\nWe are looking into it.")]
    );
    // And nothing more happens, however long one waits.
    world.run_for(Duration::hours(2)).await;
    assert_eq!(world.google_texts(&case).len(), 2);
    assert_eq!(world.company_texts(&id).len(), 1);
    assert_eq!(world.csapi.cases().len(), 1);
    assert_eq!(world.jira.issues().len(), 1);
}
