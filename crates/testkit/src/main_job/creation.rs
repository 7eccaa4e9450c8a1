//! How pairs begin, whoever sees them first and however often (`R6`, `R9`, `R10`, `R13`).

use std::time::Duration as StdDuration;

use casebridge::config::Platform;
use casebridge::entities::{CaseMapping, Side};
use casebridge::sandbox::csapi::{Author, NewCase, Priority};
use casebridge::sandbox::faults::{Effect, Fault};
use chrono::Duration;
use serde_json::json;

use crate::harness::crm::{Crm, Setup};
use crate::harness::desk::{Call, NewCompanyCase};
use crate::harness::{INTERNAL_TOKEN, Options, World};

pub async fn an_answer_that_comes_after_the_timeout_doubles_nothing(crm: &dyn Crm) {
    let setup = Setup { timeout: StdDuration::from_secs(1), ..Setup::default() };
    let world = World::with(crm, Options { setup, ..Options::default() }).await;
    let late = || Fault::always(Effect::LatencyAfter { ms: 2_000 }).times(1);
    world.trouble(Call::Create, late());
    world.csapi.faults().add(late().on("POST", "/cases"));
    let case = world.google_case("From Google");
    let company = world.company_case("From the company").await;
    world.run_for(Duration::minutes(30)).await;
    assert_eq!(world.sizes().await, (2, 2));
    let mirror = world.desk.cases().await.into_iter().find(|other| other.id != company).unwrap().id;
    let mirrored = world.csapi.cases().into_iter().find(|other| other.name != case).unwrap().name;
    world.csapi.faults().add(late().on("POST", "/comment"));
    world.csapi.faults().add(late().on("POST", "/attachments"));
    world.trouble(Call::Comment, late());
    world.trouble(Call::Attach, late());
    world.google_says(&case, "g");
    world.company_says(&company, "j").await;
    world.google_attaches(&case, "g.txt", b"g");
    world.company_attaches(&company, "c.txt", b"c").await;
    for _ in 0..2 {
        world.run_for(Duration::minutes(40)).await;
        assert_eq!(world.company_texts(&mirror).await.len(), 1, "{:?}", world.company_texts(&mirror).await);
        assert_eq!(world.google_texts(&mirrored).len(), 2, "{:?}", world.google_texts(&mirrored));
        assert_eq!(world.company(&mirror).await.files.len(), 1);
        assert_eq!(world.csapi.attachments(&mirrored).unwrap().len(), 1);
    }
    assert_eq!(world.sizes().await, (2, 2));
}

pub async fn both_polls_meeting_a_half_linked_pair_make_one_mapping_and_no_second_counterpart(crm: &dyn Crm) {
    // Either side's answer to the creation is lost, and with it what the store would have kept of it; and the same again, where
    // a creation may be repeated.
    for from_google in [true, false] {
        let world = World::new(crm).await;
        let lost = Fault::always(Effect::HangUpAfter);
        if from_google {
            world.trouble(Call::Create, lost);
            world.google_case("Half");
        } else {
            world.csapi.faults().add(lost.on("POST", "/cases"));
            world.company_case("Half").await;
        }
        let first = if from_google { "poll-google" } else { "poll-company" };
        assert_eq!(world.post(first, json!({})).await.0, 200);
        world.deliver().await;
        assert_eq!(world.sizes().await, (1, 1));
        assert!(!world.mapping().await.is_linked());
        world.company_faults().clear();
        world.csapi.faults().clear();
        let (google, company) =
            tokio::join!(world.post("poll-google", json!({})), world.post("poll-company", json!({})));
        assert_eq!((google.0, company.0), (200, 200), "{google:?} {company:?}");
        world.run_for(Duration::hours(2)).await;
        let mapping = world.mapping().await;
        assert!(mapping.is_linked(), "{mapping:#?}");
        assert_eq!(world.sizes().await, (1, 1));
        let case = mapping.google_case_name.unwrap().to_string();
        let company = mapping.company_case_id.unwrap().to_string();
        assert_eq!(
            world.google_texts(&case),
            [format!("This case is now syncing with Company Case: {}", world.named(&company).await)],
            "from Google: {from_google}"
        );
        assert_eq!(world.company_texts(&company).await, Vec::<String>::new());
        assert_eq!(world.company(&company).await.google_name, Some(case));
    }
}

pub async fn two_instances_on_one_database_double_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let other = world.another_instance(Platform::Local, None).await;
    let http = crate::service::client();
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
    world.go_on(Duration::hours(2)).await;
    assert_eq!(world.sizes().await, (4, 4));
    assert_eq!(world.mappings().await.len(), 4);
    for case in &cases {
        assert_eq!(world.google_texts(case).len(), 1, "{:?}", world.google_texts(case));
    }
}

pub async fn a_case_is_one_case_by_its_number_whatever_parent_its_name_has(crm: &dyn Crm) {
    let world = World::new(crm).await;
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
    world.go_on(Duration::hours(2)).await;
    assert_eq!(world.mapping().await.google_case_name.unwrap().to_string(), case.name, "as first seen");
    let company = world.desk.cases().await.remove(0);
    assert_eq!((world.desk.cases().await.len(), company.comments.len()), (1, 1));
    assert_eq!(company.google_name, Some(case.name.clone()));
    assert_eq!(world.google_texts(&case.name).len(), 2);
}

pub async fn a_case_that_cannot_be_understood_does_not_stop_the_sweep(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let sound = world.google_case("Sound");
    world.run_for(Duration::minutes(2)).await;
    let before = world.store.global().await.unwrap().google_last_polled_at;
    world.clock().advance(Duration::minutes(1));
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

pub async fn a_poll_that_dies_half_way_is_repeated_and_misses_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    for number in 0..250 {
        world.company_case(&format!("Case {number}")).await;
    }
    // Its second page never arrives, however often it is asked for.
    let broken = Effect::ErrorBefore { status: 500, body: None };
    world.trouble(Call::Search, Fault::always(broken).after(1));
    let (status, answer) = world.post("poll-company", json!({})).await;
    assert_eq!((status, &answer["outcome"]), (500, &json!("failed")), "{answer}");
    assert_eq!(world.store.global().await.unwrap().company_last_polled_at, None, "the watermark stays");
    world.clock().advance(Duration::hours(2));
    world.company_faults().clear();
    let (status, answer) = world.post("poll-company", json!({})).await;
    assert_eq!((status, &answer["mapped"]), (200, &json!(250)), "{answer}");
    assert_eq!(world.mappings().await.len(), 250);
}

pub async fn a_company_case_flagged_later_gets_its_case_with_all_that_was_said_before(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let company = world.desk.opens(NewCompanyCase::new("Not yet")).await;
    let said = world.company_says(&company, "Said before the flag.").await;
    world.go_on(Duration::hours(3)).await;
    assert_eq!(world.csapi.cases().len(), 0);
    world.desk.flags(&company, true).await;
    world.settle().await;
    let case = world.csapi.cases().remove(0).name;
    assert_eq!(
        world.google_texts(&case),
        [
            format!("This case is now syncing with Company Case: {}", world.named(&company).await),
            format!("[Company Comment {said} by Jane Roe]\nSaid before the flag."),
        ]
    );
}

pub async fn a_creation_whose_answer_was_lost_leaves_one_counterpart_on_either_side(crm: &dyn Crm) {
    for effect in [Effect::ErrorAfter { status: 500 }, Effect::HangUpAfter] {
        let world = World::new(crm).await;
        world.trouble(Call::Create, Fault::always(effect.clone()).times(1));
        world.csapi.faults().add(Fault::always(effect.clone()).on("POST", "/cases").times(1));
        let case = world.google_case("From Google");
        let company = world.company_case("From the company").await;
        world.google_says(&case, "hello from Google");
        world.company_says(&company, "hello from the company").await;
        world.run_for(Duration::minutes(30)).await;
        assert_eq!(world.csapi.cases().len(), 2, "{effect:?}");
        assert_eq!(world.desk.cases().await.len(), 2, "{effect:?}");
        assert_eq!(world.mappings().await.len(), 2);
        let mirrored = world.desk.cases().await.into_iter().find(|other| other.id != company).unwrap();
        assert_eq!(world.copies_in_crm(&mirrored.id).await, ["hello from Google"]);
        let mirrored = world.csapi.cases().into_iter().find(|other| other.name != case).unwrap();
        assert_eq!(world.copies_at_google(&mirrored.name), ["hello from the company"]);
        world.assert_quiet().await;
    }
}

// R13, R38
pub async fn an_earlier_claim_does_not_hide_a_creation_whose_answer_was_lost(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let claim = NewCompanyCase {
        google_name: Some("organizations/123/cases/51000001".to_owned()),
        ..NewCompanyCase::flagged("Claim")
    };
    let claim = world.desk.opens(claim).await;
    world.settle().await;
    world.trouble(Call::Create, Fault::always(Effect::HangUpAfter).times(1));
    let case = world.google_case("The real one");
    assert_eq!(case, "organizations/123/cases/51000001");
    world.google_says(&case, "hello");
    // Without polls of the company, which complete the pair as well.
    assert_eq!(world.post("poll-google", json!({})).await.0, 200);
    for _ in 0..9 {
        world.deliver().await;
        world.clock().advance(Duration::minutes(1));
    }
    assert_eq!(world.sizes().await, (1, 2));
    world.settle().await;
    let pair = world.mappings().await.into_iter().find(CaseMapping::is_linked);
    let own = pair.and_then(|pair| pair.case_id(Side::Company).map(str::to_owned)).unwrap();
    assert_ne!(own, claim);
    assert_eq!(world.copies_in_crm(&own).await, ["hello"]);
    world.assert_quiet().await;
}

pub async fn a_creation_whose_answer_was_lost_is_found_though_the_search_is_late(crm: &dyn Crm) {
    let world = World::new(crm).await;
    world.trouble(Call::Create, Fault::always(Effect::HangUpAfter).times(1));
    // As late as the CRM is taken to be at the most: a CRM that searches its own tables is never late.
    let lag = Duration::seconds(90).min(world.description.capabilities.index_lag);
    world.company_faults().set_search_lag(lag);
    world.csapi.faults().add(Fault::always(Effect::HangUpAfter).on("POST", "/cases").times(1));
    world.csapi.faults().set_search_lag(Duration::seconds(90));
    world.google_case("From Google");
    world.company_case("From the company").await;
    world.run_for(Duration::hours(1)).await;
    assert_eq!(world.csapi.cases().len(), 2);
    assert_eq!(world.desk.cases().await.len(), 2);
    assert_eq!(world.mappings().await.len(), 2);
    assert!(world.mappings().await.iter().all(CaseMapping::is_linked));
    world.assert_quiet().await;
}
