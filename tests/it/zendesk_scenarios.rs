//! Scenarios of the main job that are specific to Zendesk: words for states, tags, placeholders, and the limit of updates of a ticket.

use casebridge::cases::Visibility;
use casebridge::sandbox::csapi::{Author, NewCase, Priority, State};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::zendesk::{
    NewTicket, SandboxZendesk, SandboxZendeskSettings, SandboxZendeskSwitches,
};
use chrono::Duration;
use serde_json::json;

use casebridge_testkit::harness::crm::{Crm as _, Setup};
use casebridge_testkit::harness::zendesk::{ZendeskDesk, ZendeskKind};
use casebridge_testkit::harness::{Options, Time, World};

async fn world(comment_visibility: Visibility) -> (World, SandboxZendesk) {
    let description = ZendeskKind.description().await;
    let time = Time::for_crm(&description);
    let settings = SandboxZendeskSettings::default();
    let (zendesk, company) = ZendeskDesk::start(&time.clock(), settings, &Setup::default()).await;
    let mut options = Options::default();
    options.rules.comment_visibility = comment_visibility;
    (World::around(time, description, company, options).await, zendesk)
}

#[tokio::test]
async fn a_google_case_becomes_a_ticket_in_zendesks_own_words() {
    let (world, zendesk) = world(Visibility::Internal).await;
    let case = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: "Disk is slow {{ticket.id}}".to_owned(),
        description: "Since noon.".to_owned(),
        priority: Priority::P4,
        author: Author::customer("Grace Hopper"),
    };
    let case = world.csapi.create_case(case).unwrap().name;
    world.google_says(&case, "We are looking into it: {{current_user.name}}.");
    world.google_attaches(&case, "trace.txt", b"trace");
    world.settle().await;
    let mut tickets = zendesk.tickets();
    assert_eq!(tickets.len(), 1, "{tickets:#?}");
    let ticket = tickets.remove(0);
    assert!(ticket.flagged && ticket.google_name.as_deref() == Some(case.as_str()), "{ticket:#?}");
    assert_eq!(
        (ticket.priority.as_deref(), ticket.tags.as_slice()),
        (Some("low"), ["google_cloud".to_owned()].as_slice())
    );
    let texts: Vec<&str> = ticket.comments.iter().map(|comment| comment.text.as_str()).collect();
    assert!(texts[0].starts_with("CONTENT MIRRORED FROM GOOGLE SUPPORT:\n"), "{texts:?}");
    assert!(texts[1].ends_with("We are looking into it: {\u{2060}{current_user.name}}."), "{texts:?}");
    assert_eq!(ticket.attachments().count(), 1);
    assert!(ticket.comments.iter().all(|comment| !comment.public), "internal unless configured otherwise");

    let status = || zendesk.ticket(&ticket.id).unwrap().status;
    world.csapi.close(&case).unwrap();
    world.settle().await;
    assert_eq!(status(), "solved");
    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    world.settle().await;
    assert_eq!(status(), "open");
    // No echo, and no ping-pong between P3 and P4.
    world.assert_quiet().await;
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P4));
}

#[tokio::test]
async fn a_burst_of_comments_arrives_whole_and_once_although_zendesk_takes_thirty_in_ten_minutes() {
    let (world, zendesk) = world(Visibility::Public).await;
    let (case, ticket) = world.pair().await;
    for number in 0..70 {
        world.google_says(&case, &format!("line {number:02}"));
    }
    world.run_for(Duration::minutes(2)).await;
    assert!(world.copies_in_crm(&ticket).await.len() < 70, "some have to wait");
    world.run_for(Duration::minutes(38)).await;
    let expected: Vec<String> = (0..70).map(|number| format!("line {number:02}")).collect();
    assert_eq!(world.copies_in_crm(&ticket).await, expected);
    let updates = zendesk.faults().calls().iter().filter(|call| call.method == "PUT").count();
    assert!(updates <= 75, "nothing is sent in vain: {updates} updates");
}

// R32 (closed is not solved)
#[tokio::test]
async fn a_ticket_that_is_merged_hands_its_google_case_on_and_nothing_of_google_goes_back() {
    let (world, zendesk) = world(Visibility::Public).await;
    let (case, ticket) = world.pair().await;
    world.google_attaches(&case, "trace.txt", b"trace");
    world.settle().await;
    world.google_says(&case, "Have you tried turning it off?");
    world.settle().await;
    let left = zendesk.create_ticket(NewTicket::new("The same again")).unwrap();
    let files = world.csapi.attachments(&case).unwrap().len();
    zendesk.merge(&ticket, &left, "Ann Agent").unwrap();
    world.run_for(Duration::minutes(20)).await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::New, "it is not solved");
    let told = world.google_texts(&case).into_iter().filter(|text| text.contains("was merged into")).count();
    assert_eq!(told, 1, "{:?}", world.google_texts(&case));
    // The remaining ticket takes part once it has the flag.
    zendesk.set_flag(&left, true).unwrap();
    world.run_for(Duration::minutes(20)).await;
    assert_eq!(world.mapping().await.case_id(casebridge::entities::Side::Company), Some(left.as_str()));
    assert_eq!(world.csapi.cases().len(), 1, "and has no Google case of its own");
    zendesk.comment(&left, "Jane Roe", "It helped.").unwrap();
    world.google_says(&case, "Good.");
    world.run_for(Duration::minutes(20)).await;
    let carried = world.copies_at_google(&case);
    assert!(carried.iter().any(|text| text == "It helped."), "{carried:?}");
    assert!(carried.iter().all(|text| !text.contains("turning it off")), "nothing of Google's: {carried:?}");
    assert_eq!(world.csapi.attachments(&case).unwrap().len(), files, "nor Google's file");
    assert!(world.copies_in_crm(&left).await.iter().any(|text| text == "Good."));
    world.assert_quiet().await;
}

// R32 (closed is not solved)
#[tokio::test]
async fn a_ticket_that_is_merged_into_one_with_a_google_case_of_its_own_ends_its_pair() {
    let (world, zendesk) = world(Visibility::Public).await;
    let (case, ticket) = world.pair().await;
    let left = world.company_case("Another").await;
    world.settle().await;
    let other = world.company(&left).await.google_name.unwrap();
    world.google_says(&case, "Have you tried turning it off?");
    world.settle().await;
    zendesk.merge(&ticket, &left, "Ann Agent").unwrap();
    world.run_for(Duration::minutes(20)).await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::New, "it is not solved");
    let told = world.google_texts(&case).into_iter().filter(|text| text.contains("was merged into")).count();
    assert_eq!(told, 1, "{:?}", world.google_texts(&case));
    let carried = world.copies_at_google(&other);
    assert!(carried.iter().all(|text| !text.contains("turning it off")), "{carried:?}");
    world.assert_quiet().await;
}

// R32 (closed is not solved)
#[tokio::test]
async fn a_ticket_that_is_cancelled_leaves_its_google_case_open() {
    let (world, zendesk) = world(Visibility::Internal).await;
    let (case, ticket) = world.pair().await;
    zendesk.set_custom_status(&ticket, "Cancelled by customer").unwrap();
    world.run_for(Duration::hours(2)).await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::New);
    let texts = world.google_texts(&case);
    assert_eq!(texts.iter().filter(|text| text.contains("(cancelled)")).count(), 1, "{texts:?}");
    zendesk.set_custom_status(&ticket, "Solved").unwrap();
    world.run_for(Duration::hours(2)).await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
}

// R26 (silence is not emptiness)
#[tokio::test]
async fn a_token_that_ends_fails_the_polls_and_nothing_of_that_time_is_missed() {
    let (world, zendesk) = world(Visibility::Internal).await;
    let (case, ticket) = world.pair().await;
    world.run_for(Duration::minutes(20)).await;
    zendesk.set_switches(SandboxZendeskSwitches { anonymous: true, ..SandboxZendeskSwitches::default() });
    zendesk.comment(&ticket, "Jane Roe", "said meanwhile").unwrap();
    let new = world.company_case("Opened meanwhile").await;
    world.run_for(Duration::minutes(30)).await;
    let (status, answer) = world.post("poll-company", json!({})).await;
    assert_eq!(status, 500, "{answer}");
    zendesk.set_switches(SandboxZendeskSwitches::default());
    world.run_for(Duration::minutes(20)).await;
    assert_eq!(world.copies_at_google(&case), ["said meanwhile"]);
    assert!(world.company(&new).await.google_name.is_some());
    world.assert_quiet().await;
}

// R26 (silence is not emptiness)
#[tokio::test]
async fn an_export_that_others_have_used_up_holds_up_no_poll() {
    let (world, zendesk) = world(Visibility::Internal).await;
    let (case, ticket) = world.pair().await;
    let limited = Effect::RateLimited { retry_after: "60".to_owned() };
    zendesk.faults().add(Fault::always(limited).on("GET", "/incremental/"));
    world.company_says(&ticket, "said meanwhile").await;
    world.run_for(Duration::minutes(10)).await;
    assert_eq!(world.copies_at_google(&case), ["said meanwhile"]);
    assert_eq!(world.post("poll-company", json!({})).await.0, 200);
}
