//! Closing, reopening, deleting: how a pair ends, and what comes after (`R19`, `R20`).

use casebridge::sandbox::csapi::State;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::SandboxJiraSettings;
use chrono::Duration;
use serde_json::json;

use crate::support::{Options, World};

async fn pair(world: &World) -> (String, String) {
    let case = world.google_case("Disk is slow");
    world.settle().await;
    (case, world.mapping().await.company_case_id.unwrap().to_string())
}

fn starting<'a>(texts: &'a [String], start: &str) -> Vec<&'a String> {
    texts.iter().filter(|text| text.starts_with(start)).collect()
}

#[tokio::test]
async fn a_case_reopened_at_google_whose_issue_cannot_be_reopened_is_no_ping_pong() {
    let jira = SandboxJiraSettings { can_reopen: false, ..SandboxJiraSettings::default() };
    let world = World::with(Options { jira, ..Options::default() }).await;
    let (case, issue) = pair(&world).await;
    world.csapi.close(&case).unwrap();
    world.settle().await;
    assert!(world.jira.issue(&issue).unwrap().closed);
    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    let comment = world.google_says(&case, "It is open again.");
    world.run_for(Duration::hours(1)).await;
    let (google, company) = (world.google_texts(&case), world.company_texts(&issue));
    assert_eq!(company, [format!("[Google Comment {comment} by Google Support]\nIt is open again.")]);
    assert!(world.jira.issue(&issue).unwrap().closed);
    assert_eq!(world.csapi.case(&case).unwrap().state, State::InProgressGoogleSupport, "it is left open");
    assert_eq!(starting(&google, "This case was reopened, but ").len(), 1, "{google:#?}");
    let sizes = || (world.google_texts(&case).len(), world.company_texts(&issue).len());
    let before = sizes();
    world.run_for(Duration::hours(3)).await;
    assert_eq!(sizes(), before, "{:#?}", world.google_texts(&case));
    assert_eq!(world.post("detect-outages", json!({})).await.0, 200);
}

#[tokio::test]
async fn a_pair_closed_on_both_sides_at_once_is_only_noted() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    world.csapi.close(&case).unwrap();
    world.jira.transition(&issue, "Cancel").unwrap();
    world.run_for(Duration::hours(2)).await;
    assert!(world.mapping().await.resolved_at.is_some());
    assert_eq!(world.jira.issue(&issue).unwrap().status, "Cancelled", "what a person chose stays");
    assert_eq!((world.google_texts(&case).len(), world.company_texts(&issue).len()), (1, 0));
}

#[tokio::test]
async fn a_closing_whose_answer_was_lost_is_repeated_and_done_once() {
    for effect in [Effect::ErrorAfter { status: 500 }, Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = World::new().await;
        let (case, issue) = pair(&world).await;
        world.jira.faults().add(Fault::always(effect.clone()).on("POST", "/transitions").times(1));
        world.google_says(&case, "Last words.");
        world.csapi.close(&case).unwrap();
        world.run_for(Duration::minutes(20)).await;
        assert!(world.jira.issue(&issue).unwrap().closed, "{effect:?}");
        assert!(world.mapping().await.resolved_at.is_some(), "{effect:?}");
        assert_eq!(world.company_texts(&issue).len(), 1, "{effect:?}");

        let other = world.flagged_issue("Another");
        world.settle().await;
        world.csapi.faults().add(Fault::always(effect.clone()).on("POST", ":close").times(1));
        world.jira.transition(&other, "Done").unwrap();
        world.run_for(Duration::minutes(20)).await;
        let name = world.jira.issue(&other).unwrap().google_name.unwrap();
        assert_eq!(world.csapi.case(&name).unwrap().state, State::Closed, "{effect:?}");
        assert!(world.mappings().await.iter().all(|mapping| mapping.resolved_at.is_some()));
    }
}

#[tokio::test]
async fn a_google_case_that_is_gone_ends_the_pair_with_one_comment_on_the_issue() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    world.run_for(Duration::minutes(15)).await;
    world.csapi.delete_case(&case).unwrap();
    world.company_says(&issue, "Is anybody there?");
    world.run_for(Duration::hours(3)).await;
    let texts = world.company_texts(&issue);
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert_eq!(
        texts[1],
        format!("This case no longer syncs: Google case {case} no longer exists, or may no longer be read.")
    );
    assert_eq!(world.csapi.cases().len(), 0, "no second counterpart is made");
    assert_eq!(world.post("detect-outages", json!({})).await.0, 200, "and it is no outage");
    world.company_says(&issue, "Still nobody?");
    world.run_for(Duration::hours(3)).await;
    assert_eq!(world.company_texts(&issue).len(), 3);
    world.clock.advance(Duration::days(32));
    world.run_for(Duration::days(1)).await;
    assert_eq!(world.mappings().await.len(), 0, "cleanup takes it");
    world.company_says(&issue, "After all that time.");
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 0);
    assert_eq!(world.company_texts(&issue).len(), 4);
}

#[tokio::test]
async fn cleanup_takes_a_mapping_thirty_days_after_its_case_was_resolved_and_no_sooner() {
    let world = World::new().await;
    let (closed, _) = pair(&world).await;
    world.csapi.close(&closed).unwrap();
    let closed_at = world.csapi.case(&closed).unwrap().updated_at;
    world.settle().await;
    let open = world.google_case("Stays open");
    world.settle().await;
    assert_eq!(world.mappings().await.len(), 2);
    world.clock.set(closed_at + Duration::days(30) - Duration::microseconds(1));
    assert_eq!(world.post("cleanup", json!({})).await.0, 200);
    assert_eq!(world.mappings().await.len(), 2);
    world.clock.set(closed_at + Duration::days(30) + Duration::microseconds(1));
    assert_eq!(world.post("cleanup", json!({})).await.0, 200);
    let left = world.mappings().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].google_case_name.as_ref().map(ToString::to_string), Some(open));
    assert_eq!(world.jira.issues().len(), 2, "the cases themselves stay");
}

#[tokio::test]
async fn an_issue_that_was_moved_to_another_project_still_syncs() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    let key = world.jira.move_issue(&issue, "OPS").unwrap();
    assert!(key.starts_with("OPS-"));
    world.google_says(&case, "from Google");
    world.company_says(&issue, "from Jira");
    world.run_for(Duration::hours(1)).await;
    assert_eq!((world.google_texts(&case).len(), world.company_texts(&issue).len()), (3, 2));
    assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (1, 1));
}

#[tokio::test]
async fn an_issue_hidden_for_a_moment_after_linking_does_not_end_the_pair() {
    let world = World::new().await;
    let case = world.google_case("Disk is slow");
    world.run_for(Duration::minutes(1)).await;
    let issue = world.jira.issues().remove(0).id;
    world.jira.set_visible(&issue, false).unwrap();
    world.google_says(&case, "hello");
    world.run_for(Duration::minutes(2)).await;
    assert_eq!(world.mapping().await.gone, None);
    world.jira.set_visible(&issue, true).unwrap();
    world.run_for(Duration::minutes(30)).await;
    assert_eq!(world.mapping().await.gone, None);
    assert_eq!(world.company_texts(&issue).len(), 1);
}
