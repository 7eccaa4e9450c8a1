//! Whatever people write and attach arrives (`R14`, `R16`, `R17`, `R25`).

use std::time::Duration as StdDuration;

use casebridge::cases::Visibility;
use casebridge::sandbox::csapi::Author;
use casebridge::sandbox::faults::{Effect, Fault};
use chrono::Duration;
use serde_json::{Value, json};

use crate::harness::crm::{Crm, Setup};
use crate::harness::desk::{Call, NewCompanyCase};
use crate::harness::ugly::{UGLY, holdable};
use crate::harness::{Options, World};

fn bodies(texts: Vec<String>, header: &str) -> Vec<String> {
    let copies = texts.into_iter().filter(|text| text.starts_with(header));
    copies.map(|text| text.split_once('\n').unwrap().1.to_owned()).collect()
}

pub async fn texts_of_40_000_characters_and_of_a_megabyte_arrive_whole_on_either_side(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let words: String = (0..8_000).map(|number| format!("w{number:03} ")).collect::<Vec<_>>().concat();
    let emoji = "🚀".repeat(20_000);
    let megabyte = "All work and no play makes Jack a dull boy.\n".repeat(24_000);
    let sources = [words[..40_000].to_owned(), emoji];
    for text in &sources {
        world.google_says(&case, text);
        world.company_says(&company, text).await;
        world.settle().await;
    }
    world.google_says(&case, &megabyte);
    world.settle().await;
    let whole = sources.concat();
    // Lengths first: a megabyte in a message helps nobody.
    let (arrived, expected) =
        (bodies(world.company_texts(&company).await, "[Google Comment "), whole.clone() + &megabyte);
    let lengths: Vec<_> = arrived.iter().map(String::len).collect();
    assert_eq!(lengths.iter().sum::<usize>(), expected.len(), "{lengths:?}");
    assert!(arrived.concat() == expected);
    assert!(bodies(world.google_texts(&case), "[Company Comment ").concat() == whole);
    let connectors = |texts: Vec<String>| -> Vec<String> {
        texts.into_iter().filter(|text| text.starts_with('[')).collect()
    };
    assert!(connectors(world.google_texts(&case)).iter().all(|text| text.chars().count() <= 12_800));
    let limit = world.description.capabilities.comment_limit;
    let view = world.company(&company).await;
    assert!(view.comments.iter().all(|comment| !comment.by_connector || limit.holds(&comment.text)));
}

pub async fn a_long_description_goes_on_in_numbered_comments_on_either_side(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let text: String = (0..12_000).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
    let new = NewCompanyCase { description: text.clone(), ..NewCompanyCase::flagged("Long") };
    let company = world.desk.opens(new).await;
    // As much of it as the CRM takes from a person.
    let text = world.company(&company).await.description;
    let limit = world.description.capabilities.description_limit;
    assert!(!limit.holds(&(text.clone() + &text)), "the longest there is, or nearly");
    let answer = "Answered at once.";
    world.company_says(&company, answer).await;
    world.go_on(Duration::hours(1)).await;
    let case = world.csapi.cases().remove(0);
    let (header, first) = case.description.split_once('\n').unwrap();
    assert_eq!(header, format!("CONTENT MIRRORED FROM COMPANY CASE {}:", world.named(&company).await));
    let further = bodies(world.google_texts(&case.name), "[Company Description (").concat();
    assert_eq!(format!("{first}{further}").trim_end(), text.trim_end());
    assert_eq!(bodies(world.google_texts(&case.name), "[Company Comment "), [answer]);
    assert_eq!(world.company(&company).await.comments.len(), 1);
}

pub async fn files_of_any_name_arrive_byte_for_byte_under_a_name_a_person_can_follow(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
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
        world.google_attaches(&case, name, google.as_bytes());
        if (world.description.takes_file_name)(name) {
            world.company_attaches(&company, name, format!("company {number}").as_bytes()).await;
        }
    }
    // Two files of one name, size and time are two files.
    for _ in 0..2 {
        world.google_attaches(&case, "same.txt", b"same");
    }
    world.settle().await;
    for _ in 0..2 {
        let expect = |from: &str| {
            let mut contents: Vec<String> =
                (0..names.len()).map(|number| format!("{from} {number}")).collect();
            contents.sort();
            contents
        };
        let view = world.company(&company).await;
        let copied = view.copied_files();
        let mut contents = Vec::new();
        for file in &copied {
            contents.push(String::from_utf8(world.desk.content(&file.id).await.unwrap()).unwrap());
        }
        contents.sort();
        let mut expected = expect("google");
        expected.extend(["same".to_owned(), "same".to_owned()]);
        assert_eq!(contents, expected, "{:#?}", view.texts());
        assert!(copied.iter().all(|file| !file.name.trim().is_empty()), "{copied:#?}");
        assert!(copied.iter().all(|file| !file.name.contains(['/', '\\', '\n', '\r', '\0'])), "{copied:#?}");

        let all = world.csapi.attachments(&case).unwrap();
        let copied: Vec<_> =
            all.iter().filter(|file| matches!(file.author, Author::ServiceAccount { .. })).collect();
        let mut contents: Vec<String> = copied
            .iter()
            .map(|file| String::from_utf8(world.csapi.attachment_bytes(&case, &file.id).unwrap()).unwrap())
            .collect();
        contents.sort();
        let mut expected = expect("company");
        expected.retain(|content| {
            let number: usize = content.rsplit(' ').next().unwrap().parse().unwrap();
            (world.description.takes_file_name)(&names[number])
        });
        assert!(!expected.is_empty());
        assert_eq!(contents, expected, "{:#?}", world.google_texts(&case));
        assert_eq!((world.google_texts(&case).len(), world.company_texts(&company).await.len()), (1, 0));
        world.go_on(Duration::hours(2)).await;
    }
}

pub async fn titles_descriptions_and_authors_cannot_inject_anything(crm: &dyn Crm) {
    let world = World::new(crm).await;
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
        let all = world.desk.cases().await;
        assert_eq!(all.len(), number + 1, "{ugly:?}");
        let company = all.into_iter().find(|company| company.google_name.as_ref() == Some(&case)).unwrap();
        assert!(!company.title.contains(['\n', '\r']) && !company.title.is_empty(), "{company:#?}");
        assert_eq!(company.comments.len(), 1);
        assert_eq!(world.desk.interpreted(&company.id).await, Vec::<String>::new(), "{company:#?}");
    }
    world.go_on(Duration::hours(2)).await;
    assert_eq!(world.sizes().await, (5, 5));
}

/// A comment as an upstream may put it on the wire: with half of a surrogate pair, escaped.
pub async fn lone_surrogates_in_an_answer_arrive_as_replacement_characters(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.run_for(Duration::hours(1)).await;
    let body = r#"{"comments": [{"name": "CASE/comments/lone", "createTime": "2026-11-24T10:05:00Z",
        "creator": {"displayName": "G\udc00"}, "body": "half \ud83d of a rocket"}]}"#
        .replace("CASE", &case);
    world.csapi.touch(&case).unwrap();
    let effect = Effect::ErrorBefore { status: 200, body: Some(body) };
    world.csapi.faults().add(Fault::always(effect).on("GET", "/comments"));
    let (status, answer) = world.post("sync-google-case", json!({ "case_name": case })).await;
    assert_eq!(status, 200, "{answer}");
    let texts = world.company_texts(&company).await;
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with("[Google Comment lone by G"), "{texts:?}");
    assert!(texts[0].ends_with("half \u{fffd} of a rocket"), "{texts:?}");
}

/// A task that could not finish goes on at once, without a retry's delay: the clock stands still here.
pub async fn more_comments_than_a_task_has_time_for_arrive_without_a_failure(crm: &dyn Crm) {
    const COUNT: usize = 16;
    let options = Options { deadline: StdDuration::from_secs(12), ..Options::default() };
    let world = World::with(crm, options).await;
    let (google, company) = world.pair().await;
    for number in 0..COUNT {
        world.google_says(&google, &format!("Comment {number:02}"));
    }
    world.trouble(Call::Comment, Fault::always(Effect::Latency { ms: 1_000 }));
    world.round().await;
    for _ in 0..COUNT {
        world.deliver().await;
    }
    let copies = world.copies_in_crm(&company).await;
    assert_eq!(copies.len(), COUNT, "{copies:?}");
    for (number, copy) in copies.iter().enumerate() {
        assert!(copy.contains(&format!("Comment {number:02}")), "{copies:?}");
    }
    assert_eq!(world.mapping().await.last_error, None);
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await.len(), COUNT);
}

pub async fn content_that_arrives_short_is_no_upload_and_is_tried_again(crm: &dyn Crm) {
    for effect in [Effect::TruncateBody { bytes: 10 }, Effect::ShortenBody { bytes: 10 }] {
        let world = World::new(crm).await;
        let (case, company) = world.pair().await;
        let bytes = vec![7_u8; 100_000];
        world.csapi.faults().add(Fault::always(effect.clone()).on("GET", ":download").times(2));
        world.trouble(Call::Download, Fault::always(effect.clone()).times(2));
        world
            .csapi
            .attach(&case, Author::customer("Grace Hopper"), "g.bin", "application/x-g", &bytes)
            .unwrap();
        world.company_attaches(&company, "c.bin", &bytes).await;
        world.google_says(&case, "does not wait for the file");
        world.run_for(Duration::hours(1)).await;
        assert_eq!(world.company_texts(&company).await.len(), 1, "{effect:?}");
        let in_crm = world.company(&company).await.files;
        assert_eq!(in_crm.len(), 2, "{effect:?}: {in_crm:#?}");
        for file in in_crm {
            assert!(world.desk.content(&file.id).await.unwrap() == bytes, "{effect:?}: {file:?}");
        }
        let at_google = world.csapi.attachments(&case).unwrap();
        assert_eq!(at_google.len(), 2, "{effect:?}: {at_google:#?}");
        assert!(at_google.iter().all(|file| world.csapi.attachment_bytes(&case, &file.id).unwrap() == bytes));
    }
}

pub async fn what_google_refuses_becomes_one_comment_there(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.csapi.adjust(|switches| {
        switches.max_attachment_bytes = Some(1000);
        switches.refused_mime_types = vec!["application/x-msdownload".to_owned()];
    });
    world.company_attaches(&company, "big.bin", &[7; 1001]).await;
    let setup = ("setup.exe", "application/x-msdownload", b"MZ");
    world.desk.attaches(&company, setup.0, setup.1, setup.2, Visibility::Public).await;
    world.company_attaches(&company, "fits.bin", &[7; 1000]).await;
    for _ in 0..2 {
        world.go_on(Duration::minutes(40)).await;
        let texts = world.google_texts(&case);
        assert_eq!(texts.len(), 3, "{texts:#?}");
        for (name, size) in [("big.bin", "1001 bytes"), ("setup.exe", "2 bytes")] {
            let about: Vec<_> =
                texts.iter().filter(|text| text.contains(&format!("\"{name}\" ({size})"))).collect();
            assert_eq!(about.len(), 1, "{texts:#?}");
            assert!(about[0].contains("by Jane Roe]\n") && about[0].contains(&company), "{texts:#?}");
        }
        assert_eq!(world.csapi.attachments(&case).unwrap().len(), 1);
        assert_eq!(world.company_texts(&company).await, Vec::<String>::new());
    }
    let (status, answer) = world.post("sync-company-case", json!({ "case_id": company })).await;
    assert_eq!((status, &answer["carried"]), (200, &Value::Array(Vec::new())), "{answer}");
}

pub async fn files_deleted_by_hand_are_not_made_again_on_either_side(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.google_says(&case, "original");
    world.google_attaches(&case, "g.txt", b"g");
    world.company_attaches(&company, "c.txt", b"c").await;
    world.settle().await;
    let view = world.company(&company).await;
    world.desk.deletes_file(&company, &view.file("g.txt").id).await;
    let at_google = world.csapi.attachments(&case).unwrap();
    let copy = at_google.iter().find(|file| file.filename == "c.txt").unwrap();
    world.csapi.delete_attachment(&case, &copy.id).unwrap();
    for round in 1..4 {
        // The pair is looked at again and again, for both horizons move slowly.
        world.google_says(&case, "more");
        world.company_says(&company, "more").await;
        world.run_for(Duration::minutes(20)).await;
        let view = world.company(&company).await;
        assert_eq!((view.comments.len(), view.files.len()), (1 + 2 * round, 1));
        assert_eq!(world.csapi.attachments(&case).unwrap().len(), 1);
        assert_eq!(world.google_texts(&case).len(), 2 + 2 * round);
    }
}

pub async fn a_comment_of_40_000_characters_arrives_whole_in_numbered_parts(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let long: String =
        (0..5_000).map(|number| format!("word{number:03} ")).collect::<String>()[..40_000].to_owned();
    let id = world.company_says(&company, &long).await;
    world.settle().await;
    let texts = world.google_texts(&case);
    let parts: Vec<&String> = texts
        .iter()
        .filter(|text| text.starts_with(&format!("[Company Comment {id} by Jane Roe (")))
        .collect();
    assert!(parts.len() >= 4, "{}", parts.len());
    assert!(parts.iter().all(|part| part.chars().count() <= 12_800));
    assert!(parts[0].starts_with(&format!("[Company Comment {id} by Jane Roe (1/{})]\n", parts.len())));
    assert_eq!(world.copies_at_google(&case).concat(), long);
    world.assert_quiet().await;
}

pub async fn ugly_content_arrives_readable_and_nothing_of_it_is_interpreted(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let huge_line = "0123456789abcdef".repeat(2_000);
    let ugly: Vec<&str> = UGLY.into_iter().chain([huge_line.as_str()]).collect();
    let mut said_at_google = Vec::new();
    for text in &ugly {
        said_at_google.push(world.google_says(&case, text));
        world.company_says(&company, text).await;
    }
    world.settle().await;
    let view = world.company(&company).await;
    let bodies = |texts: Vec<String>, header: &str| -> Vec<String> {
        // What only looks like a copy is somebody's own.
        let copies = texts.into_iter().filter(|text| text.starts_with(header));
        copies.map(|text| text.split_once('\n').unwrap().1.to_owned()).collect()
    };
    let ours = view.comments.iter().filter(|comment| comment.by_connector);
    let ours: Vec<String> = ours.map(|comment| comment.text.clone()).collect();
    for (text, comment) in ugly.iter().zip(said_at_google) {
        let copied = bodies(ours.clone(), &format!("[Google Comment {comment} by Google Support")).concat();
        assert_eq!(copied, holdable(text, &world.description.capabilities));
    }
    assert_eq!(world.desk.interpreted(&company).await, Vec::<String>::new());

    let at_google = world.csapi.comments(&case).unwrap().into_iter();
    let ours = at_google.filter(|comment| matches!(comment.author, Author::ServiceAccount { .. }));
    let ours: Vec<String> = ours.map(|comment| comment.body).collect();
    let google = world.deps.systems.google.capabilities();
    let theirs: Vec<_> = view.comments.iter().filter(|comment| !comment.by_connector).collect();
    assert_eq!(theirs.len(), ugly.len());
    for comment in theirs {
        let copied = bodies(ours.clone(), &format!("[Company Comment {} by Jane Roe", comment.id)).concat();
        // As the CRM shows it: what a person typed there may be its markup.
        assert_eq!(copied, holdable(&comment.text, google));
    }
    world.assert_quiet().await;
}

pub async fn a_comment_or_a_file_whose_answer_was_lost_arrives_once(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    for effect in [
        Effect::ErrorAfter { status: 500 },
        Effect::HangUpAfter,
        Effect::ErrorBefore { status: 502, body: None },
    ] {
        let (second, first) =
            (Fault::always(effect.clone()).after(1).times(1), Fault::always(effect.clone()).times(1));
        world.csapi.faults().add(second.clone().on("POST", "/comment"));
        world.csapi.faults().add(first.clone().on("POST", "/attachments"));
        world.trouble(Call::Comment, second);
        world.trouble(Call::Attach, first);
        for number in 0..3 {
            world.google_says(&case, &format!("{effect:?} {number}"));
            world.company_says(&company, &format!("{effect:?} {number}")).await;
        }
        world.google_attaches(&case, "g.txt", format!("{effect:?}").as_bytes());
        let other = format!("{effect:?} from the company");
        world.company_attaches(&company, "c.txt", other.as_bytes()).await;
        world.run_for(Duration::hours(1)).await;
    }
    assert_eq!(world.copies_in_crm(&company).await.len(), 9, "{:#?}", world.company_texts(&company).await);
    assert_eq!(world.copies_at_google(&case).len(), 9, "{:#?}", world.google_texts(&case));
    assert_eq!(world.csapi.attachments(&case).unwrap().len(), 6);
    assert_eq!(world.company(&company).await.files.len(), 6);
    world.assert_quiet().await;
}

pub async fn an_attachment_that_the_crm_can_never_take_becomes_one_comment(crm: &dyn Crm) {
    // A whole number of MiB, for who counts in those.
    let limit = 1024 * 1024;
    let setup = Setup { attachment_limit: Some(limit as u64), ..Setup::default() };
    let world = World::with(crm, Options { setup, ..Options::default() }).await;
    let (case, company) = world.pair().await;
    let attachment = world.google_attaches(&case, "core.bin", &vec![7; limit + 1]);
    world.google_attaches(&case, "small.bin", &vec![7; limit]);
    world.settle().await;
    let texts = world.company_texts(&company).await;
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].starts_with(&format!("[Google Attachment {attachment} by Grace Hopper]\n")),
        "{texts:?}"
    );
    for part in ["\"core.bin\"", "1048577 bytes", "1048576 bytes", &case] {
        assert!(texts[0].contains(part), "{part}: {texts:?}");
    }
    assert_eq!(world.company(&company).await.files.len(), 1);
    world.assert_quiet().await;
}

pub async fn a_comment_that_quotes_a_marker_is_carried(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let id = world.google_says(&case, "the original");
    world.settle().await;
    let quotation = format!("[Google Comment {id} by Google Support]\nthe original\nI do not agree.");
    world.company_says(&company, &quotation).await;
    world.settle().await;
    assert_eq!(world.copies_at_google(&case), [quotation]);
    assert_eq!(world.copies_in_crm(&company).await, ["the original", "the original\nI do not agree."]);
    world.assert_quiet().await;
}

pub async fn a_copy_that_was_deleted_in_the_crm_is_not_made_again(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let id = world.google_says(&case, "the original");
    world.settle().await;
    let quotation = format!("[Google Comment {id} by Google Support]\nthe original\nI do not agree.");
    world.company_says(&company, &quotation).await;
    world.settle().await;
    let copy = world.company(&company).await.comments[0].id.clone();
    world.desk.deletes_comment(&company, &copy).await;
    for number in 0..3 {
        // The pair is looked at again and again, for both horizons move slowly.
        world.google_says(&case, &format!("and another {number}"));
        world.run_for(Duration::minutes(20)).await;
    }
    // The quotation is the person's own; of the copies, only the new ones stand there.
    assert_eq!(
        world.copies_in_crm(&company).await,
        ["the original\nI do not agree.", "and another 0", "and another 1", "and another 2"]
    );
    world.assert_quiet().await;
}
