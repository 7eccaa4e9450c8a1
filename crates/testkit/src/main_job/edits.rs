//! Comments that people edit after they were carried: `sync.edits = "note"`.

use casebridge::cases::Visibility;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sync::{CommentsToGoogle, EditedComments};
use chrono::Duration;
use serde_json::json;

use crate::harness::crm::Crm;
use crate::harness::{Options, World, copies};

async fn world(crm: &dyn Crm, comments_to_google: CommentsToGoogle) -> World {
    let mut options = Options::default();
    options.rules.edits = EditedComments::Note;
    options.rules.comments_to_google = comments_to_google;
    World::with(crm, options).await
}

/// Returns the texts of the notes on the Google case, without their headers.
fn notes(world: &World, google: &str) -> Vec<String> {
    copies(world.google_texts(google), "[Company Edit ")
}

pub async fn an_edited_comment_is_followed_by_one_note_at_most_each_ten_minutes_and_the_last_text_arrives(
    crm: &dyn Crm,
) {
    let world = world(crm, CommentsToGoogle::Public).await;
    let (google, company) = world.pair_from_company().await;
    let comment = world.company_says(&company, "The disk is full.").await;
    world.settle().await;
    // Much later, so that a sync would not read back to the comment otherwise.
    world.run_for(Duration::hours(2)).await;
    world.company_says(&company, "Any news?").await;
    world.settle().await;
    let edit = async |text: &str| {
        world.desk.edits_comment(&company, &comment, text, Visibility::Public).await;
    };
    edit("The disk is full since noon.").await;
    let (_, report) = world.rehearse("sync-company-case", json!({ "case_id": company })).await;
    let step = format!("note edit 1 of comment {comment} (part 1) on the google case");
    assert!(report["plan"].as_array().unwrap().contains(&json!(step)), "{report}");
    assert_eq!(report["totals"]["edits"], 1, "{report}");
    world.settle().await;
    assert_eq!(notes(&world, &google), ["The disk is full since noon."]);
    let header = format!("[Company Edit 1 of Comment {comment} by ");
    assert!(world.google_texts(&google).iter().any(|text| text.starts_with(&header)));
    // Two edits before the next note is due. Nothing but time makes it come.
    for text in ["The disk is full since one.", "The disk is full since two."] {
        edit(text).await;
        world.run_for(Duration::minutes(2)).await;
    }
    assert_eq!(notes(&world, &google).len(), 1);
    world.run_for(Duration::minutes(10)).await;
    assert_eq!(notes(&world, &google), ["The disk is full since noon.", "The disk is full since two."]);
    assert_eq!(world.copies_at_google(&google), ["The disk is full.", "Any news?"]);
    assert_eq!(world.company_texts(&company).await.len(), 2, "nothing comes back");
    let mapping = world.mapping().await;
    assert!(mapping.last_error.is_none() && !mapping.needs_attention(), "{mapping:?}");
    world.assert_quiet().await;
}

pub async fn a_note_about_an_edit_whose_answer_was_lost_stands_once(crm: &dyn Crm) {
    for effect in [Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = world(crm, CommentsToGoogle::Public).await;
        let (google, company) = world.pair_from_company().await;
        let comment = world.company_says(&company, "one").await;
        world.settle().await;
        world.csapi.faults().add(Fault::always(effect.clone()).on("POST", "/comment").times(1));
        world.desk.edits_comment(&company, &comment, "two", Visibility::Public).await;
        world.run_for(Duration::minutes(40)).await;
        assert_eq!(notes(&world, &google), ["two"], "{effect:?}");
        assert_eq!(world.company_texts(&company).await, ["two"], "{effect:?}");
        world.assert_quiet().await;
    }
}

pub async fn an_edit_that_makes_a_comment_internal_or_takes_its_mark_leaks_nothing(crm: &dyn Crm) {
    for (mode, visibility, mark) in [
        (CommentsToGoogle::Public, Visibility::Public, ""),
        (CommentsToGoogle::Marked, Visibility::Internal, "#google "),
    ] {
        let world = world(crm, mode).await;
        let (google, company) = world.pair_from_company().await;
        let comment = world.desk.says(&company, &format!("{mark}one"), visibility).await;
        world.settle().await;
        world.desk.edits_comment(&company, &comment, "a secret", Visibility::Internal).await;
        world.run_for(Duration::minutes(30)).await;
        assert_eq!(
            (world.copies_at_google(&google), notes(&world, &google)),
            (vec!["one".to_owned()], vec![])
        );
        world.desk.edits_comment(&company, &comment, &format!("{mark}two"), visibility).await;
        world.settle().await;
        assert_eq!(notes(&world, &google), ["two"], "{mode:?}");
        world.assert_quiet().await;
    }
}
