//! What of the main job is Zendesk's own: the words for its states, tags, placeholders, and how many updates a ticket takes.

use casebridge::cases::Visibility;
use casebridge::sandbox::csapi::{Author, NewCase, Priority, State};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskSettings};
use chrono::Duration;

use crate::harness::crm::{Crm as _, Setup};
use crate::harness::zendesk::{ZendeskDesk, ZendeskKind};
use crate::harness::{Options, Time, World};

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
