//! The main job over the real Request Tracker.

use std::sync::Arc;

use casebridge::cases::Visibility;
use casebridge::clock::SystemClock;
use casebridge::entities::Priority as Level;
use casebridge::sandbox::csapi::{Author, NewCase, Priority, State};
use casebridge::sync::{CommentsToGoogle, Rules, Switches};
use casebridge::tasks::{Outcome, Task, TaskKind};
use chrono::Duration;
use serde_json::json;

use crate::server::Server;
use crate::world::{LateClock, World, rules};
use casebridge_testkit::harness::ugly::UGLY;

fn sync_google(case: &str) -> Task {
    Task::parse(TaskKind::SyncGoogleCase, json!({ "case_name": case }).to_string().as_bytes()).unwrap()
}

fn sync_company(id: &str) -> Task {
    Task::parse(TaskKind::SyncCompanyCase, json!({ "case_id": id }).to_string().as_bytes()).unwrap()
}

/// What the Google case is told of a ticket on the shared server.
fn now_syncing(id: &str) -> String {
    format!("This case is now syncing with Company Case: {id} ({})", Server::shared().address(id))
}

fn starting<'a>(texts: &'a [String], start: &str) -> Vec<&'a String> {
    texts.iter().filter(|text| text.starts_with(start)).collect()
}

#[tokio::test]
async fn a_google_case_is_created_with_the_documented_fields_and_texts() {
    let world = World::new().await;
    let case = world.google_case("Disk is slow", Priority::P1);
    let comment = world.google_says(&case, "We are looking into it.");
    world.settle().await;
    let (_, id) = world.pair().await;
    let ticket = world.jane.ticket(&id).await;
    assert_eq!((&ticket["Subject"], &ticket["Priority"]), (&json!("Disk is slow"), &json!("75")));
    assert_eq!(
        world.company_texts(&id).await,
        [
            "CONTENT MIRRORED FROM GOOGLE SUPPORT:\nThe description of Disk is slow.".to_owned(),
            format!("[Google Comment {comment} by Google Support]\nWe are looking into it."),
        ]
    );
    let expected = ["We are looking into it.".to_owned(), now_syncing(&id)];
    assert_eq!(world.google_texts(&case), expected);
    world.settle().await;
    assert_eq!((world.csapi.cases().len(), world.tickets().await), (1, 1));
    assert_eq!((world.google_texts(&case).len(), world.company_texts(&id).await.len()), (2, 2));
}

#[tokio::test]
async fn a_flagged_ticket_is_created_at_google_and_an_unflagged_one_is_not() {
    let world = World::new().await;
    let id = world.jane.creates(&world.slot.queue, "VM gone", "Since noon.", true).await;
    world.jane.creates(&world.slot.queue, "Printer", "Paper.", false).await;
    world.settle().await;
    let (case, company) = world.pair().await;
    assert_eq!(company, id);
    let google = world.csapi.case(&case).unwrap();
    assert_eq!((google.display_name.as_str(), google.priority), ("VM gone", Some(Priority::P2)));
    let address = Server::shared().address(&id);
    assert_eq!(
        google.description,
        format!("CONTENT MIRRORED FROM COMPANY CASE {id} ({address}):\nSince noon.")
    );
    let fields = world.jane.ticket(&id).await["CustomFields"].to_string();
    assert!(fields.contains(&case), "{fields}");
    world.settle().await;
    assert_eq!((world.csapi.cases().len(), world.tickets().await), (1, 2));
}

#[tokio::test]
async fn comments_travel_both_ways_in_order_and_internal_ones_never() {
    let world = World::new().await;
    let case = world.google_case("Talk", Priority::P2);
    world.settle().await;
    let (_, id) = world.pair().await;
    let mut ours = Vec::new();
    for number in 1..=3 {
        ours.push(world.google_says(&case, &format!("google {number}")));
        world.jane.writes(&id, true, "text/plain", &format!("company {number}")).await;
        world.jane.writes(&id, false, "text/plain", &format!("secret {number}")).await;
    }
    world.settle().await;
    world.settle().await;
    let at_google = world.google_texts(&case);
    assert!(at_google.iter().all(|text| !text.contains("secret")), "{at_google:?}");
    let carried: Vec<&str> = at_google
        .iter()
        .filter(|text| text.starts_with("[Company Comment"))
        .map(|text| text.lines().last().unwrap())
        .collect();
    assert_eq!(carried, ["company 1", "company 2", "company 3"]);
    assert!(at_google.iter().any(|text| text.contains(" by Jane Roe]")), "{at_google:?}");
    let texts = world.company_texts(&id).await;
    let carried: Vec<&String> = texts.iter().filter(|text| text.starts_with("[Google Comment")).collect();
    let expected: Vec<String> = ours
        .iter()
        .zip(1..)
        .map(|(comment, number)| format!("[Google Comment {comment} by Google Support]\ngoogle {number}"))
        .collect();
    assert_eq!(carried, expected.iter().collect::<Vec<_>>());
    // Copies come as internal comments, which is the default.
    let history = world.jane.get(&format!("/ticket/{id}/history?fields=Type,Creator&per_page=100")).await;
    let replies = history["items"].as_array().unwrap().iter().filter(|found| found["Type"] == "Correspond");
    assert!(replies.into_iter().all(|found| found["Creator"]["id"] == "jane"), "{history}");
}

#[tokio::test]
async fn attachments_arrive_byte_for_byte_both_ways() {
    let world = World::new().await;
    let case = world.google_case("Files", Priority::P2);
    world.settle().await;
    let (_, id) = world.pair().await;
    let bytes: Vec<u8> = (0..300_007_u32).map(|n| (n % 253).to_le_bytes()[0]).collect();
    // Text in Latin-1, which Request Tracker would convert.
    let latin = b"Gr\xf6\xdfe\r\n".to_vec();
    let author = || Author::google("Ada Lovelace");
    world.csapi.attach(&case, author(), "dump.bin", "application/octet-stream", &bytes).unwrap();
    world.csapi.attach(&case, author(), "alt.txt", "text/plain", &latin).unwrap();
    world.jane.attaches(&id, true, "Bild \u{1f600}.bin", &bytes).await;
    world.jane.attaches(&id, true, "empty.txt", b"").await;
    world.jane.attaches(&id, true, "latin.txt", &latin).await;
    // One that hangs on a comment is as internal as that.
    world.jane.attaches(&id, false, "secret.bin", &bytes).await;
    world.settle().await;
    world.settle().await;
    let mut files = world.company_files(&id).await;
    files.sort();
    let own = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
    let mut expected = vec![
        own("Bild \u{1f600}.bin", &bytes),
        own("alt.txt", &latin),
        own("dump.bin", &bytes),
        own("empty.txt", b""),
        own("latin.txt", &latin),
        own("secret.bin", &bytes),
    ];
    assert!(files == expected, "{:?}", files.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let at_google = world.csapi.attachments(&case).unwrap();
    let content = |file: &str| world.csapi.attachment_bytes(&case, file).unwrap();
    let mut found: Vec<_> = at_google.iter().map(|file| (file.filename.clone(), content(&file.id))).collect();
    found.sort();
    expected.retain(|(name, _)| name != "secret.bin");
    assert!(found == expected, "{:?}", found.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let history = world.jane.get(&format!("/ticket/{id}/history?fields=Type,Creator&per_page=100")).await;
    let replies = history["items"].as_array().unwrap().iter().filter(|found| found["Type"] == "Correspond");
    assert!(replies.into_iter().all(|found| found["Creator"]["id"] == "jane"), "copies are comments");
}

#[tokio::test]
async fn a_priority_changed_on_one_side_changes_on_the_other() {
    let world = World::new().await;
    let case = world.google_case("Urgent", Priority::P3);
    world.settle().await;
    let (_, id) = world.pair().await;
    assert_eq!(world.jane.ticket(&id).await["Priority"], "25");
    world.csapi.set_priority(&case, Priority::P0).unwrap();
    world.settle().await;
    assert_eq!(world.jane.ticket(&id).await["Priority"], "100");
    world.jane.sets_priority(&id, Level::P2).await;
    world.settle().await;
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P2));
}

#[tokio::test]
async fn closing_travels_both_ways_and_so_does_opening_as_far_as_it_can() {
    let world = World::new().await;
    let case = world.google_case("Closing", Priority::P2);
    world.settle().await;
    let (_, id) = world.pair().await;
    world.csapi.close(&case).unwrap();
    world.settle().await;
    assert_eq!(world.jane.ticket(&id).await["Status"], "resolved");
    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    world.settle().await;
    assert_eq!(world.jane.ticket(&id).await["Status"], "open");
    world.jane.sets_status(&id, "resolved").await;
    world.settle().await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
    // CSAPI cannot reopen: the ticket stays open, and says so once.
    world.jane.sets_status(&id, "open").await;
    let before = world.company_texts(&id).await.len();
    world.settle().await;
    world.settle().await;
    assert_eq!(world.jane.ticket(&id).await["Status"], "open");
    assert_eq!(world.company_texts(&id).await.len(), before + 1);
    assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
}

#[tokio::test]
async fn without_the_flag_nothing_is_carried_and_afterwards_nothing_is_missing() {
    let world = World::new().await;
    let case = world.google_case("Paused", Priority::P2);
    world.settle().await;
    let (_, id) = world.pair().await;
    world.jane.flags(&id, false).await;
    world.google_says(&case, "from google meanwhile");
    world.jane.writes(&id, true, "text/plain", "from the company meanwhile").await;
    let before = (world.google_texts(&case).len(), world.company_texts(&id).await.len());
    world.settle().await;
    assert_eq!((world.google_texts(&case).len(), world.company_texts(&id).await.len()), before);
    world.jane.flags(&id, true).await;
    world.settle().await;
    assert_eq!(
        (world.google_texts(&case).len(), world.company_texts(&id).await.len()),
        (before.0 + 1, before.1 + 1)
    );
}

#[tokio::test]
async fn ugly_content_arrives_readable_and_nothing_of_it_is_interpreted() {
    let world = World::new().await;
    let case = world.google_case("Ugly <b>title</b> \u{1f600}", Priority::P2);
    let mut comments = Vec::new();
    for text in UGLY {
        comments.push(world.google_says(&case, text));
    }
    world.settle().await;
    world.settle().await;
    let (_, id) = world.pair().await;
    let texts = world.company_texts(&id).await;
    for (text, comment) in UGLY.iter().zip(&comments) {
        let start = format!("[Google Comment {comment} by ");
        let copy = texts.iter().find(|found| found.starts_with(&start));
        let copy = copy.unwrap_or_else(|| panic!("{text:?} has no copy"));
        if !text.contains(['\r', '\0']) {
            assert_eq!(copy.split_once('\n').unwrap().1.trim_end(), text.trim_end());
        }
    }
    let parts = world.jane.parts(&id).await;
    assert!(parts.iter().all(|part| part["ContentType"] == "text/plain"), "{parts:?}");
}

#[tokio::test]
async fn a_request_tracker_that_stops_in_mid_flow_gets_everything_once_when_it_is_back() {
    let server = tokio::task::spawn_blocking(|| Server::start(1)).await.unwrap();
    let world = World::on(&server, rules(), Arc::new(SystemClock)).await;
    let case = world.google_case("Outage", Priority::P2);
    world.settle().await;
    let (_, id) = world.pair().await;
    world.google_says(&case, "before");
    world.jane.writes(&id, true, "text/plain", "from the company before").await;
    server.stop();
    world.google_says(&case, "while it is away");
    world.csapi.set_priority(&case, Priority::P1).unwrap();
    let late = world.google_case("Born in the outage", Priority::P2);
    for _ in 0..2 {
        assert!(world.round().await > 0, "a system that is away is a failure");
    }
    server.resume();
    for _ in 0..4 {
        world.round().await;
    }
    world.settle().await;
    assert_eq!(world.jane.ticket(&id).await["Priority"], "75");
    let texts = world.company_texts(&id).await;
    for body in ["before", "while it is away"] {
        let copies = texts.iter().filter(|text| text.ends_with(&format!("]\n{body}"))).count();
        assert_eq!(copies, 1, "{texts:?}");
    }
    let at_google = world.google_texts(&case);
    assert_eq!(at_google.iter().filter(|text| text.ends_with("company before")).count(), 1, "{at_google:?}");
    assert_eq!(world.google_texts(&late).len(), 1, "it is linked");
    assert_eq!(world.tickets().await, 2);
}

#[tokio::test]
async fn two_people_who_edit_at_the_same_time_lose_nothing() {
    let world = World::new().await;
    let case = world.google_case("Busy", Priority::P3);
    world.settle().await;
    let (_, id) = world.pair().await;
    let jane = async {
        for number in 0..5 {
            world.jane.writes(&id, true, "text/plain", &format!("jane {number}")).await;
        }
        world.jane.sets_priority(&id, Level::P1).await;
    };
    let joe = async {
        for number in 0..5 {
            world.joe.writes(&id, true, "text/plain", &format!("joe {number}")).await;
        }
        world.joe.changes(&id, json!({ "Subject": "Busy, and renamed" })).await;
    };
    let connector = async {
        for number in 0..3 {
            world.google_says(&case, &format!("google {number}"));
            world.round().await;
        }
    };
    tokio::join!(jane, joe, connector);
    world.settle().await;
    world.settle().await;
    let at_google = world.google_texts(&case);
    let of = |who: &str| -> Vec<String> {
        let found = at_google.iter().filter_map(|text| text.lines().last());
        found.filter(|line| line.starts_with(who)).map(str::to_owned).collect()
    };
    for who in ["jane", "joe"] {
        let expected: Vec<String> = (0..5).map(|number| format!("{who} {number}")).collect();
        assert_eq!(of(who), expected, "{at_google:?}");
    }
    let texts = world.company_texts(&id).await;
    for number in 0..3 {
        let copies = texts.iter().filter(|text| text.ends_with(&format!("]\ngoogle {number}"))).count();
        assert_eq!(copies, 1, "{texts:?}");
    }
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P1));
}

#[tokio::test]
async fn of_two_priorities_the_more_urgent_wins() {
    for (at_google, on_ticket, both) in
        [(Priority::P3, Level::P1, (Priority::P1, "75")), (Priority::P1, Level::P3, (Priority::P1, "75"))]
    {
        let world = World::new().await;
        let (case, id) = world.linked().await;
        world.csapi.set_priority(&case, at_google).unwrap();
        world.jane.sets_priority(&id, on_ticket).await;
        world.settle().await;
        let found =
            (world.csapi.case(&case).unwrap().priority, world.jane.ticket(&id).await["Priority"].clone());
        assert_eq!(found, (Some(both.0), json!(both.1)));
    }
}

#[tokio::test]
async fn what_is_said_on_a_closed_pair_is_still_carried_and_leaves_it_closed() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    world.csapi.close(&case).unwrap();
    world.settle().await;
    let closed_at = world.mapping().await.resolved_at;
    assert!(closed_at.is_some());
    world.google_says(&case, "One more thing.");
    // A comment leaves a resolved ticket as it is; a reply of a person would open it.
    world.jane.writes(&id, false, "text/plain", "hush").await;
    world.settle().await;
    assert_eq!(world.copies_on_ticket(&id).await, ["One more thing."]);
    assert_eq!(world.jane.ticket(&id).await["Status"], "resolved");
    assert_eq!((world.mapping().await.resolved_at, world.google_texts(&case).len()), (closed_at, 2));
}

#[tokio::test]
async fn a_pair_closed_on_both_sides_at_once_is_only_noted() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    world.csapi.close(&case).unwrap();
    world.jane.sets_status(&id, "rejected").await;
    world.settle().await;
    assert!(world.mapping().await.resolved_at.is_some());
    assert_eq!(world.jane.ticket(&id).await["Status"], "rejected", "what a person chose stays");
    assert_eq!((world.google_texts(&case).len(), world.company_texts(&id).await.len()), (1, 1));
}

#[tokio::test]
async fn texts_beyond_every_limit_arrive_whole_in_numbered_parts() {
    let world = World::new().await;
    let words: String = (0..8_000).map(|number| format!("w{number:03} ")).collect();
    let description: String = (0..3_000).map(|number| format!("line {number}\n")).collect();
    let id = world.jane.creates(&world.slot.queue, "Long", &description, true).await;
    world.settle().await;
    let (case, _) = world.pair().await;
    let further: String = world
        .google_texts(&case)
        .iter()
        .filter_map(|text| text.strip_prefix("[Company Description (")?.split_once('\n'))
        .map(|(_, body)| body)
        .collect();
    let first = world.csapi.case(&case).unwrap().description;
    let first = first.split_once('\n').unwrap().1.to_owned();
    assert_eq!(format!("{first}{further}").trim_end(), description.trim_end());
    // Each emoji counts four bytes here and one character there.
    let sources = [words[..40_000].to_owned(), "\u{1f680}".repeat(20_000)];
    for text in &sources {
        world.google_says(&case, text);
        world.jane.writes(&id, true, "text/plain", text).await;
        world.settle().await;
    }
    let whole = sources.concat();
    assert!(world.copies_on_ticket(&id).await.concat() == whole);
    assert!(world.copies_at_google(&case).concat() == whole);
    let texts = world.company_texts(&id).await;
    let ours = starting(&texts, "[Google Comment ");
    assert!(ours.len() >= 11 && ours.iter().all(|text| text.len() <= 12_000), "{}", ours.len());
}

#[tokio::test]
async fn a_comment_that_quotes_a_marker_is_carried() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    let original = world.google_says(&case, "the original");
    world.settle().await;
    let quotation = format!("[Google Comment {original} by Google Support]\nthe original\nI do not agree.");
    world.jane.writes(&id, true, "text/plain", &quotation).await;
    world.settle().await;
    assert_eq!(world.copies_at_google(&case), [quotation]);
}

#[tokio::test]
async fn a_ticket_flagged_later_gets_its_case_with_all_that_was_said_before() {
    let world = World::new().await;
    let id = world.jane.creates(&world.slot.queue, "Not yet", "d", false).await;
    let said = world.jane.writes(&id, true, "text/plain", "Said before the flag.").await;
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 0);
    world.jane.flags(&id, true).await;
    world.settle().await;
    let (case, _) = world.pair().await;
    let expected = [now_syncing(&id), format!("[Company Comment {said} by Jane Roe]\nSaid before the flag.")];
    assert_eq!(world.google_texts(&case), expected);
}

#[tokio::test]
async fn a_ticket_that_names_another_tickets_google_case_is_left_alone_until_the_field_is_cleared() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    let clone = world.jane.creates(&world.slot.queue, "A clone", "", true).await;
    world.jane.changes(&clone, json!({ "CustomFields": { "custom_field_google_name": case } })).await;
    world.jane.writes(&clone, true, "text/plain", "said on the clone").await;
    world.settle().await;
    let pair = world.pair_of(&id).await.unwrap();
    assert_eq!(pair.google_case_name.unwrap().to_string(), case);
    assert!(world.pair_of(&clone).await.is_none());
    let told = async || {
        let texts = world.company_texts(&clone).await;
        texts.into_iter().filter(|text| text.contains("custom_field_google_name")).count()
    };
    assert_eq!(told().await, 1, "and says so, once");
    assert_eq!((world.csapi.cases().len(), world.copies_at_google(&case)), (1, Vec::new()));
    world.jane.changes(&clone, json!({ "CustomFields": { "custom_field_google_name": null } })).await;
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 2);
    assert!(world.pair_of(&clone).await.is_some());
}

#[tokio::test]
async fn a_case_is_one_case_by_its_number_whatever_parent_its_name_has() {
    let world = World::new().await;
    let new = NewCase {
        parent: "projects/my-project".to_owned(),
        display_name: "In a project".to_owned(),
        description: "Text.".to_owned(),
        priority: Priority::P2,
        author: Author::customer("Grace Hopper"),
    };
    let case = world.csapi.create_case(new).unwrap();
    world.settle().await;
    world.csapi.adjust(|switches| switches.names_as_asked = true);
    world.google_says(&case.name, "More.");
    let under_organization = format!("organizations/123/cases/{}", case.number);
    let outcome = world.run(sync_google(&under_organization)).await;
    assert_eq!(outcome, Outcome::Done);
    world.settle().await;
    let (name, id) = world.pair().await;
    assert_eq!((name, world.tickets().await), (case.name, 1));
    assert_eq!(world.copies_on_ticket(&id).await, ["More."]);
}

#[tokio::test]
async fn many_syncs_of_one_case_at_the_same_moment_double_nothing() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    for number in 0..5 {
        world.google_says(&case, &format!("g{number}"));
        world.jane.writes(&id, true, "text/plain", &format!("r{number}")).await;
    }
    let syncs =
        (0..8).map(|number| world.run(if number % 2 == 0 { sync_google(&case) } else { sync_company(&id) }));
    futures_util::future::join_all(syncs).await;
    world.settle().await;
    let numbers = |letter: &str| (0..5).map(|number| format!("{letter}{number}")).collect::<Vec<_>>();
    assert_eq!(world.copies_on_ticket(&id).await, numbers("g"));
    assert_eq!(world.copies_at_google(&case), numbers("r"));
}

#[tokio::test]
async fn a_ticket_moved_to_another_queue_still_syncs() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let other = server.slot();
    let world = World::new().await;
    let rights = format!(
        "for my $right (qw(SeeQueue ShowTicket ShowTicketComments CommentOnTicket ModifyTicket)) {{ \
         my $other = RT::Queue->new($system); must($other->Load('{}')); grant($right, $other) }}",
        other.queue
    );
    server.alter(&world.slot, &rights);
    let (case, id) = world.linked().await;
    world.jane.changes(&id, json!({ "Queue": other.queue })).await;
    world.google_says(&case, "from Google");
    world.jane.writes(&id, true, "text/plain", "from the company").await;
    world.settle().await;
    assert_eq!(world.copies_on_ticket(&id).await, ["from Google"]);
    assert_eq!(world.copies_at_google(&case), ["from the company"]);
    assert_eq!((world.csapi.cases().len(), world.tickets().await), (1, 0));
}

/// The connector's clock is set forward until it is behind by so many minutes. A poll that sees a clock jump fails, until the next
/// answers show what is right.
async fn clock_moves(world: &World, clock: &LateClock, behind: i64) {
    clock.is_behind(Duration::minutes(behind));
    for _ in 0..3 {
        world.round().await;
    }
}

/// So many minutes pass for the connector, ten at a time: it is late to begin with, and catches up.
async fn minutes_pass(world: &World, clock: &LateClock, minutes: i64) {
    for left in (0..minutes).rev().step_by(10) {
        clock_moves(world, clock, left).await;
    }
    clock_moves(world, clock, 0).await;
}

#[tokio::test]
async fn a_ticket_that_was_deleted_ends_the_pair_with_one_comment_and_not_at_once() {
    let clock = LateClock::by(Duration::minutes(100));
    let world = World::with(rules(), clock.clone()).await;
    let (case, id) = world.linked().await;
    // Whoever shows this one shows that the other is gone, and not all of them (R28).
    world.jane.creates(&world.slot.queue, "Another", "", false).await;
    clock_moves(&world, &clock, 90).await;
    world.settle().await;
    world.jane.sets_status(&id, "deleted").await;
    world.google_says(&case, "is anybody there?");
    assert!(world.round().await > 0, "it is missing");
    assert_eq!(starting(&world.google_texts(&case), "This case no longer syncs: ").len(), 0);
    minutes_pass(&world, &clock, 80).await;
    world.settle().await;
    let texts = world.google_texts(&case);
    assert_eq!(starting(&texts, "This case no longer syncs: ").len(), 1, "{texts:?}");
    assert_eq!(world.tickets().await, 1, "no second counterpart is made");
    assert!(world.mapping().await.resolved_at.is_some());
}

#[tokio::test]
async fn a_ticket_that_was_deleted_and_is_restored_goes_on_as_if_nothing_had_been() {
    let clock = LateClock::by(Duration::minutes(40));
    let world = World::with(rules(), clock.clone()).await;
    let (case, id) = world.linked().await;
    world.jane.creates(&world.slot.queue, "Another", "", false).await;
    clock_moves(&world, &clock, 30).await;
    world.settle().await;
    world.jane.sets_status(&id, "deleted").await;
    world.google_says(&case, "is anybody there?");
    for late in [20, 10] {
        clock_moves(&world, &clock, late).await;
        assert!(world.round().await > 0, "it is missing");
    }
    world.jane.sets_status(&id, "open").await;
    world.jane.writes(&id, true, "text/plain", "we are").await;
    clock_moves(&world, &clock, 0).await;
    world.settle().await;
    assert_eq!(world.copies_on_ticket(&id).await, ["is anybody there?"]);
    assert_eq!(world.copies_at_google(&case), ["we are"]);
    assert_eq!(starting(&world.google_texts(&case), "This case no longer syncs: ").len(), 0);
    assert_eq!((world.csapi.cases().len(), world.tickets().await), (1, 2));
}

#[tokio::test]
async fn a_google_case_that_is_gone_ends_the_pair_with_one_comment_on_the_ticket() {
    let clock = LateClock::by(Duration::minutes(100));
    let world = World::with(rules(), clock.clone()).await;
    let (case, id) = world.linked().await;
    world.google_case("Another", Priority::P2);
    clock_moves(&world, &clock, 90).await;
    world.settle().await;
    world.csapi.delete_case(&case).unwrap();
    world.jane.writes(&id, true, "text/plain", "Is anybody there?").await;
    minutes_pass(&world, &clock, 80).await;
    world.settle().await;
    let texts = world.company_texts(&id).await;
    assert_eq!(starting(&texts, "This case no longer syncs: ").len(), 1, "{texts:?}");
    assert_eq!(world.csapi.cases().len(), 1, "no second counterpart is made");
}

/// Seen with version 0.1: the polls found nothing, ended well and moved their watermark.
#[tokio::test]
async fn what_is_flagged_while_a_right_is_missing_is_mapped_when_the_right_is_back() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    for has_pair in [false, true] {
        let mut world = World::new().await;
        if has_pair {
            world.linked().await;
        }
        world.polls_within(Duration::seconds(1));
        let id = world.jane.creates(&world.slot.queue, "Flagged in the dark", "d", true).await;
        server.alter(&world.slot, "revoke('ShowTicket', $queue)");
        for _ in 0..2 {
            let poll = world.poll_company().await;
            if has_pair {
                // A ticket that has to be shown is not.
                assert_eq!(poll.outcome, Outcome::Failed, "{poll:?}");
                assert!(poll.detail.as_ref().unwrap().contains("grant ShowTicket"), "{poll:?}");
            }
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        }
        server.alter(&world.slot, "grant('ShowTicket', $queue)");
        world.settle().await;
        assert!(world.pair_of(&id).await.is_some(), "a pair besides: {has_pair}");
        assert_eq!(world.csapi.cases().len(), if has_pair { 2 } else { 1 });
    }
}

#[tokio::test]
async fn what_is_flagged_while_the_fields_may_not_be_seen_is_mapped_when_they_may() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let mut world = World::new().await;
    let (case, linked) = world.linked().await;
    world.polls_within(Duration::seconds(1));
    server.alter(&world.slot, "revoke('SeeCustomField', $flag)");
    let id = world.jane.creates(&world.slot.queue, "Flagged in the dark", "d", true).await;
    world.google_says(&case, "not paused");
    for _ in 0..2 {
        assert!(world.round().await > 0, "neither believed nor taken for a ticket without the flag");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    }
    server.alter(&world.slot, "grant('SeeCustomField', $flag)");
    world.round().await;
    world.settle().await;
    assert_eq!(world.copies_on_ticket(&linked).await, ["not paused"]);
    assert!(world.pair_of(&id).await.is_some());
}

#[tokio::test]
async fn a_ticket_that_is_made_in_the_dark_is_made_once() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let world = World::new().await;
    server.alter(&world.slot, "revoke('ShowTicket', $queue)");
    let case = world.google_case("Made in the dark", Priority::P1);
    let said = world.google_says(&case, "Hello?");
    for _ in 0..3 {
        world.round().await;
    }
    server.alter(&world.slot, "grant('ShowTicket', $queue)");
    world.round().await;
    world.settle().await;
    assert_eq!((world.tickets().await, world.csapi.cases().len()), (1, 1));
    let (_, id) = world.pair().await;
    let texts = world.company_texts(&id).await;
    assert_eq!(texts.last().unwrap(), &format!("[Google Comment {said} by Google Support]\nHello?"));
}

#[tokio::test]
async fn a_ticket_that_was_merged_hands_its_pair_to_the_one_that_it_was_merged_into() {
    for flagged in [true, false] {
        let world = World::new().await;
        let (case, id) = world.linked().await;
        world.google_says(&case, "from Google before");
        world.jane.writes(&id, true, "text/plain", "from the company before").await;
        world.settle().await;
        let into = world.jane.creates(&world.slot.queue, "The same again", "d", false).await;
        world.jane.writes(&into, true, "text/plain", "on the other one").await;
        if flagged {
            // Flagged and merged between two polls.
            world.jane.flags(&into, true).await;
        }
        world.jane.changes(&id, json!({ "MergeInto": into })).await;
        world.round().await;
        world.settle().await;
        assert_eq!(world.pair().await, (case.clone(), into.clone()), "flagged: {flagged}");
        if !flagged {
            assert_eq!(world.copies_at_google(&case), ["from the company before"]);
            world.jane.flags(&into, true).await;
        }
        world.jane.writes(&into, true, "text/plain", "and on").await;
        world.google_says(&case, "from Google after");
        world.settle().await;
        world.settle().await;
        assert_eq!(world.csapi.cases().len(), 1, "no second Google case");
        assert_eq!(world.tickets().await, 1);
        let mut at_google = world.copies_at_google(&case);
        at_google.sort();
        assert_eq!(at_google, ["and on", "from the company before", "on the other one"]);
        assert_eq!(world.copies_on_ticket(&into).await, ["from Google before", "from Google after"]);
    }
}

#[tokio::test]
async fn a_ticket_that_was_merged_into_one_with_a_pair_ends_its_own_with_one_comment() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    let into = world.jane.creates(&world.slot.queue, "The same again", "d", true).await;
    world.settle().await;
    let mappings = world.mappings().await;
    assert_eq!(mappings.len(), 2);
    let other = mappings
        .iter()
        .find(|mapping| mapping.company_case_id.as_ref().is_some_and(|company| company.as_str() == into))
        .and_then(|mapping| mapping.google_case_name.as_ref().map(ToString::to_string))
        .unwrap();
    world.jane.changes(&id, json!({ "MergeInto": into })).await;
    world.round().await;
    world.settle().await;
    let before = (world.google_texts(&case), world.google_texts(&other).len());
    assert!(
        before.0.iter().any(|text| text.contains(&format!("was merged into Company Case {into}"))),
        "{before:?}"
    );
    world.settle().await;
    assert_eq!((world.google_texts(&case), world.google_texts(&other).len()), before);
    world.jane.writes(&into, true, "text/plain", "goes on").await;
    world.settle().await;
    assert_eq!(world.copies_at_google(&other), ["goes on"]);
    assert!(world.copies_at_google(&case).is_empty());
    assert_eq!(world.csapi.cases().len(), 2);
}

#[tokio::test]
async fn a_ticket_that_was_rejected_leaves_its_google_case_open_and_says_so_once() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    world.jane.sets_status(&id, "rejected").await;
    world.settle().await;
    world.settle().await;
    assert_ne!(world.csapi.case(&case).unwrap().state, State::Closed);
    let texts = world.google_texts(&case);
    assert_eq!(texts.iter().filter(|text| text.contains("cancelled")).count(), 1, "{texts:?}");
    world.jane.sets_status(&id, "open").await;
    world.settle().await;
    world.jane.sets_status(&id, "resolved").await;
    world.settle().await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
}

/// A new ticket has the priority 0, which nobody chose.
#[tokio::test]
async fn the_priority_that_a_ticket_was_born_with_lowers_nothing() {
    let world = World::new().await;
    let case = world.google_case("On fire", Priority::P0);
    let id = world.jane.creates(&world.slot.queue, "On fire here as well", "d", true).await;
    let name = json!({ "CustomFields": { "custom_field_google_name": case }, "Priority": 0 });
    world.jane.changes(&id, name).await;
    world.settle().await;
    world.settle().await;
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P0));
    // Who names a case is not its counterpart for that (R38).
    let pair = world.mappings().await.into_iter().find(casebridge::entities::CaseMapping::is_linked).unwrap();
    let ticket = pair.company_case_id.unwrap().to_string();
    assert_ne!(ticket, id);
    assert_eq!(world.jane.ticket(&ticket).await["Priority"], "100");
}

#[tokio::test]
async fn a_ticket_that_names_a_google_case_before_there_is_one_gets_none_of_its_comments() {
    let world = World::new().await;
    let first = world.google_case("first", Priority::P2);
    let (parent, number) = first.rsplit_once('/').unwrap();
    let guessed = format!("{parent}/{}", number.parse::<u64>().unwrap() + 1);
    let id = world.jane.creates(&world.slot.queue, "Curious", "d", true).await;
    world.jane.changes(&id, json!({ "CustomFields": { "custom_field_google_name": guessed } })).await;
    world.settle().await;
    let case = world.google_case("Confidential", Priority::P2);
    assert_eq!(case, guessed);
    world.google_says(&case, "for its own ticket only");
    world.settle().await;
    world.settle().await;
    assert_eq!(world.copies_on_ticket(&id).await, Vec::<String>::new());
    let mappings = world.mappings().await;
    let of = |case: &str| {
        let mapping = mappings
            .iter()
            .find(|mapping| mapping.google_case_name.as_ref().is_some_and(|name| name.to_string() == case));
        mapping.and_then(|mapping| mapping.company_case_id.as_ref()).unwrap().to_string()
    };
    let ticket = of(&case);
    assert_ne!(ticket, id);
    assert_eq!(world.copies_on_ticket(&ticket).await, ["for its own ticket only"]);
    let conflict = mappings.iter().find_map(|mapping| mapping.state.conflict.as_ref());
    assert!(conflict.unwrap().reason.contains(&id), "{conflict:?}");
}

#[tokio::test]
async fn a_person_may_call_a_ticket_by_its_number_or_its_address() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    for reference in ["{id}", "#{id}", "{home}/Ticket/Display.html?id={id}"] {
        let world = World::new().await;
        let id = world.jane.creates(&world.slot.queue, "Called", "d", true).await;
        let reference = reference.replace("{id}", &id).replace("{home}", &server.home());
        assert_eq!(world.run(sync_company(&reference)).await, Outcome::Done, "{reference}");
        let (case, company) = world.pair().await;
        assert_eq!(company, id, "{reference}");
        world.jane.writes(&id, true, "text/plain", "hello").await;
        world.settle().await;
        assert_eq!(world.copies_at_google(&case), ["hello"], "{reference}");
        assert_eq!((world.csapi.cases().len(), world.mappings().await.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_request_tracker_whose_clock_is_wrong_hides_nothing() {
    let server = tokio::task::spawn_blocking(|| Server::start(2)).await.unwrap();
    for time in ["-15m", "+40m"] {
        server.stop();
        server.resume_at(time);
        let world = World::on(&server, rules(), Arc::new(SystemClock)).await;
        let (case, id) = world.linked().await;
        let flagged = world.jane.creates(&world.slot.queue, "Flagged", "d", true).await;
        world.jane.writes(&id, true, "text/plain", "from the company").await;
        world.google_says(&case, "from Google");
        world.settle().await;
        world.settle().await;
        assert_eq!(world.copies_at_google(&case), ["from the company"], "{time}");
        assert_eq!(world.copies_on_ticket(&id).await, ["from Google"], "{time}");
        assert!(world.pair_of(&flagged).await.is_some(), "{time}");
        world.jane.sets_priority(&id, Level::P0).await;
        world.settle().await;
        assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P0), "{time}");
        assert_eq!((world.csapi.cases().len(), world.tickets().await), (2, 2), "{time}");
    }
}

#[tokio::test]
async fn after_cleanup_an_update_of_the_old_case_doubles_nothing() {
    let clock = LateClock::by(Duration::days(40));
    let world = World::with(rules(), clock.clone()).await;
    let (case, id) = world.linked().await;
    world.google_says(&case, "before");
    world.csapi.close(&case).unwrap();
    world.settle().await;
    clock.catch_up();
    // As cleanup does, which itself would see that Request Tracker, by its own clock, was written to a moment ago.
    let mapping = world.mappings().await.remove(0);
    casebridge::store::Store::delete(world.store.as_ref(), &mapping).await.unwrap();
    world.google_says(&case, "long after");
    // A person may ask for it: then the pair is found again, and only what is new is carried.
    let outcome = world.run(sync_google(&case)).await;
    assert_eq!(outcome, Outcome::Done);
    world.settle().await;
    assert_eq!(world.copies_on_ticket(&id).await, ["before", "long after"]);
    assert_eq!(world.tickets().await, 1);
    assert_eq!(starting(&world.google_texts(&case), "This case is now syncing").len(), 1);
}

#[tokio::test]
async fn each_of_the_things_can_be_switched_off() {
    for off in ["creation", "comments", "attachments", "priority", "status", "title"] {
        let switches = Switches {
            creation: off != "creation",
            comments: off != "comments",
            attachments: off != "attachments",
            priority: off != "priority",
            status: off != "status",
            title: off != "title",
        };
        let world = World::with(Rules { switches, ..rules() }, Arc::new(SystemClock)).await;
        let case = world.google_case("Disk is slow", Priority::P2);
        world.settle().await;
        if off == "creation" {
            assert_eq!((world.tickets().await, world.mappings().await.len()), (0, 0));
            continue;
        }
        let (_, id) = world.pair().await;
        world.google_says(&case, "a comment");
        world.csapi.attach(&case, Author::customer("Grace Hopper"), "a.txt", "text/plain", b"a").unwrap();
        world.csapi.set_priority(&case, Priority::P0).unwrap();
        world.csapi.set_display_name(&case, "Disk is full").unwrap();
        world.csapi.close(&case).unwrap();
        world.settle().await;
        let ticket = world.jane.ticket(&id).await;
        let carried = (
            world.copies_on_ticket(&id).await.len() == 1,
            world.company_files(&id).await.len() == 1,
            ticket["Priority"] == "100",
            ticket["Status"] == "resolved",
            ticket["Subject"] == "Disk is full",
        );
        let expected =
            (off != "comments", off != "attachments", off != "priority", off != "status", off != "title");
        assert_eq!(carried, expected, "{off}");
    }
}

#[tokio::test]
async fn comments_are_private_unless_the_configuration_says_otherwise() {
    for (carry, arrive, at_google, kind) in [
        (false, Visibility::Internal, vec!["to all"], "Comment"),
        (true, Visibility::Internal, vec!["among us", "to all"], "Comment"),
        (false, Visibility::Public, vec!["to all"], "Correspond"),
    ] {
        let comments_to_google = if carry { CommentsToGoogle::All } else { CommentsToGoogle::Public };
        let rules = Rules { comments_to_google, comment_visibility: arrive, ..rules() };
        let world = World::with(rules, Arc::new(SystemClock)).await;
        let (case, id) = world.linked().await;
        world.jane.writes(&id, false, "text/plain", "among us").await;
        world.jane.writes(&id, true, "text/plain", "to all").await;
        world.jane.attaches(&id, false, "secret.bin", b"secret").await;
        world.google_says(&case, "from Google");
        world.csapi.attach(&case, Author::google("Ada Lovelace"), "g.bin", "application/x-g", b"g").unwrap();
        world.settle().await;
        world.settle().await;
        assert_eq!(world.copies_at_google(&case), at_google, "{carry} {arrive:?}");
        let names: Vec<String> =
            world.csapi.attachments(&case).unwrap().into_iter().map(|file| file.filename).collect();
        assert_eq!(names.contains(&"secret.bin".to_owned()), carry, "{names:?}");
        assert_eq!(world.copies_on_ticket(&id).await, ["from Google"]);
        let history = world.jane.get(&format!("/ticket/{id}/history?fields=Type,Creator&per_page=100")).await;
        let ours = history["items"].as_array().unwrap().iter().filter(|found| {
            found["Creator"]["id"] == world.slot.user
                && (found["Type"] == "Comment" || found["Type"] == "Correspond")
        });
        let kinds: Vec<&str> = ours.map(|found| found["Type"].as_str().unwrap()).collect();
        assert_eq!(kinds, [kind, kind], "a comment and a file");
    }
}

#[tokio::test]
async fn what_hurts_is_shown_as_it_was_typed_in_a_browser() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let world = World::new().await;
    let script = "<script>alert('<hurt>')</script> &lt;b&gt; <img src=x onerror=hurt()>";
    let case = world.google_case("<script>hurt()</script>", Priority::P2);
    world.google_says(&case, script);
    let author = || Author::customer("Grace <b>Hopper</b>");
    world.csapi.add_comment(&case, author(), "by somebody").unwrap();
    world
        .csapi
        .attach(&case, author(), "<img src=x onerror=hurt()>.html", "text/html", script.as_bytes())
        .unwrap();
    world.settle().await;
    world.settle().await;
    let (_, id) = world.pair().await;
    assert_eq!(world.company_files(&id).await.len(), 1);
    let page = server.page(&id).await;
    assert!(page.contains("Ticket/History.html") || page.contains("history"), "it is the ticket's page");
    for harmful in ["<script>hurt", "<script>alert('<hurt", "<img src=x", "<b>Hopper"] {
        assert!(!page.contains(harmful), "{harmful}");
    }
    for readable in [
        "&lt;script&gt;alert&#40;",
        "&#38;lt;b&#38;gt;",
        "&lt;b&gt;Hopper",
        "&lt;img src=x onerror=hurt&#40;&#41;&gt;.html",
    ] {
        assert!(page.contains(readable), "{readable} is not in\n{page}");
    }
}

#[tokio::test]
async fn what_people_write_in_the_editor_comes_to_google_readable() {
    let world = World::new().await;
    let (case, id) = world.linked().await;
    let html = "<p>It fails&nbsp;<strong>again</strong>:</p>\n<pre>\nERROR   1\n  at main()\n</pre>\n\
                <ul>\n\t<li>first</li>\n\t<li>see <a href=\"https://example.com/a?b=1&amp;c=2\">the log</a></li>\n</ul>\n\
                <blockquote><p>quoted</p></blockquote><p>&Uuml;ber 5 &gt; 3 &amp;&amp; <img alt=\"screen\" src=\"cid:1\" /></p>";
    world.jane.writes(&id, true, "text/html", html).await;
    world.settle().await;
    let expected = "It fails again:\n\nERROR   1\n  at main()\n\n- first\n- see the log (https://example.com/a?b=1&c=2)\n\n\
                    > quoted\n\n\u{dc}ber 5 > 3 && [screen]";
    assert_eq!(world.copies_at_google(&case), [expected]);
}

#[tokio::test]
async fn a_file_that_request_tracker_cuts_or_drops_becomes_one_comment_and_its_rest_goes_nowhere() {
    for how in ["TruncateLongAttachments", "DropLongAttachments"] {
        let lines = format!("Set($MaxAttachmentSize, 1000); Set(${how}, 1);");
        let server = tokio::task::spawn_blocking(move || Server::with(1, &lines)).await.unwrap();
        // Public: what is left of an upload would go back to Google.
        let rules = Rules { comment_visibility: Visibility::Public, ..rules() };
        let world = World::on(&server, rules, Arc::new(SystemClock)).await;
        let (case, id) = world.linked().await;
        let author = || Author::customer("Grace Hopper");
        world.csapi.attach(&case, author(), "core.bin", "application/octet-stream", &[7; 1001]).unwrap();
        world.csapi.attach(&case, author(), "small.bin", "application/octet-stream", &[7; 1000]).unwrap();
        // A person's: what Request Tracker has of it is all that there is.
        world.jane.attaches(&id, true, "theirs.bin", &[8; 2000]).await;
        for _ in 0..2 {
            world.settle().await;
            let texts = world.company_texts(&id).await;
            let about = starting(&texts, "[Google Attachment ");
            assert_eq!(about.len(), 1, "{how}: {texts:?}");
            for part in ["\"core.bin\"", "1001 bytes", "Grace Hopper", &case] {
                assert!(about[0].contains(part), "{how}: {part}: {about:?}");
            }
            let mut at_google: Vec<_> = world
                .csapi
                .attachments(&case)
                .unwrap()
                .into_iter()
                .map(|file| (world.csapi.attachment_bytes(&case, &file.id).unwrap().len(), file.filename))
                .collect();
            at_google.sort();
            let theirs =
                if how.starts_with("Truncate") { (1000, "theirs.bin") } else { (24, "theirs.bin.txt") };
            let mut expected =
                [(1001, "core.bin"), (1000, "small.bin"), theirs].map(|(size, name)| (size, name.to_owned()));
            expected.sort();
            assert_eq!(at_google, expected, "{how}");
        }
    }
}
