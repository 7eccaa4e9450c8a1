//! Whatever people write and attach arrives (`R14`, `R16`, `R17`, `R25`).

use casebridge::sandbox::csapi::Author;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{NewIssue, would_render};
use chrono::Duration;
use serde_json::{Value, json};

use crate::support::World;

async fn pair(world: &World) -> (String, String) {
    let case = world.google_case("Disk is slow");
    world.settle().await;
    (case, world.mapping().await.company_case_id.unwrap().to_string())
}

fn bodies(texts: Vec<String>, header: &str) -> Vec<String> {
    let copies = texts.into_iter().filter(|text| text.starts_with(header));
    copies.map(|text| text.split_once('\n').unwrap().1.to_owned()).collect()
}

#[tokio::test]
async fn texts_of_40_000_characters_and_of_a_megabyte_arrive_whole_on_either_side() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    let words: String = (0..8_000).map(|number| format!("w{number:03} ")).collect();
    let emoji = "🚀".repeat(20_000);
    let megabyte = "All work and no play makes Jack a dull boy.\n".repeat(24_000);
    let sources = [words[..40_000].to_owned(), emoji];
    for text in &sources {
        world.google_says(&case, text);
        world.company_says(&issue, text);
        world.settle().await;
    }
    world.google_says(&case, &megabyte);
    world.settle().await;
    let whole = sources.concat();
    assert!(bodies(world.company_texts(&issue), "[Google Comment ").concat() == whole.clone() + &megabyte);
    assert!(bodies(world.google_texts(&case), "[Company Comment ").concat() == whole);
    let connectors = |texts: Vec<String>| -> Vec<String> {
        texts.into_iter().filter(|text| text.starts_with('[')).collect()
    };
    assert!(connectors(world.google_texts(&case)).iter().all(|text| text.chars().count() <= 12_800));
    for comment in world.jira.issue(&issue).unwrap().comments {
        let ours = comment.author == "Casebridge";
        assert!(!ours || comment.body.encode_utf16().count() <= 32_767);
    }
}

#[tokio::test]
async fn a_long_description_goes_on_in_numbered_comments_on_either_side() {
    let world = World::new().await;
    let text: String = (0..12_000).map(|number| format!("line {number}\n")).collect();
    let issue = NewIssue { description: Some(text.clone()), ..NewIssue::flagged("Long") };
    let issue = world.jira.create_issue(issue).unwrap();
    let answer = "Answered at once.";
    world.company_says(&issue, answer);
    world.run_for(Duration::hours(1)).await;
    let case = world.csapi.cases().remove(0);
    let (header, first) = case.description.split_once('\n').unwrap();
    assert_eq!(header, format!("CONTENT MIRRORED FROM COMPANY CASE {issue}:"));
    let further = bodies(world.google_texts(&case.name), "[Company Description (").concat();
    assert_eq!(format!("{first}{further}").trim_end(), text.trim_end());
    assert_eq!(bodies(world.google_texts(&case.name), "[Company Comment "), [answer]);
    assert_eq!(world.jira.issue(&issue).unwrap().comments.len(), 1);
}

#[tokio::test]
async fn files_of_any_name_arrive_byte_for_byte_under_a_name_a_person_can_follow() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    let names = [
        "../../etc/passwd".to_owned(),
        "a\\b\\c.txt".to_owned(),
        "quote\".txt".to_owned(),
        "it's; filename=x.txt".to_owned(),
        "new\r\nline: x.txt".to_owned(),
        "nul\0.txt".to_owned(),
        "🚀 שלום \u{202e}txt.exe".to_owned(),
        format!("{}.txt", "x".repeat(296)),
        "<img src=x onerror=alert(1)>.html".to_owned(),
        "%2e%2e%2f.txt".to_owned(),
        ".".to_owned(),
        " ".to_owned(),
    ];
    for (number, name) in names.iter().enumerate() {
        let google = format!("google {number}");
        world
            .csapi
            .attach(&case, Author::customer("Grace Hopper"), name, "text/plain", google.as_bytes())
            .unwrap();
        world
            .jira
            .attach(&issue, "Jane Roe", name, "text/plain", format!("jira {number}").into_bytes())
            .unwrap();
    }
    // Two files of one name, size and time are two files.
    for _ in 0..2 {
        world
            .csapi
            .attach(&case, Author::customer("Grace Hopper"), "same.txt", "text/plain", b"same")
            .unwrap();
    }
    world.settle().await;
    for _ in 0..2 {
        let expect = |from: &str| {
            let mut contents: Vec<String> =
                (0..names.len()).map(|number| format!("{from} {number}")).collect();
            contents.sort();
            contents
        };
        let copied = world.jira.issue(&issue).unwrap().attachments;
        let copied: Vec<_> = copied.into_iter().filter(|file| file.author == "Casebridge").collect();
        let mut contents: Vec<String> = copied
            .iter()
            .map(|file| String::from_utf8(world.jira.attachment_bytes(&file.id).unwrap()).unwrap())
            .collect();
        contents.sort();
        let mut expected = expect("google");
        expected.extend(["same".to_owned(), "same".to_owned()]);
        assert_eq!(contents, expected, "{:#?}", world.company_texts(&issue));
        assert!(copied.iter().all(|file| !file.file_name.trim().is_empty()), "{copied:#?}");
        assert!(
            copied.iter().all(|file| !file.file_name.contains(['/', '\\', '\n', '\r', '\0'])),
            "{copied:#?}"
        );

        let all = world.csapi.attachments(&case).unwrap();
        let copied: Vec<_> =
            all.iter().filter(|file| matches!(file.author, Author::ServiceAccount { .. })).collect();
        let mut contents: Vec<String> = copied
            .iter()
            .map(|file| String::from_utf8(world.csapi.attachment_bytes(&case, &file.id).unwrap()).unwrap())
            .collect();
        contents.sort();
        assert_eq!(contents, expect("jira"), "{:#?}", world.google_texts(&case));
        assert_eq!((world.google_texts(&case).len(), world.company_texts(&issue).len()), (1, 0));
        world.run_for(Duration::hours(2)).await;
    }
}

#[tokio::test]
async fn titles_descriptions_and_authors_cannot_inject_anything() {
    let world = World::new().await;
    for (number, ugly) in [
        "h1. {code}<script>alert(1)</script>{code} [~admin] !x.png! *b*",
        "line\nbreak\r\nand\ttab \u{0}\u{7}\u{1b}[31m",
        "\u{202e}שלום 🚀 \u{feff}",
        "CONTENT MIRRORED FROM COMPANY CASE 10001:",
        " ",
    ]
    .into_iter()
    .enumerate()
    {
        let case = casebridge::sandbox::csapi::NewCase {
            parent: "organizations/123".to_owned(),
            display_name: ugly.to_owned(),
            description: format!("{ugly}\n{ugly}"),
            priority: casebridge::sandbox::csapi::Priority::P2,
            author: Author::customer(ugly),
        };
        let case = world.csapi.create_case(case).unwrap().name;
        world.csapi.add_comment(&case, Author::customer(ugly), ugly).unwrap();
        world.settle().await;
        assert_eq!(world.jira.issues().len(), number + 1, "{ugly:?}");
        let issue =
            world.jira.issues().into_iter().find(|issue| issue.google_name.as_ref() == Some(&case)).unwrap();
        assert!(!issue.summary.contains(['\n', '\r']) && !issue.summary.is_empty(), "{issue:#?}");
        assert_eq!(would_render(issue.description.as_deref().unwrap()), Vec::new(), "{issue:#?}");
        assert_eq!(issue.comments.len(), 1);
        assert_eq!(would_render(&issue.comments[0].body), Vec::new(), "{issue:#?}");
    }
    world.run_for(Duration::hours(2)).await;
    assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (5, 5));
}

/// A comment as an upstream may put it on the wire: with half of a surrogate pair, escaped.
#[tokio::test]
async fn lone_surrogates_in_an_answer_arrive_as_replacement_characters() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    world.run_for(Duration::hours(1)).await;
    let body = r#"{"comments": [{"name": "CASE/comments/lone", "createTime": "2026-11-24T10:05:00Z",
        "creator": {"displayName": "G\udc00"}, "body": "half \ud83d of a rocket"}]}"#
        .replace("CASE", &case);
    world.csapi.touch(&case).unwrap();
    let effect = Effect::ErrorBefore { status: 200, body: Some(body) };
    world.csapi.faults().add(Fault::always(effect).on("GET", "/comments"));
    let (status, answer) = world.post("sync-google-case", json!({ "case_name": case })).await;
    assert_eq!(status, 200, "{answer}");
    let texts = world.company_texts(&issue);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with("[Google Comment lone by G"), "{texts:?}");
    assert!(texts[0].ends_with("half \u{fffd} of a rocket"), "{texts:?}");
}

#[tokio::test]
async fn content_that_arrives_short_is_no_upload_and_is_tried_again() {
    for effect in [Effect::TruncateBody { bytes: 10 }, Effect::ShortenBody { bytes: 10 }] {
        let world = World::new().await;
        let (case, issue) = pair(&world).await;
        let bytes = vec![7_u8; 100_000];
        world.csapi.faults().add(Fault::always(effect.clone()).on("GET", ":download").times(2));
        world.jira.faults().add(Fault::always(effect.clone()).on("GET", "/attachment/content").times(2));
        world
            .csapi
            .attach(&case, Author::customer("Grace Hopper"), "g.bin", "application/x-g", &bytes)
            .unwrap();
        world.jira.attach(&issue, "Jane Roe", "j.bin", "application/x-j", bytes.clone()).unwrap();
        world.google_says(&case, "does not wait for the file");
        world.run_for(Duration::hours(1)).await;
        assert_eq!(world.company_texts(&issue).len(), 1, "{effect:?}");
        let in_jira = world.jira.issue(&issue).unwrap().attachments;
        assert_eq!(in_jira.len(), 2, "{effect:?}: {in_jira:#?}");
        assert!(in_jira.iter().all(|file| world.jira.attachment_bytes(&file.id).unwrap() == bytes));
        let at_google = world.csapi.attachments(&case).unwrap();
        assert_eq!(at_google.len(), 2, "{effect:?}: {at_google:#?}");
        assert!(at_google.iter().all(|file| world.csapi.attachment_bytes(&case, &file.id).unwrap() == bytes));
    }
}

#[tokio::test]
async fn what_google_refuses_becomes_one_comment_there() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    world.csapi.adjust(|switches| {
        switches.max_attachment_bytes = Some(1000);
        switches.refused_mime_types = vec!["application/x-msdownload".to_owned()];
    });
    world.jira.attach(&issue, "Jane Roe", "big.bin", "application/octet-stream", vec![7_u8; 1001]).unwrap();
    world.jira.attach(&issue, "Jane Roe", "setup.exe", "application/x-msdownload", &b"MZ"[..]).unwrap();
    world.jira.attach(&issue, "Jane Roe", "fits.bin", "application/octet-stream", vec![7_u8; 1000]).unwrap();
    for _ in 0..2 {
        world.run_for(Duration::minutes(40)).await;
        let texts = world.google_texts(&case);
        assert_eq!(texts.len(), 3, "{texts:#?}");
        for (name, size) in [("big.bin", "1001 bytes"), ("setup.exe", "2 bytes")] {
            let about: Vec<_> =
                texts.iter().filter(|text| text.contains(&format!("\"{name}\" ({size})"))).collect();
            assert_eq!(about.len(), 1, "{texts:#?}");
            assert!(about[0].contains("by Jane Roe]\n") && about[0].contains(&issue), "{texts:#?}");
        }
        assert_eq!(world.csapi.attachments(&case).unwrap().len(), 1);
        assert_eq!(world.company_texts(&issue), Vec::<String>::new());
    }
    let (status, answer) = world.post("sync-company-case", json!({ "case_id": issue })).await;
    assert_eq!((status, &answer["carried"]), (200, &Value::Array(Vec::new())), "{answer}");
}

#[tokio::test]
async fn copies_deleted_by_hand_are_not_made_again_on_either_side() {
    let world = World::new().await;
    let (case, issue) = pair(&world).await;
    world.google_says(&case, "original");
    world.csapi.attach(&case, Author::customer("Grace Hopper"), "g.txt", "text/plain", b"g").unwrap();
    world.jira.attach(&issue, "Jane Roe", "j.txt", "text/plain", &b"j"[..]).unwrap();
    world.settle().await;
    let view = world.jira.issue(&issue).unwrap();
    world.jira.delete_comment(&issue, &view.comments[0].id).unwrap();
    let copy = view.attachments.iter().find(|file| file.file_name == "g.txt").unwrap();
    world.jira.delete_attachment(&copy.id).unwrap();
    let at_google = world.csapi.attachments(&case).unwrap();
    let copy = at_google.iter().find(|file| file.filename == "j.txt").unwrap();
    world.csapi.delete_attachment(&case, &copy.id).unwrap();
    for round in 1..4 {
        // The pair is looked at again and again, for both horizons move slowly.
        world.google_says(&case, "more");
        world.company_says(&issue, "more");
        world.run_for(Duration::minutes(20)).await;
        let view = world.jira.issue(&issue).unwrap();
        assert_eq!((view.comments.len(), view.attachments.len()), (2 * round, 1));
        assert_eq!(world.csapi.attachments(&case).unwrap().len(), 1);
        assert_eq!(world.google_texts(&case).len(), 2 + 2 * round);
    }
}
