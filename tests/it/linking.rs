//! Orders of operators to link two cases, over HTTP: what is refused, and what to do instead. `crates/testkit/src/main_job/linking.rs` has what
//! is carried, in each CRM.

use casebridge::sandbox::faults::{Effect, Fault};
use reqwest::Client;
use serde_json::{Value, json};

use casebridge_testkit::harness::World;
use casebridge_testkit::harness::desk::{Call, NewCompanyCase};
use casebridge_testkit::harness::jira::JiraKind;

async fn link(world: &World, body: &Value) -> (u16, Value) {
    let url = format!("http://{}/api/v1/mappings/link", world.service);
    let response = Client::new().post(url).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn cases(world: &World, google: &str, company: &str) -> (u16, Value) {
    link(world, &json!({ "google_case": google, "company_case": company })).await
}

async fn assert_refused(world: &World, google: &str, company: &str, words: &[&str]) {
    let before = world.mappings().await;
    let (status, problem) = cases(world, google, company).await;
    assert_eq!(status, 409, "{problem}");
    for word in words {
        assert!(problem["detail"].as_str().unwrap().contains(word), "{word}: {problem}");
    }
    assert_eq!(world.mappings().await, before, "{words:?}");
}

#[tokio::test]
async fn any_name_of_either_case_is_taken_and_the_answer_has_the_pair() {
    let world = World::new(&JiraKind).await;
    let google = world.google_case("Disk is slow");
    world.desk.opens(NewCompanyCase::new("The disk is slow")).await;
    let number = google.rsplit('/').next().unwrap();
    let body = json!({ "google_case": number, "company_case": "SUP-1", "reason": " opened twice " });
    let (status, answer) = link(&world, &body).await;
    assert_eq!((status, &answer["new"]), (200, &json!(true)), "{answer}");
    assert_eq!(answer["syncs"], json!({ "google": "queued", "company": "queued" }), "{answer}");
    assert!(answer["remark"].as_str().unwrap().contains("SUP-1"), "{answer}");
    assert_eq!(answer["mapping"]["googleCaseName"], json!(google));
    assert_eq!(answer["mapping"]["linked_by"]["reason"], json!("opened twice"));
    let (status, answer) = link(&world, &body).await;
    assert_eq!((status, &answer["new"]), (200, &json!(false)), "{answer}");
    for body in [json!({ "google_case": google }), json!({}), json!({ "google": 1 }), json!([])] {
        let (status, problem) = link(&world, &body).await;
        assert_eq!((status, &problem["title"]), (400, &json!("The body is not valid")), "{problem}");
    }
}

#[tokio::test]
async fn a_case_that_has_a_pair_is_closed_or_is_not_shown_is_refused_with_what_to_do_instead() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    let free = world.google_case("Another");
    let alone = world.desk.opens(NewCompanyCase::new("Alone")).await;
    assert_refused(&world, &google, &alone, &["has a pair", &company, "without a pair"]).await;
    assert_refused(&world, &free, &company, &["has a pair", &google]).await;
    assert_refused(&world, "organizations/123/cases/99999999", &alone, &["shows no google case", "right"])
        .await;
    assert_refused(&world, &free, "SUP-99", &["shows no company case"]).await;
    assert_refused(&world, "SUP-2", &free, &["the google case: "]).await;
    world.desk.closes(&alone).await;
    assert_refused(&world, &free, &alone, &["the company case", "is closed", "reopen"]).await;
    world.desk.reopens(&alone).await;
    world.csapi.close(&free).unwrap();
    assert_refused(&world, &free, &alone, &["the google case", "is closed"]).await;

    let unlink = format!("http://{}/api/v1/mappings/{company}/unlink", world.service);
    assert_eq!(Client::new().post(unlink).send().await.unwrap().status(), 200);
    assert_refused(&world, &google, &company, &["unlinked by", "casebridge resume"]).await;
    assert_refused(&world, &google, &alone, &["unlinked by", "keeps both its cases from another"]).await;
}

#[tokio::test]
async fn a_counterpart_that_no_mapping_knows_is_not_taken_away_from_its_case() {
    let world = World::new(&JiraKind).await;
    // One pair that began at Google, and one that began at the desk.
    let (google, company) = world.pair().await;
    let from_desk = world.company_case("From the desk").await;
    world.settle().await;
    let mirror = world.company(&from_desk).await.google_name.unwrap();
    for mapping in world.mappings().await {
        world.deps.store.delete(&mapping).await.unwrap();
    }
    let free = world.google_case("Another");
    let alone = world.desk.opens(NewCompanyCase::new("Alone")).await;
    for (google, company, counterpart) in [
        (&google, &alone, &company),
        (&mirror, &alone, &from_desk),
        (&free, &company, &google),
        (&free, &from_desk, &mirror),
    ] {
        assert_refused(&world, google, company, &["has a counterpart", counterpart, "link those two"]).await;
    }
    for (google, company) in [(&google, &company), (&mirror, &from_desk)] {
        assert_eq!(cases(&world, google, company).await.0, 200);
    }
    world.settle().await;
    assert_eq!(world.sizes().await, (3, 4), "the free one got a company case, as ever");
}

#[tokio::test]
async fn a_case_that_names_another_without_its_word_is_linked_by_the_operators() {
    let world = World::new(&JiraKind).await;
    let google = world.google_case("Disk is slow");
    let claim = NewCompanyCase { google_name: Some(google.clone()), ..NewCompanyCase::flagged("Claims it") };
    let company = world.desk.opens(claim).await;
    // The claim alone proves nothing: both wait, each in a mapping of its own.
    assert_eq!(world.post("poll-company", json!({})).await.0, 200);
    assert_eq!(world.post("poll-google", json!({})).await.0, 200);
    let waiting = world.mappings().await;
    assert_eq!(waiting.len(), 2, "{waiting:#?}");
    assert!(waiting.iter().any(|mapping| mapping.state.conflict.is_some()));
    let (status, answer) = cases(&world, &google, &company).await;
    assert_eq!((status, &answer["new"], &answer["remark"]), (200, &json!(true), &Value::Null), "{answer}");
    world.google_says(&google, "from Google");
    world.settle().await;
    let mapping = world.mapping().await;
    assert_eq!((mapping.is_linked(), &mapping.state.conflict), (true, &None));
    assert_eq!(world.copies_in_crm(&company).await, ["from Google"]);
    assert_eq!(world.sizes().await, (1, 1));
    world.assert_quiet().await;
}

#[tokio::test]
async fn while_a_counterpart_may_be_created_its_case_is_not_linked() {
    let world = World::new(&JiraKind).await;
    let alone = world.desk.opens(NewCompanyCase::new("Alone")).await;
    let google = world.google_case("Disk is slow");
    world.trouble(Call::Create, Fault::always(Effect::HangUpAfter).times(1));
    let (_, report) = world.post("sync-google-case", json!({ "case_name": google })).await;
    assert_eq!(report["outcome"], "failed", "{report}");
    assert_refused(&world, &google, &alone, &["was begun at", "no answer yet"]).await;
    world.company_faults().clear();
    // One that was refused does not count: the mapping waits, and takes the case.
    let other = world.google_case("Another");
    world.trouble(Call::Create, Fault::always(Effect::ErrorBefore { status: 400, body: None }));
    assert_eq!(world.post("sync-google-case", json!({ "case_name": other })).await.1["outcome"], "failed");
    let (status, answer) = cases(&world, &other, &alone).await;
    assert_eq!((status, &answer["new"]), (200, &json!(true)), "{answer}");
    let waits = world.mappings().await.len();
    assert_eq!(waits, 2, "it joined the mapping that waited");
}
