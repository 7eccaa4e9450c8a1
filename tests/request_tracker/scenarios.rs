//! The main job over the real Request Tracker.

use casebridge::cases::Visibility;
use casebridge::sandbox::csapi::{Author, Priority, State};
use serde_json::json;

use crate::harness::ugly::UGLY;
use crate::server::Server;
use crate::world::World;

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
    let expected =
        ["We are looking into it.".to_owned(), format!("This case is now syncing with Company Case: {id}")];
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
    assert_eq!(google.description, format!("CONTENT MIRRORED FROM COMPANY CASE {id}:\nSince noon."));
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
    world.jane.attaches(&id, "Bild \u{1f600}.bin", &bytes).await;
    world.settle().await;
    world.settle().await;
    let mut files = world.company_files(&id).await;
    files.sort();
    let expected = [
        ("Bild \u{1f600}.bin".to_owned(), bytes.clone()),
        ("alt.txt".to_owned(), latin),
        ("dump.bin".to_owned(), bytes.clone()),
    ];
    assert!(files == expected, "{:?}", files.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let at_google = world.csapi.attachments(&case).unwrap();
    let names: Vec<&str> = at_google.iter().map(|file| file.filename.as_str()).collect();
    // It hung on a comment, which is internal: it stays.
    assert_eq!(names, ["dump.bin", "alt.txt"]);
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
    world.jane.sets_priority(&id, casebridge::entities::Priority::P2).await;
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
    let world = World::on(&server, Visibility::Internal).await;
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
        world.jane.sets_priority(&id, casebridge::entities::Priority::P1).await;
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
