//! How pairs begin, whoever sees them first and however often (`R6`, `R9`, `R10`, `R13`).

use std::time::Duration as StdDuration;

use casebridge::config::Platform;
use casebridge::crm::jira::{Deployment, JiraSettings};
use casebridge::sandbox::csapi::{Author, NewCase, Priority};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{
    FlagField, NewIssue, ResolutionOnClosing, SandboxJiraSettings, SandboxTimeZone,
};
use chrono::Duration;
use serde_json::json;

use crate::support::{INTERNAL_TOKEN, Options, World};

fn data_center() -> Options {
    Options {
        jira: SandboxJiraSettings::data_center(),
        jira_settings: JiraSettings {
            deployment: Deployment::DataCenter,
            project: "SUP".to_owned(),
            ..JiraSettings::default()
        },
        ..Options::default()
    }
}

#[tokio::test]
async fn every_kind_of_jira_gets_the_documented_fields_and_gives_everything_back() {
    let cloud = |jira: SandboxJiraSettings| Options { jira, ..Options::default() };
    for (what, options) in [
        ("Cloud", Options::default()),
        ("Data Center", data_center()),
        (
            "Data Center that keeps whole seconds, half an hour off",
            Options {
                jira: SandboxJiraSettings {
                    time_resolution_ms: 1000,
                    time_zone: SandboxTimeZone::kolkata(),
                    ..SandboxJiraSettings::data_center()
                },
                ..data_center()
            },
        ),
        (
            "a flag that is a list, a resolution that must be sent, no priority on the create screen",
            cloud(SandboxJiraSettings {
                flag_field: FlagField::Select,
                resolution_on_closing: ResolutionOnClosing::Required,
                priority_on_create_screen: false,
                time_zone: SandboxTimeZone::berlin(),
                ..SandboxJiraSettings::default()
            }),
        ),
        (
            "a flag that is text, no resolution on the screen",
            cloud(SandboxJiraSettings {
                flag_field: FlagField::Text,
                resolution_on_closing: ResolutionOnClosing::NotOnScreen,
                ..SandboxJiraSettings::default()
            }),
        ),
    ] {
        let world = World::with(options).await;
        let case = world
            .csapi
            .create_case(NewCase {
                parent: "organizations/123".to_owned(),
                display_name: "Disk is slow".to_owned(),
                description: "Since noon.\nVery slow.".to_owned(),
                priority: Priority::P1,
                author: Author::customer("Grace Hopper"),
            })
            .unwrap()
            .name;
        world.settle().await;
        let issue = world.jira.issues().remove(0);
        assert_eq!(issue.summary, "Disk is slow", "{what}");
        assert_eq!(
            issue.description.as_deref().map(casebridge::crm::jira::markup::unescape).as_deref(),
            Some("CONTENT MIRRORED FROM GOOGLE SUPPORT:\nSince noon.\nVery slow."),
            "{what}"
        );
        assert_eq!((issue.priority.as_str(), issue.flagged), ("High", true), "{what}");
        assert_eq!(issue.google_name.as_deref(), Some(case.as_str()), "{what}");
        assert_eq!(issue.components, ["Google Cloud"], "{what}");
        assert!(issue.attachments.is_empty() && issue.comments.is_empty(), "{what}");
        assert_eq!(
            world.google_texts(&case),
            [format!("This case is now syncing with Company Case: {}", issue.id)],
            "{what}"
        );

        let said = world.company_says(&issue.id, "Any news?");
        world.jira.attach(&issue.id, "Jane Roe", "log.txt", "text/plain", &b"1\n2\n"[..]).unwrap();
        world.jira.set_priority(&issue.id, "Highest").unwrap();
        world.settle().await;
        assert_eq!(
            world.google_texts(&case)[1..],
            [format!("[Company Comment {said} by Jane Roe]\nAny news?")],
            "{what}"
        );
        let files = world.csapi.attachments(&case).unwrap();
        assert_eq!(files.len(), 1, "{what}");
        assert_eq!(world.csapi.attachment_bytes(&case, &files[0].id).unwrap(), b"1\n2\n", "{what}");
        assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P0), "{what}");

        world.csapi.close(&case).unwrap();
        world.settle().await;
        assert!(world.jira.issue(&issue.id).unwrap().closed, "{what}");
        let flagged = world.flagged_issue("From the company");
        world.settle().await;
        assert_eq!(world.csapi.cases().len(), 2, "{what}");
        let google_name = world.jira.issue(&flagged).unwrap().google_name;
        assert_eq!(google_name, Some(world.csapi.cases().remove(1).name), "{what}");
        world.run_for(Duration::hours(2)).await;
        assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (2, 2), "{what}");
        assert_eq!(world.google_texts(&case).len(), 2, "{what}");
        assert_eq!(world.jira.issue(&issue.id).unwrap().comments.len(), 1, "{what}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_the_timeout_doubles_nothing() {
    let world = World::with(Options { timeout: StdDuration::from_millis(300), ..Options::default() }).await;
    let late = || Fault::always(Effect::LatencyAfter { ms: 600 }).times(1);
    world.jira.faults().add(late().on("POST", "/issue"));
    world.csapi.faults().add(late().on("POST", "/cases"));
    let case = world.google_case("From Google");
    let issue = world.flagged_issue("From Jira");
    world.run_for(Duration::minutes(30)).await;
    assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (2, 2));
    let mirror = world.jira.issues().into_iter().find(|other| other.id != issue).unwrap().id;
    let mirrored = world.csapi.cases().into_iter().find(|other| other.name != case).unwrap().name;
    for faults in [world.csapi.faults(), world.jira.faults().clone()] {
        faults.add(late().on("POST", "/comment"));
        faults.add(late().on("POST", "/attachments"));
    }
    world.google_says(&case, "g");
    world.company_says(&issue, "j");
    world.csapi.attach(&case, Author::customer("Grace Hopper"), "g.txt", "text/plain", b"g").unwrap();
    world.jira.attach(&issue, "Jane Roe", "j.txt", "text/plain", &b"j"[..]).unwrap();
    for _ in 0..2 {
        world.run_for(Duration::minutes(40)).await;
        assert_eq!(world.company_texts(&mirror).len(), 1, "{:?}", world.company_texts(&mirror));
        assert_eq!(world.google_texts(&mirrored).len(), 2, "{:?}", world.google_texts(&mirrored));
        assert_eq!(world.jira.issue(&mirror).unwrap().attachments.len(), 1);
        assert_eq!(world.csapi.attachments(&mirrored).unwrap().len(), 1);
    }
    assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (2, 2));
}

#[tokio::test]
async fn both_polls_meeting_a_half_linked_pair_make_one_mapping_and_no_second_counterpart() {
    // Either side's answer to the creation is lost, and the store's copy of it with it.
    for from_google in [true, false] {
        let world = World::new().await;
        let lost = Fault::always(Effect::HangUpAfter).times(1);
        if from_google {
            world.jira.faults().add(lost.on("POST", "/issue"));
            world.google_case("Half");
        } else {
            world.csapi.faults().add(lost.on("POST", "/cases"));
            world.flagged_issue("Half");
        }
        let first = if from_google { "poll-google" } else { "poll-company" };
        assert_eq!(world.post(first, json!({})).await.0, 200);
        world.deliver().await;
        assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (1, 1));
        assert!(!world.mapping().await.is_linked());
        let (google, company) =
            tokio::join!(world.post("poll-google", json!({})), world.post("poll-company", json!({})));
        assert_eq!((google.0, company.0), (200, 200), "{google:?} {company:?}");
        world.run_for(Duration::hours(2)).await;
        let mapping = world.mapping().await;
        assert!(mapping.is_linked(), "{mapping:#?}");
        assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (1, 1));
        let case = mapping.google_case_name.unwrap().to_string();
        let issue = mapping.company_case_id.unwrap().to_string();
        assert_eq!(
            world.google_texts(&case),
            [format!("This case is now syncing with Company Case: {issue}")],
            "from Google: {from_google}"
        );
        assert_eq!(world.company_texts(&issue), Vec::<String>::new());
        assert_eq!(world.jira.issue(&issue).unwrap().google_name, Some(case));
    }
}

#[tokio::test]
async fn two_instances_on_one_database_double_nothing() {
    let world = World::new().await;
    let other = world.another_instance(Platform::Local, None).await;
    let http = reqwest::Client::new();
    let post = |at: std::net::SocketAddr, task: &str, body: serde_json::Value| {
        let request = http.post(format!("http://{at}/tasks/{task}")).json(&body);
        let request = request.header("authorization", format!("Bearer {INTERNAL_TOKEN}"));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let cases: Vec<String> = (0..4).map(|number| world.google_case(&format!("Case {number}"))).collect();
    let polls = (0..6).map(|number| {
        post(
            [world.service, other][number % 2],
            if number < 3 { "poll-google" } else { "poll-company" },
            json!({}),
        )
    });
    let answers = futures_util::future::join_all(polls).await;
    assert!(answers.iter().all(|status| matches!(status, 200 | 500)), "{answers:?}");
    let syncs = (0..16).map(|number| {
        let body = json!({ "case_name": cases[number % 4] });
        post([world.service, other][(number / 4) % 2], "sync-google-case", body)
    });
    let answers = futures_util::future::join_all(syncs).await;
    assert!(answers.iter().all(|status| matches!(status, 200 | 500)), "{answers:?}");
    world.run_for(Duration::hours(2)).await;
    assert_eq!((world.csapi.cases().len(), world.jira.issues().len()), (4, 4));
    assert_eq!(world.mappings().await.len(), 4);
    for case in &cases {
        assert_eq!(world.google_texts(case).len(), 1, "{:?}", world.google_texts(case));
    }
}

#[tokio::test]
async fn a_case_is_one_case_by_its_number_whatever_parent_its_name_has() {
    let world = World::new().await;
    let case = world
        .csapi
        .create_case(NewCase {
            parent: "projects/my-project".to_owned(),
            display_name: "In a project".to_owned(),
            description: "Text.".to_owned(),
            priority: Priority::P2,
            author: Author::customer("Grace Hopper"),
        })
        .unwrap();
    world.settle().await;
    assert_eq!(world.mapping().await.google_case_name.unwrap().to_string(), case.name);
    world.csapi.adjust(|switches| switches.names_as_asked = true);
    world.google_says(&case.name, "More.");
    world.settle().await;
    let under_organization = format!("organizations/123/cases/{}", case.number);
    let (status, answer) = world.post("sync-google-case", json!({ "case_name": under_organization })).await;
    assert_eq!(status, 200, "{answer}");
    world.run_for(Duration::hours(2)).await;
    assert_eq!(world.mapping().await.google_case_name.unwrap().to_string(), case.name, "as first seen");
    let issue = world.jira.issues().remove(0);
    assert_eq!((world.jira.issues().len(), issue.comments.len()), (1, 1));
    assert_eq!(issue.google_name, Some(case.name.clone()));
    assert_eq!(world.google_texts(&case.name).len(), 2);
}

#[tokio::test]
async fn a_case_that_cannot_be_understood_does_not_stop_the_sweep() {
    let world = World::new().await;
    let sound = world.google_case("Sound");
    world.run_for(Duration::minutes(2)).await;
    let before = world.store.global().await.unwrap().google_last_polled_at;
    world.clock.advance(Duration::minutes(1));
    let body = json!({ "cases": [
        { "displayName": "no name" },
        { "name": "cases/without/parent" },
        { "name": 7, "state": "NEW" },
        "not even an object",
        null,
        { "name": sound, "createTime": "yesterday", "updateTime": "2026-11-24T09:02:30Z", "priority": "P9", "state": "??" },
    ]});
    let effect = Effect::ErrorBefore { status: 200, body: Some(body.to_string()) };
    world.csapi.faults().add(Fault::always(effect).on("GET", ":search").times(1));
    let (status, answer) = world.post("poll-google", json!({})).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{answer}");
    assert!(answer["skipped"].as_array().unwrap().len() >= 4, "{answer}");
    assert_eq!(answer["queued"], 1, "the sound one is queued: {answer}");
    assert!(world.store.global().await.unwrap().google_last_polled_at > before);
    assert_eq!(world.mappings().await.len(), 1);
}

#[tokio::test]
async fn a_poll_that_dies_half_way_is_repeated_and_misses_nothing() {
    let world = World::new().await;
    for number in 0..250 {
        world.jira.create_issue(NewIssue::flagged(&format!("Issue {number}"))).unwrap();
    }
    // Its second page never arrives, however often it is asked for.
    let broken = Effect::ErrorBefore { status: 500, body: None };
    world.jira.faults().add(Fault::always(broken).on("GET", "search").after(1));
    let (status, answer) = world.post("poll-company", json!({})).await;
    assert_eq!((status, &answer["outcome"]), (500, &json!("failed")), "{answer}");
    assert_eq!(world.store.global().await.unwrap().company_last_polled_at, None, "the watermark stays");
    world.clock.advance(Duration::hours(2));
    world.jira.faults().clear();
    let (status, answer) = world.post("poll-company", json!({})).await;
    assert_eq!((status, &answer["mapped"]), (200, &json!(250)), "{answer}");
    assert_eq!(world.mappings().await.len(), 250);
}

#[tokio::test]
async fn an_issue_flagged_later_gets_its_case_with_all_that_was_said_before() {
    let world = World::new().await;
    let issue = world.jira.create_issue(NewIssue::new("Not yet")).unwrap();
    let said = world.company_says(&issue, "Said before the flag.");
    world.run_for(Duration::hours(3)).await;
    assert_eq!(world.csapi.cases().len(), 0);
    world.jira.set_flag(&issue, true).unwrap();
    world.settle().await;
    let case = world.csapi.cases().remove(0).name;
    assert_eq!(
        world.google_texts(&case),
        [
            format!("This case is now syncing with Company Case: {issue}"),
            format!("[Company Comment {said} by Jane Roe]\nSaid before the flag."),
        ]
    );
}
