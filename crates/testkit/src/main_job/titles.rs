//! Titles that people change (`R30`: merge base).

use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::tasks::has_words;
use chrono::Duration;
use serde_json::json;

use crate::harness::World;
use crate::harness::crm::Crm;

/// Title of the Google case, and of the company case.
async fn titles(world: &World, google: &str, company: &str) -> (String, String) {
    (world.csapi.case(google).unwrap().display_name, world.company(company).await.title)
}

fn both(title: &str) -> (String, String) {
    (title.to_owned(), title.to_owned())
}

pub async fn a_changed_title_follows_both_ways_and_of_two_the_companys_wins(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (google, company) = world.pair().await;
    world.settle().await;
    world.csapi.set_display_name(&google, "Google's words").unwrap();
    let (_, report) = world.rehearse("sync-google-case", json!({ "case_name": google })).await;
    assert!(report["plan"].to_string().contains("set the company case's title"), "{report}");
    world.settle().await;
    assert_eq!(titles(&world, &google, &company).await, both("Google's words"));
    world.assert_quiet().await;
    world.desk.retitles(&company, "The desk's words").await;
    world.settle().await;
    assert_eq!(titles(&world, &google, &company).await, both("The desk's words"));
    world.assert_quiet().await;
    world.csapi.set_display_name(&google, "Google's again").unwrap();
    world.desk.retitles(&company, "The desk's again").await;
    world.settle().await;
    assert_eq!(titles(&world, &google, &company).await, both("The desk's again"));
    world.assert_quiet().await;
    // People find the pair by words of what stands there now.
    for (words, found) in [("AGAIN desk's", true), ("again google's", false), ("words", false)] {
        assert_eq!(has_words(words)(&world.mapping().await), found, "{words}");
    }
}

// R28
pub async fn a_title_is_carried_whichever_read_of_the_google_case_finds_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (google, company) = world.pair().await;
    world.settle().await;
    let nothing = |passed: u32| {
        Fault::always(Effect::ErrorBefore { status: 404, body: None }).on("GET", "").after(passed).times(1)
    };
    for passed in 0..8 {
        let title = format!("The desk's words {passed}");
        world.csapi.faults().add(nothing(passed));
        world.desk.retitles(&company, &title).await;
        world.run_for(Duration::minutes(12)).await;
        assert_eq!(titles(&world, &google, &company).await, both(&title));
        world.csapi.faults().clear();
    }
}

pub async fn a_title_that_is_cut_for_the_crm_is_not_carried_back(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (google, company) = world.pair().await;
    world.settle().await;
    let long = "The disk is full and nobody knows why; ".repeat(8);
    world.csapi.set_display_name(&google, long.trim()).unwrap();
    world.settle().await;
    let (at_google, in_crm) = titles(&world, &google, &company).await;
    assert_eq!(at_google, long.trim());
    let whole = in_crm.strip_suffix('…').map_or(long.trim() == in_crm, |start| long.starts_with(start));
    assert!(whole, "{in_crm}");
    world.assert_quiet().await;
    world.google_says(&google, "a comment");
    world.settle().await;
    assert_eq!(titles(&world, &google, &company).await, (at_google, in_crm));
}

pub async fn a_title_whose_answer_was_lost_is_set_once(crm: &dyn Crm) {
    for effect in [Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = World::new(crm).await;
        let (google, company) = world.pair().await;
        world.settle().await;
        world.csapi.faults().add(Fault::always(effect.clone()).on("PATCH", "/cases/").times(1));
        world.desk.retitles(&company, "The desk's words").await;
        world.run_for(Duration::minutes(40)).await;
        assert_eq!(titles(&world, &google, &company).await, both("The desk's words"), "{effect:?}");
        world.csapi.faults().clear_calls();
        // Google's support changes it meanwhile: that is a change, and no answer that was lost.
        world.csapi.set_display_name(&google, "Google's words").unwrap();
        world.run_for(Duration::minutes(40)).await;
        assert_eq!(titles(&world, &google, &company).await, both("Google's words"), "{effect:?}");
        let calls = world.csapi.faults().calls();
        assert!(calls.iter().all(|call| call.method != "PATCH"), "{effect:?}: {calls:?}");
    }
}
